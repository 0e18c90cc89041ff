"""Builds of Datasets: one plan per variable, coordinates at every level, one publication.

The variables are built one after the other by the engine, each with a journal of its own, into one group; the journal of the whole names
them all and goes last, so a build that was interrupted goes on with the variable where it stopped. Nothing is seen before all are there.
"""

from __future__ import annotations

import json
import math
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ziggurat import geometry, layouts, reductions
from ziggurat.builder.beside import Given, make_beside, open_given
from ziggurat.builder.carried import Small, copy_carried, missing_attributes, small_array, write_small
from ziggurat.builder.clearing import clear_old
from ziggurat.builder.coordinates import Beside, Coordinates, read_coordinates
from ziggurat.builder.job import Job
from ziggurat.builder.publish import multiscale_of, write_said
from ziggurat.builder.result import BuildResult
from ziggurat.builder.run import run
from ziggurat.builder.site import Site, n_expected, open_site, parse_codec
from ziggurat.builder.targets import Destination, check_free, find_destination, forget_others, work_folder
from ziggurat.builder.tasks import Meter, ProgressCallback, Tally
from ziggurat.chunkio import read_region
from ziggurat.journal import Journal
from ziggurat.kernels import coordinates as cells
from ziggurat.layouts.grids import CRS_KEYS
from ziggurat.locking import Lease, locked
from ziggurat.model import JSON, Axis, Level, Multiscale, SourceInfo
from ziggurat.planner import BuildOptions, BuildPlan, Probes, Target, make_plan
from ziggurat.planner import datasets as choices
from ziggurat.planner.choices import choose_axes
from ziggurat.planner.datasets import Ground, VariableFacts
from ziggurat.problems import LayoutError, OptionError, PlanError, StorageError
from ziggurat.reductions import Reduction
from ziggurat.sources import Source
from ziggurat.sources.arrays import NumpySource
from ziggurat.sources.blocks import array_facts, in_blocks
from ziggurat.sources.datasets import DatasetSource, Held, PackedSource, choose, named_by
from ziggurat.version import __version__

if TYPE_CHECKING:
    from concurrent.futures import Executor

FAMILY = ("geozarr@0.1", "datatree@1", "xcube@1.0", "itk@1")
"""Layouts of which a level is a dataset of several variables; the last holds one image."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable that is reduced: what reads it, its plan, what is given beside it."""

    held: Held
    source: Source
    plan: BuildPlan
    beside: Given
    row: Reduction


@dataclass(frozen=True, slots=True)
class Prepared:
    """A build of a dataset before it begins."""

    source: DatasetSource
    destination: Destination
    plan: BuildPlan
    variables: tuple[Variable, ...]
    carried: tuple[str, ...]
    """Data variables without an axis that is reduced."""
    ground: Ground
    coordinates: Coordinates


def plan_dataset(source: DatasetSource, target: object, options: BuildOptions, probes: Probes, *, overwrite: bool) -> BuildPlan:
    """Returns what `build_dataset` would do; writes nothing."""
    return _prepared(source, target, options, probes, overwrite=overwrite, given=None).plan


def build_dataset(
    source: DatasetSource,
    target: object,
    options: BuildOptions,
    probes: Probes,
    *,
    plan: BuildPlan | None,
    overwrite: bool,
    executor: Executor | None,
    progress: ProgressCallback | None,
) -> BuildResult:
    """Makes the levels of every variable and publishes them together. Raises as `build` does."""
    started = time.perf_counter()
    prepared = _prepared(source, target, options, probes, overwrite=overwrite, given=plan)
    meter = Meter(prepared.plan.n_tasks, progress)
    results = _run(prepared, executor, meter)
    first = next(iter(results.values()))
    total = {n: sum(getattr(r, n) for r in results.values()) for n in ("written_bytes", "n_chunk_reads", "n_chunk_writes")}
    return replace(
        first, **total, n_resumed=meter.n_resumed, n_tasks=prepared.plan.n_tasks, plan=prepared.plan, seconds=time.perf_counter() - started, variables=results
    )


# --- before anything is written --------------------------------------------------------------------------------------------


