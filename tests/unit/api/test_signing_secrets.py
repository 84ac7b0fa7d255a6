"""Signing secrets over the API: a receiver is never without one that verifies."""

from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.db import connection
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError
from svix.models import EndpointSecretOut

from apps.api.models import IdempotentResponse
from apps.applications.models import Application, Endpoint
from apps.applications.routing import Route
from apps.deliveries.accept import Draft, accept
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend
from tests.unit.api.conftest import Api

URL = "https://93.184.215.14/"
GIVEN = "whsec_" + b64encode(b"a key of the customer's own.").decode()
PRIVATE = "whsk_" + b64encode(b"s" * 32).decode()


@pytest.fixture
def secret_of(application: Application) -> Callable[[Endpoint], str]:
    """The path of an endpoint's secret."""
    return lambda endpoint: f"/api/v1/app/{application.pk}/endpoint/{endpoint.pk}/secret"


@pytest.fixture
def secret(secret_of: Callable[[Endpoint], str], add_endpoint: Callable[..., Endpoint]) -> str:
    """The path of the secret of an endpoint."""
    return secret_of(add_endpoint(URL, uid="one"))


def test_rotate_makes_a_secret_and_answers_it(api: Api, secret: str) -> None:
    before = api.get(secret).json["key"]
    response = api.post(f"{secret}/rotate", {}, status=200)
    EndpointSecretOut.model_validate_json(response.text, strict=True)
    assert response.json == api.get(secret).json != {"key": before}


def test_rotate_takes_a_secret_of_the_customers_own(api: Api, secret: str) -> None:
    assert api.post(f"{secret}/rotate", {"key": GIVEN}, status=200).json == {"key": GIVEN}
    assert api.get(secret).json == {"key": GIVEN}
    api.post(f"{secret}/rotate", {"key": None, "gracePeriodSeconds": None}, status=200)
    assert api.get(secret).json != {"key": GIVEN}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", "short"),
        ("key", 1),
        ("gracePeriodSeconds", -1),
        ("gracePeriodSeconds", 604_801),
        ("gracePeriodSeconds", "soon"),
    ],
)
def test_a_bad_field_is_422_and_rotates_nothing(api: Api, secret: str, field: str, value: Any) -> None:
    before = api.get(secret).json
    (item,) = api.post(f"{secret}/rotate", {field: value}, status=422).json["detail"]
    assert item["loc"] == ["body", field]
    assert api.get(secret).json == before


def test_an_eleventh_old_secret_is_400(api: Api, secret: str) -> None:
    for _ in range(10):
        api.post(f"{secret}/rotate", {"gracePeriodSeconds": 604_800}, status=200)
    refused = api.post(f"{secret}/rotate", {}, status=400).json
    assert (refused["code"], "At most 10" in refused["detail"]) == ("limit_reached", True)
    api.post(f"{secret}/rotate", {"gracePeriodSeconds": 0}, status=200)


def test_the_same_request_again_rotates_once_and_keeps_no_plain_secret(api: Api, secret: str) -> None:
    first = api.post(f"{secret}/rotate", {}, status=200, idempotency_key="k").json
    assert api.post(f"{secret}/rotate", {}, status=200, idempotency_key="k").json == first
    assert len(Endpoint.objects.get().old_signing_secrets) == 1
    key = first["key"].removeprefix("whsec_")
    with connection.cursor() as cursor:
        for table in (IdempotentResponse, Endpoint):
            cursor.execute(f"SELECT * FROM {table._meta.db_table}")
            assert key not in repr(cursor.fetchall())


def test_an_ed25519_secret_is_taken_and_only_its_public_key_is_shown(api: Api, secret: str) -> None:
    answer = api.post(f"{secret}/rotate", {"key": PRIVATE}, status=200)
    public = Ed25519PrivateKey.from_private_bytes(b"s" * 32).public_key().public_bytes_raw()
    assert answer.json == api.get(secret).json == {"key": "whpk_" + b64encode(public).decode()}
    assert Endpoint.objects.get().signing_secret == PRIVATE
    body = {"url": URL, "secret": PRIVATE}
    api.post(secret.partition("/endpoint")[0] + "/endpoint", body, status=201)
    assert list(Endpoint.objects.values_list("signing_secret", flat=True)) == [PRIVATE] * 2


