"""Planner: shapes, options and a budget -> `BuildPlan`. Pure, so that a plan can be shown, stored and tested without touching a pixel.

Rooms: `options` (what a user says), `beside` (weights and masks), `choices` (what happens when nothing is said), `tiles` (nested tile shapes), `cost` (peak
bytes, passes), `filters` (the same for reductions with a halo), `plan` (the result), `table` (the result as text).
"""

from __future__ import annotations

from ziggurat.planner.beside import Beside, plan_vectors, weighing_of
from ziggurat.planner.choices import Probes, Target
from ziggurat.planner.make import in_source_order, make_plan, source_blocks
from ziggurat.planner.options import BuildOptions, Durability
from ziggurat.planner.plan import BuildPlan, LevelPlan
from ziggurat.planner.table import count_text, size_text, time_text
from ziggurat.planner.tiles import Pass

__all__ = [
    "Beside",
    "BuildOptions",
    "BuildPlan",
    "Durability",
    "LevelPlan",
    "Pass",
    "Probes",
    "Target",
    "count_text",
    "in_source_order",
    "make_plan",
    "plan_vectors",
    "size_text",
    "source_blocks",
    "time_text",
    "weighing_of",
]