def _prepared(source: DatasetSource, target: object, options: BuildOptions, probes: Probes, *, overwrite: bool, given: BuildPlan | None) -> Prepared:
    names = options.variables
    source = choose(source, tuple(names) if names is not None else None)
    ground = choices.find_ground(source.facts)
    layout = given.layout if given is not None else _layout(options, source)
    place = NumpySource(np.zeros(1), SourceInfo(source.location, source.name, array_facts((1,), np.dtype("f8"), (1,))))
    _, destination = find_destination(place, _target(source, target, layout), options, add=False, overwrite=overwrite)
    if given is not None:
        variables = _given_variables(source, given, options)
        if given.target != destination.location:
            raise PlanError(f"plan: it was made for the target {given.target}, found {destination.location}; make the plan again")
    else:
        variables = _planned_variables(source, ground, destination, replace(options, layout=layout), probes)
    done = {v.plan.name for v in variables}
    placing = source.placing()
    carried = tuple(n for n, held in source.variables.items() if n not in done and n not in placing and held.source is not None)
    steps = _cumulative(variables)
    reduced = tuple(dict.fromkeys(dim for step in steps for dim, f in step.items() if f > 1))
    sizes = {dim: n for facts in source.facts.values() for dim, n in zip(facts.dims, facts.shape, strict=True)}
    partial = tuple(dim for dim in reduced if any(sizes[dim] % step.get(dim, 1) for step in steps))
    coordinates = read_coordinates(source, ground, reduced, partial)
    coordinates.at(steps[-1])  # what cannot be merged is said before anything is written
    joined = given or BuildPlan.joined(tuple(v.plan for v in variables), source=source.location, stamp=_stamp(coordinates), notes=_notes(variables, carried))
    check_free(destination, joined)
    for v in variables:
        if v.plan.codecs is not None:
            parse_codec(v.plan.codecs)
    prepared = Prepared(source, destination, joined, variables, carried, ground, coordinates)
    _said(prepared)
    return prepared


def _layout(options: BuildOptions, source: DatasetSource) -> str:
    """Returns the layout: as said, else GeoZarr. Raises LayoutError for one whose levels are no datasets."""
    if options.layout is None:
        return "geozarr@0.1"
    layout = layouts.find(options.layout)
    found = next((name for name in FAMILY if name.partition("@")[0] == layout.name), None)
    if found is None:
        known = ", ".join(name.partition("@")[0] for name in FAMILY[:-1])
        raise LayoutError(
            f"layout: {options.layout} holds one image per group, and {source.location} is a dataset; say one of {known}, or variables= with one name"
        )
    return options.layout if "@" in options.layout else found


def _target(source: DatasetSource, target: object, layout: str) -> object:
    if target is not None:
        return target
    place = Path(source.location)
    if not (place.is_absolute() and place.exists()):
        raise OptionError(f"target: {source.location} has no folder to put levels into; say a target such as 'levels.zarr'")
    ending = "levels" if layout.startswith("xcube") else "zarr"
    free = place.parent / f"{source.name}.{ending}"
    return str(free if free != place else place.parent / f"{source.name}.levels.{ending}")


def _planned_variables(source: DatasetSource, ground: Ground, destination: Destination, options: BuildOptions, probes: Probes) -> tuple[Variable, ...]:
    """Returns every variable that has an axis that is reduced, with its plan. Raises OptionError where there is none."""
    placing = source.placing()
    candidates = {n: h for n, h in source.variables.items() if n not in placing and h.source is not None}
    dims = tuple(dict.fromkeys(dim for held in candidates.values() for dim in held.facts.dims))
    encoding = choices.checked_encoding(options, tuple(candidates))
    said = choices.said_reduction(options, tuple(candidates), dims)
    axes = {n: choices.on_the_ground(choose_axes(h.source.info, replace(options, axes=None))[0], ground) for n, h in candidates.items() if h.source}
    chunks = {
        n: choices.variable_chunks(h.source.info, axes[n], _own(options, encoding.get(n), h.facts.dims), has_grid=h.has_grid)
        for n, h in candidates.items()
        if h.source
    }
    wanted = _reduced_dims(options, ground)
    on_ground = {n: [dim for dim in h.facts.dims if dim in wanted] for n, h in candidates.items()}
    if not any(on_ground.values()):
        where = ", ".join(dims) or "none"
        raise OptionError(
            f"factors: no axis of {source.location} is known to lie on the ground (axes {where}); say factors by axis name, such as factors={{'y': 2, 'x': 2}}"
        )
    largest = max((n for n in candidates), key=lambda n: (len(on_ground[n]), math.prod(candidates[n].facts.shape)))
    leader = candidates[largest].source
    if leader is None:
        raise AssertionError("only variables that can be read are candidates")
    own = _own(options, None, candidates[largest].facts.dims)
    ladder = choices.dataset_ladder(leader.info, axes[largest], chunks[largest], own)
    reduced = {dim for step in ladder for dim in step}
    setting = _Setting(source, ground, destination, options, probes, ladder, said, encoding)
    found = [_planned(setting, n, axes[n], chunks[n]) for n, held in candidates.items() if reduced & set(held.facts.dims) or (not ladder and on_ground[n])]
    if options.layout is not None and options.layout.startswith("itk") and len(found) > 1:
        names = ", ".join(v.plan.name for v in found)
        raise LayoutError(
            f"layout: {options.layout} holds one image, and {source.location} has {len(found)} ({names}); say variables= with one, or layout='datatree@1'"
        )
    return tuple(found)


