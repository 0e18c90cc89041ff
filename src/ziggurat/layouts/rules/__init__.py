"""The rules of the layouts, as data: id, requirement, text, source; one file per family.

`validation` attaches checks, `docs/generate.py` makes pages of them. A new family is a file here and a name in `TABLES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ziggurat.layouts.rules.common import COMMON
from ziggurat.layouts.rules.deep import DEEP
from ziggurat.layouts.rules.founding import FOUNDING
from ziggurat.layouts.rules.genomics import MULTIVEC
from ziggurat.layouts.rules.geozarr import GEOZARR
from ziggurat.layouts.rules.n5 import BDV_N5, COSEM, N5_VIEWER, PAINTERA, PRECOMPUTED
from ziggurat.layouts.rules.ome import OME
from ziggurat.layouts.rules.ports import OURS, Repair, Rule
from ziggurat.layouts.rules.tiff import TIFF
from ziggurat.layouts.rules.undeclared import UNDECLARED
from ziggurat.layouts.rules.webknossos import WEBKNOSSOS
from ziggurat.layouts.rules.xarray_family import XARRAY_FAMILY
from ziggurat.layouts.rules.zipped import ZIPPED
from ziggurat.problems import Problem, Requirement

__all__ = [
    "BDV_N5",
    "COMMON",
    "COSEM",
    "DEEP",
    "FOUNDING",
    "GEOZARR",
    "MULTIVEC",
    "N5_VIEWER",
    "OME",
    "OURS",
    "PAINTERA",
    "PRECOMPUTED",
    "RULES",
    "TABLES",
    "TIFF",
    "UNDECLARED",
    "WEBKNOSSOS",
    "XARRAY_FAMILY",
    "ZIPPED",
    "Repair",
    "Rule",
    "problem",
]

TABLES: tuple[tuple[Rule, ...], ...] = (
    FOUNDING,
    OME,
    ZIPPED,
    UNDECLARED,
    XARRAY_FAMILY,
    COSEM,
    GEOZARR,
    MULTIVEC,
    N5_VIEWER,
    BDV_N5,
    PAINTERA,
    PRECOMPUTED,
    WEBKNOSSOS,
    TIFF,
    COMMON,
    DEEP,
)
RULES: Mapping[str, Rule] = MappingProxyType({rule.id: rule for table in TABLES for rule in table})
"""Every rule by its id."""


def problem(rule: str, loc: str, message: str, hint: str = "", *, requirement: Requirement | None = None) -> Problem:
    """Returns a problem with requirement and source of its rule; `requirement` only where a version of the format asks for less."""
    row = RULES[rule]
    return Problem(rule, requirement or row.requirement, loc, message, hint, row.source)
