"""Which two axes of an array are a picture, and where the others stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ziggurat.model import Axis, kind_of
from ziggurat.problems import OptionError

_COLUMNS = ("x", "lon", "longitude", "easting")
_ROWS = ("y", "lat", "latitude", "northing")
N_COMPOSED = 8
"""Channels that are laid over one another; of more, one is shown."""


@dataclass(frozen=True, slots=True)
class Plane:
    """Two axes of an array as rows and columns of a picture."""

    rows: int | None
    """None for a signal, which has columns alone."""
    columns: int
    channel: int | None
    """The axis whose samples are laid over one another as colours; None where there is none, or one channel was picked."""
    picks: tuple[tuple[int, int], ...]
    """(axis, index) of every other axis."""

    def index(self, rows: slice, columns: slice) -> tuple[slice | int, ...]:
        """Returns what to read of the array: all channels, a part of rows and columns, the picked sample of the rest."""
        ndim = len(self.picks) + 1 + (self.rows is not None) + (self.channel is not None)
        found: list[slice | int] = [slice(None)] * ndim
        found[self.columns] = columns
        if self.rows is not None:
            found[self.rows] = rows
        for axis, pick in self.picks:
            found[axis] = pick
        return tuple(found)

    @property
    def order(self) -> tuple[int, ...]:
        """How to turn what `index` reads into (channel, row, column), of those that there are."""
        kept = sorted(axis for axis in (self.channel, self.rows, self.columns) if axis is not None)
        return tuple(kept.index(axis) for axis in (self.channel, self.rows, self.columns) if axis is not None)


def choose_plane(axes: Sequence[Axis], shape: Sequence[int], *, plane: Sequence[str] | None = None, picks: Mapping[str, int] | None = None) -> Plane:
    """Returns the plane that is shown of an array.

    Parameters
    ----------
    axes, shape
        Of the array, in stored order.
    plane
        Names of rows and columns. When not said: the axes called y and x (or latitude and longitude), else the last two of space,
        else the last two that are no channels.
    picks
        By axis name the sample that is shown of it. When not said: the middle one in space, else the first; of channels all, up to
        `N_COMPOSED`.

    Raises
    ------
    OptionError
        For an axis that is not there, is said twice, or a sample outside it; for an array without axes.

    Examples
    --------
    >>> choose_plane([Axis("c", "channel"), Axis("z"), Axis("y"), Axis("x")], (2, 9, 64, 64))
    Plane(rows=2, columns=3, channel=0, picks=((1, 4),))
    """
    names = [axis.name for axis in axes]
    kinds = [axis.kind or kind_of(axis.name) for axis in axes]
    said = dict(picks or {})
    for name in (*(plane or ()), *said):
        if name not in names:
            raise OptionError(f"no axis {name!r}; the axes are {', '.join(names)}")
    if not names:
        raise OptionError("an array without axes has no picture; expected one axis or more")
    if plane is not None:
        if not 1 <= len(plane) <= 2 or len(set(plane)) != len(plane) or set(plane) & set(said):
            raise OptionError(f"plane={tuple(plane)!r}: expected two axes, rows first, neither of them picked")
        chosen = [names.index(name) for name in plane]
    else:
        chosen = _usual([i for i, name in enumerate(names) if name not in said], names, kinds)
    rows, columns = (chosen[0], chosen[1]) if len(chosen) == 2 else (None, chosen[0])
    channel = next((i for i, kind in enumerate(kinds) if kind == "channel" and i not in chosen and names[i] not in said and shape[i] <= N_COMPOSED), None)
    found = []
    for i, name in enumerate(names):
        if i in chosen or i == channel:
            continue
        pick = said.get(name, shape[i] // 2 if kinds[i] == "space" else 0)
        if not 0 <= pick < shape[i]:
            raise OptionError(f"axis {name!r}: found sample {pick}, expected 0 to {shape[i] - 1}")
        found.append((i, pick))
    return Plane(rows, columns, channel, tuple(found))


def _usual(free: Sequence[int], names: Sequence[str], kinds: Sequence[str | None]) -> list[int]:
    """Returns rows and columns among the axes that nothing was said of; one axis where there is only one."""
    if not free:
        raise OptionError(f"every axis is picked: {', '.join(names)}; leave two out for rows and columns")
    preferred = [i for i in free if kinds[i] == "space"] + [i for i in free if kinds[i] not in ("space", "channel")]
    pool = sorted(preferred[: max(2, sum(kinds[i] == "space" for i in free))]) if preferred else list(free)
    columns = next((i for i in pool if names[i].lower() in _COLUMNS), pool[-1])
    others = [i for i in pool if i != columns] or [i for i in free if i != columns and kinds[i] != "channel"]
    if not others:
        return [columns]
    return [next((i for i in others if names[i].lower() in _ROWS), others[-1]), columns]
