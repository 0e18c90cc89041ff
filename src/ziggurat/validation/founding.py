"""Checks of `multiscales@0.1`, beyond what its reader finds. Source: zarr-specs issue #50; formats.md 1, 15.12, 15.13."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ziggurat import geometry
from ziggurat.layouts.rules import problem
from ziggurat.layouts.series import stated_ladder, stated_windows
from ziggurat.problems import Problem
from ziggurat.validation.case import Case, Check, array_wins, same_dtype, should_be


def check_ndim(case: Case) -> Iterator[Problem]:
    """MS007: one number of axes throughout."""
    base = next(case.present(), None)
    for k, info in case.present():
        if base is not None and info.ndim != base[1].ndim:
            message = (
                f"{case.multiscale.levels[k].path!r} has {info.ndim} axes, {case.multiscale.levels[base[0]].path!r} has {base[1].ndim}; expected one number"
            )
            yield problem("MS007", f"{case.at(k)}.path", message, "list arrays of other dimensions as a series of their own")


def check_advised_keys(case: Case) -> Iterator[Problem]:
    """MS008 to MS011: version, name, type, metadata."""
    if "version" not in case.raw:
        yield problem("MS008", f"{case.loc}.version", "is absent", 'write the string "0.1", so that later versions know what they upgrade')
    yield from should_be(case.raw, "name", str, "MS009", case.loc, "name the series, so that it can be chosen by name")
    yield from should_be(case.raw, "type", str, "MS010", case.loc, "say in a word how the levels were made, such as 'gaussian' or 'mean'")
    yield from should_be(case.raw, "metadata", Mapping, "MS011", case.loc, "say which function made the levels, in which version, with which arguments")


def check_dtypes(case: Case) -> Iterator[Problem]:
    """MS016: levels of different types, as in the proposal's own sample, are worth a note."""
    yield from same_dtype(case, "MS016", "scale each level by its own range when you show it")


def check_stated_factors(case: Case) -> Iterator[Problem]:
    """MS018: where our own method and an array state the size of a level, both are shown, and the array wins."""
    stated = stated_ladder(case.multiscale.method, [axis.name for axis in case.multiscale.axes])
    base = case.arrays[0] if case.arrays else None
    if stated is None or base is None or base.ndim != case.multiscale.ndim:
        return
    ladder, _ = stated
    for k, info in case.present():
        if 0 < k <= len(ladder) and info.ndim == base.ndim:
            factors = geometry.cumulative_factors(ladder[:k], base.ndim)[-1]
            expected = geometry.level_shape(base.shape, factors)
            if not all(n in (-(-b // f), b // f) for n, b, f in zip(info.shape, base.shape, factors, strict=True)):
                place, of = f"{case.loc}.metadata.kwargs.factors", f"{case.multiscale.levels[k].path!r}"
                yield from array_wins("MS018", place, list(expected), list(info.shape), "build the levels again", of=of)


def check_resized(case: Case) -> Iterator[Problem]:
    """MS019: sizes that no whole factor explains; sizes are compared with the base only."""
    base = case.arrays[0] if case.arrays else None
    names = [axis.name for axis in case.multiscale.axes]
    if base is None or stated_ladder(case.multiscale.method, names) is not None or stated_windows(case.multiscale.method, names) is not None:
        return
    for k, info in case.present():
        pairs = zip(base.shape, info.shape, strict=True) if info.ndim == base.ndim else ()
        odd = [(b, n) for b, n in pairs if b > 0 and n > 0 and n <= b and not geometry.ratio(b, n)[1]]
        if odd:
            shown = ", ".join(f"{b} to {n}" for b, n in odd)
            yield problem("MS019", f"{case.at(k)}.path", f"no whole factor leads from {shown}; the scale is read as the ratio of the sizes")
            return


CHECKS: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("MS007",), check_ndim),
    (("MS008", "MS009", "MS010", "MS011"), check_advised_keys),
    (("MS016",), check_dtypes),
    (("MS018",), check_stated_factors),
    (("MS019",), check_resized),
)
"""Rules and the check that judges them. MS001 to MS006 and MS017 are found while reading; MS012 to MS015 are MAY, and silent."""
