"""Levels of any size and of groups of samples: exact windows against Python's fractions, scipy and xarray; placement; and builds of them."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

import ziggurat as zg
from ziggurat.cli import run
from ziggurat.geometry import AxisWindows
from ziggurat.planner import BuildPlan
from ziggurat.problems import ZigguratError
from ziggurat.reductions import find, resample_array

Array = NDArray[Any]
RNG = np.random.default_rng(5)
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64")
FIELD = (RNG.integers(-4000, 4000, (61, 83)) / 8).astype("float64")
GONE = RNG.random(FIELD.shape) < 0.4
HEAVY = RNG.integers(0, 17, FIELD.shape) / 16


# ---------------------------------------------------------------- the oracle: borders as fractions of samples


def borders_of_factor(n: int, factor: Fraction) -> list[Fraction]:
    return [min(Fraction(n), j * factor) for j in range(math.ceil(n / factor) + 1)]


def shares(borders: list[Fraction]) -> Iterator[list[tuple[int, Fraction]]]:
    """For each window the samples in it, and how much of each."""
    for a, b in itertools.pairwise(borders):
        yield [(i, min(b, Fraction(i + 1)) - max(a, Fraction(i))) for i in range(math.floor(a), math.ceil(b))]


def oracle(base: Array, borders: list[list[Fraction]], valid: Array, weights: Array, missing: Any, pick: Callable[..., Any] | None = None) -> Array:
    """One level of a 2-D array; `pick` joins what is valid in place of the mean."""
    rows, columns = (list(shares(b)) for b in borders)
    out = np.empty((len(rows), len(columns)), base.dtype)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            there = [(base[y, x].item(), sy * sx * Fraction(float(weights[y, x]))) for y, sy in row for x, sx in column if valid[y, x] and weights[y, x]]
            if not there:
                out[i, j] = missing
            elif pick is not None:
                out[i, j] = pick(x for x, _ in there)
            else:
                exact = sum((Fraction(x) * w for x, w in there), Fraction(0)) / sum(w for _, w in there)
                out[i, j] = round(exact) if base.dtype.kind in "ui" else float(exact)
    return out


SPAN = st.tuples(st.integers(1, 40), st.sampled_from(["shape", "scale", "groups"]), st.integers(0, 2**32 - 1))


def windows_of(span: tuple[int, str, int]) -> tuple[AxisWindows, list[Fraction]]:
    n, what, seed = span
    rng = np.random.default_rng(seed)
    if what == "groups":
        cuts = sorted({0, n, *rng.integers(0, n + 1, 4).tolist()})
        return AxisWindows.of_edges(cuts), [Fraction(c) for c in cuts]
    factor = Fraction(n, int(rng.integers(1, n + 1))) if what == "shape" else min(Fraction(n), 1 + Fraction(int(rng.integers(0, 40)), 10))
    return AxisWindows.of_factor(n, factor), borders_of_factor(n, factor)


def check_against_fractions(name: str, dtype: str, spans: tuple[Any, ...], seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    windows, borders = zip(*map(windows_of, spans), strict=True)
    shape = tuple(w.n_base for w in windows)
    if np.dtype(dtype).kind == "f":
        base = (rng.integers(-512, 512, shape) / 8).astype(dtype)
        base[rng.random(shape) < density] = math.nan
        valid, missing, nodata = ~np.isnan(base), math.nan, None
    else:
        base = rng.integers(0, 100, shape).astype(dtype)
        missing = nodata = 7 if density else None
        valid = base != 7 if density else np.ones(shape, bool)
    order = [np.asfortranarray, np.ascontiguousarray, lambda a: a.astype(a.dtype.newbyteorder(">"))][seed % 3]
    found = resample_array(find(name), order(base), windows, nodata=nodata)
    want = oracle(base, list(borders), valid, np.ones(shape), missing, {"mean": None, "min": min, "max": max}[name])
    if base.dtype.kind == "f" and name == "mean":
        np.testing.assert_allclose(found, want, rtol=2e-3 if dtype == "float16" else 1e-6 if dtype == "float32" else 1e-13, atol=1e-13)
    else:
        np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=6)
@given(spans=st.tuples(SPAN, SPAN), seed=st.integers(0, 2**32 - 1), density=st.sampled_from([0.0, 0.3, 0.9, 1.0]))
def test_means_of_windows_of_any_length_are_exact(dtype: str, spans: tuple[Any, ...], seed: int, density: float) -> None:
    check_against_fractions("mean", dtype, spans, seed, density)


@pytest.mark.parametrize("name", ["min", "max"])
@settings(max_examples=10)
@given(spans=st.tuples(SPAN, SPAN), seed=st.integers(0, 2**32 - 1), density=st.sampled_from([0.0, 0.3, 1.0]), dtype=st.sampled_from(["uint8", "float32"]))
def test_extremes_of_windows_of_any_length(name: str, dtype: str, spans: tuple[Any, ...], seed: int, density: float) -> None:
    check_against_fractions(name, dtype, spans, seed, density)


@pytest.mark.prove
@pytest.mark.parametrize("name", ["mean", "min", "max"])
@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=150)
@given(spans=st.tuples(SPAN, SPAN), seed=st.integers(0, 2**32 - 1), density=st.sampled_from([0.0, 0.1, 0.3, 0.6, 0.9, 1.0]))
def test_windows_of_any_length_in_many_more_cases(name: str, dtype: str, spans: tuple[Any, ...], seed: int, density: float) -> None:
    check_against_fractions(name, dtype, spans, seed, density)


@pytest.mark.parametrize(("n", "f"), [(1, 1), (7, 2), (40, 5), (39, 4), (12, 3)])
def test_whole_factors_are_the_same_by_either_way(n: int, f: int) -> None:
    base = RNG.integers(0, 2**16, (n, 13), dtype="uint16")
    windows = (AxisWindows.of_factor(n, f), AxisWindows.of_factor(13, 2))
    from ziggurat.reductions import reduce_array

    np.testing.assert_array_equal(resample_array(find("mean"), base, windows), reduce_array(find("mean"), base, [(f, 2)])[0])


def test_an_overlap_matrix_of_scipy_gives_the_same() -> None:
    """Area-weighted resampling as conservative regridding does it: a sparse matrix of overlaps per axis."""
    base, matrices = FIELD.astype("float32"), []
    for n, m in zip(base.shape, (17, 30), strict=True):
        borders = np.linspace(0, n, m + 1)
        overlap = np.minimum(borders[1:, None], np.arange(1, n + 1)) - np.maximum(borders[:-1, None], np.arange(n))
        matrices.append(sparse.csr_array(overlap.clip(0) * m / n))
    found = resample_array(find("mean"), base, (AxisWindows.of_factor(61, Fraction(61, 17)), AxisWindows.of_factor(83, Fraction(83, 30))))
    np.testing.assert_allclose(found, matrices[0] @ base.astype(float) @ matrices[1].T, rtol=1e-6, atol=1e-5)


# ---------------------------------------------------------------- builds


def levels_of(place: Path, plan: BuildPlan) -> list[Array]:
    group = zarr.open_group(str(place), mode="r")
    return [group[level.path][...] for level in plan.levels]  # type: ignore[index,misc]


def borders_of(level: Any, axes: int = 2) -> list[list[Fraction]]:
    return [[Fraction(w.border(j), w.unit) for j in range(w.n + 1)] for w in level.windows[:axes]]


@pytest.mark.parametrize("chunks", [(16, 16), (7, 20), (61, 83)])
@pytest.mark.parametrize("options", [{}, {"nodata": GONE}, {"weights": HEAVY}, {"weights": HEAVY, "nodata": GONE}], ids=lambda o: "+".join(o) or "plain")
def test_levels_of_given_shapes_whatever_the_grid(tmp_path: Path, chunks: tuple[int, int], options: dict[str, Any]) -> None:
    result = zg.build(FIELD, tmp_path / "a.zarr", level_shapes=[(40, 83), (17, 30), (5, 1)], chunks=chunks, coverage=True, unit="meter", **options)
    assert (result.n_chunk_reads, result.n_chunk_writes) == (result.plan.n_chunk_reads, result.plan.n_chunk_writes)
    valid, weights = ~options.get("nodata", np.zeros(FIELD.shape, bool)), options.get("weights", np.ones(FIELD.shape))
    found = levels_of(tmp_path / "a.zarr", result.plan)
    np.testing.assert_array_equal(found[0], FIELD)
    for k, level in enumerate(result.plan.levels[1:], start=1):
        np.testing.assert_allclose(found[k], oracle(FIELD, borders_of(level), valid, weights, math.nan), rtol=1e-12, atol=1e-12)
    shape = result.plan.levels[3].shape
    last = zarr.open_array(str(tmp_path / "a.zarr/coverage/3"), mode="r")[...]
    want = oracle(np.where(valid, 1.0, 0.0), borders_of(result.plan.levels[3]), np.ones(FIELD.shape, bool), weights, 0.0)
    np.testing.assert_allclose(last, want, rtol=1e-6)  # type: ignore[arg-type]
    assert last.shape == shape  # type: ignore[union-attr]
    assert not list(zg.check(str(tmp_path / "a.zarr")))


@pytest.mark.parametrize(
    ("said", "is_whole"),
    [
        ({"level_shapes": [[24], [9]]}, False),
        ({"level_scales": [0.75, 1.25]}, False),
        ({"level_scales": [2, 5]}, True),
        ({"groups": {"x": [[0, 20, 40, 60]]}}, True),
    ],
    ids=str,
)
@pytest.mark.parametrize("layout", ["multiscales@0.1", "ome-zarr@0.5"])
def test_levels_lie_where_the_metadata_says(tmp_path: Path, layout: str, said: dict[str, Any], is_whole: bool) -> None:
    """A ramp holds its own world coordinate; a window of it the coordinate of its centre: exactly where windows hold whole samples.

    Where borders cut samples, a cut sample counts by its own value, at most a quarter of a step off its part; these cancel over the axis.
    """
    ramp = np.broadcast_to(10 + 0.5 * np.arange(60.0), (3, 60))
    place = {"scale": {"x": 0.5}, "translation": {"x": 10.0}, "unit": "meter"}
    said = {name: [{"x": s[0] if isinstance(s, list) else s} for s in entry] if name != "groups" else entry for name, entry in said.items()}
    zg.build(ramp, tmp_path / "a.zarr", chunks=16, layout=layout, **place, **said)
    for level in zg.open(str(tmp_path / "a.zarr")).levels:
        off = level.array[0, ...].ravel() - [level.to_world((0, i))[1] for i in range(level.shape[1])]
        assert np.abs(off).max() < (1e-12 if is_whole else 0.125)
        assert abs(off.mean()) < 1e-12
        assert level.scale_provenance in ("stated", "derived")


def test_steps_that_do_not_divide_end_in_a_partial_window(tmp_path: Path) -> None:
    result = zg.build(np.arange(10.0), tmp_path / "a.zarr", axes="x", level_scales=[4.0], chunks=4, layout="multiscales@0.1")
    assert levels_of(tmp_path / "a.zarr", result.plan)[1].tolist() == [1.5, 5.5, 8.5]
    assert result.plan.levels[1].translation == (1.5,)


HOURS = xarray.date_range("2023-11-01", "2024-05-01", freq="h", inclusive="left")
DAYS = [*range(0, len(HOURS), 24), len(HOURS)]
MONTHS = [0, *(np.flatnonzero(np.diff(HOURS.month)) + 1).tolist(), len(HOURS)]


def test_hours_to_days_to_months(tmp_path: Path) -> None:
    """Groups of unlike lengths against xarray's resample; space is halved beside it."""
    values = RNG.normal(280, 9, (len(HOURS), 6, 5)).astype("float32")
    values[RNG.random(values.shape) < 0.1] = math.nan
    cube = xarray.DataArray(values, dims=("time", "y", "x"), coords={"time": HOURS})
    groups = {"time": [DAYS, MONTHS]}
    result = zg.build(values, tmp_path / "a.zarr", axes=["time", "y", "x"], groups=groups, chunks=(100, 4, 4), scale={"time": 3600.0}, unit={"time": "second"})
    found = levels_of(tmp_path / "a.zarr", result.plan)
    for k, step in ((1, "D"), (2, "MS")):
        want = cube.astype("float64").resample(time=step).mean()
        np.testing.assert_allclose(found[k], want.values.astype("float32"), rtol=1e-6)
    assert result.plan.layout == "multiscales@0.1" and any("mean step" in note for note in result.plan.notes)
    kwargs = zg.open(str(tmp_path / "a.zarr")).method["kwargs"]  # type: ignore[index]
    assert kwargs["windows"] == [[24, 1, 1], [{"edges": MONTHS}, 1, 1]]  # type: ignore[index,call-overload]
    level = zg.open(str(tmp_path / "a.zarr")).levels[2]
    assert level.scale[0] == pytest.approx(3600 * len(HOURS) / 6) and level.scale_provenance == "derived"
    assert BuildPlan.from_json(json.loads(json.dumps(result.plan.to_json()))) == result.plan
    totals = zg.build(np.nan_to_num(values), tmp_path / "b.zarr", axes=["time", "y", "x"], groups=groups, factors={"y": 2, "x": 2}, reduction="sum", chunks=64)
    want = cube.fillna(0).astype("float64").resample(time="MS").sum().coarsen(y=4, x=4, boundary="pad").sum()
    np.testing.assert_allclose(levels_of(tmp_path / "b.zarr", totals.plan)[2], want.values, rtol=1e-9)


def digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()


def test_the_same_files_from_threads_processes_and_a_resumed_build(tmp_path: Path) -> None:
    floats = np.where(GONE, math.nan, FIELD)
    options: dict[str, Any] = {"level_shapes": [(40, 50), (17, 9)], "chunks": 8, "weights": HEAVY, "coverage": True, "name": "same"}
    zg.build(floats, tmp_path / "one.zarr", threads=1, **options)
    zg.build(floats, tmp_path / "three.zarr", threads=3, **options)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("forkserver")) as pool:
        zg.build(floats, tmp_path / "pool.zarr", executor=pool, **options)

    class Stop(Exception):
        pass

    def stop(progress: Any) -> None:
        if progress.n_done == 100:
            raise Stop

    with pytest.raises(Stop):
        zg.build(floats, tmp_path / "resumed.zarr", threads=1, progress=stop, **options)
    assert zg.build(floats, tmp_path / "resumed.zarr", threads=2, **options).n_resumed
    assert len({digest(tmp_path / f"{name}.zarr") for name in ("one", "three", "pool", "resumed")}) == 1


def test_samples_do_not_depend_on_chunks_or_memory(tmp_path: Path) -> None:
    floats = np.where(GONE, math.nan, FIELD).astype("float32")
    found = []
    for name, chunks in {"a": 8, "b": (61, 83), "c": (13, 5)}.items():
        result = zg.build(floats, tmp_path / f"{name}.zarr", level_shapes=[(40, 50), (17, 9)], chunks=chunks)
        found.append([level.tobytes() for level in levels_of(tmp_path / f"{name}.zarr", result.plan)])
    assert found[0] == found[1] == found[2]


