"""WEBKNOSSOS datasets: one `datasource-properties.json` beside the folders of its layers, whose levels are called mags.

Arrays hold the whole space from voxel 0 on, whatever part of it the bounding box fills, so the lower corner of all samples of all mags is 0.
`scale` is the size of a voxel of mag 1. The webknossos library writes OME metadata onto the groups of layers too, without a translation;
what stands here says more. Source: scalableminds/webknossos-libs; formats.md 0.2, 11.2, 15.7.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType

from ziggurat import geometry
from ziggurat.layouts import mipmaps
from ziggurat.layouts.ports import Evidence, Facts, Member, ReadOnly
from ziggurat.layouts.rules import problem
from ziggurat.layouts.units import long_unit
from ziggurat.model import JSON, ArrayInfo, Axis, Kind, Level, Multiscale, Provenance, kind_of
from ziggurat.node import Node, loads, resolve, word
from ziggurat.problems import DocumentError, Problem, StorageError

NAME = "webknossos"
ID = f"{NAME}@1"
DOCUMENT = "datasource-properties.json"
WKW = "wkw"
PRECOMPUTED = "neuroglancerPrecomputed"
FORMATS = (WKW, "zarr", "zarr3", "n5", PRECOMPUTED)
MAX_LAYERS, MAX_MAGS, MAX_ABOVE = 10_000, 64, 2
"""More layers than any dataset has; more halvings than any axis has; folders of layers lie in the dataset, or one deeper."""
_KINDS: Mapping[str, Kind] = MappingProxyType({"color": "image", "segmentation": "labels"})
_CLASSES: Mapping[str, str] = MappingProxyType({"uint24": "uint8", "float": "float32", "double": "float64"})
"""`elementClass` -> type of samples, where that is not the same word; uint24 is three channels of uint8."""
_SPACE = "xyz"


@dataclass(frozen=True, slots=True)
class Mag:
    """One entry of `mags` that can be used."""

    loc: str
    factors: tuple[int, ...]
    """Along x, y, z."""
    path: str
    """Below the dataset."""
    entry: Mapping[str, JSON]

    @property
    def name(self) -> str:
        """Name of the array in the folder of the layer."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Layer:
    """One entry of `dataLayers` that can be used."""

    loc: str
    name: str
    entry: Mapping[str, JSON]
    mags: tuple[Mag, ...]
    """Finest first."""
    folder: str
    """Below the dataset; every mag lies directly in it."""
    problems: tuple[Problem, ...] = ()

    @property
    def format(self) -> JSON:
        return self.entry.get("dataFormat")


@dataclass(frozen=True, slots=True)
class Voxel:
    """Size of a voxel of mag 1 along x, y, z."""

    size: tuple[float, ...]
    unit: str | None
    known: bool = True


@dataclass(frozen=True, slots=True)
class WebknossosLayout(ReadOnly):
    """`webknossos@1`: `version` of the document counts revisions of one dataset, and names no format."""

    name: str = NAME
    versions: tuple[str, ...] = ("1",)

    @property
    def facts(self) -> Facts:
        return Facts(
            title="WEBKNOSSOS",
            marks="a file `datasource-properties.json` with `dataLayers`; each layer is a multiscale of its own",
            geometry="the lower corner of every array is 0 and a sample of a mag has the size `scale` x `mag`, so the first centre lies at half of that",
            axes="`axisOrder` of each mag; the webknossos library always writes c, x, y, z",
            keeps="arrays are shown whole, of which the bounding box (kept) fills a part; `coordinateTransformations` are kept and not applied; "
            "WKW is described and not read; layers elsewhere (URLs) are left out",
            source="scalableminds/webknossos-libs, datasource-properties.json",
            software=("WEBKNOSSOS", "webknossos (Python)"),
        )

    def detect(self, node: Node) -> Evidence | None:
        if _datasource(node) is not None:
            return Evidence(ID, "declared", f"a file {DOCUMENT!r} holds 'dataLayers'", "members")
        found = _layers_at(node)
        if found is None or all(layer.format == PRECOMPUTED for layer in found[1]):
            return None
        return Evidence(ID, "declared", f"{DOCUMENT!r} above lists it as the layer {found[1][0].name!r}")

    def members(self, node: Node) -> tuple[tuple[Member, ...], tuple[Problem, ...]]:
        document = _datasource(node)
        if document is None:
            return (), ()
        layers, problems = _layers(document)
        by_folder: dict[str, Member] = {}
        for layer in layers:
            if layer.folder in by_folder:
                other = by_folder[layer.folder].name
                problems.append(problem("WK004", layer.loc, f"{layer.name!r} lies in the folder of {other!r}", "give each layer a folder of its own"))
                continue
            about = {key: layer.entry[key] for key in ("category", "dataFormat", "elementClass", "numChannels", "largestSegmentId") if key in layer.entry}
            by_folder[layer.folder] = Member(layer.name, layer.folder, _KINDS.get(str(layer.entry.get("category")), "image"), about)
        return tuple(by_folder.values()), tuple(problems)

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        found = _layers_at(node)
        if found is None:
            return (), (problem("WK001", "", f"is no layer that a {DOCUMENT} above lists", "name one of its layers"),)
        document, layers = found
        voxel, problems = _voxel(document.get("scale"))
        series = []
        for layer in layers:
            multiscale, wrong = _multiscale(node, layer, voxel)
            problems += [*layer.problems, *wrong]
            if multiscale is not None:
                about = {key: value for key, value in document.items() if key not in ("dataLayers", "scale")}
                series.append(_with_extra(multiscale, layer, about))
        return tuple(series), tuple(problems)


