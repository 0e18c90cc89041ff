"""What all source tests share: reading a source block by block, and drawing samples."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from ziggurat.chunkio import AnyArray
from ziggurat.sources import Source


def _whole(source: Source) -> AnyArray:
    result = np.zeros(source.shape, source.dtype)
    for index in itertools.product(*(range(-(-n // c)) for n, c in zip(source.shape, source.chunks, strict=True))):
        block = np.zeros(source.chunks, source.dtype)
        source.read(index, block)
        region = tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(index, source.chunks, source.shape, strict=True))
        result[region] = block[tuple(slice(0, s.stop - s.start) for s in region)]
    return result


def _drawn(shape: tuple[int, ...], dtype: str, seed: int = 7) -> AnyArray:
    random = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return random.integers(0, 2, shape).astype(kind)
    if kind.kind in "iu":
        return random.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, dtype=kind.newbyteorder("="), endpoint=True).astype(kind)
    if kind.kind == "c":
        return (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(kind)
    return random.normal(size=shape).astype(kind)


@pytest.fixture
def whole() -> Callable[[Source], AnyArray]:
    """Reads every block of a source's grid into one array."""
    return _whole


@pytest.fixture
def drawn() -> Callable[..., AnyArray]:
    """Draws samples of a shape and dtype that use every byte of it."""
    return _drawn
