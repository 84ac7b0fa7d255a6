"""Attempts: send a message to an endpoint, record how it went, plan the next attempt."""

import logging
import random
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.tasks import task
from opentelemetry.trace import Span, use_span

from apps.applications import routing
from apps.applications.models import Application
from apps.applications.routing import Destination
from apps.core import datastore
from apps.deliveries import endpoint_health, in_flight, payloads, signing, spans, transport
from apps.deliveries.enqueue import enqueue
from apps.deliveries.models import Attempt, Delivery, Message
from apps.deliveries.record import Outcome, new_attempt_id, record, set_aside
from apps.deliveries.transport import Result

log = logging.getLogger(__name__)

# Requests in flight from one process to one suspect endpoint.
SUSPECTS_IN_FLIGHT = 4
LONGEST_PUT_OFF_S = 60


@dataclass(frozen=True)
class Job:
    """A message that is to be sent to an endpoint now."""

    message: Message
    delivery: Delivery
    destination: Destination


@dataclass(frozen=True)
class Sending:
    """A request in flight."""

    destination: Destination
    attempt_id: str
    trigger: str
    started_at: datetime
    result: Future[Result]
    span: Span
    planned_at: datetime | None = None  # None for what a person asked for: nothing planned it

    def outcome(self) -> Outcome:
        """How it ended. Waits until then, transport.DEADLINE_S at most."""
        return Outcome(
            attempt_id=self.attempt_id,
            trigger=self.trigger,
            endpoint_id=self.destination.id,
            url=self.destination.url,
            started_at=self.started_at,
            result=self.result.result(),
        )


@task(queue_name="suspects")
def attempt(application_id: str, message_id: str, endpoint_id: str, made: int, put_off: int = 0) -> None:
    """Make the automatic attempt that follows `made` earlier ones; a stale task sends nothing.

    Only so many requests of a process are in flight to one endpoint: a task over that number puts
    itself off, `put_off` times so far, and holds no thread meanwhile.
    """
    for job in due_jobs(application_id, message_id, [endpoint_id], made):
        sending = send(job, payloads.read(job.message), SUSPECTS_IN_FLIGHT)
        if sending:
            finish(job.message, [sending])
        else:
            later = attempt.using(run_after=_put_off_until(put_off))
            enqueue(later, application_id, message_id, endpoint_id, made, put_off + 1)


@task(queue_name="deliveries")
def attempt_manually(
    application_id: str, message_id: str, endpoint_id: str, attempt_id: str, put_off: int = 0
) -> None:
    """Make the attempt that a person asked for under `attempt_id`, once, whatever the delivery's state.

    Puts itself off as `attempt` does: whoever resends a thousand messages to a slow endpoint holds up
    nobody else's. The first call is made without `put_off`, which an earlier release does not take.
    """
    keys = [Message.key_of(application_id, message_id), Attempt.key_of(application_id, attempt_id)]
    message, known = datastore.lookup(keys)
    if message is None or message.expunged or known is not None:
        return
    destination = _destinations(application_id).get(endpoint_id)
    if destination is None:
        return
    body = payloads.read(message)
    sending = _start(message, destination, body, SUSPECTS_IN_FLIGHT, attempt_id, Attempt.MANUAL)
    if sending:
        finish(message, [sending])
    else:
        # Not by enqueue(), which leaves what fails to the sweep: no ledger knows of this attempt yet. If it
        # raises, this task comes again.
        later = attempt_manually.using(queue_name="suspects", run_after=_put_off_until(put_off))
        later.enqueue(application_id, message_id, endpoint_id, attempt_id, put_off + 1)


def _put_off_until(put_off: int) -> datetime:
    """When to look again whether fewer requests are in flight, after `put_off` looks in vain."""
    delay = min(2**put_off, LONGEST_PUT_OFF_S) * random.uniform(0.8, 1.2)
    return datetime.now(UTC) + timedelta(seconds=delay)


