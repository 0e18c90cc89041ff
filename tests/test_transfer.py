"""Upgrades on the disk: every moment of an upgrade in place opens, sources stay untouched, samples stay equal.

Stores are made by zarr-python, and read back by it and by our own reader.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import zarr

import ziggurat as zg
import ziggurat.problems as problems
from ziggurat import layouts, transfer
from ziggurat.chunkio import FileStore, read_region
from ziggurat.locking import locked
from ziggurat.node import FileNode
from ziggurat.storage import open_array
from ziggurat.transfer.upgrades import run

Make = Callable[[Path], None]
SHAPES = ((1, 2, 5, 15, 13), (1, 2, 5, 8, 7), (1, 2, 5, 4, 4))


def samples(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    return (np.arange(np.prod(shape)).reshape(shape) * 7 % 251).astype(dtype)


def make_levels(group: zarr.Group, shapes: tuple[tuple[int, ...], ...], *, separator: str, dtype: str = "uint16", compressors: object = "auto") -> None:
    for index, shape in enumerate(shapes):
        chunks = tuple(min(n, 7) for n in shape)
        encoding = {"name": "v2", "separator": separator} if group.metadata.zarr_format == 2 else {"name": "default", "separator": separator}
        array = group.create_array(str(index), shape=shape, chunks=chunks, dtype=dtype, chunk_key_encoding=encoding, compressors=compressors)
        array[...] = samples(shape, dtype)
        array[(slice(0, 7),) * len(shape)] = 0  # the first chunk holds the fill value, so zarr-python stores none


def make_01(path: Path) -> None:
    """OME-Zarr 0.1 with omero, a label image, a stranger's folder and file, all consolidated."""
    root = zarr.open_group(path, mode="w", zarr_format=2)
    make_levels(root, SHAPES, separator=".")
    root.attrs["multiscales"] = [{"version": "0.1", "name": "a", "datasets": [{"path": str(i)} for i in range(3)], "metadata": {"version": "0.1"}}]
    root.attrs["omero"] = {"version": "0.1", "channels": [{"color": "FF0000", "window": {"start": 0, "end": 9, "min": 0, "max": 9}}] * 2}
    labels = root.create_group("labels", attributes={"labels": ["cells"]})
    cells = labels.create_group("cells")
    make_levels(cells, SHAPES, separator=".", dtype="int32")
    cells.attrs["multiscales"] = [{"version": "0.1", "name": "cells", "datasets": [{"path": str(i)} for i in range(3)]}]
    cells.attrs["image-label"] = {"version": "0.1", "colors": [{"label-value": 1, "rgba": [1, 2, 3, 4]}]}
    zarr.consolidate_metadata(str(path), zarr_format=2)
    (path / "OME").mkdir()
    (path / "OME" / "METADATA.ome.xml").write_text("<OME/>")


def make_04(path: Path) -> None:
    """The same as 0.4, by our own upgrade of it."""
    make_01(path)
    transfer.upgrade(path, to="ome-zarr@0.4")


def make_04_in_v3(path: Path) -> None:
    """0.4 in a group of Zarr v3 without `ome`, as some tools wrote before 0.5 was out."""
    root = zarr.open_group(path, mode="w", zarr_format=3)
    make_levels(root, ((9, 22, 17), (9, 11, 9)), separator="/")
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scales = [[2, 0.5, 0.5], [2, 1.0, 1.0]]
    datasets = [{"path": str(i), "coordinateTransformations": [{"type": "scale", "scale": scale}]} for i, scale in enumerate(scales)]
    root.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr-python: not part of the v3 specification
        zarr.consolidate_metadata(str(path), zarr_format=3)


def make_founding(path: Path) -> None:
    """Two series of 2-D arrays that share the base, as the founding document has them."""
    root = zarr.open_group(path, mode="w", zarr_format=2)
    make_levels(root, ((22, 17), (11, 9), (11, 9)), separator=".", compressors=None)
    paths = {"gaussian": ("0", "1"), "laplacian": ("0", "2")}
    root.attrs["multiscales"] = [{"version": "0.1", "name": name, "type": name, "datasets": [{"path": p} for p in ps]} for name, ps in paths.items()]


def make_rgb(path: Path) -> None:
    root = zarr.open_group(path, mode="w", zarr_format=2)
    make_levels(root, ((22, 17, 3), (11, 9, 3)), separator=".", dtype="uint8")
    root.attrs["multiscales"] = [{"version": "0.1", "datasets": [{"path": "0"}, {"path": "1"}]}]


