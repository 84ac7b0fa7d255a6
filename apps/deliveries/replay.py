"""Manual attempts: the same message again, because a person asked."""

from apps.applications.routing import Route
from apps.deliveries.attempt import attempt_manually
from apps.deliveries.models import Message
from apps.deliveries.payloads import Expunged
from apps.deliveries.record import new_attempt_id


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
