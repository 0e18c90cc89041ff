"""A coverage-guided run over everything that reads documents: `python -m tests.layouts.fuzzing -max_total_time=240`, with options of libFuzzer.

The bytes that the fuzzer varies choose a fixture of the corpus and how it is bent; what it keeps is what reaches new branches of ziggurat.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")
SECONDS = 5.0
"""Of CPU for one look. Source: reliability.md S8."""


class BytesDraw:
    """Draws from a provider of the fuzzer's bytes; where none are left it draws the first of everything."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider

    def randint(self, a: int, b: int, /) -> int:
        return int(self._provider.ConsumeIntInRange(a, b))

    def choice(self, seq: Sequence[T], /) -> T:
        return seq[self.randint(0, len(seq) - 1)]

    def random(self) -> float:
        return self.randint(0, 255) / 256


def main() -> None:
    """Runs until libFuzzer's options end it; the process ends with an error where a look raises what it may not, or takes too long."""
    import atheris

    with atheris.instrument_imports(include=["ziggurat"]):
        from tests.layouts import bends, fixtures, looks

    def look_at(data: bytes) -> None:
        draw = BytesDraw(atheris.FuzzedDataProvider(data))
        fixture = draw.choice(fixtures.BENDABLE)
        documents = bends.bent(fixture, draw)
        name, began = "", time.process_time()
        try:
            for name in looks.judged(fixture, documents, draw):
                taken, began = time.process_time() - began, time.process_time()
                assert taken < SECONDS, f"before {name!r}: {taken:.1f} s"
        except BaseException:
            print(f"{fixture.id}, {name}: {documents!r:.3000}", file=sys.stderr)
            raise

    warnings.simplefilter("error")
    atheris.Setup(sys.argv, look_at)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
