"""Tasks that the tests of this folder enqueue and run."""

from typing import Any

from django.tasks import TaskContext, task

from apps.appengine import trace
from apps.appengine.tasks.exceptions import PermanentTaskError

ran: list[Any] = []


@task
def remember(value: Any, *, again: bool = False) -> str:
    ran.append((value, again))
    return "remembered"


@task
async def remember_later(value: Any) -> None:
    ran.append(value)


@task(takes_context=True)
def attempt_number(context: TaskContext) -> int:
    ran.append(context.attempt)
    return context.attempt


@task
def remember_the_trace() -> None:
    current = trace.current()
    ran.append(current and current.trace_id)


@task
def fail() -> None:
    raise RuntimeError("a secret in a traceback")


@task
def fail_by_type() -> None:
    raise TypeError("of the task's own")


@task
def give_up() -> None:
    raise PermanentTaskError("never")


@task
def return_an_object() -> object:
    ran.append("returned")
    return object()


@task
def return_what_sql_refuses(value: str) -> Any:
    ran.append(value)
    return {"nan": float("nan"), "nul": "a\0b", "surrogate": "\ud800", "object": object()}[value]


@task
def fail_unprintably() -> None:
    raise RuntimeError("\0 \ud800")


@task
def fail_once() -> None:
    ran.append("fail_once")
    if len(ran) == 1:
        raise RuntimeError("first time")


@task
def end_the_worker() -> None:
    """The first attempt ends as gunicorn ends a worker that takes too long."""
    ran.append("end_the_worker")
    if len(ran) == 1:
        raise SystemExit(1)


def callback() -> None:
    """What call_back does; tests replace it."""


@task
def call_back() -> None:
    callback()


def not_a_task() -> None:
    ran.append("called what is no task")


another_name = remember
