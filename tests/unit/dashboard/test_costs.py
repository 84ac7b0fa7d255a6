"""What a page costs: Datastore calls counted on the wire, and SQL queries."""

from collections.abc import Callable

import pytest
from webtest import TestApp

from apps.applications.models import Application, Endpoint
from apps.dashboard import summaries
from apps.dashboard.views import messages
from apps.deliveries.models import Message
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend
from tests.wire import Wire

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("wire", "private_endpoints")]

type AddEndpoint = Callable[..., Endpoint]
type Send = Callable[..., Message]


@pytest.fixture
def path(application: Application) -> str:
    return f"/applications/{application.pk}/messages"


def test_a_list_costs_one_query_and_one_lookup_however_much_it_shows(
    wire: Wire, browser: TestApp, path: str, add_endpoint: AddEndpoint, send: Send
) -> None:
    for n in range(3):
        add_endpoint(f"https://example.com/{n}")
    for _ in range(messages.PAGE + 1):
        send()
    wire.reset()
    assert len(browser.get(path).html.select("tbody tr")) == messages.PAGE
    assert wire.calls == {"RunQuery": 1, "Lookup": 1}


def test_with_too_many_endpoints_deliveries_are_not_counted_and_not_read(
    wire: Wire,
    browser: TestApp,
    path: str,
    add_endpoint: AddEndpoint,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(summaries, "MOST_KEYS", 3)
    add_endpoint("https://example.com/1")
    add_endpoint("https://example.com/2")
    send()
    send()
    wire.reset()
    page = browser.get(path)
    assert page.text.count("not counted") == 2
    assert "so many endpoints" in page.text
    assert wire.calls == {"RunQuery": 1}


def test_a_list_takes_as_many_sql_queries_for_one_endpoint_as_for_ten(
    browser: TestApp,
    path: str,
    add_endpoint: AddEndpoint,
    send: Send,
    django_assert_max_num_queries: Callable[..., object],
) -> None:
    for n in range(10):
        add_endpoint(f"https://example.com/{n}")
    send()
    with django_assert_max_num_queries(5):  # session, user, application, membership, route
        browser.get(path)


def test_a_message_with_its_attempts_costs_one_query_and_two_lookups(
    wire: Wire,
    browser: TestApp,
    path: str,
    add_endpoint: AddEndpoint,
    send: Send,
    receiver: Receiver,
    tasks: DrainingBackend,
) -> None:
    for n in range(3):
        add_endpoint(f"{receiver.url}/{n}")
    message = send()
    tasks.drain()
    wire.reset()
    page = browser.get(f"{path}/{message.message_id}")
    assert len(page.html.select(".timeline > li")) == 3
    assert wire.calls == {"RunQuery": 1, "Lookup": 2}