def test_windows_are_cut_into_pieces_where_a_chunk_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ziggurat.planner import resampling

    monkeypatch.setattr(resampling, "MOST_SAMPLES", 500)
    result = zg.build(FIELD, tmp_path / "a.zarr", level_shapes=[(40, 50), (17, 9)], chunks=16)
    assert result.plan.passes[-1].tiles[1] < (16, 9)
    assert result.n_chunk_reads == result.plan.n_chunk_reads
    for found, level in zip(levels_of(tmp_path / "a.zarr", result.plan)[1:], result.plan.levels[1:], strict=True):
        want = oracle(FIELD, borders_of(level), np.ones(FIELD.shape, bool), np.ones(FIELD.shape), math.nan)
        np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-12)


def test_in_place_and_from_a_copy(tmp_path: Path) -> None:
    group = zarr.create_group(str(tmp_path / "in.zarr"))
    group.create_array("0", data=FIELD, chunks=(20, 20))
    zg.build(str(tmp_path / "in.zarr"), tmp_path / "copy.zarr", level_shapes=[(17, 30)])
    zg.build(str(tmp_path / "in.zarr/0"), level_shapes=[(17, 30)])
    a, b = (zarr.open_array(str(tmp_path / name / "1"), mode="r")[...] for name in ("in.zarr", "copy.zarr"))
    np.testing.assert_array_equal(a, b)


