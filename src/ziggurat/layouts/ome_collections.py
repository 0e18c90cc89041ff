"""Collections of OME-Zarr: plates, wells, images side by side (bioformats2raw), labels. What they name, without opening any of it.

Source: formats.md 2.4, 11.3, 13.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias
from xml.parsers import expat

from ziggurat.layouts.ome_facts import FACTS, LABELS, NAME, block_of, parsed_version
from ziggurat.layouts.ports import Evidence, Member, Strength
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON
from ziggurat.node import Node, resolve, word
from ziggurat.problems import DocumentError, PathError, Problem

MAX_MEMBERS = 100_000
"""The largest plate has 1536 wells; with 49 fields each, 75,264 images."""
MAX_PROBED = 10_000
"""Numbered images are asked for one by one, because not every store can list."""

_Found: TypeAlias = "tuple[tuple[Member, ...], tuple[Problem, ...]]"


def detect(node: Node) -> Evidence | None:
    """Returns the evidence that a node without multiscales of its own is a collection, None when nothing says so."""
    block = block_of(node)
    if block is None:
        return None
    held, prefix = block
    key = kind_of_collection(held)
    if key is None:
        return None
    strength: Strength = "named" if key == LABELS and not prefix else "declared"  # at the root, `labels` may be anybody's word
    return Evidence(f"{NAME}@{version_of(node, held, key)}", strength, f"'{prefix}{key}' names multiscales below", holds="members")


def kind_of_collection(held: Mapping[str, JSON]) -> str | None:
    """Returns the key that makes a collection of a group, the most telling first. Source: formats.md 13.2."""
    return next((key for key in _COLLECTIONS if key in held and (key != LABELS or _are_names(held[key]))), None)


def version_of(node: Node, held: Mapping[str, JSON], key: str) -> str:
    """Returns the version that a collection states, else what its Zarr format allows."""
    own = held.get(key)
    stated = held.get("version") if held is not node.attributes else own.get("version") if isinstance(own, Mapping) else None
    version = parsed_version(stated)
    wrapped = held is not node.attributes
    if version in FACTS and FACTS[version].wrapped == wrapped:
        return version
    return [facts.version for facts in FACTS.values() if facts.wrapped == wrapped][-1]


def members(node: Node) -> _Found:
    """Returns what a plate, a well, a set of images or a group of labels names, or the labels of an image; in the document's order."""
    block = block_of(node)
    if block is None:
        return (), ()
    held, prefix = block
    key = kind_of_collection(held)
    if key is not None:
        return _COLLECTIONS[key](node, held, prefix)
    return labels_below(node) if "multiscales" in held else ((), ())


def labels_below(node: Node) -> _Found:
    """Returns the label images that lie below an image, as `labels/<name>`."""
    try:
        below = node.child(LABELS)
        block = block_of(below)
    except DocumentError as error:
        return (), (problem("OME019", LABELS, f"the group of labels cannot be read: {error}", "correct its document"),)
    if block is None or LABELS not in block[0]:
        return (), ()
    return _labels(below, block[0], f"{LABELS}/{block[1]}", below_image=True)


def _plate(node: Node, held: Mapping[str, JSON], prefix: str) -> _Found:
    plate = held["plate"]
    wells = plate.get("wells") if isinstance(plate, Mapping) else None
    if not isinstance(wells, (list, tuple)):
        return (), (problem("OME020", f"{prefix}plate.wells", f"found {word(wells)}; expected a list of objects with 'path'", "list the wells"),)
    return _listed(wells, f"{prefix}plate.wells", kind="well", holds="members")


def _well(node: Node, held: Mapping[str, JSON], prefix: str) -> _Found:
    well = held["well"]
    images = well.get("images") if isinstance(well, Mapping) else None
    if not isinstance(images, (list, tuple)):
        return (), (problem("OME020", f"{prefix}well.images", f"found {word(images)}; expected a list of objects with 'path'", "list the images"),)
    return _listed(images, f"{prefix}well.images", kind="field")


