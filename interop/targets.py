"""Writes what the matrix reads: every format times three images, built by ziggurat, with the truth computed by numpy alone.

python interop/targets.py FOLDER      # writes FOLDER/<format>/<image>.zarr and FOLDER/truth.json
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

AnyArray = NDArray[Any]
Step = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Image:
    """One image: odd sizes on purpose, so that every level ends in partial windows."""

    axes: str
    shape: tuple[int, ...]
    dtype: str
    ladder: tuple[Step, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]

    def samples(self) -> AnyArray:
        """Returns values that tell places apart; floats are multiples of 1/64, so that their means are exact in float64."""
        rng = np.random.default_rng(len(self.shape))
        ramp = sum(np.arange(n).reshape([-1 if k == axis else 1 for k in range(len(self.shape))]) * (axis + 1) for axis, n in enumerate(self.shape))
        values = np.asarray(ramp) + rng.integers(0, 100, self.shape)
        return (values / 64 if self.dtype.startswith("float") else values).astype(self.dtype)


IMAGES: Mapping[str, Image] = MappingProxyType(
    {
        "2-D uint16": Image("yx", (203, 101), "uint16", ((2, 2), (2, 2)), (64, 64), (128, 128), (0.5, 0.25), (10.0, -3.0)),
        "3-D float32": Image("zyx", (61, 67, 45), "float32", ((1, 2, 2), (2, 3, 3)), (32, 32, 32), (64, 64, 64), (2.0, 0.65, 0.65), (0.0, 0.0, 0.0)),
        "5-D uint8": Image(
            "tczyx",
            (2, 3, 9, 47, 53),
            "uint8",
            ((1, 1, 2, 2, 2), (1, 1, 2, 2, 2)),
            (1, 1, 8, 32, 32),
            (1, 1, 16, 64, 64),
            (1.0, 1.0, 0.4, 0.1, 0.1),
            (0.0, 0.0, 0.0, 0.0, 0.0),
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Format:
    """One column of the matrix."""

    layout: str
    zarr_format: int
    sharded: bool = False
    holds_scale: bool = True


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "0.1, v2": Format("multiscales@0.1", 2, holds_scale=False),
        "0.1, v3": Format("multiscales@0.1", 3, holds_scale=False),
        "0.1, v3 sharded": Format("multiscales@0.1", 3, sharded=True, holds_scale=False),
        "0.4, v2": Format("ome-zarr@0.4", 2),
        "0.5, v3": Format("ome-zarr@0.5", 3),
        "0.5, v3 sharded": Format("ome-zarr@0.5", 3, sharded=True),
    }
)


def folder_name(text: str) -> str:
    return text.replace(", ", "-").replace(" ", "-")


def mean_from_base(base: AnyArray, factors: Step) -> AnyArray:
    """Returns the block mean of cumulative `factors`, partial windows averaged over what is there, integers half to even."""
    sums = base.astype(np.int64 if base.dtype.kind in "iu" else np.float64)
    counts = np.ones((1,) * base.ndim, np.int64)
    for axis, (n, f) in enumerate(zip(base.shape, factors, strict=True)):
        sums = np.add.reduceat(sums, np.arange(0, n, f), axis=axis)
        sizes = np.minimum(f, n - np.arange(0, n, f))
        counts = counts * sizes.reshape([-1 if k == axis else 1 for k in range(base.ndim)])
    means = sums / counts
    return (np.rint(means) if base.dtype.kind in "iu" else means).astype(base.dtype)


def truth(image: Image, form: Format) -> list[dict[str, Any]]:
    """Returns what a reader must see, level by level, without asking ziggurat."""
    base = image.samples()
    levels = []
    for k in range(len(image.ladder) + 1):
        factors = tuple(math.prod(step[axis] for step in image.ladder[:k]) for axis in range(base.ndim))
        samples = mean_from_base(base, factors)
        levels.append(
            {
                "shape": list(samples.shape),
                "sha256": hashlib.sha256(np.ascontiguousarray(samples, samples.dtype.newbyteorder("<")).tobytes()).hexdigest(),
                "scale": [s * f for s, f in zip(image.scale, factors, strict=True)] if form.holds_scale else None,
                "translation": [t + s * (f - 1) / 2 for s, t, f in zip(image.scale, image.translation, factors, strict=True)] if form.holds_scale else None,
            }
        )
    return levels


def write(path: Path, image: Image, form: Format) -> None:
    """Builds one target with ziggurat. Zarr v2 in the founding layout is made in place, beside a base that zarr-python wrote."""
    import zarr

    import ziggurat as zg

    said: dict[str, Any] = {"reduction": "mean", "factors": [list(step) for step in image.ladder], "layout": form.layout, "axes": image.axes}
    said["levels"] = len(image.ladder) + 1
    if form.holds_scale:
        said |= {"scale": image.scale, "translation": image.translation, "unit": "micrometer"}
    if form.layout == "multiscales@0.1" and form.zarr_format == 2:
        group = zarr.create_group(path, zarr_format=2)
        array = group.create_array("0", shape=image.shape, dtype=image.dtype, chunks=image.chunks, attributes={"_ARRAY_DIMENSIONS": list(image.axes)})
        array[...] = image.samples()
        zg.build(path / "0", **said)
        return
    zg.build(image.samples(), path, chunks=image.chunks, shards=image.shards if form.sharded else None, **said)


def write_all(folder: Path, *, formats: Sequence[str] = tuple(FORMATS)) -> dict[str, dict[str, Any]]:
    """Writes every target; returns (and stores) the truth by format and image."""
    answer: dict[str, dict[str, Any]] = {}
    for name, title in itertools.product(formats, IMAGES):
        path = folder / folder_name(name) / f"{folder_name(title)}.zarr"
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, IMAGES[title], FORMATS[name])
        answer.setdefault(name, {})[title] = {"path": str(path), "levels": truth(IMAGES[title], FORMATS[name])}
    (folder / "truth.json").write_text(json.dumps(answer, indent=1))
    return answer


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
