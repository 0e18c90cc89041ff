"""Pictures and files of a pyramid: where samples come to lie, what others read, what is refused."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

import ziggurat as zg
from ziggurat.cli import run
from ziggurat.problems import OptionError, TargetExists
from ziggurat.pyramid.pictures import View, contact_sheet, drawn, picture

RNG = np.random.default_rng(77)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    samples = RNG.integers(0, 4000, (2, 3, 20, 64, 80), dtype=np.uint16)
    path = tmp_path_factory.mktemp("volume") / "v.zarr"
    zg.build(samples, path, axes="tczyx", scale={"z": 2, "y": 0.5, "x": 0.5}, unit="micrometer", levels=3)
    return path, samples


def gradient(path: Path, **options: object) -> zg.Pyramid:
    """A base whose samples are their own column, so that a picture tells where it took them."""
    zg.build(np.broadcast_to(np.arange(128, dtype=np.float32), (96, 128)).copy(), path, axes="yx", levels=4, **options)  # type: ignore[arg-type]
    return zg.open(path)


def test_a_tiff_keeps_samples_axes_and_sizes(volume: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    source, samples = volume
    target = zg.export(source, tmp_path / "a.tif", level=0)
    with tifffile.TiffFile(target) as file:
        assert file.series[0].axes == "TCZYX"
        np.testing.assert_array_equal(file.asarray(), samples)
        assert 'PhysicalSizeZ="2.0"' in file.ome_metadata
        assert 'PhysicalSizeXUnit="µm"' in file.ome_metadata
    part = zg.export(source, tmp_path / "part.tiff", level=0, region={"x": (10.0, 19.9), "y": (0, 5)}, at={"t": 1, "c": 2})
    found = tifffile.imread(part)
    pyramid = zg.open(source)
    box = pyramid.region({"x": (10.0, 19.9), "y": (0, 5)})
    np.testing.assert_array_equal(found, samples[(1, 2, *box[2:])])
    zg.build(target, tmp_path / "again.zarr")
    assert zg.open(tmp_path / "again.zarr").levels[0].scale == pyramid.levels[0].scale


@pytest.mark.parametrize("dtype", ["?", "i8", "u8", "f2", "f8", "c8"])
def test_a_tiff_of_every_dtype_or_a_sentence(tmp_path: Path, dtype: str) -> None:
    samples = (RNG.random((40, 50)) * 9).astype(dtype)
    zg.build(samples, tmp_path / "a.zarr", axes="yx", levels=2, reduction="stride")
    np.testing.assert_array_equal(tifffile.imread(zg.export(tmp_path / "a.zarr", tmp_path / "a.tif", level=0)), samples)


def test_a_png_is_the_plane_as_it_is(volume: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    source, samples = volume
    path = zg.export(source, tmp_path / "zx.png", level=0, plane=("z", "x"), at={"c": 1, "t": 1}, limits=(0, 4000))
    plane = samples[1, 1, :, 32, :]
    np.testing.assert_array_equal(np.squeeze(imagecodecs.png_decode(path.read_bytes())), np.rint(plane / 4000 * 255).astype(np.uint8))
    coloured = np.squeeze(imagecodecs.png_decode(zg.export(source, tmp_path / "c.png", level=1).read_bytes()))
    assert coloured.shape == (32, 40, 3)


def test_a_sample_of_the_base_is_found_at_every_level(volume: tuple[Path, np.ndarray]) -> None:
    pyramid = zg.open(volume[0])
    for level in pyramid.levels:
        factor = 20 / level.shape[2]
        view = View(at={"z": 17, "t": 0, "c": 0}, limits=(0, 4000))
        shown = picture(pyramid, level, view).pixels[..., 0]
        expected = level.array[0, 0, min(int(17 / factor), level.shape[2] - 1)]
        np.testing.assert_array_equal(shown, np.rint(expected / 4000 * 255).astype(np.uint8))


def test_every_level_is_drawn_where_it_lies(tmp_path: Path) -> None:
    pyramid = gradient(tmp_path / "g.zarr")
    for level in pyramid.levels:
        pixels = drawn(pyramid, (96, 128), View(limits=(0, 255)), level=level).pixels[0, :, 0].astype(int)
        assert np.abs(pixels - np.arange(128)).max() <= 2 ** (level.index - 1)  # half a sample of the level
    assert drawn(pyramid, (12, 16), View()).levels == (3,)
    assert drawn(pyramid, (96, 128), View()).levels == (0,)


def test_a_level_that_lies_elsewhere_is_seen_to(tmp_path: Path) -> None:
    honest = gradient(tmp_path / "g.zarr")
    document = (tmp_path / "g.zarr" / "zarr.json").read_text()
    (tmp_path / "g.zarr" / "zarr.json").write_text(document.replace("3.5", "11.5"))
    moved = zg.open(tmp_path / "g.zarr")
    assert moved.levels[3].translation == (11.5, 11.5)
    size, view = (96, 128), View(limits=(0, 255))
    there = drawn(honest, size, view, level=honest.levels[3]).pixels
    apart = drawn(moved, size, view, level=moved.levels[3]).pixels
    np.testing.assert_array_equal(apart[8:, 8:], there[:-8, :-8])
    assert not apart[:8, :, 3].any()


def test_maps_have_north_above(tmp_path: Path) -> None:
    import xarray as xr

    lat, lon = np.arange(-44.5, 45), np.arange(0.5, 90)
    field = xr.DataArray(np.repeat(lat[:, None], 90, 1).astype("f4"), dims=("lat", "lon"), coords={"lat": lat, "lon": lon})
    zg.build(field, tmp_path / "n.zarr", levels=2)
    for name, data in (("n.zarr", field), ("s.zarr", field[::-1])):
        if name == "s.zarr":
            zg.build(data, tmp_path / name, levels=2)
        pyramid = zg.open(tmp_path / name)
        shown = picture(pyramid, pyramid.levels[0], View()).pixels[:, 0, 0]
        assert shown[0] == 255
        assert shown[-1] == 0
        assert drawn(pyramid, (90, 90), View()).pixels[0, 0, 0] == 255
        europe = drawn(pyramid, (64, 64), View(region={"lat": (30, 40), "lon": (0, 20)}))
        assert europe.pixels.shape[:2] == (32, 64)


def test_a_sheet_shows_one_box_at_every_level(tmp_path: Path) -> None:
    pyramid = gradient(tmp_path / "g.zarr")
    sheet = contact_sheet(pyramid, View(limits=(0, 255)), size=64)
    assert sheet.levels == (0, 1, 2, 3)
    assert sheet.pixels.shape == (48 * 2 + 8, 64 * 2 + 8, 4)
    first, last = sheet.pixels[:48, :64, 0], sheet.pixels[-48:, -64:, 0]
    assert np.abs(first.astype(int) - last).max() <= 4


def test_a_signal_is_a_stripe(tmp_path: Path) -> None:
    zg.build(np.sin(np.arange(5000) / 100), tmp_path / "s.zarr", axes="t", factors={"t": 4}, levels=3)
    pyramid = zg.open(tmp_path / "s.zarr")
    assert drawn(pyramid, (32, 100), View()).pixels.shape[1] == 100
    assert tifffile.imread(zg.export(pyramid, tmp_path / "s.tif", level=2)).size == pyramid.levels[2].shape[0]


def test_what_is_too_large_for_a_picture_is_refused(tmp_path: Path) -> None:

    zg.build(np.zeros((64, 64), np.uint8), tmp_path / "small.zarr", axes="yx", levels=2)
    pyramid = zg.open(tmp_path / "small.zarr")
    with pytest.raises(OptionError, match="no samples there; say level= or region="):
        zg.export(pyramid, tmp_path / "a.png", region={"x": (1000, 2000)})
    from ziggurat.pyramid import pictures

    assert pictures.thumbnail(pyramid, (32, 32), max_bytes=16) is None
    assert not (tmp_path / "a.png").exists()


def test_bad_input_is_one_sentence(volume: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = volume[0]
    cases = [
        ({"target": tmp_path / "a.bmp"}, "found the ending '.bmp', expected .png, .tif, .tiff"),
        ({"level": 9}, "level=9: not there; the levels are 0, 1, 2"),
        ({"at": {"q": 0}}, "at: no axis 'q'; the axes are t, c, z, y, x"),
        ({"at": {"z": 20}}, "at: axis 'z': found sample 20, expected 0 to 19"),
        ({"plane": ("y", "q")}, "no axis 'q'"),
        ({"region": {"q": (0, 1)}}, "no axis 'q'"),
        ({"colormap": "jet", "at": {"c": 0}}, "colormap 'jet'"),
        ({"sheet": True, "level": 0}, "leave level= out"),
    ]
    for options, sentence in cases:
        target = options.pop("target", tmp_path / "a.png")  # type: ignore[attr-defined]
        with pytest.raises(OptionError, match=re.escape(sentence)):
            zg.export(source, target, **options)
    (tmp_path / "there.png").write_bytes(b"mine")
    with pytest.raises(TargetExists, match="is there already"):
        zg.export(source, tmp_path / "there.png")
    assert (tmp_path / "there.png").read_bytes() == b"mine"
    assert not list(tmp_path.glob(".*"))
    for arguments, sentence in (
        (("export", str(source), str(tmp_path / "there.png")), "say --overwrite"),
        (("export", str(source), str(tmp_path / "b.png"), "--region", "x=1"), "such as x=10:20.5"),
        (("show", str(source), "--limits", "3"), "such as 0,4095"),
        (("show", str(source), "--at", "3"), "such as t=0,z=12"),
        (("show", str(source), "--level", "7"), "the levels are 0, 1, 2"),
    ):
        assert run(arguments) == 2
        error = capsys.readouterr().err
        assert sentence in error
        assert "Traceback" not in error


def test_show_and_thumbnail_draw_in_the_terminal(volume: tuple[Path, np.ndarray], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "20")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert run(("show", str(volume[0]))) == 0
    out = capsys.readouterr().out
    assert "▀" in out
    assert "columns x" in out.splitlines()[-1]
    assert all(len(re.sub("\x1b\\[[0-9;]*m", "", line)) <= 40 for line in out.splitlines()[:-1])
    assert run(("info", str(volume[0]), "--thumbnail")) == 0
    assert "▀" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(("show", str(volume[0]))) == 0
    assert "▀" not in capsys.readouterr().out


def test_a_notebook_shows_the_coarsest_level(volume: tuple[Path, np.ndarray]) -> None:
    markup = zg.open(volume[0])._repr_html_()
    encoded = re.search(r'src="data:image/png;base64,([^"]+)"', markup)
    assert encoded is not None
    assert imagecodecs.png_decode(base64.b64decode(encoded[1])).shape[1] == 192
    assert "<script" not in markup
