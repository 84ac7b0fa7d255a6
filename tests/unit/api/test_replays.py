"""Replays of many messages over the API, and the background tasks that carry them out."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from svix.models import BackgroundTaskOut, ListResponseBackgroundTaskOut, RecoverOut, ReplayOut

from apps.applications.models import Application, Endpoint
from apps.core.snapshots import change
from apps.deliveries.background_task import BackgroundTask
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend
from tests.unit.api.conftest import Api

pytestmark = pytest.mark.usefixtures("datastore", "private_endpoints")

HOUR = timedelta(hours=1)
SINCE = (datetime.now(UTC) - HOUR).isoformat()
KINDS = {
    "recover": (RecoverOut, "endpoint.recover"),
    "replay-missing": (ReplayOut, "endpoint.replay"),
    "bulk-replay": (ReplayOut, "endpoint.bulk-replay"),
}
Post = Callable[..., dict[str, Any]]


@pytest.fixture
def endpoint(receiver: Receiver, add_endpoint: Callable[..., Endpoint]) -> Endpoint:
    return add_endpoint(f"{receiver.url}/a", uid="one")


@pytest.fixture
def base(application: Application, endpoint: Endpoint) -> str:
    return f"/api/v1/app/{application.uid}/endpoint/{endpoint.uid}"


@pytest.fixture
def post(api: Api, base: str, django_capture_on_commit_callbacks: Any) -> Post:
    """Asks for a replay, whose first task is queued with the commit."""

    def ask(name: str, body: Any = None, **headers: str) -> dict[str, Any]:
        with django_capture_on_commit_callbacks(execute=True):
            answer: dict[str, Any] = api.post(
                f"{base}/{name}", {"since": SINCE, **(body or {})}, status=202, **headers
            ).json
        return answer

    return ask


@pytest.fixture
def failed(api: Api, application: Application, endpoint: Endpoint, tasks: DrainingBackend) -> str:
    """A message that arrived while the endpoint was disabled: its id."""
    with change(application):
        Endpoint.objects.update(disabled=True)
    body = {"eventType": "a", "payload": {"n": 1}, "channels": ["red"], "tags": ["t"]}
    created: str = api.post(f"/api/v1/app/{application.pk}/msg", body).json["id"]
    tasks.drain()
    with change(application):
        Endpoint.objects.update(disabled=False)
    return created


@pytest.mark.parametrize("name", KINDS)
def test_a_replay_is_a_background_task_that_shows_its_progress(
    api: Api, post: Post, failed: str, name: str, receiver: Receiver, tasks: DrainingBackend
) -> None:
    shape, kind = KINDS[name]
    answer = post(name)
    shape.model_validate(answer)
    assert (answer["status"], answer["task"], answer["id"][:6]) == ("running", kind, "qtask_")
    path = f"/api/v1/background-task/{answer['id']}"
    running = api.get(path)
    BackgroundTaskOut.model_validate_json(running.text)
    assert (running.json["status"], running.json["data"]["messagesSent"]) == ("running", 0)
    tasks.drain(now=timezone.now() + HOUR)
    finished = api.get(path).json
    assert (finished["status"], finished["task"]) == ("finished", kind)
    assert (finished["data"]["messagesSent"], finished["data"]["messagesFound"]) == (1, 1)
    assert finished["data"]["reached"] == finished["data"]["until"]
    assert [request.headers["webhook-id"] for request in receiver.requests] == [failed]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"channel": "red", "tag": "t", "eventTypes": ["a", "b"], "status": 2}, 1),
        ({"channel": "blue"}, 0),
        ({"tag": "u"}, 0),
        ({"eventTypes": ["b"]}, 0),
        ({"status": 0}, 0),
    ],
)
def test_a_bulk_replay_is_narrowed_by_filters(
    post: Post, failed: str, receiver: Receiver, tasks: DrainingBackend, filters: Any, found: int
) -> None:
    post("bulk-replay", filters)
    tasks.drain(now=timezone.now() + HOUR)
    assert len(receiver.requests) == found


@pytest.mark.parametrize("name", KINDS)
def test_the_same_idempotency_key_is_the_same_task(post: Post, failed: str, name: str) -> None:
    first, second = (post(name, idempotency_key="k") for _ in "ab")
    assert first == second
    assert BackgroundTask.objects.count() == 1
    assert post(name)["id"] != first["id"]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, ["body", "since"]),
        ({"since": "yesterday"}, ["body", "since"]),
        ({"since": None}, ["body", "since"]),
        ({"since": 5}, ["body", "since"]),
        ({"since": "9999-12-31T23:59:59-23:00"}, ["body", "since"]),
        ({"since": "2999-01-01T00:00:00Z"}, ["body", "since"]),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, ["body", "since"]),
        ({"since": SINCE, "until": []}, ["body", "until"]),
    ],
)
def test_a_window_that_is_none_is_refused(api: Api, base: str, name: str, body: Any, where: Any) -> None:
    assert api.post(f"{base}/{name}", body, status=422).json["detail"][0]["loc"] == where
    assert not BackgroundTask.objects.exists()


@pytest.mark.parametrize("body", [{"status": 4}, {"status": "2"}, {"channel": "a b"}, {"eventTypes": []}])
def test_a_filter_that_is_none_is_refused(api: Api, base: str, body: Any) -> None:
    api.post(f"{base}/bulk-replay", {"since": SINCE, **body}, status=422)


@pytest.mark.parametrize("code_class", [0, 500])
def test_a_filter_that_does_not_work_yet_answers_501(api: Api, base: str, code_class: int) -> None:
    api.post(f"{base}/bulk-replay", {"since": SINCE, "statusCodeClass": code_class}, status=501)


@pytest.mark.parametrize("since", ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "2026-01-01T00:00:00"])
def test_times_long_ago_and_without_a_zone_are_taken(
    api: Api, post: Post, since: str, tasks: DrainingBackend
) -> None:
    answer = post("recover", {"since": since})
    tasks.drain(now=timezone.now() + HOUR)
    assert api.get(f"/api/v1/background-task/{answer['id']}").json["status"] == "finished"


@pytest.mark.parametrize("name", KINDS)
def test_a_disabled_endpoint_is_a_conflict(api: Api, application: Application, base: str, name: str) -> None:
    with change(application):
        Endpoint.objects.update(disabled=True)
    api.post(f"{base}/{name}", {"since": SINCE}, status=409)


@pytest.mark.parametrize("name", KINDS)
def test_a_strangers_endpoint_is_not_there(stranger: Api, api: Api, base: str, name: str) -> None:
    stranger.post(f"{base}/{name}", {"since": SINCE}, status=404)
    api.post(f"{base}x/{name}", {"since": SINCE}, status=404)


def test_a_strangers_background_task_is_not_there(api: Api, stranger: Api, post: Post) -> None:
    made = post("recover")["id"]
    stranger.get(f"/api/v1/background-task/{made}", status=404)
    assert stranger.get("/api/v1/background-task").json["data"] == []
    api.get("/api/v1/background-task/qtask_none", status=404)


def test_background_tasks_are_listed_newest_first_and_filtered(
    api: Api, post: Post, pages: Callable[..., list[list[str]]], tasks: DrainingBackend
) -> None:
    made = [post(name)["id"] for name in ("recover", "bulk-replay", "recover")]
    BackgroundTask.objects.filter(pk=made[0]).update(status="failed", error="It is gone.")
    response = api.get("/api/v1/background-task")
    ListResponseBackgroundTaskOut.model_validate_json(response.text)
    assert [one["id"] for one in response.json["data"]] == made[::-1]
    assert response.json["data"][2]["data"]["error"] == "It is gone."
    for query, expected in [
        ("order=ascending&limit=2", [made[:2], made[2:]]),
        ("status=failed&limit=9", [[made[0]]]),
        ("task=endpoint.recover&limit=1", [[made[2]], [made[0]]]),
        ("task=message.broadcast&limit=1", [[]]),
    ]:
        assert pages(f"/api/v1/background-task?{query}") == expected, query
    for nonsense in ("status=done", "task=other", "limit=0", "order=up", "iterator=%00"):
        api.get(f"/api/v1/background-task?{nonsense}", status=422)


def test_after_ninety_days_a_background_task_is_forgotten(api: Api, post: Post) -> None:
    made = post("recover")["id"]
    BackgroundTask.objects.update(created_at=timezone.now() - timedelta(days=91))
    assert api.get("/api/v1/background-task").json["data"] == []
    api.get(f"/api/v1/background-task/{made}", status=404)


def test_a_message_of_before_the_endpoint_is_only_missing(
    api: Api, application: Application, post: Post, receiver: Receiver, tasks: DrainingBackend
) -> None:
    kept = Endpoint.objects.get()
    with change(application):
        Endpoint.objects.all().delete()
    created = api.post(f"/api/v1/app/{application.pk}/msg", {"eventType": "a", "payload": {}}).json["id"]
    with change(application):
        kept.save(force_insert=True)
    post("recover")
    tasks.drain(now=timezone.now() + HOUR)
    assert receiver.requests == []
    post("replay-missing")
    tasks.drain(now=timezone.now() + HOUR)
    assert [request.headers["webhook-id"] for request in receiver.requests] == [created]
