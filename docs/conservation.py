"""Measures what levels conserve of a global field with missing samples, and writes `docs/conservation.md`: `python docs/conservation.py`.

The oracle is NumPy over the base: weights of cells from `sin` of their edges, sums of windows by `add.reduceat`, totals by `math.fsum`.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import ziggurat as zg

Array = NDArray[np.float64]
PAGE = Path(__file__).parent / "conservation.md"
N_LATITUDES, N_LEVELS, MISSING = 720, 6, 0.4
BOUND = 1e-12


@dataclass(frozen=True)
class Row:
    """What one level conserves; errors are relative to the base."""

    shape: tuple[int, int]
    count_error: float
    sum_error: float
    mean_error: float
    plain_drift: float
    """Of the global mean, in units of the field, when windows are averaged without weights."""
    chained_drift: float
    """Likewise, when each level is made of the rounded level before, as nested means of what is not NaN."""


def field(n_latitudes: int) -> Array:
    """A field that is warm at the equator, with waves, 40 % of it missing: half of that in continents, half scattered."""
    step = 180 / n_latitudes
    lat = np.radians(-90 + step * (np.arange(n_latitudes) + 0.5))[:, None]
    lon = np.radians(step * (np.arange(2 * n_latitudes) + 0.5))[None, :]
    values = 300 - 60 * np.sin(lat) ** 2 + 5 * np.cos(3 * lon) * np.cos(lat) + 3 * np.sin(5 * lat + 2 * lon)
    continents = np.sin(2 * lon + 1) * np.cos(3 * lat) + 0.5 * np.sin(5 * lon) * np.sin(4 * lat + 0.5)
    scattered = np.random.default_rng(25).random(values.shape)
    gone = (continents > np.quantile(continents, 1 - MISSING / 2)) | (scattered < MISSING / 2 / (1 - MISSING / 2))
    return np.where(gone, np.nan, values)


def areas(n_latitudes: int) -> Array:
    """Areas of the cells, up to one factor."""
    edges = np.sin(np.radians(np.linspace(-90, 90, n_latitudes + 1)))
    return np.repeat(np.diff(edges)[:, None], 2 * n_latitudes, axis=1)


def window_sums(values: Array, f: int) -> Array:
    """Sums over windows of f x f samples, partial ones at the ends."""
    rows = np.add.reduceat(values, np.arange(0, values.shape[0], f), axis=0)
    return np.add.reduceat(rows, np.arange(0, values.shape[1], f), axis=1)


def chained(base: Array, n_levels: int) -> list[Array]:
    """Levels of nested means: each of what is not NaN in the level before, as most tools make them."""
    levels = [base]
    for _ in range(n_levels - 1):
        there = ~np.isnan(levels[-1])
        n = window_sums(there.astype(float), 2)
        with np.errstate(invalid="ignore"):
            levels.append(window_sums(np.where(there, levels[-1], 0), 2) / n)
    return levels


def mean_of(values: Array, weights: Array) -> float:
    """Weighted mean of what is not NaN, summed without rounding."""
    there = ~np.isnan(values) & (weights > 0)
    return math.fsum((values[there] * weights[there]).tolist()) / math.fsum(weights[there].tolist())


def measure(n_latitudes: int = N_LATITUDES, n_levels: int = N_LEVELS) -> list[Row]:
    """Builds the levels with areas as weights and without, and compares each with the base."""
    base, step = field(n_latitudes), 180 / n_latitudes
    cells, there = areas(n_latitudes), ~np.isnan(base)
    globe = {"axes": ["lat", "lon"], "scale": step, "translation": {"lat": -90 + step / 2, "lon": step / 2}, "unit": "degree"}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, weights in (("area", "area"), ("plain", None)):
            zg.build(base, f"{folder}/{name}.zarr", weights=weights, coverage=True, levels=n_levels, chunks=256, **globe)
        area, plain, shares = (
            [np.asarray(level.array[...], np.float64) for level in zg.open(f"{folder}/{name}.zarr", multiscale=series).levels]
            for name, series in (("area", "area"), ("plain", "plain"), ("plain", "plain_coverage"))
        )
    n, total, mean = int(there.sum()), math.fsum(base[there].tolist()), mean_of(base, cells)
    for k, nested in enumerate(chained(base, n_levels)):
        if not k:
            continue
        f = 2**k
        counts = np.rint(shares[k - 1] * window_sums(np.ones(base.shape), f))
        full, valid = window_sums(cells, f), window_sums(cells * there, f)
        level_sum = math.fsum((np.nan_to_num(plain[k]) * counts).ravel().tolist())
        rows.append(
            Row(
                shape=plain[k].shape,  # type: ignore[arg-type]
                count_error=abs(counts.sum() - n) / n,
                sum_error=abs(level_sum - total) / total,
                mean_error=abs(mean_of(area[k], valid) - mean) / mean,
                plain_drift=mean_of(plain[k], full) - mean,
                chained_drift=mean_of(nested, full) - mean,
            )
        )
    return rows


def page(rows: list[Row]) -> str:
    """Returns the page; errors are shown as whether they keep the bound, so that it is the same on every machine."""
    step = 180 / N_LATITUDES
    lines = [
        "# What levels conserve",
        "",
        f"A field on a global grid of {step:g} degrees, {MISSING:.0%} of it missing (half in continents, half scattered),",
        f"and {N_LEVELS - 1} levels of it by factors of 2.",
        "Written by `docs/conservation.py`, which holds the field and the oracle; a test repeats it on a coarser grid.",
        "",
        "- **count**: valid samples of the base, from the coverage of the level (share times samples of the window)",
        "- **sum**: means of the level times those counts",
        '- **area mean**: mean of the level that was built with `weights="area"`, weighted by the valid area under each sample',
        "- **drift of plain means**: global mean of a level that was built without weights, its samples weighted by their cells' area, less that of the base",
        "- **drift of chained means**: the same for levels of which each is the mean of what is not NaN in the level before, as most tools make them",
        "",
        f"Relative errors are below {BOUND:g} where it says so.",
        "",
        "| level | shape | count | sum | area mean | drift of plain means | drift of chained means |",
        "|---|---|---|---|---|---|---|",
    ]
    for k, row in enumerate(rows, start=1):
        kept = [f"below {BOUND:g}" if error <= BOUND else f"{error:.1e}" for error in (row.sum_error, row.mean_error)]
        count = "equal" if row.count_error == 0 else f"{row.count_error:.1e}"
        lines.append(f"| {k} | {row.shape[0]} x {row.shape[1]} | {count} | {kept[0]} | {kept[1]} | {row.plain_drift:+.4f} | {row.chained_drift:+.4f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(measure()), encoding="utf-8")
