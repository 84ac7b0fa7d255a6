"""The local issuer: real keys, its real page, and the code that verifies Google's tokens."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests
from google.cloud.tasks_v2 import Task as Message

from apps.appengine import oidc
from apps.appengine.local.issuer import keys
from apps.appengine.local.preflight import free_port
from apps.appengine.local.queue_server.attempt import Sender
from apps.appengine.local.queue_server.store import Task
from tests.conftest import Receiver

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "tasks@local.iam.gserviceaccount.com"
HOUR = 3600.0


@pytest.fixture
def issuer(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """The folder of a running issuer's keys; its page is where oidc looks."""
    port = free_port()
    settings.OIDC_CERTS_URL = f"http://127.0.0.1:{port}/oauth2/v1/certs"
    options = ["--keys", str(tmp_path / "keys"), "--port", str(port)]
    command = [sys.executable, "-m", "apps.appengine.local.issuer", *options]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            wait_for(settings.OIDC_CERTS_URL)
            yield tmp_path / "keys"
        finally:
            process.terminate()
            assert process.wait(10) == 0


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            assert requests.get(url, timeout=5).ok
        except requests.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def test_its_tokens_are_those_that_google_s_verifier_takes(issuer: Path) -> None:
    token = keys.token(issuer, audience="https://a", email=ACCOUNT, now=time.time())
    claims = oidc.verify(token, audience="https://a", email=ACCOUNT)
    assert claims["iss"] == "https://accounts.google.com"
    assert claims["exp"] - claims["iat"] == HOUR
    with pytest.raises(oidc.TokenError):
        oidc.verify(token, audience="https://b", email=ACCOUNT)
    old = keys.token(issuer, audience="https://a", email=ACCOUNT, now=time.time() - 2 * HOUR)
    with pytest.raises(oidc.TokenError, match="expired"):
        oidc.verify(old, audience="https://a", email=ACCOUNT)


def test_the_page_may_be_kept_as_long_as_its_header_says(issuer: Path, settings: Any) -> None:
    page = requests.get(settings.OIDC_CERTS_URL, timeout=5)
    assert "max-age=3600" in page.headers["Cache-Control"]
    assert page.json().keys() == {key.id for key in keys.keys(issuer)}


def test_private_keys_are_for_their_owner_only(issuer: Path) -> None:
    assert issuer.stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in issuer.iterdir())


@pytest.mark.parametrize("given", ["https://the-audience", ""])
def test_the_queue_server_sends_the_token_that_the_task_asks_for(
    issuer: Path, receiver: Receiver, given: str
) -> None:
    """Without an audience it is for the task's URL; a header of the task's own does not replace it."""
    sent: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        sent.extend(handler.headers.get_all("Authorization", []))
        handler.send_response(204)
        handler.end_headers()

    receiver.answers["/run"] = [answer]
    outcome = send(issuer, receiver.url + "/run", {"service_account_email": ACCOUNT, "audience": given})
    assert outcome.succeeded
    (header,) = sent
    scheme, token = header.split()
    assert scheme == "Bearer"
    assert oidc.verify(token, audience=given or f"{receiver.url}/run", email=ACCOUNT)


def test_a_task_that_asks_for_no_token_gets_none(issuer: Path, receiver: Receiver) -> None:
    send(issuer, receiver.url, None)
    assert receiver.requests[0].headers["authorization"] == "forged"


def test_before_the_first_key_an_attempt_fails_and_the_queue_lives_on(tmp_path: Path) -> None:
    outcome = send(tmp_path, "http://127.0.0.1:1", {"service_account_email": ACCOUNT})
    assert "has made no key" in outcome.error


def send(folder: Path, url: str, token: dict[str, str] | None) -> Any:
    request = {"url": url, "headers": {"authorization": "forged"}, **({"oidc_token": token} if token else {})}
    message = Message(http_request=request, dispatch_deadline={"seconds": 20})
    row = Task(1, "mail", "t1", True, 1.0, 1.0, 1, 1, 0, *[None] * 7, b"")  # type: ignore[call-arg]  # fields in order

    async def run() -> Any:
        async with Sender("unix:/nonexistent", folder) as sender:
            return await sender.send(row, Message.pb(message))

    return asyncio.run(run())


def test_a_key_is_shown_before_it_signs_and_until_its_last_token_has_expired(tmp_path: Path) -> None:
    """A verifier that fetches once an hour, as it may, can verify every token of three days."""
    now, due, page = 1e9, 0.0, set[str]()
    living: list[tuple[float, str]] = []  # tokens' ends and key ids
    signed_with = set()
    for _ in range(3 * 24 * 6):
        keys.rotate(tmp_path, now)
        if now >= due:
            due = now + (keys.MAX_AGE if page else 1200)  # from then on between two turns of the keys
            page = {key.id for key in keys.keys(tmp_path)}
        used = keys.signing_key(tmp_path, now).id
        signed_with.add(used)
        living = [(end, key) for end, key in living if end > now] + [(now + keys.TOKEN_SECONDS, used)]
        assert {key for _, key in living} <= page
        now += HOUR / 6
    assert len(signed_with) == 12
    assert len(keys.keys(tmp_path)) == keys.KEPT
