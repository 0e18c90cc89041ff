"""Foldings: reductions without a halo, bound to one build."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from ziggurat.geometry import Factors, cumulative_factors
from ziggurat.kernels import ranks, weights, windows
from ziggurat.problems import PlanError
from ziggurat.reductions.ports import AnyArray, AnyDType, Carry, Counts, Folding, Kernel, Setting, Value, Weighing

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
    if setting.weighing.weighted:
        return WeightedFolding(setting)
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
        if level == 1 and not child.lead:
            return self._fold_samples(child.values[0], child.weights, factors, out)
        limbs = windows.split(child.values[0]) if level == 1 and self._is_split else child.values
        lead = child.lead if any(child.lead) else ()
        for values, place in zip(limbs, out, strict=True):
            windows.fold(values, factors, place, np.add, lead)
        if child.weights is None:
            return None
        counts = np.empty(out[0].shape, self.weight_dtype(level))
        windows.fold(child.weights, factors, counts, np.add)
        return counts

    def _fold_samples(self, samples: AnyArray, mask: AnyArray | None, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        if mask is not None and not mask.all():
            return self._fold_masked(samples, mask, factors, out)
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

    def _fold_masked(self, samples: AnyArray, mask: AnyArray, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray:
        valid = weights.valid_samples(samples, self.setting.nodata, mask)
        there = mask if valid is None else valid
        counts = np.empty(out[0].shape, self.weight_dtype(1))
        if self.setting.dtype.kind in "fc":
            windows.fold(np.where(there, samples, samples.dtype.type(0)), factors, out[0], np.add)
            weights.count_valid(there, factors, counts)
        else:
            weights.fold_masked(samples, there, factors, out, counts)
        return counts

    def _fold_floats(self, samples: AnyArray, factors: Factors, out: AnyArray) -> AnyArray | None:
        """Takes the plain sums first, and the masked ones only where something is missing."""
        nodata = self.setting.nodata
        with np.errstate(over="ignore", invalid="ignore"):
            surely = windows.looks_missing(samples) if nodata is None else windows.has_missing(samples, nodata)
            if not surely:
                windows.fold(samples, factors, out, np.add)
                if nodata is not None or not windows.has_nan(out):
                    return None
            counts = np.empty(out.shape, self.weight_dtype(1))
            windows.fold_valid(samples, nodata, factors, out, counts)
        return counts

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

    def _divide_weighted(self, values: tuple[AnyArray, ...], n_valid: AnyArray, n: int, out: AnyArray) -> None:
        missing, min_valid = self.setting.missing, self.setting.weighing.min_valid
        if self._is_split:
            windows.divide_split(values[0], values[1], np.maximum(n_valid, n_valid.dtype.type(1)), out)
        else:
            windows.divide_by(values[0], n_valid, n, out, missing)
        if self._is_split or min_valid is not None:
            out[weights.too_few(n_valid, n, min_valid)] = missing


def joins_parts(folding: Folding) -> bool:
    """True when what a window's parts give may be added in any order: integer sums. Sums of floats are rounded on the way."""
    return isinstance(folding, SumFolding) and folding.setting.dtype.kind in "iu" and folding.setting.nodata is None


