"""Specifications of arrays, their documents and fill values; tests/differential compares the documents with zarr-python's."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ziggurat.chunkio import (
    ArraySpec,
    Codec,
    array_documents,
    fill_json,
    fill_scalar,
)
from ziggurat.chunkio.spec import DTYPES
from ziggurat.model import JSON
from ziggurat.problems import OptionError, UnsupportedError

U2 = np.dtype("u2")


def document(spec: ArraySpec) -> dict[str, JSON]:
    found = json.loads(json.dumps(array_documents(spec)[".zarray" if spec.zarr_format == 2 else "zarr.json"]))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunks": (2,)}, "expected 2 entries"),
        ({"shards": (4, 4, 4)}, "expected 2 entries"),
        ({"dimension_names": ("y",)}, "expected 2 entries"),
        ({"chunks": (0, 2)}, "chunks of 1 or more"),
        ({"shape": (-1, 2)}, "lengths of 0 or more"),
        ({"shards": (5, 4)}, "whole multiples"),
        ({"shards": (4, 4), "zarr_format": 2}, "Zarr v2 has none"),
        ({"order": "F"}, "transpose"),
        ({"codec": Codec(crc32c=True), "zarr_format": 2}, "crc32c"),
        ({"fill_value": None}, "only Zarr v2"),
        ({"fill_value": 65536}, "uint16 cannot hold it"),
        ({"fill_value": "NaN"}, "uint16 cannot hold it"),
        ({"fill_value": 0.5}, "uint16 cannot hold it"),
        ({"fill_value": True}, "uint16 cannot hold it"),
    ],
)
def test_specifications_that_contradict_themselves_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ArraySpec(**{"shape": (5, 6), "dtype": U2, "chunks": (2, 2), **options})


@pytest.mark.parametrize("dtype", ["O", "U4", "S3", "V2", "M8[ns]", "longdouble"])
def test_only_fixed_size_numbers_are_specified(dtype: str) -> None:
    with pytest.raises(UnsupportedError, match="fixed-size number"):
        ArraySpec((2,), np.dtype(dtype), (1,))


@pytest.mark.parametrize("name", ["lz4", "ZSTD", ""])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_unknown_codecs_are_not_spelled(name: str, zarr_format: int) -> None:
    with pytest.raises(OptionError, match="expected zstd"):
        array_documents(ArraySpec((2,), U2, (1,), codec=Codec(name), zarr_format=3 if zarr_format == 3 else 2))


@given(st.sampled_from(sorted(DTYPES)).flatmap(lambda name: hnp.from_dtype(np.dtype(name))))
def test_fill_values_survive_their_document(value: np.generic) -> None:
    for zarr_format in (2, 3):
        said = json.loads(json.dumps(fill_json(value, zarr_format=zarr_format), allow_nan=False))
        back = fill_scalar(said, value.dtype)
        assert back.dtype == value.dtype
        if zarr_format == 3 or not np.isnan(value):
            assert back.tobytes() == value.tobytes() or (value.dtype.kind == "c" and np.isnan(value))
        else:
            assert np.isnan(back)


@pytest.mark.parametrize(
    ("value", "dtype", "bits"),
    [
        ("0x7fc00001", "f4", "0100c07f"),
        ("0x3c00", "f2", "003c"),
        ("-Infinity", "f8", "000000000000f0ff"),
        (-0.0, "f4", "00000080"),
        (["-Infinity", -0.0], "c8", "000080ff00000080"),
        (2**64 - 1, "u8", "ff" * 8),
        (-(2**63), "i8", "00" * 7 + "80"),
        (3.0, "i2", "0300"),
        (1, "?", "01"),
    ],
)
def test_fill_values_are_read_bit_for_bit(value: JSON, dtype: str, bits: str) -> None:
    assert fill_scalar(value, np.dtype(dtype)).tobytes().hex() == bits


@pytest.mark.parametrize(
    ("value", "dtype"), [("0x7fc0", "f4"), ("0xzz00", "f2"), ("nan", "f4"), ([1], "c8"), ([1, "x"], "c8"), (2, "?"), ("0", "u1"), ({}, "f4"), (-1, "u1")]
)
def test_fill_values_that_no_dtype_holds_are_refused(value: JSON, dtype: str) -> None:
    with pytest.raises(OptionError, match="cannot hold it"):
        fill_scalar(value, np.dtype(dtype))
