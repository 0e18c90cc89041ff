"""z5py: the arrays of n5-viewer with the attributes of its readme. `FOLDER`; prints one JSON line of what z5py reads of it."""

import json
import sys
from pathlib import Path

import numpy as np
import z5py
from common import level

STEPS = ((1, 1, 1), (2, 2, 2), (4, 4, 2))
"""Along x, y, z, as N5 says it."""
RESOLUTION = (0.25, 0.5, 4.0)


def main(folder: Path) -> None:
    file = z5py.File(str(folder / "data.n5"), mode="a", use_zarr_format=False)
    base = np.random.default_rng(7).integers(0, 60000, (11, 26, 36)).astype("uint16")
    stores = {}
    for name, compression in (("c0", "gzip"), ("c1", "raw"), ("c2", "bzip2"), ("c3", "blosc"), ("c4", "lz4"), ("c5", "xz"), ("c6", "zstd")):
        levels = []
        for k, step in enumerate(STEPS):
            samples = base[tuple(slice(None, None, f) for f in reversed(step))]
            stored = file.create_dataset(f"{name}/s{k}", data=samples, chunks=(4, 8, 10), compression=compression)
            stored.attrs["downsamplingFactors"] = step
            stored.attrs["pixelResolution"] = {"dimensions": RESOLUTION, "unit": "um"}
            scale = [r * f for r, f in zip(reversed(RESOLUTION), reversed(step), strict=True)]
            levels.append(level(stored[:], scale, [r * (f - 1) / 2 for r, f in zip(reversed(RESOLUTION), reversed(step), strict=True)]))
        stores[f"data.n5/{name}"] = {"axes": ["z", "y", "x"], "units": ["um"] * 3, "levels": levels}
    print(json.dumps({"stores": stores, "collections": {"data.n5": [f"c{k}" for k in range(7)]}}))


main(Path(sys.argv[1]))
