"""What is finished: the journal of a build, the stash of its finished roots, and the lock of its target.

Everything lies in the target under `.ziggurat/`, and is gone when the build is published:

    .ziggurat/lock                      held while a build runs; released by the system when its process dies
    .ziggurat/<fingerprint>/plan.json   the plan, for people
    .ziggurat/<fingerprint>/journal     a line of JSON per finished root
    .ziggurat/<fingerprint>/stash/...   what the root's parent gets from it, raw

Exact sums cannot be had back from rounded levels, so the stash is what lets a restart go on without reading a finished root's base
again. A line counts only when it is whole and its stash has the check sum that the line states. Source: engine.md 1(g).
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ziggurat.problems import StorageError, TargetExists

FOLDER = ".ziggurat"
LOCK = "lock"
"""Name of the lock in `FOLDER`. A killed build leaves the file, though nobody holds it."""
Index = tuple[int, ...]
SYNC_SECONDS = 0.05
"""Journal lines are synced at most this often: a root that a power cut takes from the journal is made again."""


class Journal:
    """The journal of one build, open for appending. Thread-safe."""

    def __init__(self, target: str | Path, fingerprint: str, *, sync: bool = True) -> None:
        self._folder = Path(target) / FOLDER / fingerprint
        self._sync = sync
        self._lock = threading.Lock()
        self._fd = -1
        self._synced = -SYNC_SECONDS
        self.resumed = False
        """True when the journal was there before it was opened."""

    @property
    def folder(self) -> Path:
        return self._folder

    def open(self, plan_text: str) -> dict[tuple[int, Index], bytes]:
        """Begins, or goes on. Returns what is finished: (pass, root) -> the root's stash. Raises StorageError."""
        try:
            self.resumed = (self._folder / "journal").exists()
            finished = self._read()
            (self._folder / "stash").mkdir(parents=True, exist_ok=True)
            plan = self._folder / "plan.json"
            if not plan.exists():
                plan.write_text(plan_text)
            self._fd = os.open(self._folder / "journal", os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o666)
            if finished or os.fstat(self._fd).st_size:
                os.write(self._fd, b"\n")  # ends a line that was torn
        except OSError as error:
            raise _failure(self._folder, "write the journal", error) from error
        return finished

    def _read(self) -> dict[tuple[int, Index], bytes]:
        path = self._folder / "journal"
        if not path.exists():
            return {}
        finished: dict[tuple[int, Index], bytes] = {}
        for line in path.read_bytes().split(b"\n"):
            entry = _entry(line)
            if entry is None:
                continue
            number, root, n_bytes, crc = entry
            data = self._stash(number, root) if n_bytes else b""
            if data is not None and len(data) == n_bytes and zlib.crc32(data) == crc:
                finished[number, root] = data
        return finished

    def _stash(self, number: int, root: Index) -> bytes | None:
        try:
            return self._path(number, root).read_bytes()
        except FileNotFoundError:
            return None

    def _path(self, number: int, root: Index) -> Path:
        return self._folder / "stash" / f"{number}-{'.'.join(map(str, root))}"

    def keep(self, number: int, root: Index, parts: Sequence[bytes | memoryview]) -> tuple[int, int]:
        """Stores a finished root's stash. Returns its size in bytes and its check sum; any process may call it. Nothing: no file."""
        if not parts:
            return 0, 0
        path = self._path(number, root)
        crc = n_bytes = 0
        try:
            fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o666)
            try:
                for part in parts:
                    crc = zlib.crc32(part, crc)
                    n_bytes += memoryview(part).nbytes
                    _write(fd, part)
            finally:
                os.close(fd)
        except OSError as error:
            raise _failure(path, "write", error) from error
        return n_bytes, crc

    def stashed(self, number: int, root: Index, n_bytes: int, crc: int) -> bytes:
        """Returns a stash that another process kept. Raises StorageError when it is not what was said."""
        data = self._stash(number, root) if n_bytes else b""
        if data is None or len(data) != n_bytes or zlib.crc32(data) != crc:
            raise StorageError(f"{self._path(number, root)}: not what the worker kept; run the build again to go on")
        return data

    def finish(self, number: int, root: Index, n_bytes: int, crc: int) -> None:
        """Writes the line of a finished root, synced unless another line was a moment ago."""
        line = json.dumps([number, list(root), n_bytes, crc]).encode() + b"\n"
        try:
            with self._lock:
                _write(self._fd, line)
                due = self._sync and time.monotonic() - self._synced >= SYNC_SECONDS
                self._synced = time.monotonic() if due else self._synced
            if due:
                os.fdatasync(self._fd) if hasattr(os, "fdatasync") else os.fsync(self._fd)
        except OSError as error:
            raise _failure(self._folder, "write the journal", error) from error

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        """Removes the journal and its stash: the build is published."""
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _entry(line: bytes) -> tuple[int, Index, int, int] | None:
    """Returns what a line says, None for one that is torn."""
    try:
        number, root, n_bytes, crc = json.loads(line)
        return int(number), tuple(int(x) for x in root), int(n_bytes), int(crc)
    except (ValueError, TypeError):
        return None


def _write(fd: int, data: bytes | memoryview) -> None:
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(fd, rest) :]


def _failure(path: Path, verb: str, error: OSError) -> StorageError:
    failure = StorageError(f"{path}: cannot {verb}: {error.strerror or error}")
    failure.errno = error.errno
    return failure


def unfinished(target: str | Path) -> tuple[str, ...]:
    """Returns the fingerprints of the builds that were begun in a target and not published."""
    folder = Path(target) / FOLDER
    if not folder.is_dir():
        return ()
    return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and (p / "journal").exists()))


@contextmanager
def locked(target: str | Path) -> Iterator[None]:
    """Holds the lock of a target, so that no two builds or upgrades write into it at once.

    Raises
    ------
    TargetExists
        When another process holds it.
    StorageError
        When the target cannot be written to.

    Notes
    -----
    The lock is the system's (`flock`): it ends with its process, whatever ends that. Where there is no such lock (Windows), the file
    is made exclusively and a killed build leaves it behind.
    """
    folder = Path(target) / FOLDER
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = _acquire(path)
    except OSError as error:
        raise _failure(path, "write", error) from error
    if fd is None:
        raise TargetExists(f"{target}: another build or upgrade is writing here (it holds {path}); wait for it, or stop it")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(fd)
        with suppress(OSError):  # not empty: an unfinished build lies there
            folder.rmdir()


def _acquire(path: Path) -> int | None:
    try:
        import fcntl
    except ImportError:  # Windows
        try:
            return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return None
    while True:
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        try:
            same = os.fstat(fd).st_ino == path.stat().st_ino
        except FileNotFoundError:
            same = False
        if same:
            return fd
        os.close(fd)  # the holder removed the file between our open and our lock
