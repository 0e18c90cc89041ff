"""A part of a level as a file that any program opens: PNG, TIFF, or a sheet of all levels."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ziggurat.model import Axis, Multiscale, kind_of
from ziggurat.problems import OptionError, TargetExists
from ziggurat.pyramid.levels import Box, LevelView, Pyramid
from ziggurat.pyramid.opening import open as open_pyramid
from ziggurat.pyramid.pictures import View, contact_sheet, picture, plane_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST = 4096
"""Rows or columns of the level that is taken when none is said."""
_MAX_BYTES = 2**32
_ENDINGS = (".png", ".tif", ".tiff")
_OME_DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64", "complex64", "complex128", "bool")
"""Source: OME-XML schema, PixelType."""
_OME_UNITS = MappingProxyType({"nanometer": "nm", "micrometer": "µm", "millimeter": "mm", "centimeter": "cm", "meter": "m", "angstrom": "Å", "kilometer": "km"})


def export(
    source: object,
    target: str | os.PathLike[str],
    *,
    level: int | None = None,
    region: Box | None = None,
    at: Mapping[str, int] | None = None,
    plane: Sequence[str] | None = None,
    limits: tuple[float, float] | None = None,
    colormap: str = "gray",
    sheet: bool = False,
    overwrite: bool = False,
    multiscale: int | str | Callable[[Multiscale], bool] | None = None,
    layout: str | None = None,
    allow_links: bool = False,
) -> Path:
    """Writes a region of a level as a picture (`.png`) or with its samples as they are (`.tif`), with physical size; returns where.

    A PNG is one plane in 8 bits: values between the limits, channels in their colours, labels each in its own, what is missing
    transparent. A TIFF (OME-TIFF where its words allow) keeps dtype, values and all axes that `at` does not pick.

    Parameters
    ----------
    source
        As for `open`, or a `Pyramid`.
    target
        A file that ends in `.png`, `.tif` or `.tiff`.
    level
        Number of the level; when not said, the largest whose plane has at most 4096 rows and columns.
    region
        World intervals by axis name, in the pyramid's units; whole axes when not said.
    at
        By axis name the sample of level 0 that is shown. A PNG shows the middle of further axes in space, the first of others, and all
        channels (up to 8).
    plane
        Names of the axes that become rows and columns of a PNG, such as `("z", "x")`.
    limits
        Values that become black and white. When not said: the document's (OME's `omero`), else 1 and 99.9 percentiles of the coarsest level.
    colormap
        `gray`, `viridis`, `magma` or `blue-red`, for a single channel.
    sheet
        A PNG of the region at every level, all at one size: levels that lie apart are seen to.
    overwrite
        Replace the file, if it is there.
    multiscale, layout, allow_links
        As for `open`.

    Raises
    ------
    TargetExists
        When the file is there, and `overwrite` is not said.
    OptionError
        For a file of another ending, a level, axis or sample that is not there, an empty region, or one too large for a file.
    NotFound, DocumentError, StorageError
        As for `open`, and when samples cannot be read.
    """
    path = Path(target)
    if path.suffix.lower() not in _ENDINGS:
        raise OptionError(f"{path}: found the ending {path.suffix!r}, expected {', '.join(_ENDINGS)}")
    if path.exists() and not overwrite:
        raise TargetExists(f"{path}: is there already; say overwrite=True to replace it")
    is_pyramid = isinstance(source, Pyramid)
    pyramid = source if is_pyramid else open_pyramid(source, multiscale=multiscale, layout=layout, allow_links=allow_links)
    assert isinstance(pyramid, Pyramid)
    view = View(region, at, plane, limits, colormap)
    is_picture = path.suffix.lower() == ".png"
    if sheet and (not is_picture or level is not None):
        raise OptionError("sheet=True: a PNG of all levels; leave level= out and say a target that ends in .png")
    if sheet:
        _put(path, contact_sheet(pyramid, view).encode())
        return path
    chosen = _level(pyramid, level, view)
    if is_picture:
        _put(path, picture(pyramid, chosen, view).encode())
    else:
        _write_tiff(path, pyramid, chosen, view)
    return path


def _level(pyramid: Pyramid, level: int | None, view: View) -> LevelView:
    if level is not None:
        found = next((candidate for candidate in pyramid.levels if candidate.index == level), None)
        if found is None:
            raise OptionError(f"level={level}: not there; the levels are {', '.join(str(candidate.index) for candidate in pyramid.levels)}")
        return found
    for candidate in pyramid.levels:
        plane = plane_of(pyramid, candidate, view)
        part = candidate.region(view.region) if view.region is not None else tuple(slice(0, n) for n in candidate.shape)
        if all(part[axis].stop - part[axis].start <= _LARGEST for axis in (plane.rows, plane.columns) if axis is not None):
            return candidate
    return pyramid.levels[-1]


def _put(path: Path, data: bytes) -> None:
    """Writes a file that is either not there or whole."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_tiff(path: Path, pyramid: Pyramid, level: LevelView, view: View) -> None:
    """Writes the samples of a level's region, with axes, physical sizes and units as OME-XML where it has words for them."""
    import tifffile

    region = list(level.region(view.region)) if view.region is not None else [slice(0, n) for n in level.shape]
    picked = dict(plane_of(pyramid, level, View(at=view.at)).picks) if view.at else {}
    names = [axis.name for axis in pyramid.axes]
    index = tuple(picked[i] if names[i] in (view.at or {}) else s for i, s in enumerate(region))
    kept = [i for i, entry in enumerate(index) if isinstance(entry, slice)]
    shape = [region[i].stop - region[i].start for i in kept]
    n_bytes = int(np.prod(shape, dtype=object)) * level.dtype.itemsize
    if not 0 < n_bytes <= _MAX_BYTES:
        what = "no samples there" if n_bytes < 1 else f"{n_bytes} bytes, more than the {_MAX_BYTES} that are written at once"
        raise OptionError(f"level {level.index} {level.path!r}: {what}; say level=, region= or at=")
    samples = level.array[index]
    letters = _letters([pyramid.axes[i] for i in kept])
    steps = {letter: (abs(level.scale[i]), pyramid.axes[i].unit) for letter, i in zip(letters, kept, strict=True)}
    if len(kept) <= 5 and "Q" not in letters and samples.dtype.name in _OME_DTYPES:
        metadata: dict[str, object] = {"axes": "".join(letters), "Name": pyramid.name or path.stem}
        for letter in "XYZ":
            if letter in steps:
                metadata[f"PhysicalSize{letter}"] = steps[letter][0]
                metadata[f"PhysicalSize{letter}Unit"] = _OME_UNITS.get(steps[letter][1] or "", "pixel")
        options: dict[str, Any] = {"ome": True, "metadata": metadata}
    else:
        options = {"ome": False, "metadata": {"axes": "".join(letters)}}
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            tifffile.imwrite(file, _ordered(samples, letters, options), photometric="minisblack", compression="zlib", **options)
        part.replace(path)
    except (ValueError, TypeError) as error:
        raise OptionError(f"{path}: {samples.dtype} with the axes {', '.join(names)} cannot be written as TIFF: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def _ordered(samples: NDArray[Any], letters: list[str], options: dict[str, Any]) -> NDArray[Any]:
    """Returns the samples with rows and columns last, as TIFF has them, and says so in `options`."""
    order = sorted(range(len(letters)), key=lambda i: ("YX".find(letters[i]), i))
    options["metadata"]["axes"] = "".join(letters[i] for i in order)
    turned = samples.transpose(order)
    return np.ascontiguousarray(turned[None] if turned.ndim == 1 else turned) if "Y" in letters or turned.ndim != 1 else _as_row(turned, options)


def _as_row(signal: NDArray[Any], options: dict[str, Any]) -> NDArray[Any]:
    options["metadata"]["axes"] = "YX"
    return np.ascontiguousarray(signal[None])


def _letters(axes: Sequence[Axis]) -> list[str]:
    """Returns TIFF's letter for each axis: X, Y, Z of space by name, else from the last on; T, C; Q for what has none."""
    found: list[str | None] = []
    for axis in axes:
        kind, name = axis.kind or kind_of(axis.name), axis.name.lower()
        by_name = {"lat": "Y", "latitude": "Y", "northing": "Y", "lon": "X", "longitude": "X", "easting": "X"}.get(name, name.upper())
        found.append("T" if kind == "time" else "C" if kind == "channel" else by_name if by_name in ("X", "Y", "Z") else None)
    free = [letter for letter in "XYZ" if letter not in found]
    for i in reversed(range(len(axes))):
        if found[i] is None and free:
            found[i] = free.pop(0)
    letters = [letter or "Q" for letter in found]
    return [letter if letters.count(letter) == 1 or letters.index(letter) == i else "Q" for i, letter in enumerate(letters)]
