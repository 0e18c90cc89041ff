"""Who decodes an array: the table from `ArrayInfo.driver` to what opens it. A driver imports its library when it is used."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ziggurat import storage
from ziggurat.chunkio import ChunkReader
from ziggurat.model import JSON
from ziggurat.problems import UnsupportedError


@dataclass(frozen=True, slots=True)
class Stored:
    """An array that is about to be opened."""

    target: object
    """What `storage.open_store` takes: a path, a URL, a store."""
    path: str
    """Path of the array below `target`."""
    location: str
    """Where it is, for messages."""
    document: Mapping[str, JSON]
    """The array's own metadata, or what the layout composed for the driver (`ArrayInfo.document`)."""
    zarr_format: int | None


def _n5(stored: Stored) -> ChunkReader:
    from ziggurat.storage.n5 import N5Array

    return N5Array(storage.open_store(stored.target), stored.path, stored.document)


def _n5_multiset(stored: Stored) -> ChunkReader:
    from ziggurat.storage.n5multisets import N5Multisets

    return N5Multisets(storage.open_store(stored.target), stored.path, stored.document)


def _precomputed(stored: Stored) -> ChunkReader:
    from ziggurat.storage.precomputed import PrecomputedScale

    scale = stored.document.get("scale")
    key = str(scale.get("key")).strip("/") if isinstance(scale, Mapping) else ""
    above = stored.path.removesuffix("/".join(part for part in key.split("/") if part not in ("", "."))).rstrip("/")
    place = os.fspath(stored.target) if isinstance(stored.target, str | os.PathLike) else None
    root = None if place is None else "/".join(part for part in (place.rstrip("/"), above) if part)
    return PrecomputedScale(storage.open_store(stored.target), stored.path, stored.document, root=root)


def _tiff(stored: Stored) -> ChunkReader:
    from ziggurat.sources.tifflevels import open_level

    return open_level(stored.document)


def _zarr(stored: Stored) -> ChunkReader:
    return storage.open_array(storage.open_store(stored.target), stored.path, stored.document, stored.zarr_format or 2, location=stored.location)


DRIVERS: Mapping[str, Callable[[Stored], ChunkReader]] = MappingProxyType(
    {
        "zarr": _zarr,
        "n5": _n5,
        "n5-multiset": _n5_multiset,
        "precomputed": _precomputed,
        "tiff": _tiff,
    }
)
"""Name of a driver -> what opens an array with it, in C order."""


def open_array(driver: str, stored: Stored) -> ChunkReader:
    """Returns the reader of an array. Raises what the driver raises, and UnsupportedError for one that is not known."""
    if driver not in DRIVERS:
        raise UnsupportedError(f"{stored.location}: its samples are stored as {driver!r}, which can be described but not read; there are {', '.join(DRIVERS)}")
    return DRIVERS[driver](stored)
