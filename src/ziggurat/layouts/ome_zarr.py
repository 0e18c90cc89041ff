"""OME-Zarr 0.1 to 0.6: one reader and one writer over a table of what each version says.

Source: formats.md 2 and 15.2, 15.9, 15.11, 15.12; a version is a row of `FACTS` and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, NamedTuple

from ziggurat.layouts import ome_collections
from ziggurat.layouts import series as listed
from ziggurat.layouts.ome_blocks import SHOWN, VERSIONED, gathered, is_block, restated_block, side_by_side
from ziggurat.layouts.ome_facts import ABOUT, FACTS, LETTERS, NAME, WRAPPED_KEYS, VersionFacts, facts_of, parsed_version
from ziggurat.layouts.ome_transforms import (
    DEFAULT_SYSTEM,
    WORLD_SYSTEM,
    Transform,
    intrinsic,
    plus,
    single,
    systems_of,
    times,
    transformations,
    ways,
    world_of,
    written_single,
    written_world,
)
from ziggurat.layouts.ports import Documents, Evidence, Facts, Member
from ziggurat.layouts.rules import Repair, problem
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Multiscale, kind_of
from ziggurat.node import Container, Node, word
from ziggurat.problems import DocumentError, LayoutError, Problem

__all__ = ["FACTS", "LAYOUT", "LETTERS", "NAME", "RULES", "WRAPPED_KEYS", "OmeZarrLayout", "VersionFacts", "axes_place", "can_hold", "facts_of", "locate",
           "parsed_version", "stated_axes", "transformations"]  # fmt: skip

RULES = listed.Rules(listed="OME001", datasets="OME002", path="OME003", local="OME003", array="OME003", order="OME004")
_KNOWN = frozenset({"version", "name", "type", "metadata", "datasets", "axes", "coordinateTransformations"})
_RANK = MappingProxyType({"time": 0, "space": 2})
"""Order of kinds; channel and custom kinds stand between. Source: formats.md 2.4."""


class Found(NamedTuple):
    """Where the list of multiscales is, and in which version it is read."""

    version: str
    value: JSON
    loc: str
    stated: JSON
    """The version as the document states it, None when it does not."""
    reason: str


@dataclass(frozen=True, slots=True)
class OmeZarrLayout:
    """`ome-zarr@0.1` to `ome-zarr@0.6`."""

    name: str = NAME
    facts: Facts = ABOUT
    versions: tuple[str, ...] = tuple(FACTS)
    drafts: tuple[str, ...] = tuple(facts.version for facts in FACTS.values() if facts.draft)
    keys: tuple[str, ...] = ("multiscales", "omero", "ome")
    shown: tuple[str, ...] = SHOWN
    mends: tuple[Repair, ...] = ("absent", "names", "offset", "order", "version")

    def containers(self, version: str) -> tuple[Container, ...]:
        return ("zarr3",) if facts_of(version).zarr_format == 3 else ("zarr2",)

    def separator(self, version: str) -> Literal[".", "/"] | None:
        return facts_of(version).separator

    def paths(self, multiscale: Multiscale, *, version: str) -> tuple[str, ...] | None:
        """Any names will do."""
        return None

    def detect(self, node: Node) -> Evidence | None:
        found = locate(node)
        if found is not None:
            return Evidence(f"{NAME}@{found.version}", "declared", found.reason)
        return ome_collections.detect(node)

    def members(self, node: Node) -> tuple[tuple[Member, ...], tuple[Problem, ...]]:
        return ome_collections.members(node)

    def gathered(self, attributes: Mapping[str, JSON], *, version: str, absent: Collection[str] = ()) -> dict[str, JSON]:
        return gathered(attributes, facts_of(version), absent)

    def ungathered(self, attributes: Mapping[str, JSON]) -> dict[str, JSON]:
        return {key: value for key, value in attributes.items() if key != "ome" and not (key in WRAPPED_KEYS and is_block(key, value))}

    def side_by_side(self, paths: Sequence[str], *, version: str) -> dict[str, dict[str, JSON]]:
        return side_by_side(paths, facts_of(version))

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        found = locate(node) or _asked(node)
        entries, problems = listed.readable(found.value, found.loc, RULES)
        multiscales = []
        for entry in entries:
            multiscale, wrong = _read(node, entry, FACTS[found.version])
            multiscales.append(multiscale)
            problems += tuple(wrong)
        return tuple(multiscales), (*_version_problems(node, found), *problems)

    def can_hold(self, axes: Sequence[Axis], *, version: str) -> str | None:
        return can_hold(axes, version)

    def write(self, multiscales: Sequence[Multiscale], *, version: str, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None) -> Documents:
        facts = facts_of(version)
        lost: list[Problem] = []
        entries = []
        for i, multiscale in enumerate(multiscales):
            why = can_hold(multiscale.axes, version)
            if why is not None and not _is_read_from(multiscale, facts):
                raise LayoutError(f"ome-zarr@{version} cannot hold series {multiscale.name or i}: {why}; transpose it, or take multiscales@0.1")
            entries.append(_written(multiscale, facts))
            lost += _lost(multiscale, facts, f"multiscales[{i}]")
        fresh = [multiscale for multiscale in multiscales if not _is_read_from(multiscale, facts)]
        root, block = _relocated(existing, facts, keep=not fresh)
        block["multiscales"] = listed.merged(_list_of(existing), entries)
        if display:
            shown = block.get("omero")
            block["omero"] = {**(shown if isinstance(shown, Mapping) else {}), **display, **({} if facts.wrapped else {"version": version})}
        if facts.dimension_names == "group" and fresh and "_ARRAY_DIMENSIONS" not in root:
            root["_ARRAY_DIMENSIONS"] = [axis.name for axis in fresh[0].axes]
        return Documents({"": root}, tuple(lost))

    def listing(self, multiscale: Multiscale) -> tuple[str, ...]:
        return listed.listing(multiscale)

    def retold(self, multiscale: Multiscale, paths: Sequence[str], *, anew: bool) -> Multiscale:
        return listed.relisted(multiscale, paths)

    def versioned(self, attributes: Mapping[str, JSON], multiscales: Sequence[Multiscale], version: str) -> tuple[Mapping[str, JSON], tuple[Multiscale, ...]]:
        ome = attributes.get("ome")
        if isinstance(ome, Mapping) and facts_of(version).wrapped:
            stated = ome.get("version")
            return ({**attributes, "ome": {**ome, "version": version}} if stated != version and listed.spells(stated, version) else attributes), tuple(
                multiscales
            )
        return attributes, listed.versioned(multiscales, version)


LAYOUT = OmeZarrLayout()


def can_hold(axes: Sequence[Axis], version: str) -> str | None:
    """Returns why axes in this order break the rules of a version, in one sentence; None when they do not. Source: formats.md 2.4.

    Examples
    --------
    >>> can_hold([Axis("y", "space"), Axis("x", "space"), Axis("c", "channel")], "0.5")
    "axis 'c' (channel) stands after axis 'x' (space), and OME-Zarr 0.5 wants the order time, channel, space"
    """
    facts = facts_of(version)
    names = [axis.name for axis in axes]
    low, high = facts.n_axes
    if not low <= len(axes) <= high:
        return f"there are {len(axes)} axes ({', '.join(names)}), and OME-Zarr {version} has {low if low == high else f'{low} to {high}'}"
    if len(set(names)) != len(names):
        return f"the names of the axes ({', '.join(names)}) are not unique"
    return _wrong_order(axes, version) or (None if facts.axes in ("objects", "systems") else _wrong_letters(names, version))


def _wrong_order(axes: Sequence[Axis], version: str) -> str | None:
    kinds = [axis.kind or kind_of(axis.name) for axis in axes]
    n_space, n_time = kinds.count("space"), kinds.count("time")
    if n_space not in (2, 3):
        return f"{n_space} of the axes are space, and OME-Zarr {version} has 2 or 3 of them"
    if n_time > 1 or len(kinds) - n_space - n_time > 1:
        return f"OME-Zarr {version} has at most one time axis and one channel or custom axis, and these are {', '.join(map(_shown, axes))}"
    for i in range(1, len(axes)):
        if _RANK.get(kinds[i - 1] or "", 1) > _RANK.get(kinds[i] or "", 1):
            return f"axis {_shown(axes[i])} stands after axis {_shown(axes[i - 1])}, and OME-Zarr {version} wants the order time, channel, space"
    return None


def _wrong_letters(names: Sequence[str], version: str) -> str | None:
    if [name for name in LETTERS if name in names] == list(names):
        return None
    return f"the axes are {', '.join(names)}, and OME-Zarr {version} knows t, c, z, y, x in this order"


def _shown(axis: Axis) -> str:
    return f"{axis.name!r} ({axis.kind or kind_of(axis.name) or 'no kind'})"


# --- finding it ----------------------------------------------------------------------------------------------------------


def locate(node: Node) -> Found | None:
    """Returns where OME multiscales are among the attributes of a node; None when nothing says that they are OME's."""
    attributes = node.attributes
    ome = attributes.get("ome")
    if isinstance(ome, Mapping) and "multiscales" in ome:
        stated = ome.get("version")
        version = parsed_version(stated)
        known = version if version in FACTS and FACTS[version].wrapped else _newest(ome["multiscales"])
        return Found(known, ome["multiscales"], "ome.multiscales", stated, f"'ome' states version {stated!r}")
    value = attributes.get("multiscales")
    if not isinstance(value, (list, tuple)):
        return None
    entries = list(listed.parts(value))
    stated = next((entry["version"] for entry in entries if "version" in entry), None)
    version = parsed_version(stated)
    feature = _feature(entries)
    if version in FACTS and not FACTS[version].wrapped and FACTS[version].separator != ".":
        return Found(version, value, "multiscales", stated, f"'multiscales' states version {stated!r}")
    if feature is not None and version != "0.1":
        return Found(feature[0], value, "multiscales", stated, feature[1])
    if version in ("", "0.1") and node.zarr_format == 2:
        return _five_axes(node, value, stated)
    return None


