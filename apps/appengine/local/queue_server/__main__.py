"""Start the local queue server: `python -m apps.appengine.local.queue_server --help`."""

import argparse
import asyncio
import os
import re
import signal
import sqlite3
import sys
from pathlib import Path

import grpc.aio
from aiohttp import web

from apps.appengine import queue_yaml

from .api import CloudTasks, Handler
from .attempt import Sender
from .page import Page
from .runner import Runner
from .store import Store


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="queue_server", description="A local Cloud Tasks.")
    parser.add_argument(
        "--queue-yaml", type=Path, default=Path("queue.yaml"), help="the queues (%(default)s)"
    )
    parser.add_argument("--data", type=Path, required=True, help="the SQLite file that keeps the tasks")
    parser.add_argument(
        "--app", required=True, help="where App Engine tasks go: unix:PATH or http://HOST:PORT"
    )
    parser.add_argument(
        "--keys", type=Path, help="the folder of the local issuer's keys; without it no task has a token"
    )
    parser.add_argument(
        "--grpc", type=tcp, default="127.0.0.1:0", help="address of the API (%(default)s: any free port)"
    )
    parser.add_argument("--port-file", type=Path, help="write the port of the API here once it answers")
    parser.add_argument(
        "--page", type=tcp_or_unix, default="127.0.0.1:0", help="address of the page: HOST:PORT or unix:PATH"
    )
    parser.add_argument("--grace", type=float, default=10.0, help="seconds for attempts under way at SIGTERM")
    parser.add_argument(
        "--name-retention",
        type=float,
        default=9 * 86400.0,
        help="seconds for which the name of a deleted task stays taken; Google says an hour to 9 days for "
        "queues of queue.yaml, and this is the longest (%(default)g)",
    )
    return parser.parse_args()


def tcp(text: str) -> str:
    """HOST:PORT."""
    if not re.fullmatch(r"[^:]+:[0-9]{1,5}", text):
        raise argparse.ArgumentTypeError(f"expected HOST:PORT, found {text!r}")
    return text


def tcp_or_unix(text: str) -> str:
    """HOST:PORT or unix:PATH."""
    return text if re.fullmatch(r"unix:.+", text) else tcp(text)


def main() -> None:
    """Read the configuration and serve until SIGTERM or SIGINT. What is wrong is said in one line."""
    args = arguments()
    try:
        queues = queue_yaml.read(args.queue_yaml)
        sender = Sender(args.app, args.keys)
        store = Store(args.data, name_retention=args.name_retention)
    except sqlite3.Error as error:
        hint = " (another queue server is using it)" if "locked" in str(error) else ""
        sys.exit(f"queue server: {args.data}: {error}{hint}")
    except (ValueError, OSError) as error:
        sys.exit(f"queue server: {error}")
    try:
        asyncio.run(serve(args, queues, store, sender))
    except OSError as error:
        sys.exit(f"queue server: {error}")
    finally:
        store.close()


async def serve(
    args: argparse.Namespace, queues: dict[str, queue_yaml.Queue], store: Store, sender: Sender
) -> None:
    """Answer calls, dispatch tasks and show the page until told to stop."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    rows = await store.open_queues({name: queue.bucket_size for name, queue in queues.items()})
    async with sender:
        runners = {
            row.name: Runner(queues.get(row.name) or queue_yaml.Queue(row.name), row, store, sender)
            for row in rows
        }
        work = [asyncio.create_task(runner.run(), name=name) for name, runner in runners.items()]
        api, port = await start_api(args.grpc, CloudTasks(store, runners, signs=args.keys is not None))
        page, address = await start_page(args.page, Page(store, runners))
        if args.port_file:
            write_whole(args.port_file, str(port))
        host = args.grpc.rpartition(":")[0]
        print(  # noqa: T201  the ready line
            f"queue server: {len(queues)} queues from {args.queue_yaml.name}, "
            f"gRPC on {host}:{port}, page on {address}",
            flush=True,
        )
        try:
            await first_of(stopped, work)
        finally:
            await api.stop(grace=1)
            await page.cleanup()
            await finish(runners, work, args.grace)


async def start_api(address: str, service: CloudTasks) -> tuple[grpc.aio.Server, int]:
    """Listen for gRPC; returns the server and its port. Raises OSError when the address is taken."""
    # Without SO_REUSEPORT, so that a second server on the same port is an error, not half of the calls.
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers([Handler(service)])
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: it is taken, or not of this machine") from error
    await server.start()
    return server, port


async def start_page(address: str, page: Page) -> tuple[web.AppRunner, str]:
    """Serve the page; returns what to clean up and where it is. Raises OSError when the address is taken."""
    runner = web.AppRunner(page.application(), access_log=None)
    await runner.setup()
    scheme, _, rest = address.rpartition(":")
    if address.startswith("unix:"):
        await web.UnixSite(runner, address.removeprefix("unix:")).start()
        return runner, address
    await web.TCPSite(runner, scheme, int(rest)).start()
    return runner, f"http://{scheme}:{runner.addresses[0][1]}/"


async def first_of(stopped: asyncio.Event, work: list[asyncio.Task[None]]) -> None:
    """Wait for the signal to stop, or for the first queue that fails, whose error is raised."""
    signalled = asyncio.create_task(stopped.wait())
    done, _ = await asyncio.wait([signalled, *work], return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def finish(runners: dict[str, Runner], work: list[asyncio.Task[None]], grace: float) -> None:
    """Lease nothing more; attempts still under way after `grace` seconds run again at the next start."""
    for runner in runners.values():
        runner.stop()
    _, late = await asyncio.wait(work, timeout=grace)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)


def write_whole(path: Path, text: str) -> None:
    """Whoever waits for the file never reads half of it."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text)
    os.replace(part, path)  # noqa: PTH105  atomic, which is the point


if __name__ == "__main__":
    main()
