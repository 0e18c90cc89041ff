"""xcube: `open_data` of its file store, of a folder `*.levels`. `FOLDER.levels GROUP`; prints one JSON line of what it holds of each level."""

import json
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

from common import digest  # noqa: E402
from xcube.core.store import new_data_store  # noqa: E402 - its imports warn of their own dependencies


def main(path: Path) -> None:
    opened = new_data_store("file", root=str(path.parent)).open_data(path.name)
    levels = []
    for index in range(opened.num_levels):
        dataset = opened.get_dataset(index)
        image = next(variable for variable in dataset.data_vars.values() if variable.ndim >= 2)
        axes = list(map(str, image.dims))
        units = [image.coords[dim].attrs.get("units") for dim in axes]
        held = {dim: image.coords[dim].values.tolist() for dim in axes}
        levels.append({"shape": list(image.shape), "coordinates": held, "sha256": digest(image.values)})
    print(json.dumps({"axes": axes, "units": units, "levels": levels}))


main(Path(sys.argv[1]))
