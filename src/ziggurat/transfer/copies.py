"""Consolidated copies of documents: made anew where there was one, told of where they lie above what is changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ziggurat.conversion import Hierarchy
from ziggurat.model import JSON
from ziggurat.node import FileNode
from ziggurat.storage import consolidated


def with_fresh_copies(before: Hierarchy, after: Hierarchy, also: Iterable[str] = ()) -> dict[str, Mapping[str, JSON]]:
    """Returns the documents `after` with fresh consolidated copies in the groups that had one `before`, in those `also` named, and in no other."""
    names = {"zarr.json"} if "zarr.json" in after else {".zgroup", ".zarray", ".zattrs"}
    own = {key: document for key, document in after.items() if key.rpartition("/")[2] in names}
    result = {key: document for key, document in after.items() if key.rpartition("/")[2] != ".zmetadata"}
    with_copy = {*also} | {key.rpartition("/")[0] for key, document in before.items() if key.endswith(".zmetadata") or "consolidated_metadata" in document}
    for path in sorted(with_copy, key=lambda path: -len(path)):
        start = f"{path}/" if path else ""
        if f"{start}zarr.json" in own or f"{start}.zgroup" in own:
            copy = consolidated({key[len(start) :]: document for key, document in own.items() if key.startswith(start)})
            result[f"{start}zarr.json" if "zarr.json" in names else f"{start}.zmetadata"] = copy
    return result


def stale_copies_above(root: Path) -> list[str]:
    """Returns a note for every consolidated copy above `root`, which a change below makes stale."""
    found = []
    for above in root.absolute().parents:
        if not any((above / name).exists() for name in (".zgroup", "zarr.json")):
            break
        node = FileNode(above)
        if node.consolidated() is not None:
            found.append(f"{above}: keeps a consolidated copy of this group's old documents; consolidate it again")
    return found
