"""Documents changed in place: several plans in one go, each document whole or as it was, and put back when one fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ziggurat.chunkio import FileStore
from ziggurat.conversion import Change
from ziggurat.conversion.across import ConversionPlan
from ziggurat.conversion.describe import Refusal
from ziggurat.locking import locked
from ziggurat.model import JSON
from ziggurat.problems import LayoutError
from ziggurat.transfer.conversions import changes_of, final_documents, local_root, without_present, write_changes, write_small
from ziggurat.transfer.copies import stale_copies_above
from ziggurat.transfer.copying import Opened
from ziggurat.transfer.folder import Folder, Watch, nothing, read_documents
from ziggurat.transfer.proofs import proven


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What changes at one place, and doing it."""

    root: str
    changes: tuple[Change, ...]
    """Every document once, before and after all plans."""
    plans: tuple[ConversionPlan, ...]
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[tuple[str, JSON], ...]:
        return tuple(item for plan in self.plans for item in plan.files.items())

    def do(self, watch: Watch = nothing) -> None:
        """Writes small arrays and files, then the documents in their order. Raises StorageError; the documents are then as they were."""
        folder = Folder(Path(self.root), watch)
        with locked(folder.root):
            for plan in self.plans:
                write_small(FileStore(folder.root), plan)
            write_changes(folder, self.changes)

    def undo(self) -> None:
        """Puts the documents back, the last one first. Raises StorageError."""
        folder = Folder(Path(self.root))
        with locked(folder.root):
            write_changes(folder, [replace(change, old=change.new, new=change.old) for change in reversed(self.changes)])


def rewriting(opened: Opened, plans: Sequence[ConversionPlan]) -> Rewriting:
    """Returns what several plans in place change together. Raises UnsupportedError for a place that is not local."""
    root = local_root(opened)
    before = read_documents(root)
    now = dict(before)
    merged: dict[str, Change] = {}
    ready = []
    for plan in plans:
        plan = without_present(opened, plan)
        ready.append(plan)
        for change in changes_of(plan, now, root):
            merged[change.key] = replace(change, old=merged[change.key].old if change.key in merged else change.old)
            if change.new is not None:
                now[change.key] = change.new
    changes = tuple(change for change in merged.values() if change.old != change.new)
    ordered = tuple(sorted(changes, key=lambda change: (change.file == ".zmetadata", change.path == "")))
    return Rewriting(str(root), ordered, tuple(ready), tuple(stale_copies_above(root) if ordered else ()))


def unreadable(opened: Opened, plans: Sequence[ConversionPlan]) -> tuple[Refusal, ...]:
    """Returns the layouts in which a reader would find the levels elsewhere than they are, with the reason."""
    root = local_root(opened)
    before = read_documents(root)
    found = []
    for plan in plans:
        try:
            proven(plan, final_documents(plan, before, root))
        except LayoutError as error:
            found.append(Refusal(plan.to, str(error)))
    return tuple(found)
