"""Makes the benchmark inputs: volumes, a plane, floats with NaN, counts with nodata, labels, TIFF.

    python benchmarks/inputs.py FOLDER [NAME ...] [--small]

Every Zarr input is a group with one array "0". Data are made from fixed seeds, never committed, and look like what people
have: A is a microscope volume (smooth structure, Poisson noise, gain and offset; zstd 3 stores it in about 40 %), B is cut
from real photographs (scikit-image's), F a field with scattered NaN and a hole, N counts with a nodata value, L blocky labels, K round ones.
Runs in the development environment (numpy, scikit-image, tensorstore, tifffile).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

AnyArray = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Input:
    """One input: which samples, in which grid."""

    samples: str
    """`A`, `B`, `F`, `N`, `L` or `K`."""
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None
    zarr_format: int = 3
    small_chunks: tuple[int, ...] | None = None
    """What replaces `shards` in the reduced size, so that there is more than one."""


SHAPES: Mapping[str, tuple[tuple[int, ...], tuple[int, ...], str]] = MappingProxyType(
    {
        # name -> (shape, shape in the reduced size, dtype); the full ones are 2 GiB, B is 1 GiB, K 0.5 GiB
        "A": ((1024, 1024, 1024), (256, 256, 256), "uint16"),
        "B": ((32768, 32768), (4096, 4096), "uint8"),
        "F": ((512, 1024, 1024), (128, 256, 256), "float32"),
        "N": ((1024, 1024, 1024), (256, 256, 256), "uint16"),
        "L": ((512, 1024, 1024), (128, 256, 256), "uint32"),
        "K": ((512, 512, 512), (128, 256, 256), "uint32"),
    }
)

INPUTS: Mapping[str, Input] = MappingProxyType(
    {
        "A64": Input("A", (64, 64, 64)),
        "A128": Input("A", (128, 128, 128)),
        "Ashard": Input("A", (64, 64, 64), shards=(512, 512, 512), small_chunks=(128, 128, 128)),
        "Av2": Input("A", (128, 128, 128), zarr_format=2),
        "A37": Input("A", (37, 37, 37)),
        "A100": Input("A", (100, 100, 100)),
        "B512": Input("B", (512, 512)),
        "F64": Input("F", (64, 64, 64)),
        "N64": Input("N", (64, 64, 64)),
        "L64": Input("L", (64, 64, 64)),
        "K64": Input("K", (64, 64, 64)),
    }
)

NODATA = 0
"""The nodata value of N."""


def interpolation(n_out: int, n_in: int, start: float = 0.0, stop: float | None = None) -> AnyArray:
    """Returns the (n_out, n_in) float32 matrix of Catmull-Rom interpolation over `start`..`stop` in input samples."""
    x = np.linspace(start, n_in - 1 if stop is None else stop, n_out)
    base = np.floor(x).astype(int)
    t = (x - base)[:, None]
    weights = np.concatenate([-0.5 * t + t**2 - 0.5 * t**3, 1 - 2.5 * t**2 + 1.5 * t**3, 0.5 * t + 2 * t**2 - 1.5 * t**3, -0.5 * t**2 + 0.5 * t**3], axis=1)
    matrix = np.zeros((n_out, n_in), np.float32)
    for k in range(4):
        np.add.at(matrix, (np.arange(n_out), np.clip(base - 1 + k, 0, n_in - 1)), weights[:, k])
    return matrix


def over_planes(shape: Sequence[int], dtype: str, plane: Callable[[int], AnyArray], path: Path) -> AnyArray:
    """Fills a memory-mapped .npy plane by plane with two threads."""
    out = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=tuple(shape))

    def fill(z: int) -> None:
        out[z] = plane(z)

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(fill, range(shape[0])):
            pass
    return out


def structure(shape: Sequence[int], seed: int) -> Callable[[int], AnyArray]:
    """Returns a function: plane z -> smooth structure in 0..1, about half of it background."""
    rng = np.random.default_rng(seed)
    coarse, fine = (rng.random((k + 1,) * 3, dtype=np.float32) for k in (24, 96))
    spread = [[interpolation(n, g.shape[0]) for n in shape] for g in (coarse, fine)]

    def plane(z: int) -> AnyArray:
        c, f = (w[1] @ np.tensordot(w[0][z], g, 1) @ w[2].T for g, w in zip((coarse, fine), spread, strict=True))
        return np.asarray(np.clip(c - 0.5, 0, None) * 2 * np.clip(f * 1.6 - 0.3, 0, None), np.float32)

    return plane


def make_a(shape: Sequence[int], path: Path) -> AnyArray:
    """A camera's counts: photons with Poisson noise, gain 5, offset 100."""
    smooth = structure(shape, 1)

    def plane(z: int) -> AnyArray:
        photons = np.random.default_rng((2, z)).poisson(4 + 260 * smooth(z))
        return np.clip(photons * 5 + 100, 0, 65535).astype(np.uint16)

    return over_planes(shape, "uint16", plane, path)


