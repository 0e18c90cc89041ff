"""The report, the specification made of the rules, and both compared with JSON Schemas: ours, and the published ones of OME-NGFF."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import jsonschema
import pytest
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.layouts.fixtures import FIXTURES, GOOD, Fixture
from ziggurat import layouts
from ziggurat.layouts.rules import FOUNDING, OME, RULES
from ziggurat.node import DictNode
from ziggurat.validation import CHECKS, check_node, spec_markdown, spec_schema

ROOT = Path(__file__).parent.parent
BY_ID = {fixture.id: fixture for fixture in FIXTURES}


# --- the report ----------------------------------------------------------------------------------------------------------


def test_rules_have_unique_ids_and_a_source() -> None:
    assert len(RULES) == len({rule.id for rule in RULES.values()})
    assert all(rule.text.endswith(".") and rule.source for rule in RULES.values())


def test_checks_name_rules_that_exist() -> None:
    assert {rule for checks in CHECKS.values() for rules, _ in checks for rule in rules} <= set(RULES)


def test_a_report_follows_the_document() -> None:
    entries = [{"version": "0.1", "datasets": [{"path": "../x"}]}, *({"version": "0.1", "datasets": [{"path": "0"}]} for _ in range(11))]
    document = {"zarr_format": 3, "node_type": "group", "attributes": {"multiscales": entries}}
    report = check_node(DictNode({"zarr.json": document}))
    places = [int(p.loc.split("[")[1].split("]")[0]) for p in report if "[" in p.loc]
    assert places == sorted(places) and len(set(places)) == 12
    assert report.layouts == ("multiscales@0.1",) and report.location == "memory"
    assert not report.ok and len(set(report)) == len(report)


def test_where_group_and_array_differ_both_are_shown() -> None:
    report = check_node(BY_ID["ome-zarr@0.4/broken/OME014-scale"].node())
    assert "tell a factor of 3, the sizes 201 and 51 tell 3.94118; the arrays win" in report.problems[0].message
    report = check_node(BY_ID["multiscales@0.1/broken/MS018-factors-disagree"].node())
    assert "[32, 16]" in report.problems[0].message and "[32, 32]" in report.problems[0].message
    report = check_node(BY_ID["ome-zarr@0.5/broken/OME018-differ"].node())
    assert "['x', 'y', 'z']" in report.problems[0].message and "['z', 'y', 'x']" in report.problems[0].message


def test_absent_may_keys_are_silent() -> None:
    documents = dict(BY_ID["multiscales@0.1/good/founding-detailed"].documents)
    attributes = json.loads(json.dumps(documents[".zattrs"]))
    attributes["multiscales"][0]["metadata"] = {}
    assert len(check_node(DictNode({**documents, ".zattrs": attributes}))) == 0


def test_a_forced_layout_is_judged_by_its_own_rules() -> None:
    node = BY_ID["ome-zarr@0.2/good/omero"].node()
    assert [p.rule for p in check_node(node)] == []
    assert {p.rule for p in check_node(node, layout="multiscales@0.1")} == {"MS008", "MS017"}


def test_a_consolidated_copy_that_is_true_is_silent(tmp_path: Path) -> None:
    for name in ("multiscales@0.1/good/founding-detailed", "ome-zarr@0.4/good/labels"):
        documents = dict(BY_ID[name].documents)
        copy = {"zarr_consolidated_format": 1, "metadata": documents.copy()}
        assert [p.rule for p in check_node(DictNode({**documents, ".zmetadata": copy}))] == []  # type: ignore[dict-item]
    documents = json.loads(json.dumps(dict(BY_ID["ome-zarr@0.5/good/placed"].documents)))
    below = {key.removesuffix("/zarr.json"): value for key, value in documents.items() if key != "zarr.json"}
    documents["zarr.json"]["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": below}
    assert [p.rule for p in check_node(DictNode(documents))] == []


# --- the specification ---------------------------------------------------------------------------------------------------


def generated() -> dict[Path, str]:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages: dict[Path, str] = module.generated()
    return pages


def test_generated_files_are_those_that_are_committed() -> None:
    for path, text in generated().items():
        assert path.read_text(encoding="utf-8") == text, f"{path} is not up to date; run 'python docs/generate.py'"


def test_the_page_holds_every_rule_and_its_example_is_good() -> None:
    page = spec_markdown()
    assert all(f"| {rule.id} | {rule.requirement}" in page and rule.text in page for rule in FOUNDING)
    example = json.loads(page.split("```json\n")[1].split("```")[0])
    array = BY_ID["multiscales@0.1/good/founding-detailed"].documents["0/.zarray"]
    names = {"_ARRAY_DIMENSIONS": ["y", "x", "c"]}
    documents = {".zgroup": {"zarr_format": 2}, ".zattrs": example}
    for k, path in enumerate(("base", "M1", "M2")):
        documents |= {f"{path}/.zarray": {**array, "shape": [512 >> k, 512 >> k, 3]}, f"{path}/.zattrs": names}  # type: ignore[dict-item, arg-type]
    assert len(check_node(DictNode(documents))) == 0  # type: ignore[arg-type]


VALIDATOR = jsonschema.Draft202012Validator(spec_schema())


def test_our_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(spec_schema())


@pytest.mark.parametrize("fixture", [f for f in FIXTURES if f.layout == "multiscales@0.1" and f.raises is None], ids=lambda f: f.id)
def test_our_schema_agrees_with_our_checks(fixture: Fixture) -> None:
    sayable = {rule.id for rule in FOUNDING if rule.schema and rule.requirement == "MUST"}
    advised = {"MS008-number", "MS008-unknown", "MS009-null", "MS010-list", "MS011-string"}
    wrong = bool(sayable & set(fixture.rules)) or fixture.name in advised
    if fixture.name == "MS004-long":
        wrong = False  # Length is a limit of file systems, not of the format.
    elif fixture.name == "MS004-percent":
        wrong = False  # A limit of ours: some servers decode it.
    assert VALIDATOR.is_valid(fixture.node().attributes) is not wrong


# --- the published schemas of OME-NGFF, where a package that carries them is installed -----------------------------------


def published(version: str, name: str) -> jsonschema.Draft202012Validator:
    found = importlib.util.find_spec("ngff_zarr")
    if found is None or found.origin is None:
        pytest.skip("ngff-zarr, which carries the schemas of OME-NGFF, is not installed")
    folder = Path(found.origin).parent / "spec" / version / "schemas"
    if not (folder / name).exists():
        pytest.skip(f"the installed ngff-zarr carries no {name} of {version}")
    schemas = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.schema")]
    registry = Registry().with_resources((schema["$id"], DRAFT202012.create_resource(schema)) for schema in schemas if "$id" in schema)
    return jsonschema.Draft202012Validator(json.loads((folder / name).read_text(encoding="utf-8")), registry=registry)


IMAGES = [f for f in FIXTURES if f.layout.startswith("ome-zarr") and f.raises is None and f.members is None]


@pytest.mark.parametrize("fixture", IMAGES, ids=lambda f: f.id)
def test_what_the_published_schema_refuses_we_refuse(fixture: Fixture) -> None:
    errors = list(published(fixture.layout.partition("@")[2], "image.schema").iter_errors(dict(fixture.node().attributes)))
    if errors:
        assert {p.requirement for p in check_node(fixture.node())} & {"MUST", "SHOULD"}, errors
    if not fixture.rules:
        assert errors == []


HELD = [
    (fixture, version)
    for fixture in GOOD
    for version in ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6")
    if not fixture.rules
    and fixture.layout.startswith(("ome-zarr@", "multiscales@"))  # which state the keys that the strict schema asks for
    and not any(layouts.can_hold(m.axes, f"ome-zarr@{version}") for m in layouts.read(fixture.node()).multiscales)
]


@pytest.mark.parametrize(("fixture", "version"), HELD, ids=[f"{fixture.id}-{version}" for fixture, version in HELD])
def test_what_we_write_is_valid_by_the_published_strict_schema(fixture: Fixture, version: str) -> None:
    multiscales = layouts.read(fixture.node()).multiscales
    written = layouts.find("ome-zarr").write(multiscales, version=version, existing=fixture.node().attributes).attributes[""]
    name = "image.schema" if version == "0.2" else "strict_image.schema"
    assert list(published(version, name).iter_errors(written)) == []


def test_the_published_rules_are_all_in_the_table() -> None:
    assert [rule.id for rule in OME] == [f"OME{k:03}" for k in range(1, 27)]
