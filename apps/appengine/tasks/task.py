"""The task definition this platform's backends use: Django's, with relative times and an identity."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.tasks import Task, TaskResult
from django.utils import timezone

type AnyTask = Task[..., Any]
type AnyResult = TaskResult[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudTask(Task):  # type: ignore[type-arg]  # Task is generic in the stubs only
    """A `Task` that also takes a timedelta as `run_after`, and a `key`.

    Enqueued again with the same key, a task is not queued again: Cloud Tasks remembers a name from an
    hour up to nine days after its task is gone. So a key saves work; it is no guarantee, and a key
    that must be used again soon needs the time in it.
    """

    key: str | None = None

    def using(
        self,
        *,
        priority: int | None = None,
        queue_name: str | None = None,
        run_after: datetime | timedelta | None = None,
        backend: str | None = None,
        key: str | None = None,
    ) -> "CloudTask":
        """A new task with modified defaults. `run_after` may be relative, as Django documents."""
        if isinstance(run_after, timedelta):
            run_after = timezone.now() + run_after
        # No bare super(): a dataclass with slots is a copy of the class that super() would look for.
        changed: CloudTask = Task.using(  # type: ignore[assignment]  # using() returns the class it is given
            self, priority=priority, queue_name=queue_name, run_after=run_after, backend=backend
        )
        return changed if key is None else replace(changed, key=key)