def make_b(shape: Sequence[int], path: Path) -> AnyArray:
    """Cut-ups of the photographs that scikit-image ships, turned, stretched to tiles of 1024, with a little noise."""
    from skimage import data

    images = []
    for name in ("astronaut", "camera", "chelsea", "coffee", "moon", "page", "brick", "grass", "gravel", "rocket", "text", "clock", "coins"):
        try:
            image = getattr(data, name)()
        except (AttributeError, ImportError, OSError):  # some pictures are not in every wheel
            continue
        images.append(np.asarray(image[..., :3].mean(-1) if image.ndim == 3 else image, np.float32))
    edge = 1024
    out = np.lib.format.open_memmap(path, mode="w+", dtype="uint8", shape=tuple(shape))

    def tile(at: tuple[int, int]) -> None:
        rng = np.random.default_rng((3, *at))
        image = np.rot90(images[rng.integers(len(images))], rng.integers(4))
        matrices = []
        for n in image.shape:
            length = rng.uniform(0.5, 1.0) * (n - 1)
            start = rng.uniform(0, n - 1 - length)
            matrices.append(interpolation(edge, n, start, start + length))
        cut = matrices[0] @ image @ matrices[1].T
        cut = cut * rng.uniform(0.7, 1.2) + rng.normal(0, 2.0, cut.shape).astype(np.float32)
        out[at[0] * edge : (at[0] + 1) * edge, at[1] * edge : (at[1] + 1) * edge] = np.clip(cut, 0, 255)

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(tile, itertools.product(*(range(n // edge) for n in shape))):
            pass
    return out


def make_f(shape: Sequence[int], path: Path) -> AnyArray:
    """A float field with a quarter of the samples of scattered places NaN, and a solid hole; half of it is complete."""
    smooth = structure(shape, 4)

    def plane(z: int) -> AnyArray:
        rng = np.random.default_rng((5, z))
        # 12 bits of mantissa: a measured field, not white noise in every bit
        values = np.round((280 + 40 * smooth(z) + rng.normal(0, 0.5, shape[1:])) * 64) / np.float32(64)
        values = values.astype(np.float32)
        if z < shape[0] // 2:
            values[rng.random(values.shape, dtype=np.float32) < 0.25] = np.nan
            values[: shape[1] // 8, : shape[2] // 8] = np.nan
        return values

    return over_planes(shape, "float32", plane, path)


def make_n(shape: Sequence[int], path: Path) -> AnyArray:
    """A with nodata (0) in about a quarter of the samples: a border, and scattered dead samples in half of the volume."""
    smooth = structure(shape, 1)

    def plane(z: int) -> AnyArray:
        rng = np.random.default_rng((6, z))
        values = np.clip(rng.poisson(4 + 260 * smooth(z)) * 5 + 100, 0, 65535).astype(np.uint16)
        values[:, : shape[2] // 8] = NODATA
        if z < shape[0] // 2:
            values[rng.random(values.shape, dtype=np.float32) < 0.25] = NODATA
        return values

    return over_planes(shape, "uint16", plane, path)


def make_l(shape: Sequence[int], path: Path) -> AnyArray:
    """Labels as a segmentation gives them: cells of a jittered grid about 24 wide with ragged borders, a third background."""
    step = 24
    rng = np.random.default_rng(7)
    cells = [-(-n // step) + 2 for n in shape]
    ids = rng.permutation(int(np.prod(cells))).astype(np.uint32).reshape(cells) + 1
    ids[rng.random(ids.shape) < 1 / 3] = 0
    warp = structure(shape, 8)

    def plane(z: int) -> AnyArray:
        shift = warp(z) * 1.5 * step
        y, x = np.ogrid[: shape[1], : shape[2]]
        i = ((z + shift) / step).astype(int)
        j, k = ((y + shift) / step).astype(int), ((x + shift[::-1]) / step).astype(int)
        return ids[np.minimum(i, cells[0] - 1), np.minimum(j, cells[1] - 1), np.minimum(k, cells[2] - 1)]

    return over_planes(shape, "uint32", plane, path)


def make_k(shape: Sequence[int], path: Path) -> AnyArray:
    """Labels of blobs: the nearest of scattered points (one a cube of 24), as far as its own radius reaches; many touch, half is background."""
    step = 24
    rng = np.random.default_rng(9)
    cells = tuple(-(-n // step) + 2 for n in shape)
    points = (np.stack(np.meshgrid(*map(np.arange, cells), indexing="ij"), axis=-1) - 1 + rng.random((*cells, 3))) * step
    points = points.astype(np.float32)
    reach = rng.uniform(8, 18, cells).astype(np.float32)
    ids = (rng.permutation(int(np.prod(cells))).astype(np.uint32) + 1).reshape(cells)
    y, x = np.ogrid[: shape[1], : shape[2]]
    j, k = y // step + 1, x // step + 1

    def plane(z: int) -> AnyArray:
        nearest = np.full(shape[1:], np.inf, np.float32)
        label = np.zeros(shape[1:], np.uint32)
        for at in itertools.product((-1, 0, 1), repeat=3):
            here = (z // step + 1 + at[0], np.clip(j + at[1], 0, cells[1] - 1), np.clip(k + at[2], 0, cells[2] - 1))
            point = points[here]
            distance = np.sqrt((z - point[..., 0]) ** 2 + (y - point[..., 1]) ** 2 + (x - point[..., 2]) ** 2)
            closer = distance < nearest
            nearest[closer] = distance[closer]
            label[closer] = np.where(distance <= reach[here], ids[here], np.uint32(0))[closer]
        return label

    return over_planes(shape, "uint32", plane, path)


MAKERS: Mapping[str, Callable[[Sequence[int], Path], AnyArray]] = MappingProxyType(
    {"A": make_a, "B": make_b, "F": make_f, "N": make_n, "L": make_l, "K": make_k}
)


def samples(name: str, folder: Path, *, small: bool) -> AnyArray:
    """Returns the samples of an input as a memory map, made on first use under `folder`."""
    full, reduced, _ = SHAPES[name]
    path = folder / f"{name}{'-small' if small else ''}.npy"
    if not path.exists():
        partial = path.with_suffix(".part.npy")
        MAKERS[name](reduced if small else full, partial).flush()
        partial.rename(path)
    return np.load(path, mmap_mode="r")


def write_zarr(group: Path, array: AnyArray, chunks: Sequence[int], *, shards: Sequence[int] | None = None, zarr_format: int = 3) -> None:
    """Writes a group with one array "0": v3 zstd 3, or v2 blosc (zstd 3, shuffle) with "/"."""
    import tensorstore as ts

    shutil.rmtree(group, ignore_errors=True)
    names = "tczyx"[-array.ndim :]
    if zarr_format == 3:
        inner: list[dict[str, Any]] = [
            {"name": "bytes", **({"configuration": {"endian": "little"}} if array.dtype.itemsize > 1 else {})},
            {"name": "zstd", "configuration": {"level": 3, "checksum": False}},
        ]
        sharding = {
            "name": "sharding_indexed",
            "configuration": {
                "chunk_shape": list(chunks),
                "codecs": inner,
                "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
                "index_location": "end",
            },
        }
        metadata: dict[str, Any] = {
            "shape": list(array.shape),
            "data_type": array.dtype.name,
            "codecs": [sharding] if shards else inner,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shards or chunks)}},
            "dimension_names": list(names),
            "fill_value": 0,
        }
    else:
        metadata = {
            "shape": list(array.shape),
            "dtype": array.dtype.str,
            "chunks": list(chunks),
            "compressor": {"id": "blosc", "cname": "zstd", "clevel": 3, "shuffle": 1, "blocksize": 0},
            "dimension_separator": "/",
            "fill_value": 0,
        }
    spec = {
        "driver": "zarr3" if zarr_format == 3 else "zarr",
        "kvstore": {"driver": "file", "path": str(group / "0"), "file_io_sync": False},
        "metadata": metadata,
        "context": {"data_copy_concurrency": {"limit": 2}},
    }
    target = ts.open(spec, create=True).result()
    unit = (shards or chunks)[0]
    step = unit * max(1, 128 // unit)
    for z in range(0, array.shape[0], step):
        target[z : min(z + step, array.shape[0])].write(np.ascontiguousarray(array[z : z + step])).result()
    if zarr_format == 3:
        attributes: dict[str, Any] = {}
        (group / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}))
    else:
        (group / ".zgroup").write_text(json.dumps({"zarr_format": 2}))
        (group / "0" / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": list(names)}))


def ensure(name: str, folder: Path, *, small: bool) -> Path:
    """Returns the path of an input under `folder`, made on first use."""
    folder.mkdir(parents=True, exist_ok=True)
    suffix = "-small" if small else ""
    if name == "Btiff":
        return _ensure_tiff(folder / f"Btiff{suffix}.tif", folder, small=small)
    if name == "slices":
        return _ensure_slices(folder / f"slices{suffix}", folder, small=small)
    if name == "A64x8":
        return _ensure_repeated(folder / f"A64x8{suffix}.zarr", folder, small=small)
    entry = INPUTS[name]
    group = folder / f"{name}{suffix}.zarr"
    if not (group / "0").exists():
        part = folder / f"{name}{suffix}.part"
        shards = entry.small_chunks if small and entry.shards else entry.shards
        write_zarr(part, samples(entry.samples, folder, small=small), entry.chunks, shards=shards, zarr_format=entry.zarr_format)
        part.rename(group)
    return group


def _ensure_tiff(path: Path, folder: Path, *, small: bool) -> Path:
    """B as a BigTIFF of 512 x 512 tiles, zstd 3."""
    if not path.exists():
        import tifffile

        part = path.with_suffix(".part")
        options: dict[str, Any] = {"tile": (512, 512), "compression": "zstd", "compressionargs": {"level": 3}, "bigtiff": True, "maxworkers": 2}
        tifffile.imwrite(part, samples("B", folder, small=small), **options)
        part.rename(path)
    return path


def _ensure_slices(path: Path, folder: Path, *, small: bool) -> Path:
    """200 planes of A as single TIFF files, uncompressed, as acquisition software leaves them."""
    if not path.exists():
        import tifffile

        volume = samples("A", folder, small=small)
        part = path.with_suffix(".part")
        part.mkdir(exist_ok=True)
        for z in range(200):
            tifffile.imwrite(part / f"slice_{z:04}.tif", volume[z])
        part.rename(path)
    return path


def _ensure_repeated(path: Path, folder: Path, *, small: bool) -> Path:
    """A64 eight times along z (16 GiB of base): the chunk files are hard links, so it costs no storage."""
    if not path.exists():
        base = ensure("A64", folder, small=small)
        part = path.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        (part / "0").mkdir(parents=True)
        shutil.copy(base / "zarr.json", part / "zarr.json")
        document = json.loads((base / "0" / "zarr.json").read_text())
        n = -(-document["shape"][0] // 64)
        document["shape"][0] *= 8
        (part / "0" / "zarr.json").write_text(json.dumps(document))
        for z in range(8 * n):
            for y in (base / "0" / "c" / str(z % n)).iterdir():
                row = part / "0" / "c" / str(z) / y.name
                row.mkdir(parents=True)
                for x in y.iterdir():
                    os.link(x, row / x.name)
        part.rename(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=[*INPUTS, "Btiff", "slices", "A64x8"])
    parser.add_argument("--small", action="store_true", help="volumes of 256, planes of 4096")
    args = parser.parse_args()
    for name in args.names:
        print(ensure(name, args.folder, small=args.small), flush=True)


if __name__ == "__main__":
    main()
