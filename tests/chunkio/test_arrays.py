"""ChunkArray: what is stored and what it costs; tests/differential compares the samples with zarr-python's."""

from __future__ import annotations

import json
import pickle
import random
import threading
from pathlib import Path

import numpy as np
import pytest

from ziggurat.chunkio import (
    ArraySpec,
    ChunkArray,
    Codec,
    CountingStore,
    DictStore,
    FileStore,
    array_documents,
    chunk_indices,
    chunk_region,
    padded,
    read_region,
    same_encoding,
)
from ziggurat.model import JSON
from ziggurat.problems import PathError, StorageError, UnsupportedError

U2 = np.dtype("u2")


def document(spec: ArraySpec) -> dict[str, JSON]:
    found = json.loads(json.dumps(array_documents(spec)[".zarray" if spec.zarr_format == 2 else "zarr.json"]))
    assert isinstance(found, dict)
    return found


def fill_array(array: ChunkArray, samples: np.ndarray) -> None:
    for index in chunk_indices(array.shape, array.chunks):
        array.write(index, padded(samples[chunk_region(index, array.chunks, array.shape)], array.chunks, array.fill))


def noise(shape: tuple[int, ...], dtype: str = "u2", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 200, shape).astype(dtype)


V2 = document(ArraySpec((9, 9), U2, (4, 4), zarr_format=2))
V3 = document(ArraySpec((9, 9), U2, (4, 4)))


def test_each_chunk_costs_one_get_and_each_written_chunk_one_put() -> None:
    store = CountingStore(DictStore())
    array = ChunkArray.create(store, "a", ArraySpec((20, 20), U2, (8, 8)))
    samples = noise((20, 20))
    fill_array(array, samples)
    assert store.puts == {"a/zarr.json": 1, **{f"a/c/{i}/{j}": 1 for i in range(3) for j in range(3)}}
    assert np.array_equal(read_region(array, (slice(None), slice(None))), samples)
    assert store.gets == {f"a/c/{i}/{j}": 1 for i in range(3) for j in range(3)}
    assert not store.sizes


@pytest.mark.parametrize("location", ["start", "end"])
def test_a_shard_is_written_once_and_its_index_read_once(location: str) -> None:
    store = CountingStore(DictStore())
    spec = ArraySpec((20, 20), U2, (4, 4), shards=(8, 8), index_location="start" if location == "start" else "end")
    array = ChunkArray.create(store, "a", spec)
    samples = noise((20, 20))
    fill_array(array, samples)
    assert store.puts == {"a/zarr.json": 1, **{f"a/c/{i}/{j}": 1 for i in range(3) for j in range(3)}}
    again = ChunkArray.open(store, "a", document(spec), zarr_format=3)
    assert np.array_equal(read_region(again, (slice(None), slice(None))), samples)
    assert store.n_gets == 9 + 25  # one index a shard, one range a chunk
    assert set(store.ranges.values()) == {1}
    assert store.sizes.total() == (0 if location == "start" else 9)


def test_chunks_of_fill_are_not_stored_unless_asked() -> None:
    for fill, dtype in ((0, "u2"), (7, "i4"), ("NaN", "f4"), (1, "?"), ([1.0, "NaN"], "c16"), ("-Infinity", "f2")):
        for shards in (None, (8,)):
            spec = ArraySpec((16,), np.dtype(dtype), (4,), shards=shards, fill_value=fill)
            for write_empty in (False, True):
                store = DictStore()
                array = ChunkArray.create(store, "", spec, write_empty=write_empty)
                block = np.full(4, array.fill, array.dtype)
                written = [array.write((i,), block) for i in range(4)]
                n_objects = (2 if shards else 4) if write_empty else 0
                assert len(store.values) == 1 + n_objects
                assert all(n > 0 for n in written) == write_empty
                out = np.zeros(4, array.dtype)
                assert array.read((3,), out) == write_empty
                assert out.tobytes() == block.tobytes()


def test_what_differs_from_fill_by_one_bit_is_stored() -> None:
    for fill, dtype, other in ((0.0, "f4", -0.0), (0.0, "f8", 5e-324), ("NaN", "f4", np.uint32(0x7FC00001).view("f4")), ([0, 0], "c16", complex(0, -0.0))):
        store = DictStore()
        array = ChunkArray.create(store, "", ArraySpec((70000,), np.dtype(dtype), (70000,), fill_value=fill))
        for at in (0, 40000, 69999):
            block = np.full(70000, array.fill, array.dtype)
            block[at] = other
            assert array.write((0,), block) > 0
            out = np.empty_like(block)
            assert array.read((0,), out)
            assert out.tobytes() == block.tobytes()


