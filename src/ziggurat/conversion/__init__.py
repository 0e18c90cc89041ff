"""From one version of a layout family to a later one, over documents alone: no I/O, no pixels.

`upgrade_plan` says what changes; `transfer` does it. The law: only keys that the target version defines are touched; everything
else, at any depth, keeps its value, its place and its spelling. Nothing is invented. Source: formats.md 2.6, 15.11.
"""

from __future__ import annotations

from ziggurat.conversion.plan import Change, Renaming, UpgradePlan, upgrade_plan
from ziggurat.conversion.tree import NAMES, Hierarchy

__all__ = ["NAMES", "Change", "Hierarchy", "Renaming", "UpgradePlan", "upgrade_plan"]
