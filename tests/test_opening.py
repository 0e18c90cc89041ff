"""Opening: which multiscale, from where, at what cost; samples against zarr-python's own reading."""

from __future__ import annotations

import contextlib
import json
import pickle
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr

import ziggurat as zg
from ziggurat.chunkio import CountingStore, DictStore, FileStore
from ziggurat.problems import DocumentError, LayoutError, NotFound, OptionError, StorageError

RNG = np.random.default_rng(50)


def write_v2(root: Path, attributes: dict[str, object], arrays: dict[str, np.ndarray], chunks: tuple[int, ...], separator: str = "/") -> Path:
    group = zarr.open_group(root, mode="w", zarr_format=2)
    for path, samples in arrays.items():
        encoding = {"name": "v2", "separator": separator}
        group.create_array(path, shape=samples.shape, chunks=chunks, dtype=samples.dtype, chunk_key_encoding=encoding)[...] = samples
    group.attrs.update(attributes)
    return root


def write_v3(root: Path, attributes: dict[str, object], arrays: dict[str, np.ndarray], chunks: tuple[int, ...], names: tuple[str, ...]) -> Path:
    group = zarr.open_group(root, mode="w", zarr_format=3)
    for path, samples in arrays.items():
        group.create_array(path, shape=samples.shape, chunks=chunks, dtype=samples.dtype, dimension_names=names)[...] = samples
    group.attrs.update(attributes)
    return root


def ome(n_levels: int, *, translation: bool = True) -> dict[str, object]:
    datasets = []
    for k in range(n_levels):
        f = 2**k
        steps: list[dict[str, object]] = [{"type": "scale", "scale": [0.5, 0.1 * f, 0.1 * f]}]
        if translation:
            steps.append({"type": "translation", "translation": [0.0, 0.1 * (f - 1) / 2, 0.1 * (f - 1) / 2]})
        datasets.append({"path": f"s{k}", "coordinateTransformations": steps})
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    return {"name": "cells", "type": "mean", "axes": axes, "datasets": datasets, "metadata": {"method": "other.mean", "kwargs": {"a": [1, None]}}}


def volumes(n_levels: int) -> dict[str, np.ndarray]:
    return {f"s{k}": RNG.integers(0, 4000, (6, 40 >> k, 52 >> k), dtype=np.uint16) for k in range(n_levels)}


@pytest.fixture
def ome05(tmp_path: Path) -> Path:
    return write_v3(tmp_path / "ome05.zarr", {"ome": {"version": "0.5", "multiscales": [ome(3)]}}, volumes(3), (2, 16, 16), ("z", "y", "x"))


@pytest.fixture
def ome04(tmp_path: Path) -> Path:
    return write_v2(tmp_path / "ome04.zarr", {"multiscales": [{**ome(3), "version": "0.4"}]}, volumes(3), (2, 16, 16))


@pytest.fixture
def two_series(tmp_path: Path) -> Path:
    """The shape of the founding document: two series that share their base, Zarr v2, chunk keys with dots."""
    arrays = {"base": RNG.integers(0, 255, (64, 48, 3), dtype=np.uint8)}
    arrays |= {f"{letter}{k}": RNG.random((64 >> k, 48 >> k, 3)) for letter in "GL" for k in (1, 2)}
    series = [
        {"version": "0.1", "name": name, "type": name, "datasets": [{"path": "base"}, {"path": f"{name[0].upper()}1"}, {"path": f"{name[0].upper()}2"}]}
        for name in ("gaussian", "laplacian")
    ]
    return write_v2(tmp_path / "two.zarr", {"multiscales": series}, arrays, (32, 24, 3), ".")


def same_samples(pyramid: zg.Pyramid, root: Path) -> None:
    group = zarr.open_group(root, mode="r", use_consolidated=False)
    for level in pyramid:
        expected = group[level.path][...]
        assert level.array.dtype == expected.dtype
        np.testing.assert_array_equal(np.asarray(level.array), expected)
        np.testing.assert_array_equal(level.array[1:5:2, ::-3, -1], expected[1:5:2, ::-3, -1])


def test_every_sample_is_the_one_that_zarr_reads(ome05: Path, ome04: Path, two_series: Path) -> None:
    for root in (ome05, ome04, two_series):
        same_samples(zg.open(root), root)
        same_samples(zg.open(str(root)), root)


