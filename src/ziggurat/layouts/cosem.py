"""COSEM (CellMap, OpenOrganelle): a `transform` of axes, units, scale and translation on every array, copied into the group.

A `transform` runs in C order unless its `order` says F; all else that the group and its arrays say beside it (`axes`, `units`, `scales`,
`pixelResolution`, for Neuroglancer) runs the other way. Numbers are those of centres. Where a group says nothing, arrays `s0`, `s1`, ... that
each carry a `transform` are levels. Source: janelia-cosem/schemas; cellmap-schemas; saalfeldlab/n5-universe; formats.md 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ziggurat.layouts import mipmaps
from ziggurat.layouts import series as listed
from ziggurat.layouts.ports import Documents, Evidence, Facts
from ziggurat.layouts.rules import Repair, problem
from ziggurat.layouts.units import long_unit, short_unit
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Multiscale, kind_of
from ziggurat.node import Container, Node
from ziggurat.problems import DocumentError, LayoutError, Problem

NAME = "cosem"
VERSION = "1"
ID = f"{NAME}@{VERSION}"
RULES = listed.Rules(listed="COS001", datasets="COS002", path="COS003", local="COS003", array="COS003", order="COS004")
GROUP_KEYS = ("axes", "units", "scales", "pixelResolution")
"""What Neuroglancer reads of a group; all with the fastest axis first."""
_KNOWN = frozenset({"name", "type", "metadata", "datasets"})


class Transform(NamedTuple):
    """What a `transform` says, in C order."""

    axes: tuple[str, ...]
    units: tuple[str, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CosemLayout:
    """`cosem@1`: the format has no versions of its own."""

    name: str = NAME
    versions: tuple[str, ...] = (VERSION,)
    keys: tuple[str, ...] = ("multiscales", *GROUP_KEYS, "transform")
    mends: tuple[Repair, ...] = ("absent", "arrays", "offset", "order")

    @property
    def facts(self) -> Facts:
        return Facts(
            title="COSEM / CellMap",
            marks="`transform` with `translate` in `multiscales[].datasets[]` of a group, or on arrays `s0`, `s1`, ... of one that says nothing",
            geometry="`scale` and `translate` of each `transform` are step and centre of sample 0; the array's own holds where the group's copy differs",
            axes="`axes` of the `transform`, in C order unless `order` (or `ordering`) is F; `axes`, `units`, `scales`, `pixelResolution` run the other way",
            keeps="units become long names (nm: nanometer), and short ones again when written; unknown keys are carried",
            source="janelia-cosem/schemas, multiscale.md; cellmap-schemas 0.8",
            software=("cellmap-schemas", "n5-universe", "Neuroglancer"),
        )

    def containers(self, version: str) -> tuple[Container, ...]:
        _check_version(version)
        return "n5", "zarr2"

    def paths(self, multiscale: Multiscale, *, version: str) -> tuple[str, ...] | None:
        """`s0`, `s1`, ..., by which Neuroglancer and n5-universe know levels; a COSEM multiscale keeps the names that it has."""
        _check_version(version)
        return None if multiscale.layout == ID else tuple(f"s{k}" for k in range(multiscale.n_levels))

    def detect(self, node: Node) -> Evidence | None:
        if any(_has_transform(dataset) for entry in listed.parts(node.attributes.get("multiscales")) for dataset in listed.parts(entry.get("datasets"))):
            return Evidence(ID, "declared", "'multiscales' lists datasets with a 'transform'")
        base = mipmaps.first_level(node)
        if base is not None and _has_transform(base.attributes):
            return Evidence(ID, "named", "an array 's0' carries a 'transform'")
        return None

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        if "multiscales" not in node.attributes:
            return _undeclared(node)
        entries, problems = listed.readable(node.attributes["multiscales"], "multiscales", RULES)
        if len(entries) > 1:
            problems += (problem("COS001", "multiscales", f"holds {len(entries)} multiscales; expected one", "give each a group of its own"),)
        multiscales = []
        for entry in entries:
            multiscale, wrong = _read(node, entry, declared=True)
            multiscales.append(multiscale)
            problems += tuple(wrong)
        return tuple(multiscales), problems

    def can_hold(self, axes: Sequence[Axis], *, version: str = VERSION) -> str | None:
        """Any axes in any order, as long as their names differ."""
        _check_version(version)
        names = [axis.name for axis in axes]
        return None if len(set(names)) == len(names) else f"the names of the axes ({', '.join(names)}) are not unique"

    def write(
        self, multiscales: Sequence[Multiscale], *, version: str = VERSION, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None
    ) -> Documents:
        """The first multiscale is written; others have no place."""
        _check_version(version)
        if not multiscales:
            return Documents({"": dict(existing)})
        multiscale = multiscales[0]
        lost = [problem("LOSS002", "multiscales[0]", "a `transform` has no words for a rotation", "")] if multiscale.world is not None else []
        if display:
            lost.append(problem("LOSS003", "omero", "COSEM cannot say how samples are to be shown", "take an ome-zarr layout to keep it"))
        for other in multiscales[1:]:
            message = f"{ID} holds one multiscale in a group, and {other.name or 'one without a name'!r} is left out"
            lost.append(problem("COS001", "multiscales", message, "write it into a group of its own", requirement="NOTE"))
        if len(multiscales) == 1 and multiscale.raw in listed.parts(existing.get("multiscales")) and _is_unchanged(multiscale):
            return Documents({"": dict(existing)}, tuple(lost))
        attributes = dict(existing)
        transforms = {level.path: _transform(multiscale, level) for level in multiscale.levels}
        attributes["multiscales"] = listed.merged(existing.get("multiscales"), [_entry(multiscale, transforms)])
        copies, wrong = _copies(multiscale)
        for key in GROUP_KEYS:
            listed.set_key(attributes, key, copies.get(key), attributes.get(key))
        arrays = {path: {"transform": transform, "pixelResolution": _resolution(transform)} for path, transform in transforms.items()}
        return Documents({"": attributes, **arrays}, (*lost, *wrong))

    def listing(self, multiscale: Multiscale) -> tuple[str, ...]:
        return listed.listing(multiscale)

    def retold(self, multiscale: Multiscale, paths: Sequence[str], *, anew: bool) -> Multiscale:
        return listed.relisted(multiscale, paths, without=("transform",) if anew else ())

    def versioned(self, attributes: Mapping[str, JSON], multiscales: Sequence[Multiscale], version: str) -> tuple[Mapping[str, JSON], tuple[Multiscale, ...]]:
        return attributes, tuple(multiscales)  # the format has none


LAYOUT = CosemLayout()


def _check_version(version: str) -> None:
    if version != VERSION:
        raise LayoutError(f"{NAME}@{version}: no such version; there is {ID}")


def _has_transform(holder: Mapping[str, JSON]) -> bool:
    transform = holder.get("transform")
    return isinstance(transform, Mapping) and "scale" in transform and "translate" in transform


# --- reading -------------------------------------------------------------------------------------------------------------


def transform_of(value: JSON, ndim: int | None = None) -> tuple[Transform | None, str, str]:
    """Returns what a `transform` says, or None with the rule that it breaks and how.

    >>> transform_of({"order": "F", "axes": ["x", "y"], "units": ["nm", "um"], "scale": [1, 2], "translate": [0.5, 0]})[0]
    Transform(axes=('y', 'x'), units=('um', 'nm'), scale=(2.0, 1.0), translation=(0.0, 0.5))
    """
    if not isinstance(value, Mapping):
        return None, "COS005", "is absent" if value is None else "is no object"
    lists = {key: value.get(key) for key in ("axes", "units", "scale", "translate")}
    lacking = [key for key, found in lists.items() if not isinstance(found, (list, tuple))]
    if lacking:
        return None, "COS005", f"lacks the list {', '.join(lacking)}"
    lengths = {key: len(found) for key, found in lists.items() if isinstance(found, (list, tuple))}
    expected = next(iter(lengths.values())) if ndim is None else ndim
    if set(lengths.values()) != {expected}:
        shown = ", ".join(f"{n} {key}" for key, n in lengths.items())
        return None, "COS005", f"has {shown}; expected {expected} of each, one per axis"
    axes, units = mipmaps.words(lists["axes"]), mipmaps.words(lists["units"])
    if axes is None or units is None or len(set(axes)) != len(axes):
        return None, "COS005", f"names the axes {lists['axes']!r} in {lists['units']!r}; expected different names, and a word each"
    scale, translation = mipmaps.numbers(lists["scale"]), mipmaps.numbers(lists["translate"])
    if scale is None or translation is None or 0 in scale:
        return None, "COS006", f"has the scale {lists['scale']!r} and the translation {lists['translate']!r}; expected finite numbers, and no scale of zero"
    found = Transform(axes, units, tuple(map(float, scale)), tuple(map(float, translation)))
    return (found if _is_fortran(value) else Transform(*(part[::-1] for part in found))), "", ""  # type: ignore[arg-type]


def _is_fortran(value: Mapping[str, JSON]) -> bool:
    """n5-universe spells the key `ordering`."""
    return value.get("order", value.get("ordering")) == "F"


def _undeclared(node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
    """Reads arrays `s0`, `s1`, ... of a group that says nothing itself."""
    paths = tuple(level.path for level in mipmaps.stored_levels(node))
    if not paths:
        return (), (problem("COS001", "multiscales", "is absent, and there is no array 's0'", "list the arrays"),)
    entry = listed.Series(0, "levels", {}, tuple({"path": path} for path in paths), paths)
    multiscale, problems = _read(node, entry, declared=False)
    advice = problem("COS001", "multiscales", f"is absent; {', '.join(paths)} carry a 'transform' and are read as levels", "list them", requirement="SHOULD")
    return (multiscale,), (advice, *problems)


def _read(node: Node, entry: listed.Series, *, declared: bool) -> tuple[Multiscale, list[Problem]]:
    found, problems = listed.arrays(node, entry, RULES, names=False)
    problems += listed.order_problem(entry, found, RULES)
    transforms: list[Transform | None] = []
    for j, info in enumerate(found):
        transform, wrong = _chosen(node, entry, j, info, declared=declared)
        transforms.append(transform)
        problems += wrong
    positions, coarse_first = listed.order(found)
    base = next((transforms[j] for j in positions if transforms[j] is not None), None)
    axes = listed.named_axes(found)[0] if base is None else _axes(base)
    levels = []
    for j in positions:
        transform = transforms[j]
        if transform is not None and base is not None and transform.axes != base.axes:
            message = f"names the axes {list(transform.axes)}, and those of the first level are {list(base.axes)}, in C order"
            problems.append(problem("COS005", f"{entry.loc}.datasets[{j}].transform", message, "name the same axes at every level"))
            transform = None
        level = Level(path=entry.paths[j], array=found[j], extra={k: v for k, v in entry.datasets[j].items() if k not in ("path", "transform")})
        if transform is not None:
            level = replace(level, scale=transform.scale, scale_provenance="stated", translation=transform.translation, translation_provenance="stated")
        levels.append(level)
    return listed.assembled(entry, levels, axes, layout=ID, coarse_first=coarse_first, known=_KNOWN), problems


def _chosen(node: Node, entry: listed.Series, j: int, info: ArrayInfo | None, *, declared: bool) -> tuple[Transform | None, list[Problem]]:
    """Returns the `transform` of a level, the array's own before the group's copy; and what is wrong with either."""
    if info is None:
        return transform_of(entry.datasets[j].get("transform"))[0], []
    path, problems = entry.paths[j], []
    at, there = f"{entry.loc}.datasets[{j}].transform", f"{path}: transform"
    copy, rule, reason = transform_of(entry.datasets[j].get("transform"), info.ndim)
    if declared and reason:
        problems.append(problem(rule, at, reason, "write axes, units, scale and translate, one entry per axis"))
    try:
        stated = node.child(path).attributes.get("transform")
    except DocumentError as error:
        return copy, [*problems, problem("COS008", there, f"cannot be read: {error}", "correct the array's document")]
    if stated is None:
        return copy, [*problems, problem("COS008", there, f"the array {path!r} carries none", "copy it from the group")]
    own, rule, reason = transform_of(stated, info.ndim)
    if own is None:
        return copy, [*problems, problem(rule, there, reason, "write axes, units, scale and translate, one entry per axis")]
    if copy is not None and own != copy:
        shown = "; ".join(f"{part} {list(a)} in the array, {list(b)} in the group" for part, a, b in zip(Transform._fields, own, copy, strict=True) if a != b)
        problems.append(problem("COS007", at, f"differs from that of {path!r}: {shown}; the array holds", "copy it from the array"))
    return own, problems


def _axes(transform: Transform) -> tuple[Axis, ...]:
    """Returns axes with the long names of their units."""
    return tuple(Axis(name, kind_of(name), long_unit(text)) for name, text in zip(transform.axes, transform.units, strict=True))


# --- writing -------------------------------------------------------------------------------------------------------------


def _unit(axis: Axis) -> str:
    """Returns the short unit of an axis, empty for none."""
    return short_unit(axis.unit) or ""


def _stated(multiscale: Multiscale, level: Level) -> Transform:
    ones, zeros = (1.0,) * multiscale.ndim, (0.0,) * multiscale.ndim
    names = tuple(axis.name for axis in multiscale.axes)
    return Transform(names, tuple(map(_unit, multiscale.axes)), level.scale or ones, level.translation or zeros)


def _is_unchanged(multiscale: Multiscale) -> bool:
    """True when the document still says what the multiscale is."""
    raw = multiscale.raw
    if multiscale.layout != ID or not raw or multiscale.name != listed.same_text(raw.get("name")):
        return False
    before = list(listed.parts(raw.get("datasets")))
    pairs = listed.matched(multiscale, before, keep_order=True)
    if len(pairs) != len(before) or multiscale.type != listed.same_text(raw.get("type")) or multiscale.method != listed.as_object(raw.get("metadata")):
        return False
    return all(dataset is not None and _says(dataset.get("transform"), multiscale, level) for level, dataset in pairs)


def _says(value: JSON, multiscale: Multiscale, level: Level) -> bool:
    """True when a `transform` says what a level is, or says nothing that can be read of one whose place was inferred."""
    read = transform_of(value, multiscale.ndim)[0]
    if read is None:
        return level.scale_provenance != "stated"
    return read._replace(units=tuple((short_unit(long_unit(text)) or "") for text in read.units)) == _stated(multiscale, level)


def _transform(multiscale: Multiscale, level: Level) -> dict[str, JSON]:
    stated = _stated(multiscale, level)
    return {"axes": list(stated.axes), "units": list(stated.units), "scale": list(stated.scale), "translate": list(stated.translation)}


def _entry(multiscale: Multiscale, transforms: Mapping[str, JSON]) -> listed.Entry:
    same = multiscale.layout == ID
    raw = multiscale.raw if same else {}
    entry: listed.Entry = dict(raw) or {"name": None}
    listed_name = listed.same_text(entry.get("name"))
    if multiscale.name != listed_name:
        entry["name"] = multiscale.name
    datasets: list[JSON] = []
    for level, dataset in listed.matched(multiscale, list(listed.parts(raw.get("datasets"))), keep_order=same):
        datasets.append({**({"path": level.path, **level.extra} if dataset is None else dataset), "transform": transforms[level.path]})
    entry["datasets"] = datasets
    listed.set_key(entry, "type", multiscale.type, listed.same_text(raw.get("type")))
    listed.set_key(entry, "metadata", multiscale.method, listed.as_object(raw.get("metadata")))
    entry.update({key: value for key, value in multiscale.extra.items() if key not in entry})
    return entry


def _resolution(transform: Mapping[str, JSON]) -> JSON:
    """Returns `pixelResolution` of an array; None where its axes have several units, for which it has no place."""
    units, scale = transform["units"], transform["scale"]
    if not isinstance(units, list) or not isinstance(scale, list) or len({str(unit) for unit in units}) != 1:
        return None
    return {"dimensions": scale[::-1], "unit": units[0]}


def _copies(multiscale: Multiscale) -> tuple[dict[str, JSON], list[Problem]]:
    """Returns what Neuroglancer reads of the group, and what of it cannot be said."""
    stated = [_stated(multiscale, level) for level in multiscale.levels]
    base = stated[0]
    axes: list[JSON] = list(reversed(base.axes))
    units: list[JSON] = list(reversed(base.units))
    found: dict[str, JSON] = {"axes": axes, "units": units}
    if len(set(base.units)) == 1:
        found["pixelResolution"] = {"dimensions": list(reversed(base.scale)), "unit": base.units[0]}
    factors = [factors_against(level.scale, base.scale) for level in stated]
    if all(step is not None for step in factors):
        found["scales"] = [list(reversed(step or ())) for step in factors]
        return found, []
    message = "`scales` has whole factors only, and the levels have others; Neuroglancer then knows the base only"
    return found, [problem("LOSS001", "scales", message, "build levels of whole factors")]


def factors_against(scale: Sequence[float], base: Sequence[float]) -> tuple[int, ...] | None:
    """Returns the whole factors between two scales, None where they are not whole.

    >>> factors_against((20.0, 0.3), (10.0, 0.1)), factors_against((1.5,), (1.0,))
    ((2, 3), None)
    """
    found = []
    for s, b in zip(scale, base, strict=True):
        ratio = s / b
        if not math.isclose(ratio, round(ratio), rel_tol=1e-9) or round(ratio) < 1:
            return None
        found.append(round(ratio))
    return tuple(found)
