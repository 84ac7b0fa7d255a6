"""One HTTP request to an endpoint, bounded in time, size and reach.

Requests run on one event loop in a thread of its own, because asyncio's timeout is total: it covers
the name's resolution, the dial, TLS, headers and a body that drips, which no per-read timeout does.
"""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohappyeyeballs import AddrInfoType

from apps.applications import addresses

DEADLINE_S = 30.0  # for everything, from name to last byte
LARGEST_RESPONSE = 32_768  # bytes; what follows is not read
# Shorter than servers keep idle connections, so that a request seldom meets one that just closed.
IDLE_CONNECTION_S = 4.0
# Names are resolved in threads: enough that a few dead name servers do not hold up the others.
RESOLVER_THREADS = 64
USER_AGENT = "Waybill/1 (+https://www.standardwebhooks.com)"


@dataclass(frozen=True)
class Result:
    """How a request ended. `status_code` is 0 and `error` says why when there was no whole answer."""

    status_code: int
    duration_ms: int
    body: str = ""
    retry_after: str | None = None
    error: str = ""

    @property
    def succeeded(self) -> bool:
        """2xx is success. Anything else is failure, redirects included: they are not followed."""
        return 200 <= self.status_code < 300


def post(url: str, headers: dict[str, str], body: bytes) -> Future[Result]:
    """Send `body` to `url` in the background. The future always has a Result, never an exception."""
    client = _client()
    return client.run(_post(client.session, url, headers, body))


async def _post(session: aiohttp.ClientSession, url: str, headers: dict[str, str], body: bytes) -> Result:
    started = time.monotonic()
    try:
        async with asyncio.timeout(DEADLINE_S):
            status_code, text, retry_after = await _exchange(session, url, headers, body)
    except TimeoutError:
        return Result(0, _ms_since(started), error=f"no complete answer within {DEADLINE_S:g} s")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Result(0, _ms_since(started), error=f"{type(error).__name__}: {error}")
    return Result(status_code, _ms_since(started), text, retry_after)


async def _exchange(
    session: aiohttp.ClientSession, url: str, headers: dict[str, str], body: bytes
) -> tuple[int, str, str | None]:
    sent = {"User-Agent": USER_AGENT, "Content-Type": "application/json", **headers}
    async with session.post(url, data=body, headers=sent, allow_redirects=False) as response:
        received = bytearray()
        async for chunk in response.content.iter_any():
            received += chunk
            if len(received) > LARGEST_RESPONSE:
                break  # with something left to read, the connection is closed and not used again
        text = received[:LARGEST_RESPONSE].decode(errors="replace")
        return response.status, text, response.headers.get("Retry-After")


def _dial(address: AddrInfoType) -> socket.socket:
    """Checks the very address that is dialled next, whatever the name resolved to before."""
    family, kind, protocol, _, sockaddr = address
    addresses.check_dial(str(sockaddr[0]))
    return socket.socket(family, kind, protocol)


class _Client:
    """An event loop in a thread of its own, and one session on it, so that connections are used again."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolve"))
        self.thread = threading.Thread(target=self._run, name="transport", daemon=True)
        self.thread.start()
        self.session = self.run(self._open_session()).result()

    def run[T](self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def close(self) -> None:
        self.run(self.session.close()).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def _run(self) -> None:
        self.loop.run_forever()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    async def _open_session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_CONNECTION_S, socket_factory=_dial)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            skip_auto_headers=["Accept-Encoding"],
            trust_env=False,  # a proxy would resolve and dial for us, unchecked
        )


# The process's only client. A list, for `_client` to fill on first use, so after gunicorn's fork.
_clients: list[_Client] = []
_lock = threading.Lock()
os.register_at_fork(after_in_child=_clients.clear)


def _client() -> _Client:
    with _lock:  # threads that come first at the same time must not make a loop each
        if not _clients:
            _clients.append(_Client())
        return _clients[0]


def close() -> None:
    """Close all connections. The next request opens anew. Tests call it; a process that ends need not."""
    with _lock:
        while _clients:
            _clients.pop().close()


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
