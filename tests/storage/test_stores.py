"""Stores of every kind behind one port."""

from __future__ import annotations

import http.server
import pickle
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr
from obstore.store import LocalStore as ObstoreLocal
from obstore.store import MemoryStore as ObstoreMemory
from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ObjectStore, StorePath, ZipStore

from ziggurat.chunkio import (
    ArraySpec,
    ChunkArray,
    CountingStore,
    DictStore,
    FileStore,
    chunk_indices,
    chunk_region,
    padded,
    read_region,
)
from ziggurat.node import FileNode
from ziggurat.problems import MissingExtra, OptionError, StorageError, UnsupportedError
from ziggurat.storage import create_array, open_array, open_node, open_store, retrying, write_documents

SHAPE, CHUNKS = (21, 13), (8, 8)
WHOLE = (slice(None), slice(None))
SPEC = ArraySpec(SHAPE, np.dtype("u2"), CHUNKS, dimension_names=("y", "x"))


def samples(dtype: str = "u2") -> np.ndarray:
    return np.random.default_rng(1).integers(1, 100, SHAPE).astype(dtype)


def fill_in(writer: Any, values: np.ndarray) -> None:
    for index in chunk_indices(writer.shape, writer.chunks):
        writer.write(index, padded(values[chunk_region(index, writer.chunks, writer.shape)], writer.chunks, writer.fill))


def quietly(function: Callable[[], Any]) -> Any:
    """zarr-python warns when it makes what v3 has no specification for; that is its business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function()


class Foreign(MemoryStore):
    """A store of somebody else's, with coroutines only, that really wait."""

    get_sync = None
    set_sync = None

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        import asyncio

        await asyncio.sleep(0)
        return await super().get(key, prototype, byte_range)


STORES: dict[str, Callable[[Path], object]] = {
    "path": lambda p: p,
    "str": str,
    "file url": lambda p: p.as_uri(),
    "zarr memory": lambda p: MemoryStore(),
    "zarr local": lambda p: LocalStore(p),
    "zarr coroutines": lambda p: Foreign(),
    "zarr path": lambda p: StorePath(MemoryStore(), "in/side"),
    "zarr zip": lambda p: ZipStore(p.with_suffix(".zip"), mode="w"),
    "zarr fsspec memory": lambda p: FsspecStore.from_url(f"memory://{p.parent.name}", read_only=False),
    "zarr fsspec async": lambda p: FsspecStore(
        fsspec.filesystem("asyncwrapper", fs=fsspec.filesystem("local", auto_mkdir=True), asynchronous=True), path=str(p)
    ),
    "zarr object": lambda p: ObjectStore(ObstoreMemory()),
    "obstore memory": lambda p: ObstoreMemory(),
    "obstore local": lambda p: ObstoreLocal(p, mkdir=True),
    "memory url": lambda p: "memory://x",
    "dict": lambda p: {},
}


