"""Every reduction against a brute-force oracle in Python's own numbers, which shares no code with it; tiles, types, rows of others."""

from __future__ import annotations

import cmath
import itertools
import math
import pickle
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import scipy.stats
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ziggurat import geometry, reductions
from ziggurat.problems import OptionError, PlanError, UnsupportedError
from ziggurat.reductions import Carry, Reduction, Windows, bind, bind_filter, find, reconstruct, reduce_array

Array = NDArray[Any]
Number = Any
INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
FLOATS = ("float16", "float32", "float64")
VARIANTS = (
    "median(source=base)",
    "quantile(q=0.25)",
    "quantile(q=1)",
    "quantile(q=0.875, source=base)",
    "mode(ignore=0)",
    "mode(ignore=1)",
    "mode(source=base)",
    "mode(ignore=1, source=base)",
    "sum(overflow=saturate)",
    "sum(min_count=0)",
    "circular_mean(period=40)",
)
"""Rows with something said in brackets, for the shared tests."""
FOLDED = (*(row for row in reductions.TABLE if not row.halo), *map(find, VARIANTS))


# ---------------------------------------------------------------- the oracle: windows as lists of Python numbers


def mean_of(window: list[Number]) -> Number:
    if any(isinstance(x, complex) for x in window):
        return complex(math.fsum(x.real for x in window) / len(window), math.fsum(x.imag for x in window) / len(window))
    exact = sum(map(Fraction, window)) / len(window)
    return round(exact) if all(isinstance(x, int) for x in window) else float(exact)


def median_of(window: list[Number]) -> Number:
    ordered = sorted(window)
    low, high = ordered[(len(window) - 1) // 2], ordered[len(window) // 2]
    middle = (Fraction(low) + Fraction(high)) / 2
    return round(middle) if isinstance(low, int) else float(middle)


def quantile_of(window: list[Number], q: Fraction) -> Number:
    ordered, at = sorted(window), (len(window) - 1) * q
    low, high = ordered[math.floor(at)], ordered[math.ceil(at)]
    value = Fraction(low) + (Fraction(high) - Fraction(low)) * (at - math.floor(at))
    return round(value) if isinstance(low, int) else float(value)


def mode_of(window: list[Number], ignore: Number = None) -> Number:
    others = [x for x in window if x != ignore] or window
    return min(Counter(others).items(), key=lambda item: (-item[1], item[0]))[0]


def squares_of(window: list[Number]) -> float:
    return math.sqrt(sum(Fraction(x) ** 2 for x in window) / len(window))


def deviation_of(window: list[Number]) -> Fraction:
    mean = sum(map(Fraction, window)) / len(window)
    return sum(((Fraction(x) - mean) ** 2 for x in window), Fraction(0)) / len(window)


def direction_of(window: list[Number], period: float = 360, low: float = 0) -> Number:
    mean = sum(cmath.rect(1, math.fmod(x, period) / period * math.tau) for x in window) / len(window)
    if abs(mean) < 1e-12:
        return None
    angle = cmath.phase(mean) / math.tau * period
    angle = (round(round(angle, 9)) if isinstance(window[0], int) else angle) - low
    return angle % period + low


ORACLES: MappingProxyType[str, Callable[[list[Number]], Number]] = MappingProxyType(
    {
        "mean": mean_of,
        "stride": lambda window: window[0],
        "min": min,
        "envelope": min,
        "max": max,
        "median": median_of,
        "median(source=base)": median_of,
        "quantile": median_of,
        "quantile(q=0.25)": lambda window: quantile_of(window, Fraction(1, 4)),
        "quantile(q=1)": max,
        "quantile(q=0.875, source=base)": lambda window: quantile_of(window, Fraction(7, 8)),
        "mode": mode_of,
        "mode(ignore=0)": lambda window: mode_of(window, 0),
        "mode(ignore=1)": lambda window: mode_of(window, 1),
        "mode(source=base)": mode_of,
        "mode(ignore=1, source=base)": lambda window: mode_of(window, 1),
        "sum": sum,
        "sum(overflow=saturate)": sum,
        "sum(min_count=0)": sum,
        "count": len,
        "rms": squares_of,
        "variance": deviation_of,
        "std": lambda window: math.sqrt(deviation_of(window)),
        "circular_mean": direction_of,
        "circular_mean(period=40)": lambda window: direction_of(window, 40),
        "any": max,
        "all": min,
    }
)


def is_missing(x: Number, nodata: Number) -> bool:
    return bool(x != x or (nodata is not None and x == nodata))


EMPTY: MappingProxyType[str, Number] = MappingProxyType({"count": 0, "sum(min_count=0)": 0})
"""What a window without valid samples is, where that is not `nodata`, NaN or 0."""
ROUGH = ("variance", "std", "circular_mean", "rms")
"""Rows that compute in float64 what no float64 holds: equal to the last bits of the level's dtype."""


def fitted(value: Number, dtype: np.dtype[Any]) -> Number:
    """Returns a number as a level of `dtype` holds it: nothing wraps."""
    if dtype.kind in "ui":
        return min(max(round(value), int(np.iinfo(dtype).min)), int(np.iinfo(dtype).max))
    if dtype.kind == "f":
        top = float(np.finfo(dtype).max)
        return min(max(float(value), -top), top)
    return value


def brute_force(row: Reduction, array: Array, factors: Sequence[int], nodata: Number) -> Array:
    """Returns one level by looping over windows; `factors` from the level that `array` is."""
    out = np.empty(geometry.level_shape(array.shape, tuple(factors)), row.level_dtype(array.dtype))
    missing = nodata if nodata is not None else math.nan if array.dtype.kind in "fc" else 0
    for index in np.ndindex(*out.shape):
        window = array[tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factors, strict=True))].ravel().tolist()
        if row.name != "stride":
            window = [x for x in window if not is_missing(x, nodata)]
        found = ORACLES[row.name](window) if window else EMPTY.get(row.name, missing)
        out[index] = missing if found is None else fitted(found, out.dtype) if window else found
    return out


