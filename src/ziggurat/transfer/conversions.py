"""A conversion done: documents and samples into a new store that appears whole or not at all, or documents alone, in place.

A new local store is made beside its place, in a folder of its own, and moved there when everything in it was written; the same
command goes on with what an interrupted one left. In place, arrays' documents come first, the group's own last. Source:
formats.md 12, 14; reliability.md R1 to R6, R14.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ziggurat import storage
from ziggurat.chunkio import ByteStore, FileStore, array_documents
from ziggurat.conversion import Change, Hierarchy
from ziggurat.conversion.across import ConversionPlan, NodeWrite
from ziggurat.conversion.tree import NAMES
from ziggurat.journal import FOLDER, Journal
from ziggurat.layouts import LAYOUTS, Layout
from ziggurat.locking import locked
from ziggurat.model import JSON
from ziggurat.node import FileNode, dumps, named_place
from ziggurat.problems import LayoutError, OptionError, Problem, StorageError, TargetExists, UnsupportedError
from ziggurat.storage.small import small_spec, write_files, write_small_arrays
from ziggurat.transfer.copies import stale_copies_above, with_fresh_copies
from ziggurat.transfer.copying import Opened, batches, run
from ziggurat.transfer.folder import Folder, Watch, nothing, read_documents
from ziggurat.transfer.proofs import proven
from ziggurat.transfer.texts import counted, difference, problem_json, sentences

N5_VERSION = "4.0.0"
"""Written at the root of a container: some readers refuse one without. Source: formats.md 4.1."""


@dataclass(frozen=True, slots=True)
class ConversionResult:
    """What a conversion did, or would do (`dry_run`)."""

    source: str
    target: str
    """Where the converted store is: the source itself when only its documents changed."""
    layout: str
    """Layout that was read."""
    to: str
    changes: tuple[Change, ...]
    """Documents before and after, in the order in which they are written."""
    arrays: tuple[tuple[str, str, str], ...]
    """Per array: where it was, where it is, and how it came there: `stays`, `linked`, `verbatim` or `recoded`."""
    files: tuple[tuple[str, JSON], ...]
    """Files beside the documents: name and content."""
    lost: tuple[Problem, ...]
    """What the target could not hold."""
    notes: tuple[str, ...]
    dry_run: bool
    n_stored: int = 0
    """Number of chunks, or shards, that were stored."""

    def __str__(self) -> str:
        """Returns a headline, what happens to each array, losses and notes; after a dry run the documents between them."""
        if not self.changes and not self.arrays:
            return f"{self.source} is {self.to} already; nothing to do"
        verb = "would become" if self.dry_run else "became"
        place = "" if self.target == self.source else f" in {self.target}"
        lines = [f"{self.source}: {self.layout} {verb} {self.to}{place} ({counted(len(self.changes), 'document')})"]
        lines += [f"  {how:<9} {old} -> {new}" if old != new else f"  {how:<9} {old}" for old, new, how in self.arrays]
        if self.dry_run:
            lines += [line for change in self.changes for line in difference(change)]
            lines += [f"+++ {name}\n{content if isinstance(content, str) else dumps(content, name).decode()}" for name, content in self.files]
        lines += [f"lost: {sentence}" for sentence in sentences(self.lost)]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def to_json(self) -> dict[str, JSON]:
        """Returns the result as plain JSON."""
        return {
            "source": self.source,
            "target": self.target,
            "layout": self.layout,
            "to": self.to,
            "dry_run": self.dry_run,
            "changes": [{"path": change.path, "file": change.file, "old": change.old, "new": change.new} for change in self.changes],
            "arrays": [{"source": old, "target": new, "how": how} for old, new, how in self.arrays],
            "files": dict(self.files),
            "lost": [problem_json(problem) for problem in self.lost],
            "notes": list(self.notes),
            "n_stored": self.n_stored,
        }


def convert(
    opened: Opened,
    plan: ConversionPlan,
    target: object = None,
    *,
    strict: bool = False,
    dry_run: bool = False,
    threads: int | None = None,
    watch: Watch = nothing,
    table: Sequence[Layout] = LAYOUTS,
) -> ConversionResult:
    """Does what `plan` says of an opened source.

    Parameters
    ----------
    target
        A path, a URL or a store where nothing is yet; of no meaning for a plan in place.
    strict
        Refuse, before anything is written, when the target cannot hold all that the source says.
    dry_run
        Return what would happen, and write nothing.
    threads
        That move samples; None: as many as there are cores, four at most.
    table
        The layouts that there are.

    Raises
    ------
    LayoutError
        `strict`, and something would be lost; or a reader of the target would find levels elsewhere.
    TargetExists
        Something is at the target, or another process is writing there.
    OptionError
        The target lies inside the source, or around it.
    StorageError
        Reading or writing failed; the same command goes on.
    """
    if plan.in_place:
        return _in_place(opened, plan, dry_run, strict, watch, table)
    plan = replace(plan, lost=(*plan.lost, *proven(plan, final_documents(plan, {}), table, follow=_follow)))
    _refuse_losses(opened, plan, strict)
    return _new_store(opened, plan, target, dry_run, threads or min(4, os.cpu_count() or 1), watch)


def _refuse_losses(opened: Opened, plan: ConversionPlan, strict: bool) -> None:
    """Raises LayoutError when something would be lost and that was not to be."""
    if strict and plan.lost:
        more = f" (and {len(plan.lost) - 1} more)" if len(plan.lost) > 1 else ""
        raise LayoutError(f"{plan.to} cannot hold all of {opened.node.location}: {plan.lost[0].sentence}{more}; leave strict out to convert it nevertheless")


def _follow(_: str, place: str) -> FileNode:
    """Returns the node of a local folder that a document about to be written names: the source was opened, so what it links to was allowed."""
    return storage.file_node(place, follow_links=True)


# --- in place: documents alone


def _in_place(opened: Opened, plan: ConversionPlan, dry_run: bool, strict: bool, watch: Watch, table: Sequence[Layout]) -> ConversionResult:
    root = local_root(opened)
    before = read_documents(root)
    plan = replace(plan, lost=(*plan.lost, *proven(plan, final_documents(plan, before, root), table)))
    _refuse_losses(opened, plan, strict)
    plan = without_present(opened, plan)
    changes = changes_of(plan, before, root)
    notes = [*sentences(plan.notes), *(stale_copies_above(root) if changes else [])]
    if changes and not dry_run:
        with locked(root):
            write_small(FileStore(root), plan)
            write_changes(Folder(root, watch), changes)
    arrays = tuple((move.source, move.target, move.how) for move in plan.moves) if changes else ()
    return ConversionResult(str(root), str(root), plan.source, plan.to, changes, arrays, tuple(plan.files.items()), plan.lost, tuple(notes), dry_run)


def local_root(opened: Opened) -> Path:
    """Returns the folder of a source whose documents are to change. Raises UnsupportedError for one that is not local."""
    root = Path(opened.node.location)
    if not isinstance(opened.target, (str, os.PathLike)) or not root.is_dir():
        raise UnsupportedError(f"{opened.node.location}: documents are changed in place on local folders only; say a target, or copy the store here first")
    return root


Documents = dict[str, Mapping[str, JSON]]


def changes_of(plan: ConversionPlan, before: Hierarchy, root: Path | None = None) -> tuple[Change, ...]:
    """Returns the documents that differ from those `before`, in a safe order: arrays, groups from the deepest up, the group itself, copies."""
    old, documents, final = _documents(plan, before, root)
    order = [*documents, *(key for key in final if key not in documents)]
    changed = [Change(*_split(key), old.get(key), final.get(key, documents.get(key))) for key in order if final.get(key, documents.get(key)) != old.get(key)]
    return tuple(sorted(changed, key=lambda change: (change.file == ".zmetadata", change.path == "")))


def final_documents(plan: ConversionPlan, before: Hierarchy, root: Path | None = None) -> Documents:
    """Returns every document as it will be."""
    _, documents, final = _documents(plan, before, root)
    return {**documents, **final}


def _documents(plan: ConversionPlan, before: Hierarchy, root: Path | None) -> tuple[Documents, Documents, Documents]:
    """Returns the documents as they are, those that the plan speaks of, and all of them afterwards with fresh copies."""
    written: dict[str, JSON] = {}
    n5 = {} if root is None else {write.path: _n5_document(root, write.path) for write in plan.nodes if plan.container == "n5"}
    there = {_key(path, "attributes.json"): document for path, document in n5.items()}
    for path, small in plan.arrays.items():
        written |= {f"{path}/{name}": document for name, document in array_documents(small_spec(small, _zarr_format(plan))).items()}
    for write in plan.nodes:
        written |= node_documents(write, plan, {**before, **there})
    documents = {key: value for key, value in written.items() if isinstance(value, Mapping)}
    final = with_fresh_copies(before, {**before, **documents}, plan.consolidated)
    return {**before, **{key: document for key, document in there.items() if document}}, documents, final


def node_documents(write: NodeWrite, plan: ConversionPlan, before: Hierarchy) -> dict[str, JSON]:
    """Returns the documents of one node by key; what it does not say stays as it is `before`."""
    path = write.path
    if plan.container == "zarr3":
        key = _key(path, "zarr.json")
        base = before.get(key) or {"zarr_format": 3, "node_type": "group"}
        attributes = base.get("attributes", {}) if write.attributes is None else write.attributes
        document = {**(base if write.document is None else write.document), "attributes": attributes}
        return {key: document}
    if plan.container == "n5":
        key = _key(path, "attributes.json")
        old = before.get(key, {})
        said = old if write.attributes is None else write.attributes
        version = {"n5": old.get("n5", N5_VERSION)} if not path and "n5" not in said else {}
        return {key: {**version, **said, **(write.document or {})}}
    name = ".zgroup" if write.document is None else ".zarray"
    found: dict[str, JSON] = {_key(path, name): write.document or before.get(_key(path, name)) or {"zarr_format": 2}}
    attributes_key = _key(path, ".zattrs")
    if write.attributes is not None and (write.attributes or attributes_key in before):
        found[attributes_key] = write.attributes
    return found


def _n5_document(root: Path, path: str) -> Mapping[str, JSON]:
    file = root / path / "attributes.json"
    value = json.loads(file.read_bytes()) if file.is_file() else {}
    return value if isinstance(value, dict) else {}


def write_changes(folder: Folder, changes: Sequence[Change]) -> None:
    """Writes documents one by one in their order, each whole or not at all; when one fails, those before it are put back. Raises StorageError."""
    done: list[Change] = []
    try:
        for change in changes:
            if change.new is None:
                folder.delete(change.key)
            else:
                folder.put(change.key, change.new)
            done.append(change)
    except (StorageError, KeyboardInterrupt):
        for change in reversed(done):
            if change.old is None:
                folder.delete(change.key)
            else:
                folder.put(change.key, change.old)
        raise


def _key(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _split(key: str) -> tuple[str, str]:
    path, _, name = key.rpartition("/")
    return path, name


# --- small arrays and files


def without_present(opened: Opened, plan: ConversionPlan) -> ConversionPlan:
    """Returns a plan in place without the small arrays that are there already. Raises LayoutError for one that says something else."""
    missing = {}
    for path, small in plan.arrays.items():
        there = opened.node.child(path)
        if there.kind == "absent":
            missing[path] = small
        elif opened.node.values(path) != tuple(small.values):
            raise LayoutError(f"{there.location}: is there already, and does not hold the coordinates that {plan.to} wants; say a target")
    return replace(plan, arrays=missing)


def write_small(store: ByteStore, plan: ConversionPlan) -> None:
    """Writes the small arrays and the files of a plan."""
    if plan.arrays and plan.container == "n5":
        raise UnsupportedError(f"{plan.to}: coordinates are not written in N5; take a Zarr container")
    write_small_arrays(store, "", plan.arrays, _zarr_format(plan))
    write_files(store, "", plan.files)


def _zarr_format(plan: ConversionPlan) -> int:
    return 2 if plan.container == "zarr2" else 3


# --- a new store


def _new_store(opened: Opened, plan: ConversionPlan, target: object, dry_run: bool, n_threads: int, watch: Watch) -> ConversionResult:
    changes = _new_changes(opened, plan)
    place = _local(target)
    location = str(place) if place is not None else repr(target) if not isinstance(target, str) else target
    if place is not None:
        _refuse(opened, plan, place)
    notes = sentences(plan.notes)
    n_stored = 0
    if not dry_run:
        if place is not None:
            n_stored = _staged(opened, plan, changes, place, n_threads, watch)
        else:
            if storage.open_node(target).kind != "absent":
                raise TargetExists(f"{location}: already there; name another place, or remove it first")
            n_stored = _fill(opened, plan, changes, storage.open_store(target, writable=True), n_threads, None)
    arrays = tuple((move.source, move.target, move.how) for move in plan.moves)
    return ConversionResult(
        opened.node.location, location, plan.source, plan.to, changes, arrays, tuple(plan.files.items()), plan.lost, tuple(notes), dry_run, n_stored
    )


def _new_changes(opened: Opened, plan: ConversionPlan) -> tuple[Change, ...]:
    """Returns the documents of a new store; the group keeps a consolidated copy where the source's had one."""
    kept = opened.node.container in ("zarr2", "zarr3") and opened.node.consolidated() is not None and plan.container != "n5"
    if kept and any(write.path == "" for write in plan.nodes):
        plan = replace(plan, consolidated=tuple(dict.fromkeys([*plan.consolidated, ""])))
    return changes_of(plan, {})


