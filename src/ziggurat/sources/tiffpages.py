"""Pages of TIFF files: where their tiles and strips lie, and reading any region of them from any thread."""

from __future__ import annotations

import itertools
import math
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ziggurat.chunkio import AnyArray
from ziggurat.model import SourceInfo
from ziggurat.problems import StorageError
from ziggurat.sources.blocks import BlockSource, Region

_OPEN_FILES = 64
"""Where there are more files than this, each is opened for a read and closed again."""

BROKEN = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    AssertionError,
    OSError,
    EOFError,
    struct.error,
    MemoryError,
)
"""What a parser or a codec raises on a file that is not what it claims to be."""

Decode = Callable[..., tuple[AnyArray | None, tuple[int, ...], tuple[int, ...]]]
Extent = tuple[int, int, int, int, int]
"""Lengths along a page's five axes: separate samples, depth, rows, columns, samples of a pixel."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """How the segments (tiles or strips) of equal pages are laid out and decoded."""

    extent: Extent
    segment: Extent
    decode: Decode
    header: bytes | None
    stored: np.dtype[np.generic]
    """The dtype with the file's byte order."""
    plain: bool
    """True when segments are stored as they are in memory, but for the byte order."""
    nodata: complex
    """What a segment that is not stored holds."""
    into: Callable[[bytes, AnyArray], None] | None
    """Decodes a segment straight into an array of its size; None for storage that only `decode` knows."""
    key: int
    """Equal for pages that are decoded in the same way, whichever file they are in."""

    @property
    def n_segments(self) -> int:
        """How many segments make up a page."""
        return math.prod(-(-n // s) for n, s in zip(self.extent, self.segment, strict=True))

    def number(self, at: tuple[int, ...]) -> int:
        """Returns the number of a segment in the directory's lists from its place in the grid of four axes."""
        result = 0
        for n, size, k in zip(self.extent, self.segment, at, strict=False):
            result = result * -(-n // size) + k
        return result


@dataclass(frozen=True, slots=True)
class Plane:
    """Where the segments of one page lie."""

    file: int
    decoder: int
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    tables: bytes | None
    rows_at: int
    """Where the samples start when all rows follow one another plainly; else -1."""


@dataclass(frozen=True, slots=True)
class Stack:
    """All pages of one image, with the way from the image's axes to the pages' own."""

    files: tuple[str, ...]
    decoders: tuple[Decoder, ...]
    planes: tuple[Plane | None, ...]
    outer: tuple[int, ...]
    """Lengths of the axes that count pages."""
    inner: tuple[int | None, ...]
    """For each further axis of the image, which of a page's five axes it is; None for an axis of length 1 that pages do not have."""


class TiffFiles:
    """Byte ranges of a few files, read from any thread."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._open: dict[int, int] = {}

    def part(self, file: int, offset: int, count: int) -> bytes:
        """Returns `count` bytes of a file. Raises StorageError when there are fewer."""
        descriptor = self._open.get(file)
        if descriptor is None:
            descriptor = os.open(self._paths[file], os.O_RDONLY | getattr(os, "O_BINARY", 0))
            if len(self._paths) <= _OPEN_FILES and self._open.setdefault(file, descriptor) != descriptor:
                os.close(descriptor)
                descriptor = self._open[file]
        try:
            data = os.pread(descriptor, count, offset)
        finally:
            if len(self._paths) > _OPEN_FILES:
                os.close(descriptor)
        if len(data) != count:
            raise StorageError(f"{self._paths[file]}: ends at byte {offset + len(data):,}, expected {count:,} bytes from {offset:,}; it was cut off")
        return data

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])


class TiffSource(BlockSource):
    """Pages of TIFF files, read segment by segment."""

    def __init__(self, stack: Stack, info: SourceInfo, again: tuple[Callable[..., BlockSource], tuple[object, ...]]) -> None:
        super().__init__(info)
        self._stack = stack
        self._again = again
        self._files = TiffFiles(stack.files)

    def fill(self, region: Region, out: AnyArray) -> bool:
        n_outer = len(self._stack.outer)
        counted = [range(s.start, s.stop) for s in region[:n_outer]]
        stored = False
        for at in itertools.product(*counted):
            plane = self._stack.planes[int(np.ravel_multi_index(at, self._stack.outer)) if at else 0]
            part = out[tuple(i - s.start for i, s in zip(at, region, strict=False))]
            if plane is None:
                part[...] = 0
            else:
                stored |= self._fill_page(plane, region[n_outer:], part)
        return stored

    def _fill_page(self, plane: Plane, region: Region, out: AnyArray) -> bool:
        """Fills a region of one page; `out` has the image's inner axes."""
        axes = self._stack.inner
        wanted = [slice(0, 1)] * 5
        for axis, part in zip(axes, region, strict=True):
            if axis is not None:
                wanted[axis] = part
        # a page's axes come in one order in every TIFF, so that the image's are found by adding those of length 1
        picked = out[tuple(0 if axis is None else slice(None) for axis in axes)]
        target = picked[tuple(slice(None) if k in axes else np.newaxis for k in range(5))]
        if plane.rows_at >= 0:
            self._fill_rows(plane, wanted, target)
            return True
        return self._fill_segments(plane, wanted, target)

    def _fill_rows(self, plane: Plane, wanted: Sequence[slice], target: AnyArray) -> None:
        """Copies whole rows that lie plainly in the file."""
        decoder = self._stack.decoders[plane.decoder]
        _, depth, rows, columns, samples = decoder.extent
        row_bytes = columns * samples * decoder.stored.itemsize
        for s, z in itertools.product(range(wanted[0].start, wanted[0].stop), range(wanted[1].start, wanted[1].stop)):
            first = (s * depth + z) * rows + wanted[2].start
            n_rows = wanted[2].stop - wanted[2].start
            data = self._files.part(plane.file, plane.rows_at + first * row_bytes, n_rows * row_bytes)
            found = np.frombuffer(data, decoder.stored).reshape(n_rows, columns, samples)
            target[s - wanted[0].start, z - wanted[1].start] = found[:, wanted[3], wanted[4]]

    def _fill_segments(self, plane: Plane, wanted: Sequence[slice], target: AnyArray) -> bool:
        """Decodes the segments that a region touches, one after the other."""
        decoder = self._stack.decoders[plane.decoder]
        ranges = [range(w.start // n, -(-w.stop // n)) for w, n in zip(wanted[:4], decoder.segment, strict=False)]
        stored = False
        for at in itertools.product(*ranges):
            number = decoder.number(at)
            count = int(plane.counts[number])
            start = tuple(k * n for k, n in zip(at, decoder.segment, strict=False))
            if count == 0:
                _copy_overlap(np.broadcast_to(np.asarray(decoder.nodata, target.dtype), decoder.segment), start, wanted, target)
                continue
            stored = True
            data = self._files.part(plane.file, int(plane.offsets[number]), count)
            try:
                _decode(decoder, plane, data, number, start, wanted, target)
            except BROKEN as error:
                raise StorageError(f"{self._stack.files[plane.file]}: tile or strip {number} cannot be decoded ({error})") from error
        return stored

    def close(self) -> None:
        self._files.close()

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        function, arguments = self._again
        return _opened_again, (function, arguments, self._info.stamps)


def _decode(decoder: Decoder, plane: Plane, data: bytes, number: int, start: Sequence[int], wanted: Sequence[slice], target: AnyArray) -> None:
    """Decodes one segment and puts what is wanted of it in its place; straight there when all of it is wanted and its place is in one piece."""
    if decoder.into is not None and all(w.start <= a and a + n <= w.stop for a, n, w in zip(start, decoder.segment, wanted, strict=False)):
        place = target[tuple(slice(a - w.start, a - w.start + n) for a, n, w in zip(start, decoder.segment, wanted, strict=False))]
        if place.flags.c_contiguous:
            decoder.into(data, place)
            return
    extra = {} if decoder.header is None and plane.tables is None else {"jpegtables": plane.tables, "jpegheader": decoder.header}
    block = decoder.decode(data, number, **extra)[0]
    if block is None:
        raise ValueError("it decodes to nothing")
    _copy_overlap(block[np.newaxis], start, wanted, target)


def _copy_overlap(block: AnyArray, start: Sequence[int], wanted: Sequence[slice], target: AnyArray) -> None:
    """Copies the part of a decoded segment that lies in the wanted region. Raises ValueError when the segment is too short."""
    source, destination = [slice(None)] * 5, [slice(None)] * 5
    for k in range(4):
        low, high = max(start[k], wanted[k].start), min(start[k] + block.shape[k], wanted[k].stop)
        source[k], destination[k] = slice(low - start[k], high - start[k]), slice(low - wanted[k].start, high - wanted[k].start)
    source[4] = wanted[4]
    np.copyto(target[tuple(destination)], block[tuple(source)], casting="same_kind")


def _opened_again(function: Callable[..., BlockSource], arguments: tuple[object, ...], stamps: tuple[tuple[str, str], ...]) -> BlockSource:
    """Opens the files in another process. Raises StorageError when they are no longer the same."""
    source = function(*arguments)
    if source.info.stamps != stamps:
        raise StorageError(f"{source.info.location}: the files changed after they were opened; start again")
    return source
