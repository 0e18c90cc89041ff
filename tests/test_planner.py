"""The planner: defaults, refusals, tiles against brute force, costs. No I/O anywhere."""

from __future__ import annotations

import itertools
import math
import pickle
import random
from dataclasses import replace

import numpy as np
import pytest

from ziggurat import problems
from ziggurat.geometry import level_shapes
from ziggurat.model import ArrayInfo, Axis, SourceInfo
from ziggurat.planner import BuildOptions, BuildPlan, Probes, Target, make_plan, tiles
from ziggurat.planner.options import parse_bytes
from ziggurat.planner.tiles import Grids, candidates, count_reads, nest, order, root_level

PROBES = Probes(n_cpus=2, ram_bytes=16 * 2**30, software="test", version="0")
ZYX = tuple(Axis(n, "space") for n in "zyx")


def array(shape, dtype="uint16", chunks=None, **facts):
    sizes = {"uint8": 1, "bool": 1, "uint16": 2, "uint32": 4, "float32": 4, "uint64": 8, "complex64": 8}
    return ArrayInfo(shape=tuple(shape), dtype=dtype, chunks=tuple(chunks or shape), itemsize=sizes[dtype], **facts)


def source(shape, dtype="uint16", chunks=None, **facts):
    inside = {k: facts.pop(k) for k in ("zarr_format", "separator", "shards", "fill_value") if k in facts}
    return SourceInfo("mem", "mem", array(shape, dtype, chunks, **inside), **facts)


def plan(info, *, target=None, probes=PROBES, **options):
    return make_plan(info, BuildOptions(**options), target or Target("out", "out"), probes)


def zarr_base(shape, chunks, zarr_format=3, separator="/", **facts):
    return source(shape, chunks=chunks, zarr_format=zarr_format, separator=separator, group="g", path="0", axes=ZYX[-len(shape) :], **facts)


IN_PLACE = Target("g", "g", in_place=True, zarr_format=3)


# --- defaults.md, line by line


@pytest.mark.parametrize(
    ("shape", "dtype", "names"),
    [((50,), "uint16", "x"), ((50, 60), "uint16", "yx"), ((40, 50, 60), "uint16", "zyx"), ((40, 50, 3), "float32", "zyx"), ((40, 50, 5), "uint8", "zyx")],
)
def test_axes_of_bare_arrays_follow_their_rank(shape, dtype, names):
    assert "".join(a.name for a in plan(source(shape, dtype)).axes) == names


def test_colours_last_are_yxc_and_written_cyx_for_ome():
    made = plan(source((40, 50, 3), "uint8"))
    assert "".join(a.name for a in made.axes) == "cyx"
    assert made.transpose == (2, 0, 1)
    assert made.levels[0].shape == (3, 40, 50)
    assert made.layout == "ome-zarr@0.5"
    assert all(level.shape[0] == 3 and level.factors[0] == 1 for level in made.levels)


def test_colours_keep_their_order_where_the_layout_has_none():
    made = plan(source((40, 50, 3), "uint8"), layout="multiscales@0.1")
    assert "".join(a.name for a in made.axes) == "yxc" and made.transpose is None


def test_four_axes_must_be_named():
    with pytest.raises(problems.OptionError, match="say them, for instance axes='czyx'"):
        plan(source((2, 3, 4, 5)))


@pytest.mark.parametrize(("dtype", "kind", "reduction"), [("uint8", "image", "mean"), ("float32", "image", "mean"), ("bool", "mask", "mode")])
def test_kind_and_reduction_by_dtype(dtype, kind, reduction):
    made = plan(source((40, 50), dtype))
    assert (made.kind, made.reduction) == (kind, reduction)


def test_wide_integers_without_evidence_are_refused_with_two_ways_out():
    with pytest.raises(problems.OptionError, match=r"kind='labels' .*kind='image'"):
        plan(source((40, 50), "uint32"))
    assert plan(source((40, 50), "uint32", kind="labels")).reduction == "mode"
    assert plan(source((40, 50), "uint32"), kind="image").reduction == "mean"
    assert plan(source((40, 50), "uint32"), reduction="mean").kind == "image"


