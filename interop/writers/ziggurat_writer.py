"""ziggurat: `zg.build` of an array, x reduced."""

from typing import Any

from ramp import Job, main

import ziggurat as zg


def write(job: Job, array: Any) -> None:
    steps = [b // a for a, b in zip([1, *job["factors"]], job["factors"], strict=False)]
    # a step of 1 x 1 is no step: y is reduced as well, where it is even
    zg.build(array, job["path"], axes="yx", reduction=job["method"], factors=[[1, step] for step in steps], chunks=[64, job["chunk"]], layout="ome-zarr@0.5")


main(write)
