"""Repairs in every layout that is written: built by `build`, broken on purpose in one way, shown, mended, clean again, and not a sample touched."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import ziggurat as zg
from ziggurat import layouts
from ziggurat.conversion.across import writable
from ziggurat.layouts import RULES, Mending

BASE = np.random.default_rng(3).integers(0, 4000, (8, 32, 48)).astype("u2")
DOCUMENTS = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata", "attributes.json", ".zlevels")
COORDINATES = ("z", "y", "x")


class Break(NamedTuple):
    layout: str
    """With its container where there are several."""
    rule: str
    edit: Callable[[Path], None]
    how: dict[str, Any] = {}  # noqa: RUF012


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """One store per layout and container, made once."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            layout, _, container = name.partition(" ")
            ending = {"xcube@1.0": "levels"}.get(layout, "n5" if container == "n5" else "zarr")
            root = made[name] = tmp_path_factory.mktemp("fix") / f"a.{ending}"
            said = {"reduction": "mean", "levels": 3, "factors": 2, "axes": "zyx", "scale": (2.0, 0.5, 0.5), "chunks": (8, 16, 16)}
            if not container:
                zg.build(BASE, root, layout=layout, **said)  # type: ignore[arg-type]
            else:  # a conversion keeps the container of its source
                first = {"zarr2": "ome-zarr@0.4", "zarr3": "ome-zarr@0.5", "n5": "cosem@1"}[container]
                zg.build(BASE, root.with_name("source"), layout=first, name="a", **said)  # type: ignore[arg-type]
                zg.convert(root.with_name("source"), root, layout=layout)
        return made[name]

    return of


# --- ways to break


def attributes(edit: Callable[[dict[str, Any]], None], path: str = "") -> Callable[[Path], None]:
    """Breaks the attributes of a node, wherever the container keeps them, and keeps its consolidated copies true."""

    def broken(root: Path) -> None:
        folder = root / path
        if (folder / "zarr.json").is_file():
            document = json.loads((folder / "zarr.json").read_text())
            edit(document["attributes"])
            (folder / "zarr.json").write_text(json.dumps(document))
            return
        name = "attributes.json" if (folder / "attributes.json").is_file() else ".zattrs"
        found = json.loads((folder / name).read_text())
        edit(found)
        (folder / name).write_text(json.dumps(found))
        for above in (folder, *folder.parents):
            copy = above / ".zmetadata"
            if root in (above, *above.parents) and copy.is_file():
                held = json.loads(copy.read_text())
                held["metadata"][(folder.relative_to(above) / ".zattrs").as_posix()] = found
                copy.write_text(json.dumps(held))

    return broken


def inner(held: dict[str, Any]) -> dict[str, Any]:
    return held if "multiscales" in held else held["ome"]  # type: ignore[no-any-return]


def entry(held: dict[str, Any]) -> dict[str, Any]:
    return inner(held)["multiscales"][0]  # type: ignore[no-any-return]


def shuffled(held: dict[str, Any]) -> None:
    listed = entry(held)["datasets"]
    listed[:] = [listed[1], listed[0], listed[2]]


def one_more(held: dict[str, Any]) -> None:
    listed = entry(held)["datasets"]
    path = "/".join(["gone", *listed[-1]["path"].split("/")[1:]])
    listed.append({**listed[-1], "path": path})


def at_zero(held: dict[str, Any]) -> None:
    for dataset in entry(held)["datasets"]:
        for step in dataset["coordinateTransformations"]:
            if step["type"] == "translation":
                step["translation"] = [0.0] * 3


def without_places(held: dict[str, Any]) -> None:
    entry(held)["metadata"] = {"method": "somebody.else"}
    for dataset in entry(held)["datasets"]:
        dataset["coordinateTransformations"] = dataset["coordinateTransformations"][:1]


def cosem_at_zero(root: Path) -> None:
    def edit(held: dict[str, Any]) -> None:
        held["transform"]["translate"] = [0.0] * 3

    def copies(held: dict[str, Any]) -> None:
        for dataset in entry(held)["datasets"]:
            dataset["transform"]["translate"] = [0.0] * 3

    attributes(copies)(root)
    for k in range(3):
        attributes(edit, f"s{k}")(root)


