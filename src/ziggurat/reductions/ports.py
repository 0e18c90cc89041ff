"""Ports of reductions: what travels up a walk, what a bound reduction does, and the row that describes one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ziggurat.geometry import Anchor, Factors, cumulative_factors
from ziggurat.problems import OptionError

AnyArray = NDArray[np.generic]
AnyDType: TypeAlias = "np.dtype[np.generic]"
Counts = tuple[tuple[tuple[slice, int], ...], ...]
"""Per axis: (slice inside the tile, number of base samples that each window there holds); the last window may be partial."""


Pads = Sequence[tuple[int, int]]
"""Per axis: how many samples of a wanted block lie before and beyond the array."""
Kernel = Callable[[AnyArray, Factors, AnyArray, complex | None], None]
"""`kernel(block, factors, out, nodata)`: one sample per window; NaN (floats) and `nodata` are missing, as is a window of them alone."""


@dataclass(slots=True)
class Carry:
    """What travels up from a tile: sums or samples (each of the tile's shape), and weights only where samples are missing or weigh.

    Level 0 is the samples themselves; weights and masks that were given from outside are there in `weights`, as `Weighing` says.
    """

    values: tuple[AnyArray, ...]
    weights: AnyArray | None = None
    """Weight of the valid base samples behind each value: their number, or the sum of weights given from outside.

    None means the counts that geometry implies (level 0: every sample counts 1).
    """
    lead: tuple[int, ...] = ()
    """Samples of the first window of each axis that are not here but elsewhere; only where sums are joined (see `joins_parts`)."""


@dataclass(frozen=True, slots=True)
class Weighing:
    """What is said about the samples of a build beside their values.

    - `masked`: a tile of level 0 may come with `Carry.weights` of dtype bool, False where a sample is missing.
    - `weighted`: a tile of level 0 comes with `Carry.weights` of float64, 0 where a sample is missing. Then every fold returns weights.
    - `totals`: with `weighted`, the weight of all samples, valid or not, travels along as the last of `Carry.values`, level 0 included.
    """

    masked: bool = False
    weighted: bool = False
    totals: bool = False
    min_valid: float | None = None
    """Share of the weight of a window that must be valid, in (0, 1]; None: any valid sample will do."""
    covers: bool = False
    """True when the share of valid weight is wanted of every level, so that it has to be carried."""
    fill: complex = 0
    """What an integer level holds where it is missing and no `nodata` was said."""

    @property
    def is_plain(self) -> bool:
        """True when nothing was said: each sample counts 1, and any valid one will do."""
        return not (self.masked or self.weighted or self.covers) and self.min_valid is None


class Folding(Protocol):
    """A reduction bound to one build: base dtype, cumulative factors, nodata. Pure arithmetic on tiles; picklable; thread-safe."""

    def carry_dtypes(self, level: int) -> tuple[np.dtype[np.generic], ...]:
        """Types of `Carry.values` at a level >= 1: the narrowest exact ones."""
        ...

    def weight_dtype(self, level: int) -> np.dtype[np.generic]: ...

    def fold(self, level: int, child: Carry, factors: tuple[int, ...], out: tuple[AnyArray, ...]) -> AnyArray | None:
        """Folds a finished child tile (of `level - 1`; level 0: the samples) into `out`, its place in the parent's values.

        `out[i].shape == ceil(child shape / factors)`; a partial window holds what is there. Returns the weights of that place
        when samples are missing there, else None; in a build with weights from outside always the weights. With factors of 1
        and level 1 it gives what the base samples themselves carry.
        """
        ...

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        """Rounds a complete carry of `level` once into samples of the level's dtype."""
        ...


@runtime_checkable
class Bounded(Protocol):
    """A folding that carries no more than a bound, and knows of which samples it can no longer prove the value."""

    def n_unproven(self, level: int, carry: Carry) -> int:
        """Returns how many samples of a complete carry of `level` may have another value than `finish` gives them."""
        ...


@runtime_checkable
class Paired(Protocol):
    """A folding that makes two arrays of each level from one carry; `finish` writes the first."""

    def finish_second(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        """Rounds a complete carry of `level` once into samples of the second array, of the level's dtype."""
        ...


class Filter(Protocol):
    """A reduction with a halo bound to one build: level k is made from the whole of level k - 1, tile by tile. Pure; picklable; thread-safe."""

    def halo(self, level: int) -> tuple[int, ...]:
        """Samples of `level - 1` to read beyond a tile's windows, per axis, on each side."""
        ...

    def reduce(self, level: int, block: AnyArray, pads: Pads, factors: Factors, out: AnyArray) -> None:
        """Makes the samples `out` of a tile of `level` (of the base's dtype) from samples of `level - 1`.

        `block` is `[start * factor - halo, stop * factor + halo)` of that level, clipped to the array; `pads` says per axis how
        many samples the clipping took before and after. Values do not depend on how the level is cut into tiles.
        """
        ...

    def expand_halo(self, level: int) -> tuple[int, ...]:
        """Samples of `level` to read beyond those over a tile of `level - 1`, per axis, on each side."""
        ...

    def expand(self, level: int, block: AnyArray, pads: Pads, factors: Factors, out: AnyArray) -> None:
        """Expands samples of `level` to a tile `out` of `level - 1`, in float64 (complex128).

        The tile begins on a multiple of `factors`; with `start` and `stop` its ends, `block` is
        `[start / factor - expand_halo, ceil(stop / factor) + expand_halo)` of `level`, clipped and padded as in `reduce`.
        """
        ...

    def difference(self, fine: AnyArray, expanded: AnyArray, out: AnyArray) -> None:
        """Writes `fine - expanded` in the dtype of the levels of a laplacian; NaN where `fine` is missing. The last level: `expanded` 0."""
        ...

    def restore(self, expanded: AnyArray, difference: AnyArray, out: AnyArray) -> None:
        """Writes the `fine` that `difference` was taken from: bit for bit for integers, to rounding for floats."""
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
    weighing: Weighing = Weighing()

    @property
    def missing(self) -> complex:
        """What a level of the base's dtype holds where it is missing: nodata, else NaN, else the fill of integers."""
        if self.nodata is not None:
            return self.nodata
        return {"f": math.nan, "c": complex(math.nan, math.nan)}.get(self.dtype.kind, self.weighing.fill)

    @property
    def window_sizes(self) -> tuple[int, ...]:
        """Number of base samples behind one sample of each level, level 0 included; never more than an axis has."""
        cumulative = cumulative_factors(self.ladder, len(self.base_shape))
        return tuple(math.prod(min(f, n) for f, n in zip(factors, self.base_shape, strict=True)) for factors in cumulative)


Stores = Literal["samples", "differences"]
Value: TypeAlias = "int | float | str"
"""Of a parameter, as it was said: a number or a word."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing that can be said about a reduction in brackets behind its name, such as `q` in `quantile(q=0.9)`."""

    name: str
    """A keyword of the row's `factory`, whose default holds when nothing is said."""
    summary: str
    check: Callable[[Value], Value]
    """Returns the value as the factory takes it; raises ValueError with the words of what was expected."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """One row of the table: how a window of samples becomes one sample."""

    name: str
    anchor: Anchor | tuple[Anchor, ...]
    """Where in its window a reduced sample lies (of all axes, or of each); the first-pixel shift of every level follows from it."""
    composes: bool
    """True when a level made from the level before is what the base gives directly, so that everything can be carried up at once."""
    dtypes: tuple[str, ...]
    """numpy's names of the dtypes that it takes."""
    factory: Callable[..., Folding | Filter] = field(compare=False)
    """Gives a `Filter` when `halo` is true, else a `Folding`; both picklable."""
    summary: str
    window: str
    ties: str
    rounding: str
    partial: str
    nan: str
    nodata: str
    carries: Literal["samples", "sums", "moments"] = "samples"
    """What travels up the walk; with sums weights where something is missing, with moments always."""
    weighs: Literal["nothing", "masks", "validity", "weights"] = "nothing"
    """What its folding takes from outside: nothing (missing samples are NaN or nodata); masks; `min_valid` and coverage too; weights too."""
    weighted: str = ""
    """What weights do, or why there are none."""
    spans: Literal["factors", "groups", "any"] = "factors"
    """Which windows it is known for: boxes of whole factors; groups of whole samples; any, so that a border may cut samples."""
    halo: bool = False
    """True when samples beyond the window are read, so that levels are built one after another."""
    stores: Stores = "samples"
    """`"differences"`: level k keeps G_k - expand(G_k+1), and the last level G_n itself."""
    refusal: str = ""
    """What to do with a dtype that it does not take."""
    source: str = ""
    """Where the rule comes from."""
    invents: bool = False
    """True when a level may hold values that no sample had: wrong for labels."""
    from_base: Callable[..., Folding] | None = field(default=None, compare=False)
    """Of a reduction that does not compose: its arithmetic where every level is made from the base all the same (`source=base`)."""
    at_base: str = "exact at every level; refused where the base samples under one tile do not fit the memory"
    """What `source=base` costs, in words."""
    pair: tuple[str, str] | None = None
    """Of a reduction that makes two arrays of each level (its folding is `Paired`): the rows that each is of. They are two series that share the base."""
    parameters: tuple[Parameter, ...] = ()
    """What can be said in brackets; each is a keyword of `factory`, of `from_base` and of `converts` where these are there."""
    converts: Callable[..., AnyDType] | None = field(default=None, compare=False)
    """Gives the dtype of the levels from the base's; None: they have the base's."""

    @property
    def word(self) -> str:
        """The bare name, without what was said in brackets; `mixed` where each axis has its own."""
        return word_of(self.name)

    def said(self, values: Mapping[str, Value]) -> Reduction:
        """Returns the row with its parameters set and named for them; `source=base` makes every level from the base.

        Raises
        ------
        OptionError
            For a parameter that it has not, or a value that cannot be.
        """
        given = {name: self._checked(name, value) for name, value in values.items() if name != "source"}
        source = values.get("source", self.defined_from)
        if source != self.defined_from and (source != "base" or self.from_base is None):
            ways = "source=base or source=previous" if self.from_base is not None else f"source={self.defined_from}, the only one that it has"
            raise OptionError(f"reduction {self.name!r}: found source={source}, expected {ways}")
        is_moved = source != self.defined_from
        text = ", ".join(f"{name}={value}" for name, value in [*given.items(), *([("source", "base")] if is_moved else [])])
        factory = self.from_base if is_moved and self.from_base is not None else self.factory
        return replace(
            self,
            name=f"{self.name}({text})" if text else self.name,
            composes=self.composes or is_moved,
            factory=partial(factory, **given) if given else factory,
            from_base=None if is_moved or self.from_base is None else partial(self.from_base, **given),
            converts=partial(self.converts, **given) if given and self.converts is not None else self.converts,
            parameters=(),
        )

    def _checked(self, name: str, value: Value) -> Value:
        known = {p.name: p for p in self.parameters}
        if name not in known:
            takes = [*known, *(["source"] if self.from_base is not None else [])]
            raise OptionError(f"reduction {self.name!r}: found {name}={value}, expected {' or '.join(takes) if takes else 'nothing in brackets'}")
        try:
            return known[name].check(value)
        except ValueError as error:
            raise OptionError(f"reduction {self.name!r}: found {name}={value}, expected {error}") from error

    @property
    def defined_from(self) -> Literal["base", "previous"]:
        """What a level is defined from, as the metadata says it."""
        return "base" if self.composes else "previous"

    def takes(self, dtype: AnyDType) -> bool:
        """True when `bind` accepts arrays of this dtype, in either byte order."""
        return np.dtype(dtype).name in self.dtypes

    def level_dtype(self, dtype: AnyDType) -> AnyDType:
        """Returns the dtype of the levels that are built on a base of `dtype`, in native byte order: the base's, or what `converts` says."""
        native = np.dtype(dtype).newbyteorder("=")
        return native if self.converts is None else self.converts(native)


def word_of(name: str) -> str:
    """Returns the bare word of a reduction's whole name.

    >>> word_of("quantile(q=0.9)"), word_of("z:max, y:mean")
    ('quantile', 'mixed')
    """
    return "mixed" if ":" in name else name.partition("(")[0]


def difference_dtype(dtype: AnyDType) -> AnyDType:
    """Returns the dtype in which differences of samples are kept; they have signs and fractions.

    float32 on up to 16 bits, exact enough to restore them, and on float32; complex numbers as they are; else float64.
    """
    if dtype.kind == "c":
        return dtype
    return np.dtype(np.float32 if dtype.itemsize <= 2 or dtype == np.float32 else np.float64)
