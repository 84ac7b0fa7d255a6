"""The platform's only SQL table: results of background tasks that an operator looks at."""

from django.db import models
from django.tasks import TaskResultStatus


class TaskRecord(models.Model):
    """What became of one task of the "recorded" backend.

    Without `finished_at` the task may still be tried: READY before the first attempt, RUNNING while a
    worker holds the lease, FAILED after an attempt that Cloud Tasks may repeat. With it, it is over.
    """

    id = models.CharField(primary_key=True, max_length=64)
    task = models.CharField(max_length=255)  # the module path
    backend = models.CharField(max_length=64)
    queue_name = models.CharField(max_length=100)
    run_after = models.DateTimeField(null=True)
    args = models.JSONField(default=list)
    kwargs = models.JSONField(default=dict)

    status = models.CharField(
        max_length=16, choices=TaskResultStatus.choices, default=TaskResultStatus.READY, db_index=True
    )
    return_value = models.JSONField(null=True)
    errors = models.JSONField(default=list)  # {"exception_class_path", "traceback"} of each failed attempt
    worker_ids = models.JSONField(default=list)
    enqueued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    last_attempted_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # Until then the attempt under way owns the task. It also says which attempt may write the outcome.
    lease_until = models.DateTimeField(null=True)

    class Meta:
        indexes = (models.Index(fields=["-enqueued_at"], name="task_record_newest"),)

    def __str__(self) -> str:
        return f"{self.task} {self.id} {self.status}"
