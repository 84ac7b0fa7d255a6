"""The start of a production site: what it must have, and how it says what is missing."""

import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from apps.appengine import app_yaml
from apps.appengine.secrets import SecretsUnavailable

EXIT_CODE = 3  # what tells gunicorn that another worker would fail too
SHORTEST_KEY = 50  # characters; this and the next as in Django's security.W009
LEAST_DISTINCT = 5
ENCRYPTED = ("require", "verify-ca", "verify-full")  # values of libpq's sslmode that never fall back


@contextmanager
def in_one_sentence() -> Iterator[None]:
    """End the process with what is wrong, and no traceback, where settings refuse to load.

    Those sentences name what to set; where in the settings they were found tells nobody anything. Once
    settings are loaded an error is raised as it is.
    """
    try:
        yield
    except (ImproperlyConfigured, SecretsUnavailable) as refusal:
        if settings.configured:
            raise
        sys.stderr.write(f"{refusal}\n")
        raise SystemExit(EXIT_CODE) from None


def as_app_yaml_says(environ: MutableMapping[str, str], root: Path) -> None:
    """Where APP_YAML names a file, relative to `root`, its env_variables replace those of the environment.

    So a command on another machine (`check --deploy`, collectstatic) sees the settings that the file
    will be deployed with. Raises ImproperlyConfigured where it cannot be read.
    """
    if name := environ.get("APP_YAML"):
        try:
            environ.update(app_yaml.read(root / name).env_variables)
        except (OSError, ValueError) as error:
            raise ImproperlyConfigured(f"APP_YAML={name}: {error}") from error


def require(name: str, value: str) -> None:
    """Raises ImproperlyConfigured where the variable holds nothing."""
    if not value.strip():
        raise ImproperlyConfigured(
            f"{name} is empty: name it in SECRETS (app.yaml, env_variables) so that it is read from Secret "
            "Manager, or set it in the environment."
        )


def require_key(name: str, value: str) -> None:
    """A key that Django signs with. Raises ImproperlyConfigured where there is none or it can be guessed."""
    require(name, value)
    if len(value) < SHORTEST_KEY or len(set(value)) < LEAST_DISTINCT or value.startswith("django-insecure-"):
        raise ImproperlyConfigured(
            f"{name} can be guessed: it needs {SHORTEST_KEY} characters or more, {LEAST_DISTINCT} of them "
            "different. `openssl rand -base64 48` makes one."
        )


def require_database(database: Mapping[str, Any]) -> None:
    """A password, and TLS to another machine. Raises ImproperlyConfigured.

    `database` is one of DATABASES; what has no host is a file.
    """
    if not database.get("HOST"):
        return
    require("DB_PASSWORD", database["PASSWORD"])
    mode = database["OPTIONS"].get("sslmode", "require")
    if mode not in ENCRYPTED:
        raise ImproperlyConfigured(
            f"DB_SSLMODE is {mode!r}, with which a connection to {database['HOST']} may be unencrypted: use "
            f"one of {', '.join(ENCRYPTED)}."
        )
