"""yaozarrs: `validate_zarr_store`, then its models, and the samples through its bridge to zarr-python."""

import yaozarrs
from common import Level, level, main


def read(path: str) -> list[Level]:
    group = yaozarrs.validate_zarr_store(path)
    metadata = group.ome_metadata()
    levels = []
    for dataset in metadata.multiscales[0].datasets:
        steps = dataset.coordinateTransformations
        scale = next(s.scale for s in steps if hasattr(s, "scale"))
        translation = next((s.translation for s in steps if hasattr(s, "translation")), None)
        levels.append(level(group[dataset.path].to_zarr_python()[...], scale, translation))
    return levels


main(read)
