"""A conversion of all that a place holds: an image with its labels, a plate with its fields, any collection, as one plan.

Every group that holds multiscales is planned by itself (`across`), and the plans become one whose paths count from the place. What the
groups between say of their members is put into the words of the target by the target's own layout, where it has words for
collections (`layouts.Gathering`). Source: formats.md 2.4, 2.6, 11.3, 14.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ziggurat import layouts
from ziggurat.conversion.across import ConversionPlan, Move, NodeWrite, Wish, beside, conversion_plan, own_keys, written
from ziggurat.conversion.tree import join, parent_of
from ziggurat.conversion.unsaid import UNDERSTOOD, unsaid
from ziggurat.layouts import Gathering, Member, SmallArray
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, Multiscale
from ziggurat.node import ARRAY_KEYS, Container, Node
from ziggurat.problems import DocumentError, LayoutError, NotFound, OptionError, PathError, Problem, UnsupportedError

MAX_NESTED = 4
"""Plate, well, image, labels is the deepest that any format has."""
BESIDE = "OME"
"""A group that describes images side by side and is none of them."""
DESCRIPTION = (f"{BESIDE}/METADATA.ome.xml",)
"""Files of a collection that are carried as they are."""


@dataclass
class _Tree:
    """What lies below a place."""

    levels: dict[str, Member] = field(default_factory=dict)
    """Path of a group that holds multiscales -> what names it."""
    groups: dict[str, None] = field(default_factory=dict)
    """Groups of collections, and those between; the deepest are not first."""


def collected_plan(node: Node, found: layouts.ReadResult | None, wish: Wish, *, table: Sequence[layouts.Layout] = layouts.LAYOUTS) -> ConversionPlan:
    """Returns what brings a place, and all that it names below itself, into another layout, without doing it.

    Parameters
    ----------
    found
        What the place itself holds; None where it is a collection and nothing else.

    Raises what `conversion_plan` raises. A member that cannot be read, or that the target cannot hold, is left out and told as lost, as
    long as anything is left.
    """
    layout, version = written(wish.layout, table)
    reader = _reader(node, found, table)
    tree = _tree(node, table)
    if not tree.levels:
        return conversion_plan(node, _present(node, found), wish, table=table)
    gathers = isinstance(layout, Gathering)
    if found is not None and not (gathers and reader.name == layout.name):  # labels are nothing that the target knows
        plan = conversion_plan(node, found, replace(wish, along=frozenset(_heads(tree.levels))), table=table)
        message, hint = f"{plan.to} has no place for what lies below an image; it does not come along", "convert it by itself"
        left = [] if wish.in_place else [problem("LOSS007", path, f"{member.kind}: {message}", hint) for path, member in tree.levels.items()]
        return replace(plan, lost=(*plan.lost, *left))
    plans: dict[str, ConversionPlan] = {}
    lost: list[Problem] = []
    if found is not None:
        plans[""] = conversion_plan(node, found, replace(wish, along=_known(tree, "")), table=table)
    absent: list[str] = []
    first: Exception | None = None
    for path, member in tree.levels.items():
        child = node.child(path)
        try:
            plans[path] = _member_plan(child, member, replace(wish, along=_known(tree, path)), table)
        except (LayoutError, UnsupportedError, NotFound, DocumentError, OptionError) as error:
            if wish.in_place:
                raise
            first = first or error
            absent.append(path)
            reason = str(error).removeprefix(f"{child.location} ").removeprefix(f"{child.location}: ")
            lost.append(problem("LOSS007", path, f"{member.kind}: is left out: {reason}", "convert it by itself"))
    if not plans and first is not None:
        raise first
    groups: dict[str, Mapping[str, JSON]] = {}
    before: dict[str, JSON] = {}
    related = gathers and reader.name == layout.name
    for path in tree.groups:
        if path in plans:
            continue
        held = _attributes(node.child(path) if path else node)
        before[path] = dict(held)
        if related and isinstance(layout, Gathering):
            groups[path] = layout.gathered(held, version=version, absent=_below(absent, path))
        else:
            groups[path] = _strangers(held, reader)
        if not wish.in_place:
            lost += [replace(p, loc=join(path, p.loc)) for p in beside(node.child(path) if path else node, _known(tree, path))]
    if not related and isinstance(layout, Gathering) and "" not in plans:
        for path, attributes in layout.side_by_side([path for path in tree.levels if path in plans], version=version).items():
            groups[path] = {**groups.get(path, {}), **attributes}
    files, wrong = _files(node, wish) if related else ({}, [])
    lost += wrong
    lost += unsaid(before, [dict(attributes) for attributes in groups.values()], f"{layout.name}@{version}")
    return _merged(plans, groups, files, lost, _copies(node, plans, groups, layout.containers(version)))


def _present(node: Node, found: layouts.ReadResult | None) -> layouts.ReadResult:
    if found is None:
        raise NotFound(f"{node.location}: nothing there names multiscales that can be read")
    return found


def _reader(node: Node, found: layouts.ReadResult | None, table: Sequence[layouts.Layout]) -> layouts.Layout:
    """Returns the layout that speaks of what lies below."""
    evidence = [e.layout for e in layouts.detect(node, table) if e.holds == "members"]
    return layouts.find(found.layout if found is not None else evidence[0] if evidence else "ome-zarr", table)


def _member_plan(node: Node, member: Member, wish: Wish, table: Sequence[layouts.Layout]) -> ConversionPlan:
    found = layouts.read(node, None, table)
    if wish.transpose is not None and member.kind == "labels" and found.multiscales:
        own = {axis.name for axis in found.multiscales[0].axes}  # labels often have fewer axes than their image
        wish = replace(wish, transpose=tuple(name for name in wish.transpose if name in own))
    return conversion_plan(node, found, wish, table=table)


# --- what lies below


def _tree(node: Node, table: Sequence[layouts.Layout]) -> _Tree:
    tree = _Tree()
    _walk(node, "", tree, table, 0)
    for path in list(tree.levels):
        above = path
        while above:
            above = parent_of(above)
            tree.groups.setdefault(above)
    if "" in tree.groups and node.child(BESIDE).kind == "group":
        tree.groups.setdefault(BESIDE)
    return tree


def _walk(node: Node, path: str, tree: _Tree, table: Sequence[layouts.Layout], depth: int) -> None:
    if depth > MAX_NESTED or node.kind == "array":
        return
    for member in layouts.members(node, table)[0]:
        below = join(path, member.path)
        if below in tree.levels or below in tree.groups:
            continue
        if member.holds == "levels":
            tree.levels[below] = member
        else:
            tree.groups[below] = None
        try:
            _walk(node.child(member.path), below, tree, table, depth + 1)
        except (DocumentError, PathError):
            continue  # told where the member itself is planned


def _known(tree: _Tree, path: str) -> frozenset[str]:
    """Returns the names directly in a group that lead to something that comes along."""
    start = f"{path}/" if path else ""
    below = (p[len(start) :] for p in (*tree.levels, *tree.groups) if p.startswith(start) and p != path)
    return frozenset(p.split("/")[0] for p in below)


def _heads(paths: Iterable[str]) -> set[str]:
    return {path.split("/")[0] for path in paths}


def _below(paths: Iterable[str], group: str) -> frozenset[str]:
    start = f"{group}/" if group else ""
    return frozenset(path[len(start) :] for path in paths if path.startswith(start))


def _attributes(node: Node) -> Mapping[str, JSON]:
    if node.kind in ("absent", "folder"):
        return {}
    attributes = node.attributes
    return {key: value for key, value in attributes.items() if key not in (*ARRAY_KEYS, "n5")} if node.container == "n5" else attributes


def _strangers(attributes: Mapping[str, JSON], reader: layouts.Layout) -> dict[str, JSON]:
    """Returns the attributes of a group that are nobody's that was read: what leads to members is for the reader of the source alone."""
    own = own_keys(reader)
    free = reader.ungathered(attributes) if isinstance(reader, Gathering) else attributes
    return {key: value for key, value in free.items() if key not in UNDERSTOOD and key not in own}


