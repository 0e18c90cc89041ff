"""Transformations of OME-Zarr: the lists of 0.4 and 0.5, the single ones of 0.6 with their coordinate systems. Source: formats.md 2.4, 2.5."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple

from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, Multiscale
from ziggurat.node import word
from ziggurat.problems import Problem

DEFAULT_SYSTEM = "physical"
"""What the system of a multiscale is called when nothing is said. Source: formats.md 2.6."""
WORLD_SYSTEM = "world"
_MATRICES = ("rotation", "affine")
_PARAMETERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "identity": (),
        "mapAxis": ("mapAxis",),
        "projectAxis": ("droppedInputs", "createdOutputs"),
        "scale": ("scale",),
        "translation": ("translation",),
        "affine": ("affine", "path"),
        "rotation": ("rotation", "path"),
        "bijection": ("forward",),
        "sequence": ("transformations",),
        "byDimension": ("transformations",),
        "displacements": ("path",),
        "coordinates": ("path",),
    }
)
"""Type of a transformation of 0.6 -> the keys of which it holds one. Source: formats.md 2.5."""


class Transform(NamedTuple):
    """A scale and a translation, each None where the document states none that can be used."""

    scale: tuple[float, ...] | None = None
    translation: tuple[float, ...] | None = None


def _exact(value: float) -> Fraction:
    return Fraction(repr(float(value)))


def times(outer: tuple[float, ...] | None, inner: tuple[float, ...]) -> tuple[float, ...]:
    """Returns the products of decimal numbers, exact before the one rounding; `inner` where there is nothing to multiply with."""
    return inner if outer is None else tuple(float(_exact(a) * _exact(b)) for a, b in zip(outer, inner, strict=True))


def plus(inner: tuple[float, ...], outer: tuple[float, ...] | None) -> tuple[float, ...]:
    """Returns the sums of decimal numbers, exact before the one rounding; `inner` where there is nothing to add."""
    return inner if outer is None else tuple(float(_exact(a) + _exact(b)) for a, b in zip(inner, outer, strict=True))


def transformations(value: JSON, ndim: int, loc: str) -> tuple[Transform, list[Problem]]:
    """Returns scale and translation of a list of transformations, and every rule that it breaks."""
    if not isinstance(value, (list, tuple)):
        found = "is absent" if value is None else f"is {word(value)}"
        return Transform(), [problem("OME010", loc, f"{found}; expected a list with one scale", 'write [{"type": "scale", "scale": [...]}]')]
    problems: list[Problem] = []
    got: dict[str, tuple[float, ...] | None] = {}
    for i, entry in enumerate(value):
        kind = entry.get("type") if isinstance(entry, Mapping) else None
        where = f"{loc}[{i}]"
        if not isinstance(entry, Mapping) or kind not in ("scale", "translation"):
            problems.append(problem("OME010", where, f"a transformation of type {kind!r}; expected 'scale' or 'translation'", "it is kept, not applied"))
        elif kind in got:
            problems.append(problem("OME010" if kind == "scale" else "OME011", where, f"a second {kind}; expected one", "multiply or add them into one"))
        else:
            if kind == "translation" and "scale" not in got:
                problems.append(problem("OME011", where, "a translation before the scale; expected the scale first", "swap them and adapt the numbers"))
            got[str(kind)], wrong = _vector(entry, str(kind), ndim, where)
            problems += wrong
    if "scale" not in got and not any(p.rule == "OME010" for p in problems):
        problems.append(problem("OME010", loc, "holds no scale; expected exactly one", 'write {"type": "scale", "scale": [...]}'))
    usable = not any(p.rule == "OME011" for p in problems)
    return Transform(got.get("scale"), got.get("translation") if usable else None), problems


def _vector(entry: Mapping[str, JSON], kind: str, ndim: int, loc: str) -> tuple[tuple[float, ...] | None, list[Problem]]:
    value = entry.get(kind)
    if "path" in entry and value is None:
        return None, [problem("OME010", loc, f"the {kind} is stored in an array ({entry['path']!r}), which is not read", f"write the numbers under {kind!r}")]
    if not isinstance(value, (list, tuple)) or len(value) != ndim:
        found = f"{len(value)} numbers" if isinstance(value, (list, tuple)) else word(value) if kind in entry else "nothing"
        return None, [problem("OME012", f"{loc}.{kind}", f"found {found} for {ndim} axes", "write one number per axis")]
    numbers = [float(n) for n in value if isinstance(n, (int, float)) and not isinstance(n, bool) and abs(n) <= 1e300]
    if len(numbers) != ndim or not all(math.isfinite(n) and (n > 0 or kind == "translation") for n in numbers):
        expected = "finite numbers above zero" if kind == "scale" else "finite numbers"
        return None, [problem("OME013", f"{loc}.{kind}", f"found {list(value)!r}; expected {expected}", "correct the numbers")]
    return tuple(numbers), []


# --- 0.6 -----------------------------------------------------------------------------------------------------------------


class System(NamedTuple):
    """One entry of `coordinateSystems`."""

    position: int
    """In the list."""
    name: str
    axes: JSON


def systems_of(raw: Mapping[str, JSON], loc: str) -> tuple[tuple[System, ...], list[Problem]]:
    """Returns the coordinate systems of a multiscale that have a name and axes, and what is wrong with the list."""
    value = raw.get("coordinateSystems")
    where = f"{loc}.coordinateSystems"
    if not isinstance(value, (list, tuple)) or not value:
        found = "is absent" if "coordinateSystems" not in raw else "is empty" if isinstance(value, (list, tuple)) else f"is {word(value)}"
        return (), [problem("OME024", where, f"{found}; expected a list of at least one system", 'write [{"name": "physical", "axes": [...]}]')]
    systems: list[System] = []
    problems = []
    for i, entry in enumerate(value):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if not isinstance(entry, Mapping) or not isinstance(name, str) or not name:
            problems.append(problem("OME024", f"{where}[{i}]", "has no name; expected an object with 'name' and 'axes'", "name the system"))
        elif any(system.name == name for system in systems):
            problems.append(problem("OME024", f"{where}[{i}].name", f"{name!r} is the name of an earlier system", "give each system a name of its own"))
        else:
            systems.append(System(i, name, entry.get("axes")))
    return tuple(systems), problems


def intrinsic(raw: Mapping[str, JSON], systems: Sequence[System]) -> System | None:
    """Returns the system that the datasets lead to: the output of the first that names one, else the first system."""
    for dataset in _objects(raw.get("datasets")):
        for transformation in _objects(dataset.get("coordinateTransformations")):
            name = named(transformation.get("output"), "name")
            found = next((system for system in systems if system.name == name), None)
            if found is not None:
                return found
    return systems[0] if systems else None


def named(value: JSON, key: str) -> str | None:
    """Returns what an input or output refers to; development versions wrote plain strings."""
    found = value.get(key) if isinstance(value, Mapping) else value
    return found if isinstance(found, str) else None


def single(value: JSON, ndim: int, loc: str, *, path: str, system: str | None) -> tuple[Transform, list[Problem]]:
    """Returns scale and translation of the one transformation of a dataset, and every rule that it breaks.

    A scale, an identity, or a sequence of a scale and a translation; other sequences of these are composed all the same, and reported.
    """
    entries = list(value) if isinstance(value, (list, tuple)) else []
    if len(entries) != 1 or not isinstance(entries[0], Mapping):
        found = "is absent" if value is None else f"is {word(value)}" if not isinstance(value, (list, tuple)) else f"holds {len(entries)} entries"
        hint = 'write one {"type": "sequence", ...}, or one scale'
        problems = [problem("OME010", loc, f"{found}; expected exactly one transformation", hint)]
        if not entries or not all(isinstance(entry, Mapping) for entry in entries):
            return Transform(), problems
        transform, wrong = transformations(value, ndim, loc)  # as 0.5 had it
        return transform, [*problems, *(p for p in wrong if p.rule != "OME010")]
    entry = entries[0]
    problems = _ends(entry, f"{loc}[0]", path=path, system=system)
    kind = entry.get("type")
    if kind == "identity":
        return Transform((1.0,) * ndim, (0.0,) * ndim), problems
    if kind == "sequence":
        transform, wrong = _sequence(entry.get("transformations"), ndim, f"{loc}[0].transformations")
    else:
        transform, wrong = transformations([entry], ndim, loc)
        if kind == "scale" and transform.scale is not None:  # 0.6 says where sample 0 lies when nothing shifts it
            transform = Transform(transform.scale, (0.0,) * ndim)
        if kind == "translation":
            wrong = []
            transform = Transform((1.0,) * ndim, transform.translation) if transform.translation is not None else Transform()
            wrong.append(problem("OME010", f"{loc}[0]", "a translation alone; expected a scale, an identity or a sequence", "write a sequence"))
    return transform, [*problems, *wrong]


def _sequence(value: JSON, ndim: int, loc: str) -> tuple[Transform, list[Problem]]:
    parts = [str(entry.get("type")) if isinstance(entry, Mapping) else word(entry) for entry in value] if isinstance(value, (list, tuple)) else []
    if parts == ["scale", "translation"]:
        return transformations(value, ndim, loc)
    hint = "write one scale, then one translation"
    problems = [problem("OME010", loc, f"a sequence of {', '.join(parts) or word(value)}; expected a scale and a translation", hint)]
    if not parts or not set(parts) <= {"scale", "translation", "identity"} or not isinstance(value, (list, tuple)):
        return Transform(), problems
    scale, translation = (1.0,) * ndim, (0.0,) * ndim
    for i, entry in enumerate(value):
        kind = parts[i]
        if kind == "identity" or not isinstance(entry, Mapping):
            continue
        numbers, wrong = _vector(entry, kind, ndim, f"{loc}[{i}]")
        if numbers is None:
            return Transform(), [*problems, *wrong]
        scale = times(numbers, scale) if kind == "scale" else scale
        translation = times(numbers, translation) if kind == "scale" else plus(translation, numbers)
    return Transform(scale, translation), problems


def _ends(entry: Mapping[str, JSON], loc: str, *, path: str, system: str | None) -> list[Problem]:
    """Returns what is wrong with input and output of a dataset's transformation."""
    problems = []
    for end, key, expected in (("input", "path", path), ("output", "name", system)):
        value = entry.get(end)
        form = f'{{"{key}": "{expected}"}}'
        if isinstance(value, str):
            problems.append(
                problem("OME025", f"{loc}.{end}", f"found the string {value!r}, a spelling of development versions; expected {form}", f"write {form}")
            )
        elif named(value, key) is None or not isinstance(value, Mapping):
            found = "is absent" if value is None else f"is {word(value)} without {key!r}"
            problems.append(problem("OME025", f"{loc}.{end}", f"{found}; expected {form}", f"write {form}"))
        elif named(value, key) != expected and (end == "output" or _plain(str(value[key])) != _plain(path)):
            what = "the dataset's path" if end == "input" else "the system of the multiscale"
            problems.append(problem("OME025", f"{loc}.{end}.{key}", f"found {value[key]!r}; expected {expected!r}, {what}", "correct the reference"))
    return problems


