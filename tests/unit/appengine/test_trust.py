import json
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import get_resolver

from tests.unit.appengine import example_tasks

pytestmark = pytest.mark.usefixtures("shared_datastore")  # the middleware opens a context

TASK = "tests.unit.appengine.example_tasks.remember"
BODY = json.dumps({"task": TASK, "args": [1], "kwargs": {}, "id": "a", "backend": "default"})
FORGED = {
    "X-AppEngine-QueueName": "default",
    "X-AppEngine-TaskName": "t",
    "X-CloudTasks-QueueName": "default",
    "X-Appengine-Cron": "true",
}

jobs = {"remember": "tests.unit.appengine.test_trust.remember_cron"}


def remember_cron() -> None:
    example_tasks.ran.append("cron")


def send_task(headers: dict[str, str]) -> HttpResponse:
    return Client().post(f"/_tasks/default/{TASK}", BODY, "application/json", headers=headers)


def send_cron(headers: dict[str, str]) -> HttpResponse:
    return Client().get("/_cron/remember", headers=headers)


both = pytest.mark.parametrize("send", [send_task, send_cron])


@pytest.fixture(autouse=True)
def _outside(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # A process loads the site once, and its tasks check their queues then: before a test changes TASKS.
    assert get_resolver().url_patterns
    settings.CRON_JOBS = "tests.unit.appengine.test_trust.jobs"
    monkeypatch.delenv("LOCAL_RUNTIME", raising=False)
    monkeypatch.delenv("GAE_ENV", raising=False)
    example_tasks.ran.clear()


def configure(settings: Any, **options: str) -> None:
    tasks = settings.TASKS
    settings.TASKS = tasks | {"default": tasks["default"] | {"OPTIONS": options}}


def assert_refused(response: HttpResponse, caplog: pytest.LogCaptureFixture, saying: str) -> None:
    assert response.status_code == 403
    assert response.content == b"forbidden"
    assert example_tasks.ran == []
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert saying in record.getMessage()


@both
@pytest.mark.parametrize(("name", "value"), [("GAE_ENV", "standard"), ("LOCAL_RUNTIME", "1")])
def test_where_app_engine_or_the_local_runtime_strips_headers_they_are_trusted(
    send: Callable[..., HttpResponse], name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    assert send(FORGED).status_code == 200
    assert len(example_tasks.ran) == 1


@both
def test_a_request_without_the_header_is_refused(
    send: Callable[..., HttpResponse], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GAE_ENV", "standard")

    assert_refused(send({}), caplog, "X-App")


@both
@pytest.mark.parametrize(
    "environment", [{}, {"GAE_ENV": "localdev"}, {"LOCAL_RUNTIME": "0"}, {"GAE_ENV": "flex"}]
)
def test_where_nobody_strips_headers_a_forged_one_is_refused(
    send: Callable[..., HttpResponse],
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert_refused(send(FORGED), caplog, "LOCAL_RUNTIME")


@both
@pytest.mark.parametrize("target", ["", "AppEngine", "app_engine", "https", None])
def test_a_target_that_is_missing_or_misspelt_refuses_everything(
    send: Callable[..., HttpResponse],
    target: Any,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Seen broken elsewhere: tasks run without authentication when a setting is misspelt."""
    monkeypatch.setenv("GAE_ENV", "standard")
    configure(settings, TARGET=target)

    assert_refused(send(FORGED | {"Authorization": "Bearer x"}), caplog, '"TARGET"')


@both
@pytest.mark.parametrize("tasks", [{}, {"default": {"BACKEND": "tests.draining_backend.DrainingBackend"}}])
def test_without_options_everything_is_refused(
    send: Callable[..., HttpResponse], tasks: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAE_ENV", "standard")
    settings.TASKS = tasks

    assert send(FORGED).status_code == 403


@both
def test_on_the_http_target_forged_app_engine_headers_do_nothing(
    send: Callable[..., HttpResponse],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("GAE_ENV", "standard")
    monkeypatch.setenv("LOCAL_RUNTIME", "1")
    configure(settings, TARGET="http", AUDIENCE="a", SERVICE_ACCOUNT="s")

    assert_refused(send(FORGED), caplog, "no bearer token")


@both
@pytest.mark.parametrize("missing", ["AUDIENCE", "SERVICE_ACCOUNT"])
def test_on_the_http_target_an_empty_audience_or_account_refuses_everything(
    send: Callable[..., HttpResponse], missing: str, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    configure(settings, **{"TARGET": "http", "AUDIENCE": "a", "SERVICE_ACCOUNT": "s"} | {missing: ""})

    assert_refused(send(FORGED | {"Authorization": "Bearer x"}), caplog, missing)


def test_a_task_is_refused_before_its_body_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAE_ENV", "standard")

    response = Client().post(f"/_tasks/default/{TASK}", "not json", "application/json")

    assert response.status_code == 403


def test_a_task_from_another_queue_than_the_path_names_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAE_ENV", "standard")

    assert send_task(FORGED | {"X-AppEngine-QueueName": "other"}).status_code == 403


def test_cron_headers_open_no_task_and_task_headers_no_cron(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAE_ENV", "standard")

    assert send_task({"X-Appengine-Cron": "true"}).status_code == 403
    assert send_cron({"X-AppEngine-QueueName": "default"}).status_code == 403
