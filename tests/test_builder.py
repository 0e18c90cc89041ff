"""Builds against brute force: every sample of every level, whatever the grids, dtypes, threads, executors; and what is read and written."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import ziggurat as zg
from ziggurat import layouts, reductions, storage
from ziggurat.builder.tasks import Progress
from ziggurat.chunkio import CountingStore, DictStore, FileStore

RNG = np.random.default_rng(7)
CHILD = {**os.environ, "PYTHONPATH": str(Path(zg.__file__).parents[1])}


def sums(base, factors, valid=None):
    """Sums and counts of every window, straight from the base, in 64 bits."""
    total = np.where(valid, base, 0).astype(np.int64) if valid is not None else base.astype(np.int64)
    count = np.ones(base.shape, np.int64) if valid is None else valid.astype(np.int64)
    for axis, f in enumerate(factors):
        starts = np.arange(0, base.shape[axis], f)
        total, count = np.add.reduceat(total, starts, axis=axis), np.add.reduceat(count, starts, axis=axis)
    return total, count


def mean_oracle(base, factors, nodata=None):
    """The exact mean of each window, half to even, in integers only."""
    total, count = sums(base, factors, None if nodata is None else base != nodata)
    q, r = np.divmod(total, np.maximum(count, 1))
    q += (2 * r > count) | ((2 * r == count) & (q % 2 == 1))
    return (q if nodata is None else np.where(count == 0, nodata, q)).astype(base.dtype)


def windows(shape, factors):
    for i in np.ndindex(*(-(-n // f) for n, f in zip(shape, factors, strict=True))):
        yield i, tuple(slice(x * f, x * f + f) for x, f in zip(i, factors, strict=True))


def window_oracle(base, factors, function):
    out = np.empty([-(-n // f) for n, f in zip(base.shape, factors, strict=True)], base.dtype)
    for i, where in windows(base.shape, factors):
        out[i] = function(base[where])
    return out


def most_frequent(block):
    values, counts = np.unique(block, return_counts=True)
    return values[np.argmax(counts)]


def levels_of(result):
    group = zarr.open_group(result.location, mode="r")
    return [group[level.path][...] for level in result.plan.levels]


def check_means(result, base, nodata=None):
    for level, found in zip(result.plan.levels, levels_of(result), strict=True):
        want = mean_oracle(base, level.cumulative, nodata)
        assert found.dtype == want.dtype and np.array_equal(found, want), level


def check_counts(result):
    """What was done is what the plan said."""
    assert result.n_chunk_reads == result.plan.n_chunk_reads
    assert result.n_chunk_writes == result.plan.n_chunk_writes


def digest(folder, *, documents=True):
    """One check sum over names and bytes of a tree."""
    found = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and (documents or path.name not in ("zarr.json", ".zattrs")):
            found.update(str(path.relative_to(folder)).encode())
            found.update(path.read_bytes())
    return found.hexdigest()


def zarr_group(path, base, chunks, zarr_format=3, **kwargs):
    group = zarr.create_group(path, zarr_format=zarr_format)
    array = group.create_array("0", shape=base.shape, chunks=chunks, dtype=base.dtype, **kwargs)
    array[...] = base
    return str(path)


ODD = RNG.integers(0, 65536, (203, 101, 67), dtype=np.uint16)

CASES = {
    "37": (ODD, {"chunks": 37}),
    "64": (ODD, {"chunks": 64}),
    "48 of 32": (ODD, {"chunks": (48, 32, 32)}),
    "factor 3": (ODD, {"chunks": 32, "factors": 3}),
    "ladder": (ODD, {"chunks": 32, "factors": [[2], [3], [2]]}),
    "anisotropic ladder": (ODD, {"chunks": 32, "factors": [(1, 2, 2), (2, 3, 1), (1, 1, 5)]}),
    "one axis": (ODD, {"chunks": 32, "factors": {"x": 2}, "levels": 4}),
    "shards of 96": (ODD, {"chunks": 32, "shards": 96}),
    "shards of 64 by 37s": (ODD[:80, :60, :50], {"chunks": 10, "shards": 30}),
    "v2": (ODD, {"chunks": 32, "layout": "ome-zarr@0.4"}),
    "founding": (ODD, {"chunks": 32, "layout": "multiscales@0.1"}),
    "all 65535": (np.full((70, 50, 40), 65535, np.uint16), {"chunks": 16}),
    "ties": (np.indices((64, 64)).sum(0).astype(np.int16) % 2, {"chunks": 16}),
    "negative": (RNG.integers(-32768, 32767, (90, 77), dtype=np.int16), {"chunks": (20, 13)}),
    "wide": (RNG.integers(0, 2**32, (61, 45), dtype=np.uint32), {"chunks": 16, "reduction": "mean"}),
    "1-D": (RNG.integers(0, 256, (5001,), dtype=np.uint8), {"chunks": 128}),
    "4-D": (RNG.integers(0, 256, (3, 21, 33, 17), dtype=np.uint8), {"chunks": 8, "axes": "tzyx"}),
    "5-D": (RNG.integers(0, 256, (2, 3, 9, 33, 17), dtype=np.uint8), {"chunks": 8, "axes": "tczyx"}),
    "6-D": (RNG.integers(0, 256, (2, 2, 3, 9, 13, 17), dtype=np.uint8), {"chunks": 4, "axes": "abczyx"}),
    "colours": (RNG.integers(0, 256, (70, 50, 3), dtype=np.uint8), {"chunks": 16, "layout": "multiscales@0.1"}),
}


@pytest.mark.parametrize("name", CASES)
def test_means_are_exact_at_every_level(tmp_path, name):
    base, options = CASES[name]
    result = zg.build(base, tmp_path / "out.zarr", **options)
    check_means(result, base)
    check_counts(result)
    assert zg.open(str(tmp_path / "out.zarr")).levels[-1].shape == result.plan.levels[-1].shape


@pytest.mark.parametrize(
    ("source_chunks", "chunks"), [((37,) * 3, 64), ((100,) * 3, 64), ((64,) * 3, 32), ((32,) * 3, 64), ((1, 101, 67), 32), ((203, 8, 8), 16)]
)
def test_any_stored_grid_into_any_other(tmp_path, source_chunks, chunks):
    path = zarr_group(tmp_path / "in.zarr", ODD, source_chunks)
    result = zg.build(path, tmp_path / "out.zarr", chunks=chunks, axes="zyx")
    check_means(result, ODD)
    check_counts(result)


def test_planes_to_cubes_with_little_memory(tmp_path):
    base = RNG.integers(0, 65536, (80, 256, 256), dtype=np.uint16)
    path = zarr_group(tmp_path / "in.zarr", base, (1, 256, 256))
    rich = zg.build(path, tmp_path / "rich.zarr", chunks=64, axes="zyx", threads=1)
    poor = zg.build(path, tmp_path / "poor.zarr", chunks=64, axes="zyx", threads=1, memory="106MiB")
    assert rich.plan.n_chunk_reads == 80 < poor.plan.n_chunk_reads
    for result in (rich, poor):
        check_means(result, base)
        check_counts(result)
    assert digest(tmp_path / "rich.zarr", documents=False) == digest(tmp_path / "poor.zarr", documents=False)


def test_a_pass_per_level_gives_the_same_floats(tmp_path):
    base = RNG.random((1500, 1400)).astype(np.float64) * 1e9
    path = zarr_group(tmp_path / "in.zarr", base, (101, 101))
    options = {"chunks": 97, "factors": [[5], [2], [3]], "axes": "yx", "threads": 1}
    one = zg.build(path, tmp_path / "one.zarr", **options)
    plan = one.plan
    while len(plan.passes) == 1:  # ever less memory, until one walk no longer fits
        plan = zg.plan(path, tmp_path / "many.zarr", memory=plan.peak_bytes - 1, **options)
    many = zg.build(path, tmp_path / "many.zarr", plan=plan)
    check_counts(many)
    assert all(np.array_equal(a, b) for a, b in zip(levels_of(one), levels_of(many), strict=True))


@pytest.mark.parametrize(("zarr_format", "kwargs"), [(2, {}), (3, {}), (3, {"shards": (64, 64, 64)}), (3, {"shards": (96, 64, 32)})])
def test_in_place_reads_once_writes_once_and_leaves_the_base_alone(tmp_path, zarr_format, kwargs):
    path = zarr_group(tmp_path / "g.zarr", ODD, (32,) * 3, zarr_format, **kwargs)
    before = digest(f"{path}/0")
    result = zg.build(f"{path}/0", axes="zyx")
    assert result.location == path and result.plan.in_place
    assert digest(f"{path}/0") == before
    check_means(result, ODD)
    assert result.n_chunk_reads == 7 * 4 * 3
    check_counts(result)


@pytest.mark.parametrize(("zarr_format", "dtype"), [(2, "<u2"), (2, ">u2"), (3, "<u2")])
def test_verbatim_copies_hold_the_stored_bytes(tmp_path, zarr_format, dtype):
    base = ODD.astype(dtype)
    path = zarr_group(tmp_path / "in.zarr", base, (37,) * 3, zarr_format)
    result = zg.build(path, tmp_path / "out.zarr", axes="zyx")
    assert result.plan.base == "verbatim"
    check_means(result, ODD)
    check_counts(result)
    stored = sorted(p.read_bytes() for p in Path(path, "0").rglob("*") if p.is_file() and not p.name.startswith((".z", "zarr")))
    copied = sorted(p.read_bytes() for p in Path(result.location, "0").rglob("*") if p.is_file() and p.name != "zarr.json")
    assert stored == copied


def test_verbatim_copy_while_borders_are_read_again_copies_each_chunk_once(tmp_path):
    path = zarr_group(tmp_path / "in.zarr", ODD, (37,) * 3)
    need = zg.plan(path, tmp_path / "out.zarr", axes="zyx", threads=1).peak_bytes
    plan = zg.plan(path, tmp_path / "out.zarr", axes="zyx", threads=1, memory=need - 1)
    assert plan.n_chunk_reads > plan.levels[0].n_chunks
    result = zg.build(path, tmp_path / "out.zarr", plan=plan)
    assert plan.base == "verbatim"
    check_means(result, ODD)
    check_counts(result)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", ">u2", ">i4", ">f4"])
def test_means_of_every_real_dtype_are_the_fractions(tmp_path, dtype):
    kind = np.dtype(dtype)
    if kind.kind == "f":
        base = RNG.random((17, 13)).astype(dtype)
    else:
        limits = np.iinfo(kind)
        base = RNG.integers(limits.min, limits.max, (17, 13), dtype=kind.newbyteorder("="), endpoint=True).astype(dtype)
        base[:4, :4] = limits.max
    path = zarr_group(tmp_path / "g.zarr", base, (5, 4), 2)
    result = zg.build(path, axes="yx", kind="image", factors=2, levels=3)
    for level, found in zip(result.plan.levels[1:], levels_of(result)[1:], strict=True):
        for i, where in windows(base.shape, level.cumulative):
            exact = Fraction(sum(Fraction(x) for x in base[where].ravel().tolist()), base[where].size)
            want = float(exact) if kind.kind == "f" else round(exact)
            assert found[i] == kind.newbyteorder("=").type(want), (level.path, i)


def test_bool_float16_and_complex(tmp_path):
    mask = RNG.random((50, 41)) < 0.5
    result = zg.build(mask, tmp_path / "b.zarr", chunks=16)
    assert result.plan.reduction == "mode" and np.array_equal(levels_of(result)[1], window_oracle(mask, (2, 2), most_frequent))
    half = RNG.random((50, 41)).astype(np.float16)
    assert np.array_equal(levels_of(zg.build(half, tmp_path / "h.zarr", chunks=16))[1], window_oracle(half, (2, 2), lambda b: b.astype(np.float64).mean()))
    waves = (RNG.random((50, 41)) + 1j * RNG.random((50, 41))).astype(np.complex64)
    found = levels_of(zg.build(waves, tmp_path / "c.zarr", chunks=16))[1]
    assert np.allclose(found, window_oracle(waves, (2, 2), np.mean), rtol=1e-6)


def test_nan_and_nodata_are_skipped_from_the_base(tmp_path):
    base = RNG.random((203, 101)).astype(np.float32)
    base[RNG.random(base.shape) < 0.3] = np.nan
    base[32:64, 32:64] = np.nan
    result = zg.build(base, tmp_path / "n.zarr", chunks=16)
    for level, found in zip(result.plan.levels, levels_of(result), strict=True):
        with np.errstate(all="ignore"):
            total, count = base.astype(np.float64), (~np.isnan(base)).astype(np.int64)
            total[np.isnan(base)] = 0
            for axis, f in enumerate(level.cumulative):
                starts = np.arange(0, base.shape[axis], f)
                total, count = np.add.reduceat(total, starts, axis=axis), np.add.reduceat(count, starts, axis=axis)
            assert np.allclose(found, total / count, rtol=1e-6, atol=0, equal_nan=True)
    image = ODD[..., 0].copy()
    image[RNG.random(image.shape) < 0.4] = 5
    image[64:96, 32:64] = 5
    check_means(zg.build(image, tmp_path / "d.zarr", chunks=16, nodata=5), image, nodata=5)


@pytest.mark.parametrize(("reduction", "function"), [("stride", lambda b: b.flat[0]), ("min", np.min), ("max", np.max)])
def test_reductions_that_compose_are_those_of_the_base(tmp_path, reduction, function):
    base = ODD[:41, :30, :22]
    result = zg.build(base, tmp_path / "out.zarr", chunks=(16, 12, 20), factors=[(2, 3, 2), (2, 2, 1)], reduction=reduction)
    for level, found in zip(result.plan.levels, levels_of(result), strict=True):
        assert np.array_equal(found, window_oracle(base, level.cumulative, function))


def test_mode_is_that_of_the_level_before(tmp_path):
    labels = RNG.integers(0, 4, (61, 47), dtype=np.uint32)
    result = zg.build(labels, tmp_path / "out.zarr", chunks=13, kind="labels")
    before = labels
    for level, found in zip(result.plan.levels[1:], levels_of(result)[1:], strict=True):
        before = window_oracle(before, level.factors, most_frequent)
        assert np.array_equal(found, before)
    assert json.loads(Path(result.location, "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]["metadata"]["kwargs"]["source"] == "previous"


@pytest.mark.parametrize("reduction", ["gaussian", "laplacian", "median"])
@pytest.mark.parametrize("chunks", [37, (16, 64), 203])
def test_levels_do_not_depend_on_how_they_are_cut(tmp_path, reduction, chunks):
    base = ODD[..., 5]
    residual = reduction == "laplacian"
    result = zg.build(base, tmp_path / "out.zarr", chunks=chunks, reduction=reduction, levels=4, residual_base=residual)
    ladder = [level.factors for level in result.plan.levels[1:]]
    want = list(reductions.reduce_array(reductions.find(reduction), base, ladder, residual_base=residual))
    if residual:
        assert np.array_equal(zarr.open_array(f"{result.location}/{result.plan.residual_base}")[...], want.pop(0))
    for found, expected in zip(levels_of(result)[1:], want, strict=True):
        assert found.dtype == expected.dtype and np.array_equal(found, expected)
    check_counts(result)


# --- the same bytes


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.mark.parametrize("options", [{}, {"shards": 64}, {"reduction": "mode"}, {"reduction": "laplacian"}, {"dtype": "float32"}], ids=str)
def test_threads_and_processes_write_the_same_files(tmp_path, pool, options):
    base = ODD[:100, :70, :50]
    made = {}
    with ThreadPoolExecutor(2) as threads:
        for name, how in {"1": {"threads": 1}, "2": {"threads": 2}, "threads": {"executor": threads}, "processes": {"executor": pool}}.items():
            result = zg.build(base, tmp_path / name / "out.zarr", chunks=16, **options, **how)
            check_counts(result)
            made[name] = digest(result.location)
            assert not Path(result.location, ".ziggurat").exists()
    assert len(set(made.values())) == 1, made


def test_missing_samples_travel_through_processes(tmp_path, pool):
    base = RNG.random((150, 90)).astype(np.float32)
    base[RNG.random(base.shape) < 0.3] = np.nan
    here, there = zg.build(base, tmp_path / "a.zarr", chunks=8, name="x"), zg.build(base, tmp_path / "b.zarr", chunks=8, name="x", executor=pool)
    assert there.plan.passes[0].root < there.plan.n_levels - 1
    assert digest(here.location) == digest(there.location)


def test_samples_do_not_depend_on_chunks(tmp_path):
    found = [levels_of(zg.build(ODD, tmp_path / f"{c}.zarr", chunks=c, levels=4)) for c in (37, 64, 100, 203)]
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


# --- counts, memory


def test_stores_are_asked_for_each_chunk_once_and_given_each_object_once(tmp_path):
    base = ODD[:128, :64, :64]
    path = zarr_group(tmp_path / "in.zarr", base, (32,) * 3)
    zg.build(path, levels=1, axes="zyx")  # a multiscale of the base alone, so that nothing is listed
    source, target = CountingStore(FileStore(path)), CountingStore(DictStore())
    result = zg.build(source, target, axes="zyx")
    chunk_gets = {key: n for key, n in source.gets.items() if "/c/" in key}
    assert set(chunk_gets.values()) == {1} and len(chunk_gets) == 4 * 2 * 2
    chunk_puts = {key: n for key, n in target.puts.items() if "/c/" in key}
    assert set(chunk_puts.values()) == {1}
    assert len(chunk_puts) == result.plan.levels[0].n_objects + sum(level.n_objects for level in result.plan.levels[1:])
    assert all(n == 1 for n in target.puts.values())
    node = storage.open_node(target)
    assert [m.n_levels for m in layouts.read(node).multiscales] == [result.n_levels]


def test_empty_chunks_are_not_stored_unless_asked(tmp_path):
    base = np.zeros((128, 128), np.uint8)
    base[:32, :32] = 9
    few = zg.build(base, tmp_path / "few.zarr", chunks=32)
    check_counts(few)
    check_means(few, base)
    assert len(list(Path(few.location, "0").rglob("c/*/*"))) == 1
    many = zg.build(base, tmp_path / "many.zarr", chunks=32, write_empty=True)
    assert len(list(Path(many.location, "0").rglob("c/*/*"))) == 16


WEIGHED, RESIZED = "weights={'z': [1.0] * 256}, coverage=True, min_valid=0.5", "level_shapes=[(160, 160, 160), (70, 70, 70), (20, 20, 20)]"


@pytest.mark.parametrize("options", ["target=None", "shards=256", "reduction='gaussian'", "chunks=48", "dtype='float32'", WEIGHED, RESIZED])
def test_peak_memory_is_at_most_the_plans(tmp_path, options):
    base = np.empty((256, 256, 256), np.uint16)
    base[...] = RNG.integers(0, 9999, 256, dtype=np.uint16)
    path = zarr_group(tmp_path / "in.zarr", base, (64,) * 3)
    target = "" if options.startswith("target") else f"{str(tmp_path / 'out.zarr')!r}, "
    program = f"""
