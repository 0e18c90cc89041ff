"""The levels of the GeoZarr family, every generation in the words of version 0.1, and how they lie to one another.

Source: formats.md 10 (table), 10.1 to 10.3, 10.7, 15.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, NamedTuple

from ziggurat import geometry
from ziggurat.layouts import conventions, grids
from ziggurat.layouts import series as listed
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, ArrayInfo, Axis, Level
from ziggurat.node import resolve, word
from ziggurat.problems import PathError, Problem

VERSION = "0.1"
DRAFTS = ("draft-2025-09", "draft-2025-10", "draft-2025-11", "overviews")
MAX_ITEMS = 256
STRIDED = ("stride", "decimate", "decimation", "subsample", "first")
"""Words for a picked sample: with these, and no `spatial:transform`, a translation of 0 means that the first sample stays where it is."""


ITEM_KEYS = frozenset(
    {"asset", "derived_from", "transform", "resampling_method", "spatial:transform", "spatial:shape", "spatial:registration"}
    | {"group", "from_group", "path", "id", "factors", "scale", "translation", "cell_size", "proj:transform", "proj:shape"}
)
"""What some generation says itself of a level; other keys of a level are carried."""


class Generation(NamedTuple):
    """Which form of the convention a group is written in, and where its object is."""

    version: str
    value: JSON
    loc: str
    declared: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Item:
    """One level of a layout, in the words of version 0.1 whatever the document's."""

    index: int
    asset: str
    source: str | None
    scale: tuple[float, ...] | None
    translation: tuple[float, ...] | None
    cell_size: tuple[float, float] | None
    """Size of a cell in world units, (y, x): only the OGC draft says it."""
    method: str | None
    raw: Mapping[str, JSON]

    @property
    def extra(self) -> dict[str, JSON]:
        """Keys of the document that no generation knows, and a method of its own."""
        return {key: value for key, value in self.raw.items() if key not in ITEM_KEYS}


# --- which generation ---------------------------------------------------------------------------------------------------


def generation(attributes: Mapping[str, JSON]) -> Generation | None:
    """Returns which form of the convention a group is written in, None for none of them. Source: formats.md 10 (table), 10.2."""
    value = attributes.get("multiscales")
    if isinstance(value, Mapping) and "datasets" not in value:
        listing = value.get("layout")
        first = next(listed.parts(listing), {})
        declared = attributes.get("zarr_conventions")
        if "group" in first or (isinstance(declared, Mapping) and conventions.MULTISCALES.uuid in declared):
            return Generation(DRAFTS[2], value, "multiscales", True, "the draft of November 2025")
        if "asset" not in first and "id" in first:
            return Generation(DRAFTS[3], value, "multiscales", True, "the OGC draft of overviews")
        if conventions.declares(declared, conventions.MULTISCALES):
            return Generation(VERSION, value, "multiscales", True, "'zarr_conventions' names the multiscales convention")
        if "layout" in value:
            return Generation(VERSION, value, "multiscales", False, "'multiscales' is an object with a layout")
        return None
    held = attributes.get(conventions.MULTISCALES.uuid)
    if isinstance(held, Mapping):
        return Generation(DRAFTS[1], held.get("configuration"), f"{conventions.MULTISCALES.uuid}.configuration", True, "the draft of October 2025")
    geo = attributes.get("geo")
    inner = geo.get("multiscales") if isinstance(geo, Mapping) else None
    if isinstance(inner, Mapping) and "layout" in inner:
        return Generation(DRAFTS[0], inner, "geo.multiscales", True, "the draft of September 2025")
    return None


