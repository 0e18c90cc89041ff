"""Layouts between us and other people's software: theirs read by ours, ours read by theirs.

    python interop/layouts.py [PEER ...]

Each peer runs in its own environment (`environments.py`); `peers.py` is the table of them. A writer is called with a folder and prints what it
wrote as one JSON line: path of a store -> its levels (shape, sha256 of the samples, scale, translation) with `axes` and `units`, all as its own
library has them. A reader is called with a folder and prints the same of what it found there. Writes `interop/layouts/<layout>.<peer>.json`, of
which `docs/generate.py` makes the table of `docs/layouts/index.md`; exits 1 when something differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import environments
import numpy as np
from peers import PEERS, Peer
from readers.common import digest

import ziggurat as zg
from ziggurat.layouts.units import long_unit

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "layouts"
TOLERANCE = 1e-9


def called(peer: Peer, folder: str, script: str, *arguments: str) -> dict[str, Any]:
    """Returns the last line that a script of a peer prints. Raises CalledProcessError."""
    command = [environments.python_of(peer.environment), str(HERE / folder / script), *arguments]
    # the scripts share `readers/common.py`, and see nothing of the project itself
    environment = {**os.environ, "PYTHONPATH": str(HERE / "readers")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE / folder, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def theirs(peer: Peer, folder: Path) -> list[str]:
    """Reads what a peer wrote. Returns what differs; nothing when all is as the peer says."""
    said = called(peer, "writers", peer.writer or "", str(folder))
    stores: Mapping[str, Any] = said.get("stores") or {said.get("path", ""): said}
    wrong = []
    for path, meant in stores.items():
        pyramid = opened(peer, folder, path)
        if peer.layout not in {name.partition("@")[0] for name in pyramid.layouts}:
            wrong.append(f"{path}: claimed by {', '.join(pyramid.layouts)}")
        wrong += [f"{path}: {difference}" for difference in differences(pyramid, meant if isinstance(meant, dict) else {"levels": meant})]
    for path, names in said.get("collections", {}).items():
        found = list(zg.open_collection(folder / path, allow_links=True))
        wrong += [] if found == names else [f"{path}: holds {found} and {names}"]
    return wrong


def opened(peer: Peer, folder: Path, path: str) -> zg.Pyramid:
    """Opens a store of a peer; `STORE::MEMBER` is a member of a collection."""
    place, _, member = path.partition("::")
    try:
        return zg.open(folder / place, allow_links=True, multiscale=member or None)
    except FileNotFoundError:  # nothing declares it: it is read on request
        return zg.open(folder / place, allow_links=True, layout=peer.layout)


def ours(peer: Peer, folder: Path) -> list[str]:
    """Has a peer read what we wrote. Returns what differs from what we know of it."""
    if peer.make is None:
        raise ValueError(f"{peer.name}: a reader, and nothing is written for it")
    wrong = []
    for path, pyramid in peer.make(folder).items():
        said = called(peer, "readers", peer.reader or "", str(folder / path))
        wrong += [] if said.get("valid", True) else [f"{path}: not valid: {said.get('why', '')}"]
        wrong += [f"{path}: {said['error']}"] if "error" in said else [f"{path}: {difference}" for difference in differences(pyramid, said)]
    return wrong


def differences(pyramid: zg.Pyramid, meant: Mapping[str, Any]) -> list[str]:
    """Returns in what a pyramid is other than what a peer says of it; what a peer does not say is not compared."""
    levels: Sequence[Mapping[str, Any]] = meant.get("levels", [])
    wrong = [] if len(pyramid) == len(levels) else [f"{len(pyramid)} levels and {len(levels)}"]
    names, units = [axis.name for axis in pyramid.axes], [long_unit(axis.unit) for axis in pyramid.axes]
    if meant.get("axes") is not None and names != list(meant["axes"]):
        wrong.append(f"axes {names} and {meant['axes']}")
    if meant.get("units") is not None and units != [long_unit(unit) for unit in meant["units"]]:
        wrong.append(f"units {units} and {meant['units']}")
    for level, other in zip(pyramid, levels, strict=False):
        wrong += [f"level {level.index}: {difference}" for difference in level_differences(pyramid, level, other)]
    return wrong


def level_differences(pyramid: zg.Pyramid, level: zg.LevelView, meant: Mapping[str, Any]) -> list[str]:
    wrong = []
    for key in ("scale", "translation", "shape"):
        if meant.get(key) is not None and not same(getattr(level, key), meant[key]):
            wrong.append(f"{key} {list(getattr(level, key))} and {meant[key]}")
    if meant.get("matrix") is not None and not same(matrix_of(pyramid, level), meant["matrix"]):
        wrong.append(f"leads by {matrix_of(pyramid, level).tolist()} and {meant['matrix']}")
    for name, values in meant.get("coordinates", {}).items():
        wrong += [f"coordinates of {name}"] if not placed(pyramid, level, name, values) else []
    if meant.get("sha256") is not None:
        samples = np.asarray(level.array[...])
        wrong += [f"samples of {samples.dtype}"] if digest(samples) != meant["sha256"] else []
    return wrong


def same(found: Any, meant: Any) -> bool:
    return np.shape(found) == np.shape(meant) and np.allclose(found, meant, rtol=TOLERANCE, atol=TOLERANCE)


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
    return same(np.asarray(found, float), values)


def tried(what: Callable[[Peer, Path], list[str]], peer: Peer) -> dict[str, Any]:
    """Does one direction; an error is a result."""
    with tempfile.TemporaryDirectory(prefix="ziggurat-layouts-") as folder:
        try:
            wrong = what(peer, Path(folder))
        except subprocess.CalledProcessError as error:
            wrong = [(error.stderr or error.stdout).strip().splitlines()[-1][:300]]
        except (zg.ZigguratError, KeyError, ValueError) as error:
            wrong = [f"{type(error).__name__}: {error}"[:300]]
    print(f"{peer.layout:<12} {peer.name:<28} {what.__name__:<7} {'as it should be' if not wrong else '; '.join(wrong)}", flush=True)
    return {"ok": not wrong, "differences": wrong}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="*", help=f"of {', '.join(dict.fromkeys(peer.name for peer in PEERS))}; or names of layouts")
    wanted = set(parser.parse_args().peers)
    RESULTS.mkdir(exist_ok=True)
    good = True
    for peer in PEERS:
        if wanted and not wanted & {peer.name, peer.layout}:
            continue
        result: dict[str, Any] = {"peer": peer.name, "layout": peer.layout, "of": peer.of, "versions": environments.versions_of(peer.environment)}
        if peer.writer is not None:
            result["theirs read by ours"] = tried(theirs, peer)
        if peer.reader is not None:
            result["ours read by theirs"] = tried(ours, peer)
        good &= all(value["ok"] for value in result.values() if isinstance(value, dict) and "ok" in value)
        (RESULTS / f"{peer.layout}.{peer.name.replace(' ', '-')}.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
