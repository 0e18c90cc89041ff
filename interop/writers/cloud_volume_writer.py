"""CloudVolume: scales that it adds, raw and gzipped, and compressed segmentation. `FOLDER`; prints one JSON line of what it reads."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from cloudvolume import CloudVolume
from common import level

STEPS = ((1, 1, 1), (2, 2, 1), (4, 4, 2))


def write(path: Path, base: Any, kind: str, encoding: str, compress: str | None) -> dict[str, Any]:
    info = CloudVolume.create_new_info(
        num_channels=base.shape[3],
        layer_type=kind,
        data_type=str(base.dtype),
        encoding=encoding,
        resolution=[4, 8, 40],
        voxel_offset=[64, -32, 8],
        chunk_size=[16, 16, 8],
        volume_size=list(base.shape[:3]),
    )
    url = f"file://{path}"
    volume = CloudVolume(url, info=info, compress=compress, progress=False)
    for step in STEPS[1:]:
        volume.add_scale(step, encoding=encoding, chunk_size=[16, 16, 8])
    volume.commit_info()
    levels = []
    for k, step in enumerate(STEPS):
        stored = CloudVolume(url, mip=k, compress=compress, progress=False, bounded=True)
        size = stored.volume_size[:3]
        stored[:, :, :] = np.ascontiguousarray(base[tuple(slice(None, None, f) for f in step)][: size[0], : size[1], : size[2]])
        found = np.asarray(stored[:, :, :]).T
        steps = [float(v) for v in stored.resolution[::-1]]
        corner = [float(v) * s for v, s in zip(stored.voxel_offset[::-1], steps, strict=True)]
        place = steps, [c + s / 2 for c, s in zip(corner, steps, strict=True)]
        levels.append(level(found[0], *place) if base.shape[3] == 1 else level(found, [1.0, *place[0]], [0.0, *place[1]]))
    axes = ["z", "y", "x"] if base.shape[3] == 1 else ["c", "z", "y", "x"]
    return {"axes": axes, "units": [None] * (len(axes) - 3) + ["nanometer"] * 3, "levels": levels}


def main(folder: Path) -> None:
    random = np.random.default_rng(7)
    image, colours = random.integers(0, 60000, (64, 48, 16, 1)).astype("uint16"), random.integers(0, 250, (64, 48, 16, 3)).astype("uint8")
    labels = np.kron(random.integers(0, 2**40, (16, 12, 4, 1)), np.ones((4, 4, 4, 1), int)).astype("uint64")
    stores = {
        "raw": write(folder / "raw", image, "image", "raw", None),
        "gzipped": write(folder / "gzipped", image, "image", "raw", "gzip"),
        "colours": write(folder / "colours", colours, "image", "raw", None),
        "labels": write(folder / "labels", labels, "segmentation", "compressed_segmentation", None),
    }
    print(json.dumps({"stores": stores}))


main(Path(sys.argv[1]))
