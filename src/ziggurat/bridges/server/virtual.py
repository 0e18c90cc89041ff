"""Any pyramid as OME-Zarr 0.5 (Zarr v3) or 0.4 (Zarr v2) that is computed when it is read: documents and raw little-endian chunks.

A tree is *plain* (the dtype as it is) or *safe*: dtypes that common clients refuse are converted. float16, float64 and complex (magnitude)
become float32, bool 0 and 255 of uint8, int64 float32. Source: docs of neuroglancer and viv; what they refuse was tried.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ziggurat.bridges.server.shown import Shown
from ziggurat.model import JSON, kind_of
from ziggurat.problems import NotFound
from ziggurat.pyramid import LevelView

Form = Literal["v3", "v2", "v3-safe", "v2-safe"]
FORMS: tuple[Form, ...] = ("v3", "v2", "v3-safe", "v2-safe")
_MAX_CHUNK = 2**20
"""Bytes: larger chunks are served in parts."""
_KEY = re.compile(r"(0|[1-9][0-9]{0,3})/(?:(zarr\.json)|(\.zarray|\.zattrs)|c/([0-9/]{1,200})|([0-9.]{1,200}))")
_LENGTHS = """angstrom attometer centimeter decimeter exameter femtometer foot gigameter hectometer inch kilometer megameter meter micrometer mile
millimeter nanometer parsec petameter picometer terameter yard yoctometer yottameter zeptometer zettameter"""
_TIMES = """attosecond centisecond day decisecond exasecond femtosecond gigasecond hectosecond hour kilosecond megasecond microsecond millisecond minute
nanosecond petasecond picosecond second terasecond yoctosecond yottasecond zeptosecond zettasecond"""
_UNITS = frozenset((*_LENGTHS.split(), *_TIMES.split()))
"""Source: OME-NGFF 0.5, axes; a client that meets another unit may refuse the image."""


def document_or_chunk(shown: Shown, form: Form, key: str) -> tuple[bytes, str]:
    """Returns the bytes of a key of a pyramid's virtual tree, and their media type. Raises NotFound for every key that is not in it."""
    version = 3 if form.startswith("v3") else 2
    if version == 3 and key == "zarr.json":
        ome: dict[str, JSON] = {"version": "0.5", "multiscales": [_multiscale(shown)], "omero": _omero(shown, form)}
        return _json({"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}})
    if version == 2 and key == ".zgroup":
        return _json({"zarr_format": 2})
    if version == 2 and key == ".zattrs":
        return _json({"multiscales": [{**_multiscale(shown), "version": "0.4"}], "omero": {**_omero(shown, form), "version": "0.4"}})
    found = _KEY.fullmatch(key)
    if found is None:
        raise NotFound(f"{key!r}: no such key")
    number, document3, document2, chunk3, chunk2 = found.groups()
    level = shown.level(int(number))
    if version == 3 and document3:
        return _json(array_document3(level, form))
    if version == 2 and document2 == ".zarray":
        return _json(_array_document2(level, form))
    if version == 2 and document2 == ".zattrs":
        return _json({"_ARRAY_DIMENSIONS": [axis.name for axis in level.axes]})
    text = chunk3 if version == 3 else chunk2
    if not text:
        raise NotFound(f"{key!r}: no such key")
    parts = text.split("/" if version == 3 else ".")
    if len(parts) != len(level.shape) or not all(part.isdecimal() and str(int(part)) == part for part in parts):
        raise NotFound(f"{key!r}: no such key")
    return _chunk(shown, level, form, tuple(map(int, parts))), "application/octet-stream"


def chunks_of(level: LevelView) -> tuple[int, ...]:
    """Returns the chunk shape of a virtual level: the stored one, halved along its longest axes while it has more than a mebibyte.

    >>> from ziggurat.bridges.server.virtual import divided
    >>> divided((1, 4096, 4096), 2)
    (1, 512, 1024)
    """
    return divided(level.chunks, level.dtype.itemsize)


def divided(chunks: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Returns a chunk shape, halved (rounded up) along its longest axis until it has at most a mebibyte."""
    found = list(chunks)
    while math.prod(found) * max(itemsize, 1) > _MAX_CHUNK and max(found) > 1:
        longest = max(range(len(found)), key=lambda axis: (found[axis], -axis))
        found[longest] = -(-found[longest] // 2)
    return tuple(found)


def dtype_of(dtype: np.dtype[Any], form: Form) -> np.dtype[Any]:
    """Returns the dtype that a tree serves.

    >>> dtype_of(np.dtype("f8"), "v3"), dtype_of(np.dtype("f8"), "v3-safe"), dtype_of(np.dtype("?"), "v2-safe")
    (dtype('float64'), dtype('float32'), dtype('uint8'))
    """
    if form.endswith("-safe"):
        if dtype.kind in "fc" or dtype == np.int64:
            return np.dtype("f4")
        if dtype.kind == "b":
            return np.dtype("u1")
    return dtype.newbyteorder("=")


def convert(block: NDArray[Any], form: Form) -> NDArray[Any]:
    """Returns samples as a tree serves them, little-endian."""
    wanted = dtype_of(block.dtype, form)
    if block.dtype.kind == "c" and wanted.kind == "f":
        block = np.abs(block)
    elif block.dtype.kind == "b" and wanted.kind == "u":
        block = block.astype(np.uint8) * np.uint8(255)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(block, dtype=wanted.newbyteorder("<"))


def array_document3(level: LevelView, form: Form) -> dict[str, JSON]:
    """Returns the `zarr.json` of a virtual level. Source: Zarr v3 core specification."""
    dtype = dtype_of(level.dtype, form)
    fill: JSON = False if dtype.kind == "b" else [0.0, 0.0] if dtype.kind == "c" else 0.0 if dtype.kind == "f" else 0
    codec: dict[str, JSON] = {"name": "bytes", **({"configuration": {"endian": "little"}} if dtype.itemsize > 1 else {})}
    return {
        "zarr_format": 3, "node_type": "array", "shape": list(level.shape), "data_type": dtype.name, "fill_value": fill, "codecs": [codec],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks_of(level))}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "dimension_names": [axis.name for axis in level.axes], "attributes": {},
    }  # fmt: skip


def _array_document2(level: LevelView, form: Form) -> dict[str, JSON]:
    dtype = dtype_of(level.dtype, form)
    return {
        "zarr_format": 2, "shape": list(level.shape), "chunks": list(chunks_of(level)), "dtype": dtype.newbyteorder("<").str,
        "fill_value": False if dtype.kind == "b" else [0.0, 0.0] if dtype.kind == "c" else 0,
        "order": "C", "compressor": None, "filters": None, "dimension_separator": ".",
    }  # fmt: skip


def _chunk(shown: Shown, level: LevelView, form: Form, index: tuple[int, ...]) -> bytes:
    """Returns a virtual chunk, whole: beyond the array's end stands 0. Raises NotFound beyond the grid."""
    chunks = chunks_of(level)
    if any(i * c >= n for i, c, n in zip(index, chunks, level.shape, strict=True)):
        raise NotFound(f"chunk {index}: beyond the array of shape {level.shape}")
    region = tuple(slice(i * c, min(i * c + c, n)) for i, c, n in zip(index, chunks, level.shape, strict=True))
    block = convert(shown.reader(level.index).region(region), form)
    if block.shape != chunks:
        whole = np.zeros(chunks, block.dtype)
        whole[tuple(slice(0, n) for n in block.shape)] = block
        block = whole
    return block.tobytes()


def _multiscale(shown: Shown) -> dict[str, JSON]:
    pyramid = shown.pyramid
    axes: list[JSON] = []
    for axis in pyramid.axes:
        kind, said = axis.kind or kind_of(axis.name), dict[str, JSON](name=axis.name)
        if kind in ("space", "time", "channel"):
            said["type"] = kind
        if axis.unit in _UNITS:
            said["unit"] = axis.unit
        axes.append(said)
    datasets: list[JSON] = [
        {
            "path": str(level.index),
            "coordinateTransformations": [{"type": "scale", "scale": list(level.scale)}, {"type": "translation", "translation": list(level.translation)}],
        }
        for level in pyramid.levels
    ]
    return {"name": shown.name, "axes": axes, "datasets": datasets, **({"type": pyramid.type} if pyramid.type else {})}


def _omero(shown: Shown, form: Form) -> dict[str, JSON]:
    """Returns display windows and colours, one entry per sample of the channel axis; viewers show black without."""
    look, pyramid = shown.look(), shown.pyramid
    axis = next((i for i, axis in enumerate(pyramid.axes) if (axis.kind or kind_of(axis.name)) == "channel"), None)
    n = 1 if axis is None else pyramid.levels[0].shape[axis]
    is_bool = pyramid.levels[0].dtype.kind == "b"
    channels: list[JSON] = []
    for i in range(min(n, 256)):
        low, high = (0.0, 255.0) if is_bool and form.endswith("-safe") else look.limits_of(i)
        red, green, blue = look.colour_of(i) or (255, 255, 255)
        window: dict[str, JSON] = {"start": low, "end": high, "min": low, "max": high}
        channels.append({"active": i < 8, "color": f"{red:02X}{green:02X}{blue:02X}", "label": f"channel {i}", "window": window})
    return {"channels": channels, "rdefs": {"model": "color" if n > 1 else "greyscale"}}


def _json(value: JSON) -> tuple[bytes, str]:
    return json.dumps(value, allow_nan=False).encode(), "application/json"
