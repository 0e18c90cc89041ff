"""Repairs of documents that follow from the arrays, decided from documents alone; samples are never touched, nothing is invented.

Which repair mends which rule is data (`Rule.repair`). Each repair changes the model that was read; the layout's own writer turns
that into documents, so keys that no repair means stay as they are. What differs from layout to layout is behind `Mending`.
Source: formats.md 15.2, 15.9; design.md, fix.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ziggurat import layouts
from ziggurat.conversion.across import ConversionPlan, NodeWrite, writing
from ziggurat.conversion.describe import Made, described
from ziggurat.layouts import RULES, Mending, SmallArray
from ziggurat.layouts.coordinates import PACKING
from ziggurat.layouts.rules import Repair as Kind
from ziggurat.layouts.series import placed, stated_ladder, stated_windows
from ziggurat.model import JSON, Level, Multiscale
from ziggurat.node import ARRAY_KEYS, Container, Node, loads
from ziggurat.problems import DocumentError, Problem


@dataclass(frozen=True, slots=True)
class Repair:
    """One change that mends documents, and why."""

    rule: str
    """Id of the rule that is broken."""
    loc: str
    what: str
    """What is done, a sentence."""
    reason: str
    """What was found."""

    def __str__(self) -> str:
        return f"{self.rule}  {self.loc}: {self.what}, because {self.reason}"


@dataclass(frozen=True, slots=True)
class RepairPlan:
    repairs: tuple[Repair, ...]
    plan: ConversionPlan | None
    """The documents; None when nothing can be written, for the layout is only read."""


def repair_plan(
    node: Node, result: layouts.ReadResult, problems: Sequence[Problem], *, made: Sequence[Made] = (), table: Sequence[layouts.Layout] = layouts.LAYOUTS
) -> RepairPlan:
    """Returns what mends the documents of a node.

    Parameters
    ----------
    problems
        What a check found there.
    made
        Per multiscale, who made its levels, where the caller knows better than the document.

    Raises LayoutError when something could be mended and the layout is only read.
    """
    broken: dict[Kind, list[Problem]] = {}
    for problem in problems:
        kind = RULES[problem.rule].repair if problem.rule in RULES else None
        if kind is not None:
            broken.setdefault(kind, []).append(problem)
    layout = layouts.find(result.layout, table)
    version = layouts.version_of(result.layout, table)
    mending = layout if isinstance(layout, Mending) and layout.containers(version) else None
    if mending is None:
        return _of_what_is_read_only(node, result, broken, table)
    repairs: list[Repair] = []
    multiscales, moved = [], set[str]()
    for i, multiscale in enumerate(result.multiscales):
        known = made[i] if i < len(made) else Made()
        multiscale, done = _without_absent(mending, multiscale, broken)
        multiscale, more = _in_order(mending, multiscale, broken)
        multiscale, last = _placed(multiscale, broken, known)
        moved |= {level.path for level in multiscale.levels} if last else set()
        repairs += [*done, *more, *last]
        multiscales.append(multiscale)
    attributes = node.attributes
    if "version" in broken:
        attributes, versioned = mending.versioned(attributes, multiscales, version)
        if attributes != node.attributes or any(a is not b for a, b in zip(versioned, multiscales, strict=True)):
            repairs += [Repair(p.rule, p.loc, f'"{version}" is written', p.message) for p in broken["version"][:1]]
        multiscales = list(versioned)
    arrays, done = _named(node, multiscales, broken)
    repairs += done
    repairs += [Repair(p.rule, p.loc or "the consolidated copy", "the copy is made anew", p.message) for p in broken.get("copy", ())]
    if multiscales and ("arrays" in broken or (moved and "arrays" in mending.mends)):
        multiscales = [mending.retold(m, mending.listing(m), anew=True) for m in multiscales]
        repairs += [Repair(p.rule, p.loc, "what the arrays say is written again", p.message) for p in broken.get("arrays", ())]
    if not repairs:
        return RepairPlan((), None)
    documents = mending.write(multiscales, version=version, existing=attributes)
    named = {write.path for write in arrays}
    nodes = [*arrays, *(_beside(node, path, said) for path, said in documents.attributes.items() if path and path not in named)]
    nodes += [NodeWrite("", "group", documents.attributes[""])] if "" in documents.attributes else []
    container = node.container or _container_below(node, result.multiscales)
    plan = ConversionPlan(
        result.layout, result.layout, container, True, (), tuple(nodes),
        _moved_coordinates(node, documents.arrays, moved), _changed_files(node, documents.files), documents.consolidated if "copy" in broken else (),
    )  # fmt: skip
    return RepairPlan(tuple(repairs), plan)


def _of_what_is_read_only(node: Node, result: layouts.ReadResult, broken: Broken, table: Sequence[layouts.Layout]) -> RepairPlan:
    """Returns the copies made anew: they say what the documents say, in any layout. Raises LayoutError where anything else could be mended."""
    copies = tuple(Repair(p.rule, p.loc or "the consolidated copy", "the copy is made anew", p.message) for p in broken.get("copy", ()))
    other = next((p for kind, found in broken.items() if kind != "copy" for p in found), None)
    if other is not None:
        writing(result.layout, table)
    if not copies or node.container is None:
        return RepairPlan((), None)
    return RepairPlan(copies, ConversionPlan(result.layout, result.layout, node.container, True, (), ()))


def _container_below(node: Node, multiscales: Sequence[Multiscale]) -> Container:
    """Returns the container of the levels of a plain folder."""
    for multiscale in multiscales:
        for level in multiscale.levels:
            if level.array is not None and level.location is None:
                return node.child(level.path).container or "zarr2"
    return "zarr2"


def _moved_coordinates(node: Node, arrays: Mapping[str, SmallArray], moved: Collection[str]) -> dict[str, SmallArray]:
    """Returns the coordinates beside levels that were placed anew, where they say something else; their other attributes stay."""
    groups = {path.rpartition("/")[0] for path in moved}
    found = {}
    for path, small in arrays.items():
        there = node.child(path)
        held = node.values(path) if there.array is not None and there.array.shape == (len(small.values),) else None
        if path.rpartition("/")[0] in groups and not _same_places(held, small.values):
            kept = {key: value for key, value in there.attributes.items() if key not in PACKING} if there.kind == "array" else {}
            found[path] = replace(small, attributes={**kept, **small.attributes})
    return found


def _same_places(held: Sequence[float | str] | None, wanted: Sequence[float | str]) -> bool:
    """True when coordinates are the same to a thousandth of a step."""
    if held is None or len(held) != len(wanted):
        return False
    numbers = [value for value in wanted if not isinstance(value, str)]
    step = min((abs(b - a) for a, b in pairwise(numbers)), default=1.0)
    return all(a == b if isinstance(a, str) or isinstance(b, str) else abs(a - b) <= step / 1000 for a, b in zip(held, wanted, strict=True))


def _changed_files(node: Node, files: Mapping[str, JSON]) -> dict[str, JSON]:
    """Returns the files that say something else than those that are there; links stay as they are spelled."""
    found = {}
    for name, value in files.items():
        data = node.file(name)
        if data is None or (not isinstance(value, str) and _plain_json(data, name) != value):
            found[name] = value
    return found


def _plain_json(data: bytes, name: str) -> JSON:
    try:
        return loads(data, name)
    except DocumentError:
        return None


def _beside(node: Node, path: str, said: Mapping[str, JSON]) -> NodeWrite:
    """Returns what a node below the group says, over what is there."""
    there = node.child(path)
    attributes = {key: value for key, value in {**there.attributes, **said}.items() if value is not None or key not in said}
    document = there.array_document
    if document is None:
        return NodeWrite(path, "group", attributes)
    facts = {key: value for key, value in document.items() if key != "attributes"}
    if node.container == "n5":
        facts = {key: value for key, value in document.items() if key in ARRAY_KEYS}
        attributes = {key: value for key, value in attributes.items() if key not in ARRAY_KEYS}
    return NodeWrite(path, "array", attributes, facts)


Broken = Mapping[Kind, Sequence[Problem]]
Mended = tuple[Multiscale, list[Repair]]


def _without_absent(layout: Mending, multiscale: Multiscale, broken: Broken) -> Mended:
    """Leaves out the levels that have no array; never the base, without which there is nothing to compare with."""
    there = {level.path for level in multiscale.levels if level.array is not None}
    listed = layout.listing(multiscale)
    gone = [path for path in listed if path not in there]
    if "absent" not in broken or not gone or listed[-1 if multiscale.coarse_first else 0] in gone:
        return multiscale, []
    kept = replace(multiscale, levels=tuple(level for level in multiscale.levels if level.path in there))
    problem = broken["absent"][0]
    done = Repair(problem.rule, problem.loc, f"level {', '.join(map(repr, gone))} is taken off the list", problem.message)
    fixed = layout.retold(kept, [path for path in listed if path in there], anew=False)
    return replace(fixed, coarse_first=multiscale.coarse_first), [done]


def _in_order(layout: Mending, multiscale: Multiscale, broken: Broken) -> Mended:
    """Lists the levels largest first."""
    listed = layout.listing(multiscale)
    if "order" not in broken or not listed or multiscale.levels[0].array is None:
        return multiscale, []  # which level is the base is not known
    place = {level.path: k for k, level in enumerate(multiscale.levels)}
    ranked = sorted(listed, key=lambda path: place.get(path, len(place)))
    if tuple(ranked) == listed:
        return multiscale, []
    problem = broken["order"][0]
    done = Repair(problem.rule, problem.loc, f"the levels are listed as {', '.join(map(repr, ranked))}", problem.message)
    return layout.retold(multiscale, ranked, anew=False), [done]


def _placed(multiscale: Multiscale, broken: Broken, made: Made) -> Mended:
    """States where the samples of every level lie, where the reduction that made them is known and the document is silent or says otherwise."""
    names = [axis.name for axis in multiscale.axes]
    own = stated_ladder(multiscale.method, names) or stated_windows(multiscale.method, names)
    told = made.anchor is not None or made.places is not None
    base = multiscale.levels[0] if multiscale.levels else None
    if base is None or base.scale is None or base.array is None or not (told or ("offset" in broken and own is not None)):
        return multiscale, []
    if not told:
        silent = [base, *(replace(level, translation=None) for level in multiscale.levels[1:])]
        levels = tuple(_stated(level) for level in placed(silent, multiscale.method, multiscale.axes))
        known = [level.translation for level in levels]
    else:
        arrays = [(level.path, level.array) for level in multiscale.levels if level.array is not None]
        if len(arrays) != multiscale.n_levels:
            return multiscale, []
        start = base.translation if base.translation_provenance in ("stated", "derived") and base.translation else (0.0,) * len(names)
        there = described(arrays, multiscale.axes, scale=base.scale, translation=start, name=None, made=made)
        known = [level.translation for level in there.levels]
        levels = tuple(replace(level, translation=t, translation_provenance="stated") for level, t in zip(multiscale.levels, known, strict=True))
    wrong = [(old, new) for old, new in zip(multiscale.levels, levels, strict=True) if old.translation_provenance != "stated" or not _close(old, new)]
    if not wrong:
        return multiscale, []
    problem = next(iter(broken.get("offset", ())), None)
    said = "its samples say so" if made.places is not None else f"the levels are made by {made.type}" if made.type else "metadata tells the reduction"
    reason = problem.message if problem is not None else "it states " + ", ".join(str(list(old.translation or ())) for old, _ in wrong)
    what = f"translations {', '.join(str(list(t or ())) for t in known)} are written ({said})"
    return replace(multiscale, levels=levels), [Repair(problem.rule if problem else "DEEP002", problem.loc if problem else "translations", what, reason)]


def _stated(level: Level) -> Level:
    return replace(level, translation_provenance="stated") if level.translation is not None else level


def _close(old: Level, new: Level) -> bool:
    """True when two levels lie at the same place, to a thousandth of a sample."""
    scale = new.scale or (1.0,) * len(new.translation or ())
    return all(abs(a - b) <= abs(s) / 1000 for a, b, s in zip(old.translation or (), new.translation or (), scale, strict=True))


def _named(node: Node, multiscales: Sequence[Multiscale], broken: Broken) -> tuple[tuple[NodeWrite, ...], list[Repair]]:
    """Gives arrays the names of the axes of their multiscale."""
    if "names" not in broken:
        return (), []
    problem = broken["names"][0]
    writes: dict[str, NodeWrite] = {}
    for multiscale in multiscales:
        names: list[JSON] = [axis.name for axis in multiscale.axes]
        for level in multiscale.levels:
            there = node.child(level.path)
            document = there.array_document
            if document is None or level.array is None or level.array.ndim != len(names) or level.path in writes:
                continue
            if node.container == "zarr3" and document.get("dimension_names") != names:
                kept = {key: value for key, value in document.items() if key != "attributes"}
                writes[level.path] = NodeWrite(level.path, "array", there.attributes, {**kept, "dimension_names": names})
            elif node.container == "zarr2" and there.attributes.get("_ARRAY_DIMENSIONS", names) != names:
                writes[level.path] = NodeWrite(level.path, "array", {**there.attributes, "_ARRAY_DIMENSIONS": names}, document)
    if not writes:
        return (), []
    return tuple(writes.values()), [Repair(problem.rule, problem.loc, f"{', '.join(map(repr, writes))} get the names of the axes", problem.message)]
