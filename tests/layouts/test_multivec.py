"""HiGlass zarr-multivec: bins of a genome, read where they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

import ziggurat as zg
from tests.layouts.fixtures import FIXTURES
from ziggurat import layouts
from ziggurat.problems import LayoutError


def test_a_ramp_of_sums_lies_at_the_centres_of_its_bins(tmp_path: Path) -> None:
    """Every base pair has its own place in the genome as its value, so that the mean of a bin is its centre."""
    offset, size = 1000, 210
    root = zarr.open_group(tmp_path / "tracks.multires.zarr", mode="w", zarr_format=2)
    datasets = []
    for step in (40, 20, 10):
        bases = np.pad(offset + np.arange(size) + 0.5, (0, -size % step))
        sums = bases.reshape(-1, step).sum(axis=1)
        root.create_array(f"chromosomes/chr2/{step}", shape=(2, len(sums)), chunks=(2, 8), dtype="float64")[...] = np.stack([sums, -sums])
        datasets.append({"path": f"chromosomes/chr2/{step}"})
    metadata = {"chromoffset": offset, "chromsize": size}
    root.attrs["multiscales"] = [{"version": "0.1", "name": "chr2", "type": "zarr-multivec", "datasets": datasets, "metadata": metadata}]
    pyramid = zg.open(tmp_path / "tracks.multires.zarr", multiscale="chr2")
    assert (pyramid.layout, pyramid.method, pyramid.type) == ("multivec@0.1", metadata, "zarr-multivec")
    assert [level.scale for level in pyramid.levels] == [(1.0, 10.0), (1.0, 20.0), (1.0, 40.0)]
    for level in pyramid.levels:
        step = level.scale[1]
        for i in range(size // int(step)):
            assert level.to_world((0, i))[1] == level.array[0, i] / step
    assert zg.check(tmp_path / "tracks.multires.zarr").ok


def test_each_chromosome_is_a_series_of_its_own_coarsest_first() -> None:
    node = next(f for f in FIXTURES if f.name == "two-chromosomes").node()
    found = layouts.read(node).multiscales
    assert [m.name for m in found] == ["chr1", "chrM"] and all(m.coarse_first for m in found)
    assert found[1].levels[0].path == "chromosomes/chrM/25" and found[1].levels[0].translation == (0.0, 100050 + 12.5)
    assert [e.layout for e in layouts.detect(node)] == ["multivec@0.1", "multiscales@0.1"]


def test_it_is_only_read() -> None:
    layout = layouts.find("multivec")
    assert "only read" in (layout.can_hold((), version="0.1") or "")
    with pytest.raises(LayoutError, match="only read"):
        layout.write((), version="0.1", existing={})
