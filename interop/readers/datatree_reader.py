"""xarray opens a tree of datasets, and the accessor of multiscale-spatial-image walks it. `STORE GROUP`; prints one JSON line."""

import json
import sys
import warnings

import multiscale_spatial_image  # noqa: F401  gives trees their `msi`
import xarray as xr
from common import digest

warnings.simplefilter("ignore")


def main(store: str, path: str = "") -> None:
    tree = xr.open_datatree(store, engine="zarr", group=path or None).msi.transpose("z", "y", "x")
    levels = []
    axes, units = [], []
    for name in tree.children:
        image = next(iter(tree[name].ds.data_vars.values()))
        axes = list(map(str, image.dims))
        units = [image.coords[dim].attrs.get("units") for dim in axes]
        held = {dim: image.coords[dim].values.tolist() for dim in axes}
        levels.append({"shape": list(image.shape), "coordinates": held, "sha256": digest(image.values)})
    print(json.dumps({"axes": axes, "units": units, "levels": levels}))


main(*sys.argv[1:])
