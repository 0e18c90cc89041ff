"""Smoothing: reductions with a halo, bound to one build."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ziggurat.geometry import Factors
from ziggurat.kernels import filters
from ziggurat.reductions.ports import AnyArray, Pads, Setting


@dataclass(frozen=True, slots=True)
class GaussianFilter:
    """Gaussian levels, and the differences between them that a laplacian keeps."""

    setting: Setting

    def halo(self, level: int) -> tuple[int, ...]:
        return tuple(filters.reduce_halo(f) for f in self.setting.ladder[level - 1])

    def reduce(self, level: int, block: AnyArray, pads: Pads, factors: Factors, out: AnyArray) -> None:
        filters.reduce(block, factors, pads, out, self.setting.nodata)

    def expand_halo(self, level: int) -> tuple[int, ...]:
        return tuple(filters.expand_halo(f) for f in self.setting.ladder[level - 1])

    def expand(self, level: int, block: AnyArray, pads: Pads, factors: Factors, out: AnyArray) -> None:
        filters.expand(block, factors, pads, out, self.setting.nodata)

    def difference(self, fine: AnyArray, expanded: AnyArray, out: AnyArray) -> None:
        filters.difference(fine, expanded, out, self.setting.nodata)

    def restore(self, expanded: AnyArray, difference: AnyArray, out: AnyArray) -> None:
        filters.restore(expanded, difference, out, self.setting.nodata)


def expanded_dtype(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """Returns the dtype of the `out` of `Filter.expand`: float64, complex128 for complex numbers."""
    return np.dtype(np.complex128 if dtype.kind == "c" else np.float64)
