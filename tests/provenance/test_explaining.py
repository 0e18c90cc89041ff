"""What made a level, and where it lies: asked of levels that scipy, scikit-image and plain numpy made, whose truth is known from their definitions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import skimage.data
import skimage.transform
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from ziggurat.provenance import explain
from ziggurat.provenance.explaining import Explanation, places_of, whole_factors

Array = NDArray[np.generic]
PHOTO: Array = skimage.data.astronaut()[:, :, 0]
_NOISE = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(64, 96, 96)), 1.2)
VOLUME: Array = ((_NOISE - _NOISE.min()) / np.ptp(_NOISE) * 4000).astype(np.uint16)
LABELS: Array = (VOLUME // 500).astype(np.uint32)


def strided(a: Array, f: int = 2) -> Array:
    return a[tuple(slice(None, None, f) for _ in a.shape)]


def mean(a: Array, f: int = 2) -> NDArray[np.float64]:
    trimmed = a[tuple(slice(0, n // f * f) for n in a.shape)]
    shape = [part for n in trimmed.shape for part in (n // f, f)]
    return np.asarray(trimmed.reshape(shape).mean(axis=tuple(range(1, len(shape), 2))), np.float64)


def one(fine: Array, coarse: Array) -> Explanation:
    return explain([fine, coarse], 1)


@pytest.mark.parametrize("base", [PHOTO, VOLUME], ids=["photo", "volume"])
@pytest.mark.parametrize(
    ("make", "name", "how", "first"),
    [
        (strided, "stride", "the first sample of each window", 0.0),
        (lambda a: a[tuple(slice(1, None, 2) for _ in a.shape)], "stride", "of each window", 1.0),
        (lambda a: np.rint(mean(a)).astype(a.dtype), "mean", "half to even", 0.5),
        (lambda a: np.floor(mean(a) + 0.5).astype(a.dtype), "mean", "half up", 0.5),
        (lambda a: mean(a).astype(a.dtype), "mean", "truncated", 0.5),
        (lambda a: ndimage.maximum_filter(a, 2, origin=-1)[tuple(slice(None, None, 2) for _ in a.shape)], "max", "", 0.5),
        (lambda a: mean(a) * 2**a.ndim, "sum", "", 0.5),
        (lambda a: np.rint(mean(a, 3)).astype(a.dtype), "mean", "half to even", 1.0),
    ],
)
def test_what_equality_tells(base: Array, make: Callable[[Array], Array], name: str, how: str, first: float) -> None:
    found = one(base, make(base))
    assert found.names == (name,) and how in found.how and found.exact
    assert found.first == (first,) * base.ndim


@pytest.mark.parametrize("base", [pytest.param(PHOTO, id="photo"), pytest.param(VOLUME, id="volume", marks=pytest.mark.prove)])
@pytest.mark.parametrize(
    ("make", "first", "step"),
    [
        (lambda a: mean(a).astype(np.float32) + 0.25, 0.5, 2.0),
        (lambda a: strided(ndimage.gaussian_filter(a.astype(np.float32), 2 / 3)), 0.0, 2.0),
        (lambda a: strided(ndimage.gaussian_filter(a.astype(np.float32), 1.0)).astype(a.dtype), 0.0, 2.0),
        (lambda a: skimage.transform.resize(a.astype(np.float32), [n // 2 for n in a.shape], anti_aliasing=True), 0.5, 2.0),
        (lambda a: np.roll(mean(a), 3, axis=-1).astype(np.float32) + 0.25, None, 2.0),
    ],
)
def test_where_filters_put_their_samples(base: Array, make: Callable[[Array], Array], first: float | None, step: float) -> None:
    """None: the last axis is rolled by 3 coarse samples, so its content lies 6 fine samples before."""
    found = one(base, make(base))
    expected = [0.5] * (base.ndim - 1) + [-5.5] if first is None else [first] * base.ndim
    assert found.first is not None and found.step == (step,) * base.ndim
    assert np.abs(np.subtract(found.first, expected)).max() < 0.03
    assert not found.exact and found.names


def test_a_size_that_is_no_whole_fraction() -> None:
    """scipy's zoom keeps the centres of the end samples in place, scikit-image's resize the corners: both are told, at both ends."""
    zoomed = one(PHOTO, ndimage.zoom(PHOTO, 0.5, order=1))
    resized = one(PHOTO, skimage.transform.resize(PHOTO.astype(np.float32), (230, 230), anti_aliasing=True))
    for found, first, step, n in ((zoomed, 0.0, 511 / 255, 256), (resized, (512 / 230 - 1) / 2, 512 / 230, 230)):
        assert found.first is not None and found.step is not None
        for j in (0, n - 1):
            assert abs(found.first[0] + found.step[0] * j - (first + step * j)) < 0.12
        assert found.names == ("filter",)
    picked = one(PHOTO, PHOTO[np.ix_(*[np.floor((np.arange(230) + 0.5) * 512 / 230).astype(int)] * 2)])
    assert picked.names == ("stride",) and picked.exact and "under the centre" in picked.how


def test_labels_are_told_by_equality_alone() -> None:
    from ziggurat.reductions import find, reduce_array

    assert one(LABELS, reduce_array(find("mode"), LABELS, [(2, 2, 2)])[0]).names == ("mode",)
    assert one(LABELS, strided(LABELS)).names == ("stride",)


@pytest.mark.parametrize(
    ("coarse", "why"),
    [
        (np.random.default_rng(1).integers(0, 4000, (32, 48, 48)).astype(np.uint16), "follow no average"),
        (np.zeros((32, 48, 48), np.uint16), "flat"),
        (np.full((32, 48, 48), np.nan, np.float32), "NaN"),
        (np.zeros((32, 48), np.uint16), "2 axes"),
        (np.zeros((64, 96, 96), np.uint16), "equal shapes"),
    ],
)
def test_what_cannot_be_told_is_said(coarse: Array, why: str) -> None:
    found = one(VOLUME, coarse)
    assert found.first is None and not found.names and why in found.why_not


def test_several_reductions_that_agree_are_all_named() -> None:
    steps = np.repeat(np.repeat(np.random.default_rng(2).integers(0, 9, (40, 40), dtype=np.uint8), 2, 0), 2, 1)
    found = one(steps, strided(steps))
    assert {"mean", "stride", "median", "mode"} <= set(found.names) and found.first is None


def test_places_are_carried_to_the_base() -> None:
    levels = [PHOTO, strided(PHOTO), strided(strided(PHOTO)), np.rint(mean(strided(strided(PHOTO)))).astype(np.uint8)]
    explained = [explain(levels, k) for k in (1, 2, 3)]
    assert [e.names for e in explained] == [("stride",), ("stride",), ("mean",)]
    assert places_of(explained) == [((0.0, 0.0), (2.0, 2.0)), ((0.0, 0.0), (4.0, 4.0)), ((2.0, 2.0), (8.0, 8.0))]


def test_what_only_the_base_gives_is_compared_with_the_base() -> None:
    first = np.rint(mean(PHOTO)).astype(np.uint8)
    found = explain([PHOTO, first, np.rint(mean(PHOTO, 4)).astype(np.uint8)], 2)
    assert (found.finer, found.names, found.first, found.exact) == (0, ("mean",), (1.5, 1.5), True)


@given(n=st.integers(1, 3000), f=st.integers(1, 9), up=st.booleans())
def test_whole_factors_are_found_for_both_ways_of_rounding(n: int, f: int, up: bool) -> None:
    m = -(-n // f) if up else n // f
    if m:
        (found,) = whole_factors((n,), (m,)) or (0,)
        assert found >= 1 and m in (n // found, -(-n // found))


@settings(max_examples=3, deadline=None)
@given(shift=st.tuples(st.floats(-3, 3), st.floats(-3, 3)), sigma=st.floats(0.6, 1.4))
def test_any_shift_of_a_smooth_level_is_found(shift: tuple[float, float], sigma: float) -> None:
    """The truth is a spline through a smoothed photograph, sampled at known places."""
    base = PHOTO[56:456, 56:456]
    smooth = ndimage.gaussian_filter(PHOTO.astype(np.float64), sigma)
    places = np.meshgrid(*[np.arange(200) * 2 + 56 + s for s in shift], indexing="ij")
    found = one(base, ndimage.map_coordinates(smooth, places, order=3))
    assert found.first is not None and np.abs(np.subtract(found.first, shift)).max() < 0.06
