"""Window arithmetic on arrays: ndarray in, ndarray out; no axis names, no input or output, no state.

A *window* is a box of `factors` samples; windows lie side by side from index 0 of the block, and the last one of an axis
may be partial: it holds what is there. `out.shape == ceil(block.shape / factors)` throughout.

Everything runs in slabs that stay in a core's cache. The order in which the samples of a window are combined is fixed: first
axis first, ascending, so a result depends on the window alone and never on how an array was cut into blocks.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
"""An array of any numeric dtype: kernels are generic, the dtype is a value and not a type."""
Region: TypeAlias = tuple[slice, ...]
Factors: TypeAlias = tuple[int, ...]

SLAB_BYTES = 1 << 20
"""1 MiB: a slab and its temporaries stay near a core (second-level caches are 0.5 to 2 MiB), and calls are few; measured."""
FEW = 16
"""An innermost axis of factor 1 and at most this long (colours) is looped over where numpy's inner loop would be that short."""
HALF = 32
"""Bits of the low limb of a split 64-bit sum."""
SHORT_BYTES = 256
"""Runs up to this long are too short for numpy's inner loop: there sliding sums (see `_slide`) are faster; measured."""
SLIDE_BYTES = 512 << 10
"""Above it the sums that sliding throws away cost more memory traffic than short loops cost time; measured."""


