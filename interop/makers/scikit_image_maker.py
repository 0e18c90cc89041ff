"""scikit-image: its pyramids and resizers, each level from the one before."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from common import Job, main
from skimage.measure import block_reduce
from skimage.transform import pyramid_reduce, rescale, resize


def step(method: str, level: Any) -> Any:
    if method == "pyramid_reduce":
        return pyramid_reduce(level, downscale=2, preserve_range=True)
    if method == "resize":
        return resize(level, [-(-n // 2) for n in level.shape], anti_aliasing=True, preserve_range=True)
    if method == "rescale, order 0":
        return rescale(level, 0.5, order=0, anti_aliasing=False, preserve_range=True)
    if method == "block_reduce, mean":
        return block_reduce(level, 2, np.mean)
    if method == "block_reduce, max":
        return block_reduce(level, 2, np.max)
    raise ValueError(method)


def make(job: Job, base: Any) -> Iterator[Any]:
    level = base
    for _ in range(1, job["n_levels"]):
        level = step(job["method"], level).astype(base.dtype)
        yield level


main(make)
