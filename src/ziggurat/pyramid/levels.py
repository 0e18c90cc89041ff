"""A pyramid and its levels: lazy arrays that know where they are."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

from ziggurat import geometry
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Multiscale, Provenance
from ziggurat.node import Node
from ziggurat.problems import DocumentError, MissingExtra, NotFound, OptionError, Problem
from ziggurat.pyramid.arrays import LazyArray

if TYPE_CHECKING:
    import dask.array
    import numpy as np
    import xarray
    from numpy.typing import NDArray

    from ziggurat.chunkio import ChunkReader

PerAxis: TypeAlias = "float | Mapping[str, float] | Sequence[float]"
"""One number for every axis that the pyramid reduces, numbers by axis name, or one per axis in stored order."""
Box: TypeAlias = "Mapping[str, tuple[float, float]] | Sequence[tuple[float, float]]"
"""World intervals by axis name (axes left out are taken whole), or one per axis in stored order."""


@dataclass(frozen=True, slots=True)
class LevelView:
    """One level of an opened pyramid: its array, unread, and where its samples lie.

    World coordinates are those of the samples' centres: `world = scale * index + translation` per axis, in `unit`.
    """

    index: int
    """Number of the level in its multiscale; 0 is the base."""
    level: Level
    """The level as the document states it, with the provenance of each number."""
    axes: tuple[Axis, ...]
    array: LazyArray
    """The samples, read when indexed."""

    @property
    def path(self) -> str:
        """Path of the array, relative to the group that carries the metadata."""
        return self.level.path

    @property
    def info(self) -> ArrayInfo:
        """Shape, chunks, shards, codecs, ... as the array's own document states them."""
        if self.level.array is None:
            raise NotFound(f"level {self.index} {self.path!r}: no array there")
        return self.level.array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.info.shape

    @property
    def chunks(self) -> tuple[int, ...]:
        return self.info.chunks

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self.array.dtype

    @property
    def scale(self) -> tuple[float, ...]:
        """Physical size of one sample step per axis, in `unit`; 1 where nothing is known."""
        return self.level.scale or (1.0,) * len(self.axes)

    @property
    def translation(self) -> tuple[float, ...]:
        """Physical coordinate of the centre of sample 0 per axis, in `unit`; 0 where nothing is known."""
        return self.level.translation or (0.0,) * len(self.axes)

    @property
    def scale_provenance(self) -> Provenance:
        return self.level.scale_provenance

    @property
    def translation_provenance(self) -> Provenance:
        """`"stated"` by the document, `"derived"` from stated factors, `"inferred"` from shapes (corners aligned), or `"absent"`."""
        return self.level.translation_provenance

    @property
    def unit(self) -> tuple[str | None, ...]:
        """Unit per axis as the document spells it, None where it says nothing."""
        return tuple(axis.unit for axis in self.axes)

    @property
    def extent(self) -> tuple[tuple[float, float], ...]:
        """World interval per axis that the samples cover, edge to edge: half a step beyond the outer centres.

        Raises DocumentError for an array that has not as many axes as the multiscale.
        """
        if len(self.shape) != len(self.scale):
            raise DocumentError(f"level {self.path!r}: an array of {len(self.shape)} axes in a multiscale of {len(self.scale)}; 'ziggurat check' says more")
        return geometry.extent(self.shape, self.scale, self.translation)

    def to_world(self, index: Sequence[float]) -> tuple[float, ...]:
        """Returns the world coordinate of a (fractional) sample index."""
        return geometry.to_world(self._complete(index, "index"), self.scale, self.translation)

    def to_index(self, world: Sequence[float]) -> tuple[float, ...]:
        """Returns the fractional sample index of a world coordinate; round it for the nearest sample."""
        return geometry.to_index(self._complete(world, "world"), self.scale, self.translation)

    def region(self, world_box: Box) -> tuple[slice, ...]:
        """Returns the samples whose cells touch a world box, clipped to the array; it may be empty.

        Raises OptionError for an axis that is not there or an interval that is none.
        """
        return geometry.region(_intervals(world_box, self.axes, self.extent), self.shape, self.scale, self.translation)

    def to_dask(self, *, chunks: tuple[int, ...] | str | None = None) -> dask.array.Array:
        """Returns the level as a dask array in blocks of its stored chunks, or of `chunks`."""
        return self.array.to_dask(chunks=chunks)

    def _complete(self, numbers: Sequence[float], what: str) -> Sequence[float]:
        if len(numbers) != len(self.axes):
            raise OptionError(f"{what} {tuple(numbers)!r} has {len(numbers)} numbers; expected {len(self.axes)}, for the axes {_names(self.axes)}")
        return numbers

    def __repr__(self) -> str:
        return f"<level {self.index} {self.path!r}: {' x '.join(map(str, self.shape))} {self.info.dtype}, scale {self.scale}, translation {self.translation}>"


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """What was read at one place: all multiscales of a group, and how to get at their arrays."""

    location: str
    multiscales: tuple[Multiscale, ...]
    problems: tuple[Problem, ...]
    layouts: tuple[str, ...]
    """Ids of every layout that the group satisfies, the most explicit first."""
    reader: Callable[[Level], Callable[[], ChunkReader]]
    """A level -> what opens its array for reading."""
    display: Mapping[str, JSON] = dataclasses.field(default_factory=dict)
    """OME's `omero` object, where there is one."""
    node: Callable[[Level], Node] | None = None
    """A level -> the node of its array, and from there the group that it lies in; None where there are no documents."""


