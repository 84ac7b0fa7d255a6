"""What OpenTelemetry's API calls: makes spans of sampled traces, and hands each over when it ends.

A span holds nothing of what an exception says, only its class: messages may hold what a customer sent,
and the log has them, with the traceback, under the same trace id.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util._decorator import _agnosticcontextmanager
from opentelemetry.util.types import AnyValue, Attributes

UNSAMPLED, SAMPLED = TraceFlags(TraceFlags.DEFAULT), TraceFlags(TraceFlags.SAMPLED)


@dataclass(frozen=True)
class Event:
    """Something at a moment (nanoseconds since 1970) within a span."""

    name: str
    attributes: Mapping[str, AnyValue]
    at: int


@dataclass(eq=False)
class Span(trace.Span):
    """One step of a sampled trace. Times are nanoseconds since 1970; `ended_at` is 0 while it lasts."""

    name: str
    context: SpanContext
    parent: SpanContext | None
    kind: SpanKind
    started_at: int
    on_end: Callable[["Span"], None]
    attributes: dict[str, AnyValue] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    status: StatusCode = StatusCode.UNSET
    ended_at: int = 0

    def end(self, end_time: int | None = None) -> None:
        """The first call counts."""
        if self.is_recording():
            self.ended_at = end_time or time.time_ns()
            self.on_end(self)

    def is_recording(self) -> bool:
        return not self.ended_at

    def get_span_context(self) -> SpanContext:
        return self.context

    def set_attribute(self, key: str, value: AnyValue) -> None:
        self.set_attributes({key: value})

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        if self.is_recording():
            # A new dict: the old one may be on its way while another thread still adds to the span.
            self.attributes = {**self.attributes, **attributes}

    def update_name(self, name: str) -> None:
        if self.is_recording():
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:  # noqa: ARG002  it may hold what an exception said
        if self.is_recording():
            self.status = status.status_code if isinstance(status, Status) else status

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        if self.is_recording():
            self.events = [*self.events, Event(name, attributes or {}, timestamp or time.time_ns())]

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,  # noqa: ARG002  the API's signature
        timestamp: int | None = None,  # noqa: ARG002
        escaped: bool = False,  # noqa: ARG002
    ) -> None:
        """The exception's class, by the name that conventions give it."""
        kind = type(exception)
        self.set_attribute("error.type", f"{kind.__module__}.{kind.__qualname__}")


@dataclass(frozen=True)
class Tracer(trace.Tracer):
    """Follows the caller's decision whether a trace is sampled; of new traces samples a part, `rate`.

    Without `on_end` nothing is sampled here: a span is then only its caller's place in the trace.
    """

    on_end: Callable[[Span], None] | None
    rate: float

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: object = None,  # noqa: ARG002  links are not kept: nothing here makes any
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: ARG002
        set_status_on_exception: bool = True,  # noqa: ARG002
    ) -> trace.Span:
        """A span that is kept, or one that only has a place in its trace."""
        parent = trace.get_current_span(context).get_span_context()
        if parent.is_valid and not (self.on_end and parent.trace_flags.sampled):
            return NonRecordingSpan(parent)
        trace_id = parent.trace_id if parent.is_valid else random_id(128)
        sampled = bool(self.on_end) and (parent.is_valid or random.random() < self.rate)
        own = SpanContext(
            trace_id, random_id(64), is_remote=False, trace_flags=SAMPLED if sampled else UNSAMPLED
        )
        if not (sampled and self.on_end):
            return NonRecordingSpan(own)
        return Span(
            name=name,
            context=own,
            parent=parent if parent.is_valid else None,
            kind=kind,
            started_at=start_time or time.time_ns(),
            on_end=self.on_end,
            attributes=dict(attributes or {}),
        )

    @_agnosticcontextmanager  # the API's own, for a span around a coroutine function too
    def start_as_current_span(  # noqa: PLR0913, PLR0917  the API's signature
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: object = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[trace.Span]:
        """The span, current inside the block."""
        span = self.start_span(name, context, kind, attributes, links, start_time)
        with trace.use_span(span, end_on_exit, record_exception, set_status_on_exception):
            yield span


@dataclass(frozen=True)
class TracerProvider(trace.TracerProvider):
    """One tracer for all: who asks is not told apart."""

    tracer: Tracer

    def get_tracer(self, *_: object, **__: object) -> Tracer:
        return self.tracer


def random_id(bits: int) -> int:
    """Of a trace or a span, which no zeros may be."""
    return random.getrandbits(bits) or 1
