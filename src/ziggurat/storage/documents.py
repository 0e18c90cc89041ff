"""Metadata documents into stores, and their consolidated copies."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

from ziggurat.chunkio import ByteStore, FileStore
from ziggurat.model import JSON
from ziggurat.node import dumps
from ziggurat.problems import DocumentError


def write_documents(store: ByteStore, documents: Iterable[tuple[str, JSON]]) -> None:
    """Writes documents one by one in the order given, each whole or not at all.

    In a `FileStore` each is written beside its place, synced, moved over the old one, and its directory synced, before the
    next begins (unless the store's durability is `"none"`): after a power cut the documents are a prefix of the list. All
    are turned into bytes before the first is written.

    Raises
    ------
    DocumentError
        When a document is no strict JSON; nothing is written then.
    StorageError
        When the store fails; the documents before the one named are written.
    """
    encoded = [(key, dumps(document, key)) for key, document in documents]
    synced = isinstance(store, FileStore) and store.durability != "none"
    for key, data in encoded:
        if synced and isinstance(store, FileStore):
            store.put_synced(key, [data])
        else:
            store.put(key, [data])


def consolidated(documents: Mapping[str, JSON]) -> dict[str, JSON]:
    """Returns the consolidated copy of a hierarchy: the new `zarr.json` of its root, or its `.zmetadata`.

    Value for value what zarr-python from 3.1.1 on makes: entries sorted by depth, then by name; in v3 each group below
    carries an empty block of its own, in v2 its `.zgroup` does.

    Parameters
    ----------
    documents
        Key relative to the root (`zarr.json`, `0/zarr.json`, or `.zgroup`, `.zattrs`, `0/.zarray`) -> document. An
        `.zmetadata`, and blocks that the documents carry already, are left out.

    Raises
    ------
    DocumentError
        When the root's own document is missing, or v2 and v3 are mixed.

    Notes
    -----
    Source: formats.md 12. Consolidated metadata is zarr-python's convention; in v3 it is no part of the specification.

    Examples
    --------
    >>> consolidated({"zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": {}}})["consolidated_metadata"]
    {'kind': 'inline', 'must_understand': False, 'metadata': {}}
    """
    nodes: dict[str, dict[str, Mapping[str, JSON]]] = {}
    for key, document in documents.items():
        path, _, name = key.rpartition("/")
        if name == ".zmetadata":
            continue
        if not isinstance(document, Mapping):
            raise DocumentError(f"{key}: holds {type(document).__name__}; expected an object")
        nodes.setdefault(path, {})[name] = document
    names = {name for node in nodes.values() for name in node}
    if "zarr.json" in names and len(names) > 1:
        raise DocumentError(f"documents {sorted(names)!r}: v2 and v3 are mixed; consolidate one format at a time")
    root = nodes.pop("", {})
    if not root.keys() & {"zarr.json", ".zgroup"}:
        raise DocumentError("the root's own document is missing; expected 'zarr.json' or '.zgroup'")
    below = sorted(nodes.items(), key=lambda item: (item[0].count("/"), unicodedata.normalize("NFKC", item[0]).casefold()))
    return _block_v3(root["zarr.json"], below) if "zarr.json" in root else _zmetadata(root, below)


def _empty_block() -> dict[str, JSON]:
    return {"kind": "inline", "must_understand": False, "metadata": {}}


def _block_v3(root: Mapping[str, JSON], below: list[tuple[str, dict[str, Mapping[str, JSON]]]]) -> dict[str, JSON]:
    metadata: dict[str, JSON] = {}
    for path, node in below:
        document = dict(node["zarr.json"])
        if document.get("node_type") == "group":
            document["consolidated_metadata"] = _empty_block()
        metadata[path] = document
    return {**root, "consolidated_metadata": {**_empty_block(), "metadata": metadata}}


def _zmetadata(root: Mapping[str, Mapping[str, JSON]], below: list[tuple[str, dict[str, Mapping[str, JSON]]]]) -> dict[str, JSON]:
    metadata: dict[str, JSON] = {".zgroup": root[".zgroup"], ".zattrs": root.get(".zattrs", {})}
    for path, node in below:
        metadata[f"{path}/.zattrs"] = node.get(".zattrs", {})
        if ".zarray" in node:
            metadata[f"{path}/.zarray"] = node[".zarray"]
        elif ".zgroup" in node:
            metadata[f"{path}/.zgroup"] = {**node[".zgroup"], "consolidated_metadata": _empty_block()}
    return {"metadata": metadata, "zarr_consolidated_format": 1}
