"""Collections: many multiscales below one place, by name; each is opened when it is asked for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ziggurat import layouts
from ziggurat.layouts import Member
from ziggurat.layouts.rules import problem
from ziggurat.problems import DocumentError, NoMember, NotFound, OptionError, Problem, shown
from ziggurat.pyramid.levels import Pyramid
from ziggurat.pyramid.places import Place, pyramid_at, read

MAX_NESTED = 4
"""Plate, well, image, labels is the deepest that any format has."""
N_NAMED = 5
"""Names that an error gives as examples."""


class Collection(Mapping[str, Pyramid]):
    """The multiscales that lie below one place, by name, unopened: `collection["A/1/0"]` opens one.

    Iterating gives the names, in the order of the documents; what a collection holds of further collections (the wells of a plate)
    is read while iterating, and kept.
    """

    def __init__(self, place: Place, layout: str | None, layout_ids: tuple[str, ...], found: tuple[tuple[Member, ...], tuple[Problem, ...]]) -> None:
        self._place = place
        self._layout = layout
        self._direct = {member.name: member for member in found[0]}
        self._problems = found[1]
        self._below: dict[str, Collection | Problem] = {}
        self.layouts = layout_ids
        """Ids of the layouts that the place satisfies, strongest evidence first."""

    @property
    def location(self) -> str:
        """Path or URL of the group that names the members."""
        return self._place.node.location

    @property
    def direct(self) -> tuple[Member, ...]:
        """What the place's own documents name: multiscales, and further collections (the wells of a plate) that are not yet read."""
        return tuple(self._direct.values())

    @property
    def members(self) -> tuple[Member, ...]:
        """Every multiscale, with what the documents say of it; reads all further collections."""
        return tuple(self.walk())

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What reading the names met, in further collections too; members are not opened. `ziggurat.check` judges all."""
        found = list(self._problems)
        for name, member in self._direct.items():
            if member.holds == "members":
                below = self._nested(name)
                inner = (below,) if isinstance(below, Problem) else below.problems
                found += [replace(problem, loc=f"{name}/{problem.loc}".rstrip("/")) for problem in inner]
        return tuple(found)

    def walk(self) -> Iterator[Member]:
        """Yields every multiscale in order; a further collection is read when its turn comes."""
        for name, member in self._direct.items():
            if member.holds == "levels":
                yield member
                continue
            below = self._nested(name)
            if isinstance(below, Collection):
                for inner in below.walk():
                    yield replace(inner, name=f"{name}/{inner.name}", path=f"{member.path}/{inner.path}", about={**member.about, **inner.about})

    def member(self, name: str | int, *, chunks_like: Sequence[int] | None = None) -> Pyramid:
        """Opens one member, by name or by its number in order. Raises NoMember when there is none, and what `ziggurat.open` raises."""
        return pyramid_at(read(place_of_member(self, name), self._layout)[0], chunks_like=chunks_like)

    def only(self, chunks_like: Sequence[int] | None = None) -> Pyramid:
        """Opens the single member. Raises OptionError where there are several, in one sentence that says how to choose; NotFound where there is none."""
        first = tuple(itertools.islice(self.walk(), 2))
        if not first:
            why = next((f"{problem.loc}: {problem.message}" for problem in self.problems), "it names none")
            raise NotFound(f"{self.location}: a collection without members that can be read ({why})")
        if len(first) > 1:
            raise OptionError(f"{self.location}: {self.summary()}; say which one, such as multiscale={first[0].name!r}, or take ziggurat.open_collection")
        return self.member(first[0].name, chunks_like=chunks_like)

    def summary(self) -> str:
        """Returns how many members there are and what the first are called, in a few words; what is not yet read of them is not counted."""
        kinds = dict.fromkeys(member.kind for member in self._direct.values())
        counts = [(kind, sum(member.kind == kind for member in self._direct.values())) for kind in kinds]
        told = ", ".join(f"{count:,} {shown(noun(kind, count))}" for kind, count in counts) or "no members"
        names = list(itertools.islice((member.name for member in self.walk()), N_NAMED + 1))
        return f"a collection of {told}" + (f" ({', '.join(map(shown, names[:N_NAMED]))}{', ...' if len(names) > N_NAMED else ''})" if names else "")

    def __getitem__(self, name: str) -> Pyramid:
        return self.member(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def __iter__(self) -> Iterator[str]:
        return (member.name for member in self.walk())

    def __len__(self) -> int:
        return sum(1 for _ in self.walk())

    def __repr__(self) -> str:
        from ziggurat.pyramid.tables import describe_members

        return describe_members(self)

    def _find(self, name: str) -> Place | None:
        """Returns the place of a member; of a longer name the member's own members are asked, so that only what is needed is read."""
        member = self._direct.get(name)
        if member is not None and member.holds == "levels":
            return self._place.child(member.path)
        heads = [head for head in self._direct if name.startswith(f"{head}/")]
        for head in sorted(heads, key=len, reverse=True):
            below = self._nested(head)
            found = below._find(name[len(head) + 1 :]) if isinstance(below, Collection) else None
            if found is not None:
                return found
        return None

    def _nested(self, name: str) -> Collection | Problem:
        """Returns the collection that a member is, read once; a problem where there is none."""
        if name not in self._below:
            member = self._direct[name]
            try:
                place = self._place.child(member.path)
                found = collection_at(place, self._layout)
                missing = "no group there" if place.node.kind == "absent" else "names no multiscales"
            except DocumentError as error:
                found, missing = None, f"cannot be read: {error}"
            self._below[name] = (
                problem("COL001", "", f"{missing}, though the collection lists it", "restore it, or take it off the list") if found is None else found
            )
        return self._below[name]


def place_of_member(collection: Collection, name: str | int) -> Place:
    """Returns where a member lies, by name or by its number in order. Raises NoMember when there is none."""
    if isinstance(name, int):
        names = tuple(collection)
        if not -len(names) <= name < len(names):
            raise NoMember(f"multiscale: number {name} does not exist; {collection.summary()}")
        name = names[name]
    found = collection._find(name)
    if found is None:
        raise NoMember(f"multiscale: {collection.location} has no member {name!r}; {collection.summary()}")
    return found


def collection_at(place: Place, layout: str | None) -> Collection | None:
    """Returns the collection at a place, None where nothing names multiscales below it. Raises DocumentError."""
    chosen = layouts.LAYOUTS if layout is None else (layouts.find(layout),)
    evidence = layouts.detect(place.node, chosen)
    found = layouts.members(place.node, chosen)
    declared = [e for e in evidence if e.holds == "members"]
    if not found[0] and not declared:
        return None
    return Collection(place, layout, tuple(e.layout for e in declared or evidence), found)


def noun(kind: str, count: int) -> str:
    """Returns the plural of a kind of member.

    >>> noun("well", 3), noun("labels", 2), noun("field", 1)
    ('wells', 'labels', 'field')
    """
    return kind if count == 1 or kind.endswith("s") else f"{kind}s"
