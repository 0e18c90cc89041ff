"""kill -9 and power cuts: at no moment is there a multiscale that is not whole, and running the build again ends in the same bytes."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import ziggurat as zg
from ziggurat import journal, storage
from ziggurat.chunkio import PARTIAL_SUFFIX, FileStore, read_region
from ziggurat.journal import FOLDER

RNG = np.random.default_rng(8)
OPTIONS = {"plain": {"chunks": 16, "name": "x", "axes": "yx", "threads": 2}, "shards": {"chunks": 16, "shards": 64, "name": "x", "axes": "yx", "threads": 2}}


def below(folder: Path) -> dict[str, bytes]:
    """Returns what a reader may see: all files but our own notes and those that are being written."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {key: p.read_bytes() for p in files if not (key := p.relative_to(folder).as_posix()).startswith(FOLDER) and not key.endswith(PARTIAL_SUFFIX)}


def check_seen(target: Path, expected: dict[str, bytes]) -> None:
    """No multiscale, or all of it; and whatever chunk is there decodes."""
    found = below(target) if target.is_dir() else {}
    assert "zarr.json" not in found or found == expected
    for key in found:
        if key.count("/") == 1 and key.endswith("/zarr.json"):
            path = key.partition("/")[0]
            document = storage.open_node(target).child(path).array_document
            array = storage.open_array(FileStore(target, read_only=True), path, document, 3)
            read_region(array, tuple(slice(0, n) for n in array.shape))


# --- kills


def build_it(source: str, target: str, name: str) -> None:
    zg.build(source, target, **OPTIONS[name])


def kill_many(tmp_path: Path, name: str, n_kills: int) -> dict[str, float]:
    """Kills builds at uniform times until there were so many kills; returns what was seen."""
    np.save(tmp_path / "in.npy", RNG.integers(0, 4096, (512, 512), dtype=np.uint16))
    source = str(tmp_path / "in.npy")
    whole = zg.build(source, tmp_path / "whole.zarr", **OPTIONS[name])
    expected = below(tmp_path / "whole.zarr")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ziggurat.builder", "ziggurat.builder.publish", "ziggurat.storage.documents", "tests.test_kills"])
    rng, killed, n_finished, n_lost, n_resumed = np.random.default_rng(n_kills), 0, 0, 0, 0
    seconds = max(0.2, 1.5 * whole.seconds)
    target = tmp_path / "k.zarr"
    while killed < n_kills:
        child = context.Process(target=build_it, args=(source, str(target), name))
        child.start()
        time.sleep(float(rng.uniform(0, seconds)))
        child.kill()
        child.join()
        killed += child.exitcode == -9
        check_seen(target, expected)
        if "zarr.json" in (found := below(target) if target.is_dir() else {}):
            shutil.rmtree(target)
            continue
        if name == "plain":  # a root is a chunk of level 0 and what it alone completes; each of two threads may lose the one that it is at
            stored = sum(key.startswith("0/c/") for key in found)
            noted = sum("/roots/" in key for key in FileStore(target).keys(FOLDER)) * whole.plan.levels[0].n_chunks // whole.n_tasks
            n_finished, n_lost = n_finished + stored, n_lost + max(0, stored - noted)
        if rng.random() < 0.3:
            result = zg.build(source, target, **OPTIONS[name])
            n_resumed += result.n_resumed
            assert below(target) == expected and not (target / FOLDER).exists()
            shutil.rmtree(target)
    assert n_lost <= 0.1 * max(n_finished, 1)
    return {"kills": killed, "chunks stored before kills": n_finished, "of these made again": n_lost, "tasks resumed": n_resumed}


@pytest.mark.parametrize("name", OPTIONS)
def test_some_kills_at_any_moment(tmp_path, name):
    assert kill_many(tmp_path, name, 4)["kills"] == 4


@pytest.mark.prove
@pytest.mark.parametrize("name", OPTIONS)
def test_a_hundred_kills_at_any_moment(tmp_path, name, record_property):
    for what, value in kill_many(tmp_path, name, 100).items():
        record_property(what, value)


# --- power cuts: what was written, synced and renamed, replayed up to any moment and with any part of what was not synced


