"""A file that is seen as a node: what was read of it, as plain attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from ziggurat.model import JSON
from ziggurat.problems import PathError

if TYPE_CHECKING:
    from ziggurat.node import Kind


@dataclass(frozen=True, slots=True)
class FactsNode:
    """A single file that holds images. It has no documents, no container, and no children but places where nothing is.

    What opens the file fills `attributes`; a layout then reads it like any other node.
    """

    location: str
    attributes: Mapping[str, JSON] = field(default_factory=dict)
    kind: Kind = "file"

    @property
    def container(self) -> None:
        return None

    @property
    def zarr_format(self) -> None:
        return None

    @property
    def array(self) -> None:
        return None

    @property
    def array_document(self) -> None:
        return None

    def child(self, path: str) -> FactsNode:
        return FactsNode(f"{self.location}/{path}", {}, "absent")

    def children(self) -> tuple[str, ...]:
        return ()

    def parent(self) -> None:
        return None

    def consolidated(self) -> None:
        return None

    def file(self, name: str) -> None:
        return None

    def files(self) -> tuple[str, ...]:
        return ()

    def values(self, path: str) -> None:
        return None

    def linked(self, target: str) -> NoReturn:
        raise PathError(f"{self.location}: {target!r} leads out of the file; open that place itself")
