"""Whole arrays in memory: every level at once, and back from differences. The definition that builds are compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ziggurat.geometry import Factors, cumulative_factors, level_shapes
from ziggurat.problems import OptionError
from ziggurat.reductions.binding import bind, bind_filter
from ziggurat.reductions.ports import AnyArray, AnyDType, Carry, Counts, Filter, Folding, Reduction, Weighing, difference_dtype
from ziggurat.reductions.smoothing import expanded_dtype


def counts_of(shape: tuple[int, ...], factors: Factors) -> Counts:
    """Returns the counts of a whole level: base samples per window, `factors` cumulative.

    >>> counts_of((5, 4), (2, 4))
    (((slice(0, 2, None), 2), (slice(2, 3, None), 1)), ((slice(0, 1, None), 4),))
    """
    per_axis = []
    for n, f in zip(shape, factors, strict=True):
        whole, rest = divmod(n, f)
        parts = [(slice(0, whole), f)] if whole else []
        per_axis.append((*parts, (slice(whole, whole + 1), rest)) if rest else tuple(parts))
    return tuple(per_axis)


def reduce_array(
    reduction: Reduction,
    base: AnyArray,
    ladder: Sequence[Factors],
    *,
    nodata: float | complex | None = None,
    residual_base: bool = False,
    missing: AnyArray | None = None,
    weights: AnyArray | None = None,
    min_valid: float | None = None,
    fill: complex = 0,
) -> tuple[AnyArray, ...]:
    """Returns levels 1, 2, ... of an array in memory; with `residual_base` (laplacian only) level 0's difference before them.

    `missing` is True where a sample is not there, `weights` (at least 0) says how much each weighs; both broadcast to the base.
    A window of which less than the share `min_valid` of the weight is valid is missing; integers without nodata hold `fill` there.

    Raises
    ------
    OptionError, UnsupportedError, PlanError
        As `bind` does; OptionError also when `residual_base` is asked of a reduction that keeps no differences.

    Examples
    --------
    >>> from ziggurat.reductions import find
    >>> [level.tolist() for level in reduce_array(find("mean"), np.array([0, 1, 2, 3, 8], "uint8"), [(2,), (2,)])]
    [[0, 2, 8], [2, 8]]
    """
    if residual_base and reduction.stores != "differences":
        raise OptionError(f"residual_base: reduction {reduction.name!r} keeps samples, not differences; leave it out")
    native = np.ascontiguousarray(base, base.dtype.newbyteorder("="))
    if not reduction.halo:
        weighing = Weighing(missing is not None, weights is not None, weights is not None and min_valid is not None, min_valid, fill=fill)
        folding = bind(reduction, native.dtype, ladder, nodata=nodata, base_shape=base.shape, weighing=weighing)
        return _fold_levels(folding, reduction, weighed(native, missing, weights, weighing), ladder)
    if missing is not None or weights is not None or min_valid is not None:
        raise OptionError(f"reduction {reduction.name!r}: it takes neither masks nor weights nor min_valid; leave them out, or mark missing samples by NaN")
    smooth = bind_filter(reduction, native.dtype, ladder, nodata=nodata, base_shape=base.shape)
    levels = [native]
    for k, (factors, shape) in enumerate(zip(ladder, level_shapes(base.shape, ladder)[1:], strict=True), start=1):
        halo = smooth.halo(k)
        out = np.empty(shape, native.dtype)
        pads = [(h, h + n * f - m) for h, n, f, m in zip(halo, shape, factors, levels[-1].shape, strict=True)]
        smooth.reduce(k, levels[-1], pads, factors, out)
        levels.append(out)
    if reduction.stores == "samples":
        return tuple(levels[1:])
    kept = [_difference(smooth, k, levels[k], levels[k + 1], factors) for k, factors in enumerate(ladder)]
    last = np.empty(levels[-1].shape, reduction.level_dtype(native.dtype))
    smooth.difference(levels[-1], np.zeros((), expanded_dtype(native.dtype)), last)
    return (*kept[0 if residual_base else 1 :], last)


def weighed(samples: AnyArray, missing: AnyArray | None, weights: AnyArray | None, weighing: Weighing) -> Carry:
    """Returns a tile of level 0 as it is folded: samples, and the weights and masks that were given from outside.

    `missing` is True where a sample is not there; `weights` are at least 0; both broadcast to the samples.
    """
    if weights is None:
        return Carry((samples,), None if missing is None else np.logical_not(np.broadcast_to(missing, samples.shape)))
    every: AnyArray = np.broadcast_to(np.asarray(weights, np.float64), samples.shape)
    valid: AnyArray = every if missing is None else np.where(missing, np.float64(0), every)
    return Carry((samples, every) if weighing.totals else (samples,), valid)


def reconstruct(
    reduction: Reduction, differences: Sequence[AnyArray], ladder: Sequence[Factors], *, dtype: AnyDType, nodata: float | complex | None = None
) -> AnyArray:
    """Returns the gaussian level that `differences` begin at: its difference, the coarser ones after it, the last level G_n.

    `ladder` holds the factors between them, one less than there are arrays; `dtype` is the base's. With the residual of the base
    as the first difference it is the base. Equal bit for bit for integers, to rounding for floats.

    Examples
    --------
    >>> from ziggurat.reductions import find
    >>> base = np.array([3, 1, 4, 1, 5, 9, 2, 6], "uint8")
    >>> kept = reduce_array(find("laplacian"), base, [(2,), (2,)], residual_base=True)
    >>> reconstruct(find("laplacian"), kept, [(2,), (2,)], dtype=base.dtype).tolist()
    [3, 1, 4, 1, 5, 9, 2, 6]
    """
    if len(differences) != len(ladder) + 1:
        raise OptionError(f"reconstruct: found {len(differences)} arrays for {len(ladder)} steps, expected one more than steps")
    native = np.dtype(dtype).newbyteorder("=")
    smooth = bind_filter(reduction, native, ladder, nodata=nodata, base_shape=differences[0].shape)
    level = np.empty(differences[-1].shape, native)
    smooth.restore(np.zeros((), expanded_dtype(native)), differences[-1], level)
    for k in reversed(range(len(ladder))):
        finer = np.empty(differences[k].shape, native)
        smooth.restore(_expand(smooth, k + 1, level, finer.shape, ladder[k]), differences[k], finer)
        level = finer
    return level


def _fold_levels(folding: Folding, reduction: Reduction, carry: Carry, ladder: Sequence[Factors]) -> tuple[AnyArray, ...]:
    base, levels = carry.values[0], []
    shapes, cumulative = level_shapes(base.shape, ladder), cumulative_factors(ladder, base.ndim)
    for k, factors in enumerate(ladder, start=1):
        values = tuple(np.empty(shapes[k], dtype) for dtype in folding.carry_dtypes(k))
        carry = Carry(values, folding.fold(k, carry, factors, values))
        out = np.empty(shapes[k], reduction.level_dtype(base.dtype))
        folding.finish(k, carry, counts_of(base.shape, cumulative[k]), out)
        levels.append(out)
    return tuple(levels)


def _expand(smooth: Filter, level: int, coarse: AnyArray, shape: tuple[int, ...], factors: Factors) -> AnyArray:
    """Returns the whole of a level expanded to the `shape` of the level before."""
    out = np.empty(shape, expanded_dtype(coarse.dtype))
    smooth.expand(level, coarse, [(halo, halo) for halo in smooth.expand_halo(level)], factors, out)
    return out


def _difference(smooth: Filter, k: int, fine: AnyArray, coarse: AnyArray, factors: Factors) -> AnyArray:
    out = np.empty(fine.shape, difference_dtype(fine.dtype))
    smooth.difference(fine, _expand(smooth, k + 1, coarse, fine.shape, factors), out)
    return out
