"""n5-viewer: arrays `s0`, `s1`, ... of block means, their factors on the arrays, and the resolution of the base repeated on each.

The older form keeps `scales` and the resolution on the group. Channels are groups `c0`, `c1`, ... of such levels. Nothing names axes: they are
x, y, z from the fastest on. Source: saalfeldlab/n5-viewer, readme; saalfeldlab/n5-universe; formats.md 4.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ziggurat.layouts import mipmaps
from ziggurat.layouts.ports import Evidence, Facts, Member, ReadOnly
from ziggurat.layouts.rules import problem
from ziggurat.layouts.units import long_unit
from ziggurat.model import JSON, Level, Multiscale
from ziggurat.node import Node
from ziggurat.problems import DocumentError, Problem

NAME = "n5-viewer"
ID = f"{NAME}@1"
GROUP_KEYS = ("scales", "downsamplingFactors", "pixelResolution", "resolution")
"""What the older form keeps on the group."""
MAX_CHANNELS = 64


class Resolution(NamedTuple):
    """Step of the base in stored order, and its unit."""

    steps: tuple[float, ...]
    unit: str | None


@dataclass(frozen=True, slots=True)
class N5ViewerLayout(ReadOnly):
    """`n5-viewer@1`: the convention has no versions."""

    name: str = NAME
    versions: tuple[str, ...] = ("1",)

    @property
    def facts(self) -> Facts:
        return Facts(
            title="n5-viewer",
            marks="arrays `s0`, `s1`, ... with `downsamplingFactors` or `pixelResolution`, or a group with `scales`; channels `c0`, `c1`, ... of them",
            geometry="step = resolution of the base x factor, centre of sample 0 = resolution x (factor - 1) / 2; `affineTransform` is applied last",
            axes="never named: x, y, z from the fastest on; a fourth is the channel",
            keeps="read only",
            source="n5-viewer, readme; n5-universe, N5ViewerMultiscaleMetadataParser",
            software=("n5-viewer", "n5-universe", "Neuroglancer"),
        )

    def detect(self, node: Node) -> Evidence | None:
        base = mipmaps.first_level(node)
        if base is not None:
            return Evidence(ID, "named", _marks(node, base)) if _marks(node, base) else None
        if node.container == "n5" and "multiscales" not in node.attributes and _channels(node, 1):
            return Evidence(ID, "named", "a group 'c0' holds 's0'", "members")
        return None

    def members(self, node: Node) -> tuple[tuple[Member, ...], tuple[Problem, ...]]:
        if node.container != "n5" or mipmaps.first_level(node) is not None:
            return (), ()
        names = _channels(node, MAX_CHANNELS)
        return tuple(Member(name, name, "channel", {"channel": k}) for k, name in enumerate(names)), ()

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        stored = mipmaps.stored_levels(node)
        problems = [problem("N5V001", level.path, level.wrong, "correct the array's document") for level in stored if level.wrong]
        base = stored[0].info if stored else None
        if base is None:
            return (), (*problems, *([] if stored else [problem("N5V001", "s0", "no array there", "n5-viewer looks for the base at 's0'")]))
        resolution, wrong = _resolution(node, stored, base.ndim)
        problems += wrong
        listed = node.attributes.get("downsamplingFactors", node.attributes.get("scales"))
        steps, lacking = mipmaps.read_factors(stored, listed, base.ndim)
        hint = "state how many base samples lie in one, along x, y, z"
        problems += [problem("N5V002", f"{path}: downsamplingFactors", "is absent, or no list of numbers above 0; told from shapes", hint) for path in lacking]
        known = resolution is not None
        found = resolution or Resolution((1.0,) * base.ndim, None)
        levels = mipmaps.levels_of(stored, steps, found.steps, (0.0,) * base.ndim, known=known)
        problems += mipmaps.size_problems(stored, steps, "N5V005")
        placed, wrong = _transformed(stored, levels, base.ndim)
        problems += wrong
        if placed is not None:
            levels = mipmaps.with_placed(levels, placed)
        axes = mipmaps.axes_of_space(base.ndim, long_unit(found.unit))
        return (Multiscale(levels, axes, layout=ID, world=None if placed is None else placed.world),), tuple(problems)


LAYOUT = N5ViewerLayout()


def _marks(node: Node, base: Node) -> str:
    """Returns what says that arrays `s0`, ... are levels, empty when nothing does."""
    group = next((key for key in GROUP_KEYS if key in node.attributes), None)
    if group is not None:
        return f"the group states {group!r} and holds 's0'"
    if "pixelResolution" in base.attributes:
        return "an array 's0' states 'pixelResolution'"
    try:
        return "an array 's1' states 'downsamplingFactors'" if "downsamplingFactors" in node.child("s1").attributes else ""
    except DocumentError:
        return ""


def _channels(node: Node, at_most: int) -> tuple[str, ...]:
    """Returns the groups `c0`, `c1`, ... that hold `s0`, until one is missing."""
    names: list[str] = []
    try:
        while len(names) < at_most and node.child(f"c{len(names)}/s0").array_document is not None:
            names.append(f"c{len(names)}")
    except DocumentError:
        return tuple(names)
    return tuple(names)


def parsed_resolution(value: JSON, ndim: int) -> Resolution | None:
    """Returns a `pixelResolution`: an object of `dimensions` and `unit`, or a bare list.

    >>> parsed_resolution({"unit": "um", "dimensions": [0.1, 0.1, 0.3]}, 3), parsed_resolution([1, 2], 2), parsed_resolution([1, 0], 2)
    (Resolution(steps=(0.3, 0.1, 0.1), unit='um'), Resolution(steps=(2.0, 1.0), unit=None), None)
    """
    unit = value.get("unit") if isinstance(value, Mapping) else None
    steps = mipmaps.padded(value.get("dimensions") if isinstance(value, Mapping) else value, ndim)
    return None if steps is None else Resolution(tuple(map(float, steps)), unit if isinstance(unit, str) else None)


def _resolution(node: Node, stored: Sequence[mipmaps.Stored], ndim: int) -> tuple[Resolution | None, list[Problem]]:
    """Returns the resolution of the base: the first level's own, else the group's; and where levels state another."""
    problems: list[Problem] = []
    hint = "write the resolution of the base along x, y, z on every level"
    stated = {level.path: level.attributes["pixelResolution"] for level in stored if "pixelResolution" in level.attributes}
    found: dict[str, Resolution] = {}
    for path, value in stated.items():
        one = parsed_resolution(value, ndim)
        if one is None:
            problems.append(problem("N5V003", f"{path}: pixelResolution", f"is {value!r}; expected {ndim} numbers above 0", hint))
        else:
            found[path] = one
    for path, one in found.items():
        first = next(iter(found.values()))
        if one != first:
            message = (
                f"states {list(one.steps)} {one.unit or ''} in C order, and {next(iter(found))!r} states {list(first.steps)} {first.unit or ''}, which holds"
            )
            problems.append(problem("N5V004", f"{path}: pixelResolution", message, hint))
    own = next(iter(found.values()), None)
    if own is not None and own.unit is None:
        problems.append(
            problem("N5V006", f"{next(iter(found))}: pixelResolution", "states no unit; n5-viewer means micrometers, others pixels", "state the unit")
        )
    if own is not None:
        return own, problems
    return _of_group(node.attributes, ndim), problems


def _of_group(attributes: Mapping[str, JSON], ndim: int) -> Resolution | None:
    """Returns what the older form, and Neuroglancer, keep on the group."""
    if "pixelResolution" in attributes:
        return parsed_resolution(attributes["pixelResolution"], ndim)
    units = mipmaps.words(attributes.get("units"))
    found = parsed_resolution(attributes.get("resolution"), ndim)
    return found if found is None or not units or len(set(units[-3:])) != 1 else Resolution(found.steps, units[-1])


def _transformed(stored: Sequence[mipmaps.Stored], levels: Sequence[Level], ndim: int) -> tuple[mipmaps.Placed | None, list[Problem]]:
    """Returns where `affineTransform` of the base carries the levels."""
    value = stored[0].attributes.get("affineTransform")
    if value is None:
        return None, []
    rows = mipmaps.affine_rows(value, ndim)
    placed = None if rows is None else mipmaps.carried([level.scale or () for level in levels], [level.translation or () for level in levels], rows)
    if placed is None:
        message = f"is {value!r}; expected {ndim * (ndim + 1)} numbers, rows of x, y, z, of a matrix that has an inverse"
        return None, [problem("N5V007", "s0: affineTransform", message, "write it again, or delete it")]
    return placed, []