def _newest(value: JSON) -> str:
    """Returns the version below `ome` that the keys of its multiscales tell, where the stated one does not."""
    systems = any("coordinateSystems" in entry for entry in listed.parts(value))
    return [facts.version for facts in FACTS.values() if facts.wrapped and (systems or not facts.draft)][-1]


def _feature(entries: Sequence[Mapping[str, JSON]]) -> tuple[str, str] | None:
    """Returns the version that keys of the series tell, and why."""
    if any("coordinateTransformations" in d for entry in entries for d in listed.parts(entry.get("datasets"))):
        return "0.4", "datasets have 'coordinateTransformations'"
    axes = [axis for entry in entries if isinstance(entry.get("axes"), (list, tuple)) for axis in entry["axes"]]  # type: ignore[union-attr]
    if any(isinstance(axis, Mapping) for axis in axes):
        return "0.4", "'axes' holds objects"
    return ("0.3", "'axes' holds letters") if axes and all(isinstance(axis, str) for axis in axes) else None


def _five_axes(node: Node, value: JSON, stated: JSON) -> Found | None:
    """0.1 and 0.2 look like the founding layout; `omero`, or a base of t, c, z, y, x, says that they are OME's. Source: formats.md 13.3."""
    entries, _ = listed.readable(value, "multiscales", RULES)
    base = None
    try:
        base = node.child(entries[0].paths[0]).array if entries else None
    except DocumentError:
        # The reader reports it; nothing is known of the array's axes.
        base = None
    if "omero" in node.attributes:
        reason = "'omero' stands beside 'multiscales'"
    elif base is not None and base.ndim == len(LETTERS) and base.dimension_names in (None, tuple(LETTERS)) and (stated is None or base.separator == "."):
        reason = "the arrays have five axes"
    else:
        return None
    version = "0.2" if stated is None and base is not None and base.separator == "/" else "0.1"
    return Found(version, value, "multiscales", stated, reason if stated is None else f"{reason}, and the version is {stated!r}")


