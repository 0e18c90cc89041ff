"""One scale of a Neuroglancer precomputed volume as a reader of chunks, in the order c, z, y, x.

Raw chunks are read here: a file per chunk, `x0-x1_y0-y1_z0-z1` in voxels of the scale (perhaps gzipped, as CloudVolume leaves them), samples
little-endian with x the fastest. All other encodings, and shards, are tensorstore's (extra `neuroglancer`).
Source: google/neuroglancer, datasource/precomputed/volume.md.
"""

from __future__ import annotations

import json
import math
import threading
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ziggurat.chunkio import AnyArray, ByteStore, chunk_region
from ziggurat.chunkio.arrays import bounded_get, stored_limit
from ziggurat.chunkio.facts import check_chunk_bytes
from ziggurat.model import JSON
from ziggurat.problems import MissingExtra, StorageError, UnsupportedError

Index = tuple[int, ...]
_FAILURES = (ValueError, TypeError, RuntimeError, OSError, KeyError, NotImplementedError)
"""What tensorstore raises for a volume or bytes that it cannot use."""


class PrecomputedScale:
    """A `ChunkReader`. Thread-safe. Pickles as store, path and document."""

    def __init__(self, store: ByteStore, path: str, document: Mapping[str, JSON], *, root: str | None = None) -> None:
        """`path` is the folder of the scale's chunks, `document` what the layout composed, `root` where tensorstore finds the `info`."""
        scale = document["scale"]
        if not isinstance(scale, Mapping):
            raise UnsupportedError(f"{path}: its scale is no object")
        self._made_of = (store, path, dict(document), root)
        self._store, self._path, self._root = store, path, root
        self._scale = scale
        self._dtype: np.dtype[np.generic] = np.dtype(str(document["data_type"]))
        self._n_channels, self._index = _number(document["num_channels"]), _number(document["index"])
        lead = (self._n_channels,) if self._n_channels > 1 else ()
        self._shape = lead + _triple(scale.get("size"))
        self._chunks = lead + tuple(_number(n) for n in _items(document["chunk"]))
        self._offset = _triple(scale.get("voxel_offset", [0, 0, 0]))
        check_chunk_bytes(self._chunks, self._dtype.itemsize)
        self._is_raw = scale.get("encoding") == "raw" and scale.get("sharding") is None
        self._get = bounded_get(store, stored_limit(math.prod(self._chunks) * self._dtype.itemsize))
        self._lock = threading.Lock()
        self._opened: Any = None

    def __reduce__(self) -> tuple[object, ...]:
        return _scale, self._made_of

    def __repr__(self) -> str:
        return f"<PrecomputedScale {self._path} {self._shape} {self._dtype.name} chunks {self._chunks}>"

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        return self._chunks

    def key(self, index: Index) -> str:
        """Returns the store's key of a chunk that has a file of its own."""
        bounds = [f"{first}-{stop}" for first, stop in self._box(index)]
        return f"{self._path}/{'_'.join(reversed(bounds))}"

    def read(self, index: Index, out: AnyArray) -> bool:
        """Decodes chunk `index` into `out`; zeros where it is not stored.

        Raises
        ------
        StorageError
            When the store fails, or a chunk is of another size than its place.
        MissingExtra
            When the encoding needs tensorstore and it is not installed.
        """
        part = out[tuple(slice(0, s.stop - s.start) for s in chunk_region(index, self._chunks, self._shape))]
        return self._read_raw(index, part) if self._is_raw else self._read_foreign(index, part)

    def _box(self, index: Index) -> list[tuple[int, int]]:
        """Returns first and stop of a chunk along z, y, x, in voxels of the volume."""
        region = chunk_region(index, self._chunks, self._shape)[-3:]
        return [(s.start + o, s.stop + o) for s, o in zip(region, self._offset, strict=True)]

    def _read_raw(self, index: Index, part: AnyArray) -> bool:
        key = self.key(index)
        data = self._get(key)
        if data is None and (packed := self._get(f"{key}.gz")) is not None:
            data = self._unpacked(index, packed, part.nbytes + 1)
        if data is None:
            part[...] = 0
            return False
        if len(data) != part.nbytes:
            raise StorageError(f"{self._store!r}: {key}: chunk {index} has {len(data)} bytes, its place {part.nbytes}")
        part[...] = np.frombuffer(data, self._dtype.newbyteorder("<")).reshape(part.shape)
        return True

    def _read_foreign(self, index: Index, part: AnyArray) -> bool:
        opened = self._volume()
        places = tuple(slice(first, stop) for first, stop in reversed(self._box(index)))
        try:
            found = np.asarray(opened[places].read().result())
        except _FAILURES as error:
            raise StorageError(f"{self._store!r}: {self._path}: chunk {index} cannot be read by tensorstore: {_first_line(error)}") from error
        if not found.any() and self._scale.get("sharding") is None:
            found = self._read_packed(index, places, found)
        part[...] = found.transpose(3, 2, 1, 0).reshape(part.shape)
        return True

    def _read_packed(self, index: Index, places: tuple[slice, ...], zeros: AnyArray) -> AnyArray:
        """Returns the samples of a chunk that tensorstore does not see, because only its gzipped file is there; `zeros` where there is none.

        CloudVolume gzips segmentations in folders unless it is told not to; tensorstore knows the name without `.gz` alone.
        """
        key = self.key(index)
        packed = self._get(f"{key}.gz")
        if packed is None or self._get(key) is not None:
            return zeros
        import tensorstore

        data = self._unpacked(index, packed, stored_limit(zeros.nbytes))
        context, place = tensorstore.Context(), {"driver": "memory"}
        segments = self._scale.get("encoding") in ("compressed_segmentation", "compresso")
        info: dict[str, object] = {"@type": "neuroglancer_multiscale_volume", "type": "segmentation" if segments else "image", "data_type": self._dtype.name}
        info |= {"num_channels": self._n_channels, "scales": [{**self._scale, "key": "s"}]}
        try:
            store = tensorstore.KvStore.open(place, context=context).result()
            store["info"] = json.dumps(info).encode()
            store[f"s/{key.rpartition('/')[2]}"] = data
            spec = {"driver": "neuroglancer_precomputed", "kvstore": place, "open": True}
            return np.asarray(tensorstore.open(spec, read=True, context=context).result()[places].read().result())
        except _FAILURES as error:
            raise StorageError(f"{self._store!r}: {key}.gz: chunk {index} cannot be read by tensorstore: {_first_line(error)}") from error

    def _unpacked(self, index: Index, packed: bytes | bytearray | memoryview, limit: int) -> bytes:
        machine = zlib.decompressobj(wbits=31)
        try:
            return machine.decompress(packed, limit)
        except zlib.error as error:
            raise StorageError(f"{self._store!r}: {self.key(index)}.gz: chunk {index} cannot be decoded: {error}") from error

    def _volume(self) -> Any:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> Any:
        try:
            import tensorstore
        except ImportError as error:
            said = f"{self._scale.get('encoding')!r}{' in shards' if self._scale.get('sharding') is not None else ''}"
            raise MissingExtra(f"{self._path}: chunks encoded as {said} need tensorstore; install it with: pip install 'ziggurat[neuroglancer]'") from error
        if self._root is None:
            raise UnsupportedError(f"{self._path}: only a folder or a URL can be given to tensorstore, found {self._store!r}")
        place = self._root if "://" in self._root else {"driver": "file", "path": f"{self._root}/"}
        spec = {"driver": "neuroglancer_precomputed", "kvstore": place, "scale_index": self._index, "open": True}
        try:
            return tensorstore.open(spec, read=True).result()
        except _FAILURES as error:
            raise StorageError(f"{self._root}: tensorstore cannot open scale {self._index}: {_first_line(error)}") from error


def _scale(store: ByteStore, path: str, document: Mapping[str, JSON], root: str | None) -> PrecomputedScale:
    return PrecomputedScale(store, path, document, root=root)


def _items(value: JSON) -> list[JSON]:
    return list(value) if isinstance(value, list | tuple) else []


def _number(value: JSON) -> int:
    if not isinstance(value, int):
        raise UnsupportedError(f"{value!r}: expected a whole number")
    return value


def _triple(value: JSON) -> tuple[int, int, int]:
    """Returns three whole numbers of x, y, z as z, y, x."""
    x, y, z = (int(str(v).partition(".")[0]) for v in _items(value))
    return z, y, x


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].strip() or type(error).__name__
