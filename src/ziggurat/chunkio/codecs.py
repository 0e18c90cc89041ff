"""Bytes of one chunk: compression of a native block, decompression straight into one, sizes checked before anything is written.

imagecodecs does the work: libzstd, c-blosc and libdeflate through it are the fastest measured, and its bytes decode in
numcodecs and the other way round (tests/differential). It is imported when the first array is opened.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ziggurat.chunkio.facts import ArrayFacts
from ziggurat.chunkio.ports import AnyArray, Buffer
from ziggurat.chunkio.spec import Codec

Bytes = NDArray[np.uint8]
Encode = Callable[[AnyArray], Buffer]
"""A C-contiguous native block -> its stored bytes."""
Decode = Callable[[Buffer, Bytes], None]
"""Stored bytes -> the flat bytes of a block, stored byte order. Raises ValueError or RuntimeError with the reason."""

_INTEGER = struct.Struct("<I")


def imagecodecs_function(name: str) -> Callable[..., bytes]:
    """Returns a function of imagecodecs; its stubs differ between versions and leave arrays out."""
    import imagecodecs

    function: Callable[..., bytes] = getattr(imagecodecs, name)
    return function


def crc32c(data: Buffer) -> int:
    """Returns the CRC-32C of `data`."""
    import google_crc32c

    return int(google_crc32c.value(data if isinstance(data, bytes) else bytes(data)))


def with_crc32c(data: Buffer) -> bytes:
    """Returns `data` followed by its CRC-32C, four bytes little-endian, as Zarr's codec of that name stores it."""
    return b"".join((data, _INTEGER.pack(crc32c(data))))


def without_crc32c(data: Buffer) -> memoryview:
    """Returns what `with_crc32c` was given.

    Raises
    ------
    ValueError
        When the sum is wrong or missing.
    """
    view = memoryview(data)
    if len(view) < 4:
        raise ValueError(f"{len(view)} bytes are too few for a crc32c")
    body, (stated,) = view[:-4], _INTEGER.unpack(view[-4:])
    found = crc32c(body)
    if found != stated:
        raise ValueError(f"crc32c is {found:#010x}, the chunk says {stated:#010x}")
    return body


def encoder(facts: ArrayFacts) -> Encode:
    """Returns the function that encodes one chunk of an array."""
    compress = compressor(facts.codec, facts.dtype.itemsize)
    swap = facts.big_endian
    if not swap and not facts.codec.crc32c:
        return compress

    def encode(block: AnyArray) -> Buffer:
        data = compress(block.byteswap() if swap else block)
        return with_crc32c(data) if facts.codec.crc32c else data

    return encode


def decoder(facts: ArrayFacts) -> Decode:
    """Returns the function that decodes one chunk of an array; it never writes or allocates more than the chunk's size."""
    decompress = decompressor(facts.codec)
    if not facts.codec.crc32c:
        return decompress
    return lambda data, out: decompress(without_crc32c(data), out)


def compressor(codec: Codec, itemsize: int) -> Encode:
    """Returns the function that compresses a C-contiguous block, its bytes as they are in memory; `itemsize` is what blosc shuffles."""
    level = codec.level
    if codec.name == "raw":
        return lambda block: block.tobytes()
    if codec.name == "zstd":
        if codec.checksum:  # imagecodecs cannot ask for a frame checksum (2026.3)
            from numcodecs.zstd import Zstd

            checked = Zstd(level=level, checksum=True)
            return lambda block: bytes(checked.encode(block))
        level = level or 3  # 0 is libzstd's default, which is 3
        zstd_encode = imagecodecs_function("zstd_encode")
        return lambda block: zstd_encode(_flat(block), level)
    if codec.name == "blosc":
        blosc_encode = imagecodecs_function("blosc_encode")
        shuffle = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}[codec.shuffle]
        cname, blocksize, typesize = codec.cname, codec.blocksize, codec.typesize or itemsize
        # imagecodecs (2026.3) takes the typesize of the shuffle from the array and ignores its own parameter; bytes would not be shuffled at all
        return lambda block: blosc_encode(_items(block, typesize), level, compressor=cname, shuffle=shuffle, blocksize=blocksize, numthreads=1)
    if level < 0:
        level = 6  # zlib's default
    if codec.name == "gzip":
        gzip_encode = imagecodecs_function("gzip_encode")
        return lambda block: gzip_encode(_flat(block), level)
    deflate_encode = imagecodecs_function("deflate_encode")
    return lambda block: deflate_encode(_flat(block), level)


def _flat(block: AnyArray) -> Bytes:
    return block.reshape(-1).view(np.uint8)


def _items(block: AnyArray, typesize: int) -> AnyArray:
    """Returns the bytes of a block as items of `typesize`; single bytes when they do not divide it."""
    flat = _flat(block)
    return flat.view(f"V{typesize}") if flat.size % typesize == 0 else flat


