"""GDAL through rasterio: overviews inside a file, in a side file, and a COG. `FOLDER`; prints one JSON line: what GDAL reads of each overview."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from common import digest
from rasterio.enums import Resampling
from rasterio.transform import from_origin


def described(path: Path) -> list[dict[str, Any]]:
    """Returns of each level the centres of its samples, and the samples, as GDAL has them."""
    with rasterio.open(path) as dataset:
        n_levels = len(dataset.overviews(1))
    levels = []
    for k in range(-1, n_levels):
        with rasterio.open(path, **({"overview_level": k} if k >= 0 else {})) as dataset:
            t = dataset.transform
            held = {"y": (t.f + t.e * (np.arange(dataset.height) + 0.5)).tolist(), "x": (t.c + t.a * (np.arange(dataset.width) + 0.5)).tolist()}
            levels.append({"shape": list(dataset.shape), "coordinates": held, "sha256": digest(dataset.read(1))})
    return levels


def main(folder: Path) -> None:
    samples = np.random.default_rng(7).integers(0, 60000, (301, 405)).astype("uint16")
    profile = {"driver": "GTiff", "height": 301, "width": 405, "count": 1, "dtype": "uint16", "crs": "EPSG:32633", "nodata": 0}
    profile |= {"transform": from_origin(300000, 5000000, 10, 20), "tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    for name in ("plain.tif", "inside.tif", "beside.tif", "masked.tif", "point.tif"):
        with rasterio.open(folder / name, "w", **profile) as dataset:
            dataset.write(samples, 1)
            if name == "point.tif":
                dataset.update_tags(AREA_OR_POINT="Point")
    for name, options in (("inside.tif", {}), ("beside.tif", {"TIFF_USE_OVR": True}), ("masked.tif", {"GDAL_TIFF_INTERNAL_MASK": True}), ("point.tif", {})):
        with rasterio.Env(**options), rasterio.open(folder / name, "r+") as dataset:
            if name == "masked.tif":
                dataset.write_mask(np.ones((301, 405), bool))
            dataset.build_overviews([2, 4, 8], Resampling.average)
    rasterio.shutil.copy(str(folder / "plain.tif"), str(folder / "cog.tif"), driver="COG", blocksize=64, overviews="IGNORE_EXISTING")
    names = ("inside.tif", "beside.tif", "masked.tif", "point.tif", "cog.tif")
    print(json.dumps({"stores": {name: {"axes": ["y", "x"], "levels": described(folder / name)} for name in names}}))


main(Path(sys.argv[1]))
