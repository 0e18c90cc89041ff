"""A level's own place finds the multiscale that it belongs to: every layout of the corpus, in folders and through a store that counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from zarr.storage import StorePath

import ziggurat as zg
from tests.layouts.fixtures import GOOD, Fixture
from ziggurat.chunkio import CountingStore, DictStore
from ziggurat.problems import NotFound
from ziggurat.pyramid import survey
from ziggurat.storage.zarr_stores import ByteStoreAsZarr


def level_places(fixture: Fixture, root: Path) -> Iterator[str]:
    """The paths of the first and the last level of each multiscale; those that lie elsewhere belong to what names them, and know nothing of it."""
    for multiscale in zg.list_multiscales(fixture.write(root)):
        here = [level.path for level in multiscale.levels if level.location is None]
        yield from dict.fromkeys((here[0], here[-1]))


@pytest.mark.parametrize("fixture", GOOD, ids=lambda f: f.id)
def test_the_folder_of_a_level_opens_its_multiscale(fixture: Fixture, tmp_path: Path) -> None:
    for path in level_places(fixture, tmp_path):
        place = tmp_path / path
        place.mkdir(exist_ok=True)  # of precomputed volumes: chunks lie there, and no document
        pyramid = zg.open(place)
        assert pyramid.layout == fixture.layout
        assert place in [Path(pyramid.location) / level.path for level in pyramid.levels]
        assert survey(place).location == pyramid.location == zg.check(place).location


N_AROUND, N_GROUP = 13, 6
"""Requests beside one per level: what containers and layouts call the documents of the level and of the group; of every group between."""


@pytest.mark.parametrize("fixture", [f for f in GOOD if not f.values and f.name != "no-document"], ids=lambda f: f.id)
def test_a_level_in_a_store_opens_its_multiscale_with_few_requests(fixture: Fixture, tmp_path: Path) -> None:
    data = {key: document if isinstance(document, bytes) else json.dumps(document).encode() for key, document in fixture.documents.items()}
    for path in level_places(fixture, tmp_path):
        store = CountingStore(DictStore({f"bucket/run/{key}": value for key, value in data.items()}))
        pyramid = zg.open(StorePath(ByteStoreAsZarr(store), f"bucket/run/{path}"))
        assert pyramid.layout == fixture.layout
        assert any(f"bucket/run/{path}".endswith(level.path) for level in pyramid.levels)
        assert not store.ranges and not store.puts
        n_levels = len({level.path for multiscale in zg.list_multiscales(tmp_path) for level in multiscale.levels})
        nowhere = 20 if fixture.layout.startswith("precomputed@") else 0  # no document at all there, so every layout asks for its own
        assert store.n_gets <= n_levels + N_AROUND + N_GROUP * path.count("/") + nowhere
        assert max(store.gets.values()) <= 2, "once as itself, once as a level of what is above"


def test_an_array_deeper_than_three_groups_belongs_to_nothing(tmp_path: Path) -> None:
    fixture = next(f for f in GOOD if f.layout == "ome-zarr@0.5")
    root = fixture.write(tmp_path)
    document = next(d for key, d in fixture.documents.items() if key != "zarr.json" and not isinstance(d, bytes) and d.get("node_type") == "array")
    deep = root / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    (deep / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(NotFound, match="none of the 3 groups above"):
        zg.open(deep)
    with pytest.raises(NotFound, match="no such file or folder"):
        zg.open(root / "nothing")


@pytest.mark.parametrize("copy", [True, False])
def test_what_lies_above_a_group_is_not_read_to_open_it(tmp_path: Path, copy: bool) -> None:
    """A root of other people's, however large: neither its document nor its consolidated copy is asked for."""
    for fixture in [f for f in GOOD if f.layout in ("ome-zarr@0.4", "ome-zarr@0.5")][::5]:
        root = fixture.write(tmp_path / fixture.name / "plate" / "A" / "1" / "0").parents[2]
        for name in ("zarr.json", ".zattrs", ".zgroup") + ((".zmetadata",) if copy else ()):
            (root / name).write_text("never read")
        level = zg.open(root / "A" / "1" / "0").levels[0]
        assert zg.open(root / "A" / "1" / "0" / level.path).layout == fixture.layout
        data = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        store = CountingStore(DictStore(data))
        assert zg.open(StorePath(ByteStoreAsZarr(store), f"A/1/0/{level.path}")).layout == fixture.layout
        assert all(key.startswith("A/1/0/") for key in store.gets)
