"""What each axis wants: one reduction per axis, as operations in an order, each over the axes that it is said for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np

from ziggurat.geometry import Factors, level_shape
from ziggurat.kernels import windows
from ziggurat.problems import OptionError, UnsupportedError
from ziggurat.reductions.foldings import SampleFolding, narrowest_count
from ziggurat.reductions.ports import AnyArray, AnyDType, Carry, Counts, Folding, Reduction, Setting
from ziggurat.reductions.table import STRIDE
from ziggurat.reductions.whole import counts_of


@dataclass(frozen=True, slots=True)
class Operation:
    """One reduction over some axes (by number)."""

    row: Reduction
    axes: tuple[int, ...]

    def factors(self, factors: Factors) -> Factors:
        """Returns the factors on the operation's axes, 1 on the others."""
        return tuple(f if i in self.axes else 1 for i, f in enumerate(factors))


def mixed(rows: Mapping[str, Reduction], axes: Sequence[str]) -> Reduction:
    """Returns the row that applies `rows`, by axis name, one after the other in the order given; `axes` are the array's.

    Neighbours of one reduction are one operation over a window of all their axes. Where there is one reduction beside strides, a
    level is that of the base when the reduction composes: a stride commutes with everything. Otherwise the order matters, and a level is
    made from the level before, each operation's result in the base's dtype.

    Raises
    ------
    OptionError
        For an axis that is not there, a reduction with a halo, or one whose levels are not of the base's dtype.
    """
    unknown = [name for name in rows if name not in axes]
    if unknown:
        raise OptionError(f"reduction: found axis {unknown[0]!r}, expected names out of {', '.join(axes)}")
    for name, row in rows.items():
        if row.halo or row.pair is not None:
            why = "reads beyond its window" if row.halo else "makes two arrays"
            raise OptionError(f"reduction: {row.name!r} {why} and cannot be said for axis {name!r} alone; say it for the whole array")
    operations = _operations(rows, axes)
    kinds = {op.row.name: op.row for op in operations if op.row.name != STRIDE.name}
    if len(kinds) + (len(kinds) < len({op.row.name for op in operations})) == 1:
        return operations[0].row
    named = ", ".join(f"{name}:{row.name}" for name, row in rows.items())
    first = next(iter(kinds.values()))
    shared = replace(
        first,
        name=named,
        anchor=tuple(rows[name].anchor if name in rows else "centre" for name in axes),  # type: ignore[misc]
        from_base=None,
        parameters=(),
        weighs="nothing",
        weighted="what operations along single axes give one another are samples alone",
        invents=any(row.invents for row in rows.values()),
        dtypes=tuple(name for name in first.dtypes if all(name in row.dtypes for row in rows.values())),
    )
    picked = tuple(sorted(i for op in operations if op.row.name == STRIDE.name for i in op.axes))
    if len(kinds) == 1 and first.composes:
        return replace(shared, factory=partial(picked_folding, inner=first, picked=picked), carries="samples" if first.carries == "samples" else "moments")
    if any(row.composes and row.defined_from == "base" and "source=base" in row.name for row in rows.values()):
        raise OptionError(f"reduction {named!r}: several operations are made from level to level; leave source=base out")
    return replace(shared, factory=partial(chain_folding, operations=operations), composes=False, carries="samples", converts=None)


def _operations(rows: Mapping[str, Reduction], axes: Sequence[str]) -> tuple[Operation, ...]:
    found: list[Operation] = []
    for name, row in rows.items():
        i = list(axes).index(name)
        if found and found[-1].row.name == row.name:
            found[-1] = Operation(row, (*found[-1].axes, i))
        else:
            found.append(Operation(row, (i,)))
    return tuple(found)


# ---------------------------------------------------------------- one reduction beside strides: from the base


@dataclass(frozen=True, slots=True)
class PickedFolding:
    """A reduction over what a stride picks along some axes.

    What carries sums always brings its weights: the counts that geometry implies would count what was not picked.
    """

    inner: Folding
    picked: tuple[int, ...]
    weights: tuple[AnyDType, ...]
    """Types that hold the counts which geometry implies, too."""
    weighs: bool

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        return self.inner.carry_dtypes(level)

    def weight_dtype(self, level: int) -> AnyDType:
        return self.weights[level]

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        steps = tuple(slice(None, None, f if i in self.picked else None) for i, f in enumerate(factors))
        rest = tuple(1 if i in self.picked else f for i, f in enumerate(factors))
        some = Carry(tuple(v[steps] for v in child.values), None if child.weights is None else child.weights[steps])
        found = self.inner.fold(level, some, rest, out)
        if found is None and self.weighs:
            found = np.empty(level_shape(some.values[0].shape[: len(rest)], rest), self.weight_dtype(level))
            windows.window_counts(some.values[0].shape[: len(rest)], rest, found)
        return None if found is None else found.astype(self.weight_dtype(level), copy=False)

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        ones = tuple(tuple((where, 1) for where, _ in axis) if i in self.picked else axis for i, axis in enumerate(counts))
        self.inner.finish(level, carry, ones, out)


def picked_folding(setting: Setting, *, inner: Reduction, picked: tuple[int, ...]) -> Folding:
    """Returns a reduction beside strides of one build."""
    ladder = tuple(tuple(1 if i in picked else f for i, f in enumerate(step)) for step in setting.ladder)
    folding = cast(Folding, inner.factory(replace(setting, ladder=ladder)))
    sizes = (np.promote_types(folding.weight_dtype(k), narrowest_count(n)) for k, n in enumerate(setting.window_sizes))
    return PickedFolding(folding, picked, tuple(sizes), inner.carries != "samples")


# ---------------------------------------------------------------- several operations: from level to level


@dataclass(frozen=True, slots=True)
class Chain:
    """Operations one after the other as one kernel."""

    operations: tuple[Operation, ...]

    def __call__(self, block: AnyArray, factors: Factors, out: AnyArray, nodata: complex | None) -> None:
        for op in self.operations:
            block = _applied(op.row, block, op.factors(factors), nodata)
        out[...] = block


def _applied(row: Reduction, block: AnyArray, factors: Factors, nodata: complex | None) -> AnyArray:
    if all(f == 1 for f in factors):
        return block
    folding = cast(Folding, row.factory(Setting(block.dtype, (factors,), block.shape, nodata)))
    shape = level_shape(block.shape, factors)
    values = tuple(np.empty(shape, dtype) for dtype in folding.carry_dtypes(1))
    carry = Carry(values, folding.fold(1, Carry((block,)), factors, values))
    out: AnyArray = np.empty(shape, block.dtype)
    folding.finish(1, carry, counts_of(block.shape, factors), out)
    return out


def chain_folding(setting: Setting, *, operations: tuple[Operation, ...]) -> Folding:
    """Returns several operations of one build. Raises UnsupportedError when one gives another dtype than it takes."""
    for op in operations:
        if op.row.level_dtype(setting.dtype) != setting.dtype:
            found = op.row.level_dtype(setting.dtype).name
            raise UnsupportedError(f"reduction {op.row.name!r}: it makes {found} of {setting.dtype.name}, and operations of several axes stay in one dtype")
    return SampleFolding(setting, Chain(operations))
