"""`check --deep` on stores: our levels are made again and compared, those of others are explained beside what their metadata says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import zarr

import ziggurat as zg
from ziggurat.cli import run
from ziggurat.provenance.blocks import fitting, spread

PHOTO = skimage.data.astronaut()[:501, :333, 0]


def rules(report: zg.Report) -> list[str]:
    return [p.rule for p in report if p.rule.startswith("DEEP")]


@pytest.mark.parametrize("reduction", ["mean", "stride", "median", "mode", "min", "gaussian", "laplacian", "quantile(q=0.25)"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_levels_of_ours_are_what_they_say(tmp_path: Path, reduction: str, dtype: str) -> None:
    base = PHOTO.astype(dtype)
    if dtype == "float32":
        base[100:200, 50:90] = np.nan
    zg.build(base, tmp_path / "a.zarr", reduction=reduction, kind="image", chunks=64, levels=4)
    assert rules(zg.check(tmp_path / "a.zarr", deep=True)) == ["DEEP005"] * 3


def test_levels_with_coverage_beside_them_are_made_again_and_those_with_weights_are_not_guessed_at(tmp_path: Path) -> None:
    base = np.where(PHOTO < 60, np.nan, PHOTO).astype("float32")
    zg.build(base, tmp_path / "a.zarr", chunks=64, levels=3, coverage=True)
    assert rules(zg.check(tmp_path / "a.zarr", deep=True))[:2] == ["DEEP005"] * 2
    zg.build(base, tmp_path / "b.zarr", chunks=64, levels=3, weights={"y": np.arange(501.0)})
    assert not [p for p in zg.check(tmp_path / "b.zarr", deep=True) if p.requirement == "MUST"]


def test_nodata_and_ladders_and_a_transposed_store(tmp_path: Path) -> None:
    base = np.where(PHOTO < 40, 0, PHOTO).astype(np.uint16)
    zg.build(base, tmp_path / "a.zarr", kind="image", nodata=0, factors=[{"y": 2, "x": 3}, {"y": 5, "x": 1}], chunks=32)
    assert rules(zg.check(tmp_path / "a.zarr", deep=True)) == ["DEEP005"] * 2
    zg.build(skimage.data.astronaut(), tmp_path / "old.zarr", layout="multiscales@0.1", axes="yxc", kind="image", levels=3, chunks=64)
    zg.upgrade(tmp_path / "old.zarr", to="ome-zarr@0.5", dest=tmp_path / "new.zarr", transpose="cyx")
    assert rules(zg.check(tmp_path / "new.zarr", deep=True)) == ["DEEP005"] * 2


def test_shares_of_valid_samples_count(tmp_path: Path) -> None:
    base = np.where(PHOTO < 90, np.float32("nan"), PHOTO.astype(np.float32))
    zg.build(base, tmp_path / "a.zarr", kind="image", min_valid=0.6, coverage=True, chunks=64, levels=3, name="x")
    found = zg.check(tmp_path / "a.zarr", deep=True)
    assert [p.rule for p in found if p.loc.startswith("multiscales[0]") and p.rule.startswith("DEEP")] == ["DEEP005"] * 2
    assert not found.of("MUST")


@pytest.mark.parametrize("weights", ["area", "cos_lat", {"lat": list(np.linspace(1, 3, 501))}], ids=["area", "cos_lat", "numbers"])
def test_weights_that_the_metadata_states_count(tmp_path: Path, weights: object) -> None:
    where = {"axes": ("lat", "lon"), "scale": (0.3, 0.3), "translation": (-75.0, 0.0)}
    base = np.where(PHOTO < 90, np.float32("nan"), PHOTO.astype(np.float32))
    zg.build(base, tmp_path / "a.zarr", kind="image", weights=weights, chunks=64, levels=4, layout="multiscales@0.1", **where)  # type: ignore[arg-type]
    assert rules(zg.check(tmp_path / "a.zarr", deep=True)) == ["DEEP005"] * 3


def test_the_first_sample_that_differs_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zg.build(PHOTO, tmp_path / "a.zarr", kind="image", chunks=64, levels=3)
    level = zarr.open_array(tmp_path / "a.zarr" / "1", mode="r+")
    before = int(level[3, 5])
    level[3, 5] = 255 - before
    report = zg.check(tmp_path / "a.zarr", deep=True)
    (broken,) = report.of("MUST")
    assert broken.rule == "DEEP001" and f"sample [3, 5] is {255 - before}; expected {before}, the mean of the base (1 of" in broken.message
    assert zg.check(tmp_path / "a.zarr").ok and run(["check", str(tmp_path / "a.zarr")]) == 0
    assert run(["check", "--deep", str(tmp_path / "a.zarr")]) == 1
    assert "DEEP001" in capsys.readouterr().out


def foreign(folder: Path, levels: list[np.ndarray], metadata: dict[str, object], translations: list[float]) -> Path:
    """An OME-Zarr 0.4 pyramid as somebody else's program writes one."""
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    datasets = []
    for k, (level, translation) in enumerate(zip(levels, translations, strict=True)):
        group.create_array(str(k), shape=level.shape, chunks=(64, 64), dtype=level.dtype, chunk_key_encoding={"name": "v2", "separator": "/"})[...] = level
        where = [{"type": "scale", "scale": [float(2**k)] * 2}, {"type": "translation", "translation": [translation] * 2}]
        datasets.append({"path": str(k), "coordinateTransformations": where})
    axes = [{"name": n, "type": "space"} for n in "yx"]
    group.attrs["multiscales"] = [{"version": "0.4", "name": "x", "axes": axes, "datasets": datasets, **metadata}]
    return folder