import ziggurat as zg
result = zg.build({path!r}, {target}threads=2, levels=4, axes="zyx", {options})
facts = dict(line.split(":") for line in open("/proc/self/status"))
print(int(facts["VmHWM"].split()[0]) * 1024, result.plan.peak_bytes)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=CHILD)
    peak, planned = map(int, done.stdout.split())
    assert peak <= planned


# --- placement


def placement_error(tmp, shape, chunks, ladder, reduction, layout, scale, translation):
    """Builds a ramp of world coordinates and returns how far each level's samples lie from where the metadata says they are."""
    axes = "zyx"[-len(shape) :]
    worst = 0.0
    for axis in range(len(shape)):
        base = np.empty(shape)
        base[...] = (np.arange(shape[axis]) * scale[axis] + translation[axis]).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        where = Path(tmp, f"{axis}.zarr")
        result = zg.build(
            base, where, chunks=chunks, factors=ladder, reduction=reduction, layout=layout, scale=scale, translation=translation, axes=axes, name="r"
        )
        series = layouts.read(storage.open_node(str(where))).multiscales[0]
        group = zarr.open_group(where, mode="r")
        for level, plan in zip(series.levels, result.plan.levels, strict=True):
            assert (level.scale, level.translation) == (plan.scale, plan.translation)
            s, t = level.scale[axis], level.translation[axis]
            whole = shape[axis] // plan.cumulative[axis]  # partial windows lie where their samples are, maths.md 3.1
            samples = np.moveaxis(group[level.path][...], axis, -1)[..., :whole]
            stated = np.arange(whole) * s + t
            if whole:
                worst = max(worst, float(np.abs(samples - stated).max() / scale[axis]))
    return worst


