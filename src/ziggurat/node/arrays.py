"""Facts of an array from its own metadata document, Zarr v2 and v3, in one form."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType

from ziggurat.model import JSON, ArrayInfo
from ziggurat.node.documents import word
from ziggurat.problems import DocumentError

MAX_NDIM = 64
"""numpy's own limit."""
_NOTHING: Mapping[str, JSON] = MappingProxyType({})
_V2_KINDS: Mapping[str, str] = MappingProxyType({"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"})
_NUMERIC: Mapping[str, int] = MappingProxyType(
    {
        "bool": 1,
        **{f"{sign}int{8 * n}": n for sign in ("", "u") for n in (1, 2, 4, 8)},
        **{f"float{8 * n}": n for n in (2, 4, 8)},
        **{f"complex{8 * n}": n for n in (8, 16)},
    }
)
_SHUFFLES: Mapping[object, str] = MappingProxyType({1: " shuffle", 2: " bitshuffle", "shuffle": " shuffle", "bitshuffle": " bitshuffle"})


def parse_array_document(document: Mapping[str, JSON], zarr_format: int, *, attributes: Mapping[str, JSON] = _NOTHING, location: str = "array") -> ArrayInfo:
    """Returns the facts of an array from its own document: `.zarray` (format 2; `attributes` is its `.zattrs`) or `zarr.json` (3).

    Raises DocumentError, naming the key, when the document lacks a fact or states an impossible one.

    Examples
    --------
    >>> info = parse_array_document({"zarr_format": 2, "shape": [9, 7], "chunks": [4, 4], "dtype": "<u2", "compressor": None,
    ...                              "fill_value": 0, "order": "C", "filters": None}, 2)
    >>> info.dtype, info.chunks, info.separator, info.codecs
    ('uint16', (4, 4), '.', 'raw')
    """
    name = ".zarray" if zarr_format == 2 else "zarr.json"
    parse = _parse_v2 if zarr_format == 2 else _parse_v3
    return parse(document, attributes, f"{location}/{name}")


def _parse_v2(document: Mapping[str, JSON], attributes: Mapping[str, JSON], where: str) -> ArrayInfo:
    shape = _sizes(document, "shape", where)
    dtype, itemsize = _v2_dtype(document.get("dtype"), where)
    separator = document.get("dimension_separator", ".")
    if separator not in (".", "/"):
        raise DocumentError(f"{where}: dimension_separator is {separator!r}; expected '.' or '/'")
    filters = document.get("filters")
    chain = [*(filters if isinstance(filters, (list, tuple)) else ()), document.get("compressor")]
    words = [_codec_words(codec) for codec in chain if isinstance(codec, Mapping)]
    if document.get("order") == "F":
        words.insert(0, "F order")
    return ArrayInfo(
        shape=shape,
        dtype=dtype,
        chunks=_grid(document, "chunks", shape, where),
        dimension_names=_names(attributes.get("_ARRAY_DIMENSIONS"), len(shape)),
        fill_value=document.get("fill_value"),
        zarr_format=2,
        separator=str(separator),
        itemsize=itemsize,
        codecs=", ".join(words) or "raw",
    )


def _parse_v3(document: Mapping[str, JSON], attributes: Mapping[str, JSON], where: str) -> ArrayInfo:
    shape = _sizes(document, "shape", where)
    grid = document.get("chunk_grid")
    if not isinstance(grid, Mapping) or grid.get("name") != "regular":
        found = grid.get("name") if isinstance(grid, Mapping) else grid
        raise DocumentError(f"{where}: chunk_grid is {found!r}; only the 'regular' grid is supported")
    outer = _grid(_configuration(grid), "chunk_shape", shape, where)
    encoding = document.get("chunk_key_encoding")
    encoding = encoding if isinstance(encoding, Mapping) else {"name": encoding if isinstance(encoding, str) else "default"}
    separator = _configuration(encoding).get("separator", "." if encoding.get("name") == "v2" else "/")
    codecs = _codecs(document.get("codecs"), where)
    shards, chunks, inner = _shards(codecs, outer, where)
    dtype, itemsize = _v3_dtype(document.get("data_type"), where)
    stated = document.get("dimension_names")
    names = _names(stated, len(shape))
    if stated is not None and names is None:
        raise DocumentError(f"{where}: dimension_names is {stated!r}; expected {len(shape)} names or nulls, one per axis")
    words = [word for word in map(_codec_words, codecs if shards is None else inner) if word]
    return ArrayInfo(
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=shards,
        dimension_names=names,
        fill_value=document.get("fill_value"),
        zarr_format=3,
        separator=str(separator),
        itemsize=itemsize,
        codecs=", ".join(words) or "raw",
    )


