"""What every reader script shares: describe samples, read transformations out of a document, print one JSON line per target.

Runs inside the peers' environments: standard library and numpy only, and no ziggurat.
"""

from __future__ import annotations

import hashlib
import json
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Level = dict[str, Any]


def digest(samples: Any) -> str:
    """Returns sha256 of the samples in C order, little-endian."""
    import numpy as np

    array = np.asarray(samples)
    return hashlib.sha256(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()).hexdigest()


def level(samples: Any, scale: Sequence[float] | None = None, translation: Sequence[float] | None = None) -> Level:
    """Returns what a reader saw of one level; None where the peer gives nothing."""
    import numpy as np

    array = np.asarray(samples)
    return {
        "shape": list(array.shape),
        "sha256": digest(array),
        "scale": None if scale is None else [float(v) for v in scale],
        "translation": None if translation is None else [float(v) for v in translation],
    }


def datasets(attributes: Mapping[str, Any]) -> list[tuple[str, list[float] | None, list[float] | None]]:
    """Returns (path, scale, translation) of the datasets of a group's attributes, for peers that know arrays only."""
    multiscale = attributes.get("ome", attributes)["multiscales"][0]
    found = []
    for dataset in multiscale["datasets"]:
        scale = translation = None
        for step in dataset.get("coordinateTransformations", []):
            scale = step.get("scale", scale)
            translation = step.get("translation", translation)
        found.append((dataset["path"], scale, translation))
    return found


def cosem(attributes: Mapping[str, Any], samples: Callable[[str], Any]) -> dict[str, Any]:
    """Returns a COSEM multiscale as its attributes place it, for peers that know N5 alone."""
    entries = attributes["multiscales"][0]["datasets"]
    found = [level(samples(entry["path"]), entry["transform"]["scale"], entry["transform"]["translate"]) for entry in entries]
    return {"axes": entries[0]["transform"]["axes"], "units": entries[0]["transform"]["units"], "levels": found}


def main(read: Callable[[str], list[Level]]) -> None:
    """Calls `read` on each path of the command line; a line of JSON each, also when it raises."""
    for path in sys.argv[1:]:
        try:
            answer: dict[str, Any] = {"path": path, "levels": read(path)}
        except Exception as error:  # noqa: BLE001 - a peer may raise anything; what it raised is the result
            traceback.print_exc()
            answer = {"path": path, "error": f"{type(error).__name__}: {error}"[:1000]}
        print(json.dumps(answer), flush=True)
