"""The compressions of N5, block by block: what runs at all, and within which bounds. Source: formats.md 4.1; saalfeldlab/n5, specification 4.0.0.

gzip, zlib, zstd and blosc are those of `chunkio.codecs`; bzip2 and xz are the standard library's. `lz4` is the block stream of
lz4-java (each block with its sizes and the low 28 bits of its xxHash32), and, on reading, also the bare LZ4 block that z5 writes.
"""

from __future__ import annotations

import bz2
import lzma
import struct
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ziggurat.chunkio import AnyArray, Buffer, Codec
from ziggurat.chunkio.codecs import compressor, decompressor, imagecodecs_function
from ziggurat.chunkio.spec import BLOSC_NAMES, SHUFFLES
from ziggurat.model import JSON
from ziggurat.problems import UnsupportedError

Bytes = NDArray[np.uint8]
Encode = Callable[[AnyArray], Buffer]
"""A C-contiguous block, in stored byte order -> its stored bytes."""
Decode = Callable[[Buffer, Bytes], None]
"""Stored bytes -> the flat bytes of a block. Raises ValueError, RuntimeError, OSError or EOFError with the reason."""

_XZ_MEMORY = 1 << 28
"""256 MiB: preset 9 of xz decodes in 65 MiB."""


def n5_codecs(document: Mapping[str, JSON], itemsize: int, path: str) -> tuple[Encode, Decode]:
    """Returns what encodes and decodes the payload of one block of a dataset, by its `compression` (or old `compressionType`).

    Raises UnsupportedError for a compression that is not on the list of those that may run, or a parameter that means nothing to it.
    """
    stated = document.get("compression", document.get("compressionType", "raw"))
    facts: Mapping[str, JSON] = stated if isinstance(stated, Mapping) else {"type": stated}
    name = facts.get("type")
    make = _TABLE.get(name) if isinstance(name, str) else None
    if make is None:
        raise UnsupportedError(f"{path or '.'}: compression {name!r} is not one that ziggurat runs; there are {', '.join(_TABLE)}")
    try:
        return make(facts, itemsize)
    except ValueError as error:
        raise UnsupportedError(f"{path or '.'}: compression {name!r}: {error}") from None


def compression_of(codec: Codec) -> dict[str, JSON]:
    """Returns a codec as N5 says it. Raises UnsupportedError for one that N5 has no word for."""
    if codec.name == "other" and isinstance(codec.verbatim, Mapping):
        return dict(codec.verbatim)
    if codec.name == "raw":
        return {"type": "raw"}
    if codec.name in ("gzip", "zlib"):
        return {"type": "gzip", "level": codec.level, "useZlib": codec.name == "zlib"}
    if codec.name == "zstd":
        return {"type": "zstd", "level": codec.level}
    if codec.name == "blosc":
        return {"type": "blosc", "cname": codec.cname, "clevel": codec.level, "shuffle": SHUFFLES.index(codec.shuffle), "blocksize": codec.blocksize}
    raise UnsupportedError(f"codec {codec}: N5 has no such compression; there are {', '.join(_TABLE)}")


def _whole(facts: Mapping[str, JSON], key: str, usual: int) -> int:
    value = facts.get(key, usual)
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**31) <= value < 2**31:
        raise ValueError(f"{key} is {value!r}; expected a whole number")
    return value


def _fast(codec: Codec, itemsize: int) -> tuple[Encode, Decode]:
    return compressor(codec, itemsize), decompressor(codec)


def _gzip(facts: Mapping[str, JSON], itemsize: int) -> tuple[Encode, Decode]:
    return _fast(Codec("zlib" if facts.get("useZlib") is True else "gzip", level=_whole(facts, "level", -1)), itemsize)


def _zstd(facts: Mapping[str, JSON], itemsize: int) -> tuple[Encode, Decode]:
    return _fast(Codec("zstd", level=_whole(facts, "level", 3)), itemsize)


def _blosc(facts: Mapping[str, JSON], itemsize: int) -> tuple[Encode, Decode]:
    cname, number = facts.get("cname", "blosclz"), _whole(facts, "shuffle", 1)
    if not 0 <= number < len(SHUFFLES):
        raise ValueError(f"shuffle is {number}; expected 0, 1 or 2")
    known = str(cname) if cname in BLOSC_NAMES else "blosclz"  # decoding goes by the block's own header
    codec = Codec("blosc", level=_whole(facts, "clevel", 6), cname=known, shuffle=SHUFFLES[number], blocksize=_whole(facts, "blocksize", 0))
    return _fast(codec, itemsize)


