"""Builds with missing samples, weights and coverage: equal to arithmetic over the whole base, whatever the grid; and what bad input is told."""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from numpy.typing import NDArray

import ziggurat as zg
from ziggurat.cli import run
from ziggurat.planner import BuildPlan
from ziggurat.problems import OptionError, PlanError, ZigguratError

Array = NDArray[Any]
RNG = np.random.default_rng(11)
SHAPE = (61, 83)
FIELD = (RNG.integers(-4000, 4000, SHAPE) / 8).astype("float32")
GONE = RNG.random(SHAPE) < 0.4
GONE[:20, :30] = True
HEAVY = RNG.integers(0, 17, SHAPE) / 16
WHOLE = RNG.integers(0, 200, SHAPE, dtype="uint8")


def window_sums(values: Array, factors: tuple[int, ...]) -> Array:
    """Sums of windows, straight from the base."""
    for axis, f in enumerate(factors):
        values = np.add.reduceat(values, np.arange(0, values.shape[axis], f), axis=axis)
    return values


def wanted(base: Array, factors: tuple[int, ...], valid: Array, weights: Array, min_valid: float, missing: float) -> tuple[Array, Array]:
    """The weighted mean of each window, and its valid share. Sums are exact in float64: the samples are eighths, the weights sixteenths."""
    some, every = window_sums(weights * valid, factors), window_sums(weights * np.ones(base.shape), factors)
    total = window_sums(np.where(valid, base, 0).astype("float64") * weights, factors)
    share = np.divide(some, every, out=np.zeros_like(some), where=every > 0)
    mean = np.divide(total, some, out=np.zeros_like(some), where=some > 0)
    mean = np.rint(mean) if base.dtype.kind in "ui" else mean
    return np.where((some == 0) | (share < min_valid), missing, mean).astype(base.dtype), share.astype("float32")


def levels_of(place: Path, plan: BuildPlan) -> list[Array]:
    group = zarr.open_group(str(place), mode="r")
    return [group[level.path][...] for level in plan.levels]  # type: ignore[index,misc]


def build_and_compare(place: Path, base: Array, valid: Array, weights: Array, least: float, empty: float, *, said: object = None, **options: Any) -> BuildPlan:
    """Builds with the weights as they are `said`, and compares every level and its coverage with arithmetic over the whole base."""
    result = zg.build(base, place, levels=4, kind="image", reduction="mean", coverage=True, weights=said, **options)
    assert (result.n_chunk_reads, result.n_chunk_writes) == (result.plan.n_chunk_reads, result.plan.n_chunk_writes)
    group = zarr.open_group(str(place), mode="r")
    for k, (level, found) in enumerate(zip(result.plan.levels, levels_of(place, result.plan), strict=True)):
        if not k:
            np.testing.assert_array_equal(found, base)
            continue
        want, share = wanted(base, level.cumulative, valid, weights, least, empty)
        np.testing.assert_array_equal(found, want, strict=True)
        np.testing.assert_array_equal(group[f"coverage/{k}"][...], share)  # type: ignore[index]
    assert not list(zg.check(str(place)))
    return result.plan


@pytest.mark.parametrize("chunks", [(16, 16), (7, 20), (61, 83), (5, 64)])
def test_missing_samples_and_weights_whatever_the_grid(tmp_path: Path, chunks: tuple[int, int]) -> None:
    ones, floats = np.ones(SHAPE), np.where(GONE, np.float32(math.nan), FIELD)
    build_and_compare(tmp_path / "nan.zarr", floats, ~GONE, ones, 0, math.nan, chunks=chunks, threads=3)
    build_and_compare(tmp_path / "mask.zarr", FIELD, ~GONE, ones, 0.3, math.nan, chunks=chunks, nodata=GONE, min_valid=0.3)
    build_and_compare(tmp_path / "whole.zarr", WHOLE, ~GONE, ones, 1, 0, chunks=chunks, nodata=GONE.astype("uint8"), missing="propagate")
    build_and_compare(tmp_path / "value.zarr", WHOLE, WHOLE != 3, ones, 1, 3, chunks=chunks, nodata=3, min_valid=1)
    build_and_compare(tmp_path / "heavy.zarr", floats, ~GONE, HEAVY, 0.5, math.nan, chunks=chunks, said=HEAVY, min_valid=0.5)
    build_and_compare(tmp_path / "both.zarr", WHOLE, ~GONE, HEAVY, 0.3, 0, chunks=chunks, said=HEAVY, nodata=GONE, min_valid=0.3)


