"""Label images: what a build below `<image>/labels` takes over from the image, and how the image comes to list it.

Source: formats.md 2.4, labels.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from types import MappingProxyType

import numpy as np

from ziggurat import layouts, storage
from ziggurat.builder.targets import Destination, LabelledImage, side_paths
from ziggurat.chunkio import ByteStore
from ziggurat.layouts.ome_facts import LABELS, NAME, VersionFacts
from ziggurat.model import JSON, Axis, Kind, Level, Multiscale, SourceInfo
from ziggurat.node import Node, loads, word
from ziggurat.planner import BuildOptions, BuildPlan
from ziggurat.planner.options import named_axes
from ziggurat.problems import DocumentError, NotFound, OptionError

_DOCUMENTS: Mapping[int, tuple[str, ...]] = MappingProxyType({2: (".zgroup", ".zarray", ".zattrs"), 3: ("zarr.json",)})


def labelled_image(destination: Destination) -> LabelledImage | None:
    """Returns the OME image that a destination `<image>/labels/<name>` belongs to; None where there is none.

    Raises DocumentError when the image's labels cannot be added to.
    """
    for root, prefix, name in _places(destination):
        node = storage.open_node(root)
        image = node.child(prefix) if prefix else node
        multiscale = _of_ome(image)
        if multiscale is not None:
            found = LabelledImage(root, f"{prefix}/" if prefix else "", name, image.location, multiscale)
            _listed(image.child(LABELS), found.facts)
            return found
    return None


def _of_ome(node: Node) -> Multiscale | None:
    """Returns the first multiscale of an OME image; None where there is none, or what is there cannot be read and so says nothing."""
    try:
        if node.kind != "group" or not layouts.holds_levels(node):
            return None
        series = layouts.read(node).multiscales
    except (DocumentError, NotFound):
        return None
    return series[0] if series and series[0].layout.startswith(f"{NAME}@") else None


def _places(destination: Destination) -> list[tuple[object, str, str]]:
    """Returns (root, path of the image in it, name of the label image) for every `labels` in the destination's path, the innermost first."""
    root, path = destination.root, destination.prefix
    if not path and isinstance(root, str | os.PathLike):
        whole = os.fspath(root).rstrip("/") if destination.folder is None else str(destination.folder)
        return [(head, "", name) for head, name in _cut(whole) if head.rstrip("/") and not head.endswith(":/")]
    return [(root, head, name) for head, name in _cut(path)]


def _cut(path: str) -> list[tuple[str, str]]:
    parts = path.replace(os.sep, "/").split("/")
    return [("/".join(parts[:i]), "/".join(parts[i + 1 :])) for i in range(len(parts) - 2, -1, -1) if parts[i] == LABELS]


def _listed(labels: Node, facts: VersionFacts) -> tuple[Mapping[str, JSON], list[JSON]]:
    """Returns the attributes of the group of labels and the names that it lists. Raises DocumentError when it is no such group."""
    if labels.kind == "array" or (labels.kind == "group" and labels.zarr_format != facts.zarr_format):
        found = "an array" if labels.kind == "array" else f"a group of Zarr v{labels.zarr_format}"
        raise DocumentError(
            f"{labels.location}: found {found}; the labels of an OME-Zarr {facts.version} image are listed by a group of Zarr v{facts.zarr_format}"
        )
    attributes = labels.attributes if labels.kind == "group" else {}
    block = attributes.get("ome", {}) if facts.wrapped else attributes
    if not isinstance(block, Mapping):
        raise DocumentError(f"{labels.location}: 'ome' is {word(block)}; expected an object, correct it before labels are added")
    names = block.get(LABELS, [])
    if not isinstance(names, list | tuple):
        raise DocumentError(f"{labels.location}: 'labels' is {word(names)}; expected a list of names, correct it before labels are added")
    return attributes, list(names)


# --- before planning: what follows from the image


def labelled(destination: Destination, image: LabelledImage) -> Destination:
    """Returns the destination whose attributes say of which image it holds the labels; what is said there already stays."""
    held = destination.attributes.get("ome", {}) if image.facts.wrapped else destination.attributes
    block = dict(held) if isinstance(held, Mapping) else {}
    said = block.get("image-label")
    version: dict[str, JSON] = {} if image.facts.axes == "systems" else {"version": image.facts.version}
    source: JSON = {"image": "../" * (len(PurePosixPath(image.name).parts) + 1)}
    block["image-label"] = {**version, "source": source, **(said if isinstance(said, Mapping) else {})}
    return replace(destination, image=image, attributes={**destination.attributes, "ome": block} if image.facts.wrapped else block)


