"""Between which values samples are shown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ziggurat.model import JSON

AnyArray = NDArray[Any]
WINDOW_PERCENTILES = (1.0, 99.9)
"""Source: defaults.md, display."""


def limits(samples: AnyArray) -> tuple[float, float]:
    """Returns the values that become black and white: percentiles of what is finite, 0 and 1 where nothing is. Magnitudes, of complex samples.

    >>> limits(np.arange(1001.0))
    (10.0, 999.0)
    """
    values = _ordered(samples)
    if not values.size:
        return 0.0, 1.0
    start, end = (_percentile(values, q) for q in WINDOW_PERCENTILES)
    return (start, end) if end > start else (start, start + 1.0)


def window(samples: AnyArray) -> dict[str, JSON]:
    """Returns `limits` as OME's `window`, with the range that the samples can have as `min` and `max`. Source: OME-NGFF, omero metadata."""
    values = _ordered(samples)
    if not values.size:
        return {"start": 0.0, "end": 1.0, "min": 0.0, "max": 1.0}
    start, end = limits(values)
    low, high = float(values[0]), float(values[-1])
    if samples.dtype.kind in "iu" and samples.dtype.itemsize <= 2:
        bits = 8 * samples.dtype.itemsize
        low, high = (0.0, 2.0**bits - 1) if samples.dtype.kind == "u" else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)
    return {"start": start, "end": end, "min": min(low, start), "max": max(high, end)}


def _ordered(samples: AnyArray) -> AnyArray:
    """Returns the finite samples as sorted float64."""
    values = np.abs(samples) if samples.dtype.kind == "c" else samples
    values = values[np.isfinite(values)] if values.dtype.kind == "f" else values.reshape(-1)
    values = values.astype(np.float64)
    values.sort()
    return values


def _percentile(ordered: AnyArray, q: float) -> float:
    """Returns a percentile of sorted values, linear between neighbours; numpy's own imports half of numpy first (20 ms)."""
    at = (ordered.size - 1) * q / 100
    low = int(at)
    a, b = float(ordered[low]), float(ordered[min(low + 1, ordered.size - 1)])
    return a + (b - a) * (at - low)
