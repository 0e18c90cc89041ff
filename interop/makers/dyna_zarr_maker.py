"""dyna-zarr: `write_levels` beside a base in Zarr v3."""

from collections.abc import Iterator
from typing import Any

import zarr
from common import Job, factors_of, main
from dyna_zarr import io


def make(job: Job, base: Any) -> Iterator[Any]:
    path = job["folder"] + "/a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.create_array("0", shape=base.shape, chunks=(64, 64), dtype=base.dtype, dimension_names=("y", "x"))[...] = base
    levels = [{"path": f"{path}/{k}", "factors": (factor, factor)} for k, factor in enumerate(factors_of(job), start=1)]
    io.write_levels(io.read(f"{path}/0"), levels, method=job["method"])
    found = zarr.open_group(path, mode="r")
    yield from (found[str(k)][...] for k in range(1, job["n_levels"]))


main(make)
