"""Lists of the ledger: newest first, by key range. Each names its index of index.yaml.

No list counts, skips or filters in memory: a page reads at most its limit plus one.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud import ndb

from apps.core import ids
from apps.core.cursors import Cursor, Page
from apps.deliveries.models import Attempt, Message

LOOKS_BACK = timedelta(days=90)


@dataclass(frozen=True)
class Window:
    """Times between which to list; without `after` a list looks back 90 days."""

    after: datetime | None = None
    before: datetime | None = None


def messages(application_id: str, cursor: Cursor, window: Window) -> Page[Message]:
    """An application's messages. Index: Message(__key__ desc)."""
    return _page(Message.query(), Message, application_id, "msg", cursor, window)


def attempts_of_message(
    application_id: str, message_id: str, cursor: Cursor, window: Window
) -> Page[Attempt]:
    """The attempts of one message, at all endpoints. Index: Attempt(message_id, __key__ desc)."""
    query = Attempt.query(Attempt.message_id == message_id)
    return _page(query, Attempt, application_id, "atmpt", cursor, window)


def attempts_of_endpoint(
    application_id: str, endpoint_id: str, cursor: Cursor, window: Window
) -> Page[Attempt]:
    """The attempts at one endpoint, of all messages. Index: Attempt(endpoint_id, __key__ desc)."""
    query = Attempt.query(Attempt.endpoint_id == endpoint_id)
    return _page(query, Attempt, application_id, "atmpt", cursor, window)


def _page(
    query: ndb.Query, kind: type[ndb.Model], application_id: str, prefix: str, cursor: Cursor, window: Window
) -> Page[Any]:
    def key(item_id: str) -> ndb.Key:
        return ndb.Key(kind, f"{application_id}~{item_id}")

    after = window.after or datetime.now(UTC) - LOOKS_BACK
    low = key(ids.bounds(prefix, after))
    # "~" sorts after every character of an id: with no end given, the range ends with the prefix.
    high = key(ids.bounds(prefix, window.before)) if window.before else key(prefix + "_~")
    if cursor.last_id and cursor.backwards:
        low = max(low, ndb.Key(kind, f"{application_id}~{cursor.last_id}!"))
    elif cursor.last_id:
        high = min(high, key(cursor.last_id))
    order = kind._key if cursor.backwards else -kind._key
    query = query.filter(kind._key >= low, kind._key < high).order(order)
    return Page.of(query.fetch(cursor.limit + 1), cursor)
