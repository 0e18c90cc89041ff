"""The table of reductions: one row each."""

from __future__ import annotations

import math
from fractions import Fraction

from ziggurat.reductions import moments
from ziggurat.reductions.foldings import Extremes, envelope_folding, first_sample, highest, lowest, sum_folding
from ziggurat.reductions.labels import label_folding, mode_folding
from ziggurat.reductions.ports import Parameter, Reduction, Value, difference_dtype
from ziggurat.reductions.ranked import OF_BASE, OF_WINDOWS, Picks
from ziggurat.reductions.smoothing import GaussianFilter

BOOL = ("bool",)
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
SIGNED = ("int8", "int16", "int32", "int64")
FLOATS = ("float16", "float32", "float64")
COMPLEX = ("complex64", "complex128")
NARROW = tuple(name for name in UNSIGNED + SIGNED if not name.endswith("64"))

NAN_SKIPPED = "no sample: skipped; a window of NaN alone is NaN"
NODATA_SKIPPED = "no sample: skipped; a window of nodata alone is nodata"
WHAT_IS_THERE = "the samples that are there"
THE_FACTORS = "the box of the downscale factors"
ALL_KEPT = "every result is a sample"
NO_ORDER = "complex numbers have no order; use 'mean' or 'stride'"


def _share(value: Value) -> Value:
    if isinstance(value, str) or not 0 <= value <= 1 or Fraction(repr(value)).denominator > 10**9:
        raise ValueError("a number from 0 to 1 with at most 9 decimals")
    return value


def _number(value: Value) -> Value:
    if isinstance(value, str):
        raise ValueError("a number, a value of the array's dtype")
    return value


MEAN = Reduction(
    name="mean",
    anchor="centre",
    composes=True,
    dtypes=UNSIGNED + SIGNED + FLOATS + COMPLEX,
    factory=sum_folding,
    weighs="weights",
    spans="any",
    weighted="the sum of weight times sample divided by the weight of what is there, in float64",
    summary="The mean of the base samples behind a sample, exact at every level.",
    window=THE_FACTORS + ", cumulative: every level is the mean of the base samples under it",
    ties="half to even",
    rounding="once per level, from the exact sum of the base: integers in the narrowest integer that holds it (two limbs for 64 bits); "
    "floats are summed in float64, complex numbers in complex128",
    partial=WHAT_IS_THERE + ", divided by their number",
    nan=NAN_SKIPPED,
    nodata=NODATA_SKIPPED + "; a mean of valid samples may happen to equal nodata",
    carries="sums",
    refusal="a mask has a majority ('mode'), 'any' or 'all'",
    source="issue #50, `type`; ties as `numpy.round` has them",
    invents=True,
)


def _overflow(value: Value) -> Value:
    if value not in ("widen", "saturate"):
        raise ValueError("widen or saturate")
    return value


def _few(value: Value) -> Value:
    if value not in (0, 1):
        raise ValueError("0 or 1")
    return value


def _period(value: Value) -> Value:
    value = {"degrees": 360, "radians": 2 * math.pi}.get(value, value) if isinstance(value, str) else value
    if isinstance(value, str) or not 0 < value < math.inf:
        raise ValueError("a number above 0, degrees or radians")
    return value


def _finite(value: Value) -> Value:
    if isinstance(value, str) or not math.isfinite(value):
        raise ValueError("a number")
    return value


