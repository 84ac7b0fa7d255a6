import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import google.auth
import pytest
from google.oauth2.credentials import Credentials
from opentelemetry.trace import SpanKind, StatusCode

from apps.appengine.local.preflight import free_port
from apps.appengine.spans import sender
from apps.appengine.spans.sender import Sender
from apps.appengine.spans.tracer import Tracer
from tests.architecture.repository import ROOT
from tests.otlp_receiver import OtlpReceiver, attributes, receiving


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with receiving() as running:
        yield running


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(sender, "EVERY_S", 0.2)
    caplog.set_level(logging.INFO)


def tracer_to(url: str) -> tuple[Tracer, Sender]:
    kept = Sender(url, {"service.name": "default", "gcp.project_id": "some-project"})
    return Tracer(kept.add, rate=1.0), kept


def lost(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """What was said about lost spans: how many, why."""
    return [(one.lost, one.why) for one in caplog.records if getattr(one, "event", "") == "spans"]  # type: ignore[attr-defined]


def test_a_span_arrives_as_it_was(receiver: OtlpReceiver) -> None:
    tracer, kept = tracer_to(receiver.url)
    with (
        tracer.start_as_current_span("outer") as outer,
        tracer.start_as_current_span(
            "inner",
            kind=SpanKind.CLIENT,
            attributes={"text": "a", "number": 3, "yes": True, "part": 0.5, "many": ["x", "y"]},
        ) as inner,
    ):
        inner.add_event("halfway", {"n": 1})
        inner.set_status(StatusCode.ERROR)
    kept.close()

    found, parent = receiver.named("inner"), receiver.named("outer")
    assert found.trace_id == parent.trace_id == outer.get_span_context().trace_id.to_bytes(16)
    assert (found.parent_span_id, parent.parent_span_id) == (parent.span_id, b"")
    assert found.kind == found.SPAN_KIND_CLIENT
    assert parent.kind == parent.SPAN_KIND_INTERNAL
    assert (found.status.code, parent.status.code) == (2, 0)
    assert found.flags & 1
    assert parent.start_time_unix_nano <= found.start_time_unix_nano <= found.end_time_unix_nano
    assert abs(found.end_time_unix_nano / 1e9 - time.time()) < 600
    many = attributes(found).pop("many")
    assert [one.string_value for one in many.values] == ["x", "y"]
    assert attributes(found) | {"many": 0} == {"text": "a", "number": 3, "yes": True, "part": 0.5, "many": 0}
    assert [event.name for event in found.events] == ["halfway"]
    (_, headers, message) = receiver.calls[0]
    assert headers["content-type"] == "application/x-protobuf"
    assert "authorization" not in headers
    assert attributes(message.resource_spans[0].resource)["gcp.project_id"] == "some-project"


def test_spans_that_end_together_go_in_one_call_and_calls_keep_their_distance(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "EVERY_S", 1.0)
    tracer, kept = tracer_to(receiver.url)
    for number in range(300):
        tracer.start_span(f"first {number}").end()
    receiver.wait_for(lambda: len(receiver.spans) == 300)
    tracer.start_span("second").end()
    receiver.wait_for(lambda: len(receiver.spans) == 301)
    kept.close()

    assert len(receiver.calls) == 2
    assert receiver.calls[1][0] - receiver.calls[0][0] > 0.9


def test_who_ends_a_span_does_not_wait_for_a_receiver_that_hangs(receiver: OtlpReceiver) -> None:
    receiver.go.clear()
    tracer, kept = tracer_to(receiver.url)
    tracer.start_span("first").end()
    receiver.wait_for(lambda: receiver.calls)
    for _ in range(100):
        tracer.start_span("while the call hangs").end()
    assert len(kept.waiting) == 100
    receiver.go.set()
    kept.close()
    assert len(receiver.spans) == 101


def test_a_receiver_that_is_down_loses_spans_which_are_counted_and_nothing_is_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracer, kept = tracer_to(f"http://127.0.0.1:{free_port()}/v1/traces")
    for _ in range(3):
        tracer.start_span("one").end()
    kept.close()
    assert lost(caplog) == [(3, "URLError")]


def test_a_call_that_is_refused_loses_its_spans_and_the_next_one_is_made(
    receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [403]
    tracer, kept = tracer_to(receiver.url)
    tracer.start_span("one").end()
    receiver.wait_for(lambda: receiver.calls)
    tracer.start_span("two").end()
    receiver.wait_for(lambda: len(receiver.calls) == 2)
    kept.close()
    assert lost(caplog) == [(1, "HTTP 403")]


def test_spans_that_a_successful_call_rejects_are_counted(
    receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.rejects = 2
    tracer, kept = tracer_to(receiver.url)
    tracer.start_span("one").end()
    kept.close()
    assert lost(caplog) == [(2, "rejected")]


def test_no_more_wait_than_agreed_and_the_rest_is_counted(
    receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "MOST_WAITING", 10)
    monkeypatch.setattr(sender, "EVERY_S", 60.0)
    tracer, kept = tracer_to(receiver.url)
    for _ in range(25):
        tracer.start_span("one").end()
    kept.close()
    assert len(receiver.spans) == 10
    assert lost(caplog) == [(15, "too many wait")]


def test_what_is_lost_is_told_once_a_minute_at_most(
    receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [500] * 4
    tracer, kept = tracer_to(receiver.url)
    for number in range(4):
        tracer.start_span("one").end()
        receiver.wait_for(lambda number=number: len(receiver.calls) == number + 1)
    kept.close()
    assert lost(caplog)[0] == (1, "HTTP 500")
    assert sum(count for count, _ in lost(caplog)) == 4
    assert len(lost(caplog)) == 2, "the first, and at the end"


def test_the_end_of_the_process_waits_for_a_receiver_that_hangs_no_longer_than_agreed(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "LAST_CALL_S", 0.5)
    receiver.go.clear()
    tracer, kept = tracer_to(receiver.url)
    tracer.start_span("one").end()
    closing = threading.Thread(target=kept.close)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()


FORKS = """
import os, sys
from opentelemetry import trace
from apps.appengine.spans.install import install
install(sys.argv[1], 1.0, "some-project")
tracer = trace.get_tracer("")
tracer.start_span("of the parent").end()
child = os.fork()
tracer.start_span("of the child" if not child else "of the parent, later").end()
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_process_sends_its_own_spans_and_both_send_the_last_ones_when_they_end(
    receiver: OtlpReceiver,
) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKS, receiver.url], cwd=ROOT, check=True)
    names = ["of the child", "of the parent", "of the parent, later"]
    assert sorted(span.name for span in receiver.spans) == names


def test_google_gets_a_token_of_the_service_account_and_nobody_else_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def default(scopes: list[str]) -> tuple[Credentials, str]:
        asked.append(scopes)
        return Credentials("a-token"), "some-project"  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", default)
    to_google = Sender("https://telemetry.googleapis.com/v1/traces", {})
    assert to_google._authorization()["authorization"] == "Bearer a-token"
    assert asked == [["https://www.googleapis.com/auth/trace.append"]]
    for url in ("http://localhost:4318/v1/traces", "https://googleapis.com.example/v1/traces"):
        assert Sender(url, {})._authorization() == {}
