"""What can be wrong: problems of a document, collected; and the exceptions, one tree.

A document is judged with `Problem` values, all at once; a call that cannot go on raises the narrowest class below.
Each class is also the built-in that a caller would expect::

    ZigguratError
    ├── DocumentError (ValueError)          a metadata document cannot be read as what it claims to be
    │   ├── PathError                       a path in a document leaves its root, or is no path
    │   └── LimitError                      a document is larger or deeper than any honest one
    ├── NotFound (FileNotFoundError)        nothing there, or no multiscale there
    ├── OptionError (ValueError)            an option that was said cannot be honoured
    │   └── NoMember (KeyError)             a collection has no member of that name
    ├── LayoutError (ValueError)            a layout is unknown, or cannot hold what it was given
    ├── PlanError (ValueError)              the work cannot be planned (memory, grids)
    ├── UnsupportedError (TypeError)        a dtype, codec or source that is not supported
    ├── TargetExists (FileExistsError)      the target is already there
    ├── StorageError (OSError)              reading or writing failed
    └── MissingExtra (ImportError)          an optional dependency is not installed
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Requirement = Literal["MUST", "SHOULD", "MAY", "NOTE"]
"""RFC 2119 words as the format in question uses them; NOTE is our own observation, never a verdict."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule, or one observation, at one place of a document."""

    rule: str
    """Stable id of the rule, such as `MS003` or `OME010`."""
    requirement: Requirement
    loc: str
    """Where, as a path into the document: `multiscales[0].datasets[2].path`."""
    message: str
    """What was found and what was expected."""
    hint: str = ""
    """What to do."""
    source: str = ""
    """The section of the specification, or the comment of the discussion, that demands it."""

    @property
    def verdict(self) -> str:
        """`broken` for a MUST, `advice` for a SHOULD, `note` for the rest."""
        return {"MUST": "broken", "SHOULD": "advice"}.get(self.requirement, "note")

    @property
    def sentence(self) -> str:
        """Rule, place, what was found, and what to do, on one line."""
        text = f"{self.rule}  {self.loc}: {self.message}"
        return f"{text}; {self.hint}" if self.hint else text

    def __str__(self) -> str:
        return f"{self.verdict:<6}  {self.sentence}"


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found, in the order of the document."""

    location: str
    layouts: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = field(default=())
    strict: bool = False
    """Whether `ok` holds a SHOULD as high as a MUST."""

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.problems)

    def __len__(self) -> int:
        return len(self.problems)

    def __str__(self) -> str:
        return "\n".join([*map(str, self.problems), f"{'passed' if self.ok else 'failed'}  {self.summary}"])

    @property
    def summary(self) -> str:
        """Where, as which layout, and how many rules are broken and pieces of advice there are."""
        counts = [
            f"{len(found)} {one if len(found) == 1 else many}"
            for found, one, many in ((self.of("MUST"), "rule broken", "rules broken"), (self.of("SHOULD"), "piece of advice", "pieces of advice"))
            if found
        ]
        return f"{self.location} ({', '.join(self.layouts) or 'no layout'})" + (f": {', '.join(counts)}" if counts else "")

    def of(self, requirement: Requirement) -> tuple[Problem, ...]:
        """Returns the problems of one requirement."""
        return tuple(p for p in self.problems if p.requirement == requirement)

    @property
    def ok(self) -> bool:
        """True when no MUST is broken; in a strict report, no SHOULD either."""
        return not self.of("MUST") and not (self.strict and self.of("SHOULD"))

    @property
    def ok_strict(self) -> bool:
        """True when neither a MUST nor a SHOULD is broken."""
        return not self.of("MUST") and not self.of("SHOULD")


def shown(text: object) -> str:
    r"""Returns `text` with every character that is not printable (control codes, direction marks, line breaks) spelled out.

    Names come from documents that anyone may have written; nothing of them reaches a terminal or a page without this.

    >>> shown("red\x1b[31m")
    'red\\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


class ZigguratError(Exception):
    """Base of every error that this library raises on purpose."""


class DocumentError(ZigguratError, ValueError):
    """A metadata document cannot be read as what it claims to be; `problems` says why."""

    def __init__(self, message: str, problems: Iterable[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class PathError(DocumentError):
    """A path found in a document leaves its root, or is no path."""


class LimitError(DocumentError):
    """A document is larger or deeper than any honest one."""


class NotFound(ZigguratError, FileNotFoundError):
    """There is nothing at the place, or no multiscale."""


class OptionError(ZigguratError, ValueError):
    """An option that was said cannot be honoured."""


class NoMember(OptionError, KeyError):
    """A collection has no member of that name."""

    __str__ = Exception.__str__  # KeyError shows its message in quotes


class LayoutError(ZigguratError, ValueError):
    """A layout is unknown, or cannot hold what it was given."""


class PlanError(ZigguratError, ValueError):
    """The work cannot be planned: too little memory, or grids that do not fit."""


class UnsupportedError(ZigguratError, TypeError):
    """A dtype, a codec or a source that is not supported."""


class TargetExists(ZigguratError, FileExistsError):
    """The target is already there."""


class StorageError(ZigguratError, OSError):
    """Reading or writing failed."""


class MissingExtra(ZigguratError, ImportError):
    """An optional dependency is not installed; the message names the install line."""
