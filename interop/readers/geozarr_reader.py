"""zarr-cm and geozarr-toolkit judge a GeoZarr group, zarr reads its samples. `FOLDER GROUP`; prints one JSON line."""

import json
import sys
from typing import Any

import numpy as np
import zarr
import zarr_cm
from common import digest
from geozarr_toolkit.helpers.validation import validate_group, validate_multiscales_structure


def main(folder: str, path: str = "") -> None:
    group: Any = zarr.open_group(folder, path=path, mode="r")
    attributes = group.attrs.asdict()
    document: Any = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    wrong = []
    for convention in (zarr_cm.multiscales, zarr_cm.spatial):
        try:
            convention.validate_group_metadata(document)
        except (ValueError, TypeError, KeyError) as error:
            wrong.append(f"zarr-cm: {error}")
    wrong += [f"geozarr-toolkit, {name}: {error}" for name, errors in validate_group(group).items() for error in errors]
    wrong += [f"geozarr-toolkit: {error}" for error in validate_multiscales_structure(group)[1]]
    levels = []
    for item in attributes["multiscales"]["layout"]:
        array = group[item["asset"]]
        samples = np.asarray(array[...])
        a, _, c, _, e, f = item["spatial:transform"]
        names = attributes["spatial:dimensions"]
        n_y, n_x = item["spatial:shape"]
        held = {names[0]: (f + e * (np.arange(n_y) + 0.5)).tolist(), names[1]: (c + a * (np.arange(n_x) + 0.5)).tolist()}
        levels.append({"shape": list(array.shape), "coordinates": held, "sha256": digest(samples)})
    print(json.dumps({"valid": not wrong, "why": "; ".join(wrong), "levels": levels}))


main(*sys.argv[1:])
