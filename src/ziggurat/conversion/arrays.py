"""Array documents of Zarr v2 rewritten for Zarr v3 so that the stored chunks stay as they are.

Only the document changes: the chunk keys keep their names (`chunk_key_encoding` "v2"), the codec chain is spelled in v3's words.
Source: formats.md 2.6; the core specifications of Zarr v2 and v3, array metadata.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType

from ziggurat.conversion.rules import problem
from ziggurat.model import JSON
from ziggurat.node import parse_array_document
from ziggurat.problems import Problem, UnsupportedError

DATA_TYPES: Mapping[str, str] = MappingProxyType(
    {
        **{f"{kind}{size}": f"{word}{8 * size}" for kind, word in (("i", "int"), ("u", "uint")) for size in (1, 2, 4, 8)},
        **{f"f{size}": f"float{8 * size}" for size in (2, 4, 8)},
        **{f"c{size}": f"complex{8 * size}" for size in (8, 16)},
        "b1": "bool",
    }
)
"""Kind and size of a v2 typestr -> v3 data type: exactly those that v3's core names."""

# The codecs of numcodecs that zarr-python >= 3.0 and zarrs read under the prefix `numcodecs.`; never pickle, json or other object codecs.
BYTES_EXTENSIONS = frozenset({"zlib", "lz4", "bz2", "lzma", "shuffle", "crc32", "adler32", "fletcher32", "jenkins_lookup3"})
ARRAY_EXTENSIONS = frozenset({"delta", "fixedscaleoffset", "quantize", "bitround", "packbits", "astype"})

_KNOWN = frozenset({"zarr_format", "shape", "chunks", "dtype", "compressor", "fill_value", "order", "filters", "dimension_separator"})
_SHUFFLES: Mapping[int, str] = MappingProxyType({0: "noshuffle", 1: "shuffle", 2: "bitshuffle"})
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?\Z")
_SPECIAL = frozenset({"NaN", "Infinity", "-Infinity"})


def separator_of(document: Mapping[str, JSON]) -> str:
    """Returns the separator of the chunk keys that an array document states; `.` where a v2 document says nothing."""
    if document.get("zarr_format") == 3:
        encoding = document.get("chunk_key_encoding")
        configuration = encoding.get("configuration") if isinstance(encoding, Mapping) else None
        name = encoding.get("name") if isinstance(encoding, Mapping) else "default"
        fallback = "." if name == "v2" else "/"
        return str(configuration.get("separator", fallback)) if isinstance(configuration, Mapping) else fallback
    return str(document.get("dimension_separator") or ".")


def shape_of(document: Mapping[str, JSON]) -> tuple[int, ...]:
    """Returns the shape that an array document of either format states."""
    shape = document.get("shape")
    return tuple(int(n) for n in shape if isinstance(n, int)) if isinstance(shape, list | tuple) else ()


def array_to_v3(
    document: Mapping[str, JSON], attributes: Mapping[str, JSON], *, dimension_names: tuple[str, ...] | None, path: str
) -> tuple[dict[str, JSON], tuple[Problem, ...]]:
    """Returns the `zarr.json` of an array whose chunks were written under a `.zarray`, and what had to be decided.

    `attributes` (the `.zattrs`) are carried verbatim. Raises DocumentError when the document lacks a fact, UnsupportedError when
    v3 has no words for the dtype or the codecs.

    Examples
    --------
    >>> zarray = {"zarr_format": 2, "shape": [5], "chunks": [5], "dtype": "<u2", "order": "C", "compressor": None, "filters": None, "fill_value": 0}
    >>> array_to_v3(zarray, {}, dimension_names=("x",), path="0")[0]["codecs"]
    [{'name': 'bytes', 'configuration': {'endian': 'little'}}]
    """
    problems: list[Problem] = []
    parse_array_document(document, 2, location=path)
    typestr = document.get("dtype")
    match = re.fullmatch(r"([<>|])([biufc]\d+)", typestr) if isinstance(typestr, str) else None
    if match is None or match[2] not in DATA_TYPES:
        raise UnsupportedError(
            f"{path}/.zarray dtype {typestr!r}: Zarr v3 has no numeric data type for it; write the array again with a number dtype, or stay with ome-zarr@0.4"
        )
    data_type, itemsize = DATA_TYPES[match[2]], int(match[2][1:])
    fill_value = _fill_value(document.get("fill_value"), data_type, path, problems)
    codecs = _codecs(document, match[1] == ">" and itemsize > 1, itemsize, path, problems)
    for key in document:
        if key not in _KNOWN:
            message = "Zarr v3 forbids unknown keys in an array's document; this one is left out"
            problems.append(problem("UPG009", f"{path}/.zarray.{key}", message))
    result: dict[str, JSON] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": document["shape"],
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": document["chunks"]}},
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": separator_of(document)}},
        "fill_value": fill_value,
        "codecs": codecs,
        "attributes": attributes,
    }
    if dimension_names is not None:
        result["dimension_names"] = list(dimension_names)
    result["storage_transformers"] = []
    return result, tuple(problems)


