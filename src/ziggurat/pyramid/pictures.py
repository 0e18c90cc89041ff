"""Pictures of a pyramid: a plane of a level as it is, a box of the world at a size, all levels side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ziggurat.display import contrast, png
from ziggurat.display.colours import CHANNELS, LIGHT, colour_of
from ziggurat.display.painting import Channel, Look, Painted, paint
from ziggurat.display.planes import Plane, choose_plane
from ziggurat.model import JSON
from ziggurat.problems import OptionError, ZigguratError
from ziggurat.pyramid.levels import Box, LevelView, Pyramid

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_SAMPLES = 2**28
"""Samples that are read for one picture at the most."""
_N_FOR_LIMITS = 2**22
_UPWARDS = ("lat", "latitude", "northing")
"""Axes whose larger coordinates are drawn above, as on a map."""
_GAP = 8


@dataclass(frozen=True, slots=True)
class View:
    """What of a pyramid is shown, and how; fields that are None are chosen (see `ziggurat.export`)."""

    region: Box | None = None
    at: Mapping[str, int] | None = None
    """By axis name a sample of level 0."""
    plane: Sequence[str] | None = None
    limits: tuple[float, float] | None = None
    colormap: str = "gray"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and what it shows."""

    pixels: Painted
    levels: tuple[int, ...]
    """Numbers of the levels, in the order in which they are drawn."""
    axes: tuple[str | None, str]
    """Names of rows (None for a signal) and columns."""
    step: tuple[float, float]
    """Size of a pixel along rows and columns in world units."""
    unit: tuple[str | None, str | None]

    def encode(self) -> bytes:
        """Returns it as a PNG that states the size of its pixels where they are lengths."""
        metres = [png.METRES.get(unit or "") for unit in self.unit]
        known = (abs(self.step[0]) * (metres[0] or 0), abs(self.step[1]) * (metres[1] or 0))
        return png.encode_png(self.pixels, step=known if all(metres) else None)


def plane_of(pyramid: Pyramid, level: LevelView, view: View) -> Plane:
    """Returns the plane that is shown of a level. Raises OptionError for axes and samples that are not there."""
    picks = {}
    for name, index in (view.at or {}).items():
        if name not in (axis.name for axis in pyramid.axes):
            raise OptionError(f"at: no axis {name!r}; the axes are {', '.join(axis.name for axis in pyramid.axes)}")
        axis = next(i for i, axis in enumerate(pyramid.axes) if axis.name == name)
        base = pyramid.levels[0]
        if not 0 <= index < base.shape[axis]:
            raise OptionError(f"at: axis {name!r}: found sample {index}, expected 0 to {base.shape[axis] - 1}, samples of level 0")
        world = base.scale[axis] * index + base.translation[axis]
        there = round((world - level.translation[axis]) / level.scale[axis]) if level.shape[axis] != base.shape[axis] else index
        picks[name] = min(max(there, 0), level.shape[axis] - 1)
    return choose_plane(pyramid.axes, level.shape, plane=view.plane, picks=picks)


def samples_of(pyramid: Pyramid, level: LevelView, view: View) -> NDArray[Any]:
    """Returns the samples of a level's plane that touch the region, as (channel, rows, columns), without the channel where there is none.

    Raises OptionError when they are more than `N_SAMPLES`, or none.
    """
    plane = plane_of(pyramid, level, view)
    region = level.region(view.region) if view.region is not None else tuple(slice(0, n) for n in level.shape)
    rows = region[plane.rows] if plane.rows is not None else slice(0, 1)
    return _read(level, plane, rows, region[plane.columns])


def _read(level: LevelView, plane: Plane, rows: slice, columns: slice) -> NDArray[Any]:
    n = (rows.stop - rows.start) * (columns.stop - columns.start) * (1 if plane.channel is None else level.shape[plane.channel])
    if not 0 < n <= N_SAMPLES:
        what = "no samples there" if n < 1 else f"{n} samples, more than the {N_SAMPLES} of one picture"
        raise OptionError(f"level {level.index} {level.path!r}: {what}; say level= or region=")
    found = level.array[plane.index(rows, columns)].transpose(plane.order)
    return found if plane.rows is not None else found[..., None, :]


