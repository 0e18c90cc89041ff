"""Speed and memory beside the hot floor and the peers; writes docs/benchmarks.md and benchmarks/results.json.

    python benchmarks/run.py                      # everything, about 25 minutes on a quiet machine with 2 cores
    python benchmarks/run.py --small              # reduced inputs, a minute; prints, writes no page
    python benchmarks/run.py --only pairs --cases A64 L64 --pairs 9

Inputs and outputs lie in RAM (`--folder`, default /dev/shm/ziggurat-bench: about 10 GiB at the peak), so no disk is in the numbers.
Run parts on their own with `--only`; each part replaces its rows in results.json, and the page is written from that file.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import page
import real_inputs
from pairs import CASES, PYTHON, THREADS, Base, build_command, ensure_input, planned_peak, run_case
from process import CommandFailed, answer, measure

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

PARTS = ("pairs", "memory", "peers", "real")
RESULTS = HERE / "results.json"

PEERS: Mapping[str, tuple[str, str, str, str]] = {
    # name -> (environment, add or copy, title, level 1 below the output)
    "tensorstore": ("tensorstore", "add", "tensorstore, `ts.downsample` by blocks", "1"),
    "dyna-zarr": ("dyna-zarr", "add", "dyna-zarr `write_levels`", "1"),
    "ngff-zarr": ("ngff-zarr", "copy", "ngff-zarr, bin shrink", "scale1/a"),
    "ome-zarr": ("ome-zarr", "copy", "ome-zarr, `local_mean`", "s1"),
    "rasterio": ("rasterio", "add", "GDAL overviews in the TIFF (rasterio)", ""),
}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


LATER: Mapping[str, tuple[str, ...]] = {"memory": ("A64", "A64x8"), "peers": ("A64", "B512", "Btiff"), "real": ("Btiff", "slices")}
"""Inputs that the parts after the pairs need."""


def tidy(args: argparse.Namespace, needed: set[str]) -> None:
    """Removes inputs that nothing needs any more, so that RAM holds a few GiB at a time and not all twenty."""
    if args.keep:
        return
    suffix = "-small" if args.small else ""
    paths = {path.name.split(".")[0].removesuffix(suffix): path for path in args.folder.iterdir() if path.suffix in (".zarr", ".tif")}
    for name in paths.keys() - needed:
        shutil.rmtree(paths[name]) if paths[name].is_dir() else paths[name].unlink()
    to_make = {
        "A" if name == "slices" else name[0] for name in needed - paths.keys() - {"A64x8"} if name != "slices" or not (args.folder / f"slices{suffix}").exists()
    }
    for raw in args.folder.glob("*.npy"):
        if raw.name[0] not in to_make:
            raw.unlink()


def run_pairs(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Runs the chosen cases, a row each; a case that fails is a row that says so."""
    chosen = [case for case in CASES if not args.cases or case.name in args.cases]
    later = {name for part in args.only for name in LATER.get(part, ())}
    if "slices" in later:
        ensure_input("slices", args.folder, small=args.small)
    for place, case in enumerate(chosen):
        tidy(args, later | {other.input for other in chosen[place:]})
        try:
            row = run_case(case, args.folder, n_pairs=args.pairs, small=args.small, say=say)
        except (CommandFailed, OSError) as error:
            row = {"name": case.name, "title": case.title, "kind": case.kind, "error": str(error)[-500:]}
        say(f"{case.name}: wall {row['wall_ratio']}, cpu {row['cpu_ratio']}, peak {row['peak_mib']} MiB" if "error" not in row else str(row))
        yield row


def run_memory(args: argparse.Namespace) -> dict[str, Any]:
    """Peak RSS of adding levels to 2 GiB and to 16 GiB of base (the same chunk files, linked eight times along z)."""
    rows = {}
    for name, title in (("A64", "2 GiB"), ("A64x8", "16 GiB")):
        base = Base(ensure_input(name, args.folder, small=args.small))
        base.reset()
        planned = planned_peak(base.array, None, ())
        sample = measure(build_command(base.array, None, ()), timeout_seconds=1200)
        base.reset()
        rows[title] = {
            "peak_mib": round(sample.peak_bytes / 2**20),
            "planned_peak_mib": round(planned / 2**20),
            "wall_seconds": round(sample.wall_seconds, 1),
            "cpu_seconds": round(sample.cpu_seconds, 1),
        }
        say(f"memory {title}: {rows[title]}")
    return rows


