"""z5py reads arrays and attributes of a COSEM multiscale that others wrote in N5. `FOLDER GROUP`; prints one JSON line."""

import json
import sys

import z5py
from common import cosem


def main(folder: str, path: str = "") -> None:
    group = z5py.File(folder, mode="r", use_zarr_format=False)[path or "/"]
    # z5py has C order, N5 states x first
    print(json.dumps(cosem(dict(group.attrs), lambda name: group[name][:])))


main(*sys.argv[1:])
