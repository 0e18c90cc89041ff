"""xcube: the `.levels` of its file store, with one of its aggregation methods."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
import zarr
from common import Job, main
from xcube.core.store import new_data_store


def make(job: Job, base: Any) -> Iterator[Any]:
    y, x = (np.arange(n) * 0.1 for n in base.shape)
    dataset = xr.Dataset({"image": (("lat", "lon"), base)}, coords={"lat": 50 - y, "lon": x}).chunk(lat=64, lon=64)
    store = new_data_store("file", root=job["folder"])
    store.write_data(dataset, "a.levels", num_levels=job["n_levels"], agg_methods={"image": job["method"]}, replace=True)
    for k in range(1, job["n_levels"]):
        yield zarr.open_group(f"{job['folder']}/a.levels/{k}.zarr", mode="r")["image"][...]


main(make)
