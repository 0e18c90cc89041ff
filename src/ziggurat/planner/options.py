"""What a user says about a build: `BuildOptions`, validated once, and how each spelling becomes one value per axis."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

from ziggurat.model import Axis, Kind, kind_of
from ziggurat.problems import OptionError

if TYPE_CHECKING:
    from ziggurat.reductions import Reduction

Durability = Literal["rename", "fsync", "none"]
Missing = Literal["skip", "propagate"]
WEIGHT_RULES = ("area", "area_wgs84", "cos_lat")
"""Weights that follow from where samples lie."""
EQUAL = "equal"
"""Every sample counts 1, also where a Dataset would be weighted by area."""
Nodata: TypeAlias = "float | int | str | PathLike[str] | object"
"""A value, NaN, `"fill"` (the array's fill value), or an array (or a path of one) that is not 0 where a sample is missing."""
Weights: TypeAlias = "str | PathLike[str] | Mapping[str, object] | object"
"""A rule, a path, 1-D arrays by axis name, an array that broadcasts to the base, or a function of a region (a tuple of slices)."""
Rows: TypeAlias = "str | Reduction | Mapping[str, str | Reduction | Mapping[str, str | Reduction]]"
"""A name or a row of one's own; by axis name; of a Dataset by variable."""
Step: TypeAlias = "int | Sequence[int] | Mapping[str, int]"
"""Factors of one step: one for all reduced axes, one per axis, or by axis name."""
Numbers: TypeAlias = "float | Sequence[float] | Mapping[str, float]"
Sizes: TypeAlias = "int | Sequence[int] | Mapping[str, int]"
T = TypeVar("T", int, float)

MAX_LEVELS = 32
_UNITS = MappingProxyType({"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12})


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Everything that can be said about a build; None means "not said", and `defaults.md` says what then happens.

    `reduction` is a name of the table, a row of one's own, or one of these by axis name, in the order in which they are done, or, of a
    Dataset, by variable; `variables` are those of a Dataset that are built, `encoding` says `chunks`, `shards`, `codecs` or `dtype` of one;
    `factors` is a step or, as a list of lists or mappings, a
    ladder of steps; `nodata` is a value, NaN, `"fill"`, or an array (or its path) that is not 0 where a sample is missing;
    `missing` says what a window with missing samples becomes (`"skip"`: the others count; `"propagate"`: it is missing), `min_valid`
    which share of its weight must be valid; `weights` is a rule (`"area"`, `"area_wgs84"`, `"cos_lat"`), an array, a path, 1-D
    arrays by axis name, a function of a region, or `"equal"`; `coverage` stores the valid share of every level; `levels` counts the base;
    `level_shapes` and `level_scales` say, per level above the base, its shape or its sample steps, whatever factor that is;
    `groups` says by axis name, per level, the cuts between groups of base samples, 0 first and the axis's length last;
    `scale` and `translation` are those of the base, in `unit`; `memory` is in
    bytes or a text such as `"2GiB"`; `names` is a template (`"G{k}"`) or a list that begins with the base's name; `codecs`
    is a text such as `"zstd 3"`. Raises OptionError.
    """

    reduction: Rows | None = None
    factors: Step | Sequence[Step] | None = None
    levels: int | None = None
    axes: str | Sequence[str | Axis] | None = None
    scale: Numbers | None = None
    unit: str | Mapping[str, str] | None = None
    translation: Numbers | None = None
    kind: Kind | None = None
    nodata: Nodata | None = None
    chunks: Sizes | None = None
    shards: Sizes | None = None
    codecs: str | None = None
    dtype: str | None = None
    layout: str | None = None
    name: str | None = None
    names: str | Sequence[str] | None = None
    memory: int | str | None = None
    threads: int | None = None
    durability: Durability | None = None
    write_empty: bool = False
    residual_base: bool = False
    array_geometry: bool = False
    force: bool = False
    missing: Missing | None = None
    min_valid: float | None = None
    weights: Weights | None = None
    coverage: bool = False
    level_shapes: Sequence[Sequence[int] | Mapping[str, int]] | None = None
    level_scales: Sequence[Numbers] | None = None
    groups: Mapping[str, Sequence[Sequence[int]]] | None = None
    variables: str | Sequence[str] | None = None
    encoding: Mapping[str, Mapping[str, object]] | None = None

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.name not in ("nodata", "weights") or not getattr(getattr(self, f.name), "shape", ()):
                object.__setattr__(self, f.name, _plain(getattr(self, f.name)) if f.name != "weights" else getattr(self, f.name))
        self._check_missing()
        for what in ("kind", "durability", "codecs", "layout", "name", "dtype"):
            if not isinstance(getattr(self, what), str | None):
                raise OptionError(f"{what}: found {getattr(self, what)!r}, expected a text")
        said = self.reduction.values() if isinstance(self.reduction, Mapping) else () if self.reduction is None else (self.reduction,)
        rows = [one for row in said for one in (row.values() if isinstance(row, Mapping) else (row,))]
        if not all(isinstance(row, str) or hasattr(row, "factory") for row in rows):
            raise OptionError(f"reduction: found {self.reduction!r}, expected a name such as 'mean', or what ziggurat.reduction() makes of a function")
        if not isinstance(self.names, str | Sequence | None) or not all(isinstance(name, str) for name in self.names or ()):
            raise OptionError(f"names: found {self.names!r}, expected a template such as 'G{{k}}', or a list of texts")
        if not isinstance(self.unit, str | Mapping | None):
            raise OptionError(f"unit: found {self.unit!r}, expected a text, or a mapping by axis name")
        if self.kind is not None and self.kind not in get_args(Kind):
            raise OptionError(f"kind: found {self.kind!r}, expected one of {', '.join(map(repr, get_args(Kind)))}")
        if self.durability is not None and self.durability not in get_args(Durability):
            raise OptionError(f"durability: found {self.durability!r}, expected one of {', '.join(map(repr, get_args(Durability)))}")
        if self.levels is not None and not (_is_int(self.levels) and 1 <= self.levels <= MAX_LEVELS):
            raise OptionError(f"levels: found {self.levels!r}, expected a whole number from 1 to {MAX_LEVELS} (it counts the base)")
        if self.threads is not None and not (_is_int(self.threads) and 1 <= self.threads <= 1024):
            raise OptionError(f"threads: found {self.threads!r}, expected a whole number from 1 to 1024")
        if isinstance(self.axes, str) and not self.axes:
            raise OptionError("axes: found an empty text, expected one name per axis such as 'zyx'")
        parse_bytes(self.memory)
        self._check_dataset()

    def _check_dataset(self) -> None:
        """Holds the names of variables to texts, and makes one name a list of one."""
        if isinstance(self.variables, str):
            object.__setattr__(self, "variables", (self.variables,))
        if self.variables is not None and (not self.variables or not all(isinstance(name, str) for name in self.variables)):
            raise OptionError(f"variables: found {self.variables!r}, expected names of variables such as ['t2m', 'tp']")
        said = self.encoding
        if said is not None and not (isinstance(said, Mapping) and all(isinstance(one, Mapping) for one in said.values())):
            raise OptionError(f"encoding: found {said!r}, expected words by variable such as {{'t2m': {{'chunks': {{'time': 1}}}}}}")

    def _check_missing(self) -> None:
        if self.missing is not None and self.missing not in get_args(Missing):
            raise OptionError(f"missing: found {self.missing!r}, expected one of {', '.join(map(repr, get_args(Missing)))}")
        share = self.min_valid
        if share is not None and (isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1):
            raise OptionError(f"min_valid: found {share!r}, expected a share above 0 and at most 1, such as 0.3")
        if share is not None and self.missing == "propagate" and share != 1:
            raise OptionError(f"missing: 'propagate' wants all of a window to be valid and min_valid={share!r} a part of it; say one of them")

    @property
    def rows(self) -> str | Reduction | Mapping[str, str | Reduction] | None:
        """The reduction of one array. Raises OptionError for one that is said by variable."""
        said = self.reduction
        if not isinstance(said, Mapping):
            return said
        flat = {name: row for name, row in said.items() if not isinstance(row, Mapping)}
        if len(flat) != len(said):
            raise OptionError(f"reduction: found rows by axis for {next(iter(set(said) - set(flat)))!r}, which only a Dataset has; say one by axis name")
        return flat

    @property
    def nodata_beside(self) -> object:
        """The mask, or its path, that says which samples are missing; None when `nodata` is a value."""
        mask = self.nodata
        is_value = mask is None or mask == "fill" if isinstance(mask, str | None) else isinstance(mask, int | float | complex)
        return None if is_value else mask

    @property
    def weights_beside(self) -> object:
        """The weights that have to be opened: an array, a path or a function; None for rules and for numbers by axis."""
        said = self.weights
        return None if said is None or isinstance(said, Mapping) or (isinstance(said, str) and said in (EQUAL, *WEIGHT_RULES)) else said

    @property
    def memory_bytes(self) -> int | None:
        return parse_bytes(self.memory)

    def said(self) -> dict[str, object]:
        """Returns only what was said, by field name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not f.default}


def _plain(value: Any) -> Any:
    """Returns numbers and arrays of NumPy as Python's, and its dtypes by name; all else as it is.

    >>> import numpy as np
    >>> _plain({"z": np.float32(0.5)}), _plain(np.array([1, 2])), _plain(np.dtype("u2")), _plain(np.uint8)
    ({'z': 0.5}, [1, 2], 'uint16', 'uint8')
    """
    if callable(getattr(value, "tolist", None)) and not isinstance(value, type):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    if isinstance(value, type) and value.__module__ == "numpy":
        return value.__name__
    return value.name if hasattr(value, "newbyteorder") else value


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def parse_bytes(value: int | str | None) -> int | None:
    """Returns a size in bytes.

    >>> parse_bytes("1.5 GiB"), parse_bytes(4096)
    (1610612736, 4096)
    """
    if value is None:
        return None
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?i?B?)\s*", value, re.IGNORECASE)
        unit = match[2].lower() if match else "?"
        unit = unit if unit.endswith("b") or not unit else unit + "b"
        if match is None or unit not in _UNITS:
            raise OptionError(f"memory: found {value!r}, expected bytes or a size such as '2GiB' or '500MB'")
        return int(float(match[1]) * _UNITS[unit])
    if not _is_int(value) or value < 1:
        raise OptionError(f"memory: found {value!r}, expected a positive number of bytes or a size such as '2GiB'")
    return value


def named_axes(said: str | Sequence[str | Axis], ndim: int) -> tuple[Axis, ...]:
    """Returns the axes that a user named; a text is one letter per axis, or names with commas between them."""
    parts: Sequence[str | Axis] = said
    if isinstance(said, str):
        parts = [p.strip() for p in said.split(",")] if "," in said else list(said)
    if not isinstance(said, str | Sequence) or not all(isinstance(part, str | Axis) for part in parts):
        raise OptionError(f"axes: found {said!r}, expected names such as 'zyx' or ['lat', 'lon']")
    axes = tuple(a if isinstance(a, Axis) else Axis(a, kind_of(a)) for a in parts)
    names = [a.name for a in axes]
    if len(axes) != ndim:
        raise OptionError(f"axes: found {len(axes)} names ({', '.join(names)}) for an array of {ndim} axes; say one name per axis")
    bad = [n for n in names if not n or not n.isprintable()]
    if bad or len(set(names)) != ndim:
        raise OptionError(f"axes: found {names!r}, expected {ndim} different printable names")
    return axes


def per_axis(what: str, said: T | Sequence[T] | Mapping[str, T], axes: Sequence[Axis], default: Sequence[T]) -> tuple[T, ...]:
    """Returns one number per axis from one number for the space axes, a sequence of one per axis, or a mapping by axis name."""
    names = [a.name for a in axes]
    if isinstance(said, Mapping):
        unknown = [k for k in said if k not in names]
        if unknown:
            raise OptionError(f"{what}: found axis {unknown[0]!r}, expected names out of {', '.join(names)}")
        return tuple(said.get(n, d) for n, d in zip(names, default, strict=True))
    if isinstance(said, Sequence) and not isinstance(said, str):
        if len(said) != len(names):
            raise OptionError(f"{what}: found {len(said)} numbers for {len(names)} axes ({', '.join(names)}); say one per axis, or by name")
        return tuple(said)
    if isinstance(said, str) or not isinstance(said, int | float):
        raise OptionError(f"{what}: found {said!r}, expected a number, one per axis, or a mapping by axis name")
    return tuple(said if a.kind == "space" else d for a, d in zip(axes, default, strict=True))


def finite(what: str, numbers: Sequence[float], *, positive: bool) -> tuple[float, ...]:
    """Returns `numbers` as floats. Raises OptionError for one that is not finite, or not above 0 where it must be."""
    for n in numbers:
        if isinstance(n, str | bool) or not math.isfinite(n) or (positive and n <= 0):
            raise OptionError(f"{what}: found {n!r}, expected {'numbers above 0' if positive else 'finite numbers'}")
    return tuple(float(n) for n in numbers)


def whole(what: str, numbers: Sequence[object]) -> tuple[int, ...]:
    """Returns `numbers` as ints of at least 1. Raises OptionError otherwise."""
    out: list[int] = []
    for n in numbers:
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise OptionError(f"{what}: found {n!r}, expected whole numbers of at least 1")
        out.append(n)
    return tuple(out)
