"""zarr-python's stores as byte stores, and byte stores as zarr-python's stores. The only room that knows both."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.buffer import cpu, default_buffer_prototype
from zarr.storage import LocalStore, StorePath, ZipStore

from ziggurat.chunkio import Buffer, ByteStore, Durability, FileStore, PrefixedStore
from ziggurat.problems import StorageError, UnsupportedError
from ziggurat.storage.retrying import retried

T = TypeVar("T")

_FOREIGN_FAILURES = (
    ("obstore.exceptions", "BaseError"),
    ("aiohttp", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("azure.core.exceptions", "AzureError"),
    ("gcsfs.retry", "HttpError"),
)
"""What the libraries below a store raise that is no built-in OSError; looked up only where they are loaded."""


def open_zarr_store(target: object, *, writable: bool, durability: Durability) -> ByteStore:
    """Returns the byte store over a `zarr.abc.store.Store` or a `zarr.storage.StorePath`; of a group or array the place it is at.

    A `LocalStore` becomes a `FileStore`, a store over obstore uses obstore itself; every other keeps its own methods.

    Raises
    ------
    StorageError
        When `writable` is asked of a read-only store.
    UnsupportedError
        For anything else.
    """
    target = getattr(target, "store_path", target)  # of a zarr.Group or zarr.Array
    if isinstance(target, StorePath):
        inner = open_zarr_store(target.store, writable=writable, durability=durability)
        if isinstance(inner, FileStore):
            return FileStore(inner.root / target.path, durability=durability, read_only=not writable)
        return PrefixedStore(inner, target.path) if target.path else inner
    if not isinstance(target, Store):
        raise UnsupportedError(f"store {type(target).__name__}: expected a Store, a StorePath, a Group or an Array of zarr")
    if writable and target.read_only:
        raise StorageError(f"{target}: opened for reading only; open the store with read_only=False")
    if isinstance(target, LocalStore):
        return FileStore(target.root, durability=durability, read_only=not writable)
    inner_store = getattr(target, "store", None)
    if type(inner_store).__module__.split(".")[0] == "obstore":
        from ziggurat.storage.cloud import ObjectStore

        return ObjectStore(inner_store, writable=writable)
    if isinstance(target, ByteStoreAsZarr):
        return target.byte_store
    return ZarrStore(target, writable=writable)


class ZarrStore:
    """A `ByteStore` over any zarr-python store.

    The store's synchronous methods are used where it has them (zarr 3.2 on); else its coroutines run on an event loop of the
    calling thread's own. A store over an asynchronous fsspec file system ties its connections to one loop, and fsspec hands one file
    system to all who ask for the same, so all these calls run on zarr-python's shared loop. No other store uses it: it costs
    100 to 300 us a call (reference figures: engine.md 1f).
    """

    def __init__(self, store: Store, *, writable: bool = False) -> None:
        self._store = store
        self._writable = writable
        self._local = threading.local()
        self._prototype = default_buffer_prototype()
        self._get_sync = getattr(store, "get_sync", None)
        self._set_sync = getattr(store, "set_sync", None)
        file_system = getattr(store, "fs", None)
        self._loop = _shared_loop() if getattr(file_system, "async_impl", False) else None
        self._run(StorePath.open(store, ""))  # a zip file is opened by it
        self._foreign = tuple(_foreign_failures())
        self._failures: tuple[type[Exception], ...] = (OSError, RuntimeError, ValueError, KeyError, *self._foreign)
        self._is_local = isinstance(store, ZipStore) or getattr(file_system, "protocol", None) in ("file", ("file", "local"))

    def __reduce__(self) -> tuple[object, ...]:
        return _zarr_store, (self._store, self._writable)

    def __repr__(self) -> str:
        return str(self._store)

    @property
    def store(self) -> Store:
        return self._store

    def get(self, key: str, range: tuple[int, int] | None = None) -> Buffer | None:
        """Returns a value or the part that exists of it, None only when the store says that the key does not exist."""
        request = None if range is None else RangeByteRequest(range[0], range[0] + range[1])

        def read() -> Any:
            if self._get_sync is not None:
                return self._get_sync(key, prototype=self._prototype, byte_range=request)
            return self._run(self._store.get(key, self._prototype, request))

        value = self._call("read", key, read)
        return None if value is None else memoryview(value.as_numpy_array()).cast("B")

    def put(self, key: str, parts: Sequence[Buffer]) -> None:
        """Stores the joined parts."""
        self._check_writable(key)
        value = _joined(parts)

        def write() -> None:
            if self._set_sync is not None:
                self._set_sync(key, value)
            else:
                self._run(self._store.set(key, value))

        self._call("write", key, write)

    def put_new(self, key: str, parts: Sequence[Buffer]) -> bool:
        """Stores like `put` unless the key exists, as well as the store can tell; returns whether the value is ours."""
        self._check_writable(key)
        self._call("write", key, lambda: self._run(self._store.set_if_not_exists(key, _joined(parts))))
        return self.get(key) == b"".join(parts)

    def delete(self, key: str) -> bool:
        """Removes a value. Stores do not say whether there was one."""
        self._check_writable(key)
        return self._call("delete", key, lambda: self._run(self._store.delete(key)) is None) or False

    @property
    def is_target(self) -> bool:
        """False for stores that cannot list and delete: zip files."""
        return self._writable and self._store.supports_deletes and self._store.supports_listing

    @property
    def is_shared(self) -> bool:
        """False where each process has its own."""
        return "memory" not in type(self._store).__name__.lower() and not str(self._store).startswith("memory:")

    def keys(self, path: str) -> list[str]:
        """Returns the keys of all values below `path`, by listing."""

        async def listed() -> list[str]:
            return [key async for key in self._store.list_prefix(f"{path}/" if path else "")]

        return sorted(self._call("list", path, lambda: self._run(listed())) or [])

    def size(self, key: str) -> int | None:
        """Returns a value's size in bytes, None when the store says that the key does not exist."""
        return self._call("read", key, lambda: int(self._run(self._store.getsize(key))))

    def names(self, path: str) -> list[str]:
        """Returns the names directly below `path`, by listing; the store does not tell values from what has something below it."""

        async def listed() -> list[str]:
            return [name async for name in self._store.list_dir(path)]

        found = self._call("list", path, lambda: self._run(listed())) or []
        documents = {"zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata"}
        return sorted({name.strip("/") for name in found} - documents)

    def _check_writable(self, key: str) -> None:
        if not self._writable:
            raise StorageError(f"{self._store}/{key}: opened for reading only; open the store with writable=True to change it")

    def _call(self, verb: str, key: str, function: Callable[[], T]) -> T | None:
        try:
            return retried(function, self._is_passing)
        except FileNotFoundError:
            return None
        except self._failures as error:
            raise self._failed(verb, key, error) from error

    def _is_passing(self, error: Exception) -> bool:
        """True for what may pass: a server's refusal or failure, a lost connection; not for what the file system of this machine says."""
        if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError) or self._is_local:
            return False
        return isinstance(error, (OSError, *self._foreign))

    def _failed(self, verb: str, key: str, error: Exception) -> StorageError:
        return StorageError(f"{self._store}/{key}: cannot {verb}: {str(error) or type(error).__name__}")

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._loop is not None:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        loop = getattr(self._local, "loop", None)
        if loop is None:
            loop = self._local.loop = _PrivateLoop()
        return cast(T, loop.run(coroutine))


