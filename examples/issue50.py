"""Make the founding sample of multiscales v0.1 (zarr-specs issue #50) with zarr and scikit-image alone.

    python examples/issue50.py issue50.zarr

A photograph tiled 2 x 2 is the base; a gaussian and a laplacian pyramid stand over it and share it. The group's `.zattrs` equals the
document's, and so do the directories and chunk files. ziggurat is not imported: this is the data that others wrote before it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import zarr
from numpy.typing import NDArray
from skimage import data
from skimage.transform import pyramid_gaussian, pyramid_laplacian

N_REDUCED = 4

# The grids that zarr 2 chose by itself when the document was written, so that the chunk files bear the same names.
BASE_CHUNKS = (512, 512, 2)
LEVEL_CHUNKS = ((128, 256, 2), (128, 128, 3), (64, 128, 3), (64, 64, 3))


def pyramid(kind: str, base: NDArray[np.uint8]) -> Iterator[NDArray[np.float64]]:
    """Yields the base and its reduced levels; axes y, x, c, of which c is not reduced."""
    make = pyramid_gaussian if kind == "gaussian" else pyramid_laplacian
    return iter(make(base, downscale=2, max_layer=N_REDUCED, channel_axis=-1))


def add_array(group: zarr.Group, path: str, samples: NDArray[np.generic], chunks: tuple[int, ...]) -> None:
    """Stores one array; chunks that are all zero are written too, as zarr 2 did."""
    stored = group.create_array(
        path, shape=samples.shape, dtype=samples.dtype, chunks=chunks, chunk_key_encoding={"name": "v2", "separator": "."}, config={"write_empty_chunks": True}
    )
    stored[...] = samples


def write(target: str) -> None:
    """Writes the group `target` (Zarr v2), which must not exist: the base, G1 to G4, L1 to L4 and the attribute `multiscales`."""
    base = np.tile(data.astronaut(), (2, 2, 1))
    group = zarr.open_group(target, mode="w-", zarr_format=2)
    add_array(group, "base", base, BASE_CHUNKS)
    multiscales = []
    for kind in ("gaussian", "laplacian"):
        paths = ["base"]
        for level, samples in enumerate(pyramid(kind, base)):
            if level > 0:
                paths.append(f"{kind[0].upper()}{level}")
                add_array(group, paths[-1], samples, LEVEL_CHUNKS[level - 1])
        multiscales.append({"datasets": [{"path": path} for path in paths], "name": kind, "type": kind, "version": "0.1"})
    group.attrs["multiscales"] = multiscales


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the founding sample of multiscales v0.1 (zarr-specs issue #50).")
    parser.add_argument("zarr_directory")
    write(parser.parse_args().zarr_directory)
