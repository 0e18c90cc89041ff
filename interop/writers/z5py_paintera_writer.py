"""z5py: the arrays of Paintera with the attributes of its readme. `FOLDER`; prints one JSON line of what z5py reads of it."""

import json
import sys
from pathlib import Path

import numpy as np
import z5py
from common import level

STEPS = ((1, 1, 1), (2, 2, 1), (4, 4, 2))
RESOLUTION, OFFSET = (0.25, 0.5, 4.0), (10.0, -20.0, 8.0)
"""Along x, y, z, as N5 says it; the offset is the centre of the first voxel."""


def main(folder: Path) -> None:
    file = z5py.File(str(folder / "data.n5"), mode="a", use_zarr_format=False)
    random = np.random.default_rng(7)
    stores = {}
    for name, kind, dtype in (("raw", "raw", "uint8"), ("label", "label", "uint64")):
        group = file.create_group(name)
        group.attrs["painteraData"] = {"type": kind}
        group.attrs["maxId"] = 250
        data = file.create_group(f"{name}/data")
        data.attrs["multiScale"] = True
        data.attrs["resolution"], data.attrs["offset"] = RESOLUTION, OFFSET
        base = random.integers(0, 250, (11, 26, 36)).astype(dtype)
        levels = []
        for k, step in enumerate(STEPS):
            samples = base[tuple(slice(None, None, f) for f in reversed(step))]
            stored = file.create_dataset(f"{name}/data/s{k}", data=samples, chunks=(4, 8, 10), compression="gzip")
            if k:
                stored.attrs["downsamplingFactors"] = step
            places = list(zip(reversed(RESOLUTION), reversed(OFFSET), reversed(step), strict=True))
            levels.append(level(stored[:], [r * f for r, _, f in places], [o + r * (f - 1) / 2 for r, o, f in places]))
        stores[f"data.n5/{name}"] = {"axes": ["z", "y", "x"], "levels": levels}
    print(json.dumps({"stores": stores}))


main(Path(sys.argv[1]))
