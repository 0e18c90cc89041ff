"""Missing samples and weights: every level against Python's fractions over the windows of the base, which shares no code with what is tested."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ziggurat import geometry
from ziggurat.reductions import find, reduce_array

Array = NDArray[Any]
INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
FLOATS = ("float16", "float32", "float64")
EXTREMES: dict[str, Callable[[list[Any]], Any]] = {"min": min, "max": max, "any": max, "all": min}


def valid_share(valid: Array, weights: Array) -> tuple[Fraction, Fraction]:
    """The weight of valid samples of a window and of all, exactly."""
    pairs = list(zip(valid.ravel().tolist(), map(Fraction, weights.ravel().tolist()), strict=True))
    return sum((w for v, w in pairs if v), Fraction(0)), sum((w for _, w in pairs), Fraction(0))


def oracle(name: str, base: Array, factors: Sequence[int], valid: Array, weights: Array, min_valid: float | None, missing: Any) -> Array:
    """One level from the base; `factors` are cumulative."""
    out = np.empty(geometry.level_shape(base.shape, tuple(factors)), base.dtype)
    for index in np.ndindex(*out.shape):
        where = tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factors, strict=True))
        some, every = valid_share(valid[where], weights[where])
        if some == 0 or (min_valid is not None and some < Fraction(repr(min_valid)) * every):
            out[index] = missing
            continue
        kept = [
            (x, Fraction(w)) for x, w, v in zip(base[where].ravel().tolist(), weights[where].ravel().tolist(), valid[where].ravel().tolist(), strict=True) if v
        ]
        if name != "mean":
            out[index] = EXTREMES[name]([x for x, _ in kept])
            continue
        exact = sum((Fraction(x) * w for x, w in kept), Fraction(0)) / some
        out[index] = round(exact) if base.dtype.kind in "ui" else float(exact)
    return out


def samples(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> Array:
    """Samples whose weighted sums are exact in float64, so that the oracle's single rounding is the only one."""
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if np.dtype(dtype).kind == "f":
        return (rng.integers(-512, 512, shape) / 8).astype(dtype)
    info = np.iinfo(dtype)
    low, high = max(info.min, -(2**31)), min(info.max, 2**31)
    return rng.integers(low, high, shape, dtype=np.int64, endpoint=True).astype(dtype)


def arranged(base: Array, order: str) -> Array:
    """The same samples as a reader may find them: Fortran order, other byte order, read backwards."""
    if order == "fortran":
        return np.asfortranarray(base)
    if order == "big-endian":
        return base.astype(base.dtype.newbyteorder(">"))
    return base[::-1].copy()[::-1] if order == "reversed" else base


CASE = st.tuples(
    st.lists(st.integers(1, 40), min_size=1, max_size=2),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    st.sampled_from([None, 0.07, 0.25, 0.3, 0.5, 1.0]),
    st.sampled_from(["c", "fortran", "big-endian", "reversed"]),
    st.booleans(),
)


def check_against_fractions(name: str, dtype: str, case: tuple[Any, ...]) -> None:
    lengths, seed, density, min_valid, order, weighted = case
    rng = np.random.default_rng(seed)
    shape = tuple(lengths)
    ladder = [tuple(int(f) for f in rng.integers(1, 6, len(shape))) for _ in range(2)]
    base = samples(rng, dtype, shape)
    gone = rng.random(shape) < density
    weights = rng.integers(0, 9, shape) / 8 if weighted else np.ones(shape)
    options: dict[str, Any] = {"weights": weights} if weighted else {}
    missing: Any = 0
    if base.dtype.kind == "f":
        base[gone], missing = math.nan, math.nan
    elif seed % 2 and base.dtype.kind in "ui":
        missing = int(base.ravel()[0])
        gone = base == missing
        options["nodata"] = missing
    else:
        options["missing"] = gone
    found = reduce_array(find(name), arranged(base, order), ladder, min_valid=min_valid, **options)
    for level, factors in zip(found, geometry.cumulative_factors(ladder, len(shape))[1:], strict=True):
        want = oracle(name, base, factors, ~gone, weights, min_valid, missing)
        assert level.dtype == base.dtype.newbyteorder("=")
        np.testing.assert_array_equal(level, want, strict=True)


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
@settings(max_examples=12)
@given(case=CASE)
def test_means_of_what_is_there_are_exact_at_every_level(dtype: str, case: tuple[Any, ...]) -> None:
    check_against_fractions("mean", dtype, case)


@pytest.mark.parametrize("name", EXTREMES)
@settings(max_examples=15)
@given(case=CASE, dtype=st.sampled_from(["uint8", "int16", "uint64", "float32", "bool"]))
def test_extremes_of_what_is_there(name: str, case: tuple[Any, ...], dtype: str) -> None:
    if find(name).takes(np.dtype(dtype)):
        check_against_fractions(name, dtype, (*case[:5], False))


@pytest.mark.prove
@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
@settings(max_examples=400)
@given(case=CASE)
def test_means_of_what_is_there_in_many_more_cases(dtype: str, case: tuple[Any, ...]) -> None:
    check_against_fractions("mean", dtype, case)


def test_one_valid_100_beside_four_valid_0_is_20() -> None:
    """What chains of levels without weights make 50. Source: maths.md 3.4."""
    base = np.full((4, 4), np.nan)
    base[0, 0], base[2, 2:], base[3, 2:] = 100, 0, 0
    assert reduce_array(find("mean"), base, [(2, 2), (2, 2)])[1].tolist() == [[20.0]]
    gone = np.isnan(base)
    whole = np.where(gone, 7, base).astype(np.uint8)
    assert reduce_array(find("mean"), whole, [(2, 2), (2, 2)], missing=gone)[1].tolist() == [[20]]


def test_samples_that_weigh_nothing_are_not_there_even_when_infinite() -> None:
    base = np.array([1.0, np.inf, np.nan, 5.0])
    assert reduce_array(find("mean"), base, [(4,)], weights=np.array([1, 0, 0, 3]))[0].tolist() == [4.0]


def test_weights_and_masks_broadcast() -> None:
    base = np.arange(12, dtype=np.uint8).reshape(3, 4)
    heavy = np.array([[1.0], [3.0], [0.0]])
    assert reduce_array(find("mean"), base, [(3, 4)], weights=heavy)[0].tolist() == [[round((6 + 3 * 22) / 16)]]
    assert reduce_array(find("max"), base, [(3, 2)], missing=np.array([False, True, True, True]))[0].tolist() == [[8, 0]]
