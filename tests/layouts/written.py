"""Stores made of what a layout wants written, over arrays of given shapes: what a conversion does, without samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ziggurat import layouts
from ziggurat.layouts import Writing
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Multiscale
from ziggurat.node import DictNode


def array_document(shape: Sequence[int], dims: Sequence[str], zarr_format: int, dtype: str = "float64") -> dict[str, JSON]:
    """Returns the document of an array, one chunk of zeros."""
    if zarr_format == 2:
        word = {"float64": "<f8", "uint16": "<u2"}.get(dtype, f"<{dtype.lstrip('<')}")
        return {"zarr_format": 2, "shape": [*shape], "chunks": [*shape], "dtype": word, "compressor": None, "fill_value": 0, "order": "C", "filters": None}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [*shape],
        "data_type": "string" if dtype.startswith("<U") else dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [*shape]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "dimension_names": [*dims],
    }


def stored(target: str, multiscales: Sequence[Multiscale], *, zarr_format: int, group: bool = True) -> DictNode:
    """Returns the store that a layout asks for, its levels at the paths that it names."""
    layout, version = layouts.find(target), layouts.version_of(target)
    assert isinstance(layout, Writing)
    moved = []
    for multiscale in multiscales:
        paths = layout.paths(multiscale, version=version) or tuple(level.path for level in multiscale.levels)
        arrays = [None if level.array is None else replace(level.array, zarr_format=zarr_format) for level in multiscale.levels]
        moved.append(replace(multiscale, levels=tuple(replace(x, path=p, array=a) for x, p, a in zip(multiscale.levels, paths, arrays, strict=True))))
    written = layout.write(moved, version=version, existing={})
    found = {
        path: (array_document(small_shape, dims, zarr_format, dtype), attributes) for path, small_shape, dims, dtype, attributes in _arrays(moved, written)
    }
    documents: dict[str, dict[str, JSON]] = {}
    groups = {"/".join(path.split("/")[:i]) for path in (*found, *written.attributes) for i in range(0 if group else 1, path.count("/") + 1)} - set(found)
    groups |= {path for path in written.attributes if path not in found}
    for path in groups if group else groups - {""}:
        own = written.attributes.get(path, {})
        at = f"{path}/" if path else ""
        documents |= {f"{at}.zgroup": {"zarr_format": 2}, f"{at}.zattrs": own} if zarr_format == 2 else {f"{at}zarr.json": _group3(own)}
    for path, (document, attributes) in found.items():
        more = (
            {f"{path}/.zarray": document, f"{path}/.zattrs": attributes} if zarr_format == 2 else {f"{path}/zarr.json": {**document, "attributes": attributes}}
        )
        documents |= more  # type: ignore[arg-type]
    for path, value in written.files.items():
        documents[path] = value.encode() if isinstance(value, str) else value  # type: ignore[assignment]
    return DictNode(documents, location=f"written as {target}", values={path: small.values for path, small in written.arrays.items()})


def _group3(attributes: dict[str, JSON]) -> dict[str, JSON]:
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def _arrays(moved, written):  # type: ignore[no-untyped-def]
    for multiscale in moved:
        dims = [axis.name for axis in multiscale.axes]
        for level in multiscale.levels:
            yield level.path, level.array.shape, dims, level.array.dtype, written.attributes.get(level.path, {})
    for path, small in written.arrays.items():
        names = {"_ARRAY_DIMENSIONS": [small.dimension]}
        yield path, (len(small.values),), [small.dimension], small.dtype, {**small.attributes, **names}


def made_up(shape: Sequence[int] = (7, 30, 41), *, names: str = "zyx", n_levels: int = 3, first: bool = False, name: str | None = "cells") -> Multiscale:
    """Returns a multiscale of odd sizes, odd steps and an origin; block means, or picked samples with `first`."""
    axes = tuple(Axis(letter, "space", "micrometer") for letter in names)
    scale, translation = (2.0, 0.3, 0.1)[-len(names) :], (10.0, -3.7, 1000.05)[-len(names) :]
    levels = []
    for k in range(n_levels):
        f = 2**k
        sizes = tuple(-(-n // f) for n in shape)
        info = ArrayInfo(sizes, "uint16", sizes, dimension_names=tuple(names), itemsize=2)
        shift = 0 if first else (f - 1) / 2
        levels.append(
            Level(
                str(k),
                scale=tuple(round(s * f, 9) for s in scale),
                translation=tuple(round(t + s * shift, 9) for s, t in zip(scale, translation, strict=True)),
                scale_provenance="stated",
                translation_provenance="stated",
                array=info,
            )
        )
    assert math.prod(shape) > 0
    return Multiscale(tuple(levels), axes, name=name)
