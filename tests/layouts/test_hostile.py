"""Broken, hostile and half-written trees: whatever stands in the documents, nothing but the documented exceptions is raised.

Every fixture is bent in seeded, random ways; new layouts and fixtures are picked up by themselves. `make prove` bends each many times.
"""

from __future__ import annotations

import copy
import random
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ziggurat as zg
from tests.layouts.fixtures import FIXTURES, Fixture
from ziggurat import layouts
from ziggurat.node import DictNode
from ziggurat.problems import ZigguratError
from ziggurat.pyramid import survey
from ziggurat.validation import check_node

PATHS = ("..", "../0", "/0", "a/../../x", "", ".", "C:\\x", "http://x/y", "~", "$HOME", "0\0", "0/" * 400, "0")
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, -1e308, 2**70, "", "x" * 5000, [], {}, [[]], [None], {"": None}, [1e-320] * 3, list(range(3000)), *PATHS,
)  # fmt: skip
SECONDS, MEBIBYTES = 5.0, 400


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield value, key
            yield from places(item)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield value, i
            yield from places(item)


def deep(n: int) -> Any:
    value: Any = 1
    for _ in range(n):
        value = [value]
    return value


def replaced(documents: dict[str, Any], chance: random.Random) -> None:
    plain = [document for document in documents.values() if isinstance(document, dict)]
    found = [place for document in plain for place in places(document)]
    if found:
        for container, key in chance.sample(found, min(len(found), chance.randint(1, 3))):
            container[key] = deep(chance.choice((40, 200))) if chance.random() < 0.05 else copy.deepcopy(chance.choice(VALUES))


def dropped(documents: dict[str, Any], chance: random.Random) -> None:
    documents.pop(chance.choice(list(documents)))


def shrunk(documents: dict[str, Any], chance: random.Random) -> None:
    """A key less somewhere."""
    found = [(c, k) for document in documents.values() if isinstance(document, dict) for c, k in places(document) if isinstance(c, dict)]
    if found:
        container, key = chance.choice(found)
        container.pop(key, None)


def groups_for_arrays(documents: dict[str, Any], chance: random.Random) -> None:
    """A level is a group, or is larger than the base."""
    for key in [key for key in documents if key.endswith(".zarray")][:1]:
        documents[key.replace(".zarray", ".zgroup")] = {"zarr_format": 2}
        del documents[key]
    for document in documents.values():
        if isinstance(document, dict) and document.get("node_type") == "array" and chance.random() < 0.5:
            document["node_type"] = "group"
            break
        if isinstance(document, dict) and isinstance(document.get("shape"), list) and chance.random() < 0.5:
            document["shape"] = [n * 100 + 1 if isinstance(n, int) else n for n in document["shape"]]


def doubled(documents: dict[str, Any], chance: random.Random) -> None:
    """Lists of a thousand entries, all the same."""
    for container, key in [p for document in documents.values() if isinstance(document, dict) for p in places(document)]:
        if isinstance(container[key], list) and container[key] and chance.random() < 0.2:
            container[key] = container[key] * (1000 // len(container[key]) + 1)
            return


BENDS: tuple[Callable[[dict[str, Any], random.Random], None], ...] = (replaced, replaced, replaced, shrunk, dropped, groups_for_arrays, doubled)


def judged(node: Any, layout: str) -> None:
    """Everything that looks at documents; the documented exceptions are answers too."""
    for look in (layouts.detect, layouts.read, layouts.members, check_node, lambda n: layouts.read(n, layout), lambda n: check_node(n, layout=layout)):
        try:
            look(node)
        except ZigguratError as error:
            assert str(error)


def bent(fixture: Fixture, chance: random.Random) -> dict[str, Any]:
    documents = copy.deepcopy(dict(fixture.documents))
    for _ in range(chance.randint(1, 3)):
        if documents:
            chance.choice(BENDS)(documents, chance)
    return documents


@pytest.mark.parametrize("fixture", [f for f in FIXTURES if f.raises is None and f.kind == "good"], ids=lambda f: f.id)
def test_bent_documents_raise_nothing_else(fixture: Fixture, request: pytest.FixtureRequest) -> None:
    n = 400 if request.config.getoption("--prove") else 3
    chance = random.Random(fixture.id)
    for i in range(n):
        documents = bent(fixture, chance)
        began = time.monotonic()
        try:
            judged(DictNode(documents, location="bent", values=fixture.values), fixture.layout)
        except (AssertionError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError, MemoryError) as error:
            if not isinstance(error, ZigguratError):
                raise AssertionError(f"round {i}: {type(error).__name__}: {error}; documents {documents!r:.3000}") from error
        assert time.monotonic() - began < 6 * SECONDS, "six looks, five seconds each"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 < MEBIBYTES * 4  # of the whole test process; a bomb is larger


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
