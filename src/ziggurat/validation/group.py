"""Checks of what stands beside the multiscales: labels, plates, omero, and the consolidated copy. Source: formats.md 2.4, 2.7, 12."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ziggurat import layouts
from ziggurat.layouts import ome_collections
from ziggurat.layouts.rules import problem
from ziggurat.layouts.series import parts
from ziggurat.model import JSON, Multiscale
from ziggurat.node import Node, word
from ziggurat.problems import DocumentError, NotFound, Problem

_WINDOW = ("start", "end", "min", "max")
MAX_COPIED = 10_000
"""Documents of a consolidated copy that are compared: the plate of 384 wells has about 17,000, and the first thousands tell."""


def check_zarr(node: Node) -> Iterator[Problem]:
    """ZARR001: a series describes a group; of a plain folder, its layout knows what it is."""
    if node.kind != "group" and node.container is not None:
        found = "an array" if node.kind == "array" else "no .zgroup"
        yield problem("ZARR001", "", f"found {found}; expected a Zarr group", "write the metadata of a group, or move the attributes to one")


def check_omero(block: Mapping[str, JSON], multiscales: Sequence[Multiscale], prefix: str) -> Iterator[Problem]:
    """OME022: channels, their colours and windows."""
    omero = block.get("omero")
    if omero is None:
        return
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, (list, tuple)):
        yield problem("OME022", f"{prefix}omero.channels", f"found {word(channels)}; expected a list", "list one object per channel, or delete 'omero'")
        return
    for i, channel in enumerate(channels):
        loc = f"{prefix}omero.channels[{i}]"
        colour = channel.get("color") if isinstance(channel, Mapping) else None
        if not isinstance(colour, str) or not re.fullmatch(r"#?[0-9A-Fa-f]{6}", colour):
            yield problem("OME022", f"{loc}.color", f"found {colour!r}; expected six hexadecimal digits", "write it as 'RRGGBB'")
        window = channel.get("window") if isinstance(channel, Mapping) else None
        lacking = [key for key in _WINDOW if not isinstance(window, Mapping) or not isinstance(window.get(key), (int, float))]
        if lacking:
            yield problem("OME022", f"{loc}.window", f"lacks the numbers {', '.join(lacking)}", "state start, end, min and max")
    if multiscales:
        kinds = [axis.kind for axis in multiscales[0].axes]
        array = multiscales[0].levels[0].array
        if array is not None and array.ndim == len(kinds):
            size = array.shape[kinds.index("channel")] if "channel" in kinds else 1
            if len(channels) != size:
                yield problem("OME022", f"{prefix}omero.channels", f"describes {len(channels)} channels; the arrays have {size}", "describe each channel once")


def check_bioformats2raw(block: Mapping[str, JSON], prefix: str) -> Iterator[Problem]:
    """OME021: the layout number is 3; old files say 1."""
    value = block.get("bioformats2raw.layout")
    if value is not None and value != 3:
        yield problem("OME021", f"{prefix}bioformats2raw.layout", f"found {value!r}; expected 3", "convert the file again with a present bioformats2raw")


def check_labels(node: Node, block: Mapping[str, JSON], multiscales: Sequence[Multiscale], prefix: str) -> Iterator[Problem]:
    """OME019: a label image has the image's levels and whole samples; what can be said of a label image alone is said where it is judged."""
    if "image-label" in block:
        yield from _integer_samples(multiscales, f"{prefix}image-label")
    if not multiscales:
        return
    for member in ome_collections.labels_below(node)[0]:
        try:
            label = layouts.read(node.child(member.path)).multiscales
        except (NotFound, DocumentError):
            continue  # It is judged as a member.
        if label and label[0].n_levels != multiscales[0].n_levels:
            message = f"the label image has {label[0].n_levels} levels; its image has {multiscales[0].n_levels}"
            yield problem("OME019", member.path, message, "build the same levels for both")


def _integer_samples(multiscales: Sequence[Multiscale], loc: str) -> Iterator[Problem]:
    wrong = [level for multiscale in multiscales[:1] for level in multiscale.levels if level.array is not None and "int" not in level.array.dtype]
    wrong = [level for level in wrong if level.array is not None and level.array.dtype != "bool"]
    if wrong and wrong[0].array is not None:
        yield problem(
            "OME019", loc, f"level {wrong[0].path!r} of a label image holds {wrong[0].array.dtype}; expected whole numbers", "build its levels by mode"
        )


def check_plate(block: Mapping[str, JSON], prefix: str) -> Iterator[Problem]:
    """OME020: every well names a row and a column that exist."""
    plate = block.get("plate")
    if isinstance(plate, Mapping):
        rows = [row.get("name") for row in parts(plate.get("rows"))]
        columns = [column.get("name") for column in parts(plate.get("columns"))]
        for i, well in enumerate(parts(plate.get("wells"))):
            yield from _well(well, rows, columns, f"{prefix}plate.wells[{i}]")


def _well(well: Mapping[str, JSON], rows: list[JSON], columns: list[JSON], loc: str) -> Iterator[Problem]:
    path = well.get("path")
    names = path.split("/") if isinstance(path, str) else []
    if len(names) != 2 or names[0] not in rows or names[1] not in columns:
        yield problem("OME020", f"{loc}.path", f"found {path!r}; expected the name of a row, '/', and the name of a column", "correct the path")
        return
    for key, place in (("rowIndex", rows.index(names[0])), ("columnIndex", columns.index(names[1]))):
        if well.get(key, place) != place:
            yield problem("OME020", f"{loc}.{key}", f"found {well.get(key)!r}; {path!r} stands at {place}", "correct the index")


def check_consolidated(node: Node, multiscales: Sequence[Multiscale]) -> Iterator[Problem]:
    """CON001: the consolidated copy says what the documents say; the first difference is shown."""
    copy = node.consolidated()
    if copy is None:
        return
    hint = "consolidate again; readers that trust the copy see the past"
    place = ".zmetadata" if node.zarr_format == 2 else "consolidated_metadata"
    for key, document in list(copy.items())[:MAX_COPIED]:
        path, _, name = key.rpartition("/")
        try:
            real = node.child(path) if path else node
            difference = _difference(real, name, document)
        except DocumentError as error:
            difference = f"cannot be compared ({error})"
        if difference:
            yield problem("CON001", f"{place}[{key!r}]", f"the copy {difference}", hint)
            return
    name = ".zarray" if node.zarr_format == 2 else "zarr.json"
    for multiscale in multiscales:
        for level in multiscale.levels:
            if level.array is not None and f"{level.path}/{name}" not in copy:
                yield problem("CON001", place, f"the copy does not know level {level.path!r}", hint)
                return


def _difference(real: Node, name: str, document: Mapping[str, JSON]) -> str:
    """Returns how a copied document differs from the node's own, empty when it does not."""
    if real.kind in ("absent", "folder"):
        return "describes a node that does not exist"
    if name == ".zattrs":
        return "" if document == real.attributes else "has other attributes than the node"
    if name == ".zgroup":
        return "" if real.kind == "group" else "calls an array a group"
    own = real.array_document
    if own is None:
        return "" if document.get("attributes", {}) == real.attributes and document.get("node_type") == "group" else "has other attributes than the group"
    lacking = {key for key in {*own, *document} if own.get(key) != document.get(key)} - {"consolidated_metadata"}
    lacking = {key for key in lacking if (own.get(key) or {}) != (document.get(key) or {})}
    return f"differs from the array's document in {', '.join(sorted(lacking))}" if lacking else ""
