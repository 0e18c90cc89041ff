"""Arrays of every kind behind one reader; zarr-python is the oracle."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

import ziggurat
from ziggurat.chunkio import (
    ArraySpec,
    ByteStore,
    ChunkArray,
    Codec,
    CountingStore,
    DictStore,
    FileStore,
    chunk_indices,
    chunk_region,
    codec_of,
    padded,
    read_region,
)
from ziggurat.model import JSON
from ziggurat.problems import DocumentError, StorageError, UnsupportedError
from ziggurat.storage import create_array, open_array, open_node, open_store

SHAPE, CHUNKS = (21, 13), (8, 8)
WHOLE = (slice(None), slice(None))
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(ziggurat.__file__).parents[1])}


def samples(dtype: str = "u2") -> np.ndarray:
    return np.random.default_rng(1).integers(1, 100, SHAPE).astype(dtype)


def fill_in(writer: Any, values: np.ndarray) -> None:
    for index in chunk_indices(writer.shape, writer.chunks):
        writer.write(index, padded(values[chunk_region(index, writer.chunks, writer.shape)], writer.chunks, writer.fill))


def quietly(function: Callable[[], Any]) -> Any:
    """zarr-python warns when it makes what v3 has no specification for; that is its business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function()


def _made(folder: Path, **options: Any) -> np.ndarray:
    values = samples(options.pop("dtype", "u2"))
    array = quietly(lambda: zarr.create_array(folder, shape=SHAPE, chunks=CHUNKS, dtype=values.dtype, **options))
    quietly(lambda: array.__setitem__(WHOLE, values))
    return values


def _v3_numcodec(name: str) -> Any:
    import zarr.codecs.numcodecs as codecs

    return quietly(lambda: getattr(codecs, name)())


SLOW: dict[str, dict[str, Any]] = {
    "v2 lz4": {"zarr_format": 2, "compressors": numcodecs.LZ4()},
    "v2 bz2": {"zarr_format": 2, "compressors": numcodecs.BZ2(1)},
    "v2 F order": {"zarr_format": 2, "order": "F"},
    "v2 delta": {"zarr_format": 2, "filters": [numcodecs.Delta("<u2")]},
    "v2 shuffle": {"zarr_format": 2, "filters": [numcodecs.Shuffle(2)], "compressors": numcodecs.LZMA()},
    "v3 transpose": {"filters": [zarr.codecs.TransposeCodec(order=(1, 0))]},
    "v3 transpose in shards": {"filters": [zarr.codecs.TransposeCodec(order=(1, 0))], "shards": (16, 16)},
    "v3 gzip of zstd": {"compressors": [zarr.codecs.ZstdCodec(), zarr.codecs.GzipCodec()]},
    "v3 lz4": {"compressors": "LZ4"},
}


@pytest.mark.parametrize("name", sorted(SLOW))
@pytest.mark.parametrize("counted", [False, True])
def test_what_the_fast_path_leaves_is_read_and_written_by_zarr(name: str, counted: bool, tmp_path: Path) -> None:
    options = dict(SLOW[name])
    if options.get("compressors") == "LZ4":
        options["compressors"] = _v3_numcodec("LZ4")
    values = _made(tmp_path / "theirs", **options)
    node = open_node(tmp_path / "theirs")
    document = node.array_document
    zarr_format = node.zarr_format
    assert document is not None
    assert zarr_format in (2, 3)
    store: ByteStore = open_store(tmp_path / "theirs")
    reader = open_array(CountingStore(store) if counted else store, "", document, zarr_format)
    assert not isinstance(reader, ChunkArray)
    assert (reader.shape, reader.dtype, reader.chunks) == (SHAPE, np.dtype("u2"), CHUNKS)
    assert np.array_equal(read_region(reader, WHOLE), values)
    if not counted:
        assert np.array_equal(read_region(pickle.loads(pickle.dumps(reader)), WHOLE), values)

    spec = ArraySpec(
        SHAPE,
        np.dtype("u2"),
        CHUNKS,
        shards=options.get("shards"),
        codec=codec_of(document, zarr_format),
        zarr_format=2 if zarr_format == 2 else 3,
        order=options.get("order", "C"),
    )
    writer = create_array(open_store(tmp_path / "ours", writable=True), "a", spec)
    assert not isinstance(writer, ChunkArray)
    assert writer.shards == spec.shards
    fill_in(writer, values)
    back = quietly(lambda: zarr.open_array(tmp_path / "ours", path="a", mode="r")[...])
    assert np.array_equal(back, values)


def test_missing_chunks_of_the_slow_path_are_fill(tmp_path: Path) -> None:
    options: dict[str, Any] = {"zarr_format": 2, "compressors": numcodecs.LZ4(), "fill_value": np.nan, "order": "F"}
    quietly(lambda: zarr.create_array(tmp_path, shape=SHAPE, chunks=CHUNKS, dtype=">f4", **options))
    document = open_node(tmp_path).array_document
    assert document is not None
    reader = open_array(open_store(tmp_path), "", document, 2)
    assert reader.dtype == np.dtype("f4")
    assert reader.dtype.isnative
    out = np.zeros(CHUNKS, "f4")
    assert not reader.read((1, 1), out)
    assert np.isnan(out[:8, :5]).all()