def _files(node: Node, wish: Wish) -> tuple[dict[str, JSON], list[Problem]]:
    """Returns the files of a collection that are carried as they are; of one that is no UTF-8, that it is left out."""
    if wish.in_place:
        return {}, []
    files: dict[str, JSON] = {}
    for name in DESCRIPTION:
        try:
            data = node.file(name)
            if data is not None:
                files[name] = bytes(data).decode("utf-8")
        except (UnicodeDecodeError, DocumentError) as error:
            return {}, [problem("LOSS007", name, f"is left out: {error}", "copy it by itself")]
    return files, []


# --- one plan


def _copies(node: Node, plans: Mapping[str, ConversionPlan], groups: Mapping[str, object], containers: tuple[Container, ...]) -> list[str]:
    """Returns the groups below that keep a consolidated copy in the source; the place itself is looked at where it is written."""
    if containers == ("n5",):
        return []
    found = []
    for path in (*plans, *groups):
        child = node.child(path) if path else None
        if child is not None and child.container in ("zarr2", "zarr3") and child.consolidated() is not None:
            found.append(path)
    return found


def _merged(
    plans: Mapping[str, ConversionPlan], groups: Mapping[str, Mapping[str, JSON]], files: Mapping[str, JSON], lost: Sequence[Problem], copies: Sequence[str]
) -> ConversionPlan:
    """Returns the plans of several groups as one, whose paths count from the place that holds them all."""
    moves: list[Move] = []
    nodes: dict[str, NodeWrite] = {}
    arrays: dict[str, SmallArray] = {}
    whole: dict[str, JSON] = dict(files)
    consolidated = list(copies)
    meant: dict[str, tuple[Multiscale, ...]] = {}
    told: list[Problem] = []
    notes: list[Problem] = []
    for path, plan in plans.items():
        for move in plan.moves:
            level = move.level if move.level.location is not None or not path else replace(move.level, path=join(path, move.level.path))
            moves.append(replace(move, source=join(path, move.source), target=join(path, move.target), level=level))
        nodes |= {join(path, write.path): replace(write, path=join(path, write.path)) for write in plan.nodes}
        arrays |= {join(path, name): small for name, small in plan.arrays.items()}
        whole |= {join(path, name): content for name, content in plan.files.items()}
        consolidated += [join(path, name) for name in plan.consolidated]
        meant |= {join(path, name): series for name, series in plan.meant.items()}
        told += [replace(p, loc=join(path, p.loc)) for p in plan.lost]
        notes += [replace(p, loc=join(path, p.loc)) for p in plan.notes]
    nodes |= {path: NodeWrite(path, "group", attributes) for path, attributes in groups.items() if path not in nodes}
    ordered = sorted(nodes.values(), key=lambda write: (write.kind == "group", -(write.path.count("/") + 1 if write.path else 0), write.path))
    first = next(iter(plans.values()))
    return replace(
        first, moves=tuple(moves), nodes=tuple(ordered), arrays=arrays, files=whole, consolidated=tuple(dict.fromkeys(consolidated)),
        lost=(*told, *lost), notes=tuple(dict.fromkeys(notes)), meant=meant,
    )  # fmt: skip