def assert_same(row: Reduction, found: Array, expected: Array, message: str = "") -> None:
    """Asserts that levels are equal; of the rows that round, to the last bits, and directions on the circle."""
    assert found.dtype == expected.dtype, message
    if row.word not in ROUGH or found.dtype.kind in "ui":
        np.testing.assert_array_equal(found, expected, err_msg=message)
        return
    rtol = {"float16": 2e-3, "float32": 3e-7, "float64": 1e-12}[found.dtype.name]
    if row.word == "circular_mean":
        period = 40 if "period" in row.name else 360
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected), err_msg=message)
        apart = (found.astype(float) - expected.astype(float) + period / 2) % period - period / 2
        assert np.all(np.isnan(apart) | (np.abs(apart) < 2 * rtol * period)), message
        return
    np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol=rtol, atol=rtol, err_msg=message)


def expected_levels(row: Reduction, base: Array, ladder: Sequence[tuple[int, ...]], nodata: Number = None) -> list[Array]:
    if row.composes:
        return [brute_force(row, base, factors, nodata) for factors in geometry.cumulative_factors(ladder, base.ndim)[1:]]
    levels = [base]
    for factors in ladder:
        levels.append(brute_force(row, levels[-1], factors, nodata))
    return levels[1:]


def samples(rng: np.random.Generator, dtype: str, shape: tuple[int, ...], pattern: int) -> Array:
    """Returns test samples: ties everywhere, all over the range, all largest, all smallest."""
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.random(shape) < 0.5
    if kind == "c":
        return ((rng.integers(-64, 64, shape) + 1j * rng.integers(-64, 64, shape)) / 8).astype(dtype)
    if kind == "f":
        # eighths within 64: any sum of them is exact in float64, so the oracle's single rounding is the only one
        values = rng.integers(-512, 512, shape) / 8 if pattern % 2 else rng.integers(0, 3, shape) / 2
        return values.astype(dtype)
    info = np.iinfo(dtype)
    if pattern == 0:
        return rng.integers(0, 4, shape).astype(dtype)
    if pattern == 1:
        return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    return np.full(shape, info.max if pattern == 2 else info.min, dtype)


# ---------------------------------------------------------------- values


def test_every_row_without_halo_has_an_oracle() -> None:
    assert {row.name for row in FOLDED} == set(ORACLES)


@pytest.mark.parametrize("row", FOLDED, ids=lambda row: row.name)
@pytest.mark.parametrize("pattern", range(4))
def test_levels_equal_brute_force_in_every_dtype(row: Reduction, pattern: int) -> None:
    rng = np.random.default_rng(pattern)
    for dtype in row.dtypes:
        for shape, ladder in (((13,), [(2,), (3,)]), ((7, 9), [(2, 3), (3, 1)]), ((5, 6, 7), [(2, 2, 2), (2, 2, 2)]), ((3, 1, 5, 2), [(1, 4, 2, 2)])):
            base = samples(rng, dtype, shape, pattern)
            for k, (found, expected) in enumerate(zip(reduce_array(row, base, ladder), expected_levels(row, base, ladder), strict=True), start=1):
                assert_same(row, found, expected, f"{row.name} {dtype} {shape} level {k}")


@settings(max_examples=120)
@given(data=st.data())
def test_levels_with_missing_samples_equal_brute_force(data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(FOLDED))
    dtype = data.draw(st.sampled_from([name for name in row.dtypes if name != "bool"]))
    n_axes = data.draw(st.integers(1, 3))
    shape = tuple(data.draw(st.integers(1, 9)) for _ in range(n_axes))
    ladder = [tuple(data.draw(st.integers(1, 5)) for _ in range(n_axes)) for _ in range(data.draw(st.integers(1, 3)))]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    base = samples(rng, dtype, shape, data.draw(st.integers(0, 3)))
    if row.word == "mode" and row.composes:  # exact while at most 16 labels lie under a sample
        base = rng.choice(base.reshape(-1), 12)[rng.integers(0, 12, shape)]
    density = data.draw(st.sampled_from([0.1, 0.5, 0.95, 1.0]))
    nodata: Number = None
    if np.dtype(dtype).kind in "ui":
        nodata = data.draw(st.sampled_from([0, 3, int(np.iinfo(dtype).max), int(np.iinfo(dtype).min)]))
    elif data.draw(st.booleans()):
        nodata = -9.0
    holes = rng.random(shape) < density
    base[holes] = math.nan if nodata is None else nodata
    if nodata is not None and base.dtype.kind in "fc":
        base[holes & (rng.random(shape) < 0.3)] = math.nan
    for found, expected in zip(reduce_array(row, base, ladder, nodata=nodata), expected_levels(row, base, ladder, nodata), strict=True):
        assert_same(row, found, expected)


