"""`upgrade`: a store in an older layout becomes one in a later layout of the same family."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ziggurat.conversion import Change, Hierarchy, UpgradePlan, upgrade_plan
from ziggurat.model import JSON
from ziggurat.node import named_place
from ziggurat.problems import LayoutError, NotFound, OptionError, Problem, UnsupportedError
from ziggurat.transfer import in_place, new_store
from ziggurat.transfer.copies import stale_copies_above, with_fresh_copies
from ziggurat.transfer.folder import JOURNAL, Folder, Watch, nothing, read_documents
from ziggurat.transfer.texts import difference, problem_json, sentences


@dataclass(frozen=True, slots=True)
class UpgradeResult:
    """What an upgrade did, or would do (`dry_run`)."""

    source: str
    target: str
    """Where the upgraded store is: the source itself when it was upgraded in place."""
    layout: str
    """Layout that was found, such as `ome-zarr@0.3`."""
    to: str
    changes: tuple[Change, ...]
    """Documents before and after, in the order in which they are written."""
    notes: tuple[str, ...]
    """What was done beside the documents, and what was inferred, one sentence each."""
    problems: tuple[Problem, ...]
    dry_run: bool

    def __str__(self) -> str:
        """Returns a headline and the notes; after a dry run the unified difference of the documents between them."""
        if not self.changes:
            lines = [f"{self.source} is {self.layout} already; nothing to do"]
        else:
            verb = "would become" if self.dry_run else "became"
            place = "" if self.target == self.source else f" in {self.target}"
            lines = [f"{self.source}: {self.layout} {verb} {self.to}{place} ({len(self.changes)} documents)"]
        if self.dry_run:
            lines += [line for change in self.changes for line in difference(change)]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def to_json(self) -> dict[str, JSON]:
        """Returns the result as plain JSON."""
        changes: list[JSON] = [{"path": change.path, "file": change.file, "old": change.old, "new": change.new} for change in self.changes]
        problems: list[JSON] = [problem_json(problem) for problem in self.problems]
        return {
            "source": self.source,
            "target": self.target,
            "layout": self.layout,
            "to": self.to,
            "dry_run": self.dry_run,
            "changes": changes,
            "notes": list(self.notes),
            "problems": problems,
        }


def upgrade(
    source: str | os.PathLike[str],
    *,
    to: str,
    dest: str | os.PathLike[str] | None = None,
    transpose: str | Sequence[str] | None = None,
    dry_run: bool = False,
) -> UpgradeResult:
    """Brings a store to a later layout of its family: `multiscales@0.1` and `ome-zarr@0.1` to `ome-zarr@0.5`.

    Only what the target version defines changes; unknown keys at every depth, foreign attributes and UNPARSED values keep
    their value, place and spelling. Stored chunks are never decoded, unless axes are put into another order.

    Parameters
    ----------
    source
        A local folder: the group that carries the multiscale, or the root of a plate.
    to
        Id of the layout, such as `"ome-zarr@0.5"`.
    dest
        A new local store; the source is then only read. None upgrades in place: stopped at any moment, the store opens as
        the old or the new version, and the same call finishes an interrupted one.
    transpose
        Names of the axes in the order to store them in, such as `"cyx"`; the samples are written anew, so it needs `dest`.
    dry_run
        Return what would change, and write nothing.

    Raises
    ------
    NotFound
        Nothing lies at `source`.
    LayoutError
        `to` is unknown, older than what is there, or forbids the axes; or there is no multiscale of this family.
    OptionError
        `transpose` without `dest`, or with other names than the axes'; `dest` inside the source.
    TargetExists
        Something lies at `dest`.
    UnsupportedError
        A store that is not local; an array that has no equal in Zarr v3.
    DocumentError, StorageError
        A document is no strict JSON; reading or writing failed.

    Source: formats 2.6, 12, 15.11; reliability R1, R2, R5, R6, R14.
    """
    return run(source, to=to, dest=dest, transpose=transpose, dry_run=dry_run)


def run(
    source: str | os.PathLike[str],
    *,
    to: str,
    dest: str | os.PathLike[str] | None = None,
    transpose: str | Sequence[str] | None = None,
    dry_run: bool = False,
    watch: Watch = nothing,
) -> UpgradeResult:
    """Does `upgrade`, telling `watch` every operation before it happens."""
    root = _local(source, "source")
    target = root if dest is None else _local(dest, "dest")
    if not root.is_dir():
        raise NotFound(f"{root}: no folder there; name the folder of a Zarr group")
    axes = _axes(transpose)
    if axes is not None and dest is None:
        raise OptionError(f"transpose {', '.join(axes)}: needs a new store (--dest), for the samples are written anew and the source is never overwritten")
    documents = read_documents(root)
    plan = upgrade_plan(documents, to=to, transpose=axes, location=str(root))
    notes: list[str] = []
    if dest is None:
        _refuse_below_v2(root, plan)
        notes += stale_copies_above(root) if plan.changes else []
        interrupted = (root / JOURNAL).exists()
        final = _final(documents, plan) if plan.changes or interrupted else dict(documents)
        changes = _changes(documents, final, plan)
        if not dry_run:
            n_renamed = in_place.apply(Folder(root, watch), replace(plan, changes=changes))
            notes += [f"{n_renamed} chunks were renamed; none was decoded"] if n_renamed else []
            notes += ["what an interrupted upgrade had left was removed"] if interrupted else []
    else:
        new_store.refuse_target(root, target, to)
        final = _final(documents, plan)
        changes = _changes(documents, final, plan)
        if not dry_run:
            n_copied = new_store.write(root, Folder(target, watch), plan, documents, final)
            notes += [f"{n_copied} files were copied as they are"] if n_copied else []
            notes += (
                [f"the samples of {', '.join(plan.permutations)} were written anew, axes in the order {', '.join(axes or ())}"] if plan.permutations else []
            )
    notes += sentences(plan.problems)
    return UpgradeResult(str(root), str(target), plan.source, to, changes, tuple(notes), plan.problems, dry_run)


def _local(place: str | os.PathLike[str], name: str) -> Path:
    text = named_place(place, name)
    if "://" in text:
        raise UnsupportedError(f"{name} {text!r}: an upgrade works on local folders; copy the store here first")
    return Path(text)


def _axes(transpose: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Returns the names of the axes: one letter each, or separated by commas."""
    if transpose is None:
        return None
    if not isinstance(transpose, str):
        return tuple(transpose)
    return tuple(name.strip() for name in (transpose.split(",") if "," in transpose else transpose))