def test_averaging_labels_needs_force():
    with pytest.raises(problems.OptionError, match="force=True"):
        plan(source((40, 50), "uint32", kind="labels"), reduction="mean")
    assert plan(source((40, 50), "uint32", kind="labels"), reduction="mean", force=True).reduction == "mean"


def test_time_and_channel_are_never_reduced():
    made = plan(source((4, 3, 64, 64, 64)), axes="tczyx", chunks=16)
    assert all(level.factors[:2] == (1, 1) for level in made.levels)
    assert made.levels[0].chunks == (1, 1, 16, 16, 16)


def test_finest_axes_are_reduced_first_until_voxels_are_cubic():
    made = plan(source((64, 512, 512)), scale={"z": 0.5, "y": 0.1, "x": 0.1}, unit="micrometer", levels=5, chunks=32)
    assert [level.factors for level in made.levels[1:]] == [(1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)]
    last = made.levels[2]
    assert max(last.scale) / min(last.scale) < 2


def test_levels_stop_when_reduced_axes_fit_a_chunk():
    assert [level.shape for level in plan(source((256, 256)), chunks=64).levels] == [(256, 256), (128, 128), (64, 64)]
    assert plan(source((8192, 8192)), chunks=4096).levels[-1].shape == (1024, 1024)
    assert plan(source((64, 64)), chunks=64).n_levels == 1


def test_an_axis_of_length_one_is_no_longer_reduced():
    made = plan(source((3, 64)), chunks=2)
    assert [level.shape for level in made.levels][-1] == (1, 2)
    assert made.levels[-1].cumulative == (4, 32)
    assert made.levels[3].factors == (1, 2)


def test_levels_count_the_base():
    assert plan(source((512, 512)), levels=3, chunks=512).n_levels == 3
    with pytest.raises(problems.OptionError, match="say at most 4"):
        plan(source((8, 8)), levels=9)


def test_chunks_are_the_bases_when_it_is_zarr_else_about_a_mebibyte():
    assert plan(zarr_base((200, 200), (37, 41)), target=IN_PLACE).levels[1].chunks == (37, 41)
    assert plan(source((4000, 4000), "uint8")).levels[0].chunks == (1024, 1024)
    assert plan(source((4000, 4000), "uint16")).levels[0].chunks == (512, 512)
    assert plan(source((300, 300, 300), "uint16")).levels[0].chunks == (64, 64, 64)
    assert plan(source((300, 900, 900), "uint16"), scale=(5, 0.5, 0.5)).levels[0].chunks == (1, 512, 512)


def test_in_place_layout_is_what_the_base_allows():
    for zarr_format, separator, layout in ((3, "/", "ome-zarr@0.5"), (2, "/", "ome-zarr@0.4"), (2, ".", "multiscales@0.1")):
        info = named(zarr_base((64, 64), (16, 16), zarr_format, separator), ("y", "x"))
        made = plan(info, target=Target("g", "g", in_place=True, zarr_format=zarr_format))
        assert (made.layout, made.zarr_format, made.separator) == (layout, zarr_format, separator)
        assert made.base == "stays"
    with pytest.raises(problems.LayoutError, match="Zarr v3, but g is Zarr v2"):
        plan(zarr_base((64, 64), (16, 16), 2), target=Target("g", "g", in_place=True, zarr_format=2), layout="ome-zarr@0.5")


def named(info: SourceInfo, names: tuple[str, ...]) -> SourceInfo:
    return replace(info, array=replace(info.array, dimension_names=names))


def test_a_base_without_names_is_no_level_of_ome_05_in_place():
    info, here = zarr_base((64, 64), (16, 16), 3, "/"), Target("g", "g", in_place=True, zarr_format=3)
    made = plan(info, target=here)
    assert made.layout == "multiscales@0.1" and any("no dimension names" in note for note in made.notes)
    with pytest.raises(problems.LayoutError, match=r"demands y, x.*new target.*multiscales@0\.1"):
        plan(info, target=here, layout="ome-zarr@0.5")
    with pytest.raises(problems.LayoutError, match="has the dimension names a, b"):
        plan(named(info, ("a", "b")), target=here, axes="yx", layout="ome-zarr@0.5")


