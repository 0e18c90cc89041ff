"""`make_plan`: facts of the source, what was said, facts of the target -> `BuildPlan`. Pure: no I/O, no clock, no probing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ziggurat import geometry, layouts, reductions
from ziggurat.model import JSON, Axis, SourceInfo
from ziggurat.planner import choices
from ziggurat.planner.beside import Beside, check_broadcasts, chosen_min_valid, described_weights, plan_vectors, weighing_of
from ziggurat.planner.choices import Form, Probes, Shape, Target
from ziggurat.planner.cost import PROCESS_BYTES, Schedule, Work, expected_seconds, schedule
from ziggurat.planner.options import BuildOptions, finite, per_axis
from ziggurat.planner.plan import Base, BuildPlan, LevelPlan
from ziggurat.planner.spans import said_windows
from ziggurat.problems import LayoutError, OptionError, PlanError
from ziggurat.reductions import Reduction

DEFAULT_MEMORY = 2 * 2**30
"""At most this much unless said; less on machines with less than 8 GiB. Source: defaults.md, memory."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """The base in the order of axes in which it is written."""

    axes: tuple[Axis, ...]
    shape: Shape
    stored_chunks: Shape
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    scale_is_known: bool


NOTHING_BESIDE = Beside()


def make_plan(info: SourceInfo, options: BuildOptions, target: Target, probes: Probes, beside: Beside = NOTHING_BESIDE) -> BuildPlan:
    """Returns everything that a build of `info` into `target` will do; `beside` describes weights and masks that were given as arrays.

    Raises
    ------
    OptionError
        When something that was said cannot be honoured, or something must be said.
    PlanError
        When the work does not fit the memory.
    LayoutError, UnsupportedError
        When the layout cannot hold the axes, or the reduction does not take the dtype.
    """
    axes, notes = choices.choose_axes(info, options)
    kind, row = choices.choose_kind(info, axes, options)
    form, form_notes = choices.choose_form(info, axes, options, target)
    frame = _frame(info, axes, options, form)
    windows = said_windows(options, frame.shape, frame.axes, frame.scale)
    if any(not w.is_regular for level in windows for w in level) and form.layout != "multiscales@0.1":
        form, form_notes = _form_of_groups(info, axes, options, target)
        frame = _frame(info, axes, options, form)
        windows = said_windows(options, frame.shape, frame.axes, frame.scale)
    if options.rows is not None:
        row = reductions.resolve(options.rows, [axis.name for axis in frame.axes])  # in the order in which they are written
    known = frame.scale if frame.scale_is_known else None
    chunks = choices.choose_chunks(info, frame.axes, frame.shape, frame.stored_chunks, known, options)
    ladder = () if windows else choices.choose_ladder(frame.shape, frame.axes, chunks, known, options)
    dtype = choices.checked_dtype(info, options)
    reductions.check_dtype(row, dtype)
    base = _base(info, target, options, form, chunks, dtype)
    shapes = (frame.shape, *(tuple(w.n for w in level) for level in windows)) if windows else geometry.level_shapes(frame.shape, ladder)
    memory = options.memory_bytes or min(probes.ram_bytes // 4, DEFAULT_MEMORY)
    shards = choices.choose_shards(shapes, chunks, dtype.itemsize, form, frame.axes, options, memory)
    if base == "verbatim" and info.array.shards is not None:
        shards[0] = info.array.shards
    names = choices.choose_names(len(shapes), info.path if target.in_place else None, options)
    names = choices.placed_names(names, form, frame.axes, target, options)
    levels = _levels(frame, row, ladder, chunks, shards, dtype, names) if not windows else _resampled(frame, row, windows, chunks, shards, dtype, names)
    plan = BuildPlan(
        source=info.location,
        target=target.location,
        in_place=target.in_place,
        base=base,
        layout=form.layout,
        zarr_format=form.zarr_format,
        separator=form.separator,
        name=options.name or target.name,
        axes=frame.axes,
        transpose=form.transpose,
        kind=kind,
        reduction=row.name,
        anchor=row.anchor,
        composes=row.composes,
        halo=row.halo,
        nodata=choices.checked_nodata(info, dtype, options),
        missing=beside.missing,
        min_valid=chosen_min_valid(options),
        weights=described_weights(options, beside.weights, info, axes),
        coverage=_coverage(levels, options),
        second=_folder(row.pair[1], levels) if row.pair is not None and len(levels) > 1 else None,
        source_dtype=dtype.name,
        source_chunks=frame.stored_chunks,
        levels=levels,
        passes=(),
        codecs=options.codecs,
        fill_value=_fill_value(info, target, options, form, dtype),
        write_empty=options.write_empty,
        residual_base=_residual(row, levels, options),
        array_geometry=options.array_geometry,
        durability=options.durability or "rename",
        threads=options.threads or probes.n_cpus,
        memory_bytes=memory,
        peak_bytes=0,
        n_chunk_reads=0,
        n_chunk_writes=0,
        n_object_writes=0,
        bytes_in=0,
        bytes_out=0,
        expected_seconds=0.0,
        stamps=info.stamps,
        software=probes.software,
        notes=(*info.notes, *notes, *form_notes, *_shard_notes(levels, options), *_dtype_notes(row, levels)),
    )
    _check_beside(plan, row, info)
    return _costed(plan, row).sealed()


def _check_beside(plan: BuildPlan, row: Reduction, info: SourceInfo) -> None:
    """Raises OptionError for a mask or weights that do not fit the base, or that the reduction does not take."""
    reductions.check_weighing(row, weighing_of(plan))
    if plan.missing is not None:
        check_broadcasts("nodata", plan.missing, info.array.shape)
    if plan.weights is not None and "rule" in plan.weights:
        plan_vectors(plan)


def _coverage(levels: Sequence[LevelPlan], options: BuildOptions) -> str | None:
    """Returns the path below which coverage is stored: one that no level lies in."""
    if not options.coverage:
        return None
    if len(levels) < 2:
        raise OptionError("coverage: it is stored for levels above the base, and there are none; say levels= or smaller chunks=")
    return _folder("coverage", levels)


def _folder(wanted: str, levels: Sequence[LevelPlan]) -> str:
    """Returns a path that no level lies in: the one wanted, or that with a number."""
    taken = {level.path.split("/")[0] for level in levels}
    return next(name for name in (wanted, *(f"{wanted}_{n}" for n in range(2, len(taken) + 3))) if name not in taken)


def source_blocks(info: SourceInfo, options: BuildOptions, target: Target) -> Shape:
    """Returns the level chunks in the order of the source's axes: how a source that can be read in any grid is read best."""
    axes, _ = choices.choose_axes(info, options)
    form, _ = choices.choose_form(info, axes, options, target)
    frame = _frame(info, axes, options, form)
    chunks = choices.choose_chunks(info, frame.axes, frame.shape, frame.stored_chunks, frame.scale if frame.scale_is_known else None, options)
    return in_source_order(form.transpose, chunks)