def _asked(node: Node) -> Found:
    """Returns what there is when the caller says that it is OME although nothing else does."""
    value = node.attributes.get("multiscales")
    version = parsed_version(next((e["version"] for e in listed.parts(value) if "version" in e), None))
    return Found(version if version in FACTS else "0.1", value, "multiscales", version, "the caller says so")


def _version_problems(node: Node, found: Found) -> list[Problem]:
    facts, stated = FACTS[found.version], found.stated
    at = "ome.version" if facts.wrapped else f"{found.loc}[0].version"
    problems = []
    if stated is None:
        message = f"is absent; read as {found.version} because {found.reason}"
        problems.append(problem("OME016", at, message, f'write "{found.version}"', requirement="MUST" if facts.wrapped else "SHOULD"))
    elif stated in facts.spellings:
        pass
    elif stated != found.version and parsed_version(stated) == found.version:
        problems.append(problem("OME016", at, f'found {stated!r}; expected the string "{found.version}"', "write the plain version"))
    elif stated != found.version:
        hint = "see what is missing before relying on it"
        problems.append(problem("OME016", at, f"{stated!r} is not known; read as far as {found.version} goes", hint))
    if facts.wrapped and isinstance(node.attributes.get("multiscales"), (list, tuple)):
        hint = "delete 'multiscales' beside 'ome' when it is no longer needed"
        problems.append(problem("OME016", "multiscales", "a second list stands beside 'ome'; 'ome' is read", hint, requirement="SHOULD"))
    return problems


