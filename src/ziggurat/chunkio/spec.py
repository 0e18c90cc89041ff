"""An array that is to be made: its facts, and the metadata documents that say them, value for value as zarr-python writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

from ziggurat.model import JSON
from ziggurat.problems import OptionError, UnsupportedError

Shuffle = Literal["noshuffle", "shuffle", "bitshuffle"]
SHUFFLES: tuple[Shuffle, ...] = ("noshuffle", "shuffle", "bitshuffle")
"""Blosc's shuffles in the order of their numbers in Zarr v2."""

BLOSC_NAMES = ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
"""Blosc's inner codecs that both imagecodecs and numcodecs have; snappy is not in numcodecs."""

DTYPES = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64", "complex64", "complex128"}
)
"""The fixed-size numeric types, by the name that numpy and Zarr v3 share."""

_SPECIAL_FLOATS = MappingProxyType({"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf})


@dataclass(frozen=True, slots=True)
class Codec:
    """How the bytes of one chunk are compressed."""

    name: str = "zstd"
    """`"zstd"`, `"blosc"`, `"gzip"`, `"zlib"`, `"raw"`; or `"other"`, which `verbatim` spells out and zarr-python executes."""
    level: int = 3
    """Compression level; zstd and gzip and zlib 0 to 9 (zstd also below 0 and up to 22), blosc 0 to 9."""
    cname: str = "zstd"
    """Blosc's inner codec, one of `BLOSC_NAMES`."""
    shuffle: Shuffle = "shuffle"
    """Blosc's shuffle."""
    blocksize: int = 0
    """Blosc's block size in bytes; 0 leaves it to blosc."""
    typesize: int | None = None
    """What blosc shuffles, in bytes; None is the size of a sample. Decoding does not need it."""
    checksum: bool = False
    """Whether a zstd frame ends with its own checksum."""
    crc32c: bool = False
    """Whether four bytes of crc32c follow the compressed chunk (Zarr v3 only)."""
    verbatim: JSON = None
    """For `"other"`: the array document's own words; v3 the list of codecs, v2 `{"compressor": ..., "filters": ...}`."""

    def __str__(self) -> str:
        if self.name == "other":
            return "other"
        words = {"raw": "raw", "blosc": f"blosc-{self.cname} {self.level} {self.shuffle}"}.get(self.name, f"{self.name} {self.level}")
        return f"{words} crc32c" if self.crc32c else words


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """Facts of an array that is to be made.

    Raises
    ------
    OptionError
        When the facts contradict one another or the format: ranks that differ, shards in v2, shards that hold no whole
        number of chunks, a fill value that the dtype cannot hold.
    UnsupportedError
        When the dtype is no fixed-size number.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    """The stored type with its byte order: `np.dtype(">u2")` is stored big-endian, and read and written native."""
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None
    codec: Codec = Codec()
    fill_value: JSON = 0
    """As JSON says it: a number, true, `"NaN"`, `"Infinity"`, a hexadecimal word of bits, `[re, im]`; null in v2."""
    dimension_names: tuple[str | None, ...] | None = None
    """In v2 the attribute `_ARRAY_DIMENSIONS`, as xarray reads it."""
    zarr_format: Literal[2, 3] = 3
    separator: Literal[".", "/"] = "/"
    order: Literal["C", "F"] = "C"
    """Memory order inside a chunk; `"F"` is v2 only and executed by zarr-python."""
    index_location: Literal["start", "end"] = "end"
    attributes: Mapping[str, JSON] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ndim = len(self.shape)
        for name, value in (("chunks", self.chunks), ("shards", self.shards), ("dimension_names", self.dimension_names)):
            if value is not None and len(value) != ndim:
                raise OptionError(f"{name} {value!r}: expected {ndim} entries, one per axis of shape {self.shape!r}")
        if any(n < 0 for n in self.shape) or any(c < 1 for c in self.chunks):
            raise OptionError(f"shape {self.shape!r}, chunks {self.chunks!r}: expected lengths of 0 or more, and chunks of 1 or more")
        if self.dtype.name not in DTYPES:
            raise UnsupportedError(f"dtype {self.dtype.str!r}: expected a fixed-size number, one of {', '.join(sorted(DTYPES))}")
        if self.shards is not None:
            if self.zarr_format == 2:
                raise OptionError(f"shards {self.shards!r}: Zarr v2 has none; write Zarr v3 or leave them out")
            if any(s < 1 or s % c for s, c in zip(self.shards, self.chunks, strict=True)):
                raise OptionError(f"shards {self.shards!r}: expected whole multiples of the chunks {self.chunks!r}")
        if self.order == "F" and self.zarr_format == 3:
            raise OptionError("order 'F': Zarr v3 says it with a transpose codec; expected 'C'")
        if self.codec.crc32c and self.zarr_format == 2:
            raise OptionError("codec crc32c: Zarr v2 has none here; write Zarr v3 or leave it out")
        if self.fill_value is None and self.zarr_format == 3:
            raise OptionError("fill_value null: only Zarr v2 allows it; say a value")
        fill_scalar(self.fill_value, self.dtype)


def fill_scalar(value: JSON, dtype: np.dtype[np.generic]) -> np.generic:
    """Returns a document's fill value as a native scalar, bit for bit; zero for null.

    Raises
    ------
    OptionError
        When the dtype cannot hold the value.

    Examples
    --------
    >>> fill_scalar("0x7fc00000", np.dtype("float32"))
    np.float32(nan)
    >>> fill_scalar([1, "Infinity"], np.dtype("complex64"))
    np.complex64(1+infj)
    """
    native = dtype.newbyteorder("=")
    kind = native.kind
    if value is None:
        return native.type(0)
    if kind == "b" and (isinstance(value, bool) or value in (0, 1)):
        return np.bool_(value)
    if kind in "iu" and isinstance(value, int | float) and not isinstance(value, bool):
        limits = np.iinfo(native.name)
        if value == value // 1 and limits.min <= value <= limits.max:
            return native.type(int(value))
    if kind == "f":
        scalar = _float_scalar(value, native)
        if scalar is not None:
            return scalar
    if kind == "c":
        pair: JSON = [value, 0] if isinstance(value, int | float) else value
        if isinstance(pair, list | tuple) and len(pair) == 2:
            part = np.dtype(f"f{native.itemsize // 2}")
            parts = [_float_scalar(v, part) for v in pair]
            if parts[0] is not None and parts[1] is not None:
                return np.array([parts[0], parts[1]], part).view(native)[0]  # type: ignore[no-any-return]
    raise OptionError(f"fill_value {value!r}: dtype {native.name} cannot hold it")


def _float_scalar(value: JSON, dtype: np.dtype[np.generic]) -> np.generic | None:
    if isinstance(value, str):
        if value in _SPECIAL_FLOATS:
            return dtype.type(_SPECIAL_FLOATS[value])
        digits = value.removeprefix("0x")
        if digits != value and len(digits) == 2 * dtype.itemsize and all(c in "0123456789abcdefABCDEF" for c in digits):
            return np.frombuffer(bytes.fromhex(digits), dtype.newbyteorder(">")).astype(dtype)[0]  # type: ignore[no-any-return]
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        with np.errstate(over="ignore"):
            return dtype.type(value)
    return None


def fill_json(value: np.generic, *, zarr_format: int = 3) -> JSON:
    """Returns a scalar as a document says it; the inverse of `fill_scalar` for all but the bits of unusual NaN.

    In v3 a NaN with other bits than the usual ones is said by them, as its specification asks.

    >>> fill_json(np.float32("inf")), fill_json(np.uint8(7)), fill_json(np.complex64(2))
    ('Infinity', 7, [2.0, 0.0])
    """
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.complexfloating):
        part = np.dtype(f"f{value.dtype.itemsize // 2}").type
        return [fill_json(part(value.real), zarr_format=zarr_format), fill_json(part(value.imag), zarr_format=zarr_format)]
    if not isinstance(value, np.floating):
        raise UnsupportedError(f"fill value {value!r}: expected a number")
    if np.isnan(value):
        big_endian = value.dtype.newbyteorder(">")
        bits, usual = (np.array(nan).astype(big_endian).tobytes().hex() for nan in (value, value.dtype.type(math.nan)))
        return "NaN" if zarr_format == 2 or bits == usual else f"0x{bits}"
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return float(value)


def array_documents(spec: ArraySpec) -> dict[str, JSON]:
    """Returns the documents of an array by the name of their file: `zarr.json`; or `.zarray` and `.zattrs`.

    Source: Zarr v3 core specification 1.0 and the codecs registered with it; Zarr v2 specification.

    >>> sorted(array_documents(ArraySpec((4,), np.dtype("u1"), (2,), zarr_format=2)))
    ['.zarray', '.zattrs']
    """
    return _documents_v2(spec) if spec.zarr_format == 2 else {"zarr.json": _document_v3(spec)}


def _normal_fill(spec: ArraySpec) -> JSON:
    if spec.fill_value is None or isinstance(spec.fill_value, str):
        return spec.fill_value
    return fill_json(fill_scalar(spec.fill_value, spec.dtype), zarr_format=spec.zarr_format)


def _document_v3(spec: ArraySpec) -> dict[str, JSON]:
    outer = spec.shards or spec.chunks
    codecs = _codecs_v3(spec)
    if spec.shards:
        index_codecs: list[JSON] = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
        sharding: dict[str, JSON] = {
            "chunk_shape": list(spec.chunks),
            "codecs": codecs,
            "index_codecs": index_codecs,
            "index_location": spec.index_location,
        }
        codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    document: dict[str, JSON] = {
        "shape": list(spec.shape),
        "data_type": spec.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(outer)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": spec.separator}},
        "fill_value": _normal_fill(spec),
        "codecs": codecs,
        "attributes": dict(spec.attributes),
    }
    if spec.dimension_names:  # none at all for an array of no axes, as zarr-python does
        document["dimension_names"] = list(spec.dimension_names)
    return document | {"zarr_format": 3, "node_type": "array", "storage_transformers": []}


def _codecs_v3(spec: ArraySpec) -> list[JSON]:
    codec = spec.codec
    if codec.name == "other":
        if not isinstance(codec.verbatim, list | tuple):
            raise OptionError(f"codec {codec.verbatim!r}: expected the list of codecs of a Zarr v3 array")
        return list(codec.verbatim)
    endian = "big" if is_big_endian(spec.dtype) else "little"
    codecs: list[JSON] = [{"name": "bytes", "configuration": {"endian": endian}} if spec.dtype.itemsize > 1 else {"name": "bytes"}]
    if codec.name == "zstd":
        codecs.append({"name": "zstd", "configuration": {"level": codec.level, "checksum": codec.checksum}})
    elif codec.name == "blosc":
        blosc: dict[str, JSON] = {
            "typesize": codec.typesize or spec.dtype.itemsize,
            "cname": codec.cname,
            "clevel": codec.level,
            "shuffle": codec.shuffle,
            "blocksize": codec.blocksize,
        }
        codecs.append({"name": "blosc", "configuration": blosc})
    elif codec.name in ("gzip", "zlib"):
        codecs.append({"name": "gzip" if codec.name == "gzip" else "numcodecs.zlib", "configuration": {"level": codec.level}})
    elif codec.name != "raw":
        raise OptionError(f"codec {codec.name!r}: expected zstd, blosc, gzip, zlib or raw")
    if codec.crc32c:
        codecs.append({"name": "crc32c"})
    return codecs


def _documents_v2(spec: ArraySpec) -> dict[str, JSON]:
    compressor, filters = _compressor_v2(spec.codec)
    attributes = dict(spec.attributes)
    if spec.dimension_names is not None:
        names: list[JSON] = [name if name is not None else f"dim_{i}" for i, name in enumerate(spec.dimension_names)]
        attributes["_ARRAY_DIMENSIONS"] = names
    array: dict[str, JSON] = {
        "shape": list(spec.shape),
        "chunks": list(spec.chunks),
        "dtype": spec.dtype.str,
        "fill_value": _normal_fill(spec),
        "order": spec.order,
        "filters": filters,
        "dimension_separator": spec.separator,
        "compressor": compressor,
        "zarr_format": 2,
    }
    return {".zarray": array, ".zattrs": attributes}


def _compressor_v2(codec: Codec) -> tuple[JSON, JSON]:
    if codec.name == "other":
        if not isinstance(codec.verbatim, Mapping):
            raise OptionError(f"codec {codec.verbatim!r}: expected compressor and filters of a Zarr v2 array")
        return codec.verbatim.get("compressor"), codec.verbatim.get("filters")
    if codec.name == "raw":
        return None, None
    if codec.name == "zstd":
        zstd: dict[str, JSON] = {"id": "zstd", "level": codec.level}
        return zstd | ({"checksum": True} if codec.checksum else {}), None
    if codec.name == "blosc":
        shuffle = SHUFFLES.index(codec.shuffle)
        return {"id": "blosc", "cname": codec.cname, "clevel": codec.level, "shuffle": shuffle, "blocksize": codec.blocksize}, None
    if codec.name in ("gzip", "zlib"):
        return {"id": codec.name, "level": codec.level}, None
    raise OptionError(f"codec {codec.name!r}: expected zstd, blosc, gzip, zlib or raw")


def is_big_endian(dtype: np.dtype[np.generic]) -> bool:
    """Returns whether samples of more than one byte are stored with the high byte first."""
    return np.dtype(dtype).str.startswith(">")
