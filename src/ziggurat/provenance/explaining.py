"""What made a level, and where do its samples lie? Asked of the samples alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ziggurat.provenance.blocks import Region, Sampled, Shape, fitting, grid
from ziggurat.provenance.candidates import Match, equal_candidates, nearest_matches, whole_pairs
from ziggurat.provenance.filtering import Filter, fit_filter, name_of
from ziggurat.provenance.registering import Fit, line, register

_EXACT_BUDGET = 2**18
"""Samples of the finer level in a block that is compared sample by sample: some thousand windows tell reductions apart."""
_FIT_BUDGET = 2**15
"""Samples of the finer level in a block that is registered: 16^3 windows of a volume."""
_FIT_SIDE = 32
"""Coarse samples along a side of it at most: where steps are no whole factor, a longer block is not in one place."""
_EDGE = 4
"""Coarse samples at each end of an axis that are not registered."""
_DRIFT = 0.5
"""Fine samples from end to end by which the steps of a level may be off the whole factor before it counts as resampled."""
_IS_EQUAL, _IS_MEAN, _IS_FILTER = 0.99999, 0.999, 0.95
"""Shares of the variance from which a level with other than whole steps is called a mean of windows (of floats, of integers), or filtered at all."""
_ROUNDING = 0.6
"""Root mean square in integer steps: rounding leaves 0.29, truncating after that of the level before some more."""
_CENTROID_ERROR = 0.005
"""Standard error of the place that the weights of a filter tell, in samples of the finer level, where they give every sample."""
MIN_EXPLAINED = 0.25
"""Below this share of the variance a block is not believed to show the same thing."""
MAX_ERROR = 0.15
"""Standard error, in samples of the finer level, above which a place is not told."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the samples of a level tell of how they were made, compared with a finer level."""

    level: int
    finer: int
    """Number of the level that it was compared with."""
    names: tuple[str, ...] = ()
    """Reductions that give the samples, in our words (`"mean"`, `"stride"`, ...), or `"filter"`; more than one where these data cannot tell
    them apart, none where nothing fits."""
    how: str = ""
    exact: bool = False
    """True when every sample is what the reduction gives."""
    first: tuple[float, ...] | None = None
    """Place of the level's first sample in samples of the finer level, per axis; None where it cannot be told."""
    step: tuple[float, ...] | None = None
    """Size of the level's step in samples of the finer level, per axis."""
    error: float = 0.0
    """Standard error of the place, in samples of the finer level; 0 for an exact match."""
    why_not: str = ""

    @property
    def words(self) -> str:
        """What it looks like, for a person."""
        name = " or ".join(dict.fromkeys(self.names))
        return f"{name}, {self.how}" if self.how and name else name


def explain(levels: Sequence[Sampled], level: int) -> Explanation:
    """Returns what made a level, compared with the level before it; with the base where only that gives every sample.

    Reads some dozens of small blocks. The levels may be anyone's.
    """
    before = _explained(levels[level - 1], levels[level], level, level - 1)
    if before.exact or level == 1:
        return before
    direct = _by_equality(levels[0], levels[level], level, 0)
    return before if direct is None else direct


def _explained(fine: Sampled, coarse: Sampled, level: int, finer: int) -> Explanation:
    if len(fine.shape) != len(coarse.shape):
        return Explanation(level, finer, why_not=f"it has {len(coarse.shape)} axes, the finer level {len(fine.shape)}")
    if fine.dtype.kind not in "biufc" or coarse.dtype.kind not in "biufc" or fine.shape == coarse.shape or 0 in coarse.shape:
        return Explanation(level, finer, why_not="there is nothing to compare (no numbers, or equal shapes)")
    found = _by_equality(fine, coarse, level, finer)
    if found is not None:
        return found
    if "c" in (fine.dtype.kind, coarse.dtype.kind) or "b" in (fine.dtype.kind, coarse.dtype.kind):
        return Explanation(level, finer, why_not="no candidate gives these samples, and only numbers on one line are registered")
    return _by_registration(fine, coarse, level, finer)


