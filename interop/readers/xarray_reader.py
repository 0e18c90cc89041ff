"""xarray: `open_zarr` of the group, one level at a time (levels share dimension names, so they are no one Dataset)."""

import xarray as xr
import zarr
from common import Level, datasets, level, main


def read(path: str) -> list[Level]:
    attributes = dict(zarr.open_group(path, mode="r").attrs)
    names = [name for name, _, _ in datasets(attributes)]
    levels = []
    for name, scale, translation in datasets(attributes):
        others = [other for other in names if other != name]
        # v2 fill values would be masked to NaN: the stored samples are wanted
        dataset = xr.open_zarr(path, consolidated=False, drop_variables=others, mask_and_scale=False)
        variable = dataset[name]
        if any(dimension.startswith("dim_") for dimension in map(str, variable.dims)):
            raise ValueError(f"{name}: dimensions have no names: {variable.dims}")
        levels.append(level(variable.values, scale, translation))
    return levels


main(read)
