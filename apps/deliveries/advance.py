"""Carry out a replay of many messages, a step a task, with only so many attempts under way.

A step first writes down what is to be sent (the messages and the ids of their attempts), the next one
queues that, and further ones wait until most of it is recorded. So a process may die between any two
lines: what was written down is queued again under the same attempt ids, which are sent once.
"""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.tasks import Task, task
from django.utils import timezone

from apps.applications import routing
from apps.applications.models import Application
from apps.applications.routing import Destination
from apps.core import datastore
from apps.deliveries import candidates
from apps.deliveries.attempt import attempt_manually
from apps.deliveries.background_task import BackgroundTask
from apps.deliveries.enqueue import enqueue
from apps.deliveries.models import Attempt, Message
from apps.deliveries.record import new_attempt_id

log = logging.getLogger(__name__)

# Attempts of one background task under way; the next messages are looked for when half of them are through.
MOST_IN_HAND = 100
MOST_PAGES = 8  # of the ledger, that one step looks through
LOOK_AGAIN = timedelta(seconds=1)
LONGEST_WAIT = timedelta(seconds=30)
# When nothing has been recorded for so long: first look for messages that are gone, then queue again.
GONE_AFTER = timedelta(minutes=1)
LOST_AFTER = timedelta(hours=1)
# A task that is silent for so long has lost its worker. Its steps are LONGEST_WAIT apart.
SILENT_AFTER = timedelta(minutes=2)
MOST_REDRIVEN = 100
KEPT = timedelta(days=90)

IS_GONE = "The endpoint does not exist any more."
IS_DISABLED = "The endpoint is disabled."


@task(queue_name="default")
def advance(background_task_id: str, step: int) -> None:
    """Make the step that follows `step` earlier ones; a stale task only sees that the next one is queued."""
    row = BackgroundTask.objects.filter(pk=background_task_id).first()
    if row is None or not row.is_running or not _is_its_turn(row):
        return
    if row.step != step:
        queue_step(row)
        return
    try:
        destination = routing.of(row.application_id).destination(row.endpoint_id)
    except Application.DoesNotExist:
        destination = None
    if destination is None or destination.disabled:
        _end(row, BackgroundTask.Status.FAILED, IS_DISABLED if destination else IS_GONE)
    else:
        _make_step(row, destination, timezone.now())


def redrive(now: datetime | None = None) -> int:
    """Go on with what has lost its worker or its task. Returns how many. Cron runs it each minute."""
    now = now or timezone.now()
    BackgroundTask.objects.filter(created_at__lt=now - KEPT).delete()
    silent = BackgroundTask.at_work().filter(updated_at__lt=now - SILENT_AFTER).order_by("updated_at")
    rows = list(silent[:MOST_REDRIVEN])
    for row in rows:
        log.warning("%s was silent since %s and goes on", row, row.updated_at)
        _wake(row)
    # So that one that fails over and over is not given a further task each minute.
    BackgroundTask.objects.filter(pk__in=[row.pk for row in rows]).update(updated_at=now)
    return len(rows)


def queue_step(row: BackgroundTask, delay: timedelta | None = None) -> None:
    """Queue the step that the row has come to, once however often it is asked; what fails is left to cron."""
    enqueue(_named(advance, f"{row.pk} {row.step}", run_after=delay), row.pk, row.step)


def _wake(row: BackgroundTask) -> None:
    """Queue the step once more: not under its name, which a task bore that came in vain or was given up."""
    enqueue(advance, row.pk, row.step)


def _named(task: "Task[..., None]", key: str, **options: Any) -> "Task[..., None]":
    """The task under a name, under which it is queued once: what our backend's tasks have beside Django's."""
    named: Task[..., None] = task.using(key=key, **options)  # type: ignore[call-arg]  # Django's have no key
    return named


def _is_its_turn(row: BackgroundTask) -> bool:
    return BackgroundTask.at_work().filter(pk=row.pk).exists()


def _make_step(row: BackgroundTask, destination: Destination, now: datetime) -> None:
    if row.planned:
        _queue(row, destination, now)
        return
    _forget_recorded(row, now)
    if row.in_hand and now - row.moved_at > LOST_AFTER:
        row.planned, row.in_hand, row.rounds = row.in_hand, {}, row.rounds + 1
        _save_and_go_on(row, None)
    elif not row.found_all and len(row.in_hand) <= MOST_IN_HAND // 2:
        _plan(row, destination)
        _save_and_go_on(row, None)
    elif row.in_hand:
        _save_and_go_on(row, min(max(LOOK_AGAIN, (now - row.moved_at) / 2), LONGEST_WAIT))
    else:
        _end(row, BackgroundTask.Status.FINISHED)


def _plan(row: BackgroundTask, destination: Destination) -> None:
    """Write down what comes next, before any of it is queued. A page in which little is wanted is not all."""
    for _ in range(MOST_PAGES):
        room = MOST_IN_HAND - len(row.in_hand) - len(row.planned)
        found = candidates.find(row, destination, room)
        row.planned |= {one: new_attempt_id() for one in found.message_ids}
        row.cursor, row.found_all = found.cursor, found.done
        if found.done or len(row.planned) >= MOST_IN_HAND // 2:
            return


def _queue(row: BackgroundTask, destination: Destination, now: datetime) -> None:
    """Queue what is planned. What a step that was broken off has queued is there under its name already.

    On the queue of the suspects: an endpoint with many failures is one, and what was posted just now does
    not wait behind these.
    """
    for message_id, attempt_id in row.planned.items():
        named = _named(attempt_manually, f"{attempt_id} {row.rounds}", queue_name="suspects")
        named.enqueue(row.application_id, message_id, destination.id, attempt_id)
    row.planned, row.in_hand, row.moved_at = {}, row.in_hand | row.planned, now
    _save_and_go_on(row, LOOK_AGAIN)


def _forget_recorded(row: BackgroundTask, now: datetime) -> None:
    """Take out of hand what has its attempt, and what will never have one: its message is gone."""
    if not row.in_hand:
        return
    attempts = datastore.lookup([Attempt.key_of(row.application_id, one) for one in row.in_hand.values()])
    waiting = {
        message_id: attempt_id
        for (message_id, attempt_id), attempt in zip(row.in_hand.items(), attempts, strict=True)
        if attempt is None
    }
    recorded = len(row.in_hand) - len(waiting)
    if recorded:
        row.sent, row.moved_at = row.sent + recorded, now
    elif now - row.moved_at > GONE_AFTER:
        waiting = {one: attempt_id for one, attempt_id in waiting.items() if _is_there(row, one)}
    row.in_hand = waiting


def _is_there(row: BackgroundTask, message_id: str) -> bool:
    """One at a time: all their payloads at once may be more than an instance holds."""
    (message,) = datastore.lookup([Message.key_of(row.application_id, message_id)])
    return message is not None and not message.expunged


def _save_and_go_on(row: BackgroundTask, delay: timedelta | None) -> None:
    if row.save_step():
        queue_step(row, delay)


def _end(row: BackgroundTask, status: BackgroundTask.Status, error: str = "") -> None:
    """Write down the end, and let the endpoint's next task begin."""
    row.status, row.error = status, error
    if not row.save_step():
        return
    log.info("%s: %d messages sent", row, row.sent)
    for waiting in BackgroundTask.at_work().filter(endpoint_id=row.endpoint_id):
        _wake(waiting)
