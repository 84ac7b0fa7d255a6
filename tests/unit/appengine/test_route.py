import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpResponse
from django.tasks import TaskResultStatus
from django.tasks.signals import task_finished, task_started
from django.test import Client

from tests.unit.appengine import example_tasks

pytestmark = pytest.mark.usefixtures("shared_datastore")  # the middleware opens a context

HERE = "tests.unit.appengine.example_tasks"


@pytest.fixture(autouse=True)
def _behind_the_front_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RUNTIME", "1")
    example_tasks.ran.clear()


@pytest.fixture
def states() -> Iterator[list[str]]:
    seen: list[str] = []

    def receive(task_result: Any, **kwargs: Any) -> None:
        seen.append(task_result.status)

    task_started.connect(receive)
    task_finished.connect(receive)
    yield seen
    task_started.disconnect(receive)
    task_finished.disconnect(receive)


def post(name: str, *args: Any, queue: str = "default", headers: Any = None, **changes: Any) -> HttpResponse:
    """What Cloud Tasks sends for a task of example_tasks."""
    path = f"{HERE}.{name}" if "." not in name else name
    body = {"task": path, "args": args, "kwargs": {}, "id": "abc", "backend": "default"} | changes
    return send(f"/_tasks/{queue}/{path}", json.dumps(body), headers=headers)


def send(url: str, body: str | bytes, headers: Any = None) -> HttpResponse:
    sent = {"X-AppEngine-QueueName": "default"} | (headers or {})
    return Client(enforce_csrf_checks=True).post(url, body, "application/json", headers=sent)


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_task_runs_with_its_arguments_and_is_done(states: list[str]) -> None:
    response = post("remember", {"a": [1]}, kwargs={"again": True})

    assert response.status_code == 200
    assert example_tasks.ran == [({"a": [1]}, True)]
    assert states == [TaskResultStatus.RUNNING, TaskResultStatus.SUCCESSFUL]


def test_a_coroutine_function_runs_to_its_end() -> None:
    assert post("remember_later", 5).status_code == 200
    assert example_tasks.ran == [5]


@pytest.mark.parametrize("header", ["X-AppEngine-TaskRetryCount", "X-CloudTasks-TaskRetryCount"])
def test_a_task_that_takes_the_context_learns_which_attempt_it_is(header: str) -> None:
    post("attempt_number")
    post("attempt_number", headers={header: "3"})

    assert example_tasks.ran == [1, 4]


