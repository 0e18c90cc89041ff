"""From a place to pyramids: what `ziggurat.open`, `list_multiscales`, `check` and the command `info` do."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ziggurat import layouts
from ziggurat.model import JSON, Level, Multiscale
from ziggurat.node import Container, FileNode, Node, named_place
from ziggurat.problems import DocumentError, NotFound, Problem, Report
from ziggurat.pyramid.arrays import StoredArray
from ziggurat.pyramid.levels import Hierarchy, Pyramid

_N_ANCESTORS = 3
"""How far above an array its multiscale is looked for: `scale0/image` needs 2, a plate's `A/1/0/0` finds its field in 1. Source: formats.md 13.7."""


def open(  # noqa: A001 - `zg.open` is the public name
    url: object,
    *,
    multiscale: int | str | Callable[[Multiscale], bool] | None = None,
    chunks_like: Sequence[int] | None = None,
    layout: str | None = None,
    allow_links: bool = False,
) -> Pyramid:
    """Returns the multiscale at a place as a `Pyramid`; only metadata is read, and nothing is listed.

    Parameters
    ----------
    url
        A path, a URL (`s3://`, `gs://`, `https://`, ...), a Zarr store or group, or anything that behaves like a dict of keys to bytes.
        The place of a level's own array finds the multiscale that lists it, up to three groups above.
    multiscale
        Which one, where a group holds several: its number from 0, its name, its type, or a function of a `Multiscale`. The first when not said;
        the first that lists it, where `url` is a level's own array.
    chunks_like
        Take the multiscale whose base has the chunks closest to these sizes, as for the same samples stored in slices and in cubes.
    layout
        Read it as this layout (`"ome-zarr@0.4"`) whatever else it may be.
    allow_links
        Follow link files, references and symbolic links that leave a local folder. What they name is always local.

    Raises
    ------
    NotFound
        When nothing is there, no multiscale is there, or level 0 has no array. Other missing levels are only told, in `problems`.
    DocumentError
        When a metadata document cannot be read as what it claims to be.
    OptionError
        When no multiscale is the one that was said; the message names those that exist.
    """
    hierarchy, listed = _read(url, layout, allow_links=allow_links)
    if listed and multiscale is None and chunks_like is None:
        multiscale = next(i for i, candidate in enumerate(hierarchy.multiscales) if _lists(candidate, listed))
    chosen = layouts.choose(hierarchy.multiscales, multiscale, chunks_like=chunks_like)
    position = next(i for i, candidate in enumerate(hierarchy.multiscales) if candidate is chosen)
    base = chosen.levels[0]
    if base.array is None:
        raise NotFound(f"{hierarchy.location}: levels[0].path {base.path!r}: no array there, and a pyramid cannot do without its base; see 'ziggurat check'")
    return Pyramid(hierarchy, position)


def list_multiscales(url: object, *, layout: str | None = None, allow_links: bool = False) -> tuple[Multiscale, ...]:
    """Returns the metadata of every multiscale of a group, in the order of its document.

    `layout` and `allow_links` as for `open`. Raises NotFound where there is none, DocumentError where a document cannot be read.
    """
    return read(url, layout, allow_links=allow_links).multiscales


def check(source: object, *, deep: bool = False, strict: bool = False, layout: str | None = None, allow_links: bool = False) -> Report:
    """Returns what every rule of the format says about the documents at a place; without `deep` no sample is read.

    Parameters
    ----------
    source
        As for `open`; the place of a level's own array is judged by the group that lists it.
    deep
        Also read sampled blocks of every level. Levels of our own method are made again from what the metadata says, and the first
        sample that differs is a broken MUST. For those of other makers it is told which reduction gives the samples, and a place
        other than the metadata's is advice. Some dozens of small regions are read per level.
    strict
        Hold SHOULD as high as MUST: `report.ok` is then True only when neither is broken.
    layout
        Apply the rules of this layout, whatever else the place may be.
    allow_links
        As for `open`.

    Raises NotFound when nothing is there. Broken documents are problems of the report.
    """
    from ziggurat import validation

    place = place_of(source, allow_links=allow_links)
    if place.node.kind == "array":
        listing = _listing(place, None)
        if listing is None:
            raise _unlisted(place)
        place = listing[0]
    found = validation.check_node(place.node, layout=layout)
    samples = _deep(place, layout) if deep else ()
    return dataclasses.replace(found, strict=strict, problems=(*found.problems, *samples))


