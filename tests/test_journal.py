"""The journal, the lock, and what they are for: builds that are stopped anywhere go on, and never look finished before they are."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import obstore.store
import pytest
import zarr

import ziggurat as zg
from ziggurat import journal as journals
from ziggurat import locking, storage
from ziggurat.chunkio import PARTIAL_SUFFIX, DictStore, FileStore, PrefixedStore
from ziggurat.journal import FOLDER, PLAN, SYNC_SECONDS, Journal, unfinished
from ziggurat.locking import locked
from ziggurat.problems import StorageError, TargetExists

RNG = np.random.default_rng(3)
BASE = RNG.integers(0, 65536, (96, 96, 48), dtype=np.uint16)
SOME_NAN = np.where(RNG.random((256, 192)) < 0.3, np.nan, RNG.random((256, 192))).astype(np.float32)
CHILD = {**os.environ, "PYTHONPATH": str(Path(zg.__file__).parents[1])}


class Stop(RuntimeError):
    """What the progress callback raises to interrupt a build."""


def stop_after(n):
    def tell(progress):
        if progress.n_done >= n:
            raise Stop

    return tell


def digest(folder):
    found = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            found.update(str(path.relative_to(folder)).encode())
            found.update(path.read_bytes())
    return found.hexdigest()


# --- the journal by itself


STORES = {
    "folder": lambda path: FileStore(path),
    "dict": lambda path: DictStore(),
    "inside": lambda path: PrefixedStore(DictStore(), "in/side"),
    "obstore": lambda path: storage.open_store(obstore.store.MemoryStore(), writable=True),
    "zarr": lambda path: storage.open_store(zarr.storage.MemoryStore(), writable=True),
    "fsspec": lambda path: storage.open_store(zarr.storage.FsspecStore.from_url(f"memory://{path.name}", read_only=False), writable=True),
}


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    return STORES[request.param](tmp_path)


def opened(store, plan="{}", **options):
    journal = Journal(store, "f", **options)
    journal.open(plan)
    return journal


def test_what_is_finished_is_read_back(store):
    journal = opened(store)
    assert journal.stash(0, (0, 0)) is None and not journal.resumed
    for i in range(3):
        journal.finish(0, (i, 0), [b"abc" * i, memoryview(b"de")])
    journal.finish(1, (), [])
    again = opened(store)
    assert again.resumed and unfinished(store) == ("f",)
    assert [again.stash(0, (i, 0)) for i in range(4)] == [b"de", b"abcde", b"abcabcde", None]
    assert again.stash(1, ()) == b"" and again.stash(1, (0, 0)) is None
    again.finish(1, (9,), [b"x"])
    assert again.stashed(1, (9,)) == b"x" and opened(store).stash(1, (9,)) == b"x"
    again.forget()
    assert store.keys("") == [] and unfinished(store) == () and not opened(store).resumed


def test_a_torn_note_does_not_count(store):
    journal = opened(store)
    for i in range(3):
        journal.finish(0, (i,), [b"good"])
    for i, cut in ((1, slice(0, -1)), (2, slice(0, 5))):
        key = f"{journal.prefix}/roots/0/{i}"
        store.put(key, [bytes(store.get(key))[cut]])
    store.put(f"{journal.prefix}/roots/0/3", [b'[4, 1, "", 1]\ngoot'])
    assert [opened(store).stash(0, (i,)) for i in range(4)] == [b"good", None, None, None]
    with pytest.raises(StorageError, match="not what the worker kept"):
        journal.stashed(0, (2,))


def test_notes_without_a_plan_are_of_no_build(store):
    journal = opened(store)
    journal.finish(0, (1,), [b"x"])
    store.delete(f"{journal.prefix}/{PLAN}")  # the last step of forgetting, or a power cut
    assert unfinished(store) == () and opened(store).stash(0, (1,)) is None
    assert store.keys(FOLDER) == [f"{journal.prefix}/{PLAN}"]


def test_after_a_power_cut_only_what_was_synced_counts(tmp_path, monkeypatch):
    store, now = FileStore(tmp_path), [0.0]
    monkeypatch.setattr(journals.time, "monotonic", lambda: now[0])
    journal = opened(store)
    for i in range(5):
        now[0] += 0.4 * SYNC_SECONDS
        journal.finish(0, (i,), [b"x"])
    assert all(opened(store).stash(0, (i,)) == b"x" for i in range(5))  # a kill takes nothing
    monkeypatch.setattr(journals, "_boot", lambda: "next-start")
    again = opened(store)
    assert [again.stash(0, (i,)) for i in range(5)] == [b"x"] * 3 + [None] * 2  # synced at 1.2 seconds, and not yet at 2.0
    again.finish(0, (4,), [b"y"])
    assert again.stashed(0, (4,)) == b"y" and opened(store).stash(0, (4,)) == b"y"
    unsynced = opened(FileStore(tmp_path / "other"), sync=False)
    unsynced.finish(0, (1,), [b"x"])
    assert not store.keys(f"other/{FOLDER}/f/synced") and opened(FileStore(tmp_path / "other"), sync=False).stash(0, (1,)) == b"x"


def test_a_lock_in_a_store_is_held_by_one(store):
    with locked(store), pytest.raises(TargetExists, match="another build"), locked(store):
        raise AssertionError("the lock was given twice")
    with locked(store) as lease:
        lease.check()
    assert store.keys(FOLDER) == []


def test_a_lock_in_a_store_that_was_left_is_taken_over(monkeypatch):
    store, key = DictStore(), f"{FOLDER}/lock"
    mine = {"token": "x", "host": locking._host(), "machine": "here", "time": time.time()}
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    for left in (
        {**mine, "pid": child.pid},
        {**mine, "host": "other", "pid": 1, "time": time.time() - 2 * locking.LEASE_SECONDS},
        {**mine, "pid": os.getpid(), "time": 0},
        {},
        [],
    ):
        store.put(key, [json.dumps(left).encode()])
        with locked(store):
            pass
    for held in ({**mine, "pid": os.getpid()}, {**mine, "host": "other", "pid": child.pid}):
        store.put(key, [json.dumps(held).encode()])
        with pytest.raises(TargetExists, match="'here'"), locked(store):
            pass
    store.delete(key)
    monkeypatch.setattr(locking, "LEASE_SECONDS", 0.04)
    with locked(store) as lease:
        first = store.get(key)
        while store.get(key) == first:  # renewed
            time.sleep(0.005)
        store.put(key, [b'{"token": "theirs"}'])
        with pytest.raises(StorageError, match="another build has taken this lock"):
            for _ in range(1000):
                lease.check()
                time.sleep(0.005)
    assert store.get(key) == b'{"token": "theirs"}'


def test_the_lock_is_held_by_one(tmp_path):
    with locked(tmp_path):
        with pytest.raises(TargetExists, match="another build"), locked(tmp_path):
            raise AssertionError("the lock was given twice")
        (tmp_path / FOLDER / "lock").unlink()
        with locked(tmp_path):  # a new file is a new lock: nobody is kept out by one that was removed
            pass
    assert not (tmp_path / FOLDER).exists()


def test_the_lock_ends_with_its_process(tmp_path):
    program = f"import time\nfrom ziggurat.locking import locked\nwith locked({str(tmp_path)!r}):\n    print('held', flush=True)\n    time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=CHILD)
    try:
        assert child.stdout is not None and child.stdout.readline() == "held\n"
        with pytest.raises(TargetExists), locked(tmp_path):
            pass
    finally:
        child.kill()
        child.communicate()
    with locked(tmp_path):
        pass


# --- interrupted builds


OPTIONS = {
    "mean": (BASE, {"chunks": 8}),
    "nan": (SOME_NAN, {"chunks": 8}),
    "shards": (BASE, {"chunks": 8, "shards": 16}),
    "mode": (BASE, {"chunks": 8, "reduction": "mode"}),
    "laplacian": (BASE[..., 0], {"chunks": 8, "reduction": "laplacian", "residual_base": True}),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_stopped_build_goes_on_and_ends_in_the_same_bytes(tmp_path, name):
    base, options = OPTIONS[name]
    whole = zg.build(base, tmp_path / "whole" / "o.zarr", **options)
    target = tmp_path / "stopped" / "o.zarr"
    n = whole.n_tasks // 2
    with pytest.raises(Stop):
        zg.build(base, target, progress=stop_after(n), **options)
    assert not (target / "zarr.json").exists()
    with pytest.raises(Stop):
        zg.build(base, target, progress=stop_after(n + whole.n_tasks // 4), **options)
    result = zg.build(base, target, **options)
    assert result.n_resumed >= (0.9 * n if name != "shards" else 1)
    assert result.n_chunk_writes == result.plan.n_chunk_writes
    assert digest(target) == digest(whole.location)
    assert result.base_mean == pytest.approx(whole.base_mean) if whole.base_mean else result.base_mean is None


def test_a_finished_root_is_not_read_again(tmp_path):
    base = zarr.create_group(tmp_path / "g.zarr").create_array("0", shape=BASE.shape, chunks=(8,) * 3, dtype="u2")
    base[...] = BASE
    path = str(tmp_path / "g.zarr")
    total = zg.plan(path, axes="zyx").n_chunk_reads
    with pytest.raises(Stop):
        zg.build(path, axes="zyx", progress=stop_after(32))
    result = zg.build(path, axes="zyx")
    assert result.n_chunk_reads == total * (result.n_tasks - result.n_resumed) // result.n_tasks
    assert result.n_resumed >= 32


@pytest.mark.parametrize("n", [5, 40, 90])
def test_a_killed_build_goes_on_and_ends_in_the_same_bytes(tmp_path, n):
    np.save(tmp_path / "in.npy", BASE)
    source, options = str(tmp_path / "in.npy"), {"chunks": 8, "axes": "zyx", "threads": 2}
    target = tmp_path / "killed" / "o.zarr"
    program = f"""