def test_falling_coordinates_are_no_scale_of_ome():
    raster = replace(source((64, 64)), axes=(Axis("y", "space"), Axis("x", "space")), scale=(-10.0, 10.0), translation=(5e6, 3e5))
    made = plan(raster)
    assert made.layout == "multiscales@0.1" and made.levels[0].scale == (-10.0, 10.0)
    assert any("coordinates of y fall" in note for note in made.notes)
    with pytest.raises(problems.LayoutError, match="coordinates of y fall"):
        plan(raster, layout="ome-zarr@0.5")


def test_axes_that_ome_cannot_hold_fall_back_and_are_said():
    made = plan(source((64,)))
    assert made.layout == "multiscales@0.1" and made.zarr_format == 3
    assert any("cannot hold" in n for n in made.notes)


def test_shards_come_only_for_very_many_objects():
    assert plan(source((1024, 1024, 1024), chunks=(64,) * 3)).levels[0].shards is None
    big = plan(source((4096, 4096, 4096), chunks=(64, 64, 64)))
    assert big.levels[0].shards is not None
    assert math.prod(big.levels[0].shards) * 2 <= 256 * 2**20
    assert all(s % c == 0 for s, c in zip(big.levels[0].shards, big.levels[0].chunks, strict=True))
    assert big.levels[-1].shards is None
    with pytest.raises(problems.OptionError, match="whole multiples"):
        plan(source((64, 64)), chunks=16, shards=40)
    with pytest.raises(problems.OptionError, match="shards: Zarr v2 has none"):
        plan(source((64, 64)), chunks=16, shards=32, layout="ome-zarr@0.4")


def test_names():
    assert [x.path for x in plan(source((64, 64)), chunks=16, names="s{k}").levels] == ["s0", "s1", "s2"]
    in_place = plan(zarr_base((64, 64), (16, 16)), target=IN_PLACE, names="G{k}")
    assert [x.path for x in in_place.levels] == ["0", "G1", "G2"]
    assert [x.path for x in plan(source((64, 64)), chunks=16, names=["base", "a", "b/c"]).levels] == ["base", "a", "b/c"]
    assert [x.path for x in plan(zarr_base((64, 64), (16, 16)), target=IN_PLACE, names=["a", "b"]).levels] == ["0", "a", "b"]


@pytest.mark.parametrize("names", ["nok", ["a"], ["a", "b"], ["a", "a", "b"], ["a", "a/b", "c"], ["../a", "b", "c"], ["/a", "b", "c"], ["", "b", "c"], ".z{k}"])
def test_bad_names_are_refused(names):
    with pytest.raises(problems.OptionError, match="names"):
        plan(source((64, 64)), chunks=16, names=names)


def test_verbatim_only_when_nothing_changes():
    info = zarr_base((64, 64), (16, 16))
    free = Target("out", "out", verbatim=True)
    assert plan(info, target=free).base == "verbatim"
    for change in ({"chunks": 32}, {"dtype": "float32"}, {"codecs": "zstd 5"}, {"shards": 32}):
        assert plan(info, target=free, **change).base == "encoded"
    assert plan(info, target=Target("out", "out")).base == "encoded"


