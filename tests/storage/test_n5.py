"""N5 datasets: tensorstore is the oracle for all compressions but lz4; blocks made by hand for the rest and for what lies."""

from __future__ import annotations

import itertools
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import tensorstore
import xxhash

import ziggurat as zg
from ziggurat.chunkio import ArraySpec, Codec, DictStore, FileStore, chunk_indices, chunk_region, padded, read_region
from ziggurat.problems import DocumentError, LimitError, StorageError, UnsupportedError
from ziggurat.sources import open_source
from ziggurat.storage import open_node
from ziggurat.storage.n5 import N5Array, create_n5, n5_document
from ziggurat.storage.n5codecs import xxhash32

DTYPES = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8")
COMPRESSIONS: tuple[dict[str, object], ...] = (
    {"type": "raw"},
    {"type": "gzip", "level": 5, "useZlib": False},
    {"type": "gzip", "level": 5, "useZlib": True},
    {"type": "bzip2", "blockSize": 5},
    {"type": "xz", "preset": 3},
    {"type": "zstd", "level": 2},
    {"type": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 1, "blocksize": 0},
    {"type": "blosc", "cname": "lz4", "clevel": 3, "shuffle": 2, "blocksize": 0},
    {"type": "blosc", "cname": "blosclz", "clevel": 6, "shuffle": 0, "blocksize": 0},
)
LZ4: dict[str, object] = {"type": "lz4", "blockSize": 65536}
SHAPES = (((7,), (3,)), ((9, 14), (4, 5)), ((5, 6, 11), (2, 3, 4)), ((3, 2, 5, 4), (2, 2, 2, 3)), ((4, 4), (4, 4)), ((3, 3), (8, 8)))
"""Shape and chunks in C order: whole, cut and single blocks."""


