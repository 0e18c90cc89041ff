"""Checks of what stands beside the multiscales: labels, plates, omero, and the consolidated copy. Source: formats.md 2.4, 2.7, 12."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from ziggurat import layouts
from ziggurat.layouts import ome_collections
from ziggurat.layouts.ome_facts import block_of, parsed_version
from ziggurat.layouts.rules import problem
from ziggurat.layouts.series import parts
from ziggurat.model import JSON, Multiscale
from ziggurat.node import Node, word
from ziggurat.problems import DocumentError, NotFound, Problem

_AGAIN = "consolidate again; readers that trust the copy see the past"
_WINDOW = ("start", "end", "min", "max")
MAX_WELLS = 1_536
"""Of the largest plate."""
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
    """OME019: a label image has the image's levels and sizes, and whole samples; what can be said of a label image alone is said where it is judged."""
    if "image-label" in block:
        yield from _integer_samples(multiscales, f"{prefix}image-label", "iu" if prefix else "iub")
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
        elif label:
            yield from _same_sizes(label[0], multiscales[0], member.path)


def _same_sizes(label: Multiscale, image: Multiscale, loc: str) -> Iterator[Problem]:
    """Yields the first level whose sizes are neither the image's nor 1; an axis that only the image has is as one of length 1.

    Above the base a sample more or less is how either was rounded.
    """
    for k, (mine, whole) in enumerate(zip(label.levels, image.levels, strict=True)):
        if mine.array is None or whole.array is None or mine.array.ndim != label.ndim or whole.array.ndim != image.ndim:
            continue
        sizes = {axis.name: n for axis, n in zip(image.axes, whole.array.shape, strict=True)}
        for axis, n in zip(label.axes, mine.array.shape, strict=True):
            if n != 1 and abs(n - sizes.get(axis.name, 1)) > (1 if k and axis.name in sizes else 0):
                wanted = f"{sizes[axis.name]} or 1, as in the image" if axis.name in sizes else f"1, because the image has only {', '.join(sizes)}"
                message = f"level {mine.path!r} of the label image has {n} samples along {axis.name!r}; expected {wanted}"
                yield problem("OME019", loc, message, "cut the labels as the image is, and build their levels again")
                return


_WHOLE = MappingProxyType({"int": "i", "uint": "u", "bool": "b"})


def _integer_samples(multiscales: Sequence[Multiscale], loc: str, kinds: str) -> Iterator[Problem]:
    """Yields the first level whose samples are none of `kinds`: from 0.5 on truth values are no labels."""
    for level in (level for multiscale in multiscales[:1] for level in multiscale.levels):
        if level.array is not None and _WHOLE.get(level.array.dtype.rstrip("0123456789"), "?") not in kinds:
            message = f"level {level.path!r} of a label image holds {level.array.dtype}; expected whole numbers"
            yield problem("OME019", loc, message, "build its levels by mode")
            return


def check_image_label(block: Mapping[str, JSON], prefix: str) -> Iterator[Problem]:
    """OME026: colours and properties of labels."""
    held = block.get("image-label")
    if held is None:
        return
    if not isinstance(held, Mapping):
        yield problem("OME026", f"{prefix}image-label", f"found {word(held)}; expected an object", "say of which image these are the labels, or delete it")
        return
    for key in ("colors", "properties"):
        entries, loc = held.get(key, []), f"{prefix}image-label.{key}"
        if not isinstance(entries, (list, tuple)):
            yield problem("OME026", loc, f"found {word(entries)}; expected a list of objects with 'label-value'", "list one object per label")
            continue
        seen: set[int] = set()
        for i, entry in enumerate(entries):
            yield from _label_entry(entry, f"{loc}[{i}]", seen, coloured=key == "colors")


def _label_entry(entry: JSON, loc: str, seen: set[int], *, coloured: bool) -> Iterator[Problem]:
    """Yields what is wrong with what is said of one label, and adds its value to those that were seen."""
    value = entry.get("label-value") if isinstance(entry, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int):
        yield problem("OME026", f"{loc}.label-value", f"found {value!r}; expected a whole number", "state the value of the samples")
    elif value in seen:
        yield problem("OME026", f"{loc}.label-value", f"{value} stands in the list already, and the last one counts", "say of each label once")
    else:
        seen.add(value)
    rgba = entry.get("rgba") if isinstance(entry, Mapping) else None
    if coloured and rgba is not None and not _is_colour(rgba):
        yield problem("OME026", f"{loc}.rgba", f"found {rgba!r}; expected four whole numbers from 0 to 255", "write red, green, blue and opacity")


def _is_colour(rgba: JSON) -> bool:
    parts_of = rgba if isinstance(rgba, (list, tuple)) else ()
    return len(parts_of) == 4 and all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= 255 for n in parts_of)


def check_plate(node: Node, block: Mapping[str, JSON], prefix: str) -> Iterator[Problem]:
    """OME020: every well names a row and a column that exist, at their places, and every field an acquisition that does."""
    plate = block.get("plate")
    if not isinstance(plate, Mapping):
        return
    rows = [row.get("name") for row in parts(plate.get("rows"))]
    columns = [column.get("name") for column in parts(plate.get("columns"))]
    indexed = ome_collections.version_of(node, block, "plate") not in ("0.1", "0.2", "0.3")
    for i, well in enumerate(parts(plate.get("wells"))):
        yield from _well(well, rows, columns, f"{prefix}plate.wells[{i}]", indexed=indexed)
    yield from _acquisitions(node, plate, prefix)


