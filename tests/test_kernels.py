"""Kernels against foreign oracles: NumPy's reduceat in 64 bits, tensorstore, scipy, scikit-image; cuts, zeros, networks."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import skimage.transform
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ziggurat.kernels import filters, ranks, windows
from ziggurat.reductions import find, reduce_array

Array = NDArray[Any]
INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32")


def reduceat(array: Array, factors: tuple[int, ...], op: np.ufunc) -> Array:
    for axis, f in enumerate(factors):
        array = op.reduceat(array, np.arange(0, array.shape[axis], f), axis=axis)
    return array


def random_integers(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> Array:
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


# ---------------------------------------------------------------- folds and divisions


@settings(max_examples=150)
@given(data=st.data())
def test_fold_equals_reduceat_in_64_bits(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(INTEGERS))
    n_axes = data.draw(st.integers(1, 4))
    shape = tuple(data.draw(st.integers(1, 200 if n_axes == 1 else 20)) for _ in range(n_axes))
    factors = tuple(data.draw(st.integers(1, 5)) for _ in range(n_axes))
    block = random_integers(np.random.default_rng(data.draw(st.integers(0, 2**32))), dtype, shape)
    for op in (np.add, np.minimum, np.maximum):
        wide = np.dtype(f"{block.dtype.kind}8") if op is np.add else block.dtype
        narrow = np.dtype(f"{block.dtype.kind}4") if op is np.add and block.itemsize < 4 else wide
        out = np.empty(windows.window_shape(shape, factors), narrow)
        windows.fold(block, factors, out, op)
        np.testing.assert_array_equal(out, reduceat(block.astype(wide), factors, op))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", [(64, 64, 64), (1, 700, 1024), (3, 129, 2, 514), (2, 300_000), (1024, 1024), (40, 50, 60, 3)])
def test_fold_of_blocks_of_many_slabs(dtype: str, shape: tuple[int, ...]) -> None:
    block = random_integers(np.random.default_rng(0), dtype, shape)
    for factors in ((2,) * len(shape), (1,) * (len(shape) - 1) + (2,), (3,) * len(shape), (2,) * (len(shape) - 1) + (1,), (1,) * len(shape)):
        out = np.empty(windows.window_shape(shape, factors), np.uint32)
        windows.fold(block, factors, out, np.add)
        np.testing.assert_array_equal(out, reduceat(block.astype(np.int64), factors, np.add))


def test_slabs_tile_the_block_and_hold_whole_windows() -> None:
    for shape, factors, slab_bytes in itertools.product([(7, 9, 11), (1, 1, 50), (40, 1, 3)], [(2, 3, 4), (1, 1, 1), (5, 2, 1)], [1, 16, 100, 10**6]):
        seen, made = np.zeros(shape, int), np.zeros(windows.window_shape(shape, factors), int)
        for inside, where in windows.slabs(shape, 1, factors, slab_bytes):
            seen[inside] += 1
            made[where] += 1
            assert all(s.start % f == 0 and (s.stop % f == 0 or s.stop == n) for s, f, n in zip(inside, factors, shape, strict=True))
        assert (seen == 1).all()
        assert (made == 1).all()


def test_float_sums_are_taken_first_axis_first() -> None:
    rng = np.random.default_rng(1)
    block = rng.standard_normal((6, 6, 6)) * 10.0 ** rng.integers(-8, 8, (6, 6, 6))
    out = np.empty((2, 2, 2))
    windows.fold(block, (3, 3, 3), out, np.add)
    for z, y, x in np.ndindex(2, 2, 2):
        window = block[3 * z : 3 * z + 3, 3 * y : 3 * y + 3, 3 * x : 3 * x + 3]
        planes = (window[0] + window[1]) + window[2]
        rows = (planes[0] + planes[1]) + planes[2]
        assert out[z, y, x] == (rows[0] + rows[1]) + rows[2]


@settings(max_examples=150)
@given(n=st.integers(1, 600), dtype=st.sampled_from(["uint16", "int16", "uint32", "int32", "uint64", "int64"]), seed=st.integers(0, 2**32))
def test_division_rounds_half_to_even(n: int, dtype: str, seed: int) -> None:
    info = np.iinfo(dtype)
    low, high = -(-int(info.min) // n), (int(info.max) - n // 2) // n
    rng = np.random.default_rng(seed)
    # exact multiples, ties and their neighbours, and the ends of the range
    sums = [
        q * n + r
        for q in {low, low + 1, 0, 1, 2, high - 1, *rng.integers(max(low, -(10**6)), min(high, 10**6), 20).tolist()}
        for r in (0, 1, n // 2, (n + 1) // 2, n - 1)
    ]
    sums = [s for s in sums if info.min <= s <= info.max - n // 2]
    out = np.empty(len(sums), np.int64 if info.min else np.uint64)
    windows.divide(np.array(sums, dtype), n, out)
    # round() of a quotient of integers, written without division of floats
    expected = [s // n + ((2 * (s % n) > n) or (2 * (s % n) == n and (s // n) % 2 == 1)) for s in sums]
    assert out.tolist() == expected
    if n < 2**16:
        windows.divide_by(np.array(sums, dtype), np.full(len(sums), n, np.uint16), n, out, 0)
        assert out.tolist() == expected


@settings(max_examples=100)
@given(n=st.one_of(st.integers(1, 64), st.integers(1, 2**31)), signed=st.booleans(), seed=st.integers(0, 2**32))
def test_split_division_is_exact_at_64_bits(n: int, signed: bool, seed: int) -> None:
    dtype = np.dtype(np.int64 if signed else np.uint64)
    info, rng = np.iinfo(dtype), np.random.default_rng(seed)
    values = [info.min, info.max, info.max - 1, info.min + 1, info.max // 2, *rng.integers(info.min, info.max, 8, dtype=dtype, endpoint=True).tolist()]
    # n samples: all but one of a value, and one of another, so that ties and neighbours of ties occur
    pairs = list(itertools.product(values, values))
    high, low = windows.split(np.array(values, dtype))
    at = {value: (int(h), int(s)) for value, h, s in zip(values, high, low, strict=True)}
    highs = np.array([at[a][0] * (n - 1) + at[b][0] for a, b in pairs], dtype)
    lows = np.array([at[a][1] * (n - 1) + at[b][1] for a, b in pairs], np.uint64)
    out = np.empty(len(pairs), dtype)
    windows.divide_split(highs, lows, n, out)
    totals = [int(a) * (n - 1) + int(b) for a, b in pairs]
    expected = [t // n + ((2 * (t % n) > n) or (2 * (t % n) == n and (t // n) % 2 == 1)) for t in totals]
    assert out.tolist() == expected
    windows.divide_split(highs, lows, np.full(len(pairs), n, np.uint32), out)
    assert out.tolist() == expected


def test_window_counts() -> None:
    for shape, factors in (((7, 5), (2, 3)), ((3, 2), (5, 1)), ((8,), (4,)), ((1, 1, 9), (3, 3, 2))):
        out = np.empty(windows.window_shape(shape, factors), np.uint8)
        windows.window_counts(shape, factors, out)
        np.testing.assert_array_equal(out, reduceat(np.ones(shape, np.int64), factors, np.add))


# ---------------------------------------------------------------- tensorstore, single level, partial windows included


@pytest.mark.parametrize("dtype", [*INTEGERS, "uint64", "int64", "bool", "float32", "float64"])
@pytest.mark.parametrize(("shape", "factors"), [((11,), (3,)), ((9, 14), (2, 2)), ((7, 8, 9), (2, 2, 2)), ((5, 6, 7), (3, 1, 5))])
def test_levels_equal_tensorstore(dtype: str, shape: tuple[int, ...], factors: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(shape))
    for trial in range(3):
        if dtype == "bool":
            base: Array = rng.random(shape) < 0.5
        elif dtype.startswith("float"):
            base = (rng.integers(-40, 40, shape) / 8).astype(dtype)
        else:
            base = random_integers(rng, dtype, shape) if trial else rng.integers(0, 4, shape).astype(dtype)
        for name in ("mean", "stride", "min", "max", "mode"):
            if not find(name).takes(base.dtype) or (dtype.startswith("float") and name == "mean" and math.prod(factors) & (math.prod(factors) - 1)):
                continue  # tensorstore sums floats in their own type: equal only where the division is exact
            theirs = tensorstore.downsample(tensorstore.array(base), list(factors), name).read().result()
            np.testing.assert_array_equal(reduce_array(find(name), base, [factors])[0], theirs, err_msg=f"{name} {dtype}")
        if all(f % 2 for f in factors) and all(n % f == 0 for n, f in zip(shape, factors, strict=True)) and find("median").takes(base.dtype):
            theirs = tensorstore.downsample(tensorstore.array(base), list(factors), "median").read().result()
            np.testing.assert_array_equal(reduce_array(find("median"), base, [factors])[0], theirs)


# ---------------------------------------------------------------- ranks


def sorted_rows(values: Array, wanted: tuple[int, ...]) -> list[Array]:
    rows = np.concatenate([values, values[:1]])
    at = ranks._sort_rows(rows, wanted)
    return [rows[at[i]] for i in wanted]


@pytest.mark.parametrize("n", [*range(1, 13), 27, 64, 125])
def test_networks_sort(n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.integers(0, 2, (n, 500))  # what sorts zeros and ones sorts everything
    values[:, :n] = np.tri(n, dtype=int)
    expected = np.sort(values, axis=0)
    np.testing.assert_array_equal(sorted_rows(values, tuple(range(n))), expected)
    for wanted in {((n - 1) // 2, n // 2), (0,), (n - 1,)}:
        np.testing.assert_array_equal(sorted_rows(values, wanted), expected[list(wanted)])


@pytest.mark.prove
@pytest.mark.parametrize("n", range(2, 17))
def test_networks_sort_every_input_of_zeros_and_ones(n: int) -> None:
    values = (np.arange(2**n)[np.newaxis] >> np.arange(n)[:, np.newaxis] & 1).astype(np.uint8)
    np.testing.assert_array_equal(sorted_rows(values, tuple(range(n))), np.sort(values, axis=0))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_float_keys_keep_the_order_and_come_back(dtype: str) -> None:
    info = np.finfo(dtype)
    values = np.array([-np.inf, info.min, -1.5, -info.tiny, 0.0, info.tiny, 1.5, info.max, np.inf, np.nan], dtype)
    keys = ranks.as_keys(values)
    assert (np.diff(keys.astype(object)) > 0).all()
    np.testing.assert_array_equal(ranks.from_keys(keys, values.dtype), values)
    assert ranks.as_keys(np.array([-0.0], dtype))[0] == ranks.as_keys(np.array([0.0], dtype))[0]


@pytest.mark.parametrize("name", ["min", "max", "median", "mode"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_zeros_of_both_signs_do_not_depend_on_where_they_lie(name: str, dtype: str) -> None:
    """Vector lanes and loop tails must treat -0.0 alike: a line of windows equals the same windows one by one."""
    rng = np.random.default_rng(9)
    for n in (1, 3, 7, 8, 15, 31, 33, 64, 100):
        base = rng.choice(np.array([-0.0, 0.0, -0.0, 1.0, -1.0], dtype), (n, 3, 2))
        whole = reduce_array(find(name), base, [(1, 3, 2)])[0]
        single = np.concatenate([reduce_array(find(name), base[i : i + 1], [(1, 3, 2)])[0] for i in range(n)])
        assert whole.tobytes() == single.tobytes()


# ---------------------------------------------------------------- mode


def commonest(samples: Array, missing: int | None) -> int:
    counts = Counter(v for v in samples.ravel().tolist() if v != missing)
    return missing if missing is not None and not counts else min(counts, key=lambda v: (-counts[v], v))


@pytest.mark.parametrize("share", [0.0, 0.02, 0.4, 1.0])
@pytest.mark.parametrize("missing", [None, 3])
@pytest.mark.parametrize("window", [(2, 2, 2), (3, 3, 3), (1, 2, 2), (4, 4, 4), (2, 1, 2), (8,), (7, 5)])
def test_mode_equals_counting_whatever_share_of_windows_is_mixed(window: tuple[int, ...], missing: int | None, share: float) -> None:
    """One label, a majority, a few labels to be counted, noise to be sorted: each has a way of its own, and the answer is that of a Counter."""
    rng = np.random.default_rng((len(window), math.prod(window)))
    n_windows = {1: (3000,), 2: (40, 40), 3: (9, 9, 12)}[len(window)]
    for dtype, n_labels, top in (("uint8", 3, 255), ("uint32", 12, 2**32 - 1), ("uint64", 40, 2**64 - 1), ("int16", 2, 32767)):
        labels = np.array([*range(n_labels), top], dtype)
        cells = rng.choice(labels, n_windows)
        block = cells
        for axis, f in enumerate(window):
            block = np.repeat(block, f, axis=axis)
        is_mixed = rng.random(n_windows) < share
        for axis, f in enumerate(window):
            is_mixed = np.repeat(is_mixed, f, axis=axis)
        block = np.ascontiguousarray(np.where(is_mixed, rng.choice(labels, block.shape), block))
        out = np.empty(n_windows, dtype)
        ranks.mode(block, window, out, missing)
        at = tuple(zip(*(map(int, i) for i in np.unravel_index(rng.choice(out.size, 150), n_windows)), strict=True))
        for place in at:
            samples = block[tuple(slice(i * f, i * f + f) for i, f in zip(place, window, strict=True))]
            assert out[place] == commonest(samples, missing), (dtype, place)


# ---------------------------------------------------------------- gaussian


@pytest.mark.parametrize("f", [2, 3, 4, 5])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_gaussian_levels_equal_scikit_image_on_even_sizes(f: int, ndim: int) -> None:
    rng = np.random.default_rng(f)
    base = rng.random((f * f * 4, f * f * 3, f * f)[:ndim])
    theirs = list(skimage.transform.pyramid_gaussian(base, max_layer=2, downscale=f, preserve_range=True))
    for found, expected in zip(reduce_array(find("gaussian"), base, [(f,) * ndim] * 2), theirs[1:], strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_gaussian_of_float32_and_of_channels_equals_scikit_image() -> None:
    base = np.random.default_rng(0).random((64, 96, 3)).astype(np.float32)
    theirs = list(skimage.transform.pyramid_gaussian(base, max_layer=3, channel_axis=2))
    for found, expected in zip(reduce_array(find("gaussian"), base, [(2, 2, 1)] * 3), theirs[1:], strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("f", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 12, 29])
def test_gaussian_of_any_size_equals_scipy_on_the_reflected_line(f: int, n: int) -> None:
    """scipy smooths a line that was reflected by hand, so that samples beyond the end exist; then the window's centre is taken."""
    base = np.random.default_rng(n).random(n)
    margin = 12 * f
    line = np.pad(base, margin, mode="symmetric")
    smooth = scipy.ndimage.gaussian_filter1d(line, f / 3)
    centres = margin + np.arange(0, n, f) + (f - 1) / 2
    expected = (smooth[np.floor(centres).astype(int)] + smooth[np.ceil(centres).astype(int)]) / 2
    np.testing.assert_allclose(reduce_array(find("gaussian"), base, [(f,)])[0], expected, atol=1e-12)


