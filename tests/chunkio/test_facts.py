"""What the fast path takes of an array's document, and what it leaves."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.chunkio import (
    ArraySpec,
    ChunkArray,
    Codec,
    DictStore,
    array_documents,
    array_facts,
    chunk_key,
    codec_of,
    why_not,
)
from ziggurat.model import JSON
from ziggurat.problems import LimitError

U2 = np.dtype("u2")


def document(spec: ArraySpec) -> dict[str, JSON]:
    found = json.loads(json.dumps(array_documents(spec)[".zarray" if spec.zarr_format == 2 else "zarr.json"]))
    assert isinstance(found, dict)
    return found


V2 = document(ArraySpec((9, 9), U2, (4, 4), zarr_format=2))
V3 = document(ArraySpec((9, 9), U2, (4, 4)))
SHARDED = document(ArraySpec((9, 9), U2, (4, 4), shards=(8, 8)))


def changed(base: dict[str, JSON], **changes: JSON) -> dict[str, JSON]:
    return {**base, **changes}


def with_codecs(*codecs: JSON) -> dict[str, JSON]:
    return changed(V3, codecs=[{"name": "bytes", "configuration": {"endian": "little"}}, *codecs])


def with_sharding(**changes: JSON) -> dict[str, JSON]:
    found = json.loads(json.dumps(SHARDED))
    found["codecs"][0]["configuration"].update(changes)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (changed(V2, zarr_format=3), "zarr_format"),
        (changed(V2, order="F"), "order"),
        (changed(V2, filters=[{"id": "delta", "dtype": "<u2"}]), "filters 'delta'"),
        (changed(V2, compressor={"id": "lz4"}), "'lz4'"),
        (changed(V2, compressor={"id": "blosc", "cname": "snappy"}), "snappy"),
        (changed(V2, compressor={"id": "blosc", "cname": "zstd", "shuffle": 7}), "shuffle"),
        (changed(V2, compressor="zstd"), "compressor"),
        (changed(V2, compressor={"id": "zstd", "level": "high"}), "level"),
        (changed(V2, dtype="|O"), "dtype"),
        (changed(V2, dtype="<M8[ns]"), "dtype"),
        (changed(V2, dtype="<f16"), "dtype"),
        (changed(V2, dtype="<f3"), "dtype"),
        (changed(V2, dtype=[["a", "<u2"]]), "dtype"),
        (changed(V2, dimension_separator="-"), "separator"),
        (changed(V2, chunks=[4]), "chunks"),
        (changed(V2, chunks=[4, 0]), "chunks"),
        (changed(V2, chunks=[4, True]), "chunks"),
        (changed(V2, shape=[9, 9.0]), "shape"),
        (changed(V2, fill_value="0"), "fill_value"),
        (changed(V3, node_type="group"), "node_type"),
        (changed(V3, data_type="r16"), "data_type"),
        (changed(V3, data_type={"name": "numpy.datetime64"}), "data_type"),
        (changed(V3, chunk_grid={"name": "rectilinear", "configuration": {}}), "rectilinear"),
        (changed(V3, chunk_grid=7), "chunk_grid"),
        (changed(V3, chunk_key_encoding={"name": "suffix"}), "suffix"),
        (changed(V3, storage_transformers=[{"name": "x"}]), "storage_transformers"),
        (changed(V3, novelty={"must_understand": True}), "novelty"),
        (changed(V3, novelty=1), "novelty"),
        (changed(V3, fill_value=None), "fill_value"),
        (changed(V3, codecs=[]), "codecs"),
        (changed(V3, codecs=[{"name": "zstd"}]), "zstd"),
        (changed(V3, codecs=[{"name": "bytes"}]), "endian"),
        (with_codecs({"name": "numcodecs.lz4"}), "lz4"),
        (with_codecs({"name": "gzip"}, {"name": "zstd"}), "'gzip', 'zstd'"),
        (with_codecs({"name": "crc32c"}, {"name": "zstd"}), "'crc32c', 'zstd'"),
        (with_codecs({"name": "blosc", "configuration": {"cname": "zstd", "shuffle": 1, "typesize": 2, "clevel": 1}}), "blosc shuffle 1"),
        (changed(V3, codecs=[{"name": "transpose", "configuration": {"order": [1, 0]}}, *V3["codecs"]]), "transpose"),
        (changed(SHARDED, codecs=[*SHARDED["codecs"], {"name": "crc32c"}]), "around sharding"),
        (with_sharding(chunk_shape=[3, 4]), "multiple"),
        (with_sharding(codecs=[]), "codecs of a shard"),
        (with_sharding(codecs=SHARDED["codecs"]), "sharding_indexed"),
        (with_sharding(index_codecs=[{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd"}]), "index_codecs"),
        (with_sharding(index_location="middle"), "index_location"),
    ],
)
def test_what_the_fast_path_leaves(found: dict[str, JSON], reason: str) -> None:
    said = why_not(found, 2 if "dtype" in found else 3)
    assert said is not None
    assert reason in said


@pytest.mark.parametrize(
    "found",
    [
        V2,
        V3,
        SHARDED,
        {k: v for k, v in V2.items() if k not in ("dimension_separator", "filters", "order", "fill_value")},
        changed(V2, filters=[], compressor={"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": -1}),
        changed(V3, novelty={"must_understand": False}),
        {k: v for k, v in V3.items() if k not in ("storage_transformers", "attributes", "dimension_names")},
        with_codecs("crc32c"),
        with_codecs({"name": "blosc", "configuration": {"cname": "zstd", "clevel": 1, "shuffle": "noshuffle", "typesize": 0, "blocksize": 0}}),
        with_codecs({"name": "blosc", "configuration": {"cname": "zstd", "clevel": 1, "shuffle": "shuffle", "typesize": 4, "blocksize": 0}}),
        changed(V3, data_type="uint8", codecs=["bytes"]),
        changed(V3, chunk_key_encoding={"name": "v2"}),
        changed(V3, chunk_key_encoding="default"),
    ],
)
def test_what_the_fast_path_takes_beyond_what_it_writes(found: dict[str, JSON]) -> None:
    assert why_not(found, 2 if "dtype" in found else 3) is None


def places(value: JSON, here: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Returns the paths of all places of a document."""
    below = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    return [here, *(place for key, inner in below for place in places(inner, (*here, key)))]