def _fill_value(value: JSON, data_type: str, path: str, problems: list[Problem]) -> JSON:
    """Returns v3's spelling of a v2 fill value; the value stays the same, `null` becomes zero and is reported."""
    loc = f"{path}/.zarray.fill_value"
    if value is None:
        problems.append(problem("UPG007", loc, "null means that missing chunks hold anything; Zarr v3 needs a value, and 0 is written"))
        value = 0
    elif isinstance(value, str) and _NUMBER.match(value):
        problems.append(problem("UPG008", loc, f"the string {value!r} stands for a number; the number is written"))
        value = float(value) if re.search(r"[.eE]", value) else int(value)
    if data_type == "bool" and value in (0, 1):
        return bool(value)
    if data_type.startswith("complex"):
        return value if isinstance(value, list | tuple) else [value, 0.0]
    if isinstance(value, bool):
        value = int(value)
    if isinstance(value, float) and "int" in data_type and math.isfinite(value) and value.is_integer():
        return int(value)
    fits = value in _SPECIAL if isinstance(value, str) and data_type.startswith("float") else isinstance(value, int | float)
    if not fits or data_type == "bool" or ("int" in data_type and not isinstance(value, int)):
        raise UnsupportedError(f"{loc} {value!r}: found no value of {data_type}; correct it in the document first")
    return value


def _codecs(document: Mapping[str, JSON], big_endian: bool, itemsize: int, path: str, problems: list[Problem]) -> list[JSON]:
    """Returns the v3 codec chain that decodes what the v2 document's order, filters and compressor encoded."""
    ndim = len(shape_of(document))
    before: list[JSON] = []
    after: list[JSON] = []
    if document.get("order") == "F" and ndim > 1:
        before.append({"name": "transpose", "configuration": {"order": list(range(ndim - 1, -1, -1))}})
    filters = document.get("filters") or []
    if not isinstance(filters, list | tuple):
        raise UnsupportedError(f"{path}/.zarray.filters {filters!r}: found no list; correct it in the document first")
    if filters and big_endian:
        raise UnsupportedError(f"{path}/.zarray.filters: filters over big-endian samples have no equal in Zarr v3; write the array again without filters")
    for entry in filters:
        name = _codec_id(entry, path)
        if name not in BYTES_EXTENSIONS | ARRAY_EXTENSIONS:
            raise UnsupportedError(f"{path}/.zarray.filters {name!r}: no Zarr v3 codec decodes it; write the array again without it")
        (before if name in ARRAY_EXTENSIONS else after).append(_extension(entry, name, path, problems))
    endian: dict[str, JSON] = {"configuration": {"endian": "big" if big_endian else "little"}} if itemsize > 1 else {}
    compressor = document.get("compressor")
    return [*before, {"name": "bytes", **endian}, *after, *([] if compressor is None else [_compressor(compressor, itemsize, path, problems)])]


def _codec_id(entry: JSON, path: str) -> str:
    name = entry.get("id") if isinstance(entry, Mapping) else None
    if not isinstance(name, str):
        raise UnsupportedError(f"{path}/.zarray: {entry!r} names no codec (expected an object with a string 'id'); correct it in the document first")
    return name


def _extension(entry: JSON, name: str, path: str, problems: list[Problem]) -> JSON:
    message = f"the codec {name!r} is no core codec of Zarr v3; it is written as 'numcodecs.{name}', which zarr-python reads and other readers may not"
    problems.append(problem("UPG010", f"{path}/.zarray", message, "write the array again with zstd or blosc for other readers"))
    return {"name": f"numcodecs.{name}", "configuration": {k: v for k, v in entry.items() if k != "id"} if isinstance(entry, Mapping) else {}}


def _compressor(entry: JSON, itemsize: int, path: str, problems: list[Problem]) -> JSON:
    name = _codec_id(entry, path)
    config: Mapping[str, JSON] = entry if isinstance(entry, Mapping) else {}
    if name == "gzip":
        level = config.get("level", 1)
        # -1 is zlib's own default, 6; v3 allows 0 to 9. The level plays no part in decoding.
        return {"name": "gzip", "configuration": {"level": level if isinstance(level, int) and 0 <= level <= 9 else 6}}
    if name == "zstd":
        return {"name": "zstd", "configuration": {"level": config.get("level", 0), "checksum": bool(config.get("checksum", False))}}
    if name == "blosc":
        shuffle = config.get("shuffle", 1)
        if shuffle == -1:  # blosc's "auto": bit shuffle for single bytes, byte shuffle for wider samples (numcodecs.blosc)
            shuffle = 2 if itemsize == 1 else 1
        word = _SHUFFLES.get(shuffle) if isinstance(shuffle, int) else None
        if word is None:
            raise UnsupportedError(f"{path}/.zarray.compressor.shuffle {shuffle!r}: expected -1, 0, 1 or 2; correct it in the document first")
        settings: dict[str, JSON] = {"typesize": itemsize, "cname": config.get("cname", "lz4"), "clevel": config.get("clevel", 5)}
        return {"name": "blosc", "configuration": {**settings, "shuffle": word, "blocksize": config.get("blocksize", 0)}}
    if name in BYTES_EXTENSIONS:
        return _extension(entry, name, path, problems)
    raise UnsupportedError(f"{path}/.zarray.compressor {name!r}: no Zarr v3 codec decodes it; write the array again with zstd or blosc")
