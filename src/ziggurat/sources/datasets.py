"""Datasets of several variables, as CF stores them: xarray's, NetCDF and HDF5 files, groups of Zarr arrays.

Numbers stay packed: what was packed on its way in is packed again, so levels are made of, and stored as, the numbers of the file. Data
are read when they are asked for; coordinates and what they name are in memory.
"""

from __future__ import annotations

import base64
import importlib.util
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ziggurat.chunkio import AnyArray
from ziggurat.model import JSON, SourceInfo
from ziggurat.planner.datasets import VariableFacts
from ziggurat.problems import MissingExtra, NotFound, StorageError, UnsupportedError
from ziggurat.sources.blocks import BlockSource, Region, array_facts, in_blocks, stem
from ziggurat.sources.labelled import DaskSource, XarraySource, open_dataarray

if TYPE_CHECKING:
    from xarray import DataArray, Dataset, Variable

_REFERRING = ("bounds", "climatology", "grid_mapping", "coordinates", "cell_measures", "ancillary_variables", "formula_terms")
"""Attributes that name other variables; xarray keeps some of them in `encoding`. Source: CF conventions 3.4, 5, 7."""
_PLACING = ("bounds", "climatology", "grid_mapping", "coordinates", "formula_terms")
"""Those whose variables are no data: they say where data are."""
_PACKING = ("scale_factor", "add_offset")
_DROPPED = frozenset({"_ARRAY_DIMENSIONS", "CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_nc3_strict"})
"""Attributes that say how a file is stored, and nothing of the data."""


@dataclass(frozen=True, slots=True)
class Held:
    """One variable: its facts, and either what reads it or its values."""

    facts: VariableFacts
    source: DaskSource | XarraySource | PackedSource | None = None
    values: NDArray[Any] | None = None
    has_grid: bool = False
    """True when the source is stored, or computed, in blocks of its own."""


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """A dataset that levels can be built of."""

    location: str
    name: str
    variables: Mapping[str, Held]
    attributes: Mapping[str, JSON] = field(default_factory=dict)
    dataset: Dataset | None = field(default=None, compare=False)

    @property
    def facts(self) -> dict[str, VariableFacts]:
        return {name: held.facts for name, held in self.variables.items()}

    def placing(self) -> frozenset[str]:
        """Returns the names of variables that say where others are: bounds, grid mappings, coordinates."""
        return frozenset(name for facts in self.facts.values() for name in named_by(facts, _PLACING)) | {n for n, f in self.facts.items() if f.is_coordinate}

    def measures(self) -> frozenset[str]:
        """Returns the names of variables that are cell measures of others."""
        return frozenset(name for facts in self.facts.values() for name in named_by(facts, ("cell_measures",)))


def named_by(facts: VariableFacts, keys: tuple[str, ...]) -> Iterator[str]:
    """Yields the names of variables that attributes of a variable name."""
    for key in keys:
        text = facts.attributes.get(key)
        if isinstance(text, str):
            yield from (word for word in re.split(r"\s+", text.strip()) if word and not word.endswith(":"))


class PackedSource(BlockSource):
    """A variable that was unpacked on its way in, packed again as its file has it: rounded once, half to even; NaN becomes the fill value."""

    def __init__(self, inner: DaskSource | XarraySource, info: SourceInfo, factor: float, offset: float, missing: float | int | None) -> None:
        super().__init__(info)
        self.inner = inner
        """What gives the numbers unpacked."""
        self._factor, self._offset, self._missing = factor, offset, missing

    def in_blocks(self, chunks: tuple[int, ...]) -> PackedSource:
        """Returns the same source, read in blocks of another shape."""
        return PackedSource(self.inner, in_blocks(self._info, chunks), self._factor, self._offset, self._missing)

    def fill(self, region: Region, out: AnyArray) -> bool:
        decoded = np.empty(out.shape, self.inner.dtype)
        self.inner.fill(region, decoded)
        packed = decoded.astype(np.float64)
        if self._offset:
            packed -= self._offset
        if self._factor != 1:
            packed /= self._factor
        gone = np.isnan(packed)
        if gone.any():
            if self._missing is None:
                raise StorageError(f"{self._info.location}: holds NaN, and its encoding has no _FillValue to pack it as; say one, or drop the packing")
            packed[gone] = self._missing
        np.rint(packed, out=packed)
        low, high = np.iinfo(out.dtype.name).min, np.iinfo(out.dtype.name).max
        if packed.size and (packed.min() < low or packed.max() > high):
            raise StorageError(f"{self._info.location}: holds numbers that its packing as {out.dtype} cannot; drop scale_factor from its encoding")
        np.copyto(out, packed, casting="unsafe")
        return True

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return PackedSource, (self.inner, self._info, self._factor, self._offset, self._missing)


