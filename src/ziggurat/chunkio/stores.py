"""Byte stores: files, a dict, and a store that counts. All are thread-safe; the first two can be pickled."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import threading
from collections import Counter
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Literal, NoReturn

from ziggurat.chunkio.ports import Buffer, ByteStore, TargetStore, as_target
from ziggurat.problems import PathError, StorageError

Durability = Literal["rename", "fsync", "none"]
"""How a value reaches the disk: a rename over the old one; the same and synced; written in place."""

PARTIAL_SUFFIX = ".partial"
"""End of the name of a file that is being written; what a killed process leaves behind ends so."""

_PARTS_PER_CALL = 512  # below IOV_MAX, which POSIX systems set to 1024
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # the last: a named pipe in place of a chunk must not hang the reader
_WRITE = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC
_serial = itertools.count()


def checked_path(path: str) -> str:
    """Returns a relative path without slashes at its ends, "" for the root.

    Raises
    ------
    PathError
        For a path with an empty, `.` or `..` part, a backslash or a NUL. Source: reliability.md S1.
    """
    stripped = path.strip("/")
    if path.startswith("/") or (stripped and any(part in ("", ".", "..") for part in stripped.split("/"))) or "\\" in path or "\0" in path:
        raise PathError(f"path {path!r}: leaves the store or is no path; expected names joined by '/'")
    return stripped


class FileStore:
    """Values as files below one directory.

    Parameters
    ----------
    root
        The directory; made when the first value is written.
    durability
        `"rename"`: a value is written beside its place and moved over it, so no reader sees half of it, also after a kill.
        `"fsync"`: the file and its directory are synced as well, so the same holds after a power cut. `"none"`: in place.
    read_only
        Refuse to write and delete: a source is never opened for writing.
    """

    def __init__(self, root: str | os.PathLike[str], *, durability: Durability = "rename", read_only: bool = False) -> None:
        self._root = os.fspath(root)
        self._read_only = read_only
        self._prefix = self._root.rstrip("/") + "/"
        self._durability = durability
        self._directories: set[str] = set()

    def __reduce__(self) -> tuple[object, ...]:
        return _file_store, (self._root, self._durability, self._read_only)

    def __repr__(self) -> str:
        return f"FileStore({self._root!r}, durability={self._durability!r})"

    @property
    def root(self) -> Path:
        return Path(self._root)

    @property
    def durability(self) -> Durability:
        return self._durability

    @property
    def read_only(self) -> bool:
        return self._read_only

    def get(self, key: str, range: tuple[int, int] | None = None, *, max_bytes: int | None = None) -> bytes | None:
        """Returns a file's bytes, or the `(start, length)` part that exists of them; None only when there is no such file.

        A whole file larger than `max_bytes` raises StorageError before anything is read or allocated.
        """
        try:
            fd = os.open(self._prefix + key, _READ)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._fail("read", key, error)
        try:
            if range is not None:
                return _read_range(fd, *range)
            size = os.fstat(fd).st_size
            if max_bytes is not None and size > max_bytes:
                raise StorageError(f"{self._prefix}{key}: file of {size} bytes; expected at most {max_bytes}")
            data = os.read(fd, size)
            return data if len(data) == size else _read_range(fd, 0, size)
        except StorageError:
            raise
        except OSError as error:
            self._fail("read", key, error)
        finally:
            os.close(fd)

    def put(self, key: str, parts: Sequence[Buffer]) -> None:
        """Stores the joined parts as one file, making directories as needed."""
        self._put(key, parts, self._durability)

    def names(self, path: str) -> list[str]:
        """Returns the names of the directories directly below `path`, by listing; none when there is no such directory."""
        try:
            with os.scandir(self._prefix + path) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self._fail("list", path, error)

    def keys(self, path: str) -> list[str]:
        """Returns the keys of all files below `path`, but those that are still being written."""
        found: list[str] = []
        try:
            for folder, _, files in os.walk(self._prefix + path, onerror=_raise_unless_absent):
                below = folder[len(self._prefix) :].strip("/")
                found += [f"{below}/{name}" if below else name for name in files if not name.endswith(PARTIAL_SUFFIX)]
        except OSError as error:
            self._fail("list", path, error)
        return sorted(found)

    def remove_all(self, path: str) -> None:
        """Removes a directory and all that is in it; what cannot be removed stays."""
        self._check_writable(path)
        shutil.rmtree(self._prefix + path, ignore_errors=True)
        self._directories = {d for d in self._directories if not f"{d}/".startswith(f"{self._prefix}{path}/")}

    def sync(self) -> None:
        """Returns when everything written so far is on the disk: one sync of the file system, for many chunks. Raises StorageError."""
        try:
            fd = os.open(self._root, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # nothing was written
        except OSError as error:
            self._fail("sync", "", error)
        try:
            _sync_file_system(fd)
        except OSError as error:
            self._fail("sync", "", error)
        finally:
            os.close(fd)

    def put_new(self, key: str, parts: Sequence[Buffer]) -> bool:
        """Stores like `put` unless the file exists; returns whether it did. A reader may see the file before it is whole."""
        self._check_writable(key)
        try:
            self._make_directory((self._prefix + key).rpartition("/")[0])
            fd = os.open(self._prefix + key, _WRITE | os.O_EXCL, 0o666)
            try:
                _write_parts(fd, parts)
            finally:
                os.close(fd)
        except FileExistsError:
            return False
        except OSError as error:
            self._fail("write", key, error)
        return True

    def put_synced(self, key: str, parts: Sequence[Buffer]) -> None:
        """Stores like `put` and returns when file and directory are on the disk, whatever the store's durability."""
        self._put(key, parts, "fsync")

    def size(self, key: str) -> int | None:
        """Returns a file's size in bytes, None when there is no such file."""
        try:
            return os.stat(self._prefix + key).st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            self._fail("read", key, error)

    def delete(self, key: str) -> bool:
        """Removes a file; returns whether it was there."""
        self._check_writable(key)
        try:
            os.unlink(self._prefix + key)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._fail("delete", key, error)
        return True

    def _check_writable(self, key: str) -> None:
        if self._read_only:
            raise StorageError(f"{self._prefix}{key}: opened for reading only; open the store with writable=True to change it")

    def _put(self, key: str, parts: Sequence[Buffer], durability: Durability) -> None:
        self._check_writable(key)
        path = self._prefix + key
        directory = path.rpartition("/")[0]
        target = path if durability == "none" else f"{path}.{os.getpid():x}-{next(_serial):x}{PARTIAL_SUFFIX}"
        made = False
        try:
            if directory not in self._directories:
                made = self._make_directory(directory)
            try:
                fd = os.open(target, _WRITE, 0o666)
            except FileNotFoundError:  # the directory was removed behind our back
                made = self._make_directory(directory)
                fd = os.open(target, _WRITE, 0o666)
        except OSError as error:
            self._fail("write", key, error)
        try:
            try:
                _write_parts(fd, parts)
                if durability == "fsync":
                    os.fsync(fd)
            finally:
                os.close(fd)
            if target is not path:
                os.replace(target, path)
            if durability == "fsync":
                _sync_directories(directory, self._prefix.rstrip("/") if made else directory)
        except OSError as error:
            if target is not path:
                _unlink_quietly(target)
            self._fail("write", key, error)
        except BaseException:  # an interrupt: leave no litter, then go on with it
            if target is not path:
                _unlink_quietly(target)
            raise

    def _make_directory(self, directory: str) -> bool:
        os.makedirs(directory or "/", exist_ok=True)
        self._directories.add(directory)
        return True

    def _fail(self, verb: str, key: str, error: OSError) -> NoReturn:
        way = "; run the same command again when that is mended" if verb == "write" else ""
        failure = StorageError(f"{self._prefix}{key}: cannot {verb}: {error.strerror or error}{way}")
        failure.errno = error.errno
        raise failure from error


