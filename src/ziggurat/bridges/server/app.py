"""The ASGI application: what is shown, under a token, for reading only.

Routes, all below `/<token>/`: the page; `api/...`; `plane/...` (samples of any plane); `value/...`; `tiles/...` and `thumb/...` (PNG); `v3`, `v2`,
`v3-safe`, `v2-safe` (virtual OME-Zarr, see `virtual`); `3d/...`, which leads to neuroglancer's client where it is installed. Only keys of what was
opened exist: there is no path of a file in any of them, and nothing that a client says is fetched.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ziggurat.bridges.server import neuroglancer, tiles, virtual
from ziggurat.display.colours import COLORMAPS, table_of
from ziggurat.problems import LimitError, NotFound, OptionError, UnsupportedError, ZigguratError
from ziggurat.pyramid.pictures import View, drawn

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from ziggurat.bridges.server.shown import Shown

Work = Callable[["Request"], "tuple[bytes, str]"]
_VIEWER = Path(__file__).parent.parent / "viewer"
_PAGE = "index.html"
_TYPES: Mapping[str, str] = MappingProxyType(
    {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_POLICY = "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'"
_POLICY_3D = "default-src 'self' blob: data:; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval' blob:; style-src 'self' 'unsafe-inline'"
_THUMBNAIL = 256
_PING_SECONDS = 15


class _Answers:
    """What each route gives, as bytes and media type; run in threads."""

    def __init__(self, shown: Sequence[Shown]) -> None:
        self.shown = shown

    def one(self, request: Request) -> Shown:
        """Returns the pyramid of a request. Raises NotFound."""
        number: int = request.path_params["number"]
        if not 0 <= number < len(self.shown):
            raise NotFound(f"{number}: nothing of this number is shown; there are {len(self.shown)}")
        return self.shown[number]

    def page(self, request: Request) -> tuple[bytes, str]:
        """A file of the page."""
        return _static(request.path_params.get("name", _PAGE))

    def listing(self, request: Request) -> tuple[bytes, str]:
        """What is shown, and what the page needs to know once."""
        sources = [{"number": each.number, "name": each.name, "group": each.group} for each in self.shown]
        maps = {name: [list(map(int, colour)) for colour in table_of(name)] for name in COLORMAPS}
        return _json({"sources": sources, "colormaps": maps, "tile": tiles.TILE, "neuroglancer": client_folder() is not None})

    def description(self, request: Request) -> tuple[bytes, str]:
        """What a viewer must know of one pyramid."""
        each = self.one(request)
        return _json({**each.describe(), "tile_dtype": tiles.tile_dtype(each)})

    def histograms(self, request: Request) -> tuple[bytes, str]:
        """Counts per channel."""
        return _json(self.one(request).histograms())

    def plane(self, request: Request) -> tuple[bytes, str]:
        """Samples of a tile of any plane."""
        given = request.path_params
        rows, _, columns = given["axes"].partition("-")
        axes = (None if rows == "n" else _number(rows), _number(columns))
        picks = [None if part == "a" else _number(part) for part in given["picks"].split(".")]
        data = tiles.samples_tile(self.one(request), given["level"], axes, picks, (given["row"], given["column"]))
        return data, "application/octet-stream"

    def value(self, request: Request) -> tuple[bytes, str]:
        """One sample in full."""
        index = [_number(part) for part in request.path_params["index"].split(".")]
        return _json({"value": tiles.value(self.one(request), request.path_params["level"], index)})

    def png(self, request: Request) -> tuple[bytes, str]:
        """A tile of the usual plane as a picture."""
        given = request.path_params
        return tiles.png_tile(self.one(request), given["level"], (given["row"], given["column"])), "image/png"

    def thumbnail(self, request: Request) -> tuple[bytes, str]:
        """The coarsest level as a picture."""
        pyramid = self.one(request).pyramid
        return drawn(pyramid, (_THUMBNAIL, _THUMBNAIL), View(), level=pyramid.levels[-1]).encode(), "image/png"

    def tree(self, request: Request) -> tuple[bytes, str]:
        """A key of a virtual tree."""
        form = request.path_params["form"]
        if form not in virtual.FORMS:
            raise NotFound(f"{form!r}: no such tree; there are {', '.join(virtual.FORMS)}")
        return virtual.document_or_chunk(self.one(request), form, request.path_params["key"])


def application(shown: Sequence[Shown], token: str, *, hosts: Sequence[str], cors: Sequence[str] = (), threads: int = 4) -> ASGIApp:
    """Returns the application that shows pyramids under a token.

    `hosts` are the names that a request may give in its `Host` header (against DNS rebinding), `cors` the origins of other pages that may read.
    At most `threads` requests read at a time; the others wait.
    """
    answers = _Answers(shown)
    limiter: list[anyio.CapacityLimiter] = []  # belongs to the event loop, so it is made by the first request

    def answering(work: Work) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            if not limiter:
                limiter.append(anyio.CapacityLimiter(threads))
            async with limiter[0]:
                if await request.is_disconnected():  # a viewer that zoomed on wants it no more
                    return Response(status_code=499)
                try:
                    data, media = await anyio.to_thread.run_sync(work, request, limiter=anyio.CapacityLimiter(1))
                except ZigguratError as error:
                    return _refusal(error)
            return answer(request, data, media)

        return endpoint

    async def to_client(request: Request) -> Response:
        try:
            root = f"{request.url.scheme}://{request.url.netloc}/{token}"
            state = await anyio.to_thread.run_sync(neuroglancer.state_of, answers.one(request), root)
        except ZigguratError as error:
            return _refusal(error)
        if client_folder() is None:
            return _refusal(NotFound("neuroglancer's client is not installed; install it with: pip install 'ziggurat[3d]'"))
        return RedirectResponse(f"/v/{token}/#!{neuroglancer.encoded(state)}", status_code=302)

    async def events(request: Request) -> Response:
        async def pings() -> Any:
            while not await request.is_disconnected():
                yield b": ping\n\n"
                await anyio.sleep(_PING_SECONDS)

        return StreamingResponse(pings(), media_type="text/event-stream")

    routes: list[Route | Mount] = [
        Route("/", answering(answers.page)),
        Route("/static/{name}", answering(answers.page)),
        Route("/api/sources", answering(answers.listing)),
        Route("/api/source/{number:int}", answering(answers.description)),
        Route("/api/histograms/{number:int}", answering(answers.histograms)),
        Route("/plane/{number:int}/{level:int}/{axes}/{picks}/{row:int}.{column:int}", answering(answers.plane)),
        Route("/value/{number:int}/{level:int}/{index}", answering(answers.value)),
        Route("/tiles/{number:int}/{level:int}/{row:int}/{column:int}.png", answering(answers.png)),
        Route("/thumb/{number:int}.png", answering(answers.thumbnail)),
        Route("/{form}/{number:int}/{key:path}", answering(answers.tree)),
        Route("/3d/{number:int}", to_client),
    ]
    top: list[Route | Mount] = [Mount(f"/{token}", routes=routes)]
    folder = client_folder()
    if folder is not None:
        top += [Route(f"/events/{token}", events), Mount(f"/v/{token}", StaticFiles(directory=folder, html=True))]
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)), Middleware(_Headers, token=token)]
    if cors:
        exposed = ["Content-Range", "Content-Length", "ETag"]
        middleware.append(Middleware(CORSMiddleware, allow_origins=list(cors), allow_methods=["GET", "HEAD"], allow_headers=["Range"], expose_headers=exposed))
    return Starlette(routes=top, middleware=middleware)


def client_folder() -> Path | None:
    """Returns where neuroglancer's built client lies, without importing the package; None where it is not installed."""
    spec = importlib.util.find_spec("neuroglancer")
    places = (spec.submodule_search_locations if spec is not None else None) or ()
    return next((folder for place in places if (folder := Path(place) / "static" / "client").is_dir()), None)


