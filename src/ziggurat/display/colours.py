"""Colours: of values (colormaps), of channels, of labels."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ziggurat.problems import OptionError

RGB = tuple[int, int, int]

COLORMAPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gray": ("000000", "ffffff"),
        "viridis": ("440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"),
        "magma": ("000004", "1c1044", "4f127b", "812581", "b5367a", "e55064", "fb8761", "fec287", "fcfdbf"),
        "blue-red": ("053061", "2166ac", "4393c3", "92c5de", "f7f7f7", "f4a582", "d6604d", "b2182b", "67001f"),
    }
)
"""Name -> colours at equal distances, linear between them. Sources: matplotlib (viridis, magma: CC0), ColorBrewer (RdBu, reversed)."""

CHANNELS = ("00ff00", "ff00ff", "00ffff", "ffff00", "ff0000", "0000ff", "ffffff", "ff8000")
"""Colours of channels that nothing else is said of, in order."""
LIGHT = ("ff0000", "00ff00", "0000ff")
"""Colours of the channels of a photograph."""


def colour_of(text: str) -> RGB:
    """Returns red, green, blue of `RRGGBB`, as OME writes them. Raises OptionError.

    >>> colour_of("FF8000")
    (255, 128, 0)
    """
    try:
        if len(text) == 6:
            value = int(text, 16)
            return value >> 16, value >> 8 & 255, value & 255
    except ValueError:
        pass
    raise OptionError(f"colour {text!r}: expected six hexadecimal digits such as FF8000")


def table_of(colormap: str) -> NDArray[np.uint8]:
    """Returns a colormap as 256 colours. Raises OptionError for a name that is not in `COLORMAPS`."""
    if colormap not in COLORMAPS:
        raise OptionError(f"colormap {colormap!r}: expected one of {', '.join(COLORMAPS)}")
    stops = np.array([colour_of(text) for text in COLORMAPS[colormap]], np.float64)
    at = np.linspace(0, len(stops) - 1, 256)
    low = np.minimum(at.astype(np.intp), len(stops) - 2)
    part = (at - low)[:, None]
    table: NDArray[np.uint8] = np.rint(stops[low] * (1 - part) + stops[low + 1] * part).astype(np.uint8)
    return table


def of_labels(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Returns a colour for every label, always the same one; neighbours in number are far apart in hue. Label 0 is black.

    Knuth's multiplicative hash of the label, folded into 32 bits, gives hue, saturation and value; the viewer computes the same.
    """
    word, whole = np.uint64(0xFFFFFFFF), labels.astype(np.uint64, copy=False)
    folded = (whole + (whole >> np.uint64(32)) * np.uint64(2246822507)) & word
    hashed = (np.where(folded == 0, np.uint64(1), folded) * np.uint64(2654435761)) & word
    hue = (hashed >> np.uint64(16)).astype(np.float32) / 65536 * 6
    saturation = 0.5 + (hashed >> np.uint64(8) & np.uint64(255)).astype(np.float32) / 510
    value = 0.7 + (hashed & np.uint64(255)).astype(np.float32) / 850
    channels = []
    for offset in (5, 3, 1):
        k = (offset + hue) % 6
        channels.append(value * (1 - saturation * np.clip(np.minimum(k, 4 - k), 0, 1)))
    colours: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1) * 255).astype(np.uint8)
    colours[labels == 0] = 0
    return colours
