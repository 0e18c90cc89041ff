"""What is finished: the journal of a build, the stash of its finished roots, and the lock of its target.

Everything lies in the target under `.ziggurat/`, whatever store that is, and is gone when the build is published:

    .ziggurat/lock                      held while a build runs
    .ziggurat/parts/<number>-of-<n>     held while a part of a build runs
    .ziggurat/<fingerprint>/plan.json   the plan, for people; a build was begun when it is there
    .ziggurat/<fingerprint>/roots/...   an object per finished root: a line of JSON (with how many samples of which level are not proven, where
                                        there are any), then what the root's parent gets from it, raw
    .ziggurat/<fingerprint>/synced/...  up to which root a process knows that all is on the disk; local targets only

Exact sums cannot be had back from rounded levels, so the stash is what lets a restart go on without reading a finished root's base
again. Nothing is appended to, so any number of processes may note what they finished, some of it twice. Source: engine.md 1(g).
"""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
import uuid
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from ziggurat.chunkio import Buffer, ByteStore, FileStore, PrefixedStore, TargetStore, as_target, delete_all
from ziggurat.problems import StorageError

FOLDER = ".ziggurat"
PLAN = "plan.json"
Index = tuple[int, ...]
SYNC_SECONDS = 1.0
"""Finished roots are synced at most this often: what a power cut takes of the journal is made again."""


class Journal:
    """The journal of one build. Thread-safe; every process that makes roots has its own over the same store.

    A root that was noted is finished after a kill, because what a process gave to the system stays. After a power cut it is finished
    when its chunks were synced before, which the notes in `synced/` tell: those of an earlier start of the machine count up to there.
    """

    def __init__(self, store: TargetStore, fingerprint: str, *, sync: bool = True) -> None:
        # a torn note does not count, so it need not be renamed to its place
        self._store: TargetStore = FileStore(store.root, durability="none") if isinstance(store, FileStore) else store
        self._documents = store
        self._prefix = f"{FOLDER}/{fingerprint}"
        self._sync = sync and isinstance(store, FileStore)
        self._session = f"{_boot()} {os.getpid()} {uuid.uuid4().hex[:8]}"
        self._serial = itertools.count(1)
        self._syncing = threading.Lock()
        self._last = 0
        self._due = time.monotonic() + SYNC_SECONDS
        self._listed: frozenset[str] = frozenset()
        self._synced: dict[str, int] = {}
        self._unproven: dict[tuple[int, Index], dict[int, int]] = {}
        self.resumed = False
        """True when the journal was there before it was opened."""

    @property
    def prefix(self) -> str:
        """Path of the journal's folder inside its store."""
        return self._prefix

    def open(self, plan_text: str, *, shared: bool = False) -> None:
        """Begins, or goes on: from here on `stash` knows what is finished. Raises StorageError.

        `shared`: others may begin the same build at this moment, so notes without a plan are theirs when a plan is there after them.
        """
        plan = f"{self._prefix}/{PLAN}"
        self.resumed = self._store.get(plan) is not None or (shared and bool(self._store.keys(f"{self._prefix}/roots")) and self._store.get(plan) is not None)
        if self.resumed:
            keys = self._store.keys(self._prefix)
            self._listed = frozenset(key for key in keys if key.startswith(f"{self._prefix}/roots/"))
            for key in keys:
                if key.startswith(f"{self._prefix}/synced/"):
                    session, _, n = bytes(self._store.get(key) or b"").decode(errors="replace").rpartition(" ")
                    self._synced[session] = int(n) if n.isdecimal() else 0
            return
        if not shared or self._store.keys(f"{self._prefix}/roots"):
            self.forget()
        self._listed, self._synced = frozenset(), {}
        _put_synced(self._documents, plan, plan_text.encode())

    def _key(self, number: int, root: Index) -> str:
        return f"{self._prefix}/roots/{number}/{'.'.join(map(str, root)) or 'all'}"

    def stash(self, number: int, root: Index) -> bytes | None:
        """Returns what an earlier run kept of a root that it finished; None when it did not. Raises StorageError."""
        return self._read(number, root) if self._key(number, root) in self._listed else None

    def stashed(self, number: int, root: Index) -> bytes:
        """Returns the stash of a root that another process has just finished. Raises StorageError when it is not there."""
        data = self._read(number, root)
        if data is None:
            raise StorageError(f"{self._store!r}/{self._key(number, root)}: not what the worker kept; run the build again to go on")
        return data

    def _read(self, number: int, root: Index) -> bytes | None:
        data = self._store.get(self._key(number, root))
        entry = None if data is None else _entry(bytes(data))
        if entry is None:
            return None
        session, serial, stash, unproven = entry
        self._unproven[number, root] = unproven
        survived = not self._sync or not session or (session.partition(" ")[0] == _boot() != "") or serial <= self._synced.get(session, 0)
        return stash if survived or session == self._session else None

    def unproven(self, number: int, root: Index) -> Mapping[int, int]:
        """Returns by level how many samples of a root whose stash was read a bound on what is carried left unproven."""
        return self._unproven.get((number, root), {})

    def finish(self, number: int, root: Index, parts: Sequence[Buffer], unproven: Mapping[int, int] = MappingProxyType({})) -> None:
        """Notes a finished root with what its parent gets from it, and syncs when that is due. Raises StorageError."""
        serial = next(self._serial)
        crc = n_bytes = 0
        for part in parts:
            crc, n_bytes = zlib.crc32(part, crc), n_bytes + memoryview(part).nbytes
        head = json.dumps([n_bytes, crc, self._session if self._sync else "", serial, *([sorted(unproven.items())] if unproven else [])]).encode() + b"\n"
        self._store.put(self._key(number, root), [head, *parts])
        self._last = max(self._last, serial)
        if self._sync and time.monotonic() >= self._due and self._syncing.acquire(blocking=False):
            try:
                self._mark()
            finally:
                self._syncing.release()

    def mark(self) -> None:
        """Returns when all that was finished is on the disk and another machine may count on it, too. Raises StorageError."""
        if self._sync and self._last:
            with self._syncing:
                self._mark()

    def _mark(self) -> None:
        """Syncs, and says up to which root: chunks of roots that have a serial by now were stored before."""
        last = self._last
        self.sync()
        name = self._session.rpartition(" ")[2]
        _put_synced(self._documents, f"{self._prefix}/synced/{name}", f"{self._session} {last}".encode())
        self._due = time.monotonic() + SYNC_SECONDS

    def sync(self) -> None:
        """Returns when everything that the build stored is on the disk. Does nothing where the store has no such thing."""
        if self._sync and isinstance(self._documents, FileStore):
            self._documents.sync()

    def forget(self) -> None:
        """Removes everything that is noted, the plan last: the build is published, or begins again. Raises StorageError."""
        if isinstance(self._store, FileStore):
            self._store.remove_all(f"{self._prefix}/roots")
            self._store.remove_all(self._prefix)
            return
        plan = f"{self._prefix}/{PLAN}"
        keys = self._store.keys(self._prefix)
        delete_all(self._store, [key for key in keys if key != plan])
        if plan in keys:
            self._store.delete(plan)


