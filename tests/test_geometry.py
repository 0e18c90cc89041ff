"""Geometry against brute force over whole windows: no I/O, no shared code."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat import geometry
from ziggurat.problems import LimitError

SIZES = (*range(1, 98), 203, 2047, 4999)
FACTORS = (1, 2, 3, 4, 5)
LADDERS_SHORT = [ladder for length in (1, 2) for ladder in itertools.product(FACTORS, repeat=length)]
LADDERS_ALL = [ladder for length in (1, 2, 3, 4) for ladder in itertools.product(FACTORS, repeat=length)]


def members(n: int, ladder: tuple[int, ...]) -> list[list[list[int]]]:
    """Every level as lists of the base samples behind each of its samples, built by grouping the level before."""
    levels = [[[i] for i in range(n)]]
    for f in ladder:
        below = levels[-1]
        levels.append([list(itertools.chain(*below[i : i + f])) for i in range(0, len(below), f)])
    return levels


def check_ladder(n: int, ladder: tuple[int, ...]) -> int:
    """Compares every sample of every level with the mean place of the base samples behind it; returns how many."""
    shapes = geometry.level_shapes((n,), [(f,) for f in ladder])
    cumulative = geometry.cumulative_factors([(f,) for f in ladder], 1)
    checked = 0
    for level, groups in enumerate(members(n, ladder)):
        (size,), (factor,) = shapes[level], cumulative[level]
        assert size == len(groups) == math.ceil(n / factor)
        (scale,), (translation,) = geometry.level_scale((1.0,), (factor,)), geometry.level_translation((1.0,), (0.0,), (factor,), "centre")
        for index, group in enumerate(groups):
            assert geometry.window(index, factor, n) == (group[0], group[-1] + 1)
            assert geometry.sample_centre(index, factor, n) == Fraction(sum(group), len(group))
            assert geometry.sample_centre(index, factor, n, "first") == group[0]
            if len(group) == factor:  # the affine that the metadata states is exact for every full window
                assert scale * index + translation == (group[0] + group[-1]) / 2
            checked += 1
    return checked


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 37, 64, 97, 203])
def test_levels_are_where_their_windows_are(n: int) -> None:
    assert all(check_ladder(n, ladder) for ladder in LADDERS_SHORT)


@pytest.mark.prove
@pytest.mark.parametrize("part", range(4))
def test_levels_are_where_their_windows_are_exhaustively(part: int, record_property: Callable[[str, object], None]) -> None:
    samples = ladders = 0
    for n in SIZES[part::4]:
        for ladder in LADDERS_ALL:
            samples += check_ladder(n, ladder)
            ladders += 1
    record_property("sizes x ladders", ladders)
    record_property("samples placed, error 0", samples)


def test_half_pixel_shifts_compose_over_levels() -> None:
    shifts = [geometry.first_sample_shift("centre", 2**k) for k in range(5)]
    assert shifts == [0, Fraction(1, 2), Fraction(3, 2), Fraction(7, 2), Fraction(15, 2)]
    # a step of factor s from a level of cumulative factor F adds (s - 1) / 2 of that level's pixels
    for f, s in itertools.product(range(1, 8), repeat=2):
        assert geometry.first_sample_shift("centre", f * s) == geometry.first_sample_shift("centre", f) + Fraction(s - 1, 2) * f


def test_a_strided_pick_does_not_shift() -> None:
    assert geometry.level_translation((0.3, 2.0), (1.0, -4.0), (8, 3), "first") == (1.0, -4.0)


def test_anchors_may_differ_by_axis() -> None:
    assert geometry.level_translation((1.0, 1.0), (0.0, 0.0), (4, 4), ("first", "centre")) == (0.0, 1.5)


@given(st.decimals(min_value="0.001", max_value="1000", places=3), st.integers(1, 64))
def test_scale_is_the_decimal_product_rounded_once(step, factor) -> None:  # type: ignore[no-untyped-def]
    assert geometry.level_scale((float(step),), (factor,)) == (float(step * factor),)


@pytest.mark.parametrize(
    ("n", "m", "factor", "whole"),
    [
        (275, 137, 2, True),
        (275, 138, 2, True),
        (137, 68, 2, True),
        (17999, 9000, 2, True),
        (17999, 8999, 2, True),
        (1000, 667, Fraction(1000, 667), False),
        (5, 5, 1, True),
    ],
)
def test_ratio_of_sizes_seen_in_the_wild(n: int, m: int, factor: Fraction, whole: bool) -> None:
    assert geometry.ratio(n, m) == (factor, whole)


def test_ratio_finds_every_integer_factor_again() -> None:
    for n, f in itertools.product(range(1, 400), range(1, 9)):
        for m in {n // f, -(-n // f)} - {0}:
            found, whole = geometry.ratio(n, m)
            assert whole and m in (n // found, -(-n // found))


def test_ratio_refuses_empty_axes() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        geometry.ratio(0, 1)


@given(st.integers(1, 50), st.floats(0.01, 100), st.floats(-1e3, 1e3))
def test_world_and_index_are_inverse(n: int, scale: float, translation: float) -> None:
    for i in (0, n - 1, n / 3):
        world = geometry.to_world((i,), (scale,), (translation,))
        assert geometry.to_index(world, (scale,), (translation,))[0] == pytest.approx(i, abs=1e-6)


def test_region_holds_exactly_the_cells_that_a_box_touches() -> None:
    shape, scale, translation = (10,), (2.0,), (1.0,)  # cells [0, 2), [2, 4) ... [18, 20)
    edges = [(t - 1.0, t + 1.0) for t in (2.0 * i + 1.0 for i in range(10))]
    for low, high in [(0.5, 3.5), (-5.0, 1.0), (3.0, 3.5), (17.0, 99.0), (30.0, 40.0), (-9.0, -3.0)]:
        touched = [i for i, (a, b) in enumerate(edges) if a < high and b > low]
        (found,) = geometry.region([(low, high)], shape, scale, translation)
        assert list(range(found.start, found.stop)) == touched


def test_region_understands_descending_axes() -> None:
    (found,) = geometry.region([(0.0, 4.0)], (10,), (-2.0,), (19.0,))
    assert [19.0 - 2.0 * i for i in range(found.start, found.stop)] == [3.0, 1.0]


def test_extent_reaches_half_a_step_beyond_the_outer_centres() -> None:
    assert geometry.extent((4,), (0.5,), (0.25,)) == ((0.0, 2.0),)


def test_an_axis_without_end_has_no_coordinates_to_write() -> None:
    with pytest.raises(LimitError, match="4,294,967,296 samples"):
        geometry.points(2**32, 1.0, 0.0)
    assert geometry.points(3, 1e308, 1e308) == (1e308, math.inf, math.inf)
    assert geometry.points(4, 1 / 3, 0.1) == tuple(float(Fraction(repr(0.1)) + i * Fraction(repr(1 / 3))) for i in range(4))
