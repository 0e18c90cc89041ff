"""The page of definitions, `docs/reductions.md`, from the table."""

from __future__ import annotations

from types import MappingProxyType

from ziggurat.reductions.names import ALIASES
from ziggurat.reductions.ports import Reduction
from ziggurat.reductions.table import TABLE

HEAD = """# Reductions

What becomes of a window of samples, for every reduction. This page is generated from the table in `ziggurat.reductions`.

A *window* is a box of `factors` samples; windows lie side by side from the array's first sample, and the last one of an axis may be
partial. *Composes* means that a level is what the base itself gives; what does not compose is defined from the level before.
No value depends on chunks, shards, tiles, threads or interruptions: a window is never split, its samples are combined in one fixed
order (first axis first, ascending), and a filter adds its taps in one fixed order. *Weighs* says what may be given beside the samples: nothing but NaN and a
nodata value; masks; `min_valid` and coverage as well (validity); weights too. [missing.md](missing.md) says what they do.

What there is to say about a reduction stands in brackets behind its name, on the command line as in Python: `quantile(q=0.9)`,
`mode(ignore=0)`. The metadata keeps it all: `type` is the bare word, `metadata.kwargs.reduction` the whole. Where a reduction
does not compose, `source=base` makes every level from the base all the same, and `metadata.kwargs.source` says so;
[from_base.md](from_base.md) shows what that matters.
"""

TAIL = """## Two arrays of each level

`envelope` makes the smallest and the largest sample of each window in one pass over the base. They are stored as two series of one group that
share the base: one of type `min` with the levels where they always are, and one of type `max`, called as the first with `_max` behind it,
whose levels lie below `max/`. `zg.open(..., multiscale="scan_max")` opens it, and each says in its metadata what makes it again.

## What each axis wants

`reduction={"y": "mean", "x": "mean", "z": "max"}`, or `--reduction 'y:mean, x:mean, z:max'`: one operation after the other, in the order in
which they are said; neighbours of one name are one operation over a window of all their axes. What is named is reduced, and nothing
else; `none` leaves an axis as it is. Each axis has the anchor of its own reduction. Where there is one reduction beside strides, and it composes,
every level is that of the base, for a stride commutes with everything. Else the order matters: a level is made from the level before, and
what an operation gives is rounded to the base's dtype as its own row says. The metadata's `type` is then `mixed`, and `metadata.kwargs` holds
the rest.

## A reduction of your own

```python
import numpy as np
import ziggurat as zg

scan = np.random.default_rng(0).integers(0, 4096, (300, 400), "uint16")
spread = zg.reduction(np.ptp, name="spread")  # f(block, axes), as NumPy's functions take them
zg.build(scan, "spread.zarr", reduction=spread, levels=3)
```

`zg.reduction` takes a function of a block of windows and the axes of the samples in it, and says of it where a value lies (`anchor`),
whether values of values are values of all samples (`composes`), and whether every level is made from the base (`source="base"`).

## Adding a reduction

One row, and one oracle in the tests. A row that needs its window only has a kernel `kernel(block, factors, out, nodata)`, which writes one
sample per window (a partial window at the end holds what is there), wrapped as `factory=Windows(kernel)`; everything else (tiles, threads,
levels, metadata) follows from the row's fields. `bind` takes rows that are not in the table.

## How scikit-image's laplacian differs

`skimage.transform.pyramid_laplacian` yields at each step `resized - smooth(resized)`, where `resized` is the step before, smoothed and
resized. Its first image is the base minus its own smoothed version, each image has the size of the level that it is made from, there is no
expansion, and the images cannot be added up to the base again. Here a level is `G_k - expand(G_k+1)`, as Burt and Adelson define it, so that
`reconstruct` gives back every gaussian level, and with `residual_base` the base itself: bit for bit for integers.

The gaussian levels agree with `skimage.transform.pyramid_gaussian` to 1e-6 on sizes that the factor divides. On other sizes scikit-image
stretches the grid to fit `ceil(n / factor)` samples, which moves every sample; here the grid keeps the factor and goes on beyond
the edge by reflection, so a sample lies where the metadata says. The expansion agrees with `skimage.transform.pyramid_expand` away from the edges;
there scikit-image interpolates with the edge sample not repeated, and here it is repeated, as in the smoothing.
"""

ANCHORS = MappingProxyType(
    {"centre": "the window's centre, (factor - 1) / 2 finer steps beyond its first sample", "first": "the window's first sample: no shift"}
)
COLUMNS = ("reduction", "anchor", "composes", "carries", "weighs", "reads beyond its window", "levels hold")


def _section(row: Reduction) -> str:
    facts = {
        "window": row.window,
        "ties": row.ties,
        "rounding": row.rounding,
        "partial windows": row.partial,
        "NaN": row.nan,
        "nodata": row.nodata,
        "weights": row.weighted,
        "anchor": "the centre of the window: the first sample lies (factor - 1) / 2 finer steps in"
        if row.anchor == "centre"
        else "the window's first sample: no shift",
        "defined from": "the base" if row.composes else "the level before",
        **{f"in brackets, `{p.name}`": p.summary for p in row.parameters},
        **({"in brackets, `source=base`": row.at_base} if row.from_base is not None else {}),
        "dtypes": ", ".join(row.dtypes),
        "other dtypes": row.refusal or "refused",
        "source": row.source,
    }
    other = [f"`{alias}`" for alias, name in ALIASES.items() if name.partition("(")[0] == row.name]
    if other:
        facts["other people's words"] = ", ".join(other)
    lines = "\n".join(f"- **{key}**: {value}" for key, value in facts.items())
    return f"## {row.name}\n\n{row.summary}\n\n{lines}\n"


def markdown() -> str:
    """Returns the page, as `docs/reductions.md` holds it."""
    cells = [
        (f"[{row.name}](#{row.name})", str(row.anchor), "yes" if row.composes else "no", row.carries, row.weighs, "yes" if row.halo else "no", row.stores)
        for row in TABLE
    ]
    table = "\n".join("| " + " | ".join(line) + " |" for line in (COLUMNS, ("---",) * len(COLUMNS), *cells))
    return "\n".join((HEAD, table, "", *(_section(row) for row in TABLE), TAIL))
