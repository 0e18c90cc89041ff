"""Rules of levels that no settled document declares."""

from __future__ import annotations

from ziggurat.layouts.rules.ports import OURS, Rule

UNDECLARED: tuple[Rule, ...] = (
    Rule("DRF001", "SHOULD", "Levels are described as `multiscales@0.1` or a later format has it, not as its drafts of 2020 had.", "zarr-specs issue #50"),
    Rule("INF001", "NOTE", "No document says that these arrays are levels of one another.", OURS),
)
