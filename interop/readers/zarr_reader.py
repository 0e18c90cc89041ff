"""zarr-python: group, attributes and arrays."""

import zarr
from common import Level, datasets, level, main


def read(path: str) -> list[Level]:
    group = zarr.open_group(path, mode="r")
    return [level(group[name][...], scale, translation) for name, scale, translation in datasets(dict(group.attrs))]


main(read)
