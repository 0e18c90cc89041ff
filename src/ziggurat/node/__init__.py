"""How a layout sees storage: nodes with attributes, array facts and children. No pixels, no Zarr library.

`DocumentNode` works over two functions, one that gets the bytes of a document by key and one that lists: `storage` makes
nodes over any store with it. `FileNode` is the same over a local folder, `DictNode` over a dict. All of them read strict
JSON through `loads`, and every path that comes from a document goes through `resolve`.

What it costs: a Zarr v3 node one get. A v2 node is probed as `zarr.json`, then each of `.zattrs`, `.zgroup`, `.zarray`
only when asked for, and what has none of these as N5's `attributes.json`; the container that was found is remembered for the
children. Axes of N5 arrays are turned round here, once: everything above sees C order. What stands in user attributes is left
as it is written. Source: formats.md 4.1, 12, 13, 15.7, 15.14.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol

from ziggurat.model import JSON, ArrayInfo
from ziggurat.node.arrays import parse_array_document
from ziggurat.node.documents import MAX_DEPTH, MAX_DOCUMENT_BYTES, dumps, loads, named_place, resolve, word
from ziggurat.node.facts import FactsNode
from ziggurat.node.n5 import ARRAY_KEYS, is_n5_array, parse_n5_document
from ziggurat.problems import DocumentError, LimitError, PathError, StorageError

__all__ = [
    "ARRAY_KEYS",
    "MAX_DEPTH",
    "MAX_DOCUMENT_BYTES",
    "MAX_VALUES",
    "Container",
    "Decode",
    "DictNode",
    "DocumentNode",
    "FactsNode",
    "FileNode",
    "Get",
    "Kind",
    "List",
    "Node",
    "Tree",
    "dumps",
    "loads",
    "named_place",
    "parse_array_document",
    "parse_n5_document",
    "resolve",
    "word",
]

Kind = Literal["group", "array", "folder", "file", "absent"]
"""`"file"`: a single file that holds images, see `FactsNode`.
`"folder"`: a local folder that is no node of any container; layouts that live in plain folders look at its files."""
Container = Literal["zarr2", "zarr3", "n5"]
Get = Callable[[str], "bytes | bytearray | memoryview | None"]
"""Key (`/`-joined, relative to the root) -> the document's bytes, None only when there is none. Raises StorageError."""
List = Callable[[str], Iterable[str]]
"""Path of a node (`""` is the root) -> names directly below it, by listing. Raises StorageError."""

Look = Callable[[str], "Iterator[str] | None"]
"""Path of a node -> names of the files directly there, None where there is no such folder. Raises StorageError."""
Follow = Callable[[str, str], "Node"]
"""Path of a node, and a place that a document in it names -> the node there. Raises PathError where links are not allowed."""
Above = Callable[[], "tuple[Node, str] | None"]
"""Nothing -> the node above the root, and the root's name in it; None where there is none to be seen."""
Decode = Callable[[str, Mapping[str, JSON], Container], "Sequence[float | str]"]
"""Key of an array, its own document, its container -> all its values. Raises StorageError, DocumentError, UnsupportedError."""

DecodeIn = Callable[[str], Decode]
"""Local folder -> what reads the values of its arrays."""

MAX_VALUES = 2**20
"""More coordinates than any axis has that a person looks at; an axis longer than this is placed by its first and last samples."""
MAX_CHUNK = 4 * MAX_VALUES
"""Samples: a chunk of coordinates is decoded whole, however short its array is."""
_NOTHING: Mapping[str, JSON] = MappingProxyType({})


