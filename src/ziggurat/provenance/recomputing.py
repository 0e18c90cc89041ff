"""Our own levels, made again: sampled blocks of each level, from what the metadata states, compared sample by sample."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from ziggurat import reductions
from ziggurat.geometry import AxisWindows, Factors, cumulative_factors
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
    {"reduction", "axes", "factors", "windows", "anchor", "source", "kind", "chunks", "scale", "translation", "units"}
    | {"nodata", "nodata_mask", "residual_base", "min_valid", "coverage", "unproven", "weights"}
)
"""Keys of `kwargs` that a recomputation understands; with any other the samples may depend on more than the base."""
_BETWEEN = frozenset({"mean", "median", "quantile", "mode", "min", "max", "any", "all"})
"""Reductions whose values lie between the smallest and the largest sample of their window, whatever it weighs."""


@dataclass(frozen=True, slots=True)
class Given:
    """Arrays that were given beside the base when levels were built, given again: they broadcast to the base as it is stored."""

    weights: Sampled | None = None
    mask: Sampled | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the metadata says that the levels were made, in the order of the arrays' axes."""

    reduction: Reduction
    ladder: tuple[Factors, ...]
    """Factors from level to level; empty where there are windows."""
    from_base: bool
    nodata: float | complex | None
    min_valid: float | None = None
    weights: tuple[AnyArray | None, ...] | Sampled | None = None
    """Per axis of the base, None along those where every sample weighs the same; or an array that broadcasts to it. None: nothing is weighed."""
    mask: Sampled | None = None
    """Not 0 where a sample of the base is missing."""
    windows: tuple[tuple[AxisWindows, ...], ...] = ()
    """Of levels 1, 2, ...: windows of any length on the base."""
    fill: complex = 0
    """What integers hold where they are missing and no nodata was said."""
    unknown: str = ""
    """Why levels can only be compared with the extremes of their windows: weights or a mask that are not at hand."""
    shares: bool = False
    """True when the valid shares of the levels are asked for, not the levels."""

    @property
    def is_weighed(self) -> bool:
        """True when what is valid, or weighs, is counted from the base at every level."""
        return self.weights is not None or self.mask is not None or self.min_valid is not None

    def source_of(self, level: int) -> int:
        """Returns the level that `level` is made from."""
        return 0 if self.from_base or self.windows or self.unknown or (self.is_weighed and not self.reduction.halo) else level - 1

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
    """What the comparison of one level gave; `why_not` is set when it could not be made, or only with the extremes of windows."""

    level: int
    n_compared: int = 0
    difference: Difference | None = None
    why_not: str = ""


def recipe_of(multiscale: Multiscale, dtype: np.dtype[np.generic], given: Given | None = None) -> Recipe | str:
    """Returns how `metadata` says that levels were made; one sentence where it is not ours or says what is not understood."""
    method = multiscale.method
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
    names = kwargs.get("axes")
    order = [names.index(axis) for axis in axes] if isinstance(names, (list, tuple)) and sorted(map(str, names)) == sorted(axes) else list(range(len(axes)))
    try:
        ladder, windows = _ladder(kwargs, order, multiscale), _windows(kwargs, order, multiscale)
        row = reductions.resolve(str(kwargs.get("reduction", word.removeprefix("ziggurat."))), axes)
        nodata = reductions.as_nodata(_number(kwargs.get("nodata")), dtype)
        vectors = _vectors(kwargs.get("weights"), multiscale)
    except (ZigguratError, ValueError) as error:
        return str(error)
    if not row.takes(dtype):
        return f"{row.name} does not take {dtype.name}"
    share = kwargs.get("min_valid")
    given = given or Given()
    lacking = [] if vectors is not None else [_lacks("weights", kwargs.get("weights"), given.weights)]
    lacking.append(_lacks("mask", kwargs.get("nodata_mask"), given.mask))
    return Recipe(
        row,
        ladder,
        kwargs.get("source", row.defined_from) == "base",
        nodata,
        share if isinstance(share, int | float) else None,
        vectors if vectors is not None or kwargs.get("weights") is None else given.weights,
        None if kwargs.get("nodata_mask") is None else given.mask,
        windows,
        _fill(multiscale, dtype),
        "; ".join(filter(None, lacking)),
    )


