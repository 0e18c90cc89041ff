"""pybdv: setups with BigDataViewer's XML in N5, samples through z5py. `FOLDER`; prints one JSON line of what z5py and pybdv read of it."""

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import z5py
from common import level
from pybdv import make_bdv
from pybdv.metadata import get_affine, get_data_path, get_resolution

FACTORS = [[2, 2, 2], [1, 2, 2]]
RESOLUTION = [4.0, 0.5, 0.25]


def described(xml: Path, setup: int, timepoint: int) -> dict[str, Any]:
    """Returns the levels of one setup at one timepoint; BigDataViewer reduces about the centres of blocks."""
    file = z5py.File(get_data_path(str(xml), return_absolute_path=True), mode="r")
    step = np.array(get_resolution(str(xml), setup))
    # the rows of the matrix are x, y, z; a voxel size is part of it
    affine = np.array(next(iter(get_affine(str(xml), setup, timepoint).values()))).reshape(3, 4)
    shift = affine[::-1, 3]
    step = np.diagonal(affine)[::-1]
    levels, whole = [], np.ones(3)
    for k in range(len(FACTORS) + 1):
        whole = whole * (FACTORS[k - 1] if k else 1)
        levels.append(level(file[f"setup{setup}/timepoint{timepoint}/s{k}"][:], step * whole, shift + step * (whole - 1) / 2))
    return {"axes": ["z", "y", "x"], "units": ["micrometer"] * 3, "levels": levels}


def main(folder: Path) -> None:
    random = np.random.default_rng(7)
    stores = {}
    shape = (20, 44, 60)
    path = folder / "data.n5"
    moved = [0.25, 0.0, 0.0, 5.0, 0.0, 0.5, 0.0, -3.0, 0.0, 0.0, 4.0, 11.0]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for setup, timepoint, affine in ((0, 0, None), (0, 1, None), (1, 0, moved)):
            samples = random.integers(0, 60000, shape).astype("uint16")
            said = {"downscale_factors": FACTORS, "downscale_mode": "mean", "resolution": RESOLUTION, "unit": "micrometer", "affine": affine}
            make_bdv(samples, str(path), setup_id=setup, timepoint=timepoint, setup_name=f"part {setup}", chunks=(8, 16, 16), **said)
            stores[f"data.n5/setup{setup}/timepoint{timepoint}"] = (setup, timepoint)
    print(json.dumps({"stores": {name: described(path.with_suffix(".xml"), *view) for name, view in stores.items()}}))


main(Path(sys.argv[1]))
