"""Attempts over the API."""

from collections.abc import Callable
from typing import Any

import pytest
from svix.models import ListResponseMessageAttemptOut, MessageAttemptOut

from apps.appengine.tasks.exceptions import TaskNotCreated
from apps.applications.models import Application, Endpoint
from apps.deliveries.models import Attempt
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend
from tests.unit.api.conftest import Api

pytestmark = pytest.mark.usefixtures("datastore", "private_endpoints")


@pytest.fixture
def base(application: Application) -> str:
    return f"/api/v1/app/{application.pk}"


@pytest.fixture
def endpoint(receiver: Receiver, add_endpoint: Callable[..., Endpoint]) -> Endpoint:
    return add_endpoint(f"{receiver.url}/hook", uid="main")


@pytest.fixture
def message_id(api: Api, base: str, endpoint: Endpoint, tasks: DrainingBackend) -> str:
    """A message that was delivered to the endpoint once."""
    body = {"eventType": "a", "payload": {"n": 1}, "eventId": "event-1"}
    created: str = api.post(f"{base}/msg", body).json["id"]
    tasks.drain()
    return created


def test_a_successful_attempt_has_the_shape_the_sdk_reads(
    api: Api, base: str, endpoint: Endpoint, message_id: str
) -> None:
    response = api.get(f"{base}/attempt/msg/{message_id}")
    ListResponseMessageAttemptOut.model_validate_json(response.text, strict=True)
    (attempt,) = response.json["data"]
    duration, timestamp = attempt.pop("responseDurationMs"), attempt.pop("timestamp")
    assert (duration >= 0, timestamp.endswith("Z")) == (True, True)
    assert attempt.pop("id").startswith("atmpt_")
    assert attempt == {
        "msgId": message_id,
        "endpointId": endpoint.pk,
        "url": endpoint.url,
        "response": "ok",
        "responseStatusCode": 200,
        "status": 0,
        "statusText": "success",
        "triggerType": 0,
    }


def test_a_failed_attempt_says_so(
    api: Api, base: str, endpoint: Endpoint, receiver: Receiver, tasks: DrainingBackend
) -> None:
    receiver.answers["/hook"] = [500]
    message_id = api.post(f"{base}/msg", {"eventType": "a", "payload": {}}).json["id"]
    tasks.drain()
    (attempt,) = api.get(f"{base}/attempt/msg/{message_id}").json["data"]
    assert (attempt["status"], attempt["statusText"], attempt["responseStatusCode"]) == (2, "fail", 500)


def test_an_attempt_without_an_answer_has_status_code_0_and_says_why(
    api: Api, base: str, tasks: DrainingBackend, add_endpoint: Callable[..., Endpoint]
) -> None:
    add_endpoint("http://127.0.0.1:1/nobody-listens")
    message_id = api.post(f"{base}/msg", {"eventType": "a", "payload": {}}).json["id"]
    tasks.drain()
    (attempt,) = api.get(f"{base}/attempt/msg/{message_id}").json["data"]
    assert (attempt["status"], attempt["responseStatusCode"]) == (2, 0)
    assert "onnect" in attempt["response"]


def test_an_attempt_is_found_by_message_and_endpoint_and_by_their_uids(
    api: Api, base: str, application: Application, endpoint: Endpoint, message_id: str
) -> None:
    found = api.get(f"{base}/attempt/msg/{message_id}").json["data"]
    by_uid = f"/api/v1/app/{application.uid}"
    for url in (
        f"{base}/attempt/endpoint/{endpoint.pk}",
        f"{by_uid}/attempt/endpoint/main",
        f"{by_uid}/attempt/msg/event-1/",
    ):
        assert api.get(url).json["data"] == found
    response = api.get(f"{by_uid}/msg/event-1/attempt/{found[0]['id']}?expanded_statuses=true")
    MessageAttemptOut.model_validate_json(response.text, strict=True)
    assert response.json == found[0]


@pytest.mark.parametrize("below", ["attempt/msg/{message}", "attempt/endpoint/main"])
def test_a_list_without_content_holds_no_response(api: Api, base: str, message_id: str, below: str) -> None:
    url = f"{base}/{below.format(message=message_id)}"
    # What the SDK sends when nobody asks for anything.
    lean = api.get(f"{url}?with_content=false&expanded_statuses=true").json["data"]
    assert [one["response"] for one in lean] == [""]
    assert [one["response"] for one in api.get(url).json["data"]] == ["ok"]


