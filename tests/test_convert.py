"""Conversions on the disk: samples, placement, keys, losses; a store that appears whole or not at all.

Stores are made and read back by zarr-python; the toy layouts below show what a newcomer's layout gets from the ports.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import zarr

import ziggurat as zg
from ziggurat import layouts, transfer
from ziggurat.cli import run as cli
from ziggurat.conversion.across import ConversionPlan, Wish, conversion_plan
from ziggurat.layouts import Documents, Evidence, SmallArray
from ziggurat.model import JSON, Axis, Level, Multiscale
from ziggurat.node import Container, Node
from ziggurat.problems import LayoutError, NotFound, OptionError, Problem, StorageError, TargetExists, UnsupportedError
from ziggurat.pyramid.places import place_of
from ziggurat.storage import file_node

SHAPES = ((3, 70, 90), (3, 35, 45), (3, 18, 23))


def samples(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    return (np.arange(np.prod(shape)).reshape(shape) * 7 % 251).astype(dtype)


def make(root: Path, *, zarr_format: Literal[2, 3] = 3, shards: bool = False, separator: str = "/", version: str | None = None) -> Path:
    """A z, y, x image of three levels, OME 0.5 or 0.4 or the founding layout, with strangers' keys at every depth."""
    group = zarr.open_group(root, mode="w", zarr_format=zarr_format)
    datasets = []
    for k, shape in enumerate(SHAPES):
        encoding = {"name": "v2" if zarr_format == 2 else "default", "separator": separator}
        array = group.create_array(
            f"s{k}", shape=shape, chunks=(2, 16, 16), shards=(4, 32, 32) if shards else None, dtype="uint16", chunk_key_encoding=encoding, fill_value=7,
            dimension_names=("z", "y", "x") if zarr_format == 3 else None, attributes={"stain": ["H", k]},
        )  # fmt: skip
        array[...] = samples(shape)
        array[:2, :16, :16] = 7  # the fill value: this chunk is not stored
        f = 2**k
        steps = [{"type": "scale", "scale": [5.0, 0.5 * f, 0.25 * f]}, {"type": "translation", "translation": [1.0, 0.25 * (f - 1), 0.125 * (f - 1)]}]
        datasets.append({"path": f"s{k}", "coordinateTransformations": steps, "note": k})
    axes = [{"name": a, "type": "space", "unit": "micrometer", "comment": a} for a in "zyx"]
    entry = {"name": "cells", "type": "mean", "axes": axes, "datasets": datasets, "metadata": {"method": "m", "kwargs": {"scale": 1}}, "seen": {"by": ["A"]}}
    if zarr_format == 3:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [entry]}
    elif version == "founding":
        entry = {k: v for k, v in entry.items() if k != "axes"} | {"version": "0.1", "datasets": [{"path": d["path"]} for d in datasets]}
        group.attrs["multiscales"] = [entry]
    else:
        group.attrs["multiscales"] = [{"version": "0.4", **entry}]
    group.attrs["mine"] = {"deep": [{"er": 1.0}]}
    return root


def truth(shape: tuple[int, ...]) -> np.ndarray:
    whole = samples(shape)
    whole[:2, :16, :16] = 7
    return whole


def files(root: Path) -> dict[str, str]:
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(root.rglob("*")) if p.is_file()}


def same_place(a: Path, b: Path, order: Sequence[int] = (0, 1, 2)) -> None:
    """Levels, axes, units, scale and translation are the same."""
    one, other = zg.open(a), zg.open(b)
    assert len(one) == len(other)
    assert [(one.axes[i].name, one.axes[i].unit) for i in order] == [(axis.name, axis.unit) for axis in other.axes]
    for old, new in zip(one, other, strict=True):
        assert tuple(old.scale[i] for i in order) == new.scale
        assert tuple(old.translation[i] for i in order) == new.translation


# --- samples, as they are or anew


