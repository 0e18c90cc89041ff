"""Levels that no whole factor leads to: sizes or sample steps that were said, and groups of samples. What was said becomes windows per axis."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from fractions import Fraction

from ziggurat.geometry import AxisWindows
from ziggurat.model import Axis
from ziggurat.planner.choices import choose_ladder
from ziggurat.planner.options import BuildOptions
from ziggurat.problems import OptionError

Shape = tuple[int, ...]
LevelWindows = tuple[AxisWindows, ...]
_OPTIONS = ("level_shapes", "level_scales", "groups")


def said_windows(options: BuildOptions, shape: Shape, axes: Sequence[Axis], scale: Sequence[float]) -> tuple[LevelWindows, ...]:
    """Returns the windows of levels 1, 2, ... in the order of `axes`; empty when whole factors say it all.

    An axis that is not named has the factors that were said, else 1. Raises OptionError for what does not fit the base.
    """
    said = {name: _per_level(name, getattr(options, name), axes) for name in _OPTIONS if getattr(options, name) is not None}
    if not said:
        return ()
    counts = {name: len(levels) for name, levels in said.items()}
    n_levels = max(counts.values())
    if len(set(counts.values())) > 1:
        raise OptionError(f"{', '.join(counts)}: found {', '.join(map(str, counts.values()))} levels, expected as many of each")
    if options.levels is not None and options.levels != n_levels + 1:
        raise OptionError(f"levels: found {options.levels}, but {next(iter(said))} says {n_levels} levels above the base; leave levels out")
    factors = _factors(options, shape, axes, n_levels)
    found = []
    for k in range(n_levels):
        windows = [AxisWindows.of_factor(n, f) for n, f in zip(shape, factors[k], strict=True)]
        for name, levels in said.items():
            for i, value in _by_axis(name, levels[k], axes).items():
                windows[i] = _one(name, value, shape[i], axes[i].name, abs(scale[i]))
        found.append(tuple(windows))
    _check_sizes(found, shape)
    return tuple(found)


def _per_level(name: str, said: object, axes: Sequence[Axis]) -> list[object]:
    """Returns what was said, one entry per level; groups are said by axis first."""
    if name == "groups":
        if not isinstance(said, Mapping) or not said or not all(isinstance(v, Sequence) and not isinstance(v, str) for v in said.values()):
            raise OptionError(f"groups: found {said!r}, expected lists of cuts by axis name, one per level, such as {{'time': [[0, 24, 48], [0, 48]]}}")
        lengths = {len(levels) for levels in said.values()}
        if len(lengths) > 1:
            raise OptionError(f"groups: found {', '.join(f'{len(v)} levels for {a}' for a, v in said.items())}, expected as many for each axis")
        return [{axis: levels[k] for axis, levels in said.items()} for k in range(lengths.pop())]
    if not isinstance(said, Sequence) or isinstance(said, str) or not said:
        raise OptionError(f"{name}: found {said!r}, expected a list with an entry per level above the base")
    return list(said)


def _by_axis(name: str, entry: object, axes: Sequence[Axis]) -> dict[int, object]:
    names = [a.name for a in axes]
    if isinstance(entry, Mapping):
        unknown = [a for a in entry if a not in names]
        if unknown:
            raise OptionError(f"{name}: found axis {unknown[0]!r}, expected names out of {', '.join(names)}")
        return {names.index(a): value for a, value in entry.items()}
    if isinstance(entry, Sequence) and not isinstance(entry, str) and len(entry) == len(names):
        return dict(enumerate(entry))
    if name == "level_scales" and isinstance(entry, int | float):
        return {i: entry for i, a in enumerate(axes) if a.kind == "space"}
    raise OptionError(f"{name}: found {entry!r} for a level, expected {len(names)} numbers ({', '.join(names)}), or numbers by axis name")


def _one(name: str, value: object, n: int, axis: str, scale: float) -> AxisWindows:
    if name == "groups":
        return _group(value, n, axis)
    if isinstance(value, bool) or not isinstance(value, int if name == "level_shapes" else int | float):
        raise OptionError(f"{name}: found {value!r} for axis {axis!r}, expected {'a whole number' if name == 'level_shapes' else 'a number'}")
    if name == "level_shapes":
        if not 1 <= value <= n:
            raise OptionError(f"level_shapes: found {value} for axis {axis!r} of length {n}, expected 1 to {n}: a level is never larger than the base")
        return AxisWindows.of_factor(n, Fraction(n) / Fraction(value))
    factor = Fraction(repr(float(value))) / Fraction(repr(scale)) if 0 < value < float("inf") else Fraction(0)
    if factor < 1:
        raise OptionError(f"level_scales: found {value!r} for axis {axis!r}, whose base has a step of {scale:g}; expected at least that")
    return AxisWindows.of_factor(n, min(factor, Fraction(n)))


def _group(value: object, n: int, axis: str) -> AxisWindows:
    cuts = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
    whole = [c for c in cuts if isinstance(c, int) and not isinstance(c, bool)]
    if len(whole) < 2 or len(whole) != len(cuts) or any(b <= a for a, b in itertools.pairwise(whole)):
        raise OptionError(f"groups of axis {axis!r}: found {value!r:.60}, expected ascending whole numbers, the first sample of each group and the end")
    if whole[0] != 0 or whole[-1] != n:
        raise OptionError(f"groups of axis {axis!r}: found cuts from {whole[0]} to {whole[-1]}, expected 0 to {n}: every sample belongs to a group")
    return AxisWindows.of_edges(whole)


def _factors(options: BuildOptions, shape: Shape, axes: Sequence[Axis], n_levels: int) -> list[Shape]:
    """Returns the cumulative factors of axes that nothing else was said of."""
    if options.factors is None:
        return [(1,) * len(shape)] * n_levels
    ladder = choose_ladder(shape, axes, shape, None, dataclasses.replace(options, levels=n_levels + 1))
    cumulative, found = (1,) * len(shape), []
    for step in ladder:
        cumulative = tuple(a * b for a, b in zip(cumulative, step, strict=True))
        found.append(cumulative)
    if len(found) != n_levels:
        raise OptionError(f"factors: found {len(found)} steps, expected {n_levels}, one per level")
    return found


def _check_sizes(levels: Sequence[LevelWindows], shape: Shape) -> None:
    """Every level is smaller than the one before it, and along no axis larger."""
    before = shape
    for k, windows in enumerate(levels, start=1):
        size = tuple(w.n for w in windows)
        if size == before or any(a > b for a, b in zip(size, before, strict=True)):
            raise OptionError(f"level {k}: found the shape {size} after {before}, expected it to be smaller; order levels from fine to coarse")
        before = size
