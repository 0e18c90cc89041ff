"""From samples to a verdict: what `check --deep` says of each level. Source: reliability.md R10; issue 4 of the project, provenance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ziggurat.layouts.rules import problem
from ziggurat.model import Multiscale
from ziggurat.problems import Problem
from ziggurat.provenance.blocks import Sampled
from ziggurat.provenance.explaining import Explanation, explain, places_of
from ziggurat.provenance.recomputing import Given, Recipe, Recomputed, recipe_of, recompute, recompute_shares

TOLERANCE = 0.05
"""Samples of the base by which a level may lie elsewhere than the metadata says before it is told, beyond three standard errors."""


Covered = tuple[Multiscale, Sequence[Sampled]]
"""The multiscale whose valid shares another one holds, and its levels."""


def judge(multiscale: Multiscale, levels: Sequence[Sampled], loc: str, *, given: Given | None = None, covered: Covered | None = None) -> Iterator[Problem]:
    """Yields what the samples of every level say of the metadata: recomputed where the method is ours, else explained.

    `levels` are all levels that are there, the base first, in the order of `multiscale.levels`; `loc` is the place of the series.
    `given`: the arrays that stood beside the base of the build; `covered`: where this is the coverage of another multiscale, that one.
    """
    if covered is not None:
        yield from _of_shares(covered, levels, loc, given)
        return
    recipe = recipe_of(multiscale, levels[0].dtype, given)
    if isinstance(recipe, Recipe):
        yield from _of_ours(recipe, levels, loc)
        return
    explained = [explain(levels, k) for k in range(1, len(levels))]
    for explanation, place in zip(explained, places_of(explained), strict=True):
        yield from _of_theirs(multiscale, explanation, place, f"{loc} level {explanation.level}")


def _of_ours(recipe: Recipe, levels: Sequence[Sampled], loc: str) -> Iterator[Problem]:
    row = recipe.reduction.name
    for k in range(1, len(levels)):
        found = recompute(recipe, levels, k)
        source = "the base" if recipe.source_of(k) == 0 else f"level {recipe.source_of(k)}"
        where = f"{loc} level {k}"
        if found.why_not and not found.difference:
            lie = f" ({found.n_compared:,} samples lie between the extremes of their windows)" if found.n_compared else ""
            yield problem("DEEP004", where, f"not recomputed: {found.why_not}{lie}")
        elif found.why_not and found.difference is not None:
            yield _differing(found, "nearest value that lies between the extremes of its window", source, where)
        elif found.difference is None:
            yield problem("DEEP005", where, f"{found.n_compared:,} samples, recomputed as {row} of {source}: all equal")
        else:
            yield _differing(found, row, source, where)


def _of_shares(covered: Covered, levels: Sequence[Sampled], loc: str, given: Given | None) -> Iterator[Problem]:
    multiscale, arrays = covered
    recipe = recipe_of(multiscale, arrays[0].dtype, given)
    for k, shares in enumerate(levels):
        where = f"{loc} level {k}"
        if isinstance(recipe, str):
            yield problem("DEEP004", where, f"not recomputed: {recipe}")
            continue
        found = recompute_shares(recipe, arrays[0], shares, k + 1)
        if found.why_not:
            yield problem("DEEP004", where, f"not recomputed: {found.why_not}")
        elif found.difference is None:
            yield problem("DEEP005", where, f"{found.n_compared:,} samples, recomputed as valid share of the base: all equal")
        else:
            yield _differing(found, "valid share", "the base", where)


def _differing(found: Recomputed, row: str, source: str, where: str) -> Problem:
    first = found.difference
    if first is None:
        raise AssertionError("called for a level that differs")
    message = (
        f"sample {list(first.index)} is {first.found!r}; expected {first.expected!r}, the {row} of {source} "
        f"({first.n_different:,} of {first.n_compared:,} compared samples differ)"
    )
    return problem("DEEP001", where, message, "run 'ziggurat rebuild', or correct the metadata when the level is right")


def _of_theirs(multiscale: Multiscale, found: Explanation, place: tuple[tuple[float, ...], tuple[float, ...]] | None, where: str) -> Iterator[Problem]:
    said = _stated(multiscale)
    looks = found.words
    if not looks:
        yield problem("DEEP004", where, f"what made it cannot be told: {found.why_not or 'no reduction that is known gives its samples'}")
    else:
        compared = "the base" if found.finer == 0 else f"level {found.finer}"
        sure = "every sample that was compared is" if found.exact else "looks like"
        yield problem("DEEP003", where, f"{sure} {looks} of {compared}; {f'metadata says {said}' if said else 'the metadata names no reduction'}")
    if place is None:
        if looks:
            yield problem("DEEP004", where, f"where its samples lie cannot be told: {found.why_not or 'a finer level could not be placed'}")
        return
    yield from _placed(multiscale, found, place, where)


def _stated(multiscale: Multiscale) -> str:
    method = None if multiscale.method is None else multiscale.method.get("method")
    words = [word for word in (multiscale.type, method) if isinstance(word, str) and word]
    return " / ".join(map(repr, dict.fromkeys(words)))


def _placed(multiscale: Multiscale, found: Explanation, place: tuple[tuple[float, ...], tuple[float, ...]], where: str) -> Iterator[Problem]:
    """Compares the place of the first and of the last sample with what the metadata says, in samples of the base."""
    base, level = multiscale.levels[0], multiscale.levels[found.level]
    if base.scale is None or level.scale is None or level.array is None or base.translation is None or level.translation is None:
        return
    worst: tuple[float, str, int] = (0.0, "", 0)
    for a, axis in enumerate(multiscale.axes):
        last = level.array.shape[a] - 1
        for j in {0, last}:
            says = (level.translation[a] - base.translation[a] + level.scale[a] * j) / base.scale[a]
            lies = place[0][a] + place[1][a] * j
            if abs(lies - says) > abs(worst[0]):
                worst = (lies - says, axis.name, j)
    per_sample = max(place[1]) if found.finer == found.level - 1 else 1.0
    if abs(worst[0]) <= TOLERANCE + 3 * found.error * per_sample:
        return
    shift, axis_name, j = worst
    end = "its first sample" if j == 0 else "its last sample"
    direction = "after" if shift > 0 else "before"
    how_sure = "" if found.exact else f" (known to {max(found.error, 0.005):.2f})"
    stated = "the metadata says" if level.translation_provenance in ("stated", "derived") else "is read, since the metadata states no translation"
    message = f"{end} lies {abs(shift):.2f} base samples{how_sure} {direction} where {stated}, along {axis_name}"
    yield problem("DEEP002", where, message, "'ziggurat fix' proposes the translation, once you say which reduction made the level")
