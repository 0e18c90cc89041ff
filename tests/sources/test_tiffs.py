"""TIFF sources against tifffile's own reading; and what their metadata says."""

from __future__ import annotations

import math
import pickle
import struct
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import tifffile

from ziggurat.chunkio import AnyArray
from ziggurat.model import Axis
from ziggurat.problems import DocumentError, LimitError, NotFound, OptionError, StorageError, UnsupportedError, ZigguratError
from ziggurat.sources import Source, open_source, tiffs
from ziggurat.sources.tiffmeta import UNITS, axes_of

Whole = Callable[[Source], AnyArray]
Drawn = Callable[..., AnyArray]

KINDS: dict[str, tuple[tuple[int, ...], str, dict[str, Any]]] = {
    "plain": ((7, 300, 250), "u2", {}),
    "plain, big-endian": ((5, 100, 90), "f2", {"byteorder": ">"}),
    "plain, one page": ((100, 90), "c8", {}),
    "one axis": ((60,), "u1", {}),
    "bilevel": ((100, 90), "?", {}),
    "bilevel, packed": ((100, 90), "?", {"compression": "packbits"}),
    "BigTIFF of tiles, big-endian": ((7, 300, 250), "u2", {"bigtiff": True, "tile": (128, 128), "byteorder": ">"}),
    "tiles, zstd": ((7, 300, 250), "u2", {"tile": (64, 64), "compression": "zstd"}),
    "tiles, 64 bit": ((300, 250), "i8", {"tile": (64, 64)}),
    "tiles, float predictor": ((100, 90), "f4", {"tile": (32, 32), "compression": "zlib", "predictor": 3}),
    "tiles of one row": ((64, 90), "u1", {"tile": (16, 16), "compression": "lzw"}),
    "strips of 13 rows, predictor": ((7, 300, 250), "u2", {"compression": "zlib", "predictor": True, "rowsperstrip": 13}),
    "strips of 1 row": ((300, 250), "u2", {"compression": "lzw", "rowsperstrip": 1}),
    "strips of 600 rows, wide": ((1500, 1400), "u2", {"compression": "zlib", "rowsperstrip": 600}),
    "one strip": ((3, 300, 250), "u2", {"compression": "zlib", "rowsperstrip": 300}),
    "strips apart, not compressed": ((3, 300, 250), "u2", {"rowsperstrip": 7, "metadata": None, "align": 64}),
    "rgb, jpeg tiles": ((300, 250, 3), "u1", {"photometric": "rgb", "tile": (64, 64), "compression": "jpeg"}),
    "rgb, strips": ((300, 250, 3), "u1", {"photometric": "rgb", "compression": "zlib", "rowsperstrip": 32}),
    "rgb, plain": ((300, 250, 3), "u2", {"photometric": "rgb"}),
    "rgb planes, tiles": ((3, 300, 250), "u1", {"photometric": "rgb", "planarconfig": "separate", "tile": (64, 64)}),
    "rgb planes, strips": ((3, 300, 250), "u1", {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib", "rowsperstrip": 16}),
    "rgb volume": ((6, 60, 70, 3), "u1", {"photometric": "rgb", "compression": "zlib", "metadata": {"axes": "ZYXS"}}),
    "volumetric tiles": ((16, 64, 64), "u1", {"tile": (8, 32, 32), "volumetric": True, "compression": "zlib"}),
    "volumetric tiles, rgb, not whole": ((18, 50, 70, 3), "u1", {"tile": (16, 32, 32), "volumetric": True, "photometric": "rgb"}),
    "four axes without names": ((4, 5, 60, 70), "u1", {"compression": "zlib"}),
    "five axes": ((2, 3, 4, 70, 80), "u1", {"metadata": {"axes": "TZCYX"}, "compression": "zlib"}),
    "six axes": ((2, 1, 2, 3, 40, 50), "u1", {"metadata": {"axes": "QTZCYX"}, "compression": "zlib"}),
    "ImageJ hyperstack": ((2, 3, 2, 70, 80), "u2", {"imagej": True, "metadata": {"axes": "TZCYX"}}),
    "ImageJ, compressed": ((3, 70, 80), "u2", {"imagej": True, "compression": "zlib", "metadata": {"axes": "ZYX"}}),
}


def write(path: Path, array: AnyArray, **options: Any) -> None:
    """Writes planes as planes, even where there are three of them."""
    tifffile.imwrite(path, array, **({} if options.get("imagej") or array.ndim == 1 else {"photometric": "minisblack"}) | options)


@pytest.fixture(params=KINDS, ids=str)
def file(request: pytest.FixtureRequest, tmp_path: Path, drawn: Drawn) -> Path:
    """One file of each kind of storage."""
    shape, dtype, options = KINDS[request.param]
    options = dict(options)
    align = options.pop("align", None)
    path = tmp_path / "scan.tif"
    write(path, drawn(shape, dtype), **options)
    if align is not None:  # moves every strip, so that none follows the one before
        _spread_strips(path)
    return path


def _spread_strips(path: Path) -> None:
    """Copies every strip to the file's end with a gap after it, and points the directories there."""
    with tifffile.TiffFile(path, mode="r+") as tif:
        handle = tif.filehandle
        for page in tif.pages:
            offsets = []
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                handle.seek(offset)
                data = handle.read(count)
                handle.seek(0, 2)
                offsets.append(handle.tell())
                handle.write(data + b"\xaa" * 5)
            page.tags[273].overwrite(offsets)


def test_blocks_hold_what_tifffile_reads(file: Path, whole: Whole) -> None:
    expected = tifffile.imread(file)
    source = open_source(file)
    assert source.shape == expected.shape and source.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(whole(source), expected)
    message = pickle.dumps(source)
    assert len(message) < 4000
    np.testing.assert_array_equal(whole(pickle.loads(message)), expected)
    source.close()


def test_two_threads_read_the_same(tmp_path: Path, drawn: Drawn) -> None:
    array = drawn((6, 500, 600), "u2")
    tifffile.imwrite(tmp_path / "a.tif", array, tile=(128, 128), compression="zlib", predictor=True)
    source = open_source(tmp_path / "a.tif")
    grid = list(np.ndindex(*(-(-n // c) for n, c in zip(source.shape, source.chunks, strict=True))))
    gate = threading.Barrier(4)

    def read(part: int) -> None:
        gate.wait()
        for index in grid[part::2] if part < 2 else grid:
            block = np.zeros(source.chunks, source.dtype)
            source.read(index, block)
            at = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, source.chunks, strict=True))
            expected = array[at]
            np.testing.assert_array_equal(block[tuple(slice(0, n) for n in expected.shape)], expected)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(4)))


def test_only_the_tiles_of_a_block_are_decoded(tmp_path: Path, drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.tif", drawn((5, 1024, 2048), "u2"), tile=(512, 512), compression="zlib")
    source = open_source(tmp_path / "a.tif")
    assert source.chunks == (1, 512, 512)
    parts: list[int] = []
    original = source._files.part  # type: ignore[attr-defined]
    monkeypatch.setattr(source._files, "part", lambda file, offset, count: parts.append(count) or original(file, offset, count))  # type: ignore[attr-defined]
    source.read((2, 1, 3), np.zeros(source.chunks, source.dtype))
    assert len(parts) == 1


@pytest.mark.parametrize(
    ("options", "shape", "chunks"),
    [
        ({"tile": (256, 256), "compression": "zlib"}, (3, 1000, 900), (1, 512, 512)),
        ({"tile": (64, 64), "compression": "zlib"}, (3, 1000, 900), (1, 512, 512)),
        ({"compression": "zlib", "rowsperstrip": 8}, (3, 1000, 900), (1, 1024, 1024)),
        ({"compression": "zlib", "rowsperstrip": 8}, (1000, 9000), (64, 9216)),
        ({"compression": "zlib", "rowsperstrip": 13}, (1000, 4000), (256, 4096)),
        ({"compression": "zlib", "rowsperstrip": 1000}, (3, 1000, 900), (1, 1024, 1024)),
    ],
)
def test_blocks_are_whole_segments_of_about_a_megabyte(tmp_path: Path, options: dict[str, Any], shape: tuple[int, ...], chunks: tuple[int, ...]) -> None:
    write(tmp_path / "a.tif", np.zeros(shape, "u2"), **options)
    assert open_source(tmp_path / "a.tif").chunks == chunks


def test_missing_tiles_read_as_nodata_and_are_said_to_be_missing(tmp_path: Path) -> None:
    array = np.full((256, 256), 7, "i2")
    array[:128, 128:] = -9
    tags = [(42113, "s", 0, "-9", True)]
    tifffile.imwrite(tmp_path / "a.tif", array, tile=(128, 128), compression="zlib", extratags=tags)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tif:
        counts = list(tif.pages[0].databytecounts)
        counts[1] = 0
        tif.pages[0].tags[325].overwrite(counts)
    source = open_source(tmp_path / "a.tif")
    out = np.zeros(source.chunks, source.dtype)
    assert source.read((0, 0), out)
    np.testing.assert_array_equal(out, array)
    assert any("-9 means nodata" in note for note in source.info.notes)


def test_pages_of_which_nothing_is_stored_are_zero(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(header() + directory(image_tags(count=0)))
    source = open_source(tmp_path / "a.tif")
    out = np.ones(source.chunks, source.dtype)
    assert source.read((0, 0), out) is False
    assert not out[:4, :4].any()


# ------------------------------------------------------------------------------------------------------------- what it says


def ome(path: Path, array: AnyArray, **metadata: object) -> Path:
    tifffile.imwrite(path, array, ome=True, metadata=metadata, compression="zlib", tile=(32, 32))
    return path


def test_ome_sizes_and_units(tmp_path: Path, drawn: Drawn, whole: Whole) -> None:
    array = drawn((2, 3, 4, 70, 80), "u1")
    units = {"PhysicalSizeXUnit": "nm", "PhysicalSizeYUnit": "µm", "TimeIncrementUnit": "ms"}
    path = ome(tmp_path / "a.ome.tif", array, axes="TZCYX", PhysicalSizeX=100.0, PhysicalSizeY=0.1, PhysicalSizeZ=0.5, TimeIncrement=3.0, **units)
    source = open_source(path)
    assert source.info.scale == (3.0, 0.5, 1.0, 0.1, 100.0)
    assert source.info.axes == (
        Axis("t", "time", "millisecond"),
        Axis("z", "space", "micrometer"),
        Axis("c", "channel"),
        Axis("y", "space", "micrometer"),
        Axis("x", "space", "nanometer"),
    )
    assert source.info.name == "a" and source.info.notes == ()
    np.testing.assert_array_equal(whole(source), array)


def test_the_second_image_of_a_file_is_read_when_it_is_named(tmp_path: Path, drawn: Drawn, whole: Whole) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        tif.write(drawn((40, 50), "u1"), metadata={"axes": "YX", "PhysicalSizeX": 1.0}, compression="zlib")
        tif.write(drawn((3, 60, 70), "u2"), metadata={"axes": "ZYX", "PhysicalSizeX": 2.0}, compression="zlib")
    first, second = open_source(tmp_path / "a.ome.tif"), open_source(tmp_path / "a.ome.tif", path="1")
    assert first.shape == (40, 50) and any("holds 2 images" in note for note in first.info.notes)
    assert second.info.scale == (1.0, 1.0, 2.0)
    np.testing.assert_array_equal(whole(second), drawn((3, 60, 70), "u2"))
    np.testing.assert_array_equal(whole(pickle.loads(pickle.dumps(second))), drawn((3, 60, 70), "u2"))
    with pytest.raises(OptionError, match="image 2 was asked for, the file holds 2"):
        open_source(tmp_path / "a.ome.tif", path="2")


def test_only_the_base_of_a_file_with_levels_is_read(tmp_path: Path, drawn: Drawn, whole: Whole) -> None:
    array = drawn((2, 256, 320), "u1")
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        tif.write(array, subifds=2, tile=(64, 64), metadata={"axes": "ZYX"}, compression="zlib")
        tif.write(array[:, ::2, ::2], subfiletype=1, tile=(64, 64), compression="zlib")
        tif.write(array[:, ::4, ::4], subfiletype=1, tile=(64, 64), compression="zlib")
    source = open_source(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(whole(source), array)
    assert source.info.notes == ("the file holds 2 reduced levels of its own: they are left out",)


def test_overviews_in_the_main_chain_are_left_out(tmp_path: Path, drawn: Drawn, whole: Whole) -> None:
    array = drawn((256, 320), "u1")
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(array, tile=(64, 64), metadata=None)
        tif.write(array[::2, ::2], subfiletype=1, tile=(64, 64), metadata=None)
        tif.write(array[::4, ::4], subfiletype=1, tile=(64, 64), metadata=None)
    source = open_source(tmp_path / "a.tif")
    np.testing.assert_array_equal(whole(source), array)
    assert "2 reduced levels" in source.info.notes[0]


def test_companion_files_of_ome_are_read_as_one(tmp_path: Path, drawn: Drawn, whole: Whole) -> None:
    array = drawn((2, 40, 50), "u2")
    uuids = [f"urn:uuid:0000000{z}-0000-0000-0000-000000000000" for z in range(2)]
    data = "".join(f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="z{z}.ome.tif">{uuids[z]}</UUID></TiffData>' for z in range(2))
    for z in range(2):
        xml = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuids[z]}">'
            f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="50" SizeY="40" SizeZ="2" SizeC="1" SizeT="1">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / f"z{z}.ome.tif", array[z], description=xml, metadata=None, compression="zlib")
    for place in (tmp_path / "z0.ome.tif", tmp_path):
        source = open_source(place)
        assert source.shape == (2, 40, 50)
        np.testing.assert_array_equal(whole(source), array)
    (tmp_path / "z1.ome.tif").unlink()
    alone = open_source(tmp_path / "z0.ome.tif")
    assert alone.read((1, 0, 0), np.ones(alone.chunks, alone.dtype)) is False
    np.testing.assert_array_equal(whole(alone), [array[0], np.zeros_like(array[0])])
    assert any("z1.ome.tif" in note for note in alone.info.notes)


def test_imagej_sizes(tmp_path: Path, drawn: Drawn) -> None:
    array = drawn((2, 3, 70, 80), "u2")
    metadata = {"axes": "TZYX", "spacing": 1.5, "unit": "um", "finterval": 0.25}
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True, resolution=(4, 5), metadata=metadata)
    info = open_source(tmp_path / "a.tif").info
    assert info.scale == pytest.approx((0.25, 1.5, 0.2, 0.25))
    assert [axis.unit for axis in info.axes or ()] == ["second", "micrometer", "micrometer", "micrometer"]
    assert info.axes is not None and info.axes[1].provenance == "stated"


def test_imagej_pixels_are_no_unit(tmp_path: Path, drawn: Drawn) -> None:
    tifffile.imwrite(tmp_path / "a.tif", drawn((3, 70, 80), "u2"), imagej=True, resolution=(4, 5), metadata={"axes": "ZYX", "unit": "pixel"})
    assert open_source(tmp_path / "a.tif").info.scale is None


def test_equal_pages_are_z_and_said(tmp_path: Path, drawn: Drawn) -> None:
    write(tmp_path / "a.tif", drawn((3, 70, 80), "u2"), metadata=None)
    info = open_source(tmp_path / "a.tif").info
    assert [axis.name for axis in info.axes or ()] == ["z", "y", "x"]
    assert [axis.provenance for axis in info.axes or ()] == ["inferred", "stated", "stated"]
    assert any("taken as z" in note for note in info.notes)


def test_resolution_in_centimetres_counts_and_dots_per_inch_do_not(tmp_path: Path) -> None:
    image = np.zeros((5, 6), "u1")
    tifffile.imwrite(tmp_path / "a.tif", image, resolution=(1000, 500), resolutionunit="centimeter", metadata=None)
    info = open_source(tmp_path / "a.tif").info
    assert info.scale == (0.002, 0.001) and [axis.unit for axis in info.axes or ()] == ["centimeter", "centimeter"]
    tifffile.imwrite(tmp_path / "a.tif", image, resolution=(300, 300), resolutionunit="inch", metadata=None)
    assert open_source(tmp_path / "a.tif").info.scale is None


def geotiff(path: Path, *, raster_type: int, model: int = 1, tie: tuple[float, ...] = (0, 0, 0, 1000, 2000, 0), extra: tuple[object, ...] = ()) -> Path:
    keys = (1, 1, 0, 2, 1024, 0, 1, model, 1025, 0, 1, raster_type)
    tags = [(33550, "d", 3, (10.0, 20.0, 0.0), True), (33922, "d", 6, tie, True), (34735, "H", len(keys), keys, True), *extra]
    tifffile.imwrite(path, np.zeros((6, 5), "u1"), metadata=None, extratags=tags)
    return path


def test_geotiff_corners_become_centres(tmp_path: Path) -> None:
    info = open_source(geotiff(tmp_path / "a.tif", raster_type=1)).info
    assert info.scale == (-20.0, 10.0) and info.translation == (1990.0, 1005.0)
    assert [axis.unit for axis in info.axes or ()] == ["meter", "meter"]


def test_geotiff_points_are_centres_already(tmp_path: Path) -> None:
    info = open_source(geotiff(tmp_path / "a.tif", raster_type=2, model=2, tie=(1, 2, 0, 1000, 2000, 0))).info
    assert info.scale == (-20.0, 10.0) and info.translation == (2040.0, 990.0)
    assert [axis.unit for axis in info.axes or ()] == ["degree", "degree"]


def test_a_rotated_geotiff_is_noted(tmp_path: Path) -> None:
    matrix = (7.0, 7.0, 0, 100, 7.0, -7.0, 0, 200, 0, 0, 0, 0, 0, 0, 0, 1)
    keys = (1, 1, 0, 1, 1024, 0, 1, 1)
    tags = [(34264, "d", 16, matrix, True), (34735, "H", len(keys), keys, True)]
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((6, 5), "u1"), metadata=None, extratags=tags)
    info = open_source(tmp_path / "a.tif").info
    assert info.scale is None and any("rotated" in note for note in info.notes)


def test_every_letter_becomes_an_axis_once() -> None:
    assert [a.name for a in axes_of("TZCYXS")[0] or ()] == ["t", "z", "c", "y", "x", "s"]
    assert axes_of("IQYX")[0] is None and axes_of("YXQ")[0] is None and axes_of("ZIYX")[0] is None
    assert all(word == word.lower() for word in UNITS)


def test_nothing_is_printed_or_logged_by_the_parser(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((300, 250), "u1"), compression="zlib", rowsperstrip=13, description="<OME")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tif:
        tif.pages[0].tags[278].overwrite(500)
    open_source(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")


# ------------------------------------------------------------------------------------------------------------------ slices


def test_a_folder_of_slices_is_one_stack_in_natural_order(tmp_path: Path, drawn: Drawn, whole: Whole) -> None:
    array = drawn((11, 70, 80), "u2")
    for k, plane in enumerate(array):
        options: dict[str, Any] = [{}, {"compression": "zlib"}, {"tile": (32, 32)}, {"byteorder": ">"}][k % 4]
        tifffile.imwrite(tmp_path / f"slice{k}.tif", plane, resolution=(1e4, 1e4), resolutionunit="centimeter", **options)
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "._slice0.tif").write_bytes(b"x")
    for place in (tmp_path, str(tmp_path) + "/", str(tmp_path / "slice*.tif"), str(tmp_path / "slice[0-9]*.tif")):
        source = open_source(place)
        np.testing.assert_array_equal(whole(source), array)
        np.testing.assert_array_equal(whole(pickle.loads(pickle.dumps(source))), array)
    assert [axis.name for axis in source.info.axes or ()] == ["z", "y", "x"]
    assert source.info.notes[0] == "11 files in natural order, slice0.tif to slice10.tif: taken as z"
    assert source.info.name == "slice" and open_source(tmp_path).info.name == tmp_path.name
    assert source.info.scale == (1.0, 1e-4, 1e-4)


def test_more_files_than_may_be_open_are_read(tmp_path: Path, drawn: Drawn, whole: Whole) -> None:
    array = drawn((70, 20, 20), "u1")
    for k, plane in enumerate(array):
        tifffile.imwrite(tmp_path / f"{k}.tif", plane)
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    source = open_source(tmp_path)
    np.testing.assert_array_equal(whole(source), array)
    if before:
        assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_volumes_in_a_folder_are_moments(tmp_path: Path, drawn: Drawn, whole: Whole) -> None:
    array = drawn((3, 4, 30, 40), "u1")
    for k, volume in enumerate(array):
        tifffile.imwrite(tmp_path / f"{k}.tif", volume, imagej=True, metadata={"axes": "ZYX"})
    source = open_source(tmp_path)
    assert [axis.name for axis in source.info.axes or ()] == ["t", "z", "y", "x"]
    np.testing.assert_array_equal(whole(source), array)


def test_unlike_slices_are_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a1.tif", np.zeros((4, 5), "u1"))
    tifffile.imwrite(tmp_path / "a2.tif", np.zeros((4, 6), "u1"))
    with pytest.raises(DocumentError, match=r"a2\.tif: shape \(4, 6\), expected \(4, 5\) as in a1\.tif"):
        open_source(tmp_path)
    tifffile.imwrite(tmp_path / "a2.tif", np.zeros((4, 5), "u2"))
    with pytest.raises(DocumentError, match=r"a2\.tif: dtype uint16, expected uint8"):
        open_source(tmp_path)


def test_folders_and_patterns_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"no Zarr array or group and holds no TIFF slices"):
        open_source(tmp_path)
    with pytest.raises(NotFound, match="no file matches"):
        open_source(tmp_path / "*.tif")


def test_slices_that_changed_are_not_opened_again(tmp_path: Path) -> None:
    for k in range(3):
        tifffile.imwrite(tmp_path / f"{k}.tif", np.zeros((4, 5), "u1"))
    message = pickle.dumps(open_source(tmp_path))
    tifffile.imwrite(tmp_path / "3.tif", np.zeros((4, 5), "u1"))
    with pytest.raises(StorageError, match="changed"):
        pickle.loads(message)


# ----------------------------------------------------------------------------------------------------- broken and hostile files


def header(*, big: bool = False, first: int = 8) -> bytes:
    return b"II+\0\x08\0\0\0" + struct.pack("<Q", first) if big else b"II*\0" + struct.pack("<I", first)


def entry(code: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHII", code, kind, count, value)


def directory(entries: list[bytes], following: int = 0) -> bytes:
    return struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", following)


def image_tags(*, width: int = 4, length: int = 4, offset: int = 0, count: int = 16, **more: int) -> list[bytes]:
    tags = {256: width, 257: length, 258: 8, 259: 1, 262: 1, 273: offset, 277: 1, 278: more.pop("rows", length), 279: count}
    tags.update({int(k[1:]): v for k, v in more.items()})
    return [entry(code, 4, 1, value) for code, value in sorted(tags.items())]


HOSTILE: dict[str, tuple[bytes, str]] = {
    "directory that follows itself": (header() + directory(image_tags(), 8), "loop"),
    "two directories that follow each other": (header() + directory(image_tags(), 122) + directory(image_tags(), 8), "loop"),
    "first directory past the end": (header(first=10**6), "cut off"),
    "first directory of a BigTIFF past the end": (header(big=True, first=2**62), "cut off"),
    "no directory": (header(first=0), "without an image"),
    "header alone": (b"II*\0", "cut off"),
    "too many entries": (header() + struct.pack("<H", 60000) + b"\0" * 100, "60,000 entries"),
    "entries past the end": (header() + struct.pack("<H", 9) + b"\0" * 20, "cut off"),
    "huge size": (header() + directory(image_tags(width=2**31 - 1, length=2**31 - 1, offset=8)), "decodes to"),
    "samples in the header": (header() + directory(image_tags(offset=4)), "at bytes 4 to 20"),
    "huge size, compressed": (header() + directory(image_tags(width=2**31 - 1, length=2**31 - 1, offset=8, t259=8)), "decodes to"),
    "samples past the end": (header() + directory(image_tags(offset=10**6)), "cut off"),
    "width of zero": (header() + directory(image_tags(width=0)), "."),
    "tag value past the end": (header() + directory([*image_tags()[:-3], entry(273, 4, 10**6, 10**8), entry(277, 4, 1, 1), entry(279, 4, 10**6, 10**8)]), "."),
    "unknown codec": (header() + directory(image_tags(offset=8, t259=64999)), "."),
    "samples of 3 bits and float": (header() + directory(image_tags(offset=8, t258=3, t339=3)), "."),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_directories_are_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    data, words = HOSTILE[name]
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    with pytest.raises((DocumentError, UnsupportedError, StorageError), match=words) as caught:
        source = open_source(path)
        source.read((0,) * len(source.shape), np.zeros(source.chunks, source.dtype))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_file_cut_off_while_it_was_copied_is_refused(tmp_path: Path, drawn: Drawn) -> None:
    path = tmp_path / "a.tif"
    kinds: list[dict[str, Any]] = [{}, {"compression": "zlib"}, {"tile": (32, 32)}]
    for options in kinds:
        write(path, drawn((3, 100, 100), "u2"), **options)
        data = path.read_bytes()
        for part in (0.2, 0.5, 0.9):
            path.write_bytes(data[: int(len(data) * part)])
            with pytest.raises((DocumentError, StorageError)):
                source = open_source(path)
                for index in np.ndindex(*(-(-n // c) for n, c in zip(source.shape, source.chunks, strict=True))):
                    source.read(index, np.zeros(source.chunks, source.dtype))


def test_a_broken_tile_is_named(tmp_path: Path, drawn: Drawn) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, drawn((256, 256), "u2"), tile=(128, 128), compression="zlib")
    with tifffile.TiffFile(path) as tif:
        offset, count = tif.pages[0].dataoffsets[2], tif.pages[0].databytecounts[2]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = b"\x55" * count
    path.write_bytes(data)
    source = open_source(path)
    with pytest.raises(StorageError, match=r"tile or strip 2 cannot be decoded"):
        source.read((0, 0), np.zeros(source.chunks, source.dtype))


@pytest.mark.parametrize(
    "declaration", ['<!DOCTYPE OME [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>', '<!DOCTYPE OME SYSTEM "file:///etc/passwd">', "<!entity x 'y'>"]
)
def test_xml_with_entities_is_refused(tmp_path: Path, declaration: str) -> None:
    xml = f'<?xml version="1.0"?>{declaration}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image/></OME>'
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), "u1"), description=xml, metadata=None)
    with pytest.raises(DocumentError, match=r"declares <!(DOCTYPE|ENTITY)"):
        open_source(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["../other.ome.tif", "/etc/other.ome.tif", "C:\\other.ome.tif", "..\\other.ome.tif", "file:///etc/a.tif"])
def test_companions_outside_of_the_folder_are_not_followed(tmp_path: Path, name: str) -> None:
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        'DimensionOrder="XYZCT" Type="uint8" SizeX="5" SizeY="4" SizeZ="1" SizeC="1" SizeT="1"><TiffData IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:2</UUID></TiffData></Pixels></Image></OME>'
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((4, 5), "u1"), description=xml, metadata=None)
    with pytest.raises(DocumentError, match="outside of its own folder"):
        open_source(tmp_path / "a.ome.tif")


def test_xml_of_unreasonable_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ziggurat.sources.tiffguard.MAX_XML_BYTES", 1000)
    ome(tmp_path / "a.ome.tif", np.zeros((4, 5), "u1"), axes="YX", Name="x" * 2000)
    with pytest.raises(LimitError, match="expected at most 1,000"):
        open_source(tmp_path / "a.ome.tif")


def test_a_tile_that_decodes_to_too_much_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((512, 512), "u2"), tile=(512, 512), compression="zlib")
    monkeypatch.setattr(tiffs, "MAX_BLOCK_BYTES", 500_000)
    with pytest.raises(LimitError, match="one tile or strip decodes to 524,288 bytes"):
        open_source(tmp_path / "a.tif")


