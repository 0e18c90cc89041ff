"""Sources: every backend gives the samples and the facts that its own library gives, block by block."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ziggurat.chunkio import AnyArray
from ziggurat.problems import DocumentError, NotFound, OptionError, StorageError, UnsupportedError
from ziggurat.sources import Source, open_source, regrid

Whole = Callable[[Source], AnyArray]
Drawn = Callable[..., AnyArray]
DTYPES = ["?", "i1", "<i2", ">i2", "<i4", ">i8", "u1", ">u2", "<u4", "<u8", "<f2", ">f2", "<f4", ">f4", ">f8", "<c8", ">c16"]


# ----------------------------------------------------------------------------------------------------- arrays in memory


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_numeric_dtype_is_read_in_native_order(dtype: str, whole: Whole, drawn: Drawn) -> None:
    array = drawn((5, 70, 131), dtype)
    source = open_source(array)
    assert source.dtype == np.dtype(dtype).newbyteorder("=") and source.dtype.isnative
    assert source.info.array.dtype == source.dtype.name and source.info.array.itemsize == array.itemsize
    np.testing.assert_array_equal(whole(source), array)


@pytest.mark.parametrize("shape", [(1,), (300_000,), (1030, 700), (9, 70, 80), (2, 3, 70, 66), (2, 1, 3, 40, 41), (2, 1, 2, 3, 20, 21)])
def test_ranks_one_to_six(shape: tuple[int, ...], whole: Whole, drawn: Drawn) -> None:
    array = drawn(shape, "<u2")
    np.testing.assert_array_equal(whole(open_source(array)), array)


@pytest.mark.parametrize("view", [lambda a: np.asfortranarray(a), lambda a: a[::-1, ::2], lambda a: a.T, lambda a: np.broadcast_to(a[:1], (40, *a.shape[1:]))])
def test_any_strides_are_read(view, whole: Whole, drawn: Drawn) -> None:  # type: ignore[no-untyped-def]
    array = view(drawn((30, 40, 50), "<i4"))
    np.testing.assert_array_equal(whole(open_source(array)), array)


def test_regrid_changes_blocks_of_arrays_in_memory_and_nothing_else(whole: Whole, drawn: Drawn) -> None:
    array = drawn((50, 60), "<u2")
    source = regrid(open_source(array), (7, 60))
    assert source.chunks == source.info.array.chunks == (7, 60)
    np.testing.assert_array_equal(whole(source), array)
    bound = open_source(Sliced(array))
    assert regrid(bound, (7, 60)) is bound


def test_blocks_outside_the_grid_are_refused() -> None:
    block = np.zeros((64, 64), "u1")
    source = regrid(open_source(np.zeros((100, 100), "u1")), (64, 64))
    for index in [(2, 0), (0, -1)]:
        with pytest.raises(IndexError, match="outside the grid"):
            source.read(index, block)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([object()]), "Python objects"),
        (np.array(["a"]), "strings"),
        (np.array([b"a"]), "byte strings"),
        (np.array(["2020-01-01"], "M8[D]"), "dates"),
        (np.array([1], "m8[s]"), "time spans"),
        (np.zeros(3, [("a", "u1")]), "records"),
        (np.zeros(3, "V4"), "raw bytes"),
        (np.zeros(3, np.longdouble), "longdouble|float128"),
        (np.float64(3.0) + np.zeros(()), "without axes"),
        (np.zeros((3, 0, 2)), "length 0"),
        (np.ma.masked_array([1, 2], [True, False]), "filled"),
        (3, "nothing that can be read"),
        ([1, 2], "nothing that can be read"),
        (None, "nothing that can be read"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused_in_one_sentence(array: object, words: str) -> None:
    with pytest.raises(UnsupportedError, match=words) as caught:
        open_source(array)
    assert "\n" not in str(caught.value)


def test_arrays_in_memory_are_pickled_as_themselves(whole: Whole, drawn: Drawn) -> None:
    array = drawn((40, 50), ">f4")
    source = pickle.loads(pickle.dumps(open_source(array)))
    np.testing.assert_array_equal(whole(source), array)
    assert source.info == open_source(array).info


def test_stamps_of_arrays_in_memory_follow_their_samples(drawn: Drawn) -> None:
    array = drawn((40, 50), "u1")
    before = open_source(array).info.stamps
    assert before == open_source(array.copy()).info.stamps
    array[0, 0] ^= 1
    assert before != open_source(array).info.stamps


# ----------------------------------------------------------------------------------------------------- memory maps, .npy


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [">u2", "<f8", "?"])
def test_npy_files_are_mapped_and_opened_again_elsewhere(tmp_path: Path, order: str, dtype: str, whole: Whole, drawn: Drawn) -> None:
    array = np.asarray(drawn((20, 70, 90), dtype), order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "scan.01.npy", array)
    source = open_source(tmp_path / "scan.01.npy")
    np.testing.assert_array_equal(whole(source), array)
    assert source.info.name == "scan.01"
    message = pickle.dumps(source)
    assert len(message) < 2000
    np.testing.assert_array_equal(whole(pickle.loads(message)), array)


@pytest.mark.parametrize(("order", "expected"), [("C", (16, 16, 2048)), ("F", (2048, 16, 16))])
def test_regrid_of_a_mapped_file_keeps_whole_pages(tmp_path: Path, whole: Whole, drawn: Drawn, order: str, expected: tuple[int, ...]) -> None:
    shape = (20, 30, 3000) if order == "C" else (3000, 30, 20)
    array = drawn(shape, "u2")
    np.save(tmp_path / "a.npy", np.asarray(array, order=order))  # type: ignore[call-overload]
    source = regrid(open_source(tmp_path / "a.npy"), (16, 16, 16))
    assert source.chunks == expected
    assert regrid(source, source.chunks).chunks == expected
    np.testing.assert_array_equal(whole(source), array)
    np.testing.assert_array_equal(whole(pickle.loads(pickle.dumps(source))), array)
    small = regrid(open_source(np.load(tmp_path / "a.npy", mmap_mode="r")[:, :, :10]), (16, 16, 16))
    assert small.chunks == ((16, 16, 16) if order == "C" else expected)


def test_views_of_memory_maps_are_opened_again_from_their_file(tmp_path: Path, whole: Whole, drawn: Drawn) -> None:
    mapped = np.memmap(tmp_path / "raw.bin", ">i4", "w+", offset=5000, shape=(30, 40, 50))
    mapped[...] = drawn(mapped.shape, ">i4")
    for view in (mapped, mapped[3:, ::2], mapped[:, ::-1].T):
        message = pickle.dumps(open_source(view))
        assert len(message) < 2000
        np.testing.assert_array_equal(whole(pickle.loads(message)), view)
    private = np.memmap(tmp_path / "raw.bin", ">i4", "c", offset=5000, shape=(30, 40, 50))
    private[0] = 7
    np.testing.assert_array_equal(whole(pickle.loads(pickle.dumps(open_source(private)))), private)


def test_a_file_that_changed_is_not_opened_again(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((9, 9)))
    message = pickle.dumps(open_source(tmp_path / "a.npy"))
    np.save(tmp_path / "a.npy", np.ones((9, 8)))
    with pytest.raises(StorageError, match="changed"):
        pickle.loads(message)


def test_broken_npy_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((100, 100)))
    os.truncate(path, 5000)
    with pytest.raises(DocumentError, match=r"cut off, 5,000 bytes .* needs 80,128"):
        open_source(path)
    os.truncate(path, 20)
    with pytest.raises(DocumentError, match="header"):
        open_source(path)
    np.save(path, np.array([object()]), allow_pickle=True)
    with pytest.raises(UnsupportedError, match="Python objects"):
        open_source(path)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for the peak of resident memory")
@pytest.mark.parametrize("shape", [(16, 2048, 4096), (8192, 16384)])
def test_reading_a_mapped_file_keeps_little_of_it_in_memory(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<u2", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + 2 * math.prod(shape))
    program = (
        "import resource, numpy as np; from ziggurat.sources import open_source\n"
        f"s = open_source({str(path)!r}); block = np.zeros(s.chunks, s.dtype)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for index in np.ndindex(*(-(-n // c) for n, c in zip(s.shape, s.chunks))): s.read(index, block)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 48 * 1024  # kilobytes; the file has 256 MiB, blocks 4 MiB at most


# ------------------------------------------------------------------------------------- anything with shape, dtype, slicing


class Sliced:
    """The least that is accepted: it knows nothing but basic slicing, and says how often two threads were inside."""

    def __init__(self, array: AnyArray, chunks: object = None) -> None:
        self.shape = array.shape
        self.dtype = array.dtype
        self.array = array
        if chunks is not None:
            self.chunks = chunks

    def __getitem__(self, key: tuple[slice, ...]) -> AnyArray:
        assert all(isinstance(s, slice) and s.step is None for s in key)
        return self.array[key]


def test_anything_sliceable_is_read_in_its_own_chunks(whole: Whole, drawn: Drawn) -> None:
    array = drawn((33, 44), ">u2")
    source = open_source(Sliced(array, chunks=(10, 20)))
    assert source.chunks == (10, 20)
    np.testing.assert_array_equal(whole(source), array)
    np.testing.assert_array_equal(whole(open_source(Sliced(array))), array)


def test_a_tensorstore_is_read_in_its_chunks(tmp_path: Path, whole: Whole, drawn: Drawn) -> None:
    tensorstore = pytest.importorskip("tensorstore")
    array = drawn((33, 44), "u2")
    metadata = {"shape": [33, 44], "chunks": [16, 20], "dtype": "<u2"}
    store = {"driver": "file", "path": str(tmp_path / "a.zarr")}
    opened = tensorstore.open({"driver": "zarr", "kvstore": store, "metadata": metadata, "create": True}).result()
    opened.write(array).result()
    source = open_source(opened)
    assert source.chunks == (16, 20) and source.dtype == np.uint16
    np.testing.assert_array_equal(whole(source), array)


def test_stamps_of_anything_sliceable_follow_its_samples(drawn: Drawn) -> None:
    array = drawn((33, 44), "u2")
    before = open_source(Sliced(array.copy())).info.stamps
    array[-1, 3] ^= 1
    assert len(before) == 8 and before != open_source(Sliced(array)).info.stamps


def test_slicing_that_gives_another_shape_is_an_error() -> None:
    class Squeezed(Sliced):
        def __getitem__(self, key: tuple[slice, ...]) -> AnyArray:
            return np.squeeze(super().__getitem__(key))

    source = open_source(Squeezed(np.zeros((1, 5))))
    assert source.shape == (1, 5)
    with pytest.raises(StorageError, match="slicing gave shape"):
        source.read((0, 0), np.zeros(source.chunks))


# ------------------------------------------------------------------------------------------------------- what is no source


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file or folder"):
        open_source(tmp_path / "absent.tif")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UnsupportedError, match=r"not an image that is known; expected a Zarr array"):
        open_source(tmp_path / "notes.txt")
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n0000")
    with pytest.raises(UnsupportedError, match="h5py"):
        open_source(tmp_path / "a.h5")
    with pytest.raises(UnsupportedError, match="download"):
        open_source("https://example.org/a.tif")
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(OptionError, match="path='x'"):
        open_source(tmp_path / "a.npy", path="x")


def test_file_urls_are_paths(tmp_path: Path, whole: Whole) -> None:
    np.save(tmp_path / "a b.npy", np.arange(5))
    np.testing.assert_array_equal(whole(open_source((tmp_path / "a b.npy").as_uri())), np.arange(5))


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.tif").touch()
    with pytest.raises(UnsupportedError, match=r"empty\.tif: an empty file"):
        open_source(tmp_path / "empty.tif")
