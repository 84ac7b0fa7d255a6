"""The ledger: messages, deliveries and attempts in Datastore.

Keys are flat names that begin with the application (`app~msg`), so that writes of different
applications spread, lists of one application are a key range, and no tenant's key equals another's.
Ids sort by time, so newest first is descending key order (index.yaml). See docs/data-model.md.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from google.cloud import ndb

from apps.deliveries.background_task import BackgroundTask  # noqa: F401  Django looks for models here


def facet(name: str, value: object) -> str:
    """What a list can be filtered by, as one indexed word: `type:invoice.paid`, `status:fail`."""
    return f"{name}:{value}"


def message_facets(event_type: str, channels: Iterable[str], tags: Iterable[str]) -> list[str]:
    """The facets of a message, which its deliveries and attempts bear too."""
    return [
        facet("type", event_type),
        *(facet("channel", channel) for channel in channels),
        *(facet("tag", tag) for tag in tags),
    ]


class Message(ndb.Model):
    """One accepted event. Its id is the `webhook-id` header. It does not change, but may be expunged."""

    application_id: str = ndb.TextProperty(required=True)
    message_id: str = ndb.TextProperty(required=True)
    event_type: str = ndb.TextProperty(required=True)
    event_id: str | None = ndb.TextProperty()
    channels: list[str] = ndb.TextProperty(repeated=True)
    tags: list[str] = ndb.TextProperty(repeated=True)
    facets: list[str] = ndb.StringProperty(repeated=True)
    # The exact bytes that are signed and sent; `payload_file` names them in storage when they are too many.
    payload: bytes | None = ndb.BlobProperty()
    payload_file: str | None = ndb.TextProperty()
    # The payload was deleted on request: the message can not be sent any more.
    expunged: bool = ndb.BooleanProperty(indexed=False, default=False)
    created_at: datetime = ndb.DateTimeProperty(tzinfo=UTC, indexed=False, required=True)
    expires_at: datetime = ndb.DateTimeProperty(tzinfo=UTC, indexed=False, required=True)

    @staticmethod
    def key_of(application_id: str, message_id: str) -> ndb.Key:
        return ndb.Key(Message, f"{application_id}~{message_id}")


class Delivery(ndb.Model):
    """One message x one endpoint, and what is to happen to it next."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # the retry schedule is exhausted
    HELD = "held"  # the endpoint was disabled: no attempts until somebody replays it
    CANCELLED = "cancelled"  # the endpoint or application was deleted

    application_id: str = ndb.TextProperty(required=True)
    message_id: str = ndb.TextProperty(required=True)
    endpoint_id: str = ndb.StringProperty(required=True)
    status: str = ndb.TextProperty(required=True)
    # The message's, and the delivery's own status in the words of the API (`shown_status`).
    facets: list[str] = ndb.StringProperty(repeated=True)
    # Attempts of both triggers; numbers the next one.
    attempt_count: int = ndb.IntegerProperty(indexed=False, default=0)
    # Automatic attempts: the place in the retry schedule, which manual ones do not move.
    scheduled_count: int = ndb.IntegerProperty(indexed=False, default=0)
    next_attempt_at: datetime | None = ndb.DateTimeProperty(tzinfo=UTC, indexed=False)
    # When the sweep takes the delivery for stranded (`due.bucket`); None when nothing is to happen.
    due: str | None = ndb.StringProperty()
    sweep_count: int = ndb.IntegerProperty(indexed=False, default=0)
    expires_at: datetime = ndb.DateTimeProperty(tzinfo=UTC, indexed=False, required=True)

    @staticmethod
    def key_of(application_id: str, message_id: str, endpoint_id: str) -> ndb.Key:
        return ndb.Key(Delivery, f"{application_id}~{message_id}~{endpoint_id}")

    @property
    def is_pending(self) -> bool:
        return self.status == self.PENDING

    @property
    def shown_status(self) -> str:
        """The status in the words of the API: before the first attempt it is `sending`; held is a failure."""
        if self.is_pending:
            return "pending" if self.attempt_count else "sending"
        return {self.DELIVERED: "success", self.CANCELLED: "canceled"}.get(self.status, "fail")

    def update_facets(self) -> None:
        """Bring the status among the facets up to date: to be called before the delivery is written."""
        others = [one for one in self.facets if not one.startswith(facet("status", ""))]
        self.facets = [*others, facet("status", self.shown_status)]


class Attempt(ndb.Model):
    """One HTTP request to an endpoint and how it ended. Does not change, but its answer may be expunged."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"

    application_id: str = ndb.TextProperty(required=True)
    attempt_id: str = ndb.TextProperty(required=True)
    message_id: str = ndb.StringProperty(required=True)
    endpoint_id: str = ndb.StringProperty(required=True)
    # The message's, whether the attempt succeeded, and the class of the answer's status: 0 for no answer.
    facets: list[str] = ndb.StringProperty(repeated=True)
    number: int = ndb.IntegerProperty(indexed=False, required=True)
    trigger: str = ndb.TextProperty(required=True)
    url: str = ndb.TextProperty(required=True)
    succeeded: bool = ndb.BooleanProperty(indexed=False, required=True)
    status_code: int = ndb.IntegerProperty(indexed=False, required=True)  # 0: no answer
    response: str = ndb.TextProperty(default="")
    error: str = ndb.TextProperty(default="")  # why there was no answer
    duration_ms: int = ndb.IntegerProperty(indexed=False, required=True)
    started_at: datetime = ndb.DateTimeProperty(tzinfo=UTC, indexed=False, required=True)
    expires_at: datetime = ndb.DateTimeProperty(tzinfo=UTC, indexed=False, required=True)

    @staticmethod
    def key_of(application_id: str, attempt_id: str) -> ndb.Key:
        return ndb.Key(Attempt, f"{application_id}~{attempt_id}")


class IdempotencyRecord(ndb.Model):
    """Which message an idempotency key made. Written in the message's own commit: the key is unique."""

    message_id: str = ndb.TextProperty(required=True)
    expires_at: datetime = ndb.DateTimeProperty(tzinfo=UTC, indexed=False, required=True)

    @staticmethod
    def key_of(application_id: str, digest: str) -> ndb.Key:
        return ndb.Key(IdempotencyRecord, f"{application_id}~{digest}")


class EventIdRecord(ndb.Model):
    """Which message bears an event id. Written in the message's own commit: the id is unique."""

    message_id: str = ndb.TextProperty(required=True)
    expires_at: datetime = ndb.DateTimeProperty(tzinfo=UTC, indexed=False, required=True)

    @staticmethod
    def key_of(application_id: str, event_id: str) -> ndb.Key:
        return ndb.Key(EventIdRecord, f"{application_id}~{event_id}")
