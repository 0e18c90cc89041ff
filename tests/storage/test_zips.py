"""Zip archives: read where they stand, and every lie that an archive can tell is one sentence."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import ziggurat as zg
from tests.layouts.fixtures import FIXTURES
from ziggurat.chunkio import CountingStore, DictStore, FileStore
from ziggurat.problems import DocumentError, LimitError, NotFound, PathError, StorageError, UnsupportedError, ZigguratError
from ziggurat.pyramid.places import split_archive
from ziggurat.storage import open_zip
from ziggurat.storage.zips import ZipStore

BY_ID = {fixture.id: fixture for fixture in FIXTURES}
COMMENT = json.dumps({"ome": {"version": "0.5", "zipFile": {"centralDirectory": {"jsonFirst": True}}}}).encode()
END = struct.Struct("<4sHHHHIIH")


def image(folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A pyramid of two levels, one of them sharded, written by zarr-python."""
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    rng = np.random.default_rng(9)
    levels = {str(k): rng.integers(0, 4000, (96 >> k, 64 >> k), dtype="u2") for k in range(2)}
    datasets = []
    for k, samples in levels.items():
        shards = {"shards": (64, 64)} if k == "0" else {}
        group.create_array(k, shape=samples.shape, chunks=(32, 32), dtype="u2", dimension_names=("y", "x"), **shards)[...] = samples
        f = 2.0 ** int(k)
        steps = [{"type": "scale", "scale": [f, f]}, {"type": "translation", "translation": [(f - 1) / 2] * 2}]
        datasets.append({"path": k, "coordinateTransformations": steps})
    axes = [{"name": name, "type": "space"} for name in "yx"]
    entry = {"name": "cells", "type": "mean", "metadata": {"method": "other"}, "axes": axes, "datasets": datasets}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [entry]}
    return folder, levels


def files_of(folder: Path) -> list[str]:
    """The files of a hierarchy in the order of RFC-9."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return sorted(names, key=lambda name: (not name.endswith("zarr.json"), name.count("/"), name))


def zipped(folder: Path, target: Path, *, method: int = zipfile.ZIP_STORED, comment: bytes = COMMENT, prefix: str = "") -> Path:
    """An archive of a folder; RFC-9's ZIP64 form is asked for by a size that is not known beforehand."""
    with zipfile.ZipFile(target, "w", method, strict_timestamps=False) as archive:
        for name in files_of(folder):
            archive.write(folder / name, prefix + name)
        archive.comment = comment
    return target


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_samples_are_those_of_the_folder(tmp_path: Path, method: int) -> None:
    folder, levels = image(tmp_path / "image.zarr")
    place = zipped(folder, tmp_path / "image.ozx", method=method)
    pyramid = zg.open(place)
    assert [np.array_equal(level.array, levels[level.path]) for level in pyramid] == [True, True]
    assert pyramid.multiscale.levels == zg.open(folder).multiscale.levels
    again = pickle.loads(pickle.dumps(pyramid.levels[0].array))
    assert np.array_equal(again[3:50, 5:60], levels["0"][3:50, 5:60])
    assert zg.open(f"{place}/1").name == "cells"  # a level finds its multiscale inside the archive
    by_zarr = zarr.open_group(zarr.storage.ZipStore(place, mode="r"), mode="r")
    assert np.array_equal(by_zarr["1"][...], pyramid.levels[1].array)


def test_a_folder_in_the_archive_is_opened_and_told(tmp_path: Path) -> None:
    folder, _ = image(tmp_path / "image.zarr")
    place = zipped(folder, tmp_path / "image.zip", prefix="image.zarr/")
    assert len(zg.open(place)) == 2
    assert [problem.rule for problem in zg.check(place)] == ["ZIP001"]


def test_collections_open_inside_archives(tmp_path: Path) -> None:
    folder = BY_ID["ome-zarr@0.5/good/plate"].write(tmp_path / "plate.zarr")
    place = zipped(folder, tmp_path / "plate.ozx")
    assert len(zg.open_collection(place)) == 6
    assert zg.open(place, multiscale="B/1/0").levels[0].shape == zg.open(f"{place}/B/1/0").levels[0].shape == (96, 64)
    with pytest.raises(NotFound, match="no Zarr group or array there"):
        zg.open(f"{place}/C/1")


def test_a_numbered_set_and_its_xml_are_read_inside_archives(tmp_path: Path) -> None:
    folder = BY_ID["ome-zarr@0.5/good/bioformats2raw-numbered"].write(tmp_path / "images.zarr")
    collection = zg.open_collection(zipped(folder, tmp_path / "images.ozx"))
    assert [member.about["name"] for member in collection.members] == ["series 0", "series 1"]