def _joined(parts: Sequence[Buffer]) -> cpu.Buffer:
    return cpu.Buffer.from_bytes(parts[0] if len(parts) == 1 and isinstance(parts[0], bytes) else b"".join(parts))


def _zarr_store(store: Store, writable: bool) -> ZarrStore:
    return ZarrStore(store, writable=writable)


def _foreign_failures() -> Iterable[type[Exception]]:
    for module, name in _FOREIGN_FAILURES:
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            yield kind


class _PrivateLoop:
    """An event loop for one thread, closed when the thread's locals are."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(coroutine)

    def __del__(self) -> None:
        if not self._loop.is_running():
            self._loop.close()


@lru_cache(maxsize=1)
def _shared_loop() -> asyncio.AbstractEventLoop:
    """Returns the loop of all asynchronous file systems: zarr-python's, so that a file system that it used first can be used here as well."""
    try:
        from zarr.core.sync import _get_loop
    except ImportError:
        return _loop_in_a_thread()
    return _get_loop()


def _loop_in_a_thread() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="ziggurat-store", daemon=True).start()
    return loop


class ByteStoreAsZarr(Store):
    """A zarr-python store over any `ByteStore`, so that zarr-python reads what we read: same keys, same errors, no listing.

    The byte store's calls block, and may run an event loop of their own; so each runs in a thread, not on zarr-python's loop.
    """

    supports_writes = True
    supports_deletes = False
    supports_listing = False

    def __init__(self, store: ByteStore, *, read_only: bool = True) -> None:
        super().__init__(read_only=read_only)
        self.byte_store = store

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByteStoreAsZarr) and other.byte_store is self.byte_store

    def __str__(self) -> str:
        return repr(self.byte_store)

    def with_read_only(self, read_only: bool = False) -> ByteStoreAsZarr:
        return ByteStoreAsZarr(self.byte_store, read_only=read_only)

    async def get(self, key: str, prototype: Any = None, byte_range: ByteRequest | None = None) -> Any:
        data = await asyncio.to_thread(self._get, key, byte_range)
        return None if data is None else (prototype or default_buffer_prototype()).buffer.from_bytes(bytes(data))

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, ByteRequest | None]]) -> list[Any]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        return await asyncio.to_thread(self.byte_store.size, key) is not None

    async def set(self, key: str, value: Any) -> None:
        self._check_writable()
        await asyncio.to_thread(self.byte_store.put, key, [value.to_bytes()])

    async def delete(self, key: str) -> None:
        """Removes a value where the byte store can; zarr-python asks for it when a chunk becomes all fill."""
        self._check_writable()
        remove = getattr(self.byte_store, "delete", None)
        if remove is not None:
            await asyncio.to_thread(remove, key)

    async def getsize(self, key: str) -> int:
        size = await asyncio.to_thread(self.byte_store.size, key)
        if size is None:
            raise FileNotFoundError(key)
        return size

    def list(self) -> AsyncIterator[str]:
        raise StorageError(f"{self}: zarr-python asked for a listing, which opening an array never needs")

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        raise StorageError(f"{self}: zarr-python asked to list {prefix!r}, which opening an array never needs")

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        raise StorageError(f"{self}: zarr-python asked to list {prefix!r}, which opening an array never needs")

    def _get(self, key: str, byte_range: ByteRequest | None) -> Buffer | None:
        return self.byte_store.get(key, self._request(key, byte_range))

    def _request(self, key: str, byte_range: ByteRequest | None) -> tuple[int, int] | None:
        if byte_range is None:
            return None
        if isinstance(byte_range, RangeByteRequest):
            return byte_range.start, byte_range.end - byte_range.start
        size = self.byte_store.size(key) or 0
        if isinstance(byte_range, OffsetByteRequest):
            return byte_range.offset, max(0, size - byte_range.offset)
        if isinstance(byte_range, SuffixByteRequest):
            return max(0, size - byte_range.suffix), min(size, byte_range.suffix)
        raise StorageError(f"{key}: range {byte_range!r} is of a kind that is not known")
