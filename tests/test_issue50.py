"""The founding document's own sample: its tree, its `.zattrs`, and what becomes of it here. Source: zarr-specs issue #50."""

from __future__ import annotations

import ast
import hashlib
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

import ziggurat as zg
from ziggurat.problems import LayoutError

SCRIPT = Path(__file__).parent.parent / "examples" / "issue50.py"

ZATTRS = """
{"multiscales": [
  {"datasets": [{"path": "base"}, {"path": "G1"}, {"path": "G2"}, {"path": "G3"}, {"path": "G4"}],
   "name": "gaussian", "type": "gaussian", "version": "0.1"},
  {"datasets": [{"path": "base"}, {"path": "L1"}, {"path": "L2"}, {"path": "L3"}, {"path": "L4"}],
   "name": "laplacian", "type": "laplacian", "version": "0.1"}]}
"""
"""The document's `.zattrs`, value for value."""

LAST = {"base": "1.1.1", "G1": "3.1.1", "G2": "1.1.0", "G3": "1.0.0", "G4": "0.0.0", "L1": "3.1.1", "L2": "1.1.0", "L3": "1.0.0", "L4": "0.0.0"}
"""The last chunk that the document's tree shows in each directory."""
GAUSSIAN, LAPLACIAN = (["base", *(f"{letter}{k}" for k in range(1, 5))] for letter in "GL")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("issue50") / "issue50.zarr"
    runpy.run_path(str(SCRIPT))["write"](str(path))
    return path


@pytest.fixture
def copied(sample: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sample, tmp_path / "issue50.zarr"))


def files(path: Path) -> dict[str, str]:
    return {str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in path.rglob("*") if p.is_file()}


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ziggurat", *arguments], capture_output=True, text=True, check=False)


def test_example_imports_zarr_and_scikit_image_and_not_us() -> None:
    tree = ast.parse(SCRIPT.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} == {"__future__", "argparse", "collections", "numpy", "skimage", "zarr"}


def test_tree_is_the_documents(sample: Path) -> None:
    # the document shows `tree` without -a: no files that begin with a dot
    shown = [p for p in sample.rglob("*") if not p.name.startswith(".")]
    directories = {p.name for p in shown if p.is_dir()}
    chunks = [p for p in shown if p.is_file()]
    assert directories == set(LAST)
    assert (len(directories), len(chunks)) == (9, 54)
    for name, last in LAST.items():
        grid = [int(i) + 1 for i in last.split(".")]
        assert {p.name for p in chunks if p.parent.name == name} == {".".join(map(str, index)) for index in np.ndindex(*grid)}


def test_attributes_are_the_documents(sample: Path) -> None:
    assert json.loads((sample / ".zattrs").read_text()) == json.loads(ZATTRS)


def test_arrays_are_what_the_sample_code_makes(sample: Path) -> None:
    group = zarr.open_group(sample, mode="r")
    assert group.metadata.zarr_format == 2
    base = group["base"]
    assert (base.shape, base.dtype) == ((1024, 1024, 3), np.dtype("uint8"))
    assert np.array_equal(base[:512, :512], base[512:, 512:])  # a photograph, tiled
    for letter in "GL":
        for level in range(1, 5):
            array = group[f"{letter}{level}"]
            assert (array.shape, array.dtype) == ((1024 >> level, 1024 >> level, 3), np.dtype("float64"))
    means = [group[f"G{level}"][...].mean() for level in range(1, 5)]
    assert np.allclose(means, base[...].mean() / 255, atol=2e-3)  # a gaussian pyramid keeps the mean,
    assert all(abs(group[f"L{level}"][...].mean()) < 2e-3 for level in range(1, 5))  # and its laplacian has none


def test_open_shows_both_series_over_one_base(sample: Path) -> None:
    found = zg.list_multiscales(sample)
    assert [multiscale.name for multiscale in found] == ["gaussian", "laplacian"]
    assert [[level.path for level in multiscale.levels] for multiscale in found] == [GAUSSIAN, LAPLACIAN]
    group = zarr.open_group(sample, mode="r")
    for name, paths in (("gaussian", GAUSSIAN), ("laplacian", LAPLACIAN)):
        pyramid = zg.open(sample, multiscale=name)
        assert [axis.name for axis in pyramid.axes] == ["y", "x", "c"]
        for path, array in zip(paths, pyramid.arrays, strict=True):
            assert np.array_equal(np.asarray(array), group[path][...])


def test_check_exits_0_with_two_advice_lines(sample: Path) -> None:
    report = zg.check(sample)
    assert [(p.requirement, p.loc) for p in report.of("SHOULD")] == [("SHOULD", "multiscales[0].metadata"), ("SHOULD", "multiscales[1].metadata")]
    assert report.ok and not report.ok_strict
    assert command("check", str(sample)).returncode == 0
    assert command("check", "--strict", str(sample)).returncode == 1


def test_upgrade_refuses_the_order_of_the_axes_with_both_ways_out(copied: Path) -> None:
    before = files(copied)
    with pytest.raises(LayoutError, match=r"axes y, x, c.*--dest NEW --transpose cyx.*stay with multiscales@0\.1"):
        zg.upgrade(copied, to="ome-zarr@0.5")
    result = command("upgrade", str(copied), "--to", "ome-zarr@0.5")
    assert result.returncode == 2
    assert result.stdout == ""
    assert "--transpose cyx" in result.stderr
    assert files(copied) == before


def test_first_way_out_a_new_store_with_the_axes_in_another_order(copied: Path) -> None:
    before, dest = files(copied), copied.parent / "new.zarr"
    result = command("upgrade", str(copied), "--to", "ome-zarr@0.5", "--dest", str(dest), "--transpose", "cyx")
    assert result.returncode == 0, result.stdout
    assert files(copied) == before
    assert zg.check(dest).ok
    old, new = zarr.open_group(copied, mode="r"), zarr.open_group(dest, mode="r")
    for name in LAST:
        assert np.array_equal(np.moveaxis(old[name][...], -1, 0), new[name][...])
    for name, paths in (("gaussian", GAUSSIAN), ("laplacian", LAPLACIAN)):
        pyramid = zg.open(dest, multiscale=name)
        assert [axis.name for axis in pyramid.axes] == ["c", "y", "x"]
        assert [level.path for level in pyramid.levels] == paths
        assert [level.scale for level in pyramid.levels] == [(1.0, float(2**k), float(2**k)) for k in range(5)]


def test_second_way_out_staying_is_a_no_op(copied: Path) -> None:
    before = files(copied)
    result = command("upgrade", str(copied), "--to", "multiscales@0.1")
    assert result.returncode == 0
    assert "already" in result.stdout
    assert files(copied) == before
