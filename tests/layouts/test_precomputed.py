"""Neuroglancer precomputed, written by tensorstore: placement by corners, samples by our reader and by tensorstore's."""

from __future__ import annotations

import gzip
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorstore

import ziggurat as zg
from tests.layouts.ramps import means
from ziggurat import geometry, layouts
from ziggurat.chunkio import read_region
from ziggurat.node import DictNode
from ziggurat.problems import DocumentError, MissingExtra, StorageError
from ziggurat.sources import open_source

RESOLUTION, OFFSET, SIZE = (8, 8, 40), (4, 16, 2), (36, 20, 10)
"""Along x, y, z."""
STEPS = ((1, 1, 1), (2, 2, 1), (4, 4, 2))
SHARDING = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "preshift_bits": 1,
    "minishard_bits": 2,
    "shard_bits": 2,
    "hash": "identity",
    "minishard_index_encoding": "gzip",
    "data_encoding": "gzip",
}


def write(folder: Path, samples: np.ndarray, *, kind: str = "image", **scale: object) -> list[np.ndarray]:
    """Writes `(c, z, y, x)` samples and their levels by tensorstore; returns the levels as tensorstore holds them."""
    held = []
    for step in STEPS:
        factors = (1, *step[::-1])
        level = (means(samples, factors) if kind == "image" else samples[tuple(slice(None, None, f) for f in factors)]).astype(samples.dtype)
        metadata = {
            "size": list(level.shape[:0:-1]),
            "resolution": [r * f for r, f in zip(RESOLUTION, step, strict=True)],
            "voxel_offset": [o // f for o, f in zip(OFFSET, step, strict=True)],
            "chunk_size": [8, 8, 4],
            **scale,
        }
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{folder}/"},
            "create": True,
            "multiscale_metadata": {"type": kind, "data_type": samples.dtype.name, "num_channels": samples.shape[0]},
            "scale_metadata": metadata,
        }
        store = tensorstore.open(spec).result()
        store[...] = level.T
        held.append(np.asarray(store.read().result()).T)
    return held


def noise(dtype: str = "uint16", n_channels: int = 1) -> np.ndarray:
    return np.random.default_rng(8).integers(0, 200, (n_channels, *SIZE[::-1])).astype(dtype)


def test_a_ramp_lies_where_its_corners_say(tmp_path: Path) -> None:
    centres = [(np.arange(n) + o + 0.5) * r for n, o, r in zip(SIZE, OFFSET, RESOLUTION, strict=True)]
    x, y, z = np.meshgrid(*centres, indexing="ij")
    write(tmp_path, (x + 1024 * y + 2.0**20 * z).T[None].astype("uint32"), encoding="raw")
    pyramid = zg.open(tmp_path)
    assert pyramid.layout == "precomputed@1" and [axis.name for axis in pyramid.axes] == ["z", "y", "x"]
    assert {axis.unit for axis in pyramid.axes} == {"nanometer"}
    for level in pyramid.levels:
        grids = np.meshgrid(*(np.arange(n) * s + t for n, s, t in zip(level.shape, level.scale, level.translation, strict=True)), indexing="ij")
        assert np.array_equal(np.asarray(level.array), grids[2] + 1024 * grids[1] + 2.0**20 * grids[0])
    assert zg.check(tmp_path).ok_strict


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize(
    ("dtype", "kind", "scale"),
    [
        ("uint16", "image", {"encoding": "raw"}),
        ("int8", "image", {"encoding": "raw"}),
        ("float32", "image", {"encoding": "raw"}),
        ("uint64", "segmentation", {"encoding": "compressed_segmentation", "compressed_segmentation_block_size": [4, 4, 4]}),
        ("uint32", "segmentation", {"encoding": "raw", "sharding": SHARDING}),
        ("uint8", "image", {"encoding": "jpeg"}),
    ],
    ids=lambda value: value["encoding"] + "-sharded" * ("sharding" in value) if isinstance(value, dict) else str(value),
)
def test_samples_are_those_of_tensorstore(dtype: str, kind: str, scale: dict[str, object], n_channels: int, tmp_path: Path) -> None:
    if "sharding" in scale:
        scale = {**scale, "chunk_size": [8, 8, 4]}
    held = write(tmp_path, noise(dtype, n_channels), kind=kind, **scale)
    pyramid = zg.open(tmp_path)
    assert len(pyramid) == len(STEPS) and pyramid.multiscale.kind == ("labels" if kind == "segmentation" else "image")
    for level, theirs in zip(pyramid.levels, held, strict=True):
        found = np.asarray(level.array)
        assert found.dtype == dtype and found.tobytes() == np.ascontiguousarray(theirs if n_channels > 1 else theirs[0]).tobytes()


