"""What a build does when nothing is said: axes, kind, reduction, layout, chunks, ladder, names. Source: defaults.md, line by line."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from ziggurat import layouts, reductions
from ziggurat.model import Axis, Kind, Level, Multiscale, SourceInfo, kind_of
from ziggurat.planner.options import MAX_LEVELS, BuildOptions, named_axes, per_axis, whole
from ziggurat.planner.table import count_text
from ziggurat.problems import LayoutError, OptionError, PlanError
from ziggurat.reductions import Reduction

Shape = tuple[int, ...]

COARSEST_PIXELS = 1024
"""One level must be at most this long in every reduced axis, so that a viewer shows the whole at once."""
SHARD_FROM_OBJECTS = 20_000
SHARD_BYTES = 256 * 2**20
SHARDS_IN_MEMORY = 32
"""A shard that nobody asked for is at most this part of the budget: several are open per level and thread."""
ALMOST_ISOTROPIC = 4
"""Up to this ratio of z to y, x spacings cubes are read best; above it planes are. Source: defaults.md, chunks."""
_FORMATS: Mapping[str, int] = MappingProxyType({f"ome-zarr@0.{minor}": 2 if minor < 5 else 3 for minor in range(1, 7)})
_RANK = MappingProxyType({"time": 0, "channel": 1, None: 2, "space": 3})


@dataclass(frozen=True, slots=True)
class Target:
    """Facts of the place that is written to, found out before planning."""

    location: str
    name: str
    """Default name of the multiscale."""
    in_place: bool = False
    """The levels go beside the base, into its group."""
    zarr_format: int | None = None
    """Of the group that is there already."""
    layout: str | None = None
    """Of the series that are there already, when another one is added."""
    verbatim: bool = False
    """True when the base's stored objects can be copied as they are."""


@dataclass(frozen=True, slots=True)
class Probes:
    """What the machine is like, probed once at the front door."""

    n_cpus: int
    ram_bytes: int
    software: str
    version: str


@dataclass(frozen=True, slots=True)
class Form:
    """How the multiscale is written down."""

    layout: str
    zarr_format: int
    separator: str
    transpose: Shape | None


def choose_axes(info: SourceInfo, options: BuildOptions) -> tuple[tuple[Axis, ...], tuple[str, ...]]:
    """Returns the axes of the base, as said, as the source states them, or by its rank; and what was inferred."""
    ndim, shape = info.array.ndim, info.array.shape
    notes: tuple[str, ...] = ()
    if options.axes is not None:
        axes = named_axes(options.axes, ndim)
        if info.axes is not None:
            axes = tuple(replace(a, unit=a.unit or b.unit) for a, b in zip(axes, info.axes, strict=True))
    elif info.axes is not None:
        axes = tuple(a if a.kind else replace(a, kind=kind_of(a.name)) for a in info.axes)
    elif ndim > 3:
        raise OptionError(f"axes: nothing names the {ndim} axes of {info.location} (shape {shape}); say them, for instance axes={'tczyx'[-ndim:]!r}")
    else:
        colour = ndim == 3 and shape[-1] in (3, 4) and info.array.dtype in ("uint8", "uint16", "int8", "int16")
        names = "yxc" if colour else "zyx"[-ndim:]
        axes = tuple(Axis(n, kind_of(n), provenance="inferred") for n in names)
        if ndim == 3:
            notes = (f"the axes {names} are inferred from the shape {shape}; say axes= if they are others",)
    if options.unit is not None:
        units = {a.name: options.unit for a in axes if a.kind == "space"} if isinstance(options.unit, str) else dict(options.unit)
        unknown = [n for n in units if n not in [a.name for a in axes]]
        if unknown:
            raise OptionError(f"unit: found axis {unknown[0]!r}, expected names out of {', '.join(a.name for a in axes)}")
        axes = tuple(replace(a, unit=units.get(a.name, a.unit)) for a in axes)
    return axes, notes


