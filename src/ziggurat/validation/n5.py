"""Checks of COSEM, and of the other layouts that grew up in N5, beyond what their readers find. Source: formats.md 3, 4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ziggurat.layouts import mipmaps
from ziggurat.layouts.cosem import factors_against
from ziggurat.layouts.rules import problem
from ziggurat.layouts.units import long_unit
from ziggurat.model import JSON
from ziggurat.node import Node
from ziggurat.problems import DocumentError, Problem
from ziggurat.validation.case import Case, Check


def _attributes(node: Node, path: str) -> Mapping[str, JSON]:
    try:
        return node.child(path).attributes
    except DocumentError:
        # The reader has reported it.
        return {}


def check_pixel_resolution(case: Case) -> Iterator[Problem]:
    """COS009: the array says its step a second time, the other way round."""
    for k, _ in case.present():
        level = case.multiscale.levels[k]
        if level.scale is not None and level.scale_provenance == "stated":
            yield from _resolution(_attributes(case.node, level.path).get("pixelResolution"), level.scale, case, f"{level.path}: pixelResolution", "COS009")


def _resolution(value: JSON, scale: Sequence[float], case: Case, loc: str, rule: str) -> Iterator[Problem]:
    units = {axis.unit for axis in case.multiscale.axes}
    hint = "write what the transform says, the fastest axis first"
    if value is None:
        if len(units) == 1:
            yield problem(rule, loc, "is absent, and Neuroglancer looks for it", hint)
        return
    if not isinstance(value, Mapping) or mipmaps.numbers(value.get("dimensions")) is None:
        yield problem(rule, loc, f"is {value!r}; expected an object with 'dimensions', a list of numbers, and 'unit'", hint)
        return
    dimensions, unit = mipmaps.numbers(value.get("dimensions")), value.get("unit")
    if dimensions is not None and dimensions != tuple(scale):
        yield problem(rule, loc, f"states {list(dimensions)} in C order, and the transform states {list(scale)}; the transform holds", hint)
    if {long_unit(unit) if isinstance(unit, str) else None} != units:
        shown = ", ".join(sorted(str(u) for u in units))
        yield problem(rule, loc, f"states the unit {unit!r}, and the axes have {shown}; the transform holds", hint)


def check_group_copies(case: Case) -> Iterator[Problem]:
    """COS010: what Neuroglancer reads of the group is what the transforms say."""
    multiscale, attributes = case.multiscale, case.node.attributes
    if not case.raw or any(level.scale is None or level.scale_provenance != "stated" for level in multiscale.levels):
        return
    hint = "write what the transforms say, the fastest axis first"
    expected: dict[str, list[str | None]] = {"axes": [a.name for a in multiscale.axes], "units": [a.unit for a in multiscale.axes]}
    for key, wanted in expected.items():
        stated = mipmaps.words(attributes.get(key))
        if key not in attributes:
            yield problem("COS010", key, "is absent, and Neuroglancer looks for it", hint)
        elif stated is None or [word if key == "axes" else long_unit(word) for word in stated] != wanted:
            yield problem("COS010", key, f"is {attributes[key]!r}; the transforms state {wanted} in C order, and hold", hint)
    yield from _scales(case, attributes.get("scales"), hint)
    scale = multiscale.levels[0].scale
    if scale is not None:
        yield from _resolution(attributes.get("pixelResolution"), scale, case, "pixelResolution", "COS010")


def _scales(case: Case, value: JSON, hint: str) -> Iterator[Problem]:
    scales = [level.scale for level in case.multiscale.levels]
    base = scales[0]
    factors = [factors_against(scale, base) if scale is not None and base is not None else None for scale in scales]
    if any(step is None for step in factors):
        return
    if value is None:
        yield problem("COS010", "scales", "is absent, and Neuroglancer looks for it", hint)
        return
    stated = [mipmaps.numbers(step) for step in value] if isinstance(value, (list, tuple)) else []
    if stated != factors:
        shown = [list(step or ()) for step in factors]
        yield problem("COS010", "scales", f"is {value!r}; the transforms tell {shown} in C order, and hold", hint)


COSEM_CHECKS: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("COS009",), check_pixel_resolution),
    (("COS010",), check_group_copies),
)
"""COS001 to COS008 are found while reading."""