def _plain(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def world_of(raw: Mapping[str, JSON], system: str | None, ndim: int) -> tuple[tuple[float, ...], ...] | None:
    """Returns the matrix of the first rotation or affinity that leads from the multiscale's own system to another, None where there is none.

    A rotation has `ndim` columns, an affinity one more. Source: formats.md 2.5, 15.16.
    """
    for entry in _objects(raw.get("coordinateTransformations")):
        kind = entry.get("type")
        if kind in _MATRICES and named(entry.get("input"), "name") == system:
            matrix = _matrix(entry.get(str(kind)), ndim, ndim + (kind == "affine"))
            if matrix is not None and not is_identity(matrix):
                return matrix
    return None


def ways(raw: Mapping[str, JSON], loc: str) -> list[Problem]:
    """Returns what is wrong with the transformations between the systems of a multiscale. Source: formats.md 2.5."""
    if "coordinateTransformations" not in raw:
        return []
    value, where = raw["coordinateTransformations"], f"{loc}.coordinateTransformations"
    if not isinstance(value, (list, tuple)) or not value:
        return [problem("OME025", where, f"found {word(value) if value else 'nothing'}; expected a list of transformations", "delete it, or fill it")]
    problems = []
    for i, entry in enumerate(value):
        held: Mapping[str, JSON] = entry if isinstance(entry, Mapping) else {}
        kind = held.get("type")
        if not isinstance(kind, str) or kind not in _PARAMETERS:
            problems.append(problem("OME025", f"{where}[{i}].type", f"found {kind!r}; expected one of {', '.join(_PARAMETERS)}", "it is kept, not applied"))
        elif kind in _MATRICES and "path" not in held and not _is_matrix(held.get(kind)):
            problems.append(problem("OME025", f"{where}[{i}].{kind}", f"found {word(held.get(kind))}; expected a matrix of numbers", "write it by rows"))
        elif not any(isinstance(held.get(key), (list, tuple, Mapping, str)) for key in _PARAMETERS[kind]) and _PARAMETERS[kind]:
            problems.append(problem("OME025", f"{where}[{i}]", f"holds no {_PARAMETERS[kind][0]!r}", "it is kept, not applied"))
        for end in ("input", "output"):
            told = held.get(end)
            if not isinstance(told, Mapping) or not isinstance(told.get("name"), str):
                problems.append(problem("OME025", f"{where}[{i}].{end}", f"found {told!r}; expected the name of a system", 'write {"name": "..."}'))
    return problems


def _is_matrix(value: JSON) -> bool:
    rows = value if isinstance(value, (list, tuple)) else ()
    return bool(rows) and all(isinstance(row, (list, tuple)) and all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in row) for row in rows)


