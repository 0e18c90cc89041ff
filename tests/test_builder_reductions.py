"""Builds with reductions that are said in brackets, made of functions, or made from the base: against loops over windows of the base."""

from __future__ import annotations

import json
import multiprocessing
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ziggurat as zg
from ziggurat import reductions
from ziggurat.problems import OptionError, PlanError

RNG = np.random.default_rng(7)
IMAGE = RNG.integers(0, 2**16, (61, 47, 20), dtype=np.uint16)


def windows(base: np.ndarray, factors: Sequence[int], function: Callable[[list[Any]], Any]) -> np.ndarray:
    out = np.empty([-(-n // f) for n, f in zip(base.shape, factors, strict=True)], base.dtype)
    for index in np.ndindex(*out.shape):
        out[index] = function(base[tuple(slice(i * f, i * f + f) for i, f in zip(index, factors, strict=True))].ravel().tolist())
    return out


def levels_of(result: zg.BuildResult) -> list[np.ndarray]:
    return [level.array[...] for level in zg.open(result.location).levels]


def multiscale(result: zg.BuildResult) -> Any:
    attributes = json.loads(Path(result.location, "zarr.json").read_text(encoding="utf-8"))["attributes"]
    return attributes["ome"]["multiscales"][0]


def middle(window: list[int]) -> int:
    return round(Fraction(statistics.median(map(Fraction, window))))


@pytest.mark.parametrize("chunks", [9, (16, 12, 20), 64])
def test_a_median_from_the_base_is_that_of_the_base_at_every_level(tmp_path: Path, chunks: int | tuple[int, ...]) -> None:
    result = zg.build(IMAGE, tmp_path / "m.zarr", chunks=chunks, levels=4, reduction="median(source=base)")
    for level, found in zip(result.plan.levels, levels_of(result), strict=True):
        np.testing.assert_array_equal(found, windows(IMAGE, level.cumulative, middle))
    said = multiscale(result)
    assert (said["type"], said["metadata"]["method"]) == ("median", "ziggurat.median")
    assert said["metadata"]["kwargs"]["reduction"] == "median(source=base)"
    assert said["metadata"]["kwargs"]["source"] == "base"
    assert reductions.find(said["metadata"]["kwargs"]["reduction"]).composes


def test_what_does_not_fit_the_memory_is_refused_with_the_number_that_does(tmp_path: Path) -> None:
    base = np.zeros((2048, 2048, 20), np.uint16)
    with pytest.raises(PlanError, match=r"needs at least \d+ MiB and the budget is 110.0 MiB.*or leave source=base out of 'median\(source=base\)'"):
        zg.plan(base, tmp_path / "m.zarr", levels=8, chunks=128, reduction="median(source=base)", memory="110MiB")
    assert zg.plan(base, tmp_path / "m.zarr", levels=8, chunks=128, reduction="median", memory="200MiB").n_levels == 8


def test_a_quantile_and_labels_without_background(tmp_path: Path) -> None:
    result = zg.build(IMAGE[..., 0], tmp_path / "q.zarr", chunks=16, levels=3, reduction="q0.9")
    before = IMAGE[..., 0]
    for level, found in zip(result.plan.levels[1:], levels_of(result)[1:], strict=True):
        before = windows(before, level.factors, lambda w: round(_quantile(w, Fraction(9, 10))))
        np.testing.assert_array_equal(found, before)
    labels = RNG.integers(0, 4, (61, 47), dtype=np.uint64) * 2**40
    result = zg.build(labels, tmp_path / "l.zarr", chunks=16, levels=3, kind="labels", reduction="mode(ignore=0)")
    before = labels
    for level, found in zip(result.plan.levels[1:], levels_of(result)[1:], strict=True):
        before = windows(before, level.factors, lambda w: _most([x for x in w if x] or w))
        np.testing.assert_array_equal(found, before)
    assert multiscale(result)["metadata"]["kwargs"]["reduction"] == "mode(ignore=0)"


def _quantile(window: list[int], q: Fraction) -> Fraction:
    at = (len(window) - 1) * q
    ordered, low = sorted(window), int(at)
    return ordered[low] + (ordered[min(low + 1, len(window) - 1)] - ordered[low]) * (at - low)


def _most(window: list[int]) -> int:
    return min(Counter(window).items(), key=lambda item: (-item[1], item[0]))[0]


def spread(block: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.ptp(block, axes))


@pytest.mark.parametrize("source", ["previous", "base"])
def test_workers_and_threads_agree_on_a_function_of_ones_own(tmp_path: Path, source: Any) -> None:
    row = zg.reduction(spread, name="spread", source=source)
    ours = zg.build(IMAGE, tmp_path / "a.zarr", chunks=8, levels=3, reduction=row)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        theirs = zg.build(IMAGE, tmp_path / "b.zarr", chunks=8, levels=3, reduction=row, executor=pool)
    before = IMAGE
    for level, mine, other in zip(ours.plan.levels[1:], levels_of(ours)[1:], levels_of(theirs)[1:], strict=True):
        before = windows(*((before, level.factors) if source == "previous" else (IMAGE, level.cumulative)), lambda w: max(w) - min(w))  # type: ignore[arg-type]
        np.testing.assert_array_equal(mine, before)
        np.testing.assert_array_equal(other, before)
    assert multiscale(ours)["type"] == "spread"
    assert multiscale(ours)["metadata"]["kwargs"]["source"] == source


def test_labels_are_never_averaged_nor_floats_unless_forced(tmp_path: Path) -> None:
    labels = RNG.integers(0, 4, (40, 40), dtype=np.uint32)
    for name in ("mean", "median", "q0.9", "gaussian"):
        with pytest.raises(OptionError, match=r"would make labels that nobody drew; take 'mode', or say force=True"):
            zg.plan(labels, tmp_path / "x.zarr", kind="labels", reduction=name, levels=2)
    assert zg.plan(labels, tmp_path / "x.zarr", kind="labels", reduction="mean", levels=2, force=True).reduction == "mean"
    with pytest.raises(OptionError, match="labels are whole numbers, found float32; say dtype='int32' and force=True to convert them, or kind='image'"):
        zg.plan(labels.astype(np.float32), tmp_path / "x.zarr", kind="labels", levels=2)
    result = zg.build(labels.astype(np.float32), tmp_path / "x.zarr", kind="labels", levels=2, dtype="int32", force=True)
    assert levels_of(result)[1].dtype == np.int32


def test_an_alias_is_written_as_the_row_that_it_means(tmp_path: Path) -> None:
    result = zg.build(IMAGE[..., 0], tmp_path / "a.zarr", levels=2, chunks=16, reduction="average")
    assert (result.plan.reduction, multiscale(result)["type"]) == ("mean", "mean")


def blobs(shape: tuple[int, ...], n: int, dtype: str) -> np.ndarray:
    """Cells around random points, most of them larger than a window, on a background of 0."""
    points = RNG.random((n, len(shape))) * shape
    apart = [np.linalg.norm(np.moveaxis(np.indices(shape), 0, -1) - point, axis=-1) for point in points]
    nearest = np.argmin(apart, axis=0)
    names = (np.arange(1, n + 1).astype(np.uint64) * np.uint64(2**40 if dtype == "uint64" else 7)).astype(dtype)
    return np.where(np.min(apart, axis=0) < 6, names[nearest], np.array(0, dtype))


@pytest.mark.parametrize("dtype", ["uint16", "uint64", "int32"])
@pytest.mark.parametrize("name", ["mode(source=base)", "mode(ignore=0, source=base)"])
@pytest.mark.parametrize("chunks", [8, (16, 12, 20)])
def test_labels_from_the_base_are_those_of_the_base_at_every_level(tmp_path: Path, dtype: str, name: str, chunks: Any) -> None:
    labels = blobs((40, 37, 21), 14, dtype)
    result = zg.build(labels, tmp_path / "l.zarr", chunks=chunks, levels=5, kind="labels", reduction=name)
    assert result.unproven == ()
    for level, found in zip(result.plan.levels[1:], levels_of(result)[1:], strict=True):
        want = windows(labels, level.cumulative, lambda w: _most([x for x in w if x] or w) if "ignore" in name else _most(w))
        np.testing.assert_array_equal(found, want)
    kwargs = multiscale(result)["metadata"]["kwargs"]
    assert (kwargs["source"], kwargs["reduction"], "unproven" in kwargs) == ("base", name, False)


def test_where_more_labels_lie_under_a_sample_than_are_counted_the_report_says_so(tmp_path: Path) -> None:
    """What is not proven is counted, and what is proven is right."""
    labels = RNG.integers(1, 60, (64, 64)).astype(np.uint32)
    labels[:, :32] = RNG.integers(1, 9, (64, 32))
    result = zg.build(labels, tmp_path / "l.zarr", chunks=16, levels=6, kind="labels", reduction="mode(source=base)")
    assert len(result.unproven) == 6
    for level, found, n in zip(result.plan.levels[1:], levels_of(result)[1:], result.unproven[1:], strict=True):
        wrong = np.count_nonzero(found != windows(labels, level.cumulative, _most))
        assert wrong <= n
        assert n <= found.size // 2 + 1  # the left half has 8 labels: all of it is proven
    assert result.unproven[:3] == (0, 0, 0) and result.unproven[3] > 0
    assert multiscale(result)["metadata"]["kwargs"]["unproven"] == list(result.unproven)
    assert f"samples {result.unproven[3]} of level 3" in str(result)
    assert result.to_json()["unproven"] == list(result.unproven)


@pytest.mark.parametrize("name", ["mode(source=base)", "q0.9", "median(source=base)", "y:mean, x:max", "sum", "std"])
def test_a_deep_check_makes_the_same_levels_again_from_what_the_metadata_says(tmp_path: Path, name: str) -> None:
    base = RNG.integers(1, 60, (64, 64)).astype(np.uint32)
    result = zg.build(base, tmp_path / "d.zarr", chunks=16, levels=4, kind="labels" if "mode" in name else "image", reduction=name)
    report = zg.check(result.location, deep=True)
    assert report.ok, str(report)
    assert [problem.rule for problem in report if "all equal" in problem.message] == ["DEEP005"] * 3


def test_an_interrupted_build_tells_what_is_not_proven_of_both_runs(tmp_path: Path) -> None:
    labels = np.ones((600, 600), np.uint32)
    for part in (labels[:50, :50], labels[-50:, -50:]):
        part[...] = RNG.integers(1, 60, part.shape)
    options: dict[str, Any] = {"chunks": 10, "factors": 5, "levels": 3, "kind": "labels", "reduction": "mode(source=base)"}
    whole = zg.build(labels, tmp_path / "a.zarr", **options)

    def stop(progress: Any) -> None:
        if 2 * progress.n_done >= progress.n_total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zg.build(labels, tmp_path / "b.zarr", progress=stop, threads=1, **options)
    again = zg.build(labels, tmp_path / "b.zarr", threads=1, **options)
    assert again.n_resumed and again.unproven == whole.unproven and whole.plan.passes[0].root >= 1 and whole.unproven[1]
    assert multiscale(again)["metadata"]["kwargs"]["unproven"] == list(whole.unproven)
