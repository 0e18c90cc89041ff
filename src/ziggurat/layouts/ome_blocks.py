"""What stands beside `multiscales` in OME-Zarr: blocks with versions of their own, and what a collection's groups say, from version to version.

Source: formats.md 2.1, 2.4, 2.6, 11.3.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ziggurat.layouts.ome_facts import LABELS, WRAPPED_KEYS, VersionFacts
from ziggurat.model import JSON
from ziggurat.node import resolve
from ziggurat.problems import PathError

VERSIONED = ("omero", "image-label", "plate", "well")
"""Blocks that state the version beside `multiscales`, in 0.1 to 0.4; some of them later, too."""
SHOWN = ("omero", "image-label")
"""Blocks of an image that hold for whoever reads its samples, in whatever layout of OME's family they are."""
_LISTS = (("plate", "wells"), ("well", "images"))
"""Blocks of a collection, and where they list its members."""


def restated_block(key: str, block: Mapping[str, JSON], facts: VersionFacts, *, silent: bool = False) -> dict[str, JSON]:
    """Returns one of the `VERSIONED` blocks with the version as a version of the format wants it there; all else stays.

    With `silent`, a block of 0.1 to 0.4 that states none stays so. Source: formats.md 2.1.

    >>> from ziggurat.layouts.ome_facts import FACTS
    >>> restated_block("plate", {"name": "p"}, FACTS["0.5"]), restated_block("omero", {"version": "0.4", "id": 1}, FACTS["0.5"])
    ({'name': 'p', 'version': '0.5'}, {'id': 1})
    """
    if facts.axes == "systems" or (facts.wrapped and key == "omero"):
        return {k: v for k, v in block.items() if k != "version"}
    wanted = "version" in block or key == "plate" if facts.wrapped else "version" in block or not silent
    return {**block, "version": facts.version} if wanted else dict(block)


def is_block(key: str, value: JSON) -> bool:
    """True when an attribute is what OME means by its name, and no stranger's that is only called so.

    >>> is_block("labels", ["cells"]), is_block("labels", {"en": "cells"}), is_block("bioformats2raw.layout", 3)
    (True, False, True)
    """
    if key in ("labels", "series"):
        return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    if key == "multiscales":
        return isinstance(value, list | tuple)
    if key == "bioformats2raw.layout":
        return isinstance(value, int)
    return isinstance(value, Mapping)


def with_indices(plate: Mapping[str, JSON]) -> tuple[dict[str, JSON], tuple[int, ...]]:
    """Returns the plate with `rowIndex` and `columnIndex` in every well, from the names of its rows and columns; the wells that name none."""
    rows, columns = _names(plate.get("rows")), _names(plate.get("columns"))
    wells = plate.get("wells")
    if not isinstance(wells, list | tuple):
        return dict(plate), ()
    result: list[JSON] = []
    nameless = []
    for index, well in enumerate(wells):
        row, _, column = str(well.get("path") if isinstance(well, Mapping) else "").partition("/")
        if not isinstance(well, Mapping) or ("rowIndex" in well and "columnIndex" in well):
            result.append(well)
        elif row in rows and column in columns:
            result.append({**well, "rowIndex": rows.index(row), "columnIndex": columns.index(column)})
        else:
            nameless.append(index)
            result.append(well)
    return {**plate, "wells": result}, tuple(nameless)


def _names(items: JSON) -> list[str]:
    return [str(item.get("name")) for item in items if isinstance(item, Mapping)] if isinstance(items, list | tuple) else []


def gathered(attributes: Mapping[str, JSON], facts: VersionFacts, absent: Collection[str]) -> dict[str, JSON]:
    """Returns the attributes of a group of a collection (plate, row, well, labels, `OME`) in the words of a version, every other key as it is.

    `absent` are the paths of members that are not there in what is written: no list names them.
    """
    held = attributes.get("ome")
    ours = dict(held) if isinstance(held, Mapping) else {}
    root = {key: value for key, value in attributes.items() if not (key == "ome" and isinstance(held, Mapping))}
    blocks = {key: value for key, value in ours.items() if key in WRAPPED_KEYS}
    if not isinstance(held, Mapping):
        blocks = {key: value for key, value in root.items() if key in WRAPPED_KEYS and is_block(key, value)}
        if facts.wrapped:
            root = {key: value for key, value in root.items() if key not in blocks}
    blocks = {key: _carried(key, value, facts, absent) for key, value in blocks.items()}
    others = {key: value for key, value in ours.items() if key not in blocks and key != "version"}
    if not blocks and not ours:
        return dict(attributes)
    if facts.wrapped:
        return {**root, "ome": {"version": facts.version, **others, **blocks}}
    return {**root, **({"ome": others} if others else {}), **blocks}


def _carried(key: str, value: JSON, facts: VersionFacts, absent: Collection[str]) -> JSON:
    if key == LABELS and isinstance(value, list | tuple):
        return [name for name in value if _plain(name) not in absent]
    if key not in VERSIONED or not isinstance(value, Mapping):
        return value
    block = restated_block(key, value, facts)
    if key == "plate" and facts.transformations:
        block, _ = with_indices(block)
    for name, where in _LISTS:
        entries = block.get(where)
        if key == name and absent and isinstance(entries, list | tuple):
            block[where] = [entry for entry in entries if not (isinstance(entry, Mapping) and _plain(entry.get("path")) in absent)]
    return block


def _plain(path: JSON) -> str | None:
    try:
        return resolve(path)
    except PathError:
        return None


def side_by_side(paths: Sequence[str], facts: VersionFacts) -> dict[str, dict[str, JSON]]:
    """Returns what makes a collection of images that lie at any paths below a group: path of a group -> its attributes. Source: formats.md 11.3."""
    if not facts.transformations:
        return {}
    series: JSON = list(paths)
    if facts.wrapped:
        return {"": {"ome": {"version": facts.version, "bioformats2raw.layout": 3}}, "OME": {"ome": {"version": facts.version, "series": series}}}
    return {"": {"bioformats2raw.layout": 3}, "OME": {"series": series}}