SUM = Reduction(
    name="sum",
    anchor="centre",
    composes=True,
    dtypes=UNSIGNED + SIGNED + FLOATS + COMPLEX,
    factory=moments.total_folding,
    converts=moments.total_dtype,
    parameters=(
        Parameter("overflow", "widen (the levels are uint64, int64, float64 or complex128) or saturate (the base's dtype); widen when not said", _overflow),
        Parameter("min_count", "1: a window without valid samples is missing; 0: it is 0; 1 when not said", _few),
    ),
    weighs="weights",
    spans="groups",
    invents=True,
    weighted="the sum of weight times sample, in float64",
    summary="The sum of the base samples behind a sample, for quantities that add up; it never wraps.",
    window=THE_FACTORS + ", cumulative: every level is the sum of the base samples under it",
    ties="none",
    rounding="none for integers, which are exact; what their dtype cannot hold becomes the nearest that it can; floats are summed in float64, complex "
    "numbers in complex128; with weights the sum of weight times sample, in float64",
    partial=WHAT_IS_THERE,
    nan="no sample: skipped; a window of NaN alone is NaN, or 0 with `min_count=0`",
    nodata="no sample: skipped; a window of nodata alone is nodata, or 0 with `min_count=0`; a sum of valid samples may happen to equal nodata",
    carries="sums",
    refusal="say dtype='uint8' to count what is True of a mask",
    source="xarray's and NumPy's `sum`, whose empty sum is 0; GDAL's",
)

COUNT = Reduction(
    name="count",
    anchor="centre",
    composes=True,
    dtypes=BOOL + UNSIGNED + SIGNED + FLOATS + COMPLEX,
    factory=moments.CountFolding,
    converts=moments.count_dtype,
    weighs="validity",
    spans="groups",
    invents=True,
    weighted="refused: every sample counts 1; the share of the weight that is valid is `coverage=True`",
    summary="The number of valid base samples behind a sample, as uint64.",
    window=THE_FACTORS + ", cumulative: every level counts the base samples under it",
    ties="none",
    rounding="none",
    partial=WHAT_IS_THERE,
    nan="not counted; a window of NaN alone is 0",
    nodata="not counted; a window of nodata alone is 0",
    carries="sums",
    source="xarray's `count`",
)

RMS = Reduction(
    name="rms",
    anchor="centre",
    composes=True,
    dtypes=NARROW + FLOATS,
    factory=moments.rms_folding,
    weighs="weights",
    spans="any",
    invents=True,
    weighted="the mean of the squares is weighted",
    summary="The root of the mean of the squares of the base samples behind a sample.",
    window=THE_FACTORS + ", cumulative: every level is that of the base samples under it",
    ties="half to even",
    rounding="once per level; squares are summed in float64",
    partial=WHAT_IS_THERE + ", divided by their number",
    nan=NAN_SKIPPED,
    nodata=NODATA_SKIPPED + "; a root may happen to equal nodata",
    carries="sums",
    refusal="squares of 64-bit integers fit no float64: say a narrower dtype=; complex numbers and masks have none",
    source="GDAL's rms",
)

CIRCULAR_MEAN = Reduction(
    name="circular_mean",
    anchor="centre",
    composes=True,
    dtypes=("uint16", "uint32", "int16", "int32", *FLOATS),
    factory=moments.circular_folding,
    parameters=(
        Parameter("period", "what a whole turn is: a number, degrees (360) or radians (2 pi); 360 when not said", _period),
        Parameter("low", "the smallest direction that is written, such as -180; 0 when not said", _finite),
    ),
    weighs="weights",
    spans="any",
    invents=True,
    weighted="unit vectors are weighted",
    summary="The direction of the sum of the unit vectors of the base samples behind a sample: of 350 and 10 degrees 0, not 180.",
    window=THE_FACTORS + ", cumulative: every level is that of the base samples under it",
    ties="half to even (within 1e-9 of a tie); what is rounded to `low + period` is written as `low`",
    rounding="once per level; cosines and sines are summed in float64",
    partial=WHAT_IS_THERE,
    nan="no sample: skipped; a window of NaN alone is NaN, as is one whose directions cancel (a mean vector shorter than 1e-12)",
    nodata="no sample: skipped; a window of nodata alone is nodata, as is one whose directions cancel; integers without nodata have 0 there",
    carries="sums",
    refusal="8 bits hold no 360 degrees and 64 bits no float64: say dtype='int16' or float32; complex numbers have a mean",
    source="scipy's `circmean`",
)

