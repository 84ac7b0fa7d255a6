"""One trace id from a request to the tasks it enqueues, their attempts and their errors.

The current trace lives in a context variable: coroutines inherit it, and so does a thread started
through asyncio.to_thread, asgiref's sync_to_async or contextvars.copy_context().run.
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

# https://www.w3.org/TR/trace-context-1/#traceparent-header: lower case only; a version above 00 may
# append fields, version ff and ids of zeros are invalid.
TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace_id>(?!0{32})[0-9a-f]{32})-(?P<span_id>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
# https://cloud.google.com/trace/docs/trace-context#legacy-http-header: TRACE_ID/SPAN_ID;o=OPTIONS, the
# span a decimal number. Span and options may be missing.
CLOUD_TRACE = re.compile(
    r"(?P<trace_id>(?!0{32})[0-9a-fA-F]{32})(?:/(?P<span_id>[0-9]{1,20}))?(?:;o=(?P<options>[0-9]))?"
)
SAMPLED = 0x01


@dataclass(frozen=True, slots=True)
class Trace:
    """Where in a distributed trace this code runs: 32 and 16 hexadecimal digits."""

    trace_id: str
    span_id: str
    sampled: bool = False

    @classmethod
    def new(cls) -> Self:
        """A trace of its own, not sampled."""
        return cls(trace_id=secrets.token_hex(16), span_id=new_span_id())

    @classmethod
    def from_headers(cls, traceparent: str | None = None, x_cloud_trace_context: str | None = None) -> Self:
        """The caller's trace, `traceparent` preferred; a new one where both are absent or malformed."""
        return (
            cls._from_traceparent(traceparent or "")
            or cls._from_cloud(x_cloud_trace_context or "")
            or cls.new()
        )

    @property
    def traceparent(self) -> str:
        """The header for an outgoing call: the same trace, a new span id each time it is asked."""
        return f"00-{self.trace_id}-{new_span_id()}-{SAMPLED if self.sampled else 0:02x}"

    @classmethod
    def _from_traceparent(cls, header: str) -> Self | None:
        match = TRACEPARENT.fullmatch(header.strip())
        if match is None or (match["version"] == "00" and match["more"]):
            return None
        return cls(match["trace_id"], match["span_id"], bool(int(match["flags"], 16) & SAMPLED))

    @classmethod
    def _from_cloud(cls, header: str) -> Self | None:
        match = CLOUD_TRACE.fullmatch(header.strip())
        if match is None:
            return None
        number = int(match["span_id"] or 0)
        span_id = f"{number:016x}" if 0 < number < 2**64 else new_span_id()
        return cls(match["trace_id"].lower(), span_id, bool(int(match["options"] or 0) & SAMPLED))


def new_span_id() -> str:
    """16 random hexadecimal digits."""
    return secrets.token_hex(8)


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def current() -> Trace | None:
    """The trace this code runs in, if any."""
    return _current.get()


@contextmanager
def activate(trace: Trace) -> Iterator[Trace]:
    """Make `trace` the current one inside the block; the former one returns after it."""
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)


class TraceMiddleware:
    """Run each request in its caller's trace. List it first, so that whatever follows logs in it."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self.answer(request)
        with activate(of_request(request)):
            response: HttpResponseBase = self.get_response(request)
            return response

    async def answer(self, request: HttpRequest) -> HttpResponseBase:
        """What __call__ does, where the next middleware is a coroutine function."""
        with activate(of_request(request)):
            response: HttpResponseBase = await self.get_response(request)
            return response


def of_request(request: HttpRequest) -> Trace:
    """The request's trace, made once and kept on it: Django logs a 4xx after all middleware has left."""
    trace: Trace | None = getattr(request, "trace", None)
    if trace is None:
        headers = request.headers
        trace = Trace.from_headers(headers.get("traceparent"), headers.get("X-Cloud-Trace-Context"))
        request.trace = trace  # type: ignore[attr-defined]  # Django's own way to hang state on a request
    return trace
