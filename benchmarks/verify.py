"""Compares a pyramid with the exact reduction of its base, in a few random windows of every level: speed of wrong samples is none.

python benchmarks/verify.py GROUP [--reduction mean|mode] [--nodata V] [--windows 200]    # ours: must be exact at every level
python benchmarks/verify.py --base ARRAY --level ARRAY [--factor 2]                       # a peer's level 1: how it rounds, its bias
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

AnyArray = NDArray[Any]


def exact_mean(window: AnyArray, nodata: float | None) -> Any:
    """Returns the mean of one window, missing samples left out, rounded half to even in the window's dtype."""
    flat = window.reshape(-1)
    if window.dtype.kind == "f":
        flat = flat[~np.isnan(flat)]
        return window.dtype.type(math.fsum(flat.tolist()) / len(flat)) if len(flat) else window.dtype.type(np.nan)
    if nodata is not None:
        flat = flat[flat != nodata]
        if not len(flat):
            return window.dtype.type(nodata)
    total, n = sum(map(int, flat)), len(flat)
    quotient, rest = divmod(total, n)
    return window.dtype.type(quotient + (2 * rest > n or (2 * rest == n and quotient % 2 == 1)))


def most_frequent(window: AnyArray) -> Any:
    """Returns the most frequent value of one window, the smallest of those that tie."""
    values, counts = np.unique(window, return_counts=True)
    return values[np.argmax(counts)]


def check_group(group: Path, reduction: str, nodata: float | None, n_windows: int) -> dict[str, Any]:
    """Compares every level; the mean with the base, the mode with the level before."""
    import zarr

    names = sorted((p.name for p in group.iterdir() if (p / "zarr.json").exists() or (p / ".zarray").exists()), key=int)
    arrays = [zarr.open_array(group / name, mode="r") for name in names]
    rng = np.random.default_rng(0)
    for k in range(1, len(arrays)):
        level, below = arrays[k], arrays[k - 1] if reduction == "mode" else arrays[0]
        factors = [round(b / n) for b, n in zip(below.shape, level.shape, strict=True)]
        span = max(math.prod(factors), 1)
        for _ in range(max(4, min(n_windows, 2_000_000 // span))):
            index = tuple(int(rng.integers(n)) for n in level.shape)
            window = np.asarray(below[tuple(slice(i * f, min(i * f + f, n)) for i, f, n in zip(index, factors, below.shape, strict=True))])
            expected = most_frequent(window) if reduction == "mode" else exact_mean(window, nodata)
            found = np.asarray(level[tuple(slice(i, i + 1) for i in index)]).reshape(-1)[0]
            if not (found == expected or (found != found and expected != expected)):
                raise SystemExit(f"{group}: level {k} at {index}: found {found}, expected {expected}")
    return {"n_levels": len(arrays), "exact": True}


def check_level(base: Path, level: Path, factor: int) -> dict[str, Any]:
    """Says how a level was rounded: the mean of (level - exact mean) over the middle of the array, and which rule fits."""
    import zarr

    source, reduced = zarr.open_array(base, mode="r"), zarr.open_array(level, mode="r")
    samples = reduced if reduced.ndim == source.ndim else reduced[(0,) * (reduced.ndim - source.ndim)]
    starts = [n // 2 // 128 * 128 for n in source.shape]
    sizes = [min(128, n - s) // factor * factor for n, s in zip(source.shape, starts, strict=True)]
    block = np.asarray(source[tuple(slice(s, s + n) for s, n in zip(starts, sizes, strict=True))], np.float64)
    found = np.asarray(samples[tuple(slice(s // factor, (s + n) // factor) for s, n in zip(starts, sizes, strict=True))], np.float64)
    mean = block.reshape([v for n in sizes for v in (n // factor, factor)]).mean(tuple(range(1, 2 * source.ndim, 2)))
    rules = {"half to even": np.rint(mean), "half up": np.floor(mean + 0.5), "truncated": np.floor(mean)}
    rounding = next((name for name, values in rules.items() if np.array_equal(values, found)), "not the mean of the window")
    return {"rounding": rounding, "bias": round(float((found - mean).mean()), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("group", type=Path, nargs="?")
    parser.add_argument("--reduction", default="mean")
    parser.add_argument("--nodata", type=float)
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--level", type=Path)
    parser.add_argument("--factor", type=int, default=2)
    args = parser.parse_args()
    if args.group:
        print(json.dumps(check_group(args.group, args.reduction, args.nodata, args.windows)))
    elif args.base and args.level:
        print(json.dumps(check_level(args.base, args.level, args.factor)))
    else:
        sys.exit("a group, or --base and --level")


if __name__ == "__main__":
    main()
