"""Byte stores: whole values or none, missing is missing, and failures are errors."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import ziggurat
from ziggurat.chunkio import (
    PARTIAL_SUFFIX,
    ByteStore,
    CountingStore,
    DictStore,
    FileStore,
    PrefixedStore,
    as_target,
    stores,
)
from ziggurat.problems import StorageError


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(ziggurat.__file__).parents[1])}
    return subprocess.run([sys.executable, "-c", textwrap.dedent(script), *arguments], capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(params=["files", "files synced", "files in place", "dict", "counting"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ByteStore:
    match request.param:
        case "files":
            return FileStore(tmp_path / "s")
        case "files synced":
            return FileStore(tmp_path / "s", durability="fsync")
        case "files in place":
            return FileStore(tmp_path / "s", durability="none")
        case "dict":
            return DictStore()
    return CountingStore(DictStore())


def test_a_store_gives_back_what_it_was_given(store: ByteStore) -> None:
    assert store.get("a/b") is None
    assert store.size("a/b") is None
    store.put("a/b", [b"0123", bytearray(b"45"), memoryview(b"6789")])
    assert bytes(store.get("a/b") or b"") == b"0123456789"
    assert store.size("a/b") == 10
    assert bytes(store.get("a/b", (3, 4)) or b"") == b"3456"
    assert bytes(store.get("a/b", (8, 10)) or b"") == b"89"
    assert store.get("a/c", (0, 4)) is None
    store.put("a/b", [b"new"])
    assert bytes(store.get("a/b") or b"") == b"new"
    store.put("a/empty", [])
    assert store.get("a/empty") == b""


def test_a_store_joins_more_parts_than_one_system_call_takes(store: ByteStore) -> None:
    parts = [bytes([n % 251]) * (n % 7) for n in range(3000)]
    store.put("many", parts)
    assert bytes(store.get("many") or b"") == b"".join(parts)


def test_files_leave_nothing_beside_the_value(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    for _ in range(5):
        store.put("a/b/c", [b"x"])
    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*"))] == ["a", "a/b", "a/b/c"]


def test_a_failed_read_is_an_error_and_never_missing(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    store.put("file", [b"x"])
    for key in ("folder", "loop", "file/below"):
        with pytest.raises(StorageError, match=key) as caught:
            store.get(key)
        assert caught.value.errno
    with pytest.raises(StorageError, match="file/below"):
        store.put("file/below", [b"y"])
    assert isinstance(caught.value, OSError)
    assert store.get("gone/below") is None


def test_a_named_pipe_in_place_of_a_chunk_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert FileStore(tmp_path).get("pipe") == b""


def test_a_read_only_store_refuses_to_change_anything(tmp_path: Path) -> None:
    FileStore(tmp_path).put("a", [b"x"])
    store = FileStore(tmp_path, read_only=True)
    for change in (lambda: store.put("a", [b"y"]), lambda: store.put_synced("a", [b"y"]), lambda: store.delete("a")):
        with pytest.raises(StorageError, match="reading only"):
            change()
    assert store.get("a") == b"x"


def test_delete_and_names(tmp_path: Path) -> None:
    for store in (FileStore(tmp_path), DictStore()):
        for key in ("a/0/c", "a/1/c", "a/file", "b/c"):
            store.put(key, [b"x"])
        assert store.names("") == ["a", "b"]
        assert store.names("a") == ["0", "1"]
        assert store.names("nowhere") == []
        assert store.delete("a/file")
        assert not store.delete("a/file")
        assert store.get("a/file") is None


def test_a_directory_removed_behind_our_back_is_made_again(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put("d/a", [b"x"])
    (tmp_path / "d" / "a").unlink()
    (tmp_path / "d").rmdir()
    store.put("d/b", [b"y"])
    assert store.get("d/b") == b"y"


def test_a_full_disk_is_an_error_and_the_old_value_stays(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: the write fails part of the way."""
    done = run(
        """
        import resource, signal, sys
        from pathlib import Path
        from ziggurat.chunkio import FileStore
        from ziggurat.problems import StorageError
        store = FileStore(sys.argv[1])
        store.put("a/b", [b"old"])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            store.put("a/b", [b"n" * 3000, b"n" * 3000])
        except StorageError as error:
            print(error)
        assert store.get("a/b") == b"old"
        print(sorted(p.name for p in Path(sys.argv[1]).rglob("*")))
        """,
        str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    message, names = done.stdout.splitlines()
    assert "a/b: cannot write: File too large" in message
    assert names == "['a', 'b']"


def test_a_killed_writer_leaves_whole_values_only(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        from ziggurat.chunkio import FileStore
        store = FileStore(sys.argv[1])
        while True:
            for n in range(9):
                store.put(f"c/{n}", [bytes([n]) * 200_000])
        """
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(ziggurat.__file__).parents[1])}
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env=environment)
        while not (tmp_path / "c" / "8").exists() and process.poll() is None:
            time.sleep(0.005)
        process.kill()
        process.wait()
        whole = [p for p in (tmp_path / "c").iterdir() if not p.name.endswith(PARTIAL_SUFFIX)]
        assert whole
        for path in whole:
            assert path.read_bytes() == bytes([int(path.name)]) * 200_000
            path.unlink()


def test_readers_see_the_old_value_or_the_new_one(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    values = [bytes([n]) * 100_000 for n in range(2)]
    store.put("k", [values[0]])
    stop = threading.Event()

    def write() -> None:
        for n in range(300):
            store.put("k", [values[n % 2]])
        stop.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = set()
    while not stop.is_set():
        seen.add(store.get("k"))
    thread.join()
    assert seen <= set(values)


def test_stores_pickle(tmp_path: Path) -> None:
    files = FileStore(tmp_path, durability="fsync", read_only=True)
    again = pickle.loads(pickle.dumps(files))
    assert (again.root, again.durability, again.read_only) == (tmp_path, "fsync", True)
    values = DictStore({"a": b"x"})
    assert pickle.loads(pickle.dumps(values)).get("a") == b"x"


def test_a_counting_store_counts_and_refuses_to_list() -> None:
    store = CountingStore(DictStore())
    store.put("a", [b"123", b"4"])
    store.get("a")
    store.get("a", (1, 2))
    store.get("b")
    store.size("a")
    assert (store.n_gets, store.n_puts, store.sizes.total()) == (3, 1, 1)
    assert store.gets == {"a": 2, "b": 1}
    assert store.ranges == {("a", 1, 2): 1}
    assert (store.read_bytes, store.written_bytes) == (6, 4)
    with pytest.raises(StorageError, match="listed"):
        store.list("a")


def test_an_interrupt_leaves_no_litter_and_the_old_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path)
    store.put("k", [b"old"])

    def interrupted(fd: int, parts: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "writev", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.put("k", [b"new"])
    monkeypatch.undo()
    assert store.get("k") == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["k"]


def test_short_writes_and_reads_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may move fewer bytes than asked: at 2 GiB, on a nearly full disk, after a signal."""
    real_writev, real_write, real_read, real_pread = os.writev, os.write, os.read, os.pread
    monkeypatch.setattr(os, "writev", lambda fd, parts: real_write(fd, b"".join(parts)[:7]))
    monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, bytes(data)[:5]))
    monkeypatch.setattr(os, "read", lambda fd, n: real_read(fd, min(n, 4)))
    monkeypatch.setattr(os, "pread", lambda fd, n, at: real_pread(fd, min(n, 3), at))
    assert real_writev is not os.writev
    store = FileStore(tmp_path)
    value = bytes(range(100))
    store.put("k", [value[:30], value[30:]])
    assert (tmp_path / "k").read_bytes() == value
    assert store.get("k") == value
    assert store.get("k", (10, 50)) == value[10:60]


