"""Binding: a row of the table and the facts of one build give the arithmetic of that build."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import cast

import numpy as np

from ziggurat.geometry import Factors
from ziggurat.problems import OptionError, UnsupportedError
from ziggurat.reductions.ports import AnyDType, Filter, Folding, Reduction, Setting, Weighing

PLAIN = Weighing()
"""Nothing is said beside the samples."""


def bind(
    reduction: Reduction,
    dtype: AnyDType,
    ladder: Sequence[Factors],
    *,
    nodata: float | complex | None = None,
    base_shape: tuple[int, ...],
    weighing: Weighing = PLAIN,
) -> Folding:
    """Returns the arithmetic of one build: `reduction`, without a halo, on a base of `dtype`, with the factors of each level.

    `nodata` marks missing samples, a value of the base's dtype; NaN is missing in floats anyway. `weighing` says what comes from
    outside: masks, weights. The row may be anyone's.

    Raises
    ------
    UnsupportedError
        When the reduction does not take the dtype.
    OptionError
        When `nodata` is no value of the dtype, the ladder does not fit the shape, the reduction has a halo (`bind_filter`), or it
        takes no weights, masks or `min_valid`.
    PlanError
        When the exact sums of a level would not fit.
    """
    if reduction.halo:
        raise OptionError(f"reduction {reduction.name!r}: it reads beyond its window and is bound by 'bind_filter'")
    check_weighing(reduction, weighing)
    return cast(Folding, reduction.factory(_setting(reduction, dtype, ladder, nodata, base_shape, weighing)))


def check_dtype(reduction: Reduction, dtype: AnyDType) -> None:
    """Raises UnsupportedError when the reduction does not take samples of this dtype."""
    if not reduction.takes(dtype):
        hint = f"; {reduction.refusal}" if reduction.refusal else ""
        raise UnsupportedError(f"reduction {reduction.name!r}: found dtype {np.dtype(dtype).name!r}, expected one of {', '.join(reduction.dtypes)}{hint}")


def check_weighing(reduction: Reduction, weighing: Weighing) -> None:
    """Raises OptionError when weights, masks, shares or coverage are asked of a reduction that does not carry them."""
    row, why = reduction, f": {reduction.weighted.removeprefix('refused: ')}" if reduction.weighted else ""
    if weighing.weighted and row.weighs != "weights":
        raise OptionError(f"weights: reduction {row.name!r} takes no weights{why}; say reduction='mean', or leave weights out")
    if weighing.masked and row.weighs == "nothing":
        raise OptionError(
            f"nodata: reduction {row.name!r} takes missing samples as a value only, not as a mask{why}; say nodata=VALUE, or another reduction such as 'mean'"
        )
    said = "min_valid" if weighing.min_valid is not None else "coverage"
    if (weighing.min_valid is not None or weighing.covers) and row.weighs in ("nothing", "masks"):
        raise OptionError(f"{said}: reduction {row.name!r} does not count what is valid; say another reduction such as 'mean' or 'max', or leave {said} out")


def bind_filter(
    reduction: Reduction, dtype: AnyDType, ladder: Sequence[Factors], *, nodata: float | complex | None = None, base_shape: tuple[int, ...]
) -> Filter:
    """Returns the arithmetic of one build of a reduction with a halo; parameters and errors as those of `bind`."""
    if not reduction.halo:
        raise OptionError(f"reduction {reduction.name!r}: it reads its window only and is bound by 'bind'")
    return cast(Filter, reduction.factory(_setting(reduction, dtype, ladder, nodata, base_shape, PLAIN)))


def _setting(
    reduction: Reduction, dtype: AnyDType, ladder: Sequence[Factors], nodata: float | complex | None, base_shape: tuple[int, ...], weighing: Weighing
) -> Setting:
    dtype = np.dtype(dtype).newbyteorder("=")
    check_dtype(reduction, dtype)
    for k, factors in enumerate(ladder, start=1):
        if len(factors) != len(base_shape) or min(factors, default=1) < 1:
            raise OptionError(f"factors of level {k}: found {tuple(factors)!r}, expected {len(base_shape)} whole numbers of at least 1")
    return Setting(dtype, tuple(tuple(f) for f in ladder), tuple(base_shape), as_nodata(nodata, dtype), weighing)


def as_nodata(nodata: float | complex | None, dtype: AnyDType, what: str = "nodata") -> complex | None:
    """Returns nodata as the Python number that an array of `dtype` holds for it; None when it says nothing (NaN for floats).

    Raises
    ------
    OptionError
        When the dtype has no such value.

    Examples
    --------
    >>> as_nodata(-9999, np.dtype("float32")), as_nodata(float("nan"), np.dtype("float32"))
    (-9999.0, None)
    """
    if nodata is None:
        return None
    if nodata != nodata and dtype.kind in "fc":
        return None
    try:
        if dtype.kind in "fc":
            with np.errstate(over="ignore"):
                value = np.array(nodata).astype(dtype, casting="same_kind")
            if np.isinf(value) and not np.isinf(nodata):
                raise OverflowError("beyond the largest finite value")
        else:
            value = np.array(_whole(nodata), dtype)
            if value != nodata:
                raise OverflowError("neither 0 nor 1")
    except (TypeError, ValueError, OverflowError) as error:
        raise OptionError(f"{what} {nodata!r}: {dtype.name} has no such value; give one that the array can hold") from error
    return cast(complex, value.item())


def _whole(nodata: float | complex) -> int:
    if isinstance(nodata, float) and nodata.is_integer():
        return int(nodata)
    return operator.index(cast(int, nodata))
