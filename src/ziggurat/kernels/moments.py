"""Sums of functions of samples (squares, directions), and variances: in float64, weighed, missing samples left out.

As in `windows`, everything runs in slabs, and the order in which the samples of a window are combined is fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ziggurat.kernels.weights import count_valid, valid_samples
from ziggurat.kernels.windows import SLAB_BYTES, Array, Factors, fold, slabs, window_counts

Term = Callable[[Array], Array]
"""A function of samples in float64, elementwise."""


def fold_terms(block: Array, given: Array | None, nodata: complex | None, terms: Sequence[Term], factors: Factors, outs: Sequence[Array]) -> Array | None:
    """Sums each term over the valid samples of each window into its `out` (float64), times the weights where `given` are floats.

    `given` is None, a mask (bool, True where a sample is there) or weights (float64), of the shape of `block`. Returns the valid samples,
    None when all are.
    """
    valid = valid_samples(block, nodata, given)
    weighs = given is not None and given.dtype.kind == "f"
    for inside, where in slabs(block.shape, 8, factors, SLAB_BYTES // 4):
        wide = block[inside].astype(np.float64)
        if valid is not None:
            wide[~valid[inside]] = 0
        for term, out in zip(terms, outs, strict=True):
            with np.errstate(over="ignore", invalid="ignore"):
                product = term(wide)
                if valid is not None:
                    product[~valid[inside]] = 0
                if weighs and given is not None:
                    product *= given[inside]
            fold(product, factors, out[where], np.add)
    return valid


def fold_weights(shape: tuple[int, ...], given: Array | None, valid: Array | None, factors: Factors, out: Array) -> None:
    """Sums the weights of the valid samples of each window into `out`; without weights it counts them."""
    if given is not None and given.dtype.kind == "f":
        fold(given if valid is None else np.where(valid, given, 0.0), factors, out, np.add)
    elif valid is None:
        window_counts(shape, factors, out)
    else:
        count_valid(valid, factors, out)


def merge_moments(means: Array, squares: Array | None, weights: Array, factors: Factors, out: tuple[Array, Array], sums: Array) -> None:
    """Merges weighted means and sums of squared deviations of each window: `out` are those of the window, `sums` its weight.

    `squares` None: single samples, that deviate from nothing. Source: Chan, Golub and LeVeque 1979, in the form for many parts: deviations are taken
    from the merged mean, so nothing cancels.
    """
    mean, deviation = out
    for inside, where in slabs(means.shape, 8, factors, SLAB_BYTES // 4):
        some, heavy = means[inside], weights[inside].astype(np.float64)
        fold(heavy, factors, sums[where], np.add)
        some = np.where(heavy > 0, some, 0.0)
        total = np.empty(mean[where].shape, np.float64)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            fold(some * heavy, factors, total, np.add)
            np.divide(total, sums[where], out=total, where=sums[where] > 0)
            apart = some - _spread(total, factors, some.shape)
            apart *= apart
            apart *= heavy
            if squares is not None:
                apart += squares[inside]
            fold(apart, factors, deviation[where], np.add)
        mean[where] = total


def _spread(values: Array, factors: Factors, shape: tuple[int, ...]) -> Array:
    """Returns each window's value at the place of each of its samples."""
    for axis, (f, n) in enumerate(zip(factors, shape, strict=True)):
        if f > 1:
            values = np.repeat(values, f, axis=axis)[(*(slice(None),) * axis, slice(0, n))]
    return values


def saturate(values: Array, out: Array) -> None:
    """Casts sums into the dtype of `out`; what it cannot hold becomes its nearest end, infinities stay."""
    if out.dtype.kind in "ui":
        held, given = np.iinfo(out.dtype), np.iinfo(values.dtype)
        out[...] = np.clip(values, max(held.min, given.min), min(held.max, given.max))
    elif out.dtype.kind == "f":
        top = np.finfo(out.dtype).max
        with np.errstate(over="ignore"):
            out[...] = np.where(np.isinf(values), values, np.clip(values, -values.dtype.type(top), values.dtype.type(top)))
    else:
        saturate(values.real, out.real)
        saturate(values.imag, out.imag)


def saturate_split(high: Array, low: Array, out: Array) -> None:
    """Joins the limbs of split sums of 64-bit integers in the dtype of `out` (64 bits); what it cannot hold becomes its nearest end."""
    info, half = np.iinfo(out.dtype), 32
    top = high + (low >> np.uint64(half)).astype(high.dtype)
    joined = (top.view(np.uint64) << np.uint64(half)) | (low & np.uint64((1 << half) - 1))
    out[...] = joined.view(out.dtype)
    out[top > high.dtype.type(int(info.max) >> half)] = info.max
    out[top < high.dtype.type(int(info.min) >> half)] = info.min
