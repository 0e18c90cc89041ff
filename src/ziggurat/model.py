"""The layout-free model: Axis, ArrayInfo, Level, Multiscale. Frozen, standard library only.

Every layout reads into these types and writes from them. Physical numbers are in the CENTRE convention: the world
coordinate of sample `i` along an axis is `scale * i + translation`, and it is the coordinate of the sample's centre.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

JSON: TypeAlias = "Mapping[str, JSON] | list[JSON] | tuple[JSON, ...] | str | int | float | bool | None"
"""A JSON value as the `json` module gives it; mappings are read-only by agreement."""

Provenance = Literal["stated", "derived", "inferred", "absent"]
"""Where a number comes from: read from metadata; computed from stated factors; guessed from shapes; not there."""

Kind = Literal["image", "labels", "mask"]
"""What the samples mean: it decides the default reduction."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of every level of a multiscale, in stored (C) order."""

    name: str
    kind: str | None = None
    """`"space"`, `"time"`, `"channel"`, another word of the document's, or None when not said."""
    unit: str | None = None
    """The unit as the document spells it (OME: UDUNITS-2 long names such as `micrometer`)."""
    provenance: Provenance = "stated"
    extra: Mapping[str, JSON] = field(default_factory=dict, compare=False)


_KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "space": ("x", "y", "z", "lat", "lon", "latitude", "longitude", "easting", "northing", "depth", "height", "level", "lev"),
        "time": ("t", "time"),
        "channel": ("c", "channel", "channels", "band", "bands", "s"),
    }
)


def kind_of(name: str | None) -> str | None:
    """Returns what an axis of this name is by habit, None when the name does not tell.

    >>> kind_of("Z"), kind_of("lat"), kind_of("lambda")
    ('space', 'space', None)
    """
    low = (name or "").lower()
    return next((kind for kind, names in _KINDS.items() if low in names), None)


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """Facts of one stored array, as its own metadata document states them."""

    shape: tuple[int, ...]
    dtype: str
    """numpy's name in native order (`uint16`, `float32`, `bool`, `complex64`), or the document's own word when numpy has none."""
    chunks: tuple[int, ...]
    """Shape of the unit of decoding (the inner chunk of a shard)."""
    shards: tuple[int, ...] | None = None
    dimension_names: tuple[str | None, ...] | None = None
    fill_value: JSON = None
    zarr_format: int | None = None
    separator: str | None = None
    """Separator of the chunk keys, `"."` or `"/"`."""
    itemsize: int = 0
    """Bytes per sample; 0 when not known."""
    codecs: str = ""
    """The codec chain in words, such as `zstd 3`."""
    driver: str = "zarr"
    """Who decodes its chunks: `"zarr"`, `"n5"`, or another name of the table in `sources.drivers`."""
    document: Mapping[str, JSON] | None = field(default=None, compare=False)
    """What the driver needs where the array has no document of its own at its path (a scale of a precomputed volume, a page of a TIFF)."""

    @property
    def is_zero_filled(self) -> bool:
        """True when the fill value is zero, or there is none."""
        return self.fill_value is None or self.fill_value in (0, [0, 0], (0, 0))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def write_unit(self) -> tuple[int, ...]:
        """Shape of what one stored object holds: the shard, else the chunk."""
        return self.shards or self.chunks

    @property
    def n_chunks(self) -> int:
        return math.prod(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))

    @property
    def n_objects(self) -> int:
        """Number of stored objects of the full array."""
        return math.prod(-(-n // c) for n, c in zip(self.shape, self.write_unit, strict=True))

    @property
    def size_bytes(self) -> int:
        """Decoded size in bytes."""
        return math.prod(self.shape) * self.itemsize


@dataclass(frozen=True, slots=True)
class Level:
    """One array of a multiscale. Level 0 is the base; the index grows coarser."""

    path: str
    """Path of the array relative to the group that carries the metadata."""
    scale: tuple[float, ...] | None = None
    """Physical size of one sample step per axis, every transformation of the document applied."""
    translation: tuple[float, ...] | None = None
    """Physical coordinate of the centre of sample 0 per axis."""
    scale_provenance: Provenance = "absent"
    translation_provenance: Provenance = "absent"
    array: ArrayInfo | None = None
    """None when there is no array at `path`."""
    location: str | None = None
    """Where the array lies when it is not below the group (the target of a link); None when it is."""
    coordinates: Mapping[str, tuple[float | str, ...]] = field(default_factory=dict, compare=False)
    """By axis: the coordinate of every sample, where they are no arithmetic sequence: numbers, or words. Scale and translation are then
    those of the straight line through the first and the last sample (through the others where only the last, a partial window, leaves it)."""
    extra: Mapping[str, JSON] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Multiscale:
    """One set of levels with its metadata, largest level first whatever the document's order was."""

    levels: tuple[Level, ...]
    axes: tuple[Axis, ...]
    name: str | None = None
    type: str | None = None
    """The document's word for the reduction; an open vocabulary."""
    method: Mapping[str, JSON] | None = None
    """The UNPARSED `metadata` object, verbatim: no version of any format may transform its values."""
    layout: str = ""
    """Id of the layout that it was read from, such as `multiscales@0.1` or `ome-zarr@0.5`."""
    coarse_first: bool = False
    """True when the document listed the coarsest level first."""
    world: tuple[tuple[float, ...], ...] | None = None
    """Rotation or direction applied after scale and translation; None for the identity."""
    kind: Kind | None = None
    """What the samples mean, where the document says it."""
    extra: Mapping[str, JSON] = field(default_factory=dict, compare=False)
    """Unknown keys of the multiscale, verbatim."""
    raw: Mapping[str, JSON] = field(default_factory=dict, compare=False)
    """The document's entry as it was read, for a write-back that changes nothing it need not."""

    @property
    def n_levels(self) -> int:
        return len(self.levels)

    @property
    def ndim(self) -> int:
        return len(self.axes)


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Facts of a base before levels are built on it, as its own file or object states them."""

    location: str
    """Where it is, for messages."""
    name: str
    """Stem of the file, or name of the array: the default name of what is built."""
    array: ArrayInfo
    """`chunks` is the unit in which the source is read."""
    axes: tuple[Axis, ...] | None = None
    """None when the source says nothing."""
    scale: tuple[float, ...] | None = None
    translation: tuple[float, ...] | None = None
    coordinates: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """By axis name the centres of samples that no scale places, such as Gaussian latitudes; the scale of such an axis is 1."""
    kind: Kind | None = None
    """None when there is no evidence beyond the dtype."""
    kind_reason: str = ""
    array_document: Mapping[str, JSON] | None = None
    """The base's own metadata document when it is a Zarr array, so that a copy can keep its codecs."""
    group: str | None = None
    """URL or path of the Zarr group that holds the base; None when it is no Zarr array, or a root array without a group."""
    path: str = ""
    """Path of the base array inside `group`."""
    stamps: tuple[tuple[str, str], ...] = ()
    """(key, size and time or etag) of a few sampled chunks or files, for the fingerprint of a plan."""
    notes: tuple[str, ...] = ()
    """What was inferred and should be said to the user, one sentence each."""
