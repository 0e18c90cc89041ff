"""Words along an axis, as zarr-python and xarray write them, read back; what is no text is told, and nothing is unpickled."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import xarray as xr

import ziggurat as zg
from ziggurat import storage
from ziggurat.chunkio import DictStore
from ziggurat.problems import DocumentError, LimitError

NAMES = ("DAPI", "GFP", "é-long name", "\U0001f600")


def tree(root: Path, zarr_format: Literal[2, 3], dtype: object) -> Path:
    """An image in two levels with the names of its channels as a coordinate, written by xarray."""
    coordinates = {"c": np.array(NAMES, dtype=dtype), "y": np.arange(8.0), "x": np.arange(8.0)}  # type: ignore[call-overload]
    base = xr.Dataset({"image": (("c", "y", "x"), np.zeros((4, 8, 8), "u2"))}, coords=coordinates)
    half = base.isel(y=slice(0, None, 2), x=slice(0, None, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr-python and xarray say that text has no specification in v3
        xr.DataTree.from_dict({"/scale0": base, "/scale1": half}).to_zarr(root, zarr_format=zarr_format)
    return root


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["<U11", object])
def test_words_of_a_fixed_width_and_of_any_length_are_coordinates(tmp_path: Path, zarr_format: Literal[2, 3], dtype: object) -> None:
    pyramid = zg.open(tree(tmp_path / "a.zarr", zarr_format, dtype), layout="datatree@1")
    assert [level.coordinates["c"] for level in pyramid.multiscale.levels] == [NAMES, NAMES]
    assert pyramid.problems == ()


def values(dtype: str, chunk: bytes, **change: object) -> object:
    document = {**_document(), "dtype": dtype, **change}
    return storage.decoder(DictStore({"c/0": chunk}))("c", document, "zarr2")


def test_words_in_either_order_of_bytes_in_part_of_a_chunk_and_absent() -> None:
    assert values("<U3", np.array(["ab", "xyz"], "<U3").tobytes()) == ["ab", "xyz"]
    assert values(">U3", np.array(["ab", "xyz"], ">U3").tobytes()) == ["ab", "xyz"]
    assert values("<U3", np.array(["ab", "xyz"], "<U3").tobytes(), shape=[1]) == ["ab"]
    assert storage.decoder(DictStore({}))("c", _document(), "zarr2") == ["", ""]


def _document() -> dict[str, Any]:
    return {"zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "<U3", "compressor": None, "fill_value": "", "order": "C", "filters": None}


def test_what_is_no_word_is_refused() -> None:
    with pytest.raises(DocumentError, match="no character"):
        values("<U1", b"\xff\xff\xff\xff" * 2)
    with pytest.raises(LimitError, match="999,999 letters"):
        values("<U999999", b"")
    with pytest.raises(DocumentError, match="expected one whole number"):
        values("<U3", b"", shape=[2, 2])
    with pytest.raises(zg.ZigguratError, match="pickle"):
        values("|O", b"", filters=[{"id": "pickle"}])
