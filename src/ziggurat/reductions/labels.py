"""The mode from the base at every level: counts of labels travel up, as many per sample as there are slots."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from ziggurat.geometry import Factors
from ziggurat.kernels import labels, ranks, votes, weights
from ziggurat.reductions.binding import as_nodata
from ziggurat.reductions.foldings import SampleFolding, narrowest_count
from ziggurat.reductions.ports import AnyArray, AnyDType, Carry, Counts, Folding, Setting, Value
from ziggurat.reductions.ranked import GatheredRanks, RankFolding, mark_missing

N_SLOTS = 16
"""Labels that are counted under one sample of a level at most; beyond it the rarest are let go, and it is known where that may matter."""


def label_folding(setting: Setting, *, ignore: Value | None = None) -> Folding:
    """Returns the mode from the base of one build. Raises OptionError when `ignore` is no value of the dtype."""
    background = _background(setting, ignore)
    if setting.weighing.weighted:  # slots hold counts
        return GatheredRanks(setting, partial(votes.mode, ignore=background))
    return LabelFolding(setting, background)


def mode_folding(setting: Setting, *, ignore: Value | None = None) -> Folding:
    """Returns the mode of one build, from level to level. Raises OptionError when `ignore` is no value of the dtype."""
    background = _background(setting, ignore)
    plain = partial(ranks.mode_ignoring, ignore=background)
    return SampleFolding(setting, plain) if setting.weighing.is_plain else RankFolding(setting, plain, partial(votes.mode, ignore=background))


def _background(setting: Setting, ignore: Value | None) -> complex | None:
    return None if ignore is None or isinstance(ignore, str) else as_nodata(ignore, setting.dtype, "ignore")


@dataclass(frozen=True, slots=True)
class LabelFolding:
    """Counts of labels, dense where there is one label under a sample, in slots where there are several."""

    setting: Setting
    ignore: complex | None

    @property
    def _label_dtype(self) -> AnyDType:
        return np.dtype(np.uint8) if self.setting.dtype.kind == "b" else self.setting.dtype

    def carry_dtypes(self, level: int) -> tuple[AnyDType, ...]:
        size = self.setting.window_sizes[level]
        n, count, label = min(N_SLOTS, size), narrowest_count(size), self._label_dtype
        return (label, np.dtype(np.uint8), count, label, count, np.dtype((label, (n,))), np.dtype((count, (n + 1,))))

    def weight_dtype(self, level: int) -> AnyDType:
        return narrowest_count(self.setting.window_sizes[level])

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        counted = labels.Counted(*out)
        if level > 1:
            labels.merge(labels.Counted(*child.values), factors, counted)
            return None if child.weights is None else self._valid(level, counted)
        samples = child.values[0].view(self._label_dtype) if self.setting.dtype.kind == "b" else child.values[0]
        missing = self._missing(samples, child.weights)
        labels.count_samples(samples, factors, missing, counted)
        return None if missing is None or self.setting.weighing.is_plain else self._valid(1, counted)

    def _valid(self, level: int, counted: labels.Counted) -> AnyArray:
        return np.array(counted.total, self.weight_dtype(level))

    def _missing(self, samples: AnyArray, mask: AnyArray | None) -> AnyArray | None:
        valid = weights.valid_samples(samples, self.setting.nodata, mask)
        return None if valid is None else ~valid

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        target = out.view(self._label_dtype) if self.setting.dtype.kind == "b" else out
        labels.most_frequent(labels.Counted(*carry.values), self.ignore, self.setting.missing, target)
        mark_missing(self.setting, carry, counts, out)

    def n_unproven(self, level: int, carry: Carry) -> int:
        """Returns how many samples of a tile may have another label than `finish` gives them."""
        return labels.n_unproven(labels.Counted(*carry.values), self.ignore)
