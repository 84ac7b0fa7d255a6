"""Messages over the API."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from google.cloud import ndb
from svix.models import ListResponseMessageOut, MessageOut

from apps.applications.models import Application, Endpoint
from apps.core import ids
from apps.deliveries import payloads
from apps.deliveries.models import Message
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend
from tests.unit.api.conftest import Api

pytestmark = pytest.mark.usefixtures("datastore", "private_endpoints")

BODY = {"eventType": "invoice.paid", "payload": {"n": 1}}


@pytest.fixture
def path(application: Application) -> str:
    return f"/api/v1/app/{application.pk}/msg"


def test_a_created_message_has_the_shape_the_sdk_reads(api: Api, application: Application) -> None:
    body = BODY | {"eventId": "event-1", "channels": ["a", "b"], "tags": ["t"], "payloadRetentionPeriod": 5}
    response = api.post(f"/api/v1/app/{application.uid}/msg/", body, status=202)
    MessageOut.model_validate_json(response.text, strict=True)
    del body["payloadRetentionPeriod"]
    assert response.json | body == response.json
    assert response.json["id"].startswith("msg_")
    for name in (response.json["id"], "event-1"):
        assert api.get(f"/api/v1/app/{application.pk}/msg/{name}").json == response.json


def test_without_content_the_payload_is_empty(api: Api, path: str) -> None:
    created = api.post(f"{path}?with_content=false", BODY, status=202).json
    assert created["payload"] == {}
    assert api.get(f"{path}/{created['id']}?with_content=false").json == created
    assert api.get(f"{path}/{created['id']}").json["payload"] == {"n": 1}
    assert api.get(f"{path}?with_content=false").json["data"] == [created]


def test_the_payload_is_kept_as_sent_but_for_white_space(api: Api, path: str) -> None:
    sent = r'{"b": 12345678901234567890, "a": 1.5, "☃": "é\/", "z": [true, null, {}], "s": "\ud83d\ude00"}'
    body = b'{"eventType": "a", "payload": ' + sent.encode() + b"}"
    message_id = api.post(path, body, status=202).json["id"]
    kept = payloads.read(stored(path, message_id))
    assert kept == '{"b":12345678901234567890,"a":1.5,"☃":"é/","z":[true,null,{}],"s":"😀"}'.encode()


def test_half_a_surrogate_pair_stays_an_escape(api: Api, path: str) -> None:
    created = api.post(path, b'{"eventType": "a", "payload": {"s": "\\ud800"}}', status=202)
    assert payloads.read(stored(path, created.json["id"])) == b'{"s":"\\ud800"}'
    assert '"\\ud800"' in created.text


def stored(path: str, message_id: str) -> Message:
    return Message.key_of(path.split("/")[4], message_id).get()  # type: ignore[no-any-return]  # NDB ships no types


def test_a_payload_up_to_the_limit_is_taken_and_one_byte_more_is_413(api: Api, path: str) -> None:
    filler = "é" * ((payloads.LARGEST - len('{"x":""}')) // 2)
    body = json.dumps({"eventType": "a", "payload": {"x": filler}}).encode()
    assert len(body) > 2 * payloads.LARGEST  # escaped, as Python clients send it
    message_id = api.post(path, body, status=202).json["id"]
    assert api.get(f"{path}/{message_id}").json["payload"] == {"x": filler}
    larger = json.dumps({"eventType": "a", "payload": {"x": filler + "é"}}).encode()
    assert api.post(path, larger, status=413).json["code"] == "payload_too_large"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("eventType", None),
        ("eventType", "a b"),
        ("eventType", "x" * 257),
        ("payload", None),
        ("payload", "text"),
        ("payload", [1]),
        ("eventId", ""),
        ("eventId", "msg_1"),
        ("eventId", "a b"),
        ("channels", []),
        ("channels", ["a", "b", "c", "d", "e", "f"]),
        ("channels", ["a b"]),
        ("payloadRetentionPeriod", 4),
        ("payloadRetentionPeriod", 91),
    ],
)
def test_a_bad_field_is_422_and_nothing_is_accepted(
    api: Api, path: str, tasks: DrainingBackend, field: str, value: Any
) -> None:
    (item, *_) = api.post(path, BODY | {field: value}, status=422).json["detail"]
    assert item["loc"][:2] == ["body", field]
    assert Message.query().count() == 0
    assert tasks.queued == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("application", {"name": "x"}),
        ("transformationsParams", {"rawPayload": "x"}),
        ("deliverAt", "2030-01-01T00:00:00Z"),
        ("payloadRetentionHours", 12),
    ],
)
def test_a_field_that_does_not_work_yet_is_501_by_name(api: Api, path: str, field: str, value: Any) -> None:
    assert field in api.post(path, BODY | {field: value}, status=501).json["detail"]
    api.post(path, BODY | {field: None, "unheardOf": 1}, status=202)


def test_the_retention_period_is_the_messages(api: Api, path: str) -> None:
    message = stored(path, api.post(path, BODY | {"payloadRetentionPeriod": 7}).json["id"])
    assert message.expires_at - message.created_at == timedelta(days=7)
    message = stored(path, api.post(path, BODY).json["id"])
    assert message.expires_at - message.created_at == timedelta(days=90)


def test_what_is_posted_is_what_the_endpoint_receives(
    api: Api, path: str, receiver: Receiver, add_endpoint: Callable[..., Endpoint], tasks: DrainingBackend
) -> None:
    add_endpoint(f"{receiver.url}/hook", event_types=["invoice.paid"])
    message_id = api.post(path, BODY, status=202).json["id"]
    tasks.drain()
    (request,) = receiver.requests
    assert (request.body, request.headers["webhook-id"]) == (b'{"n":1}', message_id)


def test_the_same_event_id_twice_is_a_conflict(api: Api, path: str) -> None:
    api.post(path, BODY | {"eventId": "once"}, status=202)
    assert api.post(path, BODY | {"eventId": "once"}, status=409).json["code"] == "conflict"
    other = api.post("/api/v1/app", {"name": "other"}).json["id"]
    api.post(f"/api/v1/app/{other}/msg", BODY | {"eventId": "once"}, status=202)


def test_the_same_idempotency_key_is_one_message_by_id_and_by_uid(
    api: Api, path: str, application: Application
) -> None:
    first = api.post(path, BODY, idempotency_key="key").json
    by_uid = f"/api/v1/app/{application.uid}/msg"
    assert api.post(by_uid, BODY, status=202, idempotency_key="key").json == first
    assert api.post(path, BODY, idempotency_key="other").json["id"] != first["id"]
    other = api.post("/api/v1/app", {"name": "other"}).json["id"]
    assert api.post(f"/api/v1/app/{other}/msg", BODY, idempotency_key="key").json["id"] != first["id"]


def test_creating_a_message_costs_one_query_for_the_key_and_one_or_two_for_the_route(
    api: Api, path: str, application: Application
) -> None:
    for url, most in ((path, 2), (f"/api/v1/app/{application.uid}/msg", 3)):
        api.post(url, BODY, status=202)  # with Redis, the first one fills it
        with CaptureQueriesContext(connection) as queries:
            api.post(url, BODY, status=202, idempotency_key="key")
        assert len(queries) == (0 if settings.REDIS_HOST else most), [query["sql"] for query in queries]


def test_messages_are_listed_newest_first_forwards_and_backwards(
    api: Api, path: str, pages: Callable[..., list[list[Any]]]
) -> None:
    other = api.post("/api/v1/app", {"name": "other"}).json["id"]
    api.post(f"/api/v1/app/{other}/msg", BODY)
    found = sorted((api.post(path, BODY).json["id"] for _ in range(5)), reverse=True)
    ListResponseMessageOut.model_validate_json(api.get(path).text, strict=True)
    assert pages(f"{path}?limit=2") == [found[:2], found[2:4], found[4:]]
    assert pages(f"{path}?limit=2", by="prevIterator", start=f"-{found[4]}") == [found[2:4], found[:2]]


def test_messages_are_listed_between_times_naive_ones_in_utc(
    api: Api, path: str, application: Application
) -> None:
    now = datetime.now(UTC)
    for days in (1, 50, 100):
        message_id = ids.new("msg", now - timedelta(days=days))
        put(application.pk, message_id, now - timedelta(days=days))

    def ages(query: str) -> list[int]:
        data = api.get(f"{path}?{query}").json["data"]
        return [(now - datetime.fromisoformat(one["timestamp"])).days for one in data]

    assert ages("") == [1, 50]  # 90 days unless told otherwise
    assert ages(f"after={now - timedelta(days=200):%Y-%m-%dT%H:%M:%S}") == [1, 50, 100]
    assert ages(f"before={now - timedelta(days=20):%Y-%m-%dT%H:%M:%SZ}") == [50]
    assert ages(f"after={now - timedelta(days=20):%Y-%m-%dT%H:%M:%S.%f}") == [1]


def put(application_id: str, message_id: str, at: datetime) -> None:
    message = Message(
        key=Message.key_of(application_id, message_id),
        application_id=application_id,
        message_id=message_id,
        event_type="a",
        payload=b"{}",
        created_at=at,
        expires_at=at + timedelta(days=90),
    )
    ndb.put_multi([message])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("channel=red", [0]),
        ("tag=vip", [0]),
        ("event_types=b", [1]),
        ("event_types=a,b", [1, 0]),
        ("tag=x", []),
    ],
)
def test_filters_narrow_the_list(api: Api, path: str, query: str, found: list[int]) -> None:
    bodies: list[dict[str, Any]] = [
        {"eventType": "a", "payload": {}, "channels": ["red", "blue"], "tags": ["vip"]},
        {"eventType": "b", "payload": {}},
    ]
    made = [api.post(path, body).json["id"] for body in bodies]
    listed = api.get(f"{path}?{query}").json["data"]
    assert sorted(one["id"] for one in listed) == sorted(made[number] for number in found)


@pytest.mark.parametrize("name", ["msg_2Zk1cvJtBnrb0GcoQfyqBXWbOqR", "no-such-event"])
def test_an_unknown_message_is_404(api: Api, path: str, name: str) -> None:
    assert api.get(f"{path}/{name}", status=404).json["code"] == "not_found"


def test_an_unknown_application_is_404(api: Api) -> None:
    for name in ("app_2Zk1cvJtBnrb0GcoQfyqBXWbOqR", "no-such-uid"):
        api.post(f"/api/v1/app/{name}/msg", BODY, status=404)
        api.get(f"/api/v1/app/{name}/msg", status=404)


def test_only_the_owner_reaches_messages(
    api: Api, stranger: Api, nobody: Api, application: Application, path: str
) -> None:
    message_id = api.post(path, BODY | {"eventId": "event-1"}).json["id"]
    own = stranger.post("/api/v1/app", {"name": "own"}).json["id"]
    for base in (path, f"/api/v1/app/{application.uid}/msg"):
        for name in (message_id, "event-1"):
            stranger.get(f"{base}/{name}", status=404)
            stranger.get(f"/api/v1/app/{own}/msg/{name}", status=404)
            nobody.get(f"{base}/{name}", status=401)
        stranger.get(base, status=404)
        stranger.post(base, BODY, status=404)
        nobody.post(base, BODY, status=401)
    assert Message.query().count() == 1


def test_invariant_1_storage_that_fails_after_the_commit_does_not_take_the_202_back(
    api: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_: Message) -> bytes:
        raise OSError("the bucket does not answer")

    monkeypatch.setattr(payloads, "read", lost)
    created = api.post(path, {"eventType": "a", "payload": {"pad": "x" * 1_000_000}}, status=202).json
    assert created["payload"] == {}
    monkeypatch.undo()
    assert len(api.get(f"{path}/{created['id']}").json["payload"]["pad"]) == 1_000_000


def test_an_expunged_payload_is_not_shown_and_the_message_not_resent(
    api: Api, stranger: Api, path: str, add_endpoint: Callable[..., Endpoint]
) -> None:
    endpoint = add_endpoint("https://example.com/hook")
    message_id = api.post(path, BODY).json["id"]
    stranger.delete(f"{path}/{message_id}/content", status=404)
    assert api.get(f"{path}/{message_id}").json["payload"] == BODY["payload"]
    for _ in range(2):
        api.delete(f"{path}/{message_id}/content", status=204)
        assert api.get(f"{path}/{message_id}").json["payload"] == {"expired": True}
    assert api.get(path).json["data"][0]["payload"] == {"expired": True}
    api.post(f"{path}/{message_id}/endpoint/{endpoint.pk}/resend", {}, status=409)
    api.delete(f"{path}/msg_2Zk1cvJtBnrb0GcoQfyqBXWbOqR/content", status=404)
