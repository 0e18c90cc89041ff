"""A plan as text that a person reads before the work begins."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ziggurat.planner.plan import BuildPlan, LevelPlan

_BASE = MappingProxyType(
    {
        "stays": "the base stays where it is and is not written to",
        "verbatim": "the base is copied as it is stored, without encoding it again",
        "encoded": "the base is copied and encoded",
    }
)


def size_text(n_bytes: float) -> str:
    """Returns a size for people.

    >>> size_text(1536), size_text(2 * 2**30)
    ('1.5 KiB', '2.0 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if n_bytes < 1024 or unit == "TiB":
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1024
    raise AssertionError


def count_text(n: int, noun: str) -> str:
    """Returns a number of things for people; the noun is one whose plural ends in s.

    >>> count_text(1, "chunk"), count_text(20000, "object")
    ('1 chunk', '20,000 objects')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def time_text(seconds: float) -> str:
    """Returns a duration for people.

    >>> time_text(0.4), time_text(200)
    ('0.4 s', '3 min 20 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds) // 60
    return f"{minutes} min {round(seconds) % 60} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _cross(numbers: tuple[int, ...]) -> str:
    return " x ".join(map(str, numbers))


def _physical(numbers: tuple[float, ...]) -> str:
    return " ".join(f"{n:.6g}" for n in numbers)


def table(plan: BuildPlan) -> str:
    """Returns the plan: what becomes of what, a row per level, the cost, the notes."""
    units = [a.unit for a in plan.axes]
    axes = " ".join(f"{a.name} ({a.unit})" if a.unit else a.name for a in plan.axes)
    lines = [
        f"{plan.source} -> {plan.target}",
        f"{plan.layout} in Zarr v{plan.zarr_format}; {_BASE[plan.base]}",
        f"{plan.kind}, {plan.levels[0].dtype}, axes {axes}; reduction {plan.reduction}, sample at the {_anchor(plan)}",
        "",
    ]
    rows: list[tuple[str, ...]] = [("level", "path", "shape", "chunks", "scale", "translation", "size")]
    rows += [_row(k, level) for k, level in enumerate(plan.levels)]
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines += ["  ".join(c.rjust(w) if i in (0, 6) else c.ljust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True))).rstrip() for r in rows]
    lines += _variables(plan)
    shards = [level.shards for level in plan.levels if level.shards]
    lines += ["", f"reads   {count_text(plan.n_chunk_reads, 'chunk')} ({size_text(plan.bytes_in)} decoded){_again(plan)}"]
    n_objects = count_text(plan.n_object_writes, "object")
    lines += [f"writes  {count_text(plan.n_chunk_writes, 'chunk')} in {n_objects} ({size_text(plan.bytes_out)} before compression)"]
    if shards:
        lines += [f"shards  {_cross(shards[0])}"]
    crew = f"{count_text(plan.threads, 'thread')}, {count_text(plan.n_tasks, 'task')}"
    lines += [f"memory  at most {size_text(plan.peak_bytes)} of {size_text(plan.memory_bytes)}; {crew}"]
    lines += [f"time    about {time_text(plan.expected_seconds)} (an estimate)"]
    if not any(units):
        lines += ["note    no unit is known for the axes; say unit= and scale= to place the image in the world"]
    return "\n".join(lines + [f"note    {n}" for n in plan.notes])


def _variables(plan: BuildPlan) -> list[str]:
    """Returns a row per variable of a dataset; none of an array."""
    if not plan.variables:
        return []
    rows = [("variable", "axes", "type", "chunks", "reduction", "weighted by")]
    for one in plan.variables:
        rule = one.weights.get("rule") if one.weights is not None else ""
        weighted = str(rule) if rule else "area" if one.weights is not None else ""
        rows.append((one.name, " ".join(a.name for a in one.axes), one.source_dtype, _cross(one.levels[0].chunks), one.reduction, weighted))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["", *("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows)]


def _anchor(plan: BuildPlan) -> str:
    if not isinstance(plan.anchor, str):
        return ", ".join(f"{word} along {axis.name}" for word, axis in zip(plan.anchor, plan.axes, strict=True))
    return "centre of its window" if plan.anchor == "centre" else "first sample of its window"


def _again(plan: BuildPlan) -> str:
    n = math.prod(-(-s // c) for s, c in zip(plan.levels[0].shape, plan.source_chunks, strict=True))
    if plan.halo or plan.n_chunk_reads == n:
        return ""
    ratio = plan.n_chunk_reads / n
    return f", {ratio:.2f} times each on average" if ratio > 1 else f", {n - plan.n_chunk_reads:,} are not needed"


def _row(k: int, level: LevelPlan) -> tuple[str, ...]:
    size = size_text(level.n_samples * int(_itemsize(level.dtype)))
    return (str(k), level.path, _cross(level.shape), _cross(level.chunks), _physical(level.scale), _physical(level.translation), size)


def _itemsize(dtype: str) -> int:
    return {"bool": 1}.get(dtype, 0) or int("".join(c for c in dtype if c.isdigit())) // 8
