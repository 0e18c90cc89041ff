"""What the layouts of N5 share: arrays `s0`, `s1`, ... in a group, lists of axes with the fastest first, levels of block means.

Everything that this family writes about axes beside COSEM's `transform` runs x, y, z, whatever the container; here it is turned round into
the stored order of the arrays, once. Source: formats.md 3, 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from ziggurat import geometry
from ziggurat.model import JSON, ArrayInfo, Axis, kind_of
from ziggurat.node import Node
from ziggurat.problems import DocumentError

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
    """True for a number that a float64 can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 2**1000 if isinstance(value, int) else math.isfinite(value)


def words(value: JSON, ndim: int | None = None) -> tuple[str, ...] | None:
    """Returns a list of strings with its axes turned round, None for anything else, or for another length than `ndim`."""
    if not isinstance(value, (list, tuple)) or (ndim is not None and len(value) != ndim):
        return None
    found = tuple(v for v in reversed(value) if isinstance(v, str))
    return found if len(found) == len(value) else None


def positive(value: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Returns numbers when all of them are above zero."""
    return value if value is not None and all(v > 0 for v in value) else None


def axes_of_space(ndim: int, unit: str | None = None, *, extra: Mapping[str, JSON] | None = None) -> tuple[Axis, ...]:
    """Returns the axes that this family never names: x fastest, then y, z, and further ones by number, all `inferred` by the rank.

    >>> [axis.name for axis in axes_of_space(3)], [axis.name for axis in axes_of_space(4)]
    (['z', 'y', 'x'], ['c', 'z', 'y', 'x'])
    """
    names = [f"dim_{i}" for i in range(ndim - 4)] + list("czyx"[-ndim:])
    spatial = [kind_of(name) == "space" for name in names]
    return tuple(
        Axis(name, kind_of(name), unit if space else None, "inferred", dict(extra or {}) if space else {}) for name, space in zip(names, spatial, strict=True)
    )


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
