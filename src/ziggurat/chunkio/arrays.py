"""`ChunkArray`: one array read and written chunk by chunk, plain or sharded, over any byte store."""

from __future__ import annotations

import functools
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ziggurat.chunkio.codecs import decoder, encoder, with_crc32c, without_crc32c
from ziggurat.chunkio.facts import ArrayFacts, array_facts, chunk_key, why_not
from ziggurat.chunkio.ports import AnyArray, Buffer, ByteStore
from ziggurat.chunkio.spec import ArraySpec, array_documents
from ziggurat.chunkio.stores import FileStore, checked_path
from ziggurat.model import JSON
from ziggurat.node import dumps
from ziggurat.problems import StorageError, UnsupportedError

_MISSING = 2**64 - 1  # offset and length of a chunk that is not in its shard; Zarr v3 sharding_indexed 1.0
_INDEX_CACHE_BYTES = 8 << 20  # 1024 shards of 512 chunks, the common 512^3 of 64^3
_EMPTY_SLAB = 1 << 15  # samples compared at once when asking whether a block is all fill: stays in the first-level cache

Index = tuple[int, ...]


class ChunkArray:
    """An array on the fast path: a `ChunkReader` and a `ChunkWriter`.

    Reading costs one `get` for a plain chunk; for a chunk in a shard one `get` of its range, and once per shard a `size` (when
    the index lies at the end) and a `get` of the index. Thread-safe. Pickles as store, path and document; open shards stay behind.
    """

    def __init__(self, store: ByteStore, path: str, document: Mapping[str, JSON], *, zarr_format: int, write_empty: bool = False) -> None:
        reason = why_not(document, zarr_format)
        if reason is not None:
            raise UnsupportedError(f"{path or '.'}: {reason} is not for the fast path; open it with storage.open_array")
        self._store = store
        self._path = checked_path(path)
        self._prefix = f"{self._path}/" if self._path else ""
        self._document = dict(document)  # a plain one pickles
        self._zarr_format = zarr_format
        self._facts = facts = array_facts(document, zarr_format)
        self._write_empty = write_empty or facts.fill_is_null  # what is not stored is undefined then
        self._encode, self._decode = encoder(facts), decoder(facts)
        self._swap = facts.big_endian
        self._get = bounded_get(store, stored_limit(facts.chunk_bytes))
        self._chunk_bytes = facts.chunk_bytes
        self._is_fill = fill_test(facts.fill)
        self._key_start = self._prefix + (facts.key_prefix + facts.separator if facts.key_prefix else "")
        self._shards = None if facts.shards is None else _Shards(store, self._prefix, facts)

    @classmethod
    def open(cls, store: ByteStore, path: str, document: Mapping[str, JSON], *, zarr_format: int, write_empty: bool = False) -> ChunkArray:
        """Returns the array at `path` whose own document (`zarr.json` or `.zarray`) is given; touches no store.

        Raises
        ------
        UnsupportedError
            When `why_not` says that the array is not for the fast path.
        LimitError
            When one chunk would be larger than any honest one.
        """
        return cls(store, path, document, zarr_format=zarr_format, write_empty=write_empty)

    @classmethod
    def create(cls, store: ByteStore, path: str, spec: ArraySpec, *, write_empty: bool = False) -> ChunkArray:
        """Writes an array's documents and returns it for writing; nothing that is there is removed."""
        documents = array_documents(spec)
        name = ".zarray" if spec.zarr_format == 2 else "zarr.json"
        main = documents[name]
        if not isinstance(main, Mapping):  # array_documents makes objects only
            raise UnsupportedError(f"{path or '.'}: document {name} is no object")
        array = cls(store, path, main, zarr_format=spec.zarr_format, write_empty=write_empty)
        for key in sorted(documents):  # .zarray before .zattrs
            store.put(array._prefix + key, [dumps(documents[key], array._prefix + key)])
        return array

    def __reduce__(self) -> tuple[object, ...]:
        return _chunk_array, (self._store, self._path, self._document, self._zarr_format, self._write_empty)

    def __repr__(self) -> str:
        facts = self._facts
        return f"<ChunkArray {self._path or '.'} {facts.shape} {facts.dtype.name} chunks {facts.chunks} {facts.codec}>"

    @property
    def shape(self) -> tuple[int, ...]:
        return self._facts.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._facts.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        return self._facts.chunks

    @property
    def shards(self) -> tuple[int, ...] | None:
        return self._facts.shards

    @property
    def facts(self) -> ArrayFacts:
        return self._facts

    @property
    def fill(self) -> np.generic:
        """The fill value, native; zero where the document says null."""
        return self._facts.fill

    @property
    def store(self) -> ByteStore:
        return self._store

    @property
    def path(self) -> str:
        return self._path

    # --- reading

    def key(self, index: Index) -> str:
        """Returns the store's key of the object that holds chunk `index`: the chunk itself, or its shard."""
        if self._shards is not None:
            return self._prefix + chunk_key(self._facts, self._shards.of(index)[0])
        if not index:
            return self._prefix + chunk_key(self._facts, index)
        return self._key_start + self._facts.separator.join(map(str, index))

    def read(self, index: Index, out: AnyArray) -> bool:
        """Decodes chunk `index` into `out`; see `ChunkReader.read`.

        Raises
        ------
        StorageError
            When the store fails, or the stored bytes are cut off, corrupt, or decode to another size than the chunk's.
        """
        data = self.read_encoded(index)
        if data is None:
            out[...] = self._facts.fill
            return False
        self.decode(index, data, out)
        return True

    def read_encoded(self, index: Index) -> Buffer | None:
        """Returns the stored bytes of one chunk (an inner chunk of a shard), None where it is not stored."""
        if self._shards is not None:
            return self._shards.read(index)
        return self._get(self.key(index))

    def decode(self, index: Index, data: Buffer, out: AnyArray) -> None:
        """Decodes stored bytes of chunk `index` into `out`, as `read` does."""
        if not out.flags.c_contiguous or out.nbytes != self._chunk_bytes:
            raise StorageError(f"{self.key(index)}: the block to read into is {out.shape} {out.dtype}; expected {self.chunks} {self.dtype}, C-contiguous")
        try:
            self._decode(data, out.reshape(-1).view(np.uint8))
        except (ValueError, RuntimeError) as error:  # imagecodecs' errors are RuntimeErrors
            raise StorageError(f"{self._where(index)}: chunk {index} cannot be decoded: {error}") from error
        if self._swap:
            out.byteswap(inplace=True)

    # --- writing

    @property
    def open_shards(self) -> int:
        """Number of shards of which some chunks have been written and others not yet."""
        return 0 if self._shards is None else self._shards.n_open

    @property
    def held_bytes(self) -> int:
        """Encoded bytes of the chunks of open shards."""
        return 0 if self._shards is None else self._shards.held_bytes

    @property
    def held_peak_bytes(self) -> int:
        """The largest `held_bytes` so far."""
        return 0 if self._shards is None else self._shards.held_peak_bytes

    def write(self, index: Index, block: AnyArray) -> int:
        """Encodes and stores chunk `index`; see `ChunkWriter.write`. The bytes are the same for any number of threads.

        Raises
        ------
        StorageError
            When the store or the codec fails, when `block` has another shape or dtype, or when a chunk of a shard comes twice.
        """
        if block.shape != self._facts.chunks or block.dtype != self._facts.dtype or not block.flags.c_contiguous:
            raise StorageError(f"{self.key(index)}: block is {block.shape} {block.dtype}; expected {self.chunks} {self.dtype}, C-contiguous")
        if not self._write_empty and self._is_fill(block):
            return self.put_encoded(index, None)
        try:
            data = self._encode(block)
        except (ValueError, RuntimeError) as error:
            raise StorageError(f"{self._where(index)}: chunk {index} cannot be encoded: {error}") from error
        return self.put_encoded(index, data)

    def put_encoded(self, index: Index, data: Buffer | None) -> int:
        """Stores bytes that are encoded already (see `same_encoding`); None says that the chunk is not stored. Returns their number.

        Where the document has no fill value, a chunk that is not stored holds nothing that is defined: zeros are stored then.
        """
        if data is None and self._facts.fill_is_null:
            data = self._encode(np.full(self._facts.chunks, self._facts.fill, self._facts.dtype))
        if self._shards is not None:
            self._shards.write(index, data)
        elif data is not None:
            self._store.put(self.key(index), [data])
        return 0 if data is None else len(data)

    def _where(self, index: Index) -> str:
        key = self.key(index)
        return str(self._store.root / key) if isinstance(self._store, FileStore) else key


