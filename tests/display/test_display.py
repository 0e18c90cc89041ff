"""Planes, contrast, colours and PNG, each against what somebody else computes."""

from __future__ import annotations

import colorsys
import struct

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.display.blocks import half_blocks
from ziggurat.display.colours import COLORMAPS, colour_of, of_labels, table_of
from ziggurat.display.contrast import limits, window
from ziggurat.display.painting import Channel, Look, paint
from ziggurat.display.planes import choose_plane
from ziggurat.display.png import encode_png
from ziggurat.model import Axis
from ziggurat.problems import OptionError

RNG = np.random.default_rng(7)


def axes_of(names: str) -> list[Axis]:
    return [Axis(name) for name in names.split()]


@pytest.mark.parametrize(
    ("names", "shape", "rows", "columns", "channel", "picks"),
    [
        ("t c z y x", (3, 2, 9, 5, 5), "y", "x", "c", {"t": 0, "z": 4}),
        ("x y z", (9, 8, 7), "y", "x", None, {"z": 3}),
        ("time lat lon", (4, 9, 9), "lat", "lon", None, {"time": 0}),
        ("y x c", (9, 9, 3), "y", "x", "c", {}),
        ("c y x", (99, 9, 9), "y", "x", None, {"c": 0}),
        ("time", (50,), None, "time", None, {}),
        ("t x", (50, 9), "t", "x", None, {}),
        ("a b y x", (4, 6, 9, 9), "y", "x", None, {"a": 0, "b": 0}),
    ],
)
def test_the_usual_plane(names: str, shape: tuple[int, ...], rows: str | None, columns: str, channel: str | None, picks: dict[str, int]) -> None:
    axes = axes_of(names)
    plane = choose_plane(axes, shape)
    called = [None if i is None else axes[i].name for i in (plane.rows, plane.columns, plane.channel)]
    assert called == [rows, columns, channel]
    assert {axes[i].name: pick for i, pick in plane.picks} == picks
    block = np.empty(shape)[plane.index(slice(1, 3), slice(0, 4))].transpose(plane.order)
    expected = [shape[plane.channel]] if plane.channel is not None else []
    assert block.shape == (*expected, *([2] if rows else []), 4)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"plane": ("q", "x")}, "no axis 'q'; the axes are t, z, y, x"),
        ({"plane": ("x", "x")}, "expected two axes"),
        ({"picks": {"t": 9}}, "axis 't': found sample 9, expected 0 to 2"),
        ({"picks": dict.fromkeys("tzyx", 0)}, "every axis is picked"),
    ],
)
def test_planes_that_cannot_be(said: dict[str, object], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        choose_plane(axes_of("t z y x"), (3, 4, 5, 6), **said)  # type: ignore[arg-type]


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=200))
def test_limits_are_numpys_percentiles(values: list[float]) -> None:
    samples = np.array([*values, np.nan, np.inf])
    low, high = np.percentile(np.array(values), (1, 99.9))
    found = limits(samples)
    assert found[0] == pytest.approx(low, abs=1e-6)
    if high > low:
        assert found[1] == pytest.approx(high, abs=1e-6)
    else:
        assert found[1] >= found[0] + 0.5


def test_windows_hold_the_range_of_the_dtype() -> None:
    assert window(np.arange(100, dtype=np.uint16))["max"] == 65535.0
    assert window(np.arange(-5, 5, dtype=np.int8))["min"] == -128.0
    assert window(np.full(3, np.nan)) == {"start": 0.0, "end": 1.0, "min": 0.0, "max": 1.0}
    assert window(np.array([3 + 4j] * 5))["start"] == 5.0


def test_colormaps_pass_through_their_stops() -> None:
    for name, stops in COLORMAPS.items():
        table = table_of(name)
        assert table.shape == (256, 3)
        assert tuple(table[0]) == colour_of(stops[0])
        assert tuple(table[-1]) == colour_of(stops[-1])
    assert (np.diff(table_of("gray").astype(int), axis=0) == 1).all()
    with pytest.raises(OptionError, match="colormap 'jet': expected one of gray"):
        table_of("jet")


