"""Dask and xarray sources against their own computing; what dimensions, coordinates and CF attributes say."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable

import dask
import dask.array
import numpy as np
import pytest
import xarray

from ziggurat.chunkio import AnyArray
from ziggurat.model import Axis
from ziggurat.problems import NotFound, OptionError, UnsupportedError
from ziggurat.sources import Source, open_source

Whole = Callable[[Source], AnyArray]
Drawn = Callable[..., AnyArray]


def counted(array: AnyArray, chunks: object) -> tuple[dask.array.Array, list[tuple[int, ...]]]:
    """Returns a dask array that notes each of its blocks when it is computed."""
    computed: list[tuple[int, ...]] = []

    def note(block: AnyArray, block_info: dict[int, dict[str, tuple[int, ...]]]) -> AnyArray:
        computed.append(tuple(block_info[0]["chunk-location"]))
        return block

    return dask.array.from_array(array, chunks=chunks).map_blocks(note, dtype=array.dtype, meta=np.empty((0,) * array.ndim, array.dtype)), computed


def test_each_dask_chunk_is_computed_once(whole: Whole, drawn: Drawn) -> None:
    array = drawn((50, 70, 90), ">u2")
    lazy, computed = counted(array, (16, 32, 90))
    source = open_source(lazy)
    assert source.chunks == (16, 32, 90) and source.info.notes == ()
    np.testing.assert_array_equal(whole(source), array)
    assert sorted(computed) == sorted(np.ndindex(4, 3, 1))


def test_irregular_dask_chunks_are_read_and_said(whole: Whole, drawn: Drawn) -> None:
    array = drawn((50, 70), "f4")
    source = open_source(dask.array.from_array(array, chunks=((10, 20, 20), (32, 32, 6))))
    assert source.chunks == (20, 32)
    assert "axis 0" in source.info.notes[0]
    np.testing.assert_array_equal(whole(source), array)


def test_blocks_are_computed_in_the_thread_that_asks(drawn: Drawn) -> None:
    names: list[str] = []
    lazy = dask.array.from_array(drawn((8, 8), "u1"), chunks=4).map_blocks(
        lambda b: names.append(threading.current_thread().name) or b, dtype="u1", meta=np.empty((0, 0), "u1")
    )
    source = open_source(lazy)
    thread = threading.Thread(target=lambda: source.read((0, 0), np.zeros((4, 4), "u1")), name="worker 7")
    thread.start()
    thread.join()
    assert names == ["worker 7"]
    with dask.config.set(scheduler="threads"):
        source.read((0, 0), np.zeros((4, 4), "u1"))
    assert len(names) == 2 and names[1] != threading.current_thread().name


def test_dask_arrays_are_pickled_with_their_graph(whole: Whole) -> None:
    lazy = dask.array.arange(100, chunks=30).reshape(10, 10)
    np.testing.assert_array_equal(whole(pickle.loads(pickle.dumps(open_source(lazy)))), np.arange(100).reshape(10, 10))


def test_lengths_that_dask_does_not_know_are_refused() -> None:
    lazy = dask.array.from_array(np.arange(10), chunks=5)
    with pytest.raises(UnsupportedError, match="not known yet"):
        open_source(lazy[lazy > 3])


def field(**coords: object) -> xarray.DataArray:
    return xarray.DataArray(np.arange(24.0).reshape(2, 3, 4), dims=("time", "lat", "lon"), coords=coords, name="t2m")


def test_dimensions_and_regular_coordinates(whole: Whole) -> None:
    array = field(time=np.array(["2020-01-01", "2020-01-02"], "M8[ns]"), lat=("lat", [50.0, 49.5, 49.0], {"units": "degrees_north"}), lon=[0, 1, 2, 3])
    info = open_source(array).info
    assert info.axes == (Axis("time", "time", "second"), Axis("lat", "space", "degrees_north"), Axis("lon", "space"))
    assert info.scale == (86400.0, -0.5, 1.0) and info.translation == (0.0, 50.0, 0.0)
    assert info.name == "t2m" and "seconds since 2020-01-01" in info.notes[0]
    np.testing.assert_array_equal(whole(open_source(array)), array.values)


def test_float32_coordinates_of_a_fine_grid_are_regular() -> None:
    lon = np.linspace(0, 360, 36001, dtype="f4")[:-1]
    info = open_source(xarray.DataArray(np.zeros(36000), dims="lon", coords={"lon": lon})).info
    assert info.scale is not None and info.scale[0] == pytest.approx(0.01, rel=1e-6)
    bent = xarray.DataArray(np.zeros(36000), dims="lon", coords={"lon": lon.astype("f8") ** 1.0001})
    assert open_source(bent).info.scale is None
    too_coarse = xarray.DataArray(np.zeros(9), dims="x", coords={"x": 1e8 + np.arange(9, dtype="f4")})
    assert open_source(too_coarse).info.scale is None


def test_irregular_and_foreign_coordinates_are_said() -> None:
    info = open_source(field(lat=[1.0, 2.0, 4.0], lon=list("abcd"))).info
    assert info.scale is None and info.translation is None
    assert any("lat is not regular" in note for note in info.notes) and any("lon holds no numbers" in note for note in info.notes)


def test_flag_values_are_evidence_of_labels() -> None:
    array = xarray.DataArray(np.zeros((4, 5), "u4"), dims=("y", "x"), attrs={"flag_values": [0, 1], "flag_meanings": "sea land"})
    info = open_source(array).info
    assert info.kind == "labels" and "flag_values" in info.kind_reason


def test_blocks_follow_the_chunks_behind_a_dataarray(whole: Whole, drawn: Drawn) -> None:
    array = drawn((50, 70), "i4")
    lazy, computed = counted(array, (32, 70))
    source = open_source(xarray.DataArray(lazy, dims=("y", "x"), coords={"y": np.arange(50) * 2.0}))
    assert source.chunks == (32, 70) and source.info.scale == (2.0, 1.0)
    np.testing.assert_array_equal(whole(source), array)
    assert sorted(computed) == [(0, 0), (1, 0)]


def test_a_dataset_needs_the_name_of_a_variable(whole: Whole) -> None:
    dataset = xarray.Dataset({"a": (("y", "x"), np.ones((3, 4))), "b": (("y", "x"), np.zeros((3, 4)))})
    np.testing.assert_array_equal(whole(open_source(dataset, path="a")), np.ones((3, 4)))
    np.testing.assert_array_equal(whole(open_source(dataset[["b"]])), np.zeros((3, 4)))
    with pytest.raises(OptionError, match=r"2 variables \(a, b\)"):
        open_source(dataset)
    with pytest.raises(NotFound, match="no variable 'c'; it has a, b"):
        open_source(dataset, path="c")


def test_stamps_follow_the_samples(drawn: Drawn) -> None:
    array = drawn((20, 30), "f4")
    before = open_source(xarray.DataArray(array.copy(), dims=("y", "x"))).info.stamps
    array[-1, 5] += 1
    assert before and before != open_source(xarray.DataArray(array, dims=("y", "x"))).info.stamps


def test_lazily_opened_variables_are_read_block_by_block(drawn: Drawn, whole: Whole) -> None:
    asked: list[tuple[slice, ...]] = []
    array = drawn((100, 90), "f4")

    class Backend(xarray.backends.BackendArray):
        shape = array.shape
        dtype = array.dtype

        def __getitem__(self, key: xarray.core.indexing.ExplicitIndexer) -> AnyArray:
            def get(raw: tuple[slice, ...]) -> AnyArray:
                asked.append(raw)
                return array[raw]

            return xarray.core.indexing.explicit_indexing_adapter(key, self.shape, xarray.core.indexing.IndexingSupport.BASIC, get)

    data = xarray.core.indexing.LazilyIndexedArray(Backend())
    opened = xarray.DataArray(xarray.Variable(("y", "x"), data))
    opened.encoding["preferred_chunks"] = {"y": 40, "x": 90}
    source = open_source(opened)
    assert source.chunks == (40, 90)
    assert len(asked) == 8 and all(s.stop - s.start == 1 for s, _ in asked)  # a few samples for the stamp, nothing else
    asked.clear()
    np.testing.assert_array_equal(whole(source), array)
    assert len(asked) == 3