def test_chunks_that_are_missing_gzipped_or_of_another_size(tmp_path: Path) -> None:
    samples = noise()
    write(tmp_path, samples, encoding="raw")
    first = zg.open(tmp_path).levels[0]
    key = tmp_path / first.path / "4-12_16-24_2-6"
    key.with_name(f"{key.name}.gz").write_bytes(gzip.compress(key.read_bytes()))
    key.unlink()
    assert np.array_equal(np.asarray(zg.open(tmp_path).levels[0].array), samples[0])
    key.with_name(f"{key.name}.gz").unlink()
    assert not np.asarray(zg.open(tmp_path).levels[0].array)[:4, :8, :8].any()
    key.write_bytes(b"short")
    with pytest.raises(StorageError, match=r"4-12_16-24_2-6: chunk \(0, 0, 0\) has 5 bytes, its place 512"):
        np.asarray(zg.open(tmp_path).levels[0].array)


@pytest.mark.parametrize("encoding", ["compressed_segmentation", "jpeg"])
def test_gzipped_chunks_of_other_encodings(encoding: str, tmp_path: Path) -> None:
    """As CloudVolume leaves them in folders; tensorstore alone takes them for chunks that are not there."""
    kind, more = ("segmentation", {"compressed_segmentation_block_size": [4, 4, 4]}) if encoding != "jpeg" else ("image", {})
    held = write(tmp_path, noise("uint32" if kind == "segmentation" else "uint8"), kind=kind, encoding=encoding, **more)
    paths = [level.path for level in zg.open(tmp_path).levels]
    for file in (file for path in paths for file in sorted((tmp_path / path).iterdir())):
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    for level, theirs in zip(zg.open(tmp_path).levels, held, strict=True):
        assert theirs.any() and np.array_equal(np.asarray(level.array), theirs[0])
    (tmp_path / paths[0] / "4-12_16-24_2-6.gz").write_bytes(b"no gzip")
    with pytest.raises(StorageError, match=r"4-12_16-24_2-6\.gz: chunk \(0, 0, 0\) cannot be decoded"):
        np.asarray(zg.open(tmp_path).levels[0].array)


def test_levels_are_built_on_a_volume(tmp_path: Path) -> None:
    samples = noise("uint8")
    write(tmp_path / "in", samples, kind="segmentation", encoding="raw")
    source = open_source(tmp_path / "in")
    assert source.info.kind == "labels" and {stamp for _, stamp in source.info.stamps}.isdisjoint({"absent"})
    assert np.array_equal(read_region(pickle.loads(pickle.dumps(source)), [slice(None)] * 3), samples[0])
    zg.build(tmp_path / "in", tmp_path / "out.zarr", factors=2, levels=2)
    built = zg.open(tmp_path / "out.zarr")
    assert np.array_equal(np.asarray(built.levels[0].array), samples[0])
    assert built.levels[0].scale == (40.0, 8.0, 8.0) and built.levels[0].translation == (100.0, 132.0, 36.0)


def test_other_encodings_name_their_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, noise("uint8"), encoding="jpeg")
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    with pytest.raises(MissingExtra, match=r"'jpeg' need tensorstore; install it with: pip install 'ziggurat\[neuroglancer\]'"):
        np.asarray(zg.open(tmp_path).levels[0].array)


def test_chunkings_of_one_scale_are_multiscales() -> None:
    info = {
        "type": "image",
        "data_type": "uint8",
        "num_channels": 1,
        "scales": [
            {"key": "a", "size": [64, 64, 64], "resolution": [1, 1, 1], "chunk_sizes": [[64, 64, 64], [64, 64, 1]], "encoding": "raw"},
            {"key": "b", "size": [32, 32, 32], "resolution": [2, 2, 2], "chunk_sizes": [[32, 32, 32]], "encoding": "raw"},
        ],
    }
    cubes, slices = layouts.read(DictNode({"info": info})).multiscales  # type: ignore[dict-item]
    assert [level.path for level in cubes.levels] == ["a", "b"] and [level.path for level in slices.levels] == ["a"]
    assert layouts.choose((cubes, slices), chunks_like=(1, 64, 64)) is slices


def test_places_are_computed_once_per_scale_whatever_the_number_of_chunkings(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[float] = []
    centre_of = geometry.centre_of
    monkeypatch.setattr(geometry, "centre_of", lambda corner, scale: counted.append(scale) or centre_of(corner, scale))
    n, m = 40, 30
    scales = [
        {"key": f"s{i}", "size": [90 - i] * 3, "resolution": [1 + i] * 3, "chunk_sizes": [[8, 8, 8 + j] for j in range(m)], "encoding": "raw"} for i in range(n)
    ]
    info = {"type": "image", "data_type": "uint8", "num_channels": 1, "scales": scales}
    found = layouts.read(DictNode({"info": info})).multiscales  # type: ignore[dict-item]
    assert len(found) == m and all(multiscale.n_levels == n for multiscale in found) and len(counted) == 3 * n
    assert {level.array.chunks for level in found[7].levels if level.array} == {(15, 8, 8)}


@pytest.mark.parametrize("text", ["{", '{"scales": [{}]}', '{"scales": {"a": 1}}', '{"scales": [null], "data_type": "uint8", "num_channels": 1}'])
def test_an_info_that_is_none_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "info").write_text(text)
    with pytest.raises(DocumentError):
        zg.open(tmp_path)
    other = json.dumps({"about": "a folder of somebody's"})
    assert layouts.detect(DictNode({"info": other.encode()})) == ()
