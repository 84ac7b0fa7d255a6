"""Messages through the production settings, to a real receiver."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.conftest import Receiver
from tests.functional import production as deployment
from tests.functional.production import BUCKETS, Production
from tests.functional.system import wait_until
from tests.with_services import ServiceMissing

ARRIVES_S = 150  # a sweep takes up to two minutes, where a task got lost


@pytest.fixture(scope="module")
def production() -> Iterator[Production]:
    """Endpoints on this machine are allowed; nothing else differs."""
    try:
        with deployment.deployed(WAYBILL_ALLOW_PRIVATE_ENDPOINTS="1") as running:
            yield running
    except ServiceMissing as missing:
        pytest.skip(str(missing))


def call(production: Production, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and JSON of a call of the API under /api/v1."""
    headers = {"Authorization": f"Bearer {production.api_key}", "Content-Type": "application/json"}
    text = None if body is None else json.dumps(body).encode()
    answer = production.ask(f"/api/v1{path}", text, headers, method=method)
    return answer.status, json.loads(answer.body)


@pytest.fixture
def endpoint(production: Production, receiver: Receiver) -> str:
    """The path of an endpoint that leads to the receiver, under that of its application."""
    status, application = call(production, "POST", "/app", {"name": "A customer"})
    assert status == 201
    path = f"/app/{application['id']}"
    status, made = call(production, "POST", f"{path}/endpoint", {"url": receiver.url})
    assert status == 201, made
    return f"{path}/endpoint/{made['id']}"


def post(production: Production, endpoint: str, payload: dict[str, Any]) -> str:
    """The id of an accepted message."""
    body = {"eventType": "invoice.paid", "payload": payload}
    status, message = call(production, "POST", f"{endpoint.partition('/endpoint')[0]}/msg", body)
    assert status == 202, message
    return str(message["id"])


def signing_secret(production: Production, endpoint: str) -> str:
    status, answer = call(production, "GET", f"{endpoint}/secret")
    assert status == 200
    return str(answer["key"])


def test_a_payload_too_large_for_an_entity_is_kept_in_its_bucket_and_delivered(
    production: Production, endpoint: str, receiver: Receiver
) -> None:
    payload = {"text": "x" * 1_000_000}
    message_id = post(production, endpoint, payload)
    receiver.wait_for(1, ARRIVES_S)
    assert json.loads(receiver.requests[0].body) == payload
    application_id = endpoint.split("/")[2]
    assert production.objects(BUCKETS["PAYLOADS_BUCKET"]) == [f"payloads/{application_id}/{message_id}.json"]
    assert not [name for name in production.objects(BUCKETS["MEDIA_BUCKET"]) if "payloads" in name]


def test_while_redis_is_down_messages_are_accepted_and_delivered_and_changes_refused(
    production: Production, endpoint: str, receiver: Receiver
) -> None:
    with production.without_redis():
        status, listed = call(production, "GET", endpoint)
        assert (status, listed["url"]) == (200, receiver.url)
        message_id = post(production, endpoint, {"n": 1})
        receiver.wait_for(1, ARRIVES_S)
        assert receiver.requests[0].headers["webhook-id"] == message_id
        status, refusal = call(production, "DELETE", endpoint)
        assert status == 503, refusal
    status, listed = call(production, "GET", endpoint)
    assert (status, listed["url"]) == (200, receiver.url)


def secrets(version: int) -> str:
    """SECRETS of app.yaml with another version of the field keys."""
    pinned = deployment.VARIABLES["SECRETS"]
    return pinned.replace("field-encryption-keys:1", f"field-encryption-keys:{version}")


def test_field_keys_are_rotated_under_traffic_and_signatures_stay_the_same(
    production: Production, endpoint: str, receiver: Receiver
) -> None:
    """Read by all, then written by all, then encrypted anew, then the old one is gone: three deploys."""
    secret = signing_secret(production, endpoint)
    try:
        for version in (2, 3):
            production.restart(SECRETS=secrets(version))
            post(production, endpoint, {"version": version})
        said = production.manage("rotate_field_keys", SECRETS=secrets(3))
        assert "No row uses key 'a'" in said
        production.python("from django.core.cache import cache; cache.clear()")  # five minutes go by
        production.restart(SECRETS=secrets(4))
        assert signing_secret(production, endpoint) == secret
        post(production, endpoint, {"version": 4})
        assert wait_until(lambda: len(receiver.requests) == 3, ARRIVES_S)
        for request in receiver.requests:
            Webhook(secret).verify(request.body, request.headers)
    finally:
        production.stop()
        production.manage("rotate_field_keys", SECRETS=secrets(2))
        production.start()
