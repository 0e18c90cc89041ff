"""The fast path: bytes of chunks from and to stores, without a Zarr library.

Rooms: `ports` (what a store, a reader and a writer are), `stores` (files, a dict, a counter), `spec` (an array to be made and
its documents), `facts` (an array's document, judged: `why_not`), `codecs` (bytes of one chunk), `arrays` (`ChunkArray`),
`regions` (any region of any reader). What the fast path does not take goes to `ziggurat.storage`, that is to zarr-python.
"""

from __future__ import annotations

from ziggurat.chunkio.arrays import ChunkArray, same_encoding
from ziggurat.chunkio.codecs import codec_software
from ziggurat.chunkio.facts import ArrayFacts, array_facts, chunk_key, codec_of, why_not
from ziggurat.chunkio.ports import AnyArray, Buffer, ByteStore, ChunkReader, ChunkWriter, TargetStore, as_target
from ziggurat.chunkio.regions import chunk_indices, chunk_region, padded, read_region
from ziggurat.chunkio.spec import ArraySpec, Codec, array_documents, fill_json, fill_scalar
from ziggurat.chunkio.stores import PARTIAL_SUFFIX, CountingStore, DictStore, Durability, FileStore, PrefixedStore, delete_all

__all__ = [
    "PARTIAL_SUFFIX",
    "AnyArray",
    "ArrayFacts",
    "ArraySpec",
    "Buffer",
    "ByteStore",
    "ChunkArray",
    "ChunkReader",
    "ChunkWriter",
    "Codec",
    "CountingStore",
    "DictStore",
    "Durability",
    "FileStore",
    "PrefixedStore",
    "TargetStore",
    "array_documents",
    "array_facts",
    "as_target",
    "chunk_indices",
    "chunk_key",
    "chunk_region",
    "codec_of",
    "codec_software",
    "delete_all",
    "fill_json",
    "fill_scalar",
    "padded",
    "read_region",
    "same_encoding",
    "why_not",
]
