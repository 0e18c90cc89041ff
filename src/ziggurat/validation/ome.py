"""Checks of OME-Zarr 0.1 to 0.6, beyond what its reader finds: one multiscale. Source: formats.md 2.4, 2.7."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ziggurat.layouts import ome_zarr
from ziggurat.layouts.rules import problem
from ziggurat.layouts.series import stated_ladder
from ziggurat.model import JSON, kind_of
from ziggurat.problems import Problem, Requirement
from ziggurat.validation.case import Case, Check, same_dtype, should_be

_PREFIXES = ("yocto", "zepto", "atto", "femto", "pico", "nano", "micro", "milli", "centi", "deci", "", "deca", "hecto", "kilo", "mega", "giga", "tera",
             "peta", "exa", "zetta", "yotta")  # fmt: skip
UNITS = MappingProxyType(
    {
        "space": frozenset({*(f"{prefix}meter" for prefix in _PREFIXES), "angstrom", "foot", "inch", "mile", "parsec", "yard"}),
        "time": frozenset({*(f"{prefix}second" for prefix in _PREFIXES), "minute", "hour", "day"}),
    }
)
"""The long names of UDUNITS-2 that the format lists. Source: formats.md 2.4."""
_TOLERANCE = 1e-3
"""Of a base sample: numbers in the wild carry the dust of several roundings."""


def facts(case: Case) -> ome_zarr.VersionFacts:
    return ome_zarr.facts_of(case.multiscale.layout.partition("@")[2])


def _axes_at(case: Case) -> tuple[JSON, str]:
    """Returns the list of axes in the document, and its place."""
    return ome_zarr.axes_place(case.raw, case.loc, facts(case))[:2]


def check_ndim(case: Case) -> Iterator[Problem]:
    """OME005: every array has one axis per name."""
    ndim = case.multiscale.ndim
    for k, info in case.present():
        stated = _axes_at(case)[0] is not None or k > 0
        if info.ndim != ndim and stated:
            message = f"{case.multiscale.levels[k].path!r} has {info.ndim} axes of shape {list(info.shape)}; expected {ndim}"
            yield problem("OME005", f"{case.at(k)}.path", message, "name the axes of the arrays, all of them and no others")


def check_dtypes(case: Case) -> Iterator[Problem]:
    """OME006: one type of samples."""
    asked: Requirement | None = "MUST" if facts(case).transformations == "single" else None
    yield from same_dtype(case, "OME006", "store every level in the type of the base", requirement=asked)


def check_axes(case: Case) -> Iterator[Problem]:
    """OME007, OME008: number, names and order of the axes."""
    if facts(case).axes == "none" or not isinstance(_axes_at(case)[0], (list, tuple)) or any(a.provenance != "stated" for a in case.multiscale.axes):
        return
    names = [axis.name for axis in case.multiscale.axes]
    why = ome_zarr.can_hold(case.multiscale.axes, facts(case).version)
    if why is not None:
        counted = len(set(names)) != len(names) or not 2 <= len(names) <= 5
        yield problem("OME007" if counted else "OME008", _axes_at(case)[1], why, "transpose the arrays, or keep them as multiscales@0.1")


def check_axis_facts(case: Case) -> Iterator[Problem]:
    """OME009: type and unit of each axis; a number without a unit is worth advice, a plain index is not."""
    if facts(case).axes not in ("objects", "systems"):
        return
    scale = case.multiscale.levels[0].scale if case.multiscale.levels else None
    for i, axis in enumerate(case.multiscale.axes):
        if axis.provenance != "stated" or not _axes_at(case)[0]:
            continue
        loc = f"{_axes_at(case)[1]}[{i}]"
        if axis.kind is None and kind_of(axis.name) is not None:
            yield problem("OME009", f"{loc}.type", "is absent", f"write {kind_of(axis.name)!r}")
        known = UNITS.get(axis.kind or "")
        if axis.unit is None and "units" in axis.extra:
            yield problem("OME009", f"{loc}.units", "is no key of the format; expected 'unit'", "rename it")
        elif axis.unit is None and known is not None and scale is not None and scale[i] != 1 and case.multiscale.type != "coverage":
            # Coverage lies beside the levels of another series, whose axes are judged there.
            yield problem("OME009", f"{loc}.unit", f"is absent, and the scale of axis {axis.name!r} is {scale[i]:g}", "state the unit of that number")
        elif axis.unit is not None and known is not None and axis.unit not in known:
            yield problem("OME009", f"{loc}.unit", f"{axis.unit!r} is no unit of {axis.kind} that the format lists", "use the long name, such as 'micrometer'")


def check_scale_ratio(case: Case) -> Iterator[Problem]:
    """OME014: two levels cover the same extent, to within one sample of the coarser."""
    base, info = case.multiscale.levels[0] if case.multiscale.levels else None, case.arrays[0] if case.arrays else None
    if base is None or info is None or base.scale is None or base.scale_provenance != "stated" or info.ndim != len(base.scale):
        return
    for k, array in case.present():
        level = case.multiscale.levels[k]
        if level.scale is None or level.scale_provenance != "stated" or array.ndim != info.ndim:
            continue
        for i, axis in enumerate(case.multiscale.axes):
            ratio = level.scale[i] / base.scale[i]
            if abs(array.shape[i] * ratio - info.shape[i]) > max(ratio, 1) * (1 + _TOLERANCE):
                sizes = f"the sizes {info.shape[i]} and {array.shape[i]} tell {info.shape[i] / max(array.shape[i], 1):g}"
                message = f"axis {axis.name!r}: the scales {base.scale[i]:g} and {level.scale[i]:g} tell a factor of {ratio:g}, {sizes}; the arrays win"
                yield problem("OME014", f"{case.at(k)}.coordinateTransformations", message, "correct the scale, or build the level again")


def check_translation(case: Case) -> Iterator[Problem]:
    """OME015: a stated translation that no reduction explains, that fits strided levels only, or that contradicts our own method."""
    base = case.multiscale.levels[0] if case.multiscale.levels else None
    if base is None or base.scale is None or base.translation is None or base.translation_provenance != "stated":
        return
    stated = stated_ladder(case.multiscale.method, [axis.name for axis in case.multiscale.axes])
    for k, level in enumerate(case.multiscale.levels[1:], 1):
        if level.scale is None or level.translation is None or level.translation_provenance != "stated":
            continue
        for i, axis in enumerate(case.multiscale.axes):
            factor, shift = level.scale[i] / base.scale[i], (level.translation[i] - base.translation[i]) / base.scale[i]
            if abs(factor - 1) < _TOLERANCE:
                continue
            centre, whole = abs(shift - (factor - 1) / 2) < _TOLERANCE, abs(shift - round(shift)) < _TOLERANCE and 0 <= round(shift) < factor
            loc, shown = f"{case.at(k)}.coordinateTransformations", f"axis {axis.name!r}: levels of factor {factor:g} are shifted by {shift:.4g} base samples"
            if stated is not None:
                wanted = 0 if stated[1][i] == "first" else (factor - 1) / 2
                if abs(shift - wanted) >= _TOLERANCE:
                    yield problem("OME015", loc, f"{shown}, and metadata.kwargs.anchor tells {wanted:.4g}", "build the levels again")
            elif whole and not centre:
                yield problem("OME015", loc, f"{shown}, which is right for strided samples; for means it would be {(factor - 1) / 2:.4g}")
            elif not centre:
                yield problem("OME015", loc, f"{shown}, which no usual reduction explains; for means it would be {(factor - 1) / 2:.4g}")


def check_versions(case: Case) -> Iterator[Problem]:
    """OME016: the version of each series is that of the first; in 0.5 a series may not state another one."""
    stated = case.raw.get("version")
    if stated is not None and ome_zarr.parsed_version(stated) != facts(case).version and not case.loc.endswith("multiscales[0]"):
        message = f"found {stated!r} in a group of version {facts(case).version}"
        yield problem("OME016", f"{case.loc}.version", message, "state one version throughout the hierarchy")
    elif stated is not None and facts(case).wrapped and ome_zarr.parsed_version(stated) != facts(case).version:
        yield problem("OME016", f"{case.loc}.version", f"found {stated!r} below 'ome', which states {facts(case).version}", "delete it")


def check_storage(case: Case) -> Iterator[Problem]:
    """OME017: Zarr format and separator."""
    wanted = facts(case)
    if case.node.zarr_format != wanted.zarr_format:
        message = f"found Zarr v{case.node.zarr_format}; OME-Zarr {wanted.version} is stored in Zarr v{wanted.zarr_format}"
        yield problem("OME017", case.loc, message, "upgrade the metadata with 'ziggurat upgrade'")
        return
    for k, info in case.present():
        if wanted.separator is not None and info.separator != wanted.separator:
            message = f"{case.multiscale.levels[k].path!r} joins its chunk keys by {info.separator!r}; OME-Zarr {wanted.version} by {wanted.separator!r}"
            yield problem("OME017", f"{case.at(k)}.path", message, "rename the chunks with 'ziggurat upgrade'")


def check_dimension_names(case: Case) -> Iterator[Problem]:
    """OME018: arrays name their axes as the group does; where they differ, both are shown."""
    names = [axis.name for axis in case.multiscale.axes]
    wanted = facts(case).dimension_names
    if wanted == "group":
        stated = case.node.attributes.get("_ARRAY_DIMENSIONS")
        if stated is None or (isinstance(stated, (list, tuple)) and list(stated) != names):
            found = "is absent" if stated is None else f"is {stated!r}"
            yield problem("OME018", "_ARRAY_DIMENSIONS", f"{found}; expected {names}, the names of the axes", "write it beside 'multiscales'")
    for k, info in case.present():
        has = info.dimension_names
        if (has is None and wanted == "array") or (has is not None and list(has) != names and facts(case).axes != "none"):
            shown = "no dimension names" if has is None else f"the dimension names {list(has)}"
            message = f"{case.multiscale.levels[k].path!r} has {shown}, and the axes are {names}"
            asked: Requirement = "MUST" if wanted == "array" else "SHOULD"
            yield problem("OME018", f"{case.at(k)}.path", message, "write the names of the axes into the array's document", requirement=asked)


def check_advised_keys(case: Case) -> Iterator[Problem]:
    """OME023: name, type, metadata."""
    yield from should_be(case.raw, "name", str, "OME023", case.loc, "name the image")
    yield from should_be(case.raw, "type", str, "OME023", case.loc, "say in a word how the levels were made, such as 'mean'")
    yield from should_be(case.raw, "metadata", Mapping, "OME023", case.loc, "say which function made the levels, in which version, with which arguments")


CHECKS: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("OME005",), check_ndim),
    (("OME006",), check_dtypes),
    (("OME007", "OME008"), check_axes),
    (("OME009",), check_axis_facts),
    (("OME014",), check_scale_ratio),
    (("OME015",), check_translation),
    (("OME016",), check_versions),
    (("OME017",), check_storage),
    (("OME018",), check_dimension_names),
    (("OME023",), check_advised_keys),
)
"""Rules and the check that judges them. OME001 to OME004 and OME010 to OME013 are found while reading; OME019 to OME022 concern the group."""