@pytest.mark.parametrize("layout", ["ome-zarr@0.5", "multiscales@0.1"])
def test_v2_becomes_v3_chunk_by_chunk(tmp_path: Path, layout: str) -> None:
    source = make(tmp_path / "a.zarr", zarr_format=2, separator=".")
    result = zg.convert(source, tmp_path / "b.zarr", layout=layout, container="zarr3")
    assert {how for _, _, how in result.arrays} == {"verbatim"}
    group = zarr.open_group(tmp_path / "b.zarr", mode="r")
    for k, shape in enumerate(SHAPES):
        array = group[f"s{k}"]
        np.testing.assert_array_equal(array[...], truth(shape))
        assert array.attrs["stain"] == ["H", k]
    old, new = files(source / "s0"), files(tmp_path / "b.zarr" / "s0")
    assert sorted(v for k, v in old.items() if k[0] != ".") == sorted(v for k, v in new.items() if k != "zarr.json")
    if layout == "ome-zarr@0.5":
        same_place(source, tmp_path / "b.zarr")


def test_v3_becomes_v2_chunk_by_chunk_with_the_separator_of_the_version(tmp_path: Path) -> None:
    source = make(tmp_path / "a.zarr")
    zg.convert(source, tmp_path / "b.zarr", layout="ome-zarr@0.4")
    group = zarr.open_group(tmp_path / "b.zarr", mode="r", zarr_format=2)
    for k, shape in enumerate(SHAPES):
        np.testing.assert_array_equal(group[f"s{k}"][...], truth(shape))
        assert group[f"s{k}"].metadata.dimension_separator == "/"
    assert sorted(v for k, v in files(source / "s0").items() if k != "zarr.json") == sorted(
        v for k, v in files(tmp_path / "b.zarr" / "s0").items() if k[0] != "."
    )
    same_place(source, tmp_path / "b.zarr")
    assert zg.check(tmp_path / "b.zarr").ok


def test_separators_change_without_decoding(tmp_path: Path) -> None:
    source = make(tmp_path / "a.zarr", zarr_format=2, separator=".")
    result = zg.convert(source, tmp_path / "b.zarr", layout="ome-zarr@0.4")
    assert {how for _, _, how in result.arrays} == {"verbatim"}
    assert (tmp_path / "b.zarr" / "s0" / "1" / "2" / "3").exists()
    np.testing.assert_array_equal(zarr.open_group(tmp_path / "b.zarr", mode="r")["s0"][...], truth(SHAPES[0]))


def test_shards_are_taken_apart_for_v2_and_kept_for_v3(tmp_path: Path) -> None:
    source = make(tmp_path / "a.zarr", shards=True)
    to_v2 = zg.convert(source, tmp_path / "b.zarr", layout="ome-zarr@0.4")
    assert {how for _, _, how in to_v2.arrays} == {"recoded"}
    to_v3 = zg.convert(source, tmp_path / "c.zarr", layout="multiscales@0.1")
    assert {how for _, _, how in to_v3.arrays} == {"verbatim"}
    for place in ("b.zarr", "c.zarr"):
        group = zarr.open_group(tmp_path / place, mode="r")
        for k, shape in enumerate(SHAPES):
            np.testing.assert_array_equal(group[f"s{k}"][...], truth(shape))


@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_axes_change_places(tmp_path: Path, shards: bool, threads: int) -> None:
    source = make(tmp_path / "a.zarr", shards=shards)
    result = zg.convert(source, tmp_path / "b.zarr", layout="ome-zarr@0.5", transpose="xzy", threads=threads)
    assert {how for _, _, how in result.arrays} == {"recoded"}
    group = zarr.open_group(tmp_path / "b.zarr", mode="r")
    for k, shape in enumerate(SHAPES):
        np.testing.assert_array_equal(group[f"s{k}"][...], truth(shape).transpose(2, 0, 1))
        assert group[f"s{k}"].metadata.dimension_names == ("x", "z", "y")
    same_place(source, tmp_path / "b.zarr", (2, 0, 1))


