"""Reductions that can be told by equality: every sample of a block is what the candidate makes of the finer level."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ziggurat import reductions
from ziggurat.provenance.blocks import AnyArray, AnyDType, Region, Sampled, Shape, read

EQUAL_SHARE = 0.9995
"""Share of the samples that must be equal: a tie that another program breaks otherwise is one in some thousands."""


_TELLING = 0.2
"""Share of windows with a repeated value from which membership is taken for a mode."""


@dataclass(frozen=True, slots=True)
class Match:
    """A candidate that gives the samples of a level."""

    name: str
    how: str
    first: tuple[float, ...]
    """Place of the level's first sample, in samples of the finer level, per axis."""
    share: float
    """Of the samples that are equal."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A block of a level and the whole windows under it."""

    coarse: AnyArray
    fine: AnyArray
    factors: Shape


def whole_pairs(fine: Sampled, coarse: Sampled, factors: Shape, regions: Sequence[Region]) -> list[Pair]:
    """Returns the blocks with what lies under them, cut to whole windows; flat ones are left out, for they fit every candidate."""
    pairs = []
    for region in regions:
        ends = [min(s.stop, n // f) for s, n, f in zip(region, fine.shape, factors, strict=True)]
        if any(s.start >= end for s, end in zip(region, ends, strict=True)):
            continue
        block = read(coarse, tuple(slice(s.start, end) for s, end in zip(region, ends, strict=True)))
        if block.size and bool((block != block.flat[0]).any()):
            under = tuple(slice(s.start * f, end * f) for s, end, f in zip(region, ends, factors, strict=True))
            pairs.append(Pair(block, read(fine, under), factors))
    return pairs


def equal_candidates(pairs: Sequence[Pair]) -> list[Match]:
    """Returns every candidate that gives the samples of all blocks, the more common ones first."""
    if not pairs:
        return []
    found = []
    for candidate in _candidates(pairs[0].factors, pairs[0].fine.dtype):
        shares = [_share(pair.coarse, candidate.make(pair.fine)) for pair in pairs]
        if min(shares) >= EQUAL_SHARE:
            found.append(Match(candidate.name, candidate.how, candidate.first, min(shares)))
    return found or _by_membership(pairs)


def _by_membership(pairs: Sequence[Pair]) -> list[Match]:
    """Returns what can be said where values are samples of their windows, though by no rule that was tried: whose ties are broken otherwise."""
    centre = tuple((f - 1) / 2 for f in pairs[0].factors)
    counts = [_counts_in_windows(pair) for pair in pairs]
    if min(float((own == most).mean()) for own, most in counts) >= EQUAL_SHARE:
        # a window of different samples alone says nothing: where most are so, any picked sample is a mode
        telling = sum(int((most > 1).sum()) for _, most in counts) / sum(most.size for _, most in counts)
        if telling > _TELLING:
            return [Match("mode", "with ties of its own", centre, 1.0)]
    return []


def _counts_in_windows(pair: Pair) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns per window how often the level's value stands in it, and how often its most frequent value does."""
    shape = [part for n, f in zip(pair.fine.shape, pair.factors, strict=True) for part in (n // f, f)]
    n_axes = len(pair.factors)
    windows = pair.fine.reshape(shape).transpose([*range(0, 2 * n_axes, 2), *range(1, 2 * n_axes, 2)]).reshape(pair.coarse.size, -1)
    own = (windows == pair.coarse.reshape(-1, 1)).sum(axis=1)
    most = np.max([(windows == windows[:, [i]]).sum(axis=1) for i in range(windows.shape[1])], axis=0)
    return own, most


@dataclass(frozen=True, slots=True)
class _Candidate:
    name: str
    how: str
    first: tuple[float, ...]
    make: Callable[[AnyArray], AnyArray]


def _candidates(factors: Shape, dtype: AnyDType) -> Iterator[_Candidate]:
    centre = tuple((f - 1) / 2 for f in factors)
    if dtype.kind in "iufc":
        yield _Candidate("mean", "rounded half to even" if dtype.kind in "iu" else "", centre, partial(_reduced, "mean", factors))
    if dtype.kind in "iu" and dtype.itemsize <= 4:
        yield _Candidate("mean", "rounded half up", centre, partial(_half_up, factors))
        yield _Candidate("mean", "truncated", centre, partial(_truncated, factors))
    for phase in itertools.product(*map(range, factors)):
        yield _Candidate("stride", _phase_words(phase), tuple(map(float, phase)), partial(_picked_phase, phase, factors))
    for name in ("median", "mode", "min", "max"):
        if reductions.find(name).takes(dtype):
            yield _Candidate(name, "", centre, partial(_reduced, name, factors))
    if dtype.kind in "iu":
        yield _Candidate("median", "truncated", centre, partial(_median_truncated, factors))
    if dtype.kind in "iuf":
        yield _Candidate("sum", "", centre, partial(_sums, factors))


def _phase_words(phase: Sequence[int]) -> str:
    return "the first sample of each window" if not any(phase) else f"sample {', '.join(map(str, phase))} of each window"


def _reduced(name: str, factors: Shape, fine: AnyArray) -> AnyArray:
    return reductions.reduce_array(reductions.find(name), fine, [factors])[0]


def _picked_phase(phase: Sequence[int], factors: Shape, fine: AnyArray) -> AnyArray:
    return fine[tuple(slice(o, None, f) for o, f in zip(phase, factors, strict=True))]


def _sums(factors: Shape, fine: AnyArray) -> NDArray[np.generic]:
    """Returns the sums of whole windows, int64 for integers and float64 for floats."""
    shape = [part for n, f in zip(fine.shape, factors, strict=True) for part in (n // f, f)]
    wide = fine.astype(np.int64 if fine.dtype.kind in "iu" else np.float64).reshape(shape)
    found: AnyArray = wide.sum(axis=tuple(range(1, len(shape), 2)))
    return found


def _half_up(factors: Shape, fine: AnyArray) -> AnyArray:
    n = math.prod(factors)
    return np.asarray((2 * _integers(factors, fine) + n) // (2 * n))


def _truncated(factors: Shape, fine: AnyArray) -> AnyArray:
    sums = _integers(factors, fine)
    return np.asarray(np.sign(sums) * (np.abs(sums) // math.prod(factors)))


def _median_truncated(factors: Shape, fine: AnyArray) -> AnyArray:
    shape = [part for n, f in zip(fine.shape, factors, strict=True) for part in (n // f, f)]
    return np.asarray(np.median(fine.reshape(shape), axis=tuple(range(1, len(shape), 2))).astype(fine.dtype))


def _integers(factors: Shape, fine: AnyArray) -> NDArray[np.int64]:
    return _sums(factors, fine).astype(np.int64)


def _share(found: AnyArray, expected: AnyArray) -> float:
    if found.shape != expected.shape:
        return 0.0
    if found.dtype.kind in "fc" or expected.dtype.kind in "fc":
        size = float(np.nanmax(np.abs(expected))) if expected.size and np.isfinite(expected).any() else 1.0
        with np.errstate(invalid="ignore"):
            return float(np.isclose(found, expected, rtol=2e-6, atol=2e-7 * size, equal_nan=True).mean())
    return float((found == expected).mean())


def nearest_rules(n_fine: int, n_coarse: int) -> Iterator[tuple[str, NDArray[np.intp], float]]:
    """Yields how programs pick samples for a size that is no whole fraction: (in words, index per coarse sample, place of the first one)."""
    j, ratio = np.arange(n_coarse), n_fine / n_coarse
    rules = (
        ("the sample under the centre of each cell", np.floor((j + 0.5) * ratio)),
        ("the sample nearest the centre of each cell", np.rint((j + 0.5) * ratio - 0.5)),
        ("sample floor(j * ratio)", np.floor(j * ratio)),
        ("sample round(j * ratio)", np.rint(j * ratio)),
        ("samples from end to end", np.rint(j * (n_fine - 1) / max(1, n_coarse - 1))),
    )
    for words, index in rules:
        picked = np.clip(index, 0, n_fine - 1).astype(np.intp)
        yield words, picked, float(picked.mean() - ratio * j.mean())


def nearest_matches(fine: Sampled, coarse: Sampled, regions: Sequence[Region]) -> list[Match]:
    """Returns the rules for picking samples that give every block."""
    per_axis = [list(nearest_rules(n, m)) if n != m else [("", np.arange(m), 0.0)] for n, m in zip(fine.shape, coarse.shape, strict=True)]
    n_rules = max(map(len, per_axis))
    found = []
    for rule in range(n_rules):
        chosen = [rules[min(rule, len(rules) - 1)] for rules in per_axis]
        shares = []
        for region in regions:
            block = read(coarse, region)
            if block.size and bool((block != block.flat[0]).any()):
                shares.append(_share(block, _picked(fine, [index[s] for (_, index, _), s in zip(chosen, region, strict=True)])))
        if shares and min(shares) >= EQUAL_SHARE:
            words = next((w for w, _, _ in chosen if w), "")
            found.append(Match("stride", words, tuple(first for _, _, first in chosen), min(shares)))
    return found


def _picked(fine: Sampled, indices: Sequence[NDArray[np.intp]]) -> AnyArray:
    """Returns chosen samples of a level: one read of what holds them all."""
    lows = [int(i.min()) for i in indices]
    block = read(fine, tuple(slice(low, int(i.max()) + 1) for low, i in zip(lows, indices, strict=True)))
    return np.asarray(block[np.ix_(*(i - low for i, low in zip(indices, lows, strict=True)))])
