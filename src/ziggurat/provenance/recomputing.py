"""Our own levels, made again: sampled blocks of each level, from what the metadata states, compared sample by sample."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ziggurat import reductions
from ziggurat.geometry import Factors, cumulative_factors
from ziggurat.model import JSON, Multiscale
from ziggurat.planner.beside import vectors_of
from ziggurat.problems import OptionError, ZigguratError
from ziggurat.provenance.blocks import AnyArray, Region, Sampled, fitting, read, spread
from ziggurat.reductions import Reduction

MAX_WHOLE = 2**24
"""Samples of a base up to which the levels of a laplacian, which need all that lies below them, are made again as a whole."""
BUDGET = 2**22
"""Samples of the finer level that one block may need: 8 MiB of uint16, and a 162^3 window of a volume."""
N_BLOCKS = 5
_READ = frozenset(
    {"reduction", "axes", "factors", "anchor", "source", "kind", "chunks", "scale", "translation", "units"}
    | {"nodata", "residual_base", "min_valid", "coverage", "unproven", "weights"}
)
"""Keys of `kwargs` that a recomputation understands; with any other the samples may depend on more than the base."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the metadata says that the levels were made, in the order of the arrays' axes."""

    reduction: Reduction
    ladder: tuple[Factors, ...]
    """Factors from level to level."""
    from_base: bool
    nodata: float | complex | None
    min_valid: float | None = None
    weights: tuple[AnyArray | None, ...] | None = None
    """Per axis of the base, None along those where every sample weighs the same; None: nothing is weighed."""

    def source_of(self, level: int) -> int:
        """Returns the level that `level` is made from."""
        return 0 if self.from_base else level - 1

    def steps_of(self, level: int) -> tuple[Factors, ...]:
        """Returns the factors from the level that it is made from."""
        return self.ladder[self.source_of(level) : level]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first sample that is not what was recomputed."""

    index: tuple[int, ...]
    expected: object
    found: object
    n_different: int
    n_compared: int


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What the comparison of one level gave; `why_not` is set when it could not be made."""

    level: int
    n_compared: int = 0
    difference: Difference | None = None
    why_not: str = ""


def recipe_of(multiscale: Multiscale, dtype: np.dtype[np.generic]) -> Recipe | str:
    """Returns how `metadata` says that levels were made; one sentence where it is not ours or says what is not understood."""
    method, n_levels = multiscale.method, multiscale.n_levels
    axes = [axis.name for axis in multiscale.axes]
    word = None if method is None else method.get("method")
    if method is None or not isinstance(word, str) or not word.startswith("ziggurat."):
        return f"the metadata names {word!r} as its method" if word else "the metadata names no method"
    kwargs = method.get("kwargs")
    if not isinstance(kwargs, Mapping):
        return "metadata.kwargs is no object"
    if word == "ziggurat.coverage":
        return "it holds shares of valid samples"
    unknown = [key for key in kwargs if key not in _READ]
    if unknown:
        return f"metadata.kwargs.{unknown[0]} asks for more than the base alone can tell"
    stated, names = kwargs.get("factors"), kwargs.get("axes")
    order = [names.index(axis) for axis in axes] if isinstance(names, (list, tuple)) and sorted(map(str, names)) == sorted(axes) else list(range(len(axes)))
    ladder = []
    for step in stated if isinstance(stated, (list, tuple)) else ():
        whole = [f for f in step if isinstance(f, int) and f >= 1] if isinstance(step, (list, tuple)) else []
        if len(whole) != len(axes):
            return "metadata.kwargs.factors has no whole number per axis"
        ladder.append(tuple(whole[i] for i in order))
    if len(ladder) < n_levels - 1:
        return f"metadata.kwargs.factors has {len(ladder)} steps for {n_levels} levels"
    try:
        row = reductions.resolve(str(kwargs.get("reduction", word.removeprefix("ziggurat."))), axes)
        nodata = reductions.as_nodata(_number(kwargs.get("nodata")), dtype)
        weights = _vectors(kwargs.get("weights"), multiscale)
    except (ZigguratError, ValueError) as error:
        return str(error)
    if not row.takes(dtype):
        return f"{row.name} does not take {dtype.name}"
    stated_share = kwargs.get("min_valid")
    share = stated_share if isinstance(stated_share, int | float) else None
    return Recipe(row, tuple(ladder), kwargs.get("source", row.defined_from) == "base", nodata, share, weights)


def _vectors(stated: JSON, multiscale: Multiscale) -> tuple[AnyArray | None, ...] | None:
    """Returns the weights per axis that the metadata states by a rule or by numbers. Raises OptionError for those of an array that it cannot hold."""
    if stated is None:
        return None
    base = multiscale.levels[0]
    if isinstance(stated, Mapping) and base.array is not None:
        numbers = stated.get("axes")
        if isinstance(numbers, Mapping):
            return tuple(np.array(numbers[axis.name], np.float64) if axis.name in numbers else None for axis in multiscale.axes)
        if "rule" in stated and base.scale is not None and base.translation is not None:
            found = vectors_of(stated, multiscale.axes, base.array.shape, base.scale, base.translation)
            return tuple(None if vector is None else np.array(vector) for vector in found)
    raise OptionError("metadata.kwargs.weights describes an array that is not stored here")


