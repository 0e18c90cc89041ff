"""HiGlass zarr-multivec: values per bin of a genome, one series per chromosome in one group, coarsest bins first. Read only.

The last part of a path is the size of a bin in base pairs. Bin `i` of size `r` covers `[i r, min((i + 1) r, chromsize))` of its chromosome, which begins at
`chromoffset`: so the numbers in `metadata` are what places the samples, and they are carried as they are. Samples are sums over their bin.
Source: formats.md 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ziggurat import geometry
from ziggurat.layouts import series as listed
from ziggurat.layouts.ports import Documents, Evidence, Facts
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Multiscale
from ziggurat.node import Node, word
from ziggurat.problems import LayoutError, Problem

NAME = "multivec"
VERSION = "0.1"
TYPE = "zarr-multivec"
RULES = listed.Rules(listed="MV001", datasets="MV001", path="MV002", local="MV002", array="MV003", order="MV004")
UNIT = "base pair"
_KNOWN = frozenset({"version", "name", "type", "metadata", "datasets"})

FACTS = Facts(
    title="HiGlass zarr-multivec",
    marks="a list `multiscales` whose series have the type `zarr-multivec`",
    geometry="the last part of a path is the size of a bin in base pairs; the first bin begins at `metadata.chromoffset`, its centre half a bin further",
    axes="row, which is never reduced, and position along the genome",
    keeps="`metadata` (chromoffset, chromsize) as it is; coarsest level first; samples are sums",
    source="cistrome-explorer, manifest to Zarr; HiGlass multivec",
    software=("cistrome-explorer", "vitessce", "higlass-zarr-datafetchers"),
)


@dataclass(frozen=True, slots=True)
class MultivecLayout:
    """`multivec@0.1`."""

    name: str = NAME
    versions: tuple[str, ...] = (VERSION,)
    facts: Facts = FACTS

    def detect(self, node: Node) -> Evidence | None:
        if any(entry.get("type") == TYPE for entry in listed.parts(node.attributes.get("multiscales"))):
            return Evidence(f"{NAME}@{VERSION}", "declared", "the series have the type 'zarr-multivec'")
        return None

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        found, problems = listed.readable(node.attributes.get("multiscales"), "multiscales", RULES)
        multiscales = []
        for entry in found:
            multiscale, wrong = _read(node, entry)
            multiscales.append(multiscale)
            problems += tuple(wrong)
        return tuple(multiscales), problems

    def can_hold(self, axes: Sequence[Axis], *, version: str = VERSION) -> str | None:
        return f"{NAME} is only read; take multiscales@0.1"

    def write(
        self, multiscales: Sequence[Multiscale], *, version: str = VERSION, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None
    ) -> Documents:
        raise LayoutError(f"{NAME}@{version} is only read; take multiscales@0.1")


LAYOUT = MultivecLayout()


def _read(node: Node, entry: listed.Series) -> tuple[Multiscale, list[Problem]]:
    found, problems = listed.arrays(node, entry, RULES, names=False)
    start, size, wrong = _chromosome(entry)
    problems += wrong
    bins = [_bin(path) for path in entry.paths]
    levels = []
    for j, (path, info, step) in enumerate(zip(entry.paths, found, bins, strict=True)):
        level = Level(path, array=info, extra={key: value for key, value in entry.datasets[j].items() if key != "path"})
        where = f"{entry.loc}.datasets[{j}].path"
        if step is None:
            problems.append(problem("MV005", where, f"{path!r} does not end in the size of a bin, a whole number", "name the array by its bins"))
        elif info is not None:
            problems += _sizes(info, step, size, path, where)
            scale = (1.0, float(step))
            placed = (0.0, geometry.centre_of(start, scale[1]))
            level = Level(path, scale, placed, "stated", "stated" if start or not wrong else "inferred", info, extra=level.extra)
        levels.append(level)
    known = [step for step in bins if step is not None]
    if len(known) == len(bins) and known != sorted(known, reverse=True):
        problems.append(problem("MV004", f"{entry.loc}.datasets", f"the bins are {known}; expected the largest first", "list the coarsest level first"))
    positions, coarse_first = listed.order(found)
    axes = (Axis("row", "channel", provenance="inferred"), Axis("position", "space", UNIT, provenance="inferred"))
    multiscale = listed.assembled(entry, [levels[i] for i in positions], axes, layout=f"{NAME}@{VERSION}", coarse_first=coarse_first, known=_KNOWN)
    return multiscale, problems


def _bin(path: str) -> int | None:
    last = path.rpartition("/")[2]
    return int(last) if last.isascii() and last.isdecimal() and len(last) <= 12 and int(last) > 0 else None


def _chromosome(entry: listed.Series) -> tuple[float, int | None, list[Problem]]:
    """Returns where a chromosome begins in its genome and how long it is, in base pairs."""
    metadata = entry.raw.get("metadata")
    held: Mapping[str, JSON] = metadata if isinstance(metadata, Mapping) else {}
    numbers: dict[str, int | None] = {}
    problems = []
    for key in ("chromoffset", "chromsize"):
        value = held.get(key)
        numbers[key] = value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None
        if numbers[key] is None:
            found = "is absent" if key not in held else f"is {word(value) if not isinstance(value, (int, float)) else value!r}"
            problems.append(problem("MV006", f"{entry.loc}.metadata.{key}", f"{found}; expected a whole number of base pairs", "state it"))
    return float(numbers["chromoffset"] or 0), numbers["chromsize"], problems


def _sizes(info: ArrayInfo, step: int, size: int | None, path: str, where: str) -> list[Problem]:
    if info.ndim != 2:
        return [problem("MV007", where, f"{path!r} has {info.ndim} axes; expected rows and bins")]
    if size is not None and info.shape[1] != -(-size // step):
        message = f"{path!r} has {info.shape[1]} bins; a chromosome of {size:,} base pairs has {-(-size // step)} of {step}"
        return [problem("MV007", where, message, "the array wins; check the size of the chromosome")]
    return []