def test_fast_and_slow_path_read_the_same(tmp_path: Path) -> None:
    from ziggurat.storage.zarr_arrays import ZarrArray

    for n, (dtype, order, shards) in enumerate((("u2", "<", None), ("f4", ">", (16, 16)), ("c8", "<", (16, 8)), ("?", "<", None), ("f2", ">", None))):
        spec = ArraySpec(SHAPE, np.dtype(dtype).newbyteorder(order), CHUNKS, shards=shards, fill_value=[0, 0] if dtype == "c8" else 0)
        fast = create_array(open_store(tmp_path, writable=True), str(n), spec)
        fill_in(fast, samples(dtype))
        document = open_node(tmp_path).child(str(n)).array_document if n == 0 else open_node(tmp_path / str(n)).array_document
        assert document is not None
        slow = ZarrArray(open_store(tmp_path), str(n), document, zarr_format=3)
        assert slow.dtype == fast.dtype
        assert read_region(slow, WHOLE).tobytes() == read_region(fast, WHOLE).tobytes() == samples(dtype).tobytes()


def test_the_slow_path_writes_fill_only_when_asked(tmp_path: Path) -> None:
    spec = ArraySpec(
        SHAPE, np.dtype("u2"), CHUNKS, codec=Codec("other", verbatim={"compressor": {"id": "lz4", "acceleration": 1}, "filters": None}), zarr_format=2
    )
    for write_empty in (False, True):
        store = DictStore()
        fill_in(create_array(store, "", spec, write_empty=write_empty), np.zeros(SHAPE, "u2"))
        assert len(store.values) == 2 + (6 if write_empty else 0)


def test_the_slow_path_refuses_a_second_write_into_a_shard() -> None:
    inner = [{"name": "transpose", "configuration": {"order": [1, 0]}}, {"name": "bytes", "configuration": {"endian": "little"}}]
    writer = create_array(DictStore(), "", ArraySpec(SHAPE, np.dtype("u2"), CHUNKS, shards=(16, 16), codec=Codec("other", verbatim=inner)))
    writer.write((0, 0), np.ones(CHUNKS, "u2"))
    with pytest.raises(StorageError, match="written twice"):
        writer.write((0, 0), np.ones(CHUNKS, "u2"))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"dtype": "|S3", "fill_value": ""}, UnsupportedError),
        ({"dtype": [["a", "<u2"]], "fill_value": None}, UnsupportedError),
        ({"dtype": "<q7"}, DocumentError),
        ({"compressor": {"id": "lz4", "speed": 3}}, DocumentError),
        ({"chunks": [1, 1, 1], "compressor": {"id": "lz4"}}, DocumentError),
    ],
)
def test_documents_that_nobody_reads_are_refused(changes: dict[str, JSON], error: type[Exception], tmp_path: Path) -> None:
    store = DictStore()
    create_array(store, "", ArraySpec(SHAPE, np.dtype("u2"), CHUNKS, zarr_format=2))
    document = {**json.loads(store.values[".zarray"]), **changes}
    store.put(".zarray", [json.dumps(document).encode()])
    with pytest.raises(error):
        open_array(store, "", document, 2)


def test_a_codec_that_is_not_installed_is_an_error_that_names_it(tmp_path: Path) -> None:
    document: dict[str, JSON] = {"zarr_format": 2, "shape": [4], "chunks": [4], "dtype": "<f4", "order": "C", "fill_value": 0, "filters": None}
    document["compressor"] = {"id": "imagecodecs_nothing"}
    store = DictStore({".zarray": json.dumps(document).encode()})
    with pytest.raises((UnsupportedError, DocumentError), match="imagecodecs_nothing"):
        open_array(store, "", document, 2)


def test_opening_and_reading_never_list(tmp_path: Path) -> None:
    _made(tmp_path / "slow", **SLOW["v3 transpose in shards"])
    _made(tmp_path / "fast", shards=(16, 16))
    for name in ("slow", "fast"):
        store = CountingStore(FileStore(tmp_path / name))
        node = open_node(store)
        document = node.array_document
        assert document is not None
        read_region(open_array(store, "", document, 3), WHOLE)
        with pytest.raises(StorageError, match="cannot be listed"):
            open_node(CountingStore(DictStore({"zarr.json": b'{"zarr_format": 3, "node_type": "group"}'}))).children()


def test_local_arrays_of_common_codecs_import_no_zarr(tmp_path: Path) -> None:
    script = """
        import sys
        import numpy as np
        from ziggurat.chunkio import ArraySpec, Codec
        from ziggurat.storage import consolidated, create_array, open_array, open_node, open_store, write_documents
        store = open_store(sys.argv[1], writable=True)
        for n, codec in enumerate((Codec("zstd"), Codec("blosc"), Codec("gzip", crc32c=True), Codec("raw"))):
            writer = create_array(store, str(n), ArraySpec((4, 4), np.dtype("u2"), (2, 2), shards=(4, 4), codec=codec))
            for i in np.ndindex(2, 2):
                writer.write(i, np.ones((2, 2), "u2"))
            reader = open_array(store, str(n), open_node(f"{sys.argv[1]}/{n}").array_document, 3)
            assert reader.read((1, 1), np.empty((2, 2), "u2"))
        heavy = {"zarr", "numcodecs", "obstore", "fsspec", "dask", "asyncio"} & set(sys.modules)
        sys.exit(f"imported {heavy}" if heavy else 0)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
