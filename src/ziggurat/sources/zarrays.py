"""Stored arrays as sources: Zarr, N5, and what a layout names: a path, a URL, a store, a group with a multiscale, or an array of zarr-python's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from ziggurat import layouts, storage
from ziggurat.chunkio import AnyArray, ByteStore, ChunkReader
from ziggurat.model import ArrayInfo, Axis, Kind, Level, Multiscale, SourceInfo
from ziggurat.node import Node
from ziggurat.problems import DocumentError, NotFound, OptionError
from ziggurat.sources import drivers
from ziggurat.sources.blocks import axis_of, checked_dtype, checked_shape, file_stamp, sampled, stem

_ANCESTORS = 3
"""How far above an array its multiscale is looked for: `scale0/image` needs 2, a labels series one more."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an array is: something that can be opened again, and two paths inside it."""

    root: object
    """A path, a URL or a store object."""
    group: str | None
    """Path of the group inside `root`; None for an array without a group."""
    path: str
    """Path of the array inside the group."""

    @property
    def key(self) -> str:
        """Path of the array inside `root`."""
        return "/".join(part for part in (self.group, self.path) if part)


class ZarrSource:
    """A stored array, read chunk by chunk by its driver: for Zarr, by the fast path where it can."""

    def __init__(self, place: Place, info: SourceInfo, store: ByteStore, reader: ChunkReader) -> None:
        self.place = place
        self._info = info
        self._store = store
        self._reader = reader

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def store(self) -> ByteStore:
        """The store of `place.root`, for copying encoded chunks as they are."""
        return self._store

    @property
    def reader(self) -> ChunkReader:
        """What decodes the chunks."""
        return self._reader

    @property
    def shape(self) -> tuple[int, ...]:
        return self._reader.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._reader.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        return self._reader.chunks

    def read(self, index: tuple[int, ...], out: AnyArray) -> bool:
        """Decodes one chunk into `out`; False where it is not stored. Raises StorageError naming the key."""
        return self._reader.read(index, out)

    def close(self) -> None:
        """Nothing is held open between reads."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return _source, (self.place, self._info)


def _source(place: Place, info: SourceInfo) -> ZarrSource:
    """Opens the store and the reader of an array whose facts are known, here or in another process."""
    document = info.array.document or info.array_document
    if document is None:
        raise NotFound(f"{info.location}: no array there; list what is there with 'ziggurat info'")
    stored = drivers.Stored(place.root, place.key, info.location, document, info.array.zarr_format)
    return ZarrSource(place, info, storage.open_store(place.root), drivers.open_array(info.array.driver, stored))


def open_zarr(root: object, *, path: str = "") -> ZarrSource:
    """Returns the source of a stored array, of level 0 of a group's multiscale, or of the only array of a group.

    `root` is a path, a URL or a store; `path` leads to the node inside it. Raises NotFound, DocumentError, OptionError (several
    arrays) and UnsupportedError (dtype, shape).
    """
    top = storage.open_node(root)
    path = path.strip("/")
    node = top.child(path) if path else top
    if node.kind in ("absent", "folder") and not any(e.holds == "levels" for e in layouts.detect(node)):
        raise NotFound(f"{node.location}: no Zarr array or group there")
    if node.kind != "array":
        series, level = _base_of_group(node)
        place = Place(root, path, level.path)
        return _described(place, node, node.child(level.path), series)
    for place, group in _groups_above(root, path):
        series_here = _series_with(group, place.path)
        if series_here is not None:
            return _described(place, group, node, series_here)
    nearest = next(((place, group) for place, group in _groups_above(root, path) if group.kind == "group"), None)
    if nearest is None or "/" in nearest[0].path:
        return _described(Place(root, None, path), None, node, None)
    return _described(nearest[0], nearest[1], node, None)


def open_zarr_object(thing: object, *, path: str = "") -> ZarrSource:
    """Returns the source of a `zarr.Array`, a `zarr.Group` or a store; what lies in a local folder is read from there."""
    store = getattr(thing, "store", thing)
    inside = getattr(thing, "path", "") if store is not thing else ""  # a store over fsspec has a path that is part of it
    path = "/".join(part for part in (inside, path) if part)
    folder = getattr(store, "root", None)
    if isinstance(folder, Path):
        return open_zarr(str(folder.resolve() / path))
    return open_zarr(store, path=path)


def _groups_above(root: object, path: str) -> Iterator[tuple[Place, Node]]:
    """Yields the groups above an array, nearest first, each with the array's place as seen from it."""
    if isinstance(root, str | Path) and not path:
        text = str(root).rstrip("/")
        head, _, name = text.rpartition("/")
        for _ in range(_ANCESTORS):
            if not head or head.endswith((":", ":/", "//")):
                return
            yield Place(head, "", name), storage.open_node(head)
            head, _, last = head.rpartition("/")
            name = f"{last}/{name}"
        return
    parts = PurePosixPath(path).parts
    top = storage.open_node(root)
    for k in range(1, min(_ANCESTORS, len(parts)) + 1):
        above = "/".join(parts[:-k])
        yield Place(root, above, "/".join(parts[-k:])), top.child(above) if above else top


def _series_with(group: Node, path: str) -> Multiscale | None:
    """Returns the multiscale of a group whose base is the array at `path`."""
    if group.kind != "group" or not layouts.holds_levels(group):
        return None
    return next((m for m in layouts.read(group).multiscales if m.levels and m.levels[0].path == path), None)


