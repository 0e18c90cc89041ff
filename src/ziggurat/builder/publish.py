"""The last step: the group's documents, written by the layout, atomically, after every level was counted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from types import MappingProxyType

import numpy as np

from ziggurat import layouts, reductions, storage
from ziggurat.builder.site import Site
from ziggurat.builder.targets import Destination, coverage_name, kept_series, second_name
from ziggurat.chunkio import AnyArray, ChunkReader, read_region
from ziggurat.display.contrast import window
from ziggurat.geometry import AxisWindows
from ziggurat.model import JSON, ArrayInfo, Level, Multiscale
from ziggurat.node import loads
from ziggurat.planner import BuildPlan, LevelPlan
from ziggurat.storage.small import write_files, write_small_arrays

_SAMPLES_FOR_WINDOWS = 2**24
"""The coarsest level is read whole for its display window up to this many samples, else a part of it."""
_COLOURS = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")
_RGB = ("FF0000", "00FF00", "0000FF")


def multiscale_of(plan: BuildPlan, version: str) -> Multiscale:
    """Returns the multiscale as the model says it, with the method that `rebuild` and the geometry of v0.1 read."""
    levels = tuple(
        Level(
            path=level.path,
            scale=level.scale,
            translation=level.translation,
            scale_provenance="stated",
            translation_provenance="stated",
            array=ArrayInfo(
                shape=level.shape,
                dtype=level.dtype,
                chunks=level.chunks,
                shards=level.shards,
                dimension_names=tuple(a.name for a in plan.axes),
                zarr_format=plan.zarr_format,
                separator=plan.separator,
                itemsize=np.dtype(level.dtype).itemsize,
            ),
        )
        for level in plan.levels
    )
    kwargs: dict[str, JSON] = {
        "reduction": plan.reduction,
        "axes": [a.name for a in plan.axes],  # what the numbers below are in the order of, wherever the metadata is carried to
        **_steps(plan),
        "anchor": plan.anchor if isinstance(plan.anchor, str) else list(plan.anchor),
        "source": "base" if plan.composes else "previous",
        "kind": plan.kind,
        "chunks": list(plan.levels[0].chunks),
    }
    if plan.layout == "multiscales@0.1":  # which has no other place for them
        kwargs["scale"], kwargs["translation"] = list(plan.levels[0].scale), list(plan.levels[0].translation)
        kwargs["units"] = [a.unit for a in plan.axes]
    kwargs.update(_terms(plan))
    if plan.residual_base:
        kwargs["residual_base"] = plan.residual_base
    method: dict[str, JSON] = {"method": f"ziggurat.{plan.word}", "version": version, "args": [], "kwargs": kwargs}
    return Multiscale(levels, plan.axes, name=plan.name, type=plan.word, method=method, layout=plan.layout)


def _steps(plan: BuildPlan) -> dict[str, JSON]:
    """Returns how levels follow: by factors, each from the level before; by windows, each from the base."""
    if plan.is_resampled:
        return {"windows": [_windows(level) for level in plan.levels[1:]]}
    return {"factors": [list(level.factors) for level in plan.levels[1:]]}


def _windows(level: LevelPlan) -> list[JSON]:
    """Returns the windows of a level per axis, in samples of the base: a whole factor, an exact fraction, or the cuts between groups."""
    found: list[JSON] = []
    for w in level.windows or ():
        found.append({"edges": list(w.edges)} if w.edges else w.step if w.unit == 1 else {"step": [w.step, w.unit]})
    return found


def _terms(plan: BuildPlan) -> dict[str, JSON]:
    """Returns what was said of missing samples and weights, for whoever builds the same levels again."""
    found: dict[str, JSON] = {}
    if plan.nodata is not None:
        found["nodata"] = plan.nodata if math.isfinite(plan.nodata) else str(plan.nodata)
    if plan.missing is not None:
        found["nodata_mask"] = plan.missing
    if plan.min_valid is not None:
        found["min_valid"] = plan.min_valid
    if plan.weights is not None:
        found["weights"] = plan.weights
    if plan.coverage is not None:
        found["coverage"] = coverage_name(plan)
    return found


def _doubted(multiscale: Multiscale, unproven: Mapping[int, int]) -> Multiscale:
    """Returns the multiscale whose method says how many samples of each level are not proven, where there are any."""
    kwargs = multiscale.method["kwargs"] if multiscale.method else None
    if not unproven or not isinstance(kwargs, Mapping):
        return multiscale
    counts: list[JSON] = [unproven.get(k, 0) for k in range(multiscale.n_levels)]
    return replace(multiscale, method={**(multiscale.method or {}), "kwargs": {**kwargs, "unproven": counts}})


def _relative(level: LevelPlan, first: LevelPlan) -> tuple[AxisWindows, ...] | None:
    """Returns the windows of a level in samples of level 1, by their mean length."""
    if level.windows is None or first.windows is None:
        return None
    return tuple(AxisWindows.of_factor(b.n, a.factor / b.factor) for a, b in zip(level.windows, first.windows, strict=True))


def levels_of(plan: BuildPlan, version: str, unproven: Mapping[int, int]) -> tuple[Multiscale, ...]:
    """Returns the multiscale of the levels; two that share the base where there are two arrays of each level."""
    pair = reductions.find(plan.reduction).pair if plan.second is not None else None
    if pair is None:
        return (_doubted(multiscale_of(plan, version), unproven),)
    base, *others = plan.levels
    second = (base, *(replace(level, path=f"{plan.second}/{level.path}") for level in others))
    first = multiscale_of(replace(plan, reduction=pair[0]), version)
    return first, multiscale_of(replace(plan, reduction=pair[1], levels=second, name=second_name(plan), coverage=None), version)


def coverage_of(plan: BuildPlan, version: str) -> tuple[Multiscale, ...]:
    """Returns the multiscale of the valid shares of levels 1, 2, ..., where they are stored: it begins where the levels do."""
    if plan.coverage is None:
        return ()
    first = plan.levels[1]
    covered = tuple(replace(x, path=f"{plan.coverage}/{x.path}", windows=_relative(x, first)) for x in plan.levels[1:])
    whole = multiscale_of(replace(plan, levels=covered, coverage=None, residual_base=None, weights=None, missing=None, nodata=None, min_valid=None), version)
    levels = tuple(replace(x, array=replace(x.array, dtype="float32", itemsize=4) if x.array else None) for x in whole.levels)
    kwargs = whole.method["kwargs"] if whole.method else {}
    kept = dict(kwargs) if isinstance(kwargs, Mapping) else {}
    method: dict[str, JSON] = {"method": "ziggurat.coverage", "version": version, "args": [], "kwargs": {**kept, "of": plan.name}}
    return (replace(whole, levels=levels, name=coverage_name(plan), type="coverage", method=method),)


def publish(site: Site, destination: Destination, version: str, unproven: Mapping[int, int] = MappingProxyType({})) -> None:
    """Writes the group's documents: from here on readers see the multiscale. Raises StorageError, LayoutError.

    `unproven` says of how many samples of which level a bound on what is carried left the value unproven.
    """
    plan = site.plan
    write_said(site, _said(plan, destination, version, unproven, _display(site) if _is_shown(plan, destination) else None), site.paths)


def write_said(site: Site, written: layouts.Documents, paths: Sequence[str]) -> None:
    """Writes what a layout says of a group whose arrays lie at `paths`: what is below the group first. Raises StorageError."""
    write_small_arrays(site.store, site.prefix, written.arrays, site.plan.zarr_format)
    documents = _below_group(site, written, paths)
    group = written.attributes.get("")
    storage.write_documents(site.store, documents + (group_documents(site, group, built=True) if group is not None else []))
    if not site.plan.in_place:
        _copies(site, written, paths)
    write_files(site.store, site.prefix, written.files)


def rehearse(plan: BuildPlan, destination: Destination, version: str) -> None:
    """Raises LayoutError where the layout could not say what is to be built: before anything is written."""
    if not plan.layout.startswith(("ome-zarr@", "multiscales@")):
        _said(plan, destination, version, MappingProxyType({}), None)


def _is_shown(plan: BuildPlan, destination: Destination) -> bool:
    return plan.kind == "image" and plan.layout.startswith("ome-zarr") and not destination.series


def _said(plan: BuildPlan, destination: Destination, version: str, unproven: Mapping[int, int], display: Mapping[str, JSON] | None) -> layouts.Documents:
    """Returns what the layout writes of all series of the group."""
    made = [*levels_of(plan, version, unproven), *coverage_of(plan, version)]
    if not plan.layout.startswith(("ome-zarr@", "multiscales@")):  # never read from there: the layout holds it to all that it asks of a newcomer
        made = [replace(multiscale, layout="") for multiscale in made]
    series = [*kept_series(destination, plan), *made]
    return layouts.find(plan.layout).write(series, version=layouts.version_of(plan.layout), existing=destination.attributes, display=display)


def _below_group(site: Site, written: layouts.Documents, paths: Sequence[str]) -> list[tuple[str, JSON]]:
    """Returns the documents of what lies below the group: what the layout says of arrays and of groups of levels, and groups between without any."""
    found: dict[str, JSON] = dict(_parents(site, paths))
    arrays = frozenset(paths)
    for path, attributes in written.attributes.items():
        if not path:
            continue
        is_array = path in arrays
        name = "zarr.json" if site.plan.zarr_format == 3 else ".zarray" if is_array else ".zgroup"
        main, side = f"{site.prefix}{path}/{name}", f"{site.prefix}{path}/.zattrs"
        there = found.get(main) or _document(site, f"{path}/{name}") or _empty_group(site.plan)[1]
        held = there if isinstance(there, Mapping) else {}
        old = held.get("attributes") if site.plan.zarr_format == 3 else _document(site, f"{path}/.zattrs")
        whole = {**(old if isinstance(old, Mapping) else {}), **attributes}
        merged: JSON = {key: value for key, value in whole.items() if not (value is None and key in attributes)}
        if site.plan.zarr_format == 3:
            found[main] = {**held, "attributes": merged}
        else:
            found |= {main: held, side: merged} if not is_array else {side: merged}
    return list(found.items())


def _copies(site: Site, written: layouts.Documents, arrays: Sequence[str]) -> None:
    """Writes the consolidated copies that the layout asks for into a store of our own, the deepest first."""
    names = ("zarr.json",) if site.plan.zarr_format == 3 else (".zgroup", ".zarray", ".zattrs")
    paths = {*arrays, *written.arrays, *written.attributes, *_groups(arrays), ""}
    for group in sorted(written.consolidated, key=lambda path: -len(path)):
        start = f"{group}/" if group else ""
        below = sorted(path for path in paths if path == group or path.startswith(start))
        keys = [f"{path}/{name}" if path else name for path in below for name in names]
        found = {key[len(start) :]: document for key in keys if (document := _document(site, key)) is not None}
        if found:
            target = f"{start}zarr.json" if site.plan.zarr_format == 3 else f"{start}.zmetadata"
            storage.write_documents(site.store, [(f"{site.prefix}{target}", storage.consolidated(found))])


def group_documents(site: Site, attributes: Mapping[str, JSON], *, built: bool) -> list[tuple[str, JSON]]:
    """Returns the group's documents with new attributes, and its consolidated copies, where it has them, with the new levels if they are `built`."""
    return _group_v3(site, attributes, built=built) if site.plan.zarr_format == 3 else _group_v2(site, attributes, built=built)


