"""PNG and JPEG sources against imagecodecs' own reading."""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from ziggurat.chunkio import AnyArray
from ziggurat.problems import DocumentError, LimitError, StorageError
from ziggurat.sources import Source, open_source

Whole = Callable[[Source], AnyArray]
Drawn = Callable[..., AnyArray]


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("shape", [(50, 60), (50, 60, 2), (50, 60, 3), (50, 60, 4), (1, 1)])
def test_png_of_every_kind(tmp_path: Path, whole: Whole, drawn: Drawn, shape: tuple[int, ...], dtype: str) -> None:
    array = drawn(shape, dtype)
    (tmp_path / "photo.png").write_bytes(imagecodecs.png_encode(array))
    source = open_source(tmp_path / "photo.png")
    np.testing.assert_array_equal(whole(source), array)
    np.testing.assert_array_equal(whole(pickle.loads(pickle.dumps(source))), array)
    assert [axis.name for axis in source.info.axes or ()] == ["y", "x", "c"][: array.ndim]
    assert source.info.name == "photo" and source.info.array.codecs == "png"


@pytest.mark.parametrize("shape", [(50, 60), (50, 60, 3)])
def test_jpeg(tmp_path: Path, whole: Whole, drawn: Drawn, shape: tuple[int, ...]) -> None:
    data = imagecodecs.jpeg8_encode(drawn(shape, "u1"), level=90)
    (tmp_path / "photo.jpg").write_bytes(data)
    source = open_source(tmp_path / "photo.jpg")
    assert source.shape == shape
    np.testing.assert_array_equal(whole(source), imagecodecs.jpeg8_decode(data))


def png_of_size(n_columns: int, n_rows: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", n_columns, n_rows, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


def test_pictures_of_unreasonable_size_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of_size(2**31 - 1, 2**31 - 1))
    with pytest.raises(LimitError, match="decodes to"):
        open_source(tmp_path / "a.png")
    data = bytearray(imagecodecs.jpeg8_encode(np.zeros((20, 30, 3), "u1")))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(LimitError, match="decodes to"):
        open_source(tmp_path / "a.jpg")


@pytest.mark.parametrize("part", [9, 20, 45, 0.5])
def test_cut_off_pictures_are_refused(tmp_path: Path, drawn: Drawn, part: float) -> None:
    for name, data in (("a.png", imagecodecs.png_encode(drawn((50, 60), "u1"))), ("a.jpg", imagecodecs.jpeg8_encode(drawn((50, 60), "u1")))):
        cut = data[: int(part * len(data)) if part < 1 else int(part)]
        (tmp_path / name).write_bytes(cut)
        if name == "a.jpg" and part == 0.5:
            continue  # libjpeg fills the rest of a cut picture with grey and calls it a warning
        with pytest.raises(DocumentError, match=r"cut off|cannot be decoded"):
            open_source(tmp_path / name)


def test_a_picture_that_changed_is_not_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(np.zeros((4, 5), "u1")))
    message = pickle.dumps(open_source(path))
    path.write_bytes(imagecodecs.png_encode(np.zeros((40, 50), "u1")))
    with pytest.raises(StorageError, match="changed"):
        pickle.loads(message)