def _listed(entries: JSON, loc: str, *, kind: str, holds: str = "levels") -> _Found:
    """Returns a member per object with a path; what stands beside the path is kept."""
    found: dict[str, Member] = {}
    problems = []
    for i, entry in enumerate(entries if isinstance(entries, (list, tuple)) else ()):
        path = entry.get("path") if isinstance(entry, Mapping) else None
        try:
            plain = resolve(path, "path")
        except PathError as error:
            problems.append(problem("OME020", f"{loc}[{i}].path", str(error).removeprefix("path "), "name the group below this one"))
            continue
        if plain in found:
            problems.append(problem("OME020", f"{loc}[{i}].path", f"{plain!r} stands in the list already", "list each group once"))
        elif len(found) < MAX_MEMBERS:
            about = {k: v for k, v in entry.items() if k != "path"} if isinstance(entry, Mapping) else {}
            found[plain] = Member(plain, plain, kind, about, "members" if holds == "members" else "levels")
    return tuple(found.values()), tuple(problems)


def _labels(node: Node, held: Mapping[str, JSON], prefix: str, *, below_image: bool = False) -> _Found:
    start = f"{LABELS}/" if below_image else ""
    found: dict[str, Member] = {}
    problems = []
    names = held[LABELS]
    if not isinstance(names, (list, tuple)):
        return (), (problem("OME019", f"{prefix}labels", f"found {word(names)}; expected a list of names", "list the label images"),)
    for i, name in enumerate(names):
        try:
            plain = resolve(name, "path")
        except PathError as error:
            problems.append(problem("OME019", f"{prefix}labels[{i}]", str(error).removeprefix("path "), "name the group of the label image"))
            continue
        found.setdefault(plain, Member(start + plain, start + plain, "labels"))
    return tuple(found.values()), tuple(problems)


def _images(node: Node, held: Mapping[str, JSON], prefix: str) -> _Found:
    """Returns the images side by side: the series that `OME` lists, else as many as its XML describes, else all that are numbered."""
    try:
        beside = node.child("OME")
        listing = beside.attributes.get("ome", beside.attributes)
        series = listing.get("series") if isinstance(listing, Mapping) else None
        described = beside.file("METADATA.ome.xml")
    except DocumentError as error:
        return _numbered(node, ()), (problem("OME021", "OME", f"the documents beside the images cannot be read: {error}", "correct them"),)
    names, problems = image_names(described)
    if isinstance(series, (list, tuple)):
        entries: list[JSON] = [{"path": path} for path in series]
        found, wrong = _listed(entries, "OME.series", kind="image")
        return tuple(_with_name(member, names[i : i + 1]) for i, member in enumerate(found)), (*problems, *wrong)
    return _numbered(node, names), tuple(problems)


def _numbered(node: Node, names: tuple[str | None, ...]) -> tuple[Member, ...]:
    def there() -> Iterator[Member]:
        for i in range(len(names) or MAX_PROBED):
            if not names and node.child(str(i)).kind != "group":
                return
            yield _with_name(Member(str(i), str(i), "image"), names[i : i + 1])

    return tuple(there())


def _with_name(member: Member, names: tuple[str | None, ...]) -> Member:
    about: Mapping[str, JSON] = {**member.about, "name": names[0]} if names and names[0] else member.about
    return Member(member.name, member.path, member.kind, about, member.holds)


def image_names(xml: bytes | None) -> tuple[tuple[str | None, ...], list[Problem]]:
    """Returns the name of every `Image` of an OME-XML, in its order; none with a problem for what is no XML or declares entities."""
    if xml is None:
        return (), []
    names: list[str | None] = []

    def start(tag: str, attributes: Mapping[str, str]) -> None:
        if tag.rpartition(" ")[2] == "Image" and len(names) < MAX_PROBED:
            names.append(attributes.get("Name"))

    def refuse(*_: object) -> None:
        raise DocumentError("declares a document type or entities")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(xml, True)
    except (expat.ExpatError, DocumentError) as error:
        return (), [problem("OME021", "OME/METADATA.ome.xml", f"cannot be read: {error}; the images are counted by their groups", "write it again")]
    return tuple(names), []


def _are_names(value: JSON) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)


_COLLECTIONS: Mapping[str, Callable[[Node, Mapping[str, JSON], str], _Found]] = MappingProxyType(
    {"plate": _plate, "bioformats2raw.layout": _images, "well": _well, LABELS: _labels}
)
"""Key -> what lists the members of its collection."""
