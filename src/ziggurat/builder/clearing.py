"""What goes: what is replaced in a store where nothing can be moved aside, and what a build began that can never be finished."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath

from ziggurat import layouts, storage
from ziggurat.builder.publish import group_documents, multiscale_of
from ziggurat.builder.site import Site
from ziggurat.builder.targets import Destination, kept_series, replaced_levels
from ziggurat.chunkio import FileStore, TargetStore, delete_all
from ziggurat.journal import FOLDER, unfinished
from ziggurat.locking import LOCK
from ziggurat.version import __version__

_MARK = f"{FOLDER}/clearing"
_ROOT = (".zmetadata", "zarr.json", ".zattrs", ".zgroup", ".zarray")
"""Documents that make a group seen; removed first, so that no reader sees a group with some of its chunks."""


def is_clearing(home: TargetStore) -> bool:
    """True when a build was stopped while it removed what it replaces. Raises StorageError."""
    return home.size(_MARK) is not None


def clear_old(site: Site, destination: Destination) -> None:
    """Removes what a build replaces in a store that cannot move things aside; goes on where an earlier run was stopped doing so.

    Raises StorageError.
    """
    home = site.home
    if home is None or site.folder is not None:
        return
    left = home.get(_MARK)
    if left is None and (not destination.overwrite or site.plan.fingerprint in unfinished(home)):
        return
    paths = [str(path) for path in json.loads(bytes(left))] if left is not None else []
    if site.plan.in_place:
        paths = list(dict.fromkeys([*paths, *replaced_levels(destination, site.plan), *(site.path(k) for k in site.written)]))
        home.put(_MARK, [json.dumps(paths).encode()])
        if destination.series:
            _without_replaced(site, destination)
        others = [f"{FOLDER}/{name}" for name in unfinished(home) if name != site.plan.fingerprint]
        _remove(home, [key for path in (*paths, *others) for key in home.keys(path)])
    else:
        home.put(_MARK, [b"[]"])
        _remove(home, home.keys(""))
    home.delete(_MARK)


def own_arrays(site: Site) -> tuple[str, ...]:
    """Returns the paths inside the group where a local build will make arrays and where nothing is yet; asked before it makes them."""
    if site.folder is None:
        return ()
    folder, skipped = site.folder, len(site.prefix)
    return tuple(path for path in (site.key(k)[skipped:] for k in site.written) if not (folder / path).exists())


def withdraw(site: Site, paths: Sequence[str]) -> None:
    """Removes arrays that a build made before it found that what was said is wrong, and the folders that held nothing else."""
    if site.folder is None or not isinstance(site.home, FileStore):
        return
    for path in paths:
        site.home.remove_all(path)
        for parent in PurePath(path).parents[:-1]:
            remove_empty(site.folder / parent)


def remove_empty(folder: Path) -> None:
    """Removes a folder that holds nothing; leaves any other."""
    with suppress(OSError):
        folder.rmdir()


def _remove(home: TargetStore, keys: Sequence[str]) -> None:
    kept = {_MARK, f"{FOLDER}/{LOCK}"}
    for name in _ROOT:
        if name in keys:
            home.delete(name)
    delete_all(home, [key for key in keys if key not in kept and key not in _ROOT])


def _without_replaced(site: Site, destination: Destination) -> None:
    """Writes the group's documents with the series that stay, and the base alone in the place of those that go: so the group keeps its name."""
    plan, kept = site.plan, kept_series(destination, site.plan)
    alone = multiscale_of(replace(plan, levels=plan.levels[:1]), __version__)
    series = [m for m in destination.series if m in kept]
    series.insert(next((i for i, m in enumerate(destination.series) if m not in kept), len(series)), alone)
    written = layouts.find(plan.layout).write(series, version=layouts.version_of(plan.layout), existing=destination.attributes, display=None)
    storage.write_documents(site.store, group_documents(site, written.attributes[""], built=False))
