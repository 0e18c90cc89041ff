"""topozarr: `create_pyramid` and `write`, with its reference system, in the groups of xarray. `FOLDER`; prints one JSON line: what its own library holds."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import topozarr
import xarray as xr
import xproj  # noqa: F401  gives datasets their `proj`
from common import digest

warnings.simplefilter("ignore")


def main(folder: Path) -> None:
    random = np.random.default_rng(7)
    stores = {}
    for name, (height, width), method in (("even.zarr", (64, 96), "mean"), ("odd.zarr", (61, 90), "max")):
        samples = random.random((height, width)).astype("float32")
        coordinates = {"y": 5000.0 - 10 * (np.arange(height) + 0.5), "x": 300000.0 + 10 * (np.arange(width) + 0.5)}
        dataset = xr.Dataset({"tas": (("y", "x"), samples)}, coords=coordinates).proj.assign_crs(spatial_ref="EPSG:32633")
        topozarr.create_pyramid(dataset, levels=3, x_dim="x", y_dim="y", method=method).write(str(folder / name))
        levels = []
        for k in range(3):
            level = xr.open_zarr(str(folder / name), group=str(k), consolidated=False)
            held = {dim: level[dim].values.tolist() for dim in ("y", "x")}
            levels.append({"shape": list(level["tas"].shape), "coordinates": held, "sha256": digest(level["tas"].values)})
        stores[name] = {"axes": ["y", "x"], "levels": levels}
    print(json.dumps({"stores": stores}))


main(Path(sys.argv[1]))
