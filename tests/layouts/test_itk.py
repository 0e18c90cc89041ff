"""ITK's layout: coordinates become geometry and back, directions are kept, and a store that xarray wrote opens with its samples in place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import ziggurat as zg
from tests.layouts.fixtures import FIXTURES
from tests.layouts.written import made_up, stored
from ziggurat import layouts
from ziggurat.layouts import Writing, itk
from ziggurat.problems import LayoutError
from ziggurat.validation import check_node

BY_ID = {fixture.id: fixture for fixture in FIXTURES}


def test_coordinates_are_the_geometry() -> None:
    (multiscale,) = layouts.read(BY_ID["itk@1/good/head"].node()).multiscales
    assert [level.scale for level in multiscale.levels] == [(2.0, 0.5, 0.25), (4.0, 1.0, 0.5), (8.0, 2.0, 1.0)]
    assert [level.translation for level in multiscale.levels] == [(10.0, -3.0, 7.5), (11.0, -2.75, 7.625), (13.0, -2.25, 7.875)]
    assert {level.scale_provenance for level in multiscale.levels} == {level.translation_provenance for level in multiscale.levels} == {"stated"}
    assert [(axis.name, axis.kind, axis.unit) for axis in multiscale.axes] == [("z", "space", "um"), ("y", "space", "um"), ("x", "space", "um")]
    assert multiscale.world is None and multiscale.name == "head"


def test_a_direction_is_kept_as_it_is() -> None:
    (multiscale,) = layouts.read(BY_ID["itk@1/good/turned"].node()).multiscales
    assert multiscale.world == ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    assert [axis.extra for axis in multiscale.axes] == [{"long_name": name} for name in "zyx"]
    for target in ("multiscales@0.1", "ome-zarr@0.5"):
        lost = layouts.find(target).write([replace(multiscale, raw={})], version=layouts.version_of(target), existing={}).lost
        assert "LOSS002" in {p.rule for p in lost}


def test_words_stay_with_an_axis_that_is_not_reduced() -> None:
    (multiscale,) = layouts.read(BY_ID["itk@1/good/colours-by-name"].node()).multiscales
    assert [level.coordinates for level in multiscale.levels] == [{"c": ("red", "green", "blue")}] * 3
    assert multiscale.axes[2].kind == "channel"
    again = layouts.read(stored("itk", [multiscale], zarr_format=2)).multiscales[0]
    assert [level.coordinates for level in again.levels] == [level.coordinates for level in multiscale.levels]


def test_irregular_axes_keep_their_coordinates_beside_a_line() -> None:
    (multiscale,) = layouts.read(BY_ID["itk@1/broken/ITK005-irregular"].node()).multiscales
    base = multiscale.levels[0]
    assert base.coordinates == {"z": (0, 1, 2, 4, 8, 16, 32, 64)}
    assert base.scale is not None and base.scale[0] == pytest.approx(64 / 7) and base.scale[1:] == (0.5, 0.25)
    (multiscale,) = layouts.read(BY_ID["itk@1/broken/ITK005-partial-window"].node()).multiscales
    assert multiscale.levels[0].scale == (2.0, 0.5, 0.25) and multiscale.levels[0].coordinates["z"][-1] == 13
    again = layouts.read(stored("itk", [multiscale], zarr_format=2)).multiscales[0]
    assert again.levels[0].coordinates == multiscale.levels[0].coordinates
    assert [(level.scale, level.translation) for level in again.levels] == [(level.scale, level.translation) for level in multiscale.levels]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("first", [False, True])
def test_what_is_written_reads_back_to_the_last_digit(zarr_format: int, first: bool) -> None:
    multiscale = replace(made_up(first=first), world=((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, -1.0)))
    node = stored("itk", [multiscale], zarr_format=zarr_format)
    (again,) = layouts.read(node).multiscales
    assert [(level.scale, level.translation) for level in again.levels] == [(level.scale, level.translation) for level in multiscale.levels]
    assert [level.path for level in again.levels] == ["cells", "level_1.zarr/cells", "level_2.zarr/cells"]
    assert (again.axes, again.name, again.world) == (multiscale.axes, "cells", multiscale.world)
    assert not [p for p in check_node(node) if p.requirement == "MUST"]


def test_one_image_only_and_its_names() -> None:
    layout = layouts.find("itk")
    assert isinstance(layout, Writing) and layout.containers("1") == ("zarr2", "zarr3")
    assert layout.paths(made_up(name="x", n_levels=2), version="1") == ("x_image", "level_1.zarr/x_image")
    lost = layout.write([made_up(), made_up(name="other")], version="1", existing={}, display={"channels": []}).lost
    assert [p.rule for p in lost] == ["LOSS006", "LOSS003"]
    with pytest.raises(LayoutError, match="no such version"):
        layout.write([], version="9", existing={})
    assert "each needs its own" in str(layout.can_hold([*made_up().axes, made_up().axes[0]], version="1"))


def write_as_xarray_does(folder: Path, base: np.ndarray, n_levels: int) -> list[xr.Dataset]:
    """Writes levels of block means with `Dataset.to_zarr`, one group each, and consolidates as issue #50 shows."""
    coordinates = {"z": 10.0 + 2.0 * np.arange(base.shape[0]), "y": -3.0 + 0.5 * np.arange(base.shape[1]), "x": 7.5 + 0.25 * np.arange(base.shape[2])}
    level = xr.Dataset({"head": (("z", "y", "x"), base, {"direction": np.eye(3).tolist(), "units": "um"})}, coords=coordinates)
    levels = []
    for k in range(n_levels):
        if k:
            level = level.coarsen(z=2, y=2, x=2).mean(keep_attrs=True)
        levels.append(level)
        level.to_zarr(folder if k == 0 else folder / f"level_{k}.zarr", mode="a", zarr_format=2, consolidated=True)
    zarr.open_group(folder, mode="a", zarr_format=2, use_consolidated=False).attrs.update(
        {"_MULTISCALE_LEVELS": ["", *(f"level_{k}.zarr" for k in range(1, n_levels))], "_SPATIAL_IMAGE": "head"}
    )
    zarr.consolidate_metadata(folder, zarr_format=2)
    return levels


