"""ngff-zarr: `to_multiscales` with one of its methods, written and read back as OME-Zarr 0.5."""

from collections.abc import Iterator
from typing import Any

import ngff_zarr as nz
import zarr
from common import Job, factors_of, main


def make(job: Job, base: Any) -> Iterator[Any]:
    image = nz.to_ngff_image(base, dims=["y", "x"])
    path = job["folder"] + "/a.ome.zarr"
    nz.to_ome_zarr(path, nz.to_multiscales(image, scale_factors=factors_of(job), method=getattr(nz.Methods, job["method"]), chunks=64), version="0.5")
    group = zarr.open_group(path, mode="r")
    for dataset in dict(group.attrs)["ome"]["multiscales"][0]["datasets"][1:]:
        yield group[dataset["path"]][...]


main(make)
