"""Makes the keys and shows their certificates where settings.OIDC_CERTS_URL points."""

import argparse
import asyncio
import signal
import time
from pathlib import Path

from aiohttp import web

from . import keys

PATH = "/oauth2/v1/certs"
LOOK_AGAIN = 60.0  # seconds


def application(folder: Path) -> web.Application:
    """The page, with the header that says how long it may be kept."""

    async def show(_: web.Request) -> web.Response:
        headers = {"Cache-Control": f"public, max-age={keys.MAX_AGE}, must-revalidate, no-transform"}
        return web.json_response(keys.certificates(folder), headers=headers)

    application = web.Application()
    application.router.add_get(PATH, show)
    return application


async def serve(folder: Path, port: int) -> None:
    """Show the page and change the keys until SIGTERM."""
    keys.rotate(folder, time.time())
    runner = web.AppRunner(application(folder), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    while not stop.is_set():
        keys.rotate(folder, time.time())
        try:
            await asyncio.wait_for(stop.wait(), LOOK_AGAIN)
        except TimeoutError:
            continue
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=Path, required=True, help="the folder of the private keys")
    parser.add_argument("--port", type=int, required=True, help="where the page is, on 127.0.0.1")
    arguments = parser.parse_args()
    arguments.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    asyncio.run(serve(arguments.keys, arguments.port))


if __name__ == "__main__":
    main()