VARIANCE = Reduction(
    name="variance",
    anchor="centre",
    composes=True,
    dtypes=NARROW + FLOATS,
    factory=moments.variance_folding,
    converts=moments.variance_dtype,
    weighs="weights",
    invents=True,
    weighted="mean and squared deviations are weighted, divided by the sum of weights",
    summary="The mean squared deviation of the base samples behind a sample from their mean (not corrected: divided by n).",
    window=THE_FACTORS + ", cumulative: every level is that of the base samples under it",
    ties="none: deviations are floats",
    rounding="means and squared deviations are merged in float64 (Chan's formula), rounded once to float32 (bases of up to 16 bits, float32), else float64",
    partial=WHAT_IS_THERE + ", divided by their number",
    nan=NAN_SKIPPED,
    nodata=NODATA_SKIPPED + "; a variance may happen to equal nodata",
    carries="moments",
    refusal="deviations of 64-bit integers fit no float64: say a narrower dtype=; complex numbers and masks have none",
    source="xarray's and NumPy's `var` with ddof=0; Chan, Golub and LeVeque 1979",
)

STD = Reduction(
    name="std",
    anchor="centre",
    composes=True,
    dtypes=NARROW + FLOATS,
    factory=moments.deviation_folding,
    converts=moments.variance_dtype,
    weighs="weights",
    invents=True,
    weighted="as 'variance'",
    summary="The root of 'variance'.",
    window=VARIANCE.window,
    ties=VARIANCE.ties,
    rounding=VARIANCE.rounding,
    partial=VARIANCE.partial,
    nan=NAN_SKIPPED,
    nodata=NODATA_SKIPPED + "; a deviation may happen to equal nodata",
    carries="moments",
    refusal=VARIANCE.refusal,
    source="xarray's and NumPy's `std` with ddof=0",
)

STRIDE = Reduction(
    name="stride",
    anchor="first",
    composes=True,
    dtypes=BOOL + UNSIGNED + SIGNED + FLOATS + COMPLEX,
    factory=Picks(first_sample),
    weighs="masks",
    weighted="refused: one sample is taken, whatever it weighs",
    summary="The first sample of each window; so it lies where that sample lies.",
    window="one sample: the first of the window along every axis",
    ties="none",
    rounding=ALL_KEPT,
    partial="the first sample is always there",
    nan="a sample like any other",
    nodata="a sample like any other",
    source="issue #50, `type`; tensorstore's 'stride'",
)

MIN = Reduction(
    name="min",
    anchor="centre",
    composes=True,
    dtypes=BOOL + UNSIGNED + SIGNED + FLOATS,
    factory=Extremes(lowest, largest=False),
    weighs="validity",
    spans="any",
    weighted="refused: the smallest sample is the smallest, whatever it weighs; a mask says which are not there",
    summary="The smallest sample of each window.",
    window=THE_FACTORS,
    ties="none: equal samples are one value, and -0.0 comes out as 0.0",
    rounding=ALL_KEPT,
    partial=WHAT_IS_THERE,
    nan=NAN_SKIPPED,
    nodata=NODATA_SKIPPED,
    refusal=NO_ORDER,
    source="issue #50, `type`",
)

MAX = Reduction(
    name="max",
    anchor="centre",
    composes=True,
    dtypes=BOOL + UNSIGNED + SIGNED + FLOATS,
    factory=Extremes(highest, largest=True),
    weighs="validity",
    spans="any",
    weighted="refused: the largest sample is the largest, whatever it weighs; a mask says which are not there",
    summary="The largest sample of each window.",
    window=THE_FACTORS,
    ties="none: equal samples are one value, and -0.0 comes out as 0.0",
    rounding=ALL_KEPT,
    partial=WHAT_IS_THERE,
    nan=NAN_SKIPPED,
    nodata=NODATA_SKIPPED,
    refusal=NO_ORDER,
    source="issue #50, `type`",
)

