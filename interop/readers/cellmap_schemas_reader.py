"""cellmap-schemas judges a COSEM multiscale that others wrote in N5, and zarr 2 reads its samples. `FOLDER GROUP`; prints one JSON line."""

import json
import sys
import warnings

import zarr
from cellmap_schemas.multiscale.cosem import Group
from common import level

warnings.simplefilter("ignore")


def main(folder: str, path: str = "") -> None:
    opened = zarr.open_group(zarr.N5FSStore(folder), path=path, mode="r")
    group = Group.from_zarr(opened)
    entries = group.attributes.multiscales[0].datasets
    levels = [level(opened[entry.path][...], entry.transform.scale, entry.transform.translate) for entry in entries]
    print(json.dumps({"axes": list(entries[0].transform.axes), "units": list(entries[0].transform.units), "levels": levels}))


main(*sys.argv[1:])
