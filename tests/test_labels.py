"""Labels of an OME image: built below it, listed by it, with its levels; refused where they cannot be its labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import ziggurat as zg

SHAPE = (2, 12, 33, 40)
STEPS = [{"y": 2, "x": 2}, {"z": 2, "y": 2, "x": 2}]


def write_image(place: Path, version: str = "0.5") -> Path:
    samples = np.random.default_rng(0).integers(0, 255, SHAPE, dtype="uint8")
    zg.build(samples, place, axes="czyx", scale={"z": 2, "y": 0.5, "x": 0.5}, unit="micrometer", layout=f"ome-zarr@{version}", factors=STEPS)
    return place


def nuclei(shape: tuple[int, ...] = SHAPE[1:]) -> Any:
    labels = np.zeros(shape, "uint32")
    labels[..., 10:30, 10:30] = 70_000
    return labels


def block(group: Path, *, wrapped: bool) -> dict[str, Any]:
    if wrapped:
        found: dict[str, Any] = json.loads((group / "zarr.json").read_text())["attributes"]["ome"]
    else:
        found = json.loads((group / ".zattrs").read_text())
    return found


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_labels_take_levels_and_placement_from_their_image_which_lists_them(tmp_path: Path, version: str) -> None:
    place, wrapped = write_image(tmp_path / "image.ome.zarr", version), version != "0.4"
    zg.build(nuclei(), place / "labels" / "nuclei")  # below an image's labels nothing else is meant
    zg.build(nuclei((1, 33, 40)), f"{place}/labels/by hand/cells", kind="labels")
    assert block(place / "labels", wrapped=wrapped)["labels"] == ["nuclei", "by hand/cells"]
    image, labels = zg.open(place), zg.open(place, multiscale="labels/nuclei")
    assert labels.axes == image.axes[1:]
    assert [level.shape for level in labels.levels] == [level.shape[1:] for level in image.levels]
    for ours, theirs in zip(labels.levels, image.levels, strict=True):
        np.testing.assert_array_equal(ours.scale, theirs.scale[1:])
        np.testing.assert_array_equal(ours.translation, theirs.translation[1:])
    stated = block(place / "labels" / "nuclei", wrapped=wrapped)["image-label"]
    assert stated == {"source": {"image": "../../"}} | ({} if version == "0.6" else {"version": version})
    assert block(place / "labels" / "by hand" / "cells", wrapped=wrapped)["image-label"]["source"] == {"image": "../../../"}
    assert [shape.shape[0] for shape in zg.open(place, multiscale="labels/by hand/cells").levels] == [1, 1, 1]
    assert set(np.unique(labels.arrays[2][...])) == {0, 70_000}
    assert not [problem for problem in zg.check(place) if problem.requirement == "MUST"]
    foreign = zarr.open_group(place / "labels", mode="r")
    assert "by hand/cells" in foreign and "nuclei/2" in foreign


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_the_list_keeps_what_stands_beside_it_and_copies_are_written_again(tmp_path: Path) -> None:
    place = write_image(tmp_path / "image.ome.zarr")
    zarr.create_group(place / "labels", attributes={"ome": {"version": "0.5", "labels": ["old"], "x": 1}, "mine": 2}, zarr_format=3)
    zarr.consolidate_metadata(place)
    zg.build(nuclei(), place / "labels" / "nuclei")
    zg.build(nuclei(), place / "labels" / "nuclei", overwrite=True)
    written = json.loads((place / "labels" / "zarr.json").read_text())["attributes"]
    assert written == {"ome": {"version": "0.5", "labels": ["old", "nuclei"], "x": 1}, "mine": 2}
    assert not [problem for problem in zg.check(place) if problem.rule == "CON001"]
    assert "labels/nuclei/1" in zarr.open_consolidated(place, zarr_format=3)


def test_factors_are_those_of_an_image_whose_levels_are_rounded_down_and_other_levels_are_not_guessed(tmp_path: Path) -> None:
    for name, shapes in (("down", [(16, 20), (8, 10)]), ("other", [(22, 27), (11, 13)])):
        place = tmp_path / f"{name}.zarr"
        zarr.create_group(place, zarr_format=3)
        for k, shape in enumerate([(33, 40), *shapes]):
            zarr.create_array(place, name=str(k), shape=shape, dtype="uint8", dimension_names=("y", "x"))
        axes = [{"name": n, "type": "space"} for n in "yx"]
        scales = [[40 / n] * 2 for _, n in [(33, 40), *shapes]]
        datasets = [{"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": s}]} for k, s in enumerate(scales)]
        zarr.open_group(place).attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    zg.build(nuclei((33, 40)), tmp_path / "down.zarr" / "labels" / "n")
    assert [level.shape for level in zg.open(tmp_path / "down.zarr", multiscale="labels/n").levels] == [(33, 40), (17, 20), (9, 10)]
    with pytest.raises(zg.ZigguratError, match="whole factors"):
        zg.build(nuclei((33, 40)), tmp_path / "other.zarr" / "labels" / "n")
    zg.build(nuclei((33, 40)), tmp_path / "other.zarr" / "labels" / "n", factors=2, levels=3)


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        (nuclei((12, 33, 41)), {}, "'x' of the labels has length 41; .* have 40 or 1 there"),
        (nuclei((3, *SHAPE)), {"axes": "tczyx"}, "'t' of the labels has length 3"),
        (nuclei((3, *SHAPE)), {}, "say axes="),
        (nuclei().astype("float32"), {"kind": "labels"}, "found float32"),
        (nuclei() > 0, {}, "found bool"),
        (nuclei(), {"kind": "image"}, "kind='image'"),
        (nuclei(), {"layout": "ome-zarr@0.4"}, "leave layout out"),
    ],
)
def test_what_cannot_be_labels_of_the_image_is_refused(tmp_path: Path, labels: Any, options: dict[str, Any], words: str) -> None:
    place = write_image(tmp_path / "image.ome.zarr")
    with pytest.raises(zg.ZigguratError, match=words):
        zg.build(labels, place / "labels" / "nuclei", **options)
    assert not (place / "labels").exists()


def test_a_list_that_is_none_is_not_written_over(tmp_path: Path) -> None:
    place = write_image(tmp_path / "image.ome.zarr")
    zarr.create_group(place / "labels", attributes={"ome": {"version": "0.5", "labels": "nuclei"}}, zarr_format=3)
    with pytest.raises(zg.ZigguratError, match="expected a list of names"):
        zg.build(nuclei(), place / "labels" / "nuclei")


def test_folders_that_are_called_labels_are_no_labels_of_an_image(tmp_path: Path) -> None:
    zg.build(nuclei(), tmp_path / "labels" / "a.ome.zarr", kind="labels")
    assert not (tmp_path / "labels" / "zarr.json").exists()
    assert "image-label" not in block(tmp_path / "labels" / "a.ome.zarr", wrapped=True)


def test_a_conversion_and_an_upgrade_keep_the_labels(tmp_path: Path) -> None:
    place = write_image(tmp_path / "image.ome.zarr", "0.4")
    zg.build(nuclei(), place / "labels" / "nuclei")
    zg.upgrade(place, to="ome-zarr@0.5", dest=tmp_path / "new.ome.zarr")
    assert tuple(zg.open_collection(tmp_path / "new.ome.zarr")) == ("labels/nuclei",)
    np.testing.assert_array_equal(zg.open(tmp_path / "new.ome.zarr", multiscale="labels/nuclei").arrays[0][...], nuclei())
