"""Judging documents: rules over a node and what was read from it. Nothing is opened, no sample is read.

The rules are data (`ziggurat.layouts.rules`); readers find the broken ones that they meet, the checks here all others.
`spec_markdown` and `spec_schema` print the same table as a specification.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from ziggurat import layouts
from ziggurat.layouts import (
    Layout,
    ReadResult,
    cosem,
    itk,
    multiscales01,
    ome_zarr,
)
from ziggurat.layouts import geozarr as geozarr_layout
from ziggurat.layouts.ome_facts import block_of
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, Multiscale
from ziggurat.node import Node
from ziggurat.problems import DocumentError, NotFound, Problem, Report
from ziggurat.validation import (
    founding,
    geozarr,
    group,
    n5,
    ome,
    xarray_family,
)
from ziggurat.validation.archives import Archive, check_archive
from ziggurat.validation.case import Check, make_case
from ziggurat.validation.spec import spec_markdown, spec_schema

__all__ = ["CHECKS", "Archive", "check_archive", "check_node", "check_result", "spec_markdown", "spec_schema"]

CHECKS: Mapping[str, tuple[tuple[tuple[str, ...], Check], ...]] = MappingProxyType(
    {
        multiscales01.NAME: founding.CHECKS,
        ome_zarr.NAME: ome.CHECKS,
        itk.NAME: xarray_family.ITK,
        cosem.NAME: n5.COSEM_CHECKS,
        geozarr_layout.NAME: geozarr.CHECKS,
    }
)
"""Name of a layout -> the rules of its multiscales and the checks that judge them."""

MAX_MEMBERS = 5_000
"""A plate of 384 wells with 9 fields has 3456."""


def check_node(node: Node, *, layout: str | None = None) -> Report:
    """Returns what every rule says about a node, as the layout with the strongest evidence, or as `layout`; then about its members.

    A collection (a plate, images side by side, a group of labels) is judged as such, and every member of it as if it stood alone.

    Raises
    ------
    NotFound
        Nothing is there, or nothing that any layout recognises.
    DocumentError
        The group's own document cannot be read.
    LayoutError
        `layout` is unknown.
    """
    chosen = layouts.LAYOUTS if layout is None else (layouts.find(layout),)
    evidence = layouts.detect(node, chosen)
    if layout is None and any(e.holds == "members" for e in evidence) and not any(e.holds == "levels" for e in evidence):
        result = ReadResult(node.location, tuple(e.layout for e in evidence), (), (), evidence)
    else:
        result = layouts.read(node, layout)
    report = check_result(node, result)
    return replace(report, problems=(*report.problems, *_members(node, layout, chosen)))


def _members(node: Node, layout: str | None, chosen: Sequence[Layout]) -> Iterator[Problem]:
    """Yields what is wrong with the names of members, and with the members, whose places begin with their path."""
    members, problems = layouts.members(node, chosen)
    yield from problems
    for member in members[:MAX_MEMBERS]:
        try:
            child = node.child(member.path)
            report = check_node(child, layout=layout)
        except (NotFound, DocumentError) as error:
            message = "nothing is there" if isinstance(error, NotFound) and child.kind == "absent" else f"cannot be read: {error}"
            yield problem("COL001", member.path, message, "restore it, or take it off the list")
            continue
        yield from (replace(found, loc=f"{member.path}/{found.loc}".rstrip("/")) for found in report)
        yield from group.check_member_version(node, child, member.path)
    if len(members) > MAX_MEMBERS:
        yield problem("COL002", "", f"only the first {MAX_MEMBERS:,} of {len(members):,} members were judged", "check the others one by one")


def check_result(node: Node, result: ReadResult) -> Report:
    """Returns the report on what was already read from a node, in the order of the document."""
    name = result.layout.partition("@")[0]
    problems = [*result.problems, *group.check_zarr(node)]
    for multiscale, loc in _places(node, result):
        case = make_case(node, multiscale, loc)
        for _, check in CHECKS.get(name, ()):
            problems += check(case)
    for check_document in DOCUMENTS.get(name, ()):
        problems += check_document(node, result)
    problems += group.check_consolidated(node, result.multiscales)
    unique = dict.fromkeys(problems)
    return Report(result.location, result.layouts, tuple(sorted(unique, key=lambda p: _document_order(p.loc))))


def _beside(node: Node, result: ReadResult) -> Iterator[Problem]:
    block = block_of(node)
    if block is None:
        return
    held, prefix = block
    yield from group.check_omero(held, result.multiscales, prefix)
    yield from group.check_bioformats2raw(held, prefix)
    yield from group.check_labels(node, held, result.multiscales, prefix)
    yield from group.check_image_label(held, prefix)
    yield from group.check_plate(node, held, prefix)
    yield from group.check_block_versions(held, prefix)


DOCUMENTS: Mapping[str, tuple[Callable[[Node, ReadResult], Iterator[Problem]], ...]] = MappingProxyType(
    {ome_zarr.NAME: (_beside,), geozarr_layout.NAME: (geozarr.check_documents,)}
)
"""Name of a layout -> what judges the attributes of its group as a whole, whether or not a series in it can be read."""


def _places(node: Node, result: ReadResult) -> Iterator[tuple[Multiscale, str]]:
    """Yields each multiscale with its place in the document, where broken entries may stand between."""
    attributes: JSON = node.attributes
    ome_block = node.attributes.get("ome")
    wrapped = result.layout.startswith(ome_zarr.NAME) and isinstance(ome_block, Mapping) and "multiscales" in ome_block
    held = ome_block if wrapped else attributes
    entries = held.get("multiscales") if isinstance(held, Mapping) else None
    for i, multiscale in enumerate(result.multiscales):
        places = [j for j, entry in enumerate(entries if isinstance(entries, (list, tuple)) else ()) if entry is multiscale.raw]
        number = f"[{places[0] if places else i}]" if not isinstance(entries, Mapping) else ""
        yield multiscale, f"{'ome.' if wrapped else ''}multiscales{number}"


def _document_order(loc: str) -> list[tuple[int, int, str]]:
    """Sorts `datasets[2]` before `datasets[10]`."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", loc)]