def window_shape(shape: tuple[int, ...], factors: Factors, lead: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Returns the number of windows per axis, partial ones included; `lead`: samples of the first window that are not in the block.

    >>> window_shape((5, 4), (2, 4)), window_shape((5, 4), (2, 4), (1, 1))
    ((3, 1), (3, 2))
    """
    return tuple(-(-(n + a) // f) for n, f, a in zip(shape, factors, lead or (0,) * len(shape), strict=True))


@lru_cache(maxsize=512)
def slabs(
    shape: tuple[int, ...], itemsize: int, factors: Factors, slab_bytes: int = SLAB_BYTES, lead: tuple[int, ...] = ()
) -> tuple[tuple[Region, Region], ...]:
    """Returns (region of the block, region of its windows) of each slab: whole windows, at most about `slab_bytes` of input each.

    `lead`: samples of the first window that are not in the block; only slabs that begin where the block does have it.

    >>> [a for a, _ in slabs((5, 4), 1, (2, 2), 8)]
    [(slice(0, 2, None), slice(0, 4, None)), (slice(2, 4, None), slice(0, 4, None)), (slice(4, 5, None), slice(0, 4, None))]
    """
    steps = list(shape)
    for axis, f in enumerate(factors):
        if math.prod(steps) * itemsize <= slab_bytes:
            break
        inner = math.prod(steps[axis + 1 :]) * itemsize * f
        steps[axis] = min(steps[axis], max(1, slab_bytes // max(1, inner)) * f)
    axes = []
    for n, step, f, a in zip(shape, steps, factors, lead or (0,) * len(shape), strict=True):
        starts = [0, *range(step - a, n, step)] if step < n else [0][:n]
        parts = [slice(start, stop) for start, stop in zip(starts, [*starts[1:], n], strict=True)]
        axes.append([(part, slice((part.start + a) // f, -(-(part.stop + a) // f))) for part in parts])
    return tuple((tuple(inside for inside, _ in some), tuple(windows for _, windows in some)) for some in itertools.product(*axes))


def fold(block: Array, factors: Factors, out: Array, op: np.ufunc, lead: tuple[int, ...] = ()) -> None:
    """Combines the samples of each window with the binary ufunc `op`, in the dtype of `out`.

    `lead`: how many samples of the first window of each axis are not in the block; that window holds the rest.

    `out` may be a strided view; its dtype must hold every partial result. Axes are folded first to last, samples of an
    axis in ascending order (integer sums may be taken in another order, which cannot be seen).
    """
    regions = slabs(block.shape, block.itemsize, factors, SLAB_BYTES, lead) if lead else slabs(block.shape, block.itemsize, factors)
    if len(regions) == 1:
        _fold_slab(block, factors, out, op, lead)
        return
    for inside, windows in regions:
        some = tuple(0 if part.start else a for part, a in zip(inside, lead, strict=True)) if lead else ()
        _fold_slab(block[inside], factors, out[windows], op, some)


Part = tuple[Region | None, tuple[Region, ...]]
"""Where a step writes (None: everywhere), and the operands that it combines, in order."""


@lru_cache(maxsize=512)
def _steps(shape: tuple[int, ...], factors: Factors, lead: tuple[int, ...]) -> tuple[tuple[tuple[int, ...], tuple[Part, ...]], ...]:
    """Returns per folded axis the shape after it, and its whole and partial windows: all that a slab's fold looks up."""
    steps = []
    for axis, f in enumerate(factors):
        if f == 1:
            continue
        n, missing = shape[axis], lead[axis] if lead else 0
        head = min(f - missing, n) if missing else 0
        full, rest = divmod(n - head, f)
        before = (slice(None),) * axis
        parts: list[Part] = []
        if head:
            parts.append(((*before, slice(0, 1)), tuple((*before, slice(i, i + 1)) for i in range(head))))
        first = len(parts)
        if full:
            body = tuple((*before, slice(head + i, head + full * f, f)) for i in range(f))
            parts.append(((*before, slice(first, first + full)) if head or rest else None, body))
        if rest:
            tail = tuple((*before, slice(i, i + 1)) for i in range(n - rest, n))
            parts.append(((*before, slice(first + full, first + full + 1)), tail))
        if axis == len(shape) - 2 and factors[-1] == 1 and 1 < shape[-1] <= FEW:
            parts = [_with_last(part, axis, i) for part in parts for i in range(shape[-1])]
        shape = (*shape[:axis], first + full + (rest > 0), *shape[axis + 1 :])
        steps.append((shape, tuple(parts)))
    return tuple(steps)


def _with_last(part: Part, axis: int, i: int) -> Part:
    """Returns a part for one index of the last axis, so that the loop over `axis` is the inner one."""
    where, operands = part
    last = slice(i, i + 1)
    return (*(where or (slice(None),) * (axis + 1)), last), tuple((*operand, last) for operand in operands)


def _fold_slab(block: Array, factors: Factors, out: Array, op: np.ufunc, lead: tuple[int, ...] = ()) -> None:
    if op is np.add and block.itemsize < out.itemsize and block.dtype.kind == out.dtype.kind and block.dtype.kind in "ui" and block.size:
        _add_widening(block, factors, out, lead)
    else:
        _fold_steps(block, factors, out, op, lead)


def _fold_steps(block: Array, factors: Factors, out: Array, op: np.ufunc, lead: tuple[int, ...]) -> None:
    dtype = out.dtype
    steps = _steps(block.shape, factors, lead)
    if not steps:
        out[...] = block
        return
    may_slide = op is np.add and dtype.kind in "ui"
    for shape, parts in steps:
        target = out if shape == out.shape else np.empty(shape, dtype)
        for where, operands in parts:
            part = target if where is None else target[where]
            if may_slide and _slides(block, operands):
                part[...] = _slide(block.astype(dtype, copy=False), operands)
                continue
            if len(operands) == 1:
                part[...] = block[operands[0]]
                continue
            op(block[operands[0]], block[operands[1]], out=part, dtype=dtype)
            for operand in operands[2:]:
                op(part, block[operand], out=part, dtype=dtype)
        block = target


def _slides(block: Array, operands: tuple[Region, ...]) -> bool:
    """True when whole windows of an odd length lie along an axis whose runs are short."""
    if len(operands) % 2 == 0 or len(operands) == 1 or not block.flags.c_contiguous or block.nbytes > SLIDE_BYTES:
        return False
    axis = len(operands[0]) - 1
    return operands[0][axis].step is not None and block.strides[axis] <= SHORT_BYTES


def _slide(block: Array, operands: tuple[Region, ...]) -> Array:
    """Returns the sums of integers over windows along an axis, taken out of the sums that begin at every sample.

    Those of all samples lie side by side, so a few long additions make them; sums that run over the end of a row are not looked at.
    """
    axis, n = len(operands[0]) - 1, len(operands)
    flat, run = block.reshape(-1), block.strides[axis] // block.itemsize
    sums = np.empty_like(block)
    some = sums.reshape(-1)[: flat.size - (n - 1) * run]
    np.add(flat[: some.size], flat[run : run + some.size], out=some)
    for i in range(2, n):
        np.add(some, flat[i * run : i * run + some.size], out=some)
    taken: Array = sums[operands[0]]
    return taken


class _Widening(NamedTuple):
    """How integers are added into a wider type."""

    most: tuple[int, int]
    """Largest magnitudes whose sums over all axes, and over all but the last, fit the block's own type; -1 where that is of no use."""
    factors: tuple[Factors, Factors]
    """All factors; all but the last."""
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    """Of the sums over all axes, and over all but the last."""
    leads: tuple[tuple[int, ...], tuple[int, ...]]
    last: tuple[Factors, tuple[int, ...]]
    """Factors and lead of what is left to add when all axes but the last are added."""
    pairs: tuple[bool, bool]
    """Whether neighbours along the last axis are best added in pairs: of the block, and of the sums over all axes but the last."""


@lru_cache(maxsize=512)
def _widening(shape: tuple[int, ...], itemsize: int, kind: str, out_itemsize: int, factors: Factors, lead: tuple[int, ...]) -> _Widening:
    inner, own = (*factors[:-1], 1), lead or (0,) * len(shape)
    before, room = (*own[:-1], 0), 1 << (8 * itemsize - (kind == "i"))
    shapes = window_shape(shape, factors, own), window_shape(shape, inner, before)
    # 8-bit sums are soon full; single bytes are added in pairs at once
    most = [(room - 1) // math.prod(some) if itemsize > 1 and max(inner) > 1 else -1 for some in (factors, inner)]
    even = kind == "u" and factors[-1] == 2 and shape[-1] % 2 == 0 and not own[-1] and shape[-1] > 0
    pairs = even and itemsize == 1, even and 2 * itemsize == out_itemsize
    ones = (1,) * (len(shape) - 1)
    rest = (*ones, factors[-1]), (*(0,) * len(ones), own[-1]) if own[-1] else ()
    return _Widening((most[0], most[1]), (factors, inner), shapes, (lead, before if any(before) else ()), rest, pairs)


def _add_widening(block: Array, factors: Factors, out: Array, lead: tuple[int, ...]) -> None:
    """Adds integers into a wider type, in their own type as long as the largest of them leaves room: no casts, twice the vector width."""
    way = _widening(block.shape, block.itemsize, block.dtype.kind, out.itemsize, factors, lead)
    pairs = way.pairs[0] or (way.pairs[1] and max(factors[:-1], default=1) == 1)
    if way.most[1] >= 0 and (largest := _largest(block)) <= way.most[1]:
        fits = largest <= way.most[0]
        which = 0 if fits and not way.pairs[1] else 1
        sums = np.empty(way.shapes[which], block.dtype)
        _fold_steps(block, way.factors[which], sums, np.add, way.leads[which])
        if fits:
            if which:
                _add_small_pairs(sums, out)
            else:
                out[...] = sums
            return
        block, (factors, lead), pairs = sums, way.last, way.pairs[1]
    if not pairs or not block.flags.c_contiguous:
        _fold_steps(block, factors, out, np.add, lead)
    elif max(factors[:-1], default=1) == 1:
        _add_pairs(block, out)
    else:
        _fold_steps(_add_pairs(block), (*factors[:-1], 1), out, np.add, lead)


def _largest(block: Array) -> int:
    """Returns the largest magnitude of integers."""
    largest = int(block.max())
    return largest if block.dtype.kind == "u" else max(largest, -int(block.min()))


def _add_pairs(block: Array, out: Array | None = None) -> Array:
    """Returns the sums of neighbours along the last axis: a shift, a mask and an addition at full vector width, no casts."""
    pairs = block.view(f"u{2 * block.itemsize}")
    kind, n_bits = pairs.dtype.type, 8 * block.itemsize
    total: Array = pairs >> kind(n_bits)
    sums: Array = np.add(total, pairs & kind((1 << n_bits) - 1), out=total if out is None else out)
    return sums


def _add_small_pairs(block: Array, out: Array) -> None:
    """Adds neighbours along the last axis whose sums fit the block's own type: the upper half of a pair times 1 + 2**bits is their sum."""
    pairs = block.view(f"u{2 * block.itemsize}")
    kind, n_bits = pairs.dtype.type, 8 * block.itemsize
    np.right_shift(pairs * kind((1 << n_bits) + 1), kind(n_bits), out=out)


def pick(block: Array, factors: Factors, out: Array) -> None:
    """Copies the first sample of each window into `out`."""
    out[...] = block[tuple(slice(None, None, f) for f in factors)]


def window_counts(shape: tuple[int, ...], factors: Factors, out: Array) -> None:
    """Fills `out` with the number of samples that each window holds."""
    out[...] = math.prod(min(n, f) for n, f in zip(shape, factors, strict=True))
    for axis, (n, f) in enumerate(zip(shape, factors, strict=True)):
        if n > f and n % f:
            last = (*(slice(None),) * axis, slice(-1, None))
            out[last] = out[last] // f * (n % f)


def has_nan(values: Array) -> bool:
    """True when any value is NaN; for sums also where infinities of both signs met."""
    return bool(np.isnan(values).any())


def looks_missing(block: Array) -> bool:
    """True when one in 16 samples, looked at cheaply, holds a NaN: then the plain sums are not worth trying."""
    return has_nan(block[..., ::16])


def has_missing(block: Array, nodata: complex) -> bool:
    """True when any sample is NaN or `nodata`."""
    return bool((block == block.dtype.type(nodata)).any()) or has_nan(block)


def subtract_missing(sums: Array, nodata: int, n_missing: Array) -> None:
    """Takes `n_missing` samples of value `nodata` out of integer sums again; exact, cheaper than masking every sample."""
    if nodata:
        sums -= n_missing.astype(sums.dtype) * sums.dtype.type(nodata)


def fold_valid(block: Array, nodata: complex | None, factors: Factors, out: Array, counts: Array) -> None:
    """Sums the samples of each window that are neither NaN nor `nodata`, in the dtype of `out` (floats), and counts them."""
    for inside, where in slabs(block.shape, block.itemsize, factors, SLAB_BYTES // 2):
        part = block[inside]
        valid = part == part
        if nodata is not None:
            valid &= part != part.dtype.type(nodata)
        _fold_slab(_zero_where_not(valid, part), factors, out[where], np.add)
        _fold_slab(valid.view(np.uint8), factors, counts[where], np.add)


def _zero_where_not(valid: Array, part: Array) -> Array:
    if part.dtype.kind == "c":
        return np.where(valid, part, part.dtype.type(0))
    # bits times 0 or 1: several times faster than a masked copy
    bits = np.multiply(part.view(f"i{part.itemsize}"), valid.view(np.int8))
    zeroed: Array = bits.view(part.dtype)
    return zeroed


def divide(sums: Array, n: int, out: Array) -> None:
    """Divides sums by the number `n` of samples behind each, once, half to even, into the dtype of `out`.

    Integer sums must leave room: `abs(sum) + n // 2` fits their dtype. Floats and complex numbers are rounded by the division.
    """
    if sums.dtype.kind == "c":
        # part by part: dividing by a complex number rounds more than once
        divide(sums.real, n, out.real)
        divide(sums.imag, n, out.imag)
        return
    for inside, _ in slabs(sums.shape, sums.itemsize, (1,) * sums.ndim, SLAB_BYTES // 4):
        if n == 1:
            out[inside] = sums[inside]
        elif sums.dtype.kind == "f":
            kind = sums.dtype.type
            out[inside] = sums[inside] * kind(1 / n) if n & (n - 1) == 0 else sums[inside] / kind(n)
        else:
            _divide_integers(sums[inside], n, out[inside])


def _divide_integers(sums: Array, n: int, out: Array) -> None:
    kind = sums.dtype.type
    if n & (n - 1) == 0:
        # b + (n/2 - 1) + (lowest bit that stays) carries exactly where half to even goes up
        shift = kind(n.bit_length() - 1)
        rounded = sums >> shift
        rounded &= kind(1)
        rounded += kind(n // 2 - 1)
        rounded += sums
        np.right_shift(rounded, shift, out=out, casting="unsafe")
    elif n % 2:
        np.floor_divide(sums + kind(n // 2), kind(n), out=out, casting="unsafe")
    else:
        quotient = sums // kind(n)
        out[...] = _round(quotient, sums - quotient * kind(n), kind(n))


def _round(quotient: Array, rest: Array, n: Any) -> Array:
    """Returns the quotient of a floor division by `n`, rounded half to even by its `rest`; both are overwritten."""
    rest += rest
    rest += quotient & quotient.dtype.type(1)  # a tie goes up from an odd quotient only
    quotient += rest > n
    return quotient


def divide_by(sums: Array, weights: Array, n: int, out: Array, missing: complex) -> None:
    """Divides sums by the `weights`, the number of valid samples behind each, half to even; `missing` where there is none.

    `n` is the largest weight that there can be; where it is the weight, the result is that of `divide`. Integer sums are at
    most `n` times the largest value of `out`.
    """
    if sums.dtype.kind == "c":
        divide_by(sums.real, weights, n, out.real, missing.real)
        divide_by(sums.imag, weights, n, out.imag, missing.imag)
        return
    exact = None if sums.dtype.kind == "f" else _exact_float(out.dtype, n)
    for inside, _ in slabs(sums.shape, sums.itemsize, (1,) * sums.ndim, SLAB_BYTES // 4):
        some, few = sums[inside], weights[inside]
        none = few == 0
        if sums.dtype.kind == "f":
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                out[inside] = some / few
        else:
            divisors = few.astype(some.dtype if exact is None else exact)
            divisors += none
            quotient = some // divisors if exact is None else some / divisors
            out[inside] = _round(quotient, some - quotient * divisors, divisors) if exact is None else np.rint(quotient, out=quotient)
        if (missing or sums.dtype.kind == "f") and none.any():
            out[inside][none] = missing


def _exact_float(dtype: np.dtype[Any], n: int) -> np.dtype[Any] | None:
    """Returns the narrowest float in which quotients of sums of up to `n` samples of `dtype` round like exact ones, None when none does.

    A quotient `s / w` that is no tie is at least 1 / 2w away from one, and is off by at most half a unit in its last place: with p bits of
    precision it cannot become a tie while `s < 2**(p - 1)`; ties themselves are exact. NumPy divides arrays of floats
    several times faster than arrays of integers (by one number it is the other way round).
    """
    info = np.iinfo(dtype)
    largest = max(int(info.max), -int(info.min)) * n
    for precision, name in ((24, "float32"), (53, "float64")):
        if largest < 1 << (precision - 1):
            return np.dtype(name)
    return None


def split(block: Array) -> tuple[Array, Array]:
    """Returns the high and the low 32 bits of 64-bit integers: `block == (high << 32) + low`, `low` never negative.

    >>> [limb.tolist() for limb in split(np.array([-1, 2**33 + 5]))]
    [[-1, 2], [4294967295, 5]]
    """
    return block >> block.dtype.type(HALF), (block & block.dtype.type((1 << HALF) - 1)).view(np.uint64)


def divide_split(high: Array, low: Array, n: Array | int, out: Array) -> None:
    """Divides split sums by `n` (a number or an array, at least 1, at most 2**31), half to even; exact for 64-bit integers."""
    for inside, _ in slabs(high.shape, high.itemsize, (1,) * high.ndim, SLAB_BYTES // 16):
        by = n if isinstance(n, int) else n[inside]
        first, carried = _divmod(high[inside], by)
        rest = (carried.view(np.uint64) << np.uint64(HALF)) + low[inside]
        second, rest = _divmod(rest, by)
        value = (first.view(np.uint64) << np.uint64(HALF)) + second
        out[inside] = _round(value, rest, by).view(out.dtype)


def _divmod(values: Array, n: Array | int) -> tuple[Array, Array]:
    """Returns floor quotients and the rests, never negative."""
    kind = values.dtype.type
    if isinstance(n, int) and n & (n - 1) == 0:
        return values >> kind(n.bit_length() - 1), values & kind(n - 1)
    by = kind(n) if isinstance(n, int) else n.astype(values.dtype)
    quotient = values // by
    return quotient, values - quotient * by
