"""What every writer script shares: the job from the command line, and the ramp: every sample's value is its own x coordinate."""

import json
import sys
from collections.abc import Callable
from typing import Any

Job = dict[str, Any]
"""path; size (of x); method; factors (cumulative, one per level above the base); chunk."""


def ramp(job: Job) -> Any:
    import numpy as np

    # as high as a chunk, so that y plays no part
    return np.broadcast_to(np.arange(job["size"], dtype=job.get("dtype", "float64")), (64, job["size"])).copy()


def main(write: Callable[[Job, Any], None]) -> None:
    job = json.loads(sys.argv[1])
    write(job, ramp(job))
