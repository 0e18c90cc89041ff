"""`xcube`: a folder `*.levels` that is no Zarr group, with one xarray dataset per level, each half as large along the two axes of space.

Every variable with both axes of space is a multiscale. Coordinates are read as they are stated, also where they tell the first sample of
a block for a mean of the block. A level may be a link to a dataset elsewhere. Source: zarr-specs issue #50, comment of forman; formats.md 6.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ziggurat.layouts import coordinates as placed
from ziggurat.layouts import series as listed
from ziggurat.layouts.ports import Documents, Evidence, Facts
from ziggurat.layouts.rules import Repair, problem
from ziggurat.model import JSON, Axis, Multiscale
from ziggurat.node import Container, Node, loads, word
from ziggurat.problems import DocumentError, LayoutError, PathError, Problem, StorageError

NAME = "xcube"
VERSION = "1.0"
SPEC = ".zlevels"
RULES = placed.Rules(array="XC003", coordinate="XC004", irregular="XC005")
METHODS = ("first", "min", "max", "mean", "median", "mode")
_LEVEL = re.compile(r"(\d{1,3})(\.zarr|\.link|\.lnk|)")
_ACROSS, _ALONG = ("x", "lon", "longitude"), ("y", "lat", "latitude")
_FACTS = Facts(
    title="xcube levels",
    marks="A folder whose name ends in `.levels`, or that holds `.zlevels`; it is no Zarr group itself. Levels are `0.zarr` or a link `0.link`, `1.zarr`, ...",
    geometry="The coordinates of each level's own dataset, as they are stated: xcube writes the first sample of each block also for means.",
    axes="The dimension names of each variable, with the `units` of their coordinates; two of them are space.",
    keeps="Variables without both axes of space stay in the datasets; `agg_methods` says how each variable is reduced. xcube itself opens only "
    "what has a CF grid mapping: axes lat and lon, or x and y beside a variable that describes their system.",
    source="xcube, docs/mldatasets.md 1.0",
    software=("xcube",),
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one level is: its name in the folder, and its dataset; None when it cannot be reached."""

    name: str
    group: Node | None
    linked: bool