LAYOUT = WebknossosLayout()


# --- finding it -----------------------------------------------------------------------------------------------------------


def _datasource(node: Node) -> Mapping[str, JSON] | None:
    """Returns the document of a dataset; its folder is no node, or a group without attributes, and no other is asked."""
    # attributes first: what has some costs no further request
    return _document(node) if not node.attributes and node.kind != "array" else None


def _document(node: Node) -> Mapping[str, JSON] | None:
    data = node.file(DOCUMENT)
    if data is None:
        return None
    value = loads(data, f"{node.location}/{DOCUMENT}")
    return value if isinstance(value, Mapping) and "dataLayers" in value else None


def _layers_at(node: Node) -> tuple[Mapping[str, JSON], tuple[Layer, ...]] | None:
    """Returns the document above a layer's folder, and the layers that lie in it."""
    if not _may_be_layer(node):
        return None
    here, path = node, ""
    for _ in range(MAX_ABOVE):
        above = here.parent()
        if above is None:
            return None
        here, name = above
        path = f"{name}/{path}" if path else name
        try:
            document = _document(here)
        except (DocumentError, StorageError):  # of a place that nobody asked for
            return None
        if document is not None:
            layers = tuple(layer for layer in _layers(document)[0] if layer.folder == path)
            return (document, layers) if layers else None
    return None


def _may_be_layer(node: Node) -> bool:
    """True where it is worth to look above: no attributes at all, or those that the webknossos library writes."""
    attributes = node.attributes  # before the kind: what has other attributes costs no further request
    held = attributes.get("ome", attributes)
    series = held.get("multiscales") if isinstance(held, Mapping) else None
    first = series[0] if isinstance(series, (list, tuple)) and series else None
    axes = first.get("axes") if isinstance(first, Mapping) else None
    if isinstance(axes, (list, tuple)):
        fits = [axis.get("name") for axis in axes if isinstance(axis, Mapping)][-3:] == list(_SPACE)
    else:
        fits = attributes.keys() <= {"n5"}
    return fits and node.kind not in ("array", "file")


# --- documents -------------------------------------------------------------------------------------------------------------


def _layers(document: Mapping[str, JSON]) -> tuple[list[Layer], list[Problem]]:
    """Returns the layers that can be opened, and what is wrong with the others."""
    entries = document.get("dataLayers")
    if not isinstance(entries, (list, tuple)):
        return [], [problem("WK001", "dataLayers", f"found {word(entries)}; expected a list of objects", "list the layers")]
    layers: dict[str, Layer] = {}
    problems = []
    for i, entry in enumerate(entries[:MAX_LAYERS]):
        loc = f"dataLayers[{i}]"
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if not isinstance(entry, Mapping) or not isinstance(name, str) or not name or name in layers:
            found = f"the name {name!r} stands in the list already" if isinstance(name, str) and name in layers else f"found {word(entry)} without a name"
            problems.append(problem("WK001", loc, found, "give each layer a name of its own"))
            continue
        layer, wrong = _layer(entry, name, loc)
        if layer is None:
            problems += wrong
        else:
            layers[name] = layer
    return list(layers.values()), problems