def choose_kind(info: SourceInfo, axes: Sequence[Axis], options: BuildOptions) -> tuple[Kind, Reduction]:
    """Returns the kind of the samples and the reduction of their levels, whose axes are `axes` in any order."""
    dtype = np.dtype(info.array.dtype)
    said = None if options.rows is None else reductions.resolve(options.rows, [a.name for a in axes])
    kind = options.kind or info.kind
    if kind is None:
        if dtype.kind == "b":
            kind = "mask"
        elif dtype.kind in "fc" or dtype.itemsize <= 2:
            kind = "image"
        elif said is None:
            raise OptionError(
                f"kind: the {info.array.dtype} samples of {info.location} may be labels or an image and nothing says which; "
                "say kind='labels' (levels by mode) or kind='image' (levels by mean)"
            )
        else:
            kind = "labels" if said.word == "mode" else "image"
    row = said or reductions.find("mean" if kind == "image" else "mode")
    if kind == "labels" and dtype.kind in "fc" and options.dtype is None and not options.force:
        raise OptionError(f"kind: labels are whole numbers, found {dtype.name}; say dtype='int32' and force=True to convert them, or kind='image'")
    if kind == "labels" and row.invents and not options.force:
        why = f" ({info.kind_reason})" if info.kind_reason and options.kind is None else ""
        raise OptionError(f"reduction: {row.name!r} would make labels that nobody drew{why}; take 'mode', or say force=True")
    return kind, row


def choose_form(info: SourceInfo, axes: Sequence[Axis], options: BuildOptions, target: Target) -> tuple[Form, tuple[str, ...]]:
    """Returns the layout, the Zarr format and the order of axes that it needs."""
    said = options.layout or target.layout
    given = info.array.zarr_format if target.in_place else target.zarr_format
    separator = (info.array.separator or ".") if target.in_place else "/"
    if said is not None:
        layouts.find(said)
        return _said_form(said, axes, info, options, target, given, separator)
    if given == 2 and separator == ".":
        return Form("multiscales@0.1", 2, ".", None), ()
    layout = "ome-zarr@0.4" if given == 2 else "ome-zarr@0.5"
    why = layouts.can_hold(axes, layout)
    unfit = _nameless(info, axes, layout, target) or _descending(info, axes, layout, options)
    if unfit:
        kept = "its metadata keeps scale and unit for ziggurat; other readers see samples alone"
        return Form("multiscales@0.1", given or 3, separator, None), (f"multiscales@0.1 because {unfit}; {kept}",)
    if why is None:
        return Form(layout, given or 3, separator, None), ()
    order = None if target.in_place else _ordered(axes)
    if order is not None and layouts.can_hold([axes[i] for i in order], layout) is None:
        return Form(layout, given or 3, separator, order), (_reordered(axes, order, layout),)
    return Form("multiscales@0.1", given or 3, separator, None), (f"multiscales@0.1 because {layout} cannot hold these axes: {why}",)


def _nameless(info: SourceInfo, axes: Sequence[Axis], layout: str, target: Target) -> str:
    """Returns why a base that is built on in place cannot be a level of `layout`, empty when it can: it would have to name its axes.

    The base's documents are never written to, and OME-Zarr 0.5 says that `dimension_names` MUST be there and equal the axes.
    """
    wanted = tuple(a.name for a in axes)
    if not target.in_place or layout != "ome-zarr@0.5" or info.array.dimension_names == wanted:
        return ""
    found = (
        "no dimension names" if not any(info.array.dimension_names or ()) else f"the dimension names {', '.join(map(str, info.array.dimension_names or ()))}"
    )
    return f"{info.path or info.location} has {found}, {layout} demands {', '.join(wanted)}, and a base is never written to in place"


def _descending(info: SourceInfo, axes: Sequence[Axis], layout: str, options: BuildOptions) -> str:
    """Returns why `layout` cannot hold an axis whose coordinate falls (a raster with north up), empty when none does."""
    scale = info.scale if options.scale is None else None
    falling = [a.name for a, s in zip(axes, scale or (1.0,) * len(axes), strict=True) if s < 0]
    return f"the coordinates of {', '.join(falling)} fall and a scale in {layout} is above 0" if falling and layout.startswith("ome-zarr@") else ""


