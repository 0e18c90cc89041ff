"""Builds the same pyramid with one peer, as its documentation says, in the peer's own environment.

    PYTHON_OF_THE_PEER benchmarks/peers.py PEER GROUP OUT [--threads 2]      # GROUP holds array "0"; rasterio takes a TIFF

Mean over windows of 2 along every axis, as many levels as ziggurat makes (until one chunk holds a level). `add`: the base stays
and levels are written beside it; `copy`: the peer's usual way writes the base again, which costs it two to five times the floor.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Job:
    """What a peer is asked to do."""

    source: Path
    out: Path
    threads: int

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.source / "0" / "zarr.json").read_text())
        return found

    @property
    def shape(self) -> list[int]:
        return list(self.document["shape"])

    @property
    def chunks(self) -> list[int]:
        return list(self.document["chunk_grid"]["configuration"]["chunk_shape"])

    @property
    def n_reduced(self) -> int:
        """Number of levels above the base."""
        shape, n = self.shape, 0
        while any(a > c for a, c in zip(shape, self.chunks, strict=True)):
            shape = [-(-a // 2) for a in shape]
            n += 1
        return n

    @property
    def axes(self) -> str:
        return "zyx"[-len(self.shape) :]


def tensorstore(job: Job) -> None:
    """`ts.downsample` block by block, each level from the one before, blocks of 4 chunks an axis."""
    import tensorstore as ts

    context = {"data_copy_concurrency": {"limit": job.threads}, "file_io_concurrency": {"limit": job.threads}, "cache_pool": {"total_bytes_limit": 0}}

    def spec(path: Path) -> dict[str, Any]:
        return {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path), "file_io_sync": False}, "context": context}

    source = ts.open(spec(job.source / "0"), read=True).result()
    for k in range(1, job.n_reduced + 1):
        document = dict(job.document)
        document["shape"] = [-(-n // 2) for n in source.shape]
        target = ts.open(
            {**spec(job.out / str(k)), "metadata": {x: document[x] for x in ("shape", "data_type", "chunk_grid", "codecs", "fill_value")}}, create=True
        ).result()
        view = ts.downsample(source, [2] * source.ndim, "mean")
        blocks = [
            tuple(slice(i, min(i + 2 * c, n)) for i, c, n in zip(at, job.chunks, target.shape, strict=True))
            for at in itertools.product(*(range(0, n, 2 * c) for n, c in zip(target.shape, job.chunks, strict=True)))
        ]

        def one(block: tuple[slice, ...], target: Any = target, view: Any = view) -> None:
            target[block].write(view[block]).result()

        with ThreadPoolExecutor(job.threads) as pool:
            for _ in pool.map(one, blocks):
                pass
        source = target


def dyna_zarr(job: Job) -> None:
    """`io.write_levels`, one pass over the base."""
    from dyna_zarr import io

    levels = [{"path": str(job.out / str(k)), "factors": (2**k,) * len(job.shape)} for k in range(1, job.n_reduced + 1)]
    io.write_levels(io.read(str(job.source / "0")), levels, method="mean", max_threads=job.threads)


def _dask(threads: int) -> None:
    import dask

    dask.config.set(pool=ThreadPoolExecutor(threads))


def ome_zarr(job: Job) -> None:
    """`write_image(method="local_mean")`; it writes the base as well."""
    import dask.array as da
    import zarr
    from ome_zarr.writer import write_image

    _dask(job.threads)
    factors = [dict.fromkeys(job.axes, 2**k) for k in range(1, job.n_reduced + 1)]
    group = zarr.open_group(str(job.out), mode="w")
    write_image(
        da.from_zarr(str(job.source / "0")), group, axes=job.axes, scale_factors=factors, method="local_mean", storage_options={"chunks": tuple(job.chunks)}
    )


def ngff_zarr(job: Job) -> None:
    """`to_multiscales` with the bin-shrink kernel (its mean), then `to_ome_zarr`; it writes the base as well."""
    import ngff_zarr as nz

    _dask(job.threads)
    # its reader wants an OME-Zarr group: the base under a document that says so
    group = job.out.with_name(job.out.name + "-in")
    shutil.rmtree(group, ignore_errors=True)
    group.mkdir()
    os.symlink(job.source / "0", group / "0")
    transformation = [{"type": "scale", "scale": [1.0] * len(job.shape)}]
    multiscale = {
        "axes": [{"name": a, "type": "space"} for a in job.axes],
        "datasets": [{"path": "0", "coordinateTransformations": transformation}],
        "name": "a",
    }
    (group / "zarr.json").write_text(
        json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", "multiscales": [multiscale]}}})
    )
    image = nz.from_ome_zarr(str(group)).images[0]
    factors = [2**k for k in range(1, job.n_reduced + 1)]
    levels = nz.to_multiscales(image, scale_factors=factors, method=nz.Methods.ITKWASM_BIN_SHRINK, chunks=job.chunks[0])
    nz.to_ome_zarr(str(job.out), levels, version="0.5")


def rasterio(job: Job) -> None:
    """GDAL overviews inside a copy of the TIFF (AVERAGE); copying the file is counted by the caller as the base's."""
    import rasterio as rio
    from rasterio.enums import Resampling

    options: dict[str, Any] = {
        "GDAL_NUM_THREADS": str(job.threads),
        "COMPRESS_OVERVIEW": "ZSTD",
        "ZSTD_LEVEL_OVERVIEW": "3",
        "GDAL_TIFF_OVR_BLOCKSIZE": "512",
        "GDAL_CACHEMAX": 512,
    }
    with rio.Env(**options), rio.open(job.source, "r+") as file:
        n, size = 0, max(file.shape)
        while size > 512:
            n, size = n + 1, -(-size // 2)
        file.build_overviews([2**k for k in range(1, n + 1)], Resampling.average)


PEERS: Mapping[str, tuple[Callable[[Job], None], str, str]] = MappingProxyType(
    {
        # name -> (function, add or copy, what it is called in the table)
        "tensorstore": (tensorstore, "add", "tensorstore, `ts.downsample` by blocks"),
        "dyna-zarr": (dyna_zarr, "add", "dyna-zarr `write_levels`"),
        "ngff-zarr": (ngff_zarr, "copy", "ngff-zarr bin shrink"),
        "ome-zarr": (ome_zarr, "copy", "ome-zarr `local_mean`"),
        "rasterio": (rasterio, "add", "GDAL overviews in the TIFF (rasterio)"),
    }
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=list(PEERS))
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.peer != "rasterio":
        shutil.rmtree(args.out, ignore_errors=True)
        args.out.mkdir(parents=True)
    PEERS[args.peer][0](Job(args.source, args.out, args.threads))


if __name__ == "__main__":
    main()