@pytest.fixture(params=sorted(STORES))
def target(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    return quietly(lambda: STORES[request.param](tmp_path / "store"))


def test_any_store_gives_back_what_it_was_given(target: object) -> None:
    store = open_store(target, writable=True)
    assert store.get("a/b") is None
    assert store.size("a/b") is None
    assert store.get("a/b", (2, 3)) is None
    store.put("a/b", [b"0123", memoryview(b"45"), bytearray(b"6789")])
    assert bytes(store.get("a/b") or b"") == b"0123456789"
    assert bytes(store.get("a/b", (3, 4)) or b"") == b"3456"
    assert store.size("a/b") == 10
    if not isinstance(target, ZipStore):  # a zip file cannot replace
        store.put("a/b", [b"new"])
        assert bytes(store.get("a/b") or b"") == b"new"


def test_arrays_live_in_any_store(target: object) -> None:
    store = open_store(target, writable=True)
    for n, shards in enumerate((None, (16, 8))):
        spec = ArraySpec(SHAPE, np.dtype("u2"), CHUNKS, shards=shards)
        fill_in(create_array(store, f"g/{n}", spec), samples())
        node = open_node(target if not isinstance(target, str) or "memory" not in target else store).child(f"g/{n}")
        assert node.kind == "array"
        document = node.array_document
        assert document is not None
        reader = open_array(store, f"g/{n}", document, 3)
        assert np.array_equal(read_region(reader, WHOLE), samples())


def test_a_store_is_used_from_several_threads(target: object) -> None:
    store = open_store(target, writable=True)
    fill_in(create_array(store, "a", SPEC), samples())
    document = open_node(store).child("a").array_document
    assert document is not None
    reader = open_array(store, "a", document, 3)
    seen: list[bool] = []

    def read() -> None:
        for _ in range(5):
            seen.append(np.array_equal(read_region(reader, WHOLE), samples()))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 15


def test_children_are_found_by_listing(target: object) -> None:
    store = open_store(target, writable=True)
    for key in ("zarr.json", "a/zarr.json", "b/0/zarr.json"):
        store.put(key, [b'{"zarr_format": 3, "node_type": "group", "attributes": {}}'])
    assert open_node(store).children() == ("a", "b")
    assert open_node(store).child("b").children() == ("0",)


def test_local_places_become_files(tmp_path: Path) -> None:
    for target in (tmp_path, str(tmp_path), tmp_path.as_uri(), f"file://localhost{tmp_path}", LocalStore(tmp_path), StorePath(LocalStore(tmp_path), "")):
        store = open_store(target)
        assert isinstance(store, FileStore)
        assert store.root == tmp_path
        assert store.read_only
        assert isinstance(open_node(target), FileNode)
    inside = open_store(StorePath(LocalStore(tmp_path), "a/b"), writable=True, durability="fsync")
    assert isinstance(inside, FileStore)
    assert (inside.root, inside.durability, inside.read_only) == (tmp_path / "a" / "b", "fsync", False)
    spaced = open_store("file:///tmp/a%20b")
    assert isinstance(spaced, FileStore)
    assert spaced.root == Path("/tmp/a b")


def test_zarr_groups_and_arrays_are_opened_where_they_are(tmp_path: Path) -> None:
    for store in (LocalStore(tmp_path), MemoryStore()):
        group = quietly(lambda store=store: zarr.create_group(store, path="g"))
        array = quietly(lambda group=group: group.create_array("0", shape=SHAPE, chunks=CHUNKS, dtype="u2"))
        array[...] = samples()
        assert open_node(group).child("0").kind == "array"
        node = open_node(array)
        assert node.array_document is not None
        assert np.array_equal(read_region(open_array(open_store(array), "", node.array_document, 3), WHOLE), samples())


def test_a_byte_store_is_itself() -> None:
    for store in (DictStore(), CountingStore(DictStore()), FileStore("x")):
        assert open_store(store) is store


@pytest.mark.parametrize("target", [3, None, object(), b"bytes", ["a"]])
def test_what_is_no_store_is_refused(target: object) -> None:
    with pytest.raises(UnsupportedError, match="expected a path, a URL"):
        open_store(target)


@pytest.mark.parametrize(
    ("url", "message"), [("ftp://host/x", "scheme 'ftp' is unknown"), ("s3://", "cannot be opened"), ("file://elsewhere/x", "names the host")]
)
def test_urls_that_make_no_sense_are_refused(url: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        open_store(url)


def test_reading_stores_refuse_to_write() -> None:
    for target in ({}, MemoryStore(), ObstoreMemory(), Foreign()):
        store = open_store(target)
        if not isinstance(store, DictStore):
            with pytest.raises(StorageError, match="reading only"):
                store.put("a", [b"x"])
    with pytest.raises(StorageError, match="reading only"):
        open_store(MemoryStore(read_only=True), writable=True)
    with pytest.raises(StorageError, match="reading only"):
        open_store(FileStore("x", read_only=True), writable=True)
    with pytest.raises(StorageError, match="web server"):
        open_store("https://example.org/x", writable=True)


def test_a_missing_extra_names_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(MissingExtra, match=r"pip install 'ziggurat\[cloud\]'"):
        open_store("s3://bucket/x")


def test_adapters_pickle(tmp_path: Path) -> None:
    for target in (LocalStore(tmp_path), ObstoreLocal(tmp_path), MemoryStore(), Foreign()):
        store = open_store(target, writable=True)
        store.put("k", [b"value"])
        again = pickle.loads(pickle.dumps(store))
        assert bytes(again.get("k") or b"value") == b"value"
        again.put("l", [b"x"])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failing requests are asked again at once."""
    monkeypatch.setattr(retrying, "DELAYS", (0.0,) * len(retrying.DELAYS))


class Failing(Store):
    """A store whose every call fails in one way."""

    supports_writes = True
    supports_deletes = True
    supports_listing = True

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def __eq__(self, other: object) -> bool:
        return self is other

    def __str__(self) -> str:
        return "failing://"

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        raise self.error

    async def getsize(self, key: str) -> int:
        raise self.error

    async def get_partial_values(self, prototype: Any, key_ranges: Any) -> Any:
        raise self.error

    async def exists(self, key: str) -> bool:
        raise self.error

    async def set(self, key: str, value: Any) -> None:
        raise self.error

    async def delete(self, key: str) -> None:
        raise self.error

    def list(self) -> AsyncIterator[str]:
        raise self.error

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        raise self.error

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        raise self.error


@pytest.mark.parametrize(
    "error", [PermissionError("403 Forbidden"), TimeoutError("too slow"), ConnectionResetError("gone"), RuntimeError("500"), ValueError("odd")]
)
def test_a_store_that_fails_is_never_a_missing_chunk(error: Exception, quick: None) -> None:
    store = open_store(Failing(error), writable=True)
    array = ChunkArray.create(DictStore(), "a", SPEC)
    document = open_node(array.store).child("a").array_document
    assert document is not None
    reader = open_array(store, "a", document, 3)
    with pytest.raises(StorageError, match=r"failing://a?/?.*c/0/1"):
        reader.read((0, 1), np.empty(CHUNKS, "u2"))
    for call in (lambda: store.size("k"), lambda: store.put("k", [b"x"]), lambda: open_node(store).kind):
        with pytest.raises(StorageError, match="failing://"):
            call()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """`python -m http.server` over a folder with a group of two arrays: it knows no ranges and no listing."""
    for n, shards in enumerate((None, (16, 8))):
        fill_in(create_array(FileStore(tmp_path), f"g/{n}", ArraySpec(SHAPE, np.dtype("u2"), CHUNKS, shards=shards)), samples())
    write_documents(FileStore(tmp_path), [("g/zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {"a": 1}})])
    script = """if True:
        import http.server
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
        print(server.server_port, flush=True)
        server.serve_forever()
    """
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/g"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def test_a_plain_web_server_is_enough(served: str) -> None:
    node = open_node(served)
    assert (node.kind, node.location, dict(node.attributes)) == ("group", served, {"a": 1})
    assert node.child("7").kind == "absent"
    store = open_store(served)
    for name in ("0", "1"):
        document = node.child(name).array_document
        assert document is not None
        assert np.array_equal(read_region(open_array(store, name, document, 3), WHOLE), samples())
    with pytest.raises(StorageError, match="cannot be listed"):
        node.children()


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.rpartition("/")[2]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        return


def test_a_web_server_that_refuses_is_an_error_and_only_404_is_missing(quick: None) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        store = open_store(f"http://127.0.0.1:{server.server_port}/x")
        assert store.get("404") is None
        assert store.size("404") is None
        assert store.get("404", (0, 4)) is None
        for status in ("401", "403", "410", "500"):
            with pytest.raises(StorageError, match=f"/x/{status}: cannot read"):
                store.get(status)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
