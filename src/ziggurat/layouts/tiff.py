"""TIFF files as pyramids: overviews of GeoTIFF and COG, SubIFDs of OME-TIFF, levels of whole-slide scanners. Read only.

Only the full resolution says where it lies. Reduced levels cover the same ground: their corners coincide with its corners, and their step is its step times the
true ratio of the sizes, which need not be whole. Source: formats.md 0.3 (row 4), 9.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType

from ziggurat import geometry
from ziggurat.layouts import grids
from ziggurat.layouts import series as listed
from ziggurat.layouts.ports import Documents, Evidence, Facts
from ziggurat.layouts.rules import problem
from ziggurat.model import JSON, ArrayInfo, Axis, Level, Multiscale, Provenance
from ziggurat.node import Node
from ziggurat.problems import LayoutError, Problem

NAME = "tiff"
VERSION = "6.0"
_WORDS: Mapping[str, str] = MappingProxyType({"ome": "OME-TIFF", "svs": "SVS", "ndpi": "NDPI", "scn": "SCN", "bif": "BIF", "imagej": "ImageJ"})

FACTS = Facts(
    title="TIFF: GeoTIFF and COG overviews, OME-TIFF sub-resolutions, whole-slide levels",
    marks="the first bytes of TIFF or BigTIFF; reduced pages by their NewSubfileType, SubIFDs, or the descriptions of scanners; a side file `.ovr`",
    geometry="the full resolution by its GeoTIFF tags (PixelIsArea: the corner, PixelIsPoint: the centre of the first sample), OME-XML or resolution tags; "
    "levels share its corners, at the true ratio of the sizes",
    axes="OME-XML, ImageJ, the order of samples in a page; bands of separate planes first",
    keeps="`proj:code` and the nodata text; masks are paired with levels by size and are no levels",
    source="TIFF 6.0; OGC GeoTIFF 1.1; OME-TIFF 6.0 sub-resolutions; GDAL GTiff and COG drivers",
    software=("tifffile", "GDAL (rasterio)", "Bio-Formats"),
)


@dataclass(frozen=True, slots=True)
class TiffLayout:
    """`tiff@6.0`."""

    name: str = NAME
    versions: tuple[str, ...] = (VERSION,)
    facts: Facts = FACTS

    def detect(self, node: Node) -> Evidence | None:
        if "tiff" not in node.attributes or node.kind != "file":
            return None
        first = next(iter(_images(node)), {})
        what = "GeoTIFF" if "geo" in first else _WORDS.get(str(first.get("kind")), "TIFF")
        n_levels = len(list(listed.parts(first.get("levels"))))
        return Evidence(f"{NAME}@{VERSION}", "declared", f"a {what} file of {n_levels} level{'s' if n_levels != 1 else ''}")

    def read(self, node: Node) -> tuple[tuple[Multiscale, ...], tuple[Problem, ...]]:
        multiscales: list[Multiscale] = []
        problems: list[Problem] = []
        images = list(_images(node))
        for number, image in enumerate(images):
            multiscale, wrong = _read(image, f"images[{number}]")
            problems += wrong
            if multiscale is not None:
                taken = {other.name for other in multiscales}
                name = multiscale.name if multiscale.name not in (*taken, None) else f"image {number}" if len(images) > 1 else multiscale.name
                multiscales.append(replace(multiscale, name=name))
        return tuple(multiscales), tuple(problems)

    def can_hold(self, axes: Sequence[Axis], *, version: str = VERSION) -> str | None:
        return f"{NAME} is only read; take ome-zarr or geozarr"

    def write(
        self, multiscales: Sequence[Multiscale], *, version: str = VERSION, existing: Mapping[str, JSON], display: Mapping[str, JSON] | None = None
    ) -> Documents:
        raise LayoutError(f"{NAME}@{version} is only read; take ome-zarr or geozarr")


LAYOUT = TiffLayout()


def _images(node: Node) -> list[Mapping[str, JSON]]:
    held = node.attributes.get("tiff")
    return list(listed.parts(held.get("images") if isinstance(held, Mapping) else None))


def _read(image: Mapping[str, JSON], loc: str) -> tuple[Multiscale | None, list[Problem]]:
    found: list[tuple[str, ArrayInfo]] = []
    problems: list[Problem] = []
    names = _names(image.get("axes"))
    nodata = _nodata(image.get("nodata"))
    for k, facts in enumerate(listed.parts(image.get("levels"))):
        if "error" in facts:
            problems.append(problem("TIF001", f"{loc}.levels[{k}]", str(facts["error"]), "write the file again, or make its levels anew"))
            continue
        info, wrong = _array(facts, names, nodata, f"{loc}.levels[{k}]")
        problems += wrong
        if info is not None:
            found.append((str(facts.get("path")), info))
    if not found:
        return None, problems
    base = found[0][1]
    found, wrong = _alike(found, loc)
    problems += wrong
    axes, inferred = _axes(image.get("axes"), [info for _, info in found])
    problems += [problem("TIF004", loc, text) for text in inferred]
    ordered = sorted(found, key=lambda level: -math.prod(level[1].shape))
    if [path for path, _ in ordered] != [path for path, _ in found]:
        problems.append(problem("TIF002", f"{loc}.levels", "the reduced pages are not ordered from the largest to the smallest", "write them in that order"))
    pair = grids.horizontal(axes)
    spot = _geo_spot(image.get("geo"))
    axes = grids.with_unit(axes, pair, grids.crs_unit(_crs(image.get("geo"))))
    masks = _masks(image.get("masks"))
    scale, translation, how = _base_place(image, base, pair, spot, len(axes))
    levels = [_placed(path, info, (base, scale, translation, how), masks, pair) for path, info in ordered]
    paired = {level.extra["mask"] for level in levels if "mask" in level.extra}
    lonely = sorted(set(masks.values()) - paired)
    if lonely:
        problems.append(problem("TIF005", f"{loc}.masks", f"{len(lonely)} masks have the size of no level; they are left out"))
    return (
        Multiscale(
            levels=tuple(levels),
            axes=axes,
            name=listed.same_text(image.get("name")),
            layout=f"{NAME}@{VERSION}",
            world=None if pair is None or spot is None else grids.whole_world(spot.world, pair, len(axes)),
            extra={**_crs(image.get("geo")), **({"nodata": image["nodata"]} if "nodata" in image else {})},
        ),
        problems,
    )


def _array(facts: Mapping[str, JSON], names: tuple[str, ...] | None, nodata: JSON, loc: str) -> tuple[ArrayInfo | None, list[Problem]]:
    """Returns one level's array in the order of the image's axes: a side file may keep its bands in another one."""
    shape, chunks = _sizes(facts.get("shape")), _sizes(facts.get("chunks"))
    own = _names(facts.get("axes"))
    itemsize = facts.get("itemsize")
    document = facts.get("document")
    order = tuple(range(len(shape)))
    if names is not None and own is not None and own != names:
        if sorted(own) != sorted(names):
            return None, [problem("TIF003", loc, f"has the axes {', '.join(own)}; the image has {', '.join(names)}, so the level is left out")]
        order = tuple(own.index(name) for name in names)
    return (
        ArrayInfo(
            shape=tuple(shape[axis] for axis in order),
            dtype=str(facts.get("dtype")),
            chunks=tuple(chunks[axis] for axis in order),
            dimension_names=names,
            fill_value=nodata,
            itemsize=itemsize if isinstance(itemsize, int) else 0,
            codecs=str(facts.get("codecs") or "raw"),
            driver="tiff",
            document={**(document if isinstance(document, Mapping) else {}), "order": list(order)},
        ),
        [],
    )


def _sizes(value: JSON) -> tuple[int, ...]:
    return tuple(n for n in value if isinstance(n, int)) if isinstance(value, (list, tuple)) else ()


def _names(value: JSON) -> tuple[str, ...] | None:
    if not isinstance(value, (list, tuple)):
        return None
    return tuple(str(entry.get("name")) if isinstance(entry, Mapping) else str(entry) for entry in value)


def _nodata(value: JSON) -> JSON:
    """Returns the value that stands for no data as a fill value: a number, or the word that JSON has for what is none."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _alike(found: Sequence[tuple[str, ArrayInfo]], loc: str) -> tuple[list[tuple[str, ArrayInfo]], list[Problem]]:
    """Returns the levels that are reduced versions of the base: of its rank, and nowhere larger."""
    base = found[0][1]
    kept, problems = [], []
    for k, (path, info) in enumerate(found):
        if info.ndim != base.ndim or any(n > m for n, m in zip(info.shape, base.shape, strict=True)) or (k and info.shape == base.shape):
            message = f"{path!r} of shape {list(info.shape)} is no reduced version of {list(base.shape)}; it is left out"
            problems.append(problem("TIF003", f"{loc}.levels[{k}]", message))
        else:
            kept.append((path, info))
    return kept, problems


