"""Replays of many messages, as SQL keeps them: what was asked for, how far it is, what is under way."""

from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from apps.accounts.models import Organization
from apps.core import ids


def background_task_id() -> str:
    return ids.new("qtask")


class BackgroundTask(models.Model):
    """Sends an endpoint many messages again, one step after the other (advance.py).

    Application and endpoint are ids without a constraint: the row still tells what was done when they are
    gone. Tasks of one endpoint run one after the other: the oldest that is running is at work, the others
    wait.
    """

    class Kind(models.TextChoices):
        RECOVER = "endpoint.recover"
        REPLAY_MISSING = "endpoint.replay"
        BULK_REPLAY = "endpoint.bulk-replay"

    class Status(models.TextChoices):
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"

    id = models.CharField(primary_key=True, max_length=40, default=background_task_id, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="background_tasks")
    application_id = models.CharField(max_length=40)
    endpoint_id = models.CharField(max_length=40)
    kind = models.CharField(max_length=40, choices=Kind.choices)
    since = models.DateTimeField()
    until = models.DateTimeField()
    # Of a bulk replay: facets that each delivery must have, and event types of which it must have one.
    facets = models.JSONField(default=list)
    event_types = models.JSONField(default=list)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.RUNNING, db_index=True)
    error = models.TextField(blank=True)  # why it failed

    # The last message that was looked at, and whether none comes after it.
    cursor = models.CharField(max_length=40, blank=True)
    found_all = models.BooleanField(default=False)
    # Attempt ids by message id: those to queue next, those that were queued and are not known to be
    # recorded; and how often what got lost was queued once more.
    planned = models.JSONField(default=dict)
    in_hand = models.JSONField(default=dict)
    rounds = models.PositiveIntegerField(default=0)
    sent = models.PositiveIntegerField(default=0)
    # Each change of the row is a step with a number: of two that are made at the same time one counts.
    step = models.PositiveIntegerField(default=0)
    moved_at = models.DateTimeField(
        default=timezone.now
    )  # when attempts were queued, or found recorded, last
    updated_at = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["organization", "-created_at"], name="background_task_newest"),
            models.Index(fields=["endpoint_id", "created_at"], name="background_task_of_endpoint"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id} {self.status}"

    @property
    def is_running(self) -> bool:
        return self.status == self.Status.RUNNING

    @property
    def reached(self) -> datetime:
        """Messages accepted before this time have been looked at."""
        if self.found_all:
            return self.until
        return ids.time_of(self.cursor) if self.cursor else self.since

    @classmethod
    def at_work(cls) -> "QuerySet[BackgroundTask]":
        """Those that are running and wait for no earlier one of their endpoint."""
        earlier = cls.objects.filter(
            endpoint_id=OuterRef("endpoint_id"),
            status=cls.Status.RUNNING,
            created_at__lt=OuterRef("created_at"),
        )
        return cls.objects.filter(Q(status=cls.Status.RUNNING), ~Exists(earlier))

    def save_step(self) -> bool:
        """Write the row as one more step. False: another has made that step, and nothing was written."""
        self.updated_at = timezone.now()
        values: dict[str, Any] = {name: getattr(self, name) for name in CHANGES}
        mine = BackgroundTask.objects.filter(pk=self.pk, step=self.step, status=self.Status.RUNNING)
        self.step += 1
        return bool(mine.update(step=self.step, **values))


# What a step may change.
CHANGES = (
    *("status", "error", "cursor", "found_all", "planned", "in_hand", "rounds", "sent"),
    *("moved_at", "updated_at"),
)
