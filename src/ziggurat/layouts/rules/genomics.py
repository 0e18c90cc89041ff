"""Rules of `multivec`."""

from __future__ import annotations

from ziggurat.layouts.rules.ports import OURS, Rule

_HIGLASS = "HiGlass zarr-multivec"

MULTIVEC: tuple[Rule, ...] = (
    Rule("MV001", "MUST", "`multiscales` is a list of series, one per chromosome, each with a list of `datasets`.", _HIGLASS),
    Rule("MV002", "MUST", "Each dataset has `path`, a string below the group.", _HIGLASS),
    Rule("MV003", "MUST", "At each path there is a Zarr array.", _HIGLASS),
    Rule("MV004", "MUST", "The datasets are ordered from the largest bins to the smallest.", _HIGLASS),
    Rule("MV005", "MUST", "The last part of a path is the size of a bin in base pairs.", _HIGLASS),
    Rule("MV006", "MUST", "`metadata` states `chromoffset` and `chromsize`, whole numbers of base pairs.", _HIGLASS),
    Rule("MV007", "NOTE", "An array has rows and as many bins as the chromosome has; the arrays are believed.", OURS),
)
