"""Checks of zipped OME-Zarr. Source: OME-NGFF RFC-9; formats.md 2.5."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ziggurat.layouts.rules import problem
from ziggurat.problems import Problem

SUFFIX = ".ozx"
_NESTED = (".zip", ".ozx")


@dataclass(frozen=True, slots=True)
class Stored:
    """One file of an archive."""

    name: str
    compressed: bool


@dataclass(frozen=True, slots=True)
class Archive:
    """What an archive says of itself, in the order of its directory."""

    location: str
    entries: tuple[Stored, ...]
    comment: bytes
    is_64: bool


def check_archive(archive: Archive) -> Iterator[Problem]:
    """Yields what RFC-9 asks for and the archive has otherwise."""
    names = [entry.name for entry in archive.entries]
    if "zarr.json" not in names:
        below = next((name for name in names if name.count("/") == 1 and name.endswith(("/zarr.json", "/.zgroup"))), None)
        found = f"found it in {below.rpartition('/')[0]!r}" if below else "it is not there"
        yield problem("ZIP001", "zarr.json", f"{found}; expected it at the root of the archive", "zip what is in the folder, not the folder")
        return
    nested = next((name for name in names if name.lower().endswith(_NESTED)), None)
    if nested is not None:
        yield problem("ZIP002", nested, "an archive in the archive; one holds one hierarchy", "unpack it, or leave it out")
    if not archive.location.lower().endswith(SUFFIX):
        yield problem("ZIP003", "", f"found a name that does not end with {SUFFIX!r}", f"rename it, such as 'image{SUFFIX}'")
    documents = [name for name in names if name.rpartition("/")[2] == "zarr.json"]
    first = documents_first(names)
    if not first:
        hint = "write the root's zarr.json first, then the others breadth first, then the chunks"
        yield problem("ZIP004", names[0], "the documents do not come first, each level before the next", hint)
    packed = [entry.name for entry in archive.entries if entry.compressed]
    if packed:
        yield problem(
            "ZIP005", packed[0], f"{len(packed):,} of {len(names):,} files are compressed by the archive", "store them as they are; chunks have codecs"
        )
    yield from _comment(archive.comment, first, len(documents))
    if not archive.is_64:
        yield problem("ZIP007", "", "found the record of the classic form", "write the archive in the ZIP64 form")


def documents_first(names: Sequence[str]) -> bool:
    """Tells whether the root's `zarr.json` comes first and all others follow it, breadth first, before anything else.

    >>> documents_first(["zarr.json", "0/zarr.json", "labels/a/zarr.json", "0/c/0"]), documents_first(["0/zarr.json", "zarr.json"])
    (True, False)
    """
    documents = [name for name in names if name.rpartition("/")[2] == "zarr.json"]
    depths = [name.count("/") for name in documents]
    return list(names[: len(documents)]) == documents and documents[:1] == ["zarr.json"] and depths == sorted(depths)


def _comment(comment: bytes, first: bool, n_documents: int) -> Iterator[Problem]:
    hint = 'write {"ome": {"version": "0.5"}} as its comment'
    try:
        value = json.loads(comment.decode("utf-8")) if comment else None
    except (ValueError, RecursionError):
        yield problem("ZIP006", "comment", "the archive's comment is no JSON", hint)
        return
    ome = value.get("ome") if isinstance(value, dict) else None
    if not isinstance(ome, dict) or not isinstance(ome.get("version"), str):
        yield problem("ZIP006", "comment", "is absent" if value is None else "does not state 'ome' with a version", hint)
        return
    stated: object = ome
    for key in ("zipFile", "centralDirectory", "jsonFirst"):
        stated = stated.get(key) if isinstance(stated, dict) else None
    if stated is True and not first:
        yield problem("ZIP006", "comment", f"says jsonFirst, and the {n_documents:,} documents do not come first", "sort the archive, or leave jsonFirst out")
