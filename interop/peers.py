"""The table of other people's software that writes or reads layouts, and what we write for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import ziggurat as zg

Make: TypeAlias = Callable[[Path], Mapping[str, zg.Pyramid]]
"""Folder -> path of what was written there -> the pyramid that it must be read as."""
BASE = np.random.default_rng(50).integers(0, 60000, (20, 28, 36)).astype("uint16")
SCALE, TRANSLATION = (10.0, 8.0, 8.0), (0.0, -16.0, 4.0)
CUBES, PLANES = (((2, 2, 2),) * 2), (((1, 2, 2),) * 2)


@dataclass(frozen=True, slots=True)
class Peer:
    """One package with one layout, and what of it is called."""

    name: str
    """Its distribution, by which its version is found."""
    environment: str
    layout: str
    writer: str | None = None
    reader: str | None = None
    make: Make | None = None
    """Writes what the reader gets."""
    of: str = ""
    """What of the layout it is about, where that is not all."""


def built(folder: Path, factors: Sequence[tuple[int, ...]] = CUBES, **said: Any) -> Path:
    """Builds the volume that all conversions start from, placed off the origin."""
    path = folder / "built.ome.zarr"
    zg.build(BASE, path, scale=SCALE, translation=TRANSLATION, unit="nanometer", axes="zyx", kind="image", factors=factors, **said)
    return path


def volume(layout: str, container: Any = None, factors: Sequence[tuple[int, ...]] = CUBES) -> Make:
    """Returns what converts a volume into a layout."""
    return partial(_volume, layout=layout, container=container, factors=factors)


def _volume(folder: Path, *, layout: str, container: Any, factors: Sequence[tuple[int, ...]]) -> Mapping[str, zg.Pyramid]:
    source = built(folder, factors)
    zg.convert(source, folder / "ours", layout=layout, container=container)
    return {"ours": zg.open(source)}


def earth(folder: Path) -> Mapping[str, zg.Pyramid]:
    """Writes xcube levels of what xcube opens: axes of space called lat and lon."""
    source = folder / "built.zarr"
    said = {"axes": ("z", "lat", "lon"), "unit": {"z": "meter", "lat": "degree", "lon": "degree"}, "factors": PLANES}
    zg.build(BASE, source, scale=(10.0, 0.5, 0.25), translation=(5.0, 40.0, -20.0), kind="image", layout="multiscales@0.1", **said)
    zg.convert(source, folder / "ours.levels", layout="xcube")
    return {"ours.levels": zg.open(source)}


def labelled(folder: Path) -> Mapping[str, zg.Pyramid]:
    """Builds an image with labels, in the newest Zarr and in Zarr v2."""
    found = {}
    for name, layout in (("v3.ome.zarr", "ome-zarr@0.5"), ("v2.ome.zarr", "ome-zarr@0.4")):
        path = folder / name
        zg.build(BASE, path, scale=SCALE, translation=TRANSLATION, unit="nanometer", axes="zyx", kind="image", factors=CUBES, layout=layout)
        zg.build((BASE // 1000).astype("uint32"), path / "labels" / "cells")
        found |= {f"{name}/labels/cells": zg.open(path, multiscale="labels/cells")}
    return found


def draft(folder: Path) -> Mapping[str, zg.Pyramid]:
    """Builds an image of OME-Zarr 0.6."""
    return {"built.ome.zarr": zg.open(built(folder, layout="ome-zarr@0.6"))}


PEERS: Sequence[Peer] = (
    Peer("ome-zarr", "ome-zarr", "ome-zarr", "ome_zarr_collections_writer.py", "ome_zarr_reader.py", labelled, of="labels; plates and wells written"),
    Peer("yaozarrs", "yaozarrs", "ome-zarr", "yaozarrs_writer.py", "yaozarrs_reader.py", labelled, of="labels; plates, wells, bioformats2raw written"),
    Peer("ome-zarr-models", "ome-zarr-models", "ome-zarr", None, "ome_zarr_models_reader.py", labelled, of="labels"),
    Peer("ngff-zarr", "ngff-zarr", "ome-zarr", "ngff_zarr_collections_writer.py", "ngff_zarr_reader.py", draft, of="0.6; plates and `.ozx` written"),
    Peer("cellmap-schemas", "cellmap-schemas", "cosem", "cellmap_schemas_writer.py", "cellmap_schemas_reader.py", volume("cosem", "n5")),
    Peer("z5py", "z5py", "cosem", None, "z5py_reader.py", volume("cosem", "n5"), of="samples of its N5"),
    Peer("zarr-n5", "zarr-n5", "cosem", None, "zarr_n5_reader.py", volume("cosem", "n5"), of="samples of its N5"),
    Peer("tensorstore", "tensorstore", "cosem", None, "tensorstore_n5_reader.py", volume("cosem", "n5"), of="samples of its N5"),
    Peer("pybdv", "pybdv", "bdv-n5", "pybdv_writer.py"),
    Peer("z5py", "z5py", "n5-viewer", "z5py_n5_viewer_writer.py", of="its arrays and attributes"),
    Peer("z5py", "z5py", "paintera", "z5py_paintera_writer.py", of="its arrays and attributes"),
    Peer("multiscale-spatial-image", "multiscale-spatial-image", "datatree", "multiscale_spatial_image_writer.py", "datatree_reader.py", volume("datatree")),
    Peer("itk", "itk", "itk", "itk_writer.py", "itk_reader.py", volume("itk")),
    Peer("xcube-core", "xcube", "xcube", "xcube_writer.py", "xcube_reader.py", earth),
    Peer("spatialdata", "spatialdata", "spatialdata", "spatialdata_writer.py"),
    Peer("zarr-cm", "geozarr", "geozarr", None, "geozarr_reader.py", volume("geozarr", "zarr3"), of="judged, with geozarr-toolkit"),
    Peer("geozarr-toolkit", "geozarr", "geozarr", "geozarr_toolkit_writer.py"),
    Peer("topozarr", "topozarr", "geozarr", "topozarr_writer.py"),
    Peer("ndpyramid", "ndpyramid", "ndpyramid", "ndpyramid_writer.py"),
    Peer("rasterio", "rasterio", "tiff", "rasterio_writer.py", of="GDAL's overviews, side files `.ovr`, COG"),
    Peer("tifffile", "tifffile", "tiff", "tifffile_writer.py", of="SubIFDs of OME-TIFF"),
    Peer("webknossos", "webknossos", "webknossos", "webknossos_writer.py"),
    Peer("tensorstore", "tensorstore", "precomputed", "tensorstore_precomputed_writer.py"),
    Peer("cloud-volume", "cloud-volume", "precomputed", "cloud_volume_writer.py"),
    Peer("neuroglancer-scripts", "neuroglancer-scripts", "precomputed", "neuroglancer_scripts_writer.py"),
)