def in_source_order(transpose: Shape | None, sizes: Shape) -> Shape:
    """Returns sizes per axis of the levels as sizes per axis of the source.

    >>> in_source_order((2, 0, 1), (3, 40, 50))
    (40, 50, 3)
    """
    return sizes if transpose is None else tuple(sizes[transpose.index(i)] for i in range(len(sizes)))


def _residual(row: Reduction, levels: Sequence[LevelPlan], options: BuildOptions) -> str | None:
    """Returns the path of the base's residual: level 0 of the names' template where that is free, else `residual`."""
    if not options.residual_base:
        return None
    if row.stores != "differences" or len(levels) < 2:
        raise OptionError(f"residual_base: {row.name!r} keeps no differences; say reduction='laplacian' and two levels or more, or leave it out")
    wanted = options.names.replace("{k}", "0") if isinstance(options.names, str) else "residual"
    return wanted if wanted not in [level.path for level in levels] else "residual"


def _frame(info: SourceInfo, axes: Sequence[Axis], options: BuildOptions, form: Form) -> _Frame:
    ndim = info.array.ndim
    order = form.transpose or tuple(range(ndim))
    known = options.scale is not None or info.scale is not None
    scale = per_axis("scale", options.scale, axes, info.scale or (1.0,) * ndim) if options.scale is not None else info.scale or (1.0,) * ndim
    shift = info.translation or (0.0,) * ndim
    if options.translation is not None:
        shift = per_axis("translation", options.translation, axes, shift)
    scale, shift = finite("scale", scale, positive=info.scale is None or options.scale is not None), finite("translation", shift, positive=False)
    take = [tuple(values[i] for i in order) for values in (info.array.shape, info.array.chunks)]
    return _Frame(
        tuple(axes[i] for i in order),
        take[0],
        take[1],
        tuple(scale[i] for i in order),
        tuple(shift[i] for i in order),
        known,
    )


