"""What a layout keeps beside the levels: small arrays with the coordinates of axes, and files. One way to write them for builds and conversions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from ziggurat import storage
from ziggurat.chunkio import ArraySpec, ByteStore
from ziggurat.layouts import SmallArray
from ziggurat.model import JSON
from ziggurat.node import dumps
from ziggurat.problems import UnsupportedError


def small_spec(small: SmallArray, zarr_format: int) -> ArraySpec:
    """Returns how a small array is stored: one chunk. Raises UnsupportedError for words."""
    if any(isinstance(value, str) for value in small.values):
        raise UnsupportedError(f"coordinates {small.dimension!r}: words are not written as an array; take a layout that needs no coordinates")
    n = len(small.values)
    stored: Literal[2, 3] = 2 if zarr_format == 2 else 3
    fill: JSON = "NaN" if np.dtype(small.dtype).kind == "f" else 0
    return ArraySpec(
        (n,), np.dtype(small.dtype), (max(n, 1),), fill_value=fill, dimension_names=(small.dimension,), zarr_format=stored,
        separator="." if stored == 2 else "/", attributes=small.attributes,
    )  # fmt: skip


def write_small_arrays(store: ByteStore, prefix: str, arrays: Mapping[str, SmallArray], zarr_format: int) -> None:
    """Writes small arrays at their paths below `prefix`, which is empty or ends with a slash. Raises StorageError, UnsupportedError."""
    for path, small in arrays.items():
        spec = small_spec(small, zarr_format)
        writer = storage.create_array(store, f"{prefix}{path}", spec, write_empty=True)
        if len(small.values):
            writer.write((0,), np.ascontiguousarray(np.asarray(small.values, spec.dtype)))


def write_files(store: ByteStore, prefix: str, files: Mapping[str, JSON]) -> None:
    """Writes files below `prefix`: a string as it is, everything else as JSON. Raises StorageError."""
    for key, content in files.items():
        store.put(f"{prefix}{key}", [content.encode("utf-8") if isinstance(content, str) else dumps(content, key)])