ladders = st.lists(st.sampled_from([2, 3, 4, 5]), min_size=1, max_size=3)
draws = {
    "sizes": st.lists(st.integers(6, 60), min_size=2, max_size=3),
    "chunk": st.integers(3, 40),
    "ladder": ladders,
    "reduction": st.sampled_from(["mean", "median", "stride"]),
    "layout": st.sampled_from(["ome-zarr@0.5", "ome-zarr@0.4", "multiscales@0.1"]),
    "scale": st.sampled_from([(1.0, 1.0, 1.0), (0.5, 0.1, 0.25), (3.0, 0.7, 1e-3)]),
    "shift": st.sampled_from([(0.0, 0.0, 0.0), (10.5, -3.25, 100.0)]),
}


def check_placement(tmp, sizes, chunk, ladder, reduction, layout, scale, shift):
    n = len(sizes)
    steps, left = [], list(sizes)
    for f in ladder:
        step = [min(f, m) if m > 1 else 1 for m in left]
        if all(s == 1 for s in step):
            break
        steps.append(tuple(step))
        left = [-(-m // s) for m, s in zip(left, step, strict=True)]
    error = placement_error(tmp, tuple(sizes), chunk, steps, reduction, layout, scale[:n], shift[:n])
    assert error <= 1e-9, error


@settings(max_examples=40)
@given(**draws)
def test_placement_error_is_zero(tmp_path_factory, sizes, chunk, ladder, reduction, layout, scale, shift):
    check_placement(tmp_path_factory.mktemp("p"), sizes, chunk, ladder, reduction, layout, scale, shift)


@pytest.mark.prove
@settings(max_examples=300)
@given(**draws)
def test_placement_error_is_zero_in_300_builds(tmp_path_factory, sizes, chunk, ladder, reduction, layout, scale, shift):
    check_placement(tmp_path_factory.mktemp("p"), sizes, chunk, ladder, reduction, layout, scale, shift)


def test_gaussian_places_a_ramp_beyond_its_halo(tmp_path):
    base = np.arange(200.0) * np.ones((40, 1))
    result = zg.build(base, tmp_path / "g.zarr", chunks=16, reduction="gaussian", levels=3)
    for level, found in zip(result.plan.levels, levels_of(result), strict=True):
        inner = slice(4, found.shape[1] - 4)
        stated = np.arange(found.shape[1]) * level.scale[1] + level.translation[1]
        assert np.abs(found[:, inner] - stated[inner]).max() < 1e-9


# --- results, progress, odds and ends


def test_progress_counts_every_task(tmp_path):
    seen: list[Progress] = []
    result = zg.build(ODD, tmp_path / "o.zarr", chunks=32, progress=seen.append)
    assert [p.n_done for p in seen] == list(range(1, result.n_tasks + 1))
    assert seen[-1].fraction == 1.0 and seen[-1].n_total == result.plan.n_tasks and result.n_resumed == 0


def test_result_tells_the_means(tmp_path):
    result = zg.build(ODD, tmp_path / "o.zarr", chunks=32)
    assert math.isclose(result.base_mean, ODD.mean(), rel_tol=1e-9)
    assert math.isclose(result.last_mean, levels_of(result)[-1].mean(), rel_tol=1e-9)
    assert len(str(result).splitlines()) == 5
    assert str(result).splitlines()[1].startswith(f"{len(result.plan.levels)} levels, ")
    assert json.loads(json.dumps(result.to_json()))["n_levels"] == result.n_levels


def test_display_windows_are_percentiles_of_the_coarsest_level(tmp_path):
    photo = RNG.integers(0, 200, (80, 60, 3), dtype=np.uint8)
    result = zg.build(photo, tmp_path / "o.zarr", chunks=16)
    omero = json.loads(Path(result.location, "zarr.json").read_text())["attributes"]["ome"]["omero"]
    last = levels_of(result)[-1]
    assert [c["color"] for c in omero["channels"]] == ["FF0000", "00FF00", "0000FF"]
    for c, channel in enumerate(omero["channels"]):
        assert np.allclose([channel["window"]["start"], channel["window"]["end"]], np.percentile(last[c], [1, 99.9]))
    assert np.array_equal(levels_of(result)[0], photo.transpose(2, 0, 1))


def test_arrays_carry_dimension_names_and_geometry_when_asked(tmp_path):
    result = zg.build(ODD[..., 0], tmp_path / "o.zarr", chunks=32, array_geometry=True, scale=0.5, unit="micrometer")
    group = zarr.open_group(result.location, mode="r")
    assert group["1"].metadata.dimension_names == ("y", "x")
    assert dict(group["1"].attrs)["transform"] == {"axes": ["y", "x"], "units": ["um", "um"], "scale": [1.0, 1.0], "translate": [0.25, 0.25]}
    bare = zg.build(ODD[..., 0], tmp_path / "b.zarr", chunks=32)
    assert not dict(zarr.open_group(bare.location, mode="r")["1"].attrs)


def test_our_own_output_has_no_problems(tmp_path):
    for layout in ("ome-zarr@0.5", "ome-zarr@0.4", "multiscales@0.1"):
        report = zg.check(zg.build(ODD[..., 0], tmp_path / f"{layout}.zarr", chunks=32, layout=layout, unit="micrometer").location)
        assert not [p for p in report if p.requirement != "NOTE"], list(report)


def test_a_local_build_imports_no_zarr_and_no_click(tmp_path):
    path = zarr_group(tmp_path / "g.zarr", ODD[..., 0], (32, 32))
    program = (
        f"import sys, ziggurat as zg; zg.build({path!r}, axes='yx'); print([m for m in ('zarr', 'click', 'dask', 'rich', 'tifffile') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=CHILD).stdout.strip() == "[]"


def second_largest(block, factors, out, nodata):
    """A reduction of a newcomer's: the second largest sample of each window, or the only one."""
    for i in np.ndindex(*out.shape):
        window = np.sort(block[tuple(slice(x * f, x * f + f) for x, f in zip(i, factors, strict=True))], axis=None)
        out[i] = window[-min(2, window.size)]


def test_a_row_of_ones_own_is_a_reduction(tmp_path):
    row = dataclasses.replace(reductions.find("max"), name="second", composes=False, factory=reductions.Windows(second_largest))
    base = ODD[:50, :40, 3]
    result = zg.build(base, tmp_path / "o.zarr", chunks=16, reduction=row)
    before = base
    for level, found in zip(result.plan.levels[1:], levels_of(result)[1:], strict=True):
        before = window_oracle(before, level.factors, lambda b: np.sort(b, axis=None)[-min(2, b.size)])
        assert np.array_equal(found, before)
    assert result.plan.reduction == "second"
