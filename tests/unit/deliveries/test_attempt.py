from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import grpc
import pytest
from django.db import connection
from standardwebhooks import Webhook

from apps.appengine import ndb_context
from apps.appengine.tasks.body import Body
from apps.appengine.tasks.exceptions import TaskNotCreated
from apps.applications.models import Endpoint
from apps.applications.routing import Route
from apps.core.cursors import Cursor
from apps.core.snapshots import change
from apps.deliveries import attempt as attempts
from apps.deliveries import lists, replay
from apps.deliveries.accept import Draft, accept
from apps.deliveries.models import Attempt, Delivery, Message
from apps.deliveries.sweep import sweep
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend, TaskFailedError
from tests.wire import Wire

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("private_endpoints")]

type AddEndpoint = Callable[..., Endpoint]
type RouteOf = Callable[[], Route]

DRAFT = Draft(event_type="invoice.paid", payload=b"{}")


def recorded(message: Message) -> list[Attempt]:
    """The message's attempts, oldest first."""
    page = lists.attempts_of_message(message.application_id, message.message_id, Cursor(), lists.Window())
    return list(page.items)[::-1]


def delivery_of(message: Message, endpoint: Endpoint) -> Delivery:
    delivery: Delivery = Delivery.key_of(message.application_id, message.message_id, endpoint.pk).get()
    return delivery


