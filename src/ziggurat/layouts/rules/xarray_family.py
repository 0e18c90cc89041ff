"""Rules of the layouts of the xarray family: `itk`, `datatree`, `spatialdata`, `xcube`."""

from __future__ import annotations

from ziggurat.layouts.rules.ports import OURS, Rule

_ITK = "zarr-specs issue #50, comment of thewtex"
_XCUBE = "xcube, docs/mldatasets.md 1.0"
_CF = "CF conventions 5"
_MSI = "multiscale-spatial-image, README"

XARRAY_FAMILY: tuple[Rule, ...] = (
    Rule("ITK001", "MUST", '`_MULTISCALE_LEVELS` lists the groups of the levels, strings relative to the annotated group; "" is the group itself.', _ITK),
    Rule("ITK002", "MUST", "`_SPATIAL_IMAGE` names the array that every level's group holds.", _ITK),
    Rule("ITK003", "MUST", "In each group of a level lies the image, an array that names its dimensions, the same in all levels.", _ITK),
    Rule("ITK004", "SHOULD", "Beside the image lies, for each dimension, an array of its name with the coordinate of every sample.", f"{_ITK}; {_CF}"),
    Rule("ITK005", "NOTE", "A coordinate is no straight line.", OURS),
    Rule("ITK006", "MUST", "The groups are listed from the largest image to the smallest.", _ITK),
    Rule("ITK007", "MUST", "`direction` is a square matrix of numbers, one row per axis of space.", _ITK),
    Rule("XC001", "MUST", "`.zlevels`, where there is one, is an object with `version` 1.0 and `num_levels`, a whole number.", _XCUBE),
    Rule("XC002", "MUST", "Levels are numbered from 0 without a gap, and as many as `num_levels` says.", _XCUBE),
    Rule("XC003", "MUST", "Each level is a Zarr group with the same variables over the same dimensions.", _XCUBE),
    Rule("XC004", "SHOULD", "Beside the variables lies, for each dimension, an array of its name with the coordinate of every sample.", f"{_XCUBE}; {_CF}"),
    Rule("XC005", "NOTE", "A coordinate is no straight line.", OURS),
    Rule("XC006", "MUST", "A link holds the path of a local dataset; it is followed out of the folder only where links are allowed.", _XCUBE),
    Rule("XC007", "NOTE", "Values of whole blocks have the coordinate of a corner sample.", OURS),
    Rule("XC008", "MUST", "Sizes along the axes of space are halved from level to level, rounded up; others stay.", _XCUBE),
    Rule("DT001", "MUST", "`multiscales` is a list of objects with `datasets`, or the tree holds datasets with the same variable.", _MSI),
    Rule("DT002", "MUST", "Each dataset holds `path`, a string local to the group.", _MSI),
    Rule("DT003", "MUST", "At each path there is an array that names its dimensions, the same in all levels.", _MSI),
    Rule("DT004", "SHOULD", "Beside each image lies, for each dimension, an array of its name with the coordinate of every sample.", f"{_MSI}; {_CF}"),
    Rule("DT005", "NOTE", "A coordinate is no straight line.", OURS),
    Rule("DT006", "MUST", "The datasets are ordered from the largest array to the smallest.", _MSI),
    Rule("DT007", "SHOULD", "`multiscales` says the same as the coordinates and the arrays.", _MSI),
    Rule("ITK008", "SHOULD", "Every group of a level has a consolidated copy of its metadata of its own.", _ITK),
)
