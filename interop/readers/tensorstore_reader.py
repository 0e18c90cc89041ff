"""tensorstore: each level through its zarr3 or zarr driver, the group's document through its key-value store."""

import json

import tensorstore as ts
from common import Level, datasets, level, main


def read(path: str) -> list[Level]:
    store = ts.KvStore.open({"driver": "file", "path": path + "/"}).result()
    document = store.read("zarr.json").result()
    is_v3 = document.state == "value"
    attributes = json.loads(document.value)["attributes"] if is_v3 else json.loads(store.read(".zattrs").result().value)
    levels = []
    for name, scale, translation in datasets(attributes):
        spec = {"driver": "zarr3" if is_v3 else "zarr", "kvstore": {"driver": "file", "path": f"{path}/{name}"}}
        levels.append(level(ts.open(spec, read=True).result().read().result(), scale, translation))
    return levels


main(read)
