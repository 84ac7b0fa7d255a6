"""One attempt of one task over HTTP, with the headers that the target really gets."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from google.rpc import code_pb2
from yarl import URL

from apps.appengine.local.issuer import keys

from .store import Task
from .validate import method_name

APP_ENGINE_AGENT = "AppEngine-Google; (+http://code.google.com/appengine)"
HTTP_AGENT = "Google-Cloud-Tasks"
# Headers a task cannot set: they are the sender's own, or say how this connection is framed.
RESERVED = {"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "user-agent"}
RESERVED_PREFIXES = ("x-google-", "x-appengine-", "x-cloudtasks-")
MAX_ERROR = 300  # characters of an error that are kept
# What aiohttp would add of its own accord.
UNASKED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
CODES = {
    400: code_pb2.INVALID_ARGUMENT,
    401: code_pb2.UNAUTHENTICATED,
    403: code_pb2.PERMISSION_DENIED,
    404: code_pb2.NOT_FOUND,
    409: code_pb2.ABORTED,
    429: code_pb2.RESOURCE_EXHAUSTED,
    499: code_pb2.CANCELLED,
    500: code_pb2.INTERNAL,
    501: code_pb2.UNIMPLEMENTED,
    503: code_pb2.UNAVAILABLE,
    504: code_pb2.DEADLINE_EXCEEDED,
}


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt. `status` is None when there was no response; `code` a google.rpc.Code."""

    status: int | None
    code: int
    error: str

    @classmethod
    def of(cls, status: int) -> "Outcome":
        """A response: only 2xx is a success."""
        if 200 <= status <= 299:
            return cls(status, code_pb2.OK, "")
        return cls(status, CODES.get(status, code_pb2.UNKNOWN), f"HTTP status code {status}")

    @property
    def succeeded(self) -> bool:
        """Whether the task is done."""
        return bool(self.code == code_pb2.OK)


class Sender:
    """Sends App Engine tasks to the application at `app`, HTTP tasks to their url.

    `app` is `unix:/path/to.sock` or `http://host:port`. Use as an asynchronous context manager.
    """

    def __init__(self, app: str, key_folder: Path | None = None) -> None:
        """Raises ValueError for any other `app`. `key_folder`: the local issuer's keys, for OIDC tokens."""
        self._key_folder = key_folder
        scheme, _, rest = app.partition(":")
        if not rest or scheme not in {"unix", "http"}:
            raise ValueError(f"expected unix:/path/to.sock or http://host:port, found {app!r}")
        self._socket = rest if scheme == "unix" else None
        self._base = "http://localhost" if self._socket else app.rstrip("/")

    async def __aenter__(self) -> "Sender":
        self._app = _session(aiohttp.UnixConnector(self._socket, **_CONNECTOR) if self._socket else None)
        self._http = _session()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._app.close()
        await self._http.close()

    async def send(self, task: Task, message: Any) -> Outcome:
        """Make an attempt. dispatch_deadline bounds it in total, to the last byte of the response."""
        if message.HasField("app_engine_http_request"):
            request = message.app_engine_http_request
            url = URL(self._base + (request.relative_uri or "/"), encoded=True)
            call = self._call(self._app, request, url, app_engine_headers(task, request))
        else:
            request = message.http_request
            call = self._call_with_token(request, http_headers(task, request))
        try:
            async with asyncio.timeout(message.dispatch_deadline.ToMilliseconds() / 1000):
                return Outcome.of(await call)
        except TimeoutError:
            return Outcome(None, code_pb2.DEADLINE_EXCEEDED, "Deadline exceeded")
        except Exception as error:  # noqa: BLE001  nothing that a target does may stop its queue
            return Outcome(None, code_pb2.UNAVAILABLE, one_line(f"{type(error).__name__}: {error}"))

    async def _call_with_token(self, request: Any, headers: dict[str, str]) -> int:
        # The last one stays: aiohttp takes names that differ in case only for one.
        sent = headers | self._authorization(request)
        return await self._call(self._http, request, URL(request.url), sent)

    def _authorization(self, request: Any) -> dict[str, str]:
        """https://cloud.google.com/tasks/docs/creating-http-target-tasks#token"""
        if not self._key_folder or not request.HasField("oidc_token"):
            return {}
        wanted = request.oidc_token
        token = keys.token(
            self._key_folder,
            audience=wanted.audience or request.url,
            email=wanted.service_account_email,
            now=time.time(),
        )
        return {"Authorization": f"Bearer {token}"}

    async def _call(
        self, session: aiohttp.ClientSession, request: Any, url: URL, headers: dict[str, str]
    ) -> int:
        async with session.request(
            method_name(request),
            url,
            data=request.body or None,
            headers=headers,
            allow_redirects=False,
            skip_auto_headers=UNASKED,
        ) as response:
            async for _ in response.content.iter_any():  # read to its end, not kept
                pass
            return response.status


def app_engine_headers(task: Task, request: Any) -> dict[str, str]:
    """https://cloud.google.com/tasks/docs/creating-appengine-handlers#reading-headers"""
    headers = _own_headers(request)
    given = next((value for name, value in request.headers.items() if name.lower() == "user-agent"), "")
    headers["User-Agent"] = f"{given} {APP_ENGINE_AGENT}".strip()
    if request.body and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = "application/octet-stream"
    return headers | _task_headers("X-AppEngine-", task)


def http_headers(task: Task, request: Any) -> dict[str, str]:
    """https://cloud.google.com/tasks/docs/creating-http-target-tasks#handler"""
    return _own_headers(request) | {"User-Agent": HTTP_AGENT} | _task_headers("X-CloudTasks-", task)


def one_line(text: str) -> str:
    """Fit for a log line and for the header of the next attempt."""
    return "".join(character if character.isprintable() else " " for character in text)[:MAX_ERROR]


def _own_headers(request: Any) -> dict[str, str]:
    return {
        name: value
        for name, value in request.headers.items()
        if name.lower() not in RESERVED and not name.lower().startswith(RESERVED_PREFIXES)
    }


def _task_headers(prefix: str, task: Task) -> dict[str, str]:
    headers = {
        "QueueName": task.queue,
        "TaskName": task.id,
        "TaskRetryCount": str(task.dispatches - 1),
        "TaskExecutionCount": str(task.responses),
        "TaskETA": f"{task.due:.6f}",
    }
    if task.last_status is not None:
        headers["TaskPreviousResponse"] = str(task.last_status)
    elif task.last_error:
        headers["TaskRetryReason"] = task.last_error
    return {prefix + name: value for name, value in headers.items()}


# A connection for each attempt: a kept one may be closed by the target just when it is used again, and
# that failure would be ours. How many are open at once is for the queues to limit.
_CONNECTOR: dict[str, Any] = {"limit": 0, "force_close": True}


def _session(connector: aiohttp.BaseConnector | None = None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector or aiohttp.TCPConnector(**_CONNECTOR),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )
