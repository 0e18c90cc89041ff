"""XML that came from elsewhere, read without document types and entities, within bounds. Source: reliability.md S5."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from ziggurat.problems import DocumentError, LimitError

MAX_BYTES = 32 * 2**20
"""32 MiB: a registration of 10,000 views is about 10 MiB."""
MAX_DEPTH = 64
MAX_ELEMENTS = 500_000


@dataclass(slots=True)
class Element:
    """One element: its local name, attributes by local name, its own text, what is in it."""

    name: str
    attributes: Mapping[str, str]
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, *path: str) -> Iterator[Element]:
        """Yields the elements at a path of names below this one."""
        here = [self]
        for name in path:
            here = [child for element in here for child in element.children if child.name == name]
        yield from here

    def first(self, *path: str) -> Element | None:
        """Returns the first element at a path of names."""
        return next(self.all(*path), None)

    def word(self, *path: str) -> str | None:
        """Returns the text of the first element at a path, stripped; None where there is none."""
        found = self.first(*path)
        return None if found is None else found.text.strip()


def parse(data: bytes, location: str) -> Element:
    """Returns the root of an XML document.

    Raises
    ------
    LimitError
        Larger, deeper or of more elements than any honest one.
    DocumentError
        No XML, or one that declares a document type or entities.
    """
    if len(data) > MAX_BYTES:
        raise LimitError(f"{location}: {len(data):,} bytes, and no more than {MAX_BYTES:,} are read")
    top = Element("", {})
    open_elements = [top]
    n_elements = 0

    def start(tag: str, attributes: Mapping[str, str]) -> None:
        nonlocal n_elements
        n_elements += 1
        if len(open_elements) > MAX_DEPTH or n_elements > MAX_ELEMENTS:
            raise LimitError(f"{location}: more than {MAX_ELEMENTS:,} elements, or nested deeper than {MAX_DEPTH}")
        element = Element(tag.rpartition(" ")[2], {name.rpartition(" ")[2]: value for name, value in attributes.items()})
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(_: str) -> None:
        element = open_elements.pop()
        element.text = "".join(pieces.pop(id(element), ()))

    def text(piece: str) -> None:
        pieces.setdefault(id(open_elements[-1]), []).append(piece)

    def refuse(*_: object) -> None:
        raise DocumentError(f"{location}: declares a document type or entities; delete the declaration")

    pieces: dict[int, list[str]] = {}
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise DocumentError(f"{location}: no XML ({error}); write it again") from None
    except (ValueError, LookupError) as error:
        if isinstance(error, DocumentError):
            raise
        raise DocumentError(f"{location}: an encoding that is not known ({error}); write it in UTF-8") from None
    return top.children[0]
