"""Rules of `webknossos`."""

from __future__ import annotations

from ziggurat.layouts.rules.ports import OURS, Rule

_SOURCE = "scalableminds/webknossos-libs, datasource-properties.json"

WEBKNOSSOS: tuple[Rule, ...] = (
    Rule("WK001", "MUST", "`dataLayers` is a list of objects, each with a `name` of its own.", _SOURCE, "dataLayers"),
    Rule("WK002", "MUST", "`scale` holds three numbers above 0 along x, y, z, in nanometers or as `factor` with a `unit`.", _SOURCE, "scale"),
    Rule("WK003", "MUST", "Each layer holds `mags`, and each of them `mag`, three whole numbers of at least 1 along x, y, z.", _SOURCE, "dataLayers[].mags"),
    Rule("WK004", "MUST", "`path` of a mag leads to an array, in the folder of its layer below the dataset.", _SOURCE, "dataLayers[].mags[].path"),
    Rule("WK005", "MUST", "`dataFormat` is wkw, zarr, zarr3, n5 or neuroglancerPrecomputed.", _SOURCE, "dataLayers[].dataFormat"),
    Rule("WK006", "MUST", "`category` is color or segmentation.", _SOURCE, "dataLayers[].category"),
    Rule("WK007", "MUST", "`elementClass` and `numChannels` are those of the arrays.", _SOURCE, "dataLayers[].elementClass"),
    Rule("WK008", "MUST", "`boundingBox` holds whole `topLeft`, `width`, `height`, `depth` in voxels of mag 1, and the arrays reach to its end.", _SOURCE),
    Rule("WK009", "SHOULD", "`axisOrder` gives every axis of an array its place, the same at all mags.", _SOURCE, "dataLayers[].mags[].axisOrder"),
    Rule("WK010", "NOTE", "`coordinateTransformations` of a layer are kept, and not applied.", OURS),
    Rule("WK011", "NOTE", "A layer in WKW is described; its samples are not read.", OURS),
    Rule("WK012", "NOTE", "No array is larger than that of a finer mag: what lies beyond the bounding box is padding.", OURS),
)