def _ladder(kwargs: Mapping[str, JSON], order: Sequence[int], multiscale: Multiscale) -> tuple[Factors, ...]:
    if "windows" in kwargs:
        return ()
    stated, ladder = kwargs.get("factors"), []
    for step in stated if isinstance(stated, (list, tuple)) else ():
        whole = [f for f in step if isinstance(f, int) and f >= 1] if isinstance(step, (list, tuple)) else []
        if len(whole) != len(order):
            raise OptionError("metadata.kwargs.factors has no whole number per axis")
        ladder.append(tuple(whole[i] for i in order))
    if len(ladder) < multiscale.n_levels - 1:
        raise OptionError(f"metadata.kwargs.factors has {len(ladder)} steps for {multiscale.n_levels} levels")
    return tuple(ladder)


def _windows(kwargs: Mapping[str, JSON], order: Sequence[int], multiscale: Multiscale) -> tuple[tuple[AxisWindows, ...], ...]:
    """Returns the windows of levels 1, 2, ... that the metadata states; none where it states factors. Raises OptionError for others than the arrays have."""
    stated, base = kwargs.get("windows"), multiscale.levels[0].array
    if stated is None or base is None:
        return ()
    found = []
    for k, (level, stored) in enumerate(zip(stated if isinstance(stated, (list, tuple)) else (), multiscale.levels[1:], strict=False), start=1):
        per_axis = level if isinstance(level, (list, tuple)) and len(level) == len(order) else ()
        windows = tuple(_window(per_axis[i], n) for i, n in zip(order, base.shape, strict=True)) if per_axis else ()
        if stored.array is None or tuple(w.n for w in windows) != stored.array.shape:
            raise OptionError(f"metadata.kwargs.windows of level {k} are not those of its array")
        found.append(windows)
    if len(found) != multiscale.n_levels - 1:
        raise OptionError(f"metadata.kwargs.windows has {len(found)} steps for {multiscale.n_levels} levels")
    return tuple(found)


def _window(stated: JSON, n: int) -> AxisWindows:
    edges = stated.get("edges") if isinstance(stated, Mapping) else None
    pair = stated.get("step") if isinstance(stated, Mapping) else [stated, 1]
    if isinstance(edges, (list, tuple)):
        whole = [e for e in edges if isinstance(e, int)]
        if len(whole) == len(edges) > 1 and whole[0] == 0 and whole[-1] == n and all(a < b for a, b in pairwise(whole)):
            return AxisWindows(n, edges=tuple(whole))
    elif isinstance(pair, (list, tuple)) and len(pair) == 2:
        over, under = pair
        if isinstance(over, int) and isinstance(under, int) and 0 < under <= over:
            return AxisWindows.of_factor(n, Fraction(over, under))
    raise OptionError(f"metadata.kwargs.windows holds {stated!r}; expected a whole factor, a fraction or edges")


def _fill(multiscale: Multiscale, dtype: np.dtype[np.generic]) -> complex:
    """Returns what integers hold where they are missing: the fill value of the levels, else 0."""
    array = multiscale.levels[-1].array
    value = None if array is None else array.fill_value
    if not isinstance(value, bool | int) or dtype.kind not in "bui":
        return 0
    low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype.name).min), int(np.iinfo(dtype.name).max))
    return value if low <= value <= high else 0


def _lacks(what: str, stated: JSON, given: Sampled | None) -> str:
    """Returns why an array that the metadata describes is not at hand; empty where it is, or where none is described."""
    if stated is None:
        return ""
    facts = stated if isinstance(stated, Mapping) else {}
    if "function" in facts:
        return f"its {what} came from the function {facts['function']}, which no array holds"
    shape = tuple(n for n in _listed(facts.get("shape")) if isinstance(n, int))
    if given is None:
        place = f" at {facts['path']!r}" if isinstance(facts.get("path"), str) else " in memory"
        return f"its {what} were an array of shape {shape}{place}; give it again with {what}= (--{what})".replace("mask were", "mask was")
    return "" if given.shape == shape else f"the {what} given again have shape {given.shape}, and those of the build had {shape}"


