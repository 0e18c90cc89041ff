"""What TIFF files say about axes and physical sizes: OME-XML, ImageJ, GeoTIFF, resolution tags."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from ziggurat.model import JSON, Axis

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

_KINDS = MappingProxyType({"X": "space", "Y": "space", "Z": "space", "T": "time", "C": "channel", "S": "channel"})

UNITS = MappingProxyType(
    {
        "": None,
        "pixel": None,
        "pixels": None,
        "reference frame": None,
        "pm": "picometer",
        "nm": "nanometer",
        "µm": "micrometer",
        "μm": "micrometer",
        "um": "micrometer",
        "micron": "micrometer",
        "microns": "micrometer",
        "\\u00b5m": "micrometer",
        "mm": "millimeter",
        "cm": "centimeter",
        "dm": "decimeter",
        "m": "meter",
        "km": "kilometer",
        "å": "angstrom",
        "in": "inch",
        "inch": "inch",
        "ft": "foot",
        "ns": "nanosecond",
        "µs": "microsecond",
        "μs": "microsecond",
        "ms": "millisecond",
        "s": "second",
        "sec": "second",
        "min": "minute",
        "h": "hour",
        "d": "day",
    }
)
"""Spellings of OME-XML and ImageJ -> UDUNITS-2 long names, as OME-Zarr wants them; None for no unit at all."""


@dataclass(frozen=True, slots=True)
class Physical:
    """Physical numbers by the letter of the axis (`X`, `Y`, `Z`, `T`)."""

    scale: Mapping[str, float] = field(default_factory=dict)
    translation: Mapping[str, float] = field(default_factory=dict)
    unit: Mapping[str, str | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def long_unit(word: str) -> str | None:
    """Returns the long name of a unit, the word itself when it is not known, None when it says that there is none.

    >>> long_unit("µm"), long_unit("pixel"), long_unit("furlong")
    ('micrometer', None, 'furlong')
    """
    word = word.strip().rstrip("\0")
    return UNITS.get(word.lower(), word)


def axes_of(letters: str) -> tuple[tuple[Axis, ...] | None, tuple[str, ...]]:
    """Returns axes for tifffile's letters, and what was guessed; None when the file does not say what the axes are.

    `I` (a row of equal pages) and `Q` (an axis without a name) are z when nothing else is z; colour samples are the channel.

    >>> [a.name for a in axes_of("IYX")[0]], [a.name for a in axes_of("TCYXS")[0]], axes_of("QQYX")[0]
    (['z', 'y', 'x'], ['t', 'c', 'y', 'x', 's'], None)
    """
    notes: tuple[str, ...] = ()
    nameless = [letter for letter in letters if letter in "IQ"]
    if len(nameless) == 1 and "Z" not in letters and nameless[0] in letters.partition("Y")[0]:
        letters = letters.replace(nameless[0], "Z")
        notes = ("the file says nothing about its row of equal pages: taken as z",)
    elif nameless:
        return None, (f"the file does not name all of its axes ({letters}): say axes=",)
    if "C" not in letters:
        letters = letters.replace("S", "C")
    if len(set(letters)) != len(letters):
        return None, (f"the file names an axis twice ({letters}): say axes=",)
    guessed = "Z" if notes else ""
    return tuple(Axis(c.lower(), _KINDS.get(c), None, "inferred" if c == guessed else "stated") for c in letters), notes


def physical(tif: TiffFile, series: TiffPageSeries, index: int) -> Physical:
    """Returns what the file says about physical sizes of image `index`, from the most specific of its kinds of metadata."""
    if series.kind == "ome" and tif.ome_metadata:
        return _ome(tif.ome_metadata, index)
    page = series.keyframe
    if series.kind == "imagej" and tif.imagej_metadata:
        return _imagej(tif.imagej_metadata, page)
    if page.is_geotiff:
        return _geo(page)
    if series.kind == "svs":
        return _aperio(page)
    return _resolution(page)


def _ome(xml: str, index: int) -> Physical:
    """Physical sizes of one image of an OME-XML. Source: OME schema 2016-06, Pixels: sizes in micrometers, times in seconds unless said."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return Physical(notes=("the OME-XML of the file cannot be read: physical sizes are left out",))
    images = [element for element in root if element.tag.endswith("}Image") or element.tag == "Image"]
    pixels = [child for image in images[index : index + 1] for child in image if child.tag.endswith("Pixels")]
    if not pixels:
        return Physical()
    found = pixels[0].attrib
    scale: dict[str, float] = {}
    unit: dict[str, str | None] = {}
    for letter, key, default in (("X", "PhysicalSizeX", "µm"), ("Y", "PhysicalSizeY", "µm"), ("Z", "PhysicalSizeZ", "µm"), ("T", "TimeIncrement", "s")):
        value = _positive(found.get(key))
        if value is not None:
            scale[letter] = value
            unit[letter] = long_unit(found.get(f"{key}Unit", default))
    return Physical(scale, {}, unit)