def test_a_store_in_memory_becomes_one(tmp_path: Path) -> None:
    source = make(tmp_path / "a.zarr")
    held: dict[str, bytes] = {}
    zg.convert(source, held, layout="ome-zarr@0.4")
    np.testing.assert_array_equal(zg.open(held).levels[1].array[...], truth(SHAPES[1]))
    with pytest.raises(TargetExists):
        zg.convert(source, held, layout="ome-zarr@0.4")
    zg.convert(held, tmp_path / "back.zarr", layout="ome-zarr@0.5")
    np.testing.assert_array_equal(zg.open(tmp_path / "back.zarr").levels[2].array[...], truth(SHAPES[2]))


# --- documents


def test_strangers_keys_come_along(tmp_path: Path) -> None:
    source = make(tmp_path / "a.zarr")
    result = zg.convert(source, tmp_path / "b.zarr", layout="ome-zarr@0.4")
    attributes = json.loads((tmp_path / "b.zarr" / ".zattrs").read_text())
    (entry,) = attributes["multiscales"]
    assert attributes["mine"] == {"deep": [{"er": 1.0}]} and entry["seen"] == {"by": ["A"]} and entry["datasets"][2]["note"] == 2
    assert entry["axes"][1]["comment"] == "y" and entry["metadata"] == {"method": "m", "kwargs": {"scale": 1}}
    assert result.lost == ()


def test_documents_alone_change_in_place(tmp_path: Path) -> None:
    source = make(tmp_path / "a.zarr", zarr_format=2)
    zarr.consolidate_metadata(str(source), zarr_format=2)
    before = files(source)
    result = zg.convert(source, layout="multiscales@0.1")
    after = files(source)
    assert {name for name in before | after if before.get(name) != after.get(name)} == {".zattrs", ".zmetadata"}
    assert zg.open(source).layout == "multiscales@0.1"
    assert [p.rule for p in result.lost][:1] == ["LOSS001"]
    assert json.loads((source / ".zmetadata").read_text())["metadata"][".zattrs"] == json.loads((source / ".zattrs").read_text())
    assert str(zg.convert(source, source, layout="multiscales@0.1")).endswith("nothing to do")
    with pytest.raises(LayoutError, match=r"its arrays lie in zarr2, and ome-zarr@0\.5 wants zarr3"):
        zg.convert(source, layout="ome-zarr@0.5")


def test_consolidated_copies_come_along(tmp_path: Path) -> None:
    source = make(tmp_path / "a.zarr")
    with pytest.warns(UserWarning, match="Consolidated metadata"):
        zarr.consolidate_metadata(str(source))
    zg.convert(source, tmp_path / "b.zarr", layout="ome-zarr@0.4")
    group = zarr.open_group(tmp_path / "b.zarr", mode="r", use_consolidated=True)
    assert group["s1"].shape == SHAPES[1]


