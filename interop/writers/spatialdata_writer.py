"""spatialdata: images with scale factors, labels, points, shapes; with an identity, a scale and translation, and an affinity; its formats 0.1 and 0.2.

    spatialdata_writer.py FOLDER

Writes stores into FOLDER and prints one line of JSON: path of an element -> what the library itself holds of each level: the matrix from indices
of samples to its "global" system, and the samples.
"""

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from common import digest
from spatialdata import SpatialData, get_extent
from spatialdata._io.format import SpatialDataContainerFormatV01, SpatialDataContainerFormatV02
from spatialdata.models import Image2DModel, Image3DModel, Labels2DModel, PointsModel, ShapesModel
from spatialdata.transformations import Affine, Identity, Scale, Sequence, Translation, get_transformation

TURN = [[0.8, -0.6, 3.0], [0.6, 0.8, -2.0], [0.0, 0.0, 1.0]]
SYSTEM = "global"


def elements() -> dict[str, Any]:
    """Returns one element of each kind and transformation."""
    random = np.random.default_rng(50)
    placed = Sequence([Scale([0.5, 0.25], axes=("x", "y")), Translation([100.0, -20.0], axes=("x", "y"))])
    turned = Affine(np.array(TURN), input_axes=("x", "y"), output_axes=("x", "y"))
    plain = random.integers(0, 4000, (3, 40, 56)).astype("uint16")
    return {
        "plain": Image2DModel.parse(plain, dims=("c", "y", "x"), transformations={SYSTEM: Identity()}),
        "placed": Image2DModel.parse(plain, dims=("c", "y", "x"), scale_factors=[2, 2], transformations={SYSTEM: placed, "other": Scale([2.0], axes=("x",))}),
        "turned": Image2DModel.parse(plain[:1], dims=("c", "y", "x"), scale_factors=[2], transformations={SYSTEM: turned}),
        "deep": Image3DModel.parse(
            random.integers(0, 255, (1, 8, 20, 28)).astype("uint8"),
            dims=("c", "z", "y", "x"),
            scale_factors=[2],
            transformations={SYSTEM: Sequence([Scale([2.0, 0.5, 0.5], axes=("z", "y", "x")), Translation([7.0], axes=("z",))])},
        ),
        "cells": Labels2DModel.parse(random.integers(0, 9, (41, 57)).astype("uint32"), dims=("y", "x"), scale_factors=[2], transformations={SYSTEM: placed}),
        "spots": PointsModel.parse(random.random((5, 2)), transformations={SYSTEM: Identity()}),
        "circles": ShapesModel.parse(random.random((5, 2)), geometry=0, radius=1.0, transformations={SYSTEM: Identity()}),
    }


def levels_of(element: Any) -> list[Any]:
    """Returns the arrays of a raster, largest first."""
    if hasattr(element, "children"):
        return [next(iter(child.ds.data_vars.values())) for child in element.children.values()]
    return [element]


def axes_of(element: Any) -> list[str]:
    return list(map(str, levels_of(element)[0].dims))


def described(element: Any) -> list[dict[str, Any]]:
    """Returns how the library places each level of a raster, and its samples.

    Its transformations are those of coordinates, which count from the corner of the image: a sample's centre has its index and a half. The samples of the
    base reach as far as its own `get_extent` says; where they do not, this script stops.
    """
    levels = []
    for array in levels_of(element):
        dims = tuple(map(str, array.dims))
        matrix = get_transformation(array, to_coordinate_system=SYSTEM).to_affine_matrix(dims, dims)
        centres = matrix @ moved([0.0 if dim == "c" else 0.5 for dim in dims])
        levels.append({"shape": list(array.shape), "matrix": centres.tolist(), "sha256": digest(array.values)})
        extent = get_extent(array, coordinate_system=SYSTEM)
        corners = np.array(list(itertools.product(*((-0.5, size - 0.5) for size in array.shape))))
        reached = corners @ centres[:-1, :-1].T + centres[:-1, -1]
        for axis, ends in extent.items():
            column = reached[:, dims.index(axis)]
            if not np.allclose(ends, (column.min(), column.max())):
                raise SystemExit(f"{axis}: get_extent says {ends}, and the samples reach from {column.min()} to {column.max()}")
    return levels


def moved(shift: list[float]) -> np.ndarray:
    matrix = np.eye(len(shift) + 1)
    matrix[:-1, -1] = shift
    return matrix


def main() -> None:
    folder = Path(sys.argv[1])
    stores: dict[str, Any] = {}
    for name, version in (("v2.zarr", SpatialDataContainerFormatV01()), ("v3.zarr", SpatialDataContainerFormatV02())):
        SpatialData.init_from_elements(elements()).write(folder / name, sdata_formats=version)
        read = SpatialData.read(folder / name)
        for path in [*(f"images/{key}" for key in read.images), *(f"labels/{key}" for key in read.labels)]:
            stores[f"{name}/{path}"] = {"axes": axes_of(element := read[path.partition("/")[2]]), "levels": described(element)}
    print(json.dumps({"stores": stores}))


main()
