"""Documents that came from elsewhere: strict JSON in and out, and the one resolver of paths. Source: formats.md 15.7, reliability.md S1, S5."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import NoReturn

from ziggurat.model import JSON
from ziggurat.problems import DocumentError, LimitError, OptionError, PathError

MAX_DOCUMENT_BYTES = 64 * 2**20
"""64 MiB: the consolidated document of a plate with 384 wells and 9 fields is about 20 MiB."""
MAX_DEPTH = 64
"""The deepest honest document, transformations nested in a consolidated block, is about 15 deep."""

MAX_NESTS, MAX_COMMAS, MAX_KEYS = 2**19, 3 * 2**19, 2**18
"""Lists and objects, entries of all of them, keys of one object: a plate with 384 wells and 9 fields of 6 levels has 400,000, 1.2 million and
50,000. Within these limits a document takes at most 400 MiB and 5 s; 60 MB of `[{},{},...` would take 1.7 GiB and 19 s."""

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|-?Infinity|NaN|-?\d[\d.]*[eE][+\d]\d+|[{}\[\],:]', re.DOTALL)
_NEITHER = bytes(set(range(256)) - set(b'"[]{}'))
_CURLY = "\u201c\u201d\u201e\u201f\u2018\u2019"


class _Refused(Exception):
    """Raised by the hooks of the parser, which do not know where they are."""


class _Large(Exception):
    """Raised by the hooks for what is too much to be looked for again."""


def loads(data: bytes | bytearray | memoryview, location: str) -> JSON:
    """Returns the value of a JSON document, read strictly: integers stay integers, floats keep their shortest spelling.

    Raises
    ------
    LimitError
        Larger than `MAX_DOCUMENT_BYTES`, of more than `MAX_NESTS` lists and objects or `MAX_COMMAS` entries, nested deeper than `MAX_DEPTH`,
        or a number without end.
    DocumentError
        No JSON: a byte order mark, another encoding than UTF-8, a comment, curly quotes, `NaN` or `Infinity`, a number beyond
        float64, a key that stands twice in one object; the message names line and column.

    Examples
    --------
    >>> loads(b'{"a": [1, 1.0, 0.1]}', "zarr.json")
    {'a': [1, 1.0, 0.1]}
    >>> loads(b'{"a": 1, // one\\n}', "zarr.json")
    Traceback (most recent call last):
    ziggurat.problems.DocumentError: zarr.json, line 1, column 10: a comment, and JSON has none; delete it
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise LimitError(f"{location}: {len(data):,} bytes, and no honest metadata document has more than {MAX_DOCUMENT_BYTES:,}")
    data = bytes(data)
    n_nests, n_commas = data.count(b"{") + data.count(b"["), data.count(b",")
    if n_nests > MAX_NESTS or n_commas > MAX_COMMAS:
        found, most = (f"{n_nests:,} lists and objects", MAX_NESTS) if n_nests > MAX_NESTS else (f"{n_commas:,} entries", MAX_COMMAS)
        raise LimitError(f"{location}: {found}, and no honest metadata document has more than {most:,}; open the group below that you want by its own path")
    if len(data) > MAX_DOCUMENT_BYTES // 2 and re.search(rb"[\xf0-\xff]", data):
        raise LimitError(f"{location}: {len(data):,} bytes with characters that take four bytes each, and half as many are the most that is read")
    depth = _depth(data) if n_nests > MAX_DEPTH else 0
    if depth > MAX_DEPTH:
        raise LimitError(f"{location}: nested {depth:,} deep, and {MAX_DEPTH} is the most that is read")
    text = _decoded(data, location)
    try:
        value: JSON = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
    except json.JSONDecodeError as error:
        _explain(text, error, location)
    except _Refused as error:
        position = next(_refusals(text), 0)
        raise DocumentError(f"{location}, {_place(text, position)}: {error}") from None
    except _Large as error:
        raise LimitError(f"{location}: {error}") from None
    except RecursionError:
        raise LimitError(f"{location}: nested deeper than {MAX_DEPTH}, the most that is read") from None
    except ValueError:
        raise LimitError(f"{location}: holds a number of more than 4300 digits; no metadata needs one") from None
    return value


def dumps(value: JSON, location: str = "document") -> bytes:
    """Returns strict JSON in ASCII, indented by two, key order kept, as zarr-python writes its documents.

    Raises DocumentError for NaN or infinity, which JSON does not have, and for what is no JSON value at all.
    """
    try:
        return json.dumps(value, indent=2, allow_nan=False, default=_plain).encode("ascii")
    except (ValueError, TypeError) as error:
        raise DocumentError(f"{location}: cannot be written as JSON ({error}); use finite numbers, strings, lists and objects") from None


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"found a {type(value).__name__}")


