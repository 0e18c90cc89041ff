"""Who makes the roots: an executor that the caller has, a dask cluster, or worker processes of this machine.

A dask cluster is given single tasks, a bounded number at a time, and never a graph. A task that fails is tried again, one whose worker
is lost is given to another by the scheduler; both write the same bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

from ziggurat.problems import MissingExtra, OptionError, StorageError

P = ParamSpec("P")
T = TypeVar("T")
RETRIES = 3
"""How often a task of a cluster is tried again."""
CONNECT_SECONDS = 10
"""How long a scheduler may take to answer."""
FEWEST_IN_FLIGHT = 16
"""Workers that a cluster is taken to have at least: one that grows with its work must see some."""


class Client(Protocol):
    """What is asked of a `distributed.Client`."""

    @property
    def asynchronous(self) -> bool: ...
    def submit(self, func: Callable[..., Any], *args: Any, key: str, pure: bool, retries: int) -> Any: ...
    def nthreads(self) -> Mapping[str, int]: ...


class _Flying(Future[T]):
    """A future that takes its task on the cluster with it when it is cancelled."""

    task: Any = None

    def cancel(self) -> bool:
        if self.task is not None:
            self.task.cancel()
        return super().cancel()


class ClusterExecutor(Executor):
    """A dask cluster as an executor; `label` is what the dashboard calls its tasks."""

    def __init__(self, client: Client, label: str = "ziggurat") -> None:
        if client.asynchronous:
            raise OptionError("executor: found an asynchronous Client, expected one that waits; make it with asynchronous=False")
        self._client, self._label = client, label
        self._serial = itertools.count()

    @property
    def _max_workers(self) -> int:
        """Threads of all workers as they are now: asked for before tasks are sent, so that a cluster that grows gets more of them."""
        return max(FEWEST_IN_FLIGHT, sum(self._client.nthreads().values()))

    def _send(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Sends one task."""
        future: _Flying[T] = _Flying()
        key = f"{self._label}-{id(self):x}-{next(self._serial)}"
        future.task = self._client.submit(partial(fn, **kwargs) if kwargs else fn, *args, key=key, pure=False, retries=RETRIES)
        future.task.add_done_callback(lambda task: _settle(future, task))
        return future

    submit = _send


def _settle(future: _Flying[T], task: Any) -> None:
    """Hands what became of a task to who waits for it."""
    future.task = None  # the scheduler forgets what nobody holds
    if future.cancelled() or not future.set_running_or_notify_cancel():
        return
    if task.status == "finished":
        try:
            future.set_result(task.result())
        except Exception as gone:  # noqa: BLE001  the worker that held the result is gone, or the connection is
            future.set_exception(_lost(gone))
        return
    raised: BaseException | None = task.exception() if task.status == "error" else None
    future.set_exception(raised if raised is not None and type(raised).__name__ != "KilledWorker" else _lost(raised or task.status))


def _lost(why: object) -> StorageError:
    return StorageError(f"executor: a task was lost with its workers ({why}); nothing was published, run the build again to go on")


@contextmanager
def executor_of(said: Executor | Client | str | None) -> Iterator[Executor | None]:
    """Gives the executor that was said: as it is, a dask `Client`, or the address of a scheduler (`tcp://...`).

    Raises
    ------
    MissingExtra
        An address was said and dask is not installed.
    OptionError
        It is none of these, or no scheduler answers.
    """
    if said is None or isinstance(said, Executor):
        yield said
    elif isinstance(said, str):
        with _connected(said) as client:
            yield ClusterExecutor(client)
    elif callable(getattr(said, "submit", None)) and callable(getattr(said, "nthreads", None)):
        yield ClusterExecutor(said)
    else:
        raise OptionError(
            f"executor: found {type(said).__name__}, expected a concurrent.futures.Executor, a dask Client, or the address of a scheduler (tcp://...)"
        )


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    try:
        from distributed import Client as DaskClient
    except ImportError:
        raise MissingExtra("executor: a scheduler needs dask; install it with: pip install 'ziggurat[dask]'") from None
    if "://" not in address:
        raise OptionError(f"executor: found {address!r}, expected the address of a scheduler, such as 'tcp://10.0.0.1:8786'")
    try:
        client = DaskClient(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TimeoutError) as error:
        raise OptionError(f"executor: no scheduler answers at {address} ({error})") from error
    with client:
        yield client


@contextmanager
def worker_processes(n: int, *, pool: bool = False) -> Iterator[Executor]:
    """Gives `n` worker processes of this machine: dask's, with their dashboard, or a plain pool where dask is not installed or a `pool` is wanted.

    Raises OptionError for fewer than one.
    """
    if n < 1:
        raise OptionError(f"workers: found {n}, expected 1 or more")
    cluster = None if pool else _local_cluster()
    if cluster is None:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        with ProcessPoolExecutor(n, mp_context=multiprocessing.get_context("spawn")) as processes:
            yield processes
        return
    with cluster(n_workers=n, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=40) as local, local.get_client() as client:
        yield ClusterExecutor(client)


def _local_cluster() -> Any:
    """Returns dask's class of clusters on this machine, None where it is not installed."""
    try:
        from distributed import LocalCluster
    except ImportError:
        return None
    return LocalCluster
