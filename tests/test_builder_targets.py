"""Where a build may write, and what it may never touch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import zarr

import ziggurat as zg
from ziggurat import layouts, problems, storage
from ziggurat.chunkio import DictStore

BASE = np.random.default_rng(5).integers(0, 65536, (100, 70), dtype=np.uint16)


def digest(folder):
    found = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()


def group_with(path, name="0", zarr_format=3, **attributes):
    group = zarr.create_group(path, zarr_format=zarr_format, attributes=attributes)
    names = {"dimension_names": ("y", "x")} if zarr_format == 3 else {}
    array = group.create_array(name, shape=BASE.shape, chunks=(16, 16), dtype="u2", **names)
    array[...] = BASE
    if zarr_format == 2:
        array.attrs["_ARRAY_DIMENSIONS"] = ["y", "x"]
    return str(path)


def attributes(path):
    return dict(zarr.open_group(path, mode="r", use_consolidated=False).attrs)


def test_a_file_gets_its_levels_beside_it(tmp_path):
    np.save(tmp_path / "scan.npy", BASE)
    assert zg.build(str(tmp_path / "scan.npy")).location == str(tmp_path / "scan.ome.zarr")
    np.save(tmp_path / "line.npy", BASE[0])
    assert zg.build(tmp_path / "line.npy").location == str(tmp_path / "line.zarr")
    series = layouts.read(storage.open_node(str(tmp_path / "scan.ome.zarr"))).multiscales[0]
    assert series.name == "scan"


def test_an_array_in_memory_needs_a_target():
    with pytest.raises(problems.OptionError, match="say a target"):
        zg.build(BASE)


def test_a_root_array_without_a_group_names_the_way_out(tmp_path):
    zarr.create_array(tmp_path / "alone.zarr", shape=(8, 8), chunks=(4, 4), dtype="u1")[...] = 1
    with pytest.raises(problems.OptionError, match=r"without a group.*say a target"):
        zg.build(str(tmp_path / "alone.zarr"))
    assert zg.build(str(tmp_path / "alone.zarr"), tmp_path / "copy.zarr").n_levels == 2


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_foreign_attributes_and_neighbours_survive(tmp_path, zarr_format):
    path = group_with(tmp_path / "g.zarr", zarr_format=zarr_format, mine={"a": [1, 2.0]}, zebra=None)
    zarr.open_group(path).create_array("other", shape=(3,), chunks=(3,), dtype="f4")[...] = 7
    base, other = digest(f"{path}/0"), digest(f"{path}/other")
    zg.build(f"{path}/0")
    found = attributes(path)
    assert found["mine"] == {"a": [1, 2.0]} and found["zebra"] is None
    assert list(found)[:2] == ["mine", "zebra"]
    assert (digest(f"{path}/0"), digest(f"{path}/other")) == (base, other)


def test_levels_continue_the_numbering_of_the_base(tmp_path):
    path = group_with(tmp_path / "g.zarr", "s0")
    assert [level.path for level in zg.build(f"{path}/s0").plan.levels] == ["s0", "s1", "s2", "s3"]


def test_nested_names_get_their_groups(tmp_path):
    for layout in ("ome-zarr@0.5", "ome-zarr@0.4"):
        result = zg.build(BASE, tmp_path / f"{layout}.zarr", chunks=32, names="scale{k}/image", layout=layout)
        group = zarr.open_group(result.location, mode="r")
        assert sorted(group.group_keys()) == ["scale0", "scale1", "scale2"]
        assert np.array_equal(group["scale0/image"][...], BASE)


def test_a_taken_target_is_refused_with_both_ways_out(tmp_path):
    zg.build(BASE, tmp_path / "o.zarr")
    before = digest(tmp_path)
    with pytest.raises(problems.TargetExists, match=r"--overwrite.*--add"):
        zg.build(BASE, tmp_path / "o.zarr")
    with pytest.raises(problems.TargetExists, match=r"--add.*--overwrite"):
        zg.build(group_with(tmp_path / "g.zarr"), levels=2) and zg.build(tmp_path / "g.zarr")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "thesis.txt").write_text("years of work")
    (tmp_path / "link.zarr").symlink_to(tmp_path / "o.zarr")
    for place in ("plain", "link.zarr"):
        with pytest.raises(problems.TargetExists):
            zg.build(BASE, tmp_path / place, overwrite=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(problems.TargetExists):
        zg.build(BASE, tmp_path / "file")
    assert (tmp_path / "plain" / "thesis.txt").read_text() == "years of work"
    assert digest(tmp_path / "o.zarr") != before
    with pytest.raises(problems.OptionError, match="both were said"):
        zg.build(BASE, tmp_path / "o.zarr", add=True, overwrite=True)


def test_a_target_that_holds_the_source_is_refused(tmp_path):
    path = group_with(tmp_path / "deep" / "g.zarr")
    before = digest(tmp_path)
    for place in (tmp_path, tmp_path / "deep"):
        for overwrite in (False, True):
            with pytest.raises(problems.TargetExists, match="holds the source"):
                zg.build(path, place, overwrite=overwrite)
    assert digest(tmp_path) == before


def test_an_empty_folder_is_free(tmp_path):
    (tmp_path / "o.zarr").mkdir()
    assert zg.build(BASE, tmp_path / "o.zarr").n_levels


def test_overwrite_replaces_a_store_whole(tmp_path):
    zg.build(BASE, tmp_path / "o.zarr", chunks=16)
    (tmp_path / "o.zarr" / "old").write_text("x")
    result = zg.build(BASE + 1, tmp_path / "o.zarr", chunks=32, overwrite=True)
    assert np.array_equal(zarr.open_array(f"{result.location}/0")[...], BASE + 1)
    assert sorted(p.name for p in (tmp_path / "o.zarr").iterdir()) == ["0", "1", "2", "zarr.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["o.zarr"]


def test_overwrite_sweeps_what_a_killed_one_had_moved_aside_and_nothing_else(tmp_path):
    zg.build(BASE, tmp_path / "o[1].zarr", chunks=32)
    aside = [tmp_path / f".o[1].zarr.ziggurat-old-{end}" for end in ("0123abcd", "mine")] + [tmp_path / ".o1.zarr.ziggurat-old-0123abcd"]
    for folder in aside:
        folder.mkdir()
    zg.build(BASE + 1, tmp_path / "o[1].zarr", chunks=32, overwrite=True)
    assert sorted(tmp_path.iterdir()) == sorted([*aside[1:], tmp_path / "o[1].zarr"])
    assert np.array_equal(zg.open(tmp_path / "o[1].zarr").levels[0].array[...], BASE + 1)


def test_overwrite_in_place_replaces_the_series_and_its_arrays(tmp_path):
    path = group_with(tmp_path / "g.zarr")
    zg.build(path)
    zg.build(path, add=True, names="M{k}", reduction="max")
    base = digest(f"{path}/0")
    result = zg.build(path, overwrite=True, factors=3)
    names = [m.type for m in layouts.read(storage.open_node(path)).multiscales]
    assert names == ["max", "mean"] and digest(f"{path}/0") == base
    assert sorted(p.name for p in Path(path).iterdir() if p.is_dir()) == sorted(["0", "M1", "M2", "M3", *(x.path for x in result.plan.levels[1:])])


def test_two_series_share_one_base_as_in_issue_50(tmp_path):
    target = tmp_path / "founding.zarr"
    zg.build(BASE.astype(np.uint8), target, chunks=32, layout="multiscales@0.1", reduction="gaussian", names=["base", "G1", "G2"], name="gaussian")
    zg.build(target, add=True, reduction="laplacian", names="L{k}", name="laplacian")
    found = json.loads((target / ".zattrs").read_text())["multiscales"]
    assert [m["name"] for m in found] == ["gaussian", "laplacian"]
    assert [[d["path"] for d in m["datasets"]] for m in found] == [["base", "G1", "G2"], ["base", "L1", "L2"]]
    assert [m["type"] for m in found] == ["gaussian", "laplacian"]
    added = zg.build(BASE.astype(np.uint8), target, add=True, reduction="stride", names="S{k}")
    assert added.plan.levels[0].path == "base" and len(json.loads((target / ".zattrs").read_text())["multiscales"]) == 3
    with pytest.raises(problems.TargetExists, match="same base"):
        zg.build(BASE[:50], target, add=True)
    with pytest.raises(problems.TargetExists, match="already there"):
        zg.build(target, add=True, reduction="min", names="L{k}")
    with pytest.raises(problems.OptionError, match="leave add out"):
        zg.build(BASE, tmp_path / "nothing.zarr", add=True)


def test_a_series_of_the_base_alone_is_completed(tmp_path):
    path = group_with(tmp_path / "g.zarr")
    zg.build(path, levels=1, name="mine", scale=0.5, unit="micrometer")
    result = zg.build(path)
    series = layouts.read(storage.open_node(path)).multiscales
    assert len(series) == 1 and series[0].name == "mine" and series[0].n_levels == result.n_levels > 1
    assert series[0].levels[1].scale == (1.0, 1.0)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_consolidated_metadata_is_kept_fresh_where_it_was(tmp_path, zarr_format):
    path = group_with(tmp_path / "g.zarr", zarr_format=zarr_format)
    zg.build(f"{path}/0")
    assert not (Path(path) / ".zmetadata").exists()
    plain = group_with(tmp_path / "c.zarr", zarr_format=zarr_format)
    with pytest.warns() if zarr_format == 3 else _quiet():
        zarr.consolidate_metadata(plain)
    result = zg.build(f"{plain}/0")
    group = zarr.open_consolidated(plain, mode="r")
    assert sorted(group.array_keys()) == sorted(level.path for level in result.plan.levels)
    assert dict(group.attrs) == attributes(plain)


def _quiet():
    import warnings

    return warnings.catch_warnings()


@pytest.mark.parametrize("kind", ["dict", "zarr", "store"])
def test_stores_that_are_no_folders(kind):
    target = {"dict": {}, "zarr": zarr.storage.MemoryStore(), "store": DictStore()}[kind]
    result = zg.build(BASE, target, chunks=32)
    node = storage.open_node(target)
    assert [level.array.shape for level in layouts.read(node).multiscales[0].levels] == [level.shape for level in result.plan.levels]
    again = zg.build(target, add=True, reduction="max", names="M{k}")
    assert again.plan.in_place and len(layouts.read(storage.open_node(target)).multiscales) == 2
    with pytest.raises(problems.TargetExists):
        zg.build(BASE, target)


def test_a_given_plan_is_what_is_done_and_must_fit(tmp_path):
    plan = zg.plan(BASE, tmp_path / "o.zarr", chunks=32, reduction="max")
    for call, words in (
        (lambda: zg.build(BASE, tmp_path / "o.zarr", plan=plan, chunks=16), "beside a plan"),
        (lambda: zg.build(BASE + 1, tmp_path / "o.zarr", plan=plan), "another source"),
        (lambda: zg.build(BASE, tmp_path / "p.zarr", plan=plan), "made for the target"),
    ):
        with pytest.raises(problems.PlanError, match=words):
            call()
    assert not list(tmp_path.iterdir())
    result = zg.build(BASE, tmp_path / "o.zarr", plan=type(plan).from_json(json.loads(json.dumps(plan.to_json()))))
    assert result.plan == plan


def test_planning_writes_nothing(tmp_path):
    path = group_with(tmp_path / "g.zarr")
    before = digest(tmp_path)
    zg.plan(path)
    zg.plan(path, tmp_path / "o.zarr")
    assert digest(tmp_path) == before and [p.name for p in tmp_path.iterdir()] == ["g.zarr"]


def test_an_unknown_place_is_one_sentence(tmp_path):
    with pytest.raises(problems.NotFound):
        zg.build(tmp_path / "nothing.npy")
    with pytest.raises(problems.OptionError, match="codecs"):
        zg.build(BASE, tmp_path / "o.zarr", codecs="jpeg")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("shape", "dtype"), [((24, 300, 400), "uint16"), ((500, 400, 3), "uint8"), ((2000, 3000), "float32")])
def test_the_memory_that_a_refusal_names_is_enough(tmp_path, shape, dtype):
    base = np.zeros(shape, dtype)
    with pytest.raises(problems.PlanError, match="at least") as caught:
        zg.plan(base, tmp_path / "o.zarr", memory="1MiB")
    words = str(caught.value).split("at least ")[1].split()
    assert zg.plan(base, tmp_path / "o.zarr", memory=f"{words[0]} {words[1]}").passes


def test_series_of_a_group_have_names_of_their_own(tmp_path):
    base = group_with(tmp_path / "g.zarr")
    zg.build(f"{base}/0", reduction="mean", levels=2)
    zg.build(f"{base}/0", reduction="max", levels=2, add=True, names="max{k}")
    zg.build(f"{base}/0", reduction="min", levels=2, add=True, names="min{k}")
    first = zg.open(base).name
    assert [m.name for m in zg.list_multiscales(base)] == [first, f"{first} 2", f"{first} 3"]
    before = digest(base)
    with pytest.raises(problems.TargetExists, match=f"a series is called '{first} 2' already"):
        zg.build(f"{base}/0", reduction="stride", levels=2, add=True, names="stride{k}", name=f"{first} 2")
    assert digest(base) == before
