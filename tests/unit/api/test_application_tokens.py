"""Links to the portal: what makes a token, what it may do, and that nobody else learns it."""

import json
import logging
from base64 import b64decode
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from django.db import connection
from webtest import TestResponse

from apps.api.models import IdempotentResponse
from apps.applications.models import Application, ApplicationToken
from tests.unit.api.conftest import Api

Access = Callable[..., TestResponse]
HOUR, WEEK = 3600, 604_800


@pytest.fixture
def access(api: Api, application: Application) -> Access:
    """Makes a link: access(capabilities=[...])."""

    def make(status: int = 200, **fields: object) -> TestResponse:
        return api.post(f"/api/v1/auth/app-portal-access/{application.pk}", fields, status=status)

    return make


@pytest.fixture
def customer(access: Access) -> Callable[..., Api]:
    """Somebody with a token: customer(capabilities=[...])."""
    return lambda **fields: Api(access(**fields).json["token"])


def test_the_link_leads_to_our_own_page_with_the_token_in_the_fragment(
    access: Access, application: Application
) -> None:
    answer = access().json
    assert set(answer) == {"url", "token"}
    url = urlsplit(answer["url"])
    assert (url.scheme, url.netloc, url.path, url.query) == ("http", "localhost:80", "/portal", "")
    key = json.loads(b64decode(url.fragment.removeprefix("key=")))
    assert key == {"appId": application.pk, "token": answer["token"]}
    assert answer["token"].startswith("appsk_")


@pytest.mark.parametrize("operation", ["app-portal-access", "dashboard-access"])
def test_both_operations_take_an_empty_body_and_a_uid(
    api: Api, application: Application, operation: str
) -> None:
    token = api("POST", f"/api/v1/auth/{operation}/{application.uid}", status=200).json["token"]
    assert Api(token).get(f"/api/v1/app/{application.uid}", status=200).json["id"] == application.pk
    assert ApplicationToken.objects.get().capabilities == [
        "CreateAttempts",
        "ManageEndpoint",
        "ManageEndpointSecret",
        "ManageTransformations",
        "ViewBase",
        "ViewEndpointSecret",
    ]


def test_the_token_lasts_seven_days_or_as_long_as_asked(access: Access) -> None:
    for fields, seconds in (({}, WEEK), ({"expiry": HOUR}, HOUR), ({"expiry": WEEK}, WEEK)):
        access(**fields)
        row = ApplicationToken.objects.latest("created_at")
        assert round((row.expires_at - row.created_at).total_seconds()) == seconds


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"expiry": HOUR - 1}, ["expiry"]),
        ({"expiry": WEEK + 1}, ["expiry"]),
        ({"capabilities": ["CreateAttempts"]}, ["capabilities"]),
        ({"capabilities": []}, ["capabilities"]),
        ({"capabilities": ["ViewBase", "Everything"]}, ["capabilities", "1"]),
        ({"featureFlags": ["no spaces"]}, ["featureFlags", "0"]),
        ({"featureFlags": [f"flag-{number}" for number in range(101)]}, ["featureFlags"]),
        ({"sessionId": "s" * 257}, ["sessionId"]),
        ({"readOnly": "perhaps"}, ["readOnly"]),
        ({"application": "name"}, ["application"]),
        ({"application": ["name"]}, ["application"]),
        ({"application": {}}, ["application", "name"]),
        ({"application": {"name": "a", "rateLimit": 0}}, ["application", "throttleRate"]),
    ],
)
def test_what_makes_no_sense_is_422(access: Access, fields: dict[str, object], loc: list[str]) -> None:
    (item,) = access(422, **fields).json["detail"]
    assert item["loc"] == ["body", *loc]


def test_an_unknown_application_is_404_and_made_where_the_body_has_it(api: Api) -> None:
    path = "/api/v1/auth/app-portal-access/customer-9"
    api.post(path, {}, status=404)
    body = {"application": {"name": "Customer", "uid": "customer-9", "metadata": None}}
    token = api.post(path, body, status=200).json["token"]
    made = Api(token).get("/api/v1/app/customer-9", status=200).json
    assert made["name"] == "Customer"
    body["application"]["name"] = "Another name"
    api.post(path, body, status=200)
    assert api.get("/api/v1/app/customer-9").json == made, "it was there: the body's is ignored"


def test_no_other_application_is_made_than_the_path_names(api: Api) -> None:
    for application in ({"name": "a"}, {"name": "a", "uid": "customer-8"}):
        answer = api.post(
            "/api/v1/auth/app-portal-access/customer-9", {"application": application}, status=422
        )
        assert answer.json["detail"][0]["loc"] == ["body", "application", "uid"]
    assert not Application.objects.exists()


