"""Forms that v0.1 had before it settled: read, reported, never written.

Lists of plain names; `name` for `path`; one `multiscale` with its levels as objects, with `gridSpacing` and `origin`; and the sketch whose
transforms are objects by the letter of the axis. Source: zarr-specs issue #50, revisions 1 to 3 and discussion; formats.md 1, 1.1, 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ziggurat.layouts import series as listed
from ziggurat.layouts.ports import Documents, Evidence, Facts
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Multiscale, kind_of
from ziggurat.node import Node
from ziggurat.problems import DocumentError, LayoutError, Problem

NAME = "multiscales-draft"
VERSION = "2020"
RULES = listed.Rules(listed="MS001", datasets="MS002", path="MS003", local="MS004", array="MS005", order="MS006")
_LETTERS = "tczyx"
_KNOWN = frozenset({"version", "name", "type", "metadata", "datasets"})


@dataclass(frozen=True, slots=True)
class DraftLayout:
    """`multiscales-draft@2020`."""

    name: str = NAME
    versions: tuple[str, ...] = (VERSION,)

    @property
    def facts(self) -> Facts:
        return Facts(
            title="Drafts of multiscales 0.1 (2020)",
            marks="`multiscale` in the singular, `series`, or datasets that are plain names or say `name` for `path`",
            geometry="`gridSpacing` and `origin`, or `scale` and `offset` by the letter of the axis, are step and centre of sample 0; else from sizes",
            axes="names of dimensions; the letters of a transform, slowest first",
            source="zarr-specs issue #50, revisions 1 to 3 and discussion",
        )

    def detect(self, node: Node) -> Evidence | None:
        found = _entries(node)
        if found is None:
            return None
        settled = "multiscales" in node.attributes  # what states version 0.1 there is judged by its rules, which are stricter
        return Evidence(f"{NAME}@{VERSION}", "named" if settled else "declared", found[1])

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        found = _entries(node)
        if found is None:
            return (), (problem("MS001", "multiscale", "no draft of v0.1 is there"),)
        entries, reason = found
        series, problems = listed.readable(entries, "multiscale", RULES)
        problems = (problem("DRF001", "", f"a form of 2020: {reason}", "describe it anew with 'ziggurat annotate'"), *problems)
        result = []
        for entry in series:
            multiscale, wrong = _read(node, entry)
            result.append(multiscale)
            problems += tuple(wrong)
        return tuple(result), problems

    def can_hold(self, axes: Sequence[Axis], *, version: str = VERSION) -> str | None:
        return "drafts are only read"

    def write(
        self, multiscales: Sequence[Multiscale], *, version: str = VERSION, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None
    ) -> Documents:
        raise LayoutError(f"{NAME}@{version} is only read; take multiscales@0.1")


LAYOUT = DraftLayout()


def _entries(node: Node) -> tuple[list[JSON], str] | None:
    """Returns the series in the form that v0.1 settled on, and what they looked like; None where no draft is there."""
    attributes = node.attributes
    value = attributes.get("multiscale")
    if isinstance(value, (list, tuple)) and any("name" in level or "path" in level for level in listed.parts(value)):
        return [{"datasets": _datasets(value)}], "'multiscale' lists the levels themselves"
    if isinstance(value, Mapping):
        nested = value.get("series")
        if isinstance(nested, (list, tuple)):
            return _settled(nested), "'multiscale' holds 'series'"
        if "datasets" in value:
            return _settled([value]), "'multiscale' in the singular"
    series = attributes.get("series")
    if isinstance(series, (list, tuple)) and any("datasets" in entry for entry in listed.parts(series)):
        return _settled(series), "'series' in place of 'multiscales'"
    value = attributes.get("multiscales")
    if not isinstance(value, (list, tuple)) or listed.readable(value, "", RULES)[0]:
        return None
    settled = _settled(value)
    drafted = any(not isinstance(d, Mapping) or ("path" not in d and "name" in d) for e in listed.parts(value) for d in _items(e.get("datasets")))
    if drafted and listed.readable(settled, "", RULES)[0]:
        return settled, "datasets are plain names, or say 'name' for 'path'"
    return None


def _settled(entries: Sequence[JSON]) -> list[JSON]:
    return [{**entry, "datasets": _datasets(entry["datasets"])} if isinstance(entry, Mapping) and "datasets" in entry else entry for entry in entries]


def _items(value: JSON) -> Sequence[JSON]:
    return value if isinstance(value, (list, tuple)) else ()


def _datasets(value: JSON) -> JSON:
    """Returns datasets as objects with a path, whatever they were: names, objects with a name, objects by path."""
    if isinstance(value, Mapping):
        return [{"path": path, **(told if isinstance(told, Mapping) else {})} for path, told in value.items()]
    datasets: list[JSON] = []
    for item in _items(value):
        if isinstance(item, str):
            datasets.append({"path": item})
        elif isinstance(item, Mapping) and "path" not in item and "name" in item:
            datasets.append({"path": item["name"], **{key: told for key, told in item.items() if key != "name"}})
        elif isinstance(item, Mapping) and "path" not in item and len(item) == 1 and isinstance(next(iter(item.values())), Mapping):
            datasets += _items(_datasets(item))
        else:
            datasets.append(item)
    return datasets


def _read(node: Node, entry: listed.Series) -> tuple[Multiscale, list[Problem]]:
    found, problems = listed.arrays(node, entry, RULES, names=True)
    problems += listed.order_problem(entry, found, RULES)
    told = [_transform(node, path, dataset) for path, dataset in zip(entry.paths, entry.datasets, strict=True)]
    axes, inferred = _axes(found, told, entry.raw.get("metadata"))
    if inferred:
        problems.append(problem("MS017", entry.loc, inferred))
    levels = []
    for j in listed.order(found)[0]:
        level = Level(path=entry.paths[j], array=found[j], extra={k: v for k, v in entry.datasets[j].items() if k != "path"})
        scale, translation = _numbers(told[j], axes, node, ("scale", "gridSpacing")), _numbers(told[j], axes, node, ("offset", "origin"))
        if scale is not None and all(s > 0 for s in scale):
            level = replace(level, scale=scale, scale_provenance="stated")
            level = level if translation is None else replace(level, translation=translation, translation_provenance="stated")
        levels.append(level)
    units = _by_letter(next((t for t in told if t), {}).get("units"))
    axes = tuple(replace(axis, unit=listed.same_text(units.get(axis.name.lower()))) for axis in axes)
    coarse_first = listed.order(found)[1]
    return listed.assembled(entry, levels, axes, layout=f"{NAME}@{VERSION}", coarse_first=coarse_first, known=_KNOWN), problems


def _transform(node: Node, path: str, dataset: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Returns what is said of the place of a level: by the group, else by the array itself."""
    for held in (dataset, _attributes(node, path)):
        inner = held.get("transform")
        for told in (inner if isinstance(inner, Mapping) else {}, held):
            if "gridSpacing" in told or isinstance(told.get("scale"), Mapping):
                return told
    return {}


