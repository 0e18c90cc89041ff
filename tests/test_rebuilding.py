"""`rebuild`: the same bytes, from nothing but what the metadata states."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ziggurat as zg
from ziggurat.cli import run

RNG = np.random.default_rng(50)
BASE = RNG.integers(0, 4000, (75, 101), dtype=np.uint16)
HOLED = np.where(RNG.random(BASE.shape) < 0.2, np.float32("nan"), BASE.astype(np.float32))


def files(folder: Path, *, but: str = "") -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not (but and p.relative_to(folder).parts[0] == but)}


CASES: list[tuple[str, Any, dict[str, Any]]] = [
    ("mean", BASE, {}),
    ("ladder by axis", BASE, {"factors": [{"y": 2, "x": 3}, {"y": 5, "x": 1}], "scale": (0.5, 0.25), "unit": "micrometer", "translation": (3.0, -1.5)}),
    ("nodata and min_valid", BASE, {"nodata": 7, "min_valid": 0.5}),
    ("NaN and coverage", HOLED, {"coverage": True, "min_valid": 0.3}),
    ("propagate", HOLED, {"missing": "propagate"}),
    ("stride", BASE, {"reduction": "stride"}),
    ("quantile", BASE, {"reduction": "q0.9"}),
    ("mode", (BASE // 500).astype(np.uint32), {"kind": "labels"}),
    ("gaussian", HOLED, {"reduction": "gaussian"}),
    ("laplacian with its residual", BASE, {"reduction": "laplacian", "residual_base": True}),
    ("by axis", BASE, {"reduction": {"y": "mean", "x": "max"}}),
    ("cos_lat", HOLED, {"axes": ("lat", "lon"), "scale": (1.0, 1.0), "translation": (-37.0, 0.0), "weights": "cos_lat", "layout": "multiscales@0.1"}),
    ("weights by axis", BASE, {"weights": {"y": list(np.linspace(1, 2, 75))}}),
    ("groups", BASE, {"groups": {"y": [[0, 10, 31, 75], [0, 31, 75]]}, "layout": "multiscales@0.1"}),
    ("exact windows", BASE, {"level_shapes": [(50, 67), (20, 30)]}),
    ("founding layout", BASE, {"layout": "multiscales@0.1", "names": "G{k}", "scale": (4.0, 4.0)}),
    ("shards", BASE, {"chunks": 16, "shards": 32, "layout": "ome-zarr@0.5"}),
]


@pytest.mark.parametrize(("base", "options"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_same_bytes_in_place_and_in_a_new_store(tmp_path: Path, base: Any, options: dict[str, Any]) -> None:
    more = {"kind": "image", "chunks": 16, "levels": 3, **options}
    if {"factors", "level_shapes", "groups"} & set(options):
        del more["levels"]
    zg.build(base, tmp_path / "a.zarr", name="x", **more)
    before = files(tmp_path / "a.zarr")
    zg.rebuild(tmp_path / "a.zarr", tmp_path / "b.zarr")
    after = files(tmp_path / "b.zarr")
    assert after.keys() == before.keys()
    assert [key for key in before if before[key] != after[key]] == []
    zg.rebuild(tmp_path / "a.zarr")
    again = files(tmp_path / "a.zarr")
    assert [key for key in before if before[key] != again.get(key)] == [] and again.keys() == before.keys()


def test_damaged_levels_come_back(tmp_path: Path) -> None:
    zg.build(BASE, tmp_path / "a.zarr", kind="image", chunks=16, levels=3)
    before = files(tmp_path / "a.zarr")
    shutil.rmtree(tmp_path / "a.zarr" / "1" / "c")
    assert not zg.check(tmp_path / "a.zarr", deep=True).ok
    assert run(["rebuild", str(tmp_path / "a.zarr"), "-q"]) == 0
    assert files(tmp_path / "a.zarr") == before and zg.check(tmp_path / "a.zarr", deep=True).ok


def test_one_of_several_series_is_rebuilt(tmp_path: Path) -> None:
    zg.build(BASE, tmp_path / "a.zarr", kind="image", chunks=16, levels=3, name="means")
    zg.build(tmp_path / "a.zarr", reduction="max", kind="image", levels=3, add=True, name="maxima", names="M{k}")
    before = files(tmp_path / "a.zarr")
    zg.rebuild(tmp_path / "a.zarr", multiscale="maxima")
    after = files(tmp_path / "a.zarr")
    assert after.keys() == before.keys() and [m.name for m in zg.list_multiscales(tmp_path / "a.zarr")] == ["means", "maxima"]
    assert [key for key in before if before[key] != after[key]] == []


def edited(folder: Path, **kwargs: Any) -> None:
    document = json.loads((folder / "zarr.json").read_text())
    document["attributes"]["ome"]["multiscales"][0]["metadata"].update(kwargs)
    (folder / "zarr.json").write_text(json.dumps(document))


def test_what_cannot_be_made_again_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zg.build(BASE, tmp_path / "a.zarr", kind="image", chunks=16, levels=3)
    before = files(tmp_path / "a.zarr", but="zarr.json")
    kwargs = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]["metadata"]["kwargs"]
    edited(tmp_path / "a.zarr", kwargs={**kwargs, "moon": "full"})
    with pytest.raises(zg.ZigguratError, match=r"metadata\.kwargs\.moon is 'full'"):
        zg.rebuild(tmp_path / "a.zarr")
    edited(tmp_path / "a.zarr", kwargs={**kwargs, "weights": {"shape": [75, 101]}})
    with pytest.raises(zg.ZigguratError, match="were an array or a function in memory"):
        zg.rebuild(tmp_path / "a.zarr")
    edited(tmp_path / "a.zarr", method="other.mean")
    assert run(["rebuild", str(tmp_path / "a.zarr")]) == 2
    assert "only levels of a 'ziggurat.' method" in capsys.readouterr().err
    assert files(tmp_path / "a.zarr", but="zarr.json") == before
