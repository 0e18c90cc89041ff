"""What is looked at before a TIFF file is parsed: the chain of its directories, and the XML in its descriptions.

A hostile or broken file is refused here in one sentence; what passes is parsed by tifffile. Source: TIFF 6.0 section 2; BigTIFF;
reliability promise S9 (directory loops, huge dimensions, offsets past the end, entity bombs).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from ziggurat.problems import DocumentError, LimitError, StorageError

MAX_PAGES = 2**20
"""Directories in one chain; the longest honest ones seen have some 10^5."""
MAX_TAGS = 4096
"""Entries of one directory."""
MAX_XML_BYTES = 64 * 2**20
"""An OME-XML of a whole plate with one entry per plane has some 20 MB."""


@dataclass(frozen=True, slots=True)
class Form:
    """How numbers are written in one of the four kinds of TIFF."""

    order: str
    count: str
    offset: str
    first: int
    """Where the offset of the first directory stands, in bytes."""
    entry_bytes: int


def _form(head: bytes) -> Form:
    order = "<" if head[:2] == b"II" else ">"
    big = b"+" in head[2:4]
    return Form(order, order + ("Q" if big else "H"), order + ("Q" if big else "I"), 8 if big else 4, 20 if big else 12)


def check_chain(path: Path) -> int:
    """Returns the number of directories in the main chain. Raises DocumentError for a chain that is broken, LimitError for one too long."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _walk(file, size, path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error!r})") from error


def _walk(file: BinaryIO, size: int, path: Path) -> int:
    form = _form(_part(file, 0, 4, path))
    width = struct.calcsize(form.offset)
    offset = struct.unpack(form.offset, _part(file, form.first, width, path))[0]
    if offset == 0:
        raise DocumentError(f"{path}: a TIFF header without an image; the file was not written to its end")
    seen: dict[int, int] = {}
    while offset:
        n_pages = len(seen)
        if offset in seen:
            raise DocumentError(f"{path}: directory {n_pages} is directory {seen[offset]} again, the chain is a loop; the file is broken")
        if offset >= size:
            raise DocumentError(f"{path}: directory {n_pages} is said to be at byte {offset:,}, but the file ends at {size:,}; it was cut off")
        if n_pages >= MAX_PAGES:
            raise LimitError(f"{path}: more than {MAX_PAGES:,} directories; the file is broken")
        seen[offset] = n_pages
        n_tags = struct.unpack(form.count, _part(file, offset, struct.calcsize(form.count), path))[0]
        if not 0 < n_tags <= MAX_TAGS:
            raise LimitError(f"{path}: directory {n_pages} claims {n_tags:,} entries, expected 1 to {MAX_TAGS:,}; the file is broken")
        after = offset + struct.calcsize(form.count) + n_tags * form.entry_bytes
        offset = struct.unpack(form.offset, _part(file, after, width, path))[0]
    return len(seen)


def _part(file: BinaryIO, offset: int, count: int, path: Path) -> bytes:
    file.seek(offset)
    data = file.read(count)
    if len(data) != count:
        raise DocumentError(f"{path}: the file ends inside a directory, at byte {offset + len(data):,}; it was cut off")
    return data


def check_xml(text: str, path: Path) -> None:
    """Refuses XML that is larger than any honest one, or that declares entities. Raises LimitError and DocumentError."""
    if len(text) > MAX_XML_BYTES:
        raise LimitError(f"{path}: XML of {len(text):,} characters, expected at most {MAX_XML_BYTES:,}")
    upper = text.upper()
    for token in ("<!DOCTYPE", "<!ENTITY"):
        if token in upper:
            raise DocumentError(f"{path}: the XML of the file declares {token}, which image metadata never needs; it is not read")


def check_companions(names: Iterable[str], path: Path) -> None:
    """Refuses names of companion files that lead out of the file's folder. Raises DocumentError."""
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or PureWindowsPath(name).drive or ".." in parts.parts or "\0" in name or "://" in name:
            raise DocumentError(f"{path}: its OME-XML names the file {name!r}, outside of its own folder; it is not followed")