def _reduced_dims(options: BuildOptions, ground: Ground) -> tuple[str, ...]:
    """Returns the axes that are reduced: those that factors name, else those on the ground."""
    said = options.factors
    steps = said if isinstance(said, Sequence) else (said,)
    named = tuple(dim for step in steps if isinstance(step, Mapping) for dim in step)
    return named or ground.dims


def _own(options: BuildOptions, encoding: Mapping[str, Any] | None, dims: Sequence[str]) -> BuildOptions:
    """Returns the options of one variable: what is said by axis, of the axes that it has."""
    own = replace(options, **(encoding or {}))
    return replace(own, **{what: _of_axes(getattr(own, what), dims) for what in ("chunks", "shards", "factors")}, variables=None, encoding=None)


def _of_axes(said: Any, dims: Sequence[str]) -> Any:
    return {dim: n for dim, n in said.items() if dim in dims} if isinstance(said, Mapping) else said


@dataclass(frozen=True, slots=True)
class _Setting:
    """What the plans of all variables of a dataset are made from."""

    source: DatasetSource
    ground: Ground
    destination: Destination
    options: BuildOptions
    probes: Probes
    ladder: Sequence[Mapping[str, int]]
    said: Mapping[str, Any]
    """Reductions by variable."""
    encoding: Mapping[str, Mapping[str, Any]]


def _planned(setting: _Setting, name: str, axes: Sequence[Axis], chunks: Sequence[int]) -> Variable:
    """Returns a variable with its plan. Raises OptionError where nothing says how whole numbers are reduced, and as `make_plan` does."""
    source, ground, options, said = setting.source, setting.ground, setting.options, setting.said.get(name)
    held = source.variables[name]
    facts = held.facts
    reduction, reason = (said, "") if said is not None else choices.cf_reduction(facts, ground, tuple(source.measures()))
    if reduction is None and np.dtype(facts.dtype).itemsize > 2 and options.kind is None:
        raise OptionError(
            f"reduction: the {facts.dtype} samples of {name!r} may be labels or quantities and nothing says which; say reduction={{{name!r}: 'mode'}} or 'mean'"
        )
    opened, facts = _opened(held, reduction)
    info = replace(opened.info, name=name, axes=tuple(axes), kind=_kind(facts, reduction, said), kind_reason=reason)
    info = replace(info, array=replace(info.array, fill_value=_fill(facts)))
    steps = choices.variable_ladder(facts, setting.ladder)
    own = _own(options, setting.encoding.get(name), facts.dims)
    own = replace(own, reduction=reduction, factors=steps or None, levels=None if steps else 1, chunks=tuple(chunks), name=name, names=_names(options, name))
    own = replace(own, nodata=facts.missing if facts.missing is not None else None, weights=_weights(setting, name, reduction or "mean", axes, steps))
    if not held.has_grid:
        opened, info = _in_blocks(opened, info, tuple(chunks)), in_blocks(info, tuple(chunks))
    beside = open_given(own)
    target = Target(setting.destination.location, name, zarr_format=_format(options.layout or ""))
    plan = make_plan(info, own, target, setting.probes, beside.facts)
    if plan.zarr_format == 2 and facts.missing is None and np.dtype(facts.dtype).kind in "iub":
        plan = replace(plan, fill_value=None).sealed()  # xarray takes the fill value of Zarr v2 for that of missing samples
    return Variable(replace(held, facts=facts), opened, plan, beside, reductions.resolve(own.rows or plan.reduction, [axis.name for axis in plan.axes]))


