"""What the layouts of N5 share: arrays `s0`, `s1`, ... in a group, lists of axes with the fastest first, levels of block means.

Everything that this family writes about axes beside COSEM's `transform` runs x, y, z, whatever the container; here it is turned round into
the stored order of the arrays, once. Source: formats.md 3, 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from ziggurat import geometry
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Provenance, kind_of
from ziggurat.node import Node
from ziggurat.problems import DocumentError, Problem

LARGEST = 10.0**60
"""The universe is 10^51 yoctometers wide; products of several such numbers are still float64."""
MAX_LEVELS = 64
"""More halvings than any axis has."""
HABITS = frozenset({"scales", "pixelResolution", "resolution", "units", "axes", "downsamplingFactors", "multiScale", "painteraData", "offset", "unit", "n5"})
"""Attributes by which a Zarr group is taken for one that may hold `s0`; also one without any."""


class Stored(NamedTuple):
    """One array `s<k>`."""

    path: str
    info: ArrayInfo | None
    """None when its document cannot be read; `wrong` then says why."""
    attributes: Mapping[str, JSON]
    wrong: str = ""


def may_hold_levels(node: Node) -> bool:
    """True when it is worth asking for `s0`: no group of other people's says so, and the question costs one request."""
    attributes = node.attributes
    if "multiscales" in attributes or "ome" in attributes or not (node.container == "n5" or not attributes or not HABITS.isdisjoint(attributes)):
        return False
    if node.container is None:
        return node.file("s0/attributes.json") is not None
    return node.kind == "group"


def first_level(node: Node) -> Node | None:
    """Returns the array `s0` of a group, None where there is none or its document cannot be read."""
    if not may_hold_levels(node):
        return None
    try:
        child = node.child("s0")
        return child if child.array_document is not None else None
    except DocumentError:
        return None


def stored_levels(node: Node) -> tuple[Stored, ...]:
    """Returns the arrays `s0`, `s1`, ... of a group until one is missing; nothing is listed."""
    return tuple(_each(node))


def _each(node: Node) -> Iterator[Stored]:
    for k in range(MAX_LEVELS):
        path = f"s{k}"
        try:
            child = node.child(path)
            if child.array_document is None:
                return
            yield Stored(path, child.array, child.attributes)
        except DocumentError as error:
            yield Stored(path, None, {}, str(error))


def numbers(value: JSON, ndim: int | None = None) -> tuple[float, ...] | None:
    """Returns a list of finite numbers with its axes turned round, None for anything else, or for another length than `ndim`.

    >>> numbers([1, 2, 3]), numbers([1, "2"]), numbers([1, 2], 3)
    ((3, 2, 1), None, None)
    """
    if not isinstance(value, (list, tuple)) or (ndim is not None and len(value) != ndim):
        return None
    found = tuple(v for v in reversed(value) if isinstance(v, (int, float)) and is_number(v))
    return found if len(found) == len(value) else None


def is_number(value: JSON) -> bool:
    """True for a number that is 0 or whose size is between 1 / `LARGEST` and `LARGEST`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return value == 0 or 1 / LARGEST <= abs(value) <= LARGEST


def words(value: JSON, ndim: int | None = None) -> tuple[str, ...] | None:
    """Returns a list of strings with its axes turned round, None for anything else, or for another length than `ndim`."""
    if not isinstance(value, (list, tuple)) or (ndim is not None and len(value) != ndim):
        return None
    found = tuple(v for v in reversed(value) if isinstance(v, str))
    return found if len(found) == len(value) else None


def positive(value: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Returns numbers when all of them are above zero."""
    return value if value is not None and all(v > 0 for v in value) else None


def axes_of_space(ndim: int, unit: str | None = None) -> tuple[Axis, ...]:
    """Returns the axes that this family never names: x fastest, then y, z, and further ones by number, all `inferred` by the rank.

    >>> [axis.name for axis in axes_of_space(3)], [axis.name for axis in axes_of_space(4)]
    (['z', 'y', 'x'], ['c', 'z', 'y', 'x'])
    """
    names = [f"dim_{i}" for i in range(ndim - 4)] + list("czyx"[-ndim:])
    spatial = [kind_of(name) == "space" for name in names]
    return tuple(Axis(name, kind_of(name), unit if space else None, "inferred") for name, space in zip(names, spatial, strict=True))


def exact(factors: Sequence[float]) -> tuple[Fraction, ...]:
    """Returns factors as the decimals that they were written as."""
    return tuple(Fraction(f) if isinstance(f, int) else Fraction(repr(float(f))) for f in factors)


