import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from django.db import transaction
from django.tasks import TaskResult, TaskResultStatus, task_backends
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist, TaskResultMismatch
from django.test import Client
from django.utils import timezone

from apps.appengine.models import TaskRecord
from apps.appengine.tasks.exceptions import TaskNotCreated
from apps.appengine.tasks.recorded import RecordedCloudTasksBackend
from tests.fake_cloud_tasks import FakeCloudTasks, serve
from tests.unit.appengine import example_tasks

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("shared_datastore"),  # the middleware opens a context
]

remember = example_tasks.remember.using(backend="recorded")


@pytest.fixture(autouse=True)
def cloud_tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloudTasks]:
    monkeypatch.setenv("LOCAL_RUNTIME", "1")
    example_tasks.ran.clear()
    with serve() as running:
        monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", running.address)
        yield running


def deliver(result: TaskResult) -> int:
    """Send the task to its route, as Cloud Tasks does, and return the status."""
    path = result.task.module_path
    body = {
        "task": path,
        "args": result.args,
        "kwargs": result.kwargs,
        "id": result.id,
        "backend": "recorded",
    }
    response = Client().post(
        f"/_tasks/{result.task.queue_name}/{path}",
        json.dumps(body),
        "application/json",
        headers={"X-AppEngine-QueueName": result.task.queue_name},
    )
    assert b"Traceback" not in response.content
    return response.status_code


def enqueue(task: Any, *args: Any) -> TaskResult:
    result: TaskResult = task.using(backend="recorded").enqueue(*args)
    return result


def test_a_task_that_succeeds_leaves_its_value_and_times(cloud_tasks: FakeCloudTasks) -> None:
    result = remember.enqueue("x", again=True)
    assert result.status == TaskResultStatus.READY
    assert cloud_tasks.only_task.name.endswith(result.id)

    assert deliver(result) == 200

    result.refresh()
    assert result.status == TaskResultStatus.SUCCESSFUL
    assert result.return_value == "remembered"
    assert result.enqueued_at <= result.started_at <= result.last_attempted_at <= result.finished_at
    assert result.attempts == 1
    assert result.errors == []
    assert remember.get_result(result.id).kwargs == {"again": True}


def test_a_result_keeps_where_and_when_its_task_was_to_run() -> None:
    at = timezone.now() + timedelta(hours=1)
    result = remember.using(run_after=at).enqueue(1)

    task = remember.get_result(result.id).task
    assert (task.run_after, task.queue_name, task.backend) == (at, "default", "recorded")


def test_a_finished_task_that_arrives_again_is_not_run_again() -> None:
    result = enqueue(example_tasks.remember, 1)

    assert [deliver(result), deliver(result)] == [200, 200]
    assert len(example_tasks.ran) == 1


def test_a_failed_attempt_keeps_its_traceback_and_the_next_one_may_succeed() -> None:
    result = enqueue(example_tasks.fail_once)

    assert deliver(result) == 500
    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert result.finished_at is None
    assert result.errors[0].exception_class is RuntimeError
    assert "first time" in result.errors[0].traceback

    assert deliver(result) == 200
    result.refresh()
    assert result.status == TaskResultStatus.SUCCESSFUL
    assert result.attempts == 2
    assert len(result.errors) == 1


def test_a_permanent_error_finishes_the_task_as_failed() -> None:
    result = enqueue(example_tasks.give_up)

    assert deliver(result) == 200
    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert result.finished_at is not None


def test_the_attempts_of_a_task_are_counted_from_its_record() -> None:
    result = enqueue(example_tasks.attempt_number)
    TaskRecord.objects.filter(id=result.id).update(worker_ids=["one", "two"])

    deliver(result)

    assert example_tasks.ran == [3]


@pytest.mark.parametrize("value", ["nan", "nul", "surrogate", "object"])
def test_a_return_value_that_cannot_be_kept_fails_the_task(value: str) -> None:
    """Seen broken elsewhere: an unserialisable return value leaves the row running for ever."""
    result = enqueue(example_tasks.return_what_sql_refuses, value)

    assert deliver(result) == 200
    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert "return value" in result.errors[0].traceback
    assert deliver(result) == 200
    assert len(example_tasks.ran) == 1


def test_an_error_message_that_sql_refuses_is_kept_in_other_characters() -> None:
    result = enqueue(example_tasks.fail_unprintably)

    assert deliver(result) == 500
    result.refresh()
    assert "\\0" in result.errors[0].traceback
    assert "\0" not in result.errors[0].traceback


def test_a_repeat_that_meets_a_live_lease_is_kept_by_cloud_tasks() -> None:
    """Seen broken elsewhere: such a retry is answered 2xx, so the task is deleted and never runs."""
    result = enqueue(example_tasks.end_the_worker)
    with pytest.raises(SystemExit):
        deliver(result)
    result.refresh()
    assert result.status == TaskResultStatus.RUNNING

    assert deliver(result) == 500
    assert len(example_tasks.ran) == 1


