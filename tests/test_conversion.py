"""Upgrades over documents: golden documents per step, arrays against zarr-python, unknown keys at every depth."""

from __future__ import annotations

import copy
import json
import string
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat import layouts
from ziggurat.conversion import Change, UpgradePlan, upgrade_plan
from ziggurat.conversion.series import STEPS, wrapped
from ziggurat.layouts import ome_zarr
from ziggurat.node import DictNode
from ziggurat.problems import DocumentError, LayoutError, OptionError, UnsupportedError, ZigguratError
from ziggurat.validation import check_node

Json = Any
Store = dict[str, dict[str, Json]]

METADATA = {"method": "skimage.transform.pyramid_gaussian", "version": "0.1", "args": [True], "kwargs": {"version": "0.1", "axes": [1, 1.0]}}


def array(shape: list[int], separator: str = ".", dtype: str = "<u2") -> dict[str, Json]:
    return {
        "chunks": [min(n, 8) for n in shape],
        "compressor": {"id": "zstd", "level": 3},
        "dimension_separator": separator,
        "dtype": dtype,
        "fill_value": 0,
        "filters": None,
        "order": "C",
        "shape": shape,
        "zarr_format": 2,
    }


def group(attributes: Mapping[str, Json]) -> Store:
    return {".zgroup": {"zarr_format": 2}, ".zattrs": dict(attributes)}


def below(path: str, documents: Mapping[str, Json]) -> Store:
    return {f"{path}/{key}": document for key, document in documents.items()}


def image(version: str, separator: str = ".") -> Store:
    """A 5-D image of two levels, y and x halved, with what stands beside it in real stores."""
    entry = {"name": "cells", "version": version, "datasets": [{"path": "0"}, {"path": "1"}], "type": "gaussian", "metadata": METADATA}
    omero = {"id": 7, "version": version, "channels": [{"color": "FF0000", "window": {"start": 0, "end": 1.0, "min": 0, "max": 255}}]}
    return {
        **group({"_creator": {"name": "somebody"}, "multiscales": [entry], "omero": omero, "@type": "ngff:Image"}),
        **below("0", {".zarray": array([1, 2, 5, 16, 12], separator)}),
        **below("1", {".zarray": array([1, 2, 5, 8, 6], separator)}),
    }


def labels(version: str, separator: str = ".") -> Store:
    entry = {"version": version, "datasets": [{"path": "0"}, {"path": "1"}]}
    about = {
        "version": version,
        "colors": [{"label-value": 1, "rgba": [1, 2, 3, 4]}],
        "properties": [{"label-value": 1, "class": "x", "version": "0.1"}],
        "source": {"image": "../../"},
    }
    return {
        **below("labels", group({"labels": ["nuclei"]})),
        **below("labels/nuclei", group({"multiscales": [entry], "image-label": about})),
        **below("labels/nuclei/0", {".zarray": array([1, 1, 5, 16, 12], separator, "<i4")}),
        **below("labels/nuclei/1", {".zarray": array([1, 1, 5, 8, 6], separator, "<i4")}),
    }


def plate(version: str) -> Store:
    wells = [{"path": "A/2"}, {"path": "B/1", "extra": 1}]
    about = {"version": version, "name": "p", "rows": [{"name": "A"}, {"name": "B"}], "columns": [{"name": "1"}, {"name": "2"}], "wells": wells}
    return {
        **group({"plate": about}),
        **below("A", group({})),
        **below("A/2", group({"well": {"version": version, "images": [{"path": "0"}]}})),
        **below("A/2/0", image(version)),
    }


def after(plan: UpgradePlan, before: Mapping[str, Json]) -> Store:
    """The documents when the plan is done."""
    result = {key: document for key, document in before.items() if key not in {change.key for change in plan.removals}}
    return {**result, **{change.key: change.new for change in plan.writes}}  # type: ignore[dict-item]


def upgraded(documents: Mapping[str, Json], to: str, **options: Any) -> Store:
    return after(upgrade_plan(documents, to=f"ome-zarr@{to}", **options), documents)


def in_order(value: Json) -> str:
    """Text in which key order and the spelling of numbers show."""
    return json.dumps(value, indent=1)


