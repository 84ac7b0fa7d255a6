from collections.abc import Callable

import pytest
from bs4 import BeautifulSoup
from webtest import TestApp

from apps.applications.models import Application, Endpoint
from apps.dashboard.views import messages
from apps.deliveries.models import Message
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("datastore", "private_endpoints")]

type AddEndpoint = Callable[..., Endpoint]
type Send = Callable[..., Message]


def shown(html: BeautifulSoup) -> list[str]:
    return [one.text for one in html.select("tbody th .id")]


def deliveries(html: BeautifulSoup) -> list[str]:
    """The deliveries column, one text a row, without the symbols that only repeat it."""
    for symbol in html.select(".symbol"):
        symbol.extract()
    return [" ".join(cell.text.split()) for cell in html.select("tbody td:nth-of-type(1)")]


@pytest.fixture
def path(application: Application) -> str:
    return f"/applications/{application.pk}/messages"


def test_messages_are_listed_newest_first_with_type_time_and_what_became_of_them(
    browser: TestApp,
    path: str,
    add_endpoint: AddEndpoint,
    send: Send,
    receiver: Receiver,
    tasks: DrainingBackend,
) -> None:
    receiver.answers["/flaky"] = [500]
    add_endpoint(f"{receiver.url}/steady")
    add_endpoint(f"{receiver.url}/flaky", event_types=["invoice.failed"])
    add_endpoint(f"{receiver.url}/off", disabled=True, event_types=["invoice.failed"])
    sent = [send(), send(event_type="invoice.failed"), send(event_type="<b>bold</b>")]
    tasks.drain()
    page = browser.get(path)
    assert shown(page.html) == [message.message_id for message in reversed(sent)]
    assert [link.text for link in page.html.select("tbody a")] == [
        "<b>bold</b>",
        "invoice.failed",
        "invoice.paid",
    ]
    assert page.html.select_one("tbody time")["datetime"].endswith("+00:00")
    assert deliveries(page.html) == ["1 delivered", "1 held 1 pending 1 delivered", "1 delivered"]


def test_a_message_that_nobody_wanted_says_so(
    browser: TestApp, path: str, add_endpoint: AddEndpoint, send: Send
) -> None:
    add_endpoint("https://example.com/hook", event_types=["other"])
    send()
    assert deliveries(browser.get(path).html) == ["no endpoint"]


def test_every_status_has_a_symbol_that_screen_readers_skip(
    browser: TestApp, path: str, add_endpoint: AddEndpoint, send: Send
) -> None:
    add_endpoint("https://example.com/hook")
    send()
    (status,) = browser.get(path).html.select(".status")
    assert status.select_one("[aria-hidden=true]").text == "…"
    assert "pending" in status.text


def test_older_and_newer_pages_lead_back_to_where_one_was(
    browser: TestApp, path: str, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "PAGE", 2)
    # By id: those of one millisecond have no other order.
    sent = sorted((send().message_id for _ in range(5)), reverse=True)
    first = browser.get(path)
    assert shown(first.html) == sent[:2]
    assert first.html.find("a", rel="prev") is None
    second = first.click("Older")
    third = second.click("Older")
    assert (shown(second.html), shown(third.html)) == (sent[2:4], sent[4:])
    assert third.html.find("a", rel="next") is None
    back = third.click("← Newer")
    assert shown(back.html) == sent[2:4]
    front = back.click("← Newer")
    assert shown(front.html) == sent[:2]
    assert front.html.find("a", rel="prev") is None
    assert shown(front.click("Older").html) == sent[2:4]
    assert shown(third.click("Newest").html) == sent[:2]


def test_a_cursor_that_is_none_shows_the_newest(browser: TestApp, path: str, send: Send) -> None:
    message = send()
    for cursor in ["~", "-", "%00", "msg_", "-app_000000000000000000000000000"]:
        assert shown(browser.get(f"{path}?cursor={cursor}").html) == [message.message_id]