def due_jobs(application_id: str, message_id: str, endpoint_ids: Sequence[str], made: int) -> list[Job]:
    """The deliveries that wait for the attempt after `made`, each with its endpoint as it is now.

    Sets aside those whose endpoint has been disabled or deleted since the message was accepted.
    """
    keys = [Delivery.key_of(application_id, message_id, one) for one in endpoint_ids]
    message, *deliveries = datastore.lookup([Message.key_of(application_id, message_id), *keys])
    waiting = [one for one in deliveries if one and one.is_pending and one.scheduled_count == made]
    if not waiting:
        return []
    found = _destinations(application_id)
    for delivery in waiting:
        destination = found.get(delivery.endpoint_id)
        if message is None or message.expunged or destination is None:
            set_aside(delivery, Delivery.CANCELLED)
        elif destination.disabled:
            set_aside(delivery, Delivery.HELD)
    return [
        Job(message, one, found[one.endpoint_id])
        for one in waiting
        if message
        and not message.expunged
        and one.endpoint_id in found
        and not found[one.endpoint_id].disabled
    ]


def send(job: Job, body: bytes, most_in_flight: int) -> Sending | None:
    """Start an automatic attempt and return at once: None when too many to the endpoint are in flight."""
    planned_at, attempt_id = job.delivery.next_attempt_at, new_attempt_id()
    return _start(
        job.message, job.destination, body, most_in_flight, attempt_id, Attempt.SCHEDULED, planned_at
    )


def _start(
    message: Message,
    destination: Destination,
    body: bytes,
    most_in_flight: int,
    attempt_id: str,
    trigger: str,
    planned_at: datetime | None = None,
) -> Sending | None:
    started_at = datetime.now(UTC)
    span = spans.start(
        attempt_id=attempt_id, message_id=message.message_id, endpoint_id=destination.id, trigger=trigger
    )
    result = in_flight.start(
        destination.id, most_in_flight, lambda: _post(message, body, destination, started_at, span)
    )
    return Sending(destination, attempt_id, trigger, started_at, result, span, planned_at) if result else None


def finish(message: Message, sendings: Sequence[Sending]) -> None:
    """Wait for requests in flight, record them in one commit, and queue what is to be tried again."""
    outcomes = [sending.outcome() for sending in sendings]
    deliveries = record(message, outcomes)
    for sending, outcome, delivery in zip(sendings, outcomes, deliveries, strict=True):
        with use_span(sending.span):
            _log(outcome, delivery, sending.planned_at)
        if outcome.trigger == Attempt.SCHEDULED and delivery.is_pending:
            queue_attempt(delivery)
        endpoint_health.note(sending.destination, outcome, delivery)


def _log(outcome: Outcome, delivery: Delivery, planned_at: datetime | None) -> None:
    """One line an attempt, the end of the trace that began with the request. Nothing a customer sent.

    Metrics are made from it: docs/metrics.md.
    """
    result = outcome.result
    fields = {
        "event": "attempt",
        "attempt_id": outcome.attempt_id,
        "message_id": delivery.message_id,
        "endpoint_id": delivery.endpoint_id,
        "trigger": outcome.trigger,
        "number": delivery.attempt_count,
        "response_status": result.status_code,
        "duration_ms": result.duration_ms,
        "delivery_status": delivery.status,
    }
    if planned_at:
        late = outcome.started_at - planned_at
        fields["late_ms"] = max(0, round(late.total_seconds() * 1000))
    log.info("Attempt of %s: %s", delivery.message_id, result.status_code or "no answer", extra=fields)


def queue_attempt(delivery: Delivery) -> bool:
    """Queue the next automatic attempt for when it is planned. Returns whether; if not, the sweep will."""
    planned = attempt.using(run_after=delivery.next_attempt_at)
    return enqueue(
        planned, delivery.application_id, delivery.message_id, delivery.endpoint_id, delivery.scheduled_count
    )


def _post(
    message: Message, body: bytes, destination: Destination, at: datetime, span: Span
) -> Future[Result]:
    """Sign the bytes and send the very same bytes."""
    secrets = destination.signing_secrets(at)
    signed = signing.headers(secrets, message.message_id, int(at.timestamp()), body)
    with use_span(span):  # what the transport's thread logs is logged in it
        result = transport.post(destination.url, {**destination.headers(), **signed}, body)
    spans.end_with(span, result)
    return result


def _destinations(application_id: str) -> dict[str, Destination]:
    """The application's endpoints by id; none where it is gone, deleted or lost with a database."""
    try:
        return {one.id: one for one in routing.of(application_id).destinations}
    except Application.DoesNotExist:
        return {}
