"""The depth-first walk: make a tile of a level by making its children, folding each into its place while it is hot.

Nothing here knows about axes, layouts, journals or executors: a `Walk` is geometry (from the plan), arithmetic (a `Folding`), one
reader and one writer per level. Buffers are reused, one set per thread. Source: engine.md 3.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np

from ziggurat.builder.readers import Copier
from ziggurat.builder.tasks import Crew, Index, Step, Tallies, Tally, coverage_key, level_of, side_keys
from ziggurat.chunkio import AnyArray, ChunkReader, ChunkWriter, fill_scalar
from ziggurat.planner import BuildPlan, Pass, weighing_of
from ziggurat.planner.tiles import Shape, cuts_windows, hit, order, sweep
from ziggurat.reductions import Bounded, Carry, Counts, Folding, Paired, coverage

Box = tuple[tuple[int, int], ...]
"""Half-open interval per axis, in samples of one level."""


class Beside(Protocol):
    """What was given beside the base's samples: weights, masks. Picklable, thread-safe."""

    def carry(self, box: Box, samples: AnyArray) -> Carry:
        """Returns a tile of base samples with what is known of each beside its value; `samples` is not written to."""
        ...


@dataclass(slots=True)
class _Pending:
    """A shared tile that waits for children; these own disjoint regions, so the lock guards only `left` and weights."""

    carry: Carry
    left: int
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Part(NamedTuple):
    """The part of a stored chunk that lies in a tile."""

    offset: Index
    """The chunk, from the first one that the tile lies in."""
    source: tuple[slice, ...] | None
    """Where it lies in the chunk, None: everywhere."""
    place: tuple[slice, ...]
    """Where it lies in the tile."""
    is_first: bool
    """True when the chunk begins in the tile."""


class _Child(NamedTuple):
    """A tile below another one."""

    offset: Index
    """From the first one below."""
    place: tuple[slice, ...]
    """Where in the tile its windows lie."""
    lead: Index
    """Samples of its first windows that lie in its neighbours; empty when windows lie in one tile."""


class _Local(threading.local):
    """Reused buffers of one thread, and its own tally."""

    def __init__(self) -> None:
        self.buffers: dict[object, AnyArray] = {}
        self.tally: Tally | None = None