def _base_of_group(group: Node) -> tuple[Multiscale | None, Level]:
    """Returns the multiscale of a group and its base, or no multiscale and the group's only array."""
    found = layouts.read(group) if layouts.holds_levels(group) else layouts.ReadResult(group.location, (), (), ())
    for series in found.multiscales:
        if series.levels and series.levels[0].array is not None:
            return series, series.levels[0]
    broken = [problem for problem in found.problems if problem.requirement == "MUST"]
    if broken:
        raise DocumentError(f"{group.location}: its multiscale cannot be read ({broken[0]}); name the array itself", broken)
    arrays = [name for name in group.children() if group.child(name).kind == "array"]
    if not arrays:
        raise NotFound(f"{group.location}: a group without a multiscale and without arrays; name the array itself")
    if len(arrays) > 1:
        listed = ", ".join(sorted(arrays)[:8]) + (", ..." if len(arrays) > 8 else "")
        raise OptionError(f"{group.location}: a group of {len(arrays)} arrays without a multiscale ({listed}); name one of them")
    return None, Level(arrays[0])


def _described(place: Place, group: Node | None, node: Node, series: Multiscale | None) -> ZarrSource:
    """Returns the source with everything that the documents state."""
    base = series.levels[0] if series else None
    facts = base.array if base and base.array else node.array
    if facts is None:
        raise NotFound(f"{node.location}: no array there")
    checked_shape(facts.shape, node.location)
    checked_dtype(facts.dtype, node.location)
    is_zarr = facts.driver == "zarr"
    if not is_zarr and facts.document is None:
        facts = replace(facts, document=node.array_document)
    axes = series.axes if series else _named_axes(facts)
    kind, reason = (series.kind, f"{series.layout} says so") if series and series.kind else _kind(group, node)
    location = group.location if group else node.location
    info = SourceInfo(
        location=node.location,
        name=_name(place, location, series),
        array=facts,
        axes=axes or None,
        scale=base.scale if base and base.scale_provenance in ("stated", "derived") else None,
        translation=base.translation if base and base.translation_provenance in ("stated", "derived") else None,
        kind=kind,
        kind_reason=reason,
        array_document=node.array_document if is_zarr else None,
        group=group.location if group and is_zarr else None,
        path=place.path if group else "",
    )
    source = _source(place, info)
    return ZarrSource(place, replace(info, stamps=_stamps(source)), source.store, source.reader)


def _named_axes(facts: ArrayInfo) -> tuple[Axis, ...] | None:
    """Returns axes from the array's dimension names, None unless every axis has a name of its own."""
    names = tuple(name for name in facts.dimension_names or () if name)
    return tuple(axis_of(name) for name in names) if len(set(names)) == len(facts.shape) else None


def _kind(group: Node | None, node: Node) -> tuple[Kind | None, str]:
    """Returns what the documents say about the meaning of the samples, and where they say it."""
    if "flag_values" in node.attributes or "flag_meanings" in node.attributes:
        return "labels", "CF flag_values of the array"
    if group is None:
        return None, ""
    ome = group.attributes.get("ome")
    if "image-label" in group.attributes or (isinstance(ome, Mapping) and "image-label" in ome):
        return "labels", "image-label of the group"
    if "labels" in PurePosixPath(group.location.rstrip("/")).parts[-2:-1]:
        return "labels", "the group lies in a labels group"
    return None, ""


def _name(place: Place, location: str, series: Multiscale | None) -> str:
    """Returns the multiscale's name, else the group's or the array's stem, whichever says more than a level number."""
    if series is not None:
        return series.name or stem(location)
    last = place.path.rpartition("/")[2]
    return stem(last) if last and not last.strip("sS").isdigit() else stem(location)


def _stamps(source: ZarrSource) -> tuple[tuple[str, str], ...]:
    """Returns the sizes (and, for local files, times of change) of up to 8 evenly spread chunk objects."""
    facts = source.info.array
    grid = tuple(-(-n // c) for n, c in zip(facts.shape, facts.write_unit, strict=True))
    found = []
    for flat in sampled(facts.n_objects):
        index = np.unravel_index(flat, grid)
        key = _chunk_key(source, tuple(int(i) for i in index))
        path = Path(source.info.location) / key
        if isinstance(source.place.root, str | Path) and path.is_file():
            found.append((key, file_stamp(path)[1]))
        else:
            size = source.store.size("/".join(part for part in (source.place.key, key) if part))
            found.append((key, "absent" if size is None else str(size)))
    return tuple(found)


def _chunk_key(source: ZarrSource, index: tuple[int, ...]) -> str:
    """Returns the key of a stored object relative to its array. Source: Zarr v3, chunk key encodings; Zarr v2, keys; else the driver's."""
    info = source.info
    if info.array.driver != "zarr":
        key_of = getattr(source.reader, "key", None)
        return str(key_of(index)).removeprefix(f"{source.place.key}/") if key_of is not None else ""
    separator = info.array.separator or "."
    key = separator.join(map(str, index))
    encoding = (info.array_document or {}).get("chunk_key_encoding")
    plain = info.array.zarr_format == 2 or (isinstance(encoding, Mapping) and encoding.get("name") == "v2")
    return key if plain else f"c{separator}{key}"
