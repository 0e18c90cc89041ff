"""Samples from where they are to where a conversion wants them: stored chunks as they are, or decoded and encoded again.

Work is cut into batches that share no stored object of the target, so any number of threads may do them, in any order, twice.
"""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ziggurat import storage
from ziggurat.chunkio import AnyArray, ByteStore, ChunkReader, ChunkWriter, FileStore, chunk_indices, chunk_region, fill_scalar, padded, read_region
from ziggurat.conversion.across import Move
from ziggurat.conversion.arrays import separator_of
from ziggurat.journal import Journal
from ziggurat.model import JSON, ArrayInfo, Level
from ziggurat.node import Container, Node
from ziggurat.problems import PathError, StorageError
from ziggurat.transfer.folder import copy_file

BATCH_BYTES = 2**24
"""16 MiB of samples, decoded: some tenths of a second, so that little is done twice after a kill."""
_CHUNK = re.compile(r"(c[/.])?\d+([/.]\d+)*|c")
Index = tuple[int, ...]


class Opened(Protocol):
    """A source as it was opened: what is known of it, and where its arrays are read from."""

    @property
    def node(self) -> Node: ...

    @property
    def target(self) -> object:
        """What `storage.open_store` takes."""
        ...

    @property
    def prefix(self) -> str:
        """Path of the node below `target`."""
        ...

    def reader(self, level: Level) -> Callable[[], ChunkReader]:
        """Returns what opens the array of a level."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Some stored objects of one array."""

    move: int
    number: int
    run: Callable[[], int]
    """Does it; returns how many objects were stored."""


def batches(opened: Opened, moves: Iterable[Move], target: ByteStore, prefix: str) -> Iterator[Batch]:
    """Yields the work of all moves, lazily. Raises StorageError, PathError."""
    for number, move in enumerate(moves):
        works = _copies(opened, move, target, prefix) if move.how == "verbatim" else _recodes(opened, move, target, prefix) if move.how == "recoded" else ()
        for k, work in enumerate(works):
            yield Batch(number, k, work)


def run(work: Iterable[Batch], n_threads: int, journal: Journal | None) -> int:
    """Does all batches that are not finished; returns how many objects were stored. Raises what the first failing batch raised."""
    todo = (batch for batch in work if journal is None or journal.stash(batch.move, (batch.number,)) is None)
    n_stored = 0
    flying: dict[Future[int], Batch] = {}
    with ThreadPoolExecutor(n_threads, thread_name_prefix="ziggurat") as threads:
        try:
            for batch in itertools.islice(todo, 2 * n_threads):
                flying[threads.submit(batch.run)] = batch
            while flying:
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    batch = flying.pop(future)
                    n_stored += future.result()
                    if journal is not None:
                        journal.finish(batch.move, (batch.number,), [])
                    following = next(todo, None)
                    if following is not None:
                        flying[threads.submit(following.run)] = following
        finally:
            for future in flying:
                future.cancel()
    return n_stored


# --- stored chunks as they are