def _matrix(value: JSON, n_rows: int, n_columns: int) -> tuple[tuple[float, ...], ...] | None:
    rows = [
        tuple(float(n) for n in row if isinstance(n, (int, float)) and not isinstance(n, bool) and math.isfinite(n))
        for row in (value if isinstance(value, (list, tuple)) else ())
        if isinstance(row, (list, tuple))
    ]
    return tuple(rows) if [len(row) for row in rows] == [n_columns] * n_rows else None


def is_identity(matrix: Sequence[Sequence[float]]) -> bool:
    """Tells whether a matrix, with or without a column of shifts, changes nothing."""
    return all(value == (1.0 if i == j else 0.0) for i, row in enumerate(matrix) for j, value in enumerate(row))


def written_single(path: str, scale: Sequence[float], translation: Sequence[float] | None, system: str) -> list[JSON]:
    """Returns the one transformation of a dataset in 0.6: a scale, or a sequence where the place is known."""
    ends: dict[str, JSON] = {"input": {"path": path}, "output": {"name": system}}
    first: dict[str, JSON] = {"type": "scale", "scale": list(scale)}
    if translation is None:
        return [{**first, **ends}]
    return [{"type": "sequence", **ends, "transformations": [first, {"type": "translation", "translation": list(translation)}]}]


