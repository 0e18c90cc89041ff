"""From the differences of a laplacian series back to samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ziggurat.model import JSON
from ziggurat.problems import DocumentError, LayoutError, NotFound, OptionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ziggurat.pyramid.levels import Pyramid

_METHOD = "ziggurat.laplacian"


def reconstruct(pyramid: Pyramid, level: int) -> NDArray[np.generic]:
    """Returns the gaussian level that a laplacian series was made from; see `Pyramid.reconstruct`."""
    from ziggurat import chunkio, reductions

    method = pyramid.method or {}
    if method.get("method") != _METHOD:
        made = f"by {method['method']!r}" if method.get("method") else "in a way that the document does not say"
        raise LayoutError(f"{pyramid.location}: the series was made {made}; only one of {_METHOD!r} states what its levels are differences of")
    kwargs = method.get("kwargs")
    facts: Mapping[str, JSON] = kwargs if isinstance(kwargs, Mapping) else {}
    ladder = _ladder(facts, pyramid)
    n_levels = len(pyramid.multiscale.levels)
    if not 0 <= level < n_levels:
        raise OptionError(f"level={level}: not there; the levels are 0 to {n_levels - 1}")
    there = {view.index: view.array for view in pyramid.levels}
    missing = [pyramid.multiscale.levels[k].path for k in range(level, n_levels) if k not in there]
    if missing:
        raise NotFound(f"{pyramid.location}/{missing[0]}: no array there, and a level is the sum of all coarser ones; restore it")
    if level == 0 and not isinstance(facts.get("residual_base"), str):
        return there[0][...]
    differences = [there[k][...] for k in range(max(level, 1), n_levels)]
    if level == 0:
        reader = pyramid._reader(str(facts["residual_base"]))
        differences.insert(0, chunkio.read_region(reader, [slice(0, n) for n in reader.shape]))
    row = reductions.find("laplacian")
    return reductions.reconstruct(row, differences, ladder[level:], dtype=there[0].dtype, nodata=_nodata(facts, pyramid))


def _ladder(facts: Mapping[str, JSON], pyramid: Pyramid) -> list[tuple[int, ...]]:
    """Returns the factors of every step, as the method states them."""
    steps = facts.get("factors")
    n_steps, ndim = len(pyramid.multiscale.levels) - 1, len(pyramid.axes)
    if isinstance(steps, (list, tuple)) and len(steps) == n_steps:
        ladder = [tuple(f for f in step if isinstance(f, int) and f >= 1) for step in steps if isinstance(step, (list, tuple))]
        if [len(step) for step in ladder] == [ndim] * n_steps:
            return ladder
    raise DocumentError(f"{pyramid.location}: metadata.kwargs.factors is {steps!r}; expected {n_steps} lists of {ndim} whole numbers")


def _nodata(facts: Mapping[str, JSON], pyramid: Pyramid) -> float | None:
    value = facts.get("nodata")
    if value in ("nan", "inf", "-inf"):
        return float(str(value))
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise DocumentError(f"{pyramid.location}: metadata.kwargs.nodata is {value!r}; expected a number")