# --- refusals


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"factors": 65}, "say a factor of at most 64"),
        ({"factors": {"q": 2}}, "axis 'q'"),
        ({"factors": (2, 2, 2)}, "3 numbers for 2 axes"),
        ({"factors": 0}, "at least 1"),
        ({"factors": 1}, "all of them are 1"),
        ({"factors": [(2, 2), (1, 1)]}, "changes nothing"),
        ({"factors": [[2], [3]], "levels": 5}, "enough for 3 levels"),
        ({"scale": -1}, "above 0"),
        ({"scale": math.nan}, "above 0"),
        ({"translation": math.inf}, "finite"),
        ({"axes": "zyx"}, "3 names"),
        ({"axes": "xx"}, "different"),
        ({"chunks": 0}, "at least 1"),
        ({"kind": "photo"}, "kind"),
        ({"levels": 0}, "levels"),
        ({"threads": 0}, "threads"),
        ({"memory": "2 parsecs"}, "memory"),
        ({"durability": "hope"}, "durability"),
        ({"dtype": "uint8"}, "does not hold every value"),
        ({"dtype": "object"}, "dtype"),
        ({"reduction": "avarage"}, "mean, sum"),
        ({"nodata": 0.5}, "no uint16"),
        ({"residual_base": True}, "residual_base"),
        ({"unit": {"w": "metre"}}, "axis 'w'"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(options, words):
    with pytest.raises(problems.OptionError, match=words):
        plan(source((64, 64), chunks=(64, 64)), **options)


def test_an_unknown_layout_is_refused():
    with pytest.raises(problems.LayoutError):
        plan(source((64, 64)), layout="ome-zarr@9")
    with pytest.raises(problems.LayoutError, match="cannot hold the axes"):
        plan(source((64,)), layout="ome-zarr@0.5")


def test_too_little_memory_is_refused_with_both_numbers():
    with pytest.raises(problems.PlanError, match=r"at least .*MiB and the budget is 50\.0 MiB"):
        plan(source((2048, 2048)), memory="50MiB")


def test_sizes_of_memory():
    assert [parse_bytes(t) for t in ("2GiB", "500MB", "1.5 KiB", "7", 7, None)] == [2**31, 500_000_000, 1536, 7, 7, None]
    for bad in ("GiB", "-1", 0, True):
        with pytest.raises(problems.OptionError):
            parse_bytes(bad)


# --- tiles, against brute force


def cases(n, seed):
    rng = random.Random(seed)
    for _ in range(n):
        ndim = rng.randint(1, 3)
        shape = tuple(rng.randint(1, 300) for _ in range(ndim))
        source_chunks = tuple(rng.choice([1, 7, 16, 37, 64, 100]) for _ in range(ndim))
        chunks = tuple(rng.choice([1, 5, 16, 37, 64]) for _ in range(ndim))
        ladder = [tuple(rng.choice([1, 2, 2, 3, 5]) for _ in range(ndim)) for _ in range(rng.randint(1, 4))]
        shapes = level_shapes(shape, ladder)
        written = tuple(chunks if rng.random() < 0.8 else None for _ in shapes)
        yield Grids(shapes, ((1,) * ndim, *ladder), source_chunks, (written[0] if rng.random() < 0.5 else None, *written[1:]))


def check_nested(grids, tiles, joins=False):
    """No window of the next level lies in two tiles (but where they are joined), no written chunk does, and a footprint is whole tiles below."""
    for k, (shape, tile) in enumerate(zip(grids.shapes, tiles, strict=True)):
        for a, (n, t) in enumerate(zip(shape, tile, strict=True)):
            inner = range(t, n, t)
            if grids.chunks[k] is not None:
                assert all(cut % grids.chunks[k][a] == 0 for cut in inner)
            if k + 1 < len(grids.shapes):
                f, up = grids.factors[k + 1][a], tiles[k + 1][a]
                assert joins or all(cut % f == 0 for cut in inner)
                assert all((cut * f) % t == 0 for cut in range(up, grids.shapes[k + 1][a], up))


def test_tiles_nest_exactly():
    for grids in cases(150, seed=1):
        for cut in itertools.islice(candidates(grids, straddling=False), 4):
            tiles, whole = cut.tiles, cut.whole_chunks
            check_nested(grids, tiles)
            assert not cut.joins
            if whole:
                assert all(t % c == 0 or t >= n for t, c, n in zip(tiles[0], grids.source_chunks, grids.shapes[0], strict=True))


def test_joined_tiles_nest_and_hold_no_more_than_others(monkeypatch):
    monkeypatch.setattr(tiles, "HOT_SAMPLES", 5000)
    n_joined = 0
    for grids in cases(150, seed=3):
        joined, *others = itertools.islice(candidates(grids, straddling=False, joining=True), 2)
        check_nested(grids, joined.tiles, joined.joins)
        if joined.joins:
            n_joined += 1
            assert all(math.prod(a) <= math.prod(b) for a, b in zip(joined.tiles, others[0].tiles, strict=True))
    assert n_joined > 10


def test_reads_are_what_a_brute_force_count_says():
    for grids in cases(60, seed=2):
        tiles = nest(grids, tuple(math.lcm(f, 2) for f in grids.factors[1]))
        for picks in (False, True):
            per_axis = []
            for a, (n, t, c) in enumerate(zip(grids.shapes[0], tiles[0], grids.source_chunks, strict=True)):
                f = grids.factors[1][a] if picks else 1
                per_axis.append(sum(len({i // c for i in range(low, min(low + t, n)) if i % f == 0}) for low in range(0, n, t)))
            assert count_reads(grids, tiles[0], picks=picks) == math.prod(per_axis)


def test_roots_come_depth_first():
    indices = order((8, 8), (1, 1), [(2, 2), (4, 4)])
    assert len(set(indices)) == 64
    seen = [tuple(x // 4 for x in i) for i in indices]
    assert [k for k, _ in itertools.groupby(seen)] == sorted(set(seen))
    assert root_level(((64,), (32,), (16,)), ((1,), (1,), (1,)), 20) == 1


def test_a_large_base_is_not_cut_into_tasks_of_base_tiles():
    # levels 1 and 2 have 27 tiles: few, but enough; tasks of 64^3 would stash a quarter of the base
    ladder = [(f,) * 3 for f in (2, 3, 2)]
    large, small = (plan(zarr_base((n,) * 3, (64,) * 3, dtype="float32"), factors=ladder, threads=2).passes[0] for n in (1024, 256))
    assert (large.tiles[1], large.root, small.root) == ((192,) * 3, 2, 0)


def test_where_sums_are_joined_a_tile_is_a_chunk_for_any_factor():
    for factors in ([(2,) * 3, (3,) * 3, (2,) * 3], [(3,) * 3] * 3):
        joined = plan(zarr_base((1024,) * 3, (64,) * 3), factors=factors, threads=2).passes[0]
        assert joined.joins and not joined.straddles and joined.root == 1
        assert set(joined.tiles[:3]) == {(64,) * 3}


def test_planes_to_cubes_with_little_memory_read_chunks_again_and_say_so():
    info = source((256, 2048, 2048), chunks=(1, 2048, 2048), axes=ZYX)
    rich, poor = plan(info, chunks=64, memory="4GiB"), plan(info, chunks=64, memory="500MiB")
    assert rich.n_chunk_reads == 256
    assert poor.n_chunk_reads > 256 and poor.peak_bytes <= 500 * 2**20
    assert "times each on average" in str(poor)


def test_mutually_prime_grids_fall_back_to_a_pass_per_level():
    info = zarr_base((20000, 20000), (1009, 1009))
    made = plan(info, target=Target("o", "o"), chunks=997, factors=[[5], [7], [3]], memory="200MiB", threads=1)
    assert len(made.passes) > 1
    assert sorted(k for p in made.passes for k in p.emits) == list(range(made.n_levels))
    assert made.peak_bytes <= 200 * 2**20


def test_huge_arrays_cost_nothing_to_plan():
    made = plan(zarr_base((10**6, 10**6, 10**6), (64, 64, 64)), target=IN_PLACE)
    assert made.n_chunk_reads == (10**6 // 64) ** 3
    assert made.levels[1].shape == (500_000,) * 3


# --- the plan itself


def test_geometry_of_the_plan():
    made = plan(source((7, 101), axes=ZYX[1:]), chunks=4, scale=(0.5, 0.1), translation={"x": 10}, factors=[(2, 2), (1, 3)], unit="nanometer")
    assert [level.shape for level in made.levels] == [(7, 101), (4, 51), (4, 17)]
    assert [level.scale for level in made.levels] == [(0.5, 0.1), (1.0, 0.2), (1.0, 0.6)]
    assert [level.translation for level in made.levels] == [(0.0, 10.0), (0.25, 10.05), (0.25, 10.25)]
    assert [level.translation for level in plan(source((8, 8)), chunks=2, reduction="stride").levels] == [(0.0, 0.0)] * 3


def test_plan_survives_json_and_pickle():
    made = plan(source((300, 200, 100)), chunks=32, nodata=7, unit="micrometer")
    assert BuildPlan.from_json(made.to_json()) == made
    assert pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(problems.PlanError, match="make the plan again"):
        BuildPlan.from_json({"plan": 1, "levels": []})
    with pytest.raises(problems.PlanError, match="version"):
        BuildPlan.from_json({"plan": 99})


def test_fingerprint_changes_with_what_bytes_depend_on_and_with_nothing_else():
    info = source((300, 200), axes=ZYX[1:])
    base = plan(info, chunks=32).fingerprint
    assert len(base) == 16
    assert plan(info, chunks=32, durability="fsync").fingerprint == base
    others = [
        plan(info, chunks=16),
        plan(info, chunks=32, reduction="max"),
        plan(info, chunks=32, codecs="zstd 9"),
        plan(info, chunks=32, scale=2),
        plan(source((300, 200), axes=ZYX[1:], stamps=(("a", "1"),)), chunks=32),
        plan(source((300, 200), axes=ZYX[1:], chunks=(50, 50)), chunks=32),
        plan(info, chunks=32, probes=Probes(2, 2**34, "other codec", "0")),
    ]
    assert len({base, *(p.fingerprint for p in others)}) == len(others) + 1


def test_str_is_a_table_with_the_facts():
    text = str(plan(source((300, 200)), chunks=32, unit="micrometer", scale=0.5))
    for words in ("level", "300 x 200", "150 x 100", "32 x 32", "reads", "writes", "memory", "micrometer", "0.25"):
        assert words in text
    assert max(map(len, text.splitlines())) <= 120


def test_one_of_a_thing_is_not_several():
    text = str(plan(source((30, 40), "uint8"), threads=1))
    assert "reads   1 chunk (" in text and "writes  1 chunk in 1 object (" in text and "; 1 thread, 1 task\n" in text


@pytest.mark.parametrize(
    ("numpys", "pythons"),
    [
        ({"scale": np.array([0.5, 0.25])}, {"scale": (0.5, 0.25)}),
        ({"scale": np.float32(0.5), "translation": {"y": np.float64(3)}}, {"scale": 0.5, "translation": {"y": 3.0}}),
        ({"factors": np.array([[2, 2], [2, 1]]), "chunks": [np.int64(8), np.int32(8)]}, {"factors": [[2, 2], [2, 1]], "chunks": (8, 8)}),
        ({"levels": np.int16(2), "threads": np.int64(1), "memory": np.int64(10**9)}, {"levels": 2, "threads": 1, "memory": 10**9}),
        ({"dtype": np.float32, "nodata": np.uint8(3)}, {"dtype": "float32", "nodata": 3}),
        ({"dtype": np.dtype(">u2")}, {"dtype": "uint16"}),
    ],
)
def test_numbers_of_numpy_mean_what_pythons_mean(numpys, pythons):
    info = source((60, 70), "uint8", chunks=(16, 16))
    assert plan(info, **numpys) == plan(info, **pythons)


@pytest.mark.parametrize(
    "said",
    [
        {"axes": ["y", 3]},
        {"axes": 3},
        {"unit": 3},
        {"reduction": 3},
        {"dtype": 3},
        {"kind": 3},
        {"codecs": 3},
        {"name": 3},
        {"layout": 3},
        {"names": 3},
        {"names": [1]},
    ],
    ids=str,
)
def test_options_of_another_type_are_refused_by_name(said):
    with pytest.raises(problems.OptionError, match=f"{next(iter(said))}: found") as caught:
        plan(source((60, 70), "uint8"), **said)
    assert "\n" not in str(caught.value)
