"""Manual attempts: the same message again, because a person asked. One of them, or many."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from apps.applications.routing import Destination, Route
from apps.deliveries.advance import queue_step
from apps.deliveries.attempt import attempt_manually
from apps.deliveries.background_task import BackgroundTask
from apps.deliveries.models import Message
from apps.deliveries.payloads import Expunged
from apps.deliveries.record import new_attempt_id


class EndpointDisabled(Exception):
    """Nothing is replayed to an endpoint that is disabled: enable it first."""


class EmptyWindow(Exception):
    """No message can have been accepted between the two times."""


@dataclass(frozen=True)
class Selection:
    """Which messages to send again: accepted between two times, `until` now where it is not said.

    A bulk replay is narrowed further: by facets, and to any of some event types.
    """

    since: datetime
    until: datetime | None = None
    facets: Sequence[str] = ()
    event_types: Sequence[str] = ()


def resend(route: Route, message: Message, endpoint_id: str) -> str:
    """Queue one manual attempt and return its id.

    Raises payloads.Expunged, and what the task backend raises when it can not.
    A manual attempt is sent to a disabled endpoint too: somebody wants to see what it answers now.
    """
    if message.expunged:
        raise Expunged(message.message_id)
    attempt_id = new_attempt_id()
    destination = route.destination(endpoint_id)
    queue = "suspects" if destination and destination.is_suspect() else "deliveries"
    attempt_manually.using(queue_name=queue).enqueue(
        message.application_id, message.message_id, endpoint_id, attempt_id
    )
    return attempt_id


def begin(
    kind: BackgroundTask.Kind, route: Route, destination: Destination, selection: Selection
) -> BackgroundTask:
    """Begin a replay of many: from the commit on it is carried out, its first task is only sooner than cron.

    The window ends now at the latest: what is accepted from now on is no part of it. Raises EndpointDisabled,
    EmptyWindow.
    """
    if destination.disabled:
        raise EndpointDisabled
    now = timezone.now()
    until = min(selection.until or now, now)
    if selection.since >= until:
        raise EmptyWindow
    row = BackgroundTask.objects.create(
        organization_id=route.organization_id,
        application_id=route.application_id,
        endpoint_id=destination.id,
        kind=kind,
        since=selection.since,
        until=until,
        facets=list(selection.facets),
        event_types=list(selection.event_types),
    )
    transaction.on_commit(lambda: queue_step(row))
    return row