# --- each step, written out by hand from the versions' texts ----------------------------------------------------------------

AXES_03 = ["t", "c", "z", "y", "x"]
AXES_04 = [
    {"name": "t", "type": "time"},
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space"},
    {"name": "y", "type": "space"},
    {"name": "x", "type": "space"},
]
SCALED = [
    {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0, 1.0, 1.0, 1.0]}]},
    {"path": "1", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0, 1.0, 2.0, 2.0]}]},
]
OMERO = [{"color": "FF0000", "window": {"start": 0, "end": 1.0, "min": 0, "max": 255}}]
GOLDEN = {
    "0.2": {
        "_creator": {"name": "somebody"},
        "multiscales": [{"name": "cells", "version": "0.2", "datasets": [{"path": "0"}, {"path": "1"}], "type": "gaussian", "metadata": METADATA}],
        "omero": {"id": 7, "version": "0.2", "channels": OMERO},
        "@type": "ngff:Image",
    },
    "0.3": {
        "_creator": {"name": "somebody"},
        "multiscales": [
            {"name": "cells", "version": "0.3", "datasets": [{"path": "0"}, {"path": "1"}], "type": "gaussian", "metadata": METADATA, "axes": AXES_03}
        ],
        "omero": {"id": 7, "version": "0.3", "channels": OMERO},
        "@type": "ngff:Image",
        "_ARRAY_DIMENSIONS": AXES_03,
    },
    "0.4": {
        "_creator": {"name": "somebody"},
        "multiscales": [{"name": "cells", "version": "0.4", "datasets": SCALED, "type": "gaussian", "metadata": METADATA, "axes": AXES_04}],
        "omero": {"id": 7, "version": "0.4", "channels": OMERO},
        "@type": "ngff:Image",
        "_ARRAY_DIMENSIONS": AXES_03,
    },
}
GOLDEN_05 = {
    "_creator": {"name": "somebody"},
    "ome": {
        "version": "0.5",
        "multiscales": [{"name": "cells", "datasets": SCALED, "type": "gaussian", "metadata": METADATA, "axes": AXES_04}],
        "omero": {"id": 7, "channels": OMERO},
    },
    "@type": "ngff:Image",
}
GOLDEN_ARRAY_05 = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [1, 2, 5, 8, 6],
    "data_type": "uint16",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 2, 5, 8, 6]}},
    "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "."}},
    "fill_value": 0,
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd", "configuration": {"level": 3, "checksum": False}}],
    "attributes": {},
    "dimension_names": AXES_03,
    "storage_transformers": [],
}


@pytest.mark.parametrize("to", ["0.2", "0.3", "0.4"])
@pytest.mark.parametrize("in_one_go", [True, False])
def test_image_becomes_what_the_versions_text_says(to: str, in_one_go: bool) -> None:
    documents: Store = image("0.1")
    versions = [to] if in_one_go else [version for version in ("0.2", "0.3", "0.4") if version <= to]
    for version in versions:
        documents = upgraded(documents, version)
    assert in_order(documents[".zattrs"]) == in_order(GOLDEN[to])
    assert documents["1/.zarray"] == array([1, 2, 5, 8, 6], "/")
    assert documents.get("1/.zattrs") == (None if to == "0.2" else {"_ARRAY_DIMENSIONS": AXES_03})


def test_image_becomes_0_5_in_zarr_v3() -> None:
    documents = upgraded(image("0.1"), "0.5")
    assert sorted(documents) == ["0/zarr.json", "1/zarr.json", "zarr.json"]
    assert in_order(documents["zarr.json"]) == in_order({"zarr_format": 3, "node_type": "group", "attributes": GOLDEN_05})
    assert in_order(documents["1/zarr.json"]) == in_order(GOLDEN_ARRAY_05)


