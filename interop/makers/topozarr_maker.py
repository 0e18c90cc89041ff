"""topozarr: `create_pyramid` over a longitude and latitude grid."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
import xproj  # noqa: F401 - gives datasets their `proj`
import zarr
from common import Job, main
from topozarr import create_pyramid


def make(job: Job, base: Any) -> Iterator[Any]:
    y, x = (np.arange(n) * 0.1 for n in base.shape)
    dataset = xr.Dataset({"image": (("lat", "lon"), base)}, coords={"lat": 50 - y, "lon": x}).proj.assign_crs(spatial_ref="EPSG:4326")
    path = job["folder"] + "/a.zarr"
    create_pyramid(dataset, levels=job["n_levels"], x_dim="lon", y_dim="lat", method=job["method"]).write(path)
    group = zarr.open_group(path, mode="r")
    yield from (group[f"{k}/image"][...] for k in range(1, job["n_levels"]))


main(make)