def _base(info: SourceInfo, target: Target, options: BuildOptions, form: Form, chunks: Shape, dtype: np.dtype[np.generic]) -> Base:
    if target.in_place:
        return "stays"
    same = form.transpose is None and chunks == info.array.chunks and dtype.name == info.array.dtype
    return "verbatim" if target.verbatim and same and options.codecs is None and options.shards in (None, info.array.shards) else "encoded"


def _fill_value(info: SourceInfo, target: Target, options: BuildOptions, form: Form, dtype: np.dtype[np.generic]) -> JSON:
    """Returns the fill value of what is written: the base's own, or 0.

    In Zarr v2 xarray takes it for `_FillValue`, so a layout of its world has the value of missing samples there, and null where there is none: zeros
    would be read as missing, and integers as floats.
    """
    value = info.array.fill_value if info.array.zarr_format or info.array.fill_value is not None else 0
    if form.zarr_format == 3:
        return 0 if value is None else value
    if target.in_place or form.layout.partition("@")[0] not in layouts.OF_XARRAY:
        return value
    nodata = choices.checked_nodata(info, dtype, options)
    if nodata is not None:
        return nodata if math.isfinite(nodata) else str(np.float64(nodata)).replace("nan", "NaN").replace("inf", "Infinity")
    return None if info.array.is_zero_filled else value


def _levels(
    frame: _Frame, row: Reduction, ladder: Sequence[Shape], chunks: Shape, shards: Sequence[Shape | None], dtype: np.dtype[np.generic], names: Sequence[str]
) -> tuple[LevelPlan, ...]:
    ndim = len(frame.shape)
    steps = [(1,) * ndim, *ladder]
    out = []
    for k, cumulative in enumerate(geometry.cumulative_factors(ladder, ndim)):
        out.append(
            LevelPlan(
                path=names[k],
                shape=geometry.level_shape(frame.shape, cumulative),
                factors=steps[k],
                cumulative=cumulative,
                dtype=dtype.name if k == 0 else row.level_dtype(dtype).name,
                chunks=chunks,
                shards=shards[k],
                scale=geometry.level_scale(frame.scale, cumulative),
                translation=geometry.level_translation(frame.scale, frame.translation, cumulative, row.anchor),
            )
        )
    return tuple(out)


def _form_of_groups(info: SourceInfo, axes: Sequence[Axis], options: BuildOptions, target: Target) -> tuple[Form, tuple[str, ...]]:
    """Returns a form for groups of unlike lengths, which no scale can place. Raises LayoutError where another one was said."""
    mean = "the mean step is written as scale, the cuts in metadata.kwargs.windows"
    said = options.layout or target.layout
    if said is None and not target.in_place:
        form, notes = choices.choose_form(info, axes, replace(options, layout="multiscales@0.1"), target)
        return replace(form, zarr_format=target.zarr_format or 3, separator="/"), (
            *notes,
            f"multiscales@0.1 because groups of unlike lengths have no scale; {mean}",
        )
    if not options.force:
        raise LayoutError(f"layout: groups differ in length, and no scale in {said or 'this layout'} places them; say layout='multiscales@0.1', or force=True")
    form, notes = choices.choose_form(info, axes, options, target)
    return form, (*notes, f"groups differ in length: {mean}; other readers will place samples by the mean step")


def _resampled(
    frame: _Frame,
    row: Reduction,
    windows: Sequence[tuple[geometry.AxisWindows, ...]],
    chunks: Shape,
    shards: Sequence[Shape | None],
    dtype: np.dtype[np.generic],
    names: Sequence[str],
) -> tuple[LevelPlan, ...]:
    """Returns the base and its levels of any windows: each from the base."""
    base = _levels(frame, row, (), chunks, shards[:1], dtype, names[:1])[0]
    levels = [base]
    for k, level in enumerate(windows, start=1):
        factors = tuple(w.factor for w in level)
        levels.append(
            replace(
                base,
                path=names[k],
                shape=tuple(w.n for w in level),
                dtype=row.level_dtype(dtype).name,
                shards=shards[k],
                scale=geometry.level_scale(frame.scale, factors),
                translation=geometry.level_translation(frame.scale, frame.translation, factors, row.anchor),
                windows=level,
            )
        )
    return tuple(levels)