# --- bzip2 and xz -----------------------------------------------------------------------------------------------------


def _bzip2(facts: Mapping[str, JSON], itemsize: int) -> tuple[Encode, Decode]:
    level = min(max(_whole(facts, "blockSize", 9), 1), 9)
    return (lambda block: bz2.compress(block.tobytes(), level)), lambda data, out: _bounded(bz2.BZ2Decompressor(), data, out)


def _xz(facts: Mapping[str, JSON], itemsize: int) -> tuple[Encode, Decode]:
    preset = min(max(_whole(facts, "preset", 6), 0), 9)

    def decode(data: Buffer, out: Bytes) -> None:
        try:
            _bounded(lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=_XZ_MEMORY), data, out)
        except lzma.LZMAError as error:
            raise ValueError(str(error)) from error

    return (lambda block: lzma.compress(block.tobytes(), preset=preset)), decode


def _bounded(machine: Any, data: Buffer, out: Bytes) -> None:
    """Decodes into `out`, never more than its size and a byte."""
    found = machine.decompress(bytes(data), out.size + 1)
    if len(found) != out.size or not machine.eof:
        shown = "is cut off" if len(found) == out.size else f"decodes to {'more' if len(found) > out.size else len(found)} bytes"
        raise ValueError(f"{shown}, the block has {out.size}")
    out[:] = np.frombuffer(found, np.uint8)


# --- lz4 ---------------------------------------------------------------------------------------------------------------

_LZ4_MAGIC = b"LZ4Block"
_LZ4_HEADER = struct.Struct("<8sBiii")
"""Magic; token (method and level); stored bytes; decoded bytes; low 28 bits of the xxHash32 of what is decoded."""
_LZ4_RAW, _LZ4_COMPRESSED = 0x10, 0x20
_LZ4_SEED = 0x9747B28C
_LZ4_SUM = 0x0FFFFFFF


def _lz4(facts: Mapping[str, JSON], itemsize: int) -> tuple[Encode, Decode]:
    n_bytes = _whole(facts, "blockSize", 1 << 16)
    n_bytes = min(max(n_bytes, 64), 1 << 25) if n_bytes > 32 else 1 << 16  # z5 keeps a level there
    return (lambda block: _lz4_encode(block, n_bytes)), _lz4_decode


def _lz4_encode(block: AnyArray, n_bytes: int) -> bytes:
    flat = np.frombuffer(block.tobytes(), np.uint8)
    level = max(0, (n_bytes - 1).bit_length() - 10)
    parts: list[bytes] = []
    for piece, checksum in zip(_pieces(flat, n_bytes), _checksums(flat, n_bytes), strict=True):
        packed = imagecodecs_function("lz4_encode")(piece, header=False)
        method, data = (_LZ4_COMPRESSED, bytes(packed)) if len(packed) < piece.size else (_LZ4_RAW, piece.tobytes())
        parts += [_LZ4_HEADER.pack(_LZ4_MAGIC, method | level, len(data), piece.size, checksum), data]
    return b"".join([*parts, _LZ4_HEADER.pack(_LZ4_MAGIC, _LZ4_RAW | level, 0, 0, 0)])


def _pieces(flat: Bytes, n_bytes: int) -> Iterator[Bytes]:
    return (flat[at : at + n_bytes] for at in range(0, flat.size, n_bytes))


def _checksums(flat: Bytes, n_bytes: int) -> list[int]:
    """Returns what lz4-java keeps of the xxHash32 of each piece."""
    n_full = flat.size // n_bytes
    sums = xxhash32(flat[: n_full * n_bytes].reshape(n_full, n_bytes), _LZ4_SEED) if n_full else np.zeros(0, np.uint32)
    rest = xxhash32(flat[None, n_full * n_bytes :], _LZ4_SEED) if flat.size % n_bytes else np.zeros(0, np.uint32)
    return [int(s) & _LZ4_SUM for s in (*sums, *rest)]