def joined(dataset: Mapping[str, JSON], own: Transform, whole: Transform, inferred: Sequence[float] | None) -> JSON:
    """Returns the one transformation of 0.6 for a dataset of 0.4 or 0.5 and what its series applies after it; keys that nobody knows stay.

    `inferred` is the translation where neither states any.
    """
    kept = {str(entry.get("type")): entry for entry in _objects(dataset.get("coordinateTransformations"))}
    ends: dict[str, JSON] = {"input": {"path": dataset.get("path")}, "output": {"name": DEFAULT_SYSTEM}}
    scale = times(whole.scale, own.scale or ())
    first: Mapping[str, JSON] = kept["scale"] if whole.scale is None else {**kept["scale"], "scale": list(scale)}
    stated = own.translation is not None or whole.translation is not None
    if not stated and inferred is None:
        return {**first, **ends}
    moved = plus(times(whole.scale, own.translation or (0.0,) * len(scale)), whole.translation) if stated else tuple(inferred or ())
    old: Mapping[str, JSON] = kept.get("translation", {"type": "translation"})
    second: Mapping[str, JSON] = old if moved == own.translation else {**old, "translation": list(moved)}
    return {"type": "sequence", **ends, "transformations": [first, second]}


def written_world(multiscale: Multiscale, system: str) -> list[JSON]:
    """Returns the transformation from a multiscale's own system into the world that its rotation leads to; empty where there is none."""
    matrix = multiscale.world
    if matrix is None:
        return []
    kind = "rotation" if len(matrix) == len(matrix[0]) else "affine"
    rows: list[JSON] = [list(row) for row in matrix]
    return [{"type": kind, kind: rows, "input": {"name": system}, "output": {"name": WORLD_SYSTEM}}]


def _objects(value: JSON) -> list[Mapping[str, JSON]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, (list, tuple)) else []
