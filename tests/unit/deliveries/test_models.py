"""The ledger's kinds, as apps.core.datastore writes them and as NDB does."""

from datetime import UTC, datetime, timedelta

import pytest
from google.cloud import ndb

from apps.core import datastore
from apps.core.datastore import Writes
from apps.deliveries.models import Attempt, Delivery, EventIdRecord, IdempotencyRecord, Message

pytestmark = pytest.mark.usefixtures("datastore")

AT = datetime(2026, 11, 22, 15, 3, 47, 614_999, UTC)


def full() -> list[ndb.Model]:
    """One entity of each kind, every property filled."""
    return [
        Message(
            key=Message.key_of("app_1", "msg_1"),
            application_id="app_1",
            message_id="msg_1",
            event_type="invoice.paid",
            event_id="e\u00e91",
            channels=["red", "\U0001f98a"],
            tags=["vip"],
            facets=["type:invoice.paid", "channel:\U0001f98a", "tag:vip"],
            expunged=True,
            payload=b'\x00\xff{"a": "\\u0000"}' * 1000,
            payload_file="payloads/app_1/msg_1.json",
            created_at=AT,
            expires_at=AT + timedelta(days=90),
        ),
        Delivery(
            key=Delivery.key_of("app_1", "msg_1", "ep_1"),
            application_id="app_1",
            message_id="msg_1",
            endpoint_id="ep_1",
            status=Delivery.PENDING,
            facets=["type:invoice.paid", "status:pending"],
            attempt_count=2**40,
            scheduled_count=3,
            next_attempt_at=AT,
            due="07|0000000001",
            sweep_count=4,
            expires_at=AT,
        ),
        Attempt(
            key=Attempt.key_of("app_1", "atmpt_1"),
            application_id="app_1",
            attempt_id="atmpt_1",
            message_id="msg_1",
            endpoint_id="ep_1",
            facets=["type:invoice.paid", "status:success", "class:200"],
            number=1,
            trigger=Attempt.MANUAL,
            url="https://example.com/" + "x" * 60_000,
            succeeded=True,
            status_code=204,
            response="\ufffd\x00\n" * 10_000,
            error="because",
            duration_ms=1234,
            started_at=AT,
            expires_at=AT,
        ),
        IdempotencyRecord(key=IdempotencyRecord.key_of("app_1", "digest"), message_id="msg_1", expires_at=AT),
        EventIdRecord(key=EventIdRecord.key_of("app_1", "\u00e9 / ~ |"), message_id="msg_1", expires_at=AT),
    ]


def sparse() -> list[ndb.Model]:
    """With no more than they need."""
    return [
        Message(
            key=Message.key_of("app_2", "msg_2"),
            application_id="app_2",
            message_id="msg_2",
            event_type="a",
            created_at=AT,
            expires_at=AT,
        ),
        Delivery(
            key=Delivery.key_of("app_2", "msg_2", "ep_2"),
            application_id="app_2",
            message_id="msg_2",
            endpoint_id="ep_2",
            status=Delivery.DELIVERED,
            expires_at=AT,
        ),
        Attempt(
            key=Attempt.key_of("app_2", "atmpt_2"),
            application_id="app_2",
            attempt_id="atmpt_2",
            message_id="msg_2",
            endpoint_id="ep_2",
            number=1,
            trigger=Attempt.SCHEDULED,
            url="",
            succeeded=False,
            status_code=0,
            duration_ms=0,
            started_at=AT,
            expires_at=AT,
        ),
    ]


@pytest.mark.parametrize("how", ["insert", "put", "transact"])
def test_what_is_written_reads_back_equal_through_ndb_and_the_other_way_round(how: str) -> None:
    written = full() + sparse()
    if how == "transact":
        datastore.transact([written[0].key], lambda _: (Writes(put=written), None))
    else:
        datastore.commit(Writes(**{how: written}))
    for entity in written:
        by_ndb = entity.key.get()
        assert by_ndb == entity
        assert by_ndb.to_dict() == entity.to_dict()
        by_ndb.put()
    assert datastore.lookup([entity.key for entity in written]) == written


def test_the_test_above_fills_every_property() -> None:
    kinds = {type(entity) for entity in full()}
    assert kinds == {Message, Delivery, Attempt, IdempotencyRecord, EventIdRecord}
    for entity in full():
        empty = type(entity)().to_dict()
        assert [name for name, value in entity.to_dict().items() if value == empty[name]] == []


def test_indexed_values_are_found_by_ndb_queries() -> None:
    _, delivery, attempt, *_ = full()
    datastore.commit(Writes(insert=[delivery, attempt]))
    assert Delivery.query(Delivery.due == delivery.due).get(keys_only=True) == delivery.key
    assert Attempt.query(Attempt.message_id == "msg_1").get(keys_only=True) == attempt.key
    assert Attempt.query(Attempt.endpoint_id == "ep_1").get(keys_only=True) == attempt.key
    assert Attempt.query(Attempt.facets == "class:200").get(keys_only=True) == attempt.key
    assert Delivery.query(Delivery.facets == "status:pending").get(keys_only=True) == delivery.key


@pytest.mark.parametrize(
    ("status", "attempt_count", "shown"),
    [
        (Delivery.PENDING, 0, "sending"),
        (Delivery.PENDING, 1, "pending"),
        (Delivery.DELIVERED, 1, "success"),
        (Delivery.FAILED, 8, "fail"),
        (Delivery.HELD, 0, "fail"),
        (Delivery.CANCELLED, 0, "canceled"),
    ],
)
def test_a_deliverys_status_is_among_its_facets_once(status: str, attempt_count: int, shown: str) -> None:
    delivery = Delivery(status=status, attempt_count=attempt_count, facets=["type:a", "status:sending"])
    delivery.update_facets()
    assert delivery.facets == ["type:a", f"status:{shown}"]


def test_a_put_replaces_every_property() -> None:
    _, delivery, *_ = full()
    due = delivery.due
    delivery.put()
    delivery.due = delivery.next_attempt_at = None
    datastore.commit(Writes(put=[delivery]))
    assert delivery.key.get() == delivery
    assert Delivery.query(Delivery.due == due).get() is None


@pytest.mark.parametrize("kind", [Message, Delivery, Attempt, IdempotencyRecord, EventIdRecord])
def test_invariant_8_no_tenants_key_equals_anothers(kind: type[ndb.Model]) -> None:
    rest = ["x"] * (kind.key_of.__code__.co_argcount - 1)
    assert kind.key_of("app_1", *rest) == kind.key_of("app_1", *rest)
    assert kind.key_of("app_1", *rest) != kind.key_of("app_2", *rest)
    assert kind.key_of("app_1", *rest).id().startswith("app_1~")