def test_metadata_is_what_the_document_says(ome05: Path, ome04: Path) -> None:
    for root, layout in ((ome05, "ome-zarr@0.5"), (ome04, "ome-zarr@0.4")):
        pyramid = zg.open(root)
        assert pyramid.layout == layout
        assert (pyramid.name, pyramid.type) == ("cells", "mean")
        assert pyramid.method == {"method": "other.mean", "kwargs": {"a": [1, None]}}
        assert [level.path for level in pyramid] == ["s0", "s1", "s2"]
        assert pyramid.levels[2].scale == (0.5, 0.4, 0.4)
        np.testing.assert_allclose(pyramid.levels[2].translation, (0, 0.15, 0.15))
        assert {level.translation_provenance for level in pyramid} == {"stated"}
        assert pyramid.levels[0].unit == ("micrometer",) * 3
        assert pyramid.problems == ()
        assert pyramid.siblings == ()


def test_an_absent_translation_is_inferred_marked_and_can_be_had_as_written(tmp_path: Path) -> None:
    root = write_v3(tmp_path / "a.zarr", {"ome": {"version": "0.5", "multiscales": [ome(3, translation=False)]}}, volumes(3), (2, 16, 16), ("z", "y", "x"))
    pyramid = zg.open(root)
    assert [level.translation_provenance for level in pyramid] == ["inferred"] * 3
    np.testing.assert_allclose(pyramid.levels[2].translation, (0, 0.15, 0.15))
    np.testing.assert_allclose([level.extent for level in pyramid], [pyramid.extent] * 3)
    assert any("translation" in problem.message for problem in pyramid.problems)
    assert [level.translation for level in pyramid.as_written()] == [(0.0, 0.0, 0.0)] * 3
    assert [level.scale for level in pyramid.as_written()] == [level.scale for level in pyramid]


# --- which multiscale --------------------------------------------------------------------------------------------------------


def test_the_first_multiscale_is_taken_unless_another_is_said(two_series: Path) -> None:
    assert zg.open(two_series).name == "gaussian"
    assert zg.open(two_series, multiscale=1).name == "laplacian"
    assert zg.open(two_series, multiscale="laplacian").name == "laplacian"
    assert zg.open(two_series, multiscale=lambda m: m.levels[1].path == "L1").name == "laplacian"
    assert [m.name for m in zg.list_multiscales(two_series)] == ["gaussian", "laplacian"]


def test_siblings_are_pyramids_of_the_same_group(two_series: Path) -> None:
    pyramid = zg.open(two_series, multiscale="laplacian")
    assert pyramid.position == (1, 2)
    (sibling,) = pyramid.siblings
    assert (sibling.name, sibling.position) == ("gaussian", (0, 2))
    same_samples(sibling, two_series)


def test_a_name_that_is_not_there_is_told_with_those_that_are(two_series: Path) -> None:
    with pytest.raises(OptionError, match=r"'mean'.*gaussian.*laplacian"):
        zg.open(two_series, multiscale="mean")
    with pytest.raises(OptionError, match="7"):
        zg.open(two_series, multiscale=7)


def test_the_chunking_can_choose(tmp_path: Path) -> None:
    samples = RNG.integers(0, 9, (16, 64, 64), dtype=np.uint8)
    root = tmp_path / "chunks.zarr"
    group = zarr.open_group(root, mode="w", zarr_format=2)
    group.create_array("cubes", shape=samples.shape, chunks=(16, 16, 16), dtype="u1")[...] = samples
    group.create_array("slices", shape=samples.shape, chunks=(1, 64, 64), dtype="u1")[...] = samples
    group.attrs["multiscales"] = [{"version": "0.1", "name": name, "datasets": [{"path": name}]} for name in ("cubes", "slices")]
    assert zg.open(root, chunks_like=(1, 512, 512)).name == "slices"
    assert zg.open(root, chunks_like=(32, 32, 32)).name == "cubes"


def test_a_level_finds_the_multiscale_that_lists_it(ome05: Path, two_series: Path, tmp_path: Path) -> None:
    assert zg.open(ome05 / "s2").name == "cells"
    same_samples(zg.open(ome05 / "s1"), ome05)
    assert zg.open(two_series / "L2", multiscale="laplacian").levels[2].path == "L2"
    deep = tmp_path / "deep.zarr"
    zarr.open_group(deep, mode="w", zarr_format=2).attrs["multiscales"] = [{"version": "0.1", "datasets": [{"path": "a/b/0"}]}]
    zarr.open_group(deep / "a" / "b", mode="w", zarr_format=2)
    zarr.create_array(deep / "a" / "b" / "0", shape=(4, 4), dtype="u1", zarr_format=2)
    zarr.create_array(deep / "a" / "b" / "unlisted", shape=(4, 4), dtype="u1", zarr_format=2)
    assert zg.open(deep / "a" / "b" / "0").levels[0].shape == (4, 4)
    with pytest.raises(NotFound, match="none of the 3 groups above lists"):
        zg.open(deep / "a" / "b" / "unlisted")


