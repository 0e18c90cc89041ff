"""Conversions of all that a place holds: labels with their image, plates, images side by side, collections of other layouts."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import ziggurat as zg
from tests.layouts.fixtures import COLLECTIONS, FIXTURES, Fixture
from tests.layouts.test_across import held, planted
from ziggurat import layouts
from ziggurat.cli import run as cli
from ziggurat.conversion.across import ConversionPlan, Wish
from ziggurat.conversion.collected import collected_plan
from ziggurat.node import DictNode, Node, dumps
from ziggurat.problems import LayoutError, NoMember, OptionError, UnsupportedError
from ziggurat.transfer.conversions import final_documents
from ziggurat.transfer.proofs import proven

OME = tuple(f for f in (*COLLECTIONS, *(f for f in FIXTURES if f.name == "labels")) if f.kind == "good" and f.layout.startswith("ome-zarr@"))
OTHERS = tuple(f for f in COLLECTIONS if f.kind == "good" and not f.layout.startswith("ome-zarr@"))
VERSIONS = ("ome-zarr@0.4", "ome-zarr@0.5", "ome-zarr@0.6")


def planned(node: Node, target: str) -> tuple[ConversionPlan, DictNode, dict[str, Any]]:
    """The plan, what it writes as a node, and its documents."""
    found = layouts.read(node) if layouts.holds_levels(node) else None
    plan = collected_plan(node, found, Wish(target))
    documents: dict[str, Any] = dict(final_documents(plan, {}))
    proven(plan, documents)
    for name, content in plan.files.items():
        documents[name] = content.encode() if isinstance(content, str) else dumps(content, name)
    return plan, DictNode(documents, location="converted"), documents


def every(node: Node, path: str = "") -> dict[str, tuple[layouts.Member, tuple[Any, ...]]]:
    """Every multiscale below a node, with what names it and where its levels lie."""
    found = {}
    for member in layouts.members(node)[0]:
        child = node.child(member.path)
        whole = f"{path}/{member.path}".lstrip("/")
        if member.holds == "levels":
            series = layouts.read(child).multiscales
            found[whole] = (member, tuple((lv.scale, lv.translation, lv.array and lv.array.shape) for m in series for lv in m.levels))
        found |= every(child, whole)
    return found


@pytest.mark.parametrize("target", VERSIONS)
@pytest.mark.parametrize("fixture", OME, ids=lambda f: f.id)
def test_every_member_is_there_again_in_its_place(fixture: Fixture, target: str) -> None:
    node = fixture.node()
    plan, after, _ = planned(node, target)
    before = every(node)
    assert before and every(after) == before
    assert not [p for p in plan.lost if p.rule == "LOSS007"]
    versions = {m.layout for path in before for m in layouts.read(after.child(path)).multiscales}
    assert versions == {target}, "one version from the collection down to its members"
    assert layouts.detect(after)[0].layout == target


@pytest.mark.parametrize("fixture", OME, ids=lambda f: f.id)
def test_what_a_collection_says_comes_back_from_another_version(fixture: Fixture) -> None:
    other = "ome-zarr@0.4" if fixture.layout == "ome-zarr@0.5" else "ome-zarr@0.5"
    documents = planned(planned(fixture.node(), other)[1], fixture.layout)[2]

    def attributes(held: Any, path: str) -> Any:
        own = held.get(f"{path}/zarr.json".lstrip("/"))
        return own.get("attributes", {}) if own is not None else held.get(f"{path}/.zattrs".lstrip("/"), {})

    def plain(value: Any) -> Any:
        """Without versions of blocks and axes of arrays, which come and go with the version of the format."""
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items() if k not in ("version", "_ARRAY_DIMENSIONS", "rowIndex", "columnIndex")}
        return [plain(v) for v in value] if isinstance(value, list | tuple) else value

    for key in fixture.documents:
        path, _, name = key.rpartition("/")
        if name in ("zarr.json", ".zattrs"):
            assert plain(attributes(documents, path)) == plain(attributes(fixture.documents, path)), path
        elif name.endswith(".xml"):
            assert documents[key] == fixture.documents[key]


@pytest.mark.parametrize("fixture", OME, ids=lambda f: f.id)
def test_keys_of_strangers_come_along_at_every_depth_of_a_collection(fixture: Fixture) -> None:
    numbers = random.Random(fixture.id)
    plants = planted(fixture, iter(lambda: [numbers.random(), {"b": numbers.randrange(9)}], None))
    for target in VERSIONS:
        plan, _, documents = planned(plants.fixture.node(), target)
        told = {p.loc.replace("/", ".") for p in plan.lost if p.rule == "LOSS004"}
        found = held({key: value for key, value in documents.items() if not isinstance(value, bytes)})
        gone = [plants.places[key] for key, value in plants.values.items() if found.get(key) != value]
        assert [place for place in gone if "coordinateTransformations" not in place or place.replace("/", ".") not in told] == [], target


@pytest.mark.parametrize("fixture", OTHERS, ids=lambda f: f.id)
def test_collections_of_other_layouts_become_images_side_by_side(fixture: Fixture) -> None:
    node = fixture.node()
    try:
        _, after, _ = planned(node, "ome-zarr@0.5")
    except UnsupportedError:
        assert fixture.name == "wkw"
        return
    before = every(node)
    assert list(every(after)) == list(before)
    for path, (_, places) in every(after).items():
        for (scale, translation, shape), (s, t, n) in zip(places, before[path][1], strict=True):
            assert (scale, shape) == (pytest.approx(s), n) and translation == pytest.approx(t)
    assert layouts.detect(after)[0].holds == "members"


@pytest.mark.parametrize("target", VERSIONS)
def test_spatialdata_keeps_channels_and_what_it_says_of_labels(target: str) -> None:
    for fixture in (f for f in FIXTURES if f.id in ("spatialdata@0.2/good/placed", "spatialdata@0.3/good/labels")):
        plan, _, documents = planned(fixture.node(), target)
        before = fixture.documents.get("zarr.json", {}).get("attributes") or fixture.documents[".zattrs"]  # type: ignore[union-attr]
        before = before.get("ome", before)  # type: ignore[union-attr]
        after = documents["zarr.json"]["attributes"]["ome"] if "zarr.json" in documents else documents[".zattrs"]
        for key in ("omero", "image-label"):
            said, kept = ({k: v for k, v in block.get(key, {}).items() if k != "version"} for block in (before, after))  # type: ignore[union-attr]
            assert kept == said and (key in after) == (key in before)
        assert not [p for p in plan.lost if p.loc.endswith(("omero", "image-label"))]


def test_a_layout_without_collections_gets_a_multiscale_per_member_and_the_rest_is_named() -> None:
    plate = next(f for f in OME if f.id == "ome-zarr@0.4/good/plate")
    plan, after, _ = planned(plate.node(), "cosem")
    assert set(plan.meant) == set(plate.members or ())
    for path in plan.meant:
        assert layouts.read(after.child(path)).layout == "cosem@1"
    assert {"plate", "A/1.well"} <= {p.loc for p in plan.lost}
    image = next(f for f in FIXTURES if f.id == "ome-zarr@0.5/good/labels")
    lost = planned(image.node(), "cosem")[0].lost
    assert [p.loc for p in lost if p.rule == "LOSS007"] == ["labels/nuclei", "labels/sub/cells"]


# --- on the disk


def image(place: Path, *, zarr_format: int = 2) -> Path:
    """An image with labels and channels, built by this package, and a stranger's table beside them."""
    layout = "ome-zarr@0.4" if zarr_format == 2 else "ome-zarr@0.5"
    samples = np.arange(3 * 40 * 50, dtype=np.uint16).reshape(3, 40, 50)
    zg.build(samples, place, axes="cyx", scale={"y": 0.5, "x": 0.5}, unit="micrometer", chunks=(1, 16, 16), levels=2, layout=layout)
    zg.build((samples[0] // 100).astype(np.uint32), place / "labels" / "cells", axes="yx")
    return place


@pytest.mark.parametrize("target", ["ome-zarr@0.5", "ome-zarr@0.6"])
def test_an_image_takes_its_labels_from_v2_to_v3(tmp_path: Path, target: str) -> None:
    source = image(tmp_path / "a.zarr")
    group = zarr.open_group(source, mode="a")
    labels = group["labels/cells"]
    labels.attrs["image-label"] = {**labels.attrs["image-label"], "colors": [{"label-value": 1, "rgba": [255, 0, 0, 255]}], "mine": 1}
    zarr.consolidate_metadata(str(source), zarr_format=2)
    result = zg.convert(source, tmp_path / "b.zarr", layout=target)
    assert {how for _, _, how in result.arrays} == {"verbatim"} and len(result.arrays) == 4 and not result.lost
    report = zg.check(tmp_path / "b.zarr")
    assert report.ok and not [p for p in report.problems if p.rule in ("OME019", "OME026", "CON001")], report
    new = zarr.open_group(tmp_path / "b.zarr", mode="r")
    for path in ("0", "1", "labels/cells/0", "labels/cells/1"):
        np.testing.assert_array_equal(new[path][...], group[path][...])
    said = dict(new["labels/cells"].attrs["ome"])["image-label"]
    assert said["colors"] == [{"label-value": 1, "rgba": [255, 0, 0, 255]}] and said["mine"] == 1 and said["source"] == {"image": "../../"}
    assert said.get("version") == ("0.5" if target == "ome-zarr@0.5" else None)
    assert dict(new.attrs["ome"])["omero"]["channels"] == group.attrs["omero"]["channels"]
    assert list(zg.open_collection(tmp_path / "b.zarr")) == ["labels/cells"]


def test_documents_in_place_change_down_to_the_labels(tmp_path: Path) -> None:
    source = image(tmp_path / "a.zarr", zarr_format=3)
    zg.convert(source, layout="ome-zarr@0.6")
    versions = [json.loads((source / path / "zarr.json").read_text())["attributes"]["ome"]["version"] for path in ("", "labels", "labels/cells")]
    assert versions == ["0.6"] * 3 and zg.check(source).ok


def test_one_member_is_converted_by_its_name(tmp_path: Path) -> None:
    source = image(tmp_path / "a.zarr")
    zg.convert(source, tmp_path / "b.zarr", layout="cosem", multiscale="labels/cells")
    np.testing.assert_array_equal(np.asarray(zg.open(tmp_path / "b.zarr").levels[0].array), zarr.open_group(source, mode="r")["labels/cells/0"][...])
    with pytest.raises(OptionError, match="a member is converted into a store of its own"):
        zg.convert(source, layout="multiscales@0.1", multiscale="labels/cells")
    plate = next(f for f in OME if f.id == "ome-zarr@0.5/good/plate").write(tmp_path / "plate.zarr")
    assert [a[1] for a in zg.convert(plate, tmp_path / "c.zarr", layout="ome-zarr@0.4", multiscale="B/1/1").arrays] == ["0", "1"]
    with pytest.raises(NoMember, match="no member 'C/9'"):
        zg.convert(plate, tmp_path / "d.zarr", layout="ome-zarr@0.4", multiscale="C/9")


def test_labels_that_the_target_cannot_hold_are_left_out_of_its_list(tmp_path: Path) -> None:
    place = tmp_path / "a.zarr"
    samples = np.zeros((1, 1, 1, 32, 32), np.uint8)
    zg.build(samples, place, axes="tczyx", chunks=(1, 1, 1, 16, 16), levels=2, layout="ome-zarr@0.4")
    zg.build(np.zeros((32, 32), np.uint8), place / "labels" / "flat", axes="yx")
    zg.build(samples, place / "labels" / "whole", axes="tczyx")
    result = zg.convert(place, tmp_path / "b.zarr", layout="ome-zarr@0.2")
    assert [(p.rule, p.loc) for p in result.lost if p.rule == "LOSS007"] == [("LOSS007", "labels/flat")]
    assert list(zg.open_collection(tmp_path / "b.zarr")) == ["labels/whole"] and zg.check(tmp_path / "b.zarr").ok


def test_the_command_names_what_is_left_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = image(tmp_path / "a.zarr")
    assert cli(["convert", str(source), str(tmp_path / "b.zarr"), "--layout", "cosem", "--strict"]) == 1
    assert "labels/cells: labels: cosem@1 has no place for what lies below an image" in capsys.readouterr().out
    assert not (tmp_path / "b.zarr").exists()
    assert cli(["convert", str(source), str(tmp_path / "b.zarr"), "--layout", "ome-zarr@0.5", "--strict", "-q"]) == 0


def test_a_collection_of_which_nothing_can_be_held_is_refused(tmp_path: Path) -> None:
    plate = next(f for f in OME if f.id == "ome-zarr@0.5/good/plate").write(tmp_path / "plate.zarr")
    with pytest.raises(LayoutError, match="cannot hold"):
        zg.convert(plate, tmp_path / "b.zarr", layout="ome-zarr@0.1")
    assert not (tmp_path / "b.zarr").exists()


def test_what_a_member_cannot_say_of_its_place_is_told_of_it(tmp_path: Path) -> None:
    fixture = next(f for f in OTHERS if f.id == "bdv-n5@1/good/two-setups")
    plan, after, _ = planned(fixture.node(), "geozarr")
    assert {p.loc for p in plan.lost if p.rule == "LOSS001" and "not of z" in p.message} == set(every(fixture.node()))
    assert layouts.read(after.child("setup0/timepoint0")).multiscales[0].levels[1].scale[0] == 1.0  # type: ignore[index]