def test_the_command_line_says_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "field.npy", FIELD)
    words = ["--level-shapes", "40,50", "--level-shapes", "y=17,x=9", "-c", "16", "--quiet"]
    assert run(["build", str(tmp_path / "field.npy"), str(tmp_path / "a.zarr"), *words]) == 0
    zg.build(FIELD, tmp_path / "b.zarr", level_shapes=[(40, 50), {"y": 17, "x": 9}], chunks=16)
    assert run(["build", str(tmp_path / "field.npy"), str(tmp_path / "c.zarr"), "--level-scales", "2.5", "-c", "16", "--quiet"]) == 0
    for k in (1, 2):
        a, b = (zarr.open_array(str(tmp_path / f"{name}.zarr" / str(k)), mode="r")[...] for name in "ab")
        np.testing.assert_array_equal(a, b)
    assert zarr.open_array(str(tmp_path / "c.zarr/1"), mode="r").shape == (25, 34)
    groups = ["--groups", "y=0,10,30,61", "--groups", "y=0,61", "-c", "16", "--quiet"]
    assert run(["build", str(tmp_path / "field.npy"), str(tmp_path / "d.zarr"), *groups]) == 0
    np.testing.assert_allclose(zarr.open_array(str(tmp_path / "d.zarr/1"), mode="r")[1], FIELD[10:30].mean(axis=0), rtol=1e-13)
    assert zarr.open_array(str(tmp_path / "d.zarr/2"), mode="r").shape == (1, 83)
    assert run(["build", str(tmp_path / "field.npy"), str(tmp_path / "e.zarr"), "--groups", "y", "--quiet"]) == 2


