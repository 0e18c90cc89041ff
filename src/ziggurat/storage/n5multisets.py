"""Label multisets of Paintera, read as one label per voxel: the one that has the most of it.

A block of varying length holds, after decompression: `A` i32 and `A` x i64 of labels that somebody computed (0 in new files), `n` x i32 offsets of
one list per voxel, all big-endian; then the lists, little-endian: i32 count of entries, each `id` i64 and `count` i32. Voxels share lists.
Source: saalfeldlab/imglib2-label-multisets; formats.md 4.5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ziggurat.chunkio import AnyArray, ByteStore
from ziggurat.chunkio.facts import check_chunk_bytes
from ziggurat.model import JSON
from ziggurat.problems import StorageError
from ziggurat.storage.n5 import N5Array

_ENTRY_BYTES = 12
_UINT64 = np.dtype("uint64")


class N5Multisets:
    """A dataset of label multisets as a `ChunkReader` of 64-bit labels. Thread-safe. Pickles as store, path and document."""

    def __init__(self, store: ByteStore, path: str, document: Mapping[str, JSON]) -> None:
        self._made_of = (store, path, dict(document))
        self._array = N5Array(store, path, document)
        check_chunk_bytes(self._array.chunks, _UINT64.itemsize)

    def __reduce__(self) -> tuple[object, ...]:
        return N5Multisets, self._made_of

    def __repr__(self) -> str:
        return f"<N5Multisets over {self._array!r}>"

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return _UINT64

    @property
    def chunks(self) -> tuple[int, ...]:
        return self._array.chunks

    def key(self, index: tuple[int, ...]) -> str:
        """Returns the store's key of block `index`."""
        return self._array.key(index)

    def read(self, index: tuple[int, ...], out: AnyArray) -> bool:
        """Decodes block `index` into labels; background (0) where it is not stored, or where a voxel has no entries. Raises StorageError."""
        block = self._array.block(index)
        out[...] = 0
        if block is None:
            return False
        try:
            labels = most_of(self._array.samples(index, block).tobytes(), math.prod(block.shape))
        except ValueError as error:
            raise StorageError(f"{self._array.key(index)}: block {index} is no list of label multisets: {error}") from error
        out[tuple(slice(0, n) for n in block.shape)] = labels.reshape(block.shape)
        return True


def most_of(data: bytes, n_voxels: int) -> NDArray[np.uint64]:
    """Returns the label with the largest count per voxel, the first of equals.

    Raises ValueError for data that is cut off, and for lists that are not where the offsets say or overlap.
    """
    if len(data) < 4:
        raise ValueError(f"{len(data)} bytes are too few")
    n_stated = int.from_bytes(data[:4], "big", signed=True)
    at = 4 + 8 * n_stated
    if n_stated < 0 or at + 4 * n_voxels > len(data):
        raise ValueError(f"states {n_stated} computed labels before the offsets of {n_voxels} voxels, in {len(data)} bytes")
    offsets = np.frombuffer(data, ">i4", n_voxels, at).astype(np.int64)
    lists = np.frombuffer(data, np.uint8, offset=at + 4 * n_voxels)
    starts, inverse = np.unique(offsets, return_inverse=True)
    if starts.size and (starts[0] < 0 or starts[-1] + 4 > lists.size):
        raise ValueError(f"an offset lies outside of the {lists.size} bytes of lists")
    counts = _words(lists, starts, "<i4").astype(np.int64)
    if (counts < 0).any() or 4 * starts.size + _ENTRY_BYTES * int(counts.sum()) > lists.size or (starts + 4 + _ENTRY_BYTES * counts > lists.size).any():
        raise ValueError(f"the lists are longer than their {lists.size} bytes")
    labels = np.zeros(starts.size, np.uint64)
    for count in np.unique(counts[counts > 0]):
        same = np.flatnonzero(counts == count)
        entries = (starts[same] + 4)[:, None] + _ENTRY_BYTES * np.arange(count)
        most = np.argmax(_words(lists, entries + 8, "<i4"), axis=1)
        labels[same] = _words(lists, entries[np.arange(same.size), most], "<u8")
    return labels[inverse.reshape(-1)]


def _words(data: NDArray[np.uint8], places: NDArray[np.int64], dtype: str) -> NDArray[np.generic]:
    """Returns the numbers that begin at byte positions, which need not be aligned."""
    width = np.dtype(dtype).itemsize
    return np.ascontiguousarray(data[places[..., None] + np.arange(width)]).view(dtype)[..., 0]