MEDIAN = Reduction(
    name="median",
    anchor="centre",
    composes=False,
    dtypes=UNSIGNED + SIGNED + FLOATS,
    factory=OF_WINDOWS,
    from_base=OF_BASE,
    weighs="weights",
    invents=True,
    weighted="xarray's weighted quantile: samples in order, each as wide as its share of the weight, with Kish's `sum(w)^2 / sum(w^2)` in place of n; "
    "equal weights change nothing; in float64. A sample of the level before weighs what the valid base samples behind it weigh",
    summary="The middle sample of each window of the level before; of an even number of samples the mean of the middle two.",
    window=THE_FACTORS + ", on the level before",
    ties="the mean of the middle two: integers half to even, without overflow; floats in their own precision",
    rounding="once per level, and only where two middle samples are averaged",
    partial=WHAT_IS_THERE,
    nan=NAN_SKIPPED,
    nodata=NODATA_SKIPPED + "; a mean of the middle two may happen to equal nodata",
    refusal="a mask has a majority ('mode'); complex numbers have no order",
    source="NumPy's `median`",
)

QUANTILE = Reduction(
    name="quantile",
    anchor="centre",
    composes=False,
    dtypes=UNSIGNED + SIGNED + FLOATS,
    factory=OF_WINDOWS,
    from_base=OF_BASE,
    weighs="weights",
    invents=True,
    parameters=(Parameter("q", "the share of samples below, from 0 to 1; 0.5 when not said. `q0.9` is short for `quantile(q=0.9)`", _share),),
    weighted="xarray's weighted quantile: samples in order, each as wide as its share of the weight, with Kish's `sum(w)^2 / sum(w^2)` in place of n; "
    "equal weights change nothing; in float64. A sample of the level before weighs what the valid base samples behind it weigh",
    summary="The quantile q of each window of the level before: of n samples in order that at place (n - 1) q, linear between the two beside it.",
    window=THE_FACTORS + ", on the level before",
    ties="integers between two samples: half to even, exactly, without overflow",
    rounding="once per level, and only between two samples; floats in float64",
    partial=WHAT_IS_THERE,
    nan=NAN_SKIPPED,
    nodata=NODATA_SKIPPED + "; a value between two samples may happen to equal nodata",
    refusal="a mask has a majority ('mode'); complex numbers have no order",
    source="NumPy's `quantile`, method 'linear'; GDAL's q1, q3",
)

MODE = Reduction(
    name="mode",
    anchor="centre",
    composes=False,
    dtypes=BOOL + UNSIGNED + SIGNED + FLOATS,
    factory=mode_folding,
    weighs="weights",
    from_base=label_folding,
    at_base="exact at every level while at most 16 labels lie under a sample; beyond, the rarest are let go, and the result of the build says how many "
    "samples of which level are therefore not proven",
    parameters=(Parameter("ignore", "a value (background) that counts only in windows that hold nothing else", _number),),
    weighted="the value of the largest sum of weights; sums that differ by less than 1e-12 of themselves are a tie. A sample of the level before weighs "
    "what the valid base samples behind it weigh; with `source=base` all base samples are kept, not counts of 16 labels",
    summary="The most frequent value of each window of the level before; labels never gain a value.",
    window=THE_FACTORS + ", on the level before",
    ties="the smallest of the most frequent values (for bool False)",
    rounding=ALL_KEPT,
    partial=WHAT_IS_THERE,
    nan=NAN_SKIPPED,
    nodata=NODATA_SKIPPED,
    refusal="complex numbers have no order to break ties by; use 'stride'",
    source="issue #50, `type`; tensorstore's 'mode'",
)

ENVELOPE = Reduction(
    name="envelope",
    anchor="centre",
    composes=True,
    dtypes=MIN.dtypes,
    factory=envelope_folding,
    pair=("min", "max"),
    weighs="validity",
    weighted="refused, as for 'min' and 'max'",
    summary="The smallest and the largest sample of each window, as two series that share the base: for signals and plots.",
    window=THE_FACTORS,
    ties=MIN.ties,
    rounding=ALL_KEPT,
    partial=WHAT_IS_THERE,
    nan=NAN_SKIPPED,
    nodata=NODATA_SKIPPED,
    refusal=NO_ORDER,
    source="what plots of long signals draw",
)

