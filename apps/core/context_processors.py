"""What every template may use."""

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, str]:  # noqa: ARG001  Django's signature
    """`site_name`, for titles and the header."""
    return {"site_name": settings.SITE_NAME}
