"""Any region of any reader, and the arithmetic of one chunk: where it lies, and how it is padded."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from ziggurat.chunkio.ports import AnyArray, ChunkReader
from ziggurat.problems import OptionError


def chunk_indices(shape: Sequence[int], chunks: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Returns the indices of all chunks of a regular grid in C order.

    >>> list(chunk_indices((3, 2), (2, 2)))
    [(0, 0), (1, 0)]
    """
    return itertools.product(*(range(-(-n // c)) for n, c in zip(shape, chunks, strict=True)))


def chunk_region(index: Sequence[int], chunks: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """Returns the part of the array that a chunk holds, clipped to the array.

    >>> chunk_region((1, 0), (2, 2), (3, 2))
    (slice(2, 3, None), slice(0, 2, None))
    """
    return tuple(slice(i * c, min(i * c + c, n)) for i, c, n in zip(index, chunks, shape, strict=True))


def padded(block: AnyArray, chunks: tuple[int, ...], fill: np.generic) -> AnyArray:
    """Returns `block` as a whole chunk: itself when it is one, else a copy with the fill value behind its ends, C-contiguous."""
    if block.shape == chunks:
        return np.asarray(block, order="C")
    whole = np.full(chunks, fill, block.dtype)
    whole[tuple(slice(0, n) for n in block.shape)] = block
    return whole


def read_region(reader: ChunkReader, region: Sequence[slice], out: AnyArray | None = None) -> AnyArray:
    """Returns the samples of `region` (half-open slices with positive steps, one per axis), native byte order.

    Each chunk that holds a wanted sample is decoded once; beside the result one chunk is held.

    Raises
    ------
    OptionError
        When the region has another number of axes, a step below 1, or `out` another shape.
    StorageError
        When a chunk cannot be read.
    """
    shape, chunks = reader.shape, reader.chunks
    if len(region) != len(shape):
        raise OptionError(f"region of {len(region)} slices: expected {len(shape)}, one per axis of shape {shape!r}")
    wanted = [range(*s.indices(n)) for s, n in zip(region, shape, strict=True)]
    if any(axis.step < 1 for axis in wanted):
        raise OptionError(f"region {tuple(region)!r}: expected positive steps")
    n_wanted = tuple(len(axis) for axis in wanted)
    if out is None:
        out = np.empty(n_wanted, reader.dtype)
    elif out.shape != n_wanted:
        raise OptionError(f"out of shape {out.shape!r}: expected {n_wanted!r}, the region's")
    scratch: AnyArray | None = None
    for pieces in itertools.product(*(list(_pieces(axis, c)) for axis, c in zip(wanted, chunks, strict=True))):
        index = tuple(piece[0] for piece in pieces)
        place = out[tuple(piece[2] for piece in pieces)] if pieces else out
        if place.shape == chunks and place.flags.c_contiguous and place.dtype == reader.dtype:  # one whole chunk, and nothing between
            reader.read(index, place)
            continue
        if scratch is None:
            scratch = np.empty(chunks, reader.dtype)
        reader.read(index, scratch)
        place[...] = scratch[tuple(piece[1] for piece in pieces)]
    return out


def _pieces(axis: range, chunk: int) -> Iterator[tuple[int, slice, slice]]:
    """Returns per chunk along one axis: its index, the wanted samples inside it, their place in the result."""
    at = 0
    while at < len(axis):
        first = axis[at]
        index = first // chunk
        n = min(len(axis) - at, math.ceil((chunk * (index + 1) - first) / axis.step))
        start = first - index * chunk
        yield index, slice(start, start + (n - 1) * axis.step + 1, axis.step), slice(at, at + n)
        at += n
