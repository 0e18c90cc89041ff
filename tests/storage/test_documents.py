"""Metadata documents into stores, and their consolidated copies as zarr-python makes them."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from ziggurat.chunkio import (
    CountingStore,
    DictStore,
    FileStore,
)
from ziggurat.model import JSON
from ziggurat.problems import DocumentError, StorageError
from ziggurat.storage import consolidated, write_documents


def quietly(function: Callable[[], Any]) -> Any:
    """zarr-python warns when it makes what v3 has no specification for; that is its business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function()


def test_documents_are_written_in_order_and_all_or_none_become_bytes(tmp_path: Path) -> None:
    store = CountingStore(DictStore())
    write_documents(store, [("b", {"n": 1}), ("a", {"n": 2.5})])
    assert list(store.puts) == ["b", "a"]
    with pytest.raises(DocumentError, match="cannot be written as JSON"):
        write_documents(store, [("c", {}), ("d", {"x": float("nan")})])
    assert store.n_puts == 2
    files = FileStore(tmp_path)
    write_documents(files, [("g/zarr.json", {"attributes": {"whole": 1, "part": 1.0}})])
    assert (tmp_path / "g" / "zarr.json").read_text() == '{\n  "attributes": {\n    "whole": 1,\n    "part": 1.0\n  }\n}'
    blocked = FileStore(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="folder: cannot write"):
        write_documents(blocked, [("first", {}), ("folder", {}), ("last", {})])
    assert (tmp_path / "first").exists()
    assert not (tmp_path / "last").exists()
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_consolidated_copy_is_what_zarr_makes(zarr_format: int, tmp_path: Path) -> None:
    def make() -> None:
        root = zarr.create_group(tmp_path, zarr_format=zarr_format, attributes={"multiscales": [{"name": "x"}]})
        for name in ("10", "2", "B", "a"):
            root.create_array(name, shape=(4, 4), chunks=(2, 2), dtype="u2", attributes={"n": name})
        deep = root.create_group("labels/cells", attributes={"deep": True})
        deep.create_array("0", shape=(4,), chunks=(2,), dtype="f4", fill_value=np.nan)
        root.create_group("empty")
        zarr.consolidate_metadata(tmp_path, zarr_format=zarr_format)

    quietly(make)
    names = ("zarr.json",) if zarr_format == 3 else (".zgroup", ".zarray", ".zattrs")
    documents: dict[str, JSON] = {p.relative_to(tmp_path).as_posix(): json.loads(p.read_text()) for p in tmp_path.rglob("*") if p.name in names}
    theirs = json.loads((tmp_path / ("zarr.json" if zarr_format == 3 else ".zmetadata")).read_text())
    ours = consolidated(documents)
    assert json.loads(json.dumps(ours)) == theirs
    if zarr_format == 3:
        entries = [list(document["consolidated_metadata"]["metadata"]) for document in (json.loads(json.dumps(ours)), theirs)]
        assert entries[0] == entries[1]

    write_documents(FileStore(tmp_path), [("zarr.json" if zarr_format == 3 else ".zmetadata", ours)])
    group = quietly(lambda: zarr.open_group(tmp_path, zarr_format=zarr_format, use_consolidated=True))
    assert sorted(group.keys()) == ["10", "2", "B", "a", "empty", "labels"]
    assert group["labels/cells/0"].shape == (4,)


@pytest.mark.parametrize("documents", [{}, {"0/zarr.json": {}}, {"zarr.json": {}, "0/.zarray": {}}, {"zarr.json": []}])
def test_documents_that_make_no_hierarchy_are_refused(documents: dict[str, JSON]) -> None:
    with pytest.raises(DocumentError, match=r"expected|mixed"):
        consolidated(documents)


def test_documents_are_on_the_disk_before_the_next_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of system calls: write and sync the file, move it, sync the directory; then the next document."""
    calls: list[str] = []
    kinds: dict[int, str] = {}
    real_open, real_fsync, real_replace = os.open, os.fsync, os.replace

    def opened(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        fd = real_open(path, flags, mode, **options)
        kinds[fd] = "folder" if Path(path).is_dir() else "file"
        return fd

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(f"sync {kinds[fd]}"), real_fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("move"), real_replace(a, b))[1])
    store = FileStore(tmp_path)
    write_documents(store, [("a.json", {}), ("b.json", {})])
    assert calls == ["sync file", "move", "sync folder"] * 2
    calls.clear()
    store.put("chunk", [b"x"])
    assert calls == ["move"]
    FileStore(tmp_path, durability="fsync").put("deep/er/chunk", [b"x"])
    assert calls[1:] == ["sync file", "move", "sync folder", "sync folder", "sync folder"]
