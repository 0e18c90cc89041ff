"""What a rule is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ziggurat.model import JSON
from ziggurat.problems import Requirement

OURS = "observation of ziggurat"
"""Source of a rule that is no format's."""
Repair = Literal["order", "absent", "version", "offset", "names", "arrays", "copy"]
"""List levels by size; leave out those without an array; state the version plainly; state where samples lie, once their reduction is known;
name the axes of arrays; write again what arrays say better; make the consolidated copy anew."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of one format."""

    id: str
    requirement: Requirement
    text: str
    """What the format asks for, a full sentence in the present."""
    source: str
    """Where it is asked for."""
    key: str = ""
    """The place that it speaks of: `multiscales[].datasets[].path`."""
    schema: Mapping[str, JSON] = field(default_factory=dict)
    """What JSON Schema can say of the value at `key`."""
    unparsed: bool = False
    """True when no version of the format may transform the value."""
    repair: Repair | None = None
    """What mends a document that breaks it, where that follows from the arrays."""
