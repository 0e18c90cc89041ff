"""Every row of the table with masks, shares and weights, against loops over windows in Python's own numbers and xarray's weighted quantile."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import xarray
import zarr

import ziggurat as zg
from tests.test_reductions import EMPTY, FOLDED, ORACLES, Array, assert_same, fitted, samples
from ziggurat import geometry
from ziggurat.problems import OptionError
from ziggurat.reductions import TABLE, Reduction, find, reduce_array

RANKS = ("median", "quantile")
COUNTING = tuple(row for row in FOLDED if row.weighs in ("validity", "weights"))
WEIGHING = tuple(row for row in FOLDED if row.weighs == "weights")


class Level(NamedTuple):
    """A level as the oracle has it: samples, which are there, the weight of valid base samples behind each, and of all."""

    values: Array
    there: Array
    valid: Array
    every: Array


def weighted_quantile(window: list[Any], weights: list[int], q: float) -> Any:
    """xarray's figure; of integers the exact one that it is near, since its sums of float64 miss the ties of large samples."""
    wide = xarray.DataArray(np.array(window, np.float64), dims="x")
    found = float(wide.weighted(xarray.DataArray(np.array(weights, np.float64), dims="x")).quantile(q))
    if not isinstance(window[0], int):
        return found
    exact = exact_quantile(window, weights, Fraction(repr(q)))
    assert abs(found - exact) <= 1e-12 * max(map(abs, window)) + 1e-9
    return round(exact)


def exact_quantile(window: list[int], weights: list[int], q: Fraction) -> Fraction:
    """Samples in their order, each over its share of the weight, seen through a slit 1/n wide at q; n is Kish's effective number."""
    total, slit = sum(weights), Fraction(sum(w * w for w in weights), sum(weights) ** 2)
    low, end, value = (1 - slit) * q, Fraction(0), Fraction(0)
    for x, w in sorted(zip(window, weights, strict=True)):
        begin, end = end, end + Fraction(w, total)
        value += x * max(min(end, low + slit) - max(begin, low), Fraction(0)) / slit
    return value


def value_of(row: Reduction, window: list[Any], weights: list[int], *, weighted: bool) -> Any:
    """What the table says of a window; a weight is how often a sample counts, but for quantiles."""
    if weighted and row.word in RANKS:
        named = row.name.partition("q=")[2]
        return weighted_quantile(window, weights, float(named.split(",")[0].rstrip(")")) if named else 0.5)
    counted = [x for x, w in zip(window, weights, strict=True) for _ in range(w if weighted else 1)]
    return ORACLES[row.name](counted)


def next_level(row: Reduction, below: Level, factors: Sequence[int], share: float | None, missing: Any, *, weighted: bool) -> Level:
    shape = geometry.level_shape(below.values.shape, tuple(factors))
    out = Level(np.empty(shape, row.level_dtype(below.values.dtype)), np.zeros(shape, bool), np.zeros(shape, int), np.zeros(shape, int))
    for index in np.ndindex(*shape):
        where = tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factors, strict=True))
        values, there, valid, every = (a[where].ravel().tolist() for a in below)
        out.valid[index], out.every[index] = sum(valid), sum(every)
        is_enough = sum(valid) > 0 and (share is None or sum(valid) >= Fraction(repr(share)) * sum(every))
        if row.name == "stride":
            out.values[index] = values[0] if there[0] else missing
            continue
        kept = [(x, w) for x, t, w in zip(values, there, valid, strict=True) if t and w]
        found = value_of(row, [x for x, _ in kept], [w for _, w in kept], weighted=weighted) if kept and is_enough else None
        out.there[index] = is_enough
        if row.name == "count":  # it says how many there are, however few
            out.values[index] = sum(valid)
            continue
        nothing = missing if share is not None else EMPTY.get(row.name, missing)
        out.values[index] = nothing if not is_enough else missing if found is None else fitted(found, out.values.dtype)
    return out


def expected(row: Reduction, base: Level, ladder: Sequence[tuple[int, ...]], share: float | None, missing: Any, *, weighted: bool) -> list[Array]:
    if row.composes:
        steps = geometry.cumulative_factors(ladder, base.values.ndim)[1:]
        return [next_level(row, base, factors, share, missing, weighted=weighted).values for factors in steps]
    levels = [base]
    for factors in ladder:
        levels.append(next_level(row, levels[-1], factors, share, missing, weighted=weighted))
    return [level.values for level in levels[1:]]


