"""TIFF, BigTIFF and OME-TIFF files, and folders of TIFF slices, as sources.

tifffile reads the directories and knows the codecs; whole pages are never decoded when they are tiled or in several strips. Samples that
lie plainly in one file are memory-mapped instead.
"""

from __future__ import annotations

import contextlib
import logging
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ziggurat.chunkio import AnyArray
from ziggurat.model import Axis, SourceInfo
from ziggurat.problems import DocumentError, LimitError, OptionError, StorageError, UnsupportedError
from ziggurat.sources.arrays import FileMap, MappedSource, contiguous_strides, open_map
from ziggurat.sources.blocks import array_facts, checked_dtype, checked_shape, file_stamp, in_blocks, mapped_chunks, next_power, sampled, stem
from ziggurat.sources.tiffguard import check_chain, check_companions, check_xml
from ziggurat.sources.tiffmeta import Physical, axes_of, physical
from ziggurat.sources.tiffpages import BROKEN, Decoder, Extent, Plane, Stack, TiffSource

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

MAX_BLOCK_BYTES = 2**30
"""A tile or strip that decodes to more is refused: it cannot be read in bounded memory."""

_GROUPED_BYTES = 2**18
"""Tiles are read in groups of at least this size: below it, the cost of a call shows beside the codec."""
_ROWS_BYTES = 2**21
"""Rows are read in groups of at most this size."""
_JPEG = (6, 7, 34892, 33007)
"""Numbers of the compressions whose segments may share tables or a header."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a TIFF file, opened: its facts, its pages, and its place in the file when it lies there plainly."""

    info: SourceInfo
    stack: Stack | None
    """None when one directory describes many planes (ImageJ); they lie plainly then."""
    plain: FileMap | None


def open_tiff(path: Path, *, index: int = 0, level: int = 0) -> TiffSource | MappedSource:
    """Returns the source of one image of a TIFF file, at its full resolution or at one of its reduced levels.

    Raises DocumentError for a broken file, LimitError for sizes that no honest file has, UnsupportedError for pixel types and codecs that
    cannot be read, OptionError for an image number that is not there.
    """
    image = read_image(path, index=index, level=level)
    info = blocks_of(image, path)
    if image.plain is not None or image.stack is None:
        return open_map(cast(FileMap, image.plain), info)
    return TiffSource(image.stack, replace(info, stamps=stamps_of(image.stack.files)), (_open_again, (str(path), index, level)))


def _open_again(path: str, index: int, level: int) -> TiffSource | MappedSource:
    """Opens the same image in another process."""
    return open_tiff(Path(path), index=index, level=level)


def read_image(path: Path, *, index: int = 0, level: int = 0) -> Image:
    """Reads the directories of one image, none of its samples. Raises as `open_tiff` does."""
    check_chain(path)
    with parsed(path) as (tif, said):
        image = image_of(tif, path, index, level)
        return replace(image, info=replace(image.info, notes=(*image.info.notes, *said)))


def image_of(tif: TiffFile, path: Path, index: int, level: int = 0) -> Image:
    """Returns one level of one image of an open file. Raises as `open_tiff` does, or what tifffile raises on a broken file."""
    series, notes = _series(tif, path, index)
    if not 0 <= level < len(series.levels):
        raise OptionError(f"{path}: level {level} of image {index} was asked for, it has {len(series.levels)} (counted from 0)")
    found = physical(tif, series, index) if level == 0 else Physical()
    part = series.levels[level]
    shape, dtype = checked_shape(part.shape, str(path)), checked_dtype(_pixel_type(part, path), str(path))
    axes, guessed = axes_of(part.axes)
    plain = _plain(part, path, shape)
    stack = None if plain and part.is_truncated else _stack(part, path, dtype)
    info = SourceInfo(str(path), stem(path.name), array_facts(shape, dtype, shape, codecs=_codec(part.keyframe)))
    return Image(replace(_placed(info, axes, part.axes, found), notes=(*notes, *guessed, *found.notes)), stack, plain)


def blocks_of(image: Image, path: Path) -> SourceInfo:
    """Returns the facts of an image in the blocks in which it is read. Raises DocumentError when nothing says where its samples are."""
    array = image.info.array
    if image.plain is not None:
        return in_blocks(image.info, mapped_chunks(array.shape, array.itemsize))
    if image.stack is None:
        raise DocumentError(f"{path}: a directory that describes more planes than the file holds; the file is broken")
    return in_blocks(image.info, chunks_of(image.stack))