def _kind(facts: VariableFacts, reduction: Any, said: Any) -> Any:
    """Returns what the samples are: a mask, labels where flags name them, else numbers."""
    kind = np.dtype(facts.dtype).kind
    if kind == "b":
        return "mask"
    flagged = any(key in facts.attributes for key in ("flag_values", "flag_masks", "flag_meanings"))
    return "labels" if flagged or (said is not None and said == "mode" and kind in "iu") else "image"


def _names(options: BuildOptions, name: str) -> str | None:
    return f"{{k}}/{name}" if (options.layout or "").startswith("geozarr") else None


def _format(layout: str) -> int:
    found = layouts.find(layout)
    held = found.containers(layouts.version_of(layout)) if isinstance(found, layouts.Writing) else ()
    return 3 if "zarr3" in held or not held else 2


def _fill(facts: VariableFacts) -> JSON:
    if facts.missing is not None:
        return facts.missing
    return "NaN" if np.dtype(facts.dtype).kind == "f" else None


def _in_blocks(source: Source, info: SourceInfo, chunks: tuple[int, ...]) -> Source:
    return source.in_blocks(chunks) if hasattr(source, "in_blocks") else source


def _opened(held: Held, reduction: Any) -> tuple[Any, VariableFacts]:
    """Returns what is read of a variable, and its facts: numbers as they are packed, or unpacked where levels could not be packed so."""
    source, facts = held.source, held.facts
    if not choices.is_unpacked(facts, reduction):
        return source, facts
    attributes = {key: value for key, value in facts.attributes.items() if key not in ("scale_factor", "add_offset")}
    if isinstance(source, PackedSource):
        return source.inner, replace(facts, dtype=source.inner.dtype.name, attributes=attributes, missing=None)
    raise OptionError(
        f"reduction: the numbers of {facts.name!r} are packed (scale_factor, add_offset), and levels by {reduction!r} are not; open the dataset decoded"
    )


def _weights(setting: _Setting, name: str, reduction: Any, axes: Sequence[Axis], steps: Sequence[Mapping[str, int]]) -> Any:
    """Returns the weights of one variable: as said, where its reduction takes any; else those of areas, of means on the globe."""
    source, ground, options = setting.source, setting.ground, setting.options
    row = reductions.resolve(reduction, [axis.name for axis in axes])
    if options.weights is not None:
        return options.weights if row.weighs == "weights" else None
    if row.word != "mean" or not any(dim in ground.dims for step in steps for dim in step):
        return None
    facts = source.facts[name]
    measure = _measure(source, facts)
    if measure is not None:
        return measure
    return _areas(source, ground, facts) if ground.is_geographic else None


def _measure(source: DatasetSource, facts: VariableFacts) -> Any:
    """Returns the areas that the variable names in `cell_measures`, as they broadcast to it; None where there are none."""
    text = facts.attributes.get("cell_measures")
    if not isinstance(text, str) or "area:" not in text:
        return None
    area = text.split("area:", 1)[1].split()[0]
    held = source.variables.get(area)
    if held is None or not set(held.facts.dims) <= set(facts.dims):
        return None
    values = held.values if held.values is not None else _whole(held.source)
    at = [facts.dims.index(dim) for dim in held.facts.dims]
    shape = [n if i in at else 1 for i, n in enumerate(facts.shape)]
    return np.nan_to_num(np.asarray(values, np.float64).transpose(np.argsort(at)).reshape(shape))


def _whole(source: Any) -> Any:
    return read_region(source, tuple(slice(0, n) for n in source.shape))


