"""What layouts of georeferenced rasters share: levels that are groups of variables, affine placement, coordinates, units of a reference system.

Source: formats.md 0.2, 10, 10.6, 10.7; peers_geospatial.md 1c.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from ziggurat import geometry
from ziggurat.layouts import series as listed
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Provenance
from ziggurat.node import Node, parse_array_document
from ziggurat.problems import DocumentError, StorageError, UnsupportedError

Y_NAMES = ("y", "lat", "latitude", "northing", "row")
X_NAMES = ("x", "lon", "longitude", "easting", "col", "column")
CRS_KEYS = ("proj:code", "proj:wkt2", "proj:projjson")
"""How a coordinate reference system travels in `Multiscale.extra`, whatever layout it was read from."""
MAX_VARIABLES = 1000
"""A level of a climate product holds some dozens."""

_DEGREES = ("degree", "degrees", "deg")
_METRES = ("metre", "meter", "metres", "meters", "m")
_GEOGRAPHIC = MappingProxyType({"4326": "degree", "CRS84": "degree", "4979": "degree", "3857": "meter", "3395": "meter", "3035": "meter", "5070": "meter"})
"""Codes whose unit everybody knows; UTM zones are told by their range."""


@dataclass(frozen=True, slots=True)
class Asset:
    """What a level's path leads to."""

    path: str
    kind: str
    """`"array"`, `"group"` or `"absent"`."""
    variables: tuple[str, ...] = ()
    """Names of the data variables of a group, sorted."""


class Spot(NamedTuple):
    """Step and centre of sample 0 along the two horizontal axes, (y, x), and the directions of the steps when they are not those of the axes."""

    scale: tuple[float, float]
    translation: tuple[float, float]
    world: tuple[tuple[float, float], tuple[float, float]] | None


# --- levels that are groups ---------------------------------------------------------------------------------------------


def assets(node: Node, paths: Sequence[str]) -> tuple[Asset, ...]:
    """Returns what is at each path: an array, or a group with its data variables.

    The names in a group are taken from the consolidated copy where there is one; otherwise the group is listed, which is the only way.
    """
    copy = node.consolidated() or {}
    return tuple(_asset(node, path, copy) for path in paths)


def _asset(node: Node, path: str, copy: Mapping[str, Mapping[str, JSON]]) -> Asset:
    v3 = node.container == "zarr3"
    marker = "zarr.json" if v3 else ".zarray"
    prefix = f"{path}/" if path else ""
    copied = copy.get(f"{prefix}{marker}")
    if copied is not None and (not v3 or copied.get("node_type") == "array"):
        return Asset(path, "array")
    names = [key[len(prefix) : -len(marker) - 1] for key in copy if key.startswith(prefix) and key.endswith(f"/{marker}")]
    names = sorted(name for name in names if name and "/" not in name)
    if names:
        documents = {name: _copied(copy, f"{prefix}{name}", v3=v3) for name in names}
        return Asset(path, "group", data_variables({name: facts for name, facts in documents.items() if facts is not None}))
    child = node.child(path) if path else node
    if child.kind != "group":
        return Asset(path, "array" if child.kind == "array" else "absent")
    found: dict[str, tuple[ArrayInfo, Mapping[str, JSON]]] = {}
    for name in sorted(child.children())[:MAX_VARIABLES]:
        try:
            below = child.child(name)
            info = below.array
            if info is not None:
                found[name] = (info, below.attributes)
        except DocumentError:
            continue
    return Asset(path, "group", data_variables(found))


def _copied(copy: Mapping[str, Mapping[str, JSON]], path: str, *, v3: bool) -> tuple[ArrayInfo, Mapping[str, JSON]] | None:
    document = copy[f"{path}/zarr.json" if v3 else f"{path}/.zarray"]
    held = document.get("attributes") if v3 else copy.get(f"{path}/.zattrs")
    attributes = held if isinstance(held, Mapping) else {}
    if v3 and document.get("node_type") != "array":
        return None
    try:
        return parse_array_document(document, 3 if v3 else 2, attributes=attributes, location=path), attributes
    except DocumentError:
        return None


