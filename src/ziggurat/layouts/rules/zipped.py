"""Rules of zipped OME-Zarr."""

from __future__ import annotations

from ziggurat.layouts.rules.ports import Rule

_RFC = "OME-NGFF RFC-9, zipped OME-Zarr"

ZIPPED: tuple[Rule, ...] = (
    Rule("ZIP001", "MUST", "The root of the archive is the root of the hierarchy: it holds `zarr.json`.", _RFC),
    Rule("ZIP002", "MUST", "An archive holds one hierarchy, and no archives.", _RFC),
    Rule("ZIP003", "SHOULD", "The name of the archive ends with `.ozx`.", _RFC),
    Rule("ZIP004", "SHOULD", "The root's `zarr.json` is the first entry, and all others follow it breadth first.", _RFC),
    Rule("ZIP005", "SHOULD", "Files are stored without compression by the archive.", _RFC),
    Rule("ZIP006", "SHOULD", "The comment of the archive is JSON with `ome.version`; `jsonFirst` in it is true only where it is so.", _RFC),
    Rule("ZIP007", "SHOULD", "The archive is in the ZIP64 form.", _RFC),
)
