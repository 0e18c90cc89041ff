"""Counts of labels behind each window, carried from level to level, so that the most frequent one is that of the base.

A tile of a level holds per sample the number of labels under it and, where that is one, the label itself: most of a label image. Only
where there are several, a few slots hold labels and counts. When more labels lie under a sample than there are slots, the rarest are let go,
and what each of them can have counted at most is kept, so that it is known where the answer is proven.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, fields

import numpy as np

from ziggurat.kernels.ranks import as_keys, cuts, differ, gather
from ziggurat.kernels.windows import Array, Factors, fold

MANY = 1 << 32
"""Labels and windows below this share one 64-bit key: sorting keys is several times faster than sorting by two arrays."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Labels under each sample of a tile; the arrays are views that may be written to."""

    label: Array
    """The smallest label."""
    n: Array
    """Number of labels, uint8; at most that of the slots, 0 where no sample is valid."""
    total: Array
    """Number of valid samples."""
    second: Array
    """The other label where there are two."""
    n_second: Array
    """How often that occurs; 0 where there is one label only."""
    labels: Array
    """`(…, n_slots)`: the labels where there are more than two, ascending."""
    counts: Array
    """`(…, n_slots + 1)`: how often each occurs; the last is the most that one that was let go can have counted."""

    def at(self, where: tuple[slice, ...]) -> Counted:
        """Returns the same of a region."""
        return Counted(*(getattr(self, field.name)[where] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Counts of labels of some windows: one entry per (window, label) that was found, in any order, with repetitions."""

    window: Array
    label: Array
    count: Array
    lost: Array
    """Per window: the most that a label that was let go below can have counted."""


class _Draft:
    """A box of windows as it is made: dense arrays that are contiguous, and the slots in their place."""

    def __init__(self, label: Array, total: Array, out: Counted) -> None:
        self._out = out
        self.shape = label.shape
        self.label, self.total = np.array(label), np.array(total, out.total.dtype)
        self.n = np.ones(self.shape, np.uint8)
        self.second, self.n_second = np.array(self.label), np.zeros(self.shape, out.total.dtype)

    def two(self, few: Array, low: Array, high: Array, n_high: Array) -> None:
        """Notes windows (flat indices) of two labels; their totals are there already."""
        self.label.reshape(-1)[few] = low
        self.second.reshape(-1)[few] = high
        self.n_second.reshape(-1)[few] = n_high
        self.n.reshape(-1)[few] = 2

    def several(self, few: Array, pairs: _Pairs) -> None:
        """Notes windows (flat indices) of any number of labels, none included."""
        window, label, count = _unique(pairs)
        n_slots, n_few = self._out.labels.shape[-1], few.size
        n = np.bincount(window, minlength=n_few)
        self.total.reshape(-1)[few] = np.bincount(window, weights=count, minlength=n_few)
        lost, start = pairs.lost, _starts(n)
        if n.max() > n_slots:
            window, label, count, lost, n, start = _kept(window, label, count, lost, n, start, n_slots)
        self.n.reshape(-1)[few] = n
        some = n > 0
        self.label.reshape(-1)[few[some]] = label[start[some]]
        pair = n == 2
        self.second.reshape(-1)[few[pair]] = label[start[pair] + 1]
        self.n_second.reshape(-1)[few[pair]] = count[start[pair] + 1]
        more = n > 2
        if not more.any():
            return
        at = np.unravel_index(few, self.shape)
        self._out.counts[..., -1][tuple(c[more] for c in at)] = lost[more]
        wanted = more[window]
        slot = np.arange(window.size) - start[window]
        places = (*(c[window[wanted]] for c in at), slot[wanted])
        self._out.labels[places] = label[wanted]
        self._out.counts[places] = count[wanted]

    def write(self) -> None:
        """Puts the dense arrays in their place."""
        for name in ("label", "n", "total", "second", "n_second"):
            getattr(self._out, name)[...] = getattr(self, name)


def _starts(n: Array) -> Array:
    """Returns where the entries of each window begin, given how many each has."""
    start = np.zeros(n.size, np.intp)
    np.cumsum(n[:-1], out=start[1:])
    return start


def count_samples(block: Array, factors: Factors, missing: Array | None, out: Counted) -> None:
    """Counts the samples of each window; `missing` is True where a sample is not there, None when all are."""
    for inside, where, window in cuts(block.shape, factors):
        part = np.ascontiguousarray(block[inside])
        if part.dtype.kind == "f":
            part = part + part.dtype.type(0)  # one zero
        gone = None if missing is None or not missing[inside].any() else np.ascontiguousarray(missing[inside])
        several = differ(part, window)
        draft = _Draft(part[tuple(slice(None, None, f) for f in window)], np.full(several.shape, math.prod(window)), out.at(where))
        if gone is not None:
            touched = np.empty(several.shape, bool)
            fold(gone, window, touched, np.logical_or)
            several |= touched
        few = np.flatnonzero(several)
        if few.size:
            rows = gather(part, window, few)
            there = None if gone is None else ~gather(gone, window, few)
            _count_rows(rows, there, few, draft)
        draft.write()


def _count_rows(rows: Array, there: Array | None, few: Array, draft: _Draft) -> None:
    """Counts the samples of the windows `few`, one row per place in the window; `there` is None when all are."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    is_high = rows == high
    simple = (is_high | (rows == low)).all(axis=0)
    if there is not None:
        simple &= there.all(axis=0)
    draft.two(few[simple], low[simple], high[simple], is_high.sum(axis=0, dtype=np.int64)[simple])
    rest = np.flatnonzero(~simple)
    if not rest.size:
        return
    labels, windows = rows[:, rest].T.reshape(-1), np.repeat(np.arange(rest.size), len(rows))
    if there is not None:
        valid = there[:, rest].T.reshape(-1)
        windows, labels = windows[valid], labels[valid]
    draft.several(few[rest], _Pairs(windows, labels, np.ones(labels.size, np.int64), np.zeros(rest.size, np.int64)))


def merge(child: Counted, factors: Factors, out: Counted) -> None:
    """Merges the counts of the samples in each window of a level into those of the next."""
    for inside, where, window in cuts(child.n.shape, factors):
        part = child.at(inside)
        label = np.ascontiguousarray(part.label)
        several = differ(label, window)
        mixed, total = np.empty(several.shape, bool), np.empty(several.shape, out.total.dtype)
        fold(part.n != 1, window, mixed, np.logical_or)
        several |= mixed
        fold(part.total, window, total, np.add)
        draft = _Draft(label[tuple(slice(None, None, f) for f in window)], total, out.at(where))
        few = np.flatnonzero(several)
        if few.size:
            _merge_rows(part, window, few, draft)
        draft.write()


def _merge_rows(part: Counted, window: Factors, few: Array, draft: _Draft) -> None:
    """Merges the windows `few`: at once where there are two labels in all, else by sorting."""
    label, n, total, second, n_second = (gather(np.ascontiguousarray(a), window, few) for a in (part.label, part.n, part.total, part.second, part.n_second))
    other = np.where(n == 2, second, label)
    low, high = label.min(axis=0), other.max(axis=0)
    simple = ((n == 1) | (n == 2)).all(axis=0)
    simple &= ((label == low) | (label == high)).all(axis=0)
    simple &= ((other == low) | (other == high)).all(axis=0)
    n_high = np.where(label == high, total, n_second).sum(axis=0, dtype=np.int64)
    draft.two(few[simple], low[simple], high[simple], n_high[simple])
    rest = np.flatnonzero(~simple)
    if rest.size:
        rows = (label[:, rest], n[:, rest], total[:, rest], second[:, rest], n_second[:, rest])
        draft.several(few[rest], _merged_pairs(part, window, few[rest], rows))


def _merged_pairs(part: Counted, window: Factors, few: Array, rows: tuple[Array, ...]) -> _Pairs:
    """Returns what is counted under the windows `few`; `rows` are label, n, total, second and n_second, one row per place in the window."""
    label, n, total, second, n_second = rows
    windows, labels, counts, lost = [], [], [], np.zeros(few.size, np.int64)
    for takes, of, count in (((n == 1) | (n == 2), label, total.astype(np.int64) - n_second), (n == 2, second, n_second)):
        windows.append(np.nonzero(takes)[1])
        labels.append(of[takes])
        counts.append(count[takes].astype(np.int64))
    corner = [at * f for at, f in zip(np.unravel_index(few, tuple(m // f for m, f in zip(part.n.shape, window, strict=True))), window, strict=True)]
    slots = np.arange(part.labels.shape[-1])
    for row, step in enumerate(itertools.product(*map(range, window))):
        more = np.flatnonzero(n[row] > 2)
        if not more.size:
            continue
        here = tuple(c[more] + s for c, s in zip(corner, step, strict=True))
        used, held = slots < n[row, more][:, np.newaxis], part.counts[here]
        windows.append(np.repeat(more, n[row, more]))
        labels.append(part.labels[here][used])
        counts.append(held[:, :-1][used].astype(np.int64))
        lost[more] += held[:, -1].astype(np.int64)
    return _Pairs(np.concatenate(windows), np.concatenate(labels), np.concatenate(counts), lost)


def _unique(pairs: _Pairs) -> tuple[Array, Array, Array]:
    """Returns each (window, label) once, with its count, in that order."""
    keys, lowest = _keys(pairs)
    if not keys.size:
        return pairs.window, pairs.label, pairs.count
    if lowest is not None and pairs.count.max() == 1:  # single samples: the sorted keys say it all
        keys.sort()
        starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        found = keys[starts]
        label = ((found & np.uint64(MANY - 1)).astype(np.int64) + lowest).astype(pairs.label.dtype)
        return (found >> np.uint64(32)).astype(np.intp), label, np.diff(np.append(starts, keys.size))
    order = np.argsort(keys)
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    first = order[starts]
    return pairs.window[first], pairs.label[first], np.add.reduceat(pairs.count[order], starts)


def _keys(pairs: _Pairs) -> tuple[Array, int | None]:
    """Returns one sortable key per pair, the window in its high half; and what the low half lacks to the label, None where it is only a rank."""
    label, windows = pairs.label, pairs.window.astype(np.uint64) << np.uint64(32)
    if label.dtype.kind in "ui" and label.itemsize <= 4:
        lowest = int(np.iinfo(label.dtype).min)
        return windows | (label.astype(np.int64) - lowest).astype(np.uint64), lowest
    if label.dtype.kind in "ui" and label.size and label.min() >= 0 and label.max() < MANY:
        return windows | label.astype(np.uint64), 0
    sortable = as_keys(label) if label.dtype.kind == "f" else label
    return windows | np.unique(sortable, return_inverse=True)[1].astype(np.uint64), None


def _kept(window: Array, label: Array, count: Array, lost: Array, n: Array, start: Array, n_slots: int) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Lets go of the rarest labels of windows that have more than `n_slots`; of equally frequent ones, of the largest."""
    order = np.lexsort((np.arange(window.size), -count, window))  # labels ascend within a window already
    rank = np.empty(window.size, np.intp)
    rank[order] = np.arange(window.size) - start[window[order]]
    stays = rank < n_slots
    lost = lost.copy()
    dropped = np.flatnonzero(rank == n_slots)  # the most frequent of those that go
    lost[window[dropped]] += count[dropped]
    n = np.minimum(n, n_slots)
    return window[stays], label[stays], count[stays], lost, n, _starts(n)


def most_frequent(held: Counted, ignore: complex | None, missing: complex, out: Array) -> None:
    """Writes the most frequent label, of equally frequent ones the smallest.

    `ignore` counts only where there is nothing else; `missing` is written where there is nothing at all.
    """
    two = held.n == 2
    leads = held.n_second > held.total - held.n_second
    if ignore is not None:
        background = held.label.dtype.type(ignore)
        leads = (leads | (held.label == background)) & (held.second != background)
    out[...] = np.where(two & leads, held.second, held.label)
    out[held.n == 0] = missing
    few = np.nonzero(held.n > 2)
    if few[0].size:
        counts = _compared(held, few, ignore)
        out[few] = held.labels[few][np.arange(len(counts)), counts.argmax(axis=-1)]


def n_unproven(held: Counted, ignore: complex | None) -> int:
    """Returns how many samples may have another label than `most_frequent` says: it leads by no more than one that was let go can have counted."""
    few = np.nonzero(held.n > 2)
    lost = held.counts[few][:, -1].astype(np.int64)
    doubted = np.flatnonzero(lost)
    if not doubted.size:
        return 0
    counts = np.sort(_compared(held, tuple(at[doubted] for at in few), ignore), axis=-1)
    second = counts[:, -2] if counts.shape[-1] > 1 else 0
    return int(np.count_nonzero(counts[:, -1] <= second + lost[doubted]))


def _compared(held: Counted, few: tuple[Array, ...], ignore: complex | None) -> Array:
    """Returns the counts of the slots that are in use and not ignored, 0 elsewhere, `(n_few, n_slots)`."""
    labels, counts = held.labels[few], held.counts[few][:, :-1].astype(np.int64)
    counts[np.arange(labels.shape[-1]) >= held.n[few][:, np.newaxis]] = 0
    if ignore is not None:
        counts[labels == labels.dtype.type(ignore)] = 0
    return counts
