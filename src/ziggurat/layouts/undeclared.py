"""Levels that no document declares: early viv's base and sub-resolutions, and arrays that are only numbered.

Both are looked for only in groups without any attributes, so that nothing that is declared pays for it. Numbered arrays are opened only when
`layout="bare"` is said. Source: formats.md 7, 13.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ziggurat.layouts import series as listed
from ziggurat.layouts.ports import Documents, Evidence, Facts
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, Axis, Level, Multiscale
from ziggurat.node import Node
from ziggurat.problems import DocumentError, LayoutError, Problem

VERSION = "1"
MAX_LEVELS = 32
"""32 halvings reach one sample from any size that exists."""
RULES = listed.Rules(listed="INF001", datasets="INF001", path="INF001", local="INF001", array="INF001", order="INF001")
_VIV = Facts(
    title="viv: base and sub-resolutions (2020)",
    marks="an array `base` beside a group `sub-resolutions` of arrays `01`, `02`, ..., and no metadata",
    geometry="nothing is said; scale and translation are inferred from the sizes",
    axes="names of dimensions, else inferred",
    source="zarr-specs issue #50, discussion",
    software=("viv",),
)
_BARE = Facts(
    title="Numbered arrays",
    marks="arrays `0`, `1`, ... or `s0`, `s1`, ... that become smaller, and no metadata; opened only on request",
    geometry="nothing is said; scale and translation are inferred from the sizes",
    axes="names of dimensions, else inferred",
)


@dataclass(frozen=True, slots=True)
class UndeclaredLayout:
    """`viv@1`, or `bare@1`: the two differ in what the arrays are called."""

    name: str
    facts: Facts
    starts: tuple[tuple[str, str], ...]
    """Path of the base, and template of the first level after it with its number: base, next."""
    on_sight: bool
    """Whether it is read without being named."""
    versions: tuple[str, ...] = (VERSION,)

    def detect(self, node: Node) -> Evidence | None:
        return self._evidence(node) if self.on_sight else None

    def guess(self, node: Node) -> Evidence | None:
        return None if self.on_sight else self._evidence(node)

    def _evidence(self, node: Node) -> Evidence | None:
        if node.attributes or node.kind != "group":
            return None
        paths = self._paths(node, 2)
        if len(paths) < 2:
            return None
        return Evidence(f"{self.name}@{VERSION}", "inferred", f"arrays {paths[0]!r} and {paths[1]!r} that become smaller, and no metadata")

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        paths = self._paths(node, MAX_LEVELS)
        if not paths:
            return (), (problem("INF001", "", f"no arrays are called as those of {self.name} are"),)
        raw: dict[str, JSON] = {"datasets": [{"path": path} for path in paths]}
        series, problems = listed.readable([raw], "", RULES)
        found, wrong = listed.arrays(node, series[0], RULES, names=True)
        axes, inferred = listed.named_axes(found)
        levels = [Level(path=path, array=info) for path, info in zip(paths, found, strict=True)]
        said = "no document says that these are levels; their order and places are inferred from the sizes" + (f"; {inferred}" if inferred else "")
        problems = (*problems, *wrong, problem("INF001", "", said, "describe them with 'ziggurat annotate'"))
        whole = listed.assembled(series[0], levels, axes, layout=f"{self.name}@{VERSION}", coarse_first=False, known=frozenset(raw))
        return (whole,), problems

    def can_hold(self, axes: Sequence[Axis], *, version: str = VERSION) -> str | None:
        return f"{self.name} is only read"

    def write(
        self, multiscales: Sequence[Multiscale], *, version: str = VERSION, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None
    ) -> Documents:
        raise LayoutError(f"{self.name}@{version} is only read; take multiscales@0.1 or ome-zarr@0.5")

    def _paths(self, node: Node, limit: int) -> tuple[str, ...]:
        """Returns the paths of the arrays that become smaller, largest first, as far as they are there and `limit` allows."""
        for base, template in self.starts:
            found = tuple(_shrinking(node, base, template, limit))
            if len(found) > 1:
                return found
        return ()


def _shrinking(node: Node, base: str, template: str, limit: int) -> Iterator[str]:
    before: tuple[int, ...] | None = None
    for k in range(limit):
        path = base if k == 0 else template.format(k)
        try:
            info = node.child(path).array
        except DocumentError:
            return
        if info is None or (before is not None and not (len(before) == info.ndim and before != info.shape and _inside(info.shape, before))):
            return
        before = info.shape
        yield path


def _inside(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    return all(a <= b for a, b in zip(small, large, strict=True))


VIV = UndeclaredLayout("viv", _VIV, (("base", "sub-resolutions/{:02}"),), on_sight=True)
BARE = UndeclaredLayout("bare", _BARE, (("0", "{}"), ("s0", "s{}")), on_sight=False)
