"""The fast path against zarr-python, over a counted matrix, both ways: ours writes and zarr reads, zarr writes and ours reads.

A case is one of every choice below. Codec, dtype, byte order, format, separator, key encoding and shards are crossed in full;
fill value, shape and the share of missing chunks are drawn for each with a fixed seed. The normal run
takes a sample with a fixed seed that still holds every choice; `--prove` takes all.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.buffer import cpu
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, ZstdCodec
from zarr.storage import MemoryStore

from ziggurat.chunkio import ArraySpec, ChunkArray, Codec, DictStore, array_documents, chunk_indices, chunk_region, fill_scalar, padded, read_region, why_not
from ziggurat.model import JSON

DTYPES = ("bool", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16")
CODECS = {
    "raw": Codec("raw"),
    "zstd": Codec("zstd", level=3),
    "zstd 0 checksum": Codec("zstd", level=0, checksum=True),
    "zstd -5": Codec("zstd", level=-5),
    "gzip": Codec("gzip", level=5),
    "zlib": Codec("zlib", level=1),
    "blosc zstd": Codec("blosc", level=3, cname="zstd", shuffle="shuffle"),
    "blosc lz4 bit": Codec("blosc", level=5, cname="lz4", shuffle="bitshuffle"),
    "blosc zlib": Codec("blosc", level=1, cname="zlib", shuffle="noshuffle"),
    "blosc lz4hc": Codec("blosc", level=9, cname="lz4hc", shuffle="shuffle", blocksize=256),
    "blosc blosclz": Codec("blosc", level=5, cname="blosclz", shuffle="shuffle"),
}
SHARDS = ("none", "end", "start", "end without crc32c", "start big-endian")
SHAPES = (((12, 8), (4, 4)), ((13, 9), (4, 4)), ((3, 2), (4, 4)), ((11,), (4,)), ((5, 1, 7, 3), (2, 1, 4, 4)), ((0, 5), (2, 4)), ((), ()))
FILLS: dict[str, tuple[JSON, ...]] = {
    "b": (False, True),
    "i": (0, -3, 0),
    "u": (0, 7, 0),
    "f": (0.0, "NaN", "Infinity", "-Infinity", 1.5, "hex"),
    "c": ([0.0, 0.0], ["NaN", 1.0], [2.0, "-Infinity"]),
}
PRESENT = (1.0, 0.5, 0.0)


@dataclass(frozen=True)
class Case:
    """One array: what a document can say, and what is in it."""

    dtype: str
    big_endian: bool
    codec: str
    crc32c: bool
    zarr_format: int
    separator: str
    v2_keys: bool
    shards: str
    fill: JSON
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    present: float

    @property
    def stored(self) -> np.dtype[np.generic]:
        return np.dtype(self.dtype).newbyteorder(">" if self.big_endian else "<")

    def spec(self) -> ArraySpec:
        codec = CODECS[self.codec]
        return ArraySpec(
            self.shape,
            self.stored,
            self.chunks,
            shards=None if self.shards == "none" else tuple(2 * c for c in self.chunks),
            codec=Codec(**{**{name: getattr(codec, name) for name in codec.__slots__}, "crc32c": self.crc32c}),
            fill_value=self.fill,
            dimension_names=tuple(f"d{i}" for i in range(len(self.shape))),
            zarr_format=3 if self.zarr_format == 3 else 2,
            separator="." if self.separator == "." else "/",
            index_location="start" if self.shards.startswith("start") else "end",
            attributes={"of": "a test"},
        )

    def documents(self) -> dict[str, JSON]:
        """Ours, with what only other writers write put in: v2 keys in v3, and other codecs of a shard's index."""
        documents = array_documents(self.spec())
        if self.zarr_format == 3:
            document = json.loads(json.dumps(documents["zarr.json"]))
            if self.v2_keys:
                document["chunk_key_encoding"]["name"] = "v2"
            if self.shards == "end without crc32c":
                document["codecs"][0]["configuration"]["index_codecs"].pop()
            if self.shards == "start big-endian":
                document["codecs"][0]["configuration"]["index_codecs"][0]["configuration"]["endian"] = "big"
            documents["zarr.json"] = document
        return documents

    def samples(self) -> np.ndarray:
        """Noise; whole chunks are fill where they should be missing."""
        rng = np.random.default_rng(zlib.crc32(repr(self).encode()))
        values = rng.integers(0, 256, (*self.shape, np.dtype(self.dtype).itemsize), np.uint8)
        values = values % 2 if self.dtype == "bool" else values
        samples = values.view(self.dtype).reshape(self.shape)
        fill = fill_scalar(self.fill, samples.dtype)
        for index in chunk_indices(self.shape, self.chunks):
            if rng.random() >= self.present:
                samples[chunk_region(index, self.chunks, self.shape)] = fill
        return samples


