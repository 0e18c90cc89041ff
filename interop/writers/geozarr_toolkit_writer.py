"""geozarr-toolkit: the attributes of a group by its `create_*` functions, judged by its models; arrays by zarr. `FOLDER`; prints one JSON line."""

import json
import sys
from pathlib import Path

import numpy as np
import zarr
from common import digest
from geozarr_toolkit import MultiscalesConventionMetadata, create_geozarr_attrs, create_multiscales_layout, create_zarr_conventions
from geozarr_toolkit.helpers.validation import validate_group

STEP, LEFT, TOP = 10.0, 300000.0, 5000000.0


def main(folder: Path) -> None:
    base = np.random.default_rng(7).integers(0, 60000, (64, 96)).astype("uint16")
    group = zarr.open_group(str(folder / "made.zarr"), mode="w", zarr_format=3)
    entries, levels = [], []
    for k in range(3):
        f = 2**k
        stored = group.create_array(str(k), data=base[::f, ::f], dimension_names=["y", "x"])
        transform = [STEP * f, 0.0, LEFT, 0.0, -STEP * f, TOP]
        entry = {"asset": str(k), "spatial:shape": list(stored.shape), "spatial:transform": transform}
        derived = {"derived_from": str(k - 1), "transform": {"scale": [2.0, 2.0], "translation": [0.0, 0.0]}, "resampling_method": "nearest"}
        entries.append(entry | derived if k else entry)
        n_y, n_x = stored.shape
        held = {"y": (TOP - STEP * f * (np.arange(n_y) + 0.5)).tolist(), "x": (LEFT + STEP * f * (np.arange(n_x) + 0.5)).tolist()}
        levels.append({"shape": list(stored.shape), "coordinates": held, "sha256": digest(stored[...])})
    attributes = create_geozarr_attrs(["y", "x"], crs="EPSG:32633", transform=[STEP, 0.0, LEFT, 0.0, -STEP, TOP], shape=[64, 96])
    attributes["zarr_conventions"] += create_zarr_conventions(MultiscalesConventionMetadata())
    group.attrs.update(attributes | create_multiscales_layout(entries))
    wrong = {name: errors for name, errors in validate_group(group).items() if errors}
    if wrong:
        raise SystemExit(f"it does not hold what it wrote for valid: {wrong}")
    print(json.dumps({"stores": {"made.zarr": {"axes": ["y", "x"], "levels": levels}}}))


main(Path(sys.argv[1]))
