"""From every good fixture into every layout that is written: placement, axes, and the keys of strangers at every depth.

New layouts and fixtures are picked up by themselves. What a layout cannot hold is refused, or reported as lost; nothing else happens.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.layouts.fixtures import GOOD, Fixture
from ziggurat import layouts
from ziggurat.conversion import upgrade_plan
from ziggurat.conversion.across import ConversionPlan, Wish, conversion_plan, writable
from ziggurat.node import ARRAY_KEYS, DictNode, dumps
from ziggurat.problems import LayoutError, NotFound, OptionError, UnsupportedError
from ziggurat.transfer.conversions import final_documents
from ziggurat.transfer.proofs import proven

TARGETS = writable()
REFUSALS = (LayoutError, NotFound, OptionError, UnsupportedError)
"""What a conversion that cannot be done may raise; everything else is a defect."""
FAMILY = ("multiscales", "ome-zarr")


def converted(fixture: Fixture, target: str) -> tuple[ConversionPlan, dict[str, Any], DictNode]:
    """The plan, every document of the new store, and the new store as a node."""
    node = fixture.node()
    plan = conversion_plan(node, layouts.read(node), Wish(target))
    documents: dict[str, Any] = dict(final_documents(plan, {}))
    for name, content in plan.files.items():
        documents[name] = content.encode() if isinstance(content, str) else dumps(content, name)
    return plan, documents, DictNode(documents, location="converted", values={path: small.values for path, small in plan.arrays.items()})


@pytest.mark.parametrize("fixture", GOOD, ids=lambda f: f.id)
def test_placement_survives_every_conversion_or_the_conversion_says_so(fixture: Fixture) -> None:
    before = layouts.read(fixture.node()).multiscales
    n_done = 0
    for target in TARGETS:
        try:
            plan, documents, node = converted(fixture, target)
            proven(plan, documents)
        except REFUSALS:
            continue
        n_done += 1
        lost = {problem.rule for problem in plan.lost}
        if "LOSS001" in lost:
            continue
        after = layouts.read(node, target).multiscales
        for old, new in zip(before, after, strict="LOSS006" not in lost):
            assert {level.path for level in new.levels} <= {move.target for move in plan.moves}
            for a, b in zip(old.levels, new.levels, strict=True):
                assert a.scale and b.scale and a.translation and b.translation
                assert b.scale == pytest.approx(a.scale, rel=1e-12), target
                assert all(abs(x - y) <= 1e-9 * abs(s) for x, y, s in zip(a.translation, b.translation, a.scale, strict=True)), target
                assert a.array and b.array and a.array.shape == b.array.shape and a.array.dtype == b.array.dtype
    assert n_done >= 2, "neither the founding layout nor any other takes it"


def test_what_cannot_be_placed_is_refused_before_anything_is_written() -> None:
    falling = [f for f in GOOD if any(s < 0 for m in layouts.read(f.node()).multiscales for s in m.levels[0].scale or ())]
    for fixture in falling[:3]:
        plan, documents, _ = converted(fixture, "ome-zarr@0.5")
        with pytest.raises(LayoutError, match="turn the axis round"):
            proven(plan, documents)


# --- keys of strangers


@dataclass(frozen=True)
class Planted:
    """A fixture with an unknown key in every object of its attributes."""

    fixture: Fixture
    values: dict[str, Any]
    places: dict[str, str]
    """Key -> where it stands, as problems spell places."""


def planted(fixture: Fixture, values: Iterator[Any]) -> Planted:
    found: dict[str, Any] = {}
    places: dict[str, str] = {}

    def plant(value: Any, loc: str) -> Any:
        if isinstance(value, list):
            return [plant(item, f"{loc}[{i}]") for i, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        key = f"zq{len(found)}"
        found[key] = next(values)
        places[key] = f"{loc}.{key}" if loc else key
        return {**{name: plant(item, f"{loc}.{name}" if loc else name) for name, item in value.items()}, key: found[key]}

    documents: dict[str, Any] = {}
    for name, document in fixture.documents.items():
        path = name.rpartition("/")[0]
        if isinstance(document, bytes) or not name.endswith((".zattrs", "zarr.json", "attributes.json")):
            documents[name] = document
        elif name.endswith("zarr.json"):
            documents[name] = {**document, "attributes": plant(document.get("attributes", {}), path)}
            documents[name].pop("consolidated_metadata", None)
        elif name.endswith("attributes.json"):
            facts = {key: item for key, item in document.items() if key in ARRAY_KEYS}
            documents[name] = {**plant({key: item for key, item in document.items() if key not in facts}, path), **facts}
        else:
            documents[name] = plant(document, path)
    return Planted(replace(fixture, documents=documents), found, places)


def held(documents: Mapping[str, Any]) -> dict[str, Any]:
    """Every planted key that documents hold, with its value."""
    found: dict[str, Any] = {}

    def walk(value: Any) -> None:
        if isinstance(value, Mapping):
            for key, item in value.items():
                if key.startswith("zq"):
                    found[key] = item
                walk(item)
        elif isinstance(value, list | tuple):
            for item in value:
                walk(item)

    walk(documents)
    return found


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5).filter(lambda k: not k.startswith("zq")), inner, max_size=3),
    max_leaves=6,
).filter(lambda value: value is not None)


def check_keys(fixture: Fixture, values: Iterator[Any], targets: tuple[str, ...]) -> None:
    plants = planted(fixture, values)
    source, keys = plants.fixture, plants.values
    node = source.node()
    result = layouts.read(node)
    layout = layouts.find(result.layout)
    if result.layout in TARGETS:
        written = layout.write(result.multiscales, version=layouts.version_of(result.layout), existing=dict(node.attributes))
        assert json.dumps(written.attributes.get("", {})) == json.dumps(node.attributes) or "" not in written.attributes
    if layout.name in FAMILY and "zarr.json" not in source.documents:
        try:
            plan = upgrade_plan(source.documents, to="ome-zarr@0.5")  # type: ignore[arg-type]
        except LayoutError:
            pass
        else:
            after = {k: v for k, v in source.documents.items() if k not in {c.key for c in plan.removals}} | {c.key: c.new for c in plan.writes}
            assert held(after) == keys
    for target in targets:
        try:
            plan, documents, _ = converted(source, target)
        except REFUSALS:
            continue
        told = {problem.loc for problem in plan.lost if problem.rule == "LOSS004"}
        listed = {move.source for move in plan.moves}
        kept = held(documents)
        for key, value in keys.items():
            assert kept.get(key, value) == value, f"{target} changed {key}"
            place = plants.places[key]
            reported = any(place == loc or place.startswith((f"{loc}.", f"{loc}[")) for loc in told)
            assert key in kept or reported or not _belongs(key, source, listed), f"{place} is gone in {target}"


def _belongs(key: str, source: Fixture, listed: set[str]) -> bool:
    """True when a key stands in the group, a level, or a group between: what a conversion is about."""
    for name, document in source.documents.items():
        path = name.rpartition("/")[0]
        if key in held({"": document} if not isinstance(document, bytes) else {}):
            return not path or path in listed or any(level.startswith(f"{path}/") for level in listed)
    return False


@pytest.mark.parametrize("fixture", GOOD, ids=lambda f: f.id)
def test_keys_of_strangers_are_found_again_or_reported(fixture: Fixture) -> None:
    numbers = random.Random(fixture.id)
    check_keys(fixture, iter(lambda: [numbers.random(), {"b": numbers.randrange(9)}], None), TARGETS)


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_any_value_of_a_strangers_key_survives(data: st.DataObject) -> None:
    fixture = data.draw(st.sampled_from(GOOD), label="fixture")
    target = data.draw(st.sampled_from(TARGETS), label="target")
    values = iter(lambda: data.draw(JSON_VALUES), object())
    check_keys(fixture, values, (target,))
