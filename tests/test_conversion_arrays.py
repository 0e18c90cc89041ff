"""Array documents of Zarr v2 rewritten for v3: the same chunks, read by zarr-python both ways."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

from ziggurat.conversion.arrays import array_to_v3

Json = Any
DOCUMENT = {"zarr_format": 2, "shape": [4], "chunks": [4], "dtype": "<u2", "fill_value": 0, "order": "C", "filters": None, "compressor": None}


def in_order(value: Json) -> str:
    """Text in which key order and the spelling of numbers show."""
    return json.dumps(value, indent=1)


COMPRESSORS: dict[str, Any] = {
    "raw": None,
    "gzip": numcodecs.GZip(3),
    "zstd": numcodecs.Zstd(2),
    "zlib": numcodecs.Zlib(2),
    "lz4": numcodecs.LZ4(),
    "bz2": numcodecs.BZ2(1),
    **{f"blosc-{name}-{shuffle}": numcodecs.Blosc(name, 4, shuffle) for name, shuffle in (("lz4", 1), ("zstd", 2), ("zlib", 0), ("blosclz", -1))},
}
DTYPES = ["|b1", "|u1", "<i2", ">u2", "<u4", ">i8", "<f2", ">f4", "<f8", "<c8", ">c16"]


def as_v2(path: Path, dtype: str, compressor: Any, order: str = "C", fill: Json = 0, filters: Any = None, shape: tuple[int, ...] = (7, 5)) -> np.ndarray:
    values = (np.arange(np.prod(shape)).reshape(shape) % 5).astype(dtype)
    made = zarr.create_array(
        path,
        shape=shape,
        chunks=tuple(min(n, 4) for n in shape),
        dtype=dtype,
        zarr_format=2,
        compressors=compressor,
        filters=filters,
        order=order,
        fill_value=fill,
    )
    made[...] = values
    if shape:
        made[:4, :4] = fill if fill is not None else 0  # a chunk that is not stored
    return np.asarray(made[...])


def read_as_v3(path: Path) -> np.ndarray:
    document, _ = array_to_v3(json.loads((path / ".zarray").read_text()), {}, dimension_names=None, path="a")
    (path / "zarr.json").write_text(json.dumps(document))
    (path / ".zarray").unlink()
    (path / ".zattrs").unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr-python: numcodecs.* are no core codecs
        return np.asarray(zarr.open_array(path, zarr_format=3)[...])


@pytest.mark.parametrize("compressor", list(COMPRESSORS))
@pytest.mark.parametrize("order", ["C", "F"])
def test_v2_array_reads_the_same_as_v3(compressor: str, order: str, tmp_path: Path) -> None:
    for number, dtype in enumerate(DTYPES):
        path = tmp_path / f"{number}"
        truth = as_v2(path, dtype, COMPRESSORS[compressor], order)
        found = read_as_v3(path)
        assert found.dtype.newbyteorder("=") == truth.dtype.newbyteorder("=")
        assert np.array_equal(found, truth), f"{dtype} {order} {compressor}"


@pytest.mark.parametrize(
    ("dtype", "fill", "written"),
    [
        ("<f4", float("nan"), "NaN"),
        ("<f8", float("inf"), "Infinity"),
        ("<f8", float("-inf"), "-Infinity"),
        ("<f4", 1.5, 1.5),
        ("<u2", 3, 3),
        ("|b1", True, True),
        ("<c8", 1 + 2j, [1.0, 2.0]),
        ("<i4", None, 0),
        ("|b1", None, False),
        ("<c16", None, [0, 0.0]),
    ],
)
def test_fill_values_keep_their_meaning(dtype: str, fill: Json, written: Json, tmp_path: Path) -> None:
    truth = as_v2(tmp_path / "a", dtype, None, fill=fill)
    document = json.loads((tmp_path / "a" / ".zarray").read_text())
    result, noted = array_to_v3(document, {}, dimension_names=None, path="a")
    assert in_order(result["fill_value"]) == in_order(written)
    assert [problem.rule for problem in noted] == (["UPG007"] if document["fill_value"] is None else [])
    assert np.array_equal(read_as_v3(tmp_path / "a"), truth, equal_nan=dtype != "|b1")


def test_zero_axes_read_the_same_as_v3(tmp_path: Path) -> None:
    truth = as_v2(tmp_path / "a", "<f8", COMPRESSORS["zstd"], shape=())
    assert read_as_v3(tmp_path / "a") == truth


@pytest.mark.parametrize("name", ["delta", "shuffle", "fixedscaleoffset", "several"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_filters_become_codecs_of_numcodecs(name: str, order: str, tmp_path: Path) -> None:
    filters: dict[str, list[Any]] = {
        "delta": [numcodecs.Delta("<i4")],
        "shuffle": [numcodecs.Shuffle(4)],
        "fixedscaleoffset": [numcodecs.FixedScaleOffset(offset=1, scale=2, dtype="<i4", astype="<i4")],
        "several": [numcodecs.Delta("<i4"), numcodecs.Shuffle(4)],
    }
    truth = as_v2(tmp_path / "a", "<i4", COMPRESSORS["zstd"], order, filters=filters[name])
    _, noted = array_to_v3(json.loads((tmp_path / "a" / ".zarray").read_text()), {}, dimension_names=None, path="a")
    assert {problem.rule for problem in noted} == {"UPG010"}
    assert np.array_equal(read_as_v3(tmp_path / "a"), truth)


@pytest.mark.parametrize(
    ("change", "written"),
    [
        ({"fill_value": "0"}, 0),
        ({"fill_value": "2.5", "dtype": "<f4"}, 2.5),
        ({"fill_value": 7.0}, 7),
        ({"fill_value": 1, "dtype": "|b1"}, True),
        ({"fill_value": False}, 0),
    ],
)
def test_fill_values_as_careless_writers_spell_them(change: dict[str, Json], written: Json) -> None:
    result, _ = array_to_v3({**DOCUMENT, **change}, {}, dimension_names=None, path="a")
    assert in_order(result["fill_value"]) == in_order(written)


def test_unknown_keys_of_an_array_document_are_reported() -> None:
    _, noted = array_to_v3({**DOCUMENT, "mine": 1}, {}, dimension_names=None, path="a")
    assert [(problem.rule, problem.loc) for problem in noted] == [("UPG009", "a/.zarray.mine")]
