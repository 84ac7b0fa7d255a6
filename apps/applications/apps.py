"""The app's configuration and its system check."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks


class ApplicationsConfig(AppConfig):
    name = "apps.applications"
    verbose_name = "Applications"

    def ready(self) -> None:
        checks.register(check_private_endpoints, checks.Tags.security, deploy=True)


def check_private_endpoints(**kwargs: Any) -> list[checks.CheckMessage]:  # noqa: ARG001  Django's signature
    """applications.E001: a customer's endpoint reaches nothing inside our network."""
    if not settings.WAYBILL_ALLOW_PRIVATE_ENDPOINTS:
        return []
    return [
        checks.Error(
            "WAYBILL_ALLOW_PRIVATE_ENDPOINTS is on: a customer could name an address inside the network as "
            "an endpoint, the metadata server included, and read the answer. Remove it from the environment.",
            hint="It is for laptops, where the receiver runs on the same machine.",
            id="applications.E001",
        )
    ]
