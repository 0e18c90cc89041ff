"""`convert`: a multiscale in any layout becomes one in any layout that is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ziggurat import layouts, transfer
from ziggurat.conversion.across import Wish
from ziggurat.conversion.collected import collected_plan
from ziggurat.model import Multiscale
from ziggurat.node import Container
from ziggurat.problems import NotFound, OptionError
from ziggurat.pyramid.members import collection_at, place_of_member
from ziggurat.pyramid.places import Place, place_of
from ziggurat.transfer import ConversionResult


def convert(
    source: object,
    target: object = None,
    *,
    layout: str,
    multiscale: int | str | Callable[[Multiscale], bool] | None = None,
    transpose: str | Sequence[str] | None = None,
    container: Container | None = None,
    link: bool = False,
    strict: bool = False,
    dry_run: bool = False,
    threads: int | None = None,
    allow_links: bool = False,
) -> ConversionResult:
    """Writes the multiscale at a place, or a whole collection, in another layout: into a new store, or as documents over the same arrays.

    Samples move as encoded chunks wherever the target can read them as they are, and are decoded only where it cannot: into another
    container (N5 and Zarr), axes in another order. Unknown keys and foreign attributes come along; what the target has no place for
    is in `lost` of the result. Levels, scale, translation and axes are the same afterwards.

    An OME image keeps its labels, a plate, a well and images side by side all of their members, where the target is OME-Zarr, too. Into a
    layout that has no collections, every member becomes a multiscale at its own path; an image leaves its labels behind, and says so.
    A collection of another layout (spatialdata, N5) becomes images side by side where the target knows them.

    Parameters
    ----------
    source
        As for `open`.
    target
        A path, a URL or a store where nothing is yet. A new local store appears whole or not at all, and the same call goes on with
        what an interrupted one left. None, or the source itself: only documents change, and the same arrays serve.
    layout
        Id of the layout, such as `"ome-zarr@0.5"`, `"cosem"` or `"geozarr"`; the newest version when it names none.
    multiscale
        Which one, where a group holds several, or the name of a member of a collection, as for `open`; all of them when not said.
    transpose
        Names of the axes in the order to store them in, such as `"cyx"`.
    container
        `"zarr2"`, `"zarr3"` or `"n5"`, where the layout may live in several; the source's when it may, else the usual one.
    link
        Leave level 0 where it is, and name it in a file; for layouts that know links.
    strict
        Refuse when the target cannot hold all that the source says.
    dry_run
        Return what would happen, and write nothing.
    threads
        That move samples; as many as there are cores, four at most, when not said.
    allow_links
        Follow links of the source that leave its folder, as for `open`.

    Raises
    ------
    NotFound
        No multiscale is there, or its base has no array.
    LayoutError
        The layout is unknown or only read, cannot hold the axes, cannot be had in place, or (`strict`) cannot hold all.
    OptionError
        Options contradict one another; the target lies inside the source.
    TargetExists
        Something lies at the target.
    UnsupportedError
        The samples have no type in the target's container; the source is not local and no target is said.
    DocumentError, StorageError
        A document cannot be read; reading or writing failed.

    Source: formats.md 14, 15; reliability.md R1 to R6, R14.
    """
    if link and isinstance(source, (str, os.PathLike)) and "://" not in str(source):
        source = Path(source).resolve()  # what a link names must not hang on the folder that the caller is in
    place = place_of(source, allow_links=allow_links)
    in_place = target is None or _same(place, target)
    axes = axis_names(transpose)
    if in_place and axes is not None:
        raise OptionError("transpose: the samples are written anew, so it needs a target")
    if in_place and link:
        raise OptionError("link: level 0 stays where it is anyway when only documents change; say a target, or leave link out")
    whole = place
    place, found = _chosen(whole, multiscale)
    if in_place and place is not whole:
        raise OptionError(f"multiscale {multiscale!r}: a member is converted into a store of its own; say a target, or name its group as the source")
    plan = collected_plan(place.node, found, Wish(layout, axes, link, in_place, container))
    return transfer.convert(place, plan, target, strict=strict, dry_run=dry_run, threads=threads)


def _chosen(place: Place, which: int | str | Callable[[Multiscale], bool] | None) -> tuple[Place, layouts.ReadResult | None]:
    """Returns the place of what is to be converted, and what it holds itself: None for a collection. Raises NotFound, OptionError."""
    try:
        found = layouts.read(place.node)
    except NotFound:
        collection = None if place.node.kind == "array" else collection_at(place, None)
        if collection is None:
            raise
        if which is None:
            return place, None
        if callable(which):
            raise OptionError("multiscale: a function chooses among the multiscales of one group, and this is a collection; say the name of a member") from None
        member = place_of_member(collection, which)
        return member, layouts.read(member.node)
    if which is None:
        return place, found
    try:
        return place, replace(found, multiscales=(layouts.choose(found.multiscales, which),))
    except OptionError:
        collection = collection_at(place, None) if isinstance(which, str) else None
        if collection is None or which not in collection:
            raise
        member = place_of_member(collection, str(which))
        return member, layouts.read(member.node)


def _same(place: Place, target: object) -> bool:
    """True when a target is the source itself."""
    if isinstance(target, (str, os.PathLike)) and isinstance(place.target, (str, os.PathLike)) and "://" not in str(target):
        return not place.prefix and os.path.realpath(os.fspath(target)) == os.path.realpath(os.fspath(place.target))
    return target is place.target


def axis_names(said: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Returns the names of axes: one letter each, or separated by commas.

    >>> axis_names("cyx"), axis_names("lat,lon")
    (('c', 'y', 'x'), ('lat', 'lon'))
    """
    if said is None or not isinstance(said, str):
        return None if said is None else tuple(said)
    return tuple(name.strip() for name in (said.split(",") if "," in said else said))
