"""What attempts do to their endpoint, with a real receiver."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.applications import health
from apps.applications.models import Endpoint
from apps.applications.routing import Route
from apps.applications.signals import endpoint_disabled
from apps.core.snapshots import change
from apps.deliveries import replay
from apps.deliveries.accept import Draft, accept
from apps.deliveries.models import Delivery, Message
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("datastore", "private_endpoints")]

type AddEndpoint = Callable[..., Endpoint]
type RouteOf = Callable[[], Route]

DRAFT = Draft(event_type="invoice.paid", payload=b"{}")
LONG_AGO = timedelta(days=5, seconds=1)


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    """What the signal said."""
    heard: list[dict[str, Any]] = []

    def hear(**said: Any) -> None:
        heard.append({name: said[name] for name in ("application_id", "endpoint_id", "reason")})

    endpoint_disabled.connect(hear)
    yield heard
    endpoint_disabled.disconnect(hear)


@pytest.fixture
def two_attempts(settings: Any) -> None:
    settings.WAYBILL_RETRY_SCHEDULE = [timedelta(0), timedelta(seconds=5)]


def status_of(message: Message, endpoint: Endpoint) -> str:
    return str(Delivery.key_of(message.application_id, message.message_id, endpoint.pk).get().status)


def later(**by: int) -> datetime:
    return datetime.now(UTC) + timedelta(**by)


def failing_for(endpoint: Endpoint, age: timedelta) -> None:
    Endpoint.objects.filter(pk=endpoint.pk).update(failing_since=timezone.now() - age, suspect_until=None)


def test_410_disables_the_endpoint_at_once_and_holds_what_is_pending(
    add_endpoint: AddEndpoint,
    route_of: RouteOf,
    receiver: Receiver,
    tasks: DrainingBackend,
    told: list[dict[str, Any]],
) -> None:
    other, endpoint = add_endpoint(f"{receiver.url}/other"), add_endpoint(f"{receiver.url}/gone")
    receiver.answers["/gone"] = [500, 410]
    first, second = accept(route_of(), DRAFT), accept(route_of(), DRAFT)
    tasks.drain()
    endpoint.refresh_from_db()
    other.refresh_from_db()
    assert (endpoint.disabled, other.disabled) == (True, False)
    assert told == [
        {"application_id": endpoint.application_id, "endpoint_id": endpoint.pk, "reason": health.GONE}
    ]
    third = accept(route_of(), DRAFT)
    tasks.drain(now=later(days=2))
    assert receiver.paths().count("/gone") == 2, "nothing is sent to it any more"
    assert [status_of(one, endpoint) for one in (first, second, third)] == [Delivery.HELD] * 3
    assert [status_of(one, other) for one in (first, second, third)] == [Delivery.DELIVERED] * 3


def test_what_was_held_is_sent_when_somebody_asks_for_it(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    endpoint = add_endpoint(f"{receiver.url}/gone")
    receiver.answers["/gone"] = [410]
    message = accept(route_of(), DRAFT)
    tasks.drain(now=later(days=1))
    assert status_of(message, endpoint) == Delivery.HELD
    with change(endpoint.application):
        Endpoint.objects.update(disabled=False)
    replay.resend(route_of(), message, endpoint.pk)
    tasks.drain()
    assert status_of(message, endpoint) == Delivery.DELIVERED


def test_a_410_of_the_url_before_does_not_disable_the_one_that_took_its_place(
    add_endpoint: AddEndpoint, route_of: RouteOf
) -> None:
    endpoint = add_endpoint("https://example.com/gone")
    before = route_of().destination(endpoint.pk)
    assert before
    Endpoint.objects.update(url="https://example.com/new")
    health.gone(endpoint.application_id, before)
    endpoint.refresh_from_db()
    assert not endpoint.disabled


@pytest.mark.usefixtures("two_attempts")
@pytest.mark.parametrize(
    ("age", "disabled"), [(None, False), (timedelta(days=4, hours=23), False), (LONG_AGO, True)]
)
def test_an_endpoint_is_disabled_when_a_message_is_exhausted_and_all_failed_for_five_days(
    add_endpoint: AddEndpoint,
    route_of: RouteOf,
    receiver: Receiver,
    tasks: DrainingBackend,
    told: list[dict[str, Any]],
    age: timedelta | None,
    disabled: bool,
) -> None:
    endpoint = add_endpoint(f"{receiver.url}/dead")
    receiver.answers["/dead"] = [500, 500]
    if age:
        failing_for(endpoint, age)
    message = accept(route_of(), DRAFT)
    tasks.drain()
    endpoint.refresh_from_db()
    assert not endpoint.disabled, "the message has an attempt left"
    tasks.drain(now=later(minutes=1))
    endpoint.refresh_from_db()
    assert (status_of(message, endpoint), endpoint.disabled) == (Delivery.FAILED, disabled)
    assert [one["reason"] for one in told] == ([health.FAILING] if disabled else [])


@pytest.mark.usefixtures("two_attempts")
def test_one_success_in_the_five_days_is_enough(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    endpoint = add_endpoint(f"{receiver.url}/dead")
    failing_for(endpoint, LONG_AGO)
    receiver.answers["/dead"] = [200, 500, 500]
    for _ in range(2):
        accept(route_of(), DRAFT)
        tasks.drain(now=later(minutes=1))
    endpoint.refresh_from_db()
    assert len(receiver.requests) == 3
    assert not endpoint.disabled
    assert endpoint.failing_since is not None
    assert endpoint.failing_since > timezone.now() - timedelta(minutes=5), "it began anew"


@pytest.mark.usefixtures("two_attempts")
def test_a_manual_attempt_that_fails_exhausts_nothing(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    endpoint = add_endpoint(f"{receiver.url}/dead")
    receiver.answers["/dead"] = [500] * 3
    message = accept(route_of(), DRAFT)
    tasks.drain(now=later(minutes=1))
    failing_for(endpoint, LONG_AGO)
    replay.resend(route_of(), message, endpoint.pk)
    tasks.drain()
    endpoint.refresh_from_db()
    assert len(receiver.requests) == 3
    assert not endpoint.disabled


def test_who_is_told_and_fails_does_not_undo_it(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("the mail server is down")

    endpoint = add_endpoint(f"{receiver.url}/gone")
    receiver.answers["/gone"] = [410]
    accept(route_of(), DRAFT)
    endpoint_disabled.connect(fail)
    tasks.drain()
    endpoint_disabled.disconnect(fail)
    endpoint.refresh_from_db()
    assert endpoint.disabled