def test_levels_of_others_are_explained_beside_what_they_say(tmp_path: Path) -> None:
    levels = [PHOTO[:500, :332], PHOTO[:500:2, :332:2], PHOTO[:500:4, :332:4]]
    told = foreign(tmp_path / "a.zarr", levels, {"type": "mean", "metadata": {"method": "other.mean"}}, [0.0, 0.5, 1.5])
    report = zg.check(told, deep=True)
    looks = [p.message for p in report if p.rule == "DEEP003"]
    lies = [p for p in report if p.rule == "DEEP002"]
    assert "stride, the first sample of each window of the base; metadata says 'mean' / 'other.mean'" in looks[0]
    assert ["0.50 base samples before" in lies[0].message, "1.50 base samples before" in lies[1].message] == [True, True]
    assert report.ok and not zg.check(told, deep=True, strict=True).ok
    right = foreign(tmp_path / "b.zarr", levels, {"type": "nearest", "metadata": {"method": "other.nearest"}}, [0.0, 0.0, 0.0])
    assert rules(zg.check(right, deep=True)) == ["DEEP003", "DEEP003"]


def test_other_keys_of_ours_are_not_guessed(tmp_path: Path) -> None:
    zg.build(PHOTO, tmp_path / "a.zarr", kind="image", chunks=64, levels=2)
    document = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())
    document["attributes"]["ome"]["multiscales"][0]["metadata"]["kwargs"]["something"] = 1
    (tmp_path / "a.zarr" / "zarr.json").write_text(json.dumps(document))
    assert rules(zg.check(tmp_path / "a.zarr", deep=True)) == ["DEEP003"]


def test_a_plate_has_no_levels_to_compare(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path, mode="w", zarr_format=2)
    group.attrs["plate"] = {"version": "0.4", "rows": [{"name": "A"}], "columns": [{"name": "1"}], "wells": []}
    assert rules(zg.check(tmp_path, deep=True)) == []


def test_blocks_cover_the_ends_and_fit_the_budget() -> None:
    for shape, factors in (((1000, 7), (2, 1)), ((5, 4000, 4000), (1, 8, 8)), ((3,), (64,)), ((1, 1), (2, 2))):
        block = fitting(shape, factors, 4096)
        assert all(1 <= b <= n for b, n in zip(block, shape, strict=True))
        assert np.prod([b * f for b, f in zip(block, factors, strict=True)]) <= max(4096, np.prod(factors))
        regions = spread(shape, block, 5)
        assert any(all(s.start == 0 for s in r) for r in regions) and any(all(s.stop == n for s, n in zip(r, shape, strict=True)) for r in regions)
