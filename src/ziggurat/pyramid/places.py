"""Places: a node, where its arrays are read from, and what is read there. What `open`, `check` and `info` have in common."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ziggurat import layouts
from ziggurat.layouts import Choice
from ziggurat.model import JSON, Level, Multiscale
from ziggurat.node import Container, FileNode, Node, named_place
from ziggurat.problems import DocumentError, NotFound, StorageError
from ziggurat.pyramid.arrays import StoredArray
from ziggurat.pyramid.levels import Hierarchy, Pyramid

N_ANCESTORS = 3
"""How far above an array its multiscale is looked for: `scale0/image` needs 2, a plate's `A/1/0/0` finds its field in 1. Source: formats.md 13.7."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node, and where its arrays are read from."""

    node: Node
    target: object
    """What `storage.open_store` takes."""
    prefix: str = ""
    """Path of the node below `target`."""
    allow_links: bool = False
    """Whether what is here may name other local folders."""

    def above(self) -> tuple[Place, str] | None:
        """Returns the place of the group above and this one's name in it; None at the top of what can be seen."""
        if isinstance(self.target, str) and "://" in self.target:
            head, _, name = self.target.rstrip("/").rpartition("/")
            return (Place(_node(head), head), name) if name and "://" in head and not head.endswith(":/") else None
        path = getattr(self.target, "path", None)
        if path and hasattr(self.target, "store"):  # a zarr StorePath: the same store, seen from one path higher
            head, _, name = path.rpartition("/")
            higher = type(self.target)(self.target.store, head)  # type: ignore[call-arg]
            return Place(_node(higher), higher), name
        found = self.node.parent()
        if found is None:
            return None
        node, name = found
        if isinstance(node, FileNode):
            return Place(node, node.location, "", self.allow_links), name
        return Place(node, self.target, self.prefix.rpartition("/")[0], self.allow_links), name

    def child(self, path: str) -> Place:
        """Returns the place of a node below. Raises PathError for a path that leaves this one."""
        return Place(self.node.child(path), self.target, f"{self.prefix}/{path}" if self.prefix else path, self.allow_links)

    def reader(self, level: Level) -> StoredArray:
        """Returns what opens the array of a level."""
        if level.location is not None:
            return StoredArray(level.location, "", self.node_of(level), level.array)
        whole = f"{self.prefix}/{level.path}" if self.prefix else level.path
        return StoredArray(self.target, whole, self.node_of(level), level.array)

    def node_of(self, level: Level) -> Node:
        """Returns the node of the array of a level."""
        return self.node.child(level.path) if level.location is None else _node(level.location, allow_links=self.allow_links)

    def __reduce__(self) -> tuple[Callable[[object, str, bool], Place], tuple[object, str, bool]]:
        return _again, (self.target, self.prefix, self.allow_links)


def _again(target: object, prefix: str, allow_links: bool) -> Place:
    """Returns a place in another process: its node is made anew, because it may hang on a connection."""
    node = _node(target, allow_links=allow_links)
    return Place(node.child(prefix) if prefix else node, target, prefix, allow_links)


def _node(target: object, *, allow_links: bool = False) -> Node:
    """Returns the node at a place; a local folder without any Zarr library. Links are a matter of local folders only."""
    if isinstance(target, (str, os.PathLike)) and "://" not in named_place(target, "place"):
        path = Path(target)
        return _tiff_node(path) or FileNode(path, follow_links=allow_links, decode=LocalValues)
    from ziggurat import storage

    return storage.open_node(target)


def _tiff_node(path: Path) -> Node | None:
    """Returns what a TIFF file says of itself, None for what is none."""
    if not path.is_file():
        return None
    from ziggurat import sources
    from ziggurat.sources.tifflevels import tiff_node

    return tiff_node(path) if sources.is_tiff(path) else None


