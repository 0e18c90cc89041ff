"""Which codecs may run at all. A document names its codecs, and some codecs execute what they read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ziggurat.model import JSON
from ziggurat.problems import UnsupportedError

_COMPUTING = (
    ("zstd", "blosc", "gzip", "zlib", "bz2", "lzma", "lz4", "lzf", "snappy", "zfpy", "pcodec"),
    ("delta", "shuffle", "fixedscaleoffset", "quantize", "bitround", "packbits", "astype"),
    ("crc32", "crc32c", "adler32", "fletcher32", "jenkins_lookup3"),
)
ALLOWED_V2 = frozenset(name for names in _COMPUTING for name in names)
"""numcodecs' ids of codecs that only compute; `pickle`, `json2`, `msgpack2` and whatever else is not here never runs."""

ALLOWED_V3 = ALLOWED_V2 | {"bytes", "transpose", "sharding_indexed", "cast_value", "scale_offset", "zfp"}
"""Names of Zarr v3 codecs that only compute; `numcodecs.<id>` goes by `ALLOWED_V2`."""


WORDS = frozenset({"vlen-utf8", "vlen-bytes"})
"""Codecs of text of any length: they make str and bytes of lengths and bytes, and nothing else."""


def refuse_unknown_codecs(document: Mapping[str, JSON], zarr_format: int, path: str, *, words: bool = False) -> None:
    """Raises UnsupportedError for a codec, at any depth, that is not on the list, and for object dtypes; with `words` those of text may run.

    All codecs are looked at, not the first only. Source: reliability.md S7.
    """
    names = _codecs_v2(document) if zarr_format == 2 else _codecs_v3(document.get("codecs"))
    for name in names:
        allowed = name in ALLOWED_V2 if zarr_format == 2 else name.removeprefix("numcodecs.") in (ALLOWED_V2 if name.startswith("numcodecs.") else ALLOWED_V3)
        if words and name.removeprefix("numcodecs.") in WORDS:
            continue
        if not allowed and not name.startswith("imagecodecs_"):
            raise UnsupportedError(f"{path or '.'}: codec {name!r} is not one that ziggurat runs; store the array again with another codec")
    dtype = document.get("dtype" if zarr_format == 2 else "data_type")
    if not words and isinstance(dtype, str) and dtype.lstrip("<>|=").startswith(("O", "object", "string", "variable_length")):
        raise UnsupportedError(f"{path or '.'}: dtype {dtype!r} holds objects; expected samples of a fixed size")


def _codecs_v2(document: Mapping[str, JSON]) -> Iterator[str]:
    filters = document.get("filters")
    entries = [document.get("compressor"), *(filters if isinstance(filters, list | tuple) else [filters])]
    for entry in entries:
        if entry is not None:
            yield str(entry.get("id")) if isinstance(entry, Mapping) else repr(entry)


def _codecs_v3(codecs: JSON) -> Iterator[str]:
    for entry in codecs if isinstance(codecs, list | tuple) else ():
        if not isinstance(entry, Mapping):
            yield str(entry)
            continue
        yield str(entry.get("name"))
        configuration = entry.get("configuration")
        if isinstance(configuration, Mapping):
            for key in ("codecs", "index_codecs"):
                yield from _codecs_v3(configuration.get(key))