def _chunk_array(store: ByteStore, path: str, document: Mapping[str, JSON], zarr_format: int, write_empty: bool) -> ChunkArray:
    return ChunkArray(store, path, document, zarr_format=zarr_format, write_empty=write_empty)


def same_encoding(reader: ChunkArray, writer: ChunkArray) -> bool:
    """Returns whether the stored chunks of one array may stand in the other as they are.

    True when shape, chunks, dtype, byte order, fill value and codec are equal; compression levels, shards, keys and the format
    may differ.
    """
    return _encoding(reader.facts) == _encoding(writer.facts)


def _encoding(facts: ArrayFacts) -> tuple[object, ...]:
    codec = replace(facts.codec, level=0, cname="", shuffle="noshuffle", blocksize=0, typesize=None, checksum=False)  # what a decoder need not know
    return facts.shape, facts.chunks, facts.dtype, facts.big_endian, facts.fill.tobytes(), codec


def stored_limit(n_bytes: int) -> int:
    """Returns the bytes that no honest encoding of `n_bytes` exceeds: every codec adds less than a tenth to what it cannot shrink."""
    return 2 * n_bytes + (1 << 16)


def bounded_get(store: ByteStore, limit: int) -> Callable[[str], Buffer | None]:
    """Returns the store's `get`; from files it takes no more than `limit` bytes. Source: reliability.md S6."""
    return functools.partial(store.get, max_bytes=limit) if isinstance(store, FileStore) else store.get


