import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from bs4 import BeautifulSoup, Tag
from django.core.files.storage import default_storage
from webtest import TestApp, TestResponse

from apps.applications.models import Endpoint
from apps.dashboard.views import messages
from apps.deliveries import payloads
from apps.deliveries.models import Delivery, Message
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("datastore", "private_endpoints")]

type AddEndpoint = Callable[..., Endpoint]
type Send = Callable[..., Message]
type Open = Callable[[Message], TestResponse]


@pytest.fixture
def look_at(browser: TestApp) -> Open:
    return lambda message: browser.get(
        f"/applications/{message.application_id}/messages/{message.message_id}"
    )


def card(html: BeautifulSoup, endpoint: Endpoint) -> Tag:
    found = html.find(id=endpoint.pk)
    assert isinstance(found, Tag)
    return found


def words(tag: Tag) -> str:
    return " ".join(tag.text.split())


def attempts(tag: Tag) -> list[str]:
    return [words(one) for one in tag.select(".timeline > li")]


def test_the_payload_is_indented_and_can_do_no_harm(look_at: Open, send: Send) -> None:
    payload = b'{"name":"<script>alert(1)</script>","city":"K\xc3\xb6ln"}'
    page = look_at(send(payload, channels=["eu", "sales"], event_id="e-1"))
    shown = page.html.find("pre").text
    assert shown == '{\n  "name": "<script>alert(1)</script>",\n  "city": "Köln"\n}'
    assert page.html.find("script") is None
    assert f"{len(payload)} bytes" in page.text
    facts = [words(one) for one in page.html.select(".facts dd")]
    assert facts[2:] == ["e-1", "eu, sales"]


def test_a_long_payload_is_cut_and_its_size_said(look_at: Open, send: Send) -> None:
    page = look_at(send(json.dumps("x" * 30_000).encode()))
    assert len(page.html.find("pre").text) == 20_000
    assert "The first 20,000 of 30,002 characters." in page.text


@pytest.mark.parametrize("payload", [b"no JSON", b"[" * 100_000, b"1" * 5_000])
def test_what_does_not_read_as_json_is_shown_as_it_came(look_at: Open, send: Send, payload: bytes) -> None:
    assert look_at(send(payload)).html.find("pre").text == payload.decode()[:20_000]


def test_a_payload_that_storage_lost_does_not_hide_the_rest(look_at: Open, send: Send) -> None:
    message = send(json.dumps("x" * payloads.LARGEST_IN_ENTITY).encode())
    default_storage.delete(message.payload_file)
    page = look_at(message)
    assert "storage did not give it back" in page.text
    assert page.html.find("h2", string="Deliveries")


def test_each_endpoint_has_its_timeline_with_the_newest_attempt_first(
    look_at: Open, add_endpoint: AddEndpoint, send: Send, receiver: Receiver, tasks: DrainingBackend
) -> None:
    receiver.answers["/flaky"] = [503]
    flaky, steady = add_endpoint(f"{receiver.url}/flaky"), add_endpoint(f"{receiver.url}/steady")
    message = send()
    tasks.drain()
    tasks.drain(now=datetime.now(UTC) + timedelta(hours=1))
    html = look_at(message).html
    latest, first = attempts(card(html, flaky))
    assert latest.startswith("✓ Attempt 2 delivered: 200 OK scheduled, ")
    assert first.startswith("✕ Attempt 1 failed: 503 Service Unavailable scheduled, ")
    assert first.endswith("ms Response body ok")
    assert len(attempts(card(html, steady))) == 1
    assert card(html, flaky).select_one("time")["datetime"] >= f"{message.created_at:%Y-%m-%dT%H:%M:%S}"


def test_a_request_without_answer_says_why(
    look_at: Open, add_endpoint: AddEndpoint, send: Send, tasks: DrainingBackend
) -> None:
    endpoint = add_endpoint("http://127.0.0.1:1/")
    message = send()
    tasks.drain()
    (attempt,) = attempts(card(look_at(message).html, endpoint))
    assert "Attempt 1 failed: no answer. ClientConnectorError" in attempt


