"""Windows whose samples weigh differently, or are not there: masks and weights given beside the samples.

A sample is missing when it is NaN, `nodata`, or weighs nothing. As in `windows`, everything runs in slabs, and the order in which the
samples of a window are combined is fixed, so results do not depend on how an array was cut.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from ziggurat.kernels.windows import HALF, SLAB_BYTES, Array, Factors, fold, slabs

SAME_SHARE = 1e-12
"""Shares of float weights that differ by less, relatively, are one: sums of weights are rounded, a share that was said is not."""


def valid_samples(block: Array, nodata: complex | None, weights: Array | None = None) -> Array | None:
    """Returns which samples are there, None when all are; `weights` (any dtype, broadcast to `block`) are 0 where one is not."""
    valid = None if weights is None else weights != 0
    if block.dtype.kind in "fc":
        there = block == block
        valid = there if valid is None else valid & there
    if nodata is not None:
        there = block != block.dtype.type(nodata)
        valid = there if valid is None else valid & there
    return None if valid is None or valid.all() else np.broadcast_to(valid, block.shape)


def fold_masked(block: Array, valid: Array, factors: Factors, out: tuple[Array, ...], counts: Array) -> None:
    """Sums the valid samples of each window of integers, exactly, and counts them; two `out` are the limbs of a split sum."""
    for inside, where in slabs(block.shape, block.itemsize, factors, SLAB_BYTES // 4):
        there = np.ascontiguousarray(valid[inside])
        part = block[inside] * there.astype(block.dtype)
        limbs = (part,) if len(out) == 1 else (part >> part.dtype.type(HALF), (part & part.dtype.type((1 << HALF) - 1)).view(np.uint64))
        for limb, place in zip(limbs, out, strict=True):
            fold(limb, factors, place[where], np.add)
        fold(there.view(np.uint8), factors, counts[where], np.add)


def fold_weighted(block: Array, weights: Array, nodata: complex | None, factors: Factors, out: Array, sums: Array) -> None:
    """Sums weight times sample over each window, and the weights of valid samples, in float64 (complex128).

    `weights` has the shape of `block`, often as a broadcast view; `out` and `sums` have a value per window.
    """
    for inside, where in slabs(block.shape, 8, factors, SLAB_BYTES // 4):
        part = block[inside]
        heavy = weights[inside].astype(np.float64)
        product = part.astype(out.dtype)
        valid = valid_samples(part, nodata, heavy)
        if valid is not None:
            product[~valid] = 0
            heavy[~valid] = 0
        product *= heavy
        fold(product, factors, out[where], np.add)
        fold(heavy, factors, sums[where], np.add)


def fold_extreme(block: Array, valid: Array, factors: Factors, out: Array, op: np.ufunc, neutral: Any) -> None:
    """Combines the valid samples of each window with `op`; a window without one gives `neutral`."""
    fold(np.where(valid, block, block.dtype.type(neutral)), factors, out, op)


def count_valid(valid: Array, factors: Factors, out: Array) -> None:
    """Counts the valid samples of each window, in the dtype of `out`."""
    fold(np.ascontiguousarray(valid).view(np.uint8), factors, out, np.add)


def divide_weighted(sums: Array, weights: Array, out: Array) -> None:
    """Divides sums by weights once, integers half to even and within their range; where the weight is 0 the result is 0."""
    for inside, _ in slabs(sums.shape, sums.itemsize, (1,) * sums.ndim, SLAB_BYTES // 4):
        some = weights[inside]
        quotient = np.zeros_like(sums[inside])
        with np.errstate(over="ignore", invalid="ignore"):
            np.divide(sums[inside], some, out=quotient, where=some != 0)
            if out.dtype.kind in "ui":
                store_integers(np.rint(quotient), out[inside])
            else:
                out[inside] = quotient


def store_integers(rounded: Array, out: Array) -> None:
    """Casts whole floats; what the dtype cannot hold becomes its end: a float64 near 2**63 may be 2**63."""
    info = np.iinfo(out.dtype)
    above = rounded >= float(info.max)
    rounded[above] = 0
    out[...] = np.maximum(rounded, float(info.min))
    out[above] = info.max


def too_few(weights: Array, totals: Array | int, min_valid: float | None) -> Array:
    """Returns where the weight of valid samples is 0, or a smaller share of `totals` than `min_valid`.

    A number as `totals`, or unsigned integers, are counts of samples: then the comparison is exact, with `min_valid` the decimal that it is written as.

    >>> too_few(np.array([0, 6, 7]), 100, 0.07).tolist(), too_few(np.array([0.0, 1.0]), np.array([4.0, 4.0]), 0.25).tolist()
    ([True, True, False], [True, False])
    """
    lacking: Array = weights == 0
    if min_valid is not None and isinstance(totals, int):
        lacking |= weights < math.ceil(Fraction(repr(min_valid)) * totals)
    elif min_valid is not None and not isinstance(totals, int) and totals.dtype.kind == "u":
        for n in np.unique(totals).tolist():
            lacking |= (totals == n) & (weights < math.ceil(Fraction(repr(min_valid)) * n))
    elif min_valid is not None:
        lacking |= weights < totals * (min_valid * (1 - SAME_SHARE))
    return lacking
