"""What a person waits for: real files in one command each, and the small commands.

    python benchmarks/real_inputs.py FOLDER [--small] [--repeats 3]     # writes benchmarks/real_inputs.json

A tiled BigTIFF of 1 GiB and a folder of 200 TIFF slices become pyramids by `ziggurat build FILE TARGET` with no option; `--help`,
`info` and the build of a 2048 x 2048 picture are timed whole, start-up included. Times are the best of the repeats (a person's
machine is quiet), memory is the largest.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pairs import PYTHON, ZIGGURAT, ensure_input
from process import Sample, measure

OUT = Path(__file__).resolve().with_suffix(".json")

PICTURE = "import numpy as np, sys; np.save(sys.argv[1], np.random.default_rng(0).integers(0, 4096, (2048, 2048)).astype('uint16') // 16 * 16)"


def best(command: Sequence[str | Path], repeats: int, before: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Runs a command several times; returns its best wall and CPU seconds and its largest peak."""
    samples: list[Sample] = []
    for _ in range(repeats):
        before()
        samples.append(measure(command))
    return {
        "wall_seconds": round(min(s.wall_seconds for s in samples), 3),
        "cpu_seconds": round(min(s.cpu_seconds for s in samples), 3),
        "peak_mib": round(max(s.peak_bytes for s in samples) / 2**20),
    }


def described(target: Path) -> dict[str, Any]:
    """Returns what `ziggurat info --json` says of a target: number of levels, and bytes on disk."""
    levels = sorted(p for p in target.iterdir() if (p / "zarr.json").exists())
    shape = json.loads((levels[0] / "zarr.json").read_text())["shape"]
    stored = sum(p.stat().st_size for p in target.rglob("*") if p.is_file())
    return {"shape": shape, "n_levels": len(levels), "stored_mib": round(stored / 2**20)}


def run(folder: Path, *, small: bool, repeats: int, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Measures everything and returns the rows by name."""
    rows: dict[str, Any] = {}
    for name, title in (("Btiff", "tiled BigTIFF"), ("slices", "folder of TIFF slices")):
        source = ensure_input(name, folder, small=small)
        target = folder / f"real-{name}.ome.zarr"

        def clean(target: Path = target) -> None:
            shutil.rmtree(target, ignore_errors=True)

        rows[title] = best([*ZIGGURAT, "build", source, target, "--quiet"], repeats, clean) | described(target)
        clean()
        say(f"{title}: {rows[title]}")
    picture = folder / "picture.npy"
    target = folder / "picture.ome.zarr"
    measure([PYTHON, "-c", PICTURE, picture])
    rows["build of a 2048 x 2048 picture"] = best(
        [*ZIGGURAT, "build", picture, target, "--quiet"], max(repeats, 5), lambda: shutil.rmtree(target, ignore_errors=True)
    )
    rows["info"] = best([*ZIGGURAT, "info", target], max(repeats, 9))
    rows["--help"] = best([*ZIGGURAT, "--help"], max(repeats, 9))
    shutil.rmtree(target, ignore_errors=True)
    picture.unlink()
    for name in ("build of a 2048 x 2048 picture", "info", "--help"):
        say(f"{name}: {rows[name]}")
    return rows


def save(rows: dict[str, Any]) -> None:
    """Writes the rows to benchmarks/real_inputs.json, from which docs and README are generated."""
    OUT.write_text(json.dumps({"date": datetime.date.today().isoformat(), "python": platform.python_version(), "rows": rows}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    rows = run(args.folder, small=args.small, repeats=args.repeats)
    if not args.small:
        save(rows)


if __name__ == "__main__":
    main()
