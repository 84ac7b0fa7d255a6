"""Runs the cron clock and its page."""

import argparse
import asyncio
import signal
from pathlib import Path

from aiohttp import web

from apps.appengine import cron_yaml

from . import page
from .caller import AppEngineCron, Caller, CloudScheduler
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


def caller(arguments: argparse.Namespace) -> Caller:
    if arguments.app:
        return AppEngineCron(arguments.app.removeprefix("unix:"))
    return CloudScheduler(arguments.url, arguments.audience, arguments.service_account, arguments.keys)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cron-yaml", type=Path, default=Path("cron.yaml"))
    parser.add_argument("--state", type=Path, required=True, help="where the last runs are kept")
    parser.add_argument("--app", help="as App Engine's cron service: the web process, unix:PATH")
    parser.add_argument("--url", help="as Cloud Scheduler: the service's URL")
    parser.add_argument("--audience", default="", help="with --url: whom the tokens are for")
    parser.add_argument("--service-account", default="", help="with --url: whose tokens they are")
    parser.add_argument("--keys", type=Path, help="with --url: the folder of the local issuer's keys")
    parser.add_argument("--page", required=True, help="where the page is served, unix:PATH")
    arguments = parser.parse_args()
    if bool(arguments.app) == bool(arguments.url and arguments.keys):
        parser.error("one of --app and --url with --keys is needed")
    jobs = cron_yaml.read(arguments.cron_yaml)
    clock = Clock(jobs, caller(arguments), arguments.state)
    asyncio.run(serve(clock, arguments.page.removeprefix("unix:")))


if __name__ == "__main__":
    main()
