"""Forensics: does `check --deep` name what other people's software did to a photograph, and where it put the pixels?

    python interop/forensics.py [--only TOOL ...]          # writes docs/forensics.md and interop/forensics.json

Each tool reduces two images in its own environment with each of its methods: a photograph, of which `ziggurat.provenance.explain` sees
the samples alone; and two ramps (value = y, value = x), which tell by their values where the samples really lie. What is named is
compared with what the method's own documentation says that it is, the place with the ramps.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environments
import numpy as np

from ziggurat.provenance import explain
from ziggurat.provenance.explaining import places_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "forensics.json"
N_LEVELS = 4
EDGE = 4
"""Samples of the ramps left out at either end, where kernels bend."""
CLOSE = 0.15
"""Base samples, per level of depth, within which a place counts as found."""
BENT = 0.3
"""A ramp that is off a straight line by more base samples than this per level tells no place: the tool does not put its samples on a grid."""

MEAN, STRIDE, MODE, FILTER = ("mean",), ("stride",), ("mode",), ("filter",)


@dataclass(frozen=True, slots=True)
class Maker:
    """One tool with one of its methods, and what its documentation says the method is, in our words."""

    tool: str
    method: str
    means: tuple[str, ...]
    script: str = ""
    labels: bool = False
    """True where the method is for labels: it sees the photograph in 16 classes."""


MAKERS: Sequence[Maker] = (
    Maker("ome-zarr", "resize", FILTER),
    Maker("ome-zarr", "local_mean", MEAN),
    Maker("ome-zarr", "nearest", STRIDE),
    Maker("ome-zarr", "zoom", FILTER),
    Maker("ngff-zarr", "ITKWASM_GAUSSIAN", FILTER),
    Maker("ngff-zarr", "ITKWASM_BIN_SHRINK", MEAN),
    Maker("ngff-zarr", "ITKWASM_LABEL_IMAGE", ("mode", "stride"), labels=True),
    Maker("ngff-zarr", "DASK_IMAGE_GAUSSIAN", FILTER),
    Maker("ngff-zarr", "DASK_IMAGE_MODE", MODE, labels=True),
    Maker("ngff-zarr", "DASK_IMAGE_NEAREST", STRIDE),
    Maker("dyna-zarr", "mean", MEAN),
    Maker("topozarr", "mean", MEAN),
    Maker("topozarr", "max", ("max",)),
    Maker("topozarr", "min", ("min",)),
    Maker("topozarr", "nearest", STRIDE),
    Maker("xcube", "first", STRIDE),
    Maker("xcube", "mean", MEAN),
    Maker("xcube", "median", ("median",)),
    Maker("xcube", "mode", MODE, labels=True),
    Maker("GDAL", "nearest", STRIDE, "rasterio"),
    Maker("GDAL", "average", MEAN, "rasterio"),
    Maker("GDAL", "bilinear", FILTER, "rasterio"),
    Maker("GDAL", "cubic", FILTER, "rasterio"),
    Maker("GDAL", "gauss", FILTER, "rasterio"),
    Maker("GDAL", "mode", MODE, "rasterio", labels=True),
    Maker("scikit-image", "pyramid_reduce", FILTER),
    Maker("scikit-image", "resize", FILTER),
    Maker("scikit-image", "rescale, order 0", STRIDE),
    Maker("scikit-image", "block_reduce, mean", MEAN),
    Maker("scikit-image", "block_reduce, max", ("max",)),
)
SIZES = (256, 203)
"""Sides of the square image: one that halves evenly, one that does not."""


def photograph(size: int, *, labels: bool) -> Any:
    """A corner of the photograph that the examples ship, grey; in 16 classes for labels."""
    import imagecodecs

    whole = np.asarray(imagecodecs.imread(ROOT / "examples" / "data" / "astronaut.png"))
    grey = whole[:size, 100 : 100 + size].astype(np.uint16).sum(axis=-1) // 3
    return (grey // 16).astype(np.uint8) if labels else grey.astype(np.uint8)


def ramp(size: int, axis: int) -> Any:
    """Values are the samples' own coordinates along one axis, times 64, so that what is rounded to integers is a 64th of a sample."""
    shape = [1, 1]
    shape[axis] = size
    return np.broadcast_to(np.arange(size, dtype=np.uint16).reshape(shape) * 64, (size, size)).copy()


