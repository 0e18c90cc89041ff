"""GeoZarr by the zarr-conventions: `multiscales` with `spatial:` and `proj:`, version 0.1, and the drafts before it.

All generations say the same in other words: a list of levels, each with the level that it was made from and a transformation between the two.
`geozarr_items` brings all of them into the words of version 0.1; nothing here knows the difference. Written is 0.1, by `geozarr_write`.

The text of the convention leaves open whether a scale counts from the level below or from the first: the shapes of the arrays decide. `spatial:transform` is
absolute and wins. Source: formats.md 10.1 to 10.3, 10.7, 15.3; peers_geospatial.md 1c.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from ziggurat import geometry
from ziggurat.layouts import conventions, geozarr_write, grids
from ziggurat.layouts import series as listed
from ziggurat.layouts.geozarr_items import DRAFTS, VERSION, Generation, Item, Spatial, generation, items, relative, spatial_of
from ziggurat.layouts.ports import Documents, Evidence, Facts
from ziggurat.layouts.rules import Repair, problem
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Multiscale
from ziggurat.node import Container, Node, word
from ziggurat.problems import DocumentError, LayoutError, Problem

NAME = "geozarr"
_KNOWN = frozenset({"layout", "resampling_method", "name", "metadata"})


FACTS = Facts(
    title="GeoZarr (zarr-conventions multiscales)",
    marks="an object `multiscales` with a `layout`, and the UUID of the convention in `zarr_conventions`; drafts by their own keys",
    geometry="`spatial:transform` of a level: six affine coefficients from its outer corner, so centres lie half a step further. Without it, scale and "
    "translation count from the level it is derived from, or from the first one: the shapes of the arrays decide; corners coincide where the "
    "translation is 0",
    axes="dimension names of the arrays; `spatial:dimensions` says which two are y and x",
    keeps="reference systems (`proj:*`) travel as they are; a rotation stays in `spatial:transform`",
    source="zarr-conventions multiscales v0.1, spatial v0.1, proj v0.1",
    software=("zarr-cm", "geozarr-toolkit", "topozarr", "eopf-geozarr", "GDAL 3.13", "rio-tiler", "zarr-layer"),
)


@dataclass(frozen=True, slots=True)
class GeoZarrLayout:
    """`geozarr@0.1` and its drafts."""

    name: str = NAME
    versions: tuple[str, ...] = (*DRAFTS, VERSION)
    keys: tuple[str, ...] = ("multiscales",)
    facts: Facts = FACTS
    mends: tuple[Repair, ...] = ("absent", "arrays", "offset", "version")

    def detect(self, node: Node) -> Evidence | None:
        found = generation(node.attributes)
        return None if found is None else Evidence(f"{NAME}@{found.version}", "declared" if found.declared else "named", found.reason)

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        attributes = node.attributes
        found = generation(attributes) or Generation(VERSION, attributes.get("multiscales"), "multiscales", False, "asked for")
        listing, problems = items(found)
        multiscales: list[Multiscale] = []
        if listing:
            reading = _Reading(node, found, listing, spatial_of(attributes))
            multiscales, wrong = reading.multiscales(node)
            problems += wrong
        if found.version != VERSION:
            problems.append(problem("GZ016", found.loc, f"written as {found.reason}; later readers look for version {VERSION}", "convert it to geozarr"))
        return tuple(multiscales), tuple(problems)

    def can_hold(self, axes: Sequence[Axis], *, version: str = VERSION) -> str | None:
        """Any axes in any order; which are horizontal is said by name."""
        _check_version(version)
        return None

    def containers(self, version: str) -> tuple[Container, ...]:
        return ("zarr3", "zarr2") if version == VERSION else ()

    def paths(self, multiscale: Multiscale, *, version: str) -> None:
        return None

    def write(
        self, multiscales: Sequence[Multiscale], *, version: str = VERSION, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None
    ) -> Documents:
        _check_version(version)
        value = existing.get("multiscales")
        if not multiscales or _unchanged(multiscales, existing):
            return Documents({"": dict(existing)}, consolidated=("",))
        if value is not None and not (isinstance(value, Mapping) and "layout" in value):
            raise LayoutError(f"multiscales: the group holds {word(value)} of another layout there, and it is not overwritten; take a group of its own")
        return geozarr_write.written(multiscales, existing, display)

    def listing(self, multiscale: Multiscale) -> tuple[str, ...]:
        by_asset = {level.path.removesuffix(f"/{multiscale.name}"): level.path for level in multiscale.levels}
        return tuple(by_asset.get(text, text) for item in listed.parts(multiscale.raw.get("layout")) if (text := listed.same_text(item.get("asset"))))

    def retold(self, multiscale: Multiscale, paths: Sequence[str], *, anew: bool) -> Multiscale:
        return replace(multiscale, coarse_first=False, raw={})  # each level is told by the one before it, so all are told again

    def versioned(self, attributes: Mapping[str, JSON], multiscales: Sequence[Multiscale], version: str) -> tuple[Mapping[str, JSON], tuple[Multiscale, ...]]:
        """Every convention that is known by its UUID gets its name and the addresses of the released tag."""
        declared = attributes.get("zarr_conventions")
        if declared is not None and not isinstance(declared, (list, tuple)):
            return attributes, tuple(multiscales)
        return {**attributes, "zarr_conventions": conventions.worded(conventions.appended(declared, conventions.MULTISCALES))}, tuple(multiscales)


LAYOUT = GeoZarrLayout()


def _check_version(version: str) -> None:
    if version != VERSION:
        raise LayoutError(f"{NAME}@{version}: drafts are read, and {NAME}@{VERSION} is written; take that")


# --- reading ----------------------------------------------------------------------------------------------------------------


_Paths = tuple[str | None, tuple[str | None, ...], list[ArrayInfo | None]]
"""A series before it is read: its variable, and per level the path and the facts of its array."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """One group while it is read."""

    node: Node | None
    """None where only the attributes of the group are to be looked at."""
    found: Generation
    listing: list[Item]
    spatial: Spatial

    def multiscales(self, node: Node) -> tuple[list[Multiscale], list[Problem]]:
        problems: list[Problem] = []
        result = []
        try:
            found = grids.assets(node, [item.asset for item in self.listing])
        except DocumentError as error:
            return [], [problem("GZ005", f"{self.found.loc}.layout", f"a level cannot be read: {error}", "correct its metadata document")]
        for item, asset in zip(self.listing, found, strict=True):
            if asset.kind == "absent" or (asset.kind == "group" and not asset.variables):
                what = "nothing is there" if asset.kind == "absent" else "a group without arrays of two axes or more"
                problems.append(problem("GZ005", self._at(item), f"no samples at {asset.path!r} ({what})", "restore the level, or take it off the list"))
        series = [(variable, paths, grids.arrays_at(node, paths)) for variable, paths in grids.series_of(found)]
        for variable, paths, arrays in self._on_the_ground(series):
            missing = [i for i, (path, asset) in enumerate(zip(paths, found, strict=True)) if path is None and asset.variables and variable is not None]
            for i in missing:
                problems.append(problem("GZ014", self._at(self.listing[i]), f"has no array {variable!r}, which other levels have"))
            for i, (path, info) in enumerate(zip(paths, arrays, strict=True)):
                if path is not None and info is None:
                    problems.append(problem("GZ005", self._at(self.listing[i]), f"the array at {path!r} cannot be read", "correct its metadata document"))
            kept = [i for i, path in enumerate(paths) if path is not None]
            if any(arrays[i] is not None for i in kept):
                multiscale, wrong = self.multiscale(variable, [self.listing[i] for i in kept], [paths[i] or "" for i in kept], [arrays[i] for i in kept])
                result.append(multiscale)
                problems += wrong
        return result, problems

    def _on_the_ground(self, series: Sequence[_Paths]) -> list[_Paths]:
        """Returns the series that have both horizontal axes, all where none has: what else lies in the groups of levels is carried along with them."""
        stated = self.spatial.dimensions
        ground = tuple(map(str, stated)) if isinstance(stated, (list, tuple)) and len(stated) == 2 else None
        dims = [next((info.dimension_names for info in arrays if info is not None and info.dimension_names), ()) for _, _, arrays in series]
        if ground is None:
            names = [tuple(next((n for n in known if n in found), "") for known in (grids.Y_NAMES, grids.X_NAMES)) for found in dims]
            ground = next((pair for pair in names if all(pair)), None)
        kept = [one for one, found in zip(series, dims, strict=True) if ground is None or not found or set(ground) <= set(found)]
        return kept or list(series)

    def _at(self, item: Item) -> str:
        return f"{self.found.loc}.layout[{item.index}].asset"

    def multiscale(
        self,
        variable: str | None,
        listing: Sequence[Item],
        paths: Sequence[str],
        arrays: Sequence[ArrayInfo | None],
        axes: tuple[Axis, ...] | None = None,
    ) -> tuple[Multiscale, list[Problem]]:
        """Returns one series; `axes` where they are known already."""
        axes, inferred = (axes, "") if axes is not None else listed.named_axes(arrays)
        problems = [problem("GZ015", f"{self.found.loc}.layout", inferred)] if inferred else []
        pair = grids.horizontal(axes, self.spatial.dimensions)
        axes = grids.with_unit(axes, pair, grids.crs_unit(self.spatial.crs))
        value: Mapping[str, JSON] = self.found.value if isinstance(self.found.value, Mapping) else {}
        method = geozarr_write.own_method(listed.as_object(value.get("metadata")), variable)
        default = listed.same_text(value.get("resampling_method")) or next((item.method for item in listing if item.method is not None), None)
        default = default or geozarr_write.own_word(method)
        levels, wrong = relative(listing, paths, arrays, axes, pair, self.found.loc)
        levels, world, more = self._absolute(levels, listing, axes, pair)
        levels = [_with_method(level, item, default) for level, item in zip(levels, listing, strict=True)]
        ordered, coarse_first = grids.largest_first(levels)
        multiscale = Multiscale(
            levels=listed.placed(ordered, method, axes),
            axes=axes,
            name=variable if variable is not None else listed.same_text(value.get("name")),
            type=default,
            method=method,
            layout=f"{NAME}@{self.found.version}",
            coarse_first=coarse_first,
            world=None if pair is None else grids.whole_world(world, pair, len(axes)),
            extra={**{key: v for key, v in value.items() if key not in _KNOWN}, **self.spatial.crs},
            raw=value,
        )
        return multiscale, [*problems, *wrong, *more]

    def _absolute(
        self, levels: list[Level], listing: Sequence[Item], axes: Sequence[Axis], pair: tuple[int, int] | None
    ) -> tuple[list[Level], tuple[tuple[float, float], tuple[float, float]] | None, list[Problem]]:
        """Returns levels in world units: by `spatial:transform`, else by coordinate arrays, else by the size of a cell, else as they are."""
        if pair is None:
            return levels, None, []
        spots = [self._spot(item, level) for item, level in zip(listing, levels, strict=True)]
        first = next((spot for spot in spots if spot is not None), None)
        if first is None:
            return self._by_coordinates(levels, listing, axes, pair), None, []
        root = next(i for i, spot in enumerate(spots) if spot is not None)
        worlds = {spot.world for spot in spots if spot is not None}
        problems = []
        if len(worlds) > 1 and not _alike(worlds):
            problems.append(problem("GZ013", f"{self.found.loc}.layout", "the levels are rotated in different ways; the rotation of the first one is shown"))
        result = []
        for level, spot in zip(levels, spots, strict=True):
            if spot is not None:
                result.append(grids.with_spot(level, spot, pair, len(axes)))
            else:
                result.append(_in_world(level, levels[root], first, pair, len(axes)))
        return result, first.world, problems

    def _spot(self, item: Item, level: Level) -> grids.Spot | None:
        """Returns the absolute place of a level: the item's own, that of its array or group, or the group's where it is the first."""
        stated = item.raw.get("spatial:transform", item.raw.get("proj:transform"))
        node_registered = self.spatial.node_registered or item.raw.get("spatial:registration") == "node"
        if stated is None and self.node is not None and self._is_spatial(self.node):
            for path in dict.fromkeys((level.path, item.asset)):
                try:
                    attributes = self.node.child(path).attributes
                except DocumentError:
                    continue
                if "spatial:transform" in attributes:
                    stated = attributes["spatial:transform"]
                    node_registered = attributes.get("spatial:registration") == "node"
                    break
        if stated is None and item.source is None and item.scale in (None, (1.0,) * len(item.scale or ())):
            stated = self.spatial.transform
        return grids.spot_of(stated, node_registered=node_registered)

    def _is_spatial(self, node: Node) -> bool:
        """True when levels may have `spatial:` attributes of their own; otherwise they are not asked for any."""
        attributes = node.attributes
        return "spatial:dimensions" in attributes or conventions.declares(attributes.get("zarr_conventions"), conventions.SPATIAL)

    def _by_coordinates(self, levels: list[Level], listing: Sequence[Item], axes: Sequence[Axis], pair: tuple[int, int]) -> list[Level]:
        """Returns levels placed by coordinate arrays, which levels that are groups may have; else scaled by the cells' sizes of the OGC draft."""
        result = []
        for item, level in zip(listing, levels, strict=True):
            placed = level
            if level.path != item.asset and self.node is not None:
                placed = grids.placed_by_coordinates(self.node, level, axes)
            if placed is level and item.cell_size is not None:
                scale = list(level.scale or (1.0,) * len(axes))
                scale[pair[0]], scale[pair[1]] = item.cell_size
                shift = tuple((s - 1) / 2 if i in pair else t for i, (s, t) in enumerate(zip(scale, level.translation or (0.0,) * len(axes), strict=True)))
                placed = replace(level, scale=tuple(scale), scale_provenance="stated", translation=shift, translation_provenance="inferred")
            result.append(placed)
        base = next((item.cell_size for item in listing if item.cell_size is not None), None)
        if base is not None and all(level.translation_provenance == "inferred" for level in result):
            result = _corner_aligned(result, pair)
        return result


