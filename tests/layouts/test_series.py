"""Series: choice, order, axes and geometry where the document has none; what survives; what a newcomer adds; hostile documents."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.layouts.fixtures import FIXTURES, GOOD, Fixture
from ziggurat import layouts
from ziggurat.layouts import Documents, Evidence
from ziggurat.model import JSON, Axis, Level, Multiscale
from ziggurat.node import DictNode, Node
from ziggurat.problems import DocumentError, LayoutError, NotFound, OptionError, Problem, ZigguratError
from ziggurat.validation import check_node

LISTED = tuple(name for name in layouts.known() if name.startswith(("ome-zarr@", "multiscales@")))
"""Layouts whose arrays may lie anywhere below the group, and which are forms of one list."""
BY_ID = {fixture.id: fixture for fixture in FIXTURES}


def array2(shape: Sequence[int], dtype: str = "<u2", chunks: Sequence[int] | None = None) -> dict[str, JSON]:
    sizes: list[JSON] = list(chunks or (min(n, 64) or 1 for n in shape))
    return {"zarr_format": 2, "shape": list(shape), "chunks": sizes, "dtype": dtype, "compressor": None, "fill_value": 0, "order": "C", "filters": None}


def group2(attributes: Mapping[str, JSON], arrays: Mapping[str, dict[str, JSON]]) -> DictNode:
    return DictNode({".zgroup": {"zarr_format": 2}, ".zattrs": attributes, **{f"{path}/.zarray": document for path, document in arrays.items()}})


def one(node: Node) -> Multiscale:
    (multiscale,) = layouts.read(node).multiscales
    return multiscale


def founding(shapes: Sequence[Sequence[int]], dtype: str = "<u2", **more: JSON) -> DictNode:
    names = [str(k) for k in range(len(shapes))]
    entry: dict[str, JSON] = {"version": "0.1", "datasets": [{"path": name} for name in names], **more}
    return group2({"multiscales": [entry]}, {name: array2(shape, dtype) for name, shape in zip(names, shapes, strict=True)})


# --- axes and geometry ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "dtype", "names", "provenance"),
    [
        ([(9,)], "<u2", "x", "inferred"),
        ([(9, 8)], "<u2", "yx", "inferred"),
        ([(9, 8, 7)], "<u2", "zyx", "inferred"),
        ([(9, 8, 3)], "|u1", "yxc", "inferred"),
        ([(9, 8, 4)], "<u2", "yxc", "inferred"),
        ([(9, 8, 3)], "<f4", "zyx", "inferred"),
        ([(8, 8, 4), (4, 4, 2)], "|u1", "zyx", "inferred"),
        ([(9, 9, 8, 3)], "|u1", "zyxc", "inferred"),
    ],
)
def test_axes_that_nothing_names_are_inferred_and_marked(shapes: list[tuple[int, ...]], dtype: str, names: str, provenance: str) -> None:
    axes = one(founding(shapes, dtype)).axes
    assert ("".join(axis.name for axis in axes), {axis.provenance for axis in axes}) == (names, {provenance})


def test_four_axes_without_evidence_are_not_guessed() -> None:
    result = layouts.read(founding([(2, 3, 9, 8)]))
    assert [axis.provenance for axis in result.multiscales[0].axes] == ["absent"] * 4
    assert "--axes" in next(p.message for p in result.problems if p.rule == "MS017")


def test_names_of_the_base_are_the_axes() -> None:
    node = group2({"multiscales": [{"datasets": [{"path": "0"}]}]}, {"0": array2((9, 8, 3))})
    node = DictNode({**node.documents, "0/.zattrs": {"_ARRAY_DIMENSIONS": ["lat", "lon", "band"]}})
    assert [(a.name, a.kind, a.provenance) for a in one(node).axes] == [("lat", "space", "stated"), ("lon", "space", "stated"), ("band", "channel", "stated")]


def test_geometry_from_shapes_is_aligned_at_the_corner() -> None:
    levels = one(founding([(275, 100), (137, 100), (68, 67)])).levels
    assert [level.scale for level in levels] == [(1.0, 1.0), (2.0, 1.0), (4.0, 100 / 67)]
    assert [level.translation for level in levels] == [(0.0, 0.0), (0.5, 0.0), (1.5, float((Fraction(100, 67) - 1) / 2))]
    assert {level.scale_provenance for level in levels} == {level.translation_provenance for level in levels} == {"inferred"}


def test_our_own_method_tells_the_geometry() -> None:
    kwargs: dict[str, JSON] = {"factors": [[1, 2], [1, 3]], "anchor": "first"}
    method: JSON = {"method": "ziggurat.stride", "kwargs": kwargs}
    levels = one(founding([(9, 100), (9, 50), (9, 17)], metadata=method)).levels
    assert [level.scale for level in levels] == [(1.0, 1.0), (1.0, 2.0), (1.0, 6.0)]
    assert [level.translation for level in levels] == [(0.0, 0.0)] * 3
    assert {level.scale_provenance for level in levels} == {"derived"}
    mixed: JSON = {"method": "ziggurat.x", "kwargs": {**kwargs, "anchor": ["first", "centre"]}}
    assert one(founding([(9, 100), (9, 50)], metadata=mixed)).levels[1].translation == (0.0, 0.5)


@pytest.mark.parametrize(
    "method",
    [
        {"method": "skimage.transform.pyramid_gaussian", "kwargs": {"factors": [[1, 3]], "anchor": "first"}},
        {"method": "ziggurat.mean"},
        {"method": "ziggurat.mean", "kwargs": {"factors": [[1, 2, 2]]}},
        {"method": "ziggurat.mean", "kwargs": {"factors": [["1", 2]]}},
        {"method": "ziggurat.mean", "kwargs": {"factors": [[1, 0]]}},
        {"method": "ziggurat.mean", "kwargs": {"factors": [[1, 2]], "anchor": "left"}},
        {"kwargs": {"factors": [[1, 3]]}},
        "ziggurat.mean",
    ],
    ids=repr,
)
def test_other_methods_and_odd_values_are_opaque(method: JSON) -> None:
    level = one(founding([(9, 100), (9, 50)], metadata=method)).levels[1]
    assert (level.scale, level.translation, level.translation_provenance) == ((1.0, 2.0), (0.0, 0.5), "inferred")


def test_axes_of_length_zero_do_not_stop_reading() -> None:
    assert one(founding([(0, 8), (0, 4)])).levels[1].scale == (1.0, 2.0)


def test_levels_come_largest_first_and_go_back_as_they_were() -> None:
    result = layouts.read(BY_ID["multiscales@0.1/broken/MS006-ascending"].node())
    assert result.multiscales[0].coarse_first
    assert [level.path for level in result.multiscales[0].levels] == ["0", "1"]
    assert result.multiscales[0].levels[1].scale == (2.0, 2.0)


def test_a_missing_level_leaves_the_others() -> None:
    result = layouts.read(BY_ID["multiscales@0.1/broken/MS005-level-missing"].node())
    assert [level.array is None for level in result.multiscales[0].levels] == [False, False, True]
    missing = result.multiscales[0].levels[2]
    assert (missing.scale, missing.scale_provenance) == (None, "absent")


def test_without_the_base_nothing_is_guessed_about_the_others() -> None:
    levels = layouts.read(BY_ID["multiscales@0.1/broken/MS005-base-missing"].node()).multiscales[0].levels
    assert [(level.path, level.array is None, level.scale, level.translation) for level in levels] == [("base", True, None, None), ("1", False, None, None)]


def test_a_stated_scale_places_levels_before_their_sizes_do() -> None:
    scales: list[list[JSON]] = [[2.0, 2.0], [4.02, 4.0]]
    datasets: list[JSON] = [{"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": scale}]} for k, scale in enumerate(scales)]
    entry: dict[str, JSON] = {"version": "0.4", "axes": [{"name": "y"}, {"name": "x"}], "datasets": datasets}
    levels = one(group2({"multiscales": [entry]}, {"0": array2((201, 200)), "1": array2((100, 100))})).levels
    assert levels[1].scale == (4.02, 4.0) and levels[1].translation == (1.01, 1.0)


def test_a_broken_series_hides_no_other() -> None:
    for fixture in FIXTURES:
        if fixture.name.startswith("MS004-") or fixture.name in ("MS002-datasets-absent", "MS003-path-absent"):
            result = layouts.read(fixture.node())
            assert [m.name for m in result.multiscales] == ["example"], fixture.id
            assert all("[0]" in p.loc for p in result.problems)


# --- choice --------------------------------------------------------------------------------------------------------------


def sample() -> tuple[Multiscale, ...]:
    return layouts.read(BY_ID["multiscales@0.1/good/two-chunkings"].node()).multiscales


def test_choice() -> None:
    planes, columns = sample()
    assert layouts.choose(sample()).name == "planes"
    assert layouts.choose(sample(), 1).name == layouts.choose(sample(), -1).name == layouts.choose(sample(), "columns").name == "columns"
    assert layouts.choose(sample(), lambda m: m.levels[0].path == "r/0").name == "columns"
    assert layouts.choose([planes, replace(columns, type="laplacian")], "laplacian").name == "columns"
    assert layouts.choose(sample(), chunks_like=(2, 48, 48)).name == "planes"
    assert layouts.choose(sample(), chunks_like=(64, 16, 16)).name == "columns"
    assert layouts.choose(sample(), "gaussian", chunks_like=(64, 16, 16)).name == "columns"


@pytest.mark.parametrize(("which", "chunks"), [(2, None), ("no", None), (lambda _: False, None), (None, (1, 2)), (None, (0, 1, 1))])
def test_choice_of_what_is_not_there_names_what_is(which: layouts.Choice | None, chunks: tuple[int, ...] | None) -> None:
    with pytest.raises(OptionError, match=r"0 \('planes', chunks \[1, 64, 64\]\), 1 \('columns'"):
        layouts.choose(sample(), which, chunks_like=chunks)


# --- looking up ----------------------------------------------------------------------------------------------------------


def test_an_array_says_that_it_is_one() -> None:
    with pytest.raises(NotFound, match="an array"):
        layouts.read(BY_ID["multiscales@0.1/good/levels-in-groups"].node().child("scale1/image"))


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ({}, "nothing there that is Zarr"),
        ({".zgroup": {"zarr_format": 2}}, "a group without multiscale metadata"),
        ({".zgroup": {"zarr_format": 2}, ".zattrs": {"multiscales": {"mine": []}}}, "a group without multiscale metadata"),
    ],
)
def test_where_nothing_is_says_so(documents: dict[str, dict[str, JSON]], message: str) -> None:
    with pytest.raises(NotFound, match=message):
        layouts.read(DictNode(documents))
    with pytest.raises(NotFound, match=message):
        check_node(DictNode(documents))


def test_ids() -> None:
    assert {*LISTED, "ome-zarr@0.1", "ome-zarr@0.6"} <= set(layouts.known()) and len(set(layouts.known())) == len(layouts.known())
    assert layouts.version_of("ome-zarr") == "0.5" and layouts.version_of("ome-zarr@0.4") == "0.4"
    for unknown in ("ome-zarr@0.9", "geotiff", ""):
        with pytest.raises(LayoutError, match=r"not known; there are .*ome-zarr@0\.1"):
            layouts.find(unknown)
    with pytest.raises(LayoutError):
        layouts.read(BY_ID["ome-zarr@0.5/good/placed"].node(), "nothing@1")
    assert layouts.read(BY_ID["ome-zarr@0.1/good/omero"].node(), "multiscales@0.1").multiscales[0].layout == "multiscales@0.1"


# --- what survives -------------------------------------------------------------------------------------------------------

KEY = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8).map(lambda text: f"x-{text}")
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**64) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def objects(value: JSON) -> list[dict[str, JSON]]:
    """Every object of a document, at any depth."""
    if isinstance(value, dict):
        return [value, *(found for item in value.values() for found in objects(item))]
    return [found for item in value for found in objects(item)] if isinstance(value, list) else []


def is_written(fixture: Fixture) -> bool:
    layout = layouts.find(fixture.layout)
    grouped = not fixture.layout.startswith("xcube@")  # a folder that is no group has no attributes; its own tests write it
    return grouped and isinstance(layout, layouts.Writing) and bool(layout.containers(layouts.version_of(fixture.layout)))


@settings(max_examples=40)
@given(st.data())
def test_unknown_keys_at_every_depth_survive_reading_and_writing(data: st.DataObject) -> None:
    fixture = data.draw(st.sampled_from([f for f in GOOD if is_written(f)]))
    documents = copy.deepcopy(dict(fixture.documents))
    name = next(name for name in (".zattrs", "zarr.json", "attributes.json") if name in documents)
    document = documents[name]
    assert not isinstance(document, bytes)
    attributes = document["attributes"] if name == "zarr.json" else document
    for place in objects(attributes):
        planted = data.draw(st.dictionaries(KEY, VALUE, max_size=2))
        for key, value in planted.items():
            items = list(place.items())
            items.insert(data.draw(st.integers(0, len(items))), (key, value))
            place.clear()
            place.update(items)
    before = json.dumps(attributes)
    node = DictNode(documents)
    result = layouts.read(node)
    assert result.layout == fixture.layout and len(result.multiscales) >= 1
    written = layouts.find(result.layout).write(result.multiscales, version=layouts.version_of(result.layout), existing=node.attributes)
    assert json.dumps(written.attributes[""]) == before


def test_what_changed_is_written_and_nothing_else() -> None:
    node = BY_ID["multiscales@0.1/good/unknown-keys-everywhere"].node()
    multiscale = replace(one(node), name="new name", method=None)
    written = layouts.find("multiscales").write([multiscale], version="0.1", existing=node.attributes).attributes[""]
    expected = copy.deepcopy(dict(node.attributes))
    entry = expected["multiscales"][0]  # type: ignore[index, call-overload]
    entry["name"] = "new name"  # type: ignore[index, call-overload]
    del entry["metadata"]  # type: ignore[union-attr, attr-defined]
    assert json.dumps(written) == json.dumps(expected)


def test_a_level_that_is_taken_off_and_one_that_is_added() -> None:
    node = BY_ID["ome-zarr@0.4/good/placed"].node()
    multiscale = one(node)
    new = Level("3", (0.5, 0.8, 0.8), (0.0, 0.35, 0.35), "stated", "stated")
    written = layouts.find("ome-zarr").write([replace(multiscale, levels=(*multiscale.levels[:2], new))], version="0.4", existing=node.attributes)
    old = node.attributes["multiscales"][0]["datasets"]  # type: ignore[index, call-overload]
    datasets = written.attributes[""]["multiscales"][0]["datasets"]  # type: ignore[index, call-overload]
    assert datasets[:2] == old[:2]  # type: ignore[index, call-overload]
    added = [{"type": "scale", "scale": [0.5, 0.8, 0.8]}, {"type": "translation", "translation": [0.0, 0.35, 0.35]}]
    assert datasets[2:] == [{"path": "3", "coordinateTransformations": added}]  # type: ignore[index, call-overload]


def test_a_second_series_is_added_beside_the_first_and_a_broken_one() -> None:
    node = BY_ID["multiscales@0.1/broken/MS002-datasets-absent"].node()
    series = layouts.read(node).multiscales
    added = Multiscale((Level("base"), Level("L1")), series[0].axes, name="laplacian", type="laplacian")
    written = layouts.find("multiscales").write([*series, added], version="0.1", existing=node.attributes).attributes[""]
    old = node.attributes["multiscales"]
    new = {"version": "0.1", "name": "laplacian", "datasets": [{"path": "base"}, {"path": "L1"}], "type": "laplacian"}
    assert written["multiscales"] == [*old, new]  # type: ignore[misc, list-item]


# --- from layout to layout -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fixture", [f for f in GOOD if f.layout in ("ome-zarr@0.4", "ome-zarr@0.5", "multiscales@0.1")], ids=lambda f: f.id)
@pytest.mark.parametrize("target", LISTED)
def test_geometry_and_names_cross_layouts_or_the_loss_is_told(fixture: Fixture, target: str) -> None:
    multiscales = layouts.read(fixture.node()).multiscales
    layout, version = layouts.find(target), layouts.version_of(target)
    if any(layout.can_hold(m.axes, version=version) for m in multiscales):
        if target != fixture.layout:
            with pytest.raises(LayoutError, match="cannot hold"):
                layout.write(multiscales, version=version, existing={})
        return
    attributes = fixture.node().attributes
    written = layout.write(multiscales, version=version, existing=attributes)
    again = layouts.find(target).read(DictNode({".zattrs": written.attributes[""]}))[0]
    assert [[level.path for level in m.levels] for m in again] == [[level.path for level in m.levels] for m in multiscales]
    assert [(m.name, m.type, m.method) for m in again] == [(m.name, m.type, m.method) for m in multiscales]
    if version in ("0.4", "0.5", "0.6") and target.startswith("ome"):
        assert [[level.scale for level in m.levels] for m in again] == [[level.scale for level in m.levels] for m in multiscales]
        told = ("stated", "derived", "inferred") if version == "0.6" else ("stated", "derived")  # 0.6 gives silence a meaning
        known = [[level for level in m.levels if level.translation_provenance in told] for m in multiscales]
        places = [[level.translation for level in m.levels if level.translation_provenance == "stated"] for m in again]
        assert places == [[level.translation for level in levels] for levels in known]
        assert [[(a.name, a.unit) for a in m.axes] for m in again] == [[(a.name, a.unit) for a in m.axes] for m in multiscales]
    elif any(axis.unit for m in multiscales for axis in m.axes):
        assert any(p.rule == "LOSS001" for p in written.lost)
    foreign = {k: v for k, v in attributes.items() if k.startswith(("before", "after"))}
    assert {k: written.attributes[""].get(k) for k in foreign} == foreign


def test_levels_without_scale_and_array_cannot_be_written_to_ome() -> None:
    axes = (Axis("y", "space"), Axis("x", "space"))
    with pytest.raises(LayoutError, match="level '1' has neither a scale nor an array"):
        layouts.find("ome-zarr").write([Multiscale((Level("0", (1.0, 1.0)), Level("1")), axes)], version="0.4", existing={})


def test_what_the_target_cannot_say_is_told() -> None:
    axes = (Axis("y", "space", "micrometer"), Axis("x", "space", "micrometer"))
    level = Level("0", (0.5, 0.5), (0.0, 0.0), "stated", "stated")
    turned = Multiscale((level,), axes, world=((0.0, 1.0), (1.0, 0.0)))
    lost = layouts.find("multiscales").write([turned], version="0.1", existing={}, display={"channels": []}).lost
    assert {p.rule for p in lost} == {"LOSS001", "LOSS002", "LOSS003"}
    assert {p.rule for p in layouts.find("ome-zarr").write([turned], version="0.5", existing={}).lost} == {"LOSS002"}


# --- what a newcomer adds ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Toy:
    """A layout in one file: the attribute `toy` names the arrays, the factor is always 2."""

    name: str = "toy"
    versions: tuple[str, ...] = ("1",)

    def detect(self, node: Node) -> Evidence | None:
        return Evidence("toy@1", "declared", "the attribute 'toy'") if isinstance(node.attributes.get("toy"), list) else None

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        paths = [path for path in node.attributes["toy"] if isinstance(path, str)]  # type: ignore[union-attr]
        levels = [Level(path, (2.0**k,), (2.0**k / 2 - 0.5,), "derived", "derived", node.child(path).array) for k, path in enumerate(paths)]
        return (Multiscale(tuple(levels), (Axis("x"),), layout="toy@1"),), ()

    def can_hold(self, axes: Sequence[Axis], *, version: str) -> str | None:
        return None if len(axes) == 1 else "a toy has one axis"

    def write(self, multiscales: Sequence[Multiscale], *, version: str, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None) -> Documents:
        return Documents({"": {**existing, "toy": [level.path for level in multiscales[0].levels]}})


def test_a_newcomer_s_layout_is_one_object_in_a_tuple() -> None:
    table = (*layouts.LAYOUTS, Toy())
    node = group2({"toy": ["a", "b"], "other": 1}, {"a": array2((9,)), "b": array2((5,))})
    assert [e.layout for e in layouts.detect(node, table)] == ["toy@1"]
    assert layouts.detect(node) == ()
    result = layouts.read(node, layouts=table)
    assert result.multiscales[0].levels[1].scale == (2.0,)
    assert layouts.find("toy", table).write(result.multiscales, version="1", existing=node.attributes).attributes[""] == node.attributes
    assert layouts.can_hold([Axis("y"), Axis("x")], "toy@1", table) == "a toy has one axis"
    both = group2({"toy": ["a"], "multiscales": [{"version": "0.1", "datasets": [{"path": "a"}]}]}, {"a": array2((9,))})
    assert [e.layout for e in layouts.detect(both, table)] == ["multiscales@0.1", "toy@1"]


# --- hostile documents ---------------------------------------------------------------------------------------------------

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["0.1", "0.4", "0.5", "0", "../0", "scale", "", "x"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "multiscales",
                    "ome",
                    "version",
                    "datasets",
                    "path",
                    "axes",
                    "name",
                    "type",
                    "coordinateTransformations",
                    "scale",
                    "translation",
                    "metadata",
                    "omero",
                    "method",
                    "kwargs",
                    "factors",
                    "anchor",
                    "channels",
                    "labels",
                    "plate",
                    "wells",
                    "unit",
                    "consolidated_metadata",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=40,
)


def judge(documents: Mapping[str, Mapping[str, JSON] | bytes]) -> None:
    """Reads and checks; only documented exceptions may come out."""
    for work in (layouts.read, check_node):
        try:
            work(DictNode(documents))
        except ZigguratError as error:
            assert "\n" not in str(error)


@settings(max_examples=50)
@given(JUNK, JUNK)
def test_junk_raises_only_documented_errors(junk: JSON, more: JSON) -> None:
    for attributes in (
        {"multiscales": junk, "omero": more},
        {"ome": {"version": "0.5", "multiscales": junk, "plate": more}},
        {"ome": junk},
        {"multiscales": [junk, more]},
    ):
        judge({".zgroup": {"zarr_format": 2}, ".zattrs": attributes, "0/.zarray": array2((9, 8)), ".zmetadata": {"metadata": {"0/.zarray": array2((9, 8))}}})
        judge({"zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": attributes}})


@settings(max_examples=60)
@given(st.data())
def test_good_documents_with_one_value_replaced_raise_only_documented_errors(data: st.DataObject) -> None:
    documents = copy.deepcopy(dict(data.draw(st.sampled_from(GOOD)).documents))
    places = [(place, key) for document in documents.values() if not isinstance(document, bytes) for place in objects(dict(document)) for key in place]
    place, key = data.draw(st.sampled_from(places))
    place[key] = data.draw(JUNK)
    judge(documents)


def test_huge_lists_are_not_walked() -> None:
    many: list[JSON] = [{"path": str(i)} for i in range(100_000)]
    result = layouts.read(group2({"multiscales": [{"version": "0.1", "datasets": many}]}, {}))
    assert result.multiscales == () and [p.rule for p in result.problems] == ["MS002"]
    series: list[JSON] = [{"version": "0.1", "datasets": [{"path": "0"}]}] * 5000
    result = layouts.read(group2({"multiscales": series}, {"0": array2((8, 8))}))
    assert len(result.multiscales) == 1000 and "MS001" in {p.rule for p in result.problems}


def test_a_deep_document_is_refused() -> None:
    with pytest.raises(DocumentError):
        layouts.read(DictNode({".zattrs": b'{"multiscales": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"}))


@pytest.mark.prove
@pytest.mark.parametrize(
    ("tested", "drawn", "n_examples"),
    [
        (test_unknown_keys_at_every_depth_survive_reading_and_writing, (st.data(),), 1000),
        (test_junk_raises_only_documented_errors, (JUNK, JUNK), 4000),
        (test_good_documents_with_one_value_replaced_raise_only_documented_errors, (st.data(),), 4000),
    ],
    ids=["survival", "junk", "one value replaced"],
)
def test_the_sampled_properties_over_many_documents(
    tested: Callable[[], None], drawn: tuple[st.SearchStrategy[object], ...], n_examples: int, record_property: Callable[[str, object], None]
) -> None:
    inner = tested.hypothesis.inner_test  # type: ignore[attr-defined]
    settings(max_examples=n_examples)(given(*drawn)(inner))()
    record_property("documents", n_examples)