def test_labels_and_their_images_go_along() -> None:
    old = {**image("0.2", "/"), **labels("0.2", "/")}
    in_04 = upgraded(old, "0.4")
    assert in_04["labels/.zattrs"] == {"labels": ["nuclei"]}
    assert in_04["labels/nuclei/.zattrs"]["image-label"] == {**old["labels/nuclei/.zattrs"]["image-label"], "version": "0.4"}
    assert in_04["labels/nuclei/.zattrs"]["multiscales"] == [{"version": "0.4", "datasets": SCALED, "axes": AXES_04}]
    in_05 = upgraded(in_04, "0.5")
    assert in_05["labels/zarr.json"]["attributes"] == {"ome": {"version": "0.5", "labels": ["nuclei"]}}
    about = in_05["labels/nuclei/zarr.json"]["attributes"]["ome"]
    assert about["version"] == about["image-label"]["version"] == "0.5"
    assert about["image-label"]["properties"] == [{"label-value": 1, "class": "x", "version": "0.1"}]
    assert about["image-label"]["source"] == {"image": "../../"}
    assert in_05["labels/nuclei/0/zarr.json"]["dimension_names"] == AXES_03


def test_plate_wells_get_the_indices_of_their_names() -> None:
    documents = upgraded(plate("0.1"), "0.4")
    wells = [{"path": "A/2", "rowIndex": 0, "columnIndex": 1}, {"path": "B/1", "extra": 1, "rowIndex": 1, "columnIndex": 0}]
    assert documents[".zattrs"]["plate"]["wells"] == wells
    assert documents[".zattrs"]["plate"]["version"] == "0.4"
    assert documents["A/2/.zattrs"]["well"] == {"version": "0.4", "images": [{"path": "0"}]}
    assert documents["A/2/0/.zattrs"] == GOLDEN["0.4"]
    documents = upgraded(documents, "0.5")
    assert documents["zarr.json"]["attributes"]["ome"]["plate"]["version"] == "0.5"
    assert documents["A/2/zarr.json"]["attributes"]["ome"] == {"version": "0.5", "well": {"version": "0.5", "images": [{"path": "0"}]}}
    assert documents["A/zarr.json"] == {"zarr_format": 3, "node_type": "group", "attributes": {}}


def test_plate_reports_what_it_cannot_know() -> None:
    store = plate("0.1")
    store[".zattrs"]["plate"]["wells"].append({"path": "Q/9"})
    store[".zattrs"]["plate"]["acquisitions"] = [{"id": 0}, {"id": 1}]
    plan = upgrade_plan(store, to="ome-zarr@0.4")
    assert {"UPG004": "root.plate.wells[2].path", "UPG005": "root.plate.acquisitions"}.items() <= {p.rule: p.loc for p in plan.problems}.items()
    assert after(plan, store)[".zattrs"]["plate"]["wells"][2] == {"path": "Q/9"}


def test_bioformats2raw_goes_below_ome() -> None:
    store = {**group({"bioformats2raw.layout": 3, "mine": 1}), **below("0", image("0.4", "/")), **below("OME", group({"series": ["0"]}))}
    store["0/.zattrs"]["multiscales"][0] |= {"axes": AXES_04, "datasets": SCALED}
    documents = upgraded(store, "0.5")
    assert documents["zarr.json"]["attributes"] == {"ome": {"version": "0.5", "bioformats2raw.layout": 3}, "mine": 1}
    assert documents["OME/zarr.json"]["attributes"] == {"ome": {"version": "0.5", "series": ["0"]}}


@pytest.mark.parametrize("to", list(ome_zarr.FACTS)[1:])
def test_our_validator_finds_no_broken_must_in_what_was_upgraded(to: str) -> None:
    documents = upgraded({**image("0.1"), **labels("0.1")}, to)
    for path in ("", "labels/nuclei"):
        root = DictNode(documents)
        report = check_node(root.child(path) if path else root)
        assert report.of("MUST") == ()
        assert report.layouts[0] == f"ome-zarr@{to}"


# --- what is written from what --------------------------------------------------------------------------------------------


def test_scale_comes_from_each_axis_of_the_shapes() -> None:
    documents = upgraded(image("0.1"), "0.4")
    scales = [d["coordinateTransformations"] for d in documents[".zattrs"]["multiscales"][0]["datasets"]]
    # z stays: not the 2 ** level on z, y and x that some upgraders assume
    assert scales == [[{"type": "scale", "scale": [1.0] * 5}], [{"type": "scale", "scale": [1.0, 1.0, 1.0, 2.0, 2.0]}]]


