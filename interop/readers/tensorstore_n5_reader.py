"""tensorstore reads arrays and attributes of a COSEM multiscale that others wrote in N5. `FOLDER GROUP`; prints one JSON line."""

import json
import sys
from pathlib import Path
from typing import Any

import tensorstore as ts
from common import cosem


def main(folder: str, path: str = "") -> None:
    def samples(name: str) -> Any:
        # it has the axes in the order of N5
        return ts.open({"driver": "n5", "kvstore": {"driver": "file", "path": str(Path(folder) / path / name) + "/"}}, read=True).result().read().result().T

    print(json.dumps(cosem(json.loads((Path(folder) / path / "attributes.json").read_text()), samples)))


main(*sys.argv[1:])
