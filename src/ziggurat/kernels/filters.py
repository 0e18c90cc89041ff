"""Gaussian smoothing that reduces, and its expansion: separable, in float64 (complex128), one fixed order of taps.

Reducing by f: smooth with sigma = f / 3, cut off at 4 sigma, and take the value at the window's centre, which for even f is
the mean of the two samples beside it. Expanding by f: interpolate linearly at the places of the finer samples, then smooth with
the same sigma. An array goes on beyond its edges by reflection, the edge sample repeated (d c b a | a b c d | d c b a).
A value is a sum over taps in an order that depends on the tap alone, so it does not depend on how an array is cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from ziggurat.kernels.windows import SLAB_BYTES, Array, Factors

Pads = Sequence[tuple[int, int]]
"""Per axis: how many samples of the wanted block lie before and beyond the array."""

TRUNCATE = 4.0
"""Cut-off in sigmas, as scipy's and scikit-image's gaussian filters have it."""


def gaussian_taps(f: int) -> tuple[float, ...]:
    """Returns the normalised weights of a gaussian of sigma = f / 3, radius `int(4 sigma + 1/2)`.

    >>> len(gaussian_taps(2)), len(gaussian_taps(3))
    (7, 9)
    """
    sigma = f / 3
    radius = int(TRUNCATE * sigma + 0.5)
    weights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-radius, radius + 1)]
    total = math.fsum(weights)
    return tuple(w / total for w in weights)


def reduce_taps(f: int) -> tuple[float, ...]:
    """Returns the symmetric weights that give a window's value from the samples around it: smoothing, then the centre.

    >>> len(reduce_taps(2)), len(reduce_taps(3)), reduce_taps(1)
    (8, 9, (1.0,))
    """
    if f == 1:
        return (1.0,)
    taps = gaussian_taps(f)
    return taps if f % 2 else tuple((a + b) / 2 for a, b in zip((*taps, 0.0), (0.0, *taps), strict=True))


def reduce_reach(f: int) -> int:
    """Returns how many samples beyond its window a reduced sample depends on, on each side.

    >>> [reduce_reach(f) for f in (1, 2, 3, 4, 5)]
    [0, 3, 3, 4, 5]
    """
    return (len(reduce_taps(f)) - f) // 2


def reduce_halo(f: int) -> int:
    """Returns how many samples to read beyond a tile's windows: the reach, and what a last partial window needs to reflect.

    >>> [reduce_halo(f) for f in (1, 2, 3, 4, 5)]
    [0, 3, 4, 6, 8]
    """
    return reduce_reach(f) + max(0, f - 2)


def expand_taps(f: int) -> tuple[tuple[float, ...], ...]:
    """Returns per phase p in 0..f-1 the weights of the coarse samples q - T .. q + T that give the fine sample f * q + p.

    >>> [len(taps) for taps in expand_taps(2)]
    [5, 5]
    """
    if f == 1:
        return ((1.0,),)
    smooth = gaussian_taps(f)
    radius = len(smooth) // 2
    phases: list[dict[int, list[float]]] = []
    for p in range(f):
        weights: dict[int, list[float]] = {}
        for s, weight in zip(range(p - radius, p + radius + 1), smooth, strict=True):
            place = (Fraction(s) + Fraction(1, 2)) / f - Fraction(1, 2)
            near = math.floor(place)
            weights.setdefault(near, []).append(weight * float(near + 1 - place))
            if place != near:
                weights.setdefault(near + 1, []).append(weight * float(place - near))
        phases.append(weights)
    reach = max(abs(t) for weights in phases for t in weights)
    return tuple(tuple(math.fsum(weights.get(t, ())) for t in range(-reach, reach + 1)) for weights in phases)


def expand_halo(f: int) -> int:
    """Returns how many coarse samples beyond those over a tile its expansion depends on, on each side.

    >>> [expand_halo(f) for f in (1, 2, 3, 4, 5)]
    [0, 2, 2, 2, 2]
    """
    return len(expand_taps(f)[0]) // 2


def reduce(block: Array, factors: Factors, pads: Pads, out: Array, nodata: complex | None = None) -> None:
    """Smooths and reduces `block`, a tile's windows and `reduce_halo` samples around them, into `out`.

    `block` is clipped to the array, `pads` says by how much. NaN and `nodata` are no samples: where one is in reach, the
    weights of the others are scaled to sum to one, and a window without samples becomes `nodata`, or NaN when that is not said.
    Integers are rounded half to even; 64-bit integers are computed in float64.
    """
    values = _as_wide(block, nodata)
    with np.errstate(over="ignore", invalid="ignore"):
        result = _reduce_axes(values, factors, pads, out.shape)
        missing = np.isnan(result)
        if missing.any():
            valid = ~np.isnan(values)
            weights = _reduce_axes(valid.astype(np.float64), factors, pads, out.shape)
            values[~valid] = 0
            scaled = _reduce_axes(values, factors, pads, out.shape)
            empty = ~_any_in_window(valid, factors, pads, out.shape)
            scaled[empty] = np.nan
            np.divide(scaled, weights, out=result, where=missing & ~empty)
    store(result, out, nodata)


def _as_wide(block: Array, nodata: complex | None) -> Array:
    values: Array = block.astype(np.complex128 if block.dtype.kind == "c" else np.float64)
    if nodata is not None:
        values[block == block.dtype.type(nodata)] = np.nan
    return values


def _reduce_axes(values: Array, factors: Factors, pads: Pads, shape: tuple[int, ...]) -> Array:
    for axis, f in enumerate(factors):
        if f > 1:
            values = _reduce_axis(_reflect(values, axis, pads[axis]), axis, f, shape[axis])
    return values


def _reflect(values: Array, axis: int, pad: tuple[int, int]) -> Array:
    if not any(pad):
        return values
    return np.pad(values, [pad if i == axis else (0, 0) for i in range(values.ndim)], mode="symmetric")


def _reduce_axis(values: Array, axis: int, f: int, n: int) -> Array:
    """Filters and reduces one axis: `n` samples of it, the outer taps first, each pair of mirrored samples added first."""
    taps = reduce_taps(f)
    skip = reduce_halo(f) - reduce_reach(f)
    before = (slice(None),) * axis
    result = np.empty((*values.shape[:axis], n, *values.shape[axis + 1 :]), values.dtype)
    step = max(1, SLAB_BYTES * result.shape[0] // max(1, result.nbytes)) if axis == 0 else n
    for start in range(0, n, step):
        target = result[(*before, slice(start, start + step))]
        views = [values[(*before, slice(skip + start * f + i, skip + (start + target.shape[axis] - 1) * f + i + 1, f))] for i in range(len(taps))]
        _weigh(views, taps, target)
    return result


def _weigh(views: list[Array], taps: tuple[float, ...], out: Array) -> None:
    """Writes the sum of symmetric `taps` times `views`, outermost pair first."""
    n = len(taps)
    pair = np.empty_like(out)
    for i in range(n // 2):
        np.add(views[i], views[n - 1 - i], out=pair if i else out)
        if i:
            np.multiply(pair, taps[i], out=pair)
            np.add(out, pair, out=out)
        else:
            np.multiply(out, taps[i], out=out)
    if n % 2:
        np.multiply(views[n // 2], taps[n // 2], out=pair)
        np.add(out, pair, out=out)


def _any_in_window(valid: Array, factors: Factors, pads: Pads, shape: tuple[int, ...]) -> Array:
    """Returns whether each window itself, without its halo, holds a valid sample."""
    for axis, (f, (low, _), n) in enumerate(zip(factors, pads, shape, strict=True)):
        if f > 1:
            start = reduce_halo(f) - low
            inside = valid[(*(slice(None),) * axis, slice(start, start + n * f))]
            valid = np.logical_or.reduceat(inside, np.arange(0, n * f, f), axis=axis)
    return valid


def store(values: Array, out: Array, nodata: complex | None = None) -> None:
    """Casts into the dtype of `out`: integers half to even and within their range, NaN as `nodata` when that is said."""
    if out.dtype.kind not in "ui":
        with np.errstate(over="ignore"):
            out[...] = values
        if nodata is not None:
            out[np.isnan(values)] = nodata
        return
    info = np.iinfo(out.dtype)
    gone = np.isnan(values)
    rounded = np.rint(np.where(gone, 0, values))
    above = rounded >= float(info.max)  # float64 has no 2**63 - 1: such a value would not survive the cast
    rounded[above] = 0
    out[...] = np.maximum(rounded, float(info.min))
    out[above] = info.max
    if nodata is not None:
        out[gone] = nodata


def expand(block: Array, factors: Factors, pads: Pads, out: Array, nodata: complex | None = None) -> None:
    """Expands `block`, the coarse samples over a fine tile and `expand_halo` around them, into `out` (float64 or complex128).

    The fine tile starts where a window starts, and may end within one. NaN and `nodata` are no samples, as in `reduce`; where
    none is in reach the result is NaN.
    """
    values = _as_wide(block, nodata)
    with np.errstate(over="ignore", invalid="ignore"):
        result = _expand_axes(values, factors, pads, out.shape)
        missing = np.isnan(result)
        if missing.any():
            valid = ~np.isnan(values)
            weights = _expand_axes(valid.astype(np.float64), factors, pads, out.shape)
            values[~valid] = 0
            scaled = _expand_axes(values, factors, pads, out.shape)
            np.divide(scaled, weights, out=result, where=missing & (weights > 0))
    out[...] = result


def _expand_axes(values: Array, factors: Factors, pads: Pads, shape: tuple[int, ...]) -> Array:
    """Expands the last axis first: the array is smallest while the strides are worst."""
    for axis in reversed(range(values.ndim)):
        f = factors[axis]
        if f > 1:
            values = _expand_axis(_reflect(values, axis, pads[axis]), axis, f, shape[axis])
    return values


def _expand_axis(values: Array, axis: int, f: int, n: int) -> Array:
    before = (slice(None),) * axis
    result = np.empty((*values.shape[:axis], n, *values.shape[axis + 1 :]), values.dtype)
    for p, taps in enumerate(expand_taps(f)):
        target = result[(*before, slice(p, None, f))]
        wanted = [(i, weight) for i, weight in enumerate(taps) if weight]
        total = values[(*before, slice(wanted[0][0], wanted[0][0] + target.shape[axis]))] * wanted[0][1]
        product = np.empty_like(total)
        for i, weight in wanted[1:]:
            np.multiply(values[(*before, slice(i, i + target.shape[axis]))], weight, out=product)
            np.add(total, product, out=total)
        target[...] = total
    return result


def difference(fine: Array, expanded: Array, out: Array, nodata: complex | None = None) -> None:
    """Writes `fine - expanded`, computed in float64 (complex128), in the dtype of `out`; NaN where `fine` is missing."""
    with np.errstate(over="ignore", invalid="ignore"):
        out[...] = _as_wide(fine, nodata) - expanded


def restore(expanded: Array, difference: Array, out: Array, nodata: complex | None = None) -> None:
    """Writes `expanded + difference` in the dtype of `out`: integers half to even, NaN as `nodata` when that is said."""
    with np.errstate(over="ignore", invalid="ignore"):
        store(expanded + difference, out, nodata)