def heavy_region(region: tuple[slice, ...]) -> Array:
    return HEAVY[region]


def test_weights_as_arrays_files_vectors_and_functions_are_one(tmp_path: Path) -> None:
    floats = np.where(GONE, np.float32(math.nan), FIELD)
    along_y, along_x = RNG.integers(1, 9, SHAPE[0]) / 8, RNG.integers(0, 9, SHAPE[1]) / 8
    np.save(tmp_path / "heavy.npy", HEAVY)
    zarr.create_array(str(tmp_path / "heavy.zarr"), data=HEAVY, chunks=(9, 31))
    spellings = {"array": HEAVY, "npy": str(tmp_path / "heavy.npy"), "zarr": tmp_path / "heavy.zarr", "function": heavy_region}
    for name, said in spellings.items():
        build_and_compare(tmp_path / f"{name}.ome.zarr", floats, ~GONE, HEAVY, 0, math.nan, chunks=16, said=said)
    outer = along_y[:, None] * along_x
    for name, said in {"vectors": {"y": along_y, "x": along_x.tolist()}, "product": outer}.items():
        build_and_compare(tmp_path / f"{name}.ome.zarr", floats, ~GONE, outer, 0, math.nan, chunks=16, said=said)
    build_and_compare(tmp_path / "column.ome.zarr", floats, ~GONE, along_y[:, None] + 0 * outer, 0, math.nan, chunks=16, said=along_y[:, None])


def test_axes_in_another_order_take_their_weights_and_masks_along(tmp_path: Path) -> None:
    base = RNG.integers(0, 99, (20, 30, 4), dtype="uint16")
    gone, heavy = RNG.random((20, 30, 1)) < 0.5, RNG.integers(0, 5, (30, 4)) / 4
    result = zg.build(base, tmp_path / "a.zarr", axes="yxc", layout="ome-zarr@0.5", chunks=8, levels=3, nodata=gone, weights=heavy)
    turned = [np.moveaxis(np.broadcast_to(a, base.shape), -1, 0) for a in (base, ~gone, heavy)]
    for level, found in zip(result.plan.levels[1:], levels_of(tmp_path / "a.zarr", result.plan)[1:], strict=True):
        np.testing.assert_array_equal(found, wanted(*turned[:1], level.cumulative, *turned[1:], 0, 0)[0])  # type: ignore[arg-type]


def digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()


def test_the_same_files_from_threads_processes_and_a_resumed_build(tmp_path: Path) -> None:
    options: dict[str, Any] = {"chunks": 8, "levels": 4, "weights": HEAVY, "min_valid": 0.2, "coverage": True, "name": "same"}
    floats = np.where(GONE, np.float32(math.nan), FIELD)
    zg.build(floats, tmp_path / "one.zarr", threads=1, **options)
    zg.build(floats, tmp_path / "three.zarr", threads=3, **options)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("forkserver")) as pool:
        zg.build(floats, tmp_path / "pool.zarr", executor=pool, **options)

    class Stop(Exception):
        pass

    def stop(progress: object) -> None:
        if progress.n_done == 3:  # type: ignore[attr-defined]
            raise Stop

    with pytest.raises(Stop):
        zg.build(floats, tmp_path / "resumed.zarr", threads=1, progress=stop, **options)
    result = zg.build(floats, tmp_path / "resumed.zarr", threads=2, **options)
    assert result.n_resumed
    assert len({digest(tmp_path / f"{name}.zarr") for name in ("one", "three", "pool", "resumed")}) == 1


def test_coverage_fills_its_shards(tmp_path: Path) -> None:
    floats = np.where(GONE, np.float32(math.nan), FIELD)
    build_and_compare(tmp_path / "a.zarr", floats, ~GONE, np.ones(SHAPE), 0, math.nan, chunks=8, shards=16, threads=3)


def test_levels_by_max_of_what_is_there(tmp_path: Path) -> None:
    result = zg.build(WHOLE, tmp_path / "max.zarr", reduction="max", chunks=16, levels=3, nodata=GONE, min_valid=0.5, coverage=True)
    for level, found in zip(result.plan.levels[1:], levels_of(tmp_path / "max.zarr", result.plan)[1:], strict=True):
        highest = np.where(GONE, 0, WHOLE)
        for axis, f in enumerate(level.cumulative):
            highest = np.maximum.reduceat(highest, np.arange(0, highest.shape[axis], f), axis=axis)
        share = wanted(WHOLE, level.cumulative, ~GONE, np.ones(SHAPE), 0, 0)[1]
        np.testing.assert_array_equal(found, np.where(share < 0.5, 0, highest))


