"""Broken, lying and hostile chunks: each is an error that names its key, and none costs memory. Source: reliability.md R9, R15, S6, S7."""

from __future__ import annotations

import gzip
import json
import os
import random
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import imagecodecs
import numcodecs
import numpy as np
import pytest
import zarr

import ziggurat
from ziggurat.chunkio import ArraySpec, ChunkArray, Codec, DictStore, FileStore, array_documents, chunk_indices, why_not
from ziggurat.problems import LimitError, StorageError, UnsupportedError
from ziggurat.storage import open_array, open_node, open_store

CHUNK = (16, 16)
CODECS = [Codec("zstd"), Codec("blosc"), Codec("gzip"), Codec("zlib"), Codec("raw")]


def samples() -> np.ndarray:
    return np.random.default_rng(3).poisson(40, (32, 32)).astype("u2")


def written(codec: Codec, *, shards: tuple[int, int] | None = None, location: str = "end", zarr_format: int = 3) -> tuple[ChunkArray, DictStore]:
    store = DictStore()
    spec = ArraySpec(
        (32, 32),
        np.dtype("u2"),
        CHUNK,
        shards=shards,
        codec=codec,
        zarr_format=3 if zarr_format == 3 else 2,
        index_location="end" if location == "end" else "start",
    )
    array = ChunkArray.create(store, "a", spec)
    for index in chunk_indices(array.shape, CHUNK):
        array.write(index, np.ascontiguousarray(samples()[tuple(slice(16 * i, 16 * i + 16) for i in index)]))
    return array, store


def reopened(array: ChunkArray) -> ChunkArray:
    """Returns the array without what it remembers of shard indices."""
    function, arguments = array.__reduce__()
    assert callable(function)
    assert isinstance(arguments, tuple)
    return function(*arguments)


def read_all(array: ChunkArray) -> np.ndarray:
    whole = np.empty(array.shape, array.dtype)
    block = np.empty(CHUNK, array.dtype)
    for index in chunk_indices(array.shape, CHUNK):
        array.read(index, block)
        whole[tuple(slice(16 * i, 16 * i + 16) for i in index)] = block
    return whole