def replaced(value: JSON, place: tuple[str | int, ...], new: JSON) -> JSON:
    if not place:
        return new
    copy: JSON = json.loads(json.dumps(value))
    inner: JSON = copy
    for key in place[:-1]:
        inner = inner[key]  # type: ignore[index,call-overload]
    inner[place[-1]] = new  # type: ignore[index,call-overload]
    return copy


SCALARS: list[JSON] = [None, True, False, 0, 1, -1, 2, 10**6, 2**70, 0.5, 1e300, "", "bytes", "zstd", "crc32c", "little", "C", "<f4", ">M8", "NaN", "0x7f"]
CONTAINERS: list[JSON] = [[], [4], [4, 4], [[]], {}, {"name": "zstd"}, {"id": "blosc"}]


@given(st.data())
def test_no_document_breaks_the_test_for_the_fast_path(data: st.DataObject) -> None:
    found = data.draw(st.sampled_from([V2, V3, SHARDED]))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places(found)[1:]))
        new = replaced(found, place, data.draw(st.sampled_from([*SCALARS, *CONTAINERS])))
        assert isinstance(new, dict)
        found = new
    for zarr_format in (2, 3):
        try:
            said = why_not(found, zarr_format)
        except LimitError:
            continue
        if said is None:
            facts = array_facts(found, zarr_format)
            assert len(facts.shape) == len(facts.chunks)


def test_a_codec_survives_its_document() -> None:
    codecs = [Codec("raw"), Codec("zstd", level=7), Codec("zstd", level=-3, checksum=True), Codec("gzip", level=2), Codec("zlib", level=9)]
    codecs += [Codec("blosc", level=4, typesize=1), Codec("blosc", typesize=4)]
    codecs += [Codec("blosc", level=4, cname=c, shuffle=s, blocksize=128) for c in ("lz4", "zstd") for s in ("noshuffle", "shuffle", "bitshuffle")]
    for codec in codecs:
        for zarr_format in (2, 3):
            found = document(ArraySpec((9,), U2, (4,), codec=codec, zarr_format=3 if zarr_format == 3 else 2))
            read = codec_of(found, zarr_format)
            assert document(ArraySpec((9,), U2, (4,), codec=read, zarr_format=3 if zarr_format == 3 else 2)) == found
    sharded = document(ArraySpec((9,), U2, (4,), shards=(8,), codec=Codec("gzip", level=1, crc32c=True)))
    assert codec_of(sharded, 3).crc32c


def test_codecs_of_others_are_carried_verbatim() -> None:
    lz4 = changed(V2, compressor={"id": "lz4", "acceleration": 1}, filters=[{"id": "delta", "dtype": "<u2"}])
    spec = ArraySpec((5, 5), U2, (4, 4), codec=codec_of(lz4, 2), zarr_format=2)
    assert document(spec)["compressor"] == lz4["compressor"]
    assert document(spec)["filters"] == lz4["filters"]
    inner = [{"name": "transpose", "configuration": {"order": [1, 0]}}, {"name": "bytes", "configuration": {"endian": "little"}}]
    spec = ArraySpec((9, 9), U2, (4, 4), shards=(8, 8), codec=codec_of(with_sharding(codecs=inner), 3))
    assert document(spec)["codecs"] == with_sharding(codecs=inner)["codecs"]


def test_chunk_keys_of_every_encoding() -> None:
    cases = [(V2, 2, "1/2"), (changed(V2, dimension_separator="."), 2, "1.2"), (V3, 3, "c/1/2")]
    cases += [
        (changed(V3, chunk_key_encoding={"name": name, "configuration": {"separator": "."}}), 3, key) for name, key in (("v2", "1.2"), ("default", "c.1.2"))
    ]
    cases += [(changed(V3, chunk_key_encoding={"name": name}), 3, key) for name, key in (("v2", "1.2"), ("default", "c/1/2"))]
    for found, zarr_format, key in cases:
        assert chunk_key(array_facts(found, zarr_format), (1, 2)) == key
        assert ChunkArray.open(DictStore(), "p/q", found, zarr_format=zarr_format).key((1, 2)) == f"p/q/{key}"