def test_known_reduction_gives_scale_and_translation_and_no_other_does() -> None:
    store = image("0.1")
    kwargs = {"reduction": "mean", "factors": [[1, 1, 1, 2, 2]], "anchor": "centre", "source": "base", "kind": "image", "chunks": [1, 1, 1, 8, 8]}
    store[".zattrs"]["multiscales"][0]["metadata"] = {"method": "ziggurat.mean", "version": "0.1.0", "args": [], "kwargs": kwargs}
    plan = upgrade_plan(store, to="ome-zarr@0.5")
    datasets = after(plan, store)["zarr.json"]["attributes"]["ome"]["multiscales"][0]["datasets"]
    assert datasets[1]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.0, 1.0, 1.0, 2.0, 2.0]},
        {"type": "translation", "translation": [0.0, 0.0, 0.0, 0.5, 0.5]},
    ]
    assert "UPG002" not in {problem.rule for problem in plan.problems}
    assert "translation" not in in_order(upgraded(image("0.1"), "0.5"))


def founding(shape: list[int], dtype: str = "|u1", names: list[str] | None = None) -> Store:
    small = [max(1, n // 2) if n > 4 else n for n in shape]
    store = {
        **group({"multiscales": [{"datasets": [{"path": "base"}, {"path": "G1"}], "version": "0.1", "name": "gaussian"}]}),
        **below("base", {".zarray": array(shape, dtype=dtype)}),
        **below("G1", {".zarray": array(small, dtype="<f8")}),
    }
    return {**store, **below("base", {".zattrs": {"_ARRAY_DIMENSIONS": names}})} if names else store


@pytest.mark.parametrize(
    ("shape", "names", "axes", "inferred"),
    [
        ([64, 64], None, "yx", True),
        ([9, 64, 64], None, "zyx", True),
        ([2, 64, 64], ["c", "y", "x"], "cyx", False),
        ([2, 9, 64, 64], ["t", "z", "y", "x"], "tzyx", False),
    ],
)
def test_axes_come_from_the_arrays_and_guesses_are_reported(shape: list[int], names: list[str] | None, axes: str, inferred: bool) -> None:
    store = founding(shape, names=names)
    plan = upgrade_plan(store, to="ome-zarr@0.5")
    written = after(plan, store)["zarr.json"]["attributes"]["ome"]["multiscales"][0]["axes"]
    assert [axis["name"] for axis in written] == list(axes)
    assert not any("unit" in axis for axis in written)
    assert ("UPG001" in {problem.rule for problem in plan.problems}) == inferred


def test_four_axes_without_names_are_refused() -> None:
    with pytest.raises(LayoutError, match=r"4 axes that neither the document nor the arrays name.*_ARRAY_DIMENSIONS"):
        upgrade_plan(founding([2, 9, 64, 64]), to="ome-zarr@0.5")


def test_founding_axes_are_refused_with_both_ways_out() -> None:
    store = founding([64, 64, 3])
    with pytest.raises(LayoutError, match=r"axes y, x, c.*--dest NEW --transpose cyx.*or stay with multiscales@0\.1"):
        upgrade_plan(store, to="ome-zarr@0.5")
    with pytest.raises(LayoutError, match=r"upgrade to ome-zarr@0\.3, or stay with"):
        upgrade_plan(founding([9, 64, 64]), to="ome-zarr@0.2")
    plan = upgrade_plan(store, to="ome-zarr@0.5", transpose=("c", "y", "x"))
    assert plan.permutations == {"base": (2, 0, 1), "G1": (2, 0, 1)}
    documents = after(plan, store)
    assert documents["base/zarr.json"]["shape"] == [3, 64, 64]
    assert documents["base/zarr.json"]["chunk_grid"]["configuration"]["chunk_shape"] == [3, 8, 8]
    assert documents["base/zarr.json"]["attributes"] == {}
    scales = [d["coordinateTransformations"][0]["scale"] for d in documents["zarr.json"]["attributes"]["ome"]["multiscales"][0]["datasets"]]
    assert scales == [[1.0, 1.0, 1.0], [1.0, 2.0, 2.0]]
    with pytest.raises(OptionError, match="has the axes y, x, c; name each of them once"):
        upgrade_plan(store, to="ome-zarr@0.5", transpose=("c", "y", "z"))


def test_transpose_permutes_axes_and_transformations_that_are_there() -> None:
    store = founding([64, 64, 3])
    moves = [{"type": "scale", "scale": [2, 3.0, 1]}, {"type": "translation", "translation": [1, 2, 0]}]
    entry = {
        "version": "0.4",
        "axes": [{"name": "y", "type": "space"}, {"name": "x", "type": "space", "unit": "meter"}, {"name": "c", "type": "channel"}],
        "datasets": [{"path": "base", "coordinateTransformations": moves, "mine": [1, 2, 3]}],
        "coordinateTransformations": [{"type": "scale", "scale": [10, 20, 30]}],
    }
    store[".zattrs"] = {"multiscales": [entry]}
    result = upgraded(store, "0.5", transpose=("c", "y", "x"))["zarr.json"]["attributes"]["ome"]["multiscales"][0]
    assert [axis["name"] for axis in result["axes"]] == ["c", "y", "x"]
    assert in_order(result["datasets"][0]) == in_order(
        {
            "path": "base",
            "coordinateTransformations": [{"type": "scale", "scale": [1, 2, 3.0]}, {"type": "translation", "translation": [0, 1, 2]}],
            "mine": [1, 2, 3],
        }
    )
    assert result["coordinateTransformations"] == [{"type": "scale", "scale": [30, 10, 20]}]


def test_factors_of_a_known_reduction_follow_their_axes_through_a_transpose() -> None:
    store = founding([64, 64, 3])
    kwargs = {"reduction": "mean", "factors": [[2, 2, 1]], "anchor": "centre"}
    store[".zattrs"]["multiscales"][0]["metadata"] = {"method": "ziggurat.mean", "kwargs": kwargs}
    entry = upgraded(store, "0.5", transpose=("c", "y", "x"))["zarr.json"]["attributes"]["ome"]["multiscales"][0]
    moves = [{"type": "scale", "scale": [1.0, 2.0, 2.0]}, {"type": "translation", "translation": [0.0, 0.5, 0.5]}]
    assert entry["datasets"][1]["coordinateTransformations"] == moves
    assert entry["metadata"]["kwargs"] == kwargs  # UNPARSED


def test_chunk_names_change_only_where_the_version_fixes_them() -> None:
    assert [(r.path, r.old, r.new) for r in upgrade_plan(image("0.1"), to="ome-zarr@0.2").renamings] == [("0", ".", "/"), ("1", ".", "/")]
    assert upgrade_plan(image("0.1"), to="ome-zarr@0.5").renamings == ()
    assert upgrade_plan(STORES["0.3"], to="ome-zarr@0.4").renamings == ()


def test_dimension_names_of_v3_arrays_become_the_axes() -> None:
    document = {**GOLDEN_ARRAY_05, "shape": [9, 8, 6], "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [9, 8, 6]}}}
    axes = AXES_04[2:]
    datasets = [{"path": p, "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]} for p in ("a", "b")]
    store = {
        "zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": {"multiscales": [{"version": "0.4", "axes": axes, "datasets": datasets}]}},
        "a/zarr.json": {**document, "dimension_names": None},
        "b/zarr.json": {**document, "shape": [9, 4, 3], "dimension_names": ["dim_0", "dim_1", "dim_2"]},
    }
    plan = upgrade_plan(store, to="ome-zarr@0.5")
    documents = after(plan, store)
    assert documents["a/zarr.json"]["dimension_names"] == documents["b/zarr.json"]["dimension_names"] == ["z", "y", "x"]
    assert [problem.loc for problem in plan.problems] == ["b/zarr.json.dimension_names"]
    assert documents["zarr.json"]["attributes"]["ome"]["multiscales"] == [{"axes": axes, "datasets": datasets}]


def test_founding_layout_in_zarr_v3_becomes_0_5() -> None:
    document = {**GOLDEN_ARRAY_05, "dimension_names": ["z", "y", "x"], "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 4, 4]}}}
    store = {
        "zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": {"multiscales": [{"datasets": [{"path": "a"}, {"path": "b"}]}], "mine": 1}},
        "a/zarr.json": {**document, "shape": [4, 8, 8]},
        "b/zarr.json": {**document, "shape": [4, 5, 5]},
    }
    plan = upgrade_plan(store, to="ome-zarr@0.5")
    assert [change.key for change in plan.changes] == ["zarr.json"]
    moves = [[{"type": "scale", "scale": [1.0, 1.0, 1.0]}], [{"type": "scale", "scale": [1.0, 1.6, 1.6]}]]
    datasets = [{"path": path, "coordinateTransformations": move} for path, move in zip("ab", moves, strict=True)]
    assert after(plan, store)["zarr.json"]["attributes"] == {"ome": {"version": "0.5", "multiscales": [{"datasets": datasets, "axes": AXES_04[2:]}]}, "mine": 1}
    with pytest.raises(LayoutError, match=r"lies in Zarr v3, and ome-zarr@0\.4 exists in Zarr v2 only"):
        upgrade_plan(store, to="ome-zarr@0.4")


def test_order_is_arrays_then_groups_then_the_root_then_removals_from_the_root_down() -> None:
    plan = upgrade_plan(STORES["0.4"], to="ome-zarr@0.5")
    keys = [change.key for change in plan.writes]
    assert keys == [
        "labels/nuclei/0/zarr.json",
        "labels/nuclei/1/zarr.json",
        "0/zarr.json",
        "1/zarr.json",
        "labels/nuclei/zarr.json",
        "labels/zarr.json",
        "zarr.json",
    ]
    assert [change.key for change in plan.removals][:2] == [".zgroup", ".zattrs"]
    assert all(change.new is None for change in plan.removals)


# --- refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("store", "to", "sentence"),
    [
        (image("0.4", "/"), "ome-zarr@0.3", "never goes back"),
        (image("0.4", "/"), "multiscales@0.1", "never goes back"),
        (image("0.1"), "ome-zarr@9.9", "expected one of ome-zarr@0.1"),
        (image("0.1"), "geozarr@1", "expected one of ome-zarr@0.1"),
        (group({}), "ome-zarr@0.5", "no multiscale of multiscales@0.1 or ome-zarr"),
        (group({"multiscales": [{"version": "0.1", "datasets": [{"path": "../0"}]}]}), "ome-zarr@0.5", "cannot be read: MS004 .*'..' leaves the group"),
        (group({"multiscales": {"layout": []}}), "ome-zarr@0.5", "no multiscale of multiscales@0.1 or ome-zarr"),
        ({**image("0.1"), ".zattrs": {**image("0.1")[".zattrs"], "ome": "mine"}}, "ome-zarr@0.5", "the attribute 'ome' holds something else"),
        ({key: value for key, value in image("0.1").items() if key != "1/.zarray"}, "ome-zarr@0.4", r"datasets\[1\].path '1': no array there"),
        ({**image("0.4-dev-spatialdata", "/")}, "ome-zarr@0.5", "no released version"),
    ],
)
def test_what_cannot_be_upgraded_is_refused_in_one_sentence(store: Store, to: str, sentence: str) -> None:
    before = copy.deepcopy(store)
    with pytest.raises(LayoutError, match=sentence) as caught:
        upgrade_plan(store, to=to)
    assert "\n" not in str(caught.value)
    assert store == before


def test_nothing_there_is_no_group() -> None:
    with pytest.raises(DocumentError, match="neither a group nor an array"):
        upgrade_plan({"0/.zarray": array([4])}, to="ome-zarr@0.5")


def test_broken_series_stays_as_it_is_and_hides_no_other() -> None:
    store = image("0.1")
    broken = {"version": "0.1", "name": "no datasets", "mine": 1}
    store[".zattrs"]["multiscales"].append(broken)
    entries = upgraded(store, "0.4")[".zattrs"]["multiscales"]
    assert entries == [GOLDEN["0.4"]["multiscales"][0], broken]


def test_strangers_attributes_that_only_share_a_name_stay_where_they_are() -> None:
    store = image("0.1")
    store[".zattrs"] |= {"labels": {"en": "cells"}, "series": 5}
    attributes = upgraded(store, "0.5")["zarr.json"]["attributes"]
    assert attributes["labels"] == {"en": "cells"}
    assert attributes["series"] == 5
    assert set(attributes["ome"]) == {"version", "multiscales", "omero"}


def test_version_as_a_number_is_read_and_absent_versions_are_written() -> None:
    store = image("0.1")
    store[".zattrs"]["multiscales"][0]["version"] = 0.1
    assert upgraded(store, "0.4")[".zattrs"]["multiscales"] == GOLDEN["0.4"]["multiscales"]
    del store[".zattrs"]["multiscales"][0]["version"]
    assert upgraded(store, "0.4")[".zattrs"]["multiscales"][0]["version"] == "0.4"


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "|O"},
        {"dtype": "|S5"},
        {"dtype": "<U3"},
        {"dtype": "<M8[ns]"},
        {"dtype": [["a", "<i4"]]},
        {"dtype": "<f16"},
        {"dtype": None},
        {"compressor": {"id": "pickle"}},
        {"compressor": {"id": "imagecodecs_jpeg"}},
        {"compressor": {"level": 1}},
        {"compressor": {"id": "blosc", "shuffle": 9}},
        {"filters": [{"id": "pickle"}]},
        {"filters": [{"id": "vlen-utf8"}]},
        {"filters": "delta"},
        {"dtype": ">u2", "filters": [{"id": "delta", "dtype": ">u2"}]},
        {"fill_value": "many"},
        {"fill_value": 1.5},
        {"fill_value": "NaN"},
        {"fill_value": {"a": 1}},
        {"fill_value": 2, "dtype": "|b1"},
    ],
)
def test_arrays_without_an_equal_in_v3_are_refused(change: dict[str, Json]) -> None:
    store = image("0.4", "/")
    store[".zattrs"]["multiscales"][0] |= {"axes": AXES_04, "datasets": SCALED}
    store["1/.zarray"] |= change
    with pytest.raises((UnsupportedError, DocumentError, LayoutError)) as caught:
        upgrade_plan(store, to="ome-zarr@0.5")
    assert "1" in str(caught.value)
    assert "\n" not in str(caught.value)


