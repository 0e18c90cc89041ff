"""`ZarrArray`: the reader and writer of record, zarr-python's, for arrays that the fast path leaves."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import numpy as np
import zarr

from ziggurat.chunkio import AnyArray, ByteStore, chunk_region
from ziggurat.chunkio.facts import check_chunk_bytes
from ziggurat.model import JSON
from ziggurat.problems import DocumentError, StorageError, UnsupportedError
from ziggurat.storage.zarr_stores import ByteStoreAsZarr

Index = tuple[int, ...]
T = TypeVar("T")

_QUIET = threading.Lock()
"""`warnings.catch_warnings` changes the whole process, so one array is opened at a time."""

_FAILURES = (ValueError, TypeError, RuntimeError, KeyError, IndexError, AttributeError, OSError, EOFError, NotImplementedError, OverflowError)
"""What zarr-python and the codecs below it raise for a document or bytes they cannot use."""


def _opened(store: ByteStore, path: str, zarr_format: int, *, writable: bool = False, write_empty: bool = False) -> zarr.Array[Any]:
    """Returns zarr-python's array. Raises StorageError, UnsupportedError or DocumentError."""
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            opened = zarr.open_array(
                ByteStoreAsZarr(store, read_only=not writable), path=path, zarr_format=cast(Any, zarr_format), mode="r+" if writable else "r"
            )
            return opened.with_config({"write_empty_chunks": True}) if write_empty else opened
        except StorageError:
            raise
        except FileNotFoundError as error:
            raise StorageError(f"{store!r}/{path}: the array's document is gone") from error
        except ImportError as error:
            raise UnsupportedError(f"{path or '.'}: a codec of the array is not installed: {error}") from error
        except _FAILURES as error:
            raise DocumentError(f"{path or '.'}: zarr-python refuses the array's document: {_first_line(error)}") from error


def read_words(store: ByteStore, path: str, zarr_format: int) -> list[str]:
    """Returns all values of a one-dimensional array of words of any length. Raises as `ZarrArray` does; UnsupportedError for others."""
    array = _opened(store, path.strip("/"), zarr_format)
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = np.asarray(array[...]).tolist()
        except StorageError:
            raise
        except _FAILURES as error:  # a codec that is no list of words among them
            raise StorageError(f"{path or '.'}: its words cannot be read: {_first_line(error)}") from error
    if array.ndim != 1 or not all(isinstance(word, str) for word in found):
        raise UnsupportedError(f"{path or '.'}: dtype {array.dtype} is not supported; expected words along one axis")
    return list(found)


