"""Endpoints under suspicion: those that failed or were slow of late.

Their attempts go through a queue of their own, so that what is dead or dripping delays nobody else.
"""

import logging
from datetime import timedelta

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from apps.applications.models import Application, Endpoint
from apps.applications.routing import Destination
from apps.core import snapshots

log = logging.getLogger(__name__)

SUSPECT_FOR = timedelta(minutes=5)


def mark_suspect(application_id: str, destination: Destination) -> None:
    """Keep the endpoint's attempts apart for SUSPECT_FOR from about now.

    Written only when less than half of that is left, so a failing endpoint costs two writes in five
    minutes, not one an attempt. Best effort: the attempt itself is recorded elsewhere.
    """
    now = timezone.now()
    if destination.is_suspect(now + SUSPECT_FOR / 2):
        return
    try:
        with snapshots.change(Application(pk=application_id)):
            Endpoint.objects.filter(pk=destination.id).update(suspect_until=now + SUSPECT_FOR)
    except (snapshots.Unavailable, OperationalError, InterfaceError) as error:
        log.warning("%s is not marked as suspect: %s", destination.id, error)