@dataclass(frozen=True, slots=True)
class XcubeLayout:
    """`xcube@1.0`."""

    name: str = NAME
    versions: tuple[str, ...] = (VERSION,)
    facts: Facts = _FACTS
    keys: tuple[str, ...] = ()
    links: bool = True
    mends: tuple[Repair, ...] = ("arrays", "offset", "version")

    def detect(self, node: Node) -> Evidence | None:
        if node.attributes or node.kind != "folder":  # attributes first: every layout asks for them, and `kind` may cost a request
            return None
        if node.location.rstrip("/").endswith(".levels"):
            return Evidence(f"{NAME}@{VERSION}", "named", "the folder's name ends in '.levels'")
        return Evidence(f"{NAME}@{VERSION}", "declared", f"the folder holds {SPEC!r}") if node.file(SPEC) is not None else None

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        spec, problems = _spec(node)
        places, wrong = _places(node, spec)
        problems += wrong
        reached = next((place for place in places if place.group is not None), None)
        if reached is None or reached.group is None:
            return (), tuple(problems)
        multiscales = []
        for variable, dims in _spatial(placed.variables(reached.group)):
            multiscale, wrong = _read(node, places, variable, dims, spec)
            multiscales.append(multiscale)
            problems += wrong
        if not multiscales:
            problems.append(problem("XC003", reached.name, "no variable has two axes of space", "store variables over y, x or lat, lon"))
        return tuple(multiscales), tuple(problems)

    def can_hold(self, axes: Sequence[Axis], *, version: str = VERSION) -> str | None:
        """Any axes that end in two of space, each by a name of its own."""
        _check_version(version)
        return placed.wrong_names(axes, "xcube") or (f"xcube needs two axes of space, and there are {len(axes)} axes" if len(axes) < 2 else None)

    def containers(self, version: str = VERSION) -> tuple[Container, ...]:
        _check_version(version)
        return ("zarr2",)

    def paths(self, multiscale: Multiscale, *, version: str = VERSION) -> tuple[str, ...] | None:
        """Each level lies in a dataset of its own; a level that is linked keeps the name of its array."""
        _check_version(version)
        if multiscale.layout == f"{NAME}@{VERSION}":
            return tuple(level.path for level in multiscale.levels)
        variable = placed.plain_name(multiscale.name, "image", tuple(axis.name for axis in multiscale.axes))
        return tuple(f"{k}.zarr/{variable}" for k in range(multiscale.n_levels))

    def write(
        self, multiscales: Sequence[Multiscale], *, version: str = VERSION, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None
    ) -> Documents:
        _check_version(version)
        if not multiscales:
            return Documents({})
        for multiscale in multiscales:
            _refuse_other_sizes(multiscale)
        groups = [[level.path.rpartition("/")[0] for level in multiscale.levels] for multiscale in multiscales]
        small, differ = placed.agreed_coordinates(multiscales, groups)
        if differ:
            raise LayoutError(f"{differ[0]!r}: two multiscales want different coordinates there, and a dataset has one of each; write them apart")
        attributes: dict[str, dict[str, JSON]] = {}
        files: dict[str, JSON] = {}
        elsewhere = set()
        for multiscale, paths in zip(multiscales, groups, strict=True):
            for k, (level, group) in enumerate(zip(multiscale.levels, paths, strict=True)):
                if level.location is not None:
                    files[f"{k}.link"] = level.location.rstrip("/").rpartition("/")[0]
                    elsewhere.add(group)
                else:
                    attributes.setdefault(group, {})
                    attributes[level.path] = placed.named_dimensions(level, multiscale.axes)
        spec = files[SPEC] = _written_spec(multiscales, files.get("0.link"))
        here = {path: array for path, array in small.items() if path.rpartition("/")[0] not in elsewhere}
        lost = [
            problem("LOSS002", f"multiscales[{i}]", "xcube has no words for a rotation", "take itk to keep it") for i, m in enumerate(multiscales) if m.world
        ]
        lost += [problem("LOSS003", "omero", "xcube cannot say how samples are to be shown", "take an ome-zarr layout to keep it")] if display else []
        copied = tuple(dict.fromkeys(group for paths in groups for group in paths if group not in elsewhere))
        told: list[Mapping[str, JSON]] = [{"name": multiscale.levels[0].path.rpartition("/")[2]} for multiscale in multiscales]
        methods = spec.get("agg_methods")
        told += [{"type": method} for method in methods.values()] if isinstance(methods, Mapping) else []
        return Documents(attributes, tuple(lost), arrays=here, files=files, consolidated=copied, told=tuple(told))

    def listing(self, multiscale: Multiscale) -> tuple[str, ...]:
        """None: the numbers of the datasets tell."""
        return ()

    def retold(self, multiscale: Multiscale, paths: Sequence[str], *, anew: bool) -> Multiscale:
        return multiscale  # `num_levels` is always counted

    def versioned(self, attributes: Mapping[str, JSON], multiscales: Sequence[Multiscale], version: str) -> tuple[Mapping[str, JSON], tuple[Multiscale, ...]]:
        return attributes, tuple(replace(m, raw={**m.raw, "version": version}) if _is_first(m.raw.get("version")) else m for m in multiscales)


LAYOUT = XcubeLayout()


def _check_version(version: str) -> None:
    if version != VERSION:
        raise LayoutError(f"{NAME}@{version}: no such version; there is {NAME}@{VERSION}")


# --- the folder ----------------------------------------------------------------------------------------------------------


def _is_first(stated: JSON) -> bool:
    """True for version 1.0 spelled as a number, or not at all; no other is ever rewritten."""
    return listed.spells(stated, VERSION) or (isinstance(stated, (int, float)) and not isinstance(stated, bool) and stated == 1)