def test_zarr_objects_and_stores_are_places(ome05: Path, ome04: Path) -> None:
    for root in (ome05, ome04):
        files = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        memory = zarr.storage.MemoryStore({key: zarr.core.buffer.default_buffer_prototype().buffer.from_bytes(value) for key, value in files.items()})
        group = zarr.open_group(memory, mode="r")
        for place in (
            FileStore(str(root)),
            DictStore(files),
            files,
            memory,
            group,
            group["s1"],
            zarr.open_group(root, mode="r"),
            zarr.open_array(root / "s1", mode="r"),
        ):
            same_samples(zg.open(place), root)


def test_an_opened_pyramid_goes_to_another_process(ome05: Path, two_series: Path) -> None:
    files = {str(p.relative_to(ome05)): p.read_bytes() for p in ome05.rglob("*") if p.is_file()}
    for place, root in ((ome05, ome05), (two_series / "G1", two_series), (files, ome05), (zarr.open_group(ome05, mode="r"), ome05)):
        pyramid = zg.open(place)
        same_samples(pickle.loads(pickle.dumps(pyramid)), root)
        array = pickle.loads(pickle.dumps(pyramid.arrays[1]))
        np.testing.assert_array_equal(array[...], pyramid.arrays[1][...])
        blocks = pickle.loads(pickle.dumps(pyramid.levels[1].to_dask()))
        np.testing.assert_array_equal(blocks.compute(scheduler="sync"), pyramid.arrays[1][...])


# --- what opening costs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_levels", [1, 3, 5])
def test_opening_reads_two_documents_and_one_per_level_and_never_lists(tmp_path: Path, n_levels: int) -> None:
    root = write_v3(tmp_path / "a.zarr", {"ome": {"version": "0.5", "multiscales": [ome(n_levels)]}}, volumes(n_levels), (2, 16, 16), ("z", "y", "x"))
    store = CountingStore(FileStore(str(root)))
    pyramid = zg.open(store)
    assert len(pyramid) == n_levels
    assert set(store.gets) == {"zarr.json", *(f"s{k}/zarr.json" for k in range(n_levels))}
    repr(pyramid)
    assert store.n_gets == 1 + n_levels


def test_opening_zarr_v2_reads_two_documents_and_one_per_level(tmp_path: Path, two_series: Path) -> None:
    root = write_v2(tmp_path / "a.zarr", {"multiscales": [{**ome(4), "version": "0.4"}]}, volumes(4), (2, 16, 16))
    store = CountingStore(FileStore(str(root)))
    repr(zg.open(store))
    assert dict(store.gets) == dict.fromkeys(["zarr.json", ".zattrs", *(f"s{k}/.zarray" for k in range(4))], 1)  # what is not there is a request too
    store = CountingStore(FileStore(str(two_series)))
    zg.open(store)
    assert max(store.gets.values()) == 1  # arrays that two series share are read once
    assert store.n_gets <= 2 + 3 + 3


def test_an_array_of_zarr_v2_that_speaks_of_multiscales_is_no_group(tmp_path: Path) -> None:
    root = write_v2(tmp_path / "a.zarr", {"multiscales": [{**ome(3), "version": "0.4"}]}, volumes(3), (2, 16, 16))
    (root / "s1" / ".zattrs").write_text((root / ".zattrs").read_text())  # copied with the samples, as some tools do
    assert zg.open(root / "s1").location == zg.open(root).location
    (root / ".zattrs").write_text("{}")
    with pytest.raises(zg.ZigguratError, match="an array that none of the"):
        zg.open(root / "s1")


def test_reading_gets_only_the_chunks_that_are_needed(ome05: Path) -> None:
    store = CountingStore(FileStore(str(ome05)))
    pyramid = zg.open(store)
    before = store.gets.copy()
    pyramid.levels[1].array[0, 0:16, 4:20]
    assert store.gets - before == {"s1/c/0/0/0": 1, "s1/c/0/0/1": 1}