def _local(target: object) -> Path | None:
    if isinstance(target, os.PathLike) or (isinstance(target, str) and "://" not in named_place(target, "target")):
        return Path(target).absolute()
    return None


def _refuse(opened: Opened, plan: ConversionPlan, place: Path) -> None:
    """Raises TargetExists where something is already, or an unfinished conversion of another kind lies; OptionError inside the source."""
    here = Path(opened.node.location)
    if here.exists():
        a, b = here.resolve(), place.resolve()
        if a == b or a in b.parents or b in a.parents:
            raise OptionError(f"target {str(place)!r}: lies inside the source, or around it; name a place beside {here}")
    if os.path.lexists(place):
        raise TargetExists(f"{place}: already there; name another place, or remove it first")
    mine = _staging(opened, plan, place)
    others = [left for left in place.parent.glob(f".{place.name}.ziggurat-new-*") if left != mine] if place.parent.is_dir() else []
    if others:
        raise TargetExists(f"{others[0]}: an unfinished conversion with other options or of another source; run that command again, or remove the folder")


def _staging(opened: Opened, plan: ConversionPlan, place: Path) -> Path:
    return place.with_name(f".{place.name}.ziggurat-new-{_fingerprint(opened, plan)}")


def _fingerprint(opened: Opened, plan: ConversionPlan) -> str:
    """Returns what tells one conversion from another: the source's arrays as they are now, and every document of the target."""
    moves = [[move.source, move.target, move.how, list(move.order or ()), None if move.stored is None else move.stored.document] for move in plan.moves]
    nodes = [[write.path, write.attributes] for write in plan.nodes]
    stamps = []
    root = Path(opened.node.location)
    for move in plan.moves:
        folder = root / move.source
        stamps.append(folder.stat().st_mtime_ns if folder.is_dir() else 0)
    text = json.dumps([opened.node.location, plan.to, moves, nodes, stamps], default=dict, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _staged(opened: Opened, plan: ConversionPlan, changes: Sequence[Change], place: Path, n_threads: int, watch: Watch) -> int:
    """Makes the store beside its place and moves it there when it is whole."""
    staging = _staging(opened, plan, place)
    fingerprint = _fingerprint(opened, plan)
    try:
        staging.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{staging}: cannot be made ({error.strerror}); name a place that can be written to") from error
    store = FileStore(staging)
    with locked(staging):
        journal = Journal(store, fingerprint)
        journal.open(json.dumps({"work": "convert", "to": plan.to, "source": opened.node.location}))
        n_stored = _fill(opened, plan, changes, store, n_threads, journal, watch)
        Folder(staging).sweep()
        shutil.rmtree(staging / FOLDER / fingerprint)
        store.sync()
        watch("move", place.name)
    try:
        (staging / FOLDER).rmdir() if (staging / FOLDER).is_dir() else None
        if os.path.lexists(place):
            raise TargetExists(f"{place}: appeared while it was being made; the new store is {staging}")
        staging.replace(place)
    except OSError as error:
        if isinstance(error, TargetExists):
            raise
        raise StorageError(f"{place}: cannot be put in place ({error.strerror}); the new store is {staging}") from error
    return n_stored


def _fill(
    opened: Opened,
    plan: ConversionPlan,
    changes: Sequence[Change],
    store: ByteStore,
    n_threads: int,
    journal: Journal | None,
    watch: Watch = nothing,
) -> int:
    """Writes documents of arrays, samples, small arrays and files, and the groups' documents last."""
    arrays = {write.path for write in plan.nodes if write.kind == "array"} | set(plan.arrays)
    early = [change for change in changes if change.path in arrays and change.file in (*NAMES, "attributes.json")]
    storage.write_documents(store, [(change.key, change.new) for change in early])
    watch("documents", "arrays")
    n_stored = run(batches(opened, plan.moves, store, ""), n_threads, journal)
    watch("samples", "")
    write_small(store, plan)
    storage.write_documents(store, [(change.key, change.new) for change in changes if change not in early])
    return n_stored
