"""Pyramids of several layouts, to be shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

import ziggurat as zg
from ziggurat.bridges.server import Server, serve

RNG = np.random.default_rng(70)
LAYOUTS = ("multiscales@0.1", "ome-zarr@0.4", "ome-zarr@0.5", "cosem@1", "itk@1", "xcube@1.0", "datatree@1")
DTYPES = ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16")


def plane(dtype: str = "u2", shape: tuple[int, int] = (150, 210)) -> np.ndarray:
    """A picture that tells where it was taken: values grow along the columns, and along the rows 10 times slower."""
    values = np.arange(shape[1])[None, :] + np.arange(shape[0])[:, None] / 10
    if dtype == "?":
        return np.asarray(values % 20 < 10)
    return (values % 100 if dtype in ("i1", "u1") else values).astype(dtype)


def pyramids(folder: Path) -> dict[str, Path]:
    """A pyramid of every layout that is written, a plain COG-like TIFF, six axes, labels, and shards."""
    found = {}
    zg.build(plane(), folder / "source.zarr", axes="yx", levels=3, scale=0.5, unit="micrometer")
    for layout in LAYOUTS:
        target = folder / f"{layout.partition('@')[0]}-{layout.rpartition('@')[2]}{'.levels' if layout.startswith('xcube') else '.zarr'}"
        if layout.startswith(("multiscales", "ome-zarr")):
            zg.build(plane(), target, axes="yx", levels=3, scale=0.5, unit="micrometer", layout=layout)
        else:
            zg.convert(folder / "source.zarr", target, layout=layout)
        found[layout] = target
    zg.convert(folder / "source.zarr", folder / "cosem.n5", layout="cosem@1", container="n5")
    found["cosem, N5"] = folder / "cosem.n5"
    zg.build(plane(), folder / "shards.zarr", axes="yx", levels=3, chunks=(32, 32), shards=(128, 128))
    found["shards"] = folder / "shards.zarr"
    with tifffile.TiffWriter(folder / "cog.tif") as file:
        options = {"tile": (64, 64), "photometric": "minisblack"}
        file.write(plane(), subifds=2, **options)
        for step in (2, 4):
            file.write(plane()[::step, ::step], subfiletype=1, **options)
    found["tiff"] = folder / "cog.tif"
    zg.build(RNG.integers(0, 999, (2, 2, 2, 3, 40, 50), dtype=np.uint16), folder / "six.zarr", axes="abtzyx", levels=2, layout="multiscales@0.1")
    found["six axes"] = folder / "six.zarr"
    zg.build(
        np.kron(np.arange(12, dtype=np.uint64).reshape(3, 4) + 2**40, np.ones((50, 50), np.uint64)), folder / "labels.zarr", axes="yx", kind="labels", levels=2
    )
    found["labels"] = folder / "labels.zarr"
    return found


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return pyramids(tmp_path_factory.mktemp("shown"))


@pytest.fixture(scope="session")
def server(places: dict[str, Path]) -> Iterator[Server]:
    with serve(*places.values()) as running:
        yield running


@pytest.fixture(scope="session")
def numbers(places: dict[str, Path], server: Server) -> dict[str, int]:
    """The number under which each place is shown."""
    return {name: next(each.number for each in server.shown if each.group.rstrip("/") == str(path)) for name, path in places.items()}
