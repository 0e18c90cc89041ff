"""What every layout with a list under `multiscales` shares: its entries, the arrays behind them, their order, geometry from shapes.

Source: formats.md 0.4, 1, 13.3, 15.2, 15.9 to 15.14.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import NamedTuple

from ziggurat import geometry
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Multiscale, Provenance, kind_of
from ziggurat.node import Node, parse_array_document, resolve, word
from ziggurat.problems import DocumentError, LayoutError, PathError, Problem

MAX_SERIES = 1000
"""One per chromosome or per field is the most that was seen, some hundreds."""
MAX_DATASETS = 256
"""Each level is a request; 32 halvings reach one sample from any size that exists."""
MAX_FACTOR = 2**53
"""Beyond this no axis is long."""
OWN_METHOD = "ziggurat."
"""The only methods whose `kwargs` are read; all others are opaque."""

Entry = dict[str, JSON]


class Rules(NamedTuple):
    """Ids of the rules that reading a list of series can find broken."""

    listed: str
    datasets: str
    path: str
    local: str
    array: str
    order: str


@dataclass(frozen=True, slots=True)
class Series:
    """One entry of `multiscales` that can be read: it has datasets, and each of them a local path."""

    index: int
    loc: str
    raw: Mapping[str, JSON]
    datasets: tuple[Mapping[str, JSON], ...]
    paths: tuple[str, ...]


def readable(value: JSON, loc: str, rules: Rules) -> tuple[tuple[Series, ...], tuple[Problem, ...]]:
    """Returns the entries of `multiscales` that can be read, and what is wrong with the others. Source: formats.md 15.12."""
    if not isinstance(value, (list, tuple)) or not value:
        found = "an empty list" if isinstance(value, (list, tuple)) else word(value)
        return (), (problem(rules.listed, loc, f"found {found}; expected a list of at least one object", "list every series as an object with 'datasets'"),)
    series, problems = [], []
    for index, entry in enumerate(value[:MAX_SERIES]):
        read, wrong = _series(entry, index, f"{loc}[{index}]", rules)
        problems += wrong
        series += [read] if read is not None else []
    if len(value) > MAX_SERIES:
        problems.append(problem(rules.listed, loc, f"holds {len(value):,} series; only the first {MAX_SERIES:,} are read", "spread them over several groups"))
    return tuple(series), tuple(problems)


def _series(entry: JSON, index: int, loc: str, rules: Rules) -> tuple[Series | None, list[Problem]]:
    if not isinstance(entry, Mapping):
        return None, [problem(rules.listed, loc, f"found {word(entry)}; expected an object with 'datasets'")]
    datasets = entry.get("datasets")
    if not isinstance(datasets, (list, tuple)) or not datasets:
        found = "is absent" if "datasets" not in entry else "is empty" if isinstance(datasets, (list, tuple)) else f"is {word(datasets)}"
        return None, [problem(rules.datasets, f"{loc}.datasets", f"{found}, so the series is not detected", 'list its arrays as objects such as {"path": "0"}')]
    if len(datasets) > MAX_DATASETS:
        return None, [problem(rules.datasets, f"{loc}.datasets", f"holds {len(datasets):,} arrays, and no series has more than {MAX_DATASETS}")]
    objects, paths, problems = [], [], []
    for j, dataset in enumerate(datasets):
        where = f"{loc}.datasets[{j}]"
        if not isinstance(dataset, Mapping):
            problems.append(problem(rules.path, where, f"found {word(dataset)}; expected an object with 'path'", 'write {"path": "..."}'))
        elif not isinstance(dataset.get("path"), str):
            found = "is absent" if "path" not in dataset else f"is {word(dataset['path'])}"
            problems.append(problem(rules.path, f"{where}.path", f"{found}, so the series is not detected; expected a string", "name the array"))
        else:
            try:
                paths.append(resolve(dataset["path"], "path"))
                objects.append(dataset)
            except PathError as error:
                problems.append(problem(rules.local, f"{where}.path", str(error).removeprefix("path "), "move or copy the array below the group"))
    return (None if problems else Series(index, loc, entry, tuple(objects), tuple(paths))), problems


def parts(value: JSON) -> Iterator[Mapping[str, JSON]]:
    """Yields the objects among the entries of a list; nothing for what is no list."""
    yield from (entry for entry in (value if isinstance(value, (list, tuple)) else ()) if isinstance(entry, Mapping))


def arrays(node: Node, series: Series, rules: Rules, *, names: bool) -> tuple[list[ArrayInfo | None], list[Problem]]:
    """Returns the facts of the array behind each path, None where there is none.

    One request per level; `names` asks one more in Zarr v2, for the dimension names of the base, which stand beside its document.
    """
    found: list[ArrayInfo | None] = []
    problems = []
    for j, path in enumerate(series.paths):
        where = f"{series.loc}.datasets[{j}].path"
        try:
            child = node.child(path)
            document = child.array_document
            if document is None:
                level = "the base of the series" if j == 0 else "this level"
                what = f"found a {child.kind}" if child.kind == "group" else "nothing is there"
                message = f"no array at {path!r} ({what}), so {level} cannot be read"
                problems.append(problem(rules.array, where, message, "restore the array, or take it off the list"))
                found.append(None)
            elif child.container == "n5" or (names and not any(found)):
                found.append(child.array)
            else:
                found.append(parse_array_document(document, child.zarr_format or 2, location=child.location))
        except DocumentError as error:
            problems.append(problem(rules.array, where, f"the array at {path!r} cannot be read: {error}", "correct its metadata document"))
            found.append(None)
    return found, problems


def order(found: Sequence[ArrayInfo | None]) -> tuple[tuple[int, ...], bool]:
    """Returns the positions of the levels, largest first, and whether the document lists the coarsest first. Source: formats.md 15.9.

    Levels without an array keep their place in the document's order.
    """
    sizes = [math.prod(info.shape) for info in found if info is not None]
    positions = tuple(range(len(found)))
    if all(a >= b for a, b in pairwise(sizes)):
        return positions, False
    if all(a <= b for a, b in pairwise(sizes)):
        return positions[::-1], True
    known = [i for i in positions if found[i] is not None]
    ranked = iter(sorted(known, key=lambda i: -_size(found[i])))
    return tuple(next(ranked) if found[i] is not None else i for i in positions), False


def _size(info: ArrayInfo | None) -> int:
    return -1 if info is None else math.prod(info.shape)


def order_problem(series: Series, found: Sequence[ArrayInfo | None], rules: Rules) -> list[Problem]:
    """Returns the first place where a later level is not smaller than the one before it: no axis may grow, one must shrink."""
    known = [(j, info.shape) for j, info in enumerate(found) if info is not None]
    for (_, large), (j, small) in pairwise(known):
        if len(large) == len(small) and not (all(a >= b for a, b in zip(large, small, strict=True)) and large != small):
            what = "as large as" if large == small else "larger than"
            hint = "list the largest array first, and each array once" if large == small else "list the largest array first"
            message = f"{series.paths[j]!r} of shape {list(small)} is {what} the array before it, of shape {list(large)}; expected it to be smaller"
            return [problem(rules.order, f"{series.loc}.datasets[{j}].path", message, hint)]
    return []


def named_axes(found: Sequence[ArrayInfo | None], method: JSON = None) -> tuple[tuple[Axis, ...], str]:
    """Returns axes where the document has none, and one sentence when they are inferred. Source: formats.md 15.11.

    Evidence in this order: the names that the base states; those that our own `method` states; a last axis of 3 or 4 samples of
    8 or 16 bit that no level reduces is `c`; the trailing letters of `zyx`. Four and more axes without evidence get names that
    say nothing, provenance `absent`.
    """
    base = next((info for info in found if info is not None), None)
    if base is None:
        return (), "no array is there, so the axes are not known"
    names = base.dimension_names
    if names is not None and all(names) and len(set(names)) == len(names):
        return tuple(Axis(name or "", kind_of(name)) for name in names), ""
    ours = own_axes(method)
    if len(ours) == base.ndim == len(set(ours)):
        return tuple(Axis(name, kind_of(name), provenance="derived") for name in ours), ""
    colour = base.ndim >= 3 and base.shape[-1] in (3, 4) and base.dtype in ("uint8", "int8", "uint16", "int16")
    colour = colour and all(info is None or info.shape[-1:] == base.shape[-1:] for info in found)
    letters = "zyx"[-(base.ndim - colour) :] + "c" * colour if base.ndim else ""
    if len(letters) != base.ndim:
        axes = tuple(Axis(f"dim_{i}", provenance="absent") for i in range(base.ndim))
        return axes, f"{base.ndim} axes, and neither the document nor the arrays name them; say them, such as --axes tczyx"
    guessed = tuple(Axis(letter, kind_of(letter), provenance="inferred") for letter in letters)
    return guessed, f"neither the document nor the arrays name the axes; {', '.join(letters)} is inferred from the shape {list(base.shape)}" if guessed else ""


# --- geometry where the document has none -------------------------------------------------------------------------------


def stated_ladder(method: JSON, names: Sequence[str]) -> tuple[tuple[tuple[int, ...], ...], tuple[geometry.Anchor, ...]] | None:
    """Returns the factors from level to level and the anchor per axis that `metadata` states, only when its method is ours.

    They are in the order of `kwargs.axes`, which an upgrade that transposes carries verbatim, and are returned in the order of
    `names`. The values of all other methods are opaque. Source: formats.md 1, issue #50 (UNPARSED).
    """
    ndim = len(names)
    if not isinstance(method, Mapping) or not str(method.get("method")).startswith(OWN_METHOD):
        return None
    kwargs = method.get("kwargs")
    factors = kwargs.get("factors") if isinstance(kwargs, Mapping) else None
    if not isinstance(kwargs, Mapping) or not isinstance(factors, (list, tuple)):
        return None
    ladder = []
    for step in factors:
        whole = [f for f in step if isinstance(f, int) and f >= 1] if isinstance(step, (list, tuple)) else []
        if len(whole) != ndim or not isinstance(step, (list, tuple)) or len(step) != ndim:
            return None
        ladder.append(tuple(whole))
    stated = kwargs.get("anchor", "centre")
    words = [stated] * ndim if isinstance(stated, str) else stated
    if not isinstance(words, (list, tuple)) or len(words) != ndim:
        return None
    anchors: list[geometry.Anchor] = ["first" if w == "first" else "centre" for w in words if w in ("first", "centre")]
    axes = own_axes(method) or tuple(names)
    if len(anchors) != ndim or sorted(axes) != sorted(names):
        return None
    order = [axes.index(name) for name in names]
    return tuple(tuple(step[i] for i in order) for step in ladder), tuple(anchors[i] for i in order)


def stated_windows(method: JSON, names: Sequence[str]) -> tuple[tuple[Fraction, ...], ...] | None:
    """Returns base samples per sample of level 1, 2, ... where our own method states windows in place of factors, in the order of `names`.

    A window is a whole factor, `{"step": [p, q]}` for p / q, or `{"edges": [...]}` for groups, of which the mean is taken.
    """
    axes = own_axes(method)
    kwargs = method.get("kwargs") if isinstance(method, Mapping) else None
    levels = kwargs.get("windows") if isinstance(kwargs, Mapping) else None
    if not isinstance(levels, (list, tuple)) or len(set(axes)) != len(names) or sorted(axes) != sorted(names):
        return None
    order = [axes.index(name) for name in names]
    found = []
    for level in levels:
        factors = [_window_factor(w) for w in level] if isinstance(level, (list, tuple)) else []
        known = [f for f in factors if f is not None]
        if len(known) != len(names) or len(factors) != len(names):
            return None
        found.append(tuple(known[i] for i in order))
    return tuple(found)


def _window_factor(window: JSON) -> Fraction | None:
    """Returns base samples per window, None for what says none; at least 1."""
    step = window.get("step") if isinstance(window, Mapping) else [window, 1]
    edges = window.get("edges") if isinstance(window, Mapping) else None
    if isinstance(edges, (list, tuple)) and len(edges) > 1:
        step = [edges[-1], len(edges) - 1]
    parts = [n for n in step if isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= MAX_FACTOR] if isinstance(step, (list, tuple)) else []
    return Fraction(parts[0], parts[1]) if len(parts) == 2 and isinstance(step, (list, tuple)) and len(step) == 2 and parts[0] >= parts[1] else None


def own_axes(method: JSON) -> tuple[str, ...]:
    """Returns the names of the axes that `metadata` states, only when its method is ours; empty when it states none."""
    if not isinstance(method, Mapping) or not str(method.get("method")).startswith(OWN_METHOD):
        return ()
    kwargs = method.get("kwargs")
    axes = kwargs.get("axes") if isinstance(kwargs, Mapping) else None
    return tuple(a for a in axes if isinstance(a, str)) if isinstance(axes, (list, tuple)) else ()


def own_geometry(method: JSON, names: Sequence[str]) -> tuple[tuple[float, ...], tuple[float, ...], tuple[str | None, ...]] | None:
    """Returns scale, translation and units of the base in the order of `names`, as our own method states them where a layout cannot.

    None when the method is another's, states none, or states anything but one finite number per axis.
    """
    axes = own_axes(method)
    if not isinstance(method, Mapping) or len(set(axes)) != len(names) or sorted(axes) != sorted(names):
        return None
    kwargs = method.get("kwargs")
    found = [kwargs.get(key) for key in ("scale", "translation", "units")] if isinstance(kwargs, Mapping) else []
    lists = [list(value) for value in found if isinstance(value, (list, tuple)) and len(value) == len(names)]
    if len(lists) != 3:
        return None
    order = [axes.index(name) for name in names]
    scale = tuple(float(v) for v in (lists[0][i] for i in order) if isinstance(v, (int, float)) and math.isfinite(v) and v != 0)
    translation = tuple(float(v) for v in (lists[1][i] for i in order) if isinstance(v, (int, float)) and math.isfinite(v))
    units = tuple(u if isinstance(u, str) else None for u in (lists[2][i] for i in order))
    return (scale, translation, units) if len(scale) == len(translation) == len(names) else None


def ratios(base: Sequence[int], shape: Sequence[int]) -> tuple[Fraction, ...]:
    """Returns the factor per axis that two shapes suggest, 1 for axes of length 0."""
    return tuple(geometry.ratio(a, b)[0] if a > 0 and b > 0 else Fraction(1) for a, b in zip(base, shape, strict=True))


def placed(levels: Sequence[Level], method: JSON, axes: Sequence[Axis]) -> tuple[Level, ...]:
    """Returns levels with the scale and translation that they lack, in steps of the base where no level states a scale.

    What our own method states is `derived`. All else is `inferred`: scales from the shapes, translations from the scales where
    those are stated, else from the shapes, aligned at the lower corner. Without the base there is nothing to compare with.
    """
    ndim = len(axes)
    if not levels:
        return ()
    base = levels[0]
    names = [axis.name for axis in axes]
    kept = own_geometry(method, names)
    s0 = base.scale or (kept[0] if kept else (1.0,) * ndim)
    t0 = base.translation or (kept[1] if kept else (0.0,) * ndim)
    stated = stated_ladder(method, names)
    ladder: tuple[tuple[int, ...], ...] = () if stated is None else stated[0]
    anchors: geometry.Anchor | tuple[geometry.Anchor, ...] = "centre" if stated is None else stated[1]
    whole = accumulate(ladder, lambda a, b: tuple(x * y for x, y in zip(a, b, strict=True)), initial=(1,) * ndim)
    windows = stated_windows(method, names)
    cumulative: list[tuple[int | Fraction, ...]] = list(whole) if windows is None else [(1,) * ndim, *windows]
    result = []
    for k, level in enumerate(levels):
        how: Provenance = "derived" if (stated is not None or windows is not None) and k < len(cumulative) else "inferred"
        factors: Sequence[int | Fraction] | None = cumulative[k] if how == "derived" else _shape_factors(base, level, ndim)
        shifts = factors
        if how == "inferred" and base.scale is not None and level.scale is not None:
            shifts = [Fraction(repr(s)) / Fraction(repr(b)) for s, b in zip(level.scale, base.scale, strict=True)]
        if factors is not None and level.scale is None:
            level = replace(level, scale=geometry.level_scale(s0, factors), scale_provenance=how)
        if shifts is not None and level.translation is None:
            level = replace(level, translation=geometry.level_translation(s0, t0, shifts, anchors), translation_provenance=how)
        result.append(level)
    return tuple(result)


def _shape_factors(base: Level, level: Level, ndim: int) -> tuple[Fraction, ...] | None:
    if base.array is None or level.array is None or not base.array.ndim == level.array.ndim == ndim:
        return None
    return ratios(base.array.shape, level.array.shape)


def assembled(series: Series, levels: Sequence[Level], axes: tuple[Axis, ...], *, layout: str, coarse_first: bool, known: frozenset[str]) -> Multiscale:
    """Returns the multiscale of an entry: its levels placed, and every key that is not `known` carried as it is."""
    raw = series.raw
    method = as_object(raw.get("metadata"))
    return Multiscale(
        levels=placed(levels, method, axes),
        axes=axes,
        name=same_text(raw.get("name")),
        type=same_text(raw.get("type")),
        method=method,
        layout=layout,
        coarse_first=coarse_first,
        extra={key: value for key, value in raw.items() if key not in known},
        raw=raw,
    )


# --- writing back --------------------------------------------------------------------------------------------------------


def is_ours_to_write(entry: JSON) -> bool:
    """True for an entry that a reader detects; the others are kept as they are. Source: formats.md 15.12."""
    ids = Rules(*("MS001",) * 6)
    return _series(entry, 0, "", ids)[0] is not None


def merged(existing: JSON, written: Sequence[Entry]) -> list[JSON]:
    """Returns the new list of series: entries that no reader detects stay where they are, all others are replaced in order.

    Raises LayoutError where `existing` is no list: it belongs to another layout, or is a mistake that a person must mend.
    """
    if existing is not None and not isinstance(existing, (list, tuple)):
        raise LayoutError(f"multiscales: the group holds {word(existing)} there, not a list, and it is not overwritten; take a group of its own, or mend it")
    new: list[JSON] = list(written)
    for i, entry in enumerate(existing or ()):
        if not is_ours_to_write(entry):
            new.insert(min(i, len(new)), entry)
    return new


def set_key(entry: Entry, key: str, value: JSON, old: JSON) -> None:
    """Sets a key in place only when its meaning changed from `old`, so that spelling and order survive; None deletes it."""
    if value == old:
        return
    if value is None:
        entry.pop(key, None)
    else:
        entry[key] = value


def same_text(value: JSON) -> str | None:
    """Returns a string as it is, None for anything else: what a reader takes for a name or a type."""
    return value if isinstance(value, str) else None


def as_object(value: JSON) -> Mapping[str, JSON] | None:
    return value if isinstance(value, Mapping) else None


def matched(multiscale: Multiscale, raw: Sequence[Mapping[str, JSON]], *, keep_order: bool) -> list[tuple[Level, Mapping[str, JSON] | None]]:
    """Returns the levels in the order in which they are written, each with the dataset that it was read from.

    With `keep_order` the datasets that were read keep theirs and new levels follow, the coarsest last (first, where the document
    began with it); else the largest comes first.
    """
    waiting = list(multiscale.levels)
    pairs: list[tuple[Level, Mapping[str, JSON] | None]] = []
    for dataset in raw:
        position = next((i for i, level in enumerate(waiting) if level.path == _plain_path(dataset)), None)
        if position is not None:
            level = waiting.pop(position)
            pairs.append((level, dataset))
    fresh: list[tuple[Level, Mapping[str, JSON] | None]] = [(level, None) for level in waiting]
    if not keep_order:
        place = {id(level): i for i, level in enumerate(multiscale.levels)}
        return sorted([*pairs, *fresh], key=lambda pair: place[id(pair[0])])
    return [*fresh[::-1], *pairs] if multiscale.coarse_first else [*pairs, *fresh]


def listing(multiscale: Multiscale) -> tuple[str, ...]:
    """Returns the paths of the levels in the order of the list of datasets that was read; those that are no path are passed over."""
    return tuple(path for dataset in parts(multiscale.raw.get("datasets")) if (path := _plain_path(dataset)) is not None)


def relisted(multiscale: Multiscale, paths: Sequence[str], *, without: Sequence[str] = ()) -> Multiscale:
    """Returns the multiscale as of a list of datasets at `paths`, in this order, that says nothing under the keys `without`."""
    by_path: dict[str | None, Mapping[str, JSON]] = {}
    for dataset in parts(multiscale.raw.get("datasets")):
        by_path.setdefault(_plain_path(dataset), {key: value for key, value in dataset.items() if key not in without})
    raw: dict[str, JSON] = {key: value for key, value in multiscale.raw.items() if key not in without}
    datasets: list[JSON] = [by_path[path] for path in paths if path in by_path]
    return replace(multiscale, coarse_first=False, raw=raw | ({"datasets": datasets} if "datasets" in raw else {}))


def versioned(multiscales: Sequence[Multiscale], version: str) -> tuple[Multiscale, ...]:
    """Returns the multiscales as of entries that state their version plainly, where they state none, or spell this one."""
    return tuple(
        replace(m, raw={**m.raw, "version": version}) if m.raw and m.raw.get("version") != version and spells(m.raw.get("version"), version) else m
        for m in multiscales
    )


def spells(value: JSON, version: str) -> bool:
    """True when a stated version is `version` with more or less said, such as 0.4 as a number or 0.5-dev, or none is stated; no other is ever rewritten."""
    return value is None or str(value) == version or str(value).startswith((f"{version}-", f"{version}."))


def _plain_path(dataset: Mapping[str, JSON]) -> str | None:
    try:
        return resolve(dataset.get("path"))
    except PathError:
        return None


def geometry_lost(multiscale: Multiscale, target: str, loc: str) -> list[Problem]:
    """Returns what is lost where scale, translation and unit have no place. What arrays or our own method tell again is not lost."""
    base = multiscale.levels[0] if multiscale.levels else None
    units = [axis.unit for axis in multiscale.axes if axis.unit is not None]
    physical = base is not None and (any(s != 1 for s in base.scale or ()) or any(t != 0 for t in base.translation or ()))
    stated = any("stated" in (level.scale_provenance, level.translation_provenance) for level in multiscale.levels)
    names = [axis.name for axis in multiscale.axes]
    told = stated_ladder(multiscale.method, names) is not None or stated_windows(multiscale.method, names) is not None
    if not (physical or units or (stated and not told)):
        return []
    said = f"scale {list(base.scale)}" if base is not None and base.scale else "scale"
    message = f"{target} has no words for {said}, translation and unit ({', '.join(units) or 'none'})"
    return [problem("LOSS001", loc, message, "take ome-zarr@0.4 or 0.5 to keep them")]
