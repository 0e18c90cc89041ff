"""An array's own document, judged: what the fast path needs to know of it, or why it must go to zarr-python."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ziggurat.chunkio.spec import BLOSC_NAMES, DTYPES, SHUFFLES, Codec, fill_scalar
from ziggurat.model import JSON
from ziggurat.problems import LimitError, OptionError

CHUNK_BYTES_LIMIT = 1 << 34
"""Decoded bytes of one chunk that no honest array exceeds: blosc and zlib stop at 2 GiB, zstd chunks of 16 GiB nobody makes."""

_KNOWN_V3 = frozenset(
    {
        "zarr_format",
        "node_type",
        "shape",
        "data_type",
        "chunk_grid",
        "chunk_key_encoding",
        "fill_value",
        "codecs",
        "attributes",
        "dimension_names",
        "storage_transformers",
    }
)


class _Unfit(ValueError):
    """The document asks for something outside the fast path."""


@dataclass(frozen=True, slots=True)
class ArrayFacts:
    """What reading and writing chunks needs to know."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    """Native byte order."""
    big_endian: bool
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    codec: Codec
    fill: np.generic
    fill_is_null: bool
    separator: str
    key_prefix: str
    """`"c"` for the default chunk keys of v3, `""` for those of v2."""
    index_at_start: bool = False
    index_big_endian: bool = False
    index_crc32c: bool = False

    @property
    def chunk_bytes(self) -> int:
        """Decoded size of one chunk in bytes."""
        return math.prod(self.chunks) * self.dtype.itemsize


def why_not(document: Mapping[str, JSON], zarr_format: int) -> str | None:
    """Returns why an array's document is not for the fast path, None when the fast path takes it.

    The fast path takes regular grids of fixed-size numbers (bool, integers, floats of 16 to 64 bits, complex of 64 and 128)
    in C order, with fill values as numbers, words or bits, or null in v2; both separators, both byte orders; chunks stored
    raw or by one of zstd, blosc (not snappy), gzip, zlib, in v3 optionally followed by crc32c; `sharding_indexed` as the only
    codec, one deep, with its index at either end, with or without crc32c. Everything else belongs to zarr-python.

    The list is one of what is allowed: a codec that is not in it is never executed here. Source: reliability.md S7.

    Raises
    ------
    LimitError
        When one chunk would be larger than `CHUNK_BYTES_LIMIT`: no path takes that.

    Examples
    --------
    >>> why_not({"zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<u2", "compressor": {"id": "lz4"}, "fill_value": 0,
    ...          "order": "C", "filters": None}, 2)
    "compressor 'lz4'"
    """
    try:
        array_facts(document, zarr_format)
    except _Unfit as reason:
        return str(reason)
    return None


def array_facts(document: Mapping[str, JSON], zarr_format: int) -> ArrayFacts:
    """Returns the facts of an array's document.

    Raises
    ------
    ValueError
        With the reason that `why_not` gives, when the fast path does not take it.
    LimitError
        When one chunk would be larger than `CHUNK_BYTES_LIMIT`. Source: reliability.md S6.
    """
    facts = _facts_v3(document) if zarr_format == 3 else _facts_v2(document)
    check_chunk_bytes(facts.chunks, facts.dtype.itemsize)
    return facts


def check_chunk_bytes(chunks: tuple[int, ...], itemsize: int) -> None:
    """Raises LimitError when one chunk would be larger than `CHUNK_BYTES_LIMIT`."""
    n_bytes = math.prod(chunks) * itemsize
    if n_bytes > CHUNK_BYTES_LIMIT:
        raise LimitError(f"chunks {chunks!r}: one chunk would hold {n_bytes} bytes; expected at most {CHUNK_BYTES_LIMIT}")


def codec_of(document: Mapping[str, JSON], zarr_format: int) -> Codec:
    """Returns how the chunks of an existing array are compressed, so that its levels can be compressed alike.

    What the fast path does not take comes back as `Codec("other", verbatim=...)`, good for arrays of the same format.
    """
    try:
        return array_facts(document, zarr_format).codec
    except (_Unfit, LimitError):
        if zarr_format == 2:
            return Codec("other", verbatim={"compressor": document.get("compressor"), "filters": document.get("filters")})
    codecs = document.get("codecs")
    if isinstance(codecs, list | tuple) and len(codecs) == 1:
        name, configuration = _named(codecs[0], "codec")
        if name == "sharding_indexed":
            return Codec("other", verbatim=configuration.get("codecs"))
    return Codec("other", verbatim=codecs)


def chunk_key(facts: ArrayFacts, index: tuple[int, ...]) -> str:
    """Returns the key of a stored object (a shard when there are shards) relative to its array.

    >>> facts = array_facts({"zarr_format": 2, "shape": [4, 4], "chunks": [2, 2], "dtype": "|u1", "compressor": None,
    ...                      "fill_value": 0, "order": "C", "filters": None}, 2)
    >>> chunk_key(facts, (0, 1))
    '0.1'
    """
    if facts.key_prefix:
        return facts.separator.join([facts.key_prefix, *map(str, index)])
    return facts.separator.join(map(str, index)) or "0"


# --- version 3


def _facts_v3(document: Mapping[str, JSON]) -> ArrayFacts:
    if document.get("zarr_format") != 3 or document.get("node_type") != "array":
        raise _Unfit(f"zarr_format {document.get('zarr_format')!r}, node_type {document.get('node_type')!r}")
    for key in document.keys() - _KNOWN_V3:
        value = document[key]
        if not (isinstance(value, Mapping) and value.get("must_understand") is False):
            raise _Unfit(f"key {key!r}")
    if document.get("storage_transformers"):
        raise _Unfit("storage_transformers")
    name = document.get("data_type")
    if not isinstance(name, str) or name not in DTYPES:
        raise _Unfit(f"data_type {name!r}")
    dtype = np.dtype(name)
    shape = _lengths(document.get("shape"), "shape", least=0)
    grid, grid_configuration = _named(document.get("chunk_grid"), "chunk_grid")
    if grid != "regular":
        raise _Unfit(f"chunk_grid {grid!r}")
    outer = _lengths(grid_configuration.get("chunk_shape"), "chunk_shape", least=1, ndim=len(shape))
    key_encoding, key_configuration = _named(document.get("chunk_key_encoding"), "chunk_key_encoding")
    if key_encoding not in ("default", "v2"):
        raise _Unfit(f"chunk_key_encoding {key_encoding!r}")
    codecs = document.get("codecs")
    if not isinstance(codecs, list | tuple) or not codecs:
        raise _Unfit(f"codecs {codecs!r}")
    if document.get("fill_value") is None:
        raise _Unfit("fill_value null")
    sharding = _sharding(codecs, outer)
    chain = codecs if sharding is None else sharding.codecs
    codec, big_endian = _chain_v3(chain, dtype.itemsize)
    return ArrayFacts(
        shape=shape,
        dtype=dtype,
        big_endian=big_endian,
        chunks=outer if sharding is None else sharding.chunks,
        shards=None if sharding is None else outer,
        codec=codec,
        fill=_fill(document.get("fill_value"), dtype),
        fill_is_null=False,
        separator=_separator(key_configuration.get("separator", "/" if key_encoding == "default" else ".")),
        key_prefix="c" if key_encoding == "default" else "",
        index_at_start=sharding is not None and sharding.index_at_start,
        index_big_endian=sharding is not None and sharding.index_big_endian,
        index_crc32c=sharding is not None and sharding.index_crc32c,
    )


@dataclass(frozen=True, slots=True)
class _Sharding:
    chunks: tuple[int, ...]
    codecs: list[JSON] | tuple[JSON, ...]
    index_at_start: bool
    index_big_endian: bool
    index_crc32c: bool


def _sharding(codecs: list[JSON] | tuple[JSON, ...], outer: tuple[int, ...]) -> _Sharding | None:
    name, configuration = _named(codecs[0], "codec")
    if name != "sharding_indexed":
        return None
    if len(codecs) > 1:
        raise _Unfit("codecs around sharding_indexed")
    chunks = _lengths(configuration.get("chunk_shape"), "chunk_shape of a shard", least=1, ndim=len(outer))
    if any(s % c for s, c in zip(outer, chunks, strict=True)):
        raise _Unfit(f"shards {outer!r} that are no multiple of their chunks {chunks!r}")
    inner = configuration.get("codecs")
    if not isinstance(inner, list | tuple) or not inner:
        raise _Unfit(f"codecs of a shard {inner!r}")
    index_codecs = configuration.get("index_codecs")
    if not isinstance(index_codecs, list | tuple) or not index_codecs:
        raise _Unfit(f"index_codecs {index_codecs!r}")
    index_codec, big_endian = _chain_v3(index_codecs, 8)
    if index_codec.name != "raw":
        raise _Unfit(f"index_codecs {index_codec.name!r}")
    location = configuration.get("index_location", "end")
    if location not in ("start", "end"):
        raise _Unfit(f"index_location {location!r}")
    return _Sharding(chunks, inner, location == "start", big_endian, index_codec.crc32c)


def _chain_v3(codecs: list[JSON] | tuple[JSON, ...], itemsize: int) -> tuple[Codec, bool]:
    """Returns the compressor with its crc32c, and whether samples are big-endian."""
    named = [_named(codec, "codec") for codec in codecs]
    name, configuration = named[0]
    if name != "bytes":
        raise _Unfit(f"codec {name!r}")
    endian = configuration.get("endian")
    if endian not in ("little", "big") and not (endian is None and itemsize == 1):
        raise _Unfit(f"endian {endian!r}")
    rest = named[1:]
    crc32c = bool(rest) and rest[-1][0] == "crc32c"
    if crc32c:
        rest = rest[:-1]
    if len(rest) > 1:
        raise _Unfit("codecs " + ", ".join(repr(n) for n, _ in rest))
    codec = Codec("raw", crc32c=crc32c) if not rest else _compressor_v3(*rest[0], itemsize=itemsize, crc32c=crc32c)
    return codec, endian == "big" and itemsize > 1


def _compressor_v3(name: str, configuration: Mapping[str, JSON], *, itemsize: int, crc32c: bool) -> Codec:
    if name == "zstd":
        return Codec("zstd", level=_level(configuration.get("level", 0)), checksum=configuration.get("checksum") is True, crc32c=crc32c)
    if name == "gzip":
        return Codec("gzip", level=_level(configuration.get("level", 5)), crc32c=crc32c)
    if name == "numcodecs.zlib":
        return Codec("zlib", level=_level(configuration.get("level", 1)), crc32c=crc32c)
    if name != "blosc":
        raise _Unfit(f"codec {name!r}")
    shuffle = configuration.get("shuffle")
    if shuffle not in SHUFFLES:
        raise _Unfit(f"blosc shuffle {shuffle!r}")
    return Codec(
        "blosc",
        level=_level(configuration.get("clevel", 5)),
        cname=_blosc_name(configuration.get("cname")),
        shuffle=SHUFFLES[SHUFFLES.index(shuffle)],
        blocksize=_level(configuration.get("blocksize", 0)),
        typesize=_typesize(configuration.get("typesize"), itemsize),
        crc32c=crc32c,
    )


# --- version 2


def _facts_v2(document: Mapping[str, JSON]) -> ArrayFacts:
    if document.get("zarr_format") != 2:
        raise _Unfit(f"zarr_format {document.get('zarr_format')!r}")
    if document.get("filters"):
        raise _Unfit(f"filters {_ids(document.get('filters'))}")
    shape = _lengths(document.get("shape"), "shape", least=0)
    if document.get("order", "C") != "C":
        raise _Unfit(f"order {document.get('order')!r}")
    word = document.get("dtype")
    if not isinstance(word, str) or word[:1] not in "<>|" or word[1:2] not in "biufc":
        raise _Unfit(f"dtype {word!r}")
    try:
        stored = np.dtype(word)
    except TypeError:
        raise _Unfit(f"dtype {word!r}") from None
    if stored.name not in DTYPES:
        raise _Unfit(f"dtype {word!r}")
    return ArrayFacts(
        shape=shape,
        dtype=stored.newbyteorder("="),
        big_endian=stored.str.startswith(">"),
        chunks=_lengths(document.get("chunks"), "chunks", least=1, ndim=len(shape)),
        shards=None,
        codec=_compressor_of_v2(document.get("compressor"), stored.itemsize),
        fill=_fill(document.get("fill_value"), stored),
        fill_is_null=document.get("fill_value") is None,
        separator=_separator(document.get("dimension_separator", ".")),
        key_prefix="",
    )


def _compressor_of_v2(compressor: JSON, itemsize: int) -> Codec:
    if compressor is None:
        return Codec("raw")
    if not isinstance(compressor, Mapping):
        raise _Unfit(f"compressor {compressor!r}")
    name = compressor.get("id")
    if name == "zstd":
        return Codec("zstd", level=_level(compressor.get("level", 0)), checksum=compressor.get("checksum") is True)
    if name in ("gzip", "zlib"):
        return Codec(str(name), level=_level(compressor.get("level", 1)))
    if name != "blosc":
        raise _Unfit(f"compressor {name!r}")
    number = compressor.get("shuffle", 1)
    if number == -1:  # numcodecs' AUTOSHUFFLE
        number = 2 if itemsize == 1 else 1
    if isinstance(number, bool) or number not in (0, 1, 2):
        raise _Unfit(f"blosc shuffle {number!r}")
    return Codec(
        "blosc",
        level=_level(compressor.get("clevel", 5)),
        cname=_blosc_name(compressor.get("cname", "lz4")),
        shuffle=SHUFFLES[int(str(number))],
        blocksize=_level(compressor.get("blocksize", 0)),
    )


# --- words of both


def _ids(filters: JSON) -> str:
    entries = filters if isinstance(filters, list | tuple) else [filters]
    return ", ".join(repr(entry.get("id")) if isinstance(entry, Mapping) else repr(entry) for entry in entries)


def _named(value: JSON, what: str) -> tuple[str, Mapping[str, JSON]]:
    """Returns name and configuration of an extension point; a bare string is a name without configuration."""
    if isinstance(value, str):
        return value, {}
    if isinstance(value, Mapping):
        name, configuration = value.get("name"), value.get("configuration", {})
        if isinstance(name, str) and isinstance(configuration, Mapping):
            return name, configuration
    raise _Unfit(f"{what} {value!r}")


def _lengths(value: JSON, what: str, *, least: int, ndim: int | None = None) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or (ndim is not None and len(value) != ndim):
        raise _Unfit(f"{what} {value!r}")
    lengths = []
    for n in value:
        if not isinstance(n, int) or isinstance(n, bool) or n < least:
            raise _Unfit(f"{what} {value!r}")
        lengths.append(n)
    return tuple(lengths)


def _level(value: JSON) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Unfit(f"codec level {value!r}")
    return value


def _typesize(value: JSON, itemsize: int) -> int | None:
    """Returns what blosc shuffles when that is not a sample; writers differ in what they say where nothing is shuffled."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 256 and value != itemsize else None


def _blosc_name(value: JSON) -> str:
    if value not in BLOSC_NAMES:
        raise _Unfit(f"blosc cname {value!r}")
    return str(value)


def _separator(value: JSON) -> str:
    if value not in (".", "/"):
        raise _Unfit(f"separator {value!r}")
    return str(value)


def _fill(value: JSON, dtype: np.dtype[np.generic]) -> np.generic:
    try:
        return fill_scalar(value, dtype)
    except OptionError:
        raise _Unfit(f"fill_value {value!r}") from None