@settings(max_examples=60)
@given(data=st.data())
def test_integer_means_are_exact_from_the_base(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(INTEGERS))
    shape = (data.draw(st.integers(1, 40)), data.draw(st.integers(1, 12)))
    ladder = [(data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))) for _ in range(4)]
    base = samples(np.random.default_rng(data.draw(st.integers(0, 2**32))), dtype, shape, data.draw(st.integers(0, 3)))
    for found, expected in zip(reduce_array(find("mean"), base, ladder), expected_levels(find("mean"), base, ladder), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_mean_of_extremes_at_every_width_of_the_sum(dtype: str) -> None:
    """12 levels of a line of 4096: the sum passes through every type that it may be carried in."""
    info = np.iinfo(dtype)
    for value in (info.min, info.max):
        base = np.full(4099, value, dtype)
        base[1::2] = np.clip(int(value) - 1, info.min, info.max) if value == info.max else value + 1
        for found, expected in zip(reduce_array(find("mean"), base, [(2,)] * 12), expected_levels(find("mean"), base, [(2,)] * 12), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_mean_ties_round_to_even() -> None:
    base = np.array([0, 1, 1, 2, 2, 3, 254, 255], np.uint8)
    assert reduce_array(find("mean"), base, [(2,)])[0].tolist() == [0, 2, 2, 254]
    signed = np.array([-1, 0, -2, -1, -3, -2, -128, -127], np.int8)
    assert reduce_array(find("mean"), signed, [(2,)])[0].tolist() == [0, -2, -2, -128]
    six = np.array([[0, 0, 0], [1, 1, 1], [1, 1, 1], [2, 2, 2]], np.uint8)
    assert reduce_array(find("mean"), six, [(2, 3)])[0].tolist() == [[0], [2]]


def test_mean_is_weighted_by_valid_samples_at_every_level() -> None:
    """One valid 100 in one quarter, four valid 0 in another: 20, where chained rounding gives 50. Source: maths.md 3.4."""
    base = np.full((4, 4), math.nan, np.float32)
    base[0, 0] = 100
    base[2:, 2:] = 0
    assert reduce_array(find("mean"), base, [(2, 2), (2, 2)])[1].tolist() == [[20.0]]


def test_float_means_overflow_only_where_the_sum_does() -> None:
    assert reduce_array(find("mean"), np.full(4, np.finfo(np.float32).max, np.float32), [(4,)])[0][0] == np.finfo(np.float32).max
    assert reduce_array(find("mean"), np.array([np.inf, 1, -np.inf, np.inf]), [(2,)])[0].tolist()[0] == np.inf
    assert math.isnan(reduce_array(find("mean"), np.array([np.inf, 1, -np.inf, np.inf]), [(2,)])[0][1])


def test_mode_takes_the_smallest_of_the_most_frequent_and_invents_nothing() -> None:
    rng = np.random.default_rng(3)
    base = rng.choice(np.array([0, 7, 2**40, 2**63], np.uint64), (20, 30))
    for level in reduce_array(find("mode"), base, [(3, 2), (2, 5)]):
        assert set(np.unique(level)) <= set(np.unique(base))
    assert reduce_array(find("mode"), np.array([5, 3, 3, 5, 9], np.int32), [(5,)])[0].tolist() == [3]
    assert reduce_array(find("mode"), np.array([True, False]), [(2,)])[0].tolist() == [False]


def test_mode_of_one_sample_is_nodata_where_that_is_nan() -> None:
    base = np.array([1.0, 1.0, math.nan], np.float16)
    assert reduce_array(find("mode"), base, [(2,)], nodata=-9.0)[0].tolist() == [1.0, -9.0]
    assert reduce_array(find("mode"), base, [(1,)], nodata=-9.0)[0].tolist() == [1.0, 1.0, -9.0]


def test_mode_of_large_windows_equals_brute_force() -> None:
    base = np.random.default_rng(5).integers(0, 6, (12, 13, 11)).astype(np.uint32)
    for factors in ((5, 5, 5), (7, 7, 7), (12, 13, 2)):
        np.testing.assert_array_equal(reduce_array(find("mode"), base, [factors])[0], brute_force(find("mode"), base, factors, None))
        np.testing.assert_array_equal(reduce_array(find("median"), base, [factors])[0], brute_force(find("median"), base, factors, None))


def test_median_of_the_middle_two_does_not_overflow() -> None:
    top = np.iinfo(np.int64).max
    assert reduce_array(find("median"), np.array([top, top - 1, -top, top - 2], np.int64), [(2,)])[0].tolist() == [top - 1, -1 + 0]
    largest = np.finfo(np.float64).max
    assert reduce_array(find("median"), np.array([largest, largest]), [(2,)])[0].tolist() == [largest]
    assert reduce_array(find("median"), np.array([5e-324, 5e-324]), [(2,)])[0].tolist() == [5e-324]


def test_ramps_keep_their_place() -> None:
    """A linear field is reduced to its value at the place that the anchor names."""
    z, y, x = np.meshgrid(np.arange(12.0), np.arange(20.0), np.arange(30.0), indexing="ij")
    base = 3 * z + 5 * y - 7 * x
    for name in ("mean", "median", "stride"):
        row = find(name)
        for f in ((2, 2, 2), (3, 4, 5), (1, 2, 3)):
            at = [grid[:: f[0], :: f[1], :: f[2]] + float(geometry.first_sample_shift(row.anchor, i)) for grid, i in zip((z, y, x), f, strict=True)]
            expected = 3 * at[0] + 5 * at[1] - 7 * at[2]
            np.testing.assert_allclose(reduce_array(row, base, [f])[0], expected, atol=1e-9, err_msg=f"{name} {f}")


# ---------------------------------------------------------------- tiles


def fold_in_tiles(row: Reduction, base: Array, ladder: Sequence[tuple[int, ...]], tile: tuple[int, ...], nodata: Number) -> list[Array]:
    """Returns the levels, each folded tile by tile; `tile` is in samples of the level before, in windows of its factors."""
    bound = pickle.loads(pickle.dumps(bind(row, base.dtype, ladder, nodata=nodata, base_shape=base.shape)))
    shapes, cumulative = geometry.level_shapes(base.shape, ladder), geometry.cumulative_factors(ladder, base.ndim)
    carry, levels = Carry((base,)), []
    for k, factors in enumerate(ladder, start=1):
        values = tuple(np.empty(shapes[k], dtype) for dtype in bound.carry_dtypes(k))
        weights: Array | None = None
        steps = [t * f for t, f in zip(tile, factors, strict=True)]
        for start in itertools.product(*(range(0, n, s) for n, s in zip(shapes[k - 1], steps, strict=True))):
            inside = tuple(slice(a, a + s) for a, s in zip(start, steps, strict=True))
            place = tuple(slice(a // f, a // f + t) for a, f, t in zip(start, factors, tile, strict=True))
            child = Carry(tuple(v[inside] for v in carry.values), None if carry.weights is None else carry.weights[inside])
            found = bound.fold(k, child, factors, tuple(v[place] for v in values))
            if found is not None:
                if weights is None:
                    weights = implied(base.shape, cumulative[k], shapes[k], bound.weight_dtype(k))
                assert found.dtype == weights.dtype
                weights[place] = found
        carry = Carry(values, weights)
        out = np.empty(shapes[k], row.level_dtype(base.dtype))
        bound.finish(k, carry, reductions.counts_of(base.shape, cumulative[k]), out)
        levels.append(out)
    return levels


def implied(base_shape: tuple[int, ...], cumulative: tuple[int, ...], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    out = np.ones(shape, dtype)
    for axis, (n, f) in enumerate(zip(base_shape, cumulative, strict=True)):
        held = np.minimum(n - np.arange(shape[axis]) * f, f)
        out *= held.reshape([-1 if i == axis else 1 for i in range(len(shape))]).astype(dtype)
    return out


@settings(max_examples=80)
@given(data=st.data())
def test_tiles_do_not_change_a_bit(data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(FOLDED))
    dtype = data.draw(st.sampled_from(row.dtypes))
    n_axes = data.draw(st.integers(1, 3))
    shape = tuple(data.draw(st.integers(1, 40 if n_axes < 3 else 12)) for _ in range(n_axes))
    ladder = [tuple(data.draw(st.integers(1, 4)) for _ in range(n_axes)) for _ in range(2)]
    tile = tuple(data.draw(st.integers(1, 7)) for _ in range(n_axes))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    base = samples(rng, dtype, shape, 1)
    nodata: Number = None
    if base.dtype.kind in "fc":
        base = (rng.standard_normal(shape) * 10.0 ** rng.integers(-4, 4, shape)).astype(dtype)  # sums depend on their order
        base[rng.random(shape) < 0.2] = -0.0
        base[rng.random(shape) < 0.2] = 0.0
        if data.draw(st.booleans()):
            base[rng.random(shape) < 0.3] = math.nan
    elif base.dtype.kind in "ui" and data.draw(st.booleans()):
        nodata = 1
        base[rng.random(shape) < 0.3] = nodata
    whole = reduce_array(row, base, ladder, nodata=nodata)
    for cut, expected in zip(fold_in_tiles(row, base, ladder, tile, nodata), whole, strict=True):
        assert cut.tobytes() == expected.tobytes()


@settings(max_examples=60)
@given(data=st.data())
def test_two_steps_equal_one_where_a_reduction_composes(data: st.DataObject) -> None:
    row = data.draw(st.sampled_from([row for row in FOLDED if row.composes]))
    dtype = data.draw(st.sampled_from(row.dtypes))
    shape = (data.draw(st.integers(1, 30)), data.draw(st.integers(1, 9)))
    first, second = ((data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))) for _ in range(2))
    base = samples(np.random.default_rng(data.draw(st.integers(0, 2**32))), dtype, shape, data.draw(st.integers(0, 3)))
    at_once = tuple(a * b for a, b in zip(first, second, strict=True))
    assert_same(row, reduce_array(row, base, [first, second])[1], reduce_array(row, base, [at_once])[0])


@pytest.mark.parametrize("row", FOLDED, ids=lambda row: row.name)
def test_memory_order_byte_order_and_views_do_not_matter(row: Reduction) -> None:
    rng = np.random.default_rng(11)
    for dtype in row.dtypes:
        base = samples(rng, dtype, (9, 10, 11), 1)
        expected = reduce_array(row, base, [(2, 2, 2)])[0]
        wide = np.zeros((9, 20, 13), dtype)
        wide[:, ::2, 1:12] = base
        for other in (np.asfortranarray(base), base.astype(base.dtype.newbyteorder(">")), wide[:, ::2, 1:12]):
            found = reduce_array(row, other, [(2, 2, 2)])[0]
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
        bound = bind(row, base.dtype, [(2, 2, 2)], base_shape=base.shape)
        values = tuple(np.zeros((5, 7, 13), t)[:, :5, 3:9] for t in bound.carry_dtypes(1))
        weights = bound.fold(1, Carry((wide[:, ::2, 1:12],)), (2, 2, 2), values)
        out = np.zeros((5, 5, 12), expected.dtype)[:, :, ::2]
        bound.finish(1, Carry(values, weights), reductions.counts_of(base.shape, (2, 2, 2)), out)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("rank", range(1, 7))
def test_ranks_one_to_six(rank: int) -> None:
    shape, factors = (5, 4, 3, 2, 3, 2)[:rank], (2, 1, 3, 2, 2, 1)[:rank]
    base = samples(np.random.default_rng(rank), "uint16", shape, 1)
    for row in FOLDED:
        assert_same(row, reduce_array(row, base, [factors])[0], brute_force(row, base, factors, None), row.name)


def test_one_bound_reduction_serves_many_threads() -> None:
    base = samples(np.random.default_rng(0), "uint32", (64, 64, 64), 0)
    row = find("mode")
    expected, found = reduce_array(row, base, [(2, 2, 2)])[0], [np.empty(0)] * 4
    bound = bind(row, base.dtype, [(2, 2, 2)], base_shape=base.shape)

    def work(i: int) -> None:
        out = np.empty((32, 32, 32), base.dtype)
        bound.fold(1, Carry((base,)), (2, 2, 2), (out,))
        found[i] = out

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for out in found:
        np.testing.assert_array_equal(out, expected)


def test_inputs_are_left_alone() -> None:
    base = np.array([1.0, math.nan, 3.0, 4.0, math.nan, -9.0], np.float32)
    kept = base.copy()
    for row in reductions.TABLE:
        if row.takes(base.dtype):
            reduce_array(row, base, [(2,), (3,)], nodata=-9.0)
            assert base.tobytes() == kept.tobytes(), row.name


# ---------------------------------------------------------------- types, errors, rows


def test_sums_are_carried_in_the_narrowest_exact_type() -> None:
    shape = (4096, 4096)
    u8 = bind(find("mean"), np.dtype("uint8"), [(2, 2)] * 5, base_shape=shape)
    assert [u8.carry_dtypes(k)[0].name for k in range(1, 6)] == ["uint16"] * 4 + ["uint32"]
    u16 = bind(find("mean"), np.dtype("uint16"), [(2, 2)] * 9, base_shape=shape)
    assert [u16.carry_dtypes(k)[0].name for k in (1, 8, 9)] == ["uint32", "uint32", "uint64"]
    assert [t.name for t in bind(find("mean"), np.dtype("int64"), [(2, 2)], base_shape=shape).carry_dtypes(1)] == ["int64", "uint64"]
    assert bind(find("mean"), np.dtype("float32"), [(2, 2)], base_shape=shape).carry_dtypes(1)[0] == np.float64
    assert bind(find("mean"), np.dtype("complex64"), [(2, 2)], base_shape=shape).carry_dtypes(1)[0] == np.complex128
    assert bind(find("max"), np.dtype("uint8"), [(2, 2)], base_shape=shape).carry_dtypes(1)[0] == np.uint8


def test_weights_are_counted_in_the_narrowest_type_and_only_where_something_is_missing() -> None:
    bound = bind(find("mean"), np.dtype("uint8"), [(16, 16), (2, 2)], nodata=0, base_shape=(64, 64))
    assert [bound.weight_dtype(k).name for k in (1, 2)] == ["uint16", "uint16"]
    out = (np.empty((4, 4), bound.carry_dtypes(1)[0]),)
    base = np.ones((64, 64), np.uint8)
    assert bound.fold(1, Carry((base,)), (16, 16), out) is None
    base[3, 3] = 0
    weights = bound.fold(1, Carry((base,)), (16, 16), out)
    assert weights is not None
    assert weights[0].tolist() == [255, 256, 256, 256]


def test_sums_that_do_not_fit_are_refused_before_the_work() -> None:
    for dtype, n_levels in (("uint32", 33), ("int64", 32), ("uint64", 32)):
        bind(find("mean"), np.dtype(dtype), [(2,)] * (n_levels - 1), base_shape=(2**40,))
        with pytest.raises(PlanError, match=f"level {n_levels}: the sum of {2**n_levels} samples of {dtype} does not fit"):
            bind(find("mean"), np.dtype(dtype), [(2,)] * n_levels, base_shape=(2**40,))


def test_dtypes_that_a_row_does_not_take_are_refused_with_a_way_out() -> None:
    for row in reductions.TABLE:
        for name in ("bool", *INTEGERS, *FLOATS, "complex64", "complex128", "S3", "datetime64[s]", "object"):
            dtype = np.dtype(name)
            bound = bind_filter if row.halo else bind
            if row.takes(dtype):
                bound(row, dtype, [(2,)], base_shape=(4,))
            else:
                with pytest.raises(UnsupportedError, match=re.escape(f"reduction '{row.name}': found dtype '{dtype.name}', expected one of")):
                    bound(row, dtype, [(2,)], base_shape=(4,))
    with pytest.raises(UnsupportedError, match=r"'mode'.*'any' or 'all'"):
        bind(find("mean"), np.dtype(bool), [(2,)], base_shape=(4,))


def test_unknown_names_list_what_there_is_and_name_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"reduction 'avrage': there is none of that name \(did you mean 'average'\?\); expected one of mean, sum, count"):
        find("avrage")
    with pytest.raises(OptionError, match="reduction 'zoom': there is none of that name; expected one of mean, sum, count"):
        find("zoom")


@pytest.mark.parametrize(("alias", "name"), reductions.ALIASES.items())
def test_other_peoples_words_are_rows(alias: str, name: str) -> None:
    assert find(alias).name == name
    assert alias not in {row.name for row in reductions.TABLE}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("quantile(q=1.5)", "found q=1.5, expected a number from 0 to 1"),
        ("quantile(q=-0.1)", "found q=-0.1, expected a number from 0 to 1"),
        ("quantile(q=nan)", "found q=nan, expected a number from 0 to 1"),
        ("quantile(q=high)", "found q=high, expected a number from 0 to 1"),
        ("quantile(p=0.5)", "found p=0.5, expected q or source"),
        ("mean(q=0.5)", "found q=0.5, expected nothing in brackets"),
        ("mean(source=previous)", "found source=previous, expected source=base, the only one that it has"),
        ("median(source=above)", "found source=above, expected source=base or source=previous"),
        ("mode(ignore=sky)", "found ignore=sky, expected a number"),
        ("mode(ignore)", "found 'ignore' in brackets, expected name=value"),
        ("mode(ignore=0", "expected a name such as 'mean'"),
    ],
)
def test_what_is_said_in_brackets_is_checked(name: str, wrong: str) -> None:
    with pytest.raises(OptionError, match=re.escape(wrong)):
        find(name)


