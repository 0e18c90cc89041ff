"""What a walk costs: peak bytes, and the choice of tiles, threads and passes that keeps within a budget. Source: design.md, memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ziggurat.planner.table import size_text
from ziggurat.planner.tiles import Cut, Grids, Pass, Shape, candidates, clip, count_reads, cuts_windows, n_begun, n_tiles, n_touched, root_level
from ziggurat.problems import PlanError
from ziggurat.reductions import Folding, joins_parts

PROCESS_BYTES = 100 * 2**20
"""Interpreter, numpy, codecs and their scratch. Source: design.md."""
COVERAGE_BYTES = 4
"""Of a share as float32."""
SHARD_GROUPS = 16
"""Groups of tasks that shards should leave independent: an interruption then costs at most a few per cent again."""
ROOTS_PER_THREAD = 16
"""Tasks per thread, so that the last one to finish is not waited for long."""
MANY_ROOTS = 1024
"""More tasks of base tiles than this are a large base cut finely: what they stash is then worth saving."""
DECODE_RATE, ENCODE_RATE, START_SECONDS = 1.0e9, 0.18e9, 0.2
"""Bytes per second and core of zstd 3 on 16-bit images (performance.md section 1), and start-up; for the estimate only."""


@dataclass(frozen=True, slots=True)
class Work:
    """Facts of one build that the cost depends on."""

    shapes: tuple[Shape, ...]
    factors: tuple[Shape, ...]
    source_chunks: Shape
    chunks: Shape
    shards: tuple[Shape | None, ...]
    dtype: np.dtype[np.generic]
    out_dtype: np.dtype[np.generic]
    writes_base: bool
    """Level 0 is encoded again."""
    copies_base: bool
    """Level 0 is copied as it is stored, in the first pass."""
    picks: bool
    """Only the first sample of each window is needed."""
    masks: bool
    """Samples may be missing, so weights may travel along."""
    beside_bytes: int = 0
    """Bytes per base sample of a tile that weights and masks from outside take."""
    covers: bool = False
    """The valid share of every level is written too, as float32."""
    n_arrays: int = 1
    """Arrays of samples per level."""

    @property
    def written_bytes(self) -> int:
        """Bytes per sample of what a level's chunks hold."""
        return self.n_arrays * self.out_dtype.itemsize + (COVERAGE_BYTES if self.covers else 0)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the work is cut."""

    passes: tuple[Pass, ...]
    threads: int
    peak_bytes: int


def grids_of(work: Work, emits: Sequence[int]) -> Grids:
    """Returns the grids of a pass that writes the levels `emits`."""
    top = max(emits)
    chunks = tuple(work.chunks if k in emits else None for k in range(top + 1))
    return Grids(work.shapes[: top + 1], work.factors[: top + 1], work.source_chunks, chunks)


def carry_bytes(work: Work, folding: Folding | None, k: int) -> int:
    """Bytes per sample of what travels up at level `k`."""
    if folding is None or k == 0:
        return 0
    n = sum(d.itemsize for d in folding.carry_dtypes(k))
    return n + (2 * folding.weight_dtype(k).itemsize if work.masks else 0)


def peak_bytes(work: Work, folding: Folding | None, cut: Cut, emits: Sequence[int], threads: int) -> int:
    """Returns the most memory that a walk takes, in bytes.

    Up to the root level every thread has a tile of its own per level; above it tiles are shared, and at most one more than there are
    threads is open per level, because roots come depth first. Where tiles straddle, all levels are shared and open along a front.
    """
    tiles = cut.tiles
    shapes = work.shapes[: len(tiles)]
    shared_from = 1 if cut.straddles else _root_level(work, shapes, cut, emits, threads) + 1
    samples = [math.prod(clip(t, n)) for t, n in zip(tiles, shapes, strict=True)]
    item = work.dtype.itemsize
    per_thread = math.prod(work.source_chunks) * item
    if tuple(tiles[0]) != work.source_chunks:
        per_thread += samples[0] * item
    if work.masks:
        per_thread += samples[0] * (item + 2 + work.beside_bytes)
    per_thread += sum(samples[k] * carry_bytes(work, folding, k) for k in range(1, shared_from))
    for k in range(1, shared_from) if cut.joins else ():
        if cuts_windows(tiles[k - 1], work.factors[k], shapes[k - 1]):
            per_thread += n_touched(clip(tiles[k - 1], shapes[k - 1]), work.factors[k]) * carry_bytes(work, folding, k)
    per_thread += (len(emits) + 2) * math.prod(work.chunks) * work.written_bytes
    shared = 0
    for k in range(shared_from, len(tiles)):
        n_open = n_begun(shapes, work.factors, tiles, k, threads) if cut.straddles else min(n_tiles(shapes[k], tiles[k]), threads + 1)
        shared += n_open * samples[k] * carry_bytes(work, folding, k)
        given = n_touched(clip(tiles[k - 1], shapes[k - 1]), work.factors[k]) * carry_bytes(work, folding, k)
        per_thread += 2 * given if k == shared_from else 0
        shared += 0 if k == shared_from else given
    return PROCESS_BYTES + threads * per_thread + shared + _open_shards(work, tiles, emits, threads)


def _open_shards(work: Work, tiles: Sequence[Shape], emits: Sequence[int], threads: int) -> int:
    """Encoded bytes of shards that wait for their last chunk, taken as large as the samples."""
    total = 0
    for k in emits:
        shard = work.shards[k]
        if shard is None or (k == 0 and not work.writes_base):
            continue
        touched = math.prod(-(-t // s) + (0 if t % s == 0 or s % t == 0 else 1) for t, s in zip(tiles[k], shard, strict=True))
        n_open = min(n_tiles(work.shapes[k], shard), touched * (threads + 1))
        total += n_open * math.prod(clip(shard, work.shapes[k])) * work.written_bytes
    return total


def schedule(work: Work, folding: Folding | None, *, memory: int, threads: int) -> Schedule:
    """Returns the cheapest cut that fits the budget.

    Tried in this order: one walk that reads each stored chunk once, with all threads and then with fewer; one walk whose tiles cut
    stored chunks; a walk per level, likewise. Raises PlanError with both numbers when even that does not fit.
    """
    top = len(work.shapes) - 1
    emits = tuple(range(0 if work.writes_base or not top else 1, top + 1))
    least = None
    groups = [[emits]] + ([[(k,) for k in emits]] if len(emits) > 1 else [])
    for group in groups:
        for n in _fewer(threads):
            for wanted in ("whole", "cut"):
                passes, peak = _passes(work, folding, group, n, memory, wanted)
                if peak <= memory:
                    return Schedule(passes, n, peak)
                least = peak if least is None else min(least, peak)
    raise PlanError(
        f"memory: this build needs at least {needed_text(least or 0)} and the budget is {size_text(memory)}; "
        "say more memory=, smaller chunks=, or chunks that the source's chunks divide"
    )


def n_roots(threads: int) -> int:
    """Returns how many tasks are wanted: the same for 1 to 4 threads, so that a build can go on with another number of them."""
    return ROOTS_PER_THREAD * max(threads, 4)


def _fewer(threads: int) -> Iterator[int]:
    while threads > 1:
        yield threads
        threads //= 2
    yield 1


def _passes(work: Work, folding: Folding | None, group: Sequence[tuple[int, ...]], threads: int, memory: int, wanted: str) -> tuple[tuple[Pass, ...], int]:
    """Returns a pass per entry of `group` with the first tiles of the wanted sort that fit, and the highest peak."""
    passes: list[Pass] = []
    highest = 0
    for emits in group:
        grids = grids_of(work, emits)
        best: Cut | None = None
        lowest = 0
        joining = folding is not None and not work.masks and joins_parts(folding)
        for cut in candidates(grids, straddling=not work.writes_base and not work.copies_base, joining=joining):
            if cut.whole_chunks != (wanted == "whole"):
                continue
            peak = peak_bytes(work, folding, cut, emits, threads)
            if best is None or peak < lowest:
                best, lowest = cut, peak
            if peak <= memory:
                break
        if best is None:
            return (), 2**62
        passes.append(_pass(work, grids, best, emits, threads, first=not passes))
        highest = max(highest, lowest)
    return tuple(passes), highest


def _pass(work: Work, grids: Grids, cut: Cut, emits: tuple[int, ...], threads: int, *, first: bool) -> Pass:
    picks = work.picks and not work.writes_base and not (first and work.copies_base)
    reads = count_reads(grids, cut.tiles[0], picks=picks)
    root = _root_level(work, grids.shapes, cut, emits, threads)
    lone = 0
    if cut.straddles:
        footprint = tuple(t * math.prod(f[a] for f in work.factors[: root + 1]) for a, t in enumerate(cut.tiles[root]))
        lone = count_reads(grids, footprint, picks=picks)
    return Pass(emits, cut.tiles, root, reads, cut.whole_chunks, cut.straddles, cut.joins, lone)


def _root_level(work: Work, shapes: Sequence[Shape], cut: Cut, emits: Sequence[int], threads: int) -> int:
    """Returns the level whose tiles are the tasks; a finer one where shards would otherwise tie too many tasks together.

    Tasks that feed one shard are redone together after an interruption, and are made by one worker of an executor.
    """
    wanted, tiles = n_roots(threads), cut.tiles
    coarsest = root_level(shapes, tiles, wanted)
    if cut.straddles:
        coarsest = max(coarsest, 1)  # tiles of level 0 are nobody's alone
    elif not coarsest and n_tiles(shapes[0], tiles[0]) > MANY_ROOTS:
        # Tasks of base tiles stash up to a quarter of a large base (ladder 2, 3, 2 of 2 GiB: a fifth of the time); fewer tasks will do.
        coarsest = root_level(shapes, tiles, wanted // 4)
    for k in range(coarsest, 0, -1):
        if all((shard := work.shards[n]) is None or n_tiles(work.shapes[n], shard) >= SHARD_GROUPS for n in emits if n <= k):
            return k
    return coarsest


def needed_text(n_bytes: int) -> str:
    """Returns a number of bytes that is enough when it is said: whole MiB, rounded up."""
    return f"{math.ceil(n_bytes / 2**20)} MiB"


def expected_seconds(bytes_in: int, bytes_out: int, threads: int) -> float:
    """Returns an estimate of the time of a build, in seconds."""
    return START_SECONDS + (bytes_in / DECODE_RATE + bytes_out / ENCODE_RATE) / threads
