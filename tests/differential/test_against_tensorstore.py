"""A second foreign oracle: tensorstore reads what we write, and we read what it writes."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import tensorstore

from ziggurat.chunkio import ArraySpec, Codec, FileStore, chunk_indices, chunk_region, padded, read_region
from ziggurat.node import FileNode
from ziggurat.storage import create_array, open_array

DTYPES = ("bool", "i1", "u2", "i4", "u8", "f2", "f4", "f8", "c8", "c16")
CODECS_V2 = (Codec("raw"), Codec("zstd"), Codec("blosc", cname="lz4"), Codec("blosc", shuffle="bitshuffle"), Codec("gzip"), Codec("zlib"))
CODECS_V3 = (Codec("raw"), Codec("zstd", checksum=True), Codec("blosc"), Codec("gzip"), Codec("zstd", crc32c=True))
SHAPE, CHUNKS = (21, 13), (4, 6)


def noise(dtype: str) -> np.ndarray:
    raw = np.random.default_rng(9).integers(0, 256, (*SHAPE, np.dtype(dtype).itemsize), np.uint8)
    samples = (raw % 2 if dtype == "bool" else raw).view(dtype).reshape(SHAPE)
    samples[4:8, 6:12] = 0  # a missing chunk
    return samples


def opened(folder: Path, zarr_format: int) -> tensorstore.TensorStore:
    driver = "zarr" if zarr_format == 2 else "zarr3"
    return tensorstore.open({"driver": driver, "kvstore": {"driver": "file", "path": str(folder)}}, open=True).result()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_tensorstore_reads_what_we_write(dtype: str, zarr_format: int, tmp_path: Path) -> None:
    samples = noise(dtype)
    shards = (None,) if zarr_format == 2 else (None, (8, 12))
    codecs = CODECS_V2 if zarr_format == 2 else CODECS_V3
    for n, (codec, order, shard) in enumerate(itertools.product(codecs, "<>", shards)):
        folder = tmp_path / str(n)
        spec = ArraySpec(
            SHAPE,
            np.dtype(dtype).newbyteorder(order),
            CHUNKS,
            shards=shard,
            codec=codec,
            fill_value=[0, 0] if dtype.startswith("c") else 0,
            zarr_format=3 if zarr_format == 3 else 2,
            separator="/" if n % 2 else ".",
            index_location="start" if n % 3 else "end",
            dimension_names=("y", "x"),
        )
        writer = create_array(FileStore(folder, durability="none"), "", spec)
        for index in chunk_indices(SHAPE, CHUNKS):
            writer.write(index, padded(samples[chunk_region(index, CHUNKS, SHAPE)], CHUNKS, samples.dtype.type(0)))
        theirs = np.asarray(opened(folder, zarr_format).read().result()).astype(dtype)
        assert theirs.tobytes() == samples.tobytes(), spec


@pytest.mark.parametrize("dtype", DTYPES)
def test_we_read_shards_that_tensorstore_writes(dtype: str, tmp_path: Path) -> None:
    samples = noise(dtype)
    for n, (location, order, compressor) in enumerate(itertools.product(("start", "end"), ("little", "big"), ("zstd", "gzip", None))):
        folder = tmp_path / str(n)
        inner: list[object] = [{"name": "bytes", "configuration": {"endian": order}}]
        if compressor:
            inner.append({"name": compressor, "configuration": {"level": 2}})
        if n % 2:
            inner.append({"name": "crc32c"})
        sharding = {"chunk_shape": list(CHUNKS), "codecs": inner, "index_location": location}
        array = tensorstore.open(
            {
                "driver": "zarr3",
                "kvstore": {"driver": "file", "path": str(folder)},
                "metadata": {
                    "shape": list(SHAPE),
                    "data_type": np.dtype(dtype).name,
                    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [8, 12]}},
                    "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
                    "fill_value": [0, 0] if dtype.startswith("c") else False if dtype == "bool" else 0,
                },
            },
            create=True,
        ).result()
        array.write(samples).result()
        document = FileNode(folder).array_document
        assert document is not None
        ours = read_region(open_array(FileStore(folder), "", document, 3), (slice(None), slice(None)))
        assert ours.tobytes() == samples.tobytes(), document
