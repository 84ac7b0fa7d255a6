"""An endpoint's headers over the API."""

from collections.abc import Callable
from typing import Any

import pytest
from svix.models import EndpointHeadersOut

from apps.applications.models import Application, Endpoint
from apps.applications.routing import Route
from apps.deliveries.accept import Draft, accept
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend
from tests.unit.api.conftest import Api

URL = "https://93.184.215.14/hook?x=1"
KEPT = {"X-Tenant": "7", "Authorization": "Bearer hunter2"}


@pytest.fixture
def path(application: Application) -> str:
    return f"/api/v1/app/{application.pk}/endpoint"


@pytest.fixture
def headers(path: str, add_endpoint: Callable[..., Endpoint]) -> str:
    """The path of the headers of an endpoint that has KEPT."""
    return f"{path}/{add_endpoint(URL, uid='one', headers=KEPT).pk}/headers"


def test_headers_are_kept_and_those_that_look_like_credentials_are_shown_by_name_only(
    api: Api, path: str
) -> None:
    headers = {"X-Tenant": "7", "Authorization": "Bearer hunter2", "x-api-KEY": "hunter3", "X-Empty": ""}
    created = api.post(path, {"url": URL, "headers": headers}, status=201)
    assert "hunter" not in created.text

    response = api.get(f"{path}/{created.json['id']}/headers")

    EndpointHeadersOut.model_validate_json(response.text, strict=True)
    assert response.json == {
        "headers": {"X-Tenant": "7", "X-Empty": ""},
        "sensitive": ["Authorization", "x-api-KEY"],
    }
    assert Endpoint.objects.get().headers == headers


@pytest.mark.parametrize("headers", [None, {}])
def test_an_endpoint_without_headers_has_none(api: Api, path: str, headers: Any) -> None:
    created = api.post(path, {"url": URL, "headers": headers}, status=201).json
    assert api.get(f"{path}/{created['id']}/headers").json == {"headers": {}, "sensitive": []}


def test_put_replaces_all_headers(api: Api, headers: str) -> None:
    assert api("PUT", headers, {"headers": {"X-New": "1", "X-Token": "hunter3"}}, 204).body == b""
    assert api.get(headers).json == {"headers": {"X-New": "1"}, "sensitive": ["X-Token"]}
    api("PUT", headers, {"headers": {}}, 204)
    assert Endpoint.objects.get().headers is None


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ({"headers": {}}, KEPT),
        ({"headers": {"X-New": "1"}}, {**KEPT, "X-New": "1"}),
        ({"headers": {"x-tenant": "8"}}, {"Authorization": KEPT["Authorization"], "x-tenant": "8"}),
        ({"headers": {"X-Tenant": None}}, {"Authorization": KEPT["Authorization"]}),
        ({"headers": {}, "deleteHeaders": ["authorization", "X-Unknown"]}, {"X-Tenant": "7"}),
        ({"headers": {"X-Tenant": "8"}, "deleteHeaders": ["X-Tenant"]}, {**KEPT, "X-Tenant": "8"}),
        ({"headers": {}, "deleteHeaders": None}, KEPT),
        ({"headers": {"authorization": None, "X-TENANT": None}}, None),
    ],
)
def test_patch_changes_the_headers_that_are_named(api: Api, headers: str, body: Any, left: Any) -> None:
    assert api("PATCH", headers, body, 204).body == b""
    assert Endpoint.objects.get().headers == left


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    "sent",
    [
        {"Host": "inside"},
        {"content_length": "1"},
        {"Webhook-Signature": "v1,x"},
        {"svix-id": "x"},
        {"X A": "b"},
        {"X-A": "line\nbreak hunter4"},
        {"X-A": 1},
        {"X-A": "b", "x-a": "c"},
        {f"X-{number}": "" for number in range(21)},
        {"X-A": "x" * 4096},
        "X-A: b",
        None,
    ],
)
def test_headers_that_can_not_be_sent_are_422_and_change_nothing(
    api: Api, headers: str, method: str, sent: Any
) -> None:
    response = api(method, headers, {"headers": sent}, 422)
    assert response.json["detail"][0]["loc"][:2] == ["body", "headers"]
    assert "hunter" not in response.text
    assert Endpoint.objects.get().headers == KEPT


def test_the_limits_hold_for_what_a_patch_adds_to(api: Api, headers: str) -> None:
    api("PATCH", headers, {"headers": {f"X-{number}": "" for number in range(19)}}, 422)
    api("PATCH", headers, {"headers": {f"X-{number}": "" for number in range(18)}}, 204)
    assert len(Endpoint.objects.get().headers) == 20


@pytest.mark.parametrize(
    "body", [{}, {"headers": {}, "deleteHeaders": "X"}, {"headers": {}, "deleteHeaders": [1]}]
)
def test_a_patch_of_another_shape_is_422(api: Api, headers: str, body: Any) -> None:
    api("PATCH", headers, body, 422)


@pytest.mark.usefixtures("datastore", "private_endpoints")
def test_changed_headers_go_with_the_next_message(
    api: Api,
    path: str,
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    receiver: Receiver,
    tasks: DrainingBackend,
) -> None:
    of_endpoint = f"{path}/{add_endpoint(receiver.url, headers=KEPT).pk}/headers"
    for call in (None, ("PATCH", {"headers": {"X-New": "1"}}), ("PUT", {"headers": {"X-Tenant": "9"}})):
        if call:
            api(call[0], of_endpoint, call[1], 204)
        accept(route_of(), Draft(event_type="a", payload=b"{}"))
        tasks.drain()
    sent = [
        [one.headers.get(name) for name in ("x-tenant", "authorization", "x-new")]
        for one in receiver.requests
    ]
    assert sent == [["7", "Bearer hunter2", None], ["7", "Bearer hunter2", "1"], ["9", None, None]]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_only_the_owner_changes_headers(
    api: Api, stranger: Api, nobody: Api, headers: str, method: str
) -> None:
    body = {"headers": {"X-New": "1"}}
    stranger(method, headers, body, 404)
    nobody(method, headers, body, 401)
    other = api.post("/api/v1/app", {"name": "other"}).json["id"]
    api(method, f"/api/v1/app/{other}/endpoint/{Endpoint.objects.get().pk}/headers", body, 404)
    assert Endpoint.objects.get().headers == KEPT
    before = Application.objects.get(uid="customer-1").generation
    api(method, headers, body, 204)
    assert Application.objects.get(uid="customer-1").generation != before
