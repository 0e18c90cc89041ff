"""`check --deep` and `rebuild` of every kind of level: unchanged ones are proven, one wrong sample is found at its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import ziggurat as zg
from ziggurat.cli import run
from ziggurat.problems import OptionError

RNG = np.random.default_rng(4)
SHAPE = (75, 101)
WHOLE = RNG.integers(5, 4000, SHAPE).astype(np.uint16)
HOLED = np.where(RNG.random(SHAPE) < 0.3, np.nan, RNG.normal(0, 1, SHAPE)).astype(np.float32)
CLASSES = RNG.integers(1, 5, SHAPE).astype(np.uint32)
GONE = RNG.random(SHAPE) < 0.4
GONE[:40, :40] = True
HEAVY = RNG.random(SHAPE) + 0.1
CALENDAR: dict[str, Any] = {"groups": {"y": [[0, 10, 31, 75], [0, 31, 75]]}, "layout": "multiscales@0.1"}

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "mean with an array of weights": (WHOLE, {"weights": HEAVY}),
    "mean with weights along an axis": (WHOLE, {"weights": HEAVY[0]}),
    "mean of integers with a mask": (WHOLE, {"nodata": GONE}),
    "mean with mask, weights and a share": (WHOLE, {"nodata": GONE, "weights": HEAVY, "min_valid": 0.5}),
    "floats with a mask": (HOLED, {"nodata": GONE, "min_valid": 0.3}),
    "gaussian of masked floats": (HOLED, {"nodata": GONE, "reduction": "gaussian"}),
    "median with a mask and a share": (WHOLE, {"nodata": GONE, "reduction": "median", "min_valid": 0.4}),
    "weighted quantile from the base": (WHOLE, {"weights": HEAVY, "reduction": "quantile(q=0.9, source=base)"}),
    "weighted mode with a mask": (CLASSES, {"weights": HEAVY, "nodata": GONE, "reduction": "mode", "kind": "labels"}),
    "mode from the base with a mask": (CLASSES, {"nodata": GONE, "reduction": "mode(source=base)", "kind": "labels"}),
    "stride with a mask": (WHOLE, {"nodata": GONE, "reduction": "stride"}),
    "exact windows": (WHOLE, {"level_shapes": [(50, 67), (20, 30)]}),
    "exact windows, mask and weights": (WHOLE, {"level_shapes": [(50, 67), (20, 30)], "nodata": GONE, "weights": HEAVY, "min_valid": 0.3}),
    "steps": (HOLED, {"scale": 0.25, "level_scales": [0.4, 1.0]}),
    "max of exact windows": (WHOLE, {"level_shapes": [(50, 67)], "reduction": "max"}),
    "groups": (HOLED, CALENDAR),
    "sums of groups with weights": (WHOLE, {**CALENDAR, "reduction": "sum", "weights": HEAVY}),
    "by axis": (WHOLE, {"reduction": {"y": "mean", "x": "max"}}),
    "by axis, from the base": (WHOLE, {"reduction": {"y": "mean", "x": "stride"}}),
    "envelope": (WHOLE, {"reduction": "envelope"}),
    "envelope with a mask": (WHOLE, {"reduction": "envelope", "nodata": GONE, "min_valid": 0.5}),
    "coverage": (HOLED, {"coverage": True}),
    "coverage with mask and weights": (WHOLE, {"coverage": True, "nodata": GONE, "weights": HEAVY}),
    "coverage of exact windows": (WHOLE, {"coverage": True, "nodata": GONE, "level_shapes": [(50, 67), (20, 30)]}),
    "coverage of groups": (HOLED, {"coverage": True, **CALENDAR}),
}

SAMPLED = {
    "mean with mask, weights and a share",
    "median with a mask and a share",
    "exact windows, mask and weights",
    "groups",
    "envelope",
    "coverage of groups",
}
CASES = [pytest.param(kind, marks=[] if kind in SAMPLED else [pytest.mark.prove], id=kind) for kind in KINDS]


def built(place: Path, kind: str, **more: Any) -> dict[str, Any]:
    """Builds a kind; returns what a check has to be given again."""
    base, options = KINDS[kind]
    said = {"kind": "image", "chunks": 32, "levels": 3, "name": "x", **options, **more}
    if {"level_shapes", "level_scales", "groups"} & set(options):
        del said["levels"]
    zg.build(base, place, **said)
    mask = options.get("nodata")
    return {name: value for name, value in (("weights", options.get("weights")), ("mask", mask)) if value is not None}


def judged(place: Path, **given: Any) -> list[tuple[str, str, str]]:
    return [(p.rule, p.loc, p.message) for p in zg.check(place, deep=True, **given) if p.rule.startswith("DEEP")]


def arrays_of(place: Path) -> list[str]:
    """Every stored array but the base."""
    found = [str(p.parent.relative_to(place)) for p in place.rglob("zarr.json") if json.loads(p.read_text())["node_type"] == "array"]
    found += [str(p.parent.relative_to(place)) for p in place.rglob(".zarray")]
    return sorted(found)[1:]


@pytest.mark.parametrize("kind", CASES)
def test_one_wrong_sample_of_any_array_is_found_at_its_place(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "a.zarr"
    given = built(place, kind)
    said = judged(place, **given)
    assert said and {rule for rule, _, _ in said} == {"DEEP005"}, said
    paths = arrays_of(place)
    assert len(paths) == len(said)
    for path in paths:
        array = zarr.open_array(str(place / path), mode="r+")
        at = tuple(n // 2 for n in array.shape)
        before = array[at]
        array[at] = 1 if before == 0 or before != before else before * 2 + 1
        broken = [(loc, message) for rule, loc, message in judged(place, **given) if rule == "DEEP001"]
        array[at] = before
        assert any(f"sample {list(at)} is" in message and "(1 of" in message for _, message in broken), (path, broken)


def test_without_the_arrays_it_is_said_what_is_lacking_and_extremes_are_compared(tmp_path: Path) -> None:
    place = tmp_path / "a.zarr"
    built(place, "mean with mask, weights and a share")
    for rule, _, message in judged(place):
        assert rule == "DEEP004"
        assert "its weights were an array of shape (75, 101) in memory; give it again with weights= (--weights)" in message
        assert "its mask was an array of shape (75, 101) in memory" in message and "lie between the extremes of their windows" in message
    level = zarr.open_array(str(place / arrays_of(place)[0]), mode="r+")
    level[3, 5] = 4001
    (broken,) = zg.check(place, deep=True).of("MUST")
    assert broken.rule == "DEEP001" and "sample [3, 5] is 4001" in broken.message and "between the extremes of its window" in broken.message
    assert "have shape (101,), and those of the build had (75, 101)" in judged(place, weights=HEAVY[0], mask=GONE)[1][2]
    with pytest.raises(OptionError, match="weights: expected an array"):
        zg.check(place, deep=True, weights=tmp_path / "nowhere.npy")


def test_arrays_are_found_where_the_metadata_says_when_links_are_allowed(tmp_path: Path) -> None:
    np.save(tmp_path / "heavy.npy", HEAVY)
    zg.build(WHOLE, tmp_path / "a.zarr", weights=str(tmp_path / "heavy.npy"), kind="image", chunks=32, levels=3)
    assert {rule for rule, _, _ in judged(tmp_path / "a.zarr")} == {"DEEP004"}
    assert {rule for rule, _, _ in judged(tmp_path / "a.zarr", allow_links=True)} == {"DEEP005"}
    assert run(["check", "--deep", "--weights", str(tmp_path / "heavy.npy"), str(tmp_path / "a.zarr")]) == 0
    zarr.open_array(str(tmp_path / "a.zarr/1"), mode="r+")[0, 0] += 1
    assert run(["check", "--deep", "--weights", str(tmp_path / "heavy.npy"), str(tmp_path / "a.zarr")]) == 1


@pytest.mark.parametrize("kind", CASES)
def test_every_kind_is_rebuilt_or_refused_in_one_sentence(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "a.zarr"
    options = KINDS[kind][1]
    stored = {}
    for name in ("weights", "nodata"):
        if isinstance(options.get(name), np.ndarray):
            np.save(tmp_path / f"{name}.npy", options[name])
            stored[name] = str(tmp_path / f"{name}.npy")
    given = built(place, kind)
    if given:
        with pytest.raises(zg.ZigguratError, match=r"in memory; build with (them|it) again") as told:
            zg.rebuild(place)
        assert "\n" not in str(told.value)
    built(tmp_path / "b.zarr", kind, **stored)
    names = [m.name for m in zg.list_multiscales(tmp_path / "b.zarr")]
    before = files(tmp_path / "b.zarr")
    for name in names if "envelope" in kind else names[:1]:  # in their order: a series that is made again is the last
        zg.rebuild(tmp_path / "b.zarr", multiscale=name)
    assert files(tmp_path / "b.zarr") == before


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