class Node(Protocol):
    """One place of a hierarchy. Everything is lazy; only `children` lists, and nothing that opens a declared multiscale calls it."""

    @property
    def location(self) -> str:
        """Where it is, for messages: a path or a URL."""
        ...

    @property
    def kind(self) -> Kind: ...

    @property
    def container(self) -> Container | None:
        """What its documents are written in; None where there are none."""
        ...

    @property
    def zarr_format(self) -> int | None: ...

    @property
    def attributes(self) -> Mapping[str, JSON]:
        """User attributes: `attributes` of `zarr.json` (v3), `.zattrs` (v2), `attributes.json` (N5, the facts of the array among them)."""
        ...

    @property
    def array(self) -> ArrayInfo | None:
        """Facts of the array, None unless `kind` is `"array"`."""
        ...

    @property
    def array_document(self) -> Mapping[str, JSON] | None:
        """The array's own metadata document (`zarr.json`, `.zarray` or `attributes.json`), for the chunk path."""
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

    def file(self, name: str) -> bytes | None:
        """Returns a file that lies directly in this node and is no document of its container (`.zlevels`, `info`, `0.link`); None when there is none."""
        ...

    def files(self) -> tuple[str, ...]:
        """Returns the names of the files directly here, by listing; empty where a store cannot tell files from groups."""
        ...

    def values(self, path: str) -> tuple[float | str, ...] | None:
        """Returns the values of a one-dimensional array below: the coordinates of an axis.

        None when no such array is there, it has other than one axis, more than `MAX_VALUES` samples or chunks of more than `MAX_CHUNK`,
        or nothing that decodes was given.
        Raises StorageError, DocumentError or UnsupportedError where it is there and cannot be read.
        """
        ...

    def linked(self, target: str) -> Node:
        """Returns the node of another folder that a document names (a link file, an XML reference), absolute or relative to this node.

        Raises PathError unless links were allowed when the tree was opened; always for a URL. Source: reliability.md S1 to S4, formats.md 15.7.
        """
        ...


@dataclass(frozen=True, slots=True)
class Tree:
    """A hierarchy of documents: two functions, and what a file system knows beside them; other stores know none of it."""

    get: Get
    list: List
    location: str
    """Of the root, for messages."""
    decode: Decode | None = None
    """What reads the values of a small array; without it `values` knows none."""
    look: Look | None = None
    follow: Follow | None = None
    above: Above | None = None