@pytest.mark.parametrize("dtype", ["u1", "i4", "u8"])
def test_labels_have_stable_colours(dtype: str) -> None:
    labels = np.arange(100).astype(dtype)
    found = of_labels(labels)
    assert not found[0].any()
    if dtype == "u8":  # folded into 32 bits: no label but 0 is black
        assert of_labels(np.array([2**40, 2**32, 2**63], np.uint64)).any(axis=1).all()
    for label in (1, 2, 77):
        hashed = label * 2654435761 % 2**32
        hue, saturation, value = (hashed >> 16) / 65536, 0.5 + (hashed >> 8 & 255) / 510, 0.7 + (hashed & 255) / 850
        expected = np.rint(np.array(colorsys.hsv_to_rgb(hue, saturation, value)) * 255)
        np.testing.assert_allclose(found[label], expected, atol=1)
    assert len({tuple(colour) for colour in found}) > 95


def test_values_go_linearly_between_the_limits() -> None:
    values = np.array([[-5.0, 0, 50, 100, 900, np.nan]])
    painted = paint(values, Look(channels=(Channel((0.0, 100.0)),)))
    assert painted[0, :5, 0].tolist() == [0, 0, 128, 255, 255]
    assert painted[0, :, 3].tolist() == [255] * 5 + [0]


def test_channels_add_up_as_light() -> None:
    stack = np.array([[[0, 255, 255]], [[255, 0, 255]]], np.uint8)
    look = Look(channels=(Channel((0, 255), (255, 0, 0)), Channel((0, 255), (255, 255, 0))))
    assert paint(stack, look)[0, :, :3].tolist() == [[255, 255, 0], [255, 0, 0], [255, 255, 0]]


def test_red_green_blue_stays_as_it_is() -> None:
    stack = RNG.integers(0, 256, (3, 4, 5), dtype=np.uint8)
    painted = paint(stack, Look(rgb=True))
    assert (painted[..., :3] == stack.transpose(1, 2, 0)).all()
    assert (painted[..., 3] == 255).all()


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", "f2", "f8", "c8", ">f4"])
def test_every_dtype_is_painted(dtype: str) -> None:
    values = (RNG.integers(0, 100, (7, 9)) > 50).astype(dtype) if dtype == "?" else RNG.integers(0, 100, (7, 9)).astype(dtype)
    painted = paint(values, Look())
    assert painted.shape == (7, 9, 4)
    assert painted[..., 0].min() == 0
    assert painted[..., 0].max() == 255


def test_nodata_is_transparent_and_no_part_of_the_contrast() -> None:
    values = np.array([[-9999, 0, 10]], np.int16)
    painted = paint(values, Look(nodata=-9999))
    assert painted[0, :, 3].tolist() == [0, 255, 255]
    assert painted[0, 1, 0] == 0
    assert painted[0, 2, 0] == 255


@pytest.mark.parametrize("case", ["grey", "grey and transparent", "colour", "colour and transparent"])
def test_png_is_read_by_others(case: str) -> None:
    picture = RNG.integers(0, 256, (5, 7, 4), dtype=np.uint8)
    if "grey" in case:
        picture[..., 1] = picture[..., 2] = picture[..., 0]
    if "transparent" not in case:
        picture[..., 3] = 255
    encoded = encode_png(picture, step=(2e-6, 5e-7))
    expected = {"grey": picture[..., 0], "grey and transparent": picture[..., [0, 3]], "colour": picture[..., :3]}.get(case, picture)
    np.testing.assert_array_equal(np.squeeze(imagecodecs.png_decode(encoded)), expected)
    at = encoded.index(b"pHYs")
    assert struct.unpack(">IIB", encoded[at + 4 : at + 13]) == (2_000_000, 500_000, 1)
    assert b"pHYs" not in encode_png(picture, step=(1e3, 1e3))  # a pixel of a kilometre has no whole number per metre


def test_half_blocks_take_two_rows_to_a_line() -> None:
    picture = np.zeros((3, 2, 4), np.uint8)
    picture[0, 0] = (1, 2, 3, 255)
    picture[1, 0] = (4, 5, 6, 255)
    picture[2, 1] = (7, 8, 9, 255)
    first, second = half_blocks(picture).split("\n")
    assert first == "\x1b[38;2;1;2;3;48;2;4;5;6m▀\x1b[0m \x1b[0m"
    assert second == "\x1b[0m \x1b[0;38;2;7;8;9m▀\x1b[0m"
