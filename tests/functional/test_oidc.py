"""Tokens of an HTTP target, against a real server of keys that rotate."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.test import Client

from apps.appengine import oidc
from tests.unit.appengine import example_tasks

pytestmark = pytest.mark.usefixtures("shared_datastore")  # the middleware opens a context

DAY = 86_400  # seconds: longer than a run of all tests, which are collected first
AUDIENCE = "https://run.example"
ACCOUNT = "tasks@p.iam.gserviceaccount.com"
TASK = "tests.unit.appengine.example_tasks.remember"


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(name: str) -> str:
    """Self-signed, in PEM: what Google's certs page holds for each key id."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key(name).public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
    return built.sign(key(name), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


class KeyServer:
    """Serves the certificates named in `keys`, and counts."""

    def __init__(self) -> None:
        self.keys = ["first"]
        self.cache_control = "public, max-age=3600, must-revalidate"
        self.status = 200
        self.fetches = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.fetches += 1
                self.send_response(server.status)
                self.send_header("Cache-Control", server.cache_control)
                self.end_headers()
                self.wfile.write(json.dumps({name: certificate(name) for name in server.keys}).encode())

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/certs"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}).start()

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def keys(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyServer]:
    monkeypatch.delenv("LOCAL_RUNTIME", raising=False)
    server = KeyServer()
    settings.OIDC_CERTS_URL = server.url
    tasks = settings.TASKS
    options = {"TARGET": "http", "AUDIENCE": AUDIENCE, "SERVICE_ACCOUNT": ACCOUNT}
    settings.TASKS = tasks | {"default": tasks["default"] | {"OPTIONS": options}}
    example_tasks.ran.clear()
    yield server
    server.stop()


def encode(part: bytes | dict[str, Any]) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(*, signed_by: str = "first", header: dict[str, Any] | None = None, **claims: Any) -> str:
    """As Google makes it for Cloud Tasks, but for what the arguments change; None leaves a claim out."""
    now = int(time.time())
    payload = {
        "iss": "https://accounts.google.com",
        "aud": AUDIENCE,
        "email": ACCOUNT,
        "email_verified": True,
        "iat": now,
        "exp": now + 3600,
    } | claims
    payload = {name: value for name, value in payload.items() if value is not None}
    signed = f"{encode({'alg': 'RS256', 'kid': signed_by, 'typ': 'JWT'} | (header or {}))}.{encode(payload)}"
    signature = key(signed_by).sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{encode(signature)}"


def send(bearer: str) -> int:
    body = {"task": TASK, "args": [1], "kwargs": {}, "id": "a", "backend": "default"}
    headers = {"Authorization": f"Bearer {bearer}"}
    url = f"/_tasks/default/{TASK}"
    return Client().post(url, json.dumps(body), "application/json", headers=headers).status_code


@pytest.mark.usefixtures("keys")
def test_a_token_for_this_audience_and_account_runs_the_task() -> None:
    assert send(token()) == 200
    assert example_tasks.ran == [(1, False)]


@pytest.mark.usefixtures("keys")
def test_cron_takes_the_same_tokens(settings: Any) -> None:
    settings.CRON_JOBS = "tests.unit.appengine.test_cron.jobs"

    headers = {"Authorization": f"Bearer {token()}"}
    assert Client().get("/_cron/function", headers=headers).status_code == 200
    assert Client().get("/_cron/function", headers={"X-Appengine-Cron": "true"}).status_code == 403


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"aud": "https://other.example"}, id="wrong audience"),
        pytest.param({"aud": [AUDIENCE]}, id="a list of audiences"),
        pytest.param({"aud": None}, id="no audience"),
        pytest.param({"email": "other@p.iam.gserviceaccount.com"}, id="wrong account"),
        pytest.param({"email": None}, id="no account"),
        pytest.param({"email_verified": False}, id="account not verified"),
        pytest.param({"email_verified": None}, id="account not said to be verified"),
        pytest.param({"email_verified": "true"}, id="verified as a string"),
        pytest.param({"iss": "https://evil.example"}, id="wrong issuer"),
        pytest.param({"iss": None}, id="no issuer"),
        pytest.param({"exp": int(time.time()) - 60}, id="expired"),
        pytest.param({"exp": None}, id="never expires"),
        pytest.param({"exp": "tomorrow"}, id="expiry of a wrong type"),
        pytest.param({"iat": int(time.time()) + DAY}, id="issued in the future"),
        pytest.param({"nbf": int(time.time()) + DAY}, id="not yet valid"),
        pytest.param({"nbf": "tomorrow"}, id="validity of a wrong type"),
        pytest.param({"header": {"alg": "HS256"}}, id="another algorithm"),
        pytest.param({"header": {"kid": None}}, id="no key id"),
    ],
)
def test_a_token_with_one_thing_wrong_is_refused(changes: dict[str, Any]) -> None:
    assert send(token(**changes)) == 403
    assert example_tasks.ran == []


