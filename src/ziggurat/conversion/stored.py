"""The documents of an array in another container, decided so that the stored chunks stay as they are wherever they can.

`stored_in` asks for the array in a container: the answer is its document there, and whether chunks are copied as they are or
decoded and encoded again. Source: formats.md 2.6, 4.1; the core specifications of Zarr v2 and v3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from ziggurat.conversion.arrays import DATA_TYPES, array_to_v3, separator_of
from ziggurat.conversion.transpose import Permutation, transposed_array
from ziggurat.conversion.tree import NOTHING, TreeNode
from ziggurat.layouts.coordinates import number_of
from ziggurat.model import JSON, ArrayInfo
from ziggurat.node import ARRAY_KEYS, Container, parse_array_document, parse_n5_document
from ziggurat.problems import Problem, UnsupportedError

How = Literal["verbatim", "recoded"]
CONTAINERS: tuple[Container, ...] = ("zarr2", "zarr3", "n5")
_TYPESTRS: Mapping[str, str] = MappingProxyType({word: typestr for typestr, word in DATA_TYPES.items()})
_N5_TYPES = frozenset({*(f"{sign}int{8 * n}" for sign in ("", "u") for n in (1, 2, 4, 8)), "float32", "float64"})
_V2_SHUFFLES: Mapping[str, int] = MappingProxyType({"noshuffle": 0, "shuffle": 1, "bitshuffle": 2})


@dataclass(frozen=True, slots=True)
class Original:
    """An array as it is stored now."""

    path: str
    info: ArrayInfo
    document: Mapping[str, JSON] | None
    """Its own document; None where it has none (a page of a TIFF)."""
    container: Container | None


@dataclass(frozen=True, slots=True)
class Stored:
    """The same array as it will be stored."""

    document: Mapping[str, JSON]
    """`.zarray`, `zarr.json` without attributes, or the array's own part of `attributes.json`."""
    container: Container
    how: How
    info: ArrayInfo
    problems: tuple[Problem, ...] = ()


def stored_in(
    container: Container, array: Original, *, names: Sequence[str], separator: Literal[".", "/"] | None = None, order: Permutation | None = None
) -> Stored:
    """Returns an array's document in a container, and how its chunks come there.

    Parameters
    ----------
    names
        Of the axes, in the new order.
    separator
        Of chunk keys in Zarr v2; None keeps the array's, or takes `/`.
    order
        The axes in another order, see `Permutation`: the samples are then written anew.

    Raises UnsupportedError when the container has no word for the type of the samples.
    """
    problems: list[Problem] = []
    document = _verbatim(container, array, names, separator, problems) if order is None else _transposed(container, array, names, separator, order, problems)
    how: How = "verbatim" if order is None and document is not None else "recoded"
    if document is None:
        problems.clear()
        document = _fresh(container, _reordered(array.info, order), names, separator or "/", array.path)
    return Stored(document, container, how, _parsed(container, document, names, array.path), tuple(problems))


def unmasked(stored: Stored, array: Original, missing: JSON) -> Stored:
    """Returns an array of Zarr v2 whose fill value is that of missing samples, and null where none are.

    xarray takes the fill value of Zarr v2 for `_FillValue`: zeros of an image would become missing, and integers floats. A value that is not zero was
    chosen, as far as Zarr v2 tells; Zarr v3 demands one. With null nothing that is not stored is defined, so every chunk is to be stored.

    Parameters
    ----------
    missing
        The array's attribute `_FillValue`, None when it has none.
    """
    value = array.info.fill_value
    chosen = value == "NaN" or (array.container == "zarr2" and not array.info.is_zero_filled)
    fill = _number(missing) if missing is not None else None
    fill = value if fill is None and chosen else fill
    return replace(stored, document={**stored.document, "fill_value": fill}, info=replace(stored.info, fill_value=fill))


def _number(missing: JSON) -> JSON:
    if not isinstance(missing, str):
        return missing if isinstance(missing, (int, float)) else None
    try:
        number = number_of(missing)
    except ValueError:
        return None
    return number if math.isfinite(number) else "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _verbatim(
    container: Container, array: Original, names: Sequence[str], separator: Literal[".", "/"] | None, problems: list[Problem]
) -> Mapping[str, JSON] | None:
    """Returns the document under which the stored chunks can be read as they are, None when there is none."""
    document = array.document
    if document is None or array.container is None or array.info.driver not in ("zarr", "n5") or (array.container == "n5") != (container == "n5"):
        return None
    if container == "n5":
        return {key: document[key] for key in ARRAY_KEYS if key in document}
    if array.container == "zarr2" and container == "zarr2":
        asked = separator is not None and separator != separator_of(document)
        return {**document, "dimension_separator": separator} if asked else document
    if array.container == "zarr3" and container == "zarr3":
        return _named(document, names)
    try:
        if container == "zarr3":
            found, wrong = array_to_v3(document, NOTHING, dimension_names=tuple(names), path=array.path)
            problems.extend(wrong)
            return found
        return array_to_v2(document, separator or "/")
    except UnsupportedError:
        return None


def _transposed(
    container: Container, array: Original, names: Sequence[str], separator: Literal[".", "/"] | None, order: Permutation, problems: list[Problem]
) -> Mapping[str, JSON] | None:
    if array.document is None or array.container not in ("zarr2", "zarr3") or array.info.driver != "zarr":
        return None
    zarr_format = 2 if array.container == "zarr2" else 3
    try:
        turned = transposed_array(TreeNode(array.path, "array", zarr_format, array.document, NOTHING), names, order).document
    except UnsupportedError:
        return None
    return _verbatim(container, replace(array, document=turned), names, separator, problems)


