"""Judging documents: rules over a node and what was read from it. Nothing is opened, no sample is read.

The rules are data (`ziggurat.layouts.rules`); readers find the broken ones that they meet, the checks here all others.
`spec_markdown` and `spec_schema` print the same table as a specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ziggurat import layouts
from ziggurat.layouts import ReadResult, multiscales01, ome_zarr
from ziggurat.model import JSON, Multiscale
from ziggurat.node import Node
from ziggurat.problems import NotFound, Problem, Report
from ziggurat.validation import founding, group, ome
from ziggurat.validation.case import Check, make_case
from ziggurat.validation.spec import spec_markdown, spec_schema

__all__ = ["CHECKS", "check_node", "check_result", "spec_markdown", "spec_schema"]

CHECKS: Mapping[str, tuple[tuple[tuple[str, ...], Check], ...]] = MappingProxyType({multiscales01.NAME: founding.CHECKS, ome_zarr.NAME: ome.CHECKS})
"""Name of a layout -> the rules of its multiscales and the checks that judge them."""


def check_node(node: Node, *, layout: str | None = None) -> Report:
    """Returns what every rule says about a node, as the layout with the strongest evidence, or as `layout`.

    A plate, a well or a group of labels without multiscales of its own is judged as such.

    Raises
    ------
    NotFound
        Nothing is there, or nothing that any layout recognises.
    DocumentError
        The group's own document cannot be read.
    LayoutError
        `layout` is unknown.
    """
    try:
        result = layouts.read(node, layout)
    except NotFound:
        block = group.block_of(node)
        if layout is not None or block is None or "multiscales" in block[0]:
            raise
        version = ome_zarr.parsed_version(block[0].get("version"))
        result = ReadResult(node.location, (f"{ome_zarr.NAME}@{version if version in ome_zarr.FACTS else '0.4'}",), (), ())
    return check_result(node, result)


def check_result(node: Node, result: ReadResult) -> Report:
    """Returns the report on what was already read from a node, in the order of the document."""
    name = result.layout.partition("@")[0]
    problems = [*result.problems, *group.check_zarr(node)]
    for multiscale, loc in _places(node, result):
        case = make_case(node, multiscale, loc)
        for _, check in CHECKS.get(name, ()):
            problems += check(case)
    if name == ome_zarr.NAME:
        problems += _beside(node, result)
    problems += group.check_consolidated(node, result.multiscales)
    unique = dict.fromkeys(problems)
    return Report(result.location, result.layouts, tuple(sorted(unique, key=lambda p: _document_order(p.loc))))


def _beside(node: Node, result: ReadResult) -> Iterator[Problem]:
    block = group.block_of(node)
    if block is None:
        return
    held, prefix = block
    yield from group.check_omero(held, result.multiscales, prefix)
    yield from group.check_bioformats2raw(held, prefix)
    yield from group.check_labels(node, held, result.multiscales, prefix)
    yield from group.check_plate(node, held, prefix)


def _places(node: Node, result: ReadResult) -> Iterator[tuple[Multiscale, str]]:
    """Yields each multiscale with its place in the document, where broken entries may stand between."""
    attributes: JSON = node.attributes
    ome_block = node.attributes.get("ome")
    wrapped = result.layout.startswith(ome_zarr.NAME) and isinstance(ome_block, Mapping) and "multiscales" in ome_block
    held = ome_block if wrapped else attributes
    entries = held.get("multiscales") if isinstance(held, Mapping) else None
    for i, multiscale in enumerate(result.multiscales):
        places = [j for j, entry in enumerate(entries if isinstance(entries, (list, tuple)) else ()) if entry is multiscale.raw]
        yield multiscale, f"{'ome.' if wrapped else ''}multiscales[{places[0] if places else i}]"


def _document_order(loc: str) -> list[tuple[int, int, str]]:
    """Sorts `datasets[2]` before `datasets[10]`."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", loc)]