def _placed(info: SourceInfo, axes: tuple[Axis, ...] | None, letters: str, found: Physical) -> SourceInfo:
    """Returns the facts with axes and with what is known about their sizes: 1 without unit where nothing is."""
    if axes is None:
        return info
    names = ["Z" if axis.name == "z" else letter for axis, letter in zip(axes, letters, strict=True)]
    axes = tuple(replace(axis, unit=found.unit.get(letter)) for axis, letter in zip(axes, names, strict=True))
    scale = tuple(found.scale.get(letter, 1.0) for letter in names) if found.scale else None
    translation = tuple(found.translation.get(letter, 0.0) for letter in names) if found.translation else None
    return replace(info, axes=axes, scale=scale, translation=translation)


class _Listener(logging.Filter):
    """Keeps what tifffile says about a file, instead of letting it be printed."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        text = "tifffile: " + re.sub(r"^<[^>]*> ?", "", record.getMessage())
        if record.levelno >= logging.WARNING and text not in self.said and len(self.said) < 5:
            self.said.append(text)
        return False


@contextlib.contextmanager
def parsed(path: Path) -> Iterator[tuple[TiffFile, list[str]]]:
    """Opens a file with tifffile; whatever it raises on a broken file becomes a DocumentError, whatever it logs is kept."""
    from tifffile import TiffFile

    listener, log = _Listener(), logging.getLogger("tifffile")
    log.addFilter(listener)
    try:
        with TiffFile(path) as tif:
            yield tif, listener.said
    except (DocumentError, LimitError, UnsupportedError, OptionError, StorageError):
        raise
    except BROKEN as error:
        raise DocumentError(f"{path}: cannot be read as TIFF ({error or type(error).__name__}); the file is broken or of a kind that is not known") from error
    finally:
        log.removeFilter(listener)


def checked_series(tif: TiffFile, path: Path) -> list[TiffPageSeries]:
    """Returns the images of a file, masks among them. XML is checked before anybody parses it. Raises DocumentError, LimitError."""
    first = tif.pages.first
    for text in (first.description, first.description1):
        if text.lstrip("\ufeff \n\r\t").startswith("<"):
            check_xml(text, path)
            check_companions(re.findall(r"""FileName\s*=\s*["']([^"']*)["']""", text), path)
    every = list(tif.series)
    if not every:
        raise DocumentError(f"{path}: a TIFF file without an image")
    return every


def _series(tif: TiffFile, path: Path, index: int) -> tuple[TiffPageSeries, tuple[str, ...]]:
    """Returns the image that was asked for, and what should be said about the others."""
    every = checked_series(tif, path)
    if not 0 <= index < len(every):
        raise OptionError(f"{path}: image {index} was asked for, the file holds {len(every)} (counted from 0)")
    series, notes = every[index], []
    if len(every) > 1:
        notes.append(f"the file holds {len(every)} images: number {index} is read (path= takes another number)")
    if len(series.levels) > 1:
        notes.append(f"the file holds {len(series.levels) - 1} reduced levels of its own: they are left out")
    if series.keyframe.photometric == 3:
        notes.append("the samples are indices into a colour table, which is left out")
    nodata = series.keyframe.tags.valueof(42113)  # GDAL_NODATA
    if isinstance(nodata, str):
        notes.append(f"the file says that {nodata.strip()} means nodata: say nodata= to keep it out of the levels")
    return series, tuple(notes)


def _pixel_type(series: TiffPageSeries, path: Path) -> np.dtype[np.generic]:
    """Returns the dtype of the samples. Raises UnsupportedError where numpy has none, or where the samples are more than stored."""
    page = series.keyframe
    if page.dtype is None or series.transform is not None:
        raise UnsupportedError(f"{path}: samples of {page.bitspersample} bits of TIFF sample format {int(page.sampleformat)} cannot be read")
    return cast("np.dtype[np.generic]", page.dtype)


def _plain(series: TiffPageSeries, path: Path, shape: tuple[int, ...]) -> FileMap | None:
    """Returns where the samples lie when the whole image lies plainly in the file, in order; None when it does not."""
    page = series.keyframe
    offset = series.dataoffset
    if not offset or series.is_multifile or not page.is_final:
        return None
    if not series.is_truncated and any(other is None or sum(other.databytecounts) != page.nbytes for other in series):
        return None  # strips of 0 bytes are not stored
    stored = page.dtype.newbyteorder(page.parent.byteorder)
    needed = offset + math.prod(shape) * stored.itemsize
    if needed > path.stat().st_size:
        raise DocumentError(f"{path}: the samples need {needed:,} bytes, the file ends at {path.stat().st_size:,}; it was cut off")
    return FileMap(str(path), offset, shape, stored.str, contiguous_strides(shape, stored.itemsize, fortran=False))


def _codec(page: TiffPage) -> str:
    """Returns the codec in words."""
    name = getattr(page.compression, "name", str(page.compression)).lower()
    return "" if name == "none" else name.replace("_", " ")


# ---------------------------------------------------------------------------------------------------------------- pages


def _stack(series: TiffPageSeries, path: Path, dtype: np.dtype[np.generic]) -> Stack:
    """Returns where every tile or strip of an image lies. Raises DocumentError where the directories contradict one another."""
    files: dict[str, int] = {}
    keyframes: dict[int, int] = {}
    decoders: list[Decoder] = []
    planes: list[Plane | None] = []
    outer, inner = _split_axes(series, path)
    for page in series:
        if page is None:
            planes.append(None)
            continue
        keyframe = page.keyframe
        if id(keyframe) not in keyframes:
            keyframes[id(keyframe)] = len(decoders)
            decoders.append(_decoder(keyframe, path, dtype))
        decoder = keyframes[id(keyframe)]
        file = files.setdefault(page.parent.filehandle.path, len(files))
        planes.append(_plane(page, file, decoder, decoders[decoder], path))
    if len(planes) != math.prod(outer):
        raise DocumentError(f"{path}: the file holds {len(planes)} pages where its metadata needs {math.prod(outer)}")
    return Stack(tuple(files), tuple(decoders), tuple(planes), outer, inner)


def _split_axes(series: TiffPageSeries, path: Path) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
    """Returns the lengths of the axes that count pages, and for each other axis which one of a page it is."""
    page = series.keyframe
    order = [("SZYX" if page.planarconfig == 2 else "_ZYXS").index(letter) for letter in page.axes]
    inner: list[int | None] = []
    shape = list(series.shape)
    wanted = [(axis, n) for axis, n in zip(order, page.shape, strict=True)]
    while wanted:
        axis, n = wanted[-1]
        if shape and shape[-1] == n:
            inner.insert(0, axis)
            shape.pop()
            wanted.pop()
        elif n == 1:
            wanted.pop()
        elif shape and shape[-1] == 1:
            inner.insert(0, None)
            shape.pop()
        else:
            raise UnsupportedError(f"{path}: pages of shape {page.shape} do not make up an image of shape {series.shape} along its last axes")
    return tuple(shape), tuple(inner)


def _decoder(page: TiffPage, path: Path, dtype: np.dtype[np.generic]) -> Decoder:
    """Returns the layout of a page's segments. Raises DocumentError for segments without a size."""
    extent = cast(Extent, tuple(int(n) for n in page.shaped))
    samples = extent[4]
    if page.is_tiled:
        segment = (1, max(1, page.tiledepth), page.tilelength, page.tilewidth, samples)
    else:
        segment = (1, 1, page.rowsperstrip or extent[2], extent[3], samples)
    if min(segment) <= 0:
        raise DocumentError(f"{path}: tiles or strips of shape {segment[1:4]}, expected lengths of 1 or more; the file is broken")
    stored = dtype.newbyteorder(page.parent.byteorder)
    plain = bool(page.is_final) and not page.is_tiled
    header = page.jpegheader if page.compression in _JPEG else None
    key = hash((page.hash, header, page.nodata))
    return Decoder(extent, segment, page.decode, header, stored, plain, page.nodata, _straight(page, stored), key)


