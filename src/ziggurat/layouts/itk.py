"""`itk`: one xarray dataset per level, the base being the group itself, as ITK writes images into Zarr v2.

`_MULTISCALE_LEVELS` lists the groups, `_SPATIAL_IMAGE` names the array in each. Coordinates say where samples lie; `direction` is kept as
it is. Source: zarr-specs issue #50, comment of thewtex; formats.md 5.1, 15.6.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ziggurat.layouts import coordinates as placed
from ziggurat.layouts import series as listed
from ziggurat.layouts.ports import Documents, Evidence, Facts
from ziggurat.layouts.rules import Repair, problem
from ziggurat.model import JSON, Axis, Multiscale
from ziggurat.node import Container, Node, resolve, word
from ziggurat.problems import LayoutError, PathError, Problem

NAME = "itk"
VERSION = "1"
LEVELS, IMAGE = "_MULTISCALE_LEVELS", "_SPATIAL_IMAGE"
RULES = placed.Rules(array="ITK003", coordinate="ITK004", irregular="ITK005")
_FACTS = Facts(
    title="ITK, an xarray dataset per level",
    marks="The attributes of a group hold `_MULTISCALE_LEVELS`, a list of groups, and `_SPATIAL_IMAGE`, the name of the array in each.",
    geometry="One-dimensional arrays beside each image hold the coordinate of every sample's centre: the first is the translation, their step the scale.",
    axes="The dimension names of the base, with the `units` of their coordinates, else of the image.",
    keeps="`direction` (the cosine matrix), coordinates that are no straight line, attributes of the image and of its coordinates.",
    source="zarr-specs issue #50, comment of thewtex",
    software=("ITK", "xarray (each level)"),
)


@dataclass(frozen=True, slots=True)
class ItkLayout:
    """`itk@1`."""

    name: str = NAME
    versions: tuple[str, ...] = (VERSION,)
    facts: Facts = _FACTS
    keys: tuple[str, ...] = (LEVELS, IMAGE, "direction")
    mends: tuple[Repair, ...] = ("absent", "arrays", "offset", "order")

    def detect(self, node: Node) -> Evidence | None:
        return Evidence(f"{NAME}@{VERSION}", "declared", f"the attributes hold {LEVELS!r}") if LEVELS in node.attributes else None

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        groups, problems = _groups(node.attributes.get(LEVELS))
        image, wrong = _image(node)
        problems += wrong
        if not groups or image is None:
            return (), tuple(problems)
        multiscale, wrong = _read(node, groups, image)
        return (multiscale,), (*problems, *wrong)

    def can_hold(self, axes: Sequence[Axis], *, version: str = VERSION) -> str | None:
        """Any axes in any order, each by a name of its own: it becomes the name of an array."""
        _check_version(version)
        return placed.wrong_names(axes, "ITK")

    def containers(self, version: str = VERSION) -> tuple[Container, ...]:
        _check_version(version)
        return ("zarr2", "zarr3")

    def paths(self, multiscale: Multiscale, *, version: str = VERSION) -> tuple[str, ...] | None:
        """The base lies in the group itself, every other level in a group of its own."""
        _check_version(version)
        now = [level.path.rpartition("/") for level in multiscale.levels]
        names = {axis.name for axis in multiscale.axes}
        if multiscale.layout == f"{NAME}@{VERSION}" and len({name for *_, name in now}) == 1 and not names & {now[0][2]}:
            return tuple(level.path for level in multiscale.levels)
        image = placed.plain_name(multiscale.name, "image", tuple(names))
        return tuple(f"level_{k}.zarr/{image}" if k else image for k in range(multiscale.n_levels))

    def write(
        self, multiscales: Sequence[Multiscale], *, version: str = VERSION, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None
    ) -> Documents:
        _check_version(version)
        if not multiscales:
            return Documents({"": dict(existing)})
        multiscale = multiscales[0]
        lost = [
            problem("LOSS006", f"multiscales[{i}]", f"{m.name!r} is a second image; only the first is written", "take a group for each")
            for i, m in list(enumerate(multiscales))[1:]
        ]
        lost += [problem("LOSS003", "omero", "ITK's layout cannot say how samples are to be shown", "take an ome-zarr layout to keep it")] if display else []
        groups = [level.path.rpartition("/")[0] for level in multiscale.levels]
        image = multiscale.levels[0].path.rpartition("/")[2]
        small, _ = placed.agreed_coordinates((multiscale,), (groups,))
        attributes: dict[str, dict[str, JSON]] = {"": _listing(existing, multiscale, groups, image)}
        # Attributes of arrays are laid over what is there, so the matrix that was read needs no words.
        turned: dict[str, JSON] = {"direction": [list(row) for row in multiscale.world]} if multiscale.world is not None else {}
        for level, group in zip(multiscale.levels, groups, strict=True):
            attributes.setdefault(group, {})
            attributes[level.path] = {**placed.named_dimensions(level, multiscale.axes), **turned}
        return Documents(attributes, tuple(lost), arrays=small, consolidated=tuple(groups), told=({"name": image},))

    def listing(self, multiscale: Multiscale) -> tuple[str, ...]:
        return tuple(f"{group}/{multiscale.name}" if group else str(multiscale.name) for group, _ in _groups(multiscale.raw.get(LEVELS))[0])

    def retold(self, multiscale: Multiscale, paths: Sequence[str], *, anew: bool) -> Multiscale:
        groups = [path.rpartition("/")[0] for path in paths]
        return replace(multiscale, coarse_first=False, raw={} if anew else {**multiscale.raw, LEVELS: [*groups]})

    def versioned(self, attributes: Mapping[str, JSON], multiscales: Sequence[Multiscale], version: str) -> tuple[Mapping[str, JSON], tuple[Multiscale, ...]]:
        return attributes, tuple(multiscales)  # the format has none


LAYOUT = ItkLayout()


def _check_version(version: str) -> None:
    if version != VERSION:
        raise LayoutError(f"{NAME}@{version}: no such version; there is {NAME}@{VERSION}")


def _groups(value: JSON) -> tuple[list[tuple[str, str]], list[Problem]]:
    """Returns the path of every level's group with its place in the document, in the document's order; none when one is no local path."""
    if not isinstance(value, (list, tuple)) or not value:
        found = "an empty list" if isinstance(value, (list, tuple)) else word(value)
        return [], [problem("ITK001", LEVELS, f"found {found}; expected a list of paths", 'write ["", "level_1.zarr", ...]')]
    groups, problems = [], []
    for i, path in enumerate(value[: listed.MAX_DATASETS]):
        loc = f"{LEVELS}[{i}]"
        try:
            groups.append(("" if path == "" else resolve(path, "path"), loc))
        except PathError as error:
            problems.append(problem("ITK001", loc, str(error).removeprefix("path "), "name a group below this one"))
    if len(value) > listed.MAX_DATASETS:
        problems.append(problem("ITK001", LEVELS, f"lists {len(value):,} groups, and no series has more than {listed.MAX_DATASETS}"))
    return ([], problems) if problems else (groups, problems)


def _image(node: Node) -> tuple[str | None, list[Problem]]:
    """Returns the name of the image in every group, found by looking where the document says none."""
    value = node.attributes.get(IMAGE)
    if isinstance(value, str):
        try:
            return resolve(value, "name"), []
        except PathError as error:
            return None, [problem("ITK002", IMAGE, str(error).removeprefix("name "), "name the array that holds the image")]
    if value is not None:
        return None, [problem("ITK002", IMAGE, f"found {word(value)}; expected the name of an array", "name the array that holds the image")]
    found = [name for name, _ in placed.variables(node)]
    if len(found) == 1:
        return found[0], [problem("ITK002", IMAGE, f"is absent; read as {found[0]!r}, the only image in the group", f'write "{found[0]}"')]
    return None, [
        problem("ITK002", IMAGE, f"is absent, and the group holds {', '.join(map(repr, found)) or 'no image'}", "name the array that holds the image")
    ]


def _read(node: Node, groups: Sequence[tuple[str, str]], image: str) -> tuple[Multiscale, list[Problem]]:
    found, problems = [], []
    for group, loc in groups:
        level, wrong = placed.find_level(node, f"{group}/{image}" if group else image, loc, RULES)
        found.append(level)
        problems += wrong
    positions, coarse_first = listed.order([level.array for level in found])
    problems += placed.order_problem(found, "ITK006")
    ranked = [found[j] for j in positions]
    unit = next((text for level in ranked if (text := listed.same_text(level.attributes.get("units")))), None)
    axes = placed.axes_of(ranked, unit=unit)
    levels, wrong = placed.levels_of(ranked, axes, RULES)
    problems += wrong
    world, wrong = _direction(ranked, axes)
    problems += wrong
    raw = {key: node.attributes[key] for key in (LEVELS, IMAGE) if key in node.attributes}
    return Multiscale(levels, axes, name=image, layout=f"{NAME}@{VERSION}", coarse_first=coarse_first, world=world, raw=raw), problems


def _direction(found: Sequence[placed.Found], axes: Sequence[Axis]) -> tuple[tuple[tuple[float, ...], ...] | None, list[Problem]]:
    """Returns the cosine matrix of the first level that states one, None for the identity: in the order of the axes of space, as it is stored."""
    stated = next(((level, level.attributes["direction"]) for level in found if level.attributes.get("direction") is not None), None)
    if stated is None:
        return None, []
    level, value = stated
    n = sum(axis.kind == "space" for axis in axes)
    rows = [_numbers(row) for row in value] if isinstance(value, (list, tuple)) else []
    if len(rows) not in {n, len(axes)} or any(len(row) != len(rows) for row in rows):
        shown = f"{len(rows)} rows" if rows else word(value)
        loc = f"{level.path}.direction"
        return None, [problem("ITK007", loc, f"found {shown}; expected {n} rows of {n} numbers, one per axis of space", "write the matrix whole")]
    identity = all(number == (i == j) for i, row in enumerate(rows) for j, number in enumerate(row))
    return (None if identity else tuple(rows)), []


def _numbers(row: JSON) -> tuple[float, ...]:
    values = row if isinstance(row, (list, tuple)) else ()
    found = tuple(float(v) for v in values if isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v))
    return found if len(found) == len(values) else ()


def _listing(existing: Mapping[str, JSON], multiscale: Multiscale, groups: Sequence[str], image: str) -> dict[str, JSON]:
    """Returns the group's attributes: what was read stays as it is spelled while it says the same."""
    attributes = dict(existing)
    listing: list[JSON] = list(groups[::-1] if multiscale.coarse_first else groups)
    before = existing.get(LEVELS)
    kept = multiscale.layout != f"{NAME}@{VERSION}" or multiscale.raw.get(LEVELS) == before
    same = kept and isinstance(before, (list, tuple)) and {group for group, _ in _groups(before)[0]} == set(groups)
    if not same:
        attributes[LEVELS] = listing
    if IMAGE in existing or not same or multiscale.layout != f"{NAME}@{VERSION}":
        attributes[IMAGE] = image
    return attributes
