"""n5-viewer, BigDataViewer and Paintera: ramps stored by their own rules, multisets made by hand, XML that is hostile."""

from __future__ import annotations

import json
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import ziggurat as zg
from tests.layouts.fixtures import FIXTURES
from tests.layouts.ramps import means, placement_error, pyramid_of, ramp, write_n5, write_zarr2
from ziggurat import layouts
from ziggurat.chunkio import DictStore, read_region
from ziggurat.layouts import bdv_n5, mipmaps, xmls
from ziggurat.problems import DocumentError, LayoutError, LimitError, StorageError, ZigguratError
from ziggurat.sources import open_source
from ziggurat.storage import open_node
from ziggurat.storage.n5multisets import N5Multisets, most_of

BY_ID = {fixture.id: fixture for fixture in FIXTURES}
STEPS = ((1, 1, 1), (1, 2, 2), (2, 4, 4))
SHAPE = (8, 16, 24)


def stored(arrays: list[np.ndarray], prefix: str = "", **base: object) -> dict[str, tuple[np.ndarray, dict[str, object]]]:
    """Levels with `downsamplingFactors` along x, y, z on all but the first; `base` are attributes of every level."""
    found: dict[str, tuple[np.ndarray, dict[str, object]]] = {}
    for k, (samples, step) in enumerate(zip(arrays, STEPS, strict=True)):
        found[f"{prefix}s{k}"] = (samples, {**base, **({"downsamplingFactors": list(step[::-1])} if k else {})})
    return found


# --- n5-viewer ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [write_n5, write_zarr2])
def test_n5_viewer_ramp(write: object, tmp_path: Path) -> None:
    arrays = pyramid_of(SHAPE, (2.0, 0.5, 0.25), (0.0, 0.0, 0.0), STEPS)
    write(tmp_path, {"": {}, "v": {}}, stored(arrays, "v/", pixelResolution={"unit": "um", "dimensions": [0.25, 0.5, 2.0]}))  # type: ignore[operator]
    pyramid = zg.open(tmp_path / "v")
    assert pyramid.layout == "n5-viewer@1" and placement_error(pyramid) == 0
    assert [level.translation_provenance for level in pyramid.levels] == ["stated", "derived", "derived"]
    assert {axis.unit for axis in pyramid.axes} == {"micrometer"}


@pytest.mark.parametrize(
    "group", [{"scales": [[1, 1, 1], [2, 2, 1], [4, 4, 2]], "pixelResolution": [0.25, 0.5, 2]}, {"resolution": [0.25, 0.5, 2.0], "scales": []}]
)
def test_n5_viewer_ramp_with_everything_on_the_group(group: dict[str, object], tmp_path: Path) -> None:
    arrays = pyramid_of(SHAPE, (2.0, 0.5, 0.25), (0.0, 0.0, 0.0), STEPS)
    write_n5(tmp_path, {"": group}, {f"s{k}": (samples, {}) for k, samples in enumerate(arrays)})
    pyramid = zg.open(tmp_path)
    assert placement_error(pyramid) == 0
    assert pyramid.levels[1].scale_provenance == ("derived" if group["scales"] else "inferred")


def world_of(pyramid: zg.Pyramid, level: int) -> np.ndarray:
    """The world coordinate of every sample: scale, translation, then `world`."""
    view = pyramid.levels[level]
    grids = np.meshgrid(*(np.arange(n) * s + t for n, s, t in zip(view.shape, view.scale, view.translation, strict=True)), indexing="ij")
    matrix = np.eye(3) if pyramid.multiscale.world is None else np.array(pyramid.multiscale.world)
    return np.tensordot(matrix, np.stack(grids), axes=1)


def affine_of(rows: list[float]) -> np.ndarray:
    """An affine along x, y, z as `(3, 4)`."""
    return np.array(rows, float).reshape(3, 4)


TURN = [0.0, -2.0, 0.0, 16.0, 1.0, 0.0, 0.0, -8.0, 0.0, 0.0, 4.0, 2.0]
STRETCH = [2.0, 0.0, 0.0, 16.0, 0.0, -1.0, 0.0, 8.0, 0.0, 0.0, 4.0, 0.5]


