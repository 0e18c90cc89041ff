"""Collections: many multiscales below one place, by name. What is read when, what is shown, and what an error says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import ziggurat as zg
from tests.layouts.fixtures import FIXTURES, Fixture
from ziggurat.chunkio import CountingStore, FileStore
from ziggurat.cli import run
from ziggurat.problems import NoMember, NotFound, OptionError

BY_ID = {fixture.id: fixture for fixture in FIXTURES}
PLATE = BY_ID["ome-zarr@0.5/good/plate"]
IMAGE = BY_ID["ome-zarr@0.5/good/labels"]


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    return PLATE.write(tmp_path / "plate.zarr")


def test_a_collection_is_a_mapping_of_names_to_pyramids(plate: Path) -> None:
    collection = zg.open_collection(plate)
    assert len(collection) == 6 and list(collection)[:2] == ["A/1/0", "A/1/1"]
    assert "B/1/1" in collection and "B/2/0" not in collection and collection.get("B/2/0") is None
    assert [level.shape for level in collection["B/1/1"]] == [(96, 64), (48, 32)]
    assert {member.kind for member in collection.members} == {"field"} and {member.kind for member in collection.direct} == {"well"}
    assert collection.members[0].about["acquisition"] == 0


def test_only_what_leads_to_a_member_is_read(plate: Path) -> None:
    store = CountingStore(FileStore(str(plate)))
    assert len(zg.open(store, multiscale="B/1/1")) == 2
    # the plate, its well, its field, and the two levels; one more where the same node is asked again
    assert set(store.gets) == {"zarr.json", "B/1/zarr.json", "B/1/1/zarr.json", "B/1/1/0/zarr.json", "B/1/1/1/zarr.json"}
    assert store.gets.total() <= 6


def test_the_labels_of_an_image_stand_beside_it(tmp_path: Path) -> None:
    place = IMAGE.write(tmp_path / "image.zarr")
    assert zg.open(place).name == "cells"
    assert zg.open(place, multiscale="labels/sub/cells").levels[0].info.dtype == "uint32"
    assert tuple(zg.open_collection(place)) == ("labels/nuclei", "labels/sub/cells")
    assert zg.open(place / "labels" / "nuclei").name == "nuclei"
    with pytest.raises(OptionError, match="none is called 'labels/nothing'"):
        zg.open(place, multiscale="labels/nothing")


def test_several_members_ask_for_a_choice_in_one_sentence(plate: Path) -> None:
    with pytest.raises(OptionError, match=r"a collection of 3 wells \(A/1/0, .*, \.\.\.\); say which one, such as multiscale='A/1/0'"):
        zg.open(plate)
    with pytest.raises(NoMember, match="has no member 'C/9'; a collection of 3 wells"):
        zg.open(plate, multiscale="C/9")
    with pytest.raises(KeyError):
        zg.open_collection(plate)["C/9"]
    with pytest.raises(OptionError, match="a function chooses among the multiscales of one group"):
        zg.open(plate, multiscale=lambda m: True)
    assert zg.open(plate, multiscale=-1).location == str(plate / "B/1/1")


def test_the_only_member_opens_without_its_name(tmp_path: Path) -> None:
    documents = {key: value for key, value in BY_ID["ome-zarr@0.5/good/bioformats2raw-bare"].documents.items() if not key.startswith("1/")}
    fixture = Fixture("", "", "", (), None, documents, ("0",))
    assert zg.open(fixture.write(tmp_path)).name == "series 0"


def test_what_is_no_collection_says_so(tmp_path: Path) -> None:
    place = BY_ID["ome-zarr@0.5/good/placed"].write(tmp_path)
    with pytest.raises(NotFound, match="no collection: nothing there names multiscales below it"):
        zg.open_collection(place)
    with pytest.raises(NotFound, match=r"a collection \('ome.plate' names multiscales below\), no multiscale itself"):
        zg.list_multiscales(PLATE.write(tmp_path / "plate"))


def large_plate(folder: Path) -> Path:
    """A plate of 384 wells, of which only the first has an image."""
    rows, columns = [chr(65 + i) for i in range(16)], [str(j + 1) for j in range(24)]
    wells = [{"path": f"{row}/{column}", "rowIndex": i, "columnIndex": j} for i, row in enumerate(rows) for j, column in enumerate(columns)]
    attributes = {"ome": {"version": "0.5", "plate": {"rows": [{"name": r} for r in rows], "columns": [{"name": c} for c in columns], "wells": wells}}}
    documents = {key: value for key, value in PLATE.documents.items() if key.startswith("A/1/")}
    documents |= {f"{well['path']}/zarr.json": PLATE.documents["A/1/zarr.json"] for well in wells}
    documents["zarr.json"] = {"zarr_format": 3, "node_type": "group", "attributes": attributes}  # type: ignore[dict-item]
    return Fixture("", "", "", (), None, documents, None).write(folder)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield large_plate(tmp_path_factory.mktemp("many"))


def test_a_plate_of_384_wells_is_shown_on_one_screen(many: Path) -> None:
    text = repr(zg.open_collection(many))
    assert "a collection of 384 wells (A/1/0, A/1/1, A/2/0, A/2/1, A/3/0, ...)" in text
    assert text.count("\n") < 50 and max(map(len, text.split("\n"))) <= 100 and text.endswith("...")
    assert "  P   o  o" in text


def test_a_plate_of_384_wells_opens_with_two_requests_before_the_image(many: Path) -> None:
    store = CountingStore(FileStore(str(many)))
    zg.open_collection(store)["A/1/0"]
    assert store.gets.total() <= 6 and store.sizes.total() == 0


def test_info_and_check_know_collections(plate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["info", str(plate)])
    shown = capsys.readouterr().out
    assert "a collection of 3 wells" in shown and "A/1/0   96 x 64       2  y x (micrometer)" in shown
    run(["info", "--json", str(plate)])
    found = json.loads(capsys.readouterr().out)
    assert [member["name"] for member in found["members"]] == list(PLATE.members or ()) and found["multiscales"] == []
    (plate / "B/1/1/1/zarr.json").unlink()
    assert run(["check", str(plate)]) == 1
    assert "OME003  B/1/1/ome.multiscales[0].datasets[1].path" in capsys.readouterr().out


def test_names_reach_a_terminal_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    attributes = {"ome": {"version": "0.5", "labels": ["red\x1b[31m", "ok\u202e"]}}
    (tmp_path / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}))
    run(["info", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\u202e" not in shown
    assert "\u202e" not in repr(zg.open_collection(tmp_path))


def test_a_large_consolidated_document_is_not_read_to_open_one_pyramid(tmp_path: Path) -> None:
    """Zarr v2: the copy of 10,000 arrays lies beside the documents, and nobody asked for it."""
    place = BY_ID["ome-zarr@0.4/good/placed"].write(tmp_path / "image.zarr")
    (place / ".zmetadata").write_bytes(b" " * 50 * 2**20)
    store = CountingStore(FileStore(str(place)))
    pyramid = zg.open(store)
    assert ".zmetadata" not in store.gets and store.read_bytes < 2**16
    # the probe for v3, the group's attributes, two more that tell a v2 group from an array, and one document per level
    assert store.gets.total() == len(store.gets) <= 4 + len(pyramid)


@pytest.mark.parametrize("name", ["ome-zarr@0.4/good/placed", "ome-zarr@0.5/good/placed", "ome-zarr@0.6/good/placed", "ome-zarr@0.2/good/omero"])
def test_a_level_finds_its_multiscale_in_every_version(name: str, tmp_path: Path) -> None:
    place = BY_ID[name].write(tmp_path / "image.zarr")
    whole = zg.open(place)
    assert all(zg.open(place / level.path).multiscale == whole.multiscale for level in whole)