# --- reading -------------------------------------------------------------------------------------------------------------


def _read(node: Node, entry: listed.Series, facts: VersionFacts) -> tuple[Multiscale, list[Problem]]:
    found, problems = listed.arrays(node, entry, RULES, names=facts.axes == "none")
    problems += listed.order_problem(entry, found, RULES)
    axes, wrong = _axes(entry, found, facts)
    problems += wrong
    levels, wrong = _levels(entry, found, facts, len(axes))
    problems += wrong
    positions, coarse_first = listed.order(found)
    ranked = [levels[j] for j in positions]
    known = _KNOWN | ({"coordinateSystems"} if facts.axes == "systems" else set())
    multiscale = listed.assembled(entry, ranked, axes, layout=f"{NAME}@{facts.version}", coarse_first=coarse_first, known=known)
    if facts.axes == "systems":
        problems += ways(entry.raw, entry.loc)
        multiscale = replace(multiscale, world=world_of(entry.raw, _system_name(entry.raw), len(axes)))
    return multiscale, problems


def _system_name(raw: Mapping[str, JSON]) -> str | None:
    system = intrinsic(raw, systems_of(raw, "")[0])
    return None if system is None else system.name


def _levels(entry: listed.Series, found: Sequence[ArrayInfo | None], facts: VersionFacts, ndim: int) -> tuple[list[Level], list[Problem]]:
    """Returns the levels in the document's order with what it states, series transformations applied last. Source: formats.md 2.4."""
    problems: list[Problem] = []
    own: list[Transform] = []
    broken: set[int] = set()
    whole = Transform()
    if facts.transformations:
        for j, dataset in enumerate(entry.datasets):
            value, loc = dataset.get("coordinateTransformations"), f"{entry.loc}.datasets[{j}].coordinateTransformations"
            if facts.transformations == "single":
                transform, wrong = single(value, ndim, loc, path=str(dataset["path"]), system=_system_name(entry.raw))
            else:
                transform, wrong = transformations(value, ndim, loc)
            own.append(transform)
            problems += wrong
            broken |= {j} if wrong else set()
        if "coordinateTransformations" in entry.raw and facts.transformations == "list":
            whole, wrong = transformations(entry.raw["coordinateTransformations"], ndim, f"{entry.loc}.coordinateTransformations")
            problems += wrong
    shifted = any(transform.translation is not None for transform in own)
    if facts.transformations == "list" and not shifted and len(own) > 1:
        message = "no level states a translation; levels are read as aligned at their lower corner, which is inferred"
        problems.append(problem("OME015", f"{entry.loc}.datasets", message, "state the translation of every level"))
    levels = []
    for j, path in enumerate(entry.paths):
        extra = {k: v for k, v in entry.datasets[j].items() if k not in ("path", "coordinateTransformations")}
        level = Level(path=path, array=found[j], extra=extra)
        transform = own[j] if own else Transform()
        if transform.scale is not None:
            level = replace(level, scale=times(whole.scale, transform.scale), scale_provenance="stated")
            if j in broken and transform.translation is None:
                pass  # Nobody knows where it lies; the shapes tell.
            elif shifted or len(own) == 1:
                t = plus(times(whole.scale, transform.translation or (0.0,) * ndim), whole.translation)
                level = replace(level, translation=t, translation_provenance="stated" if shifted or whole.translation else "absent")
            elif j == 0 and whole.translation is not None:
                level = replace(level, translation=whole.translation, translation_provenance="stated")
        levels.append(level)
    return levels, problems