@pytest.mark.parametrize("rows", [TURN, STRETCH, [*TURN, 0, 0, 0, 1]])
def test_n5_viewers_affine_is_applied_last(rows: list[float], tmp_path: Path) -> None:
    arrays = pyramid_of(SHAPE, (2.0, 0.5, 0.25), (0.0, 0.0, 0.0), STEPS)
    held = stored(arrays, pixelResolution=[0.25, 0.5, 2.0])
    held["s0"][1]["affineTransform"] = rows
    write_n5(tmp_path, {"": {}}, held)
    pyramid = zg.open(tmp_path)
    assert (pyramid.multiscale.world is None) == (rows is STRETCH)
    affine = affine_of(rows[:12])
    for k, step in enumerate(STEPS):
        centres = [(np.arange(n // f) * f + (f - 1) / 2) * r for n, f, r in zip(SHAPE, step, (2.0, 0.5, 0.25), strict=True)]
        z, y, x = np.meshgrid(*centres, indexing="ij")
        expected = np.tensordot(affine[:, :3], np.stack([x, y, z]), axes=1) + affine[:, 3].reshape(3, 1, 1, 1)
        assert np.abs(world_of(pyramid, k) - expected[::-1]).max() == 0


def test_channels_are_members(tmp_path: Path) -> None:
    arrays = pyramid_of(SHAPE, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), STEPS)
    held = {f"c{c}/{path}": value for c in range(2) for path, value in stored(arrays, pixelResolution=[1, 1, 1]).items()}
    write_n5(tmp_path, {"": {"n5": "2.2.0"}}, held)
    collection = zg.open_collection(tmp_path)
    assert tuple(collection) == ("c0", "c1") and placement_error(collection["c1"]) == 0


# --- BigDataViewer --------------------------------------------------------------------------------------------------------

XML = """<SpimData version="0.2"><SequenceDescription><ViewSetups><ViewSetup><id>3</id><name>head</name>
<voxelSize><unit>µm</unit><size>{voxel}</size></voxelSize><attributes><channel>1</channel></attributes></ViewSetup></ViewSetups></SequenceDescription>
<ViewRegistrations><ViewRegistration timepoint="0" setup="3">{transforms}</ViewRegistration></ViewRegistrations></SpimData>"""


def registered(*affines: list[float], voxel: str = "0.25 0.5 2.0") -> str:
    transforms = "".join(f'<ViewTransform type="affine"><affine>{" ".join(map(str, rows))}</affine></ViewTransform>' for rows in affines)
    return XML.format(voxel=voxel, transforms=transforms)


CALIBRATION = [0.25, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0]


def write_bdv(folder: Path, arrays: list[np.ndarray], xml: str | None) -> Path:
    factors = [list(step[::-1]) for step in STEPS]
    groups = {"": {"n5": "2.5.1"}, "setup3": {"downsamplingFactors": factors, "dataType": "float64"}, "setup3/timepoint0": {"multiScale": True}}
    write_n5(folder, groups, stored(arrays, "setup3/timepoint0/"))  # type: ignore[arg-type]
    if xml is not None:
        folder.with_suffix(".xml").write_text(xml, encoding="utf-8")
    return folder


def test_bdv_ramp_with_its_xml(tmp_path: Path) -> None:
    arrays = pyramid_of(SHAPE, (2.0, 0.5, 0.25), (0.5, 0.0, -16.0), STEPS)
    moved = [1.0, 0.0, 0.0, -16.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.5]
    folder = write_bdv(tmp_path / "a.n5", arrays, registered(moved, CALIBRATION))
    collection = zg.open_collection(folder)
    assert tuple(collection) == ("setup3/timepoint0",)
    for pyramid in (collection["setup3/timepoint0"], zg.open(folder / "setup3" / "timepoint0")):
        assert pyramid.layout == "bdv-n5@1" and pyramid.name == "head" and pyramid.multiscale.world is None
        assert placement_error(pyramid) == 0
        assert {axis.unit for axis in pyramid.axes} == {"micrometer"}
    assert zg.check(folder).ok_strict


def test_bdv_registration_that_turns_is_left_as_world(tmp_path: Path) -> None:
    arrays = pyramid_of(SHAPE, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), STEPS)
    folder = write_bdv(tmp_path / "a.n5", arrays, registered(TURN, CALIBRATION))
    pyramid = zg.open(folder / "setup3" / "timepoint0")
    assert pyramid.multiscale.world is not None
    turn = np.vstack([affine_of(TURN), [0, 0, 0, 1]]) @ np.vstack([affine_of(CALIBRATION), [0, 0, 0, 1]])
    for k, step in enumerate(STEPS):
        z, y, x = np.meshgrid(*[np.arange(n // f) * f + (f - 1) / 2 for n, f in zip(SHAPE, step, strict=True)], indexing="ij")
        expected = np.tensordot(turn[:3, :3], np.stack([x, y, z]), axes=1) + turn[:3, 3].reshape(3, 1, 1, 1)
        assert np.abs(world_of(pyramid, k) - expected[::-1]).max() < 1e-12


def test_bdv_without_xml_lies_in_samples_of_the_base(tmp_path: Path) -> None:
    arrays = pyramid_of(SHAPE, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), STEPS)
    folder = write_bdv(tmp_path / "a.n5", arrays, None)
    pyramid = zg.open(folder / "setup3" / "timepoint0")
    assert placement_error(pyramid) == 0 and pyramid.levels[0].scale_provenance == "inferred"


def test_facts_of_a_setup_go_with_its_members(tmp_path: Path) -> None:
    folder = write_bdv(tmp_path / "a.n5", pyramid_of(SHAPE, (1.0,) * 3, (0.0,) * 3, STEPS), registered(CALIBRATION))
    members, problems = bdv_n5.LAYOUT.members(open_node(str(folder)))
    assert problems == () and dict(members[0].about) == {"setup": 3, "timepoint": 0, "name": "head", "channel": "1"}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', DocumentError),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', DocumentError),
        ("<a>&undefined;</a>", DocumentError),
        ("<a><b></a>", DocumentError),
        ("", DocumentError),
        ('<?xml version="1.0" encoding="klingon"?><a/>', DocumentError),
        ("<a>" * 100 + "</a>" * 100, LimitError),
        ("<a>" + "<b/>" * 500_001 + "</a>", LimitError),
    ],
)
def test_hostile_xml_is_refused(text: str, kind: type[ZigguratError]) -> None:
    with pytest.raises(kind, match=r"x\.xml"):
        xmls.parse(text.encode(), "x.xml")


