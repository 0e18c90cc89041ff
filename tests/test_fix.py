"""Repairs: stores of zarr-python, broken on purpose; what is mended, what is left, and that a failed repair leaves everything as it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import ziggurat as zg
from ziggurat.cli import run as cli
from ziggurat.problems import LayoutError, StorageError
from ziggurat.transfer.folder import Folder

BASE = np.random.default_rng(50).integers(0, 4000, (64, 96)).astype("u2")
Edit = Callable[[dict[str, Any]], None]


def store(root: Path, edit: Edit | None = None, *, names: tuple[str, str] = ("y", "x"), consolidate: bool = False) -> Path:
    """OME 0.5 of block means, three levels; `edit` breaks its attributes."""
    group = zarr.open_group(root, mode="w", zarr_format=3)
    datasets = []
    for k in range(3):
        f = 2**k
        level = np.rint(BASE.reshape(64 // f, f, 96 // f, f).mean((1, 3))).astype("u2")
        group.create_array(str(k), shape=level.shape, chunks=(32, 32), dtype="u2", dimension_names=names if k else ("y", "x"))[...] = level
        steps = [{"type": "scale", "scale": [0.5 * f, 0.5 * f]}, {"type": "translation", "translation": [0.25 * (f - 1)] * 2}]
        datasets.append({"path": str(k), "coordinateTransformations": steps, "mine": k})
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "yx"]
    entry = {"name": "a", "type": "mean", "axes": axes, "datasets": datasets, "metadata": {"method": "m"}, "seen": 1}
    attributes: dict[str, Any] = {"ome": {"version": "0.5", "multiscales": [entry]}, "other": {"b": [1]}}
    if consolidate:
        with pytest.warns(UserWarning, match="Consolidated"):
            zarr.consolidate_metadata(str(root))
    if edit is not None:
        edit(attributes)
    document = json.loads((root / "zarr.json").read_text())
    (root / "zarr.json").write_text(json.dumps({**document, "attributes": attributes}))
    return root


def datasets(attributes: dict[str, Any]) -> list[Any]:
    found: list[Any] = attributes["ome"]["multiscales"][0]["datasets"]
    return found


def state(root: Path) -> dict[str, str]:
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(root.rglob("*")) if p.is_file()}


def chunks(root: Path) -> dict[str, str]:
    return {key: value for key, value in state(root).items() if not key.endswith("zarr.json")}


def without_translations(attributes: dict[str, Any]) -> None:
    for dataset in datasets(attributes):
        del dataset["coordinateTransformations"][1]


def reverse(attributes: dict[str, Any]) -> None:
    datasets(attributes).reverse()


def absent(attributes: dict[str, Any]) -> None:
    datasets(attributes).append({**datasets(attributes)[2], "path": "3"})


def dev_version(attributes: dict[str, Any]) -> None:
    attributes["ome"]["version"] = "0.5-dev"


@pytest.mark.parametrize(("edit", "rule"), [(reverse, "OME004"), (absent, "OME003"), (dev_version, "OME016")])
def test_what_follows_from_the_arrays_is_mended(tmp_path: Path, edit: Edit, rule: str) -> None:
    whole, root = store(tmp_path / "whole.zarr"), store(tmp_path / "a.zarr", edit)
    samples = chunks(root)
    dry = zg.fix(root, dry_run=True)
    assert rule in {problem.rule for problem in zg.check(root)}
    result = zg.fix(root)
    assert [repair.rule for repair in result.repairs] == [rule] == [repair.rule for repair in dry.repairs]
    assert result.left == () and zg.check(root).problems == ()
    assert json.loads((root / "zarr.json").read_text()) == json.loads((whole / "zarr.json").read_text())
    assert chunks(root) == samples
    assert zg.fix(root).repairs == ()


def test_names_of_axes_and_stale_copies(tmp_path: Path) -> None:
    root = store(tmp_path / "a.zarr", names=("a", "b"), consolidate=True)
    assert {problem.rule for problem in zg.check(root)} >= {"OME018"}
    result = zg.fix(root)
    assert {repair.rule for repair in result.repairs} >= {"OME018"} and zg.check(root).problems == ()
    assert zarr.open_group(root, mode="r", use_consolidated=True)["1"].metadata.dimension_names == ("y", "x")


def test_a_stale_copy_alone_is_made_anew(tmp_path: Path) -> None:
    root = store(tmp_path / "a.zarr", consolidate=True)
    document = json.loads((root / "1" / "zarr.json").read_text())
    (root / "1" / "zarr.json").write_text(json.dumps({**document, "attributes": {"new": 1}}))
    assert [problem.rule for problem in zg.check(root)] == ["CON001"]
    zg.fix(root)
    assert zg.check(root).problems == () and zarr.open_group(root, mode="r", use_consolidated=True)["1"].attrs["new"] == 1


@pytest.mark.parametrize("how", [{"method": "mean"}, {"deep": True}])
def test_places_are_written_once_the_reduction_is_known(tmp_path: Path, how: dict[str, Any]) -> None:
    whole, root = store(tmp_path / "whole.zarr"), store(tmp_path / "a.zarr", without_translations)
    assert zg.fix(root).repairs == ()
    result = zg.fix(root, **how)
    assert [repair.rule for repair in result.repairs] == ["OME015"]
    assert json.loads((root / "zarr.json").read_text()) == json.loads((whole / "zarr.json").read_text())


def test_places_that_the_reduction_contradicts_are_mended(tmp_path: Path) -> None:
    def zero(attributes: dict[str, Any]) -> None:
        for dataset in datasets(attributes):
            dataset["coordinateTransformations"][1]["translation"] = [0.0, 0.0]

    root = store(tmp_path / "a.zarr", zero)
    result = zg.fix(root, deep=True)
    assert "its samples say so" in result.repairs[0].what
    assert [level.translation for level in zg.open(root)] == [(0.0, 0.0), (0.25, 0.25), (0.75, 0.75)]
    assert zg.fix(root, method="mean").repairs == ()


def test_an_older_layout_and_its_version(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    for k in range(2):
        group.create_array(f"{k}", shape=(8 >> k, 8 >> k), chunks=(4, 4), dtype="u1")
    group.attrs["multiscales"] = [{"name": "a", "type": "t", "metadata": {}, "datasets": [{"path": "1"}, {"path": "2"}, {"path": "0"}]}]
    result = zg.fix(tmp_path / "a.zarr")
    assert {repair.rule for repair in result.repairs} == {"MS005", "MS006", "MS008"} and result.left == ()
    (entry,) = zarr.open_group(tmp_path / "a.zarr", mode="r").attrs["multiscales"]
    assert entry == {"name": "a", "type": "t", "metadata": {}, "datasets": [{"path": "0"}, {"path": "1"}], "version": "0.1"}


def test_the_command_shows_asks_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = store(tmp_path / "a.zarr", reverse)
    before = state(root)
    assert cli(["fix", str(root), "--dry-run"]) == 1
    out = capsys.readouterr().out
    assert "OME004  ome.multiscales[0].datasets[1].path: the levels are listed as '0', '1', '2', because" in out and '-              "path": "2"' in out
    assert cli(["fix", str(root)]) == 2
    assert "say --yes" in capsys.readouterr().err
    assert state(root) == before
    assert cli(["fix", str(root), "--yes"]) == 0
    assert "1 repair, 1 document changed" in capsys.readouterr().out
    assert cli(["fix", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["repairs"] == []


def test_what_no_repair_mends_is_left_and_told(tmp_path: Path) -> None:
    def broken(attributes: dict[str, Any]) -> None:
        reverse(attributes)
        datasets(attributes)[0]["coordinateTransformations"][0]["scale"] = [1.0]

    root = store(tmp_path / "a.zarr", broken)
    result = zg.fix(root)
    assert [repair.rule for repair in result.repairs] == ["OME004"] and [problem.rule for problem in result.left] == ["OME012"]
    assert cli(["fix", str(root), "--yes"]) == 1


def test_a_failed_repair_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = store(tmp_path / "a.zarr", reverse, names=("a", "b"))
    before = {p: json.loads(p.read_text()) for p in root.rglob("zarr.json")}
    put, failed = Folder.put, []

    def full(self: Folder, key: str, document: Any) -> None:
        if key == "zarr.json" and not failed:
            failed.append(key)
            raise StorageError("no space left on the device")
        put(self, key, document)

    monkeypatch.setattr(Folder, "put", full)
    with pytest.raises(StorageError):
        zg.fix(root)
    assert failed and {p: json.loads(p.read_text()) for p in root.rglob("zarr.json")} == before


def test_unknown_versions_are_never_rewritten(tmp_path: Path) -> None:
    def later(attributes: dict[str, Any]) -> None:
        attributes["ome"]["version"] = "0.9"

    root = store(tmp_path / "a.zarr", later)
    before = state(root)
    assert zg.fix(root).repairs == () and state(root) == before


def test_a_layout_that_is_only_read_cannot_be_mended() -> None:
    from tests.layouts.fixtures import FIXTURES
    from ziggurat import layouts
    from ziggurat.conversion.repairs import repair_plan
    from ziggurat.node import DictNode
    from ziggurat.validation import check_result

    (draft,) = [fixture for fixture in FIXTURES if fixture.layout == "geozarr@draft-2025-11" and fixture.kind == "good"]
    last = max(key.split("/")[0] for key in draft.documents if "/" in key)
    node = DictNode({key: document for key, document in draft.documents.items() if not key.startswith(f"{last}/")}, values=draft.values)
    found = layouts.read(node)
    with pytest.raises(LayoutError, match=r"'geozarr@draft-2025-11': is read, and never written"):
        repair_plan(node, found, check_result(node, found).problems)
