"""Broken, hostile and half-written trees: whatever stands in the documents, nothing but the documented exceptions is raised.

Every fixture is bent in seeded, random ways; new layouts and fixtures are picked up by themselves. `make prove` bends each many times,
and lets a coverage-guided fuzzer choose.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

import ziggurat as zg
from tests.layouts.bends import bent
from tests.layouts.fixtures import BENDABLE, FIXTURES, Fixture
from tests.layouts.looks import judged
from ziggurat.problems import ZigguratError
from ziggurat.pyramid import survey

SECONDS = 5.0
"""Of CPU for one look, so that a busy machine says nothing. Source: reliability.md S8."""
N_PROVED, FUZZED_SECONDS = 40, 240


@pytest.mark.parametrize("fixture", [f for i, f in enumerate(BENDABLE) if f.kind == "good" or i % 4 == 0], ids=lambda f: f.id)
def test_bent_documents_raise_nothing_else(fixture: Fixture, request: pytest.FixtureRequest) -> None:
    draw = random.Random(fixture.id)
    for i in range(N_PROVED if request.config.getoption("--prove") else 1):
        documents = bent(fixture, draw)
        names: list[str] = []
        began = time.process_time()
        try:
            for name in judged(fixture, documents, draw):
                names.append(name)
                taken, began = time.process_time() - began, time.process_time()
                assert taken < SECONDS
        except (AssertionError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError, MemoryError) as error:
            raise AssertionError(f"round {i}, {names[-1:]}: {type(error).__name__}: {error}; documents {documents!r:.3000}") from error


@pytest.mark.prove
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel for this Python")
def test_a_coverage_guided_run_finds_nothing(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Every look within 5 s of CPU, all of it within the memory of one process with its corpus; bytes that break it are left in the folder."""
    options = [f"-max_total_time={FUZZED_SECONDS}", "-rss_limit_mb=1200", "-max_len=400", "-len_control=0", "-seed=50", f"-artifact_prefix={tmp_path}/"]
    command = [sys.executable, "-m", "tests.layouts.fuzzing", *options]
    run = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=Path(__file__).parents[2], check=False)
    assert run.returncode == 0, run.stderr[-6000:]
    last = [line for line in run.stderr.splitlines() if " cov: " in line][-1]
    record_property("libFuzzer", " ".join(last.split()[:8]))


@pytest.mark.parametrize("fixture", [f for f in FIXTURES if f.raises is None and f.kind == "good"][::9], ids=lambda f: f.id)
def test_half_written_folders_open_or_say_why_not(fixture: Fixture, tmp_path: Path) -> None:
    chance = random.Random(fixture.id)
    root = fixture.write(tmp_path / "store")
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for path in chance.sample(files, len(files)):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        look_at(root)
        path.unlink()
        look_at(root)


def look_at(root: Path) -> None:
    for look in (zg.open, zg.check, survey, zg.list_multiscales):
        try:
            look(root)
        except ZigguratError as error:
            assert str(error)


def test_links_that_lead_nowhere_round_or_out_are_refused(tmp_path: Path) -> None:
    fixture = next(f for f in FIXTURES if f.id == "ome-zarr@0.5/good/placed")
    root = fixture.write(tmp_path / "store")
    level = next(path.parent for path in root.rglob("zarr.json") if path.parent != root)
    for target in (level.parent / "round", tmp_path / "outside", Path("/dev/zero"), level):
        moved = level.with_name("moved")
        level.rename(moved)
        level.symlink_to(target)
        look_at(root)
        level.unlink()
        moved.rename(level)
    assert zg.check(root).ok