def test_xml_is_read_by_local_names() -> None:
    root = xmls.parse(b'<r xmlns="http://a"><b n="1">o<c/>ne</b><b>two</b></r>', "x.xml")
    assert [element.text for element in root.all("b")] == ["one", "two"] and root.word("b") == "one" and root.first("d") is None
    assert dict(next(root.all("b")).attributes) == {"n": "1"}


# --- Paintera ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", [False, True])
def test_paintera_ramp(dataset: bool, tmp_path: Path) -> None:
    arrays = pyramid_of(SHAPE, (40.0, 4.0, 4.0), (-20.0, 0.0, 10.0), STEPS)
    group = {"multiScale": True, "resolution": [4, 4, 40], "offset": [10.0, 0.0, -20.0]}
    prefix = "data/" if dataset else ""
    write_n5(tmp_path, {"": {"painteraData": {"type": "raw"}}, "data": group} if dataset else {"": group}, stored(arrays, prefix))
    pyramid = zg.open(tmp_path)
    assert pyramid.layout == "paintera@1" and placement_error(pyramid) == 0


def multiset_block(lists: list[dict[int, int]], shape: tuple[int, int, int], *, computed: bool = False) -> bytes:
    """One block of label multisets by the format's own words, raw: voxels of equal sets share a list."""
    places: dict[str, int] = {}
    data, offsets = b"", []
    for entries in lists:
        key = json.dumps(sorted(entries.items()))
        if key not in places:
            places[key] = len(data)
            data += struct.pack("<i", len(entries)) + b"".join(struct.pack("<Qi", i, n) for i, n in sorted(entries.items()))
        offsets.append(places[key])
    most = [max(sorted(entries), key=lambda i: entries[i]) if entries else 0 for entries in lists]
    head = struct.pack(f">i{len(most)}Q", len(most), *most) if computed else struct.pack(">i", 0)
    payload = head + struct.pack(f">{len(offsets)}i", *offsets) + data
    return struct.pack(">HHIII", 1, 3, *reversed(shape)) + struct.pack(">I", len(payload)) + payload


DOCUMENT = {
    "dimensions": [5, 4, 3],
    "blockSize": [4, 4, 2],
    "dataType": "uint8",
    "compression": {"type": "raw"},
    "isLabelMultiset": True,
    "maxNumEntries": -1,
}


@pytest.mark.parametrize("computed", [False, True])
def test_multisets_are_read_as_the_label_that_has_the_most(computed: bool) -> None:
    rng = np.random.default_rng(3)
    store, expected = DictStore(), np.zeros((3, 4, 5), np.uint64)
    for index in ((0, 0, 0), (0, 0, 1), (1, 0, 0)):
        region = tuple(slice(i * c, min(i * c + c, n)) for i, c, n in zip(index, (2, 4, 4), (3, 4, 5), strict=True))
        shape = expected[region].shape
        lists = [{int(i): int(rng.integers(1, 4)) for i in rng.integers(0, 2**63, rng.integers(0, 5), np.uint64) % 7 * 2**61} for _ in range(np.prod(shape))]
        expected[region] = np.array([max(sorted(s), key=lambda i: s[i]) if s else 0 for s in lists], np.uint64).reshape(shape)
        store.put("/".join(map(str, reversed(index))), [multiset_block(lists, shape, computed=computed)])  # type: ignore[arg-type]
    assert read_region(N5Multisets(store, "", DOCUMENT), [slice(None)] * 3).tolist() == expected.tolist()


