"""zarr-n5: zarr-python 3 reads arrays and attributes of a COSEM multiscale that others wrote in N5. `FOLDER GROUP`; prints one JSON line."""

import json
import sys

import numpy as np
import zarr
from common import cosem
from zarr.storage import LocalStore
from zarr_n5 import N5WrapperStore


def main(folder: str, path: str = "") -> None:
    group = zarr.open_group(N5WrapperStore(LocalStore(folder)), path=path, mode="r")
    # it has the axes in the order of N5
    print(json.dumps(cosem(group.attrs.asdict(), lambda name: np.asarray(group[name][...]).T)))


main(*sys.argv[1:])