@pytest.mark.parametrize("f", [2, 3, 4, 5])
@pytest.mark.parametrize("shape", [(12,), (5, 7), (4, 5, 3)])
def test_expansion_equals_scipy(f: int, shape: tuple[int, ...]) -> None:
    coarse = np.random.default_rng(f).random(shape)
    out = np.empty([n * f for n in shape])
    filters.expand(coarse, (f,) * len(shape), [(filters.expand_halo(f),) * 2] * len(shape), out)
    linear = scipy.ndimage.zoom(coarse, f, order=1, mode="reflect", grid_mode=True)
    np.testing.assert_allclose(out, scipy.ndimage.gaussian_filter(linear, f / 3, mode="reflect"), atol=1e-12)


def test_expansion_equals_scikit_image_away_from_the_edges() -> None:
    coarse = np.random.default_rng(0).random((16, 20))
    out = np.empty((32, 40))
    filters.expand(coarse, (2, 2), [(2, 2), (2, 2)], out)
    theirs = skimage.transform.pyramid_expand(coarse, upscale=2)
    np.testing.assert_allclose(out[6:-6, 6:-6], theirs[6:-6, 6:-6], atol=1e-12)


@pytest.mark.parametrize("f", range(2, 12))
def test_taps_sum_to_one_and_are_symmetric(f: int) -> None:
    taps = filters.reduce_taps(f)
    assert taps == taps[::-1]
    assert math.fsum(taps) == pytest.approx(1, abs=1e-15)
    phases = filters.expand_taps(f)
    for phase, mirrored in zip(phases, reversed(phases), strict=True):
        assert math.fsum(phase) == pytest.approx(1, abs=1e-15)
        np.testing.assert_allclose(phase, mirrored[::-1], atol=1e-16)