def test_a_pending_delivery_says_which_retry_comes_when(
    look_at: Open,
    add_endpoint: AddEndpoint,
    send: Send,
    receiver: Receiver,
    tasks: DrainingBackend,
    settings: object,
) -> None:
    settings.WAYBILL_RETRY_SCHEDULE = [timedelta(0), timedelta(hours=1), timedelta(hours=2)]
    receiver.answers["/"] = [500]
    endpoint = add_endpoint(receiver.url)
    message = send()
    waiting = words(card(look_at(message).html, endpoint))
    assert "pending The first attempt was due" in waiting
    tasks.drain()
    planned = card(look_at(message).html, endpoint)
    assert "No attempt has succeeded yet. Retry 1 of 2 is planned for" in words(planned)
    delivery = Delivery.key_of(message.application_id, message.message_id, endpoint.pk).get()
    assert planned.find("time")["datetime"] == delivery.next_attempt_at.isoformat(timespec="milliseconds")


def test_troubled_deliveries_come_first_and_say_what_can_be_done(
    look_at: Open,
    add_endpoint: AddEndpoint,
    send: Send,
    receiver: Receiver,
    tasks: DrainingBackend,
    settings: object,
) -> None:
    settings.WAYBILL_RETRY_SCHEDULE = [timedelta(0)]
    receiver.answers["/down"] = [500]
    endpoints = [
        add_endpoint(f"{receiver.url}/up"),
        add_endpoint(f"{receiver.url}/off", disabled=True),
        add_endpoint(f"{receiver.url}/down"),
    ]
    message = send()
    tasks.drain()
    html = look_at(message).html
    assert [one["id"] for one in html.select("section")] == [one.pk for one in reversed(endpoints)]
    assert "failed Every automatic attempt failed (1 made)." in words(card(html, endpoints[2]))
    assert "held The endpoint is disabled." in words(card(html, endpoints[1]))


def test_a_deleted_endpoint_is_known_by_its_id_and_offers_no_resend(
    look_at: Open, add_endpoint: AddEndpoint, send: Send, receiver: Receiver, tasks: DrainingBackend
) -> None:
    endpoint = add_endpoint(f"{receiver.url}/gone")
    message = send()
    tasks.drain()
    assert card(look_at(message).html, endpoint).find("button")
    url, kept = endpoint.url, Endpoint(pk=endpoint.pk)
    endpoint.delete()
    gone = card(look_at(message).html, kept)
    assert kept.pk in gone.text
    assert url in gone.text
    assert "The endpoint has been deleted." in words(gone)
    assert gone.find("button") is None
    assert len(attempts(gone)) == 1


def test_an_attempt_at_an_earlier_url_says_where_it_went(
    look_at: Open, add_endpoint: AddEndpoint, send: Send, receiver: Receiver, tasks: DrainingBackend
) -> None:
    endpoint = add_endpoint(f"{receiver.url}/before")
    message = send()
    tasks.drain()
    Endpoint.objects.filter(pk=endpoint.pk).update(url="https://example.com/after")
    (attempt,) = attempts(card(look_at(message).html, endpoint))
    assert f"to {receiver.url}/before" in attempt


def test_older_attempts_are_on_further_pages(
    look_at: Open,
    add_endpoint: AddEndpoint,
    send: Send,
    receiver: Receiver,
    tasks: DrainingBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(messages, "ATTEMPTS", 1)
    endpoints = [add_endpoint(f"{receiver.url}/{n}") for n in range(2)]
    message = send()
    tasks.drain()
    first = look_at(message)
    second = first.click("Older")
    seen = [one for page in (first, second) for one in page.html.select(".timeline > li")]
    assert len(seen) == 2
    assert first.text.count("Its attempts are on another page.") == 1
    assert second.html.find("a", rel="next") is None
    assert all(card(second.html, one) for one in endpoints)


def test_a_message_that_is_not_there_is_not_found(browser: TestApp, send: Send) -> None:
    message = send()
    browser.get(f"/applications/{message.application_id}/messages/msg_{'0' * 27}", status=404)
