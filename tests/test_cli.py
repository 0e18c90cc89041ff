"""The command: exit codes, one sentence per error, data and talk kept apart, nothing heavy imported to look at local data."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zarr

import ziggurat as zg
from ziggurat.cli import commands, run, words
from ziggurat.cli.progress import Progress
from ziggurat.cli.talk import Talk

RNG = np.random.default_rng(50)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def zig(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command line in an empty folder; gives exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def write_ome05(root: Path, *, name: str = "cells", n_levels: int = 3, translation: bool = True) -> Path:
    group = zarr.open_group(root, mode="w", zarr_format=3)
    datasets = []
    for k in range(n_levels):
        f = 2**k
        group.create_array(f"s{k}", shape=(40 // f, 52 // f), chunks=(16, 16), dtype="u2", dimension_names=("y", "x"))[...] = k
        steps: list[dict[str, object]] = [{"type": "scale", "scale": [0.1 * f, 0.1 * f]}]
        steps += [{"type": "translation", "translation": [0.1 * (f - 1) / 2] * 2}] if translation else []
        datasets.append({"path": f"s{k}", "coordinateTransformations": steps})
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
    multiscale = {"name": name, "type": "mean", "axes": axes, "datasets": datasets, "metadata": {"method": "other"}}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    return root


def write_founding(root: Path) -> Path:
    """Two series that share their base, with what the founding document calls SHOULD, but `metadata`."""
    group = zarr.open_group(root, mode="w", zarr_format=2)
    for path, shape, dtype in (("base", (64, 48, 3), "u1"), ("G1", (32, 24, 3), "f8"), ("L1", (32, 24, 3), "f8")):
        group.create_array(path, shape=shape, chunks=(32, 24, 3), dtype=dtype)[...] = 1
    group.attrs["multiscales"] = [
        {"version": "0.1", "name": name, "type": name, "datasets": [{"path": "base"}, {"path": level}]}
        for name, level in (("gaussian", "G1"), ("laplacian", "L1"))
    ]
    return root


def tree(root: Path) -> dict[str, str]:
    """Hashes of everything below a folder."""
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(root.rglob("*")) if p.is_file()}


def one_sentence(err: str) -> str:
    assert err.endswith("\n")
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("ziggurat: ")
    assert all(c.isprintable() for c in lines[0])
    assert "Traceback" not in err
    return lines[0]


# --- what it costs to look -----------------------------------------------------------------------------------------------------


def loaded_after(cwd: Path, *arguments: str) -> set[str]:
    program = "import sys\nfrom ziggurat.cli import run\nrun(sys.argv[1:])\nprint('LOADED', *sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=cwd, check=True)
    return set(done.stderr.rpartition("LOADED")[2].split())


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["build", "--help"], ["info", "a.zarr"], ["info", "a.zarr/s1", "--json"], ["check", "a.zarr"], ["info", "v1.zarr"], ["check", "v1.zarr"]],
)
def test_help_and_looking_at_local_data_import_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    write_ome05(tmp_path / "a.zarr")
    write_founding(tmp_path / "v1.zarr")
    loaded = loaded_after(tmp_path, *arguments)
    assert loaded & {"numpy", "zarr", "numcodecs", "imagecodecs", "rich", "asyncio", "tifffile", "dask"} == set()
    if arguments[-1] == "--help":
        assert loaded & {"ziggurat.pyramid", "ziggurat.layouts", "ziggurat.builder"} == set()


def test_a_build_of_local_arrays_imports_no_zarr(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", RNG.integers(0, 9, (64, 64), dtype=np.uint8))
    loaded = loaded_after(tmp_path, "build", "a.npy", "--quiet", "--chunks", "16")
    assert "numpy" in loaded
    assert loaded & {"zarr", "numcodecs", "rich", "tifffile", "dask"} == set()
    assert len(zg.open(tmp_path / "a.ome.zarr")) == 3


def test_python_m_and_the_entry_point_are_the_command(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "ziggurat", "--version"], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == f"ziggurat {zg.__version__}\n"


# --- help ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", list(commands.commands))
def test_help_of_every_command_fits_the_terminal_and_has_examples(zig: Run, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"\n  {command} " in zig("--help")[1]
    for width in (80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        code, out, err = zig(command, "--help")
        assert (code, err) == (0, "")
        assert f"ziggurat {command}" in out.split("Examples")[1]
        assert max(map(len, out.splitlines())) <= width


def test_without_a_command_the_help_goes_to_standard_error(zig: Run) -> None:
    code, out, err = zig()
    assert (code, out) == (2, "")
    assert "Usage" in err


def test_the_options_are_the_fields_of_the_build_options(zig: Run) -> None:
    import dataclasses

    out = zig("build", "--help")[1]
    for field in dataclasses.fields(zg.BuildOptions):
        assert f"--{field.name.replace('_', '-')}" in out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["buidl"], "'buidl'"),
        (["build"], "SOURCE"),
        (["build", "a.npy", "--levels", "two"], "'two'"),
        (["build", "a.npy", "--factors", "2,x"], "'x', expected whole numbers"),
        (["build", "a.npy", "--factors", "1.5"], "'1.5', expected whole numbers"),
        (["build", "a.npy", "--scale", "z=1,2"], "expected each axis once, by name"),
        (["build", "a.npy", "--scale", "z=1,z=2"], "expected each axis once, by name"),
        (["build", "a.npy", "--kind", "picture"], "'picture'"),
        (["info", "a.zarr", "--verbose"], "--verbose"),
        (["upgrade", "a.zarr"], "--to"),
    ],
)
def test_usage_errors_are_one_sentence_and_exit_2(zig: Run, arguments: list[str], text: str) -> None:
    code, out, err = zig(*arguments)
    assert (code, out) == (2, "")
    assert text in one_sentence(err)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("2", int, 2),
        ("1,2,2", int, (1, 2, 2)),
        ("z=1, y=2,x=2", int, {"z": 1, "y": 2, "x": 2}),
        (".5", float, 0.5),
        ("1e-3,2", float, (0.001, 2)),
        ("micrometer", str, "micrometer"),
        ("t=second,z=micrometer", str, {"t": "second", "z": "micrometer"}),
    ],
)
def test_values_have_three_spellings(text: str, kind: type, value: object) -> None:
    assert words.values(text, kind, "") == value
    assert type(words.values("3", float, "")) is int


def test_factors_are_a_step_or_a_ladder() -> None:
    def parse(*texts: str) -> object:
        return words.steps(None, None, texts)  # type: ignore[arg-type]

    assert parse() is None
    assert parse("2") == 2
    assert parse("1,2,2") == (1, 2, 2)
    assert parse("2", "3") == parse("2;3") == [(2,), (3,)]
    assert parse("1,2,2;z=2,y=2,x=2") == [(1, 2, 2), {"z": 2, "y": 2, "x": 2}]


# --- info -------------------------------------------------------------------------------------------------------------------------


def test_info_shows_every_multiscale_and_what_is_not_stated(zig: Run, tmp_path: Path) -> None:
    write_founding(tmp_path / "a.zarr")
    code, out, err = zig("info", "a.zarr")
    assert (code, err) == (0, "")
    assert [line for line in out.splitlines() if line.startswith("multiscale ")] == [
        "multiscale 'gaussian' · multiscales@0.1 · type gaussian · 1 of 2",
        "multiscale 'laplacian' · multiscales@0.1 · type laplacian · 2 of 2",
    ]
    assert "shared  base: in more than one multiscale" in out
    assert "~0.5 0.5" in out
    assert "~ inferred" in out


def test_info_as_json_has_every_number_and_its_provenance(zig: Run, tmp_path: Path) -> None:
    write_ome05(tmp_path / "a.zarr", translation=False)
    found = json.loads(zig("info", "a.zarr", "--json")[1])
    assert found["layouts"] == ["ome-zarr@0.5"]
    (multiscale,) = found["multiscales"]
    assert [axis["unit"] for axis in multiscale["axes"]] == ["micrometer", "micrometer"]
    assert [level["shape"] for level in multiscale["levels"]] == [[40, 52], [20, 26], [10, 13]]
    assert [level["scale"] for level in multiscale["levels"]] == [[0.1, 0.1], [0.2, 0.2], [0.4, 0.4]]
    assert {level["scale_provenance"] for level in multiscale["levels"]} == {"stated"}
    assert {level["translation_provenance"] for level in multiscale["levels"]} == {"inferred"}
    assert multiscale["metadata"] == {"method": "other"}
    assert found["problems"] != []


def test_info_tells_what_is_there_when_no_multiscale_is(zig: Run, tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "g.zarr", mode="w")
    group.create_array("raw", shape=(64, 64), chunks=(16, 16), dtype="u1")
    group.create_group("more")
    np.save(tmp_path / "a.npy", np.zeros((5, 6), "f4"))
    code, out, _ = zig("info", "g.zarr")
    assert code == 0
    assert "raw    64 x 64  16 x 16  uint8  4.0 KiB" in out
    assert "groups  more" in out
    assert "no multiscale here" in out
    code, out, _ = zig("info", "g.zarr/raw")
    assert code == 0
    assert "64 x 64" in out
    code, out, _ = zig("info", "a.npy")
    assert code == 0
    assert "5 x 6" in out
    assert "ziggurat build" in out


def test_info_shows_a_missing_level_and_arrays_that_no_series_lists(zig: Run, tmp_path: Path) -> None:
    root = write_ome05(tmp_path / "a.zarr")
    (root / "s1" / "zarr.json").unlink()
    zarr.open_group(root)["s2"]
    zarr.create_array(root / "mask", shape=(3, 3), dtype="u1")
    code, out, _ = zig("info", "a.zarr")
    assert code == 0
    row = next(line.split() for line in out.splitlines() if line.split()[:1] == ["1"])
    assert row[:3] == ["1", "s1", "missing"]
    assert "besides mask: in no multiscale" in out
    levels = json.loads(zig("info", "a.zarr", "--json")[1])["multiscales"][0]["levels"]
    assert [level["present"] for level in levels] == [True, False, True]


def test_a_broken_neighbour_does_not_hide_a_pyramid(zig: Run, tmp_path: Path) -> None:
    root = write_ome05(tmp_path / "a.zarr")
    (root / "zz").mkdir()
    (root / "zz" / "zarr.json").write_text("{")
    code, out, _ = zig("info", "a.zarr")
    assert code == 0
    assert "multiscale 'cells'" in out
    assert "broken  zz: a document that cannot be read" in out


@pytest.mark.parametrize("columns", ["80", "120"])
def test_info_fits_the_terminal(zig: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    write_founding(tmp_path / "a.zarr")
    write_ome05(tmp_path / "b.zarr", translation=False)
    for place in ("a.zarr", "b.zarr"):
        assert max(map(len, zig("info", place)[1].splitlines())) <= int(columns)


def test_no_name_reaches_the_terminal_as_a_control_code(zig: Run, tmp_path: Path) -> None:
    write_ome05(tmp_path / "a.zarr", name="\x1b]0;owned\x07\x9b31m\u202e\r\n<b>")
    for arguments in (
        ["info", "a.zarr"],
        ["info", "a.zarr", "--json"],
        ["check", "a.zarr"],
        ["info", "\x1b[31m.zarr"],
        ["upgrade", "a.zarr", "--to", "\x1b[31m"],
    ):
        _, out, err = zig(*arguments)
        assert all(c.isprintable() or c == "\n" for c in out + err)
    assert "\\x1b]0;owned\\x07" in zig("info", "a.zarr")[1]


# --- check ------------------------------------------------------------------------------------------------------------------------


def test_the_founding_sample_passes_with_two_pieces_of_advice(zig: Run, tmp_path: Path) -> None:
    write_founding(tmp_path / "a.zarr")
    code, out, err = zig("check", "a.zarr")
    assert (code, err) == (0, "")
    advice = [line for line in out.splitlines() if line.startswith("advice ")]
    assert [("metadata" in line, f"multiscales[{i}]" in line) for i, line in enumerate(advice)] == [(True, True), (True, True)]
    assert out.splitlines()[-1] == "passed  a.zarr (multiscales@0.1): 2 pieces of advice"
    assert zig("check", "a.zarr", "--strict")[0] == 1
    assert zg.check(tmp_path / "a.zarr").ok
    assert not zg.check(tmp_path / "a.zarr", strict=True).ok


def test_a_level_is_checked_by_the_group_that_lists_it(zig: Run, tmp_path: Path) -> None:
    write_ome05(tmp_path / "a.zarr")
    zarr.create_array(tmp_path / "alone.zarr", shape=(4, 4), dtype="u1")
    code, out, _ = zig("check", "a.zarr/s1")
    assert (code, out.split()[0]) == (0, "passed")
    code, out, err = zig("check", "alone.zarr")
    assert (code, out) == (2, "")
    assert "none of the 3 groups above lists" in one_sentence(err)


def test_a_broken_must_fails(zig: Run, tmp_path: Path) -> None:
    root = write_ome05(tmp_path / "a.zarr")
    assert zig("check", "a.zarr")[:2] == (0, "passed  a.zarr (ome-zarr@0.5)\n")
    (root / "s1" / "zarr.json").unlink()
    code, out, _ = zig("check", "a.zarr")
    assert code == 1
    assert out.startswith("broken  OME")
    assert out.splitlines()[-1] == "failed  a.zarr (ome-zarr@0.5): 1 rule broken"
    found = json.loads(zig("check", "a.zarr", "--json")[1])
    assert (found["ok"], [problem["requirement"] for problem in found["problems"]]) == (False, ["MUST"])
    assert found["problems"][0]["loc"] == "ome.multiscales[0].datasets[1].path"


# --- errors -----------------------------------------------------------------------------------------------------------------------

BROKEN = {
    "broken.zarr": '{"zarr_format": 3, "node_type": "group", ',
    "nan.zarr": '{"zarr_format": 3, "node_type": "group", "attributes": {"a": NaN}}',
    "twice.zarr": '{"zarr_format": 3, "zarr_format": 3, "node_type": "group"}',
}


def path_document(path: str) -> str:
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {"multiscales": [{"version": "0.1", "name": "a", "datasets": [{"path": path}]}]}})


@pytest.mark.parametrize("command", ["info", "check"])
@pytest.mark.parametrize("name", sorted(BROKEN))
def test_documents_that_are_no_json_are_one_sentence(zig: Run, tmp_path: Path, command: str, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "zarr.json").write_text(BROKEN[name])
    code, out, err = zig(command, name)
    if command == "check" and code == 1:  # judged, and found broken
        assert out.splitlines()[-1].startswith("failed")
        return
    assert (code, out) == (2, "")
    assert "zarr.json" in one_sentence(err)


@pytest.mark.parametrize("path", ["../a", "a/../../b", "/etc", "https://example.org/a", "C:\\a", "a\x00b", "~", "$HOME"])
def test_paths_that_leave_the_root_are_broken_rules(zig: Run, tmp_path: Path, path: str) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text(path_document(path))
    code, out, _ = zig("check", "a.zarr")
    assert code == 1
    assert "multiscales[0].datasets[0].path" in out
    assert zig("info", "a.zarr")[0] == 0


@pytest.mark.parametrize("command", ["info", "check", "build", "plan", "upgrade"])
def test_a_missing_place_is_one_sentence_and_exit_2(zig: Run, command: str) -> None:
    more = ["--to", "ome-zarr@0.5"] if command == "upgrade" else []
    code, out, err = zig(command, "nothing.zarr", *more)
    assert (code, out) == (2, "")
    assert "nothing.zarr" in one_sentence(err)


def test_debug_shows_the_traceback_and_the_sentence(zig: Run) -> None:
    code, _, err = zig("info", "nothing.zarr", "--debug")
    assert code == 2
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("ziggurat: nothing.zarr")


def test_a_defect_is_a_sentence_too(zig: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*arguments: object, **options: object) -> None:
        raise RuntimeError("the unthinkable\nhappened")

    monkeypatch.setattr("ziggurat.pyramid.survey", explode)
    code, _, err = zig("info", "a.zarr")
    assert code == 2
    assert one_sentence(err) == "ziggurat: a defect of ziggurat itself: RuntimeError: the unthinkable happened; --debug shows where"


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    write_ome05(tmp_path / "a.zarr")
    command = f"{sys.executable} -m ziggurat info a.zarr --json | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stderr == ""


# --- build ------------------------------------------------------------------------------------------------------------------------


def test_build_then_info_then_check(zig: Run, tmp_path: Path) -> None:
    samples = RNG.integers(0, 4000, (40, 52, 60), dtype=np.uint16)
    np.save(tmp_path / "a.npy", samples)
    code, out, err = zig(
        "build", "a.npy", "--axes", "zyx", "--scale", "z=.5,y=.1,x=.1", "--unit", "micrometer", "--chunks", "16", "--factors", "2", "--levels", "3"
    )
    assert code == 0, err
    assert len(out.splitlines()) == 5
    assert zig("check", "a.ome.zarr", "--strict") == (0, "passed  a.ome.zarr (ome-zarr@0.5)\n", "")
    pyramid = zg.open(tmp_path / "a.ome.zarr")
    np.testing.assert_array_equal(pyramid.levels[0].array[...], samples)
    expected = np.rint(samples.reshape(10, 4, 13, 4, 15, 4).mean(axis=(1, 3, 5)))
    np.testing.assert_array_equal(pyramid.levels[2].array[...], expected)
    assert pyramid.levels[2].scale == (2.0, 0.4, 0.4)


def test_plan_writes_nothing_and_says_what_build_does(zig: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", RNG.integers(0, 9, (64, 80), dtype=np.uint8))
    code, out, _ = zig("plan", "a.npy", "--chunks", "16")
    assert code == 0
    assert "64 x 80" in out
    planned = json.loads(zig("plan", "a.npy", "--chunks", "16", "--json")[1])
    assert [level["shape"] for level in planned["levels"]] == [[64, 80], [32, 40], [16, 20], [8, 10]]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npy"]
    result = json.loads(zig("build", "a.npy", "--chunks", "16", "--json", "--quiet")[1])
    assert result["plan"]["fingerprint"] == planned["fingerprint"]
    assert [list(level.shape) for level in zg.open(tmp_path / "a.ome.zarr")] == [level["shape"] for level in planned["levels"]]


def test_in_place_is_said_first_and_the_base_is_not_touched(zig: Run, tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    group.create_array("raw", shape=(64, 64), chunks=(16, 16), dtype="u1", dimension_names=("y", "x"))[...] = RNG.integers(0, 9, (64, 64))
    before = tree(tmp_path / "a.zarr" / "raw")
    code, _, err = zig("build", "a.zarr/raw")
    assert code == 0
    assert err.startswith("in place: levels are added beside")
    assert tree(tmp_path / "a.zarr" / "raw") == before
    assert zig("check", "a.zarr")[0] == 0
    assert [level.path for level in zg.open(tmp_path / "a.zarr")] == ["raw", "1", "2"]


def test_quiet_says_nothing(zig: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", RNG.integers(0, 9, (64, 80), dtype=np.uint8))
    assert zig("build", "a.npy", "--quiet") == (0, "", "")


def test_a_ladder_and_names_reach_the_plan(zig: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((60, 60), "u1"))
    planned = json.loads(zig("plan", "a.npy", "--factors", "2", "--factors", "3,5", "--names", "s{k}", "--name", "steps", "--json")[1])
    assert [level["cumulative"] for level in planned["levels"]] == [[1, 1], [2, 2], [6, 10]]
    assert [level["path"] for level in planned["levels"]] == ["s0", "s1", "s2"]
    assert planned["name"] == "steps"
    assert [level["path"] for level in json.loads(zig("plan", "a.npy", "--names", "full,half", "--levels", "2", "--json")[1])["levels"]] == ["full", "half"]


def npy(path: Path, samples: np.ndarray) -> Path:
    np.save(path, samples, allow_pickle=True)
    return path


def beside(folder: Path, weights: np.ndarray) -> Path:
    """A base, and weights that do not go with it."""
    npy(folder / "w.npy", weights)
    return npy(folder / "in.npy", np.zeros((64, 64), "u1"))


@pytest.mark.parametrize(
    ("make", "options", "words_found"),
    [
        (lambda p: (p / "in.npy").write_bytes(b"not an image at all"), [], "in.npy"),
        (lambda p: npy(p / "in.npy", np.zeros((4, 5), "u1")), ["--axes", "qqq"], "axes"),
        (lambda p: npy(p / "in.npy", np.zeros((4, 5), "u1")), ["--axes", "yy"], "axes"),
        (lambda p: npy(p / "in.npy", np.zeros((2, 3, 4, 5), "u1")), [], "--axes"),
        (lambda p: npy(p / "in.npy", np.zeros((4, 5), "u1")), ["--factors", "8"], "factor"),
        (lambda p: npy(p / "in.npy", np.zeros((4, 5), "u1")), ["--factors", "z=2"], "'z'"),
        (lambda p: npy(p / "in.npy", np.zeros((0, 5), "u1")), [], "length 0"),
        (lambda p: npy(p / "in.npy", np.array([[{}]], dtype=object)), [], "object"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "u4")), [], "--kind labels"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "u1")), ["--reduction", "meen"], "'meen'"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "u1")), ["--kind", "labels", "--reduction", "mean"], "force"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "u1")), ["--layout", "ome-zarr@7"], "ome-zarr@7"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "u1")), ["--codecs", "rot13"], "rot13"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "u1")), ["--memory", "plenty"], "'plenty'"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "u1")), ["--memory", "1KiB"], "memory"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "u1")), ["--names", "../{k}"], "names"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "u1")), ["--scale", "-1"], "scale"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "u1")), ["--shards", "24"], "shards"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "u1")), ["--levels", "40"], "levels"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "f4")), ["--kind", "labels"], "labels are whole numbers, found float32"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "U3")), [], "strings"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), bool)), ["--reduction", "sum"], "dtype 'bool'"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "c8")), ["--reduction", "max"], "complex numbers have no order"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "f4")), ["--reduction", "any"], "dtype 'float32'"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "f4")), ["--reduction", "q1.5"], "q=1.5, expected a number from 0 to 1"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "f4")), ["--reduction", "quantile(q=nan)"], "q=nan, expected a number from 0 to 1"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "f4")), ["--min-valid", "0"], "min_valid: found 0.0, expected a share above 0"),
        (lambda p: npy(p / "in.npy", np.zeros((64, 64), "f4")), ["--min-valid", "1.5"], "min_valid: found 1.5"),
        (lambda p: beside(p, np.ones((3, 7))), ["--weights", "w.npy"], "does not broadcast to the base's (64, 64)"),
        (lambda p: beside(p, -np.ones((64, 64))), ["--weights", "w.npy", "--chunks", "16"], "weights: found -1.0 at sample"),
        (lambda p: beside(p, np.full((64, 1), np.nan)), ["--weights", "w.npy", "--chunks", "16"], "weights: found nan at sample"),
        (lambda p: beside(p, np.ones((64, 64), "U1")), ["--weights", "w.npy"], "strings"),
    ],
)
def test_a_build_that_cannot_be_done_is_one_sentence_and_leaves_nothing(zig: Run, tmp_path: Path, make: object, options: list[str], words_found: str) -> None:
    make(tmp_path)  # type: ignore[operator]
    before, names = tree(tmp_path), sorted(tmp_path.rglob("*"))
    code, out, err = zig("build", "in.npy", "out.zarr", *options)
    assert (code, out) == (2, "")
    assert words_found in one_sentence(err)
    assert tree(tmp_path) == before
    assert sorted(tmp_path.rglob("*")) == names


def test_a_target_that_exists_is_refused_until_overwrite(zig: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", RNG.integers(0, 9, (64, 80), dtype=np.uint8))
    assert zig("build", "a.npy", "-q")[0] == 0
    before = tree(tmp_path)
    code, _, err = zig("build", "a.npy")
    assert code == 2
    assert "--overwrite" in one_sentence(err)
    assert "--add" in err
    assert "=True" not in err
    assert tree(tmp_path) == before
    assert zig("build", "a.npy", "--overwrite", "-q", "--chunks", "16")[0] == 0
    assert zg.open(tmp_path / "a.ome.zarr").levels[0].chunks == (16, 16)
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "letter.txt").write_text("dear")
    (tmp_path / "plain" / "attributes.json").write_text("{}")  # also the name of N5's document
    code, _, err = zig("build", "a.npy", "plain", "--overwrite")
    assert code == 2
    one_sentence(err)
    assert (tmp_path / "plain" / "letter.txt").read_text() == "dear"


def test_an_unknown_codec_of_the_source_is_one_sentence(zig: Run, tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    group.create_array("raw", shape=(64, 64), chunks=(16, 16), dtype="u1", dimension_names=("y", "x"))[...] = 1
    document = json.loads((tmp_path / "a.zarr" / "raw" / "zarr.json").read_text())
    document["codecs"] = [{"name": "bytes"}, {"name": "rot13", "configuration": {}}]
    (tmp_path / "a.zarr" / "raw" / "zarr.json").write_text(json.dumps(document))
    before = tree(tmp_path)
    code, _, err = zig("build", "a.zarr/raw", "-q")
    assert code == 2
    assert "rot13" in one_sentence(err)
    assert tree(tmp_path) == before
    assert zig("info", "a.zarr/raw")[0] == 0


def test_a_read_only_target_is_one_sentence(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((64, 80), "u1"))
    (tmp_path / "closed").mkdir(mode=0o500)
    powerless = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"] if os.geteuid() == 0 else []  # root may write everywhere
    if powerless and (shutil.which("setpriv") is None or subprocess.run([*powerless, "true"], check=False).returncode):
        pytest.skip("root cannot lay down its powers here")
    before = tree(tmp_path)
    command = [*powerless, sys.executable, "-m", "ziggurat", "build", "a.npy", "closed/out.zarr", "-q"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "closed/out.zarr: cannot be written to" in one_sentence(done.stderr)
    assert "Permission denied" in done.stderr
    assert tree(tmp_path) == before


def test_a_target_below_a_file_is_one_sentence(zig: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((64, 80), "u1"))
    before = tree(tmp_path)
    code, _, err = zig("build", "a.npy", "a.npy/out.zarr", "-q")
    assert code == 2
    one_sentence(err)
    assert tree(tmp_path) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB, where mounting one is permitted."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_full_disk_is_one_sentence_and_publishes_nothing(zig: Run, tmp_path: Path, small_disk: Path) -> None:
    np.save(tmp_path / "a.npy", RNG.integers(0, 2**16, (64, 256, 256), dtype=np.uint16))
    before = (tmp_path / "a.npy").read_bytes()
    code, out, err = zig("build", "a.npy", "disk/out.zarr", "--chunks", "32", "--quiet")
    assert (code, out) == (2, "")
    assert "No space left" in one_sentence(err) or "full" in err
    assert (tmp_path / "a.npy").read_bytes() == before
    assert zig("info", "disk/out.zarr")[0] in (0, 2)
    with pytest.raises(zg.ZigguratError):
        zg.open(small_disk / "out.zarr")


def test_a_read_only_file_system_is_one_sentence(zig: Run, tmp_path: Path, small_disk: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((64, 80), "u1"))
    if subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    code, _, err = zig("build", "a.npy", "disk/out.zarr", "--quiet")
    assert code == 2
    one_sentence(err)


def test_a_killed_build_never_looks_finished_and_goes_on(zig: Run, tmp_path: Path) -> None:
    samples = RNG.integers(0, 2**12, (128, 320, 320), dtype=np.uint16)
    np.save(tmp_path / "a.npy", samples)
    words_said = ["build", "a.npy", "--axes", "zyx", "--chunks", "64", "--threads", "1"]
    with subprocess.Popen([sys.executable, "-m", "ziggurat", *words_said], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as killed:
        target = tmp_path / "a.ome.zarr"
        deadline = time.monotonic() + 60
        while len([p for p in target.rglob("*") if p.is_file() and "c" in p.parts]) < 20 and killed.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        killed.send_signal(signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(zg.ZigguratError):
        zg.open(target)
    code, _, err = zig(*words_said)
    assert code == 0, err
    assert "resuming at" in err
    pyramid = zg.open(target)
    np.testing.assert_array_equal(pyramid.levels[0].array[...], samples)
    np.testing.assert_array_equal(pyramid.levels[1].array[...], np.rint(samples.reshape(64, 2, 160, 2, 160, 2).mean(axis=(1, 3, 5))))
    assert not (target / ".ziggurat").exists()


def test_an_interrupt_says_how_to_go_on(zig: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", np.zeros((64, 80), "u1"))

    def interrupted(self: Progress, event: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "__call__", interrupted)
    code, out, err = zig("build", "a.npy", "--chunks", "16", "--threads", "1")
    assert (code, out) == (2, "")
    assert "the same command goes on where it stopped" in err.splitlines()[-1]
    with pytest.raises(zg.ZigguratError):
        zg.open(tmp_path / "a.ome.zarr")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert zig("build", "a.npy", "--chunks", "16", "--threads", "1")[0] == 0


# --- progress ---------------------------------------------------------------------------------------------------------------------


def test_a_log_gets_a_line_per_tenth_once_it_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    with Progress(Talk(), clock=lambda: now[0]) as progress:
        for n in range(1, 201):
            now[0] = n / 20
            progress(SimpleNamespace(n_done=n, n_total=200, n_resumed=0, fraction=n / 200))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["20", "30", "40", "50", "60", "70", "80", "90", "100"]
    assert lines[0] == " 20 %  40 of 200 tasks"


def test_a_short_build_and_a_quiet_one_log_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for talk, clock in ((Talk(), lambda: 0.0), (Talk(quiet=True), iter(range(0, 10**6, 100)).__next__)):
        with Progress(talk, clock=clock) as progress:
            for n in range(1, 11):
                progress(SimpleNamespace(n_done=n, n_total=10, n_resumed=3, fraction=n / 10))
    assert capsys.readouterr().err == "resuming at 30 %\n"


# --- upgrade ----------------------------------------------------------------------------------------------------------------------


def write_ome04(root: Path) -> Path:
    group = zarr.open_group(root, mode="w", zarr_format=2)
    datasets = []
    for k in range(2):
        group.create_array(str(k), shape=(40 >> k, 52 >> k), chunks=(16, 16), dtype="u2", chunk_key_encoding={"name": "v2", "separator": "/"})[...] = k + 1
        steps = [{"type": "scale", "scale": [0.1 * 2**k] * 2}, {"type": "translation", "translation": [0.1 * (2**k - 1) / 2] * 2}]
        datasets.append({"path": str(k), "coordinateTransformations": steps})
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
    group.attrs["multiscales"] = [{"version": "0.4", "name": "cells", "type": "mean", "metadata": {}, "axes": axes, "datasets": datasets}]
    return root


def test_a_dry_run_shows_the_difference_exits_1_and_writes_nothing(zig: Run, tmp_path: Path) -> None:
    before = tree(write_ome04(tmp_path / "a.zarr"))
    code, out, err = zig("upgrade", "a.zarr", "--to", "ome-zarr@0.5", "--dry-run")
    assert (code, err) == (1, "")
    assert '"version": "0.5"' in out
    assert tree(tmp_path / "a.zarr") == before
    found = json.loads(zig("upgrade", "a.zarr", "--to", "ome-zarr@0.5", "--dry-run", "--json")[1])
    assert found["changes"] != []


def test_an_upgrade_in_place_says_so_and_keeps_the_samples(zig: Run, tmp_path: Path) -> None:
    write_ome04(tmp_path / "a.zarr")
    code, _, err = zig("upgrade", "a.zarr", "--to", "ome-zarr@0.5")
    assert code == 0
    assert err.startswith("in place: ")
    pyramid = zg.open(tmp_path / "a.zarr")
    assert pyramid.layout == "ome-zarr@0.5"
    assert [int(level.array[3, 4]) for level in pyramid] == [1, 2]
    assert zig("check", "a.zarr")[0] == 0
    code, out, _ = zig("upgrade", "a.zarr", "--to", "ome-zarr@0.5", "--dry-run")
    assert code == 0
    assert "nothing to do" in out


def test_an_axis_order_that_the_target_forbids_names_both_ways_out(zig: Run, tmp_path: Path) -> None:
    before = tree(write_founding(tmp_path / "a.zarr"))
    code, out, err = zig("upgrade", "a.zarr", "--to", "ome-zarr@0.5", "--dest", "b.zarr")
    assert (code, out) == (2, "")
    assert "--transpose cyx" in one_sentence(err)
    assert "multiscales@0.1" in err
    assert not (tmp_path / "b.zarr").exists()
    assert zig("upgrade", "a.zarr", "--to", "ome-zarr@0.5", "--dest", "b.zarr", "--transpose", "cyx", "-q")[0] == 0
    assert [level.shape for level in zg.open(tmp_path / "b.zarr")] == [(3, 64, 48), (3, 32, 24)]
    assert tree(tmp_path / "a.zarr") == before