def open_xarray(dataset: Dataset, *, location: str | None = None) -> DatasetSource:
    """Returns the source of an xarray Dataset, decoded or not. Raises UnsupportedError for what is no number and no word."""
    place = str(dataset.encoding.get("source") or location or "xarray Dataset")
    found: dict[str, Held] = {}
    for name in dataset.variables:
        if not isinstance(name, str):
            raise UnsupportedError(f"{place}: a variable is called {name!r}, expected a text; rename it")
        found[name] = _held(dataset, name, name in dataset.coords)
    source = DatasetSource(place, stem(place) if place != "xarray Dataset" else "dataset", found, plain_attributes(dataset.attrs), dataset)
    placing = source.placing()
    loaded = {
        name: replace(held, values=_encoded(dataset, name), source=None) if name in placing and held.values is None else held for name, held in found.items()
    }
    return replace(source, variables=loaded)


def open_file(path: Path) -> DatasetSource:
    """Returns the source of a NetCDF or HDF5 file, its numbers as they are stored. Raises MissingExtra, StorageError."""
    install = f"{path}: NetCDF and HDF5 files are read by xarray and h5netcdf; install them with: pip install 'ziggurat[netcdf]'"
    if importlib.util.find_spec("xarray") is None:
        raise MissingExtra(install)
    import xarray

    try:
        dataset = xarray.open_dataset(path, mask_and_scale=False, decode_times=False, decode_coords="all", cache=False)
    except ImportError as error:
        raise MissingExtra(install) from error
    except (OSError, ValueError, KeyError) as error:
        if importlib.util.find_spec("h5netcdf") is None and importlib.util.find_spec("netCDF4") is None:
            raise MissingExtra(install) from error  # xarray finds no engine
        raise StorageError(f"{path}: cannot be opened as NetCDF ({error})") from error
    return open_xarray(dataset, location=str(path))


def open_zarr_dataset(root: object) -> DatasetSource:
    """Returns the source of a Zarr group that xarray opens as a Dataset, its numbers as they are stored. Raises MissingExtra, StorageError."""
    if importlib.util.find_spec("xarray") is None:
        raise MissingExtra(f"{root}: a group of several variables is read by xarray; install it with: pip install 'ziggurat[xarray]'")
    import xarray

    try:
        dataset = xarray.open_zarr(root, mask_and_scale=False, decode_times=False, decode_coords="all", chunks=None, consolidated=False)
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(f"{root}: cannot be opened as a dataset ({error})") from error
    return open_xarray(dataset, location=str(root))


def choose(source: DatasetSource, names: tuple[str, ...] | None) -> DatasetSource:
    """Returns the source with the data variables that were named, and all that says where these are. Raises NotFound."""
    if names is None:
        return source
    placing = source.placing()
    data = [name for name in source.variables if name not in placing]
    unknown = [name for name in names if name not in source.variables]
    if unknown:
        raise NotFound(f"{source.location}: no variable {unknown[0]!r}; it has {', '.join(data) or 'none'}")
    kept = set(names)
    dims = {dim for name in names for dim in source.facts[name].dims}
    while True:
        more = {n for name in kept for n in named_by(source.facts[name], _REFERRING) if n in source.variables} - kept
        more |= {n for n, f in source.facts.items() if f.is_coordinate and set(f.dims) <= dims and n not in kept}
        if not more:
            break
        kept |= more
    return replace(source, variables={name: held for name, held in source.variables.items() if name in kept})


# --- one variable ---------------------------------------------------------------------------------------------------------------