def look_of(pyramid: Pyramid, level: LevelView, view: View) -> Look:
    """Returns how a level is shown: as its document says (OME's `omero`), else between percentiles of the coarsest level.

    Levels of a laplacian hold differences, all but the last: each has percentiles of its own.
    """
    kind = pyramid.multiscale.kind or _recorded(pyramid, "kind") or "image"
    dtype = level.dtype
    look = Look(kind=kind if kind in ("image", "labels", "mask") else "image", colormap=view.colormap, nodata=_nodata(pyramid))  # type: ignore[arg-type]
    if look.kind == "labels" and dtype.kind in "iub":
        return look
    measured = level if "laplacian" in f"{pyramid.type} {(pyramid.method or {}).get('method')}" else pyramid.levels[-1]
    plane = plane_of(pyramid, measured, view)
    n = 1 if plane.channel is None else measured.shape[plane.channel]
    said = [] if measured is level and level.index else _channels(pyramid, plane, n)
    if dtype == np.uint8 and n in (3, 4) and view.limits is None and [text.lower() for text, _ in said[:3]] in ([], list(LIGHT)):
        return replace(look, rgb=True)
    if view.limits is not None:
        found = [view.limits] * n
    elif dtype.kind == "b":
        found = [(0.0, 1.0)] * n
    elif said and all(limits is not None for _, limits in said):
        found = [limits for _, limits in said if limits is not None]
    else:
        found = _measured(pyramid, measured, view, n)
    texts = [text for text, _ in said] or (list(LIGHT) if n == 3 and pyramid.levels[0].dtype == np.uint8 else list(CHANNELS))
    colours = [colour_of(texts[i % len(texts)]) if n > 1 else None for i in range(n)]
    return replace(look, channels=tuple(Channel(limits, colour) for limits, colour in zip(found, colours, strict=True)))


