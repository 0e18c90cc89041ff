"""Facts of an array from N5's `attributes.json`, its axes turned round into C order. Source: formats.md 4.1."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ziggurat.model import JSON, ArrayInfo
from ziggurat.node.documents import word
from ziggurat.problems import DocumentError

MAX_NDIM = 64
_SIZES: Mapping[str, int] = MappingProxyType({f"{sign}int{8 * n}": n for sign in ("", "u") for n in (1, 2, 4, 8)} | {"float32": 4, "float64": 8})
_FACTS = ("dimensions", "blockSize", "dataType")
ARRAY_KEYS = (*_FACTS, "compression", "compressionType")
"""What of `attributes.json` is the array's own document; all else are user attributes."""


def is_n5_array(document: Mapping[str, JSON]) -> bool:
    """True when a document has what makes a dataset: `dimensions`, `blockSize` and `dataType`."""
    return all(key in document for key in _FACTS)


def parse_n5_document(document: Mapping[str, JSON], *, location: str = "array") -> ArrayInfo:
    """Returns the facts of a dataset, shape and chunks in C order (the fastest axis last).

    Raises DocumentError, naming the key, when the document states an impossible fact.

    Examples
    --------
    >>> info = parse_n5_document({"dimensions": [7, 5, 3], "blockSize": [4, 4, 2], "dataType": "uint16", "compression": {"type": "gzip"}})
    >>> info.shape, info.chunks, info.dtype, info.driver
    ((3, 5, 7), (2, 4, 4), 'uint16', 'n5')
    """
    where = f"{location}/attributes.json"
    shape = _sizes(document, "dimensions", where, least=0)
    chunks = _sizes(document, "blockSize", where, least=1)
    if len(chunks) != len(shape):
        raise DocumentError(f"{where}: blockSize has {len(chunks)} entries; expected {len(shape)}, as many as dimensions")
    dtype = document.get("dataType")
    if not isinstance(dtype, str):
        raise DocumentError(f"{where}: dataType is {word(dtype)}; expected a word such as 'uint16'")
    return ArrayInfo(
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        fill_value=0,
        separator="/",
        itemsize=_SIZES.get(dtype, 0),
        codecs=_codec_words(document),
        driver="n5",
    )


def _sizes(document: Mapping[str, JSON], key: str, where: str, *, least: int) -> tuple[int, ...]:
    value = document.get(key)
    found = [v for v in value if isinstance(v, int) and not isinstance(v, bool) and least <= v < 2**63] if isinstance(value, (list, tuple)) else []
    if not isinstance(value, (list, tuple)) or len(found) != len(value) or not 1 <= len(found) <= MAX_NDIM:
        raise DocumentError(f"{where}: {key} is {value if len(str(value)) < 80 else word(value)!r}; expected a list of whole numbers of at least {least}")
    return tuple(reversed(found))


def _codec_words(document: Mapping[str, JSON]) -> str:
    stated = document.get("compression", document.get("compressionType", "raw"))
    if isinstance(stated, Mapping):
        level = stated.get("level", stated.get("clevel", stated.get("preset")))
        return f"{stated.get('type', 'raw')}" + (f" {level}" if isinstance(level, int) and level >= 0 else "")
    return str(stated)