def _well(well: Mapping[str, JSON], rows: list[JSON], columns: list[JSON], loc: str, *, indexed: bool) -> Iterator[Problem]:
    path = well.get("path")
    names = path.split("/") if isinstance(path, str) else []
    if len(names) != 2 or names[0] not in rows or names[1] not in columns:
        yield problem("OME020", f"{loc}.path", f"found {path!r}; expected the name of a row, '/', and the name of a column", "correct the path")
        return
    for key, place in (("rowIndex", rows.index(names[0])), ("columnIndex", columns.index(names[1]))):
        if key not in well and indexed:
            yield problem("OME020", f"{loc}.{key}", f"is absent; {path!r} stands at {place}", f"write {place}")
        elif well.get(key, place) != place:
            yield problem("OME020", f"{loc}.{key}", f"found {well.get(key)!r}; {path!r} stands at {place}", "correct the index")


def _acquisitions(node: Node, plate: Mapping[str, JSON], prefix: str) -> Iterator[Problem]:
    """Yields acquisitions without a number of their own, and fields of an acquisition that the plate does not list."""
    if "acquisitions" not in plate:
        return
    ids: list[int] = []
    for i, acquisition in enumerate(parts(plate["acquisitions"])):
        number, loc = acquisition.get("id"), f"{prefix}plate.acquisitions[{i}].id"
        if isinstance(number, bool) or not isinstance(number, int):
            yield problem("OME020", loc, f"found {number!r}; expected a whole number", "number the acquisitions")
        elif number in ids:
            yield problem("OME020", loc, f"{number} is the number of an earlier acquisition", "give each acquisition a number of its own")
        else:
            ids.append(number)
    for member in ome_collections.members(node)[0][:MAX_WELLS]:
        try:
            found = block_of(node.child(member.path))
        except DocumentError:
            continue  # It is judged as a member.
        well = found[0].get("well") if found is not None else None
        for k, image in enumerate(parts(well.get("images")) if found is not None and isinstance(well, Mapping) else ()):
            if "acquisition" in image and image["acquisition"] not in ids:
                loc = f"{member.path}/{found[1] if found is not None else ''}well.images[{k}].acquisition"
                yield problem("OME020", loc, f"found {image['acquisition']!r}; the plate lists {ids}", "list the acquisition, or correct the number")


def check_block_versions(block: Mapping[str, JSON], prefix: str) -> Iterator[Problem]:
    """OME016: plate, well and image-label state the version of the group that they stand in."""
    whole = _version_in(block, ("multiscales",)) if not prefix else parsed_version(block.get("version"))
    for key in _VERSIONED:
        held = block.get(key)
        own = parsed_version(held.get("version")) if isinstance(held, Mapping) else ""
        if whole and own and own != whole:
            yield problem("OME016", f"{prefix}{key}.version", f"found {own!r} in a group of version {whole}", f'write "{whole}"', requirement="SHOULD")


def check_member_version(node: Node, child: Node, path: str) -> Iterator[Problem]:
    """OME016: a member states the version of what lists it, where both state one. Raises DocumentError."""
    above, below = block_of(node), block_of(child)
    if above is None or below is None:
        return
    mine, theirs = (_stated_version(*found) for found in (above, below))
    if mine and theirs and mine != theirs:
        message = f"found {theirs!r} below a group of version {mine}"
        yield problem("OME016", path, message, "upgrade the hierarchy as a whole, with 'ziggurat upgrade'")


_VERSIONED = ("plate", "well", "image-label")


def _stated_version(block: Mapping[str, JSON], prefix: str) -> str:
    return parsed_version(block.get("version")) if prefix else _version_in(block, ("multiscales", *_VERSIONED))


def _version_in(block: Mapping[str, JSON], keys: Sequence[str]) -> str:
    """Returns the first version that one of the blocks states; empty when none does."""
    held = (entry for key in keys for entry in ([block[key]] if isinstance(block.get(key), Mapping) else parts(block.get(key))))
    return next((version for entry in held if isinstance(entry, Mapping) and (version := parsed_version(entry.get("version")))), "")


def check_consolidated(node: Node, multiscales: Sequence[Multiscale]) -> Iterator[Problem]:
    """CON001: the consolidated copies, the group's and those of the groups of its levels, say what the documents say."""
    paths = [level.path for multiscale in multiscales for level in multiscale.levels if level.array is not None and level.location is None]
    yield from _compared(node, "", paths)
    below: dict[str, list[str]] = {}
    for path in paths:
        group, _, name = path.rpartition("/")
        below.setdefault(group, []).append(name)
    for group, names in below.items():
        try:
            yield from _compared(node.child(group), f"{group}/", names) if group else ()
        except DocumentError as error:
            yield problem("CON001", group, f"the copy cannot be compared ({error})", _AGAIN)


def _compared(node: Node, prefix: str, paths: Sequence[str]) -> Iterator[Problem]:
    """Yields the first difference between the copy that a group keeps and the documents below it, among them those of levels at `paths`."""
    copy = node.consolidated()
    if copy is None:
        return
    place = prefix + (".zmetadata" if node.zarr_format == 2 else "consolidated_metadata")
    for key, document in list(copy.items())[:MAX_COPIED]:
        path, _, name = key.rpartition("/")
        try:
            real = node.child(path) if path else node
            difference = _difference(real, name, document)
        except DocumentError as error:
            difference = f"cannot be compared ({error})"
        if difference:
            yield problem("CON001", f"{place}[{key!r}]", f"the copy {difference}", _AGAIN)
            return
    name = ".zarray" if node.zarr_format == 2 else "zarr.json"
    for path in paths:
        if f"{path}/{name}" not in copy:
            yield problem("CON001", place, f"the copy does not know level {prefix + path!r}", _AGAIN)
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