def noise(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    raw = np.random.default_rng(4).integers(0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8)
    return np.nan_to_num(raw.view(dtype).reshape(shape), nan=1, posinf=2, neginf=3)


def opened(folder: Path) -> N5Array:
    node = open_node(str(folder))
    document = node.array_document
    assert document is not None
    return N5Array(FileStore(folder, read_only=True), "", document)


def whole(array: N5Array) -> np.ndarray:
    return read_region(array, [slice(None)] * len(array.shape))


def fill_in(array: N5Array, samples: np.ndarray) -> None:
    for index in chunk_indices(array.shape, array.chunks):
        array.write(index, padded(samples[chunk_region(index, array.chunks, array.shape)], array.chunks, array.fill))


def spec_of(samples: np.ndarray, chunks: tuple[int, ...], compression: dict[str, object]) -> ArraySpec:
    return ArraySpec(samples.shape, samples.dtype, chunks, codec=Codec("other", verbatim=compression))  # type: ignore[arg-type]


def kvstore(folder: Path) -> dict[str, object]:
    return {"driver": "file", "path": f"{folder}/"}


def cases(n: int) -> list[tuple[str, dict[str, object], tuple[tuple[int, ...], tuple[int, ...]]]]:
    """Every n-th of the matrix: dtypes, compressions, ranks and sizes."""
    return list(itertools.product(DTYPES, COMPRESSIONS, SHAPES))[::n]


def check_theirs(folder: Path, samples: np.ndarray, chunks: tuple[int, ...], compression: dict[str, object]) -> None:
    metadata = {
        "dimensions": list(reversed(samples.shape)),
        "blockSize": list(reversed(chunks)),
        "dataType": samples.dtype.name,
        "compression": dict(compression),
    }
    store = tensorstore.open({"driver": "n5", "kvstore": kvstore(folder), "metadata": metadata, "create": True}).result()
    store[...] = samples.T
    assert whole(opened(folder)).tobytes() == samples.tobytes(), (samples.dtype, compression, samples.shape)


def check_ours(folder: Path, samples: np.ndarray, chunks: tuple[int, ...], compression: dict[str, object]) -> None:
    array = create_n5(FileStore(folder, durability="none"), "", spec_of(samples, chunks, compression))
    fill_in(array, samples)
    theirs = tensorstore.open({"driver": "n5", "kvstore": kvstore(folder)}, open=True).result()
    assert np.ascontiguousarray(np.asarray(theirs.read().result()).T).tobytes() == samples.tobytes(), (samples.dtype, compression, samples.shape)
    assert whole(opened(folder)).tobytes() == samples.tobytes()


@pytest.mark.parametrize("part", range(2))
def test_tensorstore_reads_what_we_write_and_we_what_it_writes(part: int, tmp_path: Path) -> None:
    for n, (dtype, compression, (shape, chunks)) in enumerate(cases(7)[part::2]):
        check_ours(tmp_path / f"ours{n}", noise(dtype, shape), chunks, compression)
        check_theirs(tmp_path / f"theirs{n}", noise(dtype, shape), chunks, compression)


@pytest.mark.prove
def test_whole_matrix_with_tensorstore(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    for n, (dtype, compression, (shape, chunks)) in enumerate(cases(1)):
        check_ours(tmp_path / f"ours{n}", noise(dtype, shape), chunks, compression)
        check_theirs(tmp_path / f"theirs{n}", noise(dtype, shape), chunks, compression)
    record_property("arrays each way", len(cases(1)))


@pytest.mark.parametrize("compression", [*COMPRESSIONS, LZ4], ids=lambda c: "-".join(map(str, c.values())))
def test_what_is_not_stored_is_zero_and_zeros_are_not_stored(compression: dict[str, object]) -> None:
    samples = noise("u2", (7, 10))
    samples[3:6, 4:8] = 0
    store = DictStore()
    array = create_n5(store, "a/b", spec_of(samples, (3, 4), compression))
    fill_in(array, samples)
    assert "a/b/1/1" not in store.values and "a/b/2/2" in store.values
    assert whole(array).tobytes() == samples.tobytes()
    assert whole(pickle.loads(pickle.dumps(array))).tobytes() == samples.tobytes()


# --- lz4 ------------------------------------------------------------------------------------------------------------------


def java_block(piece: bytes, *, stored: bytes | None = None) -> bytes:
    """One block of lz4-java's stream, by other people's lz4 and xxHash."""
    packed = bytes(numcodecs.LZ4().encode(piece))[4:]
    method, data = (0x10, piece) if stored == piece else (0x20, packed)
    return struct.pack("<8sBiii", b"LZ4Block", method | 6, len(data), len(piece), xxhash.xxh32(piece, 0x9747B28C).intdigest() & 0x0FFFFFFF) + data


def lz4_array(data: bytes, n: int) -> N5Array:
    document = {"dimensions": [n], "blockSize": [n], "dataType": "uint8", "compression": LZ4}
    return N5Array(DictStore({"0": struct.pack(">HHI", 0, 1, n) + data}), "", document)


END = struct.pack("<8sBiii", b"LZ4Block", 0x16, 0, 0, 0)


def test_lz4_java_streams_are_read() -> None:
    samples = (np.arange(200_000) // 7 % 251).astype("u1").tobytes()
    pieces = [samples[:65536], samples[65536:131072], samples[131072:]]
    data = java_block(pieces[0]) + java_block(pieces[1], stored=pieces[1]) + java_block(pieces[2]) + END
    assert whole(lz4_array(data, len(samples))).tobytes() == samples
    bare = bytes(numcodecs.LZ4().encode(samples))[4:]
    assert whole(lz4_array(bare, len(samples))).tobytes() == samples  # as z5 stores it


def test_our_lz4_is_lz4_javas() -> None:
    samples = np.concatenate([np.arange(100_000) % 17, np.random.default_rng(1).integers(0, 256, 70_001)]).astype("u1")
    store = DictStore()
    fill_in(create_n5(store, "", spec_of(samples, samples.shape, LZ4)), samples)
    data, decoded = store.values["0"][8:], b""
    while True:
        magic, token, n_stored, n_decoded, checksum = struct.unpack_from("<8sBiii", data)
        data = data[21:]
        assert magic == b"LZ4Block" and token & 0x0F == 6
        if n_decoded == 0:
            break
        piece = data[:n_stored] if token & 0xF0 == 0x10 else bytes(numcodecs.LZ4().decode(struct.pack("<i", n_decoded) + data[:n_stored]))
        assert len(piece) == n_decoded and xxhash.xxh32(piece, 0x9747B28C).intdigest() & 0x0FFFFFFF == checksum
        decoded, data = decoded + piece, data[n_stored:]
    assert decoded == samples.tobytes() and data == b""


def test_lz4_that_lies_is_refused() -> None:
    samples = bytes(range(256)) * 8
    good = java_block(samples) + END
    flipped = bytearray(good)
    flipped[40] ^= 1
    for data, reason in (
        (good[:-10], "cut off"),
        (good[:30], "states"),
        (bytes(flipped), "checksum|lz4|LZ4"),
        (java_block(samples + b"x") + END, "states"),
        (java_block(samples[:-1]) + END, "decodes to"),
        (b"LZ4Block" + b"\x30" + good[9:], "token"),
    ):
        with pytest.raises(StorageError, match=reason):
            whole(lz4_array(data, len(samples)))


@pytest.mark.parametrize("length", [0, 1, 3, 4, 15, 16, 17, 31, 32, 100, 1000])
def test_xxhash_of_rows_is_xxhash(length: int) -> None:
    rows = np.random.default_rng(length).integers(0, 256, (3, length), np.uint8)
    for seed in (0, 1, 0x9747B28C):
        assert [int(h) for h in xxhash32(rows, seed)] == [xxhash.xxh32(row.tobytes(), seed).intdigest() for row in rows]


# --- headers and documents ----------------------------------------------------------------------------------------------------


def raw_array(data: bytes, **more: object) -> N5Array:
    document = {"dimensions": [5, 3], "blockSize": [4, 2], "dataType": "uint16", "compression": {"type": "raw"}, **more}
    return N5Array(DictStore({"0/0": data, "1/1": data}), "", document)  # type: ignore[arg-type]


def test_blocks_may_be_whole_at_the_end_or_shorter_than_they_could_be() -> None:
    samples = np.arange(8, dtype=">u2")
    assert whole(raw_array(struct.pack(">HHII", 0, 2, 4, 2) + samples.tobytes()))[2].tolist() == [0, 0, 0, 0, 0]
    block = np.full((2, 4), 9, "u2")
    assert raw_array(struct.pack(">HHII", 0, 2, 4, 2) + samples.tobytes()).read((1, 1), block) and block.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert raw_array(struct.pack(">HHII", 0, 2, 3, 1) + samples[:3].tobytes()).read((0, 0), block) and block.tolist() == [[0, 1, 2, 0], [0, 0, 0, 0]]
    assert raw_array(struct.pack(">HHIII", 1, 2, 4, 2, 8) + samples.tobytes()).read((0, 0), block) and block.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "too few"),
        (struct.pack(">HHI", 0, 2, 4), "too few"),
        (struct.pack(">HHII", 2, 2, 4, 2), "mode 2"),
        (struct.pack(">HHII", 0, 3, 4, 2), "3 axes"),
        (struct.pack(">HHII", 0, 2, 5, 2), r"size \[2, 5\]"),
        (struct.pack(">HHII", 0, 2, 0, 2), r"size \[2, 0\]"),
        (struct.pack(">HHII", 0, 2, 2**32 - 1, 2**32 - 1), "size"),
        (struct.pack(">HHII", 1, 2, 4, 2), "cut off"),
        (struct.pack(">HHIII", 1, 2, 4, 2, 2**32 - 1), "4294967295 elements"),
        (struct.pack(">HHII", 0, 2, 4, 2) + bytes(15), "decodes to 15 bytes"),
        (struct.pack(">HHII", 0, 2, 4, 2) + bytes(17), "decodes to 17 bytes"),
    ],
)
def test_headers_that_lie_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(StorageError, match=f"0/0: block .*{reason}"):
        whole(raw_array(data))


