"""spatialdata: a folder of elements, of which `images/<name>` and `labels/<name>` are multiscales. Read only.

An element is an OME-Zarr 0.4 or 0.5 image with `spatialdata_attrs` and transformations of its own form: each states its input and output system as
objects with axes. Unlike OME's, their coordinates count from the corner of the base: sample `i` covers `[i, i + 1]` of the image, its centre is
`i + 1/2`. The transformation into the default system, "global", is applied; all are kept as they are. Source: formats.md 2.8, 5.3;
spatialdata, design document (coordinate systems and transformations).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple

from ziggurat import geometry, model
from ziggurat.layouts import mipmaps
from ziggurat.layouts import series as listed
from ziggurat.layouts.ome_facts import block_of
from ziggurat.layouts.ome_transforms import transformations
from ziggurat.layouts.ports import Evidence, Facts, Member, ReadOnly
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Multiscale
from ziggurat.node import Node, word
from ziggurat.problems import DocumentError, Problem, StorageError

NAME = "spatialdata"
MARK = "spatialdata_attrs"
VERSIONS = ("0.1", "0.2", "0.3")
SYSTEM = "global"
"""The default coordinate system, which every element has unless somebody took it away."""
RULES = listed.Rules(listed="SD002", datasets="SD002", path="SD003", local="SD003", array="SD003", order="SD004")
RASTERS: Mapping[str, str] = MappingProxyType({"images": "image", "labels": "labels"})
"""Group of the root -> kind of its members."""
OTHERS = ("points", "shapes", "tables", "table")
MAX_MEMBERS = 100_000
MAX_STEPS = 64
"""Transformations of a sequence, at any depth; the library writes a few."""
NO_UNIT = "unit"
"""What the library writes where no unit is known."""
_KNOWN = frozenset({"version", "name", "type", "metadata", "datasets", "axes", "coordinateTransformations"})


@dataclass(frozen=True, slots=True)
class SpatialDataLayout(ReadOnly):
    """`spatialdata@0.1` to `spatialdata@0.3`."""

    name: str = NAME
    versions: tuple[str, ...] = VERSIONS
    keys: tuple[str, ...] = ("multiscales", "omero", "ome", MARK)

    @property
    def facts(self) -> Facts:
        return Facts(
            title="spatialdata",
            marks=f"`{MARK}` on the root of a store, and on each image and label image beside OME-Zarr's `multiscales`",
            geometry="sample i of the base covers [i, i + 1] of the image, coarser levels as OME-Zarr's scale and translation say; then the "
            "transformation into the system `global`: a diagonal goes into scale and translation, a rotation or affinity is applied after them",
            axes="`axes` of the multiscale: c, z, y, x; transformations name theirs, in any order",
            keeps="all transformations as they are; points, shapes and tables are named, and not read",
            source="spatialdata, design document",
            software=("spatialdata", "napari-spatialdata", "vitessce", "squidpy"),
        )

    def detect(self, node: Node) -> Evidence | None:
        attributes = node.attributes
        if MARK not in attributes:
            return None
        stated = _version(attributes)
        reason = f"'{MARK}' states version {stated!r}"
        block = block_of(node)
        if block is not None and "multiscales" in block[0]:
            return Evidence(f"{NAME}@{_known(stated)}", "declared", reason)
        return Evidence(f"{NAME}@{_known(stated)}", "declared", reason, "members") if _is_root(attributes) else None

    def members(self, node: Node) -> tuple[tuple[Member, ...], tuple[Problem, ...]]:
        if MARK not in node.attributes or not _is_root(node.attributes):
            return (), ()
        problems = _version_problems(node.attributes)
        found = [Member(f"{group}/{name}", f"{group}/{name}", kind) for group, kind in RASTERS.items() for name in _names(node, group)]
        for group in OTHERS:
            names = _names(node, group)
            if names:
                problems.append(problem("SD009", group, f"{', '.join(names[:20])}: no rasters, and no members", "read them with spatialdata"))
        return tuple(found[:MAX_MEMBERS]), tuple(problems)

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        held, prefix = block_of(node) or (node.attributes, "")
        loc = f"{prefix}multiscales"
        entries, wrong = listed.readable(held.get("multiscales"), loc, RULES)
        problems = [*_version_problems(node.attributes), *wrong]
        if len(entries) > 1:
            problems.append(problem("SD002", loc, f"holds {len(entries)} series; expected exactly one", "spatialdata reads the first only"))
        multiscales = []
        for entry in entries:
            multiscale, wrong_there = _read(node, entry, f"{NAME}@{_known(_version(node.attributes))}")
            kind: model.Kind | None = "labels" if "image-label" in held else None
            multiscales.append(replace(multiscale, kind=kind))
            problems += wrong_there
        return tuple(multiscales), tuple(problems)


LAYOUT = SpatialDataLayout()


# --- finding it -----------------------------------------------------------------------------------------------------------


def _version(attributes: Mapping[str, JSON]) -> JSON:
    held = attributes.get(MARK)
    return held.get("version") if isinstance(held, Mapping) else None


def _known(stated: JSON) -> str:
    return stated if isinstance(stated, str) and stated in VERSIONS else VERSIONS[-1]


def _version_problems(attributes: Mapping[str, JSON]) -> list[Problem]:
    stated = _version(attributes)
    if MARK not in attributes or (isinstance(stated, str) and stated in VERSIONS):
        return []
    found = "is absent" if stated is None else f"found {stated!r}"
    return [problem("SD001", f"{MARK}.version", f"{found}; expected one of {', '.join(VERSIONS)}; read as {VERSIONS[-1]}", "write it with spatialdata")]


def _is_root(attributes: Mapping[str, JSON]) -> bool:
    """Points, shapes and tables carry the mark, too, and say what they are."""
    return not any(key in attributes for key in ("encoding-type", "spatialdata-encoding-type", "multiscales", "ome"))


def _names(node: Node, group: str) -> tuple[str, ...]:
    """Returns the names of the elements in a group: by listing, or where a store cannot list, from the copy that the root keeps."""
    try:
        return tuple(sorted(node.child(group).children()))
    except StorageError:
        copied = node.consolidated() or {}
    except DocumentError:
        return ()  # What cannot be read holds nothing that could be opened.
    return tuple(sorted({key.split("/")[1] for key in copied if key.startswith(f"{group}/") and key.count("/") > 1}))


# --- reading --------------------------------------------------------------------------------------------------------------


def _read(node: Node, entry: listed.Series, layout: str) -> tuple[Multiscale, list[Problem]]:
    found, problems = listed.arrays(node, entry, RULES, names=False)
    problems += listed.order_problem(entry, found, RULES)
    axes, wrong = _axes(entry, found)
    problems += wrong
    levels, wrong = _levels(entry, found, len(axes))
    problems += wrong
    positions, coarse_first = listed.order(found)
    multiscale = listed.assembled(entry, [levels[j] for j in positions], axes, layout=layout, coarse_first=coarse_first, known=_KNOWN)
    problems += _transformation_problems(entry)
    multiscale, wrong = _placed(multiscale, entry)
    return multiscale, [*problems, *wrong]


def _axes(entry: listed.Series, found: Sequence[ArrayInfo | None]) -> tuple[tuple[Axis, ...], list[Problem]]:
    """Returns the axes that the document names, else what the arrays tell."""
    stated = list(listed.parts(entry.raw.get("axes")))
    names = [axis["name"] for axis in stated if isinstance(axis.get("name"), str)]
    base = next((info for info in found if info is not None), None)
    if stated and len(set(names)) == len(stated) and (base is None or base.ndim == len(stated)):
        axes = []
        for axis in stated:
            extra = {key: value for key, value in axis.items() if key not in ("name", "type", "unit")}
            axes.append(Axis(str(axis["name"]), listed.same_text(axis.get("type")), listed.same_text(axis.get("unit")), extra=extra))
        return tuple(axes), []
    told, _ = listed.named_axes(found)
    message = f"names {len(set(names))} axes; expected {len(told)} objects with names of their own, one per axis of the arrays"
    return told, [problem("SD005", f"{entry.loc}.axes", message, "write the element again with spatialdata")]


def _levels(entry: listed.Series, found: Sequence[ArrayInfo | None], ndim: int) -> tuple[list[Level], list[Problem]]:
    """Returns the levels in the document's order, in OME's coordinates of the image: the centre of the base's first sample is 0.

    Earlier versions of the library write no translation; levels then cover the same extent as the base. Source: spatialdata, `io_raster`.
    """
    levels, problems = [], []
    base: tuple[float, ...] | None = None
    for j, dataset in enumerate(entry.datasets):
        where = f"{entry.loc}.datasets[{j}].coordinateTransformations"
        transform, wrong = transformations(dataset.get("coordinateTransformations"), ndim, where)
        problems += [problem("SD006", p.loc, p.message, p.hint) for p in wrong]
        extra = {key: value for key, value in dataset.items() if key not in ("path", "coordinateTransformations")}
        level = Level(path=entry.paths[j], array=found[j], extra=extra)
        if transform.scale is not None:
            base = base or transform.scale
            level = replace(level, scale=transform.scale, scale_provenance="stated")
            if transform.translation is not None:
                level = replace(level, translation=transform.translation, translation_provenance="stated")
            elif not wrong:
                aligned = tuple(geometry.centre_of(geometry.corner_of(0.0, b), s) for b, s in zip(base, transform.scale, strict=True))
                level = replace(level, translation=aligned, translation_provenance="derived")
        levels.append(level)
    return levels, problems


def _placed(multiscale: Multiscale, entry: listed.Series) -> tuple[Multiscale, list[Problem]]:
    """Returns the multiscale in the system "global", from the corner of the base on; what leads to other systems goes along in `extra`."""
    axes, levels = multiscale.axes, multiscale.levels
    if not axes or not levels or levels[0].scale is None:
        return multiscale, []
    names = tuple(axis.name for axis in axes)
    base = levels[0].scale
    # The coordinates of the library begin half a sample of the base before OME's; channels are not measured.
    half = tuple(geometry.centre_of(0.0, s) if axis.kind == "space" else 0.0 for axis, s in zip(axes, base, strict=True))
    where = f"{entry.loc}.coordinateTransformations"
    chosen = next((t for t in listed.parts(entry.raw.get("coordinateTransformations")) if _end(t, "output")[0] == SYSTEM), None)
    affine: mipmaps.Rows = _identity(names).rows
    problems = []
    if chosen is None:
        message = f"no transformation leads to {SYSTEM!r}; placed in steps of samples"
        problems.append(problem("SD008", where, message, f"add one to {SYSTEM!r}, or apply one of those that there are"))
    else:
        mapped = _mapped(chosen, names)
        if not isinstance(mapped, str) and sorted(mapped.names) == sorted(names):
            affine = tuple(mapped.rows[mapped.names.index(name)] for name in names)
            axes = _with_units(axes, chosen)
        else:
            message = mapped if isinstance(mapped, str) else f"it leads to the axes {', '.join(mapped.names)}, and the image has {', '.join(names)}"
            problems.append(problem("SD008", where, f"the one to {SYSTEM!r} is not applied: {message}", "it is kept as it is"))
    scales = [level.scale or (1.0,) * len(axes) for level in levels]
    shifts = [tuple(a + b for a, b in zip(level.translation or (0.0,) * len(axes), half, strict=True)) for level in levels]
    placed = mipmaps.carried(scales, shifts, affine)
    if placed is None:
        problems.append(problem("SD008", where, f"the one to {SYSTEM!r} is not applied: it has no inverse, or leads beyond all numbers", "it is kept as it is"))
        placed = mipmaps.carried(scales, shifts, _identity(names).rows) or mipmaps.Placed(tuple(scales), tuple(shifts), None)
    others: list[JSON] = [t for t in listed.parts(entry.raw.get("coordinateTransformations")) if t is not chosen]
    extra = {**multiscale.extra, MARK: {"coordinateTransformations": others}} if others else multiscale.extra
    return replace(multiscale, levels=mipmaps.with_placed(levels, placed), axes=axes, world=placed.world, extra=extra), problems


def _with_units(axes: tuple[Axis, ...], chosen: Mapping[str, JSON]) -> tuple[Axis, ...]:
    """Returns axes with the units of the system that they are placed in, where it states any."""
    output = chosen.get("output")
    stated = {listed.same_text(axis.get("name")): axis.get("unit") for axis in listed.parts(output.get("axes") if isinstance(output, Mapping) else None)}
    units = [listed.same_text(stated.get(axis.name)) for axis in axes]
    return tuple(replace(axis, unit=unit) if unit not in (None, NO_UNIT) else axis for axis, unit in zip(axes, units, strict=True))


# --- transformations --------------------------------------------------------------------------------------------------------


class Mapped(NamedTuple):
    """A transformation as an affine: a row per axis that it leads to, a column per axis that it takes, the offset last."""

    names: tuple[str, ...]
    rows: tuple[tuple[Fraction, ...], ...]


def _identity(names: Sequence[str]) -> Mapped:
    n = len(names)
    return Mapped(tuple(names), tuple(tuple(Fraction(int(i == j)) for j in range(n + 1)) for i in range(n)))


def _end(entry: Mapping[str, JSON], key: str) -> tuple[str | None, tuple[str, ...]]:
    """Returns the name of the system at an end of a transformation, and the names of its axes."""
    held = entry.get(key)
    if not isinstance(held, Mapping):
        return None, ()
    names = tuple(axis["name"] for axis in listed.parts(held.get("axes")) if isinstance(axis.get("name"), str))
    return listed.same_text(held.get("name")), names  # type: ignore[return-value]


def _mapped(entry: Mapping[str, JSON], names: tuple[str, ...]) -> Mapped | str:
    """Returns a transformation of coordinates on the axes `names`, in this order; or why it is none that can be applied."""
    taken = _end(entry, "input")[1] or names
    if sorted(taken) != sorted(names) or len(set(taken)) != len(taken):
        return f"it takes the axes {', '.join(taken)}, and there are {', '.join(names)}"
    led = _end(entry, "output")[1] or taken
    kind = entry.get("type")
    if kind == "sequence":
        mapped = _sequence(entry, taken)
    else:
        rows = _rows(entry, taken, led)
        mapped = f"of type {kind!r}, which is not understood, or without its numbers" if rows is None or len(set(led)) != len(led) else Mapped(led, rows)
    if isinstance(mapped, str):
        return mapped
    columns = [*(taken.index(name) for name in names), len(taken)]
    return Mapped(mapped.names, tuple(tuple(row[j] for j in columns) for row in mapped.rows))


def _sequence(entry: Mapping[str, JSON], names: tuple[str, ...]) -> Mapped | str:
    whole = _identity(names)
    flat = list(_steps(entry))
    if len(flat) > MAX_STEPS:
        return f"a sequence of more than {MAX_STEPS} transformations"
    for step in flat:
        mapped = _mapped(step, whole.names)
        if isinstance(mapped, str):
            return mapped
        if len(mapped.names) != len(names):
            return f"a step leads to {len(mapped.names)} axes, and {len(names)} are expected"
        whole = Mapped(mapped.names, mipmaps.composed(mapped.rows, whole.rows))
    return whole


def _steps(entry: Mapping[str, JSON]) -> Iterator[Mapping[str, JSON]]:
    """Yields the transformations of a sequence, those of sequences within it at their place; a few more than are allowed at most."""
    left = list(listed.parts(entry.get("transformations")))[: MAX_STEPS + 1][::-1]
    for _ in range(4 * MAX_STEPS):
        if not left:
            return
        step = left.pop()
        if step.get("type") == "sequence":
            left += list(listed.parts(step.get("transformations")))[: MAX_STEPS + 1][::-1]
        else:
            yield step


def _rows(entry: Mapping[str, JSON], taken: Sequence[str], led: Sequence[str]) -> tuple[tuple[Fraction, ...], ...] | None:
    """Returns the rows of one transformation, None for what cannot be applied; scales and shifts lead to the axes that they take, by position."""
    n, kind = len(taken), entry.get("type")
    plain = _identity(taken).rows
    if kind in ("affine", "rotation"):
        width = n + (kind == "affine")
        value = entry.get(str(kind))
        found = [_numbers(row, width) for row in value] if isinstance(value, (list, tuple)) else []
        if len(found) != len(led):
            return None
        return None if None in found else tuple((*mipmaps.exact(row or ()), *[Fraction(0)] * (n + 1 - width)) for row in found)
    if kind == "mapAxis":
        ways = entry.get("mapAxis")
        sources = [ways.get(name) for name in led] if isinstance(ways, Mapping) else []
        return tuple(plain[taken.index(s)] for s in sources if isinstance(s, str)) if sources and all(s in taken for s in sources) else None
    if len(led) != n:
        return None
    if kind == "identity":
        return plain
    values = _numbers(entry.get(str(kind)), n) if kind in ("scale", "translation") else None
    if values is None:
        return None
    exact = mipmaps.exact(values)
    if kind == "scale":
        return tuple(tuple(value * exact[i] for value in row) for i, row in enumerate(plain))
    return tuple((*row[:-1], exact[i]) for i, row in enumerate(plain))


def _numbers(value: JSON, count: int) -> tuple[float, ...] | None:
    found = mipmaps.numbers(value, count)
    return None if found is None else found[::-1]  # that one is for lists of x, y, z


def _transformation_problems(entry: listed.Series) -> Iterator[Problem]:
    """Yields what is wrong with the form of the transformations of an element."""
    value, loc = entry.raw.get("coordinateTransformations"), f"{entry.loc}.coordinateTransformations"
    if not isinstance(value, (list, tuple)) or not value:
        found = "is absent" if value is None else f"is {word(value)}" if not isinstance(value, (list, tuple)) else "is empty"
        yield problem("SD007", loc, f"{found}; expected a list of transformations", f"write at least an identity to {SYSTEM!r}")
        return
    for i, held in enumerate(value):
        kind = held.get("type") if isinstance(held, Mapping) else None
        if not isinstance(held, Mapping) or not isinstance(kind, str):
            yield problem("SD007", f"{loc}[{i}]", f"found {word(held)} without a type; expected an object with 'type', 'input' and 'output'", "name its type")
            continue
        for end in ("input", "output"):
            name, axes = _end(held, end)
            if name is None or not axes:
                yield problem("SD007", f"{loc}[{i}].{end}", "names no system with axes", "write an object with 'name' and 'axes'")
