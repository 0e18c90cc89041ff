"""Decoded chunks, kept while there is room, each decoded once however many ask for it at the same time."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ziggurat.chunkio import ChunkReader, read_region
from ziggurat.problems import LimitError
from ziggurat.pyramid import LazyArray

AnyArray = NDArray[Any]
MAX_CHUNK_BYTES = 2**29
"""A chunk larger than this is not decoded for a viewer."""


class ChunkCache:
    """Least recently used values by key, up to a number of bytes. Thread-safe; who asks for what is being made waits for it."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self.n_made = 0
        """Values that were made, for tests and for the log."""
        self._kept: OrderedDict[object, tuple[AnyArray, bool]] = OrderedDict()
        self._made: dict[object, Future[tuple[AnyArray, bool]]] = {}
        self._lock = threading.Lock()

    def get(self, key: object, make: Callable[[], tuple[AnyArray, bool]]) -> tuple[AnyArray, bool]:
        """Returns the value of a key, made when it is not kept. What `make` raises is raised to all who wait for it, and not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            waiting = self._made.get(key)
            if waiting is None:
                future: Future[tuple[AnyArray, bool]] = Future()
                self._made[key] = future
        if waiting is not None:
            return waiting.result()
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                del self._made[key]
            future.set_exception(error)
            raise
        with self._lock:
            del self._made[key]
            self.n_made += 1
            self._kept[key] = value
            self.n_bytes += value[0].nbytes
            while self.n_bytes > self.max_bytes and len(self._kept) > 1:
                _, (dropped, _) = self._kept.popitem(last=False)
                self.n_bytes -= dropped.nbytes
        future.set_result(value)
        return value


class CachedReader:
    """An array that is read through a cache; a `ChunkReader` itself."""

    def __init__(self, array: LazyArray, cache: ChunkCache, key: tuple[object, ...]) -> None:
        self._array = array
        self._cache = cache
        self._key = key
        self._reader: ChunkReader | None = None
        self._lock = threading.Lock()

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._array.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        return self._array.chunks

    def chunk(self, index: tuple[int, ...]) -> tuple[AnyArray, bool]:
        """Returns a decoded chunk, not to be written to, and whether it is stored. Raises StorageError, LimitError."""
        n_bytes = math.prod(self.chunks) * self.dtype.itemsize
        if n_bytes > MAX_CHUNK_BYTES:
            raise LimitError(f"{self._array!r}: a chunk of {n_bytes} bytes; a viewer reads chunks of at most {MAX_CHUNK_BYTES} bytes; rechunk it")

        def make() -> tuple[AnyArray, bool]:
            out = np.empty(self.chunks, self.dtype)
            is_stored = self._opened().read(index, out)
            out.setflags(write=False)
            return out, is_stored

        return self._cache.get((*self._key, index), make)

    def read(self, index: tuple[int, ...], out: AnyArray) -> bool:
        """Copies a chunk into `out`; see `ChunkReader.read`."""
        block, is_stored = self.chunk(index)
        out[...] = block
        return is_stored

    def region(self, region: tuple[slice, ...]) -> AnyArray:
        """Returns the samples of a region. Raises StorageError naming the chunk that cannot be read."""
        return read_region(self, region)

    def _opened(self) -> ChunkReader:
        with self._lock:
            if self._reader is None:
                self._reader = self._array.reader()
            return self._reader
