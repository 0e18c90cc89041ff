"""What layouts of the xarray family share: variables in groups, and geometry that stands in one-dimensional arrays of coordinates.

A level is an array in a group of its own; beside it lies, for each of its dimensions, an array of that name with the coordinate of every
sample's CENTRE. What lies on a straight line becomes scale and translation; what does not is kept in `Level.coordinates` as well.
Source: formats.md 5, 6; maths.md 3.1; CF conventions 5, 8.1.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from ziggurat import geometry
from ziggurat.layouts.ports import SmallArray
from ziggurat.layouts.rules import problem
from ziggurat.layouts.series import ratios, same_text
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Multiscale, Provenance, kind_of
from ziggurat.node import Node, resolve
from ziggurat.problems import DocumentError, PathError, Problem, StorageError, UnsupportedError

_EPSILON: Mapping[str, float] = MappingProxyType({"float32": 2.0**-23, "float16": 2.0**-10})
_CF_AXES: Mapping[str, str] = MappingProxyType({"X": "space", "Y": "space", "Z": "space", "T": "time"})
PACKING = ("scale_factor", "add_offset", "_FillValue", "missing_value")
"""How numbers were stored: of no use for those that were read."""
OWN_KEYS = frozenset({"_ARRAY_DIMENSIONS", "units", *PACKING})
MAX_VARIABLES = 1000
"""More than any dataset has: each is asked for its document."""


class Rules(NamedTuple):
    """Ids of the rules that reading coordinates can find broken."""

    array: str
    """A level has no array, or one of other dimensions."""
    coordinate: str
    """A coordinate cannot be used."""
    irregular: str
    """A coordinate is no straight line."""


def number_of(text: str) -> float:
    """Returns the number that a text spells, or that xarray has written as base64 of its eight bytes. Raises ValueError.

    >>> number_of("-1.5"), number_of("AAAAAADAc8A=")
    (-1.5, -316.0)
    """
    try:
        return float(text)
    except ValueError:
        data = base64.b64decode(text, validate=True)
        if len(data) != 8:
            raise ValueError(f"{text!r} is no number") from None
        number: float = struct.unpack("<d", data)[0]
        return number


@dataclass(frozen=True, slots=True)
class Coordinate:
    """The coordinate of one axis at one level, as it is stored beside the array."""

    values: tuple[float, ...] | tuple[str, ...]
    attributes: Mapping[str, JSON]
    line: geometry.Line | None
    """None for words."""

    @property
    def unit(self) -> str | None:
        return same_text(self.attributes.get("units")) or None


@dataclass(frozen=True, slots=True)
class Found:
    """One level as it is stored: an array in a group, with its coordinates."""

    path: str
    loc: str
    array: ArrayInfo | None
    dims: tuple[str, ...]
    attributes: Mapping[str, JSON]
    coordinates: Mapping[str, Coordinate]
    location: str | None = None


class Stated(NamedTuple):
    """What a document beside the coordinates says of a level."""

    scale: tuple[float, ...] | None = None
    translation: tuple[float, ...] | None = None


# --- finding -------------------------------------------------------------------------------------------------------------


def names_below(node: Node) -> tuple[str, ...]:
    """Returns the names directly below a group: by listing, or from the consolidated copy where a store cannot be listed."""
    try:
        return node.children()
    except StorageError:
        copy = node.consolidated()
        if copy is None:
            raise
        heads = (key.split("/")[0] for key in copy if "/" in key)
        return tuple(dict.fromkeys(heads))


def variables(group: Node) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Returns the data variables of a group with the names of their dimensions; unreadable arrays are passed over.

    What is the coordinate of its own dimension, or is named as coordinate, bounds or grid mapping by another or by the group, is none.
    """
    found: dict[str, tuple[str, ...]] = {}
    auxiliary = set(_named_by(group.attributes))
    for name in names_below(group)[:MAX_VARIABLES]:
        try:
            node = group.child(name)
            info = node.array
            auxiliary |= set(_named_by(node.attributes)) if info is not None else set()
        except DocumentError:
            continue  # It is nobody's level; `check` of the level's own group would tell.
        dims = () if info is None else dimensions(info)
        if dims and dims != (name,):
            found[name] = dims
    return tuple((name, dims) for name, dims in found.items() if name not in auxiliary)


def _named_by(attributes: Mapping[str, JSON]) -> Iterator[str]:
    """Yields the variables that are there for another one. Source: CF conventions 5, 7.1."""
    for key in ("coordinates", "bounds", "grid_mapping"):
        value = attributes.get(key)
        yield from value.replace(":", " ").split() if isinstance(value, str) else ()