@dataclass(frozen=True, slots=True)
class WeightedFolding:
    """Mean with weights from outside: sums of weight times sample in float64 (complex128), divided once per level by the weight of valid ones.

    With `totals` the weight of all samples is carried too, as the second value.
    """

    setting: Setting

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        sums: AnyDType = np.dtype(np.complex128 if self.setting.dtype.kind == "c" else np.float64)
        return (sums, np.dtype(np.float64)) if self.setting.weighing.totals else (sums,)

    def weight_dtype(self, level: int) -> AnyDType:
        return np.dtype(np.float64)

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray:
        if child.weights is None:
            raise AssertionError("a build with weights folds tiles that bring them")
        sums = np.empty(out[0].shape, np.float64)
        if level == 1:
            weights.fold_weighted(child.values[0], child.weights, self.setting.nodata, factors, out[0], sums)
        else:
            windows.fold(child.values[0], factors, out[0], np.add)
            windows.fold(child.weights, factors, sums, np.add)
        if self.setting.weighing.totals:
            windows.fold(child.values[1], factors, out[1], np.add)
        return sums

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        if carry.weights is None:
            raise AssertionError("a build with weights finishes tiles that bring them")
        weights.divide_weighted(carry.values[0], carry.weights, out)
        lacking = weights.too_few(carry.weights, carry.values[-1], self.setting.weighing.min_valid)
        if lacking.any():
            out[lacking] = self.setting.missing


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
class ExtremeFolding:
    """The smallest or largest valid sample, with the number of valid ones beside it: for masks, `min_valid` and coverage."""

    setting: Setting
    largest: bool

    @property
    def _op(self) -> np.ufunc:
        return np.maximum if self.largest else np.minimum

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        return (self.setting.dtype,)

    def weight_dtype(self, level: int) -> AnyDType:
        return narrowest_count(self.setting.window_sizes[level])

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        samples = child.values[0]
        if level > 1:  # where nothing is valid the value is the neutral one, which changes nothing
            windows.fold(samples, factors, out[0], self._op)
            if child.weights is None:
                return None
            counts = np.empty(out[0].shape, self.weight_dtype(level))
            windows.fold(child.weights, factors, counts, np.add)
            return counts
        valid = weights.valid_samples(samples, self.setting.nodata, child.weights)
        if valid is None:
            windows.fold(samples, factors, out[0], self._op)
            return None
        weights.fold_extreme(samples, valid, factors, out[0], self._op, ranks.neutral(self.setting.dtype, self._op))
        counts = np.empty(out[0].shape, self.weight_dtype(1))
        weights.count_valid(valid, factors, counts)
        return counts

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        out[...] = carry.values[0]
        if out.dtype.kind == "f":
            ranks.unsign_zeros(out)
        if carry.weights is None:
            return
        for parts in product(*counts):
            place = tuple(where for where, _ in parts)
            n = math.prod(count for _, count in parts)
            out[place][weights.too_few(carry.weights[place], n, self.setting.weighing.min_valid)] = self.setting.missing


@dataclass(frozen=True, slots=True)
class Extremes:
    """Factory of min, max, any and all."""

    kernel: Kernel
    largest: bool

    def __call__(self, setting: Setting) -> Folding:
        return SampleFolding(setting, self.kernel) if setting.weighing.is_plain else ExtremeFolding(setting, self.largest)


