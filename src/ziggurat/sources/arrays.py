"""Arrays in memory, memory maps, `.npy` files, and anything with `shape`, `dtype` and `__getitem__`."""

from __future__ import annotations

import math
import mmap
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ziggurat.chunkio import AnyArray
from ziggurat.model import SourceInfo
from ziggurat.problems import DocumentError, StorageError, UnsupportedError
from ziggurat.sources.blocks import (
    BlockSource,
    Region,
    array_facts,
    checked_dtype,
    checked_shape,
    content_stamps,
    file_stamp,
    free_chunks,
    in_blocks,
    mapped_chunks,
    stem,
)


class ArrayLike(Protocol):
    """The least that an object must have to be read: `shape`, `dtype`, and basic slicing."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> object: ...
    def __getitem__(self, key: tuple[slice, ...], /) -> object: ...


@dataclass(frozen=True, slots=True)
class FileMap:
    """Where the samples of a memory map lie in their file: enough to map them again in another process."""

    path: str
    offset: int
    """Bytes from the file's start to sample (0, 0, ...)."""
    shape: tuple[int, ...]
    dtype: str
    strides: tuple[int, ...]
    """Bytes; may be negative."""

    def open(self) -> tuple[mmap.mmap, AnyArray]:
        """Returns the map and its array, read-only. Raises StorageError."""
        try:
            with Path(self.path).open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return mapped, np.ndarray(self.shape, self.dtype, mapped, self.offset, self.strides)
        except (OSError, ValueError, TypeError) as error:
            raise StorageError(f"{self.path}: cannot be memory-mapped ({error!r})") from error


class NumpySource(BlockSource):
    """An array in memory: any grid, any strides, any byte order."""

    def __init__(self, array: AnyArray, info: SourceInfo) -> None:
        super().__init__(info)
        self._array = array

    def fill(self, region: Region, out: AnyArray) -> bool:
        np.copyto(out, self._array[region], casting="equiv")
        return True

    def regrid(self, chunks: tuple[int, ...]) -> NumpySource:
        """Returns the same source, read in blocks of another shape."""
        return NumpySource(self._array, in_blocks(self._info, chunks))

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return NumpySource, (self._array, self._info)


