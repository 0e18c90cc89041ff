"""How a reduction with a halo is cut: level by level, in columns that run along one axis and keep what the next step needs.

A task is a column: some output chunks wide across every axis but one, and the whole length of that axis, the *roll* axis. Going along it,
each stored chunk under the column and its halo is read once; at the sides, chunks are read by both neighbours. So the number of reads is
a product of sums over axes, known before anything runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ziggurat.geometry import AxisWindows
from ziggurat.planner.cost import PROCESS_BYTES, Schedule, Work, grids_of, n_roots, needed_text, peak_bytes
from ziggurat.planner.table import size_text
from ziggurat.planner.tiles import Grids, Pass, Shape, candidates, count_reads, n_tiles, root_level
from ziggurat.problems import PlanError
from ziggurat.reductions import Filter

FLOATS_PER_SAMPLE = 4
"""Copies of a window in float64 that a separable filter holds at once: the window, two passes of it, and the result."""
_GOOD_ENOUGH = 1.25
"""Reads per chunk at which wider columns no longer pay."""


@dataclass(frozen=True, slots=True)
class Inlet:
    """One array that a stage reads: which window of it lies under a run of output samples."""

    shape: Shape
    chunks: Shape
    factors: Shape
    """Source samples per output sample where positive steps lead down; for an expansion, output samples per source sample."""
    halo: Shape
    up: bool
    """True when the source is coarser than the output (expansion)."""
    windows: tuple[AxisWindows, ...] = ()
    """Windows of any length, in place of factors."""

    def window(self, axis: int, start: int, stop: int) -> tuple[int, int]:
        """Returns the half-open range of source samples, clipped, that output samples `[start, stop)` need."""
        if self.windows:
            return self.windows[axis].samples(start, stop)
        f, h, n = self.factors[axis], self.halo[axis], self.shape[axis]
        low, high = (start // f - h, -(-stop // f) + h) if self.up else (start * f - h, stop * f + h)
        return max(0, low), min(n, high)

    def n_chunks(self, axis: int, start: int, stop: int) -> int:
        low, high = self.window(axis, start, stop)
        c = self.chunks[axis]
        return max(0, -(-high // c) - low // c)


def inlets(what: str, k: int, shapes: Sequence[Shape], factors: Sequence[Shape], base_chunks: Shape, chunks: Shape, smooth: Filter) -> tuple[Inlet, ...]:
    """Returns what a stage reads: `"smooth"` makes gaussian level `k` of k - 1; `"difference"` level `k` of gaussian k and k + 1."""
    ndim = len(shapes[0])
    if what == "smooth":
        return (Inlet(shapes[k - 1], base_chunks if k == 1 else chunks, factors[k], smooth.halo(k), False),)
    fine = Inlet(shapes[k], base_chunks if k == 0 else chunks, (1,) * ndim, (0,) * ndim, False)
    if k == len(shapes) - 1:
        return (fine,)
    return fine, Inlet(shapes[k + 1], chunks, factors[k + 1], smooth.expand_halo(k + 1), True)


def roll_axis(inlet: Inlet) -> int:
    """Returns the axis that a column runs along: the first one that is reduced."""
    return next((a for a, f in enumerate(inlet.factors) if f > 1), 0)


def stages(n_levels: int, *, differences: bool, residual: bool) -> list[tuple[str, int]]:
    """Returns the stages in order: every gaussian level, then every difference."""
    found = [("smooth", k) for k in range(1, n_levels)]
    if differences:
        found += [("difference", k) for k in range(0 if residual else 1, n_levels)]
    return found


def filter_schedule(work: Work, smooth: Filter, *, differences: bool, residual: bool, memory: int, threads: int) -> Schedule:
    """Returns the passes of a build with a halo: the copy of the base where there is one, then the stages."""
    least = 0
    while True:
        passes: list[Pass] = []
        peak = PROCESS_BYTES
        if work.writes_base or work.copies_base:
            one, most = copy_pass(work, threads, memory)
            passes.append(one)
            peak = max(peak, most)
        for what, k in stages(len(work.shapes), differences=differences, residual=residual):
            one, most = _stage_pass(work, smooth, what, k, threads, memory)
            passes.append(one)
            peak = max(peak, most)
        if peak <= memory:
            return Schedule(tuple(passes), threads, peak)
        least = peak if not least else min(least, peak)
        if threads == 1:
            raise PlanError(
                f"memory: this build needs at least {needed_text(least)} and the budget is {size_text(memory)}; say more memory=, or smaller chunks="
            )
        threads //= 2


def copy_pass(work: Work, threads: int, memory: int) -> tuple[Pass, int]:
    """Returns the pass that copies the base, and its peak bytes."""
    grids = grids_of(work, (0,))
    grids = Grids(grids.shapes, grids.factors, grids.source_chunks, (work.chunks if work.writes_base else None,))
    best, lowest = None, 2**62
    for cut in candidates(grids, straddling=False):
        peak = peak_bytes(work, None, cut, (0,), threads)
        if peak < lowest:
            best, lowest = cut, peak
        if peak <= memory:
            break
    if best is None:
        raise PlanError(f"memory: no tile of the base fits the budget of {size_text(memory)}; say more memory=")
    tiles = best.tiles
    return Pass((0,), tiles, root_level(grids.shapes, tiles, n_roots(threads)), count_reads(grids, tiles[0], picks=False), best.whole_chunks), lowest


def _stage_pass(work: Work, smooth: Filter, what: str, k: int, threads: int, memory: int) -> tuple[Pass, int]:
    """Returns the columns of a stage, as wide as the budget and the number of threads allow, until reads are few enough."""
    base_chunks = work.chunks if work.writes_base or work.copies_base else work.source_chunks
    feeds = inlets(what, k, work.shapes, work.factors, base_chunks, work.chunks, smooth)
    roll, shape = roll_axis(feeds[-1]), work.shapes[k]
    wide = 1
    best: tuple[Shape, int, int] | None = None
    while True:
        column = tuple(n if a == roll else min(c * wide, -(-n // c) * c) for a, (n, c) in enumerate(zip(shape, work.chunks, strict=True)))
        reads = sum(_reads(inlet, column, shape, roll) for inlet in feeds)
        peak = PROCESS_BYTES + threads * _stage_bytes(work, feeds, column, roll, k)
        if best is not None and (peak > memory or n_tiles(shape, column) < 2 * max(threads, 4)):
            break
        best = (column, reads, peak)
        once = sum(n_tiles(inlet.shape, inlet.chunks) for inlet in feeds)
        if peak > memory or reads <= _GOOD_ENOUGH * once or all(w >= n for w, n in zip(column, shape, strict=True)):
            break
        wide *= 2
    return Pass((k,), (best[0],), k, best[1], False, what=what), best[2]


def _reads(inlet: Inlet, column: Shape, shape: Shape, roll: int) -> int:
    total = 1
    for a, (w, n) in enumerate(zip(column, shape, strict=True)):
        if a == roll:
            low, high = inlet.window(a, 0, n)
            total *= -(-high // inlet.chunks[a]) - low // inlet.chunks[a]
        else:
            total *= sum(inlet.n_chunks(a, start, min(start + w, n)) for start in range(0, n, w))
    return total


def _stage_bytes(work: Work, feeds: Sequence[Inlet], column: Shape, roll: int, k: int) -> int:
    """Returns the bytes of one thread: cached chunks of every inlet, the window of one output chunk in float64, the output."""
    item = work.dtype.itemsize
    wide = 16 if work.dtype.kind == "c" else 8
    total = 0
    for inlet in feeds:
        cached = window = 1
        for a, (w, n, c) in enumerate(zip(column, work.shapes[k], work.chunks, strict=True)):
            span = min(c if a == roll else w, n)
            start = 0 if n <= span else (n - span) // 2 // c * c
            cached *= inlet.n_chunks(a, start, start + span) + (1 if n > span else 0)
            low, high = inlet.window(a, start, start + min(c, n))
            window *= high - low + 2 * inlet.halo[a]
        total += cached * math.prod(inlet.chunks) * item + window * (item + FLOATS_PER_SAMPLE * wide)
    return total + 2 * math.prod(work.chunks) * (np.dtype(work.out_dtype).itemsize + 2 * wide)
