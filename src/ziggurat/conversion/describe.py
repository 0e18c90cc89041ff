"""Arrays that anyone made, described: as a multiscale of the model, and in every layout that can stand side by side on them.

Pure over documents. What nobody said is taken from the arrays: names of axes, sizes, and with them the factors.
Source: formats.md 0.3, 0.4, 15.10, 15.11; design.md, annotate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from ziggurat import geometry, layouts
from ziggurat.conversion.across import ConversionPlan, Wish, conversion_plan, own_keys
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Multiscale
from ziggurat.node import Node
from ziggurat.problems import DocumentError, LayoutError, NotFound, OptionError, UnsupportedError


@dataclass(frozen=True, slots=True)
class Refusal:
    """A layout that was asked for and not written."""

    layout: str
    reason: str


def pile(node: Node, paths: Sequence[str] | None = None) -> tuple[tuple[str, ArrayInfo], ...]:
    """Returns the arrays of a group that are scaled-down versions of one another, largest first: those at `paths`, or those directly in it.

    Raises
    ------
    NotFound
        There is no array, or none at a path.
    OptionError
        The arrays are of different ranks, or none shrinks: which of them are levels must be said.
    """
    names = paths if paths is not None else node.children()
    found = []
    for name in names:
        info = node.child(name).array
        if info is not None and info.ndim:
            found.append((name, info))
        elif paths is not None:
            raise NotFound(f"{node.location}: no array at {name!r}; name arrays below the group")
    if not found:
        raise NotFound(f"{node.location}: no array directly in this group; name them (levels=), or the group that holds them")
    ranked = sorted(found, key=lambda item: [-n for n in _sizes(item[1])])
    for (name, large), (other, small) in pairwise(ranked):
        if large.ndim != small.ndim or any(a < b for a, b in zip(large.shape, small.shape, strict=False)) or large.shape == small.shape:
            shown = f"{name!r} {list(large.shape)} and {other!r} {list(small.shape)}"
            raise OptionError(
                f"{node.location}: {shown} are no scaled-down versions of one another; say which arrays are levels, levels={[n for n, _ in ranked]}"
            )
    return tuple(ranked)


def _sizes(info: ArrayInfo) -> tuple[int, ...]:
    size = 1
    for n in info.shape:
        size *= n
    return (size, *info.shape)


@dataclass(frozen=True, slots=True)
class Made:
    """Who made the levels, and where that puts their first samples."""

    method: Mapping[str, JSON] | None = None
    """The UNPARSED object of the metadata."""
    type: str | None = None
    anchor: geometry.Anchor | tuple[geometry.Anchor, ...] | None = None
    """None when nobody knows: translations are then aligned at the lower corner, and marked inferred."""
    places: Sequence[tuple[Fraction, ...]] | None = None
    """Per level, the place of its first sample in samples of the base, where the samples themselves told."""


def described(
    arrays: Sequence[tuple[str, ArrayInfo]], axes: tuple[Axis, ...], *, scale: Sequence[float], translation: Sequence[float], name: str | None, made: Made
) -> Multiscale:
    """Returns the multiscale that arrays of these sizes make; every number against the base. Source: formats.md 0.3, 0.4."""
    base = arrays[0][1]
    levels = []
    for k, (path, info) in enumerate(arrays):
        factors = [geometry.ratio(a, b)[0] if a > 0 and b > 0 else Fraction(1) for a, b in zip(base.shape, info.shape, strict=True)]
        known = made.anchor is not None or made.places is not None or (k == 0 and any(translation))
        if made.places is not None:
            place = tuple(float(Fraction(repr(t)) + Fraction(repr(s)) * p) for t, s, p in zip(translation, scale, made.places[k], strict=True))
        else:
            place = geometry.level_translation(scale, translation, factors, made.anchor or "centre")
        levels.append(Level(path, geometry.level_scale(scale, factors), place, "stated", "stated" if known else "inferred", info))
    return Multiscale(tuple(levels), axes, name=name, type=made.type, method=made.method)


def annotation_plans(
    node: Node, multiscales: Sequence[Multiscale], wanted: Sequence[str], *, table: Sequence[layouts.Layout] = layouts.LAYOUTS
) -> tuple[tuple[ConversionPlan, ...], tuple[Refusal, ...]]:
    """Returns the plans that describe the same arrays in every wanted layout that can stand beside the others, and why the rest cannot.

    The earlier one in `wanted` has its keys first; a layout that is there already, and not asked for, keeps its own.
    """
    present = [evidence.layout for evidence in layouts.detect(node, table)]
    names = {layout_id.partition("@")[0] for layout_id in wanted}
    held = _keys_of([layout_id for layout_id in present if layout_id.partition("@")[0] not in names], node.attributes, table)
    over: dict[str, Mapping[str, JSON]] = {"": {k: v for k, v in node.attributes.items() if k in held or k not in _keys_of(present, node.attributes, table)}}
    plans, refused = [], []
    for layout_id in wanted:
        result = layouts.ReadResult(node.location, (layout_id,), tuple(multiscales), ())
        try:
            plan = conversion_plan(node, result, Wish(layout_id, in_place=True, held=held, over=over), table=table)
        except (LayoutError, UnsupportedError, DocumentError) as error:
            reason = str(error).replace("; say a target, and the samples are copied there", "; 'ziggurat convert' writes a store of its own")
            refused.append(Refusal(layout_id, reason.removeprefix(f"{node.location}: ")))
            continue
        plans.append(plan)
        over |= {write.path: write.attributes for write in plan.nodes if write.attributes is not None}
        held = {**held, **_keys_of([layout_id], over.get("", {}), table)}
    return tuple(plans), tuple(refused)


def _keys_of(ids: Sequence[str], attributes: Mapping[str, JSON], table: Sequence[layouts.Layout]) -> dict[str, JSON]:
    """Returns the attributes by which layouts are known, as they are now."""
    keys = {key for layout_id in ids for key in own_keys(layouts.find(layout_id, table))}
    return {key: value for key, value in attributes.items() if key in keys}
