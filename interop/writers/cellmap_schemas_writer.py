"""cellmap-schemas: a COSEM multiscale, laid out by its own models, in N5 through zarr 2. `FOLDER`; prints one JSON line."""

import json
import sys
import warnings

import numpy as np
import zarr
from cellmap_schemas.multiscale.cosem import Group, STTransform
from common import level

warnings.simplefilter("ignore")
STEPS = ((1, 1, 1), (2, 2, 2), (4, 4, 4))
SCALE, TRANSLATE = (10.0, 8.0, 8.0), (0.0, -16.0, 4.0)


def main(folder: str) -> None:
    base = np.random.default_rng(1).integers(0, 60000, (20, 28, 36)).astype("uint16")
    arrays = [base[tuple(slice(None, None, f) for f in step)] for step in STEPS]
    transforms = [
        STTransform(
            axes=("z", "y", "x"),
            units=("nm",) * 3,
            scale=tuple(s * f for s, f in zip(SCALE, step, strict=True)),
            translate=tuple(t + s * (f - 1) / 2 for s, t, f in zip(SCALE, TRANSLATE, step, strict=True)),
        )
        for step in STEPS
    ]
    paths = [f"s{k}" for k in range(len(STEPS))]
    group = Group.from_arrays(arrays=arrays, paths=paths, transforms=transforms, chunks=(8, 8, 8))
    stored = group.to_zarr(zarr.N5FSStore(folder), path="em")
    for path, array in zip(paths, arrays, strict=True):
        stored[path][:] = array
    levels = [level(stored[path][:], t.scale, t.translate) for path, t in zip(paths, transforms, strict=True)]
    print(json.dumps({"stores": {"em": {"axes": ["z", "y", "x"], "units": ["nm"] * 3, "levels": levels}}}))


main(*sys.argv[1:])
