"""Rules of COSEM, and of the other layouts that grew up in N5."""

from __future__ import annotations

from ziggurat.layouts.rules.ports import Rule

_COSEM = "janelia-cosem/schemas, multiscale.md"
_CELLMAP = "cellmap-schemas, multiscale.cosem"

COSEM: tuple[Rule, ...] = (
    Rule("COS001", "MUST", "The attributes of a group hold `multiscales`, a list of exactly one object.", _CELLMAP, "multiscales"),
    Rule("COS002", "MUST", "The multiscale holds `datasets`, a list of at least one object.", _CELLMAP, "multiscales[].datasets"),
    Rule(
        "COS003",
        "MUST",
        "Each dataset holds `path`, a string relative to the group, and an array is there.",
        _CELLMAP,
        "multiscales[].datasets[].path",
        repair="absent",
    ),
    Rule("COS004", "MUST", "The datasets are ordered from the largest array to the smallest.", _COSEM, repair="order"),
    Rule(
        "COS005",
        "MUST",
        "A `transform` holds `axes`, `units`, `scale` and `translate`, lists with one entry per axis of the array, and is the same in axes at every level.",
        _COSEM,
        "multiscales[].datasets[].transform",
    ),
    Rule("COS006", "MUST", "Scales are finite numbers other than zero, translations are finite numbers.", _COSEM),
    Rule("COS007", "SHOULD", "The group's copy of a `transform` is that of the array; where they differ, the array's holds.", _COSEM, repair="arrays"),
    Rule("COS008", "MUST", "Each array carries its own `transform`.", _CELLMAP, repair="arrays"),
    Rule(
        "COS009",
        "SHOULD",
        "`pixelResolution` of an array has the scale of its `transform` with the fastest axis first, and its unit, which is that of every axis.",
        _CELLMAP,
        repair="arrays",
    ),
    Rule(
        "COS010",
        "SHOULD",
        "`axes`, `units`, `scales` and `pixelResolution` of the group say the same as the transforms, with the fastest axis first; "
        "`scales` are whole factors against the first level.",
        "cellmap-schemas, multiscale.neuroglancer_n5",
        repair="arrays",
    ),
)

_VIEWER = "saalfeldlab/n5-viewer, readme"
_UNIVERSE = "saalfeldlab/n5-universe, N5 viewer metadata"

N5_VIEWER: tuple[Rule, ...] = (
    Rule("N5V001", "MUST", "Levels are arrays `s0`, `s1`, ..., the largest first, and each has a document that can be read.", _VIEWER),
    Rule("N5V002", "SHOULD", "Each level but the first states `downsamplingFactors`, one number above 0 per axis of space, along x, y, z.", _VIEWER),
    Rule("N5V003", "SHOULD", "`pixelResolution` holds one number above 0 per axis of space, along x, y, z.", _VIEWER),
    Rule("N5V004", "SHOULD", "`pixelResolution` is that of the base on every level.", _UNIVERSE),
    Rule("N5V005", "SHOULD", "The sizes of a level are those of the base over its factors, to within one sample.", _VIEWER),
    Rule("N5V006", "NOTE", "A `pixelResolution` that is a bare list states no unit.", _UNIVERSE),
    Rule("N5V007", "SHOULD", "`affineTransform` holds the rows of an affine that has an inverse, along x, y, z.", _UNIVERSE),
)

_BDV = "bigdataviewer-core, bdv.n5"
_SPIM = "bigdataviewer-core, SpimData XML"

BDV_N5: tuple[Rule, ...] = (
    Rule("BDV001", "MUST", "Each timepoint holds arrays `s0`, `s1`, ..., the largest first, of three axes.", _BDV),
    Rule("BDV002", "MUST", "A setup states `downsamplingFactors`, a list of whole factors along x, y, z per level, the first all ones.", _BDV),
    Rule("BDV003", "MUST", "A setup states `dataType`, and its arrays are of that type.", _BDV),
    Rule("BDV004", "SHOULD", "The XML beside the container can be read, and declares neither a document type nor entities.", _SPIM),
    Rule("BDV005", "SHOULD", "The XML names every setup, its voxel size and its registration.", _SPIM),
    Rule("BDV006", "SHOULD", "The sizes of a level are those of the base over its factors, to within one sample.", _BDV),
    Rule("BDV007", "SHOULD", "A registration is an affine of 12 numbers that has an inverse.", _SPIM),
)

_PAINTERA = "saalfeldlab/paintera, readme, data formats"

PAINTERA: tuple[Rule, ...] = (
    Rule("PAI001", "MUST", "A dataset holds arrays `s0`, `s1`, ...; a Paintera dataset holds them in a group `data`.", _PAINTERA),
    Rule("PAI002", "SHOULD", "`painteraData.type` is raw, label or channel.", _PAINTERA, "painteraData.type"),
    Rule("PAI003", "MUST", "Each level but the first states `downsamplingFactors`, one number above 0 per axis of space, along x, y, z.", _PAINTERA),
    Rule("PAI004", "SHOULD", "`resolution` and `offset` of the group hold one number per axis of space, along x, y, z; resolutions are above 0.", _PAINTERA),
    Rule("PAI005", "MUST", "The factors of a level of labels are whole multiples of those of the level before.", _PAINTERA),
    Rule("PAI006", "SHOULD", "Labels state `maxId`, a whole number.", _PAINTERA, "maxId"),
    Rule("PAI007", "SHOULD", "The sizes of a level are those of the base over its factors, to within one sample.", _PAINTERA),
)
_VOLUME = "google/neuroglancer, datasource/precomputed/volume.md"

PRECOMPUTED: tuple[Rule, ...] = (
    Rule("PRE001", "MUST", "`info` holds `scales`, a list of at least one object.", _VOLUME, "scales"),
    Rule("PRE002", "MUST", "`data_type` is a type of whole numbers or float32, and `num_channels` a whole number of at least 1.", _VOLUME),
    Rule("PRE003", "MUST", "`type` is image or segmentation.", _VOLUME, "type"),
    Rule("PRE004", "MUST", "Each scale holds `key`, a path below the info.", _VOLUME, "scales[].key"),
    Rule("PRE005", "MUST", "`size`, `resolution`, `voxel_offset` and each entry of `chunk_sizes` hold three numbers along x, y, z.", _VOLUME),
    Rule("PRE006", "MUST", "`encoding` is one that the format knows.", _VOLUME, "scales[].encoding"),
    Rule("PRE007", "MUST", "The finest scale comes first.", _VOLUME),
    Rule("PRE008", "NOTE", "The lower corner of a scale is that of the first.", _VOLUME),
)