def block_means(resolution: Sequence[float], offset: Sequence[float], factors: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns scale and translation of a level of block means: `t = offset + resolution * (f - 1) / 2`. Source: formats.md 4.3, 4.5.

    >>> block_means((3.0, 1.0), (0.0, 10.0), (1, 4))
    ((3.0, 4.0), (0.0, 11.5))
    """
    steps = exact(factors)
    return geometry.level_scale(resolution, steps), geometry.level_translation(resolution, offset, steps, "centre")


def shape_factors(base: ArrayInfo, info: ArrayInfo) -> tuple[Fraction, ...] | None:
    """Returns the factor per axis that two shapes suggest, None for other ranks or empty axes."""
    if base.ndim != info.ndim or 0 in base.shape or 0 in info.shape:
        return None
    return tuple(geometry.ratio(a, b)[0] for a, b in zip(base.shape, info.shape, strict=True))


class Placed(NamedTuple):
    """Where levels lie after an affine: step and centre of sample 0 per level, and what is left of the affine after them."""

    scales: tuple[tuple[float, ...], ...]
    translations: tuple[tuple[float, ...], ...]
    world: tuple[tuple[float, ...], ...] | None


Rows = Sequence[Sequence[Fraction]]


def affine_rows(value: JSON, ndim: int) -> tuple[tuple[Fraction, ...], ...] | None:
    """Returns an affine of `n * (n + 1)` numbers (or a whole matrix, its last row 0 ... 0 1), rows of x, y, z, in the stored order of axes.

    None for anything else. The offset stays in the last column.

    >>> affine_rows([1, 2, 10, 3, 4, 20], 2)
    ((Fraction(4, 1), Fraction(3, 1), Fraction(20, 1)), (Fraction(2, 1), Fraction(1, 1), Fraction(10, 1)))
    """
    found = numbers(value)
    if found is None or len(found) not in (ndim * (ndim + 1), (ndim + 1) ** 2):
        return None
    flat = exact(found[::-1])
    rows = [flat[i * (ndim + 1) : (i + 1) * (ndim + 1)] for i in range(len(flat) // (ndim + 1))]
    if len(rows) == ndim + 1 and rows.pop() != (0,) * ndim + (1,):
        return None
    return tuple((*row[ndim - 1 :: -1], row[ndim]) for row in reversed(rows))


def carried(scales: Sequence[Sequence[float]], translations: Sequence[Sequence[float]], affine: Rows) -> Placed | None:
    """Returns where levels lie when an affine (rows of `n + 1`, the offset last) is applied after scale and translation.

    A diagonal one goes into the numbers. Of any other the matrix is left as `world`, and the offset goes through its inverse into the
    translations, so that `world * (scale * index + translation)` is the whole. None for a matrix that has no inverse, or numbers beyond float64.

    >>> carried([(2.0, 1.0)], [(0.5, 0.0)], [[Fraction(3), Fraction(0), Fraction(1)], [Fraction(0), Fraction(1), Fraction(0)]])
    Placed(scales=((6.0, 1.0),), translations=((2.5, 0.0),), world=None)
    """
    try:
        return _carried(scales, translations, affine)
    except OverflowError:
        return None


def _carried(scales: Sequence[Sequence[float]], translations: Sequence[Sequence[float]], affine: Rows) -> Placed | None:
    ndim = len(affine)
    matrix, offset = [list(row[:ndim]) for row in affine], [row[ndim] for row in affine]
    if all((matrix[i][j] != 0) == (i == j) for i in range(ndim) for j in range(ndim)):
        factors = [matrix[i][i] for i in range(ndim)]
        new_scales = tuple(tuple(float(a * f) for a, f in zip(exact(s), factors, strict=True)) for s in scales)
        moved = tuple(tuple(float(a * f + b) for a, f, b in zip(exact(t), factors, offset, strict=True)) for t in translations)
        return Placed(new_scales, moved, None)
    shift = _solved(matrix, offset)
    if shift is None:
        return None
    moved = tuple(tuple(float(a + b) for a, b in zip(exact(t), shift, strict=True)) for t in translations)
    return Placed(tuple(tuple(map(float, s)) for s in scales), moved, tuple(tuple(map(float, row)) for row in matrix))


def _solved(matrix: Sequence[Sequence[Fraction]], right: Sequence[Fraction]) -> tuple[Fraction, ...] | None:
    """Returns x of `matrix x = right`, exactly, by elimination; None where there is no one answer."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for k in range(len(rows)):
        pivot = next((row for row in rows[k:] if row[k] != 0), None)
        if pivot is None:
            return None
        rows.remove(pivot)
        rows.insert(k, [value / pivot[k] for value in pivot])
        for i, row in enumerate(rows):
            if i != k and row[k] != 0:
                rows[i] = [a - row[k] * b for a, b in zip(row, rows[k], strict=True)]
    return tuple(row[-1] for row in rows)


def composed(outer: Rows, inner: Rows) -> tuple[tuple[Fraction, ...], ...]:
    """Returns the affine that applies `inner` first, then `outer`; rows of `n + 1`."""
    ndim = len(outer)
    return tuple(tuple(sum((row[k] * inner[k][j] for k in range(ndim)), row[ndim] if j == ndim else Fraction(0)) for j in range(ndim + 1)) for row in outer)


def diagonal_inverse(values: Sequence[float]) -> tuple[tuple[Fraction, ...], ...]:
    """Returns the affine that divides each axis by a number other than zero."""
    divisors = exact(values)
    return tuple(tuple(1 / d if i == j else Fraction(0) for j in range(len(divisors) + 1)) for i, d in enumerate(divisors))


class Steps(NamedTuple):
    """Factors of the levels against the first, and whether the document states them all."""

    factors: tuple[tuple[float, ...], ...]
    stated: bool


def levels_of(stored: Sequence[Stored], steps: Steps, resolution: Sequence[float], offset: Sequence[float], *, known: bool) -> tuple[Level, ...]:
    """Returns levels of block means, largest first; `known` says that the document states the resolution.

    Numbers of the base are `stated`; those of other levels follow from stated factors (`derived`), or from shapes (`inferred`).
    """
    levels = []
    for k, (level, factors) in enumerate(zip(stored, steps.factors, strict=True)):
        scale, translation = block_means(resolution, offset, factors)
        how: Provenance = "derived" if steps.stated else "inferred"
        if k == 0:
            how = "stated" if known else "inferred"
        levels.append(Level(level.path, scale, translation, how, how, level.info))
    return tuple(levels)


def with_placed(levels: Sequence[Level], placed: Placed) -> tuple[Level, ...]:
    """Returns levels where an affine has carried them."""
    return tuple(replace(level, scale=s, translation=t) for level, s, t in zip(levels, placed.scales, placed.translations, strict=True))


def read_factors(stored: Sequence[Stored], listed: JSON, ndim: int, *, key: str = "downsamplingFactors") -> tuple[Steps, tuple[str, ...]]:
    """Returns the factors of every level: its own `downsamplingFactors`, else the group's list, else those that the shapes tell.

    Also returns the paths of the levels that state none that can be used.
    """
    found: list[tuple[float, ...]] = []
    lacking = []
    base = stored[0].info
    for k, level in enumerate(stored):
        group = listed[k] if isinstance(listed, (list, tuple)) and k < len(listed) else None
        factors = padded(level.attributes.get(key), ndim) or padded(group, ndim)
        if factors is None and k > 0:
            lacking += [level.path] if level.info is not None else []
            shapes = shape_factors(base, level.info) if base is not None and level.info is not None else None
            factors = tuple(map(float, shapes)) if shapes is not None else (2.0**k,) * ndim
        found.append(factors or (1.0,) * ndim)
    return Steps(tuple(found), not lacking), tuple(lacking)


def padded(value: JSON, ndim: int) -> tuple[float, ...] | None:
    """Returns factors in stored order, 1 for leading axes (channels) that the list leaves out."""
    found = positive(numbers(value))
    if found is None or not ndim - 1 <= len(found) <= ndim:
        return None
    return (1.0,) * (ndim - len(found)) + found


def size_problems(stored: Sequence[Stored], steps: Steps, rule: str) -> list[Problem]:
    """Returns the levels whose sizes their factors do not explain, to within one sample."""
    base = stored[0].info
    problems = []
    for level, factors in zip(stored, steps.factors, strict=True):
        info = level.info
        if base is None or info is None:
            continue
        told = [n / f for n, f in zip(base.shape, factors, strict=True)]
        if info.ndim != base.ndim or any(abs(n - t) > 1 for n, t in zip(info.shape, told, strict=False)):
            message = f"has the shape {list(info.shape)}, and the factors {list(factors)} of {list(base.shape)} tell {[round(t, 2) for t in told]}, in C order"
            problems.append(problem(rule, level.path, message, "correct the factors, or build the level again"))
    return problems
