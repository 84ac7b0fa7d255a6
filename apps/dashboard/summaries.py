"""What became of each message of a list, read in one call however many messages and endpoints there are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from apps.core import datastore
from apps.dashboard.timelines import ORDER
from apps.deliveries.models import Delivery, Message

# A lookup takes 1,000 keys; this many small entities take about a tenth of a second to decode.
MOST_KEYS = 500


@dataclass(frozen=True)
class Row:
    """A message and how many of its deliveries are in each status, None where that would cost too much."""

    message: Message
    # Not a Counter: `statuses.items` of one is 0 in a template, the count of "items".
    statuses: dict[str, int] | None


def rows(messages: Sequence[Message], endpoint_ids: Sequence[str]) -> list[Row]:
    """Counted over the endpoints there are now; too many of them, and nothing is read."""
    if len(messages) * len(endpoint_ids) > MOST_KEYS:
        return [Row(message, None) for message in messages]
    statuses: dict[str, Counter[str]] = {message.message_id: Counter() for message in messages}
    for delivery in _deliveries(messages, endpoint_ids):
        statuses[delivery.message_id][delivery.status] += 1
    return [Row(message, _ordered(statuses[message.message_id])) for message in messages]


def _ordered(counts: Counter[str]) -> dict[str, int]:
    return {status: counts[status] for status in ORDER if counts[status]}


def _deliveries(messages: Sequence[Message], endpoint_ids: Sequence[str]) -> list[Delivery]:
    keys = [
        Delivery.key_of(message.application_id, message.message_id, endpoint_id)
        for message in messages
        for endpoint_id in endpoint_ids
    ]
    return [one for one in datastore.lookup(keys) if one] if keys else []
