"""The public face is frozen: every public name with its signature stands in public_api.txt.

A change that is meant: `python tests/test_public_api.py` writes the snapshot anew, and the CHANGELOG says why.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import ziggurat

SNAPSHOT = Path(__file__).with_name("public_api.txt")


def _signature(owner: object) -> str:
    return str(inspect.signature(owner)).replace("'", "") if callable(owner) else ""


def _members(owner: type) -> Iterator[str]:
    if is_dataclass(owner):
        yield from (f"    {f.name}: {f.type}" for f in fields(owner))
    for name, member in sorted(vars(owner).items()):
        if name.startswith("_") and name not in ("__len__", "__iter__", "__getitem__", "__array__"):
            continue
        if isinstance(member, property):
            yield f"    {name} (property)"
        elif inspect.isfunction(member):
            yield f"    {name}{_signature(member)}"


def public_face() -> str:
    """Returns the names that `ziggurat` exports, one per line, with signatures, fields and members."""
    lines: list[str] = []
    for name in sorted(ziggurat.__all__):
        value = getattr(ziggurat, name)
        if isinstance(value, type):
            lines += [f"class {name}({', '.join(b.__name__ for b in value.__bases__)})", *_members(value)]
        elif callable(value):
            lines.append(f"def {name}{_signature(value)}")
        else:
            lines.append(name)
    return "\n".join(lines) + "\n"


def test_public_api_is_the_snapshot() -> None:
    assert public_face() == SNAPSHOT.read_text(encoding="utf-8")


def test_no_public_function_takes_more_than_three_positional_parameters() -> None:
    for name in ziggurat.__all__:
        value = getattr(ziggurat, name)
        if inspect.isfunction(value):
            parameters = inspect.signature(value).parameters.values()
            assert sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) <= 3, name
            assert not any(p.kind is p.VAR_KEYWORD for p in parameters), name


def test_every_public_name_is_documented() -> None:
    assert [name for name in ziggurat.__all__ if not name.startswith("__") and not inspect.getdoc(getattr(ziggurat, name))] == []


if __name__ == "__main__":
    SNAPSHOT.write_text(public_face(), encoding="utf-8")
