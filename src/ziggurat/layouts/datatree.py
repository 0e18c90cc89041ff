"""`datatree`: a tree of xarray datasets `scale0`, `scale1`, ..., as multiscale-spatial-image and `DataTree.to_zarr` write it.

Every data variable is a multiscale. Coordinates say where samples lie; `multiscales` beside them, in the form of OME-Zarr 0.4, repeats it,
and where the two disagree the coordinates win. A tree without any mark is read only when the layout is named. Source: formats.md 5.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ziggurat.layouts import coordinates as placed
from ziggurat.layouts import series as listed
from ziggurat.layouts.ports import Documents, Evidence, Facts
from ziggurat.layouts.rules import Repair, problem
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Multiscale
from ziggurat.node import Container, Node
from ziggurat.problems import DocumentError, LayoutError, Problem

NAME = "datatree"
VERSION = "1"
MARK = "multiscaleSpatialImageVersion"
RULES = listed.Rules(listed="DT001", datasets="DT001", path="DT002", local="DT002", array="DT003", order="DT006")
COORDINATES = placed.Rules(array="DT003", coordinate="DT004", irregular="DT005")
_FACTS = Facts(
    title="multiscale-spatial-image, and xarray's DataTree",
    marks=f"The attributes of a group hold `{MARK}`. A tree of groups `scale0`, `scale1`, ... with the same variables is read so when the layout is named.",
    geometry="One-dimensional arrays beside each image hold the coordinate of every sample's centre; they win over the scale and translation in `multiscales`.",
    axes="The dimension names of the base, with the `units` of their coordinates, else those of `axes` in `multiscales`.",
    keeps="Coordinates that are no straight line, words as coordinates, attributes of coordinates.",
    source="multiscale-spatial-image, README",
    software=("multiscale-spatial-image", "spatial-image", "xarray.DataTree"),
)
_KNOWN = frozenset({"version", "name", "type", "metadata", "datasets", "axes", "@type"})
_TOLERANCE = 1e-5
"""Of a step: what `multiscales` may differ from the coordinates by rounding."""


@dataclass(frozen=True, slots=True)
class DataTreeLayout:
    """`datatree@1`."""

    name: str = NAME
    versions: tuple[str, ...] = (VERSION,)
    facts: Facts = _FACTS
    keys: tuple[str, ...] = ("multiscales", MARK)
    mends: tuple[Repair, ...] = ("absent", "arrays", "offset", "order")

    def detect(self, node: Node) -> Evidence | None:
        return Evidence(f"{NAME}@{VERSION}", "declared", f"the attributes hold {MARK!r}") if MARK in node.attributes else None

    def guess(self, node: Node) -> Evidence | None:
        if node.kind != "group" or node.container == "n5":
            return None
        try:
            there = node.child("scale0").kind == "group"
        except DocumentError:
            there = False  # Whatever it is, nothing says that it is a level.
        return Evidence(f"{NAME}@{VERSION}", "inferred", "there is a group 'scale0'") if there else None

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        if "multiscales" not in node.attributes:
            return _read_tree(node)
        entries, problems = listed.readable(node.attributes["multiscales"], "multiscales", RULES)
        multiscales = []
        for entry in entries:
            multiscale, wrong = _read_entry(node, entry)
            multiscales.append(multiscale)
            problems += tuple(wrong)
        return tuple(multiscales), problems

    def can_hold(self, axes: Sequence[Axis], *, version: str = VERSION) -> str | None:
        """Any axes in any order, each by a name of its own: it becomes the name of an array."""
        _check_version(version)
        return placed.wrong_names(axes, "a DataTree")

    def containers(self, version: str = VERSION) -> tuple[Container, ...]:
        _check_version(version)
        return ("zarr2", "zarr3")

    def paths(self, multiscale: Multiscale, *, version: str = VERSION) -> tuple[str, ...] | None:
        """Each level lies in a dataset of its own."""
        _check_version(version)
        if multiscale.layout == f"{NAME}@{VERSION}":
            return tuple(level.path for level in multiscale.levels)
        variable = placed.plain_name(multiscale.name, "image", tuple(axis.name for axis in multiscale.axes))
        return tuple(f"scale{k}/{variable}" for k in range(multiscale.n_levels))

    def write(
        self, multiscales: Sequence[Multiscale], *, version: str = VERSION, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None
    ) -> Documents:
        _check_version(version)
        groups = [[level.path.rpartition("/")[0] for level in multiscale.levels] for multiscale in multiscales]
        small, differ = placed.agreed_coordinates(multiscales, groups)
        if differ:
            shown = ", ".join(map(repr, differ[:3]))
            raise LayoutError(f"{shown}: two multiscales want different coordinates there, and a dataset has one of each; write them into trees of their own")
        attributes: dict[str, dict[str, JSON]] = {"": dict(existing)}
        if multiscales or "multiscales" in existing:
            attributes[""]["multiscales"] = listed.merged(existing.get("multiscales"), [_written(multiscale) for multiscale in multiscales])
            attributes[""].setdefault(MARK, 1)
        for multiscale, paths in zip(multiscales, groups, strict=True):
            for level, group in zip(multiscale.levels, paths, strict=True):
                attributes.setdefault(group, {})
                attributes[level.path] = placed.named_dimensions(level, multiscale.axes)
        lost = [
            problem("LOSS002", f"multiscales[{i}]", "a DataTree has no words for a rotation", "take itk to keep it")
            for i, m in enumerate(multiscales)
            if m.world
        ]
        lost += [problem("LOSS003", "omero", "a DataTree cannot say how samples are to be shown", "take an ome-zarr layout to keep it")] if display else []
        return Documents(attributes, tuple(lost), arrays=small, consolidated=("",))

    def listing(self, multiscale: Multiscale) -> tuple[str, ...]:
        return listed.listing(multiscale)

    def retold(self, multiscale: Multiscale, paths: Sequence[str], *, anew: bool) -> Multiscale:
        return listed.relisted(multiscale, paths, without=("axes", "coordinateTransformations") if anew else ())

    def versioned(self, attributes: Mapping[str, JSON], multiscales: Sequence[Multiscale], version: str) -> tuple[Mapping[str, JSON], tuple[Multiscale, ...]]:
        return attributes, tuple(multiscales)  # the format has none


LAYOUT = DataTreeLayout()


def _check_version(version: str) -> None:
    if version != VERSION:
        raise LayoutError(f"{NAME}@{version}: no such version; there is {NAME}@{VERSION}")


# --- with `multiscales` --------------------------------------------------------------------------------------------------


def _read_entry(node: Node, entry: listed.Series) -> tuple[Multiscale, list[Problem]]:
    raw = entry.raw
    found, problems = [], []
    stated = []
    names = tuple(axis.name for axis in _stated_axes(raw))
    for j, path in enumerate(entry.paths):
        level, wrong = placed.find_level(node, path, f"{entry.loc}.datasets[{j}].path", COORDINATES, names=names)
        found.append(level)
        stated.append(stated_place(entry.datasets[j], level.array))
        problems += wrong
    problems += placed.order_problem(found, RULES.order)
    positions, coarse_first = listed.order([level.array for level in found])
    ranked = [found[j] for j in positions]
    axes = _with_stated(placed.axes_of(ranked), _stated_axes(raw))
    if names and axes and names != tuple(axis.name for axis in axes):
        message = f"names {', '.join(names)}; the arrays name {', '.join(axis.name for axis in axes)}, and the arrays win"
        problems.append(problem("DT007", f"{entry.loc}.axes", message, "write the axes in the order of the arrays"))
    levels, wrong = placed.levels_of(ranked, axes, COORDINATES, stated=[stated[j] for j in positions])
    problems += wrong
    problems += _disagreements(entry, found, stated, axes)
    extras = {
        path: {k: v for k, v in dataset.items() if k not in ("path", "coordinateTransformations")}
        for path, dataset in zip(entry.paths, entry.datasets, strict=True)
    }
    return Multiscale(
        levels=tuple(replace(level, extra=extras[level.path]) for level in levels),
        axes=axes,
        name=listed.same_text(raw.get("name")),
        type=listed.same_text(raw.get("type")),
        method=listed.as_object(raw.get("metadata")),
        layout=f"{NAME}@{VERSION}",
        coarse_first=coarse_first,
        extra={key: value for key, value in raw.items() if key not in _KNOWN},
        raw=raw,
    ), problems


def stated_place(dataset: Mapping[str, JSON], array: ArrayInfo | None) -> placed.Stated:
    """Returns the scale and the translation that a dataset states, each None unless it has one finite number per axis."""
    ndim = -1 if array is None else array.ndim
    found: dict[str, tuple[float, ...]] = {}
    for transform in listed.parts(dataset.get("coordinateTransformations")):
        kind = str(transform.get("type"))
        value = transform.get(kind)
        numbers = tuple(float(v) for v in value if isinstance(v, (int, float)) and math.isfinite(v)) if isinstance(value, (list, tuple)) else ()
        if kind in ("scale", "translation") and len(numbers) == ndim and (kind == "translation" or all(numbers)):
            found.setdefault(kind, numbers)
    return placed.Stated(found.get("scale"), found.get("translation"))


def _stated_axes(raw: Mapping[str, JSON]) -> tuple[Axis, ...]:
    entries = [entry for entry in listed.parts(raw.get("axes")) if isinstance(entry.get("name"), str)]
    return tuple(
        Axis(
            str(e["name"]),
            listed.same_text(e.get("type")),
            listed.same_text(e.get("unit")) or None,
            extra={k: v for k, v in e.items() if k not in ("name", "type", "unit")},
        )
        for e in entries
    )


def _with_stated(axes: Sequence[Axis], stated: Sequence[Axis]) -> tuple[Axis, ...]:
    """Returns the axes of the arrays with what the document adds to them."""
    by_name = {axis.name: axis for axis in stated}
    merged = []
    for axis in axes:
        other = by_name.get(axis.name, axis)
        merged.append(replace(axis, kind=other.kind or axis.kind, unit=axis.unit or other.unit, extra={**other.extra, **axis.extra}))
    return tuple(merged)


def _disagreements(entry: listed.Series, found: Sequence[placed.Found], stated: Sequence[placed.Stated], axes: Sequence[Axis]) -> list[Problem]:
    """Returns every number of `multiscales` that the coordinates contradict, both shown."""
    problems = []
    for j, (level, place) in enumerate(zip(found, stated, strict=True)):
        loc = f"{entry.loc}.datasets[{j}].coordinateTransformations"
        for i, axis in enumerate(axes):
            coordinate = level.coordinates.get(axis.name)
            if coordinate is None or coordinate.line is None:
                continue
            step = abs(coordinate.line.scale) or 1.0
            pairs = (("scale", place.scale, coordinate.line.scale), ("translation", place.translation, coordinate.line.translation))
            for word, said, true in pairs:
                if said is not None and (word == "translation" or true) and coordinate.line.is_straight and abs(said[i] - true) > _TOLERANCE * step:
                    message = f"axis {axis.name!r}: a {word} of {said[i]:g}, and the coordinates tell {true:g}; the coordinates win"
                    problems.append(problem("DT007", loc, message, "write what the coordinates tell"))
    return problems


# --- without -------------------------------------------------------------------------------------------------------------


def _read_tree(node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
    """Returns one multiscale per variable that several datasets of the tree hold with the same dimensions, in decreasing sizes."""
    held: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name in placed.names_below(node)[: listed.MAX_DATASETS]:
        try:
            child = node.child(name)
            for variable, dims in placed.variables(child) if child.kind == "group" else ():
                held.setdefault((variable, dims), []).append(f"{name}/{variable}")
        except DocumentError:
            continue  # An unreadable group is no level of anything.
    multiscales, problems = [], []
    for (variable, _), paths in held.items():
        found = []
        for path in paths:
            level, wrong = placed.find_level(node, path, path, COORDINATES)
            found.append(level)
            problems += wrong
        positions, coarse_first = listed.order([level.array for level in found])
        ranked = [found[j] for j in positions]
        problems += placed.order_problem(ranked, RULES.order)
        axes = placed.axes_of(ranked)
        levels, wrong = placed.levels_of(ranked, axes, COORDINATES)
        problems += wrong
        multiscales.append(Multiscale(levels, axes, name=variable, layout=f"{NAME}@{VERSION}", coarse_first=coarse_first))
    if not multiscales:
        problems.append(problem("DT001", "", "no group below holds an array with named dimensions", "name the layout that it is"))
    return tuple(multiscales), tuple(problems)


# --- writing -------------------------------------------------------------------------------------------------------------


def _written(multiscale: Multiscale) -> listed.Entry:
    """Returns the entry of one series; what was read from this layout changes only where the series did."""
    raw, same = multiscale.raw, bool(multiscale.raw) and multiscale.layout == f"{NAME}@{VERSION}"
    entry: listed.Entry = dict(raw) if same else {"@type": "ngff:Image", "version": "0.4"}
    listed.set_key(entry, "name", multiscale.name, listed.same_text(raw.get("name")) if same else None)
    if not same or tuple(axis.name for axis in _stated_axes(raw)) != tuple(axis.name for axis in multiscale.axes):
        entry["axes"] = [_axis_object(axis) for axis in multiscale.axes]
    before = list(listed.parts(raw.get("datasets"))) if same else []
    datasets: list[JSON] = []
    for level, dataset in listed.matched(multiscale, before, keep_order=same):
        said = stated_place(dataset, level.array) if dataset is not None else None
        if dataset is not None and said is not None and _says(said, level, multiscale.axes):
            datasets.append(dataset)
        else:
            datasets.append({"path": level.path, "coordinateTransformations": _transforms(level), **level.extra})
    entry["datasets"] = datasets
    listed.set_key(entry, "type", multiscale.type, listed.same_text(raw.get("type")) if same else None)
    listed.set_key(entry, "metadata", multiscale.method, listed.as_object(raw.get("metadata")) if same else None)
    entry.update({key: value for key, value in multiscale.extra.items() if key not in entry})
    return entry


def _says(said: placed.Stated, level: Level, axes: Sequence[Axis]) -> bool:
    """True when a dataset says what the level does, or stays silent about what nobody stated."""
    if level.array is None or level.scale is None or level.translation is None:
        return True
    pairs = ((said.scale, level.scale, level.scale_provenance), (said.translation, level.translation, level.translation_provenance))
    straight = [axis.name not in level.coordinates for axis in axes]
    return all(
        how != "stated"
        if numbers is None
        else all(abs(a - b) <= _TOLERANCE * abs(s) for a, b, s, on in zip(numbers, true, level.scale, straight, strict=True) if on)
        for numbers, true, how in pairs
    )


def _transforms(level: Level) -> list[JSON]:
    if level.scale is None or level.translation is None:
        return []
    return [{"type": "scale", "scale": list(level.scale)}, {"type": "translation", "translation": list(level.translation)}]


def _axis_object(axis: Axis) -> dict[str, JSON]:
    stated = {"name": axis.name, "type": axis.kind, "unit": axis.unit}
    return {key: value for key, value in stated.items() if value is not None}
