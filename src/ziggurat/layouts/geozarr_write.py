"""Writing `geozarr@0.1`: the attributes of a group from series of any layout. Source: formats.md 10.1 (writing rule), 10.7; peers_geospatial.md 1c."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from ziggurat import geometry
from ziggurat.layouts import conventions, grids
from ziggurat.layouts.geozarr_items import ITEM_KEYS
from ziggurat.layouts.ports import Documents, SmallArray
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, Level, Multiscale
from ziggurat.node import MAX_VALUES
from ziggurat.problems import Problem

OWN = "ziggurat."
"""What the names of our own methods begin with: only these are read."""
SPATIAL_KEYS = ("spatial:dimensions", "spatial:registration", "spatial:transform", "spatial:transform_type", "spatial:shape", "spatial:bbox")


@dataclass(frozen=True, slots=True)
class _Horizontal:
    """The two axes that lie on the ground."""

    y: int
    x: int
    names: tuple[str, str]

    @property
    def pair(self) -> tuple[int, int]:
        return self.y, self.x


def written(multiscales: Sequence[Multiscale], existing: Mapping[str, JSON], display: Mapping[str, JSON] | None) -> Documents:
    """Returns the documents of a group whose levels are described anew.

    Several series are one layout where they are the variables of the same level groups; otherwise only the first fits, and the others are
    reported. Where levels lie in groups of their own, these get the coordinates of their axes, so that xarray opens each level in its place.
    """
    first = multiscales[0]
    paths, others = _shared(multiscales)
    horizontal = _horizontal(first)
    lost = [
        problem("LOSS006", f"multiscales[{i}]", "a group holds one layout, and this series does not share its levels", "write it to another group")
        for i in others
    ]
    crs = {key: first.extra[key] for key in grids.CRS_KEYS if key in first.extra}
    attributes = {key: value for key, value in existing.items() if key not in SPATIAL_KEYS}
    attributes["zarr_conventions"] = conventions.appended(existing.get("zarr_conventions"), conventions.MULTISCALES)
    if crs:
        attributes["zarr_conventions"] = conventions.appended(attributes["zarr_conventions"], conventions.PROJ)
        attributes.update(crs)
    if horizontal is not None:
        attributes["zarr_conventions"] = conventions.appended(attributes["zarr_conventions"], conventions.SPATIAL)
        attributes.update(_spatial(first, horizontal))
    attributes["multiscales"] = _object(_together(multiscales, others), paths, horizontal)
    lost += _lost(first, horizontal, has_groups=_in_groups(first, paths), crs=crs)
    if display:
        lost.append(problem("LOSS003", "omero", "GeoZarr cannot say how samples are to be shown", "take an ome-zarr layout to keep it"))
    documents = {"": attributes}
    arrays: dict[str, SmallArray] = {}
    if _in_groups(first, paths):
        for path, level in zip(paths, first.levels, strict=True):
            documents[path] = _of_level_group(level, horizontal, crs, first.world)
        for i, one in enumerate(multiscales):
            for path, level in zip(paths, one.levels, strict=False) if i not in others else ():
                arrays = {**_coordinates(path, level, one), **arrays}
    return Documents(documents, tuple(lost), arrays, consolidated=("",))


def _shared(multiscales: Sequence[Multiscale]) -> tuple[tuple[str, ...], list[int]]:
    """Returns the asset of each level of the first series, and which other series have no place beside it."""
    first = multiscales[0]
    own = tuple(level.path for level in first.levels)
    groups = tuple(path.rpartition("/")[0] for path in own)
    one_variable = len({path.rpartition("/")[2] for path in own}) == 1
    if not one_variable or "" in groups or len(set(groups)) != len(groups):
        return own, list(range(1, len(multiscales)))
    others = []
    for i, other in enumerate(multiscales[1:], 1):
        fits = len({level.path.rpartition("/")[2] for level in other.levels}) == 1
        if not fits or [level.path.rpartition("/")[0] for level in other.levels] != list(groups) or not _alike(first, other):
            others.append(i)
    return groups, others


def _alike(first: Multiscale, other: Multiscale) -> bool:
    """True when the axes that two series share have the same length and lie at the same places at every level."""
    shared = [(i, j) for i, axis in enumerate(first.axes) for j, theirs in enumerate(other.axes) if axis.name == theirs.name]
    for a, b in zip(first.levels, other.levels, strict=True):
        if a.scale is None or a.translation is None or b.scale is None or b.translation is None or a.array is None or b.array is None:
            if (a.scale, a.translation) != (b.scale, b.translation) or first.ndim != other.ndim:
                return False
            continue
        facts = ((a.array.shape, b.array.shape), (a.scale, b.scale), (a.translation, b.translation))
        if any(ours[i] != theirs[j] for ours, theirs in facts for i, j in shared):
            return False
    return True


def _together(multiscales: Sequence[Multiscale], others: Sequence[int]) -> Multiscale:
    """Returns the first series with what is to be said of all that share its levels: where their methods differ, that of each by its name."""
    first = multiscales[0]
    shared = [m for i, m in enumerate(multiscales) if i not in others]
    named: dict[str, JSON] = {m.levels[0].path.rpartition("/")[2]: m.method for m in shared if m.method is not None}
    if len(shared) < 2 or all(m.method == first.method and m.type == first.type for m in shared) or len(named) < len(shared):
        return first
    version = first.method.get("version") if first.method is not None else None
    whole: dict[str, JSON] = {"method": f"{OWN}dataset", "version": version, "args": [], "kwargs": {"variables": named}}
    return replace(first, method=whole, type=first.type if len({m.type for m in shared}) == 1 else None)


def own_method(method: Mapping[str, JSON] | None, variable: str | None) -> Mapping[str, JSON] | None:
    """Returns what a group's `metadata` says of one variable: all of it, unless we wrote one for each by name."""
    if method is None or variable is None or method.get("method") != f"{OWN}dataset":
        return method
    kwargs = method.get("kwargs")
    variables = kwargs.get("variables") if isinstance(kwargs, Mapping) else None
    found = variables.get(variable) if isinstance(variables, Mapping) else None
    return found if isinstance(found, Mapping) else method


