"""xcube: `write_data` of its file store, with and without time, in Zarr v2 and v3, with a link to the base. `FOLDER`; prints one JSON line of what it reads."""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import xarray as xr  # noqa: E402
from common import digest  # noqa: E402
from xcube.core.store import new_data_store  # noqa: E402 - its imports warn of their own dependencies


def described(store: Any, name: str) -> dict[str, Any]:
    opened = store.open_data(name)
    levels = []
    for index in range(opened.num_levels):
        array = opened.get_dataset(index)["chl"]
        held = {str(dim): array.coords[dim].values.tolist() for dim in array.dims if dim != "time"}
        levels.append({"shape": list(array.shape), "coordinates": held, "sha256": digest(array.values)})
    return {"axes": list(map(str, array.dims)), "levels": levels}


def main(folder: Path) -> None:
    store = new_data_store("file", root=str(folder))
    random = np.random.default_rng(7)
    lat, lon = 50 - 0.25 * (np.arange(64) + 0.5), 5 + 0.25 * (np.arange(96) + 0.5)
    flat = xr.Dataset({"chl": (("lat", "lon"), random.random((64, 96)).astype("float32"))}, coords={"lat": lat, "lon": lon})
    deep = xr.Dataset(
        {"chl": (("time", "lat", "lon"), random.integers(0, 4000, (3, 64, 96)).astype("int16"))},
        coords={"time": np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[ns]"), "lat": lat, "lon": lon},
    )
    store.write_data(flat, "flat.levels", tile_size=16, num_levels=3, replace=True, agg_methods="mean")
    store.write_data(deep, "deep.levels", tile_size=16, num_levels=3, replace=True)
    store.write_data(deep, "v3.levels", tile_size=16, num_levels=3, replace=True, zarr_format=3)
    store.write_data(flat, "base.zarr", replace=True)
    store.write_data(flat, "linked.levels", tile_size=16, num_levels=3, base_dataset_id="base.zarr", replace=True)
    names = ("flat.levels", "deep.levels", "v3.levels", "linked.levels")
    print(json.dumps({"stores": {name: described(store, name) for name in names}}))


main(Path(sys.argv[1]))
