"""The founding document at work on a real photograph: `make demo`.

Makes the tree of zarr-specs issue #50 (a gaussian and a laplacian multiscale that share one base), opens it, checks it, upgrades it, prints the
document's tree beside its own, and draws every level into one picture, read back with zarr-python alone.

usage: demo.py [FOLDER]      (default: a new folder `ziggurat-demo` beneath the current one)
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import zarr
from numpy.typing import NDArray

import ziggurat as zg

PHOTOGRAPH = Path(__file__).parent / "data" / "astronaut.png"
LEVELS = 5

# What the document's own tree lists beneath each array: the grid of its chunk files.
DOCUMENT = {
    "G1": (4, 2, 2),
    "G2": (2, 2, 1),
    "G3": (2, 1, 1),
    "G4": (1, 1, 1),
    "L1": (4, 2, 2),
    "L2": (2, 2, 1),
    "L3": (2, 1, 1),
    "L4": (1, 1, 1),
    "base": (2, 2, 2),
}

Picture = NDArray[np.uint8]


def make_base(store: Path) -> None:
    """Writes the photograph, tiled 2 x 2, as one Zarr v2 array called `base`: axes y, x, c."""
    photograph = np.tile(imagecodecs.imread(PHOTOGRAPH), (2, 2, 1))
    group = zarr.create_group(store, zarr_format=2, overwrite=True)
    base = group.create_array("base", shape=photograph.shape, chunks=(512, 512, 3), dtype=photograph.dtype, chunk_key_encoding={"name": "v2", "separator": "."})
    base.attrs["_ARRAY_DIMENSIONS"] = ["y", "x", "c"]
    base[...] = photograph


def tree(store: Path) -> list[str]:
    """Returns one line per array: its name and its chunk files, first and last."""
    lines = []
    for folder in sorted(p for p in store.iterdir() if p.is_dir()):
        files = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        lines.append(f"├── {folder.name:<5} {files[0]} ... {files[-1]}   ({files_text(len(files))})")
    return lines


def document_tree() -> list[str]:
    return [f"├── {name:<5} 0.0.0 ... {'.'.join(str(n - 1) for n in grid)}   ({files_text(int(np.prod(grid)))})" for name, grid in sorted(DOCUMENT.items())]


def files_text(n: int) -> str:
    return "1 file" if n == 1 else f"{n} files"


def to_picture(level: NDArray[np.generic]) -> Picture:
    """Returns a level as 8-bit RGB, scaled by its own range: a laplacian level is grey where nothing changes."""
    values = np.asarray(level, np.float64)
    low, high = float(values.min()), float(values.max())
    return np.rint((values - low) / ((high - low) or 1) * 255).astype(np.uint8)


def contact_sheet(store: Path) -> Picture:
    """Returns every level of both series at its own size, one series per row, read with zarr-python alone."""
    group = zarr.open_group(store, mode="r")
    gap, rows = 12, []
    for letter in "GL":
        levels = [to_picture(np.asarray(group[name][...])) for name in ["base", *(f"{letter}{k}" for k in range(1, LEVELS))]]
        row = np.full((levels[0].shape[0], sum(p.shape[1] + gap for p in levels), 3), 255, np.uint8)
        at = 0
        for picture in levels:
            row[: picture.shape[0], at : at + picture.shape[1]] = picture
            at += picture.shape[1] + gap
        rows += [row, np.full((gap, row.shape[1], 3), 255, np.uint8)]
    sheet = np.concatenate(rows)
    return np.rint(sheet.reshape(sheet.shape[0] // 2, 2, sheet.shape[1] // 2, 2, 3).mean((1, 3))).astype(np.uint8)  # half size: a picture for a page


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "ziggurat-demo")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("example.zarr", "upgraded.zarr"):
        shutil.rmtree(folder / name, ignore_errors=True)
    store = folder / "example.zarr"
    say = lambda text: print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}")  # noqa: E731

    say("1. A photograph, tiled 2 x 2, as one array; then two multiscales of it, sharing the base")
    make_base(store)
    print(zg.build(store / "base", reduction="gaussian", names="G{k}", name="gaussian", axes="yxc", levels=LEVELS, layout="multiscales@0.1"))
    print()
    print(zg.build(store / "base", reduction="laplacian", names="L{k}", name="laplacian", axes="yxc", levels=LEVELS, layout="multiscales@0.1", add=True))

    say("2. The document's tree                            and this one")
    for theirs, ours in zip(document_tree(), tree(store), strict=True):
        print(f"{theirs:<50}{ours}")

    say("3. Opened: by name, by index, by type")
    for name in ("gaussian", "laplacian"):
        print(zg.open(store, multiscale=name))
        print()
    base, rebuilt = zg.open(store).levels[0].array[...], zg.open(store, multiscale="laplacian").reconstruct(1)
    difference = np.abs(rebuilt - zg.open(store).levels[1].array[...].astype(float)).max()
    print(f"laplacian levels summed up again, against G1: largest difference {difference:.3g} of {base.max()} grey levels")

    say("4. Upgraded")
    try:
        zg.upgrade(store, to="ome-zarr@0.5", dest=folder / "impossible.zarr")
    except zg.ZigguratError as error:
        print(f"refused, as it must be: {error}")
    upgraded = zg.upgrade(store, to="ome-zarr@0.5", dest=folder / "upgraded.zarr", transpose="cyx")
    print(f"so transposed into a new store: {upgraded.target}")
    print(zg.open(folder / "upgraded.zarr"))

    say("5. Every level, read back with zarr-python")
    picture = folder / "levels.png"
    picture.write_bytes(imagecodecs.png_encode(contact_sheet(store)))
    print(f"{picture}: base and G1-G4 above, base and L1-L4 below, each scaled by its own range")

    say("6. Checked")
    ok = True
    for place in (store, folder / "upgraded.zarr"):
        report = zg.check(place)
        ok = ok and report.ok
        print(report, end="\n\n")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
