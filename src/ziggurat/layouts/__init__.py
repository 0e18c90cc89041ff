"""Layouts: one file per way to write a multiscale into a hierarchy. Here: the table of them, and what reads with all of them.

A layout is pure over `Node`: no I/O library, no numpy, no other layout. To add one, write a module that exposes `LAYOUT`
(see `ports.Layout`) and put it into the table below.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ziggurat.layouts import (
    bdv_n5,
    cosem,
    datatree,
    drafts,
    geozarr,
    geozarr_tms,
    itk,
    multiscales01,
    multivec,
    n5_viewer,
    ndpyramid,
    ome_zarr,
    paintera,
    precomputed,
    spatialdata,
    tiff,
    undeclared,
    webknossos,
    xcube,
)
from ziggurat.layouts.ports import (
    Collecting,
    Described,
    Documents,
    Drafting,
    Evidence,
    Facts,
    Gathering,
    Guessing,
    Layout,
    Linking,
    Member,
    Mending,
    Nesting,
    SmallArray,
    Strength,
    Writing,
)
from ziggurat.layouts.rules import RULES, Rule
from ziggurat.model import Axis, Multiscale
from ziggurat.node import Node
from ziggurat.problems import LayoutError, NotFound, OptionError, Problem

__all__ = [
    "LAYOUTS",
    "OF_XARRAY",
    "RULES",
    "Choice",
    "Collecting",
    "Described",
    "Documents",
    "Drafting",
    "Evidence",
    "Facts",
    "Gathering",
    "Guessing",
    "Layout",
    "Linking",
    "Member",
    "Mending",
    "Nesting",
    "ReadResult",
    "Rule",
    "SmallArray",
    "Strength",
    "Writing",
    "can_hold",
    "choose",
    "detect",
    "find",
    "guesses",
    "holds_levels",
    "known",
    "members",
    "read",
    "version_of",
]

LAYOUTS: tuple[Layout, ...] = (
    itk.LAYOUT,
    datatree.LAYOUT,
    xcube.LAYOUT,
    cosem.LAYOUT,
    bdv_n5.LAYOUT,
    paintera.LAYOUT,
    n5_viewer.LAYOUT,
    precomputed.LAYOUT,
    spatialdata.LAYOUT,
    webknossos.LAYOUT,
    ome_zarr.LAYOUT,
    geozarr.LAYOUT,
    geozarr_tms.LAYOUT,
    ndpyramid.LAYOUT,
    ndpyramid.EARLY_LAYOUT,
    multivec.LAYOUT,
    drafts.LAYOUT,
    tiff.LAYOUT,
    multiscales01.LAYOUT,
    undeclared.VIV,
    undeclared.BARE,
)
"""Every layout; among equally strong evidence the earlier one comes first, so the more special stands before the more general."""

OF_XARRAY = ("datatree", "geozarr", "geozarr-early", "geozarr-tms", "itk", "ndpyramid", "xcube")
"""Layouts of the xarray world: a group is a dataset, and the fill value of a Zarr v2 array is its `_FillValue`."""

_STRENGTHS: tuple[Strength, ...] = ("declared", "named", "inferred")
Choice: TypeAlias = "int | str | Callable[[Multiscale], bool]"


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a node holds, as one layout reads it."""

    location: str
    layouts: tuple[str, ...]
    """The layout that was read, then the others that there is evidence for, strongest first."""
    multiscales: tuple[Multiscale, ...]
    problems: tuple[Problem, ...]
    evidence: tuple[Evidence, ...] = ()

    @property
    def layout(self) -> str:
        """Id of the layout that was read."""
        return self.layouts[0]


def detect(node: Node, layouts: Sequence[Layout] = LAYOUTS) -> tuple[Evidence, ...]:
    """Returns all evidence, strongest first; empty when no layout recognises the node. Lists nothing."""
    found = [evidence for layout in layouts if (evidence := layout.detect(node)) is not None]
    return tuple(sorted(found, key=lambda evidence: _STRENGTHS.index(evidence.strength)))


def guesses(node: Node, layouts: Sequence[Layout] = LAYOUTS) -> tuple[Evidence, ...]:
    """Returns the layouts that a group without any mark may be, which are read only when they are named."""
    return tuple(evidence for layout in layouts if isinstance(layout, Guessing) and (evidence := layout.guess(node)) is not None)


def holds_levels(node: Node, layouts: Sequence[Layout] = LAYOUTS) -> bool:
    """Tells whether a layout reads multiscales from a node itself: a collection only names those of others."""
    return any(evidence.holds == "levels" for evidence in detect(node, layouts))


def members(node: Node, layouts: Sequence[Layout] = LAYOUTS) -> tuple[tuple[Member, ...], tuple[Problem, ...]]:
    """Returns the multiscales that lie below a node by name (fields of a plate, images, labels), as every layout that knows some names them.

    Of two that name the same path the first is taken. Nothing is opened. Raises DocumentError for a document that cannot be read.
    """
    found: dict[str, Member] = {}
    problems: list[Problem] = []
    for layout in layouts:
        if isinstance(layout, Collecting):
            some, wrong = layout.members(node)
            for member in some:
                found.setdefault(member.path, member)
            problems += wrong
    return tuple(found.values()), tuple(problems)


def known(layouts: Sequence[Layout] = LAYOUTS) -> tuple[str, ...]:
    """Returns the ids of all layouts in all versions."""
    return tuple(f"{layout.name}@{version}" for layout in layouts for version in layout.versions)