def _file_store(root: str, durability: Durability, read_only: bool) -> FileStore:
    return FileStore(root, durability=durability, read_only=read_only)


def _read_range(fd: int, start: int, length: int) -> bytes:
    """Returns up to `length` bytes from `start`; fewer only at the file's end. One call of the system moves at most 2 GiB."""
    data = os.pread(fd, length, start)
    if len(data) == length or not data:
        return data
    chunks = [data]
    n_read = len(data)
    while n_read < length and (data := os.pread(fd, length - n_read, start + n_read)):
        chunks.append(data)
        n_read += len(data)
    return b"".join(chunks)


def _write_parts(fd: int, parts: Sequence[Buffer]) -> None:
    for i in range(0, len(parts), _PARTS_PER_CALL):
        batch = parts[i : i + _PARTS_PER_CALL]
        n_written = os.writev(fd, batch)
        if n_written == sum(memoryview(p).nbytes for p in batch):
            continue
        rest = memoryview(b"".join(batch))[n_written:]
        while rest:  # a nearly full disk, or more than 2 GiB at once
            n_written = os.write(fd, rest)
            if n_written == 0:
                raise OSError(errno.EIO, "nothing more was written")
            rest = rest[n_written:]


def _sync_directories(directory: str, top: str) -> None:
    """Syncs a directory and, when some were made, those above it up to the parent of `top`."""
    while True:
        fd = os.open(directory or "/", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        if len(directory) < len(top) or directory in ("", "/") or directory == top:
            return
        directory = os.path.dirname(directory)


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _sync_file_system(fd: int) -> None:
    """Syncs the file system of an open file, where the system can do that; else all of them. Raises OSError."""
    import ctypes  # here: numpy has loaded it, if anything was written

    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if os.name == "posix" else None
    if syncfs is None:
        if hasattr(os, "sync"):
            os.sync()
        return
    if syncfs(fd):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _unlink_quietly(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


class DictStore:
    """Values in a dict of bytes, or in any mutable mapping: for tests and for what is small."""

    def __init__(self, values: MutableMapping[str, bytes] | None = None) -> None:
        self._values: MutableMapping[str, bytes] = {} if values is None else values
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[object, ...]:
        return DictStore, (self._values,)

    def __repr__(self) -> str:
        return "DictStore()"

    @property
    def values(self) -> MutableMapping[str, bytes]:
        return self._values

    def get(self, key: str, range: tuple[int, int] | None = None) -> bytes | None:
        """Returns a value or the part that exists of it, None when the key is not there."""
        with self._lock:
            try:
                value = self._values[key]
            except KeyError:
                return None
        return value if range is None else value[range[0] : range[0] + range[1]]

    def put(self, key: str, parts: Sequence[Buffer]) -> None:
        """Stores the joined parts, copied."""
        value = b"".join(parts)
        with self._lock:
            self._values[key] = value

    def size(self, key: str) -> int | None:
        """Returns the size of a value in bytes, None when the key is not there."""
        value = self.get(key)
        return None if value is None else len(value)

    def names(self, path: str) -> list[str]:
        """Returns the names directly below `path` that have something below them, by listing."""
        prefix = f"{path}/" if path else ""
        with self._lock:
            below = [key[len(prefix) :] for key in list(self._values) if key.startswith(prefix)]
        return sorted({key.split("/", 1)[0] for key in below if "/" in key})

    def keys(self, path: str) -> list[str]:
        """Returns the keys of all values below `path`."""
        prefix = f"{path}/" if path else ""
        with self._lock:
            return sorted(key for key in list(self._values) if key.startswith(prefix))

    def put_new(self, key: str, parts: Sequence[Buffer]) -> bool:
        """Stores like `put` unless the key exists; returns whether it did."""
        with self._lock:
            if key in self._values:
                return False
            self._values[key] = b"".join(parts)
        return True

    def delete(self, key: str) -> bool:
        """Removes a value; returns whether it was there."""
        with self._lock:
            return self._values.pop(key, None) is not None


class PrefixedStore:
    """A byte store seen from a path inside it."""

    def __init__(self, store: ByteStore, path: str) -> None:
        self._store, self._path = store, path.strip("/")

    def __repr__(self) -> str:
        return f"{self._store!r}/{self._path}"

    @property
    def is_target(self) -> bool:
        return as_target(self._store) is not None

    def get(self, key: str, range: tuple[int, int] | None = None) -> Buffer | None:
        return self._store.get(f"{self._path}/{key}", range)

    def put(self, key: str, parts: Sequence[Buffer]) -> None:
        self._store.put(f"{self._path}/{key}", parts)

    def size(self, key: str) -> int | None:
        return self._store.size(f"{self._path}/{key}")

    def names(self, path: str) -> list[str]:
        """Returns the names directly below `path`, by listing."""
        listing = getattr(self._store, "names", None)
        if listing is None:
            raise StorageError(f"{self!r}: cannot be listed; name the group or array itself")
        return list(listing(f"{self._path}/{path}" if path else self._path))

    def keys(self, path: str) -> list[str]:
        """Returns the keys of all values below `path`, seen from here."""
        return [key[len(self._path) + 1 :] for key in self._target().keys(f"{self._path}/{path}" if path else self._path)]

    def put_new(self, key: str, parts: Sequence[Buffer]) -> bool:
        return self._target().put_new(f"{self._path}/{key}", parts)

    def delete(self, key: str) -> bool:
        return self._target().delete(f"{self._path}/{key}")

    def delete_all(self, keys: Sequence[str]) -> None:
        """Removes many values."""
        delete_all(self._target(), [f"{self._path}/{key}" for key in keys])

    def _target(self) -> TargetStore:
        store = as_target(self._store)
        if store is None:
            raise StorageError(f"{self!r}: this store can neither list nor delete")
        return store


def delete_all(store: TargetStore, keys: Sequence[str]) -> None:
    """Removes many values, in few requests where the store has such a thing, else several at a time. Raises StorageError."""
    many = getattr(store, "delete_all", None)
    if many is not None:
        many(keys)
    elif len(keys) < 16:
        for key in keys:
            store.delete(key)
    else:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(store.delete, keys))


class CountingStore:
    """A store that counts what is asked of another one; listing raises, because nothing that opens declared metadata may list."""

    def __init__(self, store: ByteStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self.gets: Counter[str] = Counter()
        self.ranges: Counter[tuple[str, int, int]] = Counter()
        self.puts: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()
        self.deletes: Counter[str] = Counter()
        self.lists: Counter[str] = Counter()
        self.read_bytes = 0
        self.written_bytes = 0

    def __repr__(self) -> str:
        return f"CountingStore({self._store!r})"

    @property
    def n_gets(self) -> int:
        """Number of gets, whole values and ranges."""
        return self.gets.total()

    @property
    def n_puts(self) -> int:
        return self.puts.total()

    def get(self, key: str, range: tuple[int, int] | None = None) -> Buffer | None:
        """Counts `key` (and the range) and passes on."""
        value = self._store.get(key, range)
        with self._lock:
            self.gets[key] += 1
            if range is not None:
                self.ranges[(key, *range)] += 1
            self.read_bytes += 0 if value is None else memoryview(value).nbytes
        return value

    def put(self, key: str, parts: Sequence[Buffer]) -> None:
        """Counts `key` and passes on."""
        self._store.put(key, parts)
        with self._lock:
            self.puts[key] += 1
            self.written_bytes += sum(memoryview(p).nbytes for p in parts)

    def size(self, key: str) -> int | None:
        """Counts `key` and passes on."""
        with self._lock:
            self.sizes[key] += 1
        return self._store.size(key)

    def put_new(self, key: str, parts: Sequence[Buffer]) -> bool:
        """Counts `key` among the puts and passes on."""
        with self._lock:
            self.puts[key] += 1
        return self._target().put_new(key, parts)

    def delete(self, key: str) -> bool:
        """Counts `key` and passes on."""
        with self._lock:
            self.deletes[key] += 1
        return self._target().delete(key)

    def keys(self, path: str) -> list[str]:
        """Counts `path` and passes on; only our own `.ziggurat/` may be listed."""
        with self._lock:
            self.lists[path] += 1
        return self._target().keys(path)

    @property
    def is_target(self) -> bool:
        return as_target(self._store) is not None

    def _target(self) -> TargetStore:
        store = as_target(self._store)
        if store is None:
            raise StorageError(f"{self!r}: the store below can neither list nor delete")
        return store

    def list(self, prefix: str = "") -> NoReturn:
        """Raises StorageError: what opens a declared multiscale must not list."""
        raise StorageError(f"{prefix!r}: listed, though only declared keys may be read")