def rules(place: Path) -> set[str]:
    return {problem.rule for problem in zg.check(place)}


def test_the_rules_of_rfc_9(tmp_path: Path) -> None:
    folder, _ = image(tmp_path / "image.zarr")
    assert rules(zipped(folder, tmp_path / "a.ozx")) == {"ZIP007"}
    assert rules(zipped(folder, tmp_path / "b.zip")) == {"ZIP003", "ZIP007"}
    assert rules(zipped(folder, tmp_path / "c.ozx", method=zipfile.ZIP_DEFLATED)) == {"ZIP005", "ZIP007"}
    assert rules(zipped(folder, tmp_path / "d.ozx", comment=b"")) == {"ZIP006", "ZIP007"}
    assert rules(zipped(folder, tmp_path / "e.ozx", comment=b"no json")) == {"ZIP006", "ZIP007"}
    with zipfile.ZipFile(tmp_path / "f.ozx", "w") as archive:
        for name in reversed(files_of(folder)):
            archive.write(folder / name, name)
        archive.writestr("more.zip", b"")
        archive.comment = COMMENT
    assert rules(tmp_path / "f.ozx") == {"ZIP002", "ZIP004", "ZIP006", "ZIP007"}


def as_zip64(data: bytes) -> bytes:
    """The same archive with the records of ZIP64 at its end."""
    at = data.rfind(b"PK\x05\x06")
    _, _, _, n, _, n_bytes, offset, _ = END.unpack(data[at : at + 22])
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, n, n, n_bytes, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1)
    return data[:at] + record + locator + data[at:]


def test_an_archive_by_every_rule_is_silent(tmp_path: Path) -> None:
    folder, levels = image(tmp_path / "image.zarr")
    place = zipped(folder, tmp_path / "image.ozx")
    place.write_bytes(as_zip64(place.read_bytes()))
    with zipfile.ZipFile(place) as archive:
        assert archive.testzip() is None  # the standard library reads our ZIP64 records
    assert len(zg.check(place)) == 0
    assert np.array_equal(zg.open(place).levels[0].array, levels["0"])


def test_opening_costs_two_requests_for_the_archive_and_two_per_document(tmp_path: Path) -> None:
    folder, _ = image(tmp_path / "image.zarr")
    place = zipped(folder, tmp_path / "image.ozx")
    store = CountingStore(FileStore(str(tmp_path)))
    opened = ZipStore(store, place.name, location=str(place))
    assert store.gets.total() == 2 and store.sizes.total() == 1
    zg.open(opened)
    assert store.gets.total() <= 2 + 2 * 3


# --- hostile archives ----------------------------------------------------------------------------------------------------


def small(names: tuple[str, ...] = ("zarr.json", "a/b"), *, method: int = zipfile.ZIP_STORED, data: bytes = b"0123456789" * 20) -> bytes:
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def changed(data: bytes, at: int, what: bytes) -> bytes:
    return data[:at] + what + data[at + len(what) :]


def directory(data: bytes) -> int:
    return data.find(b"PK\x01\x02")


def twice(data: bytes) -> bytes:
    return data.replace(b"a/b", b"a/c").replace(b"a/d", b"a/c")


CASES: tuple[tuple[str, Callable[[], bytes], type[ZigguratError], str], ...] = (
    ("empty", lambda: b"", DocumentError, "no zip archive"),
    ("no zip", lambda: b"\0" * 5000, DocumentError, "no zip archive"),
    ("cut short", lambda: small()[:-30], DocumentError, "no zip archive, or one that was cut short"),
    ("parent", lambda: small(("../x",)), PathError, "leaves the group"),
    ("absolute", lambda: small(("/etc/passwd",)), PathError, "is absolute"),
    ("drive", lambda: small(("C:/x",)), PathError, "has a drive"),
    ("backslash", lambda: small(("a\\b",)).replace(b"a/b", b"a\\b"), PathError, "has a backslash"),
    ("dot", lambda: small(("a/./b",)), PathError, "is no plain path"),
    ("control", lambda: small(("a\x1bb",)), PathError, "has a control character"),
    ("name twice", lambda: twice(small(("a/b", "a/d"))), DocumentError, "stands twice"),
    ("encrypted", lambda: changed(small(), directory(small()) + 8, b"\x01\x00"), UnsupportedError, "encrypted"),
    ("volumes", lambda: changed(small(), len(small()) - 18, b"\x01\x00"), UnsupportedError, "one of several volumes"),
    ("many entries", lambda: as_zip64(small()).replace(struct.pack("<QQ", 2, 2), struct.pack("<QQ", 2**40, 2**40)), LimitError, "lists 1,099,511,627,776"),
    ("directory elsewhere", lambda: changed(small(), len(small()) - 6, struct.pack("<I", 2**31)), DocumentError, "does not lie where"),
    ("directory of zeros", lambda: changed(small(), directory(small()), b"\0" * 4), DocumentError, "cut short or damaged"),
    ("overlap", lambda: changed(small(), small().rfind(b"PK\x01\x02") + 42, b"\0" * 4), DocumentError, "lie upon each other"),
    ("stored size lies", lambda: changed(small(), directory(small()) + 24, struct.pack("<I", 2**30)), DocumentError, "stored as it is"),
    ("beyond the end", lambda: changed(small(), directory(small()) + 20, struct.pack("<II", 2**30, 2**30)), DocumentError, "lie upon|runs into"),
)


