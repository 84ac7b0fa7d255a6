"""Where a request from outside goes: a static file, a page of the local runtime, or the app."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web

from apps.appengine import app_yaml

from . import headers, static_files
from .proxy import BodyTooLarge, Unavailable, Upstream

PAGES = "/_local/"
# https://cloud.google.com/run/docs/known-issues: "some paths ending with z", and which is not said.
KEPT_BY_CLOUD_RUN = re.compile(r"/eventlog|/_ah/.*|/.*z")
LOCAL_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
DOWN = "The server behind this address is down: {reason}. It is being restarted; its log says why."
TOO_LARGE = "The request is larger than 32 MB, which is App Engine's limit and Cloud Run's."


@dataclass
class FrontDoor:
    """Where requests go: the sockets of the web process and of the local pages, by name."""

    app_socket: str
    page_sockets: dict[str, str] = field(default_factory=dict)
    static_handlers: list[app_yaml.StaticHandler] = field(default_factory=list)
    cloud_run: bool = False  # whose front end this one behaves as; else App Engine's

    def application(self) -> web.Application:
        """The aiohttp application; needs to be served with `auto_decompress=False`."""
        application = web.Application()
        application.cleanup_ctx.append(self._connect)
        application.router.add_route("*", "/{path:.*}", self.handle)
        return application

    async def _connect(self, _: web.Application) -> AsyncIterator[None]:
        self._app = Upstream(self.app_socket)
        self._pages = {name: Upstream(path) for name, path in self.page_sockets.items()}
        yield
        for upstream in [self._app, *self._pages.values()]:
            await upstream.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request from outside."""
        if handler := static_files.handler_of(request.path, self.static_handlers):
            return static_files.answer(request, handler)
        if self._pages and request.path.startswith(PAGES):
            return await self._page(request)
        if self.cloud_run and KEPT_BY_CLOUD_RUN.fullmatch(request.path):
            raise web.HTTPNotFound
        forgeable = () if self.cloud_run else headers.FORGEABLE
        return await forward(request, self._app, request.rel_url.raw_path, forgeable)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        """A page of the local runtime, asked without the prefix; its relative links need the last slash."""
        name, slash, rest = request.rel_url.raw_path.removeprefix(PAGES).partition("/")
        if name not in self._pages or not is_local(request.host):
            raise web.HTTPNotFound
        if not slash:
            raise web.HTTPPermanentRedirect(f"{PAGES}{name}/")
        return await forward(request, self._pages[name], f"/{rest}")


async def forward(
    request: web.Request, upstream: Upstream, path: str, forgeable: tuple[str, ...] = headers.FORGEABLE
) -> web.StreamResponse:
    """Pass the request on with cleaned headers; faults are told in the form the caller expects."""
    cleaned = headers.to_app(request.headers.copy(), request.remote or "", request.scheme, forgeable)
    try:
        return await upstream.forward(request, path, cleaned)
    except BodyTooLarge:
        return fault(request, 413, "request_too_large", TOO_LARGE)
    except Unavailable as error:
        return fault(request, 502, "bad_gateway", DOWN.format(reason=error))


def fault(request: web.Request, status: int, code: str, detail: str) -> web.Response:
    if request.path.startswith("/api/"):
        return web.json_response({"code": code, "detail": detail}, status=status)
    return web.Response(status=status, text=f"{detail}\n")


def is_local(host: str) -> bool:
    """A page that can stop queues must not answer to a name that a stranger's DNS points here."""
    return LOCAL_HOST.fullmatch(host) is not None