def _named(document: Mapping[str, JSON], names: Sequence[str]) -> Mapping[str, JSON]:
    return document if document.get("dimension_names") == list(names) else {**document, "dimension_names": list(names)}


def _reordered(info: ArrayInfo, order: Permutation | None) -> ArrayInfo:
    if order is None:
        return info
    shape, chunks = (tuple(sizes[i] for i in order) for sizes in (info.shape, info.chunks))
    return replace(info, shape=shape, chunks=chunks, shards=None)


def array_to_v2(document: Mapping[str, JSON], separator: Literal[".", "/"]) -> dict[str, JSON] | None:
    """Returns the `.zarray` under which the chunks of a Zarr v3 array can be read as they are; None when v2 has no words for them.

    >>> v3 = {"shape": [5], "data_type": "uint16", "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4]}}, "fill_value": 0,
    ...       "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "gzip", "configuration": {"level": 5}}]}
    >>> array_to_v2(v3, "/")["dtype"], array_to_v2(v3, "/")["compressor"]
    ('<u2', {'id': 'gzip', 'level': 5})
    """
    data_type, grid, codecs = document.get("data_type"), document.get("chunk_grid"), document.get("codecs")
    configuration = grid.get("configuration") if isinstance(grid, Mapping) else None
    if data_type not in _TYPESTRS or not isinstance(configuration, Mapping) or not isinstance(codecs, (list, tuple)) or document.get("storage_transformers"):
        return None
    chain = [codec if isinstance(codec, Mapping) else {"name": codec} for codec in codecs]
    fill = document.get("fill_value")
    compressor = _compressor_v2(chain[1]) if len(chain) == 2 else None
    if not chain or chain[0].get("name") != "bytes" or len(chain) > 2 or (len(chain) == 2 and compressor is None):
        return None
    if isinstance(fill, str) and fill.startswith("0x"):
        return None
    settings = chain[0].get("configuration")
    big = isinstance(settings, Mapping) and settings.get("endian") == "big"
    return {
        "zarr_format": 2,
        "shape": document["shape"],
        "chunks": configuration.get("chunk_shape"),
        "dtype": _typestr(str(data_type), big=big),
        "compressor": compressor,
        "fill_value": fill,
        "order": "C",
        "filters": None,
        "dimension_separator": separator,
    }


def _typestr(data_type: str, *, big: bool = False) -> str:
    word = _TYPESTRS[data_type]
    return f"|{word}" if word[1:] == "1" else f"{'>' if big else '<'}{word}"


def _compressor_v2(codec: Mapping[str, JSON]) -> dict[str, JSON] | None:
    found = codec.get("configuration")
    settings: Mapping[str, JSON] = found if isinstance(found, Mapping) else NOTHING
    name = codec.get("name")
    if name == "gzip":
        return {"id": "gzip", "level": settings.get("level", 5)}
    if name == "zstd":
        return {"id": "zstd", "level": settings.get("level", 0), **({"checksum": True} if settings.get("checksum") else {})}
    shuffle = settings.get("shuffle", "noshuffle")
    if name == "blosc" and isinstance(shuffle, str) and shuffle in _V2_SHUFFLES:
        words = {"cname": settings.get("cname"), "clevel": settings.get("clevel"), "shuffle": _V2_SHUFFLES[shuffle], "blocksize": settings.get("blocksize", 0)}
        return {"id": "blosc", **words}
    return None


def _fresh(container: Container, info: ArrayInfo, names: Sequence[str], separator: Literal[".", "/"], path: str) -> dict[str, JSON]:
    """Returns the document of an array that is encoded anew, with the default codec of its container. Source: defaults.md, codec."""
    if container == "n5":
        if info.dtype not in _N5_TYPES:
            raise UnsupportedError(f"{path}: N5 has no samples of type {info.dtype!r}; it has {', '.join(sorted(_N5_TYPES))}; take a layout in Zarr")
        # gzip: every library that reads N5 has it (formats.md 4.2).
        return {
            "dimensions": list(reversed(info.shape)),
            "blockSize": list(reversed(info.chunks)),
            "dataType": info.dtype,
            "compression": {"type": "gzip", "level": 5},
        }
    if info.dtype not in _TYPESTRS:
        raise UnsupportedError(f"{path}: samples of type {info.dtype!r} are no numbers that can be encoded anew; keep the array in its container")
    fill = info.fill_value if isinstance(info.fill_value, (int, float)) or info.fill_value in ("NaN", "Infinity", "-Infinity") else 0
    if container == "zarr2":
        return {
            "zarr_format": 2,
            "shape": list(info.shape),
            "chunks": list(info.chunks),
            "dtype": _typestr(info.dtype),
            "compressor": {"id": "blosc", "cname": "zstd", "clevel": 3, "shuffle": 1, "blocksize": 0},
            "fill_value": fill,
            "order": "C",
            "filters": None,
            "dimension_separator": separator,
        }
    size = int(_TYPESTRS[info.dtype][1:])
    endian: dict[str, JSON] = {"configuration": {"endian": "little"}} if size > 1 else {}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(info.shape),
        "data_type": info.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(info.chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": bool(fill) if info.dtype == "bool" else [fill, 0.0] if info.dtype.startswith("complex") else fill,
        "codecs": [{"name": "bytes", **endian}, {"name": "zstd", "configuration": {"level": 3, "checksum": False}}],
        "dimension_names": list(names),
        "storage_transformers": [],
    }


def _parsed(container: Container, document: Mapping[str, JSON], names: Sequence[str], path: str) -> ArrayInfo:
    if container == "n5":
        return parse_n5_document(document, location=path)
    attributes: dict[str, JSON] = {"_ARRAY_DIMENSIONS": list(names)}
    return parse_array_document(document, 2 if container == "zarr2" else 3, attributes=attributes, location=path)
