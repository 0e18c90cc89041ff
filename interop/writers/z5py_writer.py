"""z5py: one N5 dataset per compression that it has. `FOLDER`; prints one JSON line of path -> shape and sum."""

import json
import sys

import numpy as np
import z5py

COMPRESSIONS = ("raw", "gzip", "bzip2", "xz", "lz4", "blosc", "zstd")


def main(folder: str) -> None:
    samples = np.random.default_rng(2).integers(0, 60000, (11, 13, 17)).astype("uint16")
    file = z5py.File(folder, mode="a", use_zarr_format=False)
    for name in COMPRESSIONS:
        file.create_dataset(name, data=samples, chunks=(4, 5, 6), compression=name)
    print(json.dumps({name: {"shape": list(samples.shape), "sum": int(samples.sum(dtype="u8"))} for name in COMPRESSIONS}))


main(*sys.argv[1:])