def at(key: str, value: Any, path: str = "") -> Callable[[Path], None]:
    def edit(held: dict[str, Any]) -> None:
        held[key] = value

    return attributes(edit, path)


def without(key: str, path: str = "") -> Callable[[Path], None]:
    return attributes(lambda held: held.pop(key), path)


def in_list(key: str, edit: Callable[[list[Any]], None]) -> Callable[[Path], None]:
    return attributes(lambda held: edit(held[key]))


def zlevels(**values: Any) -> Callable[[Path], None]:
    def broken(root: Path) -> None:
        spec = json.loads((root / ".zlevels").read_text())
        (root / ".zlevels").write_text(json.dumps({**spec, **values}))

    return broken


def no_coordinate(*paths: str) -> Callable[[Path], None]:
    """Takes coordinates of coarse levels away, and out of the copies."""

    def broken(root: Path) -> None:
        for path in paths:
            shutil.rmtree(root / path)
        for copy in root.rglob(".zmetadata"):
            held = json.loads(copy.read_text())
            at = copy.parent.relative_to(root).as_posix()
            below = [path.removeprefix(f"{at}/") if at != "." else path for path in paths]
            held["metadata"] = {key: value for key, value in held["metadata"].items() if not any(key.startswith(f"{path}/") for path in below)}
            copy.write_text(json.dumps(held))
        own = root / "zarr.json"
        if own.is_file():
            document = json.loads(own.read_text())
            if "consolidated_metadata" in document:
                held = document["consolidated_metadata"]
                held["metadata"] = {key: value for key, value in held["metadata"].items() if key not in paths}
                own.write_text(json.dumps(document))

    return broken


def corner(*paths: str) -> Callable[[Path], None]:
    """Coordinates of coarse levels begin where those of the base do, as a bug of many writers has it."""

    def broken(root: Path) -> None:
        import zarr

        for path in paths:
            array = zarr.open_array(root / path, mode="r+")
            values = np.asarray(array[...])
            array[...] = values - values[0]

    return broken


def no_copy(path: str) -> Callable[[Path], None]:
    def broken(root: Path) -> None:
        copy = root / path / ".zmetadata"
        if copy.is_file():
            copy.unlink()
            return
        document = json.loads((root / path / "zarr.json").read_text())
        del document["consolidated_metadata"]
        (root / path / "zarr.json").write_text(json.dumps(document))

    return broken


def stale(root: Path) -> None:
    """A consolidated copy that says that the group has no attributes."""
    copies = sorted(root.rglob(".zmetadata"))
    for copy in copies:
        held = json.loads(copy.read_text())
        held["metadata"] = {key: {} if key.endswith(".zattrs") else value for key, value in held["metadata"].items()}
        copy.write_text(json.dumps(held))
    if not copies:
        document = json.loads((root / "zarr.json").read_text())
        gone = {"zarr_format": 3, "node_type": "group", "attributes": {}}
        document["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": {"gone": gone}}
        (root / "zarr.json").write_text(json.dumps(document))


def geozarr_items(edit: Callable[[list[Any]], None]) -> Callable[[Path], None]:
    return attributes(lambda held: edit(held["multiscales"]["layout"]))


def geozarr_at_zero(items: list[Any]) -> None:
    for item in items[1:]:
        a = item["spatial:transform"]
        first = items[0]["spatial:transform"]
        a[2], a[5] = first[2] - (a[0] - first[0]) / 2, first[5] - (a[4] - first[4]) / 2


