"""xcube levels: a folder that is no group, links on request, coordinates as they are stated, and what is written reads back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import ziggurat as zg
from tests.layouts.fixtures import FIXTURES
from tests.layouts.written import made_up, stored
from ziggurat import layouts
from ziggurat.layouts import Linking, Writing
from ziggurat.model import Multiscale
from ziggurat.node import loads
from ziggurat.problems import LayoutError, NotFound
from ziggurat.validation import check_node

BY_ID = {fixture.id: fixture for fixture in FIXTURES}


def test_coordinates_are_read_as_they_are_stated() -> None:
    (multiscale,) = layouts.read(BY_ID["xcube@1.0/good/first"].node()).multiscales
    assert [level.scale for level in multiscale.levels] == [(4.0, -0.5, 0.25), (4.0, -1.0, 0.5), (4.0, -2.0, 1.0)]
    assert {level.translation for level in multiscale.levels} == {(0.0, 50.0, 7.5)}
    assert [(a.name, a.kind, a.unit) for a in multiscale.axes][1:] == [("lat", "space", "degrees_north"), ("lon", "space", "degrees_east")]
    assert multiscale.type == "first" and multiscale.name == "chl"


def test_a_mean_at_a_corner_sample_is_told_with_both_numbers() -> None:
    report = check_node(BY_ID["xcube@1.0/broken/XC007-means-at-corners"].node())
    assert "begin 0 base samples from the base's first; the middle of the first block lies at 0.5" in report.problems[0].message


@pytest.mark.parametrize("name", ["first", "means-in-their-place"])
def test_writing_back_what_was_read_changes_nothing(name: str) -> None:
    fixture = BY_ID[f"xcube@1.0/good/{name}"]
    multiscales = layouts.read(fixture.node()).multiscales
    written = layouts.find("xcube").write(multiscales, version="1.0", existing={})
    data = fixture.node().file(".zlevels")
    assert data is not None and json.dumps(written.files[".zlevels"]) == json.dumps(loads(data, ""))
    assert "" not in written.attributes and written.consolidated == ("0.zarr", "1.zarr", "2.zarr")
    assert {path: list(small.values) for path, small in written.arrays.items()} == fixture.values


def plane(*, first: bool = False) -> Multiscale:
    return replace(made_up((33, 41), names="yx", first=first), type="mean", name="chl")


@pytest.mark.parametrize("first", [False, True])
def test_what_is_written_reads_back_to_the_last_digit(first: bool) -> None:
    multiscale = plane(first=first)
    node = stored("xcube", [multiscale], zarr_format=2, group=False)
    assert node.kind == "folder"
    (again,) = layouts.read(node).multiscales
    assert [(x.scale, x.translation, x.path) for x in again.levels] == [(x.scale, x.translation, f"{k}.zarr/chl") for k, x in enumerate(multiscale.levels)]
    assert (again.axes, again.name, again.type) == (multiscale.axes, "chl", "mean")
    assert {p.rule for p in check_node(node)} == ({"XC007"} if first else set())


def test_other_sizes_are_refused() -> None:
    levels = plane().levels
    with pytest.raises(LayoutError, match="xcube has no other levels"):
        layouts.find("xcube").write([replace(plane(), levels=(levels[0], levels[2]))], version="1.0", existing={})
    layout = layouts.find("xcube")
    assert isinstance(layout, Writing) and isinstance(layout, Linking) and layout.containers("1.0") == ("zarr2",)


def test_a_level_elsewhere_becomes_a_link() -> None:
    base, *rest = plane().levels
    paths = layouts.find("xcube").paths(plane(), version="1.0")  # type: ignore[attr-defined]
    levels = tuple(replace(level, path=path) for level, path in zip((replace(base, location="/data/scan.zarr/chl"), *rest), paths, strict=True))
    written = layouts.find("xcube").write([replace(plane(), levels=levels)], version="1.0", existing={})
    assert written.files["0.link"] == "/data/scan.zarr"
    assert isinstance(spec := written.files[".zlevels"], dict) and spec["base_dataset_path"] == "/data/scan.zarr"
    assert not [path for path in (*written.arrays, *written.attributes) if path.startswith("0.")]


def folder_of(root: Path, *, linked: bool, spec: bool = True, link_name: str = "0.link", link: str = "../base.zarr\n") -> list[np.ndarray]:
    """Writes levels of picked samples that tell their own place, each with `Dataset.to_zarr`."""
    samples = []
    y, x = 50.0 - 0.5 * np.arange(9), 7.5 + 0.25 * np.arange(16)
    for k in range(3):
        lat, lon = y[:: 2**k], x[:: 2**k]
        samples.append(lat[:, None] * 100 + lon)
        place = root.parent / "base.zarr" if k == 0 and linked else root / f"{k}.zarr"
        coords = {"lat": lat, "lon": lon}
        xr.Dataset({"chl": (("lat", "lon"), samples[-1]), "crs": ((), 0)}, coords=coords).to_zarr(place, zarr_format=2)
    if linked:
        (root / link_name).write_text(link)
    if spec:
        (root / ".zlevels").write_text(json.dumps({"version": "1.0", "num_levels": 3, "agg_methods": {"chl": "first"}}))
    return samples


@pytest.mark.parametrize(
    "case",
    [
        {"linked": False},
        {"linked": False, "spec": False},
        {"linked": True},
        {"linked": True, "link_name": "0.lnk", "link": "base.zarr"},
    ],
    ids=str,
)
def test_every_sample_is_in_its_place(tmp_path: Path, case: dict[str, object]) -> None:
    root = tmp_path / "cube.levels"
    samples = folder_of(root, **case)  # type: ignore[arg-type]
    pyramid = zg.open(root, allow_links=bool(case["linked"]))
    assert pyramid.layout == "xcube@1.0" and len(pyramid.levels) == 3
    for view, theirs in zip(pyramid.levels, samples, strict=True):
        assert np.array_equal(np.asarray(view.array), theirs)
        lat, lon = (t + s * np.arange(n) for s, t, n in zip(view.scale, view.translation, view.shape, strict=True))
        assert np.abs(lat[:, None] * 100 + lon - theirs).max() == 0
    assert zg.check(root, allow_links=bool(case["linked"])).ok


def test_links_are_followed_only_when_allowed_and_never_in_circles(tmp_path: Path) -> None:
    root = tmp_path / "cube.levels"
    folder_of(root, linked=True)
    report = zg.check(root)
    assert [p.rule for p in report if p.requirement == "MUST"] == ["XC006"] and "allow_links=True" in report.problems[0].message
    with pytest.raises(NotFound, match="a pyramid cannot do without its base"):
        zg.open(root)
    for target in ("../cube.levels", "https://example.org/base.zarr", "/nowhere", "\0", ""):
        (root / "0.link").write_text(target)
        assert "XC006" in {p.rule for p in zg.check(root, allow_links=True)}, target
    (root / "0.link").write_bytes(b"\xff\xfe")
    assert "XC006" in {p.rule for p in zg.check(root, allow_links=True)}


def test_coordinates_behind_a_link_and_above_a_level_are_those_of_their_own_folder(tmp_path: Path) -> None:
    root = tmp_path / "cube.levels"
    folder_of(root, linked=True)
    assert zg.open(root, allow_links=True).levels[0].translation == (50.0, 7.5)
    folder_of(tmp_path / "b.levels", linked=False)
    pyramid = zg.open(tmp_path / "b.levels" / "1.zarr" / "chl")
    assert pyramid.layout == "xcube@1.0" and pyramid.levels[1].scale == (-1.0, 0.5)
