"""Interleaved pairs (hot floor, ziggurat), whole processes: the cases, and one function that runs a case.

A ratio is taken within a pair, because machines drift; the table shows the median and the quartiles of at least 9 of them,
by wall clock and by CPU seconds. Seconds in which the floor only loads prepared samples (a kernel's stand-in) are subtracted.
Standard library only (see process.py).
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from process import CommandFailed, Sample, answer, measure

HERE = Path(__file__).resolve().parent
PYTHON = sys.executable
ZIGGURAT = [PYTHON, "-m", "ziggurat"]
THREADS = 2


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table."""

    name: str
    title: str
    input: str
    options: tuple[str, ...] = ()
    limit: float = 1.40
    """What the issue of this benchmark allows."""
    goal: float | None = 1.25
    kind: Literal["add", "copy", "encode"] = "add"
    """`add`: levels beside the base, against the hot floor. `copy`: verbatim copy and levels, against adding levels and copying the
    files. `encode`: the base is encoded again too, against its own hot floor."""
    verify: tuple[str, ...] = ()
    small_options: tuple[str, ...] | None = None


CASES: Sequence[Case] = (
    Case("A64", "uint16 1024^3, 64^3", "A64"),
    Case("A128", "uint16 1024^3, 128^3", "A128"),
    Case(
        "Ashard",
        "uint16 1024^3, shards 512^3 of 64^3, in and out",
        "Ashard",
        ("--chunks", "64,64,64", "--shards", "512,512,512"),
        small_options=("--chunks", "64,64,64", "--shards", "128,128,128"),
    ),
    Case("B512", "uint8 32768^2, 512^2", "B512"),
    Case("Av2", "uint16 1024^3, Zarr v2, blosc, 128^3", "Av2"),
    Case("A37", "uint16 1024^3, 37^3 (windows straddle chunks)", "A37"),
    Case("A100", "uint16 1024^3, 100^3 to 64^3", "A100", ("--chunks", "64,64,64")),
    Case("factor3", "uint16 1024^3, 64^3, factor 3", "A64", ("--factors", "3")),
    Case(
        "ladder",
        "uint16 1024^3, 64^3, ladder 2, 3, 2",
        "A64",
        ("--factors", "2", "--factors", "3", "--factors", "2"),
        small_options=("--factors", "2", "--factors", "3"),
    ),
    Case("F64", "float32 512x1024x1024 with scattered NaN, 64^3", "F64", limit=1.6, goal=None),
    Case("N64", "uint16 1024^3 with nodata, 64^3", "N64", ("--nodata", "0"), limit=2.5, goal=None, verify=("--nodata", "0")),
    Case("L64", "uint32 labels 512x1024x1024, 64^3, mode", "L64", ("--kind", "labels"), limit=3.5, goal=None, verify=("--reduction", "mode")),
    Case("K64", "uint32 labels 512^3 (blobs), 64^3, mode", "K64", ("--kind", "labels"), limit=2.5, goal=None, verify=("--reduction", "mode")),
    Case("copy", "uint16 1024^3, 64^3: verbatim copy and levels", "A64", limit=1.15, goal=None, kind="copy"),
    Case(
        "tiff",
        "uint8 32768^2, BigTIFF of 512^2 zstd tiles to Zarr",
        "Btiff",
        ("--chunks", "512,512", "--codecs", "zstd 3"),
        limit=1.2,
        goal=None,
        kind="encode",
    ),
)


