"""ome-zarr: `write_image` with one of its methods; `laplacian` and `gaussian` are those of its older Scaler where it still has one."""

from collections.abc import Iterator
from typing import Any

import dask.array as da
import zarr
from common import Job, factors_of, main
from ome_zarr.writer import write_image


def make(job: Job, base: Any) -> Iterator[Any]:
    path = job["folder"] + "/a.zarr"
    group = zarr.open_group(path, mode="w")
    factors = [{"y": f, "x": f} for f in factors_of(job)]
    write_image(da.from_array(base, chunks=(64, 64)), group, axes="yx", scale_factors=factors, method=job["method"], storage_options={"chunks": (64, 64)})
    found = zarr.open_group(path, mode="r")
    for k in range(1, job["n_levels"]):
        yield found[f"s{k}" if f"s{k}" in found else str(k)][...]


main(make)
