"""Zip archives as byte stores: read where they stand, nothing is unpacked. Everything that an archive says of itself is checked first.

The central directory is read once (two requests), a value is one more, and one for its local header the first time. Source: formats.md 2.5
(RFC-9), reliability.md S6, S10; APPNOTE.TXT of the ZIP format.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ziggurat.chunkio import Buffer, ByteStore
from ziggurat.node import MAX_DOCUMENT_BYTES, resolve
from ziggurat.problems import DocumentError, LimitError, PathError, StorageError, UnsupportedError
from ziggurat.validation.archives import Archive, Stored

MAX_ENTRIES = 2_000_000
"""A sharded plate has some ten thousand; an unsharded archive of two million chunks belongs in shards."""
MAX_DIRECTORY_BYTES = 256 * 2**20
"""Two million entries with names of 80 characters."""
MAX_INFLATED_BYTES = 512 * 2**20
"""A chunk that the archive compresses once more; no honest one is larger, and it has to be inflated whole."""
_END, _END64, _LOCATOR, _ENTRY, _LOCAL = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02", b"PK\x03\x04"
_TAIL = 22 + 65_535 + 20
"""End record, the longest comment, and the locator of ZIP64 before them."""
_STORED, _DEFLATED = 0, 8
_FULL = 0xFFFFFFFF

Read = Callable[[int, int], bytes]
"""(start, length) -> the bytes that exist there."""


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    raw_name: bytes
    method: int
    crc: int
    stored_bytes: int
    n_bytes: int
    offset: int


class ZipStore:
    """A `ByteStore` over one zip archive. Thread-safe; pickled as the place where the archive lies.

    Parameters
    ----------
    store, key
        Where the archive lies: a byte store and the key of the file in it.
    location
        For messages.

    Raises
    ------
    DocumentError
        It is no zip archive, is cut short, or says things of itself that contradict each other: names that stand twice, entries that overlap.
    LimitError
        More entries than any honest archive has.
    PathError
        A name leaves the archive.
    UnsupportedError
        Several volumes, or encrypted entries.
    """

    def __init__(self, store: ByteStore, key: str, *, location: str) -> None:
        self._store, self._key, self._location = store, key, location
        size = store.size(key)
        if size is None:
            raise StorageError(f"{location}: no such file")
        directory = _find_directory(self._read, size, location)
        self._entries = _entries(self._read(directory.offset, directory.n_bytes), directory, location)
        self._comment, self._is_64 = directory.comment, directory.is_64
        self._starts: dict[str, int] = {}
        self._below: dict[str, tuple[list[str], list[str]]] | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[object, ...]:
        return _zip_store, (self._store, self._key, self._location)

    def __repr__(self) -> str:
        return self._location

    @property
    def archive(self) -> Archive:
        """What RFC-9 has rules for."""
        entries = tuple(Stored(entry.name, compressed=entry.method != _STORED) for entry in self._entries.values())
        return Archive(self._location, entries, self._comment, is_64=self._is_64)

    def get(self, key: str, range: tuple[int, int] | None = None) -> Buffer | None:
        """Returns a value or the part that exists of it, None when the archive has no such name.

        Raises StorageError for one that is damaged, or longer or shorter than the archive says; LimitError for a bomb.
        """
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.method == _STORED:
            start, length = (0, entry.n_bytes) if range is None else (range[0], max(0, min(range[1], entry.n_bytes - range[0])))
            if range is None:
                self._refuse_large(entry)
            data = self._read(self._start(entry) + start, length)
            if len(data) != length:
                raise StorageError(f"{self._location}/{key}: the archive ends in the middle of it; copy it again")
            return self._checked(entry, data) if range is None else data
        data = self._inflated(entry)
        return data if range is None else data[range[0] : range[0] + range[1]]

    def put(self, key: str, parts: Sequence[Buffer]) -> None:
        raise StorageError(f"{self._location}/{key}: archives are only read; write into a folder, and zip it when it is finished")

    def size(self, key: str) -> int | None:
        """Returns a value's size in bytes as the archive states it, None when it has no such name."""
        entry = self._entries.get(key)
        return None if entry is None else entry.n_bytes

    def names(self, path: str) -> list[str]:
        """Returns the names directly below `path` that have something below them."""
        return self._listing().get(path, ([], []))[0]

    def files(self, path: str) -> Iterator[str] | None:
        """Returns the names of the values directly below `path`, None where nothing lies."""
        found = self._listing().get(path)
        return None if found is None else iter(found[1])

    def _listing(self) -> dict[str, tuple[list[str], list[str]]]:
        with self._lock:
            if self._below is None:
                below: dict[str, tuple[list[str], list[str]]] = {"": ([], [])}
                for name in self._entries:
                    path, _, file = name.rpartition("/")
                    while path not in below:
                        below[path] = ([], [])
                        path = path.rpartition("/")[0]
                    below[name.rpartition("/")[0]][1].append(file)
                for path in below:
                    if path:
                        above, _, name = path.rpartition("/")
                        below[above][0].append(name)
                self._below = below
            return self._below

    def _read(self, start: int, length: int) -> bytes:
        return bytes(self._store.get(self._key, (start, length)) or b"") if length > 0 else b""

    def _start(self, entry: _Entry) -> int:
        """Returns where the bytes of an entry begin, after its local header, which must name the same entry."""
        found = self._starts.get(entry.name)
        if found is None:
            header = self._read(entry.offset, 30 + len(entry.raw_name))
            if len(header) < 30 or header[:4] != _LOCAL or header[30:] != entry.raw_name:
                raise StorageError(f"{self._location}/{entry.name}: the archive's directory and the entry itself name different things; make it again")
            n_name, n_extra = struct.unpack("<HH", header[26:30])
            found = self._starts[entry.name] = entry.offset + 30 + n_name + n_extra
        return found

    def _inflated(self, entry: _Entry) -> bytes:
        if entry.method != _DEFLATED:
            raise UnsupportedError(f"{self._location}/{entry.name}: compressed by method {entry.method}; store it without compression, or with deflate")
        self._refuse_large(entry)
        stored = self._read(self._start(entry), entry.stored_bytes)
        try:
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            data = inflater.decompress(stored, entry.n_bytes + 1)
        except zlib.error as error:
            raise StorageError(f"{self._location}/{entry.name}: cannot be inflated ({error}); copy the archive again") from None
        if len(data) != entry.n_bytes or not inflater.eof:
            raise StorageError(f"{self._location}/{entry.name}: inflates to other than the {entry.n_bytes:,} bytes that the archive states; make it again")
        return self._checked(entry, data)

    def _checked(self, entry: _Entry, data: bytes) -> bytes:
        if zlib.crc32(data) != entry.crc:
            raise StorageError(f"{self._location}/{entry.name}: its checksum is wrong, so the archive is damaged; copy it again")
        return data

    def _refuse_large(self, entry: _Entry) -> None:
        """Raises LimitError before anything is read or allocated."""
        file = entry.name.rpartition("/")[2]
        limit = MAX_DOCUMENT_BYTES if file.startswith(".z") or file.endswith((".json", ".xml")) else MAX_INFLATED_BYTES
        if entry.n_bytes > limit and (entry.method != _STORED or limit == MAX_DOCUMENT_BYTES):
            raise LimitError(f"{self._location}/{entry.name}: {entry.n_bytes:,} bytes, and no honest value of this kind has more than {limit:,}")


