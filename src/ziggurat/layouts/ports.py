"""What a layout is, what it says when it recognises a node, and what it writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from ziggurat.layouts.rules import Repair
from ziggurat.model import JSON, Axis, Multiscale
from ziggurat.node import Container, Node
from ziggurat.problems import LayoutError, Problem

Strength = Literal["declared", "named", "inferred"]
"""Metadata says so > a name or suffix says so > the tree's shape suggests it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a node is believed to be of a layout."""

    layout: str
    """Id with version, such as `ome-zarr@0.4`."""
    strength: Strength
    reason: str
    holds: Literal["levels", "members"] = "levels"
    """`"members"`: the node is a collection of multiscales that lie below (a plate, a set of timepoints), see `Collecting`."""


@dataclass(frozen=True, slots=True)
class Member:
    """One multiscale of a collection, not yet opened."""

    name: str
    """What a person calls it, unique in the collection: `A/1/0`, `labels/nuclei`."""
    path: str
    """Of its node below the collection's."""
    kind: str = "image"
    """What it is to the collection: `"image"`, `"labels"`, `"field"`, `"timepoint"`, ..."""
    about: Mapping[str, JSON] = field(default_factory=dict, compare=False)
    """What the collection's own documents say of it."""
    holds: Literal["levels", "members"] = "levels"
    """`"members"`: a collection in turn (a well of a plate), whose members are named `<name>/<theirs>`; it is read when one of them is asked for."""


@dataclass(frozen=True, slots=True)
class SmallArray:
    """A one-dimensional array that a layout keeps beside the levels: the coordinates of an axis."""

    dimension: str
    values: tuple[float, ...] | tuple[int, ...] | tuple[str, ...]
    dtype: str = "float64"
    attributes: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Documents:
    """What a layout writes: new attributes per node, what lies beside them, and what it could not hold."""

    attributes: dict[str, dict[str, JSON]]
    """Path of a node relative to the multiscale's group -> its attributes. "" is the group, with its complete attributes; it is left out
    by a layout whose levels lie in a plain folder. Those of level arrays and of groups between, which `write` does not see, are laid over
    what is there; a key whose value is None is taken away."""
    lost: tuple[Problem, ...] = ()
    arrays: Mapping[str, SmallArray] = field(default_factory=dict)
    """Path -> a small array to write there."""
    files: Mapping[str, JSON] = field(default_factory=dict)
    """Path -> a document that is no attributes: JSON (`.zlevels`), or plain text as a string (`0.link`)."""
    consolidated: tuple[str, ...] = ()
    """Paths of the groups that get a consolidated copy whether or not they had one. A copy that was there is always made anew."""
    told: tuple[Mapping[str, JSON], ...] = ()
    """What the layout says in words of its own, as other layouts would: `{"name": ...}` where a variable carries the name."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a person wants to know of a layout: its page in `docs/layouts/` is made of this and of its rules."""

    title: str
    marks: str
    """What it is recognised by."""
    geometry: str
    """Where its numbers say that samples lie, in words; how they become scale and translation of centres."""
    axes: str
    """Where axes and their order come from."""
    keeps: str = ""
    """What of it a conversion to another layout cannot say, or what is carried as it is."""
    source: str = ""
    """The document that specifies it."""
    software: tuple[str, ...] = ()
    """Who writes or reads it."""


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

        `multiscales` are all series of the group in order, each level's `path` and `array` as it will be stored (so its `driver` tells
        N5 from Zarr); `existing` are the group's present attributes, of which every foreign key survives; `display` is an
        `omero`-like object for layouts that have one. Axis names and dimension names of arrays are the caller's (they are part of
        the array's own document). Of a multiscale that was read from another family, `raw` is empty: all that it knows is in the
        fields, and in `extra` of the multiscale, its levels and its axes.
        """
        ...


class ReadOnly:
    """What a layout that is never written says when it is asked to."""

    __slots__ = ()

    def can_hold(self, axes: Sequence[Axis], *, version: str) -> str | None:
        """Returns that nothing is written in it."""
        return "it is read, and never written"

    def write(self, multiscales: Sequence[Multiscale], *, version: str, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None) -> Documents:
        """Raises LayoutError."""
        raise LayoutError(f"{type(self).__name__}: is read, and never written; take another layout")


@runtime_checkable
class Guessing(Protocol):
    """A layout that a group may be though nothing says so; it is then read only when it is named."""

    def guess(self, node: Node) -> Evidence | None:
        """Returns evidence where the shape of the tree allows it. Lists nothing."""
        ...


@runtime_checkable
class Described(Protocol):
    """A layout that has a page of its own."""

    @property
    def facts(self) -> Facts: ...


@runtime_checkable
class Writing(Layout, Protocol):
    """A layout that conversions can write: beside `write`, it says where its levels live. One that is none of these is only read."""

    def containers(self, version: str) -> tuple[Container, ...]:
        """Returns the containers that it may live in, the usual one first."""
        ...

    def paths(self, multiscale: Multiscale, *, version: str) -> tuple[str, ...] | None:
        """Returns where the levels must lie below the group, largest first; None where any names will do.

        Levels of a link layout may be named here and left where they are (see `Linking`).
        """
        ...

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of attributes, of the group and of level arrays, that are this layout's own: a conversion away from it takes them
        away, all others survive."""
        ...