def data_variables(found: Mapping[str, tuple[ArrayInfo, Mapping[str, JSON]]]) -> tuple[str, ...]:
    """Returns the names of the arrays that are data: two axes or more, and no other array names them as its coordinates, bounds or grid mapping.

    Names of dimensions are coordinates. Source: CF conventions 5 and 7.1.
    """
    dimensions = {name for info, _ in found.values() for name in info.dimension_names or () if name}
    referred: set[str] = set()
    for _, attributes in found.values():
        for key in ("coordinates", "bounds", "grid_mapping", "ancillary_variables"):
            text = attributes.get(key)
            referred |= set(re.split(r"[\s:]+", text)) if isinstance(text, str) and key != "ancillary_variables" else set()
    return tuple(name for name, (info, _) in found.items() if info.ndim >= 2 and name not in dimensions and name not in referred)


def series_of(found: Sequence[Asset]) -> tuple[tuple[str | None, tuple[str | None, ...]], ...]:
    """Returns each multiscale that the levels make up: its variable (None for bare arrays) and the path of its array per level.

    None stands where a level has no such array. Variables are in the order of the first level that has them.
    """
    variables = list(dict.fromkeys(name for asset in found for name in asset.variables))
    bare = [asset.path if asset.kind == "array" else None for asset in found]
    result: list[tuple[str | None, tuple[str | None, ...]]] = []
    if any(bare) or not variables:
        result.append((None, tuple(bare)))
    for name in variables[:MAX_VARIABLES]:
        paths = tuple((f"{asset.path}/{name}" if asset.path else name) if name in asset.variables else None for asset in found)
        result.append((name, paths))
    return tuple(result)


def array_at(node: Node, path: str | None, *, names: bool) -> ArrayInfo | None:
    """Returns the facts of an array, None when it is not there or its document is broken; `names` asks for its dimension names in Zarr v2 as well."""
    if path is None:
        return None
    try:
        child = node.child(path)
        document = child.array_document
        if document is None or names or child.container != "zarr2":
            return child.array
        return parse_array_document(document, 2, location=child.location)
    except DocumentError:
        return None


def arrays_at(node: Node, paths: Sequence[str | None]) -> list[ArrayInfo | None]:
    """Returns the facts of the array of every level; the first one that is there is asked for its dimension names, too."""
    found: list[ArrayInfo | None] = []
    for path in paths:
        found.append(array_at(node, path, names=not any(found)))
    return found


# --- which axes lie on the ground -----------------------------------------------------------------------------------------


def horizontal(axes: Sequence[Axis], stated: JSON = None) -> tuple[int, int] | None:
    """Returns the positions of the y and the x axis: as stated by name ([y, x]), else by their usual names, else the last two axes of space.

    >>> horizontal([Axis("time"), Axis("lat", "space"), Axis("lon", "space")])
    (1, 2)
    """
    names = [axis.name for axis in axes]
    if isinstance(stated, (list, tuple)) and len(stated) == 2 and all(isinstance(name, str) and name in names for name in stated) and stated[0] != stated[1]:
        return names.index(str(stated[0])), names.index(str(stated[1]))
    low = [name.lower() for name in names]
    y = next((low.index(name) for name in Y_NAMES if name in low), None)
    x = next((low.index(name) for name in X_NAMES if name in low), None)
    if y is not None and x is not None:
        return y, x
    space = [i for i, axis in enumerate(axes) if axis.kind == "space"]
    return (space[-2], space[-1]) if len(space) >= 2 else None


