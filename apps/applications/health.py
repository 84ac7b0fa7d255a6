"""How endpoints fare: suspects, which failed or were slow of late, and those that are disabled for failing.

A suspect's attempts go through a queue of their own, so that what is dead or dripping delays nobody else.

Nothing here costs a healthy endpoint a query: its Destination says that there is nothing to write. All of
it is best effort: the attempt itself is recorded elsewhere, and what could not be written now is written
after the next attempt.
"""

import logging
from datetime import timedelta
from typing import Any

from django.db import InterfaceError, OperationalError
from django.db.models import DateTimeField, Q, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.applications.models import Application, Endpoint
from apps.applications.routing import Destination
from apps.applications.signals import endpoint_disabled
from apps.core import snapshots

log = logging.getLogger(__name__)

SUSPECT_FOR = timedelta(minutes=5)
# When a message exhausts its attempts at an endpoint that has failed for so long, the endpoint is disabled.
PATIENCE = timedelta(days=5)
GONE, FAILING = "gone", "failing"


def mark_suspect(application_id: str, destination: Destination, *, failed: bool = False) -> None:
    """Keep the endpoint's attempts apart for SUSPECT_FOR from about now; note since when it `failed`.

    Written only when less than half of that is left, so a failing endpoint costs two writes in five
    minutes, not one an attempt, and one that fails now and then about as few.
    """
    now = timezone.now()
    if destination.is_suspect(now + SUSPECT_FOR / 2):
        return
    values: dict[str, Any] = {"suspect_until": now + SUSPECT_FOR}
    if failed:
        values["failing_since"] = Coalesce("failing_since", Value(now, DateTimeField()))
    _write(application_id, destination, "marked as suspect", **values)


def succeeded(application_id: str, destination: Destination) -> None:
    """It has not failed all the time."""
    if destination.failing_since:
        _write(application_id, destination, "known to work", failing_since=None)


def gone(application_id: str, destination: Destination) -> None:
    """It answered 410: disable it at once, unless it has another URL by now."""
    _disable(application_id, destination, GONE, Q(url=destination.url))


def exhausted(application_id: str, destination: Destination) -> None:
    """A message exhausted its attempts: disable the endpoint if everything has failed for PATIENCE."""
    since = parse_datetime(destination.failing_since) if destination.failing_since else None
    limit = timezone.now() - PATIENCE
    if since and since <= limit:
        _disable(application_id, destination, FAILING, Q(failing_since__lte=limit))


def begin_anew(endpoint: Endpoint) -> list[str]:
    """Forget failures, for an endpoint that is enabled again; the columns to write."""
    endpoint.failing_since = endpoint.suspect_until = None
    return ["failing_since", "suspect_until"]


def _disable(application_id: str, destination: Destination, reason: str, still: Q) -> None:
    now = timezone.now()
    enabled = still & Q(disabled=False)
    if _write(application_id, destination, "disabled", enabled, disabled=True, updated_at=now):
        log.warning("%s is disabled: %s", destination.id, reason)
        endpoint_disabled.send_robust(
            Endpoint, application_id=application_id, endpoint_id=destination.id, reason=reason
        )


def _write(
    application_id: str, destination: Destination, what: str, only: Q | None = None, **values: object
) -> int:
    """Change the endpoint, `only` where that holds. Whether it did; not where SQL or Redis is away."""
    rows = Endpoint.objects.filter(only or Q(), pk=destination.id)
    try:
        with snapshots.change(Application(pk=application_id)):
            return rows.update(**values)
    except (snapshots.Unavailable, OperationalError, InterfaceError) as error:
        log.warning("%s is not %s: %s", destination.id, what, error)
        return 0
