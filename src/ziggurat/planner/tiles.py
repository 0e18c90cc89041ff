"""Tiles: one shape per level, nested exactly, so that no window of the next level and no written chunk lies in two tiles.

`t[0] = lcm(source chunk, factor[1])`; `t[k] = lcm(chunk[k], factor[k + 1], t[k - 1] / factor[k])`, where a level that a pass
does not write has no chunk. Where a tile would pass the level's end, it is the whole level. Source: engine.md 1(b), 3.

Where that makes giants (stored chunks of 100, written ones of 64), tiles of level 0 may *straddle* those of level 1: `t[1]` then
leaves the tile below out, windows still lie in one tile of each level, and a tile of level 1 waits for all that reach into it.
Integer sums may besides be *joined*: the factor of the next level is then left out, so a window may lie in several tiles, and what
each holds of it is added in the level above. A tile is a chunk then, for any factor.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]
HOT_SAMPLES = 1 << 20
"""A tile above this is put together in memory, not in a core's cache (2 MiB of 16-bit samples); smaller ones cost less than joining chunks."""
MOST_PARTIAL = 1.3
"""Where tiles widened to whole windows are larger than this many times themselves (planes), too many windows would be joined."""
MAX_SAMPLES = 2**46
"""Above this a tile is nonsense (mutually prime grids); arithmetic stops early."""


@dataclass(frozen=True, slots=True)
class Grids:
    """What decides the tiles of one walk: sizes, grids and factors, all per level and axis."""

    shapes: tuple[Shape, ...]
    """Shape of level 0, 1, ..."""
    factors: tuple[Shape, ...]
    """`factors[k]` leads from level k - 1 to k; `factors[0]` is all ones."""
    source_chunks: Shape
    chunks: tuple[Shape | None, ...]
    """Chunk shape of each level that the walk writes, None where it does not."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One walk over the base: which levels it writes, in which tiles, from which roots."""

    emits: tuple[int, ...]
    """Levels that this pass writes; 0 among them when the base is encoded again."""
    tiles: tuple[Shape, ...]
    """Tile shape of level 0 up to the coarsest level that this pass makes."""
    root: int
    """Level whose tiles are the tasks."""
    n_chunk_reads: int
    whole_chunks: bool
    """True when a level-0 tile holds whole stored chunks, so that each chunk is read once."""
    straddles: bool = False
    """True when a tile of level 0 may lie in several tiles of level 1, which the threads of a process make together."""
    joins: bool = False
    """True when a window may lie in several tiles of the level below; what each holds of it is added, in any order."""
    n_lone_reads: int = 0
    """Stored chunks that are read when every root is made on its own, as workers of an executor do; 0: as many as otherwise."""
    what: str = "walk"
    """`"walk"`; or a stage of a reduction with a halo, whose one tile is a column of `root`: `"smooth"`, `"difference"`."""

    @property
    def top(self) -> int:
        return len(self.tiles) - 1


def clip(tile: Shape, shape: Shape) -> Shape:
    """Returns the shape of the largest tile that a level really has."""
    return tuple(min(t, n) for t, n in zip(tile, shape, strict=True))


