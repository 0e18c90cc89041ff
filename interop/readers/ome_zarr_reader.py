"""ome-zarr: `OMEZarrMultiscale.from_ome_zarr`."""

from common import Level, level, main
from ome_zarr import OMEZarrMultiscale


def read(path: str) -> list[Level]:
    multiscale = OMEZarrMultiscale.from_ome_zarr(path)
    levels = []
    for image, dataset in zip(multiscale.images, multiscale.metadata.datasets, strict=True):
        # the image keeps the scale, the translation stays in the model
        transformation = dataset.coordinateTransformations[0]
        translation = next((t.translation for t in getattr(transformation, "transformations", ()) if hasattr(t, "translation")), None)
        levels.append(level(image.data.compute(), list(image.scale.values()), translation))
    return levels


main(read)
