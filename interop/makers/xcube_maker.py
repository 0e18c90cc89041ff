"""xcube: its multi-level dataset, with one of its aggregation methods."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from common import Job, main
from xcube.core.mldataset import BaseMultiLevelDataset


def make(job: Job, base: Any) -> Iterator[Any]:
    y, x = (np.arange(n) * 0.1 for n in base.shape)
    dataset = xr.Dataset({"image": (("lat", "lon"), base)}, coords={"lat": 50 - y, "lon": x}).chunk(lat=64, lon=64)
    levels = BaseMultiLevelDataset(dataset, agg_methods={"image": job["method"]}, num_levels=job["n_levels"])
    yield from (levels.get_dataset(k)["image"].values for k in range(1, job["n_levels"]))


main(make)