def _axes(entry: listed.Series, found: Sequence[ArrayInfo | None], facts: VersionFacts) -> tuple[tuple[Axis, ...], list[Problem]]:
    """Returns the axes that the version states, else those that it fixes, else what the arrays tell."""
    if facts.axes != "none":
        value, loc, wrong = axes_place(entry.raw, entry.loc, facts)
        axes, faults = stated_axes(value, loc, facts)
        wrong = wrong if wrong and value is None else [*wrong, *faults]
        if axes:
            return axes, wrong
    else:
        wrong = []
        base = next((info for info in found if info is not None), None)
        if base is None or base.ndim == len(LETTERS):
            return tuple(Axis(letter, kind_of(letter), provenance="derived") for letter in LETTERS), []
        wrong.append(problem("OME005", f"{entry.loc}.datasets[0].path", f"the array has {base.ndim} axes; OME-Zarr {facts.version} has t, c, z, y, x", ""))
    axes, inferred = listed.named_axes(found)
    if inferred and wrong:
        wrong = [replace(wrong[0], message=f"{wrong[0].message}; {inferred}"), *wrong[1:]]
    return axes, wrong


def axes_place(raw: Mapping[str, JSON], loc: str, facts: VersionFacts) -> tuple[JSON, str, list[Problem]]:
    """Returns the list of axes of a multiscale, its place in the document, and what is wrong with the way to it."""
    if facts.axes != "systems":
        return raw.get("axes"), f"{loc}.axes", []
    systems, wrong = systems_of(raw, loc)
    system = intrinsic(raw, systems)
    if system is not None:
        return system.axes, f"{loc}.coordinateSystems[{system.position}].axes", wrong
    return raw.get("axes"), f"{loc}.axes", wrong


def stated_axes(value: JSON, loc: str, facts: VersionFacts) -> tuple[tuple[Axis, ...], list[Problem]]:
    """Returns the axes of a document, none when they cannot be read, and what is wrong with them."""
    if not isinstance(value, (list, tuple)) or not value:
        found = "is absent" if value is None else "is empty" if isinstance(value, (list, tuple)) else f"is {word(value)}"
        return (), [problem("OME007", loc, f"{found}; expected a list of 2 to 5 axes", "name the axes")]
    axes = []
    for i, item in enumerate(value):
        name = item.get("name") if isinstance(item, Mapping) else item
        if not isinstance(name, str) or not name:
            return (), [problem("OME007", f"{loc}[{i}]", f"found {item!r}; expected {'a letter' if facts.axes == 'letters' else 'an object with a name'}")]
        if isinstance(item, Mapping):
            extra = {k: v for k, v in item.items() if k not in ("name", "type", "unit")}
            axes.append(Axis(name, listed.same_text(item.get("type")), listed.same_text(item.get("unit")), extra=extra))
        else:
            axes.append(Axis(name, kind_of(name)))
    return tuple(axes), []


# --- writing -------------------------------------------------------------------------------------------------------------


def _is_read_from(multiscale: Multiscale, facts: VersionFacts) -> bool:
    return bool(multiscale.raw) and multiscale.layout == f"{NAME}@{facts.version}"


def _list_of(existing: Mapping[str, JSON]) -> JSON:
    ome = existing.get("ome")
    return ome["multiscales"] if isinstance(ome, Mapping) and "multiscales" in ome else existing.get("multiscales")


def _relocated(existing: Mapping[str, JSON], facts: VersionFacts, *, keep: bool) -> tuple[dict[str, JSON], dict[str, JSON]]:
    """Returns the attributes of the group and, within them, the block that holds the multiscales, in the place that the version wants.

    What another version kept elsewhere moves; with `keep` the version stays as it is stated.
    """
    root = dict(existing)
    held = root.get("ome")
    ome = dict(held) if isinstance(held, Mapping) else {}
    if not facts.wrapped:
        if "multiscales" in ome:
            root.pop("ome")
            moved = {key: ome.pop(key) for key in WRAPPED_KEYS if key in ome}
            root.update({key: _restated(key, value, facts) for key, value in moved.items()})
            ome.pop("version", None)
            root.update({"ome": ome} if ome else {})
        elif not keep:
            root.update({key: _restated(key, root[key], facts, silent=True) for key in VERSIONED if key in root})
        return root, root
    if not keep and "version" in ome and parsed_version(ome["version"]) not in FACTS:
        raise LayoutError(f"ome.version {ome['version']!r}: not known, so it is never rewritten; write into a group of its own")
    block = ome if keep else {"version": facts.version, **_without(ome, "version")}
    if not keep:
        block.update({key: _restated(key, block[key], facts) for key in VERSIONED if key in block})
    if "multiscales" not in ome:
        moved_here = WRAPPED_KEYS if is_block("multiscales", root.get("multiscales")) else SHOWN
        for key in moved_here:
            if key in root and is_block(key, root[key]):
                block[key] = _restated(key, root.pop(key), facts)
    root["ome"] = block
    return root, block


