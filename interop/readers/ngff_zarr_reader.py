"""ngff-zarr: `from_ome_zarr`, validated against the OME schemas that it ships."""

import ngff_zarr as nz
from common import Level, level, main


def read(path: str) -> list[Level]:
    multiscales = nz.from_ome_zarr(path, validate=True)
    return [level(image.data.compute(), [image.scale[d] for d in image.dims], [image.translation[d] for d in image.dims]) for image in multiscales.images]


main(read)
