"""What is summed and not divided, or summed after a function: sum, count, rms, circular mean, variance, bound to one build."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ziggurat.geometry import Factors
from ziggurat.kernels import filters, moments, weights, windows
from ziggurat.problems import UnsupportedError
from ziggurat.reductions.foldings import WeightedFolding, narrowest_count, sum_folding
from ziggurat.reductions.ports import AnyArray, AnyDType, Carry, Counts, Folding, Setting, difference_dtype

WIDE: AnyDType = np.dtype(np.float64)


# ---------------------------------------------------------------- sums


def total_dtype(dtype: AnyDType, *, overflow: str = "widen", min_count: int = 1) -> AnyDType:
    """Returns the dtype of sums: the widest of the base's kind, or the base's where sums saturate."""
    return dtype if overflow == "saturate" else np.dtype(f"{dtype.kind}{16 if dtype.kind == 'c' else 8}")


def total_folding(setting: Setting, *, overflow: str = "widen", min_count: int = 1) -> Folding:
    """Returns the sum of one build. Raises PlanError as the mean does, whose sums it carries."""
    return TotalFolding(setting, WeightedFolding(setting) if setting.weighing.weighted else sum_folding(setting), min_count)


@dataclass(frozen=True, slots=True)
class TotalFolding:
    """Sums of valid samples, exact for integers; with weights from outside, of weight times sample."""

    setting: Setting
    sums: Folding
    min_count: int
    """0: a window without valid samples is 0; 1: it is missing."""

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        return self.sums.carry_dtypes(level)

    def weight_dtype(self, level: int) -> AnyDType:
        return self.sums.weight_dtype(level)

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        return self.sums.fold(level, child, factors, out)

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        if len(carry.values) == 2 and not self.setting.weighing.weighted:
            moments.saturate_split(carry.values[0], carry.values[1], out)
        elif self.setting.weighing.weighted and out.dtype.kind in "ui":
            filters.store(carry.values[0], out)
        else:
            moments.saturate(carry.values[0], out)
        if carry.weights is not None and (self.min_count or self.setting.weighing.min_valid is not None):
            _mark_missing(self.setting, carry, counts, out)


def _mark_missing(setting: Setting, carry: Carry, counts: Counts, out: AnyArray) -> None:
    """Writes what is missing where too little is valid."""
    if carry.weights is None:
        return
    if setting.weighing.weighted:
        out[weights.too_few(carry.weights, carry.values[-1], setting.weighing.min_valid)] = setting.missing
        return
    for parts in product(*counts):
        place = tuple(where for where, _ in parts)
        n = math.prod(count for _, count in parts)
        out[place][weights.too_few(carry.weights[place], n, setting.weighing.min_valid)] = setting.missing


# ---------------------------------------------------------------- counts


def count_dtype(dtype: AnyDType) -> AnyDType:
    """Returns the dtype of counts."""
    return np.dtype(np.uint64)


@dataclass(frozen=True, slots=True)
class CountFolding:
    """Number of valid samples."""

    setting: Setting

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        return (self.weight_dtype(level),)

    def weight_dtype(self, level: int) -> AnyDType:
        return narrowest_count(self.setting.window_sizes[level])

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        if level > 1:
            windows.fold(child.values[0], factors, out[0], np.add)
            return None if child.weights is None else out[0].copy()
        samples = child.values[0]
        valid = weights.valid_samples(samples, self.setting.nodata, child.weights)
        moments.fold_weights(samples.shape, None, valid, factors, out[0])
        return None if valid is None else out[0].copy()

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        out[...] = carry.values[0]


# ---------------------------------------------------------------- sums of functions of samples


class Measure(Protocol):
    """What is summed of each sample, and what becomes of the means of these sums."""

    @property
    def terms(self) -> tuple[moments.Term, ...]: ...

    def value(self, means: tuple[AnyArray, ...], out: AnyArray) -> AnyArray:
        """Writes the samples of the level; returns where there is no value although samples are valid."""
        ...


@dataclass(frozen=True, slots=True)
class TermFolding:
    """Sums of functions of samples, in float64, divided once per level by the weight of the valid ones."""

    setting: Setting
    measure: Measure

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        n = len(self.measure.terms) + (1 if self.setting.weighing.totals else 0)
        return (WIDE,) * n

    def weight_dtype(self, level: int) -> AnyDType:
        return WIDE if self.setting.weighing.weighted else narrowest_count(self.setting.window_sizes[level])

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        if level > 1:
            for values, place in zip(child.values, out, strict=True):
                windows.fold(values, factors, place, np.add)
            return None if child.weights is None else _summed(child.weights, factors, out[0].shape, self.weight_dtype(level))
        samples, n = child.values[0], len(self.measure.terms)
        valid = moments.fold_terms(samples, child.weights, self.setting.nodata, self.measure.terms, factors, out[:n])
        if self.setting.weighing.totals:
            windows.fold(child.values[1], factors, out[n], np.add)
        if valid is None and not self.setting.weighing.weighted:
            return None
        sums = np.empty(out[0].shape, self.weight_dtype(1))
        moments.fold_weights(samples.shape, child.weights, valid, factors, sums)
        return sums

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        values = carry.values[: len(self.measure.terms)]
        means: list[AnyArray] = [np.empty(out.shape, np.float64) for _ in values]
        for parts in product(*counts):
            place = tuple(where for where, _ in parts)
            by = math.prod(count for _, count in parts) if carry.weights is None else np.maximum(carry.weights[place], np.finfo(np.float64).tiny)
            for mean, sums in zip(means, values, strict=True):
                with np.errstate(over="ignore", invalid="ignore"):
                    np.divide(sums[place], by, out=mean[place])
        out[self.measure.value(tuple(means), out)] = self.setting.missing
        _mark_missing(self.setting, carry, counts, out)


def _summed(values: AnyArray, factors: Factors, shape: tuple[int, ...], dtype: AnyDType) -> AnyArray:
    out = np.empty(shape, dtype)
    windows.fold(values, factors, out, np.add)
    return out


@dataclass(frozen=True, slots=True)
class RootMeanSquare:
    """The root of the mean of squares."""

    @property
    def terms(self) -> tuple[moments.Term, ...]:
        return (np.square,)

    def value(self, means: tuple[AnyArray, ...], out: AnyArray) -> AnyArray:
        root = np.sqrt(means[0])
        filters.store(root, out)
        nowhere: AnyArray = np.zeros(out.shape, bool)
        return nowhere


def rms_folding(setting: Setting) -> Folding:
    """Returns the root mean square of one build."""
    return TermFolding(setting, RootMeanSquare())


LEAST_LENGTH = 1e-12
"""A mean vector shorter than this is what rounding leaves of directions that cancel: it points nowhere."""


@dataclass(frozen=True, slots=True)
class Direction:
    """The direction of the sum of unit vectors, from `low` to `low + period`."""

    period: float
    low: float

    @property
    def terms(self) -> tuple[moments.Term, ...]:
        return (self._cosine, self._sine)

    def _cosine(self, samples: AnyArray) -> AnyArray:
        return np.cos(self._radians(samples))

    def _sine(self, samples: AnyArray) -> AnyArray:
        return np.sin(self._radians(samples))

    def _radians(self, samples: AnyArray) -> NDArray[np.float64]:
        """Returns angles within one turn: many turns beyond it the product would not be exact to the turn."""
        turned: NDArray[np.float64] = np.fmod(samples.astype(np.float64), self.period)
        turned *= 2 * math.pi / self.period
        return turned

    def value(self, means: tuple[AnyArray, ...], out: AnyArray) -> AnyArray:
        cosine, sine = means
        angle = np.arctan2(sine, cosine) * (self.period / (2 * math.pi))
        if out.dtype.kind in "ui":
            angle = np.rint(np.round(angle, 9))  # what float64 makes of a tie lies beside it
        angle = np.mod(angle - self.low, self.period) + self.low
        out[...] = angle
        out[np.asarray(out, np.float64) >= self.low + self.period] = self.low
        lacking: AnyArray = np.hypot(sine, cosine) < LEAST_LENGTH
        return lacking


def circular_folding(setting: Setting, *, period: float = 360, low: float = 0) -> Folding:
    """Returns the circular mean of one build. Raises UnsupportedError when the dtype does not hold every direction."""
    if setting.dtype.kind in "ui":
        info = np.iinfo(setting.dtype.name)
        if low < info.min or low + period - 1 > info.max:
            raise UnsupportedError(f"reduction 'circular_mean': {setting.dtype.name} does not hold {low:g} to {low + period:g}; say a wider dtype=")
    return TermFolding(setting, Direction(period, low))


# ---------------------------------------------------------------- variance


@dataclass(frozen=True, slots=True)
class VarianceFolding:
    """Means and sums of squared deviations, with the weight behind each, merged without cancellation; always with weights."""

    setting: Setting
    after: Callable[[AnyArray], AnyArray]

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        return (WIDE,) * (3 if self.setting.weighing.totals else 2)

    def weight_dtype(self, level: int) -> AnyDType:
        return WIDE

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        heavy, squares = child.weights, child.values[1] if level > 1 else None
        if level == 1:
            heavy = np.ones(child.values[0].shape) if child.weights is None else child.weights.astype(np.float64)
            valid = weights.valid_samples(child.values[0], self.setting.nodata, None)
            if valid is not None:
                heavy = np.where(valid, heavy, 0.0)
        if heavy is None:
            raise AssertionError("a variance is merged from parts that bring their weights")
        if self.setting.weighing.totals:
            windows.fold(child.values[-1], factors, out[2], np.add)
        sums = np.empty(out[0].shape, np.float64)
        moments.merge_moments(child.values[0], squares, heavy, factors, (out[0], out[1]), sums)
        return sums

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        if carry.weights is None:
            raise AssertionError("a variance is finished with its weights")
        value, heavy = np.zeros(out.shape, np.float64), carry.weights.astype(np.float64)
        np.divide(carry.values[1], heavy, out=value, where=heavy > 0)
        filters.store(self.after(value), out)
        _mark_missing(self.setting, carry, counts, out)


def variance_dtype(dtype: AnyDType) -> AnyDType:
    """Returns the dtype of variances and deviations: that of differences."""
    return difference_dtype(dtype)


def variance_folding(setting: Setting) -> Folding:
    """Returns the variance of one build."""
    return VarianceFolding(setting, np.positive)


def deviation_folding(setting: Setting) -> Folding:
    """Returns the standard deviation of one build."""
    return VarianceFolding(setting, np.sqrt)
