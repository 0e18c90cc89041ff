"""Pictures as PNG files that know how large their pixels are."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from ziggurat.display.painting import Painted

_HEADER = 33
"""Bytes of the signature and of IHDR, behind which further chunks may stand. Source: PNG specification, 5.6."""
METRES: Mapping[str, float] = MappingProxyType(
    {"nanometer": 1e-9, "micrometer": 1e-6, "millimeter": 1e-3, "centimeter": 1e-2, "meter": 1.0, "kilometer": 1e3, "angstrom": 1e-10}
    | {"nm": 1e-9, "um": 1e-6, "µm": 1e-6, "micron": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "metre": 1.0, "km": 1e3}
)
"""Length units in metres, by the words that documents use."""


def encode_png(picture: Painted, *, step: tuple[float, float] | None = None) -> bytes:
    """Returns a picture as a PNG: grey or colour, with opacity only where something is transparent.

    `step` is the size of a pixel in metres (rows, columns); it is written (chunk `pHYs`, whole pixels per metre) where it fits: between
    0.23 nm and 1 m. Source: PNG specification, 11.3.4.3.
    """
    import imagecodecs

    opaque = bool((picture[..., 3] == 255).all())
    grey = bool((picture[..., 0] == picture[..., 1]).all() and (picture[..., 1] == picture[..., 2]).all())
    samples = picture[..., 0] if grey and opaque else picture[..., [0, 3]] if grey else picture[..., :3] if opaque else picture
    encoded = bytes(imagecodecs.png_encode(np.ascontiguousarray(samples)))
    if step is None:
        return encoded
    per_metre = [round(1 / abs(size)) if size else 0 for size in reversed(step)]  # columns first, as the chunk has them
    if not all(1 <= n < 2**31 * 2 for n in per_metre):
        return encoded
    body = b"pHYs" + struct.pack(">IIB", *per_metre, 1)
    return encoded[:_HEADER] + struct.pack(">I", 9) + body + struct.pack(">I", zlib.crc32(body)) + encoded[_HEADER:]
