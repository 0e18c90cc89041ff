"""A multiscale from any layout into any that is written, decided from documents alone: what is written, which chunks move, what is lost.

N readers and N writers, no pairs: what a layout reads is the model, and the model is what a layout writes. `transfer` does it.
Source: formats.md 14, 15; design.md, convert.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from ziggurat import layouts
from ziggurat.conversion.series import axis_rank
from ziggurat.conversion.stored import Original, Stored, stored_in, unmasked
from ziggurat.conversion.transpose import Permutation, permutation
from ziggurat.conversion.tree import join, parent_of
from ziggurat.conversion.unsaid import unsaid
from ziggurat.layouts import Documents, Gathering, Linking, Nesting, SmallArray, Writing
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, Axis, Level, Multiscale
from ziggurat.node import ARRAY_KEYS, Container, Node
from ziggurat.problems import DocumentError, LayoutError, NotFound, OptionError, Problem, StorageError

FAMILY = frozenset({"multiscales", "ome-zarr"})
"""Layouts whose entries are forms of one another: what was read is written back key by key."""
MAX_BESIDE = 200
"""Siblings that are looked at: a plate has up to 384 wells."""
How = Literal["stays", "linked", "verbatim", "recoded"]


@dataclass(frozen=True, slots=True)
class Move:
    """One array, and how its samples come to where the target wants them."""

    source: str
    """Path below the source's group; of an array that lies elsewhere, what its layout calls it."""
    target: str
    """Path below the target's group."""
    how: How
    """`"stays"`: the same array serves. `"linked"`: a file of the target names it. `"verbatim"`: stored chunks are copied as they are. `"recoded"`."""
    level: Level
    """As it was read."""
    stored: Stored | None = None
    """The array as it will be; None when it is linked."""
    order: Permutation | None = None


@dataclass(frozen=True, slots=True)
class NodeWrite:
    """What one node of the target says."""

    path: str
    kind: Literal["group", "array"]
    attributes: Mapping[str, JSON] | None
    """All of them; None leaves them as they are."""
    document: Mapping[str, JSON] | None = None
    """Of an array, without attributes; None leaves a group's as it is, or makes an empty one."""