def _said_form(
    said: str, axes: Sequence[Axis], info: SourceInfo, options: BuildOptions, target: Target, given: int | None, separator: str
) -> tuple[Form, tuple[str, ...]]:
    wanted = _FORMATS.get(said) or given or info.array.zarr_format or (3 if options.shards is not None else 2)
    layout = layouts.find(said)
    if not isinstance(layout, layouts.Writing):
        raise LayoutError(f"layout: {said} is read, and never written; take another one")
    held = [int(container[-1]) for container in layout.containers(layouts.version_of(said)) if container.startswith("zarr")]
    if held and wanted not in held:
        wanted = held[0]
    if given is not None and wanted != given:
        other = "a new store as target" if target.in_place else "another target"
        raise LayoutError(f"layout: {said} is written in Zarr v{wanted}, but {target.location} is Zarr v{given}; say {other}, or another layout")
    unfit = _nameless(info, axes, said, target) or _descending(info, axes, said, options)
    if unfit:
        other = "name a new target (a copy), or " if target.in_place else ""
        raise LayoutError(f"layout: {unfit}; {other}say layout='multiscales@0.1'")
    order = None
    why = layouts.can_hold(axes, said)
    if why is not None and not target.in_place:
        order = _ordered(axes)
        why = why if order is None or layouts.can_hold([axes[i] for i in order], said) else None
    if why is not None:
        raise LayoutError(f"layout: {said} cannot hold the axes {' '.join(a.name for a in axes)}: {why}; say layout='multiscales@0.1'")
    if not target.in_place and said in ("ome-zarr@0.1", "multiscales@0.1") and wanted == 2:
        separator = "."
    return Form(said, wanted, separator, order), ((_reordered(axes, order, said),) if order else ())


def _ordered(axes: Sequence[Axis]) -> Shape | None:
    """Returns the permutation to time, channel, others, space; None when they are in that order."""
    order = tuple(sorted(range(len(axes)), key=lambda i: _RANK.get(axes[i].kind, 2)))
    return None if order == tuple(range(len(axes))) else order


def _reordered(axes: Sequence[Axis], order: Shape, layout: str) -> str:
    found, wanted = "".join(a.name[:1] for a in axes), "".join(axes[i].name[:1] for i in order)
    return f"the axes {found} are written as {wanted}, the order that {layout} demands"


def choose_chunks(info: SourceInfo, axes: Sequence[Axis], shape: Shape, stored: Shape, scale: Sequence[float] | None, options: BuildOptions) -> Shape:
    """Returns the chunk shape of all levels; `stored` is the source's own in the order of `axes`."""
    has_grid = info.array.zarr_format is not None or info.array.driver != "zarr"
    default = stored if has_grid else tuple(min(c, n) for c, n in zip(_free_chunks(axes, info.array.itemsize, scale), shape, strict=True))
    if options.chunks is None:
        return default
    return whole("chunks", per_axis("chunks", options.chunks, axes, default))


