"""Neuroglancer precomputed: one `info` beside the folders of its scales, which are boxes of voxels in nanometers.

Sizes run x, y, z, the samples too, with channels last and x the fastest: in the stored order of axes that is c, z, y, x. `voxel_offset` counts
whole voxels of its own scale to the lower corner. Several scales of one resolution, and several `chunk_sizes`, are chunkings of the same
samples: each is a multiscale. Source: google/neuroglancer, volume.md; formats.md 0.2, 11.1, 15.5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType

from ziggurat import geometry
from ziggurat.layouts import mipmaps
from ziggurat.layouts.ports import Evidence, Facts, ReadOnly
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, ArrayInfo, Axis, Kind, Level, Multiscale
from ziggurat.node import Node, loads, resolve, word
from ziggurat.problems import DocumentError, Problem

NAME = "precomputed"
ID = f"{NAME}@1"
DRIVER = "precomputed"
INFO = "info"
MAX_SCALES = 1000
_SIZES: Mapping[str, int] = MappingProxyType({f"{sign}int{8 * n}": n for sign in ("", "u") for n in (1, 2, 4, 8)} | {"float32": 4})
_KINDS: Mapping[str, Kind] = MappingProxyType({"image": "image", "segmentation": "labels"})
ENCODINGS = ("raw", "jpeg", "png", "jxl", "compressed_segmentation", "compresso")


@dataclass(frozen=True, slots=True)
class Volume:
    """What holds for all scales."""

    info: Mapping[str, JSON]
    dtype: str
    n_channels: int

    @property
    def axes(self) -> tuple[Axis, ...]:
        space = tuple(Axis(name, "space", "nanometer") for name in "zyx")
        return (Axis("c", "channel"), *space) if self.n_channels > 1 else space


@dataclass(frozen=True, slots=True)
class PrecomputedLayout(ReadOnly):
    """`precomputed@1`: the format states no version."""

    name: str = NAME
    versions: tuple[str, ...] = ("1",)

    @property
    def facts(self) -> Facts:
        return Facts(
            title="Neuroglancer precomputed",
            marks="a file `info` with `scales`",
            geometry="`voxel_offset` x `resolution` is the lower corner of the first sample, so its centre lies at (`voxel_offset` + 1/2) x `resolution`",
            axes="x, y, z and channels in the document; c, z, y, x (z, y, x for one channel) in the stored order",
            keeps="read only; raw chunks are read here, all other encodings and shards by tensorstore (extra `neuroglancer`)",
            source="google/neuroglancer, datasource/precomputed/volume.md",
            software=("Neuroglancer", "tensorstore", "CloudVolume", "igneous"),
        )

    def detect(self, node: Node) -> Evidence | None:
        info = _info(node)
        return None if info is None or "scales" not in info else Evidence(ID, "declared", "a file 'info' holds 'scales'")

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        info = _info(node)
        scales = None if info is None else info.get("scales")
        if info is None or not isinstance(scales, (list, tuple)) or not scales:
            return (), (problem("PRE001", "scales", f"is {word(scales)}; expected a list of at least one object", "write the info again"),)
        volume, problems = _volume(info)
        if volume is None:
            return (), tuple(problems)
        levels: list[Level] = []
        for i, scale in enumerate(scales[:MAX_SCALES]):
            found, wrong = _levels(volume, scale, i)
            levels += found
            problems += wrong
        problems += _order(levels)
        series = [_multiscale(volume, chosen, info) for chosen in _chunkings(levels)]
        problems += _corners(series[0]) if series else []
        return tuple(series), tuple(problems)


LAYOUT = PrecomputedLayout()


def _info(node: Node) -> Mapping[str, JSON] | None:
    """Returns the `info` of a place that is no node of a container, None where there is none or it is another document."""
    if node.container is not None:
        return None
    data = node.file(INFO)
    if data is None or data.lstrip()[:1] != b"{":
        return None
    value = loads(data, f"{node.location}/{INFO}")
    return value if isinstance(value, Mapping) else None


def _volume(info: Mapping[str, JSON]) -> tuple[Volume | None, list[Problem]]:
    dtype, n_channels = info.get("data_type"), info.get("num_channels")
    problems = []
    if not isinstance(dtype, str) or dtype.lower() not in _SIZES:
        problems.append(problem("PRE002", "data_type", f"is {dtype!r}; expected one of {', '.join(_SIZES)}", "correct it"))
    if not isinstance(n_channels, int) or isinstance(n_channels, bool) or not 1 <= n_channels < 2**31:
        problems.append(problem("PRE002", "num_channels", f"is {n_channels!r}; expected a whole number of at least 1", "correct it"))
        return None, problems
    if problems or not isinstance(dtype, str):
        return None, problems
    said = info.get("type")
    if said not in ("image", "segmentation"):
        problems.append(problem("PRE003", "type", f"is {said!r}; expected image or segmentation", "say what the samples are"))
    return Volume(info, dtype.lower(), n_channels), problems


def _levels(volume: Volume, scale: JSON, index: int) -> tuple[list[Level], list[Problem]]:
    """Returns one level per chunking of a scale."""
    loc = f"scales[{index}]"
    if not isinstance(scale, Mapping):
        return [], [problem("PRE001", loc, f"found {word(scale)}; expected an object", "write the info again")]
    try:
        path = resolve(scale.get("key"), "key")
    except DocumentError as error:
        return [], [problem("PRE004", f"{loc}.key", str(error).removeprefix("key "), "keep the chunks below the info")]
    size, resolution = _whole(scale.get("size"), 0), mipmaps.positive(mipmaps.numbers(scale.get("resolution"), 3))
    offset = mipmaps.numbers(scale.get("voxel_offset", [0, 0, 0]), 3)
    chunk_sizes = scale.get("chunk_sizes")
    chunks = [_whole(chunk, 1) for chunk in chunk_sizes] if isinstance(chunk_sizes, (list, tuple)) else []
    usable = [chunk for chunk in chunks if chunk is not None]
    bad = next((key for key, ok in (("size", size), ("resolution", resolution), ("voxel_offset", offset), ("chunk_sizes", usable)) if not ok), None)
    if size is None or resolution is None or offset is None or not usable or len(usable) != len(chunks):
        key = bad or "chunk_sizes"
        shown = scale.get(key)
        return [], [problem("PRE005", f"{loc}.{key}", f"is {shown if len(str(shown)) < 80 else word(shown)!r}; expected numbers along x, y, z", "correct it")]
    problems = []
    encoding = scale.get("encoding")
    if encoding not in ENCODINGS:
        problems.append(problem("PRE006", f"{loc}.encoding", f"is {encoding!r}; expected one of {', '.join(ENCODINGS)}", "correct it"))
    first = _level(volume, scale, index, path, usable[0])
    return [first, *(_chunked(first, chunk) for chunk in usable[1:])], problems


def _chunked(level: Level, chunk: tuple[int, ...]) -> Level:
    """Returns the level in other chunks: where it lies is the same."""
    array = level.array
    if array is None:
        return level
    lead = array.chunks[: len(array.chunks) - len(chunk)]
    return replace(level, array=replace(array, chunks=lead + chunk, document={**(array.document or {}), "chunk": list(chunk)}))


def _level(volume: Volume, scale: Mapping[str, JSON], index: int, path: str, chunk: tuple[int, ...]) -> Level:
    size, resolution = _whole(scale.get("size"), 0) or (), mipmaps.numbers(scale.get("resolution")) or ()
    offset = mipmaps.numbers(scale.get("voxel_offset", [0, 0, 0])) or ()
    corners = [float(o * r) for o, r in zip(mipmaps.exact(offset), mipmaps.exact(resolution), strict=True)]
    steps = tuple(map(float, resolution))
    centres = tuple(geometry.centre_of(corner, step) for corner, step in zip(corners, steps, strict=True))
    many = volume.n_channels > 1
    sharded = "sharding" in scale and scale["sharding"] is not None
    document: dict[str, JSON] = {"data_type": volume.dtype, "num_channels": volume.n_channels, "scale": dict(scale), "index": index, "chunk": list(chunk)}
    array = ArrayInfo(
        shape=((volume.n_channels,) if many else ()) + size,
        dtype=volume.dtype,
        chunks=((volume.n_channels,) if many else ()) + chunk,
        fill_value=0,
        itemsize=_SIZES[volume.dtype],
        codecs=f"{scale.get('encoding')}{', sharded' if sharded else ''}",
        driver=DRIVER,
        document=document,
    )
    lead, zero = ((1.0,), (0.0,)) if many else ((), ())
    extra = {key: value for key, value in scale.items() if key not in ("key", "size", "resolution", "voxel_offset", "chunk_sizes", "encoding", "sharding")}
    return Level(path, lead + steps, zero + centres, "stated", "stated", array, extra=extra)


def _whole(value: JSON, least: int) -> tuple[int, ...] | None:
    """Returns three whole numbers in stored order."""
    found = mipmaps.numbers(value, 3)
    whole = tuple(v for v in found or () if isinstance(v, int) and least <= v < 2**63)
    return whole if len(whole) == 3 else None


def _chunkings(levels: Sequence[Level]) -> list[list[Level]]:
    """Returns the levels by series: the first chunking of every resolution, then those that have a second one, ..."""
    by_place: dict[tuple[object, ...], list[Level]] = {}
    for level in levels:
        by_place.setdefault((level.scale, level.translation, level.array.shape if level.array else ()), []).append(level)
    most = max(map(len, by_place.values()), default=0)
    return [[same[k] for same in by_place.values() if len(same) > k] for k in range(most)]


def _multiscale(volume: Volume, levels: Sequence[Level], info: Mapping[str, JSON]) -> Multiscale:
    ranked = sorted(levels, key=lambda level: (-_n_samples(level), level.scale or ()))
    extra = {key: value for key, value in info.items() if key not in ("scales", "data_type", "num_channels", "type", "@type")}
    return Multiscale(tuple(ranked), volume.axes, layout=ID, kind=_KINDS.get(str(info.get("type"))), extra=extra)


def _n_samples(level: Level) -> int:
    return 0 if level.array is None else math.prod(level.array.shape)


def _order(levels: Sequence[Level]) -> list[Problem]:
    for before, after in pairwise(levels):
        if any(b < a for a, b in zip(before.scale or (), after.scale or (), strict=False)):
            message = f"{after.path!r} has the resolution {list(after.scale or ())}, finer than that before it, {list(before.scale or ())}, in stored order"
            return [problem("PRE007", "scales", message, "list the finest scale first")]
    return []


def _corners(multiscale: Multiscale) -> list[Problem]:
    """Returns the levels whose lower corner is not that of the base: offsets are whole voxels of each scale, so they were rounded."""
    base = multiscale.levels[0]
    problems = []
    for level in multiscale.levels[1:]:
        pairs = [
            (geometry.corner_of(t0, s0), geometry.corner_of(t, s))
            for t0, s0, t, s in zip(base.translation or (), base.scale or (), level.translation or (), level.scale or (), strict=True)
        ]
        if any(abs(a - b) > 1e-6 * abs(s) for (a, b), s in zip(pairs, level.scale or (), strict=True)):
            message = f"{level.path!r} begins at {[b for _, b in pairs]}, the base at {[a for a, _ in pairs]} nm, in stored order"
            problems.append(problem("PRE008", "scales", message, "offsets are whole voxels of each scale, so this one was rounded or the samples were picked"))
    return problems
