"""Any `concurrent.futures.Executor`: roots are sent to its workers, what they give comes back through the stash."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import lru_cache, partial

from ziggurat.builder.job import Job
from ziggurat.builder.run import make_work, scratch_below
from ziggurat.builder.tasks import Index, Meter, Tally, Work, carry_parts
from ziggurat.chunkio import TargetStore
from ziggurat.journal import Journal
from ziggurat.problems import PlanError, StorageError

IN_FLIGHT_PER_WORKER = 2
"""Tasks that wait at an executor beyond those that run: enough to keep workers busy, few enough to stop quickly."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a worker sends back; the stashes of its roots are in the store."""

    roots: tuple[Index, ...]
    tally: Tally


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a worker finds the job; the store that a task brings is used for it alone, so that it is opened once per process."""

    token: str
    key: str
    home: TargetStore = field(compare=False)


class Sending:
    """Sends groups of roots to the workers of an executor, a bounded number at a time, and makes the levels above from their stashes."""

    def __init__(self, work: Work, job: Job, executor: Executor, journal: Journal, meter: Meter, *, rises: bool = True) -> None:
        self._rises = rises and work.hands_up
        self._work, self._executor, self._journal, self._meter = work, executor, journal, meter
        self._n_threads = job.plan.threads
        self._task: Callable[[int, tuple[Index, ...]], Done]
        if isinstance(executor, ThreadPoolExecutor):  # which shares everything with this thread, also a store in memory
            self._task = partial(_make, job, journal)
            return
        if job.home is None:
            raise AssertionError("a journal lies in the home of its job")
        sent = Sent(uuid.uuid4().hex, f"{journal.prefix}/job", job.home)
        try:
            job.home.put(sent.key, [pickle.dumps(job)])
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise PlanError(f"executor: the job cannot be sent to workers ({error}); give weights and reductions as functions that a module defines") from error
        self._check_shared(sent)
        self._task = partial(run_roots, sent)

    def _check_shared(self, sent: Sent) -> None:
        """Raises PlanError unless a worker reads what this process wrote, and this process what a worker wrote."""
        answer = f"{sent.key}-{sent.token}"
        seen = self._executor.submit(see, sent, answer).result()
        if not seen or sent.home.get(answer) is None:
            raise PlanError(f"executor: its workers do not share {sent.home!r} with this process; build into a folder or a bucket that all of them reach")
        sent.home.delete(answer)

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
        except BrokenExecutor as error:
            raise StorageError(f"executor: a worker is gone ({error}); nothing was published, run the build again to go on") from error
        finally:
            for future in flying:
                future.cancel()
            wait(flying)

    def _fill(self, waiting: Iterator[Sequence[Index]], flying: set[Future[Done]]) -> None:
        n_most = IN_FLIGHT_PER_WORKER * max(self._n_threads, getattr(self._executor, "_max_workers", 0))  # it may have grown
        while len(flying) < n_most and (group := next(waiting, None)) is not None:
            flying.add(self._executor.submit(self._task, self._work.number, tuple(group)))

    def _take(self, done: Done) -> None:
        self._work.note(done.tally)
        for root in done.roots:
            if self._rises:
                self._work.hand_up(root, self._work.restored(root, self._journal.stashed(self._work.number, root)))
            self._meter.step()


def see(sent: Sent, answer: str) -> bool:
    """Says in a worker whether the job can be seen there, and leaves an answer in the store."""
    if sent.home.size(sent.key) is None:
        return False
    sent.home.put(answer, [b"seen"])
    return True


def run_roots(sent: Sent, number: int, roots: tuple[Index, ...]) -> Done:
    """Makes roots in a worker: the task of every executor, a place and a few numbers when pickled."""
    try:
        return _make(*_opened(sent), number, roots)
    except BaseException:
        _opened.cache_clear()  # who tries again must not find shards half filled
        raise


def _make(job: Job, journal: Journal, number: int, roots: tuple[Index, ...]) -> Done:
    work = make_work(job, number, scratch_below(job), create=False)
    for root in roots:
        parts = carry_parts(work.make_root(root))
        journal.finish(number, root, parts, work.unproven(root))
    return Done(roots, work.tally())


@lru_cache(maxsize=1)
def _opened(sent: Sent) -> tuple[Job, Journal]:
    """Reads the job once per worker process: our own object, stored by the process that submitted the task."""
    job: Job = pickle.loads(bytes(sent.home.get(sent.key) or b""))
    return job, Journal(job.home or sent.home, job.plan.fingerprint, sync=job.plan.durability != "none")
