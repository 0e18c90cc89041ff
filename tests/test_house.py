"""The house: what may import what, what a plain import costs, and what no module may do."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "ziggurat"
MODULES = sorted(SOURCE.rglob("*.py"))
HEAVY = ("numpy", "zarr", "imagecodecs", "numcodecs", "tifffile", "dask", "xarray", "click", "rich", "scipy", "pandas", "obstore", "fsspec", "tensorstore")


def loaded_after(code: str) -> set[str]:
    """Returns the heavy packages that a fresh interpreter has loaded after running `code`."""
    program = f"{code}\nimport sys\nsys.stderr.write('LOADED ' + ' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stderr.rpartition("LOADED")[2].split())


def test_import_loads_nothing_heavy() -> None:
    assert loaded_after("import ziggurat") == set()


@pytest.mark.parametrize("module", ["model", "problems", "geometry", "node", "layouts", "validation", "conversion", "planner"])
def test_pure_modules_load_nothing_heavy(module: str) -> None:
    assert loaded_after(f"import ziggurat.{module}") <= {"numpy"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_no_mutable_module_state(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    mutable = (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp)
    found = [
        ast.unparse(n) for n in tree.body if isinstance(n, (ast.Assign, ast.AnnAssign)) and isinstance(n.value, mutable) and "__all__" not in ast.unparse(n)
    ]
    assert found == []


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_functions_stay_small(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno <= 90, f"{node.name} is too long"
            assert node.name.startswith("_") or node.args.kwarg is None, f"{node.name} takes **{node.args.kwarg.arg if node.args.kwarg else ''}"


def test_no_data_over_a_megabyte_is_tracked() -> None:
    root = SOURCE.parent.parent
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=False).stdout.splitlines()
    assert [name for name in listed if (root / name).is_file() and (root / name).stat().st_size > 1_000_000] == []
