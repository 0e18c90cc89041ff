"""spatialdata: rasters placed in "global", whatever the form of the transformation; elements as members of the root."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

import ziggurat as zg
from tests.layouts.fixtures import FIXTURES
from ziggurat import layouts
from ziggurat.layouts import spatialdata
from ziggurat.node import DictNode, DocumentNode, Tree
from ziggurat.problems import LayoutError, StorageError

BY_ID = {fixture.id: fixture for fixture in FIXTURES}
SHAPE = (8, 12)


def system(name: str, axes: str = "yx", unit: str = "unit") -> dict[str, Any]:
    return {"name": name, "axes": [{"name": axis, "type": "space", "unit": unit} for axis in axes]}


def transform(kind: str, value: object, taken: str = "yx", led: str = "yx") -> dict[str, Any]:
    key = "transformations" if kind == "sequence" else kind
    return {"type": kind, key: value, "input": system(taken, taken), "output": system("global", led)}


FORMS: dict[str, tuple[dict[str, Any], list[list[float]]]] = {
    "identity": (transform("identity", None), [[1, 0, 0], [0, 1, 0]]),
    "scale": (transform("scale", [0.25, 0.5]), [[0.25, 0, 0], [0, 0.5, 0]]),
    "translation": (transform("translation", [7.0, -3.0]), [[1, 0, 7], [0, 1, -3]]),
    "scale of x, y": (transform("scale", [0.5, 0.25], "xy", "xy"), [[0.25, 0, 0], [0, 0.5, 0]]),
    "affine": (transform("affine", [[0.8, -0.6, 3.0], [0.6, 0.8, -2.0]]), [[0.8, -0.6, 3], [0.6, 0.8, -2]]),
    "affine to x, y": (transform("affine", [[0.8, -0.6, 3.0], [0.6, 0.8, -2.0]], led="xy"), [[0.6, 0.8, -2], [0.8, -0.6, 3]]),
    "affine of x, y": (transform("affine", [[0.8, -0.6, 3.0], [0.6, 0.8, -2.0]], "xy", "yx"), [[-0.6, 0.8, 3], [0.8, 0.6, -2]]),
    "rotation": (transform("rotation", [[0.8, -0.6], [0.6, 0.8]]), [[0.8, -0.6, 0], [0.6, 0.8, 0]]),
    "mapAxis": (transform("mapAxis", {"y": "x", "x": "y"}), [[0, 1, 0], [1, 0, 0]]),
    "sequence": (
        transform("sequence", [transform("translation", [1.0, 2.0]), transform("sequence", [transform("scale", [2.0, 4.0])])]),
        [[2, 0, 2], [0, 4, 8]],
    ),
    "turned, then moved": (
        transform("sequence", [transform("rotation", [[0.0, -1.0], [1.0, 0.0]]), transform("translation", [5.0, 6.0])]),
        [[0, -1, 5], [1, 0, 6]],
    ),
}
"""Transformations, and the matrix (rows y, x; columns y, x, offset) that each is, worked out by hand."""


def stored(folder: Path, form: dict[str, Any], *, shifted: bool = True) -> Path:
    """Stores block means of y + 128 x, coordinates of the image from its corner: both are read off a sample, x in halves."""
    y, x = np.meshgrid(np.arange(SHAPE[0]) + 0.5, np.arange(SHAPE[1]) + 0.5, indexing="ij")
    root = zarr.open_group(folder / "element", mode="w", zarr_format=3)
    datasets = []
    for k, f in enumerate((1, 2, 4)):
        samples = (y + 128 * x).reshape(SHAPE[0] // f, f, SHAPE[1] // f, f).mean(axis=(1, 3))
        root.create_array(f"s{k}", shape=samples.shape, chunks=samples.shape, dtype="float64")[...] = samples
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": [float(f), float(f)]}]
        steps += [{"type": "translation", "translation": [(f - 1) / 2] * 2}] if shifted else []
        datasets.append({"path": f"s{k}", "coordinateTransformations": steps})
    axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    root.attrs["ome"] = {"version": "0.5-dev-spatialdata", "multiscales": [{"datasets": datasets, "axes": axes, "coordinateTransformations": [form]}]}
    root.attrs["spatialdata_attrs"] = {"version": "0.3"}
    return folder / "element"


@pytest.mark.parametrize("shifted", [True, False], ids=["with translations", "scales alone"])
@pytest.mark.parametrize("name", FORMS)
def test_samples_lie_where_the_transformation_of_their_own_coordinates_leads(name: str, shifted: bool, tmp_path: Path) -> None:
    """Samples hold their coordinates in the image, counted from its corner; the transformation of these is where they lie."""
    form, matrix = FORMS[name]
    pyramid = zg.open(stored(tmp_path, form, shifted=shifted))
    assert pyramid.layout == "spatialdata@0.3"
    world = np.eye(2) if pyramid.multiscale.world is None else np.asarray(pyramid.multiscale.world)
    for level in pyramid:
        samples = np.asarray(level.array[...])
        for index in np.ndindex(*level.shape):
            halves, y = divmod(float(samples[index]), 64)
            assert world @ level.to_world(index) == pytest.approx(np.asarray(matrix) @ [y, halves / 2, 1], abs=1e-12)


def test_a_diagonal_goes_into_the_numbers_and_the_rest_into_world(tmp_path: Path) -> None:
    assert zg.open(stored(tmp_path / "a", FORMS["sequence"][0])).multiscale.world is None
    turned = zg.open(stored(tmp_path / "b", FORMS["affine"][0]))
    assert turned.multiscale.world == ((0.8, -0.6), (0.6, 0.8))
    assert turned.levels[1].scale == (2.0, 2.0)


def test_all_transformations_are_kept_as_they_are() -> None:
    fixture = BY_ID["spatialdata@0.2/good/placed"]
    (multiscale,) = layouts.read(fixture.node()).multiscales
    stated = fixture.documents[".zattrs"]["multiscales"][0]["coordinateTransformations"]  # type: ignore[index,call-overload]
    assert multiscale.raw["coordinateTransformations"] == stated
    assert multiscale.extra == {"spatialdata_attrs": {"coordinateTransformations": stated[1:]}}  # the second system, which no number holds
    assert [level.scale for level in multiscale.levels] == [(1.0, 0.25, 0.5), (1.0, 0.5, 1.0), (1.0, 1.0, 2.0)]
    assert [level.translation for level in multiscale.levels] == [(0.0, -19.875, 100.25), (0.0, -19.75, 100.5), (0.0, -19.5, 101.0)]


def test_labels_are_labels_and_units_are_those_of_the_system() -> None:
    (labels,) = layouts.read(BY_ID["spatialdata@0.3/good/labels"].node()).multiscales
    (swapped,) = layouts.read(BY_ID["spatialdata@0.3/good/swapped"].node()).multiscales
    assert (labels.kind, [axis.unit for axis in labels.axes]) == ("labels", [None, None])
    assert (swapped.kind, [axis.unit for axis in swapped.axes]) == (None, [None, "micrometer", "micrometer"])


def test_what_cannot_be_applied_leaves_the_samples_in_their_own_coordinates() -> None:
    for name in ("other-system", "singular", "unknown-type", "short"):
        (multiscale,) = layouts.read(BY_ID[f"spatialdata@0.2/broken/SD008-{name}"].node()).multiscales
        assert multiscale.world is None
        assert (multiscale.levels[1].scale, multiscale.levels[1].translation) == ((1.0, 2.0, 2.0), (0.0, 1.0, 1.0))


def test_points_and_tables_are_no_collections(tmp_path: Path) -> None:
    collection = zg.open_collection(BY_ID["spatialdata@0.2/broken/SD009-points"].write(tmp_path))
    assert [(member.name, member.kind) for member in collection.members] == [("images/turned", "image"), ("labels/cells", "labels")]
    assert [(p.rule, p.loc) for p in collection.problems] == [("SD009", "points")] and "spots" in collection.problems[0].message
    points = {"zarr_format": 3, "node_type": "group", "attributes": {"encoding-type": "ngff:points", "spatialdata_attrs": {"version": "0.2"}}}
    assert layouts.detect(DictNode({"zarr.json": points})) == ()


@pytest.mark.parametrize("target", ["ome-zarr@0.5", "cosem@1", "ome-zarr@0.6"])
@pytest.mark.parametrize("name", ["sequence", "affine"])
def test_what_is_converted_lies_where_it_lay_and_is_no_spatialdata(name: str, target: str, tmp_path: Path) -> None:
    source = zg.open(stored(tmp_path, FORMS[name][0]))
    zg.convert(tmp_path / "element", tmp_path / "target.zarr", layout=target)
    again = zg.open(tmp_path / "target.zarr")
    assert again.layout == target and not any(name.startswith(spatialdata.NAME) for name in again.layouts)
    assert [(level.scale, level.translation) for level in again] == [(level.scale, level.translation) for level in source]
    assert again.multiscale.world == (source.multiscale.world if target == "ome-zarr@0.6" else None)
    assert zg.check(tmp_path / "target.zarr").ok


def test_a_store_that_cannot_list_names_its_elements_by_the_copy_of_its_root() -> None:
    fixture = BY_ID["spatialdata@0.2/good/root"]
    documents = dict(fixture.documents)
    copied = {key.removesuffix("/zarr.json"): document for key, document in documents.items() if key != "zarr.json"}
    consolidated = {"kind": "inline", "must_understand": False, "metadata": copied}
    documents["zarr.json"] = {**documents["zarr.json"], "consolidated_metadata": consolidated}  # type: ignore[dict-item]

    def get(key: str) -> bytes | None:
        return json.dumps(documents[key]).encode() if key in documents else None

    def names(path: str) -> list[str]:
        raise StorageError(f"{path!r} cannot be listed")

    found, _ = layouts.members(DocumentNode(Tree(get, names, "http")))
    assert tuple(member.name for member in found) == fixture.members


def test_it_is_only_read() -> None:
    with pytest.raises(LayoutError, match="never written"):
        layouts.find("spatialdata").write((), version="0.3", existing={})


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["y", "x", "global", "affine", "scale", "sequence", "mapAxis"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "input", "output", "axes", "name", "scale", "affine", "mapAxis", "transformations"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(JUNK, st.sampled_from(["whole", "entry", "input", "output", "affine", "version", "axes"]))
def test_no_document_raises(junk: Any, where: str) -> None:
    form = json.loads(json.dumps(FORMS["affine to x, y"][0]))
    entry: dict[str, Any] = {"datasets": [{"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0]}]}]}
    entry |= {"axes": [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}], "coordinateTransformations": [form]}
    if where in form:
        form[where] = junk
    elif where == "entry":
        entry["coordinateTransformations"] = [junk, {**form, "type": "sequence", "transformations": [junk, junk]}]
    elif where == "whole":
        entry["coordinateTransformations"] = junk
    elif where == "axes":
        entry["axes"] = junk
    attributes = {"multiscales": [entry], "spatialdata_attrs": junk if where == "version" else {"version": "0.2"}}
    array = {"zarr_format": 2, "shape": [4, 4], "chunks": [4, 4], "dtype": "<u2", "fill_value": 0, "order": "C", "filters": None, "compressor": None}
    result = layouts.read(DictNode({".zgroup": {"zarr_format": 2}, ".zattrs": attributes, "s0/.zarray": array}))
    assert result.layouts[0].startswith(spatialdata.NAME)
    assert all(level.scale is not None for multiscale in result.multiscales for level in multiscale.levels)
