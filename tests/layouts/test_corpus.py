"""Every layout over every fixture: who claims it, what is wrong with it, and that writing back what was read changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.layouts.fixtures import COLLECTIONS, CORPUS, FIXTURES, GOOD, READABLE, Fixture
from ziggurat import layouts, open_collection, problems
from ziggurat.layouts.rules import COMMON, DEEP, TABLES, ZIPPED
from ziggurat.model import Multiscale
from ziggurat.node import DictNode, DocumentNode, Tree
from ziggurat.problems import DocumentError
from ziggurat.validation import check_node


def spelled(value: object) -> str:
    """The exact text: order of keys and spelling of numbers included."""
    return json.dumps(value)


def is_written(fixture: Fixture) -> bool:
    """True for the versions of layouts that are not only read."""
    layout = layouts.find(fixture.layout)
    grouped = not fixture.layout.startswith("xcube@")  # a folder that is no group has no attributes; its own tests write it
    return grouped and isinstance(layout, layouts.Writing) and bool(layout.containers(layouts.version_of(fixture.layout)))


WRITTEN = [fixture for fixture in READABLE if is_written(fixture)]


@pytest.mark.parametrize("fixture", READABLE, ids=lambda f: f.id)
def test_exactly_one_layout_has_the_strongest_claim(fixture: Fixture) -> None:
    evidence = layouts.detect(fixture.node())
    assert evidence[0].layout == fixture.layout
    assert [e.layout for e in evidence].count(fixture.layout) == 1
    assert len({e.layout.partition("@")[0] for e in evidence}) == len(evidence)


@pytest.mark.parametrize("fixture", [f for f in FIXTURES if f.raises is None], ids=lambda f: f.id)
def test_check_finds_exactly_the_broken_rules(fixture: Fixture) -> None:
    report = check_node(fixture.node())
    assert {p.rule for p in report} == set(fixture.rules)
    assert all(p.message and p.source for p in report)
    if fixture.kind == "broken":
        assert {p.rule for p in report} >= {fixture.name.split("-")[0]}


@pytest.mark.parametrize("fixture", GOOD, ids=lambda f: f.id)
def test_good_fixtures_open_whole(fixture: Fixture) -> None:
    result = layouts.read(fixture.node())
    assert result.multiscales
    for multiscale in result.multiscales:
        assert all(level.array is not None and level.scale is not None and level.translation is not None for level in multiscale.levels)
        assert {len(level.scale or ()) for level in multiscale.levels} == {multiscale.ndim}
        sizes = [level.array.size_bytes // level.array.itemsize for level in multiscale.levels if level.array]
        assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("fixture", [f for f in FIXTURES if f.raises is not None], ids=lambda f: f.id)
def test_documents_that_are_no_json_raise_with_file_and_place(fixture: Fixture) -> None:
    with pytest.raises(DocumentError) as caught:
        check_node(fixture.node())
    assert type(caught.value) is getattr(problems, fixture.raises or "")
    assert ".zattrs" in str(caught.value)
    if fixture.name not in ("JSON-deep", "JSON-list"):
        assert "line" in str(caught.value) and "column" in str(caught.value)


def test_the_founding_text_says_what_is_wrong_with_it() -> None:
    by_name = {f.name: f for f in FIXTURES}
    with pytest.raises(DocumentError, match=r"\.zattrs, line 2, column 3: a curly quote"):
        by_name["JSON-founding-text"].node().attributes  # noqa: B018
    with pytest.raises(DocumentError, match=r"line 13, column 6: a comment, and JSON has none"):
        by_name["JSON-comment"].node().attributes  # noqa: B018


def test_the_founding_sample_gets_two_lines_of_advice() -> None:
    report = check_node(next(f for f in FIXTURES if f.name == "founding-sample").node())
    assert [(p.rule, p.loc) for p in report.of("SHOULD")] == [("MS011", "multiscales[0].metadata"), ("MS011", "multiscales[1].metadata")]
    assert report.ok and not report.ok_strict


REPAIRED = ("COS007", "COS005-units-absent", "COS005-axes-turned", "COS005-two-of-three", "COS006-text", "COS006-scale-zero", "COS001", "DT007")
"""Where group and array (or its coordinates) state one fact differently, the array's holds, and a write says it in both places."""


@pytest.mark.parametrize("fixture", [f for f in WRITTEN if not f.name.startswith(REPAIRED)], ids=lambda f: f.id)
def test_writing_back_what_was_read_changes_nothing(fixture: Fixture) -> None:
    node = fixture.node()
    result = layouts.read(node)
    version = layouts.version_of(result.layout)
    existing = dict(node.attributes)
    before = spelled(existing)
    if fixture.name == "MS001-object":
        with pytest.raises(problems.LayoutError, match="an object there, not a list, and it is not overwritten"):
            layouts.find(result.layout).write(result.multiscales, version=version, existing=existing)
        return
    written = layouts.find(result.layout).write(result.multiscales, version=version, existing=existing)
    assert spelled(written.attributes[""]) == before
    assert spelled(existing) == before
    assert written.lost == () or fixture.layout in ("ome-zarr@0.1", "ome-zarr@0.2", "ome-zarr@0.3")


