"""send-example over the API."""

from collections.abc import Callable
from typing import Any

import pytest
from standardwebhooks import Webhook
from svix.models import MessageOut

from apps.accounts.models import Organization
from apps.applications.models import Application, Endpoint, EventType
from apps.deliveries.models import Delivery, Message
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend
from tests.unit.api.conftest import Api

SCHEMAS = {"1": {"type": "object", "properties": {"amount": {"type": "integer", "minimum": 42}}}}
BODY = {"eventType": "invoice.paid"}

pytestmark = pytest.mark.usefixtures("datastore", "private_endpoints")


@pytest.fixture(autouse=True)
def event_type(organization: Organization) -> EventType:
    return EventType.objects.create(organization=organization, name="invoice.paid", schemas=SCHEMAS)


@pytest.fixture
def path(application: Application, add_endpoint: Callable[..., Endpoint], receiver: Receiver) -> str:
    """The path of an endpoint that subscribes to something else, beside another one."""
    add_endpoint(f"{receiver.url}/other")
    endpoint = add_endpoint(f"{receiver.url}/one", uid="one", event_types=["else"], channels=["x"])
    return f"/api/v1/app/{application.pk}/endpoint/{endpoint.pk}/send-example"


def test_an_example_reaches_this_endpoint_and_no_other(
    api: Api, path: str, receiver: Receiver, tasks: DrainingBackend
) -> None:
    receiver.answers["/one"] = [500]
    response = api.post(path, BODY, status=200)
    MessageOut.model_validate_json(response.text, strict=True)
    assert (response.json["eventType"], response.json["payload"]) == ("invoice.paid", {"amount": 42})
    tasks.drain()
    (request,) = receiver.requests
    assert (request.path, request.headers["webhook-id"]) == ("/one", response.json["id"])
    assert Webhook(Endpoint.objects.get(uid="one").signing_secret).verify(request.body, request.headers)
    (delivery,) = Delivery.query()
    assert delivery.is_pending, "it is retried like any other"


def test_one_of_the_authors_examples_may_be_chosen(api: Api, path: str, event_type: EventType) -> None:
    event_type.schemas = {"1": {"examples": [{"n": 1}, {"n": 2}]}}
    event_type.save()
    assert api.post(path, {**BODY, "exampleIndex": 1}, status=200).json["payload"] == {"n": 2}
    (item,) = api.post(path, {**BODY, "exampleIndex": 2}, status=422).json["detail"]
    assert "2 examples" in item["msg"]


def test_the_same_request_again_sends_once(
    api: Api, path: str, receiver: Receiver, tasks: DrainingBackend
) -> None:
    ids = {api.post(path, BODY, status=200, idempotency_key="k").json["id"] for _ in range(2)}
    tasks.drain()
    assert len(ids) == len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"eventType": "unknown"}, 404),
        ({}, 422),
        ({"eventType": 1}, 422),
        ({**BODY, "exampleIndex": -1}, 422),
        ({**BODY, "exampleIndex": "1"}, 422),
        ({**BODY, "payload": {"n": 1}}, 501),
    ],
)
def test_what_gives_no_example_sends_nothing(api: Api, path: str, body: Any, status: int) -> None:
    api.post(path, body, status=status)
    assert Message.query().count() == 0


def test_an_event_type_without_a_schema_is_422(api: Api, path: str, event_type: EventType) -> None:
    event_type.schemas = None
    event_type.save()
    (item,) = api.post(path, BODY, status=422).json["detail"]
    assert (item["loc"], item["msg"]) == (["body", "eventType"], "The event type has no schema.")


def test_only_the_owner_sends_an_example(api: Api, stranger: Api, nobody: Api, path: str) -> None:
    stranger.post(path, BODY, status=404)
    nobody.post(path, BODY, status=401)
    other = api.post("/api/v1/app", {"name": "other"}).json["id"]
    api.post(path.replace(Application.objects.get(uid="customer-1").pk, other), BODY, status=404)
    assert Message.query().count() == 0


def test_a_strangers_event_type_is_not_found(api: Api, stranger: Api, path: str) -> None:
    body = {"description": "", "schemas": SCHEMAS}
    stranger("PUT", "/api/v1/event-type/theirs", body, 201)
    api.post(path, {"eventType": "theirs"}, status=404)
