"""multiscale-spatial-image: `to_multiscale` and `.msi.to_zarr`, in Zarr v2 and v3; a plain DataTree without any marker beside them.

    multiscale_spatial_image_writer.py FOLDER

Writes stores into FOLDER and prints one line of JSON: name of a store -> what its own library holds of each level.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from common import digest
from multiscale_spatial_image import Methods, to_multiscale
from spatial_image import to_spatial_image


def described(tree: Any, variable: str) -> dict[str, Any]:
    """Returns axes, units, and of each level coordinates and samples, as the library has them in memory."""
    levels = []
    for child in tree.children.values():
        array = child.ds[variable]
        coordinates = {str(dim): child.ds[dim].values.tolist() for dim in array.dims if dim in child.ds.coords}
        levels.append({"shape": list(array.shape), "coordinates": coordinates, "sha256": digest(array.values)})
        axes = list(map(str, array.dims))
        units = [child.ds[dim].attrs.get("units") or None if dim in child.ds.coords else None for dim in axes]
    return {"axes": axes, "units": units, "levels": levels}


def main() -> None:
    folder = Path(sys.argv[1])
    random = np.random.default_rng(50)
    stores: dict[str, Any] = {}

    samples = random.integers(0, 4000, (12, 20, 28)).astype("uint16")
    image = to_spatial_image(
        samples,
        dims=("z", "y", "x"),
        scale={"z": 2.0, "y": 0.5, "x": 0.25},
        translation={"z": 10.0, "y": -3.0, "x": 7.5},
        axis_units=dict.fromkeys("zyx", "micrometer"),
    )
    tree = to_multiscale(image, [2, 4], method=Methods.DASK_IMAGE_NEAREST)
    tree.msi.to_zarr(str(folder / "msi_v2.zarr"))
    stores["msi_v2.zarr"] = described(tree, "image")
    tree = to_multiscale(image, [2, {"x": 4, "y": 2, "z": 4}], method=Methods.DASK_IMAGE_GAUSSIAN)
    tree.msi.to_zarr(str(folder / "msi_v3.zarr"), zarr_format=3)
    stores["msi_v3.zarr"] = described(tree, "image")

    colours = to_spatial_image(random.integers(0, 255, (20, 28, 3)).astype("uint8"), dims=("y", "x", "c"), c_coords=["red", "green", "blue"])
    tree = to_multiscale(colours, [2], method=Methods.DASK_IMAGE_NEAREST)
    tree.msi.to_zarr(str(folder / "msi_yxc.zarr"))
    stores["msi_yxc.zarr"] = described(tree, "image")

    levels = {}
    for k in range(3):
        n = 16 >> k
        levels[f"scale{k}"] = xr.Dataset(
            {"a": (("t", "y", "x"), random.random((2, n, n))), "b": (("y", "x"), random.random((n, n)).astype("float32"))},
            coords={
                "t": np.array(["2020-01-01", "2020-01-03"], "datetime64[ns]"),
                "y": (np.arange(n) * 2**k + (2**k - 1) / 2),
                "x": (np.cumsum(np.arange(n)) * 1.0),
            },
        )
    plain = xr.DataTree.from_dict(levels)
    plain.to_zarr(str(folder / "plain.zarr"), zarr_format=3)
    held = described(xr.DataTree.from_dict({k: v.drop_vars("t") for k, v in levels.items()}), "a")
    # xarray makes the units of dates when it writes them
    stores["plain.zarr"] = {key: value for key, value in held.items() if key != "units"}
    print(json.dumps({"stores": stores}))


main()
