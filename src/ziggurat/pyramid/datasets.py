"""Levels as xarray sees them: a Dataset per level with the coordinates of its samples, a DataTree of all levels.

Where each level lies in a group of its own (xcube, ITK, DataTree, GeoZarr, ndpyramid) the Dataset holds every array of that group: the
variables of all series, coordinates, bounds, grid mappings, and what has no axis of space. Otherwise it holds the one array of the level.
Nothing but coordinates of dimensions is read. Source: CF conventions 4, 5.6, 7.1, 8.1; maths.md 3.1; peers_geospatial.md 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from ziggurat import geometry, layouts
from ziggurat.layouts.coordinates import number_of, plain_name, unpacked
from ziggurat.model import JSON, ArrayInfo, Level, Multiscale
from ziggurat.node import ARRAY_KEYS, Node
from ziggurat.problems import DocumentError, NotFound, StorageError, UnsupportedError
from ziggurat.pyramid.arrays import LazyArray
from ziggurat.pyramid.georeferences import grid_mapping, horizontal_attributes, mixed_axes

if TYPE_CHECKING:
    from ziggurat.pyramid.levels import LevelView, Pyramid

AGREES = 1e-3
"""Of a step: what a stored coordinate may differ from the place that the layout tells, by rounding."""
EAST = ("degrees_east", "degree_east", "degree_E", "degrees_E", "degreeE", "degreesE")
"""Units of longitudes, which are the same a turn further. Source: CF conventions 4.2."""
_STRUCTURE = frozenset({"_ARRAY_DIMENSIONS", "zarr_conventions"})
ORIGIN = "ziggurat"
"""Key of a Dataset's `encoding` under which it remembers the pyramid that it is a level of."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """What `xarray.open_dataset` can be told of CF decoding; the fields are its keywords."""

    mask_and_scale: bool | Mapping[str, bool] = True
    decode_times: object = True
    decode_timedelta: object = False
    use_cftime: object = None
    concat_characters: bool | Mapping[str, bool] = True
    decode_coords: str | bool = "all"
    drop_variables: str | Sequence[str] | None = None
    use_zarr_fill_value_as_mask: bool | None = None
    """Whether the fill value of an array counts as missing. None: as xarray does, in the layouts of the xarray world and for Zarr v2 alone."""


RAW = Decoding(mask_and_scale=False, decode_times=False, concat_characters=False, decode_coords=False)


@dataclass(frozen=True, slots=True)
class Origin:
    """The level that a Dataset was made from; copies of the Dataset share it."""

    pyramid: Pyramid
    index: int
    decoding: Decoding
    bounds: bool

    def __deepcopy__(self, memo: object) -> Origin:
        return self


class LevelArray(BackendArray):  # type: ignore[misc]  # xarray has no types that mypy is shown
    """A `LazyArray` as xarray's lazy indexing wants it."""

    def __init__(self, array: LazyArray) -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[np.generic]:
        found: NDArray[np.generic] = indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)
        return found

    def _read(self, key: tuple[int | slice, ...]) -> NDArray[np.generic]:
        return np.asarray(self.array[key])


class TurnedArray(BackendArray):  # type: ignore[misc]
    """World coordinates over the two axes that a rotation mixes, computed where they are asked for: as large as a plane of the level."""

    def __init__(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
        self.first, self.second = first, second
        self.shape = (first.size, second.size)
        self.dtype = np.dtype(np.float64)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[np.float64]:
        found: NDArray[np.float64] = indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)
        return found

    def _read(self, key: tuple[int | slice, ...]) -> NDArray[np.float64]:
        first, second = np.asarray(self.first[key[0]]), np.asarray(self.second[key[1]])
        return first[..., np.newaxis] + second if second.ndim else first + second


@dataclass(frozen=True, slots=True)
class _Member:
    """One series that has an array in the group of a level."""

    name: str
    multiscale: Multiscale
    view: LevelView


@dataclass(frozen=True, slots=True)
class _Group:
    """What lies together with the array of a level, and becomes one Dataset with it."""

    members: tuple[_Member, ...]
    variables: Mapping[str, xr.Variable] = field(default_factory=dict)
    """As stored, not decoded."""
    attributes: Mapping[str, JSON] = field(default_factory=dict)


