"""What levels conserve: docs/conservation.md at a reduced size, and the page itself under `make prove`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def conservation() -> ModuleType:
    place = Path(__file__).parent.parent / "docs" / "conservation.py"
    spec = importlib.util.spec_from_file_location("conservation", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["conservation"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_sum_count_and_area_mean_of_every_level_are_the_bases(conservation: ModuleType) -> None:
    rows = conservation.measure(90)
    assert [row.shape for row in rows] == [(45, 90), (23, 45), (12, 23), (6, 12), (3, 6)]
    for row in rows:
        assert row.count_error == 0
        assert row.sum_error <= conservation.BOUND
        assert row.mean_error <= conservation.BOUND
    assert max(abs(row.plain_drift) for row in rows) > 1e-3 < max(abs(row.chained_drift) for row in rows)


def test_the_page_says_that_every_bound_is_kept(conservation: ModuleType) -> None:
    rows = [line.split("|")[3:6] for line in conservation.PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert len(rows) == conservation.N_LEVELS - 1
    assert all([cell.strip() for cell in row] == ["equal", "below 1e-12", "below 1e-12"] for row in rows)


@pytest.mark.prove
def test_the_page_is_what_the_script_writes(conservation: ModuleType) -> None:
    assert conservation.page(conservation.measure()) == conservation.PAGE.read_text(encoding="utf-8")
