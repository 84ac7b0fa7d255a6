"""The first message through the official SDK, with the service run as on App Engine and as on Cloud Run."""

import json
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from standardwebhooks import Webhook
from svix.api import ApplicationIn, EndpointIn, MessageIn, MessageOut, Svix, SvixOptions

from tests.conftest import Receiver
from tests.functional.system import System, running, wait_until

PATIENCE = 60.0
PAYLOAD = {"amount": 4200, "currency": "€"}


@pytest.fixture(scope="module", params=["appengine", "http"])
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    home = tmp_path_factory.mktemp(request.param)
    with running(home, TASKS_TARGET=request.param, WAYBILL_RETRY_SCHEDULE="0,1,2,5") as system:
        yield system


@pytest.fixture
def svix(system: System) -> Iterator[Svix]:
    svix = Svix(system.api_key, SvixOptions(server_url=system.url))
    yield svix
    svix._httpx_client.close()  # the SDK has no way of its own


@pytest.fixture
def send(svix: Svix, receiver: Receiver) -> Callable[[], tuple[str, str, MessageOut]]:
    """A new application with one endpoint at the receiver, and one message for it."""

    def send() -> tuple[str, str, MessageOut]:
        application = svix.application.create(ApplicationIn(name="A customer"))
        endpoint = svix.endpoint.create(application.id, EndpointIn(url=f"{receiver.url}/webhooks"))
        message = svix.message.create(application.id, MessageIn(event_type="invoice.paid", payload=PAYLOAD))
        return application.id, endpoint.id, message

    return send


def test_a_message_arrives_once_signed_and_its_attempt_is_recorded(
    svix: Svix, receiver: Receiver, send: Callable[[], tuple[str, str, MessageOut]]
) -> None:
    application, endpoint, message = send()
    assert wait_until(lambda: attempts(svix, application, message), PATIENCE)
    (request,) = receiver.requests
    assert request.headers["webhook-id"] == message.id
    secret = svix.endpoint.get_secret(application, endpoint).key
    assert Webhook(secret).verify(request.body, request.headers) == PAYLOAD
    (attempt,) = attempts(svix, application, message)
    assert (attempt.endpoint_id, attempt.response_status_code) == (endpoint, 200)


def test_an_endpoint_that_fails_is_tried_again_with_the_same_message(
    svix: Svix, receiver: Receiver, send: Callable[[], tuple[str, str, MessageOut]]
) -> None:
    receiver.answers["/webhooks"] = [500, 503]
    application, _, message = send()
    assert wait_until(lambda: len(attempts(svix, application, message)) == 3, PATIENCE)
    assert {request.headers["webhook-id"] for request in receiver.requests} == {message.id}
    statuses = [attempt.response_status_code for attempt in attempts(svix, application, message)]
    assert sorted(statuses) == [200, 500, 503]


def test_a_resend_is_a_manual_attempt(
    svix: Svix, receiver: Receiver, send: Callable[[], tuple[str, str, MessageOut]]
) -> None:
    application, endpoint, message = send()
    assert wait_until(lambda: attempts(svix, application, message), PATIENCE)
    svix.message_attempt.resend(application, message.id, endpoint)
    assert wait_until(lambda: len(attempts(svix, application, message)) == 2, PATIENCE)
    assert sorted(int(attempt.trigger_type) for attempt in attempts(svix, application, message)) == [0, 1]
    assert len(receiver.requests) == 2


def test_the_sweep_runs_when_the_targets_own_cron_asks_for_it(system: System) -> None:
    """By header past App Engine's front door, by token through Cloud Run's."""
    url = f"{system.url}/_local/cron/run?url=/_cron/sweep"
    with urllib.request.urlopen(urllib.request.Request(url, b""), timeout=PATIENCE) as answer:
        assert json.load(answer)["outcome"] == "200"


def attempts(svix: Svix, application: str, message: MessageOut) -> list[object]:
    return svix.message_attempt.list_by_msg(application, message.id).data  # type: ignore[return-value]  # its own type
