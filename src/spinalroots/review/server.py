"""The desk over HTTP: on this machine only, for whoever has the token, from its own page only."""

import secrets
import socket
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spinalroots.errors import InputError
from spinalroots.review import messages
from spinalroots.review.desk import Conflict, Desk
from spinalroots.viewer import page as viewer

HOST = "127.0.0.1"
LARGEST = 32 * 2**20
"""Bytes of a request's body: a stroke over some millions of voxels."""
PAGE = {
    "index.html": "text/html",
    "review.css": "text/css",
    "review.js": "text/javascript",
    "api.js": "text/javascript",
    "form.js": "text/javascript",
    "keys.js": "text/javascript",
    "mending.js": "text/javascript",
    "roots.js": "text/javascript",
}
VIEWER: dict[str, tuple[str, Callable[[], str]]] = {
    "niivue.js": ("text/javascript", viewer.niivue),
    "viewer.js": ("text/javascript", viewer.script),
    "viewer.css": ("text/css", viewer.stylesheet),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def new_token() -> str:
    """256 bits, for the URL."""
    return secrets.token_urlsafe(32)


def listener(port: int) -> socket.socket:
    """A socket that listens on the loopback address; port 0 takes a free one.

    :raises InputError: the port is taken.
    """
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise InputError(
            f"port {port}",
            expected="a free port on this machine",
            found=error.strerror or str(error),
            fix="Give another with --port, or none.",
        ) from error


def app(desk: Desk, token: str, port: int) -> ASGIApp:
    """The application; its pages lie below `/TOKEN/`, and anything else is refused with 403."""
    case = "/api/cases/{number:int}"
    routes = [
        Route("/", _page),
        Route("/page/{name}", _page),
        Route("/api/cases", _ask(lambda q: desk.overview(q["reviewer"]))),
        Route(case, _ask(lambda q: desk.case(q["number"], q["reviewer"]))),
        Route(f"{case}/scan.nii.gz", _ask(lambda q: desk.scan(q["number"]))),
        Route(f"{case}/labels.nii.gz", _ask(lambda q: desk.labels(q["number"], q["reviewer"]))),
        *(
            Route(f"{case}/{name}", _act(name, getattr(desk, name)), methods=["POST"])
            for name in messages.ACTS
        ),
    ]
    inner = Starlette(routes=[Mount(f"/{token}", routes=routes)])
    return _Guard(inner, token, port)


def serve(desk: Desk, token: str, place: socket.socket) -> None:
    """Serve until Ctrl-C."""
    import uvicorn

    port = place.getsockname()[1]
    config = uvicorn.Config(
        app(desk, token, port),
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        http="h11",
        loop="asyncio",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[place])


class _Guard:
    """Lets requests through that have the token, this host's name and no other page's origin."""

    def __init__(self, inner: ASGIApp, token: str, port: int) -> None:
        self._inner, self._token = inner, token
        hosts = [f"{HOST}:{port}", f"localhost:{port}"]
        self._hosts = {host.encode() for host in hosts}
        self._origins = {f"http://{host}".encode() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(key.lower().encode(), value.encode()) for key, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        refused = self._refused(scope)
        if refused:
            response = JSONResponse({"error": refused}, status_code=403)
            await response(scope, receive, with_headers)
        else:
            await self._inner(scope, receive, with_headers)

    def _refused(self, scope: Scope) -> str:
        """Why a request is not let through; empty if it is."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, []).append(value)
        token = scope["path"].lstrip("/").partition("/")[0]
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            return "The address lacks the token that `spinalroots review` printed."
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return "Another host name than this machine's."
        if any(origin not in self._origins for origin in headers.get(b"origin", [])):
            return "Another page may not ask."
        if any(
            site not in (b"same-origin", b"none") for site in headers.get(b"sec-fetch-site", [])
        ):
            return "Another page may not ask."
        return ""


async def _page(request: Request) -> Response:
    """A file of the page; names are looked up in a list, never joined to a path."""
    name = request.path_params.get("name", "index.html")
    if name in VIEWER:
        kind, asset = VIEWER[name]
        return Response(asset(), media_type=kind)
    if name not in PAGE:
        return JSONResponse({"error": "no such file"}, status_code=404)
    text = files(__package__).joinpath("page", name).read_text(encoding="utf-8")
    return Response(text, media_type=PAGE[name])


def _ask(ask: Callable[[dict], Any]) -> Callable[[Request], Any]:
    """An endpoint that answers `ask(query and path)` from a thread."""

    async def endpoint(request: Request) -> Response:
        query = {"reviewer": "", **request.query_params, **request.path_params}
        return await _answer(lambda: ask(query))

    return endpoint


def _act(name: str, act: Callable[..., Any]) -> Callable[[Request], Any]:
    """An endpoint that does `act(number, **message)` in a thread."""

    async def endpoint(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind != "application/json":  # the only kind that no page of another origin may send
            return JSONResponse({"error": "JSON is expected"}, status_code=415)
        parts, size = [], 0
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                return JSONResponse({"error": "too much at once"}, status_code=413)
        try:
            message = messages.read(name, b"".join(parts))
        except ValidationError as error:
            return JSONResponse({"error": f"a message that makes no sense: {error}"}, 400)
        return await _answer(lambda: act(request.path_params["number"], **message))

    return endpoint


async def _answer(work: Callable[[], Any]) -> Response:
    try:
        found = await run_in_threadpool(work)
    except InputError as error:
        status = 409 if isinstance(error, Conflict) else 422
        return JSONResponse({"error": str(error)}, status_code=status)
    if isinstance(found, bytes):
        return Response(found, media_type="application/octet-stream")
    return JSONResponse(found)
