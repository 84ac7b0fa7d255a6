"""Replays of many messages, from begin to the last attempt, against a real Datastore and receiver."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.applications.models import Endpoint
from apps.applications.routing import Route
from apps.core import ids
from apps.core.snapshots import change
from apps.deliveries import advance, replay
from apps.deliveries.advance import MOST_IN_HAND, redrive
from apps.deliveries.background_task import BackgroundTask
from apps.deliveries.models import Attempt, Delivery, Message, message_facets
from apps.deliveries.record import new_delivery
from apps.deliveries.replay import Selection
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("datastore", "private_endpoints")]

Kind, Status = BackgroundTask.Kind, BackgroundTask.Status
NOW = datetime.now(UTC)
LATER = timedelta(hours=1)
Accepted = Callable[..., list[str]]
Begin = Callable[..., BackgroundTask]


@pytest.fixture
def endpoint(add_endpoint: Callable[..., Endpoint], receiver: Receiver) -> Endpoint:
    return add_endpoint(f"{receiver.url}/a")


@pytest.fixture
def accepted(endpoint: Endpoint) -> Accepted:
    """Writes messages, an hour old and a second apart, with their deliveries to `endpoint`: their ids."""

    def write(count: int, status: str | None = Delivery.FAILED, **fields: Any) -> list[str]:
        start = fields.pop("since", NOW - timedelta(hours=1))
        event_type, channels = fields.pop("event_type", "invoice.paid"), fields.pop("channels", ())
        message_ids = []
        for number in range(count):
            at = start + timedelta(seconds=number)
            message_id = ids.new("msg", at)
            message = Message(
                key=Message.key_of(endpoint.application_id, message_id),
                application_id=endpoint.application_id,
                message_id=message_id,
                event_type=event_type,
                channels=list(channels),
                facets=message_facets(event_type, channels, ()),
                payload=b"{}",
                created_at=at,
                expires_at=at + timedelta(days=90),
                **fields,
            )
            message.put()
            if status:
                new_delivery(message, endpoint.pk, status).put()
            message_ids.append(message_id)
        return message_ids

    return write


@pytest.fixture
def begin(
    route_of: Callable[[], Route], endpoint: Endpoint, django_capture_on_commit_callbacks: Any
) -> Begin:
    """Begins a replay of the last two hours to `endpoint`."""

    def start(kind: Kind = Kind.RECOVER, **selection: Any) -> BackgroundTask:
        route = route_of()
        destination = route.destination(endpoint.pk)
        assert destination
        wanted = Selection(**{"since": NOW - timedelta(hours=2), **selection})
        with django_capture_on_commit_callbacks(execute=True):
            return replay.begin(kind, route, destination, wanted)

    return start


def sent(receiver: Receiver) -> list[str]:
    return [request.headers["webhook-id"] for request in receiver.requests]


def after(row: BackgroundTask, tasks: DrainingBackend) -> BackgroundTask:
    """The row once everything has run."""
    tasks.drain(now=timezone.now() + LATER)
    row.refresh_from_db()
    return row


def test_recover_sends_what_failed_or_was_held_once_and_nothing_else(
    accepted: Accepted, begin: Begin, receiver: Receiver, tasks: DrainingBackend
) -> None:
    failed, held = accepted(3), accepted(2, Delivery.HELD)
    for status in (Delivery.DELIVERED, Delivery.PENDING, Delivery.CANCELLED):
        accepted(2, status)
    row = after(begin(), tasks)
    assert Counter(sent(receiver)) == Counter(failed + held)
    assert (row.status, row.sent, row.in_hand, row.planned, row.error) == (Status.FINISHED, 5, {}, {}, "")
    assert {attempt.trigger for attempt in Attempt.query()} == {"manual"}
    assert after(begin(), tasks).sent == 0


def test_a_replay_keeps_to_its_window_and_to_what_was_accepted_before_it(
    accepted: Accepted, begin: Begin, receiver: Receiver, tasks: DrainingBackend
) -> None:
    start = NOW - timedelta(hours=1)
    message_ids = accepted(6)
    row = begin(since=start + timedelta(seconds=1), until=start + timedelta(seconds=4))
    after(row, tasks)
    assert sorted(sent(receiver)) == message_ids[1:4]
    row = begin(until=NOW + timedelta(days=1))
    assert row.until <= timezone.now()


def test_what_is_sent_first_is_the_oldest(
    accepted: Accepted, begin: Begin, receiver: Receiver, tasks: DrainingBackend
) -> None:
    message_ids = accepted(5)
    after(begin(), tasks)
    assert sent(receiver) == message_ids


def test_what_is_expunged_or_expired_is_passed_over(
    accepted: Accepted, begin: Begin, endpoint: Endpoint, receiver: Receiver, tasks: DrainingBackend
) -> None:
    for status in (Delivery.FAILED, None):
        kept, expunged, expired = accepted(3, status)
        message = Message.key_of(endpoint.application_id, expunged).get()
        message.expunged = True
        message.put()
        message = Message.key_of(endpoint.application_id, expired).get()
        message.expires_at = NOW
        message.put()
        receiver.requests.clear()
        row = after(begin(Kind.REPLAY_MISSING if status is None else Kind.RECOVER), tasks)
        assert (sent(receiver), row.sent, row.status) == ([kept], 1, Status.FINISHED)


def test_only_so_many_attempts_are_under_way(
    accepted: Accepted,
    begin: Begin,
    receiver: Receiver,
    tasks: DrainingBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(advance, "MOST_IN_HAND", 4)
    accepted(11)
    most = 0
    create = DrainingBackend.create

    def counted(self: DrainingBackend, *args: Any) -> None:
        nonlocal most
        create(self, *args)
        waiting = [result for result, _ in self.queued if "attempt_manually" in result.task.module_path]
        most = max(most, len(waiting))

    monkeypatch.setattr(DrainingBackend, "create", counted)
    row = after(begin(), tasks)
    assert (row.sent, len(sent(receiver)), most) == (11, 11, 4)


def test_they_wait_on_the_queue_of_the_suspects_where_nothing_new_waits_behind_them(
    accepted: Accepted, begin: Begin, tasks: DrainingBackend
) -> None:
    accepted(2)
    begin()
    tasks.drain()
    queues = {result.task.module_path: result.task.queue_name for result, _ in tasks.queued}
    finished = {result.task.module_path: result.task.queue_name for result in tasks.finished}
    assert (queues | finished)["apps.deliveries.attempt.attempt_manually"] == "suspects"


@pytest.mark.parametrize("killed_at", range(31))
def test_killed_at_any_moment_it_goes_on_and_sends_each_once(
    accepted: Accepted,
    begin: Begin,
    receiver: Receiver,
    tasks: DrainingBackend,
    monkeypatch: pytest.MonkeyPatch,
    killed_at: int,
) -> None:
    """At each write of the row and each task queued, before and after it."""
    monkeypatch.setattr(advance, "MOST_IN_HAND", 4)
    message_ids = accepted(6)
    row = begin()
    moment = 0

    def dying(act: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            nonlocal moment
            for is_before in (True, False):
                moment += 1
                if moment == killed_at:
                    raise KeyboardInterrupt  # as a kill: nothing that comes after runs, no except either
                if is_before:
                    result = act(*args, **options)
            return result

        return run

    with monkeypatch.context() as patch:
        patch.setattr(BackgroundTask, "save_step", dying(BackgroundTask.save_step))
        patch.setattr(DrainingBackend, "create", dying(DrainingBackend.create))
        try:
            tasks.drain(now=timezone.now() + LATER)
        except KeyboardInterrupt:
            pass
        else:
            assert not killed_at, f"there are {moment} moments"
    row = after(row, tasks)
    assert (row.status, row.sent) == (Status.FINISHED, 6)
    assert Counter(sent(receiver)) == Counter(message_ids)


def test_of_two_workers_that_make_the_same_step_one_counts(
    accepted: Accepted, begin: Begin, receiver: Receiver, tasks: DrainingBackend
) -> None:
    message_ids = accepted(3)
    row = begin()
    one, other = BackgroundTask.objects.get(), BackgroundTask.objects.get()
    one.planned = {message_ids[0]: "atmpt_one"}
    assert one.save_step()
    other.planned = {message_ids[1]: "atmpt_other"}
    assert not other.save_step()
    row.refresh_from_db()
    assert (row.planned, row.step) == ({message_ids[0]: "atmpt_one"}, 1)
    row.planned = {}
    assert row.save_step()
    for _ in "ab":
        advance.advance.enqueue(row.pk, 2)
    assert after(row, tasks).sent == 3
    assert len(sent(receiver)) == 3


def test_a_task_that_is_lost_is_replaced_by_cron(
    accepted: Accepted, begin: Begin, receiver: Receiver, tasks: DrainingBackend
) -> None:
    accepted(2)
    row = begin()
    tasks.queued.clear()
    assert redrive() == 0
    soon = timezone.now() + advance.SILENT_AFTER + timedelta(seconds=1)
    assert redrive(soon) == 1
    assert redrive(soon) == 0, "it has just been given a task"
    assert after(row, tasks).status == Status.FINISHED
    assert len(sent(receiver)) == 2
    assert redrive(timezone.now() + LATER) == 0


def test_attempts_that_are_lost_are_queued_again_and_what_has_no_message_is_not_waited_for(
    accepted: Accepted, begin: Begin, endpoint: Endpoint, receiver: Receiver, tasks: DrainingBackend
) -> None:
    kept, gone = accepted(2)
    row = begin()
    for step in range(2):  # plan, queue
        tasks.queued.clear()
        advance.advance.call(row.pk, step)
    tasks.queued.clear()
    Message.key_of(endpoint.application_id, gone).delete()
    BackgroundTask.objects.update(moved_at=timezone.now() - advance.GONE_AFTER)
    advance.advance.call(row.pk, 2)
    assert set(BackgroundTask.objects.get().in_hand) == {kept}
    BackgroundTask.objects.update(moved_at=timezone.now() - advance.LOST_AFTER)
    assert after(row, tasks).status == Status.FINISHED
    assert (sent(receiver), row.sent, row.rounds) == ([kept], 1, 1)


def test_two_replays_of_an_endpoint_run_one_after_the_other(
    accepted: Accepted, begin: Begin, receiver: Receiver, tasks: DrainingBackend
) -> None:
    message_ids = accepted(3)
    first, second = begin(), begin()
    tasks.drain(now=timezone.now() + LATER)
    first.refresh_from_db()
    second.refresh_from_db()
    assert [(row.status, row.sent) for row in (first, second)] == [("finished", 3), ("finished", 0)]
    assert sent(receiver) == message_ids


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda rows: rows.update(disabled=True), advance.IS_DISABLED),
        (lambda rows: rows.delete(), advance.IS_GONE),
        (lambda rows: rows.get().application.delete(), advance.IS_GONE),
    ],
)
def test_it_fails_where_the_endpoint_is_disabled_or_gone(
    accepted: Accepted,
    begin: Begin,
    endpoint: Endpoint,
    receiver: Receiver,
    tasks: DrainingBackend,
    spoil: Callable[[Any], None],
    error: str,
) -> None:
    accepted(2)
    row = begin()
    with change(endpoint.application):
        spoil(Endpoint.objects.all())
    row = after(row, tasks)
    assert (row.status, row.error, sent(receiver)) == (Status.FAILED, error, [])


def test_a_disabled_endpoint_is_refused(begin: Begin, endpoint: Endpoint) -> None:
    with change(endpoint.application):
        Endpoint.objects.update(disabled=True)
    with pytest.raises(replay.EndpointDisabled):
        begin()


def test_replay_missing_sends_what_the_endpoint_wants_and_has_not_got(
    accepted: Accepted, begin: Begin, endpoint: Endpoint, receiver: Receiver, tasks: DrainingBackend
) -> None:
    with change(endpoint.application):
        Endpoint.objects.update(event_types=["invoice.paid"])
    missing = [*accepted(30, None), *accepted(1, Delivery.FAILED), *accepted(1, Delivery.HELD)]
    accepted(3, None, event_type="invoice.sent")
    accepted(2, Delivery.DELIVERED)
    accepted(2, Delivery.PENDING)
    row = after(begin(Kind.REPLAY_MISSING), tasks)
    assert Counter(sent(receiver)) == Counter(missing)
    assert (row.status, row.sent) == (Status.FINISHED, 32)
    assert {one.status for one in Delivery.query() if one.message_id in missing} == {"delivered"}


def test_bulk_replay_sends_what_succeeded_too_by_its_filters(
    accepted: Accepted, begin: Begin, receiver: Receiver, tasks: DrainingBackend
) -> None:
    one = accepted(1, Delivery.DELIVERED, event_type="a", channels=["blue"])
    other = accepted(1, Delivery.FAILED, event_type="b", channels=["blue"])
    third = accepted(1, Delivery.FAILED, event_type="c")
    accepted(1, Delivery.PENDING, event_type="a", channels=["blue"])
    for selection, expected in [
        ({}, one + other + third),
        ({"facets": ["channel:blue"]}, one + other),
        ({"facets": ["channel:blue"], "event_types": ["a", "c"]}, one),
        ({"event_types": ["a", "c"]}, one + third),
    ]:
        receiver.requests.clear()
        after(begin(Kind.BULK_REPLAY, **selection), tasks)
        assert Counter(sent(receiver)) == Counter(expected), selection


def test_a_step_reads_no_more_than_it_may_have_in_hand(
    accepted: Accepted, begin: Begin, tasks: DrainingBackend
) -> None:
    accepted(MOST_IN_HAND + 5)
    row = begin()
    advance.advance.call(row.pk, 0)
    row.refresh_from_db()
    assert (len(row.planned), row.found_all) == (MOST_IN_HAND, False)
    assert row.reached == ids.time_of(max(row.planned))
