"""What is said beside the samples of a base: weights, which samples are missing, how many must be there. Described, checked, never read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ziggurat import geometry
from ziggurat.model import JSON, Axis, SourceInfo
from ziggurat.planner.options import EQUAL, WEIGHT_RULES, BuildOptions
from ziggurat.problems import OptionError
from ziggurat.reductions import Weighing

if TYPE_CHECKING:
    from ziggurat.planner.plan import BuildPlan

Vectors = tuple[tuple[float, ...] | None, ...]
"""Weights per axis, None where an axis has none."""

_LATITUDE, _LONGITUDE = ("lat", "latitude"), ("lon", "longitude")


@dataclass(frozen=True, slots=True)
class Beside:
    """Descriptions of arrays and functions that were given beside the base: plain JSON, enough to know them again.

    An array has `shape`, `dtype` and `stamps`, and `path` when it was named by one; a function has `function`.
    """

    weights: Mapping[str, JSON] | None = None
    missing: Mapping[str, JSON] | None = None


def described_weights(options: BuildOptions, given: Mapping[str, JSON] | None, info: SourceInfo, axes: Sequence[Axis]) -> Mapping[str, JSON] | None:
    """Returns the weights of a build as plain JSON: `{"rule": ...}`, `{"axes": {name: numbers}}`, or what describes an array.

    `axes` are those of the source, in its order. Raises OptionError for what does not fit the base.
    """
    said = options.weights
    if said is None or (isinstance(said, str) and said == EQUAL):
        return None
    if isinstance(said, str) and said in WEIGHT_RULES:
        return {"rule": said, **_irregular(said, options, info, axes)}
    if isinstance(said, Mapping):
        return {"axes": {name: list(_vector(name, numbers, info, axes)) for name, numbers in said.items()}}
    if given is None:
        raise AssertionError("weights that are an array or a function are described by who opened them")
    check_broadcasts("weights", given, info.array.shape)
    return given


def _irregular(rule: str, options: BuildOptions, info: SourceInfo, axes: Sequence[Axis]) -> dict[str, JSON]:
    """Returns the centres along latitude and longitude where no scale places them, by axis name. Raises OptionError when nothing does."""
    found: dict[str, JSON] = {}
    for place in (_place(axes, _LATITUDE, "y"), _place(axes, _LONGITUDE, "x")):
        if place is None or options.scale is not None:
            continue
        name = axes[place].name
        centres = info.coordinates.get(name)
        if centres is None and info.scale is None:
            raise OptionError(
                f"weights: {rule!r} must know where the samples of axis {name!r} lie, and {info.location} does not say; say scale= and translation="
            )
        if centres is not None and not (all(a < b for a, b in pairwise(centres)) or all(a > b for a, b in pairwise(centres))):
            raise OptionError(f"weights: the coordinate of axis {name!r} neither rises nor falls, so its cells are not known; say weights= by axis")
        found.update({name: list(centres)} if centres is not None else {})
    return {"centres": found} if found else {}


def _vector(name: str, numbers: object, info: SourceInfo, axes: Sequence[Axis]) -> tuple[float, ...]:
    names = [a.name for a in axes]
    if name not in names:
        raise OptionError(f"weights: found axis {name!r}, expected names out of {', '.join(names)}")
    n = info.array.shape[names.index(name)]
    try:
        vector = np.asarray(numbers, np.float64)
    except (TypeError, ValueError):
        raise OptionError(f"weights of axis {name!r}: found {numbers!r}, expected {n} numbers") from None
    if vector.shape != (n,):
        raise OptionError(f"weights of axis {name!r}: found shape {vector.shape}, expected ({n},), one weight per sample along the axis")
    wrong = np.flatnonzero(~(np.isfinite(vector) & (vector >= 0)))
    if wrong.size:
        raise OptionError(f"weights of axis {name!r}: found {float(vector[wrong[0]])!r} at {int(wrong[0])}, expected finite numbers of at least 0")
    return tuple(vector.tolist())


def check_broadcasts(what: str, given: Mapping[str, JSON], shape: Sequence[int]) -> None:
    """Raises OptionError when an array that was described does not broadcast to the base, by NumPy's rules, or holds no real numbers."""
    if "function" in given:
        return
    found = tuple(n for n in given["shape"] if isinstance(n, int)) if isinstance(given["shape"], list) else ()
    if len(found) > len(shape) or any(n not in (1, m) for n, m in zip(reversed(found), reversed(shape), strict=False)):
        raise OptionError(f"{what}: found an array of shape {found}, which does not broadcast to the base's {tuple(shape)}; expected its lengths, or 1")
    if str(given["dtype"]).startswith("complex"):
        raise OptionError(f"{what}: found an array of {given['dtype']}, expected real numbers")


