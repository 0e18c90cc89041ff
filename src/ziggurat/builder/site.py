"""The arrays of a build: where their documents and chunks go while it runs, and how they come to their place when it is published."""

from __future__ import annotations

import glob
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

from ziggurat import storage
from ziggurat.builder.targets import Destination, work_folder
from ziggurat.builder.tasks import RESIDUAL, coverage_key, level_of, second_key, side_keys
from ziggurat.chunkio import (
    PARTIAL_SUFFIX,
    ArraySpec,
    ByteStore,
    ChunkReader,
    ChunkWriter,
    Codec,
    FileStore,
    TargetStore,
    array_documents,
    array_facts,
    codec_of,
    fill_scalar,
)
from ziggurat.journal import FOLDER, home_of
from ziggurat.model import JSON, SourceInfo
from ziggurat.planner import BuildPlan
from ziggurat.planner.plan import LevelPlan
from ziggurat.problems import OptionError, StorageError

_UNITS = MappingProxyType({"nanometer": "nm", "micrometer": "um", "millimeter": "mm", "meter": "m", "angstrom": "Å"})
"""COSEM's short spellings. Source: formats.md 3.1."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where one build works."""

    plan: BuildPlan
    info: SourceInfo
    store: ByteStore
    home: TargetStore | None
    """The group as a store that holds the journal; None where it can hold none, and a build that stops begins again."""
    prefix: str
    """Of the group inside `store`, with a slash at its end, or empty."""
    staging: str
    """Prefix of level paths until they are moved to their place; empty when they are built there."""
    folder: Path | None
    """Local folder of the group as it is being built; None for other stores."""
    final: Path | None
    """Local folder of the group when it is published."""

    def key(self, k: int) -> str:
        """Returns the path of level `k` inside the store."""
        staged = self.staging if k or not self.plan.in_place else ""
        return f"{self.prefix}{staged}{self.path(k)}"

    def path(self, k: int) -> str:
        """Returns the path of level `k` inside the group when it is published."""
        if k == RESIDUAL:
            return self.plan.residual_base or ""
        level = self.plan.levels[level_of(k)]
        if k >= 0:
            return level.path
        return f"{self.plan.coverage if k == coverage_key(level_of(k)) else self.plan.second}/{level.path}"

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of every array of the multiscale, the base's where it stays included."""
        return (self.path(0), *(self.path(k) for k in self.written if k))

    @property
    def written(self) -> tuple[int, ...]:
        """Levels whose arrays this build makes."""
        levels = [k for k in range(self.plan.n_levels) if k or self.plan.base != "stays"]
        beside = [key for k in range(1, self.plan.n_levels) for key in side_keys(self.plan, k)]
        return (*levels, RESIDUAL, *beside) if self.plan.residual_base else (*levels, *beside)

    def create(self) -> dict[int, ChunkWriter]:
        """Writes the documents of every new array and returns their writers. Raises StorageError."""
        return {k: storage.create_array(self.store, self.key(k), self._spec(k), write_empty=self.plan.write_empty) for k in self.written}

    def documents(self, k: int) -> dict[str, JSON]:
        """Returns the documents of a level's array by the name of their file."""
        return array_documents(self._spec(k))

    def reader(self, k: int) -> ChunkReader:
        """Returns the reader of a level that is built."""
        main = self.documents(k)["zarr.json" if self.plan.zarr_format == 3 else ".zarray"]
        if not isinstance(main, Mapping):
            raise StorageError(f"{self.key(k)}: its document is no object")
        return storage.open_array(self.store, self.key(k), main, self.plan.zarr_format)

    def _spec(self, k: int) -> ArraySpec:
        plan, level = self.plan, self.plan.levels[level_of(k)]
        holds_samples = k >= RESIDUAL or k == second_key(level_of(k))
        dtype = np.dtype(plan.levels[-1].dtype if k == RESIDUAL else level.dtype if holds_samples else np.float32)
        verbatim = k == 0 and plan.base == "verbatim"
        if verbatim and _is_big_endian(self.info):
            dtype = dtype.newbyteorder(">")
        zarr_format: Literal[2, 3] = 2 if plan.zarr_format == 2 else 3
        return ArraySpec(
            shape=level.shape,
            dtype=dtype,
            chunks=level.chunks,
            shards=level.shards,
            codec=level_codec(plan, self.info),
            fill_value=_fill_value(plan, dtype) if holds_samples else 0,
            dimension_names=tuple(a.name for a in plan.axes),
            zarr_format=zarr_format,
            separator="." if plan.separator == "." else "/",
            attributes=_geometry(plan, level) if plan.array_geometry else {},
        )

    def sweep(self) -> None:
        """Removes half-written files that a killed build left beside its chunks and documents."""
        if self.folder is None:
            return
        for k in self.written:
            for left in (self.folder / self.key(k)[len(self.prefix) :]).rglob(f"*{PARTIAL_SUFFIX}"):
                left.unlink(missing_ok=True)
        for left in self.folder.glob(f"*{PARTIAL_SUFFIX}"):
            left.unlink(missing_ok=True)

    def _moving(self, folder: Path) -> Path:
        return folder / FOLDER / self.plan.fingerprint / "moving"

    def was_moving(self) -> bool:
        """True when an earlier run was stopped between moving levels to their place and publishing them."""
        return self.folder is not None and self._moving(self.folder).exists()

    def replace_old(self, replaced: Sequence[str]) -> None:
        """Moves what was staged to its place, and the levels of the series that are replaced aside, below the journal."""
        if not self.staging or self.folder is None:
            return
        aside = self.folder / FOLDER / self.plan.fingerprint / "old"
        self._moving(self.folder).touch()
        ours = [self.path(k) for k in self.written]
        for path in dict.fromkeys([*replaced, *ours]):
            if (self.folder / path).exists():
                (aside / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(self.folder / path, aside / path)
        for path in ours:
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.folder / self.staging / path, self.folder / path)

    def move_home(self) -> None:
        """Puts a new store in the place of the old one, which is moved aside first and removed after. Raises StorageError."""
        if self.folder is None or self.final is None or self.folder == self.final:
            return
        prefix = f".{self.final.name}.ziggurat-old-"
        aside = self.final.with_name(f"{prefix}{uuid.uuid4().hex[:8]}")
        try:
            os.replace(self.final, aside)
            os.replace(self.folder, self.final)
        except OSError as error:
            raise StorageError(f"{self.final}: cannot be replaced ({error.strerror or error}); the new store is {self.folder}") from error
        for old in self.final.parent.glob(f"{glob.escape(prefix)}{'[0-9a-f]' * 8}"):  # also what a run left that was killed here
            shutil.rmtree(old) if old.is_dir() else old.unlink()


