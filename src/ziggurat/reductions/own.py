"""A user's own reduction: a function of windows becomes a row like any other."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ziggurat.geometry import Anchor, Factors
from ziggurat.kernels import filters, ranks
from ziggurat.problems import OptionError
from ziggurat.reductions.foldings import Gathered, Windows
from ziggurat.reductions.ports import AnyArray, Reduction
from ziggurat.reductions.table import BOOL, COMPLEX, FLOATS, SIGNED, TABLE, UNSIGNED

OwnFunction = Callable[[AnyArray, tuple[int, ...]], AnyArray]
"""`f(block, axes)`: reduces the window axes of a block of many windows, as NumPy's functions reduce `axis`."""


def reduction(
    f: OwnFunction,
    *,
    name: str,
    anchor: Anchor = "centre",
    composes: bool = False,
    source: Literal["base", "previous"] | None = None,
    dtypes: Sequence[str] | None = None,
    summary: str = "",
) -> Reduction:
    """Returns a reduction of your own, to be given to `build` and `plan` as `reduction=`.

    Parameters
    ----------
    f
        `f(block, axes)`: `block` has twice as many axes as the array, `(n_0, f_0, n_1, f_1, ...)`, windows and the samples in them in
        turn; `axes` are those of the samples, `(1, 3, ...)`. It returns one value per window, `(n_0, n_1, ...)`, as `np.ptp(block, axes)`
        does. Partial windows at the ends come in blocks of their own. For executors of other processes it must be picklable.
    name
        A word that is in no table yet; it is written into the metadata.
    anchor
        `"centre"`: a value describes its whole window; `"first"`: it lies where the window's first sample lies.
    composes
        True when values of values are values of all samples (as for a maximum); then the metadata says `source: base`.
    source
        `"base"`: where it does not compose, every level is made from the base samples all the same, while these fit the memory.
    dtypes
        NumPy's names of the dtypes that `f` takes; all when not said.

    Raises
    ------
    OptionError
        When the name is taken or no word, `f` cannot be called, or the anchor is unknown.

    Notes
    -----
    The levels have the base's dtype: for integers, what `f` returns is rounded half to even and kept within their range. NaN and nodata
    are samples like any other, and `f` decides; for integers, a NaN that it returns becomes nodata, or 0 when none is said.

    Examples
    --------
    >>> import numpy as np
    >>> reduction(np.ptp, name="spread", summary="Largest less smallest.").composes
    False
    """
    if not callable(f):
        raise OptionError(f"reduction: found {f!r}, expected a function f(block, axes) such as numpy.ptp")
    if not re.fullmatch(r"[A-Za-z][\w-]*", name) or name in [row.name for row in TABLE]:
        raise OptionError(f"reduction: found the name {name!r}, expected a word of letters, digits and _ that no other reduction has")
    if anchor not in ("centre", "first"):
        raise OptionError(f"reduction: found the anchor {anchor!r}, expected 'centre' or 'first'")
    kernel = OwnKernel(f, name)
    row = Reduction(
        name=name,
        anchor=anchor,
        composes=composes,
        dtypes=tuple(dtypes) if dtypes is not None else BOOL + UNSIGNED + SIGNED + FLOATS + COMPLEX,
        factory=Windows(kernel),
        from_base=None if composes else Gathered(kernel),
        summary=summary or f"What {getattr(f, '__name__', 'a function')} makes of each window.",
        window="the box of the downscale factors",
        ties="as the function has them",
        rounding="once per level, to the base's dtype; integers half to even, within their range",
        partial="the samples that are there",
        weighted="the function sees samples alone",
        nan="a sample like any other",
        nodata="a sample like any other",
    )
    return row if source is None else row.said({"source": source})


@dataclass(frozen=True, slots=True)
class OwnKernel:
    """A user's function as a kernel: whole and partial windows in blocks of their own."""

    f: OwnFunction
    name: str

    def __call__(self, block: AnyArray, factors: Factors, out: AnyArray, nodata: complex | None) -> None:
        for inside, where, window in ranks.cuts(block.shape, factors):
            part, target = block[inside], out[where]
            shape = [n for size, f in zip(part.shape, window, strict=True) for n in (size // f, f)]
            found = np.asarray(self.f(part.reshape(shape), tuple(range(1, len(shape), 2))))
            if found.shape != target.shape:
                raise OptionError(f"reduction {self.name!r}: the function returned shape {found.shape}, expected {target.shape}: one value per window")
            _stored(found, target, nodata)


def _stored(found: AnyArray, out: AnyArray, nodata: complex | None) -> None:
    if found.dtype.kind not in "biu" or out.dtype.kind not in "iu":
        filters.store(found, out, nodata)
        return
    given, held = np.iinfo(found.dtype.name if found.dtype.kind != "b" else "uint8"), np.iinfo(out.dtype.name)
    low, high = max(given.min, held.min), min(given.max, held.max)
    out[...] = found if low == given.min and high == given.max else np.clip(found, low, high)