@settings(max_examples=60)
@given(data=st.data())
def test_quantiles_of_integers_are_exact_for_every_q(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(INTEGERS))
    q = data.draw(st.integers(0, 1000)) / 1000
    shape, factors = (data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))), (data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5)))
    base = samples(np.random.default_rng(data.draw(st.integers(0, 2**32))), dtype, shape, data.draw(st.integers(0, 1)))
    found = reduce_array(find(f"quantile(q={q})"), base, [factors])[0]
    for index in np.ndindex(*found.shape):
        window = base[tuple(slice(i * f, i * f + f) for i, f in zip(index, factors, strict=True))].ravel().tolist()
        assert found[index] == quantile_of(window, Fraction(str(q)))


@pytest.mark.parametrize("q", [0.0, 0.1, 1 / 3, 0.5, 0.9, 1.0])
def test_quantiles_of_floats_are_numpys(q: float) -> None:
    q = round(q, 9)
    base = np.random.default_rng(1).standard_normal((20, 30))
    base[np.random.default_rng(2).random(base.shape) < 0.4] = math.nan
    blocks = base.reshape(5, 4, 10, 3).transpose(0, 2, 1, 3).reshape(5, 10, 12)
    np.testing.assert_allclose(reduce_array(find(f"quantile(q={q})"), base, [(4, 3)])[0], np.nanquantile(blocks, q, axis=-1), rtol=1e-13)


