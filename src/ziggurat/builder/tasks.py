"""Tasks: what is counted, what is told, what any pass of a build must be able to do, and threads that do it."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ziggurat.journal import Journal
from ziggurat.planner import BuildPlan, Pass
from ziggurat.reductions import Carry

Index = tuple[int, ...]
Step = tuple[Index, tuple[Index, ...]]
"""What a thread does at a time: a tile, and the roots that it feeds."""
RESIDUAL = -1
"""Key of the residual of the base among the arrays that a build writes."""
SWITCH_SECONDS = 1e-4
"""How long a thread waits for the interpreter before it asks for it: about what one call into numpy or a codec takes."""
_SECOND = -1000
"""Below it lie the keys of second arrays: there are never as many levels."""


def coverage_key(k: int) -> int:
    """Returns the key of the coverage of level `k` among the arrays that a build writes."""
    return -1 - k


def second_key(k: int) -> int:
    """Returns the key of the second array of level `k`, of a reduction that makes two."""
    return _SECOND - k


def level_of(key: int) -> int:
    """Returns the level that an array lies on, or beside which it lies.

    >>> level_of(3), level_of(coverage_key(3)), level_of(second_key(3)), level_of(RESIDUAL)
    (3, 3, 3, 0)
    """
    return key if key >= 0 else _SECOND - key if key <= _SECOND else -1 - key


def side_keys(plan: BuildPlan, k: int) -> tuple[int, ...]:
    """Returns the keys of the arrays that lie beside level `k` and are written chunk by chunk with it."""
    if not k:
        return ()
    return (*((coverage_key(k),) if plan.coverage is not None else ()), *((second_key(k),) if plan.second is not None else ()))


@dataclass(slots=True)
class Tally:
    """What was really done, to be compared with the plan."""

    n_chunk_reads: int = 0
    written: dict[int, int] = field(default_factory=dict)
    """Chunks handed to the writer, by level, all-fill ones included."""
    written_bytes: int = 0
    """Encoded bytes."""
    copied_bytes: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Sum and number of valid base samples, where the reduction carries sums."""
    last: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Sum and number of valid samples of the coarsest level."""
    unproven: dict[int, int] = field(default_factory=dict)
    """Samples by level whose value a bound on what is carried left unproven."""

    def add(self, other: Tally) -> None:
        """Adds what another thread, pass or worker did."""
        self.n_chunk_reads += other.n_chunk_reads
        self.written_bytes += other.written_bytes
        self.copied_bytes += other.copied_bytes
        for k, n in other.written.items():
            self.written[k] = self.written.get(k, 0) + n
        for k, n in other.unproven.items():
            self.unproven[k] = self.unproven.get(k, 0) + n
        self.sums = [a + b for a, b in zip(self.sums, other.sums, strict=True)]
        self.last = [a + b for a, b in zip(self.last, other.last, strict=True)]

    def note_last(self, samples: np.typing.NDArray[np.generic]) -> None:
        """Adds samples of the coarsest level; NaN and complex numbers do not count."""
        if samples.dtype.kind == "c":
            return
        valid = samples if samples.dtype.kind != "f" else samples[~np.isnan(samples)]
        self.last[0] += float(np.add.reduce(valid, axis=None, dtype=np.float64))
        self.last[1] += valid.size


class Tallies:
    """The tallies of all threads and workers of one pass. Each goes on counting by itself; they are added when asked for."""

    def __init__(self) -> None:
        self._parts: list[Tally] = []
        self._lock = threading.Lock()

    def note(self, part: Tally) -> None:
        """Takes another tally into the total."""
        with self._lock:
            self._parts.append(part)

    def total(self) -> Tally:
        """Returns the sum of all parts as they are now."""
        total = Tally()
        with self._lock:
            for part in self._parts:
                total.add(part)
        return total


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build is; given to the progress callback after every task, never by two threads at once."""

    n_done: int
    """Finished tasks, those of an earlier run included."""
    n_total: int
    n_resumed: int
    """Tasks that an earlier, interrupted run had finished."""

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

    @property
    def n_resumed(self) -> int:
        return self._n_resumed

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

    def _tell(self) -> None:
        if self._callback is not None:
            self._callback(Progress(self._n_done, self._n_total, self._n_resumed))


