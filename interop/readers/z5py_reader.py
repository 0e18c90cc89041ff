"""z5py reads the datasets of an N5 container that others wrote. `FOLDER PATH ...`; prints one JSON line of path -> shape and sum."""

import json
import sys

import z5py


def main(folder: str, *paths: str) -> None:
    file = z5py.File(folder, mode="r", use_zarr_format=False)
    samples = {path: file[path][:] for path in paths}
    print(json.dumps({path: {"shape": list(found.shape), "sum": int(found.sum(dtype="u8"))} for path, found in samples.items()}))


main(*sys.argv[1:])