def dataset_of(pyramid: Pyramid, index: int, decoding: Decoding, *, bounds: bool) -> xr.Dataset:
    """Returns one level as a Dataset. Raises OptionError when there is no such level, UnsupportedError for a dtype that numpy has not."""
    group = _group_of(pyramid, pyramid._level(index), decoding)
    raw = dict(group.variables)
    made = _placed(group, raw, pyramid)
    if bounds:
        made |= _bounds(group, raw, made)
    decoded = xr.decode_cf(
        xr.Dataset(raw, attrs=group.attributes),
        mask_and_scale=decoding.mask_and_scale,
        decode_times=decoding.decode_times,
        decode_timedelta=decoding.decode_timedelta,
        use_cftime=decoding.use_cftime,
        concat_characters=decoding.concat_characters,
        decode_coords=decoding.decode_coords,
    )
    dataset = decoded.assign_coords(made)
    mapping = grid_mapping(group.members[0].multiscale, group.members[0].view)
    if mapping is not None and not any(_mapped(variable) in dataset.variables for variable in dataset.data_vars.values()):
        name, attributes, dims = mapping
        stored = dataset.variables.get(name)
        described = xr.Variable((), np.int64(0), attributes) if stored is None else stored._replace(attrs={**attributes, **stored.attrs})
        dataset = dataset.assign_coords({name: described})
        for variable in dataset.data_vars.values():
            if set(dims) <= set(variable.dims):
                variable.encoding["grid_mapping"] = name
    dropped = decoding.drop_variables
    if dropped is not None:
        dataset = dataset.drop_vars([dropped] if isinstance(dropped, str) else dropped, errors="ignore")
    dataset.encoding = {"source": pyramid.location, ORIGIN: Origin(pyramid, index, decoding, bounds)}
    return dataset


def datatree_of(pyramid: Pyramid, decoding: Decoding, *, bounds: bool) -> xr.DataTree:
    """Returns all levels as a DataTree: children `"0"`, `"1"`, ..., each complete in itself; the root holds nothing but a name."""
    levels = {f"/{level.index}": dataset_of(pyramid, level.index, decoding, bounds=bounds) for level in pyramid.levels}
    return xr.DataTree.from_dict(levels, name=_plain(pyramid.multiscale) if pyramid.name else None)


def _mapped(variable: xr.DataArray) -> object:
    return variable.encoding.get("grid_mapping", variable.attrs.get("grid_mapping"))


# --- what lies in one group ------------------------------------------------------------------------------------------------


def _head(level: Level) -> str:
    return (level.location or level.path).rpartition("/")[0]


def is_grouped(multiscale: Multiscale) -> bool:
    """True where each level lies in a group of its own."""
    heads = [_head(level) for level in multiscale.levels]
    return multiscale.layout.partition("@")[0] in layouts.OF_XARRAY if len(heads) == 1 else len(set(heads)) == len(heads)


def _group_of(pyramid: Pyramid, view: LevelView, decoding: Decoding) -> _Group:
    multiscale = pyramid.multiscale
    name = _plain(multiscale)
    if not is_grouped(multiscale):
        variable = _variable(view.array, view.info, _dims(multiscale), _node_attributes(pyramid, view.level), decoding, multiscale.layout)
        return _Group((_Member(name, multiscale, view),), {name: variable}, _shared_attributes(pyramid, view.level, alone=False))
    members = [_Member(view.path.rpartition("/")[2] or name, multiscale, view)]
    for other in pyramid.siblings:
        for level in other.levels:
            if is_grouped(other.multiscale) and _head(level.level) == _head(view.level):
                members.append(_Member(level.path.rpartition("/")[2], other.multiscale, level))
    found = {
        m.name: _variable(m.view.array, m.view.info, _dims(m.multiscale), _node_attributes(pyramid, m.view.level), decoding, m.multiscale.layout)
        for m in members
    }
    sizes = {dim: n for variable in found.values() for dim, n in variable.sizes.items()}
    for beside, variable in _beside(pyramid, view, decoding):
        if beside not in found and all(sizes.get(dim, n) == n for dim, n in variable.sizes.items()):
            found[beside] = variable
            sizes |= dict(variable.sizes)
    return _Group(tuple(members), found, _shared_attributes(pyramid, view.level, alone=bool(_head(view.level))))


