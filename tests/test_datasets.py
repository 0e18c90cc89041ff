"""Levels as Datasets: every good fixture of the corpus opens, and says what the level, plain xarray and zarr-python say."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import ziggurat as zg
from tests.layouts.fixtures import GOOD, Fixture
from ziggurat import layouts
from ziggurat.bridges.as_xarray import ZigguratBackend
from ziggurat.problems import OptionError
from ziggurat.pyramid.datasets import is_grouped


def with_samples(fixture: Fixture, folder: Path) -> Path:
    """Writes a fixture with samples in every Zarr array: its own values, or numbers that no two arrays share."""
    root = fixture.write(folder)
    rng = np.random.default_rng(6)
    for key in fixture.documents:
        name = key.rpartition("/")[2]
        document = json.loads((root / key).read_bytes()) if name in (".zarray", "zarr.json") else {}
        if name == ".zarray" or document.get("node_type") == "array":
            if str(document.get("dtype")).startswith("<U"):  # zarr-python wants a word there
                (root / key).write_text(json.dumps({**document, "fill_value": ""}))
            array = zarr.open_array(root / key.rpartition("/")[0], mode="r+", zarr_format=document["zarr_format"])
            path = key.rpartition("/")[0]
            if path in fixture.values:
                array[...] = np.asarray(fixture.values[path], array.dtype)
            elif array.dtype.kind in "iufb":
                corner = tuple(slice(0, 7 if array.ndim > 1 else None) for _ in array.shape)
                array[corner] = rng.integers(1, 100, array[corner].shape).astype(array.dtype)
    return root


def opened(fixture: Fixture, folder: Path) -> tuple[zg.Pyramid, xr.DataTree]:
    root = with_samples(fixture, folder)
    tree = xr.open_datatree(root, engine=ZigguratBackend, use_zarr_fill_value_as_mask=False)
    origin = tree["0"].to_dataset().ziggurat if "ziggurat" in tree["0"].encoding else None
    pyramid = origin.pyramid if origin is not None else zg.open(root)
    return pyramid, tree


def data_names(pyramid: zg.Pyramid, level: zg.LevelView, dataset: xr.Dataset) -> Iterator[str]:
    last = level.path.rpartition("/")[2]
    yield last if is_grouped(pyramid.multiscale) else next(iter(dataset.data_vars))


@pytest.mark.parametrize("fixture", GOOD, ids=lambda f: f.id)
def test_every_layout_opens_as_a_datatree_with_the_samples_and_places_of_its_levels(fixture: Fixture, tmp_path: Path) -> None:
    pyramid, tree = opened(fixture, tmp_path)
    assert list(tree.children) == [str(level.index) for level in pyramid.levels]
    for level in pyramid.levels[-2:]:
        dataset = tree[str(level.index)].to_dataset()
        variable = dataset[next(data_names(pyramid, level, dataset))]
        assert variable.shape == level.shape
        if "scale_factor" not in variable.encoding and "add_offset" not in variable.encoding:
            corner = tuple(slice(0, 7) for _ in level.shape)
            np.testing.assert_array_equal(variable[corner].values, level.array[corner])
        for axis, (name, n) in enumerate(zip(variable.dims, level.shape, strict=True)):
            coordinate = dataset.coords.get(str(name))
            if coordinate is None or coordinate.dims != (name,) or coordinate.dtype.kind not in "iuf" or pyramid.multiscale.world is not None:
                continue
            wanted = level.level.coordinates.get(str(name)) or [level.scale[axis] * i + level.translation[axis] for i in range(n)]
            np.testing.assert_allclose(coordinate.values, np.asarray(wanted, float), rtol=1e-6, atol=1e-6 * abs(level.scale[axis]))
            if level.axes[axis].unit is not None and "units" in coordinate.attrs and not str(coordinate.attrs["units"]).startswith("degree"):
                assert coordinate.attrs["units"] == level.axes[axis].unit


def groups_of_variables() -> list[Fixture]:
    family = ("datatree@", "itk@", "ndpyramid@", "xcube@", "geozarr@0.1", "geozarr-tms@")
    return [f for f in GOOD if f.layout.startswith(family) and is_grouped(layouts.read(f.node()).multiscales[0])]


@pytest.mark.parametrize("fixture", groups_of_variables(), ids=lambda f: f.id)
def test_groups_that_plain_xarray_opens_are_what_plain_xarray_opens(fixture: Fixture, tmp_path: Path) -> None:
    """Every variable of the group with samples, attributes and dimensions; what we add are coordinates that no array holds."""
    root = with_samples(fixture, tmp_path)
    pyramid = zg.open(root)
    for level in pyramid.levels:
        group = root / level.path.rpartition("/")[0]
        plain = xr.open_dataset(group, engine="zarr", consolidated=False, decode_coords="all", decode_timedelta=False, chunks=None)
        ours = xr.open_dataset(pyramid, engine=ZigguratBackend, level=level.index)
        assert set(plain.data_vars) == set(ours.data_vars)
        assert set(plain.coords) <= set(ours.coords)
        for name, variable in plain.variables.items():
            assert ours[name].dims == variable.dims
            if variable.dims != (name,):
                np.testing.assert_array_equal(ours[name].values, variable.values)
            elif group.relative_to(root).joinpath(name).as_posix() in fixture.values:
                missing = variable.isnull().values  # xarray takes the fill value of a coordinate for a missing one
                np.testing.assert_array_equal(ours[name].values[~missing], variable.values[~missing])
            assert variable.attrs == {key: value for key, value in ours[name].attrs.items() if key in variable.attrs}


def test_several_variables_of_a_group_are_one_dataset(tmp_path: Path) -> None:
    fixture = next(f for f in GOOD if f.name == "two-variables")
    tree = xr.open_datatree(with_samples(fixture, tmp_path), engine=ZigguratBackend)
    assert all(list(node.data_vars) == ["a", "b"] for node in tree.children.values())


def test_chunks_of_a_dask_dataset_are_the_stored_ones(tmp_path: Path) -> None:
    samples = np.arange(64 * 96, dtype="u2").reshape(64, 96)
    zg.build(samples, tmp_path / "out.zarr", chunks=(16, 32), axes="yx", scale=(0.5, 0.25), unit="micrometer", name="cells")
    dataset = xr.open_dataset(tmp_path / "out.zarr", engine=ZigguratBackend, chunks={})
    assert dataset["cells"].chunks == ((16,) * 4, (32,) * 3)
    lazy = xr.open_dataset(tmp_path / "out.zarr", engine=ZigguratBackend, level=1)
    assert not lazy["cells"].variable._in_memory
    np.testing.assert_array_equal(
        lazy["cells"].isel(y=[3, 1], x=slice(40, None, -3)).values, zg.open(tmp_path / "out.zarr").levels[1].array[...][[3, 1], 40::-3]
    )


def test_the_accessor_finds_the_other_levels(tmp_path: Path) -> None:
    samples = np.arange(256 * 256, dtype="u2").reshape(256, 256)
    zg.build(samples, tmp_path / "out.zarr", chunks=(32, 32), axes="yx", scale=(0.5, 0.5), unit="micrometer", name="cells")
    dataset = xr.open_dataset(tmp_path / "out.zarr", engine=ZigguratBackend)
    assert dataset.ziggurat.level == 0
    coarse = dataset.ziggurat.at(resolution=2.0)
    assert coarse.ziggurat.level == 2
    assert coarse["cells"].shape == (64, 64)
    assert float(coarse["x"][0]) == 0.75
    assert dataset.copy(deep=True).ziggurat.to_level(1)["cells"].shape == (128, 128)
    again = pickle.loads(pickle.dumps(coarse))
    assert again.ziggurat.level == 2
    np.testing.assert_array_equal(again["cells"].values, coarse["cells"].values)
    by_resolution = xr.open_dataset(tmp_path / "out.zarr", engine=ZigguratBackend, resolution=1.0)
    assert by_resolution.ziggurat.level == 1
    with pytest.raises(OptionError, match="does not know its pyramid"):
        xr.Dataset({"a": ("x", [1])}).ziggurat.at(resolution=2.0)
    with pytest.raises(OptionError, match="level=9"):
        xr.open_dataset(tmp_path / "out.zarr", engine=ZigguratBackend, level=9)


@pytest.mark.parametrize(("n", "factor"), [(10, 2), (11, 2), (11, 3), (13, 4), (13, 5)])
def test_bounds_are_edges_of_the_base_and_end_where_it_ends(n: int, factor: int, tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((n, 16)).astype("f4")
    samples = xr.DataArray(values, dims=("y", "x"), coords={"y": 80.0 - 0.5 * np.arange(n), "x": 1 + 2.0 * np.arange(16)})
    zg.build(samples, tmp_path / "out.zarr", factors={"y": factor, "x": 1}, levels=2, chunks=(4, 4))
    dataset = zg.open(tmp_path / "out.zarr").to_dataset(level=1, bounds=True)
    edges = 80.25 - 0.5 * np.arange(n + 1)
    wanted = [edges[min(j * factor, n)] for j in range(-(-n // factor) + 1)]
    if (n, factor) == (13, 4):  # the document states a step of 2 alone: the last centre lies beyond the one cell that it holds
        wanted[-1] = wanted[-2] - 2.0
    np.testing.assert_allclose(dataset["y_bnds"], np.stack([wanted[:-1], wanted[1:]], axis=1))
    assert dataset["y"].attrs["bounds"] == "y_bnds"
    assert set(dataset.coords) == {"y", "x", "y_bnds", "x_bnds"}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("words", [np.array(["red", "green"]), np.array(["red", "green"], dtype=object)], ids=["fixed", "any length"])
def test_words_and_dates_are_coordinates(words: np.ndarray, zarr_format: int, tmp_path: Path) -> None:
    times = np.array(["2020-01-01", "2020-01-03"], "M8[ns]")
    dims = ("time", "band", "lat", "lon")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr-python says that words have no place in its specification yet
        for k, n in enumerate((8, 4)):
            place = {"time": times, "band": words, "lat": 50 - np.arange(n) * 8.0 / n, "lon": np.arange(n) * 8.0 / n}
            level = xr.Dataset({"t": (dims, np.random.default_rng(k).random((2, 2, n, n)), {"units": "K"})}, coords=place)
            level.to_zarr(tmp_path / "cube.levels" / f"{k}.zarr", zarr_format=zarr_format, consolidated=zarr_format == 2)
        for k in range(2):
            plain = xr.open_zarr(tmp_path / "cube.levels" / f"{k}.zarr", chunks=None, consolidated=False, decode_timedelta=False)
            ours = xr.open_dataset(tmp_path / "cube.levels", engine=ZigguratBackend, level=k)
            xr.testing.assert_equal(ours, plain)
            assert ours["t"].attrs == plain["t"].attrs


def test_packed_and_missing_samples_are_decoded_as_xarray_does(tmp_path: Path) -> None:
    base = xr.DataArray(np.linspace(200, 300, 64).reshape(8, 8), dims=("y", "x"), coords={"y": np.arange(8.0), "x": np.arange(8.0)}, name="t")
    base[2, 3] = np.nan
    encoding = {"t": {"dtype": "i2", "scale_factor": 0.01, "add_offset": 250.0, "_FillValue": -32768}}
    for zarr_format in (2, 3):
        place = tmp_path / f"{zarr_format}.zarr"
        for k, level in enumerate((base, base.coarsen(y=2, x=2).mean())):
            level.to_dataset().to_zarr(place, group=f"scale{k}", encoding=encoding, zarr_format=zarr_format, consolidated=False)
        root = zarr.open_group(place, mode="r+")
        datasets = [{"path": f"scale{k}/t", "coordinateTransformations": [{"type": "scale", "scale": [2.0**k] * 2}]} for k in range(2)]
        root.attrs["multiscales"] = [{"version": "0.4", "name": "t", "axes": [{"name": n, "type": "space"} for n in "yx"], "datasets": datasets}]
        root.attrs["multiscaleSpatialImageVersion"] = 1
        for k in range(2):
            plain = xr.open_zarr(place, group=f"scale{k}", chunks=None, consolidated=False)
            ours = xr.open_dataset(place, engine=ZigguratBackend, level=k)
            xr.testing.assert_identical(ours, plain)
            assert ours["t"].encoding["scale_factor"] == 0.01
            raw = xr.open_dataset(place, engine=ZigguratBackend, level=k, mask_and_scale=False)
            assert raw["t"].dtype == np.int16


@pytest.mark.parametrize("first", [357.5, 177.5])
def test_longitudes_go_on_past_the_meridian_where_xarray_averages_to_the_other_side(first: float, tmp_path: Path) -> None:
    straight = first + np.arange(8.0)
    lon = np.where(straight > (360 if first > 180 else 180), straight - 360, straight)
    assert (np.diff(lon) < 0).any()
    field = xr.DataArray(np.random.default_rng(2).random((8, 8)), dims=("lat", "lon"), coords={"lat": np.arange(8.0), "lon": lon}, name="t")
    field["lon"].attrs["units"] = "degrees_east"
    zg.build(field, tmp_path / "out.zarr", factors=2, levels=2, chunks=(4, 4))
    coarse = zg.open(tmp_path / "out.zarr").to_dataset(level=1)["lon"].values
    np.testing.assert_allclose(coarse, straight.reshape(4, 2).mean(axis=1))
    assert np.abs((coarse - field["lon"].coarsen(lon=2).mean().values + 180) % 360 - 180).max() == 180  # what must not happen