def spot_of(transform: JSON, *, node_registered: bool = False) -> Spot | None:
    """Returns step and place from six affine coefficients `[a, b, c, d, e, f]`: x = a col + b row + c, y = d col + e row + f.

    (0, 0) is the outer corner of the first sample, with node registration its centre. None for what is no invertible affine.

    >>> spot_of([10, 0, 300000, 0, -20, 5000])
    Spot(scale=(-20.0, 10.0), translation=(4990.0, 300005.0), world=None)
    """
    numbers = numbers_of(transform)
    if numbers is None or len(numbers) != 6:
        return None
    a, b, c, d, e, f = numbers
    if b == d == 0:
        if a == 0 or e == 0:
            return None
        place = (f, c) if node_registered else (geometry.centre_of(f, e), geometry.centre_of(c, a))
        return Spot((e, a), place, None)
    determinant = a * e - b * d
    along, down = math.hypot(a, d), math.hypot(b, e)
    if determinant == 0 or not math.isfinite(1 / determinant) or along == 0 or down == 0:
        return None
    half = 0.0 if node_registered else 0.5
    x, y = c + half * (a + b), f + half * (d + e)
    # rows: world y and x; columns: a step of length 1 down the rows, along the columns
    world = ((e / down, d / along), (b / down, a / along))
    shift_down = (y * world[1][1] - x * world[0][1]) / (world[0][0] * world[1][1] - world[0][1] * world[1][0])
    shift_along = (x * world[0][0] - y * world[1][0]) / (world[0][0] * world[1][1] - world[0][1] * world[1][0])
    return Spot((down, along), (shift_down, shift_along), world)


def whole_world(world: tuple[tuple[float, float], tuple[float, float]] | None, pair: tuple[int, int], ndim: int) -> tuple[tuple[float, ...], ...] | None:
    """Returns the matrix over all axes for one over the two horizontal ones."""
    if world is None:
        return None
    rows = [[float(i == j) for j in range(ndim)] for i in range(ndim)]
    for i, row in zip(pair, world, strict=True):
        for j, value in zip(pair, row, strict=True):
            rows[i][j] = value
    return tuple(map(tuple, rows))


def with_spot(level: Level, spot: Spot, pair: tuple[int, int], ndim: int, provenance: Provenance = "stated") -> Level:
    """Returns a level with the horizontal part of its place; what it had along the other axes stays, 1 and 0 where it had nothing."""
    scale, translation = list(level.scale or (1.0,) * ndim), list(level.translation or (0.0,) * ndim)
    for axis, s, t in zip(pair, spot.scale, spot.translation, strict=True):
        scale[axis], translation[axis] = s, t
    return replace(level, scale=tuple(scale), translation=tuple(translation), scale_provenance=provenance, translation_provenance=provenance)


# --- coordinates ------------------------------------------------------------------------------------------------------------


def coordinate_line(node: Node, path: str) -> tuple[geometry.Line, tuple[float, ...]] | None:
    """Returns the line of a coordinate array and its numbers; None when there is none that can be read, or its numbers are not finite.

    Where the consolidated copy does not know the array, it is not asked for.
    """
    copy = node.consolidated()
    if copy and f"{path}/zarr.json" not in copy and f"{path}/.zarray" not in copy:
        return None
    try:
        values = node.values(path)
    except (DocumentError, StorageError, UnsupportedError):
        return None
    numbers = tuple(float(v) for v in values or () if isinstance(v, (int, float)) and math.isfinite(v))
    line = geometry.line(numbers, epsilon=2.0**-23) if values is not None and len(numbers) == len(values) else None
    return None if line is None else (line, numbers)


def placed_by_coordinates(node: Node, level: Level, axes: Sequence[Axis]) -> Level:
    """Returns a level placed by the coordinate arrays beside its own array, one per axis of that name; as it is when none can be read."""
    above = level.path.rpartition("/")[0]
    scale, translation = list(level.scale or (1.0,) * len(axes)), list(level.translation or (0.0,) * len(axes))
    irregular: dict[str, tuple[float | str, ...]] = {}
    found = [coordinate_line(node, f"{above}/{axis.name}" if above else axis.name) for axis in axes]
    for i, coordinate in enumerate(found):
        if coordinate is None:
            continue
        line, numbers = coordinate
        translation[i] = line.translation
        scale[i] = line.scale or scale[i]
        if not line.is_straight:
            irregular[axes[i].name] = numbers
    if not any(found):
        return level
    placed = replace(level, scale=tuple(scale), translation=tuple(translation), coordinates=irregular)
    return replace(placed, scale_provenance="stated", translation_provenance="stated")


