"""`N5Array`: one dataset of an N5 container, read and written block by block in C order, and the document of a new one.

A block is `mode u16, n u16, n x u32 sizes, (mode 1: u32 count of elements)`, all big-endian, and the compressed samples, big-endian, the
first axis of the header fastest; read in the reverse order of the axes that is plain C order. Blocks at the end are cut to the array,
though some writers keep them whole, and a block that is not there is zeros. Source: saalfeldlab/n5, specification 4.0.0; formats.md 4.1.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ziggurat.chunkio import AnyArray, ArraySpec, Buffer, ByteStore, chunk_region
from ziggurat.chunkio.arrays import bounded_get, fill_test, stored_limit
from ziggurat.chunkio.facts import check_chunk_bytes
from ziggurat.chunkio.stores import checked_path
from ziggurat.model import JSON
from ziggurat.node.n5 import parse_n5_document
from ziggurat.problems import StorageError, UnsupportedError
from ziggurat.storage.documents import write_documents
from ziggurat.storage.n5codecs import compression_of, n5_codecs

Index = tuple[int, ...]
Shape = tuple[int, ...]

VERSION = "4.0.0"
"""Of the container, in the attributes of its root: readers do not need it here, others refuse a container without it."""
DOCUMENT = "attributes.json"
_DTYPES = MappingProxyType({name: np.dtype(name) for name in (*(f"{s}int{8 * n}" for s in ("", "u") for n in (1, 2, 4, 8)), "float32", "float64")})
_HEAD = struct.Struct(">HH")
_PLAIN, _VARYING = 0, 1
_VARYING_BYTES = 1 << 30
"""Decoded bytes of a block of varying length that no honest one exceeds: 64^3 label multisets of 100 entries are 300 MiB."""
_FAILURES = (ValueError, RuntimeError, OSError, EOFError)
"""What codecs raise for bytes that they cannot use."""


@dataclass(frozen=True, slots=True)
class Block:
    """A stored block, its header judged."""

    shape: Shape
    """In C order; at most the block size of the array."""
    n_elements: int
    payload: memoryview
    """Compressed samples."""


class N5Array:
    """A dataset: a `ChunkReader` and a `ChunkWriter`. Thread-safe. Pickles as store, path and document."""

    def __init__(self, store: ByteStore, path: str, document: Mapping[str, JSON], *, write_empty: bool = False) -> None:
        info = parse_n5_document(document, location=path or ".")
        if info.dtype not in _DTYPES:
            raise UnsupportedError(f"{path or '.'}: dataType {info.dtype!r} is no number of a fixed size; expected one of {', '.join(_DTYPES)}")
        self._made_of = (store, path, dict(document), write_empty)
        self._store = store
        self._shape, self._chunks, self._dtype = info.shape, info.chunks, _DTYPES[info.dtype]
        check_chunk_bytes(self._chunks, self._dtype.itemsize)
        self._prefix = f"{checked_path(path)}/" if checked_path(path) else ""
        self._encode, self._decode = n5_codecs(document, self._dtype.itemsize, path)
        n_bytes = math.prod(self._chunks) * self._dtype.itemsize
        self._get = bounded_get(store, stored_limit(_VARYING_BYTES if document.get("isLabelMultiset") is True else n_bytes))
        self._is_fill = fill_test(self._dtype.type(0))
        self._write_empty = write_empty

    def __reduce__(self) -> tuple[object, ...]:
        return _n5_array, self._made_of

    def __repr__(self) -> str:
        return f"<N5Array {self._prefix.rstrip('/') or '.'} {self._shape} {self._dtype.name} chunks {self._chunks}>"

    @property
    def shape(self) -> Shape:
        return self._shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._dtype

    @property
    def chunks(self) -> Shape:
        return self._chunks

    @property
    def shards(self) -> None:
        """N5 has none."""
        return None

    @property
    def fill(self) -> np.generic:
        """What a block that is not stored holds: zero, always."""
        zero: np.generic = self._dtype.type(0)
        return zero

    def key(self, index: Index) -> str:
        """Returns the store's key of block `index`: the position of the fastest axis comes first."""
        return self._prefix + "/".join(map(str, reversed(index)))

    # --- reading

    def block(self, index: Index) -> Block | None:
        """Returns a stored block with its header, None where it is not stored. Raises StorageError for a header that is none, or lies."""
        data = self._get(self.key(index))
        if data is None:
            return None
        view, ndim = memoryview(data).cast("B"), len(self._chunks)
        if len(view) < _HEAD.size + 4 * ndim:
            raise self._broken(index, f"{len(view)} bytes are too few for the header of a block of {ndim} axes")
        mode, n_axes = _HEAD.unpack_from(view)
        if mode not in (_PLAIN, _VARYING) or n_axes != ndim:
            raise self._broken(index, f"its header states mode {mode} and {n_axes} axes; expected mode 0 or 1 and {ndim}")
        shape = tuple(reversed(struct.unpack_from(f">{ndim}I", view, _HEAD.size)))
        if not all(1 <= n <= c for n, c in zip(shape, self._chunks, strict=True)):
            raise self._broken(index, f"its header states the size {list(shape)}; expected at most {list(self._chunks)}")
        at, n_elements = _HEAD.size + 4 * ndim, math.prod(shape)
        if mode == _VARYING:
            if len(view) < at + 4:
                raise self._broken(index, "the header is cut off")
            (n_elements,) = struct.unpack_from(">I", view, at)
            at += 4
        return Block(shape, n_elements, view[at:])

    def samples(self, index: Index, block: Block) -> AnyArray:
        """Returns the `n_elements` samples of a block, flat, in stored byte order (big-endian). Raises StorageError."""
        n_bytes = block.n_elements * self._dtype.itemsize
        if n_bytes > max(_VARYING_BYTES, math.prod(self._chunks) * self._dtype.itemsize):
            raise self._broken(index, f"its header states {block.n_elements} elements; expected at most {_VARYING_BYTES} bytes of them")
        flat = np.empty(n_bytes, np.uint8)
        try:
            self._decode(block.payload, flat)
        except _FAILURES as error:
            raise self._broken(index, str(error)) from error
        return flat.view(self._dtype.newbyteorder(">"))

    def read(self, index: Index, out: AnyArray) -> bool:
        """Decodes block `index` into `out`; see `ChunkReader.read`. What a shorter block leaves is zero.

        Raises
        ------
        StorageError
            When the store fails, or the header or what follows is cut off, corrupt, or of another size than the block's.
        """
        block = self.block(index)
        if block is None:
            out[...] = 0
            return False
        if block.n_elements != math.prod(block.shape):
            raise self._broken(index, f"it holds {block.n_elements} elements for {math.prod(block.shape)} samples; expected one each")
        if block.shape != self._chunks:
            out[...] = 0
        out[tuple(slice(0, n) for n in block.shape)] = self.samples(index, block).reshape(block.shape)
        return True

    def _broken(self, index: Index, reason: str) -> StorageError:
        return StorageError(f"{self._store!r}: {self.key(index)}: block {index} cannot be decoded: {reason}")

    # --- writing

    @property
    def open_shards(self) -> int:
        return 0

    @property
    def held_bytes(self) -> int:
        return 0

    @property
    def held_peak_bytes(self) -> int:
        return 0

    def write(self, index: Index, block: AnyArray) -> int:
        """Encodes and stores block `index`, cut to the array; see `ChunkWriter.write`. Raises StorageError."""
        if block.shape != self._chunks or block.dtype != self._dtype or not block.flags.c_contiguous:
            raise StorageError(f"{self.key(index)}: block is {block.shape} {block.dtype}; expected {self._chunks} {self._dtype}, C-contiguous")
        if not self._write_empty and self._is_fill(block):
            return 0
        region = chunk_region(index, self._chunks, self._shape)
        part = np.ascontiguousarray(block[tuple(slice(0, s.stop - s.start) for s in region)])
        head = _HEAD.pack(_PLAIN, part.ndim) + struct.pack(f">{part.ndim}I", *reversed(part.shape))
        try:
            data: Buffer = self._encode(part if part.dtype.itemsize == 1 else part.byteswap())
        except _FAILURES as error:
            raise StorageError(f"{self._store!r}: {self.key(index)}: block {index} cannot be encoded: {error}") from error
        self._store.put(self.key(index), [head, data])
        return len(head) + len(data)


