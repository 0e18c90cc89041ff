"""The hot floor: what a build cannot do without, and nothing else, as a program of its own.

It reads and decodes each base chunk once and encodes and writes each level chunk once: the same chunks, codec library,
codec level and number of threads as the build that it is compared with, in one loop per thread, into reused buffers, on bare
files; no kernel, no metadata, no ziggurat. The samples to encode come from a file in RAM that `prepare` filled from a
finished build; loading them stands for no work of a build, so their seconds are reported and `pairs.py` subtracts them.

    python benchmarks/floor.py prepare BUILT_GROUP PREPARED           # once per case; zarr-python reads the levels
    python benchmarks/floor.py prepare-tiff FILE.tif PREPARED         # where the tiles of the base lie in the file
    python benchmarks/floor.py run BASE_ARRAY PREPARED OUT            # decode the base, encode and write the levels
    python benchmarks/floor.py run FILE.tif PREPARED OUT --encode-base    # a re-encoding copy: the base's chunks are encoded too
    python benchmarks/floor.py copy BASE_ARRAY OUT                    # the copy floor: files as they are
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import shutil
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

Index = tuple[int, ...]
MISSING = 2**64 - 1


@dataclass(slots=True)
class Grid:
    """What the floor needs from one array's metadata document."""

    shape: Index
    chunks: Index
    shards: Index | None
    dtype: np.dtype[Any]
    codec: str
    level: int
    prefix: str
    separator: str
    byteshuffle: int = 1
    cname: str = "zstd"
    fill: Any = 0
    names: Index = field(init=False)

    @property
    def chunk_bytes(self) -> int:
        return math.prod(self.chunks) * self.dtype.itemsize

    @property
    def counts(self) -> Index:
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))

    @property
    def per_shard(self) -> Index:
        return tuple(s // c for s, c in zip(self.shards or self.chunks, self.chunks, strict=True))

    def key(self, index: Index) -> str:
        return self.prefix + self.separator.join(map(str, index))


def grid_of(document: dict[str, Any]) -> Grid:
    """Reads a v3 `zarr.json` or a v2 `.zarray`; zstd and blosc only."""
    if document["zarr_format"] == 2:
        compressor = document["compressor"]
        return Grid(
            tuple(document["shape"]), tuple(document["chunks"]), None, np.dtype(document["dtype"]), compressor["id"],
            compressor.get("clevel", compressor.get("level")), "", document.get("dimension_separator", "."),
            compressor.get("shuffle", 1), compressor.get("cname", "zstd"), document["fill_value"] or 0,
        )  # fmt: skip
    outer = tuple(document["chunk_grid"]["configuration"]["chunk_shape"])
    codecs = document["codecs"]
    inner = None
    if codecs[0]["name"] == "sharding_indexed":
        inner = tuple(codecs[0]["configuration"]["chunk_shape"])
        codecs = codecs[0]["configuration"]["codecs"]
    last = codecs[-1]
    configuration = last.get("configuration", {})
    if last["name"] not in ("zstd", "blosc") or len(codecs) != 2:
        raise SystemExit(f"codecs: the floor knows bytes + zstd and bytes + blosc, not {[c['name'] for c in codecs]}")
    fill = document["fill_value"]
    return Grid(
        tuple(document["shape"]), inner or outer, outer if inner else None, np.dtype(document["data_type"]), last["name"],
        configuration.get("level", configuration.get("clevel", 3)), "c/", "/",
        {"shuffle": 1, "bitshuffle": 2}.get(configuration.get("shuffle", ""), 0), configuration.get("cname", "zstd"),
        math.nan if fill == "NaN" else fill,
    )  # fmt: skip


def decoder(grid: Grid) -> Callable[[Any, Any], Any]:
    """Returns decode(bytes, out)."""
    if grid.codec == "blosc":
        return lambda data, out: imagecodecs.blosc_decode(data, numthreads=1, out=out)
    return lambda data, out: imagecodecs.zstd_decode(data, out=out)


def encoder(grid: Grid) -> Callable[[Any], Any]:
    """Returns encode(array) -> bytes."""
    if grid.codec == "blosc":
        options: dict[str, Any] = {
            "level": grid.level, "compressor": grid.cname, "shuffle": grid.byteshuffle, "typesize": grid.dtype.itemsize, "numthreads": 1,
        }  # fmt: skip
        return lambda block: imagecodecs.blosc_encode(block, **options)
    return lambda block: imagecodecs.zstd_encode(block, level=grid.level)


class Worker(threading.local):
    """Reused buffers of one thread."""

    def __init__(self) -> None:
        self.raw = bytearray(1 << 20)
        self.decoded = np.empty(0, np.uint8)
        self.samples = np.empty(0, np.uint8)

    def read(self, descriptor: int, n: int, offset: int) -> memoryview:
        if len(self.raw) < n:
            self.raw = bytearray(2 * n)
        view = memoryview(self.raw)[:n]
        if os.preadv(descriptor, [view], offset) != n:
            raise SystemExit(f"short read: {n} bytes at {offset}")
        return view


class Base:
    """The base's chunks: from a Zarr array's files, or a tiled TIFF."""

    def __init__(self, path: Path, prepared: Path) -> None:
        self.path = path
        self.tiff: dict[Index, tuple[int, int]] | None = None
        if path.is_file():
            facts = json.loads((prepared / "tiff.json").read_text())
            self.grid = Grid(tuple(facts["shape"]), tuple(facts["chunks"]), None, np.dtype(facts["dtype"]), "zstd", 3, "c/", "/")
            self.tiff = {tuple(i): (o, n) for i, o, n in facts["tiles"]}
            self.descriptor = os.open(path, os.O_RDONLY)
        else:
            document = path / "zarr.json"
            self.grid = grid_of(json.loads((document if document.exists() else path / ".zarray").read_text()))
        self.decode = decoder(self.grid)
        self.indexes: dict[Index, tuple[int, np.ndarray[Any, Any]] | None] = {}
        self.lock = threading.Lock()

    def items(self) -> Iterator[Index]:
        """Chunk indices, those of one shard together."""
        grid = self.grid
        for shard in itertools.product(*(range(-(-n // p)) for n, p in zip(grid.counts, grid.per_shard, strict=True))):
            ranges = (range(s * p, min(s * p + p, n)) for s, p, n in zip(shard, grid.per_shard, grid.counts, strict=True))
            yield from itertools.product(*ranges)

    def read(self, index: Index, worker: Worker) -> Any:
        """Decodes one chunk into the thread's buffer; None where it is not stored."""
        if len(worker.decoded) != self.grid.chunk_bytes:
            worker.decoded = np.empty(self.grid.chunk_bytes, np.uint8)
        if self.tiff is not None:
            offset, n = self.tiff[index]
            data = worker.read(self.descriptor, n, offset)
        elif self.grid.shards:
            place = self._in_shard(index)
            if place is None:
                return None
            data = worker.read(*place)
        else:
            try:
                descriptor = os.open(self.path / self.grid.key(index), os.O_RDONLY)
            except FileNotFoundError:
                return None
            data = worker.read(descriptor, os.fstat(descriptor).st_size, 0)
            os.close(descriptor)
        self.decode(data, worker.decoded)
        return worker.decoded

    def _in_shard(self, index: Index) -> tuple[int, int, int] | None:
        grid = self.grid
        shard = tuple(i // p for i, p in zip(index, grid.per_shard, strict=True))
        with self.lock:
            if shard not in self.indexes:
                descriptor = os.open(self.path / grid.key(shard), os.O_RDONLY)
                n = 16 * math.prod(grid.per_shard)
                raw = os.pread(descriptor, n, os.fstat(descriptor).st_size - n - 4)
                self.indexes[shard] = descriptor, np.frombuffer(raw, "<u8").reshape(*grid.per_shard, 2)
            found = self.indexes[shard]
        if found is None:
            return None
        offset, n = (int(v) for v in found[1][tuple(i % p for i, p in zip(index, grid.per_shard, strict=True))])
        return None if offset == MISSING else (found[0], n, offset)


class Target:
    """Writes one array's encoded chunks as bare files; shards when their last chunk arrived, in index order."""

    def __init__(self, root: Path, grid: Grid, indices: Iterable[Index]) -> None:
        self.root, self.grid, self.encode = str(root), grid, encoder(grid)
        self.folders: set[str] = set()
        self.bytes = 0
        self.lock = threading.Lock()
        self.open: dict[Index, list[tuple[Index, Any]]] = {}
        self.left: dict[Index, int] = {}
        if grid.shards:
            for index in indices:
                shard = tuple(i // p for i, p in zip(index, grid.per_shard, strict=True))
                self.left[shard] = self.left.get(shard, 0) + 1

    def put(self, index: Index, block: Any) -> None:
        data = self.encode(block)
        grid = self.grid
        if not grid.shards:
            self._write(grid.key(index), [data])
            return
        shard = tuple(i // p for i, p in zip(index, grid.per_shard, strict=True))
        with self.lock:
            self.open.setdefault(shard, []).append((tuple(i % p for i, p in zip(index, grid.per_shard, strict=True)), data))
            self.left[shard] -= 1
            if self.left[shard]:
                return
            parts = sorted(self.open.pop(shard), key=lambda part: part[0])
        table = np.full((*grid.per_shard, 2), MISSING, "<u8")
        at = 0
        for place, part in parts:
            table[place] = at, len(part)
            at += len(part)
        raw = table.tobytes()
        self._write(grid.key(shard), [*(part for _, part in parts), raw, struct.pack("<I", _crc32c(raw))])

    def _write(self, key: str, parts: list[Any]) -> None:
        path = f"{self.root}/{key}"
        folder = path.rpartition("/")[0]
        if folder not in self.folders:
            os.makedirs(folder, exist_ok=True)
            self.folders.add(folder)
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
        for first in range(0, len(parts), 512):
            os.writev(descriptor, parts[first : first + 512])
        os.close(descriptor)
        with self.lock:
            self.bytes += sum(map(len, parts))


def _crc32c(data: bytes) -> int:
    """CRC-32C of a shard's index; google-crc32c comes with zarr."""
    import google_crc32c

    return int(google_crc32c.value(data))


def run_threads(items: Iterable[Any], work: Callable[[Any, Worker], None], n_threads: int) -> None:
    """One plain loop per thread over one shared iterator."""
    iterator, lock, errors = iter(items), threading.Lock(), []

    def loop() -> None:
        worker = Worker()
        try:
            while True:
                with lock:
                    item = next(iterator, None)
                if item is None:
                    return
                work(item, worker)
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=loop) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise SystemExit(1)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The floor itself."""
    base = Base(args.base, args.prepared)
    plan = json.loads((args.prepared / "plan.json").read_text())
    shutil.rmtree(args.out, ignore_errors=True)
    targets, sources, writes = [], [], []
    for number, level in enumerate(plan["levels"]):
        grid = grid_of(level["document"])
        indices = [tuple(i) for i in level["indices"]]
        targets.append(Target(args.out / level["path"], grid, indices))
        sources.append(os.open(args.prepared / level["file"], os.O_RDONLY))
        writes += [(number, place, index) for place, index in enumerate(indices)]
    copy = None
    if args.encode_base:
        document = plan["base"]
        copy = Target(args.out / "0", grid_of(document), base.items())
    loads: list[float] = []
    lock = threading.Lock()

    def work(item: Any, worker: Worker) -> None:
        if item[0] is None:
            decoded = base.read(item[1], worker)
            if copy is not None and decoded is not None:
                copy.put(item[1], decoded)
            return
        number, place, index = item
        target = targets[number]
        start = time.thread_time()
        n = target.grid.chunk_bytes
        if len(worker.samples) != n:
            worker.samples = np.empty(n, np.uint8)
        os.preadv(sources[number], [memoryview(worker.samples)], place * n)
        spent = time.thread_time() - start
        with lock:
            loads.append(spent)
        target.put(index, worker.samples.view(target.grid.dtype).reshape(target.grid.chunks))

    reads = [(None, index) for index in base.items()]
    run_threads(reads + writes, work, args.threads)
    return {
        "n_reads": len(reads),
        "n_writes": len(writes) + (len(reads) if copy else 0),
        "written_bytes": sum(t.bytes for t in targets) + (copy.bytes if copy else 0),
        "load_seconds": sum(loads),
    }


def copy(args: argparse.Namespace) -> dict[str, Any]:
    """Copies every file of the base as it is: read into a reused buffer, written; no links, no reflinks."""
    shutil.rmtree(args.out, ignore_errors=True)
    files = [Path(folder) / name for folder, _, names in os.walk(args.base) for name in names]
    for folder in {f.parent for f in files}:
        os.makedirs(args.out / folder.relative_to(args.base), exist_ok=True)

    def work(path: Path, worker: Worker) -> None:
        source = os.open(path, os.O_RDONLY)
        size = os.fstat(source).st_size
        target = os.open(args.out / path.relative_to(args.base), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
        for offset in range(0, size, 1 << 24):
            os.write(target, worker.read(source, min(1 << 24, size - offset), offset))
        os.close(source)
        os.close(target)

    run_threads(files, work, args.threads)
    return {"n_writes": len(files), "written_bytes": sum(f.stat().st_size for f in files), "load_seconds": 0.0}


def prepare(args: argparse.Namespace) -> dict[str, Any]:
    """Stores the decoded, padded level chunks of a finished build one after another, the ones that are all fill left out."""
    import zarr

    shutil.rmtree(args.prepared, ignore_errors=True)
    args.prepared.mkdir(parents=True)
    levels, base = [], None
    names = sorted((p.name for p in args.group.iterdir() if (p / "zarr.json").exists() or (p / ".zarray").exists()), key=int)
    for name in names:
        document_path = args.group / name / "zarr.json"
        document = json.loads((document_path if document_path.exists() else args.group / name / ".zarray").read_text())
        if name == names[0]:
            base = document
            continue
        grid, array = grid_of(document), zarr.open_array(args.group / name, mode="r")
        indices = []
        fill = np.asarray(grid.fill, grid.dtype)
        with open(args.prepared / f"{name}.bin", "wb", buffering=0) as out:
            for index in itertools.product(*map(range, grid.counts)):
                part = np.asarray(array[tuple(slice(i * c, min(i * c + c, n)) for i, c, n in zip(index, grid.chunks, grid.shape, strict=True))])
                if np.array_equal(part, np.broadcast_to(fill, part.shape), equal_nan=grid.dtype.kind == "f"):
                    continue
                block = np.full(grid.chunks, fill, grid.dtype)
                block[tuple(map(slice, part.shape))] = part
                out.write(memoryview(block).cast("B"))
                indices.append(index)
        levels.append({"path": name, "document": document, "indices": indices, "file": f"{name}.bin"})
    (args.prepared / "plan.json").write_text(json.dumps({"base": base, "levels": levels}))
    return {"levels": [level["path"] for level in levels], "n_chunks": sum(len(level["indices"]) for level in levels)}


def prepare_tiff(args: argparse.Namespace) -> dict[str, Any]:
    """Adds where the tiles of a tiled, zstd-compressed TIFF lie."""
    import tifffile

    with tifffile.TiffFile(args.file) as file:
        page = file.pages[0]
        counts = tuple(-(-n // t) for n, t in zip(page.shape, page.tile, strict=True))
        places = zip(itertools.product(*map(range, counts)), page.dataoffsets, page.databytecounts, strict=True)
        facts = {"shape": page.shape, "chunks": page.tile, "dtype": page.dtype.name, "tiles": [[i, o, n] for i, o, n in places]}
    (args.prepared / "tiff.json").write_text(json.dumps(facts))
    return {"n_tiles": len(facts["tiles"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, function, positional in (
        ("run", run, ("base", "prepared", "out")),
        ("copy", copy, ("base", "out")),
        ("prepare", prepare, ("group", "prepared")),
        ("prepare-tiff", prepare_tiff, ("file", "prepared")),
    ):
        command = commands.add_parser(name)
        for argument in positional:
            command.add_argument(argument, type=Path)
        command.add_argument("--threads", type=int, default=2)
        command.add_argument("--encode-base", action="store_true")
        command.set_defaults(function=function)
    args = parser.parse_args()
    print(json.dumps(args.function(args)))


if __name__ == "__main__":
    main()
