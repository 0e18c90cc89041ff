"""Where a build writes: in place, into a new store, beside another series, or over an old store. Found out before planning."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ziggurat import journal, layouts, storage
from ziggurat.chunkio import ByteStore, ChunkArray, FileStore, TargetStore
from ziggurat.journal import FOLDER
from ziggurat.layouts.ome_facts import VersionFacts, facts_of
from ziggurat.model import JSON, Multiscale, SourceInfo
from ziggurat.node import Node, named_place
from ziggurat.planner import BuildOptions, BuildPlan, Target
from ziggurat.planner.choices import choose_axes, choose_form
from ziggurat.problems import OptionError, StorageError, TargetExists
from ziggurat.sources import Source, open_source


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """The OME image whose labels a build makes."""

    root: object
    """What `storage.open_store` takes."""
    prefix: str
    """Path of the image inside `root`, with a slash at its end, or empty."""
    name: str
    """Path of the label image below `labels`."""
    location: str
    multiscale: Multiscale

    @property
    def facts(self) -> VersionFacts:
        """What the image's version of the format says."""
        return facts_of(layouts.version_of(self.multiscale.layout))


@dataclass(frozen=True, slots=True)
class Destination:
    """The group that a build writes to, as it is now."""

    facts: Target
    """What the planner must know of it."""
    root: object
    """What `storage.open_store` takes: a path, a URL or a store."""
    prefix: str
    """Path of the group inside `root`."""
    folder: Path | None
    """The group's folder when it is local, else None."""
    series: tuple[Multiscale, ...] = ()
    """The multiscales that the group holds now."""
    attributes: Mapping[str, JSON] = field(default_factory=dict)
    exists: bool = False
    """Something is at the place that is not an unfinished build of ours."""
    add: bool = False
    overwrite: bool = False
    image: LabelledImage | None = None
    """The image that lists the group as its labels when it is published."""

    @property
    def location(self) -> str:
        return self.facts.location


def find_destination(source: Source, target: object, options: BuildOptions, *, add: bool, overwrite: bool) -> tuple[Source, Destination]:
    """Returns where the build will write, and the source to read: the group's own base when a series is added to a copy of it.

    Raises
    ------
    OptionError
        When no target was said and none follows from the source, or `add` and `overwrite` are both said.
    TargetExists
        When the place is taken, or holds the source.
    """
    if add and overwrite:
        raise OptionError("add and overwrite: both were said; say add=True for another series, overwrite=True to replace what is there")
    info = source.info
    if isinstance(target, str) and target.lower().startswith("file://"):
        target = unquote(urlsplit(target).path)
    if target is None:
        if info.group is not None:
            return source, _in_place(source, add=add, overwrite=overwrite)
        target = _beside(info, options)
    if isinstance(target, os.PathLike) or (isinstance(target, str) and "://" not in named_place(target, "target")):
        return _local(source, _absolute(target), add=add, overwrite=overwrite)
    return source, _remote(source, target, add=add, overwrite=overwrite)


def _absolute(place: str | os.PathLike[str]) -> Path:
    """Returns an absolute path; a link at its end is kept, so that it can be refused."""
    path = Path(place).absolute()
    return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name


def _beside(info: SourceInfo, options: BuildOptions) -> str:
    """Returns the default target of a file: its stem beside it."""
    if info.array_document is not None:
        raise OptionError(
            f"target: {info.location} is a Zarr array without a group, and only a group can say that arrays are levels; "
            "say a target to copy it to, or move the array into a Zarr group"
        )
    place = Path(info.location)
    if not place.is_absolute() or not (place.exists() or place.parent.is_dir()):
        raise OptionError(f"target: {info.location} has no folder to put levels into; say a target such as 'levels.ome.zarr'")
    axes, _ = choose_axes(info, options)
    form, _ = choose_form(info, axes, options, Target("", ""))
    return str(place.parent / (info.name + (".ome.zarr" if form.layout.startswith("ome-zarr") else ".zarr")))


def _in_place(source: Source, *, add: bool, overwrite: bool) -> Destination:
    info = source.info
    place = getattr(source, "place", None)
    root, prefix = (place.root, place.group or "") if place is not None else (info.group, "")
    node = storage.open_node(root)
    node = node.child(prefix) if prefix else node
    folder = _folder(root, prefix)
    series = layouts.read(node).multiscales if layouts.holds_levels(node) else ()
    alone = len(series) == 1 and series[0].n_levels == 1 and series[0].levels[0].path == info.path
    if series and not alone and not add and not overwrite:
        raise TargetExists(f"{node.location}: already holds a multiscale of {series[0].n_levels} levels; say --add (add=True) or --overwrite (overwrite=True)")
    facts = Target(
        location=node.location,
        name=(series[0].name if alone else None) or (_free_name(info.name, series) if add else info.name),
        in_place=True,
        zarr_format=info.array.zarr_format,
        layout=_layout(series),
    )
    return Destination(facts, root, prefix, folder, () if alone else series, node.attributes, exists=False, add=add, overwrite=overwrite)


