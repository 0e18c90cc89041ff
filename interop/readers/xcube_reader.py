"""xcube: opens `*.levels` and prints what it holds of each level, as one line of JSON.

xcube_reader.py FOLDER.levels
"""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

from xcube.core.mldataset import FsMultiLevelDataset  # noqa: E402 - its imports warn of their own dependencies


def main() -> None:
    opened = FsMultiLevelDataset(sys.argv[1])
    levels = []
    for index in range(opened.num_levels):
        dataset = opened.get_dataset(index)
        coordinates = {str(name): values.values.astype(float).tolist() for name, values in dataset.coords.items() if values.dims == (name,)}
        variables = {str(name): variable.values.tolist() for name, variable in dataset.data_vars.items() if variable.ndim >= 2}
        levels.append({"coordinates": coordinates, "variables": variables})
    print(json.dumps({"levels": levels, "tile_size": list(opened.tile_size or ()), "agg_methods": dict(opened.agg_methods or {})}))


main()
