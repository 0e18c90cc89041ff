"""yaozarrs: a plate, a bioformats2raw collection and an image with labels, by its builders. `FOLDER`; prints one JSON line of what it reads back."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaozarrs
from common import level
from yaozarrs import v05
from yaozarrs.write.v05 import write_bioformats2raw, write_image, write_plate


def multiscale(kind: Any, **more: Any) -> Any:
    """Returns a model with two levels."""
    datasets = [
        v05.Dataset(
            path=str(k),
            coordinateTransformations=[
                v05.ScaleTransformation(scale=[0.5 * 2**k, 0.25 * 2**k]),
                v05.TranslationTransformation(translation=[10 + 0.25 * k, 0.125 * k]),
            ],
        )
        for k in range(2)
    ]
    axes = [v05.SpaceAxis(name=name, unit="micrometer") for name in "yx"]
    return kind(multiscales=[v05.Multiscale(axes=axes, datasets=datasets)], **more)


def described(path: Path) -> dict[str, Any]:
    group = yaozarrs.validate_zarr_store(str(path))
    held = group.ome_metadata().multiscales[0]
    steps = [(dataset.path, *dataset.coordinateTransformations) for dataset in held.datasets]
    levels = [level(group[name].to_zarr_python()[...], scale.scale, moved.translation) for name, scale, moved in steps]
    return {"axes": [axis.name for axis in held.axes], "units": [axis.unit for axis in held.axes], "levels": levels}


def main(folder: Path) -> None:
    random = np.random.default_rng(7)

    def samples(dtype: str = "uint16") -> list[Any]:
        return [random.integers(0, 200, shape).astype(dtype) for shape in ((40, 50), (20, 25))]

    fields = [("A", "1", "0"), ("A", "1", "1"), ("B", "2", "0")]
    write_plate(folder / "plate.zarr", {field: (multiscale(v05.Image), samples()) for field in fields})
    write_bioformats2raw(folder / "series.zarr", {name: (multiscale(v05.Image), samples()) for name in "01"})
    labels = (multiscale(v05.LabelImage, **{"image-label": {}}), samples("uint32"))
    write_image(folder / "image.zarr", multiscale(v05.Image), samples(), labels={"cells": labels})
    members = {"plate.zarr": ["/".join(field) for field in fields], "series.zarr": ["0", "1"], "image.zarr": ["labels/cells"]}
    for store in members:
        yaozarrs.validate_zarr_store(str(folder / store))
    stores = {f"{store}::{name}": described(folder / store / name) for store, names in members.items() for name in names}
    print(json.dumps({"stores": stores, "collections": members}))


main(Path(sys.argv[1]))
