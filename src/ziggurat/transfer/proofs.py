"""A conversion is read again before it is written: what a reader will find must be what was meant.

The documents that are about to be written make a node; the target's own layout reads it. Levels that would lie elsewhere stop the
conversion, unless the layout said that it cannot hold places; axes that would get other names are told as lost. Source: design.md, promise 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ziggurat import layouts
from ziggurat.conversion.across import ConversionPlan
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, Level, Multiscale
from ziggurat.node import DictNode, Follow, dumps
from ziggurat.problems import DocumentError, LayoutError, NotFound, Problem

TOLERANCE = 1e-9
"""Of one sample: coordinates that are stored as sums of steps are off by some units in the last place."""


def node_of(plan: ConversionPlan, documents: Mapping[str, Mapping[str, JSON]], follow: Follow | None = None) -> DictNode:
    """Returns the documents of a plan as a node; `follow` leads to what is linked."""
    held: dict[str, Mapping[str, JSON] | bytes] = dict(documents)
    for name, content in plan.files.items():
        held[name] = content.encode("utf-8") if isinstance(content, str) else dumps(content, name)
    return DictNode(held, location=plan.to, values={path: small.values for path, small in plan.arrays.items()}, follow=follow)


def proven(
    plan: ConversionPlan,
    documents: Mapping[str, Mapping[str, JSON]],
    table: Sequence[layouts.Layout] = layouts.LAYOUTS,
    *,
    follow: Follow | None = None,
) -> tuple[Problem, ...]:
    """Returns what a reader of the target finds otherwise than it was meant, beyond what the plan knows to be lost.

    `follow` leads to what a document names elsewhere, so that linked levels are read where they are.

    Raises LayoutError when levels would be missing, or lie elsewhere, and the layout did not say that it has no words for places; or
    when a linked level is not what a reader of the target finds behind the link.
    """
    if any(move.how == "linked" for move in plan.moves):
        try:
            return _proven(plan, documents, table, follow)
        except LayoutError as error:
            raise LayoutError(f"level 0 cannot be linked, because of how it lies in the source; leave link out, and it is copied ({error})") from error
    return _proven(plan, documents, table, follow)


def _proven(plan: ConversionPlan, documents: Mapping[str, Mapping[str, JSON]], table: Sequence[layouts.Layout], follow: Follow | None) -> tuple[Problem, ...]:
    root = node_of(plan, documents, follow)
    told: list[Problem] = []
    for path, meant in plan.meant.items():
        start = f"{path}/" if path else ""
        try:
            found = layouts.read(root.child(path) if path else root, plan.to, table).multiscales
        except (NotFound, DocumentError) as error:
            raise LayoutError(f"{plan.to} cannot hold this: what would be written cannot be read again ({error}); take another layout") from error
        placeless = any(p.rule == "LOSS001" and f"{p.loc}/".startswith(start) for p in plan.lost)
        told += _differences(meant, found, plan.to, start, placeless=placeless)
    return tuple(told)


def _differences(meant: Sequence[Multiscale], found: Sequence[Multiscale], to: str, start: str, *, placeless: bool) -> list[Problem]:
    told: list[Problem] = []
    for i, series in enumerate(meant):
        again = found[i] if i < len(found) else None
        if again is None or again.n_levels != series.n_levels:
            n = 0 if again is None else again.n_levels
            what = f"{start}{series.name or i}"
            raise LayoutError(f"{to} cannot hold series {what}: of its {series.n_levels} levels a reader would find {n}; take another layout")
        shapes = [[None if level.array is None else level.array.shape for level in multiscale.levels] for multiscale in (series, again)]
        if shapes[0] != shapes[1]:
            raise LayoutError(f"{to} cannot hold series {start}{series.name or i}: of the levels {shapes[0]} a reader would find {shapes[1]}")
        if not placeless:
            for old, new in zip(series.levels, again.levels, strict=True):
                _refuse_elsewhere(old, new, to, start)
        names, got = [axis.name for axis in series.axes], [axis.name for axis in again.axes]
        if names != got:
            message = f"{to} has no place for the names of the axes: a reader takes {', '.join(names)} for {', '.join(got)}"
            told.append(problem("LOSS009", f"{start}multiscales[{i}].axes", message, "say them when you open it, or take another layout"))
    return told


def _refuse_elsewhere(old: Level, new: Level, to: str, start: str) -> None:
    for what in ("scale", "translation"):
        a: tuple[float, ...] | None = getattr(old, what)
        b: tuple[float, ...] | None = getattr(new, what)
        steps = old.scale or ()
        if a is not None and (
            b is None or not len(a) == len(b) == len(steps) or not all(abs(x - y) <= TOLERANCE * abs(s) for x, y, s in zip(a, b, steps, strict=True))
        ):
            hint = "a scale there is above 0; turn the axis round, or take another layout" if any(s <= 0 for s in steps) else "take another layout"
            raise LayoutError(f"{to} cannot hold where level {start + old.path!r} lies: {what} {list(a)} would be read as {list(b or ())}; {hint}")
