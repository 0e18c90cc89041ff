"""Writes the pages that are generated from tables in the package and from measured figures: `make docs`."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

from ziggurat import reductions
from ziggurat.validation import spec_markdown, spec_schema

ROOT = Path(__file__).parent.parent


BEGIN, END = "<!-- figures:begin -->\n", "<!-- figures:end -->"


def loaded(path: Path) -> ModuleType:
    """Returns a module that lies beside its figures, and in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def measured() -> dict[Path, str]:
    """Returns the page of benchmarks, and the README with their figures, from benchmarks/results.json."""
    page = loaded(ROOT / "benchmarks" / "page.py")
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    before, _, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition(BEGIN)
    readme = before + BEGIN + page.readme(results) + END + rest.partition(END)[2]
    return {ROOT / "docs" / "benchmarks.md": page.page(results), ROOT / "README.md": readme}


def generated() -> dict[Path, str]:
    """Returns every generated file with its content."""
    return {
        ROOT / "docs" / "reductions.md": reductions.markdown(),
        ROOT / "docs" / "spec" / "multiscales-0.1.md": spec_markdown(),
        ROOT / "src" / "ziggurat" / "schemas" / "multiscales-0.1.schema.json": json.dumps(spec_schema(), indent=2) + "\n",
        **measured(),
        **loaded(ROOT / "docs" / "layout_pages.py").pages(),
        **loaded(ROOT / "docs" / "reliability.py").pages(),
    }


if __name__ == "__main__":
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
