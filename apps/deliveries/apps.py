"""The app's configuration and its system check."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks

SIGNATURE_HEADERS = ("webhook", "svix")


class DeliveriesConfig(AppConfig):
    name = "apps.deliveries"
    verbose_name = "Deliveries"

    def ready(self) -> None:
        checks.register(check_signature_headers, checks.Tags.security)


def check_signature_headers(**kwargs: Any) -> list[checks.CheckMessage]:  # noqa: ARG001  Django's signature
    """deliveries.E001: a receiver finds a signature, under names that libraries look for."""
    names = settings.WAYBILL_SIGNATURE_HEADERS
    if names and set(names) <= set(SIGNATURE_HEADERS):
        return []
    return [
        checks.Error(
            f"WAYBILL_SIGNATURE_HEADERS is {','.join(names)!r}: receivers would find no signature.",
            hint="webhook, svix or webhook,svix: what the names of the three headers begin with.",
            id="deliveries.E001",
        )
    ]
