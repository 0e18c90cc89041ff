"""Builds into stores that are no local folders: the same bytes, resume, overwriting, executors, levels in place, readers meanwhile."""

from __future__ import annotations

import json
import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import obstore.store
import pytest
import zarr

import ziggurat as zg
from ziggurat import layouts, problems, storage
from ziggurat.chunkio import CountingStore, DictStore, FileStore
from ziggurat.journal import FOLDER
from ziggurat.problems import StorageError, TargetExists
from ziggurat.storage import zarr_stores

RNG = np.random.default_rng(11)
BASE = RNG.integers(0, 65536, (96, 96), dtype=np.uint16)
BASE[:32] = 0
OPTIONS = {
    "plain": {"chunks": 8, "name": "x"},
    "shards": {"chunks": 8, "shards": 32, "name": "x"},
    "v2": {"chunks": 8, "layout": "ome-zarr@0.4", "name": "x"},
    "laplacian": {"chunks": 8, "reduction": "laplacian", "residual_base": True, "name": "x"},
}


class Stop(RuntimeError):
    """What the progress callback raises to interrupt a build."""


def stop_after(n):
    def tell(progress):
        if progress.n_done >= n:
            raise Stop

    return tell


TARGETS = {
    "dict": lambda path: {},
    "store": lambda path: DictStore(),
    "zarr memory": lambda path: zarr.storage.MemoryStore(),
    "inside": lambda path: zarr.storage.StorePath(zarr.storage.MemoryStore(), "in/side"),
    "obstore memory": lambda path: obstore.store.MemoryStore(),
    "obstore folder": lambda path: obstore.store.LocalStore(path / "o", mkdir=True),
    "fsspec memory": lambda path: zarr.storage.FsspecStore.from_url(f"memory://{path.name}", read_only=False),
}


@pytest.fixture(params=TARGETS)
def target(request, tmp_path):
    return TARGETS[request.param](tmp_path)


def contents(target):
    """Returns all values of a store by key."""
    if isinstance(target, str | Path):
        root = Path(target)
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
    store = storage.open_store(target, writable=True)
    return {key: bytes(value) for key in store.keys("") if (value := store.get(key)) is not None}


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """What a local folder holds after a build, by the name of its options."""
    folder = tmp_path_factory.mktemp("local")
    found = {}
    for name, options in OPTIONS.items():
        zg.build(BASE, folder / f"{name}.zarr", **options)
        found[name] = contents(folder / f"{name}.zarr")
    return found


@pytest.mark.parametrize("name", OPTIONS)
def test_every_store_holds_the_same_bytes(target, local, name):
    result = zg.build(BASE, target, **OPTIONS[name])
    assert contents(target) == local[name]
    assert result.n_chunk_writes == result.plan.n_chunk_writes


@pytest.mark.parametrize("name", OPTIONS)
def test_a_stopped_build_goes_on_in_any_store(target, local, name):
    n = zg.plan(BASE, target, **OPTIONS[name]).n_tasks // 2
    with pytest.raises(Stop):
        zg.build(BASE, target, progress=stop_after(n), threads=1, **OPTIONS[name])
    held = contents(target)
    assert not {"zarr.json", ".zattrs", f"{FOLDER}/lock"} & set(held) and any(key.startswith(FOLDER) for key in held)
    result = zg.build(BASE, target, **OPTIONS[name])
    assert result.n_resumed >= (n if name != "shards" else 1)
    assert contents(target) == local[name]


def test_other_options_are_refused_until_the_old_build_is_gone(target, local):
    with pytest.raises(Stop):
        zg.build(BASE, target, progress=stop_after(3), **OPTIONS["plain"])
    with pytest.raises(TargetExists, match=r"unfinished build with other options.*--overwrite"):
        zg.build(BASE, target, **OPTIONS["shards"])
    zg.build(BASE, target, overwrite=True, **OPTIONS["shards"])
    assert contents(target) == local["shards"]


def test_overwrite_replaces_all_that_was_there(target, local):
    zg.build(BASE + 1, target, chunks=32, write_empty=True, levels=2)
    with pytest.raises(TargetExists, match="--overwrite"):
        zg.build(BASE, target, **OPTIONS["plain"])
    zg.build(BASE, target, overwrite=True, **OPTIONS["plain"])
    assert contents(target) == local["plain"]


def test_a_stopped_overwrite_goes_on(target, local):
    zg.build(BASE + 1, target, chunks=32, write_empty=True)
    with pytest.raises(Stop):
        zg.build(BASE, target, overwrite=True, progress=stop_after(10), threads=1, **OPTIONS["plain"])
    assert zg.build(BASE, target, overwrite=True, **OPTIONS["plain"]).n_resumed >= 10
    assert contents(target) == local["plain"]


