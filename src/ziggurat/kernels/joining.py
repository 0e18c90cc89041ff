"""Joining what lies in windows of any length along an axis: borders may cut samples, which then count in both windows by their share.

`borders` are whole numbers of ticks, `unit` ticks per sample. Values are joined window by window, axis by axis, first axis first, so a
result depends on its window alone and never on how an array was cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ziggurat.kernels.windows import Array


@dataclass(frozen=True, slots=True)
class Pieces:
    """What the windows along one axis of a block are made of."""

    index: Array
    """Samples of the block in the order of the windows; one on a border is there twice."""
    starts: Array
    """Where in `index` each window begins."""
    ticks: Array
    """Ticks of each of `index` that lie in its window."""
    lengths: Array
    """Ticks of each window."""


def pieces(borders: Array, unit: int) -> Pieces:
    """Returns the pieces of windows between `borders` (n + 1 ticks, ascending); the block begins with the sample of the first one.

    >>> found = pieces(np.array([0, 7, 14]), 3)
    >>> found.index.tolist(), found.ticks.tolist(), found.starts.tolist()
    ([0, 1, 2, 2, 3, 4], [3, 3, 1, 2, 3, 2], [0, 3])
    """
    first = borders[0] // unit
    low, high = borders[:-1] // unit, -(-borders[1:] // unit)
    counts = high - low
    starts = np.cumsum(counts) - counts
    window = np.repeat(np.arange(len(counts)), counts)
    sample = np.arange(counts.sum()) - starts[window] + low[window]
    begin, end = np.maximum(borders[window], sample * unit), np.minimum(borders[window + 1], (sample + 1) * unit)
    return Pieces(sample - first, starts, end - begin, np.diff(borders))


def join(values: Array, axes: tuple[Pieces, ...], dtype: np.dtype[Any], op: np.ufunc) -> Array:
    """Returns one value per window: `op` over its samples, in `dtype`; sums count each sample by its ticks."""
    for axis, parts in enumerate(axes):
        if len(parts.index) == len(parts.starts) == values.shape[axis] and (op is not np.add or (parts.ticks == 1).all()):
            continue
        taken = values.take(parts.index, axis=axis).astype(dtype, copy=False)
        if op is np.add and (parts.ticks != 1).any():
            taken *= parts.ticks.astype(dtype).reshape(-1, *(1,) * (values.ndim - axis - 1))
        values = op.reduceat(taken, parts.starts, axis=axis, dtype=dtype)
    return values.astype(dtype, copy=False)
