"""The local stand-in for App Engine's front end: the only part that listens where browsers can reach it.

It cleans the headers of every request, serves the static handlers of app.yaml, keeps to the size limit
and passes the rest on to the web process. Under /_local/ it shows the pages of the local runtime.

    python -m apps.appengine.local.front_door --fd 3 --app unix:/tmp/x/web --page queues=unix:/tmp/x/queues
"""

import argparse
import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from yarl import URL

from apps.appengine import app_yaml

from . import headers, static_files
from .proxy import BodyTooLarge, Unavailable, Upstream

PAGES = "/_local/"
LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}
SHUTDOWN_SECONDS = 2.0
DOWN = "The web process is down: {reason}. It is being restarted; its log says why."
TOO_LARGE = "The request is larger than 32 MB, which is App Engine's limit."


@dataclass
class FrontDoor:
    """Where requests go: the sockets of the web process and of the local pages, by name."""

    app_socket: str
    page_sockets: dict[str, str] = field(default_factory=dict)
    static_handlers: list[app_yaml.StaticHandler] = field(default_factory=list)

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
        return await forward(request, self._app, request.rel_url.raw_path)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        """A page of the local runtime, asked without the prefix; its relative links need the last slash."""
        name, slash, rest = request.rel_url.raw_path.removeprefix(PAGES).partition("/")
        if name not in self._pages or not is_local(request.host):
            return web.HTTPNotFound()
        if not slash:
            return web.HTTPPermanentRedirect(f"{PAGES}{name}/")
        return await forward(request, self._pages[name], f"/{rest}")


async def forward(request: web.Request, upstream: Upstream, path: str) -> web.StreamResponse:
    """Pass the request on with cleaned headers; faults are told in the form the caller expects."""
    cleaned = headers.to_app(request.headers.copy(), request.remote or "", request.scheme)
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
    return URL.build(scheme="http", authority=host).host in LOCAL_HOSTS


async def serve(door: FrontDoor, sockets: list[socket.socket]) -> None:
    """Serve until SIGTERM, then finish what is being answered, for two seconds at most."""
    runner = web.AppRunner(
        door.application(), access_log=None, auto_decompress=False, shutdown_timeout=SHUTDOWN_SECONDS
    )
    await runner.setup()
    for listening in sockets:
        await web.SockSite(runner, listening).start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--fd", type=int, action="append", required=True, help="a listening socket (repeatable)"
    )
    parser.add_argument("--app", required=True, help="the web process, unix:PATH")
    parser.add_argument(
        "--page", action="append", default=[], help="a local page, NAME=unix:PATH (repeatable)"
    )
    parser.add_argument("--app-yaml", type=Path, default=Path("app.yaml"))
    arguments = parser.parse_args()
    pages = dict(page.split("=unix:", 1) for page in arguments.page)
    handlers = app_yaml.read(arguments.app_yaml).static_handlers
    door = FrontDoor(arguments.app.removeprefix("unix:"), pages, handlers)
    asyncio.run(serve(door, [socket.socket(fileno=fd) for fd in arguments.fd]))


if __name__ == "__main__":
    main()