@pytest.mark.usefixtures("datastore", "private_endpoints")
def test_no_verification_fails_while_a_secret_rotates(
    api: Api,
    secret_of: Callable[[Endpoint], str],
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    receiver: Receiver,
    tasks: DrainingBackend,
) -> None:
    """With the library that receivers use: the old secret while it is valid, the new one from then on."""
    endpoint = add_endpoint(receiver.url)
    secret = secret_of(endpoint)

    def verified(key: str) -> bool:
        """Whether a message that is accepted now verifies with the key."""
        accept(route_of(), Draft(event_type="a", payload=b'{"n":1}'))
        tasks.drain()
        request = receiver.requests[-1]
        try:
            return bool(Webhook(key).verify(request.body, request.headers) == {"n": 1})
        except WebhookVerificationError:
            return False

    first = api.get(secret).json["key"]
    assert verified(first)
    second = api.post(f"{secret}/rotate", {}).json["key"]
    third = api.post(f"{secret}/rotate", {"gracePeriodSeconds": 3600}).json["key"]
    assert [verified(key) for key in (first, second, third)] == [True, True, True]
    assert receiver.requests[-1].headers["webhook-signature"].count("v1,") == 3
    expire(endpoint, second)
    assert [verified(key) for key in (first, second, third)] == [True, False, True]
    last = api.post(f"{secret}/rotate", {"gracePeriodSeconds": 0}).json["key"]
    assert [verified(key) for key in (first, second, third, last)] == [True, False, False, True]


def expire(endpoint: Endpoint, secret: str) -> None:
    """An hour has passed."""
    endpoint.refresh_from_db()
    for old in endpoint.old_signing_secrets:
        if old["secret"] == secret:
            old["valid_until"] = (timezone.now() - timedelta(seconds=1)).isoformat()
    endpoint.save()


@pytest.mark.usefixtures("datastore", "private_endpoints")
def test_a_shared_secret_gives_way_to_an_ed25519_key_and_both_verify_meanwhile(
    api: Api,
    secret_of: Callable[[Endpoint], str],
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    receiver: Receiver,
    tasks: DrainingBackend,
) -> None:
    endpoint = add_endpoint(receiver.url)
    public = api.post(f"{secret_of(endpoint)}/rotate", {"key": PRIVATE}).json["key"]
    accept(route_of(), Draft(event_type="a", payload=b"{}"))
    tasks.drain()
    (request,) = receiver.requests
    Webhook(endpoint.signing_secret).verify(request.body, request.headers)
    asymmetric, _ = request.headers["webhook-signature"].split(" ")
    version, _, signature = asymmetric.partition(",")
    named = [request.headers[f"webhook-{name}"] for name in ("id", "timestamp")]
    content = ".".join([*named, ""]).encode() + request.body
    key = Ed25519PublicKey.from_public_bytes(b64decode(public.removeprefix("whpk_")))
    key.verify(b64decode(signature), content)  # raises InvalidSignature
    assert version == "v1a"


def test_only_the_owner_rotates(api: Api, stranger: Api, nobody: Api, secret: str) -> None:
    before = api.get(secret).json
    stranger.post(f"{secret}/rotate", {}, status=404)
    nobody.post(f"{secret}/rotate", {}, status=401)
    other = api.post("/api/v1/app", {"name": "other"}).json["id"]
    api.post(f"/api/v1/app/{other}/endpoint/{Endpoint.objects.get().pk}/secret/rotate", {}, status=404)
    assert api.get(secret).json == before
    generation = Application.objects.get(uid="customer-1").generation
    api.post("/api/v1/app/customer-1/endpoint/one/secret/rotate", {}, status=200)
    assert Application.objects.get(uid="customer-1").generation != generation
