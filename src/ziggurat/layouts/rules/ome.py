"""Rules of `ome-zarr@0.1` to `ome-zarr@0.6`."""

from __future__ import annotations

from ziggurat.layouts.rules.ports import Rule

_OME = "OME-NGFF, multiscales metadata"
_AXES = "OME-NGFF, axes metadata"
_TRANSFORMS = "OME-NGFF, coordinateTransformations metadata"

OME: tuple[Rule, ...] = (
    Rule("OME001", "MUST", "`multiscales` is a list of at least one object.", _OME),
    Rule("OME002", "MUST", "Each multiscale holds `datasets`, a list of at least one object.", _OME),
    Rule("OME003", "MUST", "Each dataset holds `path`, a string relative to the group, and an array is there.", _OME, repair="absent"),
    Rule("OME004", "MUST", "The datasets are ordered from the largest array to the smallest.", _OME, repair="order"),
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
        repair="offset",
    ),
    Rule(
        "OME016",
        "MUST",
        "The version is stated as a string, where its version wants it, and is the same throughout the hierarchy.",
        "OME-NGFF, storage",
        repair="version",
    ),
    Rule(
        "OME017",
        "MUST",
        "Zarr format and separator of chunk keys are those of the version: v2 and `.` in 0.1, v2 and `/` in 0.2 to 0.4, v3 from 0.5 on.",
        "OME-NGFF, storage",
    ),
    Rule(
        "OME018",
        "MUST",
        "`dimension_names` of every array are the names of the axes, in 0.5; `_ARRAY_DIMENSIONS` do not contradict them in any version.",
        _OME,
        repair="names",
    ),
    Rule("OME019", "MUST", "A label image has as many levels as its image, of the same sizes or 1, and integer samples.", "OME-NGFF, labels metadata"),
    Rule("OME020", "MUST", "Rows, columns, wells, images and acquisitions of a plate refer to each other.", "OME-NGFF, plate metadata"),
    Rule("OME021", "SHOULD", "`bioformats2raw.layout` is 3.", "OME-NGFF, bioformats2raw.layout"),
    Rule("OME022", "SHOULD", "`omero.channels` has one entry per channel, with `color` and a `window` of start, end, min, max.", "OME-NGFF, omero metadata"),
    Rule("OME023", "SHOULD", "A multiscale states `name`, `type` and `metadata`; before 0.5 also `version`.", _OME),
    Rule(
        "OME024",
        "MUST",
        "In 0.6 each multiscale lists `coordinateSystems` with unique names and axes.",
        "OME-NGFF 0.6, coordinateSystems metadata",
    ),
    Rule(
        "OME025",
        "MUST",
        "In 0.6 the transformation of a dataset states as `input` the dataset's path, as `output` one system, the same for all levels.",
        "OME-NGFF 0.6, multiscales metadata",
    ),
    Rule(
        "OME026",
        "SHOULD",
        "`image-label` says of each label once: a whole `label-value`, an `rgba` of four numbers from 0 to 255.",
        "OME-NGFF, labels metadata",
    ),
)
