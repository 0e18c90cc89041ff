"""Everything that can be said about a place without reading a sample: what the command `info` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from ziggurat import layouts
from ziggurat.layouts import Member
from ziggurat.model import ArrayInfo, Axis, Multiscale, SourceInfo
from ziggurat.node import Container, FileNode, Node
from ziggurat.problems import DocumentError, NotFound, Problem, ZigguratError, shown
from ziggurat.pyramid.levels import Pyramid
from ziggurat.pyramid.members import Collection, collection_at
from ziggurat.pyramid.places import Place, hierarchy_at, is_level, place_of, read
from ziggurat.pyramid.tables import axes_shown, bytes_shown, describe, describe_members, number, product, table, wrapped

_CONTAINERS: Mapping[Container, str] = MappingProxyType({"zarr2": "Zarr v2", "zarr3": "Zarr v3", "n5": "N5"})
_N_LOOKED_AT = 200
"""A plate has up to 384 wells; a terminal shows fewer."""
_N_OPENED = 5
"""Members of a collection that are opened, so that their shapes can be told."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What is at a place: its multiscales, or else what there is in place of one."""

    location: str
    layouts: tuple[str, ...] = ()
    container: Container | None = None
    pyramids: tuple[Pyramid, ...] = ()
    problems: tuple[Problem, ...] = ()
    arrays: tuple[tuple[str, ArrayInfo], ...] = ()
    """Arrays that no multiscale lists, by path below `location`; `""` is the place itself."""
    groups: tuple[str, ...] = ()
    """Groups directly below that no multiscale lists."""
    unreadable: tuple[str, ...] = ()
    """What is directly below and has a document that cannot be read."""
    n_unseen: int = 0
    """How many more there are below that were not looked at."""
    source: SourceInfo | None = None
    """A file, or a bare array, that levels can be built on."""
    collection: Collection | None = None
    """The multiscales that are named below: of a plate, of images side by side, the labels of an image."""
    guesses: tuple[str, ...] = ()
    """Layouts that a group without any mark may be, read only when they are named."""

    @property
    def shared(self) -> tuple[str, ...]:
        """Paths of the arrays that more than one multiscale lists."""
        counts = Counter(path for pyramid in self.pyramids for path in {level.path for level in pyramid.multiscale.levels})
        return tuple(path for path, count in counts.items() if count > 1)

    def describe(self, *, width: int) -> str:
        """Returns it as lines for a person, every name escaped."""
        words = [shown(self.location)]
        if self.container is not None:
            words.append(_CONTAINERS[self.container])
        if len(self.layouts) > 1:
            words.append(f"also {', '.join(map(shown, self.layouts[1:]))}")
        blocks = [" · ".join(words)]
        blocks += [describe(pyramid, width=width, located=False) for pyramid in self.pyramids]
        if self.collection is not None:
            blocks.append("\n".join([describe_members(self.collection, width=width, located=False), *_first_members(self.collection)]))
        if self.source is not None:
            blocks.append(_source_shown(self.source))
        elif self.arrays and not self.pyramids:
            blocks.append("\n".join(table(("array", "shape", "chunks", "dtype", "size"), [_array_row(*item) for item in self.arrays], right=("size",))))
        notes = [wrapped(*note, width) for note in _notes(self)]
        if notes:
            blocks.append("\n".join(notes))
        return "\n\n".join(blocks)

    def to_json(self) -> dict[str, object]:
        """Returns it as plain JSON, every number in full."""
        return {
            "location": self.location,
            "layouts": list(self.layouts),
            "container": self.container,
            "zarr_format": {"zarr2": 2, "zarr3": 3}.get(self.container or ""),
            "multiscales": [_multiscale_json(pyramid) for pyramid in self.pyramids],
            "problems": [asdict(problem) for problem in self.problems],
            "members": [] if self.collection is None else [_member_json(member) for member in self.collection.members],
            "arrays": [{"path": path, **_array_json(info)} for path, info in self.arrays],
            "groups": list(self.groups),
            "unreadable": list(self.unreadable),
            "shared": list(self.shared),
            "source": None if self.source is None else _source_json(self.source),
        }


