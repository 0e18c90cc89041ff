"""Levels whose windows are no boxes of whole factors: fractional ones, and groups of samples. Each is made from the base.

A window is cut into ticks (`geometry.AxisWindows`), and the base is thought of as an array of ticks, each sample repeated: then every window is whole,
and a bound reduction needs no other rule than its own. What each sample carries is folded once, joined by the ticks that lie in the window, and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from ziggurat.geometry import AxisWindows
from ziggurat.kernels import joining
from ziggurat.problems import OptionError, PlanError
from ziggurat.reductions.binding import bind, check_weighing
from ziggurat.reductions.foldings import ExtremeFolding, coverage
from ziggurat.reductions.ports import AnyArray, AnyDType, Carry, Folding, Reduction, Weighing

Box = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Resampler:
    """A reduction bound to the windows of one level. Pure; picklable; thread-safe."""

    folding: Folding
    windows: tuple[AxisWindows, ...]
    weighing: Weighing
    adds_weights: bool
    """True when exact sums would not fit, so that samples are summed in float64 with weights of 1."""

    def reduce(self, carry: Carry, box: Box, out: AnyArray, shares: AnyArray | None = None) -> None:
        """Makes the samples `out` of a box of the level from the base samples under it, and their valid shares.

        `carry` holds the base samples `AxisWindows.samples` of the box, with what was given beside them.
        """
        if self.adds_weights:
            ones = np.ones((1,) * out.ndim) if carry.weights is None else carry.weights.astype(np.float64)
            valid, every = (np.broadcast_to(a, carry.values[0].shape) for a in (ones, np.ones((1,) * out.ndim)))
            carry = Carry((*carry.values, every) if self.weighing.totals else carry.values, valid)
        shape = carry.values[0].shape
        lifted = tuple(np.empty(shape, dtype) for dtype in self.folding.carry_dtypes(1))
        weights = self.folding.fold(1, carry, (1,) * out.ndim, lifted)
        parts = tuple(joining.pieces(_borders(w, *span), w.unit) for w, span in zip(self.windows, box, strict=True))
        values = tuple(joining.join(v, parts, dtype, self._op) for v, dtype in zip(lifted, self.folding.carry_dtypes(2), strict=True))
        whole = Carry(values, None if weights is None else joining.join(weights, parts, self.folding.weight_dtype(2), np.add))
        counts = tuple(_runs(p.lengths) for p in parts)
        self.folding.finish(2, whole, counts, out)
        if shares is not None:
            coverage(whole, counts, self.weighing, shares)

    @property
    def _op(self) -> np.ufunc:
        if isinstance(self.folding, ExtremeFolding):
            return np.maximum if self.folding.largest else np.minimum
        return np.add


def _borders(windows: AxisWindows, start: int, stop: int) -> AnyArray:
    if windows.edges:
        return np.array(windows.edges[start : stop + 1], np.int64)
    return np.minimum(np.arange(start, stop + 1, dtype=np.int64) * windows.step, windows.n_base * windows.unit)


def _runs(lengths: AnyArray) -> tuple[tuple[slice, int], ...]:
    """Returns (slice, ticks) of each run of windows of one length."""
    found, at = [], 0
    for ticks, run in groupby(lengths.tolist()):
        n = sum(1 for _ in run)
        found.append((slice(at, at + n), int(ticks)))
        at += n
    return tuple(found)


def bind_windows(
    reduction: Reduction, dtype: AnyDType, windows: tuple[AxisWindows, ...], *, nodata: float | complex | None = None, weighing: Weighing
) -> Resampler:
    """Returns the arithmetic of one level of any windows; parameters and errors otherwise as those of `bind`.

    Raises OptionError when the reduction takes only windows of whole factors, or only whole samples and a border cuts one.
    """
    check_weighing(reduction, weighing)
    if reduction.spans == "factors":
        raise OptionError(f"reduction {reduction.name!r}: it is known for windows of whole factors only; say reduction='mean', or factors=")
    if reduction.spans == "groups" and any(w.unit > 1 for w in windows):
        raise OptionError(f"reduction {reduction.name!r}: it takes whole samples, and borders of these windows cut some; say reduction='mean', or groups=")
    ticks = tuple(w.n_base * w.unit for w in windows)
    ladder = [(1,) * len(windows), tuple(w.longest for w in windows)]
    carried = replace(weighing, covers=True) if reduction.carries == "samples" else weighing
    try:
        return Resampler(bind(reduction, dtype, ladder, nodata=nodata, base_shape=ticks, weighing=carried), windows, carried, False)
    except PlanError:
        if reduction.weighs != "weights" or weighing.weighted or math.prod(ladder[1]) >= 1 << 53:
            raise
    heavy = replace(carried, weighted=True, masked=False, totals=carried.covers or carried.min_valid is not None)
    return Resampler(bind(reduction, dtype, ladder, nodata=nodata, base_shape=ticks, weighing=heavy), windows, heavy, True)


def resample_array(
    reduction: Reduction,
    base: AnyArray,
    windows: tuple[AxisWindows, ...],
    *,
    nodata: float | complex | None = None,
    weighing: Weighing | None = None,
    beside: Carry | None = None,
) -> AnyArray:
    """Returns one level of an array in memory; `beside` is the base with its weights and masks, as `weighed` gives it.

    Examples
    --------
    >>> from ziggurat.reductions import find
    >>> thirds = AxisWindows.of_factor(5, 5 / 2)
    >>> resample_array(find("mean"), np.array([0.0, 2.0, 4.0, 8.0, 16.0]), (thirds,)).tolist()
    [1.6, 10.4]
    """
    native = np.ascontiguousarray(base, base.dtype.newbyteorder("="))
    bound = bind_windows(reduction, native.dtype, windows, nodata=nodata, weighing=weighing or Weighing())
    out = np.empty(tuple(w.n for w in windows), reduction.level_dtype(native.dtype))
    bound.reduce(beside or Carry((native,)), [(0, w.n) for w in windows], out)
    return out
