"""tifffile: OME-TIFF with SubIFDs. `FOLDER`; prints one JSON line: what tifffile itself reads of each level."""

import json
import sys
from pathlib import Path

import numpy as np
import tifffile
from common import level


def main(folder: Path) -> None:
    base = np.random.default_rng(7).integers(0, 4000, (3, 2, 64, 96)).astype("uint16")
    path = folder / "subifds.ome.tif"
    with tifffile.TiffWriter(path) as writer:
        metadata = {"axes": "ZCYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.2, "PhysicalSizeZ": 2.0}
        writer.write(base, subifds=2, tile=(32, 32), metadata=metadata, compression="zlib")
        for k in (2, 4):
            writer.write(base[..., ::k, ::k], subfiletype=1, tile=(32, 32), compression="zlib")
    levels = []
    with tifffile.TiffFile(path) as file:
        for k, stored in enumerate(file.series[0].levels):
            f = 2**k
            levels.append(level(stored.asarray(), [2.0, 1.0, 0.2 * f, 0.1 * f], [0.0, 0.0, 0.2 * (f - 1) / 2, 0.1 * (f - 1) / 2]))
    print(json.dumps({"stores": {path.name: {"axes": list("zcyx"), "units": ["um", None, "um", "um"], "levels": levels}}}))


main(Path(sys.argv[1]))
