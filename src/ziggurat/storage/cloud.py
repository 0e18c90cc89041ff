"""Object stores and web servers through obstore's own synchronous calls (extra `cloud`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any, TypeVar

from ziggurat.chunkio import Buffer
from ziggurat.problems import MissingExtra, OptionError, StorageError
from ziggurat.storage.retrying import retried

_SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "http", "https", "memory")
_RETRY = MappingProxyType({"max_retries": 0, "retry_timeout": timedelta(seconds=60)})
"""`retried` asks again, also what obstore does not (403, a connection that ends within an answer); twice retried would be slow to fail."""
_FINAL = ("NotSupportedError", "InvalidPathError", "UnauthenticatedError", "NotImplementedError", "UnknownConfigurationKeyError", "JoinError")
"""obstore's errors that asking again does not change."""

_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "AZURITE_BLOB_STORAGE_URL")
"""Variables that name another server than the provider's; one that begins with http:// is meant."""

T = TypeVar("T")


def open_url(url: str, *, writable: bool) -> ObjectStore:
    """Returns the store behind a URL; credentials come from the environment, as obstore reads it.

    Raises
    ------
    MissingExtra
        When obstore is not installed.
    OptionError
        When the URL's scheme is unknown, or obstore cannot make sense of the URL.
    """
    scheme = url.partition("://")[0].lower()
    if scheme not in _SCHEMES:
        raise OptionError(f"{url!r}: scheme {scheme!r} is unknown; expected a path or one of {', '.join(_SCHEMES)}")
    if writable and scheme.startswith("http"):
        raise StorageError(f"{url}: a web server cannot be written to; write to a folder or a bucket")
    try:
        from obstore.exceptions import BaseError
        from obstore.store import MemoryStore, from_url
    except ImportError as error:
        raise MissingExtra(f"{url}: {scheme} URLs need obstore; install it with: pip install 'ziggurat[cloud]'") from error
    if scheme == "memory":
        return ObjectStore(MemoryStore(), writable=writable, location=url)
    options = {"allow_http": True} if scheme == "http" or any(os.environ.get(name, "").startswith("http://") for name in _ENDPOINTS) else None
    try:
        store: object = from_url(url, client_options=options, retry_config=dict(_RETRY))
    except (BaseError, ValueError) as error:
        raise OptionError(f"{url!r}: cannot be opened: {_first_line(error)}") from error
    return ObjectStore(store, writable=writable, location=url)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].strip() or type(error).__name__


class ObjectStore:
    """A `ByteStore` over an obstore store. Missing is what the server says does not exist; a refusal or a failure is an error."""

    def __init__(self, store: Any, *, writable: bool = False, location: str = "") -> None:
        import obstore
        from obstore.exceptions import BaseError

        self._api: Any = obstore
        self._failures: tuple[type[Exception], ...] = (BaseError, OSError, ValueError)
        self._store = store
        self._writable = writable
        self._location = location.rstrip("/") or repr(store)

    def __reduce__(self) -> tuple[object, ...]:
        return _object_store, (self._store, self._writable, self._location)

    def __repr__(self) -> str:
        return self._location

    @property
    def store(self) -> object:
        return self._store

    def get(self, key: str, range: tuple[int, int] | None = None) -> Buffer | None:
        """Returns a value or the part that exists of it, None only when the key does not exist."""
        if range is None:
            return self._call("read", key, lambda: memoryview(self._api.get(self._store, key).bytes()))
        start, length = range
        if length == 0:
            return None if self.size(key) is None else b""
        try:
            return self._call("read", key, lambda: memoryview(self._api.get_range(self._store, key, start=start, length=length)))
        except StorageError as error:
            if type(error.__cause__).__name__ != "NotSupportedError":
                raise
        whole = self.get(key)  # a web server without ranges, such as python -m http.server
        return None if whole is None else memoryview(whole)[start : start + length]

    def put(self, key: str, parts: Sequence[Buffer]) -> None:
        """Stores the joined parts in one request."""
        self._check_writable(key)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if self._call("write", key, lambda: self._api.put(self._store, key, data, use_multipart=False)) is None:
            raise StorageError(f"{self._location}/{key}: cannot write: there is no such place")

    def put_new(self, key: str, parts: Sequence[Buffer]) -> bool:
        """Stores like `put` unless the key exists, by the server's own condition; returns whether it did."""
        data = b"".join(parts)
        self._check_writable(key)

        def put() -> bool:
            try:
                self._api.put(self._store, key, data, mode="create", use_multipart=False)
            except self._failures as error:
                if type(error).__name__ not in ("AlreadyExistsError", "FileExistsError"):
                    raise
                return self.get(key) == data  # an answer that was lost on its way: it is there already, and it is ours
            return True

        if (done := self._call("write", key, put)) is None:
            raise StorageError(f"{self._location}/{key}: cannot write: there is no such place")
        return done

    def delete(self, key: str) -> bool:
        """Removes a value. Most servers do not say whether there was one."""
        self._check_writable(key)
        return self._call("delete", key, lambda: self._api.delete(self._store, key) is None) or False

    def delete_all(self, keys: Sequence[str]) -> None:
        """Removes many values, up to a thousand in a request where the server has such a thing."""
        for i in range(0, len(keys), 1000):
            some = list(keys[i : i + 1000])
            self._check_writable(some[0])
            self._call("delete", some[0], lambda some=some: self._api.delete(self._store, some))  # type: ignore[misc]

    def keys(self, path: str) -> list[str]:
        """Returns the keys of all values below `path`, by listing."""
        self._refuse_listing(path)
        found = self._call("list", path, lambda: [meta["path"] for page in self._api.list(self._store, prefix=path or None) for meta in page])
        return sorted(found or ())

    def size(self, key: str) -> int | None:
        """Returns a value's size in bytes by a HEAD request, None when the key does not exist."""
        return self._call("read", key, lambda: int(self._api.head(self._store, key)["size"]))

    def names(self, path: str) -> list[str]:
        """Returns the names directly below `path` that have something below them, by listing. A web server cannot be listed."""
        self._refuse_listing(path)
        found = self._call("list", path, lambda: list(self._api.list_with_delimiter(self._store, path or None)["common_prefixes"]))
        return sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in found or ())

    @property
    def is_target(self) -> bool:
        return self._writable

    @property
    def is_shared(self) -> bool:
        """False where each process has its own."""
        return type(self._store).__name__ != "MemoryStore"

    def _check_writable(self, key: str) -> None:
        if not self._writable:
            raise StorageError(f"{self._location}/{key}: opened for reading only; open the store with writable=True to change it")

    def _refuse_listing(self, path: str) -> None:
        if self._location.startswith("http"):
            raise StorageError(f"{self._location}/{path}: a web server cannot be listed; name the group or array itself")

    def _call(self, verb: str, key: str, function: Callable[[], T]) -> T | None:
        try:
            return retried(function, self._is_passing)
        except FileNotFoundError:
            return None
        except self._failures as error:
            if type(error).__name__ == "NotFoundError":  # obstore before it raised the built-in
                return None
            raise StorageError(f"{self._location}/{key}: cannot {verb}: {_first_line(error)}") from error

    def _is_passing(self, error: Exception) -> bool:
        missing = isinstance(error, FileNotFoundError) or type(error).__name__ == "NotFoundError"
        return isinstance(error, self._failures) and not missing and not isinstance(error, ValueError) and type(error).__name__ not in _FINAL


def _object_store(store: object, writable: bool, location: str) -> ObjectStore:
    return ObjectStore(store, writable=writable, location=location)
