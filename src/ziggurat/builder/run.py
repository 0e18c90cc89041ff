"""The run: every pass of a plan, over threads of this process or over any executor; resume. Never forks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ziggurat.builder.job import Job, make_walk
from ziggurat.builder.tasks import Index, Meter, Tally, Work, run_threads, shard_groups
from ziggurat.chunkio import ByteStore, FileStore, PrefixedStore
from ziggurat.journal import FOLDER, Journal

if TYPE_CHECKING:
    from concurrent.futures import Executor


def run(job: Job, *, journal: Journal | None, executor: Executor | None, meter: Meter) -> Tally:
    """Makes every level. Returns what was done; raises what the first failing task raised."""
    tally = Tally()
    with ExitStack() as held:
        scratch = _scratch(job, held)
        for number in range(len(job.plan.passes)):
            work = make_work(job, number, scratch, create=True)
            _run_pass(work, job, journal=journal, executor=executor, meter=meter)
            tally.add(work.tally())
    return tally


def scratch_below(job: Job) -> ByteStore:
    """Returns the store of arrays that only the build itself needs: below the journal, so that a restart and workers find them."""
    place = f"{FOLDER}/{job.plan.fingerprint}/scratch"
    if isinstance(job.home, FileStore):
        return FileStore(job.home.root / place, durability="none")
    if job.home is None:
        raise AssertionError("only a build with a journal has a place below it")
    return PrefixedStore(job.home, place)


def _scratch(job: Job, held: ExitStack) -> ByteStore:
    if job.home is not None:
        return scratch_below(job)
    import tempfile

    return FileStore(held.enter_context(tempfile.TemporaryDirectory(prefix="ziggurat-")), durability="none")


def make_work(job: Job, number: int, scratch: ByteStore, *, create: bool) -> Work:
    """Returns one pass of the plan, ready to run; `create`: makes the arrays that only the build itself needs."""
    if job.plan.passes[number].what == "walk":
        return make_walk(job, number)
    if job.plan.passes[number].what == "resample":
        from ziggurat.builder.resampling import make_resampling

        return make_resampling(job, number)
    from ziggurat.builder.filters import make_stage  # only where there is a halo: a build of means starts faster without

    return make_stage(job, number, scratch, create=create)


def _run_pass(work: Work, job: Job, *, journal: Journal | None, executor: Executor | None, meter: Meter) -> None:
    """Makes every root of a pass that is not finished, and every level above."""
    groups = shard_groups(work)
    todo = [group for group in groups if not _resumed(work, group, journal, meter)]
    run_groups(work, todo, job, journal=journal, executor=executor, meter=meter)


def run_groups(
    work: Work, groups: Sequence[Sequence[Index]], job: Job, *, journal: Journal | None, executor: Executor | None, meter: Meter, rises: bool = True
) -> None:
    """Makes groups of roots of a pass, and, where it `rises`, every level above that thereby is complete."""
    if executor is None:
        run_threads(work, [r for group in groups for r in group], job.plan.threads, journal, meter, rises=rises)
    elif journal is None:
        raise AssertionError("an executor needs a journal: it carries what workers hand back")
    else:
        from ziggurat.builder.executors import Sending

        Sending(work, job, executor, journal, meter, rises=rises).run(groups)


def _resumed(work: Work, group: Sequence[Index], journal: Journal | None, meter: Meter) -> bool:
    """Hands up what an earlier run made of a group; False when it did not finish all of it."""
    if journal is None:
        return False
    found: list[tuple[Index, bytes]] = []
    for root in group:
        data = journal.stash(work.number, root)
        if data is None:
            return False
        found.append((root, data))
    for root, data in found:
        work.note_resumed(root)
        work.note(Tally(unproven=dict(journal.unproven(work.number, root))))
        if work.hands_up:
            work.hand_up(root, work.restored(root, data))
    meter.resumed(len(found))
    return True