@pytest.mark.parametrize("compression", COMPRESSIONS[1:], ids=lambda c: "-".join(map(str, c.values())))
def test_blocks_cut_off_anywhere_are_refused(compression: dict[str, object]) -> None:
    samples = noise("u2", (3, 5))
    store = DictStore()
    array = create_n5(store, "", spec_of(samples, (3, 5), compression))
    fill_in(array, samples)
    data = store.values["0/0"]
    for length in range(0, len(data) - 1, 3):
        store.values["0/0"] = data[:length]
        with pytest.raises(StorageError, match="0/0: block"):
            whole(array)


def test_a_file_of_another_size_than_any_block_is_not_read(tmp_path: Path) -> None:
    document = {"dimensions": [4], "blockSize": [4], "dataType": "uint8", "compression": {"type": "gzip"}}
    (tmp_path / "attributes.json").write_text(json.dumps(document))
    (tmp_path / "0").write_bytes(bytes(1 << 20))
    with pytest.raises(StorageError, match="file of 1048576 bytes"):
        whole(opened(tmp_path))


def test_documents_that_cannot_be_read_say_why() -> None:
    facts = {"dimensions": [4], "blockSize": [4], "dataType": "uint8", "compression": {"type": "raw"}}
    for change, kind, reason in (
        ({"compression": {"type": "jpeg"}}, UnsupportedError, "'jpeg' is not one that ziggurat runs"),
        ({"compression": {"type": ["raw"]}}, UnsupportedError, "not one that"),
        ({"compression": {"type": "gzip", "level": "high"}}, UnsupportedError, "level is 'high'"),
        ({"compression": {"type": "blosc", "shuffle": 7}}, UnsupportedError, "shuffle is 7"),
        ({"dataType": "object"}, UnsupportedError, "'object' is no number"),
        ({"dimensions": [-1]}, DocumentError, "dimensions"),
        ({"dimensions": [2**40], "blockSize": [2**40]}, LimitError, "one chunk would hold"),
    ):
        with pytest.raises(kind, match=reason):
            N5Array(DictStore(), "", {**facts, **change})  # type: ignore[dict-item]
    old = N5Array(DictStore(), "", {"dimensions": [4], "blockSize": [4], "dataType": "uint8", "compressionType": "gzip"})
    assert whole(old).tolist() == [0, 0, 0, 0]


