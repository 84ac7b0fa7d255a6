"""What other parts of the site may want to hear of endpoints."""

from django.dispatch import Signal

# After an endpoint was disabled, by us and not by a person: sender=Endpoint, application_id, endpoint_id,
# reason (health.GONE or health.FAILING). Once for each time; a receiver that raises is logged and no more.
endpoint_disabled = Signal()
