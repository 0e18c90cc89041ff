"""What a linear filter looks like that makes a level of the finer one: one row of weights per axis, fitted by least squares.

The weights are fitted axis by axis, the others held (alternating least squares), so a filter of three axes needs some dozens of
numbers and not thousands. Only for whole factors: elsewhere the weights change from sample to sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ziggurat.provenance.blocks import Region, Sampled, Shape, read

Floats = NDArray[np.float64]
_TURNS = 6
LINEAR = 0.99
"""Share of the variance from which a level is believed to be a linear filter of the finer one."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Weights per moving axis, summing to 1; entry 0 is the fine sample `first` places after `index * factor`."""

    weights: tuple[Floats, ...]
    first: tuple[int, ...]
    explained: float
    gain: float

    @property
    def centroid(self) -> tuple[float, ...]:
        """Mean place of the weights after `index * factor`, per moving axis."""
        return tuple(float((w * (np.arange(w.size) + o)).sum()) for w, o in zip(self.weights, self.first, strict=True))

    @property
    def sigma(self) -> tuple[float, ...]:
        """Standard deviation of the weights in fine samples, per moving axis; NaN where negative weights leave none."""
        found = []
        for w, o, c in zip(self.weights, self.first, self.centroid, strict=True):
            variance = float((w * (np.arange(w.size) + o - c) ** 2).sum())
            found.append(math.sqrt(variance) if variance > 0 else math.nan)
        return tuple(found)


def reach_of(factor: int) -> int:
    """Returns how many fine samples beyond a window are asked for: a gaussian of a third to a half of the factor ends there."""
    return 2 * factor + 1


def fit_filter(fine: Sampled, coarse: Sampled, region: Region, factors: Shape, moving: Sequence[int], shift: Sequence[int]) -> Filter | None:
    """Returns the separable filter that gives a block of a level; None where the block is flat, not finite, or at the array's end.

    `shift` is where the windows are taken, per axis, in fine samples from `index * factor`.
    """
    reach = [reach_of(factors[a]) if a in moving else 0 for a in range(len(factors))]
    lows = [s.start * f + o - r for s, f, o, r in zip(region, factors, shift, reach, strict=True)]
    highs = [s.stop * f + o + r for s, f, o, r in zip(region, factors, shift, reach, strict=True)]
    if any(low < 0 or high > n for low, high, n in zip(lows, highs, fine.shape, strict=True)):
        return None
    seen = read(fine, tuple(slice(a, b) for a, b in zip(lows, highs, strict=True))).astype(np.float64)
    wanted = read(coarse, region).astype(np.float64)
    if not (np.isfinite(seen).all() and np.isfinite(wanted).all()) or wanted.std() == 0:
        return None
    rows = [np.where(_under(factors[a], reach[a], factors[a] + 2 * reach[a]), 1 / factors[a], 0.0) for a in moving]
    mean = float(seen.mean())
    seen, aim = seen - mean, wanted.ravel()
    offset, explained = 0.0, 0.0
    for _ in range(_TURNS):
        for place, axis in enumerate(moving):
            design = _design(seen, axis, [(a, rows[i]) for i, a in enumerate(moving) if a != axis], factors)
            solution, _, _, _ = np.linalg.lstsq(np.column_stack([design, np.ones(len(design))]), aim, rcond=1e-6)
            rows[place], offset = solution[:-1], float(solution[-1])
            explained = 1 - float(((design @ rows[place] + offset - aim) ** 2).sum() / ((aim - aim.mean()) ** 2).sum())
    sums = [float(row.sum()) for row in rows]
    if any(abs(s) < 1e-6 for s in sums):
        return None
    return Filter(tuple(row / s for row, s in zip(rows, sums, strict=True)), tuple(shift[a] - reach[a] for a in moving), explained, math.prod(sums))


def _under(factor: int, start: int, size: int) -> NDArray[np.bool_]:
    """True for the `factor` entries of `size` from `start` on."""
    where = np.arange(size) - start
    return (where >= 0) & (where < factor)


def _design(seen: Floats, axis: int, others: Sequence[tuple[int, Floats]], factors: Shape) -> Floats:
    """Returns one row per coarse sample: the fine samples around it along `axis`, the other axes filtered by their weights."""
    block = seen
    for other, weights in others:
        windows = sliding_window_view(block, weights.size, axis=other)
        block = np.tensordot(windows[(slice(None),) * other + (slice(None, None, factors[other]),)], weights, axes=(-1, 0))
    width = factors[axis] + 2 * reach_of(factors[axis])
    windows = sliding_window_view(block, width, axis=axis)[(slice(None),) * axis + (slice(None, None, factors[axis]),)]
    steps = tuple(slice(None) if a == axis or a in [o for o, _ in others] else slice(None, None, f) for a, f in enumerate(factors))
    return np.ascontiguousarray(windows[steps]).reshape(-1, width)


def name_of(found: Filter, factors: Sequence[int]) -> tuple[str, str]:
    """Returns the reduction that the weights are, and how; `"filter"` for a smoothing one, empty where they fit too little.

    `factors` are those of the moving axes. A mean of shifted windows is called so too: the place says where they are.
    """
    if found.explained < LINEAR:
        return "", ""
    weights = found.weights
    starts = [round(c - (f - 1) / 2) - o for c, f, o in zip(found.centroid, factors, found.first, strict=True)]
    box = [np.where(_under(f, s, w.size), 1 / f, 0.0) for w, s, f in zip(weights, starts, factors, strict=True)]
    if all(np.abs(w - b).max() < 0.06 / math.sqrt(f) for w, b, f in zip(weights, box, factors, strict=True)):
        gain = math.prod(factors)
        return ("sum", "") if abs(found.gain - gain) < 0.05 * gain else ("mean", "with a rounding of its own" if found.explained > 0.999 else "nearly")
    if all(w.max() > 0.9 for w in weights):
        picked = ", ".join(str(int(w.argmax()) + o) for w, o in zip(weights, found.first, strict=True))
        return "stride", f"sample {picked} of each window"
    if min(float(w.min()) for w in weights) < -0.03:
        return "filter", "with negative lobes, as cubic and windowed sinc filters have"
    if all(int((w > 0.02).sum()) <= 2 for w in weights):
        return "filter", "of two samples: linear interpolation"
    sigma = max(s for s in found.sigma if not math.isnan(s)) if any(not math.isnan(s) for s in found.sigma) else math.nan
    return "filter", f"smooth, of standard deviation {sigma:.2f} samples of the finer level (gaussian-like)"