@dataclass(frozen=True, slots=True)
class EnvelopeFolding:
    """The smallest and the largest valid sample side by side."""

    lowest: Folding
    highest: Folding

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        return (*self.lowest.carry_dtypes(level), *self.highest.carry_dtypes(level))

    def weight_dtype(self, level: int) -> AnyDType:
        return self.lowest.weight_dtype(level)

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        self.highest.fold(level, Carry(child.values[-1:], child.weights), factors, out[1:])
        return self.lowest.fold(level, Carry(child.values[:1], child.weights), factors, out[:1])

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        self.lowest.finish(level, Carry(carry.values[:1], carry.weights), counts, out)

    def finish_second(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        """Writes the largest samples."""
        self.highest.finish(level, Carry(carry.values[1:], carry.weights), counts, out)


def envelope_folding(setting: Setting) -> Folding:
    """Returns the envelope of one build."""
    return EnvelopeFolding(Extremes(lowest, largest=False)(setting), Extremes(highest, largest=True)(setting))


def coverage(carry: Carry, counts: Counts, weighing: Weighing, out: AnyArray) -> None:
    """Writes the share of the weight behind each value that is valid, 0 to 1, into `out` (float32); 0 where nothing weighs anything."""
    if carry.weights is None:
        out[...] = 1
        return
    if weighing.weighted:
        out[...] = 0
        np.divide(carry.weights, carry.values[-1], out=out, where=carry.values[-1] != 0, casting="unsafe")
        return
    for parts in product(*counts):
        place = tuple(where for where, _ in parts)
        np.divide(carry.weights[place], math.prod(count for _, count in parts), out=out[place], casting="unsafe")


@dataclass(frozen=True, slots=True)
class Windows:
    """Factory of reductions that are one kernel over the samples of a window: the newcomer's row needs no more.

    What is said in brackets is given to the kernel by name.
    """

    kernel: Callable[..., None]

    def __call__(self, setting: Setting, **said: Value) -> Folding:
        return SampleFolding(setting, partial(self.kernel, **said) if said else self.kernel)


@dataclass(frozen=True, slots=True)
class GatheredFolding:
    """Any kernel, from the base at every level: what travels up are the base samples themselves, as many as lie under a sample.

    A carry is as large as the base samples under it, so a level is planned only while these fit the memory.
    """

    setting: Setting
    kernel: Kernel

    def _window(self, level: int) -> Factors:
        """Returns the most base samples that lie under a sample of `level`, per axis."""
        cumulative = cumulative_factors(self.setting.ladder, len(self.setting.base_shape))[level]
        return tuple(min(f, n) for f, n in zip(cumulative, self.setting.base_shape, strict=True))

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        return (np.dtype((self.setting.dtype, (math.prod(self._window(level)),))),)

    def weight_dtype(self, level: int) -> AnyDType:
        return np.dtype(np.uint8)  # samples say themselves whether they are missing

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        below, above, n_axes = self._window(level - 1), self._window(level), len(factors)
        samples = child.values[0].reshape((*child.values[0].shape[:n_axes], *below))
        place = out[0].reshape((*out[0].shape[:-1], *above))  # splits the last axis: a view
        for step in product(*map(range, factors)):
            taken = samples[tuple(slice(i, None, f) for i, f in zip(step, factors, strict=True))]
            here = tuple(slice(0, n) for n in taken.shape[:n_axes])
            slots = tuple(slice(i * b, min(i * b + b, a)) for i, b, a in zip(step, below, above, strict=True))
            target = place[here + slots]
            target[...] = taken[here + tuple(slice(0, n) for n in target.shape[n_axes:])]
        return None

    def windows_of(self, level: int, values: AnyArray, counts: Counts) -> Iterator[tuple[tuple[slice, ...], Factors, AnyArray]]:
        """Yields (place in the level, base samples per window, those of all windows there, side by side) of whole and partial windows."""
        n_axes = len(counts)
        held = values.reshape((*values.shape[:n_axes], *self._window(level)))
        turns = tuple(axis for i in range(n_axes) for axis in (i, n_axes + i))
        for parts in product(*counts):
            place, window = tuple(where for where, _ in parts), tuple(n for _, n in parts)
            some = held[place + tuple(slice(0, n) for n in window)]
            yield place, window, some.transpose(turns).reshape([a * b for a, b in zip(some.shape[:n_axes], window, strict=True)])

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        for place, window, block in self.windows_of(level, carry.values[0], counts):
            self.kernel(block, window, out[place], self.setting.nodata)


@dataclass(frozen=True, slots=True)
class Gathered:
    """Factory of what makes every level from the base samples by one kernel."""

    kernel: Callable[..., None]

    def __call__(self, setting: Setting, **said: Value) -> Folding:
        return GatheredFolding(setting, partial(self.kernel, **said) if said else self.kernel)


def first_sample(block: AnyArray, factors: Factors, out: AnyArray, nodata: complex | None) -> None:
    windows.pick(block, factors, out)


def lowest(block: AnyArray, factors: Factors, out: AnyArray, nodata: complex | None) -> None:
    ranks.extreme(block, factors, out, np.fmin if block.dtype.kind == "f" else np.minimum, nodata)


def highest(block: AnyArray, factors: Factors, out: AnyArray, nodata: complex | None) -> None:
    ranks.extreme(block, factors, out, np.fmax if block.dtype.kind == "f" else np.maximum, nodata)
