"""Stages that make a level chunk by chunk out of stored arrays: what they write (`Outputs`), and what they read (`Column`)."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ziggurat.builder.tasks import Crew, Index, Step, Tallies, Tally
from ziggurat.chunkio import AnyArray, ChunkReader, ChunkWriter, fill_scalar
from ziggurat.planner import BuildPlan, Pass
from ziggurat.planner.filters import Inlet
from ziggurat.reductions import Carry


class Column:
    """One array under one column: decoded chunks, kept while a later step needs them."""

    def __init__(self, inlet: Inlet, reader: ChunkReader, roll: int, tally: Tally) -> None:
        self._inlet, self._reader, self._roll, self._tally = inlet, reader, roll, tally
        self._chunks: dict[Index, AnyArray] = {}
        self._spare: list[AnyArray] = []

    def forget_before(self, start: int, stop: int) -> None:
        """Lets go of chunks that lie before the window of output samples `[start, stop)` along the roll axis."""
        low, _ = self._inlet.window(self._roll, start, stop)
        first = low // self._inlet.chunks[self._roll]
        for j in [j for j in self._chunks if j[self._roll] < first]:
            self._spare.append(self._chunks.pop(j))

    def block(self, box: tuple[tuple[int, int], ...]) -> tuple[AnyArray, list[tuple[int, int]]]:
        """Returns the samples under a box of output samples with their halo, and how many of them the array's ends cut off."""
        windows = [self._inlet.window(a, low, high) for a, (low, high) in enumerate(box)]
        chunks = self._inlet.chunks
        out = np.empty([high - low for low, high in windows], self._reader.dtype)
        for j in itertools.product(*(range(low // c, -(-high // c)) for (low, high), c in zip(windows, chunks, strict=True))):
            source, place = [], []
            for (low, high), x, c in zip(windows, j, chunks, strict=True):
                start, stop = max(low, x * c), min(high, x * c + c)
                source.append(slice(start - x * c, stop - x * c))
                place.append(slice(start - low, stop - low))
            out[tuple(place)] = self._chunk(j)[tuple(source)]
        return out, [self._pads(a, low, high) for a, (low, high) in enumerate(box)]

    def _pads(self, axis: int, low: int, high: int) -> tuple[int, int]:
        if self._inlet.windows:
            return 0, 0
        f, h, n = self._inlet.factors[axis], self._inlet.halo[axis], self._inlet.shape[axis]
        first, last = (low // f - h, -(-high // f) + h) if self._inlet.up else (low * f - h, high * f + h)
        return max(0, -first), max(0, last - n)

    def _chunk(self, j: Index) -> AnyArray:
        found = self._chunks.get(j)
        if found is None:
            found = self._spare.pop() if self._spare else np.empty(self._inlet.chunks, self._reader.dtype)
            self._reader.read(j, found)
            self._tally.n_chunk_reads += 1
            self._chunks[j] = found
        return found


class Outputs(ABC):
    """One pass that makes one level in tasks that hand nothing up: tiles of whole output chunks."""

    def __init__(self, plan: BuildPlan, number: int, writer: ChunkWriter) -> None:
        self.plan, self.number, self.writer = plan, number, writer
        self.level = plan.passes[number].root
        self.shape = plan.levels[self.level].shape
        self._fill = fill_scalar(plan.fill_value, writer.dtype) if plan.source_dtype == writer.dtype.name else writer.dtype.type(0)
        self.crew = Crew()
        self._tallies = Tallies()

    @property
    @abstractmethod
    def keys(self) -> tuple[int, ...]:
        """Keys of the arrays that this pass writes and that are counted."""

    @abstractmethod
    def make_root(self, root: Index) -> Carry | None:
        """Makes one task."""

    @property
    def one_pass(self) -> Pass:
        return self.plan.passes[self.number]

    @property
    def hands_up(self) -> bool:
        return False

    def box(self, root: Index) -> tuple[tuple[int, int], ...]:
        """Returns the samples of the level that a task makes."""
        return tuple((x * t, min(x * t + t, n)) for x, t, n in zip(root, self.one_pass.tiles[0], self.shape, strict=True))

    def store(self, index: Index, samples: AnyArray) -> int:
        """Writes one chunk, filled up to its shape beyond the level's end; returns its encoded bytes."""
        if samples.shape == self.writer.chunks:
            return self.writer.write(index, samples)
        block = np.full(self.writer.chunks, self._fill, self.writer.dtype)
        block[tuple(slice(0, n) for n in samples.shape)] = samples
        return self.writer.write(index, block)

    def roots(self) -> list[Index]:
        """Returns the tasks."""
        return list(itertools.product(*(range(-(-n // t)) for n, t in zip(self.shape, self.one_pass.tiles[0], strict=True))))

    def steps(self, roots: Sequence[Index]) -> list[Step]:
        """Returns a step per task."""
        return [(root, (root,)) for root in roots]

    def step(self, step: Step) -> list[tuple[Index, Carry | None]]:
        """Makes one task."""
        return [(step[0], self.make_root(step[0]))]

    def sharded(self) -> Mapping[int, tuple[int, ...]]:
        """Returns the shard shape of the arrays that this pass writes, if they have one."""
        shards = self.writer.shards
        return dict.fromkeys(self.keys or (self.level,), shards) if shards is not None and shards != self.writer.chunks else {}

    def shards_under(self, root: Index, level: int, shards: Index) -> Iterator[Index]:
        """Returns the shards that a task feeds."""
        return itertools.product(*(range(low // s, -(-high // s)) for (low, high), s in zip(self.box(root), shards, strict=True)))

    def unproven(self, root: Index) -> Mapping[int, int]:
        """Returns nothing: what is made from whole windows is proven."""
        return {}

    def note(self, other: Tally) -> None:
        """Adds what a worker did."""
        self._tallies.note(other)

    def note_resumed(self, root: Index) -> None:
        """Counts the chunks of a task that an earlier run wrote."""
        n = math.prod(-(-high // c) - low // c for (low, high), c in zip(self.box(root), self.writer.chunks, strict=True))
        self.note(Tally(written=dict.fromkeys(self.keys, n)))

    def tally(self) -> Tally:
        """Returns what was done so far."""
        return self._tallies.total()

    def hand_up(self, root: Index, given: Carry) -> None:  # noqa: B027  what a walk does here, others need not
        """Nothing travels up: levels are read again, or are made from the base."""

    def restored(self, root: Index, data: bytes) -> Carry:
        """Nothing was stashed."""
        return Carry(())
