"""Which messages a replay of many sends, found page by page, oldest first.

Oldest first, so that a receiver that keeps what arrives last ends with what is newest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import batched

from apps.applications.routing import Destination
from apps.core import datastore, ids
from apps.core.cursors import Cursor
from apps.deliveries import lists
from apps.deliveries.background_task import BackgroundTask
from apps.deliveries.lists import Filters, Window
from apps.deliveries.models import Delivery, Message, facet

# Messages that are read at once where their own contents decide: a payload may have 900,000 bytes.
MESSAGES_AT_ONCE = 25


@dataclass(frozen=True)
class Found:
    """What was found after the cursor, where to go on, and whether there is nothing after that."""

    message_ids: Sequence[str]
    cursor: str
    done: bool


def find(task: BackgroundTask, destination: Destination, most: int) -> Found:
    """Up to `most` messages after the task's cursor; fewer, or none, says nothing of what comes next."""
    if task.kind == BackgroundTask.Kind.REPLAY_MISSING:
        return _missing(task, destination, min(most, MESSAGES_AT_ONCE))
    if task.kind == BackgroundTask.Kind.RECOVER:
        return _of_deliveries(task, Filters([facet("status", "fail")]), most)
    return _of_deliveries(task, Filters(task.facets, task.event_types), most)


def _of_deliveries(task: BackgroundTask, filters: Filters, most: int) -> Found:
    """Of the deliveries there are. What waits for an attempt is left to it, unless it is asked for by name.

    `status:fail` are those whose schedule is exhausted and those held while the endpoint was disabled.
    """
    page = lists.deliveries_to_endpoint(
        task.application_id, task.endpoint_id, _after(task, most), _window(task), filters
    )
    oldest_first = page.items[::-1]
    by_status = any(one.startswith("status:") for one in filters.facets)
    wanted = [one.message_id for one in oldest_first if by_status or not one.is_pending]
    return _found(task, _that_can_be_sent(task, wanted), oldest_first, done=page.done)


def _missing(task: BackgroundTask, destination: Destination, most: int) -> Found:
    """Of all that the endpoint wants: what it was not sent, and what has no attempt left."""
    page = lists.messages(task.application_id, _after(task, most), _window(task))
    oldest_first = page.items[::-1]
    wanted = [
        one for one in oldest_first if _can_be_sent(one) and destination.wants(one.event_type, one.channels)
    ]
    keys = [Delivery.key_of(task.application_id, one.message_id, task.endpoint_id) for one in wanted]
    deliveries = datastore.lookup(keys) if keys else []
    missing = [
        message.message_id
        for message, delivery in zip(wanted, deliveries, strict=True)
        if delivery is None or delivery.status in {Delivery.FAILED, Delivery.HELD, Delivery.CANCELLED}
    ]
    return _found(task, missing, oldest_first, done=page.done)


def _after(task: BackgroundTask, most: int) -> Cursor:
    """Backwards in a list of which the newest come first."""
    return Cursor(most, task.cursor or ids.bounds("msg", task.since), backwards=True)


def _window(task: BackgroundTask) -> Window:
    return Window(after=task.since, before=task.until)


def _that_can_be_sent(task: BackgroundTask, message_ids: Sequence[str]) -> list[str]:
    """Those whose messages are there: each expires in its own time, and may have been expunged."""
    found: list[str] = []
    for some in batched(message_ids, MESSAGES_AT_ONCE, strict=False):
        keys = [Message.key_of(task.application_id, one) for one in some]
        messages = [one for one in datastore.lookup(keys) if one is not None]
        found += [one.message_id for one in messages if _can_be_sent(one)]
    return found


def _can_be_sent(message: Message) -> bool:
    """Datastore deletes what has expired up to a day late."""
    return not message.expunged and message.expires_at > datetime.now(UTC)


def _found(
    task: BackgroundTask, message_ids: Sequence[str], seen: Sequence[Message | Delivery], *, done: bool
) -> Found:
    return Found(message_ids, seen[-1].message_id if seen else task.cursor, done)