@pytest.mark.parametrize("reduction", ["median", "gaussian", "stride"])
def test_a_mask_of_floats_is_nan_to_every_reduction(tmp_path: Path, reduction: str) -> None:
    zg.build(FIELD, tmp_path / "mask.zarr", nodata=GONE, reduction=reduction, chunks=16, levels=3)
    zg.build(np.where(GONE, np.float32(math.nan), FIELD), tmp_path / "nan.zarr", reduction=reduction, chunks=16, levels=3)
    for k in (1, 2):
        a, b = (zarr.open_array(str(tmp_path / f"{name}.zarr" / str(k)), mode="r")[...] for name in ("mask", "nan"))
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(zarr.open_array(str(tmp_path / "mask.zarr/0"), mode="r")[...], FIELD)


def test_nodata_fill_is_the_fill_value_of_the_array(tmp_path: Path) -> None:
    group = zarr.create_group(str(tmp_path / "in.zarr"))
    array = group.create_array("0", shape=(16, 16), chunks=(8, 8), dtype="int16", fill_value=-7)
    array[:8, :8] = np.arange(64).reshape(8, 8)
    result = zg.build(str(tmp_path / "in.zarr/0"), levels=3, nodata="fill", kind="image")
    assert result.plan.nodata == -7
    last = zarr.open_array(str(tmp_path / "in.zarr/2"), mode="r")[...]
    assert last.tolist()[2:] == [[-7] * 4] * 2  # type: ignore[union-attr,index]
    with pytest.raises(OptionError, match="fill value of the array"):
        zg.plan(WHOLE, tmp_path / "x.zarr", nodata="fill")


# ---------------------------------------------------------------- latitudes


def test_cells_are_weighed_by_their_area_on_the_globe(tmp_path: Path) -> None:
    lat = np.linspace(-90, 90, 37)  # node-registered: the rows at the poles are half cells, where the cosine is 0
    base = np.tile(np.sin(np.radians(lat))[:, None] ** 2 * 100, (1, 72))
    options: dict[str, Any] = {"axes": ["lat", "lon"], "scale": (5, 5), "translation": (-90, 2.5), "chunks": 16, "factors": (37, 72), "levels": 2}
    means = {}
    for rule in ("area", "area_wgs84", "cos_lat"):
        result = zg.build(base, tmp_path / f"{rule}.zarr", weights=rule, **options)
        means[rule] = levels_of(tmp_path / f"{rule}.zarr", result.plan)[1].item()
    edges = np.radians(np.clip(np.arange(-92.5, 95, 5), -90, 90))
    assert means["area"] == pytest.approx(np.average(base[:, 0], weights=np.diff(np.sin(edges))), rel=1e-13)
    assert means["cos_lat"] == pytest.approx(np.average(base[:, 0], weights=np.cos(np.radians(lat)).clip(0)), rel=1e-13)
    # the area of a zone of the ellipsoid, integrated numerically: M N cos(lat)
    e2, fine = 0.0066943799901413165, np.radians(np.linspace(-90, 90, 36 * 2000 + 1))
    middle = (fine[1:] + fine[:-1]) / 2
    zone = np.cos(middle) / (1 - e2 * np.sin(middle) ** 2) ** 2
    rows = np.digitize(middle, edges[1:-1])
    assert means["area_wgs84"] == pytest.approx(np.average(base[:, 0], weights=np.bincount(rows, zone)), rel=1e-7)
    assert means["area"] != pytest.approx(means["area_wgs84"], rel=1e-5)


def test_areas_of_a_globe_sum_to_four_pi(tmp_path: Path) -> None:
    from ziggurat.planner import plan_vectors

    base = np.zeros((3, 721, 1440), "uint8")
    place: dict[str, Any] = {"axes": ["time", "lat", "lon"], "scale": (1, 0.25, 0.25), "translation": (0, -90, 0)}
    for rule in ("area", "area_wgs84"):
        _, lat, lon = plan_vectors(zg.plan(base, tmp_path / "a.zarr", weights=rule, **place))
        assert lat is not None and lon is not None
        assert math.fsum(lat) * math.fsum(lon) == pytest.approx(4 * math.pi, rel=1e-13)
        assert lat[0] == pytest.approx(lat[1] / 8, rel=0.01)


