"""Lists of levels that are groups of an xarray dataset each: ndpyramid for web maps, and the early GeoZarr text. Read only.

Web-map levels say their zoom: the whole world in `2 ** level * pixels_per_tile` samples per side, coarsest first. All others are placed by the
coordinates of their groups. Source: formats.md 10.5, 10.6.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple

from ziggurat import geometry
from ziggurat.layouts import grids
from ziggurat.layouts import series as listed
from ziggurat.layouts.ports import Documents, Evidence, Facts
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Multiscale
from ziggurat.node import Node, resolve, word
from ziggurat.problems import DocumentError, LayoutError, PathError, Problem

NAME = "ndpyramid"
VERSION = "0.4"
EARLY = "geozarr-early"
MAX_DATASETS = 256
MAX_SERIES = 64
_KNOWN = frozenset({"datasets", "name", "type", "metadata"})
_WORLDS: Mapping[str, tuple[float, float, float, float]] = MappingProxyType(
    {"EPSG:3857": (20037508.342789244, -20037508.342789244, -20037508.342789244, 20037508.342789244), "EPSG:4326": (90.0, -180.0, -90.0, 180.0)}
)
"""Outer corners of web maps: y, x of the first sample, y, x of the last. Source: formats.md 10.6."""

FACTS = Facts(
    title="ndpyramid (web maps of @carbonplan/maps)",
    marks="a list `multiscales` whose datasets say `pixels_per_tile`, or whose method is one of `pyramid_*`; levels are groups",
    geometry="web maps: the whole world in 2 to the power of `level` times `pixels_per_tile` samples; others: coordinates of each level, which are centres",
    axes="`_ARRAY_DIMENSIONS` of the variables; one multiscale per variable",
    keeps="the call that made the pyramid, as it is; coarsest level first",
    source="ndpyramid 0.4",
    software=("ndpyramid", "@carbonplan/maps", "zarr-layer"),
)
EARLY_FACTS = replace(
    FACTS,
    title="Early GeoZarr (2023)",
    marks="a list `multiscales` whose datasets say `level` and `crs`, on a group or on one of its arrays; `.` is the level of the list itself",
    geometry="coordinates of each level, which are centres",
    source="geozarr-spec 2023, multiscales",
    software=(),
)


class _Entry(NamedTuple):
    """One list of levels, and the paths that can be read of it."""

    loc: str
    raw: Mapping[str, JSON]
    datasets: list[tuple[int, str, Mapping[str, JSON]]]
    """Number in the list, path (empty: the group itself), and the object."""


@dataclass(frozen=True, slots=True)
class GroupListLayout:
    """`ndpyramid@0.4`, or `geozarr-early@2023`: the two differ in what they are recognised by."""

    name: str
    versions: tuple[str, ...]
    facts: Facts

    def detect(self, node: Node) -> Evidence | None:
        held = _held(node)
        if held is None:
            return None
        value, variable = held
        entries = list(listed.parts(value))
        datasets = [dataset for entry in entries for dataset in listed.parts(entry.get("datasets"))]
        tiled = any("pixels_per_tile" in dataset for dataset in datasets) or any(_method(entry).startswith("pyramid_") for entry in entries)
        early = not tiled and any("level" in dataset and "crs" in dataset for dataset in datasets)
        if variable is not None and not early:
            return None
        if tiled and self.name == NAME:
            return Evidence(self._id, "declared", "'multiscales' says how ndpyramid was called, or pixels per tile")
        if early and self.name == EARLY:
            where = "'multiscales'" if variable is None else f"the array {variable!r}"
            return Evidence(self._id, "declared", f"{where} lists levels with 'level' and 'crs'")
        return None

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        held = _held(node)
        value, variable = held if held is not None else (node.attributes.get("multiscales"), None)
        entries, problems = _entries(value)
        result: list[Multiscale] = []
        for entry in entries:
            series, wrong = _series(node, entry, variable, self._id)
            result += series
            problems += wrong
        return tuple(result), tuple(problems)

    @property
    def _id(self) -> str:
        return f"{self.name}@{self.versions[-1]}"

    def can_hold(self, axes: Sequence[Axis], *, version: str = VERSION) -> str | None:
        return f"{self.name} is only read; take geozarr"

    def write(
        self, multiscales: Sequence[Multiscale], *, version: str = VERSION, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None
    ) -> Documents:
        raise LayoutError(f"{self.name}@{version} is only read; take geozarr@0.1")


LAYOUT = GroupListLayout(NAME, (VERSION,), FACTS)
EARLY_LAYOUT = GroupListLayout(EARLY, ("2023",), EARLY_FACTS)


def _held(node: Node) -> tuple[JSON, str | None] | None:
    """Returns the list of levels and the array that carries it, None for the group; arrays are found in the consolidated copy alone."""
    value = node.attributes.get("multiscales")
    if isinstance(value, (list, tuple)):
        return value, None
    if value is not None or not (node.container == "zarr3" or "Conventions" in node.attributes) or node.kind != "group":
        return None  # in Zarr v2 the copy is a document of its own: only what follows CF is asked for it
    suffix = ".zattrs" if node.zarr_format == 2 else "zarr.json"
    for key, document in (node.consolidated() or {}).items():
        path, _, name = key.rpartition("/")
        if name != suffix or not path or "/" in path:
            continue
        attributes = document if suffix == ".zattrs" else document.get("attributes")
        held = attributes.get("multiscales") if isinstance(attributes, Mapping) else None
        if isinstance(held, (list, tuple)) and any("crs" in dataset for entry in listed.parts(held) for dataset in listed.parts(entry.get("datasets"))):
            return held, path
    return None


def _method(entry: Mapping[str, JSON]) -> str:
    metadata = entry.get("metadata")
    return str(metadata.get("method", "")) if isinstance(metadata, Mapping) else ""


def _entries(value: JSON) -> tuple[list[_Entry], list[Problem]]:
    if not isinstance(value, (list, tuple)) or not value:
        return [], [problem("GZ040", "multiscales", f"found {word(value)}; expected a list of at least one object with 'datasets'")]
    entries: list[_Entry] = []
    problems: list[Problem] = []
    for i, raw in enumerate(value[:MAX_SERIES]):
        loc = f"multiscales[{i}]"
        datasets = raw.get("datasets") if isinstance(raw, Mapping) else None
        if not isinstance(raw, Mapping) or not isinstance(datasets, (list, tuple)) or not 0 < len(datasets) <= MAX_DATASETS:
            problems.append(problem("GZ040", f"{loc}.datasets", f"found {word(datasets)}; expected a list of 1 to {MAX_DATASETS} objects"))
            continue
        found = []
        for j, dataset in enumerate(datasets):
            path, wrong = _path(dataset, f"{loc}.datasets[{j}]")
            problems += wrong
            if path is not None and isinstance(dataset, Mapping):
                found.append((j, path, dataset))
        entries.append(_Entry(loc, raw, found))
    return entries, problems


def _path(dataset: JSON, where: str) -> tuple[str | None, list[Problem]]:
    path = dataset.get("path") if isinstance(dataset, Mapping) else None
    if not isinstance(path, str):
        return None, [problem("GZ041", f"{where}.path", f"found {word(path)}; expected a string", "name the group of the level")]
    if path in (".", "./"):
        return "", []
    try:
        return resolve(path, "path"), []
    except PathError as error:
        return None, [problem("GZ041", f"{where}.path", str(error).removeprefix("path "), "move or copy the level below the group")]


def _series(node: Node, entry: _Entry, variable: str | None, layout: str) -> tuple[list[Multiscale], list[Problem]]:
    problems: list[Problem] = []
    try:
        found = grids.assets(node, [path for _, path, _ in entry.datasets])
    except DocumentError as error:
        return [], [problem("GZ042", f"{entry.loc}.datasets", f"a level cannot be read: {error}", "correct its metadata document")]
    for (j, _, _), asset in zip(entry.datasets, found, strict=True):
        if asset.kind != "array" and not asset.variables:
            message = f"no samples at {asset.path or '.'!r} (found {'nothing' if asset.kind == 'absent' else 'a group without arrays of two axes or more'})"
            problems.append(problem("GZ042", f"{entry.loc}.datasets[{j}].path", message, "restore the level, or take it off the list"))
    result: list[Multiscale] = []
    for name, paths in grids.series_of(found):
        if variable is not None and name != variable:
            continue
        multiscale, wrong = _multiscale(node, entry, name, paths, layout)
        problems += wrong
        result += [multiscale] if multiscale is not None else []
    return result, problems


def _multiscale(node: Node, entry: _Entry, name: str | None, paths: Sequence[str | None], layout: str) -> tuple[Multiscale | None, list[Problem]]:
    arrays = grids.arrays_at(node, paths)
    if not any(arrays):
        return None, []
    axes, _ = listed.named_axes(arrays)
    pair = grids.horizontal(axes)
    crs = next((str(dataset["crs"]) for _, _, dataset in entry.datasets if isinstance(dataset.get("crs"), str)), None)
    levels: list[Level] = []
    problems: list[Problem] = []
    for (j, _, dataset), path, info in zip(entry.datasets, paths, arrays, strict=True):
        if path is None:
            continue
        level = Level(path, array=info, extra={key: v for key, v in dataset.items() if key != "path"})
        spot, wrong = _web_spot(dataset, info, pair, f"{entry.loc}.datasets[{j}]")
        problems += wrong
        if spot is not None and pair is not None:
            level = grids.with_spot(level, spot, pair, len(axes))
        elif info is not None and info.ndim == len(axes):
            level = grids.placed_by_coordinates(node, level, axes)
        levels.append(level)
    ordered, coarse_first = grids.largest_first(levels)
    extra = {key: v for key, v in entry.raw.items() if key not in _KNOWN}
    if crs is not None:
        extra["proj:code"] = crs
    method = listed.as_object(entry.raw.get("metadata"))
    axes = grids.with_unit(axes, pair, grids.crs_unit({"proj:code": crs} if crs is not None else {}))
    multiscale = Multiscale(
        levels=listed.placed(ordered, None, axes),
        axes=axes,
        name=name if name is not None else listed.same_text(entry.raw.get("name")),
        type=listed.same_text(entry.raw.get("type")),
        method=method,
        layout=layout,
        coarse_first=coarse_first,
        extra=extra,
        raw=entry.raw,
    )
    return multiscale, problems


def _web_spot(dataset: Mapping[str, JSON], info: ArrayInfo | None, pair: tuple[int, int] | None, loc: str) -> tuple[grids.Spot | None, list[Problem]]:
    """Returns where a level of a web map lies: it covers the world, so that its size gives the step. None for a level that is no web map's."""
    tile, zoom = dataset.get("pixels_per_tile"), dataset.get("level", dataset.get("path"))
    world = _WORLDS.get(str(dataset.get("crs")))
    if not isinstance(tile, int) or world is None or info is None or pair is None or info.ndim <= max(pair):
        return None, []
    sizes = (info.shape[pair[0]], info.shape[pair[1]])
    if 0 in sizes:
        return None, []
    problems = []
    if isinstance(zoom, str):
        zoom = int(zoom) if zoom.isdecimal() and len(zoom) < 4 else None
    if isinstance(zoom, int) and 0 <= zoom < 64 and sizes != (tile << zoom, tile << zoom):
        message = f"found {list(sizes)} samples; zoom {zoom} with {tile} pixels per tile has {[tile << zoom] * 2}"
        problems.append(problem("GZ043", f"{loc}.pixels_per_tile", message))
    top, left, bottom, right = (Fraction(repr(v)) for v in world)
    step = float((bottom - top) / sizes[0]), float((right - left) / sizes[1])
    place = geometry.centre_of(world[0], step[0]), geometry.centre_of(world[1], step[1])
    return (grids.Spot(step, place, None) if all(map(math.isfinite, step)) else None), problems
