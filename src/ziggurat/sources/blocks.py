"""What every source shares: the port, the regular grid of blocks, and what dtypes and shapes are accepted."""

from __future__ import annotations

import math
import zlib
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Protocol, Self

import numpy as np

from ziggurat.chunkio import AnyArray, ChunkReader
from ziggurat.model import ArrayInfo, Axis, SourceInfo, kind_of
from ziggurat.problems import StorageError, UnsupportedError

Region = tuple[slice, ...]
"""A half-open hyper-rectangle; starts and stops are whole numbers inside the array, steps are 1."""

UNDERSTOOD = "a Zarr array or group, .npy, TIFF, OME-TIFF, a folder or pattern of TIFF slices, PNG, JPEG"
"""What can be opened from a path, in words, for messages."""

_KINDS = MappingProxyType(
    {
        "O": "Python objects",
        "S": "byte strings",
        "U": "strings",
        "T": "strings",
        "M": "dates",
        "m": "time spans",
        "V": "records or raw bytes",
    }
)
_NUMERIC = frozenset(
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64", "complex64", "complex128"],
)


class Source(ChunkReader, Protocol):
    """A base that levels can be built on: read block by block from several threads, sent to other processes by `pickle`.

    What is pickled is a recipe (where it is and how it was opened); arrays in memory are pickled as themselves.
    """

    @property
    def info(self) -> SourceInfo:
        """Facts, as the file or the object itself states them."""
        ...

    def close(self) -> None:
        """Lets go of files. Reading afterwards raises StorageError or opens them again."""
        ...


class Sliceable(Protocol):
    """What gives samples, or something numpy can make samples of, for a tuple of slices."""

    def __getitem__(self, key: tuple[slice, ...], /) -> object: ...