class Crew:
    """Threads that help one another: a large tile above the roots is written by all who have nothing else to do."""

    def __init__(self) -> None:
        self._jobs: deque[tuple[Callable[[], None], list[int], list[BaseException]]] = deque()
        self._changed = threading.Condition()
        self._n_active = 0

    def share(self, jobs: Sequence[Callable[[], None]]) -> None:
        """Returns when all jobs are done, by this thread and by those that wait in `help`; raises what the first failing one raised."""
        if len(jobs) < 2 or self._n_active < 1:
            for job in jobs:
                job()
            return
        left, errors = [len(jobs)], list[BaseException]()
        with self._changed:
            self._jobs.extend((job, left, errors) for job in jobs)
            self._changed.notify_all()
        while self._one():
            pass
        with self._changed:
            while left[0]:
                self._changed.wait()
        if errors:
            raise errors[0]

    def _one(self) -> bool:
        """Does one waiting job; returns whether there was one."""
        with self._changed:
            if not self._jobs:
                return False
            job, left, errors = self._jobs.popleft()
        try:
            if not errors:
                job()
        except BaseException as error:  # noqa: BLE001  raised by the thread that shared the job
            errors.append(error)
        with self._changed:
            left[0] -= 1
            if not left[0]:
                self._changed.notify_all()
        return True

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Marks this thread as one that may still share jobs."""
        with self._changed:
            self._n_active += 1
        try:
            yield
        finally:
            with self._changed:
                self._n_active -= 1
                self._changed.notify_all()

    def help(self) -> None:
        """Does what others share until nobody is at work any more."""
        while True:
            with self._changed:
                while not self._jobs and self._n_active:
                    self._changed.wait()
                if not self._jobs:
                    return
            self._one()


class Work(Protocol):
    """One pass of a build: roots that can be made in any order, by any thread or process."""

    @property
    def number(self) -> int:
        """Place of the pass in the plan."""
        ...

    @property
    def one_pass(self) -> Pass: ...

    @property
    def crew(self) -> Crew:
        """What the threads of this process share."""
        ...

    @property
    def hands_up(self) -> bool:
        """True when levels above the roots are made from what roots give."""
        ...

    def roots(self) -> list[Index]: ...
    def make_root(self, root: Index) -> Carry | None:
        """Makes and writes the subtree of a root on its own; returns what its parent gets, None when there is none."""
        ...

    def steps(self, roots: Sequence[Index]) -> Sequence[Step]:
        """Returns what the threads of one process do to make `roots`; each step once, in any order."""
        ...

    def step(self, step: Step) -> Sequence[tuple[Index, Carry | None]]:
        """Does one step; returns the roots that are made by now and were not before, with what their parents get."""
        ...

    def hand_up(self, root: Index, given: Carry) -> None:
        """Takes what a root gave, and makes every ancestor that thereby is complete."""
        ...

    def unproven(self, root: Index) -> Mapping[int, int]:
        """Returns by level how many samples of the subtree of a root, made here, a bound on what is carried left unproven."""
        ...

    def restored(self, root: Index, data: bytes) -> Carry:
        """Returns what a root gave, from its stash."""
        ...

    def sharded(self) -> Mapping[int, Index]:
        """Returns the shard shape of every sharded level that roots write to."""
        ...

    def shards_under(self, root: Index, level: int, shards: Index) -> Iterator[Index]:
        """Returns the shards of a level that a root feeds."""
        ...

    def note(self, other: Tally) -> None: ...
    def note_resumed(self, root: Index) -> None:
        """Counts what an earlier run did for a root."""
        ...

    def tally(self) -> Tally: ...


def shard_groups(work: Work) -> list[list[Index]]:
    """Returns the roots, depth first, grouped so that no shard at or below the root level is fed by two groups.

    Without shards every root is a group of its own. A group is what one worker does, and what is redone as a whole when one of its
    roots was not finished: a shard is stored when its last chunk arrives.
    """
    roots = work.roots()
    sharded = work.sharded()
    if not sharded:
        return [[r] for r in roots]
    leader = {r: r for r in roots}

    def find(r: Index) -> Index:
        while leader[r] != r:
            leader[r] = leader[leader[r]]
            r = leader[r]
        return r

    for level, shards in sharded.items():
        owner: dict[Index, Index] = {}
        for r in roots:
            for shard in work.shards_under(r, level, shards):
                leader[find(r)] = find(owner.setdefault(shard, r))
    groups: dict[Index, list[Index]] = {}
    for r in roots:
        groups.setdefault(find(r), []).append(r)
    return list(groups.values())


def carry_parts(given: Carry | None) -> list[memoryview]:
    """Returns the bytes of a carry: its values, then its weights when there are any."""
    if given is None:
        return []
    arrays = [*given.values] if given.weights is None else [*given.values, given.weights]
    return [np.ascontiguousarray(a).reshape(-1).view(np.uint8).data for a in arrays]


def one_step(work: Work, step: Step, journal: Journal | None, meter: Meter, rises: bool) -> None:
    """Does a step, notes the roots that it finished, and hands up what they give where the build `rises`."""
    for root, given in work.step(step):
        if journal is not None:
            journal.finish(work.number, root, carry_parts(given), work.unproven(root))
        if given is not None and rises:
            work.hand_up(root, given)
        meter.step()


@contextmanager
def _quick_turns() -> Iterator[None]:
    """Lets a thread that waits for the interpreter have its turn soon: a build's calls are so short that others take it again before one wakes up.

    The interval holds for the process and is put back; source: measured, 5 ms made two threads of a `mode` hardly faster than one.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SWITCH_SECONDS))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def run_threads(work: Work, roots: Sequence[Index], n_threads: int, journal: Journal | None, meter: Meter, *, rises: bool = True) -> None:
    """Makes roots in this process; threads take the next step from one list. Raises what the first failing one raised."""
    steps = work.steps(roots)
    todo = iter(steps)
    lock, stop = threading.Lock(), threading.Event()
    errors: list[BaseException] = []

    def loop() -> None:
        try:
            while not stop.is_set():
                with lock:
                    step = next(todo, None)
                if step is None:
                    work.crew.help()
                    return
                with work.crew.at_work():
                    one_step(work, step, journal, meter, rises)
        except BaseException as error:  # noqa: BLE001  carried to the caller's thread and raised there
            errors.append(error)
            stop.set()

    threads = [threading.Thread(target=loop, name=f"ziggurat-{n}") for n in range(1, min(n_threads, len(steps)))]
    with _quick_turns() if threads else nullcontext():
        for t in threads:
            t.start()
        try:
            loop()
            for t in threads:
                t.join()
        except BaseException:  # an interrupt while waiting: let the others end their steps
            stop.set()
            for t in threads:
                t.join()
            raise
    if errors:
        raise errors[0]
