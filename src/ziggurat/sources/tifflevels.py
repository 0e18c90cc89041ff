"""TIFF files as pyramids: every image with the reduced levels that the file holds of it, or a side file `.ovr`.

Overviews of GeoTIFF, SubIFDs of OME-TIFF, levels of whole-slide scanners: tifffile knows which pages belong together. Here they become plain facts of a
node, which `layouts.tiff` reads, and arrays that are opened one by one. Source: formats.md 9.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ziggurat.chunkio import AnyArray
from ziggurat.model import JSON, Axis, SourceInfo
from ziggurat.node import FactsNode
from ziggurat.problems import DocumentError, LimitError, UnsupportedError
from ziggurat.sources.blocks import BlockSource, Region
from ziggurat.sources.tiffguard import check_chain
from ziggurat.sources.tiffmeta import axes_of, geo_facts
from ziggurat.sources.tiffs import Image, blocks_of, checked_series, image_of, open_tiff, parsed

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

MAX_IMAGES = 1000
"""A file with more is a stack of unlike pages."""
MAX_LEVELS = 64
"""The 64th halving of any size is one sample."""
SIDE = ".ovr"
"""What GDAL appends to the name of a file for its external overviews."""


def tiff_node(path: Path) -> FactsNode:
    """Returns a file as a node whose attributes hold its images under `tiff`; only directories are read.

    Raises DocumentError for a broken file, LimitError for sizes that no honest file has.
    """
    check_chain(path)
    with parsed(path) as (tif, said):
        images = _images(tif, path)
        said = list(said)
    side = path.with_name(path.name + SIDE)
    if len(images) >= 1 and side.is_file():
        images[0] = _with_side(images[0], side)
    return FactsNode(str(path), {"tiff": {"images": [*images], "said": [*said]}})


def _images(tif: TiffFile, path: Path) -> list[dict[str, JSON]]:
    """Returns the facts of every image; masks are noted with the image that they belong to, and are none."""
    every = checked_series(tif, path)
    masks = [(number, series) for number, series in enumerate(every) if series.keyframe.is_mask]
    images = []
    for number, series in enumerate(every[:MAX_IMAGES]):
        if not series.keyframe.is_mask:
            images.append(_image(tif, series, number, path))
    if images and masks:
        number, series = masks[0]
        images[0]["masks"] = [{"path": f"{number}/{k}", "shape": list(map(int, level.shape))} for k, level in enumerate(series.levels[:MAX_LEVELS])]
    return images


def _image(tif: TiffFile, series: TiffPageSeries, number: int, path: Path) -> dict[str, JSON]:
    levels: list[JSON] = []
    first: SourceInfo | None = None
    for k in range(min(len(series.levels), MAX_LEVELS)):
        try:
            image = image_of(tif, path, number, k)
            first = first or image.info
            levels.append(_level(image, path, number, k))
        except (DocumentError, LimitError, UnsupportedError) as error:
            if number == 0 and k == 0:
                raise
            levels.append({"error": str(error).removeprefix(f"{path}: ")})
    facts: dict[str, JSON] = {"name": series.name or None, "kind": series.kind, "levels": levels}
    if first is not None:
        facts |= {
            "axes": None if first.axes is None else [_axis(axis) for axis in first.axes],
            "scale": None if first.scale is None else list(first.scale),
            "translation": None if first.translation is None else list(first.translation),
        }
    if series.keyframe.is_geotiff:
        facts["geo"] = geo_facts(series.keyframe)
    nodata = series.keyframe.tags.valueof(42113)  # GDAL_NODATA
    if isinstance(nodata, str):
        facts["nodata"] = nodata.strip("\0 \n")
    return facts


def _axis(axis: Axis) -> Mapping[str, JSON]:
    return {"name": axis.name, "kind": axis.kind, "unit": axis.unit, "provenance": axis.provenance}


def _level(image: Image, path: Path, number: int, k: int) -> dict[str, JSON]:
    info = blocks_of(image, path).array
    names = image.info.axes
    return {
        "path": f"{number}/{k}",
        "shape": list(info.shape),
        "chunks": list(info.chunks),
        "dtype": info.dtype,
        "itemsize": info.itemsize,
        "codecs": info.codecs,
        "axes": None if names is None else [axis.name for axis in names],
        "document": {"file": str(path), "image": number, "level": k},
    }


def _with_side(image: dict[str, JSON], side: Path) -> dict[str, JSON]:
    """Returns an image with the overviews of its side file behind its own levels; what is wrong with that file is a fact of a level."""
    own = image["levels"]
    levels = list(own) if isinstance(own, list) else []
    try:
        check_chain(side)
        with parsed(side) as (tif, _):
            every = checked_series(tif, side)
            found = [(n, series) for n, series in enumerate(every) if not series.keyframe.is_mask]
            for number, series in found[:1]:
                for k in range(min(len(series.levels), MAX_LEVELS)):
                    level = _level(image_of(tif, side, number, k), side, number, k)
                    levels.append({**level, "path": f"ovr/{k}", "axes": [axis.name for axis in axes_of(series.axes)[0] or ()] or None})
    except (DocumentError, LimitError, UnsupportedError) as error:
        levels.append({"error": str(error)})
    return {**image, "levels": levels}


# --- opening a level ----------------------------------------------------------------------------------------------------------


def open_level(document: Mapping[str, JSON]) -> BlockSource:
    """Returns the array of one level from what `tiff_node` said of it; `order` turns its axes into those of the image.

    Raises as `sources.tiffs.open_tiff` does.
    """
    file, image, level, order = (document.get(key) for key in ("file", "image", "level", "order"))
    if not isinstance(file, str) or not isinstance(image, int) or not isinstance(level, int):
        raise DocumentError(f"{file!r}: a level of a TIFF file is named by file, image and level; found {dict(document)!r}")
    source = open_tiff(Path(file), index=image, level=level)
    turned = tuple(axis for axis in order if isinstance(axis, int)) if isinstance(order, (list, tuple)) else tuple(range(len(source.shape)))
    return source if turned == tuple(range(len(source.shape))) else TurnedSource(source, turned)


class TurnedSource(BlockSource):
    """A source with its axes in another order: axis `i` is axis `order[i]` of what is turned."""

    def __init__(self, source: BlockSource, order: tuple[int, ...]) -> None:
        array = source.info.array
        shape, chunks = (tuple(sizes[axis] for axis in order) for sizes in (array.shape, array.chunks))
        super().__init__(replace(source.info, array=replace(array, shape=shape, chunks=chunks), axes=None))
        self._source, self._order = source, order

    def fill(self, region: Region, out: AnyArray) -> bool:
        back = tuple(self._order.index(axis) for axis in range(len(self._order)))
        return self._source.fill(tuple(region[i] for i in back), out.transpose(back))

    def close(self) -> None:
        self._source.close()

    def __reduce__(self) -> tuple[Callable[[BlockSource, tuple[int, ...]], TurnedSource], tuple[BlockSource, tuple[int, ...]]]:
        return TurnedSource, (self._source, self._order)
