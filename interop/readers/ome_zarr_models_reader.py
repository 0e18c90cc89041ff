"""ome-zarr-models: `open_ome_zarr` validates group and arrays; it has shapes, no samples."""

import ome_zarr_models
from common import Level, main


def read(path: str) -> list[Level]:
    image = ome_zarr_models.open_ome_zarr(path)
    attributes = getattr(image, "ome_attributes", None) or image.attributes
    levels: list[Level] = []
    for dataset in attributes.multiscales[0].datasets:
        steps = dataset.coordinateTransformations
        scale = next(list(s.scale) for s in steps if hasattr(s, "scale"))
        translation = next((list(s.translation) for s in steps if hasattr(s, "translation")), None)
        levels.append({"shape": list(image.members[dataset.path].shape), "scale": scale, "translation": translation})
    return levels


main(read)
