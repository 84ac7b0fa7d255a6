"""Write down how attempts ended, and what is to happen to their deliveries next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings

from apps.core import datastore, ids
from apps.core.datastore import Writes
from apps.deliveries import due, retry_policy
from apps.deliveries.models import Attempt, Delivery, Message, facet
from apps.deliveries.transport import Result


@dataclass(frozen=True)
class Outcome:
    """One request whose end is known, not yet written down."""

    attempt_id: str
    trigger: str
    endpoint_id: str
    url: str
    started_at: datetime
    result: Result


def new_attempt_id() -> str:
    return ids.new("atmpt")


def record(message: Message, outcomes: Sequence[Outcome]) -> list[Delivery]:
    """Write an Attempt for each outcome and bring its Delivery up to date, in one commit.

    Returns the deliveries as written. Safe to repeat: an attempt that is already there is left alone,
    and its delivery with it. Never overwrites what another run of the same task wrote meanwhile: each
    request is an attempt with a number of its own.
    """
    application_id, message_id = message.application_id, message.message_id
    keys = [Attempt.key_of(application_id, one.attempt_id) for one in outcomes]
    keys += [Delivery.key_of(application_id, message_id, one.endpoint_id) for one in outcomes]

    def step(entities: list[Attempt | Delivery | None]) -> tuple[Writes, list[Delivery]]:
        known, found = entities[: len(outcomes)], entities[len(outcomes) :]
        deliveries = [
            one if isinstance(one, Delivery) else new_delivery(message, outcome.endpoint_id)
            for one, outcome in zip(found, outcomes, strict=True)
        ]
        fresh = [
            pair
            for pair, attempt in zip(zip(deliveries, outcomes, strict=True), known, strict=True)
            if not attempt
        ]
        attempts = [_apply(message, delivery, outcome) for delivery, outcome in fresh]
        return Writes(insert=attempts, put=[delivery for delivery, _ in fresh]), deliveries

    return datastore.transact(keys, step)


def new_delivery(message: Message, endpoint_id: str, status: str = Delivery.PENDING) -> Delivery:
    """A delivery before its first attempt, not yet written."""
    key = Delivery.key_of(message.application_id, message.message_id, endpoint_id)
    delivery = Delivery(
        key=key,
        application_id=message.application_id,
        message_id=message.message_id,
        endpoint_id=endpoint_id,
        status=status,
        facets=message.facets,
        expires_at=message.expires_at,
    )
    delivery.update_facets()
    if status == Delivery.PENDING:
        _expect(delivery, message.created_at + settings.WAYBILL_RETRY_SCHEDULE[0])
    return delivery


def set_aside(delivery: Delivery, status: str) -> None:
    """Stop a pending delivery: held because its endpoint is disabled, cancelled because it is gone."""

    def step(entities: list[Delivery | None]) -> tuple[Writes, None]:
        current = entities[0]
        if current is None or not current.is_pending:
            return Writes(), None
        _settle(current, status)
        current.update_facets()
        return Writes(put=[current]), None

    datastore.transact([delivery.key], step)


def _apply(message: Message, delivery: Delivery, outcome: Outcome) -> Attempt:
    """Change `delivery` by `outcome` and return the attempt to write."""
    delivery.attempt_count += 1
    if outcome.trigger == Attempt.SCHEDULED:
        delivery.scheduled_count += 1
    if outcome.result.succeeded:
        _settle(delivery, Delivery.DELIVERED)
    elif delivery.is_pending and outcome.trigger == Attempt.SCHEDULED:
        _plan_retry(delivery, outcome.result)
    delivery.update_facets()
    return _attempt(message, delivery, outcome)


def _plan_retry(delivery: Delivery, result: Result) -> None:
    now = datetime.now(UTC)
    asked = retry_policy.parse_retry_after(result.retry_after, now) if result.retry_after else None
    delay = retry_policy.next_delay(delivery.scheduled_count, settings.WAYBILL_RETRY_SCHEDULE, asked)
    if delay is None:
        _settle(delivery, Delivery.FAILED)
    else:
        _expect(delivery, now + delay)


def _expect(delivery: Delivery, at: datetime) -> None:
    delivery.next_attempt_at, delivery.sweep_count = at, 0
    delivery.due = due.bucket(delivery.key.id(), at)


def _settle(delivery: Delivery, status: str) -> None:
    delivery.status, delivery.due, delivery.next_attempt_at = status, None, None


def _attempt(message: Message, delivery: Delivery, outcome: Outcome) -> Attempt:
    result = outcome.result
    return Attempt(
        key=Attempt.key_of(message.application_id, outcome.attempt_id),
        application_id=message.application_id,
        attempt_id=outcome.attempt_id,
        message_id=message.message_id,
        endpoint_id=outcome.endpoint_id,
        facets=[
            *message.facets,
            facet("endpoint", outcome.endpoint_id),
            facet("status", "success" if result.succeeded else "fail"),
            facet("class", result.status_code // 100 * 100),
        ],
        number=delivery.attempt_count,
        trigger=outcome.trigger,
        url=outcome.url,
        succeeded=result.succeeded,
        status_code=result.status_code,
        response=result.body,
        error=result.error,
        duration_ms=result.duration_ms,
        started_at=outcome.started_at,
        expires_at=message.expires_at,
    )
