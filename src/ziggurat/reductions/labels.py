"""The mode from the base at every level: counts of labels travel up, as many per sample as there are slots."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from ziggurat.geometry import Factors
from ziggurat.kernels import labels, ranks
from ziggurat.reductions.binding import as_nodata
from ziggurat.reductions.foldings import SampleFolding, narrowest_count
from ziggurat.reductions.ports import AnyArray, AnyDType, Carry, Counts, Folding, Setting, Value

N_SLOTS = 16
"""Labels that are counted under one sample of a level at most; beyond it the rarest are let go, and it is known where that may matter."""


def label_folding(setting: Setting, *, ignore: Value | None = None) -> Folding:
    """Returns the mode from the base of one build. Raises OptionError when `ignore` is no value of the dtype."""
    return LabelFolding(setting, _background(setting, ignore))


def mode_folding(setting: Setting, *, ignore: Value | None = None) -> Folding:
    """Returns the mode of one build, from level to level. Raises OptionError when `ignore` is no value of the dtype."""
    return SampleFolding(setting, partial(ranks.mode_ignoring, ignore=_background(setting, ignore)))


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
        return np.dtype(np.uint8)  # counts say themselves what is missing

    def fold(self, level: int, child: Carry, factors: Factors, out: tuple[AnyArray, ...]) -> AnyArray | None:
        if level > 1:
            labels.merge(labels.Counted(*child.values), factors, labels.Counted(*out))
            return None
        samples = child.values[0].view(self._label_dtype) if self.setting.dtype.kind == "b" else child.values[0]
        labels.count_samples(samples, factors, self._missing(samples), labels.Counted(*out))
        return None

    def _missing(self, samples: AnyArray) -> AnyArray | None:
        gone: AnyArray | None = np.isnan(samples) if samples.dtype.kind == "f" else None
        if self.setting.nodata is not None:
            absent = samples == samples.dtype.type(self.setting.nodata)
            gone = absent if gone is None else gone | absent
        return gone

    def finish(self, level: int, carry: Carry, counts: Counts, out: AnyArray) -> None:
        target = out.view(self._label_dtype) if self.setting.dtype.kind == "b" else out
        labels.most_frequent(labels.Counted(*carry.values), self.ignore, self.setting.missing, target)

    def n_unproven(self, level: int, carry: Carry) -> int:
        """Returns how many samples of a tile may have another label than `finish` gives them."""
        return labels.n_unproven(labels.Counted(*carry.values), self.ignore)
