"""Foldings: reductions without a halo, bound to one build."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from itertools import product

import numpy as np

from ziggurat.geometry import Factors
from ziggurat.kernels import ranks, windows
from ziggurat.problems import PlanError
from ziggurat.reductions.ports import AnyArray, AnyDType, Carry, Counts, Folding, Kernel, Setting

MOST_SPLIT = 1 << 31
"""Most samples whose split sum of 64-bit integers can be divided: the remainder of the high limb and the low limb share 64 bits."""


def _narrowest_sum(dtype: AnyDType, n: int) -> AnyDType | None:
    """Returns the narrowest integer type that holds sums of `n` samples plus `n // 2`, None when 64 bits do not."""
    info = np.iinfo(dtype.name)
    for size in (2, 4, 8):
        wide = np.iinfo(f"{dtype.kind}{size}")
        if size > dtype.itemsize and int(info.max) * n + n // 2 <= int(wide.max) and int(info.min) * n >= int(wide.min):
            return wide.dtype
    return None


def _sum_dtypes(dtype: AnyDType, n: int) -> tuple[AnyDType, ...] | None:
    """Returns the types of an exact sum of `n` samples, None when there is none: float64 and complex128 for what is no integer."""
    if dtype.kind in "fc":
        return (np.dtype(np.float64 if dtype.kind == "f" else np.complex128),)
    if dtype.itemsize == 8:
        return (dtype, np.dtype(np.uint64)) if n <= MOST_SPLIT else None
    narrowest = _narrowest_sum(dtype, n)
    return None if narrowest is None else (narrowest,)


def narrowest_count(n: int) -> AnyDType:
    """Returns the narrowest unsigned type that counts to `n`."""
    return np.dtype(next(f"u{size}" for size in (1, 2, 4, 8) if n < 1 << 8 * size))


def sum_folding(setting: Setting) -> Folding:
    """Returns the mean of one build.

    Raises
    ------
    PlanError
        When the exact sum behind a sample of some level does not fit: more than 2**32 samples of 32 bits, 2**31 of 64 bits.
    """
    sums = []
    for level, n in enumerate(setting.window_sizes):
        dtypes = _sum_dtypes(setting.dtype, n)
        if dtypes is None:
            raise PlanError(f"level {level}: the sum of {n} samples of {setting.dtype.name} does not fit 64 bits; build fewer levels")
        sums.append(dtypes)
    return SumFolding(setting, tuple(sums), tuple(narrowest_count(n) for n in setting.window_sizes))


@dataclass(frozen=True, slots=True)
class SumFolding:
    """Mean: exact sums travel up, divided once per level by the number of valid base samples."""

    setting: Setting
    sums: tuple[tuple[AnyDType, ...], ...]
    """Types of the sums per level: integers where integers suffice, two limbs for those of 64 bits."""
    counts: tuple[AnyDType, ...]

    @property
    def _is_split(self) -> bool:
        return len(self.sums[0]) == 2

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        return self.sums[level]

    def weight_dtype(self, level: int) -> AnyDType:
        return self.counts[level]

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        if level == 1 and child.weights is None:
            return self._fold_samples(child.values[0], factors, out)
        for values, place in zip(child.values, out, strict=True):
            windows.fold(values, factors, place, np.add)
        if child.weights is None:
            return None
        weights = np.empty(out[0].shape, self.weight_dtype(level))
        windows.fold(child.weights, factors, weights, np.add)
        return weights

    def _fold_samples(self, samples: AnyArray, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        if self.setting.dtype.kind in "fc":
            return self._fold_floats(samples, factors, out[0])
        limbs = windows.split(samples) if self._is_split else (samples,)
        for limb, place in zip(limbs, out, strict=True):
            windows.fold(limb, factors, place, np.add)
        nodata = self.setting.nodata
        if nodata is None:
            return None
        missing = samples == samples.dtype.type(nodata)
        if not missing.any():
            return None
        value = operator.index(nodata)  # type: ignore[arg-type]
        n_missing = np.empty(out[0].shape, self.weight_dtype(1))
        windows.fold(missing.view(np.uint8), factors, n_missing, np.add)
        parts = (value >> windows.HALF, value & ((1 << windows.HALF) - 1)) if self._is_split else (value,)
        for part, place in zip(parts, out, strict=True):
            windows.subtract_missing(place, part, n_missing)
        n_present = np.empty_like(n_missing)
        windows.window_counts(samples.shape, factors, n_present)
        return np.subtract(n_present, n_missing, out=n_present)

    def _fold_floats(self, samples: AnyArray, factors: Factors, out: AnyArray) -> AnyArray | None:
        """Takes the plain sums first, and the masked ones only where something is missing."""
        nodata = self.setting.nodata
        with np.errstate(over="ignore", invalid="ignore"):
            surely = windows.looks_missing(samples) if nodata is None else windows.has_missing(samples, nodata)
            if not surely:
                windows.fold(samples, factors, out, np.add)
                if nodata is not None or not windows.has_nan(out):
                    return None
            weights = np.empty(out.shape, self.weight_dtype(1))
            windows.fold_valid(samples, nodata, factors, out, weights)
        return weights

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        for parts in product(*counts):
            place = tuple(where for where, _ in parts)
            values = tuple(v[place] for v in carry.values)
            n = math.prod(count for _, count in parts)
            if carry.weights is None:
                self._divide(values, n, out[place])
            else:
                self._divide_weighted(values, carry.weights[place], n, out[place])

    def _divide(self, values: tuple[AnyArray, ...], n: int, out: AnyArray) -> None:
        if self._is_split:
            windows.divide_split(values[0], values[1], n, out)
        else:
            windows.divide(values[0], n, out)

    def _divide_weighted(self, values: tuple[AnyArray, ...], weights: AnyArray, n: int, out: AnyArray) -> None:
        missing: complex = complex(math.nan, math.nan) if out.dtype.kind == "c" else math.nan
        if self.setting.nodata is not None:
            missing = self.setting.nodata
        if not self._is_split:
            windows.divide_by(values[0], weights, n, out, missing)
            return
        windows.divide_split(values[0], values[1], np.maximum(weights, weights.dtype.type(1)), out)
        out[weights == 0] = missing


@dataclass(frozen=True, slots=True)
class SampleFolding:
    """What carries samples of the base's dtype: each level's window is folded by one kernel, nothing is rounded at the end."""

    setting: Setting
    kernel: Kernel

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        return (self.setting.dtype,)

    def weight_dtype(self, level: int) -> AnyDType:
        return np.dtype(np.uint8)  # samples say themselves whether they are missing

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        self.kernel(child.values[0], factors, out[0], self.setting.nodata)
        return None

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        out[...] = carry.values[0]


@dataclass(frozen=True, slots=True)
class Windows:
    """Factory of reductions that are one kernel over the samples of a window: the newcomer's row needs no more."""

    kernel: Kernel

    def __call__(self, setting: Setting) -> Folding:
        return SampleFolding(setting, self.kernel)


def first_sample(block: AnyArray, factors: Factors, out: AnyArray, nodata: complex | None) -> None:
    windows.pick(block, factors, out)


def lowest(block: AnyArray, factors: Factors, out: AnyArray, nodata: complex | None) -> None:
    ranks.extreme(block, factors, out, np.fmin if block.dtype.kind == "f" else np.minimum, nodata)


def highest(block: AnyArray, factors: Factors, out: AnyArray, nodata: complex | None) -> None:
    ranks.extreme(block, factors, out, np.fmax if block.dtype.kind == "f" else np.maximum, nodata)