def _parents(site: Site, paths: Sequence[str]) -> list[tuple[str, JSON]]:
    """Returns the documents of groups between the multiscale's group and its arrays, where there are none yet."""
    found: list[tuple[str, JSON]] = []
    for path in sorted(_groups(paths)):
        name, document = _empty_group(site.plan)
        key = f"{site.prefix}{path}/{name}"
        if site.store.get(key) is None:
            found.append((key, document))
    return found


def _groups(paths: Sequence[str]) -> set[str]:
    """Returns the paths of the groups between the multiscale's and its arrays."""
    return {str(p) for path in paths for p in PurePosixPath(path).parents if str(p) != "."}


def _empty_group(plan: BuildPlan) -> tuple[str, dict[str, JSON]]:
    if plan.zarr_format == 3:
        return "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {}}
    return ".zgroup", {"zarr_format": 2}


def _document(site: Site, name: str) -> dict[str, JSON] | None:
    data = site.store.get(site.prefix + name)
    if data is None:
        return None
    found = loads(bytes(data), site.prefix + name)
    return dict(found) if isinstance(found, Mapping) else None


def _group_v3(site: Site, attributes: Mapping[str, JSON], *, built: bool) -> list[tuple[str, JSON]]:
    document = _document(site, "zarr.json") or _empty_group(site.plan)[1]
    document["attributes"] = attributes
    block = document.get("consolidated_metadata")
    if isinstance(block, Mapping):
        listed = block.get("metadata")
        names = [f"{path}/zarr.json" for path in listed] if isinstance(listed, Mapping) else []
        document = storage.consolidated({"zarr.json": document} | _below(site, names, built=built))
    return [(f"{site.prefix}zarr.json", document)]