def damage(data: bytes, random: Random) -> bytes:
    """Changes up to four bytes, mostly where directories are, and sometimes cuts the file off."""
    broken = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(min(len(broken), 400)) if random.random() < 0.7 else random.randrange(len(broken))
        broken[at] = random.choice((0, 1, 127, 255, random.randrange(256)))
    return bytes(broken[: random.randrange(len(broken))] if random.random() < 0.1 else broken)


@pytest.mark.parametrize("n_files", [200, pytest.param(5000, marks=pytest.mark.prove)])
def test_damaged_files_raise_what_is_documented_or_are_read(tmp_path: Path, drawn: Drawn, n_files: int, record_property: Callable[[str, object], None]) -> None:
    random, path, outcomes = Random(5), tmp_path / "a.tif", Counter[str]()
    kinds: list[dict[str, Any]] = [
        {},
        {"tile": (16, 16), "compression": "zlib"},
        {"compression": "lzw", "rowsperstrip": 7, "predictor": True},
        {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.1}},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"bigtiff": True, "byteorder": ">"},
    ]
    whole_files = []
    for options in kinds:
        write(path, drawn((3, 40, 50), "u2"), **options)
        whole_files.append(path.read_bytes())
    for _ in range(n_files):
        path.write_bytes(damage(random.choice(whole_files), random))
        try:
            source = open_source(path)
            if math.prod(source.chunks) < 2**24 and source.info.array.n_chunks < 1000:
                block = np.zeros(source.chunks, source.dtype)
                for index in np.ndindex(*(-(-n // c) for n, c in zip(source.shape, source.chunks, strict=True))):
                    source.read(index, block)
            source.close()
            outcomes["read"] += 1
        except ZigguratError as error:
            assert "\n" not in str(error)
            outcomes[type(error).__name__] += 1
    record_property("damaged files", dict(outcomes))
    assert outcomes["read"] > n_files / 4 and outcomes["DocumentError"] > n_files / 8
