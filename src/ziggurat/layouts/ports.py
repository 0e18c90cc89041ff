"""What a layout is, what it says when it recognises a node, and what it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ziggurat.model import JSON, Axis, Multiscale
from ziggurat.node import Node
from ziggurat.problems import Problem

Strength = Literal["declared", "named", "inferred"]
"""Metadata says so > a name or suffix says so > the tree's shape suggests it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a node is believed to be of a layout."""

    layout: str
    """Id with version, such as `ome-zarr@0.4`."""
    strength: Strength
    reason: str


@dataclass(frozen=True, slots=True)
class Documents:
    """What a layout writes: new attributes per node, and what it could not hold."""

    attributes: dict[str, dict[str, JSON]]
    """Path of a node relative to the multiscale's group ("" is the group) -> its complete attributes."""
    lost: tuple[Problem, ...] = ()


class Layout(Protocol):
    """One way to write a multiscale down."""

    @property
    def name(self) -> str: ...

    @property
    def versions(self) -> tuple[str, ...]:
        """Oldest first."""
        ...

    def detect(self, node: Node) -> Evidence | None: ...

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]: ...

    def can_hold(self, axes: Sequence[Axis], *, version: str) -> str | None:
        """Returns why these axes, in this order, cannot be written, in one sentence; None when they can."""
        ...

    def write(self, multiscales: Sequence[Multiscale], *, version: str, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None) -> Documents:
        """Returns the complete attributes of the group (and of arrays, where the layout keeps any there).

        `multiscales` are all series of the group in order; `existing` are the group's present attributes, of which every
        foreign key survives; `display` is an `omero`-like object for layouts that have one. Axis names and dimension names
        of arrays are the caller's (they are part of the array's own document).
        """
        ...
