"""Layouts between us and other people's software: theirs read by ours, ours read by theirs.

    python interop/layouts.py [PEER ...]

Each peer runs in its own environment (`environments.py`). A writer is called with a folder and prints what it wrote as one JSON line; a
reader is called with a folder and the path of a group, and prints what it found. Writes `interop/layouts/<peer>.json`, of which
`docs/generate.py` makes the table of `docs/layouts/index.md`; exits 1 when something differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environments
import numpy as np

import ziggurat as zg

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "layouts"
BASE = np.random.default_rng(50).integers(0, 60000, (20, 28, 36)).astype("uint16")
SCALE = (10.0, 8.0, 8.0)


@dataclass(frozen=True, slots=True)
class Peer:
    """One package, and what of it is called."""

    environment: str
    layout: str
    writer: str | None = None
    reader: str | None = None
    container: str | None = None
    """Of what we write for it."""


PEERS: Mapping[str, Peer] = {
    "cellmap-schemas": Peer("cellmap-schemas", "cosem", "cellmap_schemas_writer.py", "cellmap_schemas_reader.py", "n5"),
    "multiscale-spatial-image": Peer("multiscale-spatial-image", "datatree", "multiscale_spatial_image_writer.py"),
    "spatialdata": Peer("spatialdata", "spatialdata", "spatialdata_writer.py"),
    "xcube": Peer("xcube", "xcube", "xcube_writer.py", "xcube_reader.py"),
    "zarr-cm and geozarr-toolkit": Peer("geozarr", "geozarr", None, "geozarr_reader.py", "zarr3"),
    "topozarr": Peer("topozarr", "geozarr", "topozarr_writer.py"),
    "ndpyramid": Peer("ndpyramid", "ndpyramid", "ndpyramid_writer.py"),
    "rasterio": Peer("rasterio", "tiff", "rasterio_writer.py"),
    "tifffile": Peer("tifffile", "tiff", "tifffile_writer.py"),
    "webknossos": Peer("webknossos", "webknossos", "webknossos_writer.py"),
}
"""Peers whose scripts are not there yet are passed over, and are in no table."""


def called(peer: Peer, folder: str, script: str, *arguments: str) -> dict[str, Any]:
    """Returns the last line that a script of a peer prints. Raises CalledProcessError."""
    command = [environments.python_of(peer.environment), str(HERE / folder / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE / folder)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def theirs(peer: Peer, folder: Path) -> list[str]:
    """Reads what a peer wrote. Returns what differs; nothing when all is as the peer says."""
    said = called(peer, "writers", peer.writer or "", str(folder))
    stores: Mapping[str, Any] = said.get("stores") or {said.get("path", ""): said}
    wrong = []
    for path, meant in stores.items():
        try:
            pyramid = zg.open(folder / path, allow_links=True)
        except FileNotFoundError:  # nothing declares it: it is read on request
            pyramid = zg.open(folder / path, allow_links=True, layout=peer.layout)
        if pyramid.layout.partition("@")[0] != peer.layout:
            wrong.append(f"{path}: claimed by {pyramid.layout}")
        wrong += [f"{path}: {difference}" for difference in differences(pyramid, meant if isinstance(meant, list) else meant["levels"])]
    return wrong


def ours(peer: Peer, folder: Path) -> list[str]:
    """Has a peer read what we converted. Returns what differs from what we wrote."""
    built, target = folder / "built.zarr", folder / "ours"
    zg.build(BASE, built, scale=SCALE, unit="nanometer", axes="zyx", kind="image", levels=3)
    zg.convert(built, target, layout=peer.layout, container=peer.container)
    said = called(peer, "readers", peer.reader or "", str(target), "")
    return [*([] if said.get("valid", True) else [f"not valid: {said.get('why', '')}"]), *differences(zg.open(built), said.get("levels", []))]


def differences(pyramid: zg.Pyramid, levels: list[Mapping[str, Any]]) -> list[str]:
    wrong = [] if len(pyramid) == len(levels) else [f"{len(pyramid)} levels and {len(levels)}"]
    for level, meant in zip(pyramid, levels, strict=False):
        for key in ("scale", "translation", "shape"):
            if meant.get(key) is not None and not np.allclose(getattr(level, key), meant[key], rtol=1e-9, atol=1e-9):
                wrong.append(f"level {level.index}: {key} {list(getattr(level, key))} and {meant[key]}")
        if meant.get("matrix") is not None and not np.allclose(matrix_of(pyramid, level), meant["matrix"], rtol=1e-9, atol=1e-9):
            wrong.append(f"level {level.index}: leads by {matrix_of(pyramid, level).tolist()} and {meant['matrix']}")
        for name, values in meant.get("coordinates", {}).items():
            wrong += [f"level {level.index}: coordinates of {name}"] if not placed(pyramid, level, name, values) else []
        if meant.get("samples") is not None and not np.array_equal(np.asarray(level.array[...]), np.asarray(meant["samples"], level.dtype)):
            wrong.append(f"level {level.index}: samples")
        total = float(np.asarray(level.array[...]).sum(dtype="f8"))
        if meant.get("sum") is not None and not np.isclose(total, meant["sum"]):
            wrong.append(f"level {level.index}: samples sum up to {total} and {meant['sum']}")
    return wrong


def matrix_of(pyramid: zg.Pyramid, level: zg.LevelView) -> np.ndarray:
    """Returns the homogeneous matrix that leads from indices of samples to the world, its rotation or affinity included."""
    n = len(level.shape)
    whole = np.eye(n + 1)
    whole[:n] = np.column_stack([np.diag(level.scale), level.translation])
    world = np.eye(n + 1)
    if pyramid.multiscale.world is not None:
        rows = np.asarray(pyramid.multiscale.world)
        world[:n, : rows.shape[1]] = rows
    return world @ whole


def placed(pyramid: zg.Pyramid, level: zg.LevelView, name: str, values: list[Any]) -> bool:
    """True when an axis has the coordinates that a peer says; words are no coordinates."""
    axis = [a.name for a in pyramid.axes].index(name)
    if not all(isinstance(value, (int, float)) for value in values):
        return True
    irregular = level.level.coordinates.get(name)
    found = irregular if irregular is not None else level.translation[axis] + level.scale[axis] * np.arange(level.shape[axis])
    return bool(np.allclose(np.asarray(found, float), values, rtol=1e-9, atol=1e-9))


def tried(name: str, what: Callable[[Peer, Path], list[str]], peer: Peer) -> dict[str, Any]:
    """Does one direction; an error is a result."""
    with tempfile.TemporaryDirectory(prefix="ziggurat-layouts-") as folder:
        try:
            wrong = what(peer, Path(folder))
        except subprocess.CalledProcessError as error:
            wrong = [(error.stderr or error.stdout).strip().splitlines()[-1][:300]]
        except (zg.ZigguratError, KeyError, ValueError) as error:
            wrong = [f"{type(error).__name__}: {error}"[:300]]
    print(f"{name:<28} {what.__name__:<7} {'as it should be' if not wrong else '; '.join(wrong)}")
    return {"ok": not wrong, "differences": wrong}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peers", nargs="*", help=f"of {', '.join(PEERS)}")
    names = parser.parse_args().peers or list(PEERS)
    RESULTS.mkdir(exist_ok=True)
    good = True
    for name in names:
        peer = PEERS[name]
        writes = peer.writer is not None and (HERE / "writers" / peer.writer).exists()
        reads = peer.reader is not None and (HERE / "readers" / peer.reader).exists()
        if not (writes or reads):
            continue
        result: dict[str, Any] = {"peer": name, "layout": peer.layout, "versions": environments.versions_of(peer.environment)}
        if writes:
            result["theirs read by ours"] = tried(name, theirs, peer)
        if reads:
            result["ours read by theirs"] = tried(name, ours, peer)
        good &= all(value["ok"] for key, value in result.items() if isinstance(value, dict) and "ok" in value)
        (RESULTS / f"{name.replace(' ', '-')}.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
