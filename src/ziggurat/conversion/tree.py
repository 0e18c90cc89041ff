"""The documents of a hierarchy as nodes, and back: what an upgrade reads and writes. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from ziggurat.model import JSON
from ziggurat.problems import DocumentError

NOTHING: Mapping[str, JSON] = MappingProxyType({})
NAMES = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")
"""The files that hold metadata in Zarr v3 and v2; whatever else lies in a hierarchy is a chunk or a stranger's."""

Hierarchy = Mapping[str, Mapping[str, JSON]]
"""Key of a document relative to the root (`labels/cells/.zattrs`) -> the document."""


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One group or array, its documents taken apart."""

    path: str
    kind: Literal["group", "array"]
    zarr_format: int
    document: Mapping[str, JSON]
    """`.zgroup`, `.zarray` or `zarr.json`, as it was read."""
    attributes: Mapping[str, JSON]
    ours: frozenset[str] = field(default=frozenset())
    """Attributes that the upgrade in progress wrote itself, so that a later step may drop them again."""

    def key(self, name: str) -> str:
        """Returns the key of one of the node's documents."""
        return f"{self.path}/{name}" if self.path else name

    def with_attributes(self, attributes: Mapping[str, JSON], *, ours: frozenset[str] = frozenset()) -> TreeNode:
        """Returns the node with other attributes."""
        return replace(self, attributes=attributes, ours=self.ours | ours)

    def documents(self) -> dict[str, Mapping[str, JSON]]:
        """Returns what is stored for the node: key -> document. Empty v2 attributes are no document."""
        if self.zarr_format == 2:
            name = ".zarray" if self.kind == "array" else ".zgroup"
            stored = {self.key(name): self.document}
            return {**stored, self.key(".zattrs"): self.attributes} if self.attributes else stored
        if "attributes" not in self.document and not self.attributes:
            return {self.key("zarr.json"): self.document}
        return {self.key("zarr.json"): {**self.document, "attributes": self.attributes}}


def parent_of(path: str) -> str:
    """Returns the path of the group that holds the node at `path`."""
    return path.rpartition("/")[0]


def join(*parts: str) -> str:
    """Returns the parts as one path, empty ones left out."""
    return "/".join(part for part in parts if part)


def nodes_of(documents: Hierarchy, location: str) -> dict[str, TreeNode]:
    """Returns the nodes of one hierarchy by path, the root first: all of the root's own Zarr format.

    A node of the other format lies in no hierarchy that a reader sees from the root, so it is left alone. Raises DocumentError
    when there is no group or array at the root.
    """
    zarr_format = 3 if "zarr.json" in documents else 2
    found: dict[str, TreeNode] = {}
    for key in sorted(documents, key=lambda k: (k.count("/"), k)):
        path, _, name = key.rpartition("/")
        document = documents[key]
        if zarr_format == 3 and name == "zarr.json":
            kind: Literal["group", "array"] = "array" if document.get("node_type") == "array" else "group"
            found[path] = TreeNode(path, kind, 3, document, _object(document.get("attributes", NOTHING), f"{location}/{key}"))
        elif zarr_format == 2 and name in (".zarray", ".zgroup"):
            kind = "array" if name == ".zarray" else "group"
            if kind == "array" or path not in found:
                found[path] = TreeNode(path, kind, 2, document, documents.get(join(path, ".zattrs"), NOTHING))
    if "" not in found:
        raise DocumentError(f"{location}: neither a group nor an array of Zarr lies there; name the group that holds the multiscale")
    return found


def documents_of(nodes: Mapping[str, TreeNode]) -> dict[str, Mapping[str, JSON]]:
    """Returns the documents of all nodes, without consolidated copies."""
    return {key: document for node in nodes.values() for key, document in node.documents().items()}


def _object(value: JSON, loc: str) -> Mapping[str, JSON]:
    if not isinstance(value, Mapping):
        raise DocumentError(f"{loc}: attributes is {value!r}; expected an object")
    return value