def _measured(pyramid: Pyramid, level: LevelView, view: View, n: int) -> list[tuple[float, float]]:
    """Returns limits per channel from the middle of a level's plane."""
    plane = plane_of(pyramid, level, view)
    shape = [level.shape[plane.rows] if plane.rows is not None else 1, level.shape[plane.columns]]
    while math.prod(shape) * n > _N_FOR_LIMITS:
        longest = shape.index(max(shape))
        shape[longest] = -(-shape[longest] // 2)
    whole = [level.shape[plane.rows] if plane.rows is not None else 1, level.shape[plane.columns]]
    rows, columns = (slice((a - b) // 2, (a - b) // 2 + b) for a, b in zip(whole, shape, strict=True))
    samples = _read(level, plane, rows, columns)
    nodata = _nodata(pyramid)
    stack = samples if plane.channel is not None else samples[None]
    return [contrast.limits(channel if nodata is None else channel[channel != nodata]) for channel in stack]


def _channels(pyramid: Pyramid, plane: Plane, n: int) -> list[tuple[str, tuple[float, float] | None]]:
    """Returns colour and limits per channel as the document states them; nothing where it does not, or not for all of them."""
    entries = pyramid.display.get("channels")
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return []
    picked = next((i for axis, i in plane.picks if (pyramid.axes[axis].kind or "") == "channel"), None)
    chosen = entries[picked : picked + 1] if picked is not None else entries
    if len(chosen) != n:
        return []
    return [(_colour(entry), _limits(entry)) for entry in chosen]


def _colour(entry: JSON) -> str:
    text = entry.get("color") if isinstance(entry, Mapping) else None
    try:
        colour_of(str(text))
    except OptionError:
        return "FFFFFF"
    return str(text).upper()


def _limits(entry: JSON) -> tuple[float, float] | None:
    window = entry.get("window") if isinstance(entry, Mapping) else None
    ends = [window.get("start"), window.get("end")] if isinstance(window, Mapping) else []
    numbers = [float(end) for end in ends if isinstance(end, int | float) and math.isfinite(end)]
    return (numbers[0], numbers[1]) if len(numbers) == 2 and numbers[0] < numbers[1] else None


def _recorded(pyramid: Pyramid, name: str) -> JSON:
    """Returns a fact of the plan, where our own method is what the metadata names."""
    method = pyramid.method or {}
    kwargs = method.get("kwargs")
    return kwargs.get(name) if str(method.get("method", "")).startswith("ziggurat.") and isinstance(kwargs, Mapping) else None


def _nodata(pyramid: Pyramid) -> float | None:
    value = _recorded(pyramid, "nodata")
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def picture(pyramid: Pyramid, level: LevelView, view: View) -> Picture:
    """Returns the plane of a level, a pixel for a sample. Raises OptionError when it is more than `N_SAMPLES`, or nothing."""
    plane = plane_of(pyramid, level, view)
    pixels = paint(samples_of(pyramid, level, view), look_of(pyramid, level, view))
    step = (level.scale[plane.rows] if plane.rows is not None else 1.0, level.scale[plane.columns])
    return _named(pyramid, plane, _upright(pyramid, plane, pixels, step[0]), (level.index,), step)


def _named(pyramid: Pyramid, plane: Plane, pixels: Painted, levels: tuple[int, ...], step: tuple[float, float]) -> Picture:
    rows = pyramid.axes[plane.rows] if plane.rows is not None else None
    columns = pyramid.axes[plane.columns]
    return Picture(pixels, levels, (rows.name if rows else None, columns.name), step, (rows.unit if rows else None, columns.unit))


def _upright(pyramid: Pyramid, plane: Plane, pixels: Painted, step: float) -> Painted:
    is_map = plane.rows is not None and pyramid.axes[plane.rows].name.lower() in _UPWARDS
    return pixels[::-1] if is_map and step > 0 else pixels


def drawn(pyramid: Pyramid, size: tuple[int, int], view: View, *, level: LevelView | None = None) -> Picture:
    """Returns a box of the world (the whole base when `view` says no region) in a picture of at most `size` (rows, columns).

    Each pixel takes the sample that its centre lies in, so a level that is not where its metadata says is seen to be so. Pixels are
    square where rows and columns are of one unit. The coarsest level that is fine enough is taken when none is said.

    Raises OptionError when the level has more than `N_SAMPLES` there.
    """
    base = pyramid.levels[0]
    plane = plane_of(pyramid, base, view)
    box = _box(pyramid, view)
    columns = box[plane.columns]
    rows = box[plane.rows] if plane.rows is not None else (0.0, 1.0)
    height, width = abs(rows[1] - rows[0]), abs(columns[1] - columns[0])
    step = [height / size[0], width / size[1]]
    if plane.rows is None:
        step[0] = 1 / max(1, size[0] // 8)
    elif pyramid.axes[plane.rows].unit == pyramid.axes[plane.columns].unit:
        step = [max(step)] * 2
    n_rows, n_columns = (max(1, min(limit, round(length / s))) for limit, length, s in zip(size, (height, width), step, strict=True))
    if level is None:
        wanted = {pyramid.axes[axis].name: s for axis, s in ((plane.rows, step[0]), (plane.columns, step[1])) if axis is not None}
        level = pyramid.at(resolution=wanted)
    plane = plane_of(pyramid, level, view)
    at_rows = _indices(level, plane.rows, rows, n_rows)
    at_columns = _indices(level, plane.columns, columns, n_columns)
    inside = np.outer(at_rows >= 0, at_columns >= 0)
    pixels = np.zeros((n_rows, n_columns, 4), np.uint8)
    if inside.any():
        window = [slice(int(found[found >= 0].min()), int(found.max()) + 1) for found in (at_rows, at_columns)]
        painted = paint(_read(level, plane, *window), look_of(pyramid, level, view))
        taken = painted[np.maximum(at_rows - window[0].start, 0)][:, np.maximum(at_columns - window[1].start, 0)]
        pixels = np.where(inside[..., None], taken, 0).astype(np.uint8)
    scale = level.scale[plane.rows] if plane.rows is not None else 1.0
    return _named(pyramid, plane, _upright(pyramid, plane, pixels, scale), (level.index,), (step[0], step[1]))


def _box(pyramid: Pyramid, view: View) -> Sequence[tuple[float, float]]:
    """Returns the world interval of every axis that is shown: the cells of level 0 that the region touches, edge to edge."""
    base = pyramid.levels[0]
    if view.region is None:
        return base.extent
    found = []
    for s, scale, translation in zip(base.region(view.region), base.scale, base.translation, strict=True):
        found.append((translation + scale * (s.start - 0.5), translation + scale * (s.stop - 0.5)))
    return found


def _indices(level: LevelView, axis: int | None, ends: tuple[float, float], n: int) -> NDArray[np.intp]:
    """Returns the sample of a level under each of `n` pixels between two world coordinates; -1 where there is none. Pixels run as samples do."""
    if axis is None:
        return np.zeros(n, np.intp)
    low, high = sorted(ends, reverse=level.scale[axis] < 0)
    world = low + (np.arange(n) + 0.5) * ((high - low) / n)
    found = np.floor((world - level.translation[axis]) / level.scale[axis] + 0.5)
    return np.where((found >= 0) & (found < level.shape[axis]), found, -1).astype(np.intp)


def contact_sheet(pyramid: Pyramid, view: View, *, size: int = 384) -> Picture:
    """Returns one box of the world as every level has it, in rows from the base on, each `size` pixels at the most.

    All show the same box at the same size, so levels that lie apart are seen to. Levels with more than `N_SAMPLES` there are left out.
    Raises OptionError when that leaves none.
    """
    parts: list[Picture] = []
    reason: ZigguratError | None = None
    for level in pyramid.levels:
        try:
            parts.append(drawn(pyramid, (size, size), view, level=level))
        except OptionError as error:
            reason = error
    if not parts:
        raise reason or OptionError("no level is there")
    n_columns = math.ceil(math.sqrt(len(parts)))
    height, width = parts[0].pixels.shape[:2]
    n_rows = -(-len(parts) // n_columns)
    sheet = np.zeros((n_rows * (height + _GAP) - _GAP, n_columns * (width + _GAP) - _GAP, 4), np.uint8)
    for i, part in enumerate(parts):
        row, column = divmod(i, n_columns)
        top, left = row * (height + _GAP), column * (width + _GAP)
        sheet[top : top + height, left : left + width] = part.pixels
    return replace(parts[0], pixels=sheet, levels=tuple(level for part in parts for level in part.levels))


def thumbnail(pyramid: Pyramid, size: tuple[int, int], *, max_bytes: int) -> Picture | None:
    """Returns a small picture from the coarsest level; None where that is larger than `max_bytes`, not there, or cannot be read or shown."""
    if not pyramid.levels or not 0 < pyramid.levels[-1].info.size_bytes <= max_bytes:
        return None
    try:
        return drawn(pyramid, size, View(), level=pyramid.levels[-1])
    except (ZigguratError, TypeError, ValueError, IndexError, OSError):
        return None
