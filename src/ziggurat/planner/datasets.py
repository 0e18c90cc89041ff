"""What a build of a Dataset does when nothing is said: which axes are reduced, how each variable is, and what is only carried along.

Pure, like all of the planner: facts of variables in, options per variable out. Source: CF conventions 3.5, 4, 5, 7; maths.md 3.3;
peers_geospatial.md 4 and 5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from ziggurat import reductions
from ziggurat.layouts.grids import X_NAMES, Y_NAMES
from ziggurat.model import JSON, Axis, SourceInfo
from ziggurat.planner.choices import choose_chunks, choose_ladder
from ziggurat.planner.options import BuildOptions, finite
from ziggurat.problems import OptionError

_NORTH = ("degrees_north", "degree_north", "degree_N", "degrees_N", "degreeN", "degreesN")
_EAST = ("degrees_east", "degree_east", "degree_E", "degrees_E", "degreeE", "degreesE")
"""Units of latitude and longitude. Source: CF conventions 4.1, 4.2."""
_UP_NAMES = ("latitude", "projection_y_coordinate", "grid_latitude")
_ACROSS_NAMES = ("longitude", "projection_x_coordinate", "grid_longitude")
_METHODS = MappingProxyType({"mean": "mean", "sum": "sum", "maximum": "max", "minimum": "min", "median": "median", "mode": "mode"})
"""CF's words for methods over cells, and our reductions. Source: CF conventions, appendix E."""
_COMMUTES = ("mean", "mode", "median", "min", "max", "stride", "nearest")
"""Reductions that may be done on packed numbers: unpacking is linear, so they give the packed result."""
CHUNK_BYTES = (2**17, 2**23)
"""A grid that the source has is taken for the levels while its chunks are of a size that is read well: 128 KiB to 8 MiB."""
ENCODING = ("chunks", "shards", "codecs", "dtype")
"""What can be said of one variable; the words are those of `BuildOptions`."""


