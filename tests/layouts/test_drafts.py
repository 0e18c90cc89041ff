"""Drafts of v0.1 and levels that nothing declares: read where they can be, told always, never taken without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

import ziggurat as zg
from tests.layouts.fixtures import FIXTURES
from ziggurat import layouts
from ziggurat.cli import run
from ziggurat.node import DictNode
from ziggurat.problems import LayoutError, NotFound

BY_NAME = {fixture.name: fixture for fixture in FIXTURES if fixture.layout.startswith(("multiscales-draft@", "viv@"))}


@pytest.mark.parametrize("name", ["DRF001-by-letter", "DRF001-on-the-arrays"])
def test_the_anisotropic_sketch_of_the_discussion_is_placed_as_it_says(name: str) -> None:
    (multiscale,) = layouts.read(BY_NAME[name].node()).multiscales
    assert [(axis.name, axis.unit) for axis in multiscale.axes] == [("z", "nm"), ("y", "nm"), ("x", "nm")]
    assert [(level.scale, level.translation) for level in multiscale.levels] == [((1, 1, 1), (0, 0, 0)), ((1, 2, 2), (0, 0.5, 0.5))]
    assert {level.scale_provenance for level in multiscale.levels} == {"stated"}


def test_grid_spacing_and_origin_are_step_and_first_centre() -> None:
    (multiscale,) = layouts.read(BY_NAME["DRF001-grid-spacing"].node()).multiscales
    assert [(level.path, level.scale, level.translation) for level in multiscale.levels] == [("s0", (4, 1, 1), (0, 0, 0)), ("s1", (4, 2, 2), (0, 0.5, 0.5))]


@pytest.mark.parametrize("name", ["DRF001-names", "DRF001-strings"])
def test_names_in_place_of_paths_are_read_and_placed_by_shape(name: str) -> None:
    (multiscale,) = layouts.read(BY_NAME[name].node()).multiscales
    assert multiscale.name == "a" and [level.scale for level in multiscale.levels] == [(1, 1, 1), (1, 2, 2)]
    assert {level.scale_provenance for level in multiscale.levels} == {"inferred"}


def test_drafts_are_never_written() -> None:
    with pytest.raises(LayoutError, match=r"only read; take multiscales@0\.1"):
        layouts.find("multiscales-draft").write((), version="2020", existing={})


def numbered(folder: Path, names: tuple[str, ...] = ("s0", "s1", "s2")) -> tuple[Path, dict[str, np.ndarray]]:
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    levels = {name: np.random.default_rng(k).integers(0, 99, (40 >> k, 32 >> k), dtype="u1") for k, name in enumerate(names)}
    for name, samples in levels.items():
        group.create_array(name, shape=samples.shape, chunks=(16, 16), dtype="u1", dimension_names=("y", "x"))[...] = samples
    return folder, levels


def test_numbered_arrays_open_only_when_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, levels = numbered(tmp_path / "a.zarr")
    with pytest.raises(NotFound, match=r"it may be bare@1 \(arrays 's0' and 's1' that become smaller, and no metadata\); say layout='bare@1'"):
        zg.open(place)
    pyramid = zg.open(place, layout="bare")
    assert [np.array_equal(level.array, levels[level.path]) for level in pyramid] == [True] * 3
    assert [level.scale for level in pyramid] == [(1, 1), (2, 2), (4, 4)] and pyramid.levels[2].translation == (1.5, 1.5)
    run(["info", str(place)])
    assert "it may be bare@1: look with --layout bare@1" in " ".join(capsys.readouterr().out.split())
    assert layouts.detect(DictNode({"zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": {"mine": 1}}})) == ()


def test_viv_samples_are_read(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "v.zarr", mode="w", zarr_format=2)
    rng = np.random.default_rng(4)
    levels = {path: rng.integers(0, 99, (48 >> k, 64 >> k), dtype="u2") for k, path in enumerate(("base", "sub-resolutions/01", "sub-resolutions/02"))}
    for path, samples in levels.items():
        group.create_array(path, shape=samples.shape, chunks=(16, 16), dtype="u2")[...] = samples
    pyramid = zg.open(tmp_path / "v.zarr")
    assert pyramid.layout == "viv@1" and [np.array_equal(level.array, levels[level.path]) for level in pyramid] == [True] * 3
    assert zg.open(tmp_path / "v.zarr/base").layout == "viv@1"
    assert {problem.rule for problem in pyramid.problems} == {"INF001"}
