"""Reductions: declarative rows over kernels, and a reduction bound to one build (`Folding`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

AnyArray = NDArray[np.generic]
Counts = tuple[tuple[tuple[slice, int], ...], ...]
"""Per axis: (slice inside the tile, number of base samples that each window there holds); the last window may be partial."""


@dataclass(slots=True)
class Carry:
    """What travels up from a tile: sums or samples (each of the tile's shape), and weights only where samples are missing."""

    values: tuple[AnyArray, ...]
    weights: AnyArray | None = None
    """Number of valid base samples behind each value; None means the counts that geometry implies."""


class Folding(Protocol):
    """A reduction bound to one build: base dtype, cumulative factors, nodata. Pure arithmetic on tiles; picklable; thread-safe."""

    def carry_dtypes(self, level: int) -> tuple[np.dtype[np.generic], ...]:
        """Types of `Carry.values` at a level >= 1: the narrowest exact ones."""
        ...

    def weight_dtype(self, level: int) -> np.dtype[np.generic]: ...

    def fold(self, level: int, child: Carry, factors: tuple[int, ...], out: tuple[AnyArray, ...]) -> AnyArray | None:
        """Folds a finished child tile (of `level - 1`; level 0: the samples) into `out`, its place in the parent's values.

        `out[i].shape == ceil(child shape / factors)`; a partial window holds what is there. Returns the weights of that place
        when samples are missing there, else None.
        """
        ...

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        """Rounds a complete carry of `level` once into samples of the level's dtype."""
        ...