def find(layout_id: str, layouts: Sequence[Layout] = LAYOUTS) -> Layout:
    """Returns the layout of an id such as `ome-zarr@0.4` or `ome-zarr`. Raises LayoutError for an unknown name or version."""
    name, at, version = layout_id.partition("@")
    for layout in layouts:
        if layout.name == name and (not at or version in layout.versions):
            return layout
    raise LayoutError(f"layout {layout_id!r}: not known; there are {', '.join(known(layouts))}")


def version_of(layout_id: str, layouts: Sequence[Layout] = LAYOUTS) -> str:
    """Returns the version in an id, the newest final one when the id has none. Raises LayoutError like `find`."""
    layout = find(layout_id, layouts)
    drafts = layout.drafts if isinstance(layout, Drafting) else ()
    return layout_id.partition("@")[2] or next(version for version in reversed(layout.versions) if version not in drafts)


def can_hold(axes: Sequence[Axis], layout_id: str, layouts: Sequence[Layout] = LAYOUTS) -> str | None:
    """Returns why axes in this order cannot be written in a layout, in one sentence; None when they can."""
    return find(layout_id, layouts).can_hold(axes, version=version_of(layout_id, layouts))


def read(node: Node, layout: str | None = None, layouts: Sequence[Layout] = LAYOUTS) -> ReadResult:
    """Returns every multiscale of a node, as the layout with the strongest evidence reads it, or as `layout` says.

    Of an id such as `ome-zarr@0.4` only the name chooses: the version is what the document states.

    What is wrong with the document is in `problems`; a series that cannot be read hides none of the others. At most one
    request per level, and two for the group; one more where a Zarr v2 base must be asked for the names of its axes.

    Raises
    ------
    NotFound
        Nothing is there, or nothing that any layout recognises.
    DocumentError
        The group's own document cannot be read.
    LayoutError
        `layout` is unknown.
    """
    evidence = detect(node, layouts)
    if layout is None and not any(e.holds == "levels" for e in evidence):
        raise NotFound(_nothing(node, evidence, layouts))
    evidence = tuple(sorted(evidence or guesses(node, layouts), key=lambda e: e.holds == "members"))
    chosen = layout or evidence[0].layout
    multiscales, problems = find(chosen, layouts).read(node)
    own = next((e.layout for e in evidence if find(e.layout, layouts) is find(chosen, layouts)), chosen)
    return ReadResult(node.location, (own, *(e.layout for e in evidence if e.layout != own)), multiscales, problems, evidence)


def _nothing(node: Node, evidence: Sequence[Evidence], layouts: Sequence[Layout]) -> str:
    kind = node.kind
    if evidence:
        return f"{node.location}: a collection ({evidence[0].reason}), no multiscale itself; 'ziggurat info' lists its members"
    if kind in ("absent", "folder"):
        return f"{node.location}: nothing there that is Zarr; expected a folder or store with zarr.json, .zgroup or .zarray"
    if kind == "array":
        return f"{node.location}: an array, and no group above lists it as a level; open it with zarr, or build levels for it with 'ziggurat build'"
    for guess in guesses(node, layouts):
        return f"{node.location}: no multiscale metadata, but it may be {guess.layout} ({guess.reason}); say layout={guess.layout!r} to read it so"
    names = ", ".join(layout.name for layout in layouts)
    return f"{node.location}: a group without multiscale metadata ({names} were tried); open one of the groups below, or build one with 'ziggurat build'"


def choose(multiscales: Sequence[Multiscale], which: Choice | None = None, *, chunks_like: Sequence[int] | None = None) -> Multiscale:
    """Returns one of several multiscales, the first when nothing is said.

    Parameters
    ----------
    which
        Its number from 0; its name, or else its type; or a function that is true for it.
    chunks_like
        Among those that are left, take the one whose base has chunks closest to these sizes, by their ratios.

    Raises OptionError that names what exists.
    """
    if not multiscales:
        raise OptionError("multiscale: the group holds none that can be read; 'ziggurat check' says why")
    left = list(multiscales)
    if isinstance(which, int):
        if not -len(left) <= which < len(left):
            raise OptionError(f"multiscale: number {which} does not exist; there are {_those(multiscales)}")
        left = [left[which]]
    elif isinstance(which, str):
        left = [m for m in left if m.name == which] or [m for m in left if m.type == which]
    elif which is not None:
        left = [m for m in left if which(m)]
    if not left:
        said = f"none is called {which!r}" if isinstance(which, str) else "the function is true for none"
        raise OptionError(f"multiscale: {said}; there are {_those(multiscales)}")
    if chunks_like is None:
        return left[0]
    near = [m for m in left if m.levels[0].array is not None and m.levels[0].array.ndim == len(chunks_like) and all(c >= 1 for c in chunks_like)]
    if not near:
        raise OptionError(f"chunks_like: {list(chunks_like)} fits the axes of none; there are {_those(multiscales)}")
    return min(near, key=lambda m: _distance(m, chunks_like))


def _distance(multiscale: Multiscale, sizes: Sequence[int]) -> float:
    array = multiscale.levels[0].array
    return math.inf if array is None else sum(abs(math.log(a / b)) for a, b in zip(array.chunks, sizes, strict=True))


def _those(multiscales: Sequence[Multiscale]) -> str:
    shown = []
    for i, multiscale in enumerate(multiscales):
        array = multiscale.levels[0].array if multiscale.levels else None
        name = "without a name" if multiscale.name is None else repr(multiscale.name)
        shown.append(f"{i} ({name}, chunks {list(array.chunks)})" if array is not None else f"{i} ({name})")
    return ", ".join(shown[:20]) + (" ..." if len(shown) > 20 else "")