class ZarrArray:
    """An array read and written through zarr-python, one chunk a call: 1 ms each, but every codec, order and dtype it knows.

    A `ChunkReader`, and with `writable` a `ChunkWriter`. With shards a writer holds decoded chunks until their shard is whole.
    Pickles as store, path and document.
    """

    def __init__(
        self, store: ByteStore, path: str, document: Mapping[str, JSON], *, zarr_format: int, writable: bool = False, write_empty: bool = False
    ) -> None:
        self._made_of = (store, path, dict(document), zarr_format, writable, write_empty)
        self._store = store
        self._path = path.strip("/")
        write_empty = write_empty or document.get("fill_value") is None  # what is not stored is undefined then
        self._array = _opened(store, self._path, zarr_format, writable=writable, write_empty=write_empty)
        dtype = np.dtype(self._array.dtype)
        if dtype.hasobject or dtype.kind not in "biufcmM":
            raise UnsupportedError(f"{self._path or '.'}: dtype {dtype} is not supported; expected numbers or times of a fixed size")
        self._dtype = dtype.newbyteorder("=")
        self._chunks: tuple[int, ...] = tuple(self._array.chunks)
        self._shards: tuple[int, ...] | None = None if self._array.shards is None else tuple(self._array.shards)
        check_chunk_bytes(self._chunks, dtype.itemsize)
        self._fill = _fill_of(self._array.fill_value, self._dtype)
        self._write_empty = write_empty
        self._open_blocks: dict[Index, tuple[AnyArray, set[Index]]] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[object, ...]:
        return _zarr_array, self._made_of

    def __repr__(self) -> str:
        return f"<ZarrArray {self._path or '.'} {self.shape} {self._dtype} chunks {self._chunks}>"

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._array.shape)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        return self._chunks

    @property
    def shards(self) -> tuple[int, ...] | None:
        return self._shards

    @property
    def fill(self) -> np.generic:
        """The fill value, native; zero where the document says null."""
        return self._fill

    @property
    def open_shards(self) -> int:
        """Number of shards of which some chunks have been written and others not yet."""
        return len(self._open_blocks)

    @property
    def held_bytes(self) -> int:
        """Decoded bytes held for open shards."""
        with self._lock:
            return sum(block.nbytes for block, _ in self._open_blocks.values())

    def read(self, index: Index, out: AnyArray) -> bool:
        """Decodes chunk `index` into `out`; see `ChunkReader.read`. A missing chunk inside a stored shard counts as stored."""
        region = chunk_region(index, self._chunks, self.shape)
        key = self._key(index)
        block = self._zarr(f"{key}: chunk {index} cannot be decoded", lambda: self._array[region])
        out[tuple(slice(0, s.stop - s.start) for s in region)] = block
        return self._store.size(key) is not None

    def write(self, index: Index, block: AnyArray) -> int:
        """Encodes and stores chunk `index`; see `ChunkWriter.write`."""
        if self._shards is None:
            self._set(chunk_region(index, self._chunks, self.shape), block, index)
            return self._store.size(self._key(index)) or 0
        shard = self._shard_of(index)
        region = chunk_region(shard, self._shards, self.shape)
        with self._lock:
            held, done = self._open_blocks.setdefault(shard, (np.full([s.stop - s.start for s in region], self._fill, self._dtype), set()))
            if index in done:
                raise StorageError(f"{self._key(index)}: chunk {index} is written twice")
            own = chunk_region(index, self._chunks, self.shape)
            place = tuple(slice(o.start - r.start, o.stop - r.start) for o, r in zip(own, region, strict=True))
            held[place] = block[tuple(slice(0, s.stop - s.start) for s in own)]
            done.add(index)
            if len(done) < math.prod(-(-n // c) for n, c in zip(held.shape, self._chunks, strict=True)):
                return 0
            del self._open_blocks[shard]
        self._set(region, held, index)
        return self._store.size(self._key(index)) or 0

    def _set(self, region: tuple[slice, ...], block: AnyArray, index: Index) -> None:
        part = block[tuple(slice(0, s.stop - s.start) for s in region)]
        self._zarr(f"{self._key(index)}: chunk {index} cannot be stored", lambda: self._array.__setitem__(region, part))

    def _zarr(self, what: str, function: Callable[[], T]) -> T:
        try:
            return function()
        except (StorageError, MemoryError):
            raise
        except _FAILURES as error:
            raise StorageError(f"{what}: {_first_line(error)}") from error

    def _shard_of(self, index: Index) -> Index:
        if self._shards is None:
            return index
        return tuple(i * c // s for i, c, s in zip(index, self._chunks, self._shards, strict=True))

    def _key(self, index: Index) -> str:
        key = self._array.metadata.encode_chunk_key(self._shard_of(index))
        return f"{self._path}/{key}" if self._path else str(key)


def _zarr_array(store: ByteStore, path: str, document: Mapping[str, JSON], zarr_format: int, writable: bool, write_empty: bool) -> ZarrArray:
    return ZarrArray(store, path, document, zarr_format=zarr_format, writable=writable, write_empty=write_empty)


def _fill_of(value: object, dtype: np.dtype[np.generic]) -> np.generic:
    scalar = np.zeros((), dtype) if value is None else np.asarray(value).astype(dtype)
    return cast("np.generic", scalar[()])


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
