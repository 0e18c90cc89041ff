"""What every maker script shares: an image from a file, reduced by the tool's own means, its levels saved as plain arrays.

Called as `python maker.py '{"input": "base.npy", "folder": "...", "method": "...", "n_levels": 4}'`; the script writes `level-1.npy`, ... into the folder.
"""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Job = dict[str, Any]


def main(make: Callable[[Job, Any], Iterable[Any]]) -> None:
    import numpy as np

    job = json.loads(sys.argv[1])
    base = np.load(job["input"])
    for k, level in enumerate(make(job, base), start=1):
        np.save(Path(job["folder"]) / f"level-{k}.npy", np.asarray(level))


def factors_of(job: Job) -> list[int]:
    """Cumulative factors of the levels above the base: 2, 4, 8."""
    return [2**k for k in range(1, job["n_levels"])]
