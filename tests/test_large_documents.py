"""A consolidated document of 48 MB that describes 10,000 arrays: what opening it takes in a process of its own, and that nobody below reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ziggurat.model import JSON

MEBIBYTES, SECONDS = 400, 5.0
"""Source: reliability.md S5, S8. Measured by VmHWM: getrusage counts what the process that started this one held."""
OPENED = """
import sys, time
import ziggurat as zg
began = time.perf_counter()
pyramid = zg.open(sys.argv[1], multiscale=sys.argv[2] or None)
print(len(pyramid), time.perf_counter() - began, int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) // 1024)
"""


def plate(root: Path, *, n_wells: int, n_levels: int, zarr_format: int, padding: int) -> int:
    """Writes a plate whose only written field is the last, with a copy of the documents of all; returns the size of that copy's file."""
    array: dict[str, JSON] = {"shape": [64, 64], "fill_value": 0}
    if zarr_format == 2:
        array |= {"zarr_format": 2, "chunks": [64, 64], "dtype": "<u2", "compressor": None, "filters": None, "order": "C", "dimension_separator": "/"}
    else:
        array |= {"zarr_format": 3, "node_type": "array", "data_type": "uint16", "dimension_names": ["y", "x"], "attributes": {"note": "x" * padding}}
        array |= {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [64, 64]}}, "chunk_key_encoding": {"name": "default"}}
        array |= {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}
    datasets: JSON = [{"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": [2.0**k, 2.0**k]}]} for k in range(n_levels)]
    image: dict[str, JSON] = {"axes": [{"name": name, "type": "space"} for name in "yx"], "datasets": datasets}
    rows: JSON = {"rows": [{"name": "A"}], "columns": [{"name": str(w)} for w in range(n_wells)]}
    wells: list[JSON] = [{"path": f"A/{w}", "rowIndex": 0, "columnIndex": w} for w in range(n_wells)]
    version = "0.4" if zarr_format == 2 else "0.5"
    groups: dict[str, dict[str, JSON]] = {"": {"plate": {**rows, "wells": wells, "version": version}}}
    for w in range(n_wells):
        groups[f"A/{w}"] = {"well": {"images": [{"path": "0"}], "version": version}}
        groups[f"A/{w}/0"] = {"multiscales": [{**image, "version": version} if zarr_format == 2 else image]}
    documents: dict[str, JSON] = {}
    for path, attributes in groups.items():
        at = f"{path}/" if path else ""
        if zarr_format == 2:
            documents |= {f"{at}.zgroup": {"zarr_format": 2}, f"{at}.zattrs": attributes}
        else:
            documents[f"{at}zarr.json"] = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", **attributes}}}
    for w in range(n_wells):
        for k in range(n_levels):
            at, sized = f"A/{w}/0/{k}", {**array, "shape": [64 >> k, 64 >> k]}
            if zarr_format == 2:
                documents |= {f"{at}/.zarray": sized, f"{at}/.zattrs": {"note": "x" * padding}}
            else:
                documents[f"{at}/zarr.json"] = sized
    if zarr_format == 2:
        documents[".zmetadata"] = {"zarr_consolidated_format": 1, "metadata": dict(documents)}
        copy = ".zmetadata"
    else:
        copied = {key.removesuffix("/zarr.json"): document for key, document in documents.items() if key != "zarr.json"}
        documents["zarr.json"] = {**documents["zarr.json"], "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": copied}}  # type: ignore[dict-item]
        copy = "zarr.json"
    written = (copy, ".zgroup", ".zattrs", "A/.zgroup")
    for key, document in documents.items():
        if key in written or key.startswith(f"A/{n_wells - 1}/"):
            place = root / key
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(document))
    return (root / copy).stat().st_size


@pytest.mark.prove
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory of a process")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_plate_of_10_000_arrays_opens_within_the_limits(tmp_path: Path, zarr_format: int, record_property: Callable[[str, object], None]) -> None:
    n_bytes = plate(tmp_path / "plate.zarr", n_wells=1000, n_levels=10, zarr_format=zarr_format, padding=4200)
    assert n_bytes > 45e6
    for name, place, member in (("root", "", "A/999/0"), ("group", "A/999/0", ""), ("level", "A/999/0/3", "")):
        command = [sys.executable, "-c", OPENED, str(tmp_path / "plate.zarr" / place), member]
        n_levels, seconds, mebibytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        record_property(name, f"{n_bytes / 1e6:.0f} MB: {float(seconds):.2f} s, {mebibytes} MiB")
        assert n_levels == "10"
        assert int(mebibytes) < (MEBIBYTES if name == "root" and zarr_format == 3 else 60), "only in v3 the root's own document holds the copy"


WORST = """
import sys
from ziggurat.node.documents import MAX_COMMAS, MAX_KEYS, MAX_NESTS, loads
n, parts = int(sys.argv[2]), {"dicts": b'{"k%08d":"v%08d","b%08d":1.5}', "texts": b'"k%09d"', "floats": b"1.%09d"}
unit = parts[sys.argv[1]]
data = b"[" + b",".join(unit % ((i,) * unit.count(b"%")) for i in range(n)) + b"]"
print(len(loads(data, "x")), int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) // 1024)
"""


@pytest.mark.prove
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory of a process")
@pytest.mark.parametrize(("kind", "n"), [("dicts", 2**19 - 1), ("texts", 3 * 2**19), ("floats", 3 * 2**19)])
def test_the_worst_documents_that_are_read_stay_within_the_limits(kind: str, n: int, record_property: Callable[[str, object], None]) -> None:
    n_read, mebibytes = subprocess.run([sys.executable, "-c", WORST, kind, str(n)], capture_output=True, text=True, check=True).stdout.split()
    record_property("MiB", mebibytes)
    assert int(n_read) == n
    assert int(mebibytes) < MEBIBYTES
