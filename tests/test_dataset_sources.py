"""Datasets of files, and axes of every kind: Gaussian, wrapped, curvilinear, with calendars; from NetCDF, from Zarr, from memory."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import cftime
import numpy as np
import pytest
import xarray as xr

import ziggurat as zg
from ziggurat.kernels import coordinates as cells


def climate() -> xr.Dataset:
    """Returns a month of a model: Gaussian latitudes from the north, longitudes that jump at the meridian, a calendar without leap days."""
    rng = np.random.default_rng(0)
    lat = np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(32)[0]))[::-1]
    lon = (np.arange(64) * 5.625 + 182.8125) % 360
    times = [cftime.DatetimeNoLeap(2001, month, 16) for month in (1, 2)]
    bounds = [[cftime.DatetimeNoLeap(2001, month, 1), cftime.DatetimeNoLeap(2001, month, 28)] for month in (1, 2)]
    base = xr.Dataset(
        {
            "t2m": (("time", "lat", "lon"), np.round(rng.random((2, 32, 64)) * 30, 1) + 250),
            "pr": (("time", "lat", "lon"), rng.random((2, 32, 64)).astype("f4")),
            "time_bnds": (("time", "nv"), bounds),
        },
        coords={
            "time": ("time", times, {"bounds": "time_bnds"}),
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
    )
    base.t2m.encoding = {"dtype": np.dtype("i2"), "scale_factor": 0.1, "add_offset": 265.0, "_FillValue": np.int16(-32767)}
    for name in ("time", "time_bnds"):
        base[name].encoding = {"units": "days since 2001-01-01", "calendar": "noleap", "dtype": np.dtype("f8")}
    return base


def area_mean(array: xr.DataArray, lat_bounds: np.ndarray) -> np.ndarray:
    """Returns the mean over the globe of a level whose rows have these bounds; columns are all alike."""
    weight = np.abs(np.diff(np.sin(np.deg2rad(lat_bounds)), axis=1))[:, 0]
    return np.average(array.values.astype("f8").mean(axis=-1), axis=-1, weights=weight)


def test_a_netcdf_file_is_built_by_the_command_with_all_its_variables(tmp_path: Path) -> None:
    base = climate()
    base.to_netcdf(tmp_path / "era5.nc", engine="h5netcdf")
    command = [sys.executable, "-m", "ziggurat", "build", "era5.nc", "out.zarr", "--layout", "geozarr", "-n", "3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = zg.check(tmp_path / "out.zarr")
    assert list(report.problems) == []
    tree = xr.open_datatree(tmp_path / "out.zarr", engine="zarr")
    xr.testing.assert_allclose(tree["0"].to_dataset()[["t2m", "pr"]], base[["t2m", "pr"]])
    for k in (0, 1, 2):
        level = tree[str(k)].to_dataset().load()
        assert level.t2m.encoding["dtype"] == np.dtype("i2")
        assert list(level.time.values) == list(base.time.values)
        np.testing.assert_array_equal(level.time_bnds.values, base.time_bnds.values)
        edges = cells.inferred_edges(base.lat.values, -90.0, 90.0)[:: 2**k]
        np.testing.assert_array_equal(level.lat_bnds.values, np.stack([edges[:-1], edges[1:]], axis=1))
        centres = base.lat.values if k == 0 else (edges[:-1] + edges[1:]) / 2
        np.testing.assert_array_equal(level.lat.values, centres)
        whole = (np.arange(64 // 2**k) * 5.625 * 2**k + 182.8125 + 5.625 * (2**k - 1) / 2) % 360
        np.testing.assert_allclose(level.lon.values, whole, atol=1e-9)


def test_means_on_the_globe_are_conserved_at_every_level(tmp_path: Path) -> None:
    base = climate()[["pr"]].astype("f8").assign(other=lambda d: d.pr * 2)
    zg.build(base, tmp_path / "out.zarr", levels=5)
    tree = xr.open_datatree(tmp_path / "out.zarr", engine="zarr")
    means = [area_mean(tree[str(k)].pr, tree[str(k)].lat_bnds.values) for k in range(5)]
    np.testing.assert_allclose(means, np.broadcast_to(means[0], (5, 2)), rtol=1e-12)
    plain = base.pr.coarsen(lat=16, lon=16).mean()
    assert np.abs(area_mean(plain, tree["4"].lat_bnds.values) / means[0] - 1).max() > 1e-9  # what a plain mean would do


def test_a_group_of_zarr_arrays_is_a_dataset(tmp_path: Path) -> None:
    base = climate().drop_vars("time_bnds").assign_coords(time=[0, 1])
    base.to_zarr(tmp_path / "in.zarr", zarr_format=3, consolidated=False)
    zg.build(tmp_path / "in.zarr", tmp_path / "out.zarr", levels=2, variables=["t2m"])
    zg.build(base, tmp_path / "memory.zarr", levels=2, variables=["t2m"])
    level, wanted = (xr.open_datatree(tmp_path / name, engine="zarr")["1"].to_dataset().load() for name in ("out.zarr", "memory.zarr"))
    xr.testing.assert_identical(level, wanted)
    assert "pr" not in level


def test_curvilinear_centres_lie_on_the_sphere(tmp_path: Path) -> None:
    y, x = np.meshgrid(np.linspace(-60, 60, 20), np.linspace(170, 190, 30), indexing="ij")
    x = np.where(x > 180, x - 360, x)
    flat = (("j", "i"), np.random.default_rng(0).random((20, 30)))
    coords = {"nav_lat": (("j", "i"), y, {"units": "degrees_north"}), "nav_lon": (("j", "i"), x, {"units": "degrees_east"})}
    zg.build(xr.Dataset({"a": flat, "b": flat}, coords=coords), tmp_path / "out.zarr", levels=2)
    level = xr.open_datatree(tmp_path / "out.zarr", engine="zarr")["1"].to_dataset()
    np.testing.assert_allclose(level.nav_lon.values % 360, (x % 360).reshape(10, 2, 15, 2).mean((1, 3)), atol=1e-9)
    np.testing.assert_allclose(level.nav_lat.values, y.reshape(10, 2, 15, 2).mean((1, 3)), atol=0.2)
    assert np.abs(level.nav_lon.values).min() > 169  # a mean of numbers would lie at 0


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
@pytest.mark.parametrize("n", [5, 8, 13])
@pytest.mark.parametrize("kind", ["even", "falling", "irregular"])
def test_merged_cells_follow_the_formulas(kind: str, n: int, factor: int) -> None:
    centres = {"even": np.arange(n) * 0.25, "falling": 90 - np.arange(n) * 3.0, "irregular": np.cumsum(np.arange(1.0, n + 1))}[kind]
    edges = cells.inferred_edges(centres)
    cuts = [min(j * factor, n) for j in range(-(-n // factor) + 1)]
    wanted = [(edges[a] + edges[b]) / 2 if b - a > 1 else centres[a] for a, b in pairwise(cuts)]
    np.testing.assert_array_equal(cells.merged_centres(centres, edges, factor), wanted)
    bounds = np.stack([edges[:-1], edges[1:]], axis=1)
    np.testing.assert_array_equal(cells.merged_bounds(bounds, factor), [[edges[a], edges[b]] for a, b in pairwise(cuts)])
    if kind != "irregular":  # there xarray's mean of centres is right
        oracle = xr.DataArray(centres, dims="x").coarsen(x=factor, boundary="pad").mean().values
        np.testing.assert_allclose(cells.even_centres(centres, factor), oracle, rtol=1e-14)


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("start", range(4))
def test_vertices_of_merged_cells_are_those_of_the_cells_at_the_corners(start: int, turn: int) -> None:
    corner = np.random.default_rng(1).random((6, 7))
    around = [((0, 0), (0, 1), (1, 1), (1, 0))[(start + turn * k) % 4] for k in range(4)]
    vertices = np.stack([corner[a : 5 + a, b : 6 + b] for a, b in around], axis=-1)
    order = cells.corner_order((vertices,))
    assert order == tuple(around)
    merged = cells.merged_vertices(vertices, (2, 3), order)
    ys, xs = [0, 2, 4, 5], [0, 3, 6]
    for k, (a, b) in enumerate(around):
        np.testing.assert_array_equal(merged[..., k], corner[np.ix_(ys[a : 3 + a], xs[b : 2 + b])])