def test_sums_never_wrap() -> None:
    for dtype in INTEGERS:
        info = np.iinfo(dtype)
        for value in (info.min, info.max):
            base = np.full(5, value, dtype)
            assert reduce_array(find("sum(overflow=saturate)"), base, [(2,)])[0].tolist() == [value, value, value]
            exact = [fitted(2 * int(value), np.dtype(f"{base.dtype.kind}8"))] * 2 + [int(value)]
            assert reduce_array(find("sum"), base, [(2,)])[0].tolist() == exact
    mixed = np.array([np.iinfo(np.int64).max, 5, -7, np.iinfo(np.int64).min, 1, 2], np.int64)
    assert reduce_array(find("sum"), mixed, [(6,)])[0].tolist() == [0]
    floats = np.array([3e38, 3e38, np.inf, 1, -3e38, -3e38], np.float32)
    top = float(np.finfo(np.float32).max)
    assert reduce_array(find("sum(overflow=saturate)"), floats, [(2,)])[0].tolist() == [top, np.inf, -top]
    assert reduce_array(find("sum"), floats, [(2,)])[0].tolist() == [2 * float(floats[0]), np.inf, -2 * float(floats[0])]


def test_a_sum_of_nothing_is_missing_unless_it_is_said_to_be_0() -> None:
    base = np.array([1, 2, math.nan, math.nan, 5])
    assert str(reduce_array(find("sum"), base, [(2,)])[0].tolist()) == "[3.0, nan, 5.0]"
    assert reduce_array(find("sum(min_count=0)"), base, [(2,)])[0].tolist() == [3.0, 0.0, 5.0]
    assert reduce_array(find("count"), base, [(2,)])[0].tolist() == [2, 0, 1]