def answer(request: Request, data: bytes, media: str) -> Response:
    """Returns bytes as HTTP wants them: whole, a part (`Range`), or not at all (`If-None-Match`). Source: RFC 9110, 13 and 14.

    One range of bytes is honoured; several, or another unit, give the whole. The tag is that of the content, so it holds across restarts.
    """
    tag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Accept-Ranges": "bytes"}
    known = request.headers.get("if-none-match")
    if known is not None and (known.strip() == "*" or tag in [each.strip().removeprefix("W/") for each in known.split(",")]):
        return Response(status_code=304, headers=headers)
    found = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if found is None or found.group(0) == "bytes=-" or request.headers.get("if-range", tag) != tag:
        return Response(data, media_type=media, headers=headers)
    first, last = found.groups()
    start = int(first) if first else max(0, len(data) - int(last))
    stop = min(len(data), int(last) + 1) if first and last else len(data)
    if start >= stop:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(data)}"})
    part = {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
    return Response(data[start:stop], status_code=206, media_type=media, headers=part)


def _refusal(error: ZigguratError) -> Response:
    """Returns an error as JSON: 404 only for what is not there, so that no client takes a failed read for a missing chunk."""
    codes = ((NotFound, 404), (LimitError, 413), (OptionError, 400), (UnsupportedError, 415))
    status = next((code for kind, code in codes if isinstance(error, kind)), 502)
    return Response(json.dumps({"error": str(error)}), status_code=status, media_type="application/json", headers={"Cache-Control": "no-store"})


def _static(name: str) -> tuple[bytes, str]:
    """Returns a file of the viewer, of those that are in its folder. Raises NotFound."""
    names = {path.name: path for path in _VIEWER.iterdir() if path.suffix in _TYPES}
    if name not in names:
        raise NotFound(f"{name!r}: no such file")
    return names[name].read_bytes(), _TYPES[names[name].suffix]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise OptionError(f"found {text!r}, expected a whole number")
    return int(text)


def _json(value: object) -> tuple[bytes, str]:
    return json.dumps(value, allow_nan=False).encode(), "application/json"


class _Headers:
    """Adds the headers that keep a page to itself; HTML may load only what this server has."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.prefix = f"/v/{token}"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        policy = _POLICY_3D if str(scope.get("path", "")).startswith(self.prefix) else _POLICY
        extra = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"), (b"content-security-policy", policy.encode())]

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        await self.app(scope, receive, sending)
