"""The lock of a target: no two builds, upgrades or conversions write into it at once; parts of one build do, each with a lock of its own.

In a local folder it is the system's (`flock`), and ends with its process, whatever ends that. Elsewhere it is an object that is made on
the condition that it is not there, says who made it, and is renewed while its holder lives.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ziggurat.chunkio import FileStore, TargetStore
from ziggurat.journal import FOLDER
from ziggurat.model import JSON
from ziggurat.problems import StorageError, TargetExists

LOCK = "lock"
"""Name of the lock in `journal.FOLDER`. A killed build leaves it, though nobody holds it."""
PARTS = "parts"
"""Folder in `journal.FOLDER` of the locks of parts, `<number>-of-<n>`."""
LEASE_SECONDS = 60.0
"""A lock in a store counts as left when it was not renewed for so long; it is renewed four times as often."""


@contextmanager
def locked(target: str | Path | TargetStore) -> Iterator[Lease]:
    """Holds the lock of a target, a local folder or a store.

    Raises
    ------
    TargetExists
        When another process holds it, or a part of a build is at work.
    StorageError
        When the target cannot be written to.

    Notes
    -----
    Where a system has no `flock` (Windows), the file is made exclusively and a killed build leaves it behind. In a store, the lock of a
    process of this machine that is gone is taken over at once, any other when it was not renewed for `LEASE_SECONDS`. Two builds that
    hold a lock in a store both, because one of them was stopped for longer, can only be of one plan, and so write the same bytes.
    """
    with _held(target, LOCK) as lease:
        for name in _parts(target):
            if _is_held(target, name):
                raise TargetExists(f"{_text(target)}: part {_words(name)} of a build is at work here; wait for it, or stop it")
            _forget(target, name)
        yield lease


@contextmanager
def locked_part(target: str | Path | TargetStore, number: int, n_parts: int) -> Iterator[Lease]:
    """Holds the lock of one of `n_parts` parts of a build: beside the other parts, but not beside who holds the lock of the target.

    Raises
    ------
    TargetExists
        When another process makes the same part, or part of another number of parts, or holds the target.
    StorageError
        When the target cannot be written to.
    """
    own = f"{PARTS}/{number}-of-{n_parts}"
    with _held(target, own) as lease:  # first: of two that come at once, one at least sees the other
        if _is_held(target, LOCK):
            raise TargetExists(f"{_text(target)}: another build is writing here (it holds {FOLDER}/{LOCK}); wait for it, or stop it")
        for name in _parts(target):
            if not name.endswith(f"-of-{n_parts}") and _is_held(target, name):
                raise TargetExists(f"{_text(target)}: part {_words(name)} is at work here, found part {_words(own)}; say as many parts, or wait for it")
        yield lease


@contextmanager
def _held(target: str | Path | TargetStore, name: str) -> Iterator[Lease]:
    if isinstance(target, str | Path | FileStore):
        with _flocked(target.root if isinstance(target, FileStore) else Path(target), name):
            yield Lease()
        return
    lease = _StoreLease(target, name)
    lease.acquire()
    try:
        yield lease
    finally:
        lease.release()


def _text(target: str | Path | TargetStore) -> str:
    return str(target.root) if isinstance(target, FileStore) else str(target) if isinstance(target, str | Path) else repr(target)


def _words(name: str) -> str:
    return name.rpartition("/")[2].replace("-of-", "/")


def _parts(target: str | Path | TargetStore) -> list[str]:
    """Returns the names of the locks of parts that are there, held or left."""
    if isinstance(target, str | Path | FileStore):
        folder = (target.root if isinstance(target, FileStore) else Path(target)) / FOLDER / PARTS
        return sorted(f"{PARTS}/{path.name}" for path in folder.iterdir()) if folder.is_dir() else []
    return [key[len(FOLDER) + 1 :] for key in target.keys(f"{FOLDER}/{PARTS}")]


def _forget(target: str | Path | TargetStore, name: str) -> None:
    """Removes the lock of a part that was killed."""
    if isinstance(target, str | Path | FileStore):
        ((target.root if isinstance(target, FileStore) else Path(target)) / FOLDER / name).unlink(missing_ok=True)
    else:
        target.delete(f"{FOLDER}/{name}")


def _is_held(target: str | Path | TargetStore, name: str) -> bool:
    if not isinstance(target, str | Path | FileStore):
        holder = _StoreLease(target, name).holder()
        return holder is not None and not _is_left(holder)
    path = (target.root if isinstance(target, FileStore) else Path(target)) / FOLDER / name
    try:
        import fcntl
    except ImportError:  # Windows
        return path.exists()
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"{path}: cannot read: {error.strerror or error}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


class Lease:
    """A lock that is held."""

    def check(self) -> None:
        """Raises StorageError when it is not held any more. The system's locks are never lost."""