def _copies(opened: Opened, move: Move, target: ByteStore, prefix: str) -> Iterator[Callable[[], int]]:
    """Yields functions that copy some of an array's stored objects each."""
    if move.stored is None or move.level.array is None:
        return
    store, start = _place(opened, move.level)
    here = opened.node.child(move.level.path) if move.level.location is None else opened.node.linked(move.level.location)
    document, container = here.array_document, here.container
    if document is None or container is None:
        raise StorageError(f"{here.location}: its document is gone since it was read; run the same command again")
    info = move.level.array
    pairs = (
        (f"{start}{key}", f"{prefix}{move.target}/{chunk_key(move.stored.document, move.stored.container, index)}")
        for key, index in _stored(store, start, document, container, info)
    )
    n_each = max(1, BATCH_BYTES // max(1, int(np.prod(info.write_unit)) * max(1, info.itemsize)))
    while some := tuple(itertools.islice(pairs, n_each)):
        yield _Copy(store, target, some)
    if move.stored.info.fill_value is None and document.get("fill_value") is not None:  # what is not stored is defined in the source alone
        writer = open_writer(target, f"{prefix}{move.target}", move.stored.document, move.stored.container)
        block = np.full(writer.chunks, fill_scalar(document.get("fill_value"), writer.dtype))
        indices = chunk_indices(info.shape, info.chunks)
        while few := tuple(itertools.islice(indices, n_each)):
            yield _Fill(store, tuple((f"{start}{chunk_key(document, container, index)}", index) for index in few), writer, block)


@dataclass(frozen=True, slots=True)
class _Fill:
    """Stores the chunks that the source does not have."""

    store: ByteStore
    chunks: tuple[tuple[str, Index], ...]
    writer: ChunkWriter
    block: AnyArray

    def __call__(self) -> int:
        missing = [index for key, index in self.chunks if self.store.size(key) is None]
        for index in missing:
            self.writer.write(index, self.block)
        return len(missing)


@dataclass(frozen=True, slots=True)
class _Copy:
    store: ByteStore
    target: ByteStore
    pairs: tuple[tuple[str, str], ...]

    def __call__(self) -> int:
        n = 0
        for old, new in self.pairs:
            if isinstance(self.store, FileStore) and isinstance(self.target, FileStore):
                n += _copy_file(self.store.root / old, self.target.root / new)
                continue
            data = self.store.get(old)
            if data is not None:
                self.target.put(new, [data])
                n += 1
        return n


def _copy_file(source: Path, target: Path) -> int:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_file(source, target)
    except OSError as error:
        failure = StorageError(f"{target}: cannot be written from {source} ({error.strerror or error}); run the same command again when that is mended")
        failure.errno = error.errno
        raise failure from error
    return 1


def _place(opened: Opened, level: Level) -> tuple[ByteStore, str]:
    """Returns the store that holds a level, and the start of its keys there."""
    if level.location is not None:
        return storage.open_store(level.location), ""
    whole = "/".join(part for part in (opened.prefix, level.path) if part)
    return storage.open_store(opened.target), f"{whole}/" if whole else ""


def _stored(store: ByteStore, start: str, document: Mapping[str, JSON], container: Container, info: ArrayInfo) -> Iterator[tuple[str, Index]]:
    """Yields the keys of an array's objects and what they hold: those that lie in its folder, or, where nothing can be listed, all that may exist."""
    if isinstance(store, FileStore):
        yield from _in_folder(store.root / start, container, info.ndim)
        return
    for index in chunk_indices(info.shape, info.write_unit):
        yield chunk_key(document, container, index), index


def _in_folder(root: Path, container: Container, ndim: int) -> Iterator[tuple[str, Index]]:
    real = root.resolve()
    for folder, names, files in os.walk(root, onerror=_unreadable):
        names.sort()
        for name in sorted(files):
            key = (Path(folder) / name).relative_to(root).as_posix()
            numbers = tuple(int(n) for n in re.findall(r"\d+", key)) if _CHUNK.fullmatch(key) else ()
            if not _CHUNK.fullmatch(key) or (len(numbers) != ndim and not (ndim == 0 and key in ("0", "c"))):
                continue
            path = Path(folder) / name
            if path.is_symlink() and real not in path.resolve().parents:
                raise PathError(f"{path}: a link to {path.resolve()}, outside of its array; copy the file in before converting")
            yield key, (tuple(reversed(numbers)) if container == "n5" else numbers)[:ndim]


def _unreadable(error: OSError) -> None:
    raise StorageError(f"{error.filename}: cannot be listed ({error.strerror}); check the permissions") from error


def chunk_key(document: Mapping[str, JSON], container: Container, index: Index) -> str:
    """Returns the key of a stored object below its array. Source: Zarr v3, chunk key encodings; Zarr v2, keys; N5, blocks.

    >>> chunk_key({"zarr_format": 2}, "zarr2", (0, 1)), chunk_key({}, "n5", (0, 1))
    ('0.1', '1/0')
    """
    if container == "n5":
        return "/".join(map(str, reversed(index)))
    separator = separator_of(document)
    encoding = document.get("chunk_key_encoding")
    is_default = container == "zarr3" and not (isinstance(encoding, Mapping) and encoding.get("name") == "v2")
    return separator.join(["c", *map(str, index)]) if is_default else separator.join(map(str, index)) or "0"


# --- decoded and encoded again


def _recodes(opened: Opened, move: Move, target: ByteStore, prefix: str) -> Iterator[Callable[[], int]]:
    """Yields functions that read, turn and write some chunks of an array each; with shards, all of one shard."""
    if move.stored is None:
        return
    reader = opened.reader(move.level)()
    writer = open_writer(target, f"{prefix}{move.target}", move.stored.document, move.stored.container)
    recode = _Recode(reader, writer, move.order, fill_scalar(move.stored.info.fill_value, writer.dtype))
    if writer.shards is not None:
        per_shard = tuple(s // c for s, c in zip(writer.shards, writer.chunks, strict=True))
        grid = tuple(-(-n // c) for n, c in zip(writer.shape, writer.chunks, strict=True))
        for shard in chunk_indices(writer.shape, writer.shards):
            spans = [range(i * n, min((i + 1) * n, m)) for i, n, m in zip(shard, per_shard, grid, strict=True)]
            yield _Chunks(recode, tuple(itertools.product(*spans)))
        return
    indices = chunk_indices(writer.shape, writer.chunks)
    n_each = max(1, BATCH_BYTES // max(1, int(np.prod(writer.chunks)) * writer.dtype.itemsize))
    while some := tuple(itertools.islice(indices, n_each)):
        yield _Chunks(recode, some)


def open_writer(store: ByteStore, path: str, document: Mapping[str, JSON], container: Container) -> ChunkWriter:
    """Returns the writer of an array in any container; its document may have to be in the store already."""
    if container == "n5":
        from ziggurat.storage.n5 import N5Array

        return N5Array(store, path, document)
    return storage.open_writer(store, path, document, 2 if container == "zarr2" else 3)


class _Recode:
    """One array being written from another, chunk by chunk. Thread-safe: each thread has a buffer of its own."""

    def __init__(self, reader: ChunkReader, writer: ChunkWriter, order: tuple[int, ...] | None, fill: np.generic) -> None:
        self._reader, self._writer, self._fill = reader, writer, fill
        self._order = order or tuple(range(len(writer.shape)))
        self._back = tuple(self._order.index(axis) for axis in range(len(self._order)))
        self._same_grid = tuple(reader.chunks[i] for i in self._order) == writer.chunks
        self._local = threading.local()

    def chunk(self, index: Index) -> int:
        """Writes one chunk; returns 1 when anything was stored."""
        region = chunk_region(index, self._writer.chunks, self._writer.shape)
        old = tuple(region[axis] for axis in self._back)
        if self._same_grid:
            held: AnyArray | None = getattr(self._local, "chunk", None)
            if held is None:
                held = self._local.chunk = np.empty(self._reader.chunks, self._reader.dtype)
            self._reader.read(tuple(index[axis] for axis in self._back), held)
            samples = held[tuple(slice(0, s.stop - s.start) for s in old)]
        else:
            samples = read_region(self._reader, old)
        block = padded(samples.transpose(self._order).astype(self._writer.dtype, copy=False), self._writer.chunks, self._fill)
        return 1 if self._writer.write(index, block) else 0


@dataclass(frozen=True, slots=True)
class _Chunks:
    recode: _Recode
    indices: tuple[Index, ...]

    def __call__(self) -> int:
        return sum(self.recode.chunk(index) for index in self.indices)