def test_a_store_of_xarray_opens_with_every_sample_in_its_place(tmp_path: Path) -> None:
    z, y, x = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in (8, 12, 16)), indexing="ij")
    ramp = 10 + 2 * z + (-3 + 0.5 * y) * 100 + (7.5 + 0.25 * x) * 10_000  # each sample tells its own place
    levels = write_as_xarray_does(tmp_path / "head.zarr", ramp, 3)
    pyramid = zg.open(tmp_path / "head.zarr")
    assert pyramid.layout == "itk@1" and [p.rule for p in zg.check(tmp_path / "head.zarr")] == []
    for view, theirs in zip(pyramid.levels, levels, strict=True):
        samples = np.asarray(view.array)
        assert np.array_equal(samples, theirs["head"].values)
        grids = np.meshgrid(*(t + s * np.arange(n) for s, t, n in zip(view.scale, view.translation, view.shape, strict=True)), indexing="ij")
        assert np.abs(grids[0] + grids[1] * 100 + grids[2] * 10_000 - samples).max() == 0
    assert zg.open(tmp_path / "head.zarr" / "level_1.zarr" / "head").layout == "itk@1"


def test_dates_keep_their_numbers_and_say_what_they_count(tmp_path: Path) -> None:
    days = np.array(["2020-01-01", "2020-01-03", "2020-01-09"], "datetime64[ns]")
    for k, n in enumerate((8, 4)):
        dataset = xr.Dataset({"sst": (("time", "y", "x"), np.zeros((3, n, n)))}, coords={"time": days, "y": np.arange(n) * 2.0**k, "x": np.arange(n) * 2.0**k})
        dataset.to_zarr(tmp_path / "a" / (f"level_{k}" if k else ""), mode="a", zarr_format=2)
    zarr.open_group(tmp_path / "a", mode="a", use_consolidated=False).attrs.update({itk.LEVELS: ["", "level_1"], itk.IMAGE: "sst"})
    (multiscale,) = zg.list_multiscales(tmp_path / "a")
    assert (multiscale.axes[0].kind, multiscale.axes[0].unit) == ("time", "days since 2020-01-01 00:00:00")
    assert multiscale.levels[1].coordinates == {"time": (0.0, 2.0, 8.0)}
    assert multiscale.axes[0].extra == {"calendar": "proleptic_gregorian"}


def test_the_copy_in_the_group_of_a_level_is_judged_too(tmp_path: Path) -> None:
    zg.build(np.arange(64 * 64, dtype="uint16").reshape(64, 64), tmp_path / "built.zarr", axes="yx", levels=3, kind="image")
    zg.convert(tmp_path / "built.zarr", tmp_path / "itk.zarr", layout="itk", container="zarr2")
    assert zg.check(tmp_path / "itk.zarr").ok
    (copy,) = (path for path in (tmp_path / "itk.zarr").glob("*/.zmetadata") if "1" in path.parent.name)
    text = copy.read_text(encoding="utf-8")
    assert '"uint16"' in text or '"<u2"' in text
    copy.write_text(text.replace("<u2", "<u4"), encoding="utf-8")
    (found,) = (p for p in zg.check(tmp_path / "itk.zarr") if p.rule == "CON001")
    assert found.loc.startswith(f"{copy.parent.name}/.zmetadata")


@pytest.mark.parametrize(("layout", "held"), [("itk", {"name"}), ("xcube", {"name", "type"})])
def test_what_a_variable_or_agg_methods_say_is_not_reported_as_lost(layout: str, held: set[str], tmp_path: Path) -> None:
    zg.build(np.arange(64 * 64, dtype="uint16").reshape(64, 64), tmp_path / "scan.zarr", axes="yx", levels=3, kind="image")
    lost = {problem.loc.rpartition(".")[2] for problem in zg.convert(tmp_path / "scan.zarr", tmp_path / "other.levels", layout=layout).lost}
    source, target = zg.open(tmp_path / "scan.zarr"), zg.open(tmp_path / "other.levels")
    same = {key for key in ("name", "type") if getattr(source, key) == getattr(target, key)}
    assert same == held and lost & {"name", "type"} == {"name", "type"} - held