def survey(url: object, *, layout: str | None = None, allow_links: bool = False) -> Survey:
    """Returns everything that the metadata at a place says; for an image file or a bare array, what levels would be built on.

    A group that holds no usable multiscale is no error here. Lists the folder when it is local.

    Raises NotFound when nothing is there, DocumentError for a document that cannot be read, UnsupportedError for a file that is no image.
    """
    try:
        place = place_of(url, allow_links=allow_links)
    except NotFound:
        if isinstance(url, (str, Path)) and Path(url).is_file():
            return _of_file(url)
        raise
    if place.node.kind == "file":
        return _of_image_file(place, layout)
    return _of_array(place, layout) if is_level(place) else _of_group(place, layout)


def _of_array(place: Place, layout: str | None) -> Survey:
    try:
        hierarchy = read(place, layout)[0]
    except NotFound:
        info = place.node.array
        return Survey(place.node.location, (), place.node.container, arrays=() if info is None else (("", info),))
    pyramids = tuple(Pyramid(hierarchy, i) for i in range(len(hierarchy.multiscales)))
    return Survey(hierarchy.location, hierarchy.layouts, place.node.container, pyramids, hierarchy.problems)


def _of_image_file(place: Place, layout: str | None) -> Survey:
    """Returns the pyramids of an image file, and what levels would be built on where none of its images has any."""
    here = _of_group(place, layout)
    if any(len(pyramid) > 1 for pyramid in here.pyramids) or not isinstance(place.target, (str, Path)):
        return here
    return _of_file(place.target)


def _of_group(place: Place, layout: str | None) -> Survey:
    collection = collection_at(place, layout)
    try:
        found = layouts.read(place.node, layout)
    except NotFound:
        found = layouts.ReadResult(place.node.location, () if collection is None else collection.layouts, (), ())
    hierarchy = hierarchy_at(place, found)
    pyramids = tuple(Pyramid(hierarchy, i) for i in range(len(hierarchy.multiscales)))
    problems = found.problems if collection is None else (*found.problems, *collection.problems)
    here = Survey(place.node.location, found.layouts, place.node.container, pyramids, problems, collection=collection)
    if not here.pyramids and not here.problems and collection is None:
        here = replace(here, guesses=tuple(guess.layout for guess in layouts.guesses(place.node)))
    return _with_unlisted(here, place.node)


def _with_unlisted(here: Survey, node: Node) -> Survey:
    """Returns the survey with what a local folder holds beside its multiscales."""
    if not isinstance(node, FileNode):
        return here
    listed = {level.path.split("/")[0] for pyramid in here.pyramids for level in pyramid.multiscale.levels}
    if here.collection is not None:
        listed |= {member.path.split("/")[0] for member in here.collection.direct}
    names = [name for name in node.children() if name not in listed]
    arrays, groups, unreadable = [], [], []
    for name in names[:_N_LOOKED_AT]:
        try:
            child = node.child(name)
            info = child.array
            if info is not None:
                arrays.append((name, info))
            elif child.kind == "group":
                groups.append(name)
        except DocumentError:
            unreadable.append(name)
    return replace(here, arrays=tuple(arrays), groups=tuple(groups), unreadable=tuple(unreadable), n_unseen=max(0, len(names) - _N_LOOKED_AT))


def _of_file(path: str | Path) -> Survey:
    from ziggurat import sources

    source = sources.open_source(path)
    try:
        return Survey(str(path), source=source.info)
    finally:
        source.close()


def _notes(survey: Survey) -> list[tuple[str, str]]:
    """Returns what should be said below the tables, as (word, text): problems, and what no multiscale lists."""
    notes = [(p.verdict, f"{p.loc}: {p.message}") for p in survey.problems]
    if survey.pyramids and survey.shared:
        notes.append(("shared", f"{', '.join(survey.shared)}: in more than one multiscale"))
    if survey.pyramids and survey.arrays:
        notes.append(("besides", f"{', '.join(path for path, _ in survey.arrays)}: in no multiscale"))
    if survey.groups:
        notes.append(("groups", ", ".join(survey.groups)))
    if survey.unreadable:
        notes.append(("broken", f"{', '.join(survey.unreadable)}: a document that cannot be read"))
    if survey.n_unseen:
        notes.append(("", f"and {survey.n_unseen:,} more below that were not looked at"))
    if survey.source is not None:
        notes.append(("", f"no levels yet: ziggurat build {survey.location}"))
    elif not survey.pyramids and not survey.problems and survey.collection is None:
        notes += [("", f"it may be {guess}: look with --layout {guess}") for guess in survey.guesses]
        notes.append(("", "no multiscale here" + ("; 'ziggurat build' makes levels of an array" if survey.arrays else "")))
    return notes


