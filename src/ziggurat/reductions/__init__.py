"""Reductions: declarative rows over kernels, and a reduction bound to one build (`Folding`, or `Filter` where there is a halo).

`find("mean")` gives a row of the table, `bind(row, dtype, ladder, base_shape=...)` the arithmetic of one build. Adding a
reduction is one row, one kernel where none fits, and one oracle in the tests; `bind` takes rows of anyone's.
"""

from ziggurat.reductions.binding import as_nodata, bind, bind_filter, check_dtype, check_weighing
from ziggurat.reductions.foldings import Gathered, Windows, coverage, joins_parts
from ziggurat.reductions.names import ALIASES, Said, by_axis, find, resolve
from ziggurat.reductions.own import reduction
from ziggurat.reductions.page import markdown
from ziggurat.reductions.ports import (
    AnyArray,
    Bounded,
    Carry,
    Counts,
    Filter,
    Folding,
    Kernel,
    Pads,
    Paired,
    Parameter,
    Reduction,
    Setting,
    Weighing,
    difference_dtype,
    word_of,
)
from ziggurat.reductions.resampling import Resampler, bind_windows, resample_array
from ziggurat.reductions.smoothing import expanded_dtype
from ziggurat.reductions.table import TABLE
from ziggurat.reductions.whole import counts_of, reconstruct, reduce_array, weighed

__all__ = [
    "ALIASES",
    "TABLE",
    "AnyArray",
    "Bounded",
    "Carry",
    "Counts",
    "Filter",
    "Folding",
    "Gathered",
    "Kernel",
    "Pads",
    "Paired",
    "Parameter",
    "Reduction",
    "Resampler",
    "Said",
    "Setting",
    "Weighing",
    "Windows",
    "as_nodata",
    "bind",
    "bind_filter",
    "bind_windows",
    "by_axis",
    "check_dtype",
    "check_weighing",
    "counts_of",
    "coverage",
    "difference_dtype",
    "expanded_dtype",
    "find",
    "joins_parts",
    "markdown",
    "reconstruct",
    "reduce_array",
    "reduction",
    "resample_array",
    "resolve",
    "weighed",
    "word_of",
]