def chosen_min_valid(options: BuildOptions) -> float | None:
    """Returns the share of weight that must be valid: None for any, 1 to propagate what is missing."""
    return 1.0 if options.missing == "propagate" else options.min_valid


def weighing_of(plan: BuildPlan) -> Weighing:
    """Returns what the arithmetic of a plan takes from outside. Masks of floats are NaN by the time they are folded."""
    weighted = plan.weights is not None
    masked = plan.missing is not None and np.dtype(plan.source_dtype).kind not in "fc"
    covers = plan.coverage is not None
    return Weighing(masked, weighted, weighted and (covers or plan.min_valid is not None), plan.min_valid, covers, _fill(plan) if masked or weighted else 0)


def _fill(plan: BuildPlan) -> complex:
    """Returns what integers hold where they are missing and no value says so: the fill value, else 0."""
    value, dtype = plan.fill_value, np.dtype(plan.source_dtype)
    if isinstance(value, bool | int) and dtype.kind in "bui":
        low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
        return value if low <= value <= high else 0
    return 0


def plan_vectors(plan: BuildPlan) -> Vectors:
    """Returns the weights per axis of a plan whose weights are a rule."""
    base = plan.levels[0]
    return vectors_of(plan.weights or {}, plan.axes, base.shape, base.scale, base.translation)


def vectors_of(weights: Mapping[str, JSON], axes: Sequence[Axis], shape: Sequence[int], scale: Sequence[float], translation: Sequence[float]) -> Vectors:
    """Returns the weights per axis that a rule gives at a base, None along axes where every sample weighs the same.

    `weights` is what a plan and `metadata.kwargs.weights` hold: `rule`, and the `centres` of axes whose steps are not uniform.
    """
    places = [tuple(s * i + t for i in range(n)) for n, s, t in zip(shape, scale, translation, strict=True)]
    edges = [geometry.cell_edges(n, s, t) for n, s, t in zip(shape, scale, translation, strict=True)]
    stated = weights.get("centres")
    for i, axis in enumerate(axes):
        centres = stated.get(axis.name) if isinstance(stated, Mapping) else None
        if isinstance(centres, (list, tuple)):
            places[i] = tuple(float(c) for c in centres if isinstance(c, int | float))
            edges[i] = geometry.edges_between(places[i])
    return _rule_vectors(str(weights["rule"]), axes, places, edges)


def _rule_vectors(rule: str, axes: Sequence[Axis], centres: Sequence[Sequence[float]], edges: Sequence[Sequence[float]]) -> Vectors:
    """Returns the weights per axis of a rule, from where the samples lie: centres and edges of cells along each axis.

    `area`: areas of cells on the unit sphere, from their edges (half a step beyond centres, latitudes cut at the poles), in
    steradians; `area_wgs84`: likewise on the WGS84 ellipsoid, by authalic latitude; `cos_lat`: the cosine of the centre's latitude. Source: maths.md 3.3.
    """
    lat, lon = _place(axes, _LATITUDE, "y"), _place(axes, _LONGITUDE, "x")
    if lat is None:
        names = ", ".join(a.name for a in axes)
        raise OptionError(f"weights: {rule!r} needs an axis of latitudes (lat, latitude, or y in degrees), found {names}; say axes=, unit= or weights by axis")
    vectors: list[tuple[float, ...] | None] = [None] * len(axes)
    if max(map(abs, centres[lat])) > 90 + abs(edges[lat][1] - edges[lat][0]) / 2:
        found = f"{centres[lat][0]:g} to {centres[lat][-1]:g}"
        raise OptionError(f"weights: {rule!r} needs latitudes from -90 to 90 along {axes[lat].name!r}, found {found}; say scale= and translation= in degrees")
    if rule == "cos_lat":
        vectors[lat] = tuple(max(0.0, math.cos(math.radians(c))) for c in centres[lat])
        return tuple(vectors)
    vectors[lat] = geometry.latitude_bands(edges[lat], geometry.WGS84_ECCENTRICITY if rule == "area_wgs84" else 0.0)
    if lon is not None:
        vectors[lon] = tuple(math.radians(abs(b - a)) for a, b in pairwise(edges[lon]))
    return tuple(vectors)


def _place(axes: Sequence[Axis], names: Sequence[str], letter: str) -> int | None:
    found = [i for i, a in enumerate(axes) if a.name.lower() in names or (a.name.lower() == letter and (a.unit or "").lower().startswith("degree"))]
    return found[0] if found else None
