"""Where merged cells lie: edges sub-sampled, never averaged; centres of what lies between them; corners and directions on the sphere.

Cells of a level are windows of `factor` cells of the base, the last one partial, along each axis. Angles are in degrees.
Source: maths.md 3.1; CF conventions 7.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]


def borders(n: int, factor: int) -> NDArray[np.int64]:
    """Returns the numbers of the base edges that are edges of merged cells: `min(j factor, n)`.

    >>> borders(7, 3).tolist()
    [0, 3, 6, 7]
    """
    return np.minimum(np.arange(-(-n // factor) + 1) * factor, n)


def inferred_edges(centres: Floats, low: float = -np.inf, high: float = np.inf) -> Floats:
    """Returns the `n + 1` edges of cells around centres that rise or fall: halfway between them, the outer ones by the same half step.

    The outer edges are cut at `low` and `high`, the poles of latitudes. A single cell has the width 0: nothing tells it.

    >>> inferred_edges(np.array([-89.5, -88.0, -86.0]), -90, 90).tolist()
    [-90.0, -88.75, -87.0, -85.0]
    """
    if centres.size < 2:
        return np.repeat(centres, 2)
    inner = (centres[:-1] + centres[1:]) / 2
    edges = np.concatenate([[2 * centres[0] - inner[0]], inner, [2 * centres[-1] - inner[-1]]])
    return np.asarray(np.clip(edges, low, high))


def joined_edges(bounds: Array) -> Array | None:
    """Returns the `n + 1` edges of cells `(n, 2)` that lie side by side, None where they do not.

    >>> joined_edges(np.array([[0.0, 1.0], [1.0, 3.0]])).tolist()
    [0.0, 1.0, 3.0]
    """
    return np.append(bounds[:, 0], bounds[-1:, 1]) if np.array_equal(bounds[1:, 0], bounds[:-1, 1]) else None


def merged_bounds(bounds: Array, factor: int) -> Array:
    """Returns the bounds `(m, 2)` of merged cells: the lower one of the first member, the upper one of the last.

    >>> merged_bounds(np.array([[0, 1], [1, 2], [2, 3]]), 2).tolist()
    [[0, 2], [2, 3]]
    """
    cuts = borders(len(bounds), factor)
    return np.stack([bounds[cuts[:-1], 0], bounds[cuts[1:] - 1, 1]], axis=1)


def merged_centres(centres: Floats, edges: Floats, factor: int) -> Floats:
    """Returns the middle of each merged cell; cells of one member keep the centre that they have.

    >>> merged_centres(np.array([0.0, 1.0, 3.0]), np.array([-0.5, 0.5, 2.0, 4.0]), 2).tolist()
    [0.75, 3.0]
    """
    cuts = borders(centres.size, factor)
    middle = (edges[cuts[:-1]] + edges[cuts[1:]]) / 2
    alone = np.diff(cuts) == 1
    middle[alone] = centres[cuts[:-1][alone]]
    return middle


def even_centres(centres: Floats, factor: int) -> Floats | None:
    """Returns the middles of merged cells of a straight line, each rounded once; None where the centres are no line of equal steps.

    >>> even_centres(np.array([0.05, 0.15, 0.25]), 2).tolist()
    [0.1, 0.25]
    """
    n = centres.size
    if n < 2:
        return None
    step = (centres[-1] - centres[0]) / (n - 1)
    noise = 8 * np.finfo(np.float64).eps * max(abs(centres[0]), abs(centres[-1]))
    if step == 0 or np.abs(centres - (centres[0] + step * np.arange(n))).max() > noise:
        return None
    cuts = borders(n, factor)
    low, high = centres[cuts[:-1]], centres[cuts[1:] - 1]
    return low + (high - low) / 2


def unwrapped(longitudes: Floats) -> Floats:
    """Returns longitudes that go on past the meridian where they jump by 360 degrees.

    >>> unwrapped(np.array([359.0, 0.0, 1.0])).tolist()
    [359.0, 360.0, 361.0]
    """
    return np.unwrap(longitudes, period=360.0) if np.isfinite(longitudes).all() else longitudes


def wrapped(longitudes: Floats, like: Array) -> Floats:
    """Returns longitudes of merged cells in the circle of those of the base, where the base jumps over its meridian; else as they are.

    >>> wrapped(np.array([359.5, 361.5]), np.array([359.0, 0.0, 1.0, 2.0])).tolist()
    [359.5, 1.5]
    """
    flat = like.astype(np.float64)
    low, high = float(np.nanmin(flat)), float(np.nanmax(flat))
    if flat.ndim == 1 and np.array_equal(unwrapped(flat), flat):
        return longitudes
    start = 0.0 if low >= 0 and high <= 360 else -180.0 if low >= -180 and high <= 180 else low
    beyond = (longitudes < min(start, low)) | (longitudes >= max(start + 360, high))
    return np.where(beyond, (longitudes - start) % 360 + start, longitudes)


def window_means(values: Array, factors: Sequence[int]) -> Floats:
    """Returns the mean of each window of the leading axes, of the members that are there and not NaN; other axes stay."""
    total = np.where(np.isnan(values), 0.0, values).astype(np.float64) if values.dtype.kind == "f" else values.astype(np.float64)
    count = (~np.isnan(values)).astype(np.float64) if values.dtype.kind == "f" else np.ones(values.shape)
    for axis, factor in enumerate(factors):
        starts = borders(total.shape[axis], factor)[:-1]
        total, count = np.add.reduceat(total, starts, axis=axis), np.add.reduceat(count, starts, axis=axis)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / np.where(count == 0, np.nan, count))


def sphere_centres(latitudes: Floats, longitudes: Floats, factors: Sequence[int]) -> tuple[Floats, Floats]:
    """Returns latitudes and longitudes of merged cells of a curvilinear grid `(n_y, n_x)`: directions of the mean of the members' unit vectors.

    >>> lat, lon = sphere_centres(np.zeros((1, 2)), np.array([[359.0, 2.0]]), (1, 2))
    >>> round(float(lon[0, 0]), 9)
    0.5
    """
    phi, lam = np.deg2rad(latitudes), np.deg2rad(longitudes)
    x, y, z = (window_means(v, factors) for v in (np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)))
    return np.rad2deg(np.arctan2(z, np.hypot(x, y))), wrapped(np.rad2deg(np.arctan2(y, x)), longitudes)


_CORNERS = ((0, 0), (0, 1), (1, 1), (1, 0))
"""Vertices of a cell, counter-clockwise where y and x rise. Source: CF conventions 7.1."""
_ORDERS = tuple(tuple(_CORNERS[(start + turn * k) % 4] for k in range(4)) for start, turn in product(range(4), (1, -1)))


def corner_order(vertices: Sequence[Array], period: float | None = None) -> tuple[tuple[int, int], ...] | None:
    """Returns at which corner (0 or 1 along y, along x) each of the four vertices of every cell lies; None where neighbours share none.

    `vertices` are arrays `(n_y, n_x, 4)`, of latitudes and longitudes; the vertices of neighbours must agree.
    """
    for order in _ORDERS:
        place = {corner: k for k, corner in enumerate(order)}
        pairs = [(v[:, :-1, place[a, 1]], v[:, 1:, place[a, 0]]) for v in vertices for a in (0, 1)]
        pairs += [(v[:-1, :, place[1, b]], v[1:, :, place[0, b]]) for v in vertices for b in (0, 1)]
        if all(_alike(a, b, period) for a, b in pairs):
            return order
    return None


def _alike(a: Array, b: Array, period: float | None) -> bool:
    off = np.abs(a.astype(np.float64) - b)
    off = np.minimum(off % period, -off % period) if period is not None else off
    return bool((off[np.isfinite(off)] <= 1e-4).all())


def merged_vertices(vertices: Array, factors: Sequence[int], order: Sequence[tuple[int, int]]) -> Array:
    """Returns the four vertices of merged cells `(m_y, m_x, 4)`: each is the vertex of the member at that corner."""
    ys, xs = (borders(n, f) for n, f in zip(vertices.shape[:2], factors, strict=True))
    out = np.empty((len(ys) - 1, len(xs) - 1, 4), vertices.dtype)
    for k, (a, b) in enumerate(order):
        rows = ys[1:] - 1 if a else ys[:-1]
        columns = xs[1:] - 1 if b else xs[:-1]
        out[..., k] = vertices[np.ix_(rows, columns)][..., k]
    return out
