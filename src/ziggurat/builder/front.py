"""`plan` and `build`: from what a user says to a published multiscale."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ziggurat import layouts, reductions, storage
from ziggurat.builder import publish as publishing
from ziggurat.builder.beside import Given, make_beside, open_given
from ziggurat.builder.clearing import clear_old, is_clearing, own_arrays, remove_empty, withdraw
from ziggurat.builder.job import Job
from ziggurat.builder.labelling import enlist, label_options, labelled, labelled_image
from ziggurat.builder.parts import Part, begun_elsewhere, check_begun, parse_part, run_part
from ziggurat.builder.result import BuildResult
from ziggurat.builder.run import run
from ziggurat.builder.site import Site, n_expected, open_site, parse_codec
from ziggurat.builder.targets import Destination, check_free, find_destination, forget_others, replaced_levels, unfinished_plans
from ziggurat.builder.tasks import Meter, ProgressCallback, Tally
from ziggurat.chunkio import FileStore, TargetStore, codec_software
from ziggurat.journal import Journal, home_of
from ziggurat.locking import Lease, locked, locked_part
from ziggurat.model import Axis, Kind
from ziggurat.planner import BuildOptions, BuildPlan, Durability, Probes, in_source_order, make_plan, source_blocks
from ziggurat.planner.options import Missing, Nodata, Numbers, Rows, Sizes, Step, Weights
from ziggurat.problems import OptionError, PlanError, StorageError, UnsupportedError
from ziggurat.reductions import Reduction
from ziggurat.sources import Source, is_netcdf, open_source, regrid
from ziggurat.version import __version__

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ziggurat.builder.clusters import Client
    from ziggurat.sources.datasets import DatasetSource

DATASET_LAYOUTS = ("geozarr", "datatree", "xcube", "itk")
"""Layouts of which a level is a dataset."""


def plan(
    source: object,
    target: object = None,
    *,
    add: bool = False,
    overwrite: bool = False,
    reduction: Rows | None = None,
    factors: Step | Sequence[Step] | None = None,
    levels: int | None = None,
    axes: str | Sequence[str | Axis] | None = None,
    scale: Numbers | None = None,
    unit: str | Mapping[str, str] | None = None,
    translation: Numbers | None = None,
    kind: Kind | None = None,
    nodata: Nodata | None = None,
    chunks: Sizes | None = None,
    shards: Sizes | None = None,
    codecs: str | None = None,
    dtype: str | None = None,
    layout: str | None = None,
    name: str | None = None,
    names: str | Sequence[str] | None = None,
    memory: int | str | None = None,
    threads: int | None = None,
    durability: Durability | None = None,
    write_empty: bool = False,
    residual_base: bool = False,
    array_geometry: bool = False,
    force: bool = False,
    missing: Missing | None = None,
    min_valid: float | None = None,
    weights: Weights | None = None,
    coverage: bool = False,
    level_shapes: Sequence[Sequence[int] | Mapping[str, int]] | None = None,
    level_scales: Sequence[Numbers] | None = None,
    groups: Mapping[str, Sequence[Sequence[int]]] | None = None,
    variables: str | Sequence[str] | None = None,
    encoding: Mapping[str, Mapping[str, object]] | None = None,
) -> BuildPlan:
    """Returns what `build` would do with the same words; writes nothing and reads no samples.

    Parameters
    ----------
    source
        A path, a URL, a store or an array: see `sources.open_source`.
    target
        A path, a URL or a store; None: beside the source (defaults.md, target).
    add, overwrite
        Another series in a group that has one; replace what is there.

    The other options are the fields of `BuildOptions`.

    Raises
    ------
    OptionError, PlanError, LayoutError, UnsupportedError, TargetExists, NotFound
        Each with one sentence that says what to do.
    """
    options = BuildOptions(
        reduction, factors, levels, axes, scale, unit, translation, kind, nodata, chunks, shards, codecs, dtype, layout, name, names,
        memory, threads, durability, write_empty, residual_base, array_geometry, force, missing, min_valid, weights, coverage,
        level_shapes, level_scales, groups, variables, encoding,
    )  # fmt: skip
    dataset = open_dataset(source, target, options)
    if dataset is not None:
        _refuse_of_datasets(add=add)
        from ziggurat.builder.datasets import plan_dataset

        return plan_dataset(dataset, target, options, _probes(), overwrite=overwrite)
    return _planned(source, target, options, add=add, overwrite=overwrite)[2]


def build(
    source: object,
    target: object = None,
    *,
    plan: BuildPlan | None = None,
    add: bool = False,
    overwrite: bool = False,
    executor: Executor | Client | str | None = None,
    progress: ProgressCallback | None = None,
    part: str | tuple[int, int] | None = None,
    finish: bool = False,
    reduction: Rows | None = None,
    factors: Step | Sequence[Step] | None = None,
    levels: int | None = None,
    axes: str | Sequence[str | Axis] | None = None,
    scale: Numbers | None = None,
    unit: str | Mapping[str, str] | None = None,
    translation: Numbers | None = None,
    kind: Kind | None = None,
    nodata: Nodata | None = None,
    chunks: Sizes | None = None,
    shards: Sizes | None = None,
    codecs: str | None = None,
    dtype: str | None = None,
    layout: str | None = None,
    name: str | None = None,
    names: str | Sequence[str] | None = None,
    memory: int | str | None = None,
    threads: int | None = None,
    durability: Durability | None = None,
    write_empty: bool = False,
    residual_base: bool = False,
    array_geometry: bool = False,
    force: bool = False,
    missing: Missing | None = None,
    min_valid: float | None = None,
    weights: Weights | None = None,
    coverage: bool = False,
    level_shapes: Sequence[Sequence[int] | Mapping[str, int]] | None = None,
    level_scales: Sequence[Numbers] | None = None,
    groups: Mapping[str, Sequence[Sequence[int]]] | None = None,
    variables: str | Sequence[str] | None = None,
    encoding: Mapping[str, Mapping[str, object]] | None = None,
) -> BuildResult:
    """Makes the levels of `source` and publishes them as a multiscale; an interrupted build goes on when it is called again.

    Parameters
    ----------
    source, target, add, overwrite
        As for `plan`.
    plan
        What `plan` returned for the same source and target; options may not be said beside it, but for a row, weights and a mask
        that were objects, which a plan cannot hold.
    executor
        Any `concurrent.futures.Executor`, a dask `Client`, or the address of a dask scheduler (`"tcp://..."`); it is given roots of
        subtrees and is not shut down. None: threads of this process.
    progress
        Called after every task with a `Progress`; what it raises stops the build, which can then be resumed.
    part
        Make one part of the build, `"7/100"` or `(7, 100)`, and publish nothing: any number of parts, in any order, on any machines
        that share source and target, as often as one likes.
    finish
        Go on where parts left off: make what they did not and the levels above, and publish.

    Raises
    ------
    OptionError, PlanError, LayoutError, UnsupportedError, TargetExists, NotFound
        Before anything is written, each with one sentence that says what to do.
    StorageError
        When reading or writing fails; nothing is published then.
    """
    started = time.perf_counter()
    options = BuildOptions(
        reduction, factors, levels, axes, scale, unit, translation, kind, nodata, chunks, shards, codecs, dtype, layout, name, names,
        memory, threads, durability, write_empty, residual_base, array_geometry, force, missing, min_valid, weights, coverage,
        level_shapes, level_scales, groups, variables, encoding,
    )  # fmt: skip
    one = parse_part(part)
    if one is not None and finish:
        raise OptionError("part and finish: both were said; make the parts first, then finish once")
    dataset = open_dataset(source, target, options, given=plan)
    if dataset is not None:
        _refuse_of_datasets(add=add, shared=one is not None or finish)
        from ziggurat.builder.datasets import build_dataset

        with _workers(executor) as workers:
            return build_dataset(dataset, target, options, _probes(), plan=plan, overwrite=overwrite, executor=workers, progress=progress)
    found = _planned(source, target, options, add=add, overwrite=overwrite, given=plan, shared=one is not None or finish)
    return _build_array(*found, options, started, executor=executor, progress=progress, part=one, finish=finish)


def _workers(executor: Executor | Client | str | None) -> AbstractContextManager[Executor | None]:
    """Gives the executor that was asked for, None where threads do: these need nothing of `concurrent.futures`, which takes long to import."""
    if executor is None:
        return nullcontext()
    from ziggurat.builder.clusters import executor_of

    return executor_of(executor)


def _build_array(
    opened: Source,
    destination: Destination,
    made: BuildPlan,
    beside: Given,
    options: BuildOptions,
    started: float,
    *,
    executor: Executor | Client | str | None,
    progress: ProgressCallback | None,
    part: Part | None,
    finish: bool,
) -> BuildResult:
    """Makes the levels of one array, or a part of them."""
    if finish:
        check_begun(destination, made)
    row = reductions.resolve(options.rows or made.reduction, [axis.name for axis in made.axes])
    with _workers(executor) as workers:
        if part is not None:
            tally, meter, n_tasks, n_waiting = _run_one(opened, destination, made, row, beside, workers, progress, part)
            result = _result(destination, made, tally, meter, time.perf_counter() - started)
            return replace(result, part=str(part), n_tasks=n_tasks, n_waiting=n_waiting)
        tally, meter = _run(opened, destination, made, row, beside, workers, progress)
    return _result(destination, made, tally, meter, time.perf_counter() - started)


def open_dataset(source: object, target: object, options: BuildOptions, *, given: BuildPlan | None = None) -> DatasetSource | None:
    """Returns a source of several variables as a dataset; None for everything that is one array.

    A Dataset of one variable is an array unless a layout of datasets, or something of single variables, is said.
    """
    if isinstance(source, np.ndarray):
        return None
    asked = bool(
        options.variables or options.encoding or (given is not None and given.variables) or (options.layout or "").partition("@")[0] in DATASET_LAYOUTS
    )
    if hasattr(source, "data_vars") and type(source).__module__.partition(".")[0] == "xarray":
        if not asked and len(source.data_vars) == 1:
            return None
        from ziggurat.sources.datasets import open_xarray

        return open_xarray(cast(Any, source))
    if isinstance(source, str | os.PathLike) and "://" not in os.fspath(source):
        place = Path(source)
        if place.is_file() and is_netcdf(place):
            from ziggurat.sources.datasets import open_file

            return open_file(place.absolute())
        if place.is_dir() and target is not None and Path(str(target)).absolute() != place.absolute() and _is_dataset(place, asked=asked):
            from ziggurat.sources.datasets import open_zarr_dataset

            return open_zarr_dataset(str(place.absolute()))
    if options.variables or options.encoding:
        raise OptionError(f"{'variables' if options.variables else 'encoding'}: said of {source}, which is no dataset of several variables; leave it out")
    return None


def _is_dataset(place: Path, *, asked: bool) -> bool:
    """True for a Zarr group of arrays that name their dimensions and are no levels: two of more than one axis, or any where that is `asked`."""
    node = storage.open_node(str(place))
    if node.kind != "group" or node.container == "n5" or layouts.holds_levels(node):
        return False
    found = [child.array for child in map(node.child, node.children()) if child.kind == "array"]
    named = [a for a in found if a is not None and a.dimension_names and all(a.dimension_names)]
    return len(named) == len(found) and len([a for a in named if a.ndim >= 2]) >= (1 if asked else 2)


def _refuse_of_datasets(*, add: bool, shared: bool = False) -> None:
    if add:
        raise OptionError("add: a dataset is built into a group of its own; leave add out, or build one variable")
    if shared:
        raise OptionError("part and finish: parts are of one array, and this is a dataset; leave part and finish out")


def _planned(
    source: object, target: object, options: BuildOptions, *, add: bool, overwrite: bool, given: BuildPlan | None = None, shared: bool = False
) -> tuple[Source, Destination, BuildPlan, Given]:
    """Opens the source, finds the place, makes the plan (or checks the given one) and whether the place is free."""
    beside = open_given(options, given)
    opened, destination = find_destination(_open(source, target), target, options, add=add, overwrite=overwrite)
    image = labelled_image(destination)
    if image is not None:
        destination = labelled(destination, image)
    if given is None:
        options = options if image is None else label_options(options, opened.info, image)
        opened = regrid(opened, source_blocks(opened.info, options, destination.facts))
        made = make_plan(opened.info, options, destination.facts, _probes(), beside.facts)
    else:
        made = _checked(given, options, opened, destination)
        opened = regrid(opened, in_source_order(given.transpose, given.source_chunks))
    if made.codecs is not None:
        parse_codec(made.codecs)  # before anything is written
    if shared:
        made = begun_elsewhere(destination, made)
    check_free(destination, made)
    return opened, destination, made, beside


def _open(source: object, target: object) -> Source:
    """Opens the source; in a group where a build in place was interrupted, the base that it was building on."""
    home = _built_in(source, target)
    if home is not None:
        with suppress(StorageError):  # it cannot be listed: then nothing was begun there
            begun = {plan.levels[0].path for plan in unfinished_plans(home) if plan.in_place}
            if len(begun) == 1:
                return open_source(source, path=begun.pop())
    return open_source(source)


def _built_in(source: object, target: object) -> TargetStore | None:
    """Returns the store of a source that may be a group where levels are added; a bucket is asked only when it is the target as well."""
    if isinstance(source, str | os.PathLike):
        text = os.fspath(source)
        if "://" not in text:
            return home_of(FileStore(text)) if Path(text).is_dir() else None
        if text.lower().startswith("http") or target not in (None, source):
            return None
    elif not (target is None or target is source) or isinstance(source, np.ndarray):
        return None
    try:
        return home_of(storage.open_store(source, writable=True))
    except (UnsupportedError, StorageError):
        return None


def _checked(given: BuildPlan, options: BuildOptions, opened: Source, destination: Destination) -> BuildPlan:
    said = options.said()
    if set(said) - {"reduction", "weights", "nodata"}:  # which a plan may hold by name only
        raise PlanError(f"plan: {', '.join(said)} said beside a plan; say them to plan() and give its result")
    shape = in_source_order(given.transpose, given.levels[0].shape)
    if shape != opened.shape or given.stamps != opened.info.stamps:
        raise PlanError(f"plan: it was made for another source ({given.source} of {shape}), or that has changed since; make the plan again")
    if given.target != destination.location:
        raise PlanError(f"plan: it was made for the target {given.target}, found {destination.location}; make the plan again")
    return given


def _probes() -> Probes:
    n_cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        ram = 8 * 2**30  # unknown: as if 8 GiB, so 2 GiB are used
    return Probes(n_cpus, ram, f"ziggurat {__version__}, {codec_software()}", __version__)


def _run(
    opened: Source, destination: Destination, made: BuildPlan, row: Reduction, beside: Given, executor: Executor | None, progress: ProgressCallback | None
) -> tuple[Tally, Meter]:
    """Makes all levels, counts them and publishes."""
    site = _site(opened, destination, made, executor)
    meter = Meter(made.n_tasks, progress)
    with ExitStack() as held:
        journal, lease = None, Lease()
        if site.home is not None:
            if site.folder is not None and not site.folder.exists():
                held.callback(remove_empty, site.folder)  # once its lock is gone
            lease = held.enter_context(locked(site.home))
            clear_old(site, destination)
            journal = Journal(site.home, made.fingerprint, sync=made.durability != "none")
            journal.open(json.dumps(made.to_json(), indent=1))
            if site.was_moving():  # stopped while levels went to their place: what is there is not known, so begin again
                journal.forget()
                journal.open(json.dumps(made.to_json(), indent=1))
        begun = own_arrays(site)
        job = _job(site, opened, row, beside)
        try:
            tally = run(job, journal=journal, executor=executor, meter=meter)
        except OptionError:  # weights that are negative, say: no other run can go on from here
            if journal is not None and not journal.resumed:
                journal.forget()
                withdraw(site, begun)
            raise
        _count(site, job.writers, tally)
        if journal is not None and journal.resumed:
            site.sweep()
        if journal is not None:
            journal.sync()  # no document is on the disk before the chunks that it promises
        lease.check()
        site.replace_old(replaced_levels(destination, made))
        publishing.publish(site, destination, __version__, tally.unproven)
        if destination.image is not None and site.folder == site.final:
            enlist(destination.image, made)
        if journal is not None:
            journal.forget()
            forget_others(destination, made)
    site.move_home()
    if destination.image is not None and site.folder != site.final:  # it replaces what was there
        enlist(destination.image, made)
    return tally, meter


def _run_one(
    opened: Source,
    destination: Destination,
    made: BuildPlan,
    row: Reduction,
    beside: Given,
    executor: Executor | None,
    progress: ProgressCallback | None,
    part: Part,
) -> tuple[Tally, Meter, int, int]:
    """Makes one part: chunks and notes of what is finished, beside others that do the same."""
    site = _site(opened, destination, made, executor)
    if site.home is None:
        raise PlanError(f"part: parts are put together through the target, and {destination.location} can neither list nor delete; leave part out")
    if site.folder is None and (destination.overwrite or is_clearing(site.home)):
        raise OptionError(f"part: {destination.location} moves nothing aside, so parts cannot replace what is there; remove it first, or leave part out")
    if site.was_moving():
        raise PlanError(f"part: {destination.location} was being published when it was stopped; say finish=True (--finish) again")
    with locked_part(site.home, part.number, part.n) as lease:
        journal = Journal(site.home, made.fingerprint, sync=made.durability != "none")
        journal.open(json.dumps(made.to_json(), indent=1), shared=True)
        done = run_part(_job(site, opened, row, beside), part, journal=journal, executor=executor, progress=progress)
        lease.check()
    return done


def _site(opened: Source, destination: Destination, made: BuildPlan, executor: Executor | None) -> Site:
    publishing.rehearse(made, destination, __version__)
    site = open_site(destination, made, opened.info)
    if executor is not None and site.home is None:
        raise PlanError(f"executor: workers hand back through the target, and {destination.location} can neither list nor delete; leave executor out")
    return site


def _job(site: Site, opened: Source, row: Reduction, beside: Given) -> Job:
    """Writes the documents of the new arrays and returns all that workers need."""
    writers = site.create()
    readers = {k: site.reader(k) for k in site.written} if row.halo or site.plan.is_resampled else {}
    return Job(site.plan, opened, writers, row, site.home, readers, make_beside(site.plan, beside))


def _count(site: Site, writers: Mapping[int, object], tally: Tally) -> None:
    """Raises StorageError unless every chunk of every level was written: what is published is whole."""
    for k, n in n_expected(site).items():
        found = tally.written.get(k, 0)
        held = getattr(writers[k], "open_shards", 0)
        if found != n or held:
            raise StorageError(f"{site.path(k)}: {found} of {n} chunks written, {held} shards open; nothing was published, run the build again")


def _result(destination: Destination, made: BuildPlan, tally: Tally, meter: Meter, seconds: float) -> BuildResult:
    (total, n), (last, m) = tally.sums, tally.last
    return BuildResult(
        location=destination.location,
        n_levels=made.n_levels,
        seconds=seconds,
        written_bytes=tally.written_bytes + tally.copied_bytes,
        base_mean=total / n if n else None,
        last_mean=last / m if m else None,
        n_chunk_reads=tally.n_chunk_reads,
        n_chunk_writes=sum(tally.written.values()),
        n_resumed=meter.n_resumed,
        n_tasks=made.n_tasks,
        plan=made,
        unproven=tuple(tally.unproven.get(k, 0) for k in range(made.n_levels)) if tally.unproven else (),
    )
