"""webknossos: a dataset per data format, with a layer of colour in three channels and one of segments. `FOLDER`; prints one JSON line of what it wrote.

The colours begin inside their arrays (the bounding box is not at 0). Levels and their samples are those that the library reads back.
"""

import contextlib
import io
import json
import sys
import warnings
from typing import Any

import numpy as np

with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import webknossos as wk
    from cluster_tools import get_executor
    from common import level

VOXEL = (11.24, 11.24, 25.0)
CORNER, SIZE = (8, 16, 4), (40, 36, 20)


def described(layer: wk.Layer) -> list[dict[str, Any]]:
    """Returns the levels of a layer; a voxel of a mag covers `mag` voxels of the base, from the corner of all on."""
    found = []
    for mag, view in sorted(layer.mags.items()):
        steps = [v * m for v, m in zip(VOXEL, mag.to_list(), strict=True)]
        found.append(level(view.get_zarr_array()[...], [1.0, *steps], [0.0, *(s / 2 for s in steps)]))
    return found


def write(folder: str, fmt: str) -> dict[str, Any]:
    random = np.random.default_rng(4)
    dataset = wk.Dataset(f"{folder}/{fmt}", voxel_size=VOXEL)
    shards = {} if fmt == "wkw" else {"shard_shape": (64, 64, 64) if fmt == "zarr3" else (32, 32, 32)}
    with get_executor("sequential") as executor:
        box = wk.BoundingBox(CORNER, SIZE)
        color = dataset.add_layer("color", wk.COLOR_CATEGORY, data_format=fmt, num_channels=3, dtype="uint8", bounding_box=box)
        mag = color.add_mag(1, chunk_shape=(32, 32, 32), **shards)
        mag.write(random.integers(0, 255, (3, *SIZE)).astype("uint8"), absolute_offset=CORNER, allow_unaligned=True)
        color.downsample(coarsest_mag=wk.Mag("4-4-2"), **shards, executor=executor)
        box = wk.BoundingBox((0, 0, 0), SIZE)
        segments = dataset.add_layer("segments", wk.SEGMENTATION_CATEGORY, data_format=fmt, dtype="uint32", largest_segment_id=99, bounding_box=box)
        mag = segments.add_mag(1, chunk_shape=(32, 32, 32), **shards)
        mag.write(random.integers(0, 99, SIZE).astype("uint32"), absolute_offset=(0, 0, 0), allow_unaligned=True)
        segments.downsample(coarsest_mag=wk.Mag(2), **shards, executor=executor)
    return {f"{fmt}/{layer.name}": described(layer) for layer in (color, segments)}


def main(folder: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stores = {path: levels for fmt in ("zarr", "zarr3") for path, levels in write(folder, fmt).items()}
    print(json.dumps({"stores": stores}))


if __name__ == "__main__":
    main(*sys.argv[1:])