@contextlib.contextmanager
def http_server(root: Path) -> Iterator[str]:
    """Python's own file server in a process of its own; it knows no ranges, and lists only as HTML."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().split("port ")[1].split(" ")[0]
            url = f"http://127.0.0.1:{port}"
            for _ in range(100):
                with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(url, timeout=5):
                    break
                time.sleep(0.05)
            yield url
        finally:
            server.terminate()


def test_a_plain_file_server_is_enough(ome05: Path, two_series: Path) -> None:
    pytest.importorskip("obstore")
    with http_server(ome05.parent) as url:
        for root in (ome05, two_series):
            pyramid = zg.open(f"{url}/{root.name}")
            same_samples(pyramid, root)
        assert zg.open(f"{url}/{ome05.name}/s1").name == "cells"
        assert zg.check(f"{url}/{ome05.name}").ok
        with pytest.raises(NotFound, match="nothing"):
            zg.open(f"{url}/nothing.zarr")


# --- what is wrong ------------------------------------------------------------------------------------------------------------


def test_a_missing_level_does_not_stop_the_others(ome05: Path) -> None:
    (ome05 / "s1" / "zarr.json").unlink()
    pyramid = zg.open(ome05)
    assert [level.index for level in pyramid] == [0, 2]
    assert [(p.requirement, p.loc) for p in pyramid.problems] == [("MUST", "ome.multiscales[0].datasets[1].path")]
    same_samples(pyramid, ome05)


def test_a_missing_base_is_an_error(ome05: Path) -> None:
    (ome05 / "s0" / "zarr.json").unlink()
    with pytest.raises(NotFound, match=r"levels\[0\].path 's0': no array there"):
        zg.open(ome05)
    assert not zg.check(ome05).ok


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda p: p / "nothing", NotFound, "no such file or folder"),
        (lambda p: (p / "a.png").write_bytes(b"\x89PNG") and p / "a.png", NotFound, "ziggurat build"),
        (lambda p: (p / "a.tif").write_bytes(b"II*\0") and p / "a.tif", DocumentError, "the file ends inside a directory"),
        (lambda p: p, NotFound, "a folder, but no Zarr group or array"),
        (lambda p: zarr.open_group(p / "g", mode="w") and p / "g", NotFound, "without multiscale metadata"),
        (lambda p: zarr.create_array(p / "a", shape=(3,), dtype="u1") and p / "a", NotFound, "an array that none of the 3 groups above lists"),
    ],
)
def test_places_without_a_multiscale_are_told_in_one_sentence(tmp_path: Path, make: object, error: type[Exception], words: str) -> None:
    place = make(tmp_path)  # type: ignore[operator]
    with pytest.raises(error, match=words) as caught:
        zg.open(place)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, zg.ZigguratError)


def test_a_folder_that_holds_a_pyramid_names_it(ome05: Path) -> None:
    with pytest.raises(NotFound, match=r"there is one in 'ome05\.zarr'"):
        zg.open(ome05.parent)


@pytest.mark.parametrize("text", ["{", '{"zarr_format": 3, "node_type": "group", "attributes": NaN}', '{"zarr_format": 3, "zarr_format": 2}', "[]"])
def test_documents_that_cannot_be_read_are_told_with_their_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "zarr.json").write_text(text)
    with pytest.raises(DocumentError, match=r"zarr\.json") as caught:
        zg.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_series_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    document = {"zarr_format": 3, "node_type": "group", "attributes": {"multiscales": [{"version": "0.1", "name": "x"}]}}
    (tmp_path / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(DocumentError, match=r"multiscales\[0\].datasets"):
        zg.open(tmp_path)


def test_an_unknown_layout_is_told_with_those_that_are_known(ome05: Path) -> None:
    with pytest.raises(LayoutError, match=r"ome-zarr@0\.5"):
        zg.open(ome05, layout="ome-zarr@9")


def test_a_chunk_that_cannot_be_decoded_is_told_by_its_key(ome05: Path) -> None:
    pyramid = zg.open(ome05)
    (ome05 / "s2" / "c" / "0" / "0" / "0").write_bytes(b"torn")
    with pytest.raises(StorageError, match="s2/c/0/0/0"):
        pyramid.levels[2].array[0]


# --- laplacian series -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def laplacian(tmp_path: Path) -> tuple[Path, np.ndarray]:
    base = RNG.integers(0, 256, (45, 52), dtype=np.uint8)
    base[:9], base[-4:] = 255, 0
    np.save(tmp_path / "a.npy", base)
    zg.build(tmp_path / "a.npy", tmp_path / "g.zarr", reduction="gaussian", factors=2, levels=4, chunks=16, layout="multiscales@0.1")
    zg.build(tmp_path / "a.npy", tmp_path / "l.zarr", reduction="laplacian", factors=2, levels=4, chunks=16, layout="multiscales@0.1", residual_base=True)
    return tmp_path, base


def test_a_laplacian_series_gives_back_every_gaussian_level_bit_for_bit(laplacian: tuple[Path, np.ndarray]) -> None:
    root, base = laplacian
    gaussian, differences = zg.open(root / "g.zarr"), zg.open(root / "l.zarr")
    assert len(gaussian) == len(differences) == 4
    for level in gaussian:
        found = differences.reconstruct(level.index)
        assert found.dtype == base.dtype
        np.testing.assert_array_equal(found, level.array[...])
    np.testing.assert_array_equal(differences.reconstruct(), base)
    assert differences.levels[1].dtype != base.dtype


def test_only_a_laplacian_of_ours_can_be_reconstructed(laplacian: tuple[Path, np.ndarray], two_series: Path) -> None:
    root, _ = laplacian
    with pytest.raises(LayoutError, match=r"made by 'ziggurat\.gaussian'"):
        zg.open(root / "g.zarr").reconstruct(1)
    with pytest.raises(LayoutError, match="does not say"):
        zg.open(two_series, multiscale="laplacian").reconstruct(1)
    with pytest.raises(OptionError, match="level=4: not there; the levels are 0 to 3"):
        zg.open(root / "l.zarr").reconstruct(4)
    document = root / "l.zarr" / "2" / "zarr.json"
    (document if document.exists() else root / "l.zarr" / "2" / ".zarray").unlink()
    with pytest.raises(NotFound, match="the sum of all coarser ones"):
        zg.open(root / "l.zarr").reconstruct(1)


@pytest.mark.parametrize("place", ["", " "])
def test_an_empty_place_is_not_the_current_folder(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zg.build(np.zeros((8, 8), np.uint8), ".", levels=1, layout="ome-zarr@0.4")  # a dot is meant
    before = sorted(path.name for path in tmp_path.iterdir())
    calls = [lambda: zg.open(place), lambda: zg.check(place), lambda: zg.build(place), lambda: zg.plan(place), lambda: zg.upgrade(place, to="ome-zarr@0.5")]
    calls += [lambda: zg.build(np.zeros((8, 8), np.uint8), place), lambda: zg.upgrade(".", to="ome-zarr@0.5", dest=place)]
    for call in calls:
        with pytest.raises(zg.ZigguratError, match="found an empty text, expected a path or a URL"):
            call()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_level_finds_the_series_that_lists_it_among_several(tmp_path):
    group = zarr.create_group(tmp_path / "g.zarr", zarr_format=2)
    for name, n in {"a": 32, "b": 16, "c": 8}.items():
        group.create_array(name, shape=(n, n), chunks=(8, 8), dtype="u1")
    series = {"one": "ab", "two": "ac"}
    group.attrs["multiscales"] = [{"version": "0.1", "name": name, "datasets": [{"path": path} for path in paths]} for name, paths in series.items()]
    found = {name: zg.open(tmp_path / "g.zarr" / name).name for name in "abc"}
    assert found == {"a": "one", "b": "one", "c": "two"}
    assert zg.open(tmp_path / "g.zarr" / "c", multiscale="one").name == "one"


def test_links_out_of_the_folder_are_followed_only_when_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ziggurat.cli import run

    samples = volumes(2)
    write_v2(tmp_path / "elsewhere", {}, {"s1": samples["s1"]}, (4, 16, 16))
    store = write_v2(tmp_path / "a.zarr", {"multiscales": [ome(2) | {"version": "0.4"}]}, {"s0": samples["s0"]}, (4, 16, 16))
    (store / "s1").symlink_to(tmp_path / "elsewhere" / "s1")
    refused = zg.check(store)
    assert not refused.ok and "outside the folder; copy the data in, or say allow_links=True" in refused.problems[0].message
    assert [m.levels[1].array for m in zg.list_multiscales(store)] == [None]
    assert len(zg.open(store).levels) == 1
    assert zg.check(store, allow_links=True).ok
    assert len(zg.list_multiscales(store, allow_links=True)[0].levels) == 2
    pyramid = pickle.loads(pickle.dumps(zg.open(store, allow_links=True)))
    assert np.array_equal(pyramid.levels[1].array, samples["s1"])
    assert run(["check", str(store)]) == 1
    assert "or say --allow-links" in capsys.readouterr().out
    assert run(["info", str(store), "--allow-links"]) == 0 == run(["check", str(store), "--allow-links"])
