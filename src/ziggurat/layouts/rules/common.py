"""Rules that belong to no layout alone."""

from __future__ import annotations

from ziggurat.layouts.rules.ports import OURS, Rule

COMMON: tuple[Rule, ...] = (
    Rule("CON001", "SHOULD", "The consolidated copy of the metadata says the same as the documents themselves.", "Zarr, consolidated metadata", repair="copy"),
    Rule("ZARR001", "MUST", "What a series describes is a Zarr group.", "Zarr, groups"),
    Rule("COL001", "MUST", "Every member that a collection lists is there and can be read.", OURS),
    Rule("COL002", "NOTE", "A collection has more members than are judged at once.", OURS),
    Rule("NOTE001", "NOTE", "Some levels state where they lie, and others do not: those are written as aligned at the lower corner.", OURS),
    Rule("LOSS001", "NOTE", "The target cannot hold scale, translation or unit.", OURS),
    Rule("LOSS002", "NOTE", "The target cannot hold a rotation.", OURS),
    Rule("LOSS003", "NOTE", "The target cannot say how samples are to be shown.", OURS),
    Rule("LOSS004", "NOTE", "The target has no place for a key that the source carries.", OURS),
    Rule("LOSS005", "NOTE", "A level that has no array is left out.", OURS),
    Rule("LOSS006", "NOTE", "The target holds one series in a group, and there are several.", OURS),
    Rule(
        "LOSS007",
        "NOTE",
        "What lies beside the levels is no part of the multiscale, or is a member that the target cannot hold, and does not come along.",
        OURS,
    ),
    Rule("LOSS008", "NOTE", "The target cannot hold further coordinate systems.", OURS),
    Rule("LOSS009", "NOTE", "The target cannot hold the names of the axes.", OURS),
)