def items(found: Generation) -> tuple[list[Item], list[Problem]]:
    """Returns the levels of a layout that can be read, in the words of version 0.1, and what is wrong with the others."""
    loc = f"{found.loc}.layout"
    listing = found.value.get("layout") if isinstance(found.value, Mapping) else None
    if not isinstance(listing, (list, tuple)) or not listing:
        what = "an empty list" if isinstance(listing, (list, tuple)) else word(listing)
        return [], [problem("GZ003", loc, f"found {what}; expected a list of at least one level", 'list every level as an object with "asset"')]
    if len(listing) > MAX_ITEMS:
        return [], [problem("GZ003", loc, f"holds {len(listing):,} levels, and no layout has more than {MAX_ITEMS}")]
    result, problems = [], []
    names: dict[str, str] = {}
    for i, raw in enumerate(listing):
        where = f"{loc}[{i}]"
        if not isinstance(raw, Mapping):
            problems.append(problem("GZ003", where, f"found {word(raw)}; expected an object with 'asset'"))
            continue
        key = "asset" if found.version == VERSION else next((k for k in ("asset", "path", "group", "id") if k in raw), "asset")
        asset, wrong = _local(raw.get(key), f"{where}.{key}", required=True)
        problems += wrong
        if asset is None:
            continue
        names[str(raw.get("id", asset))] = asset
        item, wrong = _item(i, asset, raw, where, released=found.version == VERSION)
        result.append(item)
        problems += wrong
    return [replace(item, source=names.get(item.source, item.source) if item.source is not None else None) for item in result], problems


def _local(value: JSON, where: str, *, required: bool = False) -> tuple[str | None, list[Problem]]:
    if value is None and not required:
        return None, []
    if not isinstance(value, str):
        return None, [problem("GZ004", where, f"found {word(value)}; expected the path of a group or an array below this group", "name the level")]
    try:
        return resolve(value, "path"), []
    except PathError as error:
        return None, [problem("GZ004", where, str(error).removeprefix("path "), "move or copy the level below the group")]


def _item(i: int, asset: str, raw: Mapping[str, JSON], where: str, *, released: bool) -> tuple[Item, list[Problem]]:
    """Returns one level. `group`, `id`: `asset`; `from_group`: `derived_from`; scale, translation and factors may stand in the item itself."""
    key = "derived_from" if "derived_from" in raw or "from_group" not in raw else "from_group"
    source, problems = _local(raw.get(key), f"{where}.{key}", required=key in raw)
    transform = raw.get("transform")
    inner: Mapping[str, JSON] = transform if isinstance(transform, Mapping) else raw
    place = f"{where}.transform" if isinstance(transform, Mapping) else where
    stated: dict[str, tuple[float, ...] | None] = {}
    for word_ in ("scale", "factors", "translation"):
        stated[word_] = grids.numbers_of(inner.get(word_))
        if word_ in inner and stated[word_] is None:
            problems.append(problem("GZ007", f"{place}.{word_}", f"found {inner[word_]!r}; expected one number per axis", "correct the list"))
        elif word_ != "translation" and any(v <= 0 for v in stated[word_] or ()):
            stated[word_] = None
            problems.append(problem("GZ009", f"{place}.{word_}", f"found {inner[word_]!r}; expected numbers above 0; it is left out", "correct the list"))
    if "transform" in raw and not isinstance(transform, Mapping):
        problems.append(problem("GZ007", f"{where}.transform", f"found {word(transform)}; expected an object", 'write {"scale": [...], "translation": [...]}'))
    elif source is not None and "transform" not in raw and released:
        problems.append(problem("GZ007", f"{where}.transform", "is absent, and 'derived_from' asks for it", 'write {"scale": [...], "translation": [...]}'))
    method = raw.get("resampling_method")
    if "resampling_method" in raw and not isinstance(method, str):
        problems.append(problem("GZ008", f"{where}.resampling_method", f"found {word(method)}; expected a string"))
    scale = stated["scale"] or stated["factors"]
    return Item(i, asset, source, scale, stated["translation"], _cell_size(raw.get("cell_size")), listed.same_text(method), raw), problems


def _cell_size(value: JSON) -> tuple[float, float] | None:
    """Returns the size of a cell, (y, x), of a number or of [x, y]. Source: formats.md 10.3."""
    numbers = grids.numbers_of([value] if isinstance(value, (int, float)) else value)
    if numbers is None or len(numbers) not in (1, 2) or any(v <= 0 for v in numbers):
        return None
    return numbers[-1], numbers[0]


# --- the spatial convention -----------------------------------------------------------------------------------------------


class Spatial(NamedTuple):
    """What the attributes of a group say about all of its levels."""

    dimensions: JSON
    node_registered: bool
    transform: JSON
    crs: dict[str, JSON]