def test_gaussian_latitudes_are_weighed_from_their_own_edges(tmp_path: Path) -> None:
    """Irregular coordinates of a DataArray: areas from edges halfway between centres; quadrature weights of the same nodes are close to them."""
    nodes, quadrature = np.polynomial.legendre.leggauss(64)
    lat = np.degrees(np.arcsin(nodes))[::-1]
    values = np.repeat(100 * nodes[::-1, None] ** 2, 8, axis=1)
    field = xarray.DataArray(values, dims=("lat", "lon"), coords={"lat": lat, "lon": np.arange(8) * 45.0}, name="field")
    result = zg.build(field, tmp_path / "a.zarr", weights="area", factors=(64, 8), levels=2, chunks=16)
    inner = (lat[1:] + lat[:-1]) / 2
    edges = np.radians(np.concatenate([[2 * lat[0] - inner[0]], inner, [2 * lat[-1] - inner[-1]]]))  # the outer ones extrapolated
    want = np.average(values[:, 0], weights=-np.diff(np.sin(edges)))
    assert levels_of(tmp_path / "a.zarr", result.plan)[1].item() == pytest.approx(want, rel=1e-13)
    assert want == pytest.approx(np.average(values[::-1, 0], weights=quadrature), rel=1e-3)
    assert result.plan.weights is not None and result.plan.weights["centres"] == {"lat": lat.tolist()}
    assert BuildPlan.from_json(json.loads(json.dumps(result.plan.to_json()))) == result.plan
    with pytest.raises(OptionError, match="neither rises nor falls"):
        zg.plan(field.isel(lat=[3, 1, 2]), tmp_path / "b.zarr", weights="area", factors=(3, 8), levels=2)


