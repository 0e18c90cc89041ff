"""The zarr-conventions that a group may declare: who they are, how they are recognised, how an entry is appended.

Source: formats.md 10.1, 10.7, 15.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from ziggurat.layouts import series as listed
from ziggurat.model import JSON


class Convention(NamedTuple):
    """One convention, by the constants that its schema fixes."""

    name: str
    uuid: str
    description: str
    owners: tuple[str, ...]
    """Ends of `owner/repository` that its addresses had, drafts included."""

    @property
    def entry(self) -> dict[str, JSON]:
        """What a writer appends to `zarr_conventions`: the addresses of the released tag."""
        return {
            "uuid": self.uuid,
            "schema_url": f"https://raw.githubusercontent.com/zarr-conventions/{self.name}/refs/tags/v0.1/schema.json",
            "spec_url": f"https://github.com/zarr-conventions/{self.name}/blob/v0.1/README.md",
            "name": self.name,
            "description": self.description,
        }


MULTISCALES = Convention(
    "multiscales",
    "d35379db-88df-4056-af3a-620245f8e347",
    "Multiscale layout of zarr datasets",
    ("zarr-conventions/multiscales", "zarr-experimental/multiscales"),
)
SPATIAL = Convention(
    "spatial", "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "Spatial coordinate information", ("zarr-conventions/spatial", "zarr-experimental/spatial")
)
PROJ = Convention(
    "proj",
    "f17cb550-5864-4468-aeb7-f3180cfb622f",
    "Coordinate reference system information for geospatial data",
    ("zarr-conventions/proj", "zarr-conventions/geo-proj", "zarr-experimental/proj", "zarr-experimental/geo-proj"),
)
CONVENTIONS: Mapping[str, Convention] = MappingProxyType({c.uuid: c for c in (MULTISCALES, SPATIAL, PROJ)})
IDENTIFIERS = ("uuid", "schema_url", "spec_url")
FIELDS = (*IDENTIFIERS, "name", "description")
"""Every key that an entry may have."""


def names(entry: Mapping[str, JSON], convention: Convention) -> bool:
    """True when an entry names a convention: by its UUID, or where it has none by the address of its schema or text, of any tag."""
    if "uuid" in entry:
        return entry["uuid"] == convention.uuid
    texts = [text for text in (entry.get("schema_url"), entry.get("spec_url")) if isinstance(text, str)]
    return any(f"/{owner}/" in text for text in texts for owner in convention.owners)


def declares(value: JSON, convention: Convention) -> bool:
    """True when a list of conventions names one."""
    return any(names(entry, convention) for entry in listed.parts(value))


def worded(entries: Sequence[JSON]) -> list[JSON]:
    """Returns the entries with the words of the released tag, where they name a convention that is known; others are never touched."""

    def of(entry: JSON) -> JSON:
        known = next((c for c in CONVENTIONS.values() if isinstance(entry, Mapping) and names(entry, c)), None)
        return entry if known is None or not isinstance(entry, Mapping) else {**entry, **known.entry}

    return [of(entry) for entry in entries]


def appended(value: JSON, convention: Convention) -> list[JSON]:
    """Returns the list with an entry for a convention: one that is there stays as it is, whatever its tag; others are never touched."""
    entries: list[JSON] = list(value) if isinstance(value, (list, tuple)) else []
    return entries if declares(entries, convention) else [*entries, convention.entry]
