"""Dask arrays, and xarray DataArrays with their dimensions, coordinates and CF attributes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ziggurat.chunkio import AnyArray
from ziggurat.model import Kind, SourceInfo
from ziggurat.problems import NotFound, OptionError
from ziggurat.sources.blocks import (
    BlockSource,
    Region,
    array_facts,
    axis_of,
    checked_dtype,
    checked_shape,
    content_stamps,
    file_stamp,
    free_chunks,
    in_blocks,
    stem,
)

if TYPE_CHECKING:
    from dask.array import Array
    from xarray import DataArray, Dataset, Variable

REGULAR = 1e-5
"""How far, in steps, a coordinate may lie from the regular grid, beside the rounding of its own dtype."""
COARSE = 0.1
"""A coordinate whose dtype rounds by more of a step than this says nothing about regularity."""


class DaskSource(BlockSource):
    """A dask array, computed block by block: each in the thread that asks for it, unless a scheduler was configured."""

    def __init__(self, array: Array, info: SourceInfo) -> None:
        super().__init__(info)
        self._array = array

    def fill(self, region: Region, out: AnyArray) -> bool:
        from dask.base import get_scheduler

        scheduler = None if get_scheduler() is not None else "synchronous"
        samples = np.asarray(self._array[region].compute(scheduler=scheduler))
        np.copyto(out, samples, casting="same_kind")
        return True

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return DaskSource, (self._array, self._info)


class XarraySource(BlockSource):
    """A DataArray in memory, or lazily opened: xarray's own locks guard the file behind it."""

    def __init__(self, variable: Variable, info: SourceInfo) -> None:
        super().__init__(info)
        self._variable = variable

    def fill(self, region: Region, out: AnyArray) -> bool:
        np.copyto(out, np.asarray(self._variable[region]), casting="same_kind")
        return True

    def in_blocks(self, chunks: tuple[int, ...]) -> XarraySource:
        """Returns the same source, read in blocks of another shape."""
        return XarraySource(self._variable, in_blocks(self._info, chunks))

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return XarraySource, (self._variable, self._info)


def open_dask(array: Array, *, info: SourceInfo | None = None) -> DaskSource:
    """Returns the source of a dask array in blocks that follow its chunks; `info` brings what a DataArray around it says.

    Raises UnsupportedError for other than numbers, and for lengths that dask does not know.
    """
    location = info.location if info else f"dask array {array.name!r}"
    shape = checked_shape(tuple(n if n == n else None for n in array.shape), location)
    dtype = checked_dtype(array.dtype, location)
    chunks, irregular = dask_chunks(array.chunks)
    notes: tuple[str, ...] = ()
    if irregular:
        notes = (f"the chunks differ in length along axis {', '.join(map(str, irregular))}: some are computed more than once; rechunk first",)
    facts = array_facts(shape, dtype, chunks)
    if info is None:
        info = SourceInfo(location, "array", facts)
    info = replace(info, stamps=(("dask name", str(array.name)),))
    return DaskSource(array, replace(info, array=facts, notes=(*info.notes, *notes)))


