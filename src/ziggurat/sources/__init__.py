"""Sources: everything that levels can be built on, opened by one call.

A source is a `chunkio.ChunkReader` with facts (`model.SourceInfo`) that can be sent to another process. It states what the
file or the object says and decides nothing: axes of bare arrays, kinds and options are the planner's. Each backend's library is
imported when it is needed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeGuard, cast
from urllib.parse import unquote, urlsplit

import numpy as np

from ziggurat.node import named_place
from ziggurat.problems import NotFound, OptionError, StorageError, UnsupportedError
from ziggurat.sources.blocks import UNDERSTOOD, BlockSource, Source

__all__ = ["BlockSource", "Source", "is_netcdf", "is_tiff", "open_source", "regrid"]

_MARKERS = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata", "attributes.json")
"""Documents that make a folder a node of Zarr or N5."""


def open_source(anything: object, *, path: str | None = None) -> Source:
    """Returns the source of a path, a URL, a store or an array.

    `path` names the array inside a Zarr hierarchy, the variable of an xarray dataset, or the number of an image inside a TIFF file. A source is
    returned as it is.

    Raises NotFound where there is nothing, UnsupportedError for what is no image, for other than numbers and for empty axes,
    DocumentError for a broken file, OptionError for a choice that must be made, and MissingExtra.
    """
    if isinstance(anything, str | os.PathLike):
        return _open_text(named_place(anything, "source"), path)
    if _is_source(anything):
        return anything
    if isinstance(anything, np.ndarray):
        from ziggurat.sources.arrays import open_ndarray

        return open_ndarray(anything)
    return _open_object(anything, path)


def is_tiff(path: Path) -> bool:
    """True for a file that begins as TIFF or BigTIFF does. Raises StorageError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(4) in _TIFF
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror or error})") from error


def is_netcdf(path: Path) -> bool:
    """True for a file that begins as HDF5 or as classic NetCDF does. Raises StorageError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(8).startswith((b"\x89HDF\r\n\x1a\n", b"CDF"))
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror or error})") from error


def regrid(source: Source, chunks: tuple[int, ...]) -> Source:
    """Returns the source in blocks of another shape where it has no grid of its own, else the source as it is.

    Arrays in memory take the shape that is asked for; memory maps a multiple of it, so that whole pages are read.
    """
    from ziggurat.sources.arrays import MappedSource, NumpySource

    return source.regrid(chunks) if isinstance(source, NumpySource | MappedSource) else source


def _is_source(thing: object) -> TypeGuard[Source]:
    return all(hasattr(thing, name) for name in ("info", "read", "chunks", "dtype", "shape", "close"))


def _open_text(text: str, path: str | None) -> Source:
    scheme, separator, _ = text.partition("://")
    if separator and scheme.lower() == "file":
        return _open_local(Path(unquote(urlsplit(text).path)), path)
    if separator:
        if path is None and text.lower().rstrip("/").endswith((".tif", ".tiff", ".npy", ".png", ".jpg", ".jpeg")):
            raise UnsupportedError(f"{text}: only Zarr is read from a distance; download the file first")
        from ziggurat.sources.zarrays import open_zarr

        return open_zarr(text, path=path or "")
    return _open_local(Path(text), path)


def _open_local(place: Path, path: str | None) -> Source:
    """Opens a file or folder by what it holds, never by its name alone."""
    if not place.exists():
        if not any(sign in str(place) for sign in "*?["):
            raise NotFound(f"{place}: no such file or folder")
        from ziggurat.sources.slices import open_slices

        return open_slices(str(place.absolute()))
    place = place.resolve() if ".." in place.parts else place.absolute()
    if place.is_dir():
        if path is not None or any((place / marker).exists() for marker in _MARKERS) or _is_described(place):
            from ziggurat.sources.zarrays import open_zarr

            return open_zarr(str(place), path=path or "")
        from ziggurat.sources.slices import open_slices

        return open_slices(str(place))
    try:
        with place.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise StorageError(f"{place}: cannot be read ({error.strerror or error})") from error
    if path is not None and not (head.startswith(_TIFF) and path.isdecimal()):
        raise OptionError(f"{place}: path={path!r} names an array inside of a Zarr hierarchy (or the number of an image inside of a TIFF); leave it out")
    return _open_file(place, head, int(path or 0))


def _is_described(folder: Path) -> bool:
    """True when a layout knows a folder that is no node of any container: N5 without documents, a precomputed volume, ..."""
    from ziggurat import layouts, storage

    return any(evidence.holds == "levels" for evidence in layouts.detect(storage.open_node(folder)))


def _open_file(place: Path, head: bytes, image: int) -> Source:
    if head.startswith(b"\x93NUMPY"):
        from ziggurat.sources.arrays import open_npy

        return open_npy(place)
    if head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        from ziggurat.sources.images import open_image

        return open_image(place)
    if head.startswith(_TIFF):
        from ziggurat.sources.tiffs import open_tiff

        return open_tiff(place, index=image)
    if not head:
        raise UnsupportedError(f"{place}: an empty file, of 0 bytes; copy it here again")
    hint = next((text for magic, text in _HINTS if head.startswith(magic)), "")
    raise UnsupportedError(f"{place}: not an image that is known{hint}; expected {UNDERSTOOD}")


_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF and BigTIFF in both byte orders."""

_HINTS = (
    (b"\x89HDF\r\n\x1a\n", " (an HDF5 file: open it with h5py and pass the dataset)"),
    (b"CDF", " (a netCDF file: open it with xarray and pass the variable)"),
    (b"PK\x03\x04", " (a zip file: unpack it)"),
    (b"\x1f\x8b", " (a gzip file: unpack it)"),
    (b"{", " (a JSON document: name the folder that holds it)"),
)
"""First bytes of what people try, and what to do with it."""


def _open_object(thing: object, path: str | None) -> Source:
    """Opens an object of a library that is already imported, asked in order of how specific it is."""
    libraries = {parent.__module__.partition(".")[0] for parent in type(thing).__mro__}
    if libraries & {"zarr", "obstore"} or isinstance(thing, dict) or all(callable(getattr(thing, name, None)) for name in ("get", "put", "size")):
        from ziggurat.sources.zarrays import open_zarr_object

        return open_zarr_object(thing, path=path or "")
    if "xarray" in libraries or "dask" in libraries:
        from ziggurat.sources import labelled

        if hasattr(thing, "data_vars"):
            return labelled.open_dataset(thing, path=path or "")
        if hasattr(thing, "dims"):
            return labelled.open_dataarray(thing)
        if hasattr(thing, "chunks"):
            return labelled.open_dask(thing)
    if all(hasattr(thing, name) for name in ("shape", "dtype", "__getitem__")):
        from ziggurat.sources.arrays import ArrayLike, open_arraylike

        return open_arraylike(cast(ArrayLike, thing))
    raise UnsupportedError(f"{type(thing).__name__}: nothing that can be read; expected {UNDERSTOOD}, or an array with shape, dtype and slicing")