def test_a_crashed_workers_lease_ends_and_the_task_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordedCloudTasksBackend, "lease", timedelta(0))
    result = enqueue(example_tasks.end_the_worker)
    with pytest.raises(SystemExit):
        deliver(result)

    assert deliver(result) == 200
    result.refresh()
    assert result.status == TaskResultStatus.SUCCESSFUL
    assert result.attempts == 2


def test_a_task_delivered_while_it_runs_does_not_run_twice_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    result = enqueue(example_tasks.call_back)
    inner = []
    monkeypatch.setattr(example_tasks, "callback", lambda: inner.append(deliver(result)))

    assert deliver(result) == 200
    assert inner == [500]


def test_a_worker_whose_lease_ran_out_does_not_overwrite_its_successor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RecordedCloudTasksBackend, "lease", timedelta(0))
    result = enqueue(example_tasks.call_back)
    inner = []

    def deliver_again() -> None:
        monkeypatch.setattr(example_tasks, "callback", lambda: None)
        inner.append(deliver(result))
        raise RuntimeError("too late")

    monkeypatch.setattr(example_tasks, "callback", deliver_again)
    deliver(result)

    assert inner == [200]
    result.refresh()
    assert result.status == TaskResultStatus.SUCCESSFUL


def test_a_create_that_fails_is_recorded_raised_and_logged(
    cloud_tasks: FakeCloudTasks, caplog: pytest.LogCaptureFixture
) -> None:
    """Seen broken elsewhere: a create that fails is reported nowhere."""
    cloud_tasks.faults = [grpc.StatusCode.PERMISSION_DENIED]

    with pytest.raises(TaskNotCreated):
        remember.enqueue(1)

    record = TaskRecord.objects.get()
    assert record.status == TaskResultStatus.FAILED
    assert record.finished_at is not None
    assert record.errors[0]["exception_class_path"] == "apps.appengine.tasks.exceptions.TaskNotCreated"
    assert len([line for line in caplog.records if line.levelno >= logging.ERROR]) == 1


def test_in_a_transaction_the_task_is_created_when_that_commits(cloud_tasks: FakeCloudTasks) -> None:
    with transaction.atomic():
        result = remember.enqueue(1)
        assert cloud_tasks.calls == []

    assert cloud_tasks.only_task.name.endswith(result.id)


def test_a_transaction_that_is_rolled_back_leaves_neither_record_nor_task(
    cloud_tasks: FakeCloudTasks,
) -> None:
    with transaction.atomic():
        remember.enqueue(1)
        transaction.set_rollback(True)

    assert cloud_tasks.calls == []
    assert not TaskRecord.objects.exists()


def test_what_the_backend_refuses_leaves_no_record() -> None:
    with pytest.raises(InvalidTask):
        remember.enqueue("x" * 200_000)
    with pytest.raises(TypeError):
        remember.enqueue(object())
    assert not TaskRecord.objects.exists()


def test_a_task_enqueued_again_with_its_key_is_one_record_that_runs_once(cloud_tasks: FakeCloudTasks) -> None:
    first = remember.using(key="report 7").enqueue(1)
    again = remember.using(key="report 7").enqueue(1)
    assert again.id == first.id
    deliver(first)

    after = remember.using(key="report 7").enqueue(1)

    assert after.status == TaskResultStatus.SUCCESSFUL
    assert after.return_value == "remembered"
    assert len(cloud_tasks.tasks) == TaskRecord.objects.count() == len(example_tasks.ran) == 1


def test_a_task_whose_create_failed_can_be_enqueued_again_with_its_key(cloud_tasks: FakeCloudTasks) -> None:
    cloud_tasks.faults = [grpc.StatusCode.PERMISSION_DENIED]
    with pytest.raises(TaskNotCreated):
        remember.using(key="report 7").enqueue(1)

    result = remember.using(key="report 7").enqueue(1)

    assert result.status == TaskResultStatus.READY
    assert result.errors == []
    assert deliver(result) == 200
    assert len(cloud_tasks.tasks) == len(example_tasks.ran) == 1


@pytest.mark.parametrize("result_id", ["unknown", "", "x" * 500, "a\0b", "../x", "é", None, 7])
def test_an_unknown_or_malformed_id_has_no_result(result_id: Any) -> None:
    with pytest.raises(TaskResultDoesNotExist):
        task_backends["recorded"].get_result(result_id)


def test_a_result_of_another_task_is_a_mismatch() -> None:
    result = remember.enqueue(1)

    with pytest.raises(TaskResultMismatch):
        example_tasks.fail.using(backend="recorded").get_result(result.id)


def test_a_result_whose_task_is_gone_from_the_code_does_not_exist() -> None:
    result = remember.enqueue(1)
    TaskRecord.objects.update(task="tests.unit.appengine.example_tasks.gone")

    with pytest.raises(TaskResultDoesNotExist):
        remember.get_result(result.id)


def test_a_task_whose_record_was_deleted_does_not_run() -> None:
    result = remember.enqueue(1)
    TaskRecord.objects.all().delete()

    assert deliver(result) == 200
    assert example_tasks.ran == []