def test_directions_are_averaged_on_the_circle() -> None:
    assert reduce_array(find("circular_mean"), np.array([350, 10, 90, 270, 5, 6], np.int16), [(2,)], nodata=-1)[0].tolist() == [0, -1, 6]
    np.testing.assert_allclose(reduce_array(find("circular_mean(low=-180)"), np.array([170.0, -160.0, 350, 340]), [(2,)])[0], [-175, -15])
    np.testing.assert_allclose(reduce_array(find("circular_mean(period=radians)"), np.array([6.0, 0.5]), [(2,)])[0], scipy.stats.circmean([6.0, 0.5]))
    rng = np.random.default_rng(4)
    base = rng.uniform(0, 360, (17, 23))
    base[rng.random(base.shape) < 0.4] = math.nan
    for (f, g), level in zip([(2, 3), (4, 6)], reduce_array(find("circular_mean"), base, [(2, 3), (2, 2)]), strict=True):
        for i, j in np.ndindex(*level.shape):
            window = base[i * f : i * f + f, j * g : j * g + g].ravel()
            want = scipy.stats.circmean(window, high=360, nan_policy="omit")
            assert np.isnan(want) == np.isnan(level[i, j])
            assert np.isnan(want) or abs((level[i, j] - want + 180) % 360 - 180) < 1e-9
    with pytest.raises(UnsupportedError, match="uint16 does not hold -180 to 180; say a wider dtype="):
        reduce_array(find("circular_mean(low=-180)"), np.zeros(4, np.uint16), [(2,)])


@pytest.mark.parametrize("name", ["mean", "sum", "count", "min", "max", "median", "variance", "std"])
@pytest.mark.parametrize("dtype", ["float64", "uint16"])
def test_levels_are_those_of_xarrays_coarsen(name: str, dtype: str) -> None:
    """`boundary="pad"` fills with NaN, so it is xarray's word for partial windows of what is there; it needs floats."""
    rng = np.random.default_rng(9)
    base = (rng.standard_normal((31, 40)) * 100 + (1e6 if dtype == "float64" else 500)).astype(dtype)
    if dtype == "float64":
        base[rng.random(base.shape) < 0.4] = math.nan
    coarse = xarray.DataArray(base.astype(float), dims=("y", "x")).coarsen(y=4, x=6, boundary="pad")
    want = np.asarray(getattr(coarse, {"variance": "var"}.get(name, name))())
    if name == "sum":
        want[np.asarray(coarse.count()) == 0] = math.nan
    found = reduce_array(find(name), base, [(2, 3), (2, 2)] if find(name).composes else [(4, 6)])[-1]
    if dtype == "uint16" and find(name).converts is None:
        want = np.rint(want)
    np.testing.assert_allclose(found.astype(float), want, rtol=1e-12 if found.dtype != np.float32 else 1e-6)


def test_variances_do_not_cancel() -> None:
    base = 1e9 + np.random.default_rng(0).standard_normal((64, 64))
    levels = reduce_array(find("variance"), base, [(2, 2)] * 6)
    for level, f in zip(levels, (2, 4, 8, 16, 32, 64), strict=True):
        want = base.reshape(64 // f, f, 64 // f, f).transpose(0, 2, 1, 3).reshape(64 // f, 64 // f, -1).var(axis=-1)
        np.testing.assert_allclose(level, want, rtol=1e-6)


def own_spread(block: Array, axes: tuple[int, ...]) -> Array:
    return np.asarray(np.ptp(block, axes))


def test_a_function_of_windows_is_a_reduction() -> None:
    base = samples(np.random.default_rng(2), "uint16", (7, 9), 1)
    for source, of in ((None, lambda level, k: level), ("base", lambda level, k: base)):
        row = reductions.reduction(own_spread, name="spread", source=source)
        assert (row.composes, row.word) == (source == "base", "spread")
        found = reduce_array(row, base, [(2, 3), (2, 2)])
        level = base
        for k, factors in enumerate([(2, 3), (2, 2)] if source is None else [(2, 3), (4, 6)]):
            level = of(level, k)
            (a, b), (n, m) = factors, level.shape
            level = np.array([[np.ptp(level[i : i + a, j : j + b]) for j in range(0, m, b)] for i in range(0, n, a)])
            np.testing.assert_array_equal(found[k], level)
        assert len(fold_in_tiles(row, base, [(2, 3), (2, 1)], (2, 1), None)) == 2


def test_what_a_function_returns_is_fitted_into_the_dtype_of_the_base() -> None:
    base = np.array([1, 2, 250, 255, 9], np.uint8)
    halves = reductions.reduction(lambda block, axes: block.mean(axes) * 2, name="twice")
    assert reduce_array(halves, base, [(2,)])[0].tolist() == [3, 255, 18]
    signed = reductions.reduction(lambda block, axes: -block.astype(np.int64).sum(axes), name="less")
    assert reduce_array(signed, base, [(2,)])[0].tolist() == [0, 0, 0]
    with pytest.raises(OptionError, match=r"reduction 'all_of_it': the function returned shape \(\), expected \(2,\): one value per window"):
        reduce_array(reductions.reduction(lambda block, axes: block.sum(), name="all_of_it"), base, [(2,)])


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"name": "mean"}, "found the name 'mean'"),
        ({"name": "my mean"}, "found the name 'my mean'"),
        ({"name": "x", "anchor": "left"}, "found the anchor 'left'"),
        ({"name": "x", "f": 3}, "found 3, expected a function"),
        ({"name": "x", "source": "above"}, "found source=above"),
    ],
)
def test_a_reduction_of_ones_own_is_checked(values: dict[str, Any], wrong: str) -> None:
    with pytest.raises(OptionError, match=re.escape(wrong)):
        reductions.reduction(**{"f": own_spread, **values})


