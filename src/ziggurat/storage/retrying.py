"""Requests that fail are asked again, a bounded number of times: servers say 503, connections end, tokens are renewed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DELAYS = (0.05, 0.2, 0.8, 2.0)
"""Seconds before each further attempt; at most five attempts. With 5 % of requests failing, one in three million fails five times."""


def retried(function: Callable[[], T], is_passing: Callable[[Exception], bool]) -> T:
    """Returns what the function returns; calls it again after an error that `is_passing` says may pass. Raises its last error."""
    for delay in DELAYS:
        try:
            return function()
        except Exception as error:
            if not is_passing(error):
                raise
        time.sleep(delay)
    return function()