def _number(value: JSON) -> float | None:
    if value is None:
        return None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return float(value) if isinstance(value, str) else value
    raise OptionError(f"metadata.kwargs.nodata {value!r}: expected a number")


def recompute(recipe: Recipe, levels: Sequence[Sampled], level: int, *, n_blocks: int = N_BLOCKS, budget: int = BUDGET) -> Recomputed:
    """Compares sampled blocks of a level with what the recipe makes of the finer level's samples.

    Reads at most `n_blocks` regions of `budget` samples. Floats have to be equal up to the order of summation (1e-6 of the larger of
    both for 32 bits and fewer, 1e-12 for 64), integers bit for bit.
    """
    if recipe.reduction.stores == "differences":
        return _whole(recipe, levels, level)
    steps = recipe.steps_of(level)
    factors = cumulative_factors(steps, len(levels[0].shape))[-1]
    fine, coarse = levels[recipe.source_of(level)], levels[level]
    margin = tuple(_halo(recipe.reduction, f) for f in factors)
    if math.prod(f + 2 * m * f for f, m in zip(factors, margin, strict=True)) > 16 * budget:
        return Recomputed(level, why_not=f"one sample of it needs {math.prod(factors):,} samples of level {recipe.source_of(level)}")
    block = fitting(coarse.shape, factors, budget)
    pairs = ((region, _made(recipe, fine, steps, factors, region, margin)) for region in spread(coarse.shape, block, n_blocks))
    return _compared(coarse, level, pairs)


def _whole(recipe: Recipe, levels: Sequence[Sampled], level: int) -> Recomputed:
    """Compares a level of differences with the whole of what the base gives."""
    if math.prod(levels[0].shape) > MAX_WHOLE:
        return Recomputed(level, why_not=f"levels of {recipe.reduction.name} are differences between levels that are not stored, and the base is large")
    every = tuple(slice(0, n) for n in levels[0].shape)
    made = reductions.reduce_array(recipe.reduction, read(levels[0], every), recipe.ladder, nodata=recipe.nodata)[level - 1]
    return _compared(levels[level], level, [(tuple(slice(0, n) for n in levels[level].shape), made)])


def _compared(coarse: Sampled, level: int, pairs: Iterable[tuple[Region, AnyArray]]) -> Recomputed:
    n_compared, n_different = 0, 0
    first: tuple[tuple[int, ...], object, object] | None = None
    for region, expected in pairs:
        found = read(coarse, region)
        wrong = np.argwhere(np.logical_not(_equal(found, expected)))
        n_compared += found.size
        n_different += len(wrong)
        if first is None and len(wrong):
            at = tuple(int(i) for i in wrong[0])
            first = tuple(s.start + i for s, i in zip(region, at, strict=True)), expected[at].item(), found[at].item()
    if first is None:
        return Recomputed(level, n_compared)
    return Recomputed(level, n_compared, Difference(*first, n_different, n_compared))


def _halo(row: Reduction, factor: int) -> int:
    """Returns how many windows beyond a region are read on each side, so that what lies further away changes nothing."""
    return 4 if row.halo and factor > 1 else 0


def _made(recipe: Recipe, fine: Sampled, steps: Sequence[Factors], factors: Factors, region: Region, margin: Sequence[int]) -> AnyArray:
    """Returns a region of a level, made from the windows under it (and `margin` windows around it)."""
    starts = [max(0, s.start - m) for s, m in zip(region, margin, strict=True)]
    ends = [min((s.stop + m) * f, n) for s, m, f, n in zip(region, margin, factors, fine.shape, strict=True)]
    under = read(fine, tuple(slice(a * f, b) for a, f, b in zip(starts, factors, ends, strict=True)))
    weights = _weights_of(recipe, [slice(a * f, b) for a, f, b in zip(starts, factors, ends, strict=True)])
    made = reductions.reduce_array(recipe.reduction, under, steps, nodata=recipe.nodata, min_valid=recipe.min_valid, weights=weights)[-1]
    return made[tuple(slice(s.start - a, s.stop - a) for s, a in zip(region, starts, strict=True))]


def _weights_of(recipe: Recipe, region: Sequence[slice]) -> AnyArray | None:
    """Returns the weights of a region of the base, broadcastable to it."""
    if recipe.weights is None:
        return None
    product: AnyArray = np.ones((1,) * len(region))
    for axis, (vector, where) in enumerate(zip(recipe.weights, region, strict=True)):
        if vector is not None:
            product = np.multiply(product, vector[where].reshape([-1 if a == axis else 1 for a in range(len(region))]))
    return product


def _equal(found: AnyArray, expected: AnyArray) -> AnyArray:
    if found.dtype.kind not in "fc":
        return np.asarray(found == expected)
    size = found.real.dtype.itemsize
    tolerance = {2: 2e-3, 4: 1e-6}.get(size, 1e-12)
    with np.errstate(invalid="ignore"):
        return np.isclose(found, expected, rtol=tolerance, atol=0, equal_nan=True)
