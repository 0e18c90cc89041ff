"""Parts of a build: each made on its own, on any machine, in any order; what they leave in the target is finished by one more call.

A part makes its share of the roots of every pass that can be made by now, and keeps in the journal what the levels above get from
each. A shard is fed by one share, so no two parts write one object. The levels above the roots, and the documents, are `finish`'s.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ziggurat.builder.job import Job
from ziggurat.builder.run import make_work, run_groups, scratch_below
from ziggurat.builder.targets import Destination, home_of, unfinished_plans
from ziggurat.builder.tasks import Index, Meter, ProgressCallback, Tally, Work, shard_groups
from ziggurat.journal import Journal
from ziggurat.planner import BuildPlan
from ziggurat.problems import OptionError, PlanError

if TYPE_CHECKING:
    from concurrent.futures import Executor

_OF_THE_MACHINE = ("passes", "threads", "memory_bytes", "peak_bytes", "expected_seconds", "notes", "n_chunk_reads", "durability", "fingerprint")
"""Fields of a plan that cores and memory decide: machines that differ in these make the same samples."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of `n` parts of a build, counted from 1."""

    number: int
    n: int

    def __str__(self) -> str:
        return f"{self.number}/{self.n}"

    def share(self, groups: Sequence[Sequence[Index]]) -> Sequence[Sequence[Index]]:
        """Returns what this part makes: neighbours, as many as the others make, to within one.

        >>> [len(Part(i, 3).share([()] * 7)) for i in (1, 2, 3)]
        [2, 2, 3]
        """
        return groups[len(groups) * (self.number - 1) // self.n : len(groups) * self.number // self.n]


def parse_part(said: str | tuple[int, int] | None) -> Part | None:
    """Returns the part that `"7/100"` or `(7, 100)` names. Raises OptionError.

    >>> parse_part("7/100")
    Part(number=7, n=100)
    """
    if said is None:
        return None
    numbers = said.split("/") if isinstance(said, str) else list(said)
    try:
        number, n = (int(text) for text in numbers)
    except (TypeError, ValueError):
        raise OptionError(f"part: found {said!r}, expected a part and their number, such as '7/100'") from None
    if not 1 <= number <= n:
        raise OptionError(f"part: found {said!r}, expected a part from 1 to {n if n > 0 else 'their number'}, such as '7/100'")
    return Part(number, n)


def begun_elsewhere(destination: Destination, made: BuildPlan) -> BuildPlan:
    """Returns the plan that another machine began in the target, where it differs from this one's by that machine's cores and memory only."""
    home = home_of(destination, made)
    for begun in unfinished_plans(home) if home is not None else ():
        if begun.fingerprint != made.fingerprint and _facts(begun) == _facts(made):
            fits = begun.peak_bytes <= made.memory_bytes  # its tiles may be those of a machine of more memory
            threads = made.threads if fits else min(begun.threads, made.threads)
            return replace(begun, threads=threads, memory_bytes=made.memory_bytes, durability=made.durability)
    return made


def _facts(plan: BuildPlan) -> str:
    return json.dumps({k: v for k, v in plan.to_json().items() if k not in _OF_THE_MACHINE}, sort_keys=True)


def check_begun(destination: Destination, plan: BuildPlan) -> None:
    """Raises PlanError unless parts of this plan were made: to finish what was never begun is a slip."""
    home = home_of(destination, plan)
    if home is None or plan.fingerprint not in [begun.fingerprint for begun in unfinished_plans(home)]:
        raise PlanError(f"finish: no part of this build was made in {destination.location}; make the parts first, or leave finish out")


def run_part(job: Job, part: Part, *, journal: Journal, executor: Executor | None, progress: ProgressCallback | None) -> tuple[Tally, Meter, int, int]:
    """Makes the share of a part. Returns what was done, the meter, and how many of its tasks there are and how many wait for other parts."""
    plan, scratch = job.plan, scratch_below(job)
    works = [make_work(job, number, scratch, create=True) for number in range(len(plan.passes))]
    groups = [shard_groups(work) for work in works]
    shares = [part.share(of_pass) for of_pass in groups]
    n_tasks = sum(len(group) for share in shares for group in share)
    meter, tally, n_waiting = Meter(n_tasks, progress), Tally(), 0
    for work, share in zip(works, shares, strict=True):
        todo = [group for group in share if not _is_made(work, group, journal)]
        meter.resumed(sum(map(len, share)) - sum(map(len, todo)))
        if (
            todo
            and not _can_be_made(plan, work.number)
            and not all(_is_made(w, g, journal) for w, of in zip(works[: work.number], groups, strict=False) for g in of)
        ):
            n_waiting += sum(map(len, todo))
            continue
        run_groups(work, todo, job, journal=journal, executor=executor, meter=meter, rises=False)
        tally.add(work.tally())
    journal.mark()
    return tally, meter, n_tasks, n_waiting


def _is_made(work: Work, group: Sequence[Index], journal: Journal) -> bool:
    return all(journal.stash(work.number, root) is not None for root in group)


def _can_be_made(plan: BuildPlan, number: int) -> bool:
    """True when a pass reads nothing that an earlier one writes."""
    what = plan.passes[number].what
    return number == 0 or what == "walk" or (what == "resample" and plan.base == "stays")
