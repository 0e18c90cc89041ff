"""The errands of a newcomer, done as CONTRIBUTING says: a reduction is one row over a kernel, an executor is nothing at all.

The third errand, a toy layout, is in `tests/layouts/test_series.py`.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ziggurat as zg
from ziggurat.reductions import Windows, find

BASE = np.random.default_rng(50).integers(-300, 300, (37, 50), dtype=np.int16)


def spread(block: np.ndarray, factors: tuple[int, ...], out: np.ndarray, nodata: object) -> None:
    """The largest sample of each window less its smallest."""
    for index in np.ndindex(out.shape):
        window = block[tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factors, strict=True))]
        out[index] = window.max() - window.min()


SPREAD = replace(find("max"), name="spread", composes=False, factory=Windows(spread), summary="Largest less smallest.")


def brute_force(base: np.ndarray, f: int) -> np.ndarray:
    rows = [[base[y : y + f, x : x + f] for x in range(0, base.shape[1], f)] for y in range(0, base.shape[0], f)]
    return np.array([[np.ptp(window) for window in row] for row in rows], base.dtype)


class OneByOne(Executor):
    """Runs each call while it is submitted, on the thread that submits it."""

    def __init__(self) -> None:
        self.n_calls = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.n_calls += 1
        future: Future[Any] = Future()
        self.start(lambda: _finish(future, fn, args, kwargs))
        return future

    def start(self, call: Callable[[], None]) -> None:
        call()


class OutOfOrder(OneByOne):
    """Runs each call on a thread of its own, after a delay that has nothing to do with the order of submission."""

    def start(self, call: Callable[[], None]) -> None:
        threading.Timer(random.Random(self.n_calls).random() / 50, call).start()


def _finish(future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        future.set_result(fn(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001 - an executor hands over whatever was raised
        future.set_exception(error)


@pytest.mark.parametrize("chunks", [7, 16, 64])
def test_a_toy_reduction_is_one_row_over_a_kernel(tmp_path: Path, chunks: int) -> None:
    zg.build(BASE, tmp_path / "toy.zarr", reduction=SPREAD, kind="image", chunks=chunks, levels=3)
    pyramid = zg.open(tmp_path / "toy.zarr")
    wanted = list(itertools.accumulate([2, 2], brute_force, initial=BASE))
    for level, want in zip(pyramid.levels, wanted, strict=True):
        assert np.array_equal(level.array[...], want)
    assert pyramid.type == "spread"
    assert [level.translation for level in pyramid.levels] == [(0, 0), (0.5, 0.5), (1.5, 1.5)]
    assert zg.check(tmp_path / "toy.zarr").ok_strict


@pytest.mark.parametrize("make", [OneByOne, OutOfOrder])
@pytest.mark.parametrize("reduction", ["mean", "median", "laplacian"])
def test_any_executor_makes_the_same_samples(tmp_path: Path, make: type[OneByOne], reduction: str) -> None:
    executor = make()
    zg.build(BASE, tmp_path / "theirs.zarr", reduction=reduction, kind="image", chunks=8, levels=3, name="x", executor=executor)
    zg.build(BASE, tmp_path / "ours.zarr", reduction=reduction, kind="image", chunks=8, levels=3, name="x")
    assert executor.n_calls > 1
    for a, b in zip(zg.open(tmp_path / "theirs.zarr").levels, zg.open(tmp_path / "ours.zarr").levels, strict=True):
        assert np.array_equal(a.array[...], b.array[...])


def test_what_an_executor_raises_comes_out(tmp_path: Path) -> None:
    class Broken(OneByOne):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(RuntimeError("the cluster is gone"))
            return future

    with pytest.raises(RuntimeError, match="the cluster is gone"):
        zg.build(BASE, tmp_path / "x.zarr", kind="image", chunks=8, levels=3, executor=Broken())
    with pytest.raises(zg.ZigguratError):
        zg.open(tmp_path / "x.zarr")
    zg.build(BASE, tmp_path / "x.zarr", kind="image", chunks=8, levels=3)
    assert len(zg.open(tmp_path / "x.zarr")) == 3
