"""The axes of a multiscale put into another order, as documents; `transfer` moves the samples accordingly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ziggurat.conversion.tree import NOTHING, TreeNode, join
from ziggurat.model import JSON, Multiscale
from ziggurat.node import parse_array_document
from ziggurat.problems import OptionError, UnsupportedError

Permutation = tuple[int, ...]
"""Place in the new order -> place in the stored order, as `numpy.transpose` takes it."""


def permutation(names: Sequence[str], wanted: Sequence[str], loc: str) -> Permutation:
    """Returns how axes called `names` are put into the order `wanted`.

    Raises OptionError when the two are not the same names.

    >>> permutation(("y", "x", "c"), ("c", "y", "x"), "multiscales[0]")
    (2, 0, 1)
    """
    if len(set(wanted)) != len(wanted) or sorted(names) != sorted(wanted):
        raise OptionError(f"transpose {', '.join(wanted)}: {loc} has the axes {', '.join(names)}; name each of them once, such as {''.join(names[::-1])!r}")
    return tuple(names.index(name) for name in wanted)


def permuted(values: JSON, order: Permutation) -> JSON:
    """Returns a list of one value per axis in the new order; anything else as it is."""
    return [values[i] for i in order] if isinstance(values, list | tuple) and len(values) == len(order) else values


def transposed_array(node: TreeNode, names: Sequence[str], order: Permutation) -> TreeNode:
    """Returns the array's node with its axes in the new order, stored in C order, each chunk the transpose of one old chunk.

    `names` are the axes in the new order; they are stored as the array's own dimension names.
    Raises DocumentError for a document that states no shape or grid, UnsupportedError when its shape has another rank, or a
    codec depends on the order of the axes in a way that is not known.
    """
    document = node.document
    shape = parse_array_document(document, node.zarr_format, location=node.path).shape
    if len(shape) != len(order):
        raise UnsupportedError(f"{node.path}: shape {list(shape)} has not {len(order)} axes; it cannot be transposed with its multiscale")
    if node.zarr_format == 2:
        changed: dict[str, JSON] = {"shape": permuted(document["shape"], order), "chunks": permuted(document["chunks"], order)}
        if document.get("order") == "F":
            changed["order"] = "C"
        attributes: dict[str, JSON] = {**node.attributes, "_ARRAY_DIMENSIONS": list(names)}
        ours = frozenset() if "_ARRAY_DIMENSIONS" in node.attributes else frozenset({"_ARRAY_DIMENSIONS"})
        return replace(node, document={**document, **changed}).with_attributes(attributes, ours=ours)
    grid = document.get("chunk_grid")
    configuration = grid.get("configuration", NOTHING) if isinstance(grid, Mapping) else NOTHING
    if not isinstance(grid, Mapping) or not isinstance(configuration, Mapping):
        raise UnsupportedError(f"{node.path}/zarr.json: chunk_grid {grid!r} cannot be transposed; expected a regular grid")
    new_grid = {**grid, "configuration": {**configuration, "chunk_shape": permuted(configuration.get("chunk_shape"), order)}}
    changed = {
        "shape": permuted(document["shape"], order),
        "chunk_grid": new_grid,
        "codecs": _codecs(document.get("codecs"), order, node.path),
        "dimension_names": list(names),
    }
    return replace(node, document={**document, **changed})


def _codecs(codecs: JSON, order: Permutation, path: str) -> JSON:
    """Returns the codec chain without `transpose` (the samples are written anew, in C order), inner chunks in the new order."""
    result: list[JSON] = []
    seen_transpose = False
    for codec in codecs if isinstance(codecs, list | tuple) else ():
        name = codec.get("name") if isinstance(codec, Mapping) else codec
        configuration = codec.get("configuration") if isinstance(codec, Mapping) else None
        if name == "transpose":
            seen_transpose = True
        elif name == "sharding_indexed" and isinstance(codec, Mapping) and isinstance(configuration, Mapping):
            if seen_transpose:
                raise UnsupportedError(f"{path}/zarr.json: a transpose before shards cannot be put into another order; write the array again without it")
            inner = {"chunk_shape": permuted(configuration.get("chunk_shape"), order), "codecs": _codecs(configuration.get("codecs"), order, path)}
            result.append({**codec, "configuration": {**configuration, **inner}})
        else:
            result.append(codec)
    return result


def transposed_entry(entry: Mapping[str, JSON], order: Permutation) -> dict[str, JSON]:
    """Returns an entry of `multiscales` with its axes, and every vector of its transformations, in the new order."""
    result = dict(entry)
    if "axes" in entry:
        result["axes"] = permuted(entry["axes"], order)
    if "coordinateTransformations" in entry:
        result["coordinateTransformations"] = _transformations(entry["coordinateTransformations"], order)
    datasets = entry.get("datasets")
    if isinstance(datasets, list | tuple):
        result["datasets"] = [
            {**d, "coordinateTransformations": _transformations(d["coordinateTransformations"], order)}
            if isinstance(d, Mapping) and "coordinateTransformations" in d
            else d
            for d in datasets
        ]
    return result


def _transformations(value: JSON, order: Permutation) -> JSON:
    if not isinstance(value, list | tuple):
        return value
    return [{k: permuted(v, order) if k in ("scale", "translation") else v for k, v in t.items()} if isinstance(t, Mapping) else t for t in value]


def transposed_multiscale(multiscale: Multiscale, order: Permutation, entry: Mapping[str, JSON]) -> Multiscale:
    """Returns what was read from an entry before, as it stands in the transposed `entry`; the caller has now stated the axes.

    Reading the transposed entry again would not do: factors in UNPARSED values stay in the order that they were written in.
    """
    axes = tuple(replace(multiscale.axes[i], provenance="stated") for i in order)
    levels = []
    for level in multiscale.levels:
        scale, translation = (None if vector is None else tuple(vector[i] for i in order) for vector in (level.scale, level.translation))
        levels.append(replace(level, scale=scale, translation=translation))
    return replace(multiscale, axes=axes, levels=tuple(levels), raw=entry)


def transposed_levels(
    nodes: Mapping[str, TreeNode], group: str, multiscales: Sequence[Multiscale], wanted: Sequence[str], done: Mapping[str, Permutation]
) -> tuple[dict[str, TreeNode], dict[str, Permutation]]:
    """Returns the level arrays of one group's multiscales in the order `wanted`, and by path how each was permuted.

    Arrays in `done` are left out: levels that several series share are transposed once.
    """
    changed: dict[str, TreeNode] = {}
    orders: dict[str, Permutation] = {}
    for index, multiscale in enumerate(multiscales):
        order = permutation([axis.name for axis in multiscale.axes], wanted, f"{group or 'the group'}, multiscales[{index}],")
        for level in multiscale.levels:
            path = join(group, level.path)
            if path in nodes and path not in done and path not in orders and order != tuple(range(len(order))):
                changed[path], orders[path] = transposed_array(nodes[path], wanted, order), order
    return changed, orders
