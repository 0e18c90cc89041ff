"""Builds of Datasets: every variable by its own rule, coordinates at every level, and nothing seen before all is there.

Oracles: xarray's coarsen where it is right (maths.md 3.6), scipy's mode, xarray's own reading of what was written.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import scipy.stats
import xarray as xr

import ziggurat as zg
from ziggurat.problems import LayoutError, OptionError, PlanError, TargetExists

LAYOUTS = ("geozarr", "datatree", "xcube")


def globe(n_lat: int = 36, n_lon: int = 71, *, seed: int = 0) -> xr.Dataset:
    """Returns a dataset with one variable of every kind, on a grid whose longitudes end in a partial cell."""
    rng = np.random.default_rng(seed)
    step = 180 / n_lat
    lat, lon = 90 - step * (np.arange(n_lat) + 0.5), 5.0 * np.arange(n_lon)
    field = rng.random((2, n_lat, n_lon)).astype("f4")
    field[0, :5, :7] = np.nan
    flags = {"flag_values": np.array([0, 1, 2, 3], "i4"), "flag_meanings": "water bare grass forest"}
    return xr.Dataset(
        {
            "t2m": (("time", "lat", "lon"), field, {"units": "K", "cell_methods": "time: mean"}),
            "lsm": (("lat", "lon"), rng.random((n_lat, n_lon)) > 0.5),
            "cover": (("lat", "lon"), rng.integers(0, 4, (n_lat, n_lon)).astype("i4"), flags),
            "people": (("lat", "lon"), rng.random((n_lat, n_lon)), {"cell_methods": "area: sum"}),
            "hottest": (("lat", "lon"), rng.random((n_lat, n_lon)), {"cell_methods": "time: mean area: maximum"}),
            "station": (("time", "site"), rng.random((2, 3)), {"units": "K"}),
        },
        coords={
            "time": ("time", np.array(["2020-01-01", "2020-01-02"], "M8[ns]"), {"standard_name": "time"}),
            "lat": ("lat", lat, {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
            "site": ("site", ["oslo", "köln", "x"]),
        },
        attrs={"title": "all kinds"},
    )


def levels_of(place: Path, layout: str) -> Iterator[xr.Dataset]:
    """Yields every level as plain xarray opens it, without this package."""
    heads = {"geozarr": "{}", "datatree": "scale{}", "xcube": "{}.zarr"}[layout]
    k = 0
    while (place / heads.format(k)).is_dir():
        if layout == "xcube":
            yield xr.open_zarr(place / heads.format(k), decode_coords="all").load()
        else:
            yield xr.open_zarr(place, group=heads.format(k), decode_coords="all").load()
        k += 1


def windows(array: xr.DataArray, factor: int) -> np.ndarray:
    """Returns the samples of each window as rows, NaN where a partial one has none: `(..., n_y, n_x, factor ** 2)`."""
    whole = array.astype("f8").coarsen(lat=factor, lon=factor, boundary="pad").construct(lat=("lat", "a"), lon=("lon", "b"))
    return np.moveaxis(whole.values, (-3, -1), (-2, -1)).reshape(*whole.shape[:-4], whole.shape[-4], whole.shape[-2], -1)


def area(dataset: xr.Dataset) -> xr.DataArray:
    edges = np.linspace(90, -90, dataset.sizes["lat"] + 1)
    return xr.DataArray(-np.diff(np.sin(np.deg2rad(edges))), dims="lat") * xr.ones_like(dataset.lon)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_variable_is_reduced_by_what_cf_says_of_it(layout: str, tmp_path: Path) -> None:
    base = globe()
    target = tmp_path / ("out.levels" if layout == "xcube" else "out.zarr")
    result = zg.build(base, target, layout=layout, levels=3, chunks={"lat": 16, "lon": 16})
    assert sorted(result.variables) == ["cover", "hottest", "lsm", "people", "t2m"]
    found = list(levels_of(target, layout))
    assert len(found) == 3
    xr.testing.assert_equal(found[0].drop_vars("lon_bnds"), base)
    for k, factor in ((1, 2), (2, 4)):
        level = found[k]
        pad = {"lat": factor, "lon": factor}
        weight = area(base).where(base.t2m.notnull())
        mean = (base.t2m.astype("f8") * weight).coarsen(pad, boundary="pad").sum() / weight.coarsen(pad, boundary="pad").sum()
        np.testing.assert_allclose(level.t2m.values, mean.values, rtol=1e-6)
        assert level.t2m.dtype == "f4"
        np.testing.assert_allclose(level.people.values, base.people.coarsen(pad, boundary="pad").sum().values, rtol=1e-13)
        np.testing.assert_array_equal(level.hottest.values, base.hottest.coarsen(pad, boundary="pad").max().values)
        previous = found[k - 1]
        for name in ("cover", "lsm"):
            wanted = scipy.stats.mode(windows(previous[name], 2), axis=-1, nan_policy="omit").mode
            np.testing.assert_array_equal(level[name].values.astype("f8"), np.asarray(wanted, "f8"))
            assert level[name].dtype == base[name].dtype
        xr.testing.assert_equal(level.station, base.station)
        assert list(level.site.values) == ["oslo", "köln", "x"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_built_is_clean_and_opens_in_xarray_and_here(layout: str, tmp_path: Path) -> None:
    base = globe()
    target = tmp_path / ("out.levels" if layout == "xcube" else "out.zarr")
    zg.build(base, target, layout=layout, levels=3)
    report = zg.check(target, deep=True)
    assert [problem for problem in report.problems if problem.requirement != "NOTE"] == []
    types = {multiscale.name: multiscale.type for multiscale in zg.list_multiscales(target)}
    assert types["cover"] == types["lsm"] == "mode" and types["t2m"] == "mean"
    assert types["people"] == ("sum" if layout != "xcube" else None)  # xcube has no word for it
    pyramid = zg.open(target)
    for k, plain in enumerate(levels_of(target, layout)):
        ours = pyramid.to_dataset(level=k).load()
        for name in ("time", "lat", "lon", "lon_bnds", *base.data_vars):
            xr.testing.assert_equal(ours[name].reset_coords(drop=True), plain[name].reset_coords(drop=True))
        assert ours.t2m.attrs["units"] == "K" and ours.attrs["title"] == "all kinds"
    if layout != "xcube":
        tree = xr.open_datatree(target, engine="zarr")
        assert len(tree.children) == 3


def test_cells_of_levels_are_merged_cells_of_the_base(tmp_path: Path) -> None:
    zg.build(globe(), tmp_path / "out.zarr", layout="geozarr", levels=4)
    for k, level in enumerate(levels_of(tmp_path / "out.zarr", "geozarr")):
        factor = 2**k
        edges = np.minimum(np.arange(-(-71 // factor) + 1) * factor, 71) * 5.0 - 2.5
        np.testing.assert_allclose(level.lon_bnds.values, np.stack([edges[:-1], edges[1:]], axis=1), atol=1e-12)
        np.testing.assert_allclose(level.lon.values, (edges[:-1] + edges[1:]) / 2, atol=1e-12)  # the last cell is partial, and so is its middle
        assert level.lon.encoding["bounds"] == "lon_bnds"


def packed(dataset: xr.Dataset) -> xr.Dataset:
    """Returns the dataset with one variable as NetCDF packs it."""
    field = np.round(np.random.default_rng(3).random((2, 36, 71)) * 300) / 10 + 250
    field[1, 3:9, 4:20] = np.nan
    out = dataset.assign(msl=(("time", "lat", "lon"), field))
    out.msl.encoding = {"dtype": np.dtype("i2"), "scale_factor": 0.1, "add_offset": 250.0, "_FillValue": np.int16(-32767)}
    return out


@pytest.mark.parametrize("layout", LAYOUTS)
def test_packed_numbers_stay_packed_and_are_rounded_once(layout: str, tmp_path: Path) -> None:
    base = packed(globe())
    target = tmp_path / ("out.levels" if layout == "xcube" else "out.zarr")
    zg.build(base, target, layout=layout, levels=3, variables="msl", weights="equal")
    for k, level in enumerate(levels_of(target, layout)):
        wanted = base.msl.coarsen(lat=2**k, lon=2**k, boundary="pad").mean()
        assert level.msl.encoding["dtype"] == np.dtype("i2")
        np.testing.assert_allclose(level.msl.values, wanted.values, atol=0.0500001)  # half of a step
        assert np.array_equal(np.isnan(level.msl.values), np.isnan(wanted.values))


def test_a_sum_of_packed_numbers_is_stored_unpacked(tmp_path: Path) -> None:
    base = packed(globe())
    zg.build(base, tmp_path / "out.zarr", levels=2, variables="msl", reduction={"msl": "sum"})
    level = list(levels_of(tmp_path / "out.zarr", "geozarr"))[1]
    assert "scale_factor" not in level.msl.encoding
    cells = base.msl.coarsen(lat=2, lon=2, boundary="pad")
    np.testing.assert_allclose(level.msl.values, cells.sum().where(cells.count() > 0).values, rtol=1e-12)


def test_reductions_and_encodings_by_variable(tmp_path: Path) -> None:
    base = globe()
    said = {"t2m": {"chunks": {"time": 2, "lat": 8, "lon": 8}, "codecs": "zstd 7"}}
    zg.build(base, tmp_path / "out.zarr", levels=2, reduction={"t2m": "max", "cover": "stride"}, encoding=said)
    level = list(levels_of(tmp_path / "out.zarr", "geozarr"))[1]
    np.testing.assert_array_equal(level.t2m.values, base.t2m.coarsen(lat=2, lon=2, boundary="pad").max().values)
    np.testing.assert_array_equal(level.cover.values, base.cover.values[::2, ::2])
    assert level.t2m.encoding["chunks"] == (2, 8, 8)


class Stop(Exception):
    pass


def snapshot(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("n", [1, pytest.param(7, marks=pytest.mark.prove), 20])
def test_an_interrupted_build_goes_on_in_the_variable_where_it_stopped(n: int, tmp_path: Path) -> None:
    base = globe().drop_vars("station")
    words = {"levels": 3, "chunks": {"lat": 8, "lon": 8}, "threads": 1}
    zg.build(base, tmp_path / "whole.zarr", **words)

    def stop(progress: object) -> None:
        if progress.n_done == n:  # type: ignore[attr-defined]
            raise Stop

    with pytest.raises(Stop):
        zg.build(base, tmp_path / "out.zarr", progress=stop, **words)
    assert not (tmp_path / "out.zarr" / "zarr.json").exists()  # nothing is seen yet
    with pytest.raises(TargetExists, match="unfinished build"):
        zg.build(base, tmp_path / "out.zarr", levels=2)
    result = zg.build(base, tmp_path / "out.zarr", **words)
    assert result.n_resumed >= n
    assert snapshot(tmp_path / "out.zarr") == snapshot(tmp_path / "whole.zarr")


def test_overwriting_replaces_the_whole_when_it_is_complete(tmp_path: Path) -> None:
    zg.build(globe(), tmp_path / "out.zarr", levels=3)
    with pytest.raises(TargetExists, match="already there"):
        zg.build(globe(seed=1), tmp_path / "out.zarr", levels=2)
    zg.build(globe(seed=1), tmp_path / "out.zarr", levels=2, overwrite=True)
    zg.build(globe(seed=1), tmp_path / "new.zarr", levels=2)
    assert snapshot(tmp_path / "out.zarr") == snapshot(tmp_path / "new.zarr")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_plan_says_what_is_built_and_builds_the_same(tmp_path: Path) -> None:
    base = globe()
    plan = zg.plan(base, tmp_path / "out.zarr", levels=3)
    assert [one.name for one in plan.variables] == ["t2m", "lsm", "cover", "people", "hottest"]
    assert not (tmp_path / "out.zarr").exists()
    assert zg.BuildPlan.from_json(plan.to_json()) == plan
    assert "cover" in str(plan) and "station" in str(plan)
    result = zg.build(base, tmp_path / "out.zarr", plan=plan)
    assert result.n_chunk_reads == plan.n_chunk_reads and result.n_chunk_writes == plan.n_chunk_writes
    zg.build(base, tmp_path / "other.zarr", levels=3)
    assert snapshot(tmp_path / "out.zarr") == snapshot(tmp_path / "other.zarr")
    with pytest.raises(PlanError, match="another dataset"):
        zg.build(globe(seed=1), tmp_path / "third.zarr", plan=zg.plan(base, tmp_path / "third.zarr"))


def test_each_block_of_a_dask_array_is_computed_once(tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    def block(block_info: dict | None = None) -> np.ndarray:
        where = block_info[None]
        seen.append(where["chunk-location"])
        return np.full(where["chunk-shape"], 1.0 + sum(where["chunk-location"]))

    lazy = da.map_blocks(block, chunks=((1,) * 4, (256,) * 2, (256,) * 4), dtype="f8", meta=np.empty((0, 0, 0)))
    base = xr.Dataset({"a": (("time", "y", "x"), lazy), "b": (("y", "x"), np.ones((512, 1024)))})
    zg.build(base, tmp_path / "out.zarr", levels=3)
    assert sorted(seen) == [(t, j, i) for t in range(4) for j in range(2) for i in range(4)]
    with xr.open_zarr(tmp_path / "out.zarr", group="2") as level:
        np.testing.assert_array_equal(level.a.values, lazy.compute()[:, ::4, ::4])


def test_what_cannot_be_built_is_refused_in_a_sentence(tmp_path: Path) -> None:
    base = globe()
    with pytest.raises(OptionError, match="'ids' may be labels or quantities"):
        zg.build(base.assign(ids=(("lat", "lon"), np.ones((36, 71), "i8"))), tmp_path / "a.zarr")
    with pytest.raises(LayoutError, match="one image per group"):
        zg.build(base, tmp_path / "a.zarr", layout="ome-zarr@0.5")
    with pytest.raises(LayoutError, match="holds one image"):
        zg.build(base, tmp_path / "a.zarr", layout="itk")
    with pytest.raises(OptionError, match="found 'nope'"):
        zg.build(base, tmp_path / "a.zarr", reduction={"nope": "mean"})
    with pytest.raises(OptionError, match="holds words along 'lat'"):
        zg.build(base.assign_coords(row=("lat", [str(i) for i in range(36)])), tmp_path / "a.zarr", levels=2)
    with pytest.raises(OptionError, match="no axis"):
        zg.build(xr.Dataset({"a": (("p", "q"), np.ones((4, 4))), "b": (("p", "q"), np.ones((4, 4)))}), tmp_path / "a.zarr")
    with pytest.raises(OptionError, match="target"):
        zg.build(base)
    assert not (tmp_path / "a.zarr").exists()


def test_itk_holds_one_variable_with_what_lies_beside_it(tmp_path: Path) -> None:
    base = globe()
    zg.build(base, tmp_path / "out.zarr", layout="itk", variables="t2m", levels=2)
    assert not [p for p in zg.check(tmp_path / "out.zarr").problems if p.requirement != "NOTE"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = xr.open_zarr(tmp_path / "out.zarr", group="level_1.zarr").load()
    assert level.t2m.shape == (2, 18, 36) and str(level.time.values[0]).startswith("2020-01-01")
