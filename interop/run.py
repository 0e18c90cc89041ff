"""The matrix: what other people's software reads of ours, each in its own environment.

    python interop/run.py [--keep FOLDER] [--only READER ...]

Targets are written by ziggurat (`targets.py`), read by each peer in its own process (`readers/`), and compared here with what
numpy says they hold. Writes `docs/interop.md` and `interop/results.json`; exits 1 when a cell is not what is expected.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import environments
import placement
import targets

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


@dataclass(frozen=True, slots=True)
class Reader:
    """One row of the matrix."""

    environment: str | None
    """None is the project's own."""
    script: str
    reads: str
    """What of a target the peer gives, so what is compared."""


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "ziggurat": Reader(None, "ziggurat_reader.py", "shapes, samples, scale, translation"),
        "tensorstore": Reader("tensorstore", "tensorstore_reader.py", "shapes, samples; scale and translation from the document it reads"),
        "zarr-python 3.1": Reader("zarr-3.1.6", "zarr_reader.py", "shapes, samples; scale and translation from the attributes it reads"),
        "zarr-python, newest": Reader("zarr-newest", "zarr_reader.py", "shapes, samples; scale and translation from the attributes it reads"),
        "xarray": Reader("xarray", "xarray_reader.py", "`open_zarr` of each level: shapes, samples, named dimensions; the rest from the group's attributes"),
        "zarrita.js": Reader("zarrita", "zarrita_reader.mjs", "shapes, samples; scale and translation from the attributes it reads"),
        "ome-zarr": Reader("ome-zarr", "ome_zarr_reader.py", "shapes, samples, scale, translation"),
        "ngff-zarr": Reader("ngff-zarr", "ngff_zarr_reader.py", "validates; shapes, samples, scale, translation"),
        "yaozarrs": Reader("yaozarrs", "yaozarrs_reader.py", "validates; shapes, samples, scale, translation"),
        "ome-zarr-models": Reader("ome-zarr-models", "ome_zarr_models_reader.py", "validates; shapes, scale, translation (it reads no samples)"),
        "napari-ome-zarr": Reader(
            "napari-ome-zarr", "napari_reader.py", "layers in napari's ViewerModel: shapes, samples, scale of level 0 (it passes on no more)"
        ),
        "OME JSON Schemas": Reader("ngff-zarr", "schema_reader.py", "the image schema and the strict one, over the document"),
    }
)

OME_01 = "an OME-Zarr 0.1 image has the five axes t, c, z, y, x (OME-NGFF 0.1, image layout), the founding layout has any"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error that a peer's own documents announce."""

    readers: tuple[str, ...]
    formats: str
    """Start of the names of the formats it applies to."""
    says: str
    why: str


REFUSALS: Sequence[Refusal] = (
    Refusal(("ome-zarr", "napari-ome-zarr"), "0.1", "does not match number of dims (5)", OME_01),
    Refusal(("yaozarrs",), "0.1", "version 0.1 is not implemented", "its models are 0.4 and 0.5 (README)"),
    Refusal(("ome-zarr-models",), "0.1", "Could not successfully validate", "its models are 0.4, 0.5 and 0.6 (README)"),
)


