"""Stored chunks that fit no written ones: tiles of level 0 that lie in several tiles of level 1, against brute force and against every other way."""

from __future__ import annotations

import itertools
import math
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr

import ziggurat as zg
from tests.test_builder import ODD, check_counts, check_means, digest, levels_of, most_frequent, window_oracle, zarr_group
from ziggurat.planner import tiles
from ziggurat.planner.tiles import n_begun, sweep

RNG = np.random.default_rng(11)
SMALL = ODD[:110, :70, :50]
FLOATS = RNG.random((150, 130)).astype(np.float32)
FLOATS[RNG.random(FLOATS.shape) < 0.02] = np.nan
FLOATS[40:70, 20:90] = np.nan

WIDE = RNG.integers(0, 65536, (130, 110, 90), dtype=np.uint16)
PLANE = RNG.integers(0, 65536, (700, 600), dtype=np.uint16)
JOINED = {
    "factor 3": (PLANE, (40,) * 2, {"chunks": 40, "factors": 3}),
    "odd chunks": (WIDE, (37,) * 3, {"chunks": 37, "threads": 1}),
    "ladder": (PLANE % 999, (32,) * 2, {"chunks": 32, "factors": [(2, 2), (3, 3), (2, 5)], "threads": 4}),
    "signed": (WIDE.astype(np.int16), (32, 40, 30), {"chunks": (16, 20, 45), "factors": [(3, 1, 2), (1, 3, 1), (5, 1, 2)], "levels": 4}),
    "64 bits": (WIDE.astype(np.int64) << 30, (50,) * 3, {"chunks": 8, "factors": (3, 3, 3), "levels": 3}),
    "one axis": (WIDE[:, 0, 0], (17,), {"chunks": 17, "factors": 3}),
    "one tile": (WIDE, (50,) * 3, {"chunks": 16, "factors": 3}),
    "shards": (PLANE, (40,) * 2, {"chunks": 40, "shards": 80, "factors": 3}),
}
CASES = {
    "windows straddle too": (PLANE, (50,) * 2, {"chunks": 16, "factors": 3}),
    "windows straddle, small values": (PLANE % 999, (50,) * 2, {"chunks": 16, "factors": 3, "threads": 4}),
    "windows straddle, signed": (PLANE.astype(np.int16), (50,) * 2, {"chunks": (16, 8), "factors": [(3, 3), (2, 1), (5, 3)], "levels": 4}),
    "windows straddle, 64 bits": (PLANE.astype(np.int64) << 30, (50,) * 2, {"chunks": 8, "factors": 3, "levels": 3}),
    "10 to 8": (SMALL, (10,) * 3, {"chunks": 8}),
    "one thread": (SMALL, (10,) * 3, {"chunks": 8, "threads": 1}),
    "four threads": (SMALL, (10,) * 3, {"chunks": 8, "threads": 4}),
    "odd chunks": (SMALL, (11, 14, 5), {"chunks": 8}),
    "smaller chunks": (ODD[..., 0], (5, 7), {"chunks": 8}),
    "ladder": (PLANE, (50,) * 2, {"chunks": 16, "factors": [(2, 3), (3, 1), (2, 2)]}),
    "one level": (SMALL, (10,) * 3, {"chunks": 8, "levels": 2}),
    "shards": (SMALL, (10,) * 3, {"chunks": 8, "shards": 16}),
    "signed": (SMALL.astype(np.int16), (10,) * 3, {"chunks": 8}),
    "plane": (ODD[..., 0], (11, 13), {"chunks": 4}),
    "line": (ODD[:, 0, 0], (11,), {"chunks": 4}),
}


@pytest.fixture(autouse=True)
def small_tiles_are_joined(monkeypatch):
    """Sums are joined where tiles of whole windows would be large; here, for a test's sake, wherever they would be larger."""
    monkeypatch.setattr(tiles, "HOT_SAMPLES", 0)


def in_place(folder, base, stored, **options):
    axes = "zyx"[-base.ndim :]
    return zg.build(f"{zarr_group(folder, base, stored)}/0", axes=axes, kind="image", **options)


