"""Rules of COSEM, and of the other layouts that grew up in N5."""

from __future__ import annotations

from ziggurat.layouts.rules.ports import Rule

_COSEM = "janelia-cosem/schemas, multiscale.md"
_CELLMAP = "cellmap-schemas, multiscale.cosem"

COSEM: tuple[Rule, ...] = (
    Rule("COS001", "MUST", "The attributes of a group hold `multiscales`, a list of exactly one object.", _CELLMAP, "multiscales"),
    Rule("COS002", "MUST", "The multiscale holds `datasets`, a list of at least one object.", _CELLMAP, "multiscales[].datasets"),
    Rule("COS003", "MUST", "Each dataset holds `path`, a string relative to the group, and an array is there.", _CELLMAP, "multiscales[].datasets[].path"),
    Rule("COS004", "MUST", "The datasets are ordered from the largest array to the smallest.", _COSEM),
    Rule(
        "COS005",
        "MUST",
        "A `transform` holds `axes`, `units`, `scale` and `translate`, lists with one entry per axis of the array, and is the same in axes at every level.",
        _COSEM,
        "multiscales[].datasets[].transform",
    ),
    Rule("COS006", "MUST", "Scales are finite numbers other than zero, translations are finite numbers.", _COSEM),
    Rule("COS007", "SHOULD", "The group's copy of a `transform` is that of the array; where they differ, the array's holds.", _COSEM),
    Rule("COS008", "MUST", "Each array carries its own `transform`.", _CELLMAP),
    Rule(
        "COS009",
        "SHOULD",
        "`pixelResolution` of an array has the scale of its `transform` with the fastest axis first, and its unit, which is that of every axis.",
        _CELLMAP,
    ),
    Rule(
        "COS010",
        "SHOULD",
        "`axes`, `units`, `scales` and `pixelResolution` of the group say the same as the transforms, with the fastest axis first; "
        "`scales` are whole factors against the first level.",
        "cellmap-schemas, multiscale.neuroglancer_n5",
    ),
)