def test_overwriting_that_fails_anywhere_ends_in_the_same_bytes(local):
    old = {}
    zg.build(BASE + 1, old, chunks=32, write_empty=True)
    for n in range(0, 600, 31):
        store = Failing(dict(old), n, once=True)
        try:
            zg.build(BASE, store, overwrite=True, **OPTIONS["plain"])
        except StorageError:
            held = set(store.values)
            ours = {key for key in held if key.startswith(FOLDER)}
            assert "zarr.json" not in held or {key: store.values[key] for key in held - ours} in (old, local["plain"])
            store.left = 10**9
            store.delete(f"{FOLDER}/lock")  # where the failure was in letting it go; it would end after a minute
            zg.build(BASE, store, overwrite=True, **OPTIONS["plain"])
        store.delete(f"{FOLDER}/lock")
        assert contents(store.values) == local["plain"]


def test_leftover_chunks_of_a_group_that_is_gone_are_never_shown(target):
    store = storage.open_store(target, writable=True)
    store.put("1/c/0/0", [b"of somebody else"])
    with pytest.raises(TargetExists, match=r"something lies below '1'"):
        zg.build(BASE, target, **OPTIONS["plain"])
    zg.build(BASE, target, overwrite=True, **OPTIONS["plain"])
    assert np.array_equal(zg.open(target).levels[0].array[...], BASE)


def test_levels_are_added_in_place_and_replaced(target):
    group = zarr.create_group(_as_zarr(target), attributes={"mine": 1})
    group.create_array("0", shape=BASE.shape, chunks=(8, 8), dtype="u2", dimension_names=("y", "x"))[...] = BASE
    base = {key: value for key, value in contents(target).items() if key.startswith("0/")}
    with pytest.raises(Stop):
        zg.build(target, progress=stop_after(5), threads=1)
    result = zg.build(target)
    assert result.plan.in_place and result.n_resumed >= 5 and len(zg.open(target)) == result.n_levels
    assert {key: value for key, value in contents(target).items() if key.startswith("0/")} == base
    zg.build(target, add=True, reduction="max", names="M{k}", name="max")
    with pytest.raises(Stop):
        zg.build(target, overwrite=True, factors=3, progress=stop_after(2), threads=1)
    assert [(m.type, m.n_levels) for m in layouts.read(storage.open_node(target)).multiscales] == [("mean", 1), ("max", 5)]
    assert zg.build(target, overwrite=True, factors=3).n_resumed >= 2
    assert [m.type for m in layouts.read(storage.open_node(target)).multiscales] == ["max", "mean"]
    found = contents(target)
    assert json.loads(found["zarr.json"])["attributes"]["mine"] == 1 and not any(key.startswith(FOLDER) for key in found)


def _as_zarr(target):
    if isinstance(target, obstore.store.MemoryStore | obstore.store.LocalStore):
        return zarr.storage.ObjectStore(target)
    if isinstance(target, dict | DictStore):
        return zarr_stores.ByteStoreAsZarr(storage.open_store(target), read_only=False)
    return target


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


def test_threads_of_an_executor_build_into_any_store(target, local):
    with ThreadPoolExecutor(2) as executor:
        zg.build(BASE, target, executor=executor, **OPTIONS["shards"])
    assert contents(target) == local["shards"]


@pytest.mark.parametrize("name", ["shards", "laplacian"])
def test_processes_build_into_a_store_that_they_share(tmp_path, pool, local, name):
    target = obstore.store.LocalStore(tmp_path / "o", mkdir=True)
    zg.build(BASE, target, executor=pool, **OPTIONS[name])
    assert contents(tmp_path / "o") == local[name]


def test_processes_that_do_not_share_the_store_are_refused(pool):
    for target in ({}, zarr.storage.MemoryStore()):
        with pytest.raises(problems.PlanError, match="do not share"):
            zg.build(BASE, target, executor=pool, **OPTIONS["plain"])


def test_a_store_of_three_functions_is_written_without_a_journal(local):
    class Three:
        def __init__(self):
            self.inner = DictStore()
            self.get, self.put, self.size = self.inner.get, self.inner.put, self.inner.size

    store = Three()
    zg.build(BASE, store, **OPTIONS["plain"])
    assert contents(store.inner) == local["plain"]
    with pytest.raises(problems.PlanError, match="neither list nor delete"):
        zg.build(BASE, Three(), executor=ThreadPoolExecutor(1), **OPTIONS["plain"])


