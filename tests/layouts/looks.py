"""Everything that looks at documents before a sample is read, over a tree of documents in memory."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ziggurat as zg
from tests.layouts.bends import Draw
from tests.layouts.fixtures import Fixture
from ziggurat import layouts
from ziggurat.conversion.across import Wish, conversion_plan
from ziggurat.conversion.repairs import repair_plan
from ziggurat.layouts import Writing
from ziggurat.node import DictNode, Node
from ziggurat.problems import ZigguratError
from ziggurat.pyramid import survey
from ziggurat.transfer.conversions import final_documents
from ziggurat.validation import check_node, check_result

WRITTEN = tuple(
    f"{layout.name}@{version}" for layout in layouts.LAYOUTS if isinstance(layout, Writing) for version in layout.versions if layout.containers(version)
)


def _encoded(documents: Mapping[str, Any]) -> dict[str, bytes]:
    return {key: document if isinstance(document, bytes) else json.dumps(document).encode() for key, document in documents.items()}


def _repairs(node: Node, documents: Mapping[str, Any]) -> None:
    found = layouts.read(node)
    planned = repair_plan(node, found, check_result(node, found).problems)
    if planned.plan is not None:
        final_documents(planned.plan, {key: document for key, document in documents.items() if not isinstance(document, bytes)})
    assert all(map(str, planned.repairs))


def _conversion(node: Node, layout: str, *, in_place: bool) -> None:
    conversion_plan(node, layouts.read(node), Wish(layout, None, False, in_place, None))


def looks(fixture: Fixture, documents: Mapping[str, Any], draw: Draw) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yields each look by its name: detecting, reading, judging, describing, mending, converting; as a node and through the public functions."""
    store = _encoded(documents)

    def node() -> Node:
        return DictNode(store, location="bent", values=fixture.values)

    here = node()
    layout, target = fixture.layout, draw.choice(WRITTEN)
    yield "detect", lambda: layouts.detect(here)
    yield "read", lambda: layouts.read(here)
    yield f"read as {layout}", lambda: layouts.read(node(), layout)
    yield "members", lambda: layouts.members(here)
    yield "guesses", lambda: layouts.guesses(here)
    yield "check", lambda: str(check_node(here))
    yield f"check as {layout}", lambda: check_node(node(), layout=layout)
    yield "repairs", lambda: _repairs(here, documents)
    yield f"convert to {target}", lambda: _conversion(here, target, in_place=False)
    yield f"annotate {target}", lambda: _conversion(here, target, in_place=True)
    yield "info", lambda: survey(store).describe(width=80)
    yield "info --json", lambda: json.dumps(survey(store).to_json(), allow_nan=False, default=str)
    yield "open", lambda: [level.extent for level in zg.open(store)]


def judged(fixture: Fixture, documents: Mapping[str, Any], draw: Draw) -> Iterator[str]:
    """Yields the name of each look before it is taken; the documented exceptions, each with its sentence, are answers too."""
    for name, look in looks(fixture, documents, draw):
        yield name
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                look()
        except ZigguratError as error:
            assert str(error)