def _spec(node: Node) -> tuple[Mapping[str, JSON], list[Problem]]:
    """Returns `.zlevels`, empty where there is none, and what is wrong with it."""
    data = node.file(SPEC)
    if data is None:
        return {}, []
    try:
        spec = loads(data, f"{node.location}/{SPEC}")
    except DocumentError as error:
        return {}, [problem("XC001", SPEC, str(error), "correct the document, or delete it: the levels tell themselves")]
    if not isinstance(spec, Mapping):
        return {}, [problem("XC001", SPEC, f"found {word(spec)}; expected an object", 'write {"version": "1.0", "num_levels": ...}')]
    problems = []
    if spec.get("version") != VERSION:
        problems.append(problem("XC001", f"{SPEC}.version", f"found {spec.get('version')!r}; expected {VERSION!r}", "write the version as a string"))
    count = spec.get("num_levels")
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        problems.append(problem("XC001", f"{SPEC}.num_levels", f"found {count!r}; expected a whole number above zero", "count the levels"))
    return spec, problems


def _places(node: Node, spec: Mapping[str, JSON]) -> tuple[list[_Place], list[Problem]]:
    """Returns the levels that the folder holds, from 0 without a gap, and what is wrong with them."""
    held: dict[int, str] = {}
    for name in (*node.children(), *node.files()):
        found = _LEVEL.fullmatch(name)
        if found and (found[2] in (".link", ".lnk") or int(found[1]) not in held):
            held[int(found[1])] = name  # a link is preferred to a dataset, as xcube does
    present = next((i for i in range(len(held)) if i not in held), len(held))
    count = spec.get("num_levels")
    problems = []
    expected = count if isinstance(count, int) and not isinstance(count, bool) and 0 < count <= listed.MAX_DATASETS else present
    if present != len(held) or present != expected:
        shown = ", ".join(held[i] for i in sorted(held)[:20]) or "none"
        hint = "restore the level, or count again"
        problems.append(problem("XC002", SPEC if spec else "", f"the levels are {shown}; expected 0 to {max(expected, len(held)) - 1} without a gap", hint))
    places = []
    for i in range(min(present, expected, listed.MAX_DATASETS)):
        group, wrong = _dataset(node, held[i])
        places.append(_Place(held[i], group, held[i].endswith((".link", ".lnk"))))
        problems += wrong
    return places, problems


def _dataset(node: Node, name: str) -> tuple[Node | None, list[Problem]]:
    """Returns the dataset behind a level's name, through its link where it is one."""
    try:
        if not name.endswith((".link", ".lnk")):
            child = node.child(name)
            if child.kind == "group":
                return child, []
            return None, [problem("XC003", name, f"found {word(child.kind)[:40]} there; expected a Zarr group", "restore the level's dataset")]
        target = (node.file(name) or b"").decode("utf-8").strip()
        # xcube resolves against the folder, its earlier versions against the folder above.
        for place in (target, target if target.startswith("/") else f"../{target}"):
            found = node.linked(place)
            if found.kind == "group":
                return found, []
        return None, [problem("XC006", name, f"names {target[:80]!r}, and no dataset is there", "write the path of a Zarr group into the link")]
    except UnicodeDecodeError:
        return None, [problem("XC006", name, "is no text; expected the path of a dataset", "write the path of a Zarr group into the link")]
    except PathError as error:
        return None, [problem("XC006", name, str(error), "allow links where you trust the folder")]
    except (DocumentError, StorageError) as error:
        return None, [problem("XC003", name, f"cannot be read: {error}", "correct the level's metadata")]


