"""`TASKS["recorded"]`: the Cloud Tasks backend with results kept in SQL.

For background tasks that an operator looks at, not for a hot path: each costs a few SQL queries.

The record is made first, in the caller's transaction where there is one; the Cloud Tasks task is
created when that commits. A failed create marks the record FAILED and raises TaskNotCreated, from the
`atomic` block that commits. A process that dies in between leaves the record READY, never run.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.tasks import Task, TaskResult, TaskResultStatus
from django.tasks.base import TaskError
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.utils import timezone
from django.utils.module_loading import import_string

from apps.appengine.models import TaskRecord
from apps.appengine.tasks.backend import CloudTasksBackend, encode_body, new_result
from apps.appengine.tasks.exceptions import TaskNotCreated
from apps.appengine.tasks.execution import Outcome, error_of, run
from apps.appengine.tasks.task import AnyResult, AnyTask

logger = logging.getLogger(__name__)


class RecordedCloudTasksBackend(CloudTasksBackend):
    """Results can be read back by any process, until their record is deleted."""

    supports_get_result = True
    # An attempt holds its task so long: App Engine ends a request after 10 minutes, so a worker that has
    # not finished by then is dead. Longer on a target that allows longer requests.
    lease = timedelta(minutes=10, seconds=30)

    def enqueue(  # type: ignore[override]  # the stubs carry the parameters of the function through
        self, task: AnyTask, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> AnyResult:
        """Record the task, and create it on commit. Raises as the backend without records does."""
        self.validate_task(task)
        result = new_result(task, args, kwargs)
        body = encode_body(result)
        record, created = TaskRecord.objects.get_or_create(id=result.id, defaults=_columns(result))
        if not created:  # the same key again
            _forget_failed_create(record)
        if record.finished_at is None:  # else it ran already
            transaction.on_commit(lambda: self._create_or_fail(result, body))
        return _result(record, task)

    def perform(self, result: AnyResult) -> Outcome:
        """One attempt, unless the task is finished or another worker's lease is live."""
        record = TaskRecord.objects.filter(id=result.id).first()
        if record is None:
            logger.warning("Task %s has no record any more: not run", result.id)
            return Outcome.GAVE_UP
        if record.finished_at is not None:
            return Outcome.SUCCEEDED
        until = self._claim(record)
        if until is None:
            # 500, not 2xx: if that worker is dead, this delivery's repeat is what runs the task.
            logger.warning("Task %s is under way in another worker, or was in one that died", result.id)
            return Outcome.BUSY
        attempt = replace(
            result,
            enqueued_at=record.enqueued_at,
            errors=_errors(record),
            worker_ids=[*record.worker_ids, *result.worker_ids[-1:]],
        )
        TaskRecord.objects.filter(id=record.id, lease_until=until).update(worker_ids=attempt.worker_ids)
        outcome, finished = run(type(self), attempt)
        _save(record, until, outcome, finished)
        return outcome

    def get_result(self, result_id: str) -> AnyResult:
        """The task's state now. Raises TaskResultDoesNotExist, also for what cannot be an id."""
        if not (isinstance(result_id, str) and result_id.isalnum() and result_id.isascii()):
            raise TaskResultDoesNotExist(result_id)
        try:
            record = TaskRecord.objects.get(id=result_id, backend=self.alias)
            task = import_string(record.task)
            if not isinstance(task, Task):
                raise TaskResultDoesNotExist(result_id)
            task = task.using(backend=self.alias, queue_name=record.queue_name, run_after=record.run_after)
        except (TaskRecord.DoesNotExist, ImportError, InvalidTask) as error:
            raise TaskResultDoesNotExist(result_id) from error
        return _result(record, task)

    def _create_or_fail(self, result: AnyResult, body: bytes) -> None:
        try:
            self.create(result, body)
        except TaskNotCreated as error:
            # READY only: with a key, an earlier create may have succeeded and be running.
            TaskRecord.objects.filter(id=result.id, status=TaskResultStatus.READY).update(
                status=TaskResultStatus.FAILED, finished_at=timezone.now(), errors=[asdict(error_of(error))]
            )
            raise

    def _claim(self, record: TaskRecord) -> datetime | None:
        """Take the lease and say until when; None when somebody has it. One conditional update."""
        now = timezone.now()
        free = Q(lease_until=None) | Q(lease_until__lte=now)
        claimed = TaskRecord.objects.filter(free, id=record.id, finished_at=None).update(
            status=TaskResultStatus.RUNNING,
            started_at=record.started_at or now,
            last_attempted_at=now,
            lease_until=now + self.lease,
        )
        return now + self.lease if claimed else None


def _forget_failed_create(record: TaskRecord) -> None:
    """Make a task that was never created READY again, so that it is created now."""
    never_created = {"status": TaskResultStatus.FAILED, "started_at": None}
    if TaskRecord.objects.filter(id=record.id, **never_created).update(
        status=TaskResultStatus.READY, finished_at=None, errors=[]
    ):
        record.refresh_from_db()


def _save(record: TaskRecord, until: datetime, outcome: Outcome, finished: AnyResult) -> None:
    """Write the outcome, unless the lease ran out and another worker has the task now."""
    succeeded = outcome is Outcome.SUCCEEDED
    TaskRecord.objects.filter(id=record.id, lease_until=until).update(
        status=finished.status,
        return_value=finished.return_value if succeeded else None,
        errors=[asdict(error) for error in finished.errors],
        finished_at=None if outcome is Outcome.FAILED else finished.finished_at,
        lease_until=None,
    )


def _columns(result: AnyResult) -> dict[str, Any]:
    task = result.task
    return {
        "task": task.module_path,
        "backend": result.backend,
        "queue_name": task.queue_name,
        "run_after": task.run_after,
        "args": result.args,
        "kwargs": result.kwargs,
        "enqueued_at": result.enqueued_at,
    }


def _errors(record: TaskRecord) -> list[TaskError]:
    return [TaskError(**error) for error in record.errors]


def _result(record: TaskRecord, task: AnyTask) -> AnyResult:
    result: AnyResult = TaskResult(
        task=task,
        id=record.id,
        status=TaskResultStatus(record.status),
        enqueued_at=record.enqueued_at,
        started_at=record.started_at,
        last_attempted_at=record.last_attempted_at,
        finished_at=record.finished_at,
        args=record.args,
        kwargs=record.kwargs,
        backend=record.backend,
        errors=_errors(record),
        worker_ids=record.worker_ids,
    )
    object.__setattr__(result, "_return_value", record.return_value)  # The field takes no part in __init__.
    return result