def _straight(page: TiffPage, stored: np.dtype[np.generic]) -> Callable[[bytes, AnyArray], None] | None:
    """Returns what decodes a segment of the commonest kinds into an array that is there already, None for all others."""
    import imagecodecs

    codecs: dict[int, Callable[..., bytes | bytearray] | None] = {
        1: None,
        5: imagecodecs.lzw_decode,
        8: imagecodecs.deflate_decode,
        32946: imagecodecs.deflate_decode,
        50000: imagecodecs.zstd_decode,
    }
    differences = page.predictor == 2 and stored.kind in "iu"
    whole_bytes = page.bitspersample in (8, 16, 32, 64) and page.bitspersample == 8 * stored.itemsize
    if page.compression not in codecs or page.fillorder != 1 or not whole_bytes or not stored.isnative or not (page.predictor == 1 or differences):
        return None
    decode = codecs[page.compression]

    def into(data: bytes, out: AnyArray) -> None:
        room = out.reshape(-1).view(np.uint8)
        found = np.frombuffer(data if decode is None else decode(data, out=room), np.uint8)
        if len(found) != len(room):
            raise ValueError(f"{len(found):,} bytes, expected {len(room):,}")
        if decode is None:
            room[:] = found
        if differences:
            imagecodecs.delta_decode(out, axis=-2, out=out)

    return into


