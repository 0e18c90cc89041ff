"""napari-ome-zarr: the reader function, its layers put into napari's ViewerModel (no window, no Qt); channels are joined again."""

import numpy as np
from common import Level, level, main
from napari.components import ViewerModel
from napari_ome_zarr import napari_get_reader


def read(path: str) -> list[Level]:
    reader = napari_get_reader(path)
    if reader is None:
        raise ValueError("no reader claims it")
    layers = reader(path)
    viewer = ViewerModel()
    for data, options, kind in layers:
        added = getattr(viewer, f"add_{kind}")(data, **options)
        if len(data) > 1 and not added.multiscale:
            raise ValueError("napari does not see several levels")
    scale = list(layers[0][1]["scale"])
    channel = 1 if len(layers) > 1 else None
    levels = []
    for k in range(len(layers[0][0])):
        parts = [np.asarray(data[k]) for data, _, _ in layers]
        samples = np.stack(parts, axis=channel) if channel is not None else parts[0]
        # napari gives the scale of level 0 alone (without the channel axis), and places coarser levels by their shapes
        full = scale if channel is None else [*scale[:channel], 1.0, *scale[channel:]]
        levels.append(level(samples, full if k == 0 else None, None))
    return levels


main(read)
