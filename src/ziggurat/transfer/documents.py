"""Documents changed in place: several plans in one go, each document whole or as it was, and put back when one fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from ziggurat.chunkio import FileStore
from ziggurat.conversion import NAMES, Change
from ziggurat.conversion.across import ConversionPlan
from ziggurat.conversion.describe import Refusal
from ziggurat.locking import locked
from ziggurat.model import JSON
from ziggurat.problems import LayoutError, StorageError
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
    before: Mapping[str, bytes | None] = field(default_factory=lambda: MappingProxyType({}))
    """Chunks of small arrays that are replaced and files, as they were; None for one that was not there."""

    @property
    def files(self) -> tuple[tuple[str, JSON], ...]:
        return tuple(item for plan in self.plans for item in plan.files.items())

    def do(self, watch: Watch = nothing) -> None:
        """Writes small arrays and files, then the documents in their order. Raises StorageError; the documents are then as they were."""
        folder = Folder(Path(self.root), watch)
        with locked(folder.root):
            store = FileStore(folder.root)
            try:
                for key, data in self.before.items():
                    store.delete(key) if data is not None and not any(key in plan.files for plan in self.plans) else None
                for plan in self.plans:
                    write_small(store, plan)
                write_changes(folder, self.changes)
            except (StorageError, KeyboardInterrupt):
                self._put_back(folder)
                raise

    def undo(self) -> None:
        """Puts the documents back, the last one first. Raises StorageError."""
        folder = Folder(Path(self.root))
        with locked(folder.root):
            write_changes(folder, [replace(change, old=change.new, new=change.old) for change in reversed(self.changes)])
            self._put_back(folder)

    def _put_back(self, folder: Folder) -> None:
        """Puts back what was replaced beside the documents that `write_changes` looks after, and those of arrays, which come with their samples."""
        store = FileStore(folder.root)
        small = {path for plan in self.plans for path in plan.arrays} if self.before else set()
        for path in small:
            for file in _chunk_files(folder.root / path):
                store.delete(file.relative_to(folder.root).as_posix())
        for key, data in self.before.items():
            store.delete(key) if data is None else store.put(key, [data])
        write_changes(folder, [replace(c, old=c.new, new=c.old) for c in self.changes if c.path in small])


def rewriting(opened: Opened, plans: Sequence[ConversionPlan], *, replacing: bool = False) -> Rewriting:
    """Returns what several plans in place change together. With `replacing` small arrays take the place of those that are there.

    Raises UnsupportedError for a place that is not local, LayoutError for a small array that says something else than one that is there.
    """
    root = local_root(opened)
    before = read_documents(root)
    now = dict(before)
    merged: dict[str, Change] = {}
    ready = []
    for plan in plans:
        plan = plan if replacing else without_present(opened, plan)
        ready.append(plan)
        for change in changes_of(plan, now, root):
            merged[change.key] = replace(change, old=merged[change.key].old if change.key in merged else change.old)
            if change.new is not None:
                now[change.key] = change.new
    changes = tuple(change for change in merged.values() if change.old != change.new)
    ordered = tuple(sorted(changes, key=lambda change: (change.file == ".zmetadata", change.path == "")))
    replaced = [path for plan in ready for path in plan.arrays] if replacing else []
    chunks = {file.relative_to(root).as_posix(): file.read_bytes() for path in replaced for file in _chunk_files(root / path)}
    files = {name: (root / name).read_bytes() if (root / name).is_file() else None for plan in ready for name in plan.files} if replacing else {}
    return Rewriting(str(root), ordered, tuple(ready), tuple(stale_copies_above(root) if ordered else ()), MappingProxyType({**chunks, **files}))


def _chunk_files(folder: Path) -> list[Path]:
    """Returns the files of a small array but its documents."""
    return [file for file in folder.rglob("*") if file.is_file() and file.name not in NAMES] if folder.is_dir() else []


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
