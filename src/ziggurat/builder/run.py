"""The run loop: roots over threads or over any executor, journal, resume. Never forks."""

from __future__ import annotations

import math
import os
import pickle
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ziggurat import reductions
from ziggurat.builder.readers import CastReader, Copier, EncodedReader, EncodedWriter, TransposedReader
from ziggurat.builder.walk import Index, Tally, Walk
from ziggurat.chunkio import ChunkReader, ChunkWriter
from ziggurat.journal import Journal
from ziggurat.planner import BuildPlan
from ziggurat.reductions import Carry, Reduction

IN_FLIGHT_PER_WORKER = 2
"""Tasks that wait at an executor beyond those that run: enough to keep workers busy, few enough to stop quickly."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build is; given to the progress callback after every task, never by two threads at once."""

    n_done: int
    """Finished tasks, those of an earlier run included."""
    n_total: int
    n_resumed: int
    """Tasks that an earlier, interrupted run had finished."""
    what: str = "levels"

    @property
    def fraction(self) -> float:
        return self.n_done / self.n_total if self.n_total else 1.0


ProgressCallback = Callable[[Progress], None]


class Meter:
    """Counts finished tasks of all passes and tells the callback."""

    def __init__(self, n_total: int, callback: ProgressCallback | None) -> None:
        self._n_total, self._callback = n_total, callback
        self._n_done = self._n_resumed = 0
        self._lock = threading.Lock()

    def resumed(self, n: int) -> None:
        """Notes tasks that need not be done again."""
        if n:
            with self._lock:
                self._n_done += n
                self._n_resumed += n
                self._tell()

    def step(self) -> None:
        """Notes one finished task. Whatever the callback raises stops the build."""
        with self._lock:
            self._n_done += 1
            self._tell()

    @property
    def n_resumed(self) -> int:
        return self._n_resumed

    def _tell(self) -> None:
        if self._callback is not None:
            self._callback(Progress(self._n_done, self._n_total, self._n_resumed))


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that a worker needs beside the root: sent once, as one pickle."""

    plan: BuildPlan
    source: ChunkReader
    writers: Mapping[int, ChunkWriter]
    row: Reduction
    journal_target: str
    journal_name: str


def base_reader(plan: BuildPlan, source: ChunkReader) -> ChunkReader:
    """Returns the source in the dtype and in the order of axes of the plan."""
    reader = source
    dtype = np.dtype(plan.source_dtype)
    if reader.dtype != dtype:
        reader = CastReader(reader, dtype)
    return reader if plan.transpose is None else TransposedReader(reader, plan.transpose)


def make_walk(plan: BuildPlan, number: int, source: ChunkReader, writers: Mapping[int, ChunkWriter], row: Reduction) -> Walk:
    """Returns the walk of one pass."""
    base = plan.levels[0]
    ladder = [level.factors for level in plan.levels[1:]]
    folding = reductions.bind(row, np.dtype(plan.source_dtype), ladder, nodata=plan.nodata, base_shape=base.shape) if ladder else None
    copier = None
    if plan.base == "verbatim":
        copier = Copier(_encoded_reader(source), _encoded_writer(writers[0]))
    return Walk(plan, number, base_reader(plan, source), writers, folding, copier)


def _encoded_reader(source: ChunkReader) -> EncodedReader:
    found: EncodedReader = getattr(source, "reader", source)
    return found


def _encoded_writer(writer: ChunkWriter) -> EncodedWriter:
    found: EncodedWriter = writer  # type: ignore[assignment]
    return found


def run_pass(walk: Walk, job: Job, *, journal: Journal | None, finished: Mapping[Index, bytes], executor: Executor | None, meter: Meter) -> None:
    """Makes every root of a pass that is not finished, and every level above. Raises what the first failing task raised."""
    groups = shard_groups(walk, job)
    done = {root for group in groups if all(r in finished for r in group) for root in group}
    meter.resumed(len(done))
    for root in sorted(done):
        walk.note_resumed(root)
        if walk.root_level < walk.one_pass.top:
            walk.hand_up(root, carry_from_bytes(walk, root, finished[root]))
    todo = [[r for r in group] for group in groups if group[0] not in done]
    if executor is not None:
        _run_executor(walk, job, todo, executor, journal, meter)
    else:
        _run_threads(walk, [r for group in todo for r in group], job.plan.threads, journal, meter)


def shard_groups(walk: Walk, job: Job) -> list[list[Index]]:
    """Returns the roots, depth first, grouped so that no shard at or below the root level is fed by two groups.

    Without shards every root is a group of its own. A group is what one worker does, and what is redone as a whole when one of its
    roots was not finished: a shard is stored when its last chunk arrives.
    """
    roots = walk.roots()
    sharded = [k for k in walk.emits if k <= walk.root_level and (shards := job.writers[k].shards) is not None and shards != job.writers[k].chunks]
    if not sharded:
        return [[r] for r in roots]
    leader = {r: r for r in roots}

    def find(r: Index) -> Index:
        while leader[r] != r:
            leader[r] = leader[leader[r]]
            r = leader[r]
        return r

    for k in sharded:
        owner: dict[Index, Index] = {}
        for r in roots:
            for shard in walk.shards_under(r, k, job.writers[k].shards or ()):
                leader[find(r)] = find(owner.setdefault(shard, r))
    groups: dict[Index, list[Index]] = {}
    for r in roots:
        groups.setdefault(find(r), []).append(r)
    return list(groups.values())


# --- threads


def _run_threads(walk: Walk, roots: Sequence[Index], n_threads: int, journal: Journal | None, meter: Meter) -> None:
    """Runs roots in this process. Threads take the next root from one list: no queue, no futures."""
    todo = iter(roots)
    lock, stop = threading.Lock(), threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            while not stop.is_set():
                with lock:
                    root = next(todo, None)
                if root is None:
                    return
                _one_root(walk, root, journal)
                meter.step()
        except BaseException as error:  # noqa: BLE001  carried to the caller's thread and raised there
            errors.append(error)
            stop.set()

    threads = [threading.Thread(target=work, name=f"ziggurat-{n}") for n in range(1, min(n_threads, len(roots)))]
    for t in threads:
        t.start()
    try:
        work()
        for t in threads:
            t.join()
    except BaseException:  # an interrupt while waiting: let the others end their roots
        stop.set()
        for t in threads:
            t.join()
        raise
    if errors:
        raise errors[0]


def _one_root(walk: Walk, root: Index, journal: Journal | None) -> None:
    given = walk.make_root(root)
    if journal is not None:
        journal.finish(walk.number, root, *journal.keep(walk.number, root, carry_parts(given)))
    if given is not None:
        walk.hand_up(root, given)


# --- what a root gives, as bytes


def carry_parts(given: Carry | None) -> list[memoryview]:
    """Returns the bytes of a carry: its values, then its weights when there are any."""
    if given is None:
        return []
    arrays = [*given.values] if given.weights is None else [*given.values, given.weights]
    return [memoryview(np.ascontiguousarray(a).reshape(-1).view(np.uint8)) for a in arrays]


def carry_from_bytes(walk: Walk, root: Index, data: bytes) -> Carry:
    """Returns the carry that `carry_parts` wrote; weights are there when bytes are left for them."""
    shape, dtypes, weight_dtype = walk.contribution_form(root)
    n = math.prod(shape)
    values, at = [], 0
    for d in dtypes:
        values.append(np.frombuffer(data, d, n, at).reshape(shape))
        at += n * d.itemsize
    weights = np.frombuffer(data, weight_dtype, n, at).reshape(shape) if len(data) > at else None
    return Carry(tuple(values), weights)


# --- any executor


def _run_executor(walk: Walk, job: Job, groups: Sequence[Sequence[Index]], executor: Executor, journal: Journal | None, meter: Meter) -> None:
    """Sends groups of roots to workers and makes the levels above the roots here, from what the workers stashed."""
    if journal is None:
        raise AssertionError("an executor needs a journal: it carries what workers hand back")
    place = str(journal.folder / "job")
    Path(place).write_bytes(pickle.dumps(job))
    waiting = iter(groups)
    flying: dict[Future[_Done], Sequence[Index]] = {}
    n_max = IN_FLIGHT_PER_WORKER * max(job.plan.threads, getattr(executor, "_max_workers", 0))
    try:
        _submit(executor, place, walk.number, waiting, flying, n_max)
        while flying:
            ready, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in ready:
                del flying[future]
                done = future.result()
                walk.note(done.tally)
                for root, n_bytes, crc in done.stashes:
                    journal.finish(walk.number, root, n_bytes, crc)
                    if walk.root_level < walk.one_pass.top:
                        walk.hand_up(root, carry_from_bytes(walk, root, journal.stashed(walk.number, root, n_bytes, crc)))
                    meter.step()
            _submit(executor, place, walk.number, waiting, flying, n_max)
    finally:
        for future in flying:
            future.cancel()
        if flying:
            wait(flying)


def _submit(executor: Executor, place: str, number: int, waiting: Iterable[Sequence[Index]], flying: dict[Future[_Done], Sequence[Index]], n_max: int) -> None:
    while len(flying) < n_max:
        group = next(iter(waiting), None)
        if group is None:
            return
        flying[executor.submit(run_roots, place, number, tuple(group))] = group


@dataclass(frozen=True, slots=True)
class _Done:
    """What a worker sends back: where the stashes are, not the stashes."""

    stashes: tuple[tuple[Index, int, int], ...]
    tally: Tally


def run_roots(place: str, number: int, roots: tuple[Index, ...]) -> _Done:
    """Makes roots in a worker: the task of every executor, a path and a few numbers when pickled."""
    job = _job(place, os.stat(place).st_mtime_ns)
    walk = make_walk(job.plan, number, job.source, job.writers, job.row)
    journal = Journal(job.journal_target, job.journal_name)
    stashes = []
    for root in roots:
        given = walk.make_root(root)
        stashes.append((root, *journal.keep(number, root, carry_parts(given))))
    return _Done(tuple(stashes), walk.tally())


@lru_cache(maxsize=1)
def _job(place: str, stamp: int) -> Job:
    """Reads the job once per worker process; our own file, written by the process that submitted the task."""
    job: Job = pickle.loads(Path(place).read_bytes())
    return job
