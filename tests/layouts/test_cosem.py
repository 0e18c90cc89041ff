"""COSEM: which of two statements holds, what is written, and that a ramp lies where it says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ziggurat as zg
from tests.layouts.fixtures import FIXTURES
from tests.layouts.ramps import placement_error, pyramid_of, write_n5, write_zarr2
from ziggurat import layouts
from ziggurat.layouts import cosem
from ziggurat.layouts.units import long_unit, short_unit
from ziggurat.model import Axis, Level, Multiscale
from ziggurat.node import DictNode
from ziggurat.problems import LayoutError

BY_ID = {fixture.id: fixture for fixture in FIXTURES}
STEPS = ((1, 1, 1), (2, 2, 2), (2, 4, 8))
SCALE, TRANSLATION = (10.0, 8.0, 0.5), (-3.0, 0.0, 64.25)


def transform(step: tuple[int, ...], *, order: str) -> dict[str, object]:
    """By COSEM's own rule: scale times the factor, shifted by (factor - 1) / 2 base samples."""
    scale = [s * f for s, f in zip(SCALE, step, strict=True)]
    translate = [t + s * (f - 1) / 2 for s, t, f in zip(SCALE, TRANSLATION, step, strict=True)]
    turn = 1 if order == "C" else -1
    return {"order": order, "axes": list("zyx")[::turn], "units": ["nm"] * 3, "scale": scale[::turn], "translate": translate[::turn]}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("write", [write_n5, write_zarr2])
@pytest.mark.parametrize("listed", [True, False])
def test_a_ramp_lies_where_it_says(write: object, order: str, listed: bool, tmp_path: Path) -> None:
    arrays = pyramid_of((16, 24, 32), SCALE, TRANSLATION, STEPS)
    held = {f"em/s{k}": (samples, {"transform": transform(step, order=order)}) for k, (samples, step) in enumerate(zip(arrays, STEPS, strict=True))}
    datasets = [{"path": f"s{k}", "transform": transform(step, order=order)} for k, step in enumerate(STEPS)]
    group = {"multiscales": [{"name": None, "datasets": datasets}]} if listed else {}
    write(tmp_path, {"": {}, "em": group}, held)  # type: ignore[operator]
    pyramid = zg.open(tmp_path / "em")
    assert pyramid.layout == "cosem@1" and [level.shape for level in pyramid.levels] == [a.shape for a in arrays]
    assert [axis.name for axis in pyramid.axes] == ["z", "y", "x"] and {axis.unit for axis in pyramid.axes} == {"nanometer"}
    assert placement_error(pyramid) == 0
    assert {level.translation_provenance for level in pyramid.levels} == {"stated"}
    assert zg.open(tmp_path / "em" / "s1").name == pyramid.name  # a level's own place finds its multiscale


def test_the_array_holds_where_the_group_differs_and_both_are_shown() -> None:
    fixture = BY_ID["cosem@1/broken/COS007-translate"]
    result = layouts.read(fixture.node())
    assert result.multiscales[0].levels[1].translation == (5.0, 4.0, 4.0)
    (found,) = result.problems
    assert "[5.0, 4.0, 4.0] in the array, [0.0, 0.0, 0.0] in the group; the array holds" in found.message
    written = cosem.LAYOUT.write(result.multiscales, existing=dict(fixture.node().attributes)).attributes
    assert written[""]["multiscales"][0]["datasets"][1]["transform"]["translate"] == [5.0, 4.0, 4.0]  # type: ignore[index,call-overload]


def made(axes: str, units: list[str | None], scales: list[tuple[float, ...]]) -> Multiscale:
    levels = tuple(Level(f"s{k}", scale, tuple((s - b) / 2 for s, b in zip(scale, scales[0], strict=True))) for k, scale in enumerate(scales))
    return Multiscale(levels, tuple(Axis(name, None, unit) for name, unit in zip(axes, units, strict=True)), name="em", type="mean", method={"method": "x"})


def test_what_is_written_has_every_fact_in_all_its_places() -> None:
    multiscale = made("zyx", ["micrometer"] * 3, [(0.5, 0.25, 0.25), (0.5, 0.5, 0.5)])
    documents = cosem.LAYOUT.write([multiscale], existing={"mine": 1, "axes": ["old"]})
    assert documents.lost == ()
    assert documents.attributes[""] == {
        "mine": 1,
        "axes": ["x", "y", "z"],
        "units": ["um", "um", "um"],
        "scales": [[1, 1, 1], [2, 2, 1]],
        "pixelResolution": {"dimensions": [0.25, 0.25, 0.5], "unit": "um"},
        "multiscales": [
            {
                "name": "em",
                "datasets": [
                    {"path": "s0", "transform": {"axes": ["z", "y", "x"], "units": ["um"] * 3, "scale": [0.5, 0.25, 0.25], "translate": [0.0, 0.0, 0.0]}},
                    {"path": "s1", "transform": {"axes": ["z", "y", "x"], "units": ["um"] * 3, "scale": [0.5, 0.5, 0.5], "translate": [0.0, 0.125, 0.125]}},
                ],
                "type": "mean",
                "metadata": {"method": "x"},
            }
        ],
    }
    assert documents.attributes["s1"]["pixelResolution"] == {"dimensions": [0.5, 0.5, 0.5], "unit": "um"}


