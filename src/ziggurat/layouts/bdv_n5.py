"""BigDataViewer's N5: `setup<S>/timepoint<T>/s<L>`, and the XML beside the container that says what they are and where they lie.

Factors stand on the setup, the voxel size and the registration in the XML. A registration maps samples of the base to the world, the voxel size
being part of it; what turns the axes is left as `world`, after scale and translation. Source: bigdataviewer-core, bdv.n5 and SpimData;
formats.md 4.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from ziggurat.layouts import mipmaps, xmls
from ziggurat.layouts.ports import Evidence, Facts, Member, ReadOnly
from ziggurat.layouts.rules import problem
from ziggurat.layouts.units import long_unit
from ziggurat.model import JSON, Level, Multiscale
from ziggurat.node import Node
from ziggurat.problems import DocumentError, Problem, StorageError

NAME = "bdv-n5"
ID = f"{NAME}@1"
NDIM = 3
MAX_MEMBERS = 100_000
_SETUP, _TIMEPOINT = re.compile(r"setup(\d{1,6})"), re.compile(r"timepoint(\d{1,6})")


@dataclass(frozen=True, slots=True)
class View:
    """What the XML says of one setup at one timepoint."""

    name: str | None = None
    voxel: tuple[float, ...] | None = None
    """In stored order."""
    unit: str | None = None
    affine: mipmaps.Rows | None = None
    """From samples of the base to the world, in stored order."""
    wrong: tuple[tuple[str, str], ...] = ()
    """Rules that its own entries break, and how."""


@dataclass(frozen=True, slots=True)
class Companion:
    """The XML beside a container."""

    name: str
    root: xmls.Element | None = None
    problems: tuple[Problem, ...] = ()
    about: Mapping[int, Mapping[str, JSON]] = field(default_factory=dict)
    """Setup -> what its entry says of it."""


@dataclass(frozen=True, slots=True)
class BdvN5Layout(ReadOnly):
    """`bdv-n5@1`: the format has no versions of its own."""

    name: str = NAME
    versions: tuple[str, ...] = ("1",)

    @property
    def facts(self) -> Facts:
        return Facts(
            title="BigDataViewer N5",
            marks="groups `setup<S>` with groups `timepoint<T>` with arrays `s<L>`; `downsamplingFactors` on the setup",
            geometry="sample (i + 1/2) x factor - 1/2 of the base, then the registration of the XML; without one, the voxel size of XML or timepoint",
            axes="always x, y, z from the fastest on; each setup and timepoint is a multiscale of its own",
            keeps="angles, tiles, illuminations and names of the XML are carried as facts of the member",
            source="bigdataviewer-core, bdv.img.n5; SpimData XML",
            software=("BigDataViewer", "BigStitcher", "Fiji"),
        )

    def detect(self, node: Node) -> Evidence | None:
        if node.container not in ("n5", None) or "multiscales" in node.attributes:
            return None
        if _view_of(node) is not None:
            return Evidence(ID, "declared", "a timepoint of a setup that states 'downsamplingFactors'")
        if not node.attributes.keys() <= {"n5"} or mipmaps.first_level(node) is not None:
            return None
        if _is_setup(node, "setup0"):
            return Evidence(ID, "declared", "a group 'setup0' states 'downsamplingFactors' and 'dataType'", "members")
        if node.container == "n5" and any(_is_setup(node, name) for name in _names(node, _SETUP)):
            return Evidence(ID, "declared", "groups 'setup<S>' state 'downsamplingFactors' and 'dataType'", "members")
        return None

    def members(self, node: Node) -> tuple[tuple[Member, ...], tuple[Problem, ...]]:
        evidence = self.detect(node)
        if evidence is None or evidence.holds != "members":
            return (), ()
        companion = _companion(node)
        found = []
        for setup in _names(node, _SETUP):
            number = int(setup.removeprefix("setup"))
            for timepoint in _names(node.child(setup), _TIMEPOINT):
                about = {"setup": number, "timepoint": int(timepoint.removeprefix("timepoint")), **companion.about.get(number, {})}
                found.append(Member(f"{setup}/{timepoint}", f"{setup}/{timepoint}", "image", about))
                if len(found) == MAX_MEMBERS:
                    return tuple(found), companion.problems
        return tuple(found), companion.problems

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        view = _view_of(node)
        if view is None:
            return (), (problem("BDV001", "", "is no timepoint of a setup", "name one, such as setup0/timepoint0"),)
        root, setup, timepoint = view
        stored = mipmaps.stored_levels(node)
        problems = [problem("BDV001", level.path, level.wrong, "correct the array's document") for level in stored if level.wrong]
        base = stored[0].info if stored else None
        if base is None or base.ndim != NDIM:
            found = "no array there" if base is None else f"has {base.ndim} axes; expected {NDIM}"
            return (), (*problems, problem("BDV001", "s0", found, "export the images again"))
        attributes = root.child(f"setup{setup}").attributes
        problems += _type_problems(attributes, stored, f"setup{setup}")
        steps, lacking = mipmaps.read_factors(stored, attributes.get("downsamplingFactors"), NDIM)
        if lacking or not _are_whole(attributes.get("downsamplingFactors"), len(stored)):
            shown = f"is {attributes.get('downsamplingFactors')!r}; expected {len(stored)} lists of {NDIM} whole numbers, the first all ones"
            problems.append(problem("BDV002", f"setup{setup}: downsamplingFactors", shown, "export the images again"))
        problems += mipmaps.size_problems(stored, steps, "BDV006")
        companion = _companion(root)
        said = _view(companion, setup, timepoint)
        problems += [*companion.problems, *(problem(rule, companion.name, text, "correct the XML") for rule, text in said.wrong)]
        multiscale, wrong = _placed(stored, steps, said, node.attributes)
        return (multiscale,), (*problems, *(problem("BDV007", companion.name, text, "register the view again") for text in wrong))


LAYOUT = BdvN5Layout()


# --- finding it -----------------------------------------------------------------------------------------------------------


def _is_setup(node: Node, name: str) -> bool:
    if node.container is None and node.file(f"{name}/attributes.json") is None:
        return False
    try:
        attributes = node.child(name).attributes
    except DocumentError:
        return False
    return "downsamplingFactors" in attributes and "dataType" in attributes and "dimensions" not in attributes


def _names(node: Node, pattern: re.Pattern[str]) -> tuple[str, ...]:
    try:
        return tuple(name for name in node.children() if pattern.fullmatch(name))
    except StorageError:
        # A web server cannot be listed: its members are opened by their names.
        return ()


def _view_of(node: Node) -> tuple[Node, int, int] | None:
    """Returns the root of the container, setup and timepoint when a node is a timepoint's group."""
    above = node.parent()
    matched = _TIMEPOINT.fullmatch(above[1]) if above else None
    if above is None or matched is None:
        return None
    top = above[0].parent()
    setup = _SETUP.fullmatch(top[1]) if top else None
    if top is None or setup is None or not _is_setup(top[0], setup[0]):
        return None
    return top[0], int(setup[1]), int(matched[1])