def _spatial(found: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[tuple[str, tuple[str, str]], ...]:
    """Returns the variables with both axes of space, and these two (y, x): known by their names, else the last two of the widest variable."""
    names = [dim for _, dims in found for dim in dims]
    y, x = (next((dim for dim in names if dim in known), None) for known in (_ALONG, _ACROSS))
    if y is None or x is None:
        widest = max((dims for _, dims in found), key=len, default=())
        if len(widest) < 2:
            return ()
        y, x = widest[-2:]
    return tuple((name, (y, x)) for name, dims in found if y in dims and x in dims)


# --- reading -------------------------------------------------------------------------------------------------------------


def _read(node: Node, places: Sequence[_Place], variable: str, spatial: tuple[str, str], spec: Mapping[str, JSON]) -> tuple[Multiscale, list[Problem]]:
    found, problems = [], []
    for place in places:
        path = f"{place.name}/{variable}"
        if place.group is None:
            found.append(placed.Found(path, path, None, (), {}, {}))
            continue
        level, wrong = placed.find_level(node, path, path, RULES, group=place.group if place.linked else None)
        found.append(level)
        problems += wrong
    axes = placed.axes_of(found)
    axes = tuple(replace(axis, kind=axis.kind or ("space" if axis.name in spatial else None)) for axis in axes)
    levels, wrong = placed.levels_of(found, axes, RULES)
    problems += wrong
    methods = spec.get("agg_methods")
    method = listed.same_text(methods.get(variable)) if isinstance(methods, Mapping) else listed.same_text(methods)
    multiscale = Multiscale(levels, axes, name=variable, type=method, layout=f"{NAME}@{VERSION}", raw=spec)
    return multiscale, [*problems, *_other_sizes(multiscale), *_half_pixels(multiscale)]


def _other_sizes(multiscale: Multiscale) -> list[Problem]:
    """XC008: each level has half the size of the base's, rounded up, per number of the level; along axes of space only."""
    base = multiscale.levels[0].array if multiscale.levels else None
    if base is None:
        return []
    for k, level in enumerate(multiscale.levels):
        if level.array is None or level.array.ndim != base.ndim:
            continue
        halves = tuple(-(-n // 2**k) for n in base.shape)
        if not all(n in (whole, half) for n, whole, half in zip(level.array.shape, base.shape, halves, strict=True)) or (k and level.array.shape == base.shape):
            message = f"has the shape {list(level.array.shape)}; the base of shape {list(base.shape)} divided by {2**k}, rounded up, tells {list(halves)}"
            return [problem("XC008", level.path, message, "build the levels again")]
    return []


def _half_pixels(multiscale: Multiscale) -> list[Problem]:
    """XC007: a mean lies in the middle of its block; xcube gives it the coordinate of a corner sample."""
    base = multiscale.levels[0] if multiscale.levels else None
    if multiscale.type in (None, "first") or base is None or base.scale is None or base.translation is None:
        return []
    for k, level in enumerate(multiscale.levels[1:], 1):
        if level.scale is None or level.translation is None or level.translation_provenance != "stated":
            continue
        for i, axis in enumerate(multiscale.axes):
            factor, shift = level.scale[i] / base.scale[i], (level.translation[i] - base.translation[i]) / base.scale[i]
            if abs(factor - 2**k) < 1e-3 and abs(shift - (factor - 1) / 2) > 1e-3:
                message = (
                    f"axis {axis.name!r}: the values are of the kind {multiscale.type!r} and begin {shift + 0.0:.4g} base samples from the base's first; "
                    f"the middle of the first block lies at {(factor - 1) / 2:.4g}; read as it is stated"
                )
                return [problem("XC007", level.path, message, "shift the coordinates when you need places better than a sample")]
    return []


# --- writing -------------------------------------------------------------------------------------------------------------


def _refuse_other_sizes(multiscale: Multiscale) -> None:
    wrong = _other_sizes(multiscale)
    if wrong and multiscale.layout != f"{NAME}@{VERSION}":
        raise LayoutError(f"{wrong[0].loc}: {wrong[0].message}, and xcube has no other levels; build levels of factor 2 for it")


def _written_spec(multiscales: Sequence[Multiscale], link: JSON) -> dict[str, JSON]:
    """Returns `.zlevels`: what was read keeps its spelling, and a new one says that coordinates are those of block centres."""
    first = multiscales[0]
    n_levels = max(multiscale.n_levels for multiscale in multiscales)
    if first.layout == f"{NAME}@{VERSION}" and first.raw:
        return {**first.raw, "num_levels": n_levels}
    base = first.levels[0].array
    spec: dict[str, JSON] = {"version": VERSION, "num_levels": n_levels, "use_saved_levels": False}
    if base is not None and base.ndim >= 2:
        spec["tile_size"] = [base.chunks[-1], base.chunks[-2]]
    methods = {m.levels[0].path.rpartition("/")[2]: m.type for m in multiscales if m.type in METHODS}
    spec.update({"agg_methods": methods} if methods else {})
    spec.update({"base_dataset_path": link} if link is not None else {})
    spec["coordinates"] = "of the samples themselves: of the middle of a block where the value is one of the whole block"
    return spec