def test_two_builds_on_one_store(target, local):
    started, go_on = threading.Event(), threading.Event()

    def wait(progress):
        started.set()
        go_on.wait(60)

    first = threading.Thread(target=lambda: zg.build(BASE, target, threads=1, progress=wait, **OPTIONS["plain"]))
    first.start()
    try:
        assert started.wait(60)
        with pytest.raises(TargetExists, match="another build is writing here"):
            zg.build(BASE, target, **OPTIONS["plain"])
    finally:
        go_on.set()
        first.join()
    assert contents(target) == local["plain"]


def test_each_object_is_written_once_and_nothing_but_the_journal_is_listed(tmp_path, local):
    zg.build(BASE, tmp_path / "b.zarr", levels=1, chunks=8, shards=32)
    source = CountingStore(FileStore(tmp_path / "b.zarr"))
    for name in ("plain", "shards"):
        target = CountingStore(DictStore())
        zg.build(source, target, **OPTIONS[name])
        ours = {key: n for key, n in target.puts.items() if not key.startswith(FOLDER)}
        assert set(ours.values()) == {1} and all(key.startswith(FOLDER) for key in target.lists)
        assert ours.keys() == contents(target._store).keys()


# --- failures


class Failing(DictStore):
    """A store that fails from its n-th operation on, of whatever kind, until `left` is raised."""

    def __init__(self, values=None, n=10**9, once=False):
        super().__init__(values)
        self.left, self.once, self.guard = n, once, threading.Lock()

    def _tick(self, verb, key):
        with self.guard:
            self.left -= 1
            if self.left == -1 or (self.left < 0 and not self.once):
                raise StorageError(f"{key}: cannot {verb}: Input/output error")

    def get(self, key, range=None):
        self._tick("read", key)
        return super().get(key, range)

    def put(self, key, parts):
        self._tick("write", key)
        super().put(key, parts)

    def put_new(self, key, parts):
        self._tick("write", key)
        return super().put_new(key, parts)

    def size(self, key):
        self._tick("read", key)
        return super().size(key)

    def delete(self, key):
        self._tick("delete", key)
        return super().delete(key)

    def keys(self, path):
        self._tick("list", path)
        return super().keys(path)

    def names(self, path):
        self._tick("list", path)
        return super().names(path)


def _is_whole(values, expected):
    """True when a reader of the store sees nothing, or all of the multiscale."""
    return not {"zarr.json", ".zattrs"} & set(values) or {k: v for k, v in values.items() if not k.startswith(FOLDER)} == expected


def fail_at_every_operation(options, expected, step):
    counting = Failing()
    zg.build(BASE, counting, threads=1, **options)
    total = 10**9 - counting.left
    n_failed = 0
    for n in range(0, total, step):
        store = Failing(n=n, once=True)
        try:
            zg.build(BASE, store, threads=1, **options)
        except StorageError as error:
            assert "Input/output error" in str(error)
            n_failed += 1
            assert _is_whole(store.values, expected)
            store.left = 10**9
            store.delete(f"{FOLDER}/lock")  # where the failure was in letting it go; it would end after a minute
            zg.build(BASE, store, threads=1, **options)
        left = {key for key in store.values if key.startswith(FOLDER)}
        assert {k: v for k, v in store.values.items() if k not in left} == expected and left <= {f"{FOLDER}/lock"}
    return total, n_failed


@pytest.mark.parametrize("name", ["plain", "shards", "v2"])
def test_a_failure_at_any_operation_is_an_error_and_the_build_goes_on(local, name):
    """Operations on the lock as it is let go are the exception: the build is published by then."""
    total, n_failed = fail_at_every_operation(OPTIONS[name], local[name], step=37)
    assert n_failed >= total // 37 - 1


@pytest.mark.prove
@pytest.mark.parametrize("name", OPTIONS)
def test_a_failure_at_every_operation_is_an_error_and_the_build_goes_on(local, name, record_property):
    total, n_failed = fail_at_every_operation(OPTIONS[name], local[name], step=1)
    record_property("operations", total)
    record_property("errors", n_failed)
    assert total - n_failed <= 2


def test_a_reader_never_sees_half_a_multiscale(target, local):
    """A reader polls all the time: it sees no multiscale, or one whose every level is whole."""
    ended, seen = threading.Event(), []

    def poll():
        while not ended.is_set():
            store = storage.open_store(target)
            if store.get("zarr.json") is not None:
                seen.append({k: v for k, v in contents(target).items() if not k.startswith(FOLDER)} == local["plain"])

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        zg.build(BASE, target, **OPTIONS["plain"])
    finally:
        ended.set()
        reader.join()
    assert all(seen)