ANY = Reduction(
    name="any",
    anchor="centre",
    composes=True,
    dtypes=BOOL + UNSIGNED,
    factory=Extremes(highest, largest=True),
    weighs="validity",
    spans="any",
    weighted="refused: one sample is enough, whatever it weighs; a mask says which are not there",
    summary="True where any sample of the window is; for unsigned masks (0 and one other value) that value.",
    window=THE_FACTORS,
    ties="none",
    rounding=ALL_KEPT + " (the largest of the window)",
    partial=WHAT_IS_THERE,
    nan="does not occur",
    nodata=NODATA_SKIPPED,
    refusal="make a mask first, such as `samples > threshold`",
    source="NumPy's `any`",
)

ALL = Reduction(
    name="all",
    anchor="centre",
    composes=True,
    dtypes=BOOL + UNSIGNED,
    factory=Extremes(lowest, largest=False),
    weighs="validity",
    spans="any",
    weighted="refused: one sample is enough, whatever it weighs; a mask says which are not there",
    summary="True where all samples of the window are; for unsigned masks (0 and one other value) that value.",
    window=THE_FACTORS,
    ties="none",
    rounding=ALL_KEPT + " (the smallest of the window)",
    partial=WHAT_IS_THERE,
    nan="does not occur",
    nodata=NODATA_SKIPPED,
    refusal="make a mask first, such as `samples > threshold`",
    source="NumPy's `all`",
)

GAUSSIAN = Reduction(
    name="gaussian",
    anchor="centre",
    composes=False,
    dtypes=UNSIGNED + SIGNED + FLOATS + COMPLEX,
    factory=GaussianFilter,
    weighted="refused: levels are made from stored levels, which hold no weights; missing samples are NaN or a nodata value",
    summary="The level before, smoothed by a gaussian of sigma = factor / 3 and taken at the centre of each window.",
    window="separable; per axis all samples within 4 sigma of the window's centre; of an even factor the mean of the two places beside it",
    ties="half to even",
    rounding="computed in float64 (complex128) from the level before, rounded once per level to the base's dtype; beyond 2^53 a 64-bit "
    "integer is as exact as float64 is",
    partial="the array goes on by reflection, its edge sample repeated (d c b a | a b c d | d c b a); the value lies where a whole window's would",
    nan="no sample: the weights of the others are scaled to a sum of one; a window (without its halo) of NaN alone is NaN",
    nodata="as NaN; a window of nodata alone is nodata; a smoothed value may happen to equal nodata",
    halo=True,
    invents=True,
    refusal="a mask is not smoothed as it is: use 'mode', or cast it first",
    source="issue #50, series 'gaussian'; scikit-image's `pyramid_reduce`",
)

LAPLACIAN = Reduction(
    name="laplacian",
    anchor="centre",
    composes=False,
    dtypes=NARROW + FLOATS + COMPLEX,
    factory=GaussianFilter,
    weighted="refused, as for 'gaussian'",
    summary="What each gaussian level has beyond the expansion of the next coarser one; the last level is the gaussian's last.",
    window="that of 'gaussian', and for the expansion the coarse samples within 4 sigma of the finer place",
    ties="none: differences are floats",
    rounding="G_k as 'gaussian' makes it, in the base's dtype; the difference in float64, rounded once to float32 (bases of up to 16 bits, "
    "float32), complex64, else float64 and complex128",
    partial="as 'gaussian'",
    nan="NaN where G_k is; elsewhere as 'gaussian'",
    nodata="NaN where G_k is nodata; it is nodata again when reconstructed",
    halo=True,
    stores="differences",
    converts=difference_dtype,
    invents=True,
    refusal="the difference of 64-bit integers fits no float; use 'gaussian', or a narrower dtype",
    source="issue #50, series 'laplacian'; Burt and Adelson 1983",
)

TABLE: tuple[Reduction, ...] = (
    MEAN,
    SUM,
    COUNT,
    STRIDE,
    MIN,
    MAX,
    ENVELOPE,
    MEDIAN,
    QUANTILE,
    MODE,
    ANY,
    ALL,
    RMS,
    CIRCULAR_MEAN,
    VARIANCE,
    STD,
    GAUSSIAN,
    LAPLACIAN,
)
"""Every reduction that there is, in the order in which it is listed."""