def tree_hash(path: Path) -> dict[str, str]:
    return {str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(path.rglob("*")) if p.is_file()}


def documents(path: Path) -> dict[str, object]:
    names = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
    return {str(p.relative_to(path)): json.loads(p.read_text()) for p in sorted(path.rglob("*")) if p.name in names}


def by_zarr(path: Path, *, zarr_format: int | None = None, use_consolidated: bool | None = False) -> dict[str, np.ndarray]:
    """Every level of the root's and the label's multiscales, opened from the root by zarr-python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both formats side by side, our journal's folder
        root = zarr.open_group(path, mode="r", zarr_format=zarr_format, use_consolidated=use_consolidated)
        names = ["", "labels/cells/"] if "labels" in root else [""]
        return {f"{name}{level}": root[f"{name}{level}"][...] for name in names for level in _levels(root, name)}


def by_v2_readers(path: Path) -> dict[str, np.ndarray] | None:
    """The same as a reader sees it that knows Zarr v2 alone and trusts consolidated copies; None where it finds no group."""
    try:
        return by_zarr(path, zarr_format=2, use_consolidated=None)
    except FileNotFoundError:
        return None


def _levels(root: zarr.Group, name: str) -> list[str]:
    attributes = dict((root[name.strip("/")] if name else root).attrs)
    entries = attributes.get("ome", attributes)["multiscales"]
    return list(dict.fromkeys(dataset["path"] for entry in entries for dataset in entry["datasets"]))


def by_ours(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    """The layout that our reader finds, and every level's samples."""
    found, layout = {}, ""
    for name in ("labels/cells", ""):
        node = FileNode(path).child(name) if name else FileNode(path)
        if node.kind == "absent":
            continue
        result = layouts.read(node)
        layout = result.layout
        for level in (level for multiscale in result.multiscales for level in multiscale.levels):
            array = node.child(level.path)
            assert array.array_document is not None
            at = "/".join(part for part in (name, level.path) if part)
            reader = open_array(FileStore(path), at, array.array_document, array.zarr_format)
            found[at] = read_region(reader, [slice(None)] * len(reader.shape))
    return layout, found