@dataclass(eq=False)
class File:
    """Bytes of a file, and as many of them as are on the disk for certain."""

    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    is_folder: bool = False


class Disk:
    """What a file system holds: names in folders, and what of both is on the disk. Nothing is ordered that was not synced."""

    def __init__(self) -> None:
        self.now: dict[str, File] = {}
        self.safe: dict[str, File] = {}
        self.pending: list[tuple[str, File | None]] = []
        """Changes of names that are not on the disk for certain: (path, file, or None where it was removed)."""
        self.open: dict[int, tuple[str, File]] = {}

    def set(self, path: str, file: File | None) -> None:
        self.pending.append((path, file))
        if file is None:
            self.now.pop(path, None)
        else:
            self.now[path] = file

    def fsync(self, path: str, file: File) -> None:
        file.synced = bytes(file.data)
        if file.is_folder:
            self.settle(lambda name: os.path.dirname(name) == path)

    def settle(self, which) -> None:
        for name, file in self.pending:
            if which(name):
                self.safe.pop(name, None) if file is None else self.safe.__setitem__(name, file)
        self.pending = [(name, file) for name, file in self.pending if not which(name)]

    def syncfs(self) -> None:
        self.settle(lambda name: True)
        for file in self.now.values():
            file.synced = bytes(file.data)

    def after_cut(self, rng: np.random.Generator | None) -> dict[str, bytes | None]:
        """Returns what may be left: what was synced (`rng` None), or that and a random part of the rest. Folders are None."""
        names = dict(self.safe)
        for name, file in self.pending if rng is not None else ():
            if rng.random() < 0.5:
                names.pop(name, None) if file is None else names.__setitem__(name, file)
        left: dict[str, bytes | None] = {}
        for name, file in names.items():
            data, kept = bytes(file.data), file.synced
            if rng is not None and data != kept:
                kept = [kept, data, data[: int(rng.integers(0, len(data) + 1))], bytes(len(data))][int(rng.integers(4))]
            left[name] = None if file.is_folder else kept
        return left


CALL = re.compile(rb"^(\w+)\((.*)\)\s+= (-?\d+)", re.DOTALL)
TEXT = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"')


def apply(disk: Disk, line: bytes, top: str) -> bool:
    """Applies a line of strace to a disk; False when it changes nothing below `top`."""
    call = CALL.match(line)
    if call is None or int(call[3]) < 0:
        return False
    name, result = call[1].decode(), int(call[3])
    texts = [bytes.fromhex(t.replace(b"\\x", b"").decode()) for t in TEXT.findall(call[2])]
    fd = int(found[0]) if (found := re.match(rb"\d+", call[2])) else -1
    folder = disk.open[fd][0] if fd in disk.open else ""  # what openat and unlinkat name is in an open folder, as rmtree does it
    names = ("openat", "rename", "unlink", "unlinkat", "mkdir", "rmdir")
    paths = [os.path.normpath(os.path.join(folder, t.decode(errors="replace"))) for t in texts] if name in names else []
    if name == "openat":
        if not paths[0].startswith(top):
            disk.open.pop(result, None)
            return False
        file = disk.now.get(paths[0])
        if file is None:
            disk.set(paths[0], file := File())
        elif b"O_TRUNC" in call[2]:
            file.data.clear()
        disk.open[result] = (paths[0], file)
        return b"O_CREAT" in call[2]
    if name in ("rename", "mkdir", "unlink", "rmdir", "unlinkat"):
        if not paths[-1].startswith(top):
            return False
        if name == "rename":
            file = disk.now[paths[0]]
            disk.set(paths[1], file)
            disk.set(paths[0], None)
        else:
            disk.set(paths[0], File(is_folder=True) if name == "mkdir" else None)
        return True
    if fd not in disk.open:
        return False
    path, file = disk.open[fd]
    if name == "close":
        del disk.open[fd]
        return False
    if name == "syncfs":
        disk.syncfs()
    elif name in ("fsync", "fdatasync"):
        disk.fsync(path, file)
    else:
        file.data += b"".join(texts)[:result]
    return True


def recorded(tmp_path: Path, source: str, target: Path, name: str, sync_seconds: float) -> Iterator[Disk]:
    """Yields the disk after each call that changes it while a build runs, once under strace."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    program = f"""
