import logging
from typing import Any

import pytest
from django.test import Client

from tests.draining_backend import DrainingBackend
from tests.unit.appengine import example_tasks

pytestmark = pytest.mark.usefixtures("shared_datastore")  # the middleware opens a context

HERE = "tests.unit.appengine.test_cron"

jobs = {
    "function": f"{HERE}.function",
    "task": "tests.unit.appengine.example_tasks.attempt_number",
    "failing": f"{HERE}.failing",
    "not-importable": "no.such.function",
}


def function() -> None:
    example_tasks.ran.append("function")


def failing() -> None:
    raise RuntimeError("a secret in a traceback")


@pytest.fixture(autouse=True)
def _cron(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CRON_JOBS = f"{HERE}.jobs"
    monkeypatch.setenv("LOCAL_RUNTIME", "1")
    example_tasks.ran.clear()


def get(name: str) -> Any:
    return Client().get(f"/_cron/{name}", headers={"X-Appengine-Cron": "true"})


def test_a_function_runs_in_the_request() -> None:
    assert get("function").status_code == 200
    assert example_tasks.ran == ["function"]


def test_a_task_is_enqueued(tasks: DrainingBackend) -> None:
    assert get("task").status_code == 200
    assert example_tasks.ran == []

    tasks.drain()
    assert example_tasks.ran == [1]


@pytest.mark.parametrize("name", ["failing", "not-importable"])
def test_a_job_that_raises_answers_500_and_is_logged_once(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = get(name)

    assert response.status_code == 500
    assert response.content == b"failed"
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert name in record.getMessage()
    assert (record.event, record.job, record.outcome) == ("cron", name, "failed")  # type: ignore[attr-defined]


def test_a_run_logs_that_it_is_done(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    get("function")
    (record,) = [record for record in caplog.records if getattr(record, "event", "") == "cron"]
    assert (record.job, record.outcome) == ("function", "done")  # type: ignore[attr-defined]
    assert record.duration_ms >= 0  # type: ignore[attr-defined]


def test_an_unknown_name_is_not_found() -> None:
    assert get("unknown").status_code == 404


def test_only_get_runs_a_job() -> None:
    assert Client().post("/_cron/function", headers={"X-Appengine-Cron": "true"}).status_code == 405
    assert example_tasks.ran == []
