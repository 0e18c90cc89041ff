"""What a conversion leaves unsaid: keys of the old documents whose value is nowhere in the new ones, and that no layout's model carries.

A key whose meaning the model carries (scale, axes, path, ...) is understood where it stands in a structure that layouts own. Every
other one is found again, equal, in the new documents, or it is reported. Source: formats.md 14; reliability.md R14.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from ziggurat.layouts.rules import problem
from ziggurat.model import JSON
from ziggurat.problems import Problem

_WORDS = """
    multiscales multiscale datasets path version asset derived_from layout group from_group id key scales mags mag ome setups levels num_levels
    axes axis unit units scale translation translate transform coordinateTransformations coordinateSystems input output transformations order ordering
    pixelResolution dimensions resolution resolutions offset downsamplingFactors factors cell_size size voxel_offset gridSpacing origin
    spatial:transform spatial:shape spatial:bbox spatial:dimensions spatial:registration spatial:transform_type _ARRAY_DIMENSIONS dimension_names
    zarr_conventions zarr_conventions_version uuid schema_url spec_url _MULTISCALE_LEVELS _SPATIAL_IMAGE multiscaleSpatialImageVersion @type multiScale n5
    use_saved_levels shape dtype data_type dataType blockSize chunk_sizes encoding compression num_channels
"""
"""Places and versions; axes and geometry in every layout's words; marks of a layout; what is told of arrays."""
UNDERSTOOD = frozenset(_WORDS.split())
"""Words whose meaning the model carries from any layout to any other, as far as the target can hold it: it says itself what it cannot."""
_NAMED = frozenset({"name", "type", "description", "longName", "discrete"})
"""Understood only inside of these lists: elsewhere they are the multiscale's own."""
_INSIDE = frozenset({"axes", "coordinateTransformations", "transformations", "coordinateSystems", "input", "output", "zarr_conventions", "compression"})
MAX_REPORTED = 100


def unsaid(before: Mapping[str, JSON], after: Sequence[JSON], target: str) -> tuple[Problem, ...]:
    """Returns what of the documents `before` (place -> value) is neither understood nor found, equal, anywhere in those `after`.

    Examples
    --------
    >>> [p.loc for p in unsaid({"": {"omero": {"version": "0.4", "id": 1, "mine": 2}}}, [{"ome": {"omero": {"id": 1}}}], "x")]
    ['omero.mine']
    >>> [p.loc for p in unsaid({"": {"multiscales": [{"datasets": [{"path": "0", "mine": 1}], "name": "a"}]}}, [{"title": "a", "name": "a"}], "x")]
    ['multiscales[0].datasets[0].mine']
    """
    held = _Held(after)
    found = [
        problem("LOSS004", loc, f"{target} has no place for this key; it is left behind", "keep SRC, or an attribute of your own")
        for loc in _lost(before, held)
    ]
    more = len(found) - MAX_REPORTED
    rest = [problem("LOSS004", "", f"and {more:,} keys more that {target} has no place for")] if more > 0 else []
    return (*found[:MAX_REPORTED], *rest)


class _Held:
    """Every value of the new documents, by key and by its text."""

    def __init__(self, documents: Sequence[JSON]) -> None:
        self._pairs: set[tuple[str, str]] = set()
        self._structures: set[str] = set()
        self._objects: set[str] = set()
        waiting: list[JSON] = list(documents)
        while waiting:
            value = waiting.pop()
            if isinstance(value, Mapping):
                for key, item in value.items():
                    self._pairs.add((key, _text(item)))
                    self._objects |= {key} if isinstance(item, Mapping) else set()
                    waiting.append(item)
            elif isinstance(value, (list, tuple)):
                waiting += value
            if isinstance(value, (Mapping, list, tuple)) and value:
                self._structures.add(_text(value))

    def has(self, key: str, value: JSON) -> bool:
        """True when the value stands under the same key; what made the levels, which layouts call by names of their own, anywhere."""
        text = _text(value)
        return (key, text) in self._pairs or (key == "metadata" and text in self._structures)

    def has_object(self, key: str) -> bool:
        """True when an object stands under the same key, of which a part may be the same: a block that lost its version."""
        return key in self._objects


def _text(value: JSON) -> str:
    return json.dumps(value, sort_keys=True, default=dict)


def _lost(before: Mapping[str, JSON], held: _Held) -> Iterator[str]:
    for place, document in before.items():
        yield from _walk(document, place, "", held)


def _walk(value: JSON, loc: str, inside: str, held: _Held) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            here = f"{loc}.{key}" if loc else key
            if held.has(key, item):
                continue
            if key in UNDERSTOOD or (key in _NAMED and inside in _INSIDE) or (isinstance(item, Mapping) and held.has_object(key)):
                yield from _walk(item, here, key, held)
            elif item is not None:
                yield here
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _walk(item, f"{loc}[{i}]", inside, held)
