"""What a server shows: pyramids by number, each with its levels behind one cache, and how they are to look."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ziggurat.bridges.server.chunks import CachedReader, ChunkCache
from ziggurat.display.painting import Look
from ziggurat.display.planes import Plane
from ziggurat.model import JSON, kind_of
from ziggurat.problems import NotFound, OptionError, UnsupportedError
from ziggurat.pyramid import Collection, LevelView, Pyramid, open_collection
from ziggurat.pyramid import open as open_pyramid
from ziggurat.pyramid.pictures import View, look_of, plane_of

N_MEMBERS = 512
"""Members of a collection that are listed."""
N_BINS = 96
_SHOWN_KINDS = "biufc"


@dataclass
class Shown:
    """One pyramid that is shown, opened when it is first asked for."""

    number: int
    name: str
    group: str
    """Place that was named; several multiscales of one group share it."""
    opener: Callable[[], Pyramid]
    cache: ChunkCache
    _pyramid: Pyramid | None = None
    _readers: dict[int, CachedReader] = field(default_factory=dict)
    _facts: dict[str, Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def pyramid(self) -> Pyramid:
        """The pyramid. Raises what `ziggurat.open` raises; UnsupportedError for samples that cannot be shown."""
        with self._lock:
            if self._pyramid is None:
                found = self.opener()
                for level in found.levels:
                    if level.dtype.kind not in _SHOWN_KINDS:
                        raise UnsupportedError(f"{found.location}: dtype {level.info.dtype!r} cannot be shown; expected numbers or bool")
                self._pyramid = found
            return self._pyramid

    def level(self, number: int) -> LevelView:
        """Returns a level by its number. Raises NotFound."""
        found = next((level for level in self.pyramid.levels if level.index == number), None)
        if found is None:
            raise NotFound(f"level {number}: not there")
        return found

    def reader(self, number: int) -> CachedReader:
        """Returns a level's samples behind the cache. Raises NotFound."""
        level = self.level(number)
        with self._lock:
            if number not in self._readers:
                self._readers[number] = CachedReader(level.array, self.cache, (self.number, number))
            return self._readers[number]

    def plane(self) -> Plane:
        """Returns the plane that is shown first, of level 0."""
        return plane_of(self.pyramid, self.pyramid.levels[0], View())

    def look(self) -> Look:
        """Returns contrast and colours, measured once; what is measured is at most a few million samples of the coarsest level."""
        return self._once("look", lambda: look_of(self.pyramid, self.pyramid.levels[0], View()))  # type: ignore[no-any-return]

    def histograms(self) -> list[dict[str, JSON]]:
        """Returns per channel of the first plane a histogram of the coarsest level: `low`, `high` and counts of `N_BINS` bins between."""
        return self._once("histograms", self._histograms)  # type: ignore[no-any-return]

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        with self._lock:
            if name not in self._facts:
                self._facts[name] = make()
            return self._facts[name]

    def _histograms(self) -> list[dict[str, JSON]]:
        samples = self.middle()
        found: list[dict[str, JSON]] = []
        for channel in samples:
            values = np.abs(channel) if channel.dtype.kind == "c" else channel
            values = values[np.isfinite(values)].astype(np.float64)
            low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
            counts, _ = np.histogram(values, N_BINS, (low, high if high > low else low + 1))
            found.append({"low": low, "high": high, "counts": counts.tolist()})
        return found

    def middle(self) -> NDArray[Any]:
        """Returns the middle of the coarsest level's plane, (channel, rows, columns), at most 1024 rows and columns of it."""
        level = self.pyramid.levels[-1]
        plane = plane_of(self.pyramid, level, View())

        def part(n: int) -> slice:
            size = min(n, 1024)
            return slice((n - size) // 2, (n - size) // 2 + size)

        rows = part(level.shape[plane.rows]) if plane.rows is not None else slice(0, 1)
        block = self.read(level, plane, rows, part(level.shape[plane.columns]))
        return block if plane.channel is not None else block[None]

    def read(self, level: LevelView, plane: Plane, rows: slice, columns: slice) -> NDArray[Any]:
        """Returns a part of a plane, (channel,) rows, columns, through the cache. Raises StorageError."""
        index = plane.index(rows, columns)
        region = tuple(slice(i, i + 1) if isinstance(i, int) else slice(*i.indices(n)) for i, n in zip(index, level.shape, strict=True))
        block = self.reader(level.index).region(region)[tuple(0 if isinstance(i, int) else slice(None) for i in index)].transpose(plane.order)
        return block if plane.rows is not None else block[..., None, :]

    def describe(self) -> dict[str, JSON]:
        """Returns what a viewer must know, as JSON."""
        pyramid, plane, look = self.pyramid, self.plane(), self.look()
        axes = pyramid.axes
        labels = look.kind == "labels" and pyramid.levels[0].dtype.kind in "iub"
        stated = pyramid.display.get("channels")
        names = [entry.get("label") if isinstance(entry, Mapping) else None for entry in stated] if isinstance(stated, list | tuple) else []
        channels: list[JSON] = []
        n = 1 if plane.channel is None else pyramid.levels[0].shape[plane.channel]
        for i in range(n):
            colour = look.colour_of(i)
            label = names[i] if i < len(names) else None
            channels.append({"label": str(label) if label else f"channel {i}", "limits": look.limits_of(i), "colour": colour})
        levels: list[JSON] = []
        for level in pyramid.levels:
            place: dict[str, JSON] = {"scale": level.scale, "translation": level.translation}
            levels.append({"index": level.index, "path": level.path, "shape": level.shape, **place})
        return {
            "number": self.number, "name": self.name, "group": self.group, "layout": pyramid.layout, "location": pyramid.location, "type": pyramid.type,
            "dtype": pyramid.levels[0].info.dtype, "kind": "labels" if labels else look.kind, "rgb": look.rgb, "nodata": _number(look.nodata),
            "axes": [{"name": axis.name, "kind": axis.kind or kind_of(axis.name), "unit": axis.unit} for axis in axes],
            "levels": levels, "channels": channels, "problems": [problem.sentence for problem in pyramid.problems[:20]],
            "plane": {"rows": plane.rows, "columns": plane.columns, "channel": plane.channel, "picks": [[axis, pick] for axis, pick in plane.picks]},
        }  # fmt: skip


def _number(value: complex | None) -> JSON:
    return float(value.real) if value is not None and np.isfinite(value) else None


def shown_of(sources: Sequence[object], cache: ChunkCache, *, layout: str | None = None, allow_links: bool = False) -> tuple[Shown, ...]:
    """Returns what there is to show at places or of pyramids: every multiscale of a group, every member of a collection (not yet opened).

    Raises what `ziggurat.open` raises.
    """
    found: list[Shown] = []
    for source in sources:
        for name, group, opener in _named(source, layout, allow_links):
            found.append(Shown(len(found), name, group, opener, cache))
    if not found:
        raise OptionError("nothing to show; expected one place or more")
    return tuple(found)


def _named(source: object, layout: str | None, allow_links: bool) -> Iterator[tuple[str, str, Callable[[], Pyramid]]]:
    if isinstance(source, Pyramid):
        yield _title(source), source.location, lambda: source
        return
    if isinstance(source, Collection):
        yield from _members(source)
        return
    try:
        first = open_pyramid(source, layout=layout, allow_links=allow_links)
    except (NotFound, OptionError) as error:
        try:
            members = open_collection(source, layout=layout, allow_links=allow_links)
        except NotFound:
            raise error from None
        yield from _members(members)
        return
    for pyramid in (first, *first.siblings):
        yield _title(pyramid), pyramid.location, lambda pyramid=pyramid: pyramid  # type: ignore[misc]
    with contextlib.suppress(NotFound):
        yield from _members(open_collection(source, layout=layout, allow_links=allow_links))


def _members(collection: Collection) -> Iterator[tuple[str, str, Callable[[], Pyramid]]]:
    for member in itertools.islice(collection.walk(), N_MEMBERS):
        yield member.name, collection.location, lambda name=member.name: collection.member(name)  # type: ignore[misc]


def _title(pyramid: Pyramid) -> str:
    place, count = pyramid.position
    stem = pyramid.location.rstrip("/").rpartition("/")[2]
    return pyramid.name or (f"{stem} ({place + 1} of {count})" if count > 1 else stem)
