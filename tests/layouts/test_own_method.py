"""What our own `metadata` states keeps its meaning when an upgrade carries it to a store whose axes stand in another order."""

from __future__ import annotations

from ziggurat.layouts.series import named_axes, own_axes, stated_ladder
from ziggurat.model import JSON, ArrayInfo

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
