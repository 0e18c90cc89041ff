"""tensorstore: scales of a Neuroglancer precomputed volume, in raw, compressed segmentation, and shards. `FOLDER`; prints one JSON line of what it reads."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from common import level

STEPS = ((1, 1, 1), (2, 2, 1), (4, 4, 2))
RESOLUTION, OFFSET = (4, 8, 40), (64, -32, 8)
"""Along x, y, z; the offset in voxels of the base."""
SHARDS = {"@type": "neuroglancer_uint64_sharded_v1", "preshift_bits": 1, "minishard_bits": 1, "shard_bits": 2, "hash": "identity"}


def write(path: Path, base: Any, kind: str, encoding: str, more: Any) -> dict[str, Any]:
    levels = []
    for k, step in enumerate(STEPS):
        samples = base[tuple(slice(None, None, f) for f in step)]
        size, n_channels = list(samples.shape[:3]), samples.shape[3]
        scale = {
            "size": size,
            "resolution": [r * f for r, f in zip(RESOLUTION, step, strict=True)],
            "voxel_offset": [o // f for o, f in zip(OFFSET, step, strict=True)],
            "chunk_size": [16, 16, 8],
            "encoding": encoding,
            **more,
        }
        volume = {"data_type": str(samples.dtype), "num_channels": n_channels, "type": kind}
        spec: Any = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": str(path) + "/"}}
        spec |= {"multiscale_metadata": volume, "scale_metadata": scale}
        stored = ts.open(spec, create=True).result()
        stored[...] = samples
        # the domain begins at the offset, in voxels of this scale; its units are the size of a voxel
        opened = ts.open({**{key: spec[key] for key in ("driver", "kvstore")}, "scale_index": k}, read=True).result()
        steps = [unit.multiplier for unit in opened.dimension_units[:3]]
        corner = [s * o for s, o in zip(steps, opened.domain.origin[:3], strict=True)]
        found = np.asarray(opened.read().result()).T
        place = list(reversed(steps)), [c + s / 2 for c, s in zip(reversed(corner), reversed(steps), strict=True)]
        levels.append(level(found[0], *place) if n_channels == 1 else level(found, [1.0, *place[0]], [0.0, *place[1]]))
    axes = ["z", "y", "x"] if n_channels == 1 else ["c", "z", "y", "x"]
    return {"axes": axes, "units": [None] * (len(axes) - 3) + ["nanometer"] * 3, "levels": levels}


def main(folder: Path) -> None:
    random = np.random.default_rng(7)
    image, colours = random.integers(0, 60000, (60, 44, 20, 1)).astype("uint16"), random.integers(0, 250, (60, 44, 20, 3)).astype("uint8")
    # small regions of equal labels
    labels = np.kron(random.integers(0, 2**40, (15, 11, 5, 1)), np.ones((4, 4, 4, 1), int)).astype("uint64")
    stores = {
        "raw": write(folder / "raw", image, "image", "raw", {}),
        "colours": write(folder / "colours", colours, "image", "raw", {}),
        "labels": write(folder / "labels", labels, "segmentation", "compressed_segmentation", {"compressed_segmentation_block_size": [8, 8, 8]}),
        "sharded": write(folder / "sharded", image, "image", "raw", {"sharding": SHARDS}),
    }
    print(json.dumps({"stores": stores}))


main(Path(sys.argv[1]))
