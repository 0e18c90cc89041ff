"""Names: what a user calls a reduction, other people's words for it, and what is said about it in brackets."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ziggurat.problems import OptionError
from ziggurat.reductions.ports import Reduction, Value
from ziggurat.reductions.table import TABLE

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "average": "mean",
        "avg": "mean",
        "local_mean": "mean",
        "bin_shrink": "mean",
        "nearest": "stride",
        "first": "stride",
        "decimate": "stride",
        "subsample": "stride",
        "minimum": "min",
        "maximum": "max",
        "med": "median",
        "majority": "mode",
        "q1": "quantile(q=0.25)",
        "q3": "quantile(q=0.75)",
        "total": "sum",
        "circmean": "circular_mean",
        "root_mean_square": "rms",
        "var": "variance",
        "stddev": "std",
        "gauss": "gaussian",
    }
)
"""Other people's words: GDAL's (average, nearest, med, q1, q3, gauss), ome-zarr's (nearest, local_mean), ITK's (bin_shrink), NumPy's."""


Said = str | Reduction | Mapping[str, str | Reduction]
"""A reduction as it is said: a name, a row, or one of these by axis name."""
NONE = "none"
"""The word for an axis that is not reduced."""


def by_axis(said: Said | None) -> Mapping[str, str | Reduction] | None:
    """Returns what is said for each axis that is reduced, None when one reduction is said for all, or nothing.

    >>> by_axis("z:max, y:mean, c:none"), by_axis("mean")
    ({'z': 'max', 'y': 'mean'}, None)
    """
    if isinstance(said, str) and ":" in said:
        parts = [part.partition(":") for part in re.split(r",(?![^(]*\))", said)]
        said = {name.strip(): row.strip() for name, _, row in parts}
        if len(said) < len(parts) or not all(said) or not all(said.values()):
            raise OptionError(f"reduction: found {', '.join(a + b + c for a, b, c in parts)!r}, expected each axis once, such as 'z:max, y:mean, x:mean'")
    return {name: row for name, row in said.items() if row != NONE} if isinstance(said, Mapping) else None


def resolve(said: Said, axes: Sequence[str]) -> Reduction:
    """Returns the row that is said for an array of these axes; by axis, in the order in which it is said. Raises OptionError."""
    each = by_axis(said)
    if each is not None:
        from ziggurat.reductions.mixed import mixed  # only where it is said: a build of means starts faster without

        if not each:
            raise OptionError(f"reduction: found {said!r}, expected a reduction for one axis at least")
        return mixed({name: row if isinstance(row, Reduction) else find(row) for name, row in each.items()}, axes)
    return said if isinstance(said, Reduction) else find(str(said))


def find(name: str) -> Reduction:
    """Returns the row of a reduction by its name or another word for it, with what is said in brackets; `q0.9` is `quantile(q=0.9)`.

    Raises
    ------
    OptionError
        When there is none of that name (the message lists what there is, nearest first), or it has no such parameter or value.

    Examples
    --------
    >>> find("average").name, find("q0.9").name, find("mode( ignore = 0 )").name
    ('mean', 'quantile(q=0.9)', 'mode(ignore=0)')
    """
    word, values = _parsed(name)
    if word in ALIASES:
        word, implied = _parsed(ALIASES[word])
        values = {**implied, **values}
    for row in TABLE:
        if row.name == word:
            return row.said(values) if values else row
    raise OptionError(f"reduction {name!r}: there is none of that name{_near(word)}; expected one of {', '.join(row.name for row in TABLE)}")


def _parsed(text: str) -> tuple[str, dict[str, Value]]:
    """Returns the bare word and what is said in brackets."""
    quantile = re.fullmatch(r"\s*q(\d*\.\d+)\s*", text)
    if quantile:
        return "quantile", {"q": float(quantile[1])}
    match = re.fullmatch(r"\s*([\w-]+)\s*(?:\((.*)\))?\s*", text)
    if match is None:
        raise OptionError(f"reduction {text!r}: expected a name such as 'mean', with what there is to say in brackets, such as 'quantile(q=0.9)'")
    values: dict[str, Value] = {}
    for part in (match[2] or "").split(","):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not part.strip():
            continue
        if not (equals and key and value) or key in values:
            raise OptionError(f"reduction {text!r}: found {part.strip()!r} in brackets, expected name=value, each once, such as 'quantile(q=0.9)'")
        values[key] = _value(value)
    return match[1], values


def _value(text: str) -> Value:
    """Returns a whole number, a number, or the word itself.

    >>> _value("7"), _value("0.5"), _value("base")
    (7, 0.5, 'base')
    """
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _near(word: str) -> str:
    known = [*(row.name for row in TABLE), *ALIASES]
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""