def _free_name(name: str, series: tuple[Multiscale, ...]) -> str:
    """Returns `name`, with a number behind it where a series of the group is called so already."""
    taken = {m.name for m in series}
    return next(free for free in (name, *(f"{name} {n}" for n in range(2, len(taken) + 3))) if free not in taken)


def _layout(series: tuple[Multiscale, ...]) -> str | None:
    return series[0].layout or None if series else None


def _folder(root: object, prefix: str) -> Path | None:
    if isinstance(root, os.PathLike) or (isinstance(root, str) and "://" not in root):
        return _absolute(root) / prefix
    folder = getattr(root, "root", None)
    return folder / prefix if isinstance(folder, Path) else None


def _local(source: Source, place: Path, *, add: bool, overwrite: bool) -> tuple[Source, Destination]:
    info = source.info
    base, group = _real(info.location), _real(info.group)
    here = place.resolve()
    if group is not None and here in (group, base):
        return source, _in_place(source, add=add, overwrite=overwrite)
    if base is not None and base.is_relative_to(here):
        raise TargetExists(f"{place}: holds the source {info.location}; a target may not be, or hold, what is read; say another target")
    if add:
        return _added(source, place)
    facts = Target(location=str(place), name=_stem(place), verbatim=_is_verbatim(source))
    exists = os.path.lexists(place) and not (place.is_dir() and not place.is_symlink() and not any(p.name != FOLDER for p in place.iterdir()))
    return source, Destination(facts, str(place), "", place, exists=exists, overwrite=overwrite)


def _real(location: str | None) -> Path | None:
    if location is None or "://" in location:
        return None
    place = Path(location)
    return place.resolve() if place.exists() else None


def _stem(place: Path) -> str:
    name = place.name
    for ending in (".ome.zarr", ".zarr"):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def _added(source: Source, place: Path) -> tuple[Source, Destination]:
    """Finds the base of the target's own multiscale and takes that as the source, when it is what was to be added to."""
    if not place.exists():
        raise OptionError(f"add: {place} is not there, so nothing can be added to it; leave add out")
    there = open_source(str(place))
    mine, theirs = source.info.array, there.info.array
    if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
        raise TargetExists(
            f"{place}: its base is {theirs.dtype} {theirs.shape}, the source is {mine.dtype} {mine.shape}; a series can only be added over the same base"
        )
    return there, _in_place(there, add=True, overwrite=False)


def _remote(source: Source, target: object, *, add: bool, overwrite: bool) -> Destination:
    place = getattr(source, "place", None)
    here = place is not None and (place.root is target or (isinstance(target, str) and place.root == target))
    if here and place is not None and source.info.group is not None and not place.group:
        return _in_place(source, add=add, overwrite=overwrite)
    node = storage.open_node(target)
    if add:
        raise OptionError(f"add: only known for a local target, or for the group that holds the source; found {node.location}")
    name = _stem(Path(urlsplit(target).path)) if isinstance(target, str) else source.info.name
    facts = Target(location=node.location, name=name or source.info.name, verbatim=_is_verbatim(source))
    return Destination(facts, target, "", _folder(target, ""), exists=node.kind not in ("absent", "folder"), overwrite=overwrite)


def home_of(destination: Destination, plan: BuildPlan) -> TargetStore | None:
    """Returns the group as a store that holds the build's journal; None for a store that only gets, puts and sizes."""
    work = work_folder(destination, plan)
    return journal.home_of(_store(destination) if work is None else FileStore(work), destination.prefix if work is None else "")


def _store(destination: Destination) -> ByteStore:
    return storage.open_store(destination.root, writable=True)


def _is_verbatim(source: Source) -> bool:
    """True when the source's stored chunks can be had as they are."""
    return isinstance(getattr(source, "reader", None), ChunkArray)


# --- after planning: may it be written, and is there something to go on from?


def check_free(destination: Destination, plan: BuildPlan) -> None:
    """Raises TargetExists when the place is taken, unless an unfinished build of the same plan lies there."""
    home = home_of(destination, plan)
    if home is not None:
        begun = journal.unfinished(home)
        if plan.fingerprint in begun:
            return
        if begun and not destination.overwrite:
            place = work_folder(destination, plan) or destination.location
            raise TargetExists(
                f"{place}: an unfinished build with other options or of another source lies here ({', '.join(begun)}); "
                f"run that command again to finish it, or say --overwrite (overwrite=True), or remove {place}/{FOLDER}"
            )
    if plan.in_place:
        _check_levels(destination, plan)
    elif destination.exists:
        if not destination.overwrite:
            raise TargetExists(f"{destination.location}: already there; say --overwrite (overwrite=True) to replace it, or --add (add=True) for another series")
        _check_replaceable(destination, home)
    elif destination.folder is None and not destination.overwrite:
        _check_empty(destination, plan)


def _check_empty(destination: Destination, plan: BuildPlan) -> None:
    """Raises TargetExists when something lies where chunks will: what a group that is gone left would show through where all is fill."""
    listing = getattr(_store(destination), "names", None)
    if listing is None:
        return
    for level in plan.levels:
        if listing(f"{destination.prefix}{level.path}"):
            raise TargetExists(f"{destination.location}: something lies below {level.path!r}, though there is no group; say --overwrite (overwrite=True)")


