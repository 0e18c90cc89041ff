"""How a layout sees storage: nodes with attributes, array facts and children. No pixels, no Zarr library.

`DocumentNode` works over two functions, one that gets the bytes of a document by key and one that lists: `storage` makes
nodes over any store with it. `FileNode` is the same over a local folder, `DictNode` over a dict. All of them read strict
JSON through `loads`, and every path that comes from a document goes through `resolve`.

What it costs: a Zarr v3 node one get. A v2 node is probed as `zarr.json`, then each of `.zattrs`, `.zgroup`, `.zarray`
only when asked for; the format that was found is remembered for the children. Source: formats.md 12, 13, 15.7, 15.14.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol

from ziggurat.model import JSON, ArrayInfo
from ziggurat.node.arrays import parse_array_document
from ziggurat.node.documents import MAX_DEPTH, MAX_DOCUMENT_BYTES, dumps, loads, named_place, resolve, word
from ziggurat.problems import DocumentError, LimitError, PathError, StorageError

__all__ = [
    "MAX_DEPTH",
    "MAX_DOCUMENT_BYTES",
    "DictNode",
    "DocumentNode",
    "FileNode",
    "Get",
    "Kind",
    "List",
    "Node",
    "dumps",
    "loads",
    "named_place",
    "parse_array_document",
    "resolve",
    "word",
]

Kind = Literal["group", "array", "absent"]
Get = Callable[[str], "bytes | bytearray | memoryview | None"]
"""Key (`/`-joined, relative to the root) -> the document's bytes, None only when there is none. Raises StorageError."""
List = Callable[[str], Iterable[str]]
"""Path of a node (`""` is the root) -> names directly below it, by listing. Raises StorageError."""

_NOTHING: Mapping[str, JSON] = MappingProxyType({})


class Node(Protocol):
    """One place of a hierarchy. Everything is lazy; only `children` lists, and nothing that opens a declared multiscale calls it."""

    @property
    def location(self) -> str:
        """Where it is, for messages: a path or a URL."""
        ...

    @property
    def kind(self) -> Literal["group", "array", "absent"]: ...

    @property
    def zarr_format(self) -> int | None: ...

    @property
    def attributes(self) -> Mapping[str, JSON]:
        """User attributes: `attributes` of `zarr.json` (v3), `.zattrs` (v2)."""
        ...

    @property
    def array(self) -> ArrayInfo | None:
        """Facts of the array, None unless `kind` is `"array"`."""
        ...

    @property
    def array_document(self) -> Mapping[str, JSON] | None:
        """The array's own metadata document (`zarr.json` or `.zarray`), for the chunk path."""
        ...

    def child(self, path: str) -> Node:
        """Returns the node at a relative path, kind `"absent"` when nothing is there. Raises PathError for a path that leaves the root."""
        ...

    def children(self) -> tuple[str, ...]:
        """Returns the names of the direct children, by listing."""
        ...

    def parent(self) -> tuple[Node, str] | None:
        """Returns the node above and this node's name in it; None at the top of what can be seen."""
        ...

    def consolidated(self) -> Mapping[str, Mapping[str, JSON]] | None:
        """Returns the consolidated copy that this group keeps: key relative to it (`0/.zarray`, `0/zarr.json`) -> document; None when there is none."""
        ...