def _restated(key: str, value: JSON, facts: VersionFacts, *, silent: bool = False) -> JSON:
    """Returns what a key holds, a block with the version as it is wanted there."""
    return restated_block(key, value, facts, silent=silent) if key in VERSIONED and isinstance(value, Mapping) else value


def _without(value: Mapping[str, JSON], key: str) -> dict[str, JSON]:
    return {k: v for k, v in value.items() if k != key}


def _written(multiscale: Multiscale, facts: VersionFacts) -> listed.Entry:
    """Returns the entry of one series; what was read from the same version changes only where the series did."""
    raw, same = multiscale.raw, _is_read_from(multiscale, facts)
    entry: listed.Entry = dict(raw) if same or facts.wrapped else {"version": facts.version, **_without(raw, "version")}
    if not same and facts.wrapped:
        entry.pop("version", None)
    listed.set_key(entry, "name", multiscale.name, listed.same_text(raw.get("name")))
    system = _write_axes(entry, multiscale, facts)
    before = list(listed.parts(raw.get("datasets")))
    pairs = listed.matched(multiscale, before, keep_order=same)
    then = _as_read(raw, facts, multiscale.ndim) if same else {}
    untouched = all(_unchanged(level, then) for level, _ in pairs)
    if facts.transformations != "single" and (not facts.transformations or not untouched):
        # Every level is written with the whole of its geometry, so nothing may be applied after it.
        entry.pop("coordinateTransformations", None)
    rewrite_all = facts.transformations == "list" and "coordinateTransformations" in raw and not untouched
    datasets: list[JSON] = []
    for level, dataset in pairs:
        new: listed.Entry = {"path": level.path, **level.extra} if dataset is None else dict(dataset)
        if not facts.transformations:
            new.pop("coordinateTransformations", None)
        elif rewrite_all or dataset is None or not _unchanged(level, then):
            new["coordinateTransformations"] = _transforms(level, facts, system)
        datasets.append(new)
    entry["datasets"] = datasets
    listed.set_key(entry, "type", multiscale.type, listed.same_text(raw.get("type")))
    listed.set_key(entry, "metadata", multiscale.method, listed.as_object(raw.get("metadata")))
    entry.update({key: value for key, value in multiscale.extra.items() if key not in raw or raw[key] != value})
    return entry


def _as_read(raw: Mapping[str, JSON], facts: VersionFacts, ndim: int) -> Mapping[str, Level]:
    """Returns what the document itself states of each level, by path."""
    entries, _ = listed.readable([raw], "", RULES)
    levels = _levels(entries[0], [None] * len(entries[0].paths), facts, ndim)[0] if entries else []
    return {level.path: level for level in levels}


def _unchanged(level: Level, then: Mapping[str, Level]) -> bool:
    """True when the document already says what the level says, or stays silent about what was never stated."""
    old = then.get(level.path)
    if old is None:
        return False
    same_scale = level.scale == old.scale or (old.scale is None and level.scale_provenance != "stated")
    same_place = level.translation == old.translation or (old.translation is None and level.translation_provenance != "stated")
    return same_scale and same_place


def _transforms(level: Level, facts: VersionFacts, system: str) -> list[JSON]:
    """Returns scale, and translation where it is known: what shapes suggest of it is never written. Source: formats.md 15.2, 15.11."""
    if level.scale is None:
        raise LayoutError(f"level {level.path!r} has neither a scale nor an array to infer it from; take it off the series")
    known = level.translation is not None and level.translation_provenance in ("stated", "derived")
    if facts.transformations == "single":  # where 0.6 reads silence as 0, what is inferred must be written
        return written_single(level.path, level.scale, level.translation, system)
    scale: JSON = {"type": "scale", "scale": list(level.scale)}
    return [scale, {"type": "translation", "translation": list(level.translation or ())}] if known else [scale]


