"""Builds into layouts of other communities: levels where they want them, coordinates, documents of arrays, consolidated copies, files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

import ziggurat as zg
from ziggurat.problems import LayoutError, OptionError

SAMPLES = (np.arange(12 * 64 * 64) % 251).astype(np.uint8).reshape(12, 64, 64)
SAID = {"axes": "zyx", "levels": 3, "chunks": (4, 16, 16), "scale": {"z": 2.0, "y": 0.5, "x": 0.5}, "translation": {"y": 10.0}, "factors": {"y": 2, "x": 2}}
BASES = {"itk": "a", "datatree": "scale0/a", "xcube": "0.zarr/a", "cosem": "s0", "geozarr": "0"}


@pytest.mark.parametrize("layout", BASES)
def test_a_build_is_what_a_conversion_writes(tmp_path: Path, layout: str) -> None:
    zg.build(SAMPLES, tmp_path / "a", layout=layout, **SAID)  # type: ignore[arg-type]
    zg.build(SAMPLES, tmp_path / "ome.zarr", layout="ome-zarr@0.4", name="a", **SAID)  # type: ignore[arg-type]
    report = zg.check(tmp_path / "a")
    assert report.ok and not [p for p in report.problems if p.requirement == "SHOULD" and p.rule != "COS009"], report
    found, truth = zg.open(tmp_path / "a"), zg.open(tmp_path / "ome.zarr")
    assert found.multiscale.layout.partition("@")[0] == layout and found.levels[0].path == BASES[layout]
    horizontal = slice(1, 3) if layout == "geozarr" else slice(0, 3)  # it has no words for z
    for level, other in zip(found, truth, strict=True):
        assert level.scale[horizontal] == other.scale[horizontal] and level.translation[horizontal] == other.translation[horizontal]
        np.testing.assert_array_equal(np.asarray(level.array), np.asarray(other.array))


@pytest.mark.parametrize(("layout", "groups"), [("datatree", ("scale0", "scale2")), ("xcube", ("0.zarr", "2.zarr")), ("itk", ("", "level_2.zarr"))])
def test_xarray_opens_every_level_in_its_place(tmp_path: Path, layout: str, groups: tuple[str, str]) -> None:
    zg.build(SAMPLES, tmp_path / "a", layout=layout, **SAID)  # type: ignore[arg-type]
    for k, group in zip((0, 2), groups, strict=True):
        with xarray.open_zarr(tmp_path / "a" / group, consolidated=layout != "datatree") as data:
            step = 0.5 * 4 ** min(k, 1)
            np.testing.assert_allclose(data["y"].values[:2], [10 + (step - 0.5) / 2, 10 + (step - 0.5) / 2 + step])
            assert data["a"].dims == ("z", "y", "x")


def test_geozarr_has_its_consolidated_copy(tmp_path: Path) -> None:
    zg.build(SAMPLES, tmp_path / "a", layout="geozarr", **SAID)  # type: ignore[arg-type]
    group = zarr.open_group(tmp_path / "a", mode="r", use_consolidated=True)
    assert sorted(group.array_keys()) == ["0", "1", "2"]


def test_what_a_layout_cannot_say_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="xcube has no other levels"):
        zg.build(SAMPLES[:, :60], tmp_path / "a", layout="xcube", **{**SAID, "factors": {"y": 3, "x": 3}})  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="names: cosem wants s0, s1, s2; leave names out"):
        zg.build(SAMPLES, tmp_path / "a", layout="cosem", names="G{k}", **SAID)  # type: ignore[arg-type]
    with pytest.raises(LayoutError, match="precomputed is read, and never written"):
        zg.build(SAMPLES, tmp_path / "a", layout="precomputed", **SAID)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []
    group = zarr.open_group(tmp_path / "b.zarr", mode="w", zarr_format=2)
    group.create_array("raw", data=SAMPLES, chunks=(4, 16, 16))
    with pytest.raises(LayoutError, match="datatree wants the base at 'scale0/"):
        zg.build(tmp_path / "b.zarr" / "raw", layout="datatree", axes="zyx", levels=2)
    assert sorted(group.array_keys()) == ["raw"]