def _areas(source: DatasetSource, ground: Ground, facts: VariableFacts) -> Any:
    """Returns areas of cells by axis, from their bounds where these are stored: sines of latitudes, widths of longitudes where they differ."""
    found: dict[str, list[float]] = {}
    lines = read_coordinates(source, ground, ground.dims, ()).lines
    for dim in ground.dims:
        line = lines.get(dim)
        if dim not in facts.dims or line is None or line.edges is None or line.centres.size < 2:
            continue
        edges = np.clip(line.edges, -90, 90) if dim == ground.y else line.edges
        widths = np.abs(np.diff(np.sin(np.deg2rad(edges)) if dim == ground.y else edges))
        if dim == ground.y or not np.allclose(widths, widths[0], rtol=1e-6):
            found[dim] = widths.tolist()
    return found or None


def _given_variables(source: DatasetSource, given: BuildPlan, options: BuildOptions) -> tuple[Variable, ...]:
    """Returns the variables of a plan that was made before. Raises PlanError for another dataset, OptionError."""
    more = set(options.said()) - {"reduction", "weights", "nodata", "variables"}
    if more:
        raise PlanError(f"plan: {', '.join(sorted(more))} said beside a plan; say them to plan() and give its result")
    found = []
    said = choices.said_reduction(options, [plan.name for plan in given.variables], [axis.name for plan in given.variables for axis in plan.axes])
    for plan in given.variables:
        held = source.variables.get(plan.name)
        if held is None or held.source is None:
            raise PlanError(f"plan: it holds a variable {plan.name!r}, which {source.location} has not; make the plan again")
        opened, facts = _opened(held, plan.reduction)
        if opened.shape != plan.levels[0].shape or opened.info.stamps != plan.stamps:
            raise PlanError(f"plan: it was made for another dataset, or {plan.name!r} has changed since; make the plan again")
        blocks = plan.source_chunks
        weights = _measure(source, facts) if plan.weights is not None and "shape" in plan.weights and options.weights is None else options.weights
        beside = open_given(BuildOptions(weights=weights), plan)
        row = reductions.resolve(said.get(plan.name, plan.reduction), [axis.name for axis in plan.axes])
        found.append(Variable(replace(held, facts=facts), _in_blocks(opened, opened.info, blocks), plan, beside, row))
    return tuple(found)


def _cumulative(variables: Sequence[Variable]) -> list[dict[str, int]]:
    """Returns by level the factors from the base by axis name."""
    n_levels = max(v.plan.n_levels for v in variables)
    steps: list[dict[str, int]] = [{} for _ in range(n_levels)]
    for v in variables:
        for k, level in enumerate(v.plan.levels):
            steps[k] |= {axis.name: f for axis, f in zip(v.plan.axes, level.cumulative, strict=True)}
    return steps


def _stamp(coordinates: Coordinates) -> str:
    crc = 0
    for name in sorted(coordinates.values):
        values = coordinates.values[name]
        data = values.tobytes() if values.dtype.kind in "biufc" else repr(values.tolist()).encode()
        crc = zlib.crc32(json.dumps([name, coordinates.facts[name].attributes], sort_keys=True).encode(), zlib.crc32(data, crc))
    return f"{crc:08x}"


def _notes(variables: Sequence[Variable], carried: Sequence[str]) -> tuple[str, ...]:
    notes = dict.fromkeys(note for v in variables for note in v.plan.notes if "its scale is left at 1" not in note)
    alone = (f"{', '.join(carried)}: no axis of theirs is reduced, so they are the same at every level",) if carried else ()
    return (*notes, *alone)


# --- what is said of it -----------------------------------------------------------------------------------------------------------


def _multiscale(prepared: Prepared, variable: Variable, small: Sequence[Mapping[str, Beside]]) -> Multiscale:
    """Returns the multiscale of one variable, placed by the coordinates of its levels."""
    made = multiscale_of(variable.plan, __version__)
    levels = tuple(_placed(level, made.axes, beside, prepared) for level, beside in zip(made.levels, small, strict=False))
    axes = tuple(replace(axis, unit=_unit(prepared, axis), extra=_axis_attributes(prepared, axis.name)) for axis in made.axes)
    return replace(made, levels=levels, axes=axes, layout="", extra={**made.extra, **_crs(prepared, variable)})


