"""Quantiles and modes of samples that are not all there, or do not weigh alike: foldings beside the plain ones, for builds that need them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from ziggurat.geometry import Factors
from ziggurat.kernels import ranks, votes, weights, windows
from ziggurat.reductions.foldings import GatheredFolding, SampleFolding, narrowest_count
from ziggurat.reductions.ports import AnyArray, AnyDType, Carry, Counts, Folding, Kernel, Setting, Value

WeighedKernel = Callable[[AnyArray, AnyArray, Factors, AnyArray, complex], None]
"""`kernel(block, heavy, factors, out, missing)`: `heavy`, of the block's shape, is bool (what is there) or float64 (what each weighs)."""


def _heavy(setting: Setting, child: Carry) -> AnyArray:
    """Returns of every base sample what it weighs, 0 where it is missing; bool without weights from outside."""
    samples, given = child.values[0], child.weights
    valid = weights.valid_samples(samples, setting.nodata, given)
    if setting.weighing.weighted and given is not None:
        return np.asarray(given) if valid is None else np.where(valid, given, np.float64(0))
    return np.broadcast_to(np.bool_(True), samples.shape) if valid is None else valid


def _weight_dtype(setting: Setting, level: int) -> AnyDType:
    return np.dtype(np.float64) if setting.weighing.weighted else narrowest_count(setting.window_sizes[level])


def _counted(heavy: AnyArray, factors: Factors, dtype: AnyDType) -> AnyArray:
    """Returns the sum of weights of each window, or the number of valid samples."""
    out = np.empty(windows.window_shape(heavy.shape, factors), dtype)
    windows.fold(np.ascontiguousarray(heavy).view(np.uint8) if heavy.dtype == bool else heavy, factors, out, np.add)
    return out


def mark_missing(setting: Setting, carry: Carry, counts: Counts, out: AnyArray) -> None:
    """Writes `missing` where too little of a window is valid."""
    if carry.weights is None:
        return
    weighing = setting.weighing
    for parts in product(*counts):
        place = tuple(where for where, _ in parts)
        every = carry.values[-1][place] if weighing.totals else math.prod(n for _, n in parts)
        out[place][weights.too_few(carry.weights[place], every, weighing.min_valid)] = setting.missing


@dataclass(frozen=True, slots=True)
class RankFolding:
    """From the level before: each of its samples counts as often as it is there, or weighs what the valid base samples behind it weigh.

    The number (weight) of valid base samples travels up, and, where a share must be valid, that of all: a sample of a level
    that lacks its share is missing to the next level, too.
    """

    setting: Setting
    plain: Kernel
    weighed: WeighedKernel

    @property
    def _totals(self) -> AnyDType | None:
        weighing = self.setting.weighing
        if weighing.weighted:
            return np.dtype(np.float64) if weighing.totals else None
        return None if weighing.min_valid is None else narrowest_count(max(self.setting.window_sizes))

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        return (self.setting.dtype,) if self._totals is None else (self.setting.dtype, self._totals)

    def weight_dtype(self, level: int) -> AnyDType:
        return _weight_dtype(self.setting, level)

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        samples, weighing = child.values[0], self.setting.weighing
        if len(out) > 1:
            if len(child.values) > 1:
                windows.fold(child.values[1], factors, out[1], np.add)
            else:
                windows.window_counts(samples.shape, factors, out[1])
        if level == 1:
            heavy = there = _heavy(self.setting, child)
        elif child.weights is None:
            heavy = there = np.broadcast_to(np.bool_(True), samples.shape)
        else:
            heavy = child.weights
            lacking = weights.too_few(heavy, child.values[-1] if len(out) > 1 else 0, weighing.min_valid if len(out) > 1 else None)
            there = np.where(lacking, np.float64(0), heavy) if weighing.weighted else ~lacking
        if not weighing.weighted and there.all():
            self.plain(samples, factors, out[0], None)
            if level == 1 or child.weights is None:
                return None
        else:
            self.weighed(samples, there, factors, out[0], self.setting.missing)
        return _counted(heavy, factors, self.weight_dtype(level))

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        out[...] = carry.values[0]
        mark_missing(self.setting, carry, counts, out)


@dataclass(frozen=True, slots=True)
class GatheredRanks:
    """From the base at every level: what travels up are the base samples and what each weighs, as many as lie under a sample."""

    setting: Setting
    weighed: WeighedKernel

    def _gathering(self, dtype: AnyDType) -> GatheredFolding:
        setting = self.setting
        return GatheredFolding(Setting(dtype, setting.ladder, setting.base_shape, None), ranks.median)

    @property
    def _kinds(self) -> tuple[AnyDType, AnyDType]:
        return self.setting.dtype, np.dtype(np.float64 if self.setting.weighing.weighted else np.bool_)

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        held = tuple(d for kind in self._kinds for d in self._gathering(kind).carry_dtypes(level))
        return (*held, np.dtype(np.float64)) if self.setting.weighing.totals else held

    def weight_dtype(self, level: int) -> AnyDType:
        return _weight_dtype(self.setting, level)

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        heavy = _heavy(self.setting, child) if level == 1 else child.values[1]
        for values, place, kind in zip((child.values[0], heavy), out, self._kinds, strict=False):
            self._gathering(kind).fold(level, Carry((values,)), factors, (place,))
        if self.setting.weighing.totals:
            windows.fold(child.values[-1], factors, out[2], np.add)
        if level == 1:
            return _counted(heavy, factors, self.weight_dtype(1))
        return None if child.weights is None else _counted(child.weights, factors, self.weight_dtype(level))

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        blocks = zip(*(self._gathering(kind).windows_of(level, v, counts) for v, kind in zip(carry.values, self._kinds, strict=False)), strict=True)
        for (place, window, block), (_, _, heavy) in blocks:
            self.weighed(block, heavy, window, out[place], self.setting.missing)
        mark_missing(self.setting, carry, counts, out)


@dataclass(frozen=True, slots=True)
class Ranked:
    """Factory of median and quantile: the plain kernel where nothing is said beside the samples."""

    plain: Callable[..., None]
    weighed: Callable[..., None]
    gathers: bool = False

    def __call__(self, setting: Setting, **said: Value) -> Folding:
        plain = partial(self.plain, **said) if said else self.plain
        weighed = partial(self.weighed, **said) if said else self.weighed
        if setting.weighing.is_plain:
            return GatheredFolding(setting, plain) if self.gathers else SampleFolding(setting, plain)
        return GatheredRanks(setting, weighed) if self.gathers else RankFolding(setting, plain, weighed)


OF_WINDOWS = Ranked(ranks.quantile, votes.quantile)
OF_BASE = Ranked(ranks.quantile, votes.quantile, gathers=True)


@dataclass(frozen=True, slots=True)
class PickedSamples:
    """A sample of each window: missing where that one is."""

    setting: Setting
    kernel: Kernel

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        return (self.setting.dtype,)

    def weight_dtype(self, level: int) -> AnyDType:
        return np.dtype(np.uint8)  # a missing sample is written as such from level 1 on

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        samples = child.values[0]
        if child.weights is not None:
            samples = np.where(child.weights, samples, self.setting.dtype.type(self.setting.missing))
        self.kernel(samples, factors, out[0], self.setting.nodata)
        return None

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        out[...] = carry.values[0]


@dataclass(frozen=True, slots=True)
class Picks:
    """Factory of stride."""

    kernel: Kernel

    def __call__(self, setting: Setting) -> Folding:
        return SampleFolding(setting, self.kernel) if setting.weighing.is_plain else PickedSamples(setting, self.kernel)