def _layer(entry: Mapping[str, JSON], name: str, loc: str) -> tuple[Layer | None, tuple[Problem, ...]]:
    listed = entry.get("mags", entry.get("wkwResolutions"))
    if not isinstance(listed, (list, tuple)) or not listed:
        return None, (problem("WK003", f"{loc}.mags", f"found {word(listed)}; expected a list of at least one object", "list the mags"),)
    mags: list[Mag] = []
    problems = []
    for k, item in enumerate(listed[:MAX_MAGS]):
        found = _mag(item, name, f"{loc}.mags[{k}]")
        if isinstance(found, Problem):
            problems.append(found)
        elif mags and found.path.rpartition("/")[0] != mags[0].path.rpartition("/")[0]:
            message = f"is {found.path!r}, in another folder than {mags[0].path!r}"
            problems.append(problem("WK004", f"{found.loc}.path", message, "keep the mags of a layer together"))
        else:
            mags.append(found)
    if not mags:
        return None, tuple(problems)
    ranked = tuple(sorted(mags, key=lambda mag: math.prod(mag.factors)))
    return Layer(loc, name, entry, ranked, mags[0].path.rpartition("/")[0], tuple(problems)), ()


def _mag(item: JSON, layer: str, loc: str) -> Mag | Problem:
    if not isinstance(item, Mapping):
        return problem("WK003", loc, f"found {word(item)}; expected an object", "list the mags")
    stated = item.get("mag", item.get("resolution"))
    factors = _factors(stated)
    if factors is None:
        shown = stated if len(str(stated)) < 80 else word(stated)
        return problem("WK003", f"{loc}.mag", f"is {shown!r}; expected three whole numbers of at least 1", "correct it")
    usual = f"{layer}/{factors[0] if len(set(factors)) == 1 else '-'.join(map(str, factors))}"
    try:
        path = resolve(item.get("path", usual), "path")
    except DocumentError as error:
        return problem("WK004", f"{loc}.path", str(error).removeprefix("path "), "keep the arrays below the dataset, or open that place itself")
    if "/" not in path:
        return problem("WK004", f"{loc}.path", f"is {path!r}; expected the folder of its layer before it", "keep the mags of a layer in a folder")
    return Mag(loc, factors, path, item)


def _factors(value: JSON) -> tuple[int, ...] | None:
    """Returns a mag along x, y, z: a list, one number for all, or the words that name folders.

    >>> _factors([2, 2, 1]), _factors(4), _factors("2-2-1"), _factors([2, 2, 0])
    ((2, 2, 1), (4, 4, 4), (2, 2, 1), None)
    """
    parts = value.split("-") if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else [value]
    plain = [int(part[:9]) if isinstance(part, str) and part.isascii() and part.isdigit() else part for part in parts]
    whole = tuple(part for part in plain if isinstance(part, int) and not isinstance(part, bool) and 1 <= part < 2**31)
    if len(whole) != len(plain) or len(whole) not in (1, len(_SPACE)):
        return None
    return whole * len(_SPACE) if len(whole) == 1 else whole


def _voxel(scale: JSON) -> tuple[Voxel, list[Problem]]:
    """Returns the size of a voxel, ones without a unit where the document does not tell it."""
    stated = scale.get("factor") if isinstance(scale, Mapping) else scale
    unit = scale.get("unit", "nanometer") if isinstance(scale, Mapping) else "nanometer"
    size = mipmaps.positive(mipmaps.numbers(stated, len(_SPACE)))
    if size is None or not isinstance(unit, str):
        message = f"holds {word(stated)} in {unit!r}; expected three numbers above 0 and a unit" if isinstance(scale, Mapping) else f"found {word(scale)}"
        return Voxel((1.0,) * len(_SPACE), None, known=False), [problem("WK002", "scale", message, "state the size of a voxel along x, y, z")]
    return Voxel(size[::-1], long_unit(unit)), []


def _box_end(entry: Mapping[str, JSON]) -> tuple[int, ...] | None:
    """Returns where a layer's bounding box ends along x, y, z, in voxels of mag 1; None where it cannot be read."""
    box = entry.get("boundingBox")
    if not isinstance(box, Mapping):
        return None
    corner = mipmaps.numbers(box.get("topLeft"), len(_SPACE))
    sizes = mipmaps.numbers([box.get("width"), box.get("height"), box.get("depth")], len(_SPACE))
    ends = [a + b for a, b in zip(corner or (), sizes or (), strict=False)][::-1]
    whole = tuple(end for end, size in zip(ends, sizes or (), strict=False) if isinstance(end, int) and end < 2**62 and size >= 0)
    return whole if len(whole) == len(_SPACE) else None


# --- geometry --------------------------------------------------------------------------------------------------------------


