"""Reductions with a halo: level by level, in columns. Every gaussian level is complete before the next begins.

A laplacian needs the gaussian levels too; they are kept as arrays beside the journal while the build runs. A column keeps the decoded
chunks that its next step needs, so what it reads is what the plan says. Source: design.md, "Reductions with a halo run level by level".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ziggurat import reductions
from ziggurat.builder.beside import MaskedReader
from ziggurat.builder.job import Job, base_reader
from ziggurat.builder.tasks import RESIDUAL, Crew, Index, Step, Tallies, Tally
from ziggurat.chunkio import AnyArray, ArraySpec, ChunkArray, ChunkReader, ChunkWriter, Codec, FileStore, array_documents, fill_scalar
from ziggurat.planner import BuildPlan, Pass
from ziggurat.planner.filters import Inlet, inlets, roll_axis
from ziggurat.reductions import Carry, Filter


class _Column:
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


class Stage:
    """One stage of a build with a halo: makes an array of output chunks, a column per task."""

    def __init__(self, plan: BuildPlan, number: int, smooth: Filter, readers: tuple[ChunkReader, ...], feeds: tuple[Inlet, ...], writer: ChunkWriter) -> None:
        self._plan, self._pass, self.number = plan, plan.passes[number], number
        self._smooth, self._readers, self._feeds, self._writer = smooth, readers, feeds, writer
        self._level = self._pass.root
        self._shape = plan.levels[self._level].shape
        self._roll = roll_axis(feeds[-1])
        self._fill = fill_scalar(plan.fill_value, writer.dtype) if _holds(plan, writer) else writer.dtype.type(0)
        self.crew = Crew()
        self._tallies = Tallies()

    @property
    def one_pass(self) -> Pass:
        return self._pass

    @property
    def hands_up(self) -> bool:
        return False

    @property
    def _key(self) -> int:
        return RESIDUAL if self._pass.what == "difference" and self._level == 0 else self._level

    def _counted(self) -> bool:
        """Scratch levels of a laplacian are not counted among what is written."""
        return self._pass.what == "difference" or not _keeps_differences(self._plan)

    def roots(self) -> list[Index]:
        """Returns the columns."""
        column = self._pass.tiles[0]
        return list(itertools.product(*(range(-(-n // t)) for n, t in zip(self._shape, column, strict=True))))

    def sharded(self) -> Mapping[int, tuple[int, ...]]:
        """Returns the shard shape of the array that this stage writes, if it has one."""
        shards = self._writer.shards
        return {self._key: shards} if shards is not None and shards != self._writer.chunks else {}

    def shards_under(self, root: Index, level: int, shards: Index) -> Iterator[Index]:
        """Returns the shards that a column feeds."""
        return itertools.product(*(range(low // s, -(-high // s)) for (low, high), s in zip(self._box(root), shards, strict=True)))

    def note(self, other: Tally) -> None:
        """Adds what a worker did."""
        self._tallies.note(other)

    def note_resumed(self, root: Index) -> None:
        """Counts the chunks of a column that an earlier run wrote."""
        n = math.prod(-(-high // c) - low // c for (low, high), c in zip(self._box(root), self._writer.chunks, strict=True))
        if self._counted():
            self.note(Tally(written={self._key: n}))

    def tally(self) -> Tally:
        """Returns what was done so far."""
        return self._tallies.total()

    def hand_up(self, root: Index, given: Carry) -> None:
        """Nothing travels up: the next level reads this one."""

    def restored(self, root: Index, data: bytes) -> Carry:
        """Nothing was stashed."""
        return Carry(())

    def _box(self, root: Index) -> tuple[tuple[int, int], ...]:
        return tuple((x * t, min(x * t + t, n)) for x, t, n in zip(root, self._pass.tiles[0], self._shape, strict=True))

    def steps(self, roots: Sequence[Index]) -> list[Step]:
        """Returns a step per column."""
        return [(root, (root,)) for root in roots]

    def step(self, step: Step) -> list[tuple[Index, Carry | None]]:
        """Makes one column."""
        return [(step[0], self.make_root(step[0]))]

    def make_root(self, root: Index) -> Carry | None:
        """Makes one column, output chunk by output chunk along the roll axis."""
        tally = Tally()
        columns = [_Column(inlet, reader, self._roll, tally) for inlet, reader in zip(self._feeds, self._readers, strict=True)]
        chunks = self._writer.chunks
        spans = [range(low // c, -(-high // c)) for (low, high), c in zip(self._box(root), chunks, strict=True)]
        lateral = [s if a != self._roll else range(1) for a, s in enumerate(spans)]
        block = np.empty(chunks, self._writer.dtype)
        n = 0
        for r in spans[self._roll]:
            low = r * chunks[self._roll]
            for column in columns:
                column.forget_before(low, min(low + chunks[self._roll], self._shape[self._roll]))
            for j in itertools.product(*lateral):
                index = tuple(r if a == self._roll else x for a, x in enumerate(j))
                tally.written_bytes += self._make(index, columns, block, tally)
                n += 1
        if self._counted():
            tally.written[self._key] = n
        else:
            tally.written_bytes = 0
        self.note(tally)
        return None

    def _make(self, index: Index, columns: list[_Column], block: AnyArray, tally: Tally) -> int:
        box = tuple((x * c, min(x * c + c, n)) for x, c, n in zip(index, self._writer.chunks, self._shape, strict=True))
        shape = tuple(high - low for low, high in box)
        out = block if shape == block.shape else np.empty(shape, block.dtype)
        if self._pass.what == "smooth":
            samples, pads = columns[0].block(box)
            self._smooth.reduce(self._level, samples, pads, self._feeds[0].factors, out)
        else:
            self._difference(box, columns, out)
        if self._level == self._plan.n_levels - 1 and self._counted():
            tally.note_last(out)
        if out is not block:
            block[...] = self._fill
            block[tuple(slice(0, n) for n in shape)] = out
        return self._writer.write(index, block)

    def _difference(self, box: tuple[tuple[int, int], ...], columns: list[_Column], out: AnyArray) -> None:
        fine, _ = columns[0].block(box)
        wide = reductions.expanded_dtype(fine.dtype)
        if len(columns) == 1:
            self._smooth.difference(fine, np.zeros((), wide), out)
            return
        factors = self._feeds[1].factors
        aligned = tuple((low // f * f, high) for (low, high), f in zip(box, factors, strict=True))
        coarse, pads = columns[1].block(aligned)
        expanded = np.empty([high - low for low, high in aligned], wide)
        self._smooth.expand(self._level + 1, coarse, pads, factors, expanded)
        self._smooth.difference(fine, expanded[tuple(slice(low - a, None) for (low, _), (a, _) in zip(box, aligned, strict=True))], out)


def _holds(plan: BuildPlan, writer: ChunkWriter) -> bool:
    return plan.source_dtype == writer.dtype.name


def _keeps_differences(plan: BuildPlan) -> bool:
    return any(p.what == "difference" for p in plan.passes)


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where the gaussian levels of a laplacian are kept while it is built."""

    folder: str

    def open(self, plan: BuildPlan, k: int, *, create: bool) -> ChunkArray:
        """Returns gaussian level `k`, for reading and writing."""
        level = plan.levels[k]
        dtype = np.dtype(plan.source_dtype)
        spec = ArraySpec(level.shape, dtype, level.chunks, codec=Codec("zstd", 1))
        store = FileStore(self.folder, durability="none")
        if create:
            return ChunkArray.create(store, str(k), spec)
        return ChunkArray.open(store, str(k), array_documents(spec)["zarr.json"], zarr_format=3)  # type: ignore[arg-type]


def make_stage(job: Job, number: int, folder: str, *, create: bool) -> Stage:
    """Returns a stage with its readers and its writer."""
    plan, scratch = job.plan, Scratch(folder)
    one = plan.passes[number]
    k = one.root
    smooth = reductions.bind_filter(
        job.row, np.dtype(plan.source_dtype), [level.factors for level in plan.levels[1:]], nodata=plan.nodata, base_shape=plan.levels[0].shape
    )
    scratched = _keeps_differences(plan)

    def gaussian(n: int) -> ChunkReader:
        if n == 0:
            base = base_reader(plan, job.source) if plan.base == "stays" else job.readers[0]
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
