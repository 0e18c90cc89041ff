"""OME-Zarr: which version a document is, what it may hold, where its samples lie."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.layouts.fixtures import FIXTURES
from ziggurat import layouts
from ziggurat.layouts import ome_zarr
from ziggurat.model import JSON, Axis, Level, Multiscale
from ziggurat.node import DictNode
from ziggurat.problems import LayoutError

BY_ID = {fixture.id: fixture for fixture in FIXTURES}


def one(name: str) -> Multiscale:
    return layouts.read(BY_ID[name].node()).multiscales[0]


def array(shape: tuple[int, ...], separator: str = ".") -> dict[str, JSON]:
    return {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": list(shape),
        "dtype": "<u2",
        "compressor": None,
        "fill_value": 0,
        "order": "C",
        "filters": None,
        "dimension_separator": separator,
    }


PLAIN: dict[str, JSON] = {"datasets": [{"path": "0"}]}
SCALED: dict[str, JSON] = {"datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}]}
FIVE, TWO = (1, 1, 1, 8, 8), (8, 8)


@pytest.mark.parametrize(
    ("entry", "more", "shape", "separator", "found"),
    [
        ({**PLAIN, "version": "0.1"}, {}, TWO, ".", ["multiscales@0.1"]),
        ({**PLAIN, "version": "0.1"}, {}, FIVE, ".", ["ome-zarr@0.1", "multiscales@0.1"]),
        ({**PLAIN, "version": "0.1"}, {}, FIVE, "/", ["multiscales@0.1"]),
        ({**PLAIN, "version": "0.1"}, {"omero": {}}, FIVE, "/", ["ome-zarr@0.1", "multiscales@0.1"]),
        (PLAIN, {}, TWO, ".", ["multiscales@0.1"]),
        (PLAIN, {}, FIVE, ".", ["ome-zarr@0.1", "multiscales@0.1"]),
        (PLAIN, {}, FIVE, "/", ["ome-zarr@0.2", "multiscales@0.1"]),
        ({**PLAIN, "version": "0.2"}, {}, FIVE, "/", ["ome-zarr@0.2"]),
        ({**PLAIN, "version": "0.3", "axes": ["y", "x"]}, {}, TWO, "/", ["ome-zarr@0.3"]),
        ({**PLAIN, "axes": ["y", "x"]}, {}, TWO, "/", ["ome-zarr@0.3"]),
        ({**PLAIN, "axes": [{"name": "y"}, {"name": "x"}]}, {}, TWO, "/", ["ome-zarr@0.4"]),
        (SCALED, {}, TWO, "/", ["ome-zarr@0.4"]),
        ({**SCALED, "version": 0.4}, {}, TWO, "/", ["ome-zarr@0.4"]),
        ({**SCALED, "version": "0.4-dev-spatialdata"}, {}, TWO, "/", ["ome-zarr@0.4"]),
        ({**SCALED, "version": "latest"}, {}, TWO, "/", ["ome-zarr@0.4"]),
        ({**SCALED, "version": "0.5"}, {}, TWO, "/", ["ome-zarr@0.4"]),
        ({**PLAIN, "version": "0.5"}, {}, TWO, "/", ["multiscales@0.1"]),
        ({**PLAIN, "version": "7"}, {}, TWO, ".", ["multiscales@0.1"]),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, (dict, list)) else str(value),
)
def test_the_version_of_a_document(entry: dict[str, JSON], more: dict[str, JSON], shape: tuple[int, ...], separator: str, found: list[str]) -> None:
    node = DictNode({".zgroup": {"zarr_format": 2}, ".zattrs": {"multiscales": [entry], **more}, "0/.zarray": array(shape, separator)})
    assert [evidence.layout for evidence in layouts.detect(node)] == found
    assert layouts.read(node).layout == found[0]


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ({"ome": {"version": "0.5", "multiscales": [SCALED]}}, ["ome-zarr@0.5"]),
        ({"ome": {"version": "0.6.dev1", "multiscales": [SCALED]}}, ["ome-zarr@0.6"]),
        ({"ome": {"version": "0.9", "multiscales": [SCALED]}}, ["ome-zarr@0.5"]),
        ({"ome": {"version": "0.9", "multiscales": [{**SCALED, "coordinateSystems": []}]}}, ["ome-zarr@0.6"]),
        ({"ome": {"multiscales": [SCALED]}, "multiscales": [{**PLAIN, "version": "0.1"}]}, ["ome-zarr@0.5", "multiscales@0.1"]),
        ({"multiscales": [{**SCALED, "version": "0.4"}]}, ["ome-zarr@0.4"]),
        ({"multiscales": [{**PLAIN, "version": "0.1"}], "omero": {}}, ["multiscales@0.1"]),
        ({"multiscales": {"layout": [{"asset": "0"}]}}, ["geozarr@0.1"]),
        ({"ome": {"version": "0.5", "plate": {}}}, ["ome-zarr@0.5"]),
        ({"ome": "0.5"}, []),
    ],
    ids=json.dumps,
)
def test_the_version_of_a_v3_document(attributes: dict[str, JSON], found: list[str]) -> None:
    node = DictNode({"zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": attributes}})
    assert [evidence.layout for evidence in layouts.detect(node)] == found


def test_series_transformations_apply_after_those_of_the_level() -> None:
    levels = one("ome-zarr@0.4/good/series-transformation").levels
    assert [level.scale for level in levels] == [(0.5, 0.1, 0.1), (0.5, 0.2, 0.2), (0.5, 0.4, 0.4)]
    assert [level.translation for level in levels] == [(10.0, 20.0, 30.0), (10.0, 20.05, 30.05), (10.0, 20.15, 30.15)]
    assert {level.translation_provenance for level in levels} == {"stated"}


def test_without_translations_levels_are_aligned_at_the_corner_and_marked() -> None:
    levels = one("ome-zarr@0.4/good/scale-only").levels
    assert [level.translation for level in levels] == [(0.0, 0.0, 0.0), (0.0, 0.05, 0.05), (0.0, 0.15, 0.15)]
    assert {level.translation_provenance for level in levels} == {"inferred"} and {level.scale_provenance for level in levels} == {"stated"}


def test_a_single_level_without_translation_lies_at_zero() -> None:
    documents = dict(BY_ID["ome-zarr@0.4/good/scale-only"].documents)
    attributes = json.loads(json.dumps(documents[".zattrs"]))
    del attributes["multiscales"][0]["datasets"][1:]
    (multiscale,) = layouts.read(DictNode({**documents, ".zattrs": attributes})).multiscales
    assert (multiscale.levels[0].translation, multiscale.levels[0].translation_provenance) == ((0.0, 0.0, 0.0), "absent")


def test_a_series_translation_alone_shifts_all_levels() -> None:
    documents = dict(BY_ID["ome-zarr@0.4/good/scale-only"].documents)
    attributes = json.loads(json.dumps(documents[".zattrs"]))
    attributes["multiscales"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [1, 1, 2]}, {"type": "translation", "translation": [1, 2, 3]}]
    (multiscale,) = layouts.read(DictNode({**documents, ".zattrs": attributes})).multiscales
    assert [level.translation for level in multiscale.levels] == [(1.0, 2.0, 3.0), (1.0, 2.05, 3.1), (1.0, 2.15, 3.3)]
    assert [level.scale for level in multiscale.levels][1] == (0.5, 0.2, 0.4)
    assert [level.translation_provenance for level in multiscale.levels] == ["stated", "inferred", "inferred"]


def test_moving_one_level_rewrites_all_when_the_series_had_a_transformation() -> None:
    node = BY_ID["ome-zarr@0.4/good/series-transformation"].node()
    multiscale = layouts.read(node).multiscales[0]
    moved = replace(multiscale, levels=(replace(multiscale.levels[0], translation=(11.0, 20.0, 30.0)), *multiscale.levels[1:]))
    written = layouts.find("ome-zarr").write([moved], version="0.4", existing=node.attributes).attributes[""]
    assert "coordinateTransformations" not in written["multiscales"][0]  # type: ignore[index, call-overload, operator]
    again = layouts.read(DictNode({**node.documents, ".zattrs": written})).multiscales[0]
    assert [level.translation for level in again.levels] == [(11.0, 20.0, 30.0), (10.0, 20.05, 30.05), (10.0, 20.15, 30.15)]
    assert [level.scale for level in again.levels] == [level.scale for level in multiscale.levels]


def test_inferred_translations_are_never_written() -> None:
    node = BY_ID["ome-zarr@0.4/good/scale-only"].node()
    multiscales = layouts.read(node).multiscales
    written = layouts.find("ome-zarr").write(multiscales, version="0.5", existing=node.attributes).attributes[""]
    assert "translation" not in json.dumps(written)
    fixed = replace(multiscales[0], levels=tuple(replace(level, translation_provenance="stated") for level in multiscales[0].levels))
    written = layouts.find("ome-zarr").write([fixed], version="0.4", existing=node.attributes).attributes[""]
    assert json.dumps(written).count('"translation": [0.0, 0.05, 0.05]') == 1


def test_what_moves_below_ome_and_what_does_not() -> None:
    node = BY_ID["ome-zarr@0.4/good/bioformats2raw"].node()
    existing = {"foreign": 1, **node.attributes}
    series = layouts.read(node).multiscales
    written = layouts.find("ome-zarr").write(series, version="0.5", existing=existing).attributes[""]
    ome = written["ome"]
    assert isinstance(ome, dict) and list(written) == ["foreign", "ome"]
    assert list(ome) == ["version", "multiscales", "omero", "bioformats2raw.layout"]
    assert "version" not in ome["multiscales"][0] and "version" not in ome["omero"]  # type: ignore[index, call-overload, operator]
    back = layouts.find("ome-zarr").write(series, version="0.4", existing=written).attributes[""]
    assert set(back) == {"foreign", "multiscales", "omero", "bioformats2raw.layout"}


def test_an_unknown_version_is_never_rewritten() -> None:
    node = BY_ID["ome-zarr@0.5/broken/OME016-unknown"].node()
    series = layouts.read(node).multiscales
    same = layouts.find("ome-zarr").write(series, version="0.5", existing=node.attributes).attributes[""]
    assert json.dumps(same) == json.dumps(node.attributes)
    with pytest.raises(LayoutError, match=r"ome\.version '0\.7': not known, so it is never rewritten"):
        layouts.find("ome-zarr").write([*series, replace(series[0], raw={})], version="0.5", existing=node.attributes)


def test_display_becomes_omero() -> None:
    axes = (Axis("y", "space"), Axis("x", "space"))
    series = [Multiscale((Level("0", (1.0, 1.0), (0.0, 0.0), "stated", "stated"),), axes)]
    write = layouts.find("ome-zarr").write
    old = {"omero": {"id": 7, "channels": []}}
    assert write(series, version="0.4", existing=old, display={"channels": [1]}).attributes[""]["omero"] == {"id": 7, "channels": [1], "version": "0.4"}
    assert write(series, version="0.5", existing={}, display={"channels": [1]}).attributes[""]["ome"]["omero"] == {"channels": [1]}  # type: ignore[index, call-overload]
    assert write(series, version="0.4", existing=old).attributes[""]["omero"] == {"id": 7, "channels": []}


def axes_of(text: str) -> list[Axis]:
    kinds = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space", "s": "spectrum", "n": None}
    return [Axis(letter, kinds[letter]) for letter in text]


@pytest.mark.parametrize(
    ("axes", "version", "reason"),
    [
        ("yx", "0.4", None),
        ("zyx", "0.5", None),
        ("tczyx", "0.1", None),
        ("tczyx", "0.5", None),
        ("cyx", "0.3", None),
        ("tyx", "0.4", None),
        ("xyz", "0.4", None),
        ("syx", "0.4", None),
        ("nzyx", "0.5", None),
        ("tnyx", "0.5", None),
        ("yxc", "0.5", "axis 'c' (channel) stands after axis 'x' (space)"),
        ("ctyx", "0.4", "axis 't' (time) stands after axis 'c' (channel)"),
        ("x", "0.4", "there are 1 axes"),
        ("tcszyx", "0.5", "there are 6 axes"),
        ("zyx", "0.1", "OME-Zarr 0.1 has 5"),
        ("tcyx", "0.2", "OME-Zarr 0.2 has 5"),
        ("cx", "0.4", "1 of the axes are space"),
        ("tcsyx", "0.4", "at most one time axis and one channel or custom axis"),
        ("ttyx", "0.5", "are not unique"),
        ("syx", "0.3", "knows t, c, z, y, x"),
        ("xyz", "0.3", "knows t, c, z, y, x"),
    ],
)
def test_which_axes_a_version_can_hold(axes: str, version: str, reason: str | None) -> None:
    found = ome_zarr.can_hold(axes_of(axes), version)
    assert (found is None) if reason is None else (found is not None and reason in found)
    assert layouts.can_hold(axes_of(axes), f"ome-zarr@{version}") == found
    assert layouts.can_hold(axes_of(axes), "multiscales@0.1") is None
    if reason is not None:
        with pytest.raises(LayoutError, match="cannot hold series"):
            layouts.find("ome-zarr").write([Multiscale((), tuple(axes_of(axes)))], version=version, existing={})


@pytest.mark.parametrize(
    ("value", "scale", "translation", "rules"),
    [
        ([{"type": "scale", "scale": [1, 2]}], (1.0, 2.0), None, []),
        ([{"type": "scale", "scale": [1, 2]}, {"type": "translation", "translation": [-1, 0.5]}], (1.0, 2.0), (-1.0, 0.5), []),
        (None, None, None, ["OME010"]),
        ([], None, None, ["OME010"]),
        ("scale", None, None, ["OME010"]),
        ([3], None, None, ["OME010"]),
        ([{"type": "identity"}], None, None, ["OME010"]),
        ([{"type": "scale", "path": "s"}], None, None, ["OME010"]),
        ([{"type": "scale", "scale": [1, 2]}, {"type": "scale", "scale": [1, 2]}], (1.0, 2.0), None, ["OME010"]),
        ([{"type": "translation", "translation": [1, 2]}, {"type": "scale", "scale": [1, 2]}], (1.0, 2.0), None, ["OME011"]),
        ([{"type": "scale", "scale": [1]}], None, None, ["OME012"]),
        ([{"type": "scale"}], None, None, ["OME012"]),
        ([{"type": "scale", "scale": 1}], None, None, ["OME012"]),
        ([{"type": "scale", "scale": [1, -2]}], None, None, ["OME013"]),
        ([{"type": "scale", "scale": [1, True]}], None, None, ["OME013"]),
        ([{"type": "scale", "scale": [1, 10**400]}], None, None, ["OME013"]),
        ([{"type": "scale", "scale": [1, "2"]}], None, None, ["OME013"]),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_transformations(value: JSON, scale: tuple[float, ...] | None, translation: tuple[float, ...] | None, rules: list[str]) -> None:
    transform, problems = ome_zarr.transformations(value, 2, "x")
    assert (transform.scale, transform.translation, [p.rule for p in problems]) == (scale, translation, rules)