def test_gaussian_of_integers_is_the_rounded_float_and_stays_in_range() -> None:
    rng = np.random.default_rng(1)
    for dtype in ("uint8", "int16", "uint32", "int64", "uint64"):
        info = np.iinfo(dtype)
        base = rng.choice(np.array([info.min, info.max], dtype), (24, 36))
        wide = reduce_array(find("gaussian"), base.astype(np.float64), [(2, 2)])[0]
        found = reduce_array(find("gaussian"), base, [(2, 2)])[0]
        expected = [[min(max(round(x), int(info.min)), int(info.max)) for x in row] for row in wide.tolist()]
        assert found.tolist() == expected
        assert (reduce_array(find("gaussian"), np.full((9, 9), info.max, dtype), [(2, 2)])[0] == info.max).all()
        assert (reduce_array(find("gaussian"), np.full((9, 9), info.min, dtype), [(2, 2)])[0] == info.min).all()


def test_gaussian_ramp_keeps_its_place_beyond_the_halo() -> None:
    y, x = np.meshgrid(np.arange(60.0), np.arange(90.0), indexing="ij")
    for f in ((2, 2), (3, 4), (1, 5)):
        found = reduce_array(find("gaussian"), 3 * y - 2 * x, [f])[0]
        expected = 3 * (y[:: f[0], :: f[1]] + (f[0] - 1) / 2) - 2 * (x[:: f[0], :: f[1]] + (f[1] - 1) / 2)
        np.testing.assert_allclose(found[6:-6, 6:-6], expected[6:-6, 6:-6], atol=1e-10)