def own_word(method: Mapping[str, JSON] | None) -> str | None:
    """Returns the name of the reduction of a method that we wrote."""
    name = method.get("method") if method is not None else None
    return name.removeprefix(OWN) if isinstance(name, str) and name.startswith(OWN) else None


def _in_groups(multiscale: Multiscale, paths: Sequence[str]) -> bool:
    return any(path != level.path for path, level in zip(paths, multiscale.levels, strict=True))


def _horizontal(multiscale: Multiscale) -> _Horizontal | None:
    pair = grids.horizontal(multiscale.axes)
    if pair is None or any(_is_uneven(level, multiscale.axes[i].name) for level in multiscale.levels for i in pair):
        return None  # no affine transformation says where such cells are: their coordinates do
    world = multiscale.world
    if world is not None:
        rows = [list(row) for row in world]
        for i, row in enumerate(rows):
            if any(value != float(i == j) for j, value in enumerate(row) if i not in pair or j not in pair):
                return None
    return _Horizontal(*pair, (multiscale.axes[pair[0]].name, multiscale.axes[pair[1]].name))


def _is_uneven(level: Level, axis: str) -> bool:
    """True when the cells of a level are no straight line along an axis, but for a last, partial one."""
    numbers = [float(v) for v in level.coordinates.get(axis, ()) if isinstance(v, (int, float))]
    inner = geometry.line(numbers[:-1]) if len(numbers) > 2 else None
    return inner is not None and not inner.is_straight


def affine(level: Level, horizontal: tuple[int, int], world: tuple[tuple[float, ...], ...] | None) -> list[float] | None:
    """Returns the six coefficients of a level from its outer corner: the inverse of `grids.spot_of`. None for a level without a place."""
    if level.scale is None or level.translation is None:
        return None
    y, x = horizontal
    (sy, sx), (ty, tx) = (level.scale[y], level.scale[x]), (level.translation[y], level.translation[x])
    if world is None:
        return [sx, 0.0, geometry.corner_of(tx, sx), 0.0, sy, geometry.corner_of(ty, sy)]
    cy, cx = geometry.corner_of(ty, sy), geometry.corner_of(tx, sx)
    yy, yx, xy, xx = world[y][y], world[y][x], world[x][y], world[x][x]
    return [sx * xx, sy * xy, xx * cx + xy * cy, sx * yx, sy * yy, yx * cx + yy * cy]


