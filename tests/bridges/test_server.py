"""The server over HTTP: ranges, tags, refusals, tokens, hosts, and that nothing but what was opened can be read."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import imagecodecs
import numpy as np
import pytest

import ziggurat as zg
from tests.bridges.conftest import plane
from ziggurat.bridges.server import Server, serve
from ziggurat.bridges.server.chunks import ChunkCache
from ziggurat.problems import NotFound, OptionError, StorageError


def ask(server: Server, path: str, *, method: str = "GET", raw: bool = False, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Asks for a path below the token (or below the root, when `raw`), exactly as it is spelled."""
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request(method, path if raw else parts.path + path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("said", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=5-5", 206, slice(5, 6)),
        ("bytes=0-99999999", 206, slice(0, None)),
        ("bytes=99999999-", 416, None),
        ("bytes=9-3", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=-", 200, slice(None)),
        ("bytes=0-1,4-5", 200, slice(None)),
        ("lines=0-1", 200, slice(None)),
        ("bytes=0-" + "9" * 400, 200, slice(None)),
    ],
)
def test_ranges(server: Server, said: str, status: int, part: slice | None) -> None:
    whole = ask(server, "v3/0/0/c/0/0")[2]
    found, headers, body = ask(server, "v3/0/0/c/0/0", Range=said)
    assert found == status
    if part is None:
        assert headers["content-range"] == f"bytes */{len(whole)}"
    else:
        assert body == whole[part]
        if status == 206:
            start = whole.index(whole) if part.start == 0 else range(len(whole))[part].start
            assert headers["content-range"] == f"bytes {start}-{start + len(body) - 1}/{len(whole)}"


def test_heads_tags_and_conditions(server: Server) -> None:
    status, headers, body = ask(server, "v3/0/0/c/0/0")
    assert status == 200
    assert headers["content-type"] == "application/octet-stream"
    head = ask(server, "v3/0/0/c/0/0", method="HEAD")
    assert (head[0], head[2], head[1]["content-length"]) == (200, b"", str(len(body)))
    tag = headers["etag"]
    assert ask(server, "v3/0/0/c/0/0", If_None_Match=tag)[0] == 304
    assert ask(server, "v3/0/0/c/0/0", If_None_Match=f'"other", W/{tag}')[0] == 304
    assert ask(server, "v3/0/0/c/0/0", If_None_Match='"other"')[0] == 200
    assert ask(server, "v3/0/0/c/0/0", Range="bytes=0-1", If_Range='"other"')[0] == 200
    for method in ("PUT", "POST", "DELETE"):
        assert ask(server, "v3/0/0/c/0/0", method=method)[0] == 405


def test_what_is_not_there_is_404_and_what_fails_is_not(server: Server, tmp_path: Path) -> None:
    for path in (
        "v3/0/9/zarr.json",
        "v3/99/zarr.json",
        "v9/0/zarr.json",
        "v3/0/0/c/9/9",
        "static/app.py",
        "static/..%2fapp.py",
        "plane/0/0/0-1/0.0/9.9",
        "tiles/0/0/9/9.png",
    ):
        status, _, body = ask(server, path)
        assert status == 404, path
        assert b"Traceback" not in body
    zg.build(plane(), tmp_path / "broken.zarr", axes="yx", levels=2)
    chunk = next((tmp_path / "broken.zarr" / "0" / "c").rglob("[0-9]"))
    while chunk.is_dir():
        chunk = next(chunk.iterdir())
    chunk.write_bytes(b"nothing that decodes")
    with serve(tmp_path / "broken.zarr") as broken:
        place = "/".join(chunk.relative_to(tmp_path / "broken.zarr" / "0").parts)
        status, _, body = ask(broken, f"v3/0/0/{place}")
        assert status == 502
        assert "error" in json.loads(body)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/v3/0/zarr.json", "/wrong/", "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "{token}v3/0/../../../../etc/passwd",
        "{token}v3/0/%2e%2e/%2e%2e/etc/passwd", "{token}static/%2e%2e%2fserver%2fapp.py", "{token}static//etc/passwd", "{token}v3/0/file:///etc/passwd",
        "{token}v3/0/http://127.0.0.1/", "{token}api/source/-1", "{token}plane/0/0/0-0/0.0/0.0", "{token}plane/0/0/0-1/0/0.0",
        "{token}plane/0/0/0-1/0.0.0.0.0.0.0/0.0", "{token}plane/0/0/0-1/a.a/0.0x", "{token}value/0/0/0.0.0", "{token}value/0/0/99999999999999999999.0",
        "{token}" + "a" * 3000,
    ],
)  # fmt: skip
def test_nothing_else_can_be_read(server: Server, path: str) -> None:
    token = urlsplit(server.url).path
    status, _, body = ask(server, path.replace("{token}", token), raw=True)
    assert status in (400, 404)
    assert b"root:" not in body
    assert b"import" not in body


