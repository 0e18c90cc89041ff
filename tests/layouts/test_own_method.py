"""What our own `metadata` states keeps its meaning when an upgrade carries it to a store whose axes stand in another order."""

from __future__ import annotations

from ziggurat.layouts.series import named_axes, own_axes, own_geometry, placed, stated_ladder
from ziggurat.model import JSON, ArrayInfo, Axis, Level

METHOD: JSON = {"method": "ziggurat.mean", "kwargs": {"axes": ["y", "x", "c"], "factors": [[2, 3, 1], [2, 2, 1]], "anchor": ["centre", "first", "centre"]}}


def test_factors_follow_the_names_of_the_axes() -> None:
    stored = stated_ladder(METHOD, ["y", "x", "c"])
    assert stored == (((2, 3, 1), (2, 2, 1)), ("centre", "first", "centre"))
    moved = stated_ladder(METHOD, ["c", "y", "x"])
    assert moved == (((1, 2, 3), (1, 2, 2)), ("centre", "centre", "first"))


def test_other_names_make_the_factors_unknown() -> None:
    assert stated_ladder(METHOD, ["a", "b", "c"]) is None


def test_methods_of_others_are_opaque() -> None:
    foreign: JSON = {"method": "other.mean", "kwargs": {"axes": ["y", "x"], "factors": [[2, 2]]}}
    assert own_axes(foreign) == () and stated_ladder(foreign, ["y", "x"]) is None


def test_axes_of_our_method_name_arrays_that_have_no_names() -> None:
    axes, inferred = named_axes([ArrayInfo((10, 10, 3), "uint8", (10, 10, 3))], METHOD)
    assert [(a.name, a.provenance) for a in axes] == [("y", "derived"), ("x", "derived"), ("c", "derived")] and inferred == ""


def test_the_base_is_placed_by_what_our_method_keeps_for_a_layout_without_space() -> None:
    kwargs: dict[str, JSON] = {"axes": ["y", "x"], "factors": [[2, 2]], "scale": [-10.0, 5], "translation": [100.0, 0.5], "units": ["metre", None]}
    levels = tuple(Level(str(k), array=ArrayInfo((n, n), "uint8", (4, 4))) for k, n in enumerate((8, 4)))
    found = placed(levels, {"method": "ziggurat.mean", "kwargs": kwargs}, (Axis("y"), Axis("x")))
    assert [(x.scale, x.translation, x.scale_provenance) for x in found] == [((-10.0, 5.0), (100.0, 0.5), "derived"), ((-20.0, 10.0), (95.0, 3.0), "derived")]
    assert own_geometry({"method": "ziggurat.mean", "kwargs": kwargs}, ["x", "y"]) == ((5.0, -10.0), (0.5, 100.0), (None, "metre"))
    for broken in ({"scale": [1, "2"]}, {"scale": [0, 1]}, {"translation": [1]}, {"units": "m"}):
        assert own_geometry({"method": "ziggurat.mean", "kwargs": {**kwargs, **broken}}, ["y", "x"]) is None