def run_reader(name: str, paths: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Runs one reader over targets; a target that ended the process is answered with `died`, and the rest are tried again."""
    reader = READERS[name]
    script = HERE / "readers" / reader.script
    if reader.environment is None:
        command = [sys.executable, str(script)]
    else:
        python = environments.python_of(reader.environment)
        if script.suffix == ".mjs":
            # Node resolves packages from the folder of the script
            script = Path(shutil.copy(script, environments.HOME / reader.environment))
        command = [python, str(script)]
    answers: dict[str, dict[str, Any]] = {}
    left = list(paths)
    while left:
        done = subprocess.run([*command, *left], capture_output=True, text=True, check=False, timeout=600, cwd=tempfile.gettempdir())
        for line in done.stdout.splitlines():
            if line.startswith('{"path"'):
                answer = json.loads(line)
                answers[answer["path"]] = answer
        missing = [path for path in left if path not in answers]
        if missing:
            answers[missing[0]] = {"path": missing[0], "died": f"exit {done.returncode}: {done.stderr.strip()[-400:]}"}
        left = missing[1:]
    return answers


def close(found: Sequence[float] | None, expected: Sequence[float] | None) -> bool:
    if found is None or expected is None:
        return True
    return len(found) == len(expected) and all(math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12) for a, b in zip(found, expected, strict=True))


def judge(reader: str, form: str, answer: dict[str, Any], expected: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """Returns (verdict, remark) for one target."""
    if "died" in answer:
        return "crashes", answer["died"]
    if "error" in answer:
        for refusal in REFUSALS:
            if reader in refusal.readers and form.startswith(refusal.formats) and refusal.says in answer["error"]:
                return "refuses as documented", refusal.why
        return "FAILS", answer["error"]
    levels = answer["levels"]
    if not levels:
        return "valid", ""
    if len(levels) != len(expected):
        return "DIFFERS", f"{len(levels)} levels, expected {len(expected)}"
    for k, (found, wanted) in enumerate(zip(levels, expected, strict=True)):
        if found["shape"] != wanted["shape"]:
            return "DIFFERS", f"level {k}: shape {found['shape']}, expected {wanted['shape']}"
        if "sha256" in found and found["sha256"] != wanted["sha256"]:
            return "DIFFERS", f"level {k}: other samples"
        for what in ("scale", "translation"):
            if not close(found[what], wanted[what]):
                return "DIFFERS", f"level {k}: {what} {found[what]}, expected {wanted[what]}"
    return ("equal" if all("sha256" in level for level in levels) else "valid"), ""


def cell(verdicts: Mapping[str, tuple[str, str]]) -> str:
    """Returns one cell: the verdict when all images agree, else each verdict with its images."""
    by_verdict: dict[str, list[str]] = {}
    for image, (verdict, _) in verdicts.items():
        by_verdict.setdefault(verdict, []).append(image.split()[0])
    if len(by_verdict) == 1:
        return next(iter(by_verdict))
    return "; ".join(f"{verdict} ({', '.join(images)})" for verdict, images in by_verdict.items())


def page(matrix: Mapping[str, Mapping[str, Mapping[str, tuple[str, str]]]], versions: Mapping[str, Mapping[str, str]]) -> str:
    """Returns docs/interop.md."""
    formats = list(targets.FORMATS)
    lines = [
        "# Interop: who reads what ziggurat writes",
        "",
        "Generated by `make interop`; do not edit. "
        f"{datetime.date.today().isoformat()}, Python {platform.python_version()} for the project, each peer in an environment of its own.",
        "",
        "Three images with odd sizes and partial windows, "
        + ", ".join(f"{k} ({'x'.join(map(str, v.shape))})" for k, v in targets.IMAGES.items())
        + ", are built",
        "with `zg.build` into each format (0.1 is `multiscales@0.1`, 0.4 and 0.5 are `ome-zarr@0.4` and `@0.5`) and read by each peer.",
        "",
        "| reader | " + " | ".join(formats) + " |",
        "|---|" + "---|" * len(formats),
    ]
    for reader, row in matrix.items():
        lines.append(f"| {reader} | " + " | ".join(cell(row[form]) for form in formats) + " |")
    lines += [
        "",
        "- *equal*: every level's shape and samples (sha256) are those that numpy computes from the base, and every scale and translation that the peer",
        "  gives is the one that the definition gives (to 1e-12); 0.1 holds neither.",
        "- *valid*: the peer validates and gives no samples; what it gives (shapes, scale, translation) is equal.",
        "- *refuses as documented*: it raises what its own documents announce; the reasons are below.",
        "- *crashes*: the process ended; *FAILS*, *DIFFERS*: not expected, and `make interop` exits 1.",
        "",
        "## How each reader reads",
        "",
        "| reader | versions | what is compared |",
        "|---|---|---|",
    ]
    for reader in matrix:
        lines.append(f"| {reader} | {', '.join(f'{k} {v}' for k, v in versions[reader].items())} | {READERS[reader].reads} |")
    reasons = sorted(
        {
            (reader, form.split(",")[0], verdict, remark)
            for reader, row in matrix.items()
            for form, images in row.items()
            for verdict, remark in images.values()
            if remark
        }
    )
    lines += ["", "## Reasons", ""]
    for reader, form, verdict, remark in reasons:
        lines.append(f"- {reader}, {form}: {verdict}: {' '.join(remark.split())[:300]}")
    lines += ["", "Not compared: `omero` display windows; remote stores; viewers with a window."]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="write the targets here and keep them")
    parser.add_argument("--only", nargs="*", choices=list(READERS), help="some readers; prints, and writes no page")
    args = parser.parse_args()
    folder = args.keep or Path(tempfile.mkdtemp(prefix="ziggurat-interop-"))
    truth = targets.write_all(folder)
    matrix: dict[str, dict[str, dict[str, tuple[str, str]]]] = {}
    versions = {}
    for name in args.only or READERS:
        environment = READERS[name].environment
        versions[name] = environments.versions_of(environment) if environment else {"ziggurat": _own_version(), "python": platform.python_version()}
        answers = run_reader(name, [entry["path"] for images in truth.values() for entry in images.values()])
        matrix[name] = {
            form: {image: judge(name, form, answers[entry["path"]], entry["levels"]) for image, entry in images.items()} for form, images in truth.items()
        }
        print(f"{name:20} " + " | ".join(f"{form}: {cell(images)}" for form, images in matrix[name].items()), flush=True)
    if not args.keep:
        shutil.rmtree(folder, ignore_errors=True)
    if not args.only:
        (ROOT / "docs" / "interop.md").write_text(page(matrix, versions))
        (HERE / "results.json").write_text(json.dumps({"date": datetime.date.today().isoformat(), "versions": versions, "matrix": matrix}, indent=1) + "\n")
        placement.main()
    bad = [(r, f, i, *v) for r, row in matrix.items() for f, images in row.items() for i, v in images.items() if v[0] in ("FAILS", "DIFFERS")]
    for entry in bad:
        print("not expected:", *entry, file=sys.stderr)
    return 1 if bad else 0


def _own_version() -> str:
    import importlib.metadata

    return importlib.metadata.version("ziggurat")


if __name__ == "__main__":
    sys.exit(main())
