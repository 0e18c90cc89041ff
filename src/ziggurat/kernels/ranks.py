"""Median and mode of each window, by sorting networks that run over whole slabs at once.

A window's samples are gathered into rows, one row per place in the window, and each comparator of the network is one
`minimum` and one `maximum` over all windows of the slab. Comparators that no wanted output depends on are left out.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import Any

import numpy as np

from ziggurat.kernels.windows import Array, Factors, Region, fold, slabs

Comparator = tuple[int, int, bool, bool]
"""Two places, and whether the lower and the higher value are wanted afterwards."""


def cuts(shape: tuple[int, ...], factors: Factors) -> list[tuple[Region, Region, Factors]]:
    """Returns (region of the block, region of its windows, samples per axis of each window there): whole and partial windows.

    >>> cuts((5,), (2,))
    [((slice(0, 4, None),), (slice(0, 2, None),), (2,)), ((slice(4, 5, None),), (slice(2, 3, None),), (1,))]
    """
    per_axis = []
    for n, f in zip(shape, factors, strict=True):
        full = n // f
        parts = [(slice(0, full * f), slice(0, full), f)] if full else []
        if n % f:
            parts.append((slice(full * f, n), slice(full, full + 1), n % f))
        per_axis.append(parts)
    return [(tuple(p[0] for p in parts), tuple(p[1] for p in parts), tuple(p[2] for p in parts)) for parts in itertools.product(*per_axis)]


@lru_cache(maxsize=64)
def network(n: int, wanted: tuple[int, ...]) -> tuple[Comparator, ...]:
    """Returns a network that sorts `n` values as far as the places `wanted` need it.

    Source: Batcher's merge exchange (Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M).

    >>> network(3, (1,))
    ((0, 2, True, True), (0, 1, False, True), (1, 2, True, False))
    """
    pairs: list[tuple[int, int]] = []
    top = 1 << max(0, (n - 1).bit_length() - 1)
    p = top if n > 1 else 0
    while p:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(n - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2
    live, kept = set(wanted), []
    for i, j in reversed(pairs):
        if i in live or j in live:
            kept.append((i, j, i in live, j in live))
            live |= {i, j}
    return tuple(reversed(kept))


def _sort_rows(rows: list[Array], wanted: tuple[int, ...]) -> None:
    """Sorts `rows` elementwise, in place, as far as `wanted` needs it; the rows' arrays are overwritten and exchanged."""
    if len(rows) < 2:
        return
    spare = np.empty_like(rows[0])
    for i, j, low, high in network(len(rows), wanted):
        if low and high:
            np.minimum(rows[i], rows[j], out=spare)
            np.maximum(rows[i], rows[j], out=rows[j])
            rows[i], spare = spare, rows[i]
        elif low:
            np.minimum(rows[i], rows[j], out=rows[i])
        else:
            np.maximum(rows[i], rows[j], out=rows[j])


def _places(block: Array, window: Factors) -> list[Array]:
    """Returns one strided view per place in the window, in C order; `block` holds whole windows."""
    return [block[tuple(slice(i, None, f) for i, f in zip(place, window, strict=True))] for place in itertools.product(*map(range, window))]


def midpoint(low: Array, high: Array) -> Array:
    """Returns the mean of two arrays of one dtype, `low <= high`, without overflow; integers half to even."""
    if low.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            total = low + high
            total *= low.dtype.type(0.5)
            if np.isinf(total).any():
                total = np.where(np.isinf(total), low * low.dtype.type(0.5) + high * low.dtype.type(0.5), total)
        return total
    one = low.dtype.type(1)
    apart = low ^ high
    middle: Array = (low & high) + (apart >> one)
    middle += apart & middle & one
    return middle


def median(block: Array, factors: Factors, out: Array, nodata: complex | None) -> None:
    """Writes the median of each window: the middle sample, or the mean of the middle two (integers half to even).

    NaN and `nodata` are no samples; a window without samples becomes `nodata`, or NaN when that is not said.
    """
    for inside, windows, window in cuts(block.shape, factors):
        part, target = block[inside], out[windows]
        for some, where in slabs(part.shape, part.itemsize, window):
            _median_slab(part[some], window, target[where], nodata)


