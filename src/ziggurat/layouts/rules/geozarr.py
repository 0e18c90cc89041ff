"""Rules of the GeoZarr family: `geozarr`, `geozarr-tms`, `geozarr-early`, `ndpyramid`."""

from __future__ import annotations

from ziggurat.layouts.rules.ports import OURS, Rule

_MULTISCALES = "zarr-conventions multiscales v0.1"
_SPATIAL = "zarr-conventions spatial v0.1"
_PROJ = "zarr-conventions proj v0.1"
_CONVENTIONS = "zarr-conventions specification v1"
_TMS = "OGC two dimensional tile matrix set 2.0"
_LISTS = "ndpyramid 0.4; geozarr-spec 2023"

GEOZARR: tuple[Rule, ...] = (
    Rule(
        "GZ001",
        "MUST",
        "`zarr_conventions` is a list that names the multiscales convention, by its UUID or one of its addresses.",
        _CONVENTIONS,
        repair="version",
    ),
    Rule(
        "GZ002",
        "MUST",
        "Each entry of `zarr_conventions` has a uuid, schema_url or spec_url, and no keys but these, name and description.",
        _CONVENTIONS,
    ),
    Rule("GZ003", "MUST", "`multiscales` is an object whose `layout` is a list of at least one object.", _MULTISCALES),
    Rule("GZ004", "MUST", "`asset` and `derived_from` are paths below the group.", _MULTISCALES),
    Rule("GZ005", "MUST", "At each asset there is an array, or a group with arrays.", _MULTISCALES, repair="absent"),
    Rule("GZ006", "MUST", "`derived_from` names another level of the layout, and no chain of them is a loop.", _MULTISCALES),
    Rule("GZ007", "MUST", "`transform` is an object and is there with `derived_from`; its scale and translation are lists of numbers.", _MULTISCALES),
    Rule("GZ008", "MUST", "`resampling_method` is a string.", _MULTISCALES),
    Rule("GZ009", "NOTE", "A scale or translation has one number per axis, or two for y and x, and scales are above 0; any other is left out.", OURS),
    Rule(
        "GZ010",
        "SHOULD",
        "A scale is the ratio of the sizes, to the level it is derived from or to the first; else the sizes are believed.",
        OURS,
        repair="arrays",
    ),
    Rule("GZ011", "MUST", "`spatial:` values are as the convention says: two dimensions, six coefficients, four bounds, two sizes.", _SPATIAL),
    Rule("GZ012", "MUST", "A group that declares proj has `proj:code` (authority:code), `proj:wkt2` or `proj:projjson`, each of its type.", _PROJ),
    Rule("GZ013", "NOTE", "The levels of one layout are rotated in the same way.", OURS),
    Rule("GZ014", "NOTE", "A variable is missing at some levels.", OURS),
    Rule("GZ015", "NOTE", "Names of axes that no array states are inferred.", OURS),
    Rule("GZ016", "NOTE", "The layout is written in a draft of the convention.", OURS),
    Rule(
        "GZ017", "MUST", "`spatial:shape` is the size of the arrays along `spatial:dimensions`, and these are names of their axes.", _SPATIAL, repair="arrays"
    ),
    Rule("GZ018", "SHOULD", "With the spatial convention, every level of the layout has `spatial:transform`.", _SPATIAL),
    Rule("GZ019", "NOTE", "The levels differ in their type of samples or number of axes; some readers then leave levels out.", OURS),
    Rule("GZ020", "SHOULD", "The group has consolidated metadata.", _MULTISCALES, repair="copy"),
    Rule("GZ021", "SHOULD", "Entries of `zarr_conventions` have a name, and addresses of a tag that was published.", _CONVENTIONS, repair="version"),
    Rule("GZ022", "NOTE", "Without `spatial:transform`, a translation of 0 is read as corners that coincide.", OURS),
    Rule("GZ030", "MUST", "`tile_matrix_set` is the name of a known set, or an object whose `tileMatrices` have id, size of a cell and point of origin.", _TMS),
    Rule("GZ031", "MUST", "Each level is a group named by the id of a tile matrix, with arrays.", _TMS),
    Rule("GZ032", "NOTE", "The arrays are as large as their tile matrix, or as the tiles that its limits name.", OURS),
    Rule("GZ040", "MUST", "`multiscales` is a list of objects, each with a list of `datasets`.", _LISTS),
    Rule("GZ041", "MUST", "Each dataset has `path`, a string below the group; `.` is the group itself.", _LISTS),
    Rule("GZ042", "MUST", "At each path there is an array, or a group with arrays.", _LISTS),
    Rule("GZ043", "NOTE", "A level of a web map has 2 to the power of its zoom times `pixels_per_tile` samples per side; the sizes are believed.", OURS),
)