def n_tiles(shape: Shape, tile: Shape) -> int:
    return math.prod(-(-n // t) for n, t in zip(shape, tile, strict=True))


def nest(grids: Grids, first: Shape, *, straddling: bool = False, joining: bool = False) -> tuple[Shape, ...]:
    """Returns the tile shape of every level above a level-0 tile of (at least) `first`.

    `straddling`: which level 1 need not hold whole; `joining`: windows may lie in several tiles.

    >>> g = Grids(((100,), (50,), (25,)), ((1,), (2,), (2,)), (37,), (None, (37,), (37,)))
    >>> nest(g, (74,))
    ((74,), (50,), (25,))
    >>> nest(Grids(((1000,), (500,)), ((1,), (2,)), (100,), (None, (64,))), (100,), straddling=True)
    ((100,), (64,))
    >>> cubes = Grids(((999,) * 3, (333,) * 3), ((1,) * 3, (3,) * 3), (64,) * 3, (None, (64,) * 3))
    >>> nest(cubes, (192,) * 3), nest(cubes, (64,) * 3, joining=True)
    (((192, 192, 192), (64, 64, 64)), ((64, 64, 64), (64, 64, 64)))
    """
    top = len(grids.shapes) - 1
    tiles: list[Shape] = []
    for k in range(top + 1):
        ahead = _factor(grids, k + 1, top)
        wanted = first
        if k:
            chunk = grids.chunks[k] or (1,) * len(ahead)
            below = (1 if straddling and k == 1 else t // math.gcd(t, f) for t, f in zip(tiles[-1], grids.factors[k], strict=True))
            wanted = tuple(math.lcm(c, b) for c, b in zip(chunk, below, strict=True))
        whole = tuple(math.lcm(t, f) for t, f in zip(wanted, ahead, strict=True))
        if joining and math.prod(clip(whole, grids.shapes[k])) > HOT_SAMPLES and _joins_well(wanted, ahead):
            whole, ahead = wanted, (1,) * len(ahead)
        tiles.append(_capped(whole, ahead, grids.shapes[k]))
    return tuple(tiles)


def _joins_well(tile: Shape, ahead: Shape) -> bool:
    return math.prod((t + 2 * (f - 1)) / t for t, f in zip(tile, ahead, strict=True) if t % f) <= MOST_PARTIAL


def _factor(grids: Grids, k: int, top: int) -> Shape:
    return grids.factors[k] if k <= top else (1,) * len(grids.shapes[0])


def _capped(tile: Shape, ahead: Shape, shape: Shape) -> Shape:
    """Cuts a tile that passes the level's end to the whole level, rounded up to whole windows."""
    return tuple(min(t, -(-n // f) * f) for t, f, n in zip(tile, ahead, shape, strict=True))


@dataclass(frozen=True, slots=True)
class Cut:
    """Tiles of every level, and how those of level 0 lie over the stored chunks and in the tiles of level 1."""

    tiles: tuple[Shape, ...]
    whole_chunks: bool
    straddles: bool = False
    joins: bool = False


def candidates(grids: Grids, *, straddling: bool, joining: bool = False) -> Iterator[Cut]:
    """Yields the ways to cut a pass, best first: whole stored chunks, then ever smaller tiles that cut stored chunks.

    `straddling`: tiles of level 0 may lie in several tiles of level 1, which is better where nested tiles would hold more of
    level 1 at once than all tiles that are then begun and not complete. `joining`: windows may lie in several tiles, which is
    better where tiles of whole windows would be larger: put together in memory instead of a core's cache, and few.
    """
    top = len(grids.shapes) - 1
    one = (1,) * len(grids.shapes[0])
    ahead, own = _factor(grids, 1, top), grids.chunks[0] or one
    stored = tuple(math.lcm(c, o) for c, o in zip(grids.source_chunks, own, strict=True))
    whole = tuple(math.lcm(c, f) for c, f in zip(stored, ahead, strict=True))
    straddling = straddling and top > 0 and grids.chunks[1] is not None
    nested = nest(grids, whole)
    if joining and nest(grids, stored, joining=True) != nested:
        yield from _whole_chunks(grids, stored, straddling=straddling, joins=True)
    yield from _whole_chunks(grids, whole, straddling=straddling, joins=False)
    level1 = (grids.chunks[1] if top else None) or one
    smallest = tuple(math.lcm(f, o, c) for f, o, c in zip(ahead, own, level1, strict=True))
    units = tuple(math.lcm(f, o) for f, o in zip(ahead, own, strict=True))
    grown = [smallest]
    for _ in range(4):  # a sixteenth per axis: below that, reading borders again costs more than any budget is worth
        halves = tuple(t // 2 if t % (2 * u) == 0 else t for t, u in zip(grown[0], units, strict=True))
        if halves == grown[0]:
            break
        grown.insert(0, halves)
    while any(t < n for t, n in zip(grown[-1], grids.shapes[0], strict=True)) and len(grown) < 24:
        grown.append(tuple(t if t >= n else 2 * t for t, n in zip(grown[-1], grids.shapes[0], strict=True)))
    for first in reversed(grown):
        if math.prod(clip(first, grids.shapes[0])) <= MAX_SAMPLES:
            yield Cut(nest(grids, first), whole_chunks=False)


def _whole_chunks(grids: Grids, first: Shape, *, straddling: bool, joins: bool) -> Iterator[Cut]:
    """Yields the cuts whose tiles of level 0 are `first`, the better one first."""
    nested = Cut(nest(grids, first, joining=joins), whole_chunks=True, joins=joins)
    if straddling:
        loose = Cut(nest(grids, first, straddling=True, joining=joins), whole_chunks=True, straddles=True, joins=joins)
        n_open = n_begun(grids.shapes, grids.factors, loose.tiles, 1, 1)
        if n_open * math.prod(clip(loose.tiles[1], grids.shapes[1])) < math.prod(clip(nested.tiles[1], grids.shapes[1])):
            yield loose
    yield nested


def cuts_windows(tile: Shape, factors: Shape, shape: Shape) -> bool:
    """Returns whether a window of the next level lies in several tiles of a level of `shape`."""
    return any(t % f and t < n for t, f, n in zip(tile, factors, shape, strict=True))


def n_touched(tile: Shape, factors: Shape) -> int:
    """Returns the most windows that a tile, which need not begin with a whole one, lies in.

    >>> n_touched((64,), (3,)), n_touched((64,), (2,))
    (22, 32)
    """
    return math.prod(-(-t // f) if t % f == 0 else (t - 2) // f + 2 for t, f in zip(tile, factors, strict=True))


def n_begun(shapes: Sequence[Shape], factors: Sequence[Shape], tiles: Sequence[Shape], k: int, threads: int) -> int:
    """Returns a bound of how many tiles of level `k` are begun and not complete while level 0 is swept (see `sweep`).

    Behind the front one tile of each row along the slowest axis waits for the next leaves; where a leaf is at work, all that
    it reaches into.
    """
    axes = _slowest_first(shapes[0], tiles[0])
    footprint = [math.prod(f[a] for f in factors[1 : k + 1]) * tiles[k][a] for a in axes]
    n = [-(-shapes[k][a] // tiles[k][a]) for a in axes]
    reach = [min(m, _reach(tiles[0][a], size)) for a, size, m in zip(axes, footprint, n, strict=True)]
    begun = math.prod(n[1:]) + math.prod(reach[:2]) * math.prod(n[2:]) + threads * math.prod(reach)
    return min(begun, math.prod(n))


def _reach(leaf: int, footprint: int) -> int:
    """Returns the most tiles of `footprint` base samples that one leaf lies in, along one axis."""
    if footprint % leaf == 0:
        return 1
    return leaf // footprint if leaf % footprint == 0 else (leaf - 2) // footprint + 2


def _slowest_first(shape: Shape, tile: Shape) -> list[int]:
    """Returns the axes in the order in which level 0 is swept: the one with most tiles is the slowest, so that the front is short."""
    return sorted(range(len(shape)), key=lambda a: shape[a] / tile[a], reverse=True)


def sweep(shape: Shape, tile: Shape) -> Iterator[Shape]:
    """Yields the tile indices of level 0 row by row: the order that leaves few tiles above them begun and not complete."""
    axes = _slowest_first(shape, tile)
    for place in itertools.product(*(range(-(-shape[a] // tile[a])) for a in axes)):
        yield tuple(place[axes.index(a)] for a in range(len(axes)))


def count_reads(grids: Grids, tile: Shape, *, picks: bool) -> int:
    """Returns how many stored chunks the tiles of level 0 read; `picks`: only chunks that hold a window's first sample."""
    ahead = _factor(grids, 1, len(grids.shapes) - 1) if picks else (1,) * len(tile)
    return math.prod(_axis_reads(n, t, c, f) for n, t, c, f in zip(grids.shapes[0], tile, grids.source_chunks, ahead, strict=True))


def _axis_reads(n: int, tile: int, chunk: int, step: int) -> int:
    if tile % chunk == 0 and step <= chunk:
        return -(-n // chunk)
    total = 0
    for low in range(0, n, tile):
        high = min(low + tile, n)
        for c in range(low // chunk, -(-high // chunk)):
            total += hit(max(low, c * chunk), min(high, c * chunk + chunk), step)
    return total


def hit(start: int, stop: int, step: int) -> bool:
    """Returns whether a multiple of `step` lies in `[start, stop)`.

    >>> hit(5, 8, 4), hit(5, 9, 4)
    (False, True)
    """
    return -(-start // step) * step < stop


def root_level(shapes: Sequence[Shape], tiles: Sequence[Shape], n_wanted: int) -> int:
    """Returns the coarsest level that has at least `n_wanted` tiles, 0 when none has."""
    return max((k for k in range(1, len(tiles)) if n_tiles(shapes[k], tiles[k]) >= n_wanted), default=0)


def order(shape: Shape, tile: Shape, parents: Sequence[tuple[int, ...]]) -> list[Shape]:
    """Returns the tile indices of one level, depth first: sorted by their ancestors' indices, coarsest first.

    `parents[i]` is, per axis, how many tiles of the level lie in one tile of the i-th level above.
    """
    grid = [range(-(-n // t)) for n, t in zip(shape, tile, strict=True)]
    wide = list(reversed(parents))
    return sorted(itertools.product(*grid), key=lambda i: [tuple(a // p for a, p in zip(i, w, strict=True)) for w in wide] + [i])