def spatial_of(attributes: Mapping[str, JSON]) -> Spatial:
    """Returns the `spatial:` and `proj:` attributes; older drafts kept all of them under `proj:`. Source: formats.md 10.7."""
    dimensions = attributes.get("spatial:dimensions", attributes.get("proj:spatial_dimensions"))
    transform = attributes.get("spatial:transform", attributes.get("proj:transform"))
    crs = grids.crs_of(attributes)
    geo = attributes.get("geo")
    inner = geo.get("proj") if isinstance(geo, Mapping) else None
    if isinstance(inner, Mapping):
        crs |= {f"proj:{key}": value for key, value in inner.items() if f"proj:{key}" in grids.CRS_KEYS and value is not None}
    return Spatial(dimensions, attributes.get("spatial:registration") == "node", transform, crs)


# --- places relative to the first level -------------------------------------------------------------------------------------


class Relation(NamedTuple):
    """How a level lies to the root of its chain, per axis: its step, and where its first sample is, both in steps of the root."""

    factor: tuple[Fraction, ...]
    shift: tuple[Fraction, ...]
    provenance: Literal["stated", "corner", "inferred", "absent"]
    """`"corner"`: the factor is stated, and that corners coincide is understood."""


def relative(
    listing: Sequence[Item], paths: Sequence[str], arrays: Sequence[ArrayInfo | None], axes: Sequence[Axis], pair: tuple[int, int] | None, loc: str
) -> tuple[list[Level], list[Problem]]:
    """Returns levels with scale and translation in steps of the level that their chain begins with. Source: formats.md 10.1.

    A stated scale is per step when it explains the sizes of the level and of the one it is derived from, cumulative when it explains those of the level
    and of the first; when neither, the sizes win.
    """
    by_asset = {item.asset: i for i, item in enumerate(listing)}
    known: dict[int, Relation] = {}
    problems: list[Problem] = []
    levels = []
    for i, (item, path, info) in enumerate(zip(listing, paths, arrays, strict=True)):
        chain, broken = _chain(i, listing, by_asset)
        if broken:
            problems.append(problem("GZ006", f"{loc}.layout[{item.index}].derived_from", broken, "name the asset that it was made from"))
        for j in chain:
            if j not in known:
                source = by_asset[listing[j].source or ""] if j != chain[0] else None
                known[j], wrong = _relation(j, source, listing, arrays, known, by_asset, len(axes), pair, f"{loc}.layout[{listing[j].index}]")
                problems += wrong
        relation = known[i]
        stated = relation.provenance
        levels.append(
            Level(
                path=path,
                scale=tuple(map(float, relation.factor)) if stated != "absent" else None,
                translation=tuple(map(float, relation.shift)) if stated != "absent" else None,
                scale_provenance="inferred" if stated == "inferred" else "absent" if stated == "absent" else "stated",
                translation_provenance="absent" if stated == "absent" else "stated" if stated == "stated" else "inferred",
                array=info,
                extra=item.extra,
            )
        )
    return levels, problems


def _chain(i: int, listing: Sequence[Item], by_asset: Mapping[str, int]) -> tuple[list[int], str]:
    """Returns the levels from the root to `i`, and what is wrong with the way there; a broken chain begins where it breaks."""
    chain = [i]
    while (source := listing[chain[0]].source) is not None:
        if source not in by_asset:
            return chain, f"names {source!r}, which is no level of the layout" if len(chain) == 1 else ""
        if by_asset[source] in chain:
            return chain, "leads back to the level itself" if len(chain) >= 1 else ""
        chain.insert(0, by_asset[source])
    return chain, ""


