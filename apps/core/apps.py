"""The app's configuration and its system checks."""

import base64
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
        checks.register(check_keys_are_secret, checks.Tags.security, deploy=True)


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


def check_keys_are_secret(**kwargs: Any) -> list[checks.CheckMessage]:  # noqa: ARG001  Django's signature
    """core.E003: the keys that stand in this repository are for laptops and tests."""
    ids = [entry.partition(":")[0] for entry in settings.FIELD_ENCRYPTION_KEYS if _is_known(entry)]
    return [
        checks.Error(
            f"FIELD_ENCRYPTION_KEYS: the key {id_!r} is that of local or test settings, known to everybody.",
            hint="Check with the settings that will be deployed, and make a key of your own.",
            id="core.E003",
        )
        for id_ in ids
    ]


def _is_known(entry: str) -> bool:
    try:
        key = base64.b64decode(entry.partition(":")[2], validate=True)
    except ValueError:
        return False  # core.E002 says so
    return key.startswith((b"local-only-key", b"test-only-key"))
