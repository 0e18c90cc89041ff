"""Any `concurrent.futures.Executor`: roots are sent to its workers, what they give comes back through the stash."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ziggurat.builder.job import Job
from ziggurat.builder.run import make_work
from ziggurat.builder.tasks import Index, Meter, Tally, Work, carry_parts
from ziggurat.journal import Journal
from ziggurat.problems import PlanError

IN_FLIGHT_PER_WORKER = 2
"""Tasks that wait at an executor beyond those that run: enough to keep workers busy, few enough to stop quickly."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a worker sends back: where the stashes are, not the stashes."""

    stashes: tuple[tuple[Index, int, int], ...]
    """(root, size in bytes, check sum)."""
    tally: Tally


class Sending:
    """Sends groups of roots to the workers of an executor, a bounded number at a time, and makes the levels above from their stashes."""

    def __init__(self, work: Work, job: Job, executor: Executor, journal: Journal, meter: Meter) -> None:
        self._work, self._executor, self._journal, self._meter = work, executor, journal, meter
        self._place = journal.folder / "job"
        try:
            self._place.write_bytes(pickle.dumps(job))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise PlanError(f"executor: the job cannot be sent to workers ({error}); give weights and reductions as functions that a module defines") from error
        self._n_max = IN_FLIGHT_PER_WORKER * max(job.plan.threads, getattr(executor, "_max_workers", 0))

    def run(self, groups: Sequence[Sequence[Index]]) -> None:
        """Returns when every group is made; raises what the first failing task raised."""
        waiting = iter(groups)
        flying: set[Future[Done]] = set()
        try:
            self._fill(waiting, flying)
            while flying:
                ready, flying = wait(flying, return_when=FIRST_COMPLETED)
                for future in ready:
                    self._take(future.result())
                self._fill(waiting, flying)
        finally:
            for future in flying:
                future.cancel()
            wait(flying)

    def _fill(self, waiting: Iterator[Sequence[Index]], flying: set[Future[Done]]) -> None:
        while len(flying) < self._n_max and (group := next(waiting, None)) is not None:
            flying.add(self._executor.submit(run_roots, str(self._place), self._work.number, tuple(group)))

    def _take(self, done: Done) -> None:
        self._work.note(done.tally)
        for root, n_bytes, crc in done.stashes:
            self._journal.finish(self._work.number, root, n_bytes, crc)
            if self._work.hands_up:
                self._work.hand_up(root, self._work.restored(root, self._journal.stashed(self._work.number, root, n_bytes, crc)))
            self._meter.step()


def run_roots(place: str, number: int, roots: tuple[Index, ...]) -> Done:
    """Makes roots in a worker: the task of every executor, a path and a few numbers when pickled."""
    job = _job(place, os.stat(place).st_mtime_ns)
    journal = Journal(job.folder, job.plan.fingerprint)
    work = make_work(job, number, str(journal.folder / "scratch"), create=False)
    stashes = []
    for root in roots:
        given = work.make_root(root)
        stashes.append((root, *journal.keep(number, root, carry_parts(given))))
    return Done(tuple(stashes), work.tally())


@lru_cache(maxsize=1)
def _job(place: str, stamp: int) -> Job:
    """Reads the job once per worker process: our own file, written by the process that submitted the task."""
    job: Job = pickle.loads(Path(place).read_bytes())
    return job