@dataclass(frozen=True, slots=True)
class LocalValues:
    """What reads the values of small arrays of a local folder; numpy and codecs are imported when the first is read."""

    folder: str

    def __call__(self, path: str, document: Mapping[str, JSON], container: Container) -> Sequence[float | str]:
        from ziggurat import storage

        return storage.decoder(storage.open_store(self.folder))(path, document, container)


def existing(target: object, *, allow_links: bool = False) -> Node:
    """Returns the node at a place. Raises NotFound when there is nothing that a Zarr library would find."""
    node = _node(target, allow_links=allow_links)
    if _declares(node) or node.kind in ("group", "array", "file") or (node.kind in ("folder", "absent") and layouts.detect(node)):
        return node
    if not isinstance(node, FileNode):
        raise NotFound(f"{node.location}: no Zarr group or array there")
    if not node.path.exists():
        raise NotFound(f"{node.location}: no such file or folder")
    if node.path.is_file():
        raise NotFound(f"{node.location}: a file; expected the folder of a Zarr group; make one of it with 'ziggurat build {node.path.name}'")
    inside = [name for name in node.children() if (node.path / name / "zarr.json").exists() or (node.path / name / ".zgroup").exists()]
    hint = f"; there is one in {inside[0]!r}" if inside else ""
    raise NotFound(f"{node.location}: a folder, but no Zarr group or array{hint}")


def _declares(node: Node) -> bool:
    """Tells whether the attributes of a Zarr v2 node speak of multiscales, which makes it a group as soon as there is a level below it.

    Whether `.zgroup` or `.zarray` lies beside them is then never asked: two requests less. Source: formats.md 15.14.
    """
    return node.container == "zarr2" and "multiscales" in node.attributes


def _declared(node: Node, layout: str | None) -> layouts.ReadResult | None:
    """Returns what such a node holds when a level lies below it: nothing lies below an array."""
    if not _declares(node):
        return None
    try:
        found = layouts.read(node, layout)
    except (DocumentError, NotFound):
        return None  # The reader of groups says it, if it is one.
    return found if any(level.array is not None for multiscale in found.multiscales for level in multiscale.levels) else None


def split_archive(place: str) -> tuple[str, str] | None:
    """Returns the archive that a path or URL leads into, and the path inside; None where no part of it is a zip file by its name.

    Of a local path the part must be a file.

    >>> split_archive("https://host/plate.ozx/A/1/0")
    ('https://host/plate.ozx', 'A/1/0')
    """
    for found in re.finditer(r"\.(?:ozx|zip)(?=/|$)", place, re.IGNORECASE):
        head, inner = place[: found.end()], place[found.end() :].strip("/")
        if "://" in place or os.path.isfile(head):
            return head, inner
    return None


def _in_archive(archive: str, inner: str) -> Place:
    """Returns the place of a path inside a zip archive; of its root, or of the only folder there where the root holds nothing else."""
    from ziggurat import storage

    store = storage.open_zip(archive)
    root = storage.open_node(store)
    names = root.children() if not inner and root.kind not in ("group", "array") else ()
    path = names[0] if len(names) == 1 else inner
    node = root.child(path) if path else root
    if not _declares(node) and node.kind not in ("group", "array") and not layouts.detect(node):
        raise NotFound(f"{node.location}: no Zarr group or array there")
    return Place(node, store, path)


def place_of(target: object, *, allow_links: bool = False) -> Place:
    """Returns what is at a path, a URL, a store, or a `zarr.Group` or `zarr.Array`. Raises NotFound when there is nothing."""
    where = getattr(target, "store_path", target)
    archive = split_archive(os.fspath(where)) if isinstance(where, (str, os.PathLike)) else None
    if archive is not None:
        return _in_archive(*archive)
    try:
        return Place(existing(where, allow_links=allow_links), where, "", allow_links)
    except NotFound:
        place = Place(_node(where, allow_links=allow_links), where, "", allow_links)
        if not _is_scale(place):
            raise
        return place