def test_factors_that_are_not_whole_and_units_that_differ_leave_their_copies_out() -> None:
    resized = cosem.LAYOUT.write([made("yx", ["micrometer"] * 2, [(1.0, 1.0), (1.5, 2.0)])], existing={})
    assert "scales" not in resized.attributes[""] and [p.rule for p in resized.lost] == ["LOSS001"]
    mixed = cosem.LAYOUT.write([made("tx", ["second", "micrometer"], [(1.0, 1.0), (1.0, 2.0)])], existing={})
    assert "pixelResolution" not in mixed.attributes[""] and mixed.attributes["s0"]["pixelResolution"] is None
    assert mixed.attributes[""]["units"] == ["um", "s"] and mixed.lost == ()
    turned = replace(made("yx", [None, None], [(1.0, 1.0)]), world=((0.0, 1.0), (1.0, 0.0)))
    assert [p.rule for p in cosem.LAYOUT.write([turned], existing={}, display={"channels": []}).lost] == ["LOSS002", "LOSS003"]


def test_nothing_to_write_changes_nothing() -> None:
    assert cosem.LAYOUT.write([], existing={"mine": 1}).attributes == {"": {"mine": 1}}


def test_other_versions_and_equal_names_are_refused() -> None:
    assert cosem.LAYOUT.can_hold([Axis("x"), Axis("x")]) == "the names of the axes (x, x) are not unique"
    with pytest.raises(LayoutError, match=r"cosem@2: no such version"):
        cosem.LAYOUT.can_hold([], version="2")


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"axes": []},
        {"axes": ["z"], "units": ["nm"], "scale": [float("1e300")], "translate": ["0"]},
        {"axes": 1, "units": {}, "scale": "", "translate": None},
    ],
)
def test_transforms_that_are_none_never_raise(value: object) -> None:
    node = DictNode(
        {
            "attributes.json": {"multiscales": [{"datasets": [{"path": "s0", "transform": {"scale": [1], "translate": [0]}}]}]},
            "s0/attributes.json": {"dimensions": [4], "blockSize": [4], "dataType": "uint8", "compression": {"type": "raw"}, "transform": value},  # type: ignore[dict-item]
        }
    )
    result = layouts.read(node)
    assert result.layout == "cosem@1" and {p.rule for p in result.problems} <= {"COS005", "COS006", "COS008"} and result.problems
    huge = json.loads('{"axes": ["z"], "units": ["nm"], "scale": [1' + "0" * 400 + '], "translate": [0]}')
    assert cosem.transform_of(huge)[1] == "COS006"


def test_units_are_known_by_both_names() -> None:
    for short, long in (("nm", "nanometer"), ("um", "micrometer"), ("mm", "millimeter"), ("m", "meter"), ("s", "second"), ("ms", "millisecond")):
        assert long_unit(short) == long and short_unit(long) == short and long_unit(long) == long and short_unit(short) == short
    assert np.all([long_unit(text) == "micrometer" for text in ("\u00b5m", "\u03bcm", "micron", "micrometre", "Micrometers")])
    assert long_unit("furlong") == "furlong" and short_unit("furlong") == "furlong" and long_unit(" ") is None


def test_units_go_into_other_layouts_by_their_long_names_and_keep_their_spelling_here() -> None:
    fixture = BY_ID["cosem@1/good/n5"]
    text = json.dumps(dict(fixture.documents)).replace('"nm"', '"micron"')
    node = DictNode(json.loads(text))
    (multiscale,) = layouts.read(node).multiscales
    assert {(axis.unit, len(axis.extra)) for axis in multiscale.axes} == {("micrometer", 0)}
    assert cosem.LAYOUT.write([multiscale], existing=dict(node.attributes)).attributes == {"": dict(node.attributes)}
    ome = layouts.find("ome-zarr").write([replace(multiscale, raw={})], version="0.5", existing={}).attributes[""]
    assert {axis["unit"] for axis in ome["ome"]["multiscales"][0]["axes"]} == {"micrometer"}  # type: ignore[index,call-overload]
