"""ome-zarr: `write_image`, the default method or another of its own."""

from typing import Any

import dask.array as da
import zarr
from ome_zarr.writer import write_image
from ramp import Job, main


def write(job: Job, array: Any) -> None:
    chunks = (64, job["chunk"])
    factors = [{"y": 1, "x": factor} for factor in job["factors"]]
    group = zarr.open_group(job["path"], mode="w")
    write_image(da.from_array(array, chunks=chunks), group, axes="yx", scale_factors=factors, method=job["method"], storage_options={"chunks": chunks})


main(write)