def test_factors_and_nodata_are_checked() -> None:
    with pytest.raises(OptionError, match=r"factors of level 2: found \(2,\), expected 2 whole numbers"):
        bind(find("mean"), np.dtype("uint8"), [(2, 2), (2,)], base_shape=(4, 4))
    with pytest.raises(OptionError, match="factors of level 1"):
        bind(find("mean"), np.dtype("uint8"), [(0, 2)], base_shape=(4, 4))
    for dtype, nodata in (("uint8", 256), ("uint8", -1), ("uint8", 1.5), ("uint8", math.nan), ("float32", 1e300), ("float64", 1j)):
        with pytest.raises(OptionError, match="has no such value"):
            bind(find("mean"), np.dtype(dtype), [(2,)], nodata=nodata, base_shape=(4,))
    for name, dtype in (("mode(ignore=300)", "uint8"), ("mode(ignore=2)", "bool"), ("mode(ignore=-1, source=base)", "uint32"), ("mode(ignore=0.5)", "int8")):
        with pytest.raises(OptionError, match=f"ignore .*: {dtype} has no such value"):
            bind(find(name), np.dtype(dtype), [(2,)], base_shape=(4,))
    with pytest.raises(OptionError, match="bound by 'bind_filter'"):
        bind(find("gaussian"), np.dtype("uint8"), [(2,)], base_shape=(4,))
    with pytest.raises(OptionError, match="bound by 'bind'"):
        bind_filter(find("mean"), np.dtype("uint8"), [(2,)], base_shape=(4,))
    with pytest.raises(OptionError, match="residual_base"):
        reduce_array(find("mean"), np.zeros(4), [(2,)], residual_base=True)


def spread(block: Array, factors: tuple[int, ...], out: Array, nodata: complex | None) -> None:
    """A newcomer's kernel: the difference between the largest and the smallest sample of each window."""
    lowest = np.empty_like(out)
    reductions.find("max").factory(_setting(block, factors)).fold(1, Carry((block,)), factors, (out,))  # type: ignore[union-attr]
    reductions.find("min").factory(_setting(block, factors)).fold(1, Carry((block,)), factors, (lowest,))  # type: ignore[union-attr]
    out -= lowest


def _setting(block: Array, factors: tuple[int, ...]) -> reductions.Setting:
    return reductions.Setting(block.dtype, (factors,), block.shape, None)


def test_a_newcomers_reduction_is_one_row_and_one_oracle() -> None:
    row = Reduction(
        name="spread",
        anchor="centre",
        composes=False,
        dtypes=("uint8", "float32"),
        factory=Windows(spread),
        summary="Largest minus smallest.",
        window="the factors",
        ties="none",
        rounding="none",
        partial="what is there",
        nan="a sample",
        nodata="a sample",
    )
    base = samples(np.random.default_rng(2), "uint8", (7, 9), 1)
    expected = np.array([[np.ptp(base[i : i + 2, j : j + 3]) for j in range(0, 9, 3)] for i in range(0, 7, 2)])
    np.testing.assert_array_equal(reduce_array(row, base, [(2, 3)])[0], expected)
    assert len(fold_in_tiles(row, base, [(2, 3), (2, 1)], (2, 1), None)) == 2


# ---------------------------------------------------------------- gaussian and laplacian, as reductions


def filter_in_tiles(row: Reduction, base: Array, ladder: Sequence[tuple[int, ...]], tile: tuple[int, ...], nodata: Number) -> list[Array]:
    """Returns the gaussian levels, each made tile by tile from clipped blocks; `tile` in samples of the level that is made."""
    bound = pickle.loads(pickle.dumps(bind_filter(row, base.dtype, ladder, nodata=nodata, base_shape=base.shape)))
    levels = [base]
    for k, factors in enumerate(ladder, start=1):
        out = np.empty(geometry.level_shape(levels[-1].shape, factors), base.dtype)
        halo = bound.halo(k)
        for start in itertools.product(*(range(0, n, t) for n, t in zip(out.shape, tile, strict=True))):
            stop = [min(a + t, n) for a, t, n in zip(start, tile, out.shape, strict=True)]
            wanted = [(a * f - h, b * f + h) for a, b, f, h in zip(start, stop, factors, halo, strict=True)]
            block, pads = clipped(levels[-1], wanted)
            bound.reduce(k, block, pads, factors, out[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))])
        levels.append(out)
    return levels


def clipped(level: Array, wanted: Sequence[tuple[int, int]]) -> tuple[Array, list[tuple[int, int]]]:
    inside = tuple(slice(max(a, 0), min(b, n)) for (a, b), n in zip(wanted, level.shape, strict=True))
    return level[inside], [(max(0, -a), max(0, b - n)) for (a, b), n in zip(wanted, level.shape, strict=True)]