def test_only_names_of_this_machine_are_answered(server: Server) -> None:
    port = urlsplit(server.url).port
    assert ask(server, "api/sources", Host=f"localhost:{port}")[0] == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", ""):
        assert ask(server, "api/sources", Host=host)[0] == 400


def test_pages_elsewhere_read_only_when_they_were_named(server: Server, places: dict[str, Path]) -> None:
    assert "access-control-allow-origin" not in ask(server, "api/sources", Origin="https://evil.example")[1]
    with serve(places["shards"], cors=("https://vizarr.example/",)) as open_to_one:
        assert ask(open_to_one, "v3/0/zarr.json", Origin="https://vizarr.example")[1]["access-control-allow-origin"] == "https://vizarr.example"
        assert "access-control-allow-origin" not in ask(open_to_one, "v3/0/zarr.json", Origin="https://evil.example")[1]
        asked = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "range"}
        assert ask(open_to_one, "v3/0/zarr.json", method="OPTIONS", Origin="https://vizarr.example", **asked)[0] == 200
    with pytest.raises(OptionError, match="cors: found"):
        serve(places["shards"], cors=("*",))


def test_pages_load_nothing_from_elsewhere(server: Server) -> None:
    status, headers, body = ask(server, "")
    assert status == 200
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    folder = Path(zg.__file__).parent / "bridges" / "viewer"
    for file in folder.iterdir():
        text = file.read_text()
        assert "https://" not in text
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert ask(server, f"static/{file.name}")[2] == file.read_bytes()
    assert sum(file.stat().st_size for file in folder.iterdir()) < 100_000
    assert b"<script" in body


def test_tiles_of_any_plane(server: Server, numbers: dict[str, int], places: dict[str, Path]) -> None:
    number = numbers["six axes"]
    level = zg.open(places["six axes"]).levels[0]
    data = ask(server, f"plane/{number}/0/3-5/1.0.1.0.20.0/0.0")[2]
    np.testing.assert_array_equal(np.frombuffer(data, "<u2").reshape(3, 50), level.array[1, 0, 1, :, 20, :])
    turned = ask(server, f"plane/{number}/0/5-4/1.0.1.2.0.0/0.0")[2]
    np.testing.assert_array_equal(np.frombuffer(turned, "<u2").reshape(50, 40), level.array[1, 0, 1, 2].T)
    both = ask(server, f"plane/{number}/0/4-5/a.0.1.2.0.0/0.0")[2]
    np.testing.assert_array_equal(np.frombuffer(both, "<u2").reshape(2, 40, 50), level.array[:, 0, 1, 2])
    assert json.loads(ask(server, f"value/{numbers['labels']}/0/0.0")[2])["value"] == str(2**40)
    png = np.squeeze(imagecodecs.png_decode(ask(server, f"tiles/{numbers['shards']}/2/0/0.png")[2]))
    assert png.shape == zg.open(places["shards"]).levels[2].shape
    assert (np.diff(png[0].astype(int)) >= 0).all()
    assert imagecodecs.png_decode(ask(server, f"thumb/{numbers['labels']}.png")[2]).ndim == 3


