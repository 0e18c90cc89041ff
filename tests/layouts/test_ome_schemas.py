"""The published JSON Schemas of OME-NGFF 0.1 to 0.6 and our validator agree: on every document of the corpus, and on seeded mutations of them."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator

import pytest

from tests.layouts.fixtures import FIXTURES, Fixture
from tests.test_validation import published
from ziggurat.model import JSON
from ziggurat.node import DictNode
from ziggurat.problems import DocumentError, NotFound, Problem
from ziggurat.validation import check_node

SEMANTIC = {
    "OME003": "a path leads to an array, and stays below the group: a schema sees no arrays",
    "OME004": "sizes are in the arrays",
    "OME005": "the number of axes is compared with arrays",
    "OME006": "types of samples are in the arrays",
    "OME007": "names are compared with one another; a schema compares whole entries",
    "OME008": "the order of the axes, and what may stand beside space",
    "OME010": "that exactly one entry of a list is a scale",
    "OME011": "the order of scale and translation",
    "OME012": "the number of axes is elsewhere in the document",
    "OME013": "0.4 and 0.5 accept any number as a scale",
    "OME016": "the version of one block is compared with others; 0.1 to 0.4 do not require it",
    "OME017": "separators are in the arrays",
    "OME018": "names of dimensions are in the arrays",
    "OME019": "label images are other documents",
    "OME020": "plates and wells have schemas of their own",
    "OME024": "names of systems are compared with one another",
    "OME025": "what a transformation refers to is elsewhere in the document",
    "COL001": "members are other documents",
    "CON001": "the copy is another document",
    "ZARR001": "Zarr's own documents",
}
"""Broken rules that a schema cannot see, with the reason."""
UNPARSED = {"metadata": "its values are somebody else's, whatever they are (zarr-specs issue #50); the schema of 0.1 wants strings"}
"""Keys below which a schema may refuse what we are silent about, with the reason."""
N_MUTATIONS = 400
VALUES: tuple[JSON, ...] = (None, True, -1, 0, 1.5, "x", "", [], {}, [1], ["x"], [{}], {"a": 1})
IMAGES = [f for f in FIXTURES if f.layout.startswith("ome-zarr@") and f.raises is None and f.members is None]


def places(value: JSON, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yields the place of every value of a document, the deepest last."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def mutated(fixture: Fixture, draw: random.Random) -> tuple[dict[str, JSON], str]:
    """Returns the documents of a fixture with one value of its attributes deleted or replaced, and what was done."""
    documents = copy.deepcopy(dict(fixture.documents))
    root = documents.get("zarr.json", documents.get(".zattrs"))
    attributes = root["attributes"] if "zarr.json" in documents else root  # type: ignore[index, call-overload]
    held = attributes.get("ome", attributes)  # type: ignore[union-attr]
    top = [key for key in ("multiscales", "omero", "version") if key in held]  # type: ignore[operator]
    key = draw.choice(top)
    path = (key, *draw.choice([(), *places(held[key])]))  # type: ignore[index, call-overload]
    place = held
    for step in path[:-1]:
        place = place[step]  # type: ignore[index, call-overload]
    if draw.random() < 0.4:
        del place[path[-1]]  # type: ignore[union-attr, arg-type]
        return documents, f"{path} deleted"  # type: ignore[return-value]
    value = draw.choice(VALUES)
    place[path[-1]] = copy.deepcopy(value)  # type: ignore[index, call-overload]
    return documents, f"{path} = {value!r}"  # type: ignore[return-value]


def judged(fixture: Fixture, documents: dict[str, JSON]) -> tuple[bool, tuple[Problem, ...]] | None:
    """Returns whether the schema accepts documents, and what we find; None where they are no OME-Zarr of that version any more."""
    node = DictNode(documents)  # type: ignore[arg-type]
    try:
        report = check_node(node)
    except (NotFound, DocumentError):
        return None
    if report.layouts[0] != fixture.layout:
        return None
    errors = published(fixture.layout.partition("@")[2], "image.schema").iter_errors(dict(node.attributes))
    return all(UNPARSED.keys() & set(map(str, error.absolute_path)) for error in errors), report.problems


def disagreement(accepts: bool, problems: tuple[Problem, ...]) -> str:
    """Returns in what schema and validator disagree, empty where they agree."""
    found = {problem.rule for problem in problems if problem.requirement in ("MUST", "SHOULD")}
    broken = {problem.rule for problem in problems if problem.requirement == "MUST"} - set(SEMANTIC)
    if not accepts and not found:
        return "the schema refuses what we are silent about"
    return f"we find {sorted(broken)} broken and the schema accepts" if accepts and broken else ""


@pytest.mark.parametrize("fixture", IMAGES, ids=lambda f: f.id)
def test_schemas_and_validator_agree_on_the_corpus(fixture: Fixture) -> None:
    found = judged(fixture, copy.deepcopy(dict(fixture.documents)))  # type: ignore[arg-type]
    assert found is None or disagreement(*found) == ""


def test_schemas_and_validator_agree_on_mutations() -> None:
    draw = random.Random(50)
    n_judged, wrong = 0, []
    for _ in range(N_MUTATIONS):
        fixture = draw.choice(IMAGES)
        documents, what = mutated(fixture, draw)
        found = judged(fixture, documents)
        if found is not None:
            n_judged += 1
            if why := disagreement(*found):
                wrong.append(f"{fixture.id} {what}: {why}")
    assert wrong == []
    assert n_judged >= N_MUTATIONS // 2
