"""Folders and patterns of TIFF slices as one source: one file per plane, in natural order."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ziggurat.model import Axis, SourceInfo
from ziggurat.problems import DocumentError, NotFound, UnsupportedError
from ziggurat.sources.arrays import MappedSource
from ziggurat.sources.blocks import UNDERSTOOD, in_blocks, stem
from ziggurat.sources.tiffpages import Decoder, Plane, Stack, TiffSource
from ziggurat.sources.tiffs import Image, chunks_of, open_tiff, read_image, stamps_of

SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".tf2")
"""Endings of the files of a folder that count as slices; a pattern may match any name."""


def open_slices(place: str) -> TiffSource | MappedSource:
    """Returns the source of a folder of TIFF files, or of the files that a pattern with `*`, `?`, `[...]` matches.

    The new first axis is z, or time when the files are volumes already. Raises NotFound for a pattern without a match, UnsupportedError for a
    folder without TIFF files, DocumentError for slices of different shape or dtype, and as `open_tiff` does.
    """
    files = slice_files(place)
    first = read_image(files[0])
    if len(files) == 1 or (first.stack is not None and len(first.stack.files) > 1):  # the second: an OME-TIFF that lists its files itself
        return open_tiff(files[0])
    images = [first, *(read_image(file) for file in files[1:])]
    for file, image in zip(files, images, strict=True):
        for what, found, expected in (("shape", image.info.array.shape, first.info.array.shape), ("dtype", image.info.array.dtype, first.info.array.dtype)):
            if found != expected:
                raise DocumentError(f"{file}: {what} {found}, expected {expected} as in {files[0].name}; slices of one stack are alike")
    stack = _stacked(images, files)
    info = _described(place, first, files)
    chunks = chunks_of(stack)
    stamps = (("files", str(len(files))), *stamps_of(stack.files))
    return TiffSource(stack, replace(in_blocks(info, chunks), stamps=stamps), (open_slices, (place,)))


def slice_files(place: str) -> list[Path]:
    """Returns the files of a folder or pattern in natural order: `s2.tif` before `s10.tif`. Raises NotFound and UnsupportedError."""
    if Path(place).is_dir():
        names = [entry.path for entry in os.scandir(place) if entry.is_file() and entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith(".")]
        if not names:
            raise UnsupportedError(f"{place}: a folder that is no Zarr array or group and holds no TIFF slices; expected {UNDERSTOOD}")
    else:
        names = [name for name in glob.glob(place, recursive=True) if Path(name).is_file()]
        if not names:
            raise NotFound(f"{place}: no file matches this pattern")
    return [Path(name) for name in sorted(names, key=natural)]


def natural(name: str) -> list[tuple[int, int, str]]:
    """Returns a sorting key in which runs of digits count as numbers.

    >>> sorted(["s10.tif", "s9.tif", "S1.tif"], key=natural)
    ['S1.tif', 's9.tif', 's10.tif']
    """
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.lower()) for part in parts]


def _stacked(images: Sequence[Image], files: Sequence[Path]) -> Stack:
    """Returns the pages of all files as one stack; equal decoders are kept once."""
    stacks = [_pages(image, file) for image, file in zip(images, files, strict=True)]
    outer, inner = stacks[0].outer, stacks[0].inner
    paths: dict[str, int] = {}
    numbers: dict[int, int] = {}
    decoders: list[Decoder] = []
    planes: list[Plane | None] = []
    for stack, file in zip(stacks, files, strict=True):
        if (stack.outer, stack.inner) != (outer, inner):
            raise UnsupportedError(f"{file}: its pages are laid out in another way than those of {files[0].name}; convert the slices first")
        for decoder in stack.decoders:
            if numbers.setdefault(decoder.key, len(decoders)) == len(decoders):
                decoders.append(decoder)
        for plane in stack.planes:
            if plane is None:
                planes.append(None)
                continue
            number = numbers[stack.decoders[plane.decoder].key]
            planes.append(replace(plane, file=paths.setdefault(stack.files[plane.file], len(paths)), decoder=number))
    return Stack(tuple(paths), tuple(decoders), tuple(planes), (len(files), *outer), inner)


def _pages(image: Image, file: Path) -> Stack:
    if image.stack is None:
        raise UnsupportedError(f"{file}: one directory for many planes (a large ImageJ stack); name the file itself instead of its folder")
    return image.stack


def _described(place: str, first: Image, files: Sequence[Path]) -> SourceInfo:
    """Returns the facts of the stack: the first file's, with one more axis in front."""
    info, facts = first.info, first.info.array
    shape = (len(files), *facts.shape)
    named = {axis.name for axis in info.axes or ()}
    new = next((axis for axis in (Axis("z", "space", None, "inferred"), Axis("t", "time", None, "inferred")) if axis.name not in named), None)
    axes = (new, *info.axes) if new is not None and info.axes is not None else None
    notes = [f"{len(files)} files in natural order, {files[0].name} to {files[-1].name}"]
    notes.append(f"taken as {new.name}" if axes and new else "the new first axis has no name: say axes=")
    return SourceInfo(
        location=place,
        name=_name(place),
        array=replace(facts, shape=shape, chunks=shape),
        axes=axes,
        scale=(1.0, *info.scale) if axes and info.scale else None,
        translation=(0.0, *info.translation) if axes and info.translation else None,
        notes=(": ".join(notes) if axes else "; ".join(notes), *info.notes),
    )


def _name(place: str) -> str:
    """Returns the folder's name, or what stands before the first wildcard of a pattern, else the name of the pattern's folder.

    >>> _name("/data/brain.tifs/"), _name("/data/brain_z*.tif"), _name("/data/brain/*.tif")
    ('brain.tifs', 'brain_z', 'brain')
    """
    head, _, last = place.rstrip("/").rpartition("/")
    literal = re.split(r"[*?\[]", last)[0]
    return stem(last) if literal == last else literal.rstrip("_-. ") or stem(head)