class Pyramid:
    """A multiscale opened on a store: levels, largest first, as lazy arrays with their place in the world.

    Iterating gives the levels. Made by `ziggurat.open`; reading metadata is all that opening does.
    """

    __slots__ = ("_as_written", "_hierarchy", "_position", "levels", "multiscale")

    def __init__(self, hierarchy: Hierarchy, position: int, *, as_written: bool = False) -> None:
        self._hierarchy = hierarchy
        self._position = position
        self._as_written = as_written
        multiscale = hierarchy.multiscales[position]
        self.multiscale: Multiscale = _stated_only(multiscale) if as_written else multiscale
        """The metadata, layout-free; its `levels` hold those without an array too."""
        self.levels: tuple[LevelView, ...] = tuple(
            LevelView(index, level, multiscale.axes, LazyArray(level.array, level.location or f"{hierarchy.location}/{level.path}", hierarchy.reader(level)))
            for index, level in enumerate(self.multiscale.levels)
            if level.array is not None
        )
        """The levels that are there. A level without an array is left out, and `problems` tells."""

    @property
    def location(self) -> str:
        """Path or URL of the group that carries the metadata."""
        return self._hierarchy.location

    @property
    def name(self) -> str | None:
        return self.multiscale.name

    @property
    def type(self) -> str | None:
        """The document's word for the reduction."""
        return self.multiscale.type

    @property
    def method(self) -> Mapping[str, JSON] | None:
        """What the metadata says produced the data, verbatim."""
        return self.multiscale.method

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self.multiscale.axes

    @property
    def layout(self) -> str:
        """Id of the layout that it was read from, such as `ome-zarr@0.5`."""
        return self.multiscale.layout

    @property
    def layouts(self) -> tuple[str, ...]:
        """Ids of every layout that the group satisfies."""
        return self._hierarchy.layouts

    @property
    def display(self) -> Mapping[str, JSON]:
        """How the document says that the samples are shown: OME's `omero` object, verbatim; empty where there is none."""
        return self._hierarchy.display

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What reading met: levels that are missing, numbers that were inferred. `ziggurat.check` applies all the rules."""
        return self._hierarchy.problems

    @property
    def siblings(self) -> tuple[Pyramid, ...]:
        """The other multiscales of the same group."""
        others = (i for i in range(len(self._hierarchy.multiscales)) if i != self._position)
        return tuple(Pyramid(self._hierarchy, i, as_written=self._as_written) for i in others)

    @property
    def position(self) -> tuple[int, int]:
        """Number of this multiscale in its group, from 0, and how many there are."""
        return self._position, len(self._hierarchy.multiscales)

    @property
    def arrays(self) -> tuple[LazyArray, ...]:
        """The levels' arrays, largest first: what `napari.Viewer.add_image(..., multiscale=True)` takes."""
        return tuple(level.array for level in self.levels)

    @property
    def extent(self) -> tuple[tuple[float, float], ...]:
        """World interval per axis that the base covers, edge to edge."""
        return self.levels[0].extent

    def as_written(self) -> Pyramid:
        """Returns this pyramid with the document's numbers alone.

        Without it, a translation that the document leaves out is inferred from the shapes: the corners of all levels coincide.
        Here it is 0, and a scale that is left out is 1, whatever that does to the placement. Source: OME-NGFF 0.4 and 0.5 allow both readings.
        """
        return Pyramid(self._hierarchy, self._position, as_written=True)

    def to_world(self, index: Sequence[float], *, level: int = 0) -> tuple[float, ...]:
        """Returns the world coordinate of a (fractional) sample index of a level."""
        return self._level(level).to_world(index)

    def to_index(self, world: Sequence[float], *, level: int = 0) -> tuple[float, ...]:
        """Returns the fractional sample index of a level at a world coordinate."""
        return self._level(level).to_index(world)

    def region(self, world_box: Box, *, level: int = 0) -> tuple[slice, ...]:
        """Returns the samples of a level whose cells touch a world box: `pyramid.levels[2].array[pyramid.region(box, level=2)]`."""
        return self._level(level).region(world_box)

    def to_dask(self, *, chunks: tuple[int, ...] | str | None = None) -> list[dask.array.Array]:
        """Returns the levels as dask arrays, largest first."""
        return [level.to_dask(chunks=chunks) for level in self.levels]

    def to_dataset(self, *, level: int = 0, bounds: bool = False) -> xarray.Dataset:
        """Returns a level as an xarray Dataset: lazily read, with the coordinates of the samples' centres, attributes, units, and its CRS as CF grid mapping.

        Where levels lie in groups of their own (xcube, ITK, DataTree, GeoZarr, ndpyramid) all variables of the group are in it, decoded by CF
        as `xarray.open_dataset` does; `xarray.open_dataset(url, engine="ziggurat", level=2)` takes xarray's own options as well, such as `chunks`.

        Parameters
        ----------
        level
            Number of the level; 0 is the base.
        bounds
            Also give the edges of the cells along each axis of numbers, `(n, 2)`, as CF bounds `<axis>_bnds`.

        Raises
        ------
        MissingExtra
            When xarray is not installed.
        OptionError
            When there is no such level.
        UnsupportedError
            When numpy does not know the type of the samples.
        """
        datasets = _datasets()
        return datasets.dataset_of(self, level, datasets.Decoding(), bounds=bounds)

    def to_datatree(self, *, bounds: bool = False) -> xarray.DataTree:
        """Returns all levels as an xarray DataTree, each complete in itself: children `"0"`, `"1"`, ..., largest first.

        `bounds` and what is raised as for `to_dataset`.
        """
        datasets = _datasets()
        return datasets.datatree_of(self, datasets.Decoding(), bounds=bounds)

    def _node(self, level: Level) -> Node | None:
        """Returns the node of the array of a level; None where there are no documents."""
        return None if self._hierarchy.node is None else self._hierarchy.node(level)

    def _lazy(self, level: Level, info: ArrayInfo) -> LazyArray:
        """Returns an array of the group, whether a series lists it or not."""
        return LazyArray(info, level.location or f"{self.location}/{level.path}", self._hierarchy.reader(level))

    def _reader(self, path: str) -> ChunkReader:
        """Returns an array of the group, whether a series lists it or not, for reading chunk by chunk. Raises NotFound, PathError."""
        return self._hierarchy.reader(Level(path))()

    def reconstruct(self, level: int = 0) -> NDArray[np.generic]:
        """Returns the gaussian level that a laplacian series of ours was made from, in memory.

        The level's differences are added to all coarser levels, expanded. Level 0 comes from the residual of the base where one
        was stored (`residual_base=True`), and is the base itself otherwise. Equal to what was reduced: bit for bit for
        integers, to rounding for floats. Peak memory: about three times the level in float64.

        Raises
        ------
        LayoutError
            When the document does not say that `ziggurat.laplacian` made the series.
        NotFound
            When an array that is needed is missing.
        OptionError
            When there is no such level.
        """
        from ziggurat.pyramid.laplacians import reconstruct

        return reconstruct(self, level)

    def at(
        self,
        *,
        resolution: PerAxis | None = None,
        shape: PerAxis | None = None,
        max_bytes: int | None = None,
        factor: PerAxis | None = None,
    ) -> LevelView:
        """Returns the level for a need; say exactly one.

        Parameters
        ----------
        resolution
            Sample step in world units: the coarsest level that is at least this fine. The base when none is.
        shape
            Samples wanted: the smallest level that has at least as many. The base when none has.
        max_bytes
            Decoded size in bytes: the largest level that fits.
        factor
            Cumulative factor from the base: the coarsest level that is not reduced further.

        Raises
        ------
        OptionError
            When not exactly one is said, an axis is not there, or not even the coarsest level fits `max_bytes`.
        """
        said = [name for name, value in (("resolution", resolution), ("shape", shape), ("max_bytes", max_bytes), ("factor", factor)) if value is not None]
        if len(said) != 1:
            raise OptionError(f"at() got {', '.join(said) or 'nothing'}; expected exactly one of resolution, shape, max_bytes, factor")
        if max_bytes is not None:
            return self._fitting(max_bytes)
        if resolution is not None:
            limits, numbers = self._limits(resolution, "resolution"), [tuple(map(abs, level.scale)) for level in self.levels]
        elif factor is not None:
            limits, numbers = self._limits(factor, "factor"), [self._factors(level) for level in self.levels]
        elif shape is not None:
            limits = {axis: -n for axis, n in self._limits(shape, "shape").items()}
            numbers = [tuple(-n for n in level.shape) for level in self.levels]
        # A ladder of decimal scales is off by an ulp now and then: 1e-9 keeps `resolution=0.3` at the level of scale 0.30000000000000004.
        fine = [level for level, have in zip(self.levels, numbers, strict=True) if all(have[a] <= limit + abs(limit) * 1e-9 for a, limit in limits.items())]
        return fine[-1] if fine else self.levels[0]

    def _fitting(self, max_bytes: int) -> LevelView:
        for level in self.levels:
            if level.info.size_bytes <= max_bytes:
                return level
        last = self.levels[-1]
        raise OptionError(f"max_bytes={max_bytes}: the coarsest level, {last.path!r}, has {last.info.size_bytes} bytes; read a region of it instead")

    def _limits(self, wanted: PerAxis, what: str) -> dict[int, float]:
        """Returns the number said per axis index."""
        names = [axis.name for axis in self.axes]
        if isinstance(wanted, Mapping):
            unknown = [name for name in wanted if name not in names]
            if unknown:
                raise OptionError(f"{what}: no axis {unknown[0]!r}; the axes are {_names(self.axes)}")
            limits = {names.index(name): float(value) for name, value in wanted.items()}
        elif isinstance(wanted, int | float):
            first, last = self.levels[0].shape, self.levels[-1].shape
            limits = {axis: float(wanted) for axis in range(len(names)) if first[axis] != last[axis]}
        else:
            values = [float(value) for value in wanted]
            if len(values) != len(names):
                raise OptionError(f"{what} {tuple(values)!r} has {len(values)} numbers; expected {len(names)}, for the axes {_names(self.axes)}")
            limits = dict(enumerate(values))
        for axis, value in limits.items():
            if not (math.isfinite(value) and value > 0):
                raise OptionError(f"{what} of axis {names[axis]!r} is {value!r}; expected a number above 0")
        return limits

    def _factors(self, level: LevelView) -> tuple[float, ...]:
        """Returns the cumulative factor of a level: the ratio of the scales, or of the shapes where no scale is known."""
        base = self.levels[0]
        if level.level.scale is None or base.level.scale is None:
            return tuple(float(geometry.ratio(n, m)[0]) for n, m in zip(base.shape, level.shape, strict=True))
        return tuple(s / b for s, b in zip(level.scale, base.scale, strict=True))

    def _level(self, index: int) -> LevelView:
        for level in self.levels:
            if level.index == index:
                return level
        raise OptionError(f"level={index}: not there; the levels are {', '.join(str(level.index) for level in self.levels)}")

    def __len__(self) -> int:
        return len(self.levels)

    def __iter__(self) -> Iterator[LevelView]:
        return iter(self.levels)

    def __repr__(self) -> str:
        from ziggurat.pyramid.tables import describe

        return describe(self)

    def _repr_html_(self) -> str:
        from ziggurat.pyramid.tables import describe_html

        return describe_html(self)


