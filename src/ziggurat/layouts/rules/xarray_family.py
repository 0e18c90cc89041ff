"""Rules of the layouts of the xarray family: `itk`, `datatree`, `spatialdata`, `xcube`."""

from __future__ import annotations

from ziggurat.layouts.rules.ports import OURS, Rule

_ITK = "zarr-specs issue #50, comment of thewtex"
_XCUBE = "xcube, docs/mldatasets.md 1.0"
_CF = "CF conventions 5"
_MSI = "multiscale-spatial-image, README"
_SD = "spatialdata, design document"

XARRAY_FAMILY: tuple[Rule, ...] = (
    Rule("ITK001", "MUST", '`_MULTISCALE_LEVELS` lists the groups of the levels, strings relative to the annotated group; "" is the group itself.', _ITK),
    Rule("ITK002", "MUST", "`_SPATIAL_IMAGE` names the array that every level's group holds.", _ITK, repair="arrays"),
    Rule("ITK003", "MUST", "In each group of a level lies the image, an array that names its dimensions, the same in all levels.", _ITK, repair="absent"),
    Rule(
        "ITK004",
        "SHOULD",
        "Beside the image lies, for each dimension, an array of its name with the coordinate of every sample.",
        f"{_ITK}; {_CF}",
        repair="offset",
    ),
    Rule("ITK005", "NOTE", "A coordinate is no straight line.", OURS),
    Rule("ITK006", "MUST", "The groups are listed from the largest image to the smallest.", _ITK, repair="order"),
    Rule("ITK007", "MUST", "`direction` is a square matrix of numbers, one row per axis of space.", _ITK),
    Rule("XC001", "MUST", "`.zlevels`, where there is one, is an object with `version` 1.0 and `num_levels`, a whole number.", _XCUBE, repair="version"),
    Rule("XC002", "MUST", "Levels are numbered from 0 without a gap, and as many as `num_levels` says.", _XCUBE, repair="arrays"),
    Rule("XC003", "MUST", "Each level is a Zarr group with the same variables over the same dimensions.", _XCUBE),
    Rule(
        "XC004",
        "SHOULD",
        "Beside the variables lies, for each dimension, an array of its name with the coordinate of every sample.",
        f"{_XCUBE}; {_CF}",
        repair="offset",
    ),
    Rule("XC005", "NOTE", "A coordinate is no straight line.", OURS),
    Rule("XC006", "MUST", "A link holds the path of a local dataset; it is followed out of the folder only where links are allowed.", _XCUBE),
    Rule("XC007", "NOTE", "Values of whole blocks have the coordinate of a corner sample.", OURS),
    Rule("XC008", "MUST", "Sizes along the axes of space are halved from level to level, rounded up; others stay.", _XCUBE),
    Rule("DT001", "MUST", "`multiscales` is a list of objects with `datasets`, or the tree holds datasets with the same variable.", _MSI),
    Rule("DT002", "MUST", "Each dataset holds `path`, a string local to the group.", _MSI),
    Rule("DT003", "MUST", "At each path there is an array that names its dimensions, the same in all levels.", _MSI, repair="absent"),
    Rule(
        "DT004",
        "SHOULD",
        "Beside each image lies, for each dimension, an array of its name with the coordinate of every sample.",
        f"{_MSI}; {_CF}",
        repair="offset",
    ),
    Rule("DT005", "NOTE", "A coordinate is no straight line.", OURS),
    Rule("DT006", "MUST", "The datasets are ordered from the largest array to the smallest.", _MSI, repair="order"),
    Rule("DT007", "SHOULD", "`multiscales` says the same as the coordinates and the arrays.", _MSI, repair="arrays"),
    Rule("ITK008", "SHOULD", "Every group of a level has a consolidated copy of its metadata of its own.", _ITK, repair="copy"),
    Rule("SD001", "MUST", "`spatialdata_attrs` states the `version` of the element's form: 0.1, 0.2 or 0.3.", _SD),
    Rule("SD002", "MUST", "`multiscales` of an image or label image is a list of exactly one object with `datasets`.", _SD),
    Rule("SD003", "MUST", "Each dataset holds `path`, a string local to the element, and an array is there.", _SD),
    Rule("SD004", "MUST", "The datasets are ordered from the largest array to the smallest.", _SD),
    Rule("SD005", "MUST", "`axes` names every axis of the arrays, each by a name of its own.", _SD),
    Rule("SD006", "MUST", "Each dataset has `coordinateTransformations` with one scale, and at most one translation after it.", _SD),
    Rule("SD007", "MUST", "Each of the multiscale's `coordinateTransformations` has a `type`, and `input` and `output`: systems with `name` and `axes`.", _SD),
    Rule("SD008", "NOTE", "The transformation to `global` is applied, where there is one that is an affinity of the image's axes with an inverse.", OURS),
    Rule("SD009", "NOTE", "Points, shapes and tables are no rasters: they are named, and not read.", OURS),
)
