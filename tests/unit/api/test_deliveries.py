"""Deliveries over the API: an endpoint's messages, a message's endpoints."""

from collections.abc import Callable
from typing import Any

import pytest
from svix.models import ListResponseEndpointMessageOut, ListResponseMessageEndpointOut

from apps.applications.models import Application, Endpoint
from apps.deliveries.models import Message
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend
from tests.unit.api.conftest import Api

pytestmark = pytest.mark.usefixtures("datastore", "private_endpoints")


@pytest.fixture
def base(application: Application) -> str:
    return f"/api/v1/app/{application.pk}"


@pytest.fixture
def endpoints(receiver: Receiver, add_endpoint: Callable[..., Endpoint]) -> list[Endpoint]:
    return [add_endpoint(f"{receiver.url}/{name}", uid=name) for name in ("good", "failing")]


@pytest.fixture
def message_id(
    api: Api, base: str, endpoints: list[Endpoint], receiver: Receiver, tasks: DrainingBackend
) -> str:
    """A message that is delivered at one endpoint and waits for a retry at the other."""
    receiver.answers["/failing"] = [500]
    body = {"eventType": "a", "payload": {"n": 1}, "channels": ["red"]}
    created: str = api.post(f"{base}/msg", body).json["id"]
    tasks.drain()
    return created


def test_an_endpoints_messages_say_how_they_stand(api: Api, base: str, message_id: str) -> None:
    response = api.get(f"{base}/endpoint/good/msg")
    ListResponseEndpointMessageOut.model_validate_json(response.text)
    (good,) = response.json["data"]
    assert (good["id"], good["payload"]) == (message_id, {"n": 1})
    assert (good["status"], good["statusText"], good["nextAttempt"]) == (0, "success", None)
    (failing,) = api.get(f"{base}/endpoint/failing/msg?with_content=false").json["data"]
    assert (failing["status"], failing["statusText"], failing["payload"]) == (1, "pending", {})
    assert failing["nextAttempt"] > failing["timestamp"]


@pytest.mark.parametrize(
    ("query", "found"),
    [("status=1", True), ("status=0", False), ("channel=red", True), ("event_types=b", False)],
)
def test_an_endpoints_messages_are_filtered(
    api: Api, base: str, message_id: str, query: str, found: bool
) -> None:
    assert len(api.get(f"{base}/endpoint/failing/msg?{query}").json["data"]) == found


def test_a_message_that_waits_for_its_first_attempt_is_sending(
    api: Api, base: str, endpoints: list[Endpoint]
) -> None:
    api.post(f"{base}/msg", {"eventType": "a", "payload": {}})
    assert api.get(f"{base}/endpoint/good/msg").json["data"][0]["statusText"] == "sending"


def test_a_messages_endpoints_say_how_they_stand(
    api: Api, base: str, endpoints: list[Endpoint], message_id: str
) -> None:
    response = api.get(f"{base}/msg/{message_id}/endpoint")
    ListResponseMessageEndpointOut.model_validate_json(response.text)
    stands = {one["uid"]: (one["statusText"], one["nextAttempt"] is None) for one in response.json["data"]}
    assert stands == {"good": ("success", True), "failing": ("pending", False)}


def test_an_endpoint_that_is_gone_is_not_listed_and_ends_no_paging(
    api: Api, base: str, endpoints: list[Endpoint], message_id: str
) -> None:
    newest = max(endpoints, key=lambda one: one.pk)
    api.delete(f"{base}/endpoint/{newest.pk}", status=204)
    first = api.get(f"{base}/msg/{message_id}/endpoint?limit=1").json
    assert (first["data"], first["iterator"], first["done"]) == ([], newest.pk, False)
    second = api.get(f"{base}/msg/{message_id}/endpoint?limit=1&iterator={first['iterator']}").json
    assert len(second["data"]) == 1
    assert second["done"]


def test_a_message_that_expired_first_is_still_told_of(
    api: Api, application: Application, base: str, message_id: str
) -> None:
    Message.key_of(application.pk, message_id).delete()
    listed: list[dict[str, Any]] = api.get(f"{base}/endpoint/good/msg").json["data"]
    assert [(one["id"], one["eventType"], one["payload"]) for one in listed] == [(message_id, "a", {})]
