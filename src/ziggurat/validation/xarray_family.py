"""Checks of the layouts of the xarray family, beyond what their readers find. Source: formats.md 5, 6, 12."""

from __future__ import annotations

from collections.abc import Iterator

from ziggurat.layouts.rules import problem
from ziggurat.problems import DocumentError, Problem
from ziggurat.validation.case import Case, Check


def check_own_copies(case: Case) -> Iterator[Problem]:
    """ITK008: each level can be opened alone, with one request for all of its documents."""
    for level in case.multiscale.levels:
        group = level.path.rpartition("/")[0]
        try:
            copy = (case.node.child(group) if group else case.node).consolidated()
        except DocumentError:
            copy = {}  # It is there, and the check of the copy tells what is wrong with it.
        if copy is None:
            yield problem("ITK008", f"{group}/.zmetadata" if group else ".zmetadata", "is absent", "consolidate the metadata of this group")


ITK: tuple[tuple[tuple[str, ...], Check], ...] = ((("ITK008",), check_own_copies),)
