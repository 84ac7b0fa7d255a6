"""The span of an attempt: from the dial to the last byte.

It has our ids and the endpoint's status. Nothing a customer sent, and nothing of the endpoint's address,
is in it; and the request bears no trace header, for the trace is none of the receiver's business.
"""

from concurrent.futures import Future

from opentelemetry.trace import Span, SpanKind, StatusCode, get_tracer

from apps.deliveries.transport import Result

tracer = get_tracer(__name__)


def start(*, attempt_id: str, message_id: str, endpoint_id: str, trigger: str) -> Span:
    """Begin. One that never ends, since nothing was sent, is kept nowhere."""
    ids = {"attempt_id": attempt_id, "message_id": message_id, "endpoint_id": endpoint_id}
    attributes = {**ids, "trigger": trigger, "http.request.method": "POST"}
    return tracer.start_span("attempt", kind=SpanKind.CLIENT, attributes=attributes)


def end_with(span: Span, result: Future[Result]) -> None:
    """Have the span end with the request, in the transport's thread."""
    result.add_done_callback(lambda done: _end(span, done.result()))


def _end(span: Span, result: Result) -> None:
    if result.status_code:
        span.set_attribute("http.response.status_code", result.status_code)
    if not result.succeeded:
        span.set_status(StatusCode.ERROR)
        # The kind of the fault: what follows the colon names the endpoint's host.
        span.set_attribute("error.type", result.error.partition(":")[0] or str(result.status_code))
    span.end()