def _held(dataset: Dataset, name: str, is_coordinate: bool) -> Held:
    array: DataArray = dataset[name]
    variable: Variable = array.variable
    encoding = variable.encoding
    attributes = {**{key: encoding[key] for key in _REFERRING if isinstance(encoding.get(key), str)}, **variable.attrs}
    missing = _missing(attributes, encoding)
    kept = {key: value for key, value in attributes.items() if key not in ("_FillValue", *_DROPPED)}
    dims = tuple(map(str, variable.dims))
    if variable.dtype.kind not in "biufc" or not dims or name in dims or is_coordinate:
        values = _encoded(dataset, name)
        attrs = _encoded_attributes(dataset, name)
        facts = VariableFacts(
            name, dims, tuple(values.shape), _dtype_name(values), {**plain_attributes({**kept, **attrs})}, None, is_coordinate or name in dims
        )
        return Held(facts, values=values)
    if not is_coordinate and "coordinates" not in kept:
        beside = sorted(str(n) for n in array.coords if n not in array.dims and n != kept.get("grid_mapping"))
        kept |= {"coordinates": " ".join(beside)} if beside else {}
    source = open_dataarray(array)
    packed = np.dtype(encoding["dtype"]) if encoding.get("dtype") is not None and not isinstance(encoding.get("dtype"), str | type(None)) else None
    grid = variable.chunks is not None or bool(encoding.get("preferred_chunks"))
    if variable.dtype.kind == "f" and packed is not None and packed.kind in "iu":
        packing = {key: _number(encoding[key]) for key in _PACKING if key in encoding}
        info = source.info
        stored = replace(info, array=array_facts(info.array.shape, packed, info.array.chunks))
        again = PackedSource(source, stored, float(packing.get("scale_factor", 1.0)), float(packing.get("add_offset", 0.0)), missing)
        plain = plain_attributes({**kept, **packing})
        return Held(VariableFacts(name, dims, info.array.shape, packed.name, plain, missing, is_coordinate), again, has_grid=grid)
    if variable.dtype.kind == "f" and missing is not None and "_FillValue" not in variable.attrs:
        missing = None  # decoded: NaN is what is missing
    return Held(
        VariableFacts(name, dims, source.info.array.shape, source.info.array.dtype, plain_attributes(kept), missing, is_coordinate), source, has_grid=grid
    )


def _number(value: object) -> float:
    return float(np.asarray(value).reshape(-1)[0])


def _missing(attributes: Mapping[Any, Any], encoding: Mapping[Any, Any]) -> float | int | None:
    """Returns the value of missing samples: `_FillValue`, else `missing_value`."""
    for key in ("_FillValue", "missing_value"):
        value = attributes.get(key, encoding.get(key))
        if isinstance(value, str) and key == "_FillValue":  # of floats in Zarr v3, as xarray writes it
            value = struct.unpack("<d", base64.standard_b64decode(value))[0]
        if value is not None and np.asarray(value).size == 1 and np.asarray(value).dtype.kind in "iuf":
            number = np.asarray(value).reshape(-1)[0].item()
            return None if number != number else number
    return None


def _encoded(dataset: Dataset, name: str) -> NDArray[Any]:
    """Returns the values of a small variable as CF stores them: dates become numbers."""
    from xarray.conventions import encode_cf_variable

    variable = dataset[name].variable
    if variable.dtype.kind in "biufcUST" or (variable.dtype.kind == "O" and _is_text(variable.values)):
        return np.asarray(variable.values)
    return np.asarray(encode_cf_variable(variable.load(), name=name).values)


def _encoded_attributes(dataset: Dataset, name: str) -> dict[str, object]:
    """Returns the attributes that CF needs for values that are not stored as they are: the units and the calendar of dates."""
    from xarray.conventions import encode_cf_variable

    variable = dataset[name].variable
    if variable.dtype.kind in "biufcUST" or (variable.dtype.kind == "O" and _is_text(variable.values)):
        return {}
    return {key: value for key, value in encode_cf_variable(variable.copy(), name=name).attrs.items() if key != "_FillValue"}


def _is_text(values: NDArray[Any]) -> bool:
    return all(isinstance(value, str) for value in values.reshape(-1))


def _dtype_name(values: NDArray[Any]) -> str:
    return "str" if values.dtype.kind in "OUST" else values.dtype.name


def plain_attributes(attributes: Mapping[Any, Any]) -> dict[str, JSON]:
    """Returns attributes as JSON holds them: numbers and lists of Python, texts; what is none of these as its text."""
    return {str(key): _plain(value) for key, value in attributes.items() if str(key) not in _DROPPED}


def _plain(value: Any) -> JSON:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value if isinstance(value, str | int | float | bool | None) else str(value)
