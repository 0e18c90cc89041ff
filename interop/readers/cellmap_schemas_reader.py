"""cellmap-schemas judges a COSEM multiscale that others wrote in N5, and zarr 2 reads its samples. `FOLDER GROUP`; prints one JSON line."""

import json
import sys
import warnings

import numpy as np
import zarr
from cellmap_schemas.multiscale.cosem import Group

warnings.simplefilter("ignore")


def main(folder: str, path: str) -> None:
    opened = zarr.open_group(zarr.N5FSStore(folder), path=path, mode="r")
    group = Group.from_zarr(opened)
    levels = []
    for entry in group.attributes.multiscales[0].datasets:
        samples = np.asarray(opened[entry.path][...])
        scale, translation = list(entry.transform.scale), list(entry.transform.translate)
        levels.append({"path": entry.path, "shape": list(samples.shape), "scale": scale, "translation": translation, "sum": float(samples.sum(dtype="f8"))})
    print(json.dumps({"valid": True, "levels": levels}))


main(*sys.argv[1:])
