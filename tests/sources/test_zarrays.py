"""Zarr sources against zarr-python: which array, in which group, with which facts."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import zarr
import zarr.storage

from ziggurat.chunkio import AnyArray
from ziggurat.model import Axis
from ziggurat.problems import NotFound, OptionError, UnsupportedError
from ziggurat.sources import Source, open_source

Whole = Callable[[Source], AnyArray]
Drawn = Callable[..., AnyArray]


def stored(group: zarr.Group, path: str, array: AnyArray, **options: Any) -> zarr.Array[Any]:
    options.setdefault("chunks", tuple(min(n, 32) for n in array.shape))
    made = group.create_array(path, shape=array.shape, dtype=array.dtype, **options)
    made[...] = array
    return made


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["u2", ">i4", "f4", "?", "c8"])
def test_an_array_of_a_group(tmp_path: Path, whole: Whole, drawn: Drawn, zarr_format: Literal[2, 3], dtype: str) -> None:
    array = drawn((70, 100), dtype)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=zarr_format)
    made = stored(group, "base", array)
    for thing in (tmp_path / "a.zarr" / "base", str(tmp_path / "a.zarr"), made, group, group.store):
        source = open_source(thing)
        assert source.info.group == str(tmp_path / "a.zarr") and source.info.path == "base" and source.info.name == "base"
        assert source.chunks == (32, 32)
        assert source.info.array_document is not None and source.info.array_document["shape"] == [70, 100]
        np.testing.assert_array_equal(whole(source), array)
        np.testing.assert_array_equal(whole(pickle.loads(pickle.dumps(source))), array)


def test_an_array_without_a_group(tmp_path: Path, whole: Whole, drawn: Drawn) -> None:
    array = drawn((70, 100), "u2")
    zarr.create_array(tmp_path / "a.zarr", shape=array.shape, dtype="u2", chunks=(32, 32))[...] = array
    source = open_source(tmp_path / "a.zarr")
    assert source.info.group is None and source.info.path == "" and source.info.name == "a"
    np.testing.assert_array_equal(whole(source), array)


def test_what_the_fast_path_leaves_is_read_too(tmp_path: Path, whole: Whole, drawn: Drawn) -> None:
    array = drawn((70, 100), "u2")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    stored(group, "0", array, order="F")
    source = open_source(tmp_path / "a.zarr")
    np.testing.assert_array_equal(whole(source), array)
    np.testing.assert_array_equal(whole(pickle.loads(pickle.dumps(source))), array)


def test_chunks_that_are_not_stored_are_said_to_be_missing(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    made = group.create_array("0", shape=(64, 64), dtype="u2", chunks=(32, 32), fill_value=9)
    made[:32, :32] = 1
    source = open_source(tmp_path / "a.zarr")
    block = np.zeros((32, 32), "u2")
    assert source.read((0, 0), block) is True and (block == 1).all()
    assert source.read((1, 0), block) is False and (block == 9).all()


def test_stores_in_memory(whole: Whole, drawn: Drawn) -> None:
    array = drawn((70, 100), "u2")
    store = zarr.storage.MemoryStore()
    root = zarr.open_group(store, mode="w")
    made = stored(root.create_group("deep"), "base", array, dimension_names=("y", "x"))
    for source in (open_source(made), open_source(store, path="deep/base"), open_source(store, path="deep")):
        assert source.info.path == "base" and source.info.group is not None and source.info.group.endswith("deep")
        assert source.info.axes == (Axis("y", "space"), Axis("x", "space"))
        np.testing.assert_array_equal(whole(source), array)
    mapping = {key: bytes(store._store_dict[key].to_bytes()) for key in store._store_dict}
    np.testing.assert_array_equal(whole(open_source(mapping, path="deep/base")), array)


def multiscale(tmp_path: Path, array: AnyArray, path: str = "0") -> Path:
    """Writes an OME-Zarr 0.5 image of one level."""
    placed = [{"type": "scale", "scale": [2.0, 0.5, 0.5]}, {"type": "translation", "translation": [1.0, 0.0, 7.0]}]
    series = {
        "axes": [{"name": "z", "type": "space", "unit": "micrometer"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}],
        "datasets": [{"path": path, "coordinateTransformations": placed}],
        "name": "cells",
    }
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="w", attributes={"ome": {"version": "0.5", "multiscales": [series]}})
    stored(group, path, array, dimension_names=("z", "y", "x"))
    return tmp_path / "a.ome.zarr"


@pytest.mark.parametrize("path", ["0", "scale0/image"])
def test_level_zero_of_a_multiscale_brings_its_geometry(tmp_path: Path, whole: Whole, drawn: Drawn, path: str) -> None:
    array = drawn((5, 40, 50), "u2")
    place = multiscale(tmp_path, array, path)
    for thing in (place, place / path, zarr.open_group(place, mode="r"), zarr.open_array(place / path, mode="r")):
        source = open_source(thing)
        assert source.info.scale == (2.0, 0.5, 0.5) and source.info.translation == (1.0, 0.0, 7.0)
        assert source.info.axes is not None and [(a.name, a.unit) for a in source.info.axes] == [("z", "micrometer"), ("y", None), ("x", None)]
        assert source.info.group == str(place) and source.info.path == path and source.info.name == "cells"
        np.testing.assert_array_equal(whole(source), array)


def test_labels_are_known_by_their_document_and_by_their_place(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "a.zarr", mode="w")
    zeros = np.zeros((8, 8), "u4")
    stored(root.create_group("labels/cells"), "0", zeros)
    stored(root.create_group("other", attributes={"ome": {"version": "0.5", "image-label": {}}}), "0", zeros)
    stored(root, "flags", zeros, attributes={"flag_values": [0, 1]})
    stored(root.create_group("plain"), "0", zeros)
    for path, reason in (("labels/cells/0", "labels group"), ("other/0", "image-label"), ("flags", "flag_values")):
        info = open_source(tmp_path / "a.zarr", path=path).info
        assert info.kind == "labels" and reason in info.kind_reason
    assert open_source(tmp_path / "a.zarr", path="plain/0").info.kind is None


def test_stamps_follow_the_chunks(tmp_path: Path, drawn: Drawn) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    made = stored(group, "0", drawn((200, 200), "u2"))
    before = open_source(tmp_path / "a.zarr").info.stamps
    assert len(before) == 8 and before == open_source(tmp_path / "a.zarr").info.stamps
    assert before[0][0] == "c/0/0" and before[-1][0] == "c/6/6"
    made[:32, :32] = 0
    assert before != open_source(tmp_path / "a.zarr").info.stamps


def test_shards_are_read_by_their_chunks(tmp_path: Path, whole: Whole, drawn: Drawn) -> None:
    array = drawn((70, 100), "u2")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    stored(group, "0", array, chunks=(16, 16), shards=(32, 64))
    source = open_source(tmp_path / "a.zarr")
    assert source.chunks == (16, 16) and source.info.array.shards == (32, 64)
    assert source.info.stamps[0][0] == "c/0/0" and len(source.info.stamps) == 6
    np.testing.assert_array_equal(whole(source), array)


def test_what_cannot_be_a_base_is_refused_in_one_sentence(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    with pytest.raises(NotFound, match="without arrays"):
        open_source(tmp_path / "a.zarr")
    root.create_array("names", shape=(3,), dtype="S4", chunks=(3,))
    with pytest.raises(UnsupportedError, match="byte strings"):
        open_source(tmp_path / "a.zarr")
    root.create_array("b", shape=(3,), dtype="u1", chunks=(3,))
    with pytest.raises(OptionError, match=r"a group of 2 arrays without a multiscale \(b, names\)"):
        open_source(tmp_path / "a.zarr")
    root.create_array("empty", shape=(3, 0), dtype="u1", chunks=(3, 1))
    with pytest.raises(UnsupportedError, match="length 0"):
        open_source(tmp_path / "a.zarr" / "empty")
    root.create_array("single", shape=(), dtype="u1", chunks=())
    with pytest.raises(UnsupportedError, match="without axes"):
        open_source(tmp_path / "a.zarr" / "single")
    with pytest.raises(NotFound, match="no Zarr array or group"):
        open_source(tmp_path / "a.zarr", path="absent")


def test_a_local_array_of_common_codecs_needs_no_zarr_library(tmp_path: Path, drawn: Drawn) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    stored(group, "0", drawn((70, 100), "u2"))
    program = (
        "import sys, numpy as np; from ziggurat.sources import open_source\n"
        f"s = open_source({str(tmp_path / 'a.zarr')!r}); s.read((0, 0), np.zeros(s.chunks, s.dtype))\n"
        "print(sorted(m for m in ('zarr', 'dask', 'xarray', 'tifffile', 'obstore') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
