"""A local folder as the few operations that an upgrade is made of, each of which happens wholly or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ziggurat.chunkio import PARTIAL_SUFFIX, FileStore
from ziggurat.conversion import NAMES
from ziggurat.model import JSON
from ziggurat.node import dumps, loads
from ziggurat.problems import DocumentError, PathError, StorageError

JOURNAL_FOLDER = ".ziggurat"
JOURNAL = f"{JOURNAL_FOLDER}/upgrade.json"
_BEGUN = re.compile(rf"\.[0-9a-f]+(-[0-9a-f]+)?{re.escape(PARTIAL_SUFFIX)}$")
"""What `FileStore` and `copy_file` add to the name of a file that is not yet whole: the process, the number of the file."""

Watch = Callable[[str, str], None]
"""Told `(operation, key)` before every operation: `put`, `link`, `copy`, `delete`."""


def nothing(operation: str, key: str) -> None:
    """Watches nothing."""


class Folder:
    """A folder that is written to. Every operation is told to `watch` first; a failure is a StorageError that names the file."""

    def __init__(self, root: Path, watch: Watch = nothing) -> None:
        self.root = root
        self._watch = watch
        self._store = FileStore(root)

    def put(self, key: str, document: Mapping[str, JSON]) -> None:
        """Writes a document beside its place, syncs it, moves it over: a reader sees the old or the new one."""
        self._watch("put", key)
        self._store.put_synced(key, [dumps(document, key)])

    def delete(self, key: str) -> None:
        """Removes a file; one that is gone already is no error."""
        self._watch("delete", key)
        self._store.delete(key)

    def link(self, old: str, new: str) -> None:
        """Gives a file a second name, by a hard link or, where the file system has none, by a copy."""
        self._watch("link", new)
        source, target = self.root / old, self.root / new
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                if target.samefile(source):
                    return
                target.unlink()  # an unfinished copy of an interrupted run; no document names it yet
            try:
                os.link(source, target)
            except OSError:
                copy_file(source, target)
        except OSError as error:
            raise _failed(target, "written", error) from error

    def copy(self, source: Path, key: str) -> None:
        """Copies a file into the folder; one of that name and size, as an interrupted run left it, is whole already."""
        self._watch("copy", key)
        target = self.root / key
        try:
            if target.exists() and target.stat().st_size == source.stat().st_size:
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_file(source, target)
        except OSError as error:
            raise _failed(target, "written", error) from error

    def sync(self, path: str) -> None:
        """Returns when the names of the files directly in a folder of the root are on the disk."""
        try:
            descriptor = os.open(self.root / path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _failed(self.root / path, "synced", error) from error

    def journal(self) -> Mapping[str, JSON] | None:
        """Returns what an interrupted upgrade left to do, None when there is none."""
        data = self._store.get(JOURNAL)
        if data is None:
            return None
        value = loads(data, f"{self.root}/{JOURNAL}")
        if not isinstance(value, Mapping) or "to" not in value:
            raise DocumentError(f"{self.root}/{JOURNAL}: no journal of an upgrade (expected an object with 'to'); remove the file")
        return value

    def sweep(self, below: str = "") -> None:
        """Removes what a killed run left below a folder of the root: files that were begun beside their place and never moved over."""
        for folder, _, names in os.walk(self.root / below):
            for name in names:
                if _BEGUN.search(name):
                    self.delete((Path(folder) / name).relative_to(self.root).as_posix())

    def forget(self) -> None:
        """Removes the journal, and its folder when nothing else lies in it."""
        self.sweep(JOURNAL_FOLDER)
        self.delete(JOURNAL)
        folder = self.root / JOURNAL_FOLDER
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def copy_file(source: Path, target: Path) -> None:
    """Copies the bytes of a file beside the target's place and moves them over. Raises OSError."""
    partial = target.with_name(f"{target.name}.{os.getpid():x}{PARTIAL_SUFFIX}")
    try:
        shutil.copyfile(source, partial)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _failed(path: Path, verb: str, error: OSError) -> StorageError:
    failure = StorageError(f"{path}: cannot be {verb} ({error.strerror or error}); run the same command again when that is mended")
    failure.errno = error.errno
    return failure


def read_documents(root: Path) -> dict[str, Mapping[str, JSON]]:
    """Returns every metadata document below a folder: key relative to it -> JSON. Chunk folders are not entered.

    Raises
    ------
    PathError
        A folder or a document is a symbolic link: what it leads to may belong to someone else.
    DocumentError
        A document is no strict JSON object.
    StorageError
        A folder or a document cannot be read.
    """
    found: dict[str, Mapping[str, JSON]] = {}
    for folder, key in _walk(root):
        for name in NAMES:
            if (folder / name).is_symlink():
                raise PathError(f"{folder / name}: a link to another file; copy the document in before upgrading")
            try:
                data = (folder / name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise StorageError(f"{folder / name}: cannot be read ({error.strerror}); check the permissions and the disk") from error
            value = loads(data, str(folder / name))
            if not isinstance(value, Mapping):
                raise DocumentError(f"{folder / name}: expected an object, found {value!r:.40}")
            found[f"{key}{name}"] = value
    return found


def _walk(root: Path) -> Iterator[tuple[Path, str]]:
    """Yields the folders that can be nodes, with the start of their keys; not what lies inside an array."""
    waiting = [(root, "")]
    while waiting:
        folder, key = waiting.pop()
        yield folder, key
        if _is_array(folder):
            continue
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            for entry in entries:
                if entry.is_symlink() and entry.is_dir():
                    raise PathError(f"{entry.path}: a link to another folder; copy the data in before upgrading")
                if entry.is_dir() and not entry.name.startswith("."):
                    waiting.append((folder / entry.name, f"{key}{entry.name}/"))
        except OSError as error:
            raise StorageError(f"{folder}: cannot be listed ({error.strerror}); check the permissions and the disk") from error


def _is_array(folder: Path) -> bool:
    if (folder / ".zarray").exists():
        return True
    document = folder / "zarr.json"
    if not document.exists():
        return False
    value = loads(document.read_bytes(), str(document))
    return isinstance(value, Mapping) and value.get("node_type") == "array"


def chunk_names(folder: Path, ndim: int, separator: str) -> Iterator[str]:
    """Yields the names of an array's stored chunks whose indices are joined by `.`, the only separator that gives plain names."""
    pattern = re.compile(rf"\d+({re.escape(separator)}\d+){{{ndim - 1}}}")
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if pattern.fullmatch(entry.name) and entry.is_file():
                    yield entry.name
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{folder}: cannot be listed ({error.strerror}); check the permissions and the disk") from error
