"""Parts of a build: any number, in any order, some twice, some killed; what `finish` publishes is what one build would have."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import ziggurat as zg
from ziggurat.chunkio import DictStore, FileStore
from ziggurat.cli import run
from ziggurat.journal import FOLDER
from ziggurat.locking import locked, locked_part
from ziggurat.problems import OptionError, PlanError, TargetExists

RNG = np.random.default_rng(11)
IMAGE = RNG.integers(0, 65536, (160, 144), dtype=np.uint16)
WITH_NAN = np.where(RNG.random((160, 144)) < 0.3, np.nan, RNG.random((160, 144))).astype(np.float32)
COMMON = {"name": "x", "axes": "yx", "chunks": 16, "threads": 2, "durability": "none"}
BUILDS = {
    "mean": (IMAGE, {}),
    "mean of what is valid": (WITH_NAN, {"weights": {"y": [1.0, 3.0] * 80}, "coverage": True}),
    "shards": (IMAGE, {"shards": 32}),
    "mode": (IMAGE // 16384, {"kind": "labels"}),
    "straddling tiles": (IMAGE, {"factors": 3}),
    "halo": (IMAGE, {"reduction": "gaussian"}),
    "differences": (IMAGE.astype(np.int32), {"reduction": "laplacian", "kind": "image"}),
    "windows": (IMAGE, {"level_shapes": [(100, 90), (40, 36)]}),
}


def below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def saved(tmp_path: Path, base: np.ndarray) -> str:
    np.save(tmp_path / "in.npy", base)
    return str(tmp_path / "in.npy")


class Stop(RuntimeError):
    pass


def stop_at(n):
    def tell(progress):
        if progress.n_done >= n:
            raise Stop

    return tell


@pytest.mark.parametrize("name", BUILDS)
def test_parts_in_any_order_some_twice_some_stopped(tmp_path, name):
    base, options = BUILDS[name]
    source = saved(tmp_path, base)
    zg.build(source, tmp_path / "whole.zarr", **COMMON, **options)
    target, n = tmp_path / "parts.zarr", 7
    rng = np.random.default_rng(len(name))
    order = [*rng.permutation(n), *rng.choice(n, 3)]
    for i in order:
        with contextlib.suppress(Stop):
            zg.build(source, target, **COMMON, **options, part=(int(i) + 1, n), progress=stop_at(2) if rng.random() < 0.3 else None)
        assert not (target / "zarr.json").exists()
    result = zg.build(source, target, **COMMON, **options, finish=True)
    assert result.part is None and result.n_resumed > 0
    assert below(target) == below(tmp_path / "whole.zarr")


def test_every_root_is_made_by_one_part_and_none_by_finish(tmp_path):
    source = saved(tmp_path, IMAGE)
    parts = [zg.build(source, tmp_path / "a.zarr", **COMMON, shards=32, part=f"{i}/4") for i in (3, 1, 4, 2)]
    assert [p.part for p in parts] == ["3/4", "1/4", "4/4", "2/4"] and all(p.n_resumed == 0 and p.n_waiting == 0 for p in parts)
    again = zg.build(source, tmp_path / "a.zarr", **COMMON, shards=32, part="3/4")
    assert again.n_resumed == again.n_tasks == parts[0].n_tasks and again.n_chunk_reads == 0
    done = zg.build(source, tmp_path / "a.zarr", **COMMON, shards=32, finish=True)
    assert done.n_resumed == done.n_tasks == sum(p.n_tasks for p in parts)
    assert done.n_chunk_reads == 0 and sum(p.n_chunk_reads for p in parts) == done.plan.n_chunk_reads


def test_more_parts_than_tasks(tmp_path):
    source = saved(tmp_path, IMAGE[:20, :20])
    zg.build(source, tmp_path / "whole.zarr", **COMMON)
    counts = [zg.build(source, tmp_path / "a.zarr", **COMMON, part=(i, 30)).n_tasks for i in range(1, 31)]
    assert sorted(set(counts)) == [0, 1]
    zg.build(source, tmp_path / "a.zarr", **COMMON, finish=True)
    assert below(tmp_path / "a.zarr") == below(tmp_path / "whole.zarr")


def test_tasks_that_read_other_parts_wait_and_are_made_by_the_next_round(tmp_path):
    source = saved(tmp_path, IMAGE)
    options = COMMON | {"reduction": "gaussian", "levels": 3}
    first = [zg.build(source, tmp_path / "a.zarr", **options, part=(i, 3)) for i in (1, 2, 3)]
    assert first[0].n_waiting > 0
    later = [zg.build(source, tmp_path / "a.zarr", **options, part=(i, 3)) for i in (1, 2, 3) for _ in range(2)]
    assert later[-1].n_waiting == 0 and "wait for other parts" in str(first[0])


def test_changed_options_and_sources_are_refused(tmp_path):
    source = saved(tmp_path, IMAGE)
    zg.build(source, tmp_path / "a.zarr", **COMMON, part="1/2")
    for other in ({"reduction": "max"}, {"codecs": "zstd 5"}, {"levels": 2}):
        with pytest.raises(TargetExists, match="other options"):
            zg.build(source, tmp_path / "a.zarr", **COMMON | other, part="2/2")
        with pytest.raises(TargetExists, match="other options"):
            zg.build(source, tmp_path / "a.zarr", **COMMON | other, finish=True)
    saved(tmp_path, IMAGE + 1)
    os.utime(source, (1, 1))
    with pytest.raises(TargetExists, match="another source"):
        zg.build(source, tmp_path / "a.zarr", **COMMON, part="2/2")


def test_machines_with_other_cores_and_memory_go_on_with_the_plan_that_was_begun(tmp_path):
    zg.build(RNG.integers(0, 65536, (512, 512), dtype=np.uint16), tmp_path / "base.zarr", **COMMON, levels=1)
    source, options = tmp_path / "base.zarr", {"name": "x", "threads": 2, "durability": "none"}
    zg.build(source, tmp_path / "whole.zarr", **options)
    small, large = ({**options, "memory": m, "threads": t} for m, t in (("160MiB", 1), ("2GiB", 16)))
    plans = [zg.plan(source, tmp_path / "a.zarr", **said) for said in (small, large)]
    assert plans[0].fingerprint != plans[1].fingerprint  # or this test shows nothing
    for i, said in enumerate((small, large, small), 1):
        zg.build(source, tmp_path / "a.zarr", **said, part=(i, 3))
    done = zg.build(source, tmp_path / "a.zarr", **large, finish=True)
    assert done.n_resumed == done.n_tasks
    assert below(tmp_path / "a.zarr") == below(tmp_path / "whole.zarr")


def test_what_is_said_wrongly_is_one_sentence(tmp_path):
    source = saved(tmp_path, IMAGE)
    for said in ("0/3", "4/3", "x", "3", (1, 2, 3), "1/0"):
        with pytest.raises(OptionError, match="part: found"):
            zg.build(source, tmp_path / "a.zarr", **COMMON, part=said)
    with pytest.raises(OptionError, match="both were said"):
        zg.build(source, tmp_path / "a.zarr", **COMMON, part="1/2", finish=True)
    with pytest.raises(PlanError, match="no part of this build was made"):
        zg.build(source, tmp_path / "a.zarr", **COMMON, finish=True)
    assert not (tmp_path / "a.zarr").exists()


# --- at the same time


@pytest.mark.parametrize("kind", ["folder", "dict"])
def test_parts_are_beside_one_another_and_alone_beside_none(tmp_path, kind):
    store = FileStore(tmp_path) if kind == "folder" else DictStore()
    with locked_part(store, 1, 3), locked_part(store, 2, 3):
        with pytest.raises(TargetExists), locked_part(store, 1, 3):
            raise AssertionError("one part was made twice at once")
        with pytest.raises(TargetExists, match="part 1/3 is at work"), locked_part(store, 1, 4):
            raise AssertionError("parts of two numbers overlap")
        with pytest.raises(TargetExists, match="part 1/3 of a build is at work"), locked(store):
            raise AssertionError("finished while parts were at work")
    with locked(store), pytest.raises(TargetExists, match="another build"), locked_part(store, 1, 3):
        raise AssertionError("a part beside a build")
    assert store.keys(FOLDER) == []


def test_parts_in_threads_of_one_process_and_finish_refuses_while_one_works(tmp_path):
    source = saved(tmp_path, IMAGE)
    zg.build(source, tmp_path / "whole.zarr", **COMMON)
    entered, leave, errors = threading.Event(), threading.Event(), []

    def hold(progress):
        entered.set()
        assert leave.wait(30)

    def make(i, progress=None):
        try:
            zg.build(source, tmp_path / "a.zarr", **COMMON, part=(i, 3), progress=progress)
        except Exception as error:  # noqa: BLE001 - of a thread, for the assertion below
            errors.append(error)

    threads = [threading.Thread(target=make, args=(1, hold)), threading.Thread(target=make, args=(2,)), threading.Thread(target=make, args=(3,))]
    threads[0].start()
    assert entered.wait(30)
    for t in threads[1:]:
        t.start()
        t.join()
    with pytest.raises(TargetExists, match="part 1/3 of a build is at work"):
        zg.build(source, tmp_path / "a.zarr", **COMMON, finish=True)
    with pytest.raises(TargetExists, match="part 1/3 of a build is at work"):
        zg.build(source, tmp_path / "a.zarr", **COMMON)
    leave.set()
    threads[0].join()
    assert errors == []
    zg.build(source, tmp_path / "a.zarr", **COMMON, finish=True)
    assert below(tmp_path / "a.zarr") == below(tmp_path / "whole.zarr")


def make_part(source: str, target: str, i: int, n: int, options: dict) -> None:
    zg.build(source, target, **COMMON, **options, part=(i, n))


def run_killed_parts(tmp_path: Path, n: int, options: dict) -> dict[str, int]:
    """Runs `n` parts in processes, two at a time, some twice, kills some of them at random times, and finishes."""
    source, target = saved(tmp_path, RNG.integers(0, 4096, (768, 640), dtype=np.uint16)), tmp_path / "a.zarr"
    zg.build(source, tmp_path / "whole.zarr", **COMMON, **options)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ziggurat.builder", "tests.test_parts"])
    rng = np.random.default_rng(n)
    jobs = [int(i) + 1 for i in (*rng.permutation(n), *rng.choice(n, n // 4))]
    n_killed = 0
    for pair in zip(jobs[::2], jobs[1::2], strict=False):
        children = [context.Process(target=make_part, args=(source, str(target), i, n, options)) for i in dict.fromkeys(pair)]
        for child in children:
            child.start()
        if rng.random() < 0.4:
            time.sleep(float(rng.uniform(0, 0.25)))
            children[0].kill()
        for child in children:
            child.join()
            n_killed += child.exitcode == -9
            assert child.exitcode in (0, -9)
        assert not (target / "zarr.json").exists()
    done = zg.build(source, target, **COMMON, **options, finish=True)
    assert below(target) == below(tmp_path / "whole.zarr")
    return {"parts": n, "runs": len(jobs), "killed": n_killed, "tasks": done.n_tasks, "tasks left to finish": done.n_tasks - done.n_resumed}


@pytest.mark.parametrize("options", [{}, {"shards": 64}], ids=["plain", "shards"])
def test_some_parts_in_processes_that_are_killed(tmp_path, options):
    assert run_killed_parts(tmp_path, 6, options)["runs"] == 7


@pytest.mark.prove
@pytest.mark.parametrize("options", [{}, {"shards": 64}], ids=["plain", "shards"])
def test_a_hundred_parts_in_processes_that_are_killed(tmp_path, options, record_property):
    for what, value in run_killed_parts(tmp_path, 100, options).items():
        record_property(what, value)


def test_in_place_and_over_an_old_store(tmp_path):
    zg.build(IMAGE, tmp_path / "a.zarr", **COMMON, levels=1)
    zg.build(IMAGE, tmp_path / "b.zarr", **COMMON, levels=1)
    zg.build(tmp_path / "b.zarr", chunks=16, threads=2, name="x")
    for i in (2, 1):
        zg.build(tmp_path / "a.zarr", chunks=16, threads=2, name="x", part=(i, 2))
    zg.build(tmp_path / "a.zarr", chunks=16, threads=2, name="x", finish=True)
    assert below(tmp_path / "a.zarr") == below(tmp_path / "b.zarr")
    source = saved(tmp_path, IMAGE.T.copy())
    zg.build(source, tmp_path / "whole.zarr", **COMMON)
    for i in (2, 1):
        zg.build(source, tmp_path / "a.zarr", **COMMON, overwrite=True, part=(i, 2))
        assert below(tmp_path / "a.zarr") == below(tmp_path / "b.zarr")
    zg.build(source, tmp_path / "a.zarr", **COMMON, overwrite=True, finish=True)
    assert below(tmp_path / "a.zarr") == below(tmp_path / "whole.zarr")
    assert [p.name for p in tmp_path.iterdir() if "ziggurat" in p.name] == []


def test_in_a_store_that_lists(tmp_path):
    store, whole = {}, {}
    zg.build(IMAGE, whole, **COMMON)
    for i in (2, 1):
        zg.build(IMAGE, store, **COMMON, part=(i, 2))
    with pytest.raises(OptionError, match="moves nothing aside"):
        zg.build(IMAGE, whole, **COMMON, overwrite=True, part="1/2")
    zg.build(IMAGE, store, **COMMON, finish=True)
    assert store == whole


def test_on_the_command_line(tmp_path, capsys):
    source, target = saved(tmp_path, IMAGE), str(tmp_path / "a.zarr")
    words = ["build", source, target, "-a", "yx", "-c", "16", "--name", "x", "-j", "2"]
    zg.build(source, tmp_path / "whole.zarr", **COMMON)
    assert run([*words, "--finish"]) == 2 and "no part of this build was made" in capsys.readouterr().err
    assert run([*words, "--part", "3/2"]) == 2
    assert run([*words, "--part", "2/2", "--json"]) == 0
    capsys.readouterr()
    assert run([*words, "--part", "1/2"]) == 0 and "part 1/2 of" in capsys.readouterr().out
    assert run([*words, "--finish", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["part"] is None
    assert below(tmp_path / "a.zarr") == below(tmp_path / "whole.zarr")