def label_options(options: BuildOptions, info: SourceInfo, image: LabelledImage) -> BuildOptions:
    """Returns what was said, and what follows from the image where nothing was: kind, layout, axes, placement, levels.

    Raises OptionError when samples or shape cannot be labels of the image.
    """
    layout = options.layout or image.multiscale.layout
    if layout != image.multiscale.layout:
        raise OptionError(f"layout: the image {image.location} is {image.multiscale.layout}, and its labels must be too; found {layout!r}, leave layout out")
    options = replace(options, layout=layout, kind=_kind(options, info, image))
    axes = _axes(options, info, image)
    sizes = _sizes(axes, info, image)
    if options.axes is None and info.axes is None:
        options = replace(options, axes=axes)
    return _with_levels(_placed(options, info, axes, image), sizes, image)


def _kind(options: BuildOptions, info: SourceInfo, image: LabelledImage) -> Kind:
    dtype = np.dtype(options.dtype or info.array.dtype)
    if options.kind == "image":
        raise OptionError(f"kind: {image.name!r} lies below the labels of the image {image.location}, found kind='image'; say kind='labels', or another target")
    if dtype.kind not in ("iu" if image.facts.wrapped else "iub"):
        raise OptionError(
            f"kind: labels of the OME-Zarr {image.facts.version} image {image.location} are whole numbers, found {dtype.name}; store them as integers first"
        )
    return options.kind or ("mask" if dtype.kind == "b" else "labels")


def _axes(options: BuildOptions, info: SourceInfo, image: LabelledImage) -> tuple[Axis, ...]:
    """Returns the axes of the labels in the order of the source: as they are named, else as many of the image's as there are."""
    own, ndim = image.multiscale.axes, info.array.ndim
    if options.axes is not None:
        return named_axes(options.axes, ndim)
    if info.axes is not None:
        return info.axes
    choices = (own, [a for a in own if a.kind != "channel"], [a for a in own if a.kind == "space"])
    fitting = next((tuple(axes) for axes in choices if len(axes) == ndim), None)
    if fitting is None:
        names = ", ".join(a.name for a in own)
        raise OptionError(f"axes: the labels have shape {info.array.shape}, and the image {image.location} has the axes {names}; say axes=")
    return fitting


def _sizes(axes: Sequence[Axis], info: SourceInfo, image: LabelledImage) -> dict[str, int]:
    """Returns the length of the labels by axis. Raises OptionError for one that is neither the image's nor 1."""
    base = image.multiscale.levels[0].array
    whole = dict(zip((a.name for a in image.multiscale.axes), base.shape if base is not None else (), strict=False))
    sizes = dict(zip((a.name for a in axes), info.array.shape, strict=True))
    for name, n in sizes.items():
        if n not in (1, whole.get(name)):
            found = f"axis {name!r} of the labels has length {n}"
            wanted = f"{whole[name]} or 1" if name in whole else f"one of its axes {', '.join(whole)}"
            raise OptionError(f"source: {found}; labels of the image {image.location} have {wanted} there, so say axes=, or cut the labels as the image is")
    return sizes


def _placed(options: BuildOptions, info: SourceInfo, axes: Sequence[Axis], image: LabelledImage) -> BuildOptions:
    """Returns the options with the image's scale, translation and units where neither options nor source place the labels."""
    base = image.multiscale.levels[0]
    if options.scale is not None or info.scale is not None or base.scale is None or base.scale_provenance != "stated":
        return options
    names = {a.name for a in axes}
    own = image.multiscale.axes
    scale = {a.name: s for a, s in zip(own, base.scale, strict=True) if a.name in names}
    options = replace(options, scale=scale, unit=options.unit or {a.name: a.unit for a in own if a.unit is not None and a.name in names})
    if options.translation is None and info.translation is None and base.translation is not None:
        options = replace(options, translation={a.name: t for a, t in zip(own, base.translation, strict=True) if a.name in names})
    return options


def _with_levels(options: BuildOptions, sizes: Mapping[str, int], image: LabelledImage) -> BuildOptions:
    """Returns the options with the image's levels and its factors. Raises OptionError where they are not whole."""
    if not all(said is None for said in (options.levels, options.factors, options.level_shapes, options.level_scales, options.groups)):
        return options
    levels = image.multiscale.levels
    if len(levels) == 1:
        return replace(options, levels=1)
    names = [a.name for a in image.multiscale.axes]
    steps = [_step(fine, coarse) for fine, coarse in itertools.pairwise(levels)]
    ladder = [{n: f for n, f in zip(names, step, strict=True) if sizes.get(n, 1) > 1} for step in steps if step is not None]
    if len(ladder) == len(steps) and all(any(f > 1 for f in step.values()) for step in ladder):
        return replace(options, factors=ladder)
    raise OptionError(f"factors: the levels of the image {image.location} do not follow by whole factors, so its labels cannot either; say factors= or levels=")