def _plane(page: TiffPage | TiffFrame, file: int, number: int, decoder: Decoder, path: Path) -> Plane:
    """Returns where the segments of one page lie.

    Raises DocumentError when they are too few or past the file's end, LimitError when one is too large to be read in bounded memory.
    """
    offsets = np.asarray(page.dataoffsets, np.int64)
    counts = np.asarray(page.databytecounts, np.int64)
    expected = decoder.n_segments
    size = page.parent.filehandle.size
    if len(offsets) < expected or len(counts) < expected:
        raise DocumentError(f"{path}: page {page.index} lists {len(offsets)} tiles or strips, its size needs {expected}; the file is broken")
    offsets, counts = offsets[:expected], counts[:expected]
    past = np.flatnonzero((counts > 0) & ((offsets < 8) | (offsets + counts > size)) | (counts < 0))
    if len(past):
        at = f"{offsets[past[0]]:,} to {offsets[past[0]] + counts[past[0]]:,}"
        raise DocumentError(f"{path}: tile or strip {past[0]} of page {page.index} is said to be at bytes {at}, the file has {size:,}; it was cut off")
    nbytes = math.prod(decoder.extent) * decoder.stored.itemsize
    in_order = decoder.plain and bool(np.all(offsets[:-1] + counts[:-1] == offsets[1:])) and int(counts.sum()) == nbytes
    block_bytes = math.prod(decoder.segment) * decoder.stored.itemsize
    if block_bytes > MAX_BLOCK_BYTES and not in_order:
        raise LimitError(f"{path}: one tile or strip decodes to {block_bytes:,} bytes, expected at most {MAX_BLOCK_BYTES:,}; write smaller tiles")
    return Plane(file, number, offsets, counts, page.jpegtables, int(offsets[0]) if in_order else -1)


def chunks_of(stack: Stack) -> tuple[int, ...]:
    """Returns the blocks in which an image is read: one page at a time, in tiles, or in groups of rows."""
    planes = [plane for plane in stack.planes if plane is not None]
    plain = all(plane.rows_at >= 0 for plane in planes)
    block = _page_block(stack.decoders[planes[0].decoder], plain=plain)
    return (1,) * len(stack.outer) + tuple(1 if axis is None else block[axis] for axis in stack.inner)


def _page_block(decoder: Decoder, *, plain: bool) -> Extent:
    """Returns the block of a page: whole segments, as many as make a call worth while; lengths that nest in one another where possible."""
    _, _, n_rows, n_columns, samples = decoder.extent
    _, depth, rows, columns, _ = decoder.segment
    pixel_bytes = samples * decoder.stored.itemsize
    if columns < n_columns or (rows < 16 and depth > 1):
        while depth * rows * columns * pixel_bytes < _GROUPED_BYTES and (rows < n_rows or columns < n_columns):
            rows, columns = (rows * 2 if rows < n_rows else rows), (columns * 2 if columns < n_columns else columns)
        return 1, depth, rows, columns, samples
    columns = _rounded(n_columns)
    if not plain and rows >= n_rows:
        return 1, depth, _rounded(n_rows), columns, samples
    fitting = max(1, _ROWS_BYTES // (columns * pixel_bytes))
    wanted = min(next_power(n_rows), 1 << (fitting.bit_length() - 1))
    if plain:
        rows = max(wanted, 16)
    elif wanted >= 8 * rows or wanted % rows == 0:
        rows = max(wanted, rows)
    else:
        rows *= max(1, fitting // rows)
    return 1, depth, rows, columns, samples


def _rounded(n: int) -> int:
    """Returns a length that covers an axis and in which chunks of a power of two nest.

    >>> _rounded(100), _rounded(512), _rounded(1003)
    (128, 512, 1024)
    """
    return next_power(n) if n <= 512 else -(-n // 512) * 512


def stamps_of(files: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Returns sizes and times of up to 8 evenly spread files."""
    return tuple(file_stamp(Path(files[k])) for k in sampled(len(files)))
