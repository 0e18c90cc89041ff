"""Pure arithmetic of levels: shapes, cumulative factors, scale, translation, extents, choosing a level.

One axis, N samples at level 0, sample step s, centre of sample 0 at t. A level of cumulative factor F has ceil(N / F)
samples of step F * s. Its first sample lies `first_sample_shift(anchor, F)` base steps from the base's first sample:
(F - 1) / 2 when the value describes the whole window (`"centre"`), 0 when it is the window's first sample (`"first"`).
Everything is computed against level 0, never accumulated level by level. Source: formats.md 0.3, maths.md 3.1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

from ziggurat.problems import LimitError

MAX_POINTS = 2**20
"""Coordinates of one axis that are written; as many as are read."""
Anchor = Literal["centre", "first"]
"""Where in its window a reduced sample lies. The anchor is the first-pixel shift, so the reduction owns it."""

Shape = tuple[int, ...]
Factors = tuple[int, ...]


def level_shape(shape: Shape, factors: Factors) -> Shape:
    """Returns `ceil(n / f)` per axis: partial windows at the end are kept.

    >>> level_shape((7, 101, 3), (2, 2, 1))
    (4, 51, 3)
    """
    return tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))


def cumulative_factors(ladder: Sequence[Factors], ndim: int) -> tuple[Factors, ...]:
    """Returns the factor from level 0 to each level, level 0 included.

    >>> cumulative_factors([(2, 2), (3, 1)], 2)
    ((1, 1), (2, 2), (6, 2))
    """
    return tuple(itertools.accumulate(ladder, lambda a, b: tuple(x * y for x, y in zip(a, b, strict=True)), initial=(1,) * ndim))


def level_shapes(shape: Shape, ladder: Sequence[Factors]) -> tuple[Shape, ...]:
    """Returns the shape of every level, level 0 included, each from the base and its cumulative factor.

    >>> level_shapes((101, 67), [(2, 2), (2, 2)])
    ((101, 67), (51, 34), (26, 17))
    """
    return tuple(level_shape(shape, f) for f in cumulative_factors(ladder, len(shape)))


def first_sample_shift(anchor: Anchor, factor: int | Fraction) -> Fraction:
    """Returns how far a level's first sample lies from the base's first sample, in base steps.

    >>> first_sample_shift("centre", 4), first_sample_shift("first", 4)
    (Fraction(3, 2), Fraction(0, 1))
    """
    return (Fraction(factor) - 1) / 2 if anchor == "centre" else Fraction(0)


def centre_of(corner: float, scale: float) -> float:
    """Returns the centre of sample 0 (our translation) from its lower corner, in the same unit; `scale` may be negative.

    The one place where corner conventions (GeoTIFF, `spatial:transform`, precomputed, WEBKNOSSOS) become ours. Source: formats.md 0.2.

    >>> centre_of(100.0, 20.0), centre_of(0.0, -10.0)
    (110.0, -5.0)
    """
    return _rounded(_exact(corner) + _exact(scale) / 2)


def corner_of(centre: float, scale: float) -> float:
    """Returns the lower corner of sample 0 from its centre: the inverse of `centre_of`.

    >>> corner_of(110.0, 20.0)
    100.0
    """
    return _rounded(_exact(centre) - _exact(scale) / 2)


class Line(NamedTuple):
    """Where the samples of an axis lie, as a straight line through their coordinates."""

    scale: float
    translation: float
    is_straight: bool
    """False where a coordinate leaves the line by more than `TOLERANCE` of a step, and by more than its own type can hold."""


TOLERANCE = 1e-5
"""Of a step: what coordinates may leave a line by rounding. Source: formats.md 5.1."""


def line(coordinates: Sequence[float], *, epsilon: float = 2.0**-52) -> Line | None:
    """Returns the line of an axis from the coordinates of its samples; None where two samples or more share one place, or there are none.

    A single sample has a place and no step: its scale is 0, and the caller knows better. Where only the last sample leaves the line of
    the others (the centre of a partial window), the line is that of the others; otherwise that of the first and the last.

    Parameters
    ----------
    epsilon
        Relative precision of the type in which they are stored: 2**-23 for float32.

    >>> line((0.05, 0.15, 0.25))
    Line(scale=0.1, translation=0.05, is_straight=True)
    >>> line((0.5, 2.5, 4.5, 6.0)), line((0.0, 1.0, 4.0)).scale
    (Line(scale=2.0, translation=0.5, is_straight=False), 2.0)
    """
    n = len(coordinates)
    if n < 2:
        return Line(0.0, coordinates[0], True) if n else None
    noise = 4 * epsilon * max(abs(coordinates[0]), abs(coordinates[-1]))
    step = _step(coordinates, noise)
    if step == 0:
        return None
    if _follows(coordinates, step, noise):
        return Line(step, coordinates[0], True)
    inner = _step(coordinates[:-1], noise) if n > 3 else 0.0
    partial = inner != 0 and _follows(coordinates[:-1], inner, noise) and 0 < (coordinates[-1] - coordinates[-2]) / inner < 1
    return Line(inner if partial else step, coordinates[0], False)


def points(n: int, scale: float, translation: float) -> tuple[float, ...]:
    """Returns the coordinates of the samples of an axis, each rounded once. Raises LimitError for more than `MAX_POINTS`.

    >>> points(3, 0.1, 0.05)
    (0.05, 0.15, 0.25)
    """
    if n > MAX_POINTS:
        most = f"{MAX_POINTS:,} are the most that are written as coordinates"
        raise LimitError(f"an axis of {n:,} samples, and {most}; take a layout that states scale and translation in place of them, such as ome-zarr")
    first, step = _exact(translation), _exact(scale)
    whole = math.lcm(first.denominator, step.denominator)
    start, more = int(first * whole), int(step * whole)
    try:
        return tuple((start + i * more) / whole for i in range(n))
    except OverflowError:
        return tuple(_rounded(first + i * step) for i in range(n))


def _step(coordinates: Sequence[float], noise: float) -> float:
    """Returns the step from first to last: of all numbers that tell the same, the one with the fewest digits."""
    n = len(coordinates) - 1
    step = float((_exact(coordinates[-1]) - _exact(coordinates[0])) / n)
    plain = (float(f"{step:.{digits}g}") for digits in (3, 6, 9, 12, 15))
    return next((short for short in plain if abs(short - step) * n <= noise), step)


def _follows(coordinates: Sequence[float], step: float, noise: float) -> bool:
    allowed = max(TOLERANCE * abs(step), noise)
    return all(abs(value - (coordinates[0] + i * step)) <= allowed for i, value in enumerate(coordinates))


def _exact(value: float | Fraction) -> Fraction:
    """Returns the decimal that `value` was written as, so that 0.1 * 3 is 0.3 and not 0.30000000000000004."""
    return value if isinstance(value, Fraction) else Fraction(repr(float(value)))


def _rounded(value: Fraction) -> float:
    """Returns the nearest float; infinity for a number beyond all of them, which only a hostile document leads to."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def level_scale(base_scale: Sequence[float], factors: Sequence[int | Fraction]) -> tuple[float, ...]:
    """Returns the sample step of a level, in the unit of `base_scale`, correctly rounded once.

    >>> level_scale((0.5, 0.1), (1, 3))
    (0.5, 0.3)
    """
    return tuple(_rounded(_exact(s) * f) for s, f in zip(base_scale, factors, strict=True))