def levels_by(maker: Maker, base: Any, folder: Path) -> list[Any]:
    """Runs a maker in its environment; returns its levels above the base. Raises RuntimeError with what it said."""
    environment = maker.script or maker.tool
    np.save(folder / "base.npy", base)
    for old in folder.glob("level-*.npy"):
        old.unlink()
    job = {"input": str(folder / "base.npy"), "folder": str(folder), "method": maker.method, "n_levels": N_LEVELS}
    script = HERE / "makers" / f"{maker.tool.lower().replace('-', '_')}_maker.py"
    command = [environments.python_of(environment), "-W", "ignore", str(script), json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=600)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no reason given"])[-1][-200:])
    return [np.load(folder / f"level-{k}.npy") for k in range(1, N_LEVELS)]


Truth = list[tuple[Any, Any, float]]
"""Per axis: indices of samples of a level, their places in the base, and how far these are from a straight line (root mean square), in base samples."""


def _rms(values: Any) -> float:
    return float(np.sqrt((values**2).mean()))


def truth(ramps: Sequence[Sequence[Any]]) -> list[Truth]:
    """Returns where the samples of each level lie, as the ramps' values tell."""
    found = []
    for k in range(N_LEVELS - 1):
        axes = []
        for axis in range(2):
            values = np.moveaxis(np.asarray(ramps[axis][k], np.float64), axis, 0) / 64
            row = values[:, values.shape[1] // 2]
            j = np.arange(len(row))[EDGE:-EDGE] if len(row) > 3 * EDGE else np.arange(len(row))
            step, first = np.polyfit(j, row[j], 1)
            axes.append((j, row[j], _rms(first + step * j - row[j])))
        found.append(axes)
    return found


def measured(maker: Maker, size: int, folder: Path) -> list[dict[str, Any]]:
    """Returns per level what was named and placed, and what is true."""
    base = photograph(size, labels=maker.labels)
    levels = [base, *levels_by(maker, base, folder)]
    picks = set(maker.means) & {"min", "max", "mode"}  # whose ramps show the sample that was picked; by definition they lie in the middle of their windows
    real = None if picks else truth([levels_by(maker, ramp(size, axis), folder) for axis in range(2)])
    explained = [explain(levels, k) for k in range(1, N_LEVELS)]
    rows = []
    for e, place, axes in zip(
        explained, places_of(explained), real or _in_the_middle([level.shape for level in levels], stretched=maker.tool == "GDAL"), strict=True
    ):
        off, bent = None, max(b for _, _, b in axes)
        if place is not None:
            off = max(_rms(place[0][a] + place[1][a] * j - lies) for a, (j, lies, _) in enumerate(axes))
        rows.append({"level": e.level, "names": e.names, "how": e.how, "exact": e.exact, "off": off, "bent": bent, "why_not": e.why_not})
    return rows


def _in_the_middle(shapes: Sequence[tuple[int, ...]], *, stretched: bool) -> list[Truth]:
    """Returns the middles of windows: of 2, 4, 8 base samples, or (GDAL) of as many as make the corners of all levels coincide."""
    found = []
    for k, shape in enumerate(shapes[1:], start=1):
        steps = [n / m if stretched else 2.0**k for n, m in zip(shapes[0], shape, strict=True)]
        found.append([(j := np.arange(m), (j + 0.5) * step - 0.5, 0.0) for m, step in zip(shape, steps, strict=True)])
    return found


def verdict(maker: Maker, row: Mapping[str, Any]) -> tuple[str, str]:
    """Returns (name, place), each `right`, `untold` or `wrong`."""
    names = set(row["names"])
    name = "untold" if not names else "right" if names & set(maker.means) else "wrong"
    if row["off"] is None:
        return name, "untold"
    step = 2.0 ** row["level"]
    anywhere = step / 2 if set(maker.means) == set(MODE) else 0.0  # the sample that is most frequent lies anywhere in its window
    return name, "right" if row["off"] <= CLOSE * step / 2 + row["bent"] + anywhere else "wrong"


def page(results: Mapping[str, Any]) -> str:
    """Returns docs/forensics.md."""
    lines = [
        "# Forensics: what `check --deep` says of other people's pyramids",
        "",
        f"Generated by `make interop`; do not edit. {results['date']}; each tool in an environment of its own.",
        "",
        "Each tool reduced a photograph with each method; only the samples were looked at. *What it is* is the method's own documentation in our",
        "words; *named* is what the samples were found to be, level by level, in bold where every sample is equal; *place* compares the place that was",
        "found with the one that the tool's own output of two ramps shows: the root mean square distance, in base samples, levels 1 / 2 / 3. A dash: it said",
        "that it cannot tell. *Bent*: the tool's ramps are no straight line, by so many base samples.",
        "",
        "| tool | method | image | what it is | named | place | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        if "error" in row:
            lines.append(f"| {row['tool']} {row['version']} | {row['method']} | {row['size']}^2 | {' or '.join(row['means'])} | | | not made: {row['error']} |")
            continue
        named = " / ".join(_named(level) for level in row["levels"])
        place = " / ".join("-" if level["off"] is None else f"{level['off']:.2f}" for level in row["levels"])
        bent = max(level["bent"] for level in row["levels"])
        place += f" (bent {bent:.1f})" if bent > BENT * 4 else ""
        lines.append(
            f"| {row['tool']} {row['version']} | {row['method']} | {row['size']}^2 | {' or '.join(row['means'])} | {named} | {place} | {row['verdict']} |"
        )
    counts = {word: sum(row.get("verdict", "") == word for row in results["rows"]) for word in ("right", "right as far as told", "wrong")}
    lines += ["", ", ".join(f"{n} {word}" for word, n in counts.items()) + "."]
    return "\n".join(lines) + "\n"


def _named(level: Mapping[str, Any]) -> str:
    name = " or ".join(level["names"]) or "-"
    return f"**{name}**" if level["exact"] else name


def run(makers: Sequence[Maker]) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="ziggurat-forensics-") as place:
        for maker in makers:
            environment = maker.script or maker.tool
            version = environments.versions_of(environment)[environments.ENVIRONMENTS[environment].report[0]]
            for size in SIZES:
                row: dict[str, Any] = {"tool": maker.tool, "version": version, "method": maker.method, "size": size, "means": list(maker.means)}
                try:
                    row["levels"] = measured(maker, size, Path(place))
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    row["error"] = str(error)
                else:
                    words = {word for level in row["levels"] for word in verdict(maker, level)}
                    row["verdict"] = "wrong" if "wrong" in words else "right as far as told" if "untold" in words else "right"
                rows.append(row)
                print(json.dumps(row), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="tools")
    args = parser.parse_args()
    chosen = [maker for maker in MAKERS if not args.only or maker.tool in args.only]
    kept = json.loads(RESULTS.read_text())["rows"] if args.only and RESULTS.exists() else []
    rows = run(chosen)
    order = [(maker.tool, maker.method) for maker in MAKERS]
    every = [row for row in kept if row["tool"] not in (args.only or [])] + rows
    every.sort(key=lambda row: (order.index((row["tool"], row["method"])), -row["size"]))
    results = {"date": datetime.date.today().isoformat(), "rows": every}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    (ROOT / "docs" / "forensics.md").write_text(page(results))


if __name__ == "__main__":
    main()
