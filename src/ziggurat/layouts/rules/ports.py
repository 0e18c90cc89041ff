"""What a rule is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ziggurat.model import JSON
from ziggurat.problems import Requirement

OURS = "observation of ziggurat"
"""Source of a rule that is no format's."""


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