MEAN = {"method": "mean"}
COSEM = ("cosem@1 n5", "cosem@1 zarr2")
GEOZARR = ("geozarr@0.1 zarr3", "geozarr@0.1 zarr2")
BREAKS = (
    *(Break(name, "COS004", attributes(shuffled)) for name in COSEM),
    *(Break(name, "COS003", attributes(one_more)) for name in COSEM),
    *(Break(name, "COS007", attributes(lambda held: entry(held)["datasets"][1]["transform"].update(translate=[9.0] * 3))) for name in COSEM),
    *(Break(name, "COS008", without("transform", "s1")) for name in COSEM),
    *(Break(name, "COS009", at("pixelResolution", {"dimensions": [9, 9, 9], "unit": "nm"}, "s1")) for name in COSEM),
    *(Break(name, "COS010", at("scales", [[1, 1, 1], [3, 3, 3], [4, 4, 4]])) for name in COSEM),
    *(Break(name, "DEEP002", cosem_at_zero, MEAN) for name in COSEM),
    Break("itk@1 zarr2", "ITK006", in_list("_MULTISCALE_LEVELS", lambda levels: levels.insert(0, levels.pop(1)))),
    Break("itk@1 zarr2", "ITK003", in_list("_MULTISCALE_LEVELS", lambda levels: levels.append("level_9.zarr"))),
    Break("itk@1 zarr2", "ITK002", without("_SPATIAL_IMAGE")),
    Break("itk@1 zarr2", "ITK008", no_copy("level_1.zarr")),
    Break("itk@1 zarr2", "CON001", stale),
    Break("itk@1 zarr2", "DEEP002", no_coordinate("level_1.zarr/x", "level_2.zarr/y"), MEAN),
    Break("itk@1 zarr2", "DEEP002", corner("level_1.zarr/x", "level_2.zarr/x"), MEAN),
    *(Break(name, "DT006", attributes(shuffled)) for name in ("datatree@1 zarr2", "datatree@1 zarr3")),
    *(Break(name, "DT003", attributes(one_more)) for name in ("datatree@1 zarr2", "datatree@1 zarr3")),
    *(Break(name, "DT007", attributes(at_zero)) for name in ("datatree@1 zarr2", "datatree@1 zarr3")),
    *(Break(name, "DEEP002", corner("scale1/x", "scale2/z"), {"deep": True}) for name in ("datatree@1 zarr2", "datatree@1 zarr3")),
    *(Break(name, "CON001", stale) for name in ("datatree@1 zarr2", "datatree@1 zarr3")),
    Break("xcube@1.0", "XC001", zlevels(version=1)),
    Break("xcube@1.0", "XC001", lambda root: (root / ".zlevels").write_text("[]")),  # type: ignore[arg-type, return-value]
    Break("xcube@1.0", "XC002", zlevels(num_levels=4)),
    Break("xcube@1.0", "DEEP002", corner("1.zarr/x", "2.zarr/x"), MEAN),
    Break("xcube@1.0", "CON001", stale),
    *(Break(name, "GZ005", geozarr_items(lambda items: items.append({**items[-1], "asset": "gone"}))) for name in GEOZARR),
    *(Break(name, "GZ010", geozarr_items(lambda items: items[1]["transform"].update(scale=[3.0] * len(items[1]["transform"]["scale"])))) for name in GEOZARR),
    *(Break(name, "GZ017", geozarr_items(lambda items: items[1].update({"spatial:shape": [1, 1]}))) for name in GEOZARR),
    *(Break(name, "GZ001", attributes(lambda held: held["zarr_conventions"].pop(0))) for name in GEOZARR),
    *(Break(name, "DEEP002", geozarr_items(geozarr_at_zero), MEAN) for name in GEOZARR),
    *(Break(name, "GZ020", no_copy("")) for name in GEOZARR),
    *(Break(name, "CON001", stale) for name in GEOZARR),
    *(Break(name, "MS006", attributes(shuffled)) for name in ("multiscales@0.1 zarr3", "multiscales@0.1 n5")),
    *(Break(name, "MS005", attributes(one_more)) for name in ("multiscales@0.1 zarr3", "multiscales@0.1 n5")),
    *(Break(name, "MS008", attributes(lambda held: entry(held).update(version=0.1))) for name in ("multiscales@0.1 zarr3", "multiscales@0.1 n5")),
    *(Break(f"ome-zarr@{v}", "OME004", attributes(shuffled)) for v in ("0.3", "0.4", "0.5", "0.6")),
    *(Break(f"ome-zarr@{v}", "OME003", attributes(one_more)) for v in ("0.3", "0.4", "0.5")),
    *(Break(f"ome-zarr@{v}", "OME016", attributes(lambda held: entry(held).pop("version"))) for v in ("0.3", "0.4")),
    *(Break(f"ome-zarr@{v}", "OME016", attributes(lambda held, v=v: held["ome"].update(version=f"{v}-dev"))) for v in ("0.5",)),  # type: ignore[misc]
    *(Break(f"ome-zarr@{v}", "OME015", attributes(at_zero)) for v in ("0.4", "0.5")),
    *(Break(f"ome-zarr@{v}", "OME015", attributes(without_places), MEAN) for v in ("0.4", "0.5")),
)  # fmt: skip


