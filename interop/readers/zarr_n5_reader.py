"""zarr-n5 reads the datasets of an N5 container that others wrote, axes as N5 has them. `FOLDER PATH ...`; prints one JSON line of path -> shape and sum."""

import json
import sys

import numpy as np
import zarr
from zarr.storage import LocalStore
from zarr_n5 import N5WrapperStore


def main(folder: str, *paths: str) -> None:
    store = N5WrapperStore(LocalStore(folder))
    samples = {path: np.asarray(zarr.open_array(store, path=path, mode="r")[...]).T for path in paths}
    print(json.dumps({path: {"shape": list(found.shape), "sum": int(found.sum(dtype="u8"))} for path, found in samples.items()}))


main(*sys.argv[1:])
