"""An upgrade into a new store: stored chunks are copied as they are, the source is never opened for writing.

Order: the journal, every file that is no document, the samples whose axes change places, the documents of arrays and groups, the
root's last, the journal's removal. No reader sees a group before the root's document is there; running it again goes on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ziggurat.chunkio import FileStore, chunk_indices, chunk_region, fill_scalar, padded, why_not
from ziggurat.conversion import NAMES, Hierarchy, Renaming, UpgradePlan
from ziggurat.model import JSON
from ziggurat.node import parse_array_document
from ziggurat.problems import OptionError, PathError, StorageError, TargetExists
from ziggurat.storage import open_array, open_writer
from ziggurat.transfer.folder import JOURNAL, JOURNAL_FOLDER, Folder

_CHUNK = re.compile(r"c|(c[/.])?\d+([/.]\d+)*")
"""A chunk key below its array, in every spelling of Zarr v2 and v3."""


def refuse_target(source: Path, target: Path, to: str) -> None:
    """Raises when `target` cannot be written: OptionError when one lies inside the other, TargetExists when something is there.

    A target that an interrupted run of the same upgrade left is none: that run goes on.
    """
    a, b = source.resolve(), target.resolve()
    if a == b or a in b.parents or b in a.parents:
        raise OptionError(f"dest {str(target)!r}: lies inside the source, or around it; name a place beside {source}")
    if not os.path.lexists(target):
        return
    journal = Folder(target).journal() if target.is_dir() else None
    if journal is None or journal.get("to") != to or journal.get("source") != str(a):
        raise TargetExists(f"{target}: already there; name another place, or remove it first")


def write(source: Path, folder: Folder, plan: UpgradePlan, documents: Hierarchy, final: Mapping[str, Mapping[str, JSON]]) -> int:
    """Writes the upgraded store into `folder`; returns the number of files that were copied.

    Parameters
    ----------
    documents, final
        Every metadata document of the source, and of the new store, by key.

    Raises
    ------
    PathError
        A file of the source is a link that leads out of it.
    StorageError
        An operation failed; running it again goes on.
    """
    for _ in _files(source):  # what cannot be copied is found before anything is written
        pass
    if folder.journal() is not None:
        folder.sweep()
    folder.put(JOURNAL, {"work": "upgrade", "to": plan.to, "source": str(source.resolve())})
    n_copied = 0
    renamings = {renaming.path: renaming for renaming in plan.renamings}
    for key in _files(source):
        path, _, name = key.rpartition("/")
        if key in documents or any(_is_chunk_of(array, key) for array in plan.permutations):
            continue
        folder.copy(source / key, _renamed(path, name, renamings.get(path)))
        n_copied += 1
    for path in plan.permutations:
        _transpose(source, folder, path, plan.permutations[path], documents, final)
    for key in sorted(final, key=lambda key: _order(key, final)):
        folder.put(key, final[key])
    folder.forget()
    return n_copied


def _files(source: Path) -> Iterator[str]:
    """Yields the keys of all files below the source but our own journals'. Raises PathError for a link that leads out of it."""
    root = source.resolve()
    for folder, names, files in os.walk(source, onerror=_unreadable):
        names[:] = sorted(name for name in names if name != JOURNAL_FOLDER)
        for name in sorted(files):
            path = Path(folder) / name
            if path.is_symlink() and root not in path.resolve().parents:
                raise PathError(f"{path}: a link to {path.resolve()}, outside the source; copy the file in before upgrading")
            yield path.relative_to(source).as_posix()


def _unreadable(error: OSError) -> None:
    raise StorageError(f"{error.filename}: cannot be listed ({error.strerror}); check the permissions") from error


def _renamed(path: str, name: str, renaming: Renaming | None) -> str:
    parts = name.split(renaming.old) if renaming is not None else []
    if renaming is not None and len(parts) == renaming.ndim and all(part.isdigit() for part in parts):
        name = renaming.new.join(parts)
    return f"{path}/{name}" if path else name


def _is_chunk_of(array: str, key: str) -> bool:
    """True when `key` is a stored chunk or shard of the array at path `array`."""
    return key.startswith(f"{array}/") and _CHUNK.fullmatch(key[len(array) + 1 :]) is not None


def _order(key: str, final: Hierarchy) -> tuple[bool, int, str, int]:
    """Sorts documents: arrays', then groups' from the deepest up, the root's last; the attributes after the node's own document."""
    path, _, name = key.rpartition("/")
    start = f"{path}/" if path else ""
    is_group = f"{start}.zarray" not in final and final.get(f"{start}zarr.json", {}).get("node_type") != "array"
    return is_group, -key.count("/"), path, NAMES.index(name)


def _transpose(source: Path, folder: Folder, path: str, order: tuple[int, ...], documents: Hierarchy, final: Hierarchy) -> None:
    """Writes one array's samples with their axes in another order, a chunk at a time; where there are shards, one row of them is held.

    Chunks that are not stored stay so; every other one is stored, even where it holds nothing but the fill value.
    """
    reader = open_array(FileStore(source, read_only=True), path, *_document(path, documents))
    document, zarr_format = _document(path, final)
    if why_not(document, zarr_format) is not None:
        folder.put(f"{path}/{'zarr.json' if zarr_format == 3 else '.zarray'}", document)  # zarr-python opens what is on the disk
    sharded = parse_array_document(document, zarr_format).shards is not None
    writer = open_writer(FileStore(folder.root), path, document, zarr_format, write_empty=not sharded)
    fill = fill_scalar(document.get("fill_value"), reader.dtype)
    stored = np.empty(reader.chunks, reader.dtype)
    backwards = tuple(order.index(axis) for axis in range(len(order)))
    for index in chunk_indices(writer.shape, writer.chunks):
        old = tuple(index[axis] for axis in backwards)
        if reader.read(old, stored) or sharded:
            region = chunk_region(old, reader.chunks, reader.shape)
            held = stored[tuple(slice(0, s.stop - s.start) for s in region)].transpose(order)
            writer.write(index, padded(held, writer.chunks, fill))


def _document(path: str, documents: Hierarchy) -> tuple[Mapping[str, JSON], int]:
    zarr_format = 3 if f"{path}/zarr.json" in documents else 2
    return documents[f"{path}/{'zarr.json' if zarr_format == 3 else '.zarray'}"], zarr_format
