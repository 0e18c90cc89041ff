"""Any region of any reader, by the slices of numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.chunkio import (
    ArraySpec,
    ChunkArray,
    Codec,
    CountingStore,
    DictStore,
    chunk_indices,
    chunk_region,
    padded,
    read_region,
)
from ziggurat.problems import OptionError

U2 = np.dtype("u2")


def fill_array(array: ChunkArray, samples: np.ndarray) -> None:
    for index in chunk_indices(array.shape, array.chunks):
        array.write(index, padded(samples[chunk_region(index, array.chunks, array.shape)], array.chunks, array.fill))


def noise(shape: tuple[int, ...], dtype: str = "u2", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 200, shape).astype(dtype)


@given(st.data())
def test_any_region_equals_the_slice_of_the_whole(data: st.DataObject) -> None:
    ndim = data.draw(st.integers(0, 3))
    shape = tuple(data.draw(st.lists(st.integers(0, 9), min_size=ndim, max_size=ndim)))
    chunks = tuple(data.draw(st.lists(st.integers(1, 5), min_size=ndim, max_size=ndim)))
    bound = st.none() | st.integers(-12, 12)
    region = tuple(slice(data.draw(bound), data.draw(bound), data.draw(st.none() | st.integers(1, 4))) for _ in range(ndim))
    samples = noise(shape)
    array = ChunkArray.create(DictStore(), "", ArraySpec(shape, U2, chunks, codec=Codec("raw")))
    fill_array(array, samples)
    expected = samples[region]
    found = read_region(array, region)
    assert found.shape == expected.shape
    assert found.dtype == U2
    assert np.array_equal(found, expected)
    out = np.zeros(expected.shape, "f8")
    assert read_region(array, region, out) is out
    assert np.array_equal(out, expected)


def test_a_region_decodes_only_the_chunks_that_it_touches_and_each_once() -> None:
    store = CountingStore(DictStore())
    array = ChunkArray.create(store, "", ArraySpec((40, 40), U2, (8, 8)))
    fill_array(array, noise((40, 40)))
    read_region(array, (slice(7, 17), slice(8, 16)))
    assert store.gets == {"c/0/1": 1, "c/1/1": 1, "c/2/1": 1}
    store.gets.clear()
    read_region(array, (slice(0, 40, 16), slice(3, 4)))
    assert store.gets == {"c/0/0": 1, "c/2/0": 1, "c/4/0": 1}


def test_regions_that_make_no_sense_are_refused() -> None:
    array = ChunkArray.create(DictStore(), "", ArraySpec((8, 8), U2, (4, 4)))
    for region, out in (((slice(None),), None), ((slice(None, None, -1), slice(None)), None), ((slice(0, 2), slice(0, 2)), np.zeros((2, 3), U2))):
        with pytest.raises(OptionError, match="expected"):
            read_region(array, region, out)


def test_padding_puts_fill_behind_the_ends() -> None:
    block = noise((3, 2))
    whole = padded(block, (4, 4), np.uint16(9))
    assert whole.shape == (4, 4)
    assert np.array_equal(whole[:3, :2], block)
    assert (whole[3:] == 9).all()
    assert (whole[:, 2:] == 9).all()
    full = noise((4, 4))
    assert padded(full, (4, 4), np.uint16(0)) is full
    assert padded(full.T, (4, 4), np.uint16(0)).flags.c_contiguous