def test_gaussian_of_missing_samples_is_the_normalised_convolution() -> None:
    """scipy filters values and weights apart; a window of NaN alone is NaN, and nothing else is."""
    rng = np.random.default_rng(4)
    base = rng.random((40, 60))
    base[rng.random(base.shape) < 0.4] = math.nan
    base[10:20, 10:30] = math.nan
    valid = ~np.isnan(base)

    def reduced(values: Array) -> Array:
        smooth = scipy.ndimage.gaussian_filter(values, 2 / 3, mode="reflect")
        return (smooth[::2, ::2] + smooth[1::2, ::2] + smooth[::2, 1::2] + smooth[1::2, 1::2]) / 4

    with np.errstate(invalid="ignore", divide="ignore"):
        expected = reduced(np.where(valid, base, 0)) / reduced(valid.astype(float))
    expected[~reduceat(valid, (2, 2), np.logical_or)] = math.nan
    found = reduce_array(find("gaussian"), base, [(2, 2)])[0]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.isnan(found).sum() >= 50
    marked = np.where(valid, np.rint(base * 1000), -1).astype(np.int32)
    with_nodata = reduce_array(find("gaussian"), marked, [(2, 2)], nodata=-1)[0]
    np.testing.assert_array_equal(with_nodata == -1, np.isnan(found))
    np.testing.assert_allclose(with_nodata[~np.isnan(found)], found[~np.isnan(found)] * 1000, atol=1.01)


