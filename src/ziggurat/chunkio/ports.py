"""The fast path: bytes of chunks from and to stores, without a Zarr library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

Buffer = bytes | bytearray | memoryview
AnyArray = NDArray[np.generic]


class ByteStore(Protocol):
    """The thinnest store: three functions. Keys are `/`-joined, relative, never starting with `/`. Thread-safe."""

    def get(self, key: str, range: tuple[int, int] | None = None) -> Buffer | None:
        """Returns the value (or the `(start, length)` part of it), None only when the key does not exist. Raises StorageError."""
        ...

    def put(self, key: str, parts: Sequence[Buffer]) -> None:
        """Stores the joined parts, atomically for one key. Raises StorageError."""
        ...

    def size(self, key: str) -> int | None:
        """Returns the size in bytes, None when the key does not exist."""
        ...


class TargetStore(ByteStore, Protocol):
    """A byte store that a build can keep its journal in: what is asked beyond the three functions is asked below `.ziggurat/` only."""

    def put_new(self, key: str, parts: Sequence[Buffer]) -> bool:
        """Stores like `put`, unless the key exists; returns whether it did. One of two that ask at once gets it. Raises StorageError."""
        ...

    def delete(self, key: str) -> bool:
        """Removes a value; False where the store could tell that there was none. Raises StorageError."""
        ...

    def keys(self, path: str) -> list[str]:
        """Returns the keys of all values below `path`, whole, in order. Raises StorageError."""
        ...


def as_target(store: ByteStore) -> TargetStore | None:
    """Returns a store as one that can hold a journal; None where it cannot list, delete, or put what is not there yet."""
    able = all(callable(getattr(store, name, None)) for name in ("put_new", "delete", "keys"))
    return cast(TargetStore, store) if able and getattr(store, "is_target", True) else None


class ChunkReader(Protocol):
    """An array that is read chunk by chunk: chunkio's own, zarr-python's, or any source's."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Native byte order."""
        ...

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of the unit of decoding (inner chunk of a shard)."""
        ...

    def read(self, index: tuple[int, ...], out: AnyArray) -> bool:
        """Decodes chunk `index` of the regular grid into `out`, C-contiguous, native, of shape `chunks`.

        What lies beyond the array's end is unspecified. Returns False, with `out` filled with the fill value, where the
        chunk is not stored. Thread-safe. Raises StorageError naming key and reason; a failed read is never "missing".
        """
        ...


class ChunkWriter(Protocol):
    """An array that is written chunk by chunk, each chunk once."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[np.generic]: ...
    @property
    def chunks(self) -> tuple[int, ...]: ...
    @property
    def shards(self) -> tuple[int, ...] | None: ...

    def write(self, index: tuple[int, ...], block: AnyArray) -> int:
        """Encodes and stores one inner chunk (`block`: C-contiguous, shape `chunks`, padded with the fill value).

        An all-fill chunk is not stored unless the writer was opened to. With shards, keeps the encoded part and writes the
        shard, in index order, when its last chunk arrived. Returns the encoded bytes. Thread-safe.
        """
        ...
