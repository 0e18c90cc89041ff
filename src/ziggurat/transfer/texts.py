"""What was done, or would be, in lines for a person."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence

from ziggurat.conversion import Change
from ziggurat.model import JSON
from ziggurat.node import dumps
from ziggurat.problems import Problem

_N_PLACES = 4
"""Named in one sentence."""


def sentences(problems: Sequence[Problem]) -> list[str]:
    """Returns one sentence per kind of problem, with the first places where it is and how many more there are."""
    places: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        places.setdefault((problem.message, problem.hint), []).append(problem.loc)
    found_sentences = []
    for (message, hint), found in places.items():
        more = f" (and {len(found) - _N_PLACES:,} more)" if len(found) > _N_PLACES else ""
        found_sentences.append(f"{', '.join(found[:_N_PLACES])}{more}: {message}" + (f"; {hint}" if hint else ""))
    return found_sentences


def difference(change: Change) -> list[str]:
    """Returns the unified difference of one document, as text lines; a new one as it is, a new array's in one line."""
    if change.old is None and change.new is not None:
        is_array = change.file == ".zarray" or change.new.get("node_type") == "array" or "dimensions" in change.new
        text = json.dumps(change.new, default=dict) if is_array else dumps(change.new, change.key).decode()
        return [f"+++ {change.key}", *(f"+{line}" for line in text.splitlines())]
    old, new = ([] if document is None else dumps(document, change.key).decode().splitlines() for document in (change.old, change.new))
    names = (change.key if old else "/dev/null", change.key if new else "/dev/null")
    return list(difflib.unified_diff(old, new, *names, lineterm=""))


def problem_json(problem: Problem) -> dict[str, JSON]:
    """Returns a problem as plain JSON."""
    return {
        "rule": problem.rule,
        "requirement": problem.requirement,
        "loc": problem.loc,
        "message": problem.message,
        "hint": problem.hint,
        "source": problem.source,
    }


def counted(n: int, word: str) -> str:
    """Returns a number and what it counts.

    >>> counted(1, "document"), counted(2, "document")
    ('1 document', '2 documents')
    """
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"
