from datetime import timedelta

import pytest
from django.tasks import TaskResultStatus
from django.tasks.exceptions import InvalidTask
from django.utils import timezone

from tests.draining_backend import DrainingBackend, TaskFailedError
from tests.unit.appengine import example_tasks
from tests.unit.appengine.example_tasks import attempt_number, fail, give_up, remember


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    example_tasks.ran.clear()


def test_tasks_wait_until_drained_and_run_in_order(tasks: DrainingBackend) -> None:
    for number in range(3):
        remember.enqueue(number)
    assert example_tasks.ran == []

    results = tasks.drain()

    assert [value for value, _ in example_tasks.ran] == [0, 1, 2]
    assert [result.status for result in results] == [TaskResultStatus.SUCCESSFUL] * 3
    assert tasks.queued == []
    assert tasks.drain() == []


def test_a_task_waits_for_its_time_by_the_clock_it_is_given(tasks: DrainingBackend) -> None:
    now = timezone.now()
    remember.using(run_after=now + timedelta(minutes=10)).enqueue("later")
    remember.using(run_after=timedelta(minutes=5)).enqueue("sooner")
    remember.enqueue("at once")

    tasks.drain(now=now)
    assert [value for value, _ in example_tasks.ran] == ["at once"]
    tasks.drain(now=now + timedelta(minutes=11))
    assert [value for value, _ in example_tasks.ran] == ["at once", "sooner", "later"]


def test_what_a_drained_task_enqueues_is_drained_too(
    tasks: DrainingBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example_tasks, "callback", lambda: remember.enqueue("by a task"))
    example_tasks.call_back.enqueue()

    tasks.drain()

    assert [value for value, _ in example_tasks.ran] == ["by a task"]


def test_arguments_pass_through_json(tasks: DrainingBackend) -> None:
    value = {"tuple": (1, 2)}
    remember.enqueue(value)
    value["tuple"] = (3,)

    tasks.drain()

    assert example_tasks.ran == [({"tuple": [1, 2]}, False)]


def test_it_refuses_what_the_real_backend_refuses() -> None:
    with pytest.raises(TypeError):
        remember.enqueue(object())
    with pytest.raises(InvalidTask):
        remember.enqueue("x" * 200_000)
    with pytest.raises(InvalidTask):
        remember.using(queue_name="nowhere")


def test_a_task_that_raises_stays_queued_and_fails_the_test_with_its_traceback(
    tasks: DrainingBackend,
) -> None:
    fail.enqueue()

    with pytest.raises(TaskFailedError, match="a secret in a traceback"):
        tasks.drain()
    assert len(tasks.queued) == 1


def test_a_task_that_gave_up_is_finished(tasks: DrainingBackend) -> None:
    give_up.enqueue()

    (result,) = tasks.drain()
    assert result.status == TaskResultStatus.FAILED
    assert tasks.queued == []


def test_a_key_queues_a_task_once(tasks: DrainingBackend) -> None:
    attempt_number.using(key="k").enqueue()
    tasks.drain()
    attempt_number.using(key="k").enqueue()
    tasks.drain()

    assert example_tasks.ran == [1]
