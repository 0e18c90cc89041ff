"""dask clusters and worker processes: the same bytes as one process makes, whoever is lost meanwhile."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from functools import partial

import distributed
import numpy as np
import psutil
import pytest

import ziggurat as zg
from tests.test_parts import COMMON, IMAGE, below, saved
from ziggurat.builder import clusters
from ziggurat.builder.clusters import ClusterExecutor, executor_of, worker_processes
from ziggurat.builder.executors import Done, Sending, Sent, run_roots
from ziggurat.builder.tasks import Meter, Tally
from ziggurat.chunkio import FileStore
from ziggurat.cli import run
from ziggurat.problems import OptionError, PlanError, StorageError

WORDS = COMMON | {"threads": 1}


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50) as local:
        yield local


@pytest.fixture(scope="module")
def client(cluster):
    with cluster.get_client() as found:
        yield found


@pytest.mark.parametrize("options", [{}, {"shards": 32}, {"reduction": "gaussian"}], ids=str)
def test_a_client_writes_the_same_files(tmp_path, client, options):
    source = saved(tmp_path, IMAGE)
    zg.build(source, tmp_path / "whole.zarr", **WORDS, **options)
    zg.build(source, tmp_path / "a.zarr", **WORDS, **options, executor=client)
    assert below(tmp_path / "a.zarr") == below(tmp_path / "whole.zarr")


def test_the_address_of_a_scheduler_is_enough(tmp_path, cluster, capsys):
    source = saved(tmp_path, IMAGE)
    zg.build(source, tmp_path / "whole.zarr", **WORDS)
    words = ["-a", "yx", "-c", "16", "--name", "x", "-j", "1", "-q"]
    assert run(["build", source, str(tmp_path / "a.zarr"), *words, "--scheduler", cluster.scheduler_address]) == 0
    assert below(tmp_path / "a.zarr") == below(tmp_path / "whole.zarr")
    assert run(["build", source, str(tmp_path / "b.zarr"), *words, "--scheduler", "tcp://x:1", "--workers", "2"]) == 2
    assert "has workers of its own" in capsys.readouterr().err


def test_tasks_have_names_and_are_small(tmp_path, client):
    source, seen = saved(tmp_path, IMAGE), []

    class Seeing(ClusterExecutor):
        def submit(self, fn, /, *args, **kwargs):
            seen.append((len(pickle.dumps((fn, args))), self._max_workers))
            return super().submit(fn, *args, **kwargs)

    zg.build(source, tmp_path / "a.zarr", **WORDS, executor=Seeing(client, "cells"))
    names = client.run_on_scheduler(lambda dask_scheduler: sorted({group.partition("-")[0] for group in dask_scheduler.task_prefixes}))
    assert "cells" in names and len(seen) > 3
    assert max(size for size, _ in seen) < 400 + len(str(tmp_path))


def test_a_store_that_workers_do_not_share_is_refused(tmp_path, client):
    with pytest.raises(PlanError, match="do not share"):
        zg.build(saved(tmp_path, IMAGE), {}, **WORDS, executor=client)


def test_what_is_no_executor_is_one_sentence(monkeypatch):
    monkeypatch.setattr(clusters, "CONNECT_SECONDS", 1)
    for wrong, why in ((3, "found int"), ("10.0.0.1", "expected the address"), ("tcp://127.0.0.1:9", "no scheduler answers")):
        with pytest.raises(OptionError, match=why), executor_of(wrong):
            raise AssertionError("there is no such executor")
    with pytest.raises(OptionError, match="workers: found 0"), worker_processes(0):
        raise AssertionError("there are no workers")


def killing(n, victim):
    """Returns a progress callback that kills a worker after `n` tasks."""
    left = [n]

    def tell(progress):
        left[0] -= 1
        if not left[0]:
            os.kill(victim, signal.SIGKILL)

    return tell


@pytest.mark.parametrize("options", [pytest.param({}, marks=pytest.mark.prove), {"shards": 32}], ids=["plain", "shards"])
def test_a_killed_worker_changes_nothing(tmp_path, options):
    base = np.random.default_rng(5).integers(0, 4096, (512, 512), dtype=np.uint16)
    zg.build(base, tmp_path / "in.zarr", **COMMON, levels=1)
    words = {"name": "x", "threads": 4, "durability": "none"} | options
    zg.build(tmp_path / "in.zarr", tmp_path / "whole.zarr", **words)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50) as local,
        local.get_client() as client,
    ):
        before = client.run(os.getpid)
        victim = next(iter(before.values()))
        zg.build(tmp_path / "in.zarr", tmp_path / "a.zarr", **words, executor=client, progress=killing(2, victim))
        assert not psutil.pid_exists(victim) or psutil.Process(victim).status() == psutil.STATUS_ZOMBIE
    assert below(tmp_path / "a.zarr") == below(tmp_path / "whole.zarr")


def test_a_pool_that_lost_a_worker_is_one_sentence_and_the_build_goes_on(tmp_path):
    source = saved(tmp_path, IMAGE)
    zg.build(source, tmp_path / "whole.zarr", **WORDS)
    with worker_processes(1, pool=True) as pool:
        assert isinstance(pool, ProcessPoolExecutor)
        victim = pool.submit(os.getpid).result()
        with pytest.raises(StorageError, match="a worker is gone"):
            zg.build(source, tmp_path / "a.zarr", **WORDS, executor=pool, progress=killing(1, victim))
    assert zg.build(source, tmp_path / "a.zarr", **WORDS).n_resumed > 0
    assert below(tmp_path / "a.zarr") == below(tmp_path / "whole.zarr")


def test_a_task_that_fails_is_tried_again_with_clean_hands(tmp_path, client):
    """A shard that is half filled when a task fails is begun anew by the next try."""
    source = saved(tmp_path, IMAGE)
    zg.build(source, tmp_path / "whole.zarr", **WORDS, shards=32)
    client.run(_fail_once)
    zg.build(source, tmp_path / "a.zarr", **WORDS, shards=32, executor=client)
    assert sum(client.run(_failures).values()) == 2
    assert below(tmp_path / "a.zarr") == below(tmp_path / "whole.zarr")


def _fail_once():
    """Lets the second note that a worker makes fail."""
    from ziggurat.journal import Journal

    whole, Journal.n_failures = Journal.finish, 0
    left = [2]

    def finish(self, *args):
        left[0] -= 1
        if not left[0]:
            Journal.n_failures += 1
            raise StorageError("a store that fails once")
        whole(self, *args)

    Journal.finish = finish


def _failures():
    from ziggurat.journal import Journal

    return Journal.n_failures


def test_worker_processes_by_dask_where_it_is_installed(tmp_path):
    source = saved(tmp_path, IMAGE)
    zg.build(source, tmp_path / "whole.zarr", **WORDS)
    words = ["build", source, str(tmp_path / "a.zarr"), "-a", "yx", "-c", "16", "--name", "x", "-j", "1", "-q"]
    assert run([*words, "--workers", "2"]) == 0
    assert below(tmp_path / "a.zarr") == below(tmp_path / "whole.zarr")


# --- the scheduler's memory


class Dry:
    """A pass whose roots are numbers."""

    number, hands_up = 0, False

    def note(self, other):
        pass


def dry_task(number, roots):
    return Done(roots, Tally())


class Watched(Executor):
    """Counts what is in flight."""

    def __init__(self, inner):
        self._inner, self.n_now, self.n_most = inner, 0, 0

    def submit(self, fn, /, *args, **kwargs):
        self.n_now += 1
        self.n_most = max(self.n_most, self.n_now)
        future = self._inner.submit(fn, *args, **kwargs)
        future.add_done_callback(self._done)
        return future

    def _done(self, future: Future) -> None:
        self.n_now -= 1


def dry_run(executor, n):
    """Sends `n` tasks that do nothing, as a build sends its own."""
    sending = Sending.__new__(Sending)
    sending._work, sending._executor, sending._journal, sending._meter = Dry(), executor, None, Meter(n, None)
    sending._rises, sending._n_threads, sending._task = False, 2, dry_task
    sending.run(((i,),) for i in range(n))


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler and a worker in processes of their own."""
    file = str(tmp_path / "scheduler.json")
    start = [sys.executable, "-m", "distributed.cli.dask_scheduler"], [sys.executable, "-m", "distributed.cli.dask_worker"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen([*start[0], "--port", "0", "--no-dashboard", "--scheduler-file", file], **quiet)]
    while not os.path.exists(file):
        assert processes[0].poll() is None
        time.sleep(0.05)
    processes.append(subprocess.Popen([*start[1], "--scheduler-file", file, "--nthreads", "1", "--no-dashboard", "--no-nanny"], **quiet))
    try:
        with distributed.Client(scheduler_file=file) as client:
            client.wait_for_workers(1)
            yield client, psutil.Process(processes[0].pid)
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def test_the_scheduler_holds_a_window_of_tasks(client):
    watched = Watched(ClusterExecutor(client))
    dry_run(watched, 500)
    assert 0 < watched.n_most <= 2 * 16
    assert client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) <= 2 * 16


@pytest.mark.prove
def test_the_memory_of_the_scheduler_does_not_grow_with_the_tasks(scheduler, record_property):
    client, process = scheduler
    dry_run(ClusterExecutor(client), 1000)
    begun = process.memory_info().rss
    record_property("MiB after 10^3 tasks", round(begun / 2**20, 1))
    done = 1000
    for n in (3000, 10_000):
        dry_run(ClusterExecutor(client), n - done)
        done = n
        record_property(f"MiB after {n} tasks", round(process.memory_info().rss / 2**20, 1))
        assert client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) <= 2 * 16
    assert process.memory_info().rss - begun < 16 * 2**20  # a task that stayed would cost some KiB


def test_a_task_is_a_place_and_a_few_numbers():
    task = partial(run_roots, Sent("0" * 32, ".ziggurat/0123456789abcdef/job", FileStore("/data/levels.zarr")))
    assert len(pickle.dumps((task, 0, ((12, 345, 678),)))) < 400
