"""What became of one message: for each endpoint its delivery and the attempts made."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.utils import timezone

from apps.applications.routing import Destination
from apps.core import datastore
from apps.deliveries.models import Attempt, Delivery, Message

# What a person wants to see first.
ORDER = [Delivery.FAILED, Delivery.HELD, Delivery.PENDING, Delivery.DELIVERED, Delivery.CANCELLED]
MOST_DELIVERIES = 1000  # keys of one lookup; an application has at most as many endpoints


@dataclass(frozen=True)
class Timeline:
    """A delivery, its endpoint as it is now (None once deleted), and its attempts, newest first."""

    endpoint_id: str
    destination: Destination | None
    delivery: Delivery
    attempts: Sequence[Attempt]

    @property
    def url(self) -> str:
        """The endpoint's URL; for a deleted one the URL of its last attempt, or nothing."""
        if self.destination:
            return self.destination.url
        return self.attempts[0].url if self.attempts else ""

    @property
    def planned_at(self) -> datetime | None:
        """When the next automatic attempt is to be made."""
        return self.delivery.next_attempt_at

    @property
    def planned(self) -> str:
        """Which automatic attempt that will be."""
        made, retries = self.delivery.scheduled_count, len(settings.WAYBILL_RETRY_SCHEDULE) - 1
        return f"Retry {made} of {retries}" if made else "The first attempt"

    @property
    def is_overdue(self) -> bool:
        """Whether that time has passed: the attempt waits in a queue, or is being made."""
        return self.planned_at is not None and self.planned_at <= timezone.now()


def of(message: Message, destinations: Sequence[Destination], attempts: Sequence[Attempt]) -> list[Timeline]:
    """A timeline for each delivery of `message`, the troubled ones first. One call.

    Deleted endpoints are known by their attempts alone.
    """
    made: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        made[attempt.endpoint_id].append(attempt)
    found = {one.id: one for one in destinations}
    endpoint_ids = [*made, *(one for one in found if one not in made)][:MOST_DELIVERIES]
    keys = [Delivery.key_of(message.application_id, message.message_id, one) for one in endpoint_ids]
    timelines = [
        Timeline(one.endpoint_id, found.get(one.endpoint_id), one, made[one.endpoint_id])
        for one in (datastore.lookup(keys) if keys else [])
        if one
    ]
    return sorted(timelines, key=lambda one: (ORDER.index(one.delivery.status), one.endpoint_id))