class DocumentNode:
    """A node over two functions: `get` the bytes of a document by key, and `list` the names below a path.

    Parameters
    ----------
    get, list
        See `Get` and `List`; keys are relative to one root and never start with `/`.
    location
        Of the root, for messages.
    path
        Of this node below the root; `""` is the root itself.
    zarr_format
        Remembered from the parent; None probes v3, then v2.
    consolidated
        Take children's documents from the root's consolidated copy where it has them: one request in place of one per
        node, and as stale as that copy. Otherwise only the real documents are read.
    """

    def __init__(self, get: Get, list: List, *, location: str, path: str = "", zarr_format: int | None = None, consolidated: bool = False) -> None:
        self._get, self._list, self._root, self._path = get, list, location, path
        self._format: int | None = zarr_format
        self._probed = zarr_format is not None
        self._use_copy = consolidated
        self._copy: dict[str, Mapping[str, JSON]] = {}
        self._read: dict[str, Mapping[str, JSON] | None] = {}
        self._info: ArrayInfo | None = None
        self._below: dict[str, DocumentNode] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.location!r})"

    @property
    def location(self) -> str:
        return f"{self._root}/{self._path}" if self._path else self._root

    @property
    def zarr_format(self) -> int | None:
        self._probe()
        if self._format is None and (self._document(".zattrs") or self._document(".zgroup") or self._document(".zarray")) is not None:
            self._format = 2
        return self._format

    @property
    def kind(self) -> Kind:
        if self.zarr_format == 3:
            document = self._document("zarr.json")
            node_type = None if document is None else document.get("node_type")
            return "absent" if document is None else "array" if node_type == "array" else "group"
        if self._document(".zarray") is not None:
            return "array"
        return "absent" if self._document(".zgroup") is None else "group"

    @property
    def attributes(self) -> Mapping[str, JSON]:
        self._probe()
        if self._format != 3:
            return self._document(".zattrs") or {}
        attributes = (self._document("zarr.json") or _NOTHING).get("attributes", {})
        if not isinstance(attributes, Mapping):
            raise DocumentError(f"{self.location}/zarr.json: attributes is {word(attributes)}; expected an object")
        return attributes

    @property
    def array_document(self) -> Mapping[str, JSON] | None:
        self._probe()
        if self._format != 3:
            return self._document(".zarray")
        document = self._document("zarr.json")
        return document if document is not None and document.get("node_type") == "array" else None

    @property
    def array(self) -> ArrayInfo | None:
        document = self.array_document
        if document is None:
            return None
        if self._info is None:
            zarr_format = 3 if self._format == 3 else 2
            attributes = self.attributes if zarr_format == 2 else _NOTHING
            self._info = parse_array_document(document, zarr_format, attributes=attributes, location=self.location)
        return self._info

    def child(self, path: str) -> DocumentNode:
        plain = resolve(path, f"{self.location}:")
        if plain not in self._below:
            # Kept, so that arrays that several series share are read once.
            node = DocumentNode(self._get, self._list, location=self._root, path=self._child_path(plain), zarr_format=self.zarr_format)
            node._copy = self._copy
            self._below[plain] = node
        return self._below[plain]

    def children(self) -> tuple[str, ...]:
        if self.kind == "array":
            return ()
        return tuple(sorted((name for name in self._list(self._path) if not name.startswith(".")), key=_natural))

    def parent(self) -> tuple[DocumentNode, str] | None:
        if not self._path:
            return None
        above, _, name = self._path.rpartition("/")
        return DocumentNode(self._get, self._list, location=self._root, path=above), name

    def consolidated(self) -> Mapping[str, Mapping[str, JSON]] | None:
        if self.zarr_format != 3:
            document = self._document(".zmetadata")
            entries = None if document is None else document.get("metadata")
            suffix = ""
        else:
            block = (self._document("zarr.json") or _NOTHING).get("consolidated_metadata")
            entries = block.get("metadata") if isinstance(block, Mapping) else None
            suffix = "/zarr.json"
        if not isinstance(entries, Mapping):
            return None
        return {key + suffix: value for key, value in entries.items() if isinstance(value, Mapping)}

    def _child_path(self, path: str) -> str:
        return f"{self._path}/{path}" if self._path else path

    def _probe(self) -> None:
        """Finds the format, and the consolidated copy when it was asked for."""
        if self._probed:
            return
        self._probed = True
        if self._document("zarr.json") is not None:
            self._format = 3
        if self._use_copy:
            prefix = f"{self._path}/" if self._path else ""
            if self._format is None and self._document(".zmetadata") is not None:
                self._format = 2
            if self._format is not None:
                self._copy = {prefix + key: value for key, value in (self.consolidated() or {}).items()}

    def _document(self, name: str) -> Mapping[str, JSON] | None:
        """Returns one document of this node, read once; from the consolidated copy when that has this node."""
        if name not in self._read:
            key = self._child_path(name)
            copied = key in self._copy or any(self._child_path(other) in self._copy for other in (".zarray", ".zgroup"))
            self._read[name] = self._copy.get(key) if copied and name != "zarr.json" else self._copy.get(key) or self._fetch(name)
            if name == "zarr.json":
                self._check_v3(self._read[name])
        return self._read[name]

    def _fetch(self, name: str) -> Mapping[str, JSON] | None:
        data = self._get(self._child_path(name))
        if data is None:
            return None
        value = loads(data, f"{self.location}/{name}")
        if not isinstance(value, Mapping):
            raise DocumentError(f"{self.location}/{name}: holds {word(value)}; expected an object")
        return value

    def _check_v3(self, document: Mapping[str, JSON] | None) -> None:
        if document is None:
            return
        if document.get("zarr_format") != 3:
            raise DocumentError(f"{self.location}/zarr.json: zarr_format is {document.get('zarr_format')!r}; expected 3")
        if document.get("node_type") not in ("group", "array"):
            raise DocumentError(f"{self.location}/zarr.json: node_type is {document.get('node_type')!r}; expected 'group' or 'array'")


