"""neuroglancer-scripts: `volume-to-precomputed --generate-info`, `generate-scales-info` and `compute-scales` of a NIfTI. `FOLDER`; prints one JSON line."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
from common import level
from neuroglancer_scripts import accessor, precomputed_io

SCRIPTS = Path(sys.executable).parent


def main(folder: Path) -> None:
    # voxels of a tenth of a millimeter and more, the affinity of NIfTI in millimeters
    samples = np.random.default_rng(7).integers(0, 4000, (150, 140, 70)).astype("uint16")
    image = nibabel.Nifti1Image(samples, np.diag([0.1, 0.1, 0.2, 1.0]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, folder / "volume.nii.gz")
    target = folder / "volume"

    def run(*words: object) -> None:
        subprocess.run([str(SCRIPTS / str(words[0])), *map(str, words[1:])], check=True, capture_output=True, text=True)

    run("volume-to-precomputed", "--generate-info", folder / "volume.nii.gz", target)
    run("generate-scales-info", target / "info_fullres.json", target)
    run("volume-to-precomputed", "--flat", "--no-gzip", folder / "volume.nii.gz", target) if (target / "info").exists() else None
    run("compute-scales", "--flat", "--no-gzip", target)
    with contextlib.redirect_stdout(io.StringIO()):
        opened = precomputed_io.get_IO_for_existing_dataset(accessor.get_accessor_for_url(str(target), {"flat": True, "gzip": False}))
    levels = []
    for scale in opened.info["scales"]:
        (n_x, n_y, n_z), (c_x, c_y, c_z) = scale["size"], scale["chunk_sizes"][0]
        whole = np.zeros((1, n_z, n_y, n_x), samples.dtype)
        for x, y, z in np.ndindex(-(-n_x // c_x), -(-n_y // c_y), -(-n_z // c_z)):
            box = (x * c_x, min(n_x, (x + 1) * c_x), y * c_y, min(n_y, (y + 1) * c_y), z * c_z, min(n_z, (z + 1) * c_z))
            whole[:, box[4] : box[5], box[2] : box[3], box[0] : box[1]] = opened.read_chunk(scale["key"], box)
        steps = scale["resolution"][::-1]
        corner = [o * s for o, s in zip(scale["voxel_offset"][::-1], steps, strict=True)]
        levels.append(level(whole[0], steps, [c + s / 2 for c, s in zip(corner, steps, strict=True)]))
    print(json.dumps({"stores": {"volume": {"axes": ["z", "y", "x"], "units": ["nanometer"] * 3, "levels": levels}}}))


main(Path(sys.argv[1]))