@runtime_checkable
class Nesting(Writing, Protocol):
    """A layout that wants the keys of chunks spelled in one way."""

    def separator(self, version: str) -> Literal[".", "/"] | None:
        """Returns the separator of chunk keys that a version asks for, None where any will do."""
        ...


@runtime_checkable
class Linking(Writing, Protocol):
    """A layout whose levels may lie elsewhere: one whose `location` is set when it is written is named by a file, and not copied."""

    @property
    def links(self) -> Literal[True]: ...


@runtime_checkable
class Mending(Writing, Protocol):
    """A layout whose documents `fix` mends by what it writes of a model that was set right; `series` has both functions for lists of datasets."""

    @property
    def mends(self) -> tuple[Repair, ...]:
        """What can be mended."""
        ...

    def listing(self, multiscale: Multiscale) -> tuple[str, ...]:
        """Returns the paths of the levels in the order of the document, those without an array too; empty where no list is kept."""
        ...

    def retold(self, multiscale: Multiscale, paths: Sequence[str], *, anew: bool) -> Multiscale:
        """Returns the multiscale as of a document that lists `paths` in this order, so that `write` keeps every other word of it; or,
        `anew`, as of one that states of the levels nothing that the model says, so that `write` says it all."""
        ...

    def versioned(self, attributes: Mapping[str, JSON], multiscales: Sequence[Multiscale], version: str) -> tuple[Mapping[str, JSON], tuple[Multiscale, ...]]:
        """Returns the group's attributes and the multiscales as of documents that say plainly of which version they are, where they mean it."""
        ...


@runtime_checkable
class Gathering(Writing, Protocol):
    """A layout that writes collections, too: what their groups say of the multiscales below them, in the words of a version."""

    @property
    def shown(self) -> tuple[str, ...]:
        """Blocks of attributes that say of samples what no layout's geometry does (channels, colours of labels); layouts that
        share them carry them to one another."""
        ...

    def gathered(self, attributes: Mapping[str, JSON], *, version: str, absent: Collection[str] = ()) -> dict[str, JSON]:
        """Returns the attributes of a group of a collection of this layout as a version says them, every other key as it is.

        `absent` are the paths below the group of members that are not there in what is written: no list names them.
        """
        ...

    def ungathered(self, attributes: Mapping[str, JSON]) -> dict[str, JSON]:
        """Returns the attributes of a group of a collection without all that is this layout's."""
        ...

    def side_by_side(self, paths: Sequence[str], *, version: str) -> dict[str, dict[str, JSON]]:
        """Returns what makes a collection of multiscales at these paths: path of a group -> its attributes; empty where there is no such thing."""
        ...


@runtime_checkable
class Drafting(Layout, Protocol):
    """A layout with versions that are not final."""

    @property
    def drafts(self) -> tuple[str, ...]:
        """Those of its versions that are written only when they are named."""
        ...


@runtime_checkable
class Collecting(Protocol):
    """A layout whose nodes may hold other multiscales by name."""

    def members(self, node: Node) -> tuple[tuple[Member, ...], tuple[Problem, ...]]:
        """Returns the multiscales that a collection names, in its order, without opening any; empty for a node that is none."""
        ...