def _listed(value: JSON) -> Sequence[JSON]:
    return value if isinstance(value, (list, tuple)) else ()


def _vectors(stated: JSON, multiscale: Multiscale) -> tuple[AnyArray | None, ...] | None:
    """Returns the weights per axis that the metadata states by a rule or by numbers; None where it states none, or those of an array."""
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
        if "rule" in stated:
            raise OptionError("metadata.kwargs.weights is a rule, and the base lies nowhere")
    return None


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
    fine, coarse = levels[recipe.source_of(level)], levels[level]
    if recipe.source_of(level):  # a level made from levels: the mask is in the first of them
        recipe = replace(recipe, mask=None)
    spans = recipe.windows[level - 1] if recipe.windows else ()
    factors = tuple(-(-w.longest // w.unit) for w in spans) or cumulative_factors(steps, len(levels[0].shape))[-1]
    margin = tuple(0 if recipe.unknown else _halo(recipe.reduction, f) for f in factors)
    if math.prod(f + 2 * m * f for f, m in zip(factors, margin, strict=True)) > 16 * budget:
        return Recomputed(level, why_not=f"one sample of it needs {math.prod(factors):,} samples of level {recipe.source_of(level)}")
    regions = spread(coarse.shape, fitting(coarse.shape, factors, budget), n_blocks)
    if recipe.unknown:
        return _bounded(recipe, fine, coarse, level, factors, regions)
    return _compared(coarse, level, ((region, _made(recipe, fine, steps, spans, factors, region, margin)) for region in regions))


def recompute_shares(recipe: Recipe, base: Sampled, shares: Sampled, level: int) -> Recomputed:
    """Compares sampled blocks of the coverage of a level with the valid share of the weight of the base's samples. Reads as `recompute` does."""
    if recipe.unknown:
        return Recomputed(level, why_not=recipe.unknown)
    of_shares = replace(recipe, reduction=reductions.find("mean"), from_base=True, min_valid=None, shares=True)
    return recompute(of_shares, [base] * level + [shares], level)


def _bounded(recipe: Recipe, base: Sampled, coarse: Sampled, level: int, factors: Factors, regions: Sequence[Region]) -> Recomputed:
    """Compares samples with the extremes of their windows: what is left to compare when what they weigh is not known."""
    if recipe.reduction.word not in _BETWEEN or recipe.windows:
        return Recomputed(level, why_not=recipe.unknown)
    empty = recipe.nodata if recipe.nodata is not None else recipe.fill
    pairs = []
    for region in regions:
        under = read(base, tuple(slice(s.start * f, min(s.stop * f, n)) for s, f, n in zip(region, factors, base.shape, strict=True)))
        low, high = (reductions.reduce_array(reductions.find(name), under, [factors], nodata=recipe.nodata)[0] for name in ("min", "max"))
        found = read(coarse, region)
        with np.errstate(invalid="ignore"):
            below, above = _outside(found, low, high, 1e-6 if found.dtype.kind == "f" else 0)
        is_empty = np.isnan(found) if found.dtype.kind == "f" else found == found.dtype.type(empty)
        expected = np.where(below & ~is_empty, low, np.where(above & ~is_empty, high, found))
        pairs.append((region, expected.astype(found.dtype)))
    return replace(_compared(coarse, level, pairs), why_not=recipe.unknown)


def _outside(found: Any, low: Any, high: Any, slack: float) -> tuple[AnyArray, AnyArray]:
    """Returns which samples lie below the one and which above the other; `slack`: the share of an extreme that rounding may add."""
    if not slack:
        return found < low, found > high
    return found < low - slack * abs(low), found > high + slack * abs(high)


def _whole(recipe: Recipe, levels: Sequence[Sampled], level: int) -> Recomputed:
    """Compares a level of differences with the whole of what the base gives."""
    if math.prod(levels[0].shape) > MAX_WHOLE:
        return Recomputed(level, why_not=f"levels of {recipe.reduction.name} are differences between levels that are not stored, and the base is large")
    every = tuple(slice(0, n) for n in levels[0].shape)
    if recipe.unknown:
        return Recomputed(level, why_not=recipe.unknown)
    base = read(levels[0], every)
    if recipe.mask is not None:
        base = np.where(_beside(recipe.mask, every) != 0, base.dtype.type(np.nan), base)
    made = reductions.reduce_array(recipe.reduction, base, recipe.ladder, nodata=recipe.nodata)[level - 1]
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


def _made(
    recipe: Recipe, fine: Sampled, steps: Sequence[Factors], spans: Sequence[AxisWindows], factors: Factors, region: Region, margin: Sequence[int]
) -> AnyArray:
    """Returns a region of a level, made from the windows under it (and `margin` windows around it)."""
    starts = [max(0, s.start - m) for s, m in zip(region, margin, strict=True)]
    ends = [min((s.stop + m) * f, n) for s, m, f, n in zip(region, margin, factors, fine.shape, strict=True)]
    inside = tuple(slice(a * f, b) for a, f, b in zip(starts, factors, ends, strict=True))
    if spans:
        inside = tuple(slice(*w.samples(s.start, s.stop)) for w, s in zip(spans, region, strict=True))
    under, weights = read(fine, inside), _weights_of(recipe, inside)
    missing = None if recipe.mask is None else np.broadcast_to(_beside(recipe.mask, inside) != 0, under.shape)
    if recipe.shares:
        under, missing = _valid(under, recipe.nodata, missing).astype(np.float64), None
    elif missing is not None and under.dtype.kind in "fc":
        under, missing = np.where(missing, under.dtype.type(np.nan), under), None
    nodata = None if recipe.shares else recipe.nodata
    if spans:
        made = _joined(recipe, under, spans, region, weights, missing, nodata)
    else:
        more = {"min_valid": recipe.min_valid, "weights": weights, "missing": missing, "fill": recipe.fill}
        made = reductions.reduce_array(recipe.reduction, under, steps, nodata=nodata, **more)[-1]  # type: ignore[arg-type]
        made = made[tuple(slice(s.start - a, s.stop - a) for s, a in zip(region, starts, strict=True))]
    return np.nan_to_num(made).astype(np.float32) if recipe.shares else made


def _joined(
    recipe: Recipe,
    under: AnyArray,
    spans: Sequence[AxisWindows],
    region: Region,
    weights: AnyArray | None,
    missing: AnyArray | None,
    nodata: float | complex | None,
) -> AnyArray:
    """Returns a region of a level of windows of any length."""
    weighed = weights is not None
    weighing = reductions.Weighing(missing is not None, weighed, weighed and recipe.min_valid is not None, recipe.min_valid, fill=recipe.fill)
    bound = reductions.bind_windows(recipe.reduction, under.dtype, tuple(spans), nodata=nodata, weighing=weighing)
    carry = reductions.weighed(under, missing, weights, weighing)
    out = np.empty([s.stop - s.start for s in region], recipe.reduction.level_dtype(under.dtype))
    bound.reduce(carry, [(s.start, s.stop) for s in region], out)
    return out


def _valid(samples: AnyArray, nodata: float | complex | None, missing: AnyArray | None) -> AnyArray:
    valid: AnyArray = np.asarray(samples == samples)
    if nodata is not None:
        valid = valid & np.asarray(samples != np.asarray(nodata, samples.dtype))
    return valid if missing is None else np.asarray(valid & ~missing.astype(bool))


def _beside(array: Sampled, region: Sequence[slice]) -> AnyArray:
    """Returns the part of an array beside the base that lies under a region of it, broadcastable to that."""
    there = region[len(region) - len(array.shape) :]
    return read(array, tuple(slice(0, 1) if n == 1 else s for s, n in zip(there, array.shape, strict=True)))


def _weights_of(recipe: Recipe, region: Sequence[slice]) -> AnyArray | None:
    """Returns the weights of a region of the base, broadcastable to it."""
    if recipe.weights is None:
        return None
    if not isinstance(recipe.weights, tuple):
        return _beside(recipe.weights, region)
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