def check_row(row: Reduction, dtype: str, shape: tuple[int, ...], ladder: Sequence[tuple[int, ...]], rng: np.random.Generator, density: float) -> None:
    """One case: a mask (NaN for floats), in any order of memory and bytes, a share or none, weights or none."""
    base = samples(rng, dtype, shape, int(rng.integers(0, 2)))
    if row.word == "mode":
        base = rng.choice(base.reshape(-1), 5)[rng.integers(0, 5, shape)]
    gone = rng.random(shape) < density
    missing: Any = 0
    options: dict[str, Any] = {"missing": gone}
    if base.dtype.kind in "fc":
        missing = math.nan
        base[gone] = math.nan
        options = {"missing": gone} if base.dtype.kind == "f" and rng.random() < 0.5 else {}
    share = None if row.weighs == "masks" else (None, 0.07, 0.5, 1.0)[rng.integers(0, 4)]
    weighted = row.weighs == "weights" and rng.random() < 0.5
    if weighted and base.dtype.kind in "iu" and base.itemsize == 8:  # weighted sums are in float64
        base = (base % 1000).astype(base.dtype)
    heavy = rng.integers(0, 4, shape)
    if weighted:
        options["weights"] = heavy
        gone |= heavy == 0
    seen = (base, np.asfortranarray(base), base.astype(base.dtype.newbyteorder(">")), base[::-1].copy()[::-1])[rng.integers(0, 4)]
    valid = np.where(gone, 0, heavy if weighted else 1)
    level = Level(base, ~gone, valid, heavy if weighted else np.ones(shape, int))
    found = reduce_array(row, seen, ladder, min_valid=share, **options)
    for k, (a, b) in enumerate(zip(found, expected(row, level, ladder, share, missing, weighted=weighted), strict=True), start=1):
        said = f"{row.name} {dtype} {shape} {ladder} level {k} {share=} {weighted=} {density=}"
        if weighted and row.word in (*RANKS, "sum", "mean") and a.dtype.kind in "fc":
            np.testing.assert_allclose(a, b, rtol={2: 2e-3, 4: 1e-6}.get(a.real.dtype.itemsize, 1e-12), atol=1e-12, err_msg=said)
        else:
            assert_same(row, a, b, said)


def test_every_row_has_one_oracle_that_knows_what_may_be_said_beside_samples() -> None:
    """A row that is added needs an oracle by its name; one with a halo is compared with scipy and scikit-image instead."""
    assert {row.name for row in TABLE if not row.halo} == {name for name in ORACLES if "(" not in name}
    assert {row.name for row in TABLE if row.halo} == {"gaussian", "laplacian"}
    assert {row.name for row in COUNTING} | {"stride"} == set(ORACLES)
    assert [row.name for row in TABLE if not row.weighted] == []