def _lz4_decode(data: Buffer, out: Bytes) -> None:
    view = memoryview(data)
    if view[: len(_LZ4_MAGIC)] != _LZ4_MAGIC:  # z5 writes one bare block
        _expect(len(imagecodecs_function("lz4_decode")(view, header=False, out=out)), out.size)
        return
    at, done, stated = 0, 0, []
    while True:
        if len(view) - at < _LZ4_HEADER.size:
            raise ValueError("the lz4 stream is cut off")
        magic, token, n_stored, n_decoded, checksum = _LZ4_HEADER.unpack_from(view, at)
        at += _LZ4_HEADER.size
        if magic != _LZ4_MAGIC or not 0 <= n_stored <= len(view) - at or not 0 <= n_decoded <= out.size - done:
            raise ValueError(f"an lz4 block states {n_stored} stored and {n_decoded} decoded bytes; there are {len(view) - at} and room for {out.size - done}")
        if n_decoded == 0:
            break
        piece, place = view[at : at + n_stored], out[done : done + n_decoded]
        if token & 0xF0 == _LZ4_COMPRESSED:
            _expect(len(imagecodecs_function("lz4_decode")(piece, header=False, out=place)), n_decoded)
        elif token & 0xF0 == _LZ4_RAW and n_stored == n_decoded:
            place[:] = np.frombuffer(piece, np.uint8)
        else:
            raise ValueError(f"an lz4 block has the token {token:#04x}; expected a method of 0x10 or 0x20")
        stated.append((done, n_decoded, checksum))
        at, done = at + n_stored, done + n_decoded
    _expect(done, out.size)
    _check_sums(out, stated)


def _check_sums(out: Bytes, stated: list[tuple[int, int, int]]) -> None:
    """Compares all blocks of one length at once: the hash goes stripe by stripe, and numpy's cost is per stripe."""
    for length in sorted({n for _, n, _ in stated}):
        same = [(at, checksum) for at, n, checksum in stated if n == length]
        found = xxhash32(np.stack([out[at : at + length] for at, _ in same]), _LZ4_SEED)
        for (at, checksum), value in zip(same, found, strict=True):
            if int(value) & _LZ4_SUM != checksum:
                raise ValueError(f"the lz4 block at byte {at} has the checksum {int(value) & _LZ4_SUM:#09x}; it states {checksum:#09x}")


def _expect(n_found: int, n_bytes: int) -> None:
    if n_found != n_bytes:
        raise ValueError(f"decodes to {n_found} bytes, expected {n_bytes}")


_P1, _P2, _P3, _P4, _P5 = (np.uint32(p) for p in (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1))
"""The primes of xxHash32. Source: xxHash, algorithm description 0.1.1."""


def _rotl(x: NDArray[np.uint32], n: int) -> NDArray[np.uint32]:
    return (x << np.uint32(n)) | (x >> np.uint32(32 - n))


def xxhash32(rows: Bytes, seed: int) -> NDArray[np.uint32]:
    """Returns the xxHash32 of each row of `(n, n_bytes)`; the rows are hashed side by side.

    >>> hex(xxhash32(np.frombuffer(b"abc", np.uint8)[None], 0)[0])
    '0x32d153ff'
    """
    n, length = rows.shape
    start = np.uint32(seed)
    n_stripes = length // 16
    with np.errstate(over="ignore"):
        if n_stripes:
            lanes = np.tile(np.array([start + _P1 + _P2, start + _P2, start, start - _P1], np.uint32), (n, 1))
            stripes = np.ascontiguousarray(rows[:, : n_stripes * 16]).view("<u4").astype(np.uint32).reshape(n, n_stripes, 4)
            stripes = np.ascontiguousarray(stripes.transpose(1, 0, 2)) * _P2
            for stripe in stripes:
                lanes = _rotl(lanes + stripe, 13) * _P1
            total = _rotl(lanes[:, 0], 1) + _rotl(lanes[:, 1], 7) + _rotl(lanes[:, 2], 12) + _rotl(lanes[:, 3], 18)
        else:
            total = np.full(n, start + _P5, np.uint32)
        total = total + np.uint32(length)
        at = n_stripes * 16
        while at + 4 <= length:
            word = np.ascontiguousarray(rows[:, at : at + 4]).view("<u4")[:, 0].astype(np.uint32)
            total = _rotl(total + word * _P3, 17) * _P4
            at += 4
        for byte in rows[:, at:].T:
            total = _rotl(total + byte.astype(np.uint32) * _P5, 11) * _P1
        for shift, prime in ((15, _P2), (13, _P3)):
            total = (total ^ (total >> np.uint32(shift))) * prime
        return total ^ (total >> np.uint32(16))


_TABLE: Mapping[str, Callable[[Mapping[str, JSON], int], tuple[Encode, Decode]]] = MappingProxyType(
    {
        "raw": lambda facts, itemsize: _fast(Codec("raw"), itemsize),
        "gzip": _gzip,
        "bzip2": _bzip2,
        "xz": _xz,
        "lz4": _lz4,
        "blosc": _blosc,
        "zstd": _zstd,
    }
)
"""What may run; `jpeg` and whatever else is not here never does. Source: reliability.md S7."""
