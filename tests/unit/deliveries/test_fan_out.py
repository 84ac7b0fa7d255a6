import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from threading import Event
from typing import Any

import pytest
from django.utils import timezone

from apps.applications.models import Endpoint
from apps.applications.routing import Route
from apps.core.cursors import Cursor
from apps.deliveries import attempt as attempts
from apps.deliveries import fan_out as fan_out_module
from apps.deliveries import lists, transport
from apps.deliveries.accept import Draft, accept
from apps.deliveries.models import Message
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("datastore", "private_endpoints")]

type AddEndpoint = Callable[..., Endpoint]
type RouteOf = Callable[[], Route]

DRAFT = Draft(event_type="invoice.paid", payload=b"{}")


def recorded(message: Message) -> list[int]:
    page = lists.attempts_of_message(message.application_id, message.message_id, Cursor(), lists.Window())
    return sorted(one.status_code for one in page.items)


def test_a_message_to_more_endpoints_than_one_task_serves_reaches_them_all(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    for number in range(23):
        add_endpoint(f"{receiver.url}/{number}")
    message = accept(route_of(), DRAFT)
    assert len(tasks.queued) == 1
    ran = tasks.drain()
    assert sorted(receiver.paths(), key=lambda path: int(path[1:])) == [f"/{n}" for n in range(23)]
    assert len(ran) == 1 + 3
    assert recorded(message) == [200] * 23


def test_invariant_5_what_is_quick_is_recorded_while_what_is_slow_still_runs(
    add_endpoint: AddEndpoint,
    route_of: RouteOf,
    receiver: Receiver,
    tasks: DrainingBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fan_out_module, "SLOW_MS", 300)
    seen_while_slow: list[int] = []
    release = Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        release.wait(5)
        handler.send_response(200)
        handler.send_header("content-length", "0")
        handler.end_headers()

    real = fan_out_module.finish

    def finish(message: Message, sendings: Any) -> None:
        real(message, sendings)
        seen_while_slow.append(len(recorded(message)))
        release.set()

    monkeypatch.setattr(fan_out_module, "finish", finish)
    add_endpoint(f"{receiver.url}/quick")
    slow_endpoint = add_endpoint(f"{receiver.url}/slow")
    receiver.answers["/slow"] = [slow]
    accept(route_of(), DRAFT)
    tasks.drain()
    assert seen_while_slow == [1, 2]
    slow_endpoint.refresh_from_db()
    assert slow_endpoint.suspect_until
    assert slow_endpoint.suspect_until > timezone.now()


def test_invariant_5_a_suspect_endpoint_is_attempted_from_a_queue_of_its_own(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    add_endpoint(f"{receiver.url}/healthy")
    add_endpoint(f"{receiver.url}/suspect", suspect_until=timezone.now() + timedelta(minutes=3))
    accept(route_of(), DRAFT)
    queued, _ = tasks.queued[0]
    assert queued.task.queue_name == "deliveries"
    ran = tasks.drain()
    assert [(one.task.name, one.task.queue_name) for one in ran] == [
        ("fan_out", "deliveries"),
        ("attempt", "suspects"),
    ]
    assert receiver.paths() == ["/healthy", "/suspect"]


def test_invariant_5_a_failure_makes_an_endpoint_suspect(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    failing, healthy = add_endpoint(f"{receiver.url}/failing"), add_endpoint(f"{receiver.url}/healthy")
    receiver.answers["/failing"] = [500]
    accept(route_of(), DRAFT)
    tasks.drain()
    failing.refresh_from_db()
    healthy.refresh_from_db()
    assert failing.suspect_until is not None
    assert healthy.suspect_until is None


def test_invariant_5_an_endpoint_takes_no_more_than_its_share_of_requests_in_flight(
    add_endpoint: AddEndpoint,
    route_of: RouteOf,
    receiver: Receiver,
    tasks: DrainingBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fan_out_module, "CALM_IN_FLIGHT", 0)
    monkeypatch.setattr(attempts, "SUSPECTS_IN_FLIGHT", 0)
    add_endpoint(receiver.url)
    accept(route_of(), DRAFT)
    now = datetime.now(UTC)
    assert [one.task.name for one in tasks.drain(now=now)] == ["fan_out", "attempt"]
    (put_off, _) = tasks.queued[0]
    assert put_off.task.run_after > now, "it waits without a thread"
    monkeypatch.setattr(attempts, "SUSPECTS_IN_FLIGHT", 1)
    tasks.drain(now=now + timedelta(seconds=5))
    assert len(receiver.requests) == 1


def test_invariant_5_a_dripping_endpoint_ends_at_the_deadline(
    add_endpoint: AddEndpoint,
    route_of: RouteOf,
    receiver: Receiver,
    tasks: DrainingBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "1000")
        handler.end_headers()
        try:
            for _ in range(100):
                handler.wfile.write(b".")
                time.sleep(0.1)
        except OSError:
            return

    monkeypatch.setattr(transport, "DEADLINE_S", 0.5)
    add_endpoint(f"{receiver.url}/drip")
    receiver.answers["/drip"] = [drip]
    message = accept(route_of(), DRAFT)
    started = time.monotonic()
    tasks.drain()
    assert time.monotonic() - started < 5
    assert recorded(message) == [0]
