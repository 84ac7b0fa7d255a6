"""Show what a Datastore holds: `python -m apps.appengine.local.datastore_viewer --help`."""

import argparse
import asyncio
import signal
from pathlib import Path

from aiohttp import web

from .client import Client
from .page import Page


async def serve(arguments: argparse.Namespace) -> None:
    """Answer until SIGTERM."""
    page = Page(Client(arguments.datastore, arguments.project), arguments.indexes)
    runner = web.AppRunner(page.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.UnixSite(runner, arguments.page.removeprefix("unix:")).start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(prog="datastore_viewer", description=__doc__)
    parser.add_argument("--page", required=True, help="where the page is served, unix:PATH")
    parser.add_argument("--datastore", required=True, help="HOST:PORT")
    parser.add_argument("--project", default="local", help="whose entities (%(default)s)")
    parser.add_argument("--indexes", type=Path, default=Path("index.yaml"), help="(%(default)s)")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments))


if __name__ == "__main__":
    main()
