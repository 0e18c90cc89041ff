"""One entry of `multiscales`, and the blocks beside it, carried from version to version: only what the next version defines is touched.

Every step takes plain JSON and returns plain JSON; keys that it does not know stay where they are, at any depth.
Source: formats.md 2.1, 2.4, 2.6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ziggurat.conversion.rules import problem
from ziggurat.conversion.tree import NOTHING
from ziggurat.layouts import ome_transforms
from ziggurat.layouts.ome_blocks import restated_block, with_indices
from ziggurat.layouts.ome_facts import FACTS
from ziggurat.layouts.series import parts
from ziggurat.model import JSON, Axis, Multiscale, kind_of
from ziggurat.problems import LayoutError, Problem

Entry = dict[str, JSON]
"""One JSON object that a step returns; never one that it was given."""
Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Context:
    """What a step knows of one entry beside its JSON."""

    loc: str
    multiscale: Multiscale
    problems: list[Problem]

    def report(self, rule: str, at: str, message: str, hint: str) -> None:
        self.problems.append(problem(rule, f"{self.loc}{at}", message, hint))


def parse_version(text: str) -> Version:
    """Returns `(major, minor)` of a released version such as `"0.4"`. Raises ValueError for anything else."""
    major, minor = text.split(".")
    return int(major), int(minor)


def stated_version(entry: Mapping[str, JSON]) -> str | None:
    """Returns the version that a block states; a JSON number, as some writers left it, counts as its text."""
    version = entry.get("version")
    return str(version) if isinstance(version, str | float) else None


def restated(entry: Mapping[str, JSON], version: str) -> Entry:
    """Returns the entry with `version`, in its place, or at the end when it had none.

    >>> restated({"version": "0.1", "name": "a"}, "0.2"), restated({"name": "a"}, "0.2")
    ({'version': '0.2', 'name': 'a'}, {'name': 'a', 'version': '0.2'})
    """
    return {**entry, "version": version}


def without(entry: Mapping[str, JSON], *keys: str) -> Entry:
    """Returns the entry without some keys."""
    return {key: value for key, value in entry.items() if key not in keys}


def to_02(entry: Entry, _: Context) -> Entry:
    """0.1 -> 0.2: the arrays nest their chunks; the entry only states its version."""
    return restated(entry, "0.2")


def to_03(entry: Entry, context: Context) -> Entry:
    """0.2 -> 0.3: the names of the axes are written."""
    names = [axis.name for axis in context.multiscale.axes]
    if "axes" in entry:
        return restated(entry, "0.3")
    if any(axis.provenance == "inferred" for axis in context.multiscale.axes):
        guess = ", ".join(names)
        message = f"the document names no axes; {guess} is inferred from the shape of the base"
        context.report("UPG001", ".axes", message, "correct the names if they are wrong")
    return restated({**entry, "axes": list(names)}, "0.3")


def to_04(entry: Entry, context: Context) -> Entry:
    """0.3 -> 0.4: axes become objects without units, and every dataset states its scale against level 0.

    The scale comes from shapes, or from the factors of a `ziggurat.` method, which alone also gives a translation: no other
    reduction is known for certain. Source: formats 15.11.
    """
    axes, datasets = entry.get("axes"), entry.get("datasets")
    changed: Entry = {"axes": [_axis_object(axis) for axis in axes]} if isinstance(axes, list | tuple) else {}
    levels = {level.path: level for level in context.multiscale.levels}
    result: list[JSON] = []
    inferred = False
    for index, dataset in enumerate(datasets if isinstance(datasets, list | tuple) else ()):
        if not isinstance(dataset, Mapping) or "coordinateTransformations" in dataset:
            result.append(dataset)
            continue
        level = levels.get(_plain_path(dataset.get("path")))
        if level is None or level.scale is None or level.array is None:
            raise LayoutError(
                f"{context.loc}.datasets[{index}].path {dataset.get('path')!r}: no array there, so its scale cannot be computed; "
                "restore the array, or take the entry out of the list"
            )
        transformations: list[JSON] = [{"type": "scale", "scale": list(level.scale)}]
        known = level.translation_provenance in ("stated", "derived") and level.translation is not None
        if known and level.translation is not None:
            transformations.append({"type": "translation", "translation": list(level.translation)})
        inferred = inferred or level.scale_provenance == "inferred"
        result.append({**dataset, "coordinateTransformations": transformations})
    if inferred:
        context.report(
            "UPG002",
            ".datasets",
            "the document states no scale; the factors against level 0 are computed from the shapes, without unit and without translation",
            "state the true sample size when it is known",
        )
    if isinstance(datasets, list | tuple):
        changed["datasets"] = result
    return restated({**entry, **changed}, "0.4")


def to_05(entry: Entry, _: Context) -> Entry:
    """0.4 -> 0.5: the version leaves the entry; it stands once, beside it."""
    return without(entry, "version")


def to_06(entry: Entry, context: Context) -> Entry:
    """0.5 -> 0.6: the axes move below one coordinate system, and each dataset states one transformation that holds the whole of its geometry.

    Where no level states a translation, 0.6 would read their first centres as coinciding; then the one that reading infers is written,
    and said. Source: formats 2.6, 15.2.
    """
    axes = entry.get("axes")
    ndim = len(axes) if isinstance(axes, list | tuple) else 0
    whole = ome_transforms.Transform()
    if "coordinateTransformations" in entry:
        whole = _readable(entry["coordinateTransformations"], ndim, f"{context.loc}.coordinateTransformations")
    old = list(parts(entry.get("datasets")))
    places = [f"{context.loc}.datasets[{index}].coordinateTransformations" for index in range(len(old))]
    own = [_readable(dataset.get("coordinateTransformations"), ndim, loc) for dataset, loc in zip(old, places, strict=True)]
    silent = len(old) > 1 and all(transform.translation is None for transform in (*own, whole))
    if silent:
        message = "no level states a translation, which 0.6 gives a meaning; levels aligned at their lower corner are written, as they were read"
        context.report("UPG011", ".datasets", message, "correct the translations if the reduction is known to be another")
    levels = {level.path: level for level in context.multiscale.levels}
    datasets: list[JSON] = []
    for dataset, transform in zip(old, own, strict=True):
        level = levels.get(_plain_path(dataset.get("path")))
        inferred = level.translation if silent and level is not None else None
        datasets.append({**dataset, "coordinateTransformations": [ome_transforms.joined(dataset, transform, whole, inferred)]})
    systems: JSON = [{"name": ome_transforms.DEFAULT_SYSTEM, "axes": axes}]
    changed: Entry = {"axes": systems, "datasets": datasets}
    return {"coordinateSystems" if key == "axes" else key: changed.get(key, value) for key, value in without(entry, "coordinateTransformations").items()}


def _readable(value: JSON, ndim: int, loc: str) -> ome_transforms.Transform:
    """Returns a transformation that breaks no rule. Raises LayoutError for any other: what it means would be lost."""
    transform, wrong = ome_transforms.transformations(value, ndim, loc)
    if wrong:
        raise LayoutError(f"{wrong[0].loc}: {wrong[0].message}; 0.6 states one transformation per dataset, so correct it first")
    return transform


STEPS: tuple[tuple[str, Callable[[Entry, Context], Entry]], ...] = (("0.2", to_02), ("0.3", to_03), ("0.4", to_04), ("0.5", to_05), ("0.6", to_06))
"""Version -> what makes an entry of it from one of the version before."""


def _axis_object(axis: JSON) -> JSON:
    if not isinstance(axis, str):
        return axis
    kind = kind_of(axis)
    return {"name": axis} if kind is None else {"name": axis, "type": kind}


def _plain_path(path: JSON) -> str:
    return "/".join(part for part in str(path).split("/") if part not in ("", "."))


def upgraded_block(name: str, block: Mapping[str, JSON], version: str, loc: str, problems: list[Problem]) -> Mapping[str, JSON]:
    """Returns `omero`, `image-label`, `plate` or `well` as `version` wants it; what it says of the data stays as it is."""
    if name == "plate" and parse_version(version) >= (0, 4):
        block = _plate_indices(block, loc, problems)
    return restated_block(name, block, FACTS[version], silent=True)


def _plate_indices(plate: Mapping[str, JSON], loc: str, problems: list[Problem]) -> Mapping[str, JSON]:
    """Returns the plate with `rowIndex` and `columnIndex` in every well, from the names of its rows and columns."""
    result, nameless = with_indices(plate)
    wells = plate.get("wells")
    for index in nameless:
        well = wells[index] if isinstance(wells, list | tuple) else None
        message = f"{well.get('path') if isinstance(well, Mapping) else well!r} names no row and column of the plate"
        problems.append(problem("UPG004", f"{loc}.plate.wells[{index}].path", message, "correct the path"))
    acquisitions = plate.get("acquisitions")
    if isinstance(acquisitions, list | tuple) and len(acquisitions) > 1:
        message = "the plate has several acquisitions; wells that do not say which image belongs to which are left as they are"
        problems.append(problem("UPG005", f"{loc}.plate.acquisitions", message, "add 'acquisition' to the images of the wells"))
    return result


def wrapped(attributes: Mapping[str, JSON], moved: Sequence[str], version: str) -> Entry:
    """Returns the attributes with the `moved` keys below one new key `ome`, which takes the place of the first of them."""
    ome: Entry = {"version": version}
    result: Entry = {}
    for key, value in attributes.items():
        if key in moved:
            ome[key] = value
            result.setdefault("ome", ome)
        else:
            result[key] = value
    return result


def entries_of(attributes: Mapping[str, JSON]) -> Sequence[JSON]:
    """Returns the entries of `multiscales`, from below `ome` where there is one."""
    ome = attributes.get("ome")
    block = ome if isinstance(ome, Mapping) else attributes
    entries = block.get("multiscales", NOTHING)
    return entries if isinstance(entries, list | tuple) else ()


def with_entries(attributes: Mapping[str, JSON], entries: Sequence[JSON]) -> Entry:
    """Returns the attributes with other entries in `multiscales`, wherever that stands."""
    ome = attributes.get("ome")
    if isinstance(ome, Mapping) and "multiscales" in ome:
        return {**attributes, "ome": {**ome, "multiscales": list(entries)}}
    return {**attributes, "multiscales": list(entries)}


def axis_rank(axis: Axis) -> int:
    """Sorts axes into the nearest order that OME allows: time, then channel or another kind, then space."""
    return {"time": 0, "space": 2}.get(axis.kind or kind_of(axis.name) or "", 1)