class DocumentNode:
    """A node of a tree of documents.

    Parameters
    ----------
    tree
        Keys of its functions are relative to one root and never start with `/`.
    path
        Of this node below the root; `""` is the root itself.
    container
        Remembered from the parent; None probes Zarr v3, then v2, then N5.
    consolidated
        Take children's documents from the root's consolidated copy where it has them: one request in place of one per
        node, and as stale as that copy. Otherwise only the real documents are read.
    """

    def __init__(self, tree: Tree, *, path: str = "", container: Container | None = None, consolidated: bool = False) -> None:
        self._tree, self._path = tree, path
        self._container: Container | None = container
        self._probed = container is not None
        self._use_copy = consolidated
        self._copy: dict[str, Mapping[str, JSON]] = {}
        self._read: dict[str, Mapping[str, JSON] | None] = {}
        self._texts: dict[str, bytes | None] = {}
        self._info: ArrayInfo | None = None
        self._below: dict[str, DocumentNode] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.location!r})"

    @property
    def location(self) -> str:
        return f"{self._tree.location}/{self._path}" if self._path else self._tree.location

    @property
    def container(self) -> Container | None:
        self._probe()
        if self._container is None:
            if (self._document(".zattrs") or self._document(".zgroup") or self._document(".zarray")) is not None:
                self._container = "zarr2"
            elif self._document("attributes.json") is not None:
                self._container = "n5"
        return self._container

    @property
    def zarr_format(self) -> int | None:
        return {"zarr2": 2, "zarr3": 3}.get(self.container or "")

    @property
    def kind(self) -> Kind:
        container = self.container
        if container == "zarr3":
            document = self._document("zarr.json")
            node_type = None if document is None else document.get("node_type")
            return "absent" if document is None else "array" if node_type == "array" else "group"
        if container == "n5":
            document = self._document("attributes.json")
            if document is None:
                return "group" if self._path and self._is_folder() else "absent"
            return "array" if is_n5_array(document) else "group"
        if self._document(".zarray") is not None:
            return "array"
        return "group" if self._document(".zgroup") is not None else self._without_documents()

    @property
    def attributes(self) -> Mapping[str, JSON]:
        container = self._settled()
        if container != "zarr3":
            return self._document("attributes.json" if container == "n5" else ".zattrs") or {}
        attributes = (self._document("zarr.json") or _NOTHING).get("attributes", {})
        if not isinstance(attributes, Mapping):
            raise DocumentError(f"{self.location}/zarr.json: attributes is {word(attributes)}; expected an object")
        return attributes

    @property
    def array_document(self) -> Mapping[str, JSON] | None:
        container = self._settled()
        if container == "zarr3":
            document = self._document("zarr.json")
            return document if document is not None and document.get("node_type") == "array" else None
        if container == "n5":
            document = self._document("attributes.json")
            return document if document is not None and is_n5_array(document) else None
        return self._document(".zarray")

    @property
    def array(self) -> ArrayInfo | None:
        document = self.array_document
        if document is None:
            return None
        if self._info is None:
            if self._container == "n5":
                self._info = parse_n5_document(document, location=self.location)
            else:
                zarr_format = 3 if self._container == "zarr3" else 2
                attributes = self.attributes if zarr_format == 2 else _NOTHING
                self._info = parse_array_document(document, zarr_format, attributes=attributes, location=self.location)
        return self._info

    def child(self, path: str) -> DocumentNode:
        plain = resolve(path, f"{self.location}:")
        if plain not in self._below:
            # Kept, so that arrays that several series share are read once.
            node = self._at(self._child_path(plain), self.container)
            node._copy = self._copy
            self._below[plain] = node
        return self._below[plain]

    def children(self) -> tuple[str, ...]:
        if self.kind == "array":
            return ()
        return tuple(sorted((name for name in self._tree.list(self._path) if not name.startswith(".")), key=_natural))

    def parent(self) -> tuple[Node, str] | None:
        if not self._path:
            return self._tree.above() if self._tree.above is not None else None
        above, _, name = self._path.rpartition("/")
        return self._at(above, None), name

    def file(self, name: str) -> bytes | None:
        plain = resolve(name, f"{self.location}:")
        if plain not in self._texts:
            self._texts[plain] = self._text(plain)
        return self._texts[plain]

    def _text(self, name: str) -> bytes | None:
        data = self._tree.get(self._child_path(name))
        if data is not None and len(data) > MAX_DOCUMENT_BYTES:
            raise LimitError(f"{self.location}/{name}: {len(data):,} bytes, and no honest metadata document has more than {MAX_DOCUMENT_BYTES:,}")
        return None if data is None else bytes(data)

    def files(self) -> tuple[str, ...]:
        found = self._tree.look(self._path) if self._tree.look is not None else None
        return tuple(sorted(found or (), key=_natural))

    def values(self, path: str) -> tuple[float | str, ...] | None:
        node = self.child(path)
        info, document = node.array, node.array_document
        if info is None or document is None or node.container is None or info.ndim != 1 or self._tree.decode is None:
            return None
        if info.shape[0] > MAX_VALUES or max(info.chunks, default=0) > MAX_CHUNK:
            return None
        return tuple(self._tree.decode(node._path, document, node.container))

    def linked(self, target: str) -> Node:
        if self._tree.follow is None:
            raise PathError(f"{self.location}: {target!r} leads out of the store; open that place itself")
        return self._tree.follow(self._path, target)

    def consolidated(self) -> Mapping[str, Mapping[str, JSON]] | None:
        if self.container != "zarr3":
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

    def _at(self, path: str, container: Container | None) -> DocumentNode:
        """Returns the node at another path of the same root."""
        return DocumentNode(self._tree, path=path, container=container)

    def _is_folder(self) -> bool:
        """True when this is a folder, or anything lies below this path: N5 groups need no document of their own."""
        return self._tree.look(self._path) is not None if self._tree.look is not None else any(True for _ in self._tree.list(self._path))

    def _without_documents(self) -> Kind:
        """Returns what a place without any document is: only a file system tells folders from nothing."""
        return "folder" if self._tree.look is not None and self._tree.look(self._path) is not None else "absent"

    def _probe(self) -> None:
        """Finds whether the container is Zarr v3, and the consolidated copy when it was asked for."""
        if self._probed:
            return
        self._probed = True
        if self._document("zarr.json") is not None:
            self._container = "zarr3"
        if self._use_copy:
            prefix = f"{self._path}/" if self._path else ""
            if self._container is None and self._document(".zmetadata") is not None:
                self._container = "zarr2"
            if self._container is not None:
                self._copy = {prefix + key: value for key, value in (self.consolidated() or {}).items()}

    def _settled(self) -> Container | None:
        """Returns the container as far as one document tells: a Zarr v2 node is not asked for all of its documents."""
        self._probe()
        if self._container is None and self._document(".zattrs") is None:
            return self.container
        return self._container

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
        data = self._tree.get(self._child_path(name))
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
    """A node over a dict of keys to documents (`{"zarr.json": {...}, "0/zarr.json": {...}}`), which may also be raw bytes.

    `values` are what one-dimensional arrays hold, by path; `follow` leads to what a document names elsewhere.
    """

    def __init__(
        self,
        documents: Mapping[str, Mapping[str, JSON] | bytes],
        *,
        location: str = "memory",
        values: Mapping[str, Sequence[float | str]] | None = None,
        follow: Follow | None = None,
    ) -> None:
        self.documents = documents
        self.held = values or {}
        super().__init__(Tree(self._bytes, self._names, location, decode=self._held, look=self._files, follow=follow))

    def _held(self, path: str, document: Mapping[str, JSON], container: Container) -> Sequence[float | str]:
        if path not in self.held:
            raise StorageError(f"{self.location}: the values of {path!r} were not given")
        return self.held[path]

    def _files(self, path: str) -> Iterator[str] | None:
        prefix = f"{path}/" if path else ""
        below = [key.removeprefix(prefix) for key in self.documents if key.startswith(prefix)]
        return (name for name in below if "/" not in name) if below else None

    def _bytes(self, key: str) -> bytes | None:
        value = self.documents.get(key)
        return value if value is None or isinstance(value, bytes) else dumps(value, key)

    def _names(self, path: str) -> set[str]:
        prefix = f"{path}/" if path else ""
        return {key.removeprefix(prefix).split("/")[0] for key in self.documents if key.startswith(prefix) and "/" in key.removeprefix(prefix)}


