"""What every template may use."""

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, str]:  # noqa: ARG001  Django's signature
    """`brand`, for titles and the header. (Django's sign-in view puts the host into `site_name`.)"""
    return {"brand": settings.SITE_NAME}