def _variants() -> Iterator[tuple[str, bool, str, bool, int, str, bool, str]]:
    orders = [(dtype, big) for dtype in DTYPES for big in ((False, True) if np.dtype(dtype).itemsize > 1 else (False,))]
    for (dtype, big), codec, separator in itertools.product(orders, CODECS, "./"):
        yield dtype, big, codec, False, 2, separator, False, "none"
        for v2_keys, crc32c, shards in itertools.product((False, True), (False, True), SHARDS):
            yield dtype, big, codec, crc32c, 3, separator, v2_keys, shards


def all_cases() -> list[Case]:
    draw = random.Random(50)
    cases = []
    for dtype, big, codec, crc32c, zarr_format, separator, v2_keys, shards in _variants():
        fill = draw.choice(FILLS[np.dtype(dtype).kind])
        if zarr_format == 2 and draw.random() < 0.2:
            fill = None
        if fill == "hex":
            bits = {2: "7e01", 4: "7fc00001", 8: "7ff8000000000001"}[np.dtype(dtype).itemsize]
            fill = f"0x{bits}" if zarr_format == 3 else "NaN"
        shape, chunks = draw.choice(SHAPES if shards == "none" else SHAPES[:-1])  # zarr-python (3.1.6) cannot shard what has no axes
        cases.append(Case(dtype, big, codec, crc32c, zarr_format, separator, v2_keys, shards, fill, shape, chunks, draw.choice(PRESENT)))
    return cases


def sample_of(cases: list[Case], n_v2: int, n_v3: int) -> list[Case]:
    draw = random.Random(20261122)
    return [case for zarr_format, n in ((2, n_v2), (3, n_v3)) for case in draw.sample([c for c in cases if c.zarr_format == zarr_format], n)]


def zarr_array(store: MemoryStore, case: Case) -> zarr.Array:
    """Returns the same array made by zarr-python, from the same choices and its own codec classes."""
    spec = case.spec()
    common = {"store": store, "name": "a", "shape": case.shape, "attributes": {"of": "a test"}}
    if case.zarr_format == 2:
        return zarr.create_array(
            **common,
            zarr_format=2,
            chunks=case.chunks,
            dtype=case.stored,
            compressors=_numcodec(spec.codec),
            fill_value=None if case.fill is None else fill_scalar(case.fill, case.stored),
            chunk_key_encoding={"name": "v2", "separator": case.separator},
        )
    serializer: object = BytesCodec(endian="big" if case.big_endian else "little") if case.stored.itemsize > 1 else BytesCodec(endian=None)
    compressors = [*_zarr_codecs(spec.codec, case.stored.itemsize), *([Crc32cCodec()] if case.crc32c else [])]
    outer = case.chunks
    if case.shards != "none":
        index_codecs: list[object] = [BytesCodec(endian="big" if "big" in case.shards else "little")]
        if "without" not in case.shards:
            index_codecs.append(Crc32cCodec())
        serializer = ShardingCodec(chunk_shape=case.chunks, codecs=[serializer, *compressors], index_codecs=index_codecs, index_location=spec.index_location)
        compressors, outer = [], spec.shards
    return zarr.create_array(
        **common,
        zarr_format=3,
        chunks=outer,
        dtype=case.stored.newbyteorder("="),
        serializer=serializer,
        compressors=compressors or None,
        fill_value=fill_scalar(case.fill, case.stored),
        chunk_key_encoding={"name": "v2" if case.v2_keys else "default", "separator": case.separator},
        dimension_names=spec.dimension_names,
    )


def _numcodec(codec: Codec) -> object:
    match codec.name:
        case "raw":
            return None
        case "zstd":
            return numcodecs.Zstd(level=codec.level, checksum=codec.checksum)
        case "gzip":
            return numcodecs.GZip(level=codec.level)
        case "zlib":
            return numcodecs.Zlib(level=codec.level)
    shuffle = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}[codec.shuffle]
    return numcodecs.Blosc(cname=codec.cname, clevel=codec.level, shuffle=shuffle, blocksize=codec.blocksize)


def _zarr_codecs(codec: Codec, itemsize: int) -> list[object]:
    match codec.name:
        case "raw":
            return []
        case "zstd":
            return [ZstdCodec(level=codec.level, checksum=codec.checksum)]
        case "gzip":
            return [GzipCodec(level=codec.level)]
        case "zlib":
            from zarr.codecs.numcodecs import Zlib

            return [Zlib(level=codec.level)]
    return [BloscCodec(typesize=itemsize, cname=codec.cname, clevel=codec.level, shuffle=codec.shuffle, blocksize=codec.blocksize)]


