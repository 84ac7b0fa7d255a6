"""Lists of the ledger: newest first, by key range. Each names its index of index.yaml.

No list counts, skips or filters in memory: a page reads at most its limit plus one, for each event type
that was asked for. With filters it is the index of the same name with `facets` before the key.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud import ndb

from apps.core import datastore, ids
from apps.core.cursors import Cursor, Page
from apps.deliveries.models import Attempt, Delivery, Message, facet

LOOKS_BACK = timedelta(days=90)


@dataclass(frozen=True)
class Window:
    """Times between which to list; without `after` a list looks back 90 days."""

    after: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True)
class Filters:
    """What a list is narrowed to: every facet, and any of the event types where some are named."""

    facets: Sequence[str] = ()
    event_types: Sequence[str] = ()

    def alternatives(self) -> list[list[str]]:
        """Facets that an item must bear all of, one list for each event type. No item bears two types."""
        types = [[facet("type", name)] for name in dict.fromkeys(self.event_types)] or [[]]
        return [[*self.facets, *one] for one in types]


NO_FILTERS = Filters()


def messages(
    application_id: str, cursor: Cursor, window: Window, filters: Filters = NO_FILTERS
) -> Page[Message]:
    """An application's messages. Index: Message(__key__ desc)."""
    return _page(Message, Message.query(), application_id, cursor, window, filters)


def attempts_of_message(
    application_id: str, message_id: str, cursor: Cursor, window: Window, filters: Filters = NO_FILTERS
) -> Page[Attempt]:
    """The attempts of one message, at all endpoints. Index: Attempt(message_id, __key__ desc)."""
    query = Attempt.query(Attempt.message_id == message_id)
    return _page(Attempt, query, application_id, cursor, window, filters)


def attempts_of_endpoint(
    application_id: str, endpoint_id: str, cursor: Cursor, window: Window, filters: Filters = NO_FILTERS
) -> Page[Attempt]:
    """The attempts at one endpoint, of all messages. Index: Attempt(endpoint_id, __key__ desc)."""
    query = Attempt.query(Attempt.endpoint_id == endpoint_id)
    return _page(Attempt, query, application_id, cursor, window, filters)


def deliveries_to_endpoint(
    application_id: str, endpoint_id: str, cursor: Cursor, window: Window, filters: Filters = NO_FILTERS
) -> Page[Delivery]:
    """An endpoint's deliveries, by message. Index: Delivery(endpoint_id, __key__ desc)."""
    query = Delivery.query(Delivery.endpoint_id == endpoint_id)
    return _page(Delivery, query, application_id, cursor, window, filters)


def deliveries_of_message(application_id: str, message_id: str, cursor: Cursor) -> Page[Delivery]:
    """A message's deliveries, by endpoint, whose id is the iterator. Index: Delivery(__key__ desc)."""
    of_message = f"{application_id}~{message_id}~"
    return _read(Delivery, [Delivery.query()], cursor, of_message, of_message, of_message + LAST)


def messages_by_id(application_id: str, message_ids: Sequence[str]) -> dict[str, Message]:
    """Those that are still there, in one call. None for no ids."""
    keys = [Message.key_of(application_id, one) for one in dict.fromkeys(message_ids)]
    found = datastore.lookup(keys) if keys else []
    return {message.message_id: message for message in found if message is not None}


# "~" sorts after every character of an id: behind an id, it is after all that begins with the id.
LAST = "~"
ID_PREFIX = {Message: "msg", Delivery: "msg", Attempt: "atmpt"}


def _page(
    kind: type[ndb.Model],
    query: ndb.Query,
    application_id: str,
    cursor: Cursor,
    window: Window,
    filters: Filters,
) -> Page[Any]:
    of_application, prefix = f"{application_id}~", ID_PREFIX[kind]
    low = ids.bounds(prefix, window.after or datetime.now(UTC) - LOOKS_BACK)
    high = ids.bounds(prefix, window.before) if window.before else f"{prefix}_{LAST}"
    facets: Any = kind.facets  # on the class an NDB property, which compares to a filter
    queries = [
        query.filter(*(facets == one for one in alternative)) for alternative in filters.alternatives()
    ]
    return _read(kind, queries, cursor, of_application, of_application + low, of_application + high)


def _read(
    kind: type[ndb.Model], queries: Sequence[ndb.Query], cursor: Cursor, start: str, low: str, high: str
) -> Page[Any]:
    """A page of what the queries find between two key names; `start` precedes the id that a cursor names."""
    if cursor.last_id and cursor.backwards:
        low = max(low, f"{start}{cursor.last_id}{LAST}{LAST}")
    elif cursor.last_id:
        high = min(high, start + cursor.last_id)
    order = kind._key if cursor.backwards else -kind._key
    between = (kind._key >= ndb.Key(kind, low), kind._key < ndb.Key(kind, high))
    found = [query.filter(*between).order(order).fetch_async(cursor.limit + 1) for query in queries]
    pages = [future.get_result() for future in found]
    merged = heapq.merge(*pages, key=lambda one: one.key.id(), reverse=not cursor.backwards)
    return Page.of(list(merged)[: cursor.limit + 1], cursor)
