"""How levels of any windows are cut: each level is made from the base, an output chunk per task, in pieces whose windows fit the memory.

Along the first reduced axis pieces follow one another and keep the stored chunks that they share; at the sides a stored chunk is read by every piece
that it lies under. So the number of reads is a product of sums over axes, known before anything runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ziggurat.geometry import AxisWindows
from ziggurat.planner.cost import PROCESS_BYTES, Schedule, Work, needed_text
from ziggurat.planner.filters import Inlet, copy_pass, roll_axis
from ziggurat.planner.table import size_text
from ziggurat.planner.tiles import Pass, Shape
from ziggurat.problems import PlanError

MOST_SAMPLES = 1 << 21
"""Base samples under a piece: some MiB per array of it, beyond which larger pieces save nothing."""
BYTES_PER_SAMPLE = 48
"""What a base sample takes while it is joined: what it carries, weights, and a copy of each along the first axis, in 64 bits."""


def resampling_inlet(shape: Shape, chunks: Shape, windows: tuple[AxisWindows, ...]) -> Inlet:
    """Returns how a level reads the base."""
    nominal = tuple(max(1, math.ceil(w.factor)) for w in windows)
    return Inlet(shape, chunks, nominal, (0,) * len(shape), False, windows)


def resample_schedule(work: Work, levels: Sequence[tuple[AxisWindows, ...]], *, n_values: int, memory: int, threads: int) -> Schedule:
    """Returns the passes of a build of any windows: the copy of the base where there is one, then a pass per level.

    `n_values` arrays travel with each sample. Raises PlanError with both numbers when no piece fits the memory.
    """
    chunks = work.chunks if work.writes_base or work.copies_base else work.source_chunks
    least = 0
    while True:
        passes: list[Pass] = []
        peak = PROCESS_BYTES
        if work.writes_base or work.copies_base:
            one, peak = copy_pass(work, threads, memory)
            passes.append(one)
        for k, windows in enumerate(levels, start=1):
            inlet = resampling_inlet(work.shapes[0], chunks, windows)
            piece, most = _piece(work, inlet, k, n_values, (memory - PROCESS_BYTES) // threads)
            passes.append(Pass((k,), (work.chunks, piece), k, _reads(inlet, work.shapes[k], work.chunks, piece), False, what="resample"))
            peak = max(peak, PROCESS_BYTES + threads * most)
        if peak <= memory:
            return Schedule(tuple(passes), threads, peak)
        least = peak if not least else min(least, peak)
        if threads == 1:
            raise PlanError(f"memory: this build needs at least {needed_text(least)} and the budget is {size_text(memory)}; say more memory=")
        threads //= 2


def pieces_of(low: int, high: int, size: int) -> list[tuple[int, int]]:
    """Returns the parts of a range of output samples.

    >>> pieces_of(64, 100, 20)
    [(64, 84), (84, 100)]
    """
    return [(start, min(start + size, high)) for start in range(low, high, size)]


def _piece(work: Work, inlet: Inlet, k: int, n_values: int, memory: int) -> tuple[Shape, int]:
    """Returns the largest piece of an output chunk that fits, and its bytes."""
    shape = work.shapes[k]
    piece = [min(c, n) for c, n in zip(work.chunks, shape, strict=True)]
    while True:
        n_bytes, n_samples = _piece_bytes(work, inlet, shape, piece, n_values)
        if (n_bytes <= memory and n_samples <= MOST_SAMPLES) or all(p == 1 for p in piece):
            return tuple(piece), n_bytes
        longest = max(range(len(piece)), key=lambda a: (piece[a] > 1) * piece[a] * inlet.factors[a])
        piece[longest] = -(-piece[longest] // 2)


def _piece_bytes(work: Work, inlet: Inlet, shape: Shape, piece: Sequence[int], n_values: int) -> tuple[int, int]:
    """Returns the bytes that a thread needs for a piece, and the base samples under it: the most of any piece."""
    cached = samples = 1
    for a, (size, n) in enumerate(zip(piece, shape, strict=True)):
        parts = [part for low in range(0, n, work.chunks[a]) for part in pieces_of(low, min(low + work.chunks[a], n), size)]
        spans = [inlet.window(a, *part) for part in parts]
        samples *= max(high - low for low, high in spans)
        cached *= max(inlet.n_chunks(a, *part) for part in parts) + 1
    stored = cached * math.prod(inlet.chunks) * work.dtype.itemsize
    taken = samples * (work.dtype.itemsize + work.beside_bytes + n_values * BYTES_PER_SAMPLE)
    return stored + taken + 3 * math.prod(work.chunks) * (work.written_bytes + 8 * n_values), samples


def _reads(inlet: Inlet, shape: Shape, chunks: Shape, piece: Shape) -> int:
    roll, total = roll_axis(inlet), 1
    for a, n in enumerate(shape):
        size = chunks[a] if a == roll else piece[a]
        total *= sum(inlet.n_chunks(a, *part) for low in range(0, n, chunks[a]) for part in pieces_of(low, min(low + chunks[a], n), size))
    return total
