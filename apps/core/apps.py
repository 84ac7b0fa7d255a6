"""The app's configuration and its system checks."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from apps.core import encryption


class CoreConfig(AppConfig):
    name = "apps.core"
    label = "core"

    def ready(self) -> None:
        checks.register(check_keys_are_configured, checks.Tags.security, deploy=True)
        checks.register(check_keys_are_well_formed, checks.Tags.security)


def check_keys_are_configured(**kwargs: Any) -> list[checks.CheckMessage]:  # noqa: ARG001  Django's signature
    """core.E001: without a key nothing that is encrypted can be written."""
    if settings.FIELD_ENCRYPTION_KEYS:
        return []
    hint = 'One is made with: python -c "import base64, os; print(base64.b64encode(os.urandom(32)).decode())"'
    return [checks.Error("FIELD_ENCRYPTION_KEYS is empty.", hint=f'List "keyid:key". {hint}', id="core.E001")]


def check_keys_are_well_formed(**kwargs: Any) -> list[checks.CheckMessage]:  # noqa: ARG001  Django's signature
    """core.E002: a malformed key would fail the first request that encrypts."""
    try:
        encryption.parse(tuple(settings.FIELD_ENCRYPTION_KEYS))
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="core.E002")]
    return []