def _group_v2(site: Site, attributes: Mapping[str, JSON], *, built: bool) -> list[tuple[str, JSON]]:
    group = _document(site, ".zgroup")
    documents: list[tuple[str, JSON]] = [] if group is not None else [(f"{site.prefix}.zgroup", _empty_group(site.plan)[1])]
    documents.append((f"{site.prefix}.zattrs", attributes))
    old = _document(site, ".zmetadata")
    if old is not None:
        listed = old.get("metadata")
        names = list(listed) if isinstance(listed, Mapping) else []
        whole = {".zgroup": group or _empty_group(site.plan)[1], ".zattrs": attributes} | _below(site, names, built=built)
        documents.append((f"{site.prefix}.zmetadata", storage.consolidated(whole)))
    return documents


def _below(site: Site, names: Sequence[str], *, built: bool) -> dict[str, JSON]:
    """Returns the documents of the nodes that a consolidated copy lists, as they are now, and those of the new levels."""
    found: dict[str, JSON] = {}
    for name in names:
        if "/" in name and (document := _document(site, name)) is not None:
            found[name] = document
    if not built:
        return {name: document for name, document in found.items() if name.rpartition("/")[0] not in map(site.path, site.written)}
    for path in _groups(site.paths):
        name, document = _empty_group(site.plan)
        found.setdefault(f"{path}/{name}", document)
    for k in site.written:
        found.update({f"{site.path(k)}/{name}": document for name, document in site.documents(k).items()})
    return found


