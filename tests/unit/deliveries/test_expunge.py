"""Content that is expunged is gone everywhere, and what is left is true."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from apps.applications.models import Endpoint
from apps.applications.routing import Route
from apps.core.cursors import Cursor
from apps.deliveries import expunge, lists, payloads, replay
from apps.deliveries.accept import Draft, accept
from apps.deliveries.models import Attempt, Delivery, Message
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("datastore", "private_endpoints")]


@pytest.fixture
def endpoint(add_endpoint: Callable[..., Endpoint], receiver: Receiver) -> Endpoint:
    return add_endpoint(f"{receiver.url}/a")


def attempts_of(message: Message) -> list[Attempt]:
    cursor, window = Cursor(), lists.Window()
    return list(lists.attempts_of_message(message.application_id, message.message_id, cursor, window).items)


@pytest.mark.parametrize("size", [2, payloads.LARGEST_IN_ENTITY + 1], ids=["in the entity", "in storage"])
def test_an_expunged_payload_is_nowhere_any_more(
    route_of: Callable[[], Route], endpoint: Endpoint, size: int
) -> None:
    message = accept(route_of(), Draft(event_type="a", payload=b"x" * size))
    for _ in range(2):
        expunge.message_content(message)
        stored = message.key.get()
        assert (stored.payload, stored.expunged) == (None, True)
        with pytest.raises(payloads.Expunged):
            payloads.read(stored)
        assert not message.payload_file or not payloads.storage().exists(message.payload_file)


def test_what_waits_for_an_attempt_is_cancelled_and_nothing_is_sent(
    route_of: Callable[[], Route], endpoint: Endpoint, receiver: Receiver, tasks: DrainingBackend
) -> None:
    receiver.answers["/a"] = [500]
    message = accept(route_of(), Draft(event_type="a", payload=b"{}"))
    tasks.drain()
    expunge.message_content(message)
    tasks.drain(now=datetime.now(UTC) + timedelta(hours=1))
    assert len(receiver.requests) == 1
    delivery = Delivery.key_of(message.application_id, message.message_id, endpoint.pk).get()
    assert (delivery.status, delivery.due) == (Delivery.CANCELLED, None)


def test_an_expunged_message_is_not_sent_again(
    route_of: Callable[[], Route], endpoint: Endpoint, receiver: Receiver, tasks: DrainingBackend
) -> None:
    message = accept(route_of(), Draft(event_type="a", payload=b"{}"))
    tasks.drain()
    replay.resend(route_of(), message, endpoint.pk)  # still in its queue when the payload goes
    expunge.message_content(message)
    tasks.drain()
    assert len(receiver.requests) == 1
    with pytest.raises(payloads.Expunged):
        replay.resend(route_of(), message.key.get(), endpoint.pk)


def test_an_expunged_answer_leaves_how_the_attempt_went(
    route_of: Callable[[], Route], endpoint: Endpoint, tasks: DrainingBackend
) -> None:
    message = accept(route_of(), Draft(event_type="a", payload=b"{}"))
    tasks.drain()
    (attempt,) = attempts_of(message)
    assert attempt.response == "ok"
    for _ in range(2):
        expunge.attempt_content(attempt)
        (left,) = attempts_of(message)
        assert (left.response, left.status_code, left.succeeded) == ("", 200, True)