def _placed(level: Level, axes: Sequence[Axis], small: Mapping[str, Beside], prepared: Prepared) -> Level:
    """Returns a level with the coordinates that are no straight line, and with the line through them where the base has no step."""
    if level.array is None or level.scale is None or level.translation is None:
        return level
    scale, translation, uneven = list(level.scale), list(level.translation), {}
    for i, axis in enumerate(axes):
        held = small.get(axis.name)
        if held is None or held.dims != (axis.name,) or held.values.dtype.kind not in "iuf" or not np.isfinite(held.values).all():
            if held is not None and held.dims == (axis.name,) and held.values.dtype.kind in "OUST":
                uneven[axis.name] = tuple(map(str, held.values.tolist()))
            continue
        values = tuple(held.values.astype(np.float64).tolist())
        line = prepared.coordinates.lines.get(axis.name)
        base = line.centres if line is not None else prepared.coordinates.values[axis.name].astype(np.float64)
        if line is None or cells.even_centres(base, 1) is None:  # not reduced: in the unit of its own values; or uneven
            told = geometry.line(values)
            if told is not None:
                scale[i], translation[i] = told.scale or scale[i], told.translation
        on_line = geometry.points(len(values), scale[i], translation[i])
        if not np.allclose(values, on_line, rtol=0, atol=1e-6 * abs(scale[i])):
            uneven[axis.name] = values
    return replace(level, scale=tuple(scale), translation=tuple(translation), coordinates=uneven)


def _unit(prepared: Prepared, axis: Axis) -> str | None:
    facts = prepared.source.facts.get(axis.name)
    unit = facts.attributes.get("units") if facts is not None else None
    return unit if isinstance(unit, str) else axis.unit


def _axis_attributes(prepared: Prepared, name: str) -> dict[str, JSON]:
    facts = prepared.source.facts.get(name)
    return {} if facts is None else {key: value for key, value in facts.attributes.items() if key not in ("units", "bounds")}


def _crs(prepared: Prepared, variable: Variable) -> dict[str, JSON]:
    """Returns the reference system that the variable's grid mapping tells, under the keys of GeoZarr."""
    return crs_of_mapping(
        next((prepared.source.facts[n].attributes for n in named_by(variable.held.facts, ("grid_mapping",)) if n in prepared.source.facts), {})
    )


def crs_of_mapping(attributes: Mapping[str, JSON]) -> dict[str, JSON]:
    """Returns what the attributes of a grid mapping say, as `proj:code` and `proj:wkt2`. Source: CF conventions 5.6; WKT 2, 7.3.

    >>> crs_of_mapping({"crs_wkt": 'GEOGCRS["WGS 84",ID["EPSG",4326]]'})["proj:code"]
    'EPSG:4326'
    """
    text = next((attributes[key] for key in ("crs_wkt", "spatial_ref") if isinstance(attributes.get(key), str) and attributes[key]), None)
    if not isinstance(text, str):
        return {}
    found: dict[str, JSON] = {}
    tail = text.rstrip().rstrip("]").rpartition("[")[2].replace('"', "").split(",")
    if len(tail) == 2 and tail[0].strip().isalpha() and tail[1].strip().isdigit():
        found["proj:code"] = f"{tail[0].strip().upper()}:{tail[1].strip()}"
    elif text.upper().startswith("EPSG:"):
        found["proj:code"] = text.upper()
    if "[" in text:
        found["proj:wkt2"] = text
    return {key: found[key] for key in CRS_KEYS if key in found}


def _said(prepared: Prepared) -> tuple[layouts.Documents, dict[str, Small]]:
    """Returns what the layout says of all variables, and the small arrays beside them by path. Raises LayoutError, OptionError."""
    steps = _cumulative(prepared.variables)
    small = [prepared.coordinates.at(step) for step in steps]
    multiscales = [_multiscale(prepared, v, small) for v in prepared.variables]
    layout, plan = layouts.find(prepared.plan.layout), prepared.plan
    written = layout.write(multiscales, version=layouts.version_of(plan.layout), existing=dict(prepared.source.attributes), display=None)
    groups = [level.path.rpartition("/")[0] for level in plan.levels]
    arrays: dict[str, Small] = {}
    for group, beside in zip(groups, small, strict=True):
        for name, one in beside.items():
            arrays[f"{group}/{name}" if group else name] = small_array(one, prepared.source.facts.get(name))
    attributes = dict(written.attributes)
    for group in groups:
        attributes[group] = {**prepared.source.attributes, **attributes.get(group, {})} if group else attributes.get(group, dict(prepared.source.attributes))
    for v in prepared.variables:
        for level in v.plan.levels:
            told = {**v.held.facts.attributes, **missing_attributes(v.held.facts, plan.zarr_format)}
            attributes[level.path] = {**told, **attributes.get(level.path, {})}
    ground = {axis.name for v in prepared.variables for axis in v.plan.axes if axis.kind == "space"}
    kept = {path: one for path, one in written.arrays.items() if path not in arrays and one.dimension in ground}
    return replace(written, attributes=attributes, arrays=kept), arrays