def test_multisets_of_a_paintera_dataset_are_opened_and_built_upon_as_labels(tmp_path: Path) -> None:
    big = 2**64 - 5
    (tmp_path / "data" / "s0" / "0" / "0").mkdir(parents=True)
    (tmp_path / "attributes.json").write_text(json.dumps({"painteraData": {"type": "label"}, "maxId": big}))
    (tmp_path / "data" / "attributes.json").write_text(json.dumps({"multiScale": True, "resolution": [4.0, 4.0, 40.0]}))
    (tmp_path / "data" / "s0" / "attributes.json").write_text(json.dumps({**DOCUMENT, "dimensions": [4, 4, 2]}))
    lists = [{1: 1}] * 16 + [{1: 2, big: 3}] * 16
    (tmp_path / "data" / "s0" / "0" / "0" / "0").write_bytes(multiset_block(lists, (2, 4, 4)))
    pyramid = zg.open(tmp_path)
    assert pyramid.levels[0].dtype == np.uint64 and np.asarray(pyramid.levels[0].array).ravel().tolist() == [1] * 16 + [big] * 16
    assert open_source(tmp_path).info.kind == "labels"
    zg.build(tmp_path, tmp_path / "out.zarr", factors={"z": 1, "y": 2, "x": 2}, levels=2)
    built = zg.open(tmp_path / "out.zarr")
    assert np.asarray(built.levels[1].array).tolist() == [[[1, 1], [1, 1]], [[big, big], [big, big]]]
    assert built.levels[0].scale == (40.0, 4.0, 4.0)
    assert zg.check(tmp_path).ok_strict


@pytest.mark.parametrize(
    "data",
    [
        b"",
        struct.pack(">i", -1) + bytes(64),
        struct.pack(">i", 2**30) + bytes(64),
        struct.pack(">i", 0) + bytes(4),
        struct.pack(">i", 0) + struct.pack(">2i", 0, 99) + struct.pack("<i", 0),
        struct.pack(">i", 0) + struct.pack(">2i", 0, -1) + struct.pack("<i", 0),
        struct.pack(">i", 0) + struct.pack(">2i", 0, 0) + struct.pack("<i", 2**31 - 1),
        struct.pack(">i", 0) + struct.pack(">2i", 0, 0) + struct.pack("<i", -5),
        struct.pack(">i", 0) + struct.pack(">2i", 0, 0) + struct.pack("<i", 1) + bytes(11),
    ],
)
def test_multisets_that_lie_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"bytes|offset|longer"):
        most_of(data, 2)
    block = struct.pack(">HHIII", 1, 3, 2, 1, 1) + struct.pack(">I", len(data)) + data
    with pytest.raises(StorageError, match="0/0/0"):
        read_region(N5Multisets(DictStore({"0/0/0": block}), "", DOCUMENT), [slice(0, 1)] * 3)


# --- all ---------------------------------------------------------------------------------------------------------------------


def test_these_layouts_are_only_read() -> None:
    for name in ("n5-viewer", "bdv-n5", "paintera"):
        layout = layouts.find(name)
        assert layout.can_hold((), version="1") == "it is read, and never written"
        with pytest.raises(LayoutError, match="never written"):
            layout.write((), version="1", existing={})


def test_affines_that_are_none_are_none() -> None:
    for value in (None, [1] * 11, [1, 2, "3"], [float("nan")] * 12, [0] * 15 + [2]):
        assert mipmaps.affine_rows(value, 3) is None  # type: ignore[arg-type]
    rows = mipmaps.affine_rows([1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0], 3)
    assert rows is not None and mipmaps.carried([(1.0,) * 3], [(0.0,) * 3], rows) is None


def test_the_helper_of_these_tests_tells_a_wrong_place() -> None:
    base = ramp((4, 4, 4), (1.0,) * 3, (0.0,) * 3)
    assert np.array_equal(means(base, (2, 2, 2)), ramp((2, 2, 2), (2.0,) * 3, (0.5,) * 3))
    assert not np.array_equal(means(base, (2, 2, 2)), ramp((2, 2, 2), (2.0,) * 3, (0.0,) * 3))


@pytest.mark.parametrize("number", [10**400, 1e308, 1e-320, float("inf"), True, "1", None])
def test_numbers_that_no_length_has_are_no_numbers(number: object) -> None:
    assert mipmaps.numbers([1, number]) is None  # type: ignore[list-item]
    huge = [[Fraction(10**200) if i == j else Fraction(0) for j in range(3)] for i in range(2)]
    assert mipmaps.carried([(1e60, 1e60)], [(1e60, 0.0)], mipmaps.composed(huge, huge)) is None
