"""ITK: `image_from_xarray` of each level that xarray opens. `STORE GROUP`; prints one JSON line of what ITK holds."""

import json
import sys
import warnings

import itk
import xarray as xr
from common import level

warnings.simplefilter("ignore")


def main(store: str, path: str = "") -> None:
    top = xr.open_zarr(store, group=path or None)
    levels = []
    for group in top.attrs["_MULTISCALE_LEVELS"]:
        dataset = xr.open_zarr(store, group="/".join(part for part in (path, group) if part) or None)
        array = dataset[top.attrs["_SPATIAL_IMAGE"]]
        image = itk.image_from_xarray(array)
        # ITK's origin is the centre of the first voxel; its order is x, y, z
        levels.append(level(itk.array_from_image(image), list(itk.spacing(image))[::-1], list(itk.origin(image))[::-1]))
        axes, units = list(map(str, array.dims)), [array.coords[dim].attrs.get("units") for dim in array.dims]
    print(json.dumps({"axes": axes, "units": units, "levels": levels}))


main(*sys.argv[1:])