def _check_levels(destination: Destination, plan: BuildPlan) -> None:
    if destination.overwrite:
        return
    taken = {plan.name, *((second_name(plan),) if plan.second is not None else ())} & {m.name for m in destination.series if m.name is not None}
    if destination.add and taken:
        raise TargetExists(f"{destination.location}: a series is called {min(taken)!r} already, and series are chosen by name; say another name=")
    node = _node(destination)
    for path in (*(level.path for level in plan.levels[1:]), *side_paths(plan)):
        if node.child(path).kind not in ("absent", "folder"):
            raise TargetExists(f"{destination.location}: a node {path!r} is already there; say names= (such as names='{plan.word}{{k}}') or --overwrite")


def _node(destination: Destination) -> Node:
    node = storage.open_node(destination.root)
    return node.child(destination.prefix) if destination.prefix else node


def _check_replaceable(destination: Destination, home: TargetStore | None) -> None:
    place = destination.folder
    if place is None:
        if home is None:
            raise OptionError(f"overwrite: {destination.location} is a store that can neither list nor delete; remove what is there yourself")
        return
    if place.is_symlink():
        raise TargetExists(f"{place}: is a link; overwrite=True replaces no links; name what it leads to")
    if storage.open_node(str(place)).zarr_format is None and not journal.unfinished(FileStore(place)):  # any folder with an attributes.json would count as N5
        raise TargetExists(f"{place}: is no Zarr node; overwrite=True replaces nothing else; remove it yourself if it may go")


def work_folder(destination: Destination, plan: BuildPlan) -> Path | None:
    """Returns the local folder that holds the journal: the group's own, or the new one's beside a store that is replaced."""
    place = destination.folder
    if place is None or plan.in_place or not destination.overwrite or not destination.exists:
        return place
    return place.with_name(f".{place.name}.ziggurat-new-{plan.fingerprint}")


def kept_series(destination: Destination, plan: BuildPlan) -> tuple[Multiscale, ...]:
    """Returns the series of the group that stay: all, but those that share a level with the new one when it replaces them."""
    if not destination.overwrite:
        return destination.series
    ours = {*(level.path for level in plan.levels[1:]), *side_paths(plan)}
    replaced = {m.name for m in destination.series if ours & {level.path for level in m.levels}}
    stale = {f"{name}_coverage" for name in replaced}
    alone = [m for m in destination.series if m.name == plan.name and [level.path for level in m.levels] == [plan.levels[0].path]]
    others = (m for m in destination.series if not ours & {level.path for level in m.levels} and not (m.type == "coverage" and m.name in stale))
    return tuple(m for m in others if m not in alone)


def side_paths(plan: BuildPlan) -> tuple[str, ...]:
    """Returns the paths of the arrays that lie beside the levels: coverage, second arrays."""
    return tuple(f"{folder}/{level.path}" for folder in (plan.coverage, plan.second) if folder is not None for level in plan.levels[1:])


def second_name(plan: BuildPlan) -> str:
    """Returns the name of the multiscale of a build's second arrays."""
    return f"{plan.name}_{plan.second}"


def coverage_name(plan: BuildPlan) -> str:
    """Returns the name of the multiscale of a build's coverage."""
    return f"{plan.name}_coverage"


def unfinished_plans(home: TargetStore) -> tuple[BuildPlan, ...]:
    """Returns the plans of the builds that were begun in a group and not published; what cannot be read is left out."""
    found = []
    for fingerprint in journal.unfinished(home):
        with suppress(StorageError, ValueError):
            found.append(BuildPlan.from_json(json.loads(bytes(home.get(f"{FOLDER}/{fingerprint}/{journal.PLAN}") or b""))))
    return tuple(found)


def forget_others(destination: Destination, plan: BuildPlan) -> None:
    """Removes what is left of unfinished builds that this one, said to overwrite, replaces."""
    place = destination.folder
    if place is None or not destination.overwrite:
        return
    if plan.in_place:
        for fingerprint in journal.unfinished(FileStore(place)):
            shutil.rmtree(place / FOLDER / fingerprint, ignore_errors=True)
    else:
        for left in place.parent.glob(f".{place.name}.ziggurat-new-*"):
            if left != work_folder(destination, plan):
                shutil.rmtree(left, ignore_errors=True)


def replaced_levels(destination: Destination, plan: BuildPlan) -> tuple[str, ...]:
    """Returns the paths of arrays that only replaced series or unfinished builds list, the base left out: they go when the new one is published."""
    kept = kept_series(destination, plan)
    stays = {level.path for m in kept for level in m.levels} | {plan.levels[0].path}
    gone = [level.path for m in destination.series if m not in kept for level in m.levels]
    home = home_of(destination, plan) if plan.in_place else None
    for begun in unfinished_plans(home) if home is not None else ():
        gone += [level.path for level in begun.levels[1:]] if begun.fingerprint != plan.fingerprint else []
    return tuple(path for path in gone if path not in stays)
