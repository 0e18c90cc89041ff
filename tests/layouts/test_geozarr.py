"""GeoZarr: places by transforms, shapes and coordinates; what is written; zarr-cm as the judge of the conventions' own rules."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
import zarr_cm
from hypothesis import given, settings
from hypothesis import strategies as st

import ziggurat as zg
from tests.layouts.fixtures import FIXTURES, Fixture
from ziggurat import layouts
from ziggurat.layouts import conventions, geozarr, geozarr_tms, geozarr_write, grids
from ziggurat.model import ArrayInfo, Axis, Level, Multiscale
from ziggurat.node import DictNode
from ziggurat.problems import LayoutError, ZigguratError
from ziggurat.validation import check_node

FAMILY = [f for f in FIXTURES if f.layout.split("@")[0] in ("geozarr", "geozarr-tms", "geozarr-early", "ndpyramid")]
RELEASED = [f for f in FAMILY if f.layout == "geozarr@0.1"]


def fixture(name: str) -> Fixture:
    return next(f for f in FAMILY if f.name == name)


def only(name: str) -> Multiscale:
    (multiscale,) = layouts.read(fixture(name).node()).multiscales
    return multiscale


# --- reading ----------------------------------------------------------------------------------------------------------------


def test_per_step_and_cumulative_scales_are_told_apart_by_the_shapes() -> None:
    step, whole = only("per-step-centre"), only("cumulative")
    assert [level.scale for level in step.levels] == [(1.0, 1.0), (2.0, 2.0), (4.0, 4.0)]
    assert [level.translation for level in step.levels] == [(0.0, 0.0), (0.5, 0.5), (1.5, 1.5)]
    assert [(a.scale, a.translation) for a in step.levels] == [(a.scale, a.translation) for a in whole.levels]


def test_pixel_and_node_registration_of_one_raster_are_one_place() -> None:
    pixel, node = only("arrays"), only("node-registration")
    assert [(a.scale, a.translation) for a in pixel.levels] == [(a.scale, a.translation) for a in node.levels]
    assert pixel.levels[2].translation == (4980.0, 300020.0)
    assert [(axis.name, axis.unit) for axis in pixel.axes] == [("y", "meter"), ("x", "meter")]
    assert pixel.extra["proj:code"] == "EPSG:32633"


def test_a_step_that_is_no_whole_factor_keeps_the_corner() -> None:
    last = only("eopf").levels[2]
    assert last.path == "r60m/b02" and last.scale is not None and last.translation is not None
    assert [t - s / 2 for t, s in zip(last.translation, last.scale, strict=True)] == pytest.approx([5000.0, 300000.0])


def test_a_finer_level_that_is_listed_last_comes_first() -> None:
    found = only("super-resolution")
    assert [level.path for level in found.levels] == ["super", "0", "1"]
    assert found.levels[0].translation == (-0.25, -0.25)


def test_variables_of_level_groups_are_series_of_their_own() -> None:
    found = layouts.read(fixture("topozarr").node()).multiscales
    assert [(m.name, [level.path for level in m.levels]) for m in found] == [(n, [f"{k}/{n}" for k in "012"]) for n in ("pr", "tas")]
    assert {tuple(axis.name for axis in m.axes) for m in found} == {("time", "y", "x")}


def test_without_a_consolidated_copy_the_groups_are_listed() -> None:
    held = dict(fixture("topozarr").documents)
    held["zarr.json"] = {k: v for k, v in held["zarr.json"].items() if k != "consolidated_metadata"}  # type: ignore[union-attr]
    assert layouts.read(DictNode(held)).multiscales == layouts.read(fixture("topozarr").node()).multiscales


def test_a_rotated_raster_is_scale_and_translation_and_then_a_rotation() -> None:
    found = only("rotated")
    assert found.world is not None
    for level, step in zip(found.levels, (1, 2, 4), strict=True):
        assert level.scale is not None and level.translation is not None
        for row, column in ((0, 0), (3, 7)):
            local = np.array([s * i + t for s, i, t in zip(level.scale, (row, column), level.translation, strict=True)])
            y, x = np.array(found.world) @ local
            a, b, c, d, e, f = 8.0 * step, -6.0 * step, 300000.0, -6.0 * step, -8.0 * step, 5000.0
            assert (x, y) == pytest.approx((a * (column + 0.5) + b * (row + 0.5) + c, d * (column + 0.5) + e * (row + 0.5) + f))


@pytest.mark.parametrize("name", ["geo", "uuid-key", "object-of-conventions"])
def test_drafts_say_the_same_in_other_words(name: str) -> None:
    found = only(name)
    base = found.levels[0]
    assert base.scale is not None and base.translation is not None
    for k, level in enumerate(found.levels):
        assert level.scale == tuple(s * 2**k for s in base.scale)
        assert level.translation == tuple(t + s * (2**k - 1) / 2 for t, s in zip(base.translation, base.scale, strict=True))


def test_drafts_are_read_and_not_written() -> None:
    with pytest.raises(LayoutError, match="drafts are read"):
        geozarr.LAYOUT.write((only("geo"),), version="draft-2025-09", existing={})


def test_a_picked_sample_stays_where_it_is() -> None:
    held = copy.deepcopy(dict(fixture("per-step-centre").documents))
    for item in held["zarr.json"]["attributes"]["multiscales"]["layout"][1:]:  # type: ignore[index,call-overload]
        item["resampling_method"], item["transform"]["translation"] = "stride", [0.0, 0.0]
    (found,) = layouts.read(DictNode(held)).multiscales
    assert [level.translation for level in found.levels] == [(0.0, 0.0)] * 3


def test_tiles_of_a_well_known_set_lie_where_web_maps_have_them() -> None:
    six = next(level for level in only("limits").levels if level.path == "6/b1")
    cell = 156543.033928041 / 2**6
    assert six.scale == pytest.approx((-cell, cell))
    assert six.translation == pytest.approx((20037508.3427892 - 20 * 256 * cell - cell / 2, -20037508.3427892 + 32 * 256 * cell + cell / 2))
    assert set(geozarr_tms.QUADS) >= {"WebMercatorQuad", "WorldCRS84Quad"}


# --- a ramp, stored by the layout's own rules -------------------------------------------------------------------------------


def ramp(n: int, scale: float, corner: float) -> np.ndarray:
    """Samples that are the coordinate of their own centre."""
    return corner + scale * (np.arange(n) + 0.5)


@pytest.mark.parametrize("groups", [False, True])
def test_a_ramp_is_read_where_it_was_stored(tmp_path: Path, groups: bool) -> None:
    root = zarr.open_group(tmp_path / "ramp.zarr", mode="w", zarr_format=3)
    layout: list[dict[str, object]] = []
    for k in range(3):
        h, w, step = 24 >> k, 40 >> k, 10.0 * 2**k
        samples = np.add.outer(np.zeros(h), ramp(w, step, 300000.0))
        path = f"{k}/band" if groups else str(k)
        root.create_array(path, shape=samples.shape, chunks=(8, 16), dtype="float64", dimension_names=("y", "x"))[...] = samples
        item: dict[str, object] = {"asset": str(k), "spatial:transform": [step, 0, 300000.0, 0, -step, 5000.0], "spatial:shape": [h, w]}
        layout.append(item | ({"derived_from": str(k - 1), "transform": {"scale": [2.0, 2.0], "translation": [0.0, 0.0]}} if k else {}))
    entries = [c.entry for c in (conventions.MULTISCALES, conventions.SPATIAL)]
    root.attrs.update({"zarr_conventions": entries, "spatial:dimensions": ["y", "x"], "multiscales": {"layout": layout}})
    pyramid = zg.open(tmp_path / "ramp.zarr")
    assert len(pyramid) == 3 and pyramid.name == ("band" if groups else None)
    for level in pyramid.levels:
        for column in range(level.shape[1]):
            assert level.to_world((0, column))[1] == level.array[0, column]
        assert level.to_world((0, 0))[0] == 5000.0 + level.scale[0] / 2
    assert zg.check(tmp_path / "ramp.zarr").ok


# --- writing ----------------------------------------------------------------------------------------------------------------


def cells(*, names: str = "yx", scale: tuple[float, ...] = (0.5, 0.25), translation: tuple[float, ...] = (1.0, -2.0), paths: str = "{k}") -> Multiscale:
    axes = tuple(Axis(n, "space" if n in "zyx" else "channel", "micrometer" if n in "zyx" else None) for n in names)
    levels = []
    for k in range(3):
        shape = tuple(n if axis.name in "zc" else n >> k for axis, n in zip(axes, (3, 64, 96)[-len(axes) :], strict=True))
        factors = tuple(1 if axis.name in "zc" else 2**k for axis in axes)
        s = tuple(a * f for a, f in zip(scale, factors, strict=True))
        t = tuple(b + a * (f - 1) / 2 for a, b, f in zip(scale, translation, factors, strict=True))
        info = ArrayInfo(shape, "uint16", shape, dimension_names=tuple(names), zarr_format=3, itemsize=2)
        levels.append(Level(paths.format(k=k), s, t, "stated", "stated", info))
    return Multiscale(tuple(levels), axes, name="cells", type="mean", method={"method": "other.mean", "args": [1]}, extra={"mine": {"a": [None]}})


def store(written: layouts.Documents, multiscale: Multiscale) -> dict[str, Any]:
    documents: dict[str, Any] = {}
    for path, attributes in written.attributes.items():
        documents[f"{path}/zarr.json" if path else "zarr.json"] = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    for level in multiscale.levels:
        assert level.array is not None
        documents[f"{level.path}/zarr.json"] = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(level.array.shape),
            "data_type": "uint16",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(level.array.shape)}},
            "chunk_key_encoding": {"name": "default"},
            "fill_value": 0,
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "dimension_names": list(level.array.dimension_names or ()),
        }
    return documents


@pytest.mark.parametrize("paths", ["{k}", "scale{k}/cells"])
def test_what_another_layout_knows_survives(paths: str) -> None:
    multiscale = cells(paths=paths)
    written = geozarr.LAYOUT.write((multiscale,), existing={"foreign": 1, "zarr_conventions": [{"uuid": "x", "name": "theirs"}]})
    attributes = written.attributes[""]
    assert attributes["foreign"] == 1 and attributes["zarr_conventions"][0] == {"uuid": "x", "name": "theirs"}  # type: ignore[index,call-overload]
    (again,) = layouts.read(DictNode(store(written, multiscale))).multiscales
    assert [(a.path, a.scale, a.translation) for a in again.levels] == [(a.path, a.scale, a.translation) for a in multiscale.levels]
    assert (again.name, again.type, again.method, again.extra) == ("cells", "mean", multiscale.method, multiscale.extra)
    assert bool(written.lost) == (paths == "{k}"), "units have no place but coordinates"
    if paths != "{k}":
        small = written.arrays["scale1/x"]
        assert small.values[:2] == (-1.875, -1.375) and small.attributes == {"units": "micrometer"}
        assert written.attributes["scale1"]["spatial:dimensions"] == ["y", "x"]


def test_a_third_axis_keeps_its_place_in_coordinates_or_is_reported() -> None:
    multiscale = cells(names="zyx", scale=(2.0, 0.5, 0.25), translation=(7.0, 1.0, -2.0), paths="{k}/cells")
    written = geozarr.LAYOUT.write((multiscale,), existing={})
    assert written.lost == () and written.arrays["2/z"].values == (7.0, 9.0, 11.0)
    flat = geozarr.LAYOUT.write((cells(names="zyx", scale=(2.0, 0.5, 0.25), translation=(7.0, 1.0, -2.0)),), existing={})
    assert [p.rule for p in flat.lost] == ["LOSS001", "LOSS001"] and "of z" in flat.lost[0].message


def test_a_second_series_elsewhere_is_reported() -> None:
    written = geozarr.LAYOUT.write((cells(), cells(paths="other/{k}")), existing={})
    assert [p.rule for p in written.lost if p.loc == "multiscales[1]"] == ["LOSS006"]


def test_a_moved_base_is_written_anew() -> None:
    found = fixture("arrays")
    (multiscale,) = layouts.read(found.node()).multiscales
    moved = replace(multiscale, levels=tuple(replace(level, translation=(0.0, 0.0)) for level in multiscale.levels))
    written = geozarr.LAYOUT.write((moved,), existing=dict(found.node().attributes))
    assert written.attributes[""]["spatial:transform"] == [10.0, 0.0, -5.0, 0.0, -10.0, 5.0]


def test_a_rotation_is_written_and_read_again() -> None:
    found = fixture("rotated")
    (multiscale,) = layouts.read(found.node()).multiscales
    written = geozarr.LAYOUT.write((replace(multiscale, raw={}, layout=""),), existing={})
    transforms = [item["spatial:transform"] for item in written.attributes[""]["multiscales"]["layout"]]  # type: ignore[index,call-overload]
    assert transforms[1] == pytest.approx([16.0, -12.0, 300000.0, -12.0, -16.0, 5000.0])
    assert written.lost == ()


numbers = st.floats(-1e6, 1e6).map(lambda v: round(v, 3)).filter(lambda v: abs(v) > 1e-2)


@settings(max_examples=50)
@given(numbers, numbers, numbers, numbers)
def test_affine_and_place_are_inverse(sy: float, sx: float, ty: float, tx: float) -> None:
    spot = grids.spot_of(geozarr_write.affine(Level("0", (sy, sx), (ty, tx)), (0, 1), None))
    assert spot is not None and spot.scale == (sy, sx)
    assert spot.translation == pytest.approx((ty, tx), rel=1e-12, abs=1e-9)


# --- the conventions' own rules, by zarr-cm ---------------------------------------------------------------------------------

STRUCTURAL = {"GZ001", "GZ002", "GZ003", "GZ004", "GZ007", "GZ008", "GZ011", "GZ012"}
"""Rules that a schema can express."""
SEMANTIC = {"GZ005", "GZ006", "GZ017"}
"""Broken MUSTs that no schema sees: they compare values with one another, or with what is stored."""
ODD: tuple[Any, ...] = (None, True, 3, -0.5, "", "a", "../a", "/a", [], {}, [1], ["a"], [1.0, "b"], {"a": 1})


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield (*path, key)
        yield from places(inner, (*path, key))


def mutated(attributes: Any, rng: random.Random) -> tuple[Any, tuple[Any, ...], str]:
    """Returns attributes with one value replaced, taken away, or a key added."""
    result = copy.deepcopy(attributes)
    path = rng.choice(list(places(result)))
    *above, last = path
    held = result
    for key in above:
        held = held[key]
    kind = rng.choice(("replace", "replace", "delete", "add"))
    if kind == "replace":
        held[last] = copy.deepcopy(rng.choice(ODD))
    elif kind == "delete":
        del held[last]
    elif isinstance(held, dict):
        held["unheard-of"] = copy.deepcopy(rng.choice(ODD))
    return result, path, kind


def peers_verdict(attributes: Any) -> list[str]:
    """What zarr-cm finds wrong with a group, convention by convention."""
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    wrong = []
    for convention in (conventions.MULTISCALES, conventions.SPATIAL, conventions.PROJ):
        name = convention.name
        declared = conventions.declares(attributes.get("zarr_conventions"), convention)
        if name == "multiscales" or declared:
            try:
                getattr(zarr_cm, name).validate_group_metadata(group)
            except (ValueError, TypeError, KeyError) as error:
                wrong.append(f"{name}: {error}")
    return wrong


def our_verdict(found: Fixture, attributes: Any) -> list[str]:
    """Broken MUSTs that a schema could express; what is no GeoZarr any more counts as broken."""
    documents = {**found.documents}
    if "zarr.json" in documents:
        documents["zarr.json"] = {**documents["zarr.json"], "attributes": attributes}  # type: ignore[dict-item]
    else:
        documents[".zattrs"] = attributes
    try:
        report = check_node(DictNode(documents))
    except ZigguratError as error:
        return [type(error).__name__]
    if not report.layouts[0].startswith("geozarr@0.1"):
        return [report.layouts[0]]
    return [f"{p.rule} {p.loc}" for p in report if p.requirement == "MUST" and p.rule not in SEMANTIC]


def explained(path: tuple[Any, ...], ours: list[str], theirs: list[str]) -> bool:
    """True for the differences that are meant."""
    if ours and not theirs:
        # zarr-cm lets entries have keys that the specification forbids, and does not look at the spatial keys of levels, which the schema of spatial does
        entry = all(rule.startswith("GZ002 zarr_conventions[") for rule in ours) and path[0] == "zarr_conventions"
        item = all(rule.startswith("GZ011 multiscales.layout[") for rule in ours)
        return entry or item
    # zarr-cm knows a convention by the exact address of a schema; we know it by any tag, and by the address of its text, as the specification says
    return path[0] == "zarr_conventions" and path[-1] in ("schema_url", "uuid", "spec_url")


@pytest.mark.parametrize("found", [f for f in RELEASED if f.kind == "good"], ids=lambda f: f.name)
def test_zarr_cm_agrees_on_the_fixture_and_on_its_mutations(found: Fixture) -> None:
    attributes = json.loads(json.dumps(found.node().attributes))
    assert (peers_verdict(attributes), our_verdict(found, attributes)) == ([], [])
    rng = random.Random(found.name)
    n_broken = 0
    for _ in range(40):
        changed, path, kind = mutated(attributes, rng)
        ours, theirs = our_verdict(found, changed), peers_verdict(changed)
        n_broken += bool(theirs)
        assert bool(ours) == bool(theirs) or explained(path, ours, theirs), (kind, path, ours, theirs)
    assert n_broken >= 8


@pytest.mark.parametrize("found", [f for f in RELEASED if f.kind == "broken"], ids=lambda f: f.name)
def test_zarr_cm_agrees_on_what_is_broken(found: Fixture) -> None:
    attributes = json.loads(json.dumps(found.node().attributes))
    ours, theirs = our_verdict(found, attributes), peers_verdict(attributes)
    assert bool(ours) == bool(theirs) or found.name == "GZ002-other-key", (ours, theirs)
    assert bool(ours) == (found.name.split("-")[0] in STRUCTURAL)


@pytest.mark.parametrize("paths", ["{k}", "scale{k}/cells"])
def test_zarr_cm_accepts_what_is_written(paths: str) -> None:
    written = geozarr.LAYOUT.write((replace(cells(paths=paths), extra={"proj:code": "EPSG:32633"}),), existing={})
    for attributes in written.attributes.values():
        if "multiscales" in attributes:
            assert peers_verdict(json.loads(json.dumps(attributes))) == []
        else:
            zarr_cm.spatial.validate_group_metadata({"zarr_format": 3, "node_type": "group", "attributes": attributes})  # type: ignore[typeddict-item]
            zarr_cm.proj.validate_group_metadata({"zarr_format": 3, "node_type": "group", "attributes": attributes})  # type: ignore[typeddict-item]


# --- documents that anyone may have written ---------------------------------------------------------------------------------


@pytest.mark.parametrize("found", [f for f in FAMILY if f.kind == "good"], ids=lambda f: f.id)
def test_odd_documents_raise_nothing_but_the_tree(found: Fixture) -> None:
    attributes = json.loads(json.dumps(found.node().attributes))
    rng = random.Random(found.id)
    key = "zarr.json" if "zarr.json" in found.documents else ".zattrs"
    for _ in range(60):
        changed = attributes
        for _ in range(rng.randint(1, 3)):
            if list(places(changed)):
                changed = mutated(changed, rng)[0]
        document = {**found.documents[key], "attributes": changed} if key == "zarr.json" else changed  # type: ignore[dict-item]
        try:
            check_node(DictNode({**found.documents, key: document}, values=found.values))
        except ZigguratError:
            continue
