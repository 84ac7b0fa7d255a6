from collections.abc import Callable
from typing import Any

import pytest
from django.tasks.exceptions import TaskException
from webtest import TestApp

from apps.accounts.models import User
from apps.applications.models import Endpoint
from apps.deliveries.models import Message
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("datastore", "private_endpoints")]

type AddEndpoint = Callable[..., Endpoint]
type Send = Callable[..., Message]


def path_of(message: Message) -> str:
    return f"/applications/{message.application_id}/messages/{message.message_id}"


def test_resend_makes_one_manual_attempt_and_comes_back_to_the_message(
    browser: TestApp, add_endpoint: AddEndpoint, send: Send, receiver: Receiver, tasks: DrainingBackend
) -> None:
    add_endpoint(f"{receiver.url}/hook")
    message = send()
    tasks.drain()
    form = next(iter(browser.get(path_of(message)).html.select("section form")))
    answer = browser.get(path_of(message)).forms[1].submit()
    assert form["action"].endswith("/resend")
    assert answer.location == path_of(message), "a reload resends nothing"
    page = answer.follow()
    assert "Queued." in page.html.find(role="status").text
    tasks.drain()
    assert receiver.paths() == ["/hook", "/hook"]
    assert receiver.requests[0].headers["webhook-id"] == receiver.requests[1].headers["webhook-id"]
    latest = browser.get(path_of(message)).html.select_one(".timeline > li").text
    assert "Attempt 2" in latest
    assert "manual" in latest
    assert "Queued." not in browser.get(path_of(message)).text, "said once"


def test_a_viewer_is_offered_no_resend(
    visit: Callable[[User | None], TestApp],
    person: Callable[[str], User | None],
    add_endpoint: AddEndpoint,
    send: Send,
) -> None:
    add_endpoint("https://example.com/hook")
    html = visit(person("viewer")).get(path_of(send())).html
    assert html.select("section")
    assert html.select("section form") == []


def test_a_resend_that_could_not_be_queued_says_so(
    browser: TestApp, add_endpoint: AddEndpoint, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_endpoint("https://example.com/hook")
    page = browser.get(path_of(send()))

    def refuse(*_: Any) -> None:
        raise TaskException

    monkeypatch.setattr(DrainingBackend, "create", refuse)
    assert "Not queued" in page.forms[1].submit().follow().html.select_one(".notice.error").text


def test_a_deleted_endpoint_and_an_unknown_message_take_no_resend(
    browser: TestApp, add_endpoint: AddEndpoint, send: Send, tasks: DrainingBackend
) -> None:
    endpoint = add_endpoint("https://example.com/hook")
    message = send()
    form = browser.get(path_of(message)).forms[1]
    before = len(tasks.queued)
    wrong = form.action.replace(message.message_id, f"msg_{'0' * 27}")
    browser.post(wrong, {"csrfmiddlewaretoken": form["csrfmiddlewaretoken"].value}, status=404)
    endpoint.delete()
    form.submit(status=404)
    assert len(tasks.queued) == before


def test_after_a_session_ran_out_signing_in_again_leads_back_to_the_message_and_resends_nothing(
    browser: TestApp, add_endpoint: AddEndpoint, send: Send, tasks: DrainingBackend
) -> None:
    add_endpoint("https://example.com/hook")
    message = send()
    form = browser.get(path_of(message)).forms[1]
    before = len(tasks.queued)
    browser.get("/").follow().forms[0].submit()
    browser.get("/sign-in")
    token = browser.cookies["csrftoken"]
    asked = browser.post(form.action, {"csrfmiddlewaretoken": token}, status=302)
    assert asked.location == f"/sign-in?next={form.action}"
    again = asked.follow().forms[0]
    again["username"], again["password"] = User.objects.get().email, "correct horse battery"
    assert again.submit().follow().location == path_of(message)
    assert len(tasks.queued) == before
