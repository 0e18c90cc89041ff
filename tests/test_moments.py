"""Sums, counts, roots, variances and directions with weights, masks and shares: against Python's fractions; and built to disk."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import ziggurat as zg
from ziggurat import geometry
from ziggurat.reductions import find, reduce_array

Array = NDArray[Any]
Pairs = list[tuple[Fraction, Fraction]]
"""Value and weight of every valid sample of a window."""


def total(pairs: Pairs) -> Fraction:
    return sum((x * w for x, w in pairs), Fraction(0))


def mean(pairs: Pairs) -> Fraction:
    return total(pairs) / sum(w for _, w in pairs)


def variance(pairs: Pairs) -> Fraction:
    middle = mean(pairs)
    return mean([((x - middle) ** 2, w) for x, w in pairs])


def direction(pairs: Pairs) -> float | None:
    vector = sum(cmath.rect(float(w), float(x) / 360 * math.tau) for x, w in pairs) / float(sum(w for _, w in pairs))
    return None if abs(vector) < 1e-12 else cmath.phase(vector) / math.tau * 360 % 360


ORACLES: dict[str, Callable[[Pairs], Any]] = {
    "sum": total,
    "count": len,
    "rms": lambda pairs: math.sqrt(mean([(x * x, w) for x, w in pairs])),
    "variance": variance,
    "std": lambda pairs: math.sqrt(variance(pairs)),
    "circular_mean": direction,
}


def expected(name: str, base: Array, factors: tuple[int, ...], weights: Array, min_valid: float | None) -> Array:
    """One level from the base, in float64; `factors` are cumulative, a weight is 0 or a sample NaN where it is missing."""
    out = np.full(geometry.level_shape(base.shape, factors), math.nan)
    for index in np.ndindex(*out.shape):
        where = tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factors, strict=True))
        samples, heavy = base[where].ravel().tolist(), [Fraction(w) for w in weights[where].ravel().tolist()]
        pairs = [(Fraction(x), w) for x, w in zip(samples, heavy, strict=True) if w and x == x]
        share = sum((w for _, w in pairs), Fraction(0))
        if name == "count":
            out[index] = len(pairs)
        elif share and (min_valid is None or share >= Fraction(repr(min_valid)) * sum(heavy)):
            found = ORACLES[name](pairs)
            out[index] = math.nan if found is None else float(found)
    return out


@pytest.mark.parametrize("name", ORACLES)
@settings(max_examples=25)
@given(data=st.data())
def test_weights_masks_and_shares_at_every_level(name: str, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    shape = (data.draw(st.integers(1, 17)), data.draw(st.integers(1, 9)))
    ladder = [(data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))) for _ in range(2)]
    base = rng.integers(-512, 512, shape) / 8
    base[rng.random(shape) < data.draw(st.sampled_from([0.0, 0.3, 1.0]))] = math.nan
    min_valid = data.draw(st.sampled_from([None, 0.25, 0.5, 1.0])) if name != "count" else None
    heavy, options = np.ones(shape), dict[str, Any]()
    if name != "count" and data.draw(st.booleans()):
        heavy = rng.integers(0, 9, shape) / 8
        options["weights"] = heavy
    elif data.draw(st.booleans()):
        gone = rng.random(shape) < 0.4
        options["missing"], base = gone, base.copy()
    levels = reduce_array(find(name), base, ladder, min_valid=min_valid, **options)
    seen = np.where(options.get("missing", np.zeros(shape, bool)), math.nan, base)
    for level, factors in zip(levels, geometry.cumulative_factors(ladder, 2)[1:], strict=True):
        want = expected(name, seen, factors, heavy, min_valid)
        if name == "circular_mean":
            np.testing.assert_array_equal(np.isnan(level), np.isnan(want))
            apart = (level - want + 180) % 360 - 180
            assert np.all(np.isnan(apart) | (np.abs(apart) < 1e-6))
        else:
            np.testing.assert_allclose(level.astype(float), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "dtype"), [("sum", "uint64"), ("sum(overflow=saturate)", "uint16"), ("count", "uint64"), ("rms", "uint16"), ("std", "float32")]
)
def test_built_levels_are_those_of_the_whole_array(tmp_path: Path, name: str, dtype: str) -> None:
    base = np.random.default_rng(3).integers(0, 2**16, (70, 50), dtype=np.uint16)
    result = zg.build(base, tmp_path / "s.zarr", chunks=(16, 9), levels=4, reduction=name, nodata=7)
    pyramid = zg.open(result.location)
    ladder = [level.factors for level in result.plan.levels[1:]]
    for level, want in zip(pyramid.levels[1:], reduce_array(find(name), base, ladder, nodata=7), strict=True):
        assert level.dtype == np.dtype(dtype) == want.dtype
        np.testing.assert_array_equal(level.array[...], want)
    report = zg.check(result.location)
    assert report.ok and report.ok_strict == (dtype == "uint16")
    assert (f"levels are {dtype} on a base of uint16" in str(result.plan)) == (dtype != "uint16")
    if name == "sum":
        assert [int(level.array[...].sum()) for level in pyramid.levels[1:]] == [int(base[base != 7].sum())] * 3
