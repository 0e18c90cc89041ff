"""Which parts of a level are looked at: small, spread from end to end, the same ones each time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

AnyArray = NDArray[np.generic]
AnyDType: TypeAlias = "np.dtype[np.generic]"
Region = tuple[slice, ...]
Shape = tuple[int, ...]


class Sampled(Protocol):
    """A level: shape, dtype, and samples for a tuple of slices."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[np.generic]: ...

    def __getitem__(self, index: tuple[slice, ...], /) -> AnyArray: ...


def fitting(shape: Shape, factors: Sequence[float], budget: int) -> Shape:
    """Returns the largest cube-like block of a level whose footprint in the finer level has at most `budget` samples; one sample at least.

    >>> fitting((100, 100), (2, 2), 4096), fitting((3, 1000), (1, 8), 2400)
    ((30, 30), (3, 94))
    """
    sizes = [1] * len(shape)
    growing = set(range(len(shape)))
    while growing:
        axis = min(growing, key=lambda a: sizes[a])
        grown = sizes.copy()
        grown[axis] = min(shape[axis], max(sizes[axis] + 1, math.ceil(sizes[axis] * 1.25)))
        if grown[axis] == sizes[axis] or math.prod(math.ceil(s * f) for s, f in zip(grown, factors, strict=True)) > budget:
            growing.discard(axis)
        else:
            sizes = grown
    return tuple(sizes)


def spread(shape: Shape, block: Shape, n_wanted: int) -> tuple[Region, ...]:
    """Returns at most `n_wanted` regions of a level: its first and last corner, its middle, then others drawn with a fixed seed.

    >>> spread((10,), (4,), 3)
    ((slice(0, 4, None),), (slice(6, 10, None),), (slice(3, 7, None),))
    """
    last = tuple(n - b for n, b in zip(shape, block, strict=True))
    starts = [tuple(0 for _ in shape), last, tuple(n // 2 for n in last)]
    draw = np.random.default_rng(50)  # any seed will do, so long as two runs look at the same places
    for _ in range(4 * n_wanted):
        starts.append(tuple(int(draw.integers(0, n + 1)) for n in last))
    unique = list(dict.fromkeys(starts))[:n_wanted]
    return tuple(tuple(slice(s, s + b) for s, b in zip(start, block, strict=True)) for start in unique)


def grid(shape: Shape, block: Shape, per_axis: int, moving: Sequence[int]) -> tuple[Region, ...]:
    """Returns regions on a regular grid, first to last along each of the `moving` axes and in the middle of the others."""
    places = []
    for axis, (n, b) in enumerate(zip(shape, block, strict=True)):
        last = n - b
        count = per_axis if axis in moving and last > 0 else 1
        places.append(sorted({round(i * last / (count - 1)) for i in range(count)}) if count > 1 else [last // 2])
    return tuple(tuple(slice(s, s + b) for s, b in zip(start, block, strict=True)) for start in itertools.product(*places))


def read(level: Sampled, region: Region) -> AnyArray:
    """Returns the samples of a region as an array of numpy, in native byte order."""
    block = np.asarray(level[region])
    return np.ascontiguousarray(block, block.dtype.newbyteorder("="))
