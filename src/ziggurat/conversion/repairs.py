"""Repairs of documents that follow from the arrays, decided from documents alone; samples are never touched, nothing is invented.

Which repair mends which rule is data (`Rule.repair`). Each repair changes the model that was read; the layout's own writer turns
that into documents, so keys that no repair means stay as they are. Source: formats.md 15.2, 15.9; design.md, fix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ziggurat import layouts
from ziggurat.conversion.across import ConversionPlan, NodeWrite, writing
from ziggurat.conversion.describe import Made, described
from ziggurat.layouts import RULES
from ziggurat.layouts.rules import Repair as Kind
from ziggurat.layouts.series import stated_ladder
from ziggurat.model import JSON, Level, Multiscale
from ziggurat.node import ARRAY_KEYS, Node
from ziggurat.problems import LayoutError, Problem


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
    broken: dict[Kind, Problem] = {}
    for problem in problems:
        kind = RULES[problem.rule].repair if problem.rule in RULES else None
        if kind is not None:
            broken.setdefault(kind, problem)
    repairs: list[Repair] = []
    multiscales = []
    for i, multiscale in enumerate(result.multiscales):
        known = made[i] if i < len(made) else Made()
        for mend in (_without_absent, _in_order, _placed):
            multiscale, done = mend(multiscale, broken, known)
            repairs += done
        multiscales.append(multiscale)
    version = layouts.version_of(result.layout, table)
    attributes, multiscales, done = _versioned(node.attributes, multiscales, broken, version)
    repairs += done
    arrays, done = _named(node, multiscales, broken)
    repairs += done
    copies = [Repair(p.rule, p.loc or "the consolidated copy", "the copy is made anew", p.message) for kind, p in broken.items() if kind == "copy"]
    repairs += copies
    repairs += [Repair(p.rule, p.loc, "what the arrays say is written again", p.message) for kind, p in broken.items() if kind == "arrays"]
    if not repairs:
        return RepairPlan((), None)
    try:
        layout = writing(result.layout, table)
    except LayoutError as error:
        if repairs == copies and node.container is not None:  # a copy says what the documents say, in any layout
            return RepairPlan(tuple(copies), ConversionPlan(result.layout, result.layout, node.container, True, (), ()))
        raise LayoutError(f"{node.location}: {repairs[0]} - but {error}") from None
    nodes = list(arrays)
    if node.container is not None:
        documents = layout.write(multiscales, version=version, existing=attributes)
        named = {write.path for write in arrays}
        nodes += [_beside(node, path, said) for path, said in documents.attributes.items() if path and path not in named]
        nodes += [NodeWrite("", "group", documents.attributes[""])] if "" in documents.attributes else []
    plan = ConversionPlan(result.layout, result.layout, node.container or "zarr2", True, (), tuple(nodes))
    return RepairPlan(tuple(repairs), plan)


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


Broken = Mapping[Kind, Problem]
Mended = tuple[Multiscale, list[Repair]]


def _without_absent(multiscale: Multiscale, broken: Broken, made: Made) -> Mended:
    """Leaves out the levels that have no array; never the base, without which there is nothing to compare with."""
    problem = broken.get("absent")
    gone = [level for level in multiscale.levels if level.array is None]
    listed = [_plain(dataset) for dataset in _datasets(multiscale.raw)] or [level.path for level in multiscale.levels]
    base = listed[-1 if multiscale.coarse_first else 0] if listed else ""
    if problem is None or not gone or base in {level.path for level in gone}:
        return multiscale, []
    kept = tuple(level for level in multiscale.levels if level.array is not None)
    paths = {level.path for level in gone}
    raw = _with_datasets(multiscale.raw, [d for d in _datasets(multiscale.raw) if _plain(d) not in paths])
    what = f"level {', '.join(repr(level.path) for level in gone)} is taken off the list"
    return replace(multiscale, levels=kept, raw=raw), [Repair(problem.rule, problem.loc, what, problem.message)]


def _in_order(multiscale: Multiscale, broken: Broken, made: Made) -> Mended:
    """Lists the levels largest first."""
    problem, datasets = broken.get("order"), _datasets(multiscale.raw)
    if problem is None or not datasets or multiscale.levels[0].array is None:
        return multiscale, []  # which level is the base is not known
    place = {level.path: k for k, level in enumerate(multiscale.levels)}
    ranked = sorted(datasets, key=lambda dataset: place.get(_plain(dataset), len(place)))
    if ranked == datasets:
        return multiscale, []
    shown = ", ".join(repr(_plain(dataset)) for dataset in ranked)
    fixed = replace(multiscale, coarse_first=False, raw=_with_datasets(multiscale.raw, ranked))
    return fixed, [Repair(problem.rule, problem.loc, f"the levels are listed as {shown}", problem.message)]


def _placed(multiscale: Multiscale, broken: Broken, made: Made) -> Mended:
    """States where the samples of every level lie, where the reduction that made them is known and the document is silent or says otherwise."""
    names = [axis.name for axis in multiscale.axes]
    own = stated_ladder(multiscale.method, names)
    told = made.anchor is not None or made.places is not None
    base = multiscale.levels[0] if multiscale.levels else None
    if base is None or base.scale is None or base.array is None or not (told or ("offset" in broken and own is not None)):
        return multiscale, []
    if not told and own is not None:
        levels = tuple(_stated(level) for level in multiscale.levels)
        known = [level.translation for level in levels]
    else:
        arrays = [(level.path, level.array) for level in multiscale.levels if level.array is not None]
        if len(arrays) != multiscale.n_levels:
            return multiscale, []
        start = base.translation if base.translation_provenance in ("stated", "derived") and base.translation else (0.0,) * len(names)
        placed = described(arrays, multiscale.axes, scale=base.scale, translation=start, name=None, made=made)
        known = [level.translation for level in placed.levels]
        levels = tuple(replace(level, translation=t, translation_provenance="stated") for level, t in zip(multiscale.levels, known, strict=True))
    wrong = [(old, new) for old, new in zip(multiscale.levels, levels, strict=True) if old.translation_provenance != "stated" or not _close(old, new)]
    if not wrong:
        return multiscale, []
    problem = broken.get("offset")
    said = "its samples say so" if made.places is not None else f"the levels are made by {made.type}" if made.type else "metadata tells the reduction"
    reason = problem.message if problem is not None else "it states " + ", ".join(str(list(old.translation or ())) for old, _ in wrong)
    what = f"translations {', '.join(str(list(t or ())) for t in known)} are written ({said})"
    return replace(multiscale, levels=levels), [Repair(problem.rule if problem else "OME015", problem.loc if problem else "translations", what, reason)]


def _stated(level: Level) -> Level:
    return replace(level, translation_provenance="stated") if level.translation is not None else level


def _close(old: Level, new: Level) -> bool:
    """True when two levels lie at the same place, to a thousandth of a sample."""
    scale = new.scale or (1.0,) * len(new.translation or ())
    return all(abs(a - b) <= abs(s) / 1000 for a, b, s in zip(old.translation or (), new.translation or (), scale, strict=True))


def _versioned(
    attributes: Mapping[str, JSON], multiscales: Sequence[Multiscale], broken: Broken, version: str
) -> tuple[Mapping[str, JSON], list[Multiscale], list[Repair]]:
    """States the version as its plain string, where it is absent or spelled with more than that."""
    problem = broken.get("version")
    if problem is None or not problem.loc.endswith(".version"):
        return attributes, list(multiscales), []
    done = Repair(problem.rule, problem.loc, f'"{version}" is written', problem.message)
    if problem.loc == "ome.version":
        ome = attributes.get("ome")
        if not isinstance(ome, Mapping) or not _spells(ome.get("version"), version):
            return attributes, list(multiscales), []
        return {**attributes, "ome": {**ome, "version": version}}, list(multiscales), [done]
    fixed = []
    for multiscale in multiscales:
        spelled = bool(multiscale.raw) and "version" in multiscale.raw
        if multiscale.raw and (not spelled or _spells(multiscale.raw.get("version"), version)) and multiscale.raw.get("version") != version:
            multiscale = replace(multiscale, raw={**multiscale.raw, "version": version})
        fixed.append(multiscale)
    changed = any(a is not b for a, b in zip(fixed, multiscales, strict=True))
    return attributes, fixed, [done] if changed else []


def _spells(value: JSON, version: str) -> bool:
    """True when a stated version is `version` with more or less said, such as 0.4 as a number or 0.5-dev; no other version is ever rewritten."""
    return value is None or str(value) == version or str(value).startswith((f"{version}-", f"{version}."))


def _named(node: Node, multiscales: Sequence[Multiscale], broken: Broken) -> tuple[tuple[NodeWrite, ...], list[Repair]]:
    """Gives arrays the names of the axes of their multiscale."""
    problem = broken.get("names")
    if problem is None:
        return (), []
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


def _datasets(raw: Mapping[str, JSON]) -> list[JSON]:
    value = raw.get("datasets")
    return list(value) if isinstance(value, (list, tuple)) else []


def _with_datasets(raw: Mapping[str, JSON], datasets: list[JSON]) -> Mapping[str, JSON]:
    return {**raw, "datasets": datasets} if "datasets" in raw else raw


def _plain(dataset: JSON) -> str:
    path = dataset.get("path") if isinstance(dataset, Mapping) else None
    return path.strip("/").removeprefix("./") if isinstance(path, str) else ""