def rewritten(fixture: Fixture, multiscales: tuple[Multiscale, ...], version: str) -> tuple[Multiscale, ...]:
    """Writes series without their raw documents and reads them again over the same arrays."""
    name = fixture.layout.partition("@")[0]
    bare = [replace(m, raw={}, layout="") for m in multiscales]
    written = layouts.find(name).write(bare, version=version, existing={}).attributes
    attributes = written[""]
    documents = {k: v for k, v in fixture.documents.items() if k not in (".zattrs", "zarr.json", ".zmetadata") and not k.startswith("labels/")}
    if "zarr.json" in fixture.documents:
        documents["zarr.json"] = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    elif "attributes.json" in fixture.documents:
        documents["attributes.json"] = attributes
    else:
        documents[".zattrs"] = attributes
    for path, said in written.items():
        for name in (".zattrs", "attributes.json") if path else ():
            if f"{path}/{name}" in documents:
                documents[f"{path}/{name}"] = {**fixture.documents[f"{path}/{name}"], **{k: v for k, v in said.items() if v is not None}}  # type: ignore[dict-item]
    if fixture.layout in ("ome-zarr@0.1", "ome-zarr@0.2"):
        attributes["omero"] = {"channels": []}
    return layouts.read(DictNode(documents, values=fixture.values)).multiscales


def facts(multiscale: Multiscale) -> Multiscale:
    return replace(multiscale, raw={}, layout="")


@pytest.mark.parametrize("fixture", [f for f in GOOD if f.name not in ("bioformats2raw", "rotated") and f in WRITTEN], ids=lambda f: f.id)
def test_reading_what_was_written_anew_gives_the_same_series(fixture: Fixture) -> None:
    multiscales = layouts.read(fixture.node()).multiscales
    again = rewritten(fixture, multiscales, layouts.version_of(fixture.layout))
    assert [facts(m) for m in again] == [facts(m) for m in multiscales]
    assert [m.extra for m in again] == [m.extra for m in multiscales]
    assert [[level.extra for level in m.levels] for m in again] == [[level.extra for level in m.levels] for m in multiscales]


@pytest.mark.parametrize("fixture", READABLE, ids=lambda f: f.id)
def test_a_folder_reads_as_the_dict_does(fixture: Fixture, tmp_path: Path) -> None:
    node = fixture.folder(tmp_path)
    ours, theirs = layouts.read(node), layouts.read(fixture.node())
    assert ours.multiscales == theirs.multiscales
    assert [(p.rule, p.loc) for p in ours.problems] == [(p.rule, p.loc) for p in theirs.problems]


COPIED = ("geozarr@0.1", "ndpyramid@0.4", "geozarr-early@2023")
"""Layouts whose reader looks at the consolidated copy."""


# A folder without a document of its own tells nothing of what its arrays are written in.
@pytest.mark.parametrize("fixture", [f for f in GOOD if f.name != "no-document" and not f.layout.startswith("xcube@")], ids=lambda f: f.id)
def test_opening_lists_nothing_and_reads_no_more_than_it_must(fixture: Fixture) -> None:
    read: list[str] = []

    def get(key: str) -> bytes | None:
        read.append(key)
        value = fixture.documents.get(key)
        return value if value is None or isinstance(value, bytes) else json.dumps(value).encode()

    def names(path: str) -> list[str]:
        raise AssertionError(f"{path!r} was listed")

    result = layouts.read(DocumentNode(Tree(get, names, "counted")))
    n_arrays = len({level.path for m in result.multiscales for level in m.levels})
    # In Zarr v2 a base must be asked beside its own document for the names of its axes, where the layout does not state them.
    extra = (
        len({m.levels[0].path for m in result.multiscales})
        if fixture.layout in ("multiscales@0.1", "ome-zarr@0.1", "ome-zarr@0.2", "geozarr@0.1", "multivec@0.1")
        else 0
    )
    # Where levels are groups, the consolidated copy names what is in them.
    extra += fixture.layout in COPIED
    # Names of dimensions and coordinates stand in documents of their own.
    beside = 2 * len(fixture.values) + n_arrays if fixture.values else 0
    # Facts that a layout keeps on its arrays stand beside their documents in v2, too; N5 is asked for last.
    extra += n_arrays + 1 if fixture.layout.startswith(("cosem", "paintera")) else 0
    beside += 3 if any(key.endswith("attributes.json") for key in fixture.documents) else 0
    # Levels that nothing lists are asked for until one is missing, the group that holds them too.
    beside += 4 if fixture.layout.startswith(("n5-viewer", "paintera")) else 0
    # What is no node of any container is asked for each of its documents first.
    beside += 8 if fixture.layout.startswith("precomputed") else 0
    assert len(read) <= 2 + n_arrays + beside + (extra if ".zgroup" in fixture.documents else 0)
    assert len(read) == len(set(read))


def test_every_rule_that_can_be_found_broken_has_a_broken_fixture() -> None:
    # rules of archives need archives: tests/storage/test_zips.py
    broken = {f.name.split("-")[0] for f in FIXTURES if f.kind == "broken"}
    assert {rule.id for table in TABLES if table not in (COMMON, DEEP, ZIPPED) for rule in table if rule.requirement != "MAY"} <= broken


def test_every_fixture_has_a_line_of_provenance() -> None:
    page = (CORPUS / "PROVENANCE.md").read_text(encoding="utf-8")
    assert [f.id for f in FIXTURES if f"| {f.kind}/{f.name} |" not in page] == []


@pytest.mark.parametrize("fixture", COLLECTIONS, ids=lambda f: f.id)
def test_a_collection_names_its_members_and_opens_them(fixture: Fixture, tmp_path: Path) -> None:
    collection = open_collection(fixture.write(tmp_path))
    assert layouts.detect(fixture.node())[0].layout == fixture.layout == collection.layouts[0]
    assert tuple(collection) == fixture.members
    assert all(collection[name].levels for name in collection if fixture.kind == "good")
