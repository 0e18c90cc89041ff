"""TIFF files as pyramids: overviews, SubIFDs, side files, scanners' levels; placed at true size ratios, guarded against broken files."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

import ziggurat as zg
from tests.layouts.fixtures import FIXTURES
from ziggurat import layouts
from ziggurat.cli import run
from ziggurat.model import Multiscale
from ziggurat.problems import DocumentError, LayoutError, OptionError, StorageError, ZigguratError

AREA, POINT = 1, 2


def geo_tags(registration: int, x: float, y: float) -> list[tuple[int, str, int, Any, bool]]:
    """GeoTIFF tags of pixels of 10 x 20 m in UTM 33N whose first pixel is tied to (x, y)."""
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, registration, 3072, 0, 1, 32633)
    return [(33550, "d", 3, (10.0, 20.0, 0.0), True), (33922, "d", 6, (0.0, 0.0, 0.0, x, y, 0.0), True), (34735, "H", len(keys), keys, True)]


def ramp(shape: tuple[int, int], step: float) -> NDArray[np.float64]:
    """Samples that are the x coordinate of their own centre."""
    return np.broadcast_to(300000.0 + step * (np.arange(shape[1]) + 0.5), shape).copy()


def geotiff(path: Path, *, registration: int = AREA, masks: bool = False, n_overviews: int = 2, extra: tuple[Any, ...] = ()) -> Path:
    corner = (300000.0, 5000000.0) if registration == AREA else (300005.0, 4999990.0)
    with tifffile.TiffWriter(path) as writer:
        tags = [*geo_tags(registration, *corner), *extra]
        writer.write(ramp((96, 128), 10.0), tile=(32, 32), extratags=tags, metadata=None, compression="deflate")
        if masks:
            writer.write(np.ones((96, 128), bool), subfiletype=4, photometric="mask", metadata=None)
        for k in range(1, n_overviews + 1):
            writer.write(ramp((96 >> k, 128 >> k), 10.0 * 2**k), tile=(32, 32), subfiletype=1, metadata=None, compression="deflate")
        if masks:
            writer.write(np.ones((48, 64), bool), subfiletype=5, photometric="mask", metadata=None)
    return path


def by_facts(name: str) -> Multiscale:
    node = next(f for f in FIXTURES if f.layout == "tiff@6.0" and f.name == name).node()
    return layouts.read(node).multiscales[0]


# --- the pure layout ----------------------------------------------------------------------------------------------------------


def test_levels_share_the_corners_of_the_full_image_at_the_true_ratio() -> None:
    found = by_facts("geotiff")
    corners = [[t - s / 2 for s, t in zip(level.scale or (), level.translation or (), strict=True)] for level in found.levels]
    far = [[t + s * (n - 0.5) for s, t, n in zip(m.scale or (), m.translation or (), m.array.shape if m.array else (), strict=True)] for m in found.levels]
    assert all(corner == pytest.approx([5000000.0, 300000.0], abs=1e-9) for corner in corners)
    assert all(edge == pytest.approx([5000000.0 - 301 * 20, 300000.0 + 405 * 10], abs=1e-9) for edge in far)
    assert [level.scale_provenance for level in found.levels] == ["stated", "derived", "derived"]
    assert found.extra["proj:code"] == "EPSG:32633" and found.levels[0].array is not None and found.levels[0].array.fill_value == 0


def test_area_and_point_of_one_raster_are_one_place() -> None:
    area, point = by_facts("geotiff"), by_facts("pixel-is-point")
    assert [(a.scale, a.translation) for a in area.levels] == [(a.scale, a.translation) for a in point.levels]


def test_a_matrix_that_turns_is_a_rotation_after_scale_and_translation() -> None:
    found = by_facts("rotated")
    assert found.world is not None
    for level, (h, w) in zip(found.levels, ((301, 405), (151, 203), (76, 102)), strict=True):
        y, x = np.array(found.world) @ np.array([t + s * (n - 0.5) for s, t, n in zip(level.scale or (), level.translation or (), (h, w), strict=True)])
        assert (x, y) == pytest.approx((8 * 405 - 6 * 301 + 300000.0, -6 * 405 - 8 * 301 + 5000.0))


def test_masks_are_paired_by_size_and_are_no_levels() -> None:
    found = by_facts("masks")
    assert [level.extra.get("mask") for level in found.levels] == ["1/0", "1/1", None]


def test_it_is_only_read() -> None:
    layout = layouts.find("tiff")
    assert "only read" in (layout.can_hold((), version="6.0") or "")
    with pytest.raises(LayoutError, match="only read"):
        layout.write((), version="6.0", existing={})


# --- files --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("registration", [AREA, POINT])
@pytest.mark.parametrize("masks", [False, True])
def test_a_ramp_in_overviews_lies_where_it_says(tmp_path: Path, registration: int, masks: bool) -> None:
    pyramid = zg.open(geotiff(tmp_path / "a.tif", registration=registration, masks=masks))
    assert [level.shape for level in pyramid.levels] == [(96, 128), (48, 64), (24, 32)]
    assert [axis.unit for axis in pyramid.axes] == ["meter", "meter"]
    for level in pyramid.levels:
        assert all(level.to_world((0, i))[1] == level.array[0, i] for i in range(level.shape[1]))
        assert level.extent[0] == (5000000.0, 5000000.0 - 96 * 20)
    assert zg.check(tmp_path / "a.tif").ok


def test_ome_tiff_subifds_are_levels_of_every_plane(tmp_path: Path) -> None:
    base = np.random.default_rng(9).integers(0, 4000, (3, 2, 64, 96), dtype=np.uint16)
    reduced = base[..., ::2, ::2]
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        metadata = {"axes": "ZCYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.2, "PhysicalSizeZ": 2.0}
        writer.write(base, subifds=1, tile=(32, 32), metadata=metadata)
        writer.write(reduced, subfiletype=1, tile=(32, 32))
    pyramid = zg.open(tmp_path / "a.ome.tif")
    assert [axis.name for axis in pyramid.axes] == ["z", "c", "y", "x"]
    assert pyramid.levels[1].scale == (2.0, 1.0, 0.4, 0.2) and pyramid.levels[1].translation == (0.0, 0.0, 0.1, 0.05)
    assert np.array_equal(pyramid.levels[0].array[1:, :, 5:40, 30:], base[1:, :, 5:40, 30:])
    assert np.array_equal(np.asarray(pyramid.levels[1].array), reduced)
    assert np.array_equal(pickle.loads(pickle.dumps(pyramid.levels[1].array))[...], reduced)


def test_a_side_file_with_bands_in_another_order_is_turned(tmp_path: Path) -> None:
    base = np.random.default_rng(3).integers(0, 255, (64, 96, 4), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", base, tile=(32, 32), photometric="rgb", extrasamples=(0,), metadata=None)
    with tifffile.TiffWriter(tmp_path / "a.tif.ovr") as writer:
        for k in (2, 4):
            bands = np.moveaxis(base[::k, ::k], -1, 0)
            writer.write(bands, tile=(32, 32), planarconfig="separate", photometric="minisblack", subfiletype=1, metadata=None, volumetric=False)
    pyramid = zg.open(tmp_path / "a.tif")
    assert [level.path for level in pyramid.levels] == ["0/0", "ovr/0", "ovr/1"]
    for level, k in zip(pyramid.levels, (1, 2, 4), strict=True):
        assert np.array_equal(np.asarray(level.array), base[::k, ::k])
        assert np.array_equal(level.array[3:7, ::-1, 1:3], base[::k, ::k][3:7, ::-1, 1:3])
    again = pickle.loads(pickle.dumps(pyramid.levels[2].array))
    assert np.array_equal(again[...], base[::4, ::4])


def test_a_whole_slide_has_levels_of_ratios_that_are_not_whole(tmp_path: Path) -> None:
    base = np.random.default_rng(3).integers(0, 255, (259, 387, 3), dtype=np.uint8)
    text = "Aperio Image Library v1.0\n387x259 [0,0 387x259] (64x64)|AppMag = 20|MPP = 0.5"
    with tifffile.TiffWriter(tmp_path / "a.svs") as writer:
        for k, samples in enumerate((base, base[::8, ::8], base[:256:4, :384:4])):
            tile = {"tile": (64, 64)} if k != 1 else {}
            writer.write(samples, photometric="rgb", description=text, metadata=None, compression="deflate", **tile)
    slide, thumbnail = zg.list_multiscales(tmp_path / "a.svs")
    assert (slide.name, thumbnail.name) == ("Baseline", "Thumbnail")
    assert slide.levels[1].scale == pytest.approx((0.5 * 259 / 64, 0.5 * 387 / 96, 1.0)) and slide.axes[0].unit == "micrometer"


def test_several_images_are_several_multiscales_with_names(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "two.ome.tif") as writer:
        for k, name in enumerate(("nuclei", "membranes")):
            samples = np.full((64, 64 + 16 * k), k, np.uint8)
            writer.write(samples, subifds=1, tile=(32, 32), metadata={"axes": "YX", "Name": name})
            writer.write(samples[::2, ::2], subfiletype=1, tile=(32, 32))
    pyramid = zg.open(tmp_path / "two.ome.tif", multiscale="membranes")
    assert len(pyramid) == 2 and pyramid.levels[0].shape == (64, 80) and pyramid.levels[1].array[0, 0] == 1
    with pytest.raises(OptionError, match="'nuclei'"):
        zg.open(tmp_path / "two.ome.tif", multiscale="cells")


def test_one_level_opens_too_and_info_says_what_could_be_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    geotiff(tmp_path / "one.tif", n_overviews=0)
    assert len(zg.open(tmp_path / "one.tif")) == 1
    assert run(["info", str(tmp_path / "one.tif")]) == 0
    bare = capsys.readouterr().out
    assert "96 x 128" in bare and "tiff@6.0" not in bare
    assert run(["info", str(geotiff(tmp_path / "three.tif"))]) == 0
    shown = capsys.readouterr().out
    assert "tiff@6.0" in shown and "24 x 32" in shown
    assert run(["check", str(tmp_path / "three.tif")]) == 0


# --- broken and hostile files -------------------------------------------------------------------------------------------------


def test_a_broken_side_file_is_reported_and_hides_nothing(tmp_path: Path) -> None:
    geotiff(tmp_path / "a.tif")
    (tmp_path / "a.tif.ovr").write_bytes(b"II*\0" + struct.pack("<I", 10**6))
    pyramid = zg.open(tmp_path / "a.tif")
    assert len(pyramid) == 3
    assert [p.rule for p in zg.check(tmp_path / "a.tif")] == ["TIF001"]


def test_a_chain_that_is_a_loop_is_one_sentence(tmp_path: Path) -> None:
    path = geotiff(tmp_path / "a.tif")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        first = tif.pages.first.offset
    n_tags = struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, first + 2 + 12 * n_tags, first)
    path.write_bytes(data)
    with pytest.raises(DocumentError, match="the chain is a loop"):
        zg.open(path)


def test_an_xml_that_declares_entities_is_not_read(tmp_path: Path) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">&b;</OME>'
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((8, 8), np.uint8), description=bomb, metadata=None)
    with pytest.raises(DocumentError, match="DOCTYPE"):
        zg.open(tmp_path / "a.ome.tif")


def test_a_file_cut_anywhere_raises_nothing_but_the_tree(tmp_path: Path) -> None:
    data = geotiff(tmp_path / "a.tif").read_bytes()
    rng = np.random.default_rng(5)
    place = tmp_path / "b.tif"
    for _ in range(80):
        broken = bytearray(data[: rng.integers(8, len(data))] if rng.random() < 0.3 else data)
        for _ in range(rng.integers(0, 6)):
            broken[rng.integers(4, len(broken))] = rng.integers(0, 256)
        place.write_bytes(broken)
        try:
            for level in zg.open(place).levels:
                level.array[:4, :4]
        except (ZigguratError, StorageError):
            continue
