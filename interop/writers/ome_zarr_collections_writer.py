"""ome-zarr: a plate with wells, and an image with labels, in 0.4 and 0.5. `FOLDER`; prints one JSON line of what it reads back."""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import zarr  # noqa: E402
from common import datasets, level  # noqa: E402
from ome_zarr.format import FormatV04, FormatV05  # noqa: E402
from ome_zarr.io import parse_url  # noqa: E402
from ome_zarr.reader import Multiscales, Reader  # noqa: E402
from ome_zarr.writer import write_image, write_labels, write_plate_metadata, write_well_metadata  # noqa: E402

SAID: dict[str, Any] = {"axes": "yx", "scale_factors": [2, 4], "scale": {"y": 0.5, "x": 0.25}, "axes_units": {"y": "micrometer", "x": "micrometer"}}


def described(path: Path) -> dict[str, Any]:
    """Returns what its reader holds of a multiscale, placed by the attributes that it reads."""
    node = next(node for node in Reader(parse_url(path))() if node.zarr.basename() == path.name)
    held = node.load(Multiscales)
    places = datasets(held.zarr.root_attrs)
    levels = [level(array.compute(), scale, moved) for array, (_, scale, moved) in zip(node.data, places, strict=True)]
    axes = node.metadata["axes"]
    return {"axes": [axis["name"] for axis in axes], "units": [axis.get("unit") for axis in axes], "levels": levels}


def main(folder: Path) -> None:
    random = np.random.default_rng(7)
    members: dict[str, list[str]] = {}
    for fmt in (FormatV04(), FormatV05()):
        plate = f"plate-{fmt.version}.zarr"
        root = zarr.open_group(str(folder / plate), mode="w", zarr_format=fmt.zarr_format)
        write_plate_metadata(root, ["A", "B"], ["1", "2"], ["A/1", "B/2"], fmt=fmt, field_count=2)
        for well in ("A/1", "B/2"):
            group = root.require_group(well)
            write_well_metadata(group, ["0", "1"], fmt=fmt)
            for field in "01":
                write_image(random.integers(0, 200, (64, 48)).astype("uint16"), group.require_group(field), fmt=fmt, **SAID)
        members[plate] = [f"{well}/{field}" for well in ("A/1", "B/2") for field in "01"]
        image = f"image-{fmt.version}.zarr"
        root = zarr.open_group(str(folder / image), mode="w", zarr_format=fmt.zarr_format)
        write_image(random.integers(0, 200, (64, 48)).astype("uint16"), root, fmt=fmt, **SAID)
        write_labels(random.integers(0, 9, (64, 48)).astype("uint32"), root, name="cells", fmt=fmt, **SAID)
        members[image] = ["labels/cells"]
    stores = {f"{store}::{name}": described(folder / store / name) for store, names in members.items() for name in names}
    print(json.dumps({"stores": stores, "collections": members}))


main(Path(sys.argv[1]))