def test_sources_are_told_with_names_as_they_are(tmp_path: Path) -> None:
    zg.build(plane(), tmp_path / "a.zarr", axes="yx", levels=2, name="<script>alert(1)</script>\x1b[31m")
    with serve(tmp_path / "a.zarr") as running:
        _, headers, body = ask(running, "api/sources")
        assert headers["content-type"] == "application/json"
        assert json.loads(body)["sources"][0]["name"].startswith("<script>")  # JSON, which the page only ever sets as text
    page = (Path(zg.__file__).parent / "bridges" / "viewer" / "main.js").read_text()
    assert "innerHTML" not in page
    assert "insertAdjacent" not in page


def test_collections_show_their_members(tmp_path: Path) -> None:
    zg.build(plane(), tmp_path / "a.zarr", axes="yx", levels=2)
    labels = np.kron(np.arange(1, 5, dtype=np.uint8).reshape(2, 2), np.ones((75, 105), np.uint8))
    zg.build(labels, tmp_path / "a.zarr" / "labels" / "cells", axes="yx", levels=2, kind="labels")
    with serve(tmp_path / "a.zarr") as running:
        assert [each.name for each in running.shown][-1].endswith("cells")
        assert json.loads(ask(running, f"api/source/{len(running.shown) - 1}")[2])["kind"] == "labels"


def test_a_chunk_is_decoded_once_for_all_who_ask(places: dict[str, Path]) -> None:
    with serve(places["shards"]) as running, ThreadPoolExecutor(16) as pool:
        cache = running.shown[0].cache
        bodies = {body for _, _, body in pool.map(lambda _: ask(running, "v3/0/0/c/1/1"), range(48))}
        assert len(bodies) == 1
        assert cache.n_made == 1


def test_the_cache_keeps_to_its_bytes_and_tells_failures_to_all() -> None:
    cache = ChunkCache(1000)
    for key in range(10):
        cache.get(key, lambda: (np.zeros(300, np.uint8), True))
        assert cache.n_bytes <= 1000
    cache.get(9, lambda: pytest.fail("it is kept"))
    entered, release = threading.Event(), threading.Event()

    def fail() -> tuple[np.ndarray, bool]:
        entered.set()
        release.wait(5)
        raise StorageError("gone")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, "x", fail)
        entered.wait(5)
        second = pool.submit(cache.get, "x", lambda: pytest.fail("one is made already"))
        release.set()
        for each in (first, second):
            with pytest.raises(StorageError, match="gone"):
                each.result(5)
    assert cache.get("x", lambda: (np.ones(1, np.uint8), True))[0].size == 1


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_bad_input_is_one_sentence(tmp_path: Path, places: dict[str, Path], taken: int) -> None:
    with pytest.raises(NotFound, match="no such file or folder"):
        serve(tmp_path / "absent.zarr")
    with pytest.raises(StorageError, match="cannot listen there"):
        serve(places["shards"], port=taken)
    with pytest.raises(OptionError, match="nothing to show"):
        serve()


def test_a_slow_client_holds_nobody_up(server: Server) -> None:
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-")
        assert ask(server, "v3/0/0/c/0/0")[0] == 200


def test_neuroglancers_client_is_led_to_a_state(server: Server, numbers: dict[str, int]) -> None:
    status, headers, _ = ask(server, f"3d/{numbers['labels']}")
    assert status == 302
    assert headers["location"].startswith("/v/")
    assert "segmentation" in headers["location"]
    token = urlsplit(server.url).path.strip("/")
    assert ask(server, f"/v/{token}/", raw=True)[0] == 200
    assert ask(server, "/v/other/", raw=True)[0] == 404