def _multiscale(node: Node, layer: Layer, voxel: Voxel) -> tuple[Multiscale | None, list[Problem]]:
    if layer.format not in FORMATS or layer.format == PRECOMPUTED:
        what = "is read as precomputed" if layer.format == PRECOMPUTED else f"is {layer.format!r}; expected one of {', '.join(FORMATS)}"
        return None, [problem("WK005", f"{layer.loc}.dataFormat", what, "open the folder of the layer without naming a layout")]
    stored, problems = _stored(node, layer)
    base = next((info for _, info in stored if info is not None), None)
    if base is None:
        return None, problems
    axes, wrong = _axes(layer, base, voxel.unit)
    problems += wrong
    if axes is None:
        return None, problems
    levels = [_level(mag, info, axes, voxel) for mag, info in stored if info is None or info.ndim == base.ndim]
    for mag, info in stored:
        if info is not None and info.ndim != base.ndim:
            problems.append(problem("WK009", mag.loc, f"the array has {info.ndim} axes, the others {base.ndim}", "write the mag again"))
    problems += _layer_problems(layer, axes, stored)
    return Multiscale(tuple(levels), axes, name=layer.name, layout=ID, kind=_KINDS.get(str(layer.entry.get("category")))), problems


def _stored(node: Node, layer: Layer) -> tuple[list[tuple[Mag, ArrayInfo | None]], list[Problem]]:
    """Returns the mags with what is known of their arrays."""
    found: list[tuple[Mag, ArrayInfo | None]] = []
    problems = []
    for mag in layer.mags:
        info, why = None, "no array there"
        try:
            info = _wkw(node, layer, mag) if layer.format == WKW else node.child(mag.name).array
        except DocumentError as error:
            why = str(error)
        if info is None:
            problems.append(problem("WK004", f"{mag.loc}.path", f"{mag.path!r}: {why}", "restore the array, or take the mag off the list"))
        found.append((mag, info))
    return found, problems


