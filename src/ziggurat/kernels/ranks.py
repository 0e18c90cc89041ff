"""Quantiles and mode of each window, by sorting networks that run over whole slabs at once.

A window's samples are gathered into rows, one row per place in the window, and each comparator of the network is one
`minimum` and one `maximum` over all windows of the slab. Comparators that no wanted output depends on are left out.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from ziggurat.kernels.windows import SLAB_BYTES, Array, Factors, Region, fold, slabs, window_shape

FIRST_LOOK = 4096
"""Samples that are looked at before all are, to see whether they are one value: a fraction of a percent of what a tile costs."""
MOST_PAIRED = 1 << 13
"""Samples that are sooner compared with all others of their windows at once than in many calls; measured for 8, 27 and 64 a window."""
MOST_COMPARED = 9
"""Windows of at most this many samples are counted by comparing all rows with all others, larger ones by a sorting network; measured."""
NOISE_PARTS = 2
"""A slab of noise is counted in as many parts: what is made on the way is little enough for the allocator to keep it."""
FIRST_OF_PAIR = np.array([1, 0], np.uint8).view(np.uint16)[0]
"""Two flags as one item, of which only the first is set."""
Comparator = tuple[int, int, bool, bool]
"""Two places, and whether the lower and the higher value are wanted afterwards."""


@lru_cache(maxsize=512)
def cuts(shape: tuple[int, ...], factors: Factors) -> tuple[tuple[Region, Region, Factors], ...]:
    """Returns (region of the block, region of its windows, samples per axis of each window there): whole and partial windows.

    >>> cuts((5,), (2,))
    (((slice(0, 4, None),), (slice(0, 2, None),), (2,)), ((slice(4, 5, None),), (slice(2, 3, None),), (1,)))
    """
    per_axis = []
    for n, f in zip(shape, factors, strict=True):
        full = n // f
        parts = [(slice(0, full * f), slice(0, full), f)] if full else []
        if n % f:
            parts.append((slice(full * f, n), slice(full, full + 1), n % f))
        per_axis.append(parts)
    return tuple((tuple(p[0] for p in parts), tuple(p[1] for p in parts), tuple(p[2] for p in parts)) for parts in itertools.product(*per_axis))


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


def _sort_rows(rows: Array, wanted: tuple[int, ...]) -> list[int]:
    """Sorts `(n + 1, …)` arrays elementwise along axis 0, in place, as far as `wanted` needs it; the last row is scratch.

    Returns which row of the array holds each place of the sorted sequence.
    """
    n = len(rows) - 1
    at, spare = list(range(n)), n
    for i, j, low, high in network(n, wanted):
        if low and high:
            np.minimum(rows[at[i]], rows[at[j]], out=rows[spare])
            np.maximum(rows[at[i]], rows[at[j]], out=rows[at[j]])
            at[i], spare = spare, at[i]
        elif low:
            np.minimum(rows[at[i]], rows[at[j]], out=rows[at[i]])
        else:
            np.maximum(rows[at[i]], rows[at[j]], out=rows[at[j]])
    return at


def places(block: Array, window: Factors) -> list[Array]:
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


HALF = Fraction(1, 2)


def between(low: Array, high: Array, share: Fraction) -> Array:
    """Returns what lies `share` (0 to 1) of the way from `low` to `high` (arrays of one dtype, `low <= high`), without overflow.

    Integers half to even, exactly for a `share` whose denominator is at most 10**9; floats in float64, rounded once; half the way as `midpoint` has it.
    """
    if share == HALF:
        return midpoint(low, high)
    if not share:
        return low
    if low.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            wide = low.astype(np.float64)
            # two products: the way from low to high may be longer than float64 reaches
            value: Array = np.where(low == high, wide, wide * float(1 - share) + high.astype(np.float64) * float(share))
            return value.astype(low.dtype)
    n, part = np.uint64(share.denominator), np.uint64(share.numerator)
    apart = high.astype(np.uint64) - low.astype(np.uint64)  # modulo 2**64: exact, for it is not negative
    steps, rest = apart // n, apart % n
    rest *= part
    moved = steps * part + rest // n
    rest %= n
    value = low.astype(np.uint64) + moved
    rest += rest
    rest += value & np.uint64(1)  # a tie goes up from an odd value only
    value += rest > n
    return value.astype(low.dtype)


def quantile(block: Array, factors: Factors, out: Array, nodata: complex | None, q: float | Fraction = HALF) -> None:
    """Writes the quantile `q` (0 to 1) of each window: of n samples in order, that at place `(n - 1) * q`, or between the two beside it.

    NaN and `nodata` are no samples; a window without samples becomes `nodata`, or NaN when that is not said.
    """
    share = q if isinstance(q, Fraction) else Fraction(repr(q))
    for inside, windows, window in cuts(block.shape, factors):
        part, target = block[inside], out[windows]
        for some, where in slabs(part.shape, part.itemsize, window):
            _quantile_slab(part[some], window, target[where], nodata, share)


def median(block: Array, factors: Factors, out: Array, nodata: complex | None) -> None:
    """Writes the median of each window: the middle sample, or the mean of the middle two (integers half to even).

    NaN and `nodata` are no samples; a window without samples becomes `nodata`, or NaN when that is not said.
    """
    quantile(block, factors, out, nodata)


def _place(n: int, q: Fraction) -> tuple[int, int, Fraction]:
    """Returns the two places of `n` sorted samples that the quantile lies between, and how far from the first.

    >>> _place(4, HALF), _place(5, Fraction(1, 4))
    ((1, 2, Fraction(1, 2)), (1, 1, Fraction(0, 1)))
    """
    at = (n - 1) * q
    low = math.floor(at)
    return low, math.ceil(at), at - low


def _quantile_slab(block: Array, window: Factors, out: Array, nodata: complex | None, q: Fraction) -> None:
    n = math.prod(window)
    low, high, share = _place(n, q)
    rows = np.empty((n + 1, *out.shape), block.dtype)
    for row, view in zip(rows, places(block, window), strict=False):
        row[...] = view
    at = _sort_rows(rows, (low, high))
    out[...] = between(rows[at[low]], rows[at[high]], share)
    doubtful = np.isnan(out) if block.dtype.kind == "f" else np.zeros(1, bool)
    if nodata is not None:
        holds = np.empty(out.shape, bool)
        fold(block == block.dtype.type(nodata), window, holds, np.logical_or)
        doubtful = holds | doubtful
    if doubtful.any():
        few = np.flatnonzero(doubtful)
        out[np.unravel_index(few, out.shape)] = _quantile_of_valid(gather(np.ascontiguousarray(block), window, few), nodata, q)
    if block.dtype.kind == "f":
        unsign_zeros(out)


def _quantile_of_valid(samples: Array, nodata: complex | None, q: Fraction) -> Array:
    """Returns the quantiles over axis 0 of what is not missing, `(n_samples, n_windows)` -> `(n_windows,)`."""
    kind = samples.dtype.type
    missing = np.isnan(samples) if samples.dtype.kind == "f" else np.zeros(samples.shape, bool)
    if nodata is not None:
        missing |= samples == kind(nodata)
    return quantile_of_valid(samples, missing, math.nan if nodata is None and samples.dtype.kind == "f" else nodata or 0, q)


def quantile_of_valid(samples: Array, missing: Array, empty: complex, q: Fraction) -> Array:
    """Returns the quantiles over axis 0 of what is not `missing`, `empty` where everything is; `samples` are overwritten."""
    samples[missing] = np.inf if samples.dtype.kind == "f" else np.iinfo(samples.dtype).max  # sorted last; among equals it does not matter
    samples.sort(axis=0)
    n_valid = samples.shape[0] - missing.sum(axis=0)
    result = np.full(samples.shape[1], samples.dtype.type(empty))
    for n in np.unique(n_valid[n_valid > 0]).tolist():
        these = np.flatnonzero(n_valid == n)
        low, high, share = _place(n, q)
        result[these] = between(samples[low, these], samples[high, these], share)
    return result


def mode(block: Array, factors: Factors, out: Array, nodata: complex | None) -> None:
    """Writes the most frequent value of each window; of equally frequent ones the smallest.

    NaN and `nodata` are no samples; a window without samples becomes `nodata`, or NaN when that is not said. Windows of one
    value, most of a label image, are found by comparing only. Zeros come out positive.
    """
    if block.dtype.kind == "b":
        mode(block.view(np.uint8), factors, out.view(np.uint8), nodata)
        return
    for inside, windows, window in cuts(block.shape, factors):
        part, target = block[inside], out[windows]
        for some, where in slabs(part.shape, part.itemsize, window):
            _mode_slab(np.ascontiguousarray(part[some]), window, target[where], nodata)
    if block.dtype.kind == "f":
        unsign_zeros(out)
        if nodata is not None:
            out[np.isnan(out)] = nodata  # of windows that hold one sample only


def mode_ignoring(block: Array, factors: Factors, out: Array, nodata: complex | None, ignore: complex | None = None) -> None:
    """Writes the most frequent value other than `ignore` of each window; `ignore` where there is nothing else, missing samples apart."""
    if ignore is None or ignore == nodata:
        mode(block, factors, out, nodata)
        return
    background = block.dtype.type(ignore)
    if nodata is None and block.dtype.kind != "f":
        mode(block, factors, out, ignore)
        return
    gone = block != block
    if nodata is not None:
        gone |= block == block.dtype.type(nodata)
    mode(np.where(gone, background, block), factors, out, ignore)
    present = np.empty(out.shape, bool)
    fold(~gone, factors, present, np.logical_or)
    out[~present] = math.nan if nodata is None else nodata


def _mode_slab(block: Array, window: Factors, out: Array, nodata: complex | None) -> None:
    if _is_constant(block):
        out[...] = block.reshape(-1)[0]
        return
    first, flags = _compare(block, window)
    few = np.flatnonzero(flags)
    if not few.size:
        out[...] = first
    elif 2 * few.size > first.size:  # noise: counting all windows costs less than finding some
        for some, where in slabs(block.shape, block.itemsize, window, SLAB_BYTES // NOISE_PARTS):
            _count_all(block[some], window, out[where], nodata)
    else:
        result = np.array(first)
        result.reshape(-1)[few] = _most_frequent(gather(block, window, few), nodata, is_noise=False)
        out[...] = result


def _count_all(block: Array, window: Factors, out: Array, nodata: complex | None) -> None:
    rows = np.empty((math.prod(window), *out.shape), block.dtype)
    for row, view in zip(rows, places(block, window), strict=True):
        row[...] = view
    out[...] = _most_frequent(rows.reshape(len(rows), -1), nodata, is_noise=True).reshape(out.shape)


def _is_constant(block: Array) -> bool:
    """True when all samples are one integer, as most chunks of a background are; told by the first few samples where not."""
    if block.dtype.kind not in "ui":
        return False  # zeros of two signs are equal and not the same
    flat = block.reshape(-1)
    return bool((flat[:FIRST_LOOK] == flat[0]).all() and (flat == flat[0]).all())


def differ(block: Array, window: Factors) -> Array:
    """Returns which windows hold more than one value; NaN differs from itself. `block` is C-contiguous and holds whole windows."""
    return _compare(block, window)[1]


def _compare(block: Array, window: Factors) -> tuple[Array, Array]:
    """Returns the first sample of each window, and which windows hold more than one value; `block` as in `differ`."""
    compared: Array | None = None
    values = block
    if window[-1] == 2 and block.itemsize <= 2 and math.prod(window) > 2 and block.dtype.kind in "ui":
        values = block.view(f"u{2 * block.itemsize}")  # a pair along the last axis is compared as one item
    in_squares = window[-2:] == (2, 2)
    for axis, f in enumerate(window[:-2] if in_squares else window[:-1]):
        if f > 1:
            values, compared = _compare_along(values, compared, axis, f)
    if in_squares:
        return _compare_squares(block, window, values, compared)
    if values.dtype != block.dtype:
        values = block[tuple(slice(None, None, g) for g in window[:-1])]
    if window[-1] > 1:
        values, compared = _compare_along(values, compared, block.ndim - 1, window[-1])
    return values, np.zeros(values.shape, bool) if compared is None else compared


def _compare_along(values: Array, compared: Array | None, axis: int, f: int) -> tuple[Array, Array]:
    """Returns the first of every `f` values along an axis, and whether they differ, or any of them was flagged in `compared` before."""
    views = [values[(*(slice(None),) * axis, slice(i, None, f))] for i in range(f)]
    step: Array | None = None if compared is None else _any_along(compared, axis, f, views[0].shape)
    for view in views[1:]:
        unlike = views[0] != view
        step = unlike if step is None else np.logical_or(step, unlike, out=step)
    return views[0], np.zeros(views[0].shape, bool) if step is None else step


def _compare_squares(block: Array, window: Factors, values: Array, compared: Array | None) -> tuple[Array, Array]:
    """Does the last two axes of `_compare`, both of factor 2, when those before are done: in runs as long as there are, for rows are short.

    All rows but the last are compared with their next at once, which takes half the time of every other row by itself, and so are all samples
    of the rows that are left; what no window asks for is left out afterwards.
    """
    n_y, n_x = values.shape[-2:]
    flat, n = values.reshape(*values.shape[:-2], n_y * n_x), (n_y - 1) * n_x
    below = np.empty(flat.shape, bool)
    unlike = np.not_equal(flat[..., :n], flat[..., n_x:], out=below[..., :n])
    if compared is not None:
        before = compared.reshape(flat.shape)
        unlike |= before[..., :n]
        unlike |= before[..., n_x:]
    flags: Array = below.reshape(-1, n_x).take(_rows(values.shape[:-1], (*(1,) * (values.ndim - 2), 2)), axis=0)
    lines = block.reshape(-1, block.shape[-1]).take(_rows(block.shape[:-1], window[:-1]), axis=0).reshape(-1)
    beside = np.empty(lines.shape, bool)
    np.not_equal(lines[:-1], lines[1:], out=beside[:-1])
    pairs = beside.view(np.uint16)
    pairs &= FIRST_OF_PAIR
    if flags.size == lines.size:
        pairs |= flags.reshape(-1).view(np.uint16)
        mixed = pairs != 0
    else:
        mixed = pairs != 0
        mixed |= flags.reshape(-1)
    shape = window_shape(block.shape, window)
    return lines[::2].reshape(shape), mixed.reshape(shape)


@lru_cache(maxsize=32)
def _rows(shape: tuple[int, ...], factors: Factors) -> Array:
    """Returns the flat index of the first row of each window of rows; read-only."""
    found = np.arange(math.prod(shape)).reshape(shape)[tuple(slice(None, None, f) for f in factors)].reshape(-1)
    found.setflags(write=False)
    return found


def _any_along(flags: Array, axis: int, f: int, shape: tuple[int, ...]) -> Array:
    """Returns whether any of `f` neighbours along an axis is set; flags whose pairs are already one item are left as they are."""
    if flags.shape == shape:
        return flags
    if f == 2 and axis == flags.ndim - 1:
        both: Array = flags.view(np.uint16) != 0
        return both
    before = (slice(None),) * axis
    result: Array = flags[(*before, slice(0, None, f))] | flags[(*before, slice(1, None, f))]
    for i in range(2, f):
        result |= flags[(*before, slice(i, None, f))]
    return result


@lru_cache(maxsize=32)
def _runs(shape: tuple[int, ...], window: Factors) -> tuple[Array, Array]:
    """Returns the flat index of each window's first run of samples along the last axis, and how far from it its runs are, `(n, 1)`; read-only."""
    runs = (*shape[:-1], shape[-1] // window[-1])
    numbers = np.arange(math.prod(runs)).reshape(runs)
    starts = numbers[tuple(slice(None, None, f) for f in window[:-1])].reshape(-1)
    places = numbers[tuple(slice(0, f) for f in window[:-1])][..., 0].reshape(-1, 1) if starts.size else numbers.reshape(-1, 1)
    for found in (starts, places):
        found.setflags(write=False)
    return starts, places


def gather(block: Array, window: Factors, few: Array) -> Array:
    """Returns the samples of the windows `few` (flat indices), one row per place in the window, `(n, n_few)`; `block` C-contiguous."""
    starts, places = _runs(block.shape, window)
    chosen, n_last = starts.take(few), window[-1]
    if n_last != 2 or block.itemsize > 4:
        found = block.reshape(-1, n_last).take(chosen + places, axis=0)
        runs: Array = found.transpose(0, 2, 1).reshape(-1, few.size)
        return runs
    pairs = block.reshape(-1).view(f"u{2 * block.itemsize}")  # a pair is taken as one item
    rows = np.empty((places.size, 2, few.size), block.dtype)
    for row, place in zip(rows, places.reshape(-1).tolist(), strict=True):
        both = pairs[place:].take(chosen).view(block.dtype)
        row[0], row[1] = both[::2], both[1::2]
    return rows.reshape(-1, few.size)


def _most_frequent(rows: Array, nodata: complex | None, *, is_noise: bool) -> Array:
    """Returns the most frequent value of each window, given one row of samples per place; ties to the smallest.

    `is_noise` says that hardly any window will have a majority: then all are sorted, and the answer is the same.
    """
    dtype = rows.dtype
    missing: Any = None
    if dtype.kind == "f":
        keys = as_keys(rows)
        missing = as_keys(np.array([math.nan], dtype))[0]
        if nodata is not None:
            value = as_keys(np.array([nodata], dtype))[0]
            keys[keys == missing] = value
            missing = value
        rows = keys
    elif nodata is not None:
        missing = dtype.type(nodata)
    best = _counted(rows, missing) if is_noise else _by_majority(rows, missing)
    return from_keys(best, dtype) if dtype.kind == "f" else best


def _by_majority(rows: Array, missing: Any) -> Array:
    """Returns the most frequent value of each window: the smallest or the largest one where half of the samples say so, else counted in full.

    With half of the samples the smallest one wins, for a tie goes to it. So does the largest one: the smallest is there too, so no other has half.
    """
    n = len(rows)
    low, high = rows.min(axis=0), rows.max(axis=0)
    n_low, n_high = _n_true(rows == low), _n_true(rows == high)
    leads = n_high > n_low
    if missing is None:
        doubtful = np.maximum(n_low, n_high) < (n + 1) // 2
    else:
        leads = (leads & (high != missing)) | (low == missing)
        doubtful = (np.where(leads, n_high, n_low) < (n + 1) // 2) & (n_low + n_high != n)
    best: Array = high
    best -= low  # modulo: low + (high - low) * leads is high where it leads, several times faster than a choice by branches
    best *= leads
    best += low
    rest = np.flatnonzero(doubtful)
    if rest.size:
        best[rest] = _counted(rows.take(rest, axis=1), missing)
    return best


def _counted(rows: Array, missing: Any) -> Array:
    """Returns the most frequent value of each window by counting in full, the way that is fastest for so many."""
    n, n_windows = rows.shape
    if n * n_windows <= MOST_PAIRED:
        return _by_pairs(rows, missing)
    return _by_lags(rows, missing) if n <= MOST_COMPARED else _longest_run(rows, missing)


def _by_lags(rows: Array, missing: Any) -> Array:
    """Returns the most frequent value of each window, the smallest one of equally frequent ones: all rows against all others, a distance at a time."""
    unsigned = np.dtype(f"u{rows.itemsize}")
    top = unsigned.type(1 << (8 * rows.itemsize - 1)) if rows.dtype.kind == "i" else None
    ordered = rows if top is None else rows.view(unsigned) ^ top
    counts = np.ones(rows.shape, np.uint8)
    for lag in range(1, len(rows)):
        same = (rows[lag:] == rows[:-lag]).view(np.uint8)
        counts[lag:] += same
        counts[:-lag] += same
    if missing is not None:
        counts *= rows != missing
    behind = counts != counts.max(axis=0)
    candidates = np.negative(behind.view(np.int8)).astype(f"i{rows.itemsize}").view(unsigned)  # all bits where another is more frequent
    candidates |= ordered
    best: Array = candidates.min(axis=0)
    if top is not None:
        best ^= top
    return best.view(rows.dtype)


def _n_true(flags: Array) -> Array:
    """Returns how many are set along axis 0, in the narrowest type."""
    n: Array = np.add.reduce(flags.view(np.uint8), axis=0, dtype=np.uint8 if len(flags) < 256 else np.uint32)
    return n


def _by_pairs(rows: Array, missing: Any) -> Array:
    """Returns the most frequent value of each window, the smallest one of equally frequent ones, by comparing every sample with every other one."""
    n_same = _n_true(rows[:, np.newaxis] == rows)
    if missing is not None:
        n_same *= rows != missing
    candidates = np.where(n_same == n_same.max(axis=0), rows, np.iinfo(rows.dtype).max)
    best: Array = candidates.min(axis=0)
    return best


def _longest_run(samples: Array, missing: Any) -> Array:
    """Sorts the rows of `samples` and returns the value of the longest run, the first one of equal length.

    A run's length and its place are held in one small number, `length * n + (n - 1 - place)`, so that one maximum finds both.
    """
    n, n_windows = samples.shape
    rows = np.concatenate([samples, samples[:1]])  # the last one is scratch
    at = _sort_rows(rows, tuple(range(n)))
    small = np.uint8 if n * n + n < 256 else np.uint32
    run: Array = np.ones(n_windows, small)
    best: Array = np.full(n_windows, n + n - 1, small)
    if missing is not None:
        run *= rows[at[0]] != missing
        best *= run
    code: Array = np.empty(n_windows, small)
    for place in range(1, n):
        row = rows[at[place]]
        run *= rows[at[place - 1]] == row
        run += small(1)
        if missing is not None:
            run *= row != missing
        np.multiply(run, small(n), out=code)
        code += small(n - 1 - place)
        if missing is not None:
            code *= run != 0
        np.maximum(best, code, out=best)
    rank = n - 1 - best.astype(np.intp) % n
    where = np.array(at)[rank]
    where *= n_windows
    where += np.arange(n_windows)
    found: Array = rows.reshape(-1).take(where)
    return found


def as_keys(values: Array) -> Array:
    """Returns integers in the order of the floats: one key for both zeros, one for every NaN, above all others."""
    bits = values.dtype.itemsize * 8
    keys: Array = (values + values.dtype.type(0)).view(f"i{bits // 8}")
    keys = keys ^ ((keys >> (bits - 1)) & np.iinfo(keys.dtype).max)
    keys[np.isnan(values)] = np.iinfo(keys.dtype).max
    return keys


def from_keys(keys: Array, dtype: np.dtype[Any]) -> Array:
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
        fold(np.where(missing, neutral(block.dtype, op), block), factors, out, op)
        empty = np.empty(out.shape, bool)
        fold(missing, factors, empty, np.logical_and)
    if block.dtype.kind == "f":
        unsign_zeros(out)
    if empty.any():
        out[empty] = math.nan if nodata is None else nodata


def neutral(dtype: np.dtype[Any], op: np.ufunc) -> Any:
    """Returns the sample that never is the answer unless there is no other."""
    top = op in (np.minimum, np.fmin)
    if dtype.kind == "b":
        return np.bool_(top)
    if dtype.kind == "f":
        return dtype.type(math.inf if top else -math.inf)
    return np.iinfo(dtype).max if top else np.iinfo(dtype).min


def unsign_zeros(values: Array) -> None:
    """Makes -0.0 into 0.0: they compare equal, and which of them `minimum` returns differs between vector lanes and loop tails."""
    np.add(values, values.dtype.type(0), out=values)