def test_a_resend_is_one_more_attempt_made_by_hand(
    api: Api, base: str, endpoint: Endpoint, message_id: str, receiver: Receiver, tasks: DrainingBackend
) -> None:
    response = api.post(f"{base}/msg/{message_id}/endpoint/{endpoint.pk}/resend", {}, status=202)
    assert response.json == {}
    api("POST", f"{base}/msg/event-1/endpoint/main/resend", status=202)  # the SDK sends no body
    tasks.drain()
    attempts = api.get(f"{base}/attempt/msg/{message_id}").json["data"]
    assert [one["triggerType"] for one in attempts] == [1, 1, 0]
    assert {request.headers["webhook-id"] for request in receiver.requests} == {message_id}


def test_the_same_idempotency_key_resends_once(
    api: Api, base: str, message_id: str, tasks: DrainingBackend
) -> None:
    for name in (message_id, "event-1"):
        url = f"{base}/msg/{name}/endpoint/main/resend"
        assert api.post(url, {}, status=202, idempotency_key="key").json == {}
    assert len(tasks.queued) == 1


def test_a_resend_that_could_not_be_queued_is_503_and_the_next_one_is_a_clean_run(
    api: Api, base: str, message_id: str, tasks: DrainingBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{base}/msg/{message_id}/endpoint/main/resend"
    with monkeypatch.context() as fault:
        fault.setattr(DrainingBackend, "create", unreachable)
        assert api.post(url, {}, status=503, idempotency_key="key").json["code"] == "unavailable"
    api.post(url, {}, status=202, idempotency_key="key")
    assert len(tasks.queued) == 1


def unreachable(*_: object) -> None:
    raise TaskNotCreated("the queue does not answer")


def test_attempts_are_listed_newest_first_forwards_and_backwards(
    api: Api, base: str, message_id: str, tasks: DrainingBackend, pages: Callable[..., list[list[Any]]]
) -> None:
    for _ in range(4):
        api.post(f"{base}/msg/{message_id}/endpoint/main/resend", {})
        tasks.drain()
    found = sorted((attempt.attempt_id for attempt in Attempt.query()), reverse=True)
    for url in (f"{base}/attempt/msg/{message_id}?limit=2", f"{base}/attempt/endpoint/main?limit=2"):
        assert pages(url) == [found[:2], found[2:4], found[4:]]
        assert pages(url, by="prevIterator", start=f"-{found[4]}") == [found[2:4], found[:2]]


@pytest.fixture
def two_attempts(
    api: Api, base: str, endpoint: Endpoint, receiver: Receiver, tasks: DrainingBackend
) -> tuple[str, str]:
    """The ids of two messages, each attempted once: one failed with 503, one was delivered."""
    receiver.answers["/hook"] = [503]
    bodies = [
        {"eventType": "a", "payload": {"n": 1}, "channels": ["red"], "tags": ["vip"]},
        {"eventType": "b", "payload": {"n": 2}},
    ]
    failed = api.post(f"{base}/msg", bodies[0]).json["id"]
    tasks.drain()
    delivered = api.post(f"{base}/msg", bodies[1]).json["id"]
    tasks.drain()
    return failed, delivered


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [1, 0]),
        ("status=0", [1]),
        ("status=2", [0]),
        ("status=1", []),
        ("status_code_class=500", [0]),
        ("status_code_class=200", [1]),
        ("status_code_class=0", []),
        ("channel=red", [0]),
        ("channel=blue", []),
        ("tag=vip&status=2", [0]),
        ("tag=vip&status=0", []),
        ("event_types=b", [1]),
        ("event_types=a,b", [1, 0]),
        ("event_types=a&event_types=c", [0]),
    ],
)
def test_filters_narrow_the_list(
    api: Api, base: str, two_attempts: tuple[str, str], query: str, found: list[int]
) -> None:
    listed = api.get(f"{base}/attempt/endpoint/main?{query}").json["data"]
    assert [attempt["msgId"] for attempt in listed] == [two_attempts[number] for number in found]
    for number, message_id in enumerate(two_attempts):
        listed = api.get(f"{base}/attempt/msg/{message_id}?{query}").json["data"]
        assert [attempt["msgId"] for attempt in listed] == [message_id] * (number in found)


@pytest.mark.parametrize(
    "query",
    [
        "status=9",
        "status=success",
        "status_code_class=201",
        "channel=a b",
        "tag=%00",
        "event_types=a,b c",
        "event_types=a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u",
    ],
)
def test_a_filter_that_makes_no_sense_is_422(api: Api, base: str, endpoint: Endpoint, query: str) -> None:
    detail = api.get(f"{base}/attempt/endpoint/main?{query}", status=422).json["detail"]
    assert detail[0]["loc"] == ["query", query.partition("=")[0]]


