"""Reductions with a halo: level by level, in columns. Every gaussian level is complete before the next begins.

A laplacian needs the gaussian levels too; they are kept as arrays beside the journal while the build runs. A column keeps the decoded
chunks that its next step needs, so what it reads is what the plan says. Source: design.md, "Reductions with a halo run level by level".
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ziggurat import reductions
from ziggurat.builder.beside import MaskedReader
from ziggurat.builder.columns import Column, Outputs
from ziggurat.builder.job import Job, read_base
from ziggurat.builder.tasks import RESIDUAL, Index, Tally
from ziggurat.chunkio import AnyArray, ArraySpec, ByteStore, ChunkArray, ChunkReader, ChunkWriter, Codec, array_documents
from ziggurat.planner import BuildPlan
from ziggurat.planner.filters import Inlet, inlets, roll_axis
from ziggurat.reductions import Carry, Filter


class Stage(Outputs):
    """One stage of a build with a halo: makes an array of output chunks, a column per task."""

    def __init__(self, plan: BuildPlan, number: int, smooth: Filter, readers: tuple[ChunkReader, ...], feeds: tuple[Inlet, ...], writer: ChunkWriter) -> None:
        super().__init__(plan, number, writer)
        self._smooth, self._readers, self._feeds = smooth, readers, feeds
        self._roll = roll_axis(feeds[-1])

    @property
    def keys(self) -> tuple[int, ...]:
        """Key of the array that this stage writes; none where it is scratch, which is not counted among what is written."""
        if self.one_pass.what != "difference" and _keeps_differences(self.plan):
            return ()
        return (RESIDUAL if self.one_pass.what == "difference" and self.level == 0 else self.level,)

    def make_root(self, root: Index) -> Carry | None:
        """Makes one column, output chunk by output chunk along the roll axis."""
        tally = Tally()
        columns = [Column(inlet, reader, self._roll, tally) for inlet, reader in zip(self._feeds, self._readers, strict=True)]
        chunks = self.writer.chunks
        spans = [range(low // c, -(-high // c)) for (low, high), c in zip(self.box(root), chunks, strict=True)]
        lateral = [s if a != self._roll else range(1) for a, s in enumerate(spans)]
        n = 0
        for r in spans[self._roll]:
            low = r * chunks[self._roll]
            for column in columns:
                column.forget_before(low, min(low + chunks[self._roll], self.shape[self._roll]))
            for j in itertools.product(*lateral):
                index = tuple(r if a == self._roll else x for a, x in enumerate(j))
                tally.written_bytes += self._make(index, columns, tally)
                n += 1
        if not self.keys:
            tally.written_bytes = 0
        for key in self.keys:
            tally.written[key] = n
        self.note(tally)
        return None

    def _make(self, index: Index, columns: list[Column], tally: Tally) -> int:
        box = tuple((x * c, min(x * c + c, n)) for x, c, n in zip(index, self.writer.chunks, self.shape, strict=True))
        out = np.empty(tuple(high - low for low, high in box), self.writer.dtype)
        if self.one_pass.what == "smooth":
            samples, pads = columns[0].block(box)
            self._smooth.reduce(self.level, samples, pads, self._feeds[0].factors, out)
        else:
            self._difference(box, columns, out)
        if self.level == self.plan.n_levels - 1 and self.keys:
            tally.note_last(out)
        return self.store(index, out)

    def _difference(self, box: tuple[tuple[int, int], ...], columns: list[Column], out: AnyArray) -> None:
        fine, _ = columns[0].block(box)
        wide = reductions.expanded_dtype(fine.dtype)
        if len(columns) == 1:
            self._smooth.difference(fine, np.zeros((), wide), out)
            return
        factors = self._feeds[1].factors
        aligned = tuple((low // f * f, high) for (low, high), f in zip(box, factors, strict=True))
        coarse, pads = columns[1].block(aligned)
        expanded = np.empty([high - low for low, high in aligned], wide)
        self._smooth.expand(self.level + 1, coarse, pads, factors, expanded)
        self._smooth.difference(fine, expanded[tuple(slice(low - a, None) for (low, _), (a, _) in zip(box, aligned, strict=True))], out)


def _keeps_differences(plan: BuildPlan) -> bool:
    return any(p.what == "difference" for p in plan.passes)


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where the gaussian levels of a laplacian are kept while it is built."""

    store: ByteStore

    def open(self, plan: BuildPlan, k: int, *, create: bool) -> ChunkArray:
        """Returns gaussian level `k`, for reading and writing."""
        level = plan.levels[k]
        dtype = np.dtype(plan.source_dtype)
        spec = ArraySpec(level.shape, dtype, level.chunks, codec=Codec("zstd", 1))
        if create:
            return ChunkArray.create(self.store, str(k), spec)
        return ChunkArray.open(self.store, str(k), array_documents(spec)["zarr.json"], zarr_format=3)  # type: ignore[arg-type]


def make_stage(job: Job, number: int, scratch_store: ByteStore, *, create: bool) -> Stage:
    """Returns a stage with its readers and its writer."""
    plan, scratch = job.plan, Scratch(scratch_store)
    one = plan.passes[number]
    k = one.root
    smooth = reductions.bind_filter(
        job.row, np.dtype(plan.source_dtype), [level.factors for level in plan.levels[1:]], nodata=plan.nodata, base_shape=plan.levels[0].shape
    )
    scratched = _keeps_differences(plan)

    def gaussian(n: int) -> ChunkReader:
        if n == 0:
            base = read_base(job)
            return base if job.beside is None or job.beside.missing is None else MaskedReader(base, job.beside.missing)
        return scratch.open(plan, n, create=False) if scratched else job.readers[n]

    base = gaussian(0)
    feeds = inlets(one.what, k, [x.shape for x in plan.levels], [x.factors for x in plan.levels], base.chunks, plan.levels[0].chunks, smooth)
    if one.what == "smooth":
        readers: tuple[ChunkReader, ...] = (gaussian(k - 1),)
        writer: ChunkWriter = scratch.open(plan, k, create=create) if scratched else job.writers[k]
    else:
        readers = (gaussian(k),) if len(feeds) == 1 else (gaussian(k), gaussian(k + 1))
        writer = job.writers[RESIDUAL if k == 0 else k]
    return Stage(plan, number, smooth, readers, feeds, writer)