# --- documents -------------------------------------------------------------------------------------------------------------


def _type_problems(attributes: Mapping[str, JSON], stored: Sequence[mipmaps.Stored], setup: str) -> Iterator[Problem]:
    stated = attributes.get("dataType")
    types = sorted({level.info.dtype for level in stored if level.info is not None})
    if [stated] != types:
        yield problem("BDV003", f"{setup}: dataType", f"is {stated!r}, and the arrays hold {', '.join(types)}, which hold", "correct the attribute")


def _are_whole(value: JSON, n_levels: int) -> bool:
    lists = [mipmaps.numbers(step, NDIM) for step in value] if isinstance(value, (list, tuple)) else []
    return len(lists) == n_levels and lists[0] == (1,) * NDIM and all(step and all(isinstance(f, int) and f >= 1 for f in step) for step in lists)


def _companion(root: Node) -> Companion:
    """Returns the XML beside a container: `<name>.xml` in the folder above it, or in the container itself."""
    above = root.parent()
    name = above[1] if above else "dataset.n5"
    stem = name.removesuffix(".n5")
    for holder, shown in ((above[0] if above else None, f"../{stem}.xml"), (root, f"{stem}.xml"), (root, "dataset.xml")):
        if holder is None:
            continue
        try:
            data = holder.file(shown.removeprefix("../"))
            if data is not None:
                parsed = xmls.parse(data, shown)
                return Companion(shown, parsed, about=_about(parsed))
        except DocumentError as error:
            return Companion(shown, problems=(problem("BDV004", shown, str(error).removeprefix(f"{shown}: "), "write it again"),))
    return Companion(f"../{stem}.xml")


