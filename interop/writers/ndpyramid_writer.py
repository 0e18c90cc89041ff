"""ndpyramid: `pyramid_coarsen` and `pyramid_reproject`, in Zarr v2. `FOLDER`; prints one JSON line: what its own library holds, largest level first."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import rioxarray  # noqa: F401  gives datasets their `rio`
import xarray as xr
from common import digest
from ndpyramid import pyramid_coarsen, pyramid_reproject

warnings.simplefilter("ignore")


def main(folder: Path) -> None:
    samples = np.random.default_rng(7).random((64, 128)).astype("float32")
    coordinates = {"y": 62.0 - 2 * np.arange(64), "x": -126.0 + 2 * np.arange(128)}
    dataset = xr.Dataset({"tas": (("y", "x"), samples)}, coords=coordinates).rio.write_crs("EPSG:4326")
    trees = {
        "coarsen.zarr": pyramid_coarsen(dataset, factors=[4, 2, 1], dims=["x", "y"], boundary="trim"),
        "reproject.zarr": pyramid_reproject(dataset, levels=3, pixels_per_tile=32),
    }
    stores = {}
    for name, tree in trees.items():
        tree.to_zarr(str(folder / name), mode="w", consolidated=True, zarr_format=2)
        levels = []
        for k in (2, 1, 0):
            level = xr.open_zarr(str(folder / name), group=str(k), consolidated=False, mask_and_scale=False)
            found = {"shape": list(level["tas"].shape), "sha256": digest(level["tas"].values)}
            if "GeoTransform" in level["spatial_ref"].attrs:  # the coordinates beside it are rounded to float32
                c, a, _, f, _, e = map(float, level["spatial_ref"].attrs["GeoTransform"].split())
                levels.append({**found, "scale": [e, a], "translation": [f + e / 2, c + a / 2]})
            else:
                levels.append({**found, "coordinates": {dim: level[dim].values.tolist() for dim in ("y", "x")}})
        stores[name] = {"axes": ["y", "x"], "levels": levels}
    print(json.dumps({"stores": stores}))


main(Path(sys.argv[1]))