def _plain(multiscale: Multiscale) -> str:
    """Returns a name that can be a variable's; of a path, its last part."""
    return plain_name((multiscale.name or "").rpartition("/")[2] or None, "image", _dims(multiscale))


def _dims(multiscale: Multiscale) -> tuple[str, ...]:
    """Returns one name per axis, each once."""
    names = [axis.name for axis in multiscale.axes]
    return tuple(name if name and names.count(name) == 1 else f"dim_{i}" for i, name in enumerate(names))


def _node_attributes(pyramid: Pyramid, level: Level) -> Mapping[str, JSON]:
    try:
        node = pyramid._node(level)
        return {} if node is None else node.attributes
    except (DocumentError, StorageError):
        return {}  # a level without a document of its own


def _above(pyramid: Pyramid, level: Level) -> Node | None:
    """Returns the group that the array of a level lies in."""
    node = pyramid._node(level)
    found = None if node is None else node.parent()
    return None if found is None else found[0]


def _shared_attributes(pyramid: Pyramid, level: Level, *, alone: bool) -> dict[str, JSON]:
    """Returns the attributes of the group of a level without those that describe the levels: a copy of the Dataset would carry them on.

    `alone` is True where the group holds this level and no other.
    """
    try:
        above = _above(pyramid, level)
        attributes = {} if above is None else above.attributes
    except (DocumentError, StorageError):
        return {}
    keys = {key for layout in layouts.LAYOUTS for key in getattr(layout, "keys", ())} | _STRUCTURE | set(ARRAY_KEYS)
    return {key: value for key, value in attributes.items() if key not in keys and (alone or not key.startswith("spatial:"))}


def _beside(pyramid: Pyramid, view: LevelView, decoding: Decoding) -> Iterator[tuple[str, xr.Variable]]:
    """Yields the other arrays of the group of a level that name their dimensions; what cannot be read is passed over."""
    group, head = _above(pyramid, view.level), _head(view.level)
    if group is None:
        return
    for name in _names(group, view):
        try:
            node = group.child(name)
            info = node.array
            if info is None:
                continue
            dims = tuple(info.dimension_names or ())
            if len(dims) != info.ndim or not all(dims) or len(set(dims)) != len(dims):
                continue
            path = f"{head}/{name}" if head else name
            level = Level(path, array=info, location=path if view.level.location is not None else None)
            values = group.values(name) if _is_text(info) else None
            place = decoding if dims != (name,) else replace(decoding, use_zarr_fill_value_as_mask=False)  # no coordinate is missing
            yield name, _variable(pyramid._lazy(level, info), info, tuple(map(str, dims)), node.attributes, place, pyramid.layout, values)
        except (DocumentError, NotFound, StorageError, UnsupportedError):
            continue


def _names(group: Node, view: LevelView) -> tuple[str, ...]:
    """Returns the names of the arrays directly in a group: from its consolidated copy, by listing, or the axes alone where a store lists nothing."""
    copy = group.consolidated() or {}
    suffix = "/zarr.json" if group.container == "zarr3" else "/.zarray"
    names = [key.removesuffix(suffix) for key in copy if key.endswith(suffix)]
    names = [name for name in names if name and "/" not in name]
    if names:
        return tuple(names)
    try:
        return group.children()
    except StorageError:
        return tuple(axis.name for axis in view.axes)


def _is_text(info: ArrayInfo) -> bool:
    """True for words, and for what numpy does not know: these are read by value, and only where they are coordinates."""
    try:
        return info.ndim == 1 and np.dtype(info.dtype).kind not in "biufcmM"
    except TypeError:
        return info.ndim == 1


def _variable(
    array: LazyArray,
    info: ArrayInfo,
    dims: tuple[str, ...],
    attributes: Mapping[str, JSON],
    decoding: Decoding,
    layout: str,
    values: Sequence[float | str] | None = None,
) -> xr.Variable:
    kept: dict[str, object] = {key: value for key, value in attributes.items() if key not in _STRUCTURE and not (info.driver == "n5" and key in ARRAY_KEYS)}
    if values is not None:
        return xr.Variable(dims, np.asarray(values, dtype=object), kept, {})
    encoding: dict[str, object] = {"preferred_chunks": dict(zip(dims, info.write_unit, strict=True)), "chunks": info.chunks, "dtype": array.dtype}
    if info.shards is not None:
        encoding["shards"] = info.shards
    missing = _fill_value(info, kept.pop("_FillValue", None), array.dtype, decoding, layout)
    if missing is not None:
        kept["_FillValue"] = missing
    return xr.Variable(dims, indexing.LazilyIndexedArray(LevelArray(array)), kept, encoding)


