"""Coordinates, bounds and other small variables of every level of a dataset, from those of the base and the factors that lead to the level.

Nothing is averaged that says where cells are: edges are sub-sampled, bounds merged, curvilinear centres taken on the sphere. Source: maths.md 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ziggurat import reductions
from ziggurat.kernels import coordinates as cells
from ziggurat.model import JSON
from ziggurat.planner.datasets import Ground, VariableFacts, cf_reduction, is_latitude, is_longitude
from ziggurat.problems import OptionError, UnsupportedError
from ziggurat.sources.datasets import DatasetSource

NDAny = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Beside:
    """One small variable as it lies beside the levels."""

    dims: tuple[str, ...]
    values: NDAny
    attributes: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Line:
    """The cells of the base along one axis that is reduced."""

    centres: NDAny
    """float64; longitudes go on past the meridian."""
    edges: NDAny | None
    """`n + 1` of them; None where bounds do not lie side by side, or centres neither rise nor fall."""
    is_even: bool
    """True for a straight line without bounds of its own."""
    is_longitude: bool
    label: str = "middle"
    """Where in its cell a sample is named: `"middle"`, `"low"` or `"high"` bound."""


@dataclass(frozen=True, slots=True)
class Coordinates:
    """All variables of a dataset that are in memory, and what must be known of them to merge cells."""

    values: Mapping[str, NDAny]
    facts: Mapping[str, VariableFacts]
    ground: Ground
    lines: Mapping[str, Line]
    """By 1-D variable along an axis that is reduced."""
    bounds_of: Mapping[str, str]
    """Bounds variable -> the coordinate that names it."""
    made: tuple[str, ...]
    """Axes that get bounds, for without them a partial or an uneven cell could not be told from a whole one."""

    def at(self, cumulative: Mapping[str, int]) -> dict[str, Beside]:
        """Returns every small variable of the level whose cells are windows of so many base cells along each axis.

        Raises OptionError for words along an axis that is reduced, UnsupportedError for vertices that do not meet.
        """
        found = {name: self._one(name, cumulative) for name in self.values}
        for dim in self.made:
            line = self.lines[dim]
            edges = np.asarray(line.edges)
            cuts = cells.borders(line.centres.size, cumulative.get(dim, 1))
            bounds = np.stack([edges[cuts[:-1]], edges[cuts[1:]]], axis=1)
            found[dim] = Beside(found[dim].dims, found[dim].values, {**found[dim].attributes, "bounds": f"{dim}_bnds"})
            found[f"{dim}_bnds"] = Beside((dim, "bnds"), _continued(bounds, self.values[dim]) if line.is_longitude else bounds, {})
        return found

    def _one(self, name: str, cumulative: Mapping[str, int]) -> Beside:
        facts, values = self.facts[name], self.values[name]
        factors = tuple(cumulative.get(dim, 1) for dim in facts.dims)
        if all(f == 1 for f in factors):
            return Beside(facts.dims, values.astype(np.float64) if name in self.lines and values.dtype.kind in "iuf" else values, facts.attributes)
        if values.dtype.kind not in "biufc":
            along = next(dim for dim, f in zip(facts.dims, factors, strict=True) if f > 1)
            raise OptionError(f"factors: {name!r} holds words along {along!r}, and half of two words is none; say factors= that leave {along!r} as it is")
        return Beside(facts.dims, self._merged(name, factors), facts.attributes)

    def _merged(self, name: str, factors: Sequence[int]) -> NDAny:
        facts, values = self.facts[name], self.values[name]
        parent = self.bounds_of.get(name)
        if parent is not None and values.ndim == 2 and self.facts[parent].dims == facts.dims[:1] and values.shape[1] == 2:
            return cells.merged_bounds(values, factors[0])
        if parent is not None:
            return self._vertices(name, parent, factors)
        if name in self.lines:
            return self._line(name, factors[0])
        if self.ground.is_curvilinear and name in (self.ground.latitude, self.ground.longitude):
            lat, lon = (self.values[n].astype(np.float64) for n in (str(self.ground.latitude), str(self.ground.longitude)))
            lat, lon = cells.sphere_centres(lat, lon, factors)
            return lat if name == self.ground.latitude else lon
        said, _ = cf_reduction(facts, self.ground)
        row = reductions.find(said or "mode")
        return np.asarray(reductions.reduce_array(row, values, [tuple(factors)])[0])

    def _line(self, name: str, factor: int) -> NDAny:
        line = self.lines[name]
        if line.edges is None:
            bounds = self.facts[name].attributes.get("bounds")
            if isinstance(bounds, str) and bounds in self.values:
                return np.asarray(cells.merged_bounds(self.values[bounds].astype(np.float64), factor).mean(axis=1))
            return cells.window_means(self.values[name].astype(np.float64), (factor,))
        cuts = cells.borders(line.centres.size, factor)
        even = cells.even_centres(line.centres, factor) if line.is_even else None
        if line.label != "middle":
            centres = line.edges[cuts[:-1]] if line.label == "low" else line.edges[cuts[1:]]
        else:
            centres = even if even is not None else cells.merged_centres(line.centres, line.edges, factor)
        return cells.wrapped(centres, self.values[name]) if line.is_longitude else centres

    def _vertices(self, name: str, parent: str, factors: Sequence[int]) -> NDAny:
        """Returns merged bounds of a curvilinear grid: four vertices per cell. Raises UnsupportedError where they do not meet."""
        values = self.values[name]
        if values.ndim == 3 and values.shape[2] == 4 and all(f == 1 for f in factors[2:]):
            order = cells.corner_order((values.astype(np.float64),), 360.0 if is_longitude(self.facts[parent]) else None)
            if order is not None:
                return cells.merged_vertices(values, factors[:2], order)
        raise UnsupportedError(f"{name}: the bounds of {parent!r} are no cells that meet at their vertices, so they cannot be merged; drop them")


def read_coordinates(source: DatasetSource, ground: Ground, reduced: Sequence[str], partial: Sequence[str]) -> Coordinates:
    """Returns the small variables of a dataset of which `reduced` axes are reduced; `partial` are those where a level ends in a partial cell."""
    values = {name: held.values for name, held in source.variables.items() if held.values is not None}
    facts = {name: source.variables[name].facts for name in values}
    named = ((bounds, n) for n, f in facts.items() for bounds in (f.attributes.get("bounds"), f.attributes.get("climatology")))
    bounds_of = {str(bounds): n for bounds, n in named if isinstance(bounds, str) and bounds in values}
    lines = {}
    for name, fact in facts.items():
        if len(fact.dims) == 1 and fact.dims[0] in reduced and values[name].dtype.kind in "iuf" and values[name].size:
            bounds = fact.attributes.get("bounds")
            lines[name] = _line_of(fact, values[name], values.get(bounds) if isinstance(bounds, str) else None)
    made = []
    for dim in reduced:
        line = lines.get(dim)
        if line is None or line.edges is None or "bounds" in facts[dim].attributes or f"{dim}_bnds" in source.variables or line.centres.size < 2:
            continue
        if dim in partial or cells.even_centres(line.centres, 1) is None:
            made.append(dim)
    return Coordinates(values, facts, ground, lines, bounds_of, tuple(made))


def _line_of(facts: VariableFacts, values: NDAny, bounds: NDAny | None) -> Line:
    east = is_longitude(facts)
    centres = values.astype(np.float64)
    centres = cells.unwrapped(centres) if east else centres
    steps = np.diff(centres)
    if bounds is not None and bounds.shape == (values.size, 2) and bounds.dtype.kind in "iuf":
        flat = bounds.astype(np.float64)
        if east:
            flat = cells.unwrapped(flat.reshape(-1)).reshape(flat.shape)
            flat += 360.0 * np.round((centres[0] - flat[0].mean()) / 360.0)
        low, high = np.array_equal(centres, flat[:, 0]), np.array_equal(centres, flat[:, 1])
        label = "low" if low and not high else "high" if high and not low else "middle"
        return Line(centres, cells.joined_edges(flat), False, east, label)
    if not np.isfinite(centres).all() or (steps.size and not ((steps > 0).all() or (steps < 0).all())):
        return Line(centres, None, False, east)
    edges = cells.inferred_edges(centres, -90.0, 90.0) if is_latitude(facts) else cells.inferred_edges(centres)
    # rows at the poles of a grid that is registered at its nodes are half cells: their middle is not where the sample lies
    cut = bool(edges.size > 2 and not np.allclose(edges[[0, -1]], cells.inferred_edges(centres)[[0, -1]], rtol=0, atol=0))
    return Line(centres, edges, not cut, east)


def _continued(bounds: NDAny, base: NDAny) -> NDAny:
    """Returns bounds of longitudes in the turn in which the base begins; a cell over the meridian keeps its bounds in order."""
    turns = np.floor((bounds.mean(axis=1) - float(base.min())) / 360.0 + 1e-9)
    return np.asarray(bounds - 360.0 * turns[:, np.newaxis])
