"""An upgrade of a store where it stands. Stopped after any operation, the store opens as the old or as the new version.

The order that makes it so: the journal; second names for chunks, beside the first; documents of arrays, of groups from the
deepest up, of the root last (each by rename: this one turns old into new); the consolidated copy; then the removal of what
only the old version needed, from the root down; the journal. Running the same upgrade again finishes an interrupted one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from ziggurat.conversion import Renaming, UpgradePlan
from ziggurat.locking import LOCK, locked
from ziggurat.model import JSON
from ziggurat.problems import LayoutError, StorageError
from ziggurat.transfer.folder import JOURNAL, JOURNAL_FOLDER, Folder, chunk_names


def apply(folder: Folder, plan: UpgradePlan) -> int:
    """Does what `plan` says inside its own store, in its order; returns the number of renamed chunks.

    Raises
    ------
    TargetExists
        Another process is writing into the store.
    StorageError
        An operation failed, or the journal of another unfinished work lies in the store; running it again goes on.
    LayoutError
        An array holds chunks under old and new names, so which are its samples is not known.
    """
    journal = _unfinished(folder, plan.to)
    if journal is None and not plan.changes:
        return 0
    with locked(folder.root):
        return _apply(folder, plan, journal)


def _apply(folder: Folder, plan: UpgradePlan, journal: Mapping[str, JSON] | None) -> int:
    renamings = list(dict.fromkeys([*_renamings(journal), *plan.renamings]))
    removals = list(dict.fromkeys([*_keys(journal), *(change.key for change in plan.removals)]))
    if journal is None:
        for renaming in plan.renamings:
            _refuse_both_names(folder.root / renaming.path, renaming)
    else:
        folder.sweep()
    folder.put(JOURNAL, {"work": "upgrade", "to": plan.to, "renamings": [asdict(renaming) for renaming in renamings], "removals": [*removals]})
    n_renamed = _link_chunks(folder, plan.renamings)
    for change in plan.writes:
        if change.new is not None:
            folder.put(change.key, change.new)
    for key in removals:
        folder.delete(key)
    for renaming in renamings:
        for name in tuple(chunk_names(folder.root / renaming.path, renaming.ndim, renaming.old)):
            folder.delete(_join(renaming.path, name))
    folder.forget()
    return n_renamed


def _link_chunks(folder: Folder, renamings: Iterable[Renaming]) -> int:
    """Gives every chunk its new name beside the old one, on the disk before any document says so."""
    n_linked = 0
    for renaming in renamings:
        touched = {""}
        for name in tuple(chunk_names(folder.root / renaming.path, renaming.ndim, renaming.old)):
            new = name.replace(renaming.old, renaming.new)
            folder.link(_join(renaming.path, name), _join(renaming.path, new))
            touched.update(new[:i] for i, sign in enumerate(new) if sign == "/")
            n_linked += 1
        for path in sorted(touched, key=len, reverse=True):
            folder.sync(_join(renaming.path, path))
    return n_linked


def _refuse_both_names(path: Path, renaming: Renaming) -> None:
    """Raises LayoutError when chunks with the new names are there before any was made: they would come to light as samples."""
    nested = next((entry for entry in path.iterdir() if entry.is_dir() and entry.name.isdigit()), None) if path.is_dir() else None
    if nested is not None:
        raise LayoutError(
            f"{path}: its document says chunk names like {renaming.old.join('0' * renaming.ndim)}, and a folder {nested.name!r} of the other kind is there; "
            "remove the chunks that are not the array's, or correct dimension_separator"
        )


def _unfinished(folder: Folder, to: str) -> Mapping[str, JSON] | None:
    """Returns the journal of an interrupted run of this upgrade; refuses any other unfinished work."""
    path = folder.root / JOURNAL_FOLDER
    ours = (Path(JOURNAL).name, LOCK)
    others = [entry.name for entry in path.iterdir() if entry.name not in ours and not entry.name.endswith(".partial")] if path.is_dir() else []
    if others:
        raise StorageError(f"{path}: holds {others[0]!r}, the journal of an unfinished build; finish that first")
    journal = folder.journal()
    if journal is not None and journal["to"] != to:
        raise StorageError(f"{folder.root}: an upgrade to {journal['to']} was interrupted; run that one again first")
    return journal


def _renamings(journal: Mapping[str, JSON] | None) -> list[Renaming]:
    items = (journal or {}).get("renamings", ())
    found = []
    for item in items if isinstance(items, list | tuple) else ():
        if isinstance(item, Mapping) and isinstance(item["ndim"], int):
            found.append(Renaming(str(item["path"]), item["ndim"], str(item["old"]), str(item["new"])))
    return found


def _keys(journal: Mapping[str, JSON] | None) -> list[str]:
    items = (journal or {}).get("removals", ())
    return [str(item) for item in items] if isinstance(items, list | tuple) else []


def _join(path: str, name: str) -> str:
    return "/".join(part for part in (path, name) if part)
