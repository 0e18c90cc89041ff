"""Where a level's samples lie in the finer level, whatever filter made them: registration by least squares.

A block of the level is compared with averages of the finer level over boxes about as wide as the level's own step. The place of the
boxes, a gain and an offset are fitted (Gauss-Newton, after a coarse search), for the width that fits best. Any filter that is symmetric
about its sample gives its place, so nothing need be known of the filter; how well the place is known follows from the residual.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ziggurat.provenance.blocks import Region, Sampled, read

Floats = NDArray[np.float64]
REACH = 6
"""How far, in coarse samples, a level may lie from where its shape says; more is taken for another image."""
_STARTS = (-3.0, -1.5, -0.75, 0.0, 0.75, 1.5, 3.0)
"""Where the search starts from, in coarse samples: closer together than the box that is compared is wide."""
_TURNS = 12
_WIDTHS = (1.0, 0.6, 1.5)
"""Widths of the boxes, in steps: a picked or interpolated sample is narrower than its cell, a smooth filter wider."""
_DRIFT = 0.06
"""Fine samples between the outermost blocks by which a likely step may be off the fitted one."""
LEAST_ERROR = 0.03
"""What a filter that is no box adds to the error of a place, in samples of the finer level (measured on known filters)."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The place of one block."""

    middle: tuple[float, ...]
    """Index of the block's middle in the level, per moving axis."""
    place: tuple[float, ...]
    """The same place in the finer level."""
    error: tuple[float, ...]
    """Standard error of `place`."""
    explained: float
    """Share of the block's variance that the boxes give."""
    gain: float
    width: float
    """Of the boxes that fit best, in steps."""
    residual: float
    """Root of the mean square of what the boxes leave, in the level's own values."""


def register(fine: Sampled, coarse: Sampled, region: Region, steps: Sequence[float], moving: Sequence[int]) -> Fit | None:
    """Returns where a block of a level lies in the finer level; None where it is flat, not finite, or nothing fits.

    `steps` is the size of a coarse sample in fine ones per axis, 1 along axes that do not move.
    """
    margin = [math.ceil(REACH * steps[a]) if a in moving else 0 for a in range(len(steps))]
    lows = [max(0, math.floor(s.start * r) - m) for s, r, m in zip(region, steps, margin, strict=True)]
    highs = [min(n, math.ceil(s.stop * r) + m) for s, r, m, n in zip(region, steps, margin, fine.shape, strict=True)]
    seen = read(fine, tuple(slice(a, b) for a, b in zip(lows, highs, strict=True))).astype(np.float64)
    wanted = read(coarse, region).astype(np.float64)
    if not (np.isfinite(seen).all() and np.isfinite(wanted).all()) or wanted.std() == 0 or seen.std() == 0:
        return None
    indices = [np.arange(s.start, s.stop, dtype=np.float64) for s in region]
    found = [_Boxes(seen, indices, list(steps), lows, list(moving), width).fit(wanted) for width in _WIDTHS]
    return max((fit for fit in found if fit is not None), key=lambda fit: fit.explained, default=None)