@pytest.mark.usefixtures("datastore")
def test_invariant_2_a_task_that_runs_twice_at_once_makes_two_attempts_with_numbers_of_their_own(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    endpoint = add_endpoint(receiver.url)
    message = accept(route_of(), DRAFT)
    # Both runs have read the delivery before either has recorded: each sends, and each is recorded.
    jobs = [
        attempts.due_jobs(route_of().application_id, message.message_id, [endpoint.pk], 0)[0] for _ in "ab"
    ]
    for job in jobs:
        sending = attempts.send(job, b"{}", 10)
        assert sending
        attempts.finish(message, [sending])
    assert [one.number for one in recorded(message)] == [1, 2]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert delivery_of(message, endpoint).status == Delivery.DELIVERED


@pytest.mark.usefixtures("datastore")
def test_invariant_2_a_late_failure_does_not_undo_a_delivery(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    endpoint = add_endpoint(f"{receiver.url}/a")
    receiver.answers["/a"] = [200, 500]
    message = accept(route_of(), DRAFT)
    jobs = [
        attempts.due_jobs(route_of().application_id, message.message_id, [endpoint.pk], 0)[0] for _ in "ab"
    ]
    for job in jobs:
        sending = attempts.send(job, b"{}", 10)
        assert sending
        attempts.finish(message, [sending])
    assert [one.status_code for one in recorded(message)] == [200, 500]
    assert delivery_of(message, endpoint).status == Delivery.DELIVERED
    tasks.drain(now=datetime.now(UTC) + timedelta(days=1))
    assert len(receiver.requests) == 2


def test_invariant_2_a_commit_whose_answer_is_lost_records_the_attempt_once(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend, wire: Wire
) -> None:
    endpoint = add_endpoint(receiver.url)
    message = accept(route_of(), DRAFT)
    wire.commit_faults = [("after", grpc.StatusCode.UNAVAILABLE)]
    tasks.drain()
    assert [one.number for one in recorded(message)] == [1]
    assert delivery_of(message, endpoint).attempt_count == 1


@pytest.mark.usefixtures("datastore")
def test_invariant_6_an_endpoint_disabled_before_a_retry_gets_none_and_the_delivery_is_held(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    endpoint = add_endpoint(f"{receiver.url}/a")
    receiver.answers["/a"] = [500]
    message = accept(route_of(), DRAFT)
    tasks.drain()
    with change(endpoint.application):
        Endpoint.objects.filter(pk=endpoint.pk).update(disabled=True)
    tasks.drain(now=datetime.now(UTC) + timedelta(days=1))
    assert len(receiver.requests) == 1
    assert (delivery_of(message, endpoint).status, delivery_of(message, endpoint).due) == ("held", None)


@pytest.mark.usefixtures("datastore")
@pytest.mark.parametrize("delete", ["endpoint", "application"])
def test_invariant_6_an_endpoint_deleted_before_a_retry_gets_none_and_the_delivery_is_cancelled(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend, delete: str
) -> None:
    endpoint = add_endpoint(f"{receiver.url}/a")
    receiver.answers["/a"] = [500]
    message = accept(route_of(), DRAFT)
    tasks.drain()
    with change(endpoint.application):
        key = endpoint.pk
        (endpoint if delete == "endpoint" else endpoint.application).delete()
        endpoint.pk = key
    tasks.drain(now=datetime.now(UTC) + timedelta(days=1))
    assert len(receiver.requests) == 1
    assert (delivery_of(message, endpoint).status, delivery_of(message, endpoint).due) == ("cancelled", None)


@pytest.mark.usefixtures("datastore")
def test_invariant_6_an_endpoint_created_before_a_message_receives_it(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    add_endpoint(f"{receiver.url}/first")
    route_of()
    late = add_endpoint(f"{receiver.url}/late")
    with change(late.application):
        pass
    accept(route_of(), DRAFT)
    tasks.drain()
    assert sorted(receiver.paths()) == ["/first", "/late"]


@pytest.mark.usefixtures("datastore")
def test_each_attempt_carries_the_headers_of_its_endpoint_and_of_no_other(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    own = add_endpoint(f"{receiver.url}/own", headers={"X-Key": "opensesame", "x-tenant": "7"})
    add_endpoint(f"{receiver.url}/other")
    receiver.answers["/own"] = [500]
    message = accept(route_of(), DRAFT)
    tasks.drain(now=datetime.now(UTC) + timedelta(seconds=10))
    replay.resend(route_of(), message, own.pk)
    tasks.drain()
    sent = {path: [r.headers for r in receiver.requests if r.path == path] for path in receiver.paths()}
    assert [(one["x-key"], one["x-tenant"]) for one in sent["/own"]] == [("opensesame", "7")] * 3
    assert [one.get("x-key") for one in sent["/other"]] == [None]


@pytest.mark.usefixtures("datastore")
def test_headers_replace_neither_the_signature_nor_what_says_how_to_read_the_body(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    forged = ["Webhook-Id", "WEBHOOK-SIGNATURE", "Content-Type", "content-length", "Host", "user-agent"]
    endpoint = add_endpoint(receiver.url, headers=dict.fromkeys(forged, "1"))
    message = accept(route_of(), DRAFT)
    tasks.drain()
    (request,) = receiver.requests
    assert Webhook(endpoint.signing_secret).verify(request.body, request.headers) == {}
    assert request.headers["webhook-id"] == message.message_id
    assert request.headers["content-type"] == "application/json"
    assert "1" not in request.headers.values()


@pytest.mark.usefixtures("datastore")
def test_no_header_and_no_signing_secret_is_in_a_log_or_plain_in_a_database(
    add_endpoint: AddEndpoint,
    route_of: RouteOf,
    receiver: Receiver,
    tasks: DrainingBackend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    endpoint = add_endpoint(f"{receiver.url}/a", headers={"X-Key": "opensesame"})
    broken = add_endpoint("http://127.0.0.1:1/", headers={"X-Key": "opensesame"})
    receiver.answers["/a"] = [500]
    message = accept(route_of(), DRAFT)
    tasks.drain(now=datetime.now(UTC) + timedelta(seconds=10))
    replay.resend(route_of(), message, broken.pk)
    tasks.drain()
    assert receiver.requests[0].headers["x-key"] == "opensesame", "there was something to leak"

    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM applications_endpoint")
        rows = repr(cursor.fetchall())
    ledger = repr([entity.to_dict() for kind in (Message, Delivery, Attempt) for entity in kind.query()])
    assert receiver.url in rows
    assert receiver.url in ledger
    for text in (caplog.text, repr([vars(record) for record in caplog.records]), rows, ledger):
        assert message.message_id in text or text is rows
        assert "opensesame" not in text
        assert endpoint.signing_secret.removeprefix("whsec_") not in text


@pytest.mark.usefixtures("datastore")
def test_a_resend_is_a_manual_attempt_with_the_next_number_and_the_same_message_id(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    endpoint = add_endpoint(receiver.url)
    message = accept(route_of(), DRAFT)
    tasks.drain()
    attempt_id = replay.resend(route_of(), message, endpoint.pk)
    tasks.queued.append(tasks.queued[0])  # Cloud Tasks runs it twice
    tasks.drain()
    assert [(one.number, one.trigger) for one in recorded(message)] == [(1, "scheduled"), (2, "manual")]
    assert recorded(message)[1].attempt_id == attempt_id
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1


@pytest.mark.usefixtures("datastore")
@pytest.mark.parametrize("delete", ["endpoint", "application"])
def test_a_resend_whose_endpoint_is_gone_when_its_task_runs_sends_nothing_and_ends(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend, delete: str
) -> None:
    """A task that raised here would come again for ever: the queue of deliveries has no limit to retries."""
    endpoint = add_endpoint(receiver.url)
    message = accept(route_of(), DRAFT)
    tasks.drain()
    replay.resend(route_of(), message, endpoint.pk)
    with change(endpoint.application):
        key = endpoint.application.pk
        (endpoint if delete == "endpoint" else endpoint.application).delete()
        endpoint.application.pk = key  # names the snapshot when the block ends
    tasks.drain()
    assert len(receiver.requests) == 1
    assert tasks.queued == []


@pytest.mark.usefixtures("datastore")
def test_a_manual_attempt_that_fails_leaves_the_planned_retry_alone(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    endpoint = add_endpoint(f"{receiver.url}/a")
    receiver.answers["/a"] = [500, 500]
    message = accept(route_of(), DRAFT)
    tasks.drain()
    planned = delivery_of(message, endpoint).next_attempt_at
    replay.resend(route_of(), message, endpoint.pk)
    tasks.drain(now=datetime.now(UTC) + timedelta(seconds=1))
    assert len(receiver.requests) == 2
    assert delivery_of(message, endpoint).next_attempt_at == planned
    tasks.drain(now=datetime.now(UTC) + timedelta(seconds=10))
    assert [(one.status_code, one.trigger) for one in recorded(message)] == [
        (500, "scheduled"),
        (500, "manual"),
        (200, "scheduled"),
    ]


@pytest.mark.usefixtures("datastore")
def test_a_manual_attempt_that_succeeds_ends_the_retries(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    endpoint = add_endpoint(f"{receiver.url}/a")
    receiver.answers["/a"] = [500]
    message = accept(route_of(), DRAFT)
    tasks.drain()
    replay.resend(route_of(), message, endpoint.pk)
    tasks.drain(now=datetime.now(UTC) + timedelta(days=1))
    assert len(receiver.requests) == 2
    assert delivery_of(message, endpoint).status == Delivery.DELIVERED


@pytest.mark.usefixtures("datastore")
def test_retry_after_of_the_receiver_is_honoured_within_twice_the_planned_delay(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    def busy(handler: Any) -> None:
        handler.send_response(503)
        handler.send_header("Retry-After", "3600")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    endpoint = add_endpoint(f"{receiver.url}/a")
    receiver.answers["/a"] = [busy]
    message = accept(route_of(), DRAFT)
    before = datetime.now(UTC)
    tasks.drain()
    wait = delivery_of(message, endpoint).next_attempt_at - before
    assert timedelta(seconds=8) <= wait <= timedelta(seconds=13), "5 s, jittered by a fifth, doubled"


@pytest.mark.usefixtures("datastore")
def test_the_sweep_requeues_what_is_overdue_and_nothing_else(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    add_endpoint(receiver.url)
    message = accept(route_of(), DRAFT)
    tasks.clear()  # the task is lost
    assert sweep(message.created_at + timedelta(seconds=40)) == 0, "the first attempt may still be under way"
    assert sweep(message.created_at + timedelta(seconds=106)) == 1, "within two minutes, sweeping each minute"
    tasks.drain()
    assert len(receiver.requests) == 1
    assert sweep(message.created_at + timedelta(days=30)) == 0


@pytest.mark.usefixtures("datastore")
def test_the_sweep_waits_longer_each_time_for_a_task_that_stands_in_a_long_queue(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend
) -> None:
    add_endpoint(receiver.url)
    message = accept(route_of(), DRAFT)
    swept = [sweep(message.created_at + timedelta(minutes=minute)) for minute in range(60)]
    assert 3 <= sum(swept) <= 7
    tasks.drain(now=datetime.now(UTC) + timedelta(hours=1))
    assert len(receiver.requests) == 1, "of all these tasks the first one sends"


@pytest.fixture
def hanging(receiver: Receiver) -> Iterator[Event]:
    """/hanging answers nobody until the event is set."""
    released = Event()

    def hang(handler: Any) -> None:
        released.wait(60)
        handler.send_response(200)
        handler.send_header("content-length", "0")
        handler.end_headers()

    receiver.answers["/hanging"] = [hang] * 1000
    yield released
    released.set()


def run_at_once(tasks: DrainingBackend, pool: ThreadPoolExecutor) -> list[Future[Any]]:
    """Run everything that is queued, each task in a thread, as gunicorn does."""

    def run(result: Any, body: bytes) -> None:
        try:
            with ndb_context.use():
                tasks._run(result, body)
        finally:
            if connection.connection:  # its own close() leaves SQLite in memory open
                connection.connection.close()
                connection.connection = None

    queued = tasks.queued[:]
    tasks.queued.clear()
    return [pool.submit(run, *one) for one in queued]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("datastore")
def test_invariant_5_resends_to_a_hanging_endpoint_hold_no_threads_and_each_is_one_attempt(
    add_endpoint: AddEndpoint, route_of: RouteOf, receiver: Receiver, tasks: DrainingBackend, hanging: Event
) -> None:
    endpoint = add_endpoint(f"{receiver.url}/hanging", event_types=["slow"])
    add_endpoint(f"{receiver.url}/healthy", event_types=["quick"])
    message = accept(route_of(), Draft(event_type="slow", payload=b"{}"))
    tasks.clear()
    asked = {replay.resend(route_of(), message, endpoint.pk) for _ in range(20)}
    with ThreadPoolExecutor(20) as pool:
        running = run_at_once(tasks, pool)
        receiver.wait_for(attempts.SUSPECTS_IN_FLIGHT)
        for _, one in zip(range(20 - attempts.SUSPECTS_IN_FLIGHT), as_completed(running, 60), strict=False):
            one.result()
        assert [one.done() for one in running].count(False) == attempts.SUSPECTS_IN_FLIGHT
        assert {one.task.queue_name for one, _ in tasks.queued} == {"suspects"}

        accept(route_of(), Draft(event_type="quick", payload=b"{}"))
        tasks.drain()
        assert "/healthy" in receiver.paths()
        assert receiver.paths().count("/hanging") == attempts.SUSPECTS_IN_FLIGHT

        hanging.set()
    tasks.drain(now=datetime.now(UTC) + timedelta(minutes=5))
    assert receiver.paths().count("/hanging") == 20
    made = recorded(message)
    assert {one.attempt_id for one in made} == asked
    assert [(one.number, one.trigger) for one in made].count((20, "manual")) == 1
    assert len(made) == 20


@pytest.mark.usefixtures("datastore")
def test_a_resend_sends_the_arguments_an_earlier_release_takes_and_one_more_when_it_is_put_off(
    add_endpoint: AddEndpoint,
    route_of: RouteOf,
    receiver: Receiver,
    tasks: DrainingBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint = add_endpoint(receiver.url)
    message = accept(route_of(), DRAFT)
    tasks.clear()
    attempt_id = replay.resend(route_of(), message, endpoint.pk)
    before = [message.application_id, message.message_id, endpoint.pk, attempt_id]
    sent = []
    for most in (0, 0, 1):
        sent.append(Body.decode(tasks.queued[0][1]).args)
        monkeypatch.setattr(attempts, "SUSPECTS_IN_FLIGHT", most)
        (ran,) = tasks.drain(now=tasks.queued[0][0].task.run_after)
    assert sent == [before, [*before, 1], [*before, 2]]
    assert ran.task.run_after > datetime.now(UTC), "it waits without a thread"
    assert [one.attempt_id for one in recorded(message)] == [attempt_id]


@pytest.mark.usefixtures("datastore")
def test_a_resend_that_can_not_be_put_off_is_kept_by_its_queue(
    add_endpoint: AddEndpoint,
    route_of: RouteOf,
    receiver: Receiver,
    tasks: DrainingBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint = add_endpoint(receiver.url)
    message = accept(route_of(), DRAFT)
    tasks.clear()
    replay.resend(route_of(), message, endpoint.pk)
    with monkeypatch.context() as broken:
        broken.setattr(attempts, "SUSPECTS_IN_FLIGHT", 0)
        broken.setattr(tasks, "create", fail_to_create)
        with pytest.raises(TaskFailedError, match="the queue is down"):
            tasks.drain()
    tasks.drain()
    assert len(receiver.requests) == 1


def fail_to_create(*_: Any) -> None:
    raise TaskNotCreated("the queue is down")
