"""How a layout sees storage: nodes with attributes, array facts and children. No pixels, no Zarr library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from ziggurat.model import JSON, ArrayInfo


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
