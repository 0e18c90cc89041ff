"""Measures what it matters to make levels from the base or from the level before, and writes `docs/from_base.md`: `python docs/from_base.py`.

Images are photographs that scikit-image brings, and the one of the examples; labels are segmentations and classes of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage
import skimage.data
import skimage.io
from numpy.typing import NDArray

from ziggurat.geometry import cumulative_factors
from ziggurat.reductions import TABLE, Reduction, find, reduce_array, resolve

Array = NDArray[Any]
ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "from_base.md"
N_LEVELS = 5
LADDER = [(2, 2)] * N_LEVELS


@dataclass(frozen=True)
class Row:
    """What differs on one level."""

    differ: float
    """Share of samples that are not equal."""
    off: float
    """Mean absolute difference, in the samples' own unit."""
    bias: float
    """Mean difference, level from level less from the base."""


def grey(image: Array) -> Array:
    """A photograph in grey: the rounded mean of its colours."""
    return image if image.ndim == 2 else np.rint(image[..., :3].mean(axis=-1)).astype(np.uint8)


def images() -> Mapping[str, Array]:
    return {
        "astronaut (examples/data)": grey(skimage.io.imread(ROOT / "examples" / "data" / "astronaut.png")),
        "coins": grey(skimage.data.coins()),
        "hubble_deep_field": grey(skimage.data.hubble_deep_field()),
    }


def labels() -> Mapping[str, Array]:
    coins, retina = grey(skimage.data.coins()), grey(skimage.data.retina())
    return {
        "coins, connected parts above 110": scipy.ndimage.label(coins > 110)[0].astype(np.uint32),
        "hubble_deep_field, connected parts above 60": scipy.ndimage.label(grey(skimage.data.hubble_deep_field()) > 60)[0].astype(np.uint32),
        "retina, 8 classes of grey": (retina >> 5).astype(np.uint8),
        "astronaut, 8 classes of grey": (images()["astronaut (examples/data)"] >> 5).astype(np.uint8),
        "4 classes by chance": np.random.default_rng(4).integers(0, 4, (512, 512)).astype(np.uint8),
    }


def compared(row: Reduction, base: Array) -> list[Row]:
    """Levels made from the level before, against those from the base."""
    found = []
    for previous, exact in zip(reduce_array(row, base, LADDER), reduce_array(row.said({"source": "base"}), base, LADDER), strict=True):
        apart = previous.astype(np.float64) - exact
        found.append(Row(float(np.mean(previous != exact)), float(np.abs(apart).mean()), float(apart.mean())))
    return found


def compared_with_one_step(row: Reduction, base: Array) -> list[Row]:
    """Levels made from the level before, against those made from the base by one step of the cumulative factors."""
    found = []
    for previous, factors in zip(reduce_array(row, base, LADDER), cumulative_factors(LADDER, base.ndim)[1:], strict=True):
        at_once = reduce_array(row, base, [factors])[0]
        apart = previous.astype(np.float64) - at_once
        found.append(Row(float(np.mean(previous != at_once)), float(np.abs(apart).mean()), float(apart.mean())))
    return found


def composing_rows_are_equal() -> list[str]:
    """Names of the rows that compose, each seen equal in two steps and in one; integers, so that no order of summation is seen."""
    base = images()["coins"].astype(np.uint16)
    names = []
    for row in TABLE:
        if not row.composes or row.halo or not row.takes(base.dtype):
            continue
        stepwise, at_once = reduce_array(row, base, [(2, 2), (2, 2)])[1], reduce_array(row, base, [(4, 4)])[0]
        near = np.allclose(stepwise.astype(np.float64), at_once.astype(np.float64), rtol=1e-6, atol=0)
        if not (np.array_equal(stepwise, at_once) or (stepwise.dtype.kind == "f" and near)):
            raise AssertionError(f"{row.name}: two steps differ from one")
        names.append(row.name)
    return names


def page() -> str:
    """Returns the page."""
    levels = " | ".join(f"level {k}" for k in range(1, N_LEVELS + 1))
    rule = "|---" * (N_LEVELS + 1) + "|"
    lines = [
        "# From the base, or from the level before",
        "",
        "Written by `docs/from_base.py`. A reduction that composes gives the same either way: on `coins`, two steps of 2 equal one of 4 for",
        ", ".join(composing_rows_are_equal()) + ".",
        "What does not compose is made from the level before, unless `source=base` is said. This is what that matters on photographs that",
        f"scikit-image brings, on segmentations and classes made of them, and on chance; {N_LEVELS} levels by factors of 2.",
        "",
        "## Labels: share of samples whose `mode` differs from `mode(source=base)`",
        "",
        f"| labels | {levels} |",
        rule,
        *(f"| {name} | {' | '.join(f'{row.differ:.1%}' for row in compared(find('mode'), base))} |" for name, base in labels().items()),
    ]
    for name in ("median", "quantile(q=0.9)"):
        lines += [
            "",
            f"## Images: mean difference of `{name}` from that of the base, and its bias, in grey levels",
            "",
            f"| image | {levels} |",
            rule,
            *(f"| {image} | {' | '.join(f'{row.off:.2f} ({row.bias:+.2f})' for row in compared(find(name), base))} |" for image, base in images().items()),
        ]
    for name, row, what in (
        (
            "gaussian",
            find("gaussian"),
            "It has no `source=base`, so it is set beside one step by the cumulative factors.",
        ),
        ("mean along y, then max along x", resolve({"y": "mean", "x": "max"}, "yx"), "Operations that do not commute are made from the level before."),
    ):
        lines += [
            "",
            f"## Images: mean difference of {name}, level from level, from one step from the base, and its bias, in grey levels",
            "",
            what,
            "",
            f"| image | {levels} |",
            rule,
            *(f"| {image} | {' | '.join(f'{r.off:.2f} ({r.bias:+.2f})' for r in compared_with_one_step(row, base))} |" for image, base in images().items()),
        ]
    lines += ["", "Levels of `laplacian` are the differences between levels of `gaussian`: they differ as those do."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