@dataclass(slots=True)
class Outcome:
    """What the pairs of one case gave."""

    case: Case
    floor: list[Sample] = field(default_factory=list)
    ours: list[Sample] = field(default_factory=list)
    wall_ratios: list[float] = field(default_factory=list)
    cpu_ratios: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, floor: Sample, ours: Sample, load_seconds: float) -> None:
        """Takes one pair."""
        self.floor.append(floor)
        self.ours.append(ours)
        self.wall_ratios.append(ours.wall_seconds / (floor.wall_seconds - load_seconds / THREADS))
        self.cpu_ratios.append(ours.cpu_seconds / (floor.cpu_seconds - load_seconds))

    def to_json(self) -> dict[str, Any]:
        """Returns the figures; seconds, MiB and ratios rounded to what they are worth."""

        def spread(values: Sequence[float], digits: int) -> list[float]:
            low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
            return [round(low, digits), round(middle, digits), round(high, digits)]

        return {
            "name": self.case.name,
            "title": self.case.title,
            "kind": self.case.kind,
            "n_pairs": len(self.ours),
            "wall_ratio": spread(self.wall_ratios, 3),
            "cpu_ratio": spread(self.cpu_ratios, 3),
            "limit": self.case.limit,
            "goal": self.case.goal,
            "floor_wall_seconds": spread([s.wall_seconds for s in self.floor], 2),
            "floor_cpu_seconds": spread([s.cpu_seconds for s in self.floor], 2),
            "wall_seconds": spread([s.wall_seconds for s in self.ours], 2),
            "cpu_seconds": spread([s.cpu_seconds for s in self.ours], 2),
            "peak_mib": round(max(s.peak_bytes for s in self.ours) / 2**20),
            "others_cpu_seconds": spread([s.others_cpu_seconds for s in (*self.floor, *self.ours)], 2),
            **self.facts,
        }