@pytest.mark.parametrize("shards", [None, (32, 32)])
@pytest.mark.parametrize("location", ["end", "start"])
@pytest.mark.parametrize("name", ["zstd", "blosc", "gzip", "zlib", "raw"])
def test_every_flipped_bit_is_caught_with_crc32c(name: str, shards: tuple[int, int] | None, location: str) -> None:
    array, store = written(Codec(name, crc32c=True), shards=shards, location=location)
    keys = sorted(key for key in store.values if key != "a/zarr.json")
    draw = random.Random(15)
    for _ in range(100):
        key = draw.choice(keys)
        good = store.values[key]
        bad = bytearray(good)
        bit = draw.randrange(8 * len(bad))
        bad[bit // 8] ^= 1 << bit % 8
        store.values[key] = bytes(bad)
        with pytest.raises(StorageError, match=key):
            read_all(reopened(array))
        store.values[key] = good
    assert np.array_equal(read_all(reopened(array)), samples())


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_a_chunk_cut_off_anywhere_names_its_key(codec: Codec, zarr_format: int) -> None:
    array, store = written(codec, zarr_format=zarr_format)
    key = array.key((1, 0))
    good = store.values[key]
    for n in {0, 1, 3, 4, 12, 15, 16, 17, len(good) // 2, len(good) - 9, len(good) - 4, len(good) - 1}:
        store.values[key] = good[:n]
        with pytest.raises(StorageError, match=rf"{key}.*chunk \(1, 0\)"):
            array.read((1, 0), np.empty(CHUNK, "u2"))


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_a_chunk_of_another_size_is_refused(codec: Codec) -> None:
    array, store = written(codec)
    for shape in ((15, 16), (17, 16), (160, 16)):
        other = ChunkArray.create(DictStore(), "b", ArraySpec(shape, np.dtype("u2"), shape, codec=codec))
        other.write((0, 0), np.ones(shape, "u2"))
        stored = other.read_encoded((0, 0))
        assert stored is not None
        store.values[array.key((0, 0))] = bytes(stored)
        with pytest.raises(StorageError, match="a/c/0/0"):
            array.read((0, 0), np.empty(CHUNK, "u2"))


def test_a_zstd_frame_that_states_a_terabyte_is_refused_by_its_header() -> None:
    array, store = written(Codec("zstd"))
    # magic, descriptor (single segment, 8 bytes of content size), the size, one empty last block
    store.values[array.key((0, 0))] = b"\x28\xb5\x2f\xfd" + bytes([0b11100000]) + struct.pack("<Q", 1 << 40) + b"\x01\x00\x00"
    with pytest.raises(StorageError, match=r"zstd frame states 1099511627776 bytes, the chunk has 512"):
        array.read((0, 0), np.empty(CHUNK, "u2"))


def test_a_zstd_frame_that_states_no_size_is_read() -> None:
    array, store = written(Codec("zstd"))
    block = samples()[:16, :16]
    # a raw block in a frame without content size: descriptor 0, window descriptor, block header (raw, last), the bytes
    header = (block.nbytes << 3 | 1).to_bytes(3, "little")
    store.values[array.key((0, 0))] = b"\x28\xb5\x2f\xfd\x00\x00" + header + block.tobytes()
    out = np.empty(CHUNK, "u2")
    assert array.read((0, 0), out)
    assert np.array_equal(out, block)


def test_several_zstd_frames_or_gzip_members_are_one_chunk() -> None:
    data = np.ascontiguousarray(samples()[:16, :16]).tobytes()
    for codec, stored in (
        (Codec("zstd"), imagecodecs.zstd_encode(data[:100], 1) + imagecodecs.zstd_encode(data[100:], 1)),
        (Codec("gzip"), gzip.compress(data[:100]) + gzip.compress(data[100:300]) + gzip.compress(data[300:])),
    ):
        array, store = written(codec)
        store.values[array.key((0, 0))] = stored
        out = np.empty(CHUNK, "u2")
        assert array.read((0, 0), out)
        assert out.tobytes() == data
        for cut in (1, 9, 200):
            store.values[array.key((0, 0))] = stored[:-cut]
            with pytest.raises(StorageError, match="a/c/0/0"):
                array.read((0, 0), out)


def test_blosc_headers_that_lie_are_refused() -> None:
    array, store = written(Codec("blosc"))
    key = array.key((0, 0))
    good = store.values[key]
    for at, value in ((4, 1 << 30), (4, 100), (12, 1 << 30), (12, 17)):
        store.values[key] = good[:at] + struct.pack("<I", value) + good[at + 4 :]
        with pytest.raises(StorageError, match=key):
            array.read((0, 0), np.empty(CHUNK, "u2"))


@pytest.mark.parametrize("location", ["end", "start"])
def test_a_shard_that_is_cut_off_is_an_error_never_missing(location: str) -> None:
    array, store = written(Codec("zstd"), shards=(32, 32), location=location)
    good = store.values["a/c/0/0"]
    for n in (0, 1, 16 * 4 + 3):
        store.values["a/c/0/0"] = good[:n]
        with pytest.raises(StorageError, match="a/c/0/0"):
            read_all(reopened(array))
    store.values["a/c/0/0"] = good[: len(good) - 1]
    with pytest.raises(StorageError, match="a/c/0/0"):
        read_all(reopened(array))


@pytest.mark.parametrize(("start", "n_bytes"), [(1 << 40, 16), (0, 1 << 40), (2**64 - 2, 3), (2**64 - 1, 7), (100000, 10)])
@pytest.mark.parametrize("location", ["end", "start"])
def test_a_shard_index_that_points_outside_is_refused(location: str, start: int, n_bytes: int) -> None:
    _, store = written(Codec("zstd"), shards=(32, 32), location=location)
    good = store.values["a/c/0/0"]
    document = json.loads(store.values["a/zarr.json"])
    document["codecs"][0]["configuration"]["index_codecs"].pop()  # no crc32c that would catch it
    entry = struct.pack("<QQ", start, n_bytes)
    index_bytes = 16 * 4
    store.values["a/c/0/0"] = (
        entry + good[16:index_bytes] + good[index_bytes + 4 :] if location == "start" else good[: -index_bytes - 4] + entry + good[-index_bytes + 12 : -4]
    )
    lying = ChunkArray.open(store, "a", document, zarr_format=3)
    with pytest.raises(StorageError, match="a/c/0/0"):
        lying.read((0, 0), np.empty(CHUNK, "u2"))


BOMBS = textwrap.dedent(
    """
    import resource, sys
    import numpy as np
    from ziggurat.chunkio import ArraySpec, ChunkArray, Codec, FileStore
    from ziggurat.problems import StorageError
    folder, name = sys.argv[1:]
    array = ChunkArray.open(FileStore(folder), "", ArraySpec_document, zarr_format=3)
    out = np.empty((16, 16), "u2")
    array.read((1, 1), out)  # everything is imported and warm
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        array.read((0, 0), out)
    except StorageError as error:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    else:
        sys.exit("the bomb was read")
    """
)


@pytest.mark.parametrize("name", ["zlib", "gzip", "gzip of two members", "zstd", "zstd without size", "sparse file"])
def test_a_bomb_costs_no_memory(name: str, tmp_path: Path) -> None:
    zeros = bytes(1 << 20)
    if name == "zlib":
        packer = zlib.compressobj(9)
        bomb = b"".join([packer.compress(zeros) for _ in range(64)]) + packer.flush()
    elif name.startswith("gzip"):
        packer = zlib.compressobj(9, wbits=31)
        bomb = b"".join([packer.compress(zeros) for _ in range(64)]) + packer.flush()
        bomb = gzip.compress(b"1234") + bomb if "two" in name else bomb
    elif name == "zstd":
        bomb = imagecodecs.zstd_encode(bytes(1 << 26), 1)
    elif name == "zstd without size":
        rle = (128 * 1024 << 3 | 2).to_bytes(3, "little") + b"\0"  # 128 KiB of zeros in four bytes
        bomb = b"\x28\xb5\x2f\xfd\x00\x58" + rle * 512 + (1).to_bytes(3, "little")
    else:
        bomb = b""
    codec = Codec(name.split()[0]) if name != "sparse file" else Codec("zstd")
    store = FileStore(tmp_path)
    array = ChunkArray.create(store, "", ArraySpec((32, 32), np.dtype("u2"), CHUNK, codec=codec))
    array.write((1, 1), np.ones(CHUNK, "u2"))
    store.put("c/0/0", [bomb])
    if name == "sparse file":
        with (tmp_path / "c/0/0").open("r+b") as file:
            file.truncate(1 << 40)
    document = json.loads((tmp_path / "zarr.json").read_text())
    script = BOMBS.replace("ArraySpec_document", repr(document))
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), name], capture_output=True, text=True, check=False, env=_environment())
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 8 << 10  # KiB: far below the 64 MiB that the bomb unpacks to


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(ziggurat.__file__).parents[1])}