def test_the_same_idempotency_key_answers_the_same_token(api: Api, application: Application) -> None:
    path = f"/api/v1/auth/app-portal-access/{application.pk}"
    first, second = (api.post(path, {}, status=200, idempotency_key="k").json for _ in range(2))
    assert first == second
    assert ApplicationToken.objects.count() == 1


def test_the_token_is_in_no_table_and_in_no_log(
    api: Api, application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        path = f"/api/v1/auth/app-portal-access/{application.pk}"
        token = api.post(path, {}, status=200, idempotency_key="k").json["token"]
        Api(token).get("/api/v1/app/unknown", status=404)
    secret = token.split("_", 2)[2]
    assert secret not in caplog.text
    with connection.cursor() as cursor:
        for table in (ApplicationToken._meta.db_table, IdempotentResponse._meta.db_table):
            cursor.execute(f"SELECT * FROM {table}")
            rows = cursor.fetchall()
            assert rows
            assert secret not in str(rows)


def test_read_only_is_to_look_and_not_at_secrets(
    customer: Callable[..., Api], api: Api, application: Application
) -> None:
    endpoints = f"/api/v1/app/{application.pk}/endpoint"
    endpoint = api.post(endpoints, {"url": "https://example.com/a"}, status=201).json["id"]
    reader = customer(readOnly=True, capabilities=["ViewBase", "ManageEndpoint"])
    reader.get(f"{endpoints}/{endpoint}", status=200)
    reader.get(f"{endpoints}/{endpoint}/secret", status=403)
    reader.delete(f"{endpoints}/{endpoint}", status=403)
    reader.post(endpoints, {"url": "https://example.com/b"}, status=403)


def test_expire_all_ends_every_token_and_answers_nothing(
    customer: Callable[..., Api], api: Api, application: Application
) -> None:
    one, two = customer(sessionId="one"), customer(sessionId="two")
    path = f"/api/v1/auth/app/{application.uid}/expire-all"
    api.post(path, {"sessionIds": ["one"]}, status=204)
    one.get(f"/api/v1/app/{application.pk}", status=401)
    two.get(f"/api/v1/app/{application.pk}", status=200)
    api.post(path, {"expiry": HOUR}, status=204)
    two.get(f"/api/v1/app/{application.pk}", status=200)
    assert api("POST", path, status=204).body == b""
    two.get(f"/api/v1/app/{application.pk}", status=401)


def test_expire_all_again_with_the_same_idempotency_key_spares_what_came_between(
    customer: Callable[..., Api], api: Api, application: Application
) -> None:
    path = f"/api/v1/auth/app/{application.pk}/expire-all"
    api.post(path, {}, status=204, idempotency_key="k")
    between = customer()
    api.post(path, {}, status=204, idempotency_key="k")
    between.get(f"/api/v1/app/{application.pk}", status=200)


@pytest.mark.parametrize(
    "fields", [{"expiry": -1}, {"expiry": WEEK + 1}, {"sessionIds": [1]}, {"sessionIds": "a"}]
)
def test_expire_all_refuses_nonsense(api: Api, application: Application, fields: dict[str, object]) -> None:
    api.post(f"/api/v1/auth/app/{application.pk}/expire-all", fields, status=422)


def test_event_types_behind_a_feature_flag_are_shown_to_tokens_that_have_it(
    customer: Callable[..., Api], api: Api
) -> None:
    for name, flags in (("all", None), ("beta", ["beta", "x"]), ("Beta", ["Beta"]), ("bet", ["bet"])):
        body = {"name": name, "description": "", "featureFlags": flags}
        api.post("/api/v1/event-type", body, status=201)

    def names(who: Api) -> list[str]:
        return [one["name"] for one in who.get("/api/v1/event-type", status=200).json["data"]]

    assert names(api) == ["Beta", "all", "bet", "beta"]
    assert names(customer()) == ["all"]
    assert names(customer(featureFlags=["beta", "none"])) == ["all", "beta"]
    customer(featureFlags=["beta"]).get("/api/v1/event-type/beta", status=200)
    customer().get("/api/v1/event-type/beta", status=404)


def test_an_idempotency_key_is_each_tokens_own(
    customer: Callable[..., Api], application: Application
) -> None:
    made = {
        customer()
        .post(
            f"/api/v1/app/{application.pk}/endpoint",
            {"url": "https://example.com/a"},
            status=201,
            idempotency_key="k",
        )
        .json["id"]
        for _ in range(2)
    }
    assert len(made) == 2
