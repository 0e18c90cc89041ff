"""Annotations: arrays of zarr-python, described in several layouts at once; what cannot stand there is refused and says why."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import zarr

import ziggurat as zg
from ziggurat.cli import run as cli
from ziggurat.conversion.describe import Made, annotation_plans, described, pile
from ziggurat.model import Axis
from ziggurat.node import DictNode
from ziggurat.problems import LayoutError, NotFound, OptionError, StorageError
from ziggurat.pyramid.places import place_of
from ziggurat.transfer.documents import rewriting

BASE = np.random.default_rng(50).integers(0, 4000, (64, 96)).astype("u2")


def bare(root: Path, *, zarr_format: int = 3, pick: bool = False, names: tuple[str, ...] = ("full", "half", "quarter")) -> Path:
    """Block means (or every f-th sample) by numpy; nobody describes them."""
    group = zarr.open_group(root, mode="w", zarr_format=zarr_format)  # type: ignore[arg-type]
    for k, name in enumerate(names):
        f = 2**k
        level = BASE[::f, ::f] if pick else np.rint(BASE.reshape(64 // f, f, 96 // f, f).mean((1, 3))).astype("u2")
        group.create_array(name, shape=level.shape, chunks=(32, 32), dtype="u2")[...] = level
    group.attrs["mine"] = {"a": [1]}
    return root


def chunks(root: Path) -> dict[str, str]:
    kept = (p for p in sorted(root.rglob("*")) if p.is_file() and not p.name.startswith((".z", "zarr.json")))
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in kept}


def test_several_layouts_stand_side_by_side(tmp_path: Path) -> None:
    root = bare(tmp_path / "a.zarr")
    before = chunks(root)
    result = zg.annotate(root, layout=["ome-zarr@0.5", "multiscales@0.1"], scale=0.5, unit="micrometer", method="mean")
    assert result.layouts == ("ome-zarr@0.5", "multiscales@0.1") and result.refused == ()
    assert chunks(root) == before
    attributes = dict(zarr.open_group(root, mode="r").attrs)
    assert attributes["mine"] == {"a": [1]} and set(attributes) == {"mine", "ome", "multiscales"}
    pyramid = zg.open(root)
    assert [level.translation for level in pyramid] == [(0.0, 0.0), (0.25, 0.25), (0.75, 0.75)]
    assert [axis.unit for axis in pyramid.axes] == ["micrometer"] * 2
    founding = zg.open(root, layout="multiscales@0.1")
    assert [level.path for level in founding] == ["full", "half", "quarter"] and founding.multiscale.type == "mean"
    assert zarr.open_group(root, mode="r")["half"].metadata.dimension_names == ("y", "x")
    assert zg.check(root).ok and zg.check(root, layout="multiscales@0.1").ok


def test_what_cannot_stand_there_is_refused_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = bare(tmp_path / "a.zarr", zarr_format=2)
    result = zg.annotate(root, layout=["multiscales@0.1", "ome-zarr@0.5", "ome-zarr@0.2"])
    assert result.layouts == ("multiscales@0.1",)
    assert [r.layout for r in result.refused] == ["ome-zarr@0.5", "ome-zarr@0.2"]
    assert "its arrays lie in zarr2, and ome-zarr@0.5 wants zarr3; 'ziggurat convert'" in result.refused[0].reason
    assert cli(["annotate", str(root), "--layout", "ome-zarr@0.5"]) == 2
    assert "nothing was written" in capsys.readouterr().err
    assert cli(["annotate", str(root), "--layout", "multiscales", "--layout", "ome-zarr@0.5"]) == 1
    assert "refused: ome-zarr@0.5" in capsys.readouterr().out


def test_one_key_for_two_things_is_refused(tmp_path: Path) -> None:
    root = bare(tmp_path / "a.zarr", zarr_format=2)
    for path in root.rglob(".zarray"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "dimension_separator": "/"}))
    result = zg.annotate(root, layout=["multiscales@0.1", "ome-zarr@0.4"], dry_run=True)
    assert result.layouts == ("multiscales@0.1",) and "wants the attribute 'multiscales', which says something else" in result.refused[0].reason
    assert not (root / ".zattrs").read_text().count("multiscales")


def test_samples_tell_where_they_lie(tmp_path: Path) -> None:
    for pick, expected in ((False, [(0.0, 0.0), (0.5, 0.5), (1.5, 1.5)]), (True, [(0.0, 0.0)] * 3)):
        root = bare(tmp_path / f"{pick}.zarr", pick=pick)
        zg.annotate(root, layout="ome-zarr@0.5", deep=True)
        assert [level.translation for level in zg.open(root)] == expected
    unknown = bare(tmp_path / "c.zarr")
    zg.annotate(unknown, layout="ome-zarr@0.5", method="somebody.elses")
    assert [level.level.translation_provenance for level in zg.open(unknown)] == ["inferred"] * 3


def test_what_is_described_already_is_carried_over(tmp_path: Path) -> None:
    root = bare(tmp_path / "a.zarr")
    zg.annotate(root, layout="ome-zarr@0.5", scale={"y": 2.0, "x": 3.0}, unit="meter", method="stride", name="first")
    result = zg.annotate(root, layout="multiscales@0.1")
    assert result.layouts == ("multiscales@0.1",) and "ome" in zarr.open_group(root, mode="r").attrs
    again = zg.annotate(root, layout="ome-zarr@0.5", unit="micrometer", dry_run=True)
    assert [change.key for change in again.changes] == ["zarr.json"]
    assert str(again).count("micrometer") == 2 and str(again).count("-") >= 2
    assert zg.open(root).levels[1].translation == (0.0, 0.0)


def test_which_arrays_are_levels_may_be_said(tmp_path: Path) -> None:
    root = bare(tmp_path / "a.zarr")
    zarr.open_group(root).create_array("other", shape=(5, 5, 5), dtype="u1", chunks=(5, 5, 5))
    with pytest.raises(OptionError, match=r"are no scaled-down versions of one another; say which arrays are levels, levels="):
        zg.annotate(root, layout="multiscales@0.1")
    assert cli(["annotate", str(root), "--layout", "multiscales", "--level", "half", "--level", "full"]) == 0
    assert [level.path for level in zg.open(root)] == ["full", "half"]
    with pytest.raises(NotFound, match="no array at 'none'"):
        zg.annotate(root, layout="multiscales@0.1", levels=["none"])


def test_axes_that_nobody_names_must_be_said() -> None:
    documents = {"zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": {}}}
    with pytest.raises(NotFound, match="no array directly in this group"):
        pile(DictNode(documents))  # type: ignore[arg-type]


def test_a_document_that_cannot_be_written_leaves_all_as_it_was(tmp_path: Path) -> None:
    root = bare(tmp_path / "a.zarr")
    before = {p: p.read_bytes() for p in root.rglob("zarr.json")}
    place = place_of(root)
    m = described(pile(place.node), (Axis("y", "space"), Axis("x", "space")), scale=(1, 1), translation=(0, 0), name="a", made=Made())
    plans, _ = annotation_plans(place.node, (m,), ("ome-zarr@0.5",))

    def full(operation: str, key: str) -> None:
        if key == "zarr.json" and before[root / key] == (root / key).read_bytes() and not failed:
            failed.append(key)
            raise StorageError("full")

    failed: list[str] = []
    with pytest.raises(StorageError):
        rewriting(place, plans).do(full)
    assert {p: p.read_bytes() for p in root.rglob("zarr.json")} != {} and failed
    assert {p: json.loads(p.read_bytes()) for p in root.rglob("zarr.json")} == {p: json.loads(data) for p, data in before.items()}


def test_nothing_at_all_is_an_error(tmp_path: Path) -> None:
    root = bare(tmp_path / "a.zarr", zarr_format=2)
    with pytest.raises(LayoutError, match=r"nothing was written\. ome-zarr@0\.5: its arrays lie in zarr2"):
        zg.annotate(root, layout="ome-zarr@0.5")
    with pytest.raises(OptionError, match="layout: none was said"):
        zg.annotate(root, layout=())
