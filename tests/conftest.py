"""Two tiers: `make test` runs a sample of everything; `--prove` runs the tests marked `prove` as well and writes what they saw."""

from __future__ import annotations

import datetime
import platform
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Fixed seeds: a red run is red again. The deadline is off because time is never asserted.
settings.register_profile("sampled", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
settings.load_profile("sampled")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--prove", action="store_true", help="also run the tests marked `prove`: everything, not a sample")
    parser.addoption("--prove-report", metavar="FILE", help="write what the run saw to FILE, as Markdown")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--prove"):
        for item in items:
            if item.get_closest_marker("prove"):
                item.user_properties.append(("tier", "prove"))
        return
    skip = pytest.mark.skip(reason="run by `make prove`")
    for item in items:
        if "prove" in item.keywords:
            item.add_marker(skip)


class _Proofs:
    """Collects outcomes, and what tests recorded with `record_property`, on the process that reports."""

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}
        self.proofs: list[tuple[str, str, list[tuple[str, object]]]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
            self.outcomes[report.outcome] = self.outcomes.get(report.outcome, 0) + 1
            if report.user_properties:
                self.proofs.append((report.nodeid, report.outcome, [p for p in report.user_properties if p != ("tier", "prove")]))

    def markdown(self) -> Iterator[str]:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip() or "unknown"
        dirty = bool(subprocess.run(["git", "status", "--porcelain", "src", "tests"], capture_output=True, text=True, check=False).stdout.strip())
        yield "# What `make prove` saw\n\nWritten by the run itself; do not edit.\n\n"
        yield f"- date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC\n- commit: {commit}{' and uncommitted changes' if dirty else ''}\n"
        packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "zarr", "imagecodecs", "tifffile", "tensorstore", "scikit-image"))
        yield f"- Python {platform.python_version()}, {packages}\n"
        yield "- outcomes: " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items())) + "\n\n"
        yield "Every test of the suite ran; the table lists those that `make test` only samples, and what they recorded.\n\n"
        yield "| test | outcome | recorded |\n|---|---|---|\n"
        for nodeid, outcome, properties in sorted(self.proofs):
            recorded = "; ".join(f"{key}: {value}" for key, value in properties).replace("|", "\\|").replace("\n", " ")
            yield f"| `{nodeid.replace('|', chr(92) + '|')}` | {outcome} | {recorded} |\n"


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--prove-report", None) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Proofs(), "ziggurat-proofs")


def pytest_unconfigure(config: pytest.Config) -> None:
    proofs = config.pluginmanager.get_plugin("ziggurat-proofs")
    if isinstance(proofs, _Proofs):
        Path(config.getoption("--prove-report")).write_text("".join(proofs.markdown()), encoding="utf-8")
