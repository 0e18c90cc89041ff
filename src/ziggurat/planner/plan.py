"""`BuildPlan`: everything that a build will do, as plain frozen data that is printed, stored as JSON, sent to workers and resumed from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from ziggurat.geometry import AxisWindows
from ziggurat.model import JSON, Axis, Kind
from ziggurat.planner.options import Durability
from ziggurat.planner.tiles import Pass, Shape, n_tiles
from ziggurat.problems import PlanError
from ziggurat.reductions import word_of

Base = Literal["stays", "verbatim", "encoded"]
"""What becomes of level 0: it stays where it is; its stored objects are copied as they are; it is encoded again."""

_NOT_IN_FINGERPRINT = ("fingerprint", "threads", "memory_bytes", "peak_bytes", "expected_seconds", "notes", "durability", "variables")
_SUMS = ("n_chunk_reads", "n_chunk_writes", "n_object_writes", "bytes_in", "bytes_out", "expected_seconds")
PLAN_VERSION = 1


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """One level as it will be: sizes in samples, scale and translation in the axes' units."""

    path: str
    shape: Shape
    factors: Shape
    """From the level before; all ones for the base."""
    cumulative: Shape
    dtype: str
    chunks: Shape
    shards: Shape | None
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    windows: tuple[AxisWindows, ...] | None = None
    """Where no whole factor leads from the base to this level: its windows; `factors` and `cumulative` are then ones."""

    @property
    def n_chunks(self) -> int:
        return n_tiles(self.shape, self.chunks)

    @property
    def n_objects(self) -> int:
        return n_tiles(self.shape, self.shards or self.chunks)

    @property
    def n_samples(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What `build` will do, and what it will cost. Frozen, picklable, JSON-able; printing it shows a table."""

    source: str
    target: str
    in_place: bool
    base: Base
    layout: str
    zarr_format: int
    separator: str
    name: str
    axes: tuple[Axis, ...]
    transpose: Shape | None
    """Permutation of the source's axes when the layout needs another order than the source has."""
    kind: Kind
    reduction: str
    """Name of the row, with what was said in brackets."""
    anchor: str | tuple[str, ...]
    """`"centre"` or `"first"`, of all axes or of each."""
    composes: bool
    halo: bool
    nodata: float | int | None
    missing: Mapping[str, JSON] | None
    """Description of the array that is not 0 where a sample is missing."""
    min_valid: float | None
    """Share of a window's weight that must be valid; None: any."""
    weights: Mapping[str, JSON] | None
    """`{"rule": name}`, `{"axes": {name: numbers}}`, or the description of an array or a function; None: every sample counts 1."""
    coverage: str | None
    """Path below which the valid share of every level is stored; None when it is not."""
    second: str | None
    """Path below which the second arrays of the levels are stored, of a reduction that makes two; None of one that makes one."""
    source_dtype: str
    source_chunks: Shape
    """Unit of reading, in the order of `axes`."""
    levels: tuple[LevelPlan, ...]
    passes: tuple[Pass, ...]
    codecs: str | None
    """None: the base's own chain, or the default of the format."""
    fill_value: JSON
    write_empty: bool
    residual_base: str | None
    """Path of the array of G_0 - expand(G_1) beside a laplacian; None when it is not stored."""
    array_geometry: bool
    durability: Durability
    threads: int
    memory_bytes: int
    peak_bytes: int
    n_chunk_reads: int
    n_chunk_writes: int
    """Inner chunks that are encoded or copied; all-fill ones are counted and not stored."""
    n_object_writes: int
    """Stored objects (shards where there are any) of the written levels, all-fill ones included."""
    bytes_in: int
    bytes_out: int
    """Decoded sizes, in bytes."""
    expected_seconds: float
    """An estimate from rates measured on one machine; nothing depends on it."""
    stamps: tuple[tuple[str, str], ...]
    software: str
    """Version of the package and of the codec library: the same files only for the same ones."""
    notes: tuple[str, ...] = ()
    fingerprint: str = ""
    variables: tuple[BuildPlan, ...] = ()
    """Of a Dataset the plans of its variables, by name; this plan is then that of the first with the costs of all. Empty of an array."""

    @property
    def n_levels(self) -> int:
        return len(self.levels)

    @property
    def is_resampled(self) -> bool:
        """True when levels have windows that are no boxes of whole factors."""
        return any(level.windows is not None for level in self.levels)

    @property
    def word(self) -> str:
        """The reduction's bare name."""
        return word_of(self.reduction)

    @property
    def n_tasks(self) -> int:
        if self.variables:
            return sum(one.n_tasks for one in self.variables)
        return sum(n_tiles(self.levels[p.root].shape, p.tiles[p.root if p.what == "walk" else 0]) for p in self.passes)

    def to_json(self) -> dict[str, Any]:
        """Returns the plan as plain JSON values."""
        return {"plan": PLAN_VERSION, **json.loads(json.dumps(_plain(self)))}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> BuildPlan:
        """Returns the plan that `to_json` wrote. Raises PlanError for anything else."""
        if document.get("plan") != PLAN_VERSION:
            raise PlanError(f"plan: found version {document.get('plan')!r}, expected {PLAN_VERSION}; make the plan again")
        values = {k: _tupled(v) for k, v in document.items() if k != "plan"}
        try:
            values["axes"] = tuple(Axis(**a) for a in document["axes"])
            values["levels"] = tuple(map(_level, document["levels"]))
            values["passes"] = tuple(Pass(**{k: _tupled(v) for k, v in x.items()}) for x in document["passes"])
            values["variables"] = tuple(cls.from_json({"plan": PLAN_VERSION, **one}) for one in document.get("variables", ()))
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise PlanError(f"plan: found a document that is no plan ({error}); make the plan again") from None

    def sealed(self) -> BuildPlan:
        """Returns the plan with its fingerprint: 16 hex digits over everything that the written bytes depend on."""
        facts = {k: v for k, v in self.to_json().items() if k not in _NOT_IN_FINGERPRINT}
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        return dataclasses.replace(self, fingerprint=hashlib.sha256(text.encode()).hexdigest()[:16])

    @classmethod
    def joined(cls, plans: tuple[BuildPlan, ...], *, source: str, stamp: str, notes: tuple[str, ...] = ()) -> BuildPlan:
        """Returns the plan of a Dataset from those of its variables; `stamp` tells apart what they do not say, such as coordinates."""
        costs = {name: sum(getattr(one, name) for one in plans) for name in _SUMS}
        text = "\n".join((stamp, *(one.fingerprint for one in plans)))
        peak, threads = max(one.peak_bytes for one in plans), max(one.threads for one in plans)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        return dataclasses.replace(plans[0], **costs, source=source, peak_bytes=peak, threads=threads, notes=notes, fingerprint=fingerprint, variables=plans)

    def __str__(self) -> str:
        from ziggurat.planner.table import table

        return table(self)


def _level(document: dict[str, Any]) -> LevelPlan:
    values = {k: _tupled(v) for k, v in document.items()}
    if document["windows"] is not None:
        values["windows"] = tuple(AxisWindows(**{k: _tupled(v) for k, v in w.items()}) for w in document["windows"])
    return LevelPlan(**values)


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value) if not (isinstance(value, Axis) and f.name == "extra")}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def _tupled(value: Any) -> Any:
    return tuple(_tupled(v) for v in value) if isinstance(value, list) else cast(Any, value)
