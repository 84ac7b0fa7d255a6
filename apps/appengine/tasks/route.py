"""POST /_tasks/<queue>/<module path of a task>: what Cloud Tasks calls back.

At least once: a task may arrive again, also while its first run still goes on. Any 2xx deletes the
task, 500 has it tried again. Never 503, which throttles the queue, and never a traceback.

Two releases share the queues while one follows the other, and after a rollback. What this one does not
know, the other one may: a task, its queue, its backend alias, other fields in its body, arguments that
do not fit its signature. Each answers 500, so the task comes again until a release that knows it takes
it; Cloud Tasks forgets it after 31 days (https://cloud.google.com/tasks/docs/quotas), or when the
limits of its queue end it. Only what no release ever wrote is deleted: a body that is no JSON object or
that names another task than its path. docs/decisions/0025-two-releases-at-once.md has the rule.
"""

import logging

from django.http import HttpRequest, HttpResponse
from django.tasks import Task, TaskResult, TaskResultStatus, task_backends
from django.tasks.exceptions import InvalidTask, InvalidTaskBackend
from django.utils.module_loading import import_string
from django.views.decorators.http import require_POST

from apps.appengine import trust
from apps.appengine.responses import logged
from apps.appengine.tasks.backend import CloudTasksBackend
from apps.appengine.tasks.body import Body
from apps.appengine.tasks.execution import Outcome, worker_id
from apps.appengine.tasks.task import AnyResult, AnyTask

logger = logging.getLogger(__name__)


@trust.only_cloud_tasks
@require_POST
def run_task(request: HttpRequest, queue: str, path: str) -> HttpResponse:
    """Run the task; 200 when it need not come again, 500 when it must.

    Any end but success logs a line of which metrics are made.
    """
    attempts = _earlier_attempts(request) + 1
    try:
        body = Body.decode(request.body)
        if body.task != path:
            raise ValueError(f"the body names {body.task!r}")
    except ValueError:
        fields = _event(path, queue, Outcome.GAVE_UP, attempts)
        logger.exception("Malformed body for %s", path, extra=fields)
        return HttpResponse("malformed")
    except TypeError:
        fields = _event(path, queue, Outcome.FAILED, attempts)
        logger.exception("The body for %s has a form that is unknown here", path, extra=fields)
        return logged("unknown body", status=500)
    try:
        task = _find_task(path).using(queue_name=queue, backend=body.backend)
        backend = _find_backend(body.backend)
    except (ImportError, InvalidTask, InvalidTaskBackend):
        fields = _event(path, queue, Outcome.FAILED, attempts)
        logger.exception(
            "No such task here: %s on queue %s, backend %s", path, queue, body.backend, extra=fields
        )
        return logged("unknown task", status=500)
    outcome = backend.perform(received(task, body, attempts - 1))
    if outcome is not Outcome.SUCCEEDED:
        # A warning: the error itself, with its traceback, was logged where it was caught.
        fields = _event(path, queue, outcome, attempts)
        logger.warning("Task %s %s", path, fields["outcome"], extra=fields)
    return _RESPONSES[outcome]()


def _event(path: str, queue: str, outcome: Outcome, attempts: int) -> dict[str, str | int]:
    name = outcome.name.lower()
    return {"event": "task", "task": path, "queue": queue, "outcome": name, "attempts": attempts}


_RESPONSES = {
    Outcome.SUCCEEDED: lambda: HttpResponse("done"),
    Outcome.GAVE_UP: lambda: HttpResponse("gave up"),
    Outcome.FAILED: lambda: logged("failed", status=500),
    Outcome.BUSY: lambda: logged("busy", status=500),
}


def _find_task(path: str) -> AnyTask:
    """The task at `path`, never another callable. Raises ImportError."""
    task = import_string(path)
    if not isinstance(task, Task) or task.module_path != path:
        raise ImportError(f"{path} is no task")
    return task


def _find_backend(alias: str) -> CloudTasksBackend:
    backend = task_backends[alias]
    if not isinstance(backend, CloudTasksBackend):
        raise InvalidTaskBackend(f"TASKS[{alias!r}] does not run on Cloud Tasks")
    return backend


def received(task: AnyTask, body: Body, earlier_attempts: int) -> AnyResult:
    """The result of a task that arrived, before its function runs."""
    return TaskResult(
        task=task,
        id=body.id,
        status=TaskResultStatus.READY,
        enqueued_at=None,
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=body.args,
        kwargs=body.kwargs,
        backend=body.backend,
        errors=[],
        # TaskContext.attempt counts these; who ran the earlier attempts is not known.
        worker_ids=[*["unknown"] * earlier_attempts, worker_id()],
    )


def _earlier_attempts(request: HttpRequest) -> int:
    headers = request.headers
    count = headers.get("X-AppEngine-TaskRetryCount") or headers.get("X-CloudTasks-TaskRetryCount") or ""
    return int(count) if count.isdecimal() else 0