# --- the work -------------------------------------------------------------------------------------------------------------------------


def _run(prepared: Prepared, executor: Executor | None, meter: Meter) -> dict[str, BuildResult]:
    """Makes all levels of all variables, counts them and publishes."""
    joined, destination = prepared.plan, prepared.destination
    written, small = _said(prepared)
    info = prepared.variables[0].source.info
    whole = open_site(destination, joined, info)
    if executor is not None and whole.home is None:
        raise PlanError(f"executor: workers hand back through the target, and {destination.location} can neither list nor delete; leave executor out")
    work = work_folder(destination, joined)
    inner = destination if work is None else replace(destination, root=str(work), folder=work, exists=False, overwrite=False)
    results: dict[str, BuildResult] = {}
    with ExitStack() as held:
        lease, journals = Lease(), []
        if whole.home is not None:
            lease = held.enter_context(locked(whole.home))
            clear_old(whole, destination)
            journals.append(Journal(whole.home, joined.fingerprint, sync=joined.durability != "none"))
            journals[0].open(json.dumps(joined.to_json(), indent=1))
        for variable in prepared.variables:
            site = open_site(inner, variable.plan, variable.source.info)
            journal = None
            if site.home is not None:
                journal = Journal(site.home, variable.plan.fingerprint, sync=joined.durability != "none")
                journal.open(json.dumps(variable.plan.to_json(), indent=1))
                journals.append(journal)
            results[variable.plan.name] = _run_variable(site, variable, journal, executor, meter)
        paths = tuple(level.path for v in prepared.variables for level in v.plan.levels)
        groups = [level.path.rpartition("/")[0] for level in joined.levels]
        carried = copy_carried(whole, [prepared.source.variables[n] for n in prepared.carried], groups)
        write_small(whole, small)
        for journal in journals[:1]:
            journal.sync()
        lease.check()
        write_said(whole, written, (*paths, *small, *carried))
        for journal in reversed(journals):
            journal.forget()
        if journals:
            forget_others(destination, joined)
    whole.move_home()
    return results


def _run_variable(site: Site, variable: Variable, journal: Journal | None, executor: Executor | None, meter: Meter) -> BuildResult:
    """Makes the levels of one variable and counts them. Raises StorageError unless every chunk was written."""
    started, plan, resumed = time.perf_counter(), variable.plan, meter.n_resumed
    row = variable.row
    writers = site.create()
    readers = {k: site.reader(k) for k in site.written} if row.halo or plan.is_resampled else {}
    tally = run(
        Job(plan, variable.source, writers, row, site.home, readers, make_beside(plan, variable.beside)), journal=journal, executor=executor, meter=meter
    )
    for k, n in n_expected(site).items():
        if tally.written.get(k, 0) != n or bool(getattr(writers[k], "open_shards", 0)):
            raise StorageError(f"{site.path(k)}: {tally.written.get(k, 0)} of {n} chunks written; nothing was published, run the build again")
    if journal is not None and journal.resumed:
        site.sweep()
    return _result(site, plan, tally, meter.n_resumed - resumed, time.perf_counter() - started)


def _result(site: Site, plan: BuildPlan, tally: Tally, n_resumed: int, seconds: float) -> BuildResult:
    (total, n), (last, m) = tally.sums, tally.last
    return BuildResult(
        location=plan.target,
        n_levels=plan.n_levels,
        seconds=seconds,
        written_bytes=tally.written_bytes + tally.copied_bytes,
        base_mean=total / n if n else None,
        last_mean=last / m if m else None,
        n_chunk_reads=tally.n_chunk_reads,
        n_chunk_writes=sum(tally.written.values()),
        n_resumed=n_resumed,
        n_tasks=plan.n_tasks,
        plan=plan,
    )