def quietly(function: Callable[[], np.ndarray]) -> np.ndarray:
    """zarr-python warns about parts of v3 that its specification does not have; these tests are not about that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function()


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def check_ours_to_zarr(case: Case) -> None:
    """Our documents equal zarr-python's, value for value, and zarr-python reads our chunks to the same bits."""
    values: dict[str, bytes] = {}
    documents, samples = case.documents(), case.samples()
    main = "zarr.json" if case.zarr_format == 3 else ".zarray"
    document = documents[main]
    assert why_not(document, case.zarr_format) is None
    array = ChunkArray.open(DictStore(values), "a", document, zarr_format=case.zarr_format)
    for index in chunk_indices(case.shape, case.chunks):
        array.write(index, padded(samples[chunk_region(index, case.chunks, case.shape)], case.chunks, array.fill))
    assert array.open_shards == 0
    assert array.held_bytes == 0
    store = MemoryStore({key: cpu.Buffer.from_bytes(value) for key, value in values.items()})

    made: dict[str, cpu.Buffer] = {}
    quietly(lambda: zarr_array(MemoryStore(made), case))
    for name, document in documents.items():
        theirs = json.loads(made[f"a/{name}"].to_bytes())
        ours = json.loads(json.dumps(document))
        if isinstance(case.fill, str) and case.fill.startswith("0x"):  # zarr-python says NaN for every NaN
            ours["fill_value"] = theirs["fill_value"]
        if name == ".zattrs":
            assert ours.pop("_ARRAY_DIMENSIONS") == list(case.spec().dimension_names)  # xarray's, not zarr-python's
        assert ours == theirs
        assert list(ours) == list(theirs)

    for name, document in documents.items():
        store._store_dict[f"a/{name}"] = cpu.Buffer.from_bytes(json.dumps(document).encode())
    back = quietly(lambda: zarr.open_array(store, path="a", zarr_format=case.zarr_format, mode="r")[...])
    back = np.asarray(back).astype(np.dtype(case.dtype))
    if isinstance(case.fill, str) and case.fill.startswith("0x"):  # whose NaN has not the bits either
        assert np.array_equal(back, samples, equal_nan=True)
    else:
        assert same_bits(back, samples)


def check_zarr_to_ours(case: Case) -> None:
    """We read what zarr-python wrote to the same bits, whole and in part."""
    made: dict[str, cpu.Buffer] = {}
    samples = case.samples()

    def write() -> np.ndarray:
        array = zarr_array(MemoryStore(made), case)
        array[...] = samples
        return samples

    quietly(write)
    values = {key: value.to_bytes() for key, value in made.items()}
    document = json.loads(values["a/zarr.json" if case.zarr_format == 3 else "a/.zarray"])
    if isinstance(case.fill, str) and case.fill.startswith("0x"):
        document["fill_value"] = case.fill
    assert why_not(document, case.zarr_format) is None
    array = ChunkArray.open(DictStore(values), "a", document, zarr_format=case.zarr_format)
    whole = read_region(array, tuple(slice(None) for _ in case.shape))
    if case.shape == () and isinstance(case.fill, str):  # a NaN of other bits than the fill's is all fill to zarr-python: not stored
        assert np.array_equal(whole, samples, equal_nan=True)
        return
    assert same_bits(whole, samples)
    some = tuple(slice(1, None, 2) for _ in case.shape)
    assert same_bits(read_region(array, some), np.asarray(samples[some], order="C"))
    n_stored = sum(array.read(index, np.empty(case.chunks, array.dtype)) for index in chunk_indices(case.shape, case.chunks))
    n_chunks = math.prod(-(-n // c) for n, c in zip(case.shape, case.chunks, strict=True))
    assert n_stored <= n_chunks
    if case.present == 0:
        assert n_stored == 0


def counts_of(cases: list[Case]) -> str:
    """Returns how often each choice occurs."""
    lines = [f"{len(cases)} cases, each both ways"]
    for name in ("dtype", "big_endian", "codec", "crc32c", "zarr_format", "separator", "v2_keys", "shards", "fill", "shape", "present"):
        counts = Counter(str(getattr(case, name)) for case in cases)
        lines.append(f"{name}: " + ", ".join(f"{choice} {n}" for choice, n in sorted(counts.items())))
    return "\n".join(lines)


SAMPLE = sample_of(all_cases(), 120, 240)


def test_the_sample_holds_every_choice() -> None:
    whole = all_cases()
    for name in ("dtype", "big_endian", "codec", "crc32c", "zarr_format", "separator", "v2_keys", "shards", "fill", "shape", "present"):
        assert {str(getattr(case, name)) for case in SAMPLE} == {str(getattr(case, name)) for case in whole}, name


@pytest.mark.parametrize("part", range(8))
def test_sample_ours_to_zarr(part: int) -> None:
    for case in SAMPLE[part::8]:
        try:
            check_ours_to_zarr(case)
        except Exception as error:
            error.add_note(str(case))
            raise


@pytest.mark.parametrize("part", range(8))
def test_sample_zarr_to_ours(part: int) -> None:
    for case in SAMPLE[part::8]:
        try:
            check_zarr_to_ours(case)
        except Exception as error:
            error.add_note(str(case))
            raise


@pytest.mark.prove
@pytest.mark.parametrize("dtype", DTYPES)
def test_whole_matrix(dtype: str, record_property: Callable[[str, object], None]) -> None:
    cases = [case for case in all_cases() if case.dtype == dtype]
    for case in cases:
        try:
            check_ours_to_zarr(case)
            check_zarr_to_ours(case)
        except Exception as error:
            error.add_note(str(case))
            raise
    print(counts_of(cases))
    record_property("cases, both ways", len(cases))
