"""Consolidated copies made anew from the documents that they copy. Source: formats.md 12."""

from __future__ import annotations

from collections.abc import Mapping

from ziggurat.conversion.tree import NOTHING, Hierarchy
from ziggurat.model import JSON

_EMPTY: Mapping[str, JSON] = {"kind": "inline", "must_understand": False, "metadata": {}}


def refreshed(before: Hierarchy, after: Hierarchy) -> dict[str, Mapping[str, JSON]]:
    """Returns the documents `after` with fresh consolidated copies in the groups that had one `before`, and in no other.

    A copy is a `.zmetadata` in Zarr v2 and a block of the group's `zarr.json` in v3, whichever format `after` is in. Only nodes
    of the hierarchy's own format are copied.
    """
    result = {key: document for key, document in after.items() if key.rpartition("/")[2] != ".zmetadata"}
    zarr_format = 3 if "zarr.json" in after else 2
    names = ("zarr.json",) if zarr_format == 3 else (".zgroup", ".zarray", ".zattrs")
    own = {key: document for key, document in result.items() if key.rpartition("/")[2] in names}
    for path in sorted(_with_copy(before), key=lambda path: path.count("/") if path else -1, reverse=True):
        start = f"{path}/" if path else ""
        below: dict[str, JSON] = {key[len(start) :]: document for key, document in own.items() if key.startswith(start)}
        if zarr_format == 2:
            old = before.get(f"{start}.zmetadata", NOTHING)
            result[f"{start}.zmetadata"] = {**old, "metadata": below, "zarr_consolidated_format": 1}
        elif f"{start}zarr.json" in result:
            group = result[f"{start}zarr.json"]
            block = group.get("consolidated_metadata")
            entries = {key.removesuffix("/zarr.json"): _inner(own[start + key]) for key in below if key != "zarr.json"}
            ordered: dict[str, JSON] = {key: entries[key] for key in sorted(entries, key=lambda key: (key.count("/"), key))}
            fresh = {**(block if isinstance(block, Mapping) else _EMPTY), "metadata": ordered}
            result[f"{start}zarr.json"] = {**group, "consolidated_metadata": fresh}
    return result


def _with_copy(documents: Hierarchy) -> set[str]:
    """Returns the paths of the groups that keep a copy."""
    found = {key.rpartition("/")[0] for key in documents if key.rpartition("/")[2] == ".zmetadata"}
    for key, document in documents.items():
        if key.rpartition("/")[2] == "zarr.json" and isinstance(document.get("consolidated_metadata"), Mapping):
            found.add(key.rpartition("/")[0])
    return found


def _inner(document: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Returns a child's document as it stands in a copy: groups carry an empty block, as zarr-python writes them."""
    return {**document, "consolidated_metadata": _EMPTY} if document.get("node_type") == "group" else document
