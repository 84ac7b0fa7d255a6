"""Run one attempt of a task and say how it ended. Knows nothing of HTTP."""

import enum
import os
import socket
from dataclasses import replace
from inspect import signature
from traceback import format_exception
from typing import Any

from django.tasks import TaskContext, TaskResultStatus
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import TaskError
from django.tasks.signals import task_finished, task_started
from django.utils import timezone
from opentelemetry.trace import SpanKind, StatusCode, get_tracer

from apps.appengine.tasks.body import encode
from apps.appengine.tasks.exceptions import PermanentTaskError, UnknownArguments
from apps.appengine.tasks.task import AnyResult

tracer = get_tracer(__name__)


class Outcome(enum.Enum):
    """How an attempt ended, as Cloud Tasks needs to know it."""

    SUCCEEDED = enum.auto()
    FAILED = enum.auto()  # An exception: the next attempt may succeed.
    GAVE_UP = enum.auto()  # No attempt can succeed.
    BUSY = enum.auto()  # Another worker has it.


def worker_id() -> str:
    """Names this process among all instances."""
    return f"{os.environ.get('GAE_INSTANCE') or socket.gethostname()}-{os.getpid()}"


def run(backend: type[BaseTaskBackend], result: AnyResult) -> tuple[Outcome, AnyResult]:
    """Call the task's function; send Django's signals, which also log each failure with its traceback.

    An attempt that fails is reported FAILED although Cloud Tasks may try again: only the queue knows
    which attempt is the last.
    """
    task = result.task
    attributes: dict[str, str | int] = {
        "task": task.module_path,
        "queue": task.queue_name,
        "attempts": len(result.worker_ids),
    }
    with tracer.start_as_current_span(
        f"task {task.module_path}", kind=SpanKind.CONSUMER, attributes=attributes
    ) as span:
        outcome, result = _run(backend, result)
        span.set_attribute("outcome", outcome.name.lower())
        if outcome is not Outcome.SUCCEEDED:
            span.set_status(StatusCode.ERROR)
            span.set_attribute("error.type", result.errors[-1].exception_class_path)
        return outcome, result


def _run(backend: type[BaseTaskBackend], result: AnyResult) -> tuple[Outcome, AnyResult]:
    now = timezone.now()
    result = replace(result, status=TaskResultStatus.RUNNING, started_at=now, last_attempted_at=now)
    task_started.send(backend, task_result=result)
    try:
        value = _call(result)
    except Exception as error:  # noqa: BLE001  whatever a task raises must end here, and is logged by the signal
        result = _failed(result, error)
        outcome = Outcome.GAVE_UP if isinstance(error, PermanentTaskError) else Outcome.FAILED
        task_finished.send(backend, task_result=result)
        return outcome, result
    result = replace(result, status=TaskResultStatus.SUCCESSFUL, finished_at=timezone.now())
    object.__setattr__(result, "_return_value", value)  # The field takes no part in __init__ or replace().
    task_finished.send(backend, task_result=result)
    return Outcome.SUCCEEDED, result


def _call(result: AnyResult) -> Any:
    task = result.task
    args = [TaskContext(task_result=result), *result.args] if task.takes_context else result.args
    try:
        signature(task.func).bind(*args, **result.kwargs)
    except TypeError as error:
        raise UnknownArguments(
            f"{task.module_path} does not take these arguments here ({error}); the task comes again, for a "
            "release that knows them"
        ) from error
    value = task.call(*args, **result.kwargs)
    try:
        encode(value)
    except (TypeError, ValueError) as error:
        raise PermanentTaskError(f"The return value of {task.module_path} is no JSON: {error}") from error
    return value


def _failed(result: AnyResult, error: Exception) -> AnyResult:
    return replace(
        result,
        status=TaskResultStatus.FAILED,
        finished_at=timezone.now(),
        errors=[*result.errors, error_of(error)],
    )


def error_of(error: Exception) -> TaskError:
    """The exception as Django keeps it, in characters that every database takes."""
    kind = type(error)
    text = "".join(format_exception(error)).replace("\0", "\\0")
    return TaskError(
        exception_class_path=f"{kind.__module__}.{kind.__qualname__}",
        traceback=text.encode(errors="backslashreplace").decode(),
    )