def _final(documents: Hierarchy, plan: UpgradePlan) -> dict[str, Mapping[str, JSON]]:
    """Returns every document of the upgraded store."""
    removed = {change.key for change in plan.removals}
    final = {key: document for key, document in documents.items() if key not in removed}
    final.update({change.key: change.new for change in plan.writes if change.new is not None})
    return with_fresh_copies(documents, final)


def _changes(documents: Hierarchy, final: Hierarchy, plan: UpgradePlan) -> tuple[Change, ...]:
    """Returns the changes of the plan with the consolidated copies in them: blocks in their group's document, files at the end."""
    planned = {change.key for change in plan.changes}
    writes = [replace(change, new=final[change.key]) for change in plan.writes]
    for key, document in final.items():
        if key not in planned and document != documents.get(key):
            path, _, name = key.rpartition("/")
            writes.append(Change(path, name, documents.get(key), document))
    return (*sorted(writes, key=lambda change: (change.file == ".zmetadata", change.path == "")), *plan.removals)


def _refuse_below_v2(root: Path, plan: UpgradePlan) -> None:
    """Raises LayoutError when a group of Zarr v2 would hold one of v3, which no reader of the group above would see."""
    becomes_v3 = any(change.key == "zarr.json" and change.old is None for change in plan.writes)
    above = root.absolute().parent
    if becomes_v3 and (above / ".zgroup").exists() and not (above / "zarr.json").exists():
        raise LayoutError(f"{root} lies in {above}, a group of Zarr v2, which cannot hold one of v3: upgrade {above}, or write a new store (--dest)")