def test_sums_of_integers_are_exact_whatever_width_they_are_taken_in():
    """Random shapes, factors, leads and ranges of values, in memory order or not, into a part of a larger array; against sums of 64 bits."""
    rng = np.random.default_rng(1)
    for _ in range(600):
        ndim = int(rng.integers(1, 4))
        shape, factors = (tuple(int(n) for n in rng.integers(1, high, ndim)) for high in (20, 5))
        dtype = np.dtype(str(rng.choice(["u1", "i1", "u2", "i2", "u4", "i4"])))
        largest = int(np.iinfo(dtype).max)
        high = int(largest * rng.random() ** 3)
        block = rng.integers(0 if dtype.kind == "u" else -high, high, shape, endpoint=True).astype(dtype)
        if rng.random() < 0.3:
            block.flat[int(rng.integers(block.size))] = largest
        block = np.asfortranarray(block) if rng.random() < 0.3 else block
        lead = tuple(int(rng.integers(0, f)) for f in factors)
        n_windows = windows.window_shape(shape, factors, lead)
        padded = np.zeros([n * f for n, f in zip(n_windows, factors, strict=True)], np.int64)
        padded[tuple(slice(a, a + n) for a, n in zip(lead, shape, strict=True))] = block
        expected = padded.reshape([n for pair in zip(n_windows, factors, strict=True) for n in pair]).sum(axis=tuple(range(1, 2 * ndim, 2)))
        wide = 2 * dtype.itemsize if math.prod(factors) * largest < 1 << (16 * dtype.itemsize - 1) else 8
        out = np.zeros([n + 3 for n in n_windows], f"{dtype.kind}{wide}")[tuple(slice(1, 1 + n) for n in n_windows)]
        windows.fold(block, factors, out, np.add, lead if any(lead) else ())
        assert np.array_equal(out, expected)