class FileNode(DocumentNode):
    """A node over a local folder: standard library only, so that it starts fast.

    Symbolic links are followed inside the folder; one that leaves it raises PathError unless `follow_links` says otherwise, which
    also lets documents name other folders (`linked`). `decode` makes what reads small arrays of any folder, so that nodes above and
    behind links have one of their own.
    """

    def __init__(self, path: str | os.PathLike[str], *, follow_links: bool = False, consolidated: bool = False, decode: DecodeIn | None = None) -> None:
        self.path = Path(path)
        self.follow_links = follow_links
        self._real = os.path.realpath(self.path)
        self._decode_in = decode
        place = str(self.path)
        reads = None if decode is None else decode(place)
        tree = Tree(self._bytes, self._names, place, decode=reads, look=self._files, follow=self._elsewhere, above=self._over)
        super().__init__(tree, consolidated=consolidated)

    def _over(self) -> tuple[Node, str] | None:
        full = self.path.absolute()
        return None if full.parent == full else (FileNode(full.parent, follow_links=self.follow_links, decode=self._decode_in), full.name)

    def _elsewhere(self, path: str, target: str) -> Node:
        here = f"{self.path}/{path}" if path else str(self.path)
        if "://" in target or "\0" in target or len(target) > 4096:
            raise PathError(f"{here}: names {target[:80]!r}, which is no local folder; open that place itself")
        found = Path(os.path.normpath(os.path.join(self._real, path, target)))
        inside = os.path.realpath(found).startswith(self._real.rstrip(os.sep) + os.sep)
        if not (inside or self.follow_links):
            raise PathError(f"{here}: names {target!r}, outside the folder; say allow_links=True when you trust it")
        return FileNode(found, follow_links=self.follow_links, decode=self._decode_in)

    def _files(self, path: str) -> Iterator[str] | None:
        name = self._inside(path)
        return _files_in(name) if os.path.isdir(name) else None

    def _inside(self, key: str) -> str:
        """Returns the real path behind a key. Raises PathError when links lead out of the folder."""
        name = os.path.join(self._real, *key.split("/")) if key else self._real
        real = os.path.realpath(name)
        if not self.follow_links and real != self._real and not real.startswith(self._real.rstrip(os.sep) + os.sep):
            raise PathError(f"{self.path}: '{key}' is a link to {real!r}, outside the folder; copy the data in, or say allow_links=True")
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


def _files_in(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries if not entry.is_dir())
    except OSError as error:
        raise StorageError(f"{folder}: cannot be listed ({error.strerror}); check the permissions and the disk") from error


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts `s2` before `s10`."""
    return [(0, int(part), "") if part.isdigit() and part.isascii() else (1, 0, part) for part in re.split(r"(\d+)", name)]
