"""The founding layout, `multiscales@0.1`: a list of series in the attributes of a group, and nothing about space.

Scale, axes and units do not exist here; they are taken from `metadata` where the method is ours, else inferred from the
arrays and marked so. Source: zarr-specs issue #50; formats.md 1, 13.3, 15.11 to 15.13.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ziggurat.layouts import series as listed
from ziggurat.layouts.ports import Documents, Evidence, Facts
from ziggurat.layouts.rules import Repair, problem
from ziggurat.model import JSON, Axis, Level, Multiscale
from ziggurat.node import Container, Node, word
from ziggurat.problems import LayoutError, Problem

NAME = "multiscales"
VERSION = "0.1"
RULES = listed.Rules(listed="MS001", datasets="MS002", path="MS003", local="MS004", array="MS005", order="MS006")
_KNOWN = frozenset({"version", "name", "type", "metadata", "datasets"})
_LATER = frozenset({"axes", "coordinateTransformations", "coordinateSystems"})
"""Keys that only later formats know."""


_FACTS = Facts(
    title="multiscales v0.1, the founding layout",
    marks="The attributes of a group hold `multiscales`, a list of series with `datasets`, and nothing that only a later format knows.",
    geometry="None is written. Where `metadata.method` is ours, factors and anchor of its `kwargs` tell it; else it is inferred from the sizes.",
    axes="None are written: the dimension names of the base, else the trailing letters of zyx, marked inferred.",
    keeps="Several series over the same arrays, `type`, and `metadata`, whose values no version may transform.",
    source="zarr-specs issue #50; [as rules](../spec/multiscales-0.1.md)",
    software=("napari", "bioformats2raw", "tifffile (aszarr)", "ndpyramid", "HiGlass"),
)


@dataclass(frozen=True, slots=True)
class FoundingLayout:
    """`multiscales@0.1`."""

    name: str = NAME
    facts: Facts = _FACTS
    versions: tuple[str, ...] = (VERSION,)
    keys: tuple[str, ...] = ("multiscales",)
    mends: tuple[Repair, ...] = ("absent", "order", "version")

    def containers(self, version: str) -> tuple[Container, ...]:
        """Any: the proposal needs nothing but groups with attributes."""
        _check_version(version)
        return "zarr3", "zarr2", "n5"

    def paths(self, multiscale: Multiscale, *, version: str) -> tuple[str, ...] | None:
        """Any names will do."""
        _check_version(version)
        return None

    def detect(self, node: Node) -> Evidence | None:
        attributes = node.attributes
        if "multiscales" not in attributes:
            return None
        value = attributes["multiscales"]
        if isinstance(value, Mapping):
            # An object is a layout of the GeoZarr family; one with datasets is this layout with its list forgotten.
            return Evidence(f"{NAME}@{VERSION}", "named", "the key 'multiscales' holds datasets, though no list") if "datasets" in value else None
        entries = list(listed.parts(value))
        stated = next((entry["version"] for entry in entries if "version" in entry), None)
        if version_text(stated) == VERSION:
            return Evidence(f"{NAME}@{VERSION}", "declared", "'multiscales' states version 0.1")
        if any(_is_later(entry) for entry in entries) or version_text(stated) in ("0.2", "0.3", "0.4"):
            return None
        said = "states no version" if stated is None else f"states a version that is not known ({stated!r})"
        return Evidence(f"{NAME}@{VERSION}", "named", f"'multiscales' lists datasets and {said}")

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        found, problems = listed.readable(node.attributes.get("multiscales"), "multiscales", RULES)
        multiscales = []
        for entry in found:
            multiscale, wrong = _read(node, entry)
            multiscales.append(multiscale)
            problems += wrong
        return tuple(multiscales), problems

    def can_hold(self, axes: Sequence[Axis], *, version: str = VERSION) -> str | None:
        """Any axes in any order: v0.1 says nothing about them."""
        _check_version(version)
        return None

    def write(
        self, multiscales: Sequence[Multiscale], *, version: str = VERSION, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None
    ) -> Documents:
        _check_version(version)
        entries, lost = [], []
        for i, multiscale in enumerate(multiscales):
            entries.append(_written(multiscale))
            lost += _lost(multiscale, f"multiscales[{i}]")
        if display:
            lost.append(problem("LOSS003", "omero", "v0.1 cannot say how samples are to be shown", "take an ome-zarr layout to keep it"))
        attributes = dict(existing)
        attributes["multiscales"] = listed.merged(existing.get("multiscales"), entries)
        ome = attributes.get("ome")
        if isinstance(ome, Mapping) and "multiscales" in ome:
            # The series of the group are now listed here; a second list would go stale unseen.
            rest = {key: value for key, value in ome.items() if key != "multiscales"}
            attributes.pop("ome")
            attributes.update({"ome": rest} if set(rest) - {"version"} else {})
        return Documents({"": attributes}, tuple(lost))

    def listing(self, multiscale: Multiscale) -> tuple[str, ...]:
        return listed.listing(multiscale)

    def retold(self, multiscale: Multiscale, paths: Sequence[str], *, anew: bool) -> Multiscale:
        return listed.relisted(multiscale, paths)

    def versioned(self, attributes: Mapping[str, JSON], multiscales: Sequence[Multiscale], version: str) -> tuple[Mapping[str, JSON], tuple[Multiscale, ...]]:
        return attributes, listed.versioned(multiscales, version)


LAYOUT = FoundingLayout()


def version_text(value: JSON) -> str | None:
    """Returns a stated version as text; a JSON number counts, as some writers left it.

    >>> version_text(0.1), version_text("0.1"), version_text(None)
    ('0.1', '0.1', None)
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    return str(value)


