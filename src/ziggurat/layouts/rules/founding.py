"""Rules of `multiscales@0.1`."""

from __future__ import annotations

from types import MappingProxyType

from ziggurat.layouts.rules.ports import OURS, Rule

_50 = "zarr-specs issue #50"
_DETAILED = f"{_50}, detailed example"
_EXPLAINED = f"{_50}, explanation"
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
    Rule("MS005", "MUST", "At each path there is a Zarr array.", _EXPLAINED, repair="absent"),
    Rule("MS006", "MUST", "The datasets are ordered from the largest array to the smallest.", f"{_EXPLAINED}; revision 6", repair="order"),
    Rule("MS007", "MUST", "The arrays of one series are scaled-down versions of one another, so they have the same number of axes.", f"{_50}, first paragraph"),
    Rule("MS008", "SHOULD", 'A series states `version`, the string "0.1".', _DETAILED, "multiscales[].version", {"const": "0.1"}, repair="version"),
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
    Rule("MS016", "NOTE", "The levels of one series differ in their type of samples, as in the sample code of the proposal itself.", OURS),
    Rule("MS017", "NOTE", "Axes are not part of v0.1; names that no array states are inferred, and marked so.", OURS),
    Rule("MS018", "NOTE", "The factors that `metadata.kwargs` of a `ziggurat.` method states disagree with the sizes of the arrays.", OURS),
    Rule("MS019", "NOTE", "Sizes are no floor or ceiling of a whole factor: the levels were resized, so their scale is the ratio of the sizes.", OURS),
)
