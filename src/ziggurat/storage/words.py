"""Words along an axis: one-dimensional arrays of text of a fixed width, read as the code points that they are. Nothing is unpickled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ziggurat.model import JSON
from ziggurat.node import MAX_VALUES
from ziggurat.problems import DocumentError, LimitError

_MAX_LETTERS = 1024
"""Of one word; names of channels and bands are shorter."""


class Letters(NamedTuple):
    """The same array as one of code points: each word is `width` samples of it."""

    document: Mapping[str, JSON]
    width: int


def letters_of(document: Mapping[str, JSON], zarr_format: int, path: str) -> Letters | None:
    """Returns the document of the code points of an array of text (`<U11`, or `fixed_length_utf32` in v3), None for any other array.

    Bytes and keys of the chunks are the same, so whatever decodes whole numbers reads them.

    Raises LimitError for longer words than anyone writes, DocumentError for an array without its sizes.
    """
    found = _width_v2(document.get("dtype")) if zarr_format == 2 else _width_v3(document.get("data_type"))
    if found is None:
        return None
    width, kind = found
    if not 1 <= width <= _MAX_LETTERS:
        raise LimitError(f"{path}: words of {width:,} letters; from 1 to {_MAX_LETTERS:,} are read")
    changed = dict(document)
    if zarr_format == 2:
        return Letters(
            {**changed, "dtype": kind, "fill_value": 0, "shape": _times(document, "shape", width), "chunks": _times(document, "chunks", width)}, width
        )
    grid = document.get("chunk_grid")
    held = grid.get("configuration") if isinstance(grid, Mapping) else None
    if not isinstance(held, Mapping):
        raise DocumentError(f"{path}: chunk_grid has no sizes")
    chunks: JSON = {"name": "regular", "configuration": {"chunk_shape": _times(held, "chunk_shape", width)}}
    return Letters({**changed, "data_type": kind, "fill_value": 0, "shape": _times(document, "shape", width), "chunk_grid": chunks}, width)


def words_of(points: np.ndarray, width: int, path: str) -> list[str]:
    """Returns the words whose code points follow one another in `points`, (n_words * width,), without the zeros that fill them up.

    Raises DocumentError for numbers that are no code points.
    """
    if points.size and int(points.max()) > 0x10FFFF:
        raise DocumentError(f"{path}: holds {int(points.max()):#x}, which is no character")
    return ["".join(map(chr, word)).rstrip("\0") for word in points.reshape(-1, width).tolist()]


def _width_v2(dtype: JSON) -> tuple[int, str] | None:
    found = re.fullmatch(r"([<>])U(\d{1,9})", dtype) if isinstance(dtype, str) else None
    return (int(found[2]), f"{found[1]}u4") if found is not None else None


def _width_v3(dtype: JSON) -> tuple[int, str] | None:
    if not isinstance(dtype, Mapping) or dtype.get("name") != "fixed_length_utf32":
        return None
    held = dtype.get("configuration")
    length = held.get("length_bytes") if isinstance(held, Mapping) else None
    return (length // 4, "uint32") if isinstance(length, int) and not isinstance(length, bool) and length % 4 == 0 else None


def _times(held: Mapping[str, JSON], key: str, width: int) -> list[JSON]:
    sizes = held.get(key)
    if not isinstance(sizes, (list, tuple)) or len(sizes) != 1 or not isinstance(sizes[0], int) or not 0 <= sizes[0] <= MAX_VALUES:
        raise DocumentError(f"{key} is {sizes!r}; expected one whole number, of words along an axis")
    return [sizes[0] * width]