def _attributes(node: Node, path: str) -> Mapping[str, JSON]:
    try:
        return node.child(path).attributes
    except DocumentError:
        return {}  # The reader of arrays reports it.


def _axes(found: Sequence[ArrayInfo | None], told: Sequence[Mapping[str, JSON]], method: JSON) -> tuple[tuple[Axis, ...], str]:
    """Returns the names of the axes: those of the arrays, else the letters of the transforms in the order t, c, z, y, x."""
    base = next((info for info in found if info is not None), None)
    letters = sorted(_by_letter(next((t for t in told if t), {}).get("scale")), key=_LETTERS.find)
    named = base is not None and base.dimension_names is not None and all(base.dimension_names)
    if base is None or named or len(letters) != base.ndim or not set(letters) <= set(_LETTERS):
        return listed.named_axes(found, method)
    return tuple(Axis(letter, kind_of(letter), provenance="derived") for letter in letters), ""


def _by_letter(value: JSON) -> Mapping[str, JSON]:
    return {key.lower(): number for key, number in value.items()} if isinstance(value, Mapping) else {}


def _numbers(told: Mapping[str, JSON], axes: Sequence[Axis], node: Node, keys: tuple[str, str]) -> tuple[float, ...] | None:
    """Returns one finite number per axis: by letter, or as a list in the order of the container."""
    value = next((told[key] for key in keys if key in told), None)
    if isinstance(value, Mapping):
        by_letter = _by_letter(value)
        values: list[JSON] = [by_letter.get(axis.name.lower()) for axis in axes]
    else:
        values = list(_items(value))[:: -1 if node.container == "n5" else 1]
    numbers = [float(n) for n in values if isinstance(n, (int, float)) and not isinstance(n, bool) and math.isfinite(n)]
    return tuple(numbers) if len(numbers) == len(values) == len(axes) else None
