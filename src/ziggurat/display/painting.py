"""Samples -> a picture: 8-bit red, green, blue and opacity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ziggurat.display import colours
from ziggurat.display.contrast import limits
from ziggurat.model import Kind

AnyArray: TypeAlias = "NDArray[Any]"
Painted: TypeAlias = "NDArray[np.uint8]"
"""(rows, columns, 4): red, green, blue, opacity; opacity is 0 where no sample is."""


@dataclass(frozen=True, slots=True)
class Channel:
    """How one channel is shown."""

    limits: tuple[float, float] | None = None
    """Values that become black and full colour; from the samples when None."""
    colour: colours.RGB | None = None
    """None: the colormap for a single channel, a colour of its own for one of several."""
    active: bool = True


@dataclass(frozen=True, slots=True)
class Look:
    """How samples are shown."""

    kind: Kind = "image"
    colormap: str = "gray"
    channels: tuple[Channel, ...] = ()
    """Of the channel axis in order; what is missing is as `Channel()` says."""
    rgb: bool = False
    """The channels are red, green, blue (and opacity), as they are."""
    nodata: complex | None = field(default=None)
    """The value that stands for a missing sample, beside NaN."""

    def limits_of(self, i: int) -> tuple[float, float]:
        """Returns the limits of a channel, those of 8 bits where none are said."""
        said = self.channels[i].limits if i < len(self.channels) else None
        return said or (0.0, 255.0)

    def colour_of(self, i: int) -> colours.RGB | None:
        """Returns the colour of a channel: red, green, blue and white in turn for `rgb`, else as said; None where nothing is."""
        if self.rgb:
            return colours.colour_of((*colours.LIGHT, "ffffff")[i % 4])
        return self.channels[i].colour if i < len(self.channels) else None


def paint(samples: AnyArray, look: Look) -> Painted:
    """Returns a picture of samples of shape (rows, columns), or (channels, rows, columns).

    Missing samples (NaN, `look.nodata`) and label 0 are transparent. Values go linearly from the first limit to the second; those
    outside take the end's colour. Channels are added up, as light is. Raises OptionError for a colormap that is not there.
    """
    if look.kind == "labels" and samples.dtype.kind in "iub":
        picked = samples[0] if samples.ndim == 3 else samples
        return _with_opacity(colours.of_labels(picked.astype(np.uint64) if picked.dtype.kind == "b" else picked), picked != 0)
    stack = samples if samples.ndim == 3 else samples[None]
    if look.rgb and len(stack) in (3, 4) and stack.dtype == np.uint8:
        picture = np.empty((*stack.shape[1:], 4), np.uint8)
        picture[..., 3] = 255
        picture[..., : len(stack)] = stack.transpose(1, 2, 0)
        return picture
    there = np.zeros(stack.shape[1:], bool)
    if len(stack) == 1:
        channel = look.channels[0] if look.channels else Channel()
        shade, there = _shade(stack[0], channel, look.nodata)
        table = colours.table_of(look.colormap) if channel.colour is None or look.colormap != "gray" else _ramp(channel.colour)
        return _with_opacity(table[shade], there)
    light = np.zeros((*stack.shape[1:], 3), np.uint16)
    for i, values in enumerate(stack):
        channel = look.channels[i] if i < len(look.channels) else Channel()
        if not channel.active:
            continue
        shade, valid = _shade(values, channel, look.nodata)
        colour = channel.colour or colours.colour_of(colours.CHANNELS[i % len(colours.CHANNELS)])
        light += np.where(valid[..., None], _ramp(colour)[shade], 0)
        there |= valid
    return _with_opacity(np.minimum(light, 255).astype(np.uint8), there)


def _shade(values: AnyArray, channel: Channel, nodata: complex | None) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Returns 0 to 255 between the limits, and where a sample is."""
    valid = np.ones(values.shape, bool) if nodata is None else values != nodata
    real = np.abs(values) if values.dtype.kind == "c" else values
    if real.dtype.kind == "f":
        valid &= ~np.isnan(real)
    low, high = channel.limits or ((0.0, 1.0) if real.dtype.kind == "b" else limits(real[valid]))
    numbers = np.where(valid, real, 0).astype(np.float64)
    with np.errstate(over="ignore"):
        part = np.clip((numbers - low) / ((high - low) or 1.0), 0, 1)
    return np.rint(part * 255).astype(np.uint8), valid


def _ramp(colour: Sequence[int]) -> NDArray[np.uint8]:
    """Returns 256 colours from black to one."""
    return np.rint(np.linspace(0, 1, 256)[:, None] * np.array(colour, np.float64)).astype(np.uint8)


def _with_opacity(rgb: NDArray[np.uint8], there: NDArray[np.bool_]) -> Painted:
    picture = np.empty((*rgb.shape[:2], 4), np.uint8)
    picture[..., :3] = rgb
    picture[..., 3] = np.where(there, 255, 0)
    return picture