# ---------------------------------------------------------------- bad input: one sentence each


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "larger than the base": ({"level_shapes": [(62, 83)]}, "level_shapes: found 62 for axis 'y' of length 61"),
    "no whole number": ({"level_shapes": [(30.5, 83)]}, "level_shapes: found 30.5"),
    "no list": ({"level_shapes": 30}, "level_shapes: found 30, expected a list"),
    "too few numbers": ({"level_shapes": [(30,)]}, r"level_shapes: found \(30,\) for a level, expected 2 numbers"),
    "growing levels": ({"level_shapes": [(30, 40), (40, 20)]}, r"level 2: found the shape \(40, 20\) after \(30, 40\)"),
    "the base again": ({"level_shapes": [(61, 83)]}, "level 1: found the shape"),
    "a finer step": ({"level_scales": [0.5]}, "level_scales: found 0.5 for axis 'y'"),
    "a step of nan": ({"level_scales": [math.nan]}, "level_scales: found nan"),
    "another axis": ({"groups": {"time": [[0, 61]]}}, "groups: found axis 'time'"),
    "cuts that fall": ({"groups": {"y": [[0, 40, 20, 61]]}}, "groups of axis 'y': found .* expected ascending whole numbers"),
    "cuts that leave some out": ({"groups": {"y": [[0, 40, 60]]}}, "found cuts from 0 to 60, expected 0 to 61"),
    "no groups": ({"groups": {}}, "groups: found {}"),
    "levels that differ in number": ({"level_shapes": [(30, 40)], "groups": {"y": [[0, 61], [0, 61]]}}, "expected as many of each"),
    "another number of levels": ({"level_shapes": [(30, 40)], "levels": 4}, "leave levels out"),
    "a median": ({"level_shapes": [(30, 40)], "reduction": "median"}, "reduction 'median': it is known for windows of whole factors only"),
    "a sum of parts": ({"level_shapes": [(30, 40)], "reduction": "sum"}, "reduction 'sum': it takes whole samples"),
    "groups in OME-Zarr": ({"groups": {"y": [[0, 20, 61]]}, "layout": "ome-zarr@0.5"}, "layout: groups differ in length"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_told_in_one_sentence(tmp_path: Path, what: str) -> None:
    options, sentence = BAD[what]
    with pytest.raises(ZigguratError, match=sentence) as told:
        zg.build(FIELD, tmp_path / "a.zarr", **({"chunks": 16} | options))
    assert "\n" not in str(told.value)
    assert not (tmp_path / "a.zarr/zarr.json").exists()
