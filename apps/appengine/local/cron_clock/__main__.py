"""Runs the cron clock and its page."""

import argparse
import asyncio
import signal
from pathlib import Path

from aiohttp import web

from apps.appengine import cron_yaml

from . import page
from .clock import Clock


async def serve(clock: Clock, page_socket: str) -> None:
    """Keep time and show the page until SIGTERM."""
    runner = web.AppRunner(page.application(clock), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.UnixSite(runner, page_socket).start()
    keeping_time = asyncio.create_task(clock.keep_time())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, keeping_time.cancel)
    try:
        await keeping_time
    except asyncio.CancelledError:
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cron-yaml", type=Path, default=Path("cron.yaml"))
    parser.add_argument("--state", type=Path, required=True, help="where the last runs are kept")
    parser.add_argument("--app", required=True, help="the web process, unix:PATH")
    parser.add_argument("--page", required=True, help="where the page is served, unix:PATH")
    arguments = parser.parse_args()
    jobs = cron_yaml.read(arguments.cron_yaml)
    clock = Clock(jobs, arguments.app.removeprefix("unix:"), arguments.state)
    asyncio.run(serve(clock, arguments.page.removeprefix("unix:")))


if __name__ == "__main__":
    main()
