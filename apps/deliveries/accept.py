"""Accept a message: from here on it is not lost.

One Datastore commit holds the message, a delivery for each endpoint that wants it, and the records
that make its event id and idempotency key unique. Then one task is queued. If the process dies
between the two, or the queue does not answer, the deliveries are due and the sweep queues them.

The endpoints are read from SQL (or a snapshot of it) before the Datastore commit, and no transaction
spans both: an endpoint created in that moment misses the message, one deleted in it is found missing
at the attempt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from google.api_core.exceptions import AlreadyExists
from google.cloud import ndb

from apps.applications.routing import Route
from apps.core import datastore, ids
from apps.core.datastore import Writes
from apps.deliveries import payloads
from apps.deliveries.enqueue import enqueue
from apps.deliveries.fan_out import fan_out
from apps.deliveries.models import Delivery, EventIdRecord, IdempotencyRecord, Message, message_facets
from apps.deliveries.record import new_delivery

IDEMPOTENCY_KEPT = timedelta(hours=12)


class DuplicateEventId(Exception):
    """Another message of the application bears the event id."""


@dataclass(frozen=True)
class Draft:
    """A message as it was posted. `payload` is the exact bytes that will be signed and sent."""

    event_type: str
    payload: bytes
    event_id: str | None = None
    channels: Sequence[str] = ()
    tags: Sequence[str] = ()
    kept_for: timedelta = timedelta(days=90)
    idempotency_digest: str | None = None


def accept(route: Route, draft: Draft) -> Message:
    """Store the message and queue its delivery. When this returns, the message will be delivered.

    The same idempotency digest again returns the message of the first time and queues it again, which
    delivers what a crash left behind and nothing twice. Raises DuplicateEventId; google.api_core
    exceptions when the Datastore does not answer, and then nothing is accepted.
    """
    message = _message(route, draft)
    deliveries = [
        new_delivery(message, one.id, Delivery.HELD if one.disabled else Delivery.PENDING)
        for one in route.destinations
        if one.wants(draft.event_type, draft.channels)
    ]
    records = _records(message, draft)
    try:
        datastore.commit(Writes(insert=[message, *deliveries, *records]))
    except AlreadyExists:
        message = _settle(message, deliveries, records, draft)
    _queue(message, deliveries)
    return message


def _message(route: Route, draft: Draft) -> Message:
    message_id, now = ids.new("msg"), datetime.now(UTC)
    message = Message(
        key=Message.key_of(route.application_id, message_id),
        application_id=route.application_id,
        message_id=message_id,
        event_type=draft.event_type,
        event_id=draft.event_id,
        channels=list(draft.channels),
        tags=list(draft.tags),
        facets=message_facets(draft.event_type, draft.channels, draft.tags),
        created_at=now,
        expires_at=now + draft.kept_for,
    )
    payloads.place(message, draft.payload)
    return message


def _records(message: Message, draft: Draft) -> list[ndb.Model]:
    records: list[ndb.Model] = []
    if draft.idempotency_digest:
        key = IdempotencyRecord.key_of(message.application_id, draft.idempotency_digest)
        expires_at = message.created_at + IDEMPOTENCY_KEPT
        records.append(IdempotencyRecord(key=key, message_id=message.message_id, expires_at=expires_at))
    if draft.event_id:
        key = EventIdRecord.key_of(message.application_id, draft.event_id)
        records.append(EventIdRecord(key=key, message_id=message.message_id, expires_at=message.expires_at))
    return records


def _settle(
    message: Message, deliveries: Sequence[Delivery], records: Sequence[ndb.Model], draft: Draft
) -> Message:
    """Some key was taken, the error does not say which: look, and decide.

    Our own message is there: the commit was made and its answer lost. Another one holds the
    idempotency key: return it. Another one holds the event id: refuse. All records have expired, since
    Datastore deletes them up to a day late: take their place.
    """

    def step(entities: list[ndb.Model | None]) -> tuple[Writes, str]:
        own, *found = entities
        if own is not None:
            return Writes(), message.message_id
        for record in found:
            if record is None or record.expires_at <= message.created_at:
                continue
            if isinstance(record, IdempotencyRecord):
                return Writes(), record.message_id
            raise DuplicateEventId(draft.event_id)
        return Writes(insert=[message, *deliveries], put=records), message.message_id

    keys = [message.key, *(record.key for record in records)]
    writes, message_id = step(datastore.lookup(keys))
    if writes.insert:
        message_id = datastore.transact(keys, step)
    return message if message_id == message.message_id else _stored(message.application_id, message_id)


def _stored(application_id: str, message_id: str) -> Message:
    stored: Message | None = Message.key_of(application_id, message_id).get()
    if stored is None:
        raise RuntimeError(f"{message_id} has an idempotency record but no message")
    return stored


def _queue(message: Message, deliveries: Sequence[Delivery]) -> None:
    endpoint_ids = [one.endpoint_id for one in deliveries if one.is_pending]
    if endpoint_ids:
        first = settings.WAYBILL_RETRY_SCHEDULE[0]
        later = fan_out.using(run_after=message.created_at + first) if first else fan_out
        enqueue(later, message.application_id, message.message_id, endpoint_ids)
