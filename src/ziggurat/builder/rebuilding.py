"""`rebuild`: the levels of a multiscale of ours once more, from what its metadata states and nothing else. Source: issue 4, provenance."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING

from ziggurat import layouts, storage
from ziggurat.builder.front import build, plan
from ziggurat.builder.publish import multiscale_of
from ziggurat.builder.result import BuildResult
from ziggurat.builder.tasks import ProgressCallback
from ziggurat.model import JSON, Axis, Kind, Multiscale
from ziggurat.planner import BuildOptions, BuildPlan
from ziggurat.problems import DocumentError, NotFound, OptionError, PlanError
from ziggurat.sources import open_source
from ziggurat.version import __version__

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ziggurat.builder.clusters import Client

_OURS = "ziggurat."
_KINDS: Mapping[str, Kind] = MappingProxyType({"image": "image", "labels": "labels", "mask": "mask"})
_FREE = frozenset({"unproven"})
"""Keys of `kwargs` that a build finds out and nobody says."""


def rebuild(
    source: str | os.PathLike[str],
    target: object = None,
    *,
    multiscale: int | str | None = None,
    overwrite: bool = False,
    executor: Executor | Client | str | None = None,
    progress: ProgressCallback | None = None,
    memory: int | str | None = None,
    threads: int | None = None,
) -> BuildResult:
    """Makes the levels of a multiscale again as its metadata says: the same bytes, with the same version of the codec library.

    Parameters
    ----------
    source
        The group that carries a multiscale of our own method.
    target
        A new store, with a copy of the base. None replaces the levels where they are; the base is only read, and the old levels stay
        until the new ones are published.
    multiscale
        Its number or name, where the group holds several; the first when not said.
    overwrite
        Replace what lies at `target`.
    executor, progress, memory, threads
        As for `build`.

    Raises
    ------
    NotFound
        There is no multiscale, or its base is missing.
    OptionError
        The method is not ours, or states weights that were an object in memory.
    PlanError
        What the metadata states gives another plan in this version, naming the key.
    """
    group = os.fspath(source)
    found = layouts.choose(layouts.read(storage.open_node(group)).multiscales, multiscale)
    if not found.levels or found.levels[0].array is None:
        raise NotFound(f"{group}: the base of the multiscale is not there, so no level can be made again")
    stated = _stated(found, group)
    options = options_of(found, stated)
    base = open_source(group, path=found.levels[0].path)
    in_place = target is None
    said = options.said() | {name: value for name, value in (("memory", memory), ("threads", threads)) if value is not None}
    made = plan(base, target, overwrite=overwrite or in_place, **said)  # type: ignore[arg-type]
    _check_same(made, stated)
    return build(base, target, plan=made, overwrite=overwrite or in_place, executor=executor, progress=progress)


def _stated(multiscale: Multiscale, group: str) -> Mapping[str, JSON]:
    method = multiscale.method or {}
    word, kwargs = method.get("method"), method.get("kwargs")
    if not isinstance(word, str) or not word.startswith(_OURS) or not isinstance(kwargs, Mapping):
        raise OptionError(f"{group}: its metadata names {word!r} as the method; only levels of a 'ziggurat.' method can be made again from it")
    if word == f"{_OURS}coverage":
        raise OptionError(
            f"{group}: {multiscale.name!r} holds the shares of another multiscale ({kwargs.get('of')!r}); rebuild that one, and they come with it"
        )
    return kwargs


def options_of(multiscale: Multiscale, kwargs: Mapping[str, JSON]) -> BuildOptions:
    """Returns what has to be said so that `build` makes these levels. Raises OptionError for what cannot be said again."""
    base, first = multiscale.levels[0], multiscale.levels[min(1, multiscale.n_levels - 1)]
    names = [axis.name for axis in multiscale.axes]
    order = [names.index(str(name)) for name in _list(kwargs, "axes")] if sorted(map(str, _list(kwargs, "axes"))) == sorted(names) else range(len(names))
    stored = first.array or base.array
    steps = _steps(kwargs, names, list(order), multiscale)
    return BuildOptions(
        reduction=_text(kwargs, "reduction"),
        factors=steps.factors,
        level_shapes=steps.level_shapes,
        level_scales=steps.level_scales,
        groups=steps.groups,
        levels=multiscale.n_levels,
        axes=tuple(Axis(axis.name, axis.kind) for axis in multiscale.axes),
        scale=base.scale,
        translation=base.translation,
        unit={axis.name: axis.unit for axis in multiscale.axes if axis.unit},
        kind=_KINDS.get(str(kwargs.get("kind"))),
        nodata=_nodata(kwargs),
        min_valid=_share(kwargs.get("min_valid")),
        weights=_weights(kwargs.get("weights")),
        coverage="coverage" in kwargs,
        chunks=None if stored is None else stored.chunks,
        shards=None if stored is None else stored.shards,
        layout=multiscale.layout,
        name=multiscale.name,
        names=[level.path for level in multiscale.levels],
        residual_base="residual_base" in kwargs,
    )


def _list(kwargs: Mapping[str, JSON], key: str) -> Sequence[JSON]:
    value = kwargs.get(key)
    return value if isinstance(value, (list, tuple)) else ()


def _text(kwargs: Mapping[str, JSON], key: str) -> str:
    value = kwargs.get(key)
    if not isinstance(value, str):
        raise DocumentError(f"metadata.kwargs.{key} is {value!r}; expected a text")
    return value


def _share(value: JSON) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _weights(value: JSON) -> str | dict[str, list[float]] | None:
    """Returns weights as they can be said: a rule, numbers by axis, or the path of an array."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        axes = value.get("axes")
        if isinstance(axes, Mapping):
            return {name: [float(str(n)) for n in _list(axes, name)] for name in axes}
        said = value.get("rule", value.get("path"))
        if isinstance(said, str):
            return said
    raise OptionError(f"metadata.kwargs.weights {value!r}: these weights were an array or a function in memory; build with them again")