def _datasets() -> ModuleType:
    """Returns the module that needs xarray. Raises MissingExtra without it."""
    try:
        from ziggurat.pyramid import datasets
    except ImportError as error:
        raise MissingExtra("xarray is not installed; install it with: pip install 'ziggurat[xarray]'") from error
    return datasets


def _names(axes: Sequence[Axis]) -> str:
    return ", ".join(axis.name for axis in axes)


def _intervals(box: Box, axes: Sequence[Axis], whole: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns one world interval per axis, in stored order."""
    names = [axis.name for axis in axes]
    if isinstance(box, Mapping):
        unknown = [name for name in box if name not in names]
        if unknown:
            raise OptionError(f"world box: no axis {unknown[0]!r}; the axes are {_names(axes)}")
        pairs = [box.get(name, edge) for name, edge in zip(names, whole, strict=True)]
    else:
        pairs = list(box)
        if len(pairs) != len(names):
            raise OptionError(f"world box has {len(pairs)} intervals; expected {len(names)}, for the axes {_names(axes)}")
    for name, pair in zip(names, pairs, strict=True):
        if len(pair) != 2 or any(math.isnan(end) for end in pair):
            raise OptionError(f"world box of axis {name!r} is {pair!r}; expected (low, high)")

    def finite(end: float, edges: tuple[float, float]) -> float:
        return float(end) if math.isfinite(end) else (min(edges) if end < 0 else max(edges))

    return [(finite(low, edges), finite(high, edges)) for (low, high), edges in zip(pairs, whole, strict=True)]


def _stated_only(multiscale: Multiscale) -> Multiscale:
    """Returns the multiscale without the numbers that were inferred."""

    def stated(level: Level) -> Level:
        known = ("stated", "derived")
        scale = level.scale if level.scale_provenance in known else None
        translation = level.translation if level.translation_provenance in known else None
        return dataclasses.replace(
            level,
            scale=scale,
            translation=translation,
            scale_provenance=level.scale_provenance if scale else "absent",
            translation_provenance=level.translation_provenance if translation else "absent",
        )

    return dataclasses.replace(multiscale, levels=tuple(map(stated, multiscale.levels)))
