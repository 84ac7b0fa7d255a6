"""Runs the front door on listening sockets that it inherits, so that a restart refuses nobody."""

import argparse
import asyncio
import signal
import socket
from pathlib import Path

from aiohttp import web

from apps.appengine import app_yaml

from .door import FrontDoor

SHUTDOWN_SECONDS = 2.0


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--fd", type=int, action="append", required=True, help="a listening socket (repeatable)"
    )
    parser.add_argument("--app", required=True, help="the web process, unix:PATH")
    parser.add_argument(
        "--page", action="append", default=[], help="a local page, NAME=unix:PATH (repeatable)"
    )
    parser.add_argument("--app-yaml", type=Path, default=Path("app.yaml"))
    parser.add_argument(
        "--cloud-run", action="store_true", help="behave as Cloud Run's front end, which serves no files"
    )
    arguments = parser.parse_args()
    pages = dict(page.split("=unix:", 1) for page in arguments.page)
    handlers = [] if arguments.cloud_run else app_yaml.read(arguments.app_yaml).static_handlers
    door = FrontDoor(arguments.app.removeprefix("unix:"), pages, handlers, arguments.cloud_run)
    asyncio.run(serve(door, [socket.socket(fileno=fd) for fd in arguments.fd]))


if __name__ == "__main__":
    main()
