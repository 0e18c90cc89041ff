"""Fill values that readers of the xarray world see: what is missing, and nothing else, is masked; what is not stored is defined."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr

import ziggurat as zg

SAMPLES = np.zeros((64, 64), np.int16)
SAMPLES[:20, :40] = np.arange(800).reshape(20, 40)
"""Most chunks hold zeros, which are values."""
SAID: dict[str, Any] = {"axes": "yx", "levels": 3, "chunks": (16, 16), "scale": (0.5, 0.5), "name": "a"}
GROUPS = {"xcube": "0.zarr", "itk": "", "datatree": "scale0"}


def written(path: Path, layout: str, way: str, container: int, samples: Any = SAMPLES) -> Path:
    """Writes levels into a layout by a build, or by a conversion of OME-Zarr, whose chunks of zeros are not stored."""
    if way == "built":
        zg.build(samples, path / "to", layout=layout, **SAID)
        return path / "to"
    zg.build(samples, path / "from", layout="ome-zarr@0.5" if way == "from Zarr v3" else "ome-zarr@0.4", **SAID)
    assert len([p for p in (path / "from").rglob("*") if p.name[0].isdigit() and p.is_file()]) < 16
    zg.convert(path / "from", path / "to", layout=layout, container=f"zarr{container}")
    return path / "to"


@pytest.mark.parametrize(
    ("layout", "way", "container", "dtype"),
    [
        *((layout, "built", 2, dtype) for layout in GROUPS for dtype in ("int16", "float32", "bool")),
        *((layout, f"from Zarr v{n}", 2, "int16") for layout in GROUPS for n in (2, 3)),
        *((layout, "from Zarr v3", 3, "int16") for layout in ("itk", "datatree")),
    ],
)
def test_xarray_masks_nothing_where_nothing_is_missing(tmp_path: Path, layout: str, way: str, container: int, dtype: str) -> None:
    store = written(tmp_path, layout, way, container, SAMPLES.astype(dtype))
    with xarray.open_zarr(store / GROUPS[layout], consolidated=False) as data:
        np.testing.assert_array_equal(data["a"].values, SAMPLES.astype(dtype), strict=True)
    pyramid = zg.open(store)
    with zg.open(store).to_dataset(level=1) as level:
        np.testing.assert_array_equal(level["a"].values, np.asarray(pyramid.levels[1].array), strict=True)


@pytest.mark.parametrize("way", ["built", "from Zarr v2", "from Zarr v3"])
def test_every_chunk_is_stored_where_no_fill_value_is_stated(tmp_path: Path, way: str) -> None:
    store = written(tmp_path, "xcube", way, 2)
    for k, n in ((0, 16), (1, 4), (2, 1)):
        document = json.loads((store / f"{k}.zarr" / "a" / ".zarray").read_text())
        assert document["fill_value"] is None
        assert len([p for p in (store / f"{k}.zarr" / "a").rglob("*") if p.is_file() and not p.name.startswith(".")]) == n


def test_a_fill_value_of_the_source_is_stored_where_it_was_implied(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "from", mode="w", zarr_format=3)
    base = group.create_array("0", shape=(64, 64), chunks=(16, 16), dtype="int16", fill_value=7, dimension_names=("y", "x"))
    base[:16, :16] = 1
    zg.build(tmp_path / "from" / "0", axes="yx", levels=2, scale=(1, 1), layout="ome-zarr@0.5")
    zg.convert(tmp_path / "from", tmp_path / "to", layout="itk", container="zarr2")
    with xarray.open_zarr(tmp_path / "to", consolidated=False) as data:
        np.testing.assert_array_equal(next(iter(data.data_vars.values())).values, base[...], strict=True)


def test_missing_samples_are_masked(tmp_path: Path) -> None:
    zg.build(SAMPLES, tmp_path / "to", layout="xcube", nodata=0, **SAID)
    with xarray.open_zarr(tmp_path / "to" / "0.zarr") as data:
        np.testing.assert_array_equal(data["a"].values, np.where(SAMPLES == 0, np.nan, SAMPLES))
    zg.convert(tmp_path / "to", tmp_path / "again", layout="itk")  # it keeps what it says
    with xarray.open_zarr(tmp_path / "again") as data:
        assert int(data["a"].isnull().sum()) == int((SAMPLES == 0).sum())


@pytest.mark.parametrize(("dtype", "missing"), [("int16", -9), ("float64", -9.0), ("float32", np.nan)])
def test_what_xarray_says_is_missing_in_zarr_v3_is_missing_in_zarr_v2(tmp_path: Path, dtype: str, missing: float) -> None:
    samples = SAMPLES.astype(dtype)
    samples[:4] = missing
    data = xarray.Dataset({"a": (("y", "x"), samples, {}, {"_FillValue": np.dtype(dtype).type(missing)})}, coords={"y": np.arange(64.0), "x": np.arange(64.0)})
    for k in range(2):
        data.isel(y=slice(None, None, 2**k), x=slice(None, None, 2**k)).to_zarr(
            tmp_path / "from", group=f"scale{k}", mode="a", zarr_format=3, consolidated=False
        )
    zarr.open_group(tmp_path / "from", mode="a").attrs.update({"_MULTISCALE_LEVELS": ["scale0", "scale1"], "_SPATIAL_IMAGE": "a"})
    zg.convert(tmp_path / "from", tmp_path / "to", layout="xcube", container="zarr2")
    for path, group in (("from", "scale0"), ("to", "0.zarr")):
        with xarray.open_zarr(tmp_path / path / group, consolidated=False) as found:
            np.testing.assert_array_equal(found["a"].values, np.where(samples == missing, np.nan, samples))


def test_images_of_ome_zarr_keep_a_fill_value(tmp_path: Path) -> None:
    """Readers in Java had none for null, and writers store no chunks of zeros (saalfeldlab/n5-zarr#62, glencoesoftware/bioformats2raw#312)."""
    zg.build(SAMPLES, tmp_path / "to", layout="ome-zarr@0.4", **SAID)
    assert json.loads((tmp_path / "to" / "0" / ".zarray").read_text())["fill_value"] == 0