def dimensions(info: ArrayInfo) -> tuple[str, ...]:
    """Returns the names of an array's dimensions; none when one of them has none, or two have the same."""
    names = info.dimension_names or ()
    plain = tuple(name for name in names if name)
    return plain if len(plain) == len(names) == info.ndim == len(set(plain)) else ()


def find_level(node: Node, path: str, loc: str, rules: Rules, *, group: Node | None = None, names: Sequence[str] = ()) -> tuple[Found, list[Problem]]:
    """Returns the array at a path below a node with the coordinates beside it, and what is wrong with them.

    Parameters
    ----------
    group
        Where the array and its coordinates lie when that is not below `node` (the target of a link).
    names
        Of the dimensions, for an array that does not name them.
    """
    above, _, name = path.rpartition("/")
    try:
        here = group if group is not None else (node.child(above) if above else node)
        child = here.child(name)
        info = child.array
    except DocumentError as error:
        message = f"the array at {path!r} cannot be read: {error}"
        return Found(path, loc, None, (), {}, {}), [problem(rules.array, loc, message, "correct its metadata document")]
    if info is None:
        what = f"found a {child.kind}" if child.kind != "absent" else "nothing is there"
        message = f"no array at {path!r} ({what}), so this level cannot be read"
        return Found(path, loc, None, (), {}, {}), [problem(rules.array, loc, message, "restore the array, or take it off the list")]
    dims = dimensions(info) or (tuple(names) if len(set(names)) == info.ndim else ())
    attributes = child.attributes
    location = child.location if group is not None else None
    problems: list[Problem] = []
    if not dims and info.ndim:
        message = f"{path!r} does not name its dimensions, so no coordinate belongs to them"
        problems.append(problem(rules.array, loc, message, "write dimension_names (Zarr v3) or _ARRAY_DIMENSIONS (Zarr v2)"))
    coordinates: dict[str, Coordinate] = {}
    for dim, size in zip(dims, info.shape, strict=False):
        found, wrong = _coordinate(here, dim, size, path, loc, rules)
        problems += wrong
        coordinates |= {dim: found} if found is not None else {}
    return Found(path, loc, info, dims, attributes, coordinates, location), problems


def _coordinate(group: Node, name: str, size: int, path: str, loc: str, rules: Rules) -> tuple[Coordinate | None, list[Problem]]:
    """Returns the coordinate of one dimension, None when there is none; a broken one is reported and passed over."""
    try:
        node = group.child(resolve(name, "dimension"))
        info = node.array
        values = group.values(name) if info is not None and info.shape == (size,) else None
        attributes = node.attributes if info is not None else {}
    except (DocumentError, StorageError, UnsupportedError) as error:
        return None, [problem(rules.coordinate, loc, f"the coordinate {name!r} of {path!r} cannot be read: {error}", "store it again, as plain numbers")]
    if info is None:
        return None, []
    if info.shape != (size,):
        message = f"the coordinate {name!r} has the shape {list(info.shape)}; {path!r} has {size} samples along it"
        return None, [problem(rules.coordinate, loc, message, "store one coordinate per sample; the array wins")]
    if values is None or not values:
        return None, []
    words = tuple(value for value in values if isinstance(value, str))
    if words:
        return (Coordinate(words, attributes, None), []) if len(words) == len(values) else (None, [])
    numbers = unpacked([float(value) for value in values], attributes)
    line = geometry.line(numbers, epsilon=_EPSILON.get(info.dtype, 2.0**-52)) if all(map(math.isfinite, numbers)) else None
    if line is None:
        found = "numbers that are not finite" if not all(map(math.isfinite, numbers)) else "the same place for all samples"
        return None, [problem(rules.coordinate, loc, f"the coordinate {name!r} of {path!r} holds {found}", "store the place of each sample")]
    if line.is_straight:
        return Coordinate(numbers, attributes, line), []
    message = f"the coordinate {name!r} of {path!r} is no straight line; scale and translation are those of a line through it, the coordinates are kept"
    return Coordinate(numbers, attributes, line), [problem(rules.irregular, loc, message)]


def unpacked(numbers: Sequence[float], attributes: Mapping[str, JSON]) -> tuple[float, ...]:
    """Returns numbers as CF means them: times `scale_factor`, plus `add_offset`. Source: CF conventions 8.1."""
    factor, offset = (attributes.get(key, default) for key, default in (("scale_factor", 1.0), ("add_offset", 0.0)))
    if not isinstance(factor, (int, float)) or not isinstance(offset, (int, float)) or (factor == 1 and offset == 0):
        return tuple(numbers)
    return tuple(number * factor + offset for number in numbers)


# --- from coordinates to levels ------------------------------------------------------------------------------------------