def fill_test(fill: np.generic) -> Callable[[AnyArray], bool]:
    """Returns the function that tells whether a C-contiguous block is the fill value throughout, bit for bit."""
    word = np.dtype(f"u{min(fill.dtype.itemsize, 8)}")
    n_words = fill.dtype.itemsize // word.itemsize  # 2 for complex128
    bits = np.frombuffer(fill.tobytes(), word)
    first = bits[0]

    def is_fill(block: AnyArray) -> bool:
        flat = block.reshape(-1).view(word)
        if flat.size and flat[0] != first:
            return False
        for i in range(0, flat.size, _EMPTY_SLAB):
            part = flat[i : i + _EMPTY_SLAB]
            if n_words == 1:
                if (part != first).any():
                    return False
            elif (part.reshape(-1, n_words) != bits).any():
                return False
        return True

    return is_fill


class _OpenShard:
    __slots__ = ("n_expected", "parts")

    def __init__(self, n_expected: int) -> None:
        self.n_expected = n_expected
        self.parts: dict[int, Buffer | None] = {}


class _Shards:
    """The shards of one array: their indices as far as they were read, and the parts of those being written."""

    def __init__(self, store: ByteStore, prefix: str, facts: ArrayFacts) -> None:
        if facts.shards is None:
            raise UnsupportedError("an array without shards")
        self._store, self._prefix, self._facts = store, prefix, facts
        self._per = tuple(s // c for s, c in zip(facts.shards, facts.chunks, strict=True))
        self._grid = tuple(-(-n // c) for n, c in zip(facts.shape, facts.chunks, strict=True))
        self._n_per = math.prod(self._per)
        self._index_bytes = 16 * self._n_per + (4 if facts.index_crc32c else 0)
        self._index_type = np.dtype(">u8" if facts.index_big_endian else "<u8")
        self._n_cached = max(1, _INDEX_CACHE_BYTES // self._index_bytes)
        self._cache: OrderedDict[Index, memoryview | None] = OrderedDict()
        self._open: dict[Index, _OpenShard] = {}
        self._lock = threading.Lock()
        self.held_bytes = 0
        self.held_peak_bytes = 0

    @property
    def n_open(self) -> int:
        return len(self._open)

    def of(self, index: Index) -> tuple[Index, int]:
        """Returns the shard that holds chunk `index`, and the chunk's number there in C order."""
        shard = tuple(i // p for i, p in zip(index, self._per, strict=True))
        number = 0
        for i, p in zip(index, self._per, strict=True):
            number = number * p + i % p
        return shard, number

    # --- reading

    def read(self, index: Index) -> Buffer | None:
        shard, number = self.of(index)
        entries = self._entries(shard)
        if entries is None:
            return None
        start, n_bytes = entries[2 * number], entries[2 * number + 1]
        if start == _MISSING and n_bytes == _MISSING:
            return None
        key = self._prefix + chunk_key(self._facts, shard)
        data = self._store.get(key, (start, n_bytes)) if n_bytes else b""
        if data is None or len(data) != n_bytes:
            found = "nothing" if data is None else f"{len(data)} bytes"
            raise StorageError(f"{key}: chunk {index} should be {n_bytes} bytes from {start} in the shard, found {found}")
        return data

    def _entries(self, shard: Index) -> memoryview | None:
        """Returns the index of a shard, two integers a chunk, None when there is no such shard."""
        with self._lock:
            if shard in self._cache:
                self._cache.move_to_end(shard)
                return self._cache[shard]
        entries = self._read_index(shard)
        with self._lock:
            self._cache[shard] = entries
            while len(self._cache) > self._n_cached:
                self._cache.popitem(last=False)
        return entries

    def _read_index(self, shard: Index) -> memoryview | None:
        key = self._prefix + chunk_key(self._facts, shard)
        start = 0
        if not self._facts.index_at_start:
            size = self._store.size(key)
            if size is None:
                return None
            start = size - self._index_bytes
            if start < 0:
                raise StorageError(f"{key}: shard of {size} bytes; its index alone has {self._index_bytes}")
        data = self._store.get(key, (start, self._index_bytes))
        if data is None:
            return None
        if len(data) != self._index_bytes:
            raise StorageError(f"{key}: shard index of {len(data)} bytes; expected {self._index_bytes}")
        if self._facts.index_crc32c:
            try:
                data = without_crc32c(data)
            except ValueError as error:
                raise StorageError(f"{key}: shard index: {error}") from error
        native = np.frombuffer(data, self._index_type).astype(np.uint64)  # native, and a copy of its own
        self._check_index(key, native.reshape(-1, 2), None if self._facts.index_at_start else start)
        return memoryview(native.tobytes()).cast("Q")

    def _check_index(self, key: str, entries: AnyArray, end: int | None) -> None:
        """Raises StorageError when a chunk is said to be larger than any encoding of it, or to lie outside the shard."""
        starts, lengths = entries[(entries != _MISSING).any(axis=1)].T
        limit = stored_limit(self._facts.chunk_bytes)
        outside = lengths > limit
        if end is not None:
            outside |= (starts > end) | (lengths > end - np.minimum(starts, np.uint64(end)))
        if outside.any():
            start, n_bytes = starts[outside][0], lengths[outside][0]
            place = f"{end} bytes of chunks" if end is not None else f"chunks of at most {limit} bytes"
            raise StorageError(f"{key}: shard index points to {n_bytes} bytes from {start}, and the shard has {place}")

    # --- writing

    def write(self, index: Index, data: Buffer | None) -> None:
        shard, number = self.of(index)
        with self._lock:
            entry = self._open.get(shard)
            if entry is None:
                n_expected = math.prod(min(p, g - p * s) for p, g, s in zip(self._per, self._grid, shard, strict=True))
                entry = self._open[shard] = _OpenShard(n_expected)
            if number in entry.parts:
                raise StorageError(f"{self._prefix}{chunk_key(self._facts, shard)}: chunk {index} is written twice")
            entry.parts[number] = data
            self.held_bytes += 0 if data is None else len(data)
            self.held_peak_bytes = max(self.held_peak_bytes, self.held_bytes)
            if len(entry.parts) < entry.n_expected:
                return
            del self._open[shard]
            self._cache.pop(shard, None)
        try:
            self._close(shard, entry)
        finally:
            with self._lock:
                self.held_bytes -= sum(len(part) for part in entry.parts.values() if part is not None)

    def _close(self, shard: Index, entry: _OpenShard) -> None:
        """Writes a complete shard, its chunks in C order; a shard of nothing but fill is not stored."""
        entries = np.full((self._n_per, 2), _MISSING, self._index_type)
        at = self._index_bytes if self._facts.index_at_start else 0
        parts: list[Buffer] = []
        for number in sorted(entry.parts):
            part = entry.parts[number]
            if part is not None:
                entries[number] = at, len(part)
                at += len(part)
                parts.append(part)
        if not parts:
            return
        index = entries.tobytes()
        if self._facts.index_crc32c:
            index = with_crc32c(index)
        self._store.put(self._prefix + chunk_key(self._facts, shard), [index, *parts] if self._facts.index_at_start else [*parts, index])
