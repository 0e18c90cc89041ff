"""Levels of any windows: each output chunk is a task, made from the base in pieces."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from ziggurat.builder.columns import Column, Outputs
from ziggurat.builder.job import Job, read_base
from ziggurat.builder.tasks import Index, Tally, coverage_key
from ziggurat.builder.walk import Beside, Box
from ziggurat.chunkio import AnyArray, ChunkReader, ChunkWriter
from ziggurat.planner import BuildPlan
from ziggurat.planner.beside import weighing_of
from ziggurat.planner.filters import Inlet, roll_axis
from ziggurat.planner.resampling import pieces_of, resampling_inlet
from ziggurat.reductions import Carry, Resampler, bind_windows


class ResamplingStage(Outputs):
    """One level of any windows."""

    def __init__(
        self,
        plan: BuildPlan,
        number: int,
        resampler: Resampler,
        reader: ChunkReader,
        inlet: Inlet,
        writers: tuple[ChunkWriter, ...],
        beside: Beside | None,
    ) -> None:
        super().__init__(plan, number, writers[0])
        self._resampler, self._reader, self._inlet, self._beside = resampler, reader, inlet, beside
        self._shares = writers[1] if len(writers) > 1 else None
        self._roll = roll_axis(inlet)

    @property
    def keys(self) -> tuple[int, ...]:
        """Keys of the arrays that this stage writes."""
        return (self.level,) if self._shares is None else (self.level, coverage_key(self.level))

    def make_root(self, root: Index) -> Carry | None:
        """Makes one output chunk, and its coverage."""
        tally = Tally()
        box = self.box(root)
        shape = tuple(high - low for low, high in box)
        out = np.empty(shape, self.writer.dtype)
        shares = None if self._shares is None else np.empty(shape, self._shares.dtype)
        for part, column in self._parts(box, tally):
            self._make(part, box, column, out, shares)
        if self.level == self.plan.n_levels - 1:
            tally.note_last(out)
        tally.written_bytes += self.store(root, out)
        if self._shares is not None and shares is not None:
            block = np.zeros(self._shares.chunks, self._shares.dtype)
            block[tuple(slice(0, n) for n in shape)] = shares
            tally.written_bytes += self._shares.write(root, block)
        for key in self.keys:
            tally.written[key] = 1
        self.note(tally)
        return None

    def _parts(self, box: Box, tally: Tally) -> Iterator[tuple[Box, Column]]:
        """Yields the pieces of a chunk along the roll axis, one strip of it after another, with the base's chunks under the strip."""
        piece = self.one_pass.tiles[1]
        spans = [pieces_of(low, high, size) for (low, high), size in zip(box, piece, strict=True)]
        lateral = [s if a != self._roll else [box[a]] for a, s in enumerate(spans)]
        for strip in itertools.product(*lateral):
            column = Column(self._inlet, self._reader, self._roll, tally)
            for along in spans[self._roll]:
                column.forget_before(*along)
                yield tuple(along if a == self._roll else part for a, part in enumerate(strip)), column

    def _make(self, part: Box, box: Box, column: Column, out: AnyArray, shares: AnyArray | None) -> None:
        samples, _ = column.block(part)
        under = tuple(self._inlet.window(a, low, high) for a, (low, high) in enumerate(part))
        carry = Carry((samples,)) if self._beside is None else self._beside.carry(under, samples)
        place = tuple(slice(low - start, high - start) for (low, high), (start, _) in zip(part, box, strict=True))
        self._resampler.reduce(carry, part, out[place], None if shares is None else shares[place])


def make_resampling(job: Job, number: int) -> ResamplingStage:
    """Returns a stage with its reader and its writers."""
    plan, k = job.plan, job.plan.passes[number].root
    level = plan.levels[k]
    if level.windows is None:
        raise AssertionError("a level that is resampled has windows")
    reader = read_base(job)
    resampler = bind_windows(job.row, np.dtype(plan.source_dtype), level.windows, nodata=plan.nodata, weighing=weighing_of(plan))
    writers = (job.writers[k],) if plan.coverage is None else (job.writers[k], job.writers[coverage_key(k)])
    return ResamplingStage(plan, number, resampler, reader, resampling_inlet(plan.levels[0].shape, reader.chunks, level.windows), writers, job.beside)