def _axes(value: JSON, arrays: Sequence[ArrayInfo]) -> tuple[tuple[Axis, ...], list[str]]:
    if not isinstance(value, (list, tuple)):
        axes, sentence = listed.named_axes(arrays)
        return axes, [sentence] if sentence else []
    axes = tuple(
        Axis(
            str(entry.get("name")),
            listed.same_text(entry.get("kind")),
            listed.same_text(entry.get("unit")),
            "inferred" if entry.get("provenance") == "inferred" else "stated",
        )
        for entry in listed.parts(value)
    )
    guessed = [axis.name for axis in axes if axis.provenance == "inferred"]
    return axes, [f"the file says nothing about its row of equal pages: taken as {', '.join(guessed)}"] if guessed else []


# --- places -------------------------------------------------------------------------------------------------------------------


def _crs(value: JSON) -> dict[str, JSON]:
    return grids.crs_of(value) if isinstance(value, Mapping) else {}


def _geo_spot(value: JSON) -> grids.Spot | None:
    if not isinstance(value, Mapping):
        return None
    return grids.spot_of(value.get("affine"), node_registered=value.get("registration") == "point")


def _base_place(
    image: Mapping[str, JSON], base: ArrayInfo, pair: tuple[int, int] | None, spot: grids.Spot | None, ndim: int
) -> tuple[tuple[float, ...], tuple[float, ...], Provenance]:
    """Returns scale and translation of the full resolution: by its GeoTIFF tags, else by what else the file says, else 1 and 0."""
    if spot is not None and pair is not None:
        level = grids.with_spot(Level("", array=base), spot, pair, ndim)
        return level.scale or (), level.translation or (), "stated"
    stated = grids.numbers_of(image.get("scale"))
    scale = stated if stated is not None and len(stated) == ndim else (1.0,) * ndim
    place = grids.numbers_of(image.get("translation"))
    return scale, place if place is not None and len(place) == ndim else (0.0,) * ndim, "stated" if stated is not None else "inferred"


def _placed(
    path: str,
    info: ArrayInfo,
    reference: tuple[ArrayInfo, tuple[float, ...], tuple[float, ...], Provenance],
    masks: Mapping[tuple[int, ...], str],
    pair: tuple[int, int] | None,
) -> Level:
    """Returns a level whose corners are those of the full resolution."""
    base, scale, translation, how = reference
    factors = [Fraction(a, b) if a and b else Fraction(1) for a, b in zip(base.shape, info.shape, strict=True)]
    same = info.shape == base.shape
    provenance: Provenance = how if same or how == "inferred" else "derived"
    mask = masks.get((info.shape[pair[0]], info.shape[pair[1]])) if pair is not None else None
    return Level(
        path,
        geometry.level_scale(scale, factors),
        geometry.level_translation(scale, translation, factors, "centre"),
        provenance,
        provenance,
        info,
        extra={} if mask is None else {"mask": mask},
    )


def _masks(value: JSON) -> dict[tuple[int, ...], str]:
    """Returns the masks by their size. Source: formats.md 9.1: paired by equal width and height, never counted as levels."""
    return {_sizes(entry.get("shape")): str(entry.get("path")) for entry in listed.parts(value)}
