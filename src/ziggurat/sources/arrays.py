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
from ziggurat.sources.blocks import BlockSource, Region, array_facts, checked_dtype, checked_shape, content_stamps, file_stamp, free_chunks, stem


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

    def open(self) -> AnyArray:
        """Returns the mapped array, read-only. Raises StorageError."""
        try:
            with Path(self.path).open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return np.ndarray(self.shape, self.dtype, mapped, self.offset, self.strides)
        except (OSError, ValueError, TypeError) as error:
            raise StorageError(f"{self.path}: cannot be memory-mapped ({error!r})") from error


class NumpySource(BlockSource):
    """An array in memory, or a memory map: any grid, any strides, any byte order."""

    def __init__(self, array: AnyArray, info: SourceInfo, file_map: FileMap | None = None) -> None:
        super().__init__(info)
        self._array = array
        self._file_map = file_map

    def fill(self, region: Region, out: AnyArray) -> None:
        np.copyto(out, self._array[region], casting="equiv")

    def regrid(self, chunks: tuple[int, ...]) -> NumpySource:
        """Returns the same source, read in blocks of another shape."""
        return NumpySource(self._array, replace(self._info, array=replace(self._info.array, chunks=chunks)), self._file_map)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        if self._file_map is None:
            return NumpySource, (self._array, self._info)
        return _mapped_again, (self._file_map, self._info)


def _mapped_again(file_map: FileMap, info: SourceInfo) -> NumpySource:
    """Maps the file in another process. Raises StorageError when the file is no longer the same."""
    path = Path(file_map.path)
    if info.stamps != (file_stamp(path),):
        raise StorageError(f"{path}: the file changed after it was opened; start again")
    return NumpySource(file_map.open(), info, file_map)


def open_ndarray(array: AnyArray, *, name: str = "array") -> NumpySource:
    """Returns the source of an array in memory or of a memory map. Raises UnsupportedError for masked arrays and for other than numbers."""
    if isinstance(array, np.ma.MaskedArray):
        raise UnsupportedError("masked array: the mask would be lost; fill it first, for instance with 'array.filled(numpy.nan)'")
    file_map = _file_map(array)
    location = file_map.path if file_map else f"array in memory {array.shape}"
    shape, dtype = checked_shape(array.shape, location), checked_dtype(array.dtype, location)
    info = SourceInfo(
        location=location,
        name=stem(file_map.path) if file_map else name,
        array=array_facts(shape, dtype, free_chunks(shape, dtype.itemsize)),
        stamps=(file_stamp(Path(file_map.path)),) if file_map else content_stamps(array),
    )
    return NumpySource(np.asarray(array), info, file_map)


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


def open_npy(path: Path) -> NumpySource:
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
    file_map = FileMap(str(path), offset, shape, stored_dtype.str, _strides(shape, dtype.itemsize, fortran=fortran))
    info = SourceInfo(str(path), stem(path.name), array_facts(shape, dtype, free_chunks(shape, dtype.itemsize)), stamps=(file_stamp(path),))
    return NumpySource(file_map.open(), info, file_map)


def _strides(shape: tuple[int, ...], itemsize: int, *, fortran: bool) -> tuple[int, ...]:
    """Returns the steps in bytes of a contiguous array.

    >>> _strides((2, 3, 4), 2, fortran=False), _strides((2, 3, 4), 2, fortran=True)
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

    def fill(self, region: Region, out: AnyArray) -> None:
        with self._lock:
            found = self._array[region]
            # tensorstore answers with a promise that has read(); everything else with samples
            promise = getattr(found, "read", None)
            samples = np.asarray(promise().result() if promise else found)
        if samples.shape != out.shape:
            raise StorageError(f"{self._info.location}: slicing gave shape {samples.shape} for the region {out.shape}")
        np.copyto(out, samples, casting="same_kind")

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return SlicedSource, (self._array, self._info)


def open_arraylike(array: ArrayLike) -> SlicedSource:
    """Returns the source of an object with `shape`, `dtype` and `__getitem__`; its `chunks` are honoured if it has any.

    Raises UnsupportedError for other than numbers. Sending it to another process needs an object that can be pickled.
    """
    what = f"{type(array).__module__.partition('.')[0]} {type(array).__name__}"
    name = str(getattr(array, "name", "") or "").rstrip("/").rpartition("/")[2] or "array"
    location = f"{what} {name!r}"
    shape = checked_shape(tuple(array.shape), location)
    dtype = checked_dtype(_numpy_dtype(array.dtype), location)
    chunks = _regular_chunks(getattr(array, "chunks", None), shape) or free_chunks(shape, dtype.itemsize)
    return SlicedSource(array, SourceInfo(location=location, name=name, array=array_facts(shape, dtype, chunks)))


def _numpy_dtype(dtype: object) -> object:
    """Returns numpy's dtype of a library's own dtype object (tensorstore's has `numpy_dtype`)."""
    return getattr(dtype, "numpy_dtype", dtype)


def _regular_chunks(chunks: object, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Returns chunks when they are one positive length per axis, else None."""
    if not isinstance(chunks, tuple | list) or len(chunks) != len(shape) or not all(isinstance(c, int) and c > 0 for c in chunks):
        return None
    return tuple(chunks)
