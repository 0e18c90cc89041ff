"""PNG and JPEG files as sources: decoded whole, once, because neither can be decoded in parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ziggurat.chunkio import AnyArray
from ziggurat.model import Axis, SourceInfo
from ziggurat.problems import DocumentError, LimitError, StorageError
from ziggurat.sources.blocks import BlockSource, Region, array_facts, file_stamp, free_chunks, stem

MAX_IMAGE_BYTES = 2**31
"""An image is held decoded in memory; a larger one has to be a TIFF, which is read tile by tile."""

_PNG = b"\x89PNG\r\n\x1a\n"
_FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
"""JPEG markers that begin with the size of the image (SOF0 to SOF15 without DHT, JPG, DAC)."""


class ImageSource(BlockSource):
    """A decoded picture; it is decoded again after it was sent to another process."""

    def __init__(self, path: Path, samples: AnyArray, info: SourceInfo) -> None:
        super().__init__(info)
        self._path = path
        self._samples = samples

    def fill(self, region: Region, out: AnyArray) -> bool:
        np.copyto(out, self._samples[region], casting="equiv")
        return True

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return _opened_again, (self._path, self._info)


def open_image(path: Path) -> ImageSource:
    """Returns the source of a PNG or JPEG file; axes y, x, and c for colours.

    Raises LimitError for a picture of more than 2 GiB, before it is decoded, and DocumentError for a broken one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error!r})") from error
    kind, size = ("PNG", _png_size(data)) if data.startswith(_PNG) else ("JPEG", _jpeg_size(data))
    if size is None:
        raise DocumentError(f"{path}: a {kind} file that ends before it says how large the picture is; it was cut off")
    if math.prod(size) > MAX_IMAGE_BYTES:
        raise LimitError(f"{path}: decodes to {math.prod(size):,} bytes, expected at most {MAX_IMAGE_BYTES:,}; save it as a tiled TIFF")
    samples = _decoded(data, kind, path)
    if samples.shape[:2] != size[:2]:
        raise DocumentError(f"{path}: says {size[0]} rows of {size[1]}, decodes to {samples.shape[0]} rows of {samples.shape[1]}; the file is broken")
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]
    axes = tuple(Axis(name, kind) for name, kind in (("y", "space"), ("x", "space"), ("c", "channel"))[: samples.ndim])
    facts = array_facts(samples.shape, samples.dtype, free_chunks(samples.shape, samples.itemsize), codecs=kind.lower())
    return ImageSource(path, samples, SourceInfo(str(path), stem(path.name), facts, axes=axes, stamps=(file_stamp(path),)))


def _decoded(data: bytes, kind: str, path: Path) -> AnyArray:
    import imagecodecs

    decode = imagecodecs.png_decode if kind == "PNG" else imagecodecs.jpeg_decode
    try:
        return np.asarray(decode(data))
    except (RuntimeError, ValueError, TypeError) as error:  # the codecs' own errors are RuntimeErrors
        raise DocumentError(f"{path}: the {kind} cannot be decoded ({error}); the file is broken") from error


def _png_size(data: bytes) -> tuple[int, int, int] | None:
    """Returns rows, columns and bytes of a pixel at most from the IHDR chunk. Source: PNG specification, 11.2.2."""
    if len(data) < 26:
        return None
    return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big"), 4 * (2 if data[24] == 16 else 1)


def _jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    """Returns rows, columns and components from the frame header. Source: ITU T.81, B.2.2."""
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _FRAMES:
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big"), data[at + 9]
        at += 1 if marker == 0xFF else 2 if marker == 1 or 0xD0 <= marker <= 0xD9 else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _opened_again(path: Path, info: SourceInfo) -> ImageSource:
    """Decodes the picture in another process. Raises StorageError when the file is no longer the same."""
    source = open_image(path)
    if source.info.stamps != info.stamps:
        raise StorageError(f"{path}: the file changed after it was opened; start again")
    return source