def _spatial(multiscale: Multiscale, horizontal: _Horizontal) -> dict[str, JSON]:
    """Returns the attributes of the group: those of its base, the finest level."""
    result: dict[str, JSON] = {"spatial:dimensions": list(horizontal.names), "spatial:registration": "pixel"}
    base = multiscale.levels[0]
    transform = affine(base, horizontal.pair, multiscale.world)
    if transform is None or base.array is None:
        return result
    shape = base.array.shape[horizontal.y], base.array.shape[horizontal.x]
    a, b, c, d, e, f = transform
    corners = [(a * i + b * j + c, d * i + e * j + f) for i in (0, shape[1]) for j in (0, shape[0])]
    xs, ys = zip(*corners, strict=True)
    bbox: list[JSON] = [min(xs), min(ys), max(xs), max(ys)]
    return {**result, "spatial:transform": [*transform], "spatial:shape": list(shape), "spatial:bbox": bbox}


def _object(multiscale: Multiscale, paths: Sequence[str], horizontal: _Horizontal | None) -> dict[str, JSON]:
    result: dict[str, JSON] = {"layout": [_item(multiscale, k, paths, horizontal) for k in range(len(paths))]}
    if multiscale.type is not None:
        result["resampling_method"] = multiscale.type
    if multiscale.name is not None and not _in_groups(multiscale, paths):
        result["name"] = multiscale.name
    if multiscale.method is not None:
        result["metadata"] = multiscale.method
    for key, value in multiscale.extra.items():
        if key not in grids.CRS_KEYS and key not in result:
            result[key] = value
    return result


def _item(multiscale: Multiscale, k: int, paths: Sequence[str], horizontal: _Horizontal | None) -> dict[str, JSON]:
    """Returns one level: derived from the one below it, one factor per step."""
    level = multiscale.levels[k]
    item: dict[str, JSON] = {"asset": paths[k]}
    if k:
        item["derived_from"] = paths[k - 1]
        item["transform"] = _transform(multiscale, k, horizontal)
        method = level.extra.get("resampling_method", multiscale.type)
        if method is not None:
            item["resampling_method"] = method
    elif horizontal is None and level.scale is not None and level.translation is not None and not any(_is_uneven(level, a.name) for a in multiscale.axes):
        item["transform"] = {"scale": list(level.scale), "translation": list(level.translation)}
    if horizontal is not None:
        transform = affine(level, horizontal.pair, multiscale.world)
        if transform is not None:
            item["spatial:transform"] = [*transform]
        if level.array is not None:
            item["spatial:shape"] = [level.array.shape[horizontal.y], level.array.shape[horizontal.x]]
    return {**item, **{key: value for key, value in level.extra.items() if key not in ITEM_KEYS and key != "coordinateTransformations"}}


def _transform(multiscale: Multiscale, k: int, horizontal: _Horizontal | None) -> dict[str, JSON]:
    """Returns scale and translation of a step; the horizontal translation is 0 where `spatial:transform` tells it, and says that corners coincide."""
    source, level = multiscale.levels[k - 1], multiscale.levels[k]
    if source.scale is None or level.scale is None:
        return {}
    factors = [Fraction(repr(b)) / Fraction(repr(a)) for a, b in zip(source.scale, level.scale, strict=True)]
    uneven = [i for i, axis in enumerate(multiscale.axes) if _is_uneven(level, axis.name) or _is_uneven(source, axis.name)]
    if uneven and source.array is not None and level.array is not None:
        whole = [geometry.ratio(a, b)[0] for a, b in zip(source.array.shape, level.array.shape, strict=True)]
        factors = [whole[i] if i in uneven else f for i, f in enumerate(factors)]
    shifts = [Fraction(0)] * len(factors)
    if source.translation is not None and level.translation is not None:
        pairs = zip(source.translation, level.translation, source.scale, strict=True)
        shifts = [(Fraction(repr(b)) - Fraction(repr(a))) / Fraction(repr(s)) for a, b, s in pairs]
    shifts = [Fraction(0) if i in uneven else s for i, s in enumerate(shifts)]
    if horizontal is not None:
        shifts = [Fraction(0) if i in horizontal.pair else s for i, s in enumerate(shifts)]
        if all(f == 1 and s == 0 for i, (f, s) in enumerate(zip(factors, shifts, strict=True)) if i not in horizontal.pair):
            factors, shifts = [factors[i] for i in horizontal.pair], [Fraction(0)] * 2
    return {"scale": list(map(float, factors)), "translation": list(map(float, shifts))}


