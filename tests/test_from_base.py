"""Levels from the base and from the level before: docs/from_base.md, and tensorstore and scikit-image, which know the base only."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import scipy.stats
import skimage.measure
import tensorstore

from ziggurat.reductions import find, reduce_array, resolve

LADDER = [(2, 2)] * 4


@pytest.fixture(scope="module")
def page() -> ModuleType:
    place = Path(__file__).parent.parent / "docs" / "from_base.py"
    spec = importlib.util.spec_from_file_location("from_base", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["from_base"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_what_composes_is_equal_and_what_does_not_differs_from_level_2_on(page: ModuleType) -> None:
    assert {"mean", "sum", "count", "rms", "min", "max", "circular_mean", "variance", "std"} <= set(page.composing_rows_are_equal())
    labels = page.labels()["4 classes by chance"]
    differ = [row.differ for row in page.compared(find("mode"), labels)]
    assert differ[0] == 0
    assert 0.3 < differ[1] < differ[2] < differ[3]
    image = page.images()["coins"]
    for row in (find("gaussian"), resolve({"y": "mean", "x": "max"}, "yx")):
        off = [level.off for level in page.compared_with_one_step(row, image)]
        assert off[0] == 0 < off[1] < off[2]
    assert [level.off for level in page.compared_with_one_step(find("max"), image)] == [0] * 5


@pytest.mark.prove
def test_the_page_is_what_the_script_writes(page: ModuleType) -> None:
    assert page.page() == page.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "word"), [("mode(source=base)", "mode"), ("mean", "mean"), ("min", "min"), ("max", "max")])
def test_levels_of_a_photograph_are_tensorstores_of_the_base(page: ModuleType, name: str, word: str) -> None:
    base = page.images()["coins"]
    if word == "mode":
        base = base >> 5
    for k, level in enumerate(reduce_array(find(name), base, LADDER), start=1):
        want = tensorstore.downsample(tensorstore.array(base), [2**k, 2**k], word).read().result()
        if word == "mode":  # of equally frequent values tensorstore takes another: compare how often the two occur
            for index in np.argwhere(level != want):
                window = base[tuple(slice(i << k, (i + 1) << k) for i in index)]
                at = tuple(index)
                assert np.count_nonzero(window == level[at]) == np.count_nonzero(window == want[at])
                assert level[at] <= want[at]
        else:
            np.testing.assert_array_equal(level, want)


def test_a_median_from_the_base_is_scikit_images_and_the_mode_scipys(page: ModuleType) -> None:
    base = page.images()["coins"][:288, :384]
    medians, modes = (reduce_array(find(f"{name}(source=base)"), of, LADDER) for name, of in (("median", base), ("mode", base >> 5)))
    for k, (median, mode) in enumerate(zip(medians, modes, strict=True), start=1):
        want = skimage.measure.block_reduce(base, (2**k, 2**k), np.median)
        np.testing.assert_array_equal(median, np.rint(want))
        n, m = base.shape[0] >> k, base.shape[1] >> k
        blocks = (base >> 5).reshape(n, 1 << k, m, 1 << k).transpose(0, 2, 1, 3).reshape(n, m, -1)
        np.testing.assert_array_equal(mode, scipy.stats.mode(blocks, axis=-1).mode)
