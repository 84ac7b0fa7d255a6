import json
import logging
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from apps.appengine import trace
from apps.appengine.local.preflight import free_port
from apps.appengine.logs import CloudLoggingFormatter
from apps.appengine.spans.tracer import Span, Tracer
from apps.applications.models import Endpoint
from apps.applications.routing import Route
from apps.deliveries import attempt, spans
from apps.deliveries.accept import Draft, accept
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("private_endpoints", "datastore")]

type AddEndpoint = Callable[..., Endpoint]
type RouteOf = Callable[[], Route]

DRAFT = Draft(event_type="invoice.paid", payload=b'{"card": 4711}')


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Span]]:
    """The spans of attempts of a sampled trace, each once it has ended."""
    found: list[Span] = []
    monkeypatch.setattr(spans, "tracer", Tracer(found.append, rate=0.0))
    with trace.activate(trace.Trace("ab" * 16, "cd" * 8, sampled=True)):
        yield found


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What apps.deliveries.attempt logs, as Cloud Logging gets it."""
    written: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(self.format(record))

    handler, logger = Keep(), logging.getLogger("apps.deliveries.attempt")
    handler.setFormatter(CloudLoggingFormatter())
    logger.addHandler(handler)
    level, logger.level = logger.level, logging.INFO
    yield written
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_an_attempt_has_a_span_with_our_ids_and_its_log_line_bears_the_spans_id(
    add_endpoint: AddEndpoint,
    route_of: RouteOf,
    receiver: Receiver,
    tasks: DrainingBackend,
    ended: list[Span],
    lines: list[str],
) -> None:
    endpoint = add_endpoint(f"{receiver.url}/secret-path")
    message = accept(route_of(), DRAFT)
    tasks.drain()

    (span,), (line,) = ended, map(json.loads, lines)
    assert (span.name, span.kind, span.status) == ("attempt", SpanKind.CLIENT, StatusCode.UNSET)
    assert span.attributes == {
        "attempt_id": line["attempt_id"],
        "message_id": message.message_id,
        "endpoint_id": endpoint.pk,
        "trigger": "scheduled",
        "http.request.method": "POST",
        "http.response.status_code": 200,
    }
    assert line["logging.googleapis.com/spanId"] == f"{span.context.span_id:016x}"
    assert line["logging.googleapis.com/trace"].endswith(f"{span.context.trace_id:032x}")
    assert line["logging.googleapis.com/trace_sampled"] is True


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


@pytest.mark.parametrize(("answer", "kind"), [(503, "503"), (hang_up, "ServerDisconnectedError")])
def test_the_span_of_an_attempt_that_fails_names_the_kind_of_the_fault(
    add_endpoint: AddEndpoint,
    route_of: RouteOf,
    receiver: Receiver,
    tasks: DrainingBackend,
    ended: list[Span],
    answer: int | Callable[[BaseHTTPRequestHandler], None],
    kind: str,
) -> None:
    add_endpoint(f"{receiver.url}/a")
    receiver.answers["/a"] = [answer]
    accept(route_of(), DRAFT)
    tasks.drain()
    (span,) = ended
    assert span.status is StatusCode.ERROR
    assert span.attributes["error.type"] == kind


def test_a_fault_that_names_the_endpoint_leaves_no_trace_of_its_address(
    add_endpoint: AddEndpoint, route_of: RouteOf, tasks: DrainingBackend, ended: list[Span]
) -> None:
    add_endpoint(f"http://localhost:{free_port()}/secret-path")
    accept(route_of(), DRAFT)
    tasks.drain()
    (span,) = ended
    assert span.attributes["error.type"] == "ClientConnectorError"
    assert "localhost" not in repr(span.attributes)


def test_an_attempt_that_is_put_off_has_no_span(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, ended: list[Span]
) -> None:
    endpoint = add_endpoint(receiver.url)
    message = accept(route_of(), DRAFT)
    (job,) = attempt.due_jobs(message.application_id, message.message_id, [endpoint.pk], 0)
    assert attempt.send(job, b"{}", most_in_flight=0) is None
    assert (ended, receiver.requests) == ([], [])
