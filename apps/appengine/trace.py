"""One trace id from a request to the tasks it enqueues, their attempts and their errors.

The current trace is that of OpenTelemetry's current span, which lives in a context variable: coroutines
inherit it, and so does a thread started through asyncio.to_thread, asgiref's sync_to_async or
contextvars.copy_context().run. Whether spans are kept and sent is apps/appengine/spans's matter.
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    get_current_span,
    get_tracer,
    set_span_in_context,
    use_span,
)

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
# In a route that is a regular expression.
NAMED_GROUP = re.compile(r"\(\?P(<\w+>)[^()]*\)")

tracer = get_tracer(__name__)


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
        return cls.of_caller(traceparent, x_cloud_trace_context) or cls.new()

    @classmethod
    def of_caller(cls, traceparent: str | None, x_cloud_trace_context: str | None) -> Self | None:
        """The caller's trace, if the headers name one."""
        return cls._from_traceparent(traceparent or "") or cls._from_cloud(x_cloud_trace_context or "")

    @classmethod
    def of_span(cls, context: SpanContext) -> Self:
        """The same place, as OpenTelemetry knows it."""
        return cls(f"{context.trace_id:032x}", f"{context.span_id:016x}", context.trace_flags.sampled)

    @property
    def span(self) -> Span:
        """A span that stands for this place and is somebody else's to keep."""
        flags = TraceFlags(SAMPLED if self.sampled else 0)
        ids = int(self.trace_id, 16), int(self.span_id, 16)
        return NonRecordingSpan(SpanContext(*ids, is_remote=True, trace_flags=flags))

    @property
    def traceparent(self) -> str:
        """The header for an outgoing call: what is called becomes a child of this span."""
        return f"00-{self.trace_id}-{self.span_id}-{SAMPLED if self.sampled else 0:02x}"

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


def current() -> Trace | None:
    """The trace and the span this code runs in, if any."""
    context = get_current_span().get_span_context()
    return Trace.of_span(context) if context.is_valid else None


@contextmanager
def activate(trace: Trace) -> Iterator[Trace]:
    """Make `trace` the current one inside the block; the former one returns after it."""
    with use_span(trace.span):
        yield trace


class TraceMiddleware:
    """Run each request in a span of its caller's trace. List it first: whatever follows logs in it."""

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
        with serving(request) as span:
            response: HttpResponseBase = self.get_response(request)
            describe(span, request, response)
            return response

    async def answer(self, request: HttpRequest) -> HttpResponseBase:
        """What __call__ does, where the next middleware is a coroutine function."""
        with serving(request) as span:
            response: HttpResponseBase = await self.get_response(request)
            describe(span, request, response)
            return response


@contextmanager
def serving(request: HttpRequest) -> Iterator[Span]:
    """The request's span: a child of its caller's, or the first of a trace.

    It is kept on the request too: Django logs a 4xx after all middleware has left.
    """
    headers = request.headers
    caller = Trace.of_caller(headers.get("traceparent"), headers.get("X-Cloud-Trace-Context"))
    context = set_span_in_context(caller.span, Context()) if caller else Context()
    with tracer.start_as_current_span(str(request.method), context, SpanKind.SERVER) as span:
        request.trace = current()  # type: ignore[attr-defined]  # Django's own way to hang state on a request
        yield span


def describe(span: Span, request: HttpRequest, response: HttpResponseBase) -> None:
    """Name the span by its route. Never by the path, which may hold ids that customers chose."""
    if not span.is_recording():
        return
    match = request.resolver_match
    route = readable(match.route) if match else "no route"
    span.update_name(f"{request.method} {route}")
    span.set_attributes(
        {
            "http.request.method": str(request.method),
            "http.route": route,
            "http.response.status_code": response.status_code,
        }
    )
    if response.status_code >= 500:
        span.set_status(StatusCode.ERROR)


def readable(route: str) -> str:
    """A route of Django's as a path: of "^app/(?P<app>[a-z]+)/?$" and "app/<app>" alike "/app/<app>"."""
    return "/" + NAMED_GROUP.sub(r"\1", route).replace("^", "").removesuffix("$").removesuffix("/?")