def dask_chunks(chunks: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns one length per axis, and the axes where chunks differ in more than a shorter last one.

    >>> dask_chunks(((64, 64, 12), (10, 30, 30)))
    ((64, 30), (1,))
    """
    lengths, irregular = [], []
    for axis, sizes in enumerate(chunks):
        sizes = tuple(n for n in sizes if n)
        length = sizes[0]
        if any(n != length for n in sizes[:-1]) or sizes[-1] > length:
            irregular.append(axis)
            length = Counter(sizes).most_common(1)[0][0]
        lengths.append(length)
    return tuple(lengths), tuple(irregular)


def open_dataset(dataset: Dataset, *, path: str = "") -> DaskSource | XarraySource:
    """Returns the source of one variable of a Dataset: the one that is named, or the only one. Raises NotFound and OptionError."""
    names = [str(name) for name in dataset.data_vars]
    if path:
        if path not in names:
            raise NotFound(f"xarray Dataset: no variable {path!r}; it has {', '.join(names) or 'none'}")
        return open_dataarray(dataset[path])
    if len(names) != 1:
        raise OptionError(f"xarray Dataset: {len(names)} variables ({', '.join(names) or 'none'}); name one with path=, or pass dataset[name]")
    return open_dataarray(dataset[names[0]])


def open_dataarray(array: DataArray) -> DaskSource | XarraySource:
    """Returns the source of a DataArray: dimensions become axes, regular coordinates become scale, translation and unit.

    Coordinates are taken as the centres of samples (CF 1.11, section 4). Dates become seconds since the first one. Raises UnsupportedError for
    other than numbers.
    """
    name = str(array.name) if array.name is not None else "array"
    location = f"xarray DataArray {name!r}"
    shape, dtype = checked_shape(tuple(array.shape), location), checked_dtype(array.dtype, location)
    axes, scale, translation, notes, irregular = [], [], [], [], {}
    for dim, length in zip(array.dims, shape, strict=True):
        step, first, unit, note = _coordinate(array, str(dim), length)
        axes.append(axis_of(str(dim), unit))
        scale.append(step)
        translation.append(first)
        notes += [note] if note else []
        if step is None and length > 1 and dim in array.coords and array.coords[dim].ndim == 1 and array.coords[dim].dtype.kind in "iuf":
            irregular[str(dim)] = tuple(_unwrapped(array.coords[dim], np.asarray(array.coords[dim].values, np.float64)).tolist())
    known = [s is not None for s in scale]
    kind, reason = _kind(array)
    preferred = array.encoding.get("preferred_chunks") or {}
    chunks = tuple(int(preferred.get(dim, 0)) for dim in array.dims)
    info = SourceInfo(
        location=location,
        name=stem(name),
        array=array_facts(shape, dtype, chunks if all(chunks) else free_chunks(shape, dtype.itemsize)),
        axes=tuple(axes),
        scale=tuple(1.0 if s is None else s for s in scale) if any(known) else None,
        translation=tuple(0.0 if t is None else t for t in translation) if any(known) else None,
        coordinates=irregular,
        kind=kind,
        kind_reason=reason,
        notes=tuple(notes),
    )
    if array.chunks is not None:
        return open_dask(array.data, info=info)
    return XarraySource(array.variable, replace(info, stamps=_stamps(array, shape)))


def _stamps(array: DataArray, shape: tuple[int, ...]) -> tuple[tuple[str, str], ...]:
    """Returns the stamp of the local file behind a DataArray, else check sums of a few samples."""
    file = Path(str(array.encoding.get("source", "")))
    return (file_stamp(file),) if file.is_file() else content_stamps(array.variable, shape)


def _coordinate(array: DataArray, dim: str, length: int) -> tuple[float | None, float | None, str | None, str]:
    """Returns step, first value, unit, and what should be said, of the coordinate of one dimension; None for what is not known."""
    if dim not in array.coords or array.coords[dim].ndim != 1:
        return None, None, None, ""
    coordinate = array.coords[dim]
    values = np.asarray(coordinate.values)
    unit = coordinate.attrs.get("units")
    unit = str(unit) if unit is not None else None
    if values.dtype.kind in "Mm":
        values = (values - values[0]) / np.timedelta64(1, "s")
        rounding = 0.0
        unit, note = "second", f"{dim} is in seconds since {coordinate.values[0]}"
    elif values.dtype.kind in "iuf":
        rounding = float(np.finfo(values.dtype).eps * np.abs(values).max()) if values.dtype.kind == "f" else 0.0
        values, note = _unwrapped(coordinate, values.astype(np.float64)), ""
    else:
        return None, None, None, f"the coordinate of {dim} holds no numbers and is left out"
    if length < 2:
        return None, None, unit, ""
    step = float((values[-1] - values[0]) / (length - 1))
    off = np.abs(values - (values[0] + step * np.arange(length)))
    if not np.isfinite(step) or rounding > COARSE * abs(step) or step == 0 or float(off.max()) > REGULAR * abs(step) + rounding:
        return None, None, unit, f"the coordinate of {dim} is not regular: its scale is left at 1"
    return step, float(values[0]), unit, note


def _unwrapped(coordinate: DataArray, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns longitudes that go on past the meridian where they jump by 360 degrees, so that 359 and 1 have 360 between them and not 180.

    Longitudes are told by their CF unit or standard name. Source: CF conventions 4.2; maths.md 3.1.
    """
    units = ("degrees_east", "degree_east", "degree_E", "degrees_E", "degreeE", "degreesE")
    if coordinate.attrs.get("units") not in units and coordinate.attrs.get("standard_name") not in ("longitude", "grid_longitude"):
        return values
    return np.unwrap(values, period=360.0) if np.isfinite(values).all() else values


def _kind(array: DataArray) -> tuple[Kind | None, str]:
    if "flag_values" in array.attrs or "flag_meanings" in array.attrs:
        return "labels", "CF flag_values of the array"
    return None, ""