def whole_factors(fine: Shape, coarse: Shape) -> Shape | None:
    """Returns the whole factor per axis where the sizes allow one, rounded up or down; None where an axis has none.

    >>> whole_factors((1001, 275, 3), (501, 137, 3)), whole_factors((305,), (127,))
    ((2, 2, 1), None)
    """
    found = []
    for n, m in zip(fine, coarse, strict=True):
        near = round(n / m)
        fits = [f for f in (near, near - 1, near + 1) if f >= 1 and m in (n // f, -(-n // f))]
        if not fits:
            return None
        found.append(fits[0])
    return tuple(found)


def _by_equality(fine: Sampled, coarse: Sampled, level: int, finer: int) -> Explanation | None:
    """Returns the reductions that give every sample of the blocks that are looked at."""
    factors = whole_factors(fine.shape, coarse.shape)
    matches: list[Match] = []
    steps: tuple[float, ...] = tuple(n / m for n, m in zip(fine.shape, coarse.shape, strict=True))
    if factors is not None and math.prod(factors) <= _EXACT_BUDGET:
        matches = equal_candidates(whole_pairs(fine, coarse, factors, _places(coarse.shape, fitting(coarse.shape, factors, _EXACT_BUDGET))))
        steps = tuple(map(float, factors)) if matches else steps
    if not matches and (factors is None or any(n % m for n, m in zip(fine.shape, coarse.shape, strict=True))):
        matches = nearest_matches(fine, coarse, _places(coarse.shape, fitting(coarse.shape, steps, _EXACT_BUDGET)))
        steps = tuple(n / m for n, m in zip(fine.shape, coarse.shape, strict=True))
    if not matches:
        return None
    placed = all(match.first == matches[0].first for match in matches)
    names = tuple(dict.fromkeys(match.name for match in matches))
    how = matches[0].how if len(names) == 1 else ""
    return Explanation(level, finer, names, how, True, matches[0].first if placed else None, steps)


def _places(shape: Shape, block: Shape) -> tuple[Region, ...]:
    axes = [a for a, (n, b) in enumerate(zip(shape, block, strict=True)) if n > b]
    return grid(shape, block, 2 if len(axes) > 2 else 3, axes)


def _inner_places(shape: Shape, block: Shape, moving: Sequence[int]) -> tuple[Region, ...]:
    """Returns blocks that leave the ends of moving axes out where there is room: what filters do there tells nothing of the place."""
    edge = [min(_EDGE, max(0, (n - 4) // 2)) if a in moving else 0 for a, n in enumerate(shape)]
    inner = tuple(n - 2 * e for n, e in zip(shape, edge, strict=True))
    regions = _places(inner, tuple(min(b, n) for b, n in zip(block, inner, strict=True)))
    return tuple(tuple(slice(s.start + e, s.stop + e) for s, e in zip(region, edge, strict=True)) for region in regions)


def _by_registration(fine: Sampled, coarse: Sampled, level: int, finer: int) -> Explanation:
    moving = [a for a, (n, m) in enumerate(zip(fine.shape, coarse.shape, strict=True)) if n != m]
    steps = tuple(n / m for n, m in zip(fine.shape, coarse.shape, strict=True))
    factors = whole_factors(fine.shape, coarse.shape)
    assumed = steps if factors is None else _best_steps(fine, coarse, tuple(map(float, factors)), moving)
    fits: list[Fit] = []
    filters: list[Filter] = []
    n_flat = 0
    block = tuple(min(_FIT_SIDE, b) for b in fitting(coarse.shape, assumed, _FIT_BUDGET))
    factors = factors if factors is not None and all(abs(assumed[a] - factors[a]) * block[a] < _DRIFT for a in moving) else None
    for region in _inner_places(coarse.shape, block, moving):
        fit = register(fine, coarse, region, assumed, moving)
        if fit is None or fit.explained < MIN_EXPLAINED:
            n_flat += fit is None
            continue
        found = None if factors is None else _filter_at(fine, coarse, region, factors, moving, fit)
        fits.append(fit if found is None or factors is None else _placed_by(found, fit, [factors[a] for a in moving]))
        filters += [found] if found is not None else []
    nothing = Explanation(level, finer)
    if not fits:
        return replace(nothing, why_not="the blocks that were looked at are flat or hold NaN" if n_flat else "its samples follow no average of the finer level")
    lines = [line(fits, place, _likely_steps(assumed[axis], fine.shape[axis], coarse.shape[axis])) for place, axis in enumerate(moving)]
    error = max(e for _, _, e in lines)
    rounds = coarse.dtype.kind in "iu"
    names, how = _name(filters, factors, moving) if factors is not None else _resampled(fits, [assumed[a] for a in moving], rounds=rounds)
    if error > MAX_ERROR:
        return replace(nothing, names=names, how=how, why_not=f"the place of its samples is not known better than {error:.2f} samples")
    first, step = [0.0] * len(steps), [1.0] * len(steps)
    for axis, (at, slope, _) in zip(moving, lines, strict=True):
        first[axis], step[axis] = at, slope
    if factors is not None and any(abs(step[a] - factors[a]) * coarse.shape[a] > _DRIFT for a in moving):
        names, how = _resampled(fits, [step[a] for a in moving], rounds=rounds)
    return Explanation(level, finer, names, how, False, tuple(first), tuple(step), error)


def _best_steps(fine: Sampled, coarse: Sampled, factors: tuple[float, ...], moving: Sequence[int]) -> tuple[float, ...]:
    """Returns the steps under which one large block follows the finer level best: a level may be too small to hold blocks that lie apart."""
    hypotheses = list(zip(*(_likely_steps(f, n, m) for f, n, m in zip(factors, fine.shape, coarse.shape, strict=True)), strict=True))
    block = fitting(coarse.shape, factors, _EXACT_BUDGET if len(moving) > 2 else _FIT_BUDGET)
    region = _inner_places(coarse.shape, block, moving)[0]
    best, most = factors, 0.0
    for steps in dict.fromkeys(hypotheses):
        fit = register(fine, coarse, region, steps, moving)
        if fit is not None and 1 - fit.explained < (1 - most) * 0.9:
            best, most = steps, fit.explained
    return best


def _likely_steps(assumed: float, n_fine: int, n_coarse: int) -> tuple[float, ...]:
    """Returns the steps that programs take: the whole factor, corners or centres of the end samples kept. Source: formats.md 0.3."""
    return assumed, n_fine / n_coarse, (n_fine - 1) / max(1, n_coarse - 1)


def _filter_at(fine: Sampled, coarse: Sampled, region: Region, factors: Shape, moving: Sequence[int], fit: Fit) -> Filter | None:
    """Returns the filter of a block, looked for where the block was found to lie."""
    shift = [0] * len(factors)
    for axis, middle, place in zip(moving, fit.middle, fit.place, strict=True):
        shift[axis] = round(place - middle * factors[axis] - (factors[axis] - 1) / 2)
    return fit_filter(fine, coarse, region, factors, moving, shift)


def _placed_by(found: Filter, fit: Fit, factors: Sequence[float]) -> Fit:
    """Returns the place that the filter's own weights tell, which any shape of it gives; the fitted one where they fit no better."""
    if found.explained < max(0.97, fit.explained):
        return fit
    place = tuple(m * f + c for m, f, c in zip(fit.middle, factors, found.centroid, strict=True))
    error = _CENTROID_ERROR + math.sqrt(1 - found.explained)
    return replace(fit, place=place, error=(min(error, max(fit.error)),) * len(place), explained=found.explained)


def _name(filters: Sequence[Filter], factors: Shape, moving: Sequence[int]) -> tuple[tuple[str, ...], str]:
    """Returns what the filter of the best block looks like."""
    best = max(filters, key=lambda found: found.explained, default=None)
    name, how = ("", "") if best is None else name_of(best, [factors[a] for a in moving])
    return ((name,) if name else ()), how


def _resampled(fits: Sequence[Fit], steps: Sequence[float], *, rounds: bool) -> tuple[tuple[str, ...], str]:
    """Returns the name of what has steps that are no whole factor: a mean where averages over windows of one step give the samples.

    `rounds`: the level holds integers, so that what is left of a mean is its rounding and no more.
    """
    words = " x ".join(f"{step:.4f}" for step in steps)
    if all(fit.width == 1 and fit.explained > _IS_MEAN and (fit.residual < _ROUNDING if rounds else fit.explained > _IS_EQUAL) for fit in fits):
        return ("mean",), f"of windows of {words} samples"
    return (("filter",), f"resampled in steps of {words}") if min(fit.explained for fit in fits) > _IS_FILTER else ((), "")


def places_of(explanations: Sequence[Explanation]) -> list[tuple[tuple[float, ...], tuple[float, ...]] | None]:
    """Returns (first, step) of each explained level in samples of the base, carried from level to level; None from the first unknown one on.

    `explanations` are those of levels 1, 2, ... in order.
    """
    known: dict[int, tuple[tuple[float, ...], tuple[float, ...]]] = {}
    result: list[tuple[tuple[float, ...], tuple[float, ...]] | None] = []
    for e in explanations:
        if e.first is None or e.step is None or (e.finer and e.finer not in known):
            result.append(None)
            continue
        ones = ((0.0,) * len(e.first), (1.0,) * len(e.first))
        first, step = known.get(e.finer, ones) if e.finer else ones
        known[e.level] = (
            tuple(a + s * f for a, s, f in zip(first, step, e.first, strict=True)),
            tuple(s * f for s, f in zip(step, e.step, strict=True)),
        )
        result.append(known[e.level])
    return result