def test_attempts_of_a_message_are_narrowed_to_one_endpoint(
    api: Api,
    base: str,
    endpoint: Endpoint,
    receiver: Receiver,
    add_endpoint: Callable[..., Endpoint],
    tasks: DrainingBackend,
) -> None:
    second = add_endpoint(f"{receiver.url}/second")
    message_id = api.post(f"{base}/msg", {"eventType": "a", "payload": {}}).json["id"]
    tasks.drain()
    url = f"{base}/attempt/msg/{message_id}"
    assert len(api.get(url).json["data"]) == 2
    for wanted in (endpoint, second):
        for asked in (
            f"{url}?endpoint_id={wanted.pk}",
            f"{base}/msg/{message_id}/endpoint/{wanted.pk}/attempt",
        ):
            (attempt,) = api.get(asked).json["data"]
            assert attempt["endpointId"] == wanted.pk
    assert len(api.get(f"{url}?endpoint_id=main").json["data"]) == 1
    assert len(api.get(f"{base}/msg/{message_id}/attempt").json["data"]) == 2
    api.get(f"{url}?endpoint_id=no-such-uid", status=404)


def test_with_msg_each_attempt_brings_its_message(api: Api, base: str, two_attempts: tuple[str, str]) -> None:
    listed = api.get(f"{base}/attempt/endpoint/main?with_msg=true").json["data"]
    assert [attempt["msg"]["payload"] for attempt in listed] == [{"n": 2}, {"n": 1}]
    assert "msg" not in api.get(f"{base}/attempt/endpoint/main").json["data"][0]


def test_what_does_not_exist_is_404(api: Api, base: str, endpoint: Endpoint, message_id: str) -> None:
    attempt_id = api.get(f"{base}/attempt/msg/{message_id}").json["data"][0]["id"]
    other = api.post(f"{base}/msg", {"eventType": "a", "payload": {}}).json["id"]
    for url in (
        f"{base}/attempt/msg/msg_2Zk1cvJtBnrb0GcoQfyqBXWbOqR",
        f"{base}/attempt/endpoint/ep_2Zk1cvJtBnrb0GcoQfyqBXWbOqR",
        f"{base}/attempt/endpoint/no-such-uid",
        f"{base}/msg/{message_id}/attempt/atmpt_2Zk1cvJtBnrb0GcoQfyqBXWbOqR",
        f"{base}/msg/{other}/attempt/{attempt_id}",
    ):
        assert api.get(url, status=404).json["code"] == "not_found"
    api.post(f"{base}/msg/{message_id}/endpoint/no-such-uid/resend", {}, status=404)
    api.post(f"{base}/msg/no-such-event/endpoint/main/resend", {}, status=404)


def test_only_the_owner_reaches_attempts(
    api: Api, stranger: Api, nobody: Api, base: str, message_id: str, tasks: DrainingBackend
) -> None:
    attempt_id = api.get(f"{base}/attempt/msg/{message_id}").json["data"][0]["id"]
    own = "/api/v1/app/" + stranger.post("/api/v1/app", {"name": "own"}).json["id"]
    for below in (
        f"attempt/msg/{message_id}",
        "attempt/endpoint/main",
        "endpoint/main/msg",
        f"msg/{message_id}/attempt",
        f"msg/{message_id}/attempt/{attempt_id}",
        f"msg/{message_id}/endpoint",
        f"msg/{message_id}/endpoint/main/attempt",
    ):
        api.get(f"{base}/{below}", status=200)
        stranger.get(f"{base}/{below}", status=404)
        stranger.get(f"{own}/{below}", status=404)
        nobody.get(f"{base}/{below}", status=401)
    for prefix in (base, own):
        stranger.post(f"{prefix}/msg/{message_id}/endpoint/main/resend", {}, status=404)
    nobody.post(f"{base}/msg/{message_id}/endpoint/main/resend", {}, status=401)
    assert tasks.queued == []


def test_an_expunged_answer_is_not_shown(api: Api, stranger: Api, base: str, message_id: str) -> None:
    (attempt,) = api.get(f"{base}/attempt/msg/{message_id}").json["data"]
    path = f"{base}/msg/{message_id}/attempt/{attempt['id']}"
    stranger.delete(f"{path}/content", status=404)
    api.delete(f"{path}/content", status=204)
    assert api.get(path).json == {**attempt, "response": ""}