def test_shards_are_the_same_bytes_for_any_order_and_number_of_threads() -> None:
    samples = noise((40, 40))
    samples[8:16, 8:16] = 0
    spec = ArraySpec((40, 40), U2, (4, 4), shards=(16, 16), codec=Codec("zstd"))
    stores = []
    for n_threads, seed in ((1, None), (1, 5), (2, 6), (4, 7)):
        store = DictStore()
        array = ChunkArray.create(store, "", spec)
        todo = list(chunk_indices(array.shape, array.chunks))
        if seed is not None:
            random.Random(seed).shuffle(todo)
        work = iter(todo)
        lock = threading.Lock()

        def job(array: ChunkArray = array, work: object = work, lock: threading.Lock = lock) -> None:
            while True:
                with lock:
                    index = next(work, None)  # type: ignore[call-overload]
                if index is None:
                    return
                array.write(index, padded(samples[chunk_region(index, array.chunks, array.shape)], array.chunks, array.fill))

        threads = [threading.Thread(target=job) for _ in range(n_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (array.open_shards, array.held_bytes) == (0, 0)
        stores.append(store.values)
    assert stores[0] == stores[1] == stores[2] == stores[3]
    assert len(stores[0]) == 1 + 9


def test_open_shards_hold_encoded_bytes_until_their_last_chunk() -> None:
    store = DictStore()
    array = ChunkArray.create(store, "", ArraySpec((16, 6), U2, (4, 4), shards=(8, 8)))
    held = array.write((0, 0), noise((4, 4))) + array.write((2, 0), noise((4, 4)))
    assert (array.open_shards, array.held_bytes, array.held_peak_bytes) == (2, held, held)
    held += array.write((0, 1), noise((4, 4)))
    array.write((1, 0), np.zeros((4, 4), U2))
    assert "c/0/0" not in store.values
    array.write((1, 1), np.zeros((4, 4), U2))
    assert "c/0/0" in store.values
    assert array.open_shards == 1
    assert array.held_peak_bytes == held
    assert array.held_bytes < held
    with pytest.raises(StorageError, match="written twice"):
        array.write((2, 0), noise((4, 4)))


def test_blocks_of_the_wrong_kind_are_refused() -> None:
    array = ChunkArray.create(DictStore(), "", ArraySpec((8, 8), U2, (4, 4)))
    for block in (np.zeros((4, 3), U2), np.zeros((4, 4), "i2"), np.zeros((4, 4), ">u2"), np.zeros((4, 8), U2)[:, ::2]):
        with pytest.raises(StorageError, match="expected"):
            array.write((0, 0), block)
    array.write((0, 0), np.ones((4, 4), U2))
    for out in (np.zeros((4, 3), U2), np.zeros((4, 8), U2)[:, ::2]):
        with pytest.raises(StorageError, match="C-contiguous"):
            array.read((0, 0), out)


@pytest.mark.parametrize("path", ["../x", "a/../b", "/a", "a//b", "a/./b", "a\\b", "a\0b", ".."])
def test_paths_that_leave_the_store_are_refused(path: str) -> None:
    with pytest.raises(PathError, match="leaves the store"):
        ChunkArray.open(DictStore(), path, V3, zarr_format=3)


def test_an_array_outside_the_fast_path_is_refused_with_the_reason() -> None:
    with pytest.raises(UnsupportedError, match="order 'F'"):
        ChunkArray.open(DictStore(), "a", {**V2, "order": "F"}, zarr_format=2)


def test_arrays_pickle(tmp_path: Path) -> None:
    array = ChunkArray.create(FileStore(tmp_path), "a/b", ArraySpec((9, 9), U2, (4, 4), shards=(8, 8)))
    samples = noise((9, 9))
    fill_array(array, samples)
    again = pickle.loads(pickle.dumps(array))
    assert np.array_equal(read_region(again, (slice(None), slice(None))), samples)
    assert repr(again) == repr(array) == "<ChunkArray a/b (9, 9) uint16 chunks (4, 4) zstd 3>"


def test_stored_chunks_move_as_they_are() -> None:
    """Verbatim copy: v2 to v3, into shards and out of them; the bytes are handed on to be decoded once."""
    samples = noise((21, 13))
    samples[:8, :8] = 0
    source = ChunkArray.create(DictStore(), "0", ArraySpec((21, 13), U2, (4, 4), codec=Codec("zstd", level=9), zarr_format=2, separator="."))
    fill_array(source, samples)
    for shards in (None, (8, 8)):
        counted = CountingStore(source.store)
        reader = ChunkArray.open(
            counted, "0", document(ArraySpec((21, 13), U2, (4, 4), codec=Codec("zstd", level=9), zarr_format=2, separator=".")), zarr_format=2
        )
        target = ChunkArray.create(DictStore(), "0", ArraySpec((21, 13), U2, (4, 4), shards=shards))
        assert same_encoding(reader, target)
        seen = np.empty((4, 4), U2)
        for index in chunk_indices(reader.shape, reader.chunks):
            stored = reader.read_encoded(index)
            target.put_encoded(index, stored)
            if stored is not None:
                reader.decode(index, stored, seen)
                assert np.array_equal(seen[: 21 - 4 * index[0], : 13 - 4 * index[1]], samples[chunk_region(index, (4, 4), (21, 13))])
        assert set(counted.gets.values()) == {1}
        assert np.array_equal(read_region(target, (slice(None), slice(None))), samples)
        for index in chunk_indices(reader.shape, reader.chunks):
            assert target.read_encoded(index) == source.read_encoded(index)


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (8, 4)},
        {"dtype": np.dtype("i2")},
        {"dtype": np.dtype(">u2")},
        {"fill_value": 1},
        {"codec": Codec("gzip")},
        {"codec": Codec(crc32c=True)},
        {"shape": (16, 8)},
    ],
)
def test_chunks_of_another_kind_do_not_move(options: dict[str, object]) -> None:
    base: dict[str, object] = {"shape": (16, 16), "dtype": U2, "chunks": (4, 4)}
    one, other = (ChunkArray.create(DictStore(), "", ArraySpec(**o)) for o in (base, {**base, **options}))
    assert not same_encoding(one, other)
    level = ChunkArray.create(DictStore(), "", ArraySpec(**{**base, "codec": Codec("zstd", level=19, checksum=True)}))
    assert same_encoding(one, level)