def _shard_notes(levels: Sequence[LevelPlan], options: BuildOptions) -> tuple[str, ...]:
    first = next((level for level in levels if level.shards), None)
    if first is None or options.shards is not None:
        return ()
    return (f"{first.n_chunks:,} chunks of level {first.path} are stored in {first.n_objects:,} shards; say shards= for other ones",)


def _dtype_notes(row: Reduction, levels: Sequence[LevelPlan]) -> tuple[str, ...]:
    found, base = levels[-1].dtype, levels[0].dtype
    return (f"the levels are {found} on a base of {base}, for {row.name!r} makes them so; some readers want one type",) if found != base else ()


def _costed(plan: BuildPlan, row: Reduction) -> BuildPlan:
    """Fills in how the work is cut and what it costs."""
    dtype, base, weighing = np.dtype(plan.source_dtype), plan.levels[0], weighing_of(plan)
    work = Work(
        shapes=tuple(level.shape for level in plan.levels),
        factors=tuple(level.factors for level in plan.levels),
        source_chunks=plan.source_chunks,
        chunks=base.chunks,
        shards=tuple(level.shards for level in plan.levels),
        dtype=dtype,
        out_dtype=np.dtype(plan.levels[-1].dtype),
        writes_base=plan.base == "encoded",
        copies_base=plan.base == "verbatim",
        picks=row.anchor == "first",
        masks=row.carries == "moments" or (row.carries == "sums" and (dtype.kind in "fc" or plan.nodata is not None)) or not weighing.is_plain,
        beside_bytes=(1 + dtype.itemsize if plan.missing is not None else 0) + (24 if weighing.weighted else 0),
        covers=plan.coverage is not None,
        n_arrays=2 if plan.second is not None else 1,
    )
    ladder = work.factors[1:]
    if row.halo:
        from ziggurat.planner.filters import filter_schedule  # only where there is a halo

        smooth = reductions.bind_filter(row, dtype, ladder, nodata=plan.nodata, base_shape=base.shape)
        differences, residual = row.stores == "differences", plan.residual_base is not None
        cut = filter_schedule(work, smooth, differences=differences, residual=residual, memory=plan.memory_bytes, threads=plan.threads)
    elif plan.is_resampled:
        from ziggurat.planner.resampling import resample_schedule

        windows = [level.windows for level in plan.levels[1:] if level.windows is not None]
        bound = [reductions.bind_windows(row, dtype, level, nodata=plan.nodata, weighing=weighing) for level in windows]
        n_values = max(len(one.folding.carry_dtypes(2)) for one in bound)
        cut = resample_schedule(work, windows, n_values=n_values, memory=plan.memory_bytes, threads=plan.threads)
    elif not ladder and plan.base == "stays":
        cut = Schedule((), plan.threads, PROCESS_BYTES)
    else:
        folding = reductions.bind(row, dtype, ladder, nodata=plan.nodata, base_shape=base.shape, weighing=weighing) if ladder else None
        try:
            cut = schedule(work, folding, memory=plan.memory_bytes, threads=plan.threads)
        except PlanError as error:
            if "source=base" not in row.name:
                raise
            raise PlanError(f"{error}; or leave source=base out of {row.name!r}, which carries what lies under a sample") from None
    written = [level for k, level in enumerate(plan.levels) if k or plan.base != "stays"]
    encoded = [level for k, level in enumerate(plan.levels) if k or plan.base == "encoded"]
    covered = plan.levels[1:] if plan.coverage is not None else ()
    paired = plan.levels[1:] if plan.second is not None else ()
    n_reads = sum(p.n_chunk_reads for p in cut.passes)
    bytes_in = n_reads * math.prod(plan.source_chunks) * dtype.itemsize
    bytes_out = sum(level.n_samples * np.dtype(level.dtype).itemsize for level in (*encoded, *paired)) + sum(4 * level.n_samples for level in covered)
    return replace(
        plan,
        passes=cut.passes,
        threads=cut.threads,
        peak_bytes=cut.peak_bytes,
        n_chunk_reads=n_reads,
        n_chunk_writes=sum(level.n_chunks for level in (*written, *covered, *paired)) + (base.n_chunks if plan.residual_base else 0),
        n_object_writes=sum(level.n_objects for level in (*written, *covered, *paired)) + (base.n_objects if plan.residual_base else 0),
        bytes_in=bytes_in,
        bytes_out=bytes_out,
        expected_seconds=expected_seconds(bytes_in, bytes_out, cut.threads),
    )
