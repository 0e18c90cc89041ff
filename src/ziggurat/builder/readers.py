"""Readers over readers: samples in another dtype, axes in another order, stored bytes kept on the way."""

from __future__ import annotations

import threading
from typing import Protocol, runtime_checkable

import numpy as np

from ziggurat.chunkio import AnyArray, Buffer, ChunkReader


@runtime_checkable
class EncodedReader(ChunkReader, Protocol):
    """A reader that also hands out the stored bytes."""

    @property
    def fill(self) -> np.generic: ...
    def read_encoded(self, index: tuple[int, ...]) -> Buffer | None: ...
    def decode(self, index: tuple[int, ...], data: Buffer, out: AnyArray) -> None: ...


@runtime_checkable
class EncodedWriter(Protocol):
    """A writer that takes bytes that are encoded already."""

    def put_encoded(self, index: tuple[int, ...], data: Buffer | None) -> int: ...


class Copier:
    """Reads a chunk's bytes once: stores them in the copy as they are, and decodes them for the levels."""

    def __init__(self, reader: EncodedReader, writer: EncodedWriter) -> None:
        self._reader, self._writer = reader, writer

    def read(self, index: tuple[int, ...], out: AnyArray) -> int:
        """Copies and decodes one chunk; `out` holds the fill value where it is not stored. Returns the number of bytes copied."""
        data = self._reader.read_encoded(index)
        if data is None:
            self._writer.put_encoded(index, None)
            out[...] = self._reader.fill
            return 0
        n = self._writer.put_encoded(index, data)
        self._reader.decode(index, data, out)
        return n


class _Wrapped:
    """What both readers below share: one chunk of the inner reader, decoded into a buffer of the thread."""

    def __init__(self, inner: ChunkReader) -> None:
        self._inner = inner
        self._local = threading.local()

    def _chunk(self) -> AnyArray:
        found: AnyArray | None = getattr(self._local, "chunk", None)
        if found is None:
            found = self._local.chunk = np.empty(self._inner.chunks, self._inner.dtype)
        return found

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if k != "_local"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _local=threading.local())


class CastReader(_Wrapped):
    """The same chunks in another dtype."""

    def __init__(self, inner: ChunkReader, dtype: np.dtype[np.generic]) -> None:
        super().__init__(inner)
        self._dtype = dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._inner.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        return self._inner.chunks

    def read(self, index: tuple[int, ...], out: AnyArray) -> bool:
        """Reads like the inner reader, then converts."""
        chunk = self._chunk()
        stored = self._inner.read(index, chunk)
        with np.errstate(over="ignore", invalid="ignore"):  # what lies beyond the array's end is anything
            out[...] = chunk
        return stored


class TransposedReader(_Wrapped):
    """The same samples with the axes in another order; axis `i` is axis `order[i]` of the inner reader."""

    def __init__(self, inner: ChunkReader, order: tuple[int, ...]) -> None:
        super().__init__(inner)
        self._order = order

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._inner.shape[i] for i in self._order)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._inner.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        return tuple(self._inner.chunks[i] for i in self._order)

    def read(self, index: tuple[int, ...], out: AnyArray) -> bool:
        """Reads the inner chunk and copies it in the new order."""
        inner = [0] * len(index)
        for i, x in zip(self._order, index, strict=True):
            inner[i] = x
        chunk = self._chunk()
        stored = self._inner.read(tuple(inner), chunk)
        out[...] = chunk.transpose(self._order)
        return stored
