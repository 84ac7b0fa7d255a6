"""A message's way, from accept to the recorded attempt, against a real Datastore and a real receiver."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from apps.applications.models import Endpoint
from apps.applications.routing import Route
from apps.core.cursors import Cursor
from apps.core.snapshots import change
from apps.deliveries import lists
from apps.deliveries.accept import Draft, DuplicateEventId, accept
from apps.deliveries.models import Attempt, Delivery, Message
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("datastore", "private_endpoints")]


def draft(**fields: Any) -> Draft:
    return Draft(**{"event_type": "invoice.paid", "payload": b'{"n":1}', **fields})


def attempts_of(message: Message) -> list[Attempt]:
    return list(
        lists.attempts_of_message(message.application_id, message.message_id, Cursor(), lists.Window()).items
    )


def test_a_message_is_signed_sent_and_recorded(
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    receiver: Receiver,
    tasks: DrainingBackend,
) -> None:
    endpoint = add_endpoint(f"{receiver.url}/a")
    message = accept(route_of(), draft())
    tasks.drain()
    (request,) = receiver.requests
    assert Webhook(endpoint.signing_secret).verify(request.body, request.headers) == {"n": 1}
    assert request.headers["webhook-id"] == message.message_id
    (attempt,) = attempts_of(message)
    assert (attempt.status_code, attempt.response, attempt.number, attempt.trigger) == (
        200,
        "ok",
        1,
        "scheduled",
    )
    delivery = Delivery.key_of(message.application_id, message.message_id, endpoint.pk).get()
    assert (delivery.status, delivery.due, delivery.next_attempt_at) == ("delivered", None, None)


def test_a_failing_endpoint_is_tried_again_by_the_schedule_until_it_answers_2xx(
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    receiver: Receiver,
    tasks: DrainingBackend,
) -> None:
    add_endpoint(f"{receiver.url}/a")
    receiver.answers["/a"] = [500, 503]
    message = accept(route_of(), draft())
    tasks.drain()
    assert len(receiver.requests) == 1
    tasks.drain(now=datetime.now(UTC) + timedelta(seconds=7))
    assert len(receiver.requests) == 2
    tasks.drain(now=datetime.now(UTC) + timedelta(seconds=370))
    assert [a.status_code for a in attempts_of(message)] == [200, 503, 500]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1


def test_an_exhausted_schedule_fails_the_delivery(
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    receiver: Receiver,
    tasks: DrainingBackend,
    settings: Any,
) -> None:
    settings.WAYBILL_RETRY_SCHEDULE = [timedelta(0), timedelta(seconds=1)]
    endpoint = add_endpoint(f"{receiver.url}/a")
    receiver.answers["/a"] = [500, 500, 500]
    message = accept(route_of(), draft())
    tasks.drain(now=datetime.now(UTC) + timedelta(hours=1))
    assert len(receiver.requests) == 2
    delivery = Delivery.key_of(message.application_id, message.message_id, endpoint.pk).get()
    assert (delivery.status, delivery.due) == ("failed", None)


def test_deliveries_and_attempts_bear_what_lists_filter_by(
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    receiver: Receiver,
    tasks: DrainingBackend,
) -> None:
    endpoint = add_endpoint(f"{receiver.url}/a")
    receiver.answers["/a"] = [404]
    message = accept(route_of(), draft(channels=["red", "blue"], tags=["vip"]))
    of_message = ["type:invoice.paid", "channel:red", "channel:blue", "tag:vip"]
    key = Delivery.key_of(message.application_id, message.message_id, endpoint.pk)
    assert (message.facets, key.get().facets) == (of_message, [*of_message, "status:sending"])
    tasks.drain()
    assert key.get().facets == [*of_message, "status:pending"]
    tasks.drain(now=datetime.now(UTC) + timedelta(seconds=7))
    assert key.get().facets == [*of_message, "status:success"]
    assert [one.facets[4:] for one in attempts_of(message)] == [
        [f"endpoint:{endpoint.pk}", "status:success", "class:200"],
        [f"endpoint:{endpoint.pk}", "status:fail", "class:400"],
    ]


@pytest.mark.parametrize(
    ("gone", "status"), [(False, "status:fail"), (True, "status:canceled")], ids=["disabled", "deleted"]
)
def test_a_delivery_that_is_set_aside_says_so_to_lists(
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    tasks: DrainingBackend,
    gone: bool,
    status: str,
) -> None:
    endpoint = add_endpoint("http://127.0.0.1:1/")
    message = accept(route_of(), draft())
    with change(endpoint.application):
        rows = Endpoint.objects.filter(pk=endpoint.pk)
        rows.delete() if gone else rows.update(disabled=True)
    tasks.drain()
    delivery = Delivery.key_of(message.application_id, message.message_id, endpoint.pk).get()
    assert delivery.facets == ["type:invoice.paid", status]


def test_the_same_event_id_is_a_conflict(
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    receiver: Receiver,
    tasks: DrainingBackend,
) -> None:
    add_endpoint(f"{receiver.url}/a")
    accept(route_of(), draft(event_id="e1"))
    with pytest.raises(DuplicateEventId):
        accept(route_of(), draft(event_id="e1"))
    tasks.drain()
    assert len(receiver.requests) == 1


def test_the_same_idempotency_key_returns_the_first_message(
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    receiver: Receiver,
    tasks: DrainingBackend,
) -> None:
    add_endpoint(f"{receiver.url}/a")
    first = accept(route_of(), draft(idempotency_digest="d"))
    second = accept(route_of(), draft(idempotency_digest="d"))
    tasks.drain()
    assert first.message_id == second.message_id
    assert len(receiver.requests) == 1


def test_a_stale_task_sends_nothing(
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    receiver: Receiver,
    tasks: DrainingBackend,
) -> None:
    add_endpoint(f"{receiver.url}/a")
    accept(route_of(), draft())
    tasks.queued.append(tasks.queued[0])
    tasks.drain()
    assert len(receiver.requests) == 1


def test_invariant_2_a_stale_task_sends_nothing_while_the_delivery_still_waits_for_its_retry(
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    receiver: Receiver,
    tasks: DrainingBackend,
) -> None:
    add_endpoint(f"{receiver.url}/a")
    receiver.answers["/a"] = [500, 500]
    accept(route_of(), draft())
    tasks.drain()
    tasks.queued.append(tasks.queued[0])  # Cloud Tasks runs the retry twice
    tasks.drain(now=datetime.now(UTC) + timedelta(seconds=10))
    assert len(receiver.requests) == 2, "the third is planned for minutes later"


def test_a_payload_too_large_for_an_entity_is_delivered_from_storage(
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    receiver: Receiver,
    tasks: DrainingBackend,
) -> None:
    add_endpoint(f"{receiver.url}/a")
    body = json.dumps({"pad": "x" * 1_000_000}).encode()
    message = accept(route_of(), draft(payload=body))
    assert message.payload is None
    tasks.drain()
    assert receiver.requests[0].body == body