def test_more_bytes_than_allowed_are_not_read(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put("k", [b"12345"])
    assert store.get("k", max_bytes=5) == b"12345"
    with pytest.raises(StorageError, match="k: file of 5 bytes; expected at most 4"):
        store.get("k", max_bytes=4)


def test_failures_of_every_call_name_the_key(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put("file", [b"x"])
    (tmp_path / "folder").mkdir()
    calls = {"file/x": store.size, "folder": store.delete, "f" * 300: store.size}
    for key, call in calls.items():
        with pytest.raises(StorageError, match=key):
            call(key)
    for key in ("folder", "file/x", "f" * 300):
        with pytest.raises(StorageError, match=f"{key}: cannot write"):
            store.put(key, [b"x"])
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StorageError, match="loop: cannot list"):
        store.names("loop")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder", "loop"]


def test_sync_asks_the_system_once_and_for_one_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(stores, "_sync_file_system", lambda fd: calls.append(os.readlink(f"/proc/self/fd/{fd}")))
    store = FileStore(tmp_path)
    store.put("k", [b"x"])
    assert calls == []
    store.sync()
    assert calls == [str(tmp_path)]
    FileStore(tmp_path / "nothing").sync()
    assert len(calls) == 1


@pytest.mark.parametrize("kind", ["file", "dict", "prefixed", "counting"])
def test_a_target_store_puts_once_lists_and_deletes(tmp_path: Path, kind: str) -> None:
    inner = FileStore(tmp_path) if kind in ("file", "prefixed") else DictStore()
    store = as_target({"prefixed": PrefixedStore(inner, "in/side"), "counting": CountingStore(inner)}.get(kind, inner))
    assert store is not None
    assert [store.put_new("a/b/lock", [b"1", b"2"]), store.put_new("a/b/lock", [b"3"])] == [True, False]
    assert bytes(store.get("a/b/lock") or b"") == b"12"
    store.put("a/c", [b"x"])
    store.put("ab", [b"x"])
    assert store.keys("a") == ["a/b/lock", "a/c"] and store.keys("nothing") == [] and "ab" in store.keys("")
    assert store.delete("a/c") and not store.delete("a/c") and store.keys("a") == ["a/b/lock"]


def test_only_one_of_many_threads_puts_what_is_new(tmp_path: Path) -> None:
    for store in (FileStore(tmp_path), DictStore()):
        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(lambda n, store=store: store.put_new("lock", [b"%d" % n]), range(64))) == 1


def test_a_store_of_three_functions_is_no_target() -> None:
    class Three:
        get = put = size = lambda *_: None

    assert as_target(Three()) is None and as_target(PrefixedStore(Three(), "a")) is None and as_target(CountingStore(Three())) is None