def test_levels_are_what_xarray_coarsens_and_weighs(tmp_path: Path) -> None:
    """The identities of weighted means with missing samples, by two ways of xarray, from the base at every level."""
    field = xarray.DataArray(np.where(GONE, math.nan, FIELD).astype("float64"), dims=("y", "x"))
    weights = xarray.DataArray(HEAVY, dims=("y", "x"))
    result = zg.build(field.values, tmp_path / "a.zarr", weights=HEAVY, chunks=16, levels=4)
    for level, found in zip(result.plan.levels[1:], levels_of(tmp_path / "a.zarr", result.plan)[1:], strict=True):
        f = dict(zip("yx", level.cumulative, strict=True))
        sums = (field * weights).coarsen(f, boundary="pad").sum() / weights.where(field.notnull()).coarsen(f, boundary="pad").sum()
        windows = {"y": ("y", "yf"), "x": ("x", "xf")}
        built = field.coarsen(f, boundary="pad").construct(windows)
        weighed = built.weighted(weights.coarsen(f, boundary="pad").construct(windows).fillna(0)).mean(("yf", "xf"))
        np.testing.assert_allclose(found, sums.values, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(found, weighed.values, rtol=1e-13, atol=1e-13)


# ---------------------------------------------------------------- what is written


def test_metadata_says_what_a_rebuild_must_know(tmp_path: Path) -> None:
    along_y = [1.0] * 60 + [2.0]
    result = zg.build(FIELD, tmp_path / "a.zarr", nodata=GONE, weights={"y": along_y}, min_valid=0.3, coverage=True, chunks=16, levels=3, name="field")
    method = zg.open(str(tmp_path / "a.zarr"), multiscale="field").method
    kwargs = method["kwargs"]  # type: ignore[index,call-overload]
    assert kwargs["min_valid"] == 0.3 and kwargs["weights"] == {"axes": {"y": along_y}} and kwargs["coverage"] == "field_coverage"  # type: ignore[index,call-overload]
    mask = kwargs["nodata_mask"]  # type: ignore[index,call-overload]
    assert mask["shape"] == list(SHAPE) and mask["dtype"] == "bool"  # type: ignore[index,call-overload]
    shares = zg.open(str(tmp_path / "a.zarr"), multiscale="field_coverage")
    assert (shares.type, len(shares)) == ("coverage", 2)
    for mine, theirs in zip(shares.levels, result.plan.levels[1:], strict=True):
        assert (mine.scale, mine.translation, mine.shape) == (theirs.scale, theirs.translation, theirs.shape)
    assert BuildPlan.from_json(json.loads(json.dumps(result.plan.to_json()))) == result.plan


@pytest.mark.parametrize("layout", ["ome-zarr@0.5", "ome-zarr@0.4", "multiscales@0.1"])
def test_coverage_is_a_series_of_every_layout(tmp_path: Path, layout: str) -> None:
    zg.build(np.where(GONE, math.nan, FIELD), tmp_path / "a.zarr", coverage=True, chunks=16, levels=3, layout=layout)
    assert [m.name for m in zg.list_multiscales(str(tmp_path / "a.zarr"))] == ["a", "a_coverage"]
    assert not list(zg.check(str(tmp_path / "a.zarr")))
    shares = zg.open(str(tmp_path / "a.zarr"), multiscale=1)
    assert shares.levels[1].translation == (1.5, 1.5)
    zg.build(np.where(GONE, math.nan, FIELD), tmp_path / "a.zarr", coverage=True, chunks=16, levels=4, layout=layout, overwrite=True)
    assert [len(m.levels) for m in zg.list_multiscales(str(tmp_path / "a.zarr"))] == [4, 3]


def test_what_was_given_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    said: list[dict[str, Any]] = [
        {}, {"nodata": GONE}, {"nodata": ~GONE}, {"weights": HEAVY}, {"weights": HEAVY * 2}, {"weights": {"y": np.ones(61)}}, {"weights": heavy_region},
        {"min_valid": 0.3}, {"missing": "propagate"}, {"coverage": True},
    ]  # fmt: skip
    fingerprints = {zg.plan(FIELD, tmp_path / "a.zarr", chunks=16, **options).fingerprint for options in said}
    assert len(fingerprints) == len(said)


def test_a_plan_finds_files_again_and_asks_for_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "gone.npy", GONE)
    named = zg.plan(FIELD, tmp_path / "a.zarr", nodata=str(tmp_path / "gone.npy"), chunks=16)
    zg.build(FIELD, tmp_path / "a.zarr", plan=named)
    in_memory = zg.plan(FIELD, tmp_path / "b.zarr", nodata=GONE, chunks=16)
    with pytest.raises(PlanError, match="say nodata= beside the plan"):
        zg.build(FIELD, tmp_path / "b.zarr", plan=in_memory)
    with pytest.raises(PlanError, match="another mask"):
        zg.build(FIELD, tmp_path / "b.zarr", plan=in_memory, nodata=~GONE)
    zg.build(FIELD, tmp_path / "b.zarr", plan=in_memory, nodata=GONE)
    for k in (1, 2):
        a, b = (zarr.open_array(str(tmp_path / f"{name}.zarr" / str(k)), mode="r")[...] for name in "ab")
        np.testing.assert_array_equal(a, b)


def test_the_command_line_says_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "field.npy", FIELD)
    np.save(tmp_path / "gone.npy", GONE)
    words = [
        "--nodata",
        str(tmp_path / "gone.npy"),
        "--min-valid",
        "0.3",
        "--weights",
        "cos_lat",
        "--coverage",
        "--axes",
        "lat,lon",
        "-c",
        "16",
        "--scale",
        "1",
    ]
    assert run(["build", str(tmp_path / "field.npy"), str(tmp_path / "a.zarr"), "--quiet", *words]) == 0
    zg.build(FIELD, tmp_path / "b.zarr", nodata=GONE, min_valid=0.3, weights="cos_lat", coverage=True, axes=["lat", "lon"], chunks=16, scale=1)
    for path in ("1", "2", "coverage/1"):
        a, b = (zarr.open_array(str(tmp_path / f"{name}.zarr" / path), mode="r")[...] for name in "ab")
        np.testing.assert_array_equal(a, b)