# --- reference systems ------------------------------------------------------------------------------------------------------


def crs_unit(crs: Mapping[str, JSON]) -> str | None:
    """Returns the unit of the horizontal axes of a reference system (`proj:code`, `proj:wkt2`, `proj:projjson`), None when it is not told.

    >>> crs_unit({"proj:code": "EPSG:32633"}), crs_unit({"proj:code": "EPSG:4326"}), crs_unit({"proj:code": "IAU:30100"})
    ('meter', 'degree', None)
    """
    for word in (_projjson_unit(crs.get("proj:projjson")), _wkt_unit(crs.get("proj:wkt2"))):
        if word is not None:
            return "degree" if word.lower() in _DEGREES else "meter" if word.lower() in _METRES else word
    code = crs.get("proj:code")
    number = code.rpartition(":")[2] if isinstance(code, str) else ""
    if re.fullmatch(r"32[67](0[1-9]|[1-5]\d|60)", number):
        return "meter"
    return _GEOGRAPHIC.get(number)


def _projjson_unit(value: JSON) -> str | None:
    system = value.get("coordinate_system") if isinstance(value, Mapping) else None
    for axis in listed.parts(system.get("axis") if isinstance(system, Mapping) else None):
        unit = axis.get("unit")
        name = unit.get("name") if isinstance(unit, Mapping) else unit
        return name if isinstance(name, str) else None
    return None


def _wkt_unit(value: JSON) -> str | None:
    """Returns the unit behind the coordinate system of a WKT2 text; of WKT1 the last unit, which is that of the outermost system."""
    if not isinstance(value, str):
        return None
    tail = value.rpartition("CS[")[2] if "CS[" in value.replace("PROJCS[", "").replace("GEOGCS[", "") else value
    units = re.findall(r'(?:LENGTH|ANGLE|)UNIT\["([^"]{1,40})"', tail)
    return None if not units else units[0] if tail is not value else units[-1]


def crs_of(attributes: Mapping[str, JSON]) -> dict[str, JSON]:
    """Returns what attributes say of the reference system, under the keys of `CRS_KEYS`."""
    return {key: attributes[key] for key in CRS_KEYS if attributes.get(key) is not None}


def with_unit(axes: Sequence[Axis], pair: tuple[int, int] | None, unit: str | None) -> tuple[Axis, ...]:
    """Returns axes of which the two horizontal ones are of space and have a unit, where it is known."""
    if pair is None:
        return tuple(axes)
    return tuple(replace(axis, kind=axis.kind or "space", unit=axis.unit or unit) if i in pair else axis for i, axis in enumerate(axes))


# --- numbers ----------------------------------------------------------------------------------------------------------------


def numbers_of(value: JSON) -> tuple[float, ...] | None:
    """Returns a list of finite numbers as floats, None for anything else."""
    if not isinstance(value, (list, tuple)):
        return None
    found = [float(v) for v in value if isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e300 and math.isfinite(v)]
    return tuple(found) if len(found) == len(value) else None


def largest_first(levels: Sequence[Level]) -> tuple[tuple[Level, ...], bool]:
    """Returns levels, largest first, and whether they came coarsest first."""
    positions, coarse_first = listed.order([level.array for level in levels])
    return tuple(levels[i] for i in positions), coarse_first


def shrinks(arrays: Sequence[ArrayInfo | None]) -> bool:
    """True when no axis grows from one level to the next, and all have one number of axes."""
    shapes = [info.shape for info in arrays if info is not None]
    return all(len(a) == len(b) and all(m >= n for m, n in zip(a, b, strict=True)) for a, b in pairwise(shapes))
