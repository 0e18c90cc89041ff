"""What a build tells when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ziggurat.planner import BuildPlan, count_text, size_text, time_text


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A finished, published build; or one part of it, made and not published."""

    location: str
    """The group that holds the multiscale."""
    n_levels: int
    seconds: float
    """Wall time of this call."""
    written_bytes: int
    """Encoded bytes of chunks that this call wrote, copied ones included."""
    base_mean: float | None
    """Mean of the base; None unless the reduction is the mean."""
    last_mean: float | None
    """Mean of the coarsest level; None for complex numbers and where nothing is valid."""
    n_chunk_reads: int
    n_chunk_writes: int
    n_resumed: int
    """Tasks that an earlier, interrupted call had finished."""
    n_tasks: int
    plan: BuildPlan
    unproven: tuple[int, ...] = ()
    """By level, how many samples a bound on what is carried left unproven (labels from the base), those of an interrupted run included; empty when none."""
    part: str | None = None
    """Such as `"7/100"`: only this part was made, nothing is published yet; the counts are of this part."""
    n_waiting: int = 0
    """Tasks of a part that read what other parts have not made yet: they are for the next call, or for `finish`."""
    variables: Mapping[str, BuildResult] = field(default_factory=dict)
    """Of a Dataset the result of each variable by name; the means above are then those of the first. Empty of an array."""

    def to_json(self) -> dict[str, object]:
        """Returns the facts as plain JSON values."""
        names = (
            "location",
            "n_levels",
            "seconds",
            "written_bytes",
            "base_mean",
            "last_mean",
            "n_chunk_reads",
            "n_chunk_writes",
            "n_resumed",
            "n_tasks",
            "part",
            "n_waiting",
        )
        return {n: getattr(self, n) for n in names} | {"unproven": list(self.unproven), "plan": self.plan.to_json()}

    def __str__(self) -> str:
        if self.part is not None:
            waiting = f", {self.n_waiting} wait for other parts" if self.n_waiting else ""
            work = f"part {self.part} of {self.location}: {count_text(self.n_tasks, 'task')}, {self.n_resumed} made before{waiting}"
            return f"{work}\n{time_text(self.seconds)}, {size_text(self.written_bytes)} written; when all parts are made, say --finish (finish=True)"
        ends = (self.plan.levels[0], self.plan.levels[-1])[: self.n_levels]
        levels = " -> ".join(" x ".join(map(str, level.shape)) for level in ends)
        lines = [
            f"{self.location}  ({self.plan.layout}, {count_text(len(self.variables), 'variable') if self.variables else self.plan.reduction})",
            f"{count_text(self.n_levels, 'level')}, {levels}",
            f"{time_text(self.seconds)}, {size_text(self.written_bytes)} written{self._resumed()}",
            *(f"{name}: {one.plan.reduction}, {one._means()}" for name, one in self.variables.items()),
            *([] if self.variables else [self._means()]),
            *self._doubts(),
            f"look at it: ziggurat info {self.location}, or ziggurat.open({self.location!r})",
        ]
        return "\n".join(lines)

    def _resumed(self) -> str:
        return f", resumed at {self.n_resumed / self.n_tasks:.0%}" if self.n_resumed else ""

    def _doubts(self) -> list[str]:
        found = [f"{n:,} of level {k}" for k, n in enumerate(self.unproven) if n]
        return [f"not proven, for more labels lie under them than are counted: samples {', '.join(found)}"] if found else []

    def _means(self) -> str:
        if self.base_mean is not None and self.last_mean is not None:
            return f"mean of the base {self.base_mean:.6g}, of the last level {self.last_mean:.6g}"
        if self.last_mean is not None:
            return f"mean of the last level {self.last_mean:.6g}"
        return f"{self.plan.kind} of {self.plan.levels[0].dtype}"
