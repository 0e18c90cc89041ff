"""A ramp stored by a layout's own rules: every sample says where it lies, so a wrong placement is a wrong sample."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ziggurat.chunkio import ArraySpec, Codec, FileStore, chunk_indices, chunk_region, padded
from ziggurat.pyramid import Pyramid
from ziggurat.storage import create_array
from ziggurat.storage.n5 import create_n5

WEIGHTS = (2.0**24, 2.0**12, 1.0)
"""One per axis of z, y, x: small dyadic coordinates, weighted so, are summed exactly in float64."""
Attributes = Mapping[str, object]


def ramp(shape: Sequence[int], scale: Sequence[float], translation: Sequence[float]) -> np.ndarray:
    """Returns the weighted world coordinate of every sample's centre."""
    total = np.zeros(tuple(shape))
    for axis, (n, s, t, weight) in enumerate(zip(shape, scale, translation, WEIGHTS[-len(shape) :], strict=True)):
        total += ((np.arange(n) * s + t) * weight).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return total


def means(samples: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """Returns block means, by reshaping; the shape is a multiple of the factors."""
    split = [k for n, f in zip(samples.shape, factors, strict=True) for k in (n // f, f)]
    return samples.reshape(split).mean(axis=tuple(range(1, 2 * samples.ndim, 2)))


def pyramid_of(shape: Sequence[int], scale: Sequence[float], translation: Sequence[float], steps: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Returns a ramp and its block means; `steps` are cumulative factors in C order, the first all ones."""
    base = ramp(shape, scale, translation)
    return [means(base, step) for step in steps]


def write_n5(folder: Path, groups: Mapping[str, Attributes], arrays: Mapping[str, tuple[np.ndarray, Attributes]]) -> Path:
    """Writes an N5 tree: attributes of groups, samples and attributes of datasets."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, attributes in groups.items():
        (folder / path).mkdir(parents=True, exist_ok=True)
        (folder / path / "attributes.json").write_text(json.dumps(attributes))
    store = FileStore(folder, durability="none")
    for path, (samples, attributes) in arrays.items():
        spec = ArraySpec(samples.shape, samples.dtype, tuple(min(n, 8) for n in samples.shape), codec=Codec("gzip"), attributes=attributes)  # type: ignore[arg-type]
        _fill(create_n5(store, path, spec), samples)
    return folder


def write_zarr2(folder: Path, groups: Mapping[str, Attributes], arrays: Mapping[str, tuple[np.ndarray, Attributes]]) -> Path:
    """Writes the same tree in Zarr v2."""
    for path, attributes in groups.items():
        (folder / path).mkdir(parents=True, exist_ok=True)
        (folder / path / ".zgroup").write_text('{"zarr_format": 2}')
        (folder / path / ".zattrs").write_text(json.dumps(attributes))
    store = FileStore(folder, durability="none")
    for path, (samples, attributes) in arrays.items():
        spec = ArraySpec(samples.shape, samples.dtype, tuple(min(n, 8) for n in samples.shape), zarr_format=2, attributes=attributes)  # type: ignore[arg-type]
        _fill(create_array(store, path, spec), samples)
    return folder


def _fill(writer: object, samples: np.ndarray) -> None:
    chunks = writer.chunks  # type: ignore[attr-defined]
    for index in chunk_indices(samples.shape, chunks):
        block = samples[chunk_region(index, chunks, samples.shape)]
        writer.write(index, padded(block, chunks, samples.dtype.type(0)))  # type: ignore[attr-defined]


def placement_error(pyramid: Pyramid) -> float:
    """Returns the largest difference between what a sample says and where its level says that it lies."""
    errors = []
    for level in pyramid.levels:
        expected = ramp(level.shape, level.scale, level.translation)
        errors.append(float(np.abs(np.asarray(level.array) - expected).max()))
    return max(errors)
