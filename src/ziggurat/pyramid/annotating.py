"""`annotate`: arrays that anyone made get the metadata of every layout that can stand side by side on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from ziggurat import geometry, layouts
from ziggurat.conversion import Change
from ziggurat.conversion.describe import Made, Refusal, annotation_plans, described, pile
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Multiscale, SourceInfo, kind_of
from ziggurat.planner import BuildOptions
from ziggurat.planner.choices import choose_axes
from ziggurat.planner.options import Numbers, finite, per_axis
from ziggurat.problems import LayoutError, NotFound, OptionError
from ziggurat.pyramid.places import Place, place_of
from ziggurat.transfer.documents import rewriting, unreadable
from ziggurat.transfer.texts import counted, difference


@dataclass(frozen=True, slots=True)
class AnnotationResult:
    """What an annotation wrote, or would write (`dry_run`)."""

    source: str
    layouts: tuple[str, ...]
    """Those in which the arrays are now described."""
    refused: tuple[Refusal, ...]
    """Those that cannot stand there, each with its reason."""
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    dry_run: bool

    def __str__(self) -> str:
        """Returns a headline, what was refused, and after a dry run the difference of the documents."""
        verb = "would be described" if self.dry_run else "is described"
        lines = [f"{self.source}: {verb} as {', '.join(self.layouts)} ({counted(len(self.changes), 'document')})"] if self.layouts else []
        if self.dry_run:
            lines += [line for change in self.changes for line in difference(change)]
        lines += [f"refused: {refusal.layout}: {refusal.reason}" for refusal in self.refused]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def to_json(self) -> dict[str, JSON]:
        """Returns the result as plain JSON."""
        return {
            "source": self.source,
            "layouts": list(self.layouts),
            "refused": [{"layout": refusal.layout, "reason": refusal.reason} for refusal in self.refused],
            "changes": [{"path": change.path, "file": change.file, "old": change.old, "new": change.new} for change in self.changes],
            "notes": list(self.notes),
            "dry_run": self.dry_run,
        }


def annotate(
    source: object,
    *,
    layout: str | Sequence[str],
    levels: Sequence[str] | None = None,
    method: str | None = None,
    axes: str | Sequence[str | Axis] | None = None,
    scale: Numbers | None = None,
    translation: Numbers | None = None,
    unit: str | Mapping[str, str] | None = None,
    name: str | None = None,
    deep: bool = False,
    dry_run: bool = False,
) -> AnnotationResult:
    """Describes the arrays of a group as a multiscale, in each of several layouts; samples and arrays stay as they are.

    Parameters
    ----------
    source
        A local group: one that carries a multiscale already, in any layout, or one whose arrays are levels that nobody described.
    layout
        Id of a layout, or several: each is written when it can stand beside those before it, and is refused, with the reason, when it cannot.
    levels
        Paths of the arrays that are levels; those directly in the group when not said.
    method
        Who made the levels: a reduction of ours (`"mean"`, `"mode"`, ...) says where their samples lie, any other word is carried as it is.
    axes, scale, translation, unit
        Of the base, as for `build`; what is not said is taken from what is there.
    name
        Of the multiscale.
    deep
        Look at samples to find out where those of each level lie, when `method` does not tell.
    dry_run
        Return what would be written, and write nothing.

    Raises
    ------
    NotFound
        No array is there.
    OptionError
        The arrays are no levels of one another, or their axes must be said.
    LayoutError
        No layout at all can be written there; the first reason is given.
    UnsupportedError
        The place is not local.
    StorageError
        Writing failed; the documents are as they were.

    Source: formats.md 15.10, 15.11; design.md, annotate.
    """
    place = place_of(source)
    wanted = (layout,) if isinstance(layout, str) else tuple(layout)
    if not wanted:
        raise OptionError("layout: none was said; say one or more, such as 'ome-zarr@0.5'")
    options = BuildOptions(axes=axes, scale=scale, translation=translation, unit=unit)
    found = _read(place, levels, options, name, method, deep=deep)
    plans, refused = annotation_plans(place.node, found, wanted)
    if plans and (unread := unreadable(place, plans)):
        plans, others = annotation_plans(place.node, found, [plan.to for plan in plans if plan.to not in {refusal.layout for refusal in unread}])
        refused = (*refused, *unread, *others)
    if not plans:
        raise LayoutError(f"{place.node.location}: nothing was written. {refused[0].layout}: {refused[0].reason}")
    work = rewriting(place, plans)
    if not dry_run:
        work.do()
    return AnnotationResult(place.node.location, tuple(plan.to for plan in plans), refused, work.changes, work.notes, dry_run)


def _read(place: Place, paths: Sequence[str] | None, options: BuildOptions, name: str | None, method: str | None, *, deep: bool) -> tuple[Multiscale, ...]:
    """Returns what the group says already, or what its arrays are, with everything that the caller says laid over it."""
    described_already = paths is None and any(evidence.holds == "levels" for evidence in layouts.detect(place.node))
    known = layouts.read(place.node).multiscales if described_already else ()
    if not known:
        return (_fresh(place, pile(place.node, paths), None, options, name or "", method, deep=deep),)
    if not (options.said() or method or deep):
        return tuple(replace(m, name=name or m.name) for m in known)
    if len(known) > 1:
        raise OptionError(f"{place.node.location}: holds {len(known)} multiscales, and what was said can only be meant for one; leave it out, or say levels=")
    arrays = [(level.path, level.array) for level in known[0].levels if level.array is not None and level.location is None]
    if len(arrays) != known[0].n_levels:
        raise NotFound(f"{place.node.location}: a level has no array there; see 'ziggurat check'")
    fresh = _fresh(place, arrays, known[0], options, name or known[0].name or "", method, deep=deep)
    return (replace(fresh, extra=known[0].extra, type=fresh.type or known[0].type, method=fresh.method or known[0].method),)


def _fresh(
    place: Place, arrays: Sequence[tuple[str, ArrayInfo]], known: Multiscale | None, options: BuildOptions, name: str, method: str | None, *, deep: bool
) -> Multiscale:
    base = arrays[0][1]
    names = base.dimension_names
    stated = tuple(Axis(n, kind_of(n)) for n in names if n) if names and all(names) else None
    info = SourceInfo(place.node.location, name, base, axes=known.axes if known else stated)
    axes, _ = choose_axes(info, options)
    axes = tuple(replace(axis, provenance="stated") for axis in axes)
    s0 = known.levels[0].scale if known and known.levels[0].scale else (1.0,) * base.ndim
    t0 = known.levels[0].translation if known and known.levels[0].translation else (0.0,) * base.ndim
    scale = finite("scale", per_axis("scale", s0 if options.scale is None else options.scale, axes, (1.0,) * base.ndim), positive=True)
    translation = finite(
        "translation", per_axis("translation", t0 if options.translation is None else options.translation, axes, (0.0,) * base.ndim), positive=False
    )
    made = made_by(method)
    if deep and made.anchor is None:
        made = replace(made, places=places_of(place, arrays))
    title = name or place.node.location.rstrip("/").rpartition("/")[2].removesuffix(".zarr").removesuffix(".ome") or None
    return described(arrays, axes, scale=scale, translation=translation, name=title, made=made)


def made_by(method: str | None) -> Made:
    """Returns what a word for a method tells: a reduction that we know says where samples lie."""
    if method is None:
        return Made()
    from ziggurat import reductions

    try:
        row = reductions.find(method)
    except OptionError:
        return Made({"method": method}, method)
    return Made({"method": method}, row.word, row.anchor)


def places_of(place: Place, arrays: Sequence[tuple[str, ArrayInfo]]) -> tuple[tuple[Fraction, ...], ...] | None:
    """Returns the place of each level's first sample in samples of the base, as the samples tell; None when those of a level do not."""
    from ziggurat import provenance
    from ziggurat.pyramid.arrays import LazyArray

    opened = [LazyArray(info, path, place.reader(Level(path, array=info))) for path, info in arrays]
    found = [(Fraction(0),) * arrays[0][1].ndim]
    for k in range(1, len(opened)):
        told = provenance.explain(opened, k)
        if told.first is None or told.finer >= k:
            return None
        fine = arrays[told.finer][1].shape
        steps = [geometry.ratio(a, b)[0] for a, b in zip(arrays[0][1].shape, fine, strict=True)]
        found.append(tuple(base + Fraction(repr(first)) * step for base, first, step in zip(found[told.finer], told.first, steps, strict=True)))
    return tuple(found)