class BlockSource(ABC):
    """A source on a regular grid that can fill any region of itself."""

    def __init__(self, info: SourceInfo) -> None:
        self._info = info
        self._dtype: np.dtype[np.generic] = np.dtype(info.array.dtype)

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def shape(self) -> tuple[int, ...]:
        return self._info.array.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        return self._info.array.chunks

    def read(self, index: tuple[int, ...], out: AnyArray) -> bool:
        """Reads block `index` into `out` of shape `chunks`; what lies beyond the array's end is left as it was.

        False where the block is not stored. Raises StorageError where it cannot be read.
        """
        region = block_region(self.shape, self.chunks, index)
        part = out[tuple(slice(0, s.stop - s.start) for s in region)]
        try:
            return self.fill(region, part)
        except StorageError:
            raise
        except (OSError, ValueError, RuntimeError, KeyError, IndexError, EOFError) as error:
            raise StorageError(f"{self._info.location}: block {index} cannot be read ({error!r})") from error

    @abstractmethod
    def fill(self, region: Region, out: AnyArray) -> bool:
        """Copies a region into `out`, which has the region's shape and the source's dtype; False where nothing of it is stored. Thread-safe."""

    def close(self) -> None:  # noqa: B027  most sources hold nothing open
        """Lets go of files; nothing to do for arrays in memory."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._info.location}: {self.dtype.name} {self.shape} in blocks of {self.chunks}>"


def block_region(shape: tuple[int, ...], chunks: tuple[int, ...], index: tuple[int, ...]) -> Region:
    """Returns the region of one block of the regular grid, cut at the array's end. Raises IndexError for a block outside.

    >>> block_region((100, 70), (64, 64), (1, 0))
    (slice(64, 100, None), slice(0, 64, None))
    """
    region = tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(index, chunks, shape, strict=True))
    if any(s.start < 0 or s.start >= s.stop for s in region):
        raise IndexError(f"block {index} lies outside the grid of shape {shape} in blocks of {chunks}")
    return region


def checked_dtype(dtype: object, location: str) -> np.dtype[np.generic]:
    """Returns the dtype in native byte order. Raises UnsupportedError unless it is a boolean, integer, float or complex type of 8 to 128 bits."""
    try:
        found: np.dtype[np.generic] = np.dtype(dtype)  # type: ignore[call-overload]
    except TypeError as error:
        raise UnsupportedError(f"{location}: dtype {dtype!r} is not one of numpy's; convert the samples to numbers first") from error
    if found.name not in _NUMERIC:
        what = "records" if found.names else _KINDS.get(found.kind, f"{found.name} samples")
        raise UnsupportedError(
            f"{location}: the samples are {what} (dtype {found.str!r}); levels can be built of booleans, integers, floats and complex numbers"
        )
    return found.newbyteorder("=")


def checked_shape(shape: object, location: str) -> tuple[int, ...]:
    """Returns the shape as plain ints. Raises UnsupportedError for no axes, and for axes of length 0 or of unknown length."""
    if not isinstance(shape, tuple | list):
        raise UnsupportedError(f"{location}: its shape is {shape!r}, expected a tuple of lengths")
    if any(not isinstance(n, int | np.integer) for n in shape):
        raise UnsupportedError(f"{location}: shape {tuple(shape)} has a length that is not known yet; compute the lengths first")
    lengths = tuple(int(n) for n in shape)
    if not lengths:
        raise UnsupportedError(f"{location}: a single value without axes, expected an array of one axis or more")
    if any(n <= 0 for n in lengths):
        raise UnsupportedError(f"{location}: shape {lengths} has an axis of length 0, there is nothing to build levels of")
    return lengths


def free_chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Returns blocks of about 1 MiB for something that can be read in any grid.

    The numbers are those of `defaults.md`: 1024 by 1024 for 8 bit in 2-D, 512 by 512 wider; 64 cubed in 3-D (twice as much in
    y and x for 8 bit); further axes 1. Where an axis is shorter, the next power of two, so that grids stay nested.

    >>> free_chunks((300, 2000, 2000), 2), free_chunks((5, 100, 100), 1)
    ((64, 64, 64), (8, 128, 128))
    """
    colours = len(shape) >= 3 and shape[-1] in (3, 4) and itemsize <= 2
    ndim = len(shape) - colours
    if ndim == 1:
        inner: tuple[int, ...] = (2**20 // itemsize,)
    elif ndim == 2:
        inner = (1024, 1024) if itemsize == 1 and not colours else (512, 512)
    else:
        inner = (64, 128, 128) if itemsize == 1 else (64, 64, 64)
    wanted = (1,) * (ndim - len(inner)) + inner + ((4,) if colours else ())
    sizes = [min(c, next_power(n)) for c, n in zip(wanted, shape, strict=True)]
    return (*sizes[:-1], shape[-1]) if colours else tuple(sizes)


def mapped_chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Returns blocks for samples that lie plainly in a file, in C order: a row of a block fills at least one page of memory (4 KiB).

    2 MiB in 2-D, 4 MiB in 3-D, further axes 1. Lengths are powers of two, so that grids of chunks nest in them.

    >>> mapped_chunks((300, 2000, 2000), 2), mapped_chunks((100, 10), 4)
    ((16, 64, 2048), (128, 16))
    """
    run = 4096 // itemsize
    wanted = {1: (2**20 // itemsize,), 2: (512, run)}.get(len(shape), (1,) * (len(shape) - 3) + (16, 64, run))
    return tuple(min(c, next_power(n)) for c, n in zip(wanted, shape, strict=True))


def next_power(n: int) -> int:
    """Returns the smallest power of two that is not less than `n`.

    >>> next_power(1), next_power(64), next_power(65)
    (1, 64, 128)
    """
    return 1 << (n - 1).bit_length()


def in_blocks(info: SourceInfo, chunks: tuple[int, ...]) -> SourceInfo:
    """Returns the facts of the same source, read in blocks of another shape."""
    return replace(info, array=replace(info.array, chunks=chunks))


def array_facts(shape: tuple[int, ...], dtype: np.dtype[np.generic], chunks: tuple[int, ...], *, codecs: str = "") -> ArrayInfo:
    """Returns the facts of an array that is no Zarr array."""
    return ArrayInfo(shape=shape, dtype=dtype.name, chunks=chunks, itemsize=dtype.itemsize, codecs=codecs)


def sampled(count: int, n_samples: int = 8) -> tuple[int, ...]:
    """Returns up to `n_samples` of the numbers 0..count-1, evenly spread, the first and the last among them; always the same ones.

    >>> sampled(100, 3), sampled(2)
    ((0, 49, 99), (0, 1))
    """
    if count <= n_samples:
        return tuple(range(count))
    return tuple(k * (count - 1) // (n_samples - 1) for k in range(n_samples))


def file_stamp(path: Path) -> tuple[str, str]:
    """Returns (name, size in bytes and time of change in nanoseconds) of a file. Raises StorageError."""
    try:
        facts = path.stat()
    except OSError as error:
        raise StorageError(f"{path}: cannot be looked at ({error!r})") from error
    return path.name, f"{facts.st_size} {facts.st_mtime_ns}"


def content_stamps(array: Sliceable, shape: tuple[int, ...]) -> tuple[tuple[str, str], ...]:
    """Returns check sums of up to 8 short runs of samples, for arrays that have neither a file nor a time; each run is one small read."""
    stamps = []
    for flat in sampled(math.prod(shape[:-1])):
        at = tuple(int(i) for i in np.unravel_index(flat, shape[:-1])) if len(shape) > 1 else ()
        run = np.asarray(array[(*(slice(i, i + 1) for i in at), slice(0, min(4096, shape[-1])))])
        stamps.append((f"samples at {at}", f"{zlib.crc32(np.ascontiguousarray(run).tobytes()):08x}"))
    return tuple(stamps)


def axis_of(name: str, unit: str | None = None) -> Axis:
    """Returns an axis with the kind that its name says, None for a name that says nothing.

    >>> axis_of("t").kind, axis_of("Y").kind, axis_of("member").kind
    ('time', 'space', None)
    """
    return Axis(name, kind_of(name), unit)


def stem(location: str) -> str:
    """Returns the last part of a path or URL without the endings of the formats that are read.

    >>> stem("s3://bucket/plate/scan.ome.zarr/"), stem("/data/scan.01.ome.tif")
    ('scan', 'scan.01')
    """
    name = location.rstrip("/").rpartition("/")[2].partition("?")[0] or "array"
    while True:
        shorter = next((name[: -len(e)] for e in _ENDINGS if name.lower().endswith(e) and len(name) > len(e)), name)
        if shorter == name:
            return name
        name = shorter


_ENDINGS = (".zarr", ".ome", ".npy", ".tif", ".tiff", ".btf", ".tf8", ".tf2", ".png", ".jpg", ".jpeg")