def _is_scale(place: Place) -> bool:
    """Tells whether a folder that has no document of its own is a level of a group above: a scale of a precomputed volume."""
    node = place.node
    if node.kind != "folder" if isinstance(node, FileNode) else node.kind != "absent":
        return False
    try:
        return listing_of(place, None) is not None
    except StorageError:  # what lies above may be closed to us
        return False


def is_level(place: Place) -> bool:
    """Tells whether a place is at most a level of what a group above holds: an array, or a folder in which nothing says anything."""
    return place.node.kind == "array" or (place.node.kind in ("folder", "absent") and not layouts.detect(place.node))


def read(place: Place, layout: str | None) -> tuple[Hierarchy, str]:
    """Returns all multiscales of a group, or of the group that lists an array; and the path of the array in it, empty for a group.

    Raises NotFound where there is none, DocumentError where none can be read.
    """
    declared = _declared(place.node, layout)
    if declared is not None:
        return hierarchy_at(place, declared), ""
    if is_level(place):
        listing = listing_of(place, layout)
        if listing is None:
            raise unlisted(place)
        return hierarchy_at(*listing[:2]), listing[2]
    found = layouts.read(place.node, layout)
    if not found.multiscales:
        first = next((problem for problem in found.problems if problem.requirement == "MUST"), None)
        reason = f"{first.loc}: {first.message}" if first else "no multiscale in it can be read"
        raise DocumentError(f"{place.node.location}: {reason}; 'ziggurat check' applies all rules", found.problems)
    return hierarchy_at(place, found), ""


def pyramid_at(hierarchy: Hierarchy, which: Choice | None = None, *, chunks_like: Sequence[int] | None = None) -> Pyramid:
    """Returns one of the multiscales that were read. Raises OptionError when there is no such one, NotFound when its base is missing."""
    chosen = layouts.choose(hierarchy.multiscales, which, chunks_like=chunks_like)
    position = next(i for i, candidate in enumerate(hierarchy.multiscales) if candidate is chosen)
    base = chosen.levels[0]
    if base.array is None:
        raise NotFound(f"{hierarchy.location}: levels[0].path {base.path!r}: no array there, and a pyramid cannot do without its base; see 'ziggurat check'")
    return Pyramid(hierarchy, position)


def listing_of(place: Place, layout: str | None) -> tuple[Place, layouts.ReadResult, str] | None:
    """Returns the group that lists an array in a multiscale, from up to three groups above it; what is in it; the array's path there."""
    here, path = place, ""
    for _ in range(N_ANCESTORS):
        above = here.above()
        if above is None:
            return None
        here, name = above
        path = f"{name}/{path}" if path else name
        try:
            found = layouts.read(here.node, layout)
        except (NotFound, DocumentError):  # a group of other people's, or none: the next one up may be it
            continue
        if any(level.path == path and level.array is not None for candidate in found.multiscales for level in candidate.levels):
            return here, found, path
    return None


def lists(multiscale: Multiscale, path: str) -> bool:
    """Tells whether a level of a multiscale lies at a path."""
    return any(level.path == path for level in multiscale.levels)


def unlisted(place: Place) -> NotFound:
    """Returns the error for an array that is no level of anything."""
    where = place.node.location
    return NotFound(f"{where}: an array that none of the {N_ANCESTORS} groups above lists in a multiscale; make levels with 'ziggurat build'")


def hierarchy_at(place: Place, found: layouts.ReadResult) -> Hierarchy:
    """Returns what was read at a place, with its arrays within reach."""
    return Hierarchy(place.node.location, found.multiscales, found.problems, found.layouts, place.reader, _display(place.node), place.node_of)


def _display(node: Node) -> Mapping[str, JSON]:
    """Returns OME's `omero` object, which stands in `ome` from 0.5 on; nothing where it is none."""
    attributes = node.attributes
    wrapped = attributes.get("ome")
    block = wrapped if isinstance(wrapped, Mapping) else attributes
    found = block.get("omero")
    return found if isinstance(found, Mapping) else {}