class Base:
    """A group with array "0" and nothing else, brought back to that state before each build in place."""

    def __init__(self, group: Path) -> None:
        self.group = group
        self.array = group / "0"

    def reset(self) -> None:
        """Removes the levels and what the group says of them."""
        for path in self.group.iterdir():
            if path.is_dir() and path.name != "0":
                shutil.rmtree(path)
            elif path.is_file():
                path.unlink()
        if (self.array / "zarr.json").exists():
            (self.group / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
        else:
            (self.group / ".zgroup").write_text('{"zarr_format": 2}')


def ensure_input(name: str, folder: Path, *, small: bool) -> Path:
    """Returns the path of an input, made by a process of its own."""
    command = [PYTHON, HERE / "inputs.py", folder, name, *(["--small"] if small else [])]
    return Path(measure(command, timeout_seconds=1800).output.strip())


def planned_peak(source: Path, target: Path | None, options: Sequence[str]) -> int:
    """Returns the peak memory, in bytes, that the plan of a build states."""
    command = [*ZIGGURAT, "plan", source, *([target] if target else []), *options, "--threads", str(THREADS), "--json"]
    return int(json.loads(measure(command).output)["peak_bytes"])


def run_case(case: Case, folder: Path, *, n_pairs: int, small: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Runs one case and returns its row; what it wrote is removed, inputs stay."""
    source = ensure_input(case.input, folder, small=small)
    options = [*(case.small_options if small and case.small_options is not None else case.options)]
    work = folder / f"work-{case.name}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        run = {"add": _run_add, "copy": _run_copy, "encode": _run_encode}[case.kind]
        return run(case, source, options, work, n_pairs, say).to_json()
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if source.is_dir():
            Base(source).reset()


def build_command(source: Path, target: Path | None, options: Sequence[str]) -> list[str | Path]:
    """Returns the command of one build with two threads, in place when there is no target."""
    return [*ZIGGURAT, "build", source, *([target] if target else []), *options, "--threads", str(THREADS), "--quiet"]


def _floor(command: str, *arguments: str | Path) -> list[str | Path]:
    return [PYTHON, HERE / "floor.py", command, *arguments, "--threads", str(THREADS)]


def _in_turn(index: int, first: Callable[[], Sample], second: Callable[[], Sample]) -> tuple[Sample, Sample]:
    """Runs both, the order changing from pair to pair; returns (first, second)."""
    if index % 2 == 0:
        one = first()
        return one, second()
    two = second()
    return first(), two


def _run_add(case: Case, source: Path, options: Sequence[str], work: Path, n_pairs: int, say: Callable[[str], None]) -> Outcome:
    base, prepared = Base(source), work / "prepared"
    base.reset()
    outcome = Outcome(case)
    outcome.facts["planned_peak_mib"] = round(planned_peak(base.array, None, options) / 2**20)
    measure(build_command(base.array, None, options))
    outcome.facts |= answer(measure([PYTHON, HERE / "verify.py", source, *case.verify]))
    outcome.facts |= answer(measure(_floor("prepare", source, prepared)))

    def ours() -> Sample:
        base.reset()
        return measure(build_command(base.array, None, options))

    def floor() -> Sample:
        return measure(_floor("run", base.array, prepared, work / "floor"))

    floor()
    for index in range(n_pairs):
        low, high = _in_turn(index, floor, ours)
        outcome.add(low, high, answer(low)["load_seconds"])
        say(f"{case.name} {index + 1}/{n_pairs}: {low.wall_seconds:.2f} {high.wall_seconds:.2f} s, cpu {low.cpu_seconds:.2f} {high.cpu_seconds:.2f} s")
    _same_bytes(source, answer(low)["written_bytes"], "0")
    return outcome


def _same_bytes(group: Path, floor_bytes: int, *besides: str) -> None:
    """Raises CommandFailed unless the floor wrote as many bytes as the build: it has to be the same work."""
    documents = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
    files = (p for p in group.rglob("*") if p.is_file() and p.name not in documents and p.relative_to(group).parts[0] not in besides)
    ours = sum(p.stat().st_size for p in files)
    if ours != floor_bytes:
        raise CommandFailed(f"the floor wrote {floor_bytes} bytes, the build {ours}: not the same chunks")


def _run_copy(case: Case, source: Path, options: Sequence[str], work: Path, n_pairs: int, say: Callable[[str], None]) -> Outcome:
    """The reference is adding levels in place plus copying the files, each measured in the same turn."""
    base, target = Base(source), work / "target.zarr"
    outcome = Outcome(case)
    outcome.facts["planned_peak_mib"] = round(planned_peak(base.array, target, options) / 2**20)

    def reference() -> Sample:
        base.reset()
        added = measure(build_command(base.array, None, options))
        copied = measure(_floor("copy", base.array, work / "copied"))
        return Sample(
            added.wall_seconds + copied.wall_seconds,
            added.cpu_seconds + copied.cpu_seconds,
            added.peak_bytes,
            added.others_cpu_seconds + copied.others_cpu_seconds,
            "",
        )

    def ours() -> Sample:
        base.reset()
        shutil.rmtree(target, ignore_errors=True)
        return measure(build_command(base.array, target, options))

    ours()
    outcome.facts |= answer(measure([PYTHON, HERE / "verify.py", target, *case.verify]))
    outcome.facts["copied_as_is"] = _same_files(base.array, target / "0")
    for index in range(n_pairs):
        low, high = _in_turn(index, reference, ours)
        outcome.add(low, high, 0.0)
        say(f"{case.name} {index + 1}/{n_pairs}: {low.wall_seconds:.2f} {high.wall_seconds:.2f} s, cpu {low.cpu_seconds:.2f} {high.cpu_seconds:.2f} s")
    return outcome


def _same_files(one: Path, two: Path) -> bool:
    """True when every chunk file of the copy has the size of the original's."""
    sizes = [{p.relative_to(root): p.stat().st_size for p in (root / "c").rglob("*") if p.is_file()} for root in (one, two)]
    return sizes[0] == sizes[1]


def _run_encode(case: Case, source: Path, options: Sequence[str], work: Path, n_pairs: int, say: Callable[[str], None]) -> Outcome:
    target, prepared = work / "target.zarr", work / "prepared"
    outcome = Outcome(case)
    outcome.facts["planned_peak_mib"] = round(planned_peak(source, target, options) / 2**20)
    measure(build_command(source, target, options))
    outcome.facts |= answer(measure([PYTHON, HERE / "verify.py", target, *case.verify]))
    outcome.facts |= answer(measure(_floor("prepare", target, prepared)))
    measure(_floor("prepare-tiff", source, prepared))

    def ours() -> Sample:
        shutil.rmtree(target, ignore_errors=True)
        return measure(build_command(source, target, options))

    def floor() -> Sample:
        return measure(_floor("run", source, prepared, work / "floor", "--encode-base"))

    floor()
    for index in range(n_pairs):
        low, high = _in_turn(index, floor, ours)
        outcome.add(low, high, answer(low)["load_seconds"])
        say(f"{case.name} {index + 1}/{n_pairs}: {low.wall_seconds:.2f} {high.wall_seconds:.2f} s, cpu {low.cpu_seconds:.2f} {high.cpu_seconds:.2f} s")
    _same_bytes(target, answer(low)["written_bytes"])
    return outcome
