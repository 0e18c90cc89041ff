"""The run: every pass of a plan, over threads of this process or over any executor; resume. Never forks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ziggurat.builder.job import Job, make_walk
from ziggurat.builder.tasks import Index, Meter, Tally, Work, run_threads, shard_groups
from ziggurat.journal import FOLDER, Journal

if TYPE_CHECKING:
    from concurrent.futures import Executor


def run(job: Job, *, journal: Journal | None, finished: Mapping[tuple[int, Index], bytes], executor: Executor | None, meter: Meter) -> Tally:
    """Makes every level. Returns what was done; raises what the first failing task raised."""
    tally = Tally()
    with ExitStack() as held:
        scratch = _scratch(job, held)
        for number in range(len(job.plan.passes)):
            work = make_work(job, number, scratch, create=True)
            mine = {root: data for (n, root), data in finished.items() if n == number}
            _run_pass(work, job, journal=journal, finished=mine, executor=executor, meter=meter)
            tally.add(work.tally())
    return tally


def _scratch(job: Job, held: ExitStack) -> str:
    """Returns a folder for arrays that only the build itself needs."""
    if job.folder:
        return str(Path(job.folder) / FOLDER / job.plan.fingerprint / "scratch")
    import tempfile

    return held.enter_context(tempfile.TemporaryDirectory(prefix="ziggurat-"))


def make_work(job: Job, number: int, scratch: str, *, create: bool) -> Work:
    """Returns one pass of the plan, ready to run; `create`: makes the arrays that only the build itself needs."""
    if job.plan.passes[number].what == "walk":
        return make_walk(job, number)
    if job.plan.passes[number].what == "resample":
        from ziggurat.builder.resampling import make_resampling

        return make_resampling(job, number)
    from ziggurat.builder.filters import make_stage  # only where there is a halo: a build of means starts faster without

    return make_stage(job, number, scratch, create=create)


def _run_pass(work: Work, job: Job, *, journal: Journal | None, finished: Mapping[Index, bytes], executor: Executor | None, meter: Meter) -> None:
    """Makes every root of a pass that is not finished, and every level above."""
    groups = shard_groups(work)
    done = [group for group in groups if all(r in finished for r in group)]
    meter.resumed(sum(map(len, done)))
    for group in done:
        for root in group:
            work.note_resumed(root)
            if work.hands_up:
                work.hand_up(root, work.restored(root, finished[root]))
    todo = [group for group in groups if not all(r in finished for r in group)]
    if executor is None:
        run_threads(work, [r for group in todo for r in group], job.plan.threads, journal, meter)
    elif journal is None:
        raise AssertionError("an executor needs a journal: it carries what workers hand back")
    else:
        from ziggurat.builder.executors import Sending

        Sending(work, job, executor, journal, meter).run(todo)