def test_what_n5_cannot_hold_is_refused() -> None:
    good = ArraySpec((4,), np.dtype("u1"), (2,), attributes={"axes": ["x"]})
    assert n5_document(good) == {"axes": ["x"], "dimensions": [4], "blockSize": [2], "dataType": "uint8", "compression": {"type": "zstd", "level": 3}}
    for spec, reason in (
        (ArraySpec((4,), np.dtype("bool"), (2,)), "dtype 'bool'"),
        (ArraySpec((4,), np.dtype("c8"), (2,)), "dtype 'complex64'"),
        (ArraySpec((4,), np.dtype("u1"), (2,), shards=(4,)), "shards"),
        (ArraySpec((4,), np.dtype("u1"), (2,), fill_value=7), "fill_value 7"),
    ):
        with pytest.raises(UnsupportedError, match=reason):
            n5_document(spec)


# --- through the front door --------------------------------------------------------------------------------------------------------


def test_levels_are_built_on_an_n5_dataset(tmp_path: Path) -> None:
    samples = noise("u2", (6, 10, 15))
    store = FileStore(tmp_path / "in.n5")
    fill_in(create_n5(store, "volumes/raw", ArraySpec(samples.shape, samples.dtype, (3, 4, 5))), samples)
    source = open_source(tmp_path / "in.n5" / "volumes" / "raw")
    assert source.info.array.driver == "n5" and source.info.name == "raw" and len(source.info.stamps) == 8
    assert {text for _, text in source.info.stamps}.isdisjoint({"absent"})
    zg.build(tmp_path / "in.n5" / "volumes" / "raw", tmp_path / "out.zarr", factors=2)
    pyramid = zg.open(tmp_path / "out.zarr")
    assert np.asarray(pyramid.levels[0].array).tobytes() == samples.tobytes()
    assert pyramid.levels[0].chunks == (3, 4, 5) and pyramid.levels[1].shape == (3, 5, 8)
    again = pickle.loads(pickle.dumps(source))
    assert read_region(again, [slice(None)] * 3).tobytes() == samples.tobytes()
