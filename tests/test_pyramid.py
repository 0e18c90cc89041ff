"""Pyramids: lazy arrays against numpy, geometry against the samples themselves, opening against counted documents."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ziggurat as zg
from ziggurat.model import ArrayInfo, Axis, Level, Multiscale
from ziggurat.problems import OptionError, UnsupportedError
from ziggurat.pyramid import LazyArray, Pyramid
from ziggurat.pyramid.levels import Hierarchy
from ziggurat.pyramid.tables import describe, describe_html


class InMemory:
    """A reader over an ndarray that counts the chunks it is asked for; picklable."""

    def __init__(self, samples: np.ndarray, chunks: tuple[int, ...]) -> None:
        self.samples, self.chunks = samples, chunks
        self.reads: list[tuple[int, ...]] = []

    @property
    def shape(self) -> tuple[int, ...]:
        return self.samples.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self.samples.dtype

    def read(self, index: tuple[int, ...], out: np.ndarray) -> bool:
        self.reads.append(index)
        part = self.samples[tuple(slice(i * c, i * c + c) for i, c in zip(index, self.chunks, strict=True))]
        out[tuple(slice(0, n) for n in part.shape)] = part
        return True

    def __call__(self) -> InMemory:
        return self


def info_of(samples: np.ndarray, chunks: tuple[int, ...]) -> ArrayInfo:
    return ArrayInfo(samples.shape, samples.dtype.name, chunks, itemsize=samples.dtype.itemsize)


def lazy(samples: np.ndarray, chunks: tuple[int, ...]) -> tuple[LazyArray, InMemory]:
    reader = InMemory(samples, chunks)
    return LazyArray(info_of(samples, chunks), "memory/0", reader), reader


@st.composite
def arrays_and_indices(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...], object]:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=9))
    chunks = tuple(draw(st.integers(1, n + 2)) for n in shape)
    index = draw(hnp.basic_indices(shape, allow_newaxis=False, allow_ellipsis=True))
    return np.arange(np.prod(shape)).reshape(shape), chunks, index


@given(arrays_and_indices())
def test_basic_indexing_equals_numpy(drawn: tuple[np.ndarray, tuple[int, ...], object]) -> None:
    samples, chunks, index = drawn
    array, _ = lazy(samples, chunks)
    expected = samples[index]
    found = array[index]
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_array_equal(found, expected)


def test_only_the_chunks_that_are_needed_are_read() -> None:
    array, reader = lazy(np.arange(10 * 10).reshape(10, 10), (4, 4))
    array[5, 3:9]
    assert sorted(reader.reads) == [(1, 0), (1, 1), (1, 2)]
    reader.reads.clear()
    array[::8, 0]
    assert sorted(reader.reads) == [(0, 0), (2, 0)]
    reader.reads.clear()
    assert array[3:3].shape == (0, 10)
    assert reader.reads == []


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (None, "expected an integer, a slice or Ellipsis"),
        (True, "expected an integer, a slice or Ellipsis"),
        ([0, 1], "expected an integer, a slice or Ellipsis"),
        (np.array([0, 1]), "expected an integer, a slice or Ellipsis"),
        (1.0, "expected an integer, a slice or Ellipsis"),
        ((0, 0, 0), "too many indices: 3"),
        ((..., ...), "one Ellipsis"),
        (10, "out of bounds for axis 0 with size 10"),
        ((0, -11), "out of bounds for axis 1 with size 10"),
    ],
)
def test_other_indices_are_refused_in_a_sentence(index: object, words: str) -> None:
    array, reader = lazy(np.zeros((10, 10)), (4, 4))
    with pytest.raises(IndexError, match=words):
        array[index]  # type: ignore[index]
    assert reader.reads == []


def test_a_lazy_array_looks_like_numpy() -> None:
    samples = np.arange(60, dtype=">u2").astype("u2").reshape(3, 4, 5)
    array, _ = lazy(samples, (2, 2, 2))
    assert (array.shape, array.ndim, array.size, array.nbytes, len(array), array.dtype) == ((3, 4, 5), 3, 60, 120, 3, np.dtype("u2"))
    np.testing.assert_array_equal(np.asarray(array), samples)
    assert np.asarray(array, dtype="f4").dtype == np.dtype("f4")
    np.testing.assert_array_equal(np.stack(list(array)), samples)
    assert array[2, 3, 4] == 59
    assert np.sum(array[...]) == samples.sum()
    with pytest.raises(ValueError, match="always makes a copy"):
        np.array(array, copy=False)


def test_a_lazy_array_survives_pickling() -> None:
    samples = np.arange(20).reshape(4, 5)
    array, _ = lazy(samples, (2, 2))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array))[1:, ::-1], samples[1:, ::-1])


def test_a_dtype_that_numpy_does_not_know_is_told_when_it_is_wanted() -> None:
    array = LazyArray(ArrayInfo((3,), "r24", (3,)), "memory/0", InMemory(np.zeros(3), (3,)))
    assert array.shape == (3,)
    with pytest.raises(UnsupportedError, match="'r24'"):
        array.dtype  # noqa: B018


def test_dask_arrays_have_the_stored_chunks_and_the_samples() -> None:
    samples = np.arange(7 * 9).reshape(7, 9)
    array, _ = lazy(samples, (3, 4))
    blocks = array.to_dask()
    assert blocks.chunks == ((3, 3, 1), (4, 4, 1))
    assert blocks.dtype == samples.dtype
    np.testing.assert_array_equal(blocks[::2, -3].compute(scheduler="sync"), samples[::2, -3])
    np.testing.assert_array_equal(blocks[[0, 5]].sum(axis=0).compute(scheduler="sync"), samples[[0, 5]].sum(axis=0))
    assert array.to_dask(chunks="auto").chunks == ((7,), (9,))
    assert array.to_dask().name == array.to_dask().name


# --- pyramids --------------------------------------------------------------------------------------------------------------

AXES = (Axis("c", "channel"), Axis("y", "space", "micrometer"), Axis("x", "space", "micrometer"))


def pyramid_of(*, scale: float = 0.1, n_levels: int = 4, **changes: object) -> Pyramid:
    """A pyramid of a ramp: each sample holds the world coordinate x of its centre, averaged from the base."""
    n_y, n_x = 48, 80
    levels, readers = [], {}
    for k in range(n_levels):
        f = 2**k
        step, shift = scale * f, 5.0 + scale * (f - 1) / 2
        x = (np.arange(n_x // f) * step + shift)[None, None, :] * np.ones((2, n_y // f, 1))
        readers[str(k)] = InMemory(x, (1, 16, 16))
        levels.append(Level(str(k), (1.0, step, step), (0.0, shift - 5, shift), "stated", "stated", info_of(x, (1, 16, 16))))
    multiscale = Multiscale(tuple(levels), AXES, name="ramp", type="mean", layout="ome-zarr@0.5")
    multiscale = dataclasses.replace(multiscale, **changes)  # type: ignore[arg-type]
    return Pyramid(Hierarchy("memory", (multiscale,), (), ("ome-zarr@0.5",), lambda level: readers[level.path]), 0)


def test_the_coordinate_of_a_sample_is_the_coordinate_of_the_pixels_behind_it() -> None:
    pyramid = pyramid_of()
    for level in pyramid:
        for index in [(0, 0, 0), (1, 3, 4)]:
            assert level.to_world(index)[2] == pytest.approx(level.array[index])
            np.testing.assert_allclose(level.to_index(level.to_world(index)), index, atol=1e-12)
        assert pyramid.to_world((0, 1, 2), level=level.index) == level.to_world((0, 1, 2))
        assert pyramid.to_index((0, 1, 7), level=level.index) == level.to_index((0, 1, 7))
    assert pyramid.to_world((0, 0, 0)) == (0.0, 0.0, 5.0)


def test_all_levels_cover_the_same_extent() -> None:
    pyramid = pyramid_of()
    for level in pyramid:
        np.testing.assert_allclose(level.extent, [(-0.5, 1.5), (-0.05, 4.75), (4.95, 12.95)], atol=1e-12)
    assert pyramid.extent == pyramid.levels[0].extent


def test_a_region_holds_exactly_the_cells_that_touch_the_box() -> None:
    pyramid = pyramid_of()
    box = {"x": (6.0, 7.1), "y": (-100.0, 1.0)}
    for level in pyramid:
        region = pyramid.region(box, level=level.index)
        inside = level.array[region]
        step = level.scale[2]
        touching = [x for x in level.array[0, 0, :] if x + step / 2 > 6.0 and x - step / 2 < 7.1]
        np.testing.assert_allclose(inside[0, 0], touching)
        assert inside.shape[0] == 2
        assert region[1].start == 0
    assert pyramid.region([(0, 1), (0, 1), (6, 7)]) == pyramid.region({"c": (0, 1), "y": (0, 1), "x": (6, 7)})
    assert pyramid.region({"x": (-np.inf, np.inf)})[2] == slice(0, 80)
    assert pyramid.levels[0].array[pyramid.region({"x": (100, 200)})].size == 0


@pytest.mark.parametrize(
    ("need", "index"),
    [
        ({"resolution": {"x": 0.4}}, 2),
        ({"resolution": {"x": 0.39}}, 1),
        ({"resolution": {"x": 0.01}}, 0),
        ({"resolution": {"x": 100.0}}, 3),
        ({"resolution": 0.2}, 1),
        ({"resolution": (1.0, 0.2, 0.4)}, 1),
        ({"resolution": np.array([1.0, 0.2, 0.4])}, 1),
        ({"shape": {"y": 20, "x": 20}}, 1),
        ({"shape": (1, 1, 40)}, 1),
        ({"shape": 24}, 1),
        ({"shape": {"x": 10_000}}, 0),
        ({"factor": 4}, 2),
        ({"factor": {"x": 3.9}}, 1),
        ({"factor": {"y": 1}}, 0),
        ({"max_bytes": 2 * 24 * 40 * 8}, 1),
        ({"max_bytes": 2 * 24 * 40 * 8 - 1}, 2),
        ({"max_bytes": 10**9}, 0),
    ],
)
def test_a_level_is_chosen_by_what_is_needed(need: dict[str, object], index: int) -> None:
    assert pyramid_of().at(**need).index == index  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [0.1, 0.3, 1 / 3, 0.7])
def test_a_resolution_that_a_level_has_finds_that_level(scale: float) -> None:
    pyramid = pyramid_of(scale=scale)
    for level in pyramid:
        assert pyramid.at(resolution={"x": scale * 2**level.index}).index == level.index


@pytest.mark.parametrize(
    ("need", "words"),
    [
        ({}, "got nothing; expected exactly one"),
        ({"resolution": 1, "factor": 2}, "got resolution, factor"),
        ({"resolution": {"q": 1}}, "no axis 'q'; the axes are c, y, x"),
        ({"resolution": (1, 1)}, "has 2 numbers; expected 3"),
        ({"factor": {"x": 0}}, "expected a number above 0"),
        ({"resolution": {"x": float("nan")}}, "expected a number above 0"),
        ({"max_bytes": 3}, "the coarsest level, '3', has 960 bytes"),
    ],
)
def test_a_need_that_cannot_be_met_is_told(need: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        pyramid_of().at(**need)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: p.region({"q": (0, 1)}), "no axis 'q'"),
        (lambda p: p.region([(0, 1)]), "has 1 intervals; expected 3"),
        (lambda p: p.region({"x": (0, float("nan"))}), "expected .low, high."),
        (lambda p: p.to_world((0, 0)), "has 2 numbers; expected 3"),
        (lambda p: p.to_index((0, 0, 0, 0)), "has 4 numbers; expected 3"),
        (lambda p: p.to_world((0, 0, 0), level=9), "level=9: not there; the levels are 0, 1, 2, 3"),
    ],
)
def test_wrong_places_are_told(call: object, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        call(pyramid_of())  # type: ignore[operator]


def test_a_pyramid_is_a_sequence_of_levels_largest_first() -> None:
    pyramid = pyramid_of()
    assert len(pyramid) == 4
    assert [level.shape for level in pyramid] == [(2, 48, 80), (2, 24, 40), (2, 12, 20), (2, 6, 10)]
    assert [array.shape for array in pyramid.arrays] == [level.shape for level in pyramid]
    assert [blocks.shape for blocks in pyramid.to_dask()] == [level.shape for level in pyramid]
    assert pyramid.levels[1].unit == (None, "micrometer", "micrometer")
    assert (pyramid.name, pyramid.type, pyramid.method, pyramid.layout) == ("ramp", "mean", None, "ome-zarr@0.5")


def test_a_missing_level_is_left_out_and_the_others_keep_their_numbers() -> None:
    whole = pyramid_of()
    levels = list(whole.multiscale.levels)
    levels[1] = Level("1", (1, 0.2, 0.2), (0, 0, 0), "stated", "stated", None)
    pyramid = pyramid_of(levels=tuple(levels))
    assert [level.index for level in pyramid] == [0, 2, 3]
    assert pyramid.at(resolution={"x": 0.2}).index == 0
    with pytest.raises(OptionError, match="level=1: not there; the levels are 0, 2, 3"):
        pyramid.region({}, level=1)
    row = next(line for line in describe(pyramid).splitlines() if line.strip().startswith("1 "))
    assert "missing" in row


def test_as_written_drops_what_was_inferred_and_nothing_else() -> None:
    whole = pyramid_of()
    levels = [Level(v.path, v.level.scale, v.level.translation, "stated", "inferred", v.level.array) for v in whole]
    pyramid = pyramid_of(levels=tuple(levels))
    assert pyramid.levels[2].translation == whole.levels[2].translation
    assert pyramid.levels[2].translation_provenance == "inferred"
    written = pyramid.as_written()
    assert written.levels[2].translation == (0.0, 0.0, 0.0)
    assert written.levels[2].translation_provenance == "absent"
    assert written.levels[2].scale == whole.levels[2].scale
    assert "~" in repr(pyramid)
    assert whole.as_written().levels[2].translation == whole.levels[2].translation


def test_without_any_scale_factors_come_from_shapes() -> None:
    whole = pyramid_of()
    levels = [Level(v.path, None, None, "absent", "absent", v.level.array) for v in whole]
    assert pyramid_of(levels=tuple(levels)).at(factor={"x": 4}).index == 2


# --- text ------------------------------------------------------------------------------------------------------------------


def test_the_text_fits_the_width_and_tells_each_level() -> None:
    pyramid = pyramid_of()
    for width in (60, 80, 120):
        lines = describe(pyramid, width=width).splitlines()
        assert max(map(len, lines)) <= width
        for level in pyramid:
            assert any(f" {' x '.join(map(str, level.shape))} " in line for line in lines)
            assert any(line.split()[-2:] == [f"{t:.7g}" for t in level.translation[1:]] for line in lines)
    assert "multiscale 'ramp'" in repr(pyramid)
    assert "y x (micrometer)" in repr(pyramid)
    assert "y 4.8 micrometer, x 8 micrometer" in repr(pyramid)
    assert "~" not in repr(pyramid)


def hostile(names: Sequence[str]) -> Pyramid:
    whole = pyramid_of()
    levels = tuple(Level(names[k % len(names)], v.level.scale, v.level.translation, "stated", "stated", v.level.array) for k, v in enumerate(whole))
    multiscale = Multiscale(levels, tuple(Axis(n, "space", n) for n in names[:3]), name=names[0], type=names[1], layout="ome-zarr@0.5")
    return Pyramid(Hierarchy("memory", (multiscale,), (), (), lambda path: InMemory(np.zeros((1, 1, 1)), (1, 1, 1))), 0)


def test_names_cannot_inject_control_codes_or_markup() -> None:
    names = ["<script>alert(1)</script>", "\x1b[31mred\x07\r\n", "\u202eoverride\x9b&\"'"]
    pyramid = hostile(names)
    text, markup = repr(pyramid), pyramid._repr_html_()
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "\\x1b[31mred" in text
    assert "<script" not in markup
    assert "&lt;script&gt;" in markup
    assert all(c.isprintable() for c in markup)
    assert describe_html(pyramid) == markup


def test_the_html_has_a_row_per_level() -> None:
    markup = pyramid_of()._repr_html_()
    assert markup.count("<tr>") == 4 + 1 + 4
    assert markup.count("<div>") == markup.count("</div>") == 1


# --- the front door --------------------------------------------------------------------------------------------------------


def test_the_front_door_lists_what_it_has() -> None:
    assert sorted(zg.__all__) == dir(zg)
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        zg.opne  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_package_loads_itself_and_nothing_of_its_rooms() -> None:
    program = "import sys\nbefore = set(sys.modules)\nimport ziggurat\nprint(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(Path(zg.__file__).parents[1])}
    )
    assert sorted(done.stdout.split()) == ["ziggurat", "ziggurat.version"]


def test_every_public_name_is_where_the_front_door_says() -> None:
    for name in zg.__all__:
        assert getattr(zg, name) is not None
    assert zg.Axis is Axis
    assert zg.Pyramid is Pyramid