@dataclass(frozen=True, slots=True)
class VariableFacts:
    """One variable of a dataset as it is stored: packed where it is packed."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    attributes: Mapping[str, JSON] = field(default_factory=dict)
    """Without `_FillValue`."""
    missing: float | int | None = None
    """The value of missing samples."""
    is_coordinate: bool = False

    @property
    def is_packed(self) -> bool:
        """True when the stored numbers mean others. Source: CF conventions 8.1."""
        return "scale_factor" in self.attributes or "add_offset" in self.attributes

    @property
    def is_number(self) -> bool:
        return np.dtype(self.dtype).kind in "biufc"


@dataclass(frozen=True, slots=True)
class Ground:
    """The axes of a dataset that lie on the ground, and what says where their cells are."""

    y: str | None = None
    x: str | None = None
    latitude: str | None = None
    """Name of the variable of latitudes, over `y` alone or over both."""
    longitude: str | None = None
    is_curvilinear: bool = False

    @property
    def dims(self) -> tuple[str, ...]:
        return tuple(dim for dim in (self.y, self.x) if dim is not None)

    @property
    def is_geographic(self) -> bool:
        """True when latitudes and longitudes run along the axes."""
        return self.latitude is not None and self.longitude is not None and not self.is_curvilinear


def is_latitude(facts: VariableFacts) -> bool:
    return facts.attributes.get("standard_name") == "latitude" or facts.attributes.get("units") in _NORTH or facts.name.lower() in ("lat", "latitude")


def is_longitude(facts: VariableFacts) -> bool:
    return facts.attributes.get("standard_name") == "longitude" or facts.attributes.get("units") in _EAST or facts.name.lower() in ("lon", "longitude")


def find_ground(variables: Mapping[str, VariableFacts]) -> Ground:
    """Returns the horizontal axes, by CF attributes of coordinates, else by their usual names; of a curvilinear grid those of its latitudes."""
    dims = dict.fromkeys(dim for facts in variables.values() for dim in facts.dims)
    flat = [facts for facts in variables.values() if len(facts.dims) == 2 and facts.is_number and facts.dims[0] != facts.dims[1] and facts.is_coordinate]
    lat2 = next((facts for facts in flat if is_latitude(facts)), None)
    lon2 = next((facts for facts in flat if is_longitude(facts) and lat2 is not None and facts.dims == lat2.dims), None)
    y = next((dim for dim in dims if _points(variables.get(dim), "Y", _UP_NAMES, _NORTH, dim)), None)
    x = next((dim for dim in dims if _points(variables.get(dim), "X", _ACROSS_NAMES, _EAST, dim)), None)
    y = y or next((dim for dim in dims if dim.lower() in Y_NAMES), None)
    x = x or next((dim for dim in dims if dim.lower() in X_NAMES), None)
    if lat2 is not None and lon2 is not None and not (y in lat2.dims and x in lat2.dims):
        y, x = lat2.dims
    here = [variables[dim] for dim in (y, x) if dim is not None and dim in variables]
    if any(is_latitude(f) for f in here if f.name == y) and any(is_longitude(f) for f in here if f.name == x):
        return Ground(y, x, y, x)
    if lat2 is not None and lon2 is not None and set(lat2.dims) == {y, x}:
        return Ground(y, x, lat2.name, lon2.name, True)
    return Ground(y, x)


def _points(facts: VariableFacts | None, axis: str, names: Sequence[str], units: Sequence[str], dim: str) -> bool:
    if facts is None or facts.dims != (dim,):
        return False
    attributes = facts.attributes
    return attributes.get("axis") == axis or attributes.get("standard_name") in names or attributes.get("units") in units


# --- how one variable is reduced --------------------------------------------------------------------------------------------


def cf_reduction(facts: VariableFacts, ground: Ground, measures: Sequence[str] = ()) -> tuple[str | None, str]:
    """Returns the reduction that a variable's CF attributes ask for, None where they say nothing, and what says so.

    `measures` are the variables that others name as their `cell_measures`: areas add up.
    """
    attributes = facts.attributes
    flags = next((key for key in ("flag_masks", "flag_values", "flag_meanings") if key in attributes), None)
    if flags is not None:
        return "mode", flags
    if facts.name in measures:
        return "sum", "cell_measures"
    method = cell_method(attributes.get("cell_methods"), ("area", *ground.dims, ground.latitude or "area", ground.longitude or "area"))
    if method is not None and method in _METHODS:
        return _METHODS[method], "cell_methods"
    kind = np.dtype(facts.dtype).kind
    if kind == "b":
        return "mode", "booleans"
    if kind in "fc" or facts.is_packed:
        return "mean", "numbers"
    return None, ""


def cell_method(text: JSON, over: Sequence[str]) -> str | None:
    """Returns the method of `cell_methods` that was applied over one of the given names, None when there is none.

    >>> cell_method("time: maximum area: mean where land", ("area",)), cell_method("time: sum", ("area",))
    ('mean', None)
    """
    if not isinstance(text, str):
        return None
    for names, method in re.findall(r"((?:[\w.]+:\s+)+)(\w+)", re.sub(r"\([^)]*\)", "", text)):
        if set(re.findall(r"[\w.]+(?=:)", names)) & set(over):
            return str(method)
    return None


def is_unpacked(facts: VariableFacts, reduction: object) -> bool:
    """True when the levels of a packed variable cannot be made of packed numbers: a sum is more than its parts may hold."""
    if not facts.is_packed:
        return False
    word = reductions.resolve(reduction, facts.dims).word if reduction is not None else "mean"  # type: ignore[arg-type]
    factor = facts.attributes.get("scale_factor", 1.0)
    falls = isinstance(factor, int | float) and factor < 0 and word in ("min", "max")
    return word not in _COMMUTES or falls


def said_reduction(options: BuildOptions, names: Sequence[str], dims: Sequence[str]) -> Mapping[str, Any]:
    """Returns what was said by variable: one reduction for all of them, or a mapping by variable, or by axis for all. Raises OptionError."""
    said = options.reduction
    if said is None:
        return {}
    if not isinstance(said, Mapping):
        return dict.fromkeys(names, said)
    unknown = [key for key in said if key not in names]
    if unknown and all(key in dims for key in said):
        return dict.fromkeys(names, said)
    if unknown:
        raise OptionError(f"reduction: found {unknown[0]!r}, expected variables out of {', '.join(names)}")
    return dict(said)


# --- the ladder, and the options of one variable ---------------------------------------------------------------------------------


def on_the_ground(axes: Sequence[Axis], ground: Ground) -> tuple[Axis, ...]:
    """Returns axes of which those on the ground are of space; heights and levels are no axes that a map is reduced along."""
    return tuple(replace(a, kind="space" if a.name in ground.dims else "vertical" if a.kind == "space" else a.kind) for a in axes)


def variable_chunks(info: SourceInfo, axes: Sequence[Axis], options: BuildOptions, *, has_grid: bool) -> tuple[int, ...]:
    """Returns the chunks of the levels of one variable: as said, else the grid that the source has, else about 1 MiB of the axes on the ground."""
    flat = [a if a.kind == "space" else replace(a, kind="other") for a in axes]
    low, high = CHUNK_BYTES
    size = info.array.itemsize
    for n in info.array.chunks:
        size *= n
    grid = info.array.chunks if has_grid and low <= size <= high else None
    default = choose_chunks(info, flat, info.array.shape, info.array.chunks, None, replace(options, chunks=None))
    if options.chunks is None:
        return grid or default
    return choose_chunks(info, flat, info.array.shape, info.array.chunks, None, options)


def dataset_ladder(info: SourceInfo, axes: Sequence[Axis], chunks: Sequence[int], options: BuildOptions) -> list[dict[str, int]]:
    """Returns the factors of every step by axis name, of the variable that is the largest on the ground: all others follow. Raises OptionError."""
    scale = finite("scale", info.scale, positive=False) if info.scale is not None else None
    irregular = any(axis.name in info.coordinates for axis in axes if axis.kind == "space")
    said = replace(options, reduction=None)
    steps = choose_ladder(info.array.shape, axes, tuple(chunks), None if irregular else scale, said)
    return [{axis.name: f for axis, f in zip(axes, step, strict=True) if f > 1} for step in steps]


def variable_ladder(facts: VariableFacts, ladder: Sequence[Mapping[str, int]]) -> list[dict[str, int]]:
    """Returns the steps of one variable. Raises OptionError where a step would leave it as it is."""
    steps = [{dim: f for dim, f in step.items() if dim in facts.dims} for step in ladder]
    for k, step in enumerate(steps, 1):
        if not step:
            raise OptionError(
                f"factors: step {k} reduces {', '.join(ladder[k - 1])}, and {facts.name!r} over {', '.join(facts.dims)} has none of these; "
                "say factors= that reduce both axes in every step, or leave it out (variables=)"
            )
    return steps


def checked_encoding(options: BuildOptions, names: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """Returns what was said of single variables. Raises OptionError for variables and words that are not known."""
    for name, said in (options.encoding or {}).items():
        if name not in names:
            raise OptionError(f"encoding: found variable {name!r}, expected names out of {', '.join(names)}")
        unknown = [key for key in said if key not in ENCODING]
        if unknown:
            raise OptionError(f"encoding: found {unknown[0]!r} for {name!r}, expected words out of {', '.join(ENCODING)}")
    return options.encoding or {}
