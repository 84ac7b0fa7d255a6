"""Attempts over real sockets, at targets that behave badly."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud.tasks_v2 import Task as Message
from google.rpc import code_pb2

from apps.appengine.local.queue_server.attempt import Outcome, Sender
from apps.appengine.local.queue_server.store import Task

NEVER_TRIED = (None, None, None, None, None, None, None)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def task(*, dispatches: int = 1, status: int | None = None, error: str | None = None) -> Task:
    last = (1.0, 1.0, 1.0, 1.0, status, None, error) if error else NEVER_TRIED
    return Task(1, "mail", "t1", True, 1234567890.25, 1.0, 1, dispatches, 0, *last, b"")  # type: ignore[call-arg]  # fields in order


@contextlib.asynccontextmanager
async def target(path: Path, pieces: list[bytes], pause: float = 0) -> AsyncIterator[list[bytes]]:
    """A server on a unix socket that answers anything with these pieces; yields the requests' heads."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
        writer.close()

    server = await asyncio.start_unix_server(answer, path)
    async with server:
        yield heads


def send(
    socket: Path,
    pieces: list[bytes],
    *,
    pause: float = 0,
    deadline: float = 5,
    row: Task | None = None,
    **request: Any,
) -> tuple[Outcome, list[bytes]]:
    message = Message(
        app_engine_http_request={"relative_uri": "/path", **request},
        dispatch_deadline={"seconds": int(deadline), "nanos": round(deadline % 1 * 1e9)},
    )

    async def run() -> tuple[Outcome, list[bytes]]:
        async with target(socket, pieces, pause) as heads, Sender(f"unix:{socket}") as sender:
            return await sender.send(row or task(), Message.pb(message)), heads

    return asyncio.run(run())


@pytest.mark.parametrize(
    "first",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Slow: "],
    ids=["body", "headers"],
)
def test_the_deadline_is_total_also_for_a_response_that_drips(tmp_path: Path, first: bytes) -> None:
    started = time.monotonic()
    outcome, _ = send(tmp_path / "s", [first, *[b"x"] * 100], pause=0.05, deadline=0.3)
    assert (outcome.status, outcome.code) == (None, code_pb2.DEADLINE_EXCEEDED)
    assert 0.3 <= time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("status", "succeeded"),
    [(200, True), (204, True), (302, False), (404, False), (500, False), (503, False)],
)
def test_only_2xx_succeeds_and_redirects_are_not_followed(
    tmp_path: Path, status: int, succeeded: bool
) -> None:
    head = f"HTTP/1.1 {status} X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".encode()
    outcome, heads = send(tmp_path / "s", [head])
    assert (outcome.status, outcome.succeeded) == (status, succeeded)
    assert len(heads) == 1


def test_an_application_that_is_down_or_talks_nonsense_is_no_response(tmp_path: Path) -> None:
    outcome, _ = send(tmp_path / "s", [b"nonsense\r\n\r\n"])
    assert (outcome.status, outcome.code) == (None, code_pb2.UNAVAILABLE)

    async def nobody_listens() -> Outcome:
        async with Sender(f"unix:{tmp_path}/missing") as sender:
            message = Message(app_engine_http_request={}, dispatch_deadline={"seconds": 5})
            return await sender.send(task(), Message.pb(message))

    assert asyncio.run(nobody_listens()).status is None


def test_a_first_attempt_says_so(tmp_path: Path) -> None:
    _, (head,) = send(tmp_path / "s", [OK], body=b"{}", headers={"content-type": "application/json"})
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /path HTTP/1.1"
    assert "X-AppEngine-QueueName: mail" in lines
    assert "X-AppEngine-TaskName: t1" in lines
    assert "X-AppEngine-TaskRetryCount: 0" in lines
    assert "X-AppEngine-TaskETA: 1234567890.250000" in lines
    assert "User-Agent: AppEngine-Google; (+http://code.google.com/appengine)" in lines
    assert [line for line in lines if line.lower().startswith("content-type")] == [
        "content-type: application/json"
    ]
    assert "Previous" not in head.decode()


def test_a_retry_says_what_happened_before(tmp_path: Path) -> None:
    _, (head,) = send(tmp_path / "s", [OK], row=task(dispatches=3, status=500, error="HTTP status code 500"))
    assert b"X-AppEngine-TaskRetryCount: 2\r\n" in head
    assert b"X-AppEngine-TaskPreviousResponse: 500\r\n" in head
    _, (head,) = send(tmp_path / "s2", [OK], row=task(dispatches=2, error="Deadline exceeded"))
    assert b"X-AppEngine-TaskRetryReason: Deadline exceeded\r\n" in head
    assert b"TaskPreviousResponse" not in head


def test_an_error_of_many_lines_becomes_one_line_for_the_next_attempts_header(tmp_path: Path) -> None:
    outcome, _ = send(tmp_path / "s", [b"HTTP/1.1 200 OK\r\nBad\x00Header: 1\r\n\r\n"])
    assert outcome.status is None
    assert outcome.error.isprintable()
    again, _ = send(tmp_path / "s2", [OK], row=task(dispatches=2, error=outcome.error))
    assert again.succeeded


def test_an_application_at_no_known_kind_of_address_is_refused() -> None:
    for app in ("", "unix:", "localhost:8080", "https://example.com"):
        with pytest.raises(ValueError, match="expected unix:"):
            Sender(app)
