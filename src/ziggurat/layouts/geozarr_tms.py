"""GeoZarr before the zarr-conventions: levels are the matrices of an OGC tile matrix set, named by their ids. Read only.

The set is a well-known name, or the object itself. Its matrices state the size of a cell and the outer corner of the first one; limits say which tiles a level
holds. Source: formats.md 10.4; OGC two dimensional tile matrix set 2.0, annex D.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple

from ziggurat import geometry
from ziggurat.layouts import grids
from ziggurat.layouts import series as listed
from ziggurat.layouts.ports import Documents, Evidence, Facts
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, Axis, Level, Multiscale
from ziggurat.node import Node, resolve, word
from ziggurat.problems import DocumentError, LayoutError, PathError, Problem

NAME = "geozarr-tms"
VERSION = "0.4"
MAX_MATRICES = 64
"""A cell of the 64th halving of the Earth is smaller than an atom."""
_MERCATOR = 20037508.3427892


class Matrix(NamedTuple):
    """One level of a set: size of a cell and outer corner of the first one, (y, x) in world units, y downwards."""

    id: str
    cell: tuple[float, float]
    corner: tuple[float, float]
    tile: tuple[int, int]
    """Samples of a tile, (rows, columns)."""
    n_tiles: tuple[int, int]


class _Quad(NamedTuple):
    """A well-known set whose cells halve from id to id."""

    crs: str
    corner: tuple[float, float]
    cell: float
    """At id 0."""
    n_tiles: tuple[int, int]
    tile: int


_WORLD = _Quad("EPSG:3857", (_MERCATOR, -_MERCATOR), 156543.033928041, (1, 1), 256)
_DEGREES = _Quad("OGC:CRS84", (90.0, -180.0), 0.703125, (1, 2), 256)
QUADS: Mapping[str, _Quad] = MappingProxyType(
    {
        "WebMercatorQuad": _WORLD,
        "GoogleMapsCompatible": _WORLD,
        "WebMercatorQuadx2": _WORLD._replace(cell=156543.033928041 / 2, tile=512),
        "WorldCRS84Quad": _DEGREES,
        "WGS1984Quad": _DEGREES._replace(crs="EPSG:4326"),
    }
)
"""Sets that are known by name. Source: OGC tile matrix set 2.0, annex D."""

FACTS = Facts(
    title="GeoZarr with a tile matrix set (before the zarr-conventions)",
    marks="an object `multiscales` with `tile_matrix_set`",
    geometry="size of a cell and outer corner of a tile matrix, moved to the first tile that the limits of the level name; centres lie half a cell further",
    axes="dimension names of the arrays; y and x by their usual names",
    keeps="the tile matrix set travels as it is",
    source="geozarr-spec 0.4; OGC two dimensional tile matrix set 2.0",
    software=("eopf-geozarr before 0.6", "OpenLayers", "titiler-eopf"),
)


@dataclass(frozen=True, slots=True)
class TileMatrixLayout:
    """`geozarr-tms@0.4`."""

    name: str = NAME
    versions: tuple[str, ...] = (VERSION,)
    facts: Facts = FACTS

    def detect(self, node: Node) -> Evidence | None:
        value = _object(node.attributes)
        return Evidence(f"{NAME}@{VERSION}", "declared", "'multiscales' names a tile matrix set") if value is not None else None

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        value = _object(node.attributes) or {}
        found, crs, problems = matrices(value, "multiscales.tile_matrix_set")
        if not found:
            return (), tuple(problems)
        limits, wrong = _limits(value)
        problems += wrong
        chosen = _chosen(node, found, limits)
        result: list[Multiscale] = []
        if not chosen:
            problems.append(problem("GZ031", "multiscales", "no group is named by the id of a tile matrix", "name the levels by their matrices"))
        else:
            series, wrong = _series(node, value, chosen, limits, crs)
            result += series
            problems += wrong
        return tuple(result), tuple(problems)

    def can_hold(self, axes: Sequence[Axis], *, version: str = VERSION) -> str | None:
        return f"{NAME} is only read; take geozarr"

    def write(
        self, multiscales: Sequence[Multiscale], *, version: str = VERSION, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None
    ) -> Documents:
        raise LayoutError(f"{NAME}@{version} is only read; take geozarr@0.1")


LAYOUT = TileMatrixLayout()


def _object(attributes: Mapping[str, JSON]) -> Mapping[str, JSON] | None:
    geo = attributes.get("geo")
    for value in (attributes.get("multiscales"), geo.get("multiscales") if isinstance(geo, Mapping) else None):
        if isinstance(value, Mapping) and "tile_matrix_set" in value:
            return value
    return None


# --- the set ----------------------------------------------------------------------------------------------------------------


def matrices(value: Mapping[str, JSON], loc: str) -> tuple[dict[str, Matrix], dict[str, JSON], list[Problem]]:
    """Returns the matrices of a set by id, its reference system, and what is wrong with it."""
    stated = value.get("tile_matrix_set")
    if isinstance(stated, str):
        quad = QUADS.get(stated.rstrip("/").rpartition("/")[2])
        if quad is None:
            message = f"{stated!r} is not known; there are {', '.join(QUADS)}"
            return {}, {}, [problem("GZ030", loc, message, "write the set itself in place of its name")]
        return {str(z): _quad_matrix(quad, z) for z in range(31)}, {"proj:code": quad.crs}, []
    if not isinstance(stated, Mapping):
        return {}, {}, [problem("GZ030", loc, f"found {word(stated)}; expected a name or an object with 'tileMatrices'")]
    listing = stated.get("tileMatrices", stated.get("tileMatrix"))
    found: dict[str, Matrix] = {}
    problems = []
    for i, entry in enumerate(list(listed.parts(listing))[:MAX_MATRICES]):
        matrix = _matrix(entry, _is_north_first(stated))
        if matrix is None:
            message = "has no usable id, cellSize and pointOfOrigin; expected a text, a number above 0 and two numbers"
            problems.append(problem("GZ030", f"{loc}.tileMatrices[{i}]", message, "state them"))
        else:
            found[matrix.id] = matrix
    if not found and not problems:
        problems.append(problem("GZ030", f"{loc}.tileMatrices", f"found {word(listing)}; expected a list of at least one matrix"))
    return found, _crs(stated), problems


def _quad_matrix(quad: _Quad, zoom: int) -> Matrix:
    cell = float(Fraction(repr(quad.cell)) / 2**zoom)
    return Matrix(str(zoom), (-cell, cell), quad.corner, (quad.tile, quad.tile), (quad.n_tiles[0] << zoom, quad.n_tiles[1] << zoom))


def _matrix(entry: Mapping[str, JSON], north_first: bool) -> Matrix | None:
    corner = grids.numbers_of(entry.get("pointOfOrigin", entry.get("topLeftCorner")))
    size = grids.numbers_of([entry.get("cellSize")])
    name = entry.get("id", entry.get("identifier"))
    if corner is None or len(corner) != 2 or size is None or size[0] <= 0 or not isinstance(name, str):
        return None
    y, x = corner if north_first else corner[::-1]
    down = 1 if entry.get("cornerOfOrigin") == "bottomLeft" else -1
    tile = (_whole(entry.get("tileHeight"), 256), _whole(entry.get("tileWidth"), 256))
    return Matrix(name, (down * size[0], size[0]), (y, x), tile, (_whole(entry.get("matrixHeight"), 0), _whole(entry.get("matrixWidth"), 0)))


def _whole(value: JSON, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40 else default


def _is_north_first(stated: Mapping[str, JSON]) -> bool:
    """True when points of origin are written north, east: said by `orderedAxes`, else the order that EPSG gives to degrees."""
    order = stated.get("orderedAxes")
    if isinstance(order, (list, tuple)) and order and isinstance(order[0], str):
        return order[0].lower() in ("n", "lat", "latitude", "northing", "y")
    return str(_crs(stated).get("proj:code")) in ("EPSG:4326", "EPSG:4258")


def _crs(stated: Mapping[str, JSON]) -> dict[str, JSON]:
    value = stated.get("crs", stated.get("supportedCRS"))
    if isinstance(value, Mapping):
        wkt, uri = value.get("wkt"), value.get("uri")
        if isinstance(wkt, Mapping):
            return {"proj:projjson": wkt}
        value = uri if uri is not None else wkt
    if not isinstance(value, str):
        return {}
    parts = value.rstrip("/").replace("urn:ogc:def:crs:", "").replace("::", ":").split("/" if "://" in value else ":")
    if "://" in value and len(parts) >= 3:
        return {"proj:code": f"{parts[-3]}:{parts[-1]}"}
    return {"proj:code": value} if len(parts) == 2 and "://" not in value and "urn" not in value else {"proj:code": ":".join(parts[-2:])}


# --- levels -----------------------------------------------------------------------------------------------------------------


class Limits(NamedTuple):
    """Which tiles of a matrix a level holds, (rows, columns), the last ones included."""

    first: tuple[int, int]
    last: tuple[int, int]


def _limits(value: Mapping[str, JSON]) -> tuple[dict[str, Limits], list[Problem]]:
    stated = value.get("tile_matrix_limits", value.get("tile_matrix_set_limits"))
    if stated is None:
        return {}, []
    entries: list[tuple[JSON, JSON]] = []
    if isinstance(stated, Mapping):
        entries = list(stated.items())
    elif isinstance(stated, (list, tuple)):
        entries = [(entry.get("tileMatrix"), entry) for entry in listed.parts(stated)]
    result = {}
    problems = []
    for key, entry in entries[:MAX_MATRICES]:
        numbers = _four(entry)
        if not isinstance(key, str) or numbers is None:
            message = f"the limits of {key!r} are no four whole numbers from 0, the last not before the first"
            problems.append(problem("GZ030", "multiscales.tile_matrix_limits", message, "state the first and the last tile per axis"))
        else:
            result[key] = numbers
    return result, problems


def _four(entry: JSON) -> Limits | None:
    if not isinstance(entry, Mapping):
        return None
    numbers = []
    for snake, camel in (("min_tile_row", "minTileRow"), ("min_tile_col", "minTileCol"), ("max_tile_row", "maxTileRow"), ("max_tile_col", "maxTileCol")):
        found = entry.get(snake, entry.get(camel))
        if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 2**40:
            return None
        numbers.append(found)
    row, column, last_row, last_column = numbers
    return Limits((row, column), (last_row, last_column)) if last_row >= row and last_column >= column else None


def _chosen(node: Node, found: Mapping[str, Matrix], limits: Mapping[str, Limits]) -> list[Matrix]:
    """Returns the matrices that have a group: those with limits; else those whose group is there, by the consolidated copy or by a listing."""
    if limits:
        return [found[key] for key in limits if key in found]
    copy = node.consolidated()
    names = {key.split("/")[0] for key in copy} if copy else set(node.children())
    return [matrix for key, matrix in found.items() if key in names]


def _series(
    node: Node, value: Mapping[str, JSON], chosen: Sequence[Matrix], limits: Mapping[str, Limits], crs: Mapping[str, JSON]
) -> tuple[list[Multiscale], list[Problem]]:
    result: list[Multiscale] = []
    problems: list[Problem] = []
    kept: list[tuple[str, Matrix]] = []
    for matrix in chosen:
        try:
            kept.append((resolve(matrix.id), matrix))
        except PathError as error:
            problems.append(problem("GZ031", "multiscales.tile_matrix_set", str(error), "take a name that a folder may have"))
    try:
        found = grids.assets(node, [path for path, _ in kept])
    except DocumentError as error:
        return [], [*problems, problem("GZ031", "multiscales", f"a level cannot be read: {error}", "correct its metadata document")]
    for asset in found:
        if not asset.variables and asset.kind != "array":
            problems.append(problem("GZ031", "multiscales", f"no group with arrays at {asset.path!r}", "restore the level, or take it off the limits"))
    for variable, paths in grids.series_of(found):
        arrays = grids.arrays_at(node, paths)
        axes, _ = listed.named_axes(arrays)
        pair = grids.horizontal(axes)
        levels = []
        for path, info, (_, matrix) in zip(paths, arrays, kept, strict=True):
            if path is None or info is None:
                continue
            level = Level(path, array=info)
            if pair is not None and info.ndim == len(axes):
                level = grids.with_spot(level, _spot(matrix, limits.get(matrix.id)), pair, len(axes))
                problems += _size_problem(matrix, limits.get(matrix.id), (info.shape[pair[0]], info.shape[pair[1]]), path)
            levels.append(level)
        if levels:
            ordered, coarse_first = grids.largest_first(levels)
            axes = grids.with_unit(axes, pair, grids.crs_unit(crs))
            result.append(
                Multiscale(
                    levels=listed.placed(ordered, None, axes),
                    axes=axes,
                    name=variable,
                    type=listed.same_text(value.get("resampling_method")),
                    layout=f"{NAME}@{VERSION}",
                    coarse_first=coarse_first,
                    extra={**{key: v for key, v in value.items() if key not in ("resampling_method", "layout")}, **crs},
                    raw=value,
                )
            )
    return result, problems


def _spot(matrix: Matrix, limits: Limits | None) -> grids.Spot:
    first = limits.first if limits is not None else (0, 0)
    corners = [float(Fraction(repr(c)) + n * t * Fraction(repr(s))) for c, n, t, s in zip(matrix.corner, first, matrix.tile, matrix.cell, strict=True)]
    y, x = (geometry.centre_of(c, s) for c, s in zip(corners, matrix.cell, strict=True))
    return grids.Spot(matrix.cell, (y, x), None)


def _size_problem(matrix: Matrix, limits: Limits | None, shape: tuple[int, int], path: str) -> list[Problem]:
    """Returns a note where the size of an array is not that of its tiles."""
    n_tiles = matrix.n_tiles if limits is None else (limits.last[0] - limits.first[0] + 1, limits.last[1] - limits.first[1] + 1)
    expected = [n * t for n, t in zip(n_tiles, matrix.tile, strict=True)]
    if 0 in expected or expected == list(shape):
        return []
    message = f"{path!r} has {list(shape)} samples; the tiles of matrix {matrix.id!r} have {expected}, and its first cell is taken to be the matrix's"
    return [problem("GZ032", "multiscales", message)]