def _imagej(metadata: Mapping[str, object], page: TiffPage) -> Physical:
    """Sizes of ImageJ: resolution tags count pixels per `unit`, `spacing` is z, `finterval` is seconds."""
    word = str(metadata.get("unit", ""))
    unit = long_unit(word)
    scale: dict[str, float] = {}
    if unit is not None:
        scale = dict(zip("XY", _per_unit(page), strict=False))
        spacing = _positive(metadata.get("spacing"))
        if spacing is not None:
            scale["Z"] = spacing
    units: dict[str, str | None] = dict.fromkeys(scale, unit)
    for letter, key in (("Y", "yunit"), ("Z", "zunit")):
        if letter in scale and key in metadata:
            units[letter] = long_unit(str(metadata[key]))
    interval = _positive(metadata.get("finterval"))
    if interval is not None:
        scale["T"], units["T"] = interval, long_unit(str(metadata.get("tunit", "s")))
    return Physical(scale, {}, units)


def _per_unit(page: TiffPage) -> tuple[float, float] | tuple[()]:
    """Returns (x, y) size of a pixel from the resolution tags, nothing when they are absent or say 0."""
    sizes = []
    for code in (282, 283):
        value = page.tags.valueof(code)
        if not isinstance(value, tuple) or len(value) != 2 or not all(isinstance(v, int) and v > 0 for v in value):
            return ()
        sizes.append(value[1] / value[0])
    return sizes[0], sizes[1]


def _aperio(page: TiffPage) -> Physical:
    """Sizes of a whole slide from its description: `MPP` is micrometers per pixel."""
    found = re.search(r"\|\s*MPP\s*=\s*([0-9.eE+-]{1,20})", page.description)
    size = _positive(found[1]) if found else None
    return Physical() if size is None else Physical({"X": size, "Y": size}, {}, {"X": "micrometer", "Y": "micrometer"})


def _resolution(page: TiffPage) -> Physical:
    """Sizes from the resolution tags alone: only pixels per centimetre are believed, pixels per inch are about printing."""
    sizes = _per_unit(page)
    if page.tags.valueof(296) != 3 or not sizes:
        return Physical()
    return Physical(dict(zip("XY", sizes, strict=True)), {}, {"X": "centimeter", "Y": "centimeter"})


def _geo(page: TiffPage) -> Physical:
    """Scale and position of a GeoTIFF in the CENTRE convention. Source: OGC GeoTIFF 1.1, 7.5 and B.6; formats.md 9.1.

    Rows run southwards: the scale of y is negative. A rotated raster has no scale per axis and is only noted.
    """
    keys = _geo_keys(page)
    half = 0.0 if keys.get(1025) == 2 else 0.5
    word = {1: "meter" if keys.get(3076, 9001) == 9001 else None, 2: "degree"}.get(keys.get(1024, 0))
    affine = _affine(page)
    if affine is None or affine[1] != 0 or affine[3] != 0:
        return Physical(notes=("the raster is rotated or placed by control points: scale and position are left out",))
    step, origin = (affine[0], affine[4]), (affine[2], affine[5])
    if 0.0 in step or not all(map(math.isfinite, step + origin)):
        return Physical(notes=("the GeoTIFF states a pixel size that is no size: it is left out",))
    translation = {letter: o + half * s for letter, o, s in zip("XY", origin, step, strict=True)}
    return Physical(dict(zip("XY", step, strict=True)), translation, {"X": word, "Y": word})


def _affine(page: TiffPage) -> tuple[float, ...] | None:
    """Returns the six coefficients that lead from column and row to x and y, None for a raster placed by control points.

    Source: OGC GeoTIFF 1.1, 7.5: a tie point and the size of a pixel, or a matrix.
    """
    pixel, tie, matrix = (page.tags.valueof(code) for code in (33550, 33922, 34264))
    if _numbers(pixel, 2) and _numbers(tie, 6):
        a, e = float(pixel[0]), -float(pixel[1])
        return a, 0.0, float(tie[3]) - float(tie[0]) * a, 0.0, e, float(tie[4]) - float(tie[1]) * e
    if _numbers(matrix, 16):
        return tuple(float(matrix[i]) for i in (0, 1, 3, 4, 5, 7))
    return None


def geo_facts(page: TiffPage) -> dict[str, JSON]:
    """Returns what the GeoTIFF tags of a page say, as plain facts: affine coefficients, what they lead to (area or point), reference system."""
    keys = _geo_keys(page)
    affine = _affine(page)
    facts: dict[str, JSON] = {"registration": "point" if keys.get(1025) == 2 else "area"}
    if affine is not None and all(map(math.isfinite, affine)):
        facts["affine"] = list(affine)
    code = keys.get(3072) or keys.get(2048)
    if code is not None and 1024 <= code < 32767:  # 32767: defined by the file's own keys
        facts["proj:code"] = f"EPSG:{code}"
    return facts


def _geo_keys(page: TiffPage) -> dict[int, int]:
    """Returns the short-valued keys of the GeoKeyDirectory (34735): four shorts each, after a header of four."""
    directory = page.tags.valueof(34735)
    if not isinstance(directory, tuple) or len(directory) < 4:
        return {}
    entries = [directory[k : k + 4] for k in range(4, len(directory) - 3, 4)]
    return {key: value for key, location, _, value in entries if location == 0}


def _numbers(value: object, count: int) -> bool:
    return isinstance(value, tuple) and len(value) >= count


def _positive(value: object) -> float | None:
    """Returns a finite number above 0, else None."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if number > 0 and math.isfinite(number) else None