def axes_of(found: Sequence[Found], *, unit: str | None = None) -> tuple[Axis, ...]:
    """Returns the axes that the base names, with the unit and the attributes of its coordinates.

    `unit` is that of axes of space whose coordinate states none.
    """
    base = next((level for level in found if level.array is not None), None)
    if base is None or base.array is None:
        return ()
    if not base.dims:
        return tuple(Axis(f"dim_{i}", provenance="absent") for i in range(base.array.ndim))
    axes = []
    for name in base.dims:
        coordinate = base.coordinates.get(name)
        attributes = coordinate.attributes if coordinate is not None else {}
        kind = _CF_AXES.get(str(attributes.get("axis"))) or kind_of(name) or kind_of(same_text(attributes.get("standard_name")))
        stated = coordinate.unit if coordinate is not None else None
        extra = {key: value for key, value in attributes.items() if key not in OWN_KEYS}
        axes.append(Axis(name, kind, stated or (unit if kind == "space" else None), extra=extra))
    return tuple(axes)


def levels_of(found: Sequence[Found], axes: Sequence[Axis], rules: Rules, *, stated: Sequence[Stated] = ()) -> tuple[tuple[Level, ...], list[Problem]]:
    """Returns the levels, each placed by its coordinates, and what is wrong with them.

    An axis without coordinates is placed by what is `stated` of it elsewhere, else by the shapes, aligned at the lower corner; a single
    sample has the step that the next finer level and the sizes tell. Numbers of the whole level are `inferred` when that happened to an axis that is reduced.
    """
    names = tuple(axis.name for axis in axes)
    placed: list[Level] = []
    problems: list[Problem] = []
    for level, said in zip(found, stated or [Stated()] * len(found), strict=True):
        bare = Level(level.path, array=level.array, location=level.location)
        if level.array is None:
            placed.append(bare)
            continue
        if level.dims and level.dims != names:
            message = f"{level.path!r} has the dimensions {', '.join(level.dims)}; the base has {', '.join(names)}"
            problems.append(problem(rules.array, level.loc, message, "store the levels with the same dimensions in the same order"))
        if level.array.ndim != len(axes) or (level.dims and level.dims != names):
            placed.append(bare)
            continue
        finer = [before for before in placed if before.scale is not None]
        problems += _reduced_words(level, finer[:1], rules)
        placed.append(_placed(bare, level, names, finer, said))
    return tuple(placed), problems


def _placed(bare: Level, level: Found, names: Sequence[str], finer: Sequence[Level], said: Stated) -> Level:
    shape = level.array.shape if level.array is not None else ()
    base, near = (finer[0], finer[-1]) if finer else (None, None)
    factors = ratios(base.array.shape, shape) if base is not None and base.array is not None else (Fraction(1),) * len(shape)
    steps = ratios(near.array.shape, shape) if near is not None and near.array is not None else (Fraction(1),) * len(shape)
    scale, translation, irregular = [], [], {}
    guessed_scale = guessed_place = False
    for i, name in enumerate(names):
        coordinate = level.coordinates.get(name)
        line = coordinate.line if coordinate is not None else None
        matters = factors[i] != 1 or (base is None and coordinate is None and kind_of(name) == "space")
        if line is None:
            s0, t0 = (base.scale[i], base.translation[i]) if base is not None and base.scale and base.translation else (1.0, 0.0)
            scale.append(said.scale[i] if said.scale else geometry.level_scale((s0,), (factors[i],))[0])
            translation.append(said.translation[i] if said.translation else geometry.level_translation((s0,), (t0,), (factors[i],), "centre")[0])
            guessed_scale = guessed_scale or (matters and not said.scale)
            guessed_place = guessed_place or (matters and not said.translation)
        else:
            fine = near.scale[i] if near is not None and near.scale else 1.0
            scale.append(line.scale or (said.scale[i] if said.scale else geometry.level_scale((fine,), (steps[i],))[0]))
            translation.append(line.translation)
            guessed_scale = guessed_scale or (matters and line.scale == 0 and not said.scale)
        if coordinate is not None and (line is None or not line.is_straight):
            irregular[name] = coordinate.values
    how: tuple[Provenance, Provenance] = ("inferred" if guessed_scale else "stated", "inferred" if guessed_place else "stated")
    return replace(bare, scale=tuple(scale), translation=tuple(translation), scale_provenance=how[0], translation_provenance=how[1], coordinates=irregular)