def level_translation(
    base_scale: Sequence[float], base_translation: Sequence[float], factors: Sequence[int | Fraction], anchor: Anchor | Sequence[Anchor]
) -> tuple[float, ...]:
    """Returns the coordinate of the centre of a level's sample 0; `factors` are cumulative, from level 0.

    >>> level_translation((0.5, 0.1), (0.0, 10.0), (1, 4), "centre")
    (0.0, 10.15)
    """
    anchors: Sequence[Anchor] = [anchor] * len(base_scale) if isinstance(anchor, str) else anchor
    return tuple(_rounded(_exact(t) + _exact(s) * first_sample_shift(a, f)) for s, t, f, a in zip(base_scale, base_translation, factors, anchors, strict=True))


def cell_edges(n: int, scale: float, translation: float) -> tuple[float, ...]:
    """Returns the `n + 1` edges of cells whose centres lie `scale` apart, the first one at `translation`.

    >>> cell_edges(2, 0.25, -89.875)
    (-90.0, -89.75, -89.5)
    """
    step, first = _exact(scale), _exact(translation)
    return tuple(float(first + step * (i - Fraction(1, 2))) for i in range(n + 1))


def edges_between(centres: Sequence[float]) -> tuple[float, ...]:
    """Returns the edges of cells around centres that rise or fall: halfway between them, the outer ones as far beyond as the first inner ones lie before.

    >>> edges_between((0.0, 1.0, 3.0))
    (-0.5, 0.5, 2.0, 4.0)
    """
    inner = [(a + b) / 2 for a, b in itertools.pairwise(centres)]
    return (2 * centres[0] - inner[0], *inner, 2 * centres[-1] - inner[-1])


