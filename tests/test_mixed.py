"""One reduction per axis: an order of operations, anchors by axis, from the base where the operations commute."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ziggurat as zg
from ziggurat import geometry
from ziggurat.problems import OptionError, UnsupportedError
from ziggurat.reductions import find, reduce_array, resolve

RNG = np.random.default_rng(3)
NAMES = "tczyxw"


def halves(values: np.ndarray) -> np.ndarray:
    return np.rint(values)


FUNCTIONS: dict[str, Callable[..., Any]] = {"mean": np.nanmean, "max": np.nanmax, "min": np.nanmin, "median": np.nanmedian, "stride": None}  # type: ignore[dict-item]


def along(array: np.ndarray, axes: Sequence[int], factors: Sequence[int], name: str) -> np.ndarray:
    """One operation by padding with NaN and reshaping, in float64; integers are rounded half to even by the caller."""
    factors = [f if i in axes else 1 for i, f in enumerate(factors)]
    if name == "stride":
        return array[tuple(slice(None, None, f) for f in factors)]
    pads = [(0, -n % f) for n, f in zip(array.shape, factors, strict=True)]
    padded = np.pad(array.astype(np.float64), pads, constant_values=math.nan)
    cut = padded.reshape([part for n, f in zip(padded.shape, factors, strict=True) for part in (n // f, f)])
    return np.asarray(FUNCTIONS[name](cut, axis=tuple(range(1, 2 * array.ndim, 2))))


def chained(base: np.ndarray, ladder: Sequence[tuple[int, ...]], operations: Sequence[tuple[str, Sequence[int]]]) -> list[np.ndarray]:
    levels = [base]
    for factors in ladder:
        level = levels[-1]
        for name, axes in operations:
            level = halves(along(level, axes, factors, name)).astype(base.dtype)
        levels.append(level)
    return levels[1:]


@settings(max_examples=60)
@given(data=st.data())
def test_several_operations_are_done_in_the_order_that_is_said(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 4))
    shape = tuple(data.draw(st.integers(1, 9)) for _ in range(n))
    ladder = [tuple(data.draw(st.integers(1, 3)) for _ in range(n)) for _ in range(2)]
    order = data.draw(st.permutations(range(n)))
    words = [data.draw(st.sampled_from(["mean", "max", "min", "median", "stride"])) for _ in order]
    base = np.random.default_rng(data.draw(st.integers(0, 2**32))).integers(-100, 100, shape).astype(np.int16)
    row = resolve({NAMES[i]: word for i, word in zip(order, words, strict=True)}, NAMES[:n])
    operations: list[tuple[str, list[int]]] = []
    for i, word in zip(order, words, strict=True):
        if operations and operations[-1][0] == word:
            operations[-1][1].append(i)
        else:
            operations.append((word, [i]))
    rest = set(words) - {"stride"}
    if len(set(words)) == 1:
        assert row == find(words[0])
        return
    assert row.composes == (len(rest) == 1 and "median" not in rest)
    assert row.anchor == tuple("first" if words[order.index(i)] == "stride" else "centre" for i in range(n))
    found = reduce_array(row, base, ladder)
    if not row.composes:
        expected = chained(base, ladder, operations)
    else:
        expected = []
        for factors in geometry.cumulative_factors(ladder, n)[1:]:
            level = base.astype(np.float64)
            for name, axes in sorted(operations, key=lambda op: op[0] != "stride"):
                level = along(level, axes, factors, name) if name == "stride" else level
            one = next(iter(rest))
            level = along(level, [i for name, axes in operations if name == one for i in axes], factors, one)
            expected.append(halves(level).astype(base.dtype))
    for level, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(level, want)


def test_a_mean_over_what_a_stride_picks_counts_what_is_there() -> None:
    base = RNG.standard_normal((7, 9, 10)).astype(np.float32)
    base[RNG.random(base.shape) < 0.5] = np.nan
    for name in ("mean", "variance", "rms", "count", "sum", "max"):
        row = resolve({"z": "stride", "y": name, "x": name}, "zyx")
        assert row.composes
        for level, (f, g, h) in zip(reduce_array(row, base, [(2, 2, 3), (2, 2, 2)]), [(2, 2, 3), (4, 4, 6)], strict=True):
            want = reduce_array(find(name), np.ascontiguousarray(base[::f]), [(1, g, h)])[0]
            np.testing.assert_allclose(level, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("chunks", [5, (4, 16, 9), 64])
def test_mean_in_the_plane_and_max_across_it(tmp_path: Path, chunks: Any) -> None:
    base = RNG.integers(0, 2**16, (14, 50, 37), dtype=np.uint16)
    result = zg.build(base, tmp_path / "m.zarr", chunks=chunks, levels=3, reduction={"y": "mean", "x": "mean", "z": "max"})
    ladder = [level.factors for level in result.plan.levels[1:]]
    assert ladder == [(2, 2, 2)] * 2
    for level, want in zip(zg.open(result.location).levels[1:], chained(base, ladder, [("mean", [1, 2]), ("max", [0])]), strict=True):
        np.testing.assert_array_equal(level.array[...], want)
    said = json.loads(Path(result.location, "zarr.json").read_text(encoding="utf-8"))["attributes"]["ome"]["multiscales"][0]
    kwargs = said["metadata"]["kwargs"]
    assert (said["type"], kwargs["reduction"], kwargs["source"]) == ("mixed", "y:mean, x:mean, z:max", "previous")
    assert zg.check(result.location).ok_strict
    again = zg.build(base, tmp_path / "n.zarr", chunks=chunks, levels=3, reduction=kwargs["reduction"])
    for a, b in zip(zg.open(result.location).levels, zg.open(again.location).levels, strict=True):
        np.testing.assert_array_equal(a.array[...], b.array[...])


def test_each_axis_has_its_anchor_and_its_factors_in_six_axes(tmp_path: Path) -> None:
    base = RNG.integers(0, 255, (3, 2, 6, 9, 8, 5), dtype=np.uint8)
    axes = ["t", "c", "z", "y", "x", "angle"]
    said = {"z": "stride", "y": "mean", "x": "mean", "angle": "stride", "c": "none"}
    result = zg.build(base, tmp_path / "six.zarr", axes=axes, reduction=said, factors={"z": 3, "y": 2, "x": 2, "angle": 2}, levels=3, chunks=4, scale=1.0)
    pyramid = zg.open(result.location)
    assert [level.translation for level in pyramid.levels] == [(0,) * 6, (0, 0, 0, 0.5, 0.5, 0), (0, 0, 0, 1.5, 1.5, 0)]
    picked = base[:, :, ::3, :, :, ::2]
    np.testing.assert_array_equal(pyramid.levels[1].array[...], reduce_array(find("mean"), np.ascontiguousarray(picked), [(1, 1, 1, 2, 2, 1)])[0])
    picked = base[:, :, ::9, :, :, ::4]
    np.testing.assert_array_equal(pyramid.levels[2].array[...], reduce_array(find("mean"), np.ascontiguousarray(picked), [(1, 1, 1, 4, 4, 1)])[0])
    assert zg.check(result.location).ok


def test_what_is_named_is_reduced_and_nothing_else(tmp_path: Path) -> None:
    base = RNG.integers(0, 255, (16, 40, 40), dtype=np.uint8)
    only = zg.plan(base, tmp_path / "a.zarr", axes="tyx", reduction={"t": "mean"}, levels=3, chunks=4)
    assert [level.factors for level in only.levels] == [(1, 1, 1), (2, 1, 1), (2, 1, 1)]
    assert only.reduction == "mean"
    pair = zg.plan(base, tmp_path / "b.zarr", axes="zyx", reduction={"y": "mean", "z": "max"}, factors=2, levels=2)
    assert [level.factors for level in pair.levels] == [(1, 1, 1), (2, 2, 1)]
    signal = zg.build(np.arange(100, dtype=np.float64), tmp_path / "s.zarr", axes=["sample"], reduction={"sample": "max"}, levels=3, chunks=16)
    np.testing.assert_array_equal(zg.open(signal.location).levels[2].array[...], np.arange(3, 100, 4))


@pytest.mark.parametrize(
    ("reduction", "options", "error", "wrong"),
    [
        ({"q": "mean"}, {}, OptionError, "found axis 'q', expected names out of z, y, x"),
        ({"y": "mean", "z": "max"}, {"factors": [2, 2, 2]}, OptionError, "axis 'x' is reduced and nothing is said for it"),
        ({"y": "gaussian", "x": "mean"}, {}, OptionError, "'gaussian' reads beyond its window"),
        ({"y": "avrage"}, {}, OptionError, "did you mean 'average'"),
        ({"y": "sum", "x": "mean"}, {}, UnsupportedError, "it makes uint64 of uint8"),
        ({"y": 3}, {}, OptionError, "expected a name such as 'mean'"),
        ({"y": "none"}, {}, OptionError, "expected a reduction for one axis at least"),
        ("z:max, z:min", {}, OptionError, "expected each axis once"),
        ("z:", {}, OptionError, "expected each axis once"),
        ({"y": "median(source=base)", "x": "mean"}, {}, OptionError, "leave source=base out"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path: Path, reduction: Any, options: dict[str, Any], error: Any, wrong: str) -> None:
    base = np.zeros((8, 8, 8), np.uint8)
    with pytest.raises(error, match=wrong):
        zg.plan(base, tmp_path / "x.zarr", reduction=reduction, levels=2, **options)