def samples(root: Path) -> dict[str, str]:
    """Hash of every file that is no document, coordinates left out: these are what says where samples lie."""
    found = {}
    for file in sorted(root.rglob("*")):
        path = file.relative_to(root)
        if file.is_file() and file.name not in DOCUMENTS and not set(COORDINATES) & set(path.parts):
            found[path.as_posix()] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def state(root: Path) -> dict[str, bytes]:
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}


def places(root: Path) -> tuple[list[str], list[float]]:
    levels = list(zg.open(root))
    return [level.path for level in levels], [number for level in levels for number in (*(level.scale or ()), *(level.translation or ()))]


@pytest.mark.parametrize("case", BREAKS, ids=lambda case: f"{case.layout}-{case.rule}-{BREAKS.index(case)}")
def test_what_is_broken_is_shown_mended_and_clean_again(tmp_path: Path, built: Callable[[str], Path], case: Break) -> None:
    whole = built(case.layout)
    root = Path(shutil.copytree(whole, tmp_path / whole.name))
    case.edit(root)
    before, kept = state(root), samples(root)
    if not case.rule.startswith("DEEP"):
        assert case.rule in {problem.rule for problem in zg.check(root)}
    shown = zg.fix(root, dry_run=True, **case.how)
    assert state(root) == before
    assert case.rule in {repair.rule for repair in shown.repairs}
    done = zg.fix(root, **case.how)
    assert [repair.rule for repair in done.repairs] == [repair.rule for repair in shown.repairs] and done.left == ()
    assert samples(root) == kept
    assert {problem.rule for problem in zg.check(root)} <= {problem.rule for problem in zg.check(whole)}
    (paths, numbers), (names, truth) = places(root), places(whole)
    assert paths == names and numbers == pytest.approx(truth)
    again = zg.fix(root, **case.how)
    assert again.repairs == () and again.changes == ()


def test_every_repair_of_every_written_layout_is_shown_here() -> None:
    for name in {layout_id.partition("@")[0] for layout_id in writable()}:
        layout = layouts.find(name)
        assert isinstance(layout, Mending)
        kinds = {RULES[case.rule].repair or "offset" for case in BREAKS if case.layout.startswith(f"{name}@")}
        assert kinds >= {*layout.mends} - {"names"}, name  # names of axes: tests/test_fix.py


def test_a_repair_of_coordinates_that_fails_leaves_them_as_they_were(tmp_path: Path, built: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from ziggurat.problems import StorageError
    from ziggurat.transfer.folder import Folder

    whole = built("datatree@1 zarr3")
    root = Path(shutil.copytree(whole, tmp_path / whole.name))
    attributes(shuffled)(root)
    corner("scale1/x", "scale2/x")(root)
    before, put, failed = {k: v for k, v in state(root).items() if not k.endswith(".json")}, Folder.put, []

    def full(self: Folder, key: str, document: Any) -> None:
        if key == "zarr.json" and not failed:
            failed.append(key)
            raise StorageError("no space left on the device")
        put(self, key, document)

    monkeypatch.setattr(Folder, "put", full)
    with pytest.raises(StorageError):
        zg.fix(root, method="mean")
    assert failed and {k: v for k, v in state(root).items() if not k.endswith(".json")} == before
