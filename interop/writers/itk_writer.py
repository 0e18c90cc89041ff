"""ITK: levels shrunk by ITK and placed by it, each written by xarray from `xarray_from_image`. `FOLDER`; prints one JSON line of what ITK holds."""

import json
import sys
from pathlib import Path
from typing import Any

import itk
import numpy as np
import xarray as xr
from common import level


def described(image: Any) -> dict[str, Any]:
    # ITK's origin is the centre of the first voxel; its order is x, y, z
    return level(itk.array_from_image(image), list(itk.spacing(image))[::-1], list(itk.origin(image))[::-1])


def main(folder: Path) -> None:
    base = itk.image_from_array(np.random.default_rng(7).integers(0, 4000, (12, 40, 56)).astype("uint16"))
    base.SetSpacing([0.25, 0.5, 2.0])
    base.SetOrigin([7.5, -3.0, 10.0])
    shrunk = itk.bin_shrink_image_filter(base, shrink_factors=[2, 2, 1])
    images = [base, shrunk, itk.bin_shrink_image_filter(shrunk, shrink_factors=[2, 2, 2])]
    stores = {}
    for name, zarr_format in (("v2.zarr", 2), ("v3.zarr", 3)):
        for k, image in enumerate(images):
            dataset = itk.xarray_from_image(image).to_dataset(name="image")
            if not k:
                # what the layout is called by; no released software writes these two keys
                dataset.attrs |= {"_MULTISCALE_LEVELS": ["", "level_1.zarr", "level_2.zarr"], "_SPATIAL_IMAGE": "image"}
            where = {"group": f"level_{k}.zarr" if k else None, "mode": "a", "zarr_format": zarr_format}
            dataset.to_zarr(str(folder / name), consolidated=zarr_format == 2 or None, **where)
        stores[name] = {"axes": ["z", "y", "x"], "levels": [described(image) for image in images]}
    xr.open_zarr(str(folder / "v2.zarr"))
    print(json.dumps({"stores": stores}))


main(Path(sys.argv[1]))