@pytest.mark.parametrize(("make", "error", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_an_archive_that_lies_is_one_sentence(make: Callable[[], bytes], error: type[ZigguratError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        ZipStore(DictStore({"x": make()}), "x", location="x.zip")
    assert "\n" not in str(caught.value) and type(caught.value) is error


def store_of(data: bytes) -> ZipStore:
    return ZipStore(DictStore({"x": data}), "x", location="x.zip")


def test_a_bomb_is_refused_before_it_is_inflated() -> None:
    bomb = small(("zarr.json", "c/0"), method=zipfile.ZIP_DEFLATED, data=b"\0" * 2**20)
    at = directory(bomb)
    with pytest.raises(LimitError, match="no honest value of this kind"):
        store_of(changed(bomb, at + 24, struct.pack("<I", 2**31))).get("zarr.json")
    # one that states a small size, and inflates to more
    with pytest.raises(StorageError, match="inflates to other than the 100 bytes"):
        store_of(changed(bomb, at + 24, struct.pack("<I", 100))).get("zarr.json")


def test_damage_is_told_with_the_key() -> None:
    data = small()
    with pytest.raises(StorageError, match=r"x.zip/zarr.json: its checksum is wrong"):
        store_of(data.replace(b"0123456789", b"0123456780", 1)).get("zarr.json")
    with pytest.raises(StorageError, match=r"x.zip/a/b: .* name different things"):
        store_of(data.replace(b"a/b", b"a/c", 1)).get("a/b")
    with pytest.raises(UnsupportedError, match="compressed by method 99"):
        store_of(changed(small(method=zipfile.ZIP_DEFLATED), directory(small(method=zipfile.ZIP_DEFLATED)) + 10, b"\x63\0")).get("zarr.json")
    with pytest.raises(StorageError, match="archives are only read"):
        store_of(data).put("zarr.json", [b""])


def test_parts_and_listings() -> None:
    store = store_of(small(("zarr.json", "a/b", "a/c/d")))
    assert store.get("a/b", (3, 4)) == b"3456" and store.get("a/b", (195, 50)) == b"56789" and store.get("a/b", (900, 5)) == b""
    assert store.get("nothing") is None and store.size("nothing") is None and store.size("a/b") == 200
    assert (store.names(""), store.names("a"), list(store.files("a") or ()), store.files("x")) == (["a"], ["c"], ["b"], None)


@settings(max_examples=150)
@given(data=st.data())
def test_no_damage_raises_anything_but_our_errors(data: st.DataObject) -> None:
    archive = bytearray(as_zip64(small(method=data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])))))
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    try:
        store = store_of(bytes(archive[: data.draw(st.integers(0, len(archive))) or len(archive)]))
        for name in ("zarr.json", "a/b"):
            store.get(name)
            store.names("a")
    except ZigguratError as error:
        assert "\n" not in str(error)


def test_only_files_and_urls_are_taken_for_archives(tmp_path: Path) -> None:
    (tmp_path / "folder.zip").mkdir()
    assert split_archive(str(tmp_path / "folder.zip" / "x")) is None
    assert split_archive("s3://bucket/a.OZX/0") == ("s3://bucket/a.OZX", "0")
    with pytest.raises(DocumentError, match="no zip archive"):
        (tmp_path / "text.zip").write_text("no archive")
        zg.open(tmp_path / "text.zip")
    assert isinstance(open_zip(str(zipped(image(tmp_path / "i.zarr")[0], tmp_path / "i.ozx"))), ZipStore)