def test_a_task_runs_in_the_trace_of_what_enqueued_it() -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"

    post("remember_the_trace", headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"})

    assert example_tasks.ran == [trace_id]


def test_an_exception_answers_500_and_is_logged_once_with_its_traceback(
    caplog: pytest.LogCaptureFixture, states: list[str]
) -> None:
    response = post("fail")

    assert response.status_code == 500
    (record,) = errors(caplog)
    assert record.exc_info is not None
    assert "a secret" in str(record.exc_info[1])
    assert states == [TaskResultStatus.RUNNING, TaskResultStatus.FAILED]


@pytest.mark.parametrize("debug", [True, False])
def test_a_traceback_is_never_returned_to_the_caller(settings: Any, debug: bool) -> None:
    """Seen broken elsewhere: tracebacks returned to the caller."""
    settings.DEBUG = debug

    assert post("fail").content == b"failed"


def test_a_permanent_error_answers_200_and_is_logged(
    caplog: pytest.LogCaptureFixture, states: list[str]
) -> None:
    assert post("give_up").status_code == 200
    assert len(errors(caplog)) == 1
    assert states[-1] == TaskResultStatus.FAILED


@pytest.mark.parametrize(("args", "kwargs"), [((1, 2, 3), {}), ((), {}), ((1,), {"unknown": 1})])
def test_arguments_of_another_release_answer_500_so_that_the_task_comes_again(
    args: Any, kwargs: Any, caplog: pytest.LogCaptureFixture, states: list[str]
) -> None:
    assert post("remember", *args, kwargs=kwargs).status_code == 500
    assert example_tasks.ran == []
    assert states[-1] == TaskResultStatus.FAILED
    (record,) = errors(caplog)
    assert f"{HERE}.remember does not take these arguments here" in str(record.exc_info[1])


def test_a_task_that_raises_type_error_itself_is_not_taken_for_one_of_another_release(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert post("fail_by_type").status_code == 500
    (record,) = errors(caplog)
    assert "arguments" not in str(record.exc_info[1])


def test_a_return_value_that_is_no_json_is_a_permanent_error(caplog: pytest.LogCaptureFixture) -> None:
    assert post("return_an_object").status_code == 200
    assert len(errors(caplog)) == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not json",
        b"\xff",
        "[]",
        json.dumps({"task": f"{HERE}.fail", "args": [1], "kwargs": {}, "id": "a", "backend": "default"}),
    ],
)
def test_a_body_that_no_release_wrote_is_logged_and_answers_200_since_no_retry_mends_it(
    body: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert send(f"/_tasks/default/{HERE}.remember", body).status_code == 200
    assert example_tasks.ran == []
    assert len(errors(caplog)) == 1


@pytest.mark.parametrize(
    "changes", [{"priority": 3}, {"args": "1"}, {"id": None}], ids=["one more", "another kind", "none"]
)
def test_a_body_with_the_fields_of_another_release_answers_500_so_that_the_task_comes_again(
    changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert post("remember", 1, **changes).status_code == 500
    assert example_tasks.ran == []
    assert len(errors(caplog)) == 1


def test_a_body_that_lacks_a_field_answers_500() -> None:
    assert send(f"/_tasks/default/{HERE}.remember", "{}").status_code == 500


@pytest.mark.parametrize(
    "path",
    [
        f"{HERE}.not_a_task",
        f"{HERE}.another_name",
        f"{HERE}.ran",
        f"{HERE}.gone",
        "no.such.module.task",
        "os.getcwd",
        "undotted",
    ],
)
def test_only_a_task_under_its_own_path_runs_and_an_unknown_one_is_kept_for_a_newer_version(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = send(
        f"/_tasks/default/{path}",
        json.dumps({"task": path, "args": [], "kwargs": {}, "id": "a", "backend": "default"}),
    )

    assert response.status_code == 500
    assert example_tasks.ran == []
    assert len(errors(caplog)) == 1


def test_a_queue_or_backend_this_version_does_not_know_answers_500() -> None:
    headers = {"X-AppEngine-QueueName": "unheard-of"}
    assert post("remember", 1, queue="unheard-of", headers=headers).status_code == 500
    assert post("remember", 1, backend="unheard-of").status_code == 500
    assert example_tasks.ran == []


def test_a_backend_that_is_not_cloud_tasks_runs_nothing(settings: Any) -> None:
    settings.TASKS = settings.TASKS | {"other": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}}

    assert post("remember", 1, backend="other").status_code == 500
    assert example_tasks.ran == []


def test_the_queue_in_the_path_must_be_the_one_that_sent_the_task() -> None:
    assert post("remember", 1, queue="slow").status_code == 403
    assert example_tasks.ran == []


@pytest.mark.parametrize(
    ("name", "outcome"), [("attempt_number", ""), ("fail", "failed"), ("give_up", "gave_up")]
)
def test_a_run_that_did_not_succeed_logs_an_event(
    name: str, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    post(name, headers={"X-AppEngine-TaskRetryCount": "2"})

    found = [record for record in caplog.records if getattr(record, "event", "") == "task"]
    fields = ("task", "queue", "outcome", "attempts")
    expected = [(f"{HERE}.{name}", "default", outcome, 3)] if outcome else []
    assert [tuple(getattr(record, field) for field in fields) for record in found] == expected


def test_only_post_runs_a_task() -> None:
    response = Client().get(f"/_tasks/default/{HERE}.remember", headers={"X-AppEngine-QueueName": "default"})
    assert response.status_code == 405
