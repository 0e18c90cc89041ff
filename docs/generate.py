"""Writes the pages that are generated from tables in the package: `python docs/generate.py`."""

from __future__ import annotations

import json
from pathlib import Path

from ziggurat import reductions
from ziggurat.validation import spec_markdown, spec_schema

ROOT = Path(__file__).parent.parent


def generated() -> dict[Path, str]:
    """Returns every generated file with its content."""
    return {
        ROOT / "docs" / "reductions.md": reductions.markdown(),
        ROOT / "docs" / "spec" / "multiscales-0.1.md": spec_markdown(),
        ROOT / "src" / "ziggurat" / "schemas" / "multiscales-0.1.schema.json": json.dumps(spec_schema(), indent=2) + "\n",
    }


if __name__ == "__main__":
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