def _check_version(version: str) -> None:
    if version != VERSION:
        raise LayoutError(f"multiscales@{version}: no such version; there is multiscales@{VERSION}")


def _is_later(entry: Mapping[str, JSON]) -> bool:
    return bool(_LATER & set(entry)) or any("coordinateTransformations" in dataset for dataset in listed.parts(entry.get("datasets")))


def _read(node: Node, entry: listed.Series) -> tuple[Multiscale, tuple[Problem, ...]]:
    raw = entry.raw
    found, problems = listed.arrays(node, entry, RULES, names=True)
    problems += listed.order_problem(entry, found, RULES)
    axes, inferred = listed.named_axes(found, raw.get("metadata"))
    if inferred:
        problems.append(problem("MS017", f"{entry.loc}", inferred))
    if "version" in raw and raw["version"] != VERSION:
        hint = 'write the string "0.1"' if version_text(raw["version"]) == VERSION else "read on with what the version has in common with 0.1"
        what = raw["version"] if isinstance(raw["version"], (str, int, float)) else word(raw["version"])
        problems.append(problem("MS008", f"{entry.loc}.version", f'found {what!r}; expected the string "0.1"', hint))
    positions, coarse_first = listed.order(found)
    levels = [Level(path=entry.paths[j], array=found[j], extra={k: v for k, v in entry.datasets[j].items() if k != "path"}) for j in positions]
    kept = listed.own_geometry(raw.get("metadata"), [axis.name for axis in axes])
    if kept:
        axes = tuple(replace(axis, unit=unit) for axis, unit in zip(axes, kept[2], strict=True))
    multiscale = listed.assembled(entry, levels, axes, layout=f"{NAME}@{VERSION}", coarse_first=coarse_first, known=_KNOWN)
    return multiscale, tuple(problems)


def _written(multiscale: Multiscale) -> listed.Entry:
    """Returns the entry of one series; what was read from this layout changes only where the series did."""
    raw = multiscale.raw
    same = multiscale.layout == f"{NAME}@{VERSION}"
    entry: listed.Entry = {key: value for key, value in raw.items() if same or key not in _LATER}
    if not raw or not same:
        listed.set_key(entry, "version", VERSION, entry.get("version"))
    listed.set_key(entry, "name", multiscale.name, listed.same_text(raw.get("name")))
    before = list(listed.parts(raw.get("datasets")))
    datasets: list[JSON] = []
    for level, dataset in listed.matched(multiscale, before, keep_order=same):
        datasets.append({"path": level.path, **level.extra} if dataset is None else {k: v for k, v in dataset.items() if same or k not in _LATER})
    entry["datasets"] = datasets
    listed.set_key(entry, "type", multiscale.type, listed.same_text(raw.get("type")))
    listed.set_key(entry, "metadata", multiscale.method, listed.as_object(raw.get("metadata")))
    entry.update({key: value for key, value in multiscale.extra.items() if key not in _LATER and (key not in raw or raw[key] != value)})
    return entry


def _lost(multiscale: Multiscale, loc: str) -> list[Problem]:
    lost = listed.geometry_lost(multiscale, "v0.1", loc)
    if multiscale.world is not None:
        lost.append(problem("LOSS002", loc, "v0.1 has no words for a rotation", "keep it in an attribute of your own"))
    return lost
