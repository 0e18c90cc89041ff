"""A job: everything that a worker needs beside the root. Sent once, as one pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ziggurat import reductions
from ziggurat.builder.beside import BesideSamples
from ziggurat.builder.readers import CastReader, Copier, EncodedReader, EncodedWriter, TransposedReader
from ziggurat.builder.walk import Walk
from ziggurat.chunkio import ChunkReader, ChunkWriter, TargetStore
from ziggurat.planner import BuildPlan, weighing_of
from ziggurat.reductions import Reduction


@dataclass(frozen=True, slots=True)
class Job:
    """The plan, what is read and what is written."""

    plan: BuildPlan
    source: ChunkReader
    writers: Mapping[int, ChunkWriter]
    row: Reduction
    home: TargetStore | None
    """The group as a store that holds the journal; None where there is none."""
    readers: Mapping[int, ChunkReader] = field(default_factory=dict)
    """Readers of the levels that this build makes, for stages that read what an earlier one wrote."""
    beside: BesideSamples | None = None
    """Weights and masks that were given beside the base."""


def base_reader(plan: BuildPlan, source: ChunkReader) -> ChunkReader:
    """Returns the source in the dtype and in the order of axes of the plan."""
    reader = source
    dtype = np.dtype(plan.source_dtype)
    if reader.dtype != dtype:
        reader = CastReader(reader, dtype)
    return reader if plan.transpose is None else TransposedReader(reader, plan.transpose)


def read_base(job: Job) -> ChunkReader:
    """Returns what later passes read the base from: where it stays, else its copy."""
    return base_reader(job.plan, job.source) if job.plan.base == "stays" else job.readers[0]


def make_walk(job: Job, number: int) -> Walk:
    """Returns the walk of one pass."""
    plan = job.plan
    ladder = [level.factors for level in plan.levels[1:]] if plan.passes[number].top else []
    dtype, shape = np.dtype(plan.source_dtype), plan.levels[0].shape
    folding = reductions.bind(job.row, dtype, ladder, nodata=plan.nodata, base_shape=shape, weighing=weighing_of(plan)) if ladder else None
    copier = None
    if plan.base == "verbatim":
        copier = Copier(_encoded_reader(job.source), _encoded_writer(job.writers[0]))
    return Walk(plan, number, base_reader(plan, job.source), job.writers, folding, copier, job.beside)


def _encoded_reader(source: ChunkReader) -> EncodedReader:
    reader: object = getattr(source, "reader", source)
    if not isinstance(reader, EncodedReader):
        raise AssertionError("a verbatim copy needs a reader of encoded chunks")
    return reader


def _encoded_writer(writer: ChunkWriter) -> EncodedWriter:
    if not isinstance(writer, EncodedWriter):
        raise AssertionError("a verbatim copy needs a writer of encoded chunks")
    return writer