def _zip_store(store: ByteStore, key: str, location: str) -> ZipStore:
    return ZipStore(store, key, location=location)


@dataclass(frozen=True, slots=True)
class _Directory:
    offset: int
    n_bytes: int
    n_entries: int
    comment: bytes
    is_64: bool


def _find_directory(read: Read, size: int, location: str) -> _Directory:
    """Returns where the central directory lies, from the record at the end of the archive."""
    start = max(0, size - _TAIL)
    tail = read(start, size - start)
    at = tail.rfind(_END)
    while at >= 0 and not (len(tail) >= at + 22 and at + 22 + struct.unpack("<H", tail[at + 20 : at + 22])[0] == len(tail)):
        at = tail.rfind(_END, 0, at)
    if at < 0:
        raise DocumentError(f"{location}: no zip archive, or one that was cut short; it has no record at its end")
    disk, first_disk, here, n_entries, n_bytes, offset, n_comment = struct.unpack("<HHHHIIH", tail[at + 4 : at + 22])
    comment, end = tail[at + 22 : at + 22 + n_comment], start + at
    is_64 = tail[max(0, at - 20) : max(0, at - 20) + 4] == _LOCATOR
    if is_64:
        record_at = struct.unpack("<Q", tail[at - 12 : at - 4])[0]
        record = read(record_at, 56)
        if len(record) != 56 or record[:4] != _END64:
            raise DocumentError(f"{location}: its ZIP64 record is not where it should be; make the archive again")
        disk, first_disk, here, n_entries, n_bytes, offset = struct.unpack("<IIQQQQ", record[16:56])
        end = record_at
    if disk or first_disk or here != n_entries:
        raise UnsupportedError(f"{location}: one of several volumes; join them into one archive")
    if n_entries > MAX_ENTRIES or n_bytes > MAX_DIRECTORY_BYTES:
        raise LimitError(f"{location}: lists {n_entries:,} entries in {n_bytes:,} bytes, more than any honest archive; {MAX_ENTRIES:,} are read")
    if offset + n_bytes > end or n_entries * 46 > n_bytes:
        raise DocumentError(f"{location}: its directory does not lie where its last record says; copy the archive again")
    return _Directory(offset, n_bytes, n_entries, comment, is_64)