# --- unknown keys, planted at every depth ---------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.text(string.ascii_letters + "-_.@:", min_size=1, max_size=8).map("x-{}".format)


def objects(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], dict[str, Json]]]:
    """Every object in a document, with where it is; not inside UNPARSED values."""
    if isinstance(value, dict):
        yield path, value
        for key, inner in value.items():
            yield from objects(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from objects(inner, (*path, index))


def at(value: Json, path: tuple[str | int, ...]) -> Json:
    for step in path:
        value = value[step]
    return value


PATHS = [(a, b) for a in ome_zarr.FACTS for b in ome_zarr.FACTS if a < b]


def written_in(version: str) -> Store:
    """An image with labels in a version, made by upgrades that the golden tests prove."""
    store = {**image("0.1"), **labels("0.1")}
    return store if version == "0.1" else upgraded(store, version)


STORES = {version: written_in(version) for version in ome_zarr.FACTS}


def in_06(path: tuple[str | int, ...], document: Json) -> tuple[str | int, ...]:
    """Where 0.6 keeps what 0.5 has at a path: axes below a coordinate system, the transformations of a dataset in a sequence."""
    where = path.index("multiscales") if "multiscales" in path else len(path)
    head, rest = path[: where + 2], path[where + 2 :]
    if rest[:1] == ("axes",):
        return (*head, "coordinateSystems", 0, *rest)
    if rest[2:3] == ("coordinateTransformations",):
        one = (*head, *rest[:3], 0)
        return (*one, "transformations", *rest[3:]) if "transformations" in at(document, one) else one
    return path


@settings(max_examples=60)
@given(data=st.data(), way=st.sampled_from(PATHS))
def test_unknown_keys_at_every_depth_survive_every_upgrade(data: st.DataObject, way: tuple[str, str]) -> None:
    start, end = way
    store = copy.deepcopy(STORES[start])
    planted: list[tuple[str, tuple[str | int, ...], str, Json]] = []
    places = [(key, path) for key in store if key.endswith(".zattrs") for path, _ in objects(store[key])]
    places += [(key, path) for key in store if key.endswith("zarr.json") for path, _ in objects(store[key]) if path[:1] == ("attributes",)]
    for number in range(data.draw(st.integers(1, 6))):
        key, path = data.draw(st.sampled_from(places))
        name, value = f"{data.draw(KEYS)}{number}", data.draw(VALUES)
        place = at(store[key], path)
        items = list(place.items())
        items.insert(data.draw(st.integers(0, len(items))), (name, value))  # anywhere among the known keys
        place.clear()
        place.update(items)
        planted.append((key, path, name, value))
    before = copy.deepcopy(store)
    result = upgraded(store, end)
    assert in_order(store) == in_order(before)  # arguments are never changed
    for key, path, name, value in planted:
        target, place = key, path
        if end >= "0.5" and key.endswith(".zattrs"):
            target = key.replace(".zattrs", "zarr.json")
            place = ("attributes", *(("ome",) if path and path[0] in ome_zarr.WRAPPED_KEYS else ()), *path)
        found = at(result[target], in_06(place, result[target]) if end == "0.6" else place)
        assert in_order(found[name]) == in_order(value)
        old, new = [k for k in at(before[key], path) if k in found], [k for k in found if k in at(before[key], path)]
        assert old == new  # what was there before stands in the same order


@settings(max_examples=60)
@given(data=st.data(), way=st.sampled_from(PATHS))
def test_broken_documents_raise_nothing_but_our_errors(data: st.DataObject, way: tuple[str, str]) -> None:
    start, end = way
    store = copy.deepcopy(STORES[start])
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(st.sampled_from(sorted(store)))
        _, place = data.draw(st.sampled_from(list(objects(store[key]))))
        if not place:
            continue
        name = data.draw(st.sampled_from(sorted(place)))
        if data.draw(st.booleans()):
            place[name] = data.draw(VALUES)
        else:
            del place[name]
    before = copy.deepcopy(store)
    try:
        upgrade_plan(store, to=f"ome-zarr@{end}", transpose=data.draw(st.sampled_from([None, tuple("ctzyx"), ("y", "x")])))
    except ZigguratError as error:
        assert "\n" not in str(error)
    assert in_order(store) == in_order(before)


# --- the tables -----------------------------------------------------------------------------------------------------------


def test_every_version_has_a_step_and_every_step_a_version() -> None:
    assert [version for version, _ in STEPS] == list(ome_zarr.FACTS)[1:]


def test_wrapped_takes_the_place_of_the_first_key() -> None:
    assert in_order(wrapped({"a": 1, "omero": {}, "b": 2, "labels": []}, ["omero", "labels"], "0.5")) == in_order(
        {"a": 1, "ome": {"version": "0.5", "omero": {}, "labels": []}, "b": 2}
    )


def test_plan_of_what_is_there_already_is_empty() -> None:
    for version in ome_zarr.FACTS:
        assert upgrade_plan(STORES[version], to=f"ome-zarr@{version}").changes == ()
    assert upgrade_plan(founding([9, 8, 7]), to="multiscales@0.1").changes == ()
    assert upgrade_plan(image("0.1"), to="multiscales@0.1").changes == ()  # the same on disk


def test_change_knows_its_key() -> None:
    assert [Change(path, ".zattrs", None, {}).key for path in ("", "a/b")] == [".zattrs", "a/b/.zattrs"]


def test_upgraded_documents_read_as_the_version_with_the_same_levels() -> None:
    for version, store in STORES.items():
        result = layouts.read(DictNode(store))
        assert result.layout in (f"ome-zarr@{version}", "multiscales@0.1")
        assert [level.path for level in result.multiscales[0].levels] == ["0", "1"]
        assert result.multiscales[0].levels[1].scale == (1.0, 1.0, 1.0, 2.0, 2.0)