def _n5_array(store: ByteStore, path: str, document: Mapping[str, JSON], write_empty: bool) -> N5Array:
    return N5Array(store, path, document, write_empty=write_empty)


def n5_document(spec: ArraySpec) -> dict[str, JSON]:
    """Returns the `attributes.json` of a new dataset: its user attributes, and the facts of the array, axes turned round.

    Raises UnsupportedError for a type, a codec, shards or a fill value that N5 does not have.
    """
    if spec.dtype.name not in _DTYPES:
        raise UnsupportedError(f"dtype {spec.dtype.name!r}: N5 has no such type; there are {', '.join(_DTYPES)}")
    if spec.shards is not None:
        raise UnsupportedError(f"shards {spec.shards!r}: N5 has none; write Zarr v3, or leave them out")
    if spec.fill_value not in (0, None):
        raise UnsupportedError(f"fill_value {spec.fill_value!r}: what is not stored is zero in N5; write Zarr, or every block")
    return {
        **spec.attributes,
        "dimensions": list(reversed(spec.shape)),
        "blockSize": list(reversed(spec.chunks)),
        "dataType": spec.dtype.name,
        "compression": compression_of(spec.codec),
    }


def create_n5(store: ByteStore, path: str, spec: ArraySpec, *, write_empty: bool = False) -> N5Array:
    """Writes the document of a dataset and returns its writer; nothing that is there is removed.

    Groups need no document in N5, but the root of a container should hold `{"n5": VERSION}`: that is its maker's to write.

    Raises UnsupportedError for what N5 does not have, StorageError when the document cannot be written.
    """
    document = n5_document(spec)
    array = N5Array(store, path, document, write_empty=write_empty)
    write_documents(store, [(array._prefix + DOCUMENT, document)])
    return array
