"""Nodes: strict JSON, guarded paths, array facts compared with zarr-python, folders, links, counts of requests."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.model import JSON
from ziggurat.node import MAX_DEPTH, DictNode, DocumentNode, FileNode, Tree, dumps, loads, parse_array_document, resolve
from ziggurat.node.documents import MAX_COMMAS, MAX_DOCUMENT_BYTES, MAX_KEYS, MAX_NESTS
from ziggurat.problems import DocumentError, LimitError, PathError, StorageError

# --- JSON ----------------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_dumped_is_loaded_with_order_and_types(value: object) -> None:
    assert repr(loads(dumps(value), "x")) == repr(value)  # type: ignore[arg-type]


def test_integers_stay_integers_and_floats_keep_their_spelling() -> None:
    text = b'{"a": 1, "b": 1.0, "c": 0.1, "d": 0.20000000000000018, "e": 18446744073709551615}'
    assert json.dumps(loads(text, "x")).encode() == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, {"a": -float("inf")}], {"a": object()}, {1, 2}])
def test_dumps_refuses_what_json_does_not_have(value: object) -> None:
    with pytest.raises(DocumentError, match="cannot be written as JSON"):
        dumps(value, "zarr.json")  # type: ignore[arg-type]


REFUSED = [
    (b"", "line 1, column 1: the document is empty"),
    (b"  \n", "the document is empty"),
    (b'{"a": 1', "line 1, column 8: the document ends in the middle"),
    (b'{"a":\n "b', "no JSON (unterminated string"),
    (b'{"a": 1, "b": {"c": 1, "c": 2}}', "line 1, column 24: key 'c' stands twice"),
    (b'{"x": "c\\" : ", "c": 1,\n "c": 2}', "line 2, column 2: key 'c' stands twice"),
    (b'{"a": [0,\n NaN]}', "line 2, column 2: NaN is no JSON number"),
    (b'{"a": "NaN", "b": Infinity}', "line 1, column 19: Infinity is no JSON number"),
    (b'{"a": -Infinity}', "-Infinity is no JSON number"),
    (b'{"a": 1e5, "b": 1e999}', "line 1, column 17: a number beyond the range of float64"),
    (b'\xef\xbb\xbf{"a": 1}', "starts with a byte order mark"),
    ('{"a": 1}'.encode("utf-16"), "starts with a byte order mark"),
    ('{"ä": 1}'.encode("latin-1"), "line 1, column 3: byte 0xe4 is no UTF-8"),
    ("{“a”: 1}".encode(), "line 1, column 2: a curly quote"),
    (b"{'a': 1}", "a single quote"),
    (b'{"a": 1, // one\n "b": 2}', "line 1, column 10: a comment"),
    (b'{"a": /* one */ 1}', "a comment"),
    (b'{"a": 1} # one', "a comment"),
    (b'{"a": [1, 2,]}', "line 1, column 13: a comma before the closing bracket"),
    (b'{"a": 1,\n }', "line 2, column 2: a comma before the closing bracket"),
    (b'{"a": [1,, 2]}', "line 1, column 10: no JSON (expecting value"),
    (b'{"a" 1}', "line 1, column 6: no JSON (expecting ':' delimiter"),
    (b'{"a": 1} {"b": 2}', "no JSON (extra data"),
    (b'{"a": 0x10}', "no JSON"),
]


@pytest.mark.parametrize(("data", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_what_is_no_json_is_refused_with_its_place(data: bytes, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        loads(data, "some/zarr.json")
    assert str(caught.value).startswith("some/zarr.json") and message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"[" * 200_000, b"[" * 200_000 + b"]" * 200_000, b'{"a":' * 200_000, b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)])
def test_depth_is_limited(data: bytes) -> None:
    with pytest.raises(LimitError, match=f"{MAX_DEPTH}"):
        loads(data, "x")


def test_honest_depth_is_read() -> None:
    assert json.dumps(loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "x")) == "[" * MAX_DEPTH + "]" * MAX_DEPTH


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[" + b"{}," * MAX_NESTS + b"{}]", "lists and objects"),
        (b"[" + b"1," * (MAX_COMMAS + 1) + b"1]", "entries"),
        (b"{" + b",".join(b'"%d":1' % i for i in range(MAX_KEYS + 1)) + b"}", "keys"),
        (b'["\xf0\x9f\x98\x80' + b"a" * (MAX_DOCUMENT_BYTES // 2) + b'"]', "four bytes"),
    ],
    ids=["nests", "commas", "keys", "wide"],
)
def test_documents_that_grow_in_memory_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(LimitError, match=message):
        loads(data, "zarr.json")


def test_brackets_in_strings_are_not_depth() -> None:
    value = {"a": "[" * 500 + '\\"{', "b": ["]", "\\"] * 40, "c": {str(k): [] for k in range(99)}}
    assert loads(json.dumps(value).encode(), "zarr.json") == value


def test_size_and_length_of_numbers_are_limited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="4300 digits"):
        loads(b"9" * 5000, "x")
    with pytest.raises(LimitError, match="bytes"):
        loads(b" " * (64 * 2**20 + 1), "x")
    (tmp_path / "zarr.json").touch()
    os.truncate(tmp_path / "zarr.json", 2**40)  # Sparse: reading it would need a terabyte.
    with pytest.raises(LimitError, match="1,099,511,627,776 bytes"):
        FileNode(tmp_path).attributes  # noqa: B018


# --- paths ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "plain"), [("0", "0"), ("scale0/image", "scale0/image"), ("./0", "0"), ("a//b/", "a/b"), ("a~b", "a~b"), ("..a", "..a"), ("ä ö", "ä ö")]
)
def test_local_paths_resolve(path: str, plain: str) -> None:
    assert resolve(path) == plain


HOSTILE = [
    "",
    ".",
    "./",
    "..",
    "../0",
    "a/../..",
    "a/..",
    "/0",
    "//h/0",
    "C:/0",
    "c:0",
    "http://h/0",
    "s3://b/0",
    "file:/0",
    "javascript:0",
    "0\0",
    "0\n",
    "~",
    "~/0",
    "a/~b",
    "$HOME",
    "a/$b",
    "a\\b",
    "..\\b",
    "%2e%2e/0",
    "a%2Fb",
    "x" * 1025,
    "a/" + "x" * 256,
    "\ud800",
    None,
    0,
    True,
    ["0"],
    {"a": 1},
]


@pytest.mark.parametrize("path", HOSTILE, ids=repr)
def test_hostile_paths_are_refused(path: object) -> None:
    with pytest.raises(PathError):
        resolve(path)
    with pytest.raises(PathError):
        DictNode({"zarr.json": {"zarr_format": 3, "node_type": "group"}}).child(path)  # type: ignore[arg-type]


# --- array documents -----------------------------------------------------------------------------------------------------

MATRIX = [
    (zarr_format, dtype, chunks, shards)
    for zarr_format in (2, 3)
    for dtype in ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64", "complex64", "complex128")
    for chunks, shards in (((10, 7), None), ((5, 4), (10, 8)))
    if zarr_format == 3 or shards is None
]


@pytest.mark.parametrize(("zarr_format", "dtype", "chunks", "shards"), MATRIX)
def test_facts_are_those_of_zarr_python(tmp_path: Path, zarr_format: int, dtype: str, chunks: tuple[int, int], shards: tuple[int, int] | None) -> None:
    names = ("y", "x") if zarr_format == 3 else None
    made = zarr.create_array(
        tmp_path / "a",
        shape=(23, 31),
        chunks=chunks,
        shards=shards,
        dtype=dtype,
        zarr_format=zarr_format,
        dimension_names=names,
        attributes={"_ARRAY_DIMENSIONS": ["y", "x"]} if zarr_format == 2 else {},
    )
    node = FileNode(tmp_path / "a")
    info = node.array
    assert node.kind == "array" and node.zarr_format == zarr_format and info is not None
    assert (info.shape, info.chunks, info.shards) == (made.shape, made.chunks, made.shards)
    assert (info.dtype, info.itemsize) == (made.dtype.name, made.dtype.itemsize)
    assert info.dimension_names == ("y", "x")
    assert info.separator == ("." if zarr_format == 2 else "/")
    assert info.n_chunks == made.nchunks and info.size_bytes == made.nbytes
    assert node.children() == ()


V2 = {"zarr_format": 2, "shape": [9, 7], "chunks": [4, 4], "dtype": "<u2", "compressor": None, "fill_value": 0, "order": "C", "filters": None}
V3 = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [9, 7],
    "data_type": "uint16",
    "fill_value": 0,
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 4]}},
    "chunk_key_encoding": {"name": "default"},
    "codecs": [{"name": "bytes"}],
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"compressor": {"id": "zstd", "level": 3}}, "zstd 3"),
        ({"compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}}, "blosc-lz4 5 shuffle"),
        ({"compressor": {"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 2}}, "blosc-zstd 1 bitshuffle"),
        ({"compressor": None}, "raw"),
        ({"filters": [{"id": "delta"}], "compressor": {"id": "gzip", "level": 1}}, "delta, gzip 1"),
        ({"order": "F"}, "F order"),
    ],
)
def test_codecs_of_v2_in_words(change: dict[str, object], words: str) -> None:
    assert parse_array_document({**V2, **change}, 2).codecs == words  # type: ignore[dict-item]


def test_codecs_of_v3_in_words_and_order_of_a_sharded_transpose() -> None:
    inner = [
        {"name": "bytes", "configuration": {"endian": "big"}},
        {"name": "blosc", "configuration": {"cname": "zstd", "clevel": 5, "shuffle": "shuffle"}},
        "crc32c",
    ]
    assert parse_array_document({**V3, "codecs": inner}, 3).codecs == "big-endian, blosc-zstd 5 shuffle, crc32c"
    sharding = {"name": "sharding_indexed", "configuration": {"chunk_shape": [2, 4], "codecs": inner}}
    swapped = {**V3, "codecs": [{"name": "transpose", "configuration": {"order": [1, 0]}}, sharding]}
    info = parse_array_document(swapped, 3)
    assert (info.shards, info.chunks) == ((4, 4), (4, 2))


@pytest.mark.parametrize(
    ("dtype", "name", "itemsize"),
    [
        (">u2", "uint16", 2),
        ("|b1", "bool", 1),
        ("<f2", "float16", 2),
        ("<c16", "complex128", 16),
        ("<M8[ns]", "<M8[ns]", 8),
        ("|S10", "|S10", 10),
        ("<U5", "<U5", 20),
        ("|O", "|O", 0),
        ([["a", "<u2"]], '[["a", "<u2"]]', 0),
    ],
)
def test_types_of_v2_by_numpy_s_names(dtype: object, name: str, itemsize: int) -> None:
    info = parse_array_document({**V2, "dtype": dtype}, 2)  # type: ignore[dict-item]
    assert (info.dtype, info.itemsize) == (name, itemsize)
    if itemsize and isinstance(dtype, str):
        assert np.dtype(dtype).itemsize == itemsize


@pytest.mark.parametrize(
    ("zarr_format", "change"),
    [
        (2, {"shape": None}),
        (2, {"shape": "9"}),
        (2, {"shape": [9, -1]}),
        (2, {"shape": [9, 7.0]}),
        (2, {"shape": [True, 7]}),
        (2, {"shape": [9, 2**63]}),
        (2, {"shape": [1] * 65, "chunks": [1] * 65}),
        (2, {"chunks": [4]}),
        (2, {"chunks": [0, 4]}),
        (2, {"dtype": 5}),
        (2, {"dtype": "u2!"}),
        (2, {"dimension_separator": ":"}),
        (3, {"chunk_grid": None}),
        (3, {"chunk_grid": {"name": "rectangular"}}),
        (3, {"codecs": []}),
        (3, {"codecs": [{}]}),
        (3, {"data_type": 4}),
        (3, {"dimension_names": ["y"]}),
        (3, {"dimension_names": "yx"}),
        (3, {"codecs": [{"name": "transpose", "configuration": {"order": [0, 0]}}]}),
        (3, {"codecs": [{"name": "sharding_indexed", "configuration": {"chunk_shape": [0, 1]}}]}),
    ],
)
def test_impossible_array_documents_are_refused(zarr_format: int, change: dict[str, object]) -> None:
    with pytest.raises(DocumentError, match=r"where/(\.zarray|zarr\.json): "):
        parse_array_document({**(V2 if zarr_format == 2 else V3), **change}, zarr_format, location="where")  # type: ignore[dict-item]


def test_huge_arrays_cost_nothing_to_describe() -> None:
    info = parse_array_document({**V2, "shape": [10**18, 10**18], "chunks": [1, 1]}, 2)
    assert info.n_chunks == 10**36


# --- nodes ---------------------------------------------------------------------------------------------------------------


def counted(documents: dict[str, object], **options: bool) -> tuple[DocumentNode, list[str]]:
    """A node that writes down what it gets, and refuses to list."""
    got: list[str] = []

    def get(key: str) -> bytes | None:
        got.append(key)
        return None if key not in documents else json.dumps(documents[key]).encode()

    def names(path: str) -> list[str]:
        raise AssertionError("nothing here may list")

    return DocumentNode(Tree(get, names, "memory"), **options), got


GROUP2, GROUP3 = {"zarr_format": 2}, {"zarr_format": 3, "node_type": "group", "attributes": {"a": 1}}


def test_v3_costs_one_request_per_node() -> None:
    node, got = counted({"zarr.json": GROUP3, "0/zarr.json": V3})
    assert (node.kind, node.zarr_format, node.attributes) == ("group", 3, {"a": 1})
    child = node.child("0")
    assert child.kind == "array" and child.array is not None and child.attributes == {}
    assert node.child("1").kind == "absent"
    assert got == ["zarr.json", "0/zarr.json", "1/zarr.json"]


def test_v2_asks_only_for_the_documents_that_are_needed() -> None:
    node, got = counted({".zgroup": GROUP2, ".zattrs": {"a": 1}, "0/.zarray": V2, "0/.zattrs": {"_ARRAY_DIMENSIONS": ["y", "x"]}})
    assert node.attributes == {"a": 1}
    assert got == ["zarr.json", ".zattrs"]
    assert node.child("0").array_document == V2
    assert got == ["zarr.json", ".zattrs", "0/.zarray"]
    info = node.child("0").array
    assert info is not None and info.dimension_names == ("y", "x")
    assert got == ["zarr.json", ".zattrs", "0/.zarray", "0/.zattrs"]
    assert node.kind == "group" and node.zarr_format == 2


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_consolidated_copy_is_used_only_when_asked(tmp_path: Path, zarr_format: int) -> None:
    group = zarr.open_group(tmp_path, mode="w", zarr_format=zarr_format)
    group.create_group("deep").create_array("0", shape=(9, 7), dtype="uint16")
    group.attrs["a"] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr-python: consolidated metadata is not part of the v3 specification yet.
        zarr.consolidate_metadata(tmp_path, zarr_format=zarr_format)
    documents = {p.relative_to(tmp_path).as_posix(): json.loads(p.read_text()) for p in tmp_path.rglob("*") if p.is_file()}
    node, got = counted(documents, consolidated=True)
    assert node.attributes == {"a": 1} and node.child("deep/0").array is not None and node.child("deep").kind == "group"
    assert got == (["zarr.json"] if zarr_format == 3 else ["zarr.json", ".zmetadata"])
    assert node.child("new").kind == "absent"
    array = "deep/0/.zarray" if zarr_format == 2 else "deep/0/zarr.json"
    documents[array] = {**documents[array], "shape": [5, 5]}
    fresh, _ = counted(documents)
    assert (fresh.child("deep/0").array or pytest.fail()).shape == (5, 5)
    stale, _ = counted(documents, consolidated=True)
    assert (stale.child("deep/0").array or pytest.fail()).shape == (9, 7)


@pytest.mark.parametrize(
    "document",
    [{}, {"zarr_format": 2, "node_type": "group"}, {"zarr_format": 3}, {"zarr_format": 3, "node_type": "thing"}, [], "x", None, 3],
    ids=repr,
)
def test_a_zarr_json_that_is_none_is_refused(document: object) -> None:
    node, _ = counted({"zarr.json": document})
    with pytest.raises(DocumentError, match=r"memory/zarr\.json: "):
        node.kind  # noqa: B018


def test_attributes_that_are_no_object_are_refused() -> None:
    with pytest.raises(DocumentError, match="attributes is a list"):
        counted({"zarr.json": {**GROUP3, "attributes": []}})[0].attributes  # noqa: B018
    with pytest.raises(DocumentError, match=r"memory/\.zattrs: holds a string"):
        counted({".zattrs": "x"})[0].attributes  # noqa: B018


def test_children_are_listed_in_natural_order_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("s10", "s2", "s1", ".ziggurat"):
        (tmp_path / name).mkdir()
    (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
    assert FileNode(tmp_path).children() == ("s1", "s2", "s10")
    assert DictNode({".zgroup": GROUP2, "s10/.zarray": V2, "s2/a/.zarray": V2}).children() == ("s2", "s10")


def test_a_node_finds_its_way_up(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    above = FileNode(tmp_path / "a" / "b").parent()
    assert above is not None and above[1] == "b" and above[0].location == str(tmp_path / "a")
    inner = DictNode({".zgroup": GROUP2}).child("a/b").parent()
    assert inner is not None and inner[1] == "b" and inner[0].location == "memory/a"
    assert DictNode({}).parent() is None
    assert FileNode("/").parent() is None


def test_a_place_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "file.tif").write_bytes(b"II*\0")
    for node, kind in ((FileNode(tmp_path / "none"), "absent"), (FileNode(tmp_path / "file.tif"), "absent"), (FileNode(tmp_path), "folder")):
        assert (node.kind, node.zarr_format, node.attributes, node.array, node.array_document, node.children()) == (kind, None, {}, None, None, ())


def test_nodes_can_be_pickled(tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text(json.dumps(GROUP3))
    again = pickle.loads(pickle.dumps(FileNode(tmp_path)))
    assert again.attributes == {"a": 1} and again.location == str(tmp_path)


# --- links ---------------------------------------------------------------------------------------------------------------


def tree(folder: Path) -> Path:
    """A group with a level inside, and another store beside it."""
    for path in (folder / "store" / "0", folder / "other" / "0"):
        path.mkdir(parents=True)
        (path / "zarr.json").write_text(json.dumps(V3))
        (path.parent / "zarr.json").write_text(json.dumps(GROUP3))
    return folder / "store"


LINKS: list[tuple[str, Callable[[Path], None]]] = [
    ("a folder outside", lambda store: (store / "1").symlink_to(store.parent / "other" / "0")),
    ("a folder outside, relative", lambda store: (store / "1").symlink_to("../other/0")),
    ("a document outside", lambda store: ((store / "1").mkdir(), (store / "1" / "zarr.json").symlink_to("../../other/0/zarr.json"))[1]),
    ("round in circles", lambda store: ((store / "2").symlink_to("1"), (store / "1").symlink_to("2"))[1]),
    ("to itself", lambda store: (store / "1").symlink_to("1")),
]


@pytest.mark.parametrize(("name", "link"), LINKS, ids=[name for name, _ in LINKS])
def test_links_that_leave_the_folder_are_refused(tmp_path: Path, name: str, link: Callable[[Path], None]) -> None:
    store = tree(tmp_path)
    link(store)
    with pytest.raises(PathError, match=r"1"):
        FileNode(store).child("1").kind  # noqa: B018
    if "circles" not in name and "itself" not in name:
        assert FileNode(store, follow_links=True).child("1").kind == "array"


def test_links_inside_the_folder_and_to_the_folder_are_followed(tmp_path: Path) -> None:
    store = tree(tmp_path)
    (store / "1").symlink_to("0")
    (tmp_path / "door").symlink_to(store)
    assert FileNode(store).child("1").kind == "array"
    assert FileNode(tmp_path / "door").child("0").kind == "array"
    assert FileNode(tmp_path / "door").children() == ("0", "1")


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "zarr.json").mkdir()
    with pytest.raises(DocumentError, match="a folder; expected a JSON document"):
        FileNode(tmp_path / "a").kind  # noqa: B018


def test_a_failed_read_is_never_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tree(tmp_path)
    node = FileNode(store)

    def broken(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", broken)
    with pytest.raises(StorageError, match=r"cannot be read \(Permission denied\)"):
        node.kind  # noqa: B018


# --- N5, plain folders, links, values -----------------------------------------------------------------------------------

N5 = {
    "attributes.json": {"n5": "4.0.0"},
    "vol/s0/attributes.json": {"dimensions": [7, 5, 3], "blockSize": [4, 4, 2], "dataType": "uint16", "compression": {"type": "gzip", "level": 6}, "k": 1},
}


def test_an_n5_container_is_seen_in_c_order_and_its_groups_need_no_document() -> None:
    root = DictNode(N5)
    assert (root.container, root.kind, root.zarr_format, root.attributes) == ("n5", "group", None, {"n5": "4.0.0"})
    assert (root.child("vol").kind, root.child("vol").attributes, root.child("gone").kind) == ("group", {}, "absent")
    array = root.child("vol/s0")
    assert array.kind == "array" and array.array is not None and array.attributes["k"] == 1 and array.array_document == N5["vol/s0/attributes.json"]
    assert (array.array.shape, array.array.chunks, array.array.driver, array.array.codecs) == ((3, 5, 7), (2, 4, 4), "n5", "gzip 6")


@pytest.mark.parametrize(
    ("key", "value"),
    [("dimensions", [7, -1]), ("dimensions", "x"), ("dimensions", [True, 2]), ("blockSize", [4]), ("blockSize", [0, 4]), ("dataType", 5), ("dimensions", [])],
)
def test_an_n5_document_that_states_the_impossible_is_refused_by_key(key: str, value: JSON) -> None:
    document: dict[str, JSON] = {"dimensions": [7, 5], "blockSize": [4, 4], "dataType": "uint8", "compression": {"type": "raw"}}
    with pytest.raises(DocumentError, match=key):
        _ = DictNode({"a/attributes.json": {**document, key: value}, "attributes.json": {"n5": "4.0.0"}}).child("a").array


def test_files_beside_the_documents_are_seen(tmp_path: Path) -> None:
    (tmp_path / "0.zarr").mkdir()
    (tmp_path / ".zlevels").write_text("{}")
    (tmp_path / "10.link").write_text("../elsewhere\n")
    (tmp_path / "2.link").write_text("x")
    node = FileNode(tmp_path)
    assert node.kind == "folder" and node.files() == ("2.link", "10.link", ".zlevels") and node.file("10.link") == b"../elsewhere\n"
    assert node.file("none") is None and DictNode({".zlevels": b"{}", "0.zarr/.zgroup": {"zarr_format": 2}}).files() == (".zlevels",)
    with pytest.raises(PathError):
        node.file("../secret")


def test_a_link_in_a_document_is_followed_only_where_links_are_allowed(tmp_path: Path) -> None:
    for name in ("in/below", "out"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / ".zgroup").write_text('{"zarr_format": 2}')
    assert FileNode(tmp_path / "in").linked("below").kind == "group"
    for target in ("../out", str(tmp_path / "out")):
        with pytest.raises(PathError, match="allow_links=True"):
            FileNode(tmp_path / "in").linked(target)
        assert FileNode(tmp_path / "in", follow_links=True).linked(target).kind == "group"
        assert FileNode(tmp_path / "in", follow_links=True).child("below").linked("../../out").kind == "group"
    with pytest.raises(PathError):
        FileNode(tmp_path / "in", follow_links=True).linked("https://example.org/x")
    with pytest.raises(PathError):
        DictNode({}).linked("x")


X: dict[str, JSON] = {"zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "<f8", "compressor": None, "fill_value": 0, "order": "C", "filters": None}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_values_of_a_small_array_are_read_where_something_decodes(tmp_path: Path, zarr_format: Literal[2, 3]) -> None:
    from ziggurat import storage

    group = zarr.open_group(tmp_path, mode="w", zarr_format=zarr_format)
    group["x"] = np.array([0.5, 1.5, 3.5])
    group["image"] = np.zeros((3, 3))
    node = storage.open_node(tmp_path)
    assert node.values("x") == (0.5, 1.5, 3.5)
    assert node.values("image") is None and node.values("none") is None and FileNode(tmp_path).values("x") is None
    assert DictNode({"x/.zarray": X, ".zgroup": {"zarr_format": 2}}, values={"x": [1.0, 2.0]}).values("x") == (1.0, 2.0)


def test_coordinates_in_a_chunk_that_fits_no_memory_are_not_decoded() -> None:
    def decode(path: str, document: Mapping[str, JSON], container: str) -> list[float | str]:
        raise AssertionError("it would be made whole")

    huge = {**X, "chunks": [2**31]}
    tree = {"x/.zarray": json.dumps(huge).encode(), ".zgroup": b'{"zarr_format": 2}'}
    assert DocumentNode(Tree(tree.get, lambda path: [], "there", decode=decode)).values("x") is None
