"""What an upgrade reports, as data: id -> requirement and source."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ziggurat.problems import Problem, Requirement

RULES: Mapping[str, tuple[Requirement, str]] = MappingProxyType(
    {
        "UPG001": ("NOTE", "formats 15.11"),  # axes were inferred
        "UPG002": ("NOTE", "formats 15.11"),  # scale was computed from shapes
        "UPG003": ("NOTE", "OME 0.5, multiscales metadata"),  # dimension names were replaced
        "UPG004": ("MUST", "OME 0.4, plate metadata"),  # a well names no row and column
        "UPG005": ("NOTE", "OME 0.4, plate metadata"),  # several acquisitions, images that name none
        "UPG006": ("MUST", "OME 0.3, multiscales metadata"),  # rank of an array and number of axes differ
        "UPG007": ("NOTE", "Zarr v3, fill value"),  # a null fill value became zero
        "UPG008": ("NOTE", "Zarr v3, fill value"),  # a fill value was spelled as a string
        "UPG009": ("NOTE", "Zarr v3, array metadata"),  # an unknown key of an array's document is left out
        "UPG010": ("NOTE", "Zarr v3, codecs"),  # a codec outside v3's core
        "UPG011": ("NOTE", "OME 0.6, multiscales metadata"),  # no translation is stated, which 0.6 gives a meaning
    }
)


def problem(rule: str, loc: str, message: str, hint: str = "") -> Problem:
    """Returns a problem with the requirement and source of its rule."""
    requirement, source = RULES[rule]
    return Problem(rule, requirement, loc, message, hint, source)