def run_peers(args: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Runs ziggurat and the peers on the volume and on the plane, a few times each; the median is kept."""
    tables = {}
    for name, title in (("A64", "uint16 1024^3, 64^3"), ("B512", "uint8 32768^2, 512^2")):
        source = ensure_input(name, args.folder, small=args.small)
        base = Base(source)
        rows = [_ziggurat_row(base, args.repeats)]
        for peer in PEERS:
            if peer == "rasterio" and name != "B512":
                continue
            try:
                rows.append(_peer_row(peer, source, args))
            except CommandFailed as error:
                rows.append({"peer": peer, "title": PEERS[peer][2], "does": PEERS[peer][1], "error": str(error)[-300:]})
            say(f"{title}: {rows[-1]}")
        tables[title] = rows
    return tables


def _figures(samples: Sequence[Any]) -> dict[str, Any]:
    return {
        "wall_seconds": round(statistics.median(s.wall_seconds for s in samples), 2),
        "cpu_seconds": round(statistics.median(s.cpu_seconds for s in samples), 2),
        "peak_mib": round(max(s.peak_bytes for s in samples) / 2**20),
    }


def _ziggurat_row(base: Base, repeats: int) -> dict[str, Any]:
    samples = []
    for _ in range(repeats):
        base.reset()
        samples.append(measure(build_command(base.array, None, ("--reduction", "mean"))))
    level = answer(measure([PYTHON, HERE / "verify.py", "--base", base.array, "--level", base.group / "1"]))
    base.reset()
    return {"peer": "ziggurat", "title": "ziggurat", "does": "add", **_figures(samples), **level}


def _peer_row(peer: str, source: Path, args: argparse.Namespace) -> dict[str, Any]:
    environment, does, title, level = PEERS[peer]
    found = answer(measure([PYTHON, ROOT / "interop" / "environments.py", "--json", environment]))
    out = args.folder / f"peer-{peer}"
    repeats = args.repeats if does == "add" else 1
    samples = []
    for _ in range(repeats):
        path = source
        if peer == "rasterio":
            path = args.folder / "peer.tif"
            shutil.copy(ensure_input("Btiff", args.folder, small=args.small), path)
        samples.append(measure([found["python"], HERE / "peers.py", peer, path, out, "--threads", str(THREADS)], environment={"PYTHONWARNINGS": "ignore"}))
    row = {"peer": peer, "title": title, "does": does, "versions": found["versions"], "n_runs": repeats, **_figures(samples)}
    if level:
        row |= answer(measure([PYTHON, HERE / "verify.py", "--base", source / "0", "--level", out / level]))
    for leftover in (out, out.with_name(out.name + "-in"), args.folder / "peer.tif"):
        shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    return row


def machine() -> dict[str, Any]:
    """Returns what the figures depend on."""
    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), platform.machine())
    versions = measure(
        [PYTHON, "-c", "import json, importlib.metadata as m; print(json.dumps({p: m.version(p) for p in ('numpy', 'imagecodecs', 'zarr', 'ziggurat')}))"]
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "system": platform.system(),
        **answer(versions),
    }


def save(results: dict[str, Any], args: argparse.Namespace) -> None:
    """Writes results.json and the page from it; the reduced size writes nothing."""
    if not args.small:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        (ROOT / "docs" / "benchmarks.md").write_text(page.page(results))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm/ziggurat-bench") if Path("/dev/shm").is_dir() else Path("ziggurat-bench"))
    parser.add_argument("--small", action="store_true", help="reduced inputs; three pairs; prints, writes no page")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--cases", nargs="*", choices=[case.name for case in CASES])
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="keep the inputs")
    args = parser.parse_args()
    args.pairs = args.pairs or (3 if args.small else 9)
    if args.small:
        args.repeats = 1
    args.folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() and not args.small else {}
    results |= {"date": datetime.date.today().isoformat(), "machine": machine()}
    try:
        if "pairs" in args.only:
            kept = {row["name"]: row for row in results.get("pairs", [])}
            for row in run_pairs(args):
                kept[row["name"]] = row
                results["pairs"] = [kept[case.name] for case in CASES if case.name in kept]
                save(results, args)
        if "memory" in args.only:
            results["memory"] = run_memory(args)
        if "peers" in args.only and not args.small:
            results["peers"] = run_peers(args)
        if "real" in args.only:
            results["real"] = real_inputs.run(args.folder, small=args.small, repeats=args.repeats, say=say)
            if not args.small:
                real_inputs.save(results["real"])
    finally:
        if not args.keep:
            shutil.rmtree(args.folder, ignore_errors=True)
    save(results, args)
    if args.small:
        print(page.page(results))
    return 1 if any("error" in row for row in results.get("pairs", [])) else 0


if __name__ == "__main__":
    sys.exit(main())