class DictNode(DocumentNode):
    """A node over a dict of keys to documents (`{"zarr.json": {...}, "0/zarr.json": {...}}`), which may also be raw bytes."""

    def __init__(self, documents: Mapping[str, Mapping[str, JSON] | bytes], *, location: str = "memory") -> None:
        self.documents = documents
        super().__init__(self._bytes, self._names, location=location)

    def _bytes(self, key: str) -> bytes | None:
        value = self.documents.get(key)
        return value if value is None or isinstance(value, bytes) else dumps(value, key)

    def _names(self, path: str) -> set[str]:
        prefix = f"{path}/" if path else ""
        return {key.removeprefix(prefix).split("/")[0] for key in self.documents if key.startswith(prefix) and "/" in key.removeprefix(prefix)}


class FileNode(DocumentNode):
    """A node over a local folder: standard library only, so that it starts fast.

    Symbolic links are followed inside the folder; one that leaves it raises PathError unless `follow_links` says otherwise.
    """

    def __init__(self, path: str | os.PathLike[str], *, follow_links: bool = False, consolidated: bool = False) -> None:
        self.path = Path(path)
        self.follow_links = follow_links
        self._real = os.path.realpath(self.path)
        super().__init__(self._bytes, self._names, location=str(self.path), consolidated=consolidated)

    def parent(self) -> tuple[DocumentNode, str] | None:
        full = self.path.absolute()
        return None if full.parent == full else (FileNode(full.parent, follow_links=self.follow_links), full.name)

    def _inside(self, key: str) -> str:
        """Returns the real path behind a key. Raises PathError when links lead out of the folder."""
        name = os.path.join(self._real, *key.split("/")) if key else self._real
        real = os.path.realpath(name)
        if not self.follow_links and real != self._real and not real.startswith(self._real.rstrip(os.sep) + os.sep):
            raise PathError(f"{self.path}: '{key}' is a link to {real!r}, outside the folder; copy the data in, or allow links explicitly")
        return real

    def _bytes(self, key: str) -> bytes | None:
        name = self._inside(key)
        try:
            with open(name, "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise DocumentError(f"{name}: no regular file; expected a JSON document")
                if status.st_size > MAX_DOCUMENT_BYTES:
                    raise LimitError(f"{name}: {status.st_size:,} bytes, and no honest metadata document has more than {MAX_DOCUMENT_BYTES:,}")
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise PathError(f"{self.path}: '{key}' is a link that leads back to itself; replace it by the data") from None
            if error.errno == errno.EISDIR:
                raise DocumentError(f"{name}: a folder; expected a JSON document") from None
            raise StorageError(f"{name}: cannot be read ({error.strerror}); check the permissions and the disk") from error

    def _names(self, path: str) -> list[str]:
        name = self._inside(path)
        try:
            with os.scandir(name) as entries:
                return [entry.name for entry in entries if entry.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(f"{name}: cannot be listed ({error.strerror}); check the permissions and the disk") from error


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts `s2` before `s10`."""
    return [(0, int(part), "") if part.isdigit() and part.isascii() else (1, 0, part) for part in re.split(r"(\d+)", name)]