# ---------------------------------------------------------------- bad input: one sentence each


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "weights that do not broadcast": ({"weights": np.ones((3, 4))}, r"weights: found an array of shape \(3, 4\), which does not broadcast to the base"),
    "a mask that does not broadcast": ({"nodata": np.ones((61, 61))}, r"nodata: found an array of shape \(61, 61\)"),
    "negative weights": ({"weights": -HEAVY}, r"weights: found -[01]\.\d+ at sample \(\d+, \d+\), expected finite numbers of at least 0"),
    "weights of NaN": ({"weights": np.full(83, math.nan)}, r"weights: found nan at sample \(\d+, \d+\)"),
    "a negative weight along an axis": ({"weights": {"y": [-1.0] * 61}}, "weights of axis 'y': found -1.0 at 0"),
    "too few along an axis": ({"weights": {"y": [1.0] * 60}}, r"weights of axis 'y': found shape \(60,\), expected \(61,\)"),
    "an axis that is not there": ({"weights": {"q": [1.0]}}, "weights: found axis 'q'"),
    "words along an axis": ({"weights": {"y": ["a"] * 61}}, "weights of axis 'y': found"),
    "complex weights": ({"weights": np.ones(83, complex)}, "expected real numbers"),
    "a function of another shape": ({"weights": lambda region: np.ones(5)}, r"the function gave shape \(5,\)"),
    "a rule without latitudes": ({"weights": "area"}, "needs an axis of latitudes"),
    "latitudes of more than 90": ({"weights": "area", "axes": ["lat", "lon"], "scale": 5}, "needs latitudes from -90 to 90"),
    "latitudes that nobody knows": ({"weights": "area", "axes": ["lat", "lon"]}, "must know where the samples of axis 'lat' lie"),
    "no such weights": ({"weights": "areas"}, "weights: found 'areas', expected 'area', 'area_wgs84', 'cos_lat'"),
    "no such nodata": ({"nodata": "none"}, "nodata: found 'none', expected a number, 'nan', 'fill'"),
    "min_valid 0": ({"min_valid": 0}, r"min_valid: found 0, expected a share above 0 and at most 1"),
    "min_valid above 1": ({"min_valid": 1.5}, "min_valid: found 1.5"),
    "min_valid nan": ({"min_valid": math.nan}, "min_valid: found nan"),
    "no such policy": ({"missing": "ignore"}, "missing: found 'ignore', expected one of 'skip', 'propagate'"),
    "two policies": ({"missing": "propagate", "min_valid": 0.5}, "say one of them"),
    "weights for max": ({"weights": HEAVY, "reduction": "max"}, "reduction 'max' takes no weights"),
    "a share for stride": ({"min_valid": 0.5, "reduction": "stride"}, "reduction 'stride' does not count what is valid"),
    "coverage of a gaussian": ({"coverage": True, "reduction": "gaussian"}, "reduction 'gaussian' does not count what is valid"),
    "coverage of no level": ({"coverage": True, "levels": 1}, "coverage: it is stored for levels above the base"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_told_in_one_sentence(tmp_path: Path, what: str) -> None:
    options, sentence = BAD[what]
    with pytest.raises(ZigguratError, match=sentence) as told:
        zg.build(FIELD, tmp_path / "a.zarr", **({"chunks": 16} | options))
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_workers", [0, 2])
def test_weights_found_wrong_on_the_way_leave_a_group_as_it_was(tmp_path: Path, n_workers: int) -> None:
    executor = ThreadPoolExecutor(n_workers) if n_workers else None
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("raw", data=FIELD, chunks=(16, 16), dimension_names=("y", "x"))
    (tmp_path / "a.zarr/1").mkdir()
    (tmp_path / "a.zarr/1/letter.txt").write_text("dear")
    before = {p.relative_to(tmp_path): p.read_bytes() if p.is_file() else b"" for p in tmp_path.rglob("*")}
    with pytest.raises(OptionError, match="weights: found -1"):
        zg.build(tmp_path / "a.zarr/raw", weights=-np.ones(FIELD.shape), names=["raw", "down/1", "down/2"], levels=3, executor=executor)
    assert {p.relative_to(tmp_path): p.read_bytes() if p.is_file() else b"" for p in tmp_path.rglob("*")} == before
    with pytest.raises(OptionError, match="weights: found -1"):
        zg.build(tmp_path / "a.zarr/raw", weights=-np.ones(FIELD.shape), levels=3, executor=executor)
    assert (tmp_path / "a.zarr/1/letter.txt").read_text() == "dear"
    if executor is not None:
        executor.shutdown()


def test_a_mask_of_integers_needs_a_reduction_that_keeps_it(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="reduction 'gaussian' takes missing samples as a value only, not as a mask: levels are made from stored levels"):
        zg.build(WHOLE, tmp_path / "a.zarr", nodata=GONE, reduction="gaussian")
