"""What each version of OME-Zarr says, as one table: the reader, the writer and the checks are written over it. Source: formats.md 2.1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from ziggurat.layouts.ports import Facts
from ziggurat.model import JSON
from ziggurat.node import Node
from ziggurat.problems import LayoutError

NAME = "ome-zarr"


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What one version of the format says, as far as it differs from the others."""

    version: str
    zarr_format: int
    separator: Literal[".", "/"] | None
    """Of chunk keys; None when any will do."""
    wrapped: bool
    """True when everything lies below `ome`, which then states the version once; else at the root, each block with its version."""
    axes: Literal["none", "letters", "objects", "systems"]
    """Not stated; their letters; objects; objects below the coordinate system that the datasets lead to."""
    n_axes: tuple[int, int]
    """The fewest and the most."""
    transformations: Literal["", "list", "single"]
    """How a dataset states its geometry: not at all; a scale and a translation in a list; one transformation with input and output."""
    dimension_names: Literal["", "group", "array"]
    """Where the names of the axes are repeated: nowhere, `_ARRAY_DIMENSIONS` of the group, `dimension_names` of each array."""
    draft: bool = False
    """True when it is not final: read and checked, and written only when it is named."""
    spellings: tuple[str, ...] = ()
    """Other spellings of the version that count as it."""


FACTS: Mapping[str, VersionFacts] = MappingProxyType(
    {
        facts.version: facts
        for facts in (
            VersionFacts("0.1", 2, ".", False, "none", (5, 5), "", ""),
            VersionFacts("0.2", 2, "/", False, "none", (5, 5), "", ""),
            VersionFacts("0.3", 2, "/", False, "letters", (2, 5), "", "group"),
            VersionFacts("0.4", 2, "/", False, "objects", (2, 5), "list", ""),
            VersionFacts("0.5", 3, None, True, "objects", (2, 5), "list", "array"),
            VersionFacts("0.6", 3, None, True, "systems", (2, 5), "single", "", draft=True, spellings=("0.6rc0",)),
        )
    }
)
"""Every version, oldest first. Source: formats.md 2.1."""
WRAPPED_KEYS = ("multiscales", "omero", "labels", "image-label", "plate", "well", "bioformats2raw.layout", "series")
"""What 0.5 moves below `ome`; every other key of the attributes is somebody else's. Source: formats.md 2.6."""
LETTERS = "tczyx"
LABELS = "labels"
"""The group below an image that holds its label images."""


def facts_of(version: str) -> VersionFacts:
    """Returns the row of a version. Raises LayoutError for one that does not exist."""
    if version not in FACTS:
        raise LayoutError(f"ome-zarr@{version}: no such version is written; there are {', '.join(f'{NAME}@{v}' for v in FACTS)}")
    return FACTS[version]


def parsed_version(value: JSON) -> str:
    """Returns `major.minor` of a stated version, leniently; "" when there is none in it. Source: formats.md 2.2.

    >>> parsed_version("0.4-dev-spatialdata"), parsed_version(0.4), parsed_version("0.6.dev1"), parsed_version("latest")
    ('0.4', '0.4', '0.6', '')
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    found = re.match(r"(\d+\.\d+)", str(value))
    return found[1] if found else ""


def block_of(node: Node) -> tuple[Mapping[str, JSON], str] | None:
    """Returns the attributes that hold OME's keys, and their place (`"ome."` or `""`); None when there are none."""
    attributes = node.attributes
    ome = attributes.get("ome")
    if isinstance(ome, Mapping):
        return ome, "ome."
    return (attributes, "") if any(key in attributes for key in WRAPPED_KEYS) else None


ABOUT = Facts(
    title="OME-Zarr 0.1 to 0.6",
    marks="`ome.version` beside `ome.multiscales` (0.5 and later); before, `multiscales[].version`, or transformations, axes, `omero` or five axes that tell.",
    geometry="`coordinateTransformations`: a scale, then a translation, of sample centres; those of the series come last. Without any translation, levels are "
    "read as aligned at their lower corner, and marked inferred. 0.1 to 0.3 state none: the sizes tell.",
    axes="Objects with name, type and unit (0.4 and later), letters (0.3), t, c, z, y, x by definition (0.1, 0.2); two or three of them space.",
    keeps="`omero`, labels, plates and wells; every unknown key, at its place.",
    source="OME-NGFF 0.1 to 0.6",
    software=("ome-zarr", "ngff-zarr", "napari", "bioformats2raw", "viv", "neuroglancer", "OMERO", "BigDataViewer"),
)