WGS84_ECCENTRICITY = math.sqrt(1 / 298.257223563 * (2 - 1 / 298.257223563))


def latitude_bands(edges: Sequence[float], eccentricity: float = 0.0) -> tuple[float, ...]:
    """Returns the area of the bands between latitudes (degrees, cut at the poles), per radian of longitude; the whole globe has 2.

    On an ellipsoid the sine of the authalic latitude takes the place of the sine. Source: maths.md 3.3; Snyder, Map Projections, 3-12.

    >>> latitude_bands((-90.0, 0.0, 90.0)), latitude_bands((-91.0, -30.0))
    ((1.0, 1.0), (0.5,))
    """
    sines = [_authalic_sine(math.radians(max(-90.0, min(90.0, edge))), eccentricity) for edge in edges]
    return tuple(abs(b - a) for a, b in itertools.pairwise(sines))


def _authalic_sine(latitude: float, eccentricity: float) -> float:
    if not eccentricity:
        return math.sin(latitude)

    def q(sine: float) -> float:
        e = eccentricity
        return (1 - e * e) * (sine / (1 - (e * sine) ** 2) + math.atanh(e * sine) / e)

    return q(math.sin(latitude)) / q(1.0)


@dataclass(frozen=True, slots=True)
class AxisWindows:
    """Windows side by side along one axis of the base, of any length: a sample on a border belongs to both windows, to each by its share.

    Positions are in ticks, `unit` of them per base sample, so that every border is a whole number and every share exact.
    """

    n_base: int
    unit: int = 1
    step: int = 0
    """Ticks from one border to the next; 0 where `edges` says them all."""
    edges: tuple[int, ...] = ()
    """Borders of groups of whole samples, 0 first and `n_base` last; `unit` is then 1."""

    @classmethod
    def of_factor(cls, n_base: int, factor: Fraction | int) -> AxisWindows:
        """Returns windows of `factor` base samples; the last one holds what is there.

        >>> AxisWindows.of_factor(7, Fraction(7, 3)).samples(1, 2), AxisWindows.of_factor(7, 2).n
        ((2, 5), 4)
        """
        exact = Fraction(factor)
        return cls(n_base, exact.denominator, exact.numerator)

    @classmethod
    def of_edges(cls, edges: Sequence[int]) -> AxisWindows:
        """Returns the windows between cuts; equal ones, of which the last may be partial, are those of a factor.

        >>> AxisWindows.of_edges([0, 2, 4, 5]) == AxisWindows.of_factor(5, 2), AxisWindows.of_edges([0, 28, 59]).is_regular
        (True, False)
        """
        lengths = [b - a for a, b in itertools.pairwise(edges)]
        if all(n == lengths[0] for n in lengths[:-1]) and lengths[-1] <= lengths[0]:
            return cls(edges[-1], 1, lengths[0])
        return cls(edges[-1], edges=tuple(edges))

    @property
    def is_regular(self) -> bool:
        """True when scale and translation say where every sample lies."""
        return not self.edges

    @property
    def n(self) -> int:
        """Number of windows."""
        return len(self.edges) - 1 if self.edges else -(-self.n_base * self.unit // self.step)

    @property
    def factor(self) -> Fraction:
        """Base samples per window; of groups that differ the mean."""
        return Fraction(self.n_base, self.n) if self.edges else Fraction(self.step, self.unit)

    @property
    def longest(self) -> int:
        """Ticks of the longest window."""
        lengths = [b - a for a, b in itertools.pairwise(self.edges)]
        return max(lengths) if lengths else min(self.step, self.n_base * self.unit)

    def border(self, index: int) -> int:
        """Returns the tick where window `index` begins, `n` for the end of the last one."""
        return self.edges[index] if self.edges else min(index * self.step, self.n_base * self.unit)

    def samples(self, start: int, stop: int) -> tuple[int, int]:
        """Returns the half-open range of base samples that lie in windows `[start, stop)`, wholly or in part."""
        return self.border(start) // self.unit, -(-self.border(stop) // self.unit)


def window(index: int, factor: int, n_base: int) -> tuple[int, int]:
    """Returns the half-open range of base samples behind sample `index` of a level; the last one may be partial.

    >>> window(3, 2, 7)
    (6, 7)
    """
    return index * factor, min((index + 1) * factor, n_base)


def sample_centre(index: int, factor: int, n_base: int, anchor: Anchor = "centre") -> Fraction:
    """Returns the true place of a level's sample in base steps: the middle of what its window holds, partial or not.

    Equals `index * factor + first_sample_shift(anchor, factor)` for full windows. Source: maths.md 3.1.

    >>> sample_centre(3, 2, 7), sample_centre(0, 2, 7)
    (Fraction(6, 1), Fraction(1, 2))
    """
    first, stop = window(index, factor, n_base)
    return Fraction(first) if anchor == "first" else Fraction(first + stop - 1, 2)


def ratio(n_base: int, n_level: int) -> tuple[Fraction, bool]:
    """Returns the factor that a pair of sizes suggests, and whether an integer explains it (floor or ceil).

    Sizes alone cannot tell more; callers mark the answer `inferred`. Source: formats.md 0.4.

    >>> ratio(275, 137), ratio(1000, 667)
    ((Fraction(2, 1), True), (Fraction(1000, 667), False))
    """
    if n_level < 1 or n_base < 1:
        raise ValueError(f"sizes are {n_base} and {n_level}; both must be at least 1")
    guess = round(n_base / n_level)
    for f in (guess, guess - 1, guess + 1):
        if f >= 1 and n_level in (n_base // f, -(-n_base // f)):
            return Fraction(f), True
    return Fraction(n_base, n_level), False


def extent(shape: Shape, scale: Sequence[float], translation: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """Returns per axis the world interval that the samples cover, edge to edge (half a step beyond the outer centres)."""
    return tuple((t - s / 2, t + s * (n - 0.5)) for n, s, t in zip(shape, scale, translation, strict=True))


def to_world(index: Sequence[float], scale: Sequence[float], translation: Sequence[float]) -> tuple[float, ...]:
    """Returns the world coordinate of a (fractional) sample index."""
    return tuple(s * i + t for i, s, t in zip(index, scale, translation, strict=True))


def to_index(world: Sequence[float], scale: Sequence[float], translation: Sequence[float]) -> tuple[float, ...]:
    """Returns the fractional sample index of a world coordinate; round it for the nearest sample."""
    return tuple((w - t) / s for w, s, t in zip(world, scale, translation, strict=True))


def region(box: Sequence[tuple[float, float]], shape: Shape, scale: Sequence[float], translation: Sequence[float]) -> tuple[slice, ...]:
    """Returns the samples whose cells touch the world `box` (intervals, one per axis), clipped to the array."""
    slices = []
    for (low, high), n, s, t in zip(box, shape, scale, translation, strict=True):
        a, b = sorted(((low - t) / s, (high - t) / s))
        start = max(0, min(n, math.floor(a + 0.5)))
        slices.append(slice(start, max(start, min(n, math.ceil(b + 0.5)))))
    return tuple(slices)
