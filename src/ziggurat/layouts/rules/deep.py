"""What `check --deep` finds in the samples."""

from __future__ import annotations

from ziggurat.layouts.rules.ports import OURS, Rule

DEEP: tuple[Rule, ...] = (
    Rule("DEEP001", "MUST", "The samples of a level are what the metadata of our own method says, recomputed from the level that it names.", OURS),
    Rule("DEEP002", "SHOULD", "The samples of a level lie where scale and translation say.", OURS),
    Rule("DEEP003", "NOTE", "What the samples of a level look like, beside what the metadata says.", OURS),
    Rule("DEEP004", "NOTE", "What made a level, or where it lies, cannot be told from its samples.", OURS),
    Rule("DEEP005", "NOTE", "Samples were recomputed and are equal.", OURS),
)
