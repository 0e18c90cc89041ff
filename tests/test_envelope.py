"""An envelope: the smallest and the largest sample of each window as two series that share the base."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ziggurat as zg
from ziggurat import geometry
from ziggurat.problems import TargetExists

RNG = np.random.default_rng(8)
SIGNAL = RNG.standard_normal(1001).cumsum().astype(np.float32)


def extremes(base: np.ndarray, factors: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """By NumPy's reduceat over the base."""
    low = high = base
    for axis, f in enumerate(factors):
        starts = np.arange(0, base.shape[axis], f)
        low, high = np.fmin.reduceat(low, starts, axis=axis), np.fmax.reduceat(high, starts, axis=axis)
    return low, high


def check(location: str, base: np.ndarray, name: str) -> None:
    lower, upper = zg.open(location, multiscale=name), zg.open(location, multiscale=f"{name}_max")
    assert (lower.type, upper.type) == ("min", "max")
    assert [level.path for level in upper.levels] == [lower.levels[0].path, *(f"max/{level.path}" for level in lower.levels[1:])]
    assert [level.translation for level in lower.levels] == [level.translation for level in upper.levels]
    for a, b in zip(lower.levels, upper.levels, strict=True):
        cumulative = tuple(2**a.index for _ in base.shape)
        assert a.shape == b.shape == geometry.level_shape(base.shape, cumulative)
        low, high = extremes(base, cumulative)
        np.testing.assert_array_equal(a.array[...], low)
        np.testing.assert_array_equal(b.array[...], high)
    report = zg.check(location)
    assert report.ok, str(report)


@pytest.mark.parametrize("options", [{}, {"shards": 128}, {"layout": "multiscales@0.1"}, {"layout": "ome-zarr@0.4"}], ids=str)
def test_the_envelope_of_an_image_is_two_series_over_one_base(tmp_path: Path, options: dict[str, Any]) -> None:
    base = RNG.integers(0, 2**16, (150, 203), dtype=np.uint16)
    result = zg.build(base, tmp_path / "e.zarr", reduction="envelope", chunks=32, levels=4, name="e", **options)
    check(result.location, base, "e")
    assert result.n_chunk_writes == result.plan.n_chunk_writes == sum(level.n_chunks for level in result.plan.levels) * 2 - result.plan.levels[0].n_chunks
    assert result.n_chunk_reads == result.plan.n_chunk_reads == result.plan.levels[0].n_chunks


def test_the_envelope_of_a_signal_with_gaps(tmp_path: Path) -> None:
    signal = SIGNAL.copy()
    signal[100:200] = np.nan
    result = zg.build(signal, tmp_path / "s.zarr", reduction="envelope", chunks=64, levels=5, name="s", axes=["sample"], factors={"sample": 2})
    check(result.location, signal, "s")
    kwargs = json.loads(Path(result.location, "zarr.json").read_text(encoding="utf-8"))["attributes"]["multiscales"][1]["metadata"]["kwargs"]
    assert (kwargs["reduction"], kwargs["source"]) == ("max", "base")


def test_an_interrupted_envelope_goes_on_and_workers_make_the_same(tmp_path: Path) -> None:
    base = RNG.integers(0, 2**16, (150, 203), dtype=np.uint16)

    def stop(progress: Any) -> None:
        if progress.n_done == 20:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"reduction": "envelope", "chunks": 16, "levels": 4, "name": "e"}
    with pytest.raises(KeyboardInterrupt):
        zg.build(base, tmp_path / "e.zarr", progress=stop, **options)
    result = zg.build(base, tmp_path / "e.zarr", **options)
    assert result.n_resumed > 0
    check(result.location, base, "e")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        theirs = zg.build(base, tmp_path / "p.zarr", executor=pool, **options)
    check(theirs.location, base, "e")


def test_in_place_added_and_overwritten(tmp_path: Path) -> None:
    base = RNG.integers(0, 255, (90, 70), dtype=np.uint8)
    place = tmp_path / "g.zarr"
    zg.build(base, place, chunks=16, levels=3, name="g")
    zg.build(f"{place}/0", add=True, reduction="envelope", names="min/{k}", levels=3, name="e")
    assert [m.name for m in zg.list_multiscales(place)] == ["g", "e", "e_max"]
    with pytest.raises(TargetExists, match="a series is called 'e"):
        zg.build(f"{place}/0", add=True, reduction="envelope", names="other/{k}", levels=3, name="e")
    zg.build(f"{place}/0", overwrite=True, reduction="envelope", names="min/{k}", levels=3, name="e")
    assert [m.name for m in zg.list_multiscales(place)] == ["g", "e", "e_max"]
    low, high = extremes(base, (2, 2))
    np.testing.assert_array_equal(zg.open(place, multiscale="e").levels[1].array[...], low)
    np.testing.assert_array_equal(zg.open(place, multiscale="e_max").levels[1].array[...], high)


def test_an_envelope_has_shares_and_coverage(tmp_path: Path) -> None:
    base = RNG.integers(1, 255, (40, 40), dtype=np.uint8)
    base[:9, :9] = 0
    result = zg.build(base, tmp_path / "c.zarr", chunks=8, levels=3, reduction="envelope", nodata=0, min_valid=0.6, coverage=True, name="c")
    for name, other in (("c", "min"), ("c_max", "max")):
        single = zg.build(base, tmp_path / f"{other}.zarr", chunks=8, levels=3, reduction=other, nodata=0, min_valid=0.6, name="c")
        for a, b in zip(zg.open(result.location, multiscale=name).levels, zg.open(single.location).levels, strict=True):
            np.testing.assert_array_equal(a.array[...], b.array[...])
    assert [m.name for m in zg.list_multiscales(result.location)] == ["c", "c_max", "c_coverage"]
