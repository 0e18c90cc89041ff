"""How documents of the corpus are bent: mutations that know what a tree of documents is. Drawn by a seed, or by the bytes of a coverage-guided fuzzer."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from tests.layouts.fixtures import Fixture

T = TypeVar("T")


class Draw(Protocol):
    """What `random.Random` has, and a fuzzer's bytes can be made to have."""

    def choice(self, seq: Sequence[T], /) -> T: ...
    def randint(self, a: int, b: int, /) -> int: ...
    def random(self) -> float: ...


Documents = dict[str, Any]
PATHS = ("..", "../0", "/0", "a/../../x", "", ".", "C:\\x", "http://x/y", "file:///etc/passwd", "~", "$HOME", "0\0", "0/" * 400, "0", "%2e%2e/0", "\ud800")
TEXTS = ("x" * 5000, "nan", "Infinity", "1e999", "-0", "\u202e", "\x1b[2J", "<script>", "0.5-dev", "99999999999999999999", "ziggurat.mean", *PATHS)
NUMBERS = (-1, 0, 1, 2, -0.0, 0.5, 1e308, -1e308, 5e-324, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**70, 10**300)
VALUES: tuple[Any, ...] = (
    None, True, False, [], {}, [[]], [None], {"": None}, [1e-320] * 3, list(range(3000)), [0, 0, 0], [-1, -1], [[1, 1, 1]] * 3, ["0", "0"], [{}],
    *NUMBERS, *TEXTS,
)  # fmt: skip


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


def spots(documents: Documents) -> list[tuple[Any, Any]]:
    return [place for document in documents.values() if isinstance(document, dict) for place in places(document)]


def deep(n: int) -> Any:
    value: Any = 1
    for _ in range(n):
        value = [value] if n % 2 else {"a": value}
    return value


def replaced(documents: Documents, draw: Draw) -> None:
    """Values of other kinds, sizes and signs."""
    found = spots(documents)
    for _ in range(draw.randint(1, 3) if found else 0):
        container, key = draw.choice(found)
        container[key] = deep(draw.choice((41, 200))) if draw.random() < 0.05 else copy.deepcopy(draw.choice(VALUES))


def moved(documents: Documents, draw: Draw) -> None:
    """A value of another place: levels that list themselves or each other, paths of groups, transforms of another rank."""
    if found := spots(documents):
        (container, key), (other, name) = draw.choice(found), draw.choice(found)
        container[key] = copy.deepcopy(other[name])


def swapped(documents: Documents, draw: Draw) -> None:
    """Two values change places, or two documents."""
    if draw.random() < 0.3 and len(documents) > 1:
        names = list(documents)
        one, other = draw.choice(names), draw.choice(names)
        documents[one], documents[other] = documents[other], documents[one]
    elif found := spots(documents):
        (container, key), (other, name) = draw.choice(found), draw.choice(found)
        container[key], other[name] = copy.deepcopy(other[name]), copy.deepcopy(container[key])


def dropped(documents: Documents, draw: Draw) -> None:
    documents.pop(draw.choice(list(documents)))


def cut(documents: Documents, draw: Draw) -> None:
    """A document that is no JSON: half-written, of bytes, or of another encoding."""
    name = draw.choice(list(documents))
    documents[name] = draw.choice(
        (b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe{", b"\x00" * 64, b'{"a": NaN}', b'{"a":1,"a":2}', b"[" * 3000, b"<a>", b"II*\0" + b"\0" * 60)
    )


def shrunk(documents: Documents, draw: Draw) -> None:
    """A key or an entry less somewhere."""
    if found := spots(documents):
        container, key = draw.choice(found)
        del container[key]


def renamed(documents: Documents, draw: Draw) -> None:
    """A key under another name: of a sibling, or hostile."""
    found = [(container, key) for container, key in spots(documents) if isinstance(container, dict)]
    if found:
        container, key = draw.choice(found)
        container[draw.choice((draw.choice(found)[1], draw.choice(PATHS)))] = container.pop(key)


def groups_for_arrays(documents: Documents, draw: Draw) -> None:
    """A level is a group, or is larger than the base."""
    for key in [key for key in documents if key.endswith(".zarray")][:1]:
        documents[key.replace(".zarray", ".zgroup")] = {"zarr_format": 2}
        del documents[key]
    for document in documents.values():
        if isinstance(document, dict) and document.get("node_type") == "array" and draw.random() < 0.5:
            document["node_type"] = "group"
            break
        for key in ("shape", "dimensions"):
            if isinstance(document, dict) and isinstance(document.get(key), list) and draw.random() < 0.5:
                document[key] = [n * 100 + 1 if isinstance(n, int) else n for n in document[key]]


def doubled(documents: Documents, draw: Draw) -> None:
    """A list of a thousand entries, all the same."""
    found = [(container, key) for container, key in spots(documents) if isinstance(container[key], list) and container[key]]
    if found:
        container, key = draw.choice(found)
        if len(json.dumps(container[key])) < 2000:
            container[key] = [copy.deepcopy(item) for _ in range(1000 // len(container[key]) + 1) for item in container[key]]


BENDS: tuple[Callable[[Documents, Draw], None], ...] = (
    replaced, replaced, replaced, moved, moved, swapped, shrunk, shrunk, renamed, dropped, cut, groups_for_arrays, doubled,
)  # fmt: skip


def bent(fixture: Fixture, draw: Draw) -> Documents:
    """Returns the documents of a fixture, bent once to four times."""
    documents: Documents = copy.deepcopy(dict(fixture.documents))
    for _ in range(draw.randint(1, 4)):
        if documents:
            draw.choice(BENDS)(documents, draw)
    return documents