def _wkw(node: Node, layer: Layer, mag: Mag) -> ArrayInfo | None:
    """Returns what header and document tell of an array in WKW; None where either lacks. Source: scalableminds/webknossos-wrap, WKW format."""
    header = node.file(f"{mag.name}/header.wkw")
    end = _box_end(layer.entry)
    if header is None or end is None or len(header) < 8 or header[:3] != b"WKW":
        return None
    dtype, n_channels = _samples(layer.entry)
    block = 2 ** (header[4] & 15)
    whole = block * 2 ** (header[4] >> 4)
    shape = tuple(-(-e // f) for e, f in zip(end, mag.factors, strict=True))
    sizes = (block,) * len(_SPACE)
    return ArrayInfo(
        shape=(n_channels, *shape),
        dtype=dtype,
        chunks=(n_channels, *sizes),
        shards=(n_channels, *(whole,) * len(_SPACE)),
        fill_value=0,
        itemsize=header[7] // n_channels,
        codecs=WKW,
        driver=WKW,
        document={"header": header[:16].hex()},
    )


def _samples(entry: Mapping[str, JSON]) -> tuple[str, int]:
    """Returns type and channels of samples as a layer states them."""
    stated, n_channels = entry.get("elementClass"), entry.get("numChannels")
    fallback = 3 if stated == "uint24" else 1
    is_count = isinstance(n_channels, int) and not isinstance(n_channels, bool) and 1 <= n_channels < 2**31
    return _CLASSES.get(str(stated), str(stated)), n_channels if is_count and isinstance(n_channels, int) else fallback


def _axes(layer: Layer, base: ArrayInfo, unit: str | None) -> tuple[tuple[Axis, ...] | None, list[Problem]]:
    """Returns the axes in stored order: those that `axisOrder` tells, else by the names that the array bears, else (c,) x, y, z."""
    orders = {_order(layer, mag, base) for mag in layer.mags}
    names = next(iter(orders)) if len(orders) == 1 else None
    how: Provenance = "stated"
    problems = []
    if names is None and layer.format != WKW:
        how = "inferred"
        message = f"does not give each of {base.ndim} axes a place, the same at all mags"
        problems.append(problem("WK009", f"{layer.loc}.mags", f"'axisOrder' {message}", "state it at every mag"))
    if names is None:
        own = tuple(name or "" for name in base.dimension_names or ())
        names = own if set(own) >= set(_SPACE) and len(set(own)) == base.ndim else tuple(f"c{_SPACE}"[-base.ndim :])
        names = names[::-1] if layer.format == "n5" and names != own else names
    if len(names) != base.ndim:
        message = f"the arrays have {base.ndim} axes, which nothing names"
        return None, [problem("WK009", f"{layer.loc}.mags", message, "state 'axisOrder' at every mag")]
    return tuple(Axis(name, kind_of(name), unit if name in _SPACE else None, how) for name in names), problems


def _order(layer: Layer, mag: Mag, base: ArrayInfo) -> tuple[str, ...] | None:
    """Returns the axes of a mag by their places; those of N5 count in its own order, the fastest first."""
    stated = mag.entry.get("axisOrder")
    if not isinstance(stated, Mapping):
        return None
    further = layer.entry.get("additionalAxes")
    extra = [axis for axis in further if isinstance(axis, Mapping)] if isinstance(further, (list, tuple)) else []
    places = [(index, name) for name, index in (*stated.items(), *((axis.get("name"), axis.get("index")) for axis in extra))]
    usable = sorted((index, name) for index, name in places if isinstance(index, int) and not isinstance(index, bool) and isinstance(name, str))
    if [index for index, _ in usable] != list(range(base.ndim)) or len(usable) != len(places) or len({name for _, name in usable}) != len(usable):
        return None
    names = tuple(name for _, name in usable)
    return names[::-1] if layer.format == "n5" else names


def _level(mag: Mag, info: ArrayInfo | None, axes: Sequence[Axis], voxel: Voxel) -> Level:
    steps = {name: float(f * size) for name, f, size in zip(_SPACE, mag.factors, mipmaps.exact(voxel.size), strict=True)}
    scale = tuple(steps.get(axis.name, 1.0) for axis in axes)
    translation = tuple(geometry.centre_of(0.0, steps[axis.name]) if axis.name in steps else 0.0 for axis in axes)
    how: Provenance = "inferred" if not voxel.known else "stated" if set(mag.factors) == {1} else "derived"
    extra = {key: value for key, value in mag.entry.items() if key not in ("mag", "path", "axisOrder")}
    return Level(mag.name, scale, translation, how, "derived" if voxel.known else "inferred", info, extra=extra)


def _layer_problems(layer: Layer, axes: Sequence[Axis], stored: Sequence[tuple[Mag, ArrayInfo | None]]) -> Iterator[Problem]:
    entry = layer.entry
    if not (isinstance(entry.get("category"), str) and entry["category"] in _KINDS):
        yield problem("WK006", f"{layer.loc}.category", f"is {entry.get('category')!r}; expected {' or '.join(_KINDS)}", "say what the samples are")
    if layer.format == WKW:
        yield problem("WK011", f"{layer.loc}.dataFormat", "is wkw, which is described and not read", "convert the layer to zarr3 with the webknossos library")
    if entry.get("coordinateTransformations"):
        yield problem("WK010", f"{layer.loc}.coordinateTransformations", "are kept, and not applied", "apply them yourself")
    dtype, n_channels = _samples(entry)
    where = next((i for i, axis in enumerate(axes) if axis.name == "c"), None)
    base = next(info for _, info in stored if info is not None)
    held = 1 if where is None else base.shape[where]
    if base.dtype != dtype or held != n_channels:
        message = f"tells {n_channels} x {dtype}, and the arrays hold {held} x {base.dtype}"
        yield problem("WK007", f"{layer.loc}.elementClass", message, "correct the document")
    yield from _box_problems(layer, axes, stored)
    known = [(mag, info) for mag, info in stored if info is not None]
    for (_, finer), (mag, info) in pairwise(known):
        if any(n > m for n, m in zip(info.shape, finer.shape, strict=False)):
            message = f"the array has the shape {list(info.shape)}, the finer one {list(finer.shape)}"
            yield problem("WK012", f"{mag.loc}.path", message, "only the bounding box holds samples; write the mag in smaller shards")


def _box_problems(layer: Layer, axes: Sequence[Axis], stored: Sequence[tuple[Mag, ArrayInfo | None]]) -> Iterator[Problem]:
    end = _box_end(layer.entry)
    loc = f"{layer.loc}.boundingBox"
    if end is None:
        yield problem("WK008", loc, f"found {word(layer.entry.get('boundingBox'))}; expected 'topLeft', 'width', 'height', 'depth'", "state it")
        return
    ends = dict(zip(_SPACE, end, strict=True))
    for mag, info in stored:
        factors = dict(zip(_SPACE, mag.factors, strict=True))
        sizes = zip(axes, () if info is None else info.shape, strict=False)
        short = [axis.name for axis, n in sizes if axis.name in ends and n < -(-ends[axis.name] // factors[axis.name])]
        if short:
            yield problem("WK008", loc, f"ends at {list(end)}, beyond the array {mag.path!r} along {', '.join(short)}", "correct it, or write the mag again")


def _with_extra(multiscale: Multiscale, layer: Layer, about: Mapping[str, JSON]) -> Multiscale:
    """Returns a multiscale with what else the document says of its layer, and of the dataset."""
    own = {key: value for key, value in layer.entry.items() if key not in ("name", "category", "mags")}
    return replace(multiscale, extra={**own, **({"datasource": about} if about else {})})