def _entries(data: bytes, directory: _Directory, location: str) -> dict[str, _Entry]:
    """Returns the files of an archive by name, in the order of its directory."""
    found: dict[str, _Entry] = {}
    at = 0
    for _ in range(directory.n_entries):
        entry, at = _entry(data, at, location)
        if entry.name.endswith("/"):
            continue
        if entry.name in found:
            raise DocumentError(f"{location}: {entry.name!r} stands twice in it; which one holds is anybody's guess, so make the archive again")
        found[entry.name] = entry
    _refuse_overlaps(found, directory.offset, location)
    return found


def _entry(data: bytes, at: int, location: str) -> tuple[_Entry, int]:
    """Returns the entry whose record begins at `at`, and where the next one begins."""
    if len(data) < at + 46 or data[at : at + 4] != _ENTRY:
        raise DocumentError(f"{location}: its directory is cut short or damaged; copy the archive again")
    flags, method, _, _, crc, stored, n_bytes, n_name, n_extra, n_comment = struct.unpack("<HHHHIIIHHH", data[at + 8 : at + 34])
    offset = struct.unpack("<I", data[at + 42 : at + 46])[0]
    raw, extra = data[at + 46 : at + 46 + n_name], data[at + 46 + n_name : at + 46 + n_name + n_extra]
    n_bytes, stored, offset = _large(extra, (n_bytes, stored, offset))
    name = _name(raw, flags, location)
    if flags & 1:
        raise UnsupportedError(f"{location}: {name!r} is encrypted; make an archive without a password")
    return _Entry(name, raw, method, crc, stored, n_bytes, offset), at + 46 + n_name + n_extra + n_comment


def _large(extra: bytes, numbers: tuple[int, int, int]) -> tuple[int, int, int]:
    """Returns the sizes and the offset of an entry, from its ZIP64 field where they stand there."""
    at = 0
    while at + 4 <= len(extra):
        kind, n_bytes = struct.unpack("<HH", extra[at : at + 4])
        if kind == 1:
            field = extra[at + 4 : at + 4 + n_bytes]
            longs = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
            first, second, third = (next(longs, n) if n == _FULL else n for n in numbers)
            return first, second, third
        at += 4 + n_bytes
    return numbers


def _name(raw: bytes, flags: int, location: str) -> str:
    try:
        name = raw.decode("utf-8" if flags & 0x800 or raw.isascii() else "cp437")
    except UnicodeDecodeError:
        raise DocumentError(f"{location}: holds a name that is no UTF-8 though it says so; make the archive again") from None
    try:
        plain = resolve(name, "name")
    except PathError as error:
        raise PathError(f"{location}: {error}") from None
    if name.rstrip("/") != plain:
        raise PathError(f"{location}: name {name[:80]!r} is no plain path; make the archive again")
    return name


def _refuse_overlaps(entries: Mapping[str, _Entry], directory_offset: int, location: str) -> None:
    """Raises DocumentError where two entries share bytes, or one runs into the directory: small archives of huge content are made so."""
    end, last = 0, ""
    for entry in sorted(entries.values(), key=lambda entry: entry.offset):
        if entry.offset < end:
            raise DocumentError(f"{location}: {entry.name!r} and {last!r} lie upon each other; make the archive again")
        end, last = entry.offset + 30 + len(entry.raw_name) + entry.stored_bytes, entry.name
        if entry.method == _STORED and entry.stored_bytes != entry.n_bytes:
            raise DocumentError(f"{location}: {entry.name!r} is stored as it is, in {entry.stored_bytes:,} bytes, and said to have {entry.n_bytes:,}")
    if end > directory_offset:
        raise DocumentError(f"{location}: {last!r} runs into the directory; make the archive again")
