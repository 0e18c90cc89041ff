"""What a check looks at: one series of one node, with its arrays as their own documents state them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, ArrayInfo, Multiscale
from ziggurat.node import Node, word
from ziggurat.problems import DocumentError, Problem, Requirement


@dataclass(frozen=True, slots=True)
class Case:
    """One multiscale under inspection."""

    node: Node
    multiscale: Multiscale
    loc: str
    """Its place in the document: `multiscales[0]` or `ome.multiscales[0]`."""
    arrays: tuple[ArrayInfo | None, ...]
    """Per level, dimension names included."""

    @property
    def raw(self) -> Mapping[str, JSON]:
        return self.multiscale.raw

    def at(self, level: int) -> str:
        """Returns the place of a level's entry in the document, whatever the order there."""
        datasets = self.raw.get("datasets")
        paths = [entry.get("path") for entry in datasets if isinstance(entry, Mapping)] if isinstance(datasets, (list, tuple)) else []
        path = self.multiscale.levels[level].path
        plain = [text.strip("/").removeprefix("./") if isinstance(text, str) else None for text in paths]
        return f"{self.loc}.datasets[{plain.index(path) if path in plain else level}]"

    def present(self) -> Iterator[tuple[int, ArrayInfo]]:
        """Yields every level that has an array."""
        for k, info in enumerate(self.arrays):
            if info is not None:
                yield k, info


Check: TypeAlias = Callable[[Case], Iterator[Problem]]


def make_case(node: Node, multiscale: Multiscale, loc: str) -> Case:
    """Returns the case of one series: its arrays are asked again, with all that stands beside them."""
    found: list[ArrayInfo | None] = []
    for level in multiscale.levels:
        try:
            found.append(node.child(level.path).array)
        except DocumentError:
            # The reader has reported it.
            found.append(None)
    return Case(node, multiscale, loc, tuple(found))


def should_be(raw: Mapping[str, JSON], key: str, kind: type | tuple[type, ...], rule: str, loc: str, advice: str) -> Iterator[Problem]:
    """Yields advice where a key that SHOULD be there is absent or of another kind than `kind`."""
    if key not in raw:
        yield problem(rule, f"{loc}.{key}", "is absent", advice)
    elif not isinstance(raw[key], kind):
        expected = "an object" if kind is Mapping else "a string"
        yield problem(rule, f"{loc}.{key}", f"found {word(raw[key])}; expected {expected}", advice)


def same_dtype(case: Case, rule: str, hint: str, *, requirement: Requirement | None = None) -> Iterator[Problem]:
    """Yields once when the levels differ in their type of samples."""
    paths: dict[str, list[str]] = {}
    for k, info in case.present():
        paths.setdefault(info.dtype, []).append(case.multiscale.levels[k].path)
    if len(paths) > 1:
        shown = "; ".join(f"{', '.join(map(repr, names))}: {dtype}" for dtype, names in paths.items())
        yield problem(rule, f"{case.loc}.datasets", f"the levels differ in their type of samples ({shown})", hint, requirement=requirement)


def array_wins(rule: str, loc: str, stated: JSON, real: JSON, hint: str, *, of: str = "the array") -> Iterator[Problem]:
    """Yields a problem that shows both where a group and an array state the same fact and differ. Source: design.md, each fact is written from one value."""
    if stated != real:
        yield problem(rule, loc, f"found {stated}; {of} has {real}, and the array wins", hint)
