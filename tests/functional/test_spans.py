"""The running system sends the spans of a message: the request, the task, the attempt, one trace."""

import json
import secrets
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from apps.appengine.local.preflight import free_port
from tests.conftest import Receiver
from tests.functional.system import System, add_endpoint, recorded_messages, running, wait_until
from tests.otlp_receiver import OtlpReceiver, attributes, receiving

REQUEST = "POST /api/v1/app/<app_id>/msg"
TASK = "task apps.deliveries.fan_out.fan_out"
CUSTOMERS = "a-customers-own"  # in all that a customer chooses: ids, payload, the endpoint's path


@pytest.fixture
def traces() -> Iterator[OtlpReceiver]:
    with receiving() as started:
        yield started


def post(system: System, application: str, endpoint: str, sampled: bool = True) -> str:
    """Post one message in a new trace, wait until its attempt is recorded, return the trace id."""
    trace_id = secrets.token_hex(16)
    request = urllib.request.Request(
        f"{system.url}/api/v1/app/{application}/msg",
        json.dumps(
            {
                "eventType": "invoice.paid",
                "eventId": f"{CUSTOMERS}-{trace_id}",
                "payload": {"secret": CUSTOMERS},
            }
        ).encode(),
        {
            "Authorization": f"Bearer {system.api_key}",
            "Content-Type": "application/json",
            "traceparent": f"00-{trace_id}-b7ad6b7169203331-{int(sampled):02x}",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        message = json.load(response)["id"]
    assert wait_until(lambda: message in recorded_messages(system, application, endpoint), 60)
    return trace_id


def spans_of(traces: OtlpReceiver, trace_id: str) -> dict[str, Span]:
    """A trace's spans by name; of Datastore calls, which come more than once, some."""
    return {span.name: span for span in traces.spans if span.trace_id.hex() == trace_id}


def lines(system: System, words: str) -> list[str]:
    return [line for line in system.output if words in line]


def test_one_message_is_one_trace_and_its_last_spans_are_sent_on_sigterm(
    tmp_path: Path, receiver: Receiver, traces: OtlpReceiver
) -> None:
    with running(tmp_path, TRACE_EXPORT=traces.url, TRACE_SAMPLE_RATE="1") as system:
        application, endpoint = add_endpoint(system, f"{receiver.url}/{CUSTOMERS}")
        not_sampled = post(system, application, endpoint, sampled=False)
        trace_id = post(system, application, endpoint)
        traces.wait_for(lambda: {REQUEST, TASK, "attempt"} <= set(spans_of(traces, trace_id)))
        found = spans_of(traces, trace_id)

        request, task, attempt = found[REQUEST], found[TASK], found["attempt"]
        asked = next(span for name, span in found.items() if name.startswith("POST /_tasks/"))
        assert request.parent_span_id.hex() == "b7ad6b7169203331", "a child of the caller's span"
        assert found["Cloud Tasks CreateTask"].parent_span_id == request.span_id
        assert found["Datastore commit"].parent_span_id in {request.span_id, task.span_id}
        assert asked.parent_span_id == request.span_id
        assert task.parent_span_id == asked.span_id
        assert attempt.parent_span_id == task.span_id
        assert (request.kind, task.kind, attempt.kind) == (2, 5, 3), "server, consumer, client"
        assert attributes(request)["http.response.status_code"] == 202
        assert attributes(task)["outcome"] == "succeeded"
        assert attributes(attempt)["http.response.status_code"] == 200
        assert request.start_time_unix_nano < task.start_time_unix_nano < attempt.start_time_unix_nano
        assert attempt.end_time_unix_nano < task.end_time_unix_nano < asked.end_time_unix_nano

        assert receiver.requests
        sent = receiver.requests[0].headers
        assert not {"traceparent", "x-cloud-trace-context"} & set(sent)
        assert trace_id not in json.dumps(sent)

        receiver.answers[f"/{CUSTOMERS}"] = [500]
        last = post(system, application, endpoint)
        system.stop(signal.SIGTERM)
        failed = spans_of(traces, last)["attempt"]
        assert failed.status.code == failed.status.STATUS_CODE_ERROR
        assert attributes(failed)["error.type"] == "500"
        assert spans_of(traces, not_sampled) == {}
        for span in traces.spans:
            assert CUSTOMERS not in str(span), span.name
            assert "127.0.0.1" not in str(span), span.name


def test_messages_are_delivered_while_the_trace_receiver_is_down_and_what_is_lost_is_logged(
    tmp_path: Path, receiver: Receiver
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/v1/traces"
    with running(tmp_path, TRACE_EXPORT=nobody, TRACE_SAMPLE_RATE="0") as system:
        application, endpoint = add_endpoint(system, receiver.url)
        for _ in range(3):
            post(system, application, endpoint)
        assert wait_until(lambda: lines(system, "spans were not exported: URLError"), 60)
    assert len(receiver.requests) == 3
    assert not lines(system, "Traceback")