import sys, ziggurat as zg
def tell(p):
    if p.n_done == {n}:
        print(p.n_done, flush=True)
        sys.stdin.readline()
zg.build({source!r}, {str(target)!r}, progress=tell, **{options!r})
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=CHILD)
    assert child.stdout is not None and child.stdout.readline() == f"{n}\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert not (target / "zarr.json").exists()
    assert unfinished(FileStore(target))
    litter = target / "1" / "c" / "0" / f"0.1-1{PARTIAL_SUFFIX}"
    litter.parent.mkdir(parents=True, exist_ok=True)
    litter.write_bytes(b"half")
    result = zg.build(source, target, **options)
    assert result.n_resumed >= n
    whole = zg.build(source, tmp_path / "whole" / "o.zarr", **options)
    assert digest(target) == digest(whole.location)


def test_other_options_or_another_source_are_refused_until_the_old_build_is_gone(tmp_path):
    target = tmp_path / "o.zarr"
    with pytest.raises(Stop):
        zg.build(BASE, target, chunks=8, progress=stop_after(5))
    for base, options in ((BASE, {"chunks": 8, "reduction": "max"}), (BASE, {"chunks": 32}), (BASE + 1, {"chunks": 8})):
        with pytest.raises(TargetExists, match="unfinished build with other options"):
            zg.build(base, target, **options)
    result = zg.build(BASE, target, chunks=32, overwrite=True)
    assert np.array_equal(zarr.open_array(f"{result.location}/0")[...], BASE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.zarr"] and not (target / FOLDER).exists()


def test_an_interrupted_overwrite_leaves_the_old_store_readable(tmp_path):
    target = tmp_path / "o.zarr"
    old = zg.build(BASE, target, chunks=32)
    before = digest(target)
    with pytest.raises(Stop):
        zg.build(BASE, target, chunks=8, overwrite=True, progress=stop_after(5))
    assert digest(target) == before
    new = zg.build(BASE, target, chunks=8, overwrite=True)
    assert new.n_resumed >= 5 and old.n_levels < new.n_levels
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.zarr"]


def test_two_builds_on_one_target(tmp_path):
    started, go_on = threading.Event(), threading.Event()

    def wait(progress):
        started.set()
        go_on.wait(60)

    first = threading.Thread(target=lambda: zg.build(BASE, tmp_path / "o.zarr", chunks=8, threads=1, progress=wait))
    first.start()
    try:
        assert started.wait(60)
        with pytest.raises(TargetExists, match="another build or upgrade is writing here"):
            zg.build(BASE, tmp_path / "o.zarr", chunks=8)
    finally:
        go_on.set()
        first.join()
    assert zg.open(str(tmp_path / "o.zarr")).levels[0].shape == BASE.shape


def test_metadata_appears_last(tmp_path):
    """Whatever a reader sees while a build runs is no multiscale; when it sees one, every chunk is there."""
    target = tmp_path / "o.zarr"
    seen = []
    zg.build(BASE, target, chunks=8, progress=lambda p: seen.append((target / "zarr.json").exists()))
    assert not any(seen)
    assert (target / "zarr.json").exists()


# --- storage that fails


class Failing(DictStore):
    """A store whose n-th put fails, like a full disk."""

    def __init__(self, n):
        super().__init__()
        self.n, self.lock = n, threading.Lock()

    def put(self, key, parts):
        with self.lock:
            self.n -= 1
            if self.n < 0:
                raise StorageError(f"{key}: cannot write: No space left on device")
        super().put(key, parts)


def test_whichever_write_fails_nothing_is_published(tmp_path):
    base = BASE[:64, :48, 0]
    counting = Failing(10**9)
    zg.build(base, counting, chunks=8)
    total = 10**9 - counting.n
    assert total > 20
    n_threads = threading.active_count()  # other tests of this process have theirs
    for n in range(total):
        store = Failing(n)
        with pytest.raises(StorageError, match="No space left"):
            zg.build(base, store, chunks=8)
        assert "zarr.json" not in store.values
        assert threading.active_count() < n_threads + 20
    zg.build(base, Failing(total), chunks=8)


def test_a_full_disk_is_one_sentence_and_the_build_can_go_on(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("this machine mounts nothing")
    try:
        with pytest.raises(StorageError, match="No space left on device") as caught:
            zg.build(BASE, place / "o.zarr", chunks=8)
        assert caught.value.errno == 28
        assert not (place / "o.zarr" / "zarr.json").exists()
        subprocess.run(["mount", "-o", "remount,size=60m", str(place)], check=True)
        result = zg.build(BASE, place / "o.zarr", chunks=8)
        assert result.n_resumed > 0
        assert np.array_equal(zarr.open_array(f"{result.location}/0")[...], BASE)
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_broken_chunk_of_the_source_stops_the_build_and_names_the_key(tmp_path):
    array = zarr.create_group(tmp_path / "g.zarr").create_array("0", shape=(64, 48), chunks=(16, 16), dtype="u2")
    array[...] = BASE[:64, :48, 0]
    place = tmp_path / "g.zarr" / "0" / "c" / "2" / "1"
    place.write_bytes(place.read_bytes()[:20])
    with pytest.raises(StorageError, match="c/2/1"):
        zg.build(str(tmp_path / "g.zarr"), axes="yx")
    assert "ome" not in dict(zarr.open_group(tmp_path / "g.zarr", mode="r").attrs)


@pytest.mark.prove
def test_many_kills_at_any_moment(tmp_path):
    """60 kills at uniform times: no metadata ever names a level that is incomplete, and the last run ends in the same bytes."""
    np.save(tmp_path / "in.npy", BASE)
    source, target, options = str(tmp_path / "in.npy"), tmp_path / "k" / "o.zarr", {"chunks": 8, "axes": "zyx"}
    whole = zg.build(source, tmp_path / "w" / "o.zarr", **options)
    program = f"import ziggurat as zg\nzg.build({source!r}, {str(target)!r}, **{options!r})"
    rng = np.random.default_rng(0)
    for _ in range(60):
        child = subprocess.Popen([sys.executable, "-c", program], env=CHILD, stderr=subprocess.DEVNULL)
        time.sleep(float(rng.uniform(0.1, 1.2)))
        child.kill()
        child.wait()
        if (target / "zarr.json").exists():
            assert digest(target) == digest(whole.location) or unfinished(FileStore(target))
            break
    if not (target / "zarr.json").exists() or unfinished(FileStore(target)):
        zg.build(source, target, **options)
    assert digest(target) == digest(whole.location)
