"""Paintera: levels of raw samples, labels or channels, and label multisets, read as the label that most of each voxel is.

A group says `multiScale`, or is a Paintera dataset (`painteraData`) whose levels lie in `data`. `offset` is the centre of the first voxel of
the base. Source: saalfeldlab/paintera; formats.md 4.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType

from ziggurat.layouts import mipmaps
from ziggurat.layouts.ports import Evidence, Facts, ReadOnly
from ziggurat.layouts.rules import problem
from ziggurat.layouts.units import long_unit
from ziggurat.model import JSON, Kind, Multiscale
from ziggurat.node import Node, word
from ziggurat.problems import DocumentError, Problem

NAME = "paintera"
ID = f"{NAME}@1"
KINDS: Mapping[str, Kind] = MappingProxyType({"raw": "image", "label": "labels", "channel": "image"})
MULTISET_DRIVER = "n5-multiset"


@dataclass(frozen=True, slots=True)
class PainteraLayout(ReadOnly):
    """`paintera@1`: the format has no versions."""

    name: str = NAME
    versions: tuple[str, ...] = ("1",)

    @property
    def facts(self) -> Facts:
        return Facts(
            title="Paintera",
            marks="`painteraData` on a group with a group `data`, or `multiScale` on a group with `s0`",
            geometry="step = `resolution` x factor; centre of sample 0 = `offset` + `resolution` x (factor - 1) / 2",
            axes="never named: x, y, z from the fastest on; a fourth is the channel",
            keeps="label multisets are read as the label that has the most of each voxel (the first of equals); the shares are lost",
            source="saalfeldlab/paintera, readme and net.imglib2.type.label",
            software=("Paintera",),
        )

    def detect(self, node: Node) -> Evidence | None:
        attributes = node.attributes
        if "painteraData" in attributes:
            return Evidence(ID, "declared", "the group states 'painteraData'")
        if attributes.get("multiScale") is True and mipmaps.first_level(node) is not None:
            return Evidence(ID, "named", "the group states 'multiScale' and holds 's0'")
        return None

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        group, prefix, stored = _data(node)
        problems = [problem("PAI001", level.path, level.wrong, "correct the array's document") for level in stored if level.wrong]
        base = stored[0].info if stored else None
        if base is None:
            place = "data/s0" if "painteraData" in node.attributes else "s0"
            return (), (*problems, *([] if stored else [problem("PAI001", place, "no array there", "Paintera looks for the base there")]))
        kind, wrong = _kind(node, stored)
        problems += wrong
        steps, lacking = mipmaps.read_factors(stored, None, base.ndim)
        hint = "state how many base samples lie in one, along x, y, z"
        problems += [problem("PAI003", f"{path}: downsamplingFactors", "is absent, or no list of numbers above 0; told from shapes", hint) for path in lacking]
        stated = {**node.attributes, **group.attributes}
        resolution, offset, wrong = _placement(stated, base.ndim, prefix)
        problems += [*wrong, *mipmaps.size_problems(stored, steps, "PAI007")]
        if kind == "labels":
            problems += _label_problems(node, stored, steps)
        known = resolution is not None or offset is not None
        levels = mipmaps.levels_of(stored, steps, resolution or (1.0,) * base.ndim, offset or (0.0,) * base.ndim, known=known)
        text = stated.get("unit")
        unit = text if isinstance(text, str) else None
        axes = mipmaps.axes_of_space(base.ndim, long_unit(unit))
        return (Multiscale(levels, axes, layout=ID, kind=kind),), tuple(problems)


LAYOUT = PainteraLayout()


def _data(node: Node) -> tuple[Node, str, tuple[mipmaps.Stored, ...]]:
    """Returns the group that holds the levels, its path, and the levels by their paths below `node`; multisets with their driver."""
    if "painteraData" not in node.attributes:
        return node, "", tuple(map(_by_argmax, mipmaps.stored_levels(node)))
    group = node.child("data")
    try:
        if group.array_document is not None:
            return group, "data", (_by_argmax(mipmaps.Stored("data", group.array, group.attributes)),)
        levels = mipmaps.stored_levels(group)
    except DocumentError as error:
        return group, "data", (mipmaps.Stored("data", None, {}, str(error)),)
    return group, "data", tuple(_by_argmax(level._replace(path=f"data/{level.path}")) for level in levels)


def _by_argmax(level: mipmaps.Stored) -> mipmaps.Stored:
    """Returns a level of label multisets as the array of 64-bit labels that is read from it."""
    if level.info is None or level.attributes.get("isLabelMultiset") is not True:
        return level
    info = replace(level.info, dtype="uint64", itemsize=8, driver=MULTISET_DRIVER, codecs=f"label multisets, {level.info.codecs}")
    return level._replace(info=info)


def _kind(node: Node, stored: Sequence[mipmaps.Stored]) -> tuple[Kind | None, list[Problem]]:
    multisets = any(level.attributes.get("isLabelMultiset") is True for level in stored)
    if "painteraData" not in node.attributes:
        return "labels" if multisets or "maxId" in node.attributes else None, []
    held = node.attributes["painteraData"]
    said = held.get("type") if isinstance(held, Mapping) else None
    if isinstance(said, str) and said in KINDS:
        return KINDS[said], []
    found = repr(said) if isinstance(held, Mapping) else word(held)
    advice = problem("PAI002", "painteraData.type", f"found {found}; expected raw, label or channel", "say what the samples are")
    return "labels" if multisets else None, [advice]


def _placement(attributes: Mapping[str, JSON], ndim: int, prefix: str) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None, list[Problem]]:
    """Returns resolution and offset in stored order, None where they are not stated, and what is wrong with them."""
    problems = []
    found: dict[str, tuple[float, ...] | None] = {}
    for key, lead, fits in (("resolution", 1.0, mipmaps.positive), ("offset", 0.0, lambda values: values)):
        values = fits(mipmaps.numbers(attributes.get(key)))
        if values is not None and ndim - 1 <= len(values) <= ndim:
            found[key] = (lead,) * (ndim - len(values)) + tuple(map(float, values))
        elif key in attributes:
            wanted = "numbers above 0" if key == "resolution" else "numbers"
            message = f"is {attributes[key]!r}; expected {min(ndim, 3)} {wanted}, along x, y, z"
            problems.append(problem("PAI004", f"{prefix}: {key}" if prefix else key, message, "correct the list"))
    return found.get("resolution"), found.get("offset"), problems


def _label_problems(node: Node, stored: Sequence[mipmaps.Stored], steps: mipmaps.Steps) -> list[Problem]:
    problems = []
    if not isinstance(node.attributes.get("maxId"), int):
        found = "is absent" if "maxId" not in node.attributes else f"is {node.attributes['maxId']!r}"
        problems.append(problem("PAI006", "maxId", f"{found}; expected a whole number", "state the highest id"))
    for (_, before), (level, after) in pairwise(zip(stored, steps.factors, strict=True)):
        if any(b % a for a, b in zip(before, after, strict=True)):
            message = f"{list(after)} are no whole multiples of {list(before)}, the factors of the level before, in C order"
            problems.append(problem("PAI005", f"{level.path}: downsamplingFactors", message, "build the levels of labels with whole steps"))
    return problems
