"""TASKS["default"] of the test suite: the real backend, with a list in place of Cloud Tasks."""

from datetime import UTC, datetime
from typing import ClassVar

from django.tasks.signals import task_enqueued
from django.utils import timezone

from apps.appengine.tasks.backend import CloudTasksBackend
from apps.appengine.tasks.body import Body
from apps.appengine.tasks.execution import Outcome, run
from apps.appengine.tasks.route import received
from apps.appengine.tasks.task import AnyResult


class TaskFailedError(AssertionError):
    """A drained task raised: Cloud Tasks would try it again. The message is its traceback."""


class DrainingBackend(CloudTasksBackend):
    """Keeps tasks until a test drains them. They pass through the same checks and the same JSON.

    Shared by all threads, as a queue is; a fixture calls `clear()` between tests.
    """

    queued: ClassVar[list[tuple[AnyResult, bytes]]] = []
    finished: ClassVar[list[AnyResult]] = []
    names: ClassVar[set[str]] = set()

    @classmethod
    def clear(cls) -> None:
        """Forget every task."""
        cls.queued.clear()
        cls.finished.clear()
        cls.names.clear()

    def create(self, result: AnyResult, body: bytes) -> None:
        """Queue the task, unless one of its name was queued before."""
        if result.id in self.names:
            return
        self.names.add(result.id)
        self.queued.append((result, body))
        task_enqueued.send(type(self), task_result=result)

    def drain(self, *, now: datetime | None = None) -> list[AnyResult]:
        """Run what is due at `now`, and what that enqueues, in order of time; return what ran.

        Tasks that run later stay queued. One that raises stays queued too, and raises TaskFailedError.
        """
        now = now or timezone.now()
        earliest = datetime.min.replace(tzinfo=UTC)  # tasks without a time, first in, first out
        ran = []
        while due := [entry for entry in self.queued if (entry[0].task.run_after or now) <= now]:
            entry = min(due, key=lambda entry: entry[0].task.run_after or earliest)
            ran.append(self._run(*entry))
            self.queued.remove(entry)
            self.finished.append(ran[-1])
        return ran

    def _run(self, enqueued: AnyResult, body: bytes) -> AnyResult:
        outcome, finished = run(type(self), received(enqueued.task, Body.decode(body), earlier_attempts=0))
        if outcome is Outcome.FAILED:
            raise TaskFailedError(finished.errors[-1].traceback)
        return finished