def _median_slab(block: Array, window: Factors, out: Array, nodata: complex | None) -> None:
    n = math.prod(window)
    middle = ((n - 1) // 2, n // 2)
    rows = [np.array(view) for view in _places(block, window)]
    _sort_rows(rows, middle)
    out[...] = rows[middle[0]] if n % 2 else midpoint(rows[middle[0]], rows[middle[1]])
    doubtful = np.isnan(out) if block.dtype.kind == "f" else np.zeros(0, bool)
    if nodata is not None:
        holds = np.empty(out.shape, bool)
        fold(block == block.dtype.type(nodata), window, holds, np.logical_or)
        doubtful = holds | doubtful if doubtful.size else holds
    if doubtful.any():
        at = np.nonzero(doubtful)
        out[at] = _median_of_valid(np.stack([view[at] for view in _places(block, window)]), nodata)
    if block.dtype.kind == "f":
        _unsign_zeros(out)


def _median_of_valid(samples: Array, nodata: complex | None) -> Array:
    """Returns the medians over axis 0 of what is not missing, `(n_samples, n_windows)` -> `(n_windows,)`."""
    kind = samples.dtype.type
    missing = np.isnan(samples) if samples.dtype.kind == "f" else np.zeros(samples.shape, bool)
    if nodata is not None:
        missing |= samples == kind(nodata)
    samples[missing] = np.inf if samples.dtype.kind == "f" else np.iinfo(samples.dtype).max  # sorted last; among equals it does not matter
    samples.sort(axis=0)
    n_valid = samples.shape[0] - missing.sum(axis=0)
    middle = [np.take_along_axis(samples, np.maximum(at, 0)[np.newaxis], axis=0)[0] for at in ((n_valid - 1) // 2, n_valid // 2 * (n_valid > 0))]
    result = midpoint(middle[0], middle[1])
    result[n_valid == 0] = kind(math.nan if nodata is None else nodata)
    return result


def mode(block: Array, factors: Factors, out: Array, nodata: complex | None) -> None:
    """Writes the most frequent value of each window; of equally frequent ones the smallest.

    NaN and `nodata` are no samples; a window without samples becomes `nodata`, or NaN when that is not said. Windows of one
    value, most of a label image, are found by comparing only.
    """
    if block.dtype.kind == "b":
        mode(block.view(np.uint8), factors, out.view(np.uint8), nodata)
        return
    for inside, windows, window in cuts(block.shape, factors):
        part, target = block[inside], out[windows]
        for some, where in slabs(part.shape, part.itemsize, window):
            _mode_slab(np.ascontiguousarray(part[some]), window, target[where], nodata)


def _mode_slab(block: Array, window: Factors, out: Array, nodata: complex | None) -> None:
    first, equal = block, None
    for axis, f in enumerate(window):
        if f > 1:
            first, equal = _equal_along(first, equal, axis, f)
    out[...] = first
    if equal is None:
        return
    at = np.flatnonzero(~equal)
    if not at.size:
        return
    flat = block.reshape(-1)
    starts = np.zeros(at.size, np.intp)
    for axis, (where, f) in enumerate(zip(np.unravel_index(at, equal.shape), window, strict=True)):
        starts += where * (f * math.prod(block.shape[axis + 1 :]))
    steps = [math.prod(block.shape[axis + 1 :]) for axis in range(block.ndim)]
    samples = [flat.take(starts + sum(i * s for i, s in zip(place, steps, strict=True))) for place in itertools.product(*map(range, window))]
    out[np.unravel_index(at, equal.shape)] = _most_frequent(samples, nodata)


def _equal_along(first: Array, equal: Array | None, axis: int, f: int) -> tuple[Array, Array]:
    """Folds one axis of the all-equal test: the first samples, and whether all samples so far are the same as those."""

    def at(values: Array, i: int) -> Array:
        return values[(*(slice(None),) * axis, slice(i, None, f))]

    start = at(first, 0)
    result = None if equal is None else np.array(at(equal, 0))
    for i in range(1, f):
        same: Array = start == at(first, i)
        if equal is not None:
            same &= at(equal, i)
        result = same if result is None else np.logical_and(result, same, out=result)
    return start, result if result is not None else np.ones(start.shape, bool)


def _most_frequent(samples: list[Array], nodata: complex | None) -> Array:
    """Returns the most frequent value of each window, given one row of samples per place; ties to the smallest."""
    dtype = samples[0].dtype
    missing: Any = None
    if dtype.kind == "f":
        samples = [_as_keys(row) for row in samples]
        missing = _as_keys(np.array([math.nan], dtype))[0]
        if nodata is not None:
            value = _as_keys(np.array([nodata], dtype))[0]
            samples = [np.where(row == missing, value, row) for row in samples]
            missing = value
    elif nodata is not None:
        missing = dtype.type(nodata)
    _sort_rows(samples, tuple(range(len(samples))))
    counter = np.uint8 if len(samples) < 256 else np.uint32
    best = samples[0].copy()
    n_best = np.ones(best.shape, counter)
    run = np.ones(best.shape, counter)
    if missing is not None:
        n_best[best == missing] = 0
        run[best == missing] = 0
    for before, row in itertools.pairwise(samples):
        run *= row == before
        run += counter(1)
        if missing is not None:
            run[row == missing] = 0
        more = run > n_best
        np.copyto(best, row, where=more)
        np.copyto(n_best, run, where=more)
    return _from_keys(best, dtype) if dtype.kind == "f" else best


def _as_keys(values: Array) -> Array:
    """Returns integers in the order of the floats: one key for both zeros, one for every NaN, above all others."""
    bits = values.dtype.itemsize * 8
    keys: Array = (values + values.dtype.type(0)).view(f"i{bits // 8}")
    keys = keys ^ ((keys >> (bits - 1)) & np.iinfo(keys.dtype).max)
    keys[np.isnan(values)] = np.iinfo(keys.dtype).max
    return keys


def _from_keys(keys: Array, dtype: np.dtype[Any]) -> Array:
    bits = keys.dtype.itemsize * 8
    values: Array = (keys ^ ((keys >> (bits - 1)) & np.iinfo(keys.dtype).max)).view(dtype)
    values[np.isnan(values)] = np.nan
    return values


def extreme(block: Array, factors: Factors, out: Array, op: np.ufunc, nodata: complex | None) -> None:
    """Writes the smallest or largest sample of each window (`op`: minimum, maximum; fmin, fmax for floats).

    NaN and `nodata` are no samples; a window without samples becomes `nodata`, or NaN when that is not said. Zeros come out positive.
    """
    missing = None if nodata is None else block == block.dtype.type(nodata)
    if missing is None or not missing.any():
        fold(block, factors, out, op)
        empty = np.isnan(out) if block.dtype.kind == "f" else np.zeros(0, bool)
    else:
        if block.dtype.kind == "f":
            missing |= np.isnan(block)
        fold(np.where(missing, _neutral(block.dtype, op), block), factors, out, op)
        empty = np.empty(out.shape, bool)
        fold(missing, factors, empty, np.logical_and)
    if block.dtype.kind == "f":
        _unsign_zeros(out)
    if empty.any():
        out[empty] = math.nan if nodata is None else nodata


def _neutral(dtype: np.dtype[Any], op: np.ufunc) -> Any:
    """Returns the sample that never is the answer unless there is no other."""
    top = op in (np.minimum, np.fmin)
    if dtype.kind == "b":
        return np.bool_(top)
    if dtype.kind == "f":
        return dtype.type(math.inf if top else -math.inf)
    return np.iinfo(dtype).max if top else np.iinfo(dtype).min


def _unsign_zeros(values: Array) -> None:
    """Makes -0.0 into 0.0: they compare equal, and which of them `minimum` returns differs between vector lanes and loop tails."""
    np.add(values, values.dtype.type(0), out=values)