def _object(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    if len(pairs) > MAX_KEYS:
        raise _Large(f"an object of {len(pairs):,} keys, and no honest one has more than {MAX_KEYS:,}")
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Refused(f"key {twice!r} stands twice in one object; which one holds is anybody's guess, so delete one")
    return result


def _constant(token: str) -> NoReturn:
    raise _Refused(f"{token} is no JSON number; write null, or leave the key out")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _Refused("a number beyond the range of float64; write one that a float64 holds")
    return value


def _decoded(data: bytes, location: str) -> str:
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise DocumentError(f"{location}, line 1, column 1: starts with a byte order mark; save it as UTF-8 without one")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = _place(data[: error.start].decode("utf-8"), error.start)
        raise DocumentError(f"{location}, {place}: byte {data[error.start]:#04x} is no UTF-8; save the file as UTF-8") from None


def _place(text: str, position: int) -> str:
    before = text[:position]
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def _refusals(text: str) -> Iterator[int]:
    """Yields the places that the hooks refuse, found again by walking the tokens."""
    keys: list[set[str]] = []
    string, start = "", 0
    for token in _TOKEN.finditer(text):
        word = token.group()
        if word[0] == '"':
            string, start = word, token.start()
        elif word in "{[":
            keys.append(set())
        elif word in "}]":
            keys[-1:] = []
        elif word == ":" and keys:
            if string in keys[-1]:
                yield start
            keys[-1].add(string)
        elif word not in ",:" and (not word[-1].isdigit() or math.isinf(float(word))):
            yield token.start()


def _explain(text: str, error: json.JSONDecodeError, location: str) -> NoReturn:
    """Raises DocumentError with the reason that a person would see."""
    rest = text[error.pos :].lstrip()
    if rest[:1] == "," and rest[1:].lstrip()[:1] in ("]", "}"):
        rest = rest[1:].lstrip()  # Python 3.13 points at the comma, 3.11 and 3.12 at the bracket after it
    position = len(text) - len(rest) if rest else len(text)
    if rest.startswith(("//", "/*", "#")):
        reason = "a comment, and JSON has none; delete it"
    elif rest[:1] and rest[0] in _CURLY:
        reason = f"a curly quote ({rest[0]}), as word processors and web pages make them; replace it by a straight one"
    elif rest.startswith("'"):
        reason = "a single quote; JSON strings stand in double quotes"
    elif not text.strip():
        reason = "the document is empty; expected a JSON object"
    elif not rest:
        reason = "the document ends in the middle; it was cut short, so copy or write it again"
    elif rest[0] in "}]" and text[:position].rstrip().endswith(","):
        reason = "a comma before the closing bracket; delete the comma"
    elif rest[0] == "\ufeff":
        reason = "a byte order mark; delete it"
    else:
        position = error.pos
        reason = f"no JSON ({error.msg[:1].lower()}{error.msg[1:]}, found {text[position : position + 12]!r}); correct it there"
    raise DocumentError(f"{location}, {_place(text, position)}: {reason}") from None


def _depth(data: bytes) -> int:
    """Returns how deep brackets are nested outside of strings, without a look at anything else: before a parser meets them."""
    plain = re.sub(rb"\\.", b"", data, flags=re.DOTALL) if b"\\" in data else data
    brackets = re.sub(rb'"[^"]*"', b"", plain.translate(None, _NEITHER))
    return max(accumulate(1 if byte in b"[{" else -1 if byte in b"]}" else 0 for byte in brackets), default=0)


def word(value: JSON) -> str:
    """Names the kind of a JSON value as its readers do."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    return "a string" if isinstance(value, str) else "an object" if isinstance(value, Mapping) else "a list"


def named_place(place: str | os.PathLike[str], what: str) -> str:
    """Returns the text of a place that a user named.

    Raises OptionError for an empty one: it would be the current folder, and comes from a variable that is not set.
    """
    text = os.fspath(place)
    if not text.strip():
        raise OptionError(f"{what}: found an empty text, expected a path or a URL; say '.' for the current folder")
    return text


def resolve(path: object, location: str = "path") -> str:
    """Returns a path of a document in its plain form (`a/b`), when it stays below the node that carries the document.

    Raises PathError for what is no string, is empty or `.`, is absolute or a URL, has a drive, `..`, a backslash, `~` or `$`
    where a shell would expand it, a control character, or is longer than file systems allow. Source: formats.md 15.7.

    Examples
    --------
    >>> resolve("scale0/image"), resolve("./0/")
    ('scale0/image', '0')
    >>> resolve("../other")
    Traceback (most recent call last):
    ziggurat.problems.PathError: path '../other': '..' leaves the group; a path must stay below the group that names it
    """
    if not isinstance(path, str):
        raise PathError(f"{location} {path!r}: no string; a path is a string relative to the group")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    reason = ""
    if not parts:
        reason = "names nothing"
    elif path.startswith("/"):
        reason = "is absolute"
    elif "://" in path or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", path):
        reason = "is a URL or has a drive"
    elif ".." in parts or re.search(r"%2e|%2f|%5c", path, re.IGNORECASE):
        reason = "'..' leaves the group" if ".." in parts else "hides dots or slashes behind percent signs"
    elif "\\" in path:
        reason = "has a backslash; folders are separated by '/'"
    elif "$" in path or any(part.startswith("~") for part in parts):
        reason = "has a '~' or '$' that a shell would expand"
    elif any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 for c in path):
        reason = "has a control character"
    elif len(path) > 1024 or any(len(part.encode()) > 255 for part in parts):
        reason = "is longer than file systems allow"
    if reason:
        shown = path if len(path) <= 80 else path[:77] + "..."
        raise PathError(f"{location} {shown!r}: {reason}; a path must stay below the group that names it")
    return "/".join(parts)
