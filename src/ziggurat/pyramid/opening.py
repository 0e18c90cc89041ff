"""From a place to pyramids: what `ziggurat.open`, `open_collection`, `list_multiscales` and `check` do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ziggurat import layouts
from ziggurat.model import Multiscale
from ziggurat.problems import NotFound, OptionError, Problem, Report, UnsupportedError
from ziggurat.pyramid.levels import Pyramid
from ziggurat.pyramid.members import Collection, collection_at
from ziggurat.pyramid.places import Place, hierarchy_at, is_level, listing_of, lists, place_of, pyramid_at, read, unlisted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ziggurat.sources import Source


def open(  # noqa: A001 - `zg.open` is the public name
    url: object,
    *,
    multiscale: int | str | Callable[[Multiscale], bool] | None = None,
    chunks_like: Sequence[int] | None = None,
    layout: str | None = None,
    allow_links: bool = False,
) -> Pyramid:
    """Returns the multiscale at a place as a `Pyramid`; only metadata is read, and nothing is listed.

    Parameters
    ----------
    url
        A path, a URL (`s3://`, `gs://`, `https://`, ...), a Zarr store or group, or anything that behaves like a dict of keys to bytes.
        The place of a level's own array finds the multiscale that lists it, up to three groups above. Of a collection (a plate, images
        side by side) the only member, or the one that `multiscale` names.
    multiscale
        Which one, where a group holds several: its number from 0, its name, its type, or a function of a `Multiscale`; the name of a member
        of a collection (`"A/1/0"`, `"labels/nuclei"`). The first when not said; the first that lists it, where `url` is a level's own array.
    chunks_like
        Take the multiscale whose base has the chunks closest to these sizes, as for the same samples stored in slices and in cubes.
    layout
        Read it as this layout (`"ome-zarr@0.4"`) whatever else it may be.
    allow_links
        Follow link files, references and symbolic links that leave a local folder. What they name is always local.

    Raises
    ------
    NotFound
        When nothing is there, no multiscale is there, or level 0 has no array. Other missing levels are only told, in `problems`.
    DocumentError
        When a metadata document cannot be read as what it claims to be.
    OptionError
        When no multiscale is the one that was said; the message names those that exist. When a collection has several members and none was said.
    """
    place = place_of(url, allow_links=allow_links)
    try:
        hierarchy, listed = read(place, layout)
    except NotFound:
        collection = None if is_level(place) else collection_at(place, layout)
        if collection is None:
            raise
        return collection.only(chunks_like) if multiscale is None else collection.member(_name(multiscale), chunks_like=chunks_like)
    if listed and multiscale is None and chunks_like is None:
        multiscale = next(i for i, candidate in enumerate(hierarchy.multiscales) if lists(candidate, listed))
    try:
        return pyramid_at(hierarchy, multiscale, chunks_like=chunks_like)
    except OptionError:
        found = _beside(place, multiscale, layout)
        if found is None:
            raise
        return found.member(str(multiscale), chunks_like=chunks_like)


def _name(multiscale: int | str | Callable[[Multiscale], bool]) -> int | str:
    if isinstance(multiscale, (int, str)):
        return multiscale
    raise OptionError("multiscale: a function chooses among the multiscales of one group, and this is a collection; say the name of a member")


def _beside(place: Place, name: object, layout: str | None) -> Collection | None:
    """Returns the members that lie below a group which holds multiscales itself (the labels of an image), when one has this name."""
    found = collection_at(place, layout) if isinstance(name, str) and not is_level(place) else None
    return found if found is not None and name in found else None


def open_collection(url: object, *, layout: str | None = None, allow_links: bool = False) -> Collection:
    """Returns the multiscales that lie below a place by name: the fields of a plate, the images of a conversion, the labels of an image.

    A member is opened when it is asked for, and no sooner; a name that is too deep for the table (`"A/1/0/labels/nuclei"`) can be asked for too.
    `layout` and `allow_links` as for `open`.

    Raises
    ------
    NotFound
        When nothing is there, or nothing that names multiscales below itself.
    DocumentError
        When the collection's own document cannot be read. Members that cannot be read are told in `problems`, or raise when they are opened.
    """
    place = place_of(url, allow_links=allow_links)
    collection = collection_at(place, layout)
    if collection is None:
        raise NotFound(f"{place.node.location}: no collection: nothing there names multiscales below it; open one multiscale with ziggurat.open")
    return collection


def list_multiscales(url: object, *, layout: str | None = None, allow_links: bool = False) -> tuple[Multiscale, ...]:
    """Returns the metadata of every multiscale of a group, in the order of its document.

    `layout` and `allow_links` as for `open`. Raises NotFound where there is none, DocumentError where a document cannot be read.
    """
    return read(place_of(url, allow_links=allow_links), layout)[0].multiscales


def check(
    source: object,
    *,
    deep: bool = False,
    strict: bool = False,
    layout: str | None = None,
    allow_links: bool = False,
    weights: object = None,
    mask: object = None,
) -> Report:
    """Returns what every rule of the format says about the documents at a place; without `deep` no sample is read.

    Parameters
    ----------
    source
        As for `open`; the place of a level's own array is judged by the group that lists it, a collection with all its members.
    deep
        Also read sampled blocks of every level. Levels of our own method are made again from what the metadata says, and the first
        sample that differs is a broken MUST. For those of other makers it is told which reduction gives the samples, and a place
        other than the metadata's is advice. Some dozens of small regions are read per level.
    strict
        Hold SHOULD as high as MUST: `report.ok` is then True only when neither is broken.
    layout
        Apply the rules of this layout, whatever else the place may be.
    allow_links
        As for `open`; with `deep`, weights and masks whose place the metadata states are read there.
    weights, mask
        With `deep`: the array, or its path, that `build` was given as `weights=` or as the mask `nodata=`, where the metadata describes one.

    Raises NotFound when nothing is there, OptionError when there is no array at `weights` or `mask`. Broken documents are problems of the report.
    """
    from ziggurat import validation

    place = place_of(source, allow_links=allow_links)
    if is_level(place):
        listing = listing_of(place, None)
        if listing is None:
            raise unlisted(place)
        place = listing[0]
    found = validation.check_node(place.node, layout=layout)
    archive = getattr(place.target, "archive", None)
    if isinstance(archive, validation.Archive) and found.layouts[0].startswith("ome-zarr@") and place.node.container == "zarr3":
        found = dataclasses.replace(found, problems=(*validation.check_archive(archive), *found.problems))
    samples = tuple(_deep(place, layout, (weights, mask), allow_links=allow_links)) if deep else ()
    return dataclasses.replace(found, strict=strict, problems=(*found.problems, *samples))


def _deep(place: Place, layout: str | None, given: tuple[object, object], *, allow_links: bool) -> Iterator[Problem]:
    """Yields what the samples of every multiscale say of its metadata."""
    from ziggurat import provenance

    try:
        hierarchy = hierarchy_at(place, layouts.read(place.node, layout))
    except NotFound:  # a collection has no levels of its own
        return
    pyramids = [Pyramid(hierarchy, position) for position in range(len(hierarchy.multiscales))]
    for position, (multiscale, pyramid) in enumerate(zip(hierarchy.multiscales, pyramids, strict=True)):
        if len(pyramid) != len(multiscale.levels):  # a missing level is a broken rule already
            continue
        covered = None
        whose = multiscale.method or {}
        if whose.get("method") == "ziggurat.coverage" and isinstance(whose.get("kwargs"), Mapping):
            named = [i for i, other in enumerate(hierarchy.multiscales) if other.name == whose["kwargs"].get("of")]  # type: ignore[union-attr]
            covered = (hierarchy.multiscales[named[0]], pyramids[named[0]].arrays) if len(named) == 1 else None
        described = covered[0] if covered is not None else multiscale
        beside = provenance.Given(*(_given_again(described, key, said, allow_links=allow_links) for key, said in zip(_BESIDE, given, strict=True)))
        yield from provenance.judge(multiscale, pyramid.arrays, f"multiscales[{position}]", given=beside, covered=covered)


_BESIDE = ("weights", "nodata_mask")
"""Keys of `metadata.kwargs` that may describe an array."""


def _given_again(multiscale: Multiscale, key: str, said: object, *, allow_links: bool) -> _Numbers | None:
    """Returns the array that is described, where it was said again or where the metadata says and links are allowed; else None."""
    kwargs = (multiscale.method or {}).get("kwargs")
    facts = kwargs.get(key) if isinstance(kwargs, Mapping) else None
    path = facts.get("path") if isinstance(facts, Mapping) else None
    if said is not None:
        return _numbers(key, said)
    if not allow_links or not isinstance(path, str):
        return None
    try:
        return _numbers(key, path)
    except OptionError:  # moved since: the report says what is lacking
        return None


class _Numbers:
    """An array beside a base, read region by region."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def shape(self) -> tuple[int, ...]:
        return self._source.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._source.dtype

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[np.generic]:
        from ziggurat.chunkio import read_region

        return read_region(self._source, index)


def _numbers(key: str, said: object) -> _Numbers:
    from ziggurat.sources import open_source

    try:
        return _Numbers(open_source(said))
    except (NotFound, UnsupportedError) as error:
        what = "mask" if key == "nodata_mask" else key
        raise OptionError(f"{what}: expected an array, or the path of one ({error})") from error
