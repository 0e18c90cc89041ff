"""Reductions: declarative rows over kernels, and a reduction bound to one build (`Folding` or `Filter`).

`find("mean")` gives a row of the table, `bind(row, dtype, ladder, base_shape=...)` the arithmetic of one build. Adding a
reduction is one row, one kernel where none fits, and one oracle in the tests; `bind` takes rows of anyone's.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ziggurat import kernels
from ziggurat.geometry import Anchor, Factors, cumulative_factors
from ziggurat.problems import OptionError, PlanError, UnsupportedError

AnyArray = NDArray[np.generic]
AnyDType: TypeAlias = "np.dtype[np.generic]"
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


@dataclass(frozen=True, slots=True)
class Setting:
    """What a reduction is bound to: the facts of one build."""

    dtype: AnyDType
    """Native byte order."""
    ladder: tuple[Factors, ...]
    """Downscale factors of level 1, 2, ..., each from the level before."""
    base_shape: tuple[int, ...]
    nodata: complex | None
    """A value of `dtype`, as a Python number; None when not said."""

    @property
    def window_sizes(self) -> tuple[int, ...]:
        """Number of base samples behind one sample of each level, level 0 included; never more than an axis has."""
        cumulative = cumulative_factors(self.ladder, len(self.base_shape))
        return tuple(math.prod(min(f, n) for f, n in zip(factors, self.base_shape, strict=True)) for factors in cumulative)


@dataclass(frozen=True, slots=True)
class Reduction:
    """One row of the table: how a window of samples becomes one sample."""

    name: str
    anchor: Anchor
    """Where in its window a reduced sample lies; the first-pixel shift of every level follows from it."""
    halo: bool
    """True when samples beyond the window are read: `bind` gives a `Filter`, built level by level; else a `Folding`."""
    composes: bool
    """True when a level made from the level before is what the base gives directly, so that everything can be carried up at once."""
    carries: Literal["sums", "samples", "windows"]
    """What travels up the walk: exact sums, or samples; `"windows"` for filters, which read windows of the level before."""
    kinds: str
    """numpy's letters of the dtypes that it takes: b bool, u and i integers, f floats, c complex."""
    factory: Callable[[Setting], Folding] = field(compare=False)
    window: str
    ties: str
    rounding: str
    partial: str
    nan: str
    nodata: str
    refusal: str = ""
    """What to do with a dtype that it does not take."""
    source: str = ""

    @property
    def source_level(self) -> Literal["base", "previous"]:
        """What a level is defined from, as the metadata says it."""
        return "base" if self.composes else "previous"

    def takes(self, dtype: AnyDType) -> bool:
        """True when `bind` accepts arrays of this dtype."""
        return dtype.kind in self.kinds and not (dtype.kind == "f" and dtype.itemsize > 8) and not (dtype.kind == "c" and dtype.itemsize > 16)

    def level_dtype(self, dtype: AnyDType) -> AnyDType:
        """Returns the dtype of the levels that are built on a base of `dtype`, in native byte order."""
        return dtype.newbyteorder("=")


# ---------------------------------------------------------------- foldings


def _narrowest_sum(dtype: AnyDType, n: int) -> AnyDType | None:
    """Returns the narrowest integer type that holds sums of `n` samples plus `n // 2`, None when 64 bits do not."""
    info = np.iinfo(dtype.name)
    for bits in (16, 32, 64):
        wide = np.iinfo(f"{dtype.kind}{bits // 8}")
        if bits > 8 * dtype.itemsize and int(info.max) * n + n // 2 <= int(wide.max) and int(info.min) * n >= int(wide.min):
            return wide.dtype
    return None


def _narrowest_count(n: int) -> AnyDType:
    return np.dtype(next(f"u{size}" for size in (1, 2, 4, 8) if n < 1 << 8 * size))


