"""ngff-zarr: `to_multiscales` and `to_ome_zarr`, the default method or another of its own."""

from typing import Any

import ngff_zarr as nz
from ramp import Job, main


def write(job: Job, array: Any) -> None:
    image = nz.to_ngff_image(array, dims=["y", "x"])
    factors = [{"y": 1, "x": factor} for factor in job["factors"]]
    method = getattr(nz.Methods, job["method"])
    nz.to_ome_zarr(job["path"], nz.to_multiscales(image, scale_factors=factors, method=method, chunks=job["chunk"]), version="0.5")


main(write)
