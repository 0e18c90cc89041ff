"""What an upgrade changes, decided from documents alone: which documents, which chunk names, which samples; and what was inferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ziggurat import layouts
from ziggurat.conversion import series, transpose
from ziggurat.conversion.arrays import array_to_v3, separator_of, shape_of
from ziggurat.conversion.rules import problem
from ziggurat.conversion.tree import Hierarchy, TreeNode, documents_of, join, nodes_of
from ziggurat.layouts import ome_zarr
from ziggurat.layouts.ome_blocks import VERSIONED, is_block
from ziggurat.model import JSON, Multiscale
from ziggurat.node import DictNode, parse_array_document
from ziggurat.problems import LayoutError, OptionError, Problem


@dataclass(frozen=True, slots=True)
class Change:
    """One document before and after; None where there is none."""

    path: str
    """Path of the node, `""` is the root."""
    file: str
    old: Mapping[str, JSON] | None
    new: Mapping[str, JSON] | None

    @property
    def key(self) -> str:
        """Key of the document relative to the root."""
        return join(self.path, self.file)


@dataclass(frozen=True, slots=True)
class Renaming:
    """The chunks of one array get other names: `0.1.2` becomes `0/1/2`."""

    path: str
    ndim: int
    old: str
    """Separator now."""
    new: str
    """Separator afterwards."""


@dataclass(frozen=True, slots=True)
class UpgradePlan:
    """Everything that an upgrade does, in the order in which it is safe to do it."""

    source: str
    """Layout that was found, such as `ome-zarr@0.3`."""
    to: str
    changes: tuple[Change, ...] = ()
    """Documents to write: arrays, then groups from the deepest up, the root last; then those to remove, the root's first."""
    renamings: tuple[Renaming, ...] = ()
    """New chunk names exist before any document says so; old ones go last."""
    permutations: Mapping[str, transpose.Permutation] = field(default_factory=lambda: MappingProxyType({}))
    """Arrays whose samples are written anew with their axes in another order: path -> order."""
    problems: tuple[Problem, ...] = ()

    @property
    def writes(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.new is not None)

    @property
    def removals(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.new is None)


def upgrade_plan(documents: Hierarchy, *, to: str, transpose: Sequence[str] | None = None, location: str = "source") -> UpgradePlan:
    """Returns what turns the hierarchy of `documents` into the layout `to`, without doing it.

    Parameters
    ----------
    documents
        Every metadata document below the group: key relative to it (`0/.zarray`) -> JSON.
    to
        Id of a layout, `ome-zarr@0.1` to `ome-zarr@0.6`.
    transpose
        Names of the axes in the order to store them in; None keeps the order.
    location
        Of the group, for messages.

    Raises
    ------
    LayoutError
        `to` is unknown, older than what is there, or forbids the axes; what is there is no such multiscale; an axis or a
        scale that `to` needs cannot be known. Nothing is decided half: no plan is returned.
    UnsupportedError
        An array has no equal in the Zarr format that `to` needs.
    OptionError
        `transpose` does not name the axes.

    Source: formats 2.6, 15.11.
    """
    version = _target_version(to)
    nodes = nodes_of(documents, location)
    return _Upgrade(nodes, version, to, location).plan(documents, transpose)


def _target_version(to: str) -> str | None:
    """Returns the OME version of a layout id, None for `multiscales@0.1`."""
    name, _, version = to.partition("@")
    if to == "multiscales@0.1":
        return None
    if name != "ome-zarr" or version not in ome_zarr.FACTS:
        known = ", ".join(f"ome-zarr@{v}" for v in ome_zarr.FACTS)
        raise LayoutError(f"to {to!r}: expected one of {known}")
    return version