class _StoreLease(Lease):
    """A lock in a store."""

    def __init__(self, store: TargetStore, name: str) -> None:
        self._store, self._key = store, f"{FOLDER}/{name}"
        self._token = uuid.uuid4().hex
        self._ended = threading.Event()
        self._lost = False

    def _text(self) -> bytes:
        return json.dumps({"token": self._token, "host": _host(), "pid": os.getpid(), "machine": platform.node(), "time": time.time()}).encode()

    def acquire(self) -> None:
        for _ in range(3):  # one that was left is taken away, and another build may be quicker to put its own
            if self._store.put_new(self._key, [self._text()]):
                thread = threading.Thread(target=self._renew, name="ziggurat-lock", daemon=True)
                thread.start()
                return
            holder = self.holder()
            if holder is not None and not _is_left(holder):
                break
            self._store.delete(self._key)
        else:
            holder = self.holder()
        who = f"process {holder.get('pid')} on {holder.get('machine')!r}" if holder else "it"
        raise TargetExists(
            f"{self._store!r}: another build is writing here ({who} holds {self._key}); wait for it, or stop it; "
            f"the lock of one that was killed elsewhere ends after {LEASE_SECONDS:.0f} seconds"
        )

    def holder(self) -> Mapping[str, JSON] | None:
        """Returns what the lock says of who holds it, None when nobody does."""
        data = self._store.get(self._key)
        try:
            found = json.loads(bytes(data or b"null"))
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    def _renew(self) -> None:
        while not self._ended.wait(LEASE_SECONDS / 4):
            with suppress(StorageError):  # the next time, perhaps; until then it is old
                holder = self.holder()
                if holder is None or holder.get("token") != self._token:
                    self._lost = True
                    return
                if not self._ended.is_set():
                    self._store.put(self._key, [self._text()])

    def check(self) -> None:
        if self._lost:
            raise StorageError(f"{self._store!r}/{self._key}: another build has taken this lock; nothing was published, run the build again to go on")

    def release(self) -> None:
        self._ended.set()
        with suppress(StorageError):  # it is left then
            holder = self.holder()
            if holder is not None and holder.get("token") == self._token:
                self._store.delete(self._key)


def _host() -> str:
    """Returns what tells the processes that this one can see from all others: the machine since it was started, the container."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + f" {Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _is_left(holder: Mapping[str, JSON]) -> bool:
    """True when the process that made a lock is known to be gone, or did not renew it."""
    pid, stamp = holder.get("pid"), holder.get("time")
    if isinstance(pid, int) and holder.get("host") == _host() != "" and not Path(f"/proc/{pid}").exists():
        return True
    return not isinstance(stamp, int | float) or time.time() - stamp > LEASE_SECONDS


@contextmanager
def _flocked(target: Path, name: str) -> Iterator[None]:
    folder = target / FOLDER
    path = folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = _acquire(path)
    except OSError as error:
        failure = StorageError(f"{target}: cannot be written to: {error.strerror or error}")
        failure.errno = error.errno
        raise failure from error
    if fd is None:
        raise TargetExists(f"{target}: another build or upgrade is writing here (it holds {path}); wait for it, or stop it")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(fd)
        with suppress(OSError):  # not empty: an unfinished build lies there, or parts are at work
            if name == LOCK:  # parts leave their folder: others may come
                with suppress(FileNotFoundError):
                    (folder / PARTS).rmdir()
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