# --- how it is shown


def _display(site: Site) -> dict[str, JSON]:
    """Returns OME's `omero`: a window per channel from the coarsest level, a colour each."""
    plan = site.plan
    place = next((i for i, a in enumerate(plan.axes) if a.kind == "channel"), None)
    last = plan.n_levels - 1
    reader = site.reader(last) if last in site.written else None
    samples = _some_samples(reader) if reader is not None else np.zeros((1,) * len(plan.axes), plan.levels[last].dtype)
    n = 1 if place is None else plan.levels[0].shape[place]
    rgb = n == 3 and plan.levels[0].dtype == "uint8"
    channels: list[JSON] = []
    for c in range(n):
        part = samples if place is None else samples.take([min(c, samples.shape[place] - 1)], axis=place)
        colour = "FFFFFF" if n == 1 else (_RGB if rgb else _COLOURS)[c % (3 if rgb else len(_COLOURS))]
        channels.append({"active": True, "color": colour, "label": f"channel {c}", "window": window(part)})
    return {"channels": channels, "rdefs": {"model": "greyscale" if n == 1 else "color"}}


def _some_samples(reader: ChunkReader) -> AnyArray:
    """Returns the level, or as many rows of every axis as fit the limit."""
    shape, limit = list(reader.shape), _SAMPLES_FOR_WINDOWS
    while math.prod(shape) > limit:
        i = max(range(len(shape)), key=lambda a: shape[a])
        shape[i] = -(-shape[i] // 2)
    start = [(n - m) // 2 for n, m in zip(reader.shape, shape, strict=True)]
    return read_region(reader, tuple(slice(a, a + m) for a, m in zip(start, shape, strict=True)))
