"""Every broken fixture whose rule says that it can be mended is mended, and nothing else breaks. New fixtures are picked up by themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.layouts.fixtures import FIXTURES, Fixture
from ziggurat import layouts
from ziggurat.conversion.across import ConversionPlan, writable
from ziggurat.conversion.repairs import repair_plan
from ziggurat.layouts import RULES
from ziggurat.node import DictNode, dumps
from ziggurat.problems import ZigguratError
from ziggurat.transfer.conversions import final_documents
from ziggurat.validation import check_node, check_result

MENDABLE = [f for f in FIXTURES if f.raises is None and f.members is None and f.kind == "broken" and any(RULES[rule].repair for rule in f.rules)]
GOOD = [f for f in FIXTURES if f.kind == "good" and f.members is None]


def mended(fixture: Fixture) -> tuple[int, Mapping[str, Any], DictNode] | None:
    """Number of repairs, the documents afterwards, and the node; None where the layout is only read or nothing can be mended."""
    node = fixture.node()
    found = layouts.read(node)
    try:
        planned = repair_plan(node, found, check_result(node, found).problems)
    except ZigguratError:
        return None
    if planned.plan is None:
        return None
    before = {key: document for key, document in fixture.documents.items() if not isinstance(document, bytes)}
    after = {**fixture.documents, **final_documents(planned.plan, before), **files_of(planned.plan)}
    values = {**fixture.values, **{path: small.values for path, small in planned.plan.arrays.items()}}
    return len(planned.repairs), after, DictNode(after, values=values)


def files_of(plan: ConversionPlan) -> dict[str, bytes]:
    return {name: value.encode() if isinstance(value, str) else dumps(value, name) for name, value in plan.files.items()}


LEFT = frozenset(
    {
        "cosem@1/broken/COS003-path-leaves",
        "datatree@1/broken/DT004-wrong-length",
        "itk@1/broken/ITK002-number",
        "itk@1/broken/ITK003-other-dimensions",
        "itk@1/broken/ITK004-same-place",
        "itk@1/broken/ITK004-words-on-a-reduced-axis",
        "itk@1/broken/ITK004-wrong-length",
        "multiscales@0.1/broken/MS005-base-missing",
        "multiscales@0.1/broken/MS006-same-array-twice",
        "multiscales@0.1/broken/MS008-unknown",
        "ome-zarr@0.3/broken/OME018-group",
        "ome-zarr@0.4/broken/OME003-parent",
        "ome-zarr@0.4/broken/OME010-no-scale",
        "ome-zarr@0.5/broken/OME015-unexplained",
        "ome-zarr@0.5/broken/OME015-zero-shift",
        "ome-zarr@0.5/broken/OME016-image-label",
        "ome-zarr@0.5/broken/OME016-inner",
        "ome-zarr@0.5/broken/OME016-second-list",
        "ome-zarr@0.5/broken/OME016-unknown",
        "xcube@1.0/broken/XC004-wrong-length",
    }
)
"""Broken in a way that documents alone do not mend (a reduction must be said, a base is gone, a version is another), though the rule has a repair."""


@pytest.mark.parametrize("fixture", MENDABLE, ids=lambda f: f.id)
def test_a_repair_mends_its_rule_and_breaks_no_other(fixture: Fixture) -> None:
    done = mended(fixture)
    writes = isinstance(layouts.find(fixture.layout), layouts.Mending) and fixture.layout in writable()
    assert (done is None) == (not writes or fixture.id in LEFT)
    if done is None:
        return
    _, _, node = done
    before = {problem.rule for problem in check_node(fixture.node())}
    after = check_node(node)
    assert {problem.rule for problem in after.of("MUST")} <= before
    assert len({problem.rule for problem in after}) < len(before)


def test_most_of_what_says_that_it_can_be_mended_is() -> None:
    done = {f.id for f in MENDABLE if mended(f) is not None}
    rules = {rule for f in MENDABLE if f.id in done for rule in f.rules if RULES[rule].repair}
    assert rules >= {"MS005", "MS006", "MS008", "OME003", "OME004", "OME016", "OME018", "CON001"}


@pytest.mark.parametrize("fixture", GOOD, ids=lambda f: f.id)
def test_good_documents_are_never_changed(fixture: Fixture) -> None:
    done = mended(fixture)
    if done is None:
        return
    _, after, _ = done
    changed = [key for key, document in after.items() if json.dumps(document, default=str) != json.dumps(fixture.documents.get(key), default=str)]
    mendable = {rule for rule in fixture.rules if RULES[rule].repair}
    assert not changed or mendable, changed


KNOWN_BY_COPY = ("on-the-array",)
"""Recognised by nothing but what their copy says of the arrays."""


def stale(fixture: Fixture) -> Fixture:
    """The same store with a consolidated copy that describes a group which is not there."""
    documents: dict[str, Any] = {key: document for key, document in fixture.documents.items() if key != ".zmetadata"}
    if "zarr.json" in documents:
        gone = {"zarr_format": 3, "node_type": "group", "attributes": {}}
        documents["zarr.json"] = {**documents["zarr.json"], "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": {"gone": gone}}}
    else:
        documents[".zmetadata"] = {"zarr_consolidated_format": 1, "metadata": {"gone/.zgroup": {"zarr_format": 2}}}
    return replace(fixture, documents=documents)


@pytest.mark.parametrize("fixture", [f for f in GOOD if {".zgroup", "zarr.json"} & f.documents.keys() and f.name not in KNOWN_BY_COPY], ids=lambda f: f.id)
def test_a_stale_copy_is_made_anew_in_every_layout(fixture: Fixture) -> None:
    """Also in those that are only read: a copy says what the documents say."""
    spoilt = stale(fixture)
    assert "CON001" in {problem.rule for problem in check_node(spoilt.node())}
    done = mended(spoilt)
    assert done is not None
    _, after, node = done
    assert "CON001" not in {problem.rule for problem in check_node(node)}
    if not isinstance(layouts.find(fixture.layout), layouts.Writing):
        assert [key for key in after if key in spoilt.documents and after[key] != spoilt.documents[key]] in (["zarr.json"], [".zmetadata"])