def test_mutated_chunks_never_crash_the_process(tmp_path: Path) -> None:
    """c-blosc and libdeflate are given what no encoder makes; in a process of its own, because they could take it down."""
    script = textwrap.dedent(
        """
        import random
        import numpy as np
        from ziggurat.chunkio import ArraySpec, ChunkArray, Codec, DictStore
        from ziggurat.problems import StorageError
        draw = random.Random(77)
        block = np.random.default_rng(0).poisson(30, (32, 32)).astype("u2")
        n_refused = 0
        codecs = [Codec("blosc", cname=c, shuffle=s) for c in ("zstd", "lz4", "lz4hc", "zlib", "blosclz") for s in ("noshuffle", "shuffle", "bitshuffle")]
        for codec in [*codecs, Codec("zstd"), Codec("gzip"), Codec("zlib")]:
            store = DictStore()
            array = ChunkArray.create(store, "", ArraySpec((32, 32), np.dtype("u2"), (32, 32), codec=codec))
            array.write((0, 0), block)
            good = store.values["c/0/0"]
            for _ in range(300):
                bad = bytearray(good)
                for _ in range(draw.choice((1, 1, 4, 40))):
                    bad[draw.randrange(len(bad))] = draw.randrange(256)
                store.values["c/0/0"] = bytes(bad)
                try:
                    array.read((0, 0), np.empty((32, 32), "u2"))
                except StorageError:
                    n_refused += 1
        print(n_refused)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=_environment())
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1000  # zstd without a checksum, and shuffled noise, may decode to other samples


def _v2(**changes: object) -> dict[str, object]:
    base = array_documents(ArraySpec((4,), np.dtype("u2"), (4,), zarr_format=2, separator="."))[".zarray"]
    assert isinstance(base, dict)
    return {**base, **changes}


@pytest.mark.parametrize(
    "document",
    [
        _v2(filters=[{"id": "pickle", "protocol": 5}]),
        _v2(filters=[{"id": "delta", "dtype": "<u2"}, {"id": "pickle"}]),
        _v2(compressor={"id": "pickle"}),
        _v2(filters=[{"id": "json2"}]),
        _v2(dtype="|O", filters=[{"id": "vlen-utf8"}], fill_value=None),
        _v2(dtype="|O", filters=None, fill_value=None),
    ],
)
def test_pickle_and_objects_are_refused_before_anything_is_read(document: dict[str, object], tmp_path: Path) -> None:
    evidence = tmp_path / "executed"

    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (evidence,)

    store = FileStore(tmp_path / "store")
    store.put(".zarray", [json.dumps(document).encode()])
    store.put("0", [numcodecs.pickles.pickle.dumps(Bomb())])
    assert why_not(document, 2) is not None
    with pytest.raises(UnsupportedError, match=r"codec|dtype"):
        open_array(store, "", document, 2)
    assert not evidence.exists()


@pytest.mark.parametrize("where", ["codecs", "inner codecs", "index_codecs"])
def test_unknown_codecs_of_v3_are_refused_at_any_depth(where: str) -> None:
    document = array_documents(ArraySpec((4,), np.dtype("u2"), (2,), shards=(4,)))["zarr.json"]
    document = json.loads(json.dumps(document))
    evil = {"name": "numcodecs.pickle", "configuration": {}}
    if where == "codecs":
        document["codecs"].append(evil)
    else:
        document["codecs"][0]["configuration"][where.removeprefix("inner ")].append(evil)
    with pytest.raises(UnsupportedError, match=r"numcodecs\.pickle"):
        open_array(DictStore(), "", document, 3)


def test_a_chunk_of_a_terabyte_is_refused_on_opening() -> None:
    for codec in ({"name": "zstd", "configuration": {"level": 1}}, {"name": "numcodecs.lz4", "configuration": {}}):
        document = json.loads(json.dumps(array_documents(ArraySpec((1 << 20, 1 << 20), np.dtype("u1"), (1 << 20, 1 << 20)))["zarr.json"]))
        document["codecs"][1] = codec
        store = DictStore({"zarr.json": json.dumps(document).encode()})
        with pytest.raises(LimitError, match="1099511627776 bytes"):
            open_array(store, "", document, 3)


def test_a_slow_path_chunk_that_is_cut_off_is_an_error_that_names_its_key(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path, shape=(32, 32), chunks=CHUNK, dtype="u2", zarr_format=2, compressors=numcodecs.LZ4(), fill_value=0)
    array[...] = samples()
    chunk = tmp_path / "1.0"
    chunk.write_bytes(chunk.read_bytes()[:20])
    node = open_node(tmp_path)
    document = node.array_document
    assert document is not None
    reader = open_array(open_store(tmp_path), "", document, 2)
    with pytest.raises(StorageError, match=r"1\.0: chunk \(1, 0\)"):
        reader.read((1, 0), np.empty(CHUNK, "u2"))
    out = np.empty(CHUNK, "u2")
    assert reader.read((0, 1), out)
    assert np.array_equal(out, samples()[:16, 16:])
