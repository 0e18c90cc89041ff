"""Measures one whole process: wall seconds, CPU seconds, peak memory, and how busy the rest of the machine was.

Standard library only, and small: on Linux a child's peak RSS begins with its parent's, so whoever measures must not hold much.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run of one command cost."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    """Peak RSS of the process itself, as the kernel counted it (wait4)."""
    others_cpu_seconds: float
    """CPU seconds that everybody else used meanwhile: near 0 on a quiet machine."""
    output: str


class CommandFailed(RuntimeError):
    """A measured command ended with an error."""


BYTE_CODE = Path(tempfile.gettempdir()) / "ziggurat-bench-bytecode"
"""Where the measured programs keep their byte code: an installed package has it, an environment that forbids writing it has not."""


def _environment(more: dict[str, str] | None) -> dict[str, str]:
    found = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return found | {"PYTHONPYCACHEPREFIX": str(BYTE_CODE)} | (more or {})


def _busy_seconds() -> float:
    ticks = os.sysconf("SC_CLK_TCK")
    fields = [int(v) for v in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / ticks


def measure(command: Sequence[str | Path], *, timeout_seconds: float = 600, environment: dict[str, str] | None = None) -> Sample:
    """Runs a command to its end and returns what it cost; raises CommandFailed with the end of its error output."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        busy = _busy_seconds()
        start = time.perf_counter()
        process = subprocess.Popen([str(c) for c in command], stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=_environment(environment))
        deadline = start + timeout_seconds
        while True:
            # wait4 with a timeout: a blocking wait in all but the hanging case
            pid, status, usage = os.wait4(process.pid, os.WNOHANG if time.perf_counter() > deadline else 0)
            if pid or time.perf_counter() > deadline:
                break
        wall = time.perf_counter() - start
        if not pid:
            process.kill()
            process.wait()
            raise CommandFailed(f"{command}: not done after {timeout_seconds:.0f} s")
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime
        others = max(0.0, _busy_seconds() - busy - cpu)
        out.seek(0)
        text = out.read().decode(errors="replace")
        if process.returncode:
            err.seek(0)
            raise CommandFailed(f"{' '.join(map(str, command))}: exit {process.returncode}: {err.read().decode(errors='replace')[-1500:]}")
    return Sample(wall, cpu, usage.ru_maxrss * 1024, others, text)


def answer(sample: Sample) -> dict[str, Any]:
    """Returns the JSON object that a command printed last."""
    found: dict[str, Any] = json.loads(sample.output.strip().splitlines()[-1])
    return found