def _fill_value(info: ArrayInfo, stated: object, dtype: np.dtype[np.generic], decoding: Decoding, layout: str) -> np.generic | None:
    """Returns what stands for missing samples: the attribute, which xarray writes as base64 for floats in Zarr v3; else the array's own in v2."""
    as_mask = decoding.use_zarr_fill_value_as_mask
    if as_mask is None:
        as_mask = info.zarr_format == 2 and layout.partition("@")[0] in layouts.OF_XARRAY
    value = stated if stated is not None else (info.fill_value if as_mask else None)
    if value is None or dtype.kind not in "biufc":
        return None
    try:
        number = number_of(value) if isinstance(value, str) and dtype.kind == "f" else value
        return np.dtype(dtype).type(number)
    except (TypeError, ValueError, OverflowError):
        return None  # a fill value that is no number of this type marks no sample


# --- where the samples lie ---------------------------------------------------------------------------------------------------


def _numbers(view: LevelView, axis: int) -> tuple[float | str, ...]:
    """Returns the coordinates of the samples along one axis: those that were read, else those of the straight line."""
    held = view.level.coordinates.get(view.axes[axis].name, ())
    n = view.shape[axis]
    return held if len(held) == n else geometry.points(n, view.scale[axis], view.translation[axis])


def _placed(group: _Group, raw: dict[str, xr.Variable], pyramid: Pyramid) -> dict[str, xr.Variable]:
    """Returns the coordinates that are not stored, or are stored and contradict the place that the layout tells; the latter leave `raw`."""
    made: dict[str, xr.Variable] = {}
    for member in group.members:
        view, dims = member.view, _dims(member.multiscale)
        turned = mixed_axes(member.multiscale.world)
        for axis, dim in enumerate(dims):
            stored = raw.get(dim)
            if dim in made or (stored is not None and (stored.dims != (dim,) or axis in turned or view.level.scale is None)):
                continue
            words = _channel_names(pyramid, view, axis)
            if stored is not None:
                if words or stored.dtype.kind not in "iuf" or _agrees(stored, _numbers(view, axis), view.scale[axis]):
                    continue
                del raw[dim]
            if words:
                made[dim] = xr.Variable((dim,), np.asarray(words))
            elif axis not in turned and view.level.scale is not None and member.multiscale.axes[axis].kind != "channel":
                attributes = horizontal_attributes(member.multiscale, axis) if stored is None else stored.attrs
                made[dim] = xr.Variable((dim,), np.asarray(_numbers(view, axis)), attributes)
        made |= {name: variable for name, variable in _turned(member, dims, turned) if name not in raw}
    return made


def _agrees(stored: xr.Variable, numbers: Sequence[float | str], step: float) -> bool:
    values = np.asarray(unpacked(np.asarray(stored.values, np.float64).tolist(), stored.attrs))
    told = np.asarray(numbers)
    if told.dtype.kind not in "iuf":
        return False
    noise = 8 * np.finfo(stored.dtype).eps * np.abs(told).max(initial=0.0) if stored.dtype.kind == "f" else 0.0
    off = np.abs(values - told)
    off = np.minimum(off, np.abs(off - 360.0)) if stored.attrs.get("units") in EAST else off
    if off.size and off[-1] < abs(step) / 2:  # the middle of a last, partial cell: a line of whole cells goes on beyond it
        off = off[:-1]
    return bool(np.all(off <= AGREES * abs(step) + noise))


def _channel_names(pyramid: Pyramid, view: LevelView, axis: int) -> tuple[str, ...]:
    """Returns the words for the samples of an axis: those that were read, or the labels of channels in OME's `omero`, when each has one of its own."""
    held = view.level.coordinates.get(view.axes[axis].name, ())
    if held and all(isinstance(value, str) for value in held):
        return tuple(map(str, held))
    if view.axes[axis].kind != "channel":
        return ()
    channels = pyramid.display.get("channels")
    labels = [channel.get("label") for channel in channels if isinstance(channel, Mapping)] if isinstance(channels, (list, tuple)) else []
    names = tuple(label for label in labels if isinstance(label, str) and label)
    return names if len(names) == len(set(names)) == len(labels) == view.shape[axis] else ()


