"""ngff-zarr: `to_multiscales` with one of its methods."""

from collections.abc import Iterator
from typing import Any

import ngff_zarr as nz
import numpy as np
from common import Job, factors_of, main


def make(job: Job, base: Any) -> Iterator[Any]:
    image = nz.to_ngff_image(base, dims=["y", "x"])
    multiscales = nz.to_multiscales(image, scale_factors=factors_of(job), method=getattr(nz.Methods, job["method"]), chunks=64)
    yield from (np.asarray(level.data) for level in multiscales.images[1:])


main(make)