@pytest.mark.parametrize("name", CASES)
def test_means_are_exact_where_grids_do_not_nest_and_each_chunk_is_read_once(tmp_path, name):
    base, chunks, options = CASES[name]
    result = in_place(tmp_path / "g.zarr", base, chunks, **options)
    one = result.plan.passes[0]
    assert one.straddles and len(result.plan.passes) == 1
    check_means(result, base)
    check_counts(result)
    assert result.n_chunk_reads == math.prod(-(-n // c) for n, c in zip(base.shape, chunks, strict=True))


@pytest.mark.parametrize("name", JOINED)
def test_windows_in_several_tiles_are_joined_at_every_level(tmp_path, name):
    base, chunks, options = JOINED[name]
    result = in_place(tmp_path / "g.zarr", base, chunks, **options)
    one = result.plan.passes[0]
    assert one.joins and not one.straddles and one.tiles[0] == tuple(min(c, n) for c, n in zip(chunks, base.shape, strict=True))
    check_means(result, base)
    check_counts(result)
    assert result.n_chunk_reads == math.prod(-(-n // c) for n, c in zip(base.shape, chunks, strict=True))


def test_a_copy_is_joined_too(tmp_path):
    """Stored chunks are copied, or encoded anew, and folded by the way."""
    path = zarr_group(tmp_path / "g.zarr", PLANE, (40,) * 2)
    for name, options in (("same", {}), ("anew", {"codecs": "zstd 1"})):
        result = zg.build(f"{path}/0", tmp_path / f"{name}.zarr", axes="yx", kind="image", factors=3, **options)
        assert result.plan.passes[0].joins
        check_counts(result)
        check_means(result, PLANE)


@pytest.mark.parametrize(("reduction", "function"), [("stride", lambda b: b.flat[0]), ("max", np.max), ("mode", most_frequent)])
def test_other_reductions(tmp_path, reduction, function):
    base = ODD[:90, :60, :50] % 5
    result = in_place(tmp_path / "g.zarr", base, (10,) * 3, chunks=8, reduction=reduction)
    assert result.plan.passes[0].straddles
    check_counts(result)
    previous = base
    for level, found in zip(result.plan.levels[1:], levels_of(result)[1:], strict=True):
        previous = window_oracle(previous, level.factors, function)
        assert np.array_equal(found, previous)


def test_missing_samples_and_floats_have_the_bytes_of_nested_tiles(tmp_path):
    """Sums of floats and weights do not depend on how the base is cut, stored or shared among threads."""
    for name, base, options in (("f", FLOATS, {}), ("n", ODD[..., 0] % 9, {"nodata": 4})):
        want = in_place(tmp_path / f"{name}.zarr", base, (8, 8), chunks=8, **options)
        assert not want.plan.passes[0].straddles
        for threads in (1, 3):
            result = in_place(tmp_path / f"{name}{threads}.zarr", base, (10, 10), chunks=8, threads=threads, **options)
            assert result.plan.passes[0].straddles
            check_counts(result)
            for level in result.plan.levels[1:]:
                assert digest(f"{result.location}/{level.path}") == digest(f"{want.location}/{level.path}")


def test_workers_that_share_nothing_read_borders_again_and_the_plan_says_how_often(tmp_path):
    here = in_place(tmp_path / "h" / "g.zarr", ODD, (10,) * 3, chunks=8)
    with ThreadPoolExecutor(2) as executor:
        there = in_place(tmp_path / "t" / "g.zarr", ODD, (10,) * 3, chunks=8, executor=executor)
    assert here.plan.passes[0].root > 1
    assert there.n_chunk_reads == there.plan.passes[0].n_lone_reads > here.n_chunk_reads == here.plan.n_chunk_reads
    assert there.n_chunk_writes == here.n_chunk_writes
    assert digest(tmp_path / "h") == digest(tmp_path / "t")


def test_joined_windows_in_any_order_and_by_anyone(tmp_path):
    base = PLANE
    for stored, factors, chunks, straddles in ((50, (3, 3), 16, True), (20, (3, 1), (8, 40), False)):
        options = {"chunks": chunks, "factors": factors, "levels": 3}
        one, two = tmp_path / f"one{stored}", tmp_path / f"two{stored}"
        here = in_place(one / "g.zarr", base, (stored,) * base.ndim, threads=3, **options)
        with ThreadPoolExecutor(2) as executor:
            there = in_place(two / "g.zarr", base, (stored,) * base.ndim, executor=executor, **options)
        found, n = here.plan.passes[0], math.prod(-(-n // stored) for n in base.shape)
        assert found.joins and found.straddles is straddles and found.root and here.n_chunk_reads == n
        assert there.n_chunk_reads == (there.plan.passes[0].n_lone_reads or n)
        assert (there.n_chunk_reads > n) is straddles
        assert digest(one) == digest(two)


def test_only_sums_of_integers_are_joined(tmp_path):
    for name, base, options in (("f", WIDE.astype(np.float32), {}), ("n", WIDE, {"nodata": 3}), ("m", WIDE, {"reduction": "max"})):
        plan = zg.plan(f"{zarr_group(tmp_path / name, base, (50,) * 3)}/0", axes="zyx", kind="image", chunks=8, factors=3, **options)
        assert not plan.passes[0].joins


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    "options", [{"chunks": 8}, {"chunks": 8, "shards": 16}, {"chunks": (10, 70, 50), "factors": (3, 1, 1)}], ids=["plain", "shards", "joined"]
)
@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.prove), 20, pytest.param(50, marks=pytest.mark.prove)])
def test_a_stopped_build_goes_on_in_either_way_and_ends_in_the_same_bytes(tmp_path, n, options):
    base = SMALL
    in_place(tmp_path / "w" / "g.zarr", base, (10,) * 3, **options)

    def stop(progress):
        if progress.n_done >= n:
            raise Stop

    for name in ("threads", "executor"):
        path = f"{zarr_group(tmp_path / name / 'g.zarr', base, (10,) * 3)}/0"
        with pytest.raises(Stop):
            zg.build(path, axes="zyx", kind="image", progress=stop, **options)
        if name == "threads":
            result = zg.build(path, axes="zyx", kind="image", **options)
            assert result.n_chunk_reads <= result.plan.n_chunk_reads
        else:
            with ThreadPoolExecutor(2) as executor:
                result = zg.build(path, axes="zyx", kind="image", executor=executor, **options)
        assert result.n_resumed >= (n if "shards" not in options else 0)
        assert result.n_chunk_writes == result.plan.n_chunk_writes
        assert digest(tmp_path / name) == digest(tmp_path / "w")
        shutil.rmtree(tmp_path / name)


def test_finished_roots_are_not_read_again(tmp_path):
    path = f"{zarr_group(tmp_path / 'g.zarr', SMALL, (10,) * 3)}/0"
    n_total = zg.plan(path, axes="zyx", kind="image", chunks=8).n_tasks

    def stop(progress):
        if progress.n_done >= n_total // 2:
            raise Stop

    with pytest.raises(Stop):
        zg.build(path, axes="zyx", kind="image", chunks=8, progress=stop)
    result = zg.build(path, axes="zyx", kind="image", chunks=8)
    assert result.n_chunk_reads < 0.8 * result.plan.n_chunk_reads
    check_means(result, SMALL)


def test_less_memory_cuts_stored_chunks_and_gives_the_same_bytes(tmp_path):
    rich = in_place(tmp_path / "r" / "g.zarr", SMALL, (10,) * 3, chunks=8, threads=1)
    path = f"{zarr_group(tmp_path / 'p' / 'g.zarr', SMALL, (10,) * 3)}/0"
    plan = zg.plan(path, axes="zyx", kind="image", chunks=8, threads=1, memory=rich.plan.peak_bytes - 1)
    assert not plan.passes[0].straddles and plan.n_chunk_reads > rich.plan.n_chunk_reads
    zg.build(path, plan=plan)
    assert digest(tmp_path / "r") == digest(tmp_path / "p")


def test_copies_and_nesting_grids_do_not_straddle(tmp_path):
    path = zarr_group(tmp_path / "g.zarr", SMALL, (10,) * 3)
    assert not zg.plan(path, tmp_path / "o.zarr", axes="zyx", kind="image", chunks=8).passes[0].straddles
    for chunks in (10, 20, 40):
        assert not zg.plan(path, axes="zyx", kind="image", chunks=chunks).passes[0].straddles


def most_begun(shapes, factors, tiles, k):
    """Sweeps level 0 and counts the tiles of level k that are begun and not complete, by brute force."""
    cumulative = [math.prod(f[a] for f in factors[1 : k + 1]) for a in range(len(tiles[0]))]
    footprint = [t * c for t, c in zip(tiles[k], cumulative, strict=True)]
    left, begun, most = {}, set(), 0

    def over(leaf):
        spans = zip(leaf, tiles[0], shapes[0], footprint, strict=True)
        return list(itertools.product(*(range(x * t // f, -(-min(x * t + t, n) // f)) for x, t, n, f in spans)))

    leaves = list(sweep(shapes[0], tiles[0]))
    assert sorted(leaves) == list(itertools.product(*(range(-(-n // t)) for n, t in zip(shapes[0], tiles[0], strict=True))))
    for leaf in leaves:
        for i in over(leaf):
            left[i] = left.get(i, 0) + 1
    for leaf in leaves:
        begun.update(over(leaf))
        most = max(most, len(begun))
        for i in over(leaf):
            left[i] -= 1
            if not left[i]:
                begun.discard(i)
    return most


def test_no_more_tiles_are_open_than_the_plan_counts():
    rng = np.random.default_rng(5)
    for _ in range(60):
        ndim = int(rng.integers(1, 4))
        base = tuple(int(n) for n in rng.integers(40, 130, ndim))
        factors = [(1,) * ndim, (2,) * ndim, tuple(int(f) for f in rng.integers(1, 4, ndim))]
        shapes = [base]
        for f in factors[1:]:
            shapes.append(tuple(-(-n // g) for n, g in zip(shapes[-1], f, strict=True)))
        leaf = tuple(2 * int(n) for n in rng.integers(2, 20, ndim))
        tiles = [leaf, *(tuple(int(n) * 6 for n in rng.integers(1, 4, ndim)),) * 2]
        for k in (1, 2):
            assert most_begun(shapes, factors, tiles, k) <= n_begun(shapes, factors, tiles, k, 1)


def test_the_front_is_much_smaller_than_the_level(tmp_path):
    array = zarr.create_group(tmp_path / "g.zarr").create_array("0", shape=(1024,) * 3, chunks=(100,) * 3, dtype="u2")
    plan = zg.plan(f"{array.store_path}", tmp_path / "x.zarr", axes="zyx", chunks=100)
    assert not plan.passes[0].straddles
    plan = zg.plan(tmp_path / "g.zarr", axes="zyx", chunks=64, threads=2)
    assert plan.passes[0].straddles and plan.n_chunk_reads == 11**3
    assert plan.peak_bytes < 320 * 2**20 < 512 * 2**20  # the sums of the whole of level 1 would be 512 MiB