def test_dry_run_writes_nothing_and_strict_refuses_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a.zarr")
    before = files(tmp_path)
    assert cli(["convert", "a.zarr", "b.zarr", "--layout", "multiscales@0.1", "--dry-run"]) == 1
    out = capsys.readouterr().out
    assert '+        "name": "cells",' in out and "lost: " in out and "LOSS" not in out
    assert cli(["convert", "a.zarr", "b.zarr", "--layout", "multiscales@0.1", "--strict"]) == 1
    assert "nothing was written" in capsys.readouterr().err
    assert files(tmp_path) == before and os.listdir(tmp_path) == ["a.zarr"]
    with pytest.raises(LayoutError, match=r"multiscales@0\.1 cannot hold all of .*LOSS001"):
        zg.convert("a.zarr", "b.zarr", layout="multiscales@0.1", strict=True)
    assert cli(["convert", "a.zarr", "b.zarr", "--layout", "ome-zarr@0.4", "--strict", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["to"] == "ome-zarr@0.4"
    assert cli(["convert", "a.zarr", "b.zarr", "--layout", "ome-zarr@0.4"]) == 2
    assert "already there" in capsys.readouterr().err


def test_what_cannot_be_done_is_one_sentence(tmp_path: Path) -> None:
    source = make(tmp_path / "a.zarr")
    with pytest.raises(LayoutError, match="cannot hold: there are 3 axes"):
        zg.convert(source, tmp_path / "b.zarr", layout="ome-zarr@0.2")
    with pytest.raises(OptionError, match="lies inside the source"):
        zg.convert(source, source / "b.zarr", layout="ome-zarr@0.4")
    with pytest.raises(OptionError, match=r"ome-zarr@0\.4 knows no links"):
        zg.convert(source, tmp_path / "b.zarr", layout="ome-zarr@0.4", link=True)
    with pytest.raises(OptionError, match="needs a target"):
        zg.convert(source, layout="ome-zarr@0.5", transpose="xyz")
    with pytest.raises(OptionError, match="container 'n5'"):
        zg.convert(source, tmp_path / "b.zarr", layout="ome-zarr@0.4", container="n5")
    with pytest.raises(NotFound):
        zg.convert(tmp_path / "none.zarr", tmp_path / "b.zarr", layout="ome-zarr@0.4")
    with pytest.raises(UnsupportedError, match="in place on local folders only"):
        held: dict[str, bytes] = {}
        zg.convert(source, held, layout="multiscales@0.1")
        zg.convert(held, layout="ome-zarr@0.5")
    assert sorted(os.listdir(tmp_path)) == ["a.zarr"]


def test_a_missing_level_is_left_out_and_told(tmp_path: Path) -> None:
    source = make(tmp_path / "a.zarr")
    (source / "s1").rename(tmp_path / "gone")
    result = zg.convert(source, tmp_path / "b.zarr", layout="ome-zarr@0.4")
    assert [p.rule for p in result.lost if p.loc == "s1"] == ["LOSS005"]
    assert [level.path for level in zg.open(tmp_path / "b.zarr")] == ["s0", "s2"] and zg.check(tmp_path / "b.zarr").ok


# --- whole or not at all


class Stopped(BaseException):
    """Raised by a watcher in place of a kill."""


def stop_at(what: str) -> Callable[[str, str], None]:
    def watch(operation: str, key: str) -> None:
        if operation == what:
            raise Stopped

    return watch


def planned(source: Path, layout: str = "ome-zarr@0.4", **wishes: bool) -> tuple[object, ConversionPlan]:
    place = place_of(source)
    return place, conversion_plan(place.node, layouts.read(place.node), Wish(layout, **wishes))


@pytest.mark.parametrize("moment", ["documents", "samples", "move"])
def test_stopped_at_any_moment_nothing_is_there_and_the_same_command_goes_on(tmp_path: Path, moment: str) -> None:
    source = make(tmp_path / "a.zarr")
    zg.convert(source, tmp_path / "whole.zarr", layout="ome-zarr@0.4")
    before = files(source)
    place, plan = planned(source)
    with pytest.raises(Stopped):
        transfer.convert(place, plan, tmp_path / "b.zarr", watch=stop_at(moment))  # type: ignore[arg-type]
    assert not (tmp_path / "b.zarr").exists()
    with pytest.raises(TargetExists, match="unfinished conversion with other options"):
        zg.convert(source, tmp_path / "b.zarr", layout="multiscales@0.1")
    zg.convert(source, tmp_path / "b.zarr", layout="ome-zarr@0.4")
    assert files(tmp_path / "b.zarr") == files(tmp_path / "whole.zarr") and files(source) == before
    assert sorted(os.listdir(tmp_path)) == ["a.zarr", "b.zarr", "whole.zarr"]


def test_killed_conversions_leave_nothing_or_all(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    group.create_array("0", shape=(128, 128, 64), chunks=(16, 16, 16), dtype="uint16", dimension_names=("z", "y", "x"))[...] = samples((128, 128, 64))
    group.attrs["multiscales"] = [{"version": "0.1", "name": "a", "datasets": [{"path": "0"}]}]
    code = "import sys, ziggurat as zg; zg.convert('a.zarr', 'b.zarr', layout='multiscales@0.1', transpose='xyz')"
    for wait in (0.2, 0.3):
        process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (tmp_path / "b.zarr").exists():
            break
    if not (tmp_path / "b.zarr").exists():
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(zg.open(tmp_path / "b.zarr").levels[0].array[...], samples((128, 128, 64)).transpose(2, 1, 0))
    assert sorted(os.listdir(tmp_path)) == ["a.zarr", "b.zarr"] and not (tmp_path / "b.zarr" / ".ziggurat").exists()


def test_a_failing_document_in_place_is_put_back(tmp_path: Path) -> None:
    source = make(tmp_path / "a.zarr", zarr_format=2)
    zarr.consolidate_metadata(str(source), zarr_format=2)
    before = files(source)
    place, plan = planned(source, "multiscales@0.1", in_place=True)

    def full(operation: str, key: str) -> None:
        if key == ".zmetadata" and not failed:
            failed.append(key)
            raise StorageError("no space left")

    failed: list[str] = []
    with pytest.raises(StorageError):
        transfer.convert(place, plan, watch=full)  # type: ignore[arg-type]
    assert files(source) == before


# --- toy layouts


@dataclass(frozen=True)
class ToyLayout:
    """Levels in a plain folder, `<k>.zarr/data`, coordinates beside each, a card that is no attributes; level 0 may be a link."""

    name: str = "toy"
    versions: tuple[str, ...] = ("1",)
    keys: tuple[str, ...] = ()
    links: Literal[True] = True

    def containers(self, version: str) -> tuple[Container, ...]:
        return ("zarr2",)

    def paths(self, multiscale: Multiscale, *, version: str) -> tuple[str, ...] | None:
        return tuple(f"{k}.zarr/data" for k in range(multiscale.n_levels))

    def detect(self, node: Node) -> Evidence | None:
        return Evidence("toy@1", "named", "a card") if node.kind == "folder" and node.file("card") else None

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        card = json.loads(node.file("card") or b"{}")
        levels = []
        for k in range(card["n"]):
            link = node.file(f"{k}.link")
            here = node.child(f"{k}.zarr/data") if link is None else node.linked(link.decode())
            scale, translation = [], []
            for name in card["axes"]:
                values = node.values(f"{k}.zarr/{name}") if link is None else None
                values = values or card["base"][name]
                scale.append(float(values[1]) - float(values[0]))
                translation.append(float(values[0]))
            location = None if link is None else link.decode()
            levels.append(Level(f"{k}.zarr/data", tuple(scale), tuple(translation), "stated", "stated", here.array, location))
        return (Multiscale(tuple(levels), tuple(Axis(name) for name in card["axes"]), layout="toy@1"),), ()

    def can_hold(self, axes: Sequence[Axis], *, version: str) -> str | None:
        return None

    def write(self, multiscales: Sequence[Multiscale], *, version: str, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None) -> Documents:
        (multiscale,) = multiscales
        arrays: dict[str, SmallArray] = {}
        links: dict[str, JSON] = {}
        base: dict[str, JSON] = {}
        for k, level in enumerate(multiscale.levels):
            assert level.array is not None and level.scale is not None and level.translation is not None
            for axis, n, s, t in zip(multiscale.axes, level.array.shape, level.scale, level.translation, strict=True):
                values = tuple(t + s * i for i in range(n))
                if level.location is None:
                    arrays[f"{k}.zarr/{axis.name}"] = SmallArray(axis.name, values)
                else:
                    base[axis.name] = list(values[:2])
            if level.location is not None:
                links[f"{k}.link"] = level.location
        card: dict[str, JSON] = {"n": multiscale.n_levels, "axes": [axis.name for axis in multiscale.axes], "base": base}
        groups = tuple(f"{k}.zarr" for k, level in enumerate(multiscale.levels) if level.location is None)
        return Documents({}, arrays=arrays, files={**links, "card": card}, consolidated=groups)


TABLE = (*layouts.LAYOUTS, ToyLayout())


@pytest.mark.parametrize("link", [False, True])
def test_a_layout_in_a_plain_folder_with_coordinates_and_links(tmp_path: Path, link: bool) -> None:
    source = make(tmp_path / "a.zarr", zarr_format=2)
    place = place_of(source)
    plan = conversion_plan(place.node, layouts.read(place.node), Wish("toy", link=link), table=TABLE)
    result = transfer.convert(place, plan, tmp_path / "toy", table=TABLE)
    assert [how for _, _, how in result.arrays] == ["linked" if link else "verbatim", "verbatim", "verbatim"]
    assert not any((tmp_path / "toy" / name).exists() for name in (".zgroup", ".zattrs", "zarr.json"))
    level = zarr.open_group(tmp_path / "toy" / "1.zarr", mode="r", use_consolidated=True)
    np.testing.assert_array_equal(level["data"][...], truth(SHAPES[1]))
    np.testing.assert_array_equal(level["y"][:3], [0.25, 1.25, 2.25])
    back = file_node(tmp_path / "toy", follow_links=True)
    (multiscale,), _ = ToyLayout().read(back)
    assert [lv.scale for lv in multiscale.levels] == [lv.level.scale for lv in zg.open(source)]
    assert [lv.translation for lv in multiscale.levels] == [lv.level.translation for lv in zg.open(source)]
    assert {p.loc for p in result.lost} >= {"multiscales[0].name", "multiscales[0].seen", "mine"}


@pytest.mark.parametrize("between", ["datatree", "itk"])
def test_a_level_is_linked_where_a_reader_finds_it_and_refused_elsewhere_before_anything_is_written(tmp_path: Path, between: str) -> None:
    zg.build(samples((64, 64)), tmp_path / "a.zarr", axes="yx", levels=3, chunks=(16, 16), scale={"y": 0.5, "x": 0.5}, layout="ome-zarr@0.4", name="cells")
    with pytest.raises(LayoutError, match="level 0 cannot be linked, because of how it lies in the source; leave link out"):
        zg.convert(tmp_path / "a.zarr", tmp_path / "a.levels", layout="xcube", link=True, dry_run=True)
    with pytest.raises(LayoutError, match="cannot be linked"):
        zg.convert(tmp_path / "a.zarr", tmp_path / "a.levels", layout="xcube", link=True)
    assert sorted(os.listdir(tmp_path)) == ["a.zarr"]
    zg.convert(tmp_path / "a.zarr", tmp_path / "b.zarr", layout=between)
    result = zg.convert(tmp_path / "b.zarr", tmp_path / "b.levels", layout="xcube", link=True)
    assert [how for _, _, how in result.arrays] == ["linked", "verbatim", "verbatim"] and not (tmp_path / "b.levels" / "0.zarr").exists()
    linked = zg.open(tmp_path / "b.levels", allow_links=True)
    np.testing.assert_array_equal(np.asarray(linked.levels[0].array), samples((64, 64)))
    assert [level.translation for level in linked] == [level.translation for level in zg.open(tmp_path / "a.zarr")]


def test_a_layout_that_is_only_read_is_never_written(tmp_path: Path) -> None:
    class Reading:
        name, versions = "reading", ("1",)

        def detect(self, node: Node) -> Evidence | None:
            return None

        read = can_hold = write = None

    source = make(tmp_path / "a.zarr")
    place = place_of(source)
    with pytest.raises(LayoutError, match=r"is read, and never written; take one of .*ome-zarr@0\.1"):
        conversion_plan(place.node, layouts.read(place.node), Wish("reading"), table=(*layouts.LAYOUTS, Reading()))  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", ["geozarr", "itk", "cosem", "datatree", "xcube"])
def test_of_two_series_over_one_base_as_many_are_converted_as_the_target_holds(tmp_path: Path, layout: str) -> None:
    base = np.random.default_rng(0).integers(0, 200, (64, 48), dtype=np.uint8)
    zg.build(base, tmp_path / "a.zarr", kind="image", chunks=16, levels=3, name="means")
    zg.build(tmp_path / "a.zarr", kind="image", reduction="max", levels=3, add=True, name="maxima", names="M{k}")
    result = zg.convert(tmp_path / "a.zarr", tmp_path / "b", layout=layout)
    found = zg.list_multiscales(tmp_path / "b", layout=layout)
    assert len(found) == (1 if any(p.rule == "LOSS006" for p in result.lost) else 2)
    means = zg.open(tmp_path / "b", layout=layout, multiscale="means" if len(found) == 2 else None)
    for k, level in enumerate(means.levels):
        assert np.array_equal(level.array[...], zg.open(tmp_path / "a.zarr").levels[k].array[...])
