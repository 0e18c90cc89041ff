"""The reference system of a level as CF says it: a grid mapping variable, attributes of its coordinates, axes that a rotation mixes.

Source: CF conventions 4, 5.6 and appendix F; GDAL's `GeoTransform` as rioxarray and odc-geo read it.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence

from ziggurat import geometry
from ziggurat.layouts.grids import CRS_KEYS, Y_NAMES, horizontal
from ziggurat.model import JSON, Multiscale
from ziggurat.pyramid.levels import LevelView

_DEGREES = ("degree", "degrees")


def mixed_axes(world: Sequence[Sequence[float]] | None) -> tuple[int, ...]:
    """Returns the axes along which no coordinate is a function of one index alone, because a rotation mixes them.

    >>> mixed_axes(((1.0, 0.0, 0.0), (0.0, 0.8, 0.6), (0.0, -0.6, 0.8)))
    (1, 2)
    """
    if world is None:
        return ()
    n = range(len(world))
    return tuple(i for i in n if any(world[i][j] or world[j][i] for j in n if j != i))


def horizontal_attributes(multiscale: Multiscale, axis: int) -> dict[str, JSON]:
    """Returns the attributes of a coordinate that no array holds: its unit, what else the document says, and its CF name where a CRS is known."""
    told = multiscale.axes[axis]
    attributes: dict[str, JSON] = {key: value for key, value in told.extra.items() if value is not None}
    if told.unit is not None:
        attributes["units"] = told.unit
    pair = horizontal(multiscale.axes)
    if pair is None or axis not in pair or not any(key in multiscale.extra for key in CRS_KEYS):
        return attributes
    up = axis == pair[0]
    if told.unit in _DEGREES or (told.unit is None and told.name.lower() in (*Y_NAMES[1:3], "lon", "longitude")):
        name, unit = ("latitude", "degrees_north") if up else ("longitude", "degrees_east")
        return {"standard_name": name, **attributes, "units": unit, "axis": "Y" if up else "X"}
    return {"standard_name": f"projection_{'y' if up else 'x'}_coordinate", **attributes, "axis": "Y" if up else "X"}


def grid_mapping(multiscale: Multiscale, view: LevelView) -> tuple[str, dict[str, JSON], tuple[str, str]] | None:
    """Returns name, attributes and axes of a grid mapping variable; None where the document tells no reference system.

    `crs_wkt` and `spatial_ref` hold WKT 2 where that is known or pyproj is installed, else the code or PROJJSON as it is told: whatever
    `pyproj.CRS` takes. `GeoTransform` is GDAL's: corner of the first sample, steps along columns and rows.
    """
    pair = horizontal(multiscale.axes)
    told = next((multiscale.extra[key] for key in ("proj:wkt2", "proj:code", "proj:projjson") if multiscale.extra.get(key) is not None), None)
    if pair is None or told is None:
        return None
    text = json.dumps(told) if isinstance(told, Mapping) else str(told)
    attributes = _described(text)
    attributes |= {"spatial_ref": attributes["crs_wkt"]}
    if view.level.scale is not None:
        attributes["GeoTransform"] = " ".join(f"{value:.17g}" for value in _geotransform(multiscale, view, pair))
    return "spatial_ref", attributes, (multiscale.axes[pair[0]].name, multiscale.axes[pair[1]].name)


def _described(text: str) -> dict[str, JSON]:
    if importlib.util.find_spec("pyproj") is None:
        return {"crs_wkt": text}
    import pyproj

    try:
        return dict(pyproj.CRS.from_user_input(text).to_cf())
    except pyproj.exceptions.CRSError:
        return {"crs_wkt": text}


def _geotransform(multiscale: Multiscale, view: LevelView, pair: tuple[int, int]) -> tuple[float, ...]:
    y, x = pair
    world = multiscale.world
    corner = [geometry.corner_of(view.translation[axis], view.scale[axis]) for axis in (y, x)]
    if world is None:
        return corner[1], view.scale[x], 0.0, corner[0], 0.0, view.scale[y]
    down, along = view.scale[y], view.scale[x]
    place = [world[axis][y] * corner[0] + world[axis][x] * corner[1] for axis in (y, x)]
    return place[1], world[x][x] * along, world[x][y] * down, place[0], world[y][x] * along, world[y][y] * down
