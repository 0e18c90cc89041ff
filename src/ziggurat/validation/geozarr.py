"""Checks of the GeoZarr family, beyond what its readers find: the conventions' own keys, and what attributes and arrays say twice.

Source: formats.md 10.1, 10.7; the schemas of the conventions multiscales, spatial and proj, v0.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ziggurat.layouts import ReadResult, conventions, grids
from ziggurat.layouts import series as listed
from ziggurat.layouts.geozarr_items import VERSION, generation
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON
from ziggurat.node import Node, resolve, word
from ziggurat.problems import PathError, Problem
from ziggurat.validation.case import Case, Check, array_wins, same_dtype

_UNPUBLISHED = ("/refs/tags/v1/", "/refs/tags/v0.1.0/", "/blob/v1/", "/blob/v0.1.0/", "zarr-experimental/")
"""Parts of addresses that drafts named and nobody published. Source: formats.md 10.1."""
_LENGTHS: Mapping[str, int] = MappingProxyType({"spatial:dimensions": 2, "spatial:bbox": 4, "spatial:transform": 6, "spatial:shape": 2})


def check_documents(node: Node, result: ReadResult) -> Iterator[Problem]:
    """GZ001, GZ002, GZ008, GZ011, GZ012, GZ018, GZ020, GZ021: the attributes of the group, by the schemas of the conventions."""
    attributes = node.attributes
    found = generation(attributes)
    if found is None or found.version != VERSION:
        return
    declared = attributes.get("zarr_conventions")
    yield from _entries(declared)
    if not conventions.declares(declared, conventions.MULTISCALES):
        said = "is absent" if declared is None else "does not name it"
        yield problem("GZ001", "zarr_conventions", f"{said}; expected the multiscales convention", f"append one with the uuid {conventions.MULTISCALES.uuid}")
    value = found.value if isinstance(found.value, Mapping) else {}
    if "resampling_method" in value and not isinstance(value["resampling_method"], str):
        yield problem("GZ008", "multiscales.resampling_method", f"found {word(value['resampling_method'])}; expected a string")
    yield from _spatial(attributes, "")
    yield from _proj(attributes)
    spatial = conventions.declares(declared, conventions.SPATIAL)
    listing = value.get("layout")
    for i, item in enumerate(listing if isinstance(listing, (list, tuple)) else ()):
        if isinstance(item, Mapping):
            yield from _spatial(item, f"multiscales.layout[{i}].")
            if spatial and "spatial:transform" not in item:
                hint = "state it for every level, as the convention recommends; readers that know no other way leave the level out"
                yield problem("GZ018", f"multiscales.layout[{i}].spatial:transform", "is absent", hint)
    if node.consolidated() is None:
        yield problem("GZ020", "", "the group has no consolidated metadata", "consolidate it: readers then open all levels in one request")


def _entries(declared: JSON) -> Iterator[Problem]:
    if declared is not None and not isinstance(declared, (list, tuple)):
        yield problem("GZ002", "zarr_conventions", f"found {word(declared)}; expected a list of objects", "write one object per convention")
        return
    for i, entry in enumerate(declared or ()):
        loc = f"zarr_conventions[{i}]"
        if not isinstance(entry, Mapping):
            yield problem("GZ002", loc, f"found {word(entry)}; expected an object", 'write {"uuid": ..., "name": ...}')
            continue
        foreign = [key for key in entry if key not in conventions.FIELDS]
        lacking = not any(key in entry for key in conventions.IDENTIFIERS)
        odd = [key for key in conventions.FIELDS if key in entry and not isinstance(entry[key], str)]
        if foreign or lacking or odd:
            what = f"has the key {foreign[0]!r}" if foreign else f"{odd[0]!r} is {word(entry[odd[0]])}" if odd else "has no identifier"
            yield problem("GZ002", loc, f"{what}; expected texts under {', '.join(conventions.FIELDS)}", "identify the convention, and take other keys away")
            continue
        yield from _wording(entry, loc)


def _wording(entry: Mapping[str, JSON], loc: str) -> Iterator[Problem]:
    """GZ021 and, for constants that the schema of a known convention fixes, GZ002."""
    known = next((c for c in conventions.CONVENTIONS.values() if conventions.names(entry, c)), None)
    if "name" not in entry:
        yield problem("GZ021", loc, "has no name", "name the convention")
    if known is None:
        return
    old = [str(entry[key]) for key in ("schema_url", "spec_url") if any(part in str(entry.get(key)) for part in _UNPUBLISHED)]
    if old:
        yield problem("GZ021", loc, f"names {old[0]!r}, which was never published", f"write {known.entry['schema_url']}")
    elif any(key in entry and entry[key] != known.entry[key] for key in ("name", "description", "schema_url", "spec_url")):
        key = next(key for key in ("name", "description", "schema_url", "spec_url") if key in entry and entry[key] != known.entry[key])
        yield problem("GZ021", f"{loc}.{key}", f"found {entry[key]!r}; the schema of the convention has {known.entry[key]!r}", "write that")


def _spatial(held: Mapping[str, JSON], prefix: str) -> Iterator[Problem]:
    """GZ011: types and lengths."""
    for key, length in _LENGTHS.items():
        if key in held and not _is_spatial(key, held[key], length):
            kind = "texts" if key == "spatial:dimensions" else "whole numbers above 0" if key == "spatial:shape" else "numbers"
            yield problem("GZ011", f"{prefix}{key}", f"found {held[key]!r}; expected a list of {length} {kind}", "correct the list")
    if "spatial:registration" in held and held["spatial:registration"] not in ("pixel", "node"):
        yield problem("GZ011", f"{prefix}spatial:registration", f"found {held['spatial:registration']!r}; expected 'pixel' or 'node'", "say which")
    if "spatial:transform_type" in held and not isinstance(held["spatial:transform_type"], str):
        yield problem("GZ011", f"{prefix}spatial:transform_type", f"found {word(held['spatial:transform_type'])}; expected a string", "write 'affine'")


def _is_spatial(key: str, value: JSON, length: int) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) != length:
        return False
    if key == "spatial:dimensions":
        return all(isinstance(v, str) for v in value)
    if key == "spatial:shape":
        return all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in value)
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)


def _proj(attributes: Mapping[str, JSON]) -> Iterator[Problem]:
    """GZ012: at least one way to say which reference system it is, each of its type."""
    present = [key for key in grids.CRS_KEYS if key in attributes]
    if not present and conventions.declares(attributes.get("zarr_conventions"), conventions.PROJ):
        yield problem("GZ012", "", f"proj is declared, and none of {', '.join(grids.CRS_KEYS)} is there", "state 'proj:code', such as 'EPSG:4326'")
    for key, kind, wanted in (("proj:code", str, "a text such as 'EPSG:4326'"), ("proj:wkt2", str, "a text"), ("proj:projjson", Mapping, "an object")):
        value = attributes.get(key)
        wrong = key in attributes and not isinstance(value, kind)
        if wrong or (key == "proj:code" and isinstance(value, str) and not re.fullmatch(r"[^:]+:[^:]+", value)):
            yield problem("GZ012", key, f"found {value!r}; expected {wanted}" if not isinstance(value, Mapping) else f"found an object; expected {wanted}")


# --- one series ---------------------------------------------------------------------------------------------------------------


def check_sizes(case: Case) -> Iterator[Problem]:
    """GZ017: where group and array state the same fact and differ, both are shown, and the array wins."""
    attributes = case.node.attributes
    names = attributes.get("spatial:dimensions")
    axes = [axis.name for axis in case.multiscale.axes]
    if isinstance(names, (list, tuple)) and len(names) == 2 and all(isinstance(n, str) for n in names) and case.multiscale.axes[0].provenance == "stated":
        unknown = [name for name in names if name not in axes]
        if unknown:
            yield problem("GZ017", "spatial:dimensions", f"names {unknown[0]!r}; the axes of the arrays are {', '.join(axes)}", "name two of them, y first")
    pair = grids.horizontal(case.multiscale.axes, names)
    if pair is None:
        return
    for i, item in enumerate(listed.parts(case.raw.get("layout"))):
        stated = item.get("spatial:shape")
        info = next((info for k, info in case.present() if _is_at(case.multiscale.levels[k].path, item, case)), None)
        if info is None or info.ndim != case.multiscale.ndim or not _is_spatial("spatial:shape", stated, 2):
            continue
        real = [info.shape[pair[0]], info.shape[pair[1]]]
        if isinstance(stated, (list, tuple)):
            yield from array_wins("GZ017", f"multiscales.layout[{i}].spatial:shape", list(stated), list(real), "write the array's")


def _is_at(path: str, item: Mapping[str, JSON], case: Case) -> bool:
    try:
        asset = resolve(item.get("asset"))
    except PathError:
        return False
    return path in (asset, f"{asset}/{case.multiscale.name}")


def check_alike(case: Case) -> Iterator[Problem]:
    """GZ019: one type of samples and one number of axes."""
    found = [(f"{case.loc}.layout", p) for p in same_dtype(case, "GZ019", "keep one type, so that every reader sees every level")]
    yield from (Problem(p.rule, p.requirement, loc, p.message, p.hint, p.source) for loc, p in found)
    ranks = {info.ndim for _, info in case.present()}
    if len(ranks) > 1:
        yield problem("GZ019", f"{case.loc}.layout", f"the levels have {' and '.join(map(str, sorted(ranks)))} axes", "list arrays of one rank")


def check_corners(case: Case) -> Iterator[Problem]:
    """GZ022: what was understood and is not written."""
    understood = [k for k, level in enumerate(case.multiscale.levels) if level.scale_provenance == "stated" and level.translation_provenance == "inferred"]
    if understood and not any("spatial:transform" in item for item in listed.parts(case.raw.get("layout"))):
        path = case.multiscale.levels[understood[0]].path
        message = f"{path!r} states no shift of its first sample: corners are taken to coincide"
        yield problem("GZ022", f"{case.loc}.layout", message, "state 'spatial:transform'")


CHECKS: tuple[tuple[tuple[str, ...], Check], ...] = ((("GZ017",), check_sizes), (("GZ019",), check_alike), (("GZ022",), check_corners))
"""Rules and the check that judges them. GZ003 to GZ007, GZ009, GZ010 and GZ013 to GZ016 are found while reading."""
