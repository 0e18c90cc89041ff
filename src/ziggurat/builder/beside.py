"""Weights and masks on their way in: opened, described for the plan, and given tile by tile beside the base's samples."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ziggurat import reductions
from ziggurat.builder.walk import Box
from ziggurat.chunkio import AnyArray, ChunkReader, read_region
from ziggurat.model import JSON
from ziggurat.planner import Beside, BuildOptions, BuildPlan, plan_vectors, weighing_of
from ziggurat.planner.tiles import Shape
from ziggurat.problems import NotFound, OptionError, PlanError, UnsupportedError
from ziggurat.reductions import Carry, Weighing
from ziggurat.sources import Source, open_source

Region = tuple[slice, ...]
Function = Callable[[Region], object]


class Field(Protocol):
    """Numbers over the base, in the order of the plan's axes."""

    def block(self, box: Box) -> AnyArray:
        """Returns the numbers of a box, in a shape that broadcasts to it."""
        ...


@dataclass(frozen=True, slots=True)
class Vectors:
    """One vector per axis, or none: their product."""

    vectors: tuple[AnyArray | None, ...]

    def block(self, box: Box) -> AnyArray:
        out: AnyArray = np.ones((1,) * len(box))
        for axis, (vector, (low, high)) in enumerate(zip(self.vectors, box, strict=True)):
            if vector is not None:
                out = np.multiply(out, vector[low:high].reshape(-1, *(1,) * (len(box) - axis - 1)))
        return out


@dataclass(frozen=True, slots=True)
class Stored:
    """An array that broadcasts to the base, in the order of the source's axes; `order` is the plan's permutation of them."""

    reader: ChunkReader
    order: Shape

    def block(self, box: Box) -> AnyArray:
        there = _in_source_order(box, self.order)[len(box) - len(self.reader.shape) :]
        region = tuple(slice(0, 1) if n == 1 else s for s, n in zip(there, self.reader.shape, strict=True))
        found = read_region(self.reader, region)
        return found.reshape((1,) * (len(box) - found.ndim) + found.shape).transpose(self.order)


@dataclass(frozen=True, slots=True)
class Computed:
    """A function of a region of the source, a tuple of slices; what it returns broadcasts to the region."""

    function: Function
    order: Shape

    def block(self, box: Box) -> AnyArray:
        region = _in_source_order(box, self.order)
        shape = tuple(s.stop - s.start for s in region)
        found = np.asarray(self.function(region))
        if found.dtype.kind not in "buif":
            raise OptionError(f"weights: the function gave {found.dtype} for the region {_text(region)}, expected real numbers")
        try:
            return np.broadcast_to(found, shape).transpose(self.order)
        except ValueError:
            raise OptionError(f"weights: the function gave shape {found.shape} for the region {_text(region)}, expected {shape}, or 1") from None


def _in_source_order(box: Box, order: Shape) -> Region:
    return tuple(slice(*box[order.index(i)]) for i in range(len(box)))


def _text(region: Region) -> str:
    return ", ".join(f"{s.start}:{s.stop}" for s in region)


@dataclass(frozen=True, slots=True)
class Called:
    """A function that was given in place of an array."""

    function: Function


@dataclass(frozen=True, slots=True)
class Given:
    """What was given beside the base, opened."""

    weights: Source | Called | None = None
    missing: Source | Called | None = None
    facts: Beside = field(default_factory=Beside)


def open_given(options: BuildOptions, plan: BuildPlan | None = None) -> Given:
    """Opens the weights and the mask that were said, or, where a plan is given, those that it names by a path.

    Raises OptionError where there is no array at a path, PlanError where a plan was made with others.
    """
    weights, missing = options.weights_beside, options.nodata_beside
    if plan is not None:
        weights = _named("weights", weights, plan.weights)
        missing = _named("nodata", missing, plan.missing)
    heavy, gone = _opened("weights", weights), _opened("nodata", missing)
    facts = Beside(_described(weights, heavy), _described(missing, gone))
    if plan is not None and (facts.missing != plan.missing or facts.weights != (plan.weights if weights is not None else facts.weights)):
        raise PlanError("plan: it was made with other weights or another mask, or they have changed since; make the plan again")
    return Given(heavy, gone, facts)


def _named(what: str, said: object, planned: Mapping[str, JSON] | None) -> object:
    if said is not None or planned is None or "rule" in planned or "axes" in planned:
        return said
    if "path" not in planned:
        raise PlanError(f"plan: its {what} were no file, and a plan does not hold them; say {what}= beside the plan")
    return planned["path"]