class Walk:
    """One pass over the base; thread-safe: any number of threads may call `make_root` and `hand_up`."""

    def __init__(
        self,
        plan: BuildPlan,
        number: int,
        reader: ChunkReader,
        writers: Mapping[int, ChunkWriter],
        folding: Folding | None,
        copier: Copier | None = None,
        beside: Beside | None = None,
    ) -> None:
        one = plan.passes[number]
        self._plan, self._pass, self.number = plan, one, number
        self._reader, self._writers, self._folding = reader, writers, folding
        self._copier = copier if number == 0 else None
        self._beside = beside
        self._shapes = [level.shape for level in plan.levels[: one.top + 1]]
        self._factors = [level.factors for level in plan.levels[: one.top + 1]]
        self._cumulative = [level.cumulative for level in plan.levels[: one.top + 1]]
        self._tiles = one.tiles
        self._joined = frozenset(k for k in range(1, one.top + 1) if one.joins and self._cuts_windows(k))
        self._emits = frozenset(k for k in one.emits if k or plan.base == "encoded")
        self._fill = {k: _fill_of(writers[k], plan) for k in self._emits}
        self._picks = plan.anchor == "first" and self._copier is None and 0 not in self._emits
        self._sums = plan.reduction == "mean"
        self._weighing = weighing_of(plan)
        # a tile of level 0 is a stored chunk, and nothing happens to it but that it is read
        self._last = tuple(n // c for n, c in zip(self._shapes[0], reader.chunks, strict=True))
        """Index of the chunk that the end of level 0 lies in, per axis, when it ends with no whole one."""
        self._plain = one.tiles[0] == reader.chunks and not self._picks and self._copier is None and 0 not in self._emits and beside is None
        self._paired: Paired | None = folding if isinstance(folding, Paired) else None
        self._bounded = folding if isinstance(folding, Bounded) else None
        self.crew = Crew()
        self._local = _Local()
        self._lock = threading.Lock()
        self._pending: dict[tuple[int, Index], _Pending] = {}
        self._spare: dict[int, list[tuple[AnyArray, ...]]] = {}
        self._tallies = Tallies()
        self._unproven: dict[Index, dict[int, int]] = {}
        # geometry that is asked for again and again; two threads may both work out an entry, which is the same
        self._cut: dict[Box, tuple[_Part, ...]] = {}
        self._nests: dict[tuple[int, Shape], tuple[_Child, ...]] = {}
        self._counted: dict[tuple[int, int, int, int], tuple[tuple[slice, int], ...]] = {}

    def _cuts_windows(self, k: int) -> bool:
        """True when a window of level `k` may lie in several tiles below."""
        return (self._pass.straddles and k == 1) or cuts_windows(self._tiles[k - 1], self._factors[k], self._shapes[k - 1])

    @property
    def hands_up(self) -> bool:
        return self._pass.root < self._pass.top

    @property
    def one_pass(self) -> Pass:
        return self._pass

    def roots(self) -> list[Index]:
        """Returns the tasks: tiles of the root level, depth first."""
        parents = []
        span = (1,) * len(self._shapes[0])
        for k in range(self._pass.root, self._pass.top):
            span = tuple(s * (u * f) // t for s, t, u, f in zip(span, self._tiles[k], self._tiles[k + 1], self._factors[k + 1], strict=True))
            parents.append(tuple(max(1, s) for s in span))
        return order(self._shapes[self._pass.root], self._tiles[self._pass.root], parents)

    def note(self, other: Tally) -> None:
        """Adds what a worker in another process did."""
        self._tallies.note(other)

    def note_resumed(self, root: Index) -> None:
        """Counts the chunks of a root that an earlier run wrote."""
        found = self.chunks_under(root)
        if self._copier is not None:
            found[0] = self._copied_under(root)
        self.note(Tally(written=found))

    def restored(self, root: Index, data: bytes) -> Carry:
        """Returns what a root gave, from the bytes of its stash; weights are there when bytes are left for them."""
        k = self._pass.root
        shape = self._n_windows(k + 1, self.box(k, root))
        n = math.prod(shape)
        values, at = [], 0
        for dtype in self._bound.carry_dtypes(k + 1):
            values.append(np.frombuffer(data, dtype, n, at).reshape(shape + dtype.shape))
            at += n * dtype.itemsize
        weights = np.frombuffer(data, self._bound.weight_dtype(k + 1), n, at).reshape(shape) if len(data) > at else None
        return Carry(tuple(values), weights)

    def sharded(self) -> dict[int, Shape]:
        """Returns the shard shape of every sharded level that the subtrees of roots write to."""
        keys = {*self._emits, *(key for k in self._emits for key in side_keys(self._plan, k))} | (set() if self._copier is None else {0})
        found = {}
        for k in keys:
            shards = self._writers[k].shards
            if level_of(k) <= self._pass.root and shards is not None and shards != self._writers[k].chunks:
                found[k] = shards
        return found

    def tally(self) -> Tally:
        """Returns what all threads did so far."""
        return self._tallies.total()

    # --- geometry

    def box(self, k: int, i: Index) -> Box:
        """Returns the samples of level `k` that tile `i` holds."""
        return tuple((x * t, min(x * t + t, n)) for x, t, n in zip(i, self._tiles[k], self._shapes[k], strict=True))

    def _children(self, k: int, box: Box) -> Iterator[Index]:
        ranges = []
        for (low, high), f, t, n in zip(box, self._factors[k], self._tiles[k - 1], self._shapes[k - 1], strict=True):
            ranges.append(range(low * f // t, -(-min(high * f, n) // t)))
        return itertools.product(*ranges)

    def _parent(self, k: int, i: Index) -> Index:
        return tuple(x * t // (u * f) for x, t, u, f in zip(i, self._tiles[k], self._tiles[k + 1], self._factors[k + 1], strict=True))

    def _place(self, k: int, i: Index, child: Index) -> tuple[slice, ...]:
        """Returns where in tile `i` of level `k` the windows of a child tile lie."""
        parts = zip(self.box(k - 1, child), self._factors[k], i, self._tiles[k], strict=True)
        return tuple(slice(low // f - x * t, -(-high // f) - x * t) for (low, high), f, x, t in parts)

    def _n_windows(self, k: int, box: Box) -> Shape:
        """Returns per axis in how many windows of level `k` a box of the level below lies."""
        return tuple(-(-high // f) - low // f for (low, high), f in zip(box, self._factors[k], strict=True))

    def _lead(self, k: int, box: Box) -> Index:
        """Returns per axis how many samples of the first window of level `k` lie before a box of the level below."""
        return tuple(low % f for (low, _), f in zip(box, self._factors[k], strict=True)) if k in self._joined else ()

    def _counts(self, k: int, box: Box) -> Counts:
        """Returns per axis (slice inside the tile, base samples per window): whole windows, then the partial one."""
        out = []
        for axis, (low, high) in enumerate(box):
            found = self._counted.get((k, axis, low, high))
            if found is None:
                f, n = self._cumulative[k][axis], self._shapes[0][axis]
                whole = max(low, min(high, n // f))
                parts = ((slice(0, whole - low), f), (slice(whole - low, high - low), n - n // f * f))
                found = self._counted[k, axis, low, high] = tuple(p for p in parts if p[0].stop > p[0].start)
            out.append(found)
        return tuple(out)

    def _boxes_under(self, root: Index) -> Iterator[tuple[int, Box]]:
        """Yields the box of a root's subtree at the root level and at every level below."""
        box = self.box(self._pass.root, root)
        for k in range(self._pass.root, -1, -1):
            yield k, box
            if k:
                box = tuple((low * f, min(high * f, n)) for (low, high), f, n in zip(box, self._factors[k], self._shapes[k - 1], strict=True))

    def chunks_under(self, root: Index) -> dict[int, int]:
        """Returns how many chunks of each written level the subtree of a root makes."""
        found: dict[int, int] = {}
        for k, box in self._boxes_under(root):
            if k in self._emits:
                chunks = self._writers[k].chunks
                found[k] = math.prod(-(-high // c) - low // c for (low, high), c in zip(box, chunks, strict=True))
                found.update(dict.fromkeys(side_keys(self._plan, k), found[k]))
        return found

    def _copied_under(self, root: Index) -> int:
        """Returns how many stored chunks begin in the subtree of a root."""
        box = next(box for k, box in self._boxes_under(root) if k == 0)
        return math.prod(-(-high // c) - -(-low // c) for (low, high), c in zip(box, self._reader.chunks, strict=True))

    def shards_under(self, root: Index, level: int, shards: Shape) -> Iterator[Index]:
        """Returns the shards of a level that the subtree of a root feeds."""
        box = next(box for k, box in self._boxes_under(root) if k == level_of(level))
        return itertools.product(*(range(low // s, -(-high // s)) for (low, high), s in zip(box, shards, strict=True)))

    # --- buffers

    def _buffer(self, what: object, shape: Shape, dtype: np.dtype[np.generic]) -> AnyArray:
        found = self._local.buffers.get(what)
        if found is None or found.shape != shape + dtype.shape:
            found = self._local.buffers[what] = np.empty(shape, dtype)
        return found

    def _mine(self) -> Tally:
        if self._local.tally is None:
            self._local.tally = Tally()
            self._tallies.note(self._local.tally)
        return self._local.tally

    # --- level 0

    def _chunk(self, i: Index) -> AnyArray:
        """Returns a stored chunk that is a tile, as far as it lies in the array; valid until this thread's next one."""
        chunk = self._buffer("chunk", self._reader.chunks, self._reader.dtype)
        self._mine().n_chunk_reads += 1
        self._reader.read(i, chunk)
        for x, last in zip(i, self._last, strict=True):
            if x == last:
                return chunk[tuple([slice(0, n - x * c) for x, c, n in zip(i, chunk.shape, self._shapes[0], strict=True)])]
        return chunk

    def _leaf(self, box: Box) -> AnyArray:
        """Returns the base samples of a tile or a part of it; valid until this thread's next leaf."""
        chunk = self._buffer("chunk", self._reader.chunks, self._reader.dtype)
        first, parts = [low // c for (low, _), c in zip(box, self._reader.chunks, strict=True)], self._parts(box)
        if len(parts) == 1:
            self._read(first, parts[0], chunk)
            block = chunk if parts[0].source is None else chunk[parts[0].source]
        else:
            block = self._buffer("tile", tuple(min(t, n) for t, n in zip(self._tiles[0], self._shapes[0], strict=True)), self._reader.dtype)
            block = block[tuple([slice(0, high - low) for low, high in box])]
            for part in parts:
                self._read(first, part, chunk)
                block[part.place] = chunk if part.source is None else chunk[part.source]
        if 0 in self._emits:
            self._write(box, block)
        return block

    def _parts(self, box: Box) -> tuple[_Part, ...]:
        """Returns the parts of stored chunks that lie in a box of level 0; those without a wanted sample are left out."""
        chunks = self._reader.chunks
        # where every sample is wanted, boxes that lie alike over the chunks have the same parts
        key = box if self._picks else tuple([(low % c, high - low) for (low, high), c in zip(box, chunks, strict=True)])
        found = self._cut.get(key)
        if found is None:
            axes = []
            for (low, high), c, f in zip(box, chunks, self._factors[1] if self._picks and self._pass.top else (1,) * len(box), strict=True):
                stretches = []
                for x in range(low // c, -(-high // c)):
                    start, stop = max(low, x * c), min(high, x * c + c)
                    if hit(start, stop, f):
                        stretches.append((x - low // c, slice(start - x * c, stop - x * c), slice(start - low, stop - low), start == x * c))
                axes.append(stretches)
            made = []
            for some in itertools.product(*axes):
                offset, source, place, is_first = zip(*some, strict=True)
                is_whole = all(part.stop - part.start == c for part, c in zip(source, chunks, strict=True))
                made.append(_Part(offset, None if is_whole else source, place, all(is_first)))
            found = self._cut[key] = tuple(made)
        return found

    def _read(self, first: Sequence[int], part: _Part, chunk: AnyArray) -> None:
        tally = self._mine()
        tally.n_chunk_reads += 1
        j = tuple([a + b for a, b in zip(first, part.offset, strict=True)])
        if self._copier is None or not part.is_first:
            self._reader.read(j, chunk)
        else:
            n_bytes = self._copier.read(j, chunk)
            tally.copied_bytes += n_bytes
            tally.written[0] = tally.written.get(0, 0) + 1

    # --- the walk

    def make_root(self, i: Index) -> Carry | None:
        """Makes and writes the subtree of one root. Returns what its parent gets from it, None at the top."""
        k = self._pass.root
        if k == self._pass.top == 0:
            self._leaf(self.box(0, i))
            return None
        if self._pass.straddles:
            return self._make_alone(i)
        carry = self._make(k, i)
        return self._contribution(k, i, carry) if k < self._pass.top else None

    def _base(self, box: Box) -> Carry:
        """Returns base samples with what is known beside them."""
        samples = self._leaf(box)
        return Carry((samples,)) if self._beside is None else self._beside.carry(box, samples)

    def _make(self, k: int, i: Index) -> Carry:
        if k == 0:
            return Carry((self._chunk(i),)) if self._plain else self._base(self.box(0, i))
        box = self.box(k, i)
        shape = tuple(high - low for low, high in box)
        dtypes = self._bound.carry_dtypes(k)
        out = Carry(tuple(self._buffer((k, n), shape, d) for n, d in enumerate(dtypes)))
        first = [low * f // t for (low, _), f, t in zip(box, self._factors[k], self._tiles[k - 1], strict=True)]
        joined, fold, factors = k in self._joined, self._bound.fold, self._factors[k]
        for value in out.values if joined else ():
            value.fill(0)
        span = tuple([min(high * f, n) - low * f for (low, high), f, n in zip(box, self._factors[k], self._shapes[k - 1], strict=True)])
        for offset, place, lead in self._nest(k, span):
            carry = self._make(k - 1, tuple([a + b for a, b in zip(first, offset, strict=True)]))
            places = tuple([v[place] for v in out.values])
            if joined:
                carry.lead = lead
                for part, here in zip(self._given(k, carry, places[0].shape).values, places, strict=True):
                    np.add(here, part, out=here)
                continue
            weights = fold(k, carry, factors, places)
            if weights is not None:
                self._add_weights(k, i, place, weights, out)
        self._emit(k, i, out)
        return out

    def _given(self, k: int, carry: Carry, shape: Shape) -> Carry:
        """Returns what samples give to level `k`; valid until this thread's next one for that level."""
        most = tuple(t // f + 2 for t, f in zip(self._tiles[k - 1], self._factors[k], strict=True))
        n = math.prod(shape)
        values = tuple(self._buffer(("given", k, i), most, d).reshape(-1)[:n].reshape(shape) for i, d in enumerate(self._bound.carry_dtypes(k)))
        return Carry(values, self._bound.fold(k, carry, self._factors[k], values))

    def _nest(self, k: int, span: Shape) -> tuple[_Child, ...]:
        """Returns the children of a tile of level `k` over `span` samples of the level below."""
        found = self._nests.get((k, span))
        if found is None:
            axes = []
            for n, f, t in zip(span, self._factors[k], self._tiles[k - 1], strict=True):
                axes.append([(x, slice(low // f, -(-min(low + t, n) // f)), low % f) for x, low in enumerate(range(0, n, t))])
            joined = k in self._joined
            children = [_Child(*(tuple(v) for v in zip(*some, strict=True))) for some in itertools.product(*axes)]
            found = self._nests[k, span] = tuple(children if joined else [child._replace(lead=()) for child in children])
        return found

    @property
    def _bound(self) -> Folding:
        if self._folding is None:
            raise AssertionError("a walk of one level has nothing to fold")
        return self._folding

    def _add_weights(self, k: int, i: Index, place: tuple[slice, ...], weights: AnyArray, out: Carry) -> None:
        """Puts weights in their place; what else is in the tile has the counts that geometry implies."""
        if out.weights is None:
            box = self.box(k, i)
            full = np.empty([high - low for low, high in box], self._bound.weight_dtype(k))
            for parts in itertools.product(*self._counts(k, box)):
                full[tuple(p[0] for p in parts)] = math.prod(p[1] for p in parts)
            out.weights = full
        out.weights[place] = weights

    def _contribution(self, k: int, i: Index, carry: Carry) -> Carry:
        """Returns what a tile gives to its parent, in arrays of its own."""
        box = self.box(k, i)
        carry.lead = self._lead(k + 1, box)
        values = tuple(np.empty(self._n_windows(k + 1, box), d) for d in self._bound.carry_dtypes(k + 1))
        weights = self._bound.fold(k + 1, carry, self._factors[k + 1], values)
        return Carry(values, weights)

    def hand_up(self, root: Index, given: Carry) -> None:
        """Pastes what a root gives into its parent, and makes every ancestor that thereby has all of its children."""
        self._rise(self._pass.root, root, given, self._pass.top)

    def _rise(self, k: int, i: Index, given: Carry | None, stop: int) -> tuple[Index, Carry | None] | None:
        """Pastes what a tile gives into its parent, and so on up to level `stop`; returns a tile of `stop` that is thereby made, and what it gives."""
        while given is not None and k < stop:
            parent = self._parent(k, i)
            entry = self._entry(k + 1, parent)
            place = self._place(k + 1, parent, i)
            self._put(k + 1, parent, place, given, entry)
            if not self._is_complete(k + 1, parent, entry):
                return None
            k, i = k + 1, parent
            given = self._finish(k, i, entry)
        return i, given

    def _put(self, k: int, i: Index, place: tuple[slice, ...], given: Carry, entry: _Pending) -> None:
        """Puts what a tile gives to the shared tile above into its place; windows at its borders may be others' as well."""
        if k in self._joined:
            with entry.lock:
                for whole, part in zip(entry.carry.values, given.values, strict=True):
                    np.add(whole[place], part, out=whole[place])
            return
        for whole, part in zip(entry.carry.values, given.values, strict=True):
            whole[place] = part
        if given.weights is not None:
            with entry.lock:
                self._add_weights(k, i, place, given.weights, entry.carry)

    def _finish(self, k: int, i: Index, entry: _Pending) -> Carry | None:
        """Writes a complete shared tile; returns what its parent gets, None at the top."""
        self._emit(k, i, entry.carry)
        given = self._contribution(k, i, entry.carry) if k < self._pass.top else None
        with self._lock:
            self._spare.setdefault(k, []).append(entry.carry.values)
        return given

    def _entry(self, k: int, i: Index) -> _Pending:
        with self._lock:
            entry = self._pending.get((k, i))
            if entry is None:
                box = self.box(k, i)
                shape = tuple(high - low for low, high in box)
                left = sum(1 for _ in self._children(k, box))
                spare = self._spare.get(k)
                values = spare.pop() if spare else ()
                if not values or values[0].shape[: len(shape)] != shape:
                    values = tuple(np.empty(shape, d) for d in self._bound.carry_dtypes(k))
                for value in values if k in self._joined else ():
                    value.fill(0)
                entry = _Pending(Carry(values), left)
                self._pending[(k, i)] = entry
            return entry

    def _is_complete(self, k: int, i: Index, entry: _Pending) -> bool:
        with self._lock:
            entry.left -= 1
            if entry.left:
                return False
            del self._pending[(k, i)]
            return True

    # --- tiles of level 0 that lie in several tiles of level 1

    def steps(self, roots: Sequence[Index]) -> list[Step]:
        """Returns what the threads of one process do to make `roots`: the roots one by one, or a sweep over level 0 that feeds all of them."""
        if not self._pass.straddles:
            return [(root, (root,)) for root in roots]
        wanted, found = frozenset(roots), []
        for leaf in sweep(self._shapes[0], self._tiles[0]):
            fed = tuple(root for root in self._over(self._pass.root, self.box(0, leaf)) if root in wanted)
            if fed:
                found.append((leaf, fed))
        return found

    def step(self, step: Step) -> Sequence[tuple[Index, Carry | None]]:
        """Does one step; returns the roots that it finished, with what their parents get."""
        tile, roots = step
        return self._spread(tile, roots) if self._pass.straddles else [(tile, self.make_root(tile))]

    def _make_alone(self, root: Index) -> Carry | None:
        """Makes a straddling root without its neighbours: only the parts of leaves that lie in it are read."""
        finished = [one for leaf in self._children_below(root) for one in self._spread(leaf, (root,))]
        return finished[0][1]

    def _children_below(self, root: Index) -> Iterator[Index]:
        box = self._footprint(self._pass.root, root)
        return itertools.product(*(range(low // t, -(-high // t)) for (low, high), t in zip(box, self._tiles[0], strict=True)))

    def _footprint(self, k: int, i: Index) -> Box:
        """Returns the base samples under tile `i` of level `k`."""
        parts = zip(i, self._tiles[k], self._cumulative[k], self._shapes[0], strict=True)
        return tuple((x * t * c, min(x * t * c + t * c, n)) for x, t, c, n in parts)

    def _over(self, k: int, box: Box) -> Iterator[Index]:
        """Yields the tiles of level `k` over a box of base samples."""
        return itertools.product(*(range(a, b) for a, b in self._reached(k, box)))

    def _reached(self, k: int, box: Box) -> Box:
        """Returns per axis the first tile of level `k` over a box of base samples, and the one behind the last."""
        return tuple((low // (t * c), -(-high // (t * c))) for t, c, (low, high) in zip(self._tiles[k], self._cumulative[k], box, strict=True))

    def _spread(self, leaf: Index, roots: Sequence[Index]) -> list[tuple[Index, Carry | None]]:
        """Makes a tile of level 0, as far as it lies under `roots`, and gives what it folds to to the shared tiles of level 1.

        Returns the roots that are thereby complete, and what they give.
        """
        under = [self._footprint(self._pass.root, root) for root in roots]
        box = tuple(
            (max(low, min(low for low, _ in ends)), min(high, max(high for _, high in ends)))
            for (low, high), *ends in zip(self.box(0, leaf), *under, strict=True)
        )
        wanted = [self._reached(1, footprint) for footprint in under]
        given = self._folded(box)
        reached = tuple((low // f, -(-high // f)) for (low, high), f in zip(box, self._factors[1], strict=True))
        finished = []
        for i in self._over(1, box):
            if not any(all(a <= x < b for x, (a, b) in zip(i, fed, strict=True)) for fed in wanted):
                continue
            entry = self._entry(1, i)
            self._paste(i, reached, given, entry)
            if self._is_complete(1, i, entry):
                made = self._rise(1, i, self._finish(1, i, entry), self._pass.root)
                if made is not None:
                    finished.append(made)
        return finished

    def _folded(self, box: Box) -> Carry:
        """Returns what base samples give to level 1; valid until this thread's next one."""
        carry = self._base(box)
        carry.lead = self._lead(1, box)
        return self._given(1, carry, self._n_windows(1, box))

    def _paste(self, i: Index, reached: Box, given: Carry, entry: _Pending) -> None:
        """Puts the part of what base samples give to level 1 that lies in a tile there into its place."""
        own = self.box(1, i)
        part = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(reached, own, strict=True))
        inside = tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(part, reached, strict=True))
        place = tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(part, own, strict=True))
        weights = None if given.weights is None else given.weights[inside]
        self._put(1, i, place, Carry(tuple(v[inside] for v in given.values), weights), entry)

    # --- output

    def _emit(self, k: int, i: Index, carry: Carry) -> None:
        """Rounds a complete tile once and writes its chunks; idle threads help where the tile is shared."""
        box = self.box(k, i)
        if k == self._pass.top and self._sums:
            self._note_sums(k, box, carry)
        if k not in self._emits:
            return
        chunks = self._writers[k].chunks
        spans = [range(low // c, -(-high // c)) for (low, high), c in zip(box, chunks, strict=True)]
        jobs = [partial(self._emit_chunk, k, box, carry, j) for j in itertools.product(*spans)]
        if k > self._pass.root:
            self.crew.share(jobs)
        else:
            for job in jobs:
                job()

    def _emit_chunk(self, k: int, box: Box, carry: Carry, j: Index) -> None:
        writer, tally = self._writers[k], self._mine()
        inside = tuple((max(low, x * c), min(high, x * c + c)) for (low, high), x, c in zip(box, j, writer.chunks, strict=True))
        place = tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(inside, box, strict=True))
        part = Carry(tuple(v[place] for v in carry.values), None if carry.weights is None else carry.weights[place])
        shape = tuple(b - a for a, b in inside)
        block = self._buffer(("block", k), writer.chunks, writer.dtype)
        samples = block if shape == writer.chunks else np.empty(shape, writer.dtype)
        self._bound.finish(k, part, self._counts(k, inside), samples)
        if samples is not block:
            block[...] = self._fill[k]
            block[tuple(slice(0, n) for n in shape)] = samples
        if k == len(self._plan.levels) - 1:
            tally.note_last(samples)
        n_unproven = self._bounded.n_unproven(k, part) if self._bounded is not None else 0
        if n_unproven:
            tally.unproven[k] = tally.unproven.get(k, 0) + n_unproven
            if k <= self._pass.root:
                self._doubt(k, box, n_unproven)
        tally.written_bytes += writer.write(j, block)
        tally.written[k] = tally.written.get(k, 0) + 1
        for key in side_keys(self._plan, k):
            self._write_beside(key, part, inside, j)

    def _doubt(self, k: int, box: Box, n: int) -> None:
        """Notes samples of a tile that are not proven for the root whose subtree it lies in: the levels above are made again by whoever goes on."""
        up = tuple(math.prod(f) for f in zip((1,) * len(box), *self._factors[k + 1 : self._pass.root + 1], strict=True))
        root = tuple(low // (f * t) for (low, _), f, t in zip(box, up, self._tiles[self._pass.root], strict=True))
        with self._lock:
            found = self._unproven.setdefault(root, {})
            found[k] = found.get(k, 0) + n

    def unproven(self, root: Index) -> Mapping[int, int]:
        """Returns by level how many samples of the subtree of a root, made here, are not proven."""
        with self._lock:
            return dict(self._unproven.get(root, {}))

    def _write_beside(self, key: int, part: Carry, inside: Box, j: Index) -> None:
        """Writes a chunk beside one of a level: the valid share behind each sample, or the second array."""
        writer, tally, k = self._writers[key], self._mine(), level_of(key)
        shape = tuple(b - a for a, b in inside)
        block = self._buffer(("block", key), writer.chunks, writer.dtype)
        if shape != writer.chunks:
            block[...] = 0 if key == coverage_key(k) else self._fill[k]
        target = block[tuple(slice(0, n) for n in shape)]
        if key == coverage_key(k):
            coverage(part, self._counts(k, inside), self._weighing, target)
        elif self._paired is not None:
            self._paired.finish_second(k, part, self._counts(k, inside), target)
        tally.written_bytes += writer.write(j, block)
        tally.written[key] = tally.written.get(key, 0) + 1

    def _write(self, box: Box, samples: AnyArray) -> None:
        """Writes the chunks of a tile of level 0; idle threads help."""
        spans = [range(low // c, -(-high // c)) for (low, high), c in zip(box, self._writers[0].chunks, strict=True)]
        self.crew.share([partial(self._write_chunk, box, samples, j) for j in itertools.product(*spans)])

    def _write_chunk(self, box: Box, samples: AnyArray, j: Index) -> None:
        writer, tally = self._writers[0], self._mine()
        chunks = writer.chunks
        part = samples[tuple(slice(x * c - low, min(x * c + c, high) - low) for x, c, (low, high) in zip(j, chunks, box, strict=True))]
        if part.shape != chunks or not part.flags.c_contiguous:
            block = self._buffer(("block", 0), chunks, writer.dtype)
            if part.shape != chunks:
                block[...] = self._fill[0]
            block[tuple(slice(0, n) for n in part.shape)] = part
            part = block
        tally.written_bytes += writer.write(j, part)
        tally.written[0] = tally.written.get(0, 0) + 1

    def _note_sums(self, k: int, box: Box, carry: Carry) -> None:
        """Adds the sum and number of the valid base samples under a tile of the coarsest level; for the report only."""
        if carry.values[0].dtype.kind == "c":
            return
        parts = [float(np.nansum(v, dtype=np.float64)) for v in (carry.values[:1] if self._weighing.weighted else carry.values)]
        total = parts[0] if len(parts) == 1 else parts[0] * 2.0**32 + parts[1]
        n = math.prod(sum(c * (s.stop - s.start) for s, c in axis) for axis in self._counts(k, box)) if carry.weights is None else float(carry.weights.sum())
        sums = self._mine().sums
        sums[0] += total
        sums[1] += n


def _fill_of(writer: ChunkWriter, plan: BuildPlan) -> np.generic:
    return fill_scalar(plan.fill_value, writer.dtype)