@dataclass(frozen=True, slots=True)
class ConversionPlan:
    """Everything that a conversion does."""

    source: str
    """Layout that was read."""
    to: str
    container: Container
    in_place: bool
    moves: tuple[Move, ...]
    nodes: tuple[NodeWrite, ...]
    """Arrays, then groups from the deepest up, the group itself last: with it the target is what it says."""
    arrays: Mapping[str, SmallArray] = field(default_factory=lambda: MappingProxyType({}))
    files: Mapping[str, JSON] = field(default_factory=lambda: MappingProxyType({}))
    consolidated: tuple[str, ...] = ()
    lost: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    meant: Mapping[str, tuple[Multiscale, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """What a reader of the target is to find, by the path of the group."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller asks of a conversion."""

    layout: str
    transpose: tuple[str, ...] | None = None
    link: bool = False
    in_place: bool = False
    container: Container | None = None
    held: Mapping[str, JSON] | None = None
    """Attributes of the group that stay whatever the target says: other layouts describe the same arrays with them. None: nothing stays
    of what the source's own layout is known by."""
    over: Mapping[str, Mapping[str, JSON]] = field(default_factory=lambda: MappingProxyType({}))
    """Attributes of nodes, by path, that are to be taken for those that are there: what an earlier step will have written."""
    along: frozenset[str] = frozenset()
    """Names of what lies directly in the group and comes along by a plan of its own: no loss."""


def conversion_plan(node: Node, found: layouts.ReadResult, wish: Wish, *, table: Sequence[layouts.Layout] = layouts.LAYOUTS) -> ConversionPlan:
    """Returns what brings the multiscales that were read from `node` into another layout, without doing it.

    Raises
    ------
    LayoutError
        The target is unknown, is only read, or cannot hold the axes; or it cannot serve in place.
    NotFound
        A base has no array.
    OptionError
        What is wished contradicts itself or the target.
    UnsupportedError
        The container has no word for the samples.
    DocumentError
        Nothing that was found can be read.
    """
    return _Conversion(node, found, wish, table).plan()


def writing(layout_id: str, table: Sequence[layouts.Layout] = layouts.LAYOUTS) -> Writing:
    """Returns the layout of an id that can be written. Raises LayoutError, naming those that can."""
    return written(layout_id, table)[0]


def written(layout_id: str, table: Sequence[layouts.Layout] = layouts.LAYOUTS) -> tuple[Writing, str]:
    """Returns the layout of an id that can be written, and its version: the newest that is written where the id names none."""
    layout = layouts.find(layout_id, table)
    stated = layout_id.partition("@")[2]
    versions = [version for version in layout.versions if isinstance(layout, Writing) and layout.containers(version)]
    if not isinstance(layout, Writing) or not versions or (stated and stated not in versions):
        raise LayoutError(f"layout {layout_id!r}: is read, and never written; take one of {', '.join(writable(table))}")
    newest = layouts.version_of(layout.name, table)
    return layout, stated or (newest if newest in versions else versions[-1])


def writable(table: Sequence[layouts.Layout] = layouts.LAYOUTS) -> tuple[str, ...]:
    """Returns the ids of all layouts, in all versions, that conversions write."""
    return tuple(f"{layout.name}@{v}" for layout in table if isinstance(layout, Writing) for v in layout.versions if layout.containers(v))


class _Conversion:
    """One conversion being planned; `plan` is the only way in."""

    def __init__(self, node: Node, found: layouts.ReadResult, wish: Wish, table: Sequence[layouts.Layout]) -> None:
        self.node, self.found, self.wish = node, found, wish
        self.layout, self.version = written(wish.layout, table)
        self.to = f"{self.layout.name}@{self.version}"
        self.reader = layouts.find(found.layout, table)
        self.related = self.reader.name == self.layout.name or {self.reader.name, self.layout.name} <= FAMILY
        self.lost: list[Problem] = []
        self.notes: list[Problem] = []
        self.container = self._container()

    def plan(self) -> ConversionPlan:
        multiscales = [self._present(m) for m in self._usable()]
        orders = [self._order(m) for m in multiscales]
        turned = [_turned(m, order) for m, order in zip(multiscales, orders, strict=True)]
        for multiscale in turned:
            self._refuse_axes(multiscale)
        paths = [self._paths(m) for m in turned]
        if len(turned) > 1 and len({path for group in paths for path in group}) < len({lv.path for m in turned for lv in m.levels}):
            self._drop_series(turned[1:])
            multiscales, orders, turned, paths = multiscales[:1], orders[:1], turned[:1], paths[:1]
        moves: dict[str, Move] = {}
        for multiscale, order, new in zip(multiscales, orders, paths, strict=True):
            names = _names(multiscale.axes, order)
            for k, (level, path) in enumerate(zip(multiscale.levels, new, strict=True)):
                if path not in moves:
                    moves[path] = self._move(level, path, names, order, linked=self.wish.link and k == 0)
        if self.wish.in_place:
            self._refuse_in_place(moves.values())
        ready = [self._as_written(m, new, moves) for m, new in zip(turned, paths, strict=True)]
        written = self.layout.write(ready, version=self.version, existing=self._existing())
        left_out = [p for p in written.lost if p.rule == "LOSS006"]
        if left_out:  # series that the layout leaves out take their arrays with them
            self.lost += left_out
            kept = [i for i in range(len(ready)) if f"multiscales[{i}]" not in {p.loc for p in left_out}]
            moves = {path: moves[path] for i in kept for path in paths[i]}
            ready = [ready[i] for i in kept]
            written = self.layout.write(ready, version=self.version, existing=self._existing())
        documents = self._side_by_side(written)
        self.lost += [p for p in documents.lost if p not in self.lost]
        nodes = self._nodes(moves, documents)
        self.lost += [] if self.wish.in_place else self._beside(moves.values())
        self.lost += [p for p in self._unsaid(moves, nodes, documents) if p.loc not in {known.loc for known in self.lost}]
        return ConversionPlan(
            self.found.layout, self.to, self.container, self.wish.in_place, tuple(moves.values()), nodes,
            documents.arrays, documents.files, documents.consolidated, tuple(self.lost), tuple(dict.fromkeys(self.notes)), {"": tuple(ready)},
        )  # fmt: skip

    # --- what is there

    def _usable(self) -> tuple[Multiscale, ...]:
        if not self.found.multiscales:
            first = next((p for p in self.found.problems if p.requirement == "MUST"), None)
            reason = f"{first.loc}: {first.message}" if first else "no multiscale in it can be read"
            raise DocumentError(f"{self.node.location}: {reason}; 'ziggurat check' applies all rules", self.found.problems)
        return self.found.multiscales

    def _present(self, multiscale: Multiscale) -> Multiscale:
        """Returns the multiscale without the levels that have no array."""
        if not multiscale.levels or multiscale.levels[0].array is None:
            path = multiscale.levels[0].path if multiscale.levels else ""
            raise NotFound(f"{self.node.location}: levels[0].path {path!r}: no array there, and nothing can be made of a multiscale without its base")
        absent = [level for level in multiscale.levels if level.array is None]
        for level in absent:
            self.lost.append(problem("LOSS005", level.path, "no array is there, so this level is left out", "restore it, or build the levels again"))
        for level in multiscale.levels:
            if level.array is not None and level.array.ndim != multiscale.ndim:
                found = f"an array of {level.array.ndim} axes, and the multiscale has {multiscale.ndim}"
                raise DocumentError(f"{self.node.location}: level {level.path!r}: {found}; 'ziggurat check' applies all rules", self.found.problems)
        return replace(multiscale, levels=tuple(level for level in multiscale.levels if level.array is not None)) if absent else multiscale

    def _container(self) -> Container:
        """Returns what the target's arrays are written in: what was asked, the source's own, or the usual one."""
        allowed, asked = self.layout.containers(self.version), self.wish.container
        if asked is not None and asked not in allowed:
            raise OptionError(f"container {asked!r}: {self.to} lives in {', '.join(allowed)}")
        present = _container_of(self.node, self.found.multiscales)
        return asked or (present if present in allowed else None) or allowed[0]

    # --- axes and paths

    def _order(self, multiscale: Multiscale) -> Permutation | None:
        if self.wish.transpose is None:
            return None
        order = permutation([axis.name for axis in multiscale.axes], self.wish.transpose, f"{self.node.location}, series {multiscale.name or 0!r},")
        return None if order == tuple(range(len(order))) else order

    def _refuse_axes(self, multiscale: Multiscale) -> None:
        """Raises LayoutError when the target forbids the axes, naming the way out."""
        axes = multiscale.axes
        reason = self.layout.can_hold(axes, version=self.version)
        if reason is None:
            return
        order = sorted(axes, key=axis_rank)
        way = "take another layout, such as multiscales@0.1"
        if self.layout.can_hold(order, version=self.version) is None:
            names = [axis.name for axis in order]
            word = "".join(names) if all(len(name) == 1 for name in names) else ",".join(names)
            way = f"write a new store with the axes in another order (--transpose {word}), or {way}"
        raise LayoutError(f"{self.node.location} has the axes {', '.join(axis.name for axis in axes)}, which {self.to} cannot hold: {reason}; {way}")

    def _paths(self, multiscale: Multiscale) -> tuple[str, ...]:
        base = multiscale.levels[0].path.rpartition("/")[2]
        if self.wish.link and base:  # a dataset that stays where it is keeps the name of its variable, and so do the others
            multiscale = replace(multiscale, name=base)
        wanted = self.layout.paths(multiscale, version=self.version)
        return wanted if wanted is not None else tuple(_plain(level, k) for k, level in enumerate(multiscale.levels))

    def _drop_series(self, series: Sequence[Multiscale]) -> None:
        for multiscale in series:
            message = f"{self.to} holds one series in a group, and {multiscale.name or 'one without a name'!r} is left out"
            self.lost.append(problem("LOSS006", multiscale.name or "", message, "convert it into a store of its own"))

    # --- arrays

    def _move(self, level: Level, path: str, names: Sequence[str], order: Permutation | None, *, linked: bool) -> Move:
        if linked:
            self._refuse_link(order)
            return Move(level.path, path, "linked", level)
        if level.array is None:
            raise NotFound(f"{self.node.location}: level {level.path!r}: no array there")
        here = self.node.child(level.path) if level.location is None else self.node.linked(level.location)
        original = Original(level.path, level.array, here.array_document, here.container if level.array.driver in ("zarr", "n5") else None)
        separator = self.layout.separator(self.version) if isinstance(self.layout, Nesting) else None
        stored = stored_in(self.container, original, names=names, separator=separator, order=order)
        if self.container == "zarr2" and self.layout.name in layouts.OF_XARRAY and not self.wish.in_place:
            of_xarray = self.reader.name in layouts.OF_XARRAY and original.container == "zarr2"
            stored = stored if of_xarray else unmasked(stored, original, here.attributes.get("_FillValue") if here.kind == "array" else None)
        self.notes += stored.problems
        return Move(level.path, path, "stays" if self.wish.in_place else stored.how, level, stored, order)

    def _refuse_link(self, order: Permutation | None) -> None:
        if not isinstance(self.layout, Linking):
            raise OptionError(f"link: {self.to} knows no links; leave link out, and level 0 is copied")
        if order is not None:
            raise OptionError("link: a linked level keeps the order of its axes; leave transpose out")

    def _refuse_in_place(self, moves: Iterable[Move]) -> None:
        """Raises LayoutError unless the arrays, where they are and as they are stored, serve the target."""
        present = _container_of(self.node, self.found.multiscales)
        ways = "say a target, and the samples are copied there"
        if present != self.container:
            raise LayoutError(f"{self.node.location}: its arrays lie in {present or 'no container'}, and {self.to} wants {self.container}; {ways}")
        for move in moves:
            if move.level.location is not None or move.source != move.target:
                raise LayoutError(f"{self.node.location}: {self.to} wants level {move.source!r} at {move.target!r}; {ways}")
            recoded = move.stored is not None and (move.stored.how == "recoded" or move.stored.info.separator != _separator(move.level))
            if move.order is not None or recoded:
                raise LayoutError(f"{self.node.location}: the chunks of {move.source!r} cannot stay as they are in {self.to}; {ways}")

    def _as_written(self, multiscale: Multiscale, paths: Sequence[str], moves: Mapping[str, Move]) -> Multiscale:
        """Returns the multiscale with every level where and how it will be stored."""
        levels = []
        for level, path in zip(multiscale.levels, paths, strict=True):
            move = moves[path]
            array = level.array if move.stored is None else move.stored.info
            location = self._link_to(move) if move.how == "linked" else None
            levels.append(replace(level, path=path, array=array, location=location))
        same = all(a.path == b.path for a, b in zip(levels, multiscale.levels, strict=True))
        raw = multiscale.raw if self.related and same and len(levels) == len(multiscale.levels) else {}
        return replace(multiscale, levels=tuple(levels) if raw else self._placed(levels), raw=raw)

    def _placed(self, levels: Sequence[Level]) -> tuple[Level, ...]:
        """Returns levels of which all or none state where they lie: a reader takes a level that is silent among others to lie at 0."""
        known = [level.translation_provenance in ("stated", "derived") for level in levels]
        if all(known) or not any(known):
            return tuple(levels)
        silent = [level.path for level, is_known in zip(levels, known, strict=True) if not is_known]
        message = f"does not state where {', '.join(silent)} lie, and other levels do; they are written as aligned at the lower corner"
        self.notes.append(problem("NOTE001", self.node.location, message, "correct the translations if they are others"))
        return tuple(level if is_known else replace(level, translation_provenance="derived") for level, is_known in zip(levels, known, strict=True))

    def _link_to(self, move: Move) -> str:
        return move.level.location or join(self.node.location, move.source)

    # --- documents

    def _side_by_side(self, documents: Documents) -> Documents:
        """Returns the documents with what stays of the group's attributes. Raises LayoutError where both want the same key for something else."""
        held = self.wish.held
        if not held:
            return documents
        said = documents.attributes.get("", {})
        both = [key for key in held if key in said and said[key] != held[key]]
        if both:
            raise LayoutError(f"{self.node.location}: {self.to} wants the attribute {both[0]!r}, which says something else there already")
        return replace(documents, attributes={**documents.attributes, "": {**held, **said}})

    def _existing(self) -> dict[str, JSON]:
        """Returns the group's attributes without those that are the source layout's own; of an N5 container, without its version."""
        attributes = dict(self.wish.over.get("", self.node.attributes))
        if self.node.container == "n5":
            attributes = {key: value for key, value in attributes.items() if key not in ("n5", *ARRAY_KEYS)} | (
                {"n5": attributes["n5"]} if "n5" in attributes and self.container == "n5" else {}
            )
        if self.wish.held is not None:
            return {key: value for key, value in attributes.items() if key not in self.wish.held}
        if self.related:
            return attributes
        return {key: value for key, value in attributes.items() if key not in self._own_keys()} | self._shown(attributes)

    def _shown(self, attributes: Mapping[str, JSON]) -> dict[str, JSON]:
        """Returns the blocks that the target shares with a source that is another layout: they stand at the root, or below `ome`."""
        if not isinstance(self.layout, Gathering):
            return {}
        inner = attributes.get("ome")
        held = {**attributes, **inner} if isinstance(inner, Mapping) else attributes
        return {key: held[key] for key in self.layout.shown if key in held}

    def _own_keys(self) -> tuple[str, ...]:
        return own_keys(self.reader)

    def _nodes(self, moves: Mapping[str, Move], documents: Documents) -> tuple[NodeWrite, ...]:
        arrays: dict[str, NodeWrite] = {}
        for path, move in moves.items():
            if move.stored is not None:
                attributes = self._array_attributes(move, documents.attributes.get(path, {}))
                arrays[path] = NodeWrite(path, "array", attributes, move.stored.document)
        groups: dict[str, NodeWrite] = {}
        below = {above for path in (*arrays, *documents.arrays) for above in _parents(path)}
        for path in sorted({*below, *(set(documents.attributes) - set(arrays))}, key=lambda p: (-_depth(p), p)):
            if path or "" in documents.attributes:
                groups[path] = NodeWrite(path, "group", self._group_attributes(path, documents.attributes.get(path)))
        return (*arrays.values(), *groups.values())

    def _array_attributes(self, move: Move, said: Mapping[str, JSON]) -> dict[str, JSON]:
        """Returns the attributes of a level's array: its own, without the source layout's, and what the target says of it."""
        here = self.node.child(move.source) if move.level.location is None else None
        attributes = {} if here is None or here.kind != "array" else dict(self.wish.over.get(move.source, here.attributes))
        if here is not None and here.container == "n5":
            attributes = {key: value for key, value in attributes.items() if key not in ARRAY_KEYS}
        if not (self.related or self.wish.held is not None):
            attributes = {key: value for key, value in attributes.items() if key not in self._own_keys()}
        names = None if move.stored is None else move.stored.info.dimension_names
        if (
            self.container == "zarr2"
            and names
            and attributes.get("_ARRAY_DIMENSIONS") != list(names)
            and not (self.wish.in_place and self.related and self.wish.held is None)
        ):
            attributes["_ARRAY_DIMENSIONS"] = list(names)
        elif self.container != "zarr2":
            attributes.pop("_ARRAY_DIMENSIONS", None) if not self.wish.in_place else None
        return _laid_over(attributes, said)

    def _group_attributes(self, path: str, said: Mapping[str, JSON] | None) -> Mapping[str, JSON] | None:
        if not path:
            return said
        kept: Mapping[str, JSON] = {}
        if self.node.container is not None and self.node.container != "n5":
            there = self.node.child(path)
            kept = there.attributes if there.kind == "group" else {}
        if said is None:
            return None if self.wish.in_place else kept
        return _laid_over(dict(kept), said)

    def _unsaid(self, moves: Mapping[str, Move], nodes: Sequence[NodeWrite], documents: Documents) -> tuple[Problem, ...]:
        """Returns what no new document says, of the group, of the arrays and of the groups between; nothing of what stays in place."""
        before: dict[str, JSON] = {"": dict(self._before(""))}
        places = {path for move in moves.values() if move.level.location is None for path in (move.source, *_parents(move.source)) if path}
        before |= {path: dict(self._before(path)) for path in sorted(places)}
        said = [write.attributes for write in nodes if write.attributes is not None]
        after: list[JSON] = [*said, *documents.files.values(), *(array.attributes for array in documents.arrays.values()), *documents.told]
        return unsaid(before, after, self.to)

    def _beside(self, moves: Iterable[Move]) -> list[Problem]:
        """Returns what lies beside the levels and does not come along: tables, strangers' arrays; not the coordinates of axes."""
        listed = {move.source.split("/")[0] for move in moves if move.level.location is None}
        axes = {axis.name for multiscale in self.found.multiscales for axis in multiscale.axes}
        return beside(self.node, listed | self.wish.along, axes)

    def _before(self, path: str) -> Mapping[str, JSON]:
        node = self.node.child(path) if path else self.node
        if node.kind in ("absent", "folder"):
            return {}
        attributes = node.attributes
        return {key: value for key, value in attributes.items() if key not in (*ARRAY_KEYS, "n5")} if node.container == "n5" else attributes


def beside(node: Node, known: Collection[str], axes: Collection[str] = ()) -> list[Problem]:
    """Returns what lies directly in a group and is none of those `known`: a group or an array that does not come along.

    Coordinates of `axes`, which are one-dimensional arrays of their names, are told by the multiscale.
    """
    message, hint = "lies beside the levels, is no part of the multiscale, and does not come along", "convert or copy it by itself"
    try:
        names = [name for name in node.children() if name not in known]
        kinds = [(name, node.child(name)) for name in names[:MAX_BESIDE]]
        return [
            problem("LOSS007", name, message, hint)
            for name, there in kinds
            if there.kind in ("group", "array") and not (name in axes and there.array is not None and there.array.ndim == 1)
        ]
    except (StorageError, DocumentError):  # a store that cannot be listed, a stranger's broken document: nothing that is ours is at stake
        return []


def own_keys(layout: layouts.Layout) -> tuple[str, ...]:
    """Returns the attributes by which a layout is known; of one that is only read, and does not say, what all of them are called by habit."""
    return tuple(getattr(layout, "keys", ("multiscales", "multiscale")))


def _laid_over(attributes: dict[str, JSON], said: Mapping[str, JSON]) -> dict[str, JSON]:
    """Returns attributes with others laid over them; what is said to be None goes."""
    merged = {**attributes, **said}
    return {key: value for key, value in merged.items() if not (value is None and key in said)}


def _container_of(node: Node, multiscales: Sequence[Multiscale]) -> Container | None:
    """Returns what the arrays of multiscales are stored in: the group's own container, or that of the first base where the group has none."""
    if node.container is not None:
        return node.container
    base = multiscales[0].levels[0] if multiscales and multiscales[0].levels else None
    if base is None or base.array is None or base.location is not None or base.array.driver not in ("zarr", "n5"):
        return None
    return node.child(base.path).container


def _separator(level: Level) -> str | None:
    return None if level.array is None else level.array.separator


def _plain(level: Level, k: int) -> str:
    """Returns the path that a level keeps; its number where it lies elsewhere, or where its array has no document of its own at its path."""
    if level.location is not None or (level.array is not None and level.array.driver not in ("zarr", "n5")) or not level.path:
        return str(k)
    return level.path


def _turned(multiscale: Multiscale, order: Permutation | None) -> Multiscale:
    """Returns the multiscale with its axes in another order."""
    if order is None:
        return multiscale
    axes = tuple(multiscale.axes[i] for i in order)
    levels = []
    for level in multiscale.levels:
        scale, translation = (None if vector is None else tuple(vector[i] for i in order) for vector in (level.scale, level.translation))
        levels.append(replace(level, scale=scale, translation=translation))
    world = multiscale.world
    if world is not None:
        world = tuple(tuple(world[i][j] for j in order) for i in order)
    return replace(multiscale, axes=axes, levels=tuple(levels), world=world, raw={})


def _names(axes: Sequence[Axis], order: Permutation | None) -> tuple[str, ...]:
    names = tuple(axis.name for axis in axes)
    return names if order is None else tuple(names[i] for i in order)


def _parents(path: str) -> tuple[str, ...]:
    """Returns the groups above a path, the multiscale's own group, "", last.

    >>> _parents("a/b/c")
    ('a/b', 'a', '')
    """
    found = []
    while path:
        path = parent_of(path)
        found.append(path)
    return tuple(found)


def _depth(path: str) -> int:
    return path.count("/") + 1 if path else 0