def _opened(what: str, said: object) -> Source | Called | None:
    if said is None:
        return None
    if callable(said) and not hasattr(said, "shape"):
        return Called(said)
    try:
        return open_source(said)
    except (NotFound, UnsupportedError) as error:
        expected = {"weights": "'area', 'area_wgs84', 'cos_lat', numbers by axis, ", "nodata": "a number, 'nan', 'fill', "}[what]
        raise OptionError(f"{what}: found {_short(said)}, expected {expected}an array or the path of one ({error})") from error


def _short(said: object) -> str:
    return repr(os.fspath(said)) if isinstance(said, str | os.PathLike) else type(said).__name__


def _described(said: object, opened: Source | Called | None) -> Mapping[str, JSON] | None:
    """Returns what a plan holds of an array or a function: enough to know it again."""
    if opened is None:
        return None
    if isinstance(opened, Called):
        function = opened.function
        return {"function": f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', type(function).__qualname__)}"}
    path: dict[str, JSON] = {"path": os.fspath(said)} if isinstance(said, str | os.PathLike) else {}
    return {**path, "shape": list(opened.shape), "dtype": opened.dtype.name, "stamps": [list(stamp) for stamp in opened.info.stamps]}


@dataclass(frozen=True, slots=True)
class BesideSamples:
    """Weights and masks of one build, given tile by tile: the walk's `Beside`."""

    weighing: Weighing
    weights: Field | None
    missing: Field | None

    def carry(self, box: Box, samples: AnyArray) -> Carry:
        """Returns a tile of base samples with weights and mask. Missing floats become NaN, so that every reduction knows them."""
        missing = None if self.missing is None else self.missing.block(box) != 0
        if missing is not None and samples.dtype.kind in "fc":
            samples = np.where(missing, samples.dtype.type(np.nan), samples)
            missing = None
        weights = None if self.weights is None else _checked(self.weights.block(box), box)
        return reductions.weighed(samples, missing, weights, self.weighing)


def _checked(weights: AnyArray, box: Box) -> AnyArray:
    wrong = ~(np.isfinite(weights) & np.greater_equal(weights, 0))
    if wrong.any():
        at = tuple(int(i[0]) for i in np.nonzero(wrong))
        place = tuple(low + i if n > 1 else low for i, (low, _), n in zip(at, box, weights.shape, strict=True))
        raise OptionError(f"weights: found {weights[at].item()!r} at sample {place}, expected finite numbers of at least 0")
    return weights


class MaskedReader:
    """A reader of floats whose missing samples are NaN: for reductions that read beyond a tile."""

    def __init__(self, inner: ChunkReader, missing: Field) -> None:
        self._inner, self._missing = inner, missing

    @property
    def shape(self) -> tuple[int, ...]:
        return self._inner.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._inner.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        return self._inner.chunks

    def read(self, index: tuple[int, ...], out: AnyArray) -> bool:
        """Reads like the inner reader, then marks what is missing."""
        stored = self._inner.read(index, out)
        box = tuple((i * c, min(i * c + c, n)) for i, c, n in zip(index, self.chunks, self.shape, strict=True))
        part = out[tuple(slice(0, high - low) for low, high in box)]
        part[np.broadcast_to(self._missing.block(box) != 0, part.shape)] = np.nan
        return stored


def make_beside(plan: BuildPlan, given: Given) -> BesideSamples | None:
    """Returns what a plan's walk asks for weights and masks; None when nothing was given beside the base."""
    if plan.weights is None and plan.missing is None:
        return None
    order = plan.transpose or tuple(range(len(plan.axes)))
    missing = None if given.missing is None else _field(given.missing, order)
    return BesideSamples(weighing_of(plan), _weights(plan, given, order), missing)


def _field(opened: Source | Called, order: Shape) -> Field:
    return Computed(opened.function, order) if isinstance(opened, Called) else Stored(opened, order)


def _weights(plan: BuildPlan, given: Given, order: Shape) -> Field | None:
    if plan.weights is None:
        return None
    if "rule" in plan.weights:
        return Vectors(tuple(None if v is None else np.array(v) for v in plan_vectors(plan)))
    axes = plan.weights.get("axes")
    if isinstance(axes, Mapping):
        return Vectors(tuple(np.array(axes[a.name], np.float64) if a.name in axes else None for a in plan.axes))
    if given.weights is None:
        raise AssertionError("weights of a plan are opened before it is built")
    return _field(given.weights, order)
