"""Quantiles and modes of windows whose samples are not all there, or do not weigh alike.

The samples of a window and what each of them weighs are rows, one per place in the window; a sample of weight 0 is not there. Sums run in one
fixed order (ascending samples, then places), so results do not depend on how an array was cut.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from ziggurat.kernels.ranks import HALF, cuts, places, quantile_of_valid
from ziggurat.kernels.weights import SAME_SHARE, store_integers
from ziggurat.kernels.windows import SLAB_BYTES, Array, Factors, slabs

NEAR_TIE = 1e-9
"""What lies this near a half between two integers is one: shares of weights are rounded, a tie of equal weights is not."""
Combine = Callable[[Array, Array], Array]
"""`combine(samples, weights)`: two arrays `(n_places, n_windows)` -> `(n_windows,)`; what it gives for a window without weight does not matter."""


def _combined(block: Array, heavy: Array, factors: Factors, out: Array, missing: complex, combine: Combine) -> None:
    for inside, windows, window in cuts(block.shape, factors):
        part, weight, target = block[inside], heavy[inside], out[windows]
        for some, where in slabs(part.shape, 8, window, SLAB_BYTES // 4):
            rows, weights = (np.stack([view.reshape(-1) for view in places(a[some], window)]) for a in (part, weight))
            rows[weights == 0] = 0  # NaN would be sorted with what is there
            place = target[where]
            found = combine(rows, weights).astype(out.dtype)
            found[~weights.any(axis=0)] = missing
            place[...] = found.reshape(place.shape)


def quantile(block: Array, heavy: Array, factors: Factors, out: Array, missing: complex, q: float | Fraction = HALF) -> None:
    """Writes the quantile `q` of each window; `heavy` has the shape of `block`: which samples are there (bool), or what each weighs (float64).

    With weights it is xarray's: linear between samples in order, each as wide as its share of the weight, with Kish's number of samples
    `sum(w)**2 / sum(w**2)` in place of n. Equal weights give the quantile without weights. A window without weight is `missing`.
    """
    share = q if isinstance(q, Fraction) else Fraction(repr(q))

    def combine(samples: Array, weights: Array) -> Array:
        if weights.dtype.kind == "b":
            return quantile_of_valid(samples, ~weights, 0, share)
        return _weighted_quantile(samples, weights, float(share))

    _combined(block, heavy, factors, out, missing, combine)


def _weighted_quantile(samples: Array, weights: Array, q: float) -> Array:
    order = np.argsort(samples, axis=0, kind="stable")
    ordered, heavy = np.take_along_axis(samples, order, 0), np.take_along_axis(weights, order, 0)
    there = heavy != 0
    up_to = np.cumsum(heavy, axis=0)
    total = up_to[-1].copy()
    total[total == 0] = 1
    with np.errstate(over="ignore", invalid="ignore"):
        shares = heavy / total
        n = 1 / np.maximum(np.cumsum(shares * shares, axis=0)[-1], np.finfo(np.float64).tiny)  # Kish's
        h = (n - 1) * q + 1
        value, before = np.zeros(total.shape), np.maximum((h - 1) / n, 0) * n
        for row, here, end in zip(ordered, there, up_to / total, strict=True):
            at = np.maximum((h - 1) / n, np.minimum(h / n, end)) * n
            value += np.where(here & (at > before), row.astype(np.float64) * (at - before), 0)
            before = at
    low, high = _ends(ordered, there)
    value = np.minimum(np.maximum(value, low), high)
    if samples.dtype.kind == "f":
        return value
    floor = np.floor(value)
    near = np.clip(16 * np.spacing(np.maximum(np.abs(low), np.abs(high))), NEAR_TIE, 0.25)  # what float64 leaves of a tie of large samples
    value = np.rint(np.where(np.abs(value - floor - 0.5) < near, floor + 0.5, value))
    whole: Array = np.empty(value.shape, samples.dtype)
    store_integers(value, whole)
    return whole


def _ends(ordered: Array, there: Array) -> tuple[Array, Array]:
    """Returns the smallest and the largest sample that is there, as float64."""
    wide = ordered.astype(np.float64)
    low, high = np.where(there, wide, np.inf).min(axis=0), np.where(there, wide, -np.inf).max(axis=0)
    return np.where(low > high, 0, low), np.where(low > high, 0, high)  # a window of nothing


def mode(block: Array, heavy: Array, factors: Factors, out: Array, missing: complex, ignore: complex | None = None) -> None:
    """Writes the value of each window whose samples are most, or weigh most; of equals (to 1e-12 of weights) the smallest.

    `heavy` as in `quantile`; `ignore` counts only where nothing else is there. A window without weight is `missing`.
    """
    if block.dtype.kind == "b":
        mode(block.view(np.uint8), heavy, factors, out.view(np.uint8), missing, ignore)
        return
    background = None if ignore is None else block.dtype.type(ignore)

    def combine(samples: Array, weights: Array) -> Array:
        return _heaviest(samples, weights, background)

    _combined(block, heavy, factors, out, missing, combine)


def _heaviest(samples: Array, weights: Array, background: np.generic | None) -> Array:
    if samples.dtype.kind == "f":
        samples = samples + samples.dtype.type(0)  # one zero
    order = np.argsort(samples, axis=0, kind="stable")
    ordered, heavy = np.take_along_axis(samples, order, 0), np.take_along_axis(weights, order, 0)
    heavy = heavy.astype(np.int64) if heavy.dtype.kind == "b" else heavy
    leads = 1 + SAME_SHARE if heavy.dtype.kind == "f" else 1
    chosen = ordered[0].copy() if background is None else np.full(ordered.shape[1:], background)
    run, best = np.zeros(chosen.shape, heavy.dtype), np.zeros(chosen.shape, heavy.dtype)
    for i, (value, weight) in enumerate(zip(ordered, heavy, strict=True)):
        if i:
            run *= ordered[i - 1] == value
        run += weight
        better = run > best * leads
        if background is not None:
            better &= value != background
        chosen[better], best[better] = value[better], run[better]
    return chosen