def _nodata(kwargs: Mapping[str, JSON]) -> float | int | str | None:
    mask, value = kwargs.get("nodata_mask"), kwargs.get("nodata")
    if mask is not None:
        path = mask.get("path") if isinstance(mask, Mapping) else None
        if not isinstance(path, str):
            raise OptionError(f"metadata.kwargs.nodata_mask {mask!r}: this mask was an array in memory; build with it again")
        return path
    if isinstance(value, str):
        return float(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True, slots=True)
class _Steps:
    """How levels follow, as options say it: one of these."""

    factors: list[dict[str, int]] | None = None
    level_shapes: list[tuple[int, ...]] | None = None
    level_scales: list[dict[str, float]] | None = None
    groups: dict[str, list[list[int]]] | None = None


def _steps(kwargs: Mapping[str, JSON], names: Sequence[str], order: Sequence[int], multiscale: Multiscale) -> _Steps:
    """Returns factors from level to level; for windows shapes where these say their factors, else sample steps; or groups."""
    if "windows" not in kwargs:
        ladder = [_by_name(step, names, order) for step in _list(kwargs, "factors")]
        return _Steps(factors=ladder or None)
    groups: dict[str, list[list[int]]] = {}
    factors: list[dict[str, Fraction]] = []
    for level in _list(kwargs, "windows"):
        found: dict[str, Fraction] = {}
        for axis, window in zip(order, level if isinstance(level, (list, tuple)) else (), strict=False):
            edges = window.get("edges") if isinstance(window, Mapping) else None
            if isinstance(edges, (list, tuple)):
                groups.setdefault(names[axis], []).append([int(str(edge)) for edge in edges])
            else:
                found[names[axis]] = _factor(window)
        factors.append(found)
    if groups:
        return _Steps(groups=groups)
    arrays = [level.array for level in multiscale.levels]
    shapes = [array.shape for array in arrays if array is not None]
    if len(shapes) == len(arrays) and all(_is_ratio(found, names, shapes[0], shape) for found, shape in zip(factors, shapes[1:], strict=False)):
        return _Steps(level_shapes=shapes[1:])
    base = multiscale.levels[0].scale or (1.0,) * len(names)
    return _Steps(level_scales=[{name: float(Fraction(repr(s)) * found[name]) for name, s in zip(names, base, strict=True)} for found in factors])


def _is_ratio(factors: Mapping[str, Fraction], names: Sequence[str], base: Sequence[int], shape: Sequence[int]) -> bool:
    return all(factors.get(name) == Fraction(n, m) for name, n, m in zip(names, base, shape, strict=True))


def _by_name(step: JSON, names: Sequence[str], order: Sequence[int]) -> dict[str, int]:
    whole = [f for f in step if isinstance(f, int)] if isinstance(step, (list, tuple)) else []
    if len(whole) != len(names):
        raise DocumentError(f"metadata.kwargs.factors holds {step!r}; expected one whole number per axis")
    return {names[axis]: factor for axis, factor in zip(order, whole, strict=True)}


def _factor(window: JSON) -> Fraction:
    if isinstance(window, int) and not isinstance(window, bool):
        return Fraction(window)
    pair = window.get("step") if isinstance(window, Mapping) else None
    if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
        raise DocumentError(f"metadata.kwargs.windows holds {window!r}; expected a whole factor, a fraction or edges")
    return Fraction(int(str(pair[0])), int(str(pair[1])))


def _check_same(made: BuildPlan, stated: Mapping[str, JSON]) -> None:
    """Raises PlanError where the plan is not what the metadata says: better no levels than others."""
    method = multiscale_of(made, __version__).method or {}
    ours = method.get("kwargs")
    planned = dict(ours) if isinstance(ours, Mapping) else {}
    theirs = _listed(stated.get("axes"))
    for key in dict.fromkeys((*planned, *stated)):
        if key in _FREE or (key in ("factors", "anchor", "windows", "axes") and theirs != _listed(planned.get("axes"))):
            continue
        if _plain(planned.get(key)) != _plain(stated.get(key)):
            made_of_it = f"metadata.kwargs.{key} is {stated.get(key)!r}, and this version would make {planned.get(key)!r} of it"
            raise PlanError(f"{made_of_it}; build the levels with options of your own")


def _listed(value: JSON) -> list[JSON]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _plain(value: JSON) -> JSON:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value