def _with_method(level: Level, item: Item, default: str | None) -> Level:
    """Returns a level that carries a method of its own."""
    return level if item.method in (None, default) else replace(level, extra={**level.extra, "resampling_method": item.method})


def _alike(worlds: set[tuple[tuple[float, float], tuple[float, float]] | None]) -> bool:
    """True when matrices differ by rounding alone."""
    flat = [tuple(v for row in world for v in row) for world in worlds if world is not None]
    return len(flat) == len(worlds) and all(math.isclose(a, b, abs_tol=1e-9) for other in flat for a, b in zip(flat[0], other, strict=True))


def _in_world(level: Level, root: Level, spot: grids.Spot, pair: tuple[int, int], ndim: int) -> Level:
    """Returns a level that has no absolute place of its own, from its place relative to one that has."""
    if level.scale is None or level.translation is None or root.scale is None or root.translation is None:
        return replace(level, scale=None, translation=None, scale_provenance="absent", translation_provenance="absent")
    scale, translation = [], []
    for axis, s0, t0 in zip(pair, spot.scale, spot.translation, strict=True):
        factor = Fraction(repr(level.scale[axis])) / Fraction(repr(root.scale[axis]))
        shift = (Fraction(repr(level.translation[axis])) - Fraction(repr(root.translation[axis]))) / Fraction(repr(root.scale[axis]))
        scale.append(float(Fraction(repr(s0)) * factor))
        translation.append(float(Fraction(repr(t0)) + Fraction(repr(s0)) * shift))
    placed = grids.with_spot(level, grids.Spot((scale[0], scale[1]), (translation[0], translation[1]), None), pair, ndim, level.translation_provenance)
    return replace(placed, scale_provenance=level.scale_provenance)