def _first_members(collection: Collection) -> list[str]:
    """Returns a table of the first members as they are when they are opened; what cannot be opened says why."""
    rows = []
    for member in islice(collection.walk(), _N_OPENED):
        try:
            pyramid = collection[member.name]
        except ZigguratError as error:
            rows.append([member.name, str(error), "", ""])
            continue
        rows.append([member.name, product(pyramid.levels[0].shape), str(len(pyramid)), axes_shown(pyramid.axes)])
    return ["", *(f"  {line}" for line in table(("opened", "shape", "levels", "axes"), rows, right=("levels",)))] if rows else []


def _member_json(member: Member) -> dict[str, object]:
    return {"name": member.name, "path": member.path, "kind": member.kind, "about": _plain(member.about)}


def _array_row(path: str, info: ArrayInfo) -> tuple[str, str, str, str, str]:
    return path or ".", product(info.shape), product(info.chunks), info.dtype, bytes_shown(info.size_bytes) if info.itemsize else "?"


def _source_shown(source: SourceInfo) -> str:
    info = source.array
    lines = [("shape", product(info.shape)), ("samples", f"{info.dtype}, {bytes_shown(info.size_bytes)}, read in blocks of {product(info.chunks)}")]
    if source.axes is not None:
        lines.append(("axes", axes_shown(source.axes)))
    if source.scale is not None:
        lines.append(("scale", " ".join(map(number, source.scale))))
    lines += [("note", shown(note)) for note in source.notes]
    return "\n".join(f"  {word:<8} {text}" for word, text in lines)


def _array_json(info: ArrayInfo) -> dict[str, object]:
    return {
        "shape": list(info.shape),
        "dtype": info.dtype,
        "chunks": list(info.chunks),
        "shards": None if info.shards is None else list(info.shards),
        "dimension_names": None if info.dimension_names is None else list(info.dimension_names),
        "codecs": info.codecs,
        "size_bytes": info.size_bytes,
        "n_chunks": info.n_chunks,
    }


def _axis_json(axis: Axis) -> dict[str, object]:
    return {"name": axis.name, "kind": axis.kind, "unit": axis.unit, "provenance": axis.provenance}


def _multiscale_json(pyramid: Pyramid) -> dict[str, object]:
    multiscale: Multiscale = pyramid.multiscale
    there = {level.index: level for level in pyramid.levels}
    levels = []
    for index, level in enumerate(multiscale.levels):
        view = there.get(index)
        place: Mapping[str, object] = {
            "scale": None if level.scale is None else list(level.scale),
            "scale_provenance": level.scale_provenance,
            "translation": None if level.translation is None else list(level.translation),
            "translation_provenance": level.translation_provenance,
        }
        levels.append({"index": index, "path": level.path, "present": view is not None, **(_array_json(view.info) if view else {}), **place})
    return {
        "name": multiscale.name,
        "type": multiscale.type,
        "layout": multiscale.layout,
        "axes": [_axis_json(axis) for axis in multiscale.axes],
        "levels": levels,
        "metadata": None if multiscale.method is None else _plain(multiscale.method),
    }


def _source_json(source: SourceInfo) -> dict[str, object]:
    return {
        "name": source.name,
        **_array_json(source.array),
        "axes": None if source.axes is None else [_axis_json(axis) for axis in source.axes],
        "scale": None if source.scale is None else list(source.scale),
        "translation": None if source.translation is None else list(source.translation),
        "kind": source.kind,
        "notes": list(source.notes),
    }


def _plain(value: object) -> object:
    """Returns a JSON value of read-only mappings and tuples as dicts and lists."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
