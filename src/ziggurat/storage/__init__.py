"""Everything that the fast path leaves: other stores than local files, other codecs and dtypes, through zarr-python and obstore.

`open_store` makes a `ByteStore` of a path, a URL, a Zarr store, an obstore store or a mapping; `open_node` a `Node`;
`open_array` and `create_array` choose between `chunkio` and zarr-python by `chunkio.why_not`. zarr and obstore are imported
only when something needs them: local arrays of common codecs never do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from ziggurat.chunkio import (
    ArraySpec,
    ByteStore,
    ChunkArray,
    ChunkReader,
    ChunkWriter,
    DictStore,
    Durability,
    FileStore,
    array_documents,
    read_region,
    why_not,
)
from ziggurat.model import JSON
from ziggurat.node import Container, Decode, DocumentNode, FileNode, Node, Tree
from ziggurat.problems import OptionError, StorageError, UnsupportedError
from ziggurat.storage.codecs import refuse_unknown_codecs
from ziggurat.storage.documents import consolidated, write_documents

if TYPE_CHECKING:
    from ziggurat.storage.zips import ZipStore

__all__ = ["consolidated", "create_array", "decoder", "open_array", "open_node", "open_store", "open_writer", "open_zip", "write_documents"]

_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")


def open_store(target: object, *, writable: bool = False, durability: Durability = "rename") -> ByteStore:
    """Returns the byte store at a place; reads nothing and makes nothing.

    Parameters
    ----------
    target
        A local path (`str`, `os.PathLike`, `file://`) -> `FileStore`; a URL (`s3://`, `gs://`, `az://`, `http(s)://`,
        `memory://`) or an obstore store -> obstore's own synchronous calls; a `zarr.abc.store.Store`, a `StorePath`, or the
        place of a `zarr.Group` or `zarr.Array` -> the store's synchronous methods, or a private event loop; a mapping of
        keys to bytes -> `DictStore`; a `ByteStore` -> itself.
    writable
        Whether values may be stored; otherwise `put` raises StorageError where the store is of our making.
    durability
        How values reach the disk, for local paths.

    Raises
    ------
    MissingExtra
        When a URL needs obstore and it is not installed.
    StorageError
        When the target cannot be written and `writable` is asked.
    UnsupportedError
        When the target is none of the above.
    """
    if isinstance(target, str) and (url := _URL.match(target)):
        if url[1].lower() != "file":
            from ziggurat.storage import cloud

            return cloud.open_url(target, writable=writable)
        return FileStore(_file_url(target), durability=durability, read_only=not writable)
    if isinstance(target, str | os.PathLike):
        return FileStore(os.fspath(target), durability=durability, read_only=not writable)
    if isinstance(target, FileStore):
        if writable and target.read_only:
            raise StorageError(f"{target.root}: opened for reading only; open it again with writable=True")
        return target
    if all(callable(getattr(target, name, None)) for name in ("get", "put", "size")):
        return cast(ByteStore, target)
    if _defined_in(target, "obstore"):
        from ziggurat.storage import cloud

        return cloud.ObjectStore(target, writable=writable)
    if _defined_in(target, "zarr") or hasattr(target, "supports_listing"):  # the second: a store of somebody else's
        from ziggurat.storage import zarr_stores

        return zarr_stores.open_zarr_store(target, writable=writable, durability=durability)
    if isinstance(target, Mapping):
        return DictStore(cast("MutableMapping[str, bytes]", target))
    raise UnsupportedError(f"store {type(target).__name__}: expected a path, a URL, a Zarr store, an obstore store or a mapping of bytes")


def _defined_in(value: object, package: str) -> bool:
    return any(kind.__module__.split(".")[0] == package for kind in type(value).__mro__)


def _file_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise OptionError(f"{url!r}: names the host {parts.netloc!r}; expected file:///path, of this machine")
    return unquote(parts.path)


def open_node(target: object) -> Node:
    """Returns the node at a place; it may be absent. A local path needs no Zarr library.

    Raises what `open_store` raises; reading the node raises StorageError and DocumentError.
    """
    if isinstance(target, str) and (url := _URL.match(target)):
        if url[1].lower() == "file":
            return file_node(_file_url(target))
    elif isinstance(target, str | os.PathLike):
        return file_node(target)
    store = open_store(target)
    if isinstance(store, FileStore):
        return file_node(store.root)
    location = target.rstrip("/") if isinstance(target, str) else repr(store)

    def get(key: str) -> bytes | bytearray | memoryview | None:
        return store.get(key)

    def names(path: str) -> list[str]:
        listing = getattr(store, "names", None)
        if listing is None:
            raise StorageError(f"{location}: cannot be listed; name the group or array itself")
        return list(listing(path))

    return DocumentNode(Tree(get, names, location, decode=decoder(store), look=getattr(store, "files", None)))


def open_zip(place: str) -> ZipStore:
    """Returns the archive at a local path or a URL. Raises what `ZipStore` raises, StorageError when it cannot be read."""
    from ziggurat.storage.zips import ZipStore  # and with it the rules for archives: other builds start faster without

    if "://" in place:
        head, _, name = place.rpartition("/")
        return ZipStore(open_store(head), name, location=place)
    path = Path(place).absolute()
    return ZipStore(FileStore(path.parent, read_only=True), path.name, location=place)


def file_node(folder: str | os.PathLike[str], *, follow_links: bool = False) -> FileNode:
    """Returns the node of a local folder that can also read the values of small arrays."""
    return FileNode(folder, follow_links=follow_links, decode=lambda place: decoder(FileStore(place, read_only=True)))


def decoder(store: ByteStore) -> Decode:
    """Returns what reads all values of a one-dimensional array of a store: numbers as floats, words as strings."""

    def values(path: str, document: Mapping[str, JSON], container: Container) -> list[float | str]:
        if container == "n5":
            from ziggurat.storage.n5 import N5Array

            array: ChunkReader = N5Array(store, path, document)
        elif _holds_long_words(document):
            refuse_unknown_codecs(document, 3 if container == "zarr3" else 2, path, words=True)
            from ziggurat.storage.zarr_arrays import read_words

            return list(read_words(store, path, 3 if container == "zarr3" else 2))
        else:
            from ziggurat.storage import words

            zarr_format = 3 if container == "zarr3" else 2
            letters = words.letters_of(document, zarr_format, path)
            if letters is not None:
                points = open_array(store, path, letters.document, zarr_format)
                return list(words.words_of(read_region(points, tuple(slice(0, n) for n in points.shape)), letters.width, path))
            array = open_array(store, path, document, zarr_format)
        found: list[float | str] = read_region(array, tuple(slice(0, n) for n in array.shape)).tolist()
        return found

    return values


def _holds_long_words(document: Mapping[str, JSON]) -> bool:
    """Tells whether the samples are words of any length: objects of Zarr v2 (only a codec for words makes them), `string` in v3."""
    return document.get("dtype") == "|O" or document.get("data_type") in ("string", "variable_length_utf8")


def open_array(store: ByteStore, path: str, document: Mapping[str, JSON], zarr_format: int, *, location: str = "") -> ChunkReader:
    """Returns the reader of the array at `path`: the fast path when `chunkio.why_not` has nothing against it, else zarr-python.

    Parameters
    ----------
    document
        The array's own document, `zarr.json` or `.zarray`, as a `Node` gives it.
    location
        How messages name the array; without it, by its path in the store.

    Raises
    ------
    UnsupportedError
        For object dtypes, a codec that is not on the list of those that may run (`pickle` never is), or one not installed.
    LimitError
        When one chunk would be larger than any honest one.
    DocumentError
        When zarr-python refuses the document.
    """
    if why_not(document, zarr_format) is None:
        return ChunkArray.open(store, path, document, zarr_format=zarr_format)
    refuse_unknown_codecs(document, zarr_format, location or path)
    from ziggurat.storage.zarr_arrays import ZarrArray

    return ZarrArray(store, path, document, zarr_format=zarr_format)


def create_array(store: ByteStore, path: str, spec: ArraySpec, *, write_empty: bool = False) -> ChunkWriter:
    """Writes the documents of an array and returns its writer; chunks that are there already stay until they are written.

    Raises
    ------
    StorageError
        When the documents cannot be written.
    UnsupportedError
        When neither the fast path nor zarr-python can write such an array.
    """
    prefix = f"{path.strip('/')}/" if path.strip("/") else ""
    documents = array_documents(spec)
    name = ".zarray" if spec.zarr_format == 2 else "zarr.json"
    main = documents[name]
    if not isinstance(main, Mapping):
        raise UnsupportedError(f"{path or '.'}: document {name} is no object")
    if why_not(main, spec.zarr_format) is not None:
        refuse_unknown_codecs(main, spec.zarr_format, path)
    write_documents(store, [(prefix + key, documents[key]) for key in sorted(documents)])
    return open_writer(store, path, main, spec.zarr_format, write_empty=write_empty)


def open_writer(store: ByteStore, path: str, document: Mapping[str, JSON], zarr_format: int, *, write_empty: bool = False) -> ChunkWriter:
    """Returns the writer of the array at `path` whose own document is given; zarr-python also wants it in the store already.

    Raises UnsupportedError when neither the fast path nor zarr-python can write such an array.
    """
    if why_not(document, zarr_format) is None:
        return ChunkArray.open(store, path, document, zarr_format=zarr_format, write_empty=write_empty)
    refuse_unknown_codecs(document, zarr_format, path)
    from ziggurat.storage.zarr_arrays import ZarrArray

    return ZarrArray(store, path, document, zarr_format=zarr_format, writable=True, write_empty=write_empty)
