"""docs/reliability.md names only tests that exist, for every promise."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def reliability() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reliability", ROOT / "docs" / "reliability.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reliability"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_every_promise_is_shown_by_tests_that_exist(reliability: ModuleType) -> None:
    assert [p.name for p in reliability.PROMISES] == [*(f"R{n}" for n in range(1, 18)), *(f"S{n}" for n in range(1, 13))]
    missing = []
    for name in {test for promise in reliability.PROMISES for test in promise.tests}:
        path, _, function = name.partition("::")
        defined = (
            {n.name for n in ast.parse((ROOT / path).read_text(encoding="utf-8")).body if isinstance(n, ast.FunctionDef)} if (ROOT / path).exists() else set()
        )
        missing += [name] if function not in defined else []
    assert missing == [] and all(p.tests for p in reliability.PROMISES)


def test_the_page_is_what_the_table_says(reliability: ModuleType) -> None:
    assert reliability.PAGE.read_text(encoding="utf-8") == reliability.page()
