"""Bytes of one chunk; tests/differential compares them with zarr-python, tensorstore and hostile inputs."""

from __future__ import annotations

import gzip
import zlib

import google_crc32c
import imagecodecs
import numcodecs
import numpy as np
import pytest

from ziggurat.chunkio import ArraySpec, ChunkArray, Codec, DictStore
from ziggurat.chunkio.codecs import crc32c, with_crc32c, without_crc32c, zstd_content_bytes


@pytest.mark.parametrize("n", [0, 1, 2, 255, 256, 257, 65535, 65536, 65791, 65792, 70000, 1 << 20])
def test_the_stated_size_of_a_zstd_frame_is_read(n: int) -> None:
    data = bytes(n)
    for frame in (imagecodecs.zstd_encode(data, 3), bytes(numcodecs.Zstd(1, checksum=True).encode(data)) if n else imagecodecs.zstd_encode(data, 19)):
        assert zstd_content_bytes(frame) == n
        assert zstd_content_bytes(memoryview(frame)) == n


@pytest.mark.parametrize(
    "head", [b"", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\x00\x00", b"\x50\x2a\x4d\x18\x00\x00\x00\x00", b"\x28\xb5\x2f\xfd\xe0\x01", b"not zstd"]
)
def test_frames_that_state_nothing_say_so(head: bytes) -> None:
    assert zstd_content_bytes(head) is None


def test_crc32c_is_the_castagnoli_sum() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C in every catalogue
    data = np.random.default_rng(0).bytes(1000)
    assert crc32c(memoryview(data)) == google_crc32c.value(data)
    assert bytes(without_crc32c(with_crc32c(data))) == data
    with pytest.raises(ValueError, match="too few"):
        without_crc32c(b"123")


def test_levels_reach_the_encoder() -> None:
    block = np.random.default_rng(0).poisson(30, (64, 64)).astype("u2")
    raw = block.tobytes()
    for name, low, high in (("zstd", -7, 19), ("gzip", 1, 9), ("zlib", 1, 9), ("blosc", 1, 9)):
        sizes = []
        for level in (low, high):
            store = DictStore()
            ChunkArray.create(store, "", ArraySpec((64, 64), block.dtype, (64, 64), codec=Codec(name, level=level))).write((0, 0), block)
            sizes.append(len(store.values["c/0/0"]))
        assert sizes[1] < sizes[0] < len(raw)


@pytest.mark.parametrize(("name", "decode"), [("gzip", gzip.decompress), ("zlib", zlib.decompress)])
def test_a_negative_level_is_the_codecs_own_default(name: str, decode: object) -> None:
    block = np.arange(256, dtype="u1")
    stored = []
    for level in (-1, 6):
        store = DictStore()
        ChunkArray.create(store, "", ArraySpec((256,), block.dtype, (256,), codec=Codec(name, level=level))).write((0,), block)
        stored.append(store.values["c/0"])
    assert stored[0] == stored[1]
    assert callable(decode)
    assert decode(stored[0]) == block.tobytes()


@pytest.mark.parametrize("typesize", [None, 1, 3, 4])
def test_blosc_shuffles_items_of_the_stated_size(typesize: int | None) -> None:
    block = np.random.default_rng(0).poisson(200, (64, 64)).astype("u2")
    store = DictStore()
    ChunkArray.create(store, "", ArraySpec((64, 64), block.dtype, (64, 64), codec=Codec("blosc", level=3, typesize=typesize))).write((0, 0), block)
    stored = bytes(store.values["c/0/0"])
    # byte 3 of a blosc frame is the size of its items; 3 does not divide the chunk, so its bytes stay single
    assert stored[3] == {None: 2, 3: 1}.get(typesize, typesize)
    if typesize is None:
        assert len(stored) == len(numcodecs.Blosc("zstd", 3, numcodecs.Blosc.SHUFFLE).encode(block))


@pytest.mark.parametrize("shuffle", ["noshuffle", "shuffle", "bitshuffle"])
@pytest.mark.parametrize("cname", ["blosclz", "lz4", "lz4hc", "zlib", "zstd"])
def test_blosc_frames_have_the_headers_and_sizes_of_numcodecs(cname: str, shuffle: str) -> None:
    number = ("noshuffle", "shuffle", "bitshuffle").index(shuffle)
    for dtype in ("u1", "?", "i2", "f4", "c8", "c16"):
        block = np.random.default_rng(0).poisson(3, (64, 64)).astype(dtype)
        for blocksize in (0, 1024):
            codec = Codec("blosc", level=5, cname=cname, shuffle="bitshuffle" if number == 2 else "shuffle" if number else "noshuffle", blocksize=blocksize)
            store = DictStore()
            ChunkArray.create(store, "", ArraySpec((64, 64), block.dtype, (64, 64), codec=codec, fill_value=[0, 0] if dtype[0] == "c" else 0)).write(
                (0, 0), block
            )
            ours = store.values["c/0/0"]
            theirs = bytes(numcodecs.Blosc(cname, 5, number, blocksize).encode(block))
            assert ours[:12] == theirs[:12]  # versions, flags, size of items, decoded bytes, block size
            assert len(ours) < 1.05 * len(theirs)
