from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.api_core.exceptions import GoogleAPICallError

from apps.appengine import ndb_context
from apps.applications.models import Endpoint
from apps.applications.routing import Route
from apps.core.cursors import Cursor
from apps.deliveries import lists
from apps.deliveries.accept import Draft, DuplicateEventId, accept
from apps.deliveries.models import Delivery, EventIdRecord, IdempotencyRecord, Message
from apps.deliveries.sweep import sweep
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend
from tests.wire import Wire

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("private_endpoints")]

type AddEndpoint = Callable[..., Endpoint]
type RouteOf = Callable[[], Route]


def draft(**fields: Any) -> Draft:
    return Draft(**{"event_type": "invoice.paid", "payload": b"{}", **fields})


def stored(route: Route) -> list[Message]:
    return list(lists.messages(route.application_id, Cursor(250), lists.Window()).items)


@pytest.fixture
def broken_queue(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """No task can be created until it is called."""
    real = DrainingBackend.enqueue

    def refuse(*_: Any) -> None:
        raise RuntimeError("Cloud Tasks does not answer")

    monkeypatch.setattr(DrainingBackend, "enqueue", refuse)
    return lambda: monkeypatch.setattr(DrainingBackend, "enqueue", real)


@pytest.mark.usefixtures("datastore")
def test_invariant_1_a_message_whose_task_could_not_be_queued_is_delivered_by_the_sweep(
    add_endpoint: AddEndpoint,
    route_of: RouteOf,
    receiver: Receiver,
    tasks: DrainingBackend,
    broken_queue: Callable[[], None],
) -> None:
    add_endpoint(receiver.url)
    message = accept(route_of(), draft())
    broken_queue()
    tasks.drain()
    assert receiver.requests == [], "without the sweep it stays where it is"
    sweep(message.created_at + timedelta(minutes=2))
    tasks.drain()
    assert [request.headers["webhook-id"] for request in receiver.requests] == [message.message_id]


@pytest.mark.usefixtures("datastore")
def test_invariant_1_a_client_that_retries_with_its_key_has_the_message_queued_again(
    add_endpoint: AddEndpoint,
    route_of: RouteOf,
    receiver: Receiver,
    tasks: DrainingBackend,
    broken_queue: Callable[[], None],
) -> None:
    add_endpoint(receiver.url)
    first = accept(route_of(), draft(idempotency_digest="key"))
    broken_queue()
    second = accept(route_of(), draft(idempotency_digest="key"))
    tasks.drain()
    assert first.message_id == second.message_id
    assert len(receiver.requests) == 1


def test_invariant_1_a_commit_whose_answer_is_lost_makes_one_message(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend, wire: Wire
) -> None:
    add_endpoint(receiver.url)
    wire.commit_faults = [("after", grpc.StatusCode.UNAVAILABLE)]
    message = accept(route_of(), draft(event_id="once", idempotency_digest="key"))
    tasks.drain()
    assert [request.headers["webhook-id"] for request in receiver.requests] == [message.message_id]
    assert [one.message_id for one in stored(route_of())] == [message.message_id]


def test_a_datastore_that_does_not_answer_accepts_nothing(
    add_endpoint: AddEndpoint, route_of: RouteOf, tasks: DrainingBackend, wire: Wire
) -> None:
    add_endpoint("http://127.0.0.1:9/")
    wire.commit_faults = [("before", grpc.StatusCode.UNAVAILABLE)] * 2
    with pytest.raises(GoogleAPICallError):
        accept(route_of(), draft())
    assert tasks.queued == []
    assert stored(route_of()) == []


def at_once(count: int, call: Callable[[], Message]) -> list[Message | Exception]:
    """The outcomes of `count` calls made at the same time."""

    def one(_: int) -> Message | Exception:
        with ndb_context.use():
            try:
                return call()
            except DuplicateEventId as error:
                return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.mark.usefixtures("datastore")
def test_invariant_3_the_same_idempotency_key_at_the_same_instant_makes_one_message(
    add_endpoint: AddEndpoint, route_of: RouteOf
) -> None:
    add_endpoint("http://127.0.0.1:9/")
    route = route_of()
    made = at_once(20, lambda: accept(route, draft(idempotency_digest="key")))
    assert len({one.message_id for one in made if isinstance(one, Message)}) == 1
    assert len(stored(route)) == 1


@pytest.mark.usefixtures("datastore")
def test_invariant_3_the_same_event_id_at_the_same_instant_makes_one_message(
    add_endpoint: AddEndpoint, route_of: RouteOf
) -> None:
    add_endpoint("http://127.0.0.1:9/")
    route = route_of()
    made = at_once(20, lambda: accept(route, draft(event_id="once")))
    assert sum(isinstance(one, DuplicateEventId) for one in made) == 19
    assert len(stored(route)) == 1


@pytest.mark.usefixtures("datastore")
def test_a_client_retry_with_key_and_event_id_is_no_conflict(route_of: RouteOf) -> None:
    fields = {"event_id": "once", "idempotency_digest": "key"}
    first, second = (accept(route_of(), draft(**fields)) for _ in "ab")
    assert first.message_id == second.message_id


@pytest.mark.usefixtures("datastore")
@pytest.mark.parametrize("kind", [IdempotencyRecord, EventIdRecord])
def test_a_record_that_has_expired_but_is_not_deleted_yet_is_replaced(
    route_of: RouteOf, kind: type[IdempotencyRecord | EventIdRecord]
) -> None:
    fields = {"idempotency_digest": "key"} if kind is IdempotencyRecord else {"event_id": "key"}
    route = route_of()
    first = accept(route, draft(**fields))
    record = kind.key_of(route.application_id, "key").get()
    record.expires_at = datetime.now(UTC) - timedelta(seconds=1)
    record.put()
    second = accept(route, draft(**fields))
    assert first.message_id != second.message_id
    assert len(stored(route)) == 2
    assert kind.key_of(route.application_id, "key").get().message_id == second.message_id


@pytest.mark.usefixtures("datastore")
def test_an_endpoint_receives_the_event_types_and_channels_it_asked_for(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    add_endpoint(f"{receiver.url}/all")
    add_endpoint(f"{receiver.url}/paid", event_types=["invoice.paid"])
    add_endpoint(f"{receiver.url}/failed", event_types=["invoice.failed"])
    add_endpoint(f"{receiver.url}/channel", channels=["a", "b"])
    accept(route_of(), draft())
    accept(route_of(), draft(channels=["b", "c"]))
    tasks.drain()
    assert sorted(receiver.paths()) == ["/all", "/all", "/channel", "/paid", "/paid"]


@pytest.mark.usefixtures("datastore")
def test_a_message_for_a_disabled_endpoint_is_held(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    endpoint = add_endpoint(receiver.url, disabled=True)
    message = accept(route_of(), draft())
    tasks.drain()
    sweep(message.created_at + timedelta(days=1))
    tasks.drain()
    assert receiver.requests == []
    delivery = Delivery.key_of(message.application_id, message.message_id, endpoint.pk).get()
    assert delivery.status == Delivery.HELD


@pytest.mark.usefixtures("datastore")
def test_a_first_delay_in_the_schedule_is_waited_for(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend, settings: Any
) -> None:
    settings.WAYBILL_RETRY_SCHEDULE = [timedelta(minutes=1)]
    add_endpoint(receiver.url)
    message = accept(route_of(), draft())
    tasks.drain(now=message.created_at + timedelta(seconds=59))
    assert receiver.requests == []
    tasks.drain(now=message.created_at + timedelta(seconds=61))
    assert len(receiver.requests) == 1
