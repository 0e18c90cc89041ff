"""Rules of `tiff`."""

from __future__ import annotations

from ziggurat.layouts.rules.ports import OURS, Rule

TIFF: tuple[Rule, ...] = (
    Rule("TIF001", "MUST", "The pages of every level can be read: their tiles and strips lie inside the file.", "TIFF 6.0, section 2"),
    Rule("TIF002", "SHOULD", "Reduced pages are ordered from the largest to the smallest.", "OME-TIFF 6.0, sub-resolutions; GDAL, GTiff driver"),
    Rule("TIF003", "NOTE", "A reduced page has the axes of its image and is smaller; one that is not is left out.", OURS),
    Rule("TIF004", "NOTE", "Axes that the file does not name are inferred.", OURS),
    Rule("TIF005", "NOTE", "A mask has the size of a level.", OURS),
)