class _Boxes:
    """Averages of a block over boxes, as a function of where the first one lies along the moving axes."""

    def __init__(self, seen: Floats, indices: Sequence[Floats], steps: Sequence[float], lows: Sequence[int], moving: Sequence[int], width: float) -> None:
        self.seen, self.indices, self.steps, self.lows, self.moving, self.width = seen, indices, steps, lows, moving, width

    def fit(self, wanted: Floats) -> Fit | None:
        home = np.array([(self.steps[a] - 1) / 2 for a in self.moving])
        best, least = home, math.inf
        for start in itertools.product(_STARTS, repeat=len(self.moving)) if len(self.moving) <= 2 else self._stars():
            first = home + np.array([s * self.steps[a] / 2 for s, a in zip(start, self.moving, strict=True)])
            residual = _misfit(self._averages(first), wanted)
            if residual < least:
                best, least = first, residual
        for _ in range(_TURNS):
            step = self._improve(best, wanted)
            if step is None:
                return None
            best = best + step
            if np.abs(step).max() < 1e-4:
                break
        return self._judged(best, wanted)

    def _stars(self) -> list[tuple[float, ...]]:
        """Returns the starts along each axis alone, and the corners nearest home: three axes and more have too many pairs."""
        n = len(self.moving)
        along = [tuple(s if i == axis else 0.0 for i in range(n)) for axis in range(n) for s in _STARTS]
        return list(dict.fromkeys([(0.0,) * n, *along, *itertools.product((-0.75, 0.0, 0.75), repeat=n)]))

    def _weights(self, axis: int, first: float, *, derived: bool = False) -> Floats:
        """Returns rows of weights, one per coarse sample: overlap of its box with each fine cell over the step, or the derivative by the place."""
        step, n = self.steps[axis], self.seen.shape[axis]
        r = step * self.width
        centre = first + step * self.indices[axis] - self.lows[axis]
        edges = np.arange(n + 1) - 0.5
        low, high = (centre - r / 2)[:, None], (centre + r / 2)[:, None]
        if derived:
            inside = [(edges[:-1] <= side) & (side < edges[1:]) for side in (low, high)]
            return (inside[1].astype(np.float64) - inside[0]) / r
        overlap: Floats = np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None) / r
        return overlap

    def _averages(self, first: Floats, derived: int | None = None) -> Floats:
        block = self.seen
        for place, axis in zip(first, self.moving, strict=True):
            weights = self._weights(axis, float(place), derived=axis == derived)
            block = np.moveaxis(np.tensordot(weights, block, axes=(1, axis)), 0, axis)
        return block

    def _design(self, first: Floats) -> tuple[Floats, Floats]:
        averages = self._averages(first)
        columns = [self._averages(first, derived=axis).ravel() for axis in self.moving]
        return averages, np.stack([*columns, averages.ravel(), np.ones(averages.size)], axis=1)

    def _improve(self, first: Floats, wanted: Floats) -> Floats | None:
        averages, design = self._design(first)
        gain = _gain(averages, wanted)
        if gain == 0:
            return None
        scaled = design.copy()
        scaled[:, : len(self.moving)] *= gain
        solution, _, rank, _ = np.linalg.lstsq(scaled, wanted.ravel(), rcond=1e-9)
        if rank < len(self.moving) + 2:
            return None
        limit = np.array([self.steps[a] / 2 for a in self.moving])
        step: Floats = np.clip(solution[: len(self.moving)], -limit, limit)
        home = np.array([(self.steps[a] - 1) / 2 for a in self.moving])
        if (np.abs(first + step - home) > REACH * limit * 2).any():
            return None
        return step

    def _judged(self, first: Floats, wanted: Floats) -> Fit | None:
        averages, design = self._design(first)
        gain = _gain(averages, wanted)
        n_free = wanted.size - design.shape[1]
        explained = 1 - _misfit(averages, wanted)
        if n_free <= 0 or gain == 0 or explained <= 0:
            return None
        design[:, : len(self.moving)] *= gain
        # samples of smoothed data depend on their neighbours: a quarter of them count
        noise = (1 - explained) * wanted.var() * wanted.size / (n_free / 4)
        covariance = np.linalg.pinv(design.T @ design) * noise
        error = np.sqrt(np.clip(np.diag(covariance)[: len(self.moving)], 0, None) + (0.0 if explained > 0.9999 else LEAST_ERROR) ** 2)
        middle = [float(self.indices[a].mean()) for a in self.moving]
        place = [float(p + self.steps[a] * m) for p, a, m in zip(first, self.moving, middle, strict=True)]
        return Fit(tuple(middle), tuple(place), tuple(map(float, error)), float(explained), gain, self.width, math.sqrt((1 - explained) * float(wanted.var())))


def _gain(averages: Floats, wanted: Floats) -> float:
    centred = averages - averages.mean()
    power = float((centred * centred).sum())
    return float((centred * (wanted - wanted.mean())).sum()) / power if power > 0 else 0.0


def _misfit(averages: Floats, wanted: Floats) -> float:
    """Returns the share of the variance that a gain and an offset leave unexplained."""
    centred, aim = averages - averages.mean(), wanted - wanted.mean()
    gain = _gain(averages, wanted)
    return float(((aim - gain * centred) ** 2).sum() / (aim**2).sum())


def line(fits: Sequence[Fit], axis: int, likely: Sequence[float]) -> tuple[float, float, float]:
    """Returns (place of sample 0, step, standard error of the place in the middle) of one moving axis from all its blocks.

    The step is the first of the `likely` ones that the places of the blocks do not contradict, else the fitted one; the first
    of the likely where all blocks stand in one place.
    """
    x = np.array([fit.middle[axis] for fit in fits])
    y = np.array([fit.place[axis] for fit in fits])
    weight = 1 / np.maximum([fit.error[axis] for fit in fits], 1e-3) ** 2
    mean_x, mean_y = float((weight * x).sum() / weight.sum()), float((weight * y).sum() / weight.sum())
    error = float(1 / math.sqrt(weight.sum()))
    spread = float((weight * (x - mean_x) ** 2).sum())
    slope = likely[0]
    if np.ptp(x) > 0:
        fitted = float((weight * (x - mean_x) * (y - mean_y)).sum() / spread)
        doubt = max(_DRIFT, 4 * float(np.ptp(x)) / math.sqrt(spread)) / float(np.ptp(x))
        slope = next((step for step in likely if abs(fitted - step) <= doubt), fitted)
    return mean_y - slope * mean_x, slope, error