def _corner_aligned(levels: Sequence[Level], pair: tuple[int, int]) -> list[Level]:
    """Returns levels whose lower corners coincide with that of the finest, whose first sample is at 0, along the horizontal axes."""
    finest = min(levels, key=lambda level: abs((level.scale or (1.0,))[pair[1]] if level.scale else 1.0))
    result = []
    for level in levels:
        scale, base = level.scale or (), finest.scale or ()
        shift = [geometry.centre_of(geometry.corner_of(0.0, base[i]), s) if i in pair else (level.translation or ())[i] for i, s in enumerate(scale)]
        result.append(replace(level, translation=tuple(shift)))
    return result


# --- writing back -----------------------------------------------------------------------------------------------------------


def _unchanged(multiscales: Sequence[Multiscale], existing: Mapping[str, JSON]) -> bool:
    """True when the series are what a group of version 0.1 already says, so that writing them back must change nothing.

    What only coordinates of levels tell is not compared: no attribute holds it.
    """
    found = generation(existing)
    if found is None or found.version != VERSION or any(m.layout != f"{NAME}@{VERSION}" or m.raw != found.value for m in multiscales):
        return False
    listing, _ = items(found)
    return all(_same(multiscale, _Reading(None, found, listing, spatial_of(existing))) for multiscale in multiscales)


def _same(multiscale: Multiscale, reading: _Reading) -> bool:
    by_path = {level.path: level for level in multiscale.levels}
    kept: list[Item] = []
    levels: list[Level] = []
    for item in reading.listing:
        level = by_path.get(item.asset) or by_path.get(f"{item.asset}/{multiscale.name}")
        if level is not None:
            kept.append(item)
            levels.append(level)
    if len(levels) != multiscale.n_levels:
        return False
    again, _ = reading.multiscale(None, kept, [level.path for level in levels], [level.array for level in levels], multiscale.axes)
    same = (multiscale.type, multiscale.method, dict(multiscale.extra)) == (again.type, again.method, dict(again.extra))
    same = same and (multiscale.name in (None, again.name) or any(level.path.endswith(f"/{multiscale.name}") for level in levels))
    elsewhere = all(item.raw.get("spatial:transform") is None for item in kept) and reading.spatial.transform is None
    for ours, theirs in zip(multiscale.levels, again.levels, strict=True):
        placed = geozarr_write.close(ours.scale, theirs.scale) and geozarr_write.close(ours.translation, theirs.translation)
        if dict(ours.extra) != dict(theirs.extra) or not (placed or (elsewhere and ours.scale_provenance == "stated")):
            return False
    return same