import ziggurat as zg, ziggurat.journal as journal
journal.SYNC_SECONDS = {sync_seconds}
zg.build({source!r}, {str(target)!r}, **{ {**OPTIONS[name], "threads": 1}!r})
"""
    calls = "openat,write,writev,rename,unlink,unlinkat,mkdir,rmdir,fsync,fdatasync,syncfs,close"
    log = tmp_path / "strace"
    command = ["strace", "-qq", "-xx", "-s", "10000000", "-o", str(log), "-e", f"trace={calls}", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(Path(zg.__file__).parents[1])})
    if done.returncode and "ptrace" in done.stderr:
        pytest.skip("this machine does not allow ptrace")
    assert done.returncode == 0, done.stderr
    disk = Disk()
    disk.now[str(target.parent)] = disk.safe[str(target.parent)] = File(is_folder=True)
    for line in log.read_bytes().split(b"\n"):
        if apply(disk, line, str(target.parent)):
            yield disk
    assert {k: bytes(v.data) for k, v in disk.now.items() if not v.is_folder} == {str(p): p.read_bytes() for p in target.parent.rglob("*") if p.is_file()}


def put_back(left: dict[str, bytes | None], top: Path, place: Path) -> None:
    """Makes what a power cut left at another place; what lies in a folder that is lost is lost."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name in sorted(left):
        path = place / Path(name).relative_to(top)
        if path == place or not path.parent.is_dir():
            continue
        data = left[name]
        path.mkdir() if data is None else path.write_bytes(data)


def cut_power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, step: int, n_each: int, sync_seconds: float = 0.0) -> dict[str, int]:
    """Cuts the power after every `step`-th call; returns what was seen."""
    np.save(tmp_path / "in.npy", RNG.integers(0, 4096, (96, 96), dtype=np.uint16))
    source, top = str(tmp_path / "in.npy"), tmp_path / "disk"
    top.mkdir()
    monkeypatch.setattr(journal, "_boot", lambda: "the-next-start")
    seen = {"moments": 0, "states": 0, "published": 0, "tasks resumed": 0}
    target = top / "o.zarr"
    states, was_safe = [], False
    for i, disk in enumerate(recorded(tmp_path, source, target, name, sync_seconds)):
        is_safe = str(target / "zarr.json") in disk.safe
        if i % step == 0 or is_safe != was_safe:  # whatever is sampled, the moment when it is published is
            was_safe = is_safe
            seen["moments"] += 1
            states += [disk.after_cut(None if n == 0 else np.random.default_rng((i, n))) for n in range(n_each)]
    states.append(disk.after_cut(None))
    expected = below(target)
    for left in states:
        place = tmp_path / "after"
        put_back(left, top, place)
        seen["states"] += 1
        again = place / "o.zarr"
        if (again / "zarr.json").exists():
            seen["published"] += 1
            assert below(again) == expected
            continue
        # the journal's plan names the target, so the build goes on at the place where it was
        shutil.rmtree(target, ignore_errors=True)
        if again.exists():
            shutil.move(again, target)
        seen["tasks resumed"] += zg.build(source, target, **OPTIONS[name]).n_resumed
        assert below(target) == expected and not (target / FOLDER).exists()
    assert seen["published"] >= 1  # the last state: what is synced at the end is all
    return seen


@pytest.mark.parametrize("name", OPTIONS)
def test_power_cuts_at_some_moments(tmp_path, monkeypatch, name):
    if name == "plain":  # roots are synced one by one
        assert cut_power(tmp_path, monkeypatch, name, step=23, n_each=2)["tasks resumed"] > 0
    else:  # nothing is synced before the end
        assert cut_power(tmp_path, monkeypatch, name, step=23, n_each=2, sync_seconds=60.0)["tasks resumed"] == 0


@pytest.mark.prove
@pytest.mark.parametrize("sync_seconds", [0.0, 0.02, 60.0])
@pytest.mark.parametrize("name", OPTIONS)
def test_power_cuts_at_every_moment(tmp_path, monkeypatch, name, sync_seconds, record_property):
    for what, value in cut_power(tmp_path, monkeypatch, name, step=1, n_each=4, sync_seconds=sync_seconds).items():
        record_property(what, value)
