"""The spellings of option values on the command line. What they mean is for `BuildOptions` to judge."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

import click

Scalar: TypeAlias = int | float | str
Callback: TypeAlias = Callable[[click.Context, click.Parameter, str | None], object]


def scalar(text: str) -> Scalar:
    """Returns an int, else a float, else the text.

    >>> scalar("2"), scalar(".5"), scalar("nm")
    (2, 0.5, 'nm')
    """
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def values(text: str, kind: type[int] | type[float] | type[str], example: str) -> object:
    """Returns what `2`, `1,2,2` (one per axis, in stored order) or `z=1,y=2,x=2` says: a value, a tuple, or a dict by axis name.

    Raises click.BadParameter.

    >>> values("z=.5,y=.1,x=.1", float, ""), values("1,2,2", int, ""), values("2", int, "")
    ({'z': 0.5, 'y': 0.1, 'x': 0.1}, (1, 2, 2), 2)
    """
    expected = {"int": "whole numbers", "float": "numbers", "str": "words"}[kind.__name__]

    def one(part: str) -> Scalar:
        found: Scalar = part.strip() if kind is str else scalar(part.strip())
        if found == "" or (kind is not str and isinstance(found, str)) or (kind is int and not isinstance(found, int)):
            raise click.BadParameter(f"{text!r}: found {part.strip()!r}, expected {expected} such as {example}")
        return found

    parts = text.split(",")
    named = ["=" in part for part in parts]
    if any(named):
        pairs = [part.partition("=") for part in parts]
        names = [name.strip() for name, _, _ in pairs]
        if not all(named) or not all(names) or len(set(names)) < len(names):
            raise click.BadParameter(f"{text!r}: expected each axis once, by name, such as {example}")
        return {name: one(value) for name, (_, _, value) in zip(names, pairs, strict=True)}
    return one(text) if len(parts) == 1 else tuple(map(one, parts))


def per_axis(kind: type[int] | type[float] | type[str], example: str) -> Callback:
    """Returns the click callback for an option of one value, one per axis, or by axis name."""

    def parse(ctx: click.Context, parameter: click.Parameter, text: str | None) -> object:
        return None if text is None else values(text, kind, example)

    return parse


def per_level(kind: type[int] | type[float], example: str) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], object]:
    """Returns the click callback for an option that is repeated, one value, one per axis or by axis name each time."""

    def parse(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> object:
        found = [values(text, kind, example) for text in texts]
        return [(entry,) if isinstance(entry, int) and kind is int else entry for entry in found] or None

    return parse


def groups(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> object:
    """Returns the cuts between groups by axis name; an axis that is said again goes on with its next level. Raises click.BadParameter."""
    found: dict[str, list[list[int]]] = {}
    for text in texts:
        name, is_named, cuts = text.partition("=")
        numbers = [scalar(part.strip()) for part in cuts.split(",")]
        whole = [n for n in numbers if isinstance(n, int)]
        if not is_named or not name.strip() or len(whole) < len(numbers):
            raise click.BadParameter(f"{text!r}: expected an axis and the cuts along it, such as time=0,24,48")
        found.setdefault(name.strip(), []).append(whole)
    return found or None


def steps(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> object:
    """Returns one step of factors, or a ladder of them when the option was repeated or has `;` in it.

    A step of a ladder that is one number for all space axes becomes a tuple of one, as `BuildOptions.factors` has it.
    """
    said = [values(part, int, "2, 1,2,2 or z=1,y=2,x=2") for text in texts for part in text.split(";") if part.strip()]
    if len(said) < 2:
        return said[0] if said else None
    return [(step,) if isinstance(step, int) else step for step in said]


def number(ctx: click.Context, parameter: click.Parameter, text: str | None) -> object:
    """Returns an integer that stays one, or a float; `nan` too."""
    return None if text is None else values(text, float, "0, -9999 or nan")


def number_or_text(ctx: click.Context, parameter: click.Parameter, text: str | None) -> object:
    """Returns an integer that stays one, a float, or the text of what is no number."""
    return None if text is None else scalar(text)


def names(ctx: click.Context, parameter: click.Parameter, text: str | None) -> object:
    """Returns a template with `{k}` for the level's number, or the tuple of all names when there are commas."""
    return tuple(part.strip() for part in text.split(",")) if text is not None and "," in text else text


_BY_VARIABLE = re.compile(r"([A-Za-z_][\w.+-]*)=(.+)", re.DOTALL)


def by_variable(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> object:
    """Returns one text, or of texts that begin with the name of a variable and `=` a mapping by it. Raises click.BadParameter for both at once."""
    found = {match[1]: match[2] for text in texts if (match := _BY_VARIABLE.fullmatch(text))}
    if not found:
        if len(texts) > 1:
            raise click.BadParameter(f"found {len(texts)} of them, expected one, or VARIABLE=NAME for each variable of a dataset")
        return texts[0] if texts else None
    if len(found) != len(texts):
        raise click.BadParameter("found some with the name of a variable and some without, expected VARIABLE=NAME for each, once")
    return found


def several(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> object:
    """Returns what was said, None when nothing was."""
    return texts or None


def encoding(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> object:
    """Returns words by variable: `t2m:chunks=time=1,lat=180` says chunks of t2m. Raises click.BadParameter."""
    found: dict[str, dict[str, object]] = {}
    for text in texts:
        name, colon, said = text.partition(":")
        word, is_said, value = said.partition("=")
        if not (colon and is_said and name.strip() and value):
            raise click.BadParameter(f"{text!r}: expected a variable, a word and a value, such as t2m:chunks=time=1,lat=180,lon=360")
        whole = values(value, int, "time=1,lat=180") if word.strip() in ("chunks", "shards") else value
        found.setdefault(name.strip(), {})[word.strip()] = whole
    return found or None


_PARAMETERS = (
    "reduction", "factors", "levels", "axes", "scale", "unit", "translation", "kind", "nodata", "chunks", "shards", "codecs", "dtype", "layout", "name",
    "names", "memory", "threads", "durability", "write_empty", "residual_base", "array_geometry", "force", "missing",
    "min_valid", "weights", "coverage", "level_shapes", "level_scales", "groups", "add", "overwrite", "dest", "transpose", "allow_links",
    "link", "strict", "container", "multiscale", "variables", "encoding",
)  # fmt: skip
_TWICE = re.compile(r"(--[a-z-]+) \([a-z_]+=True\)")
_SAID = re.compile(rf"(?<![\w/.=-])({'|'.join(_PARAMETERS)})=(?:True\b|'([^']*)'|([0-9]+)|(?=[\s,;.)]|$))")


def as_options(text: str) -> str:
    """Returns a message of the library with its keyword arguments spelled as options.

    >>> as_options("say kind='labels', axes= or add=True; already there, say --overwrite (overwrite=True)")
    'say --kind labels, --axes or --add; already there, say --overwrite'
    """

    def option(found: re.Match[str]) -> str:
        value = found[2] or found[3]
        return f"--{found[1].replace('_', '-')}" + (f" {value}" if value else "")

    return _SAID.sub(option, _TWICE.sub(r"\1", text))
