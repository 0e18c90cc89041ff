"""The rules of the layouts, as data: id, requirement, text, source. `validation` attaches checks, `docs/generate.py` makes the specification of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ziggurat.model import JSON
from ziggurat.problems import Problem, Requirement


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of one format."""

    id: str
    requirement: Requirement
    text: str
    """What the format asks for, a full sentence in the present."""
    source: str
    """Where it is asked for."""
    key: str = ""
    """The place that it speaks of: `multiscales[].datasets[].path`."""
    schema: Mapping[str, JSON] = field(default_factory=dict)
    """What JSON Schema can say of the value at `key`."""
    unparsed: bool = False
    """True when no version of the format may transform the value."""


_50 = "zarr-specs issue #50"
_DETAILED = f"{_50}, detailed example"
_EXPLAINED = f"{_50}, explanation"
_OURS = "observation of ziggurat"
_NAME = MappingProxyType({"type": "string"})
_LOCAL = r"^(?!/)(?!~)(?!.*(^|/)\.\.(/|$))(?![A-Za-z][A-Za-z0-9+.-]*:)[^\\$\u0000-\u001f\u007f]*[^./\\$\u0000-\u001f\u007f][^\\$\u0000-\u001f\u007f]*$"

FOUNDING: tuple[Rule, ...] = (
    Rule(
        "MS001",
        "MUST",
        "The attributes of a Zarr group hold `multiscales`, a list of at least one object; each is one series, and a group may hold several.",
        _DETAILED,
        "multiscales",
        {"type": "array", "minItems": 1},
    ),
    Rule(
        "MS002",
        "MUST",
        "Each series holds `datasets`, a list of at least one object; a series without it is not detected, and hides none of the others.",
        _DETAILED,
        "multiscales[].datasets",
        {"type": "array", "minItems": 1},
    ),
    Rule("MS003", "MUST", "Each dataset holds `path`, a string; array names are free.", f"{_DETAILED}; revision 4", "multiscales[].datasets[].path", _NAME),
    Rule(
        "MS004",
        "MUST",
        "A path is local to the annotated group: relative, without `..`, no URL; `../` is kept for the future.",
        _EXPLAINED,
        "multiscales[].datasets[].path",
        {"pattern": _LOCAL},
    ),
    Rule("MS005", "MUST", "At each path there is a Zarr array.", _EXPLAINED),
    Rule("MS006", "MUST", "The datasets are ordered from the largest array to the smallest.", f"{_EXPLAINED}; revision 6"),
    Rule("MS007", "MUST", "The arrays of one series are scaled-down versions of one another, so they have the same number of axes.", f"{_50}, first paragraph"),
    Rule("MS008", "SHOULD", 'A series states `version`, the string "0.1".', _DETAILED, "multiscales[].version", {"const": "0.1"}),
    Rule("MS009", "SHOULD", "A series states `name`, a string.", _DETAILED, "multiscales[].name", _NAME),
    Rule(
        "MS010",
        "SHOULD",
        "A series states `type`, the kind of reduction, a string; the vocabulary is open.",
        f"{_DETAILED}; {_EXPLAINED}",
        "multiscales[].type",
        _NAME,
    ),
    Rule(
        "MS011", "SHOULD", "A series states `metadata`, an object that says how the levels were made.", _DETAILED, "multiscales[].metadata", {"type": "object"}
    ),
    Rule("MS012", "MAY", "`metadata.method` says which function made the levels.", _DETAILED, "multiscales[].metadata.method", unparsed=True),
    Rule(
        "MS013", "MAY", "`metadata.version` says which version of the library with that function.", _DETAILED, "multiscales[].metadata.version", unparsed=True
    ),
    Rule("MS014", "MAY", "`metadata.args` holds the positional arguments of the call.", _DETAILED, "multiscales[].metadata.args", unparsed=True),
    Rule("MS015", "MAY", "`metadata.kwargs` holds the named arguments of the call.", _DETAILED, "multiscales[].metadata.kwargs", unparsed=True),
    Rule("MS016", "NOTE", "The levels of one series differ in their type of samples, as in the sample code of the proposal itself.", _OURS),
    Rule("MS017", "NOTE", "Axes are not part of v0.1; names that no array states are inferred, and marked so.", _OURS),
    Rule("MS018", "NOTE", "The factors that `metadata.kwargs` of a `ziggurat.` method states disagree with the sizes of the arrays.", _OURS),
    Rule("MS019", "NOTE", "Sizes are no floor or ceiling of a whole factor: the levels were resized, so their scale is the ratio of the sizes.", _OURS),
)