def _deep(place: Place, layout: str | None) -> Iterator[Problem]:
    """Yields what the samples of every multiscale say of its metadata."""
    from ziggurat import provenance

    try:
        hierarchy = hierarchy_at(place, layouts.read(place.node, layout))
    except NotFound:  # a plate or a well: it has no levels of its own
        return
    for position, multiscale in enumerate(hierarchy.multiscales):
        pyramid = Pyramid(hierarchy, position)
        if len(pyramid) == len(multiscale.levels):  # a missing level is a broken rule already
            yield from provenance.judge(multiscale, pyramid.arrays, f"multiscales[{position}]")


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

    def reader(self, level: Level) -> StoredArray:
        """Returns what opens the array of a level."""
        if level.location is not None:
            return StoredArray(level.location, "", _node(level.location, allow_links=self.allow_links), level.array)
        whole = f"{self.prefix}/{level.path}" if self.prefix else level.path
        return StoredArray(self.target, whole, self.node.child(level.path), level.array)

    def __reduce__(self) -> tuple[Callable[[object, str, bool], Place], tuple[object, str, bool]]:
        return _again, (self.target, self.prefix, self.allow_links)


def _again(target: object, prefix: str, allow_links: bool) -> Place:
    """Returns a place in another process: its node is made anew, because it may hang on a connection."""
    node = _node(target, allow_links=allow_links)
    return Place(node.child(prefix) if prefix else node, target, prefix, allow_links)


def _node(target: object, *, allow_links: bool = False) -> Node:
    """Returns the node at a place; a local folder without any Zarr library. Links are a matter of local folders only."""
    if isinstance(target, (str, os.PathLike)) and "://" not in named_place(target, "place"):
        return FileNode(Path(target), follow_links=allow_links, decode=LocalValues(os.fspath(target)))
    from ziggurat import storage

    return storage.open_node(target)


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
    if node.kind in ("group", "array") or (node.kind == "folder" and layouts.detect(node)):
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


def place_of(target: object, *, allow_links: bool = False) -> Place:
    """Returns what is at a path, a URL, a store, or a `zarr.Group` or `zarr.Array`. Raises NotFound when there is nothing."""
    where = getattr(target, "store_path", target)
    return Place(existing(where, allow_links=allow_links), where, "", allow_links)


def read(target: object, layout: str | None, *, allow_links: bool = False) -> Hierarchy:
    """Reads all multiscales of a group, or of the group that lists an array. Raises NotFound."""
    return _read(target, layout, allow_links=allow_links)[0]


def _read(target: object, layout: str | None, *, allow_links: bool) -> tuple[Hierarchy, str]:
    """Returns what `read` does, and the path of the array that was asked for, relative to the group; empty for a group."""
    place = place_of(target, allow_links=allow_links)
    if place.node.kind == "array":
        listing = _listing(place, layout)
        if listing is None:
            raise _unlisted(place)
        return hierarchy_at(*listing[:2]), listing[2]
    found = layouts.read(place.node, layout)
    if not found.multiscales:
        first = next((problem for problem in found.problems if problem.requirement == "MUST"), None)
        reason = f"{first.loc}: {first.message}" if first else "no multiscale in it can be read"
        raise DocumentError(f"{place.node.location}: {reason}; 'ziggurat check' applies all rules", found.problems)
    return hierarchy_at(place, found), ""


def _listing(place: Place, layout: str | None) -> tuple[Place, layouts.ReadResult, str] | None:
    """Returns the group that lists an array in a multiscale, from up to three groups above it; what is in it; the array's path there."""
    here, path = place, ""
    for _ in range(_N_ANCESTORS):
        above = here.above()
        if above is None:
            return None
        here, name = above
        path = f"{name}/{path}" if path else name
        try:
            found = layouts.read(here.node, layout)
        except (NotFound, DocumentError):  # a group of other people's, or none: the next one up may be it
            continue
        if any(_lists(candidate, path) for candidate in found.multiscales):
            return here, found, path
    return None


def _lists(multiscale: Multiscale, path: str) -> bool:
    return any(level.path == path for level in multiscale.levels)


def _unlisted(place: Place) -> NotFound:
    where = place.node.location
    return NotFound(f"{where}: an array that none of the {_N_ANCESTORS} groups above lists in a multiscale; make levels with 'ziggurat build'")


def hierarchy_at(place: Place, found: layouts.ReadResult) -> Hierarchy:
    return Hierarchy(place.node.location, found.multiscales, found.problems, found.layouts, place.reader)