def _of_level_group(level: Level, horizontal: _Horizontal | None, crs: Mapping[str, JSON], world: tuple[tuple[float, ...], ...] | None) -> dict[str, JSON]:
    """Returns the attributes of the group that holds a level's variables: conventions reach the direct children of a group only."""
    entries: list[JSON] = [*([conventions.PROJ.entry] if crs else []), *([conventions.SPATIAL.entry] if horizontal else [])]
    result: dict[str, JSON] = {"zarr_conventions": entries, **crs} if entries else {}
    if horizontal is not None:
        result |= {"spatial:dimensions": list(horizontal.names)}
        transform = affine(level, horizontal.pair, world)
        if transform is not None and level.array is not None:
            result |= {"spatial:transform": [*transform], "spatial:shape": [level.array.shape[i] for i in horizontal.pair]}
    return result


def _coordinates(path: str, level: Level, multiscale: Multiscale) -> dict[str, SmallArray]:
    """Returns the coordinate array of every axis of a level; none where the axes are rotated or too long."""
    if level.array is None or level.scale is None or level.translation is None or multiscale.world is not None:
        return {}
    result = {}
    for axis, n, s, t in zip(multiscale.axes, level.array.shape, level.scale, level.translation, strict=True):
        if axis.kind == "channel" or n > MAX_VALUES:
            continue
        values = level.coordinates.get(axis.name) or geometry.points(n, s, t)
        if all(isinstance(v, (int, float)) for v in values):
            units: dict[str, JSON] = {} if axis.unit is None else {"units": axis.unit}
            result[f"{path}/{axis.name}"] = SmallArray(axis.name, tuple(float(v) for v in values), attributes=units)
    return result


def _lost(multiscale: Multiscale, horizontal: _Horizontal | None, *, has_groups: bool, crs: Mapping[str, JSON]) -> list[Problem]:
    lost = []
    pair = horizontal.pair if horizontal is not None else ()
    base = multiscale.levels[0]
    scale, translation = base.scale or (1.0,) * multiscale.ndim, base.translation or (0.0,) * multiscale.ndim
    physical = [i for i in range(multiscale.ndim) if i not in pair and (scale[i] != 1 or translation[i] != 0)]
    placed = [multiscale.axes[i].name for i in physical] if horizontal is not None else []
    units = [f"{axis.name}: {axis.unit}" for i, axis in enumerate(multiscale.axes) if axis.unit is not None and not (i in pair and grids.crs_unit(crs))]
    if placed and not has_groups:
        lost.append(
            problem("LOSS001", "", f"GeoZarr says scale and translation of two axes only, not of {', '.join(placed)}", "keep levels in groups of their own")
        )
    if units and not has_groups:
        lost.append(problem("LOSS001", "", f"GeoZarr has no words for the units ({', '.join(units)})", "name a reference system that has them"))
    if multiscale.world is not None and horizontal is None:
        lost.append(problem("LOSS002", "", "GeoZarr rotates in the plane of two axes only", "keep the rotation in an attribute of your own"))
    if any(level.coordinates for level in multiscale.levels) and not has_groups:
        lost.append(problem("LOSS001", "", "coordinates that are no arithmetic sequence have no place", "keep levels in groups of their own"))
    return lost


def close(a: Sequence[float] | None, b: Sequence[float] | None) -> bool:
    """True when two lists of numbers differ by no more than the rounding of a few operations."""
    if a is None or b is None:
        return a is b
    return len(a) == len(b) and all(math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-9) for x, y in zip(a, b, strict=True))
