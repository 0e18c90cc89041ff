"""GDAL through rasterio: overviews in a tiled GeoTIFF, with one of its resampling methods."""

from collections.abc import Iterator
from typing import Any

import rasterio
from common import Job, factors_of, main
from rasterio.enums import Resampling


def make(job: Job, base: Any) -> Iterator[Any]:
    path = job["folder"] + "/a.tif"
    n_y, n_x = base.shape
    with rasterio.open(path, "w", driver="GTiff", height=n_y, width=n_x, count=1, dtype=base.dtype, tiled=True, blockxsize=64, blockysize=64) as file:
        file.write(base, 1)
    with rasterio.open(path, "r+") as file:
        file.build_overviews(factors_of(job), Resampling[job["method"]])
    for k in range(job["n_levels"] - 1):
        with rasterio.open(path, overview_level=k) as file:
            yield file.read(1)


main(make)
