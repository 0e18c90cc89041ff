"""Reads the corpus: one JSON file is one tiny store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ziggurat.model import JSON
from ziggurat.node import Container, DictNode, FactsNode, FileNode

CORPUS = Path(__file__).parent.parent / "corpus"


@dataclass(frozen=True)
class Fixture:
    layout: str
    kind: str
    name: str
    rules: tuple[str, ...]
    raises: str | None
    documents: Mapping[str, Mapping[str, JSON] | bytes]
    members: tuple[str, ...] | None
    """Names of the multiscales of a collection, in order; None where the node holds multiscales itself."""
    values: Mapping[str, Sequence[float | str]] = field(default_factory=dict)
    """What one-dimensional arrays hold, by path."""
    facts: Mapping[str, JSON] | None = None
    """What was read of a single file, where the fixture is one and no store."""

    @property
    def id(self) -> str:
        return f"{self.layout}/{self.kind}/{self.name}"

    def node(self) -> DictNode | FactsNode:
        if self.facts is not None:
            return FactsNode(self.id, self.facts)
        return DictNode(self.documents, location=self.id, values=self.values)

    def folder(self, folder: Path) -> FileNode:
        """The node of the store on disk; small arrays hold what the fixture says."""

        def decode(path: str, document: Mapping[str, JSON], container: Container) -> Sequence[float | str]:
            return self.values[path]

        return FileNode(self.write(folder), decode=lambda place: decode)

    def write(self, folder: Path) -> Path:
        """Writes the store to disk as the files that it would be."""
        for key, document in self.documents.items():
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
        return folder


def load(path: Path) -> Fixture:
    body = json.loads(path.read_text(encoding="utf-8"))
    documents = {key: value.encode() if isinstance(value, str) else value for key, value in body.get("documents", {}).items()}
    layout, kind = path.parts[-3:-1]
    members = tuple(body["members"]) if "members" in body else None
    return Fixture(layout, kind, path.stem, tuple(body["rules"]), body.get("raises"), documents, members, body.get("values", {}), body.get("facts"))


FIXTURES = tuple(load(path) for path in sorted(CORPUS.glob("*/*/*.json")))
READABLE = tuple(fixture for fixture in FIXTURES if fixture.raises is None and fixture.members is None and fixture.facts is None)
COLLECTIONS = tuple(fixture for fixture in FIXTURES if fixture.members is not None)
GOOD = tuple(fixture for fixture in FIXTURES if fixture.kind == "good" and fixture.members is None and fixture.facts is None)
BENDABLE = tuple(fixture for fixture in FIXTURES if fixture.raises is None and fixture.facts is None)
"""Those whose documents can be read at all: what hostile ones are made of. Facts of a file are our own words."""
