"""A local server that shows any pyramid to people (a page) and to programs (virtual OME-Zarr, tiles).

>>> import numpy as np, tempfile, urllib.request
>>> import ziggurat as zg
>>> folder = tempfile.mkdtemp()
>>> _ = zg.build(np.zeros((64, 64), "u1"), f"{folder}/a.zarr", axes="yx", levels=2)
>>> with zg.serve(f"{folder}/a.zarr") as server:
...     print(urllib.request.urlopen(f"{server.url}v3/0/zarr.json").status)
200
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
import threading
import webbrowser
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from ziggurat.problems import MissingExtra, OptionError, StorageError

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

    from ziggurat.bridges.server.shown import Shown

_CACHE_BYTES = 2**28
_LOOPBACK = ("127.0.0.1", "localhost")
_STARTUP_SECONDS = 10.0
_HEADER_SECONDS = 30
_MAX_CONNECTIONS = 512


class Server:
    """A running server; closed by `close`, at the end of a `with` block, or with the process."""

    def __init__(self, shown: Sequence[Shown], app: ASGIApp, listener: socket.socket, host: str, token: str) -> None:
        import uvicorn

        self.shown = tuple(shown)
        """What is shown, in order of its numbers."""
        shown_host = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown_host}:{listener.getsockname()[1]}/{token}/"
        """Address of the page. It holds the token without which nothing is served."""
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_keep_alive=_HEADER_SECONDS, limit_concurrency=512, lifespan="off", ws="none"
        )
        self._server: uvicorn.Server = uvicorn.Server(config)
        self._listener = listener
        self._thread = threading.Thread(target=self._run, name="ziggurat-server", daemon=True)
        self._thread.start()
        self._wait()

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])

    def _wait(self) -> None:
        done = threading.Event()
        for _ in range(int(_STARTUP_SECONDS * 100)):
            if self._server.started or not self._thread.is_alive():
                break
            done.wait(0.01)
        if not self._server.started:
            self.close()
            raise StorageError("the server did not start; is the port free?")

    def urls(self, number: int = 0) -> dict[str, str]:
        """Returns what other programs open of a pyramid: `zarr3`, `zarr2` (and `-safe`: dtypes that common clients take), `tiles`, `3d`."""
        trees = {"zarr3": "v3", "zarr2": "v2", "zarr3-safe": "v3-safe", "zarr2-safe": "v2-safe"}
        return {name: f"{self.url}{form}/{number}" for name, form in trees.items()} | {
            "tiles": f"{self.url}tiles/{number}/{{level}}/{{row}}/{{column}}.png",
            "3d": f"{self.url}3d/{number}",
        }

    def wait(self) -> None:
        """Returns when the server ends: never, unless it is closed."""
        self._thread.join()

    def close(self) -> None:
        """Stops the server; what is being sent is finished."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(timeout=5)
        self._listener.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ziggurat server of {len(self.shown)} at {self.url}>"

    def _repr_html_(self) -> str:
        return f'<iframe src="{self.url}" style="width:100%;height:480px;border:0" title="ziggurat"></iframe>'


def serve(
    *sources: object,
    host: str = "127.0.0.1",
    port: int = 0,
    cors: Sequence[str] = (),
    threads: int | None = None,
    layout: str | None = None,
    allow_links: bool = False,
) -> Server:
    """Serves pyramids to viewers and to programs that read OME-Zarr, in a thread of this process.

    Parameters
    ----------
    sources
        Places as for `open`, pyramids, or collections; every multiscale of a group and every member of a collection is shown.
    host, port
        Where to listen; this machine alone, and a port that is free, when not said.
    cors
        Origins of pages elsewhere that may read (`"https://example.org"`); none when not said.
    threads
        Requests that read at a time; twice the processors when not said.
    layout, allow_links
        As for `open`.

    Returns
    -------
    Server
        With `url` (the page; it holds a random token), `urls(number)` and `close()`.

    Raises
    ------
    MissingExtra
        Without starlette and uvicorn (extra `view`).
    NotFound, DocumentError
        As for `open`. OptionError for an origin that is none, StorageError when the port is taken.
    """
    try:
        from ziggurat.bridges.server import app as application
        from ziggurat.bridges.server.chunks import ChunkCache
        from ziggurat.bridges.server.shown import shown_of
    except ImportError as error:
        raise MissingExtra("the server needs starlette and uvicorn; install them with: pip install 'ziggurat[view]'") from error
    for origin in cors:
        if not origin.startswith(("http://", "https://")) or origin.rstrip("/").count("/") != 2:
            raise OptionError(f"cors: found {origin!r}, expected an origin such as https://example.org")
    shown = shown_of(sources, ChunkCache(_CACHE_BYTES), layout=layout, allow_links=allow_links)
    token = secrets.token_urlsafe(16)
    listener = _listen(host, port)
    hosts = [*_LOOPBACK, host] if _is_loopback(host) else ["*"] if host in ("0.0.0.0", "::") else [host]
    n_threads = threads or 2 * (os.cpu_count() or 1)
    running = application.application(shown, token, hosts=hosts, cors=[origin.rstrip("/") for origin in cors], threads=n_threads)
    return Server(shown, running, listener, host, token)


def view(
    *sources: object,
    open_browser: bool = True,
    host: str = "127.0.0.1",
    port: int = 0,
    cors: Sequence[str] = (),
    threads: int | None = None,
    layout: str | None = None,
    allow_links: bool = False,
) -> Server:
    """Shows pyramids in a browser: `serve`, with the same parameters, and its page opened unless `open_browser` is False.

    In a notebook the result shows the page itself. Raises what `serve` raises.
    """
    server = serve(*sources, host=host, port=port, cors=cors, threads=threads, layout=layout, allow_links=allow_links)
    if open_browser:
        webbrowser.open(server.url)
    return server


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise StorageError(f"{host}:{port}: cannot listen there: {error}") from error
    return listener


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