class _Upgrade:
    """One upgrade being planned; `plan` is the only way in. It works on its own dict of nodes, the caller's documents stay as they are."""

    def __init__(self, nodes: Mapping[str, TreeNode], version: str | None, to: str, location: str) -> None:
        self.nodes = dict(nodes)
        self.version = version
        self.to = to
        self.location = location
        self.problems: list[Problem] = []
        self.names: dict[str, tuple[str, ...]] = {}
        """Level array -> names of its axes, for every series that this upgrade changes."""
        self.newly_named: set[str] = set()
        """Level arrays and groups whose document named no axes before."""
        self.permutations: dict[str, transpose.Permutation] = {}

    def plan(self, documents: Hierarchy, wanted: Sequence[str] | None) -> UpgradePlan:
        root = DictNode(documents_of(self.nodes), location=self.location)
        source = self._source(root)
        if self.version is None or _version_of(source) > series.parse_version(self.version):
            if source == self.to or (self.version is None and source == "ome-zarr@0.1"):  # OME 0.1 is the founding layout, with five axes
                return UpgradePlan(source, self.to)
            raise LayoutError(f"{self.location} is {source}, and an upgrade never goes back to {self.to}; stay with {source}")
        if self.nodes[""].zarr_format > ome_zarr.FACTS[self.version].zarr_format:
            raise LayoutError(f"{self.location} lies in Zarr v3, and {self.to} exists in Zarr v2 only; upgrade to ome-zarr@0.5")
        groups = sorted((path for path, node in self.nodes.items() if node.kind == "group"), key=_depth, reverse=True)
        for path in groups:
            multiscales = self._read(root, path)
            self._group(path, multiscales if wanted is None else self._transpose(path, multiscales, wanted))
        renamings = self._store()
        changes = self._changes(documents)
        return UpgradePlan(source, self.to, changes, renamings, MappingProxyType(self.permutations), tuple(dict.fromkeys(self.problems)))

    def _source(self, root: DictNode) -> str:
        """Returns the layout of the root; of its plate or well, or of the first image below, where it has no multiscale of its own."""
        found = self._read(root, "")
        if found:
            return found[0].layout
        attributes = self.nodes[""].attributes
        ome = attributes.get("ome")
        blocks = [ome, attributes.get("plate"), attributes.get("well")]
        for block in blocks:
            version = series.stated_version(block) if isinstance(block, Mapping) else None
            if version in ome_zarr.FACTS:
                return f"ome-zarr@{version}"
        if "plate" in attributes or "well" in attributes or "labels" in attributes or "bioformats2raw.layout" in attributes:
            for path in sorted(self.nodes, key=_depth):
                below = self._read(root, path)
                if below:
                    return below[0].layout
        if series.entries_of(attributes) and any(_family(evidence.layout) for evidence in layouts.detect(root) if evidence.holds == "levels"):
            broken = next((p for p in layouts.read(root).problems if p.requirement == "MUST"), None)
            if broken is not None:
                raise LayoutError(f"{self.location}: its multiscales cannot be read: {broken.sentence}")
        raise LayoutError(f"{self.location}: no multiscale of multiscales@0.1 or ome-zarr is there; name the group that carries one")

    def _read(self, root: DictNode, path: str) -> tuple[Multiscale, ...]:
        """Returns the multiscales of a group as the layouts of this family read them; none where it carries no such metadata."""
        attributes = self.nodes[path].attributes
        if self.nodes[path].kind != "group" or not series.entries_of(attributes):
            return ()
        node = root.child(path) if path else root
        if not any(_family(evidence.layout) for evidence in layouts.detect(node) if evidence.holds == "levels"):
            return ()
        found = [multiscale for multiscale in layouts.read(node).multiscales if _family(multiscale.layout)]
        if any(multiscale.ndim == len(ome_zarr.LETTERS) and _unnamed(multiscale) for multiscale in found):
            # Five axes that nothing names are OME's t, c, z, y, x, also between two steps of an upgrade that was interrupted.
            found = list(layouts.read(node, ome_zarr.NAME).multiscales)
        return tuple(found)

    def _transpose(self, path: str, multiscales: Sequence[Multiscale], wanted: Sequence[str]) -> tuple[Multiscale, ...]:
        """Puts the multiscales of a group, and their levels, into the order `wanted`; returns what the group then holds."""
        if not multiscales:
            return ()
        node = self.nodes[path]
        changed, orders = transpose.transposed_levels(self.nodes, path, multiscales, wanted, self.permutations)
        entries: list[JSON] = []
        result: list[Multiscale] = []
        for entry in series.entries_of(node.attributes):
            multiscale = _multiscale_of(entry, multiscales)
            if isinstance(entry, Mapping) and multiscale is not None:
                order = tuple([axis.name for axis in multiscale.axes].index(name) for name in wanted)
                entry = transpose.transposed_entry(entry, order)
                result.append(transpose.transposed_multiscale(multiscale, order, entry))
            entries.append(entry)
        self.nodes[path] = node.with_attributes(series.with_entries(node.attributes, entries))
        self.nodes.update(changed)
        self.permutations.update(orders)
        return tuple(result)

    def _group(self, path: str, multiscales: Sequence[Multiscale]) -> None:
        """Carries what one group says to the wanted version."""
        node, version = self.nodes[path], self._wanted
        attributes, ome = node.attributes, node.attributes.get("ome")
        if isinstance(ome, Mapping) and "version" in ome:
            self._wrapped(path, ome, multiscales)
            return
        moved = [key for key in ome_zarr.WRAPPED_KEYS if is_block(key, attributes.get(key)) and (key != "multiscales" or multiscales)]
        if not moved:
            return
        result = dict(attributes)
        named = False
        if "multiscales" in moved:
            entries = [self._entry(path, index, entry, multiscales) for index, entry in enumerate(series.entries_of(attributes))]
            result["multiscales"] = entries
            named = any(join(path, level.path) in self.newly_named for multiscale in multiscales for level in multiscale.levels)
        for key in moved:
            block = attributes[key]
            if key in VERSIONED and isinstance(block, Mapping) and _older(block, version):
                result[key] = series.upgraded_block(key, block, version, path or "root", self.problems)
        if named and ome_zarr.FACTS[version].zarr_format == 2 and "_ARRAY_DIMENSIONS" not in result:
            result["_ARRAY_DIMENSIONS"] = [axis.name for axis in multiscales[0].axes]
        if ome_zarr.FACTS[version].wrapped:
            if "ome" in attributes:
                raise LayoutError(f"{path or self.location}: the attribute 'ome' holds something else, and {self.to} needs it; rename that attribute first")
            result = series.wrapped(result, moved, version)
        self.nodes[path] = node.with_attributes(result)

    def _wrapped(self, path: str, ome: Mapping[str, JSON], multiscales: Sequence[Multiscale]) -> None:
        """Carries what stands below `ome` to the wanted version, when that is later."""
        version, found = self._wanted, series.stated_version(ome)
        if found not in ome_zarr.FACTS or series.parse_version(str(found)) >= series.parse_version(version):
            return
        block: dict[str, JSON] = {**ome, "version": version}
        if series.entries_of({"ome": ome}):
            block["multiscales"] = [self._entry(path, index, entry, multiscales) for index, entry in enumerate(series.entries_of({"ome": ome}))]
        for key in VERSIONED:
            held = ome.get(key)
            if isinstance(held, Mapping):
                block[key] = series.upgraded_block(key, held, version, path or "root", self.problems)
        node = self.nodes[path]
        self.nodes[path] = node.with_attributes({**node.attributes, "ome": block})

    def _entry(self, path: str, index: int, entry: JSON, multiscales: Sequence[Multiscale]) -> JSON:
        """Returns one entry of `multiscales` in the wanted version; one that no layout can read stays as it is."""
        multiscale = _multiscale_of(entry, multiscales)
        if multiscale is None or not isinstance(entry, Mapping):
            return entry
        loc = f"{path}/multiscales[{index}]" if path else f"multiscales[{index}]"
        found = series.stated_version(entry) or multiscale.layout.partition("@")[2]
        if found not in ome_zarr.FACTS:
            known = ", ".join(ome_zarr.FACTS)
            raise LayoutError(f"{loc}.version {found!r}: no released version ({known}), so what it means is not known; correct it in the document first")
        if series.parse_version(found) > series.parse_version(self._wanted):
            raise LayoutError(f"{loc} has version {found}; an upgrade never goes back to {self.to}")
        self._refuse_axes(multiscale, loc)
        names = tuple(axis.name for axis in multiscale.axes)
        for level in multiscale.levels:
            self.names.setdefault(join(path, level.path), names)
            if ome_zarr.FACTS[found].axes == "none" != ome_zarr.FACTS[self._wanted].axes:
                self.newly_named.add(join(path, level.path))
        context = series.Context(loc, multiscale, self.problems)
        result = dict(entry)
        for version, step in series.STEPS:
            if series.parse_version(found) < series.parse_version(version) <= series.parse_version(self._wanted):
                result = step(result, context)
        return result

    def _refuse_axes(self, multiscale: Multiscale, loc: str) -> None:
        """Raises LayoutError when the wanted version forbids the axes, naming the ways out. Source: formats 15.11."""
        axes = multiscale.axes
        if not axes or _unnamed(multiscale):
            raise LayoutError(
                f"{loc} has {len(axes) or 'no'} axes that neither the document nor the arrays name, and {self.to} needs their names; "
                "write them into the base array's own attributes (_ARRAY_DIMENSIONS), or stay with " + multiscale.layout
            )
        reason = ome_zarr.can_hold(axes, self._wanted)
        if reason is None:
            return
        order = [axis.name for axis in sorted(axes, key=series.axis_rank)]
        by_name = {axis.name: axis for axis in axes}
        ways = f"stay with {multiscale.layout}"
        if len(set(order)) == len(axes) and ome_zarr.can_hold([by_name[name] for name in order], self._wanted) is None:
            word = "".join(order) if all(len(name) == 1 for name in order) else ",".join(order)
            ways = f"write a new store with the axes in another order (--dest NEW --transpose {word}), or {ways}"
        else:
            versions = [v for v in ome_zarr.FACTS if series.parse_version(v) > series.parse_version(self._wanted)]
            later = next((v for v in versions if ome_zarr.can_hold(axes, v) is None), None)
            ways = f"upgrade to ome-zarr@{later}, or {ways}" if later else ways
        shown = ", ".join(axis.name for axis in axes)
        raise LayoutError(f"{loc} has the axes {shown}, which {self.to} cannot hold: {reason}; nothing was written; {ways}")

    @property
    def _wanted(self) -> str:
        if self.version is None:
            raise OptionError(f"{self.to} is no version of OME-Zarr")
        return self.version

    def _store(self) -> tuple[Renaming, ...]:
        """Brings arrays (and, for Zarr v3, every node) into the form that the wanted version stores; returns the chunks to rename."""
        facts = ome_zarr.FACTS[self._wanted]
        renamings: list[Renaming] = []
        for path, node in self.nodes.items():
            if node.zarr_format == 2 and facts.zarr_format == 3:
                self.nodes[path] = self._node_to_v3(node)
            elif node.kind == "array" and path in self.names:
                self.nodes[path] = self._named_v3(node) if node.zarr_format == 3 else self._nested(node, facts.separator, renamings)
        return tuple(renamings)

    def _node_to_v3(self, node: TreeNode) -> TreeNode:
        attributes = {key: value for key, value in node.attributes.items() if key not in node.ours}
        if node.kind == "group":
            document: Mapping[str, JSON] = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        else:
            names = self._fitting(node, self.names.get(node.path) or _own_names(node.attributes))
            document, problems = array_to_v3(node.document, attributes, dimension_names=names, path=node.path)
            self.problems.extend(problems)
        return TreeNode(node.path, node.kind, 3, document, attributes)

    def _named_v3(self, node: TreeNode) -> TreeNode:
        """Returns an array of Zarr v3 with the names of its axes, as 0.5 demands them."""
        names, stated = self._fitting(node, self.names[node.path]), node.document.get("dimension_names")
        if names is None or stated == list(names):
            return node
        if isinstance(stated, list | tuple) and any(name is not None for name in stated):
            message = f"{list(stated)} becomes {list(names)}, the axes of the multiscale"
            self.problems.append(problem("UPG003", f"{node.path}/zarr.json.dimension_names", message))
        return replace(node, document={**node.document, "dimension_names": list(names)})

    def _nested(self, node: TreeNode, separator: str | None, renamings: list[Renaming]) -> TreeNode:
        """Returns an array of Zarr v2 with the separator of the wanted version, and names for its axes where it had none."""
        ndim = parse_array_document(node.document, 2, location=node.path).ndim
        if separator is not None and separator_of(node.document) != separator:
            if ndim > 1 and node.path not in self.permutations:
                renamings.append(Renaming(node.path, ndim, separator_of(node.document), separator))
            node = replace(node, document={**node.document, "dimension_separator": separator})
        names = self._fitting(node, self.names[node.path])
        if node.path in self.newly_named and names is not None and "_ARRAY_DIMENSIONS" not in node.attributes:
            node = node.with_attributes({**node.attributes, "_ARRAY_DIMENSIONS": list(names)})
        return node

    def _fitting(self, node: TreeNode, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        ndim = len(shape_of(node.document))
        if names is not None and len(names) != ndim:
            message = f"the array has {ndim} axes and its multiscale names {len(names)}: {', '.join(names)}"
            self.problems.append(problem("UPG006", node.path, message, "correct the document"))
            return None
        return names

    def _changes(self, documents: Hierarchy) -> tuple[Change, ...]:
        """Returns the documents that differ: arrays, groups from the deepest up, the root; then those to remove from the root down."""
        writes: list[Change] = []
        removals: list[Change] = []
        order = sorted(self.nodes.values(), key=lambda node: (node.kind == "group", -_depth(node.path), node.path))
        for node in order:
            for key, new in node.documents().items():
                old = documents.get(key)
                if old != new or not _same_order(old, new):
                    writes.append(Change(node.path, key.rpartition("/")[2], old, new))
        if self.nodes[""].zarr_format == 3 and "zarr.json" not in documents:
            for node in sorted(order, key=lambda node: (_depth(node.path), node.path)):
                removals += [
                    Change(node.path, name, documents[node.key(name)], None)
                    for name in (".zmetadata", ".zgroup", ".zarray", ".zattrs")
                    if node.key(name) in documents
                ]
        return (*writes, *removals)


def _family(layout: str) -> bool:
    return layout == "multiscales@0.1" or layout.startswith("ome-zarr@")


def _unnamed(multiscale: Multiscale) -> bool:
    return any(axis.provenance == "absent" for axis in multiscale.axes)


def _version_of(layout: str) -> series.Version:
    """Returns the version of a layout id, with which `multiscales@0.1` counts as OME 0.1: the same on disk. (99, 0) for an unknown one."""
    version = layout.partition("@")[2]
    return series.parse_version(version) if version in ome_zarr.FACTS else (99, 0)


def _older(block: Mapping[str, JSON], version: str) -> bool:
    stated = series.stated_version(block)
    return stated is None or stated not in ome_zarr.FACTS or series.parse_version(stated) < series.parse_version(version)


def _depth(path: str) -> int:
    return path.count("/") + 1 if path else 0


def _multiscale_of(entry: JSON, multiscales: Sequence[Multiscale]) -> Multiscale | None:
    """Returns what a layout read from an entry; None when it could read nothing."""
    return next((multiscale for multiscale in multiscales if multiscale.raw == entry), None)


def _own_names(attributes: Mapping[str, JSON]) -> tuple[str, ...] | None:
    names = attributes.get("_ARRAY_DIMENSIONS")
    return tuple(str(name) for name in names) if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names) else None


def _same_order(old: JSON, new: JSON) -> bool:
    """True when two equal values also have their keys in the same order, and the same kinds of numbers."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return list(old) == list(new) and all(_same_order(old[key], new[key]) for key in old)
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return all(_same_order(a, b) for a, b in zip(old, new, strict=True))
    return type(old) is type(new)