def check_cases(row: Reduction, seeds: range) -> None:
    """Lines, planes and volumes of 1 to 40 samples, factors of 1 to 5, one to three levels, 0 to 100 % missing, every dtype in turn."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        n_axes = int(rng.integers(1, 4))
        shape = tuple(int(n) for n in rng.integers(1, (41, 13, 7)[n_axes - 1], n_axes))
        ladder = [tuple(int(f) for f in rng.integers(1, 6, n_axes)) for _ in range(rng.integers(1, 4))]
        check_row(row, row.dtypes[seed % len(row.dtypes)], shape, ladder, rng, (0.0, 0.1, 0.5, 0.9, 1.0)[rng.integers(0, 5)])


def test_a_tie_of_large_samples_goes_to_the_even_one() -> None:
    check_cases(find("median"), range(321, 322))  # 1862010305.5, which sums of float64 miss by more than 1e-9


@pytest.mark.parametrize("row", [*COUNTING, find("stride")], ids=lambda row: row.name)
def test_every_row_with_masks_shares_and_weights(row: Reduction) -> None:
    check_cases(row, range(16))


@pytest.mark.prove
@pytest.mark.parametrize("row", [*COUNTING, find("stride")], ids=lambda row: row.name)
def test_every_row_with_masks_shares_and_weights_in_many_more_cases(row: Reduction, record_property: Callable[[str, object], None]) -> None:
    check_cases(row, range(16, 1500))
    record_property("cases", 1484)


# ---------------------------------------------------------------- definitions


def test_weighted_quantiles_are_those_without_weights_where_all_weigh_alike() -> None:
    base = np.random.default_rng(3).integers(0, 255, (24, 30), dtype=np.uint8)
    ladder = [(2, 3), (3, 2)]
    for name in ("median(source=base)", "quantile(q=0.3, source=base)", "mode(source=base)"):
        for a, b in zip(reduce_array(find(name), base, ladder, weights=np.float64(0.7)), reduce_array(find(name), base, ladder), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_share_that_lacks_at_one_level_is_missing_to_the_next() -> None:
    base, gone = np.array([9, 9, 9, 9, 1, 2, 3, 4], np.uint8), np.array([0, 1, 1, 1, 0, 0, 0, 0], bool)
    assert [x.tolist() for x in reduce_array(find("median"), base, [(4,), (2,)], missing=gone, min_valid=0.5)] == [[0, 2], [2]]
    assert [x.tolist() for x in reduce_array(find("mode"), base, [(4,), (2,)], missing=gone, min_valid=0.75)] == [[0, 1], [0]]


def test_a_heavy_label_outvotes_many_light_ones() -> None:
    base, heavy = np.array([[7, 3, 3, 3]], np.uint32), np.array([[4.0, 1, 1, 1]])
    for name in ("mode", "mode(source=base)"):
        assert reduce_array(find(name), base, [(1, 4)], weights=heavy)[0].tolist() == [[7]]
        assert reduce_array(find(name), base, [(1, 4)], weights=heavy - [[1, 0, 0, 0]])[0].tolist() == [[3]]  # a tie


# ---------------------------------------------------------------- builds: whatever the chunks, the same as the whole array in memory


@pytest.mark.parametrize("name", ["median", "mode", "quantile(q=0.9)", "median(source=base)", "mode(source=base)", "mode(ignore=0, source=base)", "stride"])
@pytest.mark.parametrize("weighted", [False, True])
def test_builds_with_masks_shares_weights_and_coverage(tmp_path: Path, name: str, weighted: bool) -> None:
    rng = np.random.default_rng(8)
    base, gone, heavy = rng.integers(0, 6, (61, 83)).astype("int16"), rng.random((61, 83)) < 0.4, rng.integers(0, 4, (61, 83)) / 2
    gone[:30, :30] = True
    options: dict[str, Any] = {} if name == "stride" else {"min_valid": 0.5, "coverage": True, **({"weights": heavy} if weighted else {})}
    beside = {"weights": heavy} if weighted and name != "stride" else {}
    for chunks in ((16, 16), (7, 20), (61, 83)):
        place = tmp_path / f"{chunks[0]}.zarr"
        plan = zg.build(base, place, reduction=name, nodata=gone, chunks=chunks, levels=4, **options).plan
        ladder = [level.factors for level in plan.levels[1:]]
        made = reduce_array(find(name), base, ladder, missing=gone, min_valid=options.get("min_valid"), **beside)
        for level, wanted in zip(plan.levels[1:], made, strict=True):
            np.testing.assert_array_equal(zarr.open_array(str(place / level.path), mode="r")[...], wanted)
        if "coverage" in options:
            shares = (
                reduce_array(find("sum"), np.where(gone, 0, heavy if weighted else 1.0), ladder),
                reduce_array(find("sum"), heavy if weighted else np.ones(base.shape), ladder),
            )
            for level, some, every in zip(plan.levels[1:], *shares, strict=True):
                found = zarr.open_array(str(place / "coverage" / level.path), mode="r")[...]
                np.testing.assert_allclose(found, np.divide(some, every, out=np.zeros_like(some), where=every > 0), rtol=1e-6)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_what_a_row_does_not_take_is_one_sentence_that_says_why(row: Reduction) -> None:
    base = np.arange(12, dtype=np.uint16).reshape(3, 4)
    takes = {"nothing": (), "masks": ("missing",), "validity": ("missing", "min_valid"), "weights": ("missing", "min_valid", "weights")}[row.weighs]
    for said, value in (("missing", base > 3), ("min_valid", 0.5), ("weights", base)):
        if said in takes:
            reduce_array(row, base, [(2, 2)], **{said: value})  # type: ignore[arg-type]
            continue
        with pytest.raises(OptionError, match=row.name) as told:
            reduce_array(row, base, [(2, 2)], **{said: value})  # type: ignore[arg-type]
        assert "\n" not in str(told.value)
