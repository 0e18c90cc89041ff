"""Placement: is the coordinate that the metadata gives for a sample the coordinate of the pixels behind it?

    python interop/placement.py          # writes docs/placement.md and interop/placement.json

Every writer reduces a ramp, value = x, and the declared `scale * i + translation` is compared with the values. The three samples
at either end are left out (a kernel that reaches over the edge may bend there). Anything but 0 is a misplaced pyramid.
"""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environments
import numpy as np
import zarr
from readers.common import datasets

HERE = Path(__file__).resolve().parent
EDGE = 3
"""Samples left out at either end."""


@dataclass(frozen=True, slots=True)
class Writer:
    """One row: a tool with one of its methods and a list of cumulative factors."""

    tool: str
    environment: str | None
    method: str
    title: str
    factors: tuple[int, ...] = (2, 4, 8)
    sizes: tuple[tuple[int, int], ...] = ((256, 64), (203, 64), (4999, 512))
    """(samples along x, chunk)."""


LADDER = ((203, 64),)
WRITERS: Sequence[Writer] = (
    *(Writer("ziggurat", None, method, f"`{method}`") for method in ("mean", "median", "stride", "gaussian")),
    Writer("ziggurat", None, "mean", "`mean`, factors 2, 6", (2, 6), LADDER),
    Writer("ziggurat", None, "mean", "`mean`, factors 2, 10", (2, 10), LADDER),
    Writer("ome-zarr", "ome-zarr", "resize", "`resize` (its default)"),
    Writer("ome-zarr", "ome-zarr", "local_mean", "`local_mean`"),
    Writer("ome-zarr", "ome-zarr", "nearest", "`nearest`"),
    Writer("ngff-zarr", "ngff-zarr", "ITKWASM_GAUSSIAN", "`itkwasm_gaussian` (its default)"),
    Writer("ngff-zarr", "ngff-zarr", "ITKWASM_BIN_SHRINK", "`itkwasm_bin_shrink`"),
    Writer("ngff-zarr", "ngff-zarr", "ITKWASM_BIN_SHRINK", "`itkwasm_bin_shrink`, factors 2, 3", (2, 3), LADDER),
    Writer("ngff-zarr", "ngff-zarr", "ITKWASM_BIN_SHRINK", "`itkwasm_bin_shrink`, factors 2, 5", (2, 5), LADDER),
)

OTHERS = """
Measured in the same way in November 2026, levels 1 and 2, and not repeated by `make interop`:

| tool, method | 256 samples, factor 2 | 203 samples, factor 2 | declared translation |
|---|---|---|---|
| xarray-multiscale 2.1.0 `windowed_mean` | 0 / 0 | 0 / 0 | 0.5, 1.5 |
| ome-zarr-pyramid 0.4.0 `simple` (stride) | 0 / 0 | 0 / 0 | none, which is right for a stride |
| ome-zarr-pyramid 0.4.0 `mean`, base without translation | 0.5 / 1.5 | 0.5 / 1.5 | none |
| ngio 1.1.3 `dask`, `numpy` | 0.5 / 1.5 | 0.505 / 1.53 | 0, 0 |
| ngio 1.1.3 `coarsen` | 0.5 / 1.5 | +0.46..-0.45 / +1.26..-1.20 | 0, 0 |
| bioio-ome-zarr 3.8.1 | 1.0 / 3.0 | +0.96..-0.85 / +2.76..-1.70 | none |
"""


def errors(writer: Writer, size: int, chunk: int, folder: Path) -> list[list[float]]:
    """Returns [lowest, highest] error per level above the base, in samples of the base."""
    path = folder / "ramp.ome.zarr"
    shutil.rmtree(path, ignore_errors=True)
    job = {"path": str(path), "size": size, "chunk": chunk, "method": writer.method, "factors": writer.factors}
    script = HERE / "writers" / f"{writer.tool.replace('-', '_')}_writer.py"
    python = environments.python_of(writer.environment) if writer.environment else sys.executable
    done = subprocess.run([python, str(script), json.dumps(job)], capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        raise SystemExit(f"{writer.tool} {writer.method}: {done.stderr[-2000:]}")
    group = zarr.open_group(path, mode="r")
    found = []
    for name, scale, translation in datasets(dict(group.attrs))[1:]:
        values: Any = np.asarray(group[name][...], np.float64)  # type: ignore[index]
        row = values[len(values) // 2]
        declared = (scale or [1, 1])[1] * np.arange(len(row)) + (translation[1] if translation else 0.0)
        error = (row - declared)[EDGE:-EDGE]
        found.append([float(error.min()), float(error.max())])
    return found


def cell(levels: Sequence[Sequence[float]]) -> str:
    """Returns the errors of the levels: one number when it is the same all along, else lowest..highest."""
    texts = []
    for low, high in levels:
        if max(abs(low), abs(high)) < 1e-9:
            texts.append("0")
        elif abs(high - low) < 5e-3:
            texts.append(f"{high:.2f}")
        else:
            texts.append(f"{low:.2f}..{high:.2f}")
    return "0" if all(t == "0" for t in texts) else " / ".join(texts)


def main() -> None:
    rows: list[dict[str, Any]] = []
    folder = Path(tempfile.mkdtemp(prefix="ziggurat-placement-"))
    for writer in WRITERS:
        versions = environments.versions_of(writer.environment) if writer.environment else {"ziggurat": _own_version()}
        measured = {str(size): errors(writer, size, chunk, folder) for size, chunk in writer.sizes}
        rows.append({"tool": writer.tool, "version": versions[writer.tool], "title": writer.title, "errors": measured})
        print(writer.tool, writer.title, {size: cell(levels) for size, levels in measured.items()}, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    (HERE / "placement.json").write_text(json.dumps({"date": datetime.date.today().isoformat(), "rows": rows}, indent=1) + "\n")
    (HERE.parent / "docs" / "placement.md").write_text(page(rows))


def page(rows: Sequence[dict[str, Any]]) -> str:
    """Returns docs/placement.md."""
    lines = [
        "# Placement: where the pixels are, against where the metadata says",
        "",
        f"Generated by `make interop`; do not edit. {datetime.date.today().isoformat()}; each tool in an environment of its own.",
        "",
        "Every tool reduces a ramp whose values are their own x coordinates; the table shows `value - (scale * i + translation)` for levels 1 / 2 / 3 in",
        "samples of the base, lowest..highest, with what the tool itself declares. The three samples at either end are left out. 0 means: below 1e-9.",
        "",
        "| tool | method | 256 in chunks of 64 | 203 in chunks of 64 | 4999 in chunks of 512 |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [cell(row["errors"][size]) if size in row["errors"] else "" for size in ("256", "203", "4999")]
        lines.append(f"| {row['tool']} {row['version']} | {row['title']} | {' | '.join(cells)} |")
    lines += [
        "",
        "- ziggurat's minimum, maximum and mode lie at the sample that their definition names, within the window; they have no ramp to show.",
        "- ome-zarr reduces chunk by chunk and crops, and declares full size over level size as its scale: sizes that divide are right, others drift.",
        "- ngff-zarr is exact for powers of two; its factors are cumulative, and a list such as 2, 3 is declared as asked but built as 2, 4.",
        OTHERS.rstrip(),
    ]
    return "\n".join(lines) + "\n"


def _own_version() -> str:
    import importlib.metadata

    return importlib.metadata.version("ziggurat")


if __name__ == "__main__":
    main()