_OME = "OME-NGFF, multiscales metadata"
_AXES = "OME-NGFF, axes metadata"
_TRANSFORMS = "OME-NGFF, coordinateTransformations metadata"

OME: tuple[Rule, ...] = (
    Rule("OME001", "MUST", "`multiscales` is a list of at least one object.", _OME),
    Rule("OME002", "MUST", "Each multiscale holds `datasets`, a list of at least one object.", _OME),
    Rule("OME003", "MUST", "Each dataset holds `path`, a string relative to the group, and an array is there.", _OME),
    Rule("OME004", "MUST", "The datasets are ordered from the largest array to the smallest.", _OME),
    Rule("OME005", "MUST", "All arrays of a multiscale have the same number of axes, 2 to 5, and as many as `axes` names.", _OME),
    Rule("OME006", "SHOULD", "All arrays of a multiscale have the same type of samples; 0.6 makes it a MUST.", "OME-NGFF 0.6, multiscales metadata"),
    Rule("OME007", "MUST", "`axes` is a list of 2 to 5 entries with unique names.", _AXES),
    Rule(
        "OME008",
        "MUST",
        "Two or three axes are space, at most one is time and one channel or custom, ordered time, channel, space; 0.3 knows t c z y x.",
        _AXES,
    ),
    Rule("OME009", "SHOULD", "Axes state `type` and a `unit` among the long names of UDUNITS-2.", _AXES),
    Rule("OME010", "MUST", "Each dataset has `coordinateTransformations` with exactly one scale; no types but scale and translation are allowed.", _TRANSFORMS),
    Rule("OME011", "MUST", "At most one translation, after the scale.", _TRANSFORMS),
    Rule("OME012", "MUST", "Scale and translation hold one number per axis.", _TRANSFORMS),
    Rule("OME013", "MUST", "Scales are finite numbers above zero, translations are finite numbers.", _TRANSFORMS),
    Rule("OME014", "SHOULD", "The ratio of the scales of two levels is the ratio of their sizes, to within one sample.", _TRANSFORMS),
    Rule(
        "OME015",
        "NOTE",
        "Where samples lie is told by the translation; without one, levels are read as aligned at their lower corner, and marked inferred.",
        "OME-NGFF 0.6, coordinateTransformations metadata",
    ),
    Rule("OME016", "MUST", "The version is stated as a string, where its version wants it, and is the same throughout the hierarchy.", "OME-NGFF, storage"),
    Rule(
        "OME017",
        "MUST",
        "Zarr format and separator of chunk keys are those of the version: v2 and `.` in 0.1, v2 and `/` in 0.2 to 0.4, v3 in 0.5.",
        "OME-NGFF, storage",
    ),
    Rule(
        "OME018",
        "MUST",
        "`dimension_names` of every array are the names of the axes, in 0.5; `_ARRAY_DIMENSIONS` do not contradict them in any version.",
        _OME,
    ),
    Rule("OME019", "MUST", "A label image has as many levels as its image, and integer samples.", "OME-NGFF, labels metadata"),
    Rule("OME020", "MUST", "Rows, columns, wells and images of a plate refer to each other.", "OME-NGFF, plate metadata"),
    Rule("OME021", "SHOULD", "`bioformats2raw.layout` is 3.", "OME-NGFF, bioformats2raw.layout"),
    Rule("OME022", "SHOULD", "`omero.channels` has one entry per channel, with `color` and a `window` of start, end, min, max.", "OME-NGFF, omero metadata"),
    Rule("OME023", "SHOULD", "A multiscale states `name`, `type` and `metadata`; before 0.5 also `version`.", _OME),
)

COMMON: tuple[Rule, ...] = (
    Rule("CON001", "SHOULD", "The consolidated copy of the metadata says the same as the documents themselves.", "Zarr, consolidated metadata"),
    Rule("ZARR001", "MUST", "What a series describes is a Zarr group.", "Zarr, groups"),
    Rule("LOSS001", "NOTE", "The target cannot hold scale, translation or unit.", _OURS),
    Rule("LOSS002", "NOTE", "The target cannot hold a rotation.", _OURS),
    Rule("LOSS003", "NOTE", "The target cannot say how samples are to be shown.", _OURS),
)

RULES: Mapping[str, Rule] = MappingProxyType({rule.id: rule for rule in (*FOUNDING, *OME, *COMMON)})
"""Every rule by its id."""


def problem(rule: str, loc: str, message: str, hint: str = "", *, requirement: Requirement | None = None) -> Problem:
    """Returns a problem with requirement and source of its rule; `requirement` only where a version of the format asks for less."""
    row = RULES[rule]
    return Problem(rule, requirement or row.requirement, loc, message, hint, row.source)
