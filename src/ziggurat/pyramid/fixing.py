"""`fix`: documents are mended where the arrays tell how; samples are never touched."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ziggurat import layouts, validation
from ziggurat.conversion import Change
from ziggurat.conversion.describe import Made
from ziggurat.conversion.repairs import Repair, repair_plan
from ziggurat.model import JSON, Multiscale
from ziggurat.problems import LayoutError, Problem
from ziggurat.pyramid.annotating import made_by, places_of
from ziggurat.pyramid.places import Place, place_of
from ziggurat.transfer.documents import Rewriting, rewriting
from ziggurat.transfer.texts import counted, difference, problem_json, sentences


@dataclass(frozen=True, slots=True)
class FixResult:
    """What a fix mended, or would mend (`dry_run`)."""

    source: str
    layout: str
    repairs: tuple[Repair, ...]
    changes: tuple[Change, ...]
    left: tuple[Problem, ...]
    """Broken rules that no repair mends; after a dry run, those that none of the repairs names."""
    notes: tuple[str, ...]
    dry_run: bool

    def __str__(self) -> str:
        """Returns each repair with its reason, after a dry run the difference of the documents, and what is left."""
        verb = "would change" if self.dry_run else "changed"
        head = f"{self.source} ({self.layout}): {counted(len(self.repairs), 'repair')}, {counted(len(self.changes), 'document')} {verb}"
        lines = [head if self.changes else f"{self.source} ({self.layout}): nothing that can be mended", *map(str, self.repairs)]
        if self.dry_run:
            lines += [line for change in self.changes for line in difference(change)]
        lines += [f"left: {sentence}" for sentence in sentences(self.left)]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def to_json(self) -> dict[str, JSON]:
        """Returns the result as plain JSON."""
        return {
            "source": self.source,
            "layout": self.layout,
            "repairs": [{"rule": r.rule, "loc": r.loc, "what": r.what, "reason": r.reason} for r in self.repairs],
            "changes": [{"path": change.path, "file": change.file, "old": change.old, "new": change.new} for change in self.changes],
            "left": [problem_json(problem) for problem in self.left],
            "notes": list(self.notes),
            "dry_run": self.dry_run,
        }


def fix(source: object, *, method: str | None = None, deep: bool = False, dry_run: bool = False) -> FixResult:
    """Mends the documents at a place where the arrays tell how: order, absent levels, versions, names of axes, places, stale copies.

    Parameters
    ----------
    source
        A local group that carries a multiscale.
    method
        The reduction that made the levels, such as `"mean"`: translations that are absent, or that it contradicts, are written.
    deep
        Find that out from the samples, where `method` is not said.
    dry_run
        Return what would be mended, and write nothing.

    Raises
    ------
    NotFound
        No multiscale is there.
    LayoutError
        The layout is only read; or mending would break a rule that holds now, and everything is as it was.
    UnsupportedError
        The place is not local.
    StorageError
        Writing failed; the documents are as they were.

    Source: formats.md 15.2, 15.9, 15.12; design.md, fix.
    """
    place = place_of(source)
    found = layouts.read(place.node)
    report = validation.check_result(place.node, found)
    made = [_made(place, multiscale, method, deep=deep) for multiscale in found.multiscales]
    planned = repair_plan(place.node, found, report.problems, made=made)
    if planned.plan is None:
        return FixResult(place.node.location, found.layout, (), (), report.of("MUST"), (), dry_run)
    work = rewriting(place, (planned.plan,), replacing=True)
    if not work.changes and not work.before:
        return FixResult(place.node.location, found.layout, (), (), report.of("MUST"), work.notes, dry_run)
    if dry_run:
        mended = {repair.rule for repair in planned.repairs}
        left = tuple(problem for problem in report.of("MUST") if problem.rule not in mended)
        return FixResult(place.node.location, found.layout, planned.repairs, work.changes, left, work.notes, dry_run)
    work.do()
    left = _judged(place, work, report.of("MUST"))
    return FixResult(place.node.location, found.layout, planned.repairs, work.changes, left, work.notes, dry_run)


def _made(place: Place, multiscale: Multiscale, method: str | None, *, deep: bool) -> Made:
    made = made_by(method)
    arrays = [(level.path, level.array) for level in multiscale.levels if level.array is not None and level.location is None]
    if deep and made.anchor is None and len(arrays) == multiscale.n_levels > 1:
        return replace(made, places=places_of(place, arrays))
    return made


def _judged(place: Place, work: Rewriting, before: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Returns the rules that are still broken; puts everything back when one is broken that was not. Raises LayoutError."""
    again = place_of(place.target)
    now = validation.check_node(again.node).of("MUST")
    new = [problem for problem in now if problem.rule not in {old.rule for old in before}]
    if new:
        work.undo()
        raise LayoutError(f"{place.node.location}: mending it would break {new[0].sentence}; nothing was changed")
    return now
