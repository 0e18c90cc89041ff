"""Every pyramid as OME-Zarr: zarr-python reads the virtual trees, and finds the samples and the places of the pyramid itself."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import numpy as np
import pytest
import tensorstore
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

import ziggurat as zg
from tests.bridges.conftest import DTYPES, plane
from tests.layouts.fixtures import GOOD, Fixture
from ziggurat.bridges.server import Server, virtual
from ziggurat.bridges.server.chunks import ChunkCache
from ziggurat.bridges.server.shown import Shown, shown_of
from ziggurat.problems import NotFound, ZigguratError


def stored(shown: Shown, form: virtual.Form) -> zarr.Group:
    """The whole virtual tree, copied into a store of zarr-python's."""
    store = MemoryStore()
    buffer = default_buffer_prototype().buffer
    keys = ["zarr.json"] if form.startswith("v3") else [".zgroup", ".zattrs"]
    for level in shown.pyramid.levels:
        grid = tuple(-(-n // c) for n, c in zip(level.shape, virtual.chunks_of(level), strict=True))
        keys += [f"{level.index}/{name}" for name in (("zarr.json",) if form.startswith("v3") else (".zarray", ".zattrs"))]
        keys += [f"{level.index}/" + ("c/" + "/".join(map(str, i)) if form.startswith("v3") else ".".join(map(str, i))) for i in np.ndindex(grid)]
    for key in keys:
        data, _ = virtual.document_or_chunk(shown, form, key)
        asyncio.run(store.set(key, buffer.from_bytes(data)))
    return zarr.open_group(store, mode="r", zarr_format=3 if form.startswith("v3") else 2)


def multiscale_of(group: zarr.Group, form: virtual.Form) -> dict[str, object]:
    attributes = group.attrs.asdict()
    block = attributes["ome"] if form.startswith("v3") else attributes
    return block["multiscales"][0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("form", ["v3", "v2"])
def test_samples_and_places_are_those_of_the_pyramid(server: Server, numbers: dict[str, int], form: virtual.Form) -> None:
    for name, number in numbers.items():
        shown = server.shown[number]
        group = stored(shown, form)
        described = multiscale_of(group, form)
        assert [axis["name"] for axis in described["axes"]] == [axis.name for axis in shown.pyramid.axes], name  # type: ignore[index]
        for level, dataset in zip(shown.pyramid.levels, described["datasets"], strict=True):  # type: ignore[call-overload]
            np.testing.assert_array_equal(group[dataset["path"]][...], level.array[...], err_msg=name)  # type: ignore[index]
            scale, translation = dataset["coordinateTransformations"]
            assert scale["scale"] == list(level.scale)
            assert translation["translation"] == list(level.translation)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_served_as_it_is_and_safely(tmp_path: Path, dtype: str) -> None:
    samples = plane(dtype)
    zg.build(samples, tmp_path / "a.zarr", axes="yx", levels=2, reduction="stride", kind="image")
    (shown,) = shown_of([tmp_path / "a.zarr"], ChunkCache(2**20))
    for form in ("v3", "v2"):
        found = stored(shown, form)["0"][...]  # type: ignore[index]
        np.testing.assert_array_equal(found, samples)
        assert found.dtype == samples.dtype
    safe = stored(shown, "v3-safe")["0"][...]  # type: ignore[index]
    kind = np.dtype(dtype).kind
    expected = (
        np.abs(samples).astype("f4")
        if kind == "c"
        else samples * np.uint8(255)
        if kind == "b"
        else samples.astype("f4")
        if dtype in ("f2", "f8", "i8")
        else samples
    )
    np.testing.assert_array_equal(safe, expected)
    assert safe.dtype in (np.dtype(t) for t in ("i1", "u1", "i2", "u2", "i4", "u4", "u8", "f4"))


@pytest.mark.parametrize("fixture", [pytest.param(f, id=f.id) for f in GOOD])
def test_every_layout_of_the_corpus_is_presented(fixture: Fixture, tmp_path: Path) -> None:
    try:
        pyramid = zg.open(fixture.write(tmp_path), layout=fixture.layout if "multiscales-draft" in fixture.layout else None)
    except ZigguratError as error:
        pytest.skip(f"not opened from a folder without samples: {error}")
    if any(level.dtype.kind not in "biufc" for level in pyramid.levels):
        pytest.skip("samples that are no numbers")
    shown = Shown(0, "a", "a", lambda: pyramid, ChunkCache(2**20))
    for level in pyramid.levels:
        document = json.loads(virtual.document_or_chunk(shown, "v3", f"{level.index}/zarr.json")[0])
        assert tuple(document["shape"]) == level.shape
        assert document["dimension_names"] == [axis.name for axis in pyramid.axes]
        assert math.prod(virtual.chunks_of(level)) * level.dtype.itemsize <= 2**20


def test_tensorstore_reads_over_http(server: Server, numbers: dict[str, int], places: dict[str, Path]) -> None:
    for name in ("cosem, N5", "shards", "multiscales@0.1"):
        url = server.urls(numbers[name])
        for key, driver in (("zarr3", "zarr3"), ("zarr2", "zarr")):
            found = tensorstore.open({"driver": driver, "kvstore": {"driver": "http", "base_url": f"{url[key]}/1/"}}).result()
            np.testing.assert_array_equal(found.read().result(), zg.open(places[name]).levels[1].array[...])


@pytest.mark.parametrize(
    "key",
    [
        "", "0", "0/", "zarr.json/", "00/zarr.json", "9/zarr.json", "0/c", "0/c/0", "0/c/00/0", "0/c/0/9", "0/c/-1/0", "0/c/0/0/0", "0/0.0", "0/.zarray",
        "../zarr.json", "0/c/0/\u0660", "0/c/" + "1" * 400, "0//zarr.json", "a/zarr.json", "0/zarr.json\n",
    ],
)  # fmt: skip
def test_no_other_key_exists(server: Server, key: str) -> None:
    with pytest.raises(NotFound):
        virtual.document_or_chunk(server.shown[0], "v3", key)


def test_large_chunks_are_served_in_parts_and_decoded_once(tmp_path: Path) -> None:
    samples = plane("f8", (1500, 900))
    zg.build(samples, tmp_path / "a.zarr", axes="yx", levels=2, chunks=(1500, 900))
    cache = ChunkCache(2**28)
    (shown,) = shown_of([tmp_path / "a.zarr"], cache)
    level = shown.level(0)
    assert virtual.chunks_of(level) == (375, 225)
    np.testing.assert_array_equal(stored(shown, "v3")["0"][...], samples)  # type: ignore[index]
    assert cache.n_made <= 2 + 1  # each level's chunk, and the base's once for all its parts
