"""Builder: makes a plan come true.

Rooms: `front` (what users call), `targets` (where a build writes), `site` (arrays and how they come to their place), `walk` (one
subtree), `run` (threads, executors, resume), `filters` (reductions with a halo), `readers` (samples on their way in), `publish` (the
group's documents), `rebuilding` (levels once more, from what their metadata says), `result`.
"""

from __future__ import annotations

from ziggurat.builder.front import build, plan
from ziggurat.builder.rebuilding import rebuild
from ziggurat.builder.result import BuildResult
from ziggurat.builder.tasks import Progress

__all__ = ["BuildResult", "Progress", "build", "plan", "rebuild"]