def _entry(data: bytes) -> tuple[str, int, bytes, dict[int, int]] | None:
    """Returns session, serial, stash and unproven samples by level of a note, None for one that is torn."""
    head, newline, stash = data.partition(b"\n")
    try:
        n_bytes, crc, session, serial, *told = json.loads(head)
        unproven = {int(k): int(n) for k, n in (told[0] if told else ())}
        whole = bool(newline) and len(stash) == n_bytes and zlib.crc32(stash) == crc
        return (str(session), int(serial), stash, unproven) if whole else None
    except (ValueError, TypeError):
        return None


@lru_cache(maxsize=1)
def _boot() -> str:
    """Returns what tells one start of this machine from the next, "" where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _put_synced(store: ByteStore, key: str, data: bytes) -> None:
    if isinstance(store, FileStore) and store.durability != "none":
        store.put_synced(key, [data])
    else:
        store.put(key, [data])


def home_of(store: ByteStore, prefix: str = "") -> TargetStore | None:
    """Returns the store of a group inside a store, for its journal; None where the store cannot hold one."""
    if isinstance(store, FileStore):
        return FileStore(store.root / prefix.strip("/"), durability=store.durability, read_only=store.read_only)
    return as_target(PrefixedStore(store, prefix) if prefix.strip("/") else store)


def unfinished(store: TargetStore) -> tuple[str, ...]:
    """Returns the fingerprints of the builds that were begun in a target and not published. Raises StorageError."""
    if isinstance(store, FileStore):  # its notes need not be listed
        return tuple(name for name in store.names(FOLDER) if store.size(f"{FOLDER}/{name}/{PLAN}") is not None)
    found = (key.split("/") for key in store.keys(FOLDER))
    return tuple(sorted(parts[1] for parts in found if len(parts) == 3 and parts[2] == PLAN))