def _reduced_words(level: Found, base: Sequence[Level], rules: Rules) -> Iterator[Problem]:
    """A name per sample belongs to an axis that is not reduced: half of two names is none. Source: maths.md 3.1."""
    for i, name in enumerate(level.dims):
        coordinate = level.coordinates.get(name)
        large = base[0].array.shape if base and base[0].array is not None else ()
        if coordinate is not None and coordinate.line is None and level.array is not None and large[i : i + 1] not in ((), level.array.shape[i : i + 1]):
            message = f"the coordinate {name!r} of {level.path!r} holds words, and the axis is reduced from {large[i]} to {level.array.shape[i]}"
            yield problem(rules.coordinate, level.loc, message, "reduce only axes whose coordinates are numbers")


def order_problem(found: Sequence[Found], rule: str) -> list[Problem]:
    """Returns the first place where a later level is not smaller than the one before it: no axis may grow, one must shrink."""
    known = [level for level in found if level.array is not None]
    for large, small in pairwise(known):
        a, b = (level.array.shape if level.array is not None else () for level in (large, small))
        if len(a) == len(b) and not (all(m >= n for m, n in zip(a, b, strict=True)) and a != b):
            what = "as large as" if a == b else "larger than"
            message = f"{small.path!r} of shape {list(b)} is {what} the array before it, of shape {list(a)}; expected it to be smaller"
            return [problem(rule, small.loc, message, "list the largest array first, and each array once")]
    return []


# --- writing -------------------------------------------------------------------------------------------------------------


def written_coordinates(multiscale: Multiscale, level: Level) -> dict[str, SmallArray]:
    """Returns the coordinates of a level by axis: what it holds where that is no line, else the line itself."""
    found = {}
    for i, axis in enumerate(multiscale.axes):
        n = level.array.shape[i] if level.array is not None else 0
        scale, translation = (level.scale or (1.0,) * multiscale.ndim)[i], (level.translation or (0.0,) * multiscale.ndim)[i]
        held = level.coordinates.get(axis.name, ())
        words = tuple(value for value in held if isinstance(value, str))
        numbers = tuple(value for value in held if not isinstance(value, str))
        attributes = {key: value for key, value in axis.extra.items() if key not in OWN_KEYS}
        unit: dict[str, JSON] = {"units": axis.unit} if axis.unit is not None else {}
        if words and len(words) == n:
            found[axis.name] = SmallArray(axis.name, words, f"<U{max(map(len, words)) or 1}", {**attributes, **unit})
        else:
            place = numbers if len(numbers) == n else geometry.points(n, scale, translation)
            found[axis.name] = SmallArray(axis.name, place, "float64", {**attributes, **unit})
    return found


def named_dimensions(level: Level, axes: Sequence[Axis]) -> dict[str, JSON]:
    """Returns the attribute that names the dimensions of a level's array in Zarr v2; in v3 they are part of the array's own document."""
    return {"_ARRAY_DIMENSIONS": [axis.name for axis in axes]} if level.array is not None and level.array.zarr_format == 2 else {}


def agreed_coordinates(multiscales: Sequence[Multiscale], groups: Sequence[Sequence[str]]) -> tuple[dict[str, SmallArray], tuple[str, ...]]:
    """Returns all coordinates by path, and the paths for which two multiscales want different ones.

    `groups` holds, per multiscale, the path of the group that each level's array lies in (`""` is the root).
    """
    found: dict[str, SmallArray] = {}
    differ = []
    for multiscale, paths in zip(multiscales, groups, strict=True):
        for level, group in zip(multiscale.levels, paths, strict=True):
            for name, small in written_coordinates(multiscale, level).items():
                path = f"{group}/{name}" if group else name
                if found.setdefault(path, small).values != small.values:
                    differ.append(path)
    return found, tuple(differ)


def wrong_names(axes: Sequence[Axis], target: str) -> str | None:
    """Returns why the names of axes cannot be those of arrays beside the image, None when they can."""
    names = [axis.name for axis in axes]
    if len(set(names)) != len(names):
        return f"the axes are {', '.join(map(repr, names))}, and {target} keeps coordinates by the name of the axis, so each needs its own"
    for name in names:
        try:
            plain = "/" not in resolve(name)
        except PathError:
            plain = False
        if not plain:
            return f"axis {name!r}: {target} keeps coordinates in an array of this name, and it is no name of an array"
    return None


def plain_name(name: str | None, default: str, taken: Sequence[str] = ()) -> str:
    """Returns a name that is one part of a path and none of `taken`.

    >>> plain_name("a/b", "image"), plain_name(None, "image"), plain_name("x", "image", ("x", "y"))
    ('a_b', 'image', 'x_image')
    """
    try:
        plain = resolve((name or default).replace("/", "_"))
    except PathError:
        plain = default
    return f"{plain}_{default}" if plain in taken else plain