class MappedSource(BlockSource):
    """Samples that lie plainly in a file, read through a memory map that gives its pages back: resident memory stays bounded."""

    def __init__(self, file_map: FileMap, info: SourceInfo) -> None:
        super().__init__(info)
        self._file_map = file_map
        self._mapped, self._array = file_map.open()
        self._touched_bytes = 0
        self._lock = threading.Lock()

    def fill(self, region: Region, out: AnyArray) -> bool:
        samples = self._array[region]
        part_bytes = touched_bytes(samples.shape[1:], samples.strides[1:])
        step = max(1, _RESIDENT_BYTES // max(part_bytes, abs(samples.strides[0])))
        for start in range(0, samples.shape[0], step):
            part = samples[start : start + step]
            np.copyto(out[start : start + step], part, casting="equiv")
            self._give_back(touched_bytes(part.shape, part.strides))
        return True

    def _give_back(self, touched_bytes: int) -> None:
        """Lets the pages go once enough were touched; those that another thread is reading come back from the file."""
        with self._lock:
            self._touched_bytes += touched_bytes
            if self._touched_bytes < _RESIDENT_BYTES:
                return
            self._touched_bytes = 0
        if hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)

    def regrid(self, chunks: tuple[int, ...]) -> MappedSource:
        """Returns the same source, read in blocks of another shape: a multiple of it along the axis that is contiguous in the file.

        A block reads whole pages then (4 KiB); shorter runs would map each page again for every block beside it, which costs ten times as much.
        """
        strides = self._array.strides
        along = min(range(len(chunks)), key=lambda axis: (abs(strides[axis]), -axis))
        needed = min(-(-_PAGE_BYTES // (chunks[along] * self._array.itemsize)), -(-self.shape[along] // chunks[along]))
        longer = tuple(c * max(1, needed) if axis == along else c for axis, c in enumerate(chunks))
        return MappedSource(self._file_map, in_blocks(self._info, longer))

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return _mapped_again, (self._file_map, self._info)


_RESIDENT_BYTES = 2**24
"""How much of a map may stay resident before it is given back; part of the planner's fixed 100 MiB."""

_PAGE_BYTES = 4096

_FAULT_BYTES = 2**16
"""What the kernel maps at once around a touched page."""


def touched_bytes(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Returns how much of a file becomes resident, at most, when a strided part of it is read.

    >>> touched_bytes((64, 64), (4096, 2)), touched_bytes((64, 64), (2**20, 2))
    (323710, 4202368)
    """
    total = _FAULT_BYTES
    for stride, n in sorted((abs(stride), n) for stride, n in zip(strides, shape, strict=True)):
        total = min(n * total, (n - 1) * stride + total)
    return total


def _mapped_again(file_map: FileMap, info: SourceInfo) -> MappedSource:
    """Maps the file in another process. Raises StorageError when the file is no longer the same."""
    path = Path(file_map.path)
    if info.stamps != (file_stamp(path),):
        raise StorageError(f"{path}: the file changed after it was opened; start again")
    return MappedSource(file_map, info)


def open_ndarray(array: AnyArray) -> NumpySource | MappedSource:
    """Returns the source of an array in memory or of a memory map. Raises UnsupportedError for masked arrays and for other than numbers."""
    if isinstance(array, np.ma.MaskedArray):
        raise UnsupportedError("masked array: the mask would be lost; fill it first, for instance with 'array.filled(numpy.nan)'")
    file_map = _file_map(array)
    location = file_map.path if file_map else f"array in memory {array.shape}"
    shape, dtype = checked_shape(array.shape, location), checked_dtype(array.dtype, location)
    if file_map:
        return open_map(file_map, SourceInfo(location, stem(location), array_facts(shape, dtype, mapped_chunks(shape, dtype.itemsize))))
    facts = array_facts(shape, dtype, free_chunks(shape, dtype.itemsize))
    return NumpySource(np.asarray(array), SourceInfo(location, "array", facts, stamps=content_stamps(array, shape)))


def open_map(file_map: FileMap, info: SourceInfo) -> MappedSource:
    """Returns the source of samples that lie plainly in a file; the facts are given, the stamp is taken here."""
    return MappedSource(file_map, replace(info, stamps=(file_stamp(Path(file_map.path)),)))


def _file_map(array: AnyArray) -> FileMap | None:
    """Returns where a memory map (or a view of one) lies in its file; None for arrays in memory and for maps with private changes."""
    root: object = array
    while isinstance(root, np.ndarray) and not (isinstance(root, np.memmap) and isinstance(root.base, mmap.mmap)):
        root = root.base
    if not isinstance(root, np.memmap) or root.mode == "c" or root.filename is None:
        return None
    root.flush()
    offset = root.offset + array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return FileMap(str(Path(root.filename).resolve()), offset, array.shape, array.dtype.str, array.strides)


def open_npy(path: Path) -> MappedSource:
    """Returns the source of a `.npy` file, memory-mapped. Raises UnsupportedError for other than numbers, DocumentError for a broken file."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            stored_shape, fortran, stored_dtype = header(file)
            offset, size = file.tell(), path.stat().st_size
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error!r})") from error
    except ValueError as error:
        raise DocumentError(f"{path}: the .npy header cannot be read ({error})") from error
    shape, dtype = checked_shape(stored_shape, str(path)), checked_dtype(stored_dtype, str(path))
    needed = offset + dtype.itemsize * math.prod(shape)
    if size < needed:
        raise DocumentError(f"{path}: the file is cut off, {size:,} bytes where shape {shape} of {dtype.name} needs {needed:,}")
    file_map = FileMap(str(path), offset, shape, stored_dtype.str, contiguous_strides(shape, dtype.itemsize, fortran=fortran))
    return open_map(file_map, SourceInfo(str(path), stem(path.name), array_facts(shape, dtype, mapped_chunks(shape, dtype.itemsize))))


def contiguous_strides(shape: tuple[int, ...], itemsize: int, *, fortran: bool) -> tuple[int, ...]:
    """Returns the steps in bytes of a contiguous array.

    >>> contiguous_strides((2, 3, 4), 2, fortran=False), contiguous_strides((2, 3, 4), 2, fortran=True)
    ((24, 8, 2), (2, 4, 12))
    """
    if fortran:
        return tuple(itemsize * math.prod(shape[:k]) for k in range(len(shape)))
    return tuple(itemsize * math.prod(shape[k + 1 :]) for k in range(len(shape)))


class SlicedSource(BlockSource):
    """Anything with `shape`, `dtype` and basic slicing, read under one lock: nothing is known about its threads."""

    def __init__(self, array: ArrayLike, info: SourceInfo) -> None:
        super().__init__(info)
        self._array = array
        self._lock = threading.Lock()

    def fill(self, region: Region, out: AnyArray) -> bool:
        with self._lock:
            samples = _sliced(self._array, region)
        if samples.shape != out.shape:
            raise StorageError(f"{self._info.location}: slicing gave shape {samples.shape} for the region {out.shape}")
        np.copyto(out, samples, casting="same_kind")
        return True

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return SlicedSource, (self._array, self._info)


def _sliced(array: ArrayLike, region: Region) -> AnyArray:
    """Returns the samples of a region; tensorstore answers a slicing with a view that has `read()`, everything else with samples."""
    found = array[region]
    promise = getattr(found, "read", None)
    return np.asarray(promise().result() if promise else found)


@dataclass(frozen=True, slots=True)
class _Samples:
    """An object's slicing as `_sliced` does it."""

    array: ArrayLike

    def __getitem__(self, key: tuple[slice, ...], /) -> AnyArray:
        return _sliced(self.array, key)


def open_arraylike(array: ArrayLike) -> SlicedSource:
    """Returns the source of an object with `shape`, `dtype` and `__getitem__`; its `chunks` are honoured if it has any.

    Raises UnsupportedError for other than numbers. Sending it to another process needs an object that can be pickled.
    """
    what = f"{type(array).__module__.partition('.')[0]} {type(array).__name__}"
    name = str(getattr(array, "name", "") or "").rstrip("/").rpartition("/")[2] or "array"
    location = f"{what} {name!r}"
    shape = checked_shape(tuple(array.shape), location)
    dtype = checked_dtype(_numpy_dtype(array.dtype), location)
    layout = getattr(array, "chunk_layout", None)  # tensorstore
    stated = getattr(getattr(layout, "read_chunk", None), "shape", None) if layout is not None else getattr(array, "chunks", None)
    chunks = _regular_chunks(stated, shape) or free_chunks(shape, dtype.itemsize)
    stamps = content_stamps(_Samples(array), shape)
    return SlicedSource(array, SourceInfo(location, name, array_facts(shape, dtype, chunks), stamps=stamps))


def _numpy_dtype(dtype: object) -> object:
    """Returns numpy's dtype of a library's own dtype object (tensorstore's has `numpy_dtype`)."""
    return getattr(dtype, "numpy_dtype", dtype)


def _regular_chunks(chunks: object, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Returns chunks when they are one positive length per axis, else None."""
    if not isinstance(chunks, tuple | list) or len(chunks) != len(shape) or not all(isinstance(c, int) and c > 0 for c in chunks):
        return None
    return tuple(chunks)