@settings(max_examples=80)
@given(data=st.data())
def test_filters_do_not_depend_on_tiles_by_a_bit(data: st.DataObject) -> None:
    row = find("gaussian")
    dtype = data.draw(st.sampled_from(row.dtypes))
    n_axes = data.draw(st.integers(1, 2))
    shape = tuple(data.draw(st.integers(1, 40)) for _ in range(n_axes))
    ladder = [tuple(data.draw(st.integers(1, 6)) for _ in range(n_axes)) for _ in range(2)]
    tile = tuple(data.draw(st.integers(1, 6)) for _ in range(n_axes))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    base = samples(rng, dtype, shape, 1)
    nodata: Number = None
    if data.draw(st.booleans()):
        nodata = 1 if base.dtype.kind in "ui" or data.draw(st.booleans()) else None
        base[rng.random(shape) < 0.3] = math.nan if nodata is None else nodata
    whole = reduce_array(row, base, ladder, nodata=nodata)
    levels = filter_in_tiles(row, base, ladder, tile, nodata)
    for cut, expected in zip(levels[1:], whole, strict=True):
        assert cut.tobytes() == expected.tobytes()
    if not find("laplacian").takes(base.dtype):
        return
    # the expansion, cut into tiles of whole windows
    bound = bind_filter(find("laplacian"), base.dtype, ladder, nodata=nodata, base_shape=base.shape)
    residual = reduce_array(find("laplacian"), base, ladder, nodata=nodata, residual_base=True)[0]
    halo = bound.expand_halo(1)
    steps = [t * f for t, f in zip(tile, ladder[0], strict=True)]
    for start in itertools.product(*(range(0, n, s) for n, s in zip(shape, steps, strict=True))):
        stop = [min(a + s, n) for a, s, n in zip(start, steps, shape, strict=True)]
        place = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        wanted = [(a // f - h, -(-b // f) + h) for a, b, f, h in zip(start, stop, ladder[0], halo, strict=True)]
        block, pads = clipped(levels[1], wanted)
        expanded = np.empty([b - a for a, b in zip(start, stop, strict=True)], reductions.expanded_dtype(base.dtype))
        bound.expand(1, block, pads, ladder[0], expanded)
        out = np.empty(expanded.shape, residual.dtype)
        bound.difference(base[place], expanded, out)
        assert out.tobytes() == np.ascontiguousarray(residual[place]).tobytes()


@settings(max_examples=100)
@given(data=st.data())
def test_laplacians_give_back_every_gaussian_level(data: st.DataObject) -> None:
    row = find("laplacian")
    dtype = data.draw(st.sampled_from(row.dtypes))
    n_axes = data.draw(st.integers(1, 3))
    shape = tuple(data.draw(st.integers(1, 14)) for _ in range(n_axes))
    ladder = [tuple(data.draw(st.integers(1, 4)) for _ in range(n_axes)) for _ in range(data.draw(st.integers(1, 3)))]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    base = samples(rng, dtype, shape, data.draw(st.integers(0, 3)))
    nodata = data.draw(st.sampled_from([None, 0])) if base.dtype.kind in "ui" else None
    if nodata is not None:
        base[rng.random(shape) < 0.4] = 0
    gaussian = [base, *reduce_array(find("gaussian"), base, ladder, nodata=nodata)]
    kept = reduce_array(row, base, ladder, nodata=nodata, residual_base=True)
    assert [level.dtype for level in kept] == [row.level_dtype(base.dtype)] * (len(ladder) + 1)
    assert [level.shape for level in kept] == [level.shape for level in gaussian]
    for k, expected in enumerate(gaussian):
        found = reconstruct(row, kept[k:], ladder[k:], dtype=base.dtype, nodata=nodata)
        if base.dtype.kind in "ui":
            np.testing.assert_array_equal(found, expected)
        else:
            tolerance = {"float16": 1e-2, "float32": 1e-4, "complex64": 1e-4}.get(dtype, 1e-11)
            np.testing.assert_allclose(found, expected, atol=tolerance)


def test_laplacian_levels_are_differences_with_the_shared_base_left_out() -> None:
    base = np.random.default_rng(0).integers(0, 256, (32, 48)).astype(np.uint8)
    with_base = reduce_array(find("laplacian"), base, [(2, 2)] * 3, residual_base=True)
    without = reduce_array(find("laplacian"), base, [(2, 2)] * 3)
    assert [level.shape for level in without] == [(16, 24), (8, 12), (4, 6)]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(with_base[1:], without, strict=True))
    np.testing.assert_array_equal(without[-1], reduce_array(find("gaussian"), base, [(2, 2)] * 3)[-1].astype(np.float32))
    constant = reduce_array(find("laplacian"), np.full((32, 48), 200, np.uint8), [(2, 2)] * 3, residual_base=True)
    assert [float(np.abs(level).max()) < 1e-4 for level in constant] == [True, True, True, False]


# ---------------------------------------------------------------- the page


def test_the_page_is_what_the_table_says() -> None:
    page = Path(__file__).parent.parent / "docs" / "reductions.md"
    assert page.read_text(encoding="utf-8") == reductions.markdown(), "run docs/generate.py"


# ---------------------------------------------------------------- the whole of what is sampled above


@pytest.mark.prove
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_means_are_exact_for_every_size_and_factor(dtype: str, record_property: Callable[[str, object], None]) -> None:
    rng, n_cases = np.random.default_rng(0), 0
    for n, f, g in itertools.product(range(1, 41), range(1, 6), range(1, 6)):
        base = samples(rng, dtype, (n,), n_cases % 4)
        for found, expected in zip(reduce_array(find("mean"), base, [(f,), (g,)]), expected_levels(find("mean"), base, [(f,), (g,)]), strict=True):
            np.testing.assert_array_equal(found, expected, err_msg=f"{dtype} {n} {f} {g}")
        n_cases += 1
    record_property("cases", n_cases)


@pytest.mark.prove
@pytest.mark.parametrize("row", FOLDED, ids=lambda row: row.name)
def test_every_row_in_every_dtype_size_and_factor(row: Reduction, record_property: Callable[[str, object], None]) -> None:
    """Lines of 1 to 40 samples, factors of 1 to 5, two levels, 0 to 100 % missing, in C and Fortran order and both byte orders."""
    rng, n_cases = np.random.default_rng(0), 0
    for dtype, n, f in itertools.product(row.dtypes, range(1, 41), range(1, 6)):
        base = samples(rng, dtype, (n, 3), n_cases % 4)
        nodata: Number = None
        if base.dtype.kind != "b":
            holes = rng.random(base.shape) < (0, 0.1, 0.5, 0.9, 1)[n_cases % 5]
            nodata = 3 if base.dtype.kind in "ui" else None
            base[holes] = math.nan if nodata is None else nodata
        seen = np.asfortranarray(base) if n_cases % 3 == 0 else base.astype(base.dtype.newbyteorder(">")) if n_cases % 3 == 1 else base
        ladder = [(f, 1), (1 + n % 3, 2)]
        for found, expected in zip(reduce_array(row, seen, ladder, nodata=nodata), expected_levels(row, base, ladder, nodata), strict=True):
            assert_same(row, found, expected, f"{row.name} {dtype} {n} {f}")
        n_cases += 1
    record_property("cases", n_cases)


@pytest.mark.prove
@pytest.mark.parametrize(
    "sampled",
    [
        test_levels_with_missing_samples_equal_brute_force,
        test_integer_means_are_exact_from_the_base,
        test_quantiles_of_integers_are_exact_for_every_q,
        test_tiles_do_not_change_a_bit,
        test_two_steps_equal_one_where_a_reduction_composes,
        test_filters_do_not_depend_on_tiles_by_a_bit,
        test_laplacians_give_back_every_gaussian_level,
    ],
    ids=lambda test: test.__name__,
)
def test_many_more_examples(sampled: Any, record_property: Callable[[str, object], None]) -> None:
    settings(max_examples=1000)(given(data=st.data())(sampled.hypothesis.inner_test))()
    record_property("examples", 1000)
