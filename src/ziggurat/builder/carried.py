"""What lies beside the levels of a dataset in every one of them: coordinates, bounds, grid mappings, words, data without an axis that is reduced."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ziggurat import storage
from ziggurat.builder.coordinates import Beside
from ziggurat.builder.site import Site
from ziggurat.chunkio import ArraySpec, Codec, read_region
from ziggurat.model import JSON
from ziggurat.node import dumps
from ziggurat.planner.datasets import VariableFacts
from ziggurat.problems import UnsupportedError
from ziggurat.sources.datasets import Held

_BLOCK_BYTES = 2**22
"""Carried data are copied in blocks of about this size."""


@dataclass(frozen=True, slots=True)
class Small:
    """An array of numbers or words that is in memory."""

    dims: tuple[str, ...]
    values: NDArray[Any]
    attributes: Mapping[str, JSON]


def small_array(beside: Beside, facts: VariableFacts | None) -> Small:
    """Returns a small variable as it is stored. Raises UnsupportedError for what is neither number nor word."""
    values = beside.values
    if values.dtype.kind in "SUOT":
        values = np.asarray([word.decode() if isinstance(word, bytes) else str(word) for word in values.reshape(-1)], object).reshape(values.shape)
    elif values.dtype.kind not in "biufc":
        raise UnsupportedError(f"{facts.name if facts else beside.dims}: holds {values.dtype}, expected numbers or words")
    return Small(beside.dims, values, beside.attributes)


def missing_attributes(facts: VariableFacts, zarr_format: int) -> dict[str, JSON]:
    """Returns how xarray is told which samples are missing: in Zarr v2 by the fill value of the array, in v3 by an attribute, base64 of floats."""
    if zarr_format == 2 or facts.missing is None:
        return {}
    if np.dtype(facts.dtype).kind == "f":
        return {"_FillValue": base64.standard_b64encode(struct.pack("<d", float(facts.missing))).decode()}
    return {"_FillValue": facts.missing}


def write_small(site: Site, arrays: Mapping[str, Small]) -> None:
    """Writes small arrays at their paths below the group, each in one chunk. Raises StorageError."""
    for path, small in arrays.items():
        if small.values.dtype.kind == "O":
            _write_words(site, path, small)
            continue
        shape = small.values.shape
        spec = _spec(site, shape, small.values.dtype, tuple(max(n, 1) for n in shape), small.dims, small.attributes, None)
        writer = storage.create_array(site.store, f"{site.prefix}{path}", spec, write_empty=True)
        if small.values.size:
            writer.write((0,) * len(shape), np.ascontiguousarray(small.values.astype(spec.dtype, copy=False)).reshape(shape))


def _spec(
    site: Site, shape: tuple[int, ...], dtype: np.dtype[Any], chunks: tuple[int, ...], dims: tuple[str, ...], attributes: Mapping[str, JSON], fill: JSON
) -> ArraySpec:
    zarr_format: Literal[2, 3] = 2 if site.plan.zarr_format == 2 else 3
    kind = dtype.kind
    value: JSON = fill if fill is not None else None if zarr_format == 2 and kind != "f" else "NaN" if kind == "f" else 0
    codec = Codec("blosc") if zarr_format == 2 else Codec()
    return ArraySpec(
        shape, dtype.newbyteorder("="), chunks, codec=codec, fill_value=value, dimension_names=dims, zarr_format=zarr_format,
        separator="." if zarr_format == 2 else "/", attributes=attributes,
    )  # fmt: skip


def _write_words(site: Site, path: str, small: Small) -> None:
    """Writes words of any length: their number, then the length of each and its UTF-8. Source: zarr-extensions, data type `string`; numcodecs VLenUTF8."""
    words = [str(word).encode() for word in small.values.reshape(-1)]
    data = struct.pack("<I", len(words)) + b"".join(struct.pack("<I", len(word)) + word for word in words)
    shape: list[JSON] = list(small.values.shape)
    chunk: list[JSON] = [max(n, 1) for n in small.values.shape]
    index = [0] * len(shape)
    home = f"{site.prefix}{path}"
    if site.plan.zarr_format == 2:
        document: dict[str, JSON] = {
            "zarr_format": 2, "shape": shape, "chunks": chunk, "dtype": "|O", "fill_value": None, "order": "C", "compressor": None,
            "filters": [{"id": "vlen-utf8"}],
        }  # fmt: skip
        site.store.put(f"{home}/.zarray", [dumps(document, path)])
        site.store.put(f"{home}/.zattrs", [dumps({**small.attributes, "_ARRAY_DIMENSIONS": list(small.dims)}, path)])
        site.store.put(f"{home}/{'.'.join(map(str, index)) or '0'}", [data])
        return
    document = {
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "string",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "", "codecs": [{"name": "vlen-utf8"}], "dimension_names": list(small.dims), "attributes": small.attributes,
    }  # fmt: skip
    site.store.put(f"{home}/zarr.json", [dumps(document, path)])
    site.store.put(f"{home}/{'/'.join(['c', *map(str, index)])}", [data])


def copy_carried(site: Site, carried: Sequence[Held], groups: Sequence[str]) -> tuple[str, ...]:
    """Copies variables without an axis that is reduced into every level, block by block, and returns their paths. Raises StorageError."""
    paths = []
    for held in carried:
        source, facts = held.source, held.facts
        if source is None:
            continue
        row_bytes = max(1, int(np.prod(facts.shape[1:])) * np.dtype(facts.dtype).itemsize)
        chunks = (max(1, min(facts.shape[0], _BLOCK_BYTES // row_bytes)), *(max(n, 1) for n in facts.shape[1:]))
        told = {**facts.attributes, **missing_attributes(facts, site.plan.zarr_format)}
        spec = _spec(site, facts.shape, np.dtype(facts.dtype), chunks, facts.dims, told, facts.missing)
        here = [f"{group}/{facts.name}" if group else facts.name for group in groups]
        writers = [storage.create_array(site.store, f"{site.prefix}{path}", spec) for path in here]
        for i in range(-(-facts.shape[0] // chunks[0])):
            rows = slice(i * chunks[0], min((i + 1) * chunks[0], facts.shape[0]))
            block = read_region(source, (rows, *(slice(0, n) for n in facts.shape[1:])))
            whole = np.zeros(chunks, block.dtype)
            whole[tuple(slice(0, n) for n in block.shape)] = block
            for writer in writers:
                writer.write((i,) + (0,) * (len(chunks) - 1), whole)
        paths += here
    return tuple(paths)
