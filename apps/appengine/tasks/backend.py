"""`TASKS["default"]["BACKEND"]`: enqueues Django tasks on Cloud Tasks.

OPTIONS: TARGET ("appengine" or "http"), PROJECT, LOCATION and, for the HTTP target, URL, AUDIENCE and
SERVICE_ACCOUNT. Inside a SQL transaction call `transaction.on_commit(...)`: a task may otherwise run
before what it reads is committed, or after it was rolled back.
"""

import hashlib
import logging
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.tasks import TaskResult, TaskResultStatus
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.exceptions import InvalidTask
from django.tasks.signals import task_enqueued
from django.utils import timezone
from django.utils.crypto import get_random_string
from opentelemetry.trace import SpanKind, get_tracer

from apps.appengine.tasks.body import Body
from apps.appengine.tasks.exceptions import TaskNotCreated
from apps.appengine.tasks.execution import Outcome, run
from apps.appengine.tasks.task import AnyResult, AnyTask, CloudTask

logger = logging.getLogger(__name__)
tracer = get_tracer(__name__)

# https://cloud.google.com/tasks/docs/quotas: 100 KB a task for App Engine targets. Counted in thousands,
# so that name and headers fit beside the body.
MAX_BODY = 100_000
MAX_DELAY = timedelta(days=30)
REQUIRED = {
    "appengine": ("PROJECT", "LOCATION"),
    "http": ("PROJECT", "LOCATION", "URL", "AUDIENCE", "SERVICE_ACCOUNT"),
}


class CloudTasksBackend(BaseTaskBackend):
    """Django tasks on Cloud Tasks: run at least once, in no order, results not kept."""

    task_class = CloudTask
    supports_defer = True
    supports_async_task = True  # Task.call() runs a coroutine to its end inside the task's request.

    def validate_task(self, task: AnyTask) -> None:
        """As Django does, and refuse what Cloud Tasks would. Raises InvalidTask."""
        super().validate_task(task)
        if task.run_after is not None and task.run_after - timezone.now() > MAX_DELAY:
            raise InvalidTask(
                f"run_after is more than {MAX_DELAY.days} days ahead, which Cloud Tasks refuses."
            )

    def enqueue(  # type: ignore[override]  # the stubs carry the parameters of the function through
        self, task: AnyTask, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> AnyResult:
        """Create the Cloud Tasks task before returning, within a few seconds.

        Raises InvalidTask (also for a body over 100 KB), TypeError or ValueError for arguments that
        are no JSON, TaskNotCreated when Cloud Tasks did not take it.
        """
        self.validate_task(task)
        result = new_result(task, args, kwargs)
        self.create(result, encode_body(result))
        return result

    def create(self, result: AnyResult, body: bytes) -> None:
        """One create call, reported when it fails: an error in the log and TaskNotCreated."""
        try:
            self._refuse_without_queue(result.task)
            self._call(result, body)
        except TaskNotCreated:
            logger.exception("Task %s id=%s was not created", result.task.module_path, result.id)
            raise
        task_enqueued.send(type(self), task_result=result)

    def perform(self, result: AnyResult) -> Outcome:
        """Run one attempt of a task that Cloud Tasks sent back to us."""
        outcome, _ = run(type(self), result)
        return outcome

    def missing_options(self) -> list[str]:
        """The OPTIONS that are wrong or empty for this target; none where the backend can work."""
        required = REQUIRED.get(self.options.get("TARGET", ""))
        if required is None:
            return ["TARGET"]
        return [name for name in required if not self.options.get(name)]

    def _refuse_without_queue(self, task: AnyTask) -> None:
        if missing := self.missing_options():
            raise TaskNotCreated(f"TASKS[{self.alias!r}]['OPTIONS'] lacks {', '.join(missing)}.")
        if settings.DEBUG and not os.environ.get("CLOUD_TASKS_EMULATOR_HOST"):
            raise TaskNotCreated(
                f"{task.module_path} would go to the Cloud Tasks queue {task.queue_name!r} of project "
                f"{self.options['PROJECT']!r}, but DEBUG is on and CLOUD_TASKS_EMULATOR_HOST names no local "
                "queue server. `make run` starts one, and everything else."
            )

    def _call(self, result: AnyResult, body: bytes) -> None:
        # Late: together they take 0.4 s, which a command that enqueues nothing need not pay.
        from google.api_core.exceptions import GoogleAPIError  # noqa: PLC0415
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415

        from apps.appengine.tasks import client, request  # noqa: PLC0415

        task = result.task
        cloud_task = request.build(
            options=self.options,
            queue_name=task.queue_name,
            task_path=task.module_path,
            result_id=result.id,
            run_after=task.run_after,
            body=body,
        )
        attributes = {"task": task.module_path, "queue": task.queue_name}
        try:
            with tracer.start_as_current_span(
                "Cloud Tasks CreateTask", kind=SpanKind.CLIENT, attributes=attributes
            ):
                client.create(request.queue_path(self.options, task.queue_name), cloud_task)
        except (GoogleAPIError, GoogleAuthError) as error:
            raise TaskNotCreated(f"{task.module_path} on queue {task.queue_name!r}: {error}") from error


def new_result(task: AnyTask, args: Sequence[Any], kwargs: dict[str, Any]) -> AnyResult:
    """A result that waits to run. Its id is random, or follows from the task's key."""
    return TaskResult(
        task=task,
        id=_result_id(task),
        status=TaskResultStatus.READY,
        enqueued_at=timezone.now(),
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=list(args),
        kwargs=kwargs,
        backend=task.backend,
        errors=[],
        worker_ids=[],
    )


def encode_body(result: AnyResult) -> bytes:
    """The body of the task's request. Raises InvalidTask over 100 KB, TypeError or ValueError for no JSON."""
    body = Body(
        task=result.task.module_path,
        args=result.args,
        kwargs=result.kwargs,
        id=result.id,
        backend=result.backend,
    ).encode()
    if len(body) > MAX_BODY:
        raise InvalidTask(
            f"The arguments of {result.task.module_path} take {len(body):,} bytes; at most {MAX_BODY:,} fit "
            "a task. Store them and pass their id."
        )
    return body


def _result_id(task: AnyTask) -> str:
    key = task.key if isinstance(task, CloudTask) else None
    if key is None:
        return get_random_string(32)
    return hashlib.sha256(f"{task.module_path} {key}".encode()).hexdigest()[:32]