def _relation(
    i: int,
    source: int | None,
    listing: Sequence[Item],
    arrays: Sequence[ArrayInfo | None],
    known: Mapping[int, Relation],
    by_asset: Mapping[str, int],
    ndim: int,
    pair: tuple[int, int] | None,
    loc: str,
) -> tuple[Relation, list[Problem]]:
    item = listing[i]
    factors, problems = _per_axis(item.scale, ndim, pair, 1.0, f"{loc}.transform.scale")
    shifts, wrong = _per_axis(item.translation, ndim, pair, 0.0, f"{loc}.transform.translation")
    problems += wrong
    ones, zeros = (Fraction(1),) * ndim, (Fraction(0),) * ndim
    if source is None:
        if item.scale is None and item.translation is None:
            return Relation(ones, zeros, "inferred" if listing[0] is item else "absent"), problems
        return Relation(factors or ones, shifts or zeros, "stated"), problems
    above = known[source]
    step, whole = _steps(arrays[source], arrays[i], ndim), _steps(arrays[_root(source, listing, by_asset)], arrays[i], ndim)
    if factors is None:
        inferred = tuple(geometry.ratio(a, b)[0] if a and b else Fraction(1) for a, b in step) if step else ones
        return _beyond(above, inferred, _aligned(inferred), "inferred"), problems
    cumulative = False
    if step is not None and not _explains(factors, step):
        if whole is not None and _explains(factors, whole):
            cumulative = True
        else:
            found = ", ".join(f"{a} to {b}" for a, b in step)
            message = f"found {[float(f) for f in factors]}, and the sizes go from {found}; the sizes win"
            problems.append(problem("GZ010", f"{loc}.transform.scale", message, "state the ratio of the sizes"))
            sized = tuple(geometry.ratio(a, b)[0] if a and b else Fraction(1) for a, b in step)
            return _beyond(above, sized, _aligned(sized), "inferred"), problems
    corner = shifts is None or all(s == 0 for s in shifts)
    strided = (item.method or "").lower() in STRIDED
    place = _aligned(factors) if corner and not strided else shifts or zeros
    provenance: Literal["corner", "stated"] = "corner" if corner and not strided else "stated"
    if cumulative:
        root = known[_root(source, listing, by_asset)]
        return _beyond(root, factors, place, provenance), problems
    return _beyond(above, factors, place, provenance), problems


def _beyond(above: Relation, factors: tuple[Fraction, ...], shifts: tuple[Fraction, ...], provenance: Literal["stated", "corner", "inferred"]) -> Relation:
    """Returns the relation to the root of a level that lies so to the one above it."""
    factor = tuple(a * f for a, f in zip(above.factor, factors, strict=True))
    shift = tuple(t + a * s for t, a, s in zip(above.shift, above.factor, shifts, strict=True))
    return Relation(factor, shift, provenance)


def _aligned(factors: Sequence[Fraction]) -> tuple[Fraction, ...]:
    """Returns the shifts of first samples whose lower corners coincide."""
    return tuple(geometry.first_sample_shift("centre", f) for f in factors)


def _root(i: int, listing: Sequence[Item], by_asset: Mapping[str, int]) -> int:
    return _chain(i, listing, by_asset)[0][0]


def _steps(source: ArrayInfo | None, level: ArrayInfo | None, ndim: int) -> tuple[tuple[int, int], ...] | None:
    if source is None or level is None or not source.ndim == level.ndim == ndim:
        return None
    return tuple(zip(source.shape, level.shape, strict=True))


def _explains(factors: Sequence[Fraction], steps: Sequence[tuple[int, int]]) -> bool:
    """True when each factor leads from one size to the other, to within one sample of the smaller."""
    for f, (a, b) in zip(factors, steps, strict=True):
        if f <= 0 or (a and b and not math.floor(a / f) - 1 < b < math.ceil(a / f) + 1 and not math.isclose(a / b, f, rel_tol=1e-3)):
            return False
    return True


def _per_axis(
    stated: tuple[float, ...] | None, ndim: int, pair: tuple[int, int] | None, default: float, loc: str
) -> tuple[tuple[Fraction, ...] | None, list[Problem]]:
    """Returns one number per axis of a list that has one for each, or one for each of [y, x]."""
    if stated is None:
        return None, []
    exact = [Fraction(repr(v)) for v in stated]
    if len(exact) == ndim:
        return tuple(exact), []
    if len(exact) == 2 and pair is not None:
        return tuple(exact[pair.index(i)] if i in pair else Fraction(repr(default)) for i in range(ndim)), []
    message = f"holds {len(exact)} numbers for arrays of {ndim} axes; expected one per axis, or two for y and x; it is left out"
    return None, [problem("GZ009", loc, message, "write one number per axis")]
