"""Passes one HTTP request on to a server on a unix socket, streaming both ways."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from . import headers

BODY_LIMIT = 32 * 1024 * 1024  # bytes; App Engine's limit for a request
REQUEST_SECONDS = 600  # App Engine's deadline with automatic scaling
CONNECT_SECONDS = 5.0  # how long a server that is being restarted is waited for
SENT_BY_CLIENT_ONLY = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Unavailable(Exception):
    """The server did not answer; the message says how far it got."""


class BodyTooLarge(Exception):
    """The request is larger than BODY_LIMIT."""


class Upstream:
    """One server on a unix socket."""

    def __init__(self, socket: str) -> None:
        self._session = aiohttp.ClientSession(
            # A new connection for each request: on a reused one a restart would lose requests unseen.
            connector=aiohttp.UnixConnector(path=socket, limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=SENT_BY_CLIENT_ONLY,
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
        )

    async def close(self) -> None:
        await self._session.close()

    async def forward(
        self, request: web.Request, path: str, sent_headers: CIMultiDict[str]
    ) -> web.StreamResponse:
        """Send the request with this path (encoded) and these headers, and stream the answer back.

        Raises BodyTooLarge, and Unavailable when no answer came.
        """
        body = Body(request)
        try:
            answer = await self._send(request, path, sent_headers, body)
        except aiohttp.ClientConnectorError as error:
            raise Unavailable("it does not accept connections") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            if body.too_large:
                raise BodyTooLarge from error
            raise Unavailable("it ended or fell silent while it had the request") from error
        async with answer:
            return await stream(request, answer)

    async def _send(
        self, request: web.Request, path: str, sent_headers: CIMultiDict[str], body: "Body"
    ) -> aiohttp.ClientResponse:
        """Repeated while nobody listens, which is before any byte of the request was sent."""
        url = URL.build(
            scheme="http", host="app", path=path, query_string=request.rel_url.raw_query_string, encoded=True
        )
        data = body.chunks() if request.body_exists else None
        deadline = asyncio.get_running_loop().time() + CONNECT_SECONDS
        while True:
            try:
                return await self._session.request(
                    request.method, url, headers=sent_headers, data=data, allow_redirects=False
                )
            except aiohttp.ClientConnectorError:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.1)


class Body:
    """The body of a request on its way through, counted."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.too_large = False
        if (request.content_length or 0) > BODY_LIMIT:
            raise BodyTooLarge

    async def chunks(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._request.content.iter_any():
            size += len(chunk)
            if size > BODY_LIMIT:  # possible only without Content-Length
                self.too_large = True
                raise BodyTooLarge
            yield chunk


async def stream(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """Copy an answer to the client; one that breaks off breaks the client's connection off too."""
    response = web.StreamResponse(
        status=answer.status, reason=answer.reason, headers=headers.end_to_end(answer.headers)
    )
    try:
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
    except (aiohttp.ClientError, ConnectionError, TimeoutError):
        if request.transport:
            request.transport.abort()
    return response
