"""ngff-zarr: a plate in 0.4 and 0.5, images in 0.6, and zipped images `.ozx`. `FOLDER`; prints one JSON line of what it reads back."""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

import ngff_zarr as nz  # noqa: E402
import numpy as np  # noqa: E402
from common import level  # noqa: E402


def described(held: Any) -> dict[str, Any]:
    images = held.images
    levels = [level(image.data.compute(), [image.scale[d] for d in image.dims], [image.translation[d] for d in image.dims]) for image in images]
    units = images[0].axes_units or {}
    return {"axes": list(images[0].dims), "units": [units.get(dim) for dim in images[0].dims], "levels": levels}


def main(folder: Path) -> None:
    random = np.random.default_rng(7)

    def made(name: str = "image") -> Any:
        samples = random.integers(0, 4000, (20, 64, 96)).astype("uint16")
        place = {"scale": {"z": 2.0, "y": 0.5, "x": 0.25}, "translation": {"z": 7.0, "y": -3.0, "x": 1.5}}
        image = nz.to_ngff_image(samples, dims=["z", "y", "x"], axes_units=dict.fromkeys("zyx", "micrometer"), name=name, **place)
        return nz.to_multiscales(image, scale_factors=[2, 4], method=nz.Methods.ITKWASM_BIN_SHRINK, chunks=16)

    stores = {}
    for name, version in (("v06.ome.zarr", "0.6"), ("v05.ozx", "0.5"), ("v06.ozx", "0.6")):
        nz.to_ome_zarr(str(folder / name), made(), version=version)
        stores[name] = described(nz.from_ome_zarr(str(folder / name)))
    members = {}
    for version in ("0.4", "0.5"):
        name = f"plate-{version}.ome.zarr"
        wells = [nz.PlateWell(path="A/1", rowIndex=0, columnIndex=0), nz.PlateWell(path="B/2", rowIndex=1, columnIndex=1)]
        rows, columns = [nz.PlateRow(name=text) for text in "AB"], [nz.PlateColumn(name=text) for text in "12"]
        plate = nz.Plate(columns=columns, rows=rows, wells=wells, name="a plate", field_count=2, version=version)
        nz.to_hcs_zarr(nz.HCSPlate(str(folder / name), plate), str(folder / name))
        for row, column in (("A", "1"), ("B", "2")):
            for field in range(2):
                nz.write_hcs_well_image(str(folder / name), made(), plate, row, column, field, acquisition_id=None, version=version)
        members[name] = [f"{well}/{field}" for well in ("A/1", "B/2") for field in "01"]
        opened = nz.from_hcs_zarr(str(folder / name))
        for member in members[name]:
            row, column, field = member.split("/")
            stores[f"{name}::{member}"] = described(opened.get_well(row, column).get_image(int(field)))
    print(json.dumps({"stores": stores, "collections": members}))


main(Path(sys.argv[1]))