def open_site(destination: Destination, plan: BuildPlan, info: SourceInfo) -> Site:
    """Returns the site of a build; touches nothing."""
    work = work_folder(destination, plan)
    prefix = f"{destination.prefix.strip('/')}/" if destination.prefix.strip("/") else ""
    root = destination.root
    if work is not None and work != destination.folder:
        root = str(work)
    store = storage.open_store(root, writable=True, durability=plan.durability)
    staging = f"{FOLDER}/{plan.fingerprint}/new/" if plan.in_place and destination.overwrite and work is not None else ""
    home = FileStore(work, durability=plan.durability) if work is not None else home_of(store, prefix)
    return Site(plan, info, store, home, prefix, staging, work, destination.folder)


def level_codec(plan: BuildPlan, info: SourceInfo) -> Codec:
    """Returns the codec of all levels: as said, the base's, or the default of the format."""
    if plan.codecs is not None:
        return parse_codec(plan.codecs)
    source = info.array_document
    if source is not None and info.array.zarr_format is not None:
        codec = codec_of(source, info.array.zarr_format)
        if codec.name != "other" or info.array.zarr_format == plan.zarr_format:
            return codec if plan.zarr_format == 3 else replace(codec, crc32c=False)
    return Codec() if plan.zarr_format == 3 else Codec("blosc")


def parse_codec(text: str) -> Codec:
    """Returns the codec that a text such as `"zstd 3"`, `"blosc-zstd 5 bitshuffle"`, `"gzip 6"` or `"raw"` names. Raises OptionError.

    >>> parse_codec("zstd 5 crc32c").level, parse_codec("blosc-lz4 3").cname
    (5, 'lz4')
    """
    words = text.replace(",", " ").lower().split()
    name, _, cname = (words[0] if words else "").partition("-")
    name = {"none": "raw", "uncompressed": "raw"}.get(name, name)
    if name not in ("zstd", "blosc", "gzip", "zlib", "raw"):
        raise OptionError(f"codecs: found {text!r}, expected zstd, blosc, gzip, zlib or raw, with a level, such as 'zstd 3' or 'blosc-zstd 3 shuffle'")
    level, shuffle, crc = {"gzip": 5, "zlib": 5}.get(name, 3), "shuffle", False
    for word in words[1:]:
        if word.lstrip("-").isdigit():
            level = int(word)
        elif word in ("shuffle", "noshuffle", "bitshuffle") and name == "blosc":
            shuffle = word
        elif word == "crc32c":
            crc = True
        else:
            raise OptionError(f"codecs: found {word!r} in {text!r}, expected a level, crc32c, and for blosc shuffle, noshuffle or bitshuffle")
    low, high = (-7, 22) if name == "zstd" else (0, 9)
    if not low <= level <= high:
        raise OptionError(f"codecs: found level {level} in {text!r}, expected {low} to {high} for {name}")
    return Codec(name, level, cname or "zstd", shuffle, crc32c=crc)  # type: ignore[arg-type]


def _is_big_endian(info: SourceInfo) -> bool:
    return info.array_document is not None and info.array.zarr_format is not None and array_facts(info.array_document, info.array.zarr_format).big_endian


def _fill_value(plan: BuildPlan, dtype: np.dtype[np.generic]) -> JSON:
    """Returns the fill value as a document says it; 0 where the array's dtype is another than the base's and cannot hold it."""
    try:
        fill_scalar(plan.fill_value, dtype)
    except OptionError:
        return 0
    return plan.fill_value


def _geometry(plan: BuildPlan, level: LevelPlan) -> dict[str, JSON]:
    """Returns scale, translation, unit and axes in COSEM's form. Source: formats.md 3.1, 15.15."""
    transform: dict[str, JSON] = {
        "axes": [a.name for a in plan.axes],
        "units": [_UNITS.get(a.unit or "", a.unit or "") for a in plan.axes],
        "scale": list(level.scale),
        "translate": list(level.translation),
    }
    return {"transform": transform}


def n_expected(site: Site) -> dict[int, int]:
    """Returns how many chunks of each level must have been handed to a writer before the build may be published."""
    return {k: site.plan.levels[level_of(k)].n_chunks for k in site.written}