def _setups(root: xmls.Element) -> Iterator[tuple[int, xmls.Element]]:
    for element in root.all("SequenceDescription", "ViewSetups", "ViewSetup"):
        number = element.word("id") or ""
        if number.isascii() and number.isdigit():
            yield int(number[:9]), element


def _about(root: xmls.Element) -> dict[int, dict[str, JSON]]:
    """Returns what the XML says of each setup: its name, and the numbers of channel, tile, angle, ... by which setups are told apart."""
    found: dict[int, dict[str, JSON]] = {}
    for number, element in _setups(root):
        attributes = element.first("attributes")
        names = {child.name: child.text.strip() for child in attributes.children} if attributes is not None else {}
        name = element.word("name")
        found[number] = {**({"name": name} if name else {}), **names}
    return found


def _numbers(text: str | None, count: int) -> tuple[float, ...] | None:
    """Returns `count` numbers that stand in a text, in its order."""
    try:
        found = [float(word) for word in (text or "").split()]
    except ValueError:
        return None
    values = mipmaps.numbers(list(found), count)
    return None if values is None else values[::-1]


def _view(companion: Companion, setup: int, timepoint: int) -> View:
    root = companion.root
    if root is None:
        return View()
    element = next((element for number, element in _setups(root) if number == setup), None)
    if element is None:
        return View(wrong=(("BDV005", f"does not name setup {setup}"),))
    wrong = []
    voxel = _numbers(element.word("voxelSize", "size"), NDIM)
    if voxel is None or not all(v > 0 for v in voxel):
        wrong.append(("BDV005", f"setup {setup}: voxelSize is {element.word('voxelSize', 'size')!r}; expected {NDIM} numbers above 0"))
        voxel = None
    affine, why = _registration(root, setup, timepoint)
    wrong += [why] if why else []
    return View(element.word("name"), None if voxel is None else voxel[::-1], element.word("voxelSize", "unit"), affine, tuple(wrong))


def _registration(root: xmls.Element, setup: int, timepoint: int) -> tuple[mipmaps.Rows | None, tuple[str, str] | None]:
    """Returns the product of a view's affines, the first of the list applied last."""
    wanted = {"setup": str(setup), "timepoint": str(timepoint)}
    entry = next((e for e in root.all("ViewRegistrations", "ViewRegistration") if wanted.items() <= dict(e.attributes).items()), None)
    if entry is None:
        return None, ("BDV005", f"has no registration of setup {setup} at timepoint {timepoint}")
    affines = []
    for transform in entry.all("ViewTransform"):
        values = _numbers(transform.word("affine"), NDIM * (NDIM + 1))
        rows = mipmaps.affine_rows(list(values), NDIM) if values is not None else None
        if rows is None:
            return None, ("BDV007", f"an affine of setup {setup} at timepoint {timepoint} is {(transform.word('affine') or '')[:80]!r}; expected 12 numbers")
        affines.append(rows)
    return (reduce(mipmaps.composed, affines), None) if affines else (None, None)


# --- geometry --------------------------------------------------------------------------------------------------------------


def _placed(stored: Sequence[mipmaps.Stored], steps: mipmaps.Steps, said: View, attributes: Mapping[str, JSON]) -> tuple[Multiscale, list[str]]:
    """Returns the multiscale where its registration, or else its voxel size, puts it."""
    stated = mipmaps.positive(mipmaps.numbers(attributes.get("resolution"), NDIM))
    voxel = said.voxel or stated
    resolution = tuple(map(float, voxel or (1.0,) * NDIM))
    levels = mipmaps.levels_of(stored, steps, resolution, (0.0,) * NDIM, known=voxel is not None)
    world, wrong = None, []
    if said.affine is not None:
        after_voxel = mipmaps.composed(said.affine, mipmaps.diagonal_inverse(resolution))
        placed = mipmaps.carried([level.scale or () for level in levels], [level.translation or () for level in levels], after_voxel)
        if placed is None:
            wrong.append("a registration has no inverse, and is left out")
        else:
            levels, world = mipmaps.with_placed(levels, placed), placed.world
            levels = (_stated(levels[0]), *levels[1:])
    unit = long_unit(said.unit)
    axes = mipmaps.axes_of_space(NDIM, unit)
    return Multiscale(levels, axes, name=said.name, layout=ID, world=world), wrong


def _stated(base: Level) -> Level:
    return replace(base, scale_provenance="stated", translation_provenance="stated")