def _write_axes(entry: listed.Entry, multiscale: Multiscale, facts: VersionFacts) -> str:
    """Writes the axes where the version wants them; returns the name of the coordinate system that holds them, where there are any."""
    same = _is_read_from(multiscale, facts)
    if facts.axes == "systems":
        return _write_systems(entry, multiscale, facts, same=same)
    entry.pop("coordinateSystems", None)
    raw = multiscale.raw.get("axes")
    forms = {isinstance(item, Mapping) for item in raw} if isinstance(raw, (list, tuple)) else set()
    if facts.axes == "none":
        entry.pop("axes", None)
    elif same and not stated_axes(raw, "", facts)[0] and all(axis.provenance != "stated" for axis in multiscale.axes):
        return ""  # What the arrays tell was never in the document.
    elif forms != {facts.axes == "objects"} or stated_axes(raw, "", facts)[0] != multiscale.axes:
        entry["axes"] = [_axis_object(axis) if facts.axes == "objects" else axis.name for axis in multiscale.axes]
    return ""


def _write_systems(entry: listed.Entry, multiscale: Multiscale, facts: VersionFacts, *, same: bool) -> str:
    """Writes the axes below a coordinate system, and a rotation as the way from it into another; returns the system's name."""
    raw = multiscale.raw if same else {}
    found = systems_of(raw, "")[0]
    system = intrinsic(raw, found)
    name = DEFAULT_SYSTEM if system is None else system.name
    axes: list[JSON] = [_axis_object(axis) for axis in multiscale.axes]
    stated = raw.get("coordinateSystems")
    systems: list[JSON] = list(stated) if isinstance(stated, (list, tuple)) else []
    if not same:
        entry.pop("axes", None)
        entry.pop("coordinateTransformations", None)
    if system is None and not (same and "axes" in raw):
        systems.insert(0, {"name": name, "axes": axes})
    elif system is not None and stated_axes(system.axes, "", facts)[0] != multiscale.axes:
        kept = systems[system.position]
        systems[system.position] = {**(kept if isinstance(kept, Mapping) else {}), "axes": axes}
    if multiscale.world != world_of(raw, name, multiscale.ndim):
        entry["coordinateTransformations"] = written_world(multiscale, name)
        systems += [] if any(s.name == WORLD_SYSTEM for s in found) else [{"name": WORLD_SYSTEM, "axes": axes}]
    if systems:
        entry["coordinateSystems"] = systems
    return name


def _axis_object(axis: Axis) -> dict[str, JSON]:
    stated = {"name": axis.name, "type": axis.kind, "unit": axis.unit}
    return {**{key: value for key, value in stated.items() if value is not None}, **axis.extra}


def _lost(multiscale: Multiscale, facts: VersionFacts, loc: str) -> list[Problem]:
    lost = []
    if not facts.transformations:
        lost += listed.geometry_lost(multiscale, f"OME-Zarr {facts.version}", loc)
    if multiscale.world is not None and facts.transformations != "single":
        lost.append(problem("LOSS002", loc, f"OME-Zarr {facts.version} has no words for a rotation", "keep it in an attribute of your own"))
    if facts.transformations == "single" and not _is_read_from(multiscale, facts):
        guessed = [level.path for level in multiscale.levels[1:] if level.translation_provenance == "inferred"]
        if guessed:
            message = f"the translation of {', '.join(map(repr, guessed))} is inferred from the shapes, and written because 0.6 reads silence as 0"
            lost.append(problem("OME015", f"{loc}.datasets", message, "correct it when the reduction is known"))
    further = len(systems_of(multiscale.raw, "")[0]) - 1
    if further > 0 and facts.axes != "systems":
        message = f"OME-Zarr {facts.version} has one coordinate system; {further} more and the transformations between them are left out"
        lost.append(problem("LOSS008", f"{loc}.coordinateSystems", message, "take ome-zarr@0.6 to keep them"))
    return lost
