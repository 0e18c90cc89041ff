"""Tiles of planes for the viewer (samples, as few bytes as hold them) and for everyone else (PNG)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ziggurat.bridges.server.shown import Shown
from ziggurat.display.painting import paint
from ziggurat.display.png import encode_png
from ziggurat.problems import NotFound, OptionError
from ziggurat.pyramid.pictures import View, plane_of

TILE = 256
"""Rows and columns of a tile; those at the end of a level are smaller."""


def tile_dtype(shown: Shown) -> str:
    """Returns the dtype of a pyramid's tiles: labels as u4 or u8, small integers as they are, everything else as f4 (magnitude, of complex)."""
    dtype = shown.pyramid.levels[0].dtype
    if shown.look().kind == "labels" and dtype.kind in "iub":
        return "u8" if dtype.itemsize == 8 else "u4"
    if dtype.kind == "b":
        return "u1"
    return f"{dtype.kind}{dtype.itemsize}" if dtype.kind in "iu" and dtype.itemsize <= 2 else "f4"


def samples_tile(shown: Shown, number: int, axes: tuple[int | None, int], picks: Sequence[int | None], place: tuple[int, int]) -> bytes:
    """Returns the samples of a tile of any plane, little-endian, (channel,) rows, columns.

    `axes` are rows (None for a signal) and columns; `picks` has the sample of every other axis at this level, None for the axis of which all
    are sent (channels). Raises OptionError for a plane that is none, NotFound for a tile beyond the level.
    """
    level = shown.level(number)
    shape = level.shape
    if len(picks) != len(shape):
        raise OptionError(f"found {len(picks)} picks, expected {len(shape)}, one per axis")
    rows, columns = axes
    if columns >= len(shape) or (rows is not None and (rows >= len(shape) or rows == columns)):
        raise OptionError(f"found the plane {axes}, expected two of {len(shape)} axes")
    region, alls = [], []
    for axis, (n, pick) in enumerate(zip(shape, picks, strict=True)):
        if axis in (rows, columns):
            region.append(_part(n, place[0] if axis == rows else place[1]))
        elif pick is None:
            region.append(slice(0, n))
            alls.append(axis)
        elif not 0 <= pick < n:
            raise NotFound(f"axis {axis}: sample {pick} is beyond {n}")
        else:
            region.append(slice(pick, pick + 1))
    if len(alls) > 1 or (alls and shape[alls[0]] > 16):
        raise OptionError("expected at most one axis of channels, of at most 16")
    block = shown.reader(number).region(tuple(region))
    order = [*alls, *([rows] if rows is not None else []), columns]
    rest = [axis for axis in range(len(shape)) if axis not in order]
    block = block.transpose([*rest, *order]).reshape([block.shape[axis] for axis in order])
    return _encoded(block, tile_dtype(shown))


def _part(n: int, tile: int) -> slice:
    if not 0 <= tile * TILE < n:
        raise NotFound(f"tile {tile}: beyond {n} samples")
    return slice(tile * TILE, min(n, tile * TILE + TILE))


def _encoded(block: NDArray[Any], dtype: str) -> bytes:
    if block.dtype.kind == "c":
        block = np.abs(block)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(block).astype(f"<{dtype}", copy=False).tobytes()


def value(shown: Shown, number: int, index: Sequence[int]) -> str:
    """Returns one sample of a level in full. Raises NotFound beyond the level."""
    level = shown.level(number)
    if len(index) != len(level.shape) or not all(0 <= i < n for i, n in zip(index, level.shape, strict=True)):
        raise NotFound(f"sample {tuple(index)}: beyond the level of shape {level.shape}")
    block = shown.reader(number).region(tuple(slice(i, i + 1) for i in index))
    return str(block.reshape(-1)[0])


def png_tile(shown: Shown, number: int, place: tuple[int, int]) -> bytes:
    """Returns a tile of the usual plane as PNG. Raises NotFound beyond the level."""
    level = shown.level(number)
    plane = plane_of(shown.pyramid, level, View())
    rows = _part(level.shape[plane.rows], place[0]) if plane.rows is not None else slice(0, 1)
    return encode_png(paint(shown.read(level, plane, rows, _part(level.shape[plane.columns], place[1])), shown.look()))
