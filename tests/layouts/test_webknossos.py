"""WEBKNOSSOS datasets: layers by name, placement by corners, several containers, documents that mean no good."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ziggurat as zg
from tests.layouts.fixtures import COLLECTIONS
from tests.layouts.ramps import means, write_n5, write_zarr2
from ziggurat import layouts
from ziggurat.problems import NotFound, OptionError, UnsupportedError

VOXEL, SHAPE = (8.0, 8.0, 32.0), (32, 24, 16)
"""Along x, y, z."""
MAGS = ((1, 1, 1), (2, 2, 1), (4, 4, 2))
FIXTURES = {f"{f.kind}/{f.name}": f for f in COLLECTIONS if f.layout == "webknossos@1"}


def corner_ramp(mag: tuple[int, ...]) -> np.ndarray:
    """Returns block means of a ramp, in (x, y, z), whose samples of mag 1 say where the middle of their voxel lies, corners being at 0."""
    x, y, z = np.meshgrid(*((np.arange(n) + 0.5) * v for n, v in zip(SHAPE, VOXEL, strict=True)), indexing="ij")
    return means(x + 2.0**12 * y + 2.0**24 * z, mag)


def error_of(pyramid: zg.Pyramid) -> float:
    """Returns the largest difference between what a sample says and where its level says that it lies."""
    names = [axis.name for axis in pyramid.axes]
    weights = {"x": 1.0, "y": 2.0**12, "z": 2.0**24}
    worst = 0.0
    for level in pyramid.levels:
        grids = np.meshgrid(*(np.arange(n) * s + t for n, s, t in zip(level.shape, level.scale, level.translation, strict=True)), indexing="ij")
        expected = sum(weights.get(name, 0.0) * grid for name, grid in zip(names, grids, strict=True))
        worst = max(worst, float(np.abs(np.asarray(level.array) - expected).max()))
    return worst


def document(fmt: str, names: tuple[str, ...], order: Mapping[str, int], scale: Any) -> dict[str, Any]:
    mags = [{"mag": list(mag), "path": f"./em/{name}", "axisOrder": dict(order)} for mag, name in zip(MAGS, names, strict=True)]
    box = {"topLeft": [4, 4, 4], "width": 28, "height": 20, "depth": 12}
    layer = {"name": "em", "category": "color", "boundingBox": box, "dataFormat": fmt, "mags": mags, "numChannels": 1, "elementClass": "double"}
    return {"id": {"name": "ramp", "team": ""}, "scale": scale, "dataLayers": [layer], "version": 1}


def write(folder: Path, container: str, scale: Any) -> Path:
    if container == "n5":
        names = ("s0", "s1", "s2")
        write_n5(folder, {}, {f"em/{name}": (np.ascontiguousarray(corner_ramp(mag).T), {}) for name, mag in zip(names, MAGS, strict=True)})
        said = document("n5", names, {"x": 0, "y": 1, "z": 2}, scale)
    else:
        names = ("1", "2-2-1", "4-4-2")
        write_zarr2(folder, {"em": {}}, {f"em/{name}": (corner_ramp(mag)[None], {}) for name, mag in zip(names, MAGS, strict=True)})
        said = document("zarr", names, {"c": 0, "x": 1, "y": 2, "z": 3}, scale)
    (folder / layouts.webknossos.DOCUMENT).write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize("scale", [list(VOXEL), {"factor": list(VOXEL), "unit": "nanometer"}], ids=["list", "object"])
@pytest.mark.parametrize("container", ["zarr2", "n5"])
def test_a_ramp_lies_where_its_corners_say(container: str, scale: Any, tmp_path: Path) -> None:
    folder = write(tmp_path, container, scale)
    for pyramid in (zg.open(folder), zg.open(folder, multiscale="em"), zg.open(folder / "em"), zg.open_collection(folder)["em"]):
        assert pyramid.layout == "webknossos@1" and pyramid.multiscale.name == "em" and len(pyramid) == len(MAGS)
        assert [axis.name for axis in pyramid.axes] == (["z", "y", "x"] if container == "n5" else ["c", "x", "y", "z"])
        assert {axis.unit for axis in pyramid.axes if axis.kind == "space"} == {"nanometer"}
        assert error_of(pyramid) == 0
    assert zg.check(folder).ok_strict and zg.check(folder / "em").ok_strict


def test_a_level_opens_by_its_own_path(tmp_path: Path) -> None:
    folder = write(tmp_path, "zarr2", list(VOXEL))
    assert zg.open(folder / "em" / "2-2-1").multiscale.name == "em"


def test_units_are_those_of_the_document(tmp_path: Path) -> None:
    pyramid = zg.open(write(tmp_path, "zarr2", {"factor": [0.5, 0.5, 2.0], "unit": "micrometer"}))
    assert pyramid.levels[1].scale == (1.0, 1.0, 1.0, 2.0) and pyramid.levels[1].translation == (0.0, 0.5, 0.5, 1.0)
    assert [axis.unit for axis in pyramid.axes] == [None, *["micrometer"] * 3]
    assert [level.level.scale_provenance for level in pyramid.levels] == ["stated", "derived", "derived"]


def test_layers_are_members_and_their_ome_metadata_stands_beside(tmp_path: Path) -> None:
    folder = FIXTURES["good/two-layers"].write(tmp_path)
    collection = zg.open_collection(folder)
    assert [(m.name, m.path, m.kind) for m in collection.members] == [("color", "color", "image"), ("segments", "segments", "labels")]
    assert collection["segments"].multiscale.kind == "labels"
    with pytest.raises(OptionError, match=r"1 image, 1 labels \(color, segments\); say which one, such as multiscale='color'"):
        zg.open(folder)
    here = zg.open(folder / "color")
    as_ome = zg.open(folder / "color", layout="ome-zarr")
    assert here.layouts == ("webknossos@1", "ome-zarr@0.5")
    assert [level.scale for level in here.levels] == [level.scale for level in as_ome.levels]
    assert here.levels[2].translation == (0.0, 22.48, 22.48, 25.0)
    assert here.multiscale.extra["boundingBox"] == {"topLeft": [8, 16, 4], "width": 40, "height": 36, "depth": 20}


def test_wkw_is_described_and_its_samples_are_refused(tmp_path: Path) -> None:
    pyramid = zg.open(FIXTURES["good/wkw"].write(tmp_path))
    base, second = pyramid.levels
    assert (base.shape, second.shape) == ((1, 48, 52, 24), (1, 24, 26, 24))
    array = base.level.array
    assert array is not None and array.dtype == "uint8" and array.driver == "wkw"
    with pytest.raises(UnsupportedError, match=r"stored as 'wkw', which can be described but not read"):
        np.asarray(base.array)


def test_a_layer_of_neuroglancer_is_read_as_precomputed(tmp_path: Path) -> None:
    folder = FIXTURES["good/precomputed"].write(tmp_path)
    assert zg.open(folder, multiscale="em").layout == "precomputed@1"


def test_mags_lie_in_the_order_of_their_factors_whatever_their_arrays(tmp_path: Path) -> None:
    pyramid = zg.open(FIXTURES["broken/WK012-padded"].write(tmp_path), multiscale="color")
    assert [level.path for level in pyramid.levels] == ["1", "2-2-1", "4-4-2"]


@pytest.mark.parametrize("name", ["WK004-parent", "WK004-other-folder"])
def test_what_leads_elsewhere_is_left_out_and_the_others_are_read(name: str, tmp_path: Path) -> None:
    assert [level.path for level in zg.open(FIXTURES[f"broken/{name}"].write(tmp_path), multiscale="color").levels] == ["1", "2-2-1"]


@pytest.mark.parametrize(
    "text",
    ['{"dataLayers": null}', '{"dataLayers": [null, 1, {"name": "a"}, {"name": "a", "mags": [{"mag": [1, 1, 1e300], "path": "a/1"}]}]}', '{"dataLayers": []}'],
)
def test_datasets_without_a_layer_that_can_be_read_are_told(text: str, tmp_path: Path) -> None:
    (tmp_path / layouts.webknossos.DOCUMENT).write_text(text)
    with pytest.raises(NotFound, match="a collection without members that can be read"):
        zg.open(tmp_path)


def test_a_file_of_that_name_that_is_none_claims_nothing(tmp_path: Path) -> None:
    (tmp_path / layouts.webknossos.DOCUMENT).write_text('{"id": "somebody else\'s"}')
    with pytest.raises(NotFound, match="a folder, but no Zarr group or array"):
        zg.open(tmp_path)


def test_a_broken_document_above_hides_no_ome_image(tmp_path: Path) -> None:
    folder = FIXTURES["good/two-layers"].write(tmp_path)
    (folder / layouts.webknossos.DOCUMENT).write_text("{")
    assert zg.open(folder / "color").layouts == ("ome-zarr@0.5",)