def decompressor(codec: Codec) -> Decode:
    """Returns the function that decompresses into a flat block, and never writes or allocates more than that holds."""
    return {"raw": _raw, "zstd": _zstd, "blosc": _blosc, "gzip": _gzip, "zlib": _zlib}[codec.name]()


def _expect(n_found: int, out: Bytes) -> None:
    if n_found != out.size:
        raise ValueError(f"decodes to {n_found} bytes, the chunk has {out.size}")


def _raw() -> Decode:
    def decode(data: Buffer, out: Bytes) -> None:
        stored = np.frombuffer(data, np.uint8)
        _expect(stored.size, out)
        out[:] = stored

    return decode


def _zstd() -> Decode:
    zstd_decode = imagecodecs_function("zstd_decode")

    def decode(data: Buffer, out: Bytes) -> None:
        size = out.size
        usual = _frame_start(size)
        if data[: len(usual)] != usual:
            stated = zstd_content_bytes(data)
            if stated is not None and stated > size:
                raise ValueError(f"zstd frame states {stated} bytes, the chunk has {size}")
        n_found = len(zstd_decode(data, out=out))
        if n_found != size:
            _expect(n_found, out)

    return decode


@lru_cache(maxsize=64)
def _frame_start(n_bytes: int) -> bytes:
    """Returns how a frame of one segment begins that states `n_bytes` of content; nearly all chunks begin so."""
    flag = 0 if n_bytes < 256 else 1 if n_bytes < (1 << 16) + 256 else 2 if n_bytes < 1 << 32 else 3
    return _ZSTD_MAGIC + bytes([flag << 6 | 1 << 5]) + (n_bytes - (256 if flag == 1 else 0)).to_bytes(1 << flag, "little")


_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_DICTIONARY_BYTES = (0, 1, 2, 4)


def zstd_content_bytes(data: Buffer) -> int | None:
    """Returns the decoded size that the first frame of `data` states, None when it states none or is no plain frame.

    Source: RFC 8878 section 3.1.1.1.
    """
    head = bytes(data[:18])
    if head[:4] != _ZSTD_MAGIC or len(head) < 6:
        return None
    descriptor = head[4]
    single_segment = descriptor >> 5 & 1
    start = 5 + (1 - single_segment) + _ZSTD_DICTIONARY_BYTES[descriptor & 3]
    flag = descriptor >> 6
    if flag == 0:
        return head[start] if single_segment and start < len(head) else None
    n_bytes = 1 << flag
    if start + n_bytes > len(head):
        return None
    return int.from_bytes(head[start : start + n_bytes], "little") + (256 if flag == 1 else 0)


_BLOSC_HEADER = struct.Struct("<BBBBIII")


def _blosc() -> Decode:
    blosc_decode = imagecodecs_function("blosc_decode")

    def decode(data: Buffer, out: Bytes) -> None:
        # c-blosc 1 is not told how long its input is and trusts the header
        if len(data) < _BLOSC_HEADER.size:
            raise ValueError(f"{len(data)} bytes are too few for a blosc header")
        _, _, _, _, n_decoded, _, n_stored = _BLOSC_HEADER.unpack_from(data)
        if n_stored != len(data):
            raise ValueError(f"blosc header states {n_stored} stored bytes, there are {len(data)}")
        _expect(n_decoded, out)
        _expect(len(blosc_decode(data, numthreads=1, out=out)), out)

    return decode


def _gzip() -> Decode:
    gzip_decode = imagecodecs_function("gzip_decode")

    def decode(data: Buffer, out: Bytes) -> None:
        # libdeflate stops after the first member of a file of several
        if len(gzip_decode(data, out=out)) != out.size:
            _inflate_members(data, out)

    return decode


def _inflate_members(data: Buffer, out: Bytes) -> None:
    """Decodes a gzip file of several members into `out`, never holding more than `out` and a byte."""
    at = 0
    rest = bytes(data)
    while rest:
        member = zlib.decompressobj(wbits=31)
        piece = member.decompress(rest, out.size - at + 1)
        if at + len(piece) > out.size:
            raise ValueError(f"decodes to more than the {out.size} bytes of the chunk")
        if not member.eof:
            raise ValueError("the last gzip member is cut off")
        out[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
        at += len(piece)
        rest = member.unused_data
    _expect(at, out)


def _zlib() -> Decode:
    deflate_decode = imagecodecs_function("deflate_decode")

    def decode(data: Buffer, out: Bytes) -> None:
        _expect(len(deflate_decode(data, raw=False, out=out)), out)

    return decode


def codec_software() -> str:
    """Returns the codec library and its version: stored bytes are the same only for the same ones (engine.md 1(e))."""
    import imagecodecs

    return f"imagecodecs {imagecodecs.__version__}"