def equal(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


class Stopped(BaseException):
    """A process that ends here."""


def stop_at(n: int) -> Callable[[str, str], None]:
    left = iter(range(n))

    def watch(operation: str, key: str) -> None:
        if next(left, None) is None:
            raise Stopped(f"{operation} {key}")

    return watch


CASES = [
    pytest.param(make_01, "ome-zarr@0.2", id="0.1-to-0.2"),
    pytest.param(make_01, "ome-zarr@0.4", id="0.1-to-0.4"),
    pytest.param(make_01, "ome-zarr@0.5", id="0.1-to-0.5"),
    pytest.param(make_04, "ome-zarr@0.5", id="0.4-to-0.5"),
    pytest.param(make_04_in_v3, "ome-zarr@0.5", id="0.4-in-v3-to-0.5"),
    pytest.param(make_founding, "ome-zarr@0.3", id="founding-to-0.3"),
    pytest.param(make_founding, "ome-zarr@0.5", id="founding-to-0.5"),
]


def stop_everywhere(make: Make, to: str, tmp_path: Path, step: int) -> int:
    """Stops an upgrade before every `step`-th operation, opens, goes on, and compares with an upgrade that nobody stopped."""
    old, new = tmp_path / "old.zarr", tmp_path / "new.zarr"
    make(old)
    before, truth = by_ours(old)[0], by_zarr(old)
    shutil.copytree(old, new)
    operations: list[tuple[str, str]] = []
    run(new, to=to, watch=lambda operation, key: operations.append((operation, key)))
    whole = tree_hash(new)
    # step 1 is all of them; larger steps still have the first, the last, and those around the root's document
    root = max(operations.index(("put", name)) for name in (".zattrs", "zarr.json") if ("put", name) in operations)
    for n in sorted({*range(0, len(operations), step), root, root + 1, len(operations) - 1}):
        path = tmp_path / "stopped.zarr"
        shutil.copytree(old, path)
        with pytest.raises(Stopped):
            run(path, to=to, watch=stop_at(n))
        layout, found = by_ours(path)
        assert layout in (before, to), f"after {n} operations, before {operations[n]}"
        assert equal(found, truth), f"our reader, after {n} operations, before {operations[n]}"
        assert equal(by_zarr(path), truth), f"zarr-python, after {n} operations, before {operations[n]}"
        assert equal(by_zarr(path, use_consolidated=None), truth), f"consolidated, after {n} operations, before {operations[n]}"
        assert equal(by_v2_readers(path) or truth, truth), f"readers of v2, after {n} operations, before {operations[n]}"
        transfer.upgrade(path, to=to)
        assert tree_hash(path) == whole, f"gone on after {n} operations, before {operations[n]}"
        shutil.rmtree(path)
    return len(operations)


@pytest.mark.parametrize(("make", "to"), CASES)
def test_stopped_upgrade_in_place_opens_as_old_or_new_and_goes_on(make: Make, to: str, tmp_path: Path) -> None:
    stop_everywhere(make, to, tmp_path, step=23)


@pytest.mark.prove
@pytest.mark.parametrize(("make", "to"), CASES)
def test_upgrade_in_place_stopped_before_every_operation(make: Make, to: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    record_property("operations stopped at", stop_everywhere(make, to, tmp_path, step=1))


@pytest.mark.parametrize(("make", "to"), CASES)
def test_new_store_has_the_same_samples_and_leaves_the_source_alone(make: Make, to: str, tmp_path: Path) -> None:
    source, dest = tmp_path / "source.zarr", tmp_path / "dest.zarr"
    make(source)
    before, truth = tree_hash(source), by_zarr(source)
    for folder in (source, *(p for p in source.rglob("*") if p.is_dir())):
        folder.chmod(0o555)
    result = transfer.upgrade(source, to=to, dest=dest)
    for folder in (source, *(p for p in source.rglob("*") if p.is_dir())):
        folder.chmod(0o755)
    assert tree_hash(source) == before
    assert by_ours(dest)[0] == to
    assert equal(by_ours(dest)[1], truth)
    assert equal(by_zarr(dest), truth)
    assert not (dest / ".ziggurat").exists()
    assert result.target == str(dest)
    transfer.upgrade(source, to=to)
    assert tree_hash(source) == tree_hash(dest)  # in place or into a new store: the same files


@pytest.mark.parametrize(("make", "to"), CASES)
def test_dry_run_writes_nothing_and_tells_what_the_upgrade_then_does(make: Make, to: str, tmp_path: Path) -> None:
    source = tmp_path / "source.zarr"
    make(source)
    before = tree_hash(source)
    planned = transfer.upgrade(source, to=to, dry_run=True)
    assert tree_hash(source) == before
    done = transfer.upgrade(source, to=to)
    assert planned.changes == done.changes
    after = documents(source)
    for change in planned.changes:
        assert after.get(change.key) == change.new
    assert json.loads(json.dumps(planned.to_json()))["to"] == to
    assert "+++" in str(planned) and "---" in str(planned)
    assert str(done).splitlines()[0].endswith(f"became {to} ({len(done.changes)} documents)")
    assert "+++" not in str(done)


@pytest.mark.parametrize(("make", "to"), CASES)
def test_upgrading_again_is_one_line_and_touches_nothing(make: Make, to: str, tmp_path: Path) -> None:
    source = tmp_path / "source.zarr"
    make(source)
    transfer.upgrade(source, to=to)
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    result = transfer.upgrade(source, to=to)
    assert result.changes == ()
    assert str(result) == f"{source} is {to} already; nothing to do"
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == before


def test_one_go_is_all_steps_but_for_the_names_that_only_v2_needs(tmp_path: Path) -> None:
    one, steps = tmp_path / "one.zarr", tmp_path / "steps.zarr"
    make_01(one)
    make_01(steps)
    transfer.upgrade(one, to="ome-zarr@0.5")
    for version in ("0.2", "0.3", "0.4", "0.5"):
        transfer.upgrade(steps, to=f"ome-zarr@{version}")
    found = documents(steps)
    for document in found.values():
        # one go keeps the flat chunk names (v3 allows any) and writes no names for xarray in v2
        for part in (document, *document.get("consolidated_metadata", {}).get("metadata", {}).values()):
            part["attributes"].pop("_ARRAY_DIMENSIONS", None)
            if "chunk_key_encoding" in part:
                assert part["chunk_key_encoding"] == {"name": "v2", "configuration": {"separator": "/"}}
                part["chunk_key_encoding"] = {"name": "v2", "configuration": {"separator": "."}}
    assert found == documents(one)
    assert equal(by_zarr(one), by_zarr(steps))


def test_consolidated_copies_are_refreshed_where_they_were_and_nowhere_else(tmp_path: Path) -> None:
    source, bare = tmp_path / "source.zarr", tmp_path / "bare.zarr"
    make_01(source)
    make_founding(bare)
    for to in ("ome-zarr@0.3", "ome-zarr@0.5"):
        transfer.upgrade(source, to=to)
        transfer.upgrade(bare, to=to)
        copied = zarr.open_group(source, mode="r", use_consolidated=True)
        real = zarr.open_group(source, mode="r", use_consolidated=False)
        assert dict(copied.attrs) == dict(real.attrs)
        assert copied["labels/cells"].attrs.asdict() == real["labels/cells"].attrs.asdict()
        assert copied["0"].metadata == real["0"].metadata
        assert not any("consolidated" in key or ".zmetadata" in key for key in _deep_keys(documents(bare)))
    assert not (source / ".zmetadata").exists()


def _deep_keys(value: object) -> list[str]:
    if isinstance(value, dict):
        return [key for k, v in value.items() for key in (k, *_deep_keys(v))]
    return [key for item in value for key in _deep_keys(item)] if isinstance(value, list) else []


@pytest.mark.parametrize("compressors", ["auto", None], ids=["blosc", "raw"])
def test_transpose_moves_the_samples_into_a_new_store(compressors: object, tmp_path: Path) -> None:
    source, dest = tmp_path / "source.zarr", tmp_path / "dest.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=2)
    make_levels(root, ((22, 17, 3), (11, 9, 3)), separator=".", dtype="uint8", compressors=compressors)
    root.attrs["multiscales"] = [{"version": "0.1", "datasets": [{"path": "0"}, {"path": "1"}]}]
    root.create_array("other", shape=(4,), dtype="u1")[...] = 3
    (source / "0" / "notes.txt").write_text("kept")
    before = tree_hash(source)
    truth = by_zarr(source)
    result = transfer.upgrade(source, to="ome-zarr@0.5", dest=dest, transpose="cyx")
    assert tree_hash(source) == before
    layout, found = by_ours(dest)
    assert layout == "ome-zarr@0.5"
    assert equal(found, {key: np.moveaxis(value, -1, 0) for key, value in truth.items()})
    assert equal(by_zarr(dest), found)
    opened = zarr.open_group(dest, mode="r")
    assert opened["0"].metadata.dimension_names == ("c", "y", "x")
    assert [axis["name"] for axis in opened.attrs["ome"]["multiscales"][0]["axes"]] == ["c", "y", "x"]
    assert opened["0"].attrs.asdict() == {}
    assert opened["other"][...].tolist() == [3] * 4
    assert (dest / "0" / "notes.txt").read_text() == "kept"
    assert len([p for p in (dest / "0").iterdir() if p.name[0].isdigit()]) == len([p for p in (source / "0").iterdir() if p.name[0].isdigit()])
    assert any("written anew" in note for note in result.notes)


@pytest.mark.parametrize("sharded", [False, True])
def test_transpose_of_zarr_v3_with_and_without_shards(sharded: bool, tmp_path: Path) -> None:
    source, dest = tmp_path / "source.zarr", tmp_path / "dest.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=3)
    array = root.create_array(
        "0", shape=(22, 17, 3), chunks=(4, 5, 3), shards=(8, 10, 3) if sharded else None, dtype="float32", dimension_names=("y", "x", "c")
    )
    array[...] = samples((22, 17, 3), "float32")
    array[:8, :10] = 0
    root.attrs["multiscales"] = [{"version": "0.1", "datasets": [{"path": "0"}]}]
    transfer.upgrade(source, to="ome-zarr@0.5", dest=dest, transpose=("c", "y", "x"))
    opened = zarr.open_group(dest, mode="r")["0"]
    assert opened.shards == ((3, 8, 10) if sharded else None)
    assert opened.chunks == (3, 4, 5)
    assert opened.metadata.dimension_names == ("c", "y", "x")
    assert np.array_equal(opened[...], np.moveaxis(array[...], -1, 0))


def test_transpose_with_a_codec_that_only_zarr_python_knows(tmp_path: Path) -> None:
    import numcodecs

    source, dest = tmp_path / "source.zarr", tmp_path / "dest.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=2)
    make_levels(root, ((22, 17, 3), (11, 9, 3)), separator=".", dtype="uint8", compressors=numcodecs.LZ4())
    root.attrs["multiscales"] = [{"version": "0.1", "datasets": [{"path": "0"}, {"path": "1"}]}]
    result = transfer.upgrade(source, to="ome-zarr@0.5", dest=dest, transpose="cyx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr-python: numcodecs.* are no core codecs
        assert np.array_equal(zarr.open_group(dest, mode="r")["0"][...], np.moveaxis(root["0"][...], -1, 0))
    assert "UPG010" in {problem.rule for problem in result.problems}


def test_notes_say_the_same_thing_once(tmp_path: Path) -> None:
    source = tmp_path / "source.zarr"
    make_01(source)
    result = transfer.upgrade(source, to="ome-zarr@0.4", dry_run=True)
    assert [problem.loc for problem in result.problems] == ["labels/cells/multiscales[0].datasets", "multiscales[0].datasets"]
    said = [note for note in result.notes if "no scale" in note]
    assert len(said) == 1
    assert said[0].startswith("labels/cells/multiscales[0].datasets, multiscales[0].datasets: ")


def test_interrupted_new_store_is_no_group_and_goes_on(tmp_path: Path) -> None:
    source, whole = tmp_path / "source.zarr", tmp_path / "whole.zarr"
    make_01(source)
    operations: list[tuple[str, str]] = []
    run(source, to="ome-zarr@0.5", dest=whole, watch=lambda operation, key: operations.append((operation, key)))
    for n in {1, 5, len(operations) // 2, len(operations) - 3, len(operations) - 2, len(operations) - 1}:
        dest = tmp_path / f"dest{n}.zarr"
        with pytest.raises(Stopped):
            run(source, to="ome-zarr@0.5", dest=dest, watch=stop_at(n))
        if n < len(operations) - 1:  # the last operation removes the journal
            assert FileNode(dest).kind == "folder"  # no group
        with pytest.raises(problems.TargetExists, match="already there"):
            transfer.upgrade(source, to="ome-zarr@0.4", dest=dest)
        transfer.upgrade(source, to="ome-zarr@0.5", dest=dest)
        assert tree_hash(dest) == tree_hash(whole)


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_existing_target_is_refused_and_left_alone(what: str, tmp_path: Path) -> None:
    source, dest = tmp_path / "source.zarr", tmp_path / "dest.zarr"
    make_founding(source)
    if what == "file":
        dest.write_text("mine")
    elif what == "folder":
        dest.mkdir()
    else:
        dest.symlink_to(tmp_path / "nowhere")
    with pytest.raises(problems.TargetExists, match=r"dest\.zarr: already there"):
        transfer.upgrade(source, to="ome-zarr@0.5", dest=dest)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dest.zarr", "source.zarr"]


@pytest.mark.parametrize("dest", ["source.zarr", "source.zarr/new.zarr", "."])
def test_target_inside_or_around_the_source_is_refused(dest: str, tmp_path: Path) -> None:
    make_founding(tmp_path / "source.zarr")
    before = tree_hash(tmp_path)
    with pytest.raises(problems.OptionError, match="lies inside the source, or around it"):
        transfer.upgrade(tmp_path / "source.zarr", to="ome-zarr@0.5", dest=tmp_path / dest)
    assert tree_hash(tmp_path) == before


def test_refusals_name_what_to_do_and_touch_nothing(tmp_path: Path) -> None:
    source = tmp_path / "source.zarr"
    make_rgb(source)
    before = tree_hash(source)
    with pytest.raises(problems.LayoutError, match=r"--transpose cyx.*stay with multiscales@0\.1"):
        transfer.upgrade(source, to="ome-zarr@0.5")
    with pytest.raises(problems.OptionError, match=r"needs a new store \(--dest\)"):
        transfer.upgrade(source, to="ome-zarr@0.5", transpose="cyx")
    with pytest.raises(problems.OptionError, match="has the axes y, x, c"):
        transfer.upgrade(source, to="ome-zarr@0.5", transpose="zyx", dest=tmp_path / "new.zarr")
    with pytest.raises(problems.UnsupportedError, match="works on local folders"):
        transfer.upgrade("s3://bucket/a.zarr", to="ome-zarr@0.5")
    with pytest.raises(problems.UnsupportedError, match="works on local folders"):
        transfer.upgrade(source, to="ome-zarr@0.5", dest="s3://bucket/a.zarr")
    with pytest.raises(problems.NotFound, match="no folder there"):
        transfer.upgrade(tmp_path / "absent.zarr", to="ome-zarr@0.5")
    assert tree_hash(source) == before
    assert [p.name for p in tmp_path.iterdir()] == ["source.zarr"]


def test_link_to_another_folder_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source.zarr"
    make_founding(source)
    shutil.move(source / "1", tmp_path / "elsewhere")
    (source / "1").symlink_to(tmp_path / "elsewhere")
    before = tree_hash(tmp_path)
    with pytest.raises(problems.PathError, match="a link to another folder"):
        transfer.upgrade(source, to="ome-zarr@0.5")
    assert tree_hash(tmp_path) == before


@pytest.mark.parametrize("name", ["0/1.1", "1/.zarray", ".zattrs"])
def test_file_linked_from_outside_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    source = tmp_path / "source.zarr"
    make_founding(source)
    target = source / name
    shutil.move(target, tmp_path / "elsewhere")
    target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(problems.PathError, match="a link to"):
        transfer.upgrade(source, to="ome-zarr@0.5", dest=tmp_path / "dest.zarr")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "source.zarr"]


def test_chunks_under_both_names_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "source.zarr"
    make_founding(source)
    (source / "0" / "1").mkdir()
    (source / "0" / "1" / "0").write_bytes(b"of another time")
    before = tree_hash(source)
    with pytest.raises(problems.LayoutError, match="of the other kind"):
        transfer.upgrade(source, to="ome-zarr@0.4")
    assert tree_hash(source) == before


def test_unfinished_work_of_another_kind_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source.zarr"
    make_founding(source)
    with pytest.raises(Stopped):
        run(source, to="ome-zarr@0.5", watch=stop_at(4))
    with pytest.raises(problems.StorageError, match=r"an upgrade to ome-zarr@0\.5 was interrupted"):
        transfer.upgrade(source, to="ome-zarr@0.4")
    transfer.upgrade(source, to="ome-zarr@0.5")
    other = tmp_path / "other.zarr"
    make_founding(other)
    (other / ".ziggurat").mkdir()
    (other / ".ziggurat" / "journal").write_text("")
    with pytest.raises(problems.StorageError, match="unfinished build"):
        transfer.upgrade(other, to="ome-zarr@0.5")


def test_lock_that_nobody_holds_is_no_obstacle_and_one_that_is_held_is(tmp_path: Path) -> None:
    source = tmp_path / "source.zarr"
    make_founding(source)
    (source / ".ziggurat").mkdir()
    (source / ".ziggurat" / "lock").touch()  # as a build leaves it that was killed while it published
    before = tree_hash(source)
    with locked(source), pytest.raises(problems.TargetExists, match="another build or upgrade is writing here"):
        transfer.upgrade(source, to="ome-zarr@0.4")
    (source / ".ziggurat").mkdir()
    (source / ".ziggurat" / "lock").touch()
    assert tree_hash(source) == before
    transfer.upgrade(source, to="ome-zarr@0.4")
    assert by_ours(source)[0] == "ome-zarr@0.4"
    assert not (source / ".ziggurat").exists()


def test_group_inside_a_v2_group_does_not_become_v3_alone(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "plate.zarr", mode="w", zarr_format=2)
    make_founding(tmp_path / "plate.zarr" / "image")
    zarr.consolidate_metadata(str(tmp_path / "plate.zarr"), zarr_format=2)
    before = tree_hash(tmp_path)
    with pytest.raises(problems.LayoutError, match="a group of Zarr v2, which cannot hold one of v3"):
        transfer.upgrade(tmp_path / "plate.zarr" / "image", to="ome-zarr@0.5")
    assert tree_hash(tmp_path) == before
    result = transfer.upgrade(tmp_path / "plate.zarr" / "image", to="ome-zarr@0.4")
    assert any("consolidate it again" in note for note in result.notes)


def test_file_system_without_hard_links_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linked, copied = tmp_path / "linked.zarr", tmp_path / "copied.zarr"
    make_founding(linked)
    make_founding(copied)
    transfer.upgrade(linked, to="ome-zarr@0.4")

    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    transfer.upgrade(copied, to="ome-zarr@0.4")
    assert tree_hash(copied) == tree_hash(linked)


def test_full_disk_gives_one_sentence_and_the_same_command_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, dest = tmp_path / "source.zarr", tmp_path / "dest.zarr"
    make_founding(source)
    truth = by_zarr(source)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", full)
        with pytest.raises(problems.StorageError, match=r"cannot be written \(No space left on device\); run the same command again"):
            transfer.upgrade(source, to="ome-zarr@0.5", dest=dest)
    assert FileNode(dest).kind == "folder"  # no group
    transfer.upgrade(source, to="ome-zarr@0.5", dest=dest)
    assert equal(by_zarr(dest), truth)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_source_gives_one_sentence(tmp_path: Path) -> None:
    source = tmp_path / "source.zarr"
    make_founding(source)
    source.chmod(0o555)
    with pytest.raises(problems.StorageError, match="cannot"):
        transfer.upgrade(source, to="ome-zarr@0.5")
    source.chmod(0o755)


KILLED = """
import os, signal, sys
from ziggurat.transfer.upgrades import run
left = iter(range(int(sys.argv[3])))
run(sys.argv[1], to=sys.argv[2], watch=lambda *_: None if next(left, None) is not None else os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.parametrize("to", ["ome-zarr@0.4", "ome-zarr@0.5"])
def test_killed_upgrade_opens_and_goes_on(to: str, tmp_path: Path) -> None:
    old = tmp_path / "old.zarr"
    make_01(old)
    truth = by_zarr(old)
    for n in (1, 9, 17):
        path = tmp_path / "killed.zarr"
        shutil.copytree(old, path)
        assert subprocess.run([sys.executable, "-c", KILLED, str(path), to, str(n)], check=False).returncode == -signal.SIGKILL
        layout, found = by_ours(path)
        assert layout in ("ome-zarr@0.1", to)
        assert equal(found, truth)
        assert equal(by_zarr(path), truth)
        transfer.upgrade(path, to=to)
        assert by_ours(path)[0] == to
        assert not (path / ".ziggurat").exists()
        shutil.rmtree(path)


KILLED_WHILE_WRITING = """
import os, signal, sys
import ziggurat as zg
left = iter(range(int(sys.argv[3])))
def kill(event, arguments):
    if event == "os.rename" and next(left, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(kill)
zg.upgrade(sys.argv[1], to="ome-zarr@0.5", dest=sys.argv[2] or None)
"""


@pytest.mark.parametrize("dest", ["", "dest.zarr"])
@pytest.mark.parametrize("n", [0, 1, 4])
def test_what_a_killed_upgrade_had_begun_is_swept_by_the_next(n: int, dest: str, tmp_path: Path) -> None:
    for name in ("killed.zarr", "whole.zarr"):
        make_01(tmp_path / name)
    target = str(tmp_path / dest) if dest else ""
    arguments = [sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path / "killed.zarr"), target, str(n)]
    assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL
    written = tmp_path / (dest or "killed.zarr")
    assert list(written.rglob("*.partial"))
    if dest and n == 0:  # killed before its journal stood: nothing says that the folder is ours
        shutil.rmtree(written)
    transfer.upgrade(tmp_path / "killed.zarr", to="ome-zarr@0.5", dest=target or None)
    transfer.upgrade(tmp_path / "whole.zarr", to="ome-zarr@0.5")
    assert tree_hash(written) == tree_hash(tmp_path / "whole.zarr")


@pytest.mark.parametrize("names", [("lat", "lon"), ("depth", "latitude", "longitude"), ("t", "band", "easting", "northing")])
def test_a_build_in_the_founding_layout_upgrades_to_the_axes_that_a_build_in_ome_has(names: tuple[str, ...], tmp_path: Path) -> None:
    base = np.zeros((2,) * (len(names) - 2) + (24, 20), np.uint8)
    for layout in ("multiscales@0.1", "ome-zarr@0.5"):
        zg.build(base, tmp_path / layout, axes=names, layout=layout, levels=2, chunks=8)
    transfer.upgrade(tmp_path / "multiscales@0.1", to="ome-zarr@0.5")
    upgraded, built = (zg.open(tmp_path / layout) for layout in ("multiscales@0.1", "ome-zarr@0.5"))
    assert upgraded.layout == built.layout == "ome-zarr@0.5"
    assert [(a.name, a.kind) for a in upgraded.axes] == [(a.name, a.kind) for a in built.axes]
    assert [(v.scale, v.translation) for v in upgraded.levels] == [(v.scale, v.translation) for v in built.levels]