def _free_chunks(axes: Sequence[Axis], itemsize: int, scale: Sequence[float] | None) -> Shape:
    """About 1 MiB in the space axes, 1 in the others."""
    space = [i for i, a in enumerate(axes) if a.kind == "space"] or list(range(len(axes)))
    sizes = [1] * len(axes)
    if len(space) == 1:
        sizes[space[0]] = max(1, 2**20 // max(1, itemsize))
    elif len(space) == 2:
        for i in space:
            sizes[i] = 1024 if itemsize == 1 else 512
    elif scale is not None and _same_unit(axes, space) and abs(scale[space[-3]]) > ALMOST_ISOTROPIC * max(abs(scale[i]) for i in space[-2:]):
        for i in space[-2:]:
            sizes[i] = 512
    else:
        for i in space[-3:]:
            sizes[i] = 128 if itemsize == 1 else 64
    return tuple(sizes)


def _same_unit(axes: Sequence[Axis], which: Sequence[int]) -> bool:
    """True when the scales of these axes can be compared: a scale without a unit says nothing beside one in micrometers."""
    return len({axes[i].unit for i in which}) == 1


def choose_shards(
    shapes: Sequence[Shape], chunks: Shape, itemsize: int, form: Form, axes: Sequence[Axis], options: BuildOptions, memory: int
) -> list[Shape | None]:
    """Returns the shard shape of each level: as said, else none unless a level would have too many objects; `memory` in bytes."""
    if options.shards is not None:
        if form.zarr_format != 3:
            raise OptionError(f"shards: Zarr v{form.zarr_format} has none; say layout='ome-zarr@0.5', or leave shards out")
        said = whole("shards", per_axis("shards", options.shards, axes, chunks))
        if any(s % c for s, c in zip(said, chunks, strict=True)):
            raise OptionError(f"shards: found {said}, expected whole multiples of the chunks {chunks}")
        return [said] * len(shapes)
    limit = min(SHARD_BYTES, memory // SHARDS_IN_MEMORY)
    out: list[Shape | None] = []
    for shape in shapes:
        n = 1
        for size, chunk in zip(shape, chunks, strict=True):
            n *= -(-size // chunk)
        out.append(_grown(shape, chunks, itemsize, limit) if n > SHARD_FROM_OBJECTS and form.zarr_format == 3 else None)
    return out


def _grown(shape: Shape, chunks: Shape, itemsize: int, limit: int) -> Shape | None:
    """Doubles chunks, shortest axis first, while the shard stays within `limit` bytes and within the level."""
    shard = list(chunks)
    n_bytes = itemsize
    for c in chunks:
        n_bytes *= c
    while 2 * n_bytes <= limit:
        free = [i for i, n in enumerate(shape) if shard[i] < n]
        if not free:
            break
        i = min(free, key=lambda a: (shard[a], -a))
        shard[i] *= 2
        n_bytes *= 2
    return tuple(shard) if tuple(shard) != chunks else None


def choose_ladder(shape: Shape, axes: Sequence[Axis], chunks: Shape, scale: Sequence[float] | None, options: BuildOptions) -> list[Shape]:
    """Returns the factors of every step, one tuple per level above the base. Raises OptionError for what cannot be."""
    named = reductions.by_axis(options.rows)
    steps = _ladder(shape, axes, chunks, scale, options, [a.kind == "space" if named is None else a.name in named for a in axes])
    for i, axis in enumerate(axes):
        if named is not None and axis.name not in named and any(step[i] > 1 for step in steps):
            raise OptionError(f"reduction: axis {axis.name!r} is reduced and nothing is said for it; say reduction={axis.name}:mean too, or factors of 1 there")
    return steps


def _ladder(shape: Shape, axes: Sequence[Axis], chunks: Shape, scale: Sequence[float] | None, options: BuildOptions, reduced: Sequence[bool]) -> list[Shape]:
    said = options.factors
    if isinstance(said, Sequence) and any(isinstance(s, Sequence | Mapping) for s in said):
        return _said_ladder(list(said), shape, axes, options)
    if said is None and not any(reduced):
        raise OptionError(f"factors: none of the axes {', '.join(a.name for a in axes)} is known to be space; say factors by axis name")
    step = None if said is None else whole("factors", per_axis("factors", said, axes, (1,) * len(axes)))  # type: ignore[arg-type]
    if isinstance(said, int) and reductions.by_axis(options.rows) is not None:
        step = tuple(said if here else 1 for here in reduced)
    if step is not None:
        _check_step(step, shape, axes, broadcast=isinstance(said, int))
        if all(f == 1 for f in step) and options.levels != 1:
            raise OptionError("factors: all of them are 1, so no level would be smaller; say at least one factor of 2 or more")
    n_steps = MAX_LEVELS - 1 if options.levels is None else options.levels - 1
    steps: list[Shape] = []
    size, cumulative = shape, (1,) * len(shape)
    while len(steps) < n_steps:
        wanted = step or _isotropic_step(size, axes, scale, cumulative, reduced)
        f = tuple(1 if n == 1 else w for n, w in zip(size, wanted, strict=True))
        if all(x == 1 for x in f):
            if options.levels is not None:
                raise OptionError(f"levels: found {options.levels}, but at level {len(steps)} every reduced axis has length 1; say at most {len(steps) + 1}")
            break
        if options.levels is None and _fits(size, chunks, f, cumulative):
            break
        steps.append(f)
        cumulative = tuple(a * b for a, b in zip(cumulative, f, strict=True))
        size = tuple(-(-n // c) for n, c in zip(shape, cumulative, strict=True))
    return steps


def _said_ladder(said: list[object], shape: Shape, axes: Sequence[Axis], options: BuildOptions) -> list[Shape]:
    if options.levels is not None and options.levels > len(said) + 1:
        raise OptionError(f"levels: found {options.levels}, but factors holds {len(said)} steps, enough for {len(said) + 1} levels; say more steps")
    steps: list[Shape] = []
    size = shape
    for entry in said[: None if options.levels is None else options.levels - 1]:
        single = isinstance(entry, Sequence) and len(entry) == 1
        one = entry[0] if single and isinstance(entry, Sequence) else entry
        step = whole("factors", per_axis("factors", one, axes, (1,) * len(axes)))
        _check_step(step, size, axes, broadcast=isinstance(one, int))
        step = tuple(1 if n == 1 else f for n, f in zip(size, step, strict=True))
        if all(f == 1 for f in step):
            raise OptionError(f"factors: step {len(steps) + 1} is {entry!r} on a level of shape {size}, which changes nothing; leave it out")
        steps.append(step)
        size = tuple(-(-n // f) for n, f in zip(size, step, strict=True))
    return steps


def _check_step(step: Shape, shape: Shape, axes: Sequence[Axis], *, broadcast: bool) -> None:
    for f, n, a in zip(step, shape, axes, strict=True):
        if f > n and not (broadcast and n == 1):
            raise OptionError(f"factors: found {f} for axis {a.name!r} of length {n}; say a factor of at most {n}")


def _isotropic_step(size: Shape, axes: Sequence[Axis], scale: Sequence[float] | None, cumulative: Shape, reduced: Sequence[bool]) -> Shape:
    """Returns 2 on the axes that are reduced; when spacings are known and differ by 2 or more, only on the axes that are finer."""
    space = [i for i, here in enumerate(reduced) if here and size[i] > 1]
    fine = space
    if scale is not None and space and _same_unit(axes, space):
        spacing = {i: abs(scale[i]) * cumulative[i] for i in space}  # a scale is negative where an axis runs north to south
        finest = min(spacing.values())
        fine = [i for i in space if spacing[i] < 2 * finest]
    return tuple(2 if i in fine else 1 for i in range(len(axes)))


def _fits(size: Shape, chunks: Shape, f: Shape, cumulative: Shape) -> bool:
    """True when every reduced axis fits one chunk (64 samples where the chunk is a single plane) and the coarsest-level limit."""
    return all(n <= min(c if c > 1 else 64, COARSEST_PIXELS) for n, c, g, d in zip(size, chunks, f, cumulative, strict=True) if g > 1 or d > 1)


def placed_names(names: tuple[str, ...], form: Form, axes: Sequence[Axis], target: Target, options: BuildOptions) -> tuple[str, ...]:
    """Returns where the layout wants the levels, `names` where any will do. Raises LayoutError, OptionError where they are to lie elsewhere."""
    layout = layouts.find(form.layout)
    levels = tuple(Level(name) for name in names)
    asked = Multiscale(levels, tuple(axes), name=options.name or target.name)
    wanted = layout.paths(asked, version=layouts.version_of(form.layout)) if isinstance(layout, layouts.Writing) else None
    if wanted is None or wanted == names:
        return names
    if target.in_place and wanted[0] != names[0]:
        raise LayoutError(f"layout: {form.layout} wants the base at {wanted[0]!r}, and it stays at {names[0]!r}; name a new target (a copy)")
    if options.names is not None:
        raise OptionError(f"names: {form.layout} wants {', '.join(wanted)}; leave names out")
    return wanted


def choose_names(n_levels: int, base_path: str | None, options: BuildOptions) -> tuple[str, ...]:
    """Returns the path of every level; `base_path` is the base's when it stays where it is. Raises OptionError."""
    said = options.names
    if isinstance(said, str):
        if "{k}" not in said:
            raise OptionError(f"names: found {said!r}, expected a template with {{k}} in it, such as 'G{{k}}', or a list")
        names = [said.replace("{k}", str(k)) for k in range(n_levels)]
    elif said is not None:
        names = list(said)
        if base_path is not None and len(names) == n_levels - 1:
            names.insert(0, base_path)
        if len(names) != n_levels:
            counts = f"{count_text(len(names), 'name')} for {count_text(n_levels, 'level')}"
            raise OptionError(f"names: found {counts}, the base included; say one each, or levels={len(names)}")
        if base_path is not None and names[0] != base_path:
            raise OptionError(f"names: found {names[0]!r} for the base, which stays at {base_path!r}; begin the list with that")
    else:
        match = re.fullmatch(r"(.*?)(?<!\d)0", base_path or "0", re.DOTALL)
        names = [f"{match[1] if match else ''}{k}" for k in range(n_levels)]
    if base_path is not None:
        names[0] = base_path
    for name in names:
        parts = name.split("/")
        if any(not p or p.startswith(".") or p == "zarr.json" or not p.isprintable() or "\\" in p for p in parts):
            raise OptionError(f"names: found {name!r}, expected a relative path of printable names that do not begin with a dot")
    for a in names:
        if any(a != b and b.startswith(a + "/") for b in names) or names.count(a) > 1:
            raise OptionError(f"names: {a!r} is used twice, or lies inside another level; say different names")
    return tuple(names)


def checked_dtype(info: SourceInfo, options: BuildOptions) -> np.dtype[np.generic]:
    """Returns the dtype that the samples are read as; only conversions that keep every value are made unasked."""
    found = np.dtype(info.array.dtype)
    if options.dtype is None:
        return found
    try:
        wanted = np.dtype(options.dtype)
    except TypeError:
        raise OptionError(f"dtype: found {options.dtype!r}, expected a name such as 'float32'") from None
    if wanted.kind not in "buifc":
        raise OptionError(f"dtype: found {options.dtype!r}, expected a boolean, integer, float or complex type")
    if not np.can_cast(found, wanted, "safe") and not options.force:
        raise OptionError(f"dtype: {wanted.name} does not hold every value of {found.name}; say a wider one, or force=True")
    return wanted.newbyteorder("=")


def _fill_value(info: SourceInfo) -> object:
    """Returns the fill value of a base as a number."""
    found = info.array.fill_value if info.array.zarr_format else None
    if found is None:
        raise OptionError(f"nodata: 'fill' is the fill value of the array, and {info.location} has none; say the value itself")
    return float(found) if found in ("NaN", "Infinity", "-Infinity") else found


def checked_nodata(info: SourceInfo, dtype: np.dtype[np.generic], options: BuildOptions) -> float | int | None:
    """Returns the value of missing samples; None when none was said, or a mask. Raises OptionError for one that the dtype cannot hold."""
    if options.nodata is None or options.nodata_beside is not None:
        return None
    value = _fill_value(info) if options.nodata == "fill" else options.nodata
    if not isinstance(value, int | float):
        raise OptionError(f"nodata: found {value!r}, expected a number")
    if dtype.kind in "iu":
        bits = 8 * dtype.itemsize
        low, high = (0, 2**bits - 1) if dtype.kind == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        if not math.isfinite(value) or value != int(value) or not low <= value <= high:
            raise OptionError(f"nodata: {value!r} is no {dtype.name}; say a whole number from {low} to {high}")
        return int(value)
    if dtype.kind != "f":
        raise PlanError(f"nodata: {dtype.name} samples have no value for missing; leave it out")
    return float(value)
