"""What an attempt's end says of its endpoint."""

from apps.applications import health
from apps.applications.routing import Destination
from apps.deliveries.models import Attempt, Delivery
from apps.deliveries.record import Outcome

SLOW_MS = 2_000
GONE = 410  # RFC 9110, 15.5.11: likely to be permanent


def note(destination: Destination, outcome: Outcome, delivery: Delivery) -> None:
    """Mark a suspect, know one that works again, disable one that is gone or has failed for days."""
    application_id, result = delivery.application_id, outcome.result
    if result.succeeded:
        health.succeeded(application_id, destination)
    if not result.succeeded or result.duration_ms > SLOW_MS:
        health.mark_suspect(application_id, destination, failed=not result.succeeded)
    if result.status_code == GONE:
        health.gone(application_id, destination)
    elif outcome.trigger == Attempt.SCHEDULED and delivery.status == Delivery.FAILED:
        health.exhausted(application_id, destination)