def _step(fine: Level, coarse: Level) -> tuple[int, ...] | None:
    """Returns the whole factors between two levels that sizes, rounded up or down, and scales agree on; None when there are none."""
    if fine.array is None or coarse.array is None or fine.array.ndim != coarse.array.ndim:
        return None
    told = fine.scale is not None and coarse.scale is not None
    ratios = [b / a for a, b in zip(fine.scale or (), coarse.scale or (), strict=True)] if told else []
    ratios = ratios or [n / m for n, m in zip(fine.array.shape, coarse.array.shape, strict=True)]
    step = tuple(max(1, round(ratio)) for ratio in ratios)
    whole = all(m in (n // f, -(-n // f)) for n, f, m in zip(fine.array.shape, step, coarse.array.shape, strict=True))
    return step if whole else None


# --- after publishing: the image lists it


def enlist(image: LabelledImage, plan: BuildPlan) -> None:
    """Adds the label image to the list of the image's labels, and to the consolidated copies that the groups above it keep.

    The label image is whole by then; the list is written before any copy of it, so that a reader sees the past or what is there.
    Raises StorageError, DocumentError.
    """
    node = storage.open_node(image.root)
    labels = node.child(f"{image.prefix}{LABELS}")
    attributes, names = _listed(labels, image.facts)
    store = storage.open_store(image.root, writable=True, durability=plan.durability)
    home = f"{image.prefix}{LABELS}/"
    inner = [str(p) for p in reversed(PurePosixPath(image.name).parents) if str(p) != "."]
    documents = [pair for path in inner for pair in _missing_group(store, f"{home}{path}/", image.facts)]
    if image.name not in names:
        documents += _missing_group(store, home, image.facts)
        documents.append(_with_attributes(store, home, _with_names(attributes, [*names, image.name], image.facts), image.facts))
    storage.write_documents(store, documents)
    arrays = [f"{image.name}/{path}" for path in (*(level.path for level in plan.levels), *side_paths(plan))]
    below = sorted({str(p) for path in arrays for p in (PurePosixPath(path), *PurePosixPath(path).parents) if str(p) != "."})
    _copy_again(store, home, below, image.facts)
    _copy_again(store, image.prefix, [LABELS, *(f"{LABELS}/{path}" for path in below)], image.facts)


def _with_names(attributes: Mapping[str, JSON], names: list[JSON], facts: VersionFacts) -> dict[str, JSON]:
    if not facts.wrapped:
        return {**attributes, LABELS: names}
    block = attributes.get("ome")
    return {**attributes, "ome": {"version": facts.version, **(block if isinstance(block, Mapping) else {}), LABELS: names}}


def _document(store: ByteStore, key: str) -> dict[str, JSON] | None:
    data = store.get(key)
    found = None if data is None else loads(bytes(data), key)
    return dict(found) if isinstance(found, Mapping) else None


def _missing_group(store: ByteStore, home: str, facts: VersionFacts) -> list[tuple[str, JSON]]:
    name = ".zgroup" if facts.zarr_format == 2 else "zarr.json"
    document: JSON = {"zarr_format": 2} if facts.zarr_format == 2 else {"zarr_format": 3, "node_type": "group", "attributes": {}}
    return [] if store.get(home + name) is not None else [(home + name, document)]


def _with_attributes(store: ByteStore, home: str, attributes: Mapping[str, JSON], facts: VersionFacts) -> tuple[str, JSON]:
    if facts.zarr_format == 2:
        return f"{home}.zattrs", attributes
    document = _document(store, f"{home}zarr.json") or {"zarr_format": 3, "node_type": "group"}
    return f"{home}zarr.json", {**document, "attributes": attributes}


def _copy_again(store: ByteStore, home: str, added: Sequence[str], facts: VersionFacts) -> None:
    """Writes the consolidated copy of a group anew, with the nodes `added` below it, where it keeps one."""
    name = ".zmetadata" if facts.zarr_format == 2 else "zarr.json"
    document = _document(store, home + name) or {}
    block = document if facts.zarr_format == 2 else document.get("consolidated_metadata")
    listed = block.get("metadata") if isinstance(block, Mapping) else None
    if not isinstance(listed, Mapping):
        return
    suffix = "" if facts.zarr_format == 2 else "/zarr.json"
    own = (".zgroup", ".zattrs") if facts.zarr_format == 2 else ("zarr.json",)
    keys = dict.fromkeys([*own, *(f"{key}{suffix}" for key in listed), *(f"{path}/{part}" for path in added for part in _DOCUMENTS[facts.zarr_format])])
    found = {key: held for key in keys if (held := _document(store, home + key)) is not None}
    storage.write_documents(store, [(home + name, storage.consolidated(found))])