@pytest.mark.usefixtures("keys")
def test_a_token_signed_with_another_key_is_refused() -> None:
    assert send(token(signed_by="stranger", header={"kid": "first"})) == 403


@pytest.mark.usefixtures("keys")
def test_a_token_whose_claims_were_changed_after_signing_is_refused() -> None:
    header, _, signature = token().split(".")
    _, claims, _ = token(exp=int(time.time()) + 7200).split(".")

    assert send(f"{header}.{claims}.{signature}") == 403


@pytest.mark.usefixtures("keys")
def test_an_unsigned_token_is_refused() -> None:
    _, claims, _ = token().split(".")
    header = encode({"alg": "none", "kid": "first"})

    assert send(f"{header}.{claims}.") == 403


@pytest.mark.usefixtures("keys")
def test_a_token_signed_with_the_public_certificate_as_a_shared_secret_is_refused() -> None:
    _, claims, _ = token().split(".")
    signed = f"{encode({'alg': 'HS256', 'kid': 'first'})}.{claims}"
    mac = hmac.HMAC(certificate("first").encode(), hashes.SHA256())
    mac.update(signed.encode())

    assert send(f"{signed}.{encode(mac.finalize())}") == 403


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("bearer", ["", "x", "a.b.c", "....", "é.é.é", encode({}) + ".", "W10.W10.W10"])
def test_what_is_no_token_at_all_is_refused(bearer: str) -> None:
    assert send(bearer) == 403


@pytest.mark.usefixtures("keys")
def test_clocks_may_differ_by_a_few_seconds() -> None:
    now = int(time.time())
    assert send(token(iat=now + 4)) == 200
    assert send(token(exp=now - 4)) == 200


def test_keys_are_fetched_once_while_their_max_age_lasts(keys: KeyServer) -> None:
    for _ in range(3):
        assert send(token()) == 200
    assert keys.fetches == 1


def test_keys_are_fetched_again_when_their_max_age_is_over(
    keys: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "MIN_REFETCH", 0)
    keys.cache_control = "max-age=0"
    assert send(token()) == 200
    keys.keys = ["second"]

    assert send(token()) == 403  # withdrawn
    assert keys.fetches == 2


def test_a_rotated_key_is_fetched_as_soon_as_a_token_names_it(
    keys: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "MIN_REFETCH", 0)
    assert send(token()) == 200
    keys.keys = ["first", "second"]

    assert send(token(signed_by="second")) == 200
    assert send(token()) == 200
    assert keys.fetches == 2


def test_made_up_key_ids_cannot_make_us_hammer_the_key_server(keys: KeyServer) -> None:
    assert send(token()) == 200
    for number in range(10):
        assert send(token(header={"kid": f"made-up-{number}"})) == 403

    assert keys.fetches == 1


def test_without_any_keys_tokens_are_refused(keys: KeyServer) -> None:
    keys.stop()

    assert send(token()) == 403
    assert example_tasks.ran == []


@pytest.mark.parametrize("status", [404, 500])
def test_an_error_of_the_key_server_is_no_key(keys: KeyServer, status: int) -> None:
    keys.status = status

    assert send(token()) == 403


def test_a_failed_refresh_keeps_the_old_keys_for_a_bounded_time(
    keys: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "MIN_REFETCH", 0)
    keys.cache_control = "max-age=0"
    assert send(token()) == 200
    keys.status = 500

    assert send(token()) == 200
    assert keys.fetches == 2
    monkeypatch.setattr(oidc, "MAX_STALE", 0)
    assert send(token()) == 403