@dataclass(frozen=True, slots=True)
class SumFolding:
    """Mean: exact sums travel up, divided once per level by the number of valid base samples."""

    setting: Setting

    @property
    def _is_split(self) -> bool:
        return self.setting.dtype.kind in "ui" and self.setting.dtype.itemsize == 8

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        """Types of the sums: integers where integers suffice; float64 and complex128 else; two limbs for 64-bit integers."""
        dtype = self.setting.dtype
        if dtype.kind == "f":
            return (np.dtype(np.float64),)
        if dtype.kind == "c":
            return (np.dtype(np.complex128),)
        if self._is_split:
            return (dtype, np.dtype(np.uint64))
        narrowest = _narrowest_sum(dtype, self.setting.window_sizes[level])
        if narrowest is None:
            raise PlanError(f"level {level}: the sum of {self.setting.window_sizes[level]} samples of {dtype.name} does not fit 64 bits; build fewer levels")
        return (narrowest,)

    def weight_dtype(self, level: int) -> AnyDType:
        return _narrowest_count(self.setting.window_sizes[level])

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        if level == 1 and child.weights is None:
            return self._fold_samples(child.values[0], factors, out)
        for values, place in zip(child.values, out, strict=True):
            kernels.fold(values, factors, place, np.add)
        if child.weights is None:
            return None
        weights = np.empty(out[0].shape, self.weight_dtype(level))
        kernels.fold(child.weights, factors, weights, np.add)
        return weights

    def _fold_samples(self, samples: AnyArray, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        if self.setting.dtype.kind in "fc":
            return self._fold_floats(samples, factors, out[0])
        limbs = kernels.split(samples) if self._is_split else (samples,)
        for limb, place in zip(limbs, out, strict=True):
            kernels.fold(limb, factors, place, np.add)
        nodata = self.setting.nodata
        if nodata is None:
            return None
        missing = samples == samples.dtype.type(nodata)
        if not missing.any():
            return None
        value = operator.index(nodata)  # type: ignore[arg-type]
        n_missing = np.empty(out[0].shape, self.weight_dtype(1))
        kernels.fold(missing.view(np.uint8), factors, n_missing, np.add)
        parts = (value >> kernels.HALF, value & ((1 << kernels.HALF) - 1)) if self._is_split else (value,)
        for part, place in zip(parts, out, strict=True):
            kernels.subtract_missing(place, part, n_missing)
        n_present = np.empty_like(n_missing)
        kernels.window_counts(samples.shape, factors, n_present)
        return np.subtract(n_present, n_missing, out=n_present)

    def _fold_floats(self, samples: AnyArray, factors: Factors, out: AnyArray) -> AnyArray | None:
        nodata = self.setting.nodata
        with np.errstate(over="ignore", invalid="ignore"):
            if nodata is None:
                kernels.fold(samples, factors, out, np.add)
                if not kernels.has_nan(out):
                    return None
                missing = np.isnan(samples)
            else:
                missing = np.isnan(samples) | (samples == samples.dtype.type(nodata))
            if not missing.any():
                if nodata is not None:
                    kernels.fold(samples, factors, out, np.add)
                return None
            kernels.fold_valid(samples, missing, factors, out)
        weights = np.empty(out.shape, self.weight_dtype(1))
        kernels.fold((~missing).view(np.uint8), factors, weights, np.add)
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
            kernels.divide_split(values[0], values[1], n, out)
        else:
            kernels.divide(values[0], n, out)

    def _divide_weighted(self, values: tuple[AnyArray, ...], weights: AnyArray, n: int, out: AnyArray) -> None:
        """Divides the plain way, then puts right what has fewer valid samples than geometry says: most windows are whole."""
        self._divide(values, n, out)
        rare = np.nonzero(weights != weights.dtype.type(n))
        if not rare[0].size:
            return
        missing: complex = math.nan if self.setting.nodata is None else self.setting.nodata
        some = np.empty(rare[0].size, out.dtype)
        few = weights[rare]
        if self._is_split:
            kernels.divide_split(values[0][rare], values[1][rare], np.maximum(few, few.dtype.type(1)), some)
            some[few == 0] = missing
        else:
            kernels.divide_by(values[0][rare], few, some, missing)
        out[rare] = some


@dataclass(frozen=True, slots=True)
class SampleFolding:
    """What carries samples of the base's dtype: each level's window is folded by one kernel, nothing is rounded at the end."""

    setting: Setting
    kernel: Callable[[AnyArray, Factors, AnyArray, complex | None], None]
    """`kernel(block, factors, out, nodata)`; NaN (floats) and `nodata` are missing; a window without samples becomes missing."""

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        return (self.setting.dtype,)

    def weight_dtype(self, level: int) -> AnyDType:
        return _narrowest_count(self.setting.window_sizes[level])

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        self.kernel(child.values[0], factors, out[0], self.setting.nodata)
        return None

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        out[...] = carry.values[0]


def _first(block: AnyArray, factors: Factors, out: AnyArray, nodata: complex | None) -> None:
    kernels.pick(block, factors, out)


def _extreme(block: AnyArray, factors: Factors, out: AnyArray, nodata: complex | None, op: np.ufunc) -> None:
    if nodata is None:
        kernels.fold_extreme(block, factors, out, op, None, 0)
        return
    missing = block == block.dtype.type(nodata)
    if block.dtype.kind == "f":
        missing |= np.isnan(block)
    kernels.fold_extreme(block, factors, out, op, missing if missing.any() else None, nodata)


def _minimum(block: AnyArray, factors: Factors, out: AnyArray, nodata: complex | None) -> None:
    _extreme(block, factors, out, nodata, np.fmin if block.dtype.kind == "f" else np.minimum)


def _maximum(block: AnyArray, factors: Factors, out: AnyArray, nodata: complex | None) -> None:
    _extreme(block, factors, out, nodata, np.fmax if block.dtype.kind == "f" else np.maximum)


@dataclass(frozen=True, slots=True)
class Windows:
    """Factory of reductions that are one kernel over the samples of a window: the newcomer's row needs no more."""

    kernel: Callable[[AnyArray, Factors, AnyArray, complex | None], None]

    def __call__(self, setting: Setting) -> Folding:
        return SampleFolding(setting, self.kernel)


# ---------------------------------------------------------------- the table

TABLE: tuple[Reduction, ...] = (
    Reduction(
        name="mean",
        anchor="centre",
        halo=False,
        composes=True,
        carries="sums",
        kinds="uifc",
        factory=SumFolding,
        window="the factors; every sample counts the same",
        ties="half to even",
        rounding="exact sums are carried from the base and divided once per level; 64-bit integers in two limbs, floats in float64, complex in complex128",
        partial="divided by the number of samples that are there",
        nan="skipped; a window of NaN alone is NaN",
        nodata="skipped; a window without valid samples is nodata",
        refusal="use 'mode' (majority), 'any' or 'all'",
        source="issue #50: 'type'; maths.md 3.4",
    ),
    Reduction(
        name="stride",
        anchor="first",
        halo=False,
        composes=True,
        carries="samples",
        kinds="buifc",
        factory=Windows(_first),
        window="the first sample of the window along every axis",
        ties="none",
        rounding="none",
        partial="the first sample is always there",
        nan="a sample like any other",
        nodata="a sample like any other",
        source="issue #50: 'type'; maths.md 3.5",
    ),
    Reduction(
        name="min",
        anchor="centre",
        halo=False,
        composes=True,
        carries="samples",
        kinds="buif",
        factory=Windows(_minimum),
        window="the factors",
        ties="none: equal samples are one value",
        rounding="none",
        partial="the samples that are there",
        nan="skipped; a window of NaN alone is NaN",
        nodata="skipped; a window without valid samples is nodata",
        refusal="complex numbers have no order; use 'mean' or 'stride'",
        source="maths.md 3.5",
    ),
    Reduction(
        name="max",
        anchor="centre",
        halo=False,
        composes=True,
        carries="samples",
        kinds="buif",
        factory=Windows(_maximum),
        window="the factors",
        ties="none: equal samples are one value",
        rounding="none",
        partial="the samples that are there",
        nan="skipped; a window of NaN alone is NaN",
        nodata="skipped; a window without valid samples is nodata",
        refusal="complex numbers have no order; use 'mean' or 'stride'",
        source="maths.md 3.5",
    ),
)
"""Every reduction that there is, in the order in which it is listed."""


def find(name: str) -> Reduction:
    """Returns the row of a reduction by name.

    Raises
    ------
    OptionError
        When there is none of that name; the message lists what there is.
    """
    for reduction in TABLE:
        if reduction.name == name:
            return reduction
    raise OptionError(f"reduction {name!r}: there is none of that name; expected one of {', '.join(r.name for r in TABLE)}")


def bind(reduction: Reduction, dtype: AnyDType, ladder: Sequence[Factors], *, nodata: float | complex | None = None, base_shape: tuple[int, ...]) -> Folding:
    """Returns the arithmetic of one build: `reduction` on a base of `dtype`, with the downscale factors of each level.

    `nodata` marks missing samples, of the base's dtype; NaN says nothing new for floats and is dropped.

    Raises
    ------
    UnsupportedError
        When the reduction does not take the dtype.
    OptionError
        When `nodata` is no value of the dtype, or the ladder does not fit the shape.
    PlanError
        When exact sums of the last level would not fit.
    """
    dtype = np.dtype(dtype).newbyteorder("=")
    if not reduction.takes(dtype):
        known = ", ".join(KINDS[kind] for kind in reduction.kinds)
        hint = f"; {reduction.refusal}" if reduction.refusal else ""
        raise UnsupportedError(f"reduction {reduction.name!r}: found dtype {dtype.name!r}, expected {known}{hint}")
    for k, factors in enumerate(ladder, start=1):
        if len(factors) != len(base_shape) or min(factors, default=1) < 1:
            raise OptionError(f"factors of level {k}: found {tuple(factors)!r}, expected {len(base_shape)} whole numbers of at least 1")
    setting = Setting(dtype, tuple(tuple(f) for f in ladder), tuple(base_shape), _as_nodata(nodata, dtype))
    return reduction.factory(setting)


KINDS = {"b": "bool", "u": "unsigned integers", "i": "signed integers", "f": "floats up to 64 bit", "c": "complex up to 128 bit"}


def _as_nodata(nodata: float | complex | None, dtype: AnyDType) -> complex | None:
    """Returns nodata as a Python number that the dtype holds exactly, None when it says nothing."""
    if nodata is None or nodata != nodata:
        if nodata is not None and dtype.kind not in "fc":
            raise OptionError(f"nodata {nodata!r}: no value of {dtype.name}; give a whole number")
        return None
    try:
        with np.errstate(over="ignore"):
            value = np.array(nodata).astype(dtype, casting="unsafe") if dtype.kind in "fc" else np.array(operator.index(nodata), dtype)  # type: ignore[arg-type]
    except (TypeError, OverflowError) as error:
        raise OptionError(f"nodata {nodata!r}: no value of {dtype.name}; give one that the array can hold") from error
    return value.item()  # type: ignore[no-any-return]
