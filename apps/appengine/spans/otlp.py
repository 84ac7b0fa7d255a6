"""Spans as one message of the OpenTelemetry protocol, which Cloud Trace takes as it is.

https://opentelemetry.io/docs/specs/otlp/#otlphttp and
https://cloud.google.com/stackdriver/docs/reference/telemetry/v1.traces.post
"""

from collections.abc import Mapping, Sequence

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2 as proto
from opentelemetry.util.types import AnyValue as Value

from apps.appengine.spans.tracer import Span


def request(spans: Sequence[Span], resource: Mapping[str, str]) -> bytes:
    """The body that exports `spans`; `resource` says which process made them."""
    message = service.ExportTraceServiceRequest()
    group = message.resource_spans.add()
    group.resource.attributes.extend(_attributes(resource))
    group.scope_spans.add().spans.extend(_span(one) for one in spans)
    body: bytes = message.SerializeToString()
    return body


def rejected(answer: bytes) -> int:
    """How many of the spans were not taken though the call succeeded. Raises DecodeError."""
    count: int = service.ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans
    return count


def _span(span: Span) -> proto.Span:
    return proto.Span(
        trace_id=span.context.trace_id.to_bytes(16),
        span_id=span.context.span_id.to_bytes(8),
        parent_span_id=span.parent.span_id.to_bytes(8) if span.parent else b"",
        flags=span.context.trace_flags,
        name=span.name,
        # The protocol's numbers are the API's and one more, its zero being "unspecified".
        kind=proto.Span.SpanKind.ValueType(span.kind.value + 1),
        start_time_unix_nano=span.started_at,
        end_time_unix_nano=span.ended_at,
        attributes=_attributes(span.attributes),
        events=[
            proto.Span.Event(name=one.name, time_unix_nano=one.at, attributes=_attributes(one.attributes))
            for one in span.events
        ],
        status=proto.Status(code=proto.Status.StatusCode.ValueType(span.status.value)),
    )


def _attributes(values: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in values.items()]


def _value(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case list() | tuple():
            return AnyValue(array_value=ArrayValue(values=[_value(one) for one in value]))
        case _:
            return AnyValue(string_value=str(value))
