"""DataTree: coordinates win over what repeats them, every variable is a multiscale, trees without a mark are read on request."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import ziggurat as zg
from tests.layouts.fixtures import FIXTURES
from tests.layouts.written import made_up, stored
from ziggurat import layouts
from ziggurat.layouts import Writing
from ziggurat.problems import LayoutError, NotFound
from ziggurat.validation import check_node

BY_ID = {fixture.id: fixture for fixture in FIXTURES}


@pytest.mark.parametrize("name", ["image", "image-v3"])
def test_coordinates_are_the_geometry(name: str) -> None:
    (multiscale,) = layouts.read(BY_ID[f"datatree@1/good/{name}"].node()).multiscales
    assert [level.scale for level in multiscale.levels] == [(2.0, 0.5, 0.25), (4.0, 1.0, 0.5), (8.0, 2.0, 1.0)]
    assert [level.translation for level in multiscale.levels] == [(10.0, -3.0, 7.5), (11.0, -2.75, 7.625), (13.0, -2.25, 7.875)]
    assert [(axis.name, axis.kind, axis.unit) for axis in multiscale.axes] == [(n, "space", "micrometer") for n in "zyx"]


def test_where_the_two_disagree_both_are_shown_and_the_coordinates_win() -> None:
    fixture = BY_ID["datatree@1/broken/DT007-translation"]
    result = layouts.read(fixture.node())
    assert result.multiscales[0].levels[2].translation == (13.0, -2.25, 7.875)
    assert result.problems[0].message == "axis 'z': a translation of 10, and the coordinates tell 13; the coordinates win"
    written = layouts.find("datatree").write(result.multiscales, version="1", existing=fixture.node().attributes)
    mended = written.attributes[""]["multiscales"][0]["datasets"]  # type: ignore[index, call-overload]
    assert mended[2]["coordinateTransformations"][1]["translation"] == [13.0, -2.25, 7.875]
    assert mended[:2] == fixture.node().attributes["multiscales"][0]["datasets"][:2]  # type: ignore[index, call-overload]
    (multiscale,) = layouts.read(BY_ID["datatree@1/broken/DT007-axes"].node()).multiscales
    assert [axis.name for axis in multiscale.axes] == ["z", "y", "x"]


def test_numbers_of_multiscales_are_used_where_there_are_no_coordinates() -> None:
    fixture = BY_ID["datatree@1/good/image"]
    documents = {key: value for key, value in fixture.documents.items() if "/image/" in key or key.startswith(".z")}
    result = layouts.read(replace(fixture, documents=documents, values={}).node())
    assert [level.translation for level in result.multiscales[0].levels] == [(10.0, -3.0, 7.5), (11.0, -2.75, 7.625), (13.0, -2.25, 7.875)]
    assert {level.translation_provenance for level in result.multiscales[0].levels} == {"stated"}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("first", [False, True])
def test_what_is_written_reads_back_to_the_last_digit(zarr_format: int, first: bool) -> None:
    multiscales = [made_up(first=first), made_up(first=first, name="b")]
    node = stored("datatree", multiscales, zarr_format=zarr_format)
    again = layouts.read(node).multiscales
    assert [[(x.scale, x.translation) for x in m.levels] for m in again] == [[(x.scale, x.translation) for x in m.levels] for m in multiscales]
    assert [[level.path for level in m.levels] for m in again] == [[f"scale{k}/{name}" for k in range(3)] for name in ("cells", "b")]
    assert [m.axes for m in again] == [m.axes for m in multiscales] and [m.name for m in again] == ["cells", "b"]
    assert [p.rule for p in check_node(node)] == []


def test_two_multiscales_share_their_coordinates_or_are_refused() -> None:
    with pytest.raises(LayoutError, match=r"'scale0/z'.*: two multiscales want different coordinates"):
        stored("datatree", [made_up(), made_up(shape=(9, 30, 41), name="b")], zarr_format=3)
    layout = layouts.find("datatree")
    assert isinstance(layout, Writing) and layout.containers("1") == ("zarr2", "zarr3")


def tree(folder: Path, zarr_format: int) -> dict[str, xr.Dataset]:
    """Writes a DataTree of two variables whose samples tell their own place."""
    levels = {}
    for k in range(3):
        y, x = (np.arange(n >> k) * s * 2**k + t + s * (2**k - 1) / 2 for n, s, t in ((16, 0.5, -3.0), (24, 0.25, 7.5)))
        ramp = y[:, None] * 100 + x
        time = np.array(["2020-01-01", "2020-01-03"], "datetime64[ns]")
        levels[f"scale{k}"] = xr.Dataset({"a": (("time", "y", "x"), np.stack([ramp, -ramp])), "b": (("y", "x"), ramp)}, coords={"time": time, "y": y, "x": x})
    xr.DataTree.from_dict(levels).to_zarr(folder, zarr_format=zarr_format, consolidated=zarr_format == 2)
    return levels


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_tree_without_a_mark_is_read_when_it_is_named(tmp_path: Path, zarr_format: int) -> None:
    levels = tree(tmp_path / "t.zarr", zarr_format)
    with pytest.raises(NotFound, match=r"it may be datatree@1 \(there is a group 'scale0'\); say layout='datatree@1'"):
        zg.open(tmp_path / "t.zarr")
    assert zg.list_multiscales(tmp_path / "t.zarr", layout="datatree")[0].name == "a"
    pyramid = zg.open(tmp_path / "t.zarr", layout="datatree", multiscale="b")
    for view, theirs in zip(pyramid.levels, levels.values(), strict=True):
        samples = np.asarray(view.array)
        assert np.array_equal(samples, theirs["b"].values)
        y, x = (t + s * np.arange(n) for s, t, n in zip(view.scale, view.translation, view.shape, strict=True))
        assert np.abs(y[:, None] * 100 + x - samples).max() == 0
    dated = zg.open(tmp_path / "t.zarr", layout="datatree", multiscale="a")
    assert dated.axes[0].unit == "days since 2020-01-01 00:00:00" and dated.levels[0].scale == (2.0, 0.5, 0.25)
    assert zg.check(tmp_path / "t.zarr", layout="datatree").ok
