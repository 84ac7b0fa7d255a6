"""Secrets: each comes from Secret Manager, and none stands in a file. No message holds a value."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from apps.appengine import secrets
from apps.appengine.app_yaml import AppYaml

from .files import on_app_engine, read_app

SECRET_NAME = re.compile(
    r"(?:SECRET|SECRET_KEY(?:_FALLBACKS)?|PASSWORD|TOKEN|API_KEY|PRIVATE_KEY|ENCRYPTION_KEYS?)$"
)
KNOWN_KEY = re.compile(r"^(?:local|test)-only-")


def required() -> list[str]:
    """The variables that nothing works without: settings.SECRET_VARIABLES, and a password for PostgreSQL."""
    names = list(getattr(settings, "SECRET_VARIABLES", ["DJANGO_SECRET_KEY"]))
    postgresql = settings.DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql"
    return [*names, *(["DB_PASSWORD"] if postgresql else [])]


@register("appengine", deploy=True)
def check_secrets_are_named(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  Django passes app_configs, databases
    """E100, E101: SECRETS can be read, and nothing that is required is missing."""
    app = read_app()
    variables: Mapping[str, str] = app.env_variables if app else os.environ
    where = f"{app.name}, env_variables" if app else "the environment"
    try:
        named = secrets.parse(variables.get("SECRETS", ""), project="any")
    except ImproperlyConfigured as error:
        yield Error(f"{where}: {error}", id="appengine.E101")
        return
    for name in required():
        if name not in named and variables.get(name, "") in {"", secrets.PLACEHOLDER}:
            entry = f"{name}={name.lower().replace('_', '-')}:1"
            yield Error(
                f"{where}: SECRETS lacks {name}: the start, or the first request, fails. Add {entry}, with "
                "the version that you made.",
                hint="gcloud secrets versions list SECRET names the versions.",
                id="appengine.E100",
            )


@on_app_engine
def check_no_secret_is_in_the_file(app: AppYaml) -> Iterator[CheckMessage]:
    """E102: what is committed, uploaded and shown in the console holds no secret."""
    for name, value in app.env_variables.items():
        if value and (name in required() or SECRET_NAME.search(name)):
            entry = f"{name}={name.lower().replace('_', '-')}:1"
            yield Error(
                f"{app.name}, env_variables: the value of {name} stands in the file. Put it into Secret "
                f"Manager, remove the line and add {entry} to SECRETS.",
                hint="Whoever saw the file knows it: make a new value.",
                id="appengine.E102",
            )


@register("appengine", deploy=True)
def check_key_is_not_known(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  as above
    """E103: the keys that stand in this repository are for laptops and tests."""
    if KNOWN_KEY.match(settings.SECRET_KEY):
        yield Error(
            "SECRET_KEY is the one that local or test settings have, known to everybody. Check with the "
            "settings that will be deployed, and give DJANGO_SECRET_KEY a value of its own in Secret "
            "Manager.",
            id="appengine.E103",
        )