def _turned(member: _Member, dims: Sequence[str], turned: Sequence[int]) -> Iterator[tuple[str, xr.Variable]]:
    """Yields the world coordinates of axes that a rotation mixes, over both of them, as rioxarray names them: `xc`, `yc`. Made for two axes alone."""
    world, view = member.multiscale.world, member.view
    if world is None or len(turned) != 2 or view.level.scale is None:
        return
    i, j = turned
    first, second = (np.asarray(geometry.points(view.shape[axis], view.scale[axis], view.translation[axis])) for axis in turned)
    for axis in turned:
        unit = member.multiscale.axes[axis].unit
        values = indexing.LazilyIndexedArray(TurnedArray(world[axis][i] * first, world[axis][j] * second))
        yield f"{dims[axis]}c", xr.Variable((dims[i], dims[j]), values, {} if unit is None else {"units": unit})


def _bounds(group: _Group, raw: Mapping[str, xr.Variable], made: dict[str, xr.Variable]) -> dict[str, xr.Variable]:
    """Returns the edges of the cells, `<axis>_bnds`, for axes of numbers that have none; their coordinates are made to name them."""
    found: dict[str, xr.Variable] = {}
    for member in group.members:
        for axis, dim in enumerate(_dims(member.multiscale)):
            centre = made.get(dim, raw.get(dim))
            if centre is None or centre.dims != (dim,) or centre.dtype.kind not in "iuf" or "bounds" in centre.attrs or f"{dim}_bnds" in raw:
                continue
            edges = np.asarray(level_edges(member.multiscale, member.view.level, axis))
            if edges.size != centre.size + 1 or edges.dtype.kind != "f":
                continue
            found[f"{dim}_bnds"] = xr.Variable((dim, "bnds"), np.stack([edges[:-1], edges[1:]], axis=1))
            made[dim] = xr.Variable((dim,), centre.values, {**centre.attrs, "bounds": f"{dim}_bnds"})
    return found


def level_edges(multiscale: Multiscale, level: Level, axis: int) -> tuple[float, ...]:
    """Returns the `n + 1` edges of the cells of a level along one axis; empty where it has words or no place, or one cell of unknown size.

    Where the level's centres are those of merged cells of the base, the edges are edges of the base, sub-sampled, so that the last,
    partial cell ends where the base ends; otherwise they lie between the centres. Source: maths.md 3.1.
    """
    centres = _centres(multiscale, level, axis)
    base = multiscale.levels[0]
    fine = _edges(_centres(multiscale, base, axis), base, axis)
    return (_merged(centres, fine) or _edges(centres, level, axis)) if centres and fine else ()


def _merged(centres: Sequence[float], fine: Sequence[float]) -> tuple[float, ...]:
    """Returns the edges of `fine` between which the centres lie in the middle, the last cell cut at the end; empty where there are no such edges."""
    edges = np.asarray(fine)
    slack = AGREES * np.abs(np.diff(edges)).min()
    found = [float(edges[0])]
    for i, centre in enumerate(centres):
        wanted = 2 * centre - found[-1]
        nearest = float(edges[np.abs(edges - wanted).argmin()])
        is_last = i == len(centres) - 1
        if abs(nearest - wanted) > slack and not (is_last and min(found[-1], nearest) <= centre <= max(found[-1], nearest)):
            return ()
        found.append(nearest)
    return tuple(found) if len(set(found)) == len(found) else ()


def _edges(centres: Sequence[float], level: Level, axis: int) -> tuple[float, ...]:
    if not centres or level.scale is None or level.translation is None:
        return ()
    if level.coordinates and len(centres) > 1:
        return geometry.edges_between(centres)
    return geometry.cell_edges(len(centres), level.scale[axis], level.translation[axis])


def _centres(multiscale: Multiscale, level: Level, axis: int) -> tuple[float, ...]:
    if level.array is None or level.scale is None or level.translation is None:
        return ()
    n = level.array.shape[axis]
    held = level.coordinates.get(multiscale.axes[axis].name, ())
    numbers = tuple(value for value in held if not isinstance(value, str))
    if held and len(numbers) != n:
        return ()
    return numbers or geometry.points(n, level.scale[axis], level.translation[axis])