def _shards(codecs: list[Mapping[str, JSON]], outer: tuple[int, ...], where: str) -> tuple[tuple[int, ...] | None, tuple[int, ...], list[Mapping[str, JSON]]]:
    """Returns shape of the shard, shape of the unit of decoding, and the codecs inside the shard."""
    order = list(range(len(outer)))
    for codec in codecs:
        configuration = _configuration(codec)
        if codec.get("name") == "transpose":
            step = configuration.get("order")
            if not isinstance(step, (list, tuple)) or sorted(map(repr, step)) != sorted(map(repr, order)):
                raise DocumentError(f"{where}: the order of codec 'transpose' is {step!r}; expected a permutation of the axes")
            order = [order[i] for i in step if isinstance(i, int)]
        if codec.get("name") == "sharding_indexed":
            stored = _grid(configuration, "chunk_shape", tuple(outer[i] for i in order), where)
            inner = tuple(stored[order.index(axis)] for axis in range(len(outer)))
            return outer, inner, _codecs(configuration.get("codecs"), where)
    return None, outer, []


def _codecs(value: JSON, where: str) -> list[Mapping[str, JSON]]:
    if not isinstance(value, (list, tuple)) or not value:
        raise DocumentError(f"{where}: codecs is {value!r}; expected a list of at least one codec")
    codecs = [{"name": item} if isinstance(item, str) else item for item in value]
    if not all(isinstance(item, Mapping) and isinstance(item.get("name"), str) for item in codecs):
        raise DocumentError(f"{where}: codecs holds an entry without a name; expected objects with 'name'")
    return [item for item in codecs if isinstance(item, Mapping)]


def _configuration(item: Mapping[str, JSON]) -> Mapping[str, JSON]:
    configuration = item.get("configuration")
    return configuration if isinstance(configuration, Mapping) else _NOTHING


def _sizes(document: Mapping[str, JSON], key: str, where: str) -> tuple[int, ...]:
    value = document.get(key)
    if not isinstance(value, (list, tuple)) or len(value) > MAX_NDIM:
        raise DocumentError(f"{where}: {key} is {word(value)}; expected a list of at most {MAX_NDIM} whole numbers")
    sizes = [n for n in value if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**63]
    if len(sizes) != len(value):
        raise DocumentError(f"{where}: {key} is {value!r}; expected whole numbers from 0 to 2**63 - 1")
    return tuple(sizes)


def _grid(document: Mapping[str, JSON], key: str, shape: tuple[int, ...], where: str) -> tuple[int, ...]:
    sizes = _sizes(document, key, where)
    if len(sizes) != len(shape) or any(c < 1 and n > 0 for c, n in zip(sizes, shape, strict=False)):
        raise DocumentError(f"{where}: {key} is {list(sizes)} for an array of shape {list(shape)}; expected one size of at least 1 per axis")
    return tuple(max(c, 1) for c in sizes)


def _names(value: JSON, ndim: int) -> tuple[str | None, ...] | None:
    if not isinstance(value, (list, tuple)) or len(value) != ndim or not all(item is None or isinstance(item, str) for item in value):
        return None
    return tuple(item if isinstance(item, str) else None for item in value)


def _v2_dtype(value: JSON, where: str) -> tuple[str, int]:
    if isinstance(value, (list, tuple)):
        return json.dumps(value, default=str), 0
    found = re.fullmatch(r"[<>|=]?([a-zA-Z])(\d*)(\[.*\])?", value) if isinstance(value, str) else None
    if not isinstance(value, str) or found is None:
        raise DocumentError(f"{where}: dtype is {value!r}; expected a numpy type string such as '<u2'")
    letter, size = found[1], int(found[2] or 0)
    name = _V2_KINDS.get(letter, "") + ("" if letter == "b" else str(8 * size))
    if name in _NUMERIC and _NUMERIC[name] == size:
        return name, size
    return value, {"U": 4 * size, "O": 0}.get(letter, size)


def _v3_dtype(value: JSON, where: str) -> tuple[str, int]:
    name = value.get("name") if isinstance(value, Mapping) else value
    if not isinstance(name, str):
        raise DocumentError(f"{where}: data_type is {value!r}; expected a name such as 'uint16'")
    raw = re.fullmatch(r"r(\d{1,9})", name)
    return name, _NUMERIC.get(name, int(raw[1]) // 8 if raw else 2 if name == "bfloat16" else 0)


def _codec_words(codec: Mapping[str, JSON]) -> str:
    """Describes one codec: `zstd 3`, `blosc-lz4 5 shuffle`; nothing for plain bytes in native order."""
    name = codec.get("name", codec.get("id"))
    configuration = _configuration(codec) if "name" in codec else codec
    if name == "bytes":
        return "big-endian" if configuration.get("endian") == "big" else ""
    if name == "blosc":
        return f"blosc-{configuration.get('cname', 'lz4')} {configuration.get('clevel', 5)}{_SHUFFLES.get(configuration.get('shuffle'), '')}"
    level = configuration.get("level")
    return str(name) if level is None else f"{name} {level}"
